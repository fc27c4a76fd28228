import { type ReactNode, useState } from 'react';
import { Link, useLocation, useSearch } from 'wouter';
import { queryText } from '../api/client.ts';
import { useAgents, useGateways, useGroups } from '../api/queries.ts';
import type { Agent } from '../api/types.ts';
import { Answer, Badge, Empty, PageHead, Time, WordBadge } from '../parts/basics.tsx';
import { agentName, configText, ROW_STATUSES, statusWord, wordOf } from '../words.ts';

const PAGE_SIZE = 50;
const FILTERS = ['selector', 'group', 'status', 'health', 'gateway', 'connected', 'sync', 'rollout'] as const;
type Filter = (typeof FILTERS)[number];

/** Agents that fit the filters in the address, a page at a time. */
export function AgentsPage() {
  const parameters = new URLSearchParams(useSearch());
  const [, go] = useLocation();
  const filters = Object.fromEntries(FILTERS.map((name) => [name, parameters.get(name) ?? ''])) as Record<Filter, string>;
  const cursor = parameters.get('cursor') ?? undefined;
  const agents = useAgents({ ...filters, limit: PAGE_SIZE, cursor });
  const isFiltered = FILTERS.some((name) => filters[name] !== '');
  const change = (name: Filter, value: string): void => go(`/agents${queryText({ ...filters, [name]: value })}`);

  return (
    <>
      <PageHead title="Agents">
        {isFiltered ? (
          <Link className="button" href="/agents">
            Clear the filters
          </Link>
        ) : null}
      </PageHead>
      <Filters key={filters.selector} filters={filters} change={change} />
      <Answer query={agents}>
        {({ items, nextCursor }) => (
          <>
            {items.length === 0 ? (
              <Empty title={isFiltered ? 'No agent fits on this page' : 'No agent has connected yet'}>
                {isFiltered ? (
                  <Link href="/agents">Show all agents</Link>
                ) : (
                  <p className="muted">Point an OpAMP supervisor at a gateway: ws://&lt;gateway&gt;:4320/v1/opamp</p>
                )}
              </Empty>
            ) : (
              <AgentTable agents={items} rollout={filters.rollout} />
            )}
            <nav className="pager" aria-label="Pages of agents">
              {cursor === undefined ? <span /> : <Link href={`/agents${queryText({ ...filters })}`}>First page</Link>}
              {nextCursor === null ? (
                items.length === 0 ? null : (
                  <span className="muted">That is all.</span>
                )
              ) : (
                <Link href={`/agents${queryText({ ...filters, cursor: nextCursor })}`}>Next page</Link>
              )}
            </nav>
          </>
        )}
      </Answer>
    </>
  );
}

