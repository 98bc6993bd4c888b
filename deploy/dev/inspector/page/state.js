// The inspector's updates while the page is open. Views subscribe by name: events, overview, plots, sink, hint, open.

const known = new Map();
const listeners = new Map();
let source = null;
let asked = null;

export function current(name) {
  return known.get(name);
}

export function on(name, listener) {
  if (!listeners.has(name)) listeners.set(name, new Set());
  listeners.get(name).add(listener);
  if (known.has(name)) listener(known.get(name));
  return () => listeners.get(name).delete(listener);
}

function tell(name, value) {
  known.set(name, value);
  for (const listener of listeners.get(name) ?? []) listener(value);
}

// The list that /api/live follows; other parameters mean another connection.
export function follow(parameters) {
  const query = new URLSearchParams(Object.entries(parameters).filter(([, value]) => value)).toString();
  if (source && query === asked) return;
  source?.close();
  asked = query;
  known.delete("events");
  const rows = new Map();
  source = new EventSource(`/api/live?${query}`);
  source.onopen = () => {
    rows.clear(); // a new connection sends everything again
    tell("open", true);
  };
  source.onerror = () => tell("open", false);
  source.addEventListener("events", (message) => {
    const page = JSON.parse(message.data);
    for (const row of page.events) rows.set(row.id, row);
    const events = page.ids.map((id) => rows.get(id)).filter(Boolean);
    tell("events", { ...page, events });
  });
  for (const name of ["overview", "plots", "sink", "hint"]) {
    source.addEventListener(name, (message) => tell(name, JSON.parse(message.data)));
  }
}
