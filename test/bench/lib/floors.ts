import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { startNats } from "@banyan/testkit";
import { Pool } from "undici";
import { type Result, summarise } from "./stats.ts";

/** One HTTP request that makes one NATS request to another process and answers: what no gateway on this stack can beat. */
export async function httpNatsFloor(n: number): Promise<Result> {
  const nats = await startNats();
  const children: ChildProcess[] = [];
  try {
    const role = async (name: string): Promise<string> => {
      const child = spawn(process.execPath, [new URL("./floor-roles.ts", import.meta.url).pathname, name, nats.url], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      children.push(child);
      const [line] = await once(child.stdout, "data");
      return String(line).trim();
    };
    await role("echo");
    const url = await role("http");
    const pool = new Pool(url, { connections: 1, pipelining: 1 });
    const samples: number[] = [];
    let failed = 0;
    for (let i = 0; i < n; i++) {
      const startedMs = performance.now();
      const response = await pool.request({ method: "POST", path: "/", headers: { "content-type": "application/json" }, body: '{"n":1}' });
      await response.body.text();
      if (response.statusCode === 200) samples.push(performance.now() - startedMs);
      else failed++;
    }
    await pool.close();
    return summarise("floor.http-nats", "ms", samples, failed);
  } finally {
    for (const child of children) child.kill("SIGKILL");
    await nats.stop();
  }
}
