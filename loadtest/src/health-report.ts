/** Health as a supervisor forwards it. */
import { create, toBinary } from '@bufbuild/protobuf';
import { ComponentHealthSchema } from '@opamp-gateway/proto/opamp';
import type { CollectorHealth } from './sim-collector.ts';

const NS_PER_MS = 1_000_000n;

/** An encoded ComponentHealth; `tree` adds the components below a running collector. */
export function encodeHealth({ healthy, lastError, status, startedAtMs }: CollectorHealth, tree: boolean): Uint8Array {
  const startTimeUnixNano = BigInt(Math.trunc(startedAtMs)) * NS_PER_MS;
  const part = { healthy, status, statusTimeUnixNano: startTimeUnixNano, lastError };
  const componentHealthMap =
    tree && status !== ''
      ? {
          extensions: {
            healthy: true,
            status: 'StatusOK',
            componentHealthMap: { 'extension:opamp': { healthy: true, status: 'StatusOK' } },
          },
          'pipeline:traces': {
            healthy,
            status,
            componentHealthMap: {
              'receiver:otlp': { healthy: true, status: 'StatusOK' },
              'processor:batch': { healthy: true, status: 'StatusOK' },
              'exporter:otlp_grpc/primary': part,
            },
          },
        }
      : {};
  const message = create(ComponentHealthSchema, { ...part, startTimeUnixNano, componentHealthMap });
  return toBinary(ComponentHealthSchema, message);
}
