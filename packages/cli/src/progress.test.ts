import type { BuildEvent } from "@banyan/sdk";
import { expect, it } from "vitest";
import { showProgress } from "./progress.ts";

const at = "2026-01-01T00:00:00.000Z";
const step = { index: 0, title: "apt jq", durationMs: null, exitCode: null };
const EVENTS: BuildEvent[] = [
  { seq: 1, at, event: "state", state: "building" },
  { seq: 2, at, event: "step", step: { ...step, state: "running" } },
  { seq: 3, at, event: "log", step: 0, stream: "stdout", text: "Get:1\nUnpacking \u001b[31mjq\n" },
  { seq: 4, at, event: "step", step: { ...step, state: "failed", durationMs: 1_250, exitCode: 100 } },
];

function told(isTTY: boolean): string {
  let text = "";
  const progress = showProgress({ to: { isTTY, columns: 20, write: (part) => (text += part) } });
  for (const event of EVENTS) progress.tell(event);
  progress.end();
  return text;
}

it("tells every line where nobody watches, and lets no output move the cursor", () => {
  expect(told(false)).toBe(
    "building\nstep 0  running  apt jq\n  Get:1\n  Unpacking  [31mjq\nstep 0  failed  apt jq  1.3 s  exit code 100\n",
  );
});

it("keeps one line a step where somebody watches", () => {
  const lines = told(true).split("\n");
  expect(lines.slice(1)).toEqual([""]);
  expect(lines[0]?.split("\r").at(-1)).toContain("step 0  failed  apt jq  1.3 s  exit code 100");
});
