import type { Sandbox } from "../domain/sandbox.ts";
import type { sandboxes } from "./schema.ts";

export type Row = typeof sandboxes.$inferSelect;

export function fromRow({ labels, spec, ...row }: Row): Sandbox {
  // Absent in what was written before there were volumes.
  return { ...row, spec: { ...spec, volumes: spec.volumes ?? [], labels } };
}
