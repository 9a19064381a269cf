import { Quota } from "@banyan/contracts";
import { z } from "zod";

/** What an organisation may hold unless an admin says otherwise. */
const QUOTA_DEFAULT: Quota = { sandboxes: 1_000, cpu: 1_000, memoryMb: 1024 * 1024 };

export const Config = z.object({
  natsUrl: z.string().min(1),
  databaseUrl: z.string().min(1),
  databaseSchema: z.string().default("gateway"),
  /** Shared with the nodes; signs links too. */
  clusterToken: z.string().min(16),
  httpHost: z.string().default("127.0.0.1"),
  /** 0: any free one. */
  httpPort: z.coerce.number().int().min(0).max(65_535).default(7070),
  /** How clients reach this API; null: by the address it listens on. */
  publicUrl: z
    .url({ protocol: /^https?$/ })
    .transform((url) => url.replace(/\/+$/, ""))
    .nullable()
    .default(null),
  /** This admin key of the organisation `default` exists after the start. */
  bootstrapKey: z.string().min(16).max(256).regex(/^[\x21-\x7e]+$/, "printable characters without spaces").nullable().default(null),
  defaultQuota: Quota.default(QUOTA_DEFAULT),
});
export type Config = z.infer<typeof Config>;

/** The only place of this service that reads the environment. */
export function readConfig(env: NodeJS.ProcessEnv = process.env): Config {
  return Config.parse({
    natsUrl: env.NATS_URL,
    databaseUrl: env.DATABASE_URL,
    clusterToken: env.BANYAN_CLUSTER_TOKEN,
    httpHost: env.BANYAN_HTTP_HOST,
    httpPort: env.BANYAN_HTTP_PORT,
    publicUrl: env.BANYAN_PUBLIC_URL,
    bootstrapKey: env.BANYAN_BOOTSTRAP_KEY,
  });
}
