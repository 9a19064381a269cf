import { expect, it } from "vitest";
import { z } from "zod";
import { readBaseConfig, readEnvironment } from "./config.ts";

it("fills in what is not set, and takes an empty variable for not set", () => {
  expect(readBaseConfig({ BANYAN_LOG_LEVEL: "", BANYAN_HEALTH_PORT: "0" }, { healthPort: 7071 })).toEqual({
    logLevel: "info",
    healthHost: "127.0.0.1",
    healthPort: 0,
    otlpEndpoint: null,
    blobs: null,
  });
});

it("reads where blobs are kept, and asks for the keys that go with it", () => {
  const keys = { BANYAN_BLOBS_ACCESS_KEY_ID: "id", BANYAN_BLOBS_SECRET_ACCESS_KEY: "secret" };
  const read = (environment: Record<string, string>) => readBaseConfig(environment, { healthPort: 7071 }).blobs;
  expect(read({ BANYAN_BLOBS: "s3://banyan", ...keys })).toEqual({
    endpoint: "https://s3.us-east-1.amazonaws.com",
    region: "us-east-1",
    bucket: "banyan",
    prefix: "",
    accessKeyId: "id",
    secretAccessKey: "secret",
  });
  expect(read({ BANYAN_BLOBS: "s3://banyan/a/b/", BANYAN_BLOBS_ENDPOINT: "http://minio:9000", ...keys })).toMatchObject({
    endpoint: "http://minio:9000",
    prefix: "a/b/",
  });
  expect(() => read({ BANYAN_BLOBS: "s3://banyan" })).toThrow("BANYAN_BLOBS_ACCESS_KEY_ID");
  expect(() => read({ BANYAN_BLOBS: "file:///tmp", ...keys })).toThrow("s3://bucket/prefix");
});

it("names every variable that is wrong in one sentence", () => {
  const schema = z.object({ NATS_URL: z.url(), BANYAN_POOL_SIZE: z.coerce.number().int() });
  expect(() => readEnvironment(schema, { BANYAN_POOL_SIZE: "many" })).toThrow(
    /^The configuration is not valid: NATS_URL: .*; BANYAN_POOL_SIZE: /,
  );
});
