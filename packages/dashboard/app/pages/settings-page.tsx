import { Link } from 'wouter';
import { type Permission, useMay, useMe, useSignInWays } from '../api/access.ts';
import { hasToken, signOut } from '../api/client.ts';
import { useFleet } from '../api/queries.ts';
import { Answer, Badge, Card, Facts, PageHead } from '../parts/basics.tsx';
import { Freeze } from '../parts/freeze.tsx';
import { ThemeChoice } from '../parts/theme.tsx';

/** Everything that a role can allow, in the order in which the table shows it. */
const WORDS: readonly (readonly [Permission, string])[] = [
  ['read', 'Look at configs, groups, agents, rollouts, gateways'],
  ['audit.read', 'Read the audit log'],
  ['configs.write', 'Store versions of configs'],
  ['groups.write', 'Change groups'],
  ['agents.write', 'Label, pin and forget agents'],
  ['agents.command', 'Restart agents, send them messages'],
  ['rollouts.write', 'Start rollouts and steer them'],
  ['rollouts.stop', 'Pause and abort rollouts'],
  ['rollouts.approve', 'Approve a wave that waits for it'],
  ['fleet.freeze', 'Freeze the fleet'],
  ['alerts.send', 'Send alerts again, and test ones'],
  ['secrets.reveal', 'See effective configs with their secrets'],
  ['access.manage', 'Manage what agents sign in with'],
];

const KINDS: Readonly<Record<string, string>> = {
  anonymous: 'Nobody asked: this coordinator answers this machine only',
  token: 'By an API token',
  oidc: 'Through the issuer',
};

/** Who is looking, what they may do, and the settings that are theirs to change. */
export function SettingsPage() {
  const me = useMe();
  const may = useMay();
  const fleet = useFleet();
  const ways = useSignInWays();
  return (
    <>
      <PageHead title="Settings" />
      <div className="columns">
        <div className="stack">
          <Card title="You">
            <Answer query={me}>
              {({ name, kind, role, groups }) => (
                <>
                  <Facts
                    facts={[
                      ['Name in the audit log', name],
                      ['Signed in', KINDS[kind] ?? kind],
                      [
                        'Role',
                        <Badge key="role" tone="busy">
                          {role}
                        </Badge>,
                      ],
                      ['Groups', groups.includes('*') ? 'all' : groups.join(', ')],
                    ]}
                  />
                  {hasToken() ? (
                    <div className="card-foot">
                      <button type="button" onClick={signOut}>
                        Sign out
                      </button>
                    </div>
                  ) : null}
                </>
              )}
            </Answer>
          </Card>
          <Card title="Appearance">
            <ThemeChoice />
            <p className="sub">Kept until the page is closed. Times are those of {Intl.DateTimeFormat().resolvedOptions().timeZone}.</p>
          </Card>
          <Card title="The fleet">
            <Answer query={fleet}>
              {(data) => (
                <>
                  <Facts
                    facts={[
                      ['Offers', data.frozen ? <Badge tone="warn">Frozen</Badge> : <Badge tone="good">Going on</Badge>],
                      ['Generation of the fleet spec', data.generation.toLocaleString('en')],
                    ]}
                  />
                  {may('fleet.freeze', 'fleet') ? (
                    <div className="card-foot">
                      <Freeze fleet={data} />
                    </div>
                  ) : null}
                </>
              )}
            </Answer>
          </Card>
          <Card title="How people sign in">
            <Answer query={ways}>
              {({ anonymous, token, oidc }) => (
                <>
                  <Facts
                    facts={[
                      ['API tokens', token ? 'taken' : 'none configured'],
                      ['OpenID Connect', oidc === null ? 'none configured' : oidc.issuer],
                    ]}
                  />
                  {anonymous ? (
                    <p className="sub">Without either, only requests from the coordinator’s own machine are answered, as admin.</p>
                  ) : null}
                  {may('access.manage', 'fleet') ? (
                    <p className="sub">
                      Agents sign in with <Link href="/tokens">tokens of their own</Link>.
                    </p>
                  ) : null}
                </>
              )}
            </Answer>
          </Card>
        </div>
        <div className="stack">
          <Card title="What your role allows">
            <Answer query={me}>
              {({ permissions }) => (
                <ul className="permissions">
                  {WORDS.map(([permission, words]) => {
                    const isAllowed = permissions.includes(permission);
                    return (
                      <li key={permission} className={isAllowed ? '' : 'muted'}>
                        <span className={isAllowed ? 'mark mark-good' : 'mark mark-none'} aria-hidden="true" />
                        <span>{words}</span>
                        <span className="visually-hidden">{isAllowed ? ': yes' : ': no'}</span>
                      </li>
                    );
                  })}
                </ul>
              )}
            </Answer>
          </Card>
          <Card title="For programs">
            <p>
              Everything here goes through the REST API, <a href="/api/v1/openapi.json">described by OpenAPI</a>; <code>opampctl</code> does
              the same from a terminal.
            </p>
          </Card>
        </div>
      </div>
    </>
  );
}
