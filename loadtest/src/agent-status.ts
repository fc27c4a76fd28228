/** Statuses of remote configs as a simulated supervisor keeps and words them. */
import { create, toBinary } from '@bufbuild/protobuf';
import { RemoteConfigStatuses, RemoteConfigStatusSchema } from '@opamp-gateway/proto/opamp';
import type { FailureRule } from './agent-profile.ts';
import type { StatusName } from './agent-record.ts';
import type { SimConfig } from './sim-config.ts';

/** Error texts of a real supervisor. */
export const SUPERVISOR_ERRORS = {
  crash: 'Agent exited unexpectedly with exit code 1 while applying configuration',
  timeout: 'Config apply timeout exceeded',
  merge: 'could not merge remote config: yaml: line 1: did not find expected node content',
  validation: 'configuration validation failed: exit status 1',
  unhealthy: 'exporter "otlp_grpc/primary": connection refused',
} as const;

const EMPTY = new Uint8Array(0);

const NAMES: Readonly<Record<number, StatusName>> = {
  [RemoteConfigStatuses.RemoteConfigStatuses_UNSET]: 'UNSET',
  [RemoteConfigStatuses.RemoteConfigStatuses_APPLIED]: 'APPLIED',
  [RemoteConfigStatuses.RemoteConfigStatuses_APPLYING]: 'APPLYING',
  [RemoteConfigStatuses.RemoteConfigStatuses_FAILED]: 'FAILED',
};

/** A config on a host, with what it will do there. */
export interface Deployment {
  readonly config: SimConfig;
  readonly rule: FailureRule | undefined;
}

/** What became of a config; without one nothing was ever received. */
export interface ConfigStatus {
  readonly status: RemoteConfigStatuses;
  readonly config: SimConfig | undefined;
  readonly error: string;
}

export const NO_STATUS: ConfigStatus = { status: RemoteConfigStatuses.RemoteConfigStatuses_UNSET, config: undefined, error: '' };

/** Short name of a status. */
export function statusName(status: RemoteConfigStatuses): StatusName {
  return NAMES[status] ?? 'UNSET';
}

export function isSameStatus(left: ConfigStatus, right: ConfigStatus): boolean {
  return left.status === right.status && left.config === right.config && left.error === right.error;
}

/** An encoded RemoteConfigStatus. */
export function encodeStatus({ status, config, error }: ConfigStatus): Uint8Array {
  const message = create(RemoteConfigStatusSchema, { status, errorMessage: error, lastRemoteConfigHash: config?.hash ?? EMPTY });
  return toBinary(RemoteConfigStatusSchema, message);
}

/** Why a supervisor cannot merge what was deployed, or undefined. */
export function mergeErrorOf({ config, rule }: Deployment): string | undefined {
  if (config.mergeError !== undefined) return config.mergeError;
  return rule?.kind === 'merge-error' ? (rule.error ?? SUPERVISOR_ERRORS.merge) : undefined;
}
