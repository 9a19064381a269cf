import { spawnSync } from "node:child_process";
import { expect, it } from "vitest";
import { shellQuote as quote } from "../domain/scripts.ts";
import { aptOptionsOf, NO_ACCESS } from "./host-access.ts";
import { STEP_COMMAND, stepInput } from "./step-script.ts";

const run = (script: string) => spawnSync("/bin/sh", ["-c", script], { encoding: "utf8", input: "typed" });
const ODD = 'it\'s $HOME `id` "x"\n\\n!';

it("quotes whatever text for the shell", () => {
  expect(run(`printf %s ${quote(ODD)}`).stdout).toBe(ODD);
});

it("ends with the exit code of the command that failed, and gives it nothing to read", () => {
  const input = stepInput({ script: "cat; (exit 7); echo never", secrets: {}, access: NO_ACCESS, network: "closed" });
  expect(run(input)).toMatchObject({ status: 7, stdout: "" });
});

it("counts a step that never came to the shell as failed: nothing was sent, or the image has no cat", () => {
  const [shell = "", ...args] = STEP_COMMAND;
  const start = (input: string, PATH: string) => spawnSync(shell, args, { encoding: "utf8", input, env: { PATH } }).status;
  const input = stepInput({ script: ":", secrets: {}, access: NO_ACCESS, network: "closed" });
  expect([start(input, "/usr/bin:/bin"), start("", "/usr/bin:/bin"), start(input, "/nowhere")]).toEqual([0, 127, 127]);
});

it("names a secret's value only in what the shell reads, never in what a process is called with", () => {
  const input = stepInput({ script: "make", secrets: { TOKEN: "s3cret" }, access: NO_ACCESS, network: "closed" });
  expect(input.split("\n").filter((line) => line.includes("s3cret"))).toEqual([
    expect.stringContaining("> /run/secrets/TOKEN"),
    "export TOKEN='s3cret'",
  ]);
  expect(input.split("\n").at(-1)).toBe("exec /bin/sh -ec 'make' < /dev/null");
});

it("prepares no way out where the network is closed", () => {
  const access = { proxies: { http_proxy: "http://proxy:3128" }, certificates: "PEM", aptOptions: ['Acquire::Check-Date "false";'] };
  expect(stepInput({ script: ":", secrets: {}, access, network: "closed" })).not.toMatch(/proxy|PEM|Acquire/);
  expect(stepInput({ script: ":", secrets: {}, access, network: "open" })).toMatch(
    /http_proxy='http:\/\/proxy:3128'[\s\S]*PEM[\s\S]*Check-Date/,
  );
});

it("takes of apt's configuration what says how archives are reached, and nothing that runs a command", () => {
  const dump = [
    'Acquire::http::Proxy "http://proxy:3128";',
    'Acquire::Check-Date "false";',
    'Acquire::http::Proxy-Auto-Detect "/usr/bin/x";',
    'DPkg::Post-Invoke:: "rm -rf /";',
  ].join("\n");
  expect(aptOptionsOf(dump)).toEqual(['Acquire::http::Proxy "http://proxy:3128";', 'Acquire::Check-Date "false";']);
});
