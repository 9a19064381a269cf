import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { StepFailed, stepName } from "@banyan/image-builder";
import { afterAll, beforeAll, expect, it } from "vitest";
import { BuildHarness, logOf, statesOf } from "./build-harness.ts";

let harness: BuildHarness;
beforeAll(async () => {
  harness = await BuildHarness.open();
});
afterAll(async () => {
  await harness?.close();
});

/** How a build fails that must. */
async function failureOf(building: Promise<unknown>): Promise<StepFailed> {
  const thrown = await building.then(
    () => null,
    (error: unknown) => error,
  );
  expect(thrown).toBeInstanceOf(StepFailed);
  expect(await harness.containers()).toEqual([]);
  return thrown as StepFailed;
}

it("installs a package, and shares the layers of its base", async () => {
  const { result, said } = await harness.build({ apt: ["jq"], env: { A: "1" }, workdir: "/srv/app" });
  expect(result.layers).toHaveLength(3);
  expect(result.layers[0]?.digest).toBe(harness.base.source.kind === "layers" && harness.base.source.layers[0]?.digest);
  expect(result.config).toMatchObject({ env: { A: "1", LANG: "C.UTF-8" }, workdir: "/srv/app", user: "root" });
  expect(result.history.map(({ title, digest }) => [title, digest])).toEqual([
    ["default", result.layers[0]?.digest],
    ["apt jq", result.layers[1]?.digest],
    ["workdir /srv/app", result.layers[2]?.digest],
  ]);
  expect(logOf(said)).toContain("Setting up jq");
  expect(statesOf(said)).toEqual({ "apt jq": "done", "workdir /srv/app": "done" });
  const root = await harness.mount(result.layers);
  expect(readFileSync(join(root, "usr/bin/jq")).length).toBeGreaterThan(10_000);
  expect(await harness.containers()).toEqual([]);
});

it("puts files where they belong, with their mode and owner, and runs commands in order as the user in force", async () => {
  const { result, said } = await harness.build({
    steps: [
      { run: "useradd --create-home agent" },
      { file: { path: "/opt/new/tool.sh", content: "#!/bin/sh\necho made by $NAME\n", mode: "0755", owner: "agent" } },
      // Through a link of the image's own: /bin leads to /usr/bin.
      { file: { path: "/bin/linked", content: "x" } },
      { env: { NAME: "it's" } },
      { user: "agent" },
      { workdir: "/home/agent" },
      { run: "/opt/new/tool.sh > out; id -un >> out; echo to stderr >&2" },
    ],
  });
  const root = await harness.mount(result.layers);
  expect(readFileSync(join(root, "home/agent/out"), "utf8")).toBe("made by it's\nagent\n");
  expect(readFileSync(join(root, "usr/bin/linked"), "utf8")).toBe("x");
  const { mode, uid } = statSync(join(root, "opt/new/tool.sh"));
  expect([mode & 0o7777, uid]).toEqual([0o755, 1000]);
  expect(statSync(join(root, "tmp")).mode & 0o7777).toBe(0o1777);
  expect(said).toContainEqual(expect.objectContaining({ kind: "log", stream: "stderr", text: "to stderr" }));
  expect(result.config).toMatchObject({ user: "agent", workdir: "/home/agent", env: { NAME: "it's" } });
});

it("copies a directory, a file, and links from a context", async () => {
  const context = await harness.upload([
    [{ name: "app", type: "directory", mode: 0o750 }],
    [{ name: "app/main.py", mode: 0o644 }, "print(1)"],
    [{ name: "app/lib/deep.py" }, "deep"],
    [{ name: "app/link.py", type: "symlink", linkname: "main.py" }],
    [{ name: "app/same.py", type: "link", linkname: "app/main.py" }],
    [{ name: "other" }, "other"],
  ]);
  const { result } = await harness.build({
    steps: [
      { copy: { context, from: "app", to: "/srv/app", owner: "65534:65534" } },
      { copy: { context, from: "other", to: "/srv/into/" } },
      { copy: { context, from: "other", to: "/srv/renamed" } },
    ],
  });
  const root = await harness.mount(result.layers);
  expect(readdirSync(join(root, "srv/app")).toSorted()).toEqual(["lib", "link.py", "main.py", "same.py"]);
  expect(readFileSync(join(root, "srv/app/link.py"), "utf8")).toBe("print(1)");
  expect(statSync(join(root, "srv/app/main.py"))).toMatchObject({ uid: 65534, nlink: 2 });
  expect(readFileSync(join(root, "srv/into/other"), "utf8")).toBe("other");
  expect(readFileSync(join(root, "srv/renamed"), "utf8")).toBe("other");

  const missing = await failureOf(harness.build({ steps: [{ copy: { context, from: "nowhere", to: "/x" } }] }));
  expect(missing).toMatchObject({ step: 0, lastLines: ["copy: `nowhere` is not in the context"] });
});

