import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { buildNative } from "@banyan/runtime";

const NATIVE = new URL("../../../packages/runtime/native", import.meta.url).pathname;

/** The server of files as it is shipped, and as the sanitizers watch it. */
export const BINARIES: readonly (readonly [string, (scratch: string) => Promise<string>])[] = [
  ["as it is", async () => (await buildNative()).init],
  ["under the sanitizers", async (scratch) => sanitized(scratch)],
];

function sanitized(scratch: string): string {
  execFileSync("make", ["-s", "-C", NATIVE, `BUILD=${scratch}`, `${scratch}/init-sanitized`], { timeout: 120_000 });
  return join(scratch, "init-sanitized");
}
