import { execFileSync } from "node:child_process";
import {
  chmodSync,
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Cluster, problemOf, startCluster } from "./cluster.ts";

let cluster: Cluster;
let scratch: string;
beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), "bnydp-tar-"));
  cluster = await startCluster();
});
afterAll(async () => {
  await cluster?.stop();
  rmSync(scratch, { recursive: true, force: true });
});

const upload = (path: string, tar: Buffer<ArrayBuffer>, headers: Record<string, string> = {}) =>
  cluster.call(`files/tar?${new URLSearchParams({ path })}`, { method: "PUT", body: tar, headers });
const download = async (path: string) =>
  Buffer.from(await (await cluster.call(`files/tar?${new URLSearchParams({ path })}`)).arrayBuffer());
const inside = async (shell: string) => (await cluster.exec({ shell })).stdout;

/** GNU tar of a directory, in the form asked for. */
const packed = (directory: string, ...options: string[]) =>
  Buffer.from(execFileSync("tar", ["-C", directory, ...options, "-cf", "-", "."], { maxBuffer: 1 << 28 }));

function makeTree(): string {
  const tree = mkdtempSync(join(scratch, "tree-"));
  mkdirSync(join(tree, "sub/empty"), { recursive: true });
  writeFileSync(join(tree, "a file"), "content");
  writeFileSync(join(tree, "ünï\n'\"$*"), "odd");
  writeFileSync(join(tree, "sub", "n".repeat(200)), "long");
  writeFileSync(join(tree, "big"), Buffer.alloc(3_000_001, "b"));
  writeFileSync(join(tree, "nothing"), "");
  writeFileSync(join(tree, "run"), "#!/bin/sh");
  chmodSync(join(tree, "run"), 0o755);
  chmodSync(join(tree, "sub/empty"), 0o700);
  symlinkSync("../../../etc/passwd", join(tree, "sub/up"));
  symlinkSync("a file", join(tree, "near"));
  symlinkSync("l".repeat(300), join(tree, "far"));
  linkSync(join(tree, "big"), join(tree, "same"));
  utimesSync(join(tree, "a file"), 1_234_567_890.25, 1_234_567_890.25);
  lutimesSync(join(tree, "near"), 1, 1);
  return tree;
}

describe("a tree", () => {
  it.each(["gnu", "pax"])("comes back as it went in, packed as %s", async (format) => {
    const tree = makeTree();
    // A pax header says its names in UTF-8; only the other form can hold a name that is none.
    if (format === "gnu") writeFileSync(Buffer.concat([Buffer.from(`${tree}/raw-`), Buffer.from([0xff, 0xfe])]), "raw");
    const response = await upload(`/root/${format}/in`, packed(tree, `--format=${format}`));
    expect(await response.json()).toEqual({ entries: format === "gnu" ? 14 : 13 });
    const back = join(scratch, `back-${format}`);
    mkdirSync(back);
    execFileSync("tar", ["-C", back, "-xpf", "-"], { input: await download(`/root/${format}/in`) });
    // Names, content, links and modes, byte by byte.
    expect(execFileSync("diff", ["-r", "--no-dereference", tree, back]).toString()).toBe("");
    expect(lstatSync(join(back, "run")).mode & 0o7777).toBe(0o755);
    expect(lstatSync(join(back, "sub/empty")).mode & 0o7777).toBe(0o700);
    expect(readlinkSync(join(back, "sub/up"))).toBe("../../../etc/passwd");
    expect(lstatSync(join(back, "same")).ino).toBe(lstatSync(join(back, "big")).ino);
    expect(lstatSync(join(back, "a file")).mtimeMs).toBe(format === "pax" ? 1_234_567_890_250 : 1_234_567_890_000);
  });

  it("is taken gzipped", async () => {
    const tree = makeTree();
    expect((await upload("/root/zip", Buffer.from(gzipSync(packed(tree))), { "content-encoding": "gzip" })).status).toBe(200);
    expect(await inside("cat '/root/zip/a file'")).toBe("content");
  });

  it("keeps its owners, replaces what is there, and leaves the rest", async () => {
    await inside("mkdir -p /root/mix; echo old > /root/mix/f; echo other > /root/mix/g; chown 1234:1235 /root/mix/g; chmod 0 /root/mix/g");
    const tar = await download("/root/mix");
    await inside("echo new > /root/mix/f; rm /root/mix/g; echo third > /root/mix/h");
    await upload("/root/mix", tar);
    expect(await inside("cat /root/mix/f /root/mix/g /root/mix/h; stat -c '%u:%g %a' /root/mix/g")).toBe(
      "old\nother\nthird\n1234:1235 0\n",
    );
  });

  it("may have thousands of entries", async () => {
    await inside("mkdir -p /root/many && cd /root/many && for i in $(seq 1000); do mkdir d$i; echo $i > d$i/f; done");
    const tar = await download("/root/many");
    expect(await (await upload("/root/copy", tar)).json()).toEqual({ entries: 2_000 });
    expect(await inside("diff -r /root/many /root/copy && echo same")).toBe("same\n");
  }, 60_000);
});

