// What each step of each route does to an event, computed when somebody opens it.

import { get } from "/page/api.js";
import { fill, h } from "/page/dom.js";
import { current } from "/page/state.js";
import { plural } from "/page/words.js";

const SIGNS = { changed: "✎", unchanged: "=", noted: "!", split: "⑂", switched: "↪", filtered: "◼", failed: "✕", not_computed: "?" };
const KINDS = { changed: "good", switched: "good", split: "good", unchanged: "none", filtered: "warn", noted: "warn", failed: "bad", not_computed: "none" };

export function stepsView(event) {
  return computedView("Step by step", event, (routes) => {
    const walked = routes.filter((route) => route.steps.length || route.fan_outs.length);
    return [walked.length ? walked.map(routeSteps) : h("p", { class: "faint" }, "The routes that took it have no steps."),
      h("p", { class: "faint" }, "Computed now, with the current configuration. No other system was called: a step says so if its stored answer is gone.")];
  });
}

// The decisions of the routes that the journal only counts.
export function otherRoutesView(event, routeView) {
  if (current("hint")?.cloud) return h("p", { class: "faint" }, `${plural(event.other_routes, "other route")}: hookchain events show ${event.id.slice(0, 8)} --routes --platform gcp says why each did not take it.`);
  return computedView(`Why did ${plural(event.other_routes, "other route")} not match?`, event, (routes) => {
    const listed = new Set(event.routes.map((route) => route.route));
    return [h("ul", { class: "routes" }, routes.filter((route) => !listed.has(route.route)).map(routeView)),
      h("p", { class: "faint" }, "Computed now, with the current configuration.")];
  });
}

function computedView(title, event, view) {
  const inside = h("div", { class: "inside" }, h("p", { class: "faint" }, "…"));
  let asked = false;
  const details = h("details", { ontoggle: () => { if (details.open && !asked) { asked = true; load(); } } },
    h("summary", {}, title), inside);

  async function load() {
    try {
      const { routes } = await get(`/api/events/${encodeURIComponent(event.id)}/steps`);
      fill(inside, view(routes));
    } catch (error) {
      asked = false;
      fill(inside, h("p", { class: "faint" }, error.message));
    }
  }

  return details;
}

function routeSteps(route) {
  const several = new Set(route.steps.map((step) => step.event_id)).size > 1;
  return h("section", { class: "steps", "aria-label": `Steps of ${route.route}` },
    h("h4", {}, route.route),
    h("ol", { class: "routes" }, route.steps.map((step) => h("li", { class: KINDS[step.outcome] ?? "none" },
      h("span", { class: "sign", "aria-hidden": "true" }, SIGNS[step.outcome] ?? "·"),
      h("div", {},
        h("strong", {}, step.label), several && h("span", { class: "faint mono" }, ` ${step.event_id}`),
        h("p", { class: "faint" }, step.text || step.outcome),
        step.diff.length > 0 && h("pre", { class: "code diff", tabindex: "0" }, step.diff.map(diffLine)))))),
    route.fan_outs.map((found) => [
      h("p", {}, h("strong", {}, found.destination), ` ${found.text}`),
      found.lines.length > 0 && h("pre", { class: "code", tabindex: "0" }, found.lines.join("\n"))]));
}

function diffLine(line) {
  return h("span", { class: line.startsWith("+") ? "came" : line.startsWith("-") ? "went" : "" }, line, "\n");
}
