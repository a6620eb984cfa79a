// Planes: one pointer over the latent planes of several models. Its position runs from 0 to 1 on both axes and is the
// same in every pane, so all decoders follow it at once. All pictures come with the first value; a drag only copies
// tiles. The drawing of a plane itself is in ground.js.

function makePlanes(report) {
  let meta = null, digest = null, nonce = 0, style = null, panes = [];
  let view = { at: [0.5, 0.5], step: 0 }; // the pinned position and the step shown
  let hover = null; // the position under the pointer; null while the pointer is elsewhere
  let held = false; // whether the pointer is down
  let largestValue = 1; // over all tiles, for the bars

  const list = el("div", { class: "panes" });
  const announcement = el("p", { class: "unseen", "aria-live": "polite" });
  const track = stepper((step) => {
    view.step = step;
    panes.forEach(drawPane);
    follow();
  }, () => tell());
  const root = el("div", { class: "ae planes" }, list, track.bar, announcement);
  const tell = settled(() => meta.report && report({ at: view.at, step: view.step }), 180);
  const announce = settled(() => {
    announcement.textContent = panes.map((pane) => `${pane.meta.title}: ${coordinates(pane.meta)}`).join("; ");
  }, 400);

  const position = () => hover ?? view.at;
  const isStrip = ({ grid: [rows] }) => rows === 1; // a single unit of the code: the pointer moves only across
  const tileOf = ({ grid: [rows, columns], steps }) => {
    const [u, v] = position();
    const column = clamp(Math.round(u * (columns - 1)), 0, columns - 1), row = clamp(Math.round(v * (rows - 1)), 0, rows - 1);
    return (Math.min(view.step, steps - 1) * rows + row) * columns + column;
  };
  const coordinates = (pane) => {
    const [x0, x1, y0, y1] = pane.extent, [u, v] = position(), text = `${meta.axes[0]} = ${shown(x0 + u * (x1 - x0))}`;
    return isStrip(pane) ? text : `${text}, ${meta.axes[1]} = ${shown(y0 + v * (y1 - y0))}`;
  };

  // ---- one pane -----------------------------------------------------------------------------------------------------

  function makePane() {
    const ground = el("canvas", { "aria-hidden": "true" }), over = el("canvas", { "aria-hidden": "true" });
    const field = el("div", { class: "field", tabindex: 0, role: "application", "aria-roledescription": "latent plane" }, ground, over);
    const title = el("p", { class: "title" }), caption = el("figcaption", { class: "quiet number" });
    const note = el("p", { class: "quiet note" }), fill = el("i"), value = el("p", { class: "value number" });
    const bar = el("div", { class: "amount", hidden: true }, value, el("div", { class: "track" }, fill));
    const shownPicture = picture({});
    const figure = el("figure", {}, shownPicture.canvas, caption);
    const node = el("section", { class: "pane" }, title, field, figure, bar, note);
    const pane = {
      node, field, ground, over, title, caption, note, bar, value, fill, picture: shownPicture,
      meta: null, parts: {}, atlas: null, // what Python sent for this pane
      size: [0, 0], // of the plane in CSS pixels
    };
    listen(pane);
    list.append(node);
    return pane;
  }

  /** The pointer and the keys over one pane move the position in all. */
  function listen(pane) {
    const { field } = pane;
    const positionOf = (event) => {
      const [u, down] = placeInBox(event, field);
      return [u, isStrip(pane.meta) ? view.at[1] : 1 - down];
    };
    field.addEventListener("pointerdown", (event) => {
      if (event.button > 0 || !meta) return;
      field.setPointerCapture(event.pointerId);
      held = true;
      hover = positionOf(event);
      follow();
    });
    field.addEventListener("pointermove", (event) => {
      if (!meta || (event.pointerType === "touch" && !held)) return;
      hover = positionOf(event);
      follow();
    });
    const letGo = (event) => {
      if (!held) return;
      held = false;
      pin(positionOf(event));
      if (event.pointerType === "touch") hover = null;
    };
    field.addEventListener("pointerup", letGo);
    field.addEventListener("pointercancel", () => { held = false; hover = null; follow(); });
    field.addEventListener("pointerleave", () => { if (!held) { hover = null; follow(); } });
    field.addEventListener("keydown", (event) => {
      if (!meta || isShortcut(event)) return;
      const [rows, columns] = pane.meta.grid, tiles = event.shiftKey ? 4 : 1, [u, v] = view.at;
      const du = tiles / Math.max(1, columns - 1), dv = tiles / Math.max(1, rows - 1);
      const moved = {
        ArrowLeft: [u - du, v], ArrowRight: [u + du, v], ArrowDown: [u, v - dv], ArrowUp: [u, v + dv],
        Home: [0, v], End: [1, v], PageUp: [u, 1], PageDown: [u, 0],
      }[event.key];
      if (!moved) return;
      hover = null;
      pin(moved.map((value) => clamp(value, 0, 1)));
      event.preventDefault();
    });
  }

  function pin(at) {
    view.at = at;
    follow();
    announce();
    tell();
  }

  /** Everything that a movement changes: in every pane one tile, its caption and the pointer. */
  function follow() {
    for (const pane of panes) {
      if (!pane.atlas) continue;
      pane.picture.tile(pane.atlas, pane.meta.atlas, tileOf(pane.meta));
      pane.caption.textContent = coordinates(pane.meta);
      pane.picture.canvas.setAttribute("aria-label", `Decoded by ${pane.meta.title} at ${pane.caption.textContent}`);
      if (pane.parts.values) {
        const amount = pane.parts.values[tileOf(pane.meta)];
        pane.value.textContent = `${pane.meta.measure} ${shown(amount)}`;
        pane.fill.style.width = `${(100 * Math.max(0, amount)) / largestValue}%`;
      }
      drawPointer(pane);
    }
  }

  /** The pointer on a pane: a cross, or a line across a strip of tiles. */
  function drawPointer(pane) {
    const [width, height] = pane.size, [u, v] = position(), x = u * width;
    const ctx = clearedContext(pane.over, width, height);
    if (!isStrip(pane.meta)) return drawCross(ctx, x, (1 - v) * height, { inner: 4, outer: 15, width: 3.5 }, style);
    for (const [colour, lineWidth] of [[style.background, 7], [style.primary, 3.5]]) {
      ctx.strokeStyle = colour;
      ctx.lineWidth = lineWidth;
      ctx.beginPath();
      ctx.moveTo(x, 0);
      ctx.lineTo(x, height);
      ctx.stroke();
    }
  }

  function drawPane(pane) {
    if (pane.atlas && pane.field.clientWidth && pane.field.clientHeight) drawGround(pane, view.step, style);
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
        pane.field.classList.toggle("strip", isStrip(pane.meta));
        pane.field.setAttribute("aria-label", `${pane.meta.title}. ${meta.alt} Arrow keys move the pointer of all.`);
      });
      largestValue = Math.max(1e-9, ...panes.flatMap((pane) => [...(pane.parts.values ?? [])]));
      list.style.setProperty("--panes", panes.length);
      list.style.setProperty("--narrow", Math.min(2, panes.length));
      root.classList.toggle("flat", panes.every((pane) => isStrip(pane.meta)));
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
      if (pane.field.clientWidth !== pane.size[0] || pane.field.clientHeight !== pane.size[1]) { drawPane(pane); drawPointer(pane); }
  });
  watcher.observe(list);
  return {
    root,
    feed,
    destroy() {
      track.end();
      tell.now();
      watcher.disconnect();
      panes.forEach((pane) => pane.atlas?.close());
    },
  };
}

export default component(makePlanes, "view");
