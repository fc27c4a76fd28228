import type { CheckContext } from '../context.ts';
import { BOTH, type Check, type Section } from '../check.ts';
import { CONNECTION_SETTINGS, featureCheck, reviewCheck } from '../feature.ts';
import { beats, foreignHash } from '../scenario.ts';
import { AGENT, CONFIG_STATUS } from '../wire.ts';

const OFFERS = 'Connection Settings Management';

const settings = (...parameters: readonly [number, Check['level'], string, string]): Check =>
  featureCheck(CONNECTION_SETTINGS, ...parameters);

const checks: readonly Check[] = [
  {
    id: 85,
    level: 'may',
    title: 'Each class of connection settings comes only with its capability',
    clause: OFFERS,
    transports: BOTH,
    needs: [],
    async run(context: CheckContext) {
      const agent = await context.agent({
        capabilities: AGENT.reportsStatus | AGENT.reportsConnectionSettingsStatus,
      });
      await agent.first({
        connectionSettingsStatus: {
          lastConnectionSettingsHash: foreignHash(),
          status: CONFIG_STATUS.applied,
        },
      });
      await beats(agent, 2);
      context.expect(
        agent.received.every((reply) => reply.connectionSettings === undefined),
        'connection settings came for an agent that accepts none',
      );
    },
  },
  settings(86, 'SHOULD', 'The first message names the destination of own telemetry', 'Own Telemetry Reporting'),
  settings(87, 'SHOULD', 'A changed destination of own telemetry is sent', 'Own Telemetry Reporting'),
  settings(88, 'SHOULD', 'An unchanged destination is not sent', 'Own Telemetry Reporting'),
  settings(89, 'MUST', 'A reported settings hash that differs brings the settings', 'ConnectionSettingsStatus'),
  settings(90, 'must', 'The hash covers all settings, parts left out included', 'ConnectionSettingsOffers.hash'),
  settings(91, 'MUST', 'Every OpAMP offer names a ws or http endpoint', 'OpAMPConnectionSettings'),
  settings(92, 'MUST', 'A telemetry endpoint is a complete OTLP/HTTP URL', 'TelemetryConnectionSettings'),
  settings(93, 'MUST', 'A certificate signed by a CA comes with that CA', 'TLSCertificate'),
  settings(94, 'spec', 'Old credentials live until the new ones have worked', 'OpAMP Connection Setting Offer Flow'),
  settings(95, 'MAY', 'Another endpoint can be offered', OFFERS),
  settings(96, 'spec', 'An agent may be let in on trust and get its settings after approval', 'Trust On First Use'),
  settings(97, 'spec', 'A shared credential is exchanged for an individual one at once', 'Registration On First Use'),
  settings(98, 'spec', 'Revoked access ends the connection and refuses the next', 'Revoking Access'),
  settings(99, 'MUST', 'Other destinations hear of a revocation', 'Revoking Access'),
  settings(100, 'spec', 'Issued certificates are trusted where they are used', 'Certificate Generation'),
  settings(101, 'MAY', 'The heartbeat interval is part of the OpAMP offer', 'heartbeat_interval_seconds'),
  reviewCheck(102, 'should', 'No heartbeats are expected without ReportsHeartbeat', 'heartbeat_interval_seconds'),
  settings(103, 'derived', 'Every OpAMP offer repeats the heartbeat interval', 'heartbeat_interval_seconds (Go client)'),
  settings(104, 'derived', 'FAILED with the wanted hash is an answer', 'ConnectionSettingsStatus'),
];

export const a8ConnectionSettings: Section = {
  key: 'A8',
  title: 'Connection settings',
  file: 'a8-connection-settings.ts',
  checks,
};
