// What an operator must know before anything else, and the button that fixes it.

import { post } from "/page/api.js";
import { fill, h, time, toast } from "/page/dom.js";
import { withLinks } from "/page/pieces.js";
import { current, on } from "/page/state.js";
import { destinationText, plural, resumedText } from "/page/words.js";

export function releaseButton(destination, act = "release") {
  const word = act === "resume" ? "Resume" : "Release";
  return h("button", {
    type: "button", class: "primary",
    onclick: async (event) => {
      event.target.disabled = true;
      try {
        const name = encodeURIComponent(destination);
        const answer = await post(act === "resume" ? `/api/destinations/${name}/resume` : `/api/release/${name}`);
        toast(act === "resume" ? resumedText(destination, answer) : `${plural(answer.released, "held delivery", "held deliveries")} to ${destinationText(destination)} will be attempted within seconds.`);
      } catch (error) {
        toast(error.message, "fault");
        event.target.disabled = false;
      }
    },
  }, `${word} ${destinationText(destination)}`);
}

export function startBanners(element, sinkButton) {
  let face = "";
  const show = () => {
    const held = current("overview")?.held ?? [];
    const sink = current("sink");
    const faults = current("overview")?.config_faults ?? "";
    const next = JSON.stringify([held, sink, faults, current("open")]);
    if (next === face) return;
    face = next;
    fill(element,
      current("open") === false && banner("bad", "The inspector does not answer", "The page shows the last known state and reconnects by itself. Check that the command is still running."),
      sink && !sink.answers && banner("bad", "The emulated cloud does not answer", "Events wait until it answers again. hookchain dev restarts it by itself."),
      faults && banner("bad", "The configuration has faults. The previous configuration is still in use.", h("pre", { tabindex: "0" }, faults)),
      held.filter((each) => each.reason).map(heldBanner),
      held.filter((each) => !each.reason).map(pausedBanner),
      sink && sink.answers && !sink.plugged && banner("warn", "The local mail service is off", "Mails wait and are retried, as when a mail service is down. Turn it on above."));
  };
  on("overview", show);
  on("sink", (sink) => {
    sinkButton.hidden = !sink.answers;
    sinkButton.setAttribute("aria-checked", String(sink.plugged));
    sinkButton.title = sink.plugged ? "On: mails are caught. Turn it off to see how deliveries are retried." : "Off: mails are answered 503. Turn it on again.";
    show();
  });
  on("open", show);
  sinkButton.addEventListener("click", async () => {
    const plugged = sinkButton.getAttribute("aria-checked") !== "true";
    try {
      await post("/api/mail-sink", { plugged });
      sinkButton.setAttribute("aria-checked", String(plugged));
      toast(`The local mail service is ${plugged ? "on" : "off"}`);
    } catch (error) {
      toast(error.message, "fault");
    }
  });
}

function banner(kind, title, ...content) {
  return h("div", { class: `banner ${kind}`, role: kind === "bad" ? "alert" : "status" }, h("strong", {}, title), h("span", {}, content));
}

function pausedBanner(each) {
  return h("div", { class: "banner warn", role: "status" },
    h("div", {},
      h("strong", {}, `${destinationText(each.destination)} is paused until `, time(each.paused_until, false, true)),
      h("p", {}, withLinks(each.pause_reason || "It failed several times, or an operator paused it.")),
      h("p", {}, "Deliveries wait, and go on by themselves then.")),
    releaseButton(each.destination, "resume"));
}

function heldBanner(each) {
  return h("div", { class: "banner held", role: "alert" },
    h("div", {}, h("strong", {}, `${destinationText(each.destination)} is held: ${plural(each.count, "delivery waits", "deliveries wait")}`), each.since && h("p", {}, "The first one since ", time(each.since, true)), h("p", {}, withLinks(each.reason))),
    releaseButton(each.destination, each.act));
}
