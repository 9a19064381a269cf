import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { Readable } from "node:stream";
import { eventually, freePort } from "@banyan/testkit";
import type Docker from "dockerode";

export const USERNAME = "agent";
export const PASSWORD = "swordfish-4711-hush";
/** Of the password, by bcrypt: the registry takes no other. */
const HTPASSWD = "agent:$2b$04$RFS/tcFqygR4GzoX6Krk1ut0ZCgDtGizfxRum/zrzYLOjWI3WBmIK\n";

/** All that a step needs of an image. */
const PROGRAMS = ["/bin/sh", "/bin/cat"];

/** Debian's docker-registry on a free port, private: it knows one user. */
export class TestRegistry {
  readonly host: string;
  readonly #directory: string;
  readonly #docker: Docker;
  readonly #pushed = new Set<string>();
  #child: ChildProcess | null = null;

  private constructor(docker: Docker, port: number) {
    this.#docker = docker;
    this.host = `127.0.0.1:${port}`;
    this.#directory = mkdtempSync(join(tmpdir(), "banyan-registry-"));
    writeFileSync(join(this.#directory, "htpasswd"), HTPASSWD, { mode: 0o600 });
    writeFileSync(join(this.#directory, "config.yml"), this.#config());
  }

  static async open(docker: Docker): Promise<TestRegistry> {
    const registry = new TestRegistry(docker, await freePort());
    await registry.start();
    return registry;
  }

  async start(): Promise<void> {
    this.#child = spawn("docker-registry", ["serve", join(this.#directory, "config.yml")], { stdio: "ignore" });
    await eventually(async () => (await fetch(`http://${this.host}/v2/`)).status === 401);
  }

  async stop(): Promise<void> {
    const child = this.#child;
    this.#child = null;
    if (child === null || child.exitCode !== null) return;
    child.kill("SIGKILL");
    await once(child, "exit");
  }

  /** Puts an image under this name that has a shell and `/content`. Answers its digest; the engine does not keep it. */
  async push(name: string, content: string): Promise<string> {
    const reference = `${this.host}/${name}`;
    const colon = reference.lastIndexOf(":");
    const [repo, tag] = [reference.slice(0, colon), reference.slice(colon + 1)];
    await this.#follow(await this.#docker.importImage(Readable.from([this.#rootfs(content)]), { repo, tag }));
    const image = this.#docker.getImage(reference);
    await this.#follow(await image.push({ tag, authconfig: { username: USERNAME, password: PASSWORD, serveraddress: this.host } }));
    const digest = (await image.inspect()).RepoDigests[0]?.split("@")[1] ?? "";
    await image.remove({ force: true });
    this.#pushed.add(`${repo}@${digest}`);
    return digest;
  }

  /** Whether the engine has it, which it does after a pull only. */
  async isPulled(reference: string): Promise<boolean> {
    const images = await this.#docker.listImages({ digests: true });
    return images.some(({ RepoDigests }) => RepoDigests?.includes(reference));
  }

  async close(): Promise<void> {
    await this.stop();
    for (const reference of this.#pushed)
      await this.#docker
        .getImage(reference)
        .remove({ force: true })
        .catch((error: { statusCode?: number }) => {
          if (error.statusCode !== 404) throw error;
        });
    rmSync(this.#directory, { recursive: true, force: true });
  }

  /** Programs of this machine, with the libraries they are linked to. */
  #rootfs(content: string): Buffer {
    const root = mkdtempSync(join(this.#directory, "root-"));
    const libraries = execFileSync("ldd", PROGRAMS, { encoding: "utf8" }).match(/\/\S+/g) ?? [];
    for (const path of [...PROGRAMS, ...libraries.filter((found) => !found.endsWith(":"))]) {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      copyFileSync(path, join(root, path));
    }
    writeFileSync(join(root, "content"), `${content}\n`);
    return execFileSync("tar", ["-C", root, "-c", "."], { maxBuffer: 64 * 1024 * 1024 });
  }

  #follow(progress: NodeJS.ReadableStream): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#docker.modem.followProgress(progress, (error) => (error ? reject(error) : resolve()));
    });
  }

  #config(): string {
    return [
      "version: 0.1",
      "log: { level: error }",
      `storage: { filesystem: { rootdirectory: ${join(this.#directory, "store")} } }`,
      `http: { addr: "${this.host}" }`,
      `auth: { htpasswd: { realm: test, path: ${join(this.#directory, "htpasswd")} } }`,
      "",
    ].join("\n");
  }
}
