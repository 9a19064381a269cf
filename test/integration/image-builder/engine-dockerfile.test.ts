import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { StepFailed } from "@banyan/image-builder";
import { afterAll, beforeAll, expect, it } from "vitest";
import { BuildHarness, logOf, statesOf } from "./build-harness.ts";

let harness: BuildHarness;
beforeAll(async () => {
  harness = await BuildHarness.open();
});
afterAll(async () => {
  await harness?.close();
});

async function failureOf(building: Promise<unknown>): Promise<StepFailed> {
  const thrown = await building.then(
    () => null,
    (error: unknown) => error,
  );
  expect(thrown).toBeInstanceOf(StepFailed);
  return thrown as StepFailed;
}

const GOOD = `# what agents write
FROM default AS build
ARG GREETING=none
RUN echo "$GREETING" > /greeting && pwd > /where && echo warning >&2
FROM default
COPY --from=build /greeting /where /
COPY . /
RUN rm /etc/issue
ENV MODE="a b"
WORKDIR /app
USER 1000:1000
ENTRYPOINT ["python3", "main.py"]
CMD ["--help"]
`;

it("builds a Dockerfile upon an image of ours, with its context and its arguments", async () => {
  const context = await harness.upload([[{ name: "app/main.py" }, "print(1)"]]);
  const spec = { dockerfile: GOOD, context, build_args: { GREETING: "hello $you" } };
  const { result, said } = await harness.build(spec);
  expect(result.config).toMatchObject({
    env: { MODE: "a b", LANG: "C.UTF-8" },
    workdir: "/app",
    user: "1000:1000",
    entrypoint: ["python3", "main.py", "--help"],
  });
  expect(result.layers[0]).toEqual(harness.base.source.kind === "layers" && harness.base.source.layers[0]);
  const root = await harness.mount(result.layers);
  expect(readFileSync(join(root, "greeting"), "utf8")).toBe("hello $you\n");
  expect(readFileSync(join(root, "where"), "utf8")).toBe("/workspace\n");
  expect(readFileSync(join(root, "app/main.py"), "utf8")).toBe("print(1)");
  expect(existsSync(join(root, "etc/issue"))).toBe(false);
  expect(readdirSync(root).filter((name) => name.startsWith("."))).toEqual([]);
  expect(Object.values(statesOf(said))).toEqual(Array.from({ length: 12 }, () => "done"));
  expect(said).toContainEqual({ kind: "log", step: 2, stream: "stderr", text: "warning" });
  expect(result.history.map(({ title }) => title)).toContain("RUN rm /etc/issue");

  const again = await harness.build(spec);
  expect(again.result.layers).toEqual(result.layers);
  expect(again.said).toEqual([{ kind: "exporting" }]);
});

it("does the steps before a changed one no second time", async () => {
  const text = (last: string) => `FROM default\nRUN echo first > /first\nRUN ${last}\n`;
  await failureOf(harness.build({ dockerfile: text("exit 4") }));
  const { said } = await harness.build({ dockerfile: text("true") });
  expect(statesOf(said)).toMatchObject({ "RUN echo first > /first": "cached", "RUN true": "done" });
});

it("goes on where another builder of the engine has ended and taken the network away", async () => {
  const text = (last: string) => `FROM default\nRUN echo ${last} > /last\n`;
  await harness.build({ dockerfile: text("one"), network: "open" });
  await harness.docker.getNetwork("banyan-builds").remove();
  const { said } = await harness.build({ dockerfile: text("two"), network: "open" });
  expect(statesOf(said)).toMatchObject({ "RUN echo two > /last": "done" });
});

it("names the line that failed, with its exit code and what it said", async () => {
  const failed = await failureOf(harness.build({ dockerfile: "FROM default\nRUN echo almost; nonsense-command\n" }));
  expect(failed).toMatchObject({ step: 1, exitCode: 127 });
  // The two streams come as they come.
  expect(failed.lastLines).toEqual(expect.arrayContaining(["almost", "/bin/sh: 1: nonsense-command: not found"]));
});

it.each([
  ["an unknown instruction", "FROM default\nFETCH x\n", /line 2: unknown instruction: FETCH/],
  ["nothing but comments", "# nothing\n", /no FROM/],
  ["a way out of the context", "FROM default\nCOPY ../../etc/passwd /x\n", /line 2: COPY leads out of the context/],
  ["a file where no context is", "FROM default\nCOPY a /x\n", /needs a `context`/],
  ["an instruction without its arguments", "FROM default\nCOPY onlyone\n", /parse error|requires at least two arguments|needs a `context`/],
])("refuses a Dockerfile with %s before any work", async (_name, dockerfile, words) => {
  const counting = await harness.countContainers();
  const failed = await failureOf(harness.build({ dockerfile }));
  expect(failed.lastLines.join("\n")).toMatch(words);
  expect(await counting.stop()).toBe(0);
});

it("says which file of the context is not there", async () => {
  const context = await harness.upload([[{ name: "here" }, "x"]]);
  const failed = await failureOf(harness.build({ dockerfile: "FROM default\nCOPY missing /x\n", context }));
  expect(failed).toMatchObject({ step: 1, exitCode: null });
  expect(failed.lastLines.at(-1)).toMatch(/missing/);
});

it("keeps a Dockerfile's steps in the memory they are given", async () => {
  const spec = { dockerfile: `FROM default\nRUN python3 -c "len(b'x' * 300_000_000)"\n` };
  const failed = await failureOf(harness.build(spec, { limits: { memoryMb: 64, cpu: 1, timeoutS: 60 } }));
  expect(failed).toMatchObject({ step: 1, exitCode: 137 });
});

it("stops a Dockerfile that is cancelled", async () => {
  const cancel = new AbortController();
  const building = harness.build(
    { dockerfile: "FROM default\nRUN echo begun; sleep 60\n" },
    { signal: cancel.signal, onSaid: (said) => logOf([said]) === "begun" && cancel.abort(new Error("cancelled by its owner")) },
  );
  await expect(building).rejects.toThrow("cancelled by its owner");
});

it("gives a Dockerfile's steps no network where it is closed", async () => {
  const dockerfile = "FROM default\nRUN test -z \"$(ls /sys/class/net | grep -v '^lo$')\"\n";
  const { result } = await harness.build({ dockerfile, network: "closed" });
  expect(result.layers.length).toBeGreaterThan(0);
});
