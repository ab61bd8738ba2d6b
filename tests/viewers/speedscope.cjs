// What speedscope makes of a file, as JSON: its own code, in a page that nobody looks at.
//
//     node speedscope.cjs FILE

const fs = require("fs");
const path = require("path");
const {JSDOM, VirtualConsole} = require("jsdom");

const folder = path.join(path.dirname(require.resolve("speedscope/package.json")), "dist/release");
const bundle = fs.readdirSync(folder).find((name) => /^speedscope-.*\.js$/.test(name));
let source = fs.readFileSync(path.join(folder, bundle), "utf8");

// The function that a page opened with a file calls with its name and content; it is not exported.
const load = /loadFileFromBase64:\(\w+,\w+\)=>\{this\.loadProfile\(\(\)=>([\w$]+)\(/.exec(source);
const end = source.lastIndexOf("})();");
source = `${source.slice(0, end)};window.__load=${load[1]};${source.slice(end)}`;

const page = new JSDOM("<!DOCTYPE html><body></body>", {
  runScripts: "outside-only",
  url: "http://localhost/",
  pretendToBeVisual: true,
  virtualConsole: new VirtualConsole(), // it complains that nothing can be drawn
});
const nobody = {addListener() {}, removeListener() {}, addEventListener() {}, removeEventListener() {}};
page.window.matchMedia = () => ({matches: false, ...nobody});
page.window.TextDecoder = TextDecoder;
page.window.eval(source);

async function main(file) {
  const content = fs.readFileSync(file).toString("base64");
  const group = await page.window.__load(path.basename(file), content);
  const profiles = group.profiles.map((profile) => {
    const frames = [];
    profile.forEachFrame((frame) =>
      frames.push([frame.name, frame.file ?? null, frame.getTotalWeight(), frame.getSelfWeight()]),
    );
    const calls = [];
    profile.forEachCall(
      (node, at) => calls.push(["O", node.frame.name, at]),
      (node, at) => calls.push(["C", node.frame.name, at]),
    );
    const [name, unit, length] = [
      profile.getName(),
      profile.getWeightUnit(),
      profile.getTotalWeight(),
    ];
    return {name, unit, length, frames, calls};
  });
  fs.writeSync(1, JSON.stringify({name: group.name, profiles}));
  process.exit(0);
}

main(process.argv[2]);
