import { spawn } from "node:child_process";
import { type Duplex, type Readable, Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { fault } from "@banyan/contracts";

const STDERR_CHARS_MAX = 4_096;

/** Unpacks a tar, owners, rights and attributes as they are in it. Every byte of it is read, also what comes after its end. */
export async function untar(tar: readonly [Readable, ...Duplex[]], directory: string): Promise<void> {
  // GNU tar refuses names that lead out of the directory, and delays symlinks that could.
  const keep = ["--numeric-owner", "--same-owner", "--preserve-permissions", "--xattrs", "--xattrs-include=*"];
  const child = spawn("tar", ["--extract", ...keep, "--directory", directory], { stdio: ["pipe", "ignore", "pipe"] });
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
    if (said.length < STDERR_CHARS_MAX) said += chunk;
  });
  const ended = new Promise<number | null>((resolve, reject) => child.on("error", reject).on("close", resolve));
  ended.catch(() => {});
  // It ends when it has seen the end of the archive, with input still to come: a closed pipe is no failure, its exit code tells.
  child.stdin.on("error", () => {});
  const input = new Writable({
    write(chunk: Buffer, _encoding, done) {
      if (child.exitCode !== null && child.exitCode !== 0) done(new Error("tar has ended"));
      else if (!child.stdin.writable) done();
      else child.stdin.write(chunk, () => done());
    },
    final(done) {
      child.stdin.end();
      done();
    },
  });
  let failure: unknown = null;
  try {
    await pipeline([...tar, input]);
  } catch (error) {
    failure = error;
    child.kill("SIGKILL");
  }
  const exitCode = await ended;
  if (exitCode !== null && exitCode !== 0)
    throw fault("layer.unavailable", { exitCode, stderr: said.trim() }, { message: "the layer's tar cannot be unpacked" });
  if (failure !== null) throw failure;
}
