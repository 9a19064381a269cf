// A plain file server, as a process of its own: what a transfer costs when nothing stands between the socket and the file.
import { createReadStream, createWriteStream, statSync } from "node:fs";
import { createServer } from "node:http";
import { pipeline } from "node:stream/promises";

const path = process.argv[2] ?? "";
const server = createServer((request, response) => {
  answer(request, response).catch(() => response.destroy());
});

/** @param {import("node:http").IncomingMessage} request @param {import("node:http").ServerResponse} response */
async function answer(request, response) {
  if (request.method === "PUT") {
    await pipeline(request, createWriteStream(path));
    response.end();
  } else {
    response.setHeader("content-length", statSync(path).size);
    await pipeline(createReadStream(path), response);
  }
}

server.listen(0, "127.0.0.1", () => {
  const address = server.address();
  process.send?.(address !== null && typeof address === "object" ? address.port : 0);
});
process.once("disconnect", () => process.exit(0));
