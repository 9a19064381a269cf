import { readdirSync } from "node:fs";
import {
  ForkChildrenFinished,
  type InputOf,
  NodeDeleteMany,
  NodeFreeze,
  NodeListSandboxes,
  NodeRelease,
  NodeShip,
  NodeStart,
  NodeStartMany,
  type StartOrder,
} from "@banyan/contracts";
import { newId } from "@banyan/kernel";
import { eventually } from "@banyan/testkit";
import { afterAll, beforeAll, expect, it } from "vitest";
import { AgentProcess } from "./agent-process.ts";
import { command, type ManyOrder } from "./fork-harness.ts";
import { testRootfs } from "./rootfs.ts";

const CHILDREN = 50;
const STARTED = { kind: "started" };
const HOUR_MS = 3_600_000;

type Finished = InputOf<typeof ForkChildrenFinished>;
type FinishedChild = Finished["children"][number];

let agent: AgentProcess;
let rootfs: StartOrder["layers"];
const said: Finished[] = [];
let consuming: { stop(): Promise<void> };

beforeAll(async () => {
  rootfs = [(await testRootfs()).layer];
  agent = await AgentProcess.start({
    BANYAN_SLOT_MAKER: "oci",
    BANYAN_POOL_SIZE: String(CHILDREN + 2),
    BANYAN_POOL_REFILL_PARALLEL: "4",
    BANYAN_POOL_REFILL_PER_S: "40",
  });
  consuming = agent.bus.onEvents(ForkChildrenFinished, { durable: "test-finished" }, async (event) => void said.push(event));
});
afterAll(async () => {
  await consuming?.stop();
  await agent?.end();
});

function startOrder(): StartOrder {
  const { orgId, env, workdir, user, network, mounts, deadlineMs } = order(0);
  const shared = { orgId, env, workdir, user, network, mounts, deadlineMs };
  return { ...shared, sandboxId: newId("sbx"), epoch: 1, fresh: true, layers: rootfs, hostname: "source", resources };
}

const outcomeFiles = ({ children }: ManyOrder) =>
  readdirSync(`${agent.dataDir}/outcomes`).filter(
    (name) => name.endsWith(".json") && children.some((child) => name.startsWith(child.sandboxId)),
  );
const resources = { cpu: 0.2, memoryMb: 64, pids: 64, diskMb: 256 };

function order(count: number, changes: Partial<ManyOrder> = {}): ManyOrder {
  const forkId = newId("frk");
  const children = Array.from({ length: count }, (_, index) => ({
    index,
    sandboxId: newId("sbx"),
    epoch: 1,
    hostname: `child-${index}`,
    env: { BANYAN_FORK_INDEX: String(index) },
  }));
  return {
    forkId,
    orgId: newId("org"),
    layers: rootfs,
    env: { PATH: "/usr/bin:/bin" },
    workdir: "/",
    user: "root",
    resources,
    network: { egress: "open", allow: [] },
    mounts: [],
    command: null,
    deadlineMs: 30_000,
    children,
    ...changes,
  };
}

const startMany = async (many: ManyOrder, options: { deadlineMs?: number } = {}) =>
  (await agent.bus.call(NodeStartMany.on(agent.nodeId), many, options)).children;
const deleteMany = ({ children }: ManyOrder) =>
  agent.bus.call(NodeDeleteMany.on(agent.nodeId), { sandboxes: children.map(({ sandboxId, epoch }) => ({ sandboxId, epoch })) });
const list = async () => (await agent.bus.call(NodeListSandboxes.on(agent.nodeId), { cursor: null })).sandboxes;
const poolFull = () =>
  eventually(async () => expect((await agent.heartbeat())?.pool.free).toBeGreaterThanOrEqual(CHILDREN), { timeoutMs: 60_000 });

/** What was said of a fork's children, each once, by index. */
function finished({ forkId }: ManyOrder): FinishedChild[] {
  const byIndex = new Map<number, FinishedChild>();
  for (const event of said.filter((each) => each.forkId === forkId)) for (const child of event.children) byIndex.set(child.index, child);
  return [...byIndex.values()].toSorted((one, other) => one.index - other.index);
}

const allFinished = async (many: ManyOrder) => {
  await eventually(() => expect(finished(many)).toHaveLength(many.children.length), { timeoutMs: 40_000 });
  return finished(many);
};

