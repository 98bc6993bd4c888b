// The labels of codes and states, and what each means. A label is the word that the code, the log and the commands use.

export const STATUSES = {
  received: ["Received", "◔", "receive accepted and published it; transform has not processed it yet"],
  no_route: ["No route", "∅", "no route took it"],
  filtered: ["Filtered", "◼", "a step of its route ended it on purpose: a filter, a stop, or on_error: drop"],
  duplicate: ["Duplicate", "⧉", "the same signed bytes arrived before, with another delivery id or event type"],
  delivering: ["Delivering", "◑", "some of its deliveries are still in progress"],
  delivered: ["Delivered", "✓", "every delivery was accepted by its destination"],
  waiting: ["Waiting", "◷", "a delivery waits for its digest, for the end of quiet hours or for its turn; nothing was tried yet"],
  retry_scheduled: ["Retry scheduled", "↻", "a delivery failed for now, or its outcome is unknown; or a route waits"],
  held: ["Held", "‖", "a destination takes no deliveries until you release it"],
  merged: ["Merged", "⊕", "a delivery is part of a digest"],
  dead_lettered: ["Dead-lettered", "✕", "a step or a delivery cannot succeed: see the dead letter"],
};

export const ROUTE_STATES = {
  waiting: ["Waiting", "retry_scheduled", "a system that a step asks is unavailable: the route runs again by itself"],
  rerun: ["Run again", "delivered", "the route does not wait any more: see what it decided"],
  dead_lettered: ["Dead-lettered", "dead_lettered", "the system was unavailable to the end of the schedule: see the dead letter"],
};

export const ROUTE_ITSELF = "(route)"; // in place of a delivery's destination
const ROUTE_STATE_OF = { retry_scheduled: "waiting", dead_lettered: "dead_lettered" };

const DELIVERY_STATES = {
  claimed: ["In progress", "delivering", "notify has claimed it"],
  attempted: ["In progress", "delivering", "notify is attempting it now"],
  delivered: ["Delivered", "delivered", "the destination accepted it"],
  retry_scheduled: ["Retry scheduled", "retry_scheduled", "the next attempt is scheduled"],
  held: ["Held", "held", "the destination takes no deliveries until you release it"],
  merged: ["Merged", "delivered", "it is part of a digest"],
  dead_lettered: ["Dead-lettered", "dead_lettered", "it cannot succeed: see the dead letter"],
};

export const DESTINATION_STATES = {
  delivering: ["Delivering", "delivered", "it takes deliveries"],
  paused: ["Paused", "retry_scheduled", "its deliveries wait"],
  disabled: ["Disabled", "held", "it takes nothing until you resume it"],
};

export const SOURCE_HEALTH = {
  healthy: ["Healthy", "delivered", "its events arrive, or it is registered and has none yet"],
  quiet: ["Quiet", "retry_scheduled", "no event came for much longer than usual"],
  failing: ["Failing", "dead_lettered", "a request was rejected after its last event, or its provider cannot deliver all events"],
  unregistered: ["Unregistered", "held", "its provider has no webhook for it"],
  unknown: ["Unknown", "", "it has no event yet, and its provider could not be asked"],
};

// The largest unit of which there are at least two, as the commands have it.
export function interval(seconds) {
  const [unit, size] = [["d", 86400], ["h", 3600], ["min", 60]].find(([, each]) => seconds >= 2 * each) ?? ["s", 1];
  return `${Math.round(seconds / size)} ${unit}`;
}

export const OUTCOMES = {
  delivered: ["Delivered", "delivered", "the destination accepted it"],
  retry_scheduled: ["Retry scheduled", "retry_scheduled", "the destination failed for now"],
  unknown: ["Unknown", "retry_scheduled", "the request was sent and no response came: the destination may have accepted it"],
  held: ["Held", "held", "the destination takes nothing until you act"],
  failed: ["Failed", "dead_lettered", "the destination will never accept it"],
};

// An endpoint's delivery makes no dead letter: its tenant has the message, and sends it again.
const ENDPOINT_FAILED = ["Failed", "dead_lettered", "it is not sent again by itself; its tenant or you can send it again"];
const GATHERED = ["Waiting", "waiting", "it waits for its digest or for the end of quiet hours; nothing was tried yet"];
const UNKNOWN_OUTCOME = ["Retry scheduled", "retry_scheduled", "the last attempt got no response, so it may have been accepted; the next one is minutes later"];

export function deliveryState(delivery) {
  if (delivery.destination === ROUTE_ITSELF) return ROUTE_STATES[ROUTE_STATE_OF[delivery.state] ?? "rerun"];
  if (delivery.state === "retry_scheduled" && delivery.group) return GATHERED;
  if (delivery.state === "retry_scheduled" && delivery.unknown_count > 0) return UNKNOWN_OUTCOME;
  if (delivery.state === "dead_lettered" && endpointOf(delivery.destination)) return ENDPOINT_FAILED;
  return DELIVERY_STATES[delivery.state] ?? [delivery.state ?? "Unknown", "", ""];
}

