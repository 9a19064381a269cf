import type { ChangeSummary, ChildCommand, ForkOutcome } from "@banyan/contracts";
import { type ExecSpec, type ExitStatus, NativeError } from "@banyan/runtime";
import type { z } from "zod";
import { BoundedOutput } from "../http/bounded-output.ts";
import { watchOom } from "../http/oom.ts";
import type { RunningSandbox } from "../ports.ts";
import { countChild } from "./count-child.ts";
import { OutputFile } from "./output-file.ts";
import type { NodeParts } from "./parts.ts";

/** What one child of a fork runs. */
export interface ChildRun {
  forkId: string;
  orgId: string;
  index: number;
  sandboxId: string;
  epoch: number;
  command: z.infer<typeof ChildCommand>;
  /** The child's own, which go before the command's. */
  env: Record<string, string>;
  stdin: string | null;
}

const OUTPUT_DIRECTORY = "/var/tmp/banyan-fork";
/** As a shell says that there is no such command, and that it cannot be run. */
const EXIT_NOT_FOUND = 127;
const EXIT_NOT_RUN = 126;
/** Refusals of init before anything ran. */
const NOT_RUN: ReadonlySet<string> = new Set([
  "not_found",
  "not_executable",
  "no_such_user",
  "bad_cwd",
  "bad_request",
  "too_many",
  "errno",
]);

/** Runs it to its end. Null: it was interrupted, by the end of its sandbox or of the connection, and nobody knows how it would have ended. */
export async function runChildCommand(parts: NodeParts, run: ChildRun): Promise<ForkOutcome | null> {
  const sandbox = findRunning(parts, run);
  if (sandbox === null) return null;
  // While it runs, the sandbox is not idle.
  const release = sandbox.use();
  try {
    return await execute(parts, run, sandbox);
  } finally {
    release();
  }
}

function findRunning({ registry }: NodeParts, run: ChildRun): RunningSandbox | null {
  const known = registry.get(run.sandboxId);
  return known?.entry.epoch === run.epoch ? (known.run?.view ?? null) : null;
}

async function execute(parts: NodeParts, run: ChildRun, sandbox: RunningSandbox): Promise<ForkOutcome | null> {
  const { outputMaxBytes, outputToFiles } = run.command;
  const [stdout, stderr] = [new BoundedOutput(outputMaxBytes), new BoundedOutput(outputMaxBytes)];
  const [outFile, errFile] = outputToFiles
    ? ["stdout", "stderr"].map((name) => new OutputFile(sandbox.init, `${OUTPUT_DIRECTORY}/${name}`))
    : [];
  const wasOom = watchOom(sandbox, parts.logger);
  try {
    const exit = await sandbox.init.exec(specOf(run, sandbox), {
      signal: parts.ending.signal,
      ...(run.stdin !== null && { stdin: run.stdin }),
      onStdout: (chunk) => {
        stdout.push(chunk);
        return outFile?.push(chunk);
      },
      onStderr: (chunk) => {
        stderr.push(chunk);
        return errFile?.push(chunk);
      },
    });
    await Promise.all([outFile?.end(), errFile?.end()]);
    const oomKilled = await wasOom(exit);
    const printed = { stdout: stdout.text(exit.stdoutBytes), stderr: stderr.text(exit.stderrBytes) };
    return { ...ended(exit), oomKilled, ...printed, changes: await countChild(parts, run) };
  } catch (error) {
    await Promise.all([outFile?.end(), errFile?.end()]);
    const refusal = error instanceof NativeError && NOT_RUN.has(error.code) ? error : null;
    if (refusal === null) {
      parts.logger.debug({ err: error, sandboxId: run.sandboxId }, "a child's command was interrupted");
      return null;
    }
    return notRun(refusal, outputMaxBytes, await countChild(parts, run));
  }
}

function specOf({ command, env }: ChildRun, sandbox: RunningSandbox): ExecSpec {
  return {
    argv: command.argv,
    env: { ...sandbox.env, ...command.env, ...env },
    cwd: command.cwd ?? sandbox.workdir,
    user: command.user ?? sandbox.user,
    timeoutMs: command.timeoutMs,
    // What goes into files has to come here whole.
    ...(!command.outputToFiles && { outputMaxBytes: command.outputMaxBytes }),
  };
}

function ended(exit: ExitStatus): Omit<ForkOutcome, "stdout" | "stderr" | "changes"> {
  return {
    exitCode: exit.code,
    signal: exit.signal,
    timedOut: exit.timedOut,
    durationMs: exit.durationUs / 1_000,
    stdoutBytes: exit.stdoutBytes,
    stderrBytes: exit.stderrBytes,
  };
}

function notRun({ code, message }: NativeError, outputMaxBytes: number, changes: ChangeSummary | null): ForkOutcome {
  const said = Buffer.from(`${code}: ${message}`);
  return {
    exitCode: code === "not_found" ? EXIT_NOT_FOUND : EXIT_NOT_RUN,
    signal: null,
    timedOut: false,
    durationMs: 0,
    stdout: "",
    stderr: said.toString("utf8", 0, outputMaxBytes),
    stdoutBytes: 0,
    stderrBytes: said.length,
    changes,
  };
}
