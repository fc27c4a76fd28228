import { errors, jwtVerify } from 'jose';
import type { JWTPayload } from 'jose';
import { createOidcKeys } from './oidc-keys.ts';
import type { OidcKeys } from './oidc-keys.ts';
import { isRole, ROLES, toScope } from './roles.ts';
import type { Grant, Role, Scope } from './roles.ts';

/** Signature algorithms that may be allowed. None with a shared secret: who can check such a token can also make one. */
export const OIDC_ALGORITHMS = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA'] as const;

/** How tokens of an OpenID Connect issuer are read. */
export interface OidcSettings {
  /** URL, exactly as the issuer names itself. */
  readonly issuer: string;
  /** What must stand in `aud`. */
  readonly audience: string;
  /** Id of the public client as which the dashboard signs people in. */
  readonly clientId: string;
  readonly scopes: readonly string[];
  /** Claim of the actor's name. */
  readonly nameClaim: string;
  /** Claim of the roles; dots lead into objects. */
  readonly roleClaim: string;
  /** Role by what stands in that claim. */
  readonly roles: ReadonlyMap<string, Role>;
  /** Claim of the groups; undefined: everybody is for all groups. */
  readonly groupsClaim: string | undefined;
  readonly algorithms: readonly string[];
  readonly clockSkewSeconds: number;
}

/** What a token turned out to be. */
export type OidcVerdict =
  | { kind: 'ok'; holder: Grant & { readonly name: string } }
  /** It is not valid; `detail` says why. */
  | { kind: 'refused'; detail: string }
  /** It is valid, but gives its holder no role here. */
  | { kind: 'no-role'; name: string; detail: string };

/** Checks tokens of one issuer. */
export interface OidcVerifier {
  readonly settings: OidcSettings;
  /** Rejects with IssuerUnavailable when the keys of the issuer are needed and cannot be had. */
  verify(token: string): Promise<OidcVerdict>;
  /** Origins that a browser talks to when it signs somebody in. */
  origins(): string[];
  /** Fetches the keys ahead of the first token. Rejects with IssuerUnavailable. */
  prepare(): Promise<void>;
}

/** Most groups that are taken from one token. */
const MAX_GROUPS = 1000;

const NAME = /^[\x21-\x7e][\x20-\x7e]{0,127}$/;
const GROUP = /^(?:\*|[A-Za-z0-9][A-Za-z0-9._-]{0,62})$/;

/** Names that the coordinator itself writes into the audit log; nobody may call themselves so. */
const RESERVED = /^(?:system|anonymous|queue\/.*)$/i;

/** True for what has the form of a signed JWT. [RFC 7515 section 3.1] */
export function looksLikeJwt(token: string): boolean {
  return /^eyJ[\w-]*\.[\w-]+\.[\w-]*$/.test(token);
}

/** Builds the verifier of one issuer. Opens nothing before the first token, or `prepare`. */
export function createOidcVerifier(settings: OidcSettings, options: { keys?: OidcKeys; now?: () => number } = {}): OidcVerifier {
  const now = options.now ?? Date.now;
  const keys = options.keys ?? createOidcKeys({ issuer: settings.issuer, now });

  return {
    settings,
    prepare: () => keys.refresh(),
    origins: () => {
      const endpoints = [settings.issuer, keys.tokenEndpoint() ?? settings.issuer];
      return [...new Set(endpoints.map((url) => new URL(url).origin))];
    },
    async verify(token) {
      let payload: JWTPayload;
      try {
        ({ payload } = await jwtVerify(token, keys.find, {
          issuer: settings.issuer,
          audience: settings.audience,
          algorithms: [...settings.algorithms],
          clockTolerance: settings.clockSkewSeconds,
          requiredClaims: ['exp', 'sub'],
          currentDate: new Date(now()),
        }));
      } catch (error) {
        if (error instanceof errors.JOSEError) return { kind: 'refused', detail: reasonOf(error, settings) };
        throw error;
      }
      return toVerdict(payload, settings);
    },
  };
}

/** Who a valid token is, and what it gives them. */
function toVerdict(payload: JWTPayload, settings: OidcSettings): OidcVerdict {
  const name = claimAt(payload, settings.nameClaim);
  if (typeof name !== 'string' || !NAME.test(name) || RESERVED.test(name))
    return { kind: 'refused', detail: `the claim ${settings.nameClaim} of the token has no usable name` };
  const found = textsIn(claimAt(payload, settings.roleClaim)).flatMap((text) => settings.roles.get(text) ?? []);
  const [role, ...also] = ROLES.filter((known) => found.includes(known)).toReversed();
  if (role === undefined)
    return { kind: 'no-role', name, detail: `the claim ${settings.roleClaim} of the token of ${name} names no role that counts here` };
  return { kind: 'ok', holder: { name, role, also, scope: scopeOf(payload, settings) } };
}

/** Without the claim nobody's groups are known, and the holder is for none. */
function scopeOf(payload: JWTPayload, { groupsClaim }: OidcSettings): Scope {
  if (groupsClaim === undefined) return '*';
  return toScope(
    textsIn(claimAt(payload, groupsClaim))
      .filter((text) => GROUP.test(text))
      .slice(0, MAX_GROUPS),
  );
}

/** The claim of that name, or else what the parts of the name lead to. */
function claimAt(payload: JWTPayload, path: string): unknown {
  if (Object.hasOwn(payload, path)) return payload[path];
  return path.split('.').reduce<unknown>((at, part) => (isObject(at) && Object.hasOwn(at, part) ? at[part] : undefined), payload);
}

/** A list of texts, or one text with words in it. */
function textsIn(value: unknown): string[] {
  if (typeof value === 'string') return value.split(/[\s,]+/).filter((text) => text !== '');
  return Array.isArray(value) ? value.filter((text): text is string => typeof text === 'string') : [];
}

function reasonOf(error: errors.JOSEError, { issuer, audience, algorithms }: OidcSettings): string {
  if (error instanceof errors.JWTExpired) return 'the token has expired';
  if (error instanceof errors.JWTClaimValidationFailed) {
    switch (error.claim) {
      case 'aud':
        return `the token is for another audience than ${audience}`;
      case 'iss':
        return `the token is of another issuer than ${issuer}`;
      case 'nbf':
        return 'the token is not valid yet';
      default:
        return `the claim ${error.claim} of the token is missing or not valid`;
    }
  }
  if (error instanceof errors.JOSEAlgNotAllowed) return `the token is not signed with one of ${algorithms.join(', ')}`;
  if (error instanceof errors.JWKSNoMatchingKey || error instanceof errors.JWKSMultipleMatchingKeys)
    return 'the token is signed with a key that the issuer does not publish';
  if (error instanceof errors.JWSSignatureVerificationFailed) return 'the signature of the token is wrong';
  return 'the token is no valid JWT';
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

/** Reads `value=role,…`; an empty list stands for the names of the roles. Throws an Error that says which entry is wrong. */
export function parseRoleMap(entries: readonly string[]): Map<string, Role> {
  if (entries.length === 0) return new Map(ROLES.map((role) => [role, role]));
  return new Map(
    entries.map((entry) => {
      const at = entry.lastIndexOf('=');
      const role = entry.slice(at + 1).trim();
      if (at < 1 || !isRole(role)) throw new Error(`expected value=role with a role of ${ROLES.join(', ')}, got ${JSON.stringify(entry)}`);
      return [entry.slice(0, at).trim(), role] as const;
    }),
  );
}
