import { Banyan } from "@banyan/sdk";
import { eventually } from "@banyan/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { BOOTSTRAP_KEY, type Cluster, caller, startCluster } from "./cluster.ts";
import { startVolumes, type TestVolumes } from "./volume-manager.ts";

let cluster: Cluster;
let volumes: TestVolumes;
let ask: ReturnType<typeof caller>;
let banyan: Banyan;
let nr = 0;
const fresh = (): string => `data-${++nr}`;

beforeAll(async () => {
  cluster = await startCluster();
  volumes = await startVolumes(cluster);
  ask = caller(cluster.url);
  banyan = new Banyan({ url: cluster.url, apiKey: BOOTSTRAP_KEY });
  const stores = async () => (await banyan.nodes())[0]?.stores ?? [];
  await eventually(async () => expect(await stores()).toMatchObject([{ store: volumes.store, state: "ok" }]));
});
afterAll(async () => {
  await volumes?.stop();
  await cluster?.stop();
});

const make = (json: object) => ask("POST", "/v1/volumes", { json });
const sandboxWith = (mounts: object[]) => ask("POST", "/v1/sandboxes", { json: { volumes: mounts } });
const issuePaths = ({ body }: { body: { details: { issues: { path: string }[] } } }): string[] =>
  body.details.issues.map(({ path }) => path);

describe("a volume", () => {
  it("is made, found by id and name, changed, and deleted", async () => {
    const name = fresh();
    const made = await make({ name, labels: { team: "a", draft: "yes" }, quota_mb: 100 });
    expect(made).toMatchObject({
      status: 201,
      body: { name, state: "ready", backend: "directory", store: volumes.store, quota_mb: 100, remote: null },
    });
    const path = `/v1/volumes/${made.body.id}`;
    expect(made.headers.get("location")).toBe(path);
    for (const ref of [made.body.id, name]) expect((await ask("GET", `/v1/volumes/${ref}`)).body.id).toBe(made.body.id);
    const changed = await ask("PATCH", path, { json: { name: `${name}-new`, labels: { draft: null, team: "b" }, quota_mb: null } });
    expect(changed).toMatchObject({ status: 200, body: { name: `${name}-new`, labels: { team: "b" }, quota_mb: null } });
    expect((await ask("GET", `/v1/volumes/${name}`)).body.code).toBe("volume.not_found");
    expect((await ask("DELETE", path)).status).toBe(202);
    const mounted = await sandboxWith([{ volume: made.body.id, path: "/data" }]);
    expect(["volume.not_found", "volume.not_ready"]).toContain(mounted.body.code);
  });

  it("is one, however often it is asked for with the same Idempotency-Key", async () => {
    const name = fresh();
    const headers = { "idempotency-key": `make-${name}` };
    const answers = await Promise.all([1, 2, 3].map(() => ask("POST", "/v1/volumes", { json: { name }, headers })));
    const repeated = await ask("POST", "/v1/volumes", { json: { name }, headers });
    const ids = new Set([...answers, repeated].filter(({ status }) => status === 201).map(({ body }) => body.id));
    expect(ids.size).toBe(1);
    expect(repeated).toMatchObject({ status: 201 });
    expect((await ask("POST", "/v1/volumes", { json: { name: fresh() }, headers })).body.code).toBe("request.idempotency_mismatch");
    expect(await make({ name })).toMatchObject({ status: 409, body: { code: "volume.name_taken", fix: expect.any(String) } });
  });

  it("is seen only by its organisation", async () => {
    const { body } = await make({ name: fresh() });
    const other = await ask("POST", "/v1/organisations", { json: { name: `other-${nr}` } });
    const key = (await ask("POST", "/v1/keys", { json: { name: "o", organisation: other.body.name } })).body.key;
    expect(key).toEqual(expect.any(String));
    for (const [method, path] of [
      ["GET", ""],
      ["PATCH", ""],
      ["DELETE", ""],
      ["GET", "/users"],
      ["GET", "/versions"],
      ["POST", "/versions"],
      ["POST", "/forks"],
    ] as const) {
      const json = method === "GET" || method === "DELETE" ? undefined : {};
      expect((await ask(method, `/v1/volumes/${body.id}${path}`, { key, json })).body.code, `${method} ${path}`).toBe("volume.not_found");
    }
    expect((await ask("GET", "/v1/volumes", { key })).body.volumes).toEqual([]);
    expect((await ask("POST", "/v1/sandboxes", { key, json: { volumes: [{ volume: body.id, path: "/data" }] } })).body.code).toBe(
      "volume.not_found",
    );
  });

  it("is listed by labels, page by page", async () => {
    const made = await Promise.all([1, 2, 3].map(() => make({ name: fresh(), labels: { page: "yes" } })));
    const first = await ask("GET", "/v1/volumes?label=page=yes&limit=2");
    expect(first.body.volumes).toHaveLength(2);
    const second = await ask("GET", `/v1/volumes?label=page=yes&limit=2&cursor=${first.body.next_cursor}`);
    const seen = [...first.body.volumes, ...second.body.volumes].map(({ id }) => id);
    expect(seen.toSorted()).toEqual(made.map(({ body }) => body.id).toSorted());
    expect(second.body.next_cursor).toBeNull();
  });
});

