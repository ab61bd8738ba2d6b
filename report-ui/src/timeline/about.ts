/** What a span says, below the timeline: its attributes and its events. */

import { el } from "../dom.ts";
import { count, exact, human } from "../format.ts";
import { exceptionOf, type Pair, restOf, type SaidEvent } from "../said.ts";
import type { Trace } from "../spans.ts";

/** Return what a span says; nothing of one that says nothing. */
export function about(trace: Trace, span: number): HTMLElement[] {
  const { said } = trace;
  if (said.isLeftOut(span)) {
    return [
      el(
        "p",
        { class: "muted" },
        "What it says beside that is not on this page; ",
        el("code", {}, "phasetrace export"),
        " has it.",
      ),
    ];
  }
  const parts: HTMLElement[] = [];
  const attributes = said.attributes(span);
  if (attributes.length > 0) parts.push(el("h3", {}, "Attributes"), list(attributes));
  const events = said.events(span);
  const more = said.moreEvents(span);
  if (events.length > 0) {
    parts.push(el("h3", {}, "Events"), el("ol", { class: "events" }, ...events.map(eventItem)));
    if (more > 0) parts.push(el("p", { class: "muted" }, `and ${count(more, "more event")}`));
  }
  return parts;
}

function eventItem(event: SaidEvent): HTMLElement {
  const said = exceptionOf(event);
  const rest = restOf(event);
  return el(
    "li",
    {},
    el("span", { class: "muted", title: exact(event.offset) }, `+${human(event.offset)} `),
    el("strong", {}, event.name),
    said === null ? null : ` ${said}`,
    rest.length > 0 ? list(rest) : null,
    event.stack.length > 0
      ? el("details", {}, el("summary", {}, "Stack trace"), el("pre", { tabindex: "0" }, event.stack.join("\n")))
      : null,
  );
}

function list(pairs: Pair[]): HTMLElement {
  return el(
    "dl",
    { class: "attributes" },
    ...pairs.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))),
  );
}
