import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLogger } from "@banyan/kernel";
import { type EmbeddedDocker, startDockerEngine } from "@banyan/service";
import { eventually } from "@banyan/testkit";
import { afterAll, beforeAll, expect, it } from "vitest";
import { BuildHarness, statesOf } from "./build-harness.ts";

/** An engine of its own, as Banyan starts one: without Docker's bridge and without Docker's rules. It is killed, and emptied. */
let dataDir: string;
let docker: EmbeddedDocker;
let harness: BuildHarness;
beforeAll(async () => {
  dataDir = mkdtempSync(join(tmpdir(), "banyan-engine-"));
  docker = await startDockerEngine({ dataDir, logger: silentLogger });
  harness = await BuildHarness.open(docker.host);
});
afterAll(async () => {
  await harness?.close();
  await docker?.stop();
  rmSync(dataDir, { recursive: true, force: true });
});

it("reaches the archive where Docker brings no network of its own", async () => {
  const { result } = await harness.build({ commands: ["apt-get update > /log 2>&1", "grep -q Packages /log"] });
  const root = await harness.mount(result.layers);
  expect(readFileSync(join(root, "log"), "utf8")).toMatch(/^Get:/m);
});

it("fails as something to try again when the engine dies under a step, and goes on where it was afterwards", async () => {
  const spec = { commands: ["echo kept > /kept", "echo begun; sleep 5; echo done > /done"] };
  const building = harness.build(spec, {
    onSaid: (said) => said.kind === "log" && said.text === "begun" && process.kill(docker.pid, "SIGKILL"),
  });
  await expect(building).rejects.toMatchObject({ code: "build.engine_unavailable", kind: "unavailable" });
  docker = await eventually(() => startDockerEngine({ dataDir, logger: silentLogger }), { timeoutMs: 30_000 });
  expect(await harness.engine.removeLeftovers()).toBe(1);
  const { said } = await harness.build(spec);
  expect(Object.values(statesOf(said))).toEqual(["cached", "done"]);
});

it("forgets engine images that nobody has used, and none of a build under way", async () => {
  const spec = { commands: ["echo old > /old"] };
  const key = harness.plan(spec).steps[0]?.key ?? "";
  await harness.build(spec);
  const prune = () => harness.engine.pruneImages({ ageMsMax: 0, countMax: 0, now: Date.now() + 60_000 });
  const pruned: Promise<number>[] = [];
  const above = { commands: [...spec.commands, "echo new > /new"] };
  await harness.build(above, { onSaid: (said) => said.kind === "step" && said.step.state === "running" && pruned.push(prune()) });
  await Promise.all(pruned);
  expect(pruned).toHaveLength(1);
  expect(await harness.engine.cachedKeys([key])).toEqual(new Set([key]));
  expect(await prune()).toBeGreaterThan(0);
  expect(await harness.engine.cachedKeys([key])).toEqual(new Set());
});
