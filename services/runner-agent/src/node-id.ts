import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { newId } from "@banyan/kernel";

/** The id this data directory has, so that a node is the same one after every restart; made when it has none. */
export function nodeIdOf(dataDir: string): string {
  const file = join(dataDir, "node-id");
  try {
    return readFileSync(file, "utf8").trim();
  } catch {
    const nodeId = newId("node");
    mkdirSync(dataDir, { recursive: true, mode: 0o700 });
    writeFileSync(file, `${nodeId}\n`, { mode: 0o600, flag: "wx" });
    return nodeId;
  }
}
