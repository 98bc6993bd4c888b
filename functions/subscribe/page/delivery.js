// One delivery: its state, the request, and what your server answered to each attempt.

import { get, poster } from "./api.js";
import { duration, fill, h, time, toast } from "./dom.js";
import { action, banner, bodyView, chip, confirmed, facts, loadFault, plainView, stateChip } from "./pieces.js";
import { can, ofTenant, poll } from "./portal.js";
import { OUTCOMES, reasonText } from "./words.js";

const FOLLOW_SECONDS = 60;

// Shows the delivery in `panel`. `changed` is called when it was sent again.
export async function deliveryPanel(panel, id, { endpoints, close, changed }) {
  panel.dataset.id = id;
  const isShown = () => panel.isConnected && !panel.hidden && panel.dataset.id === id;
  const heading = (text) => h("div", { class: "title-line" }, h("h2", { tabindex: "-1" }, text), h("button", { type: "button", class: "close", onclick: close }, "Close"));
  const post = poster();

  async function show(takesFocus) {
    try {
      const delivery = await get(ofTenant("deliveries", id));
      if (!isShown()) return "";
      draw(delivery);
      if (takesFocus) panel.querySelector("h2").focus();
      return delivery.state;
    } catch (error) {
      if (isShown()) fill(panel, heading("Delivery"), loadFault(error, () => show(true)));
      return "";
    }
  }

  function draw(delivery) {
    const notice = h("div", {});
    const resend = action("Send again", async () => {
      const isRepeat = delivery.state === "delivered";
      if (isRepeat && !await confirmed("Send this delivery again?", "Send again", "Your server accepted it before. It gets the same id again.", "primary")) return;
      await post(ofTenant("deliveries", id, "resend"));
      toast("It is sent again");
      changed();
      poll(async () => isShown() && ["pending", "waiting"].includes(await show(false)), 2, FOLLOW_SECONDS);
    }, { kind: delivery.state === "failed" ? "primary" : "", failed: (error) => fill(notice, banner("bad", error.message)) });
    const endpoint = endpoints.get(delivery.endpoint);
    fill(panel,
      heading(delivery.type || "An event that is no longer kept"),
      h("div", { class: "line" }, stateChip(delivery.state), delivery.test && chip("Test"), can("resend") && resend),
      notice,
      reasonText(delivery) && h("p", { class: "reason" }, reasonText(delivery)),
      facts([
        ["Endpoint", h("a", { href: `#/endpoints/${encodeURIComponent(delivery.endpoint)}` }, endpoint?.url ?? delivery.endpoint)],
        ["Created", time(delivery.created_at)],
        ["Next attempt", time(delivery.next_attempt_at)],
        ["Event id", h("code", {}, delivery.event_id)],
        ["Header webhook-id", h("code", {}, delivery.webhook_id)],
        ["Message id", delivery.message_id && h("code", {}, delivery.message_id)],
      ]),
      h("h3", {}, "Attempts"),
      attempts(delivery),
      h("h3", {}, "Request"),
      delivery.request ? requestView(delivery.request) : h("p", { class: "faint" }, "The event is no longer kept, so the request cannot be shown."));
  }

  fill(panel, heading("Delivery"), h("p", { role: "status" }, "Loading"));
  await show(true);
}

function attempts(delivery) {
  if (!delivery.attempts.length) return h("p", { class: "faint" }, "None yet.");
  return h("ol", { class: "attempts" }, [...delivery.attempts].reverse().map((attempt) => {
    const [word, kind, meaning] = OUTCOMES[attempt.outcome] ?? [attempt.outcome, "", ""];
    return h("li", {},
      h("div", { class: "line" }, h("strong", {}, `Attempt ${attempt.number}`), chip(word, kind, meaning), h("span", { class: "faint" }, time(attempt.started_at), ` · ${duration(attempt.duration_ms)}`)),
      attempt.reason && attempt.outcome !== "delivered" && h("p", { class: "reason" }, attempt.reason),
      attempt.answer && h("details", { open: attempt.outcome !== "delivered" && attempt.number === delivery.attempts.at(-1).number },
        h("summary", {}, "Answer of your server"), plainView(attempt.answer, `Answer to attempt ${attempt.number}`)));
  }));
}

function requestView(request) {
  const headers = Object.entries(request.headers).map(([name, value]) => `${name}: ${value}`).join("\n");
  return h("div", { class: "fields" },
    h("p", { class: "mono long" }, `${request.method} ${request.url}`),
    h("details", {}, h("summary", {}, "Headers"), plainView(headers, "Headers of the request"), h("p", { class: "help" }, "Secrets and signatures are left out.")),
    bodyView(request.body, "Body of the request"));
}
