import { useState } from 'react';
import { Link, useLocation, useSearch } from 'wouter';
import { queryText } from '../api/client.ts';
import { useAudit } from '../api/queries.ts';
import type { AuditEntry } from '../api/types.ts';
import { Answer, Badge, Empty, PageHead, Time } from '../parts/basics.tsx';
import { auditWord } from '../words.ts';

const PAGE_SIZE = 50;
const FILTERS = ['actor', 'action', 'target'] as const;
type Filters = Readonly<Record<(typeof FILTERS)[number], string>>;

/** Parts of the log by what the actions begin with. */
const ACTIONS = [
  ['rollout', 'Rollouts'],
  ['config', 'Configs'],
  ['group', 'Groups'],
  ['agent', 'Agents'],
  ['fleet', 'The whole fleet'],
  ['token', 'Tokens'],
  ['alerts', 'Alerts'],
] as const;

/** Who changed what. */
export function AuditPage() {
  const parameters = new URLSearchParams(useSearch());
  const cursor = parameters.get('cursor') ?? undefined;
  const filters: Filters = {
    actor: parameters.get('actor') ?? '',
    action: parameters.get('action') ?? '',
    target: parameters.get('target') ?? '',
  };
  const isFiltered = FILTERS.some((name) => filters[name] !== '');
  const entries = useAudit({ ...filters, cursor, limit: PAGE_SIZE });
  return (
    <>
      <PageHead title="Audit" lead="Everything that was changed, by whom and why; newest first." />
      <AuditFilters key={JSON.stringify(filters)} filters={filters} />
      <Answer query={entries}>
        {({ items, nextCursor }) => (
          <>
            {items.length === 0 ? (
              <Empty title={isFiltered ? 'Nothing in the log fits' : 'Nothing has been changed yet'}>
                {isFiltered ? <Link href="/audit">Show the whole log</Link> : null}
              </Empty>
            ) : (
              <AuditTable entries={items} />
            )}
            <nav className="pager" aria-label="Pages of the audit log">
              {cursor === undefined ? <span /> : <Link href={`/audit${queryText(filters)}`}>Newest</Link>}
              {nextCursor === null ? null : <Link href={`/audit${queryText({ ...filters, cursor: nextCursor })}`}>Older</Link>}
            </nav>
          </>
        )}
      </Answer>
    </>
  );
}

function AuditFilters({ filters }: { readonly filters: Filters }) {
  const [actor, setActor] = useState(filters.actor);
  const [target, setTarget] = useState(filters.target);
  const [, go] = useLocation();
  const find = (change: Partial<Filters>): void =>
    go(`/audit${queryText({ ...filters, actor: actor.trim(), target: target.trim(), ...change })}`);
  return (
    <form
      className="filters"
      role="search"
      onSubmit={(event) => {
        event.preventDefault();
        find({});
      }}
    >
      <label className="grow">
        <span>Who</span>
        <input
          type="search"
          value={actor}
          autoComplete="off"
          spellCheck={false}
          placeholder="everybody"
          onChange={(event) => setActor(event.target.value)}
        />
      </label>
      <label className="grow">
        <span>What it concerns</span>
        <input
          type="search"
          value={target}
          autoComplete="off"
          spellCheck={false}
          placeholder="group/prod, config/base, rollout/…"
          onChange={(event) => setTarget(event.target.value)}
        />
      </label>
      <label>
        <span>Kind</span>
        <select value={filters.action} onChange={(event) => find({ action: event.target.value })}>
          <option value="">any</option>
          {ACTIONS.map(([value, words]) => (
            <option key={value} value={value}>
              {words}
            </option>
          ))}
        </select>
      </label>
      <button type="submit" className="primary">
        Find
      </button>
    </form>
  );
}

function AuditTable({ entries }: { readonly entries: readonly AuditEntry[] }) {
  return (
    <div className="card table-scroll">
      <table className="stacks">
        <thead>
          <tr>
            <th scope="col">When</th>
            <th scope="col">Who</th>
            <th scope="col">Did</th>
            <th scope="col">To</th>
            <th scope="col">Detail</th>
          </tr>
        </thead>
        <tbody>
          {entries.map((entry) => {
            const { id, at, actor, action, target, role, outcome } = entry;
            return (
              <tr key={id}>
                <th scope="row" className="when">
                  <Time at={at} />
                </th>
                <td data-label="Who">
                  {actor}
                  {role === undefined ? null : <span className="sub">{role}</span>}
                </td>
                <td data-label="Did" title={action}>
                  {auditWord(action)} {outcome === 'refused' ? <Badge tone="bad">Refused</Badge> : null}
                </td>
                <td data-label="To">
                  <Target target={target} />
                </td>
                <td data-label="Detail">
                  <Detail entry={entry} />
                </td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}

/** Pages of the things that entries are about, by the first part of their name. */
const PLACES: Readonly<Record<string, (name: string) => string>> = {
  rollout: (name) => `/rollouts/${name}`,
  agent: (name) => `/agents/${name}`,
  config: (name) => `/configs/${name.split('@', 1)[0] ?? name}`,
  group: (name) => `/agents${queryText({ group: name })}`,
};

function Target({ target }: { readonly target: string }) {
  const [kind = '', ...rest] = target.split('/');
  const name = rest.join('/');
  const place = PLACES[kind];
  if (place === undefined || name === '') return <>{target}</>;
  return (
    <>
      {kind} <Link href={place(name)}>{name.length > 24 ? `…${name.slice(-12)}` : name}</Link>
    </>
  );
}

/** The reason first, then what else the entry says. */
function Detail({ entry }: { readonly entry: AuditEntry }) {
  const { reason: inDetail, ...rest } = entry.detail;
  const reason = entry.reason ?? (typeof inDetail === 'string' ? inDetail : '');
  const others = Object.entries({ before: entry.before, after: entry.after, ...rest }).filter(([, value]) => value !== undefined);
  if (reason === '' && others.length === 0) return <span className="muted">none</span>;
  return (
    <>
      {reason === '' ? null : <span>{reason}</span>}
      {others.length === 0 ? null : (
        <details className="detail">
          <summary>{others.map(([name]) => name).join(', ')}</summary>
          <pre>{JSON.stringify(Object.fromEntries(others), null, 2)}</pre>
        </details>
      )}
    </>
  );
}
