// The buttons above the map, and the legend below it, whose entries hide and show classes.

function makeTools(map, camera, { change }) {
  const button = (text, action, attributes = {}) => el("button", { type: "button", ...attributes, onclick: action }, text);
  const thumbnails = toggle("Thumbnails", false, (on) => change({ thumbnails: on }));
  const plane = toggle("Plane", false, (on) => change({ mosaic: on }), { title: "The decoded plane behind the points" });
  const lasso = toggle("Lasso", false, (on) => { map.lassoTool = on; update(); });
  const zoomIn = button("+", () => change({ zoom: camera.magnified(1.6) }), { "aria-label": "Zoom in" });
  const zoomOut = button("\u2212", () => change({ zoom: camera.magnified(1 / 1.6) }), { "aria-label": "Zoom out" });
  const reset = button("Reset view", () => change({ zoom: null }));
  const showAll = button("Show all classes", () => change({ hidden: [] }));
  const clear = button("Clear selection", () => change({ selected: [] }));
  const count = el("span", { class: "quiet number", role: "status" });
  const bar = el("div", { class: "bar", role: "toolbar", "aria-label": "Map tools" },
    thumbnails, plane, lasso, zoomIn, zoomOut, reset, showAll, clear, count);
  const legend = el("div", { class: "legend", role: "group", "aria-label": "Classes" });
  let legendContents = ""; // what the legend was made from

  /** Shows the state of the view on the buttons. */
  function update() {
    const { view, hidden, selected, lassoTool } = map;
    const press = (node, on) => node.setAttribute("aria-pressed", String(on));
    press(lasso, lassoTool);
    press(thumbnails, view.thumbnails);
    press(plane, view.mosaic);
    clear.hidden = !selected.size;
    showAll.hidden = !view.hidden.length;
    reset.disabled = !view.zoom;
    count.textContent = selected.size ? `${counted(selected.size)} selected` : "";
    for (const entry of legend.children) press(entry, !hidden.has(Number(entry.dataset.label)));
  }

  function layOut() {
    const { meta, style } = map, contents = `${meta.digest} ${style.classes}`;
    bar.hidden = legend.hidden = meta.compact;
    plane.hidden = !meta.plane;
    if (contents === legendContents) return; // a rerun must not take the focus from a class's button
    legendContents = contents;
    legend.replaceChildren(...(meta.compact ? [] : legendEntries()));
  }

  function legendEntries() {
    const { meta, parts, style } = map;
    const present = [...new Set(parts.labels ?? [])].filter((label) => label >= 0).sort((a, b) => a - b);
    return present.map((label) => {
      const patch = el("i");
      patch.style.background = patch.style.borderColor = classColour(style, label);
      const entry = toggle("", true, (on) => {
        const others = map.view.hidden.filter((other) => other !== label);
        change({ hidden: on ? others : [...others, label] });
      }, { "data-label": label, title: "Click: hide or show. Double click: only this class" });
      entry.append(patch, el("span", { class: "name" }, meta.class_names[label]));
      entry.addEventListener("dblclick", () => change({ hidden: present.filter((other) => other !== label) }));
      return entry;
    });
  }

  return { bar, legend, update, layOut };
}
