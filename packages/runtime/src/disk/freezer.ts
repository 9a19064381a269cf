import { existsSync, readFileSync } from "node:fs";
import { fault } from "@banyan/contracts";
import type { CgroupPaths, CgroupWrite } from "../cgroup/cgroup.ts";
import { readMounts } from "../host/mounts.ts";

/** The cgroup directory by which all processes of a slot are made to stand still. */
export function freezerOf({ pid, cgroups }: { pid: number; cgroups: CgroupPaths }): string {
  if (cgroups.version === 2) return cgroups.cpu;
  const lines = readFileSync(`/proc/${pid}/cgroup`, "utf8").trim().split("\n");
  const path = lines.find((line) => line.split(":")[1]?.split(",").includes("freezer"))?.replace(/^\d+:[^:]*:/, "");
  const mount = readMounts().find((each) => each.fsType === "cgroup" && each.options.includes("freezer"));
  if (path === undefined || mount === undefined) throw fault("internal", { pid }, { message: "no cgroup with the controller freezer" });
  return mount.mountPoint + path;
}

/** Lets them go on, whoever stopped them: for a helper that ended in between. */
export function thawWrite(freezer: string): CgroupWrite {
  const file = `${freezer}/freezer.state`;
  return existsSync(file) ? { file, value: "THAWED" } : { file: `${freezer}/cgroup.freeze`, value: "0" };
}
