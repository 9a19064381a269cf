import { type ChildProcess, spawn } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "@banyan/testkit";
import { testRootfs } from "./rootfs.ts";

const MEMORY_CGROUPS = "/sys/fs/cgroup/memory";
const MEMORY_LIMIT_BYTES = 512 * 1024 * 1024;

/** What a slot is to init, without Docker: namespaces of its own, a root of its own over the test's image, and a memory limit. */
export interface HostInit {
  socketPath: string;
  pid: number;
  oomKills(): number;
  stop(): Promise<void>;
}

const ENTER = `
set -e
mount --make-rprivate /
mount -t overlay overlay -o "lowerdir=$ROOTFS,upperdir=$DIR/upper,workdir=$DIR/work" "$DIR/root"
cd "$DIR/root"
mount -t proc proc proc
mount -t tmpfs dev dev
for node in "null 1 3" "zero 1 5" "random 1 8" "urandom 1 9" "tty 5 0"; do set -- $node; mknod -m 666 dev/$1 c $2 $3; done
mkdir -p dev/pts run/banyan
mount -t devpts -o newinstance,ptmxmode=666,mode=620 devpts dev/pts
ln -s pts/ptmx dev/ptmx
mount --bind "$DIR/socket" run/banyan
ip link set lo up
exec env -i "$(command -v chroot)" . /run/banyan/init /run/banyan/init.sock
`;

export async function startHostInit(initBinary: string): Promise<HostInit> {
  const dir = mkdtempSync(join(tmpdir(), "bnydp-"));
  for (const part of ["upper", "work", "root", "socket"]) mkdirSync(join(dir, part));
  copyFileSync(initBinary, join(dir, "socket/init"));
  const cgroup = makeMemoryCgroup(dir);
  const env = { PATH: process.env.PATH, DIR: dir, ROOTFS: testRootfs() };
  const limited = cgroup === null ? "" : `echo $$ > ${cgroup}/cgroup.procs\n`;
  const unshare = ["--pid", "--mount", "--net", "--ipc", "--uts", "--fork", "--kill-child", "sh", "-c", ENTER];
  // It ends with this process, however that ends.
  const child = spawn("sh", ["-c", `${limited}exec setpriv --pdeathsig KILL unshare "$@"`, "sh", ...unshare], {
    env,
    stdio: ["ignore", "inherit", "inherit"],
  });
  const socketPath = join(dir, "socket/init.sock");
  await eventually(() => {
    if (child.exitCode !== null) throw new Error(`init ended with ${child.exitCode}`);
    if (!existsSync(socketPath)) throw new Error("init does not listen yet");
  });
  return {
    socketPath,
    pid: child.pid ?? 0,
    oomKills: () =>
      cgroup === null ? 0 : Number(/^oom_kill (\d+)$/m.exec(readFileSync(`${cgroup}/memory.oom_control`, "utf8"))?.[1] ?? 0),
    async stop() {
      await end(child);
      rmSync(dir, { recursive: true, force: true });
      if (cgroup !== null) await eventually(() => rmdirSync(cgroup));
    },
  };
}

function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((resolve) => {
    child.once("exit", () => resolve());
    child.kill("SIGKILL");
  });
}

/** Null where the memory controller is not mounted in this form: then nothing is limited and nothing is counted. */
function makeMemoryCgroup(dir: string): string | null {
  if (!existsSync(MEMORY_CGROUPS)) return null;
  const cgroup = join(MEMORY_CGROUPS, dir.slice(dir.lastIndexOf("/") + 1));
  mkdirSync(cgroup);
  writeFileSync(`${cgroup}/memory.limit_in_bytes`, String(MEMORY_LIMIT_BYTES));
  return cgroup;
}
