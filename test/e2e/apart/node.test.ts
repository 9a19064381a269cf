import { NODE_DEFAULTS } from "@banyan/runner-agent";
import { openDocker } from "@banyan/runtime";
import { expect, it } from "vitest";
import { clusterOfFile } from "./cluster-of-file.ts";
import { patiently, problemOf, settled, startBurst, startCounter } from "./looks.ts";
import { POOL_SIZE } from "./start-cluster.ts";

const BURST = 2 * POOL_SIZE;
const WAIT_MS = 5_000;
const ANSWER_MAX_MS = 2_000;
const cluster = clusterOfFile();

it("takes up what runs and what is stopped when the runner-agent is killed", async () => {
  const { banyan, agent } = cluster;
  const [lives, rests] = [await banyan.sandboxes.create(), await banyan.sandboxes.create()];
  const pid = await startCounter(lives);
  await rests.files.write("/workspace/kept", "yes");
  await rests.stop();
  await agent.kill();
  const away = await problemOf(() => lives.exec("true"));
  expect(away).toMatchObject({ status: 503, code: "node.unreachable", retryable: true });
  expect(away.tookMs).toBeLessThan(ANSWER_MAX_MS);

  await agent.start();
  const counter = await patiently(() => lives.processes.get("counter"));
  expect(counter.info).toMatchObject({ state: "running", pid });
  const { stdoutBytes } = counter.info;
  await patiently(async () => (await counter.refresh()).stdoutBytes > stdoutBytes);
  expect((await lives.exec(`test -d /proc/${pid} && echo same`)).stdout).toBe("same\n");
  expect(await lives.look()).toMatchObject({ state: "running", epoch: lives.info.epoch });
  expect(await settled(cluster)).toEqual({ running: [lives.id], stopped: [rests.id] });
  await patiently(() => rests.start());
  expect(await rests.files.read("/workspace/kept")).toBe("yes");
}, 180_000);

it("leaves nothing half-made when the runner-agent is killed in a burst", async () => {
  const { answers } = await startBurst(cluster, BURST, WAIT_MS);
  await cluster.agent.kill();
  const ended = await Promise.all(answers);
  for (const { status, code } of ended) expect([201, 503, 504], code).toContain(status);
  await cluster.agent.start();
  const { running } = await settled(cluster);
  const promised = ended.filter(({ status }) => status === 201).map(({ id }) => id);
  expect(promised.filter((id) => !running.includes(id))).toEqual([]);
}, 180_000);

it.each(["PID 1", "container"])(
  "stops a sandbox whose %s was killed from outside, and starts it again on its files",
  async (victim) => {
    const sandbox = await cluster.banyan.sandboxes.create();
    await sandbox.files.write("/workspace/kept", "yes");
    const { handle, pid } = cluster.inventory.slotOf(sandbox.id);
    if (victim === "container")
      await openDocker(process.env.DOCKER_HOST ?? NODE_DEFAULTS.dockerHost)
        .getContainer(handle)
        .kill();
    else process.kill(pid, "SIGKILL");
    const info = await patiently(async () => {
      const seen = await sandbox.look();
      return seen.state === "stopped" && seen;
    });
    expect(info.stateReason).toBe("slot_died");
    expect(await problemOf(() => sandbox.exec("true"))).toMatchObject({ code: "sandbox.not_running" });
    await sandbox.start({ waitMs: 30_000 });
    expect(await sandbox.files.read("/workspace/kept")).toBe("yes");
    expect((await settled(cluster)).running).toEqual([sandbox.id]);
  },
  120_000,
);

it("deletes and refuses to stop while the node is away, and finishes when it is back", async () => {
  const { banyan, agent } = cluster;
  const [goes, stays] = [await banyan.sandboxes.create(), await banyan.sandboxes.create()];
  await agent.kill();
  await goes.delete();
  expect((await goes.look()).state).toBe("deleting");
  const refused = await problemOf(() => stays.stop());
  expect(refused).toMatchObject({ status: 503, code: "node.unreachable", retryable: true });
  expect(refused.tookMs).toBeLessThan(ANSWER_MAX_MS);
  expect(await problemOf(() => stays.stop()), "a repeat says the same").toMatchObject({ code: "node.unreachable" });

  await agent.start();
  await patiently(async () => (await problemOf(() => goes.look())).code === "sandbox.not_found");
  await patiently(async () => (await stays.stop()).state === "stopped");
  expect(await settled(cluster)).toEqual({ running: [], stopped: [stays.id] });
}, 180_000);
