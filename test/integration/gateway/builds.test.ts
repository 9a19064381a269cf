import { randomBytes } from "node:crypto";
import { api, type BuildFailure } from "@banyan/contracts";
import { newId } from "@banyan/kernel";
import { eventually } from "@banyan/testkit";
import postgres from "postgres";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type Ask, BOOTSTRAP_KEY, type Cluster, caller, startCluster } from "./cluster.ts";

let cluster: Cluster;
let call: ReturnType<typeof caller>;
beforeAll(async () => {
  cluster = await startCluster();
  call = caller(cluster.url);
});
afterAll(() => cluster.stop());
afterEach(() => Object.assign(cluster.builder, { held: false, failure: null, away: false, config: {}, eventReads: 0 }));

let nr = 0;
/** Never built before. */
const fresh = () => ({ apt: ["jq"], commands: [`echo ${++nr}`] });
const stepFailed: BuildFailure = {
  code: "build.package_not_found",
  message: "apt found no package nosuch.",
  fix: "Ask for another than nosuch.",
  step: 0,
  exitCode: 100,
  lastLines: ["E: Unable to locate package nosuch"],
};
const build = (body: object, ask: Ask = {}) => call("POST", "/v1/images", { json: body, ...ask });

/** The events of a stream, to its end. */
async function streamOf(path: string, { method = "POST", json, headers = {} }: { method?: string; json?: object; headers?: object }) {
  const response = await fetch(`${cluster.url}${path}`, {
    method,
    headers: { authorization: `Bearer ${BOOTSTRAP_KEY}`, accept: "text/event-stream", ...headers },
    ...(json && { body: JSON.stringify(json) }),
  });
  expect(response.headers.get("content-type")).toContain("text/event-stream");
  return (await response.text())
    .split("\n\n")
    .map((block) => Object.fromEntries(block.split("\n").map((line) => line.split(/:\s?(.*)/s).slice(0, 2))))
    .filter(({ data }) => data !== undefined)
    .map(({ event, data, id }) => ({ event, id, data: JSON.parse(data) }));
}

