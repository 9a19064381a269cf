import type { api } from "@banyan/contracts";
import { type Camel, camelize } from "./case.ts";
import type { Client } from "./client.ts";
import { fromProblem } from "./error.ts";
import { readServerEvents } from "./server-events.ts";

/** A string goes to /bin/sh, a list runs as it is. */
export type Command = string | readonly string[];

export interface CommandOptions {
  /** Added to the sandbox's own. */
  env?: Record<string, string>;
  cwd?: string;
  user?: string;
  /** After this the whole process tree is killed. */
  timeoutMs?: number;
}

export interface ExecOptions extends CommandOptions {
  /** Given to the command as its input, which then ends. */
  stdin?: string | Uint8Array;
  /** How much of each of stdout and stderr is kept. */
  outputMaxBytes?: number;
  signal?: AbortSignal;
}

export type ExecResult = Camel<api.ExecResult>;
export type ExecEnd = Omit<ExecResult, "stdout" | "stderr" | "timing">;
/** Output is a string where it is UTF-8, else its bytes. */
export type ExecEvent = { type: "stdout" | "stderr"; data: string | Uint8Array } | ({ type: "exit" } & ExecEnd);

export interface Exec {
  /** Runs a command and waits for its end. A command that fails is a result with its exit code, no error. */
  (command: Command, options?: ExecOptions): Promise<ExecResult>;
  /** The same as it happens; leaving the loop ends the command. */
  stream(command: Command, options?: ExecOptions): AsyncGenerator<ExecEvent, void, undefined>;
}

const TIMEOUT_MS_DEFAULT = 300_000;
/** Beyond the command's own time, before the answer counts as lost. */
const ANSWER_MARGIN_MS = 30_000;

export function createExec(client: Client, path: string): Exec {
  const run = (command: Command, options: ExecOptions = {}): Promise<ExecResult> =>
    client.json<api.ExecResult>("POST", `${path}/exec`, {
      json: execBody(command, options),
      timeoutMs: (options.timeoutMs ?? TIMEOUT_MS_DEFAULT) + ANSWER_MARGIN_MS,
      signal: options.signal,
    });
  const stream = async function* (command: Command, options: ExecOptions = {}): AsyncGenerator<ExecEvent, void, undefined> {
    const response = await client.request("POST", `${path}/exec`, {
      json: execBody(command, options),
      headers: { accept: "text/event-stream" },
      timeoutMs: null,
      signal: options.signal,
    });
    for await (const { event, data } of readServerEvents(response)) yield execEvent(event, JSON.parse(data));
  };
  return Object.assign(run, { stream });
}

export function commandBody(command: Command, { env, cwd, user, timeoutMs }: CommandOptions): object {
  return {
    ...(typeof command === "string" ? { shell: command } : { argv: command }),
    ...(env && { env }),
    ...(cwd !== undefined && { cwd }),
    ...(user !== undefined && { user }),
    ...(timeoutMs !== undefined && { timeoutMs }),
  };
}

function execBody(command: Command, options: ExecOptions): object {
  const { stdin, outputMaxBytes } = options;
  return {
    ...commandBody(command, options),
    ...(typeof stdin === "string" && { stdin }),
    ...(stdin instanceof Uint8Array && { stdinBase64: Buffer.from(stdin).toString("base64") }),
    ...(outputMaxBytes !== undefined && { outputMaxBytes }),
  };
}

function execEvent(event: string, data: unknown): ExecEvent {
  switch (event) {
    case "stdout":
    case "stderr": {
      const chunk = data as { text: string } | { base64: string };
      return { type: event, data: "text" in chunk ? chunk.text : Buffer.from(chunk.base64, "base64") };
    }
    case "exit":
      return { type: "exit", ...(camelize(data) as ExecEnd) };
    case "error":
      throw fromProblem(data as api.Problem);
    default:
      throw new TypeError(`unknown event in the stream: ${event}`);
  }
}
