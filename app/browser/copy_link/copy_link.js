// Copies the page's address as it stands at the click.

function makeCopy() {
  const message = el("span", { role: "status", class: "quiet" });
  const address = el("input", { readonly: true, "aria-label": "Address of this page", hidden: true });
  const button = el("button", { type: "button" });
  const root = el("div", { class: "ae copy" }, button, message, address);
  const clearMessage = settled(() => { message.textContent = ""; }, 2500);
  button.addEventListener("click", async () => {
    clearMessage.cancel();
    address.value = window.location.href;
    try {
      await navigator.clipboard.writeText(address.value);
      address.hidden = true;
      message.textContent = "Copied";
      clearMessage();
    } catch {
      address.hidden = false;
      address.focus();
      address.select();
      message.textContent = "Press Ctrl+C to copy";
    }
  });
  return { root, feed({ label }) { button.textContent = label; }, destroy: clearMessage.cancel };
}

export default component(makeCopy);
