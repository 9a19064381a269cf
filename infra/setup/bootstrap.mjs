import { join } from "node:path";
import { checkMachine, dockerAnswers } from "./machine.mjs";
import { installPackages } from "./packages.mjs";
import { openReport } from "./report.mjs";
import { buildNative, installDependencies } from "./workspace.mjs";

/**
 * Brings the machine to where the services can run. On a machine that is ready it takes a fraction of a second and says nothing.
 * @param {string} stateDir where the log goes
 * @param {{ ownDocker?: boolean, forTests?: boolean }} [options]
 */
export async function bootstrap(stateDir, options = {}) {
  checkMachine();
  const report = openReport(join(stateDir, "log/setup.log"));
  try {
    const docker = !options.ownDocker && (await dockerAnswers());
    await installPackages(report, { docker, nats: isSet("NATS_URL"), postgres: isSet("DATABASE_URL") }, options.forTests ?? false);
    await installDependencies(report);
    await buildNative(report);
    if (report.worked()) process.stdout.write(`  Set up in ${report.elapsedS()} s; the log is ${report.logPath}\n`);
  } finally {
    report.close();
  }
}

/** @param {string} variable */
const isSet = (variable) => (process.env[variable] ?? "") !== "";
