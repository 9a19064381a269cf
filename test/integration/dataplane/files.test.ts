import { createHash } from "node:crypto";
import type { api } from "@banyan/contracts";
import { eventually } from "@banyan/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Cluster, problemOf, startCluster } from "./cluster.ts";

let cluster: Cluster;
beforeAll(async () => {
  cluster = await startCluster();
});
afterAll(() => cluster?.stop());

const query = (parameters: Record<string, string>) => new URLSearchParams(parameters).toString();
const at = (verb: string, parameters: Record<string, string>) => `files/${verb}?${query(parameters)}`;
const get = (verb: string, parameters: Record<string, string>, headers: Record<string, string> = {}) =>
  cluster.call(at(verb, parameters), { headers });
const put = (path: string, body: NonNullable<RequestInit["body"]>, more: Record<string, string> = {}) =>
  cluster.call(at("content", { path, ...more }), { method: "PUT", body });
const post = (verb: string, json: unknown) => cluster.call(`files/${verb}`, { method: "POST", json });
const read = async (path: string) => (await get("content", { path })).text();

describe("content", () => {
  it("is read back as it was written, with any name and any bytes", async () => {
    const path = "/tmp/a dir/ü\n%2f'\"$x";
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
    expect(await (await put(path, bytes)).json()).toEqual({ path, bytes_written: 256 });
    const response = await get("content", { path });
    expect(response.headers.get("content-length")).toBe("256");
    expect(Buffer.from(await response.arrayBuffer()).equals(bytes)).toBe(true);
  });

  it("of nothing is a file too, and /proc is read though it tells no size", async () => {
    expect((await put("/tmp/empty", "")).status).toBe(200);
    expect(await read("/tmp/empty")).toBe("");
    expect(await read("/proc/self/status")).toContain("Name:");
  });

  it("has the mode it was given, and keeps the one it had", async () => {
    await put("/tmp/run.sh", "#!/bin/sh\necho ran", { mode: "0755" });
    expect((await cluster.exec({ argv: ["/tmp/run.sh"] })).stdout).toBe("ran\n");
    expect(await (await get("stat", { path: "/tmp/run.sh" })).json()).toMatchObject({ mode: "0755", type: "file", name: "run.sh" });
  });

  it("is appended to, and not replaced where that is excluded", async () => {
    await put("/tmp/log", "a");
    await put("/tmp/log", "b", { append: "true" });
    expect(await read("/tmp/log")).toBe("ab");
    expect(await problemOf(await put("/tmp/log", "c", { exclusive: "true" }))).toMatchObject({ status: 409, code: "file.exists" });
  });

  it("is told by its checksum", async () => {
    const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");
    await put("/tmp/sum", "x".repeat(3_000_000));
    const whole = await (await get("checksum", { path: "/tmp/sum" })).json();
    expect(whole).toEqual({ path: "/tmp/sum", size: 3_000_000, sha256: sha256("x".repeat(3_000_000)) });
    await put("/tmp/sum", "");
    expect(await (await get("checksum", { path: "/tmp/sum" })).json()).toMatchObject({ size: 0, sha256: sha256("") });
    expect(await problemOf(await get("checksum", { path: "/tmp" }))).toMatchObject({ code: "file.is_a_directory" });
    expect(await problemOf(await get("checksum", { path: "/tmp/nosuch" }))).toMatchObject({ code: "file.not_found" });
  });

  it("is given in ranges", async () => {
    await put("/tmp/range", "0123456789");
    const range = (range: string) => get("content", { path: "/tmp/range" }, { range });
    const part = await range("bytes=2-4");
    expect([part.status, await part.text(), part.headers.get("content-range")]).toEqual([206, "234", "bytes 2-4/10"]);
    expect(await (await range("bytes=-3")).text()).toBe("789");
    expect(await (await range("bytes=7-")).text()).toBe("789");
    const beyond = await range("bytes=10-");
    expect([beyond.status, beyond.headers.get("content-range")]).toEqual([416, "bytes */10"]);
    expect((await range("bytes=4-2")).status).toBe(200);
  });

  it("that breaks off leaves what was there", async () => {
    await put("/tmp/kept", "before");
    const broken = new ReadableStream({
      start(controller) {
        controller.enqueue(Buffer.alloc(200_000, "x"));
      },
      pull: (controller) => controller.error(new Error("broken off")),
    });
    await expect(put("/tmp/kept", broken)).rejects.toThrow();
    await eventually(() => expect(cluster.inUse()).toBe(0));
    expect(await read("/tmp/kept")).toBe("before");
    expect((await cluster.exec({ shell: "ls -A /tmp | grep -c kept" })).stdout.trim()).toBe("1");
  });

  it("is written where a symlink points, which is inside wherever it points", async () => {
    await cluster.exec({ shell: "ln -sf /tmp/target /tmp/link; ln -sf ../../../../../../etc/hostname /tmp/up" });
    await put("/tmp/link", "through");
    expect(await read("/tmp/target")).toBe("through");
    expect(await (await get("stat", { path: "/tmp/link", follow: "false" })).json()).toMatchObject({
      type: "symlink",
      link_target: "/tmp/target",
    });
    await put("/tmp/../../../../../../etc/inside", "still inside");
    expect((await cluster.exec({ argv: ["cat", "/etc/inside"] })).stdout).toBe("still inside");
  });
});

