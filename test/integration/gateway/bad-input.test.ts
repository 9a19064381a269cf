import { connect } from "node:net";
import { api, ERRORS } from "@banyan/contracts";
import { newId } from "@banyan/kernel";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Answer, type Cluster, caller, startCluster } from "./cluster.ts";

let cluster: Cluster;
let call: ReturnType<typeof caller>;
beforeAll(async () => {
  cluster = await startCluster();
  call = caller(cluster.url);
});
afterAll(() => cluster.stop());

function expectProblem({ status, headers, body }: Answer, wanted: { status: number; code: keyof typeof ERRORS }): void {
  expect({ status, code: body.code }, JSON.stringify(body)).toEqual(wanted);
  expect(headers.get("content-type")).toBe("application/problem+json");
  expect(api.Problem.strict().parse(body)).toEqual(body);
  expect(body).toMatchObject({ status, fix: ERRORS[wanted.code].fix, request_id: headers.get("x-request-id") });
}

const pathsOf = ({ body }: Answer): string[] => body.details.issues.map(({ path }: { path: string }) => path);
const KIB = 1_024;

describe("a body that does not fit", () => {
  const cases: [string, object, string[]][] = [
    ["a negative limit", { limits: { cpu: -1 } }, ["limits.cpu"]],
    ["a huge limit", { limits: { memory_mb: 1e15 } }, ["limits.memory_mb"]],
    ["a fraction where there is none", { limits: { pids: 10.5 } }, ["limits.pids"]],
    ["a text where a number belongs", { limits: { disk_mb: "10" } }, ["limits.disk_mb"]],
    ["an unknown field", { foo: 1, limits: { zork: 2 } }, ["limits.zork", "foo"]],
    ["a list", [1], [""]],
    ["a relative workdir", { workdir: "tmp/../etc" }, ["workdir"]],
    ["a NUL in a path", { workdir: "/a\0b" }, ["workdir"]],
    ["a NUL in the environment", { env: { A: "x\0y" } }, ["env.A"]],
    ["a bad variable name", { env: { "A-B": "x" } }, ["env.A-B"]],
    ["a label with a newline", { labels: { a: "x\ny" } }, ["labels.a"]],
    ["too many labels", { labels: Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`l${i}`, "x"])) }, ["labels"]],
    ["an IPv6 range", { network: { egress: "allow", allow: ["::/0"] } }, ["network.allow.0"]],
    ["a wait without end", { wait_ms: 1e9 }, ["wait_ms"]],
    ["a lifetime of no seconds", { lifetime: { idle_timeout_s: 0 } }, ["lifetime.idle_timeout_s"]],
    ["a large environment", { env: Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`V${i}`, "x".repeat(30 * KIB)])) }, ["env"]],
  ];
  it.each(cases)("%s is named in the issues", async (_name, json, paths) => {
    const answer = await call("POST", "/v1/sandboxes", { json });
    expectProblem(answer, { status: 422, code: "request.invalid" });
    expect(pathsOf(answer).toSorted()).toEqual(paths.toSorted());
  });

  it.each(["{", "{}}", "\u0000", "nul", "'single'", '{"a":1,}'])("malformed JSON %j", async (raw) => {
    expectProblem(await call("POST", "/v1/sandboxes", { raw }), { status: 400, code: "request.malformed_json" });
  });

  it("JSON that is no object", async () => {
    for (const raw of ["null", "3", '"x"'])
      expectProblem(await call("POST", "/v1/sandboxes", { raw }), { status: 422, code: "request.invalid" });
  });

  it("a body of 10 MB, announced or not, and the connection goes on", async () => {
    const raw = Buffer.alloc(10 * KIB * KIB, "x");
    expectProblem(await call("POST", "/v1/sandboxes", { raw: new Uint8Array(raw) }), { status: 413, code: "request.too_large" });
    const streamed = await fetch(`${cluster.url}/v1/sandboxes`, {
      method: "POST",
      headers: { authorization: `Bearer ${cluster.gatewayConfig.bootstrapKey}` },
      body: new Blob([raw]).stream(),
      duplex: "half",
    });
    expect(streamed.status).toBe(413);
    expect((await call("GET", "/v1/usage")).status).toBe(200);
  });

  it("a 10 MB environment", async () => {
    const answer = await call("POST", "/v1/sandboxes", { json: { env: { BIG: "x".repeat(10 * KIB * KIB) } } });
    expectProblem(answer, { status: 413, code: "request.too_large" });
  });

  it("a polluting member is an unknown field or nothing, never a prototype", async () => {
    const answer = await call("POST", "/v1/sandboxes", { raw: '{"__proto__": {"image": "x"}}' });
    expect([201, 422]).toContain(answer.status);
    if (answer.status === 201) expect(answer.body.image).toBe("default");
  });
});

