// The keyboard: j and k or the arrows through a list, Enter opens, Esc goes back, / searches, a digit chooses a section.

import { h } from "/page/dom.js";

const HELP = [["j, ↓", "next in the list or on the map"], ["k, ↑", "previous in the list or on the map"], ["Enter", "open the entry"], ["Esc", "close the entry; leave the search"], ["/", "search events, or the map"], ["1 – 9", "sections, in the order of their tabs"], ["?", "this list"]];

const PAGES = [["README.md", "Overview"], ["functions/receive/README.md", "Sources"], ["functions/transform/README.md", "Steps"], ["functions/notify/README.md", "Destinations"], ["functions/subscribe/README.md", "Subscribers"], ["deploy/codes.md", "Outcomes and codes"], ["deploy/README.md", "Deployment and settings"], ["deploy/docs/page.md", "This page"], ["deploy/docs/hooks.md", "Hooks at the provider"], ["deploy/docs/retention.md", "Retention and forgetting"], ["deploy/docs/local.md", "Emulation and state"]];

export function showHelp() {
  const dialog = h("dialog", { class: "help", "aria-label": "Help", onclose: () => dialog.remove() },
    h("h2", {}, "Keyboard shortcuts"),
    h("dl", { class: "facts" }, HELP.map(([keys, does]) => [h("dt", {}, keys.split(", ").flatMap((key, at) => [at > 0 && " ", h("kbd", {}, key)])), h("dd", {}, does)])),
    h("h2", {}, "Documentation"),
    h("ul", {}, PAGES.map(([path, title]) => h("li", {}, h("a", { href: `/docs/${path}`, target: "_blank" }, title)))),
    h("form", { method: "dialog" }, h("div", { class: "buttons" }, h("button", { value: "done" }, "Close"))));
  document.body.append(dialog);
  dialog.showModal();
}

function move(step) {
  const links = [...document.querySelectorAll("main .rows a, main .map a")];
  if (!links.length) return;
  const from = links.indexOf(document.activeElement);
  const start = from >= 0 ? from : links.findIndex((link) => link.hasAttribute("aria-current"));
  const next = start < 0 ? 0 : Math.max(0, Math.min(links.length - 1, start + step));
  links[next].focus();
  links[next].scrollIntoView({ block: "nearest" });
}

export function listenToKeys({ view, section, search }) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    const typing = event.target.matches("input, select, textarea");
    if (event.key === "Escape") {
      if (typing) event.target.blur();
      else view().back?.();
      return;
    }
    if (typing) return;
    const scrolls = event.target.closest(".code, .mail-text, .scroll");
    const step = { j: 1, k: -1, ...(scrolls ? {} : { ArrowDown: 1, ArrowUp: -1 }) }[event.key];
    if (step) move(step);
    else if (event.key === "/") search();
    else if (event.key === "?") showHelp();
    else if (/^[1-9]$/.test(event.key)) section(Number(event.key) - 1);
    else return;
    event.preventDefault();
  });
}
