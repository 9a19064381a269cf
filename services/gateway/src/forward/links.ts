import { createHmac, timingSafeEqual } from "node:crypto";
import { fault } from "@banyan/contracts";
import type { PortPlace } from "./target.ts";

export const LINK_PARAMETER = "banyan_token";
export const LINK_COOKIE = "banyan_token";
export const LINK_HEADER = "x-banyan-token";
const TOKEN_LENGTH_MAX = 256;

export interface LinkGrant {
  sandboxId: string;
  port: number;
  orgId: string;
  /** Unix seconds. */
  expiresAtS: number;
}

export interface LinkSigner {
  sign(grant: LinkGrant): string;
  /** Throws auth.link_invalid unless the token opens this port now. */
  verify(token: string, place: Pick<PortPlace, "sandboxId" | "port">, nowMs: number): LinkGrant;
}

/**
 * `<expiry, base 36>.<organisation>.<HMAC-SHA256>`; the sandbox and the port are in the URL already and only signed.
 * The key is derived from the cluster's token, so every gateway of a cluster accepts every link, and none is stored.
 */
export function linkSigner(clusterToken: string): LinkSigner {
  const key = createHmac("sha256", clusterToken).update("banyan port links, version 1").digest();
  const mac = (grant: LinkGrant) =>
    createHmac("sha256", key).update(`${grant.sandboxId}\n${grant.port}\n${grant.orgId}\n${grant.expiresAtS}`).digest();
  return {
    sign: (grant) => `${grant.expiresAtS.toString(36)}.${grant.orgId}.${mac(grant).toString("base64url")}`,
    verify(token, place, nowMs) {
      const [expiry = "", orgId = "", given = "", ...more] = token.length > TOKEN_LENGTH_MAX ? [] : token.split(".");
      const expiresAtS = /^[0-9a-z]{1,9}$/.test(expiry) ? Number.parseInt(expiry, 36) : 0;
      const grant: LinkGrant = { sandboxId: place.sandboxId, port: place.port, orgId, expiresAtS };
      const wanted = mac(grant);
      const received = Buffer.from(given, "base64url");
      const genuine = received.length === wanted.length && timingSafeEqual(received, wanted) && more.length === 0;
      if (!genuine || expiresAtS * 1000 <= nowMs) throw fault("auth.link_invalid");
      return grant;
    },
  };
}

/** Both addresses of a port, with the token in the query. */
export function linkUrls(
  publicUrl: string,
  place: Pick<PortPlace, "sandboxId" | "port">,
  token: string,
): { url: string; host_url: string } {
  const query = `?${LINK_PARAMETER}=${token}`;
  const base = new URL(publicUrl);
  const port = base.port === "" ? "" : `:${base.port}`;
  return {
    url: `${base.origin}/v1/sandboxes/${place.sandboxId}/ports/${place.port}/${query}`,
    host_url: `${base.protocol}//${place.port}-${place.sandboxId.replace("_", "-")}.${parentDomain(base.hostname)}${port}/${query}`,
  };
}

/** A name below an IP address does not exist; every `*.localhost` is this machine to browsers and to systemd-resolved. */
function parentDomain(hostname: string): string {
  return /^[\d.]+$|^\[/.test(hostname) ? "localhost" : hostname;
}
