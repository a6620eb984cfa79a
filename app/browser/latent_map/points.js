// The points, each referred to by its row.

const NEAR = 14; // CSS pixels within which a point counts as under the pointer
const UNLABELLED = "#8a919b"; // the colour of points without a label among labelled ones

function makePoints(map, camera) {
  let cells = null; // {side, rows}: the plane in square cells, so that the nearest point is sought among a handful

  const visible = (row) => !map.hidden.size || !map.parts.labels || !map.hidden.has(map.parts.labels[row]);

  function colour(row) {
    const { parts: { labels }, style } = map;
    if (!labels) return style.primary;
    return labels[row] >= 0 ? classColour(style, labels[row]) : UNLABELLED;
  }

  function index() {
    const { points } = map.parts, n = points.length / 2, [x0, x1, y0, y1] = map.meta.extent;
    const side = Math.max(x1 - x0, y1 - y0) / Math.max(4, Math.sqrt(n / 2)) || 1;
    const rows = new Map();
    for (let row = 0; row < n; row++) {
      const cell = cellName(Math.floor(points[2 * row] / side), Math.floor(points[2 * row + 1] / side));
      if (rows.has(cell)) rows.get(cell).push(row); else rows.set(cell, [row]);
    }
    cells = { side, rows };
  }
  const cellName = (column, line) => column * 65536 + line;

  /** The row of the visible point nearest to a pixel, at most NEAR from it; -1 if there is none. */
  function nearest(px, py) {
    const { side, rows } = cells, { points } = map.parts, [, , scale] = camera.view();
    const [x, y] = camera.toPlane(px, py), reach = NEAR / scale;
    let nearestRow = -1, smallest = reach * reach;
    for (let column = Math.floor((x - reach) / side); column <= Math.floor((x + reach) / side); column++)
      for (let line = Math.floor((y - reach) / side); line <= Math.floor((y + reach) / side); line++)
        for (const row of rows.get(cellName(column, line)) ?? []) {
          const dx = points[2 * row] - x, dy = points[2 * row + 1] - y, squared = dx * dx + dy * dy;
          if (squared < smallest && visible(row)) { smallest = squared; nearestRow = row; }
        }
    return nearestRow;
  }

  /** The id of the point at a place of the plane, or null. */
  function idAt(place) {
    const row = place ? nearest(...camera.toScreen(...place)) : -1;
    return row < 0 ? null : map.parts.ids[row];
  }

  /** Ids of the visible points inside a ring [[px, py], ...], by the even-odd rule. */
  function idsInside(ring) {
    const { points, ids } = map.parts, inside = [];
    for (let row = 0; row < points.length / 2; row++) {
      if (!visible(row)) continue;
      const [x, y] = camera.toScreen(points[2 * row], points[2 * row + 1]);
      let odd = false;
      for (let i = 0, j = ring.length - 1; i < ring.length; j = i++) {
        const [ax, ay] = ring[i], [bx, by] = ring[j];
        if (ay > y !== by > y && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) odd = !odd;
      }
      if (odd) inside.push(ids[row]);
    }
    return inside;
  }

  return { visible, colour, index, nearest, idAt, idsInside };
}
