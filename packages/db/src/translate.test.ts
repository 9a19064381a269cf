import { fault } from "@banyan/contracts";
import postgres from "postgres";
import { expect, it } from "vitest";
import { isUniqueViolation, translate, translateError } from "./translate.ts";

const sqlState = (code: string, constraint = "") =>
  Object.assign(Object.create(postgres.PostgresError.prototype) as postgres.PostgresError, { code, constraint_name: constraint });
const systemError = (code: string) => Object.assign(new Error(code), { code });

it.each(["57P01", "57P03", "08006", "53300", "40001", "40P01", "57014"])("takes SQLSTATE %s for database.unavailable", (code) => {
  expect(translateError(sqlState(code))).toMatchObject({ code: "database.unavailable", details: { retryAfterMs: 1_000 } });
});

it.each(["ECONNREFUSED", "ECONNRESET", "CONNECTION_CLOSED", "CONNECT_TIMEOUT"])("takes %s for it, also as a cause", (code) => {
  const wrapped = new Error("Failed query: …", { cause: systemError(code) });
  expect(translateError(wrapped)).toMatchObject({ code: "database.unavailable", cause: wrapped });
});

it("leaves what is not the database's absence as it is", () => {
  for (const error of [sqlState("42601"), sqlState("23505"), systemError("EACCES"), fault("sandbox.not_found"), "text"])
    expect(translateError(error)).toBe(error);
});

it("hands on what the query answers and throws what it threw, translated", async () => {
  expect(await translate(async () => 1)).toBe(1);
  await expect(translate(() => Promise.reject(systemError("EPIPE")))).rejects.toMatchObject({ code: "database.unavailable" });
});

it("knows a unique violation by its constraint", () => {
  const error = new Error("Failed query", { cause: sqlState("23505", "keys_hash") });
  expect([isUniqueViolation(error), isUniqueViolation(error, "keys_hash"), isUniqueViolation(error, "other")]).toEqual([true, true, false]);
  expect(isUniqueViolation(sqlState("23503", "keys_hash"))).toBe(false);
});
