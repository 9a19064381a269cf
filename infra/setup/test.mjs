import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bootstrap } from "./bootstrap.mjs";
import { runScript } from "./child.mjs";
import { runCommand } from "./report.mjs";
import { countResults } from "./results.mjs";

/** What one run makes and the next one needs again: the base image, the log of the set-up. */
const CACHE_DIR_DEFAULT = "/var/cache/banyan";

/** `npm test [-- <vitest arguments>]`: set-up, type check, every test; the last line is `N passed, N failed`. */
await runCommand(async () => {
  const cacheDir = process.env.BANYAN_TEST_CACHE_DIR ?? CACHE_DIR_DEFAULT;
  mkdirSync(cacheDir, { recursive: true });
  await bootstrap(cacheDir, { forTests: true });
  const workDir = mkdtempSync(join(tmpdir(), "banyan-test-"));
  try {
    // Not /tmp: where that is memory, what tests write there counts against the limits they test.
    const env = { BANYAN_TEST_CACHE_DIR: cacheDir, TMPDIR: "/var/tmp" };
    const resultsPath = join(workDir, "results.json");
    // Beside the tests: it says something only where something is wrong.
    const types = runScript("node_modules/typescript/bin/tsc", ["--noEmit", "-p", "tsconfig.json"]);
    const vitestExit = await runScript(
      "node_modules/vitest/vitest.mjs",
      ["run", "--reporter=default", "--reporter=json", `--outputFile.json=${resultsPath}`, ...process.argv.slice(2)],
      env,
    );
    const typesExit = await types;
    const { passed, failed } = countResults(resultsPath, vitestExit);
    const failedInAll = failed + (typesExit === 0 ? 0 : 1);
    if (typesExit !== 0) process.stdout.write("The types do not check: see above. It counts as one failure.\n");
    process.stdout.write(`\n${passed} passed, ${failedInAll} failed\n`);
    return failedInAll === 0 ? 0 : 1;
  } finally {
    rmSync(workDir, { recursive: true, force: true });
  }
});
