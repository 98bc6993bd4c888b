// Events, newest first, live, with search; one of them open beside the list.

import { get } from "/page/api.js";
import { announce, copyButton, fill, h, reconcile, time } from "/page/dom.js";
import { eventView } from "/page/event.js";
import { filterBar, liveParameters } from "/page/filters.js";
import { copyIcon, empty, statusChip } from "/page/pieces.js";
import { plotsView } from "/page/plots.js";
import { current, follow, on } from "/page/state.js";
import { plural } from "/page/words.js";

export function eventsView(main, navigate) {
  const plots = h("section", { class: "plots-section", "aria-label": "Plots" });
  const filters = filterBar((wanted) => navigate("events", opened, wanted));
  const list = h("ul", { class: "rows", "aria-label": "Events, newest first" });
  const foot = h("div", { class: "foot" });
  const beside = h("section", { class: "beside", "aria-label": "Event", hidden: true });
  const event = eventView(beside, () => navigate("events", null, filters.wanted()));
  let opened = null;
  let page = null;
  let older = [];
  let olderBefore; // undefined until older events were asked for

  fill(main, h("h1", { class: "unseen" }, "Events"), plots, filters.element,
    h("div", { class: "split" }, h("section", { class: "list", "aria-label": "List of events" }, list, foot), beside));

  const forget = [
    plotsView(plots),
    on("overview", (overview) => { filters.showCounts(overview.statuses, overview.newest); show(); event.refresh(); }),
    on("hint", () => show()),
    on("events", (news) => {
      const isFirst = page === null;
      if (older.length && !filters.wanted().status) {
        const ids = new Set(news.events.map((row) => row.id));
        older = [...page.events.filter((row) => !ids.has(row.id)), ...older];
      }
      const before = new Set((page?.events ?? []).map((row) => row.id));
      const added = news.events.filter((row) => !before.has(row.id)).length;
      page = news;
      show();
      event.seen(news.events.find((row) => row.id === opened));
      if (!isFirst && added) announce(`${plural(added, "new event")}`);
    }),
  ];

  function row(item) {
    const subject = [item.subject, item.actor && `by ${item.actor}`].filter(Boolean).join(" · ");
    return h("li", {}, h("a", { href: `#/events/${encodeURIComponent(item.id)}${filters.suffix()}`, "data-id": item.id },
      statusChip(item.status),
      h("span", { class: "what" }, h("strong", {}, item.type ?? "…"), subject && h("span", { class: "faint" }, subject)),
      h("span", { class: "source" }, item.source),
      time(item.received_at)));
  }

  function show() {
    if (!page) return;
    reconcile(list, [...page.events, ...older], (item) => item.id, row);
    mark();
    const total = Object.values(current("overview")?.statuses ?? {}).reduce((sum, count) => sum + count, 0);
    const rows = page.events.length + older.length;
    list.hidden = !rows;
    if (rows) fill(foot, page.not_indexed > 0 && h("p", { class: "faint" }, `${plural(page.not_indexed, "event")} not indexed for search yet.`), moreButton());
    else if (next()) fill(foot, empty("Nothing matches yet", h("p", {}, "No event matches among the newest ones."), moreButton()));
    else if (total) fill(foot, empty("Nothing matches", h("p", {}, "No event matches this search."), h("button", { type: "button", onclick: () => filters.clear() }, "Show all events")));
    else fill(foot, firstSteps());
  }

  // Where the list goes on, or null at its end.
  function next() {
    return olderBefore === undefined ? page.next_before : olderBefore;
  }

  function moreButton() {
    return next() && h("button", { type: "button", class: "more", onclick: loadOlder }, "Show older events");
  }

  async function loadOlder() {
    const more = await get("/api/events", { ...liveParameters(filters.wanted()), before: next() });
    older = [...older, ...more.events];
    olderBefore = more.next_before;
    show();
  }

  function mark() {
    for (const link of list.querySelectorAll("a")) {
      if (link.dataset.id === opened) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
  }

  return {
    update(id, wanted) {
      const isOther = filters.set(wanted);
      if (isOther || page === null) {
        older = [];
        olderBefore = undefined;
        page = null;
        fill(foot);
        follow(liveParameters(filters.wanted()));
      }
      opened = id;
      beside.hidden = !id;
      main.classList.toggle("opened", Boolean(id));
      event.open(id);
      show();
    },
    close: () => forget.forEach((each) => each()),
    search: () => filters.focus(),
    back: () => opened && navigate("events", null, filters.wanted()),
    returnTo: (id) => [...list.querySelectorAll("a")].find((link) => link.dataset.id === id)?.focus(),
  };
}

function firstSteps() {
  const hint = current("hint");
  if (!hint?.trial) return empty("No events yet", h("p", {}, "Events appear here as soon as they are received."));
  return empty("Waiting for the first event",
    h("p", {}, "Send one from a terminal. It appears here, and its mail under Mail."),
    h("div", { class: "command" }, h("pre", { class: "code", tabindex: "0" }, hint.trial), copyButton(hint.trial, "the command", copyIcon())),
    h("p", {}, "Or send webhooks to one of your sources:"),
    h("ul", { class: "plain" }, hint.sources.map((line) => h("li", { class: "mono" }, line))));
}
