import { rm } from "node:fs/promises";
import { join } from "node:path";
import { mustRun } from "./commands.ts";
import type { BenchClient } from "./http.ts";

export interface FioJob {
  name: string;
  unit: "1/s" | "MB/s";
  args: readonly string[];
  direction: "read" | "write";
}

const RUN_S = 4;
const SIZE = "512m";
const TIMEOUT_MS = 120_000;
const job = (name: string, unit: FioJob["unit"], direction: FioJob["direction"], rw: string, bs: string): FioJob => ({
  name,
  unit,
  direction,
  args: [`--rw=${rw}`, `--bs=${bs}`],
});

/** Past the page cache, so that what is compared is the way to the disk and not the memory. */
export const JOBS: readonly FioJob[] = [
  job("4k-random-read", "1/s", "read", "randread", "4k"),
  job("4k-random-write", "1/s", "write", "randwrite", "4k"),
  job("1m-read", "MB/s", "read", "read", "1m"),
  job("1m-write", "MB/s", "write", "write", "1m"),
];

/** Where a directory's file of a job lies. */
const fileOf = (directory: string, { name }: FioJob) => join(directory, `fio-${name}`);

const argv = (directory: string, job: FioJob): [string, ...string[]] => [
  "fio",
  ...job.args,
  `--name=${job.name}`,
  `--filename=${fileOf(directory, job)}`,
  `--size=${SIZE}`,
  "--direct=1",
  "--ioengine=psync",
  "--numjobs=1",
  "--time_based",
  `--runtime=${RUN_S}`,
  "--output-format=json",
];

/** Lays the job's file out, on the disk and read once, so that whoever measures first pays for none of it. */
export async function layOut(directory: string, job: FioJob): Promise<void> {
  await mustRun([
    "fio",
    "--name=layout",
    `--filename=${fileOf(directory, job)}`,
    "--rw=write",
    "--bs=1m",
    `--size=${SIZE}`,
    "--end_fsync=1",
  ]);
  await mustRun(["fio", "--name=layout", `--filename=${fileOf(directory, job)}`, "--rw=read", "--bs=1m", `--size=${SIZE}`, "--direct=1"]);
}

export const removeFile = (directory: string, job: FioJob): Promise<void> => rm(fileOf(directory, job), { force: true });

/** Operations a second, or MB a second. */
export async function fioIn(client: BenchClient, sandbox: string, directory: string, job: FioJob): Promise<number> {
  const { body } = await client.exec(sandbox, { argv: argv(directory, job), timeout_ms: TIMEOUT_MS });
  if (body.exit_code !== 0) throw new Error(`fio failed in the sandbox: ${body.stderr || body.stdout}`);
  return rateOf(body.stdout, job);
}

/** The same on the host; with the host's own fio. */
export async function fioOnHost(directory: string, job: FioJob): Promise<number> {
  return rateOf((await mustRun(argv(directory, job))).stdout, job);
}

function rateOf(output: string, { direction, unit }: FioJob): number {
  const made = JSON.parse(output.slice(output.indexOf("{"))) as { jobs: [Record<"read" | "write", { iops: number; bw_bytes: number }>] };
  const { iops, bw_bytes: bytes } = made.jobs[0][direction];
  return unit === "1/s" ? iops : bytes / 1e6;
}
