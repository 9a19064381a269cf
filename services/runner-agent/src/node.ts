import { mkdirSync, rmSync } from "node:fs";
import { availableParallelism, totalmem } from "node:os";
import { join } from "node:path";
import { fault } from "@banyan/contracts";
import type { Clock, Logger } from "@banyan/kernel";
import {
  AttachHelper,
  buildNative,
  Gate,
  hostResolvers,
  LayerStore,
  NodeNetwork,
  NodeStores,
  openDisk,
  openObjects,
  unmountBelow,
} from "@banyan/runtime";
import { type Loop, startLoop } from "@banyan/service";
import type { NodeConfig } from "./config.ts";
import { capacityOf } from "./domain/capacity.ts";
import { lookAtStores } from "./loops/look-at-stores.ts";
import { type Repairs, reconcile } from "./loops/reconcile.ts";
import { tidyFrozen } from "./loops/tidy-frozen.ts";
import { tidyLayers } from "./loops/tidy-layers.ts";
import { type OnDied, watchDeaths } from "./loops/watch-deaths.ts";
import type { NodeMetrics } from "./metrics.ts";
import { nodeIdOf } from "./node-id.ts";
import { lockDataDir } from "./node-lock.ts";
import { SlotPool } from "./pool/pool.ts";
import { openSlotMaker } from "./pool/slot-maker.ts";
import { adopt } from "./sandboxes/adopt.ts";
import { endCommands, resumeCommands } from "./sandboxes/child-commands.ts";
import { endRun } from "./sandboxes/end-run.ts";
import { thaw } from "./sandboxes/freeze.ts";
import { FrozenLayers } from "./sandboxes/frozen-layers.ts";
import { Interrupts } from "./sandboxes/interrupts.ts";
import { Journal } from "./sandboxes/journal.ts";
import { Outcomes } from "./sandboxes/outcomes.ts";
import type { LayerBlobs, NodeParts } from "./sandboxes/parts.ts";
import { SandboxRegistry } from "./sandboxes/registry.ts";
import { Tombstones } from "./sandboxes/tombstones.ts";
import { Turns } from "./sandboxes/turns.ts";
import { adoptMounts } from "./volumes/adopt-mounts.ts";

const MB = 1024 * 1024;
const WAITERS_MAX = 1_024;
const RECONCILE_MS = 30_000;
const TIDY_LAYERS_MS = 60_000;
const LOOK_AT_STORES_MS = 2_000;
const REMOVE_TIMEOUT_MS = 10 * 60_000;
const SNAPSHOTS_MAX = 2;
const COUNTS_MAX = 64;
/** A fork that is refused is sent less and less often: these are what can be refused while a message may be under way. */
const REFUSALS_MAX = 50_000;

export interface NodeDeps {
  blobs: LayerBlobs;
  clock: Clock;
  logger: Logger;
  metrics: NodeMetrics;
  /** Told of every run that ended by itself. */
  onDied: OnDied;
}

/** A node at work, without its connections to others. */
export interface Node {
  readonly parts: NodeParts;
  /** One round of repair, now. */
  reconcile(): Promise<Repairs>;
  stop(kind: NodeConfig["onStop"]): Promise<void>;
}

/** Opens what a node has, adopts what an earlier process left, and begins to keep it in order. */
export async function openNode(config: NodeConfig, deps: NodeDeps): Promise<Node> {
  const lock = lockDataDir(config.dataDir);
  try {
    const parts = await assemble(config, deps);
    await takeOver(parts, deps).catch(async (error) => {
      if (config.onStop === "purge") await parts.disk.close();
      await parts.attach.close();
      throw error;
    });
    return keep(parts, config, deps, lock);
  } catch (error) {
    lock.release();
    throw error;
  }
}

async function takeOver(parts: NodeParts, deps: NodeDeps): Promise<void> {
  const { maker, network, pool, logger } = parts;
  const [adopted] = await Promise.all([adopt(parts), lookAtStores(parts)]);
  await adoptMounts(parts);
  // A process that was killed in the middle of a snapshot may have left a sandbox standing still.
  for (const { run } of parts.registry.running()) await thaw(parts, run.slot);
  const listed = adopted.running.filter((entry) => entry.network.egress === "allow");
  await network.open(new Map(listed.flatMap(({ slot, network: { allow } }) => (slot === null ? [] : [[slot.address, allow] as const]))));
  for (const slot of adopted.useless) await maker.destroy(slot);
  const counts = { running: adopted.running.length, died: adopted.died.length, removed: adopted.useless.length, free: pool.status.free };
  logger.info(counts, "adopted what was here");
  for (const entry of adopted.died) deps.onDied(entry, "slot_died");
  await maker.prepare();
  resumeCommands(parts);
}

