// The browser's token, handed to Python once per mount. It has no picture, so its place in the page takes no room.

const NAME = "autoencoder-explorer.owner";
let spare = null; // where the browser refuses storage, the token lives as long as the tab

function token() {
  const fresh = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");
  try {
    const kept = localStorage.getItem(NAME);
    if (/^[0-9a-f]{32}$/.test(kept ?? "")) return kept;
    const made = fresh();
    localStorage.setItem(NAME, made);
    return made;
  } catch {
    return (spare ??= fresh());
  }
}

/** Fetch and compile one of the page's own scripts while others still run: it is at hand when it is wanted. */
function soon(file) {
  const first = document.querySelector('script[type="module"][src*="static/js/"]');
  if (!file || !first || document.querySelector(`link[data-soon="${file}"]`)) return;
  document.head.append(el("link", { rel: "modulepreload", crossorigin: true, href: new URL(file, first.src), "data-soon": file }));
}

export default function ({ data, parentElement, setStateValue }) {
  soon(data?.soon);
  return mount(parentElement, () => ({ root: el("div", { class: "ae" }) }), (found) => {
    const place = (parentElement.host ?? parentElement).closest?.('[data-testid="stElementContainer"]');
    if (place) place.style.position = "absolute";
    if (found.calls === 1) setStateValue("token", token());
  });
}
