// The trace of one event: what each function did and when, as bars on one time line. The server places the bars.

import { duration, h } from "/page/dom.js";
import { chip, svg } from "/page/pieces.js";
import { OUTCOMES, plural } from "/page/words.js";

const LEAST_PERCENT = 0.6; // a bar is wide enough to be seen

export function waterfall(trace) {
  const failed = trace.bars.filter((bar) => bar.code).length;
  const label = `Time line of ${length(trace.ms)} with ${plural(trace.bars.length, "bar")}, of which ${failed} failed. The same is in the table below it.`;
  return h("section", { class: "waterfall", "aria-label": "Time line" },
    h("h3", {}, "Time line", h("span", { class: "stage-summary" }, length(trace.ms))),
    h("div", { role: "img", "aria-label": label }, trace.bars.map((bar) => row(bar, trace.pauses))),
    trace.pauses.length > 0 && h("p", { class: "faint" }, "A dotted part is a pause that is drawn shorter than it was."),
    trace.more_attempts > 0 && h("p", { class: "faint" }, `Not shown: ${plural(trace.more_attempts, "later attempt")}.`),
    h("details", {}, h("summary", {}, "The time line as a table"), h("div", { class: "inside" }, table(trace.bars))));
}

function row(bar, pauses) {
  const [word, kind] = failure(bar);
  return h("div", { class: "bar-row" },
    h("span", { class: `bar-name depth-${Math.min(bar.depth, 3)}` }, h("span", { title: bar.name }, bar.name), chip(word, kind)),
    h("span", { class: "bar-time" }, length(bar.ms)),
    track(bar, pauses, kind));
}

// The word and the colour of what failed; an attempt has its outcome, and everything else a code.
function failure(bar) {
  return bar.code ? OUTCOMES[bar.code] ?? [bar.code, "dead_lettered"] : [];
}

function track(bar, pauses, kind) {
  const width = Math.max(bar.width, LEAST_PERCENT);
  const left = Math.min(bar.left, 100 - width);
  return svg("svg", { class: "track", "aria-hidden": "true" },
    ...pauses.map((pause) => svg("line", { x1: `${pause.left}%`, x2: `${pause.left + pause.width}%`, y1: 6, y2: 6, class: "pause" })),
    svg("rect", { x: `${left}%`, y: 1, width: `${width}%`, height: 10, rx: 2, class: kind ?? bar.function }));
}

function table(bars) {
  const names = ["What", "Function", "Began after", "Took", "Failed with"];
  return h("div", { class: "scroll", tabindex: "0" }, h("table", {},
    h("thead", {}, h("tr", {}, names.map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, bars.map((bar) => h("tr", {},
      h("td", { class: "answer" }, bar.name), h("td", {}, bar.function), h("td", { title: bar.at }, length(bar.after_ms)), h("td", {}, length(bar.ms)), h("td", {}, failure(bar)[0] ?? "–"))))));
}

// Steps take less than a millisecond.
function length(milliseconds) {
  return milliseconds > 0 && milliseconds < 10 ? `${Number(milliseconds.toFixed(milliseconds < 1 ? 2 : 1))} ms` : duration(milliseconds);
}
