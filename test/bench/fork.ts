import type { api } from "@banyan/contracts";
import type { BenchContext } from "./lib/context.ts";
import { type Report, report, type Target } from "./lib/report.ts";
import { type Result, summarise } from "./lib/stats.ts";
import { fullPool } from "./spin-up.ts";

export const targets: Target[] = [
  { result: "fork.exec.100", percentile: "p50", must: 500, aim: 150 },
  { result: "fork.command.100", percentile: "p50", must: 500, aim: 150 },
  { result: "fork.pause", percentile: "p99", aim: 5 },
  { result: "fork.large-to-small", percentile: "p50", must: 1.2 },
];

const COUNTS = [1, 10, 50, 100];
const ROUNDS = 5;
const SMALL_MB = 10;
const LARGE_MB = 2_048;
const LARGE_DISK_MB = 8_192;
const VOLUME_COUNT = 10;
const PEER_COUNTS = [1, 10, 100];
const PEER_ROUNDS = 3;
const WRITE_TIMEOUT_MS = 120_000;
const REMOVE_PARALLEL = 16;
/** Small, so that it is the machine that bounds how many there are, not what its node promises. */
const CHILD = { limits: { cpu: 0.1, memory_mb: 64, pids: 64, disk_mb: 256 }, deadline_s: 300 } satisfies api.ForkSandboxInput;

/** Samples of one kind of fork. */
interface Forks {
  walls: number[];
  pauses: number[];
  failed: number;
}

/**
 * One request for a fork of a running sandbox to the first answer of a command in every child: `exec`, by an exec over HTTP as soon as the events
 * say that a child runs; `command`, by the fork's own command. With a full pool before each, and everything deleted after it.
 */
export async function run(context: BenchContext): Promise<Report> {
  const rounds = context.n ?? ROUNDS;
  const results: Result[] = [];
  const pauses: number[] = [];
  const source = await sourceWith(context, SMALL_MB);
  const max = context.options.max?.split(",").map(Number) ?? [];
  for (const count of [...COUNTS, ...max]) {
    for (const [way, fork] of [
      ["exec", forkThenExec],
      ["command", forkWithCommand],
    ] as const) {
      const forks = await sample(context, `fork.${way}.${count}`, max.includes(count) ? 1 : rounds, () => fork(context, source, count));
      results.push(summarise(`fork.${way}.${count}`, "ms", forks.walls, forks.failed));
      pauses.push(...forks.pauses);
    }
  }
  results.push(summarise("fork.pause", "ms", pauses), ...(await volumes(context, source, rounds)));
  await context.client.remove(source);
  const peers = await context.peers();
  for (const count of PEER_COUNTS) {
    context.progress(`peer.docker-fork-${count}`);
    results.push(await peers.fork(count, count === Math.max(...PEER_COUNTS) ? 1 : PEER_ROUNDS, SMALL_MB));
  }
  return report(
    "fork",
    results,
    PEER_COUNTS.map((count) => [`fork.command.${count}`, `peer.docker-fork-${count}`]),
  );
}

/** The same fork of sandboxes with little and with much in their uppers, in turn; the first after the writing of much is told apart. */
async function volumes(context: BenchContext, small: string, rounds: number): Promise<Result[]> {
  const large = await sourceWith(context, LARGE_MB);
  try {
    const fork = (source: string) => () => forkWithCommand(context, source, VOLUME_COUNT);
    const first = await sample(context, "fork.large.first", 1, fork(large));
    const walls: Record<"small" | "large", number[]> = { small: [], large: [] };
    const pauses: number[] = [];
    let failed = 0;
    for (let round = 0; round < rounds; round++) {
      for (const [name, source] of [["small", small] as const, ["large", large] as const]) {
        const forks = await sample(context, `fork.${name} ${round + 1}/${rounds}`, 1, fork(source));
        walls[name].push(...forks.walls);
        failed += forks.failed;
        if (name === "large") pauses.push(...forks.pauses);
      }
    }
    const of = (name: string, samples: readonly number[]) => summarise(name, "ms", samples, failed);
    const [smallMs, largeMs] = [of(`fork.volume.${SMALL_MB}mb`, walls.small), of(`fork.volume.${LARGE_MB}mb`, walls.large)];
    return [
      smallMs,
      largeMs,
      summarise("fork.large-to-small", "x", [largeMs.p50 / smallMs.p50]),
      of("fork.large.first", first.walls),
      summarise("fork.pause.first", "ms", first.pauses),
      summarise("fork.pause.large", "ms", pauses),
    ];
  } finally {
    await context.client.remove(large);
  }
}

