import { api, LIMITS } from "@banyan/contracts";
import { newId } from "@banyan/kernel";
import { eventually } from "@banyan/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Answer, type Cluster, caller, startCluster } from "./cluster.ts";

let cluster: Cluster;
let call: ReturnType<typeof caller>;
beforeAll(async () => {
  cluster = await startCluster();
  call = caller(cluster.url);
});
afterAll(() => cluster.stop());

async function sandbox(): Promise<string> {
  const { status, body } = await call("POST", "/v1/sandboxes", { json: {} });
  expect(status, JSON.stringify(body)).toBe(201);
  return body.id;
}
const pathsOf = ({ body }: Answer): string[] => body.details.issues.map(({ path }: { path: string }) => path);

describe("a body that makes no sense", () => {
  const cases: [string, object, string[]][] = [
    ["no count", {}, ["count"]],
    ["a count of 0", { count: 0 }, ["count"]],
    ["a negative count", { count: -1 }, ["count"]],
    ["a count of a billion", { count: 1e9 }, ["count"]],
    ["a variable twice", { count: 2, env: { A: "1" }, env_cycle: { A: ["2"] } }, ["env_cycle.A"]],
    ["an `each` of another length", { count: 3, each: [{}] }, ["each"]],
    ["an `each` that is too large", { each: Array.from({ length: 10 }, () => ({ stdin: "x".repeat(60_000) })), command: "cat" }, ["each"]],
    ["an unknown field", { count: 1, replicas: 2 }, ["replicas"]],
  ];
  it.each(cases)("%s is named in the issues, before anything is looked up", async (_name, json, paths) => {
    const answer = await call("POST", `/v1/sandboxes/${newId("sbx")}/forks`, { json });
    expect([answer.status, answer.body.code]).toEqual([422, "request.invalid"]);
    expect(pathsOf(answer)).toEqual(paths);
  });

  it("of no source, or of two", async () => {
    for (const source of [undefined, {}, { image: "a", snapshot: "b" }, { sandbox: "no id" }]) {
      expect(await call("POST", "/v1/forks", { json: { source, count: 1 } })).toMatchObject({
        status: 422,
        body: { code: "request.invalid" },
      });
    }
  });
});

describe("what is not there", () => {
  it("is no fork", async () => {
    for (const id of [newId("frk"), newId("sbx"), "1", "x".repeat(2_000)]) {
      for (const path of ["", "/children", "/events"]) {
        expect(await call("GET", `/v1/forks/${id}${path}`), path).toMatchObject({ status: 404, body: { code: "fork.not_found" } });
      }
      expect(await call("POST", `/v1/forks/${id}/cancel`, { json: {} })).toMatchObject({ status: 404, body: { code: "fork.not_found" } });
    }
  });

  it("is forked, promoted, traced or archived by nobody", async () => {
    for (const id of [newId("sbx"), "nope"]) {
      for (const [method, path, json] of [
        ["POST", "forks", { count: 1 }],
        ["POST", "promote", {}],
        ["GET", "lineage", undefined],
        ["POST", "archive", undefined],
      ] as const) {
        const answer = await call(method, `/v1/sandboxes/${id}/${path}`, json && { json });
        expect(answer, `${method} ${path}`).toMatchObject({ status: 404, body: { code: "sandbox.not_found" } });
      }
    }
    expect(await call("POST", "/v1/forks", { json: { source: { image: "nope" }, count: 1 } })).toMatchObject({
      status: 422,
      body: { code: "image.not_found" },
    });
  });

  it("is what another organisation has", async () => {
    const { body: fork } = await call("POST", "/v1/forks", { json: { source: { image: "default" }, count: 1 } });
    const { body: organisation } = await call("POST", "/v1/organisations", { json: { name: "others-forks" } });
    const { body: key } = await call("POST", "/v1/keys", { json: { name: "k", organisation: organisation.name } });
    const other = (method: string, path: string, json?: object) => call(method, path, { key: key.key, ...(json && { json }) });
    expect((await other("GET", `/v1/forks/${fork.id}`)).body.code).toBe("fork.not_found");
    expect((await other("GET", "/v1/forks")).body.forks).toEqual([]);
    expect((await other("POST", `/v1/sandboxes/${await sandbox()}/forks`, { count: 1 })).body.code).toBe("sandbox.not_found");
  });
});

