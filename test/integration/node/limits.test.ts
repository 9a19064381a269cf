import { readLimits } from "@banyan/runtime";
import { afterAll, beforeAll, expect, it } from "vitest";
import { start, type TestNode, testNode } from "./test-node.ts";

let node: TestNode;
beforeAll(async () => {
  node = await testNode();
});
afterAll(() => node?.end());

async function sandbox(resources: { cpu?: number; memoryMb?: number; pids?: number; diskMb?: number }, hostname = "test") {
  const order = node.order({ hostname });
  Object.assign(order.resources, resources);
  await start(node, order);
  return order;
}

it("has the asked limits in force in the kernel", async () => {
  const order = await sandbox({ cpu: 0.25, memoryMb: 96, pids: 40 });
  const run = node.parts.registry.get(order.sandboxId)?.run;
  expect(run && readLimits(run.slot.cgroups)).toEqual({ cpu: 0.25, memoryMb: 96, pids: 40 });
});

it("kills what eats more memory than allowed, and counts it, while the sandbox lives on", async () => {
  const order = await sandbox({ memoryMb: 64 });
  const { status } = await node.sh(order, `exec perl -e '$x = "a" x (256 * 1024 * 1024); sleep 1'`);
  expect(status.signal).toBe("SIGKILL");
  expect(await node.parts.registry.find(order).oomKills()).toBeGreaterThan(0);
  expect((await node.sh(order, "echo alive")).out).toBe("alive\n");
});

it("lets a fork bomb have its processes and no more", async () => {
  const order = await sandbox({ pids: 20 });
  const { err, status } = await node.sh(
    order,
    "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25; do sleep 20 & done",
  );
  expect(status.code).not.toBe(0);
  expect(err).toMatch(/fork|Resource temporarily unavailable/i);
});

it("stops a sandbox that fills its disk at its limit, and no other notices", async () => {
  const order = await sandbox({ diskMb: 32 });
  const other = await sandbox({ diskMb: 32 });
  const { err, status } = await node.sh(order, "dd if=/dev/zero of=/fill bs=1M count=64 conv=fsync");
  expect(status.code).not.toBe(0);
  expect(err).toMatch(/Disk quota exceeded|No space left/);
  expect((await node.sh(other, "dd if=/dev/zero of=/fits bs=1M count=8 conv=fsync 2>/dev/null && echo written")).out).toBe("written\n");
});

it("carries the hostname it was given", async () => {
  const order = await sandbox({}, "made-for-you");
  expect((await node.sh(order, "hostname; cat /etc/hostname; cat /proc/sys/kernel/hostname")).out).toBe(
    "made-for-you\nmade-for-you\nmade-for-you\n",
  );
});

it("has the short list of capabilities, no new privileges, and seccomp", async () => {
  const order = await sandbox({});
  const { out } = await node.sh(
    order,
    "grep -E '^(CapBnd|CapEff|NoNewPrivs|Seccomp):' /proc/self/status; mount -t tmpfs x /mnt 2>&1; mknod /dev/sda b 8 0 2>&1",
  );
  // CHOWN 0, DAC_OVERRIDE 1, FOWNER 3, FSETID 4, KILL 5, SETGID 6, SETUID 7, NET_BIND_SERVICE 10
  expect(out).toMatch(/CapEff:\s+00000000000004fb\nCapBnd:\s+00000000000004fb\nNoNewPrivs:\s+1\nSeccomp:\s+2\n/);
  expect(out).toMatch(/mount: .*(permission denied|not permitted)/i);
  expect(out).toMatch(/mknod: .*not permitted/i);
});
