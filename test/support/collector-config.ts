/** Collector configs that pass validation; `marker` makes each one's bytes, and so its hash, its own. */
export function collectorConfig(marker: string): string {
  return `# ${marker}
receivers:
  otlp:
    protocols:
      grpc:
        endpoint: 127.0.0.1:4317
processors:
  batch:
    timeout: 1s
exporters:
  debug:
    verbosity: basic
service:
  pipelines:
    traces:
      receivers: [otlp]
      processors: [batch]
      exporters: [debug]
`;
}
