/** Two executions side by side, and a row for each phase that differs. */

import type { Diff, DiffFigures, DiffRow, Figures, Ns, ReportDocument, RunDocument } from "./document.ts";
import { el, mark } from "./dom.ts";
import { exact, grouped, human, money, percent, signed } from "./format.ts";
import { figures, findings, titleOf } from "./summary.ts";
import { type Column, SortableTable } from "./table.ts";

/** What the other parts of the document know of a row on one side. */
interface Uses {
  tokens: number;
  cost: number | null;
  errors: number;
}

interface Row extends DiffRow {
  label: string;
  /** Of what adds up others, whose changes have no bars: the largest would dwarf all. */
  isSum: boolean;
  uses: { a: Uses; b: Uses };
}

const NOTE =
  "A bar to the right is time more than in A, one to the left is time less; rows come by the size of the"
  + " change, whichever way. % is the change as a part of A's self time: – where A has next to none, added"
  + " and removed where only B or only A has the row.";

/** Return the comparison of a page's execution with the other one; `show` finds a place in it. */
export function comparison(
  report: ReportDocument & { diff: Diff },
  show: (node: string, phase: string | null) => void,
): HTMLElement {
  const { diff } = report;
  const [run, other] = report.runs;
  const rows = diff.rows.map((row) => rowOf(row, run, other));
  const small = rows.filter((row) => row.is_small);
  const last = [rowOf(diff.unattributed, run, other), allOf(diff, rows, run, other), wholeOf(diff, run, other)];
  const table = new SortableTable<Row>({
    caption: "What takes longer, and what less",
    columns: columns(rows, last),
    lines: rows.filter((row) => !row.is_small).map((row) => ({ row })),
    sort: { key: "change", direction: "descending" },
    last,
    open: (row) => row.node_id !== null && show(row.node_id, row.phase),
  });
  const all = el(
    "button",
    {
      type: "button",
      class: "quiet",
      hidden: small.length === 0,
      onclick: () => {
        table.replace(rows.map((row) => ({ row })));
        all.hidden = true;
      },
    },
    `Show ${small.length} more with less than 0.1% of the execution`,
  );
  return el(
    "div",
    {},
    verdict(diff, run, other),
    el("div", { class: "sides" }, side("This execution (B)", run, false), side("Compared with (A)", other, true)),
    table.element,
    all,
    el("p", { class: "muted small note" }, NOTE),
  );
}

function verdict(diff: Diff, run: RunDocument, other: RunDocument): HTMLElement {
  const change = diff.change === null ? "" : ` (${relative(diff.change)})`;
  const hasName = other.name !== null && other.name !== other.exec_id;
  return el(
    "p",
    { class: "verdict" },
    el("strong", { title: exact(diff.change_ns) }, `${signed(diff.change_ns)}${change}`),
    ` against ${titleOf(other)}`,
    hasName ? " " : null,
    hasName ? el("span", { class: "id" }, other.exec_id) : null,
    `, started ${other.started.replace("T", " ")}. `,
    run.name !== other.name
      ? `These are different workflows, ${titleOf(run)} and ${titleOf(other)}: only rows of the same node and phase can be compared. `
      : null,
    "What single runs took may be noise; ",
    el("code", {}, "phasetrace diff --last"),
    " tests several.",
  );
}

/** Return what is known of a side; findings of the page's own execution are in its summary. */
function side(label: string, run: RunDocument, hasFindings: boolean): HTMLElement {
  return el(
    "article",
    { class: "side" },
    el("p", { class: "label" }, label),
    el("h3", {}, titleOf(run)),
    run.name !== null && run.name !== run.exec_id ? el("p", { class: "id" }, run.exec_id) : null,
    figures(run),
    hasFindings
      ? el("details", {}, el("summary", {}, `Findings (${run.findings.length})`), findings(run, null))
      : null,
  );
}

function rowOf(row: DiffRow, run: RunDocument, other: RunDocument): Row {
  return { ...row, label: place(row), isSum: false, uses: { a: usesOf(row, other), b: usesOf(row, run) } };
}

function place(row: DiffRow): string {
  if (row.node_id === null) return "unattributed";
  return row.phase === null ? `${row.node_id} (self)` : `${row.node_id} / ${row.phase}`;
}

/** Return what a row has in an execution; a node has what its phases have not. */
function usesOf(row: DiffRow, run: RunDocument): Uses {
  const node = run.nodes.find((one) => one.node_id === row.node_id);
  const phase = node?.phases.find((one) => one.phase === row.phase);
  if (!node || (row.phase !== null && !phase)) return { tokens: 0, cost: null, errors: 0 };
  if (phase) return { tokens: tokens(phase), cost: phase.cost, errors: phase.errors };
  const rest = (of: (figures: Figures) => number): number =>
    Math.max(0, of(node) - node.phases.reduce((sum, one) => sum + of(one), 0));
  const cost = rest((one) => one.cost ?? 0);
  const least = 1e-9 * (node.cost ?? 0);
  return { tokens: rest(tokens), cost: cost > least ? cost : null, errors: rest((one) => one.errors) };
}

function tokens(figures: Figures): number {
  return figures.input_tokens + figures.output_tokens;
}

function usesOfAll(run: RunDocument): Uses {
  const { input_tokens, output_tokens, cost } = run.usage;
  return { tokens: input_tokens + output_tokens, cost, errors: run.errors };
}