describe("versions and forks", () => {
  it("freeze, list, look at, restore, fork and delete, by id and by name", async () => {
    const { body: volume } = await make({ name: fresh(), quota_mb: 50 });
    const path = `/v1/volumes/${volume.id}`;
    const prefer = { headers: { prefer: "wait=60" } };
    const made = await ask("POST", `${path}/versions`, { json: { name: "v1" }, ...prefer });
    expect(made).toMatchObject({ status: 201, body: { name: "v1", state: "ready", volume_id: volume.id } });
    expect(made.headers.get("preference-applied")).toBe("wait=60");
    expect((await ask("GET", `${path}/versions/v1`)).body.id).toBe(made.body.id);
    expect((await ask("GET", `${path}/versions`)).body).toMatchObject({ versions: [{ id: made.body.id }], next_cursor: null });
    expect((await ask("POST", `${path}/versions`, { json: { name: "v1" } })).body.code).toBe("volume.name_taken");
    expect(await ask("POST", `${path}/restore`, { json: { version: "v1" }, ...prefer })).toMatchObject({
      status: 200,
      body: { state: "ready" },
    });
    const fork = await ask("POST", `${path}/forks`, { json: { name: fresh(), version: "v1" }, ...prefer });
    expect(fork).toMatchObject({
      status: 201,
      body: { state: "ready", quota_mb: 50, origin: { volume_id: volume.id, version_id: made.body.id } },
    });
    expect((await ask("DELETE", `${path}/versions/v1`)).status).toBe(204);
    expect(await ask("GET", `${path}/versions/v1`)).toMatchObject({ status: 404, body: { code: "volume.version_not_found" } });
    expect((await ask("POST", `${path}/restore`, { json: { version: "v1" } })).body.code).toBe("volume.version_not_found");
  });
});

