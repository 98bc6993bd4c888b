// The page: sections, addresses, and what all sections share.

import { fill, h } from "/page/dom.js";
import { startBanners } from "/page/banners.js";
import { deadLettersView } from "/page/dead_letters.js";
import { deliveriesView } from "/page/deliveries.js";
import { destinationsView } from "/page/destinations.js";
import { eventsView } from "/page/events.js";
import { listenToKeys, showHelp } from "/page/keys.js";
import { mailView } from "/page/mail.js";
import { mapView } from "/page/map.js";
import { rejectedView } from "/page/rejected.js";
import { sheetsView } from "/page/sheets.js";
import { subscribersView } from "/page/subscribers.js";
import { sourcesView } from "/page/sources.js";
import { follow, on } from "/page/state.js";

// Name, title, view, the number in the tab (null: there is none), and what that number counts.
const SECTIONS = [
  ["events", "Events", eventsView, (overview) => Object.values(overview.statuses).reduce((sum, count) => sum + count, 0), "events in the journal"],
  ["mail", "Mail", mailView, (overview) => overview.mail, "mails caught"],
  ["dead-letters", "Dead letters", deadLettersView, (overview) => overview.dead_letters, "dead letters that are neither replayed nor dropped"],
  ["rejected", "Rejected", rejectedView, (overview) => overview.rejected, "requests rejected"],
  ["deliveries", "Deliveries", deliveriesView, () => null, ""],
  ["destinations", "Destinations", destinationsView, () => null, ""],
  ["sources", "Sources", sourcesView, () => null, ""],
  ["map", "Map", mapView, () => null, ""],
  ["sheets", "Sheets", sheetsView, (overview) => overview.sheet_rows, "rows caught"],
  ["subscribers", "Subscribers", subscribersView, () => null, ""],
];

const main = document.getElementById("main");
const tabs = document.getElementById("tabs");
let name = null;
let id = null;
let view = {};

function navigate(section, wanted, filters = {}) {
  const query = new URLSearchParams(filters).toString();
  location.hash = `#/${section}${wanted ? `/${encodeURIComponent(wanted)}` : ""}${query ? `?${query}` : ""}`;
}

function route() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const [section, wanted] = path.split("/");
  const known = SECTIONS.find(([each]) => each === section) ?? SECTIONS[0];
  const [next, title, make] = known;
  const before = id;
  id = wanted ? decodeURIComponent(wanted) : null;
  if (next !== name) {
    view.close?.();
    name = next;
    main.className = `view-${name}`;
    if (name !== "events") follow({});
    view = make(main, navigate);
  }
  view.update(id, Object.fromEntries(new URLSearchParams(query ?? "")));
  document.title = `${title} · Hookchain`;
  for (const tab of tabs.children) {
    if (tab.dataset.name === name) tab.setAttribute("aria-current", "page");
    else tab.removeAttribute("aria-current");
  }
  if (before && !id) view.returnTo?.(before);
}

fill(tabs, SECTIONS.map(([each, title]) => h("a", { href: `#/${each}`, "data-name": each, hidden: each === "subscribers" }, title, h("span", { class: "count" }))));
on("overview", (overview) => {
  SECTIONS.forEach(([each, , , count, counted], at) => {
    const number = count(overview) ?? null;
    if (["mail", "rejected", "sheets"].includes(each)) tabs.children[at].hidden = number === null; // a deployment keeps them elsewhere
    const badge = tabs.children[at].querySelector(".count");
    badge.textContent = number === null ? "" : number.toLocaleString();
    badge.setAttribute("aria-label", badge.title);
    badge.title = number === null ? "" : `${number.toLocaleString()} ${counted}`;
    badge.classList.toggle("alarm", at === 2 && number > 0);
  });
});
on("open", (isOpen) => {
  const live = document.getElementById("live");
  live.classList.toggle("off", !isOpen);
  live.lastElementChild.textContent = isOpen ? "Live" : "Reconnecting";
});

on("hint", (hint) => {
  document.getElementById("cloud").textContent = hint.cloud ?? "";
  tabs.querySelector("[data-name=subscribers]").hidden = !hint.subscribers;
});

startBanners(document.getElementById("banners"), document.getElementById("sink"));
document.getElementById("help").addEventListener("click", showHelp);
listenToKeys({
  view: () => view,
  section: (at) => { const shown = [...tabs.children].filter((tab) => !tab.hidden); if (shown[at]) navigate(shown[at].dataset.name, null); },
  search: () => {
    if (view.search) return view.search();
    navigate("events", null);
    window.addEventListener("hashchange", () => view.search(), { once: true });
  },
});
window.addEventListener("hashchange", route);
route();
