import { existsSync, readFileSync } from "node:fs";

/**
 * Counts tests from vitest's JSON report. A file that could not be run, an error outside of any test, a crash of the runner
 * and a run without a single test are failures too: silence is never a pass.
 * @param {string} path @param {number} exitCode
 * @returns {{ passed: number, failed: number }}
 */
export function countResults(path, exitCode) {
  if (!existsSync(path)) return { passed: 0, failed: 1 };
  /** @type {{ testResults: { status: string, assertionResults: { status: string }[] }[] }} */
  const report = JSON.parse(readFileSync(path, "utf8"));
  let passed = 0;
  let failed = 0;
  for (const file of report.testResults) {
    const failedHere = file.assertionResults.filter((test) => test.status === "failed").length;
    passed += file.assertionResults.filter((test) => test.status === "passed").length;
    failed += failedHere === 0 && file.status === "failed" ? 1 : failedHere;
  }
  if (failed === 0 && (exitCode !== 0 || passed === 0)) failed = 1;
  return { passed, failed };
}
