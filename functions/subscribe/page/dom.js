// A minimal view library. Text is always set as text, because strangers may have written it.

export function h(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in element && typeof value !== "string") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  append(element, children);
  return element;
}

export function append(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false && child !== "") element.append(child);
  }
}

export function fill(element, ...children) {
  element.replaceChildren();
  append(element, children);
  return element;
}

// Updates a list by key, so that an element that stays keeps its focus. `make(item)` builds an element; it is rebuilt when
// `JSON.stringify(item)` differs.
export function reconcile(parent, items, keyOf, make) {
  const known = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  const wanted = items.map((item) => {
    const face = JSON.stringify(item);
    const before = known.get(keyOf(item));
    if (before?.dataset.face === face) return before;
    const made = make(item);
    made.dataset.key = keyOf(item);
    made.dataset.face = face;
    const hadFocus = before?.contains(document.activeElement);
    before?.replaceWith(made);
    if (hadFocus) made.querySelector("a, button")?.focus({ preventScroll: true });
    return made;
  });
  for (const child of [...parent.children]) if (!wanted.includes(child)) child.remove();
  wanted.forEach((child, at) => {
    if (parent.children[at] !== child) parent.insertBefore(child, parent.children[at] ?? null);
  });
}

const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
const DAY = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const FULL = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

export function time(text) {
  if (!text) return null;
  const date = new Date(text);
  if (Number.isNaN(date.getTime())) return h("span", {}, text);
  const isToday = date.toDateString() === new Date().toDateString();
  return h("time", { datetime: text, title: FULL.format(date) }, isToday ? CLOCK.format(date) : `${DAY.format(date)}, ${CLOCK.format(date)}`);
}

export function duration(milliseconds) {
  if (milliseconds === null || milliseconds === undefined) return "";
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`;
  const seconds = milliseconds / 1000;
  if (seconds < 90) return `${seconds.toFixed(1)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

// Our own text, with `code` in backquotes.
export function withCode(text) {
  return text.split(/`([^`]+)`/).map((part, at) => (at % 2 ? h("code", {}, part) : part));
}

export function announce(text) {
  document.getElementById("announcer").textContent = text;
}

export function toast(text, kind = "done") {
  const element = h("div", { class: `toast ${kind}` }, text);
  document.getElementById("toasts").append(element);
  setTimeout(() => element.remove(), 6000);
}

// A frame on another site may lack the permission of the first way; the second works after any click.
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = h("textarea", { class: "unseen", readOnly: true, "aria-hidden": "true", tabindex: "-1" });
    area.value = text;
    document.body.append(area);
    area.select();
    const isCopied = document.execCommand("copy");
    area.remove();
    return isCopied;
  }
}

export function copyButton(text, label) {
  return h("button", {
    type: "button", class: "copy", "aria-label": `Copy ${label}`,
    onclick: async (event) => {
      const isCopied = await copy(text);
      event.target.focus();
      if (isCopied) toast(`Copied ${label}`);
      else toast("The browser does not allow this page to copy. Select the text and copy it yourself.", "fault");
    },
  }, "Copy");
}
