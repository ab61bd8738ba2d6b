/** The colours of the page, as canvas needs them: those of the style sheet, whatever the mode is. */

/** How many nodes are told apart by their colours; the next ones begin anew. */
export const NODE_COLOURS = 16;

export interface Colours {
  ink: string;
  muted: string;
  faint: string;
  line: string;
  surface: string;
  accent: string;
  error: string;
  whole: string;
  nodes: string[];
  nodeInk: string;
}

type Mode = "light" | "dark";

const dark = matchMedia("(prefers-color-scheme: dark)");
const listeners: (() => void)[] = [];
let chosen: Mode | null = null;
let known: Colours | null = null;

/** Return the mode that is shown. */
export function mode(): Mode {
  return chosen ?? (dark.matches ? "dark" : "light");
}

/** Change between light and dark, whatever the system prefers. */
export function toggle(): void {
  chosen = mode() === "dark" ? "light" : "dark";
  apply();
}

/** Be called when colours have changed. */
export function onChange(listener: () => void): void {
  listeners.push(listener);
}

/** Return the colours as they are now. */
export function colours(): Colours {
  known ??= read();
  return known;
}

function read(): Colours {
  const probe = document.createElement("span");
  document.body.append(probe);
  const resolved = (name: string): string => {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  };
  const result: Colours = {
    ink: resolved("ink"),
    muted: resolved("muted"),
    faint: resolved("faint"),
    line: resolved("line"),
    surface: resolved("surface"),
    accent: resolved("accent"),
    error: resolved("error"),
    whole: resolved("whole"),
    nodes: Array.from({ length: NODE_COLOURS }, (_, at) => resolved(`node-${at}`)),
    nodeInk: resolved("node-ink"),
  };
  probe.remove();
  return result;
}

function apply(): void {
  known = null;
  mark();
  for (const listener of listeners) listener();
}

/** Tell the style sheet; paper is light whatever it is told. */
function mark(): void {
  document.documentElement.dataset.theme = mode();
}

/** Follow the system. */
export function start(): void {
  mark();
  dark.addEventListener("change", apply);
}
