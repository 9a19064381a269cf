import { existsSync } from "node:fs";
import { eventually } from "@banyan/testkit";
import { expect, it } from "vitest";
import { removeDataDir } from "./clear-away.ts";
import { footprintOf, NOTHING } from "./footprint.ts";
import { IMAGE_MS, makeDataDir, PATIENCE_MS, startBanyan } from "./start-banyan.ts";

it(
  "names what a test leaves on the machine, and takes it away",
  async () => {
    const dataDir = await makeDataDir();
    const dockerHost = process.env.DOCKER_HOST ?? "unix:///var/run/docker.sock";
    const running = await startBanyan(dataDir);
    await eventually(async () => expect((await footprintOf(dataDir, dockerHost)).containers).not.toEqual([]), { timeoutMs: IMAGE_MS });
    running.signal("SIGKILL");
    await running.exited;
    const during = await footprintOf(dataDir, dockerHost);
    await expect(removeDataDir(dataDir)).rejects.toThrow(/left on this machine, and cleared away: .*"containers": \[\s*"[0-9a-f]{64}"/s);
    expect(await footprintOf(dataDir, dockerHost, during)).toEqual(NOTHING);
    expect(existsSync(dataDir)).toBe(false);
  },
  IMAGE_MS + PATIENCE_MS,
);
