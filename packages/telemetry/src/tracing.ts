import { AppError, messageOf } from "@banyan/kernel";
import { type Attributes, context, propagation, type Span, SpanStatusCode, trace } from "@opentelemetry/api";

const TRACER = "banyan";
let isOn = false;

export interface TracingOptions {
  serviceName: string;
  /** Base address of an OTLP/HTTP collector; spans go to `<endpoint>/v1/traces`. */
  otlpEndpoint: string;
}

/** Loads the SDK, which costs 130 ms and 9 MB: only where tracing is asked for. Answers the way to send what is left and end. */
export async function startTracing({ serviceName, otlpEndpoint }: TracingOptions): Promise<() => Promise<void>> {
  const [{ BatchSpanProcessor, NodeTracerProvider }, { OTLPTraceExporter }, { resourceFromAttributes }] = await Promise.all([
    import("@opentelemetry/sdk-trace-node"),
    import("@opentelemetry/exporter-trace-otlp-http"),
    import("@opentelemetry/resources"),
  ]);
  const exporter = new OTLPTraceExporter({ url: `${otlpEndpoint.replace(/\/$/, "")}/v1/traces` });
  const provider = new NodeTracerProvider({
    resource: resourceFromAttributes({ "service.name": serviceName }),
    spanProcessors: [new BatchSpanProcessor(exporter)],
  });
  provider.register();
  isOn = true;
  return async () => {
    isOn = false;
    await provider.shutdown();
  };
}

/** Runs the function in a span of its own. Off, it is one call more. */
export function withSpan<T>(name: string, attributes: Attributes, run: () => Promise<T>): Promise<T> {
  return isOn ? traced(name, attributes, run) : run();
}

/** The same, going on with the trace of a request's headers. */
export function withSpanFrom<T>(headers: Record<string, unknown>, name: string, attributes: Attributes, run: () => Promise<T>): Promise<T> {
  if (!isOn) return run();
  return context.with(propagation.extract(context.active(), headers), () => traced(name, attributes, run));
}

/** The headers by which the receiver goes on with this trace; none where tracing is off. */
export function traceHeaders(): Record<string, string> {
  const headers: Record<string, string> = {};
  if (isOn) propagation.inject(context.active(), headers);
  return headers;
}

function traced<T>(name: string, attributes: Attributes, run: () => Promise<T>): Promise<T> {
  return trace.getTracer(TRACER).startActiveSpan(name, { attributes }, async (span) => {
    try {
      return await run();
    } catch (error) {
      markFailed(span, error);
      throw error;
    } finally {
      span.end();
    }
  });
}

function markFailed(span: Span, error: unknown): void {
  if (error instanceof AppError) span.setAttribute("banyan.error", error.code);
  span.setStatus({ code: SpanStatusCode.ERROR, message: messageOf(error) });
}
