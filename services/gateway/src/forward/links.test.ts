import { newId } from "@banyan/kernel";
import { expect, it } from "vitest";
import { linkSigner, linkUrls } from "./links.ts";

const nowMs = 1_800_000_000_000;
const grant = { sandboxId: newId("sbx"), port: 3000, orgId: newId("org"), expiresAtS: nowMs / 1000 + 60 };
const signer = linkSigner("a cluster's secret");

it("opens the port it was made for until it expires", () => {
  const token = signer.sign(grant);
  expect(signer.verify(token, grant, nowMs)).toEqual(grant);
  expect(() => signer.verify(token, grant, nowMs + 60_000)).toThrow(/wrong or has expired/);
});

it("opens no other port and no other sandbox", () => {
  const token = signer.sign(grant);
  expect(() => signer.verify(token, { ...grant, port: 3001 }, nowMs)).toThrow();
  expect(() => signer.verify(token, { ...grant, sandboxId: newId("sbx") }, nowMs)).toThrow();
});

it("is refused with a changed expiry, organisation, signature or key", () => {
  const token = signer.sign(grant);
  const [, orgId = "", mac = ""] = token.split(".");
  const later = (grant.expiresAtS + 1).toString(36);
  for (const forged of [
    `${later}.${orgId}.${mac}`,
    token.replace(orgId, newId("org")),
    `${token}A`,
    token.slice(0, -1),
    `${token}.x`,
    "",
    "..",
    "x".repeat(10_000),
  ]) {
    expect(() => signer.verify(forged, grant, nowMs)).toThrow();
  }
  expect(() => linkSigner("another secret").verify(token, grant, nowMs)).toThrow();
});

it("is written as an address below the API and as a host of its own", () => {
  const label = grant.sandboxId.replace("_", "-");
  expect(linkUrls("https://api.example.org", grant, "T")).toEqual({
    url: `https://api.example.org/v1/sandboxes/${grant.sandboxId}/ports/3000/?banyan_token=T`,
    host_url: `https://3000-${label}.api.example.org/?banyan_token=T`,
  });
  expect(linkUrls("http://127.0.0.1:7070", grant, "T").host_url).toBe(`http://3000-${label}.localhost:7070/?banyan_token=T`);
});
