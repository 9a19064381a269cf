import { api, type Fork, type ForkChild, ForkSpec } from "@banyan/contracts";
import { newId } from "@banyan/kernel";
import { describe, expect, it } from "vitest";
import { forkChildView, forkEventView, forkSourceOf, forkSpecOf, forkView } from "./fork.ts";

const specOf = (body: object): ForkSpec => forkSpecOf(api.ForkSandboxBody.parse(body));
const pathsOf = (body: object): string[] => api.ForkSandboxBody.safeParse(body).error?.issues.map(({ path }) => path.join(".")) ?? [];

describe("a fork's spec", () => {
  it("is whole when only a count was given: children start, and stay until they are idle", () => {
    const spec = specOf({ count: 3 });
    expect(ForkSpec.parse(spec)).toEqual(spec);
    expect(spec).toMatchObject({ count: 3, command: null, policy: { kind: "all" }, after: "keep", losers: "delete", resources: null });
    expect(spec).toMatchObject({ lifetime: { idleTimeoutS: 900, onIdle: "delete" }, network: null, retries: 1, deadlineS: 3_600 });
  });

  it("runs a text in a shell until after the fork's deadline, and stops a child when it has ended", () => {
    const spec = specOf({ count: 1, command: "echo hi", deadline_s: 60 });
    expect(spec).toMatchObject({
      command: { argv: ["/bin/sh", "-c", "echo hi"], timeoutMs: 120_000, outputMaxBytes: 4_096 },
      after: "stop",
    });
    const whole = specOf({ count: 1, command: { argv: ["a", "b"], timeout_ms: 5, cwd: "/x", output_to_files: true } });
    expect(whole.command).toMatchObject({ argv: ["a", "b"], timeoutMs: 5, cwd: "/x", outputToFiles: true, stdin: null });
    expect(specOf({ count: 1, command: "x", deadline_s: 604_800 }).command?.timeoutMs, "a day is the longest").toBe(86_400_000);
  });

  it("keeps the first that succeeds, and knows both goals of the best", () => {
    expect(specOf({ count: 2, command: "x", policy: "first_success" })).toMatchObject({ policy: { kind: "first_success" }, after: "keep" });
    expect(specOf({ count: 2, command: "x", policy: { best: "min" } })).toMatchObject({
      policy: { kind: "best", goal: "min" },
      after: "stop",
    });
    expect(specOf({ count: 2, command: "x", after: "delete" }).after).toBe("delete");
  });

  it("counts `each`, and takes of the limits those that were stated", () => {
    const each = [{ env: { A: "1" } }, { stdin: "x" }, { files: { "/a": "b" } }];
    expect(specOf({ each, command: "x" })).toMatchObject({ count: 3, each });
    expect(specOf({ count: 1, limits: { memory_mb: 64, pids: 16 } }).resources).toEqual({ memoryMb: 64, pids: 16 });
  });

  it("names what it is made of", () => {
    const sandbox = newId("sbx");
    expect(forkSourceOf({ sandbox })).toEqual({ kind: "sandbox", sandboxId: sandbox });
    expect(forkSourceOf({ snapshot: "team/app:warm" })).toEqual({ kind: "image", image: "team/app:warm" });
  });
});

describe("a body that makes no sense", () => {
  const large = "x".repeat(64 * 1_024);
  const cases: [string, object, string[]][] = [
    ["no count", {}, ["count"]],
    ["a count of 0", { count: 0 }, ["count"]],
    ["a negative count", { count: -1 }, ["count"]],
    ["a count of a billion", { count: 1e9 }, ["count"]],
    ["an `each` of another length", { count: 3, each: [{}] }, ["each"]],
    ["a policy without a command", { count: 1, policy: "first_success" }, ["policy"]],
    ["an end of what never ends", { count: 1, after: "delete" }, ["after"]],
    ["input for nothing", { each: [{}, { stdin: "x" }] }, ["each.1.stdin"]],
    ["a variable twice, shared and in turn", { count: 1, env: { A: "1" }, env_cycle: { A: ["2"] } }, ["env_cycle.A"]],
    ["a variable twice, shared and own", { env: { A: "1" }, each: [{}, { env: { A: "2" } }] }, ["each.1.env.A"]],
    ["a variable twice, in turn and own", { env_cycle: { A: ["1"] }, each: [{ env: { A: "2" } }] }, ["each.0.env.A"]],
    ["a variable of ours", { count: 1, env: { BANYAN_FORK_ID: "x" } }, ["env.BANYAN_FORK_ID"]],
    ["a name of a variable that is none", { count: 1, env_cycle: { "A-B": ["x"] } }, ["env_cycle.A-B"]],
    ["nothing to choose from", { count: 1, env_cycle: { A: [] } }, ["env_cycle.A"]],
    ["a relative path", { each: [{ files: { "a/b": "x" } }] }, ["each.0.files.a/b"]],
    ["an `each` that is too large", { each: Array.from({ length: 9 }, () => ({ files: { "/a": large } })) }, ["each"]],
    ["two commands", { count: 1, command: { argv: ["a"], shell: "b" } }, ["command"]],
    ["an unknown field", { count: 1, replicas: 2 }, [""]],
    ["a wait without end", { count: 1, deadline_s: 1e9 }, ["deadline_s"]],
    ["a name that leaves no room for the index", { count: 1, name: "n".repeat(57) }, ["name"]],
  ];
  it.each(cases)("%s", (_what, body, paths) => {
    expect(pathsOf(body)).toEqual(paths);
  });

  it("is too large as a whole although no part of it is", () => {
    const values = Array.from({ length: 30 }, () => "x".repeat(30_000));
    expect(pathsOf({ count: 1, env_cycle: { A: values } })).toEqual([""]);
  });

  it("of a source that is two", () => {
    const parsed = api.CreateForkBody.safeParse({ source: { image: "a", snapshot: "b" }, count: 1 });
    expect(parsed.success).toBe(false);
  });
});

