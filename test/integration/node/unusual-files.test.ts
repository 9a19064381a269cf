import { execFileSync } from "node:child_process";
import type { StackLayer } from "@banyan/contracts";
import { shipLayers, snapshotSandbox } from "@banyan/runner-agent";
import { MemoryBlobs } from "@banyan/testkit";
import { afterAll, beforeAll, expect, it } from "vitest";
import { forkPoint } from "./fork-harness.ts";
import { start, type TestNode, testNode } from "./test-node.ts";

let blobs: MemoryBlobs;
let node: TestNode;
let other: TestNode;
beforeAll(async () => {
  blobs = new MemoryBlobs();
  node = await testNode({}, blobs);
  other = await testNode({}, blobs);
});
afterAll(async () => {
  await node?.end();
  await other?.end();
});

/** From outside, as root of the host: a sandbox may not make all of these itself, an image's build may. */
const MAKE = `
import os, sys, stat
os.chdir(sys.argv[1] + '/u')
def put(path, content, mode=0o644):
  with open(path, 'wb') as f: f.write(content)
  os.chmod(path, mode)
put('hard-a', b'one'); os.mkdir('dir'); os.link('hard-a', 'hard-b'); os.link('hard-a', 'dir/hard-c')
with open('sparse', 'wb') as f:
  f.truncate(50_000_000); f.seek(40_000_000); f.write(b'middle')
with open('all-hole', 'wb') as f: f.truncate(1_000_000)
os.mkfifo('fifo', 0o620)
os.mknod('null', stat.S_IFCHR | 0o666, os.makedev(1, 3)); os.mknod('disk', stat.S_IFBLK | 0o600, os.makedev(7, 9))
put('unreadable', b'secret', 0); os.mkdir('closed'); put('closed/file', b'in'); os.chmod('closed', 0)
for name in [b'a\\nb', b'bad-\\xff\\xfe', b' lead and trail ', b'-rf *', b'n' * 255, b'back\\\\slash', b'tab\\t', b'\\x01\\x7f', 'ä'.encode(), b'quote"\\'', b'= pax 12 a=b', b'.hidden', b'...']:
  put(name, b'named ' + name)
os.symlink('/nowhere/at/all', 'dangling'); os.symlink('../../../../etc/shadow', 'up'); os.symlink('x' * 4000, 'long-link'); os.symlink(b'bad-\\xff', 'odd-link')
put('suid', b'program', 0o4755); os.chown('suid', 1234, 4321); os.chmod('suid', 0o6755); os.mkdir('sticky'); os.chmod('sticky', 0o1777); os.chown('sticky', 4294967293, 2097152)
os.lchown('dangling', 77, 88)
put('old', b'old'); os.utime('old', ns=(0, 981173106789012345)); put('before', b''); os.utime('before', ns=(0, -123456789012)); put('far', b''); os.utime('far', ns=(0, 9_999_999_999 * 10**9))
deep = b''
for level in range(40): deep = os.path.join(deep, b'd' * 40); os.mkdir(deep)
put(os.path.join(deep, b'file'), b'deep')
os.setxattr('suid', 'security.capability', bytes.fromhex('0100000200200000000000000000000000000000'))
os.setxattr('old', 'user.odd=key', b'\\x00\\n\\xff binary'); os.setxattr('dir', 'user.of-a-directory', b''); os.setxattr('before', 'user.large', b'v' * 2000)
os.makedirs('many')
for at in range(300): put('many/%d' % at, b'%d' % at)
`;

