// What the whole page knows: whose portal it is, what its token allows, and the catalogue of event types.

import { get, path } from "./api.js";

const CATALOGUE_PAGES = 10;
const CATALOGUE_MILLISECONDS = 60000;

let info = null;
let catalogue = null;
let catalogueAt = 0;

export async function loadInfo() {
  info = await get("portal-info");
  catalogue = null;
  return info;
}

export function portalInfo() {
  return info;
}

// A capability: view, manage, reveal_secret or resend.
export function can(capability) {
  return info.capabilities.includes(capability);
}

export function ofTenant(...parts) {
  return path("tenants", info.tenant, ...parts);
}

export function asksForProof() {
  return Boolean(info.verify) && info.verify !== "none";
}

// All event types, or the first 1,000 of them: `{ types, isMore }`.
export async function eventTypes() {
  if (catalogue && Date.now() - catalogueAt < CATALOGUE_MILLISECONDS) return catalogue;
  const types = [];
  let cursor = "";
  for (let page = 0; page < CATALOGUE_PAGES; page++) {
    const { items, next } = await get("event-types", { limit: 100, cursor });
    types.push(...items);
    cursor = next ?? "";
    if (!cursor) break;
  }
  catalogue = { types, isMore: Boolean(cursor) };
  catalogueAt = Date.now();
  return catalogue;
}

// Return `[group, types]` pairs in the order of their names; the types without a group come last, and are nameless alone.
export function byGroup(types) {
  const groups = new Map();
  for (const type of types) {
    if (!groups.has(type.group ?? "")) groups.set(type.group ?? "", []);
    groups.get(type.group ?? "").push(type);
  }
  const sorted = [...groups].sort(([one], [other]) => Number(one === "") - Number(other === "") || one.localeCompare(other));
  return sorted.map(([name, inside]) => [name || (groups.size > 1 ? "Other" : ""), inside]);
}

// Return whether one of the globs matches; none matches everything.
export function matches(globs, type) {
  return !globs.length || globs.some((glob) => globMatches(glob, type));
}

// A star stands for any characters, as in shared/subscribers/matching.py: each piece is taken where it is found first.
function globMatches(glob, type) {
  const pieces = glob.split("*");
  if (pieces.length === 1) return glob === type;
  const last = pieces.pop();
  let at = 0;
  for (const [number, piece] of pieces.entries()) {
    const found = type.indexOf(piece, at);
    if (found < 0 || (number === 0 && found > 0)) return false;
    at = found + piece.length;
  }
  return type.length - at >= last.length && type.endsWith(last);
}

// Calls `update` each few seconds while it returns true, the page is visible and the time is not over. Returns a function that ends it.
export function poll(update, seconds = 2, timeout = 120) {
  const end = Date.now() + timeout * 1000;
  let timer = null;
  let isOver = false;
  const next = () => { timer = setTimeout(turn, seconds * 1000); };
  async function turn() {
    const goesOn = document.hidden || await update();
    if (goesOn && !isOver && Date.now() < end) next();
  }
  next();
  return () => { isOver = true; clearTimeout(timer); };
}
