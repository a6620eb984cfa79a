// The scrubber. All frames arrive as one atlas; a drag only copies a tile. Python hears of it when the hand lets go.

function makeScrubber(report) {
  let meta = null, parts = {}, bitmap = null, digest = null;
  let rows = []; // the elements of each unit
  let at = []; // the value of each unit as it is shown
  let active = -1; // the unit that was moved last
  let held = -1; // the unit that the pointer holds
  let seq = 0; // number of the last report
  const unanswered = new Map(); // unit -> number of its last report, as long as Python has not answered it

  const shownPicture = picture({});
  const note = el("figcaption", { class: "number", "aria-live": "off" });
  const measure = el("span", { class: "quiet measure" });
  const head = el("div", { class: "head" }, el("span"), el("span", { class: "quiet help" }, "Drag a strip; double click brings it back"), el("span"), measure);
  const list = el("div", { class: "rows", role: "group", "aria-label": "Units of the code" }, head);
  const frame = el("div", { class: "scrub" }, el("figure", {}, shownPicture.canvas, note), list);
  const root = el("div", { class: "ae" }, frame);

  const frameOf = (unit, value) => {
    const s = meta.steps, from = unit * s; // its frames are from, from + 1, ...
    let nearest = 0;
    for (let k = 1; k < s; k++)
      if (Math.abs(parts.values[from + k] - value) < Math.abs(parts.values[from + nearest] - value)) nearest = k;
    return nearest;
  };
  const limits = (unit) => [parts.values[unit * meta.steps], parts.values[(unit + 1) * meta.steps - 1]];
  const tell = settled(() => {
    if (active < 0) return;
    seq = Math.max(seq + 1, Date.now()); // larger than before a reload, too, so that Python never takes a new move for an old one
    unanswered.set(active, seq);
    report({ unit: active, value: at[active], seq });
  }, 220);

  /** Moves the thumb of one row and shows its frame, without the server; `exact` keeps a value between two frames. */
  function move(unit, value, exact = false) {
    if (active >= 0 && active !== unit) tell.now();
    const k = frameOf(unit, value);
    at[unit] = exact ? value : parts.values[unit * meta.steps + k];
    active = unit;
    if (bitmap) shownPicture.tile(bitmap, meta.atlas, unit * meta.steps + k);
    placeThumb(unit);
    describe(unit);
  }
  function describe(unit) {
    const text = unit < 0 ? "" : `${meta.names[unit]} = ${shown(at[unit])}`;
    note.textContent = text;
    shownPicture.canvas.setAttribute("aria-label", text ? `${meta.alt}; ${text}` : meta.alt);
  }
  function placeThumb(unit) {
    const [low, high] = limits(unit), { track, thumb, value } = rows[unit];
    thumb.style.left = `${clamp(((at[unit] - low) / (high - low || 1)) * 100, 0, 100)}%`;
    value.textContent = shown(at[unit]);
    track.setAttribute("aria-valuenow", at[unit].toFixed(3));
    track.setAttribute("aria-valuetext", shown(at[unit]));
  }

  function makeRow(unit) {
    const strip = el("canvas", { "aria-hidden": "true" }), thumb = el("div", { class: "thumb" }), home = el("div", { class: "home" });
    const track = el("div", { class: "track", role: "slider", tabindex: 0, "aria-orientation": "horizontal" }, strip, home, thumb);
    const name = el("span", { class: "name" }), value = el("span", { class: "value number" });
    const bar = el("div"), weight = el("div", { class: "weight", role: "img" }, bar);
    const line = el("div", { class: "row" }, name, track, value, weight);
    listen(track, unit);
    list.append(line);
    return { line, track, strip, thumb, home, name, value, weight, bar };
  }

  /** Pointer and keys on the track of a unit. */
  function listen(track, unit) {
    const valueAt = (event) => {
      const [low, high] = limits(unit);
      return low + placeInBox(event, track)[0] * (high - low);
    };
    const goHome = () => { move(unit, parts.home[unit], true); tell(); };
    track.addEventListener("pointerdown", (event) => {
      if (event.button > 0) return;
      track.setPointerCapture(event.pointerId);
      track.classList.add("held");
      held = unit;
      tell.cancel();
      move(unit, valueAt(event));
    });
    track.addEventListener("pointermove", (event) => { if (held === unit) move(unit, valueAt(event)); });
    const letGo = () => {
      if (held !== unit) return;
      held = -1;
      track.classList.remove("held");
      tell();
    };
    track.addEventListener("pointerup", letGo);
    track.addEventListener("pointercancel", letGo);
    track.addEventListener("dblclick", goHome);
    track.addEventListener("keydown", (event) => {
      if (isShortcut(event)) return;
      const s = meta.steps, k = frameOf(unit, at[unit]), page = Math.max(2, Math.round(s / 8));
      const frame = {
        ArrowLeft: k - 1, ArrowRight: k + 1, PageDown: k - page, PageUp: k + page, Home: 0, End: s - 1,
      }[event.key];
      if (event.key === "ArrowUp" || event.key === "ArrowDown") {
        rows[clamp(unit + (event.key === "ArrowUp" ? -1 : 1), 0, rows.length - 1)].track.focus();
      } else if (event.key === "0" || event.key === "Escape") goHome();
      else if (frame !== undefined) {
        tell.cancel();
        move(unit, parts.values[unit * s + clamp(frame, 0, s - 1)]);
      } else return;
      event.preventDefault();
    });
    track.addEventListener("keyup", (event) => {
      if (["ArrowLeft", "ArrowRight", "PageDown", "PageUp", "Home", "End"].includes(event.key)) tell();
    });
    track.addEventListener("blur", () => { if (held < 0) tell.now(); });
  }

  function drawStrip(unit) {
    const { strip } = rows[unit], w = strip.clientWidth, h = strip.clientHeight;
    if (!w || !bitmap) return;
    const ctx = clearedContext(strip, w, h), s = meta.steps;
    const frameWidth = (h * meta.atlas.width) / meta.atlas.height, n = clamp(Math.floor(w / frameWidth), 1, 64), each = w / n;
    for (let i = 0; i < n; i++) {
      const k = n === 1 ? s >> 1 : Math.round((i / (n - 1)) * (s - 1));
      drawTile(ctx, bitmap, meta.atlas, unit * s + k, i * each, 0, each + 0.5, h);
    }
  }

  async function feed(bytes) {
    const value = unpack(bytes);
    if (value.meta.digest === digest) { rows.forEach((_, unit) => drawStrip(unit)); return; }
    const wanted = (digest = value.meta.digest), decoded = await decode(value.parts.atlas);
    if (digest !== wanted) { decoded.close(); return; }
    bitmap?.close();
    bitmap = decoded;
    ({ meta, parts } = value);
    const units = meta.names.length;
    while (rows.length > units) rows.pop().line.remove();
    while (rows.length < units) rows.push(makeRow(rows.length));
    at.length = units;
    for (const [unit, number] of unanswered) if (number <= meta.heard || unit >= units) unanswered.delete(unit);
    if (active >= units) active = -1;
    if (held >= units) held = -1;
    frame.classList.toggle("plain", !parts.importance);
    list.style.setProperty("--names", `${clamp(Math.max(...meta.names.map((name) => name.length)), 2, 14) + 0.5}ch`);
    measure.textContent = parts.importance ? meta.importance_label : "";
    rows.forEach((_, unit) => fillRow(unit));
    showPicture();
    describe(active);
    root.dataset.ready = digest;
  }

  function fillRow(unit) {
    const { name, track, home, weight, bar } = rows[unit], [low, high] = limits(unit);
    name.textContent = name.title = meta.names[unit];
    track.setAttribute("aria-label", meta.names[unit]);
    track.setAttribute("aria-valuemin", low.toFixed(3));
    track.setAttribute("aria-valuemax", high.toFixed(3));
    home.style.left = `${clamp(((parts.home[unit] - low) / (high - low || 1)) * 100, 0, 100)}%`;
    weight.hidden = !parts.importance;
    if (parts.importance) {
      bar.style.width = `${(100 * parts.importance[unit]) / Math.max(...parts.importance, 1e-9)}%`;
      weight.title = `${meta.importance_label}: ${shown(parts.importance[unit])}`;
      weight.setAttribute("aria-label", weight.title);
    }
    // What the hand has changed since Python last heard from it stays as the hand left it.
    const waiting = unit === held || unanswered.has(unit) || (unit === active && tell.waiting());
    if (!waiting || at[unit] === undefined) at[unit] = parts.start[unit];
    placeThumb(unit);
    drawStrip(unit);
  }

  /** The frame under the hand; else the code's own picture, if Python sent one, or the frame nearest to the code. */
  function showPicture() {
    const moving = active >= 0 && (held >= 0 || unanswered.size || tell.waiting()), unit = Math.max(active, 0);
    const frame = unit * meta.steps + frameOf(unit, at[unit]), codePicture = meta.names.length * meta.steps;
    shownPicture.tile(bitmap, meta.atlas, meta.picture && !moving ? codePicture : frame);
  }

  const watcher = new ResizeObserver(() => rows.forEach((_, unit) => drawStrip(unit)));
  watcher.observe(root);
  return {
    root,
    feed,
    destroy() { tell.now(); watcher.disconnect(); bitmap?.close(); },
  };
}

export default component(makeScrubber, "move");
