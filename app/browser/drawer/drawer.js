// A drawer: images that come into being pixel by pixel. Their values, the probabilities and the order of the pixels come
// with the first value; playing, stepping and scrubbing only paint what is known after so many pixels.

const SPEEDS = { slow: 12, medium: 120, fast: 900 }; // pixels a second
const NEXT = [245, 200, 40]; // colours as [red, green, blue]: of the next pixel,
const SEEN = [20, 170, 90]; // of what it depends on,
const BLANK = [128, 135, 144]; // and of pixels that are not drawn yet

function makeDrawer(report) {
  let meta = null, digest = null, nonce = 0, parts = {};
  let view = { pixel: 0, image: 0 }; // how many pixels are drawn, and which image is large
  let reported = ""; // the view that Python knows, as JSON
  let speed = "medium";
  let due = 0; // pixels to be drawn that do not yet make a whole one
  let rank = null; // of each pixel: how many come before it
  let thumbnails = []; // a button for each image

  const large = el("canvas", { class: "big", role: "application", "aria-roledescription": "drawing", tabindex: 0 });
  const chances = el("div", { class: "next" }), many = el("div", { class: "many" });
  const legend = el("p", { class: "legend quiet" });
  const play = el("button", { type: "button", onclick: () => (clock.on() ? stop() : start()) }, "Play");
  const onePixel = el("button", { type: "button", onclick: () => moveBy(1) }, "One pixel");
  const oneLine = el("button", { type: "button", onclick: () => moveBy(meta.line) }, "One line");
  const range = el("input", { type: "range", min: 0, value: 0, "aria-label": "Pixels drawn" });
  const pace = el("select", { "aria-label": "Speed" }, ...Object.keys(SPEEDS).map((name) => el("option", { value: name }, name)));
  const progress = el("span", { class: "number place" });
  const side = el("div", { class: "side" }, chances, legend, many);
  const controls = el("div", { class: "controls" }, play, onePixel, oneLine, pace, range, progress);
  const root = el("div", { class: "ae" }, el("div", { class: "drawer" }, large, side, controls));
  const tell = settled(() => {
    reported = JSON.stringify(view);
    if (meta.report) report({ ...view });
  }, 180);
  const clock = ticker((ms) => {
    due += (ms / 1000) * SPEEDS[speed];
    const pixels = Math.floor(due);
    due -= pixels;
    if (pixels) show(view.pixel + pixels);
    if (view.pixel >= total()) stop();
  });

  const total = () => meta.height * meta.width;
  const nextPixel = () => (view.pixel < total() ? parts.order[view.pixel] : -1); // -1 when the image is finished
  const value = (image, channel, at) => parts.images[(image * meta.channels + channel) * total() + at];
  const chance = (image, channel, level, at) =>
    at < 0 ? 0 : parts.chances[((image * meta.channels + channel) * meta.levels + level) * total() + at] / 255;

  // ---- drawing --------------------------------------------------------------------------------------------------------

  /** An image after `view.pixel` pixels; `tinted` marks the next pixel and what it depends on. */
  function paint(canvas, image, tinted) {
    const ctx = canvas.getContext("2d"), data = ctx.createImageData(meta.width, meta.height), next = nextPixel();
    for (let at = 0; at < total(); at++) {
      const drawn = parts.known[at] || rank[at] < view.pixel;
      let colour = drawn ? [0, 1, 2].map((c) => value(image, Math.min(c, meta.channels - 1), at)) : BLANK;
      if (tinted && at === next) colour = NEXT;
      else if (tinted && drawn && next >= 0 && parts.field) {
        const share = 0.55 * Math.max(0, influence(at, next));
        if (share > 0) colour = colour.map((v, c) => v * (1 - share) + SEEN[c] * share);
      }
      data.data.set([...colour, 255], 4 * at);
    }
    ctx.putImageData(data, 0, 0);
  }
  /** How much pixel `next` looks at pixel `at`, from 0 to 1. */
  function influence(at, next) {
    const row = Math.floor(at / meta.width) - Math.floor(next / meta.width) + meta.height - 1;
    const column = (at % meta.width) - (next % meta.width) + meta.width - 1;
    return parts.field[row * (2 * meta.width - 1) + column];
  }

  function draw() {
    paint(large, view.image, true);
    thumbnails.forEach((button, image) => paint(button.firstChild, image, false));
    drawChances();
    const text = view.pixel < total() ? `pixel ${counted(view.pixel + 1)} of ${counted(total())}` : "finished";
    progress.textContent = text;
    range.value = view.pixel;
    range.setAttribute("aria-valuetext", text);
    large.setAttribute("aria-label", `${meta.alt}; ${text}`);
    large.dataset.pixel = view.pixel;
  }
  function drawChances() {
    const next = nextPixel();
    chances.querySelectorAll(".chance").forEach((line, k) => {
      const share = meta.channels > 1 ? chance(view.image, k, 1, next) : chance(view.image, 0, k, next);
      line.querySelector("i").style.width = `${100 * share}%`;
      line.lastChild.textContent = next < 0 ? "" : `${(100 * share).toFixed(0)} %`;
    });
    chances.querySelectorAll(".levels").forEach((bars, channel) => {
      const shares = [...bars.children].map((_, level) => chance(view.image, channel, level, next));
      const largest = Math.max(...shares, 1e-6);
      [...bars.children].forEach((bar, level) => { bar.style.height = `${(100 * shares[level]) / largest}%`; });
    });
  }

  // ---- moving and choosing --------------------------------------------------------------------------------------------

  function show(pixel) {
    view.pixel = clamp(Math.round(pixel), 0, total());
    draw();
  }
  function moveBy(pixels) {
    if (clock.on()) stop();
    show(view.pixel + pixels);
    tell();
  }
  /** To the moment before a pixel is drawn. */
  function moveTo(row, column) {
    const r = clamp(row, 0, meta.height - 1), c = clamp(column, 0, meta.width - 1);
    moveBy(rank[r * meta.width + c] - view.pixel);
  }
  /** To the pixel beside the next one, whatever the order is. */
  function moveBeside(down, right) {
    const at = parts.order[Math.min(view.pixel, total() - 1)];
    moveTo(Math.floor(at / meta.width) + down, (at % meta.width) + right);
  }
  function start() {
    play.textContent = "Pause";
    if (view.pixel >= total()) show(meta.start);
    due = 0;
    clock.start();
  }
  function stop() {
    clock.stop();
    play.textContent = "Play";
    tell();
  }
  const showChosen = () => thumbnails.forEach((button, k) => button.setAttribute("aria-pressed", String(k === view.image)));
  function choose(image) {
    view.image = image;
    showChosen();
    draw();
    tell();
  }
  pace.value = speed;
  pace.addEventListener("change", () => { speed = pace.value; });
  range.addEventListener("input", () => { if (clock.on()) stop(); show(Number(range.value)); tell(); });
  large.addEventListener("keydown", (event) => {
    if (!meta || isShortcut(event)) return;
    const arrow = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] }[event.key];
    if (event.key === " ") clock.on() ? stop() : start();
    else if (event.key === "Home") moveBy(-total());
    else if (event.key === "End") moveBy(total());
    else if (arrow) moveBeside(...arrow);
    else return;
    event.preventDefault();
  });
  large.addEventListener("click", (event) => {
    const [right, down] = placeInBox(event, large);
    moveTo(Math.floor(down * meta.height), Math.floor(right * meta.width));
  });

  // ---- what Python sends ----------------------------------------------------------------------------------------------

  function feed(bytes) {
    const value = unpack(bytes);
    if (value.meta.digest !== digest) take(value);
    if (value.meta.nonce > nonce) {
      ({ nonce } = value.meta);
      view = { pixel: meta.start, image: 0, ...value.meta.state };
      reported = JSON.stringify(view);
    }
    view.image = clamp(view.image, 0, meta.images - 1);
    showChosen();
    show(view.pixel);
    if (JSON.stringify(view) !== reported) tell(); // fewer images or pixels than before, or it was playing until now
    root.dataset.ready = digest;
  }

  function take(value) {
    ({ meta, parts } = value);
    digest = meta.digest;
    clock.stop();
    play.textContent = "Play";
    rank = new Int32Array(total());
    parts.order.forEach((at, k) => { rank[at] = k; });
    Object.assign(large, { width: meta.width, height: meta.height }).style.aspectRatio = `${meta.width} / ${meta.height}`;
    thumbnails = Array.from({ length: meta.images }, (_, image) =>
      el("button", { type: "button", "aria-label": `Image ${image + 1}`, onclick: () => choose(image) },
        el("canvas", { width: meta.width, height: meta.height })));
    many.replaceChildren(...(meta.images > 1 ? thumbnails : []));
    chances.replaceChildren(el("p", { class: "quiet" }, "The next pixel, given those before it:"),
      ...(meta.levels === 2 ? binaryBars() : levelBars()));
    legend.replaceChildren(
      swatch(`rgb(${NEXT})`, "next"),
      ...(parts.field ? [swatch(`rgb(${SEEN})`, "where pixels look, from there")] : []),
      swatch(`rgb(${BLANK})`, "not yet drawn"),
    );
    range.max = total();
  }
  const colourNames = () => (meta.channels > 1 ? ["red", "green", "blue"] : ["grey"]);

  /** Bars across for values that are 0 or 1. */
  function binaryBars() {
    const names = meta.channels > 1 ? colourNames().map((name) => `p(${name} = 1)`) : ["p(black)", "p(white)"];
    return names.map((name) => el("div", { class: "chance" },
      el("span", {}, name), el("div", { class: "bar" }, el("i")), el("span", { class: "number" })));
  }
  /** For each colour a histogram over its levels. */
  function levelBars() {
    return colourNames().map((name) => {
      const bars = Array.from({ length: meta.levels }, () => el("i"));
      return el("div", {},
        el("div", { class: `levels ${name}`, role: "img", "aria-label": `Chances of ${name}, from dark to bright` }, ...bars),
        el("p", { class: "scale quiet" }, el("span", {}, "0"), el("span", {}, name), el("span", {}, "1")));
    });
  }

  return {
    root,
    feed,
    destroy() { clock.stop(); tell.now(); },
  };
}

export default component(makeDrawer, "view");
