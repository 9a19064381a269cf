import { execFileSync } from "node:child_process";
import { readdirSync, rmSync } from "node:fs";
import { NodeDelete, type NodeHeartbeat, NodeListSandboxes, NodeStart, NodeStop, SandboxDied, type StartOrder } from "@banyan/contracts";
import { NODE_DEFAULTS } from "@banyan/runner-agent";
import { openDocker } from "@banyan/runtime";
import { eventually } from "@banyan/testkit";
import { afterAll, beforeAll, expect, it } from "vitest";
import { AgentProcess } from "./agent-process.ts";

let agent: AgentProcess;
beforeAll(async () => {
  agent = await AgentProcess.start();
});
afterAll(() => agent?.end());

const start = (changes: Partial<StartOrder> = {}) =>
  agent.startSandbox({ env: { PATH: "/usr/bin:/bin", SECRET: "of this sandbox" }, ...changes });
const list = () => agent.bus.call(NodeListSandboxes.on(agent.nodeId), { cursor: null });
const containers = () =>
  openDocker(process.env.DOCKER_HOST ?? NODE_DEFAULTS.dockerHost).listContainers({
    all: true,
    filters: { label: [`banyan.node=${agent.nodeId}`] },
  });

it("serves its verbs on the bus, and execs through its data plane", async () => {
  const order = await start();
  expect(await agent.sh(order, "echo $SECRET > /file; cat /file")).toEqual({ status: 200, stdout: "of this sandbox\n" });
  expect(await agent.bus.call(NodeStart.on(agent.nodeId), order)).toMatchObject({ kind: "started" });
  const { sandboxId, epoch } = order;
  expect(await agent.bus.call(NodeStop.on(agent.nodeId), { sandboxId, epoch, graceMs: 0, idleSince: Date.now() - 60_000 })).toEqual({
    outcome: "active",
  });
  expect(await agent.bus.call(NodeStop.on(agent.nodeId), { sandboxId, epoch, graceMs: 1_000, idleSince: null })).toEqual({
    outcome: "stopped",
  });
  expect(await agent.sh(order, "true")).toMatchObject({ status: 409 });
  await expect(agent.bus.call(NodeStop.on(agent.nodeId), { sandboxId, epoch: 0, graceMs: 0, idleSince: null })).rejects.toMatchObject({
    code: "sandbox.stale_epoch",
  });
  expect(await agent.bus.call(NodeStart.on(agent.nodeId), order)).toMatchObject({ kind: "refused", reason: "stale_epoch" });
  await agent.bus.call(NodeDelete.on(agent.nodeId), { sandboxId, epoch });
  await agent.bus.call(NodeDelete.on(agent.nodeId), { sandboxId, epoch });
  expect(await agent.bus.call(NodeStart.on(agent.nodeId), order)).toMatchObject({ kind: "refused", reason: "deleted" });
  expect(await agent.bus.call(NodeStart.on(agent.nodeId), { ...order, epoch: 2, fresh: false })).toMatchObject({
    kind: "refused",
    reason: "no_disk",
  });
});

/** What the agent says now, not what it said before the pool was drawn from. */
async function poolFull(): Promise<void> {
  const now = Date.now();
  const full = async () =>
    expect(await agent.heartbeat()).toSatisfy((beat: NodeHeartbeat | null) => beat?.pool.free === 3 && beat.at > now);
  await eventually(full, { timeoutMs: 20_000 });
}

it("adopts what runs after a kill -9, and knows what ended meanwhile", async () => {
  const [lives, dies, stopped] = [await start(), await start({ epoch: 7 }), await start()];
  await agent.sh(lives, "sleep 300 > /dev/null 2>&1 & echo $! > /pid");
  await agent.bus.call(NodeStop.on(agent.nodeId), { sandboxId: stopped.sandboxId, epoch: 1, graceMs: 0, idleSince: null });
  const { stdout: hostname } = await agent.sh(dies, "cat /proc/sys/kernel/random/uuid > /etc/hostname; cat /etc/hostname");
  expect(hostname).toHaveLength(37);
  await poolFull();
  await agent.signal("SIGKILL");

  const died: string[] = [];
  const consuming = agent.bus.onEvents(
    SandboxDied,
    { durable: "test" },
    async ({ sandboxId, epoch }) => void died.push(`${sandboxId}.${epoch}`),
  );
  killSlotOf(dies);
  const heartbeat = await agent.run();
  expect(heartbeat.pool.free).toBe(3);
  expect(await agent.sh(lives, "test -d /proc/$(cat /pid) && echo runs")).toEqual({ status: 200, stdout: "runs\n" });
  expect((await list()).sandboxes.map(({ sandboxId, state, epoch }) => ({ sandboxId, state, epoch }))).toEqual(
    [
      { sandboxId: lives.sandboxId, state: "running", epoch: 1 },
      { sandboxId: dies.sandboxId, state: "stopped", epoch: 7 },
      { sandboxId: stopped.sandboxId, state: "stopped", epoch: 1 },
    ].toSorted((a, b) => (a.sandboxId < b.sandboxId ? -1 : 1)),
  );
  await eventually(() => expect(died).toEqual([`${dies.sandboxId}.7`]));
  await consuming.stop();
  const again = { ...stopped, epoch: 2, fresh: false };
  expect(await agent.bus.call(NodeStart.on(agent.nodeId), again)).toMatchObject({ kind: "started" });
});

