// The lower canvas: axes or the decoded plane, and the points as dots or thumbnails.

const THUMBNAIL = 30; // CSS pixels of the longer side

function makeGround(map, camera, points, overlay) {
  const canvas = el("canvas", { "aria-hidden": "true" });
  const ctx = canvas.getContext("2d");
  let waiting = false; // whether a drawing is due at the next frame
  let drawnView = [0, 0, 1], drawnAt = 0; // the camera's view and the time of the last drawing

  function redraw() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { if (waiting) draw(); });
  }

  /** While the view is being moved, the last drawing is shifted and scaled as a whole; now and then it is drawn anew. */
  function glide() {
    if (performance.now() - drawnAt > 300) return redraw();
    const [x0, y0, scale0] = drawnView, [x, y, scale] = camera.view(), [width, height] = camera.size, k = scale / scale0;
    const dx = (width / 2) * (1 - k) + (x0 - x) * scale, dy = (height / 2) * (1 - k) - (y0 - y) * scale;
    canvas.style.transform = `matrix(${k}, 0, 0, ${k}, ${dx}, ${dy})`;
    overlay.draw();
    landing();
  }
  const landing = settled(redraw, 90);

  function draw() {
    waiting = false;
    const { meta, parts, style, view, atlases, selected } = map, [width, height] = camera.size;
    if (!meta || !style || !width) return;
    drawnView = camera.view();
    drawnAt = performance.now();
    canvas.style.transform = "";
    clearedContext(canvas, width, height);
    const n = parts.points.length / 2, [px, py] = camera.rowsToScreen(parts.points);
    if (view.mosaic && atlases.plane) drawPlane(); else drawAxes();
    drawDots(n, px, py);
    if (view.thumbnails) drawThumbnails(spacedRows(n, px, py), px, py);
    if (!view.thumbnails && !selected.size && parts.labels && !meta.compact) drawClassNames(n, px, py);
    overlay.draw();
  }

  function drawAxes() {
    const { meta, style } = map, [width, height] = camera.size, [x0, y0] = camera.toScreen(0, 0);
    ctx.strokeStyle = style.line;
    ctx.lineWidth = 1;
    ctx.beginPath();
    ctx.moveTo(Math.round(x0) + 0.5, 0);
    ctx.lineTo(Math.round(x0) + 0.5, height);
    ctx.moveTo(0, Math.round(y0) + 0.5);
    ctx.lineTo(width, Math.round(y0) + 0.5);
    ctx.stroke();
    if (meta.compact) return;
    ctx.fillStyle = style.text;
    ctx.globalAlpha = 0.7;
    ctx.font = `15px ${style.font}`;
    ctx.textAlign = "right";
    ctx.fillText(meta.axes[0], width - 8, clamp(y0 - 7, 16, height - 8));
    ctx.textAlign = "left";
    ctx.fillText(meta.axes[1], clamp(x0 + 7, 8, width - 40), 18);
    ctx.globalAlpha = 1;
  }

  /** Decoded tiles at their places, as many as are legible at this zoom. */
  function drawPlane() {
    const { plane, extent: [x0, x1, y0, y1] } = map.meta, [rows, columns] = plane.grid;
    const [width, height] = camera.size, [, , scale] = camera.view();
    const stepX = (x1 - x0) / (columns - 1 || 1), stepY = (y1 - y0) / (rows - 1 || 1);
    const every = Math.max(1, Math.ceil(24 / (stepX * scale)), Math.ceil(24 / (stepY * scale)));
    const w = stepX * every * scale, h = stepY * every * scale;
    ctx.globalAlpha = 0.55;
    for (let i = (rows - 1) % every >> 1; i < rows; i += every)
      for (let j = (columns - 1) % every >> 1; j < columns; j += every) {
        const [px, py] = camera.toScreen(x0 + j * stepX, y0 + i * stepY);
        if (px < -w || py < -h || px > width + w || py > height + h) continue;
        drawTile(ctx, map.atlases.plane, plane, i * columns + j, px - w / 2, py - h / 2, w + 0.5, h + 0.5);
      }
    ctx.globalAlpha = 1;
  }

  function drawDots(n, px, py) {
    const { meta, view, selected } = map, ratio = pixelRatio(), magnification = camera.view()[2] / camera.fit();
    const radius = (n > 4000 ? 2.2 : n > 800 ? 3 : 4.2) * Math.sqrt(Math.sqrt(magnification)) * (meta.compact ? 0.9 : 1);
    const dots = makeDots(clamp(radius, 1.6, 7) * ratio);
    const opacity = view.thumbnails ? 0.35 : view.mosaic ? 0.9 : n > 1500 ? 0.75 : 0.9;
    ctx.save();
    ctx.setTransform(1, 0, 0, 1, 0, 0);
    for (let row = 0; row < n; row++) {
      if (!points.visible(row)) continue;
      const x = px(row) * ratio, y = py(row) * ratio;
      if (x < -9 || y < -9 || x > canvas.width + 9 || y > canvas.height + 9) continue;
      const dot = dots.get(points.colour(row));
      ctx.globalAlpha = selected.size ? (selected.has(row) ? 1 : 0.16) : opacity;
      ctx.drawImage(dot, Math.round(x - dot.width / 2), Math.round(y - dot.height / 2));
    }
    ctx.restore();
  }

  /** A dot of each colour, to be copied to the points: much cheaper than ten thousand arcs. */
  function makeDots(radius) {
    const colours = [...map.style.classes, UNLABELLED, map.style.primary], side = Math.ceil(2 * radius) + 2;
    return new Map(colours.map((colour) => {
      const dot = el("canvas", { width: side, height: side }), pen = dot.getContext("2d");
      pen.fillStyle = colour;
      pen.beginPath();
      pen.arc(side / 2, side / 2, radius, 0, 7);
      pen.fill();
      return [colour, dot];
    }));
  }

  function drawThumbnails(rows, px, py) {
    const { meta: { images }, atlases, selected } = map, scale = THUMBNAIL / Math.max(images.width, images.height);
    for (const row of rows) {
      const w = images.width * scale, h = images.height * scale, x = px(row) - w / 2, y = py(row) - h / 2;
      ctx.globalAlpha = selected.size && !selected.has(row) ? 0.25 : 1;
      ctx.fillStyle = points.colour(row);
      ctx.fillRect(x - 2, y - 2, w + 4, h + 4);
      drawTile(ctx, atlases.images, images, row, x, y, w, h);
    }
    ctx.globalAlpha = 1;
  }

  /** Rows whose thumbnails do not overlap, taken in the order of the rows, so that the same view shows the same ones. */
  function spacedRows(n, px, py) {
    const [width, height] = camera.size, side = THUMBNAIL + 6, taken = new Map(), rows = [];
    const cell = (column, line) => column * 4096 + line;
    const collides = (x, y, i, j) => {
      for (let a = i - 1; a <= i + 1; a++)
        for (let b = j - 1; b <= j + 1; b++) {
          const other = taken.get(cell(a, b));
          if (other !== undefined && Math.abs(px(other) - x) < side && Math.abs(py(other) - y) < side) return true;
        }
      return false;
    };
    for (let row = 0; row < n; row++) {
      if (!points.visible(row)) continue;
      const x = px(row), y = py(row);
      if (x < 0 || y < 0 || x > width || y > height) continue;
      const i = Math.floor(x / side), j = Math.floor(y / side);
      if (collides(x, y, i, j)) continue;
      taken.set(cell(i, j), row);
      rows.push(row);
    }
    return rows;
  }

  /** Each class's name at the median of its points, since colour alone does not tell classes apart for everyone. */
  function drawClassNames(n, px, py) {
    const { meta, parts: { labels }, style } = map, places = new Map();
    for (let row = 0; row < n; row++) {
      const label = labels[row];
      if (label < 0 || !points.visible(row)) continue;
      if (!places.has(label)) places.set(label, [[], []]);
      places.get(label)[0].push(px(row));
      places.get(label)[1].push(py(row));
    }
    if (places.size > 24) return;
    const median = (list) => list.sort((a, b) => a - b)[list.length >> 1];
    ctx.font = `600 20px ${style.font}`;
    ctx.textAlign = "center";
    ctx.textBaseline = "middle";
    for (const [label, [xs, ys]] of places) {
      const name = meta.class_names[label];
      drawOutlinedText(ctx, name.length > 14 ? `${name.slice(0, 13)}\u2026` : name, median(xs), median(ys), style);
    }
    ctx.textBaseline = "alphabetic";
  }

  return { canvas, draw, redraw, glide, land: landing.now, stop: landing.cancel };
}
