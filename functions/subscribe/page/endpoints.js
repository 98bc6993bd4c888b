// The endpoints, each with its state.

import { fill, h, time } from "./dom.js";
import { chip, empty } from "./pieces.js";
import { pagedList } from "./paged.js";
import { can, ofTenant, portalInfo } from "./portal.js";
import { endpointState, typesText, whyDisabled } from "./words.js";

export function endpointsView(main) {
  const list = pagedList({ label: "Endpoints", kind: "rows endpoints", row, emptyView });
  fill(main,
    h("div", { class: "head" },
      h("h1", { tabindex: "-1" }, "Endpoints"),
      can("manage") && h("a", { class: "button primary", href: "#/endpoints/new" }, "Add an endpoint")),
    h("p", { class: "faint" }, `An endpoint is a URL of yours that gets events. You can have ${portalInfo().limits.endpoints.toLocaleString()}.`),
    list.element);
  return { title: "Endpoints", update: () => list.load(ofTenant("endpoints")), close: () => {} };
}

function emptyView() {
  return empty("No endpoints yet", h("p", {}, can("manage") ? "Add the URL of your server, and choose the events that it gets." : "This link does not allow adding one."));
}

function row(endpoint) {
  const [word, kind, meaning] = endpointState(endpoint);
  const note = !endpoint.enabled ? [whyDisabled(endpoint).replaceAll("`", "")]
    : endpoint.failing_since ? ["Failing since ", time(endpoint.failing_since)]
      : endpoint.filter_fault ? ["The filter fails"] : [];
  return h("li", {}, h("a", { href: `#/endpoints/${encodeURIComponent(endpoint.id)}` },
    chip(word, kind, meaning),
    h("span", { class: "what" },
      h("strong", {}, endpoint.url),
      h("span", { class: "faint" }, [endpoint.description, typesText(endpoint.types)].filter(Boolean).join(" · ")),
      note.length > 0 && h("span", { class: "note" }, note))));
}
