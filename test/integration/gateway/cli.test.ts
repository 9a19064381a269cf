import { spawn } from "node:child_process";
import { chmod, mkdir, mkdtemp, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type Cluster as Inside, startCluster as startInside } from "../dataplane/cluster.ts";
import { BOOTSTRAP_KEY, type Cluster, startCluster } from "./cluster.ts";

const CLI = fileURLToPath(new URL("../../../packages/cli/src/main.ts", import.meta.url));

let control: Cluster;
let inside: Inside;
let home: string;
beforeAll(async () => {
  [control, inside] = await Promise.all([startCluster(), startInside()]);
  home = await mkdtemp(join(tmpdir(), "banyan-cli-"));
});
afterAll(async () => {
  await control.stop();
  await inside.stop();
  await rm(home, { recursive: true });
});

interface Run {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** The command as a person runs it: a process of its own, with a home of its own. */
function banyan(args: string[], { env = {}, input }: { env?: Record<string, string>; input?: string } = {}): Promise<Run> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [CLI, ...args], { env: { PATH: process.env.PATH, HOME: home, ...env }, stdio: "pipe" });
    const run: Run = { code: null, stdout: "", stderr: "" };
    for (const name of ["stdout", "stderr"] as const) {
      child[name].on("data", (chunk: Buffer) => {
        run[name] += chunk.toString();
      });
    }
    child.on("error", reject);
    child.on("close", (code) => resolve({ ...run, code }));
    child.stdin.end(input);
  });
}
const here = () => ({ BANYAN_URL: control.url, BANYAN_API_KEY: BOOTSTRAP_KEY });
const there = () => ({ BANYAN_URL: inside.url, BANYAN_API_KEY: inside.key });
const json = async (args: string[]) => JSON.parse((await banyan([...args, "--json"], { env: here() })).stdout);

it("leads a sandbox through its life", async () => {
  const made = await banyan(["sandbox", "create", "-l", "task=7", "-e", "A=b=c", "--memory-mb", "128", "--idle-timeout", "never"], {
    env: here(),
  });
  expect(made).toMatchObject({ code: 0, stderr: "" });
  const id = /sbx_\w+/.exec(made.stdout)?.[0] ?? expect.fail(made.stdout);
  expect(control.node.sandboxes.get(id)?.order).toMatchObject({ env: { A: "b=c" }, resources: { memoryMb: 128 } });
  expect((await banyan(["sandbox", "ls", "-l", "task=7", "-s", "running"], { env: here() })).stdout).toMatch(
    new RegExp(`ID .*\\n${id} .*running.*task=7`),
  );
  expect(await json(["sandbox", "get", id])).toMatchObject({ id, state: "running", lifetime: { idleTimeoutS: null } });
  expect(await json(["sandbox", "update", id, "-l", "task=", "-l", "x=1", "--on-idle", "delete"])).toMatchObject({
    labels: { x: "1" },
    lifetime: { onIdle: "delete" },
  });
  expect((await banyan(["sandbox", "stop", id], { env: here() })).stdout).toContain("stopped");
  expect((await banyan(["sandbox", "start", id], { env: here() })).stdout).toContain("warm");
  expect((await banyan(["sandbox", "rm", id], { env: here() })).code).toBe(0);
  expect(control.node.sandboxes.has(id)).toBe(false);
}, 120_000);

it("manages keys and organisations, and shows the cluster", async () => {
  const organisation = await json(["org", "create", "cli-org"]);
  expect((await banyan(["org", "quota", "cli-org", "--sandboxes", "2"], { env: here() })).stdout).toMatch(/cli-org\s+2\s/);
  const made = await json(["key", "create", "cli-key", "--organisation", "cli-org"]);
  expect(made).toMatchObject({ organisationId: organisation.id, key: expect.stringMatching(/^bny_/) });
  expect((await banyan(["key", "ls", "--organisation", "cli-org"], { env: here() })).stdout).toContain("cli-key");
  expect((await banyan(["usage"], { env: { ...here(), BANYAN_API_KEY: made.key } })).stdout).toMatch(/sandboxes\s+0 of 2/);
  expect((await banyan(["key", "revoke", made.id], { env: here() })).code).toBe(0);
  expect((await banyan(["node", "ls"], { env: here() })).stdout).toContain(control.node.nodeId);
  expect((await banyan(["image", "ls"], { env: here() })).stdout).toMatch(/default:latest\s+recipe\s+ready/);
}, 120_000);

