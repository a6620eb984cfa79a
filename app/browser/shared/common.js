// What every component needs. Python puts this file before the component's own script: the two are one module.

/** The inverse of pack.py: {meta, parts}. Each section is copied before it is viewed, so alignment never matters. */
function unpack(bytes) {
  const length = new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(bytes.slice(4, 4 + length)));
  const start = Math.ceil((4 + length) / 8) * 8;
  const views = { uint8: Uint8Array, int32: Int32Array, uint32: Uint32Array, float32: Float32Array, float64: Float64Array };
  const parts = {};
  for (const { name, dtype, offset, nbytes } of header.sections) {
    const copy = bytes.slice(start + offset, start + offset + nbytes);
    parts[name] = dtype === "bytes" ? copy : new views[dtype](copy.buffer);
  }
  return { meta: header.meta, parts };
}

/** An element with attributes and children; text is only ever text. */
function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}

const clamp = (v, low, high) => Math.min(high, Math.max(low, v));

/**
 * One call of the component: the instance for its place in the page is made once, then used with every new value.
 * Streamlit may run the clean-up of a call that a later one has overtaken, so only the latest call may end the instance.
 */
const instances = new WeakMap();
function mount(parent, make, use) {
  let found = instances.get(parent);
  if (!found) {
    found = { calls: 0, ...make() };
    parent.appendChild(found.root);
    instances.set(parent, found);
  }
  const call = ++found.calls;
  use(found);
  return () => {
    if (found.calls !== call) return;
    instances.delete(parent);
    found.destroy?.();
    found.root.remove();
  };
}

/** Calls `action` when nothing more has been asked for `ms`; .now() at once if it waits, .cancel() not at all. */
function settled(action, ms) {
  let timer = null;
  const run = () => { timer = null; action(); };
  const ask = () => { clearTimeout(timer); timer = setTimeout(run, ms); };
  ask.now = () => { if (timer !== null) { clearTimeout(timer); run(); } };
  ask.cancel = () => { clearTimeout(timer); timer = null; };
  ask.waiting = () => timer !== null;
  return ask;
}

/** A packed file (PNG, ...) as an ImageBitmap, its numbers untouched by colour management. */
const decode = (bytes) =>
  createImageBitmap(new Blob([bytes]), { colorSpaceConversion: "none", premultiplyAlpha: "none" });

/** Tile k of an atlas, drawn into the given rectangle. */
function drawTile(ctx, bitmap, meta, k, x = 0, y = 0, w = meta.width, h = meta.height) {
  const column = k % meta.columns, row = Math.floor(k / meta.columns);
  ctx.drawImage(bitmap, column * meta.width, row * meta.height, meta.width, meta.height, x, y, w, h);
}

/** A canvas that holds one small picture at its own size; CSS enlarges it. */
function picture(attributes) {
  const canvas = el("canvas", { role: "img", ...attributes });
  const ctx = canvas.getContext("2d");
  return {
    canvas,
    tile(bitmap, meta, k) {
      if (canvas.width !== meta.width || canvas.height !== meta.height) {
        canvas.width = meta.width;
        canvas.height = meta.height;
        canvas.style.aspectRatio = `${meta.width} / ${meta.height}`;
        canvas.classList.toggle("smooth", Math.max(meta.width, meta.height) > 64);
      }
      drawTile(ctx, bitmap, meta, k);
      canvas.dataset.tile = k;
    },
    clear() {
      ctx.clearRect(0, 0, canvas.width, canvas.height);
      delete canvas.dataset.tile;
    },
  };
}

/** The theme, read where the component stands. */
function theme(node) {
  const style = getComputedStyle(node);
  const read = (name, fallback) => {
    const value = style.getPropertyValue(name).trim();
    return value && value !== "unset" ? value : fallback;
  };
  const background = read("--st-background-color", "#ffffff");
  const palette = read("--st-chart-categorical-colors", "#1b37ac,#ca8124,#2d795b,#fe768c,#8f65f6,#a04802,#9f5aa1,#4c4746,#c9be39,#15b9da");
  return {
    background,
    dark: luminance(background) < 0.3,
    text: read("--st-text-color", "#1b222c"),
    line: read("--st-border-color", "#cfd6df"),
    primary: read("--st-primary-color", "#1f5fbf"),
    font: read("--st-font", "sans-serif"),
    classes: palette.split(/,(?![^(]*\))/).map((c) => c.trim()),
  };
}
function luminance(colour) {
  const ctx = el("canvas", { width: 1, height: 1 }).getContext("2d", { willReadFrequently: true });
  ctx.fillStyle = colour;
  ctx.fillRect(0, 0, 1, 1);
  const [r, g, b] = ctx.getImageData(0, 0, 1, 1).data;
  return (0.2126 * r + 0.7152 * g + 0.0722 * b) / 255;
}

/** A number as a reader wants it: real minus, two decimals. */
const shown = (v, digits = 2) => {
  const text = Math.abs(v) >= 1000 ? v.toFixed(0) : v.toFixed(digits);
  return (Number(text) === 0 ? text.replace("-", "") : text).replace("-", "\u2212");
};
const counted = (n) => n.toLocaleString("en");

/** A button that is on or off. */
function toggle(text, pressed, action, attributes = {}) {
  const button = el("button", { type: "button", "aria-pressed": String(pressed), ...attributes }, text);
  button.addEventListener("click", () => action(button.getAttribute("aria-pressed") !== "true"));
  return button;
}

/** Calls `each(ms)` with the time since the frame before, frame after frame, until it gives false or is stopped. */
function ticker(each) {
  let on = false;
  return {
    on: () => on,
    stop() { on = false; },
    start() {
      if (on) return;
      on = true;
      let last = performance.now();
      const tick = (now) => {
        if (!on) return;
        const ms = now - last;
        last = now;
        if (each(ms) === false) on = false; else requestAnimationFrame(tick);
      };
      requestAnimationFrame(tick);
    },
  };
}

/**
 * A track with a play button over steps that have names. `show(k)` draws step k; `tell()` reports where the hand, or the
 * end of playing, left it.
 */
function stepper(show, tell) {
  let names = [""], fps = 4, step = 0, owed = 0;
  const clock = ticker((ms) => {
    owed += ms;
    if (owed < 1000 / fps) return true;
    owed = 0;
    if (step + 1 < names.length) to(step + 1); else stop();
    return clock.on();
  });
  const play = el("button", { type: "button", onclick: () => (clock.on() ? stop() : start()) }, "Play");
  const range = el("input", { type: "range", min: 0, value: 0, "aria-label": "Step" });
  const label = el("span", { class: "number label" });
  const bar = el("div", { class: "steps" }, play, range, label);
  range.addEventListener("input", () => { if (clock.on()) stop(); to(Number(range.value)); tell(); });

  function to(k) {
    step = clamp(Math.round(k), 0, names.length - 1);
    range.value = step;
    label.textContent = names[step];
    range.setAttribute("aria-valuetext", names[step]);
    show(step);
  }
  function start() {
    if (names.length < 2) return;
    play.textContent = "Pause";
    if (step === names.length - 1) to(0);
    owed = 0;
    clock.start();
  }
  function stop() {
    clock.stop();
    play.textContent = "Play";
    tell();
  }
  return {
    bar,
    to,
    set(steps, rate) {
      names = steps;
      fps = rate;
      range.max = names.length - 1;
      bar.hidden = names.length < 2;
    },
    end: clock.stop,
  };
}
