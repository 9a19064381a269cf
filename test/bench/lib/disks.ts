import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { contentPath } from "@banyan/runtime";
import type { BenchContext } from "./context.ts";
import { type FioJob, fioIn, fioOnHost, JOBS, layOut, removeFile } from "./fio.ts";
import { type Result, summarise } from "./stats.ts";

const PLACES = ["sandbox", "host", "data-dir"] as const;
type Place = (typeof PLACES)[number];
type Places = Record<Place, () => Promise<number>>;

/**
 * The same fio job inside a sandbox on the volume, on the host in the same directory, and on the host in the data directory, on whose filesystem the
 * store's image lies; who is first changes from round to round.
 */
export async function disks(context: BenchContext, volume: string, dataDir: string, rounds: number): Promise<Result[]> {
  const { client } = context;
  const image = await client.build({ apt: ["fio"] });
  const limits = { cpu: 2, memory_mb: 1_024, pids: 128, disk_mb: 1_024 };
  const mount = { volume, path: "/data" };
  const content = contentPath(join(dataDir, "volumes"), volume);
  const below = await mkdtemp(join(dataDir, "fio-"));
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
      for (const directory of [content, below]) await layOut(directory, job);
      const places = {
        sandbox: () => fioIn(client, body.id, mount.path, job),
        host: () => fioOnHost(content, job),
        "data-dir": () => fioOnHost(below, job),
      };
      results.push(...(await inTurn(context, job, places, rounds)));
      for (const directory of [content, below]) await removeFile(directory, job);
    }
    return results;
  } finally {
    await client.remove(body.id);
    await rm(below, { recursive: true, force: true });
  }
}

async function inTurn(context: BenchContext, job: FioJob, places: Places, rounds: number): Promise<Result[]> {
  const rates = { sandbox: [] as number[], host: [] as number[], "data-dir": [] as number[] };
  for (let round = 0; round < rounds; round++) {
    context.progress(`fio.${job.name} ${round + 1}/${rounds}`);
    for (let i = 0; i < PLACES.length; i++) {
      const place = PLACES[(i + round) % PLACES.length] ?? "sandbox";
      rates[place].push(await places[place]());
    }
  }
  const of = (place: Place) => summarise(`fio.${job.name}.${place}`, job.unit, rates[place]);
  const [sandbox, host, dataDir] = [of("sandbox"), of("host"), of("data-dir")];
  return [sandbox, host, dataDir, summarise(`fio.${job.name}.share`, "x", [sandbox.p50 / host.p50])];
}
