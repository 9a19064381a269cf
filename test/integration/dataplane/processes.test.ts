import type { api } from "@banyan/contracts";
import { eventually } from "@banyan/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Cluster, problemOf, startCluster } from "./cluster.ts";

let cluster: Cluster;
beforeAll(async () => {
  cluster = await startCluster();
});
afterAll(() => cluster?.stop());

async function start(body: api.SpawnInput): Promise<api.Process> {
  const response = await cluster.call("processes", { method: "POST", json: body });
  if (response.status !== 201) throw new Error(await response.text());
  return (await response.json()) as api.Process;
}
const look = async (id: string) => (await (await cluster.call(`processes/${id}`)).json()) as api.Process;
const wait = (id: string, timeout_ms = 10_000) => cluster.call(`processes/${id}/wait`, { method: "POST", json: { timeout_ms } });
const output = (id: string, query = "", signal?: AbortSignal) => cluster.call(`processes/${id}/stdout${query}`, signal ? { signal } : {});

describe("a background process", () => {
  it("outlives its request, and tells its end to whoever waits", async () => {
    const { id, state } = await start({ shell: "sleep 0.3; echo done; exit 7" });
    expect(state).toBe("running");
    const ended = (await (await wait(id)).json()) as api.Process;
    expect(ended).toMatchObject({ id, state: "exited", exit_code: 7, signal: null, stdout_bytes: 5, ended_at: expect.any(String) });
    expect(await look(id)).toEqual(ended);
    expect(await (await output(id)).text()).toBe("done\n");
  });

  it("is found in the list under the name it was given", async () => {
    await start({ argv: ["sleep", "30"], id: "my-server_1" });
    const { processes } = (await (await cluster.call("processes")).json()) as { processes: api.Process[] };
    expect(processes.find(({ id }) => id === "my-server_1")).toMatchObject({ state: "running", exit_code: null, ended_at: null });
    expect(await problemOf(await cluster.call("processes", { method: "POST", json: { argv: ["true"], id: "my-server_1" } }))).toMatchObject(
      { code: "process.exists" },
    );
  });

  it("is signalled, alone or with all it started", async () => {
    const { id } = await start({ shell: "sleep 5555 & sleep 5556 & wait" });
    await eventually(async () => expect((await cluster.exec({ shell: "pgrep -f 'sleep 555' | wc -l" })).stdout.trim()).not.toBe("0"));
    expect((await cluster.call(`processes/${id}/signal`, { method: "POST", json: { signal: "SIGKILL", tree: true } })).status).toBe(204);
    expect(await (await wait(id)).json()).toMatchObject({ signal: "SIGKILL" });
    await eventually(async () => expect((await cluster.exec({ shell: "pgrep -fx 'sleep 555[56]'" })).exit_code).toBe(1));
  });

  it("ends at its timeout", async () => {
    const { id } = await start({ argv: ["sleep", "60"], timeout_ms: 200 });
    expect(await (await wait(id)).json()).toMatchObject({ timed_out: true, signal: "SIGKILL" });
  });

  it("takes input later, as often as it is given, until it is closed", async () => {
    const { id } = await start({ argv: ["cat"], stdin: true });
    const write = (body: string, query = "") => cluster.call(`processes/${id}/stdin${query}`, { method: "POST", body });
    expect((await write("one ")).status).toBe(204);
    expect((await write("two", "?close=true")).status).toBe(204);
    await wait(id);
    expect(await (await output(id)).text()).toBe("one two");
    expect(await problemOf(await write("three"))).toMatchObject({ code: "process.stdin_unavailable" });
  });
});

describe("its output", () => {
  it("is read by byte offset, with the place to go on and whether more can come", async () => {
    const { id } = await start({ shell: "printf 0123456789; printf err >&2; sleep 30" });
    await eventually(async () => expect((await look(id)).stdout_bytes).toBe(10));
    const part = await output(id, "?offset=2&limit=3");
    expect([await part.text(), part.headers.get("x-banyan-next-offset"), part.headers.get("x-banyan-state")]).toEqual([
      "234",
      "5",
      "running",
    ]);
    const rest = await output(id, "?offset=5");
    expect([await rest.text(), rest.headers.get("x-banyan-next-offset")]).toEqual(["56789", "10"]);
    const nothing = await output(id, "?offset=10");
    expect([await nothing.text(), nothing.headers.get("x-banyan-next-offset")]).toEqual(["", "10"]);
    expect(await (await cluster.call(`processes/${id}/stderr`)).text()).toBe("err");
  });

  it("is followed to the end, and taken up where a connection broke", async () => {
    const { id } = await start({ shell: "for i in 1 2 3 4 5 6 7 8; do echo line $i; sleep 0.1; done" });
    const leaving = new AbortController();
    const first = await output(id, "?follow=true", leaving.signal);
    let received = "";
    const read = async () => {
      for await (const chunk of (first.body ?? []) as AsyncIterable<Uint8Array>) {
        received += Buffer.from(chunk).toString();
        if (received.includes("line 2")) leaving.abort();
      }
    };
    await expect(read()).rejects.toThrow();
    const rest = await (await output(id, `?follow=true&offset=${received.length}`)).text();
    expect(received + rest).toBe("line 1\nline 2\nline 3\nline 4\nline 5\nline 6\nline 7\nline 8\n");
    await eventually(() => expect(cluster.inUse()).toBe(0));
  });
});

it("says that it still runs when the wait is over", async () => {
  const { id } = await start({ argv: ["sleep", "30"] });
  expect(await problemOf(await wait(id, 50))).toMatchObject({ status: 504, code: "process.wait_timeout", retryable: true });
});

it("refuses what is wrong", async () => {
  expect(await problemOf(await cluster.call("processes/none"))).toMatchObject({ status: 404, code: "process.not_found" });
  expect(await problemOf(await cluster.call("processes/a%20b"))).toMatchObject({ status: 404, code: "process.not_found" });
  expect(await problemOf(await wait("none"))).toMatchObject({ code: "process.not_found" });
  expect(await problemOf(await cluster.call("processes", { method: "POST", json: { argv: ["true"], id: "a b" } }))).toMatchObject({
    code: "request.invalid",
  });
  expect(await problemOf(await cluster.call("processes", { method: "POST", json: { argv: ["no-such-thing"] } }))).toMatchObject({
    code: "exec.not_found",
  });
  const { id } = await start({ argv: ["true"] });
  await wait(id);
  expect(await problemOf(await output(id, "?offset=-1"))).toMatchObject({ code: "request.invalid" });
  expect(await problemOf(await cluster.call(`processes/${id}/signal`, { method: "POST", json: { signal: "SIGNOPE" } }))).toMatchObject({
    code: "request.invalid",
  });
});
