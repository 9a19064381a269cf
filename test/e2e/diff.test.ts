import { execFile, execFileSync } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buffer, text } from "node:stream/consumers";
import { promisify } from "node:util";
import type { DiffEntry, Sandbox, SandboxHandle } from "@banyan/sdk";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { endBanyan } from "./clear-away.ts";
import { IMAGE_MS, makeDataDir, PATIENCE_MS, ROOT, startBanyan, type TestBanyan } from "./start-banyan.ts";
import { untilReady } from "./until-ready.ts";

const CLI = join(ROOT, "packages/cli/src/main.ts");
const FORK_MS = 120_000;
let running: TestBanyan;
let files: string;
const made: { delete(): Promise<void> }[] = [];

beforeAll(async () => {
  running = await startBanyan(await makeDataDir(), { BANYAN_POOL_SIZE: "4" });
  await untilReady(running.banyan);
  files = await mkdtemp(join(tmpdir(), "banyan-diff-"));
}, IMAGE_MS + PATIENCE_MS);
afterEach(async () => {
  for (const sandbox of made.splice(0)) await sandbox.delete();
}, PATIENCE_MS);
afterAll(async () => {
  await rm(files, { recursive: true, force: true });
  await endBanyan(running);
}, PATIENCE_MS);

async function sandbox(script = "true"): Promise<Sandbox> {
  const fresh = await running.banyan.sandboxes.create({ waitMs: 60_000 });
  made.push(fresh);
  expect((await fresh.exec(script)).exitCode).toBe(0);
  return fresh;
}

const lines = (entries: DiffEntry[]) => entries.map(({ kind, path }) => `${kind} ${path}`);

const cli = (...args: string[]) =>
  promisify(execFile)(process.execPath, [CLI, ...args], {
    env: { ...process.env, BANYAN_URL: running.url, BANYAN_API_KEY: running.apiKey, NO_COLOR: "1" },
  });

describe("a sandbox's diff", () => {
  it("is empty at first, and then what was done in it, running or stopped", async () => {
    const one = await sandbox();
    expect(await one.diff()).toMatchObject({ entries: [], running: true, summary: { added: 0, changed: 0, deleted: 0, complete: true } });
    await one.exec("mkdir d; echo hello > d/f; echo more >> /etc/hosts; rm /etc/group");
    const diff = await one.diff();
    expect(diff.entries.map(({ path }) => path)).toEqual(["/etc/group", "/etc/hosts", "/workspace/d", "/workspace/d/f"]);
    expect(diff.summary).toMatchObject({ deleted: 1, complete: true });
    await one.stop();
    expect(await one.diff()).toMatchObject({ running: false, entries: diff.entries.map(({ path }) => ({ path })) });
    expect(lines((await one.diff({ path: "/workspace" })).entries)).toEqual(["added /workspace/d", "added /workspace/d/f"]);
  });

  it("comes in pages that a loop goes through", async () => {
    const one = await sandbox("mkdir p; for i in $(seq 10 34); do echo $i > p/$i; done");
    const entries: DiffEntry[] = [];
    for await (const entry of one.changes({ limit: 7, path: "/workspace/p" })) entries.push(entry);
    expect(entries).toHaveLength(26);
    expect(new Set(entries.map(({ path }) => path)).size).toBe(26);
  });

  it("is nobody else's to see", async () => {
    const [one, other] = [await sandbox(), "sbx_00000000000000000000000000"];
    await expect(one.diff({ against: other })).rejects.toMatchObject({ code: "sandbox.not_found" });
    await expect(running.banyan.sandboxes.at(other).diff()).rejects.toMatchObject({ code: "sandbox.not_found" });
    await expect(one.diff({ against: "nothing" })).rejects.toMatchObject({ code: "request.invalid" });
  });

  it("of a deleted one is gone with it", async () => {
    const one = await sandbox("touch f");
    made.pop();
    await one.delete();
    await expect(one.diff()).rejects.toMatchObject({ status: expect.any(Number), retryable: false });
  });
});

