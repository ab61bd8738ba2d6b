import assert from "node:assert/strict";
import { test } from "node:test";
import { Trace } from "../src/spans.ts";
import { bars, runs } from "../src/timeline/culling.ts";
import { Layout } from "../src/timeline/layout.ts";
import { lanes, random } from "./made.ts";

const WIDTH = 400;

/** Return the pixels that are covered, strip by strip. */
function covered(rects: number[], left: number): Map<number, Uint8Array> {
  const found = new Map<number, Uint8Array>();
  for (let at = 0; at < rects.length; at += 4) {
    const pixels = found.get(rects[at + 1]) ?? new Uint8Array(WIDTH);
    found.set(rects[at + 1], pixels);
    const [from, to] = [rects[at] - left, rects[at] - left + rects[at + 2]];
    for (let x = Math.max(0, Math.ceil(from - 0.5)); x + 0.5 < to && x < WIDTH; x++) pixels[x] = 1;
  }
  return found;
}

test("every span in the window is drawn, and nothing where there is none", () => {
  const next = random(3);
  for (let seed = 0; seed < 200; seed++) {
    const counts = Array.from({ length: 1 + Math.floor(next() * 4) }, () => 1 + Math.floor(next() * 300));
    const [run, spans] = lanes(counts, seed);
    const trace = new Trace(run);
    const layout = new Layout(trace.rows, new Set());
    const from = Math.floor(next() * 900_000);
    const to = from + 100 + Math.floor(next() ** 3 * 1_000_000);
    const scale = { from, to, left: 10, width: WIDTH };
    const rects = bars(trace, layout, 1, 0, scale);
    const at = (time: number): number => ((time - from) / (to - from)) * WIDTH;
    const tops = [...new Set(rects.filter((_, number) => number % 4 === 1))];
    assert.ok(tops.length <= counts.length);
    for (let lane = 1; lane <= counts.length; lane++) {
      const top = layout.laneTop(1, lane);
      const own = rects
        .map((_, number) => number)
        .filter((number) => number % 4 === 0 && Math.abs(rects[number + 1] - top) < 1e-6)
        .map((number) => [rects[number] - 10, rects[number] - 10 + rects[number + 2]]);
      for (const span of spans) {
        if (span.lane !== lane || span.end < from || span.start > to) continue;
        // A pixel goes between what is wide enough to be told apart.
        const [left, right] = [Math.max(at(span.start), 0), Math.min(at(span.end), WIDTH)];
        const isSeen = own.some(([x, end]) => x <= left + 1.6 && end >= right - 1.6);
        assert.ok(isSeen, `${seed}: ${left} to ${right} is not in ${JSON.stringify(own)}`);
      }
      for (const [x, end] of own) {
        const middle = (x + end) / 2;
        const isNear = spans.some(
          (span) => span.lane === lane && at(span.start) - 1.6 <= middle && at(span.end) + 1.6 >= middle,
        );
        assert.ok(isNear, `${seed}: nothing is at ${middle}`);
      }
    }
  }
});

test("there are never more bars than there is room for", () => {
  const [run] = lanes([20_000, 20_000], 4);
  const trace = new Trace(run);
  const layout = new Layout(trace.rows, new Set());
  const rects = bars(trace, layout, 1, 0, { from: 0, to: 1_000_000, left: 0, width: WIDTH });
  assert.ok(rects.length / 4 <= 2 * WIDTH);
});

test("of more lanes than there is room for, some share a strip, and none is left out", () => {
  const counts = Array.from({ length: 1_003 }, () => 2);
  const [run, spans] = lanes(counts, 5);
  const trace = new Trace(run);
  const layout = new Layout(trace.rows, new Set());
  assert.ok(layout.heightOf(1) < 140);
  const strips = layout.strips(1);
  const seen = [];
  for (let strip = 0; strip < strips.count; strip++) {
    const [from, to] = layout.lanesIn(1, strip);
    for (let lane = from; lane < to; lane++) {
      assert.equal(layout.strip(1, lane), strip);
      seen.push(lane);
    }
  }
  assert.deepEqual(seen, counts.map((_, lane) => lane + 1));
  const rects = bars(trace, layout, 1, 0, { from: 0, to: 1_000_000, left: 0, width: WIDTH });
  const pixels = covered(rects, 0);
  for (const span of spans.slice(1)) {
    const strip = layout.strip(1, span.lane);
    const top = strips.top + strip * strips.height + (strips.height - strips.bar) / 2;
    const x = Math.min(WIDTH - 1, Math.floor((span.start / 1_000_000) * WIDTH));
    assert.equal(pixels.get(top)?.[x], 1);
  }
});

test("stretches of pixels are those that are set", () => {
  assert.deepEqual(runs(Uint8Array.from([1, 1, 0, 0, 1])), [[0, 2], [4, 5]]);
  assert.deepEqual(runs(Uint8Array.from([0, 1, 0])), [[1, 2]]);
  assert.deepEqual(runs(new Uint8Array(3)), []);
});