it("starts a burst of children of a running sandbox by one message, and tells of every command", async () => {
  await poolFull();
  const source = startOrder();
  expect(await agent.bus.call(NodeStart.on(agent.nodeId), source)).toMatchObject(STARTED);
  await agent.sh(source, "echo from the parent > /mine");
  const frozenId = newId("frz");
  const { sandboxId, epoch } = source;
  const frozen = await agent.bus.call(NodeFreeze.on(agent.nodeId), { sandboxId, epoch, frozenId, keepUntil: Date.now() + HOUR_MS });
  const many = order(CHILDREN, {
    layers: [...rootfs, frozen.layer],
    command: command("cat /mine; echo $BANYAN_FORK_INDEX; echo own > /mine", { after: "stop" }),
  });
  expect(await startMany(many)).toEqual(many.children.map(() => expect.objectContaining(STARTED)));
  for (const { index, outcome, sandbox } of await allFinished(many)) {
    const stdout = `from the parent\n${index}\n`;
    expect({ sandbox, outcome }).toMatchObject({ sandbox: "stopped", outcome: { exitCode: 0, stdout, changes: { changed: 1 } } });
  }
  const shipped = await agent.bus.call(NodeShip.on(agent.nodeId), { layers: many.layers });
  expect(shipped.layers.map(({ digest }) => digest)).toEqual([rootfs[0]?.digest, expect.stringMatching(/^sha256:/)]);
  await agent.bus.call(NodeRelease.on(agent.nodeId), { frozenIds: [frozenId] });
  expect(await deleteMany(many)).toEqual({ stale: [] });
  expect((await list()).map((each) => each.sandboxId)).toEqual([sandboxId]);
  expect(readdirSync(`${agent.dataDir}/disk/frozen`)).toEqual([]);
});

it("tells after a kill -9 in the middle of commands which were interrupted, and runs none twice", async () => {
  await poolFull();
  const shell = "echo run >> /var/tmp/runs; if [ $((BANYAN_FORK_INDEX % 2)) = 1 ]; then sleep 300; fi; wc -l < /var/tmp/runs";
  const many = order(20, { command: command(shell, { timeoutMs: 600_000 }) });
  await startMany(many);
  await eventually(() => expect(finished(many)).toHaveLength(10), { timeoutMs: 40_000 });
  await agent.signal("SIGKILL");
  await agent.run();
  expect(await startMany(many)).toEqual(many.children.map(() => expect.objectContaining(STARTED)));
  for (const { index, outcome, sandbox } of await allFinished(many)) {
    expect(sandbox).toBe("running");
    if (index % 2 === 1) expect(outcome).toBe(null);
    else expect(outcome).toMatchObject({ exitCode: 0, stdout: "1\n" });
  }
  const [, second] = many.children;
  const own = { ...startOrder(), ...second, orgId: many.orgId };
  expect((await agent.sh(own, "wc -l < /var/tmp/runs; grep -l sleep /proc/[0-9]*/comm | wc -l")).stdout).toBe("1\n0\n");
  await deleteMany(many);
});

it("answers for every child after a kill -9 in the middle of their start", async () => {
  await poolFull();
  const many = order(20, { command: command("echo run >> /var/tmp/runs; wc -l < /var/tmp/runs") });
  const first = startMany(many, { deadlineMs: 5_000 }).catch(() => null);
  await eventually(async () => expect((await list()).length).toBeGreaterThan(0), { timeoutMs: 20_000, intervalMs: 1 });
  await agent.signal("SIGKILL");
  await first;
  await agent.run();
  await eventually(async () => expect(await startMany(many)).toEqual(many.children.map(() => expect.objectContaining(STARTED))), {
    timeoutMs: 60_000,
  });
  for (const { outcome } of await allFinished(many)) if (outcome !== null) expect(outcome).toMatchObject({ exitCode: 0, stdout: "1\n" });
  await deleteMany(many);
});

it("keeps what could not be said while the bus was away, over a kill -9 too", async () => {
  await poolFull();
  const many = order(5, { command: command("sleep 1; echo $BANYAN_FORK_INDEX", { after: "delete" }) });
  await startMany(many);
  await agent.nats.kill();
  await eventually(async () => expect(outcomeFiles(many)).toHaveLength(5), { timeoutMs: 20_000 });
  await agent.signal("SIGKILL");
  await agent.nats.restart();
  await agent.run();
  for (const { index, outcome, sandbox } of await allFinished(many)) {
    expect({ sandbox, outcome }).toMatchObject({ sandbox: "deleted", outcome: { exitCode: 0, stdout: `${index}\n` } });
  }
  await eventually(async () => expect(outcomeFiles(many)).toEqual([]));
  expect(await startMany(many)).toEqual(many.children.map(() => expect.objectContaining(STARTED)));
  expect((await list()).filter(({ orgId }) => orgId === many.orgId)).toEqual([]);
});