async function member(name: string, quota: object): Promise<string> {
  expect((await call("POST", "/v1/organisations", { json: { name, quota } })).status).toBe(201);
  return (await call("POST", "/v1/keys", { json: { name: "k", organisation: name } })).body.key;
}

describe("a fork", () => {
  it("of a sandbox makes children that say where they come from, and a tree", async () => {
    const id = await sandbox();
    const json = { count: 3, name: "try", labels: { of: "fork" } };
    const answer = await call("POST", `/v1/sandboxes/${id}/forks`, { json, headers: { prefer: "wait=30" } });
    expect(answer.status, JSON.stringify(answer.body)).toBe(200);
    const fork = answer.body;
    expect(api.Fork.strict().parse(fork)).toEqual(fork);
    expect(fork).toMatchObject({ state: "done", source: { sandbox: id }, includes: ["files"], counts: { total: 3, running: 3 } });
    const { body: page } = await call("GET", `/v1/forks/${fork.id}/children`);
    expect(page.children.map(({ index, state }: api.ForkChild) => `${index} ${state}`)).toEqual(["0 running", "1 running", "2 running"]);
    const { body: child } = await call("GET", `/v1/sandboxes/${page.children[1].sandbox_id}`);
    expect(child).toMatchObject({ name: "try-1", labels: { of: "fork" }, origin: { fork_id: fork.id, index: 1, parent_id: id } });
    const { body: lineage } = await call("GET", `/v1/sandboxes/${child.id}/lineage`);
    expect(api.Lineage.parse(lineage)).toEqual(lineage);
    expect(lineage).toMatchObject({ root_id: id, truncated: false, forks: [{ id: fork.id, parent_id: id }] });
    expect(lineage.sandboxes).toHaveLength(4);
  });

  it("is cleared away long after its end, with all that it made", async () => {
    const json = { source: { image: "default" }, count: 2, labels: { of: "cleared" } };
    const { body: fork } = await call("POST", "/v1/forks", { json, headers: { prefer: "wait=30" } });
    expect(fork.state).toBe("done");
    const left = async () => (await call("GET", "/v1/sandboxes?label=of%3Dcleared")).body.sandboxes.length;
    expect(await left()).toBe(2);
    expect((await call("POST", `/v1/forks/${fork.id}/cancel`, { json: {} })).body.state).toBe("done");
    expect(await left()).toBe(2);
    expect((await call("POST", `/v1/forks/${fork.id}/cancel`, { json: { delete_children: true } })).body.state).toBe("done");
    await eventually(async () => (await left()) === 0);
  });

  it("is promoted by nobody whose sandbox no fork of a sandbox made", async () => {
    expect(await call("POST", `/v1/sandboxes/${await sandbox()}/promote`, { json: {} })).toMatchObject({
      status: 400,
      body: { code: "fork.no_parent" },
    });
  });

  it("waits for the quota and says so, and there are only so many", async () => {
    const key = await member("forks-too-many", { sandboxes: 1, cpu: 100, memory_mb: 100_000 });
    const json = { source: { image: "default" }, count: 2 };
    const ask = () => call("POST", "/v1/forks", { key, json });
    const { body: fork } = await ask();
    await eventually(async () => (await call("GET", `/v1/forks/${fork.id}`, { key })).body.state_reason === "quota");
    expect((await call("GET", `/v1/forks/${fork.id}`, { key })).body.fix).toContain("quota");
    for (let asked = 1; asked < LIMITS.forksUnfinishedMax; asked++) expect((await ask()).status).toBe(202);
    expect(await ask()).toMatchObject({ status: 429, body: { code: "fork.too_many", retryable: true } });
    expect(await call("POST", `/v1/forks/${fork.id}/cancel`, { key, json: {} })).toMatchObject({ status: 200 });
    await eventually(async () => (await ask()).status === 202);
  });
});
