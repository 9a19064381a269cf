import { expect, it } from "vitest";
import { describedRoutes } from "./app.ts";
import { openapi } from "./openapi.ts";

interface Document {
  openapi: string;
  paths: Record<
    string,
    Record<string, { operationId: string; parameters: { name: string; in: string }[]; responses: Record<string, unknown> }>
  >;
  components: { schemas: Record<string, object> };
}

const document = openapi(describedRoutes, "http://example.test") as unknown as Document;
const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.values(methods).map((operation) => ({ path, ...operation })),
);

it("describes every route once, each with a name of its own", () => {
  expect(document.openapi).toBe("3.1.0");
  const names = operations.map(({ operationId }) => operationId);
  expect(names).toHaveLength(describedRoutes.length);
  expect(new Set(names).size).toBe(names.length);
});

it("refers only to schemas that are there", () => {
  const references = [...JSON.stringify(document).matchAll(/"#\/components\/schemas\/(\w+)"/g)].map(([, name]) => name ?? "");
  expect(references.length).toBeGreaterThan(50);
  for (const name of references) expect(document.components.schemas, name).toHaveProperty(name);
});

it("names every parameter of a path", () => {
  for (const { path, parameters } of operations) {
    const inPath = parameters.filter((one) => one.in === "path").map((one) => one.name);
    expect(inPath).toEqual([...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name));
  }
});

it("says of every operation what it answers, and of every failure that it is a problem document", () => {
  for (const { operationId, responses } of operations) {
    expect(
      Object.keys(responses).some((status) => Number(status) < 400),
      operationId,
    ).toBe(true);
    expect(responses).toHaveProperty("401");
  }
});

it("describes bodies as they are sent: unknown fields refused, defaults optional", () => {
  expect(document.components.schemas.CreateSandboxBody).toMatchObject({ additionalProperties: false });
  expect(document.components.schemas.CreateSandboxBody).not.toHaveProperty("required");
  expect(document.components.schemas.Sandbox).not.toHaveProperty("additionalProperties");
});

it("describes the files of volumes like those of sandboxes", () => {
  const of = (root: string) => operations.flatMap(({ path }) => (path.startsWith(`${root}/files/`) ? [path.slice(root.length)] : []));
  expect(of("/v1/sandboxes/{id}").length).toBeGreaterThan(10);
  expect(of("/v1/volumes/{id}").toSorted()).toEqual(of("/v1/sandboxes/{id}").toSorted());
});
