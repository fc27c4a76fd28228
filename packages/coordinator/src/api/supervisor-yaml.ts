import { stringify } from 'yaml';

/** What a host may say of itself when it enrols. */
export interface HostChoices {
  executable: string;
  storageDirectory: string;
  attributes: Readonly<Record<string, string>>;
}

/** A configuration with which a supervisor connects, see docs/agents.md for each line. */
export function supervisorYaml(options: { endpoint: string; token: string; caPem: string | undefined; host: HostChoices }): string {
  const { endpoint, token, caPem, host } = options;
  const isTls = /^(?:wss|https):/.test(endpoint);
  return stringify(
    {
      server: {
        endpoint,
        headers: { Authorization: `Bearer ${token}` },
        ...(isTls && caPem !== undefined ? { tls: { ca_pem: caPem } } : {}),
      },
      capabilities: {
        accepts_remote_config: true,
        reports_remote_config: true,
        accepts_restart_command: true,
        reports_available_components: true,
      },
      agent: {
        executable: host.executable,
        bootstrap_timeout: '15s',
        config_apply_timeout: '5s',
        ...(Object.keys(host.attributes).length > 0 ? { description: { non_identifying_attributes: host.attributes } } : {}),
      },
      storage: { directory: host.storageDirectory },
    },
    { lineWidth: 0, version: '1.1' },
  );
}
