// Small plots as inline SVG: of the last five minutes, which every page gets, or of a longer span and one source or
// destination, which a person chooses.

import { get } from "/page/api.js";
import { duration, fill, h } from "/page/dom.js";
import { svg } from "/page/pieces.js";
import { on } from "/page/state.js";
import { plural } from "/page/words.js";

const WIDTH = 160;
const HEIGHT = 36;

function bars(series, kinds) {
  const count = series[0].length;
  const top = Math.max(1, ...series[0].map((_, at) => series.reduce((sum, values) => sum + values[at], 0)));
  const step = WIDTH / count;
  const shapes = [];
  for (let at = 0; at < count; at++) {
    let floor = HEIGHT;
    series.forEach((values, which) => {
      const height = (values[at] / top) * (HEIGHT - 2);
      if (height <= 0) return;
      floor -= Math.max(1.5, height);
      shapes.push(svg("rect", { x: at * step + 0.3, y: floor, width: step - 0.6, height: Math.max(1.5, height), class: kinds[which] }));
    });
  }
  return shapes;
}

function lines(series, kinds) {
  const top = Math.max(1, ...series.flat().filter((value) => value !== null));
  const count = series[0].length;
  return series.flatMap((values, which) => {
    const points = values.map((value, at) => value === null ? null
      : [((at + 0.5) * WIDTH) / count, HEIGHT - 2 - (value / top) * (HEIGHT - 5)]).filter(Boolean);
    if (points.length === 1) return [svg("circle", { cx: points[0][0], cy: points[0][1], r: 2, class: kinds[which] + " point" })];
    return [svg("polyline", { points: points.map((point) => point.map((each) => each.toFixed(1)).join(",")).join(" "), class: kinds[which] + " line" })];
  });
}

function plot(shapes, label) {
  const floor = svg("line", { x1: 0, x2: WIDTH, y1: HEIGHT - 0.5, y2: HEIGHT - 0.5, class: "floor" });
  return svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": label }, floor, ...shapes);
}

const SPANS = [["", "5 min", "Last 5 minutes", "the last 5 minutes"], ["hour", "1 hour", "Last hour", "the last hour"], ["day", "1 day", "Last day", "the last day"], ["month", "30 days", "Last 30 days", "the last 30 days"]];
const AGAIN_MS = 10000;
const COUNTING_MS = 50; // while the journal is still being counted

function card(title, span, figure, unit, shapes, label) {
  return h("div", { class: "card" },
    h("div", { class: "card-head" }, h("span", { class: "card-title" }, title, h("small", {}, span)), h("span", { class: "figure" }, figure, unit && h("small", {}, unit))),
    plot(shapes, label));
}

const sum = (values) => values.reduce((total, value) => total + value, 0);
const last = (values) => values.filter((value) => value !== null).at(-1) ?? null;

// The plots with their choices. Returns what ends them.
export function plotsView(element) {
  const cards = h("div", { class: "plots" });
  const note = h("p", { class: "faint", role: "status", hidden: true });
  const select = (label, options) => h("select", { "aria-label": label, onchange: () => choose() }, options);
  const span = select("Span of the plots", SPANS.map(([value, , word]) => h("option", { value }, word)));
  const which = select("Source or destination of the plots", h("option", { value: "" }, "All sources and destinations"));
  let live = null;
  let timer = null;
  let number = 0;
  fill(element, h("div", { class: "plot-choices" }, span, which), note, cards);
  which.hidden = true;

  function choose() {
    clearTimeout(timer);
    number++;
    which.hidden = !span.value;
    note.hidden = true;
    if (span.value) load();
    else if (live) showPlots(cards, live, SPANS[0]);
  }

  async function load() {
    const mine = ++number;
    const [kind, name] = which.value ? JSON.parse(which.value) : [];
    let pause = AGAIN_MS;
    try {
      const data = await get("/api/charts", { span: span.value, ...(kind && { [kind]: name }) });
      if (mine !== number) return;
      showPlots(cards, data, SPANS.find(([value]) => value === span.value), kind);
      showNames(data);
      const said = data.counting ? "Counting the events of the journal…" : data.missing;
      note.hidden = !said;
      if (note.textContent !== said) note.textContent = said; // a screen reader reads it once
      if (data.counting) pause = COUNTING_MS;
    } catch (error) {
      if (mine !== number) return;
      note.hidden = false;
      note.textContent = error.message;
      if (error.status === 404) {
        fill(cards);
        return;
      }
    }
    timer = setTimeout(load, pause);
  }

  function showNames({ sources, destinations }) {
    const options = [...sources.map((name) => ["source", name]), ...destinations.map((name) => ["destination", name])].map((pair) => [JSON.stringify(pair), pair]);
    const face = JSON.stringify(options);
    if (which.dataset.face === face) return; // a list that is open stays open
    which.dataset.face = face;
    const before = which.value;
    if (before && !options.some(([value]) => value === before)) options.push([before, JSON.parse(before)]);
    fill(which, h("option", { value: "" }, "All sources and destinations"), options.map(([value, [kind, name]]) => h("option", { value }, `${kind === "source" ? "Source" : "Destination"} ${name}`)));
    which.value = before;
  }

  const forget = on("plots", (data) => { live = data; if (!span.value) showPlots(cards, data, SPANS[0]); });
  return () => { clearTimeout(timer); number++; forget(); };
}

function showPlots(element, data, [, span, , text], kind) {
  const accepted = sum(data.accepted);
  const rejected = sum(data.rejected);
  const delivered = sum(data.delivered);
  const failed = sum(data.not_delivered);
  const p50 = data.whole_p50_ms ?? last(data.p50_ms);
  const p95 = data.whole_p95_ms ?? last(data.p95_ms);
  const requests = kind !== "destination" && [ // a request has no destination
    card("Requests accepted", span, accepted.toLocaleString(), "", bars([data.accepted], ["good"]), `${plural(accepted, "request")} accepted in ${text}`),
    card("Requests rejected", span, rejected.toLocaleString(), "", bars([data.rejected], ["bad"]), `${plural(rejected, "request")} rejected in ${text}`)];
  fill(element, requests,
    card("Attempts delivered", span, delivered.toLocaleString(), failed ? `+ ${failed.toLocaleString()} failed` : "",
      bars([data.delivered, data.not_delivered], ["good", "warn"]),
      `${plural(delivered, "attempt")} delivered and ${failed} failed in ${text}`),
    !data.missing && card("Time to delivery", span, p50 === null ? "–" : duration(p50), p95 === null ? "" : `p95 ${duration(p95)}`,
      lines([data.p95_ms, data.p50_ms], ["warn", "good"]),
      p50 === null ? `no delivery in ${text}` : `half of the deliveries within ${duration(p50)}, 95 percent within ${duration(p95)}`));
}
