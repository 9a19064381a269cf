import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Banyan, type BanyanError, type BuildEvent, Image, type Sandbox } from "@banyan/sdk";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { endBanyan } from "./clear-away.ts";
import { IMAGE_MS, makeDataDir, PATIENCE_MS, startBanyan, type TestBanyan } from "./start-banyan.ts";
import { untilReady } from "./until-ready.ts";

/** Packages come over the network, and the machine may be busy. */
const BUILD_MS = 600_000;
let running: TestBanyan;
let banyan: Banyan;
let files: string;
const made: Sandbox[] = [];

beforeAll(async () => {
  running = await startBanyan(await makeDataDir());
  banyan = running.banyan;
  await untilReady(banyan);
  files = await mkdtemp(join(tmpdir(), "banyan-images-"));
}, IMAGE_MS + PATIENCE_MS);
afterEach(async () => {
  for (const sandbox of made.splice(0)) await sandbox.delete();
});
afterAll(async () => {
  await rm(files, { recursive: true, force: true });
  await endBanyan(running);
}, PATIENCE_MS);

/** Nothing on it was ever built before, whatever the engine has kept of earlier runs. */
const fresh = (): Image => Image.base().env({ TEST_RUN: `${process.pid}-${Date.now()}` });

async function sandboxOf(image: string | Image, onEvent?: (event: BuildEvent) => void): Promise<Sandbox> {
  const sandbox = await banyan.sandboxes.create({ image, waitMs: 120_000, ...(onEvent && { onEvent }) });
  made.push(sandbox);
  return sandbox;
}

async function outputOf(sandbox: Sandbox, command: string): Promise<string> {
  const { stdout, stderr, exitCode } = await sandbox.exec(command);
  expect(exitCode, stderr).toBe(0);
  return stdout.trim();
}

async function failureOf(image: Image): Promise<BanyanError> {
  return banyan.images.build(image).then(
    () => expect.fail("it was built"),
    (error) => error as BanyanError,
  );
}

const stepStates = (events: BuildEvent[]): string[] =>
  events.flatMap((event) => (event.event === "step" && event.step.index >= 0 ? [`${event.step.index} ${event.step.state}`] : []));

