import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { createZstdCompress } from "node:zlib";
import { LayerStore, packLayer } from "@banyan/runtime";
import { afterEach, beforeEach, expect, it } from "vitest";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "banyan-layer-"));
});
afterEach(() => {
  execFileSync("sh", ["-c", `umount ${directory}/*/merged ${directory}/merged 2>/dev/null; true`]);
  rmSync(directory, { recursive: true, force: true });
});

const sh = (script: string) => execFileSync("bash", ["-ec", script], { cwd: directory, encoding: "utf8" });
const python = (script: string) => execFileSync("python3", ["-c", script], { cwd: directory });
const digestOf = (bytes: Buffer) => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;

/** Everything that a layer promises to keep of a tree, one line for each entry. */
function fingerprint(tree: string): string[] {
  const script = `
import os, sys, stat, hashlib
os.chdir(sys.argv[1])
inodes = {}
for base, dirs, files in os.walk(b'.'):
  dirs.sort()
  for name in sorted(dirs + files) + ([b'.'] if base == b'.' else []):
    path = os.path.join(base, name) if name != b'.' else b'.'
    s = os.lstat(path)
    link = inodes.setdefault(s.st_ino, path) if stat.S_ISREG(s.st_mode) else b''
    body = b''
    if stat.S_ISREG(s.st_mode):
      with open(path, 'rb') as f: body = hashlib.sha256(f.read()).hexdigest().encode()
    if stat.S_ISLNK(s.st_mode): body = os.readlink(path)
    xattrs = sorted((k, os.getxattr(path, k, follow_symlinks=False)) for k in os.listxattr(path, follow_symlinks=False) if not k.startswith('trusted.overlay'))
    print(path, oct(s.st_mode), s.st_uid, s.st_gid, s.st_mtime_ns, s.st_rdev, link, body, xattrs)
`;
  return execFileSync("python3", ["-c", script, tree], { encoding: "utf8", maxBuffer: 64 * 1024 * 1024 }).split("\n");
}

/** An overlay over `base`: what `change` does in it lands in the answered upper. */
function upperOf(name: string, base: string, change: (merged: string) => void): string {
  const [upper, work, merged] = ["upper", "work", "merged"].map((part) => join(directory, name, part)) as [string, string, string];
  for (const path of [upper, work, merged]) mkdirSync(path, { recursive: true });
  execFileSync("mount", ["-t", "overlay", "overlay", "-o", `lowerdir=${base},upperdir=${upper},workdir=${work}`, merged]);
  change(merged);
  return upper;
}

/** As a sandbox sees it: the layer over its base. */
function merge(layer: string, base: string, name: string): string {
  const merged = join(directory, name);
  mkdirSync(merged);
  execFileSync("mount", ["-t", "overlay", "overlay", "-o", `lowerdir=${layer}:${base}`, merged]);
  return merged;
}

async function unpack(tar: Buffer): Promise<string> {
  const digest = digestOf(tar);
  const store = new LayerStore(join(directory, "layers"), { get: async () => Readable.from([tar]).pipe(createZstdCompress()) });
  await store.ensure([{ digest, sizeBytes: tar.length }]);
  return store.path(digest);
}

it("packs what a sandbox changed so that it means the same over the same base", async () => {
  sh(`mkdir -p base/etc base/var/old base/moved/deep base/opaque base/links
      for n in 1 2 3; do echo $n > base/etc/gone$n; done
      echo kept > base/etc/kept; echo old > base/var/old/file; echo deep > base/moved/deep/file; echo hidden > base/opaque/hidden
      echo linked > base/links/one; ln base/links/one base/links/two`);
  const upper = upperOf("sandbox", join(directory, "base"), (merged) => {
    sh(`cd ${merged}
        rm etc/gone1 etc/gone2 etc/gone3; rm -r var/old
        mv moved renamed
        rm -r opaque; mkdir opaque; echo fresh > opaque/fresh
        echo more >> links/one
        mkdir -m 1777 new; chown 1234:4321 new; touch -d '2001-02-03 04:05:06.789' new
        echo a > hard-a; ln hard-a hard-b; mkdir below; ln hard-a below/hard-c
        ln -s /etc/kept symlink; ln -s nowhere $'link\\nwith newline'; mkfifo fifo
        truncate -s 200M sparse; echo end >> sparse
        printf x > "$(printf 'n%.0s' {1..255})"
        mkdir -p "$(printf 'd%.0s' {1..200})/$(printf 'e%.0s' {1..200})"; echo long > "$(printf 'd%.0s' {1..200})/$(printf 'e%.0s' {1..200})/file"
        ln -s "$(printf 't/%.0s' {1..150})" longlink
        cp /bin/true program; chmod 4755 program
        touch -d '1969-01-01' early`);
    python(`
import os
os.chdir('${merged}')
open(b'latin-\\xe9\\xff', 'w').close()
open('ünïcode \\t tab', 'w').close()
os.setxattr('program', 'security.capability', bytes.fromhex('0100000200200000000000000000000000000000'))
os.setxattr('program', 'user.odd=key', b'\\x00\\n\\xff binary')
os.setxattr('new', 'trusted.mine', b'1')
`);
  });
  expect(sh(`find ${upper} -type c | wc -l`).trim()).toBe("5");

  const packed = packLayer(upper);
  const tar = await buffer(packed.tar);
  expect(packed.skipped).toEqual([]);
  // A hole takes no room.
  expect(tar.length).toBeLessThan(2_000_000);
  expect(digestOf(await buffer(packLayer(upper).tar))).toBe(digestOf(tar));

  const layer = await unpack(tar);
  const names = execFileSync("tar", ["--list", "--quoting-style=escape"], { input: tar, encoding: "utf8" }).split("\n");
  expect(names).toEqual(
    expect.arrayContaining(["./etc/.wh.gone1", "./etc/.wh.gone2", "./etc/.wh.gone3", "./.wh.moved", "./opaque/.wh..wh..opq"]),
  );
  sh("umount sandbox/merged");
  const [before, after] = [merge(upper, join(directory, "base"), "before"), merge(layer, join(directory, "base"), "after")];
  try {
    expect(fingerprint(after)).toEqual(fingerprint(before));
    expect(
      sh(
        `ls ${after}/opaque ${after}/etc; test ! -e ${after}/moved; stat -c %h ${after}/hard-a ${after}/below/hard-c; du -k ${after}/sparse`,
      ),
    ).toContain("fresh");
    expect(Number(sh(`du -k ${after}/sparse | cut -f 1`))).toBeLessThan(1_000);
  } finally {
    sh(`umount ${before} ${after}`);
  }
});