describe("mounts", () => {
  it("are bound at create by name, shown with ids, and keep the volume from being deleted, with by whom", async () => {
    const { body: volume } = await make({ name: fresh() });
    const made = await sandboxWith([{ volume: volume.name, path: "/data//x/", mode: "cow", subpath: "/a/" }]);
    expect(made).toMatchObject({
      status: 201,
      body: { volumes: [{ volume: volume.id, path: "/data/x", mode: "cow", subpath: "a", version: null }] },
    });
    expect(cluster.node.sandboxes.get(made.body.id)?.order.mounts).toMatchObject([
      { path: "/data/x", mode: "cow", source: { volumeId: volume.id } },
    ]);
    const users = await ask("GET", `/v1/volumes/${volume.id}/users`);
    // Its row may follow the answer.
    const state = expect.stringMatching(/^(starting|running)$/);
    expect(users.body).toEqual({ users: [{ sandbox_id: made.body.id, state, path: "/data/x", mode: "cow" }], total: 1 });
    const refused = await ask("DELETE", `/v1/volumes/${volume.id}`);
    expect(refused).toMatchObject({ status: 409, body: { code: "volume.in_use" } });
    expect(JSON.stringify(refused.body.details.used_by)).toContain(made.body.id);
    await ask("DELETE", `/v1/sandboxes/${made.body.id}`);
    await eventually(async () => expect((await ask("DELETE", `/v1/volumes/${volume.id}`)).status).toBe(202));
  });

  it("come and go while the sandbox runs", async () => {
    const { body: volume } = await make({ name: fresh() });
    const { body: sandbox } = await sandboxWith([]);
    const path = `/v1/sandboxes/${sandbox.id}/volumes`;
    const mount = { volume: volume.name, path: "/data" };
    expect((await ask("POST", path, { json: mount })).body.volumes).toMatchObject([{ volume: volume.id, path: "/data", mode: "rw" }]);
    expect((await ask("POST", path, { json: mount })).status, "the same again").toBe(200);
    expect(await ask("POST", path, { json: { ...mount, mode: "ro" } })).toMatchObject({ status: 409, body: { code: "mount.exists" } });
    expect(await ask("POST", path, { json: { ...mount, path: "/data/below" } })).toMatchObject({
      status: 422,
      body: { code: "request.invalid" },
    });
    expect((await ask("DELETE", `${path}?path=/data/`)).body.volumes).toEqual([]);
    expect(await ask("DELETE", `${path}?path=/data`)).toMatchObject({ status: 404, body: { code: "mount.not_found" } });
    expect(await ask("POST", path, { json: { volume: "nosuch", path: "/data" } })).toMatchObject({
      status: 404,
      body: { code: "volume.not_found" },
    });
  });

  it("are asked of a fork too", async () => {
    const { body: volume } = await make({ name: fresh() });
    const fork = await ask("POST", "/v1/forks", {
      json: { source: { image: "default" }, count: 2, volumes: [{ volume: volume.name, path: "/data", mode: "cow" }] },
    });
    expect(fork.status).toBe(202);
    await eventually(async () => {
      const { children } = (await ask("GET", `/v1/forks/${fork.body.id}/children`)).body;
      expect(children).toHaveLength(2);
      for (const child of children) {
        expect(child.sandbox_id).toEqual(expect.any(String));
        const { body } = await ask("GET", `/v1/sandboxes/${child.sandbox_id}`);
        expect(body.volumes).toEqual([{ volume: volume.id, path: "/data", mode: "cow", subpath: "", version: null }]);
      }
    });
    expect(
      (await ask("POST", "/v1/forks", { json: { source: { image: "default" }, count: 1, volumes: [{ volume: "nosuch", path: "/d" }] } }))
        .body.code,
    ).toBe("volume.not_found");
  });

  it.each([
    ["the root", [{ path: "/" }], "path"],
    ["the root by slashes", [{ path: "///" }], "path"],
    ["/proc", [{ path: "/proc" }], "path"],
    ["below /proc", [{ path: "/proc/self" }], "path"],
    ["/dev", [{ path: "/dev/shm" }], "path"],
    ["/sys", [{ path: "/sys/" }], "path"],
    ["a relative path", [{ path: "data" }], "path"],
    ["a path that leads upwards", [{ path: "/data/../proc" }], "path"],
    ["a path with a line break", [{ path: "/data\nx" }], "path"],
    ["a path beyond its bound", [{ path: `/${"x".repeat(2_000)}` }], "path"],
    ["a subpath that leads upwards", [{ path: "/data", subpath: "../other" }], "subpath"],
    ["an unknown mode", [{ path: "/data", mode: "rwx" }], "mode"],
    ["an unknown field", [{ path: "/data", readonly: true }], ""],
    ["a version to be written to", [{ path: "/data", version: "v1", mode: "rw" }], ""],
  ])("refuse %s, and say which field", async (_what, mounts, field) => {
    const asked = mounts.map((mount) => ({ volume: "any", ...mount }));
    const refused = await sandboxWith(asked);
    expect(refused).toMatchObject({ status: 422, body: { code: "request.invalid" } });
    expect(issuePaths(refused)[0]).toContain(`volumes.0${field === "" ? "" : `.${field}`}`);
    const live = await ask("POST", "/v1/sandboxes/sbx_01k9zzzzzzzzzzzzzzzzzzzzzz/volumes", { json: asked[0] });
    expect(live).toMatchObject({ status: 422, body: { code: "request.invalid" } });
  });

  it.each([
    ["the same path twice", ["/data", "/data/"]],
    ["one within another", ["/data", "/data/below"]],
    ["one around another", ["/data/below", "/data"]],
  ])("refuse %s", async (_what, paths) => {
    const mounts = paths.map((path) => ({ volume: "any", path }));
    const refused = await sandboxWith(mounts);
    expect(refused.body.code).toBe("request.invalid");
    expect(issuePaths(refused)).toEqual(["volumes.1.path"]);
    const fork = await ask("POST", "/v1/forks", { json: { source: { image: "default" }, count: 1, volumes: mounts } });
    expect(fork.body.code).toBe("request.invalid");
  });
});

