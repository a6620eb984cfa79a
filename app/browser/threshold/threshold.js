// A threshold on scores. All scores came with the first value; a drag only counts and draws.

const SORTS = ["#2f7de1", "#e1703c"], BINS = 60;

function makeThreshold() {
  let meta = null, digest = null, nonce = 0, style = null, report = () => {}, at = 0, scale = null;
  let sorted = [], curves = { roc: [], pr: [] }, total = [0, 0];
  const hist = el("canvas", { class: "hist", role: "slider", tabindex: 0 });
  const roc = el("canvas", { class: "curve", role: "img" }), pr = el("canvas", { class: "curve", role: "img" });
  const counts = el("div", { class: "counts" }), legend = el("p", { class: "legend quiet" });
  const side = [roc, pr].map((canvas, k) => el("figure", {}, canvas, el("figcaption", { class: "quiet" }, ["ROC", "precision and recall"][k])));
  const frame = el("div", { class: "threshold" }, el("div", { class: "main" }, hist), ...side, counts, legend);
  const root = el("div", { class: "ae" }, frame);
  const tell = settled(() => report({ at }), 180);
  const look = new ResizeObserver(() => meta && draw());
  look.observe(root);

  /** From a score to 0 … 1 of the width, and back; logarithmic where the largest is far from the usual. */
  function scaled(scores) {
    const s = Float32Array.from(scores).sort(), low = s[0], high = s[s.length - 1], middle = s[Math.floor(s.length / 2)];
    const log = low > 0 && high > 8 * middle, f = log ? Math.log : (v) => v, g = log ? Math.exp : (v) => v;
    const from = f(low), to = f(high) + 1e-9 + 0.02 * (f(high) - f(low));
    return { log, x: (v) => clamp((f(Math.max(v, low)) - from) / (to - from || 1), 0, 1), v: (x) => g(from + x * (to - from)) };
  }
  /** How many of a sort lie above a score. */
  function above(sort, score) {
    const list = sorted[sort];
    let a = 0, b = list.length;
    while (a < b) { const m = (a + b) >> 1; if (list[m] > score) b = m; else a = m + 1; }
    return list.length - a;
  }

  function sheet(canvas, ratio = Math.min(2, window.devicePixelRatio || 1)) {
    const w = canvas.clientWidth, h = canvas.clientHeight;
    if (canvas.width !== Math.round(w * ratio) || canvas.height !== Math.round(h * ratio)) {
      canvas.width = Math.round(w * ratio);
      canvas.height = Math.round(h * ratio);
    }
    const ctx = canvas.getContext("2d");
    ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
    ctx.clearRect(0, 0, w, h);
    ctx.font = `14px ${style.font}`;
    return { ctx, w, h };
  }

  function drawHistogram() {
    const { ctx, w, h } = sheet(hist), foot = 26, tall = h - foot - 18;
    const bars = [0, 1].map((sort) => {
      const found = new Float32Array(BINS);
      for (const v of sorted[sort]) found[Math.min(BINS - 1, Math.floor(scale.x(v) * BINS))] += 1 / Math.max(1, total[sort]);
      return found;
    });
    const most = Math.max(...bars[0], ...bars[1], 1e-9);
    bars.forEach((found, sort) => {
      ctx.fillStyle = SORTS[sort];
      ctx.globalAlpha = 0.62;
      found.forEach((v, k) => { const y = (v / most) * tall; ctx.fillRect((k / BINS) * w + 0.5, h - foot - y, w / BINS - 1, y); });
    });
    ctx.globalAlpha = 1;
    ctx.strokeStyle = style.line;
    ctx.beginPath();
    ctx.moveTo(0, h - foot + 0.5);
    ctx.lineTo(w, h - foot + 0.5);
    ctx.stroke();
    ctx.fillStyle = style.text;
    for (let k = 0; k <= 4; k++) {
      ctx.textAlign = k === 0 ? "left" : k === 4 ? "right" : "center";
      ctx.fillText(shown(scale.v(k / 4), scale.v(1) < 10 ? 2 : 0), (k / 4) * w, h - 8);
    }
    const x = scale.x(at) * w;
    ctx.strokeStyle = style.text;
    ctx.lineWidth = 3;
    ctx.beginPath();
    ctx.moveTo(x, 2);
    ctx.lineTo(x, h - foot);
    ctx.stroke();
    ctx.lineWidth = 1;
    ctx.textAlign = x > w * 0.7 ? "right" : "left";
    ctx.fillText(`called ${meta.names[1]} →`, x + (x > w * 0.7 ? -8 : 8), 15);
    hist.setAttribute("aria-label", `${meta.alt}; threshold on the ${meta.score}`);
    hist.setAttribute("aria-valuemin", scale.v(0).toFixed(3));
    hist.setAttribute("aria-valuemax", scale.v(1).toFixed(3));
    hist.setAttribute("aria-valuenow", at.toFixed(3));
    hist.dataset.at = at;
  }

  function drawCurve(canvas, points, here, axes) {
    const { ctx, w, h } = sheet(canvas), pad = 26, X = (x) => pad + x * (w - pad - 6), Y = (y) => 6 + (1 - y) * (h - pad - 6);
    ctx.strokeStyle = style.line;
    ctx.strokeRect(X(0), Y(1), X(1) - X(0), Y(0) - Y(1));
    ctx.fillStyle = style.text;
    ctx.textAlign = "center";
    ctx.fillText(axes[0], X(0.5), h - 6);
    ctx.save();
    ctx.translate(14, Y(0.5));
    ctx.rotate(-Math.PI / 2);
    ctx.fillText(axes[1], 0, 0);
    ctx.restore();
    ctx.strokeStyle = style.primary;
    ctx.lineWidth = 3;
    ctx.beginPath();
    points.forEach(([x, y], k) => (k ? ctx.lineTo(X(x), Y(y)) : ctx.moveTo(X(x), Y(y))));
    ctx.stroke();
    ctx.lineWidth = 1;
    ctx.fillStyle = style.text;
    ctx.beginPath();
    ctx.arc(X(here[0]), Y(here[1]), 7, 0, 7);
    ctx.fill();
    canvas.setAttribute("aria-label", `${axes[1]} ${here[1].toFixed(2)} at ${axes[0]} ${here[0].toFixed(2)}`);
  }

  function draw() {
    drawHistogram();
    const [alarms, hits] = [above(0, at), above(1, at)], share = (a, b) => (b ? a / b : 0);
    const percent = (v) => `${(100 * v).toFixed(1)} %`;
    const cell = (value, text, colour) => el("div", { style: colour ? `border-color:${colour}` : "" }, el("b", {}, value), el("span", { class: "quiet" }, text));
    if (!meta.known) {
      counts.replaceChildren(cell(counted(alarms), `of ${counted(total[0])} called ${meta.names[1]}`), cell(shown(at, 3), `threshold on the ${meta.score}`));
      return;
    }
    drawCurve(roc, curves.roc, [share(alarms, total[0]), share(hits, total[1])], ["false alarms", "found"]);
    drawCurve(pr, curves.pr, [share(hits, total[1]), hits + alarms ? share(hits, hits + alarms) : 1], ["found", "right"]);
    counts.replaceChildren(
      cell(counted(hits), `${meta.names[1]}, found: ${percent(share(hits, total[1]))}`, SORTS[1]),
      cell(counted(total[1] - hits), `${meta.names[1]}, missed`, SORTS[1]),
      cell(counted(alarms), `${meta.names[0]}, false alarms: ${percent(share(alarms, total[0]))}`, SORTS[0]),
      cell(counted(total[0] - alarms), `${meta.names[0]}, let pass`, SORTS[0]),
      cell(hits + alarms ? percent(share(hits, hits + alarms)) : "\u2013", "of the alarms are right (precision)"),
      cell(shown(at, 3), `threshold on the ${meta.score}`),
    );
  }

  function to(v, told = true) {
    at = v;
    draw();
    if (told) tell();
  }
  const under = (event) => {
    const box = hist.getBoundingClientRect();
    to(scale.v(clamp((event.clientX - box.left) / box.width, 0, 1)));
  };
  hist.addEventListener("pointerdown", (event) => { hist.setPointerCapture(event.pointerId); under(event); });
  hist.addEventListener("pointermove", (event) => { if (hist.hasPointerCapture(event.pointerId)) under(event); });
  hist.addEventListener("dblclick", () => to(meta.at));
  hist.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -0.01, ArrowRight: 0.01, PageDown: -0.1, PageUp: 0.1 }[event.key];
    if (step === undefined) return;
    to(scale.v(clamp(scale.x(at) + step, 0, 1)));
    event.preventDefault();
  });

  function feed(bytes) {
    const found = unpack(bytes);
    style = theme(root);
    if (found.meta.digest !== digest) {
      const { parts } = found;
      ({ meta } = found);
      digest = meta.digest;
      at = meta.at;
      scale = scaled(parts.scores);
      sorted = [0, 1].map((sort) => parts.scores.filter((_, k) => parts.positive[k] === sort).sort());
      total = sorted.map((list) => list.length);
      side.forEach((node) => { node.hidden = !meta.known; });
      frame.classList.toggle("alone", !meta.known);
      if (meta.known) {
        const cuts = [Infinity, ...Float32Array.from(parts.scores).sort().reverse(), -Infinity];
        const rates = cuts.map((v) => [above(0, v), above(1, v)]);
        curves.roc = rates.map(([a, b]) => [a / Math.max(1, total[0]), b / Math.max(1, total[1])]);
        curves.pr = rates.filter(([a, b]) => a + b > 0).map(([a, b]) => [b / Math.max(1, total[1]), b / (a + b)]);
      }
      const swatch = (colour, text) => el("span", {}, el("i", { style: `background:${colour}` }), text);
      legend.replaceChildren(...(meta.known ? meta.names.map((name, k) => swatch(SORTS[k], `${name}, ${counted(total[k])}`)) : []),
        el("span", {}, `across: ${meta.score}${scale.log ? ", logarithmic" : ""}`), el("span", {}, meta.words));
    }
    if (found.meta.nonce > nonce) {
      ({ nonce } = found.meta);
      if (found.meta.state?.at !== undefined) at = found.meta.state.at;
    }
    draw();
    root.dataset.ready = digest;
  }
  return { root, feed, hear(send) { report = send; }, destroy() { look.disconnect(); tell.now(); } };
}

export default function ({ data, parentElement, setStateValue }) {
  return mount(parentElement, makeThreshold, (threshold) => {
    threshold.hear((view) => setStateValue("view", view));
    if (data) threshold.feed(data);
  });
}
