import { ImageSpec, type ImageSpecInput } from "@banyan/contracts";
import fc from "fast-check";
import { expect, it } from "vitest";
import { mergeConfig, normalise } from "./normalise.ts";
import type { ResolvedBase } from "./plan.ts";

const digest = (letter: string) => `sha256:${letter.repeat(64)}`;
const base = (letter = "a", changes: Partial<ResolvedBase> = {}): ResolvedBase => ({
  reference: "default",
  pinnedTo: "img_1",
  config: { env: { PATH: "/bin" }, workdir: "/workspace", user: "root", entrypoint: [], ready: null, resources: {} },
  source: { kind: "layers", layers: [{ digest: digest(letter), sizeBytes: 1 }] },
  ...changes,
});
const plan = (spec: ImageSpecInput, changes = {}) =>
  normalise({ orgId: "org_a", spec: ImageSpec.parse(spec), base: base(), from: [], architecture: "x64", ...changes });
const keys = (spec: ImageSpecInput) => plan(spec).steps.map(({ key }) => key);

it("puts the short form before the steps, packages first", () => {
  const { steps } = plan({
    steps: [{ run: "last" }],
    commands: ["make"],
    files: [{ path: "/a", content: "x" }],
    npm: ["typescript@5"],
    pip: ["numpy"],
    apt: ["jq"],
    workdir: "/app",
  });
  expect(steps.map(({ title }) => title)).toEqual([
    "apt jq",
    "pip numpy",
    "npm itself, where the base has none",
    "npm typescript@5",
    "workdir /app",
    "files /a",
    "run make",
    "run last",
  ]);
  expect(steps.map(({ index }) => index)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
});

it("lets env, workdir and user hold from where they are stated", () => {
  const { steps, config } = plan({
    env: { A: "1" },
    steps: [{ run: "a" }, { env: { B: "2" } }, { workdir: "/app" }, { user: "agent" }, { run: "b" }, { apt: ["jq"] }],
  });
  const run = (title: string) => steps.find((step) => step.title === title);
  expect(run("run a")).toMatchObject({ env: { A: "1" }, workdir: null, user: null });
  expect(run("run b")).toMatchObject({ env: { A: "1", B: "2" }, workdir: "/app", user: "agent" });
  expect(run("apt jq")).toMatchObject({ user: null });
  expect(config).toMatchObject({ env: { A: "1", B: "2" }, workdir: "/app", user: "agent" });
});

it("changes the key of what comes after a change, and of nothing before it", () => {
  const before = keys({ steps: [{ apt: ["jq"] }, { run: "a" }, { run: "b" }] });
  const after = keys({ steps: [{ apt: ["jq"] }, { run: "a" }, { run: "c" }] });
  expect(after.slice(0, 2)).toEqual(before.slice(0, 2));
  expect(after[2]).not.toBe(before[2]);
});

it("gives the short form the keys of the same steps written out", () => {
  expect(keys({ apt: ["jq"], commands: ["make"] })).toEqual(keys({ steps: [{ apt: ["jq"] }, { run: "make" }] }));
});

const shuffled = (value: unknown, seed: number): unknown => {
  if (Array.isArray(value)) return value.map((inner) => shuffled(inner, seed));
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).map(([key, inner]) => [key, shuffled(inner, seed)] as const);
  return Object.fromEntries(entries.toSorted(([a], [b]) => ((a.charCodeAt(0) * seed) % 7) - ((b.charCodeAt(0) * seed) % 7)));
};
it("does not look at the order of a client's keys", () => {
  const spec: ImageSpecInput = {
    apt: ["jq"],
    env: { B: "2", A: "1" },
    steps: [{ run: "x", secrets: ["B_B", "A_A"], network: "closed" }, { file: { path: "/f", content: "y", mode: "0755" } }],
    resources: { memory_mb: 512, cpu: 1 },
  };
  fc.assert(fc.property(fc.nat(100), (seed) => plan(shuffled(spec, seed) as ImageSpecInput).key === plan(spec).key));
});

