// A film: frames are decoded once each and kept by the name of their content, so a growing film decodes only what is new.

function makeFilm() {
  let meta = null, digest = null, send = () => {}, frames = [], known = new Map();
  let index = 0, playing = false, following = false, timer = null, held = false;

  const canvas = el("canvas", { role: "img" }), ctx = canvas.getContext("2d");
  const stage = el("div", { class: "stage" }, canvas);
  const play = el("button", { type: "button", onclick: () => (playing ? stop() : start()) }, "Play");
  const done = el("div", { class: "done" }), thumb = el("div", { class: "thumb" });
  const track = el("div", { class: "track", role: "slider", tabindex: 0, "aria-label": "Frame", "aria-valuemin": 1 },
    el("div", { class: "line" }), done, thumb);
  const label = el("span", { class: "label number" });
  const frame = el("div", { class: "film" }, stage, el("div", { class: "controls" }, play, track, label));
  const root = el("div", { class: "ae" }, frame);
  const report = settled(() => meta.report && send(index), 200);

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
    const part = `${(100 * index) / Math.max(1, frames.length - 1)}%`;
    done.style.width = thumb.style.left = part;
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
    playing = true;
    play.textContent = "Pause";
    if (index === frames.length - 1) show(0);
    let last = performance.now();
    const tick = (now) => {
      if (!playing) return;
      if (now - last >= 1000 / meta.fps) {
        last = now;
        if (index + 1 < frames.length) show(index + 1);
        else if (meta.follow) { stop(); following = true; return; }
        else show(0);
      }
      timer = requestAnimationFrame(tick);
    };
    timer = requestAnimationFrame(tick);
  }
  function stop() {
    playing = false;
    cancelAnimationFrame(timer);
    play.textContent = "Play";
    following = meta.follow && index === frames.length - 1;
  }

  for (const handle of [track, stage]) {
    const at = (event) => {
      const box = handle.getBoundingClientRect();
      return clamp((event.clientX - box.left) / box.width, 0, 1) * (frames.length - 1);
    };
    handle.addEventListener("pointerdown", (event) => {
      if (event.button > 0 || !frames.length) return;
      handle.setPointerCapture(event.pointerId);
      held = true;
      if (playing) stop();
      choose(at(event));
    });
    handle.addEventListener("pointermove", (event) => { if (held) choose(at(event)); });
    const letGo = () => { if (held) { held = false; report(); } };
    handle.addEventListener("pointerup", letGo);
    handle.addEventListener("pointercancel", letGo);
  }
  track.addEventListener("keydown", (event) => {
    if (!frames.length || event.altKey || event.metaKey || event.ctrlKey) return;
    const to = {
      ArrowLeft: index - 1, ArrowDown: index - 1, ArrowRight: index + 1, ArrowUp: index + 1,
      PageDown: index - 10, PageUp: index + 10, Home: 0, End: frames.length - 1,
    }[event.key];
    if (event.key === " ") { playing ? stop() : start(); }
    else if (to !== undefined) { if (playing) stop(); choose(to); report(); }
    else return;
    event.preventDefault();
  });

  async function feed(bytes) {
    const value = unpack(bytes);
    if (value.meta.digest === digest) return;
    const wanted = (digest = value.meta.digest);
    const next = new Map();
    await Promise.all(value.meta.frames.map(async (name, i) => {
      next.set(name, known.get(name) ?? (await decode(value.parts[`frame_${i}`])));
    }));
    if (digest !== wanted) return;
    for (const [name, bitmap] of known) if (!next.has(name)) bitmap.close();
    const first = meta === null;
    known = next;
    meta = value.meta;
    frames = meta.frames.map((name) => known.get(name));
    frame.style.setProperty("--height", `${meta.height}px`);
    const { width, height } = frames[0], enlarge = Math.max(1, Math.floor(meta.height / height));
    canvas.style.width = `${Math.min(width * enlarge, (width * meta.height) / height)}px`;
    canvas.classList.toggle("smooth", enlarge === 1);
    track.setAttribute("aria-valuemax", frames.length);
    play.disabled = frames.length < 2;
    if (first) {
      following = meta.follow && meta.start === null;
      show(meta.start ?? (meta.follow ? frames.length - 1 : 0));
    } else show(following && !held && !playing ? frames.length - 1 : index);
    root.dataset.ready = digest;
  }
  return {
    root,
    feed,
    hear(to) { send = to; },
    destroy() { playing = false; cancelAnimationFrame(timer); known.forEach((bitmap) => bitmap.close()); },
  };
}

export default function ({ data, parentElement, setStateValue }) {
  return mount(parentElement, makeFilm, (film) => {
    film.hear((index) => setStateValue("frame", index));
    if (data) film.feed(data);
  });
}
