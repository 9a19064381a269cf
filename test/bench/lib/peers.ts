import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { mustRun, run, timeCommand } from "./commands.ts";
import { type Result, summarise } from "./stats.ts";

const PEER_IMAGE = "banyan-bench/peer:latest";

interface Timed {
  samples: number[];
  failed: number;
}

/** The same root file system that sandboxes get, as a Docker image and as an OCI bundle, so that peers run the same binary. */
export interface Peers {
  spinUp(n: { docker: number; runc: number; unshare: number }): Promise<Result[]>;
  exec(n: { docker: number; runc: number }): Promise<Result[]>;
  burst(n: number, rounds: number): Promise<Result>;
  /** `docker commit` of a running container that has written so much, then so many `docker run` of it at once. */
  fork(n: number, rounds: number, upperMb: number): Promise<Result>;
  /** `docker build` of a step and a file, with nothing changed and with the file changed. */
  build(what: { step: string; lastFile: string; cached: number; changed: number }): Promise<{ cached: Timed; changed: Timed }>;
  close(): Promise<void>;
}

export async function preparePeers(rootDir: string): Promise<Peers> {
  const workDir = await mkdtemp(join(tmpdir(), "banyan-peers-"));
  await mustRun(["sh", "-c", `tar -C '${rootDir}' -c . | docker import - ${PEER_IMAGE}`]);
  const bundle = await ociBundle(workDir, rootDir, ["/bin/true"]);
  const idle = await ociBundle(workDir, rootDir, ["/bin/sleep", "3600"]);

  return {
    async spinUp(n) {
      const docker = await timeCommand(n.docker, () => ["docker", "run", "--rm", "--network", "none", PEER_IMAGE, "/bin/true"]);
      const runc = await timeCommand(n.runc, (i) => [
        "runc",
        "--root",
        `${workDir}/runc`,
        "run",
        "--bundle",
        bundle,
        `banyan-bench-${process.pid}-${i}`,
      ]);
      const unshare = await timeCommand(n.unshare, () => ["unshare", "-fpmiun", "chroot", rootDir, "/bin/true"]);
      return [
        summarise("peer.docker-run", "ms", docker.samples, docker.failed),
        summarise("peer.runc-run", "ms", runc.samples, runc.failed),
        summarise("floor.unshare", "ms", unshare.samples, unshare.failed),
      ];
    },

    async exec(n) {
      const name = `banyan-bench-exec-${process.pid}`;
      await mustRun(["docker", "run", "-d", "--rm", "--network", "none", "--name", name, PEER_IMAGE, "/bin/sleep", "3600"]);
      const docker = await timeCommand(n.docker, () => ["docker", "exec", name, "/bin/true"]);
      await mustRun(["docker", "rm", "-f", name]);
      await mustRun(["sh", "-c", `runc --root ${workDir}/runc run --detach --bundle ${idle} ${name} </dev/null >/dev/null 2>&1`]);
      const runc = await timeCommand(n.runc, () => ["runc", "--root", `${workDir}/runc`, "exec", name, "/bin/true"]);
      await mustRun(["runc", "--root", `${workDir}/runc`, "delete", "--force", name]);
      return [
        summarise("peer.docker-exec", "ms", docker.samples, docker.failed),
        summarise("peer.runc-exec", "ms", runc.samples, runc.failed),
      ];
    },

    async burst(n, rounds) {
      const walls: number[] = [];
      let failed = 0;
      for (let round = 0; round < rounds; round++) {
        const startedMs = performance.now();
        const argv = ["docker", "run", "--rm", "--network", "none", PEER_IMAGE, "/bin/true"] as const;
        const results = await Promise.all(Array.from({ length: n }, () => run([...argv])));
        failed += results.filter((result) => result.code !== 0).length;
        walls.push(performance.now() - startedMs);
      }
      return summarise(`peer.docker-run-${n}`, "ms", walls, failed);
    },

    async fork(n, rounds, upperMb) {
      const name = `banyan-bench-fork-${process.pid}`;
      const image = "banyan-bench/forked:latest";
      const walls: number[] = [];
      let failed = 0;
      await mustRun(["docker", "run", "-d", "--rm", "--network", "none", "--name", name, PEER_IMAGE, "/bin/sleep", "3600"]);
      try {
        await mustRun(["docker", "exec", name, "/bin/sh", "-c", `head -c ${upperMb}M /dev/urandom > /var/tmp/data`]);
        for (let round = 0; round < rounds; round++) {
          const startedMs = performance.now();
          await mustRun(["docker", "commit", name, image]);
          const argv = ["docker", "run", "--rm", "--network", "none", image, "/bin/true"] as const;
          const results = await Promise.all(Array.from({ length: n }, () => run([...argv])));
          walls.push(performance.now() - startedMs);
          failed += results.filter((result) => result.code !== 0).length;
          await mustRun(["docker", "rmi", "-f", image]);
        }
      } finally {
        await run(["docker", "rm", "-f", name]);
      }
      return summarise(`peer.docker-fork-${n}`, "ms", walls, failed);
    },

    async build({ step, lastFile, cached, changed }) {
      const directory = await mkdtemp(join(workDir, "build-"));
      const tag = "banyan-bench/built:latest";
      const change = (content: string) => writeFile(join(directory, "last"), content);
      await writeFile(join(directory, "Dockerfile"), `FROM ${PEER_IMAGE}\nRUN ${step}\nCOPY last ${lastFile}\n`);
      await change("first");
      const argv = ["docker", "build", "--quiet", "--network", "none", "--tag", tag, directory] as const;
      await mustRun([...argv]);
      const unchanged = await timeCommand(cached, () => argv);
      const samples: number[] = [];
      let failed = 0;
      for (let i = 0; i < changed; i++) {
        await change(`content ${i}`);
        const built = await run([...argv]);
        if (built.code === 0) samples.push(built.ms);
        else failed++;
      }
      await run(["docker", "rmi", "-f", tag]);
      return { cached: unchanged, changed: { samples, failed } };
    },

    async close() {
      await run(["docker", "rmi", "-f", PEER_IMAGE]);
      await rm(workDir, { recursive: true, force: true });
    },
  };
}

/** runc's own default spec with our command: its namespaces, masks and capabilities are those of a plain container. */
async function ociBundle(workDir: string, rootDir: string, args: string[]): Promise<string> {
  const bundle = await mkdtemp(join(workDir, "bundle-"));
  await mustRun(["runc", "spec", "--bundle", bundle]);
  const file = join(bundle, "config.json");
  const spec = JSON.parse(await readFile(file, "utf8"));
  spec.process.terminal = false;
  spec.process.args = args;
  spec.root = { path: rootDir, readonly: true };
  await writeFile(file, JSON.stringify(spec));
  return bundle;
}
