// How requests to an endpoint are authenticated: the kind, and the fields that this kind has.

import { fill, h, withCode } from "./dom.js";
import { field } from "./fields.js";
import { AUTH_KINDS } from "./words.js";

// `auth` is the endpoint's so far. `read()` answers `{ auth, secret }`.
export function authFields(auth, isNew) {
  const kind = h("select", { onchange: show }, Object.entries(AUTH_KINDS).map(([key, [label]]) => h("option", { value: key, selected: key === auth.kind }, label)));
  const text = (value, attributes = {}) => { const input = h("input", { autocomplete: "off", spellcheck: "false", ...attributes }); input.value = value ?? ""; return input; };
  const username = text(auth.username);
  const header = text(auth.header, { placeholder: "X-Signature" });
  const prefix = text(auth.prefix, { placeholder: "sha256=" });
  const encoding = h("select", {}, ["hex", "base64"].map((each) => h("option", { value: each, selected: each === auth.encoding }, each)));
  const secret = text("", { type: "password", autocomplete: "new-password" });
  const about = h("p", { class: "help" });
  const own = {
    basic: field("User name", "/auth/username", username),
    hmac: h("div", { class: "columns" },
      field("Header", "/auth/header", header, "The header that has the signature."),
      field("Prefix", "/auth/prefix", prefix, "Optional: a text before the signature."),
      field("Encoding", "/auth/encoding", encoding)),
  };
  const extra = h("div", {});
  const keep = isNew ? "Leave it empty, and a strong one is generated and shown once." : "Leave it empty to keep the secret. Another kind of authentication needs a new one.";

  function show() {
    fill(about, withCode(AUTH_KINDS[kind.value]?.[1] ?? ""));
    fill(extra, own[kind.value]);
  }

  show();
  return {
    element: h("div", { class: "fields" },
      field("Authentication", "/auth/kind", kind), about, extra,
      field("Own secret", "/secret", secret, keep)),
    read() {
      const chosen = { kind: kind.value };
      if (kind.value === "basic") chosen.username = username.value.trim();
      if (kind.value === "hmac") Object.assign(chosen, { header: header.value.trim(), prefix: prefix.value, encoding: encoding.value });
      return { auth: chosen, secret: secret.value };
    },
  };
}

// Return whether an endpoint's authentication is already as chosen. The API also shows the fields of other kinds, which are empty.
export function isSameAuth(chosen, auth) {
  return Object.entries(chosen).every(([name, value]) => value === (auth[name] ?? ""));
}
