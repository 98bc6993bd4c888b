// The destinations: whether each takes deliveries, what waits for it, and when it is tried next.

import { get, post } from "/page/api.js";
import { fill, h, reconcile, time, toast } from "/page/dom.js";
import { chip, empty, eventLink, withLinks } from "/page/pieces.js";
import { on } from "/page/state.js";
import { DESTINATION_STATES, deliveryState, plural, resumedText } from "/page/words.js";

const MAX_GROUPS = 20;

export function destinationsView(main) {
  const list = h("ul", { class: "cards", "aria-label": "Destinations" });
  const foot = h("div", { class: "foot" });
  let asking = false;
  fill(main, h("h1", { class: "unseen" }, "Destinations"), list, foot);

  async function load() {
    if (asking) return;
    asking = true;
    try {
      const { destinations, count } = await get("/api/destinations");
      list.hidden = !destinations.length;
      reconcile(list, destinations, (each) => each.destination, (each) => card(each, load));
      fill(foot,
        !destinations.length && empty("No destinations", h("p", {}, "The configuration names none.")),
        count > destinations.length && h("p", { class: "faint" }, `${count - destinations.length} more are not shown.`));
    } finally {
      asking = false;
    }
  }

  load();
  const forget = [on("overview", load)];
  return { update: () => {}, close: () => forget.forEach((each) => each()) };
}

function card(each, load) {
  const [word, kind, meaning] = DESTINATION_STATES[each.state];
  const act = each.state === "delivering" ? "pause" : "resume";
  const count = `${each.waiting}${each.more ? " or more" : ""}${each.gathered ? `, ${each.gathered} gathered` : ""}`;
  return h("li", { class: "destination" },
    h("header", {},
      chip(word, kind, meaning),
      h("strong", {}, each.destination),
      each.kind && h("span", { class: "faint" }, each.kind),
      each.paused_until && h("span", { class: "faint" }, "until ", time(each.paused_until)),
      h("button", { type: "button", onclick: (event) => change(event.target, each.destination, act, load) }, act === "pause" ? "Pause" : "Resume")),
    h("dl", { class: "facts" },
      fact("Waiting", count),
      fact(each.more ? "Oldest, or older" : "Oldest", time(each.oldest)),
      fact(each.more ? "Next try, or sooner" : "Next try", time(each.next_try)),
      fact("Held", `${each.held}${each.held_more ? " or more" : ""}`),
      fact("Delivered in the last hour", each.delivered_last_hour_of ? `${each.delivered_last_hour} of the last ${each.delivered_last_hour_of} deliveries` : String(each.delivered_last_hour)),
      fact("Rate", each.caps)),
    each.reason && h("p", { class: "why" }, withLinks(each.reason)),
    each.schedule && h("p", { class: "faint" }, `A delivery gets ${each.schedule}.`),
    each.groups.length > 0 && groupsTable(each),
    each.digests.length > 0 && digestsTable(each));
}

// What waits in which digest, and until when.
function groupsTable(each) {
  const hasPeople = each.groups.some((group) => group.person);
  const hasKeys = each.groups.some((group) => group.key !== null);
  const names = [hasPeople && "For", hasKeys && "Key", "Waiting", "Oldest", "Until", "Why"].filter(Boolean);
  const rows = each.groups.slice(0, MAX_GROUPS).map((group) => h("tr", {},
    hasPeople && h("td", {}, group.person ?? "–"), hasKeys && h("td", { class: "key" }, group.key ?? "–"),
    h("td", {}, plural(group.count, "event")), h("td", {}, time(group.oldest)), h("td", {}, time(group.until)), h("td", { class: "answer" }, group.reason)));
  return [
    gatheredTable("Waiting in digests", names, rows),
    each.groups.length > MAX_GROUPS && h("p", { class: "faint" }, `${each.groups.length - MAX_GROUPS} more wait.`),
    each.more && h("p", { class: "faint" }, "Only the newest deliveries that wait are counted here.")];
}

function digestsTable(each) {
  return gatheredTable("Last digests", ["Made", "Stands for", "Its delivery", "Digest"], each.digests.map((digest) => {
    const [word, kind, meaning] = deliveryState(digest);
    return h("tr", {}, h("td", {}, time(digest.made_at)), h("td", {}, plural(digest.count, "event")), h("td", {}, chip(word, kind, meaning)), h("td", {}, eventLink(digest.event_id)));
  }));
}

function gatheredTable(title, names, rows) {
  return h("section", { class: "gathered", "aria-label": title }, h("h3", {}, title),
    h("div", { class: "scroll", tabindex: "0" }, h("table", {},
      h("thead", {}, h("tr", {}, names.map((name) => h("th", { scope: "col" }, name)))), h("tbody", {}, rows))));
}

function fact(name, value) {
  return value && h("div", {}, h("dt", {}, name), h("dd", {}, value));
}

async function change(button, destination, act, load) {
  button.disabled = true;
  try {
    const resumed = await post(`/api/destinations/${encodeURIComponent(destination)}/${act}`);
    toast(act === "pause" ? `${destination} is paused: its deliveries wait` : resumedText(destination, resumed));
    await load();
  } catch (error) {
    toast(error.message, "fault");
    button.disabled = false;
  }
}
