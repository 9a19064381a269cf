import { createHash, randomBytes } from "node:crypto";
import { api, contextBlob } from "@banyan/contracts";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Answer, BOOTSTRAP_KEY, type Cluster, caller, startCluster } from "./cluster.ts";

let cluster: Cluster;
let call: ReturnType<typeof caller>;
beforeAll(async () => {
  cluster = await startCluster();
  call = caller(cluster.url);
});
afterAll(() => cluster.stop());

const build = (spec: object) => call("POST", "/v1/images", { json: { spec } });

describe("an image", () => {
  let nr = 0;
  /** Never built before. */
  const ready = async (): Promise<Answer["body"]> => (await build({ apt: ["jq"], commands: [`echo ${++nr}`] })).body.image;

  it("is listed by kind, and shown whole by id or name", async () => {
    const { id } = await ready();
    const listed = await call("GET", "/v1/images?kind=build&limit=200");
    expect(api.ImagePage.strict().parse(listed.body)).toEqual(listed.body);
    expect(listed.body.images.map((image: { id: string }) => image.id)).toContain(id);
    expect(listed.body.images.every((image: { kind: string }) => image.kind === "build")).toBe(true);
    const shown = await call("GET", "/v1/images/default");
    expect(api.ImageDetails.strict().parse(shown.body)).toEqual(shown.body);
    expect(shown.body).toMatchObject({ names: ["default:latest"], history: [{ title: "apt jq" }], config: { workdir: "/workspace" } });
  });

  it("takes names from others, gives them up, and goes", async () => {
    const [first, second] = [await ready(), await ready()];
    expect(await call("PUT", `/v1/images/${first.id}/names`, { json: { name: "moving" } })).toMatchObject({
      body: { names: ["moving:latest"] },
    });
    await call("PUT", `/v1/images/${second.id}/names`, { json: { name: "moving" } });
    expect((await call("GET", "/v1/images/moving")).body.id).toBe(second.id);
    expect((await call("DELETE", `/v1/images/${first.id}/names?name=moving`)).status, "it is another's name now").toBe(404);
    expect((await call("DELETE", `/v1/images/${second.id}/names?name=moving`)).status).toBe(204);
    expect((await call("DELETE", `/v1/images/${second.id}`)).status).toBe(204);
    expect(await call("GET", `/v1/images/${second.id}`)).toMatchObject({ status: 404, body: { code: "image.not_found" } });
  });

  it("is not deleted while it is in use, nor by a name, nor when it is everybody's", async () => {
    const { id } = await ready();
    await call("PUT", `/v1/images/${id}/names`, { json: { name: "busy" } });
    const refused = await call("DELETE", `/v1/images/${id}`);
    expect(refused).toMatchObject({ status: 409, body: { code: "image.in_use" } });
    expect(refused.body.details.used_by).toHaveLength(1);
    expect((await call("DELETE", "/v1/images/busy")).status).toBe(404);
    const { body } = await call("GET", "/v1/images/default");
    expect(await call("DELETE", `/v1/images/${body.id}`)).toMatchObject({ status: 403, body: { code: "image.protected" } });
  });

  it("keeps credentials of registries without ever showing a password", async () => {
    const saved = await call("PUT", "/v1/registries/registry.example:5000", { json: { username: "ci", password: "hunter2" } });
    expect(saved).toMatchObject({ status: 200, body: { host: "registry.example:5000", username: "ci" } });
    const listed = await call("GET", "/v1/registries");
    expect(api.RegistryList.strict().parse(listed.body)).toEqual(listed.body);
    expect(JSON.stringify([saved.body, listed.body])).not.toContain("hunter2");
    expect((await call("DELETE", "/v1/registries/registry.example:5000")).status).toBe(204);
    expect(await call("DELETE", "/v1/registries/registry.example:5000")).toMatchObject({
      status: 404,
      body: { code: "registry.not_found" },
    });
    expect((await call("PUT", "/v1/registries/not%20a%20host", { json: { username: "u", password: "p" } })).status).toBe(422);
  });
});

describe("a context", () => {
  const digestOf = (bytes: Uint8Array) => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
  const orgId = async () => (await call("GET", "/v1/usage")).body.organisation.id as string;

  it("is uploaded under the digest of its bytes, and then there", async () => {
    const bytes = randomBytes(3_000_000);
    const path = `/v1/contexts/${digestOf(bytes)}`;
    expect((await call("HEAD", path)).status).toBe(404);
    expect(await call("PUT", path, { raw: bytes })).toMatchObject({
      status: 201,
      body: { digest: digestOf(bytes), size_bytes: bytes.length },
    });
    expect((await call("HEAD", path)).status).toBe(200);
    expect(await call("PUT", path, { raw: bytes })).toMatchObject({ status: 200, body: { size_bytes: bytes.length } });
    const copied = await build({ steps: [{ copy: { context: digestOf(bytes), to: "/app" } }] });
    expect(copied.status).toBe(200);
  });

  it("of other bytes than it says is refused, and nothing of it stays", async () => {
    const digest = digestOf(randomBytes(8));
    const refused = await call("PUT", `/v1/contexts/${digest}`, { raw: randomBytes(2_000_000) });
    expect(refused).toMatchObject({ status: 400, body: { code: "context.refused" } });
    expect((await call("HEAD", `/v1/contexts/${digest}`)).status).toBe(404);
    expect(await cluster.bus.blobs.has(contextBlob(await orgId(), digest))).toBe(false);
  });

  it("that breaks off leaves nothing", async () => {
    const bytes = randomBytes(2_000_000);
    const leaving = new AbortController();
    async function* half() {
      yield bytes.subarray(0, 1_000_000);
      leaving.abort();
      yield bytes.subarray(1_000_000);
    }
    const sending = fetch(`${cluster.url}/v1/contexts/${digestOf(bytes)}`, {
      method: "PUT",
      headers: { authorization: `Bearer ${BOOTSTRAP_KEY}` },
      body: ReadableStream.from(half()),
      duplex: "half",
      signal: leaving.signal,
    } as RequestInit);
    await expect(sending).rejects.toThrow();
    expect((await call("HEAD", `/v1/contexts/${digestOf(bytes)}`)).status).toBe(404);
    expect((await call("PUT", `/v1/contexts/${digestOf(bytes)}`, { raw: bytes })).status).toBe(201);
  });

  it("is its organisation's own, and named by nothing but a digest", async () => {
    const bytes = randomBytes(100);
    await call("PUT", `/v1/contexts/${digestOf(bytes)}`, { raw: bytes });
    await call("POST", "/v1/organisations", { json: { name: "contexts" } });
    const { body } = await call("POST", "/v1/keys", { json: { name: "theirs", organisation: "contexts" } });
    expect((await call("HEAD", `/v1/contexts/${digestOf(bytes)}`, { key: body.key })).status).toBe(404);
    expect(await call("PUT", "/v1/contexts/..%2F..%2Flayers", { raw: bytes })).toMatchObject({
      status: 422,
      body: { code: "request.invalid" },
    });
    expect((await call("PUT", `/v1/contexts/${digestOf(bytes)}`, { raw: bytes, key: null })).status).toBe(401);
    expect(await build({ steps: [{ copy: { context: `sha256:${"a".repeat(64)}`, to: "/" } }] })).toMatchObject({
      body: { code: "context.not_found" },
    });
  });
});
