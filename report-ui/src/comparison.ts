/** Two executions side by side, and a row for each phase that differs. */

import { bar } from "./breakdown.ts";
import type { Diff, DiffFigures, DiffRow, Ns, ReportDocument, RunDocument } from "./document.ts";
import { el } from "./dom.ts";
import { changed, exact, human, percent, signed } from "./format.ts";
import { figures, findings, titleOf } from "./summary.ts";
import { type Column, SortableTable } from "./table.ts";

/** Return the comparison of a page's execution with the other one; `show` finds a place in it. */
export function comparison(
  report: ReportDocument & { diff: Diff },
  show: (node: string, phase: string | null) => void,
): HTMLElement {
  const { diff } = report;
  const [run, other] = report.runs;
  const change = diff.change === null ? "" : ` (${changed(diff.change)})`;
  const small = diff.rows.filter((row) => row.is_small);
  const large = diff.rows.filter((row) => !row.is_small);
  const table = new SortableTable<DiffRow>({
    caption: "What takes longer, and what less",
    columns: columns(diff),
    lines: large.map((row) => ({ row })),
    sort: { key: "change", direction: "descending" },
    last: [diff.unattributed],
    open: (row) => row.node_id !== null && show(row.node_id, row.phase),
  });
  const all = el(
    "button",
    {
      type: "button",
      class: "quiet",
      hidden: small.length === 0,
      onclick: () => {
        table.replace(diff.rows.map((row) => ({ row })));
        all.hidden = true;
      },
    },
    `Show ${small.length} more with less than 0.1% of the execution`,
  );
  return el(
    "div",
    {},
    el(
      "p",
      { class: "verdict" },
      el("strong", { title: exact(diff.change_ns) }, `${signed(diff.change_ns)}${change}`),
      ` against ${titleOf(other)}. What single runs took may be noise; `,
      el("code", {}, "phasetrace diff --last"),
      " tests several.",
    ),
    el("div", { class: "sides" }, side("This execution (B)", run), side("Compared with (A)", other)),
    table.element,
    all,
  );
}

function side(label: string, run: RunDocument): HTMLElement {
  return el(
    "article",
    { class: "side" },
    el("p", { class: "label" }, label),
    el("h3", {}, titleOf(run)),
    run.name !== null && run.name !== run.exec_id ? el("p", { class: "id" }, run.exec_id) : null,
    figures(run),
    el("details", {}, el("summary", {}, `Findings (${run.findings.length})`), findings(run, null)),
  );
}

function columns(diff: Diff): Column<DiffRow>[] {
  const verdicts: Column<DiffRow>[] = [];
  if ([...diff.rows, diff.unattributed].some((row) => row.verdict !== null)) {
    verdicts.push({
      key: "verdict",
      title: "verdict",
      about: "whether a row is in one of the executions only",
      value: (row) => row.verdict,
      cell: (row) => row.verdict ?? "",
      isText: true,
    });
  }
  const most = Math.max(1, ...diff.rows.map((row) => Math.abs(Number(row.change_ns))));
  return [
    {
      key: "name",
      title: "node / phase",
      about: "what is compared",
      value: place,
      cell: place,
      isText: true,
    },
    time("a", "self A", (row) => row.a),
    time("b", "self B", (row) => row.b),
    {
      key: "change",
      title: "change",
      about: "by how much its self time is more in this execution; sorts by size",
      value: (row) => magnitude(row.change_ns),
      cell: (row) => changeCell(row.change_ns, most),
      exact: (row) => exact(row.change_ns),
    },
    {
      key: "percent",
      title: "%",
      about: "the change as a part of A",
      value: (row) => row.change,
      cell: (row) => (row.change === null ? "" : changed(row.change)),
    },
    both("share", "the share of the execution, before and now", (of) => of.share),
    both("critical", "the part of the critical path, before and now", (of) => of.critical),
    ...verdicts,
  ];
}

function place(row: DiffRow): string {
  if (row.node_id === null) return "unattributed";
  return row.phase === null ? `${row.node_id} (self)` : `${row.node_id} / ${row.phase}`;
}

function time(key: string, title: string, of: (row: DiffRow) => DiffFigures): Column<DiffRow> {
  return {
    key,
    title,
    about: `self time in ${title.slice(-1)}`,
    value: (row) => (of(row).runs ? BigInt(of(row).self_ns) : null),
    cell: (row) => (of(row).runs ? human(of(row).self_ns) : "–"),
    exact: (row) => (of(row).runs ? exact(of(row).self_ns) : ""),
  };
}

function both(key: string, about: string, of: (figures: DiffFigures) => number): Column<DiffRow> {
  const text = (figures: DiffFigures): string => (figures.runs ? percent(of(figures)) : "–");
  return {
    key,
    title: `${key} A → B`,
    about,
    value: (row) => of(row.b),
    cell: (row) => `${text(row.a)} → ${text(row.b)}`,
  };
}

function changeCell(change: Ns, most: number): HTMLElement {
  const size = Math.abs(Number(change)) / most;
  const cell = bar(size);
  cell.lastElementChild?.replaceChildren(signed(change));
  cell.classList.add(Number(change) > 0 ? "more" : "less");
  return cell;
}

function magnitude(change: Ns): bigint {
  const value = BigInt(change);
  return value < 0n ? -value : value;
}
