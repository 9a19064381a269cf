import type { ForkChildInfo, ForkEvent, ForkInfo, Lineage } from "@banyan/sdk";
import { describe, expect, it } from "vitest";
import { collectCycle } from "./commands/fork.ts";
import { showForkProgress } from "./fork-progress.ts";
import { childrenTable, hasSucceeded } from "./fork-text.ts";
import { treeText } from "./tree-text.ts";

const at = "2026-01-01T00:00:00.000Z";
const none = { total: 20, waiting: 0, starting: 0, running: 0, succeeded: 0, failed: 0, cancelled: 0, lost: 0 };
const EVENTS: ForkEvent[] = [
  { seq: 1, at, event: "state", state: "running", reason: null },
  { seq: 2, at, event: "children", counts: { ...none, waiting: 10, running: 10 }, children: [] },
  { seq: 3, at, event: "children", counts: { ...none, running: 15, succeeded: 4, failed: 1 }, children: [] },
  { seq: 4, at, event: "children", counts: { ...none, running: 15, succeeded: 5 }, children: [] },
  { seq: 5, at, event: "state", state: "cancelled", reason: "deadline" },
];

function told(isTTY: boolean): string {
  let text = "";
  const progress = showForkProgress({ to: { isTTY, columns: 60, write: (part) => (text += part) } });
  for (const event of EVENTS) progress.tell(event);
  progress.end();
  return text;
}

describe("the way of a fork", () => {
  it("is a line for a tenth of it in a log", () => {
    expect(told(false)).toBe("running\n5/20  4 succeeded, 1 failed, 15 running\ncancelled (deadline)\n");
  });

  it("is one line that is written over where somebody watches, no wider than the terminal, and gone at the end", () => {
    const shown = told(true).split("\r\u001b[K");
    expect(told(true)).not.toContain("\n");
    expect(shown.every((line) => line.length < 60)).toBe(true);
    expect(shown[3]).toMatch(/^\[#{6}-{18}\] 5\/20 {2}4 succeeded/);
    expect(shown.at(-1)).toBe("");
  });
});

const outcome = {
  exitCode: 0,
  signal: null,
  timedOut: false,
  oomKilled: false,
  durationMs: 1_500,
  stdout: "",
  stderr: "",
  stdoutBytes: 0,
  stderrBytes: 0,
  stdoutTruncated: false,
  stderrTruncated: false,
  changes: { added: 3, changed: 1, deleted: 0, bytes: 9 },
};
const child: ForkChildInfo = {
  index: 0,
  sandboxId: "sbx_a",
  nodeId: "n1",
  state: "succeeded",
  attempts: 1,
  outcome: { ...outcome, stdout: "\u001b[31mfirst\nsecond\n" },
  score: 2.5,
  error: null,
  startMs: 1,
  startedAt: at,
  endedAt: at,
};

describe("what became of the children", () => {
  const children: ForkChildInfo[] = [
    child,
    {
      ...child,
      index: 1,
      state: "failed",
      outcome: { ...outcome, exitCode: null, timedOut: true, oomKilled: false, stderr: "late", changes: null },
    },
    { ...child, index: 2, sandboxId: null, state: "failed", outcome: null, error: { code: "node.no_slot", message: "No slot." } },
  ];
  const rows = (fork: Pick<ForkInfo, "winner" | "policy">) => childrenTable(children, fork).split("\n").slice(1);

  it("is a line each: how it ended, what it changed, the first that it printed without what moves a cursor", () => {
    const [first, second, third] = rows({ winner: { index: 0 }, policy: { best: "max" } });
    expect(first).toMatch(/^0\*\s+sbx_a\s+succeeded\s+0\s+1\.50\s+2\.5\s+\+3 ~1 -0\s+\[31mfirst$/);
    expect(second).toMatch(/^1\s+sbx_a\s+failed\s+timeout\s+1\.50\s+2\.5\s+-\s+late$/);
    expect(third).toMatch(/^2\s+-\s+failed\s+-\s+-\s+2\.5\s+-\s+No slot\.$/);
  });

  it("has a score only where it is about one", () => {
    expect(childrenTable(children, { winner: null, policy: "all" })).not.toContain("SCORE");
  });

  it("is a success when all succeeded, or one has won", () => {
    const fork = { policy: "all", winner: null, state: "done", counts: { ...none, succeeded: 20 } } as ForkInfo;
    expect(hasSucceeded(fork)).toBe(true);
    expect(hasSucceeded({ ...fork, counts: { ...none, succeeded: 19, failed: 1 } })).toBe(false);
    expect(hasSucceeded({ ...fork, state: "failed" })).toBe(false);
    expect(hasSucceeded({ ...fork, policy: "first_success" })).toBe(false);
    expect(hasSucceeded({ ...fork, policy: { best: "min" }, winner: { index: 3 } })).toBe(true);
  });
});

describe("a tree", () => {
  type Member = Lineage["sandboxes"][number];
  const member = (
    id: string,
    parentId: string | null,
    forkId: string | null,
    index: number | null,
    more: Partial<Member> = {},
  ): Member => ({
    ...{ id, parentId, forkId, index, name: null, state: "stopped", createdAt: at, promotions: [] },
    ...more,
  });
  const lineage: Lineage = {
    rootId: "sbx_root",
    sandboxes: [
      member("sbx_root", null, null, null, { state: "running", promotions: [{ childId: "sbx_b", at, forced: false }] }),
      member("sbx_a", "sbx_root", "frk_1", 0),
      member("sbx_b", "sbx_root", "frk_1", 1, { name: "try-1" }),
      member("sbx_c", "sbx_root", "frk_1", 2, { state: "deleted" }),
      member("sbx_d", "sbx_a", "frk_2", 0),
    ],
    forks: [{ id: "frk_1", parentId: "sbx_root", state: "done", counts: { ...none, total: 3, succeeded: 2, failed: 1 } }],
    truncated: false,
  };

  it("is drawn from its root, with the forks between", () => {
    expect(treeText(lineage, "sbx_d")).toBe(
      [
        "sbx_root  running  took over sbx_b",
        "└─ frk_1  done  2 succeeded, 1 failed",
        "   ├─ #0  sbx_a  stopped",
        "   │  └─ frk_2",
        "   │     └─ #0  sbx_d  stopped  ← here",
        "   ├─ #1  sbx_b  try-1  stopped",
        "   └─ #2  sbx_c  deleted",
      ].join("\n"),
    );
  });

  it("of many children names those that were forked or promoted, and counts the rest", () => {
    const many = Array.from({ length: 50 }, (_, index) => member(`sbx_m${index}`, "sbx_root", "frk_1", index + 3));
    const text = treeText({ ...lineage, sandboxes: [...lineage.sandboxes, ...many], truncated: true }, "sbx_m7");
    expect(text.match(/sbx_m\d+/g)).toEqual(["sbx_m7"]);
    for (const named of ["#0  sbx_a", "#1  sbx_b", "… 50 more: 1 deleted, 49 stopped", "larger than one answer"])
      expect(text).toContain(named);
  });
});

it("reads the values that children get in turn", () => {
  expect(collectCycle("A=1,2", { B: ["x"] })).toEqual({ A: ["1", "2"], B: ["x"] });
  expect(() => collectCycle("1,2")).toThrow(/key=a,b,c/);
});
