import { formatAddress, parseAddress } from "./subnet.ts";

interface Range {
  text: string;
  first: number;
  last: number;
}

/** Ranges in canonical form, without those that lie within another: the kernel's sets refuse overlaps. */
export function canonicalRanges(cidrs: readonly string[]): string[] {
  const ranges = cidrs.map(parseRange).filter((range) => range !== null);
  const distinct = [...new Map(ranges.map((range) => [range.text, range])).values()];
  return distinct
    .filter((range) => !distinct.some((other) => other !== range && other.first <= range.first && range.last <= other.last))
    .map((range) => range.text);
}

function parseRange(cidr: string): Range | null {
  const [address = "", prefixText] = cidr.split("/");
  const prefix = prefixText === undefined ? 32 : Number(prefixText);
  const value = parseAddress(address);
  if (value === null || !Number.isInteger(prefix) || prefix < 0 || prefix > 32) return null;
  const size = 2 ** (32 - prefix);
  const first = value - (value % size);
  return { text: prefix === 32 ? address : `${formatAddress(first)}/${prefix}`, first, last: first + size - 1 };
}
