import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { StepFailed } from "@banyan/image-builder";
import { eventually } from "@banyan/testkit";
import { afterAll, beforeAll, expect, it } from "vitest";
import { BuildHarness, statesOf } from "./build-harness.ts";

let harness: BuildHarness;
beforeAll(async () => {
  harness = await BuildHarness.open();
});
afterAll(async () => {
  await harness?.close();
});

const thrownBy = (building: Promise<unknown>): Promise<unknown> =>
  building.then(
    () => null,
    (error: unknown) => error,
  );

/** How a build fails that must; nothing of it is left. */
async function failureOf(building: Promise<unknown>): Promise<StepFailed> {
  const thrown = await thrownBy(building);
  expect(thrown).toBeInstanceOf(StepFailed);
  expect(await harness.containers()).toEqual([]);
  return thrown as StepFailed;
}

it("names the step that failed, its exit code and what it said last", async () => {
  const states: Record<string, string> = {};
  const failed = await failureOf(
    harness.build(
      { steps: [{ run: "true" }, { run: "seq 1 200; echo oh no >&2; exit 3" }, { run: "never" }] },
      { onSaid: (said) => Object.assign(states, statesOf([said])) },
    ),
  );
  expect(failed).toMatchObject({ step: 1, exitCode: 3, oomKilled: false, timedOut: false });
  expect(failed.lastLines).toHaveLength(50);
  expect(failed.lastLines).toContain("oh no");
  expect(states).toEqual({ "run true": "done", "run seq 1 200; echo oh no >&2; exit 3": "failed" });
});

it("says where a shell finds a syntax error", async () => {
  const failed = await failureOf(harness.build({ commands: ["if true; then echo"] }));
  expect(failed).toMatchObject({ exitCode: 2, lastLines: [expect.stringMatching(/Syntax error/)] });
});

it("says that there is no such user in the image", async () => {
  const failed = await failureOf(
    harness.build({ user: "nobody-here", commands: ["true"], steps: [{ user: "nobody-here" }, { run: "true" }] }),
  );
  expect(failed).toMatchObject({ exitCode: 126, lastLines: [expect.stringContaining("nobody-here")] });
});

it("ends a step that takes longer than its time", async () => {
  const failed = await failureOf(harness.build({ steps: [{ run: "echo begun; sleep 60", timeout_s: 1 }] }));
  expect(failed).toMatchObject({ step: 0, exitCode: null, timedOut: true, lastLines: ["begun"] });
});

it("ends the whole at its deadline", async () => {
  const building = harness.build({ commands: ["sleep 60"] }, { limits: { memoryMb: 256, cpu: 1, timeoutS: 2 } });
  expect(await thrownBy(building)).toMatchObject({ code: "build.timeout" });
  expect(await harness.containers()).toEqual([]);
});

it("says that a step ran out of memory", async () => {
  const spec = { commands: [`python3 -c "len(b'x' * 300_000_000)"`] };
  const failed = await failureOf(harness.build(spec, { limits: { memoryMb: 64, cpu: 1, timeoutS: 60 } }));
  expect(failed).toMatchObject({ step: 0, oomKilled: true });
});

it("keeps a step with a closed network from everything", async () => {
  const { result } = await harness.build({ network: "closed", commands: ["test -z \"$(ls /sys/class/net | grep -v '^lo$')\""] });
  expect(result.layers).toHaveLength(1);
});

it("stops at once when it is cancelled, and leaves no container", async () => {
  const cancel = new AbortController();
  const building = thrownBy(
    harness.build(
      { commands: ["trap '' TERM; echo begun; while :; do sleep 1; done"] },
      { signal: cancel.signal, onSaid: (said) => said.kind === "log" && cancel.abort(new Error("cancelled by its owner")) },
    ),
  );
  expect(await building).toMatchObject({ message: "cancelled by its owner" });
  expect(await harness.containers()).toEqual([]);
});

it("refuses to put a file in the place of a directory", async () => {
  const failed = await failureOf(harness.build({ files: [{ path: "/etc", content: "x" }] }));
  expect(failed.lastLines[0]).toMatch(/directory/);
});

it("removes the containers of a builder that was killed, and only those", async () => {
  const killed = await harness.docker.createContainer({
    Image: await harness.anyImage(),
    Cmd: ["/"],
    Labels: { "banyan.builder": harness.engine.name },
  });
  const foreign = await harness.docker.createContainer({
    Image: await harness.anyImage(),
    Cmd: ["/"],
    Labels: { "banyan.builder": "another" },
  });
  try {
    expect(await harness.engine.removeLeftovers()).toBe(1);
    await expect(killed.inspect()).rejects.toMatchObject({ statusCode: 404 });
    await foreign.inspect();
  } finally {
    await foreign.remove();
  }
});

it("says that the engine is away, as something to try again", async () => {
  const away = harness.openEngine("away", "unix:///nonexistent/docker.sock");
  await expect(away.cachedKeys(["key"])).rejects.toMatchObject({ code: "build.engine_unavailable", kind: "unavailable" });
});

it("says that a registry is away or has no such image, and which", async () => {
  const reference = "127.0.0.1:9/nothing/here:1";
  await expect(harness.engine.resolveRegistry(reference, null)).rejects.toMatchObject({
    code: "registry.unavailable",
    details: { reference },
  });
});

it("runs steps of several builds at once, each in its own container", async () => {
  const built = await Promise.all([1, 2, 3].map((each) => harness.build({ commands: [`echo ${each} > /which`] })));
  expect(new Set(built.map(({ result }) => result.layers.at(-1)?.digest)).size).toBe(3);
  await eventually(async () => expect(await harness.containers()).toEqual([]));
});

it("says that the builder's disk is full, leaves nothing half, and goes on when there is room", async () => {
  const place = join(harness.directory, "small");
  mkdirSync(place);
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=4m", "tmpfs", place]);
  try {
    const engine = harness.openEngine("small");
    const spec = { commands: ["head -c 16M /dev/urandom > /large"] };
    await expect(harness.build(spec, { engine })).rejects.toMatchObject({ code: "build.disk_full" });
    expect(readdirSync(join(place, "drafts"))).toEqual([]);
    execFileSync("mount", ["-o", "remount,size=64m", place]);
    const { result } = await harness.build(spec, { engine });
    const root = await harness.mount(result.layers);
    expect(statSync(join(root, "large")).size).toBe(16 * 2 ** 20);
  } finally {
    execFileSync("umount", [place]);
  }
});
