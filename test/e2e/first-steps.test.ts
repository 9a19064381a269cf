import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { eventually } from "@banyan/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { endBanyan } from "./clear-away.ts";
import { IMAGE_MS, makeDataDir, PATIENCE_MS, ROOT, startBanyan, type TestBanyan } from "./start-banyan.ts";
import { untilReady } from "./until-ready.ts";

const CLI = join(ROOT, "packages/cli/src/main.ts");
const SERVER =
  "import http.server, os; os.chdir('/workspace'); http.server.test(http.server.SimpleHTTPRequestHandler, port=8000, bind='127.0.0.1')";
let running: TestBanyan;

beforeAll(async () => {
  running = await startBanyan(await makeDataDir());
  await untilReady(running.banyan);
}, IMAGE_MS + PATIENCE_MS);
afterAll(async () => {
  await endBanyan(running);
});

describe("a new user over HTTP", () => {
  const call = (method: string, path: string, body?: object) =>
    fetch(`${running.url}${path}`, {
      method,
      headers: { authorization: `Bearer ${running.apiKey}`, ...(body && { "content-type": "application/json" }) },
      ...(body && { body: JSON.stringify(body) }),
    });

  it("creates a sandbox, runs Python in it, and deletes it", async () => {
    const created = await call("POST", "/v1/sandboxes", {});
    expect(created.status).toBe(201);
    const sandbox = (await created.json()) as { id: string; path: string; timing: { total_ms: number } };
    expect(sandbox).toMatchObject({ state: "running", path: "warm", image: "default" });
    const ran = await call("POST", `/v1/sandboxes/${sandbox.id}/exec`, { argv: ["python3", "-c", "print(6 * 7)"] });
    expect(await ran.json()).toMatchObject({ exit_code: 0, stdout: "42\n", stderr: "" });
    expect((await call("DELETE", `/v1/sandboxes/${sandbox.id}`)).status).toBeLessThan(300);
    await eventually(
      async () =>
        (await call("GET", `/v1/sandboxes/${sandbox.id}`)).status === 404 ||
        ((await (await call("GET", `/v1/sandboxes/${sandbox.id}`)).json()) as { state: string }).state === "deleted",
    );
  });

  it("finds its way from the base address alone", async () => {
    const document = (await (await fetch(`${running.url}/openapi.json`)).json()) as { openapi: string; paths: Record<string, object> };
    expect(document.openapi).toMatch(/^3\.1/);
    expect(document.paths).toHaveProperty("/v1/sandboxes");
  });

  it("is told what is wrong with a request, and what would help", async () => {
    const refused = await call("POST", "/v1/sandboxes", { limits: { cpu: -1 } });
    expect(refused.status).toBe(422);
    expect(refused.headers.get("content-type")).toContain("application/problem+json");
    expect(await refused.json()).toMatchObject({ code: "request.invalid", retryable: false, fix: expect.stringContaining("openapi.json") });
    const anonymous = await fetch(`${running.url}/v1/sandboxes`);
    expect([anonymous.status, ((await anonymous.json()) as { code: string }).code]).toEqual([401, "auth.missing"]);
  });
});

describe("a program over the SDK", () => {
  it("keeps its files over stop and start, and nothing that ran", async () => {
    const sandbox = await running.banyan.sandboxes.create({ env: { GREETING: "hello" }, labels: { task: "files" } });
    expect(sandbox.info.epoch).toBe(1);
    expect((await sandbox.exec("echo $GREETING $(id -u) $PWD")).stdout).toBe("hello 0 /workspace\n");
    await sandbox.files.write("/workspace/deep/down/notes.txt", "kept\n");
    await sandbox.processes.start("sleep 1000", { id: "sleeper" });
    expect((await sandbox.stop()).state).toBe("stopped");
    await expect(sandbox.exec("true")).rejects.toMatchObject({ code: "sandbox.not_running" });
    const started = await sandbox.start();
    expect(started).toMatchObject({ state: "running", epoch: 2 });
    expect(await sandbox.files.read("/workspace/deep/down/notes.txt")).toBe("kept\n");
    expect((await sandbox.exec("pgrep sleep")).exitCode).toBe(1);
    await sandbox.delete();
  });

  it("reaches a server inside, with its key and by a signed link without one", async () => {
    await using sandbox = await running.banyan.sandboxes.create();
    await sandbox.files.write("/workspace/index.html", "<h1>from inside</h1>");
    await sandbox.processes.start(["python3", "-c", SERVER], { id: "server" });
    const text = await eventually(async () => {
      const answer = await sandbox.fetch(8000, "/index.html");
      return answer.ok && answer.text();
    });
    expect(text).toBe("<h1>from inside</h1>");
    const { url } = await sandbox.link(8000, { ttlS: 60 });
    expect(await (await fetch(url)).text()).toContain("from inside");
    expect((await fetch(sandbox.url(8000, "/index.html"))).status).toBe(401);
  });

  it("works in many sandboxes at once, each of its own", async () => {
    const sandboxes = await Promise.all(Array.from({ length: 6 }, () => running.banyan.sandboxes.create({ waitMs: 60_000 })));
    await Promise.all(sandboxes.map((sandbox, index) => sandbox.files.write("/workspace/me", String(index))));
    const found = await Promise.all(sandboxes.map(async (sandbox) => (await sandbox.exec("cat /workspace/me")).stdout));
    expect(found).toEqual(["0", "1", "2", "3", "4", "5"]);
    await Promise.all(sandboxes.map((sandbox) => sandbox.delete()));
  });
});

describe("a person at the command line", () => {
  const cli = async (...args: string[]) => {
    const env = { ...process.env, BANYAN_URL: running.url, BANYAN_API_KEY: running.apiKey };
    return (await promisify(execFile)(process.execPath, [CLI, ...args], { env })).stdout;
  };

  it("creates, looks, runs, and removes", async () => {
    const { id } = JSON.parse(await cli("--json", "sandbox", "create", "-l", "by=cli")) as { id: string };
    expect(await cli("sandbox", "ls", "-l", "by=cli")).toContain(id);
    expect(await cli("sandbox", "exec", id, "--", "python3", "-c", "print('hi')")).toBe("hi\n");
    await expect(cli("sandbox", "exec", id, "-c", "exit 7")).rejects.toMatchObject({ code: 7 });
    await cli("sandbox", "rm", id);
    expect(await cli("sandbox", "ls", "-l", "by=cli")).not.toContain(id);
  });

  it("makes a key for someone else and takes it back", async () => {
    const made = JSON.parse(await cli("--json", "key", "create", "colleague")) as { id: string; key: string };
    const use = () => fetch(`${running.url}/v1/sandboxes`, { headers: { authorization: `Bearer ${made.key}` } });
    expect((await use()).status).toBe(200);
    await cli("key", "revoke", made.id);
    await eventually(async () => (await use()).status === 401);
  });
});
