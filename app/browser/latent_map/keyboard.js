// Keys: arrows and the like move the cursor, plus, minus and 0 zoom, Escape gives a selection up.

function listenToKeys(field, map, camera, { change, pin }) {
  field.addEventListener("keydown", (event) => {
    if (!map.meta || isShortcut(event)) return;
    const { meta: { extent: [x0, x1, y0, y1], compact }, view: { cursor } } = map;
    const step = (event.shiftKey ? 60 : 12) / camera.view()[2], [x, y] = cursor ?? [(x0 + x1) / 2, (y0 + y1) / 2];
    const place = {
      ArrowLeft: [x - step, y], ArrowRight: [x + step, y], ArrowDown: [x, y - step], ArrowUp: [x, y + step],
      Home: [x0, y], End: [x1, y], PageUp: [x, y1], PageDown: [x, y0],
    }[event.key];
    const zoom = compact ? undefined : {
      "+": () => camera.magnified(1.6), "-": () => camera.magnified(1 / 1.6), 0: () => null,
    }[event.key];
    if (place) {
      map.hover = null;
      pin(place);
    } else if (zoom) change({ zoom: zoom() });
    else if (event.key === "Escape" && (map.selected.size || map.lasso)) {
      map.lasso = null;
      change({ selected: [] });
    } else return;
    event.preventDefault();
  });
}