async function sourceWith({ client }: BenchContext, upperMb: number): Promise<string> {
  const { body } = await client.create({
    wait_ms: 60_000,
    lifetime: { idle_timeout_s: null },
    limits: { cpu: 1, memory_mb: 512, pids: 64, disk_mb: LARGE_DISK_MB },
  });
  const shell = `head -c ${upperMb}M /dev/urandom > /var/tmp/data`;
  const written = await client.exec(body.id, { shell, timeout_ms: WRITE_TIMEOUT_MS });
  if (written.body.exit_code !== 0) throw new Error(`the source could not be filled: ${written.body.stderr}`);
  return body.id;
}

/** What one fork gave: its milliseconds, what went wrong in its children, and the sandboxes to delete. */
interface Forked {
  wallMs: number;
  pausedMs: number | null;
  failed: number;
  sandboxIds: string[];
}

async function sample(context: BenchContext, name: string, rounds: number, fork: () => Promise<Forked>): Promise<Forks> {
  const forks: Forks = { walls: [], pauses: [], failed: 0 };
  for (let round = 1; round <= rounds; round++) {
    context.progress(`${name} ${round}/${rounds}`);
    await fullPool(context);
    const { wallMs, pausedMs, failed, sandboxIds } = await fork();
    if (failed === 0) forks.walls.push(wallMs);
    if (pausedMs !== null) forks.pauses.push(pausedMs);
    forks.failed += failed;
    await removeAll(context, sandboxIds);
  }
  return forks;
}

/** Executes in each child as soon as an event says that it runs. */
async function forkThenExec({ client }: BenchContext, source: string, count: number): Promise<Forked> {
  const startedMs = performance.now();
  const execs: Promise<boolean>[] = [];
  const sandboxIds: string[] = [];
  let fork: api.Fork | null = null;
  for await (const { event, data } of client.fork(source, { ...CHILD, count })) {
    if (event === "problem") throw new Error(`the fork failed: ${JSON.stringify(data)}`);
    if (event === "fork") fork = data;
    if (event === "state") assertBearable(data.reason, count);
    if (event !== "children") continue;
    for (const { sandbox_id: id, state } of data.children) {
      if (state !== "running" || id === null) continue;
      sandboxIds.push(id);
      execs.push(
        client.exec(id, { argv: ["/bin/true"] }).then(
          ({ body }) => body.exit_code === 0,
          () => false,
        ),
      );
    }
  }
  const succeeded = (await Promise.all(execs)).filter((ok) => ok).length;
  return { wallMs: performance.now() - startedMs, pausedMs: fork?.freeze?.paused_ms ?? null, failed: count - succeeded, sandboxIds };
}

/** The wall ends with the event that tells of the last child. */
async function forkWithCommand({ client }: BenchContext, source: string, count: number): Promise<Forked> {
  const startedMs = performance.now();
  let endedMs = Number.NaN;
  let fork: api.Fork | null = null;
  for await (const { event, data } of client.fork(source, { ...CHILD, count, command: { argv: ["/bin/true"] }, after: "keep" })) {
    if (event === "problem") throw new Error(`the fork failed: ${JSON.stringify(data)}`);
    if (event === "fork") fork = data;
    if (event === "state") assertBearable(data.reason, count);
    if (event === "children" && data.counts.succeeded === count) endedMs = performance.now();
  }
  if (fork === null) throw new Error("the fork's stream ended before the fork");
  const children = await client.forkChildren(fork.id);
  const sandboxIds = children.flatMap(({ sandbox_id: id }) => (id === null ? [] : [id]));
  return {
    wallMs: endedMs - startedMs,
    pausedMs: fork.freeze?.paused_ms ?? null,
    failed: count - children.filter(({ state }) => state === "succeeded").length,
    sandboxIds,
  };
}

/** What no node will ever have room for would be waited for until the deadline. */
function assertBearable(reason: string | null, count: number): void {
  if (reason === "none_fits" || reason === "over_capacity") throw new Error(`${count} children are more than the node takes: ${reason}`);
}

async function removeAll({ client }: BenchContext, sandboxIds: readonly string[]): Promise<void> {
  for (let from = 0; from < sandboxIds.length; from += REMOVE_PARALLEL) {
    await Promise.all(sandboxIds.slice(from, from + REMOVE_PARALLEL).map((id) => client.remove(id)));
  }
}
