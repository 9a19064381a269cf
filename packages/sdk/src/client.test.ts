import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, expect, it } from "vitest";
import { Client } from "./client.ts";
import { Banyan, BanyanError } from "./index.ts";

type Handler = (request: IncomingMessage, response: ServerResponse, body: string) => void;
const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

/** A server that answers by the list, its last entry for ever. */
async function serverOf(...handlers: Handler[]): Promise<{ client: Client; url: string; seen: IncomingMessage[] }> {
  const seen: IncomingMessage[] = [];
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const handler = handlers[Math.min(seen.length, handlers.length - 1)];
    seen.push(request);
    handler?.(request, response, Buffer.concat(chunks).toString());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  closing.push(() => {
    server.closeAllConnections();
    server.close();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { client: new Client({ url, apiKey: "k" }), url, seen };
}

const problem =
  (status: number, code: string, retryable: boolean, retryAfterMs: number | null = retryable ? 1 : null): Handler =>
  (_request, response) => {
    const body = {
      type: "t",
      title: "t",
      status,
      detail: "d",
      code,
      retryable,
      retry_after_ms: retryAfterMs,
      fix: "f",
      request_id: "req_1",
      details: {},
    };
    response.writeHead(status, { "content-type": "application/problem+json" }).end(JSON.stringify(body));
  };
const ok: Handler = (_request, response) => void response.end('{"node_id":"n"}');
const hangUp: Handler = (request) => void request.socket.destroy();

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const collected: T[] = [];
  for await (const item of items) collected.push(item);
  return collected;
}

it("repeats a mutation with one Idempotency-Key until it succeeds", async () => {
  const { client, seen } = await serverOf(problem(503, "node.no_slot", true), hangUp, ok);
  expect(await client.keyed("POST", "/v1/sandboxes", { json: { waitMs: 1 } })).toEqual({ nodeId: "n" });
  const keys = seen.map((request) => request.headers["idempotency-key"]);
  expect(keys).toHaveLength(3);
  expect(new Set(keys).size).toBe(1);
});

it("gives another mutation another key", async () => {
  const { client, seen } = await serverOf(ok);
  await client.keyed("POST", "/a");
  await client.keyed("POST", "/a");
  expect(new Set(seen.map((request) => request.headers["idempotency-key"])).size).toBe(2);
});

it("stops at the bound and throws what the server said", async () => {
  const { client, seen } = await serverOf(problem(503, "node.none_available", true));
  const error = await client.json("GET", "/v1/sandboxes").catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(BanyanError);
  expect(error).toMatchObject({ code: "node.none_available", status: 503, retryable: true, retryAfterMs: 1, fix: "f", requestId: "req_1" });
  expect(seen).toHaveLength(4);
});

it("does not repeat what may have happened, what is wrong, or a quota", async () => {
  const exec = await serverOf(problem(503, "node.unreachable", true));
  await expect(exec.client.json("POST", "/exec", { json: {} })).rejects.toMatchObject({ code: "node.unreachable" });
  const wrong = await serverOf(problem(422, "request.invalid", false));
  await expect(wrong.client.keyed("POST", "/a", { json: {} })).rejects.toMatchObject({ code: "request.invalid" });
  const quota = await serverOf(problem(429, "sandbox.quota_exceeded", true));
  await expect(quota.client.keyed("POST", "/a", { json: {} })).rejects.toMatchObject({ code: "sandbox.quota_exceeded" });
  expect([exec.seen.length, wrong.seen.length, quota.seen.length]).toEqual([1, 1, 1]);
});

it("repeats a command that was refused before it ran", async () => {
  const { client, seen } = await serverOf(problem(429, "exec.too_many", true), ok);
  await client.json("POST", "/exec", { json: {} });
  expect(seen).toHaveLength(2);
});

it("waits as long as the server asks for", async () => {
  const { client } = await serverOf(problem(503, "image.not_ready", true, 120), ok);
  const startedMs = performance.now();
  await client.json("GET", "/a");
  expect(performance.now() - startedMs).toBeGreaterThan(110);
});

it("says plainly when nobody answers, or somebody else does", async () => {
  const nobody = new Client({ url: "http://127.0.0.1:1", apiKey: "k", attemptsMax: 1 });
  await expect(nobody.json("GET", "/a")).rejects.toMatchObject({ code: "client.no_answer", status: null });
  const other = await serverOf((_request, response) => void response.writeHead(404).end("<html>"));
  await expect(other.client.json("GET", "/a")).rejects.toMatchObject({ code: "client.unexpected_answer", status: 404 });
});

it("stops waiting when the caller does", async () => {
  const { client } = await serverOf(problem(503, "image.not_ready", true, 60_000));
  const stopping = new AbortController();
  const asked = client.json("GET", "/a", { signal: stopping.signal });
  setTimeout(() => stopping.abort(new Error("enough")), 50);
  await expect(asked).rejects.toThrow("enough");
});

it("needs a key", () => {
  expect(() => new Client({ url: "http://x", apiKey: "" })).toThrow(/BANYAN_API_KEY/);
});

it("follows the pages of a list", async () => {
  const page =
    (ids: string[], next: string | null): Handler =>
    (_request, response) =>
      void response.end(JSON.stringify({ sandboxes: ids.map((id) => ({ id })), next_cursor: next }));
  const { url, seen } = await serverOf(page(["b", "a"], "a"), page(["0"], null));
  const sandboxes = await all(new Banyan({ url, apiKey: "k" }).sandboxes.list({ labels: { task: "1" }, states: ["running"] }));
  expect(sandboxes.map(({ id }) => id)).toEqual(["b", "a", "0"]);
  expect(seen.map((request) => request.url)).toEqual([
    "/v1/sandboxes?label=task%3D1&state=running",
    "/v1/sandboxes?label=task%3D1&state=running&cursor=a",
  ]);
});

it("reads a stream of events however it is cut, and throws its error", async () => {
  const events =
    'event: stdout\ndata: {"text":"hé"}\n\n: alive\n\nevent: stderr\ndata: {"base64":"/w=="}\n\nevent: exit\ndata: {"exit_code":0,"timed_out":false}\n\n';
  const bytes = Buffer.from(events);
  const { url } = await serverOf(
    (_request, response) => {
      for (let i = 0; i < bytes.length; i += 7) response.write(bytes.subarray(i, i + 7));
      response.end();
    },
    (_request, response) => void response.end('event: error\ndata: {"code":"sandbox.protocol","detail":"gone"}\n\n'),
  );
  const sandbox = new Banyan({ url, apiKey: "k" }).sandboxes.at("sbx_1");
  expect(await all(sandbox.exec.stream("ls"))).toEqual([
    { type: "stdout", data: "hé" },
    { type: "stderr", data: Buffer.from([255]) },
    { type: "exit", exitCode: 0, timedOut: false },
  ]);
  await expect(all(sandbox.exec.stream("ls"))).rejects.toMatchObject({ code: "sandbox.protocol" });
});

it("takes output up again where the connection broke", async () => {
  const piece =
    (text: string, whole: boolean): Handler =>
    (_request, response) => {
      response.writeHead(200, { "content-length": whole ? text.length : text.length + 1 });
      response.write(text, () => (whole ? response.end() : response.destroy()));
    };
  const info = { id: "p1", pid: 1, state: "running" };
  const { url, seen } = await serverOf(
    (_request, response) => void response.end(JSON.stringify(info)),
    piece("hello ", false),
    piece("world", true),
  );
  const process = await new Banyan({ url, apiKey: "k" }).sandboxes.at("sbx_1").processes.get("p1");
  const chunks = await all(process.stdout());
  expect(Buffer.concat(chunks).toString()).toBe("hello world");
  expect(seen[2]?.url).toContain("offset=6");
});

it("deletes at the end of a block", async () => {
  const { url, seen } = await serverOf(
    (_request, response) => void response.writeHead(201).end('{"id":"sbx_1","path":"warm","timing":{}}'),
    (_request, response) => void response.writeHead(204).end(),
  );
  {
    await using sandbox = await new Banyan({ url, apiKey: "k" }).sandboxes.create();
    expect(sandbox.id).toBe("sbx_1");
  }
  expect(seen.map(({ method, url }) => `${method} ${url}`)).toEqual(["POST /v1/sandboxes", "DELETE /v1/sandboxes/sbx_1"]);
});
