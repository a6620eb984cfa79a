// A threshold on scores. All scores come with the first value; a drag only counts and draws. Class 0 is the negative
// one, class 1 the positive one; scores above the threshold are called positive.

const COLOURS = ["#2f7de1", "#e1703c"]; // of the two classes
const BINS = 60;

function makeThreshold(report) {
  let meta = null, digest = null, nonce = 0, style = null;
  let at = 0; // the threshold
  let scale = null; // see scoreScale
  let sorted = []; // the scores of each class, rising
  let total = [0, 0]; // how many scores each class has
  let curves = { roc: [], pr: [] }; // [[x, y], ...]
  const hist = el("canvas", { class: "hist", role: "slider", tabindex: 0 });
  const roc = el("canvas", { class: "curve", role: "img" }), pr = el("canvas", { class: "curve", role: "img" });
  const counts = el("div", { class: "counts" }), legend = el("p", { class: "legend quiet" });
  const side = [roc, pr].map((canvas, k) => el("figure", {}, canvas, el("figcaption", { class: "quiet" }, ["ROC", "precision and recall"][k])));
  const frame = el("div", { class: "threshold" }, el("div", { class: "main" }, hist), ...side, counts, legend);
  const root = el("div", { class: "ae" }, frame);
  const tell = settled(() => report({ at }), 180);
  const watcher = new ResizeObserver(() => meta && draw());
  watcher.observe(root);

  /** How many scores of a class lie above `score`, by bisection. */
  function above(k, score) {
    const scores = sorted[k];
    let low = 0, high = scores.length;
    while (low < high) { const middle = (low + high) >> 1; if (scores[middle] > score) high = middle; else low = middle + 1; }
    return scores.length - low;
  }

  function prepared(canvas) {
    const ctx = clearedContext(canvas);
    ctx.font = `14px ${style.font}`;
    return { ctx, w: canvas.clientWidth, h: canvas.clientHeight };
  }

  const FOOT = 26; // CSS pixels below the histogram, for the axis

  function drawHistogram() {
    const plot = prepared(hist);
    drawBars(plot);
    drawAxis(plot);
    drawThreshold(plot);
    hist.setAttribute("aria-label", `${meta.alt}; threshold on the ${meta.score}`);
    hist.setAttribute("aria-valuemin", scale.score(0).toFixed(3));
    hist.setAttribute("aria-valuemax", scale.score(1).toFixed(3));
    hist.setAttribute("aria-valuenow", at.toFixed(3));
    hist.dataset.at = at;
  }

  /** The share of each class's scores in each bin. */
  function drawBars({ ctx, w, h }) {
    const histograms = sorted.map((scores, k) => {
      const shares = new Float32Array(BINS);
      for (const score of scores) shares[Math.min(BINS - 1, Math.floor(scale.x(score) * BINS))] += 1 / Math.max(1, total[k]);
      return shares;
    });
    const largest = Math.max(...histograms[0], ...histograms[1], 1e-9), tallest = h - FOOT - 18;
    ctx.globalAlpha = 0.62;
    histograms.forEach((shares, k) => {
      ctx.fillStyle = COLOURS[k];
      shares.forEach((share, bin) => {
        const height = (share / largest) * tallest;
        ctx.fillRect((bin / BINS) * w + 0.5, h - FOOT - height, w / BINS - 1, height);
      });
    });
    ctx.globalAlpha = 1;
  }

  function drawAxis({ ctx, w, h }) {
    ctx.strokeStyle = style.line;
    ctx.beginPath();
    ctx.moveTo(0, h - FOOT + 0.5);
    ctx.lineTo(w, h - FOOT + 0.5);
    ctx.stroke();
    ctx.fillStyle = style.text;
    for (let k = 0; k <= 4; k++) {
      ctx.textAlign = k === 0 ? "left" : k === 4 ? "right" : "center";
      ctx.fillText(shown(scale.score(k / 4), scale.score(1) < 10 ? 2 : 0), (k / 4) * w, h - 8);
    }
  }

  function drawThreshold({ ctx, w, h }) {
    const x = scale.x(at) * w, toLeft = x > w * 0.7; // the side on which the words have room
    ctx.strokeStyle = style.text;
    ctx.lineWidth = 3;
    ctx.beginPath();
    ctx.moveTo(x, 2);
    ctx.lineTo(x, h - FOOT);
    ctx.stroke();
    ctx.lineWidth = 1;
    ctx.textAlign = toLeft ? "right" : "left";
    ctx.fillText(`called ${meta.names[1]} \u2192`, x + (toLeft ? -8 : 8), 15);
  }

  /** A curve in the unit square, and the point on it that belongs to the threshold. */
  function drawCurve(canvas, points, [x, y], axes) {
    const { ctx, w, h } = prepared(canvas), margin = 26;
    const X = (share) => margin + share * (w - margin - 6), Y = (share) => 6 + (1 - share) * (h - margin - 6);
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
    for (const point of points) ctx.lineTo(X(point[0]), Y(point[1]));
    ctx.stroke();
    ctx.lineWidth = 1;
    ctx.fillStyle = style.text;
    ctx.beginPath();
    ctx.arc(X(x), Y(y), 7, 0, 7);
    ctx.fill();
    canvas.setAttribute("aria-label", `${axes[1]} ${y.toFixed(2)} at ${axes[0]} ${x.toFixed(2)}`);
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
      cell(counted(hits), `${meta.names[1]}, found: ${percent(share(hits, total[1]))}`, COLOURS[1]),
      cell(counted(total[1] - hits), `${meta.names[1]}, missed`, COLOURS[1]),
      cell(counted(alarms), `${meta.names[0]}, false alarms: ${percent(share(alarms, total[0]))}`, COLOURS[0]),
      cell(counted(total[0] - alarms), `${meta.names[0]}, let pass`, COLOURS[0]),
      cell(hits + alarms ? percent(share(hits, hits + alarms)) : "\u2013", "of the alarms are right (precision)"),
      cell(shown(at, 3), `threshold on the ${meta.score}`),
    );
  }

  function moveTo(score) {
    at = score;
    draw();
    tell();
  }
  const follow = (event) => moveTo(scale.score(placeInBox(event, hist)[0]));
  hist.addEventListener("pointerdown", (event) => { hist.setPointerCapture(event.pointerId); follow(event); });
  hist.addEventListener("pointermove", (event) => { if (hist.hasPointerCapture(event.pointerId)) follow(event); });
  hist.addEventListener("dblclick", () => moveTo(meta.at));
  hist.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -0.01, ArrowRight: 0.01, PageDown: -0.1, PageUp: 0.1 }[event.key];
    if (step === undefined) return;
    moveTo(scale.score(clamp(scale.x(at) + step, 0, 1)));
    event.preventDefault();
  });

  function feed(bytes) {
    const value = unpack(bytes), { parts } = value;
    style = theme(root);
    if (value.meta.digest !== digest) {
      ({ meta } = value);
      digest = meta.digest;
      at = meta.at;
      scale = scoreScale(parts.scores);
      sorted = [0, 1].map((label) => parts.scores.filter((_, k) => parts.positive[k] === label).sort());
      total = sorted.map((scores) => scores.length);
      side.forEach((node) => { node.hidden = !meta.known; });
      frame.classList.toggle("alone", !meta.known);
      if (meta.known) {
        const thresholds = [Infinity, ...Float32Array.from(parts.scores).sort().reverse(), -Infinity];
        const counts = thresholds.map((score) => [above(0, score), above(1, score)]); // false alarms and hits
        curves.roc = counts.map(([alarms, hits]) => [alarms / Math.max(1, total[0]), hits / Math.max(1, total[1])]);
        curves.pr = counts.filter(([alarms, hits]) => alarms + hits > 0)
          .map(([alarms, hits]) => [hits / Math.max(1, total[1]), hits / (alarms + hits)]);
      }
      legend.replaceChildren(
        ...(meta.known ? meta.names.map((name, k) => swatch(COLOURS[k], `${name}, ${counted(total[k])}`)) : []),
        el("span", {}, `across: ${meta.score}${scale.log ? ", logarithmic" : ""}`), el("span", {}, meta.words),
      );
    }
    if (value.meta.nonce > nonce) {
      ({ nonce } = value.meta);
      if (value.meta.state?.at !== undefined) at = value.meta.state.at;
    }
    draw();
    root.dataset.ready = digest;
  }
  return { root, feed, destroy() { watcher.disconnect(); tell.now(); } };
}

/**
 * The axis of the scores: x(score) is its place from 0 to 1, score(x) the inverse. It is logarithmic if all scores are
 * positive and the largest is more than eight times the median.
 */
function scoreScale(scores) {
  const rising = Float32Array.from(scores).sort(), lowest = rising[0], highest = rising[rising.length - 1];
  const log = lowest > 0 && highest > 8 * rising[Math.floor(rising.length / 2)];
  const f = log ? Math.log : (v) => v, inverse = log ? Math.exp : (v) => v;
  const from = f(lowest), to = f(highest) + 1e-9 + 0.02 * (f(highest) - f(lowest));
  return {
    log,
    x: (score) => clamp((f(Math.max(score, lowest)) - from) / (to - from || 1), 0, 1),
    score: (x) => inverse(from + x * (to - from)),
  };
}

export default component(makeThreshold, "view");
