// The latent map: points of a data set on a plane. Points and pictures arrive once; hovering, zooming, hiding and
// selecting happen in the browser. A point is always referred to by its row in the arrays that Python sent.
//
// This file holds the state and everything that changes it. Each of the others holds one idea:
//   camera.js    from places on the plane to pixels and back; zoom
//   points.js    rows: visibility, colour, the nearest point, the points inside a ring
//   ground.js    the lower canvas: points, thumbnails, decoded plane; drawn only when the view changes
//   overlay.js   the upper canvas: cursor, hovered point, lasso; drawn with every movement
//   panel.js     the pictures beside the map
//   tools.js     the buttons above the map and the legend below it
//   pointer.js   mouse, pen, fingers and wheel
//   keyboard.js  keys
//   group.js     messages between maps that show the same examples

/** What Python hears of and what a link can restore: see MapView in __init__.py. */
const initialView = () => ({
  cursor: null, point: null, hidden: [], thumbnails: false, mosaic: false, selected: [], zoom: null, changed: 0,
});

function makeMap(report) {
  const map = {
    meta: null, // settings, names and sizes of the value that is shown
    parts: {}, // its arrays: points, ids, labels
    atlases: {}, // its pictures as bitmaps: images, reconstructions, plane
    style: null, // colours and font of the page
    view: initialView(),
    hidden: new Set(), // labels that are not shown, from view.hidden
    selected: new Set(), // rows of the points that are selected, from view.selected
    rowOf: new Map(), // from an example's id to its row
    hover: null, // [x, y] on the plane under the pointer; null while the pointer is elsewhere
    hoveredRow: -1, // the point under the pointer or else under the cursor; -1 if none is near
    lasso: null, // [[px, py], ...] while a ring is being drawn
    lassoTool: false, // whether dragging draws a ring rather than moving the view
  };
  const tell = settled(() => {
    if (map.meta.report) report({ ...map.view, point: map.meta.group ? map.view.point : points.idAt(map.view.cursor) });
  }, 180);
  const actions = { change, select, moveView, endMove, follow, pin, tell };

  const field = el("div", { class: "field", tabindex: 0, role: "application", "aria-roledescription": "map" });
  const caption = el("p", { class: "caption quiet" });
  const announcement = el("p", { class: "unseen", "aria-live": "polite" });
  const camera = makeCamera(map);
  const points = makePoints(map, camera);
  const overlay = makeOverlay(map, camera);
  const ground = makeGround(map, camera, points, overlay);
  const panel = makePanel(map, points);
  const tools = makeTools(map, camera, actions);
  const left = el("div", { class: "left" }, tools.bar, field, tools.legend, caption);
  const frame = el("div", { class: "map" }, left, panel.node);
  const root = el("div", { class: "ae" }, frame, announcement);
  const group = makeGroup(map, root, { takeNews, markPoint });
  field.append(ground.canvas, overlay.canvas);
  listenToPointer(field, map, camera, overlay, actions);
  listenToKeys(field, map, camera, actions);

  const announce = settled(() => {
    const { axes } = map.meta, { cursor } = map.view;
    if (!cursor) return;
    const point = points.idAt(cursor) === null ? "no point near" : panel.pointName();
    announcement.textContent = `${axes[0]} ${shown(cursor[0])}, ${axes[1]} ${shown(cursor[1])}; ${point}`;
  }, 400);

  // ---- what a hand, a key, a button or another map changes ------------------------------------------------------------

  /** Changes entries of the view; Python and the maps of the group hear of it. */
  function change(entries) {
    Object.assign(map.view, entries);
    if ("zoom" in entries) camera.limitZoom();
    if ("selected" in entries || "hidden" in entries) group.share();
    show();
    tell();
  }
  function select(ring) {
    change({ selected: points.idsInside(ring) });
  }

  function show() {
    readView();
    ground.redraw();
    follow();
  }
  /** Brings what follows from the view up to date. */
  function readView() {
    const { hidden, selected } = map.view;
    map.hidden = new Set(hidden);
    map.selected = new Set(selected.map((id) => map.rowOf.get(id)).filter((row) => row !== undefined));
    tools.update();
  }

  /** Zooms or shifts the view while the user is still moving it. Python hears of it only by `tell` or `endMove`. */
  function moveView(zoom) {
    map.view.zoom = zoom;
    camera.limitZoom();
    tools.update();
    ground.glide();
  }
  function endMove() {
    ground.land();
    tell();
  }

  /** Puts the cursor at a place of the plane. In a group, a click beside all points moves the cursor of this map only. */
  function pin([x, y]) {
    const { view } = map;
    view.cursor = camera.inBounds(x, y);
    const point = points.idAt(view.cursor);
    if (!map.meta.group || point !== null) view.point = point;
    if (map.meta.group && point !== null) group.share();
    follow();
    announce();
    tell();
  }

  /** Shows the place under the pointer, else under the cursor, else in the middle of the plane, and the point near it. */
  function follow() {
    if (!map.meta) return;
    const { meta: { extent: [x0, x1, y0, y1] }, hover, view } = map;
    const at = hover ?? view.cursor ?? [(x0 + x1) / 2, (y0 + y1) / 2];
    panel.showPlace(at);
    map.hoveredRow = hover || view.cursor ? points.nearest(...camera.toScreen(...at)) : -1;
    if (map.hoveredRow >= 0) panel.showPoint(map.hoveredRow);
    overlay.draw();
    group.point(hover && map.hoveredRow >= 0 ? map.parts.ids[map.hoveredRow] : null);
  }

  /** Another map of the group has a newer clicked point, selection or set of hidden classes. */
  function takeNews(news) {
    const places = map.parts.points, row = news.point === map.view.point ? undefined : map.rowOf.get(news.point);
    if (row !== undefined) map.view.cursor = [places[2 * row], places[2 * row + 1]];
    Object.assign(map.view, structuredClone(news));
    show();
    tell();
  }
  /** The pointer is over this example in another map of the group. */
  function markPoint(id) {
    const row = map.rowOf.get(id) ?? -1;
    if (row < 0 || !points.visible(row)) return follow();
    map.hoveredRow = row;
    panel.showPoint(row);
    overlay.draw();
  }

  // ---- what Python sends ----------------------------------------------------------------------------------------------

  let digest = null; // of the value that was taken last, whose pictures may still be being decoded
  let incoming = null; // its meta, or that of a newer message with the same pictures
  let nonce = 0; // of the last state that was obeyed

  async function feed(bytes) {
    const value = unpack(bytes);
    map.style = theme(root);
    incoming = value.meta;
    if (incoming.digest !== digest) {
      if (!(await take(value))) return;
    } else if (map.meta?.digest !== digest) return;
    if (incoming.nonce > nonce) {
      ({ nonce } = incoming);
      map.view = { ...initialView(), ...incoming.state };
    }
    camera.limitZoom();
    layOut();
    readView();
    resize();
    follow();
    if (map.meta.group) group.ask();
    root.dataset.ready = digest;
  }

  /** Takes a value with other pictures; false if a newer one has arrived before these were decoded. */
  async function take({ meta, parts }) {
    digest = meta.digest;
    const files = { images: "image_atlas", reconstructions: "reconstruction_atlas", plane: "plane_atlas" };
    const decoded = {};
    await Promise.all(Object.entries(files).map(async ([name, part]) => {
      if (parts[part]) decoded[name] = await decode(parts[part]);
    }));
    if (digest !== meta.digest) { closeAll(decoded); return false; }
    closeAll(map.atlases);
    Object.assign(map, { meta, parts, atlases: decoded, hoveredRow: -1 });
    map.rowOf = new Map(Array.from(parts.ids, (id, row) => [id, row]));
    panel.clear();
    camera.measure();
    points.index();
    return true;
  }
  const closeAll = (bitmaps) => Object.values(bitmaps).forEach((bitmap) => bitmap.close());

  function layOut() {
    const { meta } = map;
    frame.classList.toggle("compact", meta.compact);
    frame.classList.toggle("pictured", Boolean(meta.plane));
    caption.textContent = meta.caption;
    caption.hidden = !meta.caption;
    field.setAttribute("aria-label", `${meta.alt} ${meta.caption} Arrow keys move the cursor${meta.compact ? "" : ", plus and minus zoom"}.`);
    field.style.height = `min(${meta.height}px, ${meta.compact ? "90" : "110"}cqw)`;
    tools.layOut();
    panel.layOut();
    frame.classList.toggle("alone", panel.node.hidden);
  }

  function resize() {
    if (!field.clientWidth || !field.clientHeight || !map.meta) return;
    camera.size = [field.clientWidth, field.clientHeight];
    ground.draw();
  }
  const watcher = new ResizeObserver(() => {
    const [width, height] = camera.size;
    if (map.meta && (field.clientWidth !== width || field.clientHeight !== height)) { resize(); follow(); }
  });
  watcher.observe(field);

  return {
    root,
    feed,
    destroy() {
      group.leave();
      tell.now();
      ground.stop();
      watcher.disconnect();
      closeAll(map.atlases);
    },
  };
}

export default component(makeMap, "view");
