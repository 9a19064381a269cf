import { spawn } from "node:child_process";
import { fault } from "@banyan/contracts";

const COMMAND_TIMEOUT_MS = 30_000;
const OUTPUT_BYTES_MAX = 4 * 1024 * 1024;

export interface CommandOptions {
  stdin?: string;
  timeoutMs?: number;
  /** In place of the search path alone. */
  env?: NodeJS.ProcessEnv;
}

export interface CommandResult {
  exitCode: number | null;
  stdout: string;
  stderr: string;
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
    const read = (stream: NodeJS.ReadableStream) => {
      let text = "";
      stream.setEncoding("utf8");
      stream.on("data", (chunk: string) => {
        if (text.length < OUTPUT_BYTES_MAX) text += chunk;
      });
      return () => text;
    };
    const stdout = read(child.stdout);
    const stderr = read(child.stderr);
    child.on("error", (cause) => reject(fault("internal", { command, args }, { cause, message: `${command} cannot be run` })));
    child.on("close", (exitCode) => resolve({ exitCode, stdout: stdout(), stderr: stderr() }));
    // A tool that ends before it has read its input says so by its exit code.
    child.stdin.on("error", () => child.stdin.destroy());
    child.stdin.end(options.stdin ?? "");
  });
}

/** The same, but an exit code other than 0 is a fault; answers stdout. */
export async function runCommand(command: string, args: readonly string[], options: CommandOptions = {}): Promise<string> {
  const { exitCode, stdout, stderr } = await tryCommand(command, args, options);
  if (exitCode !== 0) {
    const said = stderr.trim().slice(0, 2_000);
    throw fault("internal", { command, args, exitCode, stderr: said }, { message: `${command} failed: ${said}` });
  }
  return stdout;
}
