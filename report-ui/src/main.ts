/** The page of `phasetrace report`: reads the document in it, and shows it. */

import { breakdown, switched } from "./breakdown.ts";
import { comparison } from "./comparison.ts";
import type { ReportDocument, RunDocument } from "./document.ts";
import { el, put } from "./dom.ts";
import { Flame } from "./flame/flame.ts";
import { Trace } from "./spans.ts";
import { figures, findings, findingsTitle, remarks, titleOf } from "./summary.ts";
import { mode, onChange, start, toggle } from "./theme.ts";
import { Timeline } from "./timeline/timeline.ts";
import { Stretch } from "./timeline/window.ts";

function main(): void {
  const report = JSON.parse(document.getElementById("document")?.textContent ?? "") as ReportDocument;
  start();
  const page = document.getElementById("report") as HTMLElement;
  const [run] = report.runs;
  // Timelines below each other have one scale.
  const stretch = new Stretch();
  // Nodes have their colours by their place in the breakdown, in all timelines the same.
  const nodes = [...new Set(report.runs.flatMap((one) => one.nodes.map((row) => row.node_id)))];
  const views = report.runs.map((one, at) => new RunView(one, at, stretch, nodes));
  const [view] = views;
  put(page, [header(run)]);
  if (report.diff) {
    const show = (node: string, phase: string | null): void => view.timeline.reveal(node, phase);
    put(page, [section("comparison", "Comparison", comparison({ ...report, diff: report.diff }, show))]);
  }
  put(page, [summary(run, view, report.diff === null), section("timeline", "Timeline", timelines(report, views))]);
  const holder = el("div", { class: "run" });
  let shown = -1;
  const choose = (at: number): void => {
    if (at === shown) return;
    shown = at;
    holder.replaceChildren(views[at].element);
    views[at].start();
  };
  if (views.length > 1) {
    const names = [...NAMES];
    put(page, [el("nav", { class: "runs", "aria-label": "Execution" }, switched("Execution", names, choose))]);
  }
  put(page, [holder, footer(report)]);
  for (const one of views) one.timeline.start();
  choose(0);
  performance.mark("phasetrace:drawn");
}

const NAMES = ["This execution (B)", "Compared with (A)"] as const;

/** Return the timelines below each other, which of them is which. */
function timelines(report: ReportDocument, views: RunView[]): HTMLElement {
  if (views.length === 1) return views[0].timeline.element;
  const titled = views.map(({ timeline }, at) => {
    const title = el("h3", {}, NAMES[at], " ", el("span", { class: "id" }, report.runs[at].exec_id));
    return el("div", { class: "one" }, title, timeline.element);
  });
  return el("div", { class: "timelines" }, ...titled);
}

/** What is shown of one execution below the summary. */
class RunView {
  readonly element = el("div");
  readonly timeline: Timeline;
  private readonly flame: Flame;
  private isStarted = false;

  constructor(run: RunDocument, number: number, stretch: Stretch, nodes: string[]) {
    const trace = new Trace(run, nodes);
    this.timeline = new Timeline(trace, `row-${number}`, stretch);
    this.flame = new Flame(trace);
    const show = (node: string, phase: string | null): void => this.timeline.reveal(node, phase);
    put(this.element, [
      section("breakdown", "Breakdown", breakdown(run, show)),
      section("flame", "Self time by calls", this.flame.element),
    ]);
  }

  /** Draw, now that it is in the page. */
  start(): void {
    if (this.isStarted) return;
    this.isStarted = true;
    this.flame.start();
  }
}

function header(run: RunDocument): HTMLElement {
  const button = el("button", { type: "button", class: "quiet theme", onclick: toggle });
  const label = (): void => {
    const other = mode() === "dark" ? "Light" : "Dark";
    button.textContent = other;
    button.setAttribute("aria-label", `${other} colours`);
  };
  label();
  onChange(label);
  const hasName = run.name !== null && run.name !== run.exec_id;
  return el(
    "header",
    {},
    el(
      "div",
      { class: "title" },
      el("h1", {}, titleOf(run)),
      hasName ? el("p", { class: "id" }, run.exec_id) : null,
    ),
    button,
  );
}

function summary(run: RunDocument, view: RunView, hasFigures: boolean): HTMLElement {
  const show = (node: string, phase: string | null, isFailure: boolean): void =>
    view.timeline.reveal(node, phase, isFailure);
  return el(
    "section",
    { id: "summary", "aria-label": "Summary" },
    hasFigures ? figures(run) : null,
    remarks(run),
    el("h2", {}, findingsTitle(run)),
    findings(run, show),
    run.findings.filter((one) => Number(one.saving_ns) > 0).length > 1
      ? el("p", { class: "muted small" }, "Each by itself: savings do not add up.")
      : null,
  );
}

function section(id: string, title: string, content: HTMLElement): HTMLElement {
  const heading = `${id}-title`;
  return el("section", { id, "aria-labelledby": heading }, el("h2", { id: heading }, title), content);
}

function footer(report: ReportDocument): HTMLElement {
  const [run] = report.runs;
  return el("footer", {}, `phasetrace ${report.version} · trace ${run.trace_id}`);
}

main();
