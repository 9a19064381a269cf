import { Banyan, type SandboxHandle } from "@banyan/sdk";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type Cluster as Inside, startCluster as startInside } from "../dataplane/cluster.ts";
import { BOOTSTRAP_KEY, type Cluster, startCluster } from "./cluster.ts";

let control: Cluster;
let banyan: Banyan;
let inside: Inside;
let sandbox: SandboxHandle;
beforeAll(async () => {
  [control, inside] = await Promise.all([startCluster(), startInside()]);
  banyan = new Banyan({ url: control.url, apiKey: BOOTSTRAP_KEY });
  sandbox = new Banyan({ url: inside.url, apiKey: inside.key }).sandboxes.at(inside.sandboxId);
});
afterAll(async () => {
  await control.stop();
  await inside.stop();
});

it("leads a sandbox through its life", async () => {
  const made = await banyan.sandboxes.create({ labels: { my_task: "1" }, limits: { memoryMb: 64 }, env: { A_b: "x" }, waitMs: 5_000 });
  expect(made.startPath).toBe("warm");
  expect(made.timing.totalMs).toBeGreaterThan(0);
  expect(made.info).toMatchObject({
    state: "running",
    labels: { my_task: "1" },
    limits: { memoryMb: 64 },
    lifetime: { idleTimeoutS: 900 },
  });
  expect(control.node.sandboxes.get(made.id)?.order.env).toMatchObject({ A_b: "x" });
  await made.update({ labels: { my_task: null, other: "2" }, lifetime: { onIdle: "delete" } });
  expect(made.info).toMatchObject({ labels: { other: "2" }, lifetime: { onIdle: "delete" } });
  await made.stop({ graceMs: 1 });
  expect(made.state).toBe("stopped");
  expect((await made.start()).epoch).toBe(2);
  expect((await banyan.sandboxes.get(made.id)).state).toBe("running");
  await made.delete();
  await made.delete();
});

it("throws what happened and what would help", async () => {
  const gone = banyan.sandboxes.at("sbx_01k9aaaaaaaaaaaaaaaaaaaaaa");
  await expect(gone.look()).rejects.toMatchObject({
    code: "sandbox.not_found",
    status: 404,
    retryable: false,
    fix: expect.stringContaining("GET"),
  });
  await expect(banyan.sandboxes.create({ limits: { cpu: -1 } })).rejects.toMatchObject({
    code: "request.invalid",
    requestId: expect.any(String),
  });
});

it("lists across pages", async () => {
  const labels = { list: String(Date.now()) };
  const ids = await Promise.all(Array.from({ length: 7 }, async () => (await banyan.sandboxes.create({ labels })).id));
  const listed: string[] = [];
  for await (const { id } of banyan.sandboxes.list({ labels, pageSize: 3 })) listed.push(id);
  expect(listed.toSorted()).toEqual(ids.toSorted());
});

it("manages keys, organisations and quotas", async () => {
  const organisation = await banyan.organisations.create({ name: "sdk", quota: { sandboxes: 1, cpu: 1, memoryMb: 2_048 } });
  const { key, id } = await banyan.keys.create({ name: "k", organisation: organisation.id });
  const theirs = new Banyan({ url: control.url, apiKey: key });
  await theirs.sandboxes.create();
  await expect(theirs.sandboxes.create()).rejects.toMatchObject({ code: "sandbox.quota_exceeded", status: 429 });
  expect((await theirs.usage()).usage).toEqual({ sandboxes: 1, cpu: 1, memoryMb: 1_024 });
  expect((await banyan.organisations.setQuota("sdk", { sandboxes: 5 })).quota).toEqual({ sandboxes: 5, cpu: 1, memoryMb: 2_048 });
  expect((await banyan.keys.list({ organisation: "sdk" })).map((one) => one.id)).toEqual([id]);
  await banyan.keys.revoke(id);
  await expect(theirs.usage()).rejects.toMatchObject({ code: "auth.invalid" });
  expect((await banyan.nodes())[0]).toMatchObject({ reachable: true, capacity: { memoryMb: expect.any(Number) } });
  const names: string[][] = [];
  for await (const image of banyan.images.list()) names.push(image.names);
  expect(names).toEqual([["default:latest"]]);
});

it("runs commands: output, exit code, input, time", async () => {
  expect(await sandbox.exec("echo out; echo err >&2; exit 3", { env: { X: "1" } })).toMatchObject({
    exitCode: 3,
    stdout: "out\n",
    stderr: "err\n",
  });
  expect(await sandbox.exec(["cat"], { stdin: "text" })).toMatchObject({ stdout: "text", exitCode: 0 });
  expect(await sandbox.exec(["wc", "-c"], { stdin: new Uint8Array([0, 255, 10]) })).toMatchObject({
    exitCode: 0,
    stdout: expect.stringMatching(/^\s*3/),
  });
  expect(await sandbox.exec("sleep 60", { timeoutMs: 100 })).toMatchObject({ timedOut: true, signal: "SIGKILL", exitCode: null });
  await expect(sandbox.exec(["no-such-command"])).rejects.toMatchObject({ code: "exec.not_found" });
});

