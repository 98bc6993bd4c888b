// The labels of states and what each means.

import { asksForProof } from "./portal.js";

// Of a delivery: label, sign, meaning.
export const STATES = {
  pending: ["Pending", "◔", "it is about to be sent"],
  waiting: ["Waiting", "↻", "an attempt failed, and the next one is scheduled"],
  delivered: ["Delivered", "✓", "your server accepted it"],
  failed: ["Failed", "✕", "it is not sent again by itself; you can send it again here"],
};

// Of an attempt.
export const OUTCOMES = {
  delivered: ["Delivered", "delivered", "your server accepted it"],
  retry_scheduled: ["Failed, retried later", "waiting", "the next attempt is scheduled"],
  unknown: ["No answer", "waiting", "the request was sent and no answer came: your server may have accepted it"],
  held: ["Held", "waiting", "it waits until the operator releases it"],
  failed: ["Failed", "failed", "it is not sent again by itself"],
};

export const AUTH_KINDS = {
  standard: ["Standard Webhooks signature", "Each request has the headers `webhook-id`, `webhook-timestamp` and `webhook-signature`. Libraries in many languages verify them."],
  basic: ["User name and password", "Each request has the header `Authorization: Basic …` with this user name and the secret as password."],
  bearer: ["Bearer token", "Each request has the header `Authorization: Bearer …` with the secret as token."],
  hmac: ["HMAC in a header of your choice", "A header has the HMAC-SHA256 of the body, computed with the secret."],
};

const DISABLED_BY = {
  tenant: "It was disabled here.",
  operator: "The operator disabled it.",
  failures: "It was disabled because deliveries to it kept failing.",
  receiver: "It was disabled because your server asked for it, with status 410 or the header `webhook-delivery: disable`.",
};

// Of an endpoint: label, kind, meaning.
export function endpointState(endpoint) {
  if (!endpoint.enabled) return ["Disabled", "failed", "it gets no events"];
  if (asksForProof() && !endpoint.verified) return ["Not verified", "waiting", "it gets no events before it is verified"];
  if (endpoint.failing_since) return ["Failing", "waiting", "the last deliveries to it failed"];
  return ["Enabled", "delivered", "it gets events"];
}

export function whyDisabled(endpoint) {
  return DISABLED_BY[endpoint.disabled?.by] ?? "It was disabled.";
}

export function typesText(types) {
  if (!types.length) return "all event types";
  return types.length > 3 ? `${types.slice(0, 3).join(", ")} and ${types.length - 3} more` : types.join(", ");
}

export function plural(count, one, many = one + "s") {
  return `${count.toLocaleString()} ${count === 1 ? one : many}`;
}

export function countText(answer, one, many) {
  return answer.is_more ? `at least ${plural(answer.count, one, many)}` : plural(answer.count, one, many);
}

// Host and path are easier to recognise in a list than a whole URL, and tell the endpoints of one server apart.
export function placeOf(url) {
  try {
    const { host, pathname } = new URL(url);
    return host + (pathname === "/" ? "" : pathname);
  } catch {
    return url;
  }
}

// Why a delivery is not delivered, without the code that its reason begins with once it failed.
export function reasonText({ state, reason }) {
  return state === "delivered" ? "" : state === "failed" ? reason?.replace(/^[a-z_]+: /, "") : reason;
}
