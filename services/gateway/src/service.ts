import { type Backing, defineService, type Host, onBacking, type RunningService, startLoop } from "@banyan/service";
import { getRequestListener } from "@hono/node-server";
import { openAccessNotices } from "./auth/access-notices.ts";
import { createKeyRing } from "./auth/key-ring.ts";
import type { Config } from "./config.ts";
import {
  attachUpgrades,
  createAskInside,
  createNodePools,
  createRouteMemory,
  createVolumeRoutes,
  type ForwardDeps,
  type VolumeForwardDeps,
} from "./forward/index.ts";
import { createApp } from "./http/app.ts";
import type { Gateway } from "./http/gateway.ts";
import { listen } from "./http/server.ts";
import { NOTE_KEY_USE_EVERY_MS, noteKeyUse } from "./loops/note-key-use.ts";
import { IDEMPOTENCY_KEPT_MS, PURGE_EVERY_MS, purgeOldKeys } from "./loops/purge-idempotency-keys.ts";
import { ensureBootstrap } from "./store/ensure-bootstrap.ts";
import { findCaller } from "./store/find-caller.ts";
import { migrations } from "./store/migrations.ts";
import { purgeJoinTokens } from "./store/purge-join-tokens.ts";

export interface RunningGateway extends RunningService {
  /** How clients reach it. */
  readonly url: string;
}

export const gatewayService = defineService<Config>({ name: "gateway", start: startGateway });

export function startGateway(config: Config, host: Host): Promise<RunningGateway> {
  const database = { url: config.databaseUrl, schema: config.databaseSchema, migrations };
  return onBacking({ name: "gateway", natsUrl: config.natsUrl, blobs: config.blobs ?? null, database }, host, (backing) =>
    run(config, host, backing),
  );
}

async function run(config: Config, { logger, clock, metrics }: Host, backing: Backing): Promise<RunningGateway> {
  const { db, bus } = backing;
  const { defaultQuota, clusterToken, objectVolumes } = config;
  await ensureBootstrap(db, { quota: defaultQuota, key: config.bootstrapKey, now: clock.now() });
  const keyRing = createKeyRing({ find: (hash) => findCaller(db, hash), clock });
  const access = await openAccessNotices({ bus, keyRing, clock, logger });
  const routes = createRouteMemory({ bus });
  const nodes = createNodePools();
  const http = await listen(config.httpHost, config.httpPort, clock);
  const publicUrl = (config.publicUrl ?? `http://${config.httpHost}:${http.port}`).replace(/\/+$/, "");

  const askInside = createAskInside({ nodes, clusterToken });
  const join = config.joinNatsUrl === null ? null : { natsUrl: config.joinNatsUrl, clusterToken, blobs: config.blobs ?? null };
  const gateway: Gateway = { bus, db, clock, logger, routes, authenticator: keyRing, access, askInside, defaultQuota, objectVolumes, join };
  const volumes = createVolumeRoutes({ bus });
  const forward: ForwardDeps & VolumeForwardDeps = {
    authenticator: keyRing,
    routes,
    volumes,
    nodes,
    clusterToken,
    publicUrl,
    logger,
    clock,
  };
  const requests = metrics.histogram("banyan_http_request_ms", "How long requests took, by method and status.");
  http.answer(getRequestListener(createApp({ gateway, forward, requests, publicUrl }).fetch, { overrideGlobalObjects: false }));
  const endUpgrades = attachUpgrades(http.server, forward);
  const loops = [
    startLoop({ name: "note-key-use", everyMs: NOTE_KEY_USE_EVERY_MS, clock, logger, round: () => noteKeyUse(db, keyRing, clock) }),
    startLoop({ name: "purge-idempotency-keys", everyMs: PURGE_EVERY_MS, clock, logger, round: () => purgeOldKeys(db, clock) }),
    startLoop({
      name: "purge-join-tokens",
      everyMs: PURGE_EVERY_MS,
      clock,
      logger,
      round: () => purgeJoinTokens(db, clock.now() - IDEMPOTENCY_KEPT_MS),
    }),
  ];
  logger.info({ url: publicUrl }, "the gateway serves");
  return {
    url: publicUrl,
    checks: backing.checks,
    async stop() {
      endUpgrades();
      await http.stop();
      await Promise.all(loops.map((loop) => loop.stop()));
      await noteKeyUse(db, keyRing, clock).catch((err: unknown) => logger.warn({ err }, "the last uses of keys are not noted"));
      access.stop();
      await nodes.close();
      await backing.close();
    },
  };
}
