import { spawn } from "node:child_process";
import { closeSync, fstatSync, mkdirSync, openSync, readFileSync, writeSync } from "node:fs";
import { dirname } from "node:path";

const TAIL_LINES = 12;

/** What stops the set-up on purpose: one clear sentence, and what to do about it. */
export class Refusal extends Error {
  /** @param {string} sentence @param {string} advice */
  constructor(sentence, advice) {
    super(sentence);
    this.advice = advice;
  }
}

/**
 * Tells the user what is being done, one line a step with its seconds; whatever the programs say goes to the log file.
 * @param {string} logPath
 */
export function openReport(logPath) {
  mkdirSync(dirname(logPath), { recursive: true });
  const log = openSync(logPath, "a");
  writeSync(log, `\n== ${new Date().toISOString()} ${process.argv.slice(1).join(" ")}\n`);
  const startedAt = performance.now();
  let steps = 0;

  return {
    logPath,
    /** True when any step had something to do. */
    worked: () => steps > 0,
    elapsedS: () => ((performance.now() - startedAt) / 1000).toFixed(1),

    /** @template T @param {string} label @param {() => Promise<T>} work @returns {Promise<T>} */
    async step(label, work) {
      steps += 1;
      const from = performance.now();
      process.stdout.write(`  ${label.padEnd(62)} `);
      writeSync(log, `-- ${label}\n`);
      try {
        const result = await work();
        process.stdout.write(`${seconds(from)}\n`);
        return result;
      } catch (error) {
        process.stdout.write(`failed after ${seconds(from)}\n`);
        throw error;
      }
    },

    /** @param {string} line */
    note(line) {
      writeSync(log, `${line}\n`);
    },

    /**
     * Runs a program with its output in the log. It has a process group of its own, so that a Ctrl-C does not leave
     * a half-installed package: the set-up ends after the program has.
     * @param {string} program @param {string[]} args @param {{ cwd?: string, env?: NodeJS.ProcessEnv, advice?: string }} [options]
     */
    async run(program, args, options = {}) {
      writeSync(log, `$ ${program} ${args.join(" ")}\n`);
      const outputFrom = fstatSync(log).size;
      const status = await new Promise((resolve) => {
        const child = spawn(program, args, {
          cwd: options.cwd,
          env: { ...process.env, ...options.env },
          stdio: ["ignore", log, log],
          detached: true,
        });
        child.once("error", (error) => resolve(error.message));
        child.once("exit", (code, signal) => resolve(code === 0 ? null : `ended with ${signal ?? code}`));
      });
      if (status === null) return;
      throw new Refusal(
        `\`${program} ${args.slice(0, 3).join(" ")} …\` ${status}:\n${tail(logPath, outputFrom)}`,
        options.advice ?? `The whole output is in ${logPath}.`,
      );
    },

    close: () => closeSync(log),
  };
}

/** @typedef {ReturnType<typeof openReport>} Report */

/** @param {number} from */
const seconds = (from) => `${((performance.now() - from) / 1000).toFixed(1).padStart(6)} s`;

/** @param {string} path @param {number} from */
const tail = (path, from) =>
  readFileSync(path)
    .subarray(from)
    .toString()
    .trimEnd()
    .split("\n")
    .slice(-TAIL_LINES)
    .map((line) => `    ${line}`)
    .join("\n");

/**
 * Runs the main function of a command; a refusal becomes its sentence, anything else its stack.
 * @param {() => Promise<number>} main
 */
export async function runCommand(main) {
  try {
    process.exitCode = await main();
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    process.stderr.write(`\nbanyan: ${error.message}\n        ${error.advice}\n`);
    process.exitCode = 1;
  }
}
