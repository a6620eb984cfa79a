// Elements of the page, the pointer and keys over them, and numbers as text.

const clamp = (v, low, high) => Math.min(high, Math.max(low, v));

/** An element with attributes, listeners ("onclick") and children. A string becomes text, never markup. */
function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}

/** A button that is on or off; `action(on)` is called with the state that a click asks for. */
function toggle(text, pressed, action, attributes = {}) {
  const button = el("button", { type: "button", "aria-pressed": String(pressed), ...attributes }, text);
  button.addEventListener("click", () => action(button.getAttribute("aria-pressed") !== "true"));
  return button;
}

/** A legend's entry: a patch of colour and its name. */
const swatch = (colour, name) => el("span", {}, el("i", { style: `background:${colour}` }), name);

/** Where the pointer is in a node's box: [0, 0] at the top left corner, [1, 1] at the bottom right, never outside. */
function placeInBox(event, node) {
  const box = node.getBoundingClientRect();
  return [clamp((event.clientX - box.left) / box.width, 0, 1), clamp((event.clientY - box.top) / box.height, 0, 1)];
}

/** Whether a key belongs to a shortcut of the browser or of the system, which must keep it. */
const isShortcut = (event) => event.altKey || event.metaKey || event.ctrlKey;

/** A number for readers: with a true minus sign, and no decimals from 1,000 on. */
const shown = (v, digits = 2) => {
  const text = Math.abs(v) >= 1000 ? v.toFixed(0) : v.toFixed(digits);
  return (Number(text) === 0 ? text.replace("-", "") : text).replace("-", "\u2212");
};
const counted = (n) => n.toLocaleString("en");
