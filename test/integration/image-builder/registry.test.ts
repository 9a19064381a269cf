import { type AddressInfo, createServer } from "node:net";
import { DeleteRegistry, ListImages, ListRegistries, SaveRegistry } from "@banyan/contracts";
import { newId } from "@banyan/kernel";
import { openDocker } from "@banyan/runtime";
import { createLogger } from "@banyan/telemetry";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { BuilderHarness } from "./builder-harness.ts";
import { PASSWORD, TestRegistry, USERNAME } from "./test-registry.ts";

/** No pin outlives its request: a tag that moved is seen by the next one. */
const PIN_MS = 0;

const said: string[] = [];
let harness: BuilderHarness;
let registry: TestRegistry;
beforeAll(async () => {
  [harness, registry] = await Promise.all([BuilderHarness.open(), TestRegistry.open(openDocker(process.env.DOCKER_HOST ?? ""))]);
  const logger = createLogger({ name: "test", level: "debug", destination: { write: (line) => void said.push(line) } });
  await harness.start({ registry: "auto", pinMs: PIN_MS }, logger);
});
afterAll(async () => {
  await harness?.close();
  await registry?.close();
});
afterEach(async () => {
  const { registries } = await harness.bus.call(ListRegistries, { orgId: harness.orgId });
  for (const { host } of registries) await harness.bus.call(DeleteRegistry, { orgId: harness.orgId, host });
});

const save = (password = PASSWORD, orgId = harness.orgId) =>
  harness.bus.call(SaveRegistry, { orgId, host: registry.host, username: USERNAME, password });
/** A step that says what the base holds. */
const show = { run: 'read -r content < /content; echo "it holds $content"', network: "closed" } as const;
const specOn = (name: string, note: string) => ({ base: `${registry.host}/${name}`, env: { NOTE: note }, steps: [show] });
const imagesOf = async (orgId: string) =>
  (await harness.bus.call(ListImages, { orgId, cursor: null, limit: 10 })).images.filter((image) => image.orgId !== null);

it("builds on a private image by its tag, pulled by the digest it was pinned to", async () => {
  const digest = await registry.push("private/thing:1", "one");
  await save();
  const { build, image } = await harness.build(specOn("private/thing:1", "by tag"));
  const pinnedTo = `${registry.host}/private/thing@${digest}`;
  expect(build).toMatchObject({ state: "ready", failure: null });
  expect(image.base).toEqual({ reference: `${registry.host}/private/thing:1`, pinnedTo });
  expect(await registry.isPulled(pinnedTo)).toBe(true);
  await harness.says(build, "it holds one");
});

it("builds a Dockerfile FROM a private image", async () => {
  const digest = await registry.push("private/from:1", "for a Dockerfile");
  await save();
  const dockerfile = `FROM ${registry.host}/private/from:1\nRUN read -r content < /content; echo "it holds $content"\n`;
  const { build, image } = await harness.build({ dockerfile, network: "closed" });
  expect(build).toMatchObject({ state: "ready", failure: null });
  expect(image.base?.pinnedTo).toBe(`${registry.host}/private/from@${digest}`);
  await harness.says(build, "it holds for a Dockerfile");
});

it("refuses what the registry refuses before any work: no credentials, wrong ones, another organisation's", async () => {
  await registry.push("private/secret:1", "secret");
  const orgId = newId("org");
  const request = () => harness.request(specOn("private/secret:1", "refused"), { orgId });
  const denied = { code: "registry.denied", details: { reference: `${registry.host}/private/secret:1` } };
  await expect(request()).rejects.toMatchObject(denied);
  await save("wrong", orgId);
  await expect(request()).rejects.toMatchObject(denied);
  await save(PASSWORD);
  await expect(request()).rejects.toMatchObject(denied);
  const dockerfile = `FROM ${registry.host}/private/secret:1\n`;
  await expect(harness.request({ dockerfile }, { orgId })).rejects.toMatchObject(denied);
  expect(await imagesOf(orgId)).toEqual([]);
  expect(await harness.sql`select id from builds where org_id = ${orgId}`).toHaveLength(0);
});

it("says which tag the registry does not have", async () => {
  await registry.push("private/tagged:1", "tagged");
  await save();
  const refusal = await harness.request(specOn("private/tagged:2", "unknown")).catch((thrown) => thrown);
  expect(refusal).toMatchObject({
    code: "registry.denied",
    message: expect.stringMatching(/private\/tagged:2 cannot be pulled: .*(unknown|not found)/),
  });
});

it("follows a tag that moves, and keeps to a digest that does not", async () => {
  const first = await registry.push("private/moving:1", "before");
  await save();
  const byTag = await harness.build(specOn("private/moving:1", "moving"));
  const byDigest = await harness.build(specOn(`private/moving@${first}`, "moving"));
  const second = await registry.push("private/moving:1", "after");
  const afterwards = await harness.build(specOn("private/moving:1", "moving"));
  expect(second).not.toBe(first);
  await harness.says(afterwards.build, "it holds after");
  expect(afterwards.image.id).not.toBe(byTag.image.id);
  expect(afterwards.image.base?.pinnedTo).toBe(`${registry.host}/private/moving@${second}`);
  const again = await harness.request(specOn(`private/moving@${first}`, "moving"));
  expect(again).toMatchObject({
    build: { cached: true },
    image: { id: byDigest.image.id, base: byTag.image.base && { pinnedTo: byTag.image.base.pinnedTo } },
  });
});

it("says that a registry does not answer, and builds once it does", async () => {
  await registry.push("private/away:1", "back again");
  await save();
  await registry.stop();
  try {
    await expect(harness.request(specOn("private/away:1", "away"))).rejects.toMatchObject({
      code: "registry.unavailable",
      kind: "unavailable",
    });
  } finally {
    await registry.start();
  }
  const { build } = await harness.build(specOn("private/away:1", "away"));
  expect(build.state).toBe("ready");
});

it("gives up on a registry that says nothing while its caller still waits", async () => {
  const silent = createServer((socket) => void socket.on("error", () => socket.destroy()));
  await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
  const { port } = silent.address() as AddressInfo;
  try {
    await expect(harness.request({ base: `127.0.0.1:${port}/private/thing:1` })).rejects.toMatchObject({ code: "registry.unavailable" });
  } finally {
    silent.close();
  }
});

it("writes the password into no row and no log", async () => {
  const tables = await harness.sql<
    { name: string }[]
  >`select table_name as name from information_schema.tables where table_schema = 'image_builder'`;
  await save();
  const rows: unknown[] = [];
  for (const { name } of tables) rows.push(...(await harness.sql`select t::text as row from ${harness.sql(name)} t`));
  const written = JSON.stringify(rows) + said.join("");
  expect(written).toContain(registry.host);
  for (const form of [PASSWORD, Buffer.from(PASSWORD).toString("base64"), Buffer.from(`${USERNAME}:${PASSWORD}`).toString("base64")])
    expect(written).not.toContain(form);
});
