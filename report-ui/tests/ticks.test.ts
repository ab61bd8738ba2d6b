import assert from "node:assert/strict";
import { test } from "node:test";
import { stepOf, tickText, ticks } from "../src/timeline/ticks.ts";
import { random } from "./made.ts";

const S = 1e9;

test("ticks are round, within the window, and not too many", () => {
  const next = random(1);
  for (let round = 0; round < 2_000; round++) {
    const from = Math.floor(next() ** 6 * 1e17);
    const to = from + 50 + Math.floor(next() ** 8 * 1e17);
    const most = 2 + Math.floor(next() * 20);
    const { step, at } = ticks(from, to, most);
    assert.ok(at.length <= most + 1, `${from} ${to} ${most}`);
    assert.ok(at.every((time) => time >= from && time <= to));
    assert.ok(at.every((time, number) => number === 0 || time > at[number - 1]));
    assert.equal(stepOf(step), step);
  }
});

test("steps are those that clocks have", () => {
  assert.equal(stepOf(0.2), 1);
  assert.equal(stepOf(3), 5);
  assert.equal(stepOf(11 * S), 15 * S);
  assert.equal(stepOf(61 * S), 120 * S);
  assert.equal(stepOf(86_401 * S), 2 * 86_400 * S);
});

test("what stands at two ticks is never the same, and in the order of time", () => {
  const next = random(2);
  for (let round = 0; round < 2_000; round++) {
    const from = Math.floor(next() ** 6 * 1e15);
    const to = from + 50 + Math.floor(next() ** 8 * 1e15);
    const { step, at } = ticks(from, to, 10);
    const texts = at.map((time) => tickText(time, step, to));
    assert.equal(new Set(texts).size, texts.length, texts.join(" "));
    assert.ok(texts.every((text) => !text.includes("NaN") && text.length < 24), texts.join(" "));
  }
});

test("times are written in the unit of the window, to the step", () => {
  assert.equal(tickText(0, 1, 10), "0");
  assert.equal(tickText(200e6, 100e6, S), "0.2s");
  assert.equal(tickText(303.2e9, 100e6, 304e9), "5m03.2s");
  assert.equal(tickText(70 * S, 10 * S, 70 * S), "1m10s");
  assert.equal(tickText(10 * S, 10 * S, 70 * S), "10s");
  assert.equal(tickText(3_600 * S, 600 * S, 7_200 * S), "1h00m");
  assert.equal(tickText(3 * 86_400 * S, 43_200 * S, 9 * 86_400 * S), "3d00h");
  assert.equal(tickText(1_500, 500, 5_000), "1.5µs");
  assert.equal(tickText(-20e6, 20e6, 100e6), "−20ms");
});
