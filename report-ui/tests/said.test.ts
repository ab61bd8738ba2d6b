import assert from "node:assert/strict";
import { test } from "node:test";
import type { DetailColumns } from "../src/document.ts";
import { Said, exceptionOf, restOf } from "../src/said.ts";

/** Spans 2, 5 and 6 say something, 3 says nothing, of the others it is not in the page. */
const COLUMNS: DetailColumns = {
  texts: ["model", "GPT-4o", "exception", "exception.type", "ValueError", "exception.message", "bad row 7", "code", "12"],
  shapes: [[0], [], [3, 5, 7]],
  entries: [[0, 1], [1], [2, 4, 6, 8]],
  stacks: [[2, 4]],
  at: [2, 3, 1],
  entry: [0, 0, 1],
  message: { at: [6], text: [6] },
  event: { at: [5, 0], name: [2, 7], offset: [10, "20"], entry: [2, 1], stack: [0, -1] },
  more_events: { at: [5], count: [3] },
  nothing: [3],
  left_out: 4,
};

test("what a span says comes out of the columns as it went in", () => {
  const said = new Said(COLUMNS);
  assert.deepEqual(said.attributes(2), [["model", "GPT-4o"]]);
  assert.deepEqual(said.attributes(6), []);
  const [exception, other] = said.events(5);
  assert.deepEqual(exception, {
    name: "exception",
    offset: 10,
    attributes: [["exception.type", "ValueError"], ["exception.message", "bad row 7"], ["code", "12"]],
    stack: ["exception", "ValueError"],
  });
  assert.deepEqual(other, { name: "code", offset: "20", attributes: [], stack: [] });
  assert.equal(said.moreEvents(5), 3);
  assert.equal(said.moreEvents(2), 0);
});

test("what a span failed with is its exception, or else the message of its status", () => {
  const said = new Said(COLUMNS);
  assert.equal(said.failure(5), "ValueError: bad row 7");
  assert.equal(said.failure(6), "bad row 7");
  assert.equal(said.failure(2), null);
  const [exception, other] = said.events(5);
  assert.equal(exceptionOf(other), null);
  assert.deepEqual(restOf(exception), [["code", "12"]]);
});

test("what is not in the page is told from what says nothing", () => {
  const said = new Said(COLUMNS);
  assert.deepEqual([1, 2, 3, 5, 6, 7].filter((span) => said.isLeftOut(span)), [1, 7]);
  const whole = new Said({ ...COLUMNS, nothing: [], left_out: 0 });
  assert.equal(whole.isLeftOut(1), false);
});

test("spans are found by values and messages, and not by the names of those", () => {
  const said = new Said(COLUMNS);
  assert.deepEqual(said.find("gpt"), [2, 5]);
  assert.deepEqual(said.find("bad row"), [5, 6]);
  assert.deepEqual(said.find("12"), [5]);
  assert.deepEqual(said.find("model"), []);
  assert.deepEqual(said.find("exception.type"), []);
  assert.deepEqual(said.find("nothing like it"), []);
});
