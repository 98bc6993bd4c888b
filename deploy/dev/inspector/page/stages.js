// The path of one event, stage by stage: receive, transform, notify.

import { duration, h, time } from "/page/dom.js";
import { bytes, checksView, chip, disclosure, eventLink, withLinks } from "/page/pieces.js";
import { current } from "/page/state.js";
import { otherRoutesView, stepsView } from "/page/steps.js";
import { releaseButton } from "/page/banners.js";
import { OUTCOMES, ROUTE_STATES, deliveryState, destinationText, endpointOf, plural } from "/page/words.js";

function stage(name, state, summary, ...content) {
  const sign = { good: "✓", bad: "✕", busy: "◑", none: "·", warn: "!" }[state];
  return h("li", { class: `stage ${state}` },
    h("span", { class: "mark", "aria-hidden": "true" }, sign),
    h("div", { class: "stage-body" }, h("h3", {}, name, h("span", { class: "stage-summary" }, summary)), content));
}

export function receiveStage(event) {
  const request = event.requests.find((each) => each.event_id) ?? event.requests[0];
  const where = current("hint")?.cloud ? "Its request is in receive's log. Run hookchain logs --platform gcp." : "Its request is not in the journal: hookchain dev did not run then, or it was replayed.";
  if (!request) return stage("receive", "good", "accepted", h("p", { class: "faint" }, where), checksView(null));
  const auth = current("hint")?.sources.find((line) => line.includes(`/${event.source} `))?.split("  ").at(-1);
  const times = event.requests.filter((each) => each.event_id).length;
  return stage("receive", "good", `${request.method} /${request.source} → ${request.status}`,
    h("p", { class: "faint" }, time(request.at, true), request.duration_ms !== null && ` · answered after ${duration(request.duration_ms)}`, request.bytes && ` · ${bytes(request.bytes)}`),
    checksView(null, { Authentication: auth }),
    times > 1 && h("p", { class: "faint" }, `The sender sent it ${plural(times, "time")}, with the same id, the same signed bytes or, with \`dedupe: body\`, the same body. Therefore it is one event. If these are different events, change \`id\` or \`dedupe\` of the source.`));
}

export function transformStage(event) {
  if (!event.routed_at) return stage("transform", "busy", "not processed yet");
  const matched = event.routes.filter((route) => route.matched && !route.code);
  const broken = event.routes.filter((route) => route.code);
  const state = broken.length ? "bad" : matched.some((route) => route.waiting) ? "warn" : event.expected ? "good" : "none";
  const summary = matched.length && !broken.length && !event.expected ? "filtered" : matched.length ? `${plural(matched.length, "route")} → ${plural(event.expected, "delivery", "deliveries")}` : broken.length ? "dead-lettered" : event.status === "duplicate" ? "duplicate: the same signed bytes arrived before" : "no route took it";
  return stage("transform", state, summary,
    event.routes.length > 0 && h("ul", { class: "routes" }, event.routes.map((route) => routeView(route, event))),
    !event.routes.length && !event.other_routes && h("p", { class: "faint" }, "The configuration has no routes."),
    event.other_routes > 0 && otherRoutesView(event, routeView),
    event.event && !current("hint")?.cloud && stepsView(event));
}

function routeView(route, event) {
  const kind = route.code ? "bad" : !route.matched ? "none" : route.waiting ? "waiting" : route.destinations.length ? "good" : "warn";
  const sign = { good: "✓", bad: "✕", none: "–", waiting: "↻", warn: "◼" }[kind];
  const wait = event?.waiting_routes?.find((each) => each.route === route.route);
  return h("li", { class: kind },
    h("span", { class: "sign", "aria-hidden": "true" }, sign),
    h("div", {},
      h("strong", {}, route.route || "the whole event"), kind === "warn" && h("span", { class: "to" }, " filtered"), route.matched && route.destinations.length > 0 && h("span", { class: "to" }, " → ", route.destinations.join(", ")),
      route.code && [" ", chip(route.code, "dead_lettered")],
      h("p", { class: "faint" }, route.reason || (route.matched ? "matched" : "did not match")),
      wait && waitView(wait, event.attempts.filter((each) => each.delivery_id === wait.id))));
}

// The waits of a route for a system that one of its steps asks.
function waitView(wait, attempts) {
  return h("div", { class: "wait", "aria-label": `Waits of the route ${wait.route}` },
    h("p", {}, chip(...ROUTE_STATES[wait.state]), wait.retry_at && [` Try ${wait.tries + 1} comes at `, time(wait.retry_at), wait.reason && `: ${wait.reason}`]),
    attempts.length > 0 && attemptsTable(attempts));
}

// The events that a digest stands for, in place of the stages that it did not pass.
export function membersStage(event) {
  const { count, members, destination } = event.digest;
  const missing = count - members.length;
  return stage("digest", "good", `of ${plural(count, "event")} for ${destination}`,
    members.length > 0 && h("ul", { class: "members", "aria-label": "Events in it" }, members.map((member) => h("li", {}, eventLink(member.event_id)))),
    missing > 0 && h("p", { class: "faint" }, `${plural(missing, "event")} not found: not merged yet, or not among the newest merged deliveries.`));
}

