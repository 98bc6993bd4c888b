// A list of which one page at a time is shown and kept.

import { get } from "./api.js";
import { announce, fill, h, reconcile } from "./dom.js";
import { loadFault } from "./pieces.js";

const SEARCH_TURNS = 5;

// `label` names the list; `row(item)` makes an element of it; `emptyView()` stands where there is none. `load(path, query)`
// begins at the first page, `refresh()` loads the shown page again and answers its items.
export function pagedList({ label, kind, row, emptyView, limit = 50 }) {
  const list = h("ul", { class: kind, "aria-label": label });
  const foot = h("div", { class: "foot" });
  const newer = h("button", { type: "button", onclick: () => turn(-1) }, "Previous page");
  const older = h("button", { type: "button", onclick: () => turn(1) }, "Next page");
  const place = h("span", { class: "faint" });
  const pager = h("nav", { class: "pager", "aria-label": `Pages: ${label}`, hidden: true }, newer, place, older);
  let cursors = [""];
  let next = null;
  let source = { path: "", query: {} };
  let number = 0;

  // Where few entries match, an answer may have none although there are more: then it is asked on, a few times.
  async function refresh() {
    const mine = ++number;
    list.setAttribute("aria-busy", "true");
    try {
      let answer = { items: [], next: cursors.at(-1) };
      for (let turns = 0; turns < SEARCH_TURNS && !answer.items.length && (answer.next || !turns); turns++) {
        answer = await get(source.path, { ...source.query, limit, cursor: answer.next });
        if (mine !== number) return [];
      }
      next = answer.next;
      show(answer.items);
      return answer.items;
    } catch (error) {
      if (mine === number) fill(foot, loadFault(error, refresh));
      return [];
    } finally {
      if (mine === number) list.removeAttribute("aria-busy");
    }
  }

  function show(items) {
    list.hidden = !items.length;
    reconcile(list, items, (each) => each.id, row);
    fill(foot, !items.length && (next ? h("p", {}, "Nothing was found so far. The next page searches on.") : cursors.length > 1 ? h("p", {}, "No more entries.") : emptyView()));
    pager.hidden = cursors.length === 1 && !next;
    newer.disabled = cursors.length === 1;
    older.disabled = !next;
    place.textContent = `Page ${cursors.length}`;
  }

  async function turn(step) {
    if (step > 0) cursors.push(next);
    else cursors.pop();
    await refresh();
    announce(`Page ${cursors.length}`);
    list.querySelector("a, button")?.focus();
  }

  return {
    element: h("div", { class: "paged" }, list, foot, pager),
    load(path, query = {}) {
      source = { path, query };
      cursors = [""];
      return refresh();
    },
    refresh,
    isFirstPage: () => cursors.length === 1,
  };
}
