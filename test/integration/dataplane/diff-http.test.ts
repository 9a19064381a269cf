import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { api, type StartOrder } from "@banyan/contracts";
import { newId, silentLogger, systemClock } from "@banyan/kernel";
import { deleteSandbox, stopSandbox } from "@banyan/runner-agent";
import { eventually } from "@banyan/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createDataPlane, type DataPlane } from "../../../services/runner-agent/src/http/server.ts";
import { storedFiles } from "../../../services/runner-agent/src/http/stored-files.ts";
import { start, stopOf, type TestNode, testNode } from "../node/test-node.ts";

const CLUSTER_TOKEN = "the cluster's token";

let node: TestNode;
let plane: DataPlane;
let url: string;
let scratch: string;
beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), "bnydiff-"));
  node = await testNode();
  const { registry } = node.parts;
  plane = createDataPlane({
    ...{ directory: registry, stored: storedFiles(node.parts), clusterToken: CLUSTER_TOKEN, logger: silentLogger, clock: systemClock },
  });
  url = `http://127.0.0.1:${(await plane.listen("127.0.0.1", 0)).port}`;
}, 120_000);
afterAll(async () => {
  await plane?.close();
  await node?.end();
  rmSync(scratch, { recursive: true, force: true });
});

function ask(order: StartOrder, query: Record<string, string> = {}, accept = "application/json"): Promise<Response> {
  const { authorization, orgId, epoch } = api.FORWARD_HEADERS;
  const headers = { [authorization]: `Bearer ${CLUSTER_TOKEN}`, [orgId]: order.orgId, [epoch]: String(order.epoch), accept };
  return fetch(`${url}/sandboxes/${order.sandboxId}/diff?${new URLSearchParams(query)}`, { headers });
}
const page = async (order: StartOrder, query: Record<string, string> = {}) => api.Diff.parse(await (await ask(order, query)).json());
const paths = ({ entries }: api.Diff) => entries.map(({ kind, path }) => `${kind} ${path}`);
const problem = async (answer: Promise<Response>) => api.Problem.parse(await (await answer).json());

async function running(script = "true"): Promise<StartOrder> {
  const order = node.order();
  await start(node, order);
  const { status, err } = await node.sh(order, `set -e\n${script}`);
  if (status.code !== 0) throw new Error(err);
  return order;
}

/** The same organisation, and a stack that is the parent's with its files as they are now. */
const fresh = (parent: StartOrder): StartOrder => node.order({ orgId: parent.orgId, layers: parent.layers });

describe("a sandbox that runs", () => {
  it("has changed nothing when it has just been made", async () => {
    const order = await running();
    expect(await page(order)).toEqual({
      ...{ sandbox_id: order.sandboxId, against: null, running: true, entries: [], next_cursor: null, skipped: 0 },
      summary: { added: 0, changed: 0, deleted: 0, bytes: 0, complete: true },
    });
  });

  it("tells what it has added, changed and deleted, as it is now", async () => {
    const order = await running(
      "mkdir -p /w/d; echo hello > /w/d/f; ln -s f /w/d/l; echo 1 >> /etc/passwd; rm /etc/group; chmod 711 /root",
    );
    const diff = await page(order);
    expect(paths(diff)).toEqual([
      "deleted /etc/group",
      "changed /etc/passwd",
      "changed /root",
      "added /w",
      "added /w/d",
      "added /w/d/f",
      "added /w/d/l",
    ]);
    expect(diff.entries.find(({ path }) => path === "/w/d/f")).toMatchObject({
      kind: "added",
      before: null,
      now: { type: "file", mode: "0644", size: 6, uid: 0 },
    });
    expect(diff.entries.find(({ path }) => path === "/w/d/l")?.now).toMatchObject({ type: "symlink", link_target: "f" });
    expect(diff.entries.find(({ path }) => path === "/etc/group")).toMatchObject({ now: null, before: { type: "file" } });
    expect(diff.entries.find(({ path }) => path === "/root")).toMatchObject({ what: ["mode"], now: { mode: "0711" } });
    expect(diff.summary).toMatchObject({ added: 4, changed: 2, deleted: 1 });
    await node.sh(order, "rm -r /w");
    expect(paths(await page(order))).toEqual(["deleted /etc/group", "changed /etc/passwd", "changed /root"]);
  });

  it("tells of its own files of a start when they were changed, and of no others", async () => {
    const order = await running("echo 1.2.3.4 other >> /etc/hosts");
    expect(paths(await page(order))).toEqual(["added /etc/hosts"]);
  });

  it("is told in pages, and below a path", async () => {
    const order = await running("mkdir /p /q; for i in 1 2 3 4 5 6 7; do echo $i > /p/$i; done; echo x > /q/x");
    const whole = paths(await page(order));
    const first = await page(order, { limit: "4" });
    expect(first.summary).toMatchObject({ added: 10 });
    const second = await page(order, { limit: "4", cursor: first.next_cursor ?? "" });
    const third = await page(order, { limit: "4", cursor: second.next_cursor ?? "" });
    expect([second.summary, third.next_cursor]).toEqual([null, null]);
    expect([first, second, third].flatMap(paths)).toEqual(whole);
    expect(paths(await page(order, { path: "//q/./" }))).toEqual(["added /q", "added /q/x"]);
    expect(await page(order, { path: "/q" })).toMatchObject({ summary: { added: 2, bytes: 2 } });
  });

  it("shows the text of what was changed", async () => {
    const order = await running(
      "cp /etc/passwd /tmp/p; echo new >> /etc/passwd; printf 'a\\0b' > /bin-ary; head -c 1100000 /dev/zero > /big; printf 'caf\\351\\n' > /latin; chmod 755 /latin; rm /tmp/p",
    );
    const { entries } = await page(order, { content: "true" });
    const entry = (path: string) => entries.find((one) => one.path === path);
    expect(entry("/etc/passwd")?.diff).toMatch(
      /^diff --git a\/etc\/passwd b\/etc\/passwd\n--- a\/etc\/passwd\n\+\+\+ b\/etc\/passwd\n@@ .*\+new\n$/s,
    );
    expect(entry("/bin-ary")).toMatchObject({ diff: null, diff_left_out: "binary" });
    expect(entry("/big")).toMatchObject({ diff: null, diff_left_out: "too_large" });
    expect(entry("/latin")).toMatchObject({ diff: null, diff_left_out: "not_utf8" });
  });

  it("has names of any bytes", async () => {
    const order = await running("mkdir /n; touch \"$(printf '/n/a\\377')\" \"$(printf '/n/b\\nc')\"");
    const { entries } = await page(order, { path: "/n" });
    expect(entries[1]).toMatchObject({ path: "/n/a\ufffd", path_base64: Buffer.from("/n/a\xff", "latin1").toString("base64") });
    expect(entries[2]).toMatchObject({ path: "/n/b\nc", path_base64: null });
  });
});

