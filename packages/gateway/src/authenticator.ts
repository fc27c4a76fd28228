import { timingSafeEqual, X509Certificate } from 'node:crypto';
import { certificateId, readAgentToken, tokenHash, tokenProblem } from '@opamp-gateway/shared/agent-token';
import type { AgentToken } from '@opamp-gateway/shared/agent-token';
import { ANYBODY, plainPrincipal, principalOf } from './principal.ts';
import type { AuthVerdict, Credentials, Principal } from './principal.ts';

/** Where stored credentials are found. */
export interface TokenSource {
  /** As it is held here; null = it is known that there is none, undefined = ask. */
  cached(id: string): AgentToken | null | undefined;
  /** Rejects when the store cannot be asked now. */
  load(id: string): Promise<AgentToken | null>;
  /** The credential was presented and accepted. */
  used(id: string): void;
}

/** A token from a file: hash in hex, and how logs and records call it. */
export interface StaticToken {
  readonly id: string;
  readonly hash: string;
}

export interface AuthenticatorOptions {
  mode: 'none' | 'token' | 'mtls';
  staticTokens(): readonly StaticToken[];
  tokens: TokenSource;
  /** Certificates that may sign those of agents; they check what a proxy hands on. Empty = the proxy is believed. */
  clientCas(): readonly X509Certificate[];
  nowMs(): number;
}

/** Says who connects, before the upgrade. Answers at once when it can; else it has to ask the store. */
export class Authenticator {
  readonly #options: AuthenticatorOptions;

  constructor(options: AuthenticatorOptions) {
    this.#options = options;
  }

  /** Rejects when the store has to be asked and cannot be. */
  check(credentials: Credentials): AuthVerdict | Promise<AuthVerdict> {
    switch (this.#options.mode) {
      case 'none':
        return { ok: true, principal: ANYBODY };
      case 'token':
        return this.#checkToken(credentials.authorization);
      case 'mtls':
        return this.#checkCertificate(credentials);
    }
  }

  #checkToken(authorization: string): AuthVerdict | Promise<AuthVerdict> {
    const text = /^bearer\s+(\S+)\s*$/i.exec(authorization)?.[1];
    if (text === undefined) return refused('no_token');
    const hash = tokenHash(text);
    let found: Principal | undefined;
    // Every entry is compared, so that the time taken says nothing about which one matched.
    for (const known of this.#options.staticTokens()) if (sameHash(known.hash, hash)) found ??= plainPrincipal(known.id);
    if (found !== undefined) return { ok: true, principal: found };
    const read = readAgentToken(text);
    if (read?.kind !== 'agent') return refused('unknown_token');
    return this.#withStored(read.id, (token) => {
      if (token === null || token.kind !== 'agent' || !sameHash(token.hash, hash)) return refused('unknown_token');
      return this.#judge(token, principalOf(token));
    });
  }

  #checkCertificate({ certificate, forwarded }: Credentials): AuthVerdict | Promise<AuthVerdict> {
    if (certificate === '') return refused('no_certificate');
    let parsed: X509Certificate;
    try {
      parsed = new X509Certificate(certificate);
    } catch {
      return refused('bad_certificate');
    }
    const now = this.#options.nowMs();
    const endMs = Date.parse(parsed.validTo);
    if (endMs <= now) return refused('certificate_expired');
    if (Date.parse(parsed.validFrom) > now) return refused('certificate_not_yet_valid');
    const cas = forwarded ? this.#options.clientCas() : [];
    if (cas.length > 0 && !cas.some((ca) => parsed.checkIssued(ca) && parsed.verify(ca.publicKey)))
      return refused('certificate_of_another_ca');
    const fingerprint = parsed.fingerprint256.replaceAll(':', '').toLowerCase();
    const id = certificateId(fingerprint);
    return this.#withStored(id, (token) => {
      // Who is not listed is whoever the authority says, without labels.
      if (token === null || token.hash !== fingerprint) return { ok: true, principal: plainPrincipal(id, endMs) };
      return this.#judge(token, principalOf(token, endMs));
    });
  }

  #withStored(id: string, judge: (token: AgentToken | null) => AuthVerdict): AuthVerdict | Promise<AuthVerdict> {
    const cached = this.#options.tokens.cached(id);
    return cached === undefined ? this.#options.tokens.load(id).then(judge) : judge(cached);
  }

  #judge(token: AgentToken, principal: Principal): AuthVerdict {
    const problem = tokenProblem(token, this.#options.nowMs());
    if (problem !== undefined) return refused(`${token.kind === 'certificate' ? 'certificate' : 'token'}_${problem}`);
    this.#options.tokens.used(token.id);
    return { ok: true, principal };
  }
}

function refused(reason: string): AuthVerdict {
  return { ok: false, reason };
}

function sameHash(left: string, right: string): boolean {
  return left.length === right.length && timingSafeEqual(Buffer.from(left), Buffer.from(right));
}
