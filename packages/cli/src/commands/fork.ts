import { readFile } from "node:fs/promises";
import type { Fork, ForkChildInfo, ForkEach, ForkOptions, MountOptions } from "@banyan/sdk";
import { Command, InvalidArgumentError, Option } from "commander";
import { showForkProgress } from "../fork-progress.ts";
import { childrenTable, forkText, hasSucceeded } from "../fork-text.ts";
import { given, openSession, type Session } from "../session.ts";
import { collectPair, number, type Seconds, secondsOrNever, secondsOrNull } from "../values.ts";
import { collectMount } from "../volume-values.ts";

/** As shells have it. */
const INTERRUPTED_CODE = 130;

interface Options {
  count?: number;
  cmd?: string;
  policy?: "all" | "first_success";
  best?: "max" | "min";
  env?: Record<string, string>;
  envCycle?: Record<string, string[]>;
  each?: string;
  name?: string;
  label?: Record<string, string>;
  cwd?: string;
  user?: string;
  timeout?: number;
  outputBytes?: number;
  outputToFiles?: boolean;
  cpu?: number;
  memoryMb?: number;
  volume?: MountOptions[];
  idleTimeout?: Seconds;
  maxParallel?: number;
  spread?: "auto" | "pack" | "spread";
  retries?: number;
  deadline?: number;
  keep?: boolean;
  after?: "keep" | "stop" | "delete";
  losers?: "keep" | "delete";
  detach?: boolean;
  max: number;
}

const EXAMPLES = `
Examples:
  banyan fork sbx_… -n 100 --cmd 'pytest -q --seed $BANYAN_FORK_INDEX'
  banyan fork sbx_… -n 20 --cmd './try.sh' --policy first_success && banyan promote <winner>
  banyan fork sbx_… -n 8 --cmd './train.sh && cat score' --best max --env-cycle RATE=0.1,0.01 --max-parallel 4
  banyan fork team/app:1 -n 1000 --cmd 'make test' --after delete --detach
  banyan fork sbx_… -n 3 --keep

A child knows BANYAN_FORK_ID, BANYAN_FORK_INDEX, BANYAN_FORK_COUNT and BANYAN_PARENT_ID. The exit code is 0 when all succeeded, or when
there is a winner where the policy has one.`;

export function forkCommand(): Command {
  return new Command("fork")
    .description("try something in many children of a sandbox or an image at once")
    .argument("<sandbox or image>", "sbx_…, or the name or id of an image or snapshot")
    .option("-n, --count <count>", "how many children", number)
    .option("-c, --cmd <line>", "what each runs, by /bin/sh; without it they only start")
    .addOption(new Option("--policy <policy>", "all run to their end, or the first that succeeds wins").choices(["all", "first_success"]))
    .addOption(
      new Option("--best <goal>", "the last line each prints is a number, and this one wins").choices(["max", "min"]).conflicts("policy"),
    )
    .option("-e, --env <key=value>", "a variable; {index}, {fork} and {count} are the child's own; repeatable", collectPair)
    .option("--env-cycle <key=a,b,c>", "child i gets value i modulo their number; repeatable", collectCycle)
    .option("--each <file.json>", "a list with {env, stdin, files} for each child")
    .option("--name <name>", "children are called <name>-<index>")
    .option("-l, --label <key=value>", "a label; repeatable", collectPair)
    .option("--cwd <path>", "of the command")
    .option("--user <user>", "of the command")
    .option("--timeout <ms>", "of each command (default: the fork's deadline)", number)
    .option("--output-bytes <bytes>", "of each of stdout and stderr in the result", number)
    .option("--output-to-files", "the whole output is also kept in the child, in /var/tmp/banyan-fork")
    .option("--cpu <cores>", "of each child (default: the source's)", number)
    .option("--memory-mb <mb>", "of each child (default: the source's)", number)
    .option(
      "-v, --volume <mount>",
      "<volume>[@<version>]:/path[:mode][:subpath] of each child, beside the source's; repeatable",
      collectMount,
    )
    .option("--idle-timeout <s>", "after which an idle child is deleted, or never (default: 900)", secondsOrNever)
    .option("--max-parallel <count>", "children that run at once", number)
    .addOption(new Option("--spread <how>", "over the nodes").choices(["auto", "pack", "spread"]))
    .option("--retries <count>", "of a child whose node was lost", number)
    .option("--deadline <s>", "then what is unfinished is cancelled", number)
    .addOption(new Option("--keep", "children go on when their command has ended").conflicts("after"))
    .addOption(new Option("--after <what>", "becomes of a child then (default: stop)").choices(["keep", "stop", "delete"]))
    .addOption(new Option("--losers <what>", "becomes of all but the winner (default: delete)").choices(["keep", "delete"]))
    .option("-d, --detach", "answer at once with the fork's id")
    .option("-m, --max <count>", "children shown in the table", number, 100)
    .addHelpText("after", EXAMPLES)
    .action(async (source: string, options: Options, command: Command) => {
      const session = await openSession(command);
      const fork = await start(session, source, options);
      if (options.detach) return session.show(fork.info, () => fork.id);
      await follow(session, fork);
      await report(session, fork, options.max);
    });
}

