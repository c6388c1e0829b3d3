// What Node's programs do to read a file, for the matrix of programs: `calls.js CALL SOURCE TARGET`.
const fs = require("fs");
const { pipeline } = require("stream/promises");
const [, , call, source, target] = process.argv;

const calls = {
  copyFile: () => fs.promises.copyFile(source, target),
  readFile: async () => fs.writeFileSync(target, await fs.promises.readFile(source)),
  stream: () => pipeline(fs.createReadStream(source), fs.createWriteStream(target)),
  blob: async () => fs.writeFileSync(target, Buffer.from(await (await fs.openAsBlob(source)).arrayBuffer())),
};

calls[call]().catch((error) => {
  console.error(String(error));
  process.exit(1);
});
