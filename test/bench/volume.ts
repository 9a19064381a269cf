import { join } from "node:path";
import type { api } from "@banyan/contracts";
import { contentPath } from "@banyan/runtime";
import type { BenchContext } from "./lib/context.ts";
import { fioIn, fioOnHost, JOBS } from "./lib/fio.ts";
import { type Report, report, type Target } from "./lib/report.ts";
import { type Result, summarise } from "./lib/stats.ts";
import { transfers } from "./lib/transfers.ts";
import { fullPool } from "./spin-up.ts";

export const targets: Target[] = [
  { result: "attach.over-plain", percentile: "p50", must: 1, aim: 0.3 },
  ...JOBS.map(({ name }): Target => ({ result: `fio.${name}.share`, percentile: "p50", aimLeast: 0.97 })),
  { result: "fork.cow-to-plain", percentile: "p50", must: 1.1 },
];

const ATTACH_SAMPLES = 300;
/** Pairs of starts between two looks at the pool. */
const ATTACH_BATCH = 20;
const FIO_ROUNDS = 3;
const FORK_ROUNDS = 3;
const FORK_COUNT = 100;
const SHARED_MB = 5 * 1_024;
const WRITE_TIMEOUT_MS = 300_000;
const REMOVE_PARALLEL = 16;
const SMALL = { cpu: 0.1, memory_mb: 128, pids: 64, disk_mb: 256 };

/** What a volume costs: at attach, at every read and write, on its way through the gateway, and under a hundred forks. */
export async function run(context: BenchContext): Promise<Report> {
  const n = context.n ?? ATTACH_SAMPLES;
  const { client, server } = context;
  if (server === null) throw new Error("the volume bench compares with this machine's filesystem: leave --url out");
  const volume = await client.createVolume({ name: `bench-${Date.now()}` });
  const content = contentPath(join(server.dataDir, "volumes"), volume.id);
  try {
    const results = [
      ...(await attaches(context, volume.id, n)),
      ...(await disks(context, volume.id, content, Math.min(FIO_ROUNDS, n))),
      ...(await transfers(context, volume.id, server)),
      ...(await forks(context, volume.id, Math.min(FORK_ROUNDS, n))),
    ];
    return report("volume", results, [
      ["attach.volume", "attach.plain"],
      ["create.volume", "create.plain"],
      ["upload", "peer.cp"],
      ["upload", "peer.curl-upload"],
      ["download", "peer.curl-download"],
      ["fork.cow", "fork.plain"],
    ]);
  } finally {
    await client.removeVolume(volume.id);
  }
}

/** Starts with and without a volume in turn, all warm: the node's own time for the attach, and the whole call. */
async function attaches(context: BenchContext, volume: string, n: number): Promise<Result[]> {
  const attach: Record<Kind, number[]> = { plain: [], volume: [] };
  const create: Record<Kind, number[]> = { plain: [], volume: [] };
  let failed = 0;
  for (let done = 0; done < n; done += ATTACH_BATCH) {
    await fullPool(context);
    const ids: string[] = [];
    for (let i = 0; i < 2 * Math.min(ATTACH_BATCH, n - done); i++) {
      const kind: Kind = i % 2 === 0 ? "plain" : "volume";
      const volumes = kind === "volume" ? [{ volume, path: "/data" }] : [];
      const { body, ms } = await context.client.create({ volumes });
      ids.push(body.id);
      if (body.path !== "warm") failed++;
      else {
        attach[kind].push(body.timing.attach_ms);
        create[kind].push(ms);
      }
    }
    await removeAll(context, ids);
    context.progress(`attach ${done + ATTACH_BATCH}/${n}`);
  }
  const of = (name: string, samples: number[]) => summarise(name, "ms", samples, failed);
  const [plain, withVolume] = [of("attach.plain", attach.plain), of("attach.volume", attach.volume)];
  const over = summarise("attach.over-plain", "ms", [withVolume.p50 - plain.p50]);
  return [plain, withVolume, over, of("create.plain", create.plain), of("create.volume", create.volume)];
}
type Kind = "plain" | "volume";

/** The same fio job inside a sandbox on the volume and on the host in the same directory, in turn. */
async function disks(context: BenchContext, volume: string, content: string, rounds: number): Promise<Result[]> {
  const { client } = context;
  const image = await client.build({ apt: ["fio"] });
  const limits = { cpu: 2, memory_mb: 1_024, pids: 128, disk_mb: 1_024 };
  const mount = { volume, path: "/data" };
  const { body } = await client.create({
    image: image.body.image.id,
    limits,
    volumes: [mount],
    wait_ms: 60_000,
    lifetime: { idle_timeout_s: null },
  });
  try {
    const results: Result[] = [];
    for (const job of JOBS) {
      const inside: number[] = [];
      const host: number[] = [];
      for (let round = 1; round <= rounds; round++) {
        context.progress(`fio.${job.name} ${round}/${rounds}`);
        inside.push(await fioIn(client, body.id, mount.path, job));
        host.push(await fioOnHost(content, job));
      }
      const [own, bare] = [summarise(`fio.${job.name}.sandbox`, job.unit, inside), summarise(`fio.${job.name}.host`, job.unit, host)];
      results.push(own, bare, summarise(`fio.${job.name}.share`, "x", [own.p50 / bare.p50]));
    }
    await client.exec(body.id, { shell: `rm -f ${mount.path}/fio-*` });
    return results;
  } finally {
    await client.remove(body.id);
  }
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
