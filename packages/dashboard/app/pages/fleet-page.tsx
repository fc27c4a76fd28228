import { useState } from 'react';
import { Link, useLocation } from 'wouter';
import { useMay } from '../api/access.ts';
import { queryText } from '../api/client.ts';
import { useAbilities, useDrift, useFleet, useGateways, useGroups, useHistory, useRollouts } from '../api/queries.ts';
import type { Fleet, Gateway, Group } from '../api/types.ts';
import { Answer, Badge, Card, Empty, PageHead, Time } from '../parts/basics.tsx';
import { Freeze } from '../parts/freeze.tsx';
import { HistoryChart } from '../parts/history-chart.tsx';
import { CountBars, StatusBar } from '../parts/status-bar.tsx';
import { agentsText, configText, numberText, sumOf, wordOf } from '../words.ts';
import { GatewayState } from './gateways-page.tsx';
import { membersOf } from './waves.tsx';

const GATEWAYS_SHOWN = 5;

/** The whole fleet at a glance. */
export function FleetPage() {
  const fleet = useFleet();
  const may = useMay();
  return (
    <>
      <PageHead title="Fleet" lead={fleet.data === undefined ? undefined : <FleetLead fleet={fleet.data} />}>
        {fleet.data !== undefined && may('fleet.freeze', 'fleet') ? <Freeze fleet={fleet.data} /> : null}
      </PageHead>
      <AgentSearch />
      <Answer query={fleet}>
        {(data) => (
          <>
            {data.frozen ? (
              <p className="notice tone-warn">
                <strong>The fleet is frozen.</strong> Nobody is offered a new config; rollbacks and take-backs go on.
              </p>
            ) : null}
            <Numbers fleet={data} />
            <ActiveRollouts fleet={data} />
            <Connections />
            <div className="columns">
              <div className="stack">
                <Card title="Groups" aside={<Link href="/groups">All groups</Link>}>
                  <Groups />
                </Card>
                <Card title="Against what is desired">
                  <CountBars
                    counts={data.agents.sync}
                    total={data.agents.connected}
                    nameOf={(value) => wordOf('sync', value).text}
                    toneOf={(value) => wordOf('sync', value).tone}
                    linkOf={(value) => `/agents${queryText({ sync: value, connected: 'true' })}`}
                  />
                </Card>
                <Card title="Effective configs, compared by meaning">
                  <DriftReport />
                </Card>
              </div>
              <div className="stack">
                <Card title="Gateways" aside={<Link href="/gateways">All gateways</Link>}>
                  <Gateways />
                </Card>
                <Card title="What agents say of their config">
                  <CountBars
                    counts={data.agents.status}
                    total={data.agents.connected}
                    nameOf={(value) => wordOf('config', value).text}
                    toneOf={(value) => wordOf('config', value).tone}
                    linkOf={(value) => `/agents${queryText({ status: value, connected: 'true' })}`}
                  />
                </Card>
                <Card title="Versions of connected agents">
                  <CountBars
                    counts={data.agents.versions}
                    total={data.agents.connected}
                    linkOf={(value) => (value === '' ? '/agents' : `/agents${queryText({ selector: `service.version=${value}` })}`)}
                  />
                </Card>
                <Card title="What connected agents can do">
                  <AbilityReport />
                </Card>
              </div>
            </div>
          </>
        )}
      </Answer>
    </>
  );
}

/** The last day, from what the coordinators noted by the minute. */
function Connections() {
  return (
    <Card title="Connections over the last day" aside={<span className="muted">the worst of every five minutes</span>}>
      <Answer query={useHistory(false)}>
        {(history) => (
          <HistoryChart
            history={history}
            lines={[
              { label: 'connected', color: 'accent', values: history.connected, isFilled: true },
              { label: 'unhealthy', color: 'bad', values: history.unhealthy },
            ]}
          />
        )}
      </Answer>
    </Card>
  );
}

function FleetLead({ fleet }: { readonly fleet: Fleet }) {
  const { agents, gateways } = fleet;
  return (
    <>
      {agentsText(agents.total)} known, {numberText(agents.connected)} connected through {gateways.alive}{' '}
      {gateways.alive === 1 ? 'gateway' : 'gateways'}
      {gateways.draining > 0 ? `, ${gateways.draining} going down` : ''}
    </>
  );
}

const UID = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/i;

