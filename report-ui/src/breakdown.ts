/** The breakdown: nodes and their phases in a table, or all phases by themselves. */

import type { Figures, NodeRow, Ns, PhaseRow, RunDocument } from "./document.ts";
import { el, mark, put } from "./dom.ts";
import { exact, grouped, human, money, part, percent } from "./format.ts";
import { type Column, type Line, SortableTable } from "./table.ts";

interface Row {
  node: string | null;
  phase: string | null;
  label: string;
  isOfNode: boolean;
  figures: Partial<Figures>;
}

/** Return the table of an execution; `show` is called with a node and a phase that were chosen. */
export function breakdown(run: RunDocument, show: (node: string, phase: string | null) => void): HTMLElement {
  const nested = nestedLines(run);
  const flat = flatLines(run);
  const table = new SortableTable<Row>({
    caption: "Nodes and phases by time",
    columns: columns(run),
    lines: nested,
    sort: { key: "total", direction: "descending" },
    last: lastRows(run),
    open: (row) => row.node !== null && show(row.node, row.phase),
  });
  const choice = switched("Rows", ["Nodes", "Phases"], (at) => table.replace(at ? flat : nested));
  return el("div", {}, el("div", { class: "tools" }, choice), table.element);
}

/** Return buttons of which one is pressed. */
export function switched(label: string, names: string[], choose: (at: number) => void): HTMLElement {
  const buttons = names.map((name, at) =>
    el("button", {
      type: "button",
      "aria-pressed": String(at === 0),
      onclick: () => {
        buttons.forEach((button, other) => button.setAttribute("aria-pressed", String(other === at)));
        choose(at);
      },
    }, name),
  );
  return el("div", { class: "switch", role: "group", "aria-label": label }, ...buttons);
}

function lastRows(run: RunDocument): Row[] {
  const row = (label: string, figures: Partial<Figures>): Row => ({ node: null, phase: null, label, isOfNode: true, figures });
  const { usage } = run;
  return [
    row("unattributed", {
      share_ns: run.unattributed_ns,
      share: run.unattributed,
      critical_ns: run.critical_unattributed_ns,
    }),
    ...(Number(run.critical_waiting_ns) > 0 ? [row("waiting", { critical_ns: run.critical_waiting_ns })] : []),
    row("all", {
      total_ns: run.wall_ns,
      share_ns: run.wall_ns,
      share: 1,
      critical_ns: run.wall_ns,
      errors: run.errors,
      cancelled: run.cancelled,
      input_tokens: usage.input_tokens,
      output_tokens: usage.output_tokens,
      cost: usage.cost,
    }),
  ];
}

function nestedLines(run: RunDocument): Line<Row>[] {
  return run.nodes.map((node) => ({
    row: { node: node.node_id, phase: null, label: node.node_id, isOfNode: true, figures: node },
    below: node.phases.map((phase) => ({ row: phaseRow(node, phase, phase.phase) })),
  }));
}

function flatLines(run: RunDocument): Line<Row>[] {
  return run.nodes.flatMap((node) => [
    ...node.phases.map((phase) => ({ row: phaseRow(node, phase, `${node.node_id} / ${phase.phase}`) })),
    ...(node.phases.length === 0
      ? [{ row: { node: node.node_id, phase: null, label: node.node_id, isOfNode: true, figures: node } }]
      : []),
  ]);
}

function phaseRow(node: NodeRow, phase: PhaseRow, label: string): Row {
  return { node: node.node_id, phase: phase.phase, label, isOfNode: false, figures: phase };
}