describe("an environment that is stated", () => {
  it(
    "has Python with numpy and pandas, from one call",
    async () => {
      const events: BuildEvent[] = [];
      const sandbox = await sandboxOf(fresh().apt("python3-numpy", "python3-pandas"), (event) => events.push(event));
      expect(await outputOf(sandbox, "python3 -c 'import numpy, pandas; print(pandas.DataFrame({\"a\": numpy.arange(4)}).a.sum())'")).toBe(
        "6",
      );
      expect(events.map(({ seq }) => seq)).toEqual(events.map((_, index) => index + 1));
      expect(stepStates(events).at(-1)).toBe("1 done");
      expect(events.some((event) => event.event === "log" && event.text.includes("pandas"))).toBe(true);
    },
    BUILD_MS,
  );

  it(
    "is a Node project of a directory here, with a real package installed",
    async () => {
      const project = join(files, "project");
      await mkdir(join(project, "node_modules"), { recursive: true });
      await writeFile(
        join(project, "package.json"),
        JSON.stringify({ name: "p", version: "1.0.0", dependencies: { "is-number": "7.0.0" } }),
      );
      await writeFile(join(project, "main.js"), "console.log(require('is-number')(42))\n");
      await writeFile(join(project, "node_modules", "stale"), "not to be sent");
      await writeFile(join(project, ".dockerignore"), "node_modules\n");
      const image = Image.base().npm("cowsay@1.6.0").copy(project, "/app").workdir("/app").run("test ! -e node_modules && npm install");
      const sandbox = await sandboxOf(image);
      expect(await outputOf(sandbox, "node main.js && cowsay done | head -2 | tail -1")).toBe("true\n< done >");
      const { build } = await banyan.images.request(image);
      expect(build.cached, "the same directory has the same digest").toBe(true);
    },
    BUILD_MS,
  );

  it(
    "of many steps runs only the last again when only the last has changed",
    async () => {
      const steps = fresh()
        .env({ GREETING: "hello" })
        .file("/srv/run.sh", '#!/bin/sh\necho "$GREETING from $(cat /srv/data)"\n', { mode: "0755" })
        .run("echo first > /srv/data");
      const { image } = await banyan.images.build(steps.run("echo one >> /srv/data"), { name: "steps:1" });
      expect(image).toMatchObject({ names: ["steps:1"], kind: "build", state: "ready" });
      const events: BuildEvent[] = [];
      const changed = steps.run("echo two >> /srv/data");
      expect((await banyan.images.plan(changed)).steps.map(({ cached }) => cached).slice(-2)).toEqual([true, false]);
      await banyan.images.build(changed, { onEvent: (event) => events.push(event) });
      expect(stepStates(events).filter((state) => state.endsWith("running"))).toHaveLength(1);
      expect(await outputOf(await sandboxOf(changed), "/srv/run.sh")).toBe("hello from first\ntwo");
      expect(await outputOf(await sandboxOf("steps:1"), "/srv/run.sh")).toBe("hello from first\none");
      const details = await banyan.images.get("steps:1");
      expect(details).toMatchObject({ base: { reference: "default" }, config: { env: { GREETING: "hello" } }, usedBy: { sandboxes: 1 } });
      await expect(banyan.images.delete(details.id)).rejects.toMatchObject({ code: "image.in_use" });
    },
    BUILD_MS,
  );

  it(
    "may be a Dockerfile with what it copies",
    async () => {
      const context = join(files, "docker");
      await mkdir(context, { recursive: true });
      await writeFile(join(context, "hello.txt"), "from the context\n");
      const base = (await banyan.images.get("default")).names[0] ?? "default";
      const text = `FROM ${base}\nARG WHO\nENV WHO=$WHO\nCOPY hello.txt /srv/hello.txt\nRUN echo "for $WHO" >> /srv/hello.txt\nWORKDIR /srv\n`;
      const sandbox = await sandboxOf(Image.dockerfile(text, { context, buildArgs: { WHO: "agents" } }));
      expect(await outputOf(sandbox, "cat hello.txt; echo $WHO; pwd")).toBe("from the context\nfor agents\nagents\n/srv");
    },
    BUILD_MS,
  );

  it(
    "starts its server, and is there when that is",
    async () => {
      const server =
        "import http.server, time; time.sleep(0.5); http.server.test(http.server.SimpleHTTPRequestHandler, port=8080, bind='127.0.0.1')";
      const image = Image.base().entrypoint("python3", "-c", server).ready({ port: 8080, timeoutMs: 60_000 }).resources({ memoryMb: 300 });
      const sandbox = await sandboxOf(image);
      expect(sandbox.info.limits.memoryMb).toBe(300);
      expect((await sandbox.fetch(8080)).status).toBe(200);
      await sandbox.stop();
      await sandbox.start({ waitMs: 60_000 });
      expect((await sandbox.fetch(8080)).status, "and again after a start").toBe(200);
    },
    BUILD_MS,
  );

  it(
    "gives its steps their secrets, and nobody else",
    async () => {
      const secret = `s3cret-${Date.now()}`;
      const image = fresh()
        .run('test "$TOKEN" = "$(cat /run/secrets/TOKEN)" && printf "%s" "$TOKEN" | wc -c > /srv/length && echo "it is $TOKEN"', {
          secrets: ["TOKEN"],
        })
        .run('test -z "$TOKEN"');
      const events: BuildEvent[] = [];
      const built = await banyan.images.build(image, { secrets: { TOKEN: secret }, onEvent: (event) => events.push(event) });
      const sandbox = await sandboxOf(built.image.id);
      expect(await outputOf(sandbox, "cat /srv/length; ls /run/secrets 2>/dev/null | wc -l")).toBe(`${secret.length}\n0`);
      expect(JSON.stringify([events, built, await banyan.images.get(built.image.id)])).not.toContain(secret);
      expect(events.some((event) => event.event === "log" && event.text.startsWith("it is "))).toBe(true);
    },
    BUILD_MS,
  );
});

