// The sources: whether each one's events arrive, and if not, why and what to do.

import { get } from "/page/api.js";
import { copyButton, fill, h, reconcile, time } from "/page/dom.js";
import { chip, copyIcon, empty, withLinks } from "/page/pieces.js";
import { current, on } from "/page/state.js";
import { SOURCE_HEALTH, interval } from "/page/words.js";

const ASK_AGAIN_MS = 1000; // while the providers are being asked
const CLOUD_PAUSE_MS = 60000; // in a cloud, each load costs up to 50 reads for each source

export function sourcesView(main) {
  const list = h("ul", { class: "cards", "aria-label": "Sources" });
  const foot = h("div", { class: "foot" });
  let loading = false;
  let loadedAt = 0;
  let timer = null;
  fill(main, h("h1", { class: "unseen" }, "Sources"), list, foot);

  async function load() {
    if (loading) return;
    loading = true;
    loadedAt = Date.now();
    clearTimeout(timer);
    try {
      const { sources, asking } = await get("/api/sources");
      list.hidden = !sources.length;
      reconcile(list, sources, (each) => each.source, card);
      fill(foot,
        !sources.length && empty("No sources", h("p", {}, "The configuration has none.")),
        asking && h("p", { class: "faint", role: "status" }, "Asking the providers…"));
      if (asking) timer = setTimeout(load, ASK_AGAIN_MS);
    } catch (error) {
      fill(foot, h("p", { class: "empty" }, error.message));
    } finally {
      loading = false;
    }
  }

  load();
  const forget = [on("overview", () => { if (!current("hint")?.cloud || Date.now() - loadedAt > CLOUD_PAUSE_MS) load(); })];
  return { update: () => {}, close: () => { clearTimeout(timer); forget.forEach((each) => each()); } };
}

function card(each) {
  const [word, kind, meaning] = SOURCE_HEALTH[each.health];
  const usual = each.usual_seconds !== null && `every ${each.usual_seconds < 1 ? "second or more often" : interval(each.usual_seconds)}${each.overdue ? ", overdue" : ""}`;
  return h("li", { class: "destination" },
    h("header", {}, chip(word, kind, meaning), h("strong", {}, each.source)),
    h("p", { class: "why" }, withLinks(each.reason)),
    each.command && h("p", { class: "command" }, h("code", {}, each.command), copyButton(each.command, "the command", copyIcon())),
    h("dl", { class: "facts" },
      fact("Last event", time(each.last_at) ?? "none"),
      fact("Usually", usual),
      fact("Registered", each.registered),
      fact("Secret set", each.secret_set_at?.slice(0, 10)), // `.env` has the day only
      fact("Last rejected", each.last_rejected && rejection(each.last_rejected))),
    each.registration_unknown && h("p", { class: "faint" }, withLinks(each.registration_unknown)),
    each.hooks.length > 0 && h("ul", { "aria-label": `Hooks of ${each.source}` }, each.hooks.map(hookLine)));
}

// What the provider says of the hook at one place.
function hookLine(hook) {
  const differences = hook.differences.join("; ") || "its URL and event types are as configured";
  return h("li", { class: "faint" },
    `${hook.at || "Hook"}: ${differences}`,
    hook.report && `; ${hook.report}`,
    hook.reported_at && [" (", time(hook.reported_at), ")"],
    hook.expires_at && ["; it expires at ", time(hook.expires_at)]);
}

// In a cloud, only receive's log has the rejected requests.
function rejection(rejected) {
  return [time(rejected.at), " ", current("hint")?.cloud ? rejected.reason : h("a", { href: "#/rejected" }, rejected.reason)];
}

function fact(name, value) {
  return value && h("div", {}, h("dt", {}, name), h("dd", {}, value));
}
