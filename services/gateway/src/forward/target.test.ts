import { newId } from "@banyan/kernel";
import { describe, expect, it } from "vitest";
import { parameter, parsePlace, portPlaceOf, portPlaceOfHost, prefixOf, withoutParameters } from "./target.ts";

const id = newId("sbx");
const label = id.replace("_", "-");

describe("the place in the path", () => {
  it("keeps what follows the segment byte for byte", () => {
    expect(parsePlace(`/v1/sandboxes/${id}/files/content?path=%2Fa%20b&x=1`)).toEqual({
      sandboxId: id,
      segment: "files",
      rest: "/content",
      query: "?path=%2Fa%20b&x=1",
    });
    expect(parsePlace(`/v1/sandboxes/${id}/ports/80/a/../%2e%2e//b`)?.rest).toBe("/80/a/../%2e%2e//b");
  });

  it("knows only the segments of the data plane", () => {
    for (const url of [
      `/v1/sandboxes/${id}`,
      `/v1/sandboxes/${id}/start`,
      `/v1/sandboxes/${id}/execute`,
      `/v2/sandboxes/${id}/exec`,
      "*",
    ]) {
      expect(parsePlace(url)).toBeNull();
    }
  });

  it("takes ports from 1 to 65535 of well-formed ids", () => {
    const port = (url: string) => {
      const place = parsePlace(url);
      return place && portPlaceOf(place);
    };
    expect(port(`/v1/sandboxes/${id}/ports/3000`)).toMatchObject({ port: 3000, rest: "/", form: "path" });
    for (const wrong of ["0", "65536", "999999", "-1", "8o", ""]) expect(port(`/v1/sandboxes/${id}/ports/${wrong}/x`)).toBeNull();
    expect(port("/v1/sandboxes/sbx_x/ports/3000/")).toBeNull();
  });
});

describe("the place in the host name", () => {
  it("is a port, a hyphen and the id, whatever domain follows", () => {
    const wanted = { sandboxId: id, port: 3000, form: "host", rest: "/x", query: "?a=1" };
    for (const host of [`3000-${label}.localhost:7070`, `3000-${label}.a.example.org`, `3000-${label.toUpperCase()}.localhost`]) {
      expect(portPlaceOfHost(host, "/x?a=1")).toEqual(wanted);
    }
  });

  it("is nothing else", () => {
    for (const host of [
      undefined,
      "",
      "localhost:7070",
      `${label}.localhost`,
      `x3000-${label}.localhost`,
      `3000-${label}x.localhost`,
      `70000-${label}.localhost`,
    ]) {
      expect(portPlaceOfHost(host, "/")).toBeNull();
    }
  });

  it("scopes a cookie to the whole host there, and to the port's path in the other form", () => {
    const byHost = portPlaceOfHost(`3000-${label}.localhost`, "/");
    expect(byHost && prefixOf(byHost)).toBe("/");
    const place = parsePlace(`/v1/sandboxes/${id}/ports/3000/deep/x`);
    const byPath = place && portPlaceOf(place);
    expect(byPath && prefixOf(byPath)).toBe(`/v1/sandboxes/${id}/ports/3000/`);
  });
});

describe("the query", () => {
  it("loses the named parameters and nothing else", () => {
    expect(withoutParameters("?a=%2F&api_key=k&b&banyan_token=t&a=2", "api_key", "banyan_token")).toBe("?a=%2F&b&a=2");
    expect(withoutParameters("?api_key=k", "api_key")).toBe("");
    expect(withoutParameters("", "api_key")).toBe("");
  });

  it("is read decoded", () => {
    expect(parameter("?banyan_token=a%2Eb", "banyan_token")).toBe("a.b");
    expect(parameter("?x=1", "banyan_token")).toBeUndefined();
  });
});
