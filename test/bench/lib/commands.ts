import { spawn } from "node:child_process";

const COMMAND_TIMEOUT_MS = 60_000;

export interface CommandResult {
  code: number | null;
  stdout: string;
  stderr: string;
  ms: number;
}

export function run(argv: readonly [string, ...string[]], options: { env?: NodeJS.ProcessEnv; cwd?: string } = {}): Promise<CommandResult> {
  const [program, ...args] = argv;
  return new Promise((resolve, reject) => {
    const startedMs = performance.now();
    const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"], timeout: COMMAND_TIMEOUT_MS, ...options });
    let stdout = "";
    let stderr = "";
    child.stdout.on("data", (chunk: Buffer) => {
      stdout += chunk.toString();
    });
    child.stderr.on("data", (chunk: Buffer) => {
      stderr += chunk.toString();
    });
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, stdout, stderr, ms: performance.now() - startedMs }));
  });
}

export async function mustRun(
  argv: readonly [string, ...string[]],
  options: { env?: NodeJS.ProcessEnv; cwd?: string } = {},
): Promise<CommandResult> {
  const result = await run(argv, options);
  if (result.code !== 0) throw new Error(`${argv.join(" ")} ended with ${result.code}: ${result.stderr.slice(-500)}`);
  return result;
}

/** Times `n` runs one after another; a run that ends otherwise than with 0 counts as failed. */
export async function timeCommand(
  n: number,
  argv: (i: number) => readonly [string, ...string[]],
  options: { env?: NodeJS.ProcessEnv; cwd?: string } = {},
) {
  const samples: number[] = [];
  let failed = 0;
  for (let i = 0; i < n; i++) {
    const result = await run(argv(i), options);
    if (result.code === 0) samples.push(result.ms);
    else failed++;
  }
  return { samples, failed };
}