// The checks of receive in their order, and the codes of requests that fail each.
export const CHECKS = [
  ["Path and method", ["malformed_http", "unknown_source", "method_not_allowed"]],
  ["Size and encoding", ["head_too_large", "invalid_content_length", "body_too_large", "headers_too_large", "query_too_large", "unsupported_encoding", "unsupported_content_type", "request_timeout", "disconnected"]],
  ["Authentication", ["address_not_allowed", "origin_not_allowed", "prefetch_not_allowed", "password_mismatch", "signature_mismatch", "timestamp_out_of_range", "invalid_delivery_id", "certificate_url_not_allowed", "subscribe_url_not_allowed", "key_unavailable", "secret_unavailable", "secret_weak", "secret_unusable"]],
  ["Body parsed", ["decoded_body_too_large", "malformed_body", "multiple_documents"]],
  ["Limits and schema", ["nested_too_deeply", "too_many_values", "number_out_of_range", "duplicate_key", "invalid_key", "dtd_not_allowed", "tag_not_allowed", "expanded_too_large", "too_many_fields", "too_many_parts", "too_many_items", "schema_mismatch"]],
  ["Published", ["bus_unavailable", "blobs_unavailable", "queue_full", "internal_error"]],
];

const ADVICE = {
  password_mismatch: "The password or token is missing or different. Compare it with the secret that the source names.",
  signature_mismatch: "The signature is missing or does not match the body. The sender may use another secret, or something on the way changed the body. Run `hookchain explain` to find out.",
  timestamp_out_of_range: "The signed time is too far from now: an old request was sent again, or a clock is wrong.",
  invalid_delivery_id: "The signature scheme needs the header webhook-id.",
  certificate_url_not_allowed: "The request names a certificate or key that is not at its provider's address.",
  subscribe_url_not_allowed: "The request asks to confirm a subscription at an address that is not its provider's.",
  key_unavailable: "The provider's key could not be fetched. The sender was asked to retry.",
  secret_unusable: "The secret is not a key of the kind that this scheme needs. The sender was asked to retry.",
  origin_not_allowed: "The request does not come from a page in the source's list of origins.",
  prefetch_not_allowed: "A browser loaded the link in advance. It takes effect once somebody opens it.",
  address_not_allowed: "The sender's address is not in the source's allow list.",
  body_too_large: "The body is larger than the source's max_body_bytes.",
  decoded_body_too_large: "The decompressed body is larger than is safe.",
  unsupported_encoding: "Send the body uncompressed or with gzip.",
  unsupported_content_type: "The source does not accept this content type.",
  malformed_body: "The body is not what its headers say, or was cut off.",
  duplicate_key: "An object has the same key twice, so its value is ambiguous.",
  dtd_not_allowed: "The XML has a DOCTYPE, which attacks use. Leave it out.",
  schema_mismatch: "The body does not match the source's schema.",
  request_timeout: "The body did not arrive within 10 seconds.",
  disconnected: "The sender closed the connection before its body was complete.",
  bus_unavailable: "The bus did not confirm in time. The sender was asked to retry.",
  secret_unavailable: "A secret cannot be read, so nothing can be verified. The sender was asked to retry.",
  secret_weak: "A secret is empty or a placeholder, so nothing is verified with it.",
  internal_error: "Hookchain failed. The sender was asked to retry.",
};

// An endpoint of a subscriber is a destination of its own: `customers:acme:ep_…`. Null for any other destination.
export function endpointOf(destination) {
  const [configured, tenant, endpoint, more] = (destination ?? "").split(":");
  return endpoint?.startsWith("ep_") && more === undefined ? { configured, tenant, endpoint } : null;
}

export function destinationText(destination) {
  if (destination === ROUTE_ITSELF) return "the route itself";
  const found = endpointOf(destination);
  return found ? `${found.tenant} · ${found.endpoint.slice(0, 11)}…` : destination;
}

export const ENDPOINT_STATES = {
  enabled: ["Enabled", "delivered", "It gets the events that match."],
  failing: ["Failing", "retry_scheduled", "Deliveries to it fail since then; it is disabled if that goes on."],
  filter_fault: ["Filter fails", "held", "Its filter failed on an event, which it did not get."],
  disabled: ["Disabled", "dead_lettered", "It gets nothing until it is enabled again."],
};

export function adviceOn(code) {
  return ADVICE[code] ?? "";
}

export function plural(count, one, many = one + "s") {
  return `${count.toLocaleString()} ${count === 1 ? one : many}`;
}

// What a resumed destination gets: `released` deliveries were held, `hastened` waited for their next attempt.
// `keep_waiting` others wait for something else, such as a digest. Others may stay held.
export function resumedText(destination, { released, hastened, keep_waiting, stays_held }) {
  const found = [released && plural(released, "held delivery", "held deliveries"), hastened && plural(hastened, "waiting delivery", "waiting deliveries")];
  const counts = found.filter(Boolean).join(" and ");
  const due = counts ? `${counts} will be attempted within seconds.` : stays_held || keep_waiting ? "" : "No delivery was held or waiting.";
  const held = stays_held ? "Deliveries that may have been accepted stay held until you release them." : "";
  const waiting = keep_waiting ? `${plural(keep_waiting, "delivery keeps its own wait", "deliveries keep their own wait")}, such as for a digest.` : "";
  return [`${destination} is resumed.`, due, waiting, held].filter(Boolean).join(" ");
}
