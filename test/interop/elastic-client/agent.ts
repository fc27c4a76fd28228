// An OpAMP agent on @elastic/opamp-client-node as a process of its own: its settings are the first line of standard
// input (JSON), its events are lines of standard output, and it shuts down when standard input ends.
import { subscribe } from 'node:diagnostics_channel';
import { createInterface } from 'node:readline';

import { DIAG_CH_SEND_FAIL, DIAG_CH_SEND_SUCCESS, RemoteConfigStatuses, createOpAMPClient } from '@elastic/opamp-client-node';
import { AgentCapabilities } from '@opamp-gateway/proto/opamp';

import type { ElasticClientEvent, ElasticClientSettings } from '../support/elastic-client.ts';

function emit(event: ElasticClientEvent): void {
  process.stdout.write(`${JSON.stringify(event)}\n`);
}

/** What the client publishes on its diagnostics channels; only the parts that are printed. */
interface Diagnostics {
  readonly a2s?: { readonly sequenceNum: bigint };
  readonly err?: unknown;
}

function run(settings: ElasticClientSettings): { shutdown(): Promise<void> } {
  subscribe(DIAG_CH_SEND_SUCCESS, (message) => {
    const { a2s } = message as Diagnostics;
    emit({ event: 'sent', sequenceNum: Number(a2s?.sequenceNum ?? -1) });
  });
  subscribe(DIAG_CH_SEND_FAIL, (message) => {
    emit({ event: 'send_failed', error: String((message as Diagnostics).err) });
  });
  const client = createOpAMPClient({
    endpoint: settings.url,
    instanceUid: settings.instanceUid,
    heartbeatIntervalSeconds: settings.heartbeatIntervalS,
    capabilities: BigInt(AgentCapabilities.AgentCapabilities_AcceptsRemoteConfig | AgentCapabilities.AgentCapabilities_ReportsRemoteConfig),
    diagEnabled: true,
    onMessage: ({ remoteConfig }) => {
      if (remoteConfig === undefined) {
        return;
      }
      const body = remoteConfig.config?.configMap['']?.body ?? new Uint8Array();
      emit({
        event: 'remote_config',
        hash: Buffer.from(remoteConfig.configHash).toString('hex'),
        body: Buffer.from(body).toString('utf8'),
      });
      client.setRemoteConfigStatus({
        $typeName: 'opamp.proto.v1.RemoteConfigStatus',
        lastRemoteConfigHash: remoteConfig.configHash,
        status: settings.accepts ? RemoteConfigStatuses.RemoteConfigStatuses_APPLIED : RemoteConfigStatuses.RemoteConfigStatuses_FAILED,
        errorMessage: settings.accepts ? '' : 'refused on request of the test',
      });
    },
  });
  client.setAgentDescription({ identifyingAttributes: settings.identifying, nonIdentifyingAttributes: {} });
  client.start();
  return client;
}

let client: { shutdown(): Promise<void> } | undefined;
for await (const line of createInterface({ input: process.stdin })) {
  client ??= run(JSON.parse(line) as ElasticClientSettings);
}
await client?.shutdown();