describe("a build", () => {
  it("is begun and followed: 202 with its place, its events, and the image at the end", async () => {
    cluster.builder.held = true;
    const begun = await build({ spec: fresh(), name: "team/app:1" });
    expect(begun.status).toBe(202);
    expect(api.BuiltImage.strict().parse(begun.body)).toEqual(begun.body);
    expect(begun.headers.get("location")).toBe(`/v1/builds/${begun.body.build.id}`);
    const work = cluster.builder.last();
    const streaming = streamOf(`/v1/builds/${begun.body.build.id}/events`, { method: "GET" });
    cluster.builder.say(work, { kind: "log", step: 0, stream: "stdout", text: "Unpacking jq\n" });
    cluster.builder.finish(work);
    const events = await streaming;
    expect(events.map(({ event, id }) => [event, id])).toEqual([
      ["state", "1"],
      ["log", "2"],
      ["state", "3"],
    ]);
    expect(events[1]?.data).toMatchObject({ seq: 2, event: "log", step: 0, stream: "stdout", text: "Unpacking jq\n" });
    for (const { data } of events) expect(api.BuildEvent.parse(data)).toEqual(data);
    expect(await call("GET", "/v1/images/team%2Fapp:1")).toMatchObject({ status: 200, body: { state: "ready", names: ["team/app:1"] } });
  });

  it("is answered at once where the image is there", async () => {
    const spec = fresh();
    await build({ spec });
    const again = await build({ spec });
    expect(again).toMatchObject({ status: 200, body: { image: { state: "ready" }, build: { cached: true, state: "ready" } } });
  });

  it("is waited for as long as asked, and no longer", async () => {
    cluster.builder.held = true;
    const spec = fresh();
    const early = await build({ spec }, { headers: { prefer: "wait=0" } });
    expect(early.status).toBe(202);
    const waiting = build({ spec }, { headers: { prefer: "wait=30" } });
    await eventually(async () => expect(cluster.builder.requests.at(-1)?.spec.commands).toEqual(spec.commands));
    cluster.builder.finish(cluster.builder.last());
    const answer = await waiting;
    expect(answer).toMatchObject({ status: 200, body: { image: { state: "ready" } } });
    expect(answer.headers.get("preference-applied")).toBe("wait=30");
  });

  it("that fails is a problem that names the step, its code, its last lines and what would help", async () => {
    cluster.builder.failure = stepFailed;
    const { status, body, headers } = await build({ spec: fresh() }, { headers: { prefer: "wait=10" } });
    expect(status).toBe(400);
    expect(headers.get("content-type")).toBe("application/problem+json");
    expect(body).toMatchObject({ code: "build.package_not_found", detail: stepFailed.message, fix: stepFailed.fix, retryable: false });
    expect(body.details).toEqual({
      build_id: cluster.builder.last().build.id,
      image_id: cluster.builder.last().image.id,
      step: 0,
      exit_code: 100,
      last_lines: stepFailed.lastLines,
    });
    const kept = await call("GET", `/v1/builds/${body.details.build_id}`);
    expect(kept.body.build).toMatchObject({ state: "failed", failure: { exit_code: 100, last_lines: stepFailed.lastLines } });
  });

  it("streams from its request on, and ends with the image or with the problem", async () => {
    const good = await streamOf("/v1/images", { json: { spec: fresh() } });
    expect(good.map(({ event }) => event)).toEqual(["image"]);
    expect(good[0]?.data).toMatchObject({ image: { state: "ready" } });
    cluster.builder.held = true;
    const bad = streamOf("/v1/images", { json: { spec: fresh() } });
    await eventually(async () => expect(cluster.builder.last().build.state).toBe("building"));
    cluster.builder.finish(cluster.builder.last(), stepFailed);
    expect((await bad).map(({ event }) => event)).toEqual(["state", "state", "problem"]);
    expect((await bad).at(-1)?.data).toMatchObject({ code: "build.package_not_found", details: { exit_code: 100 } });
  });

  it("is followed across a restart of the builder, without an event lost or told twice", async () => {
    cluster.builder.held = true;
    const { body } = await build({ spec: fresh() });
    const work = cluster.builder.last();
    cluster.builder.say(work, { kind: "log", step: 0, stream: "stderr", text: "one" });
    const streaming = streamOf(`/v1/builds/${body.build.id}/events`, { method: "GET" });
    await eventually(async () => expect(cluster.builder.eventReads).toBeGreaterThan(1));
    cluster.builder.away = true;
    cluster.builder.say(work, { kind: "log", step: 0, stream: "stderr", text: "two" });
    setTimeout(() => Object.assign(cluster.builder, { away: false }), 700);
    cluster.builder.finish(work);
    expect((await streaming).map(({ id }) => id)).toEqual(["1", "2", "3", "4"]);
  });

  it("is taken up after the last event that was heard, and read in pages as JSON", async () => {
    const { body } = await build({ spec: fresh() });
    const path = `/v1/builds/${body.build.id}/events`;
    for (const resumed of [
      await streamOf(path, { method: "GET", headers: { "last-event-id": "1" } }),
      await streamOf(`${path}?after=1`, { method: "GET" }),
    ]) {
      expect(resumed.map(({ id }) => id)).toEqual(["2"]);
    }
    const first = await call("GET", `${path}?limit=1`, { headers: { accept: "application/json" } });
    expect(api.BuildEventPage.parse(first.body)).toEqual(first.body);
    expect(first.body).toMatchObject({ ended: false, next_after: 1, events: [{ seq: 1 }] });
    const rest = await call("GET", `${path}?after=1`, { headers: { accept: "application/json" } });
    expect(rest.body).toMatchObject({ ended: true, next_after: 2 });
  });

  it("is cancelled, listed, and not found by others", async () => {
    cluster.builder.held = true;
    const { body } = await build({ spec: fresh() });
    const waiting = build({ spec: cluster.builder.requests.at(-1)?.spec ?? {} }, { headers: { prefer: "wait=30" } });
    await eventually(async () => expect(cluster.builder.requests.length).toBeGreaterThan(1));
    expect(await call("POST", `/v1/builds/${body.build.id}/cancel`)).toMatchObject({ status: 200, body: { state: "cancelled" } });
    expect(await waiting).toMatchObject({ status: 409, body: { code: "build.cancelled" } });
    const listed = await call("GET", `/v1/builds?image=${body.image.id}`);
    expect(api.BuildPage.parse(listed.body)).toEqual(listed.body);
    expect(listed.body.builds.map(({ id }: { id: string }) => id)).toEqual([body.build.id]);
    for (const id of ["nope", newId("bld")]) {
      expect(await call("GET", `/v1/builds/${id}`)).toMatchObject({ status: 404, body: { code: "build.not_found" } });
      expect(await call("GET", `/v1/builds/${id}/events`)).toMatchObject({ status: 404, body: { code: "build.not_found" } });
    }
  });

  it("is only planned with dry_run, which also says how many slots wait", async () => {
    const before = cluster.builder.requests.length;
    const { status, body } = await build({ spec: fresh() }, {}).then(() =>
      call("POST", "/v1/images?dry_run=true", { json: { spec: fresh() } }),
    );
    expect(status).toBe(200);
    expect(api.BuildPlan.strict().parse(body)).toEqual(body);
    expect(body.steps).toEqual([{ index: 0, title: "apt jq", cached: true }]);
    expect(body.warm_slots).toBeGreaterThan(0);
    expect(cluster.builder.requests.length).toBe(before + 1);
  });

  it.each<[string, object, string]>([
    ["metacharacters in a package", { apt: ["jq; rm -rf /"] }, "spec.apt.0"],
    ["an option for a package", { steps: [{ pip: ["--index-url=http://evil"] }] }, "spec.steps.0.pip.0"],
    ["ten thousand packages", { apt: Array.from({ length: 10_000 }, (_, i) => `p${i}`) }, "spec.apt"],
    [
      "a path out of the context",
      { steps: [{ copy: { context: `sha256:${"0".repeat(64)}`, from: "../etc", to: "/x" } }] },
      "spec.steps.0.copy.from",
    ],
    ["a base of a URL's length", { base: "x".repeat(300) }, "spec.base"],
    ["steps beside a Dockerfile", { dockerfile: "FROM scratch", apt: ["jq"] }, "spec"],
    ["two ready checks in one", { ready: { port: 1, file: "/x" } }, "spec.ready"],
    ["an unknown field", { colour: "red" }, "spec.colour"],
  ])("is refused before any work for %s", async (_what, spec, path) => {
    const before = cluster.builder.requests.length;
    const { status, body } = await build({ spec });
    expect(status).toBe(422);
    expect(body.details.issues.map((issue: { path: string }) => issue.path)).toContain(path);
    expect(cluster.builder.requests).toHaveLength(before);
  });
});

