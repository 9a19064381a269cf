import { hash } from "node:crypto";
import { canonicalJson } from "@banyan/kernel";

/** The same for the same request, however its JSON is laid out: what an Idempotency-Key is bound to. */
export function fingerprint(method: string, path: string, body: unknown): string {
  return hash("sha256", `${method} ${path}\n${canonicalJson(body)}`, "hex");
}
