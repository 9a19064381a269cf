import type { api } from "@banyan/contracts";
import type { BenchContext } from "./lib/context.ts";
import { disks } from "./lib/disks.ts";
import { JOBS } from "./lib/fio.ts";
import { type Report, report, type Target } from "./lib/report.ts";
import { type Result, summarise } from "./lib/stats.ts";
import { transfers } from "./lib/transfers.ts";
import { fullPool } from "./spin-up.ts";

export const targets: Target[] = [
  ...["rw", "ro", "cow"].map((kind): Target => ({ result: `attach.${kind}.over-plain`, percentile: "p50", must: 1, aim: 0.3 })),
  ...JOBS.map(({ name }): Target => ({ result: `fio.${name}.share`, percentile: "p50", aimLeast: 0.97 })),
  { result: "fork.cow-to-plain", percentile: "p50", must: 1.1 },
];

const ATTACH_SAMPLES = 300;
/** Starts of each kind between two looks at the pool. */
const ATTACH_BATCH = 20;
const FIO_ROUNDS = 5;
const FORK_ROUNDS = 3;
const FORK_COUNT = 100;
const SHARED_MB = 5 * 1_024;
const WRITE_TIMEOUT_MS = 300_000;
const REMOVE_PARALLEL = 16;
const SMALL = { cpu: 0.1, memory_mb: 128, pids: 64, disk_mb: 256 };

const PARTS = ["attach", "disk", "transfer", "fork"] as const;
type Part = (typeof PARTS)[number];

/** What a volume costs: at attach, at every read and write, on its way through the gateway, and under a hundred forks. */
export async function run(context: BenchContext): Promise<Report> {
  const n = context.n ?? ATTACH_SAMPLES;
  const { client, server } = context;
  if (server === null) throw new Error("the volume bench compares with this machine's filesystem: leave --url out");
  const asked = partsOf(context.options.only);
  const volume = await client.createVolume({ name: `bench-${Date.now()}` });
  const measured: Record<Part, () => Promise<Result[]>> = {
    attach: () => attaches(context, volume.id, n),
    disk: () => disks(context, volume.id, server.dataDir, Math.min(FIO_ROUNDS, n)),
    transfer: () => transfers(context, volume.id, server),
    fork: () => forks(context, volume.id, Math.min(FORK_ROUNDS, n)),
  };
  try {
    const results: Result[] = [];
    for (const part of asked) results.push(...(await measured[part]()));
    const names = new Set(results.map(({ name }) => name));
    return report(
      "volume",
      results,
      RATIOS.filter((pair) => pair.every((name) => names.has(name))),
    );
  } finally {
    await client.removeVolume(volume.id);
  }
}

const RATIOS: [string, string][] = [
  ["attach.rw", "attach.plain"],
  ["create.rw", "create.plain"],
  ["create.cow", "create.plain"],
  ...JOBS.map(({ name }): [string, string] => [`fio.${name}.sandbox`, `fio.${name}.data-dir`]),
  ["upload", "peer.cp"],
  ["upload", "peer.curl-upload"],
  ["download", "peer.curl-download"],
  ["fork.cow", "fork.plain"],
];

function partsOf(only: string | undefined): readonly Part[] {
  if (only === undefined) return PARTS;
  const asked = only.split(",");
  const unknown = asked.find((name) => !PARTS.some((part) => part === name));
  if (unknown !== undefined) throw new Error(`--only knows ${PARTS.join(", ")}, and not ${unknown}`);
  return PARTS.filter((part) => asked.includes(part));
}

const KINDS = ["plain", "rw", "ro", "cow", "rw-5"] as const;
type Kind = (typeof KINDS)[number];

function mountsOf(kind: Kind, volume: string): { volume: string; path: string; mode: "rw" | "ro" | "cow" }[] {
  if (kind === "plain") return [];
  if (kind === "rw-5") return [1, 2, 3, 4, 5].map((i) => ({ volume, path: `/data${i}`, mode: "rw" }));
  return [{ volume, path: "/data", mode: kind }];
}

