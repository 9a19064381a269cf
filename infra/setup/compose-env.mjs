import { randomBytes } from "node:crypto";
import { appendFileSync, existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ROOT } from "./workspace.mjs";

export const COMPOSE_ENV = join(ROOT, ".banyan/compose.env");

const SECRETS = [
  "BANYAN_CLUSTER_TOKEN",
  "BANYAN_POSTGRES_PASSWORD",
  "BANYAN_NATS_GATEWAY_PASSWORD",
  "BANYAN_NATS_SCHEDULER_PASSWORD",
  "BANYAN_NATS_IMAGE_BUILDER_PASSWORD",
  "BANYAN_NATS_VOLUME_MANAGER_PASSWORD",
  "BANYAN_NATS_NODE_PASSWORD",
  "BANYAN_NATS_PUBLISHER_PASSWORD",
];

/**
 * Makes the secrets of docker-compose.yml once and keeps them; adds those that a later version asks for. A leading letter: nats-server would read
 * digits as a number.
 */
export function ensureComposeEnv() {
  const secret = () => `s${randomBytes(24).toString("hex")}`;
  const wanted = [...SECRETS.map((name) => [name, secret()]), ["BANYAN_BOOTSTRAP_KEY", `bny_${secret()}`]];
  mkdirSync(join(ROOT, ".banyan"), { recursive: true });
  const kept = existsSync(COMPOSE_ENV) ? readFileSync(COMPOSE_ENV, "utf8") : "";
  const lacking = wanted.filter(([name]) => !kept.split("\n").some((line) => line.startsWith(`${name}=`)));
  appendFileSync(COMPOSE_ENV, lacking.map(([name, value]) => `${name}=${value}\n`).join(""), { mode: 0o600 });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  ensureComposeEnv();
  process.stdout.write(`The secrets are in ${COMPOSE_ENV}; the API key is its BANYAN_BOOTSTRAP_KEY.\n`);
}
