import { api, fault, LIMITS } from "@banyan/contracts";
import { checked, fromNative, toAppError, translating } from "@banyan/files";
import type { WebSocketServer } from "ws";
import { commandOf, SHELL } from "./command.ts";
import { execEnd } from "./exec-end.ts";
import { watchOom } from "./oom.ts";
import { Terminal } from "./terminal.ts";
import type { Upgrade } from "./upgrades.ts";

/** The better shell where there is one. */
const DEFAULT_SHELL = "if command -v bash >/dev/null; then exec bash; else exec sh; fi";
const TERM = "xterm-256color";

/** `GET pty` as WebSocket. The command starts before the 101, so that a shell that is not there is a problem document. */
export async function openPty(
  { request, socket, head, sandbox, target, logger, claims }: Upgrade,
  webSockets: WebSocketServer,
): Promise<void> {
  if (target.path !== "pty") throw fault("request.not_found");
  const { cols, rows, ...command } = readPtyQuery(target.query);
  const spec = commandOf(sandbox, { ...command, env: sandbox.env.TERM === undefined ? { TERM } : {} });
  const terminal = new Terminal();
  const exec = sandbox.init.openExec({ ...spec, pty: { rows, cols } }, { onStdout: (bytes) => terminal.show(bytes) });
  const oomKilled = watchOom(sandbox, logger);
  // Who leaves the terminal ends what runs on it.
  socket.once("close", () => exec.close());
  await translating("exec", exec.started);
  webSockets.handleUpgrade(request, socket, head, (webSocket) => terminal.attach(webSocket, exec));
  try {
    const exit = await exec.exit;
    terminal.end(execEnd(exit, { oomKilled: await oomKilled(exit), stdoutCut: false, stderrCut: false }));
  } catch (thrown) {
    if (!socket.destroyed) toAppError(fromNative(thrown, "exec"), claims.requestId, logger);
    terminal.fail();
  }
}

function readPtyQuery(query: string) {
  const parameters = new URLSearchParams(query);
  const argv = parameters.getAll("argv");
  parameters.delete("argv");
  const { shell, cwd, user, cols, rows } = checked(api.PtyQuery, Object.fromEntries(parameters));
  const refuse = (path: string, message: string) => fault("request.invalid", { issues: [{ path, message }] });
  if (argv.length > 0 && shell !== undefined) throw refuse("shell", "give at most one of `argv` and `shell`");
  if (argv.length > LIMITS.argvItems) throw refuse("argv", `at most ${LIMITS.argvItems} items`);
  if ([...argv, shell ?? ""].some((text) => text.includes("\0"))) throw refuse("argv", "no NUL");
  return { argv: argv.length > 0 ? argv : [SHELL, "-c", shell ?? DEFAULT_SHELL], cwd, user, cols, rows };
}