describe("a query that does not fit", () => {
  it.each([
    ["?limit=0", ["limit"]],
    ["?limit=-5", ["limit"]],
    ["?limit=100000", ["limit"]],
    ["?limit=ten", ["limit"]],
    ["?limit=1&limit=2", ["limit"]],
    ["?state=sleeping", ["state.0"]],
    ["?label=novalue", ["label.0"]],
    ["?cursor=nope", ["cursor"]],
    ["?zork=1", ["zork"]],
  ])("%s", async (query, paths) => {
    const answer = await call("GET", `/v1/sandboxes${query}`);
    expectProblem(answer, { status: 422, code: "request.invalid" });
    expect(pathsOf(answer)).toEqual(paths);
  });

  it("is refused where a route takes none", async () => {
    expectProblem(await call("GET", "/v1/usage?x=1"), { status: 422, code: "request.invalid" });
  });
});

describe("a place that is not there", () => {
  it("an unknown route", async () => {
    for (const path of ["/v1/nothing", "/v2/sandboxes", "/v1/sandboxes/x/y", "/V1/sandboxes", "/%00", "/..%2f..%2fetc/passwd"]) {
      expectProblem(await call("GET", path), { status: 404, code: "request.not_found" });
    }
  });

  it("a known route with another method says which ones it takes", async () => {
    const answer = await call("PUT", "/v1/sandboxes");
    expectProblem(answer, { status: 405, code: "request.method_not_allowed" });
    expect(answer.headers.get("allow")).toBe("POST, GET");
    expectProblem(await call("DELETE", "/openapi.json"), { status: 405, code: "request.method_not_allowed" });
  });

  it("an unknown sandbox, and what is no id at all", async () => {
    for (const id of [newId("sbx"), "sbx_", "1", "a%20b", "x".repeat(5_000)]) {
      expectProblem(await call("GET", `/v1/sandboxes/${id}`), { status: 404, code: "sandbox.not_found" });
    }
    for (const [method, path] of [
      ["PATCH", ""],
      ["POST", "/start"],
      ["POST", "/stop"],
      ["DELETE", ""],
    ] as const) {
      expectProblem(await call(method, `/v1/sandboxes/${newId("sbx")}${path}`, { json: {} }), { status: 404, code: "sandbox.not_found" });
    }
  });

  it("an unknown image", async () => {
    expectProblem(await call("POST", "/v1/sandboxes", { json: { image: "nope" } }), { status: 422, code: "image.not_found" });
  });

  it("more than any node has", async () => {
    expectProblem(await call("POST", "/v1/sandboxes", { json: { limits: { memory_mb: 1024 * 1024 } } }), {
      status: 422,
      code: "node.none_fits",
    });
  });
});

it("keeps a caller's request id, but not one that could forge a log line", async () => {
  const kept = await call("GET", "/", { headers: { "x-request-id": "trace-1.a" } });
  expect(kept.headers.get("x-request-id")).toBe("trace-1.a");
  const forged = await call("GET", "/", { headers: { "x-request-id": "a b{}" } });
  expect(forged.headers.get("x-request-id")).toMatch(/^req_/);
});

it("survives a request that is no HTTP", async () => {
  const { port, hostname } = new URL(cluster.url);
  const answer = await new Promise<string>((resolve, reject) => {
    const socket = connect(Number(port), hostname, () => socket.write("NONSENSE\r\n\r\n"));
    let text = "";
    socket.on("data", (chunk) => {
      text += chunk;
    });
    socket.on("close", () => resolve(text));
    socket.on("error", reject);
  });
  expect(answer).toContain("400");
  expect((await call("GET", "/healthz")).status).toBe(200);
});
