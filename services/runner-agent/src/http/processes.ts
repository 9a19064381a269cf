import { api, fault } from "@banyan/contracts";
import { bodyOf, readJson, readQuery, sendJson, sendNothing, translating } from "@banyan/files";
import { newId } from "@banyan/kernel";
import type { ProcessView } from "@banyan/runtime";
import { commandOf } from "./command.ts";
import type { Operation } from "./operation.ts";
import { signalName, signalNumber } from "./signals.ts";

const PROCESS_ID = /^[A-Za-z0-9_-]{1,64}$/;

/** `POST processes` */
export async function startProcess({ request, response, sandbox, clock }: Operation): Promise<void> {
  const body = await readJson(request, api.SpawnBody);
  const id = body.id ?? newId("exc");
  const spec = { id, ...commandOf(sandbox, body), stdin: body.stdin, ...(body.timeout_ms !== undefined && { timeoutMs: body.timeout_ms }) };
  const { pid } = await translating("exec", sandbox.init.spawn(spec));
  const process: api.Process = {
    id,
    pid,
    state: "running",
    exit_code: null,
    signal: null,
    timed_out: false,
    started_at: new Date(clock.now()).toISOString(),
    ended_at: null,
    stdout_bytes: 0,
    stderr_bytes: 0,
  };
  sendJson(response, 201, process);
}

/** `GET processes` */
export async function listProcesses({ response, sandbox }: Operation): Promise<void> {
  const views = await translating("process", sandbox.init.processes());
  sendJson(response, 200, { processes: views.map(processOf) });
}

/** `GET processes/{id}` */
export async function readProcess(operation: Operation): Promise<void> {
  sendJson(operation.response, 200, processOf(await findProcess(operation)));
}

/** `POST processes/{id}/stdin` */
export async function writeStdin(operation: Operation): Promise<void> {
  const { request, response, sandbox, query, signal } = operation;
  const { close } = readQuery(query, api.StdinQuery);
  await translating("process", sandbox.init.writeStdin(processIdOf(operation), bodyOf(request), { close: close === "true", signal }));
  sendNothing(response);
}

/** `POST processes/{id}/signal` */
export async function signalProcess(operation: Operation): Promise<void> {
  const { request, response, sandbox } = operation;
  const body = await readJson(request, api.SignalBody);
  await translating("process", sandbox.init.signalProcess(processIdOf(operation), signalNumber(body.signal), { tree: body.tree }));
  sendNothing(response);
}

/** `POST processes/{id}/wait` */
export async function waitForProcess(operation: Operation): Promise<void> {
  const { request, response, sandbox, signal } = operation;
  const { timeout_ms } = await readJson(request, api.WaitBody);
  const exit = await translating("process", sandbox.init.waitProcess(processIdOf(operation), { timeoutMs: timeout_ms, signal }));
  if (!exit) throw fault("process.wait_timeout", { retryAfterMs: 0 });
  sendJson(response, 200, processOf(await findProcess(operation)));
}

export async function findProcess(operation: Operation): Promise<ProcessView> {
  const id = processIdOf(operation);
  const views = await translating("process", operation.sandbox.init.processes());
  const found = views.find((view) => view.id === id);
  if (!found) throw fault("process.not_found", { id });
  return found;
}

export function processIdOf({ params }: Operation): string {
  const id = params.process ?? "";
  if (!PROCESS_ID.test(id)) throw fault("process.not_found", { id: id.slice(0, 64) });
  return id;
}

function processOf(view: ProcessView): api.Process {
  return {
    id: view.id,
    pid: view.pid,
    state: view.running ? "running" : "exited",
    exit_code: view.code,
    signal: view.signal === null ? null : signalName(view.signal),
    timed_out: view.timedOut,
    started_at: new Date(view.startedAtMs).toISOString(),
    ended_at: view.endedAtMs === null ? null : new Date(view.endedAtMs).toISOString(),
    stdout_bytes: view.stdoutBytes,
    stderr_bytes: view.stderrBytes,
  };
}