describe("1 GiB", () => {
  const GIB = 1024 ** 3;
  const CHUNK = 1 << 20;
  /** Everything runs in this process: client, gateway and node. Held whole, the file would show. */
  const MEMORY_BYTES_MAX = 300 * 1024 * 1024;

  async function peakMemoryGrowth(work: () => Promise<void>): Promise<number> {
    globalThis.gc?.();
    const before = process.memoryUsage().rss;
    let peak = before;
    const watch = setInterval(() => {
      peak = Math.max(peak, process.memoryUsage().rss);
    }, 20);
    await work();
    clearInterval(watch);
    return peak - before;
  }

  it("is written and read as a stream, in flat memory", async () => {
    const chunk = Buffer.alloc(CHUNK, "banyan");
    let sent = 0;
    const source = () =>
      new ReadableStream({
        pull(controller) {
          if (sent === GIB) return controller.close();
          sent += CHUNK;
          controller.enqueue(chunk);
        },
      });
    const written = await peakMemoryGrowth(async () => {
      expect(await (await put("/root/big", source())).json()).toMatchObject({ bytes_written: GIB });
    });
    let received = 0;
    const readBack = await peakMemoryGrowth(async () => {
      const response = await get("content", { path: "/root/big" });
      for await (const bytes of (response.body ?? []) as AsyncIterable<Uint8Array>) received += bytes.length;
    });
    expect(received).toBe(GIB);
    expect(written).toBeLessThan(MEMORY_BYTES_MAX);
    expect(readBack).toBeLessThan(MEMORY_BYTES_MAX);
  }, 180_000);

  it("waits in the sandbox for a reader that has stopped reading", async () => {
    const leaving = new AbortController();
    const response = await cluster.call(at("content", { path: "/root/big" }), { signal: leaving.signal });
    const growth = await peakMemoryGrowth(async () => {
      await response.body?.getReader().read();
      await cluster.exec({ argv: ["sleep", "1"] });
    });
    expect(growth).toBeLessThan(MEMORY_BYTES_MAX / 4);
    leaving.abort();
    await eventually(() => expect(cluster.inUse()).toBe(0));
  });
});

describe("directories", () => {
  it("are made, listed in pages, moved and removed", async () => {
    expect(await (await post("mkdir", { path: "/tmp/d/e", mode: "0700" })).json()).toMatchObject({
      path: "/tmp/d/e",
      type: "directory",
      mode: "0700",
    });
    await Promise.all(["c", "a", "b"].map((name) => put(`/tmp/d/e/${name}`, name)));
    const list = async (more: Record<string, string>) =>
      (await (await get("list", { path: "/tmp/d/e", ...more })).json()) as {
        entries: api.FileInfo[];
        total: number;
        next_offset: number | null;
      };
    const first = await list({ limit: "2" });
    expect([first.entries.map(({ path }) => path), first.total, first.next_offset]).toEqual([["/tmp/d/e/a", "/tmp/d/e/b"], 3, 2]);
    const rest = await list({ limit: "2", offset: "2" });
    expect([rest.entries.map(({ name }) => name), rest.next_offset]).toEqual([["c"], null]);
    expect(await (await post("move", { from: "/tmp/d/e", to: "/tmp/d/f" })).json()).toMatchObject({ path: "/tmp/d/f" });
    expect(await problemOf(await post("remove", { path: "/tmp/d" }))).toMatchObject({ code: "file.not_empty" });
    expect(await (await post("remove", { path: "/tmp/d", recursive: true })).json()).toEqual({ removed: 5 });
    expect(await problemOf(await get("stat", { path: "/tmp/d" }))).toMatchObject({ status: 404, code: "file.not_found" });
  });

  it("are not overwritten by a move unless that is said", async () => {
    await put("/tmp/m1", "1");
    await put("/tmp/m2", "2");
    expect(await problemOf(await post("move", { from: "/tmp/m1", to: "/tmp/m2" }))).toMatchObject({ code: "file.exists" });
    expect((await post("move", { from: "/tmp/m1", to: "/tmp/m2", overwrite: true })).status).toBe(200);
    expect(await read("/tmp/m2")).toBe("1");
  });

  it("change mode and owner, all below them too", async () => {
    await put("/tmp/own/x", "x");
    expect(await (await post("chmod", { path: "/tmp/own", uid: 65534, gid: 65534, recursive: true })).json()).toMatchObject({ uid: 65534 });
    expect(await (await post("chmod", { path: "/tmp/own/x", mode: "4711" })).json()).toMatchObject({ uid: 65534, mode: "4711" });
  });
});

