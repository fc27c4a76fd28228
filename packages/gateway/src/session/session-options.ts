import type { Clock } from '@opamp-gateway/shared/clock';
import type { GatewayEvents } from '../events.ts';
import type { AgentRecords, ComponentStore, SessionWriter, SpecSource } from './ports.ts';

/** What the sessions of a gateway are told. */
export interface SessionManagerOptions {
  gatewayId: string;
  clock: Clock;
  events: GatewayEvents;
  spec: SpecSource;
  records: AgentRecords;
  writer: SessionWriter;
  components: ComponentStore;
  maxMessageBytes: number;
  offerRate: number;
  windowOffers: number;
  windowBytes: number;
  fullStateRate: number;
  fullStateIntervalMs: number;
  heartbeatIntervalMs: number;
  degradedAfterMs: number;
  retryAfterMs: number;
  keepEffective: boolean;
  customCapabilities: readonly string[];
  mayOffer(): boolean;
  liveGateways(): number;
  /** True while this gateway sends its agents away. */
  draining(): boolean;
  /** A custom message came in for one of our capabilities. */
  onCustomMessage(uid: string, message: { capability: string; type: string; data: Uint8Array }): void;
}
