// The panel beside the map: the picture decoded at a place, and a point's true image with its reconstruction.

function makePanel(map, points) {
  const decoded = picture({ "aria-label": "Decoded picture" });
  const original = picture({ "aria-label": "True image" });
  const reconstruction = picture({ "aria-label": "Reconstruction" });
  const coordinates = el("figcaption", { class: "quiet number" });
  const dot = el("i"), name = el("span");
  const captioned = (shownPicture, text) => el("figure", {}, shownPicture.canvas, el("figcaption", { class: "quiet" }, text));
  const decodedFigure = el("figure", { class: "big" }, el("p", { class: "title" }, "Decoded here"), decoded.canvas, coordinates);
  const reconstructionFigure = captioned(reconstruction, "reconstruction");
  const point = el("div", { class: "point" }, el("p", { class: "title" }, dot, name),
    el("div", { class: "pair" }, captioned(original, "true image"), reconstructionFigure));
  const node = el("div", { class: "panel" }, decodedFigure, point);

  function layOut() {
    const { meta } = map;
    point.hidden = meta.compact;
    decodedFigure.hidden = !meta.plane;
    reconstructionFigure.hidden = !meta.reconstructions;
    node.hidden = meta.compact && !meta.plane;
    const empty = original.canvas.dataset.tile === undefined;
    if (empty) name.textContent = "Point at a dot";
    dot.hidden = empty;
    decoded.canvas.setAttribute("aria-label", "Picture decoded at the place under the pointer or the pinned cursor");
  }

  /** The tile of the decoded plane that is nearest to a place. */
  function showPlace([x, y]) {
    const { meta, atlases } = map, [x0, x1, y0, y1] = meta.extent;
    if (!meta.plane || !atlases.plane) return;
    const [rows, columns] = meta.plane.grid;
    const column = clamp(Math.round(((x - x0) / (x1 - x0 || 1)) * (columns - 1)), 0, columns - 1);
    const row = clamp(Math.round(((y - y0) / (y1 - y0 || 1)) * (rows - 1)), 0, rows - 1);
    decoded.tile(atlases.plane, meta.plane, row * columns + column);
    const outside = x < x0 || x > x1 || y < y0 || y > y1;
    coordinates.textContent = `${meta.axes[0]} = ${shown(x)}, ${meta.axes[1]} = ${shown(y)}${outside ? " \u00b7 nearest decoded" : ""}`;
  }

  function showPoint(row) {
    const { meta, parts: { ids, labels }, atlases } = map, id = ids[row], label = labels ? labels[row] : -1;
    if (!atlases.images) return;
    const className = label >= 0 ? meta.class_names[label] : "";
    original.tile(atlases.images, meta.images, row);
    original.canvas.dataset.id = id;
    if (atlases.reconstructions) reconstruction.tile(atlases.reconstructions, meta.reconstructions, row);
    name.textContent = className ? `${className} \u00b7 image ${id}` : `Image ${id}`;
    dot.style.background = points.colour(row);
    dot.hidden = label < 0;
    original.canvas.setAttribute("aria-label", `True image ${id}${className ? `, class ${className}` : ""}`);
    reconstruction.canvas.setAttribute("aria-label", `Reconstruction of image ${id}`);
  }

  function clear() {
    original.clear();
    reconstruction.clear();
  }
  return { node, layOut, showPlace, showPoint, clear, pointName: () => name.textContent };
}
