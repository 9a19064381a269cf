import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Remote } from "@banyan/contracts";
import { AppError, newId } from "@banyan/kernel";
import { checkReachable, type ObjectSource, RcloneMounts } from "@banyan/runtime";
import { eventually } from "@banyan/testkit";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { PASSWORD, type RcloneServer, startRcloneServer } from "./rclone-server.ts";

const TEST_MS = 120_000;
const IO_MS_MAX = 60_000;

/** Stores that are no S3, and that check the password as well as who asks. */
describe.each(["webdav", "sftp"] as const)("a store that speaks %s", (protocol) => {
  let server: RcloneServer;
  let directory: string;
  let mounts: RcloneMounts;

  beforeAll(async () => {
    server = await startRcloneServer(protocol);
  }, TEST_MS);
  afterAll(() => server?.stop());
  beforeEach(() => {
    directory = mkdtempSync("/var/tmp/bny-stores-");
    const warn = (message: string, _volumeId: string, error: unknown): void => console.error(message, error);
    mounts = new RcloneMounts({ directory, cacheMb: 64, keepMs: 50, warn });
  });
  afterEach(async () => {
    await mounts.close();
    rmSync(directory, { recursive: true, force: true });
  }, TEST_MS);

  const source = (path = ""): ObjectSource => ({
    ...{ kind: "object", store: "object", volumeId: newId("vol") },
    remote: server.remote({ path }),
  });
  /** In a process beside: no thread of this one waits for a mount. */
  const shell = async (command: string): Promise<string> =>
    (await promisify(execFile)("sh", ["-c", command], { timeout: IO_MS_MAX, killSignal: "SIGKILL" })).stdout.trim();
  const refusal = async (remote: Remote): Promise<AppError> => {
    const thrown = await checkReachable(remote).catch((error: unknown) => error);
    if (!(thrown instanceof AppError)) throw new Error("it was not refused", { cause: thrown });
    return thrown;
  };

  it(
    "is mounted, read and written",
    async () => {
      writeFileSync(join(server.files, "there"), "from the store");
      const one = source();
      await checkReachable(one.remote);
      const path = await mounts.open(one);
      expect(await shell(`cat ${path}/there; mkdir ${path}/deep; echo kept > ${path}/deep/file; mv ${path}/there ${path}/named`)).toBe(
        "from the store",
      );
      await eventually(() => expect(readFileSync(join(server.files, "deep/file"), "utf8")).toBe("kept\n"));
      await eventually(() => existsSync(join(server.files, "named")) && !existsSync(join(server.files, "there")));
      mounts.release(one.volumeId);
      const part = source("deep");
      expect(await shell(`cat ${await mounts.open(part)}/file`)).toBe("kept");
      mounts.release(part.volumeId);
    },
    TEST_MS,
  );

  it(
    "is refused with a wrong password and without any, and says neither",
    async () => {
      for (const path of ["", "deep", "not/there/yet"]) {
        await checkReachable(server.remote({ path }));
        expect((await refusal(server.remote({ path, secrets: { pass: "wrong" } }))).code, path).toBe("request.invalid");
      }
      const wrong = await refusal(server.remote({ secrets: { pass: `not ${PASSWORD}` } }));
      expect(wrong.code).toBe("request.invalid");
      expect(JSON.stringify(wrong.details)).toContain("the store refuses us");
      expect(JSON.stringify([wrong.message, wrong.details])).not.toContain(PASSWORD);
      expect((await refusal(server.remote({ secrets: {} }))).code).toBe("request.invalid");
    },
    TEST_MS,
  );
});
