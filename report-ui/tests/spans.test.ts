import assert from "node:assert/strict";
import { test } from "node:test";
import { Trace } from "../src/spans.ts";
import { documentOf, lanes } from "./made.ts";

test("spans come out of the columns as they went in", () => {
  for (let seed = 0; seed < 50; seed++) {
    const [run, spans] = lanes([5, 1, 8], seed);
    const trace = new Trace(run);
    assert.equal(trace.count, spans.length);
    spans.forEach((span, at) => {
      assert.equal(trace.start[at], span.start);
      assert.equal(trace.end[at], span.end);
      assert.equal(trace.row[at], span.row);
      assert.equal(trace.lane[at], span.lane);
      assert.equal(trace.parent[at], span.parent);
    });
  }
});

test("the nearest span is that of a search through all of them", () => {
  for (let seed = 0; seed < 50; seed++) {
    const [run, spans] = lanes([4, 7], seed, 200);
    const trace = new Trace(run);
    const distance = (at: number, time: number): number =>
      Math.max(spans[at].start - time, time - spans[at].end, 0);
    for (let time = -5; time < 210; time += 3) {
      const found = trace.nearest(1, time);
      const best = Math.min(...[...spans.keys()].slice(1).map((at) => distance(at, time)));
      assert.equal(distance(found, time), best);
    }
  }
});

test("from neighbour to neighbour one comes by all spans of a row, there and back", () => {
  for (let seed = 0; seed < 50; seed++) {
    const [run, spans] = lanes([6, 3, 5], seed, 60);
    const trace = new Trace(run);
    const inOrder = [...spans.keys()]
      .filter((at) => at > 0)
      .sort((one, other) => spans[one].start - spans[other].start || one - other);
    const walked = [inOrder[0]];
    for (let at = inOrder[0]; (at = trace.neighbour(at, 1)) >= 0; ) walked.push(at);
    assert.deepEqual(walked, inOrder);
    const back = [inOrder[inOrder.length - 1]];
    for (let at = back[0]; (at = trace.neighbour(at, -1)) >= 0; ) back.push(at);
    assert.deepEqual(back.reverse(), inOrder);
  }
});

test("what a row has of failures is that of all rows below it", () => {
  const spans = [
    { row: 0, lane: 0, start: 0, end: 9, parent: -1 },
    { row: 1, lane: 1, start: 0, end: 9, parent: 0 },
    { row: 2, lane: 2, start: 1, end: 2, parent: 1 },
    { row: 2, lane: 2, start: 3, end: 4, parent: 1 },
    { row: 3, lane: 3, start: 3, end: 4, parent: 0 },
  ];
  const run = documentOf(spans, [-1, 0, 1, 0], [[1], [1], [2], [1]], 9);
  run.span_columns.error = [2, 1];
  run.span_columns.cancelled = [4];
  const { rows } = new Trace(run);
  assert.deepEqual([...rows.errors], [2, 2, 2, 0]);
  assert.deepEqual([...rows.cancelled], [1, 0, 0, 1]);
  assert.deepEqual([...rows.end], [4, 3, 3, 4]);
});

test("no digit is lost of a length that a number cannot hold", () => {
  const run = documentOf([{ row: 0, lane: 0, start: 0, end: 0, parent: -1 }], [-1], [[1]], 1);
  run.span_columns.length = ["9007199254740993"];
  assert.equal(new Trace(run).length[0], "9007199254740993");
});