it("builds an image of a spec and of a Dockerfile, and shows what became of it", async () => {
  const spec = join(home, "environment.json");
  await writeFile(spec, JSON.stringify({ apt: ["jq"], steps: [{ run: "true", secrets: ["TOKEN"] }] }));
  const run = (...args: string[]) => banyan(args, { env: { ...here(), TOKEN: "from-the-environment" } });
  expect((await run("image", "build", "-f", spec, "--dry-run")).stdout).toMatch(/warm slots.*\n\n.*STEP.*\n0\s+cached\s+apt jq/s);
  const built = await run("image", "build", "-f", spec, "--name", "cli/app:1", "--secret", "TOKEN");
  expect(built).toMatchObject({ code: 0, stdout: expect.stringMatching(/^img_\w+ {2}built {2}cli\/app:1\n$/) });
  expect(control.builder.requests.at(-1)).toMatchObject({ secrets: { TOKEN: "from-the-environment" }, name: "cli/app:1" });
  expect((await run("image", "build", "-f", spec)).stdout).toContain("there already");
  expect((await run("image", "inspect", "cli/app:1")).stdout).toMatch(/names\s+cli\/app:1/);
  expect((await run("sandbox", "create", "--image", spec)).stdout).toContain("warm");
  await writeFile(join(home, "Dockerfile"), "FROM scratch\nCOPY a.txt /\n");
  await mkdir(join(home, "context"));
  await writeFile(join(home, "context", "a.txt"), "a");
  const docker = await run("image", "build", "-f", join(home, "Dockerfile"), "--context", join(home, "context"), "--no-wait");
  expect(docker.stdout).toMatch(/^bld_\w+ {2}ready {2}img_/);
  expect(control.builder.requests.at(-1)?.spec.context).toMatch(/^sha256:/);
  const id = /bld_\w+/.exec(docker.stdout)?.[0] ?? "";
  expect((await run("build", "logs", id)).stdout).toBe("building\nready\n");
  expect((await run("build", "ls")).stdout).toContain(id);
}, 120_000);

it("shows the steps of a build that fails, its last lines and the fix", async () => {
  const lines = ["E: Unable to locate package nosuch"];
  control.builder.failure = {
    code: "build.package_not_found",
    message: "No nosuch.",
    fix: "Ask for another.",
    step: 0,
    exitCode: 100,
    lastLines: lines,
  };
  const failed = await banyan(["image", "build", "-f", "-"], { env: here(), input: "FROM nosuch\n" });
  control.builder.failure = null;
  expect(failed).toMatchObject({ code: 1, stdout: "" });
  expect(failed.stderr).toMatch(/No nosuch\..*\| E: Unable to locate package nosuch.*fix:.*Ask for another\./s);
  expect((await banyan(["image", "build", "-f", "nowhere.json"], { env: here() })).stderr).toContain("nowhere.json");
  expect((await banyan(["image", "build", "--secret", "NOT_SET"], { env: here() })).stderr).toContain("no NOT_SET");
}, 120_000);

it("takes the password of a registry from its input and never shows it", async () => {
  const added = await banyan(["registry", "add", "registry.example:5000", "-u", "ci"], { env: here(), input: "hunter2\n" });
  expect(added).toMatchObject({ code: 0, stdout: "registry.example:5000  ci\n" });
  const listed = await banyan(["registry", "ls"], { env: here() });
  expect(listed.stdout).toMatch(/registry\.example:5000\s+ci/);
  expect(listed.stdout).not.toContain("hunter2");
  expect((await banyan(["registry", "rm", "registry.example:5000"], { env: here() })).code).toBe(0);
}, 120_000);

it("keeps a login that works, and refuses one that does not", async () => {
  expect(await banyan(["usage"])).toMatchObject({ code: 1, stderr: expect.stringContaining("banyan login") });
  const wrong = await banyan(["login", "--url", control.url, "--api-key", "bny_wrong"]);
  expect(wrong).toMatchObject({ code: 1, stderr: expect.stringContaining("auth.invalid") });
  const right = await banyan(["login", "--url", control.url, "--api-key", BOOTSTRAP_KEY]);
  expect(right).toMatchObject({ code: 0, stdout: expect.stringContaining("default") });
  expect((await banyan(["usage"])).code).toBe(0);
  expect((await stat(join(home, ".config/banyan/config.json"))).mode & 0o777).toBe(0o600);
}, 120_000);

