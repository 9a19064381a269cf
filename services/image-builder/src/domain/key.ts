import { createHash } from "node:crypto";
import { canonicalJson } from "@banyan/kernel";

/** Goes up when the same spec comes to mean something else. */
const PLAN_VERSION = 1;

export const sha256 = (content: string | Buffer): string => createHash("sha256").update(content).digest("hex");

/** The key of what is made by `what` on top of what `parent` stands for. */
export const chainKey = (parent: string, what: unknown): string => sha256(`${PLAN_VERSION}\n${parent}\n${canonicalJson(what)}`);
