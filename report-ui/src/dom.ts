/** Elements with texts. What comes from spans only ever becomes text, never markup. */

type Child = Node | string | null | undefined | false;
type Listener = (event: never) => void;
type Properties = Record<string, string | number | boolean | null | undefined | Listener>;

/**
 * Return an element. Properties named `on…` are listeners, `class` is the class name, others are
 * attributes; null, undefined and false leave an attribute out.
 */
export function el<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  properties: Properties = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") {
      element.addEventListener(name.slice(2), value as unknown as EventListener);
    } else {
      element.setAttribute(name, value === true ? "" : String(value));
    }
  }
  put(element, children);
  return element;
}

/** Put children behind what an element has. */
export function put(element: Element, children: Child[]): void {
  for (const child of children) {
    if (child !== null && child !== undefined && child !== false) element.append(child);
  }
}

/** Return an element of a drawing; its properties are attributes. */
export function svg<K extends keyof SVGElementTagNameMap>(
  tag: K,
  properties: Record<string, string | number>,
  ...children: Element[]
): SVGElementTagNameMap[K] {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(properties)) element.setAttribute(name, String(value));
  element.append(...children);
  return element;
}

/** Return a text that only screen readers have. */
export function spoken(text: string): HTMLElement {
  return el("span", { class: "spoken" }, text);
}

/** Return a mark that says in a word what it stands for. */
export function mark(kind: "error" | "cancelled" | "open", number?: number): HTMLElement {
  const sign = { error: "✕", cancelled: "⊘", open: "▸" }[kind];
  const word = { error: "failed", cancelled: "cancelled", open: "not ended" }[kind];
  return el(
    "span",
    { class: `mark mark-${kind}`, title: word },
    el("span", { "aria-hidden": "true" }, sign),
    spoken(` ${word}`),
    number !== undefined ? ` ${number.toLocaleString("en-US")}` : null,
  );
}