describe("a sandbox that is stopped", () => {
  it("is told as it lies there", async () => {
    const order = await running("echo x > /x");
    await stopSandbox(node.parts, stopOf(order));
    expect(await page(order)).toMatchObject({ running: false, entries: [{ path: "/x", kind: "added" }] });
  });
});

describe("a patch", () => {
  it("makes of the one tree the other, by git", async () => {
    const base =
      "mkdir -p /t/keep /t/gone/deep; cd /t; seq 1 200 > long; echo one > mode; echo x > gone/deep/f; ln -s long link; printf 'no newline' > tail; echo s > 'a b'; echo r > retyped; printf 'caf\\351\\n' > latin";
    const parent = await running(base);
    const snapshot = await copyOut(parent);
    const change =
      "cd /t; sed -i 's/^7$/seven/; s/^150$/150!/' long; chmod +x mode; rm -r gone; ln -sfn mode link; printf 'no newline\\nnow' > tail; echo t >> 'a b'; echo new > n; touch empty; rm retyped; ln -s n retyped; printf 'caf\\351\\351\\n' > latin; touch \"$(printf 'o\\377\\n\"q')\"; echo odd > \"$(printf 'o\\377\\n\"q')\"; mkdir dir";
    const child = node.order({ orgId: parent.orgId, layers: parent.layers });
    await start(node, child);
    await node.sh(child, base);
    const made = await copyOut(child);
    // Both made the same: what follows is the difference of the two.
    expect(execFileSync("diff", ["-r", "--no-dereference", snapshot, made], { encoding: "utf8" })).toBe("");
    await node.sh(child, change);
    const response = await ask(child, { against: parent.sandboxId, path: "/t" }, "text/x-diff");
    expect(response.headers.get("content-type")).toBe("text/x-diff");
    const patch = Buffer.from(await response.arrayBuffer());
    const work = join(scratch, "work");
    mkdirSync(work);
    execFileSync("cp", ["-a", join(snapshot, "t"), work]);
    execFileSync("git", ["init", "-q", work]);
    execFileSync("git", ["-C", work, "apply", "--check", "-"], { input: patch });
    execFileSync("git", ["-C", work, "apply", "-"], { input: patch });
    rmSync(join(work, ".git"), { recursive: true });
    const now = await copyOut(child);
    // Git keeps no empty directories.
    for (const tree of [work, now]) execFileSync("find", [tree, "-type", "d", "-empty", "-delete"]);
    expect(execFileSync("diff", ["-r", "--no-dereference", join(work, "t"), join(now, "t")], { encoding: "utf8" })).toBe("");
    expect(execFileSync("stat", ["-c", "%a", join(work, "t/mode")], { encoding: "utf8" })).toBe("755\n");
  }, 60_000);

  it("says what it leaves out", async () => {
    const order = await running("printf 'a\\0b' > /binary; head -c 1100000 /dev/zero > /large; echo text > /text; mkfifo /fifo");
    const patch = await (await ask(order, { format: "patch" })).text();
    expect(patch.split("\n").filter((line) => line.startsWith("#"))).toEqual([
      '# banyan: "/binary" left out: not a text file',
      '# banyan: "/large" left out: larger than 1048576 bytes',
    ]);
    const work = join(scratch, "left-out");
    mkdirSync(work);
    execFileSync("git", ["apply", "-"], { cwd: work, input: patch });
    expect(readdirSync(work)).toEqual(["text"]);
  });
});

