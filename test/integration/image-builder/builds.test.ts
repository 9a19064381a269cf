import {
  type BuildEvent,
  ImageSpec,
  type ImageSpecInput,
  ListBuilds,
  layerBlob,
  PlanBuild,
  ReadBuildEvents,
  ResolveImage,
} from "@banyan/contracts";
import { newId } from "@banyan/kernel";
import { afterAll, beforeAll, expect, it } from "vitest";
import { BuilderHarness } from "./builder-harness.ts";

let harness: BuilderHarness;
beforeAll(async () => {
  harness = await BuilderHarness.open();
  await harness.start();
});
afterAll(async () => {
  await harness?.close();
});

/** A text of this run, so that the engine has kept nothing like it. */
const fresh = () => newId("req");
const statesOf = (events: readonly BuildEvent[]) => events.flatMap(({ event }) => (event.kind === "state" ? [event.state] : []));
const logOf = (events: readonly BuildEvent[]) => events.flatMap(({ event }) => (event.kind === "log" ? [event.text] : []));

it("builds a spec, says what happens on the way, and gives the image its name at the end", async () => {
  const word = fresh();
  const spec = {
    env: { GREETING: word },
    files: [{ path: "/etc/greeting", content: word }],
    commands: ["cat /etc/greeting", "echo $GREETING >&2"],
  };
  const { build, image } = await harness.request(spec, { name: "greeter" });
  expect(build).toMatchObject({ state: "queued", cached: false, attempts: 0, steps: [{ state: "waiting" }, {}, {}] });
  expect(image).toMatchObject({
    state: "building",
    kind: "build",
    base: { reference: "default", pinnedTo: expect.stringMatching(/^img_/) },
  });
  const ended = await harness.ended(build);
  expect(ended.build).toMatchObject({
    state: "ready",
    attempts: 1,
    failure: null,
    steps: [{ state: "done" }, { state: "done" }, { state: "done" }],
  });
  expect(ended.image).toMatchObject({
    state: "ready",
    names: ["greeter:latest"],
    config: { env: { GREETING: word }, workdir: "/workspace" },
  });
  expect(ended.image.layers.length).toBeGreaterThan(1);
  for (const { digest } of ended.image.layers) expect(await harness.bus.blobs.has(layerBlob(digest))).toBe(true);

  const events = await harness.events(build);
  expect(events.map(({ seq }) => seq)).toEqual(events.map((_, index) => index + 1));
  expect(statesOf(events)).toEqual(["queued", "building", "exporting", "ready"]);
  expect(events).toContainEqual(expect.objectContaining({ event: { kind: "log", step: 1, stream: "stdout", text: word } }));
  expect(events).toContainEqual(expect.objectContaining({ event: { kind: "log", step: 2, stream: "stderr", text: word } }));
  const resolved = await harness.bus.call(ResolveImage, { orgId: harness.orgId, name: "greeter:latest" });
  expect(resolved.image.id).toBe(image.id);
});

it("does the work once for fifty that ask at the same time", async () => {
  const spec = { commands: [`echo ${fresh()}`] };
  const asked = await Promise.all(Array.from({ length: 50 }, () => harness.request(spec)));
  expect(new Set(asked.map(({ image }) => image.id)).size).toBe(1);
  expect(new Set(asked.map(({ build }) => build.id)).size).toBe(1);
  const [first] = asked;
  const { build } = await harness.ended((first as (typeof asked)[number]).build);
  expect(build).toMatchObject({ state: "ready", attempts: 1 });
  expect(statesOf(await harness.events(build)).filter((state) => state === "building")).toHaveLength(1);
});

it("answers an unchanged spec from what is there, however its keys are ordered, and gives it a further name", async () => {
  const word = fresh();
  const first = await harness.build({ env: { A: word, B: "2" }, commands: ["true"] });
  const again = await harness.request({ commands: ["true"], env: { B: "2", A: word } }, { name: "again:v1" });
  expect(again.build).toMatchObject({ id: first.build.id, state: "ready", cached: true });
  expect(again.image).toMatchObject({ id: first.image.id, names: ["again:v1"] });
  const { builds } = await harness.bus.call(ListBuilds, { orgId: harness.orgId, imageId: first.image.id, cursor: null, limit: 10 });
  expect(builds).toHaveLength(1);
});

