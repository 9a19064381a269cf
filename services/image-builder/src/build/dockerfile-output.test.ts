import { expect, it } from "vitest";
import type { Said } from "../domain/plan.ts";
import { DockerfileOutput } from "./dockerfile-output.ts";

function read(...texts: string[]): { said: Said[]; output: DockerfileOutput } {
  const said: Said[] = [];
  const output = new DockerfileOutput(
    (each) => said.push(each),
    () => 0,
  );
  for (const stream of texts) output.take({ stream });
  return { said, output };
}

const STEPS = ["Step 1/2 : FROM debian\n", " ---> 0123456789ab\n", "Step 2/2 : RUN make\n", " ---> Running in ba9876543210\n"];

it("finds the steps, their output and its stream in one text", () => {
  const { said, output } = read(
    ...STEPS,
    "mak",
    "ing\n",
    "\u001b[91mwarning: old\n\u001b[0m",
    " ---> aaaaaaaaaaaa\n",
    "Successfully built aaaaaaaaaaaa\n",
  );
  output.end("done");
  expect(said.map((each) => (each.kind === "step" ? `${each.step.index} ${each.step.title} ${each.step.state}` : each))).toEqual([
    "0 FROM debian running",
    "0 FROM debian done",
    "1 RUN make running",
    { kind: "log", step: 1, stream: "stdout", text: "making" },
    { kind: "log", step: 1, stream: "stderr", text: "warning: old" },
    "1 RUN make done",
  ]);
  expect(output.image).toBe("aaaaaaaaaaaa");
});

it("knows a step that was not done again", () => {
  const { said } = read(
    STEPS[0] ?? "",
    " ---> 0123456789ab\n",
    "Step 2/3 : RUN a\n",
    " ---> Using cache\n",
    " ---> bbbbbbbbbbbb\n",
    "Step 3/3 : RUN b\n",
  );
  expect(said).toContainEqual({ kind: "step", step: { index: 1, title: "RUN a", state: "cached", durationMs: 0, exitCode: null } });
});

it("names the step that failed and what it said last", () => {
  const { said, output } = read(...STEPS, "line one\n", "no newline at the end");
  output.end({ exitCode: 2 });
  expect(output.step).toBe(1);
  expect(output.lastLines).toEqual(["line one", "no newline at the end"]);
  expect(said.at(-1)).toMatchObject({ kind: "step", step: { index: 1, state: "failed", exitCode: 2 } });
});
