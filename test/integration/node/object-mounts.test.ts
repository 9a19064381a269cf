import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { promisify } from "node:util";
import { type AppError, isAlive, processStartTime, systemClock } from "@banyan/kernel";
import { buildNative, checkReachable, findRclones, type ObjectSource, openFileServer, RcloneMounts, readMounts } from "@banyan/runtime";
import { eventually } from "@banyan/testkit";
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from "vitest";
import { type ObjectStore, SECRET, startObjectStore } from "./object-store.ts";

const TEST_MS = 120_000;
/** What a sandbox waits at most: three tries of five seconds to connect, and their pauses. */
const IO_MS_MAX = 60_000;
let store: ObjectStore;
let directory: string;
let mounts: RcloneMounts;
let opened: RcloneMounts[];

beforeAll(async () => {
  store = await startObjectStore();
}, TEST_MS);
afterAll(() => store.stop());
beforeEach(async () => {
  await store.start();
  directory = mkdtempSync("/var/tmp/bny-objects-");
  opened = [];
  mounts = open();
});
afterEach(async () => {
  const last = open();
  await last.adopt(new Map());
  await Promise.all([...opened, last].map((one) => one.close()));
  for (const path of left()) await shell(`umount --lazy ${path}`);
  rmSync(directory, { recursive: true, force: true });
}, TEST_MS);

function open(keepMs = 50): RcloneMounts {
  const one = new RcloneMounts({ directory, cacheMb: 64, keepMs, warn: (message, _volumeId, error) => console.error(message, error) });
  opened.push(one);
  return one;
}

/** In a process beside: no thread of this one waits for a mount. */
async function shell(command: string): Promise<string> {
  const { stdout } = await promisify(execFile)("sh", ["-c", command], { timeout: IO_MS_MAX, killSignal: "SIGKILL" });
  return stdout.trim();
}
const failed = async (command: string): Promise<{ code: unknown; killed: boolean }> =>
  shell(command).then(
    () => ({ code: 0, killed: false }),
    ({ code, killed }) => ({ code, killed }),
  );
const left = (): string[] => readMounts().flatMap(({ mountPoint }) => (mountPoint.startsWith(`${directory}/`) ? [mountPoint] : []));
const rcloneOf = ({ volumeId }: ObjectSource) => findRclones().get(join(directory, "mounts", volumeId));

it(
  "mounts a volume once for all who hold it, and leaves nothing when the last has gone",
  async () => {
    const source = store.source();
    const [first, second] = await Promise.all([mounts.open(source), mounts.open(source)]);
    expect(first).toBe(second);
    const process = rcloneOf(source);
    await shell(`mkdir ${first}/deep && echo kept > ${first}/deep/file`);
    mounts.release(source.volumeId);
    expect(await shell(`cat ${first}/deep/file`)).toBe("kept");
    mounts.release(source.volumeId);
    await eventually(() => expect([left(), readdirSync(join(directory, "cache"))]).toEqual([[], []]));
    await eventually(() => process !== undefined && !isAlive(process));
    const again = await mounts.open(source);
    expect(await shell(`cat ${again}/deep/file`)).toBe("kept");
    mounts.release(source.volumeId);
  },
  TEST_MS,
);

it(
  "tells the secrets to its rclone alone: no command line has them and no file",
  async () => {
    const source = { ...store.source(), remote: store.remote({ path: "banyan/secret" }) };
    const path = await mounts.open(source);
    await shell(`echo one > ${path}/file`);
    const { pid } = rcloneOf(source) ?? { pid: 0 };
    expect(readFileSync(`/proc/${pid}/environ`, "utf8")).toContain(`SECRET_ACCESS_KEY=${SECRET}`);
    expect(readFileSync(`/proc/${pid}/environ`, "utf8")).not.toContain("DOCKER_HOST");
    expect(readFileSync(`/proc/${pid}/cmdline`, "utf8")).not.toContain(SECRET);
    expect(await failed(`grep -r ${SECRET} ${directory}/cache ${directory}/logs`)).toMatchObject({ code: 1 });
  },
  TEST_MS,
);

it(
  "gives I/O errors in bounded time while the store is gone, and goes on by itself when it is back",
  async () => {
    const source = store.source();
    const path = await mounts.open(source);
    await shell(`echo kept > ${path}/file`);
    mounts.release(source.volumeId);
    await eventually(() => expect(left()).toEqual([]));
    await mounts.open(source);
    expect(await shell(`ls ${path}`)).toBe("file");
    await store.kill();
    expect(await failed(`cat ${path}/file`)).toEqual({ code: 1, killed: false });
    await store.start();
    await eventually(async () => expect(await shell(`cat ${path}/file`)).toBe("kept"), { timeoutMs: IO_MS_MAX });
  },
  2 * TEST_MS,
);

it(
  "keeps what was written while the store was gone, and sends it when it is back",
  async () => {
    const source = store.source();
    const path = await mounts.open(source);
    await shell(`ls ${path}`);
    await store.kill();
    await shell(`echo late > ${path}/file`);
    await store.start();
    mounts.release(source.volumeId);
    await eventually(() => expect(left()).toEqual([]), { timeoutMs: IO_MS_MAX });
    expect(await shell(`cat ${await mounts.open(source)}/file`)).toBe("late");
  },
  2 * TEST_MS,
);

