// The map: sources, routes, steps and destinations as one picture, with what happens now. The server draws it.

import { get } from "/page/api.js";
import { fill, h } from "/page/dom.js";
import { chip, empty, withLinks } from "/page/pieces.js";
import { current, on } from "/page/state.js";
import { plural } from "/page/words.js";

const LEAST_PAUSE_MS = 3000;
const CLOUD_PAUSE_MS = 60000; // in a cloud, each load costs as many reads as the tabs Sources and Destinations
const REST_FACTOR = 20; // after a load, wait so many times as long as it took
const SHOWN_TROUBLES = 6; // more would push the picture out of the window
const LEVELS = { bad: "dead_lettered", warn: "retry_scheduled", off: "" }; // the colours of chips
const SECTIONS = { source: "#/sources", destination: "#/destinations" };
const isNarrow = window.matchMedia("(max-width: 1000px)");

export function mapView(main, navigate) {
  const search = h("input", { type: "search", "aria-label": "Search the map", placeholder: "Search the map", autocomplete: "off", spellcheck: "false", "aria-keyshortcuts": "/" });
  const buttons = h("div", { class: "buttons" });
  const troubles = h("section", { class: "troubles", hidden: true, "aria-label": "Needs attention", "aria-live": "polite" });
  const picture = h("div", { class: "map-frame" });
  const foot = h("div", { class: "foot" });
  const table = h("div", { class: "scroll", tabindex: "0" });
  const details = h("details", { ontoggle: () => show() }, h("summary", {}, "The same as a table"), h("div", { class: "inside" }, table));
  let wanted = {};
  let answer = null;
  let drawn = "";
  let nextAt = 0;
  let number = 0;
  let timer = null;
  fill(main, h("h1", { class: "unseen" }, "Map"),
    h("form", { class: "filters", role: "search", "aria-label": "Map", oninput: later, onsubmit: (event) => { event.preventDefault(); go(); } },
      h("div", { class: "line" }, h("label", { class: "search" }, search, h("kbd", { "aria-hidden": "true" }, "/")), buttons)),
    troubles, picture, foot, details);

  function later() {
    clearTimeout(timer);
    timer = setTimeout(go, 250);
  }

  function go() {
    clearTimeout(timer);
    const { find: _, ...rest } = wanted;
    navigate("map", null, search.value.trim() ? { ...rest, find: search.value.trim() } : rest);
  }

  async function load() {
    const mine = ++number;
    const began = Date.now();
    nextAt = Infinity;
    try {
      const found = await get("/api/map", { ...wanted, narrow: isNarrow.matches ? "1" : "" });
      if (mine !== number) return; // another search began meanwhile
      answer = found;
      show();
    } catch (error) {
      if (mine !== number) return;
      fill(foot, h("p", { class: "empty", role: "alert" }, error.message));
    }
    const took = Date.now() - began;
    nextAt = Date.now() + Math.max(current("hint")?.cloud ? CLOUD_PAUSE_MS : LEAST_PAUSE_MS, took * REST_FACTOR);
  }

  function show() {
    if (!answer) return;
    if (answer.svg !== drawn) draw();
    showTroubles();
    const isOpened = Boolean(wanted.open);
    const toggle = (parameters, word) => h("button", { type: "button", onclick: () => navigate("map", null, { ...(wanted.find && { find: wanted.find }), ...parameters }) }, word);
    fillKeepingFocus(buttons,
      answer.grouped && toggle({ all: "1" }, "Show every route"),
      (wanted.all || isOpened) && toggle({}, "Group routes"));
    fill(foot, answer.shown === 0 && answer.count > 0 && empty("Nothing matches", h("p", {}, "No route contains this text in its name, its sources, steps or destinations.")),
      answer.count === 0 && empty("No routes", h("p", {}, "The configuration has none, or it is not known here.")),
      answer.shown > 0 && h("p", { class: "faint" },
        answer.grouped && `${plural(answer.shown, "route")} in groups of the same sources: select a group to open it. `,
        isNarrow.matches ? "In a source: its events of the last hour, and the current rate. " : "On each line: the number of the last hour, the current rate, and what waits. ",
        "A plus means that there can be more. ",
        answer.asking && "Asking the providers…"));
    if (details.open) fillKeepingFocus(table, routesTable(answer.routes));
  }

  function draw() {
    const parsed = new DOMParser().parseFromString(answer.svg, "image/svg+xml").documentElement;
    const links = () => [...picture.querySelectorAll("a")];
    const at = links().indexOf(document.activeElement);
    const focused = at < 0 ? null : document.activeElement.getAttribute("href");
    fill(picture, document.importNode(parsed, true));
    drawn = answer.svg;
    // A group that was opened is gone: the first of its routes is in its place.
    if (focused) (links().find((link) => link.getAttribute("href") === focused) ?? links()[at] ?? links().at(-1))?.focus({ preventScroll: true });
  }

  function showTroubles() {
    const shown = answer.troubles.slice(0, SHOWN_TROUBLES);
    const more = answer.troubles.length - shown.length;
    const face = JSON.stringify(answer.troubles);
    if (troubles.dataset.face === face) return; // an unchanged list is not announced again
    troubles.dataset.face = face;
    troubles.hidden = !shown.length;
    fillKeepingFocus(troubles,
      h("h2", {}, answer.troubles.length === 1 ? "One part needs attention" : `${answer.troubles.length} parts need attention`),
      h("ul", {}, shown.map((each) => h("li", { title: each.reason },
        chip(each.word, LEVELS[each.level], each.reason), " ",
        h("a", { href: linkOf(each) }, `${each.kind} `, h("strong", {}, each.name)),
        each.kind !== "route" && [" (", h("a", { href: `#/map?find=${encodeURIComponent(each.name)}` }, "on the map"), ")"],
        each.reason && h("span", { class: "faint" }, " ", withLinks(each.reason))))),
      more > 0 && h("p", { class: "faint" }, `In the table: ${plural(more, "other part")}.`));
  }

  isNarrow.addEventListener("change", load);
  const forget = [on("overview", () => { if (Date.now() > nextAt) load(); })];
  return {
    update(id, { find = "", open = "", all = "" }) {
      wanted = { ...(find && { find }), ...(open && { open }), ...(all && { all }) };
      if (document.activeElement !== search) search.value = find;
      load();
    },
    close: () => { clearTimeout(timer); number++; isNarrow.removeEventListener("change", load); forget.forEach((each) => each()); },
    search: () => { search.focus(); search.select(); },
    back: () => Object.keys(wanted).length > 0 && navigate("map", null),
  };
}

