// Things that happen later or again and again.

/**
 * A function that calls `action` once nothing has called it for `ms`. Its .now() calls `action` at once if it is
 * waiting, .cancel() gives the call up, .waiting() says whether one is due.
 */
function settled(action, ms) {
  let timer = null;
  const run = () => { timer = null; action(); };
  const ask = () => { clearTimeout(timer); timer = setTimeout(run, ms); };
  ask.now = () => { if (timer !== null) { clearTimeout(timer); run(); } };
  ask.cancel = () => { clearTimeout(timer); timer = null; };
  ask.waiting = () => timer !== null;
  return ask;
}

/** Calls `action(ms)` before each frame, with the time since the frame before, from start() until stop(). */
function ticker(action) {
  let frame = null;
  return {
    on: () => frame !== null,
    stop() { cancelAnimationFrame(frame); frame = null; },
    start() {
      if (frame !== null) return;
      let last = performance.now();
      const tick = (now) => {
        frame = requestAnimationFrame(tick);
        const ms = now - last;
        last = now;
        action(ms);
      };
      frame = requestAnimationFrame(tick);
    },
  };
}

/** Calls `action()` every `period()` milliseconds, on the next frame, from start() until stop(). */
function metronome(period, action) {
  let elapsed = 0;
  const clock = ticker((ms) => {
    elapsed += ms;
    if (elapsed < period()) return;
    elapsed = 0;
    action();
  });
  return { ...clock, start() { elapsed = 0; clock.start(); } };
}
