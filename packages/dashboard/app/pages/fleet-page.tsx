import { useState } from 'react';
import { useQueryClient } from '@tanstack/react-query';
import { Link, useLocation } from 'wouter';
import { call, queryText } from '../api/client.ts';
import { useAbilities, useDrift, useFleet, useGateways, useGroups, useRollouts } from '../api/queries.ts';
import type { Fleet, Gateway, Group } from '../api/types.ts';
import { ActionButton } from '../parts/action-dialog.tsx';
import { Answer, Badge, Card, Empty, PageHead, Time } from '../parts/basics.tsx';
import { LiveChart } from '../parts/live-chart.tsx';
import { CountBars, StatusBar } from '../parts/status-bar.tsx';
import { agentsText, configText, numberText, sumOf, wordOf } from '../words.ts';
import { membersOf } from './waves.tsx';

/** The whole fleet at a glance. */
export function FleetPage() {
  const fleet = useFleet();
  return (
    <>
      <PageHead title="Fleet" lead={fleet.data === undefined ? undefined : <FleetLead fleet={fleet.data} />}>
        {fleet.data === undefined ? null : <Freeze fleet={fleet.data} />}
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
            <div className="columns">
              <Card title="Groups">
                <Groups />
              </Card>
              <Card title="Gateways">
                <Gateways />
              </Card>
              <Card title="Versions of connected agents">
                <CountBars
                  counts={data.agents.versions}
                  total={data.agents.connected}
                  linkOf={(value) => (value === '' ? '/agents' : `/agents${queryText({ selector: `service.version=${value}` })}`)}
                />
              </Card>
              <Card title="What agents say of their config">
                <CountBars
                  counts={data.agents.status}
                  total={data.agents.connected}
                  nameOf={(value) => wordOf('config', value).text}
                  linkOf={(value) => `/agents${queryText({ status: value, connected: 'true' })}`}
                />
              </Card>
              <Card title="Against what they should run">
                <DriftReport />
              </Card>
              <Card title="What connected agents can do">
                <AbilityReport />
              </Card>
            </div>
            <Card title="Connected agents while this page is open">
              <LiveChart
                label="Agents"
                at={fleet.dataUpdatedAt}
                series={[
                  { label: 'connected', value: data.agents.connected, color: 'accent' },
                  { label: 'unhealthy', value: data.agents.health['unhealthy'] ?? 0, color: 'bad' },
                ]}
              />
            </Card>
          </>
        )}
      </Answer>
    </>
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

function Freeze({ fleet }: { readonly fleet: Fleet }) {
  const client = useQueryClient();
  const { frozen, agents } = fleet;
  return (
    <ActionButton
      key={String(frozen)}
      kind={frozen ? 'primary' : 'plain'}
      action={{
        label: frozen ? 'Unfreeze the fleet' : 'Freeze the fleet',
        isDangerous: !frozen,
        effect: frozen
          ? `Offers go on for all ${agentsText(agents.total)}, and running rollouts advance again.`
          : `None of the ${agentsText(agents.total)} is offered a new config, in any rollout, until you unfreeze. Rollbacks go on.`,
        run: async (reason) => {
          await call(`/fleet/${frozen ? 'unfreeze' : 'freeze'}`, { method: 'POST', body: { reason } });
          await client.invalidateQueries({ queryKey: ['fleet'] });
        },
      }}
    />
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
  const { connected, away, health, status } = fleet.agents;
  const numbers = [
    ['Connected', connected, '/agents?connected=true', 'accent'],
    ['Healthy', health['healthy'] ?? 0, '/agents?health=healthy&connected=true', 'good'],
    ['Unhealthy', health['unhealthy'] ?? 0, '/agents?health=unhealthy&connected=true', 'bad'],
    ['Config failed', status['failed'] ?? 0, '/agents?status=failed&connected=true', 'bad'],
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
            <p className="muted">A group is a selector, for example env=prod. Make one with opampctl or PUT /api/v1/groups.</p>
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
      {({ agents, acceptsRemoteConfig, reportsRemoteConfig, reportsEffectiveConfig, reportsHealth }) => {
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
              {unverified === 0
                ? 'Every agent that takes configs says how it went.'
                : `${agentsText(unverified)} take configs and cannot say how it went: they stay unverified.`}
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
        return (
          <ul className="gateways">
            {items.map((gateway) => (
              <GatewayLine key={gateway.id} gateway={gateway} most={most} />
            ))}
          </ul>
        );
      }}
    </Answer>
  );
}

function GatewayLine({ gateway, most }: { readonly gateway: Gateway; readonly most: number }) {
  const { id, version, alive, draining, connected, unhealthy, backlog, startedAt } = gateway;
  const waiting = sumOf(backlog);
  return (
    <li>
      <div className="gateway-head">
        <Link href={`/agents${queryText({ gateway: id })}`}>{id}</Link>
        {!alive ? <Badge tone="bad">Lease ended</Badge> : draining ? <Badge tone="warn">Draining</Badge> : <Badge tone="good">Alive</Badge>}
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
