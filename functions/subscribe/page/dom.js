// A minimal view library, for this page and the one of `hookchain dev`. Text is always set as text, because strangers may
// have written it.

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
const FULL = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });
const ZONED = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false, timeZoneName: "short" });

export function time(text, withMilliseconds = false, withZone = false) {
  if (!text) return null;
  const date = new Date(text);
  if (Number.isNaN(date.getTime())) return h("span", {}, text);
  const isToday = date.toDateString() === new Date().toDateString();
  const clock = (withZone ? ZONED : CLOCK).format(date) + (withMilliseconds ? "." + String(date.getMilliseconds()).padStart(3, "0") : "");
  return h("time", { datetime: text, title: FULL.format(date) }, isToday ? clock : `${DAY.format(date)}, ${clock}`);
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

export function copyButton(text, label, icon = null) {
  return h("button", {
    type: "button", class: icon ? "icon-button copy" : "copy", "aria-label": `Copy ${label}`, title: icon && `Copy ${label}`,
    onclick: async ({ currentTarget: button }) => {
      const isCopied = await copy(text);
      button.focus();
      if (isCopied) toast(`Copied ${label}`);
      else toast("The browser does not allow this page to copy. Select the text and copy it yourself.", "fault");
    },
  }, icon ?? "Copy");
}
