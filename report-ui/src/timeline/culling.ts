/**
 * What is to be drawn of the spans in a stretch of time, as rectangles in pixels.
 *
 * What is too close to be told apart is one rectangle, and found by bisection: drawing takes time by
 * the number of pixels, not by the number of spans. Nothing is so short that it is not seen.
 */

import type { Trace } from "../spans.ts";
import type { Layout } from "./layout.ts";

/** A stretch of time, and where it is drawn. */
export interface Scale {
  from: number;
  to: number;
  left: number;
  width: number;
}

/** Spans in lanes, in which they follow each other. */
export interface Bars {
  /** The spans of lane `l` are those from `spans[l]` to `spans[l + 1]`. */
  readonly rows: { readonly spans: ArrayLike<number> };
  readonly start: ArrayLike<number>;
  readonly end: ArrayLike<number>;
  firstEnding(lane: number, time: number): number;
}

export const LEAST_WIDTH = 1;
const APART = 4;
const MARGIN = 1;
/** Nothing is drawn further out than this (px): what goes on is open at the edge, not cut off. */
const BEYOND = 4;

export function x(scale: Scale, time: number): number {
  const at = ((time - scale.from) / (scale.to - scale.from)) * scale.width;
  return scale.left + Math.min(scale.width + BEYOND, Math.max(-BEYOND, at));
}

/** Return the bars of a row, four numbers each: left, top, width, height. */
export function bars(trace: Bars, layout: Layout, row: number, top: number, scale: Scale): number[] {
  const rects: number[] = [];
  const strips = layout.strips(row);
  const pixel = (scale.to - scale.from) / scale.width;
  for (let strip = 0; strip < strips.count; strip++) {
    const [from, past] = layout.lanesIn(row, strip);
    const y = top + strips.top + strip * strips.height + (strips.height - strips.bar) / 2;
    if (past - from > 1) {
      together(trace, from, past, scale, (left, width) => rects.push(left, y, width, strips.bar));
      continue;
    }
    if (past > from) lane(trace, from, scale, pixel, (left, width) => rects.push(left, y, width, strips.bar));
  }
  return rects;
}

function lane(
  trace: Bars,
  number: number,
  scale: Scale,
  pixel: number,
  put: (left: number, width: number) => void,
): void {
  const past = trace.rows.spans[number + 1];
  let span = trace.firstEnding(number, scale.from);
  let [left, right] = [NaN, NaN];
  while (span < past && trace.start[span] <= scale.to) {
    const start = x(scale, trace.start[span]);
    const end = Math.max(x(scale, trace.end[span]), start + LEAST_WIDTH);
    if (end - start >= APART) {
      // Wide enough to be told apart from what follows without a gap.
      if (right > left) put(left, Math.min(right, start) - left);
      put(start, end - start - MARGIN);
      [left, right] = [NaN, end];
    } else if (start <= right + 0.5 && right > left) {
      right = Math.max(right, end);
    } else {
      if (right > left) put(left, right - left);
      [left, right] = [start, end];
    }
    // What ends within the pixel that is drawn already adds nothing.
    const drawn = scale.from + (right - scale.left - 0.5) * pixel;
    span = trace.end[span + 1] < drawn ? Math.max(span + 1, trace.firstEnding(number, drawn)) : span + 1;
  }
  if (right > left) put(left, right - left);
}

/** Draw lanes that share a strip. */
function together(
  trace: Bars,
  from: number,
  past: number,
  scale: Scale,
  put: (left: number, width: number) => void,
): void {
  const pixels = new Uint8Array(Math.ceil(scale.width) + 1);
  const pixel = (scale.to - scale.from) / scale.width;
  for (let number = from; number < past; number++) {
    lane(trace, number, scale, pixel, (left, width) => {
      const first = Math.max(0, Math.floor(left - scale.left));
      pixels.fill(1, first, Math.max(first + 1, Math.ceil(left + width - scale.left)));
    });
  }
  for (const [left, right] of runs(pixels)) put(scale.left + left, right - left);
}

/** Return the stretches of pixels that are set: from, to. */
export function runs(pixels: Uint8Array): [number, number][] {
  const found: [number, number][] = [];
  for (let start = pixels.indexOf(1); start >= 0; ) {
    const end = pixels.indexOf(0, start);
    found.push([start, end < 0 ? pixels.length : end]);
    start = end < 0 ? -1 : pixels.indexOf(1, end);
  }
  return found;
}

/** What is drawn upon the bars of the visible rows, by the place of each. */
export interface Overlays {
  critical: number[][];
  /** Stretches of the critical path too short for an outline: the lower edges of their bars. */
  brief: number[][];
  waiting: number[][];
  errors: number[][];
  cancelled: number[][];
  open: number[][];
  /** Lines that join the stretches of the critical path; empty where they are too many. */
  chain: number[];
}

