import { createHash } from 'node:crypto';

import type { ScriptedReply } from './scripted-server.ts';

/** Runs on the collector of collector/builder.yaml; listens on a free port and opens no port for its own metrics. */
export const GOOD = `receivers:
  otlp:
    protocols:
      grpc:
        endpoint: 127.0.0.1:0
exporters:
  debug:
    verbosity: basic
service:
  telemetry:
    metrics:
      level: none
  pipelines:
    traces:
      receivers: [otlp]
      exporters: [debug]
`;

/** As good, and another text. */
export const GOOD_TOO = GOOD.replace('verbosity: basic', 'verbosity: detailed');

/** Good YAML; the collector refuses it at start because the pipeline names a receiver that is not defined. */
export const CRASHES = GOOD.replace('  otlp:\n', '  otlp/ingest:\n');

/** Good YAML that starts everywhere but on a machine where the port is taken. */
export function listeningOn(port: number): string {
  return GOOD.replace('127.0.0.1:0', `127.0.0.1:${port}`);
}

/** Refused by the collector's own check whatever it is merged with. */
export const UNKNOWN_SECTION = `${GOOD}x-batch: {}\n`;

/** No YAML at all: a plain scalar may not hold a colon and a blank. */
export const NOT_YAML = `${GOOD}notes: one: two\n`;

/** Points the collector's own OpAMP connection away from its supervisor. */
export const CUTS_OFF = `${GOOD}extensions:
  opamp:
    server:
      ws:
        endpoint: ws://127.0.0.1:9/v1/opamp
`;

/** Files of a remote config: name -> body. */
export type ConfigFiles = Readonly<Record<string, string>>;

/** Any hash will do: agents treat it as opaque bytes. */
export function hashOf(files: ConfigFiles): Buffer {
  return createHash('sha256').update(JSON.stringify(files)).digest();
}

/** An offer of these files, for the scripted server. */
export function offerOf(files: ConfigFiles): ScriptedReply {
  const configMap = Object.fromEntries(
    Object.entries(files).map(([name, body]) => [name, { body: Buffer.from(body), contentType: 'text/yaml' }]),
  );
  return { remoteConfig: { config: { configMap }, configHash: hashOf(files) } };
}
