/** Agents that are not ours: a third-party OpAMP client, and a real supervisor with a real collector. */
import { writeFile } from 'node:fs/promises';
import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { createOpAMPClient } from '@elastic/opamp-client-node';
import { AgentCapabilities, RemoteConfigStatuses } from '@opamp-gateway/proto/opamp';
import { uuidText } from '../random.ts';
import type { ProcessGroup } from './processes.ts';

/** An agent outside the swarm, as far as the demo can look into it. */
export interface OutsideAgent {
  readonly name: string;
  readonly uid: string | undefined;
  /** Hex hash of the config it last took; undefined when it cannot be asked. */
  appliedHash(): string | undefined;
  stop(): Promise<void>;
}

/** Starts @elastic/opamp-client-node over HTTP; it acknowledges every config. */
export function startElasticAgent(endpoint: string, env: string): OutsideAgent {
  let applied: string | undefined;
  const client = createOpAMPClient({
    endpoint,
    heartbeatIntervalSeconds: 1,
    capabilities: BigInt(AgentCapabilities.AgentCapabilities_AcceptsRemoteConfig | AgentCapabilities.AgentCapabilities_ReportsRemoteConfig),
    onMessage: ({ remoteConfig }) => {
      if (remoteConfig === undefined) return;
      applied = Buffer.from(remoteConfig.configHash).toString('hex');
      client.setRemoteConfigStatus({
        $typeName: 'opamp.proto.v1.RemoteConfigStatus',
        status: RemoteConfigStatuses.RemoteConfigStatuses_APPLIED,
        lastRemoteConfigHash: remoteConfig.configHash,
        errorMessage: '',
      });
    },
  });
  client.setAgentDescription({
    identifyingAttributes: { 'service.name': 'checkout', 'service.version': '4.2.0' },
    nonIdentifyingAttributes: { env, 'telemetry.sdk.language': 'nodejs' },
  });
  client.start();
  return {
    name: '@elastic/opamp-client-node',
    uid: uuidText(client.getInstanceUid()),
    appliedHash: () => applied,
    stop: async () => client.shutdown(),
  };
}

/** Starts an opampsupervisor with its collector; both live in the group's directory. */
export async function startSupervisor(
  group: ProcessGroup,
  endpoint: string,
  { supervisor, collector }: { readonly supervisor: string; readonly collector: string },
  env: string,
): Promise<void> {
  const directory = join(group.directory, 'supervisor');
  mkdirSync(directory, { recursive: true });
  const config = `server:
  endpoint: ${endpoint}
capabilities:
  accepts_remote_config: true
  reports_remote_config: true
  accepts_restart_command: true
  reports_effective_config: true
  reports_health: true
  reports_heartbeat: true
  reports_available_components: true
  reports_own_metrics: false
agent:
  executable: ${resolve(collector)}
  config_apply_timeout: 5s
  bootstrap_timeout: 30s
  description:
    non_identifying_attributes:
      env: ${env}
storage:
  directory: ${directory}
`;
  const file = join(group.directory, 'supervisor.yaml');
  await writeFile(file, config);
  // It stops its collector on an interrupt only; any other signal would leave the collector behind.
  await group.start('supervisor', [resolve(supervisor), '--config', file], {}, async () => true, 'SIGINT');
}
