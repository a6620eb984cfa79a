// A film. Each frame is decoded once and kept under the digest of its content, so a growing film decodes only new frames.

function makeFilm(report) {
  let meta = null, digest = null;
  let frames = [], bitmaps = new Map(); // the bitmaps in order, and by the digests of their contents
  let index = 0; // the frame shown
  let following = false; // whether the newest frame is to be shown when one arrives
  let held = false; // whether the pointer is down
  const clock = metronome(() => 1000 / meta.fps, () => {
    if (index + 1 < frames.length) show(index + 1);
    else if (meta.follow) stop();
    else show(0);
  });

  const canvas = el("canvas", { role: "img" }), ctx = canvas.getContext("2d");
  const stage = el("div", { class: "stage" }, canvas);
  const play = el("button", { type: "button", onclick: () => (clock.on() ? stop() : start()) }, "Play");
  const done = el("div", { class: "done" }), thumb = el("div", { class: "thumb" });
  const track = el("div", { class: "track", role: "slider", tabindex: 0, "aria-label": "Frame", "aria-valuemin": 1 },
    el("div", { class: "line" }), done, thumb);
  const label = el("span", { class: "label number" });
  const frame = el("div", { class: "film" }, stage, el("div", { class: "controls" }, play, track, label));
  const root = el("div", { class: "ae" }, frame);
  const tell = settled(() => meta.report && report(index), 200);

  function show(k) {
    index = clamp(Math.round(k), 0, frames.length - 1);
    const bitmap = frames[index];
    if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) {
      canvas.width = bitmap.width;
      canvas.height = bitmap.height;
    }
    ctx.clearRect(0, 0, canvas.width, canvas.height);
    ctx.drawImage(bitmap, 0, 0);
    canvas.dataset.tile = index;
    const position = `${(100 * index) / Math.max(1, frames.length - 1)}%`;
    done.style.width = thumb.style.left = position;
    label.textContent = meta.labels[index];
    canvas.setAttribute("aria-label", `${meta.alt}; ${meta.labels[index]}`);
    track.setAttribute("aria-valuenow", index + 1);
    track.setAttribute("aria-valuetext", meta.labels[index]);
  }
  function choose(k) {
    show(k);
    following = meta.follow && index === frames.length - 1;
  }
  function start() {
    if (frames.length < 2) return;
    play.textContent = "Pause";
    if (index === frames.length - 1) show(0);
    clock.start();
  }
  function stop() {
    clock.stop();
    play.textContent = "Play";
    following = meta.follow && index === frames.length - 1;
  }

  for (const handle of [track, stage]) {
    const frameUnder = (event) => placeInBox(event, handle)[0] * (frames.length - 1);
    handle.addEventListener("pointerdown", (event) => {
      if (event.button > 0 || !frames.length) return;
      handle.setPointerCapture(event.pointerId);
      held = true;
      if (clock.on()) stop();
      choose(frameUnder(event));
    });
    handle.addEventListener("pointermove", (event) => { if (held) choose(frameUnder(event)); });
    const letGo = () => { if (held) { held = false; tell(); } };
    handle.addEventListener("pointerup", letGo);
    handle.addEventListener("pointercancel", letGo);
  }
  track.addEventListener("keydown", (event) => {
    if (!frames.length || isShortcut(event)) return;
    const chosen = {
      ArrowLeft: index - 1, ArrowDown: index - 1, ArrowRight: index + 1, ArrowUp: index + 1,
      PageDown: index - 10, PageUp: index + 10, Home: 0, End: frames.length - 1,
    }[event.key];
    if (event.key === " ") { clock.on() ? stop() : start(); }
    else if (chosen !== undefined) { if (clock.on()) stop(); choose(chosen); tell(); }
    else return;
    event.preventDefault();
  });

  async function feed(bytes) {
    const value = unpack(bytes);
    if (value.meta.digest === digest) return;
    const wanted = (digest = value.meta.digest);
    const next = new Map();
    await Promise.all(value.meta.frames.map(async (name, i) => {
      next.set(name, bitmaps.get(name) ?? (await decode(value.parts[`frame_${i}`])));
    }));
    if (digest !== wanted) return;
    for (const [name, bitmap] of bitmaps) if (!next.has(name)) bitmap.close();
    const first = meta === null;
    bitmaps = next;
    meta = value.meta;
    frames = meta.frames.map((name) => bitmaps.get(name));
    frame.style.setProperty("--height", `${meta.height}px`);
    const { width, height } = frames[0], enlarge = Math.max(1, Math.floor(meta.height / height));
    canvas.style.width = `${Math.min(width * enlarge, (width * meta.height) / height)}px`;
    canvas.classList.toggle("smooth", enlarge === 1);
    track.setAttribute("aria-valuemax", frames.length);
    play.disabled = frames.length < 2;
    if (first) {
      following = meta.follow && meta.start === null;
      show(meta.start ?? (meta.follow ? frames.length - 1 : 0));
    } else show(following && !held && !clock.on() ? frames.length - 1 : index);
    root.dataset.ready = digest;
  }
  return {
    root,
    feed,
    destroy() { clock.stop(); bitmaps.forEach((bitmap) => bitmap.close()); },
  };
}

export default component(makeFilm, "frame");
