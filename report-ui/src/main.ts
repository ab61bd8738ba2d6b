/** The page of `phasetrace report`: reads the document in it, and shows it. */

import { breakdown, switched } from "./breakdown.ts";
import { comparison } from "./comparison.ts";
import type { ReportDocument, RunDocument } from "./document.ts";
import { el, put } from "./dom.ts";
import { Flame } from "./flame/flame.ts";
import { Trace } from "./spans.ts";
import { figures, findings, remarks, titleOf } from "./summary.ts";
import { mode, onChange, start, toggle } from "./theme.ts";
import { Timeline } from "./timeline/timeline.ts";

function main(): void {
  const report = JSON.parse(document.getElementById("document")?.textContent ?? "") as ReportDocument;
  start();
  const page = document.getElementById("report") as HTMLElement;
  const [run] = report.runs;
  const views = report.runs.map((one, at) => new RunView(one, at));
  const [view] = views;
  put(page, [header(run), summary(run, view)]);
  if (report.diff) {
    const show = (node: string, phase: string | null): void => {
      choose(0);
      view.timeline.reveal(node, phase);
    };
    put(page, [section("comparison", "Comparison", comparison({ ...report, diff: report.diff }, show))]);
  }
  const holder = el("div", { class: "run" });
  let shown = -1;
  const choose = (at: number): void => {
    if (at === shown) return;
    shown = at;
    holder.replaceChildren(views[at].element);
    views[at].start();
  };
  if (views.length > 1) {
    const names = ["This execution", "Compared with"];
    put(page, [el("nav", { class: "runs", "aria-label": "Execution" }, switched("Execution", names, choose))]);
  }
  put(page, [holder, footer(report)]);
  choose(0);
  performance.mark("phasetrace:drawn");
}

/** What is shown of one execution below the summary. */
class RunView {
  readonly element = el("div");
  readonly timeline: Timeline;
  private readonly flame: Flame;
  private isStarted = false;

  constructor(run: RunDocument, number: number) {
    const trace = new Trace(run);
    this.timeline = new Timeline(trace, `row-${number}`);
    this.flame = new Flame(trace);
    const show = (node: string, phase: string | null): void => this.timeline.reveal(node, phase);
    put(this.element, [
      section("timeline", "Timeline", this.timeline.element),
      section("breakdown", "Breakdown", breakdown(run, show)),
      section("flame", "Self time by calls", this.flame.element),
    ]);
  }

  /** Draw, now that it is in the page. */
  start(): void {
    if (this.isStarted) return;
    this.isStarted = true;
    this.timeline.start();
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

function summary(run: RunDocument, view: RunView): HTMLElement {
  const show = (node: string, phase: string | null): void => view.timeline.reveal(node, phase);
  return el(
    "section",
    { id: "summary", "aria-label": "Summary" },
    figures(run),
    remarks(run),
    el("h2", {}, "What would make it faster"),
    findings(run, show),
    run.findings.length > 1
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