it("says what went wrong and what would help, for people and for programs", async () => {
  const text = await banyan(["sandbox", "create", "--cpu", "-1"], { env: here() });
  expect(text).toMatchObject({ code: 1, stdout: "" });
  expect(text.stderr).toMatch(/limits\.cpu.*\n.*fix:.*openapi\.json/s);
  const machine = await banyan(["--json", "sandbox", "get", "nope"], { env: here() });
  expect(JSON.parse(machine.stderr).error).toMatchObject({ code: "sandbox.not_found", status: 404 });
  const nobody = await banyan(["usage", "--url", "http://127.0.0.1:1", "--api-key", "k"]);
  expect(nobody.stderr).toMatch(/did not answer.*\n.*BANYAN_URL/s);
  expect((await banyan(["sandbox", "creat"])).stderr).toContain("Did you mean create?");
  expect((await banyan(["--help"])).stdout).toContain("Examples:");
}, 120_000);

it("runs a command with its output, its input and its exit code", async () => {
  const id = inside.sandboxId;
  expect(await banyan(["sandbox", "exec", id, "--", "sh", "-c", "echo out; echo err >&2; exit 3"], { env: there() })).toEqual({
    code: 3,
    stdout: "out\n",
    stderr: "err\n",
  });
  expect(await banyan(["sandbox", "exec", id, "-c", "cat; kill -9 $$", "-i"], { env: there(), input: "in\n" })).toMatchObject({
    code: 137,
    stdout: "in\n",
  });
  expect(await banyan(["sandbox", "exec", id, "--timeout", "100", "--", "sleep", "9"], { env: there() })).toMatchObject({ code: 124 });
  const machine = await banyan(["sandbox", "exec", id, "--json", "-c", "echo $A", "-e", "A=1"], { env: there() });
  expect(JSON.parse(machine.stdout)).toMatchObject({ exitCode: 0, stdout: "1\n" });
  expect(await banyan(["sandbox", "exec", id], { env: there() })).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("give a command"),
  });
  expect(await banyan(["sandbox", "exec", id, "--", "nosuch"], { env: there() })).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("exec.not_found"),
  });
}, 120_000);

it("copies files and trees both ways, modes and links included", async () => {
  const id = inside.sandboxId;
  const from = join(home, "tree");
  await mkdir(join(from, "sub"), { recursive: true });
  await writeFile(join(from, "sub", "run.sh"), "#!/bin/sh\necho ran\n");
  await chmod(join(from, "sub", "run.sh"), 0o755);
  await symlink("sub/run.sh", join(from, "link"));
  expect(await banyan(["sandbox", "cp", from, `${id}:/tmp/cli-tree`], { env: there() })).toMatchObject({ code: 0 });
  expect((await inside.exec({ shell: "/tmp/cli-tree/link" })).stdout).toBe("ran\n");
  expect(await banyan(["sandbox", "cp", `${id}:/tmp/cli-tree`, join(home, "back")], { env: there() })).toMatchObject({ code: 0 });
  expect(await readFile(join(home, "back", "link"), "utf8")).toContain("echo ran");
  expect((await stat(join(home, "back", "sub", "run.sh"))).mode & 0o111).not.toBe(0);
  await writeFile(join(home, "one.bin"), Buffer.alloc(3_000_000, 7));
  expect(await banyan(["sandbox", "cp", join(home, "one.bin"), `${id}:/tmp/`], { env: there() })).toMatchObject({ code: 0 });
  expect(await banyan(["sandbox", "cp", `${id}:/tmp/one.bin`, join(home, "two.bin")], { env: there() })).toMatchObject({ code: 0 });
  expect((await readFile(join(home, "two.bin"))).equals(Buffer.alloc(3_000_000, 7))).toBe(true);
  expect(await banyan(["sandbox", "cp", "a", "b"], { env: there() })).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("one side must be in a sandbox"),
  });
}, 120_000);

it("gives a shell", async () => {
  const shell = await banyan(["shell", inside.sandboxId, "-c", "/bin/sh"], { env: there(), input: "echo $((6*7)); exit 5\n" });
  expect(shell.stdout).toContain("42");
  expect(shell.code).toBe(5);
}, 120_000);
