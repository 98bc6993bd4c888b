// One endpoint: its state and what to do about it, its settings, secret, a test, its latest deliveries, and sending again.

import { post, request } from "./api.js";
import { announce, fill, h, time, toast, withCode } from "./dom.js";
import { action, banner, chip, confirmed, deliveryRow, facts, jsonView, loadFault, section } from "./pieces.js";
import { pagedList } from "./paged.js";
import { asksForProof, can, ofTenant, poll, portalInfo } from "./portal.js";
import { sendAgainSection } from "./send_again.js";
import { secretSection } from "./secret.js";
import { testSection } from "./test_event.js";
import { AUTH_KINDS, endpointState, whyDisabled } from "./words.js";

const PROOF = {
  challenge: "A request with a challenge is sent to your server, which must answer with it.",
  cloudevents: "An OPTIONS request with the header `WebHook-Request-Origin` is sent to your server. It must answer with `WebHook-Allowed-Origin`.",
};

export function endpointView(main, navigate) {
  let isOpen = true;
  let stopPolling = () => {};

  async function show(id) {
    try {
      const { body } = await request("GET", ofTenant("endpoints", id));
      if (isOpen) draw(body);
    } catch (error) {
      if (isOpen) fill(main, h("a", { href: "#/endpoints" }, "All endpoints"), loadFault(error, () => show(id)));
    }
  }

  function draw(endpoint) {
    stopPolling();
    const head = h("div", { class: "card" });
    const latest = pagedList({ label: "Latest deliveries", kind: "rows deliveries", limit: 5, row: (each) => deliveryRow(each, endpoint), emptyView: () => h("p", { class: "faint" }, "No deliveries yet.") });
    const deliveries = ofTenant("endpoints", endpoint.id, "deliveries");
    const follow = () => {
      stopPolling();
      latest.refresh();
      stopPolling = poll(async () => (await latest.refresh(), isOpen), 2, 30);
    };
    fill(main,
      h("a", { href: "#/endpoints" }, "All endpoints"),
      head,
      secretSection(endpoint),
      can("manage") && testSection(endpoint, follow),
      section("Latest deliveries", latest.element,
        h("a", { href: `#/deliveries?endpoint=${encodeURIComponent(endpoint.id)}` }, "All deliveries of this endpoint")),
      can("resend") && sendAgainSection(endpoint, follow));
    drawHead(head, endpoint);
    latest.load(deliveries);
  }

  function drawHead(head, endpoint) {
    const [word, kind, meaning] = endpointState(endpoint);
    const notice = h("div", {});
    const failed = (error) => fill(notice, banner("bad", error.message));
    const change = (act, done) => async () => {
      const changed = await post(ofTenant("endpoints", endpoint.id, act));
      toast(done);
      drawHead(head, changed);
      announce(done);
      head.querySelector("h1").focus();
    };
    const disable = async () => {
      if (await confirmed("Disable this endpoint?", "Disable", "It gets no events until it is enabled again. What it misses can be recovered then.")) await change("disable", "The endpoint is disabled")();
    };
    const remove = async () => {
      if (!await confirmed("Delete this endpoint?", "Delete", "It gets no more events, and its secret is deleted. This cannot be undone.")) return;
      await request("DELETE", ofTenant("endpoints", endpoint.id));
      toast("The endpoint is deleted");
      navigate("endpoints");
    };
    const needsProof = asksForProof() && !endpoint.verified;
    fill(head,
      h("div", { class: "title-line" }, chip(word, kind, meaning), h("h1", { tabindex: "-1" }, endpoint.url)),
      endpoint.description && h("p", {}, endpoint.description),
      notice,
      stateBanners(endpoint, needsProof),
      can("manage") && h("div", { class: "buttons" },
        needsProof && action("Verify", change("verify", "The endpoint is verified"), { kind: "primary", failed }),
        h("a", { class: "button", href: `#/endpoints/${encodeURIComponent(endpoint.id)}/edit` }, "Edit"),
        endpoint.enabled ? action("Disable", disable, { failed }) : action("Enable", change("enable", "The endpoint is enabled"), { kind: "primary", failed }),
        action("Delete", remove, { failed })),
      settings(endpoint));
  }

  return { title: "Endpoint", update: show, close: () => { isOpen = false; stopPolling(); } };
}

function stateBanners(endpoint, needsProof) {
  return [
    !endpoint.enabled && banner("warn", "This endpoint is disabled.",
      h("p", {}, withCode(whyDisabled(endpoint)), endpoint.disabled?.at && [" Since ", time(endpoint.disabled.at), "."]),
      endpoint.disabled?.reason && h("p", { class: "reason" }, endpoint.disabled.reason),
      h("p", {}, "Send a test event to see whether your server works again. Then enable the endpoint, and recover what it missed, below.")),
    endpoint.enabled && endpoint.failing_since && banner("warn", "Deliveries to this endpoint fail.",
      h("p", {}, "Since ", time(endpoint.failing_since), ". The latest deliveries say why. If it goes on, the endpoint is disabled.")),
    needsProof && banner("warn", "This endpoint is not verified.", h("p", {}, "It gets no events yet. ", withCode(PROOF[portalInfo().verify] ?? "Prove that the URL is yours."))),
    endpoint.filter_fault && banner("warn", "The filter fails, so events do not match it.", h("p", {}, endpoint.filter_fault)),
  ];
}

function settings(endpoint) {
  const headers = Object.entries(endpoint.headers);
  const { auth } = endpoint;
  return facts([
    ["Event types", endpoint.types.length ? h("span", { class: "chips" }, endpoint.types.map((each) => h("code", { class: "chip" }, each))) : "All"],
    ["Filter", endpoint.filter && h("code", {}, endpoint.filter)],
    ["Headers", headers.length > 0 && headers.map(([name, value]) => h("div", {}, h("code", {}, `${name}: ${value}`)))],
    ["Extra fields", Object.keys(endpoint.fields).length > 0 && jsonView(endpoint.fields, "Extra fields")],
    ["Authentication", [AUTH_KINDS[auth.kind]?.[0] ?? auth.kind, auth.username && `, ${auth.username}`, auth.header && `, ${auth.header}`]],
    ["Rate", endpoint.rate && `at most ${endpoint.rate}`],
    ["Id", h("code", {}, endpoint.id)],
    ["Added", time(endpoint.created_at)],
    ["Changed", time(endpoint.updated_at)],
  ]);
}
