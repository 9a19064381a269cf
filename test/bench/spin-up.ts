import { eventually } from "@banyan/testkit";
import type { BenchContext } from "./lib/context.ts";
import { httpNatsFloor } from "./lib/floors.ts";
import { type Report, report, type Target } from "./lib/report.ts";
import { type Result, summarise } from "./lib/stats.ts";

export const targets: Target[] = [
  { result: "tti.warm", percentile: "p50", must: 8, aim: 3 },
  { result: "tti.warm", percentile: "p99", must: 25, aim: 8 },
];

const POOL_FULL_TIMEOUT_MS = 300_000;
/** Slots left in the pool when a warm batch ends, so that a refill in progress never makes a warm sample cold. */
const POOL_MARGIN = 2;
const STEADY_SECONDS = 30;
const STEADY_PARALLEL = 4;

interface Sample {
  ttiMs: number;
  createMs: number;
  execMs: number;
  path: "warm" | "cold";
  timing: Record<string, number>;
}

/** TTI: create, then exec `/bin/true`, two HTTP calls from this process to the server's, a fresh sandbox each time. */
export async function run(context: BenchContext): Promise<Report> {
  const n = context.n ?? 1_000;
  const warm = await warmSamples(context, n);
  const cold = await coldSamples(context, Math.min(30, n));
  const steady = await steadyRate(context);
  const peers = await context.peers();
  const peerResults = await peers.spinUp({ docker: Math.min(40, n), runc: Math.min(100, n), unshare: Math.min(300, n) });
  const floor = await httpNatsFloor(2_000);

  const results: Result[] = [
    summarise(
      "tti.warm",
      "ms",
      warm.samples.map((s) => s.ttiMs),
      warm.failed,
    ),
    summarise(
      "create.warm",
      "ms",
      warm.samples.map((s) => s.createMs),
      warm.failed,
    ),
    summarise(
      "exec.first",
      "ms",
      warm.samples.map((s) => s.execMs),
      warm.failed,
    ),
    ...timings(warm.samples),
    summarise(
      "tti.cold",
      "ms",
      cold.samples.map((s) => s.ttiMs),
      cold.failed,
    ),
    steady,
    ...peerResults,
    floor,
  ];
  return report("spin-up", results, [
    ["tti.warm", "peer.docker-run"],
    ["tti.warm", "peer.runc-run"],
    ["tti.warm", "floor.unshare"],
    ["tti.warm", "floor.http-nats"],
  ]);
}

async function warmSamples(context: BenchContext, n: number): Promise<{ samples: Sample[]; failed: number }> {
  const samples: Sample[] = [];
  let failed = 0;
  while (samples.length + failed < n) {
    const free = await fullPool(context);
    const batch = Math.min(Math.max(1, free - POOL_MARGIN), n - samples.length - failed);
    const ids: string[] = [];
    for (let i = 0; i < batch; i++) {
      const sample = await once(context, ids).catch((error: unknown) => {
        console.error(String(error));
        return null;
      });
      if (sample?.path === "warm") samples.push(sample);
      else failed++;
    }
    await Promise.all(ids.map((id) => context.client.remove(id)));
    context.progress(`tti.warm ${samples.length}/${n}`);
  }
  return { samples, failed };
}

/** With the pool drained: each create waits for a slot to be made. */
async function coldSamples(context: BenchContext, n: number): Promise<{ samples: Sample[]; failed: number }> {
  const samples: Sample[] = [];
  let failed = 0;
  const drained: string[] = [];
  const { target } = await context.client.pool();
  for (let i = 0; i < target * 2; i++) {
    const { body } = await context.client.create({ wait_ms: 60_000 });
    drained.push(body.id);
    if (body.path === "cold") break;
  }
  const ids: string[] = [];
  for (let i = 0; i < n; i++) {
    const sample = await once(context, ids).catch(() => null);
    if (sample === null) failed++;
    else if (sample.path === "cold") samples.push(sample);
  }
  await Promise.all([...drained, ...ids].map((id) => context.client.remove(id)));
  return { samples, failed };
}

/** Creates a second that the node keeps up once the pool is empty: what its slot maker can do. */
async function steadyRate(context: BenchContext): Promise<Result> {
  const untilMs = performance.now() + STEADY_SECONDS * 1_000;
  let created = 0;
  let failed = 0;
  const startedMs = performance.now();
  const loop = async () => {
    while (performance.now() < untilMs) {
      try {
        const { body } = await context.client.create({ wait_ms: 60_000 });
        created++;
        await context.client.remove(body.id);
      } catch {
        failed++;
      }
    }
  };
  await Promise.all(Array.from({ length: STEADY_PARALLEL }, loop));
  return summarise("steady.creates", "1/s", [created / ((performance.now() - startedMs) / 1_000)], failed);
}

async function once(context: BenchContext, ids: string[]): Promise<Sample> {
  const startedMs = performance.now();
  const created = await context.client.create();
  ids.push(created.body.id);
  const executed = await context.client.exec(created.body.id, { argv: ["/bin/true"] });
  const ttiMs = performance.now() - startedMs;
  if (executed.body.exit_code !== 0) throw new Error(`exit code ${executed.body.exit_code}`);
  // A sandbox that has been used before would hold the nonce.
  const fresh = await context.client.exec(created.body.id, { shell: "test ! -e /nonce && date +%N > /nonce" });
  if (fresh.body.exit_code !== 0) throw new Error("the sandbox is not fresh");
  return { ttiMs, createMs: created.ms, execMs: executed.ms, path: created.body.path, timing: created.body.timing };
}

function timings(samples: readonly Sample[]): Result[] {
  const keys = Object.keys(samples[0]?.timing ?? {});
  return keys.map((key) =>
    summarise(
      `where.${key.replace(/_ms$/, "")}`,
      "ms",
      samples.map((sample) => sample.timing[key] ?? Number.NaN),
    ),
  );
}

/**
 * Waits until the pool is full and answers how many slots are free. Nodes say so once a second: what was said before this call may be from before
 * the last round took them, and does not count.
 */
export async function fullPool(context: BenchContext): Promise<number> {
  const before = await context.client.pool();
  return eventually(
    async () => {
      const { free, target, heartbeatAt } = await context.client.pool();
      if (heartbeatAt <= before.heartbeatAt || free < target) throw new Error(`pool ${free}/${target}`);
      return free;
    },
    { timeoutMs: POOL_FULL_TIMEOUT_MS },
  );
}
