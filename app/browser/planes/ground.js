// What lies in a pane's plane: decoded tiles or the points of images, contours of the prior, clouds and named places.

/** Draws the ground of a pane at a step; also notes the plane's size in CSS pixels as `pane.size`. */
function drawGround(pane, step, style) {
  const { field, meta, parts } = pane, width = field.clientWidth, height = field.clientHeight, [x0, x1, y0, y1] = meta.extent;
  pane.size = [width, height];
  const plot = {
    ctx: clearedContext(pane.ground, width, height), width, height, style,
    x: (x) => ((x - x0) / (x1 - x0)) * width, // from a place on the plane to pixels
    y: (y) => (1 - (y - y0) / (y1 - y0)) * height,
    across: (length) => (length / (x1 - x0)) * width, // from a length along an axis to pixels
    down: (length) => (length / (y1 - y0)) * height,
  };
  if (meta.grid[0] === 1 || !parts.points) drawTiles(plot, pane, Math.min(step, meta.steps - 1));
  if (parts.points) {
    drawContours(plot, meta.rings);
    drawPoints(plot, pane, Math.min(step, meta.steps_of_points - 1));
  }
  if (parts.clouds) drawClouds(plot, parts.clouds, meta.cloud_colours);
  drawMarks(plot, meta.marks);
}

/** As many tiles side by side as fit, each the one that the pointer finds in its middle. */
function drawTiles({ ctx, width, height }, { atlas, meta }, step) {
  const [rows, columns] = meta.grid, smallest = rows === 1 ? height : 26; // CSS pixels of a tile's side
  const across = Math.min(columns, Math.max(1, Math.floor(width / smallest)));
  const down = Math.min(rows, Math.max(1, Math.floor(height / 26)));
  const w = width / across, h = height / down;
  for (let a = 0; a < across; a++)
    for (let b = 0; b < down; b++) {
      const column = Math.round(((a + 0.5) / across) * (columns - 1)), row = Math.round((1 - (b + 0.5) / down) * (rows - 1));
      drawTile(ctx, atlas, meta.atlas, (step * rows + row) * columns + column, a * w, b * h, w + 0.5, h + 0.5);
    }
}

/** Contours of the prior: circles around 0 whose radii are standard deviations. */
function drawContours({ ctx, x, y, across, down, style }, radii) {
  ctx.strokeStyle = style.line;
  ctx.lineWidth = 1;
  for (const radius of radii) {
    ctx.beginPath();
    ctx.ellipse(x(0), y(0), across(radius), down(radius), 0, 0, 7);
    ctx.stroke();
  }
}

const labelColour = (style, label) => (label < 0 ? style.primary : classColour(style, label));

/** The codes of images; fainter where they are only the background of clouds. */
function drawPoints({ ctx, x, y, style }, { meta, parts: { points, labels, clouds } }, step) {
  const n = points.length / 2 / meta.steps_of_points, first = 2 * n * step, many = n > 1500;
  ctx.globalAlpha = clouds?.length > 4 ? 0.3 : many ? 0.7 : 0.85;
  for (let k = 0; k < n; k++) {
    ctx.fillStyle = labelColour(style, labels ? labels[k] : -1);
    ctx.beginPath();
    ctx.arc(x(points[first + 2 * k]), y(points[first + 2 * k + 1]), many ? 1.8 : 2.6, 0, 7);
    ctx.fill();
  }
  ctx.globalAlpha = 1;
}

/** Gaussians x, y and their standard deviations: an ellipse at two of them, or a ring where there are none. */
function drawClouds({ ctx, x, y, across, down, style }, clouds, labels) {
  for (let k = 0; k < clouds.length / 4; k++) {
    const [meanX, meanY, stdX, stdY] = clouds.subarray(4 * k, 4 * k + 4);
    ctx.fillStyle = ctx.strokeStyle = labelColour(style, labels[k]);
    ctx.lineWidth = 2.5;
    ctx.beginPath();
    ctx.ellipse(x(meanX), y(meanY), Math.max(5, across(2 * stdX)), Math.max(5, down(2 * stdY)), 0, 0, 7);
    ctx.globalAlpha = 0.28;
    if (stdX > 0) ctx.fill();
    ctx.globalAlpha = 1;
    ctx.stroke();
  }
}

function drawMarks({ ctx, x, y, width, height, style }, marks) {
  for (const { at, text } of marks) {
    const px = x(at[0]);
    ctx.font = `600 17px ${style.font}`;
    ctx.textAlign = px > width - 30 ? "right" : px < 30 ? "left" : "center";
    ctx.textBaseline = "middle";
    drawOutlinedText(ctx, text, px, clamp(y(at[1]), 12, height - 12), style);
  }
}
