// Copies the page's address as it stands at the click.

function makeCopy() {
  const said = el("span", { role: "status", class: "quiet" });
  const input = el("input", { readonly: true, "aria-label": "Address of this page", hidden: true });
  const button = el("button", { type: "button" });
  const root = el("div", { class: "ae copy" }, button, said, input);
  let timer = null;
  button.addEventListener("click", async () => {
    input.value = window.location.href;
    try {
      await navigator.clipboard.writeText(input.value);
      input.hidden = true;
      said.textContent = "Copied";
    } catch {
      input.hidden = false;
      input.focus();
      input.select();
      said.textContent = "Press Ctrl+C to copy";
    }
    clearTimeout(timer);
    if (input.hidden) timer = setTimeout(() => { said.textContent = ""; }, 2500);
  });
  return { root, feed(data) { button.textContent = data.label; }, destroy() { clearTimeout(timer); } };
}

export default function ({ data, parentElement }) {
  return mount(parentElement, makeCopy, (copy) => copy.feed(data ?? { label: "Copy link" }));
}
