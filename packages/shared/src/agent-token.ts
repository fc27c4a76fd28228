import { createHash, randomBytes } from 'node:crypto';

/** What a credential is good for: `agent` connects, `enrolment` is exchanged for an agent token, `certificate` names a client certificate. */
export type AgentTokenKind = 'agent' | 'enrolment' | 'certificate';

/** A stored credential, field `<id>` of the hash `{opamp}:tokens`. The secret itself is stored nowhere. */
export interface AgentToken {
  id: string;
  kind: AgentTokenKind;
  /** For people. */
  name: string;
  /** Hex SHA-256 of the whole token text, or of a certificate in DER form (its fingerprint). */
  hash: string;
  /** Server-side attributes of every agent that connects with it, `label.<name>` in selectors. */
  labels: Record<string, string>;
  /** The only groups that such agents can be in; null = every group. */
  groups: string[] | null;
  createdAtMs: number;
  createdBy: string;
  /** Null = never. */
  expiresAtMs: number | null;
  /** Null = in force. */
  revokedAtMs: number | null;
  /** Id of the enrolment token it was exchanged for. */
  enrolledBy: string | null;
  /** Enrolment tokens only: how often it may be exchanged. */
  maxUses: number | null;
  /** Enrolment tokens only: life of the tokens that it is exchanged for; null = for ever. */
  tokenTtlMs: number | null;
}

const SECRET_BYTES = 32;
const PREFIXES = { agent: 'oat', enrolment: 'oet' } as const;
const TEXT = /^o([ae])t_([0-9a-f]{20})_[A-Za-z0-9_-]{43}$/;
const FINGERPRINT_CHARS_IN_ID = 32;

/** Hex SHA-256. Right for tokens because they are random: there is nothing to guess from a dictionary. */
export function tokenHash(text: string | Uint8Array): string {
  return createHash('sha256').update(text).digest('hex');
}

/** Makes a secret of 256 random bits. The id stands in it, so that it is found by one look-up; ids sort by time of creation. */
export function newAgentToken(kind: 'agent' | 'enrolment', nowMs: number): { id: string; text: string; hash: string } {
  const id = nowMs.toString(16).padStart(12, '0').slice(-12) + randomBytes(4).toString('hex');
  const text = `${PREFIXES[kind]}_${id}_${randomBytes(SECRET_BYTES).toString('base64url')}`;
  return { id, text, hash: tokenHash(text) };
}

/** Kind and id as a token's text states them; undefined when it does not look like one of ours. Proves nothing by itself. */
export function readAgentToken(text: string): { kind: 'agent' | 'enrolment'; id: string } | undefined {
  const match = TEXT.exec(text);
  return match === null ? undefined : { kind: match[1] === 'a' ? 'agent' : 'enrolment', id: match[2] as string };
}

/** When a token's id was made, Unix ms. */
export function tokenTimeMs(id: string): number {
  return Number.parseInt(id.slice(0, 12), 16);
}

/** Id under which a certificate is stored. */
export function certificateId(fingerprint: string): string {
  return `cert-${fingerprint.slice(0, FINGERPRINT_CHARS_IN_ID)}`;
}

/** Text of a stored credential. */
export function formatAgentToken(token: AgentToken): string {
  return JSON.stringify(token);
}

/** Reads the text of {@link formatAgentToken}; fields that this release does not know are kept. */
export function parseAgentToken(text: string): AgentToken {
  return JSON.parse(text) as AgentToken;
}

/** Why a credential is not accepted now, undefined when it is. */
export function tokenProblem(token: Pick<AgentToken, 'revokedAtMs' | 'expiresAtMs'>, nowMs: number): 'revoked' | 'expired' | undefined {
  if (token.revokedAtMs !== null) return 'revoked';
  return token.expiresAtMs !== null && token.expiresAtMs <= nowMs ? 'expired' : undefined;
}

/**
 * Names what a credential allows. An agent's record is bound to the realm that it was first used with: a credential of
 * another realm may not speak for it. Empty = not bound: no labels, every group.
 */
export function realmOf(token: Pick<AgentToken, 'labels' | 'groups'>): string {
  const labels = Object.entries(token.labels).toSorted(([left], [right]) => (left < right ? -1 : 1));
  if (labels.length === 0 && token.groups === null) return '';
  return tokenHash(JSON.stringify([labels, token.groups?.toSorted() ?? null])).slice(0, 16);
}