describe("children of a fork", () => {
  it(
    "differ from the fork point, from each other, and from the parent as it is now",
    async () => {
      const parent = await sandbox("seq 1 50 > numbers; echo kept > kept; echo old > gone");
      const fork = await parent.fork(2, {
        run: 'sed -i "s/^7$/seven $BANYAN_FORK_INDEX/" numbers; rm gone; echo $BANYAN_FORK_INDEX > own-$BANYAN_FORK_INDEX',
        after: "keep",
      });
      made.push({ delete: () => fork.cancel({ deleteChildren: true }).then(() => undefined) });
      await fork.wait();
      const children: SandboxHandle[] = [];
      for await (const child of fork.children()) children.push(running.banyan.sandboxes.at(child.info.sandboxId ?? ""));
      const [first, second] = children;
      if (!first || !second) throw new Error("two children were asked for");
      const own = { path: "/workspace" };
      expect(lines((await first.diff(own)).entries)).toEqual([
        "deleted /workspace/gone",
        "changed /workspace/numbers",
        "added /workspace/own-0",
      ]);
      const between = await first.diff({ ...own, against: second.id, content: true });
      expect(lines(between.entries)).toEqual(["changed /workspace/numbers", "added /workspace/own-0", "deleted /workspace/own-1"]);
      expect(between.entries[0]?.diff).toContain("-seven 1\n+seven 0\n");
      await parent.exec("echo parent > kept");
      expect(lines((await first.diff({ ...own, against: parent.id })).entries)).toEqual([
        "deleted /workspace/gone",
        "changed /workspace/kept",
        "changed /workspace/numbers",
        "added /workspace/own-0",
      ]);
    },
    FORK_MS,
  );
});

describe("a patch and a tar", () => {
  it("carry what was done to another place", async () => {
    const one = await sandbox("mkdir src; seq 1 9 > src/a; printf '#!/bin/sh\\n' > src/run; chmod +x src/run; ln -s a src/l");
    const patch = await text(await one.diffPatch({ path: "/workspace" }));
    const work = join(files, "patched");
    execFileSync("mkdir", [work]);
    execFileSync("git", ["apply", "-p2", "-"], { cwd: work, input: patch });
    expect(await readFile(join(work, "src/l"), "utf8")).toBe("1\n2\n3\n4\n5\n6\n7\n8\n9\n");
    const tar = await buffer(await one.diffTar({ path: "/workspace" }));
    expect(execFileSync("tar", ["-tf", "-"], { input: tar, encoding: "utf8" }).split("\n").filter(Boolean).sort()).toEqual([
      "workspace/src/",
      "workspace/src/a",
      "workspace/src/l",
      "workspace/src/run",
    ]);
  });
});

describe("the command line", () => {
  it("shows a diff, and writes a patch and a tar", async () => {
    const one = await sandbox("echo hello > greeting; mkdir d; ln -s greeting d/l");
    const shown = (await cli("diff", one.id, "--path", "/workspace")).stdout.split("\n");
    expect(shown).toEqual([
      "A /workspace/d/",
      "A /workspace/d/l -> greeting",
      "A /workspace/greeting  6 B",
      "3 added, 0 changed, 0 deleted, 0.0 MiB (read while it ran)",
      "",
    ]);
    const listed = (await cli("--json", "diff", one.id, "--path", "/workspace/greeting", "--content")).stdout;
    expect(JSON.parse(listed)).toMatchObject({ kind: "added", path: "/workspace/greeting", diff: expect.stringContaining("+hello") });
    expect((await cli("diff", one.id, "--patch")).stdout).toContain("+++ b/workspace/greeting\n@@ -0,0 +1 @@\n+hello\n");
    await cli("diff", one.id, "--tar", join(files, "out.tar"));
    expect(execFileSync("tar", ["-tf", join(files, "out.tar")], { encoding: "utf8" })).toContain("workspace/greeting\n");
    await expect(cli("diff", one.id, "--patch", "--tar", "x")).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringContaining("choose one"),
    });
  });
});

it("is told over plain HTTP by what is accepted", async () => {
  const one = await sandbox("echo x > f");
  const ask = (accept: string) =>
    fetch(`${running.url}/v1/sandboxes/${one.id}/diff`, { headers: { authorization: `Bearer ${running.apiKey}`, accept } });
  for (const [accept, type] of [
    ["text/x-diff", "text/x-diff"],
    ["application/x-tar", "application/x-tar"],
    ["*/*", "application/json"],
  ] as const) {
    const response = await ask(accept);
    expect([response.status, response.headers.get("content-type")]).toEqual([200, type]);
    await writeFile(join(files, "body"), Buffer.from(await response.arrayBuffer()));
  }
  const put = await fetch(`${running.url}/v1/sandboxes/${one.id}/diff`, {
    method: "PUT",
    headers: { authorization: `Bearer ${running.apiKey}` },
  });
  expect(await put.json()).toMatchObject({ code: "request.method_not_allowed", details: { allow: ["GET"] } });
});
