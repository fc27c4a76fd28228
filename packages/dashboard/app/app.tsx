import { lazy, type ReactNode, Suspense, useEffect, useRef, useState, useSyncExternalStore } from 'react';
import { Link, Redirect, Route, Switch, useLocation } from 'wouter';
import { type Permission, useMay, useMe } from './api/access.ts';
import { currentLink, hasToken, onLinkChange, signOut } from './api/client.ts';
import { Empty, Time } from './parts/basics.tsx';
import { ThemeButton } from './parts/theme.tsx';
import { AgentPage } from './pages/agent-page.tsx';
import { AgentsPage } from './pages/agents-page.tsx';
import { AuditPage } from './pages/audit-page.tsx';
import { FleetPage } from './pages/fleet-page.tsx';
import { GatewaysPage } from './pages/gateways-page.tsx';
import { GroupsPage } from './pages/groups-page.tsx';
import { RolloutPage } from './pages/rollout-page.tsx';
import { RolloutsPage } from './pages/rollouts-page.tsx';
import { SettingsPage } from './pages/settings-page.tsx';
import { TokensPage } from './pages/tokens-page.tsx';
import { SignedIn, SignIn } from './sign-in/sign-in.tsx';

// The editor is the largest part: only who opens a config loads it.
const ConfigsPage = lazy(async () => ({ default: (await import('./pages/configs-page.tsx')).ConfigsPage }));
const ConfigPage = lazy(async () => ({ default: (await import('./pages/config-page.tsx')).ConfigPage }));

/** Pages by what is looked for there; a page that the role may not read is not offered. */
const SECTIONS: readonly {
  readonly title: string;
  readonly pages: readonly (readonly [path: string, name: string, needs?: Permission])[];
}[] = [
  {
    title: 'Fleet',
    pages: [
      ['/', 'Fleet'],
      ['/agents', 'Agents'],
      ['/groups', 'Groups'],
      ['/gateways', 'Gateways'],
    ],
  },
  {
    title: 'Change',
    pages: [
      ['/configs', 'Configs'],
      ['/rollouts', 'Rollouts'],
    ],
  },
  {
    title: 'Administration',
    pages: [
      ['/audit', 'Audit', 'audit.read'],
      ['/tokens', 'Tokens', 'access.manage'],
      ['/settings', 'Settings'],
    ],
  },
];
const PAGES = SECTIONS.flatMap(({ pages }) => pages);

const isAt = (location: string, path: string): boolean => (path === '/' ? location === '/' : location.startsWith(path));

/** The frame of every page: navigation, the state of the link, and what the address asks for. */
export function App() {
  const link = useSyncExternalStore(onLinkChange, currentLink);
  const [location] = useLocation();
  const may = useMay();
  const main = useRef<HTMLElement>(null);
  const before = useRef(location);
  const [isMenuOpen, setMenuOpen] = useState(false);

  useEffect(() => {
    const page = PAGES.find(([path]) => isAt(location, path));
    document.title = `${page?.[1] ?? 'Not found'} · OpAMP fleet`;
    if (before.current !== location) main.current?.focus();
    setMenuOpen(false);
    before.current = location;
  }, [location]);

  if (location === '/signed-in') return <SignedIn />;
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
          <div id="pages" className={isMenuOpen ? 'nav-links is-open' : 'nav-links'}>
            {SECTIONS.map(({ title, pages }) => (
              <div key={title} className="nav-section">
                <span className="nav-title" aria-hidden="true">
                  {title}
                </span>
                {pages.map(([path, name, needs]) =>
                  needs !== undefined && !may(needs, needs === 'audit.read' ? 'shared' : 'fleet') ? null : (
                    <Link key={path} href={path} aria-current={isAt(location, path) ? 'page' : undefined}>
                      {name}
                    </Link>
                  ),
                )}
              </div>
            ))}
          </div>
          <div className="nav-foot">
            <Who />
            <ThemeButton />
            <button
              type="button"
              className="menu-button"
              aria-expanded={isMenuOpen}
              aria-controls="pages"
              onClick={() => setMenuOpen(!isMenuOpen)}
            >
              Menu
            </button>
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
                <Route path="/groups" component={GroupsPage} />
                <Route path="/gateways" component={GatewaysPage} />
                <Route path="/audit" component={AuditPage} />
                <Route path="/tokens" component={TokensPage} />
                <Route path="/settings" component={SettingsPage} />
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

/** Who the API takes the viewer for, and as what. */
function Who() {
  const me = useMe().data;
  if (me === undefined || me.kind === 'anonymous') return null;
  return (
    <Link href="/settings" className="who" title={`Signed in as ${me.name}, ${me.role}`}>
      <span className="who-name">{me.name}</span>
      <span className="sub">{me.role}</span>
    </Link>
  );
}
