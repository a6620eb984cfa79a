// The browser's token, handed to Python once per mount. It shows nothing and takes no room in the page.

const NAME = "autoencoder-explorer.owner";
let unsaved = null; // where the browser refuses storage, the token lives as long as the tab

function token() {
  const randomToken = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");
  try {
    const saved = localStorage.getItem(NAME);
    if (/^[0-9a-f]{32}$/.test(saved ?? "")) return saved;
    const created = randomToken();
    localStorage.setItem(NAME, created);
    return created;
  } catch {
    return (unsaved ??= randomToken());
  }
}

/** Fetches and compiles one of Streamlit's own scripts while others still run, so that it is ready when it is needed. */
function preload(file) {
  const first = document.querySelector('script[type="module"][src*="static/js/"]');
  if (!file || !first || document.querySelector(`link[data-soon="${file}"]`)) return;
  document.head.append(el("link", { rel: "modulepreload", crossorigin: true, href: new URL(file, first.src), "data-soon": file }));
}

function makeIdentity(report) {
  const root = el("div", { class: "ae" });
  let reported = false;
  return {
    root,
    feed({ soon }) {
      preload(soon);
      const host = root.getRootNode().host ?? root;
      const container = host.closest('[data-testid="stElementContainer"]');
      if (container) container.style.position = "absolute";
      if (!reported) report(token());
      reported = true;
    },
  };
}

export default component(makeIdentity, "token");
