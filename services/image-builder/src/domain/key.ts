import { createHash } from "node:crypto";

/** Goes up when the same spec comes to mean something else. */
const PLAN_VERSION = 1;

/** JSON whose text is equal for equal values: the order in which a client wrote its keys does not count, and what is undefined is left out. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, inner) =>
    typeof inner === "object" && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}

export const sha256 = (content: string | Buffer): string => createHash("sha256").update(content).digest("hex");

/** The key of what is made by `what` on top of what `parent` stands for. */
export const chainKey = (parent: string, what: unknown): string => sha256(`${PLAN_VERSION}\n${parent}\n${canonicalJson(what)}`);
