import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BanyanError } from "@banyan/sdk";
import { expect, it } from "vitest";
import { exitCodeOf } from "./commands/exec.ts";
import { ago, errorJson, errorText, table } from "./print.ts";
import { createProgram } from "./program.ts";
import { chooseSettings, readSettings, writeSettings } from "./settings.ts";
import { collectLabelChange, collectPair, parsePlace, secondsOrNever, secondsOrNull } from "./values.ts";

it("lines columns up", () => {
  const lines = table(
    ["ID", "NAME"],
    [
      ["sbx_1", null],
      ["s", "long name"],
    ],
  ).split("\n");
  expect(lines.slice(1)).toEqual(["sbx_1  -", "s      long name"]);
});

it("says how long ago in one unit", () => {
  const now = Date.parse("2026-01-02T00:00:00Z");
  expect(ago("2026-01-01T23:59:30Z", now)).toBe("30 s");
  expect(ago("2026-01-01T23:00:00Z", now)).toBe("60 min");
  expect(ago("2026-01-01T00:00:00Z", now)).toBe("24 h");
  expect(ago(null, now)).toBe("-");
});

it("shows an error with its fix and every further issue", () => {
  const error = new BanyanError({
    code: "request.invalid",
    message: "`limits.cpu`: too small",
    status: 422,
    retryable: false,
    retryAfterMs: null,
    fix: "Correct it.",
    requestId: "req_1",
    details: {
      issues: [
        { path: "limits.cpu", message: "too small" },
        { path: "foo", message: "unknown field" },
      ],
    },
  });
  const text = errorText(error);
  for (const part of ["`limits.cpu`: too small", "request.invalid", "foo: unknown field", "Correct it.", "req_1"])
    expect(text).toContain(part);
  expect(JSON.parse(errorJson(error)).error).toMatchObject({ code: "request.invalid", fix: "Correct it." });
});

it("shows what of an error's details its message does not say", () => {
  const textOf = (message: string, details: Record<string, unknown>): string =>
    errorText(
      new BanyanError({ code: "c", message, status: 409, retryable: false, retryAfterMs: null, fix: "f", requestId: null, details }),
    );
  const users = [{ sandbox_id: "sbx_1", state: "running", path: "/data", mode: "rw" }];
  expect(textOf("In use.", { used_by: users })).toContain("  sbx_1  running  /data  rw\n");
  expect(textOf("In use.", { used_by: Array(12).fill(users[0]) })).toContain("… 2 more\n");
  expect(textOf("No such volume.", { volume: "nope" })).toContain("  volume: nope\n");
  expect(textOf("The request does not fit.", { issues: [{ path: "to", message: "must be absolute" }] })).toContain(
    "  to: must be absolute\n",
  );
  expect(textOf("No such volume.", { volume: "a\u001b[2Jb" })).toContain("  volume: a [2Jb\n");
  const said = textOf("`to`: must be absolute", { issues: [{ path: "to", message: "must be absolute" }] });
  expect(said.match(/must be absolute/g)).toHaveLength(1);
});

it("ends as the command did", () => {
  expect(exitCodeOf({ exitCode: 3, signal: null, timedOut: false })).toBe(3);
  expect(exitCodeOf({ exitCode: null, signal: "SIGKILL", timedOut: false })).toBe(137);
  expect(exitCodeOf({ exitCode: null, signal: "SIGKILL", timedOut: true })).toBe(124);
});

it("reads pairs, label changes and places", () => {
  expect(collectPair("A=1=2", { B: "x" })).toEqual({ A: "1=2", B: "x" });
  expect(() => collectPair("=x")).toThrow(/key=value/);
  expect(collectLabelChange("a=", collectLabelChange("b=1"))).toEqual({ a: null, b: "1" });
  expect(secondsOrNull(secondsOrNever("never"))).toBeNull();
  expect(() => secondsOrNever("soon")).toThrow(/number/);
  expect(parsePlace("sbx_01k9:/a:b")).toEqual({ kind: "sandbox", id: "sbx_01k9", path: "/a:b" });
  expect(parsePlace("./sbx")).toEqual({ kind: "local", path: "./sbx" });
});

it("prefers a flag to the environment to the file", () => {
  const file = { url: "http://file", apiKey: "file" };
  expect(chooseSettings({}, { env: {}, file })).toEqual(file);
  expect(chooseSettings({}, { env: { BANYAN_URL: "http://env" }, file })).toEqual({ url: "http://env", apiKey: "file" });
  expect(chooseSettings({ apiKey: "flag" }, { env: { BANYAN_API_KEY: "env" }, file: {} })).toEqual({ apiKey: "flag" });
});

it("keeps the key where only its owner reads it", async () => {
  const directory = await mkdtemp(join(tmpdir(), "banyan-cli-"));
  const path = join(directory, "deep", "config.json");
  expect(await readSettings(path)).toEqual({});
  await writeSettings(path, { url: "http://x", apiKey: "k" });
  expect(await readSettings(path)).toEqual({ url: "http://x", apiKey: "k" });
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  await rm(directory, { recursive: true });
});

it("has help with an example for every command that takes options", () => {
  const program = createProgram();
  const names = program.commands.map((command) => command.name());
  expect(names).toEqual([
    "sandbox",
    "shell",
    "fork",
    "forks",
    "diff",
    "promote",
    "tree",
    "archive",
    "volume",
    "image",
    "build",
    "registry",
    "key",
    "org",
    "node",
    "usage",
    "login",
  ]);
  for (const command of program.commands) expect(command.description()).not.toBe("");
});

it("says after how many seconds to try again", () => {
  const error = new BanyanError({
    code: "volume.unreachable",
    message: "The volume's store does not answer.",
    status: 503,
    retryable: true,
    retryAfterMs: 4_500,
    fix: "Try again after retry_after_ms.",
    requestId: null,
    details: {},
  });
  expect(errorText(error)).toContain("Try again after 5 s.");
});