const parent = newId("sbx");
const fork: Fork = {
  id: newId("frk"),
  orgId: newId("org"),
  source: { kind: "sandbox", sandboxId: parent },
  spec: specOf({ count: 2, command: "x", policy: { best: "max" }, env: { TOKEN: "secret" } }),
  state: "done",
  stateReason: null,
  includes: ["files"],
  freeze: { way: "copy", pausedMs: 1.5, skipped: [] },
  counts: { total: 2, waiting: 0, starting: 0, running: 0, succeeded: 2, failed: 0, cancelled: 0, lost: 0 },
  inWaves: false,
  winner: 1,
  version: 7,
  createdAt: 0,
  startedAt: 1,
  endedAt: 2,
  deadlineAt: 3,
};
const child: ForkChild = {
  index: 1,
  sandboxId: newId("sbx"),
  nodeId: "n1",
  state: "succeeded",
  attempts: 1,
  outcome: {
    exitCode: 0,
    signal: null,
    timedOut: false,
    durationMs: 3,
    stdout: "4\n",
    stderr: "ab",
    stdoutBytes: 2,
    stderrBytes: 9,
    changes: { added: 1, changed: 0, deleted: 0, bytes: 5 },
  },
  score: 4,
  error: null,
  startMs: 2.5,
  startedAt: 1,
  endedAt: 2,
};

describe("what is shown", () => {
  it("of a fork is what the schema promises, and nothing of its environment", () => {
    const view = forkView(fork, child);
    expect(api.Fork.strict().parse(view)).toEqual(view);
    expect(JSON.stringify(view)).not.toContain("secret");
    expect(view).toMatchObject({ source: { sandbox: parent }, policy: { best: "max" }, winner: { index: 1, sandbox_id: child.sandboxId } });
  });

  it("leads to the next call, whatever the state", () => {
    const fixOf = (changes: Partial<Fork>, winner?: ForkChild) => forkView({ ...fork, ...changes }, winner).fix;
    expect(fixOf({}, child)).toContain(`POST /v1/sandboxes/${child.sandboxId}/promote`);
    expect(fixOf({})).toContain("children?after=0&limit=1");
    expect(fixOf({ winner: null })).toContain(`GET /v1/forks/${fork.id}/children`);
    expect(fixOf({ winner: null, counts: { ...fork.counts, failed: 1 } })).toContain("state=failed");
    expect(fixOf({ state: "running" })).toContain(`POST /v1/forks/${fork.id}/cancel`);
    expect(fixOf({ state: "running", stateReason: "quota" })).toMatch(/quota.*events/);
    expect(fixOf({ state: "running", stateReason: "no_room" })).toMatch(/room.*events/);
    expect(fixOf({ state: "running", stateReason: "none_fits" })).toMatch(/large enough.*v1\/nodes.*limits.*cancel/);
    expect(fixOf({ state: "running", stateReason: "over_capacity" })).toMatch(/hold all.*v1\/nodes.*cancel/);
  });

  it("of a child tells whether its output is whole", () => {
    const view = forkChildView(child);
    expect(api.ForkChild.strict().parse(view)).toEqual(view);
    expect(view.outcome).toMatchObject({ stdout_truncated: false, stderr_truncated: true, changes: { added: 1 } });
  });

  it("of an event is its number, its time and what changed", () => {
    const { index, sandboxId, state } = child;
    const event = {
      kind: "children" as const,
      counts: fork.counts,
      children: [{ index, sandboxId, state, exitCode: 0, score: 4 }],
    };
    const view = forkEventView({ seq: 3, at: 0, event });
    expect(api.ForkEvent.parse(view)).toEqual(view);
    expect(view).toMatchObject({ seq: 3, event: "children", children: [{ index: 1, sandbox_id: sandboxId, exit_code: 0 }] });
  });
});