describe("a sandbox of a spec", () => {
  it("is made at once where the image is there, by its id", async () => {
    const spec = fresh();
    const { body } = await build({ spec });
    const made = await call("POST", "/v1/sandboxes", { json: { image: spec } });
    expect(made).toMatchObject({ status: 201, body: { state: "running", image: body.image.id } });
  });

  it("waits for the build, and tells of it on the way", async () => {
    cluster.builder.held = true;
    const streaming = streamOf("/v1/sandboxes", { json: { image: fresh() } });
    await eventually(async () => expect(cluster.builder.last().build.state).toBe("building"));
    cluster.builder.say(cluster.builder.last(), { kind: "log", step: 0, stream: "stdout", text: "x" });
    cluster.builder.finish(cluster.builder.last());
    const events = await streaming;
    expect(events.map(({ event }) => event)).toEqual(["state", "log", "state", "sandbox"]);
    expect(api.StartedSandbox.strict().parse(events.at(-1)?.data)).toEqual(events.at(-1)?.data);
  });

  it("answers 202 when the wait ends before, and the same request makes one sandbox later", async () => {
    cluster.builder.held = true;
    const json = { image: fresh(), labels: { late: "yes" } };
    const headers = { "idempotency-key": newId("req"), prefer: "wait=1" };
    const early = await call("POST", "/v1/sandboxes", { json, headers });
    expect(early.status).toBe(202);
    expect(api.PendingSandbox.strict().parse(early.body)).toEqual(early.body);
    expect(early.body.fix).toContain("Idempotency-Key");
    cluster.builder.finish(cluster.builder.last());
    const late = await call("POST", "/v1/sandboxes", { json, headers });
    const again = await call("POST", "/v1/sandboxes", { json, headers });
    expect([late.status, again.status]).toEqual([201, 201]);
    expect(again.body.id).toBe(late.body.id);
    expect((await call("GET", "/v1/sandboxes?label=late=yes")).body.sandboxes).toHaveLength(1);
  });

  it("is not made where the build fails", async () => {
    cluster.builder.failure = stepFailed;
    const held = cluster.node.sandboxes.size;
    const answer = await call("POST", "/v1/sandboxes", { json: { image: fresh() } });
    expect(answer).toMatchObject({ status: 400, body: { code: "build.package_not_found", details: { exit_code: 100 } } });
    const events = await streamOf("/v1/sandboxes", { json: { image: fresh() } });
    expect(events.at(-1)).toMatchObject({ event: "problem", data: { code: "build.package_not_found" } });
    expect(cluster.node.sandboxes.size).toBe(held);
  });

  it("has the image's resources where its own limits do not say", async () => {
    cluster.builder.config = { resources: { memoryMb: 2_048, cpu: 2 } };
    const spec = fresh();
    const { body } = await call("POST", "/v1/sandboxes", { json: { image: spec, limits: { cpu: 0.5 } } });
    expect(body.limits).toMatchObject({ cpu: 0.5, memory_mb: 2_048, disk_mb: 10_240 });
    const byName = await call("POST", "/v1/sandboxes", { json: { image: body.image } });
    expect(byName.body.limits).toMatchObject({ cpu: 2, memory_mb: 2_048 });
  });

  it("is deleted where its ready check does not pass, unless it is to be kept", async () => {
    cluster.builder.config = { ready: { file: "/ready", timeout_ms: 200 } };
    const spec = fresh();
    const gone = await call("POST", "/v1/sandboxes", { json: { image: spec } });
    expect(gone).toMatchObject({
      status: 400,
      body: { code: "sandbox.ready_failed", details: { kept: false, check: { file: "/ready" } } },
    });
    expect(gone.body.details.seen).not.toBe("");
    expect((await call("GET", `/v1/sandboxes/${gone.body.details.sandbox_id}`)).status).toBe(404);
    const kept = await call("POST", "/v1/sandboxes", { json: { image: spec, on_unready: "keep" } });
    expect(kept.body).toMatchObject({ code: "sandbox.ready_failed", details: { kept: true } });
    expect(await call("GET", `/v1/sandboxes/${kept.body.details.sandbox_id}`)).toMatchObject({ body: { state: "running" } });
  });
});