/** Everything that is promised to stay the same, one line for each entry. */
const TELL = `
import os, sys, stat, hashlib
os.chdir(sys.argv[1])
inodes = {}
def tell(path):
  s = os.lstat(path)
  body, link = b'', b''
  if stat.S_ISREG(s.st_mode):
    link = inodes.setdefault(s.st_ino, path) if s.st_nlink > 1 else b''
    with open(path, 'rb') as f: body = hashlib.sha256(f.read()).hexdigest()
  if stat.S_ISLNK(s.st_mode): body = os.readlink(os.fsencode(path))
  xattrs = sorted((k, os.getxattr(path, k, follow_symlinks=False)) for k in os.listxattr(path, follow_symlinks=False))
  holes = s.st_size > 500_000 and s.st_blocks * 512 < 200_000
  print(path, oct(s.st_mode), s.st_uid, s.st_gid, s.st_size if stat.S_ISREG(s.st_mode) else 0, s.st_mtime_ns, s.st_rdev, s.st_nlink if stat.S_ISREG(s.st_mode) else 0, link, body, xattrs, holes)
for top in [b'u', b'etc', b'usr/share/base-files', b'usr/share/perl5']:
  if not os.path.lexists(top): print(top, 'is not there'); continue
  # A start writes into this one.
  if top != b'etc': tell(top)
  for base, dirs, files in os.walk(top):
    dirs.sort()
    for name in sorted(dirs + files):
      if (base, name) not in [(b'etc', b'hostname'), (b'etc', b'hosts'), (b'etc', b'resolv.conf')]: tell(os.path.join(base, name))
`;

function python(script: string, on: TestNode, { sandboxId }: { sandboxId: string }): string[] {
  const root = `/proc/${on.parts.registry.get(sandboxId)?.run?.slot.pid}/root`;
  return execFileSync("python3", ["-c", script, root], { encoding: "latin1", maxBuffer: 64 * 1024 * 1024 }).split("\n");
}

async function childTells(on: TestNode, layers: StackLayer[]): Promise<string[]> {
  const child = on.order({ layers });
  await start(on, child);
  return python(TELL, on, child);
}

it("carries unusual files to a child on the same node, on another one, and into a snapshot", async () => {
  const source = node.order();
  await start(node, source);
  await node.sh(
    source,
    "mkdir /u; rm -r /etc/issue /usr/share/perl5; rm -r /usr/share/base-files; mkdir /usr/share/base-files; echo > /usr/share/base-files/own",
  );
  python(MAKE, node, source);
  const told = python(TELL, node, source);
  expect(told.join("\n")).toMatch(/is not there/);
  const { layers } = await forkPoint(node, "true", source);
  expect(await childTells(node, layers)).toEqual(told);
  const shipped = await shipLayers(node.parts, { layers });
  expect(shipped.skipped).toEqual([]);
  expect(await childTells(other, shipped.layers)).toEqual(told);
  const snapshot = await snapshotSandbox(node.parts, source);
  expect(snapshot.layers).toEqual(shipped.layers);
});

it("leaves out sockets and names that would hide others, and says so", async () => {
  const make =
    "perl -MIO::Socket::UNIX -e 'IO::Socket::UNIX->new(Local => q(/run/a.sock), Listen => 1)'; echo x > /opt/.wh.odd; echo kept > /opt/kept";
  const { layers } = await forkPoint(node, make);
  const shipped = await shipLayers(node.parts, { layers });
  expect(shipped.skipped.toSorted()).toEqual(["opt/.wh.odd", "run/a.sock"]);
  const remote = other.order({ layers: shipped.layers });
  await start(other, remote);
  expect((await other.sh(remote, "ls -A /opt /run/a.sock 2>&1")).out).toBe(
    "ls: cannot access '/run/a.sock': No such file or directory\n/opt:\nkept\n",
  );
});

it("gives a child on the same node a tree deeper than any path may be long, and names where it ends on others", async () => {
  const make = 'perl -e \'chdir "/opt"; for (1..150) { mkdir "d" x 100; chdir "d" x 100 or die } open(F, ">", "end"); print F "deep"\'';
  const look = 'perl -e \'chdir "/opt"; my $n = 0; $n++ while chdir "d" x 100; open(F, "<", "end"); print $n, <F>\'';
  const { layers } = await forkPoint(node, make);
  const child = node.order({ layers });
  await start(node, child);
  expect((await node.sh(child, look)).out).toBe("150deep");
  const shipped = await shipLayers(node.parts, { layers });
  expect(shipped.skipped).toEqual([`opt/${Array.from({ length: 41 }, () => "d".repeat(100)).join("/")}`]);
  const remote = other.order({ layers: shipped.layers });
  await start(other, remote);
  expect((await other.sh(remote, look)).out).toBe("40");
});
