import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { NODE_DEFAULTS } from "@banyan/runner-agent";
import { openDocker } from "@banyan/runtime";
import type { TestNode } from "./test-node.ts";

const CGROUP_ROOTS = [
  "/sys/fs/cgroup/memory/docker",
  "/sys/fs/cgroup/pids/docker",
  "/sys/fs/cgroup/cpu/docker",
  "/sys/fs/cgroup/system.slice",
];

/** Everything on this host that belongs to one node. Empty lists after a purge. */
export async function footprint(node: TestNode) {
  const { nodeId, network } = node.parts;
  const docker = openDocker(process.env.DOCKER_HOST ?? NODE_DEFAULTS.dockerHost);
  const containers = (await docker.listContainers({ all: true, filters: { label: [`banyan.node=${nodeId}`] } })).map(({ Id }) => Id);
  return {
    containers,
    mounts: lines(readFileSync("/proc/self/mountinfo", "utf8"), node.config.dataDir),
    loops: lines(run("losetup", "--list", "--noheadings", "--output", "BACK-FILE"), node.config.dataDir),
    links: readdirSync("/sys/class/net").filter(
      (link) => link === network.bridge || existsSync(`/sys/class/net/${link}/upper_${network.bridge}`),
    ),
    tables: lines(run("nft", "list", "tables"), network.table),
    rules: lines(run("iptables", "-S", "FORWARD"), network.bridge),
    slots: existsSync(`${node.config.dataDir}/slots`) ? readdirSync(`${node.config.dataDir}/slots`) : [],
  };
}

export const NOTHING = { containers: [], mounts: [], loops: [], links: [], tables: [], rules: [], slots: [] };

/** Cgroups of these containers that are still there. */
export function cgroupsOf(containers: readonly string[]): string[] {
  const present = CGROUP_ROOTS.flatMap((root) => (existsSync(root) ? readdirSync(root).map((name) => `${root}/${name}`) : []));
  return present.filter((path) => containers.some((id) => path.includes(id)));
}

function run(command: string, ...args: string[]): string {
  return execFileSync(command, args, { encoding: "utf8" });
}

function lines(text: string, part: string): string[] {
  return text.split("\n").filter((line) => line.includes(part));
}
