import { randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import type { Remote } from "@banyan/contracts";
import { newId } from "@banyan/kernel";
import { type Banyan, type CreateSandboxOptions, isBanyanError, type StartedSandbox, type Volume } from "@banyan/sdk";
import { eventually } from "@banyan/testkit";
import { pack } from "tar-stream";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { type ObjectStore, startObjectStore } from "../integration/node/object-store.ts";
import { PASSWORD, type RcloneServer, startRcloneServer } from "../integration/node/rclone-server.ts";
import { endBanyan } from "./clear-away.ts";
import { searchDatabase, searchDataDir, searchSandbox } from "./search.ts";
import { IMAGE_MS, makeDataDir, PATIENCE_MS, startBanyan, type TestBanyan } from "./start-banyan.ts";
import { untilReady } from "./until-ready.ts";

const LARGE_BYTES = 20 * 1024 * 1024;
/** What is written is in the store a second after its file was closed, and seen elsewhere five seconds later. */
const PATIENT = { timeoutMs: 60_000, intervalMs: 200 };
/** The server knows the key's id alone, so that each file's secret can be one that nobody else has. */
const KEY_ID = "S3RVER";
const SECRET = `hush/${randomBytes(12).toString("hex")}+=`;
const CREATE_S = 3;
let store: ObjectStore;
let running: TestBanyan;
let banyan: Banyan;
const made: StartedSandbox[] = [];

beforeAll(async () => {
  store = await startObjectStore();
  const env = { BANYAN_POOL_SIZE: "4", BANYAN_LOG_LEVEL: "debug", BANYAN_OBJECTS: "on", BANYAN_OBJECT_CREATE_S: String(CREATE_S) };
  running = await startBanyan(await makeDataDir(), env);
  banyan = running.banyan;
  await untilReady(banyan);
}, IMAGE_MS + PATIENCE_MS);
afterEach(async () => {
  for (const sandbox of made.splice(0)) await sandbox.delete();
  await eventually(async () => {
    for await (const volume of banyan.volumes.list()) await volume.delete({ force: true });
    return true;
  }, PATIENT);
}, PATIENCE_MS);
afterAll(async () => {
  await endBanyan(running).finally(() => store?.stop());
}, PATIENCE_MS);

/** Below a prefix of its own. */
async function objectVolume(): Promise<{ volume: Volume; prefix: string }> {
  const prefix = `banyan/${newId("vol")}`;
  return { volume: await create(store.remote({ path: prefix, secrets: { access_key_id: KEY_ID, secret_access_key: SECRET } })), prefix };
}

const create = (remote: Remote, name?: string): Promise<Volume> =>
  banyan.volumes.create({ backend: "object", remote, ...(name !== undefined && { name }) });

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

async function refusal(call: () => Promise<unknown>): Promise<{ status: number | null; code: string; text: string }> {
  const thrown = await call().then(
    () => null,
    (error: unknown) => error,
  );
  if (!isBanyanError(thrown)) throw new Error("it was not refused", { cause: thrown });
  return {
    status: thrown.status,
    code: thrown.code,
    text: `${thrown.message} ${JSON.stringify(thrown)} ${JSON.stringify(thrown.details)}`,
  };
}

it(
  "is filled and read without a sandbox: files, ranges, large ones in parts, trees; and what it holds is in the bucket",
  async () => {
    const { volume, prefix } = await objectVolume();
    expect(volume.info).toMatchObject({ state: "ready", backend: "object", store: "object", remote: { type: "s3", path: prefix } });
    await volume.files.write("/deep/file", "as it was");
    expect(await volume.files.read("/deep/file")).toBe("as it was");
    const headers = { authorization: `Bearer ${running.apiKey}`, range: "bytes=3-4" };
    const part = await fetch(`${running.url}/v1/volumes/${volume.id}/files/content?path=/deep/file`, { headers });
    expect([part.status, await part.text()]).toEqual([206, "it"]);
    const large = Buffer.alloc(LARGE_BYTES, "large");
    await volume.upload("/large", large);
    expect(await volume.files.stat("/large")).toMatchObject({ type: "file", size: LARGE_BYTES });
    expect(Buffer.from(await volume.files.readBytes("/large")).equals(large)).toBe(true);
    const tree = pack();
    tree.entry({ name: "sub/one" }, "one");
    tree.entry({ name: "two" }, "two");
    tree.finalize();
    await volume.files.upload("/tree", await buffer(tree));
    expect((await volume.files.list("/")).map(({ name }) => name).toSorted()).toEqual(["deep", "large", "tree"]);
    await eventually(async () => expect(await store.object(`${prefix}/tree/sub/one`)).toBe("one"), PATIENT);
    await eventually(async () => expect((await store.object(`${prefix}/large`))?.length).toBe(LARGE_BYTES), PATIENT);
    expect(await refusal(() => volume.snapshot())).toMatchObject({ code: "volume.unsupported" });
  },
  PATIENCE_MS,
);

it(
  "is mounted in many, warm, each in its mode: what one writes the others see, and the bucket has",
  async () => {
    const { volume, prefix } = await objectVolume();
    await volume.files.write("/deep/file", "as it was");
    await eventually(async () => expect(await store.object(`${prefix}/deep/file`)).toBe("as it was"), PATIENT);
    const [one, other] = [
      await sandboxWith([{ volume: volume.id, path: "/data" }]),
      await sandboxWith([{ volume: volume.id, path: "/srv/deep/data" }]),
    ];
    expect([one.info, other.info]).toMatchObject([{ path: "warm" }, { path: "warm" }]);
    expect(await said(one, "cat /data/deep/file; echo shared > /data/new")).toBe("as it was");
    expect(await said(other, "cat /srv/deep/data/new")).toBe("shared");
    await eventually(async () => expect(await store.object(`${prefix}/new`)).toBe("shared\n"), PATIENT);
    await eventually(async () => expect(await volume.files.read("/new").catch(() => null)).toBe("shared\n"), PATIENT);
    const reader = await sandboxWith([{ volume: volume.id, path: "/data", mode: "ro", subpath: "deep" }]);
    expect(await said(reader, "ls /data; touch /data/x 2>&1 | grep -c Read-only")).toBe("file\n1");
    await reader.mount({ volume: volume.id, path: "/late", mode: "ro", subpath: "deep/file" });
    expect(await said(reader, "cat /late")).toBe("as it was");
    await reader.unmount("/late");
    expect(await said(reader, "wc -c < /late")).toBe("0");
  },
  PATIENCE_MS,
);

it(
  "keeps what is changed in a view of one's own from everybody but the sandbox's forks, through stop and start",
  async () => {
    const { volume, prefix } = await objectVolume();
    await volume.files.write("/base", "base");
    await eventually(async () => expect(await store.object(`${prefix}/base`)).toBe("base"), PATIENT);
    const parent = await sandboxWith([{ volume: volume.id, path: "/data", mode: "cow" }]);
    await said(parent, "echo parent > /data/own; rm /data/base; ln -s own /data/link; chmod 600 /data/own");
    const beside = await sandboxWith([{ volume: volume.id, path: "/data", mode: "cow" }]);
    expect(await said(beside, "ls /data; cat /data/base")).toBe("base\nbase");
    await parent.stop();
    await parent.start({ waitMs: 60_000 });
    expect(await said(parent, "ls /data; cat /data/link; stat -c %a /data/own")).toBe("link\nown\nparent\n600");
    const fork = await parent.fork(3, {
      run: "cat /data/link; echo $BANYAN_FORK_INDEX >> /data/own; sleep 1; tail -n 1 /data/own; ls /data",
      after: "delete",
    });
    const outputs = new Set<string>();
    for await (const { outcome } of fork) outputs.add(outcome?.stdout ?? "");
    expect(outputs).toEqual(new Set([0, 1, 2].map((index) => `parent\n${index}\nlink\nown\n`)));
    expect((await fork.wait()).includes).toEqual(["files", "volumes"]);
    expect(await volume.files.read("/base")).toBe("base");
    expect([await store.object(`${prefix}/base`), await store.object(`${prefix}/own`)]).toEqual(["base", null]);
  },
  PATIENCE_MS,
);

it(
  "shows its secrets to nobody: not inside, not in an answer, not in a file, not in the database",
  async () => {
    const mark = `mark-${randomBytes(8).toString("hex")}`;
    const { volume, prefix } = await objectVolume();
    await volume.files.write("/marked", mark);
    await eventually(async () => expect(await store.object(`${prefix}/marked`)).toBe(mark), PATIENT);
    const env = { MARK: mark };
    const sandbox = await sandboxWith([{ volume: volume.id, path: "/cow", mode: "cow" }], { env });
    await sandbox.mount({ volume: volume.id, path: "/data" });
    expect(await said(sandbox, "cat /data/marked /cow/marked")).toBe(`${mark}${mark}`);
    const fork = await sandbox.fork(2, { run: "cat /cow/marked /data/marked", after: "keep" });
    const child = (await fork.winner()).sandbox();
    const secrets = [KEY_ID, SECRET];
    // That the search finds what there is, it has to show.
    expect(await searchSandbox(sandbox, [mark])).toEqual(
      expect.arrayContaining(["/data/marked", expect.stringMatching(/^\/proc\/\d+\/environ$/)]),
    );
    expect(await searchSandbox(sandbox, secrets)).toEqual([]);
    expect(await searchSandbox(child, secrets)).toEqual([]);

    const places = (word: string) => searchDataDir(running.dataDir, [word]).map((path) => path.split("/")[1]);
    await eventually(() => expect(places(volume.id)).toEqual(expect.arrayContaining(["nats", "postgres", "journal"])), PATIENT);
    expect(await searchDatabase(running.dataDir, [volume.id])).toEqual(expect.arrayContaining(["volume_manager.volumes"]));
    expect(searchDataDir(running.dataDir, secrets)).toEqual([]);
    expect(await searchDatabase(running.dataDir, secrets)).toEqual([]);

    const wrong = { access_key_id: `${KEY_ID}-no`, secret_access_key: SECRET };
    const refused = await refusal(() => create(store.remote({ secrets: wrong })));
    expect(refused).toMatchObject({ status: 422, code: "request.invalid" });
    const answers = [refused.text, running.output()];
    for (const path of ["volumes", `volumes/${volume.id}`, `volumes/${volume.id}/users`, "sandboxes", `sandboxes/${sandbox.id}`, "nodes"]) {
      const reply = await fetch(`${running.url}/v1/${path}`, { headers: { authorization: `Bearer ${running.apiKey}` } });
      expect(reply.status, path).toBe(200);
      answers.push(await reply.text());
    }
    for (const answer of answers) for (const secret of secrets) expect(answer).not.toContain(secret);
    await fork.cancel({ deleteChildren: true });
  },
  PATIENCE_MS,
);

it(
  "fails within a while, with the reason and what to do, where no store answers; the name is free again then",
  async () => {
    const options = { ...store.remote().options, endpoint: "http://127.0.0.1:9" };
    const remote = store.remote({ options, secrets: { access_key_id: KEY_ID, secret_access_key: SECRET } });
    const refused = await refusal(() => create(remote, "nowhere"));
    expect(refused).toMatchObject({ status: 409, code: "volume.not_ready" });
    expect(refused.text).toMatch(/connection refused.*create it again/);
    expect(refused.text).not.toContain(SECRET);
    const volume = await banyan.volumes.get("nowhere");
    expect(volume.info).toMatchObject({ state: "failed", stateReason: expect.stringMatching(/connection refused.*create it again/) });
    const mounted = await refusal(() => banyan.sandboxes.create({ volumes: [{ volume: "nowhere", path: "/data" }] }));
    expect(mounted).toMatchObject({ status: 409, code: "volume.not_ready" });
    expect(mounted.text).toContain("connection refused");
    await volume.delete();
    expect((await create(store.remote(), "nowhere")).state).toBe("ready");
  },
  PATIENCE_MS,
);

it(
  "lies in another store that rclone reaches, by WebDAV, and not where the password is wrong",
  async () => {
    const server: RcloneServer = await startRcloneServer("webdav");
    try {
      writeFileSync(join(server.files, "there"), "from the store");
      const refused = await refusal(() => create(server.remote({ secrets: { pass: `not ${PASSWORD}` } }), "dav"));
      expect(refused).toMatchObject({ status: 422, code: "request.invalid" });
      expect(refused.text).not.toContain(PASSWORD);
      const volume = await create(server.remote(), "dav");
      const sandbox = await sandboxWith([{ volume: volume.id, path: "/data" }]);
      expect(await said(sandbox, "cat /data/there; echo written > /data/new")).toBe("from the store");
      await eventually(() => expect(readFileSync(join(server.files, "new"), "utf8")).toBe("written\n"), PATIENT);
      expect(await searchSandbox(sandbox, [PASSWORD])).toEqual([]);
    } finally {
      await server.stop();
    }
  },
  PATIENCE_MS,
);
