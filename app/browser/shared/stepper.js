// A slider with a play button over steps that have names.

/** `show(k)` draws step k; `tell()` reports the step where the slider was left or where playing ended. */
function stepper(show, tell) {
  let names = [""], stepsPerSecond = 4, step = 0;
  const clock = metronome(() => 1000 / stepsPerSecond, () => {
    if (step + 1 < names.length) to(step + 1); else stop();
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
    set(stepNames, fps) {
      names = stepNames;
      stepsPerSecond = fps;
      range.max = names.length - 1;
      bar.hidden = names.length < 2;
    },
    end: clock.stop,
  };
}
