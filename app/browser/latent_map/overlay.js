// The upper canvas: a ring around the hovered point, the cursor, and the lasso while it is drawn.

function makeOverlay(map, camera) {
  const canvas = el("canvas", { "aria-hidden": "true" });

  function draw() {
    const { style, view, hoveredRow, parts: { points }, lasso } = map, ctx = clearedContext(canvas, ...camera.size);
    if (hoveredRow >= 0) {
      const [x, y] = camera.toScreen(points[2 * hoveredRow], points[2 * hoveredRow + 1]);
      for (const [colour, width] of [[style.background, 6], [style.text, 2.5]]) {
        ctx.strokeStyle = colour;
        ctx.lineWidth = width;
        ctx.beginPath();
        ctx.arc(x, y, 9, 0, 7);
        ctx.stroke();
      }
    }
    if (view.cursor) drawCross(ctx, ...camera.toScreen(...view.cursor), { inner: 5, outer: 18, width: 4 }, style);
    if (lasso) {
      ctx.beginPath();
      for (const [x, y] of lasso) ctx.lineTo(x, y);
      ctx.closePath();
      ctx.globalAlpha = 0.15;
      ctx.fillStyle = style.primary;
      ctx.fill();
      ctx.globalAlpha = 1;
      ctx.strokeStyle = style.primary;
      ctx.lineWidth = 2;
      ctx.stroke();
    }
  }
  return { canvas, draw };
}
