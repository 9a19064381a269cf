import { constants } from "node:os";
import { buffer } from "node:stream/consumers";
import type { ExecEnd, ExecOptions } from "@banyan/sdk";
import { Command } from "commander";
import { given, openSession } from "../session.ts";
import { collectPair, number } from "../values.ts";

/** As shells and `timeout` have it. */
const TIMED_OUT_CODE = 124;
const SIGNAL_CODE_BASE = 128;

interface Options {
  shell?: string;
  env?: Record<string, string>;
  cwd?: string;
  user?: string;
  timeout?: number;
  stdin?: boolean;
}

export function execCommand(): Command {
  return new Command("exec")
    .description("run a command; its exit code becomes this one's")
    .argument("<id>")
    .argument("[argv...]", "after --: the program and its arguments, as they are")
    .option("-c, --shell <line>", "a command line for /bin/sh instead")
    .option("-e, --env <key=value>", "a variable; repeatable", collectPair)
    .option("--cwd <path>")
    .option("--user <user>")
    .option("--timeout <ms>", "after this its whole process tree is killed", number)
    .option("-i, --stdin", "pass standard input on")
    .addHelpText(
      "after",
      '\nExamples:\n  banyan sandbox exec sbx_… -- python3 -c "print(6 * 7)"\n  banyan sandbox exec sbx_… -c "ls | wc -l"\n  echo hello | banyan sandbox exec -i sbx_… -- cat',
    )
    .action(async (id: string, argv: string[], options: Options, command: Command) => {
      if ((options.shell === undefined) === (argv.length === 0))
        command.error("error: give a command: either `-- program arguments…` or `--shell <line>`");
      const { banyan, json, show } = await openSession(command);
      const { exec } = banyan.sandboxes.at(id);
      const { env, cwd, user, timeout: timeoutMs } = options;
      const stdin = options.stdin ? await buffer(process.stdin) : undefined;
      const execOptions: ExecOptions = given({ env, cwd, user, timeoutMs, stdin });
      const what = options.shell ?? argv;
      if (json) {
        const result = await exec(what, execOptions);
        show(result, () => "");
        process.exitCode = exitCodeOf(result);
        return;
      }
      for await (const event of exec.stream(what, execOptions)) {
        if (event.type === "exit") process.exitCode = exitCodeOf(event);
        else process[event.type].write(event.data);
      }
    });
}

export function exitCodeOf({ exitCode, signal, timedOut }: Pick<ExecEnd, "exitCode" | "signal" | "timedOut">): number {
  if (timedOut) return TIMED_OUT_CODE;
  if (exitCode !== null) return exitCode;
  const signals: Record<string, number> = constants.signals;
  return SIGNAL_CODE_BASE + (signals[signal ?? ""] ?? 0);
}
