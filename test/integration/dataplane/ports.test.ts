import { readFileSync } from "node:fs";
import { request as httpRequest, type IncomingHttpHeaders } from "node:http";
import type { api } from "@banyan/contracts";
import { eventually } from "@banyan/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { type Cluster, problemOf, startCluster } from "./cluster.ts";

const PORT = 3000;
const SERVER = readFileSync(new URL("inside-server.py", import.meta.url), "utf8");

let cluster: Cluster;
beforeAll(async () => {
  cluster = await startCluster();
  await cluster.call("files/content?path=/srv/server.py", { method: "PUT", body: SERVER });
  await serve("four", String(PORT));
  await serve("six", "3006", "::1");
});
afterAll(() => cluster?.stop());

async function serve(id: string, ...argv: string[]): Promise<void> {
  await cluster.call("processes", { method: "POST", json: { argv: ["python3", "/srv/server.py", ...argv], id } });
  await eventually(async () => expect(await (await cluster.call(`processes/${id}/stdout`)).text()).toBe("ready\n"));
}

interface Seen {
  method: string;
  path: string;
  headers: [string, string][];
  body_bytes: number;
}
interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  body: string;
}

/** As a browser sends it: any Host, and no redirect followed. */
function ask(
  path: string,
  { host, method = "GET", headers = {} }: { host?: string; method?: string; headers?: Record<string, string> } = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asked = httpRequest(`${cluster.url}${path}`, { method, headers: { ...headers, ...(host && { host }) } }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk) => chunks.push(chunk));
      response.on("end", () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks).toString() }),
      );
      response.on("error", reject);
    });
    asked.on("error", reject);
    asked.end();
  });
}

const pathForm = (rest = "/") => `/v1/sandboxes/${cluster.sandboxId}/ports/${PORT}${rest}`;
const hostForm = (port = PORT) => `${port}-${cluster.sandboxId.replace("_", "-")}.localhost:1234`;
const bearer = (key = cluster.key) => ({ authorization: `Bearer ${key}` });
const headersOf = (body: string) => new Map((JSON.parse(body) as Seen).headers.map(([name, value]) => [name.toLowerCase(), value]));

async function link(ttl_s = 60): Promise<api.Link> {
  const response = await cluster.call(`ports/${PORT}/links`, { method: "POST", json: { ttl_s } });
  expect(response.status).toBe(200);
  return (await response.json()) as api.Link;
}

describe("a port by its path", () => {
  it("passes method, path, query and body as they are", async () => {
    const response = await cluster.call(`ports/${PORT}/a%2Fb/c?x=%20&y`, { method: "PATCH", body: "12345" });
    expect((await response.json()) as Seen).toMatchObject({ method: "PATCH", path: "/a%2Fb/c?x=%20&y", body_bytes: 5 });
    expect(response.headers.get("x-request-id")).toMatch(/^req_/);
  });

  it("tells the application where it is seen, and nothing of the caller's key", async () => {
    const seen = headersOf(
      (await ask(pathForm("/x"), { headers: { ...bearer(), cookie: "session=1", "x-app": "yes", "x-banyan-org": "other" } })).body,
    );
    expect(seen.get("host")).toBe(`localhost:${PORT}`);
    expect(seen.get("x-app")).toBe("yes");
    expect(seen.get("x-forwarded-prefix")).toBe(pathForm(""));
    expect(seen.get("x-forwarded-host")).toBe(new URL(cluster.url).host);
    for (const name of ["authorization", "cookie", "x-banyan-org", "x-banyan-cluster", "x-banyan-epoch"])
      expect(seen.has(name)).toBe(false);
    expect(JSON.stringify([...seen])).not.toContain("bny_");
  });

  it("lets no page use the API's origin", async () => {
    const { headers } = await ask(pathForm(), { headers: bearer() });
    expect(headers["set-cookie"]).toBeUndefined();
    expect(headers["clear-site-data"]).toBeUndefined();
    expect(headers["content-security-policy"]).toMatch(/^sandbox allow-scripts/);
  });

  it("believes nothing of our own headers that a sandbox says", async () => {
    const asked = cluster.routesAsked;
    const { status, headers } = await ask(pathForm("/forge"), { headers: bearer() });
    expect([status, headers["x-banyan-code"]]).toEqual([404, undefined]);
    expect(headers["x-request-id"]).toMatch(/^req_/);
    expect(cluster.routesAsked).toBe(asked);
  });

  it("leaves redirects as they are", async () => {
    expect(await ask(pathForm("/redirect"), { headers: bearer() })).toMatchObject({ status: 302, headers: { location: "/elsewhere?x=1" } });
  });

  it("streams a large body each way", async () => {
    const up = await cluster.call(`ports/${PORT}/up`, { method: "POST", body: Buffer.alloc(50_000_000) });
    expect((await up.json()) as Seen).toMatchObject({ body_bytes: 50_000_000 });
    const down = await cluster.call(`ports/${PORT}/large=${64 << 20}`);
    let received = 0;
    for await (const chunk of (down.body ?? []) as AsyncIterable<Uint8Array>) received += chunk.length;
    expect(received).toBe(64 << 20);
    await eventually(() => expect(cluster.inUse()).toBe(0));
  });

  it("reaches a server that listens on IPv6 only", async () => {
    expect((await cluster.call("ports/3006/")).status).toBe(200);
  });

  it("takes many at once", async () => {
    const answers = await Promise.all(
      Array.from({ length: 100 }, (_, i) => cluster.call(`ports/${PORT}/${i}`).then((response) => response.json())),
    );
    expect(answers.map((answer) => (answer as Seen).path)).toEqual(Array.from({ length: 100 }, (_, i) => `/${i}`));
  });

  it("says when nobody listens, or nobody answers", async () => {
    expect(await problemOf(await cluster.call("ports/4999/"))).toMatchObject({ status: 503, code: "port.refused" });
    expect(await problemOf(await cluster.call(`ports/${PORT}/silent`))).toMatchObject({ status: 503, code: "port.no_answer" });
    for (const port of ["0", "70000", "abc"]) expect(await problemOf(await cluster.call(`ports/${port}/`))).toMatchObject({ status: 422 });
  });
});

