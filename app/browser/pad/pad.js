// A pad. Strokes are kept as numbers from 0 to 1; Python draws them again at the size a model needs.

const SIDE = 560, LINE = 0.085, STEP = 1 / 28;

function makePad() {
  let strokes = [], stroke = null, send = () => {}, pen = { x: 0.5, y: 0.5, down: false, seen: false };
  const canvas = el("canvas", { width: SIDE, height: SIDE, tabindex: 0, role: "img" }), ctx = canvas.getContext("2d");
  const undo = el("button", { type: "button", onclick: () => { strokes.pop(); change(); } }, "Undo");
  const clear = el("button", { type: "button", onclick: () => { strokes = []; change(); } }, "Clear");
  const help = el("p", { class: "quiet help", hidden: true }, "Arrow keys move the pen, Space puts it down or lifts it");
  const frame = el("div", { class: "pad" }, canvas, el("div", { class: "bar" }, undo, clear), help);
  const root = el("div", { class: "ae" }, frame);
  const report = settled(() => send(strokes.map((s) => s.map((v) => Math.round(v * 1000) / 1000))), 250);

  function draw() {
    ctx.fillStyle = "#000";
    ctx.fillRect(0, 0, SIDE, SIDE);
    ctx.strokeStyle = "#fff";
    ctx.lineWidth = LINE * SIDE;
    ctx.lineCap = ctx.lineJoin = "round";
    for (const s of stroke ? [...strokes, stroke] : strokes) {
      ctx.beginPath();
      ctx.moveTo(s[0] * SIDE, s[1] * SIDE);
      for (let i = 0; i < s.length; i += 2) ctx.lineTo(s[i] * SIDE + 0.01, s[i + 1] * SIDE);
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
    report();
  }
  const add = (event) => {
    const box = canvas.getBoundingClientRect();
    const x = clamp((event.clientX - box.left) / box.width, 0, 1), y = clamp((event.clientY - box.top) / box.height, 0, 1), n = stroke.length;
    if (!n || Math.hypot(x - stroke[n - 2], y - stroke[n - 1]) > 0.004) stroke.push(x, y);
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button > 0) return;
    canvas.setPointerCapture(event.pointerId);
    report.cancel();
    pen.seen = pen.down = false;
    stroke = [];
    add(event);
    draw();
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!stroke) return;
    for (const part of event.getCoalescedEvents?.() ?? [event]) add(part);
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
    const shift = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] }[event.key];
    if (shift) {
      pen = { ...pen, x: clamp(pen.x + shift[0], 0, 1), y: clamp(pen.y + shift[1], 0, 1), seen: true };
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
    hear(to) { send = to; },
    destroy() { report.cancel(); },
  };
}

export default function ({ data, parentElement, setStateValue }) {
  return mount(parentElement, makePad, (pad) => {
    pad.hear((strokes) => setStateValue("strokes", strokes));
    pad.feed(data ?? { label: "Draw here", size: 280 });
  });
}
