import { spawn } from "node:child_process";
import { constants } from "node:os";
import { join } from "node:path";
import { NODE_24, ROOT } from "./workspace.mjs";

const FORWARDED = /** @type {const} */ (["SIGINT", "SIGTERM", "SIGHUP"]);

/**
 * Runs a TypeScript program of the workspace in the foreground and gives back its exit code.
 * The channel tells the program when this process is gone, even by SIGKILL: then it stops in order.
 * @param {string} script @param {string[]} args @param {Record<string, string>} [env]
 * @returns {Promise<number>}
 */
export function runService(script, args, env = {}) {
  return run([join(ROOT, script), ...args], env, ["inherit", "inherit", "inherit", "ipc"]);
}

/** @param {string} script @param {string[]} args @param {Record<string, string>} [env] */
export function runScript(script, args, env = {}) {
  return run([join(ROOT, script), ...args], env, "inherit");
}

/** @param {string[]} argv @param {Record<string, string>} env @param {import("node:child_process").StdioOptions} stdio @returns {Promise<number>} */
function run(argv, env, stdio) {
  return new Promise((resolve, reject) => {
    const child = spawn(NODE_24, argv, { env: { ...process.env, ...env }, stdio });
    // A terminal sends Ctrl-C to both processes, a supervisor only to this one: here it is passed on only where the child has not had it.
    const forward = (/** @type {NodeJS.Signals} */ signal) => {
      if (signal !== "SIGINT" || !process.stdin.isTTY) child.kill(signal);
    };
    for (const signal of FORWARDED) process.on(signal, forward);
    child.once("error", reject);
    child.once("exit", (code, signal) => resolve(code ?? 128 + constants.signals[signal ?? "SIGKILL"]));
  });
}
