import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { mustRun } from "./commands.ts";
import type { BenchContext, BenchServer } from "./context.ts";
import { type Result, summarise } from "./stats.ts";

const SIZE_MB = 1_024;
const ROUNDS = 3;

/**
 * One file (of 1 GiB, if nothing else is asked) to a volume and back through the gateway, in MB/s, beside `cp` on the same disk and `curl` to a plain file server; and the most
 * memory that the whole server took meanwhile over what it had before. All files lie in the server's data directory.
 */
export async function transfers(context: BenchContext, volume: string, server: BenchServer): Promise<Result[]> {
  const directory = await mkdtemp(join(server.dataDir, "transfers-"));
  const sizeMb = Number(context.options.sizeMb ?? SIZE_MB);
  const rounds = Math.min(ROUNDS, context.n ?? ROUNDS);
  const source = join(directory, "source");
  const copy = join(directory, "copy");
  await mustRun(["sh", "-c", `head -c ${sizeMb}M /dev/urandom > ${source}`]);
  const plain = await plainServer(copy);
  const rates: Record<string, number[]> = { upload: [], download: [], "peer.cp": [], "peer.curl-upload": [], "peer.curl-download": [] };
  const before = await memoryMb(server.pid, true);
  const rate = (argv: [string, ...string[]]) => rateOf(sizeMb, argv);
  try {
    for (let round = 1; round <= rounds; round++) {
      context.progress(`transfers ${round}/${rounds}`);
      const address = `${context.client.url}/v1/volumes/${volume}/files/content?path=/transfer`;
      const key = `authorization: Bearer ${context.client.key}`;
      rates.upload?.push(await rate(["curl", "-sSf", "-H", key, "-T", source, address]));
      rates.download?.push(await rate(["curl", "-sSf", "-H", key, "-o", "/dev/null", address]));
      rates["peer.curl-upload"]?.push(await rate(["curl", "-sSf", "-T", source, plain.url]));
      rates["peer.curl-download"]?.push(await rate(["curl", "-sSf", "-o", "/dev/null", plain.url]));
      rates["peer.cp"]?.push(await rate(["cp", "--reflink=never", source, copy]));
    }
    const most = await memoryMb(server.pid, false);
    return [
      ...Object.entries(rates).map(([name, samples]) => summarise(name, "MB/s", samples)),
      summarise("transfer.memory", "MB", [most - before]),
    ];
  } finally {
    plain.close();
    await rm(directory, { recursive: true, force: true });
  }
}

async function rateOf(sizeMb: number, argv: [string, ...string[]]): Promise<number> {
  const startedMs = performance.now();
  await mustRun(argv);
  return (sizeMb * 1.048_576) / ((performance.now() - startedMs) / 1_000);
}

/** The most resident memory of a process, or, with `reset`, what it has now, from which the most is counted anew. */
async function memoryMb(pid: number, reset: boolean): Promise<number> {
  if (reset) await writeFile(`/proc/${pid}/clear_refs`, "5");
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  return Number(/^VmHWM:\s+(\d+) kB/m.exec(status)?.[1]) / 1_024;
}

async function plainServer(path: string): Promise<{ url: string; close(): void }> {
  const child = fork(join(import.meta.dirname, "file-server.mjs"), [path]);
  const [port] = await once(child, "message");
  return { url: `http://127.0.0.1:${port}/file`, close: () => child.disconnect() };
}
