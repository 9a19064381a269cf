import { AttachClient, buildNative } from "@banyan/runtime";
import { afterAll, beforeAll, expect, it } from "vitest";

let attach: AttachClient;
beforeAll(async () => {
  attach = await AttachClient.start({ binaryPath: (await buildNative()).attach });
});
afterAll(() => attach.close());

it("runs a tool of the host with its input, and tells its exit code and what it said", async () => {
  expect(await attach.run(["cat"], { stdin: "a line\n" })).toEqual({ exitCode: 0, output: "a line\n" });
  expect(await attach.run(["sh", "-c", "echo out; echo err >&2; exit 3"])).toEqual({ exitCode: 3, output: "out\nerr\n" });
});

it("says why a tool could not be run, and by which signal it ended", async () => {
  expect(await attach.run(["no-such-tool"])).toMatchObject({ exitCode: 127, output: expect.stringContaining("No such file") });
  expect(await attach.run(["sh", "-c", "kill -9 $$"])).toMatchObject({ exitCode: 128 + 9 });
});

it("cuts what a tool says, and bounds what it takes", async () => {
  const { exitCode, output } = await attach.run(["sh", "-c", "yes | head -c 10000000"]);
  expect(exitCode).not.toBe(0);
  expect(output).toHaveLength(2_048);
});

it("ends a tool that takes too long, with what it started", async () => {
  const forLongS = `1000.${process.pid}`;
  const late = attach.run(["sh", "-c", `sleep ${forLongS} & sleep ${forLongS}`], { timeoutMs: 100 });
  await expect(late).rejects.toMatchObject({ errnoName: "ETIMEDOUT" });
  expect((await attach.run(["pgrep", "-f", `sleep ${forLongS}`])).exitCode).toBe(1);
});

it("leaves the tool the signals of any process", async () => {
  const { output } = await attach.run(["sh", "-c", "grep -E 'Sig(Blk|Ign)' /proc/self/status"]);
  expect(output.match(/0{16}/g)).toHaveLength(2);
});
