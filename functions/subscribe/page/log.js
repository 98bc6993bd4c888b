// The deliveries, newest first, with filters that are part of the page's address; one of them is opened beside the list.

import { get } from "./api.js";
import { fill, h } from "./dom.js";
import { deliveryPanel } from "./delivery.js";
import { deliveryRow, empty } from "./pieces.js";
import { pagedList } from "./paged.js";
import { eventTypes, ofTenant, poll } from "./portal.js";
import { STATES } from "./words.js";

const SPANS = [["", "Any time"], ["3600", "Last hour"], ["86400", "Last day"], ["604800", "Last week"], ["between", "Between …"]];
const POLL_SECONDS = 3;

export function logView(main, navigate) {
  const endpoints = new Map();
  const form = h("form", { class: "filters", role: "search", "aria-label": "Deliveries", onsubmit: (event) => { event.preventDefault(); search(); }, onchange: search });
  const beside = h("section", { class: "beside", "aria-label": "Delivery", hidden: true });
  const list = pagedList({ label: "Deliveries", kind: "rows deliveries", row, emptyView: () => empty(isFiltered() ? "No delivery matches" : "No deliveries yet", h("p", {}, isFiltered() ? "Change the filters to see others." : "A delivery is one event for one endpoint.")) });
  const inputs = {
    endpoint: h("select", { "aria-label": "Endpoint" }, h("option", { value: "" }, "All endpoints")),
    state: h("select", { "aria-label": "State" }, h("option", { value: "" }, "All states"), Object.entries(STATES).map(([value, [word]]) => h("option", { value }, word))),
    type: h("input", { "aria-label": "Event type", placeholder: "Event type", list: "event-types", autocomplete: "off", spellcheck: "false" }),
    span: h("select", { "aria-label": "Time" }, SPANS.map(([value, word]) => h("option", { value }, word))),
    since: h("input", { type: "datetime-local", step: "1", "aria-label": "From" }),
    until: h("input", { type: "datetime-local", step: "1", "aria-label": "Until" }),
    search: h("input", { type: "search", "aria-label": "Search", placeholder: "Event type or an id", title: "Finds event types, event ids, message ids and webhook-id headers that begin with this text", autocomplete: "off", spellcheck: "false" }),
  };
  const between = h("span", { class: "between", hidden: true }, inputs.since, "to", inputs.until);
  const names = h("datalist", { id: "event-types" });
  let shown = null;
  let opened = null;
  let isOpen = true;

  fill(form, h("label", { class: "search" }, inputs.search), inputs.endpoint, inputs.state, inputs.type, names, inputs.span, between,
    h("button", { type: "submit" }, "Search"), h("button", { type: "button", onclick: () => list.refresh() }, "Refresh"));
  fill(main, h("h1", { tabindex: "-1" }, "Deliveries"), h("div", { class: "split" }, h("div", { class: "list" }, form, list.element), beside));
  eventTypes().then(({ types }) => fill(names, types.map((type) => h("option", { value: type.name })))).catch(() => {}); // only suggestions
  const known = get(ofTenant("endpoints"), { limit: 100 }).then(({ items }) => {
    for (const each of items) endpoints.set(each.id, each);
    append(items);
  }).catch(() => {}); // their ids are shown then

  function append(items) {
    fill(inputs.endpoint, h("option", { value: "" }, "All endpoints"), items.map((each) => h("option", { value: each.id }, each.description || each.url)));
    inputs.endpoint.value = shown?.endpoint ?? "";
  }

  const wanted = () => Object.fromEntries(Object.entries(inputs).map(([name, input]) => [name, input.value.trim()]).filter(([, value]) => value));
  const isFiltered = () => Object.keys(wanted()).length > 0;

  function search() {
    navigate("deliveries", opened, wanted());
  }

  async function load({ endpoint = "", state = "", type = "", search: text = "", span = "", since = "", until = "" }) {
    const minute = Math.floor(Date.now() / 60000) * 60000;
    const times = span === "between" ? { since: utc(since), until: utc(until) } : span ? { since: new Date(minute - Number(span) * 1000).toISOString() } : {};
    await known;
    await list.load(endpoint ? ofTenant("endpoints", endpoint, "deliveries") : ofTenant("deliveries"), { state, type, search: text, ...times });
  }

  function row(delivery) {
    const link = deliveryRow(delivery, endpoints.get(delivery.endpoint), addressOf(delivery.id));
    if (delivery.id === opened) link.firstElementChild.setAttribute("aria-current", "true");
    return link;
  }

  function addressOf(id) {
    return `#/deliveries/${encodeURIComponent(id)}${isFiltered() ? `?${new URLSearchParams(wanted())}` : ""}`;
  }

  async function update(id, filters) {
    for (const [name, input] of Object.entries(inputs)) input.value = filters[name] ?? "";
    if (filters.endpoint && inputs.endpoint.value !== filters.endpoint) { // beyond the first hundred
      inputs.endpoint.append(h("option", { value: filters.endpoint }, filters.endpoint));
      inputs.endpoint.value = filters.endpoint;
    }
    between.hidden = inputs.span.value !== "between";
    const before = opened;
    opened = id;
    main.classList.toggle("opened", Boolean(id));
    beside.hidden = !id;
    if (id && id !== before) deliveryPanel(beside, id, { endpoints, close: () => navigate("deliveries", null, wanted()), changed: () => list.refresh() });
    mark();
    if (JSON.stringify(filters) !== JSON.stringify(shown)) {
      shown = filters;
      await load(filters);
      mark();
    }
    if (before && !id) [...main.querySelectorAll(".rows a")].find((link) => link.dataset.id === before)?.focus();
  }

  function mark() {
    for (const link of main.querySelectorAll(".rows a")) {
      if (link.dataset.id === opened) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
      link.href = addressOf(link.dataset.id);
    }
  }

  // While something is on its way, the first page keeps up; otherwise nothing is asked for.
  const stop = poll(async () => {
    const moves = main.querySelector(".rows .chip.pending");
    if (moves && list.isFirstPage()) await list.refresh();
    return isOpen;
  }, POLL_SECONDS, 600);

  return { title: "Deliveries", update, keepsFocus: true, close: () => { isOpen = false; stop(); main.classList.remove("opened"); } };
}

function utc(local) {
  const date = new Date(local || "");
  return Number.isNaN(date.getTime()) ? "" : date.toISOString();
}