it(
  "mounts anew for the next who asks when its rclone has died",
  async () => {
    const source = store.source();
    const path = await mounts.open(source);
    await shell(`echo kept > ${path}/file; sync`);
    const died = rcloneOf(source);
    if (died === undefined) throw new Error("no rclone serves the volume");
    await eventually(async () => expect(await failed(`grep -rq '"Dirty": *true' ${directory}/cache/*/vfsMeta`)).toMatchObject({ code: 1 }));
    process.kill(died.pid, "SIGKILL");
    await eventually(() => !isAlive(died));
    expect(await failed(`cat ${path}/file`)).toMatchObject({ code: 1 });
    expect(await shell(`cat ${await mounts.open(source)}/file`)).toBe("kept");
  },
  TEST_MS,
);

it(
  "takes over the mounts of an earlier process: held ones stay with their rclone, the others go",
  async () => {
    const [held, unused] = [store.source(), store.source()];
    const path = await mounts.open(held);
    await mounts.open(unused);
    const before = rcloneOf(held);
    const later = open();
    await later.adopt(new Map([[held.volumeId, 1]]));
    await eventually(() => expect(left()).toEqual([path]));
    expect(await later.open(held)).toBe(path);
    expect(rcloneOf(held)).toEqual(before);
    expect(before && processStartTime(before.pid)).toBe(before?.startTime);
    later.release(held.volumeId);
    later.release(held.volumeId);
    await eventually(() => expect(left()).toEqual([]));
  },
  TEST_MS,
);

it(
  "keeps a mount that somebody still stands in, and lets it go after that",
  async () => {
    const source = store.source();
    const path = await mounts.open(source);
    const standing = shell(
      `cd ${path} && touch ${directory}/stands && while [ ! -e ${directory}/go ]; do sleep 0.05; done; echo on > file && cat file`,
    );
    await shell(`while [ ! -e ${directory}/stands ]; do sleep 0.05; done`);
    mounts.release(source.volumeId);
    await shell(`sleep 0.5; touch ${directory}/go`);
    expect(await standing).toBe("on");
    await eventually(() => expect(left()).toEqual([]));
  },
  TEST_MS,
);

it(
  "is a layer below a view of one's own, whose changes do not reach the store",
  async () => {
    const path = await mounts.open(store.source());
    await shell(`mkdir ${path}/deep && echo shared > ${path}/deep/file && echo other > ${path}/other`);
    const [upper, work, view] = ["upper", "work", "view"].map((name) => join(directory, name));
    for (const at of [upper, work, view]) mkdirSync(at ?? "");
    await shell(`mount -t overlay overlay -o lowerdir=${path},upperdir=${upper},workdir=${work} ${view}`);
    try {
      expect(await shell(`echo mine >> ${view}/deep/file; rm ${view}/other; cat ${view}/deep/file; ls ${view}`)).toBe("shared\nmine\ndeep");
    } finally {
      await shell(`umount ${view}`);
    }
    expect(await shell(`cat ${path}/deep/file; ls ${path}`)).toBe("shared\ndeep\nother");
  },
  TEST_MS,
);

it(
  "serves its files without a sandbox, by the same server as a directory's",
  async () => {
    const source = store.source();
    const root = await mounts.open(source);
    const { init } = await buildNative();
    const server = await openFileServer({ init, root, readOnly: false, socketPath: join(directory, "f.sock"), clock: systemClock });
    try {
      await server.files.write("/a/b/file", "content", { parents: true });
      await server.files.move("/a/b/file", "/a/moved");
      expect(await text((await server.files.read("/a/moved", { offset: 3 })).data)).toBe("tent");
      expect(await server.files.stat("/a/moved")).toMatchObject({ type: "file", size: 7 });
      await server.files.remove("/a/b", { recursive: true });
    } finally {
      await server.close();
    }
    mounts.release(source.volumeId);
    await eventually(() => expect(left()).toEqual([]));
    expect(await shell(`cd ${await mounts.open(source)} && find . -type f`)).toBe("./a/moved");
  },
  TEST_MS,
);

it(
  "refuses a store that is not there and keys that it does not take, before anything is kept in it",
  async () => {
    const codeOf = (promise: Promise<unknown>) =>
      promise.then(
        () => null,
        (error: AppError) => error.code,
      );
    expect(await codeOf(checkReachable(store.remote()))).toBeNull();
    const wrong = store.remote({ secrets: { access_key_id: "nobody", secret_access_key: SECRET } });
    expect(await codeOf(checkReachable(wrong))).toBe("request.invalid");
    const nowhere = store.remote({ options: { ...store.remote().options, endpoint: "http://127.0.0.1:9" } });
    expect(await codeOf(checkReachable(nowhere))).toBe("volume.unreachable");
    expect(left()).toEqual([]);
  },
  TEST_MS,
);
