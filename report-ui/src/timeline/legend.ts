/** What the signs of the timeline stand for, and which keys there are. */

import { el } from "../dom.ts";

const KEYS: [string, string][] = [
  ["↑ ↓", "row"],
  [", .", "call"],
  ["← →", "fold"],
  ["⇧ ← →", "move in time"],
  ["+ −", "zoom"],
  ["Enter", "zoom to the call"],
  ["Home", "whole run"],
  ["/", "find"],
  ["Esc", "back"],
];
const MOUSE =
  "Wheel zooms, dragging zooms to a stretch, Shift and dragging moves, a double click zooms to a span. "
  + "Spans too close to tell apart are drawn as one.";

export function legend(): HTMLElement {
  return el(
    "div",
    { class: "legend" },
    el("span", { class: "key-critical" }, "critical path"),
    el("span", { class: "key-waiting" }, "waiting, though all it depends on was done"),
    el("span", {}, el("b", { class: "error" }, "✕"), " failed"),
    el("span", {}, el("b", {}, "⊘"), " cancelled"),
    el("span", {}, el("b", {}, "▸"), " not ended"),
    el(
      "details",
      {},
      el("summary", {}, "Keys and mouse"),
      el("p", { class: "keys" }, ...KEYS.flatMap(([key, what]) => [el("kbd", {}, key), ` ${what} `])),
      el("p", {}, MOUSE),
    ),
  );
}
