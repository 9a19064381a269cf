import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import Docker from "dockerode";

/** What one Banyan has on its host outside its data directory, by kind. */
export interface Footprint {
  containers: string[];
  mounts: string[];
  loops: string[];
  links: string[];
  tables: string[];
  processes: string[];
}

/**
 * Looks at the machine itself, not at what Banyan believes. `links` of an earlier look are looked for by name, as nothing ties them to a node
 * once their bridge is gone. The loop device of a disk stays a little longer where somebody copies the mounts of this host at that moment, as
 * the start of any container does.
 */
export async function footprintOf(dataDir: string, dockerHost: string | null, earlier?: Footprint): Promise<Footprint> {
  const nodeId = nodeIdOf(dataDir);
  const hash = createHash("sha256")
    .update(nodeId ?? "")
    .digest("hex")
    .slice(0, 8);
  const links = readdirSync("/sys/class/net");
  const bridge = `bny${hash}`;
  // An engine of its own has its sockets and the containers that run elsewhere: what lies there must have short paths.
  const engine = createHash("sha256").update(join(dataDir, "docker")).digest("hex").slice(0, 12);
  const places = [`${dataDir}/`, `/run/banyan/${engine}/`];
  return {
    containers: dockerHost === null || nodeId === null ? [] : await containersOf(dockerHost, nodeId),
    mounts: readFileSync("/proc/self/mountinfo", "utf8")
      .split("\n")
      .filter((line) => places.some((place) => line.includes(place))),
    loops: readdirSync("/sys/block").filter((name) => backingOf(name).startsWith(`${dataDir}/`)),
    links: links.filter((name) => name === bridge || masterOf(name) === bridge || earlier?.links.includes(name)),
    tables: tables().includes(`banyan_${hash}`) ? [`banyan_${hash}`] : [],
    processes: processesOf(places, dataDir),
  };
}

export const NOTHING: Footprint = { containers: [], mounts: [], loops: [], links: [], tables: [], processes: [] };

/** Null: no node has got so far here. */
function nodeIdOf(dataDir: string): string | null {
  const path = join(dataDir, "node-id");
  return existsSync(path) ? readFileSync(path, "utf8").trim() : null;
}

async function containersOf(dockerHost: string, nodeId: string): Promise<string[]> {
  const docker = new Docker({ socketPath: new URL(dockerHost).pathname });
  const listed = await docker.listContainers({ all: true, filters: { label: [`banyan.node=${nodeId}`] } });
  return listed.map(({ Id }) => Id);
}

function backingOf(block: string): string {
  const file = `/sys/block/${block}/loop/backing_file`;
  return existsSync(file) ? readFileSync(file, "utf8").trim() : "";
}

function masterOf(link: string): string | null {
  const uevent = `/sys/class/net/${link}/master/uevent`;
  return existsSync(uevent) ? (/INTERFACE=(.*)/.exec(readFileSync(uevent, "utf8"))?.[1] ?? null) : null;
}

/** Processes that name one of these places on their command line, and those that were started with the data directory in their environment. */
function processesOf(places: readonly string[], dataDir: string): string[] {
  const found: string[] = [];
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)) {
    try {
      const line = readFileSync(`/proc/${pid}/cmdline`, "utf8");
      const environment = readFileSync(`/proc/${pid}/environ`, "utf8");
      if (places.some((place) => line.includes(place)) || environment.includes(`BANYAN_DATA_DIR=${dataDir}\0`))
        found.push(`${pid} ${line.replaceAll("\0", " ")}`);
    } catch (error) {
      // Gone between the list and the look, or shut off from everyone: not one of ours.
      if (!(error instanceof Error && "code" in error && ["ENOENT", "ESRCH", "EACCES"].includes(String(error.code)))) throw error;
    }
  }
  return found;
}

const tables = (): string[] => execFileSync("nft", ["list", "tables"], { encoding: "utf8" }).split(/\s+/);
