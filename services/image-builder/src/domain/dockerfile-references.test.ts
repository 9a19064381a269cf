import { expect, it } from "vitest";
import { pinReferences, referencesOf } from "./dockerfile-references.ts";

const MULTI_STAGE = `# syntax=docker/dockerfile:1
ARG VERSION=22
ARG DISTRO
FROM --platform=linux/amd64 node:\${VERSION} AS Build
RUN echo "FROM nothing" && \\
    # a comment between
    npm ci
COPY --from=docker.io/library/busybox:1.36 /bin/sh /sh
from build as test
FROM \${DISTRO:-debian:trixie-slim}
COPY --from=build /app /app
COPY --from=0 /x /x
FROM scratch
`;

it("names what a Dockerfile takes from outside", () => {
  expect(referencesOf(MULTI_STAGE, {})).toEqual(["node:22", "docker.io/library/busybox:1.36", "debian:trixie-slim"]);
  expect(referencesOf(MULTI_STAGE, { VERSION: "24", DISTRO: "alpine" })).toEqual(["node:24", "docker.io/library/busybox:1.36", "alpine"]);
});

it("pins each of them in its place, and changes nothing else", () => {
  const pins = new Map([
    ["node:22", "node@sha256:aa"],
    ["debian:trixie-slim", "local:1"],
  ]);
  const pinned = pinReferences(MULTI_STAGE, {}, pins);
  expect(pinned).toContain("FROM --platform=linux/amd64 node@sha256:aa AS Build\n");
  expect(pinned).toContain("\nFROM local:1\n");
  expect(pinned.split("\n")).toHaveLength(MULTI_STAGE.split("\n").length);
  expect(pinReferences("FROM --platform=linux/a a AS a\n", {}, new Map([["a", "b"]]))).toBe("FROM --platform=linux/a b AS a\n");
  expect(referencesOf(pinned, {})).toEqual(["node@sha256:aa", "docker.io/library/busybox:1.36", "local:1"]);
});

it("passes over here-documents and continued lines", () => {
  expect(referencesOf('FROM a\nRUN <<EOF\nFROM b\nEOF\nRUN x \\\nFROM c\nCOPY <<"A" <<B /t/\nFROM d\nA\nFROM e\nB\nFROM f', {})).toEqual([
    "a",
    "f",
  ]);
  expect(referencesOf("# escape=`\nFROM a `\n  AS b\nFROM b", {})).toEqual(["a"]);
});

it("takes a text that is no Dockerfile for one without references", () => {
  expect(["", "# FROM a", "RUN x\n", "FROM", "FROM scratch", "\\"].flatMap((text) => referencesOf(text, {}))).toEqual([]);
});
