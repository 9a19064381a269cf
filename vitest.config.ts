import { defineConfig } from "vitest/config";

const unit = ["packages/**/*.test.ts", "services/**/*.test.ts", "test/tidy/**/*.test.ts", "test/bench/**/*.test.ts"];
/** On NATS and Postgres of each file's own, and mostly waiting for them. */
const beside = [
  "test/integration/gateway/**/*.test.ts",
  "test/integration/scheduler/**/*.test.ts",
  "test/integration/platform/**/*.test.ts",
  "test/integration/volume-manager/**/*.test.ts",
];
/** Each with what it measures, or with the whole machine against it, or with mounts of which a container that starts beside would have a copy. */
const alone = [
  "test/e2e/hostile.test.ts",
  "test/e2e/object-volumes.test.ts",
  "test/e2e/apart/object-volumes.test.ts",
  "test/integration/native/hostile.test.ts",
  "test/integration/node/pool.test.ts",
  "test/integration/node/blanks.test.ts",
  "test/integration/node/object-mounts.test.ts",
  "test/integration/node/object-stores.test.ts",
  "test/integration/layers/layer-tar.test.ts",
  "test/integration/image-builder/engine-dockerfile.test.ts",
  "test/integration/image-builder/engine-network.test.ts",
];
/** Nothing of one file is there for the next but the modules, which then are read once. */
const pure = { isolate: false, maxWorkers: "100%" };
const real = { globalSetup: ["test/global-setup.ts"], testTimeout: 180_000, hookTimeout: 240_000 };

export default defineConfig({
  test: {
    projects: [
      { test: { name: "unit", include: unit, testTimeout: 10_000, ...pure } },
      { test: { name: "sim", include: ["test/sim/**/*.test.ts"], ...pure } },
      { test: { name: "services", include: beside, ...real, maxWorkers: 3, sequence: { groupOrder: 1 } } },
      {
        test: {
          name: "integration",
          include: ["test/integration/**/*.test.ts", "test/e2e/**/*.test.ts"],
          exclude: [...beside, ...alone],
          ...real,
          // Much of it waits for what takes its time; more at once than the machine has cores would make failures of load.
          maxWorkers: 2,
          sequence: { groupOrder: 2 },
        },
      },
      { test: { name: "alone", include: alone, ...real, fileParallelism: false, sequence: { groupOrder: 3 } } },
    ],
  },
});