describe("secrets", () => {
  it("reach the builder, and nothing of them the database", async () => {
    const secret = `s3cret-${randomBytes(8).toString("hex")}`;
    const key = newId("req");
    const steps = [{ run: `echo ${++nr}`, secrets: ["TOKEN"] }];
    const headers = { "idempotency-key": key };
    expect((await call("POST", "/v1/images", { json: { spec: { steps }, secrets: { TOKEN: secret } }, headers })).status).toBe(200);
    expect(cluster.builder.requests.at(-1)?.secrets).toEqual({ TOKEN: secret });
    const json = { image: { steps }, secrets: { TOKEN: secret } };
    expect((await call("POST", "/v1/sandboxes", { json, headers })).status).toBe(201);
    const other = await call("POST", "/v1/sandboxes", { json: { ...json, secrets: { TOKEN: "another" } }, headers });
    expect(other.headers.get("idempotency-replayed"), "no fingerprint is made of a secret").toBe("true");
    await call("PUT", "/v1/registries/registry.example", {
      json: { username: "u", password: secret },
      headers: { "idempotency-key": newId("req") },
    });
    const sql = postgres(cluster.gatewayConfig.databaseUrl, { max: 1, connection: { search_path: "gateway" } });
    const rows = await sql`select * from idempotency_keys`;
    await sql.end();
    expect(rows.length).toBeGreaterThan(0);
    expect(JSON.stringify(rows)).not.toContain(secret);
  });
});
