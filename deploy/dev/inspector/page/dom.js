// A minimal view library. Text is always set as text, because senders may have written it.

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
    if (child !== null && child !== undefined && child !== false) element.append(child);
  }
}

export function fill(element, ...children) {
  element.replaceChildren();
  append(element, children);
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

export function svg(tag, attributes, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes ?? {})) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// Updates a list by key, so that an element that stays keeps its focus and state. `make(item)` builds an element; it is
// rebuilt when `JSON.stringify(item)` differs.
export function reconcile(parent, items, keyOf, make) {
  const known = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  let place = parent.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    const face = JSON.stringify(item);
    let child = known.get(key);
    known.delete(key);
    if (!child || child.dataset.face !== face) {
      const made = make(item);
      made.dataset.key = key;
      made.dataset.face = face;
      if (child) {
        const focused = child.contains(document.activeElement);
        if (place === child) place = made;
        child.replaceWith(made);
        if (focused) (made.matches("a, button") ? made : made.querySelector("a, button"))?.focus({ preventScroll: true });
      }
      child = made;
    }
    if (place === child) place = child.nextElementSibling;
    else parent.insertBefore(child, place);
  }
  for (const gone of known.values()) gone.remove();
}

const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
const DAY = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const FULL = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

export function time(text, withMilliseconds = false) {
  if (!text) return null;
  const date = new Date(text);
  if (Number.isNaN(date.getTime())) return h("span", {}, text);
  const isToday = date.toDateString() === new Date().toDateString();
  const clock = CLOCK.format(date) + (withMilliseconds ? "." + String(date.getMilliseconds()).padStart(3, "0") : "");
  return h("time", { datetime: text, title: FULL.format(date) }, isToday ? clock : `${DAY.format(date)}, ${clock}`);
}

export function duration(milliseconds) {
  if (milliseconds === null || milliseconds === undefined) return "";
  if (milliseconds < 10) return `${milliseconds.toFixed(1)} ms`;
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`;
  const seconds = milliseconds / 1000;
  if (seconds < 90) return `${seconds.toFixed(1)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

export function bytes(count) {
  if (count === null || count === undefined) return "";
  if (count < 1024) return `${count} B`;
  return count < 1048576 ? `${(count / 1024).toFixed(1)} KB` : `${(count / 1048576).toFixed(1)} MB`;
}

// Our own text, with web addresses as links and `code` in backquotes.
export function withLinks(text) {
  return text.split(/(https:\/\/\w[^\s)>"'`]*[^\s)>"'`.,:;]|`[^`]+`)/).map((part, at) => {
    if (at % 2 === 0) return part;
    return part[0] === "`" ? h("code", {}, part.slice(1, -1)) : h("a", { href: part, target: "_blank", rel: "noreferrer noopener" }, part);
  });
}

export function announce(text) {
  document.getElementById("announcer").textContent = text;
}

export function toast(text, kind = "done") {
  const element = h("div", { class: `toast ${kind}` }, text);
  document.getElementById("toasts").append(element);
  setTimeout(() => element.remove(), 5000);
}

export function copyButton(text, label) {
  return h("button", {
    type: "button", class: "icon-button copy", "aria-label": `Copy ${label}`, title: `Copy ${label}`,
    onclick: async () => {
      try {
        await navigator.clipboard.writeText(text);
        toast("Copied");
      } catch {
        toast("The browser does not allow this page to copy", "fault");
      }
    },
  }, svg("svg", { viewBox: "0 0 16 16", width: 14, height: 14, "aria-hidden": "true" },
    svg("path", { d: "M5.5 5.5v-3h8v8h-3M2.5 5.5h8v8h-8z", class: "stroke" })));
}
