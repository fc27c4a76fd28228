import type { GatewayDirectory } from '../bus/gateway-directory.ts';
import type { Logger } from '@opamp-gateway/shared/logger';
import type { Tracer } from '@opamp-gateway/shared/tracing';
import type { HistoryMinute } from '@opamp-gateway/shared/redis/fleet-scripts';
import type { AlertService } from '../alerts/ports.ts';
import type { OidcVerifier } from '../access/oidc.ts';
import type { AgentReader } from '../bus/agent-reader.ts';
import type { CommandBus } from '../bus/command-bus.ts';
import type { RolloutService } from '../rollout/service.ts';
import type { AgentTokenStore } from '../stores/agent-token-store.ts';
import type { BackupStore } from '../stores/backup/backup-store.ts';
import type { AuditLog } from '../stores/audit-log.ts';
import type { ConfigStore } from '../stores/config-store.ts';
import type { GroupStore } from '../stores/group-store.ts';
import type { TokenFile } from '../stores/token-file.ts';
import type { ComponentType } from '../validation/component-set.ts';
import type { Finding } from '../validation/finding.ts';
import type { ValidationPolicy } from '../validation/validation-context.ts';

/**
 * Checks the files of a collector config, merged as an agent does; `components` are the types they define, `unchecked` the paths of
 * components whose settings it knows nothing about, `omitted` counts findings that there was no room for. Pure.
 */
export type ConfigValidator = (
  files: Readonly<Record<string, string>>,
  options?: { policy?: ValidationPolicy },
) => { findings: readonly Finding[]; components: readonly ComponentType[]; unchecked: readonly string[]; omitted: number };

/** A gateway as the directory lists it. */
export interface GatewayEntry {
  id: string;
  address: string;
  version: string;
  draining: boolean;
  /** False once the lease has ended and the coordinators have not swept it yet. */
  alive: boolean;
  /** Redis time, Unix milliseconds. */
  leaseEndsAtMs: number;
  /** `<generation>:<contentHash>` of the spec that all its sessions follow. */
  observed: string;
  backlog: Record<string, number>;
  connected: number;
  unhealthy: number;
  startedAtMs: number;
}

/** Lists the gateways that hold, or lately held, a lease. */
export interface GatewayLister {
  list(): Promise<readonly GatewayEntry[]>;
  tell: GatewayDirectory['tell'];
}

/** The last day of the fleet; see `bus/fleet-history.ts`. */
export interface HistoryReader {
  read(): Promise<{ nowMs: number; minutes: readonly HistoryMinute[] }>;
}

/** What the routes work with. */
export interface ApiDependencies {
  configs: ConfigStore;
  groups: GroupStore;
  audit: AuditLog;
  backups: BackupStore;
  agents: AgentReader;
  commands: CommandBus;
  rollouts: RolloutService;
  /** Credentials of agents. */
  agentTokens: AgentTokenStore;
  /** Where agents reach the gateways, and the authority they know them by; undefined = nobody has said. */
  publicEndpoint: { url: string; caPem: string | undefined } | undefined;
  gateways: GatewayLister;
  history: HistoryReader;
  alerts: AlertService;
  validate: ConfigValidator;
  logger: Logger;
  /** Makes a span of every request that changes something. */
  tracer?: Tracer;
  /** Undefined: no API tokens. Without an issuer either, only this machine may call. */
  tokens: TokenFile | undefined;
  /** Undefined: no single sign-on. */
  oidc?: OidcVerifier | undefined;
  /** Requests per second of one credential, ten times as many at once; 0 or none = no limit. */
  requestsPerSecond?: number;
  /** Networks of load balancers that are believed when they say who called; none = nobody is. */
  trustedProxies?: readonly string[];
  /** Called for every request whose credential is missing or not good. */
  onAuthFailure?(): void;
  /** Called once for every answer. */
  onAnswer?(request: { method: string; route: string; status: number; seconds: number; actor: string; requestId: string }): void;
}
