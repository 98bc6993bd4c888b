// Requests to the API, and the portal token: it comes in the fragment of the page's address and is kept for this tab only.

const KEY = "hookchain-portal-token";
let token = "";
/** @type {(problem: Problem) => void} */
let onEnd = () => {};

// A problem of RFC 9457 that the API answered, or a request that got no answer (`status` 0).
export class Problem extends Error {
  constructor(status, document, retryAfter = "") {
    super(document.detail || document.title || `The server answered ${status}`);
    this.status = status;
    this.code = document.code ?? "";
    this.errors = Array.isArray(document.errors) ? document.errors : [];
    this.retryAfter = retryAfter;
  }
}

// Return whether there is a token. One in the address replaces the one before, and leaves the address.
export function findToken() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given) {
    token = given;
    history.replaceState(null, "", "#/endpoints");
  }
  try {
    // A browser that blocks the storage of embedded pages throws: then the token lasts until a reload.
    if (given) sessionStorage.setItem(KEY, given);
    else token ||= sessionStorage.getItem(KEY) ?? "";
  } catch { /* see above */ }
  return token !== "";
}

export function whenSessionEnds(listener) {
  onEnd = listener;
}

// The path has its texts encoded: see `path`. Answers `{ body, etag }`. Raises Problem.
export async function request(method, path, { query = {}, body = undefined, headers = {} } = {}) {
  const search = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== "" && value !== null && value !== undefined));
  const url = `v1/${path}${search.size ? `?${search}` : ""}`;
  const sent = { Accept: "application/json", Authorization: `Bearer ${token}`, ...headers };
  if (body !== undefined) sent["Content-Type"] = "application/json";
  let response;
  let text;
  try {
    response = await fetch(url, { method, headers: sent, body: body === undefined ? undefined : JSON.stringify(body), cache: "no-store" });
    text = await response.text();
  } catch {
    throw new Problem(0, { detail: "The server cannot be reached. Check your connection, then try again." });
  }
  const document = parsed(text);
  if (response.ok) return { body: document, etag: response.headers.get("ETag") };
  const problem = new Problem(response.status, document, response.headers.get("Retry-After") ?? "");
  if (response.status === 401) onEnd(problem);
  throw problem;
}

function parsed(text) {
  try {
    return JSON.parse(text) ?? {};
  } catch {
    return {};
  }
}

export async function get(path, query = {}) {
  return (await request("GET", path, { query })).body;
}

export async function post(path, body = {}, key = newKey()) {
  return (await request("POST", path, { body, headers: { "Idempotency-Key": key } })).body;
}

// Returns a function that posts. After an answer was lost, the same body is posted with the same key: nothing happens twice.
export function poster() {
  let key = "";
  let before = "";
  return async (path, body = {}) => {
    const text = JSON.stringify([path, body]);
    if (text !== before) key = newKey();
    before = text;
    const answer = await post(path, body, key);
    before = "";
    return answer;
  };
}

function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function path(...parts) {
  return parts.map((part) => encodeURIComponent(part)).join("/");
}
