import { defineConfig } from "vitest/config";

const unit = ["packages/**/*.test.ts", "services/**/*.test.ts", "test/tidy/**/*.test.ts", "test/bench/**/*.test.ts"];
/** On NATS and Postgres of each file's own, and mostly waiting for them. */
const beside = [
  "test/integration/gateway/**/*.test.ts",
  "test/integration/scheduler/**/*.test.ts",
  "test/integration/platform/**/*.test.ts",
];
const real = { globalSetup: ["test/global-setup.ts"], testTimeout: 60_000, hookTimeout: 180_000 };

export default defineConfig({
  test: {
    projects: [
      { test: { name: "unit", include: unit, testTimeout: 10_000 } },
      { test: { name: "sim", include: ["test/sim/**/*.test.ts"] } },
      { test: { name: "services", include: beside, ...real, maxWorkers: 3, sequence: { groupOrder: 1 } } },
      {
        test: {
          name: "integration",
          include: ["test/integration/**/*.test.ts", "test/e2e/**/*.test.ts"],
          exclude: beside,
          ...real,
          // Real containers on few cores: files run one after another, so that a failure is never another file's load.
          fileParallelism: false,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
});
