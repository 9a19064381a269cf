import { parseArgs } from "node:util";
import { Refusal } from "./report.mjs";

/**
 * Every flag of `npm start` is the environment variable of the same meaning; a flag wins.
 * @type {Record<string, { variable: string, argument: string, help: string }>}
 */
const FLAGS = {
  port: { variable: "BANYAN_HTTP_PORT", argument: "<port>", help: "port of the API (7070)" },
  host: { variable: "BANYAN_HTTP_HOST", argument: "<address>", help: "address the API listens on (127.0.0.1)" },
  "data-dir": { variable: "BANYAN_DATA_DIR", argument: "<directory>", help: "where everything is kept (/var/lib/banyan)" },
  "pool-size": { variable: "BANYAN_POOL_SIZE", argument: "<n>", help: "slots kept warm (16)" },
  "log-level": { variable: "BANYAN_LOG_LEVEL", argument: "<level>", help: "of the log file: debug, info, warn or error (info)" },
};

export const DATA_DIR_DEFAULT = "/var/lib/banyan";

const HELP = `npm start -- [flags]

Sets up what is missing and starts all services of Banyan in one process.

${Object.entries(FLAGS)
  .map(([name, { argument, help }]) => `  --${name} ${argument}`.padEnd(28) + help)
  .join("\n")}
  --own-docker              a Docker Engine of its own, even where one runs
  --no-demo                 do not run the demonstration
  --demo-only               end after the demonstration
  --help                    this text

DOCKER_HOST, NATS_URL and DATABASE_URL name a Docker Engine, a NATS server and a Postgres to use instead of own ones.
`;

/**
 * @param {string[]} argv
 * @returns {{ kind: "help", text: string } | { kind: "start", dataDir: string, env: Record<string, string> }}
 */
export function parseStartFlags(argv) {
  const options = Object.fromEntries(Object.keys(FLAGS).map((name) => [name, { type: /** @type {const} */ ("string") }]));
  const boolean = { type: /** @type {const} */ ("boolean") };
  let values;
  try {
    values = parseArgs({
      args: argv,
      options: { ...options, help: boolean, "own-docker": boolean, "no-demo": boolean, "demo-only": boolean },
    }).values;
  } catch (error) {
    throw new Refusal(error instanceof Error ? error.message : String(error), "See `npm start -- --help`.");
  }
  if (values.help) return { kind: "help", text: HELP };
  /** @type {Record<string, string>} */
  const env = {};
  for (const [name, { variable }] of Object.entries(FLAGS)) {
    const value = values[name];
    if (typeof value === "string") env[variable] = value;
  }
  if (values["own-docker"]) env.BANYAN_DOCKER = "own";
  if (values["no-demo"]) env.BANYAN_DEMO = "off";
  if (values["demo-only"]) env.BANYAN_DEMO = "only";
  return { kind: "start", dataDir: env.BANYAN_DATA_DIR ?? process.env.BANYAN_DATA_DIR ?? DATA_DIR_DEFAULT, env };
}
