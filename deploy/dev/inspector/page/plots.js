// Small plots of the last five minutes, as inline SVG.

import { duration, fill, h } from "/page/dom.js";
import { svg } from "/page/pieces.js";
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

function card(title, figure, unit, shapes, label) {
  return h("div", { class: "card" },
    h("div", { class: "card-head" }, h("span", { class: "card-title" }, title, h("small", {}, "5 min")), h("span", { class: "figure" }, figure, unit && h("small", {}, unit))),
    plot(shapes, label));
}

const sum = (values) => values.reduce((total, value) => total + value, 0);
const last = (values) => values.filter((value) => value !== null).at(-1) ?? null;

export function showPlots(element, data) {
  const accepted = sum(data.accepted);
  const rejected = sum(data.rejected);
  const delivered = sum(data.delivered);
  const failed = sum(data.not_delivered);
  const p50 = last(data.p50_ms);
  const p95 = last(data.p95_ms);
  fill(element,
    card("Requests accepted", accepted.toLocaleString(), "", bars([data.accepted], ["good"]), `${plural(accepted, "request")} accepted in the last 5 minutes`),
    card("Requests rejected", rejected.toLocaleString(), "", bars([data.rejected], ["bad"]), `${plural(rejected, "request")} rejected in the last 5 minutes`),
    card("Attempts delivered", delivered.toLocaleString(), failed ? `+ ${failed.toLocaleString()} failed` : "",
      bars([data.delivered, data.not_delivered], ["good", "warn"]),
      `${plural(delivered, "attempt")} delivered and ${failed} failed in the last 5 minutes`),
    card("Time to delivery", p50 === null ? "–" : duration(p50), p95 === null ? "" : `p95 ${duration(p95)}`,
      lines([data.p95_ms, data.p50_ms], ["warn", "good"]),
      p50 === null ? "no delivery in the last 5 minutes" : `half of the deliveries within ${duration(p50)}, 95 percent within ${duration(p95)}`));
}
