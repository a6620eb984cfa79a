// A drawer: images that come to be pixel after pixel. Their values, chances and order came with the first value; playing,
// stepping and scrubbing only paint what is known after so many pixels.

const SPEEDS = { slow: 12, medium: 120, fast: 900 }; // pixels a second
const NEXT = [245, 200, 40], BLANK = [128, 135, 144];

function makeDrawer() {
  let meta = null, digest = null, nonce = 0, parts = {}, style = null, report = () => {};
  let view = { pixel: 0, image: 0 }, told = "", speed = "medium", owed = 0, rank = null, minis = [];

  const big = el("canvas", { class: "big", role: "application", "aria-roledescription": "drawing", tabindex: 0 });
  const chances = el("div", { class: "next" }), many = el("div", { class: "many" });
  const legend = el("p", { class: "legend quiet" });
  const play = el("button", { type: "button", onclick: () => (clock.on() ? stop() : start()) }, "Play");
  const one = el("button", { type: "button", onclick: () => by(1) }, "One pixel");
  const row = el("button", { type: "button", onclick: () => by(meta.line) }, "One line");
  const range = el("input", { type: "range", min: 0, value: 0, "aria-label": "Pixels drawn" });
  const pace = el("select", { "aria-label": "Speed" }, ...Object.keys(SPEEDS).map((name) => el("option", { value: name }, name)));
  const place = el("span", { class: "number place" });
  const side = el("div", { class: "side" }, chances, legend, many);
  const frame = el("div", { class: "drawer" }, big, side, el("div", { class: "controls" }, play, one, row, pace, range, place));
  const root = el("div", { class: "ae" }, frame);
  const tell = settled(() => {
    told = JSON.stringify(view);
    if (meta.report) report({ ...view });
  }, 180);
  const clock = ticker((ms) => {
    owed += (ms / 1000) * SPEEDS[speed];
    const whole = Math.floor(owed);
    owed -= whole;
    if (whole) to(view.pixel + whole);
    if (view.pixel >= total()) stop();
    return clock.on();
  });
  pace.value = speed;
  pace.addEventListener("change", () => { speed = pace.value; });
  range.addEventListener("input", () => { if (clock.on()) stop(); to(Number(range.value)); tell(); });

  const total = () => meta.height * meta.width;
  const value = (image, c, at) => parts.images[(image * meta.channels + c) * total() + at];
  const chance = (image, c, k, at) => parts.chances[((image * meta.channels + c) * meta.levels + k) * total() + at] / 255;

  /** Colours of an image after `view.pixel` pixels; on the big one, what the next pixel sees is tinted. */
  function paint(canvas, image, tinted) {
    const n = total(), ctx = canvas.getContext("2d"), data = ctx.createImageData(meta.width, meta.height);
    const done = view.pixel >= n, next = done ? -1 : parts.order[view.pixel];
    const nr = Math.floor(next / meta.width), nc = next % meta.width, spread = 2 * meta.width - 1;
    for (let at = 0; at < n; at++) {
      const there = parts.known[at] || rank[at] < view.pixel;
      let colour = BLANK;
      if (there) colour = [0, 1, 2].map((c) => value(image, Math.min(c, meta.channels - 1), at));
      if (tinted && at === next) colour = NEXT;
      else if (tinted && there && !done && parts.field) {
        const r = Math.floor(at / meta.width) - nr + meta.height - 1, c = (at % meta.width) - nc + meta.width - 1;
        const seen = parts.field[r * spread + c];
        if (seen > 0) colour = colour.map((v, k) => v * (1 - 0.55 * seen) + [20, 170, 90][k] * 0.55 * seen);
      }
      data.data.set([...colour, 255], 4 * at);
    }
    ctx.putImageData(data, 0, 0);
  }

  function draw() {
    const n = total(), done = view.pixel >= n;
    paint(big, view.image, true);
    minis.forEach((button, image) => paint(button.firstChild, image, false));
    const next = done ? -1 : parts.order[view.pixel];
    chances.querySelectorAll(".chance").forEach((line, k) => {
      const share = done ? 0 : meta.channels > 1 ? chance(view.image, k, 1, next) : chance(view.image, 0, k, next);
      line.querySelector("i").style.width = `${100 * share}%`;
      line.lastChild.textContent = done ? "" : `${(100 * share).toFixed(0)} %`;
    });
    chances.querySelectorAll(".levels").forEach((row, c) => {
      const shares = [...row.children].map((_, k) => (done ? 0 : chance(view.image, c, k, next)));
      const most = Math.max(...shares, 1e-6);
      [...row.children].forEach((bar, k) => { bar.style.height = `${(100 * shares[k]) / most}%`; });
    });
    const text = done ? "finished" : `pixel ${counted(view.pixel + 1)} of ${counted(n)}`;
    place.textContent = text;
    range.value = view.pixel;
    range.setAttribute("aria-valuetext", text);
    big.setAttribute("aria-label", `${meta.alt}; ${text}`);
    big.dataset.pixel = view.pixel;
  }

  function to(k) {
    view.pixel = clamp(Math.round(k), 0, total());
    draw();
  }
  function by(k) {
    if (clock.on()) stop();
    to(view.pixel + k);
    tell();
  }
  function start() {
    play.textContent = "Pause";
    if (view.pixel >= total()) to(meta.start);
    owed = 0;
    clock.start();
  }
  function stop() {
    clock.stop();
    play.textContent = "Play";
    tell();
  }
  const showChosen = () => minis.forEach((button, k) => button.setAttribute("aria-pressed", String(k === view.image)));
  function choose(image) {
    view.image = image;
    showChosen();
    draw();
    tell();
  }
  big.addEventListener("keydown", (event) => {
    if (!meta || event.altKey || event.metaKey || event.ctrlKey) return;
    const steps = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] }[event.key];
    if (event.key === " ") clock.on() ? stop() : start();
    else if (event.key === "Home") by(-total());
    else if (event.key === "End") by(total());
    else if (steps) beside(...steps);
    else return;
    event.preventDefault();
  });
  /** To the pixel beside the next one, whatever the order is. */
  function beside(down, right) {
    const at = parts.order[Math.min(view.pixel, total() - 1)];
    goTo(Math.floor(at / meta.width) + down, (at % meta.width) + right);
  }
  /** To the moment before a pixel is drawn. */
  function goTo(row, column) {
    const r = clamp(row, 0, meta.height - 1), c = clamp(column, 0, meta.width - 1);
    by(rank[r * meta.width + c] - view.pixel);
  }
  big.addEventListener("click", (event) => {
    const box = big.getBoundingClientRect();
    goTo(Math.floor(((event.clientY - box.top) / box.height) * meta.height),
      Math.floor(((event.clientX - box.left) / box.width) * meta.width));
  });

  function feed(bytes) {
    const found = unpack(bytes);
    style = theme(root);
    if (found.meta.digest !== digest) {
      ({ meta, parts } = found);
      digest = meta.digest;
      clock.stop();
      play.textContent = "Play";
      rank = new Int32Array(total());
      parts.order.forEach((at, k) => { rank[at] = k; });
      Object.assign(big, { width: meta.width, height: meta.height }).style.aspectRatio = `${meta.width} / ${meta.height}`;
      minis = Array.from({ length: meta.images }, (_, image) =>
        el("button", { type: "button", "aria-label": `Image ${image + 1}`, onclick: () => choose(image) },
          el("canvas", { width: meta.width, height: meta.height })));
      many.replaceChildren(...(meta.images > 1 ? minis : []));
      const colours = meta.channels > 1 ? ["red", "green", "blue"] : ["grey"];
      const names = meta.channels > 1 ? colours.map((name) => `p(${name} = 1)`) : ["p(black)", "p(white)"];
      const bars = meta.levels === 2 ? names.map((name) =>
        el("div", { class: "chance" }, el("span", {}, name), el("div", { class: "bar" }, el("i")), el("span", { class: "number" })))
        : colours.map((name) => el("div", {}, el("div", { class: `levels ${name}`, role: "img", "aria-label": `Chances of ${name}, from dark to bright` },
          ...Array.from({ length: meta.levels }, () => el("i"))), el("p", { class: "scale quiet" }, el("span", {}, "0"), el("span", {}, name), el("span", {}, "1"))));
      chances.replaceChildren(el("p", { class: "quiet" }, "The next pixel, given those before it:"), ...bars);
      const swatch = (colour, text) => el("span", {}, el("i", { style: `background:rgb(${colour})` }), text);
      legend.replaceChildren(swatch(NEXT, "next"), ...(parts.field ? [swatch("20 170 90", "where pixels look, from there")] : []), swatch(BLANK, "not yet drawn"));
      range.max = total();
    }
    if (found.meta.nonce > nonce) {
      ({ nonce } = found.meta);
      view = { pixel: meta.start, image: 0, ...found.meta.state };
      told = JSON.stringify(view);
    }
    view.image = clamp(view.image, 0, meta.images - 1);
    showChosen();
    to(view.pixel);
    if (JSON.stringify(view) !== told) tell(); // fewer images or pixels than before, or it was playing until now
    root.dataset.ready = digest;
  }
  return {
    root,
    feed,
    hear(send) { report = send; },
    destroy() { clock.stop(); tell.now(); },
  };
}

export default function ({ data, parentElement, setStateValue }) {
  return mount(parentElement, makeDrawer, (drawer) => {
    drawer.hear((view) => setStateValue("view", view));
    if (data) drawer.feed(data);
  });
}
