// The camera: which part of the plane is seen. Places are [x, y] on the plane, or [px, py] in CSS pixels from the map's
// top left corner. Both axes have one scale, so that a distance means the same in every direction.

const LARGEST_ZOOM = 60; // times the view of everything

function makeCamera(map) {
  let bounds = [0, 1, 0, 1]; // x0, x1, y0, y1 of the view of everything

  const camera = {
    size: [0, 0], // width and height of the map in CSS pixels

    /** The view of everything covers the plane and the points, but not outliers beyond half the plane's size. */
    measure() {
      const [x0, x1, y0, y1] = map.meta.extent, { points } = map.parts, rx = (x1 - x0) / 2, ry = (y1 - y0) / 2;
      bounds = [x0, x1, y0, y1];
      for (let k = 0; k < points.length; k += 2) {
        const x = clamp(points[k], x0 - rx, x1 + rx), y = clamp(points[k + 1], y0 - ry, y1 + ry);
        bounds = [Math.min(bounds[0], x), Math.max(bounds[1], x), Math.min(bounds[2], y), Math.max(bounds[3], y)];
      }
    },
    inBounds(x, y) {
      const [x0, x1, y0, y1] = bounds;
      return [clamp(x, x0, x1), clamp(y, y0, y1)];
    },

    /** Pixels per unit of the plane in the view of everything. */
    fit() {
      const [x0, x1, y0, y1] = bounds, [width, height] = camera.size, margin = map.meta.compact ? 6 : 14;
      return Math.min((width - 2 * margin) / (x1 - x0 || 1), (height - 2 * margin) / (y1 - y0 || 1));
    },
    /** [x, y, scale]: the place in the middle of the map, and pixels per unit of the plane. */
    view() {
      const [x0, x1, y0, y1] = bounds, { zoom } = map.view, scale = camera.fit();
      return zoom ? [zoom[0], zoom[1], scale * zoom[2]] : [(x0 + x1) / 2, (y0 + y1) / 2, scale];
    },
    toScreen(x, y) {
      const [cx, cy, scale] = camera.view(), [width, height] = camera.size;
      return [width / 2 + (x - cx) * scale, height / 2 - (y - cy) * scale];
    },
    toPlane(px, py) {
      const [cx, cy, scale] = camera.view(), [width, height] = camera.size;
      return [cx + (px - width / 2) / scale, cy - (py - height / 2) / scale];
    },
    /** Two functions of a row, its px and its py: `toScreen` for thousands of points. */
    rowsToScreen(points) {
      const [cx, cy, scale] = camera.view(), [width, height] = camera.size;
      return [
        (row) => width / 2 + (points[2 * row] - cx) * scale,
        (row) => height / 2 - (points[2 * row + 1] - cy) * scale,
      ];
    },

    /** The zoom [x, y, factor] at which place (x, y) lies at pixel (px, py). */
    zoomWith(x, y, px, py, factor) {
      const limited = clamp(factor, 1, LARGEST_ZOOM), scale = camera.fit() * limited, [width, height] = camera.size;
      return [x - (px - width / 2) / scale, y + (py - height / 2) / scale, limited];
    },
    /** The zoom after magnifying by `factor` around a pixel, by default the middle. */
    magnified(factor, px = camera.size[0] / 2, py = camera.size[1] / 2) {
      const [, , scale] = camera.view();
      return camera.zoomWith(...camera.toPlane(px, py), px, py, (scale / camera.fit()) * factor);
    },
    /** Keeps the middle of the view inside the bounds; no zoom is left where everything is seen anyway. */
    limitZoom() {
      const { zoom } = map.view;
      if (!zoom) return;
      const factor = clamp(zoom[2], 1, LARGEST_ZOOM);
      map.view.zoom = factor < 1.01 ? null : [...camera.inBounds(zoom[0], zoom[1]), factor];
    },
  };
  return camera;
}
