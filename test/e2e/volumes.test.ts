import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Banyan, type CreateSandboxOptions, isBanyanError, type StartedSandbox, type Volume } from "@banyan/sdk";
import { eventually } from "@banyan/testkit";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { endBanyan } from "./clear-away.ts";
import { IMAGE_MS, makeDataDir, PATIENCE_MS, ROOT, startBanyan, type TestBanyan } from "./start-banyan.ts";
import { untilReady } from "./until-ready.ts";

const CLI = join(ROOT, "packages/cli/src/main.ts");
const LARGE_BYTES = 20 * 1024 * 1024;
let running: TestBanyan;
let banyan: Banyan;
let local: string;
const made: StartedSandbox[] = [];

beforeAll(async () => {
  running = await startBanyan(await makeDataDir(), { BANYAN_POOL_SIZE: "6" });
  banyan = running.banyan;
  await untilReady(banyan);
  local = await mkdtemp(join(tmpdir(), "banyan-volumes-"));
}, IMAGE_MS + PATIENCE_MS);
afterEach(async () => {
  for (const sandbox of made.splice(0)) await sandbox.delete();
  await eventually(
    async () => {
      for await (const volume of banyan.volumes.list()) await volume.delete({ force: true });
      return true;
    },
    { timeoutMs: PATIENCE_MS, intervalMs: 200 },
  );
}, PATIENCE_MS);
afterAll(async () => {
  await rm(local, { recursive: true, force: true });
  await endBanyan(running);
}, PATIENCE_MS);

async function sandboxWith(volumes: CreateSandboxOptions["volumes"], more: CreateSandboxOptions = {}): Promise<StartedSandbox> {
  const sandbox = await banyan.sandboxes.create({ waitMs: 60_000, ...(volumes && { volumes }), ...more });
  made.push(sandbox);
  return sandbox;
}

async function said(sandbox: Pick<StartedSandbox, "exec">, command: string): Promise<string> {
  const { stdout, stderr, exitCode } = await sandbox.exec(command);
  expect(exitCode, `${command}: ${stderr}`).toBe(0);
  return stdout.trim();
}

async function refusal(call: () => Promise<unknown>): Promise<{ status: number | null; code: string; fix: string; text: string }> {
  const thrown = await call().then(
    () => null,
    (error: unknown) => error,
  );
  if (!isBanyanError(thrown)) throw new Error("it was not refused", { cause: thrown });
  return { status: thrown.status, code: thrown.code, fix: thrown.fix ?? "", text: `${thrown.message} ${JSON.stringify(thrown.details)}` };
}

async function volumeWith(files: Record<string, string>, name?: string): Promise<Volume> {
  const volume = await banyan.volumes.create(name === undefined ? {} : { name });
  for (const [path, content] of Object.entries(files)) await volume.files.write(path, content);
  return volume;
}

it(
  "is filled once and mounted in many, each in its mode, without a cold start",
  async () => {
    const volume = await volumeWith({ "/deep/file": "as it was" }, "data");
    const [one, other] = [
      await sandboxWith([{ volume: "data", path: "/data" }]),
      await sandboxWith([{ volume: "data", path: "/srv/deep/data" }]),
    ];
    expect([one.info, other.info]).toMatchObject([{ path: "warm" }, { path: "warm" }]);
    expect(await said(one, "cat /data/deep/file; echo shared > /data/new")).toBe("as it was");
    expect(await said(other, "cat /srv/deep/data/new")).toBe("shared");
    const reader = await sandboxWith([{ volume: volume.id, path: "/data", mode: "ro", subpath: "deep" }]);
    expect(await said(reader, "ls /data; touch /data/x 2>&1 | grep -c Read-only")).toBe("file\n1");
    const own = await sandboxWith([{ volume: "data", path: "/data", mode: "cow" }]);
    expect(await said(own, "rm -r /data/deep; echo mine > /data/new; ls /data; cat /data/new")).toBe("new\nmine");
    expect(await volume.files.read("/new")).toBe("shared\n");
    expect(await volume.files.read("/deep/file")).toBe("as it was");
    expect((await volume.users()).users.map(({ mode }) => mode).toSorted()).toEqual(["cow", "ro", "rw", "rw"]);
  },
  PATIENCE_MS,
);

it(
  "keeps what a sandbox changed in a view of its own through stop and start, and gives it to its forks, of which none sees another",
  async () => {
    const volume = await volumeWith({ "/base": "base" });
    const parent = await sandboxWith([{ volume: volume.id, path: "/data", mode: "cow" }]);
    await said(parent, "echo parent > /data/own; rm /data/base");
    await parent.stop();
    await parent.start({ waitMs: 60_000 });
    expect(await said(parent, "ls /data; cat /data/own")).toBe("own\nparent");
    const fork = await parent.fork(5, {
      run: "cat /data/own; echo $BANYAN_FORK_INDEX >> /data/own; sleep 1; tail -n 1 /data/own; ls /data",
      after: "delete",
    });
    const outputs = new Set<string>();
    for await (const { outcome } of fork) outputs.add(outcome?.stdout ?? "");
    expect(outputs).toEqual(new Set([0, 1, 2, 3, 4].map((index) => `parent\n${index}\nown\n`)));
    expect((await fork.wait()).includes).toEqual(["files", "volumes"]);
    expect(await said(parent, "cat /data/own")).toBe("parent");
    expect(await volume.files.read("/base")).toBe("base");
  },
  PATIENCE_MS,
);