describe("a port by a host of its own", () => {
  it("is opened by a key", async () => {
    const { status, headers, body } = await ask("/deep/path?x=1", { host: hostForm(), headers: bearer() });
    expect(status).toBe(200);
    expect(JSON.parse(body)).toMatchObject({ path: "/deep/path?x=1" });
    expect(headersOf(body).get("x-forwarded-host")).toBe(hostForm());
    expect(headersOf(body).has("authorization")).toBe(false);
    expect(headers["content-security-policy"]).toBeUndefined();
  });

  it("keeps its cookies, to this host only", async () => {
    const { headers, body } = await ask("/", { host: hostForm(), headers: { ...bearer(), cookie: "app=1; banyan_token=x" } });
    expect(headers["set-cookie"]).toEqual(["app=1; Path=/", "second=2"]);
    expect(headersOf(body).get("cookie")).toBe("app=1");
  });

  it("is closed to others", async () => {
    const code = async (headers: Record<string, string>, host = hostForm()) => JSON.parse((await ask("/", { host, headers })).body).code;
    expect(await code({})).toBe("auth.missing");
    expect(await code(bearer("bny_wrong"))).toBe("auth.invalid");
    expect(await code(bearer(cluster.otherKey))).toBe("sandbox.not_found");
  });
});

describe("a link", () => {
  it("opens the port without a key, by path and by host", async () => {
    const { url, host_url, token, expires_at } = await link();
    expect(Date.parse(expires_at)).toBeGreaterThan(Date.now());
    expect((await ask(new URL(url).pathname + new URL(url).search)).status).toBe(200);
    expect((await ask(`/?banyan_token=${token}`, { host: new URL(host_url).host })).status).toBe(200);
    const byHeader = await ask(pathForm("/h"), { headers: { "x-banyan-token": token } });
    expect(headersOf(byHeader.body).has("x-banyan-token")).toBe(false);
  });

  it("becomes a cookie and a clean address in a browser", async () => {
    const { token } = await link();
    const html = { accept: "text/html,*/*" };
    const first = await ask(`/page?a=1&banyan_token=${token}&b=2`, { host: hostForm(), headers: html });
    expect([first.status, first.headers.location]).toEqual([302, "/page?a=1&b=2"]);
    const [cookie = ""] = first.headers["set-cookie"] ?? [];
    expect(cookie).toMatch(/^banyan_token=[^;]+; Path=\/; Max-Age=\d+; HttpOnly; SameSite=Lax$/);
    const second = await ask("/page?a=1&b=2", { host: hostForm(), headers: { ...html, cookie: cookie.split(";")[0] ?? "" } });
    expect([second.status, headersOf(second.body).has("cookie")]).toEqual([200, false]);
    const byPath = await ask(`${pathForm("/p")}?banyan_token=${token}`, { headers: html });
    expect(byPath.headers["set-cookie"]?.[0]).toContain(`Path=${pathForm("/")};`);
    const open = await ask(`//evil.example/?banyan_token=${token}`, { host: hostForm(), headers: html });
    expect(open.headers.location).toBe("/evil.example/");
  });

  it("passes the application's own authorization", async () => {
    const { token } = await link();
    const { body } = await ask("/", { host: hostForm(), headers: { cookie: `banyan_token=${token}`, authorization: "Basic dTpw" } });
    expect(headersOf(body).get("authorization")).toBe("Basic dTpw");
  });

  it("ends, and opens nothing else", async () => {
    const { token } = await link(60);
    const code = async (path: string, host?: string) => JSON.parse((await ask(path, host ? { host } : {})).body).code;
    expect(await code(`${pathForm("/").replace("/3000/", "/3006/")}?banyan_token=${token}`)).toBe("auth.link_invalid");
    expect(await code(`/?banyan_token=${token}`, hostForm(3006))).toBe("auth.link_invalid");
    expect(await code(`/?banyan_token=${token}x`, hostForm())).toBe("auth.link_invalid");
    expect(await code(`/v1/sandboxes/${cluster.sandboxId}/files/stat?path=/&banyan_token=${token}`)).toBe("auth.missing");
    cluster.clock.offsetMs = 61_000;
    expect(await code(`/?banyan_token=${token}`, hostForm())).toBe("auth.link_invalid");
    cluster.clock.offsetMs = 0;
  });

  it("is made only by the sandbox's organisation, and within bounds", async () => {
    const make = (json: unknown, key = cluster.key) => cluster.call(`ports/${PORT}/links`, { method: "POST", json, headers: bearer(key) });
    expect(await problemOf(await make({}, cluster.otherKey))).toMatchObject({ status: 404, code: "sandbox.not_found" });
    for (const body of [{ ttl_s: 0 }, { ttl_s: 1e9 }, { other: 1 }])
      expect(await problemOf(await make(body))).toMatchObject({ code: "request.invalid" });
  });
});

