import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { deleteSandbox } from "@banyan/runner-agent";
import { cgroupDirectories } from "@banyan/runtime";
import { eventually } from "@banyan/testkit";
import { expect, it } from "vitest";
import { AgentProcess } from "./agent-process.ts";
import { footprint, NOTHING } from "./footprint.ts";
import { start, testNode } from "./test-node.ts";

const POOL = { target: 6, parallel: 4, perS: 50, slotsMax: 30, quietMs: 0 };
const NO_POOL = { ...POOL, target: 0 };
const BURST = 20;
/** Takes long enough to make that a process is killed in the middle of it. */
const LARGE_POOL = 80;

/** Ids of the slots that a node's directories and cgroups know of. */
function slotsOf(dataDir: string): string[] {
  const directories = ["oci", "oci-run/bundles", "oci-run/state"].map((name) => join(dataDir, name));
  return [...new Set(directories.flatMap((directory) => (existsSync(directory) ? readdirSync(directory) : [])))];
}
const withCgroup = (ids: readonly string[]) => ids.filter((id) => cgroupDirectories(`/banyan/${id}`).length > 0);

it("serves more sandboxes at once than its pool holds, and leaves nothing after a purge", async () => {
  const node = await testNode({ slotMaker: "oci", pool: POOL });
  const orders = Array.from({ length: BURST }, () => node.order());
  await Promise.all(orders.map((order) => start(node, order)));
  await Promise.all(orders.map((order) => node.sh(order, `echo ${order.sandboxId} > /who`)));
  const seen = await Promise.all(orders.map(async (order) => (await node.sh(order, "cat /who")).out.trim()));
  expect(seen).toEqual(orders.map(({ sandboxId }) => sandboxId));
  const ids = slotsOf(node.config.dataDir);
  expect(withCgroup(ids).length).toBeGreaterThanOrEqual(BURST);
  await Promise.all(orders.slice(1).map((order) => deleteSandbox(node.parts, order)));
  await node.stop("purge");
  await eventually(async () => expect(await footprint(node)).toEqual(NOTHING));
  expect(slotsOf(node.config.dataDir)).toEqual([]);
  expect(withCgroup(ids)).toEqual([]);
  rmSync(node.config.dataDir, { recursive: true });
});

it("adopts what runs and removes what was half made, after kill -9 in the middle of a refill", async () => {
  const environment: Record<string, string> = { BANYAN_SLOT_MAKER: "oci", BANYAN_POOL_SIZE: "1", BANYAN_POOL_REFILL_PARALLEL: "4" };
  const agent = await AgentProcess.start(environment);
  try {
    const order = await agent.startSandbox();
    await agent.sh(order, "echo kept > /file");
    environment.BANYAN_POOL_SIZE = String(LARGE_POOL);
    await agent.signal("SIGTERM");
    await agent.run();
    const halfMade = () => {
      const bundles = join(agent.dataDir, "oci-run/bundles");
      return readdirSync(bundles).filter((id) => !existsSync(join(bundles, id, "slot.json")));
    };
    await eventually(() => expect(halfMade().length).toBeGreaterThan(1), { intervalMs: 1 });
    await agent.signal("SIGKILL");
    environment.BANYAN_POOL_SIZE = "1";
    const half = halfMade();
    expect(half.length).toBeGreaterThan(0);
    await agent.run();
    expect(await agent.sh(order, "cat /file")).toEqual({ status: 200, stdout: "kept\n" });
    await eventually(() =>
      expect(slotsOf(agent.dataDir)).not.toEqual(expect.arrayContaining([expect.toSatisfy((id) => half.includes(id))])),
    );
    expect(withCgroup(half)).toEqual([]);
    const ids = slotsOf(agent.dataDir);
    await agent.end();
    expect(withCgroup([...ids, ...half])).toEqual([]);
  } catch (error) {
    await agent.end();
    throw error;
  }
});

it("refuses to start beside slots that the other maker made, and says how to end them", async () => {
  const dataDir = mkdtempSync("/var/tmp/bny-");
  const first = await testNode({ dataDir, slotMaker: "oci", pool: { ...POOL, target: 1 } });
  await eventually(() => expect(first.parts.pool.status.free).toBe(1));
  await first.stop("keep");
  await expect(testNode({ dataDir, slotMaker: "docker", pool: NO_POOL })).rejects.toThrow(
    /BANYAN_SLOT_MAKER=oci and BANYAN_NODE_ON_STOP=purge/,
  );
  const again = await testNode({ dataDir, slotMaker: "oci", pool: NO_POOL });
  expect(again.parts.pool.status.free).toBe(1);
  await again.stop("purge");
  await (await testNode({ dataDir, slotMaker: "docker", pool: NO_POOL })).end();
});
