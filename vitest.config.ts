import { defineConfig } from "vitest/config";

const unit = ["packages/**/*.test.ts", "services/**/*.test.ts", "test/tidy/**/*.test.ts"];

export default defineConfig({
  test: {
    projects: [
      { test: { name: "unit", include: unit, testTimeout: 10_000 } },
      { test: { name: "sim", include: ["test/sim/**/*.test.ts"] } },
      {
        test: {
          name: "integration",
          include: ["test/integration/**/*.test.ts", "test/e2e/**/*.test.ts"],
          globalSetup: ["test/global-setup.ts"],
          // Real containers on few cores: files run one after another, so that a failure is never another file's load.
          fileParallelism: false,
          testTimeout: 60_000,
          hookTimeout: 180_000,
        },
      },
    ],
  },
});
