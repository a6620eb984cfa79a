// Mouse, pen, fingers and wheel: hover, click, move the view, pinch, draw a ring.

function listenToPointer(field, map, camera, overlay, { select, moveView, endMove, follow, pin, tell }) {
  const pressed = new Map(); // the pointers that are down: id -> [px, py]
  let press = null; // {x, y, view, moved, touch}: where a pointer went down and what the camera saw then
  let pinch = null; // {apart, x, y, factor}: distance, place between two fingers and zoom when the second came down
  const hint = el("div", { class: "hint", "aria-hidden": "true" });
  field.append(hint);

  const pixelOf = (event) => {
    const box = field.getBoundingClientRect();
    return [event.clientX - box.left - 1, event.clientY - box.top - 1]; // inside the border
  };
  const hoverAt = (px, py) => { map.hover = camera.toPlane(px, py); follow(); };
  const leave = () => { map.hover = null; follow(); };

  field.addEventListener("pointerdown", (event) => {
    if (event.button > 0 || !map.meta) return;
    const [x, y] = pixelOf(event), touch = event.pointerType === "touch";
    field.setPointerCapture(event.pointerId);
    pressed.set(event.pointerId, [x, y]);
    if (pressed.size === 2) return startPinch();
    press = { x, y, view: camera.view(), moved: false, touch };
    if (!map.meta.compact && (event.shiftKey || map.lassoTool)) map.lasso = [[x, y]];
    else if (touch) hoverAt(x, y);
  });

  field.addEventListener("pointermove", (event) => {
    if (!map.meta) return;
    const [x, y] = pixelOf(event);
    if (pressed.has(event.pointerId)) pressed.set(event.pointerId, [x, y]);
    if (pinch && pressed.size === 2) return movePinch();
    if (map.lasso) { map.lasso.push([x, y]); overlay.draw(); return; }
    if (press && Math.hypot(x - press.x, y - press.y) > 4) press.moved = true;
    if (press?.moved && !press.touch && !map.meta.compact) return pan(x, y);
    hoverAt(x, y);
  });

  const release = (event) => {
    if (!pressed.delete(event.pointerId)) return;
    field.classList.remove("panning");
    if (pinch) {
      if (!pressed.size) { pinch = null; map.hover = null; tell(); }
      return;
    }
    const [x, y] = pixelOf(event);
    if (map.lasso) {
      const ring = map.lasso;
      map.lasso = null;
      if (ring.length > 3) select(ring); else overlay.draw();
    } else if (press && event.type === "pointerup" && (!press.moved || press.touch || map.meta.compact)) {
      pin(camera.toPlane(x, y));
    } else if (press?.moved) {
      endMove();
    }
    press = null;
    if (event.pointerType === "touch") map.hover = null;
  };
  field.addEventListener("pointerup", release);
  field.addEventListener("pointercancel", release);
  field.addEventListener("pointerleave", () => { if (!press) leave(); });

  function pan(px, py) {
    const [x, y, scale] = press.view;
    field.classList.add("panning");
    map.hover = null;
    moveView([x - (px - press.x) / scale, y + (py - press.y) / scale, Math.max(1.02, scale / camera.fit())]);
  }

  /** Distance between the two fingers, and the pixel in the middle between them. */
  function betweenFingers() {
    const [[ax, ay], [bx, by]] = [...pressed.values()];
    return { apart: Math.hypot(ax - bx, ay - by), px: (ax + bx) / 2, py: (ay + by) / 2 };
  }
  function startPinch() {
    const { apart, px, py } = betweenFingers(), [x, y] = camera.toPlane(px, py);
    pinch = { apart: apart || 1, x, y, factor: camera.view()[2] / camera.fit() };
    press = map.lasso = null;
  }
  /** The place that was between the fingers stays between them. */
  function movePinch() {
    if (map.meta.compact) return;
    const { apart, px, py } = betweenFingers();
    moveView(camera.zoomWith(pinch.x, pinch.y, px, py, (pinch.factor * apart) / pinch.apart));
  }

  field.addEventListener("wheel", (event) => {
    if (!map.meta || map.meta.compact) return;
    if (!event.ctrlKey && field.getRootNode().activeElement !== field) return showHint(); // the wheel scrolls the page
    event.preventDefault();
    const factor = Math.exp(-clamp(event.deltaY, -120, 120) * (event.ctrlKey ? 0.012 : 0.003));
    moveView(camera.magnified(factor, ...pixelOf(event)));
    tell();
  }, { passive: false });

  const hideHint = settled(() => hint.classList.remove("on"), 1400);
  function showHint() {
    hint.textContent = "Click the map, then the wheel zooms";
    hint.classList.add("on");
    hideHint();
  }
}
