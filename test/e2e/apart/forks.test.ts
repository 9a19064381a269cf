import type { Fork, StartedSandbox } from "@banyan/sdk";
import { expect, it } from "vitest";
import { clusterOfFile } from "./cluster-of-file.ts";
import { patiently, settled } from "./looks.ts";
import { POOL_SIZE } from "./start-cluster.ts";

/** More than fit into the pool at once, so that what is killed is killed in the middle. */
const CHILDREN = 3 * POOL_SIZE;
const cluster = clusterOfFile(({ inventory }) =>
  patiently(async () => expect(inventory.frozen, "files that were frozen go with the last sandbox that stands on them").toBe(0)),
);

async function parent(): Promise<StartedSandbox> {
  const sandbox = await cluster.banyan.sandboxes.create({ waitMs: 30_000 });
  await sandbox.files.write("/workspace/base", "prepared");
  return sandbox;
}

const underWay = (source: StartedSandbox): Promise<Fork> =>
  source.fork(CHILDREN, {
    run: "sleep 1; cat /workspace/base; echo -$BANYAN_FORK_INDEX",
    maxParallel: POOL_SIZE,
    after: "delete",
    retries: 3,
  });

/** At least one child has started and one has not. */
const inTheMiddle = (fork: Fork): Promise<void> =>
  patiently(async () => {
    const { counts } = await fork.look();
    expect(counts.running + counts.succeeded).toBeGreaterThan(0);
    expect(counts.waiting).toBeGreaterThan(0);
  });

/** Every child ran to its end, each counted once, with what it said. */
async function allSucceeded(fork: Fork): Promise<void> {
  await patiently(async () => expect((await fork.look()).state).toBe("done"));
  const { total, ...counts } = fork.info.counts;
  expect(counts).toEqual({ waiting: 0, starting: 0, running: 0, succeeded: CHILDREN, failed: 0, cancelled: 0, lost: 0 });
  expect(total).toBe(CHILDREN);
  const said: (string | undefined)[] = [];
  for await (const child of fork.children()) said.push(child.outcome?.stdout);
  expect(said).toEqual(Array.from({ length: CHILDREN }, (_, index) => `prepared-${index}\n`));
}

it.each(["scheduler", "agent", "gateway"] as const)(
  "brings every child of a fork to its end when the %s is killed in the middle",
  async (victim) => {
    const source = await parent();
    const fork = await underWay(source);
    await inTheMiddle(fork);
    await cluster[victim].kill();
    await cluster[victim].start();
    await allSucceeded(fork);
    expect(await settled(cluster)).toEqual({ running: [source.id], stopped: [] });
    expect((await source.exec("cat /workspace/base")).stdout).toBe("prepared");
  },
  240_000,
);

it("brings every child of a fork to its end when NATS is away in the middle", async () => {
  const source = await parent();
  const fork = await underWay(source);
  await inTheMiddle(fork);
  await cluster.nats.kill();
  await cluster.nats.restart();
  await allSucceeded(fork);
  expect(await settled(cluster)).toEqual({ running: [source.id], stopped: [] });
}, 240_000);

it("brings every child of a fork to its end when its parent is deleted in the middle", async () => {
  const source = await parent();
  const fork = await underWay(source);
  await inTheMiddle(fork);
  expect(cluster.inventory.frozen).toBe(1);
  await source.delete();
  await allSucceeded(fork);
  expect(await settled(cluster)).toEqual({ running: [], stopped: [] });
}, 240_000);
