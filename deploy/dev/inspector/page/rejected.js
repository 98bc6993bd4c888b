// Requests that receive rejected, and why.

import { get } from "/page/api.js";
import { duration, fill, h, reconcile, time } from "/page/dom.js";
import { bytes, checksView, chip, empty, rejectionReason } from "/page/pieces.js";
import { on } from "/page/state.js";
import { plural } from "/page/words.js";

export function rejectedView(main) {
  const list = h("ul", { class: "cards", "aria-label": "Rejected requests, newest first" });
  const foot = h("div", { class: "foot" });
  let requests = [];
  let count = null;
  let known = false;
  const filter = h("input", { type: "search", name: "text", "aria-label": "Filter by source, code or reason", placeholder: "Filter by source, code or reason", autocomplete: "off", oninput: () => show() });
  fill(main, h("h1", { class: "unseen" }, "Rejected requests"), h("div", { class: "filters" }, h("label", { class: "search" }, filter)), list, foot);

  const forget = [on("overview", async (overview) => {
    if (overview.rejected === count) return;
    count = overview.rejected;
    const { rejected } = await get("/api/rejected", { limit: 100 });
    const oldest = rejected.at(-1)?.seq ?? 0;
    requests = [...rejected, ...requests.filter((each) => each.seq < oldest)];
    known = true;
    show();
  })];

  function show() {
    const words = filter.value.toLowerCase().split(/\s+/);
    const shown = requests.filter((request) => words.every((word) => `${request.source} ${request.code} ${request.status} ${request.detail}`.toLowerCase().includes(word)));
    reconcile(list, shown, (request) => String(request.seq), card);
    list.hidden = !shown.length;
    fill(foot,
      shown.length < requests.length && h("p", { class: "faint" }, `${plural(shown.length, "request")} of the newest ${requests.length.toLocaleString()}`),
      known && !requests.length && empty("No rejected requests", h("p", {}, "A request that fails a check is listed here with the check and the reason. Its content is not stored.")),
      requests.length > 0 && requests.length < count && h("button", { type: "button", class: "more", onclick: older }, "Show older requests"));
  }

  async function older() {
    const { rejected } = await get("/api/rejected", { limit: 100, before: requests.at(-1).seq });
    requests = [...requests, ...rejected];
    show();
  }

  return { update: show, close: () => forget.forEach((each) => each()) };
}

function card(request) {
  const again = request.status >= 500;
  return h("li", { class: "rejection" },
    h("header", {},
      chip(String(request.status), again ? "retry_scheduled" : "dead_lettered", again ? "the sender was asked to retry" : "nothing was published"),
      h("strong", { class: "mono" }, request.method ? `${request.method} ${request.source ? `/${request.source}` : "(no source has this path)"}` : "(no HTTP request)"),
      request.code && h("code", {}, request.code),
      h("span", { class: "faint" }, time(request.at, true), request.duration_ms !== null && ` · ${duration(request.duration_ms)}`)),
    h("div", { class: "why" }, rejectionReason(request)),
    received(request),
    checksView(request.code));
}

// The size of the request and the names of its headers, as far as receive logged them.
function received(request) {
  const names = request.detail?.split(". Headers: ")[1];
  const parts = [request.bytes !== null && bytes(request.bytes), names && `headers: ${names}`].filter(Boolean);
  return parts.length > 0 && h("p", { class: "faint" }, parts.join(" · "));
}
