import { execFileSync } from "node:child_process";
import { randomInt } from "node:crypto";

/** Some hundred addresses in 10.0.0.0/8, by the second number. `wide`: for a node with all its defaults. */
const RANGES = { narrow: { from: 208, to: 240, bits: 24, step: 1 }, wide: { from: 130, to: 206, bits: 20, step: 16 } } as const;
const TRIES_MAX = 1_000;

/** A private range that no link of this host has, not even one that is down: tests of several processes run side by side. */
export function freeSubnet(width: keyof typeof RANGES = "narrow"): string {
  const { from, to, bits, step } = RANGES[width];
  const used = execFileSync("ip", ["-4", "-o", "addr"], { encoding: "utf8" });
  for (let tried = 0; tried < TRIES_MAX; tried++) {
    const [second, third] = [randomInt(from, to), step * randomInt(256 / step)];
    const prefixes = Array.from({ length: step }, (_, index) => ` 10.${second}.${third + index}.`);
    if (!prefixes.some((prefix) => used.includes(prefix))) return `10.${second}.${third}.0/${bits}`;
  }
  throw new Error("every subnet for tests is taken on this machine");
}
