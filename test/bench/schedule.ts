import { readFileSync } from "node:fs";
import { type ForkChildState, ForkEnded, type InputOf, RunFork } from "@banyan/contracts";
import { newId } from "@banyan/kernel";
import { eventually } from "@banyan/testkit";
import { COMMAND } from "../../services/scheduler/src/domain/fork.fixture.ts";
import type { BenchContext } from "./lib/context.ts";
import { type Account, countFork, faultsOf } from "./lib/count-fork.ts";
import { forkOrder } from "./lib/fork-order.ts";
import { type Report, report, type Target } from "./lib/report.ts";
import { insertFloor, publishFloor } from "./lib/schedule-floors.ts";
import { type Result, summarise } from "./lib/stats.ts";
import { type StubCluster, startStubCluster } from "./lib/stub-cluster.ts";

export const targets: Target[] = [{ result: "schedule.wall", percentile: "p50", must: 30_000, aim: 10_000 }];

const COUNT = 100_000;
const NODES = 200;
const ROUNDS = 3;
/** The first process of stub nodes is the one that is killed. */
const NODES_KILLED = 2;
const PROCESSES = 4;
const ROOM = 1.2;
const SANDBOXES_EACH_MIN = 500;
const END_TIMEOUT_MS = 300_000;
const SETTLE_TIMEOUT_MS = 120_000;
/** Share of the children that have started when something is killed. */
const MIDDLE = 0.3;
const CLOCK_TICK_MS = 10;

const CHILD_COMMAND = { ...COMMAND, timeoutMs: 60_000, outputMaxBytes: 4_096 };

/** What is killed in the middle, and how it comes back. */
const CHAOS: Record<string, (cluster: StubCluster) => Promise<void>> = {
  "scheduler-killed": async (cluster) => {
    await cluster.killScheduler();
    await cluster.startScheduler();
  },
  "nodes-return": async ({ processes: [first] }) => {
    await first?.kill();
    await first?.restart();
  },
  "nodes-gone": async ({ processes: [first] }) => {
    await first?.kill();
  },
  "nats-restarted": async ({ nats }) => {
    await nats.kill();
    await nats.restart();
  },
};

/**
 * A fork of 100,000 from its publishing on JetStream to its end: the real scheduler, broker and database, and nodes in other processes that keep
 * the contract and start nothing. Then the same with something killed in the middle. Every child is counted at the end.
 */
export async function run({ n, progress, options }: Pick<BenchContext, "n" | "progress" | "options">): Promise<Report> {
  const count = Number(options.count ?? COUNT);
  const nodes = Number(options.nodes ?? NODES);
  const chaos = chosen(options.chaos ?? "all");
  const results: Result[] = [];
  const walls: number[] = [];
  const processorMs: number[] = [];
  const withCommand: number[] = [];
  let commandFailed = 0;
  const floors: { publish: number[]; insert: number[] } = { publish: [], insert: [] };
  let failed = 0;
  const rounds = n ?? ROUNDS;
  for (let round = 1; round <= rounds; round++) {
    progress(`schedule ${round}/${rounds}`);
    await withCluster(count, nodes, async (cluster) => {
      const measured = await measure(cluster, { count, command: false, strike: null });
      failed += faultsOf(measured.account);
      walls.push(measured.wallMs);
      processorMs.push(measured.schedulerCpuMs);
      floors.publish.push(await publishFloor(cluster));
      floors.insert.push(await insertFloor(cluster));
    });
    await withCluster(count, nodes, async (cluster) => {
      const measured = await measure(cluster, { count, command: true, strike: null });
      commandFailed += faultsOf(measured.account);
      withCommand.push(measured.wallMs);
    });
  }
  if (rounds > 0) {
    results.push(
      summarise("schedule.wall", "ms", walls, failed),
      summarise("schedule.wall.command", "ms", withCommand, commandFailed),
      summarise("schedule.cpu.scheduler", "ms", processorMs),
      summarise("floor.publish-200", "ms", floors.publish),
      summarise(`floor.insert-${count}`, "ms", floors.insert),
    );
  }
  for (const [name, strike] of chaos) {
    progress(`schedule.${name}`);
    await withCluster(count, nodes, async (cluster) => {
      const { wallMs, account } = await measure(cluster, { count, command: false, strike });
      results.push(summarise(`schedule.wall.${name}`, "ms", [wallMs], faultsOf(account)));
    });
  }
  return report("schedule", results, [
    ["schedule.wall", `floor.insert-${count}`],
    ["schedule.wall", "floor.publish-200"],
  ]);
}

