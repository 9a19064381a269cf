import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { permissionsConfig } from "../../packages/bus/src/index.ts";

/** Writes infra/nats/permissions.conf from what the bus declares. Run with the workspace's Node after a change of it. */
const users = ["gateway", "scheduler", "image-builder", "volume-manager", "publisher"].map((kind) => ({
  user: kind,
  password: variableOf(kind),
  role: { kind },
}));
const nodes = { user: "node", password: variableOf("node"), role: { kind: "node", nodeId: "*" } };

/** @param {string} kind */
function variableOf(kind) {
  return `$BANYAN_NATS_${kind.toUpperCase().replaceAll("-", "_")}_PASSWORD`;
}

const text = permissionsConfig([...users, nodes]).replaceAll(/"(\$BANYAN_NATS_[A-Z_]+)"/g, "$1");
writeFileSync(
  join(import.meta.dirname, "../nats/permissions.conf"),
  `# Made by infra/setup/nats-permissions.mjs; passwords are taken from the environment.\n${text}`,
);
