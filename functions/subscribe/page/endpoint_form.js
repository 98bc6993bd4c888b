// The form that adds an endpoint or edits one, and what follows where somebody else changed it meanwhile.

import { poster, request } from "./api.js";
import { announce, fill, h, toast } from "./dom.js";
import { EMPTY, LABELS, canonical, changesOf, endpointFields } from "./endpoint_fields.js";
import { showErrors } from "./fields.js";
import { banner, loadFault } from "./pieces.js";
import { eventTypes, ofTenant } from "./portal.js";
import { keepSecret } from "./secret.js";

export function endpointFormView(main, navigate) {
  let isOpen = true;
  let isTouched = false;
  const touch = () => { isTouched = true; };

  async function show(id) {
    try {
      const [catalogue, loaded] = await Promise.all([eventTypes(), id ? request("GET", ofTenant("endpoints", id)) : { body: EMPTY, etag: null }]);
      if (isOpen) fill(main, form(catalogue, loaded.body, loaded.etag, id));
    } catch (error) {
      if (isOpen) fill(main, loadFault(error, () => show(id)));
    }
  }

  function form(catalogue, endpoint, etag, id) {
    const fields = endpointFields(endpoint, catalogue, !id);
    const notices = h("div", {});
    const enabled = h("input", { type: "checkbox", checked: true });
    const saveButton = h("button", { type: "submit", class: "primary" }, id ? "Save" : "Add endpoint");
    const leave = (to = id) => { isTouched = false; navigate("endpoints", to); };
    const post = poster();

    async function save() {
      const { values, faults } = fields.read();
      const title = id ? "The endpoint was not saved" : "The endpoint was not added";
      if (faults.length) return showErrors(element, faults, notices, title);
      saveButton.setAttribute("aria-busy", "true");
      try {
        if (id) await saveChanges(changesOf(values, endpoint));
        else await create(values);
      } catch (error) {
        if (error.status === 412) await showConflict(changesOf(values, endpoint));
        else if (error.errors.length) showErrors(element, error.errors, notices, title);
        else showErrors(element, [], notices, `${title}. ${error.message}`);
      } finally {
        saveButton.removeAttribute("aria-busy");
      }
      return undefined;
    }

    async function create({ secret = "", ...values }) {
      const made = await post(ofTenant("endpoints"), { ...values, enabled: enabled.checked, ...(secret ? { secret } : {}) });
      if (made.secret) keepSecret(made.id, made.secret);
      toast("The endpoint is added");
      leave(made.id);
    }

    async function saveChanges(changes) {
      if (Object.keys(changes).length) {
        await request("PATCH", ofTenant("endpoints", id), { body: changes, headers: etag ? { "If-Match": etag } : {} });
        toast("The endpoint is saved");
      }
      leave();
    }

    // The changes that both made are named: saving replaces only those.
    async function showConflict(mine) {
      const current = await request("GET", ofTenant("endpoints", id));
      const theirs = Object.keys(LABELS).filter((name) => canonical(current.body[name]) !== canonical(endpoint[name]));
      const both = theirs.filter((name) => name in mine);
      const names = (list) => list.map((name) => LABELS[name]).join(", ");
      const notice = banner("warn", "Somebody else changed this endpoint while you edited it. Your changes are not saved yet.",
        h("p", {}, `Changed there: ${names(theirs) || "nothing that this form shows"}.`),
        both.length > 0 && h("dl", { class: "facts" }, both.map((name) => [h("dt", {}, `${LABELS[name]} there`), h("dd", {}, shown(current.body[name]))])),
        h("p", {}, both.length ? `You changed ${names(both)} too: if you save, yours replaces theirs.` : "If you save, both changes are kept."),
        h("div", { class: "buttons" },
          h("button", { type: "button", class: "primary", onclick: () => { etag = current.etag; fill(notices); save(); } }, "Save my changes"),
          h("button", { type: "button", onclick: () => show(id) }, "Discard my changes")));
      fill(notices, notice);
      notices.querySelector("button").focus();
      announce("Somebody else changed this endpoint while you edited it.");
    }

    const element = h("form", { class: "card form", noValidate: true, "aria-labelledby": "title", onsubmit: (event) => { event.preventDefault(); if (saveButton.getAttribute("aria-busy") !== "true") save(); } },
      h("h1", { id: "title", tabindex: "-1" }, id ? "Edit the endpoint" : "Add an endpoint"),
      notices, fields.element,
      !id && h("label", { class: "choice" }, enabled, "Enabled: send events from now on"),
      h("div", { class: "buttons" }, saveButton, h("button", { type: "button", onclick: () => leave() }, "Cancel")));
    element.addEventListener("input", touch);
    fields.element.addEventListener("click", ({ target }) => { if (target instanceof Element && target.closest("button")) touch(); });
    isTouched = false;
    return element;
  }

  return { title: "Endpoint", update: (id) => show(id), close: () => { isOpen = false; isTouched = false; }, isChanged: () => isTouched };
}

function shown(value) {
  return typeof value === "string" ? value || "none" : JSON.stringify(value);
}
