import { expect, it } from "vitest";
import { explain } from "./failure.ts";

const failed = (output: string, changes = {}) =>
  explain({ step: 2, exitCode: 100, oomKilled: false, lastLines: output.split("\n"), ...changes }, { network: "open" });

/** As apt, pip, npm, dash, bash, curl and the Docker Engine said it. */
const SAID: [string, string, string?][] = [
  ["build.package_not_found", "Building dependency tree...\nReading state information...\nE: Unable to locate package jqq", "`jqq`"],
  ["build.package_not_found", "E: Version '9.9' for 'jq' was not found", "Version '9.9' for 'jq'"],
  ["build.package_not_found", "E: Package 'libfoo' has no installation candidate", "`libfoo`"],
  [
    "build.package_not_found",
    "ERROR: Could not find a version that satisfies the requirement no-such==1 (from versions: none)\nERROR: No matching distribution found for no-such==1",
    "`no-such==1`",
  ],
  [
    "build.package_not_found",
    "npm error code E404\nnpm error 404 Not Found - GET https://registry/no-such\nnpm error 404\nnpm error 404  The requested resource 'no-such@*' could not be found or you do not have permission to access it.",
    "`no-such@*`",
  ],
  ["build.package_not_found", "npm ERR! code E404\nnpm ERR! 404  'no-such@1' is not in this registry.", "`no-such@1`"],
  ["build.package_not_found", "npm error code ETARGET\nnpm error notarget No matching version found for is-odd@99.", "`is-odd@99`"],
  [
    "build.network",
    "W: Failed to fetch http://deb/debian/dists/trixie/InRelease  Temporary failure resolving 'deb'\nE: Unable to locate package jq",
  ],
  [
    "build.network",
    "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError(…: Failed to establish a new connection: [Errno -2] Name or service not known')': /simple/x/\nERROR: No matching distribution found for x",
  ],
  ["build.network", "npm error code ENOTFOUND\nnpm error network request to http://r/x failed, reason: getaddrinfo ENOTFOUND r"],
  ["build.network", "curl: (6) Could not resolve host: example.org"],
  ["build.disk_full", "dpkg: error processing archive x.deb (--unpack):\n cannot copy: write error: No space left on device"],
  ["build.disk_full", "npm error code ENOSPC\nnpm error syscall write"],
  ["build.disk_full", "E: You don't have enough free space in /var/cache/apt/archives/."],
  ["build.out_of_memory", "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory"],
  ["build.out_of_memory", "g++: fatal error: Killed signal terminated program cc1plus\ncompilation terminated."],
  ["build.out_of_memory", "Traceback (most recent call last):\nMemoryError"],
  ["build.syntax", "/bin/sh: 1: Syntax error: Unterminated quoted string"],
  ["build.syntax", 'sh: 1: Syntax error: "do" unexpected (expecting "then")'],
  ["build.syntax", "bash: line 1: syntax error near unexpected token `('"],
  ["build.syntax", "dockerfile parse error line 1: unknown instruction: FRM"],
  ["build.syntax", "failed to parse Dockerfile: ENV must have two arguments"],
  ["build.syntax", "the Dockerfile (Dockerfile) cannot be empty"],
  ["build.step_failed", "/bin/sh: 1: nosuchcmd: not found"],
  ["build.step_failed", "AssertionError: expected 1 to be 2"],
  ["build.step_failed", "curl: (7) Failed to connect to localhost port 3000: Could not connect to server"],
  ["build.step_failed", "COPY failed: file not found in build context or excluded by .dockerignore: stat nofile: file does not exist"],
  ["build.step_failed", ""],
];
it.each(SAID)("recognises %s in: %s", (code, output, named = "") => {
  const failure = failed(output);
  expect(failure.code).toBe(code);
  expect(failure.fix).toContain(named);
});

it("goes by how the step ended before what it said", () => {
  expect(failed("E: Unable to locate package jqq", { oomKilled: true }).code).toBe("build.out_of_memory");
  expect(failed("E: Unable to locate package jqq", { timedOut: true }).code).toBe("build.timeout");
  expect(failed("Killed", { exitCode: 137 }).code).toBe("build.out_of_memory");
});

it("says of a closed network that it is closed", () => {
  const output = { step: 0, exitCode: 6, oomKilled: false, lastLines: ["curl: (6) Could not resolve host: example.org"] };
  expect(explain(output, { network: "closed" }).fix).toContain("`network` to `open`");
});

it("keeps the last lines, bounded", () => {
  const failure = failed(Array.from({ length: 80 }, (_, index) => `${index} ${"x".repeat(2_000)}`).join("\n"));
  expect(failure).toMatchObject({ step: 2, exitCode: 100 });
  expect(failure.lastLines).toHaveLength(50);
  expect(failure.lastLines[0]).toMatch(/^30 x+$/);
  expect(failure.lastLines[0]).toHaveLength(1_000);
});
