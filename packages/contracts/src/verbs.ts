import type { z } from "zod";
import type { ErrorCode } from "./errors.ts";

/**
 * The three verbs of the bus, each declared once as one object: subject, schemas, deadline, errors.
 * Someone waits: rpc. Nobody waits and it must happen: job. It happened: event.
 */
export type Owner = "gateway" | "scheduler" | "image-builder" | "volume-manager";

interface Common<I extends z.ZodType> {
  input: I;
}

export interface RpcShape<I extends z.ZodType, O extends z.ZodType> extends Common<I> {
  output: O;
  /** How long the caller waits unless it says otherwise. */
  deadlineMs: number;
  errors: readonly ErrorCode[];
}

export interface Rpc<I extends z.ZodType = z.ZodType, O extends z.ZodType = z.ZodType> extends RpcShape<I, O> {
  kind: "rpc";
  owner: Owner;
  subject: string;
  /** Servers of one queue share its requests; null: whoever serves the subject is the only one. */
  queue: string | null;
}

export interface NodeRpc<I extends z.ZodType = z.ZodType, O extends z.ZodType = z.ZodType> extends RpcShape<I, O> {
  kind: "node-rpc";
  verb: string;
  /** This verb of one node, to call or to serve. */
  on(nodeId: string): Rpc<I, O>;
}

export interface Job<I extends z.ZodType = z.ZodType> extends Common<I> {
  kind: "job";
  owner: Owner;
  subject: string;
  /** The durable consumer's name. */
  durable: string;
  /** After this long without an answer or a sign of work the job is delivered again. */
  ackWaitMs: number;
  deliveriesMax: number;
}

export interface Event<I extends z.ZodType = z.ZodType> extends Common<I> {
  kind: "event";
  noun: string;
  past: string;
  /** Every occurrence, for a consumer. */
  pattern: string;
  subjectOf(id: string): string;
}

export function rpc<I extends z.ZodType, O extends z.ZodType>(owner: Owner, verb: string, shape: RpcShape<I, O>): Rpc<I, O> {
  return { kind: "rpc", owner, subject: `rpc.${owner}.${verb}`, queue: owner, ...shape };
}

/** A verb that every node serves for itself: `rpc.node.<nodeId>.<verb>`. */
export function nodeRpc<I extends z.ZodType, O extends z.ZodType>(verb: string, shape: RpcShape<I, O>): NodeRpc<I, O> {
  return {
    kind: "node-rpc",
    verb,
    ...shape,
    on: (nodeId) => ({ kind: "rpc", owner: "scheduler", subject: `rpc.node.${nodeId}.${verb}`, queue: null, ...shape }),
  };
}

export function job<I extends z.ZodType>(
  owner: Owner,
  verb: string,
  shape: { input: I; ackWaitMs: number; deliveriesMax: number },
): Job<I> {
  return { kind: "job", owner, subject: `job.${owner}.${verb}`, durable: `${owner}-${verb.replaceAll(".", "-")}`, ...shape };
}

export function event<I extends z.ZodType>(noun: string, past: string, input: I): Event<I> {
  return { kind: "event", noun, past, input, pattern: `evt.${noun}.*.${past}`, subjectOf: (id) => `evt.${noun}.${id}.${past}` };
}

/** Whole families of subjects, for permissions. */
export const SUBJECTS = {
  rpcOf: (owner: Owner) => `rpc.${owner}.>`,
  rpcOfNode: (nodeId: string) => `rpc.node.${nodeId}.>`,
  rpcOfAllNodes: "rpc.node.>",
  jobsOf: (owner: Owner) => `job.${owner}.>`,
  allJobs: "job.>",
  eventsOf: (noun: string) => `evt.${noun}.>`,
  allEvents: "evt.>",
} as const;

/** The two JetStream streams. */
export const JOBS_STREAM = { name: "JOBS", subjects: [SUBJECTS.allJobs] } as const;
export const EVENTS_STREAM = { name: "EVENTS", subjects: [SUBJECTS.allEvents] } as const;

export type InputOf<V extends { input: z.ZodType }> = z.infer<V["input"]>;
export type OutputOf<V extends { output: z.ZodType }> = z.infer<V["output"]>;