/** Tars that no honest program makes, by Python, which writes what it is told. */
function forged(python: string): Buffer<ArrayBuffer> {
  const program = `import tarfile,io,sys,struct
out = io.BytesIO()
t = tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT)
def add(name, type=tarfile.REGTYPE, link="", data=b"evil", **more):
    i = tarfile.TarInfo(name); i.type = type; i.linkname = link; i.size = len(data) if type == tarfile.REGTYPE else 0
    for k, v in more.items(): setattr(i, k, v)
    t.addfile(i, io.BytesIO(data) if type == tarfile.REGTYPE else None)
${python}
t.close()
sys.stdout.buffer.write(out.getvalue())`;
  return Buffer.from(execFileSync("python3", ["-c", program], { maxBuffer: 1 << 28 }));
}

describe("a hostile tar", () => {
  it.each<[string, string]>([
    ["an absolute path", 'add("/root/evil/abs")'],
    ["a path upwards", 'add("../../evil-up")'],
    ["a path upwards in the middle", 'add("a/../../../evil-mid")'],
    ["a path upwards in a pax record", 'add("x", pax_headers={"path": "../evil-pax"})'],
    ["a character device", 'add("dev", tarfile.CHRTYPE, devmajor=1, devminor=3)'],
    ["a block device", 'add("dev", tarfile.BLKTYPE, devmajor=8, devminor=0)'],
    ["a hard link out of the tree", 'add("l", tarfile.LNKTYPE, "../../etc/passwd")'],
    ["a hard link to an absolute path", 'add("l", tarfile.LNKTYPE, "/etc/passwd")'],
    [
      "a sparse file",
      'add("s", pax_headers={"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "s", "GNU.sparse.realsize": "1099511627776"})',
    ],
    ["a path of 5,000 bytes", 'add("/".join(["p"*100]*50))'],
    ["a name of 300 bytes", 'add("n"*300)'],
    ["a pax header of 8 MiB", 'add("x", pax_headers={"comment": "c" * (8 << 20)})'],
    ["a size in pax that is not there", 'add("x", pax_headers={"size": "1099511627776"})'],
    ["a negative size in pax", 'add("x", pax_headers={"size": "-5"})'],
    ["a file that ends too early", 't.addfile.__self__.fileobj.write(tarfile.TarInfo("cut").tobuf()[:300]); t.close = lambda: None'],
  ])("is refused: %s", async (name, python) => {
    const path = `/root/hostile/${name.replaceAll(/\W/g, "-")}`;
    const problem = await problemOf(await upload(path, forged(python)));
    expect(problem).toMatchObject({ status: 422, code: "request.invalid" });
    expect(await inside("find / -xdev -name 'evil*' -not -path '/proc/*'")).toBe("");
  });

  it("is refused: what is no tar at all, zipped or not", async () => {
    const noise = Buffer.alloc(100_000, "noise");
    expect(await problemOf(await upload("/root/noise", noise))).toMatchObject({ status: 422 });
    expect(await problemOf(await upload("/root/noise", noise, { "content-encoding": "gzip" }))).toMatchObject({ status: 422 });
    const cut = gzipSync(forged('add("a")')).subarray(0, 60);
    expect(await problemOf(await upload("/root/noise", Buffer.from(cut), { "content-encoding": "gzip" }))).toMatchObject({ status: 422 });
  });

  it("cannot write through a symlink it brought or found", async () => {
    await inside("mkdir -p /root/outside /root/sym; ln -s /root/outside /root/sym/found");
    for (const python of ['add("brought", tarfile.SYMTYPE, "/root/outside"); add("brought/evil")', 'add("found/evil")']) {
      expect((await upload("/root/sym", forged(python))).status).toBeGreaterThanOrEqual(400);
    }
    expect(await inside("ls /root/outside")).toBe("");
  });

  it("fills the disk of the sandbox and nothing else: a zipped one is not held in memory", async () => {
    const bomb = forged(`
import gzip
class Zeros:
    def read(self, n): return bytes(n)
out = io.BytesIO()
t = tarfile.open(fileobj=gzip.GzipFile(fileobj=out, mode="wb", compresslevel=1), mode="w|")
i = tarfile.TarInfo("zeros"); i.size = 400 << 20
t.addfile(i, Zeros())
close = t.close
def finish(): close(); t.fileobj.fileobj.close()
t.close = finish`);
    expect(bomb.length).toBeLessThan(4 << 20);
    const before = process.memoryUsage().rss;
    expect(await (await upload("/root/bomb", Buffer.from(bomb), { "content-encoding": "gzip" })).json()).toEqual({ entries: 1 });
    expect(process.memoryUsage().rss - before).toBeLessThan(200 << 20);
    expect(await inside("stat -c %s /root/bomb/zeros; rm /root/bomb/zeros")).toBe(`${400 << 20}\n`);
  }, 60_000);
});

it("says what is wrong with the path", async () => {
  expect(await problemOf(await cluster.call("files/tar?path=/nope"))).toMatchObject({ code: "file.not_found" });
  expect(await problemOf(await upload("/etc/passwd", packed(scratch)))).toMatchObject({ code: "file.not_a_directory" });
  expect(readFileSync("/etc/passwd", "utf8")).not.toContain("evil");
});
