import { expect, it } from "vitest";
import { applicationHeaders, passable, portOf } from "./ports.ts";

it("gives the application a host it knows, and nothing of ours or of one connection", () => {
  const raw = ["Host", "3000-x.example", "X-Banyan-Epoch", "1", "X-App", "1", "Connection", "close, X-Hop", "X-Hop", "1", "Upgrade", "h2c"];
  expect(applicationHeaders(raw, 3000)).toEqual(["host", "localhost:3000", "X-App", "1"]);
});

it("passes every header of an answer, also those that come twice", () => {
  expect(passable(["Set-Cookie", "a=1", "Set-Cookie", "b=2", "X-Banyan-Code", "forged", "Transfer-Encoding", "chunked"])).toEqual([
    "Set-Cookie",
    "a=1",
    "Set-Cookie",
    "b=2",
  ]);
});

it("knows ports from 1 to 65535", () => {
  expect(portOf("65535")).toBe(65_535);
  for (const text of [undefined, "", "0", "65536"]) expect(() => portOf(text)).toThrow(/schema/);
});
