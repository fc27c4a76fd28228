/** Collector configs of a given size. */

const HEAD = `receivers:
  otlp:
    protocols:
      grpc:
        endpoint: 127.0.0.1:4317
processors:
  batch:
    timeout: 5s
exporters:
  otlp_grpc/primary:
    endpoint: otel.primary.internal:4317
service:
  pipelines:
    traces:
      receivers: [otlp]
      processors: [batch]
      exporters: [otlp_grpc/primary]
`;
const FILLER = 'padding to the wanted size, as a large config of many pipelines would have it';

/** A valid collector config of exactly `bytes` bytes (at least the smallest that is valid); `marker` makes its hash unique. */
export function configText(marker: string, bytes: number): string {
  let text = `# ${marker}\n${HEAD}`;
  for (let line = 0; text.length < bytes; line += 1) {
    const comment = `# ${line} ${FILLER}\n`;
    const room = bytes - text.length;
    text += room > comment.length + 2 ? comment : `${'#'.repeat(Math.max(1, room - 1))}\n`;
  }
  return text;
}
