import { expect, it } from "vitest";
import { readConfig } from "./config.ts";

const needed = { NATS_URL: "nats://n", DATABASE_URL: "postgres://d", BANYAN_CLUSTER_TOKEN: "0123456789abcdef" };

it("needs only the bus, the database and the cluster's token", () => {
  expect(readConfig(needed)).toMatchObject({
    httpHost: "127.0.0.1",
    httpPort: 7070,
    publicUrl: null,
    bootstrapKey: null,
    healthPort: 7071,
  });
});

it("names what is wrong", () => {
  expect(() => readConfig({ ...needed, BANYAN_CLUSTER_TOKEN: "short", BANYAN_HTTP_PORT: "70700" })).toThrow(
    /BANYAN_CLUSTER_TOKEN.*BANYAN_HTTP_PORT/,
  );
});
