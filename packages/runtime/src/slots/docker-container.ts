import { existsSync, readFileSync } from "node:fs";
import type Docker from "dockerode";
import { LABEL_ADDRESS, LABEL_NODE, LABEL_SLOT } from "./docker-labels.ts";
import { IDLE_SLOT } from "./slot.ts";
import { SLOT_INIT, SLOT_SOCKET_DIRECTORY } from "./slot-image.ts";

/** The whole of what root inside may do. No NET_RAW, no MKNOD, no SYS_ anything. */
export const SLOT_CAPABILITIES = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "NET_BIND_SERVICE"];
const OPEN_FILES = { soft: 65_536, hard: 524_288 };
const MB = 1024 * 1024;
const SHM_MB = 64;
/** Under memory pressure of the host, init is the last to go; what it starts is reset to 0. */
const INIT_OOM_SCORE_ADJ = -900;
const HAS_IPV6 = existsSync("/proc/sys/net/ipv6");
const CAP_SYS_RESOURCE = 24n;

/** Lower OOM scores and higher limits than the engine's own need CAP_SYS_RESOURCE, which some hosts withhold even from root: then neither is asked for. */
const MAY_RAISE_LIMITS = hasCapability(readFileSync("/proc/self/status", "utf8"), CAP_SYS_RESOURCE);

export interface SlotContainer {
  id: string;
  nodeId: string;
  address: string;
  directory: string;
  image: string;
}

export function slotContainer({ id, nodeId, address, directory, image }: SlotContainer): Docker.ContainerCreateOptions {
  const memory = IDLE_SLOT.memoryMb * MB;
  return {
    name: `banyan-${id}`,
    Image: image,
    Entrypoint: [SLOT_INIT],
    Cmd: [],
    Env: [],
    WorkingDir: "/",
    Hostname: "slot",
    Labels: { [LABEL_NODE]: nodeId, [LABEL_SLOT]: id, [LABEL_ADDRESS]: address },
    AttachStdin: false,
    AttachStdout: false,
    AttachStderr: false,
    HostConfig: {
      NetworkMode: "none",
      CapDrop: ["ALL"],
      CapAdd: SLOT_CAPABILITIES,
      // Seccomp is not named here, so Docker's default profile is in force.
      SecurityOpt: ["no-new-privileges"],
      ReadonlyRootfs: true,
      Binds: [`${directory}:${SLOT_SOCKET_DIRECTORY}`],
      Memory: memory,
      MemorySwap: memory,
      NanoCpus: IDLE_SLOT.cpu * 1e9,
      PidsLimit: IDLE_SLOT.pids,
      ShmSize: SHM_MB * MB,
      IpcMode: "private",
      Ulimits: [
        { Name: "core", Soft: 0, Hard: 0 },
        ...(MAY_RAISE_LIMITS ? [{ Name: "nofile", Soft: OPEN_FILES.soft, Hard: OPEN_FILES.hard }] : []),
      ],
      ...(MAY_RAISE_LIMITS ? { OomScoreAdj: INIT_OOM_SCORE_ADJ } : {}),
      ...(HAS_IPV6 ? { Sysctls: { "net.ipv6.conf.all.disable_ipv6": "1" } } : {}),
      LogConfig: { Type: "none", Config: {} },
      RestartPolicy: { Name: "no" },
    },
  };
}

function hasCapability(status: string, capability: bigint): boolean {
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? "0";
  return ((BigInt(`0x${effective}`) >> capability) & 1n) === 1n;
}
