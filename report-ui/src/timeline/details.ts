/** What there is to say of one span, at the pointer and below the timeline. */

import { el, mark, put } from "../dom.ts";
import { exact, grouped, human, money } from "../format.ts";
import { CANCELLED, ERROR, NODE, OPEN, PHASE, type Trace } from "../spans.ts";

/** Return what a row of the call tree is called, with its node. */
export function labelOf(trace: Trace, row: number): string {
  const { rows } = trace;
  const node = rows.node[row];
  return rows.type[row] === PHASE && node !== null ? `${node} / ${rows.name[row]}` : rows.name[row];
}

/** Return the details of a span: what it is called, what it failed with, and what is known of it. */
export function details(trace: Trace, span: number): HTMLElement[] {
  const row = trace.row[span];
  const status = trace.status[span];
  const iteration = trace.iteration(span);
  const use = trace.use(span);
  const critical = trace.criticalOf.get(span) ?? 0;
  const of = trace.rows.spans[trace.rows.lanes[row + 1]] - trace.rows.spans[trace.rows.lanes[row]];
  const heading = el("p", { class: "what" }, el("strong", {}, labelOf(trace, row)));
  if (iteration !== undefined) put(heading, [` #${iteration}`]);
  if (trace.rows.type[row] === NODE && trace.rows.nodeType[row]) {
    put(heading, [" ", el("span", { class: "tag" }, trace.rows.nodeType[row])]);
  }
  if (status & ERROR) put(heading, [" ", mark("error"), " failed"]);
  if (status & CANCELLED) put(heading, [" ", mark("cancelled"), " cancelled"]);
  if (status & OPEN) put(heading, [" ", mark("open"), " not ended"]);
  const items: [string, string, string?][] = [
    [status & OPEN ? "open for" : "took", human(trace.length[span]), exact(trace.length[span])],
    ["began after", human(trace.start[span])],
    ["critical", critical > 0 ? human(critical) : ""],
    ["calls like it", of > 1 ? grouped(of) : ""],
    ["model", use?.model ?? ""],
    ["tokens", use ? `${grouped(use.input)} in, ${grouped(use.output)} out` : ""],
    ["cost", money(use?.cost ?? null)],
    ["span", trace.id[span] ?? ""],
  ];
  const list = el(
    "dl",
    {},
    ...items
      .filter(([, value]) => value !== "")
      .map(([name, value, title]) =>
        el("div", {}, el("dt", {}, name), el("dd", { title: title ?? null, class: name === "span" ? "id" : null }, value)),
      ),
  );
  const failure = status & ERROR ? trace.said.failure(span) : trace.said.message(span);
  if (failure === null) return [heading, list];
  return [heading, el("p", { class: status & ERROR ? "failure error" : "failure" }, failure), list];
}

/** A box at the pointer. */
export class Tooltip {
  private readonly element = el("div", { class: "tooltip", "aria-hidden": "true", hidden: true });

  constructor() {
    document.body.append(this.element);
  }

  show(content: (Node | string)[], left: number, top: number): void {
    this.element.replaceChildren(...content);
    this.element.hidden = false;
    const { width, height } = this.element.getBoundingClientRect();
    const margin = 14;
    const x = left + margin + width > innerWidth ? left - margin - width : left + margin;
    const y = top + margin + height > innerHeight ? top - margin - height : top + margin;
    this.element.style.transform = `translate(${Math.max(4, x)}px, ${Math.max(4, y)}px)`;
  }

  hide(): void {
    this.element.hidden = true;
  }
}