/** Starts without a volume, with one in each mode and with five, in turn, all warm: the node's own time for the attach, and the whole call. */
async function attaches(context: BenchContext, volume: string, n: number): Promise<Result[]> {
  const attach = new Map<Kind, number[]>(KINDS.map((kind) => [kind, []]));
  const create = new Map<Kind, number[]>(KINDS.map((kind) => [kind, []]));
  let failed = 0;
  for (let done = 0; done < n; done += ATTACH_BATCH) {
    await fullPool(context);
    const ids: string[] = [];
    for (let i = 0; i < Math.min(ATTACH_BATCH, n - done); i++) {
      for (const kind of KINDS) {
        const { body, ms } = await context.client.create({ volumes: mountsOf(kind, volume) });
        ids.push(body.id);
        if (body.path !== "warm") failed++;
        else {
          attach.get(kind)?.push(body.timing.attach_ms);
          create.get(kind)?.push(ms);
        }
      }
    }
    await removeAll(context, ids);
    context.progress(`attach ${done + ATTACH_BATCH}/${n}`);
  }
  const of = (name: string, samples: number[] = []) => summarise(name, "ms", samples, failed);
  const attached = KINDS.map((kind) => of(`attach.${kind}`, attach.get(kind)));
  const [plain, ...others] = attached;
  const over = others.map(({ name, p50 }) => summarise(`${name}.over-plain`, "ms", [p50 - (plain?.p50 ?? Number.NaN)]));
  return [...attached, ...over, ...KINDS.map((kind) => of(`create.${kind}`, create.get(kind)))];
}

/** A hundred forks that each have their own view of a large volume, and a hundred without one, in turn; each child writes into its view. */
async function forks(context: BenchContext, volume: string, rounds: number): Promise<Result[]> {
  const { client } = context;
  const filler = await client.create({ volumes: [{ volume, path: "/data" }], wait_ms: 60_000, limits: { ...SMALL, cpu: 1 } });
  const shell = `for i in 1 2 3 4 5; do head -c ${SHARED_MB / 5}M /dev/urandom > /data/part$i; done`;
  const filled = await client.exec(filler.body.id, { shell, timeout_ms: WRITE_TIMEOUT_MS });
  if (filled.body.exit_code !== 0) throw new Error(`the volume could not be filled: ${filled.body.stderr}`);
  await client.remove(filler.body.id);
  const sources = {
    plain: await client.create({ wait_ms: 60_000, lifetime: { idle_timeout_s: null } }),
    cow: await client.create({ wait_ms: 60_000, lifetime: { idle_timeout_s: null }, volumes: [{ volume, path: "/data", mode: "cow" }] }),
  };
  const walls = { plain: [] as number[], cow: [] as number[] };
  let failed = 0;
  for (let round = 1; round <= rounds; round++) {
    for (const kind of ["plain", "cow"] as const) {
      context.progress(`fork.${kind} ${round}/${rounds}`);
      await fullPool(context);
      const forked = await forkAndWrite(context, sources[kind].body.id, kind === "cow" ? "/data/own" : "/own");
      if (forked.failed === 0) walls[kind].push(forked.ms);
      failed += forked.failed;
      await removeAll(context, forked.sandboxIds);
    }
  }
  await removeAll(context, [sources.plain.body.id, sources.cow.body.id]);
  const of = (kind: "plain" | "cow") => summarise(`fork.${kind}`, "ms", walls[kind], failed);
  const [plain, cow] = [of("plain"), of("cow")];
  return [plain, cow, summarise("fork.cow-to-plain", "x", [cow.p50 / plain.p50])];
}

async function forkAndWrite({ client }: BenchContext, source: string, path: string) {
  const command = { argv: ["/bin/sh", "-c", `echo $BANYAN_FORK_INDEX > ${path}`] };
  const startedMs = performance.now();
  let ms = Number.NaN;
  let fork: api.Fork | null = null;
  for await (const { event, data } of client.fork(source, { count: FORK_COUNT, limits: SMALL, command, after: "keep", deadline_s: 300 })) {
    if (event === "problem") throw new Error(`the fork failed: ${JSON.stringify(data)}`);
    if (event === "fork") fork = data;
    if (event === "children" && data.counts.succeeded === FORK_COUNT) ms = performance.now() - startedMs;
  }
  if (fork === null) throw new Error("the fork's stream ended before the fork");
  const children = await client.forkChildren(fork.id);
  const sandboxIds = children.flatMap(({ sandbox_id: id }) => (id === null ? [] : [id]));
  return { ms, sandboxIds, failed: FORK_COUNT - children.filter(({ state }) => state === "succeeded").length };
}

async function removeAll({ client }: BenchContext, ids: readonly string[]): Promise<void> {
  for (let from = 0; from < ids.length; from += REMOVE_PARALLEL) {
    await Promise.all(ids.slice(from, from + REMOVE_PARALLEL).map((id) => client.remove(id)));
  }
}
