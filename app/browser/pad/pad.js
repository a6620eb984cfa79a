// A pad to draw on. Strokes are kept as numbers from 0 to 1; Python draws them again at the size that a model needs.

const SIDE = 560; // pixels of the canvas
const LINE = 0.085; // thickness of the line as a part of the side; the same as in Python
const STEP = 1 / 28; // how far an arrow key moves the pen

function makePad(report) {
  let strokes = []; // each a flat list x, y, x, y, ...
  let stroke = null; // the one that is being drawn with the pointer
  let pen = { x: 0.5, y: 0.5, down: false, seen: false }; // moved by keys
  const canvas = el("canvas", { width: SIDE, height: SIDE, tabindex: 0, role: "img" }), ctx = canvas.getContext("2d");
  const undo = el("button", { type: "button", onclick: () => { strokes.pop(); change(); } }, "Undo");
  const clear = el("button", { type: "button", onclick: () => { strokes = []; change(); } }, "Clear");
  const help = el("p", { class: "quiet help", hidden: true }, "Arrow keys move the pen, Space puts it down or lifts it");
  const frame = el("div", { class: "pad" }, canvas, el("div", { class: "bar" }, undo, clear), help);
  const root = el("div", { class: "ae" }, frame);
  const tell = settled(() => report(strokes.map((points) => points.map((v) => Math.round(v * 1000) / 1000))), 250);

  function draw() {
    ctx.fillStyle = "#000";
    ctx.fillRect(0, 0, SIDE, SIDE);
    ctx.strokeStyle = "#fff";
    ctx.lineWidth = LINE * SIDE;
    ctx.lineCap = ctx.lineJoin = "round";
    for (const points of stroke ? [...strokes, stroke] : strokes) {
      ctx.beginPath();
      ctx.moveTo(points[0] * SIDE, points[1] * SIDE);
      for (let i = 0; i < points.length; i += 2) ctx.lineTo(points[i] * SIDE + 0.01, points[i + 1] * SIDE);
      ctx.stroke();
    }
    if (pen.seen) {
      ctx.lineWidth = 4;
      ctx.strokeStyle = pen.down ? "#f0a030" : "#6ba4f8";
      ctx.beginPath();
      ctx.arc(pen.x * SIDE, pen.y * SIDE, LINE * SIDE * 0.6, 0, 7);
      ctx.stroke();
    }
    undo.disabled = clear.disabled = !strokes.length;
    canvas.dataset.strokes = strokes.length;
  }
  function change() {
    draw();
    tell();
  }
  const addPoint = (event) => {
    const [x, y] = placeInBox(event, canvas), n = stroke.length;
    if (!n || Math.hypot(x - stroke[n - 2], y - stroke[n - 1]) > 0.004) stroke.push(x, y);
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button > 0) return;
    canvas.setPointerCapture(event.pointerId);
    tell.cancel();
    pen.seen = pen.down = false;
    stroke = [];
    addPoint(event);
    draw();
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!stroke) return;
    for (const part of event.getCoalescedEvents?.() ?? [event]) addPoint(part);
    draw();
  });
  const finish = () => {
    if (!stroke) return;
    strokes.push(stroke);
    stroke = null;
    change();
  };
  canvas.addEventListener("pointerup", finish);
  canvas.addEventListener("pointercancel", finish);
  canvas.addEventListener("keydown", (event) => {
    if (event.altKey || event.metaKey) return;
    const move = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] }[event.key];
    if (move) {
      pen = { ...pen, x: clamp(pen.x + move[0], 0, 1), y: clamp(pen.y + move[1], 0, 1), seen: true };
      if (pen.down) strokes[strokes.length - 1].push(pen.x, pen.y);
      pen.down ? change() : draw();
    } else if (event.key === " ") {
      pen.down = !pen.down;
      pen.seen = true;
      if (pen.down) strokes.push([pen.x, pen.y]);
      change();
    } else if (event.key === "Home" || event.key === "End") {
      pen = { x: event.key === "Home" ? 0.1 : 0.9, y: pen.y, down: false, seen: true };
      draw();
    } else if (event.key === "Backspace" || (event.key === "z" && event.ctrlKey)) {
      pen.down = false;
      strokes.pop();
      change();
    } else if (event.key === "Delete") {
      pen.down = false;
      strokes = [];
      change();
    } else return;
    event.preventDefault();
  });
  canvas.addEventListener("focus", () => { help.hidden = !canvas.matches(":focus-visible"); });
  canvas.addEventListener("blur", () => {
    help.hidden = true;
    pen.seen = pen.down = false;
    draw();
  });
  return {
    root,
    feed({ label, size }) {
      frame.style.setProperty("--size", `${size}px`);
      canvas.setAttribute("aria-label", `${label}: drawing pad. Arrow keys move the pen, Space puts it down or lifts it.`);
      draw();
    },
    destroy() { tell.cancel(); },
  };
}

export default component(makePad, "strokes");