describe("a tar", () => {
  it("holds what is new, and whiteouts for what is gone", async () => {
    const order = await running(
      "mkdir /t; echo 1 > /t/f; head -c 3000000 /dev/urandom > /t/big; ln -s f /t/l; rm /etc/group; chown 5:6 /t/f; chmod 4755 /t/f",
    );
    const tar = Buffer.from(await (await ask(order, {}, "application/x-tar")).arrayBuffer());
    const to = join(scratch, "tar");
    mkdirSync(to);
    execFileSync("tar", ["-C", to, "-xpf", "-"], { input: tar });
    expect(execFileSync("find", [".", "-type", "f", "-o", "-type", "l"], { cwd: to, encoding: "utf8" }).trim().split("\n").sort()).toEqual([
      "./etc/.wh.group",
      "./t/big",
      "./t/f",
      "./t/l",
    ]);
    expect(execFileSync("stat", ["-c", "%a %u %g", join(to, "t/f")], { encoding: "utf8" })).toBe("4755 5 6\n");
    const { out } = await node.sh(order, "sha256sum < /t/big");
    expect(execFileSync("sha256sum", { input: readFileSync(join(to, "t/big")), encoding: "utf8" })).toBe(out);
  });
});

describe("a sandbox that is deleted", () => {
  it("takes with it the answers that are under way", async () => {
    const order = await running("head -c 100000000 /dev/zero > /big");
    const response = await ask(order, { format: "tar" });
    expect(response.status).toBe(200);
    await deleteSandbox(node.parts, { sandboxId: order.sandboxId, epoch: order.epoch });
    await expect(response.arrayBuffer()).rejects.toThrow();
    expect(await problem(ask(order))).toMatchObject({ status: 404, code: "sandbox.not_found" });
  });
});

describe("against another sandbox", () => {
  it("is what the two have different", async () => {
    const one = await running("echo same > /same; echo one > /differs; echo 1 > /only-one; rm /etc/group");
    const other = fresh(one);
    await start(node, other);
    await node.sh(other, "echo same > /same; echo other > /differs; echo 2 > /only-other");
    // Both were written a moment apart: of /same nothing but its time differs.
    const { entries, against } = await page(one, { against: other.sandboxId });
    expect(against).toBe(other.sandboxId);
    expect(entries.map(({ kind, path, what }) => `${kind} ${path} ${what}`)).toEqual([
      "changed /differs content",
      "deleted /etc/group ",
      "added /only-one ",
      "deleted /only-other ",
      "changed /same mtime",
    ]);
  });

  it("of another organisation, or of nowhere, is refused", async () => {
    const one = await running();
    const foreign = await running();
    for (const against of [foreign.sandboxId, newId("sbx")]) {
      expect(await problem(ask(one, { against }))).toMatchObject({ status: 409, code: "diff.elsewhere" });
    }
  });
});

describe("bad input", () => {
  it.each([
    [{ limit: "0" }],
    [{ limit: "1001" }],
    [{ cursor: "//" }],
    [{ path: "relative" }],
    [{ path: "/a/../b" }],
    [{ format: "zip" }],
    [{ against: "sbx_x" }],
    [{ format: "tar", content: "true" }],
    [{ unknown: "1" }],
  ])("%o is refused", async (query) => {
    const order = node.order();
    await start(node, order);
    expect(await problem(ask(order, query as Record<string, string>))).toMatchObject({ status: 422, code: "request.invalid" });
  });

  it("asks too much at once and is told so", async () => {
    const order = await running("head -c 100000000 /dev/zero > /big");
    const streams = await Promise.all(Array.from({ length: 5 }, () => ask(order, { format: "tar" })));
    expect(streams.map(({ status }) => status).sort()).toEqual([200, 200, 200, 200, 429]);
    await Promise.all(streams.map((stream) => stream.body?.cancel()));
    await eventually(async () => expect((await ask(order)).status).toBe(200));
  });

  it("finds no sandbox of another organisation, of another incarnation, or another method", async () => {
    const order = await running();
    expect(await problem(ask({ ...order, orgId: newId("org") }))).toMatchObject({ code: "sandbox.not_found" });
    expect(await problem(ask({ ...order, epoch: 7 }))).toMatchObject({ code: "sandbox.stale_epoch" });
  });
});

/** A sandbox's `/t`, copied out of its upper, where nothing but it is. */
async function copyOut(order: StartOrder): Promise<string> {
  const directory = mkdtempSync(join(scratch, "tree-"));
  execFileSync("cp", ["-a", join(node.parts.disk.driver.paths(order.sandboxId).upper, "t"), directory]);
  execFileSync("find", [directory, "-type", "c", "-delete"]);
  return directory;
}
