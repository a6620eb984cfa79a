// The contact sheet. Each example is a column. As many columns as fit make a band; each band begins with the rows' names.

function makeContact(report) {
  let meta = null, bitmap = null, digest = null;
  let arrangement = ""; // what the sheet was laid out for
  const root = el("div", { class: "ae contact", role: "group" });
  const GAP = 7;

  function layOut(force) {
    if (!meta || !root.clientWidth) return;
    const n = meta.ids.length, width = root.clientWidth, named = meta.rows.some((name) => name);
    const label = named ? clamp(width * 0.13, 104, 150) : 0, room = width - label - (named ? GAP : 0);
    const fits = clamp(Math.floor((room + GAP) / (meta.tile + GAP)), 1, n);
    const bands = Math.ceil(n / fits), perBand = Math.ceil(n / bands);
    const side = Math.min(2 * meta.tile, (room - (perBand - 1) * GAP) / perBand);
    const wanted = `${digest} ${perBand} ${Math.round(side)}`;
    if (wanted === arrangement && !force) return;
    arrangement = wanted;
    root.setAttribute("aria-label", meta.alt);
    root.replaceChildren();
    root.classList.toggle("narrow", width < 620);
    for (let start = 0; start < n; start += perBand) {
      const band = el("div", { class: "band" });
      band.style.gridTemplateColumns = `${named ? `${label}px ` : ""}repeat(${perBand}, ${side}px)`;
      band.style.columnGap = `${GAP}px`;
      const examples = [...Array(Math.min(perBand, n - start)).keys()].map((i) => start + i);
      meta.rows.forEach((name, row) => {
        if (named) {
          const rowName = el("div", { class: "rowname" }, name);
          rowName.style.gridColumn = 1; // starts a new line even where the last band is not full
          band.append(rowName);
        }
        examples.forEach((k, i) => band.append(cell(name, row, k, i + (named ? 2 : 1))));
      });
      if (meta.captions.length) {
        examples.forEach((k, i) => band.append(caption(k, i + (named ? 2 : 1))));
      }
      root.append(band);
    }
    root.dataset.ready = digest;
  }

  function cell(name, row, k, column) {
    const text = [name, meta.captions[k]].filter(Boolean).join(", ");
    const shownPicture = picture({ "aria-label": text || `picture ${k + 1}` });
    shownPicture.tile(bitmap, meta.atlas, row * meta.ids.length + k);
    const { canvas } = shownPicture;
    canvas.style.gridColumn = column;
    canvas.classList.toggle("chosen", meta.ids[k] === meta.chosen);
    if (meta.pick) {
      canvas.classList.add("pick");
      canvas.title = meta.pick;
      canvas.addEventListener("click", () => choose(k));
    }
    return canvas;
  }

  function caption(k, column) {
    const chosen = meta.ids[k] === meta.chosen, attributes = { class: chosen ? "text number chosen" : "text number" };
    const node = meta.pick
      ? el("button", { ...attributes, type: "button", title: meta.pick, "aria-pressed": String(chosen), onclick: () => choose(k) }, meta.captions[k])
      : el("div", attributes, meta.captions[k]);
    node.style.gridColumn = column;
    return node;
  }

  function choose(k) {
    meta.chosen = meta.ids[k];
    layOut(true);
    report(meta.ids[k]);
  }

  async function feed(bytes) {
    const value = unpack(bytes);
    if (value.meta.digest === digest) return;
    const wanted = (digest = value.meta.digest), decoded = await decode(value.parts.atlas);
    if (digest !== wanted) { decoded.close(); return; }
    bitmap?.close();
    bitmap = decoded;
    meta = value.meta;
    layOut(true);
  }

  const watcher = new ResizeObserver(() => layOut(false));
  watcher.observe(root);
  return {
    root,
    feed,
    destroy() { watcher.disconnect(); bitmap?.close(); },
  };
}

export default component(makeContact, "pick", "setTriggerValue");
