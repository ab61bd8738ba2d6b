/**
 * The timeline on paper: a table with a row for each one that is seen.
 *
 * Pages break between its rows, and have the axis above them anew. Times are parts of its width,
 * whatever that is; the drawings in it are stretched.
 */

import { el, svg } from "../dom.ts";
import { count } from "../format.ts";
import { EXECUTION, NODE, type Trace } from "../spans.ts";
import { NODE_COLOURS } from "../theme.ts";
import { type Scale, bars, overlays } from "./culling.ts";
import type { Layout } from "./layout.ts";
import { tickText, ticks } from "./ticks.ts";
import type { Tree } from "./tree.ts";

const MOST_ROWS = 300;
/** What is to be told apart is worked out for so many units, about those of a page (px). */
const WIDTH = 500;
const MOST_TICKS = 6;
/** Rows are lower than on a screen. */
const HEIGHT = 0.78;
const INDENT = 9;
const DEEPEST = 8;

const SIGNS = { errors: "✕", cancelled: "⊘", open: "▸" } as const;

/** Return the rows that are seen, from a time to another one. */
export function paper(
  trace: Trace,
  tree: Tree,
  layout: Layout,
  from: number,
  to: number,
  folded: ReadonlySet<number>,
): Node[] {
  const shown = Math.min(layout.visible.length, MOST_ROWS);
  const scale: Scale = { from, to, left: 0, width: WIDTH };
  const over = overlays(trace, layout, 0, shown, 0, scale);
  const rows = layout.visible.slice(0, shown).map((row, place) => {
    const top = layout.tops[place];
    const height = layout.tops[place + 1] - top;
    const isThin = layout.strips(row).height < 8;
    const isNode = trace.rows.type[row] === NODE;
    const of = (rects: number[]): string => path(rects, top, height);
    const strip = el(
      "div",
      { class: "strip" },
      svg(
        "svg",
        { viewBox: `0 0 ${WIDTH} ${height}`, preserveAspectRatio: "none" },
        svg("path", { class: isNode && !isThin ? "of-node" : "of-phase", d: of(bars(trace, layout, row, top, scale)) }),
        svg("path", { class: "waiting", d: of(over.waiting[place]) }),
        svg("path", { class: "waits", d: hatching(over.waiting[place], top) }),
        svg("path", { class: isThin ? "brief" : "critical", d: of(over.critical[place]) }),
        svg("path", { class: "brief", d: of(over.brief[place]) }),
        svg("path", { class: "hatched", d: isThin ? "" : hatching(over.critical[place], top) }),
      ),
    );
    for (const kind of ["errors", "cancelled", "open"] as const) {
      const places = over[kind][place];
      for (let at = 0; at < places.length; at += 4) {
        const sign = el("span", { class: `sign sign-${kind}`, "aria-hidden": "true" }, SIGNS[kind]);
        sign.style.left = percent(places[at]);
        sign.style.top = `${(places[at + 1] + places[at + 3] / 2 - top) * HEIGHT}px`;
        strip.append(sign);
      }
    }
    strip.style.height = `${height * HEIGHT}px`;
    strip.style.setProperty("--of", colourOf(trace, row));
    const label = el("div", { class: "named" }, ...tree.content(row, folded.has(row)));
    label.style.paddingInlineStart = `${Math.min(trace.rows.depth[row], DEEPEST) * INDENT}px`;
    const kind = trace.rows.type[row] === NODE || trace.rows.type[row] === EXECUTION ? "strong" : null;
    return el("tr", { class: kind }, el("th", { scope: "row" }, label), el("td", {}, strip));
  });
  const left = layout.visible.length - shown;
  return [
    el(
      "table",
      {},
      el("thead", {}, el("tr", {}, el("th", {}), el("th", {}, axis(from, to)))),
      el("tbody", {}, ...rows),
    ),
    ...(left > 0 ? [el("p", { class: "muted small" }, `${count(left, "more row")} are left out.`)] : []),
  ];
}

function axis(from: number, to: number): HTMLElement {
  const { step, at } = ticks(from, to, MOST_TICKS);
  const labels = at.map((time) => {
    const label = el("span", { class: "tick" }, tickText(time, step, to));
    const part = (time - from) / (to - from);
    label.style.left = `${part * 100}%`;
    // At the ends they are within: the paper is cut off there.
    label.style.translate = part < 0.03 ? "0" : part > 0.97 ? "-100%" : "-50%";
    return label;
  });
  return el("div", { class: "axis" }, ...labels);
}

/** Return rectangles as a path, those that stick out of the width cut. */
function path(rects: number[], top: number, height: number): string {
  let text = "";
  for (let at = 0; at < rects.length; at += 4) {
    const [left, right] = [Math.max(0, rects[at]), Math.min(WIDTH, rects[at] + rects[at + 2])];
    const [from, to] = [rects[at + 1] - top, Math.min(height, rects[at + 1] - top + rects[at + 3])];
    if (right > left) text += `M${short(left)} ${short(from)}H${short(right)}V${short(to)}H${short(left)}Z`;
  }
  return text;
}

/** Return lines across rectangles, which printers draw as they are and patterns they do not. */
function hatching(rects: number[], top: number): string {
  const distance = 5;
  let text = "";
  for (let at = 0; at < rects.length; at += 4) {
    const [left, right] = [Math.max(0, rects[at]), Math.min(WIDTH, rects[at] + rects[at + 2])];
    const [y, height] = [rects[at + 1] - top, rects[at + 3]];
    const first = Math.ceil((left + 1) / distance) * distance;
    for (let x = first; x < right + height; x += distance) {
      const [a, b] = [Math.max(left, x - height), Math.min(right, x)];
      if (b > a) text += `M${short(b)} ${short(y + x - b)}L${short(a)} ${short(y + x - a)}`;
    }
  }
  return text;
}

function short(number: number): string {
  return String(Math.round(number * 100) / 100);
}

function percent(x: number): string {
  return `${(Math.min(WIDTH, Math.max(0, x)) / WIDTH) * 100}%`;
}

/** Return the colour of a row, as the style sheet has it. */
export function colourOf(trace: Trace, row: number): string {
  const { rows } = trace;
  if (rows.type[row] === EXECUTION || rows.colour[row] < 0) return "var(--whole)";
  return `var(--node-${rows.colour[row] % NODE_COLOURS})`;
}
