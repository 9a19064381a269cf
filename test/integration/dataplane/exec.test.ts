import { eventually } from "@banyan/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Cluster, problemOf, startCluster } from "./cluster.ts";

let cluster: Cluster;
beforeAll(async () => {
  cluster = await startCluster();
});
afterAll(() => cluster?.stop());

const post = (json: unknown, headers: Record<string, string> = {}) => cluster.call("exec", { method: "POST", json, headers });

describe("a command", () => {
  it("answers with what it wrote and how it ended", async () => {
    const response = await post({ shell: "echo out; echo err >&2; exit 3" });
    expect(response.status).toBe(200);
    expect(response.headers.get("server-timing")).toMatch(/^queue;dur=[\d.]+, exec;dur=[\d.]+, total;dur=[\d.]+$/);
    expect(response.headers.get("x-request-id")).toMatch(/^req_/);
    expect(await response.json()).toMatchObject({
      exit_code: 3,
      signal: null,
      stdout: "out\n",
      stderr: "err\n",
      timed_out: false,
      oom_killed: false,
      stdout_bytes: 4,
      stderr_bytes: 4,
      stdout_truncated: false,
      timing: { exec_ms: expect.any(Number) },
    });
  });

  it("runs its arguments as they are, without a shell", async () => {
    const { stdout } = await cluster.exec({ argv: ["printf", "%s|", "a b", "$HOME", "*"] });
    expect(stdout).toBe("a b|$HOME|*|");
  });

  it("gets the sandbox's environment, its own on top, its directory and its user", async () => {
    const { stdout } = await cluster.exec({
      shell: 'echo "$FROM_SANDBOX $OWN $PWD $(id -un)"',
      env: { OWN: "1", FROM_SANDBOX: "over" },
      cwd: "/tmp",
      user: "nobody",
    });
    expect(stdout).toBe("over 1 /tmp nobody\n");
  });

  it("reads its input, as text and as bytes", async () => {
    expect((await cluster.exec({ argv: ["cat"], stdin: "ünï" })).stdout).toBe("ünï");
    const bytes = await cluster.exec({ argv: ["wc", "-c"], stdin_base64: Buffer.alloc(300_000, 0xff).toString("base64") });
    expect(bytes.stdout.trim()).toBe("300000");
  });

  it("reads an empty input where none is given", async () => {
    expect((await cluster.exec({ argv: ["cat"] })).stdout_bytes).toBe(0);
  });

  it("says by which signal it ended", async () => {
    expect(await cluster.exec({ shell: "kill -TERM $$" })).toMatchObject({ exit_code: null, signal: "SIGTERM" });
  });

  it("shows what is not UTF-8 as U+FFFD", async () => {
    expect((await cluster.exec({ argv: ["printf", "a\\377b"] })).stdout).toBe("a\ufffdb");
  });

  it("is not held up by what it leaves running", async () => {
    const { stdout, duration_ms } = await cluster.exec({ shell: "sleep 60 & cat <<EOF\nheredoc\nEOF" });
    expect(stdout).toBe("heredoc\n");
    expect(duration_ms).toBeLessThan(5_000);
  });
});

describe("output beyond the bound", () => {
  it("is cut, counted and marked, between two characters", async () => {
    const result = await cluster.exec({ shell: "printf 'äää'; echo short >&2", output_max_bytes: 3 });
    expect(result).toMatchObject({ stdout: "ä", stdout_bytes: 6, stdout_truncated: true, stderr: "sho", stderr_truncated: true });
  });

  it("does not stop the command", async () => {
    const result = await cluster.exec({ shell: "head -c 50000000 /dev/zero | tr '\\0' x; echo done >&2", output_max_bytes: 1000 });
    expect(result).toMatchObject({ stdout_bytes: 50_000_000, stdout_truncated: true, stderr: "done\n", stderr_truncated: false });
    expect(result.stdout).toBe("x".repeat(1000));
  });
});

