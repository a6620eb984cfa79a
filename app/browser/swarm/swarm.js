// A swarm: points that move over the steps of something. All places came with the first value; a drag only draws.

function makeSwarm() {
  let meta = null, digest = null, nonce = 0, style = null, panes = [], step = 0, report = () => {};
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
    const { canvas } = pane, side = canvas.clientWidth, ratio = Math.min(2, window.devicePixelRatio || 1);
    if (!side || !pane.meta) return;
    if (canvas.width !== Math.round(side * ratio)) canvas.width = canvas.height = Math.round(side * ratio);
    const ctx = canvas.getContext("2d"), [x0, x1, y0, y1] = pane.meta.extent;
    const X = (x) => ((x - x0) / (x1 - x0)) * side, Y = (y) => (1 - (y - y0) / (y1 - y0)) * side;
    ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
    ctx.clearRect(0, 0, side, side);
    ctx.strokeStyle = style.text;
    ctx.lineWidth = 1.2;
    for (let k = 0; pane.rings && k < pane.rings.length / 3; k++) {
      const [x, y, r] = pane.rings.subarray(3 * k, 3 * k + 3);
      ctx.globalAlpha = 0.55;
      ctx.beginPath();
      ctx.arc(X(x), Y(y), Math.max(4, (r / (x1 - x0)) * side), 0, 7);
      ctx.stroke();
    }
    ctx.globalAlpha = 0.6;
    ctx.beginPath();
    for (let k = 0; pane.segments && k < pane.segments.length / 4; k++) {
      const [ax, ay, bx, by] = pane.segments.subarray(4 * k, 4 * k + 4);
      ctx.moveTo(X(ax), Y(ay));
      ctx.lineTo(X(bx), Y(by));
    }
    ctx.stroke();
    for (const { meta: { colour, size, opacity, steps }, points, labels } of pane.sets) {
      const n = points.length / 2 / steps, from = 2 * n * Math.min(step, steps - 1), r = size / 2;
      ctx.globalAlpha = opacity;
      ctx.fillStyle = colour || style.primary;
      for (let k = 0; k < n; k++) {
        const x = X(points[from + 2 * k]), y = Y(points[from + 2 * k + 1]);
        if (labels) ctx.fillStyle = labels[k] < 0 ? style.text : style.classes[labels[k] % style.classes.length];
        ctx.beginPath();
        ctx.arc(clamp(x, r, side - r), clamp(y, r, side - r), r, 0, 7); // what lies outside is seen at the edge
        ctx.fill();
      }
    }
    ctx.globalAlpha = 1;
    pane.note.textContent = pane.meta.notes[Math.min(step, pane.meta.notes.length - 1)] ?? "";
    canvas.dataset.step = step;
    canvas.setAttribute("aria-label", [meta.alt, pane.meta.title, meta.steps[step], pane.note.textContent].filter(Boolean).join("; "));
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
      legend.replaceChildren(...[...names].map(([name, colour]) => el("span", {}, el("i", { style: `background:${colour || style.primary}` }), name)));
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
    hear(send) { report = send; },
    destroy() { track.end(); tell.now(); watcher.disconnect(); },
  };
}

export default function ({ data, parentElement, setStateValue }) {
  return mount(parentElement, makeSwarm, (swarm) => {
    swarm.hear((view) => setStateValue("view", view));
    if (data) swarm.feed(data);
  });
}