describe("search", () => {
  beforeAll(async () => {
    await put("/srv/a/one.py", "import os\nprint('needle')\n");
    await put("/srv/a/two.txt", "Needle and needle\n");
    await put("/srv/b/three.py", "nothing\n");
  });

  it("finds by name", async () => {
    const found = (await (await get("find", { path: "/srv", glob: "*.py" })).json()) as { entries: api.FileInfo[]; truncated: boolean };
    expect(found.entries.map(({ path }) => path).sort()).toEqual(["/srv/a/one.py", "/srv/b/three.py"]);
    expect(await (await get("find", { path: "/srv", glob: "*", limit: "2" })).json()).toMatchObject({ truncated: true });
  });

  it("finds by content, as expression or literally, and says where", async () => {
    const grep = async (body: object) =>
      (
        (await (await post("grep", { path: "/srv", ...body })).json()) as {
          matches: { path: string; line: number; column: number; text: string }[];
        }
      ).matches;
    const inPython = await grep({ pattern: "ne+dle", glob: "*.py" });
    expect(inPython).toEqual([{ path: "/srv/a/one.py", line: 2, column: 7, text: "print('needle')" }]);
    expect((await grep({ pattern: "NEEDLE", ignore_case: true })).length).toBeGreaterThanOrEqual(2);
    expect(await grep({ pattern: "ne+dle", fixed: true })).toEqual([]);
    expect(await problemOf(await post("grep", { path: "/srv", pattern: "(" }))).toMatchObject({ code: "file.bad_pattern" });
  });

  it("replaces literally", async () => {
    await put("/srv/r", "a.b a.b axb");
    const replaced = await (await post("replace", { paths: ["/srv/r", "/srv/b/three.py"], find: "a.b", replace: "$&" })).json();
    expect(replaced).toMatchObject({ replacements: 2 });
    expect(await read("/srv/r")).toBe("$& $& axb");
  });
});

describe("what is wrong", () => {
  it.each<[string, () => Promise<Response>, number, string]>([
    ["a file that is not there", () => get("content", { path: "/nope" }), 404, "file.not_found"],
    ["a directory as a file", () => get("content", { path: "/etc" }), 400, "file.is_a_directory"],
    ["a file as a directory", () => get("list", { path: "/etc/passwd" }), 400, "file.not_a_directory"],
    ["a path through a file", () => get("stat", { path: "/etc/passwd/x" }), 400, "file.not_a_directory"],
    ["a device", () => get("content", { path: "/dev/zero" }), 400, "file.not_regular"],
    ["a relative path", () => get("content", { path: "etc/passwd" }), 422, "request.invalid"],
    ["a NUL in the path", () => get("content", { path: "/a\0b" }), 422, "request.invalid"],
    ["a path that is too long", () => get("content", { path: `/${"a/".repeat(3_000)}` }), 422, "request.invalid"],
    ["a name that is too long", () => get("stat", { path: `/${"a".repeat(300)}` }), 400, "file.failed"],
    ["no path", () => get("content", {}), 422, "request.invalid"],
    ["an unknown parameter", () => get("content", { path: "/", x: "1" }), 422, "request.invalid"],
    ["another user's file", () => get("content", { path: "/etc/shadow", user: "nobody" }), 403, "file.permission_denied"],
    ["a user that is not there", () => get("content", { path: "/etc/passwd", user: "nosuch" }), 400, "exec.no_such_user"],
    ["a mode that is none", () => put("/tmp/x", "x", { mode: "99" }), 422, "request.invalid"],
    ["removing the root", () => post("remove", { path: "/", recursive: true }), 400, "file.failed"],
    ["a change of nothing", () => post("chmod", { path: "/tmp" }), 422, "request.invalid"],
  ])("is refused: %s", async (_, ask, status, code) => {
    expect(await problemOf(await ask())).toMatchObject({ status, code });
  });

  it("is said to who still sends: a full answer, not a broken connection", async () => {
    const large = Buffer.alloc(30 * 1024 * 1024);
    expect(await problemOf(await put("/proc/1/mem/x", large))).toMatchObject({ status: 400 });
    expect(await problemOf(await put("/etc", large))).toMatchObject({ code: "file.is_a_directory" });
  });
});
