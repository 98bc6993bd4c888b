// Requests that were refused, and why.

import { get } from "/page/api.js";
import { duration, fill, h, reconcile, time } from "/page/dom.js";
import { checksView, chip, empty, refusalWords } from "/page/pieces.js";
import { on } from "/page/state.js";

export function refusedView(main) {
  const list = h("ul", { class: "cards", "aria-label": "Refused requests, newest first" });
  const foot = h("div", { class: "foot" });
  let requests = [];
  let count = null;
  let known = false;
  fill(main, h("h1", { class: "unseen" }, "Refused requests"), list, foot);

  const forget = [on("overview", async (overview) => {
    if (overview.refused === count) return;
    count = overview.refused;
    const { refused } = await get("/api/refused", { limit: 100 });
    const oldest = refused.at(-1)?.seq ?? 0;
    requests = [...refused, ...requests.filter((each) => each.seq < oldest)];
    known = true;
    show();
  })];

  function show() {
    reconcile(list, requests, (request) => String(request.seq), card);
    list.hidden = !requests.length;
    fill(foot,
      known && !requests.length && empty("Nothing was refused", h("p", {}, "A request that fails a check is listed here with the check and the reason. Nothing of its content is kept.")),
      requests.length > 0 && requests.length < count && h("button", { type: "button", class: "more", onclick: older }, "Show older requests"));
  }

  async function older() {
    const { refused } = await get("/api/refused", { limit: 100, before: requests.at(-1).seq });
    requests = [...requests, ...refused];
    show();
  }

  return { update: show, close: () => forget.forEach((each) => each()) };
}

function card(request) {
  const again = request.status >= 500;
  return h("li", { class: "refusal" },
    h("header", {},
      chip(String(request.status), again ? "retrying" : "failed", again ? "the sender was told to come again" : "nothing was published"),
      h("strong", { class: "mono" }, `${request.method} ${request.source ? `/${request.source}` : "(a path of no source)"}`),
      h("code", {}, request.code),
      h("span", { class: "faint" }, time(request.at, true), request.duration_ms !== null && ` · ${duration(request.duration_ms)}`)),
    h("div", { class: "why" }, refusalWords(request)),
    checksView(request.code));
}
