import { Pool } from "undici";

const NODES_MAX = 1_024;
const CONNECTIONS_PER_NODE = 1_024;
const CONNECT_TIMEOUT_MS = 3_000;
/** Below the node's own, so that this side closes an idle connection first and no request meets a closing one. */
const IDLE_CONNECTION_MS = 30_000;
const TCP_KEEP_ALIVE_MS = 15_000;

/** Kept-alive connections to every node. */
export interface NodePools {
  to(url: string): Pool;
  close(): Promise<void>;
}

export function createNodePools(): NodePools {
  const pools = new Map<string, Pool>();
  return {
    to(url) {
      const found = pools.get(url);
      if (found) return found;
      // A command may be silent for hours: what ends a dead request is the caller, or TCP noticing that the node is gone.
      const pool = new Pool(url, {
        connections: CONNECTIONS_PER_NODE,
        pipelining: 1,
        headersTimeout: 0,
        bodyTimeout: 0,
        keepAliveTimeout: IDLE_CONNECTION_MS,
        keepAliveMaxTimeout: IDLE_CONNECTION_MS,
        connect: { timeout: CONNECT_TIMEOUT_MS, keepAlive: true, keepAliveInitialDelay: TCP_KEEP_ALIVE_MS },
      });
      pools.set(url, pool);
      if (pools.size > NODES_MAX) {
        const [oldest, unused] = pools.entries().next().value ?? [];
        pools.delete(oldest ?? "");
        void unused?.close();
      }
      return pool;
    },
    async close() {
      await Promise.all([...pools.values()].map((pool) => pool.destroy()));
      pools.clear();
    },
  };
}
