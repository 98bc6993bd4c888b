// The caught mails as their recipients would see them.

import { get } from "/page/api.js";
import { fill, h, reconcile, time } from "/page/dom.js";
import { bytes, empty, facts } from "/page/pieces.js";
import { on } from "/page/state.js";

const who = (address) => address.name ? `${address.name} <${address.email}>` : address.email;
const all = (addresses) => addresses.map(who).join(", ");

export function mailView(main, navigate) {
  const list = h("ul", { class: "rows mails", "aria-label": "Mails, newest first" });
  const foot = h("div", { class: "foot" });
  const beside = h("section", { class: "beside", "aria-label": "Mail", hidden: true });
  let opened = null;
  let mails = [];
  let count = null;
  let asking = false;

  fill(main, h("h1", { class: "unseen" }, "Mail"),
    h("div", { class: "split" }, h("section", { class: "list", "aria-label": "List of mails" }, list, foot), beside));

  const forget = [on("overview", (overview) => { if (overview.mail !== count) load(overview.mail); })];

  async function load(total) {
    if (asking) return;
    asking = true;
    try {
      const { mail } = await get("/api/mail", { limit: 100 });
      const newest = mail.length ? mail.at(-1).id : 0;
      mails = [...mail, ...mails.filter((each) => each.id < newest)];
      count = total;
      show();
    } finally {
      asking = false;
    }
  }

  function show() {
    list.hidden = !mails.length;
    reconcile(list, mails, (mail) => String(mail.id), row);
    for (const link of list.querySelectorAll("a")) {
      if (link.dataset.id === opened) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
    if (!mails.length) fill(foot, empty("No mail yet", h("p", {}, "Mails of deliveries are caught and shown here. hookchain dev sends none without --send-mail.")));
    else fill(foot, mails.length < count && h("button", { type: "button", class: "more", onclick: older }, "Show older mails"));
  }

  async function older() {
    const { mail } = await get("/api/mail", { limit: 100, before: mails.at(-1).id });
    mails = [...mails, ...mail];
    show();
  }

  function row(mail) {
    return h("li", {}, h("a", { href: `#/mail/${mail.id}`, "data-id": String(mail.id) },
      h("span", { class: "avatar", "aria-hidden": "true" }, (mail.to[0]?.name || mail.to[0]?.email || "?")[0].toUpperCase()),
      h("span", { class: "what" }, h("span", { class: "faint" }, `To ${all(mail.to)}`), h("strong", {}, mail.subject || "(no subject)"), h("span", { class: "faint preview" }, mail.preview)),
      mail.attachments > 0 && h("span", { class: "clip", title: "with attachments" }, "📎", h("span", { class: "unseen" }, "with attachments")),
      time(mail.received_at)));
  }

  async function open(id) {
    fill(beside);
    try {
      const mail = await get(`/api/mail/${id}`);
      if (opened !== id) return;
      fill(beside, reader(mail, () => navigate("mail", null)));
      beside.querySelector("h2").focus({ preventScroll: true });
    } catch (error) {
      if (opened === id) fill(beside, h("p", { class: "empty" }, error.message));
    }
  }

  return {
    update(id) {
      beside.hidden = !id;
      main.classList.toggle("opened", Boolean(id));
      if (id !== opened) {
        opened = id;
        if (id) open(id);
      }
      show();
    },
    close: () => forget.forEach((each) => each()),
    back: () => opened && navigate("mail", null),
    returnTo: (id) => [...list.querySelectorAll("a")].find((link) => link.dataset.id === id)?.focus(),
  };
}

function reader(mail, close) {
  return [
    h("header", { class: "event-head" },
      h("div", { class: "title-line" }, h("h2", { tabindex: "-1" }, mail.subject || "(no subject)"), h("button", { type: "button", class: "icon-button close", "aria-label": "Close (Esc)", onclick: close }, "✕")),
      facts([["From", who(mail.from)], ["To", all(mail.to)], ["Cc", all(mail.cc)], ["Bcc", all(mail.bcc)], ["Reply to", all(mail.reply_to)], ["Caught", time(mail.received_at)]])),
    bodies(mail),
    mail.attachments.length > 0 && h("section", { "aria-label": "Attachments" }, h("h3", {}, "Attachments"),
      h("ul", { class: "attachments" }, mail.attachments.map((each, index) => h("li", {},
        h("a", { class: "button", href: `/api/mail/${mail.id}/attachments/${index}`, download: each.filename }, `${each.filename} `, h("span", { class: "faint" }, `${each.type}, ${bytes(each.bytes)}`)))))),
  ];
}

function bodies(mail) {
  const tabs = [
    mail.has_html && ["Formatted", () => h("iframe", { class: "mail-body", src: `/api/mail/${mail.id}/html`, sandbox: "allow-popups allow-popups-to-escape-sandbox", referrerpolicy: "no-referrer", title: "The formatted mail" })],
    ["Text", () => mail.text ? h("pre", { class: "mail-text", tabindex: "0" }, mail.text) : h("p", { class: "faint" }, "The mail has no text part.")],
    ["Source", () => source(mail.id)],
  ].filter(Boolean);
  const panel = h("div", { class: "panel", role: "tabpanel" });
  const buttons = tabs.map(([name], index) => h("button", { type: "button", role: "tab", onclick: () => choose(index) }, name));
  const choose = (index) => {
    buttons.forEach((button, at) => {
      button.setAttribute("aria-selected", String(at === index));
      button.tabIndex = at === index ? 0 : -1;
    });
    panel.setAttribute("aria-label", tabs[index][0]);
    fill(panel, tabs[index][1]());
  };
  const list = h("div", {
    class: "tabs", role: "tablist", "aria-label": "Views of the mail",
    onkeydown: (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      event.stopPropagation();
      const next = (buttons.indexOf(document.activeElement) + step + buttons.length) % buttons.length;
      choose(next);
      buttons[next].focus();
    },
  }, buttons);
  choose(0);
  return [list, panel];
}

function source(id) {
  const view = h("pre", { class: "code", tabindex: "0" }, "…");
  fetch(`/api/mail/${id}/source`).then((answer) => answer.text()).then((text) => {
    try {
      view.textContent = JSON.stringify(JSON.parse(text), null, 2);
    } catch {
      view.textContent = text;
    }
  });
  return view;
}