it(
  "is mounted into a sandbox that runs, and taken out again",
  async () => {
    const volume = await volumeWith({ "/file": "here" });
    const sandbox = await sandboxWith([]);
    await sandbox.mount({ volume: volume.id, path: "/late" });
    expect(await said(sandbox, "cat /late/file")).toBe("here");
    await sandbox.processes.start("cd /late && sleep 1000", { id: "user" });
    await eventually(async () => (await refusal(() => sandbox.unmount("/late"))).code === "mount.busy");
    await sandbox.unmount("/late", { force: true });
    expect(await said(sandbox, "ls -A /late")).toBe("");
    expect((await sandbox.look()).volumes).toEqual([]);
  },
  PATIENCE_MS,
);

it(
  "has versions: pinned to, restored, forked from",
  async () => {
    const volume = await volumeWith({ "/file": "first" });
    const version = await volume.snapshot({ name: "v1" });
    await volume.files.write("/file", "second");
    const pinned = await sandboxWith([{ volume: volume.id, path: "/data", mode: "cow", version: "v1" }]);
    expect(await said(pinned, "cat /data/file; echo changed > /data/file; cat /data/file")).toBe("firstchanged");
    const fork = await volume.fork({ version: version.id });
    expect(await fork.files.read("/file")).toBe("first");
    expect(await volume.files.read("/file")).toBe("second");
    await volume.restore("v1");
    expect(await volume.files.read("/file")).toBe("first");
    expect(await refusal(() => volume.deleteVersion("v1"))).toMatchObject({ status: 409, code: "volume.in_use" });
  },
  PATIENCE_MS,
);

it(
  "cannot be deleted while sandboxes have it, and says which",
  async () => {
    const volume = await volumeWith({});
    const sandbox = await sandboxWith([{ volume: volume.id, path: "/data" }]);
    const refused = await refusal(() => volume.delete());
    expect(refused).toMatchObject({ status: 409, code: "volume.in_use" });
    expect(refused.text).toContain(sandbox.id);
    await sandbox.delete();
    await eventually(() => volume.delete().then(() => true));
    await eventually(
      async () =>
        (await refusal(() => banyan.volumes.get(volume.id)).catch(() => ({ status: 0 }))).status === 404 ||
        (await volume.look()).state !== "ready",
    );
    expect((await refusal(() => banyan.sandboxes.create({ volumes: [{ volume: volume.id, path: "/data" }] }))).code).toMatch(/^volume\./);
  },
  PATIENCE_MS,
);

it(
  "is refused at places where no volume can be, in words that tell which",
  async () => {
    const volume = await volumeWith({});
    const at = (...paths: string[]) =>
      refusal(() => banyan.sandboxes.create({ volumes: paths.map((path) => ({ volume: volume.id, path })) }));
    for (const path of ["/", "/proc", "/proc/x", "/dev", "/sys", "relative", "/a/../proc", "/.banyan/x"]) {
      expect(await at(path), path).toMatchObject({ status: 422, code: "request.invalid" });
    }
    expect((await at("/a", "/a")).text).toContain("another volume is at /a");
    expect((await at("/a", "/a/b")).text).toContain("overlaps the mount at /a");
    expect(await refusal(() => banyan.volumes.create({ quotaMb: -1 }))).toMatchObject({ status: 422 });
    expect(await refusal(() => banyan.sandboxes.create({ volumes: [{ volume: "nothing", path: "/a" }] }))).toMatchObject({
      code: "volume.not_found",
    });
    const missing = () => banyan.sandboxes.create({ volumes: [{ volume: volume.id, path: "/a", subpath: "not/there" }] });
    expect(await refusal(missing)).toMatchObject({ code: "volume.subpath_not_found" });
  },
  PATIENCE_MS,
);

it(
  "takes a tree by the command line, of which a second copy sends only what has changed",
  async () => {
    await volumeWith({}, "tree");
    const tree = join(local, "tree");
    await mkdir(join(tree, "sub"), { recursive: true });
    await writeFile(join(tree, "sub/small"), "small");
    await writeFile(join(tree, "large"), Buffer.alloc(LARGE_BYTES, "x"));
    await symlink("sub/small", join(tree, "link"));
    await cli("volume", "cp", tree, "tree:/copied");
    expect(await banyan.volumes.at("tree").files.read("/copied/sub/small")).toBe("small");
    expect((await banyan.volumes.at("tree").files.stat("/copied/large")).size).toBe(LARGE_BYTES);
    await writeFile(join(tree, "sub/small"), "changed");
    const again = await cli("volume", "cp", "-v", tree, "tree:/copied");
    expect(again).toContain("small");
    expect(again).not.toContain("large");
    await cli("volume", "cp", "tree:/copied", join(local, "back"));
    expect(await readFile(join(local, "back/sub/small"), "utf8")).toBe("changed");
    const sandbox = await sandboxWith([{ volume: "tree", path: "/data", mode: "ro" }]);
    expect(await said(sandbox, "cat /data/copied/link; wc -c < /data/copied/large")).toBe(`changed${LARGE_BYTES}`);
  },
  PATIENCE_MS,
);

function cli(...args: string[]): Promise<string> {
  const env = { ...process.env, BANYAN_URL: running.url, BANYAN_API_KEY: running.apiKey, NO_COLOR: "1", HOME: local };
  return new Promise((resolve, reject) => {
    execFile(process.execPath, [CLI, ...args], { env }, (error, stdout, stderr) => {
      if (error === null) resolve(stdout + stderr);
      else reject(new Error(`${args.join(" ")}: ${stdout}${stderr}`, { cause: error }));
    });
  });
}