async function start({ banyan }: Session, source: string, options: Options): Promise<Fork> {
  const asked = await optionsOf(options);
  const origin = source.startsWith("sbx_") ? { sandbox: source } : { image: source };
  return banyan.forks.create({ ...origin, ...asked, ...given({ count: options.count }) });
}

async function optionsOf(options: Options): Promise<ForkOptions> {
  const { cmd, cwd, user, timeout: timeoutMs, outputBytes: outputMaxBytes, outputToFiles } = options;
  const { env, envCycle, name, maxParallel, spread, retries, losers } = options;
  const idleTimeoutS = secondsOrNull(options.idleTimeout);
  return {
    ...(cmd !== undefined && { run: { command: cmd, ...given({ cwd, user, timeoutMs, outputMaxBytes, outputToFiles }) } }),
    ...given({
      env,
      envCycle,
      name,
      maxParallel,
      spread,
      retries,
      losers,
      labels: options.label,
      volumes: options.volume,
      deadlineS: options.deadline,
    }),
    ...given({ policy: options.best === undefined ? options.policy : { best: options.best } }),
    ...given({ after: options.keep ? ("keep" as const) : options.after }),
    limits: given({ cpu: options.cpu, memoryMb: options.memoryMb }),
    ...(idleTimeoutS !== undefined && { lifetime: { idleTimeoutS } }),
    ...(options.each !== undefined && { each: await readEach(options.each) }),
  };
}

async function readEach(path: string): Promise<ForkEach[]> {
  const list: unknown = JSON.parse(await readFile(path, "utf8"));
  if (!Array.isArray(list)) throw new Error(`${path} must hold a list, with one entry a child`);
  return list;
}

async function follow({ json }: Session, fork: Fork): Promise<void> {
  const progress = showForkProgress({ silent: json });
  if (!json) process.stderr.write(`${fork.id}\n`);
  const leave = (): never => {
    progress.end();
    process.stderr.write(`\n${fork.id} goes on; to end it: banyan forks cancel ${fork.id}\n`);
    process.exit(INTERRUPTED_CODE);
  };
  process.once("SIGINT", leave);
  try {
    for await (const event of fork.events()) progress.tell(event);
  } finally {
    process.off("SIGINT", leave);
    progress.end();
  }
}

async function report({ show }: Session, fork: Fork, max: number): Promise<void> {
  const info = await fork.look();
  const children = await childrenOf(fork, max);
  process.exitCode = hasSucceeded(info) ? 0 : 1;
  show({ ...info, children }, () => {
    const more = info.counts.total - children.length;
    const lines = [
      childrenTable(children, info),
      ...(more > 0 ? [`… ${more} more: banyan forks get ${info.id} --max ${info.counts.total}`] : []),
    ];
    const winner = info.winner?.sandboxId;
    const next =
      winner && info.source.sandbox !== undefined ? ["", `banyan promote ${winner}   # ${info.source.sandbox} goes on from its files`] : [];
    return [...lines, "", forkText(info), ...next].join("\n");
  });
}

/** The first of them, by index. */
export async function childrenOf(fork: Fork, max: number): Promise<ForkChildInfo[]> {
  const found: ForkChildInfo[] = [];
  if (max < 1) return found;
  for await (const { info } of fork.children({ pageSize: Math.min(max, 1_000) })) {
    found.push(info);
    if (found.length >= max) break;
  }
  return found;
}

/** `RATE=0.1,0.01` for `{RATE: ["0.1", "0.01"]}`. */
export function collectCycle(text: string, before: Record<string, string[]> = {}): Record<string, string[]> {
  const at = text.indexOf("=");
  if (at <= 0) throw new InvalidArgumentError("Write it as key=a,b,c.");
  return { ...before, [text.slice(0, at)]: text.slice(at + 1).split(",") };
}