// A list that is filled again keeps the focus on the element in the same place.
function fillKeepingFocus(element, ...children) {
  const focusable = () => [...element.querySelectorAll("a, button")];
  const at = focusable().indexOf(document.activeElement);
  fill(element, ...children);
  if (at >= 0) focusable()[at]?.focus({ preventScroll: true });
}

function routesTable(routes) {
  const names = ["Route", "Destination", "State", "Last hour, and what waits", "Sources", "Steps"]; // on a telephone, only the first ones are in sight
  const rows = routes.flatMap((route) => (route.destinations.length ? route.destinations : [{ name: "", count: "", word: "" }]).map((destination, at) => h("tr", {},
    at === 0 && h("th", { scope: "rowgroup", rowspan: String(route.destinations.length || 1) }, h("a", { href: `#/deliveries?route=${encodeURIComponent(route.name)}` }, route.name), h("div", { class: "faint" }, route.selects), state(route)),
    h("td", {}, h("a", { href: `#/deliveries?route=${encodeURIComponent(route.name)}&destination=${encodeURIComponent(destination.name)}` }, destination.name)),
    h("td", { class: "answer" }, state(destination) ?? (destination.has_delivered ? "works" : destination.name && "nothing delivered yet"), destination.reason && h("div", { class: "faint" }, withLinks(destination.reason))),
    h("td", {}, destination.count),
    at === 0 && h("td", { rowspan: String(route.destinations.length || 1) }, route.sources.length ? h("ul", {}, route.sources.map((each) => h("li", {}, h("a", { href: `#/events?source=${encodeURIComponent(each.name)}` }, each.name), ` ${each.count} `, state(each)))) : "every source"),
    at === 0 && h("td", { rowspan: String(route.destinations.length || 1), class: "answer" }, route.steps.join(" → ") || "none"))));
  return h("table", { class: "routes-table" },
    h("thead", {}, h("tr", {}, names.map((name) => h("th", { scope: "col" }, name)))), h("tbody", {}, rows));
}

// A route waits in its deliveries; its events that failed are dead letters.
function linkOf({ kind, name, level }) {
  return SECTIONS[kind] ?? (level === "bad" ? "#/dead-letters" : `#/deliveries?route=${encodeURIComponent(name)}`);
}

function state(each) {
  return each.word ? chip(each.word, LEVELS[each.level], each.reason) : null;
}
