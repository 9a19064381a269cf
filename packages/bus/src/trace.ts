import { AppError, messageOf } from "@banyan/kernel";
import type { MsgHdrs } from "@nats-io/transport-node";
import { type Context, context, propagation, ROOT_CONTEXT, type Span, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";

const tracer = trace.getTracer("banyan.bus");
const setter = { set: (headers: MsgHdrs, key: string, value: string) => headers.set(key, value) };
const getter = { get: (headers: MsgHdrs, key: string) => headers.get(key) || undefined, keys: (headers: MsgHdrs) => headers.keys() };

/** Where tracing is off this is one look at the context. */
export const isTracing = (): boolean => trace.getSpanContext(context.active()) !== undefined;

export const injectTrace = (headers: MsgHdrs): void => propagation.inject(context.active(), headers, setter);

export function withSendSpan<T>(name: string, operation: () => Promise<T>): Promise<T> {
  return isTracing() ? run(tracer.startSpan(name, { kind: SpanKind.CLIENT }), context.active(), operation) : operation();
}

/** The receiving side goes on with the sender's trace; a message without one starts none. */
export function withReceiveSpan<T>(name: string, headers: MsgHdrs | undefined, operation: () => Promise<T>): Promise<T> {
  if (headers === undefined || !headers.has("traceparent")) return operation();
  const parent = propagation.extract(ROOT_CONTEXT, headers, getter);
  return run(tracer.startSpan(name, { kind: SpanKind.SERVER }, parent), parent, operation);
}

async function run<T>(span: Span, parent: Context, operation: () => Promise<T>): Promise<T> {
  try {
    return await context.with(trace.setSpan(parent, span), operation);
  } catch (error) {
    if (error instanceof AppError) span.setAttribute("banyan.error", error.code);
    span.setStatus({ code: SpanStatusCode.ERROR, message: messageOf(error) });
    throw error;
  } finally {
    span.end();
  }
}
