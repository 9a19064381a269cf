import { hash } from "node:crypto";

/** The same for the same request, however its JSON is laid out: what an Idempotency-Key is bound to. */
export function fingerprint(method: string, path: string, body: unknown): string {
  return hash("sha256", `${method} ${path}\n${canonicalJson(body)}`, "hex");
}

/** JSON with the keys of every object in order. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "null";
  const members = Object.entries(value)
    .filter(([, member]) => member !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, member]) => `${JSON.stringify(key)}:${canonicalJson(member)}`);
  return `{${members.join(",")}}`;
}
