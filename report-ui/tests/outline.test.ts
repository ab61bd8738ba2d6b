import assert from "node:assert/strict";
import { test } from "node:test";
import { Trace } from "../src/spans.ts";
import { activity } from "../src/timeline/outline.ts";
import { type MadeSpan, documentOf, random } from "./made.ts";

/** Return spans of the rows 1 and 2, the latter called by the former, some of them at once. */
function nested(seed: number, wall: number): MadeSpan[] {
  const next = random(seed);
  const times = (): [number, number] => {
    const [a, b] = [Math.floor(next() * wall), Math.floor(next() * wall)];
    return a <= b ? [a, b] : [b, a];
  };
  const spans: MadeSpan[] = [{ row: 0, lane: 0, start: 0, end: wall, parent: -1 }];
  for (let lane = 1; lane <= 3; lane++) {
    const [start, end] = times();
    spans.push({ row: 1, lane, start, end, parent: 0 });
  }
  for (let lane = 4; lane <= 9; lane++) {
    const [start, end] = times();
    spans.push({ row: 2, lane, start, end, parent: 1 + Math.floor(next() * 3) });
  }
  return spans;
}

test("what is active is what has no active child, counted at every moment", () => {
  const wall = 60;
  for (let seed = 0; seed < 100; seed++) {
    const spans = nested(seed, wall);
    const trace = new Trace(documentOf(spans, [-1, 0, 1], [[1], [1, 1, 1], [1, 1, 1, 1, 1, 1]], wall));
    const found = activity(trace, 0, wall, wall);
    for (let time = 0; time < wall; time++) {
      const isActive = (span: MadeSpan): boolean => span.start <= time && time + 1 <= span.end;
      const expected = spans.filter(
        (span, at) => at > 0 && isActive(span) && !spans.some((other) => other.parent === at && isActive(other)),
      ).length;
      assert.ok(Math.abs(found[time] - expected) < 1e-9, `${seed} ${time}: ${found[time]} ${expected}`);
    }
  }
});

test("parts of a stretch are averages", () => {
  const spans = [
    { row: 0, lane: 0, start: 0, end: 10, parent: -1 },
    { row: 1, lane: 1, start: 0, end: 5, parent: 0 },
  ];
  const trace = new Trace(documentOf(spans, [-1, 0], [[1], [1]], 10));
  assert.deepEqual([...activity(trace, 0, 10, 1)], [0.5]);
  assert.deepEqual([...activity(trace, 0, 20, 2)], [0.5, 0]);
});