const MOST_LINKS = 60;
const MARK_SPACE = 9;

/** Return what is drawn upon the visible rows `first` to `past`. */
export function overlays(
  trace: Trace,
  layout: Layout,
  first: number,
  past: number,
  offset: number,
  scale: Scale,
): Overlays {
  const empty = (): number[][] => Array.from({ length: past - first }, () => []);
  const result: Overlays = {
    critical: empty(),
    brief: empty(),
    waiting: empty(),
    errors: empty(),
    cancelled: empty(),
    open: empty(),
    chain: [],
  };
  path(trace, layout, first, past, offset, scale, result);
  marks(trace, layout, first, past, offset, scale, result);
  return result;
}

/** Return the span of a visible row that a span is seen in: itself, or one it was called by. */
export function seenIn(trace: Trace, layout: Layout, span: number): number {
  const row = layout.visible[layout.placeOf[trace.row[span]]];
  let at = span;
  while (at >= 0 && trace.row[at] !== row) at = trace.parent[at];
  return at;
}

function path(
  trace: Trace,
  layout: Layout,
  first: number,
  past: number,
  offset: number,
  scale: Scale,
  result: Overlays,
): void {
  const { owner, start, end, waiting } = trace.path;
  let at = firstAfter(end, scale.from);
  const lastRight = new Float64Array(past - first).fill(-Infinity);
  const lastTop = new Float64Array(past - first).fill(-1);
  let links = 0;
  let [linkX, linkY] = [NaN, NaN];
  for (; at < owner.length && start[at] <= scale.to; at++) {
    const of = waiting[at] >= 0 ? waiting[at] : owner[at];
    if (of < 0) continue;
    const place = layout.placeOf[trace.row[of]];
    const seen = seenIn(trace, layout, of);
    if (seen < 0) continue;
    const row = layout.visible[place];
    const top = layout.tops[place] - offset + layout.laneTop(row, trace.lane[seen]);
    const height = layout.strips(row).bar;
    const left = x(scale, start[at]);
    const right = Math.max(x(scale, end[at]), left + LEAST_WIDTH);
    const middle = top + height / 2;
    if (links++ < MOST_LINKS && linkY !== middle && !Number.isNaN(linkY)) {
      result.chain.push(linkX, linkY, left, middle);
    }
    [linkX, linkY] = [right, middle];
    if (place < first || place >= past) continue;
    const number = place - first;
    if (right - lastRight[number] < 0.5 && lastTop[number] === top && waiting[at] < 0) continue;
    lastRight[number] = right;
    lastTop[number] = top;
    const width = right - left;
    if (waiting[at] >= 0) result.waiting[number].push(left, top, width, height);
    else if (width >= APART) result.critical[number].push(left, top, width, height);
    else result.brief[number].push(left, top + height - Math.min(3, height / 2), width, Math.min(3, height / 2));
  }
  if (links > MOST_LINKS) result.chain = [];
}

function marks(
  trace: Trace,
  layout: Layout,
  first: number,
  past: number,
  offset: number,
  scale: Scale,
  result: Overlays,
): void {
  const from = layout.visible[first];
  const to = past < layout.visible.length ? layout.visible[past] : trace.rows.count;
  const { marked } = trace;
  // Spans stand in the order of the rows, so that those of some rows are next to each other.
  let at = firstAfter(marked, trace.rows.spans[trace.rows.lanes[from]] - 0.5);
  const until = trace.rows.spans[trace.rows.lanes[to]];
  let [lastPlace, lastTop, lastX] = [-1, -1, -Infinity];
  for (; at < marked.length && marked[at] < until; at++) {
    const span = marked[at];
    if (trace.end[span] < scale.from || trace.end[span] > scale.to) continue;
    const seen = seenIn(trace, layout, span);
    if (seen < 0) continue;
    const place = layout.placeOf[trace.row[span]];
    const row = layout.visible[place];
    const top = layout.tops[place] - offset + layout.laneTop(row, trace.lane[seen]);
    const right = x(scale, trace.end[span]);
    if (place === lastPlace && top === lastTop && Math.abs(right - lastX) < MARK_SPACE) continue;
    [lastPlace, lastTop, lastX] = [place, top, right];
    const status = trace.status[span];
    const kind = status & 4 ? result.open : status & 1 ? result.errors : result.cancelled;
    kind[place - first]?.push(right, top, 0, layout.strips(row).bar);
  }
}

/** Return the first place of ascending numbers at which they are above a number. */
export function firstAfter(numbers: ArrayLike<number>, above: number): number {
  let [low, high] = [0, numbers.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (numbers[middle] <= above) low = middle + 1;
    else high = middle;
  }
  return low;
}
