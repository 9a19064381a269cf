import { expect, it } from "vitest";
import { z } from "zod";
import { readBaseConfig, readEnvironment } from "./config.ts";

it("fills in what is not set, and takes an empty variable for not set", () => {
  expect(readBaseConfig({ BANYAN_LOG_LEVEL: "", BANYAN_HEALTH_PORT: "0" }, { healthPort: 7071 })).toEqual({
    logLevel: "info",
    healthHost: "127.0.0.1",
    healthPort: 0,
    otlpEndpoint: null,
  });
});

it("names every variable that is wrong in one sentence", () => {
  const schema = z.object({ NATS_URL: z.url(), BANYAN_POOL_SIZE: z.coerce.number().int() });
  expect(() => readEnvironment(schema, { BANYAN_POOL_SIZE: "many" })).toThrow(
    /^The configuration is not valid: NATS_URL: .*; BANYAN_POOL_SIZE: /,
  );
});
