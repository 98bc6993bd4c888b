// The page: whose it is, its sections and their addresses, and what stands where the token is not valid.

import { findToken, whenSessionEnds } from "./api.js";
import { fill, h } from "./dom.js";
import { banner, confirmed, empty, loadFault } from "./pieces.js";
import { loadInfo, portalInfo } from "./portal.js";

const SECTIONS = [["endpoints", "Endpoints"], ["deliveries", "Deliveries"], ["event-types", "Event types"]];
const WARN_SECONDS = 120;

// A view's script is loaded when it is first shown, so that the first page needs few.
const endpointsView = async () => (await import("./endpoints.js")).endpointsView;
const endpointView = async () => (await import("./endpoint.js")).endpointView;
const endpointFormView = async () => (await import("./endpoint_form.js")).endpointFormView;
const logView = async () => (await import("./log.js")).logView;
const eventTypesView = async () => (await import("./event_types.js")).eventTypesView;

const main = document.getElementById("main");
const tabs = document.getElementById("tabs");
// A view with a form has `isChanged`: whether it holds input that is not saved.
const NONE = { close: () => {}, isChanged: () => false };
let view = NONE;
let viewName = "";
let shownAddress = "";
let turns = 0;
let hasEnded = false;
let expiry = null;

function navigate(section, id = null, filters = {}) {
  const query = new URLSearchParams(filters).toString();
  location.hash = `#/${section}${id ? `/${encodeURIComponent(id)}` : ""}${query ? `?${query}` : ""}`;
}

// The view of an address: its name, which changes where another view is needed, what loads it, and the id in it.
function viewOf(section, id, act) {
  if (section === "deliveries") return ["deliveries", logView, id];
  if (section === "event-types") return ["event-types", eventTypesView, id];
  if (id === "new") return ["new", endpointFormView, null];
  if (id && act === "edit") return [`edit ${id}`, endpointFormView, id];
  return id ? [`endpoint ${id}`, endpointView, id] : ["endpoints", endpointsView, null];
}

async function route() {
  if (hasEnded || !portalInfo()) return;
  const [address, query] = location.hash.replace(/^#\/?/, "").split("?");
  const [section, id, act] = address.split("/").map(decoded);
  const [name, load, wanted] = viewOf(section, id, act);
  const turn = ++turns;
  const isFirst = viewName === "";
  const isOther = name !== viewName;
  document.querySelectorAll("dialog").forEach((dialog) => dialog.remove());
  if (!isOther && view.isChanged?.()) return; // back at a form, which keeps what was entered
  if (isOther) {
    const make = await load().catch(() => null);
    if (turn !== turns || hasEnded) return;
    if (view.isChanged?.() && !await confirmed("Leave without saving?", "Leave", "What you entered is lost.")) {
      if (turn === turns) history.replaceState(null, "", shownAddress);
      return;
    }
    if (turn !== turns || hasEnded) return;
    if (!make) {
      fill(main, banner("bad", "A part of this page could not be loaded.", h("p", {}, "Check your connection, then reload the page.")));
      return;
    }
    view.close();
    viewName = name;
    main.className = "";
    main.dataset.view = name;
    fill(main);
    view = make(main, navigate);
    window.scrollTo(0, 0);
  }
  const shown = view;
  shownAddress = location.hash;
  document.title = `${view.title} · ${portalInfo().name || "Webhooks"}`;
  const current = SECTIONS.some(([each]) => each === section) ? section : "endpoints";
  for (const tab of tabs.querySelectorAll("a")) {
    if (tab.dataset.name === current) tab.setAttribute("aria-current", "page");
    else tab.removeAttribute("aria-current");
  }
  await view.update(wanted, Object.fromEntries(new URLSearchParams(query ?? "")));
  // A screen reader begins to read at the new view, unless a person is already somewhere in it.
  if (isOther && !isFirst && shown === view && !main.contains(document.activeElement)) (main.querySelector("h1") ?? main).focus();
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function showHead(info) {
  document.getElementById("name").textContent = info.name || "Webhooks";
  const logo = /** @type {HTMLImageElement} */ (document.getElementById("logo"));
  const isWeb = /^https:\/\//i.test(info.logo ?? "");
  logo.hidden = !isWeb;
  if (isWeb) logo.src = info.logo;
  fill(tabs, SECTIONS.map(([name, title]) => h("a", { href: `#/${name}`, "data-name": name }, title)));
  tabs.hidden = false;
  warnBefore(info.expires_at);
}

// A person who writes a long form is told in time that the link ends.
function warnBefore(expiresAt) {
  clearTimeout(expiry);
  const wait = new Date(expiresAt ?? "").getTime() - Date.now() - WARN_SECONDS * 1000;
  if (!(wait < 2 ** 31)) return;
  expiry = setTimeout(() => {
    const notice = banner("warn", "This link expires in less than 2 minutes.", h("p", {}, "Save what you are doing. Then open this page again from the application that led you here."));
    document.querySelector(".top").after(notice);
    notice.classList.add("notice");
  }, Math.max(wait, 0));
}

function showEnd(title, detail) {
  hasEnded = true;
  clearTimeout(expiry);
  document.querySelector(".notice")?.remove();
  document.querySelectorAll("dialog").forEach((dialog) => dialog.remove());
  view.close();
  view = NONE;
  viewName = "";
  tabs.hidden = true;
  document.title = title;
  main.className = "";
  fill(main, empty(title, detail && h("p", {}, detail), h("p", {}, "Open this page again from the application that led you here.")));
  main.firstElementChild.setAttribute("role", "alert");
}

async function start() {
  const isRenewed = !hasEnded;
  hasEnded = false;
  if (!findToken()) {
    showEnd("This page needs a link with a token", "");
    return;
  }
  try {
    showHead(await loadInfo());
  } catch (error) {
    if (!hasEnded) fill(main, loadFault(error, start));
    return;
  }
  if (isRenewed && view.isChanged?.()) {
    history.replaceState(null, "", shownAddress);
    return;
  }
  view.close();
  view = NONE;
  viewName = "";
  await route();
}

whenSessionEnds((problem) => showEnd("This link has expired or was revoked", problem.message));
window.addEventListener("hashchange", () => {
  // The page around this one renews the token by an address with another one.
  if (location.hash.includes("token=")) start();
  else route();
});
window.addEventListener("beforeunload", (event) => { if (view.isChanged?.()) event.preventDefault(); });
start();