it("counts everything that changes the image", () => {
  const variants: [ImageSpecInput, object?][] = [
    [{}],
    [{ apt: ["jq"] }],
    [{ apt: ["jq=1.7"] }],
    [{ env: { A: "1" } }],
    [{ user: "agent" }],
    [{ workdir: "/x" }],
    [{ entrypoint: ["/bin/true"] }],
    [{ ready: { port: 80 } }],
    [{ ready: { port: 81 } }],
    [{ resources: { cpu: 2 } }],
    [{ commands: ["x"] }],
    [{ steps: [{ run: "x", secrets: ["TOKEN"] }] }],
    [{ steps: [{ run: "x", network: "closed" }] }],
    [{ steps: [{ env: { A: "1" } }, { run: "x" }] }],
    [{ steps: [{ user: "agent" }, { run: "x" }] }],
    [{ files: [{ path: "/a", content: "1" }] }],
    [{ files: [{ path: "/a", content: "2" }] }],
    [{ files: [{ path: "/a", content: "1", mode: "755" }] }],
    [{ steps: [{ copy: { context: digest("c"), to: "/a" } }] }],
    [{ steps: [{ copy: { context: digest("d"), to: "/a" } }] }],
    [{}, { base: base("b") }],
    [{}, { architecture: "arm64" }],
    [{}, { orgId: "org_b" }],
    [{}, { base: base("a", { config: { ...base().config, entrypoint: ["x"] } as never }) }],
    [{ dockerfile: "FROM a" }],
    [{ dockerfile: "FROM a", context: digest("c") }],
    [{ dockerfile: "FROM a", build_args: { V: "1" } }],
    [{ dockerfile: "FROM a" }, { from: [base("f")] }],
  ];
  const made = variants.map(([spec, changes]) => plan(spec, changes).key);
  expect(new Set(made).size).toBe(made.length);
});

it("does not look at what a base is called, nor at how long a step may take", () => {
  expect(plan({}, { base: base("a", { reference: "other", pinnedTo: "img_2" }) }).key).toBe(plan({}).key);
  expect(plan({ steps: [{ run: "x", timeout_s: 5 }] }).key).toBe(plan({ steps: [{ run: "x" }] }).key);
  expect(plan({ base: "default" }).key).toBe(plan({ base: "renamed" }).key);
});

it("keeps one organisation's steps from another's, whose secrets and contexts they may hold", () => {
  const ours = plan({ apt: ["jq"] });
  const theirs = plan({ apt: ["jq"] }, { orgId: "org_b" });
  expect(ours.steps[0]?.key).not.toBe(theirs.steps[0]?.key);
});

it("makes no layer for what is only config", () => {
  const { steps } = plan({ steps: [{ run: "a" }, { env: { A: "1" } }, { user: "agent" }] });
  expect(steps.map(({ kind }) => kind)).toEqual(["run", "config", "config"]);
  expect(new Set(steps.map(({ key }) => key)).size).toBe(1);
});

it("brings npm along once", () => {
  const { steps } = plan({ npm: ["a"], steps: [{ npm: ["b"] }] });
  expect(steps.map(({ title }) => title)).toEqual(["npm itself, where the base has none", "npm a", "npm b"]);
});

it("writes package names so that the shell takes them as they are", () => {
  const [apt] = plan({ apt: ["libstdc++6:amd64=12.2.0~x"] }).steps;
  expect(apt?.script).toContain("--no-install-recommends 'libstdc++6:amd64=12.2.0~x'");
  expect(ImageSpec.safeParse({ apt: ["jq; rm -rf /"] }).success).toBe(false);
  expect(ImageSpec.safeParse({ pip: ["--index-url=http://evil"] }).success).toBe(false);
  expect(ImageSpec.safeParse({ npm: ["$(id)"] }).success).toBe(false);
});

it("refuses a spec that comes to more steps than an image may have", () => {
  const commands = Array.from({ length: 100 }, (_, index) => `echo ${index}`);
  expect(() => plan({ commands, apt: ["jq"] })).toThrow(/101 steps/);
  expect(plan({ commands }).steps).toHaveLength(100);
});

it("cuts long titles and keeps them on one line", () => {
  const [step] = plan({ commands: [`a\n\tb ${"x".repeat(500)}`] }).steps;
  expect(step?.title).toHaveLength(200);
  expect(step?.title).toMatch(/^run a b x/);
});

it("reads modes as octal and content as text or base64", () => {
  const [step] = plan({
    files: [{ path: "/a", content_base64: Buffer.from([0, 255]).toString("base64"), mode: "0755", owner: "agent" }],
  }).steps;
  expect(step?.files).toEqual([{ path: "/a", bytes: Buffer.from([0, 255]), mode: 0o755, owner: "agent" }]);
});

it("says what a spec leaves open", () => {
  expect(plan({ pip: ["numpy", "pandas==2.2"] }).warnings).toEqual([expect.stringContaining("numpy.")]);
  expect(plan({ base: "other", dockerfile: "FROM scratch" }).warnings).toEqual([expect.stringContaining("`base` has no effect")]);
  expect(plan({ apt: ["jq"] }).warnings).toEqual([]);
});

it("lays a spec's config over its base's", () => {
  const { config } = plan({ env: { A: "1" }, resources: { cpu: 2 } });
  expect(mergeConfig(base().config as never, config)).toEqual({
    env: { PATH: "/bin", A: "1" },
    workdir: "/workspace",
    user: "root",
    entrypoint: [],
    ready: null,
    resources: { cpu: 2 },
  });
});
