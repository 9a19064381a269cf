import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fault } from "@banyan/contracts";
import { DockerSlotMaker, type OciMakerOptions, OciSlotMaker, openDocker, type SlotMaker } from "@banyan/runtime";
import type { NodeConfig } from "../config.ts";

type Surroundings = Pick<OciMakerOptions, "nodeId" | "initPath" | "network" | "attach" | "clock">;

/** Short names: the sockets of slots live below them. */
const SLOTS_DIRECTORIES = { docker: "slots", oci: "oci" } as const;

/** The maker that the configuration names. Throws when slots of the other one are still here: this process would not know them. */
export async function openSlotMaker(config: NodeConfig, surroundings: Surroundings): Promise<SlotMaker> {
  const { dataDir, slotMaker } = config;
  const other = slotMaker === "docker" ? "oci" : "docker";
  const others = join(dataDir, SLOTS_DIRECTORIES[other]);
  if (existsSync(others) && readdirSync(others).length > 0) {
    throw fault(
      "internal",
      { directory: others },
      {
        message: `there are slots that the maker ${other} made; end them first: run this node once with BANYAN_SLOT_MAKER=${other} and BANYAN_NODE_ON_STOP=purge, and stop it`,
      },
    );
  }
  const slotsDirectory = join(dataDir, SLOTS_DIRECTORIES[slotMaker]);
  if (slotMaker === "docker") return new DockerSlotMaker({ ...surroundings, slotsDirectory, docker: openDocker(config.dockerHost) });
  return OciSlotMaker.open({ ...surroundings, slotsDirectory, runDirectory: join(dataDir, "oci-run"), runtime: config.ociRuntime });
}
