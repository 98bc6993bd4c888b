// Dead letters: events and deliveries that cannot succeed, and why; replayed once the fault is fixed, or dropped.

import { get, post } from "/page/api.js";
import { fill, h, reconcile, time, toast } from "/page/dom.js";
import { chip, confirmed, empty, eventLink, facts, jsonView } from "/page/pieces.js";
import { on } from "/page/state.js";
import { plural } from "/page/words.js";

const STATES = [["kept", "Kept"], ["replayed", "Replayed"], ["dropped", "Dropped"]];

export function deadLettersView(main, navigate) {
  const list = h("ul", { class: "rows letters", "aria-label": "Dead letters, newest first" });
  const foot = h("div", { class: "foot" });
  const beside = h("section", { class: "beside", "aria-label": "Dead letter", hidden: true });
  const states = h("div", { class: "statuses", role: "group", "aria-label": "State" });
  const everything = h("div", { class: "buttons" });
  let state = "kept";
  let opened = null;
  let letters = [];
  let count = null;

  fill(main, h("h1", { class: "unseen" }, "Dead letters"), h("div", { class: "filters" }, h("div", { class: "line apart" }, states, everything)),
    h("div", { class: "split" }, h("section", { class: "list", "aria-label": "List of dead letters" }, list, foot), beside));
  const forget = [on("overview", (overview) => { if (overview.dead_letters !== count) { count = overview.dead_letters; load(); } })];

  async function load() {
    letters = (await get("/api/dead-letters", { state, limit: 200 })).dead_letters;
    show();
    if (opened) open(opened);
  }

  function show() {
    fill(states, STATES.map(([value, word]) => h("button", { type: "button", class: `filter ${value}`, "aria-pressed": String(state === value), onclick: () => { state = value; load(); } }, word)));
    const replayable = letters.filter((letter) => letter.replayable).map((each) => each.id);
    fill(everything, state === "kept" && letters.length > 1 && [
      replayable.length > 0 && h("button", { type: "button", onclick: () => replay(replayable) }, `Replay ${replayable.length}`),
      h("button", { type: "button", onclick: () => drop(letters.map((each) => each.id)) }, `Drop ${letters.length}`)]);
    list.hidden = !letters.length;
    reconcile(list, letters, (letter) => letter.id, row);
    for (const link of list.querySelectorAll("a")) {
      if (link.dataset.id === opened) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
    fill(foot, !letters.length && empty(state === "kept" ? "No dead letters" : `No ${state} dead letters`, h("p", {}, "A delivery that cannot succeed, or whose last retry failed, is kept here for 45 days.")));
  }

  function row(letter) {
    return h("li", {}, h("a", { href: `#/dead-letters/${encodeURIComponent(letter.id)}`, "data-id": letter.id },
      chip(letter.code, "dead_lettered"),
      h("span", { class: "what" }, h("strong", {}, letter.destination || letter.route || letter.topic), h("span", { class: "faint preview" }, letter.reason)),
      time(letter.at)));
  }

  async function open(id) {
    try {
      const letter = await get("/api/dead-letter", { id });
      if (opened === id) fill(beside, letterView(letter));
    } catch (error) {
      if (opened === id) fill(beside, h("p", { class: "empty" }, error.message));
    }
  }

  function letterView(letter) {
    return [
      h("header", { class: "event-head" },
        h("div", { class: "title-line" }, h("h2", { tabindex: "-1" }, letter.destination || letter.route || "Dead letter"), chip(letter.code, "dead_lettered"),
          h("button", { type: "button", class: "icon-button close", "aria-label": "Close (Esc)", onclick: () => navigate("dead-letters", null) }, "✕")),
        h("p", { class: "reason" }, letter.reason),
        facts([["State", letter.state], ["Dead-lettered", time(letter.at)], [letter.merged ? "Digest" : "Event", letter.event_id && eventLink(letter.event_id)], ["Stands for", letter.merged > 0 && plural(letter.merged, "event")], ["Route", letter.route], ["Destination", letter.destination], ["Topic", letter.topic], ["Id", h("span", { class: "mono" }, letter.id)]]),
        letter.state === "kept" && h("div", { class: "buttons" },
          h("button", { type: "button", class: "primary", disabled: !letter.replayable, title: letter.replayable ? "Publish the message again" : "The message is not one of Hookchain's and cannot be published again", onclick: () => replay([letter.id]) }, "Replay"),
          h("button", { type: "button", onclick: () => drop([letter.id]) }, "Drop"))),
      h("section", { class: "content", "aria-label": "Message" }, h("h3", {}, "Message"), jsonView(letter.message)),
    ];
  }

  const replay = (ids) => act("/api/dead-letters/replay", ids, "replayed");
  async function drop(ids) {
    if (await confirmed(`Drop ${plural(ids.length, "dead letter")}? You can still see dropped ones under Dropped, for 45 days.`, "Drop")) await act("/api/dead-letters/drop", ids, "dropped");
  }

  async function act(path, ids, word) {
    try {
      const done = await post(path, { ids });
      const since = done.delivered_since ? `; ${plural(done.delivered_since, "dead letter")} left out: delivered since` : "";
      toast(`${plural(done[word], "dead letter")} ${word}${since}`);
    } catch (error) {
      toast(error.message, "fault");
    }
    await load();
  }

  return {
    update(id) {
      beside.hidden = !id;
      main.classList.toggle("opened", Boolean(id));
      if (id !== opened) {
        opened = id;
        fill(beside);
        if (id) open(id);
      }
      show();
    },
    close: () => forget.forEach((each) => each()),
    back: () => opened && navigate("dead-letters", null),
    returnTo: (id) => [...list.querySelectorAll("a")].find((link) => link.dataset.id === id)?.focus(),
  };
}
