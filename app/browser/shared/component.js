// How a component lives: Streamlit calls it with every new value from Python; it reports values back.

/**
 * The function that Streamlit calls, to be exported as the module's default.
 *
 * `make(report)` builds {root, feed, destroy}: the element to show, a function that takes each value from Python, and a
 * clean-up (optional). `report(value)` sends a value to Python under the name `field`; `setter` is "setStateValue" for
 * a value that stays, or "setTriggerValue" for one that lasts a single run.
 *
 * One instance is made for each place in the page and used with every later value. Streamlit may run the clean-up of a
 * call after a newer call has begun, so only the clean-up of the newest call ends the instance.
 */
function component(make, field = null, setter = "setStateValue") {
  const instances = new WeakMap();
  return (call) => {
    const { data, parentElement } = call;
    let instance = instances.get(parentElement);
    if (!instance) {
      const created = (instance = { calls: 0, send: null });
      Object.assign(created, make((value) => created.send(field, value)));
      parentElement.appendChild(created.root);
      instances.set(parentElement, created);
    }
    instance.send = call[setter];
    const number = ++instance.calls;
    if (data) instance.feed(data);
    return () => {
      if (instance.calls !== number) return;
      instances.delete(parentElement);
      instance.destroy?.();
      instance.root.remove();
    };
  };
}

/** The inverse of `pack` in pack.py: {meta, parts}. Each section is copied, so that its view is always aligned. */
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
