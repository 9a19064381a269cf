import { messageOf, systemClock } from "@banyan/kernel";
import { Banyan } from "@banyan/sdk";
import { type Config, readConfig } from "./config.ts";
import { type DataDir, openDataDir } from "./data-dir.ts";
import { demoFailure, runDemo } from "./demo.ts";
import { type LogFile, openLogFile } from "./log-file.ts";
import { assertPortFree } from "./port.ts";
import { type Standalone, startStandalone } from "./standalone.ts";
import { bold, complain, dim, say, step } from "./terminal.ts";

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
const EXIT_FORCED = 130;

const config = readConfigOrExit();
const dataDir = await openDataDir(config.dataDir, systemClock, () => say("  Waiting for the Banyan before this one to end.")).catch(giveUp);
const log = openLogFile(config.dataDir, config.logLevel, null);
// The state of a process after these is unknown; the next start adopts and repairs what this one leaves.
process.on("uncaughtException", (error) => die(log, "uncaught exception", error));
process.on("unhandledRejection", (error) => die(log, "unhandled rejection", error));

const asked = stopAsked();
let standalone: Standalone | null = null;
let exitCode = 0;
try {
  await assertPortFree(config.httpHost, config.httpPort);
  standalone = await startStandalone(config, { logger: log.logger, step });
  process.send?.({ kind: "ready", url: standalone.url, apiKey: standalone.apiKey });
  greet(standalone, log);
  if (config.demo !== "off" && !(await demonstrate(standalone))) exitCode = 1;
  if (config.demo !== "only") await asked.promise;
} catch (error) {
  log.logger.error({ err: error }, "cannot start");
  complain(`\nbanyan: ${messageOf(error)}\n        The log is ${log.path}.`);
  exitCode = 1;
}
await stop(standalone, dataDir, log);
process.exit(exitCode);

function readConfigOrExit(): Config {
  try {
    return readConfig();
  } catch (error) {
    return giveUp(error);
  }
}

function giveUp(error: unknown): never {
  complain(`\nbanyan: ${messageOf(error)}`);
  process.exit(1);
}

function die({ logger, path }: LogFile, what: string, error: unknown): never {
  logger.error({ err: error }, what);
  complain(`\nbanyan: ${what}: ${messageOf(error)}\n        The log is ${path}; start again, it takes up what is left.`);
  process.exit(1);
}

/**
 * The first signal asks for an ordered stop, the second one ends the process. A parent that started this one with a channel counts as
 * a signal when it is gone, however it went.
 */
function stopAsked(): { promise: Promise<void> } {
  const { promise, resolve } = Promise.withResolvers<void>();
  let signals = 0;
  const ask = (): void => {
    signals += 1;
    if (signals > 1) {
      complain("\n  Ended by force; the next start cleans up.");
      for (const { pid } of standalone?.backing.own ?? []) killIfThere(pid);
      process.exit(EXIT_FORCED);
    }
    resolve();
  };
  for (const signal of SIGNALS) process.on(signal, ask);
  if (process.send !== undefined) process.once("disconnect", resolve);
  return { promise };
}

function killIfThere(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error;
  }
}

function greet({ url, apiKey }: Standalone, { path }: LogFile): void {
  say();
  say(`  ${bold("API")}      ${url}   ${dim(`documents: ${url}/openapi.json`)}`);
  say(`  ${bold("API key")}  ${apiKey}`);
  say(`  ${bold("Log")}      ${path}`);
  say();
  say(`  curl -X POST ${url}/v1/sandboxes -H "Authorization: Bearer ${apiKey}" -H "content-type: application/json" -d '{}'`);
  say(`  npm run banyan -- login --url ${url} --api-key ${apiKey} && npm run banyan -- sandbox create`);
  say();
}

/** True when every step did what it should, or a stop came first. */
async function demonstrate({ url, apiKey }: Standalone): Promise<boolean> {
  const demo = runDemo(new Banyan({ url, apiKey })).then(
    () => null,
    (error: unknown) => error,
  );
  const failure = await Promise.race([demo, asked.promise.then(() => null)]);
  if (failure === null) return true;
  log.logger.error({ err: failure }, "the demonstration failed");
  complain(`\nbanyan: The demonstration failed: ${demoFailure(failure)}`);
  return false;
}

async function stop(running: Standalone | null, held: DataDir, { logger, close }: LogFile): Promise<void> {
  await held.markStopping();
  if (running !== null) {
    say();
    await step("Stopping everything", () => running.stop());
  }
  logger.info({}, "stopped");
  await held.release();
  close();
}
