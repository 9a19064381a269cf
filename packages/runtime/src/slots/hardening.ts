import { existsSync, readFileSync } from "node:fs";

/** What every slot is held by, whoever makes it. The makers' isolation test compares the outcome from inside. */

/** The whole of what root inside may do. No NET_RAW, no MKNOD, no SYS_ anything. */
export const SLOT_CAPABILITIES = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "NET_BIND_SERVICE"];
export const OPEN_FILES = { soft: 65_536, hard: 524_288 };
export const SHM_BYTES = 64 * 1024 * 1024;
export const SLOT_HOSTNAME = "slot";
/** Under memory pressure of the host, init is the last to go; what it starts is reset to 0. */
export const INIT_OOM_SCORE_ADJ = -900;
export const HAS_IPV6 = existsSync("/proc/sys/net/ipv6");

const CAP_SYS_RESOURCE = 24n;

/** Lower OOM scores and higher limits than the engine's own need CAP_SYS_RESOURCE, which some hosts withhold even from root: then neither is asked for. */
export const MAY_RAISE_LIMITS = hasCapability(readFileSync("/proc/self/status", "utf8"), CAP_SYS_RESOURCE);

function hasCapability(status: string, capability: bigint): boolean {
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? "0";
  return ((BigInt(`0x${effective}`) >> capability) & 1n) === 1n;
}
