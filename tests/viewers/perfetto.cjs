// Perfetto's trace processor under Node.js: the engine of its user interface, which is a program for
// a web worker. Requests come in on stdin and answers go out on stdout, in its own protocol.
//
//     node perfetto.cjs FOLDER     where engine_bundle.js and trace_processor.wasm are

const fs = require("fs");
const path = require("path");
const vm = require("vm");
const {MessageChannel} = require("worker_threads");

const folder = process.argv[2];
const {stdin, stdout} = process;

// What such a program looks for in its surroundings. It refuses to start where it sees Node.js.
globalThis.self = globalThis;
globalThis.location = {href: "http://localhost/engine_bundle.js"};
globalThis.WorkerGlobalScope = class {};
globalThis.XMLHttpRequest = class {
  open(_, url) {
    this.file = path.join(folder, path.basename(url));
  }
  send() {
    const data = fs.readFileSync(this.file);
    this.response = data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength);
    this.status = 200;
  }
};
globalThis.process = undefined;
const file = path.join(folder, "engine_bundle.js");
vm.runInThisContext(fs.readFileSync(file, "utf8"), {filename: file});

const {port1, port2} = new MessageChannel();
globalThis.onmessage({data: port2});
port1.on("message", (answer) => stdout.write(Buffer.from(answer)));
stdin.on("data", (request) => port1.postMessage(new Uint8Array(request)));
stdin.on("end", () => port1.close());
