/** What there is to say of an execution in a few words and numbers. */

import type { Finding, RunDocument } from "./document.ts";
import { el, mark } from "./dom.ts";
import { count, exact, grouped, human, money, percent } from "./format.ts";

const KINDS: Record<string, string> = {
  bottleneck: "bottleneck",
  sequential: "needless wait",
  repeated: "repeated",
  retries: "retries",
  gap: "gap",
  waiting: "waiting",
  failed: "failed",
  slower_than_usual: "slower than usual",
};

const STATUS: Record<string, string> = {
  ok: "✓",
  error: "✕",
  cancelled: "⊘",
  running: "▸",
  abandoned: "▸",
};

/** Return what an execution is called, and beside it its id where that is something else. */
export function titleOf(run: RunDocument): string {
  return run.name ?? run.exec_id;
}

/** Return how it ended, in a sign and a word. */
export function status(run: RunDocument): HTMLElement {
  return el(
    "span",
    { class: `status status-${run.status}` },
    el("span", { "aria-hidden": "true" }, STATUS[run.status] ?? "·"),
    ` ${run.status}`,
  );
}

/** Return the numbers of an execution. */
export function figures(run: RunDocument): HTMLElement {
  const { usage } = run;
  const tokens = usage.input_tokens + usage.output_tokens;
  const items: [string, string | Node, string?][] = [
    ["Duration", human(run.duration_ns), exact(run.duration_ns)],
    ["Status", status(run)],
    ["Started", el("time", { datetime: run.started }, run.started.replace("T", " "))],
    ["Spans", grouped(run.spans)],
    ["Nodes", grouped(run.nodes.length)],
    ["At once", `${significant(run.at_once.average)} avg, ${grouped(run.at_once.maximum)} max`],
    ["Errors", run.errors ? mark("error", run.errors) : "0"],
    ["Cancelled", run.cancelled ? mark("cancelled", run.cancelled) : ""],
    ["Not ended", run.open ? mark("open", run.open) : ""],
    ["Unattributed", percent(run.unattributed), exact(run.unattributed_ns)],
    ["Tokens", tokens ? `${grouped(usage.input_tokens)} in, ${grouped(usage.output_tokens)} out` : ""],
    ["Cost", money(usage.cost)],
  ];
  return el(
    "dl",
    { class: "figures" },
    ...items
      .filter(([, value]) => value !== "")
      .map(([name, value, title]) =>
        el("div", { "data-key": name }, el("dt", {}, name), el("dd", { title: title ?? null }, value)),
      ),
  );
}

/** Return what findings are about: without a saving among them, nothing is told to be faster. */
export function findingsTitle(run: RunDocument): string {
  const all = run.findings;
  if (all.length === 0 || all.some((one) => Number(one.saving_ns) > 0)) return "What would make it faster";
  return all.some((one) => one.kind === "failed") ? "What went wrong" : "What stands out";
}

/** Return the findings, the one that would save most first; `show` is called with one's place. */
export function findings(
  run: RunDocument,
  show: ((node: string, phase: string | null, isFailure: boolean) => void) | null,
): HTMLElement {
  if (run.findings.length === 0) return el("p", { class: "muted" }, "Nothing stands out.");
  return el(
    "ol",
    { class: "findings" },
    ...run.findings.map((one) => {
      const node = one.node_id;
      const isFailure = one.kind === "failed" || one.kind === "retries";
      return el(
        "li",
        {},
        el("span", { class: "saving", title: exact(one.saving_ns) }, saving(one)),
        el("span", { class: "tag" }, KINDS[one.kind] ?? one.kind),
        el(
          "span",
          { class: "sentence" },
          `${one.text}.`,
          show && node !== null
            ? el("button", { type: "button", class: "show", onclick: () => show(node, one.phase, isFailure) }, "Show")
            : null,
        ),
      );
    }),
  );
}

function saving(one: Finding): string {
  return Number(one.saving_ns) > 0 ? `−${human(one.saving_ns)}` : "";
}

/** Return what else there is to say: how it compares with what is usual, what its source tells. */
export function remarks(run: RunDocument): HTMLElement | null {
  const said = [...(run.usual !== null ? [run.usual] : []), ...run.notes];
  if (run.usage.unpriced > 0 && run.usage.cost !== null) {
    said.push(`no price is known for ${count(run.usage.unpriced, "token")}`);
  }
  if (said.length === 0) return null;
  return el("ul", { class: "remarks" }, ...said.map((text) => el("li", {}, text)));
}

function significant(number: number): string {
  return number >= 100 ? grouped(Math.round(number)) : `${Number(number.toPrecision(3))}`;
}
