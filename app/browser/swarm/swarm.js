// A swarm: points that move from step to step. All positions come with the first value; a drag only draws.

function makeSwarm(report) {
  let meta = null, digest = null, nonce = 0, style = null, panes = [], step = 0;
  const list = el("div", { class: "panes" }), legend = el("p", { class: "legend quiet" });
  const tell = settled(() => meta.report && report({ step }), 180);
  const track = stepper((k) => { step = k; panes.forEach(draw); }, () => tell());
  const root = el("div", { class: "ae swarm" }, list, track.bar, legend);

  function makePane() {
    const canvas = el("canvas", { role: "img" }), title = el("p", { class: "title" }), note = el("p", { class: "note number quiet" });
    const node = el("section", { class: "pane" }, title, canvas, note);
    list.append(node);
    return { node, canvas, title, note, meta: null, sets: [], segments: null, rings: null };
  }

  function draw(pane) {
    const { canvas, meta: field, note } = pane, side = canvas.clientWidth;
    if (!side || !field) return;
    const [x0, x1, y0, y1] = field.extent;
    const plot = {
      ctx: clearedContext(canvas, side, side), side,
      x: (x) => ((x - x0) / (x1 - x0)) * side, // from a place on the plane to pixels
      y: (y) => (1 - (y - y0) / (y1 - y0)) * side,
      across: (length) => (length / (x1 - x0)) * side,
    };
    drawLines(plot, pane);
    for (const dots of pane.sets) drawDots(plot, dots);
    note.textContent = field.notes[Math.min(step, field.notes.length - 1)] ?? "";
    canvas.dataset.step = step;
    canvas.setAttribute("aria-label", [meta.alt, field.title, meta.steps[step], note.textContent].filter(Boolean).join("; "));
  }

  function drawLines({ ctx, x, y, across }, { rings, segments }) {
    ctx.strokeStyle = style.text;
    ctx.lineWidth = 1.2;
    ctx.globalAlpha = 0.55;
    for (let k = 0; rings && k < rings.length / 3; k++) {
      const [cx, cy, radius] = rings.subarray(3 * k, 3 * k + 3);
      ctx.beginPath();
      ctx.arc(x(cx), y(cy), Math.max(4, across(radius)), 0, 7);
      ctx.stroke();
    }
    ctx.globalAlpha = 0.6;
    ctx.beginPath();
    for (let k = 0; segments && k < segments.length / 4; k++) {
      const [ax, ay, bx, by] = segments.subarray(4 * k, 4 * k + 4);
      ctx.moveTo(x(ax), y(ay));
      ctx.lineTo(x(bx), y(by));
    }
    ctx.stroke();
    ctx.globalAlpha = 1;
  }

  /** One set of points at the current step; a point outside the extent is drawn at the edge. */
  function drawDots({ ctx, side, x, y }, { meta: { colour, size, opacity, steps }, points, labels }) {
    const n = points.length / 2 / steps, first = 2 * n * Math.min(step, steps - 1), radius = size / 2;
    ctx.globalAlpha = opacity;
    ctx.fillStyle = colour || style.primary;
    for (let k = 0; k < n; k++) {
      const px = x(points[first + 2 * k]), py = y(points[first + 2 * k + 1]);
      if (labels) ctx.fillStyle = labels[k] < 0 ? style.text : classColour(style, labels[k]);
      ctx.beginPath();
      ctx.arc(clamp(px, radius, side - radius), clamp(py, radius, side - radius), radius, 0, 7);
      ctx.fill();
    }
    ctx.globalAlpha = 1;
  }

  function feed(bytes) {
    const value = unpack(bytes), { parts } = value;
    style = theme(root);
    if (value.meta.digest !== digest) {
      meta = value.meta;
      digest = meta.digest;
      while (panes.length > meta.panes.length) panes.pop().node.remove();
      while (panes.length < meta.panes.length) panes.push(makePane());
      panes.forEach((pane, i) => {
        pane.meta = meta.panes[i];
        pane.title.textContent = pane.meta.title;
        pane.title.hidden = !pane.meta.title;
        pane.note.hidden = !pane.meta.notes.length;
        pane.sets = pane.meta.sets.map((set, j) => ({ meta: set, points: parts[`points_${i}_${j}`], labels: parts[`labels_${i}_${j}`] }));
        pane.segments = parts[`segments_${i}`];
        pane.rings = parts[`rings_${i}`];
      });
      list.style.setProperty("--panes", panes.length);
      track.set(meta.steps, meta.fps);
      const names = new Map(meta.panes.flatMap((pane) => pane.sets.filter((set) => set.name).map((set) => [set.name, set.colour])));
      legend.replaceChildren(...[...names].map(([name, colour]) => swatch(colour || style.primary, name)));
      legend.hidden = !names.size;
    }
    if (value.meta.nonce > nonce) {
      ({ nonce } = value.meta);
      step = value.meta.state.step ?? meta.start;
    }
    track.to(step);
    root.dataset.ready = digest;
  }

  const watcher = new ResizeObserver(() => { if (meta) panes.forEach(draw); });
  watcher.observe(list);
  return {
    root,
    feed,
    destroy() { track.end(); tell.now(); watcher.disconnect(); },
  };
}

export default component(makeSwarm, "view");
