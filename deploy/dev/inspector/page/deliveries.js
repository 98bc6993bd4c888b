// The deliveries in the ledger, newest first.

import { get } from "/page/api.js";
import { fill, h, reconcile, time } from "/page/dom.js";
import { chip, empty } from "/page/pieces.js";
import { on } from "/page/state.js";
import { ROUTE_ITSELF, deliveryState, destinationText, endpointOf, plural } from "/page/words.js";

const FILTERS = [["", "All"], ["retry_scheduled", "Retry scheduled"], ["held", "Held"], ["dead_lettered", "Dead-lettered"], ["merged", "Merged"], ["delivered", "Delivered"]];

export function deliveriesView(main, navigate) {
  const states = h("div", { class: "statuses", role: "group", "aria-label": "State" });
  const list = h("ul", { class: "rows deliveries", "aria-label": "Deliveries, newest first" });
  const foot = h("div", { class: "foot" });
  const chosen = h("div", { class: "between", role: "status" });
  let state = "";
  let only = {}; // the destination and the route that the page's address names
  let number = 0; // of the newest request, whose answer alone is shown
  let asking = false;
  fill(main, h("h1", { class: "unseen" }, "Deliveries"), h("div", { class: "filters" }, chosen, states), list, foot);

  async function load() {
    const mine = ++number;
    asking = true;
    try {
      const { deliveries } = await get("/api/deliveries", { ...only, state, limit: 100 });
      if (mine !== number) return;
      list.hidden = !deliveries.length;
      reconcile(list, deliveries, (each) => each.id, row);
      fill(foot, !deliveries.length && empty(only.route ? "No deliveries among the newest" : state ? "No deliveries in this state" : "No deliveries yet", h("p", {}, "A delivery is one event for one destination, from one route. The ledger keeps it for 45 days after it ends.")));
    } finally {
      if (mine === number) asking = false;
    }
  }

  function choose(next) {
    state = next;
    fill(states, FILTERS.map(([value, word]) => h("button", { type: "button", class: "filter", "aria-pressed": String(state === value), onclick: () => choose(value) }, word)));
    load();
  }

  choose("");
  const forget = [on("overview", () => { if (!asking) load(); })];
  return {
    update(id, { destination = "", route = "" }) {
      only = { destination, route };
      const text = [route && `the route ${route}`, destination && `the destination ${destinationText(destination)}`].filter(Boolean).join(" and ");
      fill(chosen, text && h("span", {}, `Only deliveries of ${text}`), text && h("button", { type: "button", onclick: () => navigate("deliveries", null) }, "Show all"));
      chosen.hidden = !text;
      load();
    },
    close: () => forget.forEach((each) => each()),
  };
}

function row(delivery) {
  const [word, kind, meaning] = deliveryState(delivery);
  const endpoint = endpointOf(delivery.destination);
  return h("li", {}, h("a", { href: `#/events/${encodeURIComponent(delivery.event_id)}`, "data-id": delivery.id },
    chip(word, kind, meaning),
    h("span", { class: "what" }, h("strong", { title: delivery.destination }, destinationText(delivery.destination)), h("span", { class: "faint" }, endpoint && `${endpoint.configured} · `, `route ${delivery.route}`, delivery.merged > 0 && ` · a digest of ${plural(delivery.merged, "event")}`, delivery.attempt_number > 0 && delivery.destination !== ROUTE_ITSELF && ` · attempt ${delivery.attempt_number}`, delivery.state !== "delivered" && delivery.reason && ` · ${delivery.reason}`)),
    delivery.retry_at ? h("span", { class: "source" }, delivery.group ? "waits in a digest until " : "retry at ", time(delivery.retry_at)) : h("span", { class: "source mono" }, delivery.event_id.slice(0, 8)),
    time(delivery.updated_at)));
}
