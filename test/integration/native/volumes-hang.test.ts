import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { NodeStores } from "@banyan/runtime";
import { eventually } from "@banyan/testkit";
import { afterAll, beforeAll, expect, it } from "vitest";
import { run, TestNode } from "./test-slot.ts";

let node: TestNode;
let source: string;
let server: ChildProcess;

/** A filesystem whose server can be stopped: who asks it for something new waits as long as it stands still. */
beforeAll(async () => {
  node = await TestNode.start();
  const behind = join(node.directory, "behind");
  source = join(node.directory, "mounted");
  for (const path of [join(behind, "one/two"), source]) mkdirSync(path, { recursive: true });
  writeFileSync(join(behind, ".banyan-store.json"), '{"id":"hanging"}');
  const options = ["--dir-cache-time=1ms", "--attr-timeout=1ms", "--config=/dev/null"];
  server = spawn("rclone", ["mount", behind, source, ...options], { stdio: "ignore" });
  await eventually(() => expect(readFileSync("/proc/self/mountinfo", "utf8")).toContain(` ${source} `), { timeoutMs: 20_000 });
});
afterAll(async () => {
  execFileSync("umount", ["--lazy", source]);
  const ended = once(server, "exit");
  server.kill("SIGKILL");
  await ended;
  await node.stop();
});

it("says that a store is lost while it does not answer, and that it is there again when it does", async () => {
  const stores = new NodeStores({ root: source, run: (argv, options) => node.attach.run(argv, options), objects: null });
  await stores.look();
  expect(stores.said()).toEqual([{ store: "hanging", kind: "directory", state: "ok", reason: null }]);
  server.kill("SIGSTOP");
  expect(await stores.look()).toMatchObject({ state: "lost" });
  expect(stores.said()).toMatchObject([{ state: "lost", reason: expect.stringContaining(source) }]);
  server.kill("SIGCONT");
  await eventually(async () => {
    await stores.look();
    expect(stores.said()).toMatchObject([{ state: "ok" }]);
  });
}, 60_000);

it("gives up an attach that waits for a volume, and leaves the slot as it was", async () => {
  const slot = await node.emptySlot();
  const mounts = () => readFileSync(`/proc/${slot.pid}/mountinfo`, "utf8");
  const before = mounts();
  server.kill("SIGSTOP");
  const volume = { mode: "rw", target: "/data", source, subpath: "one/two", cow: null } as const;
  await expect(node.attachTo(slot, { volumes: [volume] })).rejects.toMatchObject({ errnoName: "EIO", step: "task" });
  expect(mounts()).toBe(before);
  // Others are served meanwhile.
  await node.slot();
  server.kill("SIGCONT");
  await node.attachTo(slot, { volumes: [volume] });
  expect((await run(slot.init, "ls -d /data")).stdout).toBe("/data\n");
}, 60_000);
