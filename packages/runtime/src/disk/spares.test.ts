import { mkdtempSync, readdirSync, rmSync } from "node:fs";
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

/** Plain directories as disks. */
const maker = { create: (path: string) => mkdir(path).then(() => {}), delete: (path: string) => rm(path, { recursive: true }) };
const count = () => readdirSync(directory).length;

/** Takes all there are, and one more. */
function empty(spares: SpareDisks): number {
  for (let taken = 0; ; taken++) {
    const path = spares.take(100);
    if (path === null) return taken;
    rmSync(path, { recursive: true });
  }
}

it("has as many as were asked for at once before, and never the disk of another limit", async () => {
  const spares = new SpareDisks(directory, maker);
  expect(empty(spares)).toBe(0);
  await spares.settled();
  const first = count();
  expect(spares.take(200)).toBe(null);
  await spares.settled();
  expect(count()).toBe(2 * first);
  expect(empty(spares)).toBe(first);
  await spares.settled();
  expect(empty(spares)).toBe(2 * first);
});

it("does not grow for asks that come faster than it fills", async () => {
  const spares = new SpareDisks(directory, maker);
  for (let ask = 0; ask < 500; ask++) spares.take(100);
  await spares.settled();
  const first = count();
  empty(spares);
  for (let ask = 0; ask < 500; ask++) spares.take(100);
  await spares.settled();
  expect(count()).toBe(2 * first);
});

it("goes on after a disk could not be made", async () => {
  let isBroken = true;
  const create = (path: string) => (isBroken ? Promise.reject(new Error("no room")) : maker.create(path));
  const spares = new SpareDisks(directory, { ...maker, create });
  expect(spares.take(100)).toBe(null);
  await spares.settled();
  isBroken = false;
  expect(spares.take(100)).toBe(null);
  await spares.settled();
  expect(count()).toBeGreaterThan(0);
});
