import { realmOf } from '@opamp-gateway/shared/agent-token';
import type { AgentToken } from '@opamp-gateway/shared/agent-token';

/** Who connects: what its credential says, and nothing that it says itself. */
export interface Principal {
  /** Id of the credential, '' when none is asked for. */
  readonly id: string;
  readonly labels: Readonly<Record<string, string>>;
  /** The only groups its agents can be in; null = every group. */
  readonly groups: readonly string[] | null;
  /** Records are bound to it, see `realmOf`. */
  readonly realm: string;
  /** Time at which its connections are closed. */
  readonly expiresAtMs: number;
  /** End of the client certificate, whatever is stored about it. */
  readonly certificateEndMs: number;
}

/** Everybody, where no authentication is asked for. */
export const ANYBODY: Principal = plainPrincipal('');

/** A principal without labels that may be in every group. */
export function plainPrincipal(id: string, endMs = Number.POSITIVE_INFINITY): Principal {
  return { id, labels: {}, groups: null, realm: '', expiresAtMs: endMs, certificateEndMs: endMs };
}

/** What a stored credential makes of its bearer. */
export function principalOf(token: AgentToken, certificateEndMs = Number.POSITIVE_INFINITY): Principal {
  return {
    id: token.id,
    labels: token.labels,
    groups: token.groups,
    realm: realmOf(token),
    expiresAtMs: Math.min(token.expiresAtMs ?? Number.POSITIVE_INFINITY, certificateEndMs),
    certificateEndMs,
  };
}

/** What a connection shows. */
export interface Credentials {
  /** Header `Authorization`. */
  readonly authorization: string;
  /** Client certificate as PEM, '' when there is none. */
  readonly certificate: string;
  /** True when a proxy handed the certificate on, so that nobody here has checked its chain yet. */
  readonly forwarded: boolean;
}

/** Verdict on credentials. */
export type AuthVerdict = { ok: true; principal: Principal } | { ok: false; reason: string };
