import { useEffect, useRef, useState } from 'react';
import { useQueryClient } from '@tanstack/react-query';
import { useLocation } from 'wouter';
import { useSignInWays } from '../api/access.ts';
import { call, signIn } from '../api/client.ts';
import { Answer } from '../parts/basics.tsx';
import type { OidcClient } from './oidc.ts';

/** Asks who is looking, in the ways that the coordinator takes. */
export function SignIn({ wasRefused }: { readonly wasRefused: boolean }) {
  const ways = useSignInWays();
  return (
    <main className="sign-in">
      <div className="card">
        <span className="brand-mark" aria-hidden="true" />
        <h1>OpAMP fleet</h1>
        <Answer query={ways}>
          {({ token, oidc }) => (
            <>
              {oidc === null ? null : <OidcButton client={oidc} />}
              {oidc !== null && token ? <p className="or">or</p> : null}
              {token ? <TokenForm wasRefused={wasRefused} isFirst={oidc === null} /> : null}
              <p className="muted">Kept in the memory of this page only: a reload forgets it.</p>
            </>
          )}
        </Answer>
      </div>
    </main>
  );
}

function TokenForm({ wasRefused, isFirst }: { readonly wasRefused: boolean; readonly isFirst: boolean }) {
  const [token, setToken] = useState('');
  const client = useQueryClient();
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        signIn(token.trim());
        void client.resetQueries();
      }}
    >
      <label htmlFor="token">API token</label>
      <input
        id="token"
        type="password"
        value={token}
        autoComplete="off"
        required
        aria-describedby="token-help"
        onChange={(event) => setToken(event.target.value)}
      />
      {wasRefused ? (
        <p className="problem" role="alert">
          This token is not known, or has expired.
        </p>
      ) : null}
      <p id="token-help" className="muted">
        One from the file that OPAMP_API_TOKENS_FILE names.
      </p>
      <button type="submit" className={isFirst ? 'primary' : ''}>
        Sign in
      </button>
    </form>
  );
}

function OidcButton({ client }: { readonly client: OidcClient }) {
  const [state, setState] = useState<'idle' | 'going' | Error>('idle');
  const go = async (): Promise<void> => {
    setState('going');
    try {
      const { beginSignIn } = await import('./oidc.ts');
      await beginSignIn(client);
    } catch (error) {
      setState(error as Error);
    }
  };
  return (
    <>
      <button type="button" className="primary" disabled={state === 'going'} onClick={() => void go()}>
        {state === 'going' ? 'Going there …' : `Sign in with ${new URL(client.issuer).host}`}
      </button>
      {state instanceof Error ? (
        <p className="problem" role="alert">
          The issuer cannot be used: {state.message}
        </p>
      ) : null}
    </>
  );
}

/** Where the issuer sends people back to: turns the code into a token and goes on to the page that was asked for. */
export function SignedIn() {
  const ways = useSignInWays();
  const [, go] = useLocation();
  const queries = useQueryClient();
  const [error, setError] = useState<Error>();
  const begun = useRef(false);
  const client = ways.data?.oidc ?? null;

  useEffect(() => {
    if (client === null || begun.current) return;
    begun.current = true;
    const finish = async (): Promise<void> => {
      const { finishSignIn } = await import('./oidc.ts');
      const { tokens, path } = await finishSignIn(client);
      await useOneOf(tokens);
      await queries.resetQueries();
      go(path, { replace: true });
    };
    finish().catch((problem: unknown) => setError(problem as Error));
  }, [client, go, queries]);

  return (
    <main className="sign-in">
      <div className="card">
        <span className="brand-mark" aria-hidden="true" />
        <h1>OpAMP fleet</h1>
        {error !== undefined || (ways.data !== undefined && client === null) ? (
          <>
            <p className="problem" role="alert">
              Signing in did not work: {error?.message ?? 'this coordinator has no issuer'}.
            </p>
            <a className="button primary" href="/">
              Try again
            </a>
          </>
        ) : (
          <p className="lead" role="status">
            Signing in …
          </p>
        )}
      </div>
    </main>
  );
}

/** Uses the first token that the API takes: which of them it wants depends on the audience that it was given. */
async function useOneOf(tokens: readonly string[]): Promise<void> {
  let refused: unknown = new Error('the issuer sent no token');
  for (const token of tokens) {
    signIn(token);
    try {
      await call('/me');
      return;
    } catch (problem) {
      refused = problem;
    }
  }
  throw refused;
}
