import type { Terminal } from "@banyan/sdk";
import { Command } from "commander";
import { given, openSession } from "../session.ts";
import { exitCodeOf } from "./exec.ts";

export function shellCommand(): Command {
  return new Command("shell")
    .description("an interactive terminal in a sandbox")
    .argument("<id>")
    .option("-c, --shell <line>", "what to run (default: the sandbox's shell)")
    .option("--cwd <path>")
    .option("--user <user>")
    .addHelpText("after", "\nExample:\n  banyan shell sbx_…")
    .action(async (id: string, options: { shell?: string; cwd?: string; user?: string }, command: Command) => {
      const { banyan } = await openSession(command);
      const { columns: cols, rows } = process.stdout;
      const terminal = await banyan.sandboxes.at(id).terminal(given({ ...options, cols, rows }));
      process.exitCode = await connect(terminal);
    });
}

/** Joins this terminal with that one, key by key, until it ends. */
async function connect(terminal: Terminal): Promise<number> {
  const { stdin, stdout } = process;
  const resize = () => terminal.resize(stdout.columns, stdout.rows);
  if (stdin.isTTY) stdin.setRawMode(true);
  stdin.on("data", (data: Buffer<ArrayBuffer>) => terminal.write(data));
  if (stdout.isTTY) stdout.on("resize", resize);
  try {
    for await (const bytes of terminal.output) stdout.write(bytes);
    const end = await terminal.ended;
    return exitCodeOf({ ...end, timedOut: false });
  } finally {
    if (stdin.isTTY) stdin.setRawMode(false);
    stdin.pause();
    stdout.off("resize", resize);
  }
}