export function notifyStage(event, act) {
  const deliveries = event.deliveries;
  const states = new Set(deliveries.map((each) => each.state));
  const letters = event.dead_letters.filter((letter) => letter.state !== "replayed");
  if (!deliveries.length && !letters.length) {
    if (["no_route", "filtered", "duplicate"].includes(event.status)) return stage("notify", "none", "nothing to deliver");
    return event.status === "dead_lettered" ? stage("notify", "none", "no delivery was made") : stage("notify", "busy", "no delivery yet");
  }
  const owed = Math.max(event.expected, deliveries.length);
  if (!owed) return stage("notify", "none", "no delivery was made", letters.map(letterView));
  const state = letters.length || states.has("dead_lettered") ? "bad" : states.has("held") || states.has("retry_scheduled") ? "warn" : [...states].every((each) => GOOD.has(each)) && deliveries.length >= event.expected ? "good" : "busy";
  const done = deliveries.filter((each) => GOOD.has(each.state)).length;
  return stage("notify", state, `${done} of ${owed} ${states.has("merged") ? "delivered or merged" : "delivered"}`,
    deliveriesView(event, act),
    letters.map(letterView));
}

const GOOD = new Set(["delivered", "merged"]);
const FINISHED = new Set(["delivered", "merged", "dead_lettered"]);

const OPEN_ENDPOINTS = 5;

// The deliveries, each with those to the endpoints that it was distributed to.
function deliveriesView(event, act) {
  const found = event.deliveries.map((delivery) => [delivery, endpointOf(delivery.destination)]);
  const endpoints = grouped(found.filter(([, endpoint]) => endpoint), ([delivery, endpoint]) => `${endpoint.configured} ${delivery.route}`);
  const own = found.filter(([, endpoint]) => !endpoint).map(([delivery]) => {
    const key = `${delivery.destination} ${delivery.route}`;
    const below = endpoints.get(key) ?? [];
    endpoints.delete(key);
    return [deliveryView(delivery, event, act), below.length > 0 && endpointsView(below, event, act)];
  });
  return [own, [...endpoints.values()].map((left) => endpointsView(left, event, act))];
}

function grouped(items, keyOf) {
  const groups = new Map();
  for (const item of items) groups.set(keyOf(item), [...(groups.get(keyOf(item)) ?? []), item]);
  return groups;
}

function endpointsView(found, event, act) {
  const counts = grouped(found, ([delivery]) => deliveryState(delivery)[0].toLowerCase());
  const words = [...counts].map(([word, each]) => `${each.length} ${word}`).join(", ");
  const view = disclosure(`${found[0][1].configured}: ${plural(found.length, "endpoint")}, ${words}`, found.map(([delivery]) => deliveryView(delivery, event, act)));
  view.classList.add("endpoints");
  view.open = found.length <= OPEN_ENDPOINTS;
  return view;
}

function deliveryView(delivery, event, act) {
  const [word, kind, meaning] = deliveryState(delivery);
  const attempts = event.attempts.filter((each) => each.delivery_id === delivery.id);
  const mail = delivery.state === "delivered" && event.mails?.[delivery.id];
  return h("article", { class: "delivery", "aria-label": `Delivery to ${destinationText(delivery.destination)}` },
    h("header", {},
      h("strong", { title: delivery.destination }, destinationText(delivery.destination)), chip(word, kind, meaning), h("span", { class: "faint" }, `route ${delivery.route}`),
      delivery.generation > 0 && h("span", { class: "faint" }, `· repeated ${plural(delivery.generation, "time")}`),
      mail && h("a", { class: "button", href: `#/mail/${mail}` }, "See the mail")),
    delivery.state === "retry_scheduled" && h("p", {}, delivery.group ? "It waits until " : `Attempt ${delivery.attempt_number + 1} comes at `, time(delivery.retry_at), delivery.reason && `: ${delivery.reason}`),
    delivery.state === "held" && h("div", { class: "held-note" }, h("p", {}, "Held since ", time(delivery.updated_at, true), ": ", withLinks(delivery.reason)), releaseButton(delivery.destination)),
    delivery.state === "dead_lettered" && h("p", { class: "reason coded" }, delivery.reason),
    delivery.state === "merged" && h("p", {}, "It is in the digest ", eventLink(delivery.group), "."),
    attempts.length > 0 && attemptsTable(attempts),
    FINISHED.has(delivery.state) && !event.digest && h("div", { class: "buttons small" }, h("button", { type: "button", onclick: () => act({ only: delivery.destination, force: true }, `Replayed for ${destinationText(delivery.destination)}`) }, "Deliver again")));
}

function attemptsTable(attempts) {
  return h("div", { class: "scroll", tabindex: "0" }, h("table", { class: "attempts" },
    h("thead", {}, h("tr", {}, ["#", "At", "Duration", "Outcome", "Response"].map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, attempts.map((each) => {
      const [word, kind, meaning] = OUTCOMES[each.outcome] ?? [each.outcome ?? "Unknown", "", ""];
      return h("tr", {}, h("td", {}, String(each.attempt_number)), h("td", {}, time(each.started_at, true)), h("td", {}, duration(each.duration_ms)),
        h("td", {}, chip(word, kind, meaning)), h("td", { class: "answer" }, [each.reason, each.answer].filter(Boolean).join(" — ") || "–"));
    }))));
}

function letterView(letter) {
  return h("article", { class: "delivery letter" },
    h("header", {}, h("strong", {}, "Dead letter"), chip(letter.code, "dead_lettered"), h("span", { class: "faint" }, letter.state === "dropped" ? "dropped" : letter.destination || letter.route), time(letter.at)),
    h("p", { class: "reason" }, letter.reason),
    h("div", { class: "buttons small" }, h("a", { class: "button", href: `#/dead-letters/${encodeURIComponent(letter.id)}` }, "Open")));
}

