import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { StartedSandbox } from "@banyan/sdk";
import postgres from "postgres";

const OUTPUT_MAX = 16 * 1024 * 1024;
/** What processes say of themselves; all else below /proc is the kernel's. */
const OF_PROCESSES = ["environ", "cmdline", "mountinfo", "mountstats", "comm"].map((name) => `/proc/[0-9]*/${name}`).join(" ");

/** The files that hold one of these words, as root of a sandbox finds them: its own, those of its volumes, and what its processes were told. */
export async function searchSandbox(sandbox: Pick<StartedSandbox, "exec">, words: readonly string[]): Promise<string[]> {
  // The words come by stdin: on a command line they would be found there.
  const command = `grep -rsaFl -f - --exclude-dir=proc --exclude-dir=sys --exclude-dir=dev ${OF_PROCESSES} /`;
  const { stdout } = await sandbox.exec(command, { stdin: words.join("\n"), user: "root" });
  return lines(stdout);
}

/** The files below a data directory that hold one of these words; not what is mounted there of volumes, nor the disks' images, whose files are mounted. */
export function searchDataDir(dataDir: string, words: readonly string[]): string[] {
  const args = ["-rsaFl", "-f", "-", "--exclude=*.img", "--exclude-dir=mounts", "."];
  try {
    return lines(execFileSync("grep", args, { cwd: dataDir, input: words.join("\n"), encoding: "utf8", maxBuffer: OUTPUT_MAX }));
  } catch (error) {
    // 1: nothing; 2: some files went meanwhile.
    if (error instanceof Error && "stdout" in error) return lines(String(error.stdout));
    throw error;
  }
}

/** The tables that hold one of these words, in the database that belongs to a data directory. */
export async function searchDatabase(dataDir: string, words: readonly string[]): Promise<string[]> {
  const password = readFileSync(join(dataDir, "postgres/password"), "utf8").trim();
  const { port } = JSON.parse(readFileSync(join(dataDir, "postgres/postgres.pid.json"), "utf8")) as { port: number };
  const sql = postgres({ host: "127.0.0.1", port, user: "banyan", password, database: "postgres", max: 1, onnotice: () => {} });
  try {
    const tables = await sql<{ schema: string; name: string }[]>`
      select table_schema as schema, table_name as name from information_schema.tables
      where table_type = 'BASE TABLE' and table_schema not in ('pg_catalog', 'information_schema')`;
    const found: string[] = [];
    for (const { schema, name } of tables) {
      const [row] = await sql<{ count: string }[]>`
        select count(*) as count from ${sql(schema)}.${sql(name)} as t where exists (
          select from unnest(${[...words]}::text[]) as word where position(word in t::text) > 0)`;
      if (Number(row?.count) > 0) found.push(`${schema}.${name}`);
    }
    return found;
  } finally {
    await sql.end();
  }
}

const lines = (text: string): string[] => text.split("\n").filter((line) => line !== "");