/** Return the sum of all rows, those that are not shown among them. */
function allOf(diff: Diff, rows: Row[], run: RunDocument, other: RunDocument): Row {
  const all = [...rows, diff.unattributed];
  const sum = (of: (row: DiffRow) => Ns): string => String(all.reduce((before, row) => before + BigInt(of(row)), 0n));
  const change = sum((row) => row.change_ns);
  const before = Number(sum((row) => row.a.self_ns));
  return {
    ...diff.unattributed,
    label: "all of these",
    isSum: true,
    a: { ...diff.unattributed.a, self_ns: sum((row) => row.a.self_ns), share: 1, critical: 1 },
    b: { ...diff.unattributed.b, self_ns: sum((row) => row.b.self_ns), share: 1, critical: 1 },
    change_ns: change,
    change: before > 0 ? Number(change) / before : null,
    uses: { a: usesOfAll(other), b: usesOfAll(run) },
  };
}

/** Return the execution itself: less than all of its rows where those are at once. */
function wholeOf(diff: Diff, run: RunDocument, other: RunDocument): Row {
  const none: Uses = { tokens: 0, cost: null, errors: 0 };
  return {
    ...diff.unattributed,
    label: "duration",
    isSum: true,
    a: { ...diff.unattributed.a, self_ns: other.duration_ns, share: NaN, critical: NaN },
    b: { ...diff.unattributed.b, self_ns: run.duration_ns, share: NaN, critical: NaN },
    change_ns: diff.change_ns,
    change: diff.change,
    uses: { a: none, b: none },
  };
}

function columns(rows: Row[], last: Row[]): Column<Row>[] {
  const all = [...rows, ...last];
  const most = Math.max(1, ...rows.map((row) => Math.abs(Number(row.change_ns))));
  const has = (of: (uses: Uses) => number | null): boolean => all.some((row) => of(row.uses.a) || of(row.uses.b));
  return [
    {
      key: "name",
      title: "node / phase",
      about: "what is compared",
      value: (row) => row.label,
      cell: (row) => row.label,
      isText: true,
    },
    time("a", "self A", (row) => row.a),
    time("b", "self B", (row) => row.b),
    {
      key: "change",
      title: "change by size",
      about: "by how much its self time is more in this execution; sorts by size, whichever way it is",
      value: (row) => magnitude(row.change_ns),
      cell: (row) => changeCell(row.change_ns, row.isSum ? null : most),
      exact: (row) => exact(row.change_ns),
    },
    {
      key: "percent",
      title: "%",
      about: "the change as a part of A; – where A has next to none, added or removed where only one has the row",
      value: (row) => (row.a.runs ? row.change : null),
      cell: percentCell,
    },
    both("share", "the share of the execution, before and now", (of) => of.share),
    both("critical", "the part of the critical path, before and now", (of) => of.critical),
    ...(has((of) => of.tokens)
      ? [use("tokens", "tokens into and out of models", (of) => of.tokens || null, (of) => (of.tokens ? grouped(of.tokens) : "0"))]
      : []),
    ...(has((of) => of.cost)
      ? [use("cost", "what the calls of models cost", (of) => of.cost, (of) => money(of.cost) || "0")]
      : []),
    ...(has((of) => of.errors)
      ? [use("errors", "failed", (of) => of.errors || null, (of) => (of.errors ? mark("error", of.errors) : "0"))]
      : []),
  ];
}

function time(key: string, title: string, of: (row: DiffRow) => DiffFigures): Column<Row> {
  return {
    key,
    title,
    about: `self time in ${title.slice(-1)}`,
    value: (row) => (of(row).runs ? BigInt(of(row).self_ns) : null),
    cell: (row) => (of(row).runs ? human(of(row).self_ns) : "–"),
    exact: (row) => (of(row).runs ? exact(of(row).self_ns) : ""),
  };
}

function both(key: string, about: string, of: (figures: DiffFigures) => number): Column<Row> {
  const text = (figures: DiffFigures): string => (figures.runs ? percent(of(figures)) : "–");
  return {
    key,
    title: `${key} A → B`,
    about,
    value: (row) => of(row.b),
    cell: (row) => (Number.isNaN(of(row.b)) ? "" : `${text(row.a)} → ${text(row.b)}`),
  };
}

function use(
  key: string,
  about: string,
  of: (uses: Uses) => number | null,
  text: (uses: Uses) => Node | string,
): Column<Row> {
  return {
    key,
    title: `${key} A → B`,
    about: `${about}, before and now`,
    value: (row) => of(row.uses.b),
    cell: ({ uses: { a, b } }) =>
      of(a) === null && of(b) === null ? "" : el("span", {}, text(a), " → ", text(b)),
  };
}

function percentCell(row: Row): string {
  if (row.a.runs === 0) return "added";
  if (row.b.runs === 0) return "removed";
  return row.change === null ? "–" : relative(row.change);
}

/** Return a change as a part of what was before, in percent whatever its size. */
function relative(change: number): string {
  const size = Math.abs(change);
  const text = size >= 10 ? `${grouped(Math.round(size * 100))}%` : percent(size);
  return `${change < 0 ? "−" : "+"}${text}`;
}

/** Return a change with a bar from a line of nought: more to its right, less to its left. */
function changeCell(change: Ns, most: number | null): HTMLElement {
  const fill = el("span", { class: "fill" });
  const isMore = Number(change) > 0;
  fill.style.inlineSize = `${most === null ? 0 : (50 * Math.abs(Number(change))) / most}%`;
  return el(
    "span",
    { class: `change ${isMore ? "more" : "less"}` },
    el("span", { class: "number" }, signed(change)),
    el("span", { class: most === null ? "diverging none" : "diverging", "aria-hidden": "true" }, fill),
  );
}

function magnitude(change: Ns): bigint {
  const value = BigInt(change);
  return value < 0n ? -value : value;
}
