import { randomInt } from "node:crypto";
import { networkInterfaces } from "node:os";

/** A small private range that no link of this host uses: tests of several processes run side by side. */
export function freeSubnet(): string {
  const used = Object.values(networkInterfaces()).flatMap((each) => (each ?? []).map(({ address }) => address));
  for (;;) {
    const prefix = `10.${randomInt(208, 240)}.${randomInt(256)}.`;
    if (!used.some((address) => address.startsWith(prefix))) return `${prefix}0/24`;
  }
}
