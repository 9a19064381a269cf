import { hash, randomBytes } from "node:crypto";
import { api } from "@banyan/contracts";

const SECRET_BYTES = 32;
const HINT_LENGTH = 8;
export const SECRET_LENGTH_MAX = 256;

/** `bny_` and 256 random bits: nothing to guess, so a plain sha256 is enough to keep. */
export function newKeySecret(): string {
  return `bny_${randomBytes(SECRET_BYTES).toString("base64url")}`;
}

/** The same for a token that nodes join with, which is no API key. */
export function newJoinToken(): string {
  return `${api.JOIN_TOKEN_PREFIX}${randomBytes(SECRET_BYTES).toString("base64url")}`;
}

/** All that is kept of a key or a token. */
export function hashKey(secret: string): string {
  return hash("sha256", secret, "hex");
}

/** What a person tells keys apart by. */
export function keyHint(secret: string): string {
  return secret.slice(0, HINT_LENGTH);
}
