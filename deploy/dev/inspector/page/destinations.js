// The destinations: whether each takes deliveries, what waits for it, and when it is tried next.

import { get, post } from "/page/api.js";
import { fill, h, reconcile, time, toast, withLinks } from "/page/dom.js";
import { chip, empty } from "/page/pieces.js";
import { on } from "/page/state.js";
import { DESTINATION_STATES, resumedText } from "/page/words.js";

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
  const count = `${each.waiting}${each.more ? " or more" : ""}`;
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
      fact("Held", String(each.held)),
      fact("Delivered in the last hour", String(each.delivered_last_hour)),
      fact("Rate", each.caps)),
    each.reason && h("p", { class: "why" }, withLinks(each.reason)),
    each.schedule && h("p", { class: "faint" }, `A delivery gets ${each.schedule}.`));
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