function AgentSearch() {
  const [text, setText] = useState('');
  const [, go] = useLocation();
  return (
    <form
      className="search"
      role="search"
      onSubmit={(event) => {
        event.preventDefault();
        const wanted = text.trim();
        go(UID.test(wanted) ? `/agents/${wanted.toLowerCase()}` : `/agents${queryText({ selector: wanted })}`);
      }}
    >
      <label htmlFor="search" className="visually-hidden">
        Find agents
      </label>
      <input
        id="search"
        type="search"
        value={text}
        placeholder="Find agents: env=prod, host.name in (a,b), !label.hold, or a uid"
        spellCheck={false}
        autoComplete="off"
        onChange={(event) => setText(event.target.value)}
      />
      <button type="submit" className="primary">
        Find
      </button>
    </form>
  );
}

function Numbers({ fleet }: { readonly fleet: Fleet }) {
  const { connected, away, health, status, sync } = fleet.agents;
  const numbers = [
    ['Connected', connected, '/agents?connected=true', 'accent'],
    ['Healthy', health['healthy'] ?? 0, '/agents?health=healthy&connected=true', 'good'],
    ['Unhealthy', health['unhealthy'] ?? 0, '/agents?health=unhealthy&connected=true', 'bad'],
    ['Config failed', status['failed'] ?? 0, '/agents?status=failed&connected=true', 'bad'],
    ['Drifted', sync['drifted'] ?? 0, '/agents?sync=drifted&connected=true', 'warn'],
    ['Unverified', sync['unverified'] ?? 0, '/agents?sync=unverified&connected=true', 'idle'],
    ['Away', away, '/agents?connected=false', 'idle'],
  ] as const;
  return (
    <ul className="numbers">
      {numbers.map(([name, value, href, tone]) => (
        <li key={name}>
          <Link href={href} className={`number ${value === 0 ? 'is-zero' : `number-${tone}`}`}>
            <span className="number-value">{numberText(value)}</span>
            <span className="number-name">{name}</span>
          </Link>
        </li>
      ))}
    </ul>
  );
}

function ActiveRollouts({ fleet }: { readonly fleet: Fleet }) {
  const running = useRollouts({ phase: 'running', limit: 20 });
  const back = useRollouts({ phase: 'rolling_back', limit: 20 });
  const views = [...(back.data?.items ?? []), ...(running.data?.items ?? [])];
  if (fleet.rollouts.length === 0) return null;
  return (
    <Card title="Going on now">
      <ul className="rollout-lines">
        {fleet.rollouts.map(({ id, group, to, direction, held }) => {
          const view = views.find((candidate) => candidate.id === id);
          return (
            <li key={id}>
              <Link href={`/rollouts/${id}`}>
                {group} → {configText(to)}
              </Link>
              {held ? (
                <Badge tone="warn">Held</Badge>
              ) : direction === 'back' ? (
                <Badge tone="back">Rolling back</Badge>
              ) : (
                <Badge tone="busy">Running</Badge>
              )}
              {view === undefined ? null : <StatusBar counts={view.counts} total={membersOf(view)} />}
            </li>
          );
        })}
      </ul>
    </Card>
  );
}

function Groups() {
  return (
    <Answer query={useGroups()}>
      {({ items }) =>
        items.length === 0 ? (
          <Empty title="There are no groups yet">
            <p className="muted">
              A group is a selector, for example env=prod. <Link href="/groups">Make one</Link>.
            </p>
          </Empty>
        ) : (
          <div className="table-scroll">
            <table className="stacks">
              <thead>
                <tr>
                  <th scope="col">Group</th>
                  <th scope="col">Proven version</th>
                  <th scope="col" className="right">
                    Connected
                  </th>
                  <th scope="col" className="right">
                    Unhealthy
                  </th>
                </tr>
              </thead>
              <tbody>
                {items.map((group) => (
                  <GroupRow key={group.name} group={group} />
                ))}
              </tbody>
            </table>
          </div>
        )
      }
    </Answer>
  );
}

/** Drift found by comparing effective configs, with a few agents to look at. */
function DriftReport() {
  return (
    <Answer query={useDrift()}>
      {({ compared, agents, sampled, states, items }) =>
        compared === 0 ? (
          <Empty title="No connected agent can be compared" />
        ) : (
          <>
            <CountBars counts={states} total={compared} nameOf={(state) => wordOf('drift', state).text} />
            {items.length === 0 ? null : (
              <ul className="words drifted">
                {items.map(({ uid, group, drift }) => (
                  <li key={uid}>
                    <Link href={`/agents/${uid}`}>…{uid.slice(-12)}</Link> <span className="muted">{group ?? 'in no group'}</span>
                    <span className="sub">
                      {drift.differences
                        .map(({ path }) => path)
                        .slice(0, 3)
                        .join(', ')}
                    </span>
                  </li>
                ))}
              </ul>
            )}
            <p className="sub">
              {sampled ? `${numberText(compared)} of ${numberText(agents)}, chosen by chance` : `All ${numberText(compared)}`}, by the
              config that they report.
            </p>
          </>
        )
      }
    </Answer>
  );
}

