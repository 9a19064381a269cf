import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type MountMode, type MountOrder, NodeDelete, NodeMount, NodeUnmount, type StartOrder } from "@banyan/contracts";
import { newId } from "@banyan/kernel";
import { contentPath, makeStore } from "@banyan/runtime";
import { eventually } from "@banyan/testkit";
import { afterAll, beforeAll, expect, it } from "vitest";
import { AgentProcess } from "./agent-process.ts";

const TEST_MS = 120_000;
const root = mkdtempSync("/var/tmp/bny-store-");
let agent: AgentProcess;
let store: string;

beforeAll(async () => {
  agent = await AgentProcess.start({ BANYAN_VOLUME_DIR: root });
}, TEST_MS);
afterAll(async () => {
  await agent?.end();
  rmSync(root, { recursive: true, force: true });
}, TEST_MS);

function mountOf(mode: MountMode, path: string): MountOrder {
  const volumeId = newId("vol");
  const content = contentPath(root, volumeId);
  mkdirSync(content, { recursive: true });
  writeFileSync(join(content, "file"), `of ${path}\n`);
  return { path, subpath: "", mode, source: { kind: "directory", store, volumeId, versionId: null } };
}

const said = async () => (await agent.heartbeat())?.stores.find(({ kind }) => kind === "directory");
const mount = (order: StartOrder, one: MountOrder) =>
  agent.bus.call(NodeMount.on(agent.nodeId), { sandboxId: order.sandboxId, epoch: order.epoch, mount: one });
const unmount = (order: StartOrder, path: string) =>
  agent.bus.call(NodeUnmount.on(agent.nodeId), { sandboxId: order.sandboxId, epoch: order.epoch, path, force: false });

it(
  "says which store it reaches as soon as that is there",
  async () => {
    expect(await said()).toBeUndefined();
    store = (await makeStore(root)).id;
    await eventually(async () => expect(await said()).toEqual({ store, kind: "directory", state: "ok", reason: null }), {
      timeoutMs: 20_000,
    });
  },
  TEST_MS,
);

it(
  "knows the mounts of what it adopts after a kill -9, those that were made later too",
  async () => {
    const [first, second, third] = [mountOf("rw", "/first"), mountOf("cow", "/second"), mountOf("ro", "/third")];
    const order = await agent.startSandbox({ mounts: [first] });
    await mount(order, second);
    await agent.sh(order, "echo own > /second/own; mv /first/file /first/named");
    await agent.signal("SIGKILL");
    await agent.run();
    expect(await agent.sh(order, "ls /first /second")).toMatchObject({ stdout: "/first:\nnamed\n\n/second:\nfile\nown\n" });
    await mount(order, second);
    await expect(mount(order, { ...third, path: "/first" })).rejects.toMatchObject({ code: "mount.exists" });
    await mount(order, third);
    expect(await agent.sh(order, "cat /third/file")).toMatchObject({ stdout: "of /third\n" });
    for (const path of ["/first", "/second", "/third"]) await unmount(order, path);
    expect(await agent.sh(order, "ls -A /first /third | grep -c file")).toMatchObject({ stdout: "0\n" });
    await agent.bus.call(NodeDelete.on(agent.nodeId), order);
    expect(existsSync(join(contentPath(root, first.source.volumeId), "named"))).toBe(true);
  },
  TEST_MS,
);
