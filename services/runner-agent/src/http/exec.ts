import { api, fault, LIMITS } from "@banyan/contracts";
import { readJson, sendJson, translating } from "@banyan/files";
import type { ExecSpec } from "@banyan/runtime";
import { BoundedOutput } from "./bounded-output.ts";
import { commandOf } from "./command.ts";
import { execEnd } from "./exec-end.ts";
import { execStream } from "./exec-stream.ts";
import { watchOom } from "./oom.ts";
import type { Operation } from "./operation.ts";

const EXEC_TIMEOUT_MS_DEFAULT = 300_000;

/** `POST exec`: runs a command to its end, and answers whole or, where events are accepted, as it goes. */
export async function exec(operation: Operation): Promise<void> {
  const body = await readJson(operation.request, api.ExecBody);
  const streamed = operation.request.headers.accept?.includes("text/event-stream") ?? false;
  const spec = specOf(operation, body);
  return streamed ? execStream(operation, spec, stdinOf(body)) : execWhole(operation, spec, stdinOf(body));
}

export interface BoundedExecSpec extends ExecSpec {
  outputMaxBytes: number;
}

function specOf({ sandbox }: Operation, body: api.ExecBody): BoundedExecSpec {
  return { ...commandOf(sandbox, body), timeoutMs: body.timeout_ms ?? EXEC_TIMEOUT_MS_DEFAULT, outputMaxBytes: body.output_max_bytes };
}

function stdinOf(body: api.ExecBody): Buffer | null {
  if (body.stdin === undefined && body.stdin_base64 === undefined) return null;
  const bytes = body.stdin === undefined ? Buffer.from(body.stdin_base64 ?? "", "base64") : Buffer.from(body.stdin);
  if (bytes.length > LIMITS.execStdinBytes) throw fault("request.too_large", { field: "stdin", maxBytes: LIMITS.execStdinBytes });
  return bytes;
}

async function execWhole(
  { sandbox, response, signal, clock, arrivedMs, logger }: Operation,
  spec: BoundedExecSpec,
  stdin: Buffer | null,
): Promise<void> {
  const stdout = new BoundedOutput(spec.outputMaxBytes);
  const stderr = new BoundedOutput(spec.outputMaxBytes);
  const onStdout = (chunk: Buffer) => stdout.push(chunk);
  const onStderr = (chunk: Buffer) => stderr.push(chunk);
  const sentMs = clock.monotonicMs();
  const running = sandbox.init.exec(spec, { onStdout, onStderr, signal, ...(stdin && { stdin }) });
  const oomKilled = watchOom(sandbox, logger);
  const exit = await translating("exec", running);
  const cut = { stdoutCut: stdout.isCut(exit.stdoutBytes), stderrCut: stderr.isCut(exit.stderrBytes) };
  const end = execEnd(exit, { oomKilled: await oomKilled(exit), ...cut });
  const nowMs = clock.monotonicMs();
  const timing = { queue_ms: round(sentMs - arrivedMs), exec_ms: round(nowMs - sentMs), total_ms: round(nowMs - arrivedMs) };
  const result: api.ExecResult = { ...end, stdout: stdout.text(exit.stdoutBytes), stderr: stderr.text(exit.stderrBytes), timing };
  sendJson(response, 200, result, {
    "server-timing": `queue;dur=${timing.queue_ms}, exec;dur=${timing.exec_ms}, total;dur=${timing.total_ms}`,
  });
  setImmediate(() => sandbox.init.expectExec());
}

function round(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}