function AbilityReport() {
  return (
    <Answer query={useAbilities()}>
      {({ agents, estimated, acceptsRemoteConfig, reportsRemoteConfig, reportsEffectiveConfig, reportsHealth }) => {
        const unverified = Math.max(0, acceptsRemoteConfig - reportsRemoteConfig);
        return (
          <>
            <CountBars
              total={agents}
              counts={{
                'take configs': acceptsRemoteConfig,
                'say how a config went': reportsRemoteConfig,
                'show what they run': reportsEffectiveConfig,
                'report their health': reportsHealth,
              }}
            />
            <p className="sub">
              {estimated ? `Of ${numberText(agents)} agents chosen by chance. ` : ''}
              {unverified === 0
                ? 'Every agent that takes configs says how it went.'
                : `${agentsText(unverified)} take configs and cannot say how it went: they are judged by what they show.`}
            </p>
          </>
        );
      }}
    </Answer>
  );
}

function GroupRow({ group }: { readonly group: Group }) {
  const { name, selector, mode, stable, counts, activeRollout, trailingHeld } = group;
  const unhealthy = counts.health['unhealthy'] ?? 0;
  return (
    <tr>
      <th scope="row">
        <Link href={`/agents${queryText({ group: name })}`}>{name}</Link>
        <span className="sub">{selector === '' ? 'every agent' : selector}</span>
      </th>
      <td data-label="Proven version">
        {stable === null ? <span className="muted">none yet</span> : <Link href={`/configs/${stable.name}`}>{configText(stable)}</Link>}
        <span className="sub">
          {activeRollout === null ? null : <Link href={`/rollouts/${activeRollout}`}>rollout going on</Link>}
          {mode === 'observe' ? <Badge tone="idle">Observed only</Badge> : null}
          {trailingHeld ? <Badge tone="warn">Late offers held</Badge> : null}
        </span>
      </td>
      <td className="right" data-label="Connected">
        <span>
          {numberText(counts.connected)} <span className="muted">of {numberText(counts.agents)}</span>
        </span>
      </td>
      <td data-label="Unhealthy" className={`right ${unhealthy > 0 ? 'text-bad' : 'muted'}`}>
        <span>{numberText(unhealthy)}</span>
      </td>
    </tr>
  );
}

function Gateways() {
  return (
    <Answer query={useGateways()}>
      {({ items }) => {
        if (items.length === 0) return <Empty title="No gateway is running" />;
        const most = Math.max(1, ...items.map(({ connected }) => connected));
        // Those that need a look first.
        const shown = items
          .toSorted((left, right) => Number(left.alive) - Number(right.alive) || right.connected - left.connected)
          .slice(0, GATEWAYS_SHOWN);
        return (
          <ul className="gateways">
            {shown.map((gateway) => (
              <GatewayLine key={gateway.id} gateway={gateway} most={most} />
            ))}
            {items.length > shown.length ? (
              <li>
                <Link href="/gateways">and {numberText(items.length - shown.length)} more</Link>
              </li>
            ) : null}
          </ul>
        );
      }}
    </Answer>
  );
}

function GatewayLine({ gateway, most }: { readonly gateway: Gateway; readonly most: number }) {
  const { id, version, connected, unhealthy, backlog, startedAt } = gateway;
  const waiting = sumOf(backlog);
  return (
    <li>
      <div className="gateway-head">
        <Link href={`/agents${queryText({ gateway: id })}`}>{id}</Link>
        <GatewayState gateway={gateway} />
        <strong className="push">{numberText(connected)}</strong>
      </div>
      <span className="bar thin" aria-hidden="true">
        <span className="fill-plain" style={{ width: `${(100 * connected) / most}%` }} />
      </span>
      <span className="sub">
        {unhealthy > 0 ? `${numberText(unhealthy)} unhealthy · ` : ''}
        {waiting > 0 ? `${numberText(waiting)} to be offered · ` : ''}release {version}, since <Time at={startedAt} />
      </span>
    </li>
  );
}
