/** What spans say beside their times, of as many as the page has room for. */

import { sums } from "./deltas.ts";
import type { DetailColumns, Ns } from "./document.ts";

const NONE = -1;
const EXCEPTION = "exception";
const TYPE = "exception.type";
const MESSAGE = "exception.message";

export type Pair = [name: string, value: string];

export interface SaidEvent {
  name: string;
  /** After the start of the span. */
  offset: Ns;
  attributes: Pair[];
  stack: string[];
}

/** Reads the columns of `phasetrace.reports.details`, by the numbers of spans. */
export class Said {
  private readonly entries = new Map<number, number>();
  private readonly messages = new Map<number, number>();
  private readonly eventsOf = new Map<number, number[]>();
  private readonly more = new Map<number, number>();
  private readonly silent: ReadonlySet<number>;
  /** The span of each event. */
  private readonly owners: number[];
  /** The texts as they are searched; made when that is first done. */
  private lower: string[] | null = null;

  constructor(private readonly columns: DetailColumns) {
    const { at, entry, message, event, more_events } = columns;
    sums(at).forEach((span, place) => this.entries.set(span, entry[place]));
    sums(message.at).forEach((span, place) => this.messages.set(span, message.text[place]));
    sums(more_events.at).forEach((span, place) => this.more.set(span, more_events.count[place]));
    this.owners = sums(event.at);
    this.owners.forEach((span, place) => {
      const known = this.eventsOf.get(span);
      if (known) known.push(place);
      else this.eventsOf.set(span, [place]);
    });
    this.silent = new Set(sums(columns.nothing));
  }

  /** Whether what a span says is not in the page. */
  isLeftOut(span: number): boolean {
    return this.columns.left_out > 0 && !this.entries.has(span) && !this.silent.has(span);
  }

  attributes(span: number): Pair[] {
    const entry = this.entries.get(span);
    return entry === undefined ? [] : this.pairs(entry);
  }

  events(span: number): SaidEvent[] {
    const { texts, stacks, event } = this.columns;
    return (this.eventsOf.get(span) ?? []).map((place) => ({
      name: texts[event.name[place]],
      offset: event.offset[place],
      attributes: this.pairs(event.entry[place]),
      stack: event.stack[place] === NONE ? [] : stacks[event.stack[place]].map((line) => texts[line]),
    }));
  }

  /** How many events a span has beside those. */
  moreEvents(span: number): number {
    return this.more.get(span) ?? 0;
  }

  /** Return what a span failed with: the last exception, or the message of its status. */
  failure(span: number): string | null {
    for (const event of this.events(span).reverse()) {
      const said = exceptionOf(event);
      if (said !== null) return said;
    }
    return this.message(span);
  }

  /** Return the message of a span's status, unless that is what its exception says. */
  message(span: number): string | null {
    const text = this.messages.get(span);
    return text === undefined ? null : this.columns.texts[text];
  }

  /** Return the spans that have a text in a value or a message, in order. */
  find(wanted: string): number[] {
    this.lower ??= this.columns.texts.map((text) => text.toLowerCase());
    const hits = new Set<number>();
    this.lower.forEach((text, number) => text.includes(wanted) && hits.add(number));
    if (hits.size === 0) return [];
    const isHit = this.columns.entries.map((entry) => entry.some((text, at) => at > 0 && hits.has(text)));
    const found = new Set<number>();
    for (const [span, entry] of this.entries) if (isHit[entry]) found.add(span);
    for (const [span, text] of this.messages) if (hits.has(text)) found.add(span);
    this.owners.forEach((span, place) => isHit[this.columns.event.entry[place]] && found.add(span));
    return [...found].sort((one, other) => one - other);
  }

  private pairs(entry: number): Pair[] {
    const { texts, shapes, entries } = this.columns;
    const [shape, ...values] = entries[entry];
    return shapes[shape].map((name, at) => [texts[name], texts[values[at]]]);
  }
}

/** Return what an exception says, `ValueError: bad row 7`; null for what is none. */
export function exceptionOf(event: SaidEvent): string | null {
  if (event.name !== EXCEPTION) return null;
  const parts = [TYPE, MESSAGE].map((name) => event.attributes.find(([known]) => known === name)?.[1]);
  return parts.filter((part) => part !== undefined && part !== "(empty)").join(": ") || null;
}

/** Return what an event says beside that. */
export function restOf(event: SaidEvent): Pair[] {
  return event.name === EXCEPTION
    ? event.attributes.filter(([name]) => name !== TYPE && name !== MESSAGE)
    : event.attributes;
}
