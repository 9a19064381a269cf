import { ERRORS, fault } from "@banyan/contracts";
import { AppError } from "@banyan/kernel";
import { headers } from "@nats-io/transport-node";
import { expect, it } from "vitest";
import { z } from "zod";
import { parseServers } from "./connect.ts";
import { nakDelayMs } from "./deliveries.ts";
import { permissionsConfig } from "./permissions.ts";
import { DEADLINE_HEADER, deadlineOf, decode, encode, encodeError } from "./wire.ts";

const message = (text: string) => ({ json: () => JSON.parse(text) });

it("takes the credentials out of the servers' addresses", () => {
  expect(parseServers("nats://a:4222,b:4223")).toEqual({ servers: ["a:4222", "b:4223"] });
  expect(parseServers("nats://gate%2Fway:pass%40word@a:4222")).toEqual({ servers: ["a:4222"], user: "gate/way", pass: "pass@word" });
  expect(parseServers("nats://secret@a:4222")).toEqual({ servers: ["a:4222"], token: "secret" });
});

it("refuses a payload above the limit, by its bytes and not its characters", () => {
  expect(encode("é", 4, "x")).toHaveLength(4);
  expect(() => encode("é", 3, "x")).toThrow(ERRORS["request.too_large"].message);
});

it("names what does not fit the schema, and takes broken JSON for the same fault", () => {
  const schema = z.object({ a: z.object({ n: z.int() }) });
  const errorOf = (text: string): AppError => {
    try {
      decode(schema, message(text), "request.invalid");
    } catch (error) {
      if (error instanceof AppError) return error;
    }
    throw new Error("did not refuse");
  };
  expect(errorOf('{"a":{"n":"x"}}').details.issues).toEqual([expect.stringMatching(/^a\.n: /)]);
  expect(errorOf("{").code).toBe("request.invalid");
});

it("leaves out an error's details rather than exceed the limit", () => {
  const wire = (bytesMax: number) =>
    JSON.parse(new TextDecoder().decode(encodeError(fault("image.build_failed", { log: "x".repeat(1_000) }), bytesMax)));
  expect(wire(2_000).details.log).toHaveLength(1_000);
  expect(wire(500)).toMatchObject({ code: "image.build_failed", details: {} });
});

it("says nothing of an error that is not one of ours", () => {
  const text = new TextDecoder().decode(encodeError(new Error("postgres://user:secret@host"), 1_000));
  expect(text).not.toContain("secret");
});

it("takes the caller's deadline where it is one", () => {
  const withDeadline = (value: string) => {
    const given = headers();
    given.set(DEADLINE_HEADER, value);
    return deadlineOf(given, 5_000);
  };
  expect([withDeadline("120"), withDeadline("90000"), withDeadline("-1"), withDeadline("soon")]).toEqual([120, 90_000, 5_000, 5_000]);
  expect(deadlineOf(undefined, 5_000)).toBe(5_000);
});

it("waits longer after each failed delivery, up to a bound", () => {
  expect([1, 2, 3, 8, 30].map(nakDelayMs)).toEqual([500, 1_000, 2_000, 60_000, 60_000]);
});

it("gives no permission to a name that could escape its place", () => {
  const of = (user: string, nodeId: string) => permissionsConfig([{ user, password: "x", role: { kind: "node", nodeId } }]);
  expect(of("node-a", "a")).toContain('"rpc.node.a.>"');
  expect(() => of("a.>", "a")).toThrow("bus user's name");
  expect(() => of("a", "a.>")).toThrow("not a node id");
});