function columns(run: RunDocument): Column<Row>[] {
  const all: (Column<Row> & { always?: boolean; has?: (row: Figures) => boolean })[] = [
    {
      key: "name",
      title: "node / phase",
      about: "the phases of a node are below it",
      value: (row) => row.label,
      cell: (row) => nameCell(row, run),
      isText: true,
    },
    {
      key: "calls",
      title: "calls",
      about: "how many calls have ended",
      value: ({ figures }) => figures.calls || null,
      cell: ({ figures }) => (figures.calls ? grouped(figures.calls) : ""),
    },
    duration("total", "the durations of all calls, added up", ({ figures }) => figures.total_ns),
    duration("self", "duration less what child spans cover", ({ figures }) => figures.self_ns),
    share("share", "each instant of the execution, split among what was active: 100% in all", run,
      ({ figures }) => figures.share_ns, ({ figures }) => figures.share),
    share("critical", "what it owns of the critical path, a node with its phases", run,
      ({ figures }) => figures.critical_ns),
    duration("p50", "the median of the calls", ({ figures }) => figures.p50_ns),
    duration("p95", "19 of 20 calls took no longer", ({ figures }) => figures.p95_ns),
    duration("max", "the longest call", ({ figures }) => figures.max_ns),
    number("errors", "failed", (row) => row.errors, "error"),
    number("cancelled", "cancelled", (row) => row.cancelled, "cancelled"),
    number("tokens in", "tokens that went into models", (row) => row.input_tokens),
    number("tokens out", "tokens that models gave back", (row) => row.output_tokens),
    {
      key: "cost",
      title: "cost",
      about: "what the calls of models cost, in the currency of the prices",
      value: ({ figures }) => figures.cost ?? null,
      cell: ({ figures }) => money(figures.cost ?? null),
      exact: ({ figures }) => (figures.cost != null ? String(figures.cost) : ""),
      has: (row) => row.cost !== null,
    },
  ];
  const figures = run.nodes.flatMap((node): Figures[] => [node, ...node.phases]);
  return all.filter((column) => !column.has || figures.some(column.has));
}

function nameCell(row: Row, run: RunDocument): Node {
  const cell = el("span", { class: "labelled" }, el("span", { class: "label", title: row.label }, row.label));
  if (row.isOfNode && row.node !== null) {
    const type = run.nodes.find((node) => node.node_id === row.node)?.node_type;
    if (type) put(cell, [el("span", { class: "tag" }, type)]);
  }
  return cell;
}

function duration(key: string, about: string, of: (row: Row) => Ns | null | undefined): Column<Row> {
  return {
    key,
    title: key,
    about,
    value: (row) => sortable(of(row)),
    cell: (row) => text(of(row), human),
    exact: (row) => text(of(row), exact),
  };
}

function share(
  key: string,
  about: string,
  run: RunDocument,
  of: (row: Row) => Ns | undefined,
  known?: (row: Row) => number | undefined,
): Column<Row> {
  const value = (row: Row): number => known?.(row) ?? part(of(row) ?? 0, run.wall_ns);
  return {
    key,
    title: key,
    about,
    value: (row) => sortable(of(row)),
    cell: (row) => (of(row) === undefined ? "" : bar(value(row))),
    exact: (row) => text(of(row), exact),
  };
}

/** Return a part as a number with a bar, which says nothing that the number does not. */
export function bar(of: number): HTMLElement {
  const fill = el("span", { class: "fill" });
  fill.style.inlineSize = `${Math.min(100, Math.max(0, of * 100))}%`;
  return el("span", { class: "part" }, el("span", { class: "bar", "aria-hidden": "true" }, fill), el("span", {}, percent(of)));
}

function number(
  title: string,
  about: string,
  of: (row: Figures) => number,
  kind?: "error" | "cancelled",
): Column<Row> & { has: (row: Figures) => boolean } {
  return {
    key: title.replace(" ", "_"),
    title,
    about,
    value: ({ figures }) => of(figures as Figures) || null,
    cell: ({ figures }) => {
      const value = of(figures as Figures);
      return value ? (kind ? mark(kind, value) : grouped(value)) : "";
    },
    has: (row) => of(row) > 0,
  };
}

function sortable(value: Ns | null | undefined): bigint | null {
  return value === null || value === undefined ? null : BigInt(value);
}

function text(value: Ns | null | undefined, words: (value: Ns) => string): string {
  return value === null || value === undefined ? "" : words(value);
}
