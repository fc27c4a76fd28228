/** The gateway's hot functions, from its build: no package may import a process, so they are found by path, and typed here as far as they are called. */
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Desired, DesiredInput, FailedHash, FleetSpec, Pin } from '@opamp-gateway/shared/fleet-spec';
import type { Row } from '@opamp-gateway/shared/rollout-types';
import { REPOSITORY } from '../demo/config.ts';

/** What the reconciler reads of an agent. */
export interface ReconcileState {
  readonly capabilities: bigint;
  readonly healthy: boolean;
  readonly reportedHash: string;
  readonly reportedStatus: string;
  readonly offered: string;
  readonly offerAnswered: boolean;
  readonly offeredFor: FailedHash | undefined;
  readonly failed: Map<string, FailedHash>;
  readonly rows: Map<string, Row>;
  readonly pin: Pin | null;
}

/** What is read of a session when a boundary moves. */
export interface CarriedSession {
  readonly shape: string;
  readonly desired: Desired;
  readonly record: ReconcileState;
  readonly offer: undefined;
  readonly waiting: undefined;
  readonly awaitingReportUntilMs: number;
  readonly desiredInput: DesiredInput;
}

interface GatewayCode {
  carriedOver(session: CarriedSession, spec: FleetSpec): Desired | undefined;
  shapeOf(spec: FleetSpec): string;
  decodeWebSocketMessage(bytes: Uint8Array): { readonly ok: boolean };
  reconcile(spec: FleetSpec, state: ReconcileState, wanted: Desired): { readonly offer: unknown };
}

/** Loads them. Rejects when the gateway has not been built. */
export async function loadGatewayCode(): Promise<GatewayCode> {
  const load = async (file: string): Promise<Partial<GatewayCode>> =>
    (await import(pathToFileURL(join(REPOSITORY, 'packages', 'gateway', 'dist', file)).href)) as Partial<GatewayCode>;
  const { decodeWebSocketMessage } = await load('protocol/codec.js');
  const { reconcile } = await load('reconciler/reconcile.js');
  const { carriedOver, shapeOf } = await load('session/carried-over.js');
  if (carriedOver === undefined || decodeWebSocketMessage === undefined || reconcile === undefined || shapeOf === undefined)
    throw new Error('the build of the gateway does not fit this bench');
  return { carriedOver, decodeWebSocketMessage, reconcile, shapeOf };
}
