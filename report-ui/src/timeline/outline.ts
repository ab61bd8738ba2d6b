/** How many spans were active at each time, drawn behind the slider that chooses what is shown. */

import { el, svg } from "../dom.ts";
import type { Trace } from "../spans.ts";

const STEPS = 240;
const HEIGHT = 100;
/** A single span beside many is still seen. */
const LEAST = 12;
const NEXT_TO_NOTHING = 0.001;

/**
 * Return how many spans are active in each of so many parts of a stretch of time, on average.
 *
 * Counted are those with no active child just then, the whole execution left out, as in "at once".
 */
export function activity(trace: Trace, from: number, to: number, parts: number): Float64Array {
  const active = new Float64Array(parts);
  const length = (to - from) / parts;
  const add = (start: number, end: number, sign: number): void => {
    const [a, b] = [Math.max(0, (start - from) / length), Math.min(parts, (end - from) / length)];
    for (let at = Math.floor(a); at < b; at++) active[at] += sign * (Math.min(b, at + 1) - Math.max(a, at));
  };
  const order = Uint32Array.from({ length: trace.count }, (_, span) => span);
  order.sort((one, other) => trace.start[one] - trace.start[other]);
  // What children cover of each span, up to where they have been added.
  const covered = new Float64Array(trace.count).fill(-Infinity);
  for (const span of order) {
    if (trace.row[span] === 0) continue;
    const [start, end, parent] = [trace.start[span], trace.end[span], trace.parent[span]];
    add(start, end, 1);
    if (parent < 0 || trace.row[parent] === 0) continue;
    const since = Math.max(start, covered[parent], trace.start[parent]);
    const until = Math.min(end, trace.end[parent]);
    if (until > since) add(since, until, -1);
    if (end > covered[parent]) covered[parent] = end;
  }
  return active;
}

/** Return the outline of an execution, over a stretch of time. */
export function outline(trace: Trace, from: number, to: number): HTMLElement {
  const active = activity(trace, from, to, STEPS);
  const most = active.reduce((one, other) => Math.max(one, other), 0) || 1;
  let path = `M0 ${HEIGHT}`;
  active.forEach((number, at) => {
    const height = number > NEXT_TO_NOTHING ? Math.max(LEAST, (HEIGHT * number) / most) : 0;
    path += `V${Math.round(HEIGHT - height)}H${at + 1}`;
  });
  const drawing = svg("svg", { viewBox: `0 0 ${STEPS} ${HEIGHT}`, preserveAspectRatio: "none" }, svg("path", { d: `${path}V${HEIGHT}Z` }));
  return el("div", { class: "outline", "aria-hidden": "true" }, drawing);
}
