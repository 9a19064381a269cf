import { newId } from "@banyan/kernel";
import { eventually } from "@banyan/testkit";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type Cluster, problemOf, startCluster } from "./cluster.ts";

let cluster: Cluster;
beforeAll(async () => {
  cluster = await startCluster();
});
afterAll(() => cluster?.stop());

const put = (path: string, body: NonNullable<RequestInit["body"]>) =>
  cluster.call(`files/content?path=${path}`, { method: "PUT", body, duplex: "half" } as RequestInit);
const streamOf = (bytes: number) =>
  new ReadableStream({
    start(controller) {
      controller.enqueue(Buffer.alloc(bytes, "s"));
      controller.close();
    },
  });

describe("a route", () => {
  it("is asked for once and remembered", async () => {
    await cluster.exec({ argv: ["true"] });
    const asked = cluster.routesAsked;
    await Promise.all(Array.from({ length: 20 }, () => cluster.exec({ argv: ["true"] })));
    expect(cluster.routesAsked).toBe(asked);
  });

  it("that is stale is asked for again, and the command is sent once more", async () => {
    for (const send of [
      () => cluster.call("exec", { method: "POST", json: { shell: "echo once >> /tmp/times" } }),
      () => put("/tmp/streamed", streamOf(500_000)),
      () => put("/tmp/large", Buffer.alloc(300_000)),
      () => cluster.call("files/stat?path=/"),
    ]) {
      cluster.epoch++;
      const asked = cluster.routesAsked;
      expect((await send()).status).toBe(200);
      expect(cluster.routesAsked).toBe(asked + 1);
    }
    expect((await cluster.exec({ shell: "cat /tmp/times; stat -c %s /tmp/streamed /tmp/large" })).stdout).toBe("once\n500000\n300000\n");
  });

  it("to a sandbox of another organisation, or of nobody, is not found", async () => {
    const headers = { authorization: `Bearer ${cluster.otherKey}` };
    for (const path of ["exec", "files/stat?path=/", "processes", "ports/80/"]) {
      expect(await problemOf(await cluster.call(path, { headers }))).toMatchObject({ status: 404, code: "sandbox.not_found" });
    }
    for (const id of [newId("sbx"), "sbx_x", "..", "%2e%2e", "a".repeat(5_000)]) {
      const response = await fetch(`${cluster.url}/v1/sandboxes/${id}/exec`, {
        method: "POST",
        headers: { authorization: `Bearer ${cluster.key}` },
      });
      expect(response.status).toBe(404);
    }
  });
});

describe("a node", () => {
  afterEach(async () => {
    if (
      !(await fetch(`http://127.0.0.1:${cluster.nodePort}/`).then(
        () => true,
        () => false,
      ))
    )
      await cluster.restartNode();
  });

  it("that is away is a problem to try again, and works again when it is back", async () => {
    await cluster.stopNode();
    for (const send of [() => cluster.call("files/stat?path=/"), () => put("/tmp/away", streamOf(200_000))]) {
      expect(await problemOf(await send())).toMatchObject({
        status: 503,
        code: "node.unreachable",
        retryable: true,
        retry_after_ms: expect.any(Number),
      });
    }
    await cluster.restartNode();
    expect((await cluster.exec({ argv: ["true"] })).exit_code).toBe(0);
  });

  it("that goes away under a command says that it may have been carried out", async () => {
    const running = cluster.call("exec", { method: "POST", json: { argv: ["sleep", "30"] } });
    await eventually(() => expect(cluster.inUse()).toBe(1));
    await cluster.stopNode();
    expect(await problemOf(await running)).toMatchObject({
      code: "node.unreachable",
      detail: expect.stringContaining("may have been carried out"),
    });
  });

  it("that goes away under an answer breaks it off, rather than ending it", async () => {
    const response = await cluster.call("exec", {
      method: "POST",
      json: { shell: "echo on; sleep 30" },
      headers: { accept: "text/event-stream" },
    });
    const reader = response.body?.getReader();
    await reader?.read();
    await cluster.stopNode();
    await expect(reader?.read()).rejects.toThrow();
  });

  it("answers nobody but the gateway", async () => {
    const ask = (headers: Record<string, string>) =>
      fetch(`http://127.0.0.1:${cluster.nodePort}/sandboxes/${cluster.sandboxId}/exec`, { method: "POST", headers });
    expect(await problemOf(await ask({}))).toMatchObject({ status: 401, code: "auth.missing" });
    expect(
      await problemOf(await ask({ "x-banyan-cluster": "Bearer guess", "x-banyan-org": "org_1", "x-banyan-epoch": "1" })),
    ).toMatchObject({ code: "auth.invalid" });
  });

  it("believes no header of a client", async () => {
    const headers = { "x-banyan-org": "org_other", "x-banyan-epoch": "999", "x-banyan-cluster": "Bearer guess", "x-request-id": "forged" };
    const response = await cluster.call("files/stat?path=/", { headers });
    expect([response.status, response.headers.get("x-request-id")?.startsWith("req_")]).toEqual([200, true]);
  });
});

it("keeps what follows the sandbox as it was sent", async () => {
  const { status } = await cluster.call("files/stat?path=%2Ftmp%2F..%2Fetc&follow=true");
  expect(status).toBe(200);
});