it("carries out a changed last step alone", async () => {
  const word = fresh();
  await harness.build({ commands: [`echo ${word}`, "echo one"] });
  const { build } = await harness.build({ commands: [`echo ${word}`, "echo two"] });
  expect(build.steps.map(({ state }) => state)).toEqual(["cached", "done"]);
});

it("plans without building: what is kept, what it takes", async () => {
  const word = fresh();
  const plan = (spec: object) => harness.bus.call(PlanBuild, { orgId: harness.orgId, spec: ImageSpec.parse(spec) });
  const before = await plan({ commands: [`echo ${word}`] });
  expect(before).toMatchObject({ cached: false, imageId: null, steps: [{ title: `run echo ${word}`, cached: false }] });
  const { image } = await harness.build({ commands: [`echo ${word}`] });
  expect(await plan({ commands: [`echo ${word}`] })).toMatchObject({ cached: true, imageId: image.id, estimatedMs: 0 });
  const longer = await plan({ commands: [`echo ${word}`, "true"] });
  expect(longer.steps.map(({ cached }) => cached)).toEqual([true, false]);
  expect(longer.estimatedMs).toBeGreaterThan(0);
  expect(longer.base).toMatchObject({ reference: "default" });
});

it("names the step that failed and why, answers the same for a while, and builds again when told to", async () => {
  const word = fresh();
  const spec = { commands: ["true", `echo ${word}; exit 3`] };
  const failed = await harness.build(spec);
  expect(failed.build).toMatchObject({
    state: "failed",
    failure: { code: "build.step_failed", step: 1, exitCode: 3, lastLines: [word] },
    steps: [{ state: expect.stringMatching(/done|cached/) }, { state: "failed", exitCode: 3 }],
  });
  expect(failed.image).toMatchObject({ state: "failed" });
  await expect(harness.bus.call(ResolveImage, { orgId: harness.orgId, name: failed.image.id })).rejects.toMatchObject({
    code: "image.build_failed",
  });
  expect((await harness.request(spec)).build).toMatchObject({ id: failed.build.id, state: "failed" });
  const forced = await harness.request(spec, { force: true });
  expect(forced.build.id).not.toBe(failed.build.id);
  expect(forced.image.id).toBe(failed.image.id);
  expect((await harness.ended(forced.build)).build.state).toBe("failed");
});

it("cancels a build that runs, and one that waits", async () => {
  const spec = (word: string) => ({ commands: [`echo begun; sleep 600; echo ${word}`] });
  const running = await Promise.all([harness.request(spec(fresh())), harness.request(spec(fresh()))]);
  for (const { build } of running) await harness.says(build, "begun");
  const waiting = await harness.request(spec(fresh()));
  expect((await harness.cancel(waiting.build)).build.state).toBe("cancelled");
  for (const { build } of running) await harness.cancel(build);
  for (const { build } of running) {
    const ended = await harness.ended(build);
    expect(ended.build).toMatchObject({ state: "cancelled", steps: [{ state: "failed" }] });
    expect(ended.image.state).toBe("failed");
  }
  // Of one that has ended, cancelling changes nothing.
  expect((await harness.cancel(waiting.build)).build.state).toBe("cancelled");
});

it("takes a new try after a cancelled one at once", async () => {
  const spec = { commands: [`echo begun; sleep 5; echo ${fresh()}`] };
  const first = await harness.request(spec);
  await harness.says(first.build, "begun");
  await harness.cancel(first.build);
  await harness.ended(first.build);
  const second = await harness.request(spec);
  expect(second.build.id).not.toBe(first.build.id);
  expect((await harness.ended(second.build)).build.state).toBe("ready");
});

it("ends a build at its deadline", async () => {
  const { build } = await harness.build({ commands: ["echo begun; sleep 600"], timeout_s: 2 });
  expect(build).toMatchObject({ state: "failed", failure: { code: "build.timeout", lastLines: ["begun"] } });
});

