// What codes and states mean, in words for a person.

export const STATUSES = {
  received: ["Received", "◔", "receive has it, confirmed by the bus; transform has not looked at it yet"],
  unmatched: ["No route", "∅", "no route wanted it"],
  stopped: ["Stopped", "◼", "a route took it, and ended it on purpose: a filter, a stop, or what on_error drops"],
  duplicate: ["Duplicate", "⧉", "the same signed bytes came before, under another delivery id or event type"],
  delivering: ["Delivering", "◑", "some of its deliveries are still on their way"],
  delivered: ["Delivered", "✓", "every delivery was accepted by its destination"],
  retrying: ["Retrying", "↻", "a destination was in trouble; it is tried again"],
  held: ["Held", "‖", "a destination takes nothing until somebody acts"],
  failed: ["Failed", "✕", "a step or a delivery was given up on: see its dead letter"],
};

const DELIVERY_STATES = {
  claimed: ["In work", "delivering", "a worker has it"],
  attempted: ["In work", "delivering", "it is being attempted just now"],
  done: ["Delivered", "delivered", "accepted by the destination"],
  failed: ["Given up", "failed", "it is a dead letter"],
  retry_at: ["Waiting", "retrying", "it is tried again when its time has come"],
  disabled: ["Held", "held", "the destination takes nothing until it is released"],
};

export const OUTCOMES = {
  delivered: ["Accepted", "delivered"],
  retry_later: ["Not now", "retrying"],
  refused: ["Refused", "failed"],
  disabled: ["Held", "held"],
  unknown: ["Unknown", "retrying", "the request was sent and no answer came: the destination may have accepted it or not"],
};

const WAITING_UNKNOWN = ["Unknown", "retrying", "the last attempt got no answer, so it may have been accepted or not; the next one is minutes later"];

export function deliveryState(delivery) {
  if (delivery.state === "retry_at" && delivery.unknown_count > 0) return WAITING_UNKNOWN;
  return DELIVERY_STATES[delivery.state] ?? [delivery.state, "", ""];
}

// What receive checks, in its order, and the codes of those who fail there.
export const CHECKS = [
  ["Path and method", ["unknown_source", "method"]],
  ["Size and form", ["malformed_http", "head_too_large", "length", "raw", "encoding", "content_type", "slow", "disconnected"]],
  ["Who sends it", ["address", "origin", "prefetch", "password", "sig", "ts", "id", "cert_url", "sub_url", "key_unavailable", "secret_unavailable", "secret_weak", "secret_unusable"]],
  ["Body understood", ["decoded", "parse", "multi"]],
  ["Limits and rules", ["depth", "nodes", "num", "dup_key", "key", "dtd", "tag", "expansion", "fields", "parts", "items", "loop", "schema"]],
  ["Confirmed by the bus", ["bus", "blobs", "queue_full", "fault"]],
];

const ADVICE = {
  password: "The password or token is missing or is another one. Compare it with the secret that the source names.",
  sig: "The signature is missing or does not fit the body. The secret may differ, or something on the way changed the body: `hookchain explain` looks into which.",
  ts: "The signed time is too far from now: an old request sent again, or a clock that is wrong.",
  id: "The signature scheme needs an id of its own in webhook-id.",
  cert_url: "The request names a certificate or key that is not its provider's.",
  sub_url: "The request asks to confirm a subscription at a URL that is not its provider's.",
  key_unavailable: "The provider's key cannot be fetched now. The sender was told to come again.",
  secret_unusable: "The secret is no key of the kind that this scheme needs. The sender was told to come again.",
  origin: "The page that posted is not on the source's list of origins.",
  prefetch: "A browser looked at the link beforehand; it takes effect once it is followed.",
  address: "The sender's address is not on the source's list.",
  raw: "The body is larger than the source takes (max_body_bytes).",
  decoded: "Unpacked, the body is larger than is safe.",
  encoding: "Send the body plain or as gzip.",
  content_type: "The source does not take this content type.",
  parse: "The body is not what its headers say it is, or was cut on its way.",
  dup_key: "A key stands twice in one object: which one is meant cannot be known.",
  dtd: "A DOCTYPE is how attacks through XML work; leave it out.",
  schema: "The body breaks the source's schema.",
  slow: "The body did not arrive within 10 seconds.",
  disconnected: "The sender went away before its body was complete.",
  loop: "The event has passed Hookchain too often: two bundles send to each other.",
  bus: "The bus did not confirm in time. The sender was told to come again.",
  secret_unavailable: "A secret cannot be read, so nothing can be verified. The sender was told to come again.",
  secret_weak: "A secret protects nothing (empty, or a placeholder), so nothing is verified with it.",
  fault: "A fault of ours. The sender was told to come again.",
};

export function adviceOn(code) {
  return ADVICE[code] ?? "";
}

export function plural(count, one, many = one + "s") {
  return `${count.toLocaleString()} ${count === 1 ? one : many}`;
}
