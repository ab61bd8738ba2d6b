// What Mermaid reads in a Gantt chart, as JSON, and the text of the picture that it draws of it.
//
//     node mermaid.mjs FILE

import fs from "fs";
import {JSDOM} from "jsdom";

const page = new JSDOM("<!DOCTYPE html><body><div id='chart'></div></body>", {
  pretendToBeVisual: true,
});
globalThis.window = page.window;
for (const name of ["document", "Element", "HTMLElement", "SVGElement", "Node", "DOMParser", "CSSStyleSheet"]) {
  globalThis[name] = page.window[name];
}
page.window.SVGElement.prototype.getBBox = () => ({x: 0, y: 0, width: 10, height: 10});
page.window.SVGElement.prototype.getComputedTextLength = () => 10;

const {default: mermaid} = await import("mermaid");
mermaid.initialize({startOnLoad: false});
const text = fs.readFileSync(process.argv[2], "utf8");
const {db} = await mermaid.mermaidAPI.getDiagramFromText(text);
const tasks = db.getTasks().map((task) => ({
  section: task.section,
  start: +task.startTime,
  end: +task.endTime,
  critical: Boolean(task.crit),
}));
const {svg} = await mermaid.render("drawn", text);
const drawn = new page.window.DOMParser().parseFromString(svg, "text/html");
const texts = [...drawn.querySelectorAll("text")].map((one) => one.textContent.trim());
fs.writeSync(1, JSON.stringify({tasks, texts}));
process.exit(0);
