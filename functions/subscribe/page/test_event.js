// A test event of a type that a person chooses, and what became of it.

import { get, poster } from "./api.js";
import { fill, h } from "./dom.js";
import { action, banner, section, stateChip } from "./pieces.js";
import { byGroup, eventTypes, matches, ofTenant, poll } from "./portal.js";
import { reasonText } from "./words.js";

const FOLLOW_SECONDS = 60;

// `follow` shows the new delivery in the list of the latest.
export function testSection(endpoint, follow) {
  const place = h("div", { class: "line" });
  const result = h("div", { role: "status" });
  let stop = () => {};
  const post = poster();

  async function send(type) {
    stop();
    fill(result, "Sending …");
    const sent = await post(ofTenant("endpoints", endpoint.id, "test"), { type });
    follow();
    const note = sent.endpoint_enabled ? "" : " The endpoint stays disabled.";
    fill(result, "Sent. Waiting for the answer of your server …");
    stop = poll(async () => {
      if (!result.isConnected) return false;
      const delivery = await get(ofTenant("deliveries", sent.delivery_id)).catch(() => null);
      if (!delivery || delivery.state === "pending") return true;
      fill(result, stateChip(delivery.state), " ", reasonText(delivery) || "Your server accepted it.", note, " ",
        h("a", { href: `#/deliveries/${encodeURIComponent(sent.delivery_id)}` }, "See the request and the answer"));
      return false;
    }, 1, FOLLOW_SECONDS);
  }

  eventTypes().then(({ types }) => {
    const wanted = types.filter((type) => !type.deprecated);
    const first = wanted.find((type) => matches(endpoint.types, type.name));
    const option = (type) => h("option", { value: type.name, selected: type === first }, type.name);
    const choice = wanted.length
      ? h("select", { "aria-label": "Event type" }, byGroup(wanted).map(([name, inside]) => (name ? h("optgroup", { label: name }, inside.map(option)) : inside.map(option))))
      : h("input", { "aria-label": "Event type", placeholder: "order.paid", spellcheck: "false" });
    fill(place, choice, action("Send a test event", () => send(choice.value.trim()), { failed: (error) => fill(result, banner("bad", error.message)) }));
  }).catch((error) => fill(place, banner("bad", error.message)));
  return section("Test", h("p", { class: "help" }, "Sends the example of an event type to this endpoint only, also while it is disabled."), place, result);
}