it.each([
  ["a negative quota", { quota_mb: -1 }, "quota_mb"],
  ["a quota of nothing", { quota_mb: 0 }, "quota_mb"],
  ["a quota in parts", { quota_mb: 1.5 }, "quota_mb"],
  ["a quota beyond all disks", { quota_mb: 2 ** 40 }, "quota_mb"],
  ["a name that is no name", { name: "a/../b" }, "name"],
  ["a name that looks like an id", { name: "vol_01k9" }, "name"],
  ["labels with odd keys", { labels: { "a b": "c" } }, "labels"],
  ["an unknown backend", { backend: "tape" }, "backend"],
  ["an object volume that lies nowhere", { backend: "object" }, "remote"],
  ["a directory with a remote", { remote: { type: "s3", path: "b" } }, "remote"],
  ["a remote that leads upwards", { backend: "object", remote: { type: "s3", path: "b/../c" } }, "remote.path"],
  ["a remote on the host", { backend: "object", remote: { type: "local", path: "etc" } }, "remote.type"],
])("refuses %s, and says which field", async (_what, json, field) => {
  const refused = await make(json);
  expect(refused).toMatchObject({ status: 422, body: { code: "request.invalid", fix: expect.stringContaining("issues") } });
  expect(issuePaths(refused)[0]).toContain(field);
});

it("lets only an admin have nodes reach into networks, or nobody, or all", async () => {
  const member = (await ask("POST", "/v1/keys", { json: { name: "member" } })).body.key;
  const remote = { type: "s3", path: "bucket", options: { endpoint: "http://127.0.0.1:1" }, secrets: { secret_access_key: "s3cr3t" } };
  const json = { backend: "object", remote };
  expect(await ask("POST", "/v1/volumes", { key: member, json })).toMatchObject({ status: 403, body: { code: "auth.not_admin" } });
  const off = caller((await cluster.anotherGateway({ objectVolumes: "off" })).url);
  expect((await off("POST", "/v1/volumes", { json })).body.code).toBe("volume.unsupported");
  const all = caller((await cluster.anotherGateway({ objectVolumes: "all" })).url);
  expect((await all("POST", "/v1/volumes", { key: member, json })).body.code).not.toBe("auth.not_admin");
});

it("is there for programs by the SDK", async () => {
  const volume = await banyan.volumes.create({ name: fresh(), labels: { by_whom: "sdk" }, quotaMb: 10 });
  expect(volume).toMatchObject({ state: "ready", info: { labels: { by_whom: "sdk" }, quotaMb: 10 } });
  expect((await banyan.volumes.get(volume.name ?? "")).id).toBe(volume.id);
  expect((await volume.update({ labels: { by_whom: null } })).labels).toEqual({});
  const version = await volume.snapshot({ name: "first" });
  expect(version).toMatchObject({ state: "ready", name: "first" });
  const versions: string[] = [];
  for await (const { id } of volume.versions()) versions.push(id);
  expect(versions).toEqual([version.id]);
  expect((await volume.restore("first")).state).toBe("ready");
  const fork = await volume.fork({ name: fresh(), version: version.id });
  expect(fork.info.origin).toEqual({ volumeId: volume.id, versionId: version.id });
  const sandbox = await banyan.sandboxes.create({ volumes: [{ volume: volume.id, path: "/a", mode: "ro", version: "first" }] });
  expect(sandbox.info.volumes).toMatchObject([{ volume: volume.id, version: version.id, mode: "ro" }]);
  expect((await sandbox.mount({ volume: fork.name ?? "", path: "/b" })).volumes).toHaveLength(2);
  expect((await fork.users()).users).toMatchObject([{ sandboxId: sandbox.id, path: "/b" }]);
  await expect(volume.deleteVersion("first")).rejects.toMatchObject({ code: "volume.in_use" });
  expect((await sandbox.unmount("/b")).volumes).toHaveLength(1);
  await sandbox.delete();
  await fork.delete();
  await volume.delete();
  expect((await volume.look()).state).toBe("deleting");
});