describe("a snapshot", () => {
  it(
    "of a running sandbox, and of a stopped one, is what others start from",
    async () => {
      const sandbox = await sandboxOf("default");
      await sandbox.exec("mkdir -p /srv/deep && echo kept > /srv/deep/a && rm -rf /usr/share/doc && (sleep 1000 >/dev/null 2>&1 &)");
      const warm = await sandbox.snapshot({ name: "snap:warm" });
      expect(warm).toMatchObject({ kind: "snapshot", state: "ready", names: ["snap:warm"] });
      await sandbox.exec("echo later > /srv/deep/a");
      const child = await sandboxOf("snap:warm");
      expect(await outputOf(child, "cat /srv/deep/a; test ! -e /usr/share/doc && echo gone")).toBe("kept\ngone");
      await sandbox.stop();
      const cold = await sandbox.snapshot();
      expect(cold.way).toBe("stopped");
      const built = Image.base(cold.id).run("cat /srv/deep/a > /srv/seen");
      expect(await outputOf(await sandboxOf(built), "cat /srv/seen")).toBe("later");
      const snapshots: string[] = [];
      for await (const { id, kind } of banyan.images.list({ kind: "snapshot" })) if (kind === "snapshot") snapshots.push(id);
      expect(snapshots.slice(0, 2)).toEqual([cold.id, warm.id]);
    },
    BUILD_MS,
  );
});

describe("a build that fails", () => {
  const cases: [string, () => Image, Partial<BanyanError> & { code: string }, RegExp][] = [
    [
      "a package that is not there",
      () => Image.base().apt("no-such-package-of-ours"),
      { code: "build.package_not_found" },
      /no-such-package-of-ours/,
    ],
    ["a command that fails", () => Image.base().run("echo on the way; exit 7"), { code: "build.step_failed" }, /on the way/],
    ["a shell's syntax", () => Image.base().run("if then fi ("), { code: "build.syntax" }, /[Ss]yntax/],
    [
      "a closed network",
      () => Image.base().run("apt-get update -o APT::Update::Error-Mode=any", { network: "closed" }),
      { code: "build.network" },
      /./,
    ],
    [
      "a full disk",
      () => Image.base().run("echo begun; head -c 500M /dev/zero > /dev/shm/fill"),
      { code: "build.disk_full" },
      /No space left/,
    ],
    ["too little memory", () => Image.base().run("echo begun; tail /dev/zero"), { code: "build.out_of_memory" }, /begun/],
    ["a step that takes too long", () => Image.base().run("echo begun; sleep 100", { timeoutS: 2 }), { code: "build.timeout" }, /begun/],
    ["an unknown instruction", () => Image.dockerfile("FROM default:latest\nFLY away\n"), { code: "build.syntax" }, /./],
  ];
  it.each(cases)(
    "by %s says so, with the last lines and what would help",
    async (_what, image, expected, said) => {
      const error = await failureOf(image());
      expect({ code: error.code, message: error.message }).toMatchObject(expected);
      expect(`${error.message} ${JSON.stringify(error.details.last_lines ?? [])}`).toMatch(said);
      expect(error.fix).not.toBe("");
    },
    BUILD_MS,
  );

  it(
    "keeps its log, and no sandbox is made of it",
    async () => {
      const image = Image.base().run("echo to stdout; echo to stderr >&2; exit 3");
      const error = (await banyan.sandboxes.create({ image }).then(
        () => expect.fail("it was made"),
        (thrown) => thrown,
      )) as BanyanError;
      expect(error).toMatchObject({ code: "build.step_failed", details: { step: 0, exit_code: 3 } });
      const logs: string[] = [];
      for await (const event of banyan.builds.events(String(error.details.build_id), { follow: false })) {
        if (event.event === "log") logs.push(`${event.stream}: ${event.text.trim()}`);
      }
      expect(logs).toEqual(expect.arrayContaining(["stdout: to stdout", "stderr: to stderr"]));
      expect((await banyan.builds.get(String(error.details.build_id))).build).toMatchObject({ state: "failed", failure: { exitCode: 3 } });
    },
    BUILD_MS,
  );

  it("is refused before any work for a base or a context that is not there", async () => {
    expect(await failureOf(Image.base("img_01k9aaaaaaaaaaaaaaaaaaaaaa"))).toMatchObject({ code: "image.not_found" });
    const nowhere = Image.of({ steps: [{ copy: { context: `sha256:${"a".repeat(64)}`, to: "/" } }] });
    expect(await failureOf(nowhere)).toMatchObject({ code: "context.not_found" });
  });

  it(
    "ends when it is cancelled",
    async () => {
      const image = Image.base().run("echo begun; sleep 300");
      const { build } = await banyan.images.request(image);
      for await (const event of banyan.builds.events(build.id)) {
        if (event.event === "log" && event.text.includes("begun")) await banyan.builds.cancel(build.id);
      }
      expect((await banyan.builds.get(build.id)).build.state).toBe("cancelled");
    },
    BUILD_MS,
  );
});
