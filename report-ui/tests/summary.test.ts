import assert from "node:assert/strict";
import { test } from "node:test";
import type { Finding } from "../src/document.ts";
import { findingsTitle } from "../src/summary.ts";
import { documentOf } from "./made.ts";

function titleOf(...found: [kind: string, saving: number | string][]): string {
  const run = documentOf([{ row: 0, lane: 0, start: 0, end: 1, parent: -1 }], [-1], [[1]], 1);
  run.findings = found.map(
    ([kind, saving_ns]): Finding => ({ kind, saving_ns, saving: 0, node_id: null, phase: null, text: "" }) as Finding,
  );
  return findingsTitle(run);
}

test("findings are headed by what is in them", () => {
  assert.equal(titleOf(), "What would make it faster");
  assert.equal(titleOf(["failed", 0], ["bottleneck", "9007199254740993"]), "What would make it faster");
  assert.equal(titleOf(["failed", 0], ["slower_than_usual", 0]), "What went wrong");
  assert.equal(titleOf(["slower_than_usual", 0]), "What stands out");
});
