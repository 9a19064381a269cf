import { expect, it } from "vitest";
import { createLogger, type LogLevel } from "./logger.ts";

function capture(level: LogLevel = "debug") {
  const lines: Record<string, unknown>[] = [];
  const logger = createLogger({ name: "test", level, destination: { write: (line: string) => void lines.push(JSON.parse(line)) } });
  return { lines, logger };
}

it("says who, when and how grave in every line", () => {
  const { lines, logger } = capture();
  logger.child({ sandboxId: "sbx_1" }).warn({ ms: 3 }, "slow");
  expect(lines).toEqual([
    { level: "warn", time: expect.stringMatching(/^\d{4}-.*Z$/), service: "test", sandboxId: "sbx_1", ms: 3, msg: "slow" },
  ]);
});

it("never shows keys, tokens, passwords or environments, wherever they stand", () => {
  const { lines, logger } = capture();
  const secrets = { token: "s3cret", apiKey: "s3cret", env: { PASSWORD: "s3cret" } };
  logger.info({ ...secrets, headers: { authorization: "Bearer s3cret", cookie: "s3cret" }, deep: { config: { password: "s3cret" } } }, "x");
  logger.child({ request: secrets }).error({ spec: { env: { A: "s3cret" } } }, "y");
  expect(lines).toHaveLength(2);
  expect(JSON.stringify(lines)).not.toContain("s3cret");
});

it("keeps an error's stack and cause", () => {
  const { lines, logger } = capture();
  logger.error({ err: new Error("outer", { cause: new Error("inner") }) }, "failed");
  expect(JSON.stringify(lines[0])).toMatch(/outer.*inner/);
});

it("leaves out what is below its level", () => {
  const { lines, logger } = capture("warn");
  logger.info({}, "quiet");
  logger.error({}, "loud");
  expect(lines.map(({ msg }) => msg)).toEqual(["loud"]);
});