it("keeps what a sandbox may reach over a kill -9", async () => {
  const order = await start({ network: { egress: "allow", allow: ["203.0.113.77/32"] } });
  const rules = () => execFileSync("nft", ["list", "ruleset"], { encoding: "utf8", stdio: "pipe" });
  const [pair] = /\S+ \. 203\.0\.113\.77/.exec(rules()) ?? [];
  expect(pair).toBeDefined();
  await agent.signal("SIGKILL");
  await agent.run();
  expect(rules()).toContain(pair);
  await agent.bus.call(NodeDelete.on(agent.nodeId), order);
  expect(rules()).not.toContain(pair);
});

it("is heard again, and works, after the bus was killed", async () => {
  const order = await start();
  await agent.nats.kill();
  await agent.nats.restart();
  const since = Date.now();
  await eventually(async () => expect((await agent.heartbeat())?.at).toBeGreaterThan(since), { timeoutMs: 20_000 });
  expect(await agent.sh(order, "echo untouched")).toEqual({ status: 200, stdout: "untouched\n" });
  await eventually(() => agent.bus.call(NodeDelete.on(agent.nodeId), order));
});

it("does not take over a slot that was not finished when its maker died", async () => {
  await poolFull();
  await agent.signal("SIGKILL");
  const taken = execFileSync(
    "cat",
    readdirSync(`${agent.dataDir}/journal`).map((name) => `${agent.dataDir}/journal/${name}`),
    { encoding: "utf8" },
  );
  const [half] = readdirSync(`${agent.dataDir}/slots`).filter((id) => !taken.includes(id));
  rmSync(`${agent.dataDir}/slots/${half}/finished`);
  await agent.run();
  await eventually(async () => expect((await containers()).map(({ Labels }) => Labels["banyan.slot"])).not.toContain(half));
  await poolFull();
});

it("removes containers that nobody knows, and leaves those of others alone", async () => {
  await agent.signal("SIGKILL");
  const orphans = (await containers()).length;
  expect(orphans).toBeGreaterThan(0);
  const other = await openDocker(process.env.DOCKER_HOST ?? NODE_DEFAULTS.dockerHost).createContainer({
    Image: (await containers())[0]?.Image ?? "",
    Cmd: ["/init"],
    Labels: { "banyan.node": "another-node", "banyan.slot": "slot_of_another" },
    HostConfig: { NetworkMode: "none" },
  });
  execFileSync("rm", ["-rf", `${agent.dataDir}/journal`]);
  await agent.run();
  expect((await list()).sandboxes).toEqual([]);
  // Those that had a sandbox attached are gone; free ones are free again.
  await eventually(async () => expect((await containers()).length).toBe(3), { timeoutMs: 20_000 });
  await other.remove({ force: true });
});

it("goes on where it was after a clean stop", async () => {
  const order = await start();
  await agent.sh(order, "echo here > /file");
  await agent.signal("SIGTERM");
  await agent.run();
  expect(await agent.sh(order, "cat /file")).toEqual({ status: 200, stdout: "here\n" });
});

/** Ends PID 1 of a sandbox's slot while no agent watches. */
function killSlotOf(order: StartOrder): void {
  const entry = JSON.parse(execFileSync("cat", [`${agent.dataDir}/journal/${order.sandboxId}.json`], { encoding: "utf8" })) as {
    slot: { pid: number };
  };
  process.kill(entry.slot.pid, "SIGKILL");
}
