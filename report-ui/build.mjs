// Writes src/phasetrace/reports/static and the licences of what is bundled; `--out FOLDER` elsewhere.
import { build } from "esbuild";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const at = process.argv.indexOf("--out");
const out = at > 0 ? process.argv[at + 1] : join(here, "../src/phasetrace/reports");

const result = await build({
  absWorkingDir: here,
  entryPoints: { report: "src/main.ts" },
  bundle: true,
  minify: true,
  format: "iife",
  target: ["es2022"],
  charset: "utf8",
  legalComments: "none", // they are in LICENSES.txt, and in every page
  metafile: true,
  outdir: join(out, "static"),
  define: { "process.env.NODE_ENV": '"production"' },
});
// Style sheets stay as they are written but for the white space: browsers know all that is in them.
await build({
  absWorkingDir: here,
  entryPoints: { report: "src/style.css" },
  minify: true,
  target: ["esnext"],
  charset: "utf8",
  outdir: join(out, "static"),
});

const packages = new Set();
for (const input of Object.keys(result.metafile.inputs)) {
  const found = input.match(/^node_modules\/((?:@[^/]+\/)?[^/]+)\//);
  if (found) packages.add(found[1]);
}
const texts = [];
for (const name of [...packages].sort()) {
  const folder = join(here, "node_modules", name);
  const { version, license } = JSON.parse(await readFile(join(folder, "package.json"), "utf8"));
  const parts = [`${name} ${version} (${license})`];
  for (const file of ["NOTICE", "LICENSE", "LICENSE.txt"]) {
    const text = await readFile(join(folder, file), "utf8").catch(() => null);
    if (text !== null) parts.push(text.trim());
  }
  texts.push(parts.join("\n\n"));
}
const line = `\n\n${"=".repeat(78)}\n\n`;
await mkdir(out, { recursive: true });
await writeFile(join(out, "LICENSES.txt"), `Bundled with the page:\n\n${texts.join(line)}\n`);
for (const [file, { bytes }] of Object.entries(result.metafile.outputs)) {
  console.log(`${relative(process.cwd(), join(here, file))}: ${Math.round(bytes / 1000)} kB`);
}
