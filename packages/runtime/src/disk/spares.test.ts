import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { SpareDisks } from "./spares.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "banyan-spares-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const NONE: ReadonlySet<number> = new Set();

/** Plain directories as disks, of the ranges 1, 2 and so on in turn. */
function makerOf(ranges: number) {
  let made = 0;
  return {
    create: async (path: string, _limitMb: number, beside: ReadonlySet<number>): Promise<number> => {
      const suiting = Array.from({ length: ranges }, (_, at) => at + 1).filter((range) => !beside.has(range));
      const range = suiting[made++ % suiting.length] ?? 0;
      await mkdir(path);
      writeFileSync(join(path, "range"), String(range));
      return range;
    },
    delete: (path: string) => rm(path, { recursive: true }),
  };
}

const maker = makerOf(1);
const count = () => readdirSync(directory).length;

/** Takes all there are, and one more. */
function empty(spares: SpareDisks, beside = NONE): number {
  for (let taken = 0; ; taken++) {
    const path = spares.take(100, beside);
    if (path === null) return taken;
    rmSync(path, { recursive: true });
  }
}

it("has as many as were asked for at once before, and never the disk of another limit", async () => {
  const spares = new SpareDisks(directory, maker);
  expect(empty(spares)).toBe(0);
  await spares.settled();
  const first = count();
  expect(spares.take(200, NONE)).toBe(null);
  await spares.settled();
  expect(count()).toBe(2 * first);
  expect(empty(spares)).toBe(first);
  await spares.settled();
  expect(empty(spares)).toBe(2 * first);
});

it("does not grow for asks that come faster than it fills", async () => {
  const spares = new SpareDisks(directory, maker);
  for (let ask = 0; ask < 500; ask++) spares.take(100, NONE);
  await spares.settled();
  const first = count();
  empty(spares);
  for (let ask = 0; ask < 500; ask++) spares.take(100, NONE);
  await spares.settled();
  expect(count()).toBe(2 * first);
});

it("goes on after a disk could not be made", async () => {
  let isBroken = true;
  const create = (path: string) => (isBroken ? Promise.reject(new Error("no room")) : maker.create(path, 100, NONE));
  const spares = new SpareDisks(directory, { ...maker, create });
  expect(spares.take(100, NONE)).toBe(null);
  await spares.settled();
  isBroken = false;
  expect(spares.take(100, NONE)).toBe(null);
  await spares.settled();
  expect(count()).toBeGreaterThan(0);
});

it("never answers a disk of a range that is in the stack already, and has as many for one stack as for another", async () => {
  const spares = new SpareDisks(directory, makerOf(4));
  const parent = new Set([1, 3]);
  spares.take(100, NONE);
  await spares.settled();
  const first = count();
  const path = spares.take(100, parent) ?? "";
  expect(["2", "4"]).toContain(readFileSync(join(path, "range"), "utf8"));
  rmSync(path, { recursive: true });
  expect(empty(spares, parent)).toBe(first / 2 - 1);
  await spares.settled();
  expect(empty(spares, parent)).toBe(2 * first);
});

it("does not grow without end for stacks that suit none of what there is", async () => {
  const spares = new SpareDisks(directory, makerOf(64));
  for (let ask = 0; ask < 20; ask++) {
    spares.take(100, new Set(Array.from({ length: 64 }, (_, at) => at + 1).filter((range) => range !== ask + 1)));
    await spares.settled();
  }
  expect(count()).toBeLessThanOrEqual(512);
});

it("clears what an earlier process has left, half-made disks too", async () => {
  mkdirSync(join(directory, "whole"));
  mkdirSync(join(directory, "half.new", "half"), { recursive: true });
  mkdirSync(join(directory, "begun.new"));
  await new SpareDisks(directory, maker).clear();
  expect(count()).toBe(0);
});