it("streams a command as it runs, and ends it when nobody listens", async () => {
  const texts: string[] = [];
  let code: number | null = null;
  for await (const event of sandbox.exec.stream("echo one; sleep 0.05; echo two")) {
    if (event.type === "exit") code = event.exitCode;
    else texts.push(String(event.data));
  }
  expect([texts.join(""), code]).toEqual(["one\ntwo\n", 0]);
  for await (const event of sandbox.exec.stream("echo begun; exec sleep 4242")) if (event.type === "stdout") break;
  await expect.poll(async () => (await sandbox.exec("pgrep -f 'sleep 424[2]'")).exitCode, { timeout: 5_000 }).toBe(1);
});

it("reads, writes, finds and replaces files", async () => {
  const bytes = crypto.getRandomValues(new Uint8Array(60_000));
  expect((await sandbox.files.write("/tmp/sdk/deep/raw", bytes)).bytesWritten).toBe(60_000);
  expect(Buffer.from(await sandbox.files.readBytes("/tmp/sdk/deep/raw")).equals(bytes)).toBe(true);
  await sandbox.files.write("/tmp/sdk/a.txt", new Blob(["hello world"]).stream(), { mode: "0600" });
  expect(await sandbox.files.stat("/tmp/sdk/a.txt")).toMatchObject({ size: 11, mode: "0600", type: "file", linkTarget: null });
  expect((await sandbox.files.list("/tmp/sdk")).map(({ name }) => name).toSorted()).toEqual(["a.txt", "deep"]);
  expect((await sandbox.files.find("/tmp/sdk", "*.txt")).entries.map(({ name }) => name)).toEqual(["a.txt"]);
  expect((await sandbox.files.grep("/tmp/sdk", "wor")).matches).toEqual([expect.objectContaining({ line: 1, text: "hello world" })]);
  expect((await sandbox.files.replace(["/tmp/sdk/a.txt"], "world", "sdk")).replacements).toBe(1);
  await sandbox.files.chmod("/tmp/sdk/a.txt", { mode: "0644" });
  await sandbox.files.move("/tmp/sdk/a.txt", "/tmp/sdk/b.txt");
  await sandbox.files.mkdir("/tmp/sdk/new");
  expect(await sandbox.files.read("/tmp/sdk/b.txt")).toBe("hello sdk");
  const copied = await sandbox.files.upload("/tmp/sdk-copy", await sandbox.files.download("/tmp/sdk"));
  expect(copied.entries).toBeGreaterThan(3);
  expect(await sandbox.files.read("/tmp/sdk-copy/b.txt")).toBe("hello sdk");
  await sandbox.files.remove("/tmp/sdk", { recursive: true });
  await expect(sandbox.files.read("/tmp/sdk/b.txt")).rejects.toMatchObject({ code: "file.not_found" });
});

it("drives background processes", async () => {
  const process = await sandbox.processes.start(["cat"], { stdin: true });
  await process.write("first\n");
  await process.write("second\n", { close: true });
  const read: Uint8Array[] = [];
  for await (const chunk of process.stdout()) read.push(chunk);
  expect(Buffer.concat(read).toString()).toBe("first\nsecond\n");
  expect(await process.wait()).toMatchObject({ state: "exited", exitCode: 0, stdoutBytes: 13 });
  const sleeper = await sandbox.processes.start("exec sleep 1000", { id: "sleeper" });
  await expect(sleeper.wait({ timeoutMs: 50 })).rejects.toMatchObject({ code: "process.wait_timeout" });
  await sleeper.signal("SIGKILL");
  expect(await sleeper.wait()).toMatchObject({ signal: "SIGKILL" });
  expect((await sandbox.processes.list()).map(({ id }) => id)).toEqual(expect.arrayContaining(["sleeper", process.id]));
  expect((await sandbox.processes.get("sleeper")).info.state).toBe("exited");
});

it("opens a terminal of the asked size, and resizes it", async () => {
  const terminal = await sandbox.terminal({ cols: 101, rows: 31, shell: "/bin/sh" });
  terminal.write("stty size\n");
  let shown = "";
  let resized = false;
  for await (const bytes of terminal.output) {
    shown += Buffer.from(bytes).toString();
    if (!resized && shown.includes("31 101")) {
      resized = true;
      terminal.resize(55, 22);
      terminal.write("stty size; exit 7\n");
    }
  }
  expect(shown).toContain("22 55");
  expect(await terminal.ended).toEqual({ exitCode: 7, signal: null });
});

it("reaches a port with its key, and by a link without", async () => {
  const server = "import http.server as h; h.ThreadingHTTPServer(('127.0.0.1', 8099), h.SimpleHTTPRequestHandler).serve_forever()";
  const hasPython = (await sandbox.exec("command -v python3")).exitCode === 0;
  const command = hasPython ? ["python3", "-c", server] : ["busybox", "httpd", "-f", "-p", "127.0.0.1:8099", "-h", "/"];
  const process = await sandbox.processes.start(command, { cwd: "/" });
  await expect.poll(async () => (await sandbox.fetch(8099, "/etc/passwd")).status, { timeout: 10_000 }).toBe(200);
  expect(await (await sandbox.fetch(8099, "/etc/passwd")).text()).toContain("root:");
  const { url } = await sandbox.link(8099, { ttlS: 60 });
  expect((await fetch(new URL(`etc/passwd${new URL(url).search}`, url))).status).toBe(200);
  expect((await fetch(sandbox.url(8099, "/etc/passwd"))).status).toBe(401);
  await process.signal("SIGKILL");
});
