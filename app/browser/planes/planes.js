// Planes: one pointer over the latent planes of several models. It is a place from 0 to 1 on both axes, the same in
// every pane, so all decoders follow it at once; all pictures came with the first value, a drag only copies tiles.

function makePlanes() {
  let meta = null, digest = null, nonce = 0, style = null, panes = [], report = () => {};
  let view = { at: [0.5, 0.5], step: 0 }, hover = null, held = false, most = 1;

  const list = el("div", { class: "panes" });
  const live = el("p", { class: "unseen", "aria-live": "polite" });
  const track = stepper((step) => {
    view.step = step;
    for (const pane of panes) drawGround(pane);
    follow();
  }, () => tell());
  const root = el("div", { class: "ae planes" }, list, track.bar, live);
  const tell = settled(() => meta.report && report({ at: view.at, step: view.step }), 180);
  const speak = settled(() => {
    live.textContent = panes.map((pane) => `${pane.meta.title}: ${placeOf(pane.meta)}`).join("; ");
  }, 400);

  const place = () => hover ?? view.at;
  const tileOf = (pane) => {
    const [rows, columns] = pane.grid, [u, v] = place();
    const j = clamp(Math.round(u * (columns - 1)), 0, columns - 1), i = clamp(Math.round(v * (rows - 1)), 0, rows - 1);
    return (Math.min(view.step, pane.steps - 1) * rows + i) * columns + j;
  };
  const coordinates = ({ extent: [x0, x1, y0, y1] }, [u, v] = place()) => [x0 + u * (x1 - x0), y0 + v * (y1 - y0)];
  const placeOf = (pane) => {
    const [x, y] = coordinates(pane), text = `${meta.axes[0]} = ${shown(x)}`;
    return pane.grid[0] > 1 ? `${text}, ${meta.axes[1]} = ${shown(y)}` : text;
  };

  // ---- one pane -----------------------------------------------------------------------------------------------------

  function makePane() {
    const ground = el("canvas", { "aria-hidden": "true" }), over = el("canvas", { "aria-hidden": "true" });
    const field = el("div", { class: "field", tabindex: 0, role: "application", "aria-roledescription": "latent plane" }, ground, over);
    const title = el("p", { class: "title" }), where = el("figcaption", { class: "quiet number" });
    const note = el("p", { class: "quiet note" }), fill = el("i"), value = el("p", { class: "value number" });
    const bar = el("div", { class: "amount", hidden: true }, value, el("div", { class: "track" }, fill));
    const shownPicture = picture({});
    const figure = el("figure", {}, shownPicture.canvas, where);
    const node = el("section", { class: "pane" }, title, field, figure, bar, note);
    const pane = { node, field, ground, over, title, where, note, bar, value, fill, picture: shownPicture, meta: null, parts: {}, atlas: null, size: [0, 0] };
    const local = (event) => {
      const box = field.getBoundingClientRect();
      const v = pane.meta.grid[0] > 1 ? 1 - clamp((event.clientY - box.top) / box.height, 0, 1) : view.at[1];
      return [clamp((event.clientX - box.left) / box.width, 0, 1), v];
    };
    field.addEventListener("pointerdown", (event) => {
      if (event.button > 0 || !meta) return;
      field.setPointerCapture(event.pointerId);
      held = true;
      hover = local(event);
      follow();
    });
    field.addEventListener("pointermove", (event) => {
      if (!meta || (event.pointerType === "touch" && !held)) return;
      hover = local(event);
      follow();
    });
    const letGo = (event) => {
      if (!held) return;
      held = false;
      pin(local(event));
      if (event.pointerType === "touch") hover = null;
    };
    field.addEventListener("pointerup", letGo);
    field.addEventListener("pointercancel", () => { held = false; hover = null; follow(); });
    field.addEventListener("pointerleave", () => { if (!held) { hover = null; follow(); } });
    field.addEventListener("keydown", (event) => {
      if (!meta || event.altKey || event.metaKey || event.ctrlKey) return;
      const [rows, columns] = pane.meta.grid, k = event.shiftKey ? 4 : 1, [u, v] = view.at;
      const du = k / Math.max(1, columns - 1), dv = k / Math.max(1, rows - 1);
      const to = {
        ArrowLeft: [u - du, v], ArrowRight: [u + du, v], ArrowDown: [u, v - dv], ArrowUp: [u, v + dv],
        Home: [0, v], End: [1, v], PageUp: [u, 1], PageDown: [u, 0],
      }[event.key];
      if (!to) return;
      hover = null;
      pin(to.map((value) => clamp(value, 0, 1)));
      event.preventDefault();
    });
    list.append(node);
    return pane;
  }

  function pin(at) {
    view.at = at;
    follow();
    speak();
    tell();
  }

  /** Everything that a movement changes: one tile and one cross in every pane. */
  function follow() {
    for (const pane of panes) {
      if (!pane.atlas) continue;
      pane.picture.tile(pane.atlas, pane.meta.atlas, tileOf(pane.meta));
      pane.where.textContent = placeOf(pane.meta);
      pane.picture.canvas.setAttribute("aria-label", `Decoded by ${pane.meta.title} at ${pane.where.textContent}`);
      if (pane.parts.values) {
        const amount = pane.parts.values[tileOf(pane.meta)];
        pane.value.textContent = `${pane.meta.measure} ${shown(amount)}`;
        pane.fill.style.width = `${(100 * Math.max(0, amount)) / most}%`;
      }
      drawCross(pane);
    }
  }

  function drawCross(pane) {
    const ctx = pane.over.getContext("2d"), [w, h] = pane.size, ratio = pane.ratio;
    const x = place()[0] * w, flat = pane.meta.grid[0] === 1, y = flat ? h / 2 : (1 - place()[1]) * h;
    ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
    ctx.clearRect(0, 0, w, h);
    for (const [colour, width] of [[style.background, 7], [style.primary, 3.5]]) {
      ctx.strokeStyle = colour;
      ctx.lineWidth = width;
      ctx.beginPath();
      if (flat) { ctx.moveTo(x, 0); ctx.lineTo(x, h); }
      else for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
        ctx.moveTo(x + 4 * dx, y + 4 * dy);
        ctx.lineTo(x + 15 * dx, y + 15 * dy);
      }
      ctx.stroke();
    }
  }

  function drawGround(pane) {
    const { field, ground, over, parts } = pane, w = field.clientWidth, h = field.clientHeight;
    if (!w || !h || !pane.atlas) return;
    const ratio = (pane.ratio = Math.min(2, window.devicePixelRatio || 1)), [rows, columns] = pane.meta.grid;
    pane.size = [w, h];
    for (const canvas of [ground, over]) {
      canvas.width = Math.round(w * ratio);
      canvas.height = Math.round(h * ratio);
    }
    const ctx = ground.getContext("2d"), step = Math.min(view.step, pane.meta.steps - 1), [x0, x1, y0, y1] = pane.meta.extent;
    ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
    ctx.clearRect(0, 0, w, h);
    const { points } = parts;
    if (rows === 1 || !points) {
      // As many tiles side by side as fit, each the one that the pointer finds in its middle.
      const across = Math.min(columns, Math.max(1, Math.floor(w / (rows === 1 ? h : 26)))), down = Math.min(rows, Math.max(1, Math.floor(h / 26)));
      const tw = w / across, th = h / down;
      for (let a = 0; a < across; a++)
        for (let b = 0; b < down; b++) {
          const j = Math.round(((a + 0.5) / across) * (columns - 1)), i = Math.round((1 - (b + 0.5) / down) * (rows - 1));
          drawTile(ctx, pane.atlas, pane.meta.atlas, (step * rows + i) * columns + j, a * tw, b * th, tw + 0.5, th + 0.5);
        }
    }
    const X = (x) => ((x - x0) / (x1 - x0)) * w, Y = (y) => (1 - (y - y0) / (y1 - y0)) * h;
    if (points) {
      ctx.strokeStyle = style.line;
      ctx.lineWidth = 1;
      for (const r of pane.meta.rings) { // contours of the prior, in standard deviations
        ctx.beginPath();
        ctx.ellipse(X(0), Y(0), (r / (x1 - x0)) * w, (r / (y1 - y0)) * h, 0, 0, 7);
        ctx.stroke();
      }
      const n = points.length / 2 / pane.meta.steps_of_points, from = 2 * n * Math.min(view.step, pane.meta.steps_of_points - 1);
      const radius = n > 1500 ? 1.8 : 2.6;
      ctx.globalAlpha = parts.clouds?.length > 4 ? 0.3 : n > 1500 ? 0.7 : 0.85; // behind clouds, which are the point then
      for (let k = 0; k < n; k++) {
        const c = parts.labels ? parts.labels[k] : -1;
        ctx.fillStyle = c < 0 ? style.primary : style.classes[c % style.classes.length];
        ctx.beginPath();
        ctx.arc(X(points[from + 2 * k]), Y(points[from + 2 * k + 1]), radius, 0, 7);
        ctx.fill();
      }
      ctx.globalAlpha = 1;
    }
    const { clouds } = parts; // x, y and their standard deviations: an ellipse at two of them, a ring where there are none
    for (let k = 0; clouds && k < clouds.length / 4; k++) {
      const [x, y, sx, sy] = clouds.subarray(4 * k, 4 * k + 4), c = pane.meta.cloud_colours[k];
      ctx.fillStyle = ctx.strokeStyle = c < 0 ? style.primary : style.classes[c % style.classes.length];
      ctx.lineWidth = 2.5;
      ctx.beginPath();
      ctx.ellipse(X(x), Y(y), Math.max(5, (2 * sx / (x1 - x0)) * w), Math.max(5, (2 * sy / (y1 - y0)) * h), 0, 0, 7);
      ctx.globalAlpha = 0.28;
      if (sx > 0) ctx.fill();
      ctx.globalAlpha = 1;
      ctx.stroke();
    }
    for (const { at, text } of pane.meta.marks) {
      const x = X(at[0]), y = Y(at[1]);
      ctx.font = `600 17px ${style.font}`;
      ctx.textAlign = x > w - 30 ? "right" : x < 30 ? "left" : "center";
      ctx.textBaseline = "middle";
      ctx.lineWidth = 5;
      ctx.lineJoin = "round";
      ctx.strokeStyle = style.background;
      ctx.strokeText(text, x, clamp(y, 12, h - 12));
      ctx.fillStyle = style.text;
      ctx.fillText(text, x, clamp(y, 12, h - 12));
    }
  }

  async function feed(bytes) {
    const value = unpack(bytes), incoming = value.meta;
    style = theme(root);
    if (incoming.digest !== digest) {
      const wanted = (digest = incoming.digest);
      const decoded = await Promise.all(incoming.panes.map((_, i) => decode(value.parts[`atlas_${i}`])));
      if (digest !== wanted) { decoded.forEach((bitmap) => bitmap.close()); return; }
      panes.forEach((pane) => pane.atlas?.close());
      while (panes.length > decoded.length) panes.pop().node.remove();
      while (panes.length < decoded.length) panes.push(makePane());
      meta = incoming;
      panes.forEach((pane, i) => {
        pane.meta = meta.panes[i];
        pane.atlas = decoded[i];
        pane.parts = { points: value.parts[`points_${i}`], labels: value.parts[`labels_${i}`], clouds: value.parts[`clouds_${i}`], values: value.parts[`values_${i}`] };
        pane.bar.hidden = !pane.parts.values;
        pane.title.textContent = pane.meta.title;
        pane.note.textContent = pane.meta.note;
        pane.note.hidden = !pane.meta.note;
        pane.field.classList.toggle("strip", pane.meta.grid[0] === 1);
        pane.field.setAttribute("aria-label", `${pane.meta.title}. ${meta.alt} Arrow keys move the pointer of all.`);
      });
      most = Math.max(1e-9, ...panes.flatMap((pane) => [...(pane.parts.values ?? [])]));
      list.style.setProperty("--panes", panes.length);
      list.style.setProperty("--narrow", Math.min(2, panes.length));
      root.classList.toggle("flat", panes.every((pane) => pane.meta.grid[0] === 1));
      track.set(meta.steps, meta.fps);
    } else if (meta?.digest !== digest) return;
    if (incoming.nonce > nonce) {
      ({ nonce } = incoming);
      view = { at: [0.5, 0.5], step: meta.start, ...incoming.state };
    }
    track.to(view.step);
    root.dataset.ready = digest;
  }

  const watcher = new ResizeObserver(() => {
    if (meta) for (const pane of panes)
      if (pane.field.clientWidth !== pane.size[0] || pane.field.clientHeight !== pane.size[1]) { drawGround(pane); drawCross(pane); }
  });
  watcher.observe(list);
  return {
    root,
    feed,
    hear(send) { report = send; },
    destroy() {
      track.end();
      tell.now();
      watcher.disconnect();
      panes.forEach((pane) => pane.atlas?.close());
    },
  };
}

export default function ({ data, parentElement, setStateValue }) {
  return mount(parentElement, makePlanes, (planes) => {
    planes.hear((view) => setStateValue("view", view));
    if (data) planes.feed(data);
  });
}
