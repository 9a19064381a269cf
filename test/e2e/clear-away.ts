import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { eventually } from "@banyan/testkit";
import Docker from "dockerode";
import { expect } from "vitest";
import { type Footprint, footprintOf, NOTHING } from "./footprint.ts";
import { dataDirs, type TestBanyan } from "./start-banyan.ts";

const ENDED_MS = 20_000;
const HELD_MS = 5_000;

/**
 * Removes a data directory at the end of its test. Whatever of it is still on the machine is the fault of that test alone: it is named, and
 * taken away by force, so that it is in the way of no other.
 */
export async function removeDataDir(dataDir: string): Promise<void> {
  const dockerHost = process.env.DOCKER_HOST ?? "unix:///var/run/docker.sock";
  const left = await eventually(() => whenNothing(dataDir, dockerHost), { timeoutMs: HELD_MS, intervalMs: 100 }).catch(() =>
    footprintOf(dataDir, dockerHost),
  );
  if (left !== null) await clearAway(left, dataDir, dockerHost);
  await rm(dataDir, { recursive: true, force: true });
  dataDirs.delete(dataDir);
  if (left !== null) throw new Error(`left on this machine, and cleared away: ${JSON.stringify(left, null, 2)}`);
}

/** Ctrl-C, and nothing is left. Removes the data directory however it ended, and also where it never came to run. */
export async function endBanyan(running: TestBanyan | undefined): Promise<void> {
  try {
    if (running !== undefined) expect(await running.stop()).toBe(0);
  } finally {
    for (const dataDir of dataDirs) await removeDataDir(dataDir);
  }
}

/** What holds a disk for a moment only, as a container does that starts meanwhile, is not left. */
async function whenNothing(dataDir: string, dockerHost: string): Promise<null | false> {
  const found = await footprintOf(dataDir, dockerHost);
  return JSON.stringify(found) === JSON.stringify(NOTHING) ? null : false;
}

async function clearAway({ containers, links, tables }: Footprint, dataDir: string, dockerHost: string): Promise<void> {
  await eventually(() => endProcesses(dataDir), { timeoutMs: ENDED_MS, intervalMs: 100 });
  const docker = new Docker({ socketPath: new URL(dockerHost).pathname });
  for (const id of containers)
    await docker
      .getContainer(id)
      .remove({ force: true, v: true })
      .catch(() => {});
  for (const link of links) if (existsSync(`/sys/class/net/${link}`)) attempt("ip", "link", "delete", link);
  for (const table of tables) attempt("nft", "delete", "table", "inet", table);
  const { mounts } = await footprintOf(dataDir, null);
  for (const line of mounts.toReversed()) attempt("umount", "--lazy", line.split(" ")[4] ?? "");
  for (const loop of (await footprintOf(dataDir, null)).loops) attempt("losetup", "--detach", `/dev/${loop}`);
}

/** False: some were still there. */
async function endProcesses(dataDir: string): Promise<boolean> {
  const { processes } = await footprintOf(dataDir, null);
  for (const line of processes) attempt("kill", "-9", line.split(" ")[0] ?? "");
  return processes.length === 0;
}

function attempt(command: string, ...args: string[]): void {
  try {
    execFileSync(command, args, { stdio: "ignore" });
  } catch {
    // It went by itself, or with what was taken away before it.
  }
}