describe("a command that takes too long", () => {
  it("is killed with everything it started", async () => {
    const marker = `sleep 4${Date.now() % 100_000}`;
    const result = await cluster.exec({ shell: `(setsid ${marker} &) ; trap '' TERM; ${marker}`, timeout_ms: 300 });
    expect(result).toMatchObject({ timed_out: true, signal: "SIGKILL", oom_killed: false });
    expect((await cluster.exec({ shell: `pgrep -fx '${marker}' || true` })).stdout).toBe("");
  });

  it("is killed when its caller goes away", async () => {
    const leaving = new AbortController();
    const gone = cluster.call("exec", { method: "POST", json: { argv: ["sleep", "7777"] }, signal: leaving.signal });
    await eventually(async () => expect((await cluster.exec({ shell: "pgrep -fx 'sleep 7777'" })).exit_code).toBe(0));
    leaving.abort();
    await expect(gone).rejects.toThrow();
    await eventually(async () => expect((await cluster.exec({ shell: "pgrep -fx 'sleep 7777'" })).exit_code).toBe(1));
    await eventually(() => expect(cluster.inUse()).toBe(0));
  });
});

it("says that memory was what ended it", async () => {
  const eat = "import sys\nx = []\nwhile True: x.append(bytearray(1 << 24))";
  expect(await cluster.exec({ argv: ["python3", "-c", eat] })).toMatchObject({ signal: "SIGKILL", oom_killed: true, timed_out: false });
  expect(await cluster.exec({ shell: "kill -KILL $$" })).toMatchObject({ signal: "SIGKILL", oom_killed: false });
});

describe("what cannot run", () => {
  it.each<[string, unknown, number, string]>([
    ["a command that is not there", { argv: ["no-such-command"] }, 400, "exec.not_found"],
    ["a file that is not executable", { argv: ["/etc/passwd"] }, 400, "exec.not_executable"],
    ["a directory that is not there", { argv: ["true"], cwd: "/nowhere" }, 400, "exec.bad_cwd"],
    ["a user that is not there", { argv: ["true"], user: "nosuch" }, 400, "exec.no_such_user"],
    ["neither argv nor shell", {}, 422, "request.invalid"],
    ["both argv and shell", { argv: ["true"], shell: "true" }, 422, "request.invalid"],
    ["an unknown field", { argv: ["true"], extra: 1 }, 422, "request.invalid"],
    ["a NUL in an argument", { argv: ["a\0b"] }, 422, "request.invalid"],
    ["a negative timeout", { argv: ["true"], timeout_ms: -1 }, 422, "request.invalid"],
    ["a huge timeout", { argv: ["true"], timeout_ms: 1e12 }, 422, "request.invalid"],
    ["an environment of 10 MB", { argv: ["true"], env: { BIG: "x".repeat(10_000_000) } }, 413, "request.too_large"],
    [
      "a large environment in small parts",
      { argv: ["true"], env: Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`V${i}`, "x".repeat(2_000)])) },
      422,
      "request.invalid",
    ],
    ["too much input", { argv: ["cat"], stdin: "x".repeat(1_500_000) }, 413, "request.too_large"],
  ])("is refused: %s", async (_, body, status, code) => {
    for (const accept of ["application/json", "text/event-stream"]) {
      const response = await post(body, { accept });
      expect(await problemOf(response)).toMatchObject({ status, code, request_id: expect.stringMatching(/^req_/) });
      expect(response.status).toBe(status);
      expect(response.headers.get("content-type")).toBe("application/problem+json");
    }
  });

  it("is refused: a body that is not JSON", async () => {
    const response = await cluster.call("exec", { method: "POST", body: '{"argv": [' });
    expect(await problemOf(response)).toMatchObject({ status: 400, code: "request.malformed_json" });
  });

  it("is refused: another method, and what is no route", async () => {
    expect(await problemOf(await cluster.call("exec"))).toMatchObject({ status: 405, code: "request.method_not_allowed" });
    expect(await problemOf(await cluster.call("files/nothing"))).toMatchObject({ status: 404, code: "request.not_found" });
  });
});

it("runs many at once", async () => {
  const results = await Promise.all(Array.from({ length: 100 }, (_, i) => cluster.exec({ shell: `echo ${i}; sleep 0.05` })));
  expect(results.map(({ stdout }) => stdout)).toEqual(Array.from({ length: 100 }, (_, i) => `${i}\n`));
  await eventually(() => expect(cluster.inUse()).toBe(0));
});
