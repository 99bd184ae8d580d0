// Sends one trace, one log record and one counter with Node's OpenTelemetry SDK:
//   node client.mjs json|protobuf|grpc ENDPOINT
// and prints the trace id.
import { context, trace } from "@opentelemetry/api";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { BatchLogRecordProcessor, LoggerProvider } from "@opentelemetry/sdk-logs";
import { MeterProvider, PeriodicExportingMetricReader } from "@opentelemetry/sdk-metrics";
import { BasicTracerProvider, BatchSpanProcessor } from "@opentelemetry/sdk-trace-base";

const [kind, endpoint] = process.argv.slice(2);
const packages = { json: "http", protobuf: "proto", grpc: "grpc" };
const load = (signal) => import(`@opentelemetry/exporter-${signal}-otlp-${packages[kind]}`);
const options = async (signal) => {
  if (kind !== "grpc") return { url: `${endpoint}/v1/${signal}`, compression: "gzip" };
  const { credentials } = await import("@grpc/grpc-js");
  return { url: `http://${endpoint}`, credentials: credentials.createInsecure() };
};

const { OTLPTraceExporter } = await load("trace");
const { OTLPLogExporter } = await load("logs");
const { OTLPMetricExporter } = await load("metrics");
const resource = resourceFromAttributes({ "service.name": "node", "service.instance.id": kind });

const tracers = new BasicTracerProvider({
  resource,
  spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter(await options("traces")))],
});
const outer = tracers.getTracer("test").startSpan("outer", { attributes: { n: 7, ok: true, f: 0.5 } });
const within = trace.setSpan(context.active(), outer);
tracers.getTracer("test").startSpan("inner", {}, within).end();
outer.end();

const loggers = new LoggerProvider({
  resource,
  processors: [new BatchLogRecordProcessor({ exporter: new OTLPLogExporter(await options("logs")) })],
});
loggers.getLogger("test").emit({ body: "a line", context: within, attributes: { list: ["a", "b"] } });

const meters = new MeterProvider({
  resource,
  readers: [
    new PeriodicExportingMetricReader({ exporter: new OTLPMetricExporter(await options("metrics")) }),
  ],
});
meters.getMeter("test").createCounter("orders").add(3, { kind: "book" });

for (const provider of [tracers, loggers, meters]) {
  await provider.forceFlush();
  await provider.shutdown();
}
console.log(outer.spanContext().traceId);