describe("a WebSocket", () => {
  function connect(url: string, options: { headers?: Record<string, string>; host?: string } = {}): Promise<WebSocket> {
    return new Promise((resolve, reject) => {
      const socket = new WebSocket(url.replace("http:", "ws:"), {
        headers: { ...options.headers, ...(options.host && { host: options.host }) },
      });
      socket.on("open", () => resolve(socket));
      socket.on("error", reject);
      socket.on("unexpected-response", (_request, response) => {
        response.on("data", (chunk: Buffer) => reject(new Error(chunk.toString())));
      });
    });
  }

  async function echo(socket: WebSocket, message: Buffer): Promise<Buffer> {
    const reply = new Promise<Buffer>((resolve) => socket.once("message", (data) => resolve(data as Buffer)));
    socket.send(message);
    return reply;
  }

  it("reaches a server inside, by every way in", async () => {
    const { token } = await link();
    const ways = [
      connect(`${cluster.url}${pathForm("/ws")}`, { headers: bearer() }),
      connect(`${cluster.url}${pathForm("/ws")}?api_key=${cluster.key}`),
      connect(`${cluster.url}${pathForm("/ws")}?banyan_token=${token}`),
      connect(`${cluster.url}/ws`, { host: hostForm(), headers: { cookie: `banyan_token=${token}` } }),
    ];
    for (const socket of await Promise.all(ways)) {
      for (const size of [0, 5, 1_000, 100_000]) {
        const message = Buffer.alloc(size, "é");
        expect((await echo(socket, message)).equals(message)).toBe(true);
      }
      expect(cluster.inUse()).toBeGreaterThan(0);
      socket.close();
    }
    await eventually(() => expect(cluster.inUse()).toBe(0));
  });

  it("is refused with the same problems as a request", async () => {
    const url = `${cluster.url}${pathForm("/ws")}`;
    await expect(connect(url)).rejects.toThrow("auth.missing");
    await expect(connect(url, { headers: bearer(cluster.otherKey) })).rejects.toThrow("sandbox.not_found");
    await expect(connect(`${url}?banyan_token=1.2.3`)).rejects.toThrow("auth.link_invalid");
    await expect(connect(url.replace("/3000/", "/4999/"), { headers: bearer() })).rejects.toThrow("port.refused");
    await expect(connect(`${cluster.url}/v1/other`, { headers: bearer() })).rejects.toThrow("request.not_found");
    await eventually(() => expect(cluster.inUse()).toBe(0));
  });
});
