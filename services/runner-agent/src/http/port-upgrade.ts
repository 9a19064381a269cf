import { request as httpRequest, type IncomingMessage, STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";
import { applicationHeaders, dial, noAnswer, passable, wake } from "./ports.ts";
import type { Upgrade } from "./upgrades.ts";

const ANSWER_TIMEOUT_MS = 30_000;

interface Answer {
  head: IncomingMessage;
  /** Null where the application did not want the upgrade. */
  socket: Duplex | null;
  rest: Buffer;
}

/** A WebSocket (or any other upgrade) to a port: after the application's 101 the two connections are one. */
export async function portUpgrade({ request, socket, head, sandbox, target }: Upgrade, port: number, rest: string): Promise<void> {
  const inside = await dial(sandbox, port);
  inside.on("error", () => inside.destroy());
  socket.once("close", () => inside.destroy());
  const answer = await ask(inside, request, port, `${rest}${target.query}`);
  const status = answer.head.statusCode ?? 502;
  const connection = answer.socket
    ? ["connection", "Upgrade", "upgrade", answer.head.headers.upgrade ?? "websocket"]
    : ["connection", "close"];
  socket.write(responseHead(status, [...connection, ...passable(answer.head.rawHeaders)]));
  if (!answer.socket) {
    answer.head.on("error", () => socket.destroy());
    answer.head.pipe(socket);
    return;
  }
  inside.once("close", () => socket.destroy());
  if (answer.rest.length > 0) socket.write(answer.rest);
  if (head.length > 0) inside.write(head);
  inside.pipe(socket);
  socket.pipe(inside);
}

function ask(inside: Duplex, request: IncomingMessage, port: number, path: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const upgrade = ["connection", "Upgrade", "upgrade", request.headers.upgrade ?? "websocket"];
    const headers = [...applicationHeaders(request.rawHeaders, port), ...upgrade];
    const inner = httpRequest({
      createConnection: () => inside,
      method: request.method,
      path,
      headers,
      setHost: false,
      timeout: ANSWER_TIMEOUT_MS,
    });
    wake(inner);
    inner.on("upgrade", (head, socket, rest) => resolve({ head, socket, rest }));
    inner.on("response", (head) => resolve({ head, socket: null, rest: Buffer.alloc(0) }));
    inner.on("timeout", () => inner.destroy(new Error("no answer to the upgrade")));
    inner.on("error", (cause) => reject(noAnswer(port, cause)));
    inner.end();
  });
}

/** Names and values come from Node's parser, which lets no line break through. */
function responseHead(status: number, headers: readonly string[]): string {
  let head = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}\r\n`;
  for (let i = 0; i + 1 < headers.length; i += 2) head += `${headers[i]}: ${headers[i + 1]}\r\n`;
  return `${head}\r\n`;
}
