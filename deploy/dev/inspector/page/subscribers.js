// The subscribers: tenants, and the endpoints of each with their state.

import { get } from "/page/api.js";
import { fill, h, time } from "/page/dom.js";
import { chip, empty } from "/page/pieces.js";
import { ENDPOINT_STATES, plural } from "/page/words.js";

const OPEN_AT_ONCE = 10; // of so few tenants, the endpoints are read without a click

export function subscribersView(main) {
  const list = h("ul", { class: "cards", "aria-label": "Tenants" });
  const foot = h("div", { class: "foot" });
  const reload = h("button", { type: "button", onclick: () => load("") }, "Reload");
  fill(main, h("h1", { class: "unseen" }, "Subscribers"), h("div", { class: "filters" }, h("div", { class: "line" }, reload)), list, foot);

  async function load(after) {
    try {
      const { tenants, next } = await get("/api/subscribers", { after, limit: 50 });
      if (!after) fill(list);
      list.append(...tenants.map((tenant) => card(tenant, !after && !next && tenants.length <= OPEN_AT_ONCE)));
      list.hidden = !list.children.length;
      fill(foot,
        !list.children.length && empty("No tenants yet", h("p", {}, "Create one with `hookchain tenants`, or let your application do it with PUT /v1/tenants/ID.")),
        next && h("button", { type: "button", onclick: () => load(next) }, "Show more"));
    } catch (error) {
      fill(foot, h("p", { class: "empty" }, error.message));
    }
  }

  load("");
  return { update: () => {}, close: () => {} };
}

function card(tenant, isOpen) {
  const inside = h("div", { class: "inside" });
  let isRead = false;
  const details = h("details", { ontoggle: () => details.open && read() }, h("summary", {}, "Endpoints"), inside);

  async function read() {
    if (isRead) return;
    isRead = true;
    try {
      const { endpoints } = await get(`/api/subscribers/${encodeURIComponent(tenant.id)}`);
      details.querySelector("summary").textContent = plural(endpoints.length, "endpoint");
      fill(inside, endpoints.length ? h("ul", { class: "cards" }, endpoints.map(endpointView)) : h("p", { class: "faint" }, "It has none yet."));
    } catch (error) {
      isRead = false;
      fill(inside, h("p", { class: "faint" }, error.message));
    }
  }

  if (isOpen) {
    details.open = true;
    read();
  }
  return h("li", { class: "destination" },
    h("header", {},
      h("strong", {}, tenant.name || tenant.id), tenant.name && h("span", { class: "faint mono" }, tenant.id), tenant.email && h("span", { class: "faint" }, tenant.email),
      h("span", { class: "faint" }, "since ", time(tenant.created_at))),
    details);
}

function endpointView(endpoint) {
  const [word, kind, meaning] = ENDPOINT_STATES[endpoint.state] ?? [endpoint.state, "", ""];
  return h("li", { class: "endpoint" },
    h("p", {}, chip(word, kind, meaning), " ", h("strong", { class: "mono" }, endpoint.url)),
    endpoint.description && h("p", { class: "faint" }, endpoint.description),
    endpoint.reason && h("p", { class: "why" }, endpoint.reason),
    h("dl", { class: "facts" },
      fact("Id", h("span", { class: "mono" }, endpoint.id)), fact("Event types", endpoint.types.join(", ") || "all"), fact("Filter", endpoint.filter), fact("Authentication", endpoint.auth),
      fact("Rate", endpoint.rate), fact("Failing since", time(endpoint.failing_since)), fact("Disabled by", endpoint.disabled_by)));
}

function fact(name, value) {
  return value && h("div", {}, h("dt", {}, name), h("dd", {}, value));
}
