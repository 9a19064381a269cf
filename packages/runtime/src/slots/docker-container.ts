import type Docker from "dockerode";
import { LABEL_ADDRESS, LABEL_NODE, LABEL_SLOT } from "./docker-labels.ts";
import { HAS_IPV6, INIT_OOM_SCORE_ADJ, MAY_RAISE_LIMITS, OPEN_FILES, SHM_BYTES, SLOT_CAPABILITIES, SLOT_HOSTNAME } from "./hardening.ts";
import { seccompProfile } from "./oci-seccomp.ts";
import { IDLE_SLOT } from "./slot.ts";
import { SLOT_INIT, SLOT_SOCKET_DIRECTORY } from "./slot-image.ts";

const MB = 1024 * 1024;
const SECCOMP = `seccomp=${JSON.stringify(seccompProfile(process.arch))}`;

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
    Hostname: SLOT_HOSTNAME,
    Labels: { [LABEL_NODE]: nodeId, [LABEL_SLOT]: id, [LABEL_ADDRESS]: address },
    AttachStdin: false,
    AttachStdout: false,
    AttachStderr: false,
    HostConfig: {
      NetworkMode: "none",
      CapDrop: ["ALL"],
      CapAdd: SLOT_CAPABILITIES,
      SecurityOpt: ["no-new-privileges", SECCOMP],
      ReadonlyRootfs: true,
      Binds: [`${directory}:${SLOT_SOCKET_DIRECTORY}`],
      Memory: memory,
      MemorySwap: memory,
      NanoCpus: IDLE_SLOT.cpu * 1e9,
      PidsLimit: IDLE_SLOT.pids,
      ShmSize: SHM_BYTES,
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
