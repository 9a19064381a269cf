import { spawn } from "node:child_process";
import { fault } from "@banyan/contracts";

const COMMAND_TIMEOUT_MS = 30_000;
const OUTPUT_MAX = 4 * 1024 * 1024;

export interface CommandOptions {
  stdin?: string;
  timeoutMs?: number;
  /** In characters, of each stream. What goes beyond is not read into a result: `runCommand` refuses it. */
  outputMax?: number;
  /** In place of the search path alone. */
  env?: NodeJS.ProcessEnv;
}

export interface CommandResult {
  exitCode: number | null;
  stdout: string;
  stderr: string;
  /** There was more on stdout. */
  isCut: boolean;
}

/** Runs a tool of the host to its end, for what Node has no system call for. Costs 2 ms and more: never on the path of a start. */
export function tryCommand(command: string, args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      stdio: ["pipe", "pipe", "pipe"],
      timeout: options.timeoutMs ?? COMMAND_TIMEOUT_MS,
      killSignal: "SIGKILL",
      env: options.env ?? { PATH: process.env.PATH ?? "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL: "C" },
    });
    const { outputMax = OUTPUT_MAX } = options;
    const read = (stream: NodeJS.ReadableStream) => {
      const said = { text: "", isCut: false };
      stream.setEncoding("utf8");
      stream.on("data", (chunk: string) => {
        if (said.text.length + chunk.length <= outputMax) said.text += chunk;
        else said.isCut = true;
      });
      return said;
    };
    const stdout = read(child.stdout);
    const stderr = read(child.stderr);
    child.on("error", (cause) => reject(fault("internal", { command, args }, { cause, message: `${command} cannot be run` })));
    child.on("close", (exitCode) => resolve({ exitCode, stdout: stdout.text, stderr: stderr.text, isCut: stdout.isCut }));
    // A tool that ends before it has read its input says so by its exit code.
    child.stdin.on("error", () => child.stdin.destroy());
    child.stdin.end(options.stdin ?? "");
  });
}

/** The same, but an exit code other than 0 is a fault; answers stdout. */
export async function runCommand(command: string, args: readonly string[], options: CommandOptions = {}): Promise<string> {
  const { exitCode, stdout, stderr, isCut } = await tryCommand(command, args, options);
  if (isCut) throw fault("internal", { command, args }, { message: `${command} said more than is read` });
  if (exitCode !== 0) {
    const said = stderr.trim().slice(0, 2_000);
    throw fault("internal", { command, args, exitCode, stderr: said }, { message: `${command} failed: ${said}` });
  }
  return stdout;
}
