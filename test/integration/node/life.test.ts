import { deleteSandbox, stopSandbox } from "@banyan/runner-agent";
import { afterAll, beforeAll, expect, it } from "vitest";
import { start, stopOf, type TestNode, testNode } from "./test-node.ts";

let node: TestNode;
beforeAll(async () => {
  node = await testNode({ pool: { target: 4, parallel: 2, perS: 50, slotsMax: 100 } });
});
afterAll(() => node.end());

it("keeps a sandbox's files over stop and start, and forgets them with a delete", async () => {
  const order = node.order();
  await start(node, order);
  expect(await node.sh(order, "echo kept > /root/file; rm /etc/debian_version; hostname; cat /etc/hosts")).toMatchObject({
    out: "test\n127.0.0.1\tlocalhost\n127.0.1.1\ttest\n",
    status: { code: 0 },
  });
  expect(await stopSandbox(node.parts, stopOf(order))).toEqual({ outcome: "stopped" });
  expect(() => node.parts.registry.find(order)).toThrow(expect.objectContaining({ code: "sandbox.not_running" }));
  const again = { ...order, epoch: 2, fresh: false };
  await start(node, again);
  expect((await node.sh(again, "cat /root/file; test -e /etc/debian_version || echo gone")).out).toBe("kept\ngone\n");
  await deleteSandbox(node.parts, again);
  expect(() => node.parts.registry.find(again)).toThrow(expect.objectContaining({ code: "sandbox.not_found" }));
  expect(node.parts.disk.driver.has(order.sandboxId)).toBe(false);
});