it("names what no layer can hold: sockets, and files that would read as whiteouts", async () => {
  mkdirSync(join(directory, "upper", "run"), { recursive: true });
  python("import socket; socket.socket(socket.AF_UNIX).bind('upper/run/my socket')");
  sh(`cd upper; mkdir .wh.dir run/ok; echo x > .wh.dir/file; echo y > run/.wh.file; ln run/.wh.file run/link; echo z > run/ok/file`);
  const packed = packLayer(join(directory, "upper"));
  const tar = await buffer(packed.tar);
  expect(packed.skipped.toSorted()).toEqual([".wh.dir", ".wh.dir/file", "run/.wh.file", "run/link", "run/my socket"]);
  expect(sh(`cd ${await unpack(tar)}; find . | sort`)).toBe(".\n./run\n./run/ok\n./run/ok/file\n");
});

it("packs nothing that leans on the content of another layer", async () => {
  mkdirSync(join(directory, "upper", "renamed"), { recursive: true });
  python("import os; os.setxattr('upper/renamed', 'trusted.overlay.redirect', b'/moved')");
  await expect(buffer(packLayer(join(directory, "upper")).tar)).rejects.toMatchObject({ code: "internal" });
});

it("fails, and leaves no process, when it is aborted, left half way or has nothing to read", async () => {
  mkdirSync(join(directory, "upper"));
  writeFileSync(join(directory, "upper", "large"), Buffer.alloc(32 * 1024 * 1024, 1));
  const children = () => sh("ps --no-headers -o args --ppid $PPID | grep -c '^tar ' || true").trim();
  const controller = new AbortController();
  const aborted = packLayer(join(directory, "upper"), { signal: controller.signal });
  aborted.tar.once("data", () => controller.abort(new Error("enough")));
  await expect(aborted.tar.resume().toArray()).rejects.toThrow("enough");
  for await (const chunk of packLayer(join(directory, "upper")).tar) {
    expect(chunk.length).toBeGreaterThan(0);
    break;
  }
  await expect(buffer(packLayer(join(directory, "none")).tar)).rejects.toMatchObject({ code: "internal" });
  await expect.poll(children).toBe("0");
});

it("packs ten thousand small files at the pace of the disk", async () => {
  sh(`mkdir upper; cd upper; for d in $(seq 1 20); do mkdir $d; (cd $d; seq 1 500 | xargs touch); done`);
  const beganAt = performance.now();
  const tar = await buffer(packLayer(join(directory, "upper")).tar);
  expect(execFileSync("tar", ["--list"], { input: tar, encoding: "utf8", maxBuffer: 64 * 1024 * 1024 }).split("\n").length).toBe(10_022);
  expect(performance.now() - beganAt).toBeLessThan(10_000);
});

it("takes a name that a layer both hides and brings for what it brings", async () => {
  sh(`mkdir base tree; mkdir base/dir; echo old > base/dir/old; echo old > base/file
      cd tree; mkdir dir; echo new > dir/new; touch .wh.dir; echo new > file; touch .wh.file; touch -d '2001-02-03 04:05:06.789' dir .`);
  const layer = await unpack(execFileSync("tar", ["--create", "--format=posix", "--directory", join(directory, "tree"), "."]));
  const merged = merge(layer, join(directory, "base"), "merged");
  expect(sh(`cd ${merged}; ls dir; cat file; stat -c %y dir . | cut -d . -f 2 | cut -c 1-3`)).toBe("new\nnew\n789\n789\n");
});
