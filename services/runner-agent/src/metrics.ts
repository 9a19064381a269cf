import type { Metrics } from "@banyan/telemetry";
import type { Repairs } from "./loops/reconcile.ts";
import type { NodeParts } from "./sandboxes/parts.ts";

/** What a node tells Prometheus of itself. */
export interface NodeMetrics {
  started(path: "warm" | "cold", totalMs: number): void;
  refused(reason: string): void;
  repaired(repairs: Repairs): void;
}

export function nodeMetrics(metrics: Metrics): NodeMetrics {
  const starts = metrics.histogram("banyan_node_start_ms", "Time of a start inside the node, by path");
  const refusals = metrics.counter("banyan_node_refusals_total", "Starts that the node refused, by reason");
  const repairs = metrics.counter("banyan_node_repairs_total", "What the reconcile loop put right, by kind");
  return {
    started: (path, totalMs) => starts.record(totalMs, { path }),
    refused: (reason) => refusals.add(1, { reason }),
    repaired: (round) => {
      for (const [kind, count] of Object.entries(round)) if (count > 0) repairs.add(count, { kind });
    },
  };
}

export function observe(metrics: Metrics, { pool, registry, disk, layers }: NodeParts): void {
  metrics.gauge("banyan_node_slots", "Slots, by what they do", () =>
    Object.entries(pool.status).flatMap(([state, value]) => (state === "target" ? [] : [{ value, attributes: { state } }])),
  );
  metrics.gauge("banyan_node_sandboxes", "Sandboxes that run here", () => registry.used().sandboxes);
  metrics.gauge("banyan_node_disk_free_bytes", "Free space for disks and layers", () => disk.space().freeBytes);
  metrics.gauge("banyan_node_layers", "Layers unpacked here", () => layers.count);
  // Of starts that were never acknowledged: they go when the scheduler says so.
  metrics.gauge("banyan_node_unclaimed_disks", "Disks that no known sandbox has", () => {
    return disk.driver.list().filter((sandboxId) => registry.get(sandboxId) === undefined).length;
  });
}
