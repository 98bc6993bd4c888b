// An endpoint's secret: shown once where it is made, revealed and rotated by those who may, and how to verify with it.

import { get, poster } from "./api.js";
import { announce, copyButton, fill, h, time, toast, withCode } from "./dom.js";
import { action, banner, confirmed, plainView, section, tabs } from "./pieces.js";
import { can, ofTenant } from "./portal.js";
import { snippet } from "./snippets.js";

// The secrets that were just made, by endpoint, until they are shown: nothing else keeps them.
const made = new Map();

export function keepSecret(id, secret) {
  made.set(id, secret);
}

export function secretSection(endpoint) {
  const shown = h("div", {});
  const failed = (error) => fill(shown, banner("bad", error.message));
  const where = (...parts) => ofTenant("endpoints", endpoint.id, "secret", ...parts);

  function show(secret, previous, isOnce) {
    fill(shown, h("div", { class: "secret" },
      isOnce && !can("reveal_secret") && h("p", {}, h("strong", {}, "Copy the secret now. "), "This page does not show it again."),
      h("div", { class: "line" }, h("code", { class: "secret-text" }, secret), copyButton(secret, "the secret"),
        h("button", { type: "button", onclick: () => fill(shown) }, "Hide")),
      previous.map((each) => h("p", { class: "help" }, "The secret before is used beside it until ", time(each.valid_until), "."))));
    announce("The secret is shown.");
  }

  const reveal = action("Reveal the secret", async () => {
    const answer = await get(where());
    show(answer.secret, answer.previous, false);
  }, { failed });

  const post = poster();
  const rotate = action("Rotate the secret", async () => {
    const question = "Make a new secret for this endpoint?";
    if (!await confirmed(question, "Rotate", OVERLAP[endpoint.auth.kind] ?? OVERLAP.other, "primary")) return;
    const answer = await post(where("rotate"));
    toast("The secret is rotated");
    show(answer.secret, answer.previous, true);
  }, { failed });

  if (made.has(endpoint.id)) {
    show(made.get(endpoint.id), [], true);
    made.delete(endpoint.id);
  }
  return section("Secret",
    shown,
    h("div", { class: "buttons" }, can("reveal_secret") && reveal, can("manage") && rotate),
    !can("reveal_secret") && h("p", { class: "help" }, "The secret is shown only when it is made", can("manage") ? ". If you lost it, rotate it." : "."),
    h("details", {}, h("summary", {}, "How to verify requests"), h("div", { class: "inside" }, verification(endpoint.auth))));
}

const OVERLAP = {
  standard: "For 24 hours each request is signed with both secrets, so that you can change it on your server without losing events. After that only the new one is used.",
  other: "Requests use the new secret at once. Let your server accept both secrets before you rotate.",
};

function verification(auth) {
  const program = (language, label) => () => {
    const text = snippet(language, auth);
    return h("div", { class: "program" }, copyButton(text, `the ${label} program`), plainView(text, `${label} program`));
  };
  return [
    h("p", {}, withCode("Set the secret as `WEBHOOK_SECRET` where your server runs. Verify the body as it came, before you parse it.")),
    tabs("Language", [["Python", program("python", "Python")], ["JavaScript", program("javascript", "JavaScript")]]),
  ];
}
