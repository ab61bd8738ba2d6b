import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { changed, exact, grouped, human, money, percent, signed } from "../src/format.ts";

test("durations are written the very same as phasetrace.rendering has them", () => {
  const known = JSON.parse(readFileSync(join(import.meta.dirname, "durations.json"), "utf8"));
  assert.ok(known.length > 300);
  for (const [ns, text] of known) {
    assert.equal(human(ns), text, ns);
    if (Number.isSafeInteger(Number(ns))) assert.equal(human(Number(ns)), text, ns);
  }
});

test("numbers have separators, whatever their size", () => {
  assert.equal(grouped(0), "0");
  assert.equal(grouped(-1234), "-1,234");
  assert.equal(exact("9007199254740993"), "9,007,199,254,740,993 ns");
});

test("parts, changes and costs are written as in a terminal", () => {
  assert.equal(percent(0.29476), "29.5%");
  assert.equal(changed(0.5), "+50.0%");
  assert.equal(changed(-0.1), "−10.0%");
  assert.equal(changed(11.34), "×12.3");
  assert.equal(signed(1_500_000), "+1.50ms");
  assert.equal(signed(-1_500_000), "−1.50ms");
  assert.equal(money(null), "");
  assert.equal(money(0.0301), "0.0301");
  assert.equal(money(1234.5), "1234.50");
});
