import { randomUUID } from "node:crypto";
import { BanyanError, type Sandbox, type StartedSandbox } from "@banyan/sdk";
import { eventually } from "@banyan/testkit";
import { expect } from "vitest";
import { Inventory } from "./inventory.ts";
import { type Cluster, POOL_SIZE } from "./start-cluster.ts";

const SETTLED_MS = 90_000;
const PATIENT = { timeoutMs: SETTLED_MS, intervalMs: 200 };

/** Until the world is as the API says it is: nothing under way, every running sandbox answers, and the host has what belongs to them and no more. */
export async function settled({ banyan, inventory }: Cluster): Promise<{ running: string[]; stopped: string[] }> {
  return eventually(async () => {
    const all: Sandbox[] = [];
    for await (const sandbox of banyan.sandboxes.list()) all.push(sandbox);
    const idsOf = (wanted: string): string[] => all.filter(({ state }) => state === wanted).map(({ id }) => id);
    const [running, stopped] = [idsOf("running"), idsOf("stopped")];
    expect(all.filter(({ state }) => state !== "running" && state !== "stopped").map(({ id, state }) => `${id} ${state}`)).toEqual([]);
    const counts = { running: running.length, stopped: stopped.length, free: POOL_SIZE };
    expect(await inventory.count()).toEqual(Inventory.expected(counts));
    const said = await Promise.all(running.map(async (id) => (await banyan.sandboxes.at(id).exec("hostname")).exitCode));
    expect(said).toEqual(running.map(() => 0));
    return { running, stopped };
  }, PATIENT);
}

export const patiently = <T>(check: () => Promise<T>) => eventually(check, PATIENT);

/** Deletes what is there, and waits until nothing is left of it. */
export async function clear(cluster: Cluster): Promise<void> {
  await patiently(async () => {
    for await (const sandbox of cluster.banyan.sandboxes.list()) await sandbox.delete();
  });
  expect(await settled(cluster)).toEqual({ running: [], stopped: [] });
}

export interface Problem {
  status: number;
  code: string;
  retryable: boolean;
  tookMs: number;
}

/** What a call is refused with, and how long that took. */
export async function problemOf(call: () => Promise<unknown>): Promise<Problem> {
  const began = performance.now();
  const thrown = await call().then(
    () => null,
    (error: unknown) => error,
  );
  const tookMs = performance.now() - began;
  if (thrown === null) return { status: 200, code: "no error", retryable: false, tookMs };
  if (!(thrown instanceof BanyanError)) throw thrown;
  return { status: thrown.status ?? 0, code: thrown.code, retryable: thrown.retryable, tookMs };
}

export interface Created {
  status: number;
  id: string;
  code: string;
}

/** A create under a key of the caller's own, so that it can be repeated by another call. Status 0: no answer. */
export async function createAs({ url, apiKey }: Cluster, key: string, waitMs: number): Promise<Created> {
  const headers = { authorization: `Bearer ${apiKey}`, "content-type": "application/json", "idempotency-key": key };
  try {
    const reply = await fetch(`${url}/v1/sandboxes`, { method: "POST", headers, body: JSON.stringify({ wait_ms: waitMs }) });
    const body = (await reply.json()) as { id?: string; code?: string };
    return { status: reply.status, id: body.id ?? "", code: body.code ?? "" };
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    return { status: 0, id: "", code: "no_answer" };
  }
}

/** So many creates at once, each under a key of its own. Resolves when the first has its sandbox. */
export async function startBurst(
  cluster: Cluster,
  count: number,
  waitMs: number,
): Promise<{ keys: string[]; answers: Promise<Created>[] }> {
  const keys = Array.from({ length: count }, () => randomUUID());
  let made = 0;
  const answers = keys.map(async (key) => {
    const created = await createAs(cluster, key, waitMs);
    if (created.status === 201) made++;
    return created;
  });
  await patiently(async () => made > 0);
  return { keys, answers };
}

/** A process that counts aloud for as long as it lives. */
export async function startCounter(sandbox: StartedSandbox): Promise<number> {
  const { info } = await sandbox.processes.start("i=0; while true; do i=$((i+1)); echo $i; sleep 0.05; done", { id: "counter" });
  return info.pid ?? 0;
}