function Filters({
  filters,
  change,
}: {
  readonly filters: Record<Filter, string>;
  readonly change: (name: Filter, value: string) => void;
}) {
  const [selector, setSelector] = useState(filters.selector);
  const groups = useGroups().data?.items ?? [];
  const gateways = useGateways().data?.items ?? [];
  const statuses: readonly (readonly [string, string])[] =
    filters.rollout === ''
      ? ['applied', 'applying', 'failed', 'unset'].map((status) => [status, wordOf('config', status).text])
      : ROW_STATUSES.map(([status, word]) => [status, word]);
  return (
    <form
      className="filters agent-filters"
      role="search"
      onSubmit={(event) => {
        event.preventDefault();
        change('selector', selector.trim());
      }}
    >
      <label className="grow">
        <span>Selector</span>
        <input
          type="search"
          value={selector}
          spellCheck={false}
          autoComplete="off"
          placeholder="env=prod, service.version!=1.2.0"
          onChange={(event) => setSelector(event.target.value)}
        />
      </label>
      <button type="submit" className="primary">
        Find
      </button>
      <Choice name="Group" value={filters.group} onChange={(value) => change('group', value)}>
        {groups.map(({ name }) => (
          <option key={name}>{name}</option>
        ))}
        <option value="-">in no group</option>
      </Choice>
      <Choice name="Config" value={filters.status} onChange={(value) => change('status', value)}>
        {statuses.map(([status, word]) => (
          <option key={status} value={status}>
            {word}
          </option>
        ))}
      </Choice>
      <Choice name="Health" value={filters.health} onChange={(value) => change('health', value)}>
        {['healthy', 'unhealthy', 'unknown'].map((health) => (
          <option key={health} value={health}>
            {wordOf('health', health).text}
          </option>
        ))}
      </Choice>
      <Choice name="Gateway" value={filters.gateway} onChange={(value) => change('gateway', value)}>
        {gateways.map(({ id }) => (
          <option key={id}>{id}</option>
        ))}
        <option value="http">by HTTP polling</option>
      </Choice>
      <Choice name="Connection" value={filters.connected} onChange={(value) => change('connected', value)}>
        <option value="true">Connected</option>
        <option value="false">Away</option>
      </Choice>
      <Choice name="Against desired" value={filters.sync} onChange={(value) => change('sync', value)}>
        {['synced', 'drifted', 'failed', 'unverified', 'unsupported', 'none'].map((sync) => (
          <option key={sync} value={sync}>
            {wordOf('sync', sync).text}
          </option>
        ))}
      </Choice>
      {filters.rollout === '' ? null : (
        <p className="filter-note">
          Only agents of rollout <Link href={`/rollouts/${filters.rollout}`}>{filters.rollout}</Link>
        </p>
      )}
    </form>
  );
}

function Choice({
  name,
  value,
  onChange,
  children,
}: {
  readonly name: string;
  readonly value: string;
  readonly onChange: (value: string) => void;
  readonly children: ReactNode;
}) {
  return (
    <label>
      <span>{name}</span>
      <select value={value} onChange={(event) => onChange(event.target.value)}>
        <option value="">any</option>
        {children}
      </select>
    </label>
  );
}

function AgentTable({ agents, rollout }: { readonly agents: readonly Agent[]; readonly rollout: string }) {
  return (
    <div className="card table-scroll">
      <table className="stacks">
        <thead>
          <tr>
            <th scope="col">Agent</th>
            <th scope="col">Group</th>
            <th scope="col">Connection</th>
            <th scope="col">Health</th>
            <th scope="col">{rollout === '' ? 'Config' : 'In the rollout'}</th>
            <th scope="col">Desired</th>
          </tr>
        </thead>
        <tbody>
          {agents.map((agent) => (
            <tr key={agent.uid}>
              <th scope="row">
                <Link href={`/agents/${agent.uid}`}>{agentName(agent)}</Link>
                <span className="sub">
                  {agent.attributes['service.name'] ?? agent.uid.slice(0, 8)} {agent.attributes['service.version'] ?? ''}
                </span>
              </th>
              <td data-label="Group">{agent.group ?? <span className="muted">none</span>}</td>
              <td data-label="Connection">
                <ConnectionWord agent={agent} />
              </td>
              <td data-label="Health">
                <WordBadge kind="health" value={agent.health.status} />
              </td>
              <td data-label={rollout === '' ? 'Config' : 'In the rollout'}>
                {rollout === '' ? (
                  <WordBadge kind="config" value={agent.config.status} />
                ) : (
                  statusWord(agent.rollouts[rollout]?.status ?? '')
                )}
              </td>
              <td data-label="Desired">
                {agent.config.desired === null ? <span className="muted">nothing</span> : configText(agent.config.desired)}
                {agent.pin === null ? null : <Badge tone="warn">Pinned</Badge>}
                {agent.config.inSync === false ? <span className="sub">runs something else</span> : null}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** Through which gateway, or since when away. */
export function ConnectionWord({ agent }: { readonly agent: Agent }) {
  if (!agent.connected)
    return (
      <>
        <Badge tone="idle">Away</Badge>{' '}
        <span className="sub">
          since <Time at={agent.lastSeenAt} />
        </span>
      </>
    );
  return agent.transport === 'http' ? <>polls over HTTP</> : <>{agent.gateway}</>;
}
