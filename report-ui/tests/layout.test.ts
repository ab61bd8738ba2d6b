import assert from "node:assert/strict";
import { test } from "node:test";
import { Trace } from "../src/spans.ts";
import { icicle } from "../src/flame/layout.ts";
import { Layout } from "../src/timeline/layout.ts";
import { documentOf } from "./made.ts";

const PARENTS = [-1, 0, 1, 2, 1, 0, 5];

function trace(): Trace {
  const spans = PARENTS.map((parent, row) => ({ row, lane: row, start: 0, end: 10, parent }));
  const run = documentOf(spans, PARENTS, PARENTS.map(() => [1]), 10);
  run.rows.self_ns = [100, 1, 2, 4, 8, 16, 32];
  return new Trace(run);
}

test("what is below a folded row is not seen, and stands for it", () => {
  const { rows } = trace();
  const layout = new Layout(rows, new Set([1]));
  assert.deepEqual(layout.visible, [0, 1, 5, 6]);
  assert.deepEqual([...layout.placeOf], [0, 1, 1, 1, 1, 2, 3]);
});

test("a height is that of the row it is in", () => {
  const layout = new Layout(trace().rows, new Set());
  for (let place = 0; place < layout.visible.length; place++) {
    assert.equal(layout.placeAt(layout.tops[place]), place);
    assert.equal(layout.placeAt(layout.tops[place + 1] - 0.5), place);
  }
  assert.equal(layout.placeAt(layout.height), -1);
  assert.equal(layout.placeAt(-1), -1);
});

test("a block is as wide as its own time and all blocks below it, side by side within it", () => {
  const of = trace();
  const { left, width, own, whole, depth } = icicle(of);
  assert.deepEqual([...width], [63, 15, 6, 4, 8, 48, 32]);
  assert.equal(own[0], 0, "what no node or phase covers is nobody's");
  assert.equal(whole, 63);
  assert.equal(depth, 3);
  for (let row = 1; row < PARENTS.length; row++) {
    const parent = PARENTS[row];
    assert.ok(left[row] >= left[parent]);
    assert.ok(left[row] + width[row] <= left[parent] + width[parent] - own[parent]);
  }
  assert.ok(left[5] < left[1], "the widest comes first");
});
