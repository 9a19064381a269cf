import { type IncomingMessage, STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";
import { api } from "@banyan/contracts";
import { problemHeaders, requestIdOf, toAppError } from "@banyan/files";
import type { Logger } from "@banyan/kernel";
import { WebSocketServer } from "ws";
import type { RunningSandbox } from "../ports.ts";
import type { Claims } from "./authorise.ts";
import { portUpgrade } from "./port-upgrade.ts";
import { portOf } from "./ports.ts";
import { openPty } from "./pty.ts";
import type { Target } from "./server.ts";

const FRAME_BYTES_MAX = 1024 * 1024;
const PORT = /^ports\/(\d{1,5})(\/.*)?$/s;

export interface Admitted {
  claims: Claims;
  target: Target;
  sandbox: RunningSandbox;
}

/** One connection that is to become something else than HTTP. */
export interface Upgrade extends Admitted {
  request: IncomingMessage;
  socket: Duplex;
  head: Buffer;
  logger: Logger;
}

export interface Upgrades {
  take(request: IncomingMessage, socket: Duplex, head: Buffer, admit: () => Admitted): void;
}

export function createUpgrades(logger: Logger): Upgrades {
  const webSockets = new WebSocketServer({ noServer: true, maxPayload: FRAME_BYTES_MAX, perMessageDeflate: false });

  async function serve(request: IncomingMessage, socket: Duplex, head: Buffer, admit: () => Admitted): Promise<void> {
    const upgrade: Upgrade = { ...admit(), request, socket, head, logger };
    const release = upgrade.sandbox.use();
    socket.once("close", release);
    const port = PORT.exec(upgrade.target.path);
    if (port) return portUpgrade(upgrade, portOf(port[1]), port[2] ?? "/");
    return openPty(upgrade, webSockets);
  }

  return {
    take(request, socket, head, admit) {
      socket.on("error", () => socket.destroy());
      serve(request, socket, head, admit).catch((thrown: unknown) =>
        refuse(socket, thrown, requestIdOf(request.headers["x-request-id"]), logger),
      );
    },
  };
}

/** Before the 101 an upgrade is still a request, and is refused with a problem document. */
function refuse(socket: Duplex, thrown: unknown, requestId: string, logger: Logger): void {
  const problem = api.toProblem(toAppError(thrown, requestId, logger), requestId);
  const body = JSON.stringify(problem);
  const headers = { ...problemHeaders(problem), connection: "close", "content-length": Buffer.byteLength(body) };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  socket.end([`HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status] ?? ""}`, ...lines, "", body].join("\r\n"));
}
