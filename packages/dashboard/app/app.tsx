import { lazy, type ReactNode, Suspense, useEffect, useRef, useState, useSyncExternalStore } from 'react';
import { useQueryClient } from '@tanstack/react-query';
import { Link, Redirect, Route, Switch, useLocation } from 'wouter';
import { currentLink, hasToken, onLinkChange, signIn, signOut } from './api/client.ts';
import { Empty, Time } from './parts/basics.tsx';
import { AgentPage } from './pages/agent-page.tsx';
import { AgentsPage } from './pages/agents-page.tsx';
import { FleetPage } from './pages/fleet-page.tsx';
import { RolloutPage } from './pages/rollout-page.tsx';
import { RolloutsPage } from './pages/rollouts-page.tsx';

// The editor is the largest part: only who opens a config loads it.
const ConfigsPage = lazy(async () => ({ default: (await import('./pages/configs-page.tsx')).ConfigsPage }));
const ConfigPage = lazy(async () => ({ default: (await import('./pages/config-page.tsx')).ConfigPage }));

const PAGES = [
  ['/', 'Fleet'],
  ['/agents', 'Agents'],
  ['/configs', 'Configs'],
  ['/rollouts', 'Rollouts'],
] as const;

/** The frame of every page: navigation, the state of the link, and what the address asks for. */
export function App() {
  const link = useSyncExternalStore(onLinkChange, currentLink);
  const [location] = useLocation();
  const main = useRef<HTMLElement>(null);
  const before = useRef(location);

  useEffect(() => {
    const page = PAGES.find(([path]) => (path === '/' ? location === '/' : location.startsWith(path)));
    document.title = `${page?.[1] ?? 'Not found'} · OpAMP fleet`;
    if (before.current !== location) main.current?.focus();
    before.current = location;
  }, [location]);

  if (link.needsToken) return <SignIn wasRefused={link.tokenRefused} />;
  return (
    <>
      <a className="skip" href="#main">
        Skip to the content
      </a>
      <div className="frame">
        <nav aria-label="Pages">
          <span className="brand">
            <span className="brand-mark" aria-hidden="true" />
            OpAMP fleet
          </span>
          <div className="nav-links">
            {PAGES.map(([path, name]) => {
              const isHere = path === '/' ? location === '/' : location.startsWith(path);
              return (
                <Link key={path} href={path} aria-current={isHere ? 'page' : undefined}>
                  {name}
                </Link>
              );
            })}
          </div>
          <div className="nav-foot">
            <ThemeButton />
            {hasToken() ? (
              <button type="button" className="quiet" onClick={signOut}>
                Sign out
              </button>
            ) : null}
          </div>
        </nav>
        <div className="content">
          <LinkMarker />
          <main id="main" ref={main} tabIndex={-1}>
            <Suspense
              fallback={
                <div className="loading" role="status">
                  <span className="skeleton" />
                  <span className="visually-hidden">Loading</span>
                </div>
              }
            >
              <Switch>
                <Route path="/" component={FleetPage} />
                <Route path="/agents" component={AgentsPage} />
                <Route path="/agents/:uid">{({ uid }) => <AgentPage key={uid} uid={uid} />}</Route>
                <Route path="/configs" component={ConfigsPage} />
                <Route path="/configs/:name">{({ name }) => <ConfigPage key={name} name={decodeURIComponent(name)} />}</Route>
                <Route path="/rollouts" component={RolloutsPage} />
                <Route path="/rollouts/:id">{({ id }) => <RolloutPage key={id} id={id} />}</Route>
                <Route path="/index.html">
                  <Redirect to="/" />
                </Route>
                <Route>
                  <Empty title="There is no such page">
                    <Link href="/">Go to the fleet</Link>
                  </Empty>
                </Route>
              </Switch>
            </Suspense>
          </main>
        </div>
      </div>
    </>
  );
}

/** Says when what is shown is old, why, and that it is being tried again. */
function LinkMarker(): ReactNode {
  const { trouble, lastGoodMs } = useSyncExternalStore(onLinkChange, currentLink);
  return (
    <div className="link-marker" role="status" data-trouble={trouble}>
      {trouble === 'none' ? null : (
        <p>
          <span className="pulse" aria-hidden="true" />
          <strong>{trouble === 'network' ? 'The coordinator cannot be reached.' : 'The coordinator cannot reach Redis.'}</strong>{' '}
          {lastGoodMs === 0 ? null : (
            <>
              What you see is as of <Time at={lastGoodMs} clock />.{' '}
            </>
          )}
          Agents keep what they run. Trying again …
        </p>
      )}
    </div>
  );
}

function ThemeButton() {
  const [theme, setTheme] = useState<'light' | 'dark'>(() => (matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light'));
  const other = theme === 'dark' ? 'light' : 'dark';
  return (
    <button
      type="button"
      className="quiet"
      aria-label={`Change to ${other} colours`}
      onClick={() => {
        document.documentElement.dataset['theme'] = other;
        setTheme(other);
      }}
    >
      {theme === 'dark' ? '☀ Light' : '☾ Dark'}
    </button>
  );
}

function SignIn({ wasRefused }: { readonly wasRefused: boolean }) {
  const [token, setToken] = useState('');
  const client = useQueryClient();
  return (
    <main className="sign-in">
      <form
        className="card"
        onSubmit={(event) => {
          event.preventDefault();
          signIn(token.trim());
          void client.resetQueries();
        }}
      >
        <span className="brand-mark" aria-hidden="true" />
        <h1>OpAMP fleet</h1>
        <p className="lead">This coordinator asks for an API token.</p>
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
            This token is not known.
          </p>
        ) : null}
        <p id="token-help" className="muted">
          From the file that OPAMP_API_TOKENS_FILE names. It is kept in the memory of this page only: a reload forgets it.
        </p>
        <button type="submit" className="primary">
          Sign in
        </button>
      </form>
    </main>
  );
}
