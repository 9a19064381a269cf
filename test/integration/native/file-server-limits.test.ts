import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "@banyan/kernel";
import { buildNative, openFileServer } from "@banyan/runtime";
import { afterAll, expect, it } from "vitest";

const directory = mkdtempSync(join(tmpdir(), "bnyfl-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** Its handlers inherit both. A tar of a few MB can name a million directories, and a sandbox can make as many files. */
it("takes a bounded part of the host's memory for one request, and is what the host ends first when it has none left", async () => {
  const { init } = await buildNative();
  const server = await openFileServer({ init, root: directory, readOnly: false, socketPath: join(directory, "s"), clock: systemClock });
  try {
    expect(readFileSync(`/proc/${server.pid}/limits`, "utf8")).toMatch(/^Max address space +268435456 +268435456 /m);
    expect(readFileSync(`/proc/${server.pid}/oom_score_adj`, "utf8")).toBe("1000\n");
  } finally {
    await server.close();
  }
});
