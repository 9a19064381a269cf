import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { AttachClient, type AttachRequest, buildNative, cgroupsOf, InitClient, limitWrites, processStartTime } from "@banyan/runtime";
import { eventually } from "@banyan/testkit";
import Docker from "dockerode";
import { slotContainer } from "../../../packages/runtime/src/slots/docker-container.ts";
import { slotImage } from "../../../packages/runtime/src/slots/slot-image.ts";
import { testRootfs } from "../dataplane/rootfs.ts";

const IMAGE = "banyan-test/slot";
const BTRFS_SIZE = "3G";

export interface TestSlot {
  pid: number;
  startTime: number;
  socketPath: string;
  init: InitClient;
  container: Docker.Container;
}

/** Real slots on the real engine, as hardened as the runner makes them, with btrfs disks on an image file of their own. */
export class TestNode {
  readonly attach: AttachClient;
  readonly docker = new Docker();
  readonly directory: string;
  readonly disks: string;
  readonly #image: string;
  readonly #containers: Docker.Container[] = [];
  #count = 0;

  static async start(): Promise<TestNode> {
    const binaries = await buildNative();
    const image = slotImage(binaries.init);
    const node = new TestNode(await AttachClient.start({ binaryPath: binaries.attach }), image.tag);
    try {
      await node.attach.diskEnable(node.disks);
      await node.#importImage(image);
      return node;
    } catch (error) {
      await node.stop();
      throw error;
    }
  }

  private constructor(attach: AttachClient, tag: string) {
    this.attach = attach;
    this.#image = `${IMAGE}:${tag}`;
    this.directory = mkdtempSync(join(tmpdir(), "bnyn-"));
    this.disks = join(this.directory, "disks");
    mkdirSync(this.disks);
    execFileSync("truncate", ["-s", BTRFS_SIZE, join(this.directory, "disks.img")]);
    execFileSync("mkfs.btrfs", ["-q", join(this.directory, "disks.img")]);
    execFileSync("mount", ["-o", "loop,commit=1", join(this.directory, "disks.img"), this.disks]);
  }

  /** Kept for the next run: it is named by what is in it. */
  async #importImage(image: ReturnType<typeof slotImage>): Promise<void> {
    const known = await this.docker.listImages({ filters: { reference: [this.#image] } });
    if (known.length > 0) return;
    const progress = await this.docker.importImage(Readable.from(image.tar()), { repo: IMAGE, tag: image.tag });
    await new Promise<void>((resolve, reject) =>
      this.docker.modem.followProgress(progress, (error: Error | null) => (error ? reject(error) : resolve())),
    );
  }

  /** A slot with nothing attached: init alone in an almost empty root. */
  async emptySlot(): Promise<TestSlot> {
    const id = `banyan-native-${process.pid}-${this.#count++}`;
    const socket = join(this.directory, id);
    mkdirSync(socket);
    const container = await this.docker.createContainer({
      ...slotContainer({ id, nodeId: "native-test", address: "", directory: socket, image: this.#image }),
      name: id,
    });
    this.#containers.push(container);
    await container.start();
    const pid = (await container.inspect()).State.Pid;
    const startTime = processStartTime(pid);
    if (startTime === null) throw new Error("the slot's init has ended");
    const socketPath = join(socket, "init.sock");
    const init = new InitClient(socketPath);
    await eventually(() => init.ping());
    return { pid, startTime, socketPath, init, container };
  }

  /** Attaches a fresh disk over the test's Debian. */
  async attachTo(slot: TestSlot, request: Partial<AttachRequest> & { diskBytes?: number; pids?: number; memoryMb?: number } = {}) {
    const { diskBytes = 0, pids = 512, memoryMb = 512, ...rest } = request;
    const disk = join(this.disks, `disk-${this.#count++}`);
    await this.attach.diskCreate({ path: disk, limitBytes: diskBytes });
    const timing = await this.attach.attach({
      pid: slot.pid,
      startTime: slot.startTime,
      lower: [testRootfs()],
      upper: join(disk, "upper"),
      work: join(disk, "work"),
      hostname: "sandbox",
      cgroups: limitWrites(cgroupsOf(slot.pid), { cpu: 2, memoryMb, pids }),
      ...rest,
    });
    return { disk, timing };
  }

  async slot(request: Parameters<TestNode["attachTo"]>[1] = {}): Promise<TestSlot> {
    const slot = await this.emptySlot();
    await this.attachTo(slot, request);
    return slot;
  }

  async stop(): Promise<void> {
    for (const container of this.#containers) await container.remove({ force: true, v: true }).catch(unlessGone);
    await this.attach.close();
    execFileSync("umount", [this.disks]);
    rmSync(this.directory, { recursive: true, force: true });
  }
}

function unlessGone(error: { statusCode?: number }): void {
  if (error.statusCode !== 404) throw error;
}

/** Output as it comes, and as text. */
export function collect(): { take: (chunk: Buffer) => void; text: () => string } {
  const chunks: Buffer[] = [];
  return { take: (chunk) => void chunks.push(chunk), text: () => Buffer.concat(chunks).toString() };
}

/** What a command writes, and how it ends. */
export async function run(init: InitClient, script: string, options: { stdin?: string; timeoutMs?: number; user?: string } = {}) {
  const [out, err] = [collect(), collect()];
  const { stdin, ...rest } = options;
  const env = { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" };
  const handlers = { onStdout: out.take, onStderr: err.take, ...(stdin === undefined ? {} : { stdin }) };
  const exit = await init.exec({ argv: ["/bin/sh", "-c", script], env, ...rest }, handlers);
  return { ...exit, stdout: out.text(), stderr: err.text() };
}

/** How many processes inside have a command line that matches. */
export async function count(init: InitClient, pattern: string): Promise<number> {
  const found = collect();
  // Executed directly: a shell around it would hold the pattern in its own command line.
  await init.exec({ argv: ["/usr/bin/pgrep", "-f", "-c", pattern] }, { onStdout: found.take });
  return Number(found.text());
}
