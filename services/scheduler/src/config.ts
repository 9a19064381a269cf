import { type BaseConfig, readBaseConfig, readEnvironment } from "@banyan/service";
import { z } from "zod";

const HEALTH_PORT = 7072;
const Ms = z.coerce.number().int().min(1);

const Scheduling = z.object({
  /** A node silent for this long is given up: its running sandboxes become failed. */
  nodeLostAfterMs: Ms.default(15 * 60_000),
  reconcileEveryMs: Ms.default(10_000),
  /** What a node holds without an owner is deleted after this. */
  orphanGraceMs: Ms.default(30_000),
  /** Beyond a start's own deadline, before its row counts as overdue. */
  startMarginMs: Ms.default(15_000),
  /** How long the row of a deleted sandbox stays. */
  deletedKeptMs: Ms.default(24 * 3_600_000),
  transitionsKeptMs: Ms.default(7 * 24 * 3_600_000),
  /** How long a fork that has ended can be asked about. */
  forksKeptMs: Ms.default(7 * 24 * 3_600_000),
  /** What is stopped is archived, so that it outlives its node. */
  archiveOnStop: z.boolean().default(false),
});
export type Scheduling = z.infer<typeof Scheduling>;
export const SCHEDULING_DEFAULTS: Scheduling = Scheduling.parse({});

export interface Config extends BaseConfig {
  natsUrl: string;
  databaseUrl: string;
  databaseSchema: string;
  scheduling: Scheduling;
}

const Environment = z.object({
  NATS_URL: z.string().default("nats://127.0.0.1:4222"),
  DATABASE_URL: z.string(),
  BANYAN_SCHEDULER_SCHEMA: z.string().default("scheduler"),
  BANYAN_NODE_LOST_AFTER_MS: Ms.default(SCHEDULING_DEFAULTS.nodeLostAfterMs),
  BANYAN_RECONCILE_EVERY_MS: Ms.default(SCHEDULING_DEFAULTS.reconcileEveryMs),
  BANYAN_ORPHAN_GRACE_MS: Ms.default(SCHEDULING_DEFAULTS.orphanGraceMs),
  BANYAN_START_MARGIN_MS: Ms.default(SCHEDULING_DEFAULTS.startMarginMs),
  BANYAN_ARCHIVE_ON_STOP: z.stringbool().default(SCHEDULING_DEFAULTS.archiveOnStop),
});

/** The only place of this service that reads the environment. */
export function readConfig(environment: NodeJS.ProcessEnv = process.env): Config {
  const read = readEnvironment(Environment, environment);
  return {
    ...readBaseConfig(environment, { healthPort: HEALTH_PORT }),
    natsUrl: read.NATS_URL,
    databaseUrl: read.DATABASE_URL,
    databaseSchema: read.BANYAN_SCHEDULER_SCHEMA,
    scheduling: {
      ...SCHEDULING_DEFAULTS,
      nodeLostAfterMs: read.BANYAN_NODE_LOST_AFTER_MS,
      reconcileEveryMs: read.BANYAN_RECONCILE_EVERY_MS,
      orphanGraceMs: read.BANYAN_ORPHAN_GRACE_MS,
      startMarginMs: read.BANYAN_START_MARGIN_MS,
      archiveOnStop: read.BANYAN_ARCHIVE_ON_STOP,
    },
  };
}
