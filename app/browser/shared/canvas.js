// Drawing: the page's colours, pictures from an atlas, and canvases as sharp as the screen.

/** Colours and font of the page, read where the component stands. `classes` are the colours of labels 0, 1, ... */
function theme(node) {
  const style = getComputedStyle(node);
  const read = (name, fallback) => {
    const value = style.getPropertyValue(name).trim();
    return value && value !== "unset" ? value : fallback;
  };
  const palette = read("--st-chart-categorical-colors", "#1b37ac,#ca8124,#2d795b,#fe768c,#8f65f6,#a04802,#9f5aa1,#4c4746,#c9be39,#15b9da");
  return {
    background: read("--st-background-color", "#ffffff"),
    text: read("--st-text-color", "#1b222c"),
    line: read("--st-border-color", "#cfd6df"),
    primary: read("--st-primary-color", "#1f5fbf"),
    font: read("--st-font", "sans-serif"),
    classes: palette.split(/,(?![^(]*\))/).map((colour) => colour.trim()),
  };
}
const classColour = (style, label) => style.classes[label % style.classes.length];

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

/** Canvas pixels for each CSS pixel: as many as the screen has, but at most 2, since more cost time and are not seen. */
const pixelRatio = () => Math.min(2, window.devicePixelRatio || 1);

/** The cleared context of a canvas that fills `width` by `height` CSS pixels; its unit of length is the CSS pixel. */
function clearedContext(canvas, width = canvas.clientWidth, height = canvas.clientHeight) {
  const ratio = pixelRatio(), across = Math.round(width * ratio), down = Math.round(height * ratio);
  if (canvas.width !== across) canvas.width = across;
  if (canvas.height !== down) canvas.height = down;
  const ctx = canvas.getContext("2d");
  ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
  ctx.clearRect(0, 0, width, height);
  return ctx;
}

/** Text with a rim in the background's colour, legible on any picture. Set the font and alignment before. */
function drawOutlinedText(ctx, text, x, y, style) {
  ctx.lineWidth = 5;
  ctx.lineJoin = "round";
  ctx.strokeStyle = style.background;
  ctx.strokeText(text, x, y);
  ctx.fillStyle = style.text;
  ctx.fillText(text, x, y);
}

/** A cross of four arms from `inner` to `outer` around (x, y), with a rim in the background's colour. */
function drawCross(ctx, x, y, { inner, outer, width }, style) {
  for (const [colour, lineWidth] of [[style.background, 2 * width], [style.primary, width]]) {
    ctx.strokeStyle = colour;
    ctx.lineWidth = lineWidth;
    ctx.beginPath();
    for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
      ctx.moveTo(x + inner * dx, y + inner * dy);
      ctx.lineTo(x + outer * dx, y + outer * dy);
    }
    ctx.stroke();
  }
}
