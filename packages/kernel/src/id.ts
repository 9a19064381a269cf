import { uuidv7obj } from "uuidv7";

/** Crockford's alphabet in lower case: no i, l, o, u, and its order is the order of the values, so ids sort by time. */
const ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz";
const ID_LENGTH = 26;

const ID_PREFIXES = [
  "sbx",
  "img",
  "bld",
  "vol",
  "ver",
  "upl",
  "frk",
  "frz",
  "node",
  "org",
  "key",
  "tok",
  "evt",
  "exc",
  "slot",
  "req",
] as const;
export type IdPrefix = (typeof ID_PREFIXES)[number];
export type Id<P extends IdPrefix> = `${P}_${string}`;

/** `sbx_01k9…`: a prefix and a UUIDv7 in base 32; sortable by time of making. */
export function newId<P extends IdPrefix>(prefix: P): Id<P> {
  let value = 0n;
  for (const byte of uuidv7obj().bytes) value = (value << 8n) | BigInt(byte);
  let text = "";
  for (let i = 0; i < ID_LENGTH; i++) {
    text = ALPHABET.charAt(Number(value & 31n)) + text;
    value >>= 5n;
  }
  return `${prefix}_${text}`;
}

/** The pattern an id of this prefix must match; used by the schemas. */
export function idPattern(prefix: IdPrefix): RegExp {
  return new RegExp(`^${prefix}_[0-9a-hjkmnp-tv-z]{${ID_LENGTH}}$`);
}
