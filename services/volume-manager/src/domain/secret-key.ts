import { createHash } from "node:crypto";

const CHARS = 12;

/** Tells one key from another, and nothing of either. */
export const fingerprintOf = (secretKey: string): string =>
  createHash("sha256").update(`banyan key of volumes\0${secretKey}`).digest("hex").slice(0, CHARS);
