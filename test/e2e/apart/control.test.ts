import { expect, it } from "vitest";
import { clusterOfFile } from "./cluster-of-file.ts";
import { createAs, patiently, problemOf, settled, startBurst } from "./looks.ts";
import { POOL_SIZE } from "./start-cluster.ts";

const BURST = 3 * POOL_SIZE;
const WAIT_MS = 5_000;
const AWAY_MS = 10_000;
const ANSWER_MAX_MS = 2_000;
const cluster = clusterOfFile();

it("keeps what runs reachable when the gateway is killed, and finds again what it was making", async () => {
  const { banyan, gateway } = cluster;
  const sandbox = await banyan.sandboxes.create();
  const running = problemOf(() => sandbox.exec("sleep 60; echo late"));
  const { keys, answers } = await startBurst(cluster, BURST, WAIT_MS);
  await gateway.kill();
  expect(await running).toMatchObject({ code: "client.no_answer", retryable: true });
  const before = await Promise.all(answers);
  expect(before.filter(({ status }) => status === 0).length).toBeGreaterThan(0);

  await gateway.start();
  expect((await sandbox.exec("echo back")).stdout).toBe("back\n");
  const after = await Promise.all(keys.map((key) => patiently(() => finished(key))));
  for (const [index, { status, id }] of before.entries()) if (status === 201) expect(after[index]?.id).toBe(id);
  const found = await settled(cluster);
  const made = after.filter(({ status }) => status === 201).map(({ id }) => id);
  expect(made.length).toBeGreaterThan(0);
  expect(new Set(made).size).toBe(made.length);
  expect(found.running.toSorted()).toEqual([sandbox.id, ...made].toSorted());
}, 180_000);

/** The create of this key, repeated until it has come to its end. */
async function finished(key: string) {
  const created = await createAs(cluster, key, WAIT_MS);
  if (created.status !== 201) throw new Error(created.code);
  return created;
}

it("ends every create in a clear state when the scheduler is killed in a burst", async () => {
  const { banyan, scheduler } = cluster;
  const { keys, answers } = await startBurst(cluster, BURST, WAIT_MS);
  await scheduler.kill();
  expect(await problemOf(() => banyan.sandboxes.create())).toMatchObject({ code: "bus.unavailable", retryable: true });
  await scheduler.start();
  const ended = await Promise.all(answers);
  for (const { status, code } of ended) expect([201, 503, 504], code).toContain(status);

  const { running } = await settled(cluster);
  const promised = ended.filter(({ status }) => status === 201).map(({ id }) => id);
  expect(promised.filter((id) => !running.includes(id))).toEqual([]);
  // A repeat finds what its first try made after all, or makes it now; a create that was given up stays so.
  const repeated = await Promise.all(keys.map((key) => patiently(() => decided(key))));
  for (const [index, { status, id }] of repeated.entries()) {
    if (status === 201) expect((await banyan.sandboxes.at(id).exec("true")).exitCode).toBe(0);
    if (ended[index]?.status === 201) expect(id).toBe(ended[index].id);
  }
}, 180_000);

async function decided(key: string) {
  const created = await createAs(cluster, key, WAIT_MS);
  if (created.code === "request.idempotency_in_progress") throw new Error(created.code);
  return created;
}

it("answers clearly while the database is away, and goes on with what runs", async () => {
  const { banyan, postgres } = cluster;
  const sandbox = await banyan.sandboxes.create();
  await postgres.pause();
  const began = performance.now();
  while (performance.now() - began < AWAY_MS) {
    for (const call of [() => banyan.sandboxes.create(), () => sandbox.look(), () => sandbox.stop()]) {
      const problem = await problemOf(call);
      expect(problem).toMatchObject({ status: 503, code: "database.unavailable", retryable: true });
      expect(problem.tookMs).toBeLessThan(ANSWER_MAX_MS);
    }
    expect((await sandbox.exec("echo goes on")).stdout).toBe("goes on\n");
  }
  await postgres.resume();
  await patiently(async () => (await sandbox.look()).state === "running");
  expect((await settled(cluster)).running).toEqual([sandbox.id]);
  const later = await patiently(() => banyan.sandboxes.create());
  expect((await settled(cluster)).running.toSorted()).toEqual([sandbox.id, later.id].toSorted());
}, 180_000);
