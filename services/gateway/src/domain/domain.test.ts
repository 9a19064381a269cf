import { expect, it } from "vitest";
import { hashKey, keyHint, newKeySecret } from "./api-key.ts";
import { fingerprint } from "./fingerprint.ts";

it("makes keys of 43 characters of randomness, no two alike", () => {
  const [first, second] = [newKeySecret(), newKeySecret()];
  expect(first).toMatch(/^bny_[A-Za-z0-9_-]{43}$/);
  expect(first).not.toBe(second);
  expect(hashKey(first)).toMatch(/^[0-9a-f]{64}$/);
  expect(first.startsWith(keyHint(first))).toBe(true);
});

it("gives the same fingerprint to the same request, and another to another body, path or method", () => {
  const first = fingerprint("POST", "/v1/sandboxes", { image: "default", env: { A: "1", B: "2" } });
  expect(fingerprint("POST", "/v1/sandboxes", { env: { B: "2", A: "1" }, image: "default" })).toBe(first);
  expect(fingerprint("POST", "/v1/sandboxes", { image: "other" })).not.toBe(first);
  expect(fingerprint("POST", "/v1/keys", { image: "default", env: { A: "1", B: "2" } })).not.toBe(first);
  expect(fingerprint("PATCH", "/v1/sandboxes", { image: "default", env: { A: "1", B: "2" } })).not.toBe(first);
});