it("keeps secrets out of the log, the failure and the database", async () => {
  const secret = `secret-${fresh()}`;
  const step = { run: 'echo "token is $TOKEN"; cat /run/secrets/TOKEN; exit 1', secrets: ["TOKEN"] };
  const { build } = await harness.request({ steps: [{ run: `echo ${fresh()}; sleep 1` }, step] }, { secrets: { TOKEN: secret } });
  const inRow = await harness.sql`select b::text as row from builds b where id = ${build.id}`;
  expect(inRow[0]?.row).not.toContain(secret);
  const ended = await harness.ended(build);
  const events = await harness.events(build);
  expect(logOf(events)).toContain("token is ***");
  expect(JSON.stringify([ended, events])).not.toContain(secret);
  const [row] = await harness.sql`select secrets_sealed from builds where id = ${build.id}`;
  expect(row?.secrets_sealed).toBeNull();
});

it("lets a reader wait for what happens next, and tells it when nothing more will come", async () => {
  const { build } = await harness.request({ commands: [`echo ${fresh()}`] });
  let after = 0;
  let reads = 0;
  for (let ended = false; !ended; reads++) {
    const read = await harness.bus.call(ReadBuildEvents, { orgId: harness.orgId, buildId: build.id, after, limit: 3, waitMs: 10_000 });
    for (const { seq } of read.events) expect(seq).toBe(++after);
    ended = read.ended;
  }
  expect(reads).toBeGreaterThan(1);
  expect(statesOf(await harness.events(build)).at(-1)).toBe("ready");
});

it("refuses before any work what cannot be built", async () => {
  const nowhere = `sha256:${"0".repeat(64)}`;
  const refusals: [ImageSpecInput, string][] = [
    [{ base: "no-such-image" }, "image.not_found"],
    [{ base: { rootfs: nowhere } }, "context.not_found"],
    [{ steps: [{ copy: { context: nowhere, to: "/x" } }] }, "context.not_found"],
    [{ steps: [{ run: "x", secrets: ["TOKEN"] }] }, "request.invalid"],
    [{ commands: Array.from({ length: 100 }, () => "true"), apt: ["jq"] }, "request.invalid"],
    [{ dockerfile: "FROM no-such-image\n" }, "image.not_found"],
  ];
  for (const [spec, code] of refusals) await expect(harness.request(spec)).rejects.toMatchObject({ code });
});

it("shows one organisation nothing of another's", async () => {
  const { build, image } = await harness.build({ commands: [`echo ${fresh()}`] }, { name: "mine" });
  const stranger = newId("org");
  const asStranger = { orgId: stranger, buildId: build.id };
  await expect(harness.bus.call(ReadBuildEvents, { ...asStranger, after: 0, limit: 1, waitMs: 0 })).rejects.toMatchObject({
    code: "build.not_found",
  });
  await expect(harness.bus.call(ResolveImage, { orgId: stranger, name: image.id })).rejects.toMatchObject({ code: "image.not_found" });
  await expect(harness.bus.call(ResolveImage, { orgId: stranger, name: "mine" })).rejects.toMatchObject({ code: "image.not_found" });
  await expect(harness.request({ base: "mine" }, { orgId: stranger })).rejects.toMatchObject({ code: "image.not_found" });
});

it("builds upon an image that was built, by its name, and not upon itself", async () => {
  const word = fresh();
  const below = await harness.build({ commands: [`echo ${word} > /below`] }, { name: "tower" });
  const above = await harness.build({ base: "tower", commands: ["cat /below"] }, { name: "tower" });
  expect(logOf(await harness.events(above.build))).toContain(word);
  expect(above.image).toMatchObject({ base: { reference: "tower", pinnedTo: below.image.id }, names: ["tower:latest"] });
  expect(above.image.layers.slice(0, below.image.layers.length)).toEqual(below.image.layers);
  // The name has moved: what stood on the old one still stands on it.
  const { image } = await harness.bus.call(ResolveImage, { orgId: harness.orgId, name: below.image.id });
  expect(image.names).toEqual([]);
});
