import assert from "node:assert/strict";
import { test } from "node:test";
import { Trace } from "../src/spans.ts";
import { bars } from "../src/timeline/culling.ts";
import { Layout } from "../src/timeline/layout.ts";
import { find, nextOf, placeOf } from "../src/timeline/search.ts";
import { standing } from "../src/timeline/standing.ts";
import { Subset, onCriticalPath } from "../src/timeline/subset.ts";
import { documentOf, lanes, random } from "./made.ts";

const SCALE = { from: 0, to: 1_000, left: 0, width: 10_000 };

test("of some spans the bars are those of a run that has no others", () => {
  for (let seed = 0; seed < 40; seed++) {
    const [run, spans] = lanes([6, 1, 4], seed, 1_000);
    const trace = new Trace(run);
    const layout = new Layout(trace.rows, new Set());
    const next = random(seed);
    const chosen = [...spans.keys()].filter((at) => at > 0 && next() < 0.5);
    const counts = [1, 2, 3].map((lane) => chosen.filter((at) => spans[at].lane === lane).length);
    const alone = new Trace(documentOf([spans[0], ...chosen.map((at) => spans[at])], [-1, 0], [[1], counts], 1_000));
    assert.deepEqual(
      bars(new Subset(trace, chosen), layout, 1, 0, SCALE),
      bars(alone, new Layout(alone.rows, new Set()), 1, 0, SCALE),
    );
  }
});

/** A node with a phase that was called three times, twice in vain, and another node. */
function made(): Trace {
  const run = documentOf(
    [
      { row: 0, lane: 0, start: 0, end: 100, parent: -1 },
      { row: 1, lane: 1, start: 0, end: 60, parent: 0 },
      { row: 2, lane: 2, start: 0, end: 20, parent: 1 },
      { row: 2, lane: 2, start: 20, end: 40, parent: 1 },
      { row: 2, lane: 2, start: 40, end: 60, parent: 1 },
      { row: 3, lane: 3, start: 60, end: 100, parent: 0 },
    ],
    [-1, 0, 1, 0],
    [[1], [1], [3], [1]],
    100,
  );
  run.names = ["run", "a", "p", "b", "gpt"];
  run.rows.type = ["e", "n", "p", "n"];
  run.rows.node = [-1, 1, 1, 3];
  run.span_columns.error = [2, 2];
  run.span_columns.usage = { at: [3], input: [1], output: [1], cost: [null], model: [4] };
  run.path = { owner: [4, 1], length: [60, 40], wait: [], waiting: [] };
  run.details = {
    ...run.details,
    texts: ["prompt", "hello there", "bye"],
    shapes: [[0]],
    entries: [[0, 1], [0, 2]],
    at: [2, 3],
    entry: [0, 1],
  };
  return new Trace(run);
}

test("on the critical path is what owns some of it, and what that is within", () => {
  assert.deepEqual(onCriticalPath(made()), [0, 1, 4, 5]);
});

test("of a finding about failures only what failed is meant", () => {
  const trace = made();
  const failed = placeOf(trace, "a", "p", true);
  assert.deepEqual([[...failed.rows], [...failed.spans], failed.calls], [[2], [[2, [2, 4]]], 2]);
  const all = placeOf(trace, "a", "p", false);
  assert.deepEqual([[...all.rows], all.spans.size, all.calls], [[2], 0, 3]);
  const none = placeOf(trace, "b", null, true);
  assert.deepEqual([[...none.rows], none.spans.size], [[3], 0]);
});

test("rows are found by their names, spans by what they say and by their models", () => {
  const trace = made();
  const by = (text: string): unknown => {
    const found = find(trace, text);
    return found && [[...found.rows], [...found.spans], found.calls];
  };
  assert.deepEqual(by("hello"), [[2], [[2, [2]]], 1]);
  assert.deepEqual(by("GPT"), [[2], [[2, [3]]], 1]);
  assert.deepEqual(by("b"), [[3], [], 1]);
  assert.deepEqual(by("by"), [[3], [[3, [5]]], 1]);
  assert.deepEqual(by("a / p"), [[2], [], 3]);
  assert.equal(by("  "), null);
});

test("from what is found one goes to the next, round and round", () => {
  const trace = made();
  const found = { rows: new Set([2, 3]), spans: new Map([[2, [2, 4]]]), span: -1, calls: 3 };
  let at = { row: 0, span: 0 };
  const walk = (step: 1 | -1): number[] =>
    [0, 1, 2, 3].map(() => (at = nextOf(trace, found, step, at.row, at.span, 0) ?? at).span);
  assert.deepEqual(walk(1), [2, 4, 5, 2]);
  assert.deepEqual(walk(-1), [5, 4, 2, 5]);
  assert.equal(nextOf(trace, { ...found, rows: new Set() }, 1, 0, 0, 0), null);
});

test("what is folded away is seen in what called it", () => {
  const trace = made();
  const failed = placeOf(trace, "a", "p", true);
  const unfolded = standing(trace, new Layout(trace.rows, new Set()), failed);
  assert.deepEqual([[...unfolded.rows], [...unfolded.partly]], [[2], [2]]);
  assert.deepEqual([...unfolded.spans.start], [0, 40]);
  const folded = standing(trace, new Layout(trace.rows, new Set([1])), failed);
  assert.deepEqual([[...folded.rows], [...folded.partly]], [[1], [1]]);
  assert.deepEqual([...folded.spans.start], [0]);
});

test("how long a row has been open is how long the longest of its spans has", () => {
  const trace = made();
  assert.equal(trace.longest(2), 20);
  assert.equal(trace.longest(0), 100);
});