function chosen(name: string): [string, (cluster: StubCluster) => Promise<void>][] {
  if (name === "none") return [];
  const found = Object.entries(CHAOS).filter(([known]) => name === "all" || known === name);
  if (found.length === 0) throw new Error(`--chaos is none, all, or one of ${Object.keys(CHAOS).join(", ")}`);
  return found;
}

/** Everything new for each round, so that no round finds what another has left. */
async function withCluster(count: number, nodes: number, use: (cluster: StubCluster) => Promise<void>): Promise<void> {
  const others = nodes - NODES_KILLED;
  if (others < PROCESSES - 1) throw new Error(`--nodes is at least ${NODES_KILLED + PROCESSES - 1}`);
  const share = Math.ceil(others / (PROCESSES - 1));
  const layout = [NODES_KILLED, share, share, others - 2 * share];
  const sandboxesEach = Math.max(SANDBOXES_EACH_MIN, Math.ceil((ROOM * count) / nodes));
  const cluster = await startStubCluster({ layout, sandboxesEach });
  try {
    await use(cluster);
  } finally {
    await cluster.stop();
  }
}

interface Measured {
  wallMs: number;
  schedulerCpuMs: number;
  account: Account;
}

interface Wanted {
  count: number;
  /** Each child runs one, and its node says how it ended. */
  command: boolean;
  strike: ((cluster: StubCluster) => Promise<void>) | null;
}

async function measure(cluster: StubCluster, { count, command, strike }: Wanted): Promise<Measured> {
  const order = forkOrder(newId("org"), { count, command: command ? CHILD_COMMAND : null });
  const ended = Promise.withResolvers<InputOf<typeof ForkEnded>>();
  const listening = cluster.bus.onEvents(ForkEnded, { durable: "bench" }, async (event) => {
    if (event.forkId === order.forkId) ended.resolve(event);
  });
  const cpuBefore = cpuMs(cluster.schedulerPid);
  const startedMs = performance.now();
  await cluster.bus.publishJob(RunFork, order, { dedupeId: order.forkId });
  if (strike !== null) {
    await eventually(() => cluster.started >= MIDDLE * count, { timeoutMs: END_TIMEOUT_MS });
    if (cluster.started >= count) throw new Error("all had started before anything was killed: ask for a larger --count");
    await strike(cluster);
  }
  const timer = setTimeout(() => ended.reject(new Error(`the fork did not end: ${cluster.started} started`)), END_TIMEOUT_MS);
  const { state, reason } = await ended.promise.finally(() => clearTimeout(timer));
  const wallMs = performance.now() - startedMs;
  const schedulerCpuMs = cpuMs(cluster.schedulerPid) - cpuBefore;
  await listening.stop();
  if (state !== "done") throw new Error(`the fork ended as ${state}: ${reason}`);
  return { wallMs, schedulerCpuMs, account: await settledAccount(cluster, order, command ? "succeeded" : "running") };
}

/** What was begun on a node that was given up goes by the repair loops, after the fork's end; what is wrong by then stays wrong. */
async function settledAccount(cluster: StubCluster, ref: { orgId: string; forkId: string }, expected: ForkChildState): Promise<Account> {
  let account = await countFork(cluster, ref, expected);
  await eventually(
    async () => {
      account = await countFork(cluster, ref, expected);
      return faultsOf(account) === 0;
    },
    { timeoutMs: SETTLE_TIMEOUT_MS, intervalMs: 2_000 },
  ).catch(() => {});
  const { counts, ...rest } = account;
  console.error(`\naccount: ${JSON.stringify(rest)} counts: ${JSON.stringify(counts)}`);
  return account;
}

/** Processor time of a process so far, user and system. */
function cpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
    .replace(/^.*\) /, "")
    .split(" ");
  return (Number(fields[11]) + Number(fields[12])) * CLOCK_TICK_MS;
}