function keep(parts: NodeParts, config: NodeConfig, deps: NodeDeps, lock: { release(): void }): Node {
  const round = async (): Promise<Repairs> => {
    const repairs = await reconcile(parts, deps.onDied);
    deps.metrics.repaired(repairs);
    const isQuiet = Object.values(repairs).every((count) => count === 0);
    if (!isQuiet) parts.logger.warn({ ...repairs }, "something was not as it should be and is put right");
    return repairs;
  };
  parts.pool.start();
  const loops: Pick<Loop, "stop">[] = [
    watchDeaths(parts, deps.onDied),
    startLoop({
      name: "reconcile",
      everyMs: RECONCILE_MS,
      clock: parts.clock,
      logger: parts.logger,
      round: async () => void (await round()),
    }),
    startLoop({
      name: "look-at-stores",
      everyMs: LOOK_AT_STORES_MS,
      clock: parts.clock,
      logger: parts.logger,
      round: () => lookAtStores(parts),
    }),
    startLoop({
      name: "tidy-layers",
      everyMs: TIDY_LAYERS_MS,
      clock: parts.clock,
      logger: parts.logger,
      round: async () => {
        await tidyFrozen(parts);
        return tidyLayers(parts, config.layers);
      },
    }),
  ];
  parts.state = "ready";
  return {
    parts,
    reconcile: round,
    async stop(kind) {
      parts.state = "leaving";
      await Promise.all(loops.map((loop) => loop.stop()));
      await endCommands(parts);
      await parts.pool.stop();
      if (kind === "purge") await purge(parts);
      await parts.stores.objects?.close();
      await parts.attach.close();
      lock.release();
    },
  };
}

async function assemble(config: NodeConfig, { blobs, clock, logger, metrics }: NodeDeps): Promise<NodeParts> {
  const { dataDir } = config;
  const nodeId = config.nodeId ?? nodeIdOf(dataDir);
  const native = await buildNative();
  const onExit = (err: unknown) => logger.error({ err }, "the attach helper has ended; another one is started");
  const attach = await AttachHelper.start({ binaryPath: native.attach, onExit });
  const warn = (message: string, reason: string) => logger.warn({ reason }, message);
  const disk = await openDisk({ dataDir, mode: config.disk, sizeMb: config.diskMb, attach, warn });
  // A large tree is removed by a process of its own: it would hold up what is served here.
  const removeTree = async (path: string) => {
    const { exitCode, output } = await attach.run(["rm", "-rf", "--", path], { timeoutMs: REMOVE_TIMEOUT_MS });
    if (exitCode !== 0) throw fault("internal", { path, output }, { message: "a layer cannot be removed" });
  };
  const frozenLayers = new FrozenLayers(join(disk.directory, "frozen-records"), disk.driver);
  await frozenLayers.open(logger);
  const layers = new LayerStore(join(disk.directory, "layers"), blobs, { removeTree, clock, frozen: frozenLayers });
  await layers.removeDrafts();
  const spoolDirectory = join(disk.directory, "spool");
  await unmountBelow(attach.run, spoolDirectory);
  rmSync(spoolDirectory, { recursive: true, force: true });
  mkdirSync(spoolDirectory, { mode: 0o700 });
  const network = new NodeNetwork({ nodeId, subnet: config.subnet, resolvers: config.resolvers ?? hostResolvers(), attach });
  const maker = await openSlotMaker(config, { nodeId, initPath: native.init, network, attach, clock });
  const stores = new NodeStores({
    root: config.volumeDir ?? join(dataDir, "volumes"),
    run: attach.run,
    objects: openObjects(config.objects, {
      directory: join(dataDir, "objects"),
      warn: (message, volumeId, err) => logger.warn({ volumeId, err }, message),
    }),
  });
  const { slotsMax } = config.pool;
  const size = { cpus: availableParallelism(), memoryMb: totalmem() / MB, diskMb: disk.space().totalBytes / MB, slotsMax };
  return {
    nodeId,
    maker,
    pool: new SlotPool(maker, { ...config.pool, waitersMax: WAITERS_MAX, clock, logger }),
    attach,
    disk,
    layers,
    frozenLayers,
    packing: new Map(),
    blobs,
    snapshots: new Gate(SNAPSHOTS_MAX),
    spoolDirectory,
    network,
    stores,
    journal: new Journal(join(dataDir, "journal")),
    tombstones: new Tombstones(join(dataDir, "tombstones")),
    refusals: new Tombstones(join(dataDir, "refusals"), REFUSALS_MAX),
    outcomes: new Outcomes(join(dataDir, "outcomes")),
    counts: new Gate(COUNTS_MAX),
    commands: new Set(),
    ending: new AbortController(),
    registry: new SandboxRegistry(clock),
    turns: new Turns(),
    interrupts: new Interrupts(),
    capacity: capacityOf(size, config.overcommit),
    clock,
    logger,
    metrics,
    state: "joining",
  };
}

/** Ends all that was started here and takes it away. Stopped sandboxes stay, in their disks and in the journal. */
async function purge(parts: NodeParts): Promise<void> {
  await Promise.all(parts.registry.running().map(({ entry }) => parts.turns.take(entry.sandboxId, () => endRun(parts, entry.sandboxId))));
  await parts.pool.stop();
  for (const slot of await parts.maker.list()) await parts.maker.destroy(slot);
  await parts.network.close();
  await parts.disk.close();
}
