import { existsSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { permissionsConfig } from "@banyan/bus";
import { expect, it } from "vitest";
import { ROOT } from "./sources.ts";

const results = await import(join(ROOT, "infra/setup/results.mjs"));
const flags = await import(join(ROOT, "infra/setup/flags.mjs"));

/** What vitest writes, as far as it is read. */
const report = (...files: { status: string; tests: string[] }[]) =>
  JSON.stringify({
    testResults: files.map(({ status, tests }) => ({ status, assertionResults: tests.map((test) => ({ status: test })) })),
  });

function count(json: string, exitCode: number): { passed: number; failed: number } {
  const path = join(mkdtempSync(join(tmpdir(), "banyan-results-")), "results.json");
  writeFileSync(path, json);
  return results.countResults(path, exitCode);
}

it("counts what passed and what failed", () => {
  const json = report({ status: "passed", tests: ["passed", "passed", "skipped"] }, { status: "failed", tests: ["passed", "failed"] });
  expect(count(json, 1)).toEqual({ passed: 3, failed: 1 });
});

it.each([
  ["a file that could not be run", report({ status: "passed", tests: ["passed"] }, { status: "failed", tests: [] }), 1],
  ["an error outside of any test", report({ status: "passed", tests: ["passed"] }), 1],
  ["a run without a test", report(), 0],
  ["only skipped tests", report({ status: "passed", tests: ["skipped"] }), 0],
])("takes %s for a failure", (_, json, exitCode) => {
  expect(count(json, exitCode).failed).toBe(1);
});

it("takes a run that left no report for a failure", () => {
  expect(results.countResults("/nonexistent/results.json", 0)).toEqual({ passed: 0, failed: 1 });
});

it("turns the flags of npm start into settings, and lets them win over the environment's data directory", () => {
  expect(flags.parseStartFlags(["--port", "8080", "--no-demo", "--data-dir", "/srv/b"])).toEqual({
    kind: "start",
    dataDir: "/srv/b",
    env: { BANYAN_HTTP_PORT: "8080", BANYAN_DEMO: "off", BANYAN_DATA_DIR: "/srv/b" },
  });
});

it("gives the broker of the composition the permissions the bus declares", () => {
  const written = readFileSync(join(ROOT, "infra/nats/permissions.conf"), "utf8").replace(/^#.*\n/, "");
  const password = (user: string) => `$BANYAN_NATS_${user.toUpperCase().replaceAll("-", "_")}_PASSWORD`;
  const services = (["gateway", "scheduler", "image-builder", "volume-manager", "publisher"] as const).map((kind) => ({
    user: kind,
    password: password(kind),
    role: { kind },
  }));
  const declared = permissionsConfig([...services, { user: "node", password: password("node"), role: { kind: "node", nodeId: "*" } }]);
  expect(written).toBe(declared.replaceAll(/"(\$BANYAN_NATS_[A-Z_]+)"/g, "$1"));
});

it("names only tests that are there to be run apart from the others", () => {
  const named = [...readFileSync(join(ROOT, "vitest.config.ts"), "utf8").matchAll(/"(test\/[^"*]+)"/g)].map(([, path = ""]) => path);
  expect(named.length).toBeGreaterThan(5);
  expect(named.filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
});
