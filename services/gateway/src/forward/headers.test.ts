import { newId } from "@banyan/kernel";
import { describe, expect, it } from "vitest";
import { cookieOf, operationHeaders, portHeaders, portReplyHeaders, replyHeaders } from "./headers.ts";
import type { PortPlace } from "./target.ts";

const sandboxId = newId("sbx");
const path: PortPlace = { sandboxId, port: 3000, form: "path", rest: "/", query: "" };
const host: PortPlace = { ...path, form: "host" };
const client = { remoteAddress: "192.0.2.7", host: "api.example.org", proto: "https" };

function pairs(raw: readonly string[]): [string, string][] {
  return raw.flatMap((name, i) => (i % 2 === 0 ? [[name.toLowerCase(), raw[i + 1] ?? ""] as [string, string]] : []));
}
const names = (raw: readonly string[]) => pairs(raw).map(([name]) => name);
const headerOf = (raw: readonly string[], name: string) => pairs(raw).find(([key]) => key === name)?.[1];

const hopByHop = [
  "Connection",
  "close, X-Secret-Hop",
  "X-Secret-Hop",
  "1",
  "Keep-Alive",
  "5",
  "TE",
  "trailers",
  "Transfer-Encoding",
  "chunked",
  "Upgrade",
  "h2c",
  "Expect",
  "100-continue",
];

describe("to a node's own operations", () => {
  it("passes only what they read", () => {
    const raw = [
      "Authorization",
      "Bearer bny_x",
      "Cookie",
      "a=1",
      "Host",
      "h",
      "X-Banyan-Org",
      "org_other",
      "Accept",
      "text/event-stream",
      "Content-Type",
      "application/json",
      "X-Any",
      "1",
      ...hopByHop,
    ];
    expect(pairs(operationHeaders(raw))).toEqual([
      ["accept", "text/event-stream"],
      ["content-type", "application/json"],
    ]);
  });
});

describe("to a sandbox's port", () => {
  const raw = [
    "Authorization",
    "Bearer bny_secret",
    "X-Banyan-Org",
    "org_other",
    "X-Banyan-Token",
    "t",
    "X-Request-Id",
    "forged",
    "Host",
    "h",
    "X-App",
    "1",
    ...hopByHop,
  ];

  it("never passes our key, our own headers or those of the connection", () => {
    for (const byLink of [false, true]) {
      const sent = names(portHeaders(raw, { place: path, byLink, ...client }));
      expect(sent).toEqual(["x-app", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-forwarded-prefix"]);
    }
  });

  it("passes the application's own authorization where a link opened the port", () => {
    const basic = ["Authorization", "Basic dTpw"];
    expect(headerOf(portHeaders(basic, { place: host, byLink: true, ...client }), "authorization")).toBe("Basic dTpw");
    expect(names(portHeaders(basic, { place: host, byLink: false, ...client }))).not.toContain("authorization");
  });

  it("says where the request came from, and believes no claim about it but earlier hops", () => {
    const sent = portHeaders(["X-Forwarded-For", "198.51.100.1", "X-Forwarded-Host", "evil", "Forwarded", "for=evil"], {
      place: path,
      byLink: false,
      ...client,
    });
    expect(pairs(sent)).toEqual([
      ["x-forwarded-for", "198.51.100.1, 192.0.2.7"],
      ["x-forwarded-host", "api.example.org"],
      ["x-forwarded-proto", "https"],
      ["x-forwarded-prefix", `/v1/sandboxes/${sandboxId}/ports/3000`],
    ]);
  });

  it("passes cookies only under a host of its own, without the link's", () => {
    const cookies = ["Cookie", "session=1; banyan_token=x.y.z; theme=dark"];
    expect(headerOf(portHeaders(cookies, { place: host, byLink: true, ...client }), "cookie")).toBe("session=1; theme=dark");
    expect(names(portHeaders(cookies, { place: path, byLink: true, ...client }))).not.toContain("cookie");
    expect(names(portHeaders(["Cookie", "banyan_token=x"], { place: host, byLink: true, ...client }))).not.toContain("cookie");
  });
});

describe("from a sandbox", () => {
  const raw = [
    "Set-Cookie",
    "a=1; Domain=example.org; Path=/",
    "Clear-Site-Data",
    '"*"',
    "Strict-Transport-Security",
    "max-age=1",
    "Location",
    "https://elsewhere/",
    "Content-Security-Policy",
    "default-src 'self'",
    ...hopByHop,
  ];

  it("cannot touch the API's origin in the path form", () => {
    const reply = portReplyHeaders(raw, "req_1", "path");
    expect(names(reply)).toEqual(["location", "content-security-policy", "x-request-id", "content-security-policy"]);
    const policies = pairs(reply).filter(([name]) => name === "content-security-policy");
    expect(policies[1]?.[1]).toMatch(/^sandbox /);
    expect(policies[1]?.[1]).not.toContain("allow-same-origin");
  });

  it("keeps its cookies to its own host in the host form", () => {
    const reply = portReplyHeaders(raw, "req_1", "host");
    expect(headerOf(reply, "set-cookie")).toBe("a=1; Path=/");
    expect(names(reply)).toContain("clear-site-data");
  });

  it("carries our request id, not its own", () => {
    for (const reply of [
      replyHeaders(["X-Request-Id", "forged"], "req_1"),
      portReplyHeaders(["X-Request-Id", "forged"], "req_1", "host"),
    ]) {
      expect(pairs(reply)).toContainEqual(["x-request-id", "req_1"]);
      expect(pairs(reply)).not.toContainEqual(["x-request-id", "forged"]);
    }
  });
});

it("finds a cookie by its whole name", () => {
  expect(cookieOf("xbanyan_token=1; banyan_token=2", "banyan_token")).toBe("2");
  expect(cookieOf(undefined, "banyan_token")).toBeUndefined();
});
