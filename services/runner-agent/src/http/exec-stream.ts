import { api } from "@banyan/contracts";
import { fromNative, toAppError, translating } from "@banyan/files";
import type { Exec } from "@banyan/runtime";
import { BoundedOutput } from "./bounded-output.ts";
import { EventStream } from "./event-stream.ts";
import type { BoundedExecSpec } from "./exec.ts";
import { execEnd } from "./exec-end.ts";
import { watchOom } from "./oom.ts";
import type { Operation } from "./operation.ts";
import { Utf8Chunks } from "./utf8.ts";

/** The same command as events. A client that reads slowly slows the command; one that leaves ends it. */
export async function execStream(operation: Operation, spec: BoundedExecSpec, stdin: Buffer | null): Promise<void> {
  const { sandbox, response, signal, logger, requestId } = operation;
  const events = new EventStream(response);
  const stdout = new OutputEvents(events, "stdout", spec.outputMaxBytes);
  const stderr = new OutputEvents(events, "stderr", spec.outputMaxBytes);
  const exec = sandbox.init.openExec(
    { ...spec, stdin: stdin !== null },
    { onStdout: (chunk) => stdout.push(chunk), onStderr: (chunk) => stderr.push(chunk) },
  );
  const oomKilled = watchOom(sandbox, logger);
  const leave = () => exec.close();
  signal.addEventListener("abort", leave, { once: true });
  try {
    await translating("exec", exec.started);
    events.begin();
    if (stdin) feed(exec, stdin, operation);
    const exit = await exec.exit;
    await stdout.end();
    await stderr.end();
    const cut = { stdoutCut: stdout.bounded.isCut(exit.stdoutBytes), stderrCut: stderr.bounded.isCut(exit.stderrBytes) };
    await events.send("exit", execEnd(exit, { oomKilled: await oomKilled(exit), ...cut }));
  } catch (thrown) {
    if (!events.begun) throw thrown;
    await events.send("error", api.toProblem(toAppError(fromNative(thrown, "exec"), requestId, logger), requestId));
  } finally {
    signal.removeEventListener("abort", leave);
    exec.close();
    if (events.begun) events.end();
  }
}

/** Beside the output: a command may write before it has read everything, and need not read at all. */
function feed(exec: Exec, stdin: Buffer, { logger, requestId }: Operation): void {
  exec
    .write(stdin)
    .then(() => exec.closeStdin())
    .catch((thrown: unknown) => logger.debug({ err: thrown, requestId }, "the command ended before it took all its input"));
}

class OutputEvents {
  readonly bounded: BoundedOutput;
  readonly #chunks = new Utf8Chunks();
  readonly #events: EventStream;
  readonly #name: string;

  constructor(events: EventStream, name: "stdout" | "stderr", maxBytes: number) {
    this.#events = events;
    this.#name = name;
    this.bounded = new BoundedOutput(maxBytes);
  }

  push(bytes: Buffer): Promise<void> | undefined {
    const chunk = this.#chunks.push(this.bounded.admit(bytes));
    return chunk ? this.#events.send(this.#name, chunk) : undefined;
  }

  end(): Promise<void> | undefined {
    const chunk = this.#chunks.end();
    return chunk ? this.#events.send(this.#name, chunk) : undefined;
  }
}
