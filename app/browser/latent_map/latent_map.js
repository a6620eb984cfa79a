// The latent map. Points and pictures arrive once; hovering, zooming, hiding and choosing happen here.
// Two canvases lie on each other: the ground (points, thumbnails, mosaic) is drawn again only when the view changes,
// the overlay (cursor, hovered point, lasso) with every movement. Everything refers to a point by its row.

const NEAR = 14; // CSS pixels within which a point counts as under the pointer
const THUMB = 30;
const LARGEST_ZOOM = 60;

function makeMap() {
  let meta = null, incoming = null, parts = {}, nonce = 0, drawnLegend = "", report = () => {};
  let atlases = {}, digest = null, style = null;
  let cells = null; // spatial index
  let view = start();
  let hover = null; // [x, y] of the pointer on the plane, null when it is elsewhere
  let hovered = -1; // row of the point under the pointer or the cursor
  let lasso = null, lassoTool = false, chosen = new Set(), hiddenSet = new Set(), idRow = new Map();
  let bounds = [0, 1, 0, 1], size = [0, 0], ratio = 1, dirty = false, dots = [], drawnCamera = [0, 0, 1], drawnAt = 0;

  const ground = el("canvas", { "aria-hidden": "true" });
  const over = el("canvas", { "aria-hidden": "true" });
  const g = ground.getContext("2d"), o = over.getContext("2d");
  const hint = el("div", { class: "hint", "aria-hidden": "true" });
  const field = el("div", { class: "field", tabindex: 0, role: "application", "aria-roledescription": "map" }, ground, over, hint);
  const live = el("p", { class: "unseen", "aria-live": "polite" });

  const big = picture({ "aria-label": "Decoded picture" });
  const truth = picture({ "aria-label": "True image" });
  const again = picture({ "aria-label": "Reconstruction" });
  const place = el("figcaption", { class: "quiet number" });
  const bigFigure = el("figure", { class: "big" }, el("p", { class: "title" }, "Decoded here"), big.canvas, place);
  const dot = el("i"), pointName = el("span");
  const pointTitle = el("p", { class: "title" }, dot, pointName);
  const againFigure = el("figure", {}, again.canvas, el("figcaption", { class: "quiet" }, "reconstruction"));
  const pointFigure = el("div", { class: "point" }, pointTitle,
    el("div", { class: "pair" }, el("figure", {}, truth.canvas, el("figcaption", { class: "quiet" }, "true image")), againFigure));
  const panel = el("div", { class: "panel" }, bigFigure, pointFigure);

  const lassoButton = toggle("Lasso", false, (on) => { lassoTool = on; showTools(); });
  const thumbButton = toggle("Thumbnails", false, (on) => change({ thumbnails: on }));
  const mosaicButton = toggle("Plane", false, (on) => change({ mosaic: on }), { title: "The decoded plane behind the points" });
  const clearButton = el("button", { type: "button", onclick: () => change({ selected: [] }) }, "Clear selection");
  const allButton = el("button", { type: "button", onclick: () => change({ hidden: [] }) }, "Show all classes");
  const inButton = el("button", { type: "button", "aria-label": "Zoom in", onclick: () => zoomBy(1.6) }, "+");
  const outButton = el("button", { type: "button", "aria-label": "Zoom out", onclick: () => zoomBy(1 / 1.6) }, "\u2212");
  const resetButton = el("button", { type: "button", onclick: () => change({ zoom: null }) }, "Reset view");
  const count = el("span", { class: "quiet number", role: "status" });
  const bar = el("div", { class: "bar", role: "toolbar", "aria-label": "Map tools" },
    thumbButton, mosaicButton, lassoButton, inButton, outButton, resetButton, allButton, clearButton, count);
  const legend = el("div", { class: "legend", role: "group", "aria-label": "Classes" });
  const caption = el("p", { class: "caption quiet" });
  const frame = el("div", { class: "map" }, el("div", { class: "left" }, bar, field, legend, caption), panel);
  const root = el("div", { class: "ae" }, frame, live);

  function start() {
    return { cursor: null, point: null, hidden: [], thumbnails: false, mosaic: false, selected: [], zoom: null, changed: 0 };
  }

  // ---- state ------------------------------------------------------------------------------------------------------

  // Maps of one group: the point under the pointer of one is marked in all; what was clicked or chosen and which classes
  // are hidden is the same in all. They tell each other here in the page, so that it is as fast as in one map. Each
  // change carries its time: what Python sends, and what a map that is just being drawn knows, may be older.
  let pointed = null; // the id that the others were told of
  const tellMaps = (news) =>
    meta?.group && document.dispatchEvent(new CustomEvent("ae-maps", { detail: { from: root, group: meta.group, news } }));
  const share = () =>
    tellMaps({ changed: view.changed, point: view.point, selected: view.selected, hidden: view.hidden });
  const mark = () => { view.changed = Math.max(performance.now(), view.changed + 1); };
  function listen({ detail: { from, group, news } }) {
    if (from === root || !meta?.group || group !== meta.group) return;
    if ("asked" in news) { if (view.changed > news.asked) share(); return; }
    if ("changed" in news) {
      if (news.changed <= view.changed) return;
      const row = news.point === view.point ? undefined : idRow.get(news.point);
      if (row !== undefined) view.cursor = [parts.points[2 * row], parts.points[2 * row + 1]];
      Object.assign(view, structuredClone(news));
      adopt();
      redraw();
      follow();
      tell();
      return;
    }
    const row = idRow.get(news.pointed) ?? -1;
    if (row < 0 || !visible(row)) return follow();
    hovered = row;
    showPoint(row);
    drawOver();
  }
  document.addEventListener("ae-maps", listen);

  const tell = settled(() => meta.report && report({ ...view, point: meta.group ? view.point : pointAt(view.cursor) }), 180);
  function change(part) {
    Object.assign(view, part);
    if ("zoom" in part) limitZoom();
    if ("selected" in part || "hidden" in part) { mark(); share(); }
    adopt();
    redraw();
    follow();
    tell();
  }
  function adopt() {
    hiddenSet = new Set(view.hidden);
    chosen = new Set(view.selected.map((id) => idRow.get(id)).filter((row) => row !== undefined));
    showTools();
  }
  const visible = (row) => !hiddenSet.size || !parts.labels || !hiddenSet.has(parts.labels[row]);
  const pointAt = (at) => {
    const row = at ? nearest(...toScreen(...at)) : -1;
    return row < 0 ? null : parts.ids[row];
  };

  function showTools() {
    const press = (button, on) => button.setAttribute("aria-pressed", String(on));
    press(lassoButton, lassoTool);
    press(thumbButton, view.thumbnails);
    press(mosaicButton, view.mosaic);
    clearButton.hidden = !chosen.size;
    allButton.hidden = !view.hidden.length;
    resetButton.disabled = !view.zoom;
    count.textContent = chosen.size ? `${counted(chosen.size)} selected` : "";
    for (const button of legend.children) press(button, !hiddenSet.has(Number(button.dataset.label)));
  }

  // ---- geometry: one scale for both axes, so that distances mean the same everywhere ---------------------------------

  /** What the whole view covers: the plane and the points, of which far outliers may stay outside. */
  function measureBounds() {
    const [x0, x1, y0, y1] = meta.extent, { points } = parts, rx = (x1 - x0) / 2, ry = (y1 - y0) / 2;
    bounds = [x0, x1, y0, y1];
    for (let k = 0; k < points.length; k += 2) {
      const x = clamp(points[k], x0 - rx, x1 + rx), y = clamp(points[k + 1], y0 - ry, y1 + ry);
      bounds = [Math.min(bounds[0], x), Math.max(bounds[1], x), Math.min(bounds[2], y), Math.max(bounds[3], y)];
    }
  }
  function fit() {
    const [x0, x1, y0, y1] = bounds, pad = meta.compact ? 6 : 14;
    return Math.min((size[0] - 2 * pad) / (x1 - x0 || 1), (size[1] - 2 * pad) / (y1 - y0 || 1));
  }
  function camera() {
    const [x0, x1, y0, y1] = bounds, scale = fit();
    if (!view.zoom) return [(x0 + x1) / 2, (y0 + y1) / 2, scale];
    return [view.zoom[0], view.zoom[1], scale * view.zoom[2]];
  }
  function toScreen(x, y) {
    const [cx, cy, s] = camera();
    return [size[0] / 2 + (x - cx) * s, size[1] / 2 - (y - cy) * s];
  }
  function toPlane(px, py) {
    const [cx, cy, s] = camera();
    return [cx + (px - size[0] / 2) / s, cy - (py - size[1] / 2) / s];
  }
  function limitZoom() {
    if (!view.zoom) return;
    const [x0, x1, y0, y1] = bounds, k = clamp(view.zoom[2], 1, LARGEST_ZOOM);
    view.zoom = k < 1.01 ? null : [clamp(view.zoom[0], x0, x1), clamp(view.zoom[1], y0, y1), k];
  }
  function zoomBy(factor, px = size[0] / 2, py = size[1] / 2, gliding = false) {
    const [x, y] = toPlane(px, py), [, , s] = camera(), k = clamp((s / fit()) * factor, 1, LARGEST_ZOOM), t = fit() * k;
    const zoom = [x - (px - size[0] / 2) / t, y + (py - size[1] / 2) / t, k];
    if (!gliding) return change({ zoom });
    view.zoom = zoom;
    limitZoom();
    showTools();
    glide();
    tell();
  }

  /** Rows in square cells of the plane: the nearest one is found among a handful. */
  function index() {
    const { points } = parts, n = points.length / 2, [x0, x1, y0, y1] = meta.extent;
    const side = Math.max(x1 - x0, y1 - y0) / Math.max(4, Math.sqrt(n / 2)) || 1;
    const bins = new Map();
    for (let row = 0; row < n; row++) {
      const name = Math.floor(points[2 * row] / side) * 65536 + Math.floor(points[2 * row + 1] / side);
      const bin = bins.get(name);
      if (bin) bin.push(row); else bins.set(name, [row]);
    }
    cells = { side, bins };
  }
  function nearest(px, py, reach = NEAR) {
    const [x, y] = toPlane(px, py), [, , s] = camera(), r = reach / s, { side, bins } = cells, { points } = parts;
    let best = -1, least = r * r;
    for (let i = Math.floor((x - r) / side); i <= Math.floor((x + r) / side); i++)
      for (let j = Math.floor((y - r) / side); j <= Math.floor((y + r) / side); j++)
        for (const row of bins.get(i * 65536 + j) ?? []) {
          const dx = points[2 * row] - x, dy = points[2 * row + 1] - y, d = dx * dx + dy * dy;
          if (d < least && visible(row)) { least = d; best = row; }
        }
    return best;
  }

  // ---- drawing ------------------------------------------------------------------------------------------------------

  const colourOf = (row) => (parts.labels && parts.labels[row] >= 0
    ? style.classes[parts.labels[row] % style.classes.length]
    : parts.labels ? "#8a919b" : style.primary);

  function resize() {
    const w = field.clientWidth, h = field.clientHeight;
    if (!w || !h || !meta) return;
    ratio = Math.min(2, window.devicePixelRatio || 1);
    size = [w, h];
    for (const canvas of [ground, over]) {
      canvas.width = Math.round(w * ratio);
      canvas.height = Math.round(h * ratio);
    }
    draw();
  }
  function redraw() {
    if (dirty) return;
    dirty = true;
    requestAnimationFrame(() => { if (dirty) draw(); });
  }
  /** While the view is being moved, the picture drawn last is shifted and scaled as a whole; it is drawn anew in between. */
  function glide() {
    if (performance.now() - drawnAt > 300) return redraw();
    const [x0, y0, s0] = drawnCamera, [cx, cy, s] = camera(), k = s / s0;
    const tx = (size[0] / 2) * (1 - k) + (x0 - cx) * s, ty = (size[1] / 2) * (1 - k) - (y0 - cy) * s;
    ground.style.transform = `matrix(${k}, 0, 0, ${k}, ${tx}, ${ty})`;
    drawOver();
    landed();
  }
  const landed = settled(() => redraw(), 90);

  /** One drawn dot per class, copied to every point: much cheaper than ten thousand arcs. */
  function makeDots(radius) {
    const colours = [...style.classes, "#8a919b", style.primary];
    dots = new Map(colours.map((colour) => {
      const side = Math.ceil(2 * radius * ratio) + 2, canvas = el("canvas", { width: side, height: side }), c = canvas.getContext("2d");
      c.fillStyle = colour;
      c.beginPath();
      c.arc(side / 2, side / 2, radius * ratio, 0, 7);
      c.fill();
      return [colour, canvas];
    }));
  }

  function draw() {
    dirty = false;
    if (!meta || !style || !size[0]) return;
    const { points } = parts, n = points.length / 2, [cx, cy, s] = camera(), k = s / fit();
    drawnCamera = [cx, cy, s];
    drawnAt = performance.now();
    ground.style.transform = "";
    const X = (row) => size[0] / 2 + (points[2 * row] - cx) * s, Y = (row) => size[1] / 2 - (points[2 * row + 1] - cy) * s;
    g.setTransform(ratio, 0, 0, ratio, 0, 0);
    g.clearRect(0, 0, size[0], size[1]);
    if (view.mosaic && atlases.plane) drawMosaic(); else drawAxes();
    const thumbs = view.thumbnails && atlases.images ? pickThumbs(n, X, Y) : [];
    const radius = clamp((n > 4000 ? 2.2 : n > 800 ? 3 : 4.2) * Math.sqrt(Math.sqrt(k)) * (meta.compact ? 0.9 : 1), 1.6, 7);
    makeDots(radius);
    g.setTransform(1, 0, 0, 1, 0, 0);
    const strong = view.thumbnails ? 0.35 : view.mosaic ? 0.9 : n > 1500 ? 0.75 : 0.9;
    for (let row = 0; row < n; row++) {
      if (!visible(row)) continue;
      const x = X(row) * ratio, y = Y(row) * ratio;
      if (x < -9 || y < -9 || x > ground.width + 9 || y > ground.height + 9) continue;
      const sprite = dots.get(colourOf(row));
      g.globalAlpha = chosen.size ? (chosen.has(row) ? 1 : 0.16) : strong;
      g.drawImage(sprite, Math.round(x - sprite.width / 2), Math.round(y - sprite.height / 2));
    }
    g.setTransform(ratio, 0, 0, ratio, 0, 0);
    g.globalAlpha = 1;
    for (const row of thumbs) {
      g.globalAlpha = chosen.size && !chosen.has(row) ? 0.25 : 1;
      const m = meta.images, fitted = THUMB / Math.max(m.width, m.height), w = m.width * fitted, h = m.height * fitted;
      const x = X(row) - w / 2, y = Y(row) - h / 2;
      g.fillStyle = colourOf(row);
      g.fillRect(x - 2, y - 2, w + 4, h + 4);
      drawTile(g, atlases.images, m, row, x, y, w, h);
    }
    g.globalAlpha = 1;
    root.dataset.thumbnails = thumbs.length;
    if (!view.thumbnails && !chosen.size && parts.labels && !meta.compact) drawNames(n, X, Y);
    drawOver();
  }

  function drawAxes() {
    const [x0] = toScreen(0, 0), [, y0] = toScreen(0, 0);
    g.strokeStyle = style.line;
    g.lineWidth = 1;
    g.beginPath();
    g.moveTo(Math.round(x0) + 0.5, 0); g.lineTo(Math.round(x0) + 0.5, size[1]);
    g.moveTo(0, Math.round(y0) + 0.5); g.lineTo(size[0], Math.round(y0) + 0.5);
    g.stroke();
    if (meta.compact) return;
    g.fillStyle = style.text;
    g.globalAlpha = 0.7;
    g.font = `15px ${style.font}`;
    g.textAlign = "right";
    g.fillText(meta.axes[0], size[0] - 8, clamp(y0 - 7, 16, size[1] - 8));
    g.textAlign = "left";
    g.fillText(meta.axes[1], clamp(x0 + 7, 8, size[0] - 40), 18);
    g.globalAlpha = 1;
  }

  /** Tiles of the plane, as many as stay legible at this zoom. */
  function drawMosaic() {
    const [rows, columns] = meta.plane.grid, [x0, x1, y0, y1] = meta.extent, [, , s] = camera();
    const stepX = (x1 - x0) / (columns - 1 || 1), stepY = (y1 - y0) / (rows - 1 || 1);
    const skip = Math.max(1, Math.ceil(24 / (stepX * s)), Math.ceil(24 / (stepY * s)));
    g.globalAlpha = 0.55;
    for (let i = (rows - 1) % skip >> 1; i < rows; i += skip)
      for (let j = (columns - 1) % skip >> 1; j < columns; j += skip) {
        const [px, py] = toScreen(x0 + j * stepX, y0 + i * stepY), w = stepX * skip * s, h = stepY * skip * s;
        if (px < -w || py < -h || px > size[0] + w || py > size[1] + h) continue;
        drawTile(g, atlases.plane, meta.plane, i * columns + j, px - w / 2, py - h / 2, w + 0.5, h + 0.5);
      }
    g.globalAlpha = 1;
  }

  /** Rows whose thumbnails do not overlap; always in the order of the rows, so the same view shows the same ones. */
  function pickThumbs(n, X, Y) {
    const taken = new Map(), picked = [], side = THUMB + 6;
    for (let row = 0; row < n; row++) {
      if (!visible(row)) continue;
      const x = X(row), y = Y(row);
      if (x < 0 || y < 0 || x > size[0] || y > size[1]) continue;
      const i = Math.floor(x / side), j = Math.floor(y / side);
      let free = true;
      for (let a = i - 1; free && a <= i + 1; a++)
        for (let b = j - 1; free && b <= j + 1; b++) {
          const other = taken.get(a * 4096 + b);
          if (other !== undefined && Math.abs(X(other) - x) < side && Math.abs(Y(other) - y) < side) free = false;
        }
      if (!free) continue;
      taken.set(i * 4096 + j, row);
      picked.push(row);
    }
    return picked;
  }

  /** Each class's name at the middle of its points: colour alone is not enough. */
  function drawNames(n, X, Y) {
    const sums = new Map();
    for (let row = 0; row < n; row++) {
      const label = parts.labels[row];
      if (label < 0 || !visible(row)) continue;
      if (!sums.has(label)) sums.set(label, [[], []]);
      sums.get(label)[0].push(X(row));
      sums.get(label)[1].push(Y(row));
    }
    if (sums.size > 24) return;
    const middle = (list) => list.sort((a, b) => a - b)[list.length >> 1];
    g.font = `600 20px ${style.font}`;
    g.textAlign = "center";
    g.textBaseline = "middle";
    g.lineJoin = "round";
    for (const [label, [xs, ys]] of sums) {
      const x = middle(xs), y = middle(ys), name = meta.class_names[label];
      const text = name.length > 14 ? `${name.slice(0, 13)}\u2026` : name;
      g.lineWidth = 5;
      g.strokeStyle = style.background;
      g.strokeText(text, x, y);
      g.fillStyle = style.text;
      g.fillText(text, x, y);
    }
    g.textBaseline = "alphabetic";
  }

  function drawOver() {
    o.setTransform(ratio, 0, 0, ratio, 0, 0);
    o.clearRect(0, 0, size[0], size[1]);
    const ring = (x, y, r, colour, width) => {
      o.lineWidth = width; o.strokeStyle = colour; o.beginPath(); o.arc(x, y, r, 0, 7); o.stroke();
    };
    if (hovered >= 0) {
      const [x, y] = toScreen(parts.points[2 * hovered], parts.points[2 * hovered + 1]);
      ring(x, y, 9, style.background, 6);
      ring(x, y, 9, style.text, 2.5);
    }
    if (view.cursor) {
      const [x, y] = toScreen(...view.cursor);
      for (const [colour, width] of [[style.background, 8], [style.primary, 4]]) {
        o.strokeStyle = colour; o.lineWidth = width; o.beginPath();
        for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
          o.moveTo(x + 5 * dx, y + 5 * dy); o.lineTo(x + 18 * dx, y + 18 * dy);
        }
        o.stroke();
      }
    }
    if (lasso) {
      o.beginPath();
      for (const [x, y] of lasso) o.lineTo(x, y);
      o.closePath();
      o.globalAlpha = 0.15; o.fillStyle = style.primary; o.fill(); o.globalAlpha = 1;
      o.strokeStyle = style.primary; o.lineWidth = 2; o.stroke();
    }
  }

  /** The panel shows the place under the pointer, else the pinned cursor, else the middle of the plane. */
  function follow() {
    if (!meta) return;
    const [x0, x1, y0, y1] = meta.extent, at = hover ?? view.cursor ?? [(x0 + x1) / 2, (y0 + y1) / 2];
    if (meta.plane && atlases.plane) {
      const [rows, columns] = meta.plane.grid;
      const j = clamp(Math.round(((at[0] - x0) / (x1 - x0 || 1)) * (columns - 1)), 0, columns - 1);
      const i = clamp(Math.round(((at[1] - y0) / (y1 - y0 || 1)) * (rows - 1)), 0, rows - 1);
      big.tile(atlases.plane, meta.plane, i * columns + j);
      const off = at[0] < x0 || at[0] > x1 || at[1] < y0 || at[1] > y1;
      place.textContent = `${meta.axes[0]} = ${shown(at[0])}, ${meta.axes[1]} = ${shown(at[1])}${off ? " \u00b7 nearest decoded" : ""}`;
    }
    hovered = hover || view.cursor ? nearest(...toScreen(...at)) : -1;
    if (hovered >= 0) showPoint(hovered);
    drawOver();
    const now = hover && hovered >= 0 ? parts.ids[hovered] : null;
    if (now !== pointed) tellMaps({ pointed: (pointed = now) });
  }
  function showPoint(row) {
    if (!atlases.images) return;
    truth.tile(atlases.images, meta.images, row);
    truth.canvas.dataset.id = parts.ids[row];
    if (atlases.reconstructions) again.tile(atlases.reconstructions, meta.reconstructions, row);
    const label = parts.labels ? parts.labels[row] : -1, name = label >= 0 ? meta.class_names[label] : "";
    pointName.textContent = name ? `${name} \u00b7 image ${parts.ids[row]}` : `Image ${parts.ids[row]}`;
    dot.style.background = colourOf(row);
    dot.hidden = label < 0;
    truth.canvas.setAttribute("aria-label", `True image ${parts.ids[row]}${name ? `, class ${name}` : ""}`);
    again.canvas.setAttribute("aria-label", `Reconstruction of image ${parts.ids[row]}`);
  }
  const speak = settled(() => {
    const at = view.cursor;
    if (!at) return;
    const row = nearest(...toScreen(...at));
    const point = row < 0 ? "no point near" : pointName.textContent;
    live.textContent = `${meta.axes[0]} ${shown(at[0])}, ${meta.axes[1]} ${shown(at[1])}; ${point}`;
  }, 400);

  // ---- hands ----------------------------------------------------------------------------------------------------------

  const pointers = new Map();
  let press = null; // {x, y, zoom, moved, touch}
  let pinch = null;
  const local = (event) => {
    const box = field.getBoundingClientRect();
    return [event.clientX - box.left - 1, event.clientY - box.top - 1];
  };

  field.addEventListener("pointerdown", (event) => {
    if (event.button > 0 || !meta) return;
    const [x, y] = local(event), touch = event.pointerType === "touch";
    field.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, [x, y]);
    if (pointers.size === 2) {
      pinch = spread();
      press = lasso = null;
      return;
    }
    press = { x, y, camera: camera(), moved: false, touch };
    if (!meta.compact && (event.shiftKey || lassoTool)) lasso = [[x, y]];
    else if (touch) { hover = toPlane(x, y); follow(); }
  });
  field.addEventListener("pointermove", (event) => {
    if (!meta) return;
    const [x, y] = local(event);
    if (pointers.has(event.pointerId)) pointers.set(event.pointerId, [x, y]);
    if (pinch && pointers.size === 2) return pinchMove();
    if (lasso) { lasso.push([x, y]); drawOver(); return; }
    if (press && Math.hypot(x - press.x, y - press.y) > 4) press.moved = true;
    if (press?.moved && !press.touch && !meta.compact) {
      const [cx, cy, s] = press.camera;
      field.classList.add("panning");
      view.zoom = [cx - (x - press.x) / s, cy + (y - press.y) / s, Math.max(1.02, s / fit())];
      limitZoom();
      showTools();
      hover = null;
      glide();
      return;
    }
    hover = toPlane(x, y);
    follow();
  });
  const release = (event) => {
    if (!pointers.delete(event.pointerId)) return;
    field.classList.remove("panning");
    if (pinch) { if (!pointers.size) { pinch = null; hover = null; tell(); } return; }
    const [x, y] = local(event);
    if (lasso) {
      const ring = lasso;
      lasso = null;
      if (ring.length > 3) change({ selected: inside(ring) }); else drawOver();
    } else if (press && event.type === "pointerup" && (!press.moved || press.touch || meta.compact)) {
      pin(toPlane(x, y));
    } else if (press?.moved) {
      landed.now();
      tell();
    }
    press = null;
    if (event.pointerType === "touch") hover = null;
  };
  field.addEventListener("pointerup", release);
  field.addEventListener("pointercancel", release);
  field.addEventListener("pointerleave", () => { if (!press) { hover = null; follow(); } });
  field.addEventListener("wheel", (event) => {
    if (!meta || meta.compact) return;
    if (!event.ctrlKey && field.getRootNode().activeElement !== field) {
      hint.textContent = "Click the map, then the wheel zooms";
      hint.classList.add("on");
      clearTimeout(hint.timer);
      hint.timer = setTimeout(() => hint.classList.remove("on"), 1400);
      return;
    }
    event.preventDefault();
    zoomBy(Math.exp(-clamp(event.deltaY, -120, 120) * (event.ctrlKey ? 0.012 : 0.003)), ...local(event), true);
  }, { passive: false });

  function spread() {
    const [[ax, ay], [bx, by]] = [...pointers.values()];
    const [x, y] = toPlane((ax + bx) / 2, (ay + by) / 2);
    return { apart: Math.hypot(ax - bx, ay - by) || 1, x, y, k: camera()[2] / fit() };
  }
  function pinchMove() {
    if (meta.compact) return;
    const [[ax, ay], [bx, by]] = [...pointers.values()], mx = (ax + bx) / 2, my = (ay + by) / 2;
    const k = clamp((pinch.k * Math.hypot(ax - bx, ay - by)) / pinch.apart, 1, LARGEST_ZOOM), s = fit() * k;
    view.zoom = [pinch.x - (mx - size[0] / 2) / s, pinch.y + (my - size[1] / 2) / s, k];
    limitZoom();
    showTools();
    glide();
  }
  function pin(at) {
    const [x0, x1, y0, y1] = bounds;
    view.cursor = [clamp(at[0], x0, x1), clamp(at[1], y0, y1)];
    const point = pointAt(view.cursor);
    if (!meta.group || point !== null) view.point = point; // in a group a click beside all points moves this cursor alone
    if (meta.group && point !== null) { mark(); share(); }
    follow();
    speak();
    tell();
  }
  /** Ids of the visible points inside the drawn ring (even-odd rule). */
  function inside(ring) {
    const ids = [], { points } = parts;
    for (let row = 0; row < points.length / 2; row++) {
      if (!visible(row)) continue;
      const [x, y] = toScreen(points[2 * row], points[2 * row + 1]);
      let odd = false;
      for (let i = 0, j = ring.length - 1; i < ring.length; j = i++) {
        const [ax, ay] = ring[i], [bx, by] = ring[j];
        if (ay > y !== by > y && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) odd = !odd;
      }
      if (odd) ids.push(parts.ids[row]);
    }
    return ids;
  }

  field.addEventListener("keydown", (event) => {
    if (!meta || event.altKey || event.metaKey || event.ctrlKey) return;
    const [x0, x1, y0, y1] = meta.extent, [, , s] = camera();
    const step = (event.shiftKey ? 60 : 12) / s, at = view.cursor ?? [(x0 + x1) / 2, (y0 + y1) / 2];
    const moves = {
      ArrowLeft: [at[0] - step, at[1]], ArrowRight: [at[0] + step, at[1]],
      ArrowDown: [at[0], at[1] - step], ArrowUp: [at[0], at[1] + step],
      Home: [x0, at[1]], End: [x1, at[1]], PageUp: [at[0], y1], PageDown: [at[0], y0],
    };
    if (moves[event.key]) { hover = null; pin(moves[event.key]); }
    else if (event.key === "Escape" && (chosen.size || lasso)) { lasso = null; change({ selected: [] }); }
    else if (event.key === "+" && !meta.compact) zoomBy(1.6);
    else if (event.key === "-" && !meta.compact) zoomBy(1 / 1.6);
    else if (event.key === "0" && !meta.compact) change({ zoom: null });
    else return;
    event.preventDefault();
  });

  // ---- feeding ----------------------------------------------------------------------------------------------------

  function makeLegend() {
    const wanted = `${digest} ${style.classes}`;
    if (wanted === drawnLegend) return; // a rerun must not take the focus from a class's button
    drawnLegend = wanted;
    legend.replaceChildren();
    const present = parts.labels ? [...new Set(parts.labels)].filter((l) => l >= 0).sort((a, b) => a - b) : [];
    if (meta.compact) return;
    for (const label of present) {
      const swatch = el("i");
      swatch.style.background = swatch.style.borderColor = style.classes[label % style.classes.length];
      const button = toggle("", true, (on) => {
        const rest = view.hidden.filter((other) => other !== label);
        change({ hidden: on ? rest : [...rest, label] });
      }, { "data-label": label, title: "Click: hide or show. Double click: only this class" });
      button.append(swatch, el("span", { class: "name" }, meta.class_names[label]));
      button.addEventListener("dblclick", () => change({ hidden: present.filter((other) => other !== label) }));
      legend.append(button);
    }
  }

  async function feed(bytes) {
    const value = unpack(bytes);
    style = theme(root);
    incoming = value.meta; // a newer state may come while the pictures of an older value are still being decoded
    if (incoming.digest !== digest) {
      const mine = (digest = incoming.digest);
      const files = { images: "image_atlas", reconstructions: "reconstruction_atlas", plane: "plane_atlas" };
      const decoded = {};
      await Promise.all(Object.entries(files).map(async ([name, part]) => {
        if (value.parts[part]) decoded[name] = await decode(value.parts[part]);
      }));
      if (digest !== mine) { Object.values(decoded).forEach((bitmap) => bitmap.close()); return; }
      Object.values(atlases).forEach((bitmap) => bitmap.close());
      ({ meta, parts } = value);
      atlases = decoded;
      hovered = -1;
      truth.clear();
      again.clear();
      idRow = new Map(Array.from(parts.ids, (id, row) => [id, row]));
      measureBounds();
      index();
    } else if (meta?.digest !== digest) return;
    if (incoming.nonce > nonce) {
      ({ nonce } = incoming);
      view = { ...start(), ...incoming.state };
    }
    limitZoom();
    frame.classList.toggle("compact", meta.compact);
    frame.classList.toggle("pictured", Boolean(meta.plane));
    bar.hidden = legend.hidden = meta.compact;
    pointFigure.hidden = meta.compact;
    bigFigure.hidden = !meta.plane;
    panel.hidden = meta.compact && !meta.plane;
    frame.classList.toggle("alone", panel.hidden);
    mosaicButton.hidden = !meta.plane;
    againFigure.hidden = !meta.reconstructions;
    caption.textContent = meta.caption;
    caption.hidden = !meta.caption;
    if (truth.canvas.dataset.tile === undefined) pointName.textContent = "Point at a dot";
    dot.hidden = truth.canvas.dataset.tile === undefined;
    big.canvas.setAttribute("aria-label", "Picture decoded at the place under the pointer or the pinned cursor");
    field.setAttribute("aria-label", `${meta.alt} ${meta.caption} Arrow keys move the cursor${meta.compact ? "" : ", plus and minus zoom"}.`);
    field.style.height = `min(${meta.height}px, ${meta.compact ? "90" : "110"}cqw)`;
    makeLegend();
    adopt();
    resize();
    follow();
    if (meta.group) tellMaps({ asked: view.changed });
    root.dataset.ready = digest;
  }

  const watcher = new ResizeObserver(() => {
    if (meta && (field.clientWidth !== size[0] || field.clientHeight !== size[1])) { resize(); follow(); }
  });
  watcher.observe(field);
  return {
    root,
    feed,
    hear(send) { report = send; },
    destroy() {
      document.removeEventListener("ae-maps", listen);
      tell.now();
      landed.cancel();
      watcher.disconnect();
      Object.values(atlases).forEach((bitmap) => bitmap.close());
    },
  };
}

export default function ({ data, parentElement, setStateValue }) {
  return mount(parentElement, makeMap, (map) => {
    map.hear((view) => setStateValue("view", view));
    if (data) map.feed(data);
  });
}
