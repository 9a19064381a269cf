import { join } from "node:path";
import { newId } from "@banyan/kernel";
import type { RunningService } from "@banyan/service";
import { eventually } from "@banyan/testkit";
import { afterEach, beforeEach, expect, it } from "vitest";
import { BuilderHarness } from "./builder-harness.ts";

const BUILDS = { perOrgAtOnce: 2, unfinishedMax: 100, memoryMb: 512, cpu: 2 };

let harness: BuilderHarness;
beforeEach(async () => {
  harness = await BuilderHarness.open();
});
afterEach(async () => {
  await harness?.close();
});

const start = (builds = {}): Promise<RunningService> => harness.start({ builds: { ...BUILDS, atOnce: 2, ...builds } });
const slow = (seconds = 4) => ({ commands: [`echo begun; sleep ${seconds}; echo ${newId("req")}`] });

it("takes a build up again after a restart, with its secrets", async () => {
  const first = await start();
  const run = `echo begun; sleep 4; test "$TOKEN" = "s3cret-token" && echo ${newId("req")}`;
  const { build } = await harness.request({ steps: [{ run, secrets: ["TOKEN"] }] }, { secrets: { TOKEN: "s3cret-token" } });
  await harness.says(build, "begun");
  await harness.stop(first);
  const [row] = await harness.sql`select state, holder from builds where id = ${build.id}`;
  expect(row).toEqual({ state: "queued", holder: null });
  await start();
  expect((await harness.ended(build)).build).toMatchObject({ state: "ready", attempts: 2 });
});

it("takes up what a killed builder has left, and leaves nothing of it behind", async () => {
  const killed = harness.startProcess();
  const { build } = await eventually(() => harness.request(slow()), { timeoutMs: 60_000 });
  await harness.says(build, "begun");
  await killed.kill();
  await start();
  const ended = await harness.ended(build);
  expect(ended.build).toMatchObject({ state: "ready", attempts: 2 });
  const seqs = (await harness.events(build)).map(({ seq }) => seq);
  expect(seqs).toEqual(seqs.map((_, index) => index + 1));
});

it("gives up a build whose builders are lost again and again", async () => {
  await start();
  const { build } = await harness.request(slow(600));
  await harness.says(build, "begun");
  // As if three builders had been lost with it, and this one too: nobody renews what is another execution's.
  await harness.sql`update builds set attempts = 4, lease_until = now() - interval '1 minute' where id = ${build.id}`;
  const { build: ended, image } = await harness.ended(build);
  expect(ended).toMatchObject({ state: "failed", failure: { code: "build.interrupted" } });
  expect(image.state).toBe("failed");
});

it("lets an organisation with one build go before another's many", async () => {
  await start({ atOnce: 1, perOrgAtOnce: 1 });
  const many = [];
  for (let i = 0; i < 4; i++) many.push(await harness.request({ commands: [`echo begun; sleep 1; echo ${newId("req")}`] }));
  const other = await harness.request({ commands: [`echo ${newId("req")}`] }, { orgId: newId("org") });
  const ended = await Promise.all([...many, other].map(({ build }) => harness.ended(build)));
  expect(ended.every(({ build }) => build.state === "ready")).toBe(true);
  const started = ended.map(({ build }) => build.startedAt ?? 0);
  const before = started.slice(0, -1).filter((at) => at < (started.at(-1) ?? 0));
  expect(before.length).toBeLessThanOrEqual(2);
});

it("runs no more builds of an organisation at once than it may, and all of them in the end", async () => {
  await start({ atOnce: 3, perOrgAtOnce: 1 });
  const asked = await Promise.all(Array.from({ length: 3 }, () => harness.request(slow(1))));
  const ended = await Promise.all(asked.map(({ build }) => harness.ended(build)));
  const spans = ended.map(({ build }) => [build.startedAt ?? 0, build.endedAt ?? 0] as const).toSorted(([a], [b]) => a - b);
  for (const [index, [startedAt]] of spans.slice(1).entries()) expect(startedAt).toBeGreaterThanOrEqual(spans[index]?.[1] ?? 0);
});

it("lets only so many builds of an organisation wait", async () => {
  await start({ unfinishedMax: 2 });
  await harness.request(slow());
  await harness.request(slow());
  await expect(harness.request(slow())).rejects.toMatchObject({ code: "build.too_many" });
});

it("carries a cancel to the builder that runs the build", async () => {
  const one = await start({ atOnce: 1 });
  const { build } = await harness.request(slow(600));
  await harness.says(build, "begun");
  // Whichever of the two answers, the one that runs it must hear of it.
  await harness.start({ builds: { ...BUILDS, atOnce: 1 }, buildDir: join(harness.directory, "other") });
  for (let i = 0; i < 4; i++) await harness.cancel(build);
  expect((await harness.ended(build)).build.state).toBe("cancelled");
  await harness.stop(one);
});
