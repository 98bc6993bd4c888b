// All fields of an endpoint's form, and the values that a person entered.

import { h } from "./dom.js";
import { authFields, isSameAuth } from "./auth_fields.js";
import { field, rows } from "./fields.js";
import { typesPicker } from "./types_picker.js";

export const EMPTY = {
  url: "", description: "", types: [], filter: "", headers: {}, fields: {}, rate: "",
  auth: { kind: "standard", username: "", header: "", prefix: "", encoding: "hex" },
};
export const LABELS = {
  url: "URL", description: "description", types: "event types", filter: "filter", headers: "headers", fields: "extra fields", auth: "authentication", rate: "rate",
};
const UNITS = [["s", "a second"], ["m", "a minute"], ["h", "an hour"], ["d", "a day"]];
const FILTER_HELP = "A JMESPath condition over `id`, `type`, `timestamp` and `data`. Only events for which it is true are sent. Leave it empty for all. To negate, write parentheses: `!(data.test)`.";
const FILTER_EXAMPLES = ["data.country == 'DE'", "data.amount > `100`", "type == 'order.paid' && contains(data.tags, 'vip')"];

// `read()` answers `{ values, faults }`: faults are what the page itself can tell, in the shape of the API's errors.
export function endpointFields(endpoint, catalogue, isNew) {
  const input = (value, attributes) => { const made = h("input", { autocomplete: "off", spellcheck: "false", ...attributes }); made.value = value; return made; };
  const url = input(endpoint.url, { type: "url", inputmode: "url", placeholder: "https://example.com/webhooks", required: true });
  const description = input(endpoint.description, { placeholder: "For example: orders for the warehouse", spellcheck: "true" });
  const filter = h("textarea", { rows: "2", spellcheck: "false", placeholder: FILTER_EXAMPLES[0] });
  filter.value = endpoint.filter;
  const picker = typesPicker(catalogue, endpoint.types);
  const auth = authFields(endpoint.auth, isNew);
  const headers = rows("Headers", "/headers", "Sent with each request, for example a key of your gateway.",
    { nameLabel: "Header", valueLabel: "Value", addLabel: "Add a header" });
  const fields = rows("Extra fields", "/fields", "Added to the body of each event, beside `type`, `timestamp` and `data`.",
    { nameLabel: "Field", valueLabel: "Value", addLabel: "Add a field", kinds: [["text", "Text"], ["json", "JSON"]] });
  for (const [name, value] of Object.entries(endpoint.headers)) headers.add(name, value);
  for (const [name, value] of Object.entries(endpoint.fields)) fields.add(name, typeof value === "string" ? value : JSON.stringify(value), typeof value === "string" ? "text" : "json");
  const [count, unit] = endpoint.rate ? endpoint.rate.split("/") : ["", "s"];
  const rate = input(count, { type: "number", min: "1", step: "1", placeholder: "No limit" });
  const per = h("select", { "aria-label": "Rate: per" }, UNITS.map(([key, word]) => h("option", { value: key, selected: key === unit }, word)));
  const rateField = field("At most so many requests", "/rate", h("span", {}), "Optional: a slower pace for your server.");
  const rateLine = h("div", { class: "line" }, rate, per);
  rate.id = rateField.querySelector("label").htmlFor;
  rate.setAttribute("aria-describedby", rateField.querySelector("span").getAttribute("aria-describedby"));
  rateField.querySelector("span").replaceWith(rateLine);

  const hasMore = Boolean(endpoint.filter || endpoint.rate || Object.keys(endpoint.headers).length || Object.keys(endpoint.fields).length);
  const element = h("div", { class: "fields" },
    field("URL", "/url", url, "Where events are sent, with POST."),
    field("Description", "/description", description, "Optional."),
    picker.element,
    auth.element,
    h("details", { open: hasMore }, h("summary", {}, "Filter, headers, extra fields and rate"),
      h("div", { class: "fields inside" },
        field("Filter", "/filter", filter, FILTER_HELP),
        h("ul", { class: "help examples" }, FILTER_EXAMPLES.map((each) => h("li", {}, h("code", {}, each)))),
        headers.element, fields.element, rateField)));

  /** @returns {{ values: Object<string, any>, faults: object[] }} */
  function read() {
    if (picker.isIncomplete()) return { values: {}, faults: [{ path: "/types", detail: "Choose at least one event type, or all." }] };
    picker.addGlob();
    const faults = [];
    const object = (rowsOf, place, valueOf) => {
      const found = {};
      for (const [name, value, kind] of rowsOf.read()) {
        if (!name) faults.push({ path: place, detail: "A row has no name." });
        else if (Object.hasOwn(found, name)) faults.push({ path: `${place}/${pointer(name)}`, detail: "is there twice." });
        else Object.defineProperty(found, name, { value: valueOf(name, value, kind), enumerable: true });
      }
      return found;
    };
    const values = {
      url: url.value.trim(), description: description.value.trim(), types: picker.read(), filter: filter.value.trim().replace(/\s*\n\s*/g, " "),
      headers: object(headers, "/headers", (_, value) => value),
      fields: object(fields, "/fields", (name, value, kind) => {
        if (kind !== "json") return value;
        try {
          return JSON.parse(value);
        } catch {
          faults.push({ path: `/fields/${pointer(name)}`, detail: "must be JSON, such as 12, true or [\"a\"]." });
          return null;
        }
      }),
      rate: rate.value ? `${rate.value}/${per.value}` : "",
      ...auth.read(),
    };
    if (rate.validity.badInput) faults.push({ path: "/rate", detail: "must be a whole number." });
    return { values, faults };
  }

  return { element, read, focus: () => url.focus() };
}

// What of `values` differs from the endpoint: the body of a PATCH.
export function changesOf(values, endpoint) {
  const changes = {};
  for (const name of Object.keys(LABELS)) {
    const isSame = name === "auth" ? isSameAuth(values.auth, endpoint.auth) : canonical(values[name]) === canonical(endpoint[name]);
    if (!isSame) changes[name] = values[name];
  }
  if (values.secret) changes.secret = values.secret;
  return changes;
}

// Objects with the same members are the same, in whichever order these are.
export function canonical(value) {
  if (!value || typeof value !== "object") return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(canonical)}]`;
  return `{${Object.keys(value).sort().map((name) => `${JSON.stringify(name)}:${canonical(value[name])}`)}}`;
}

const pointer = (name) => name.replace(/~/g, "~0").replace(/\//g, "~1");