it("refuses a context before the first step", async () => {
  const context = await harness.upload([[{ name: "../../etc/cron.d/x" }, "x"]]);
  const building = harness.build({ steps: [{ run: "echo begun" }, { copy: { context, to: "/x" } }] });
  await expect(building).rejects.toMatchObject({ code: "context.refused", details: { path: "../../etc/cron.d/x" } });
  await expect(harness.build({ steps: [{ copy: { context: `sha256:${"0".repeat(64)}`, to: "/x" } }] })).rejects.toMatchObject({
    code: "context.not_found",
  });
});

it("shows a secret to the step that names it, and keeps it nowhere", async () => {
  const secret = "hunter2-hunter2";
  const spec = {
    steps: [
      {
        run: 'sha256sum /run/secrets/TOKEN > /seen; stat -c %a /run/secrets/TOKEN >> /seen; printf %s "$TOKEN" | wc -c >> /seen',
        secrets: ["TOKEN"],
      },
      { run: 'test -z "$TOKEN"; test ! -e /run/secrets/TOKEN' },
    ],
  };
  const { result, said } = await harness.build(spec, { secrets: { TOKEN: secret } });
  const root = await harness.mount(result.layers);
  expect(readFileSync(join(root, "seen"), "utf8")).toMatch(new RegExp(`^[0-9a-f]{64}  /run/secrets/TOKEN\\n400\\n${secret.length}\\n$`));
  const image = harness.docker.getImage(stepName(harness.plan(spec).steps[0]?.key ?? ""));
  const everywhere = JSON.stringify([await image.inspect(), await image.history(), result, said]);
  expect(everywhere).not.toContain(secret);
  const [, , ...own] = result.layers;
  for (const { digest } of own) {
    const found = execFileSync("grep", ["--recursive", "--count", "--text", secret, join(harness.directory, "layers", digest.slice(7))], {
      encoding: "utf8",
    });
    expect(found).not.toMatch(/[1-9]$/m);
  }
});

it("goes on from the last step that is kept", async () => {
  const steps = [{ run: "echo one > /one" }, { run: "echo two > /two" }];
  const first = await harness.build({ steps: [...steps, { run: "echo three > /three" }] });
  const counting = await harness.countContainers();
  const second = await harness.build({ steps: [...steps, { run: "echo changed > /three" }] });
  const again = await harness.build({ steps: [...steps, { run: "echo changed > /three" }] });
  expect(await counting.stop()).toBe(1);
  expect(statesOf(second.said)).toEqual({
    "run echo one > /one": "cached",
    "run echo two > /two": "cached",
    "run echo changed > /three": "done",
  });
  expect(second.result.layers.slice(0, 3)).toEqual(first.result.layers.slice(0, 3));
  expect(second.result.layers[3]).not.toEqual(first.result.layers[3]);
  expect(again.result.layers).toEqual(second.result.layers);
  expect(again.result.history.map(({ digest }) => digest)).toEqual(second.result.history.map(({ digest }) => digest));
});

it("deletes what a later step deletes", async () => {
  const { result } = await harness.build({
    steps: [
      { run: "mkdir -p /d/sub; echo old > /d/old; echo sub > /d/sub/x; echo gone > /gone; ln -s /d/old /link" },
      { run: "rm /gone /etc/issue; rm -r /d; mkdir /d; echo new > /d/new; rm /link; mkdir /link" },
    ],
  });
  const root = await harness.mount(result.layers);
  expect(readdirSync(join(root, "d"))).toEqual(["new"]);
  expect([existsSync(join(root, "gone")), existsSync(join(root, "etc/issue")), existsSync(join(root, "etc/os-release"))]).toEqual([
    false,
    false,
    true,
  ]);
  expect(statSync(join(root, "link")).isDirectory()).toBe(true);
});

it("builds upon what it has built before, and brings nothing to the engine again", async () => {
  const below = await harness.build({ steps: [{ run: "echo below > /below" }] });
  const base = {
    reference: "mine:latest",
    pinnedTo: "img_1",
    config: below.result.config,
    source: { kind: "layers" as const, layers: below.result.layers },
  };
  const above = await harness.build({ steps: [{ run: "cat /below > /above" }] }, { base });
  expect(above.result.layers.slice(0, -1)).toEqual(below.result.layers);
  expect(logOf(above.said)).not.toContain("bringing");
  const root = await harness.mount(above.result.layers);
  expect(readFileSync(join(root, "above"), "utf8")).toBe("below\n");
});

it("imports a stack of which the engine has the lower part, from blobs alone", async () => {
  const below = await harness.build({ steps: [{ run: "echo below > /below" }, { run: "rm /below; echo top > /top" }] });
  await harness.forgetImages();
  const base = {
    reference: "mine:latest",
    pinnedTo: "img_1",
    config: below.result.config,
    source: { kind: "layers" as const, layers: below.result.layers },
  };
  const { result, said } = await harness.build({ steps: [{ run: "test ! -e /below; cat /top" }] }, { base });
  expect(logOf(said)).toContain("bringing mine:latest to the builder");
  expect(result.layers).toEqual(below.result.layers);
});
