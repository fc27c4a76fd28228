import { Link, useLocation, useSearch } from 'wouter';
import { queryText } from '../api/client.ts';
import { useAudit } from '../api/queries.ts';
import type { AuditEntry } from '../api/types.ts';
import { Answer, Empty, PageHead, Time } from '../parts/basics.tsx';
import { auditWord } from '../words.ts';

const PAGE_SIZE = 50;

/** Who changed what. */
export function AuditPage() {
  const parameters = new URLSearchParams(useSearch());
  const [, go] = useLocation();
  const cursor = parameters.get('cursor') ?? undefined;
  const filters = { actor: parameters.get('actor') ?? '', target: parameters.get('target') ?? '' };
  const entries = useAudit({ cursor, limit: PAGE_SIZE });
  return (
    <>
      <PageHead title="Audit" lead="Everything that was changed, by whom and why; newest first." />
      <form className="filters" role="search" onSubmit={(event) => event.preventDefault()}>
        <label className="grow">
          <span>Who, on this page</span>
          <input
            type="search"
            value={filters.actor}
            autoComplete="off"
            spellCheck={false}
            onChange={(event) => go(`/audit${queryText({ ...filters, actor: event.target.value, cursor })}`, { replace: true })}
          />
        </label>
        <label className="grow">
          <span>What, on this page</span>
          <input
            type="search"
            value={filters.target}
            autoComplete="off"
            spellCheck={false}
            placeholder="rollout, group/prod, pinned …"
            onChange={(event) => go(`/audit${queryText({ ...filters, target: event.target.value, cursor })}`, { replace: true })}
          />
        </label>
      </form>
      <Answer query={entries}>
        {({ items, nextCursor }) => {
          const shown = items.filter((entry) => fits(entry, filters));
          return (
            <>
              {shown.length === 0 ? (
                <Empty title={items.length === 0 ? 'Nothing has been changed yet' : 'Nothing on this page fits'}>
                  {items.length === 0 ? null : <Link href={`/audit${queryText({ cursor })}`}>Show the whole page</Link>}
                </Empty>
              ) : (
                <AuditTable entries={shown} />
              )}
              <nav className="pager" aria-label="Pages of the audit log">
                {cursor === undefined ? <span /> : <Link href="/audit">Newest</Link>}
                {nextCursor === null ? null : <Link href={`/audit${queryText({ ...filters, cursor: nextCursor })}`}>Older</Link>}
              </nav>
            </>
          );
        }}
      </Answer>
    </>
  );
}

function fits({ actor, action, target, detail }: AuditEntry, wanted: { readonly actor: string; readonly target: string }): boolean {
  const has = (text: string, part: string): boolean => text.toLowerCase().includes(part.trim().toLowerCase());
  return has(actor, wanted.actor) && has(`${action} ${auditWord(action)} ${target} ${JSON.stringify(detail)}`, wanted.target);
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
          {entries.map(({ id, at, actor, action, target, detail }) => (
            <tr key={id}>
              <th scope="row" className="when">
                <Time at={at} />
              </th>
              <td data-label="Who">{actor}</td>
              <td data-label="Did" title={action}>
                {auditWord(action)}
              </td>
              <td data-label="To">
                <Target target={target} />
              </td>
              <td data-label="Detail">
                <Detail detail={detail} />
              </td>
            </tr>
          ))}
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
function Detail({ detail }: { readonly detail: AuditEntry['detail'] }) {
  const { reason, ...rest } = detail;
  const hasReason = typeof reason === 'string' && reason !== '';
  const others = Object.entries(rest);
  if (!hasReason && others.length === 0) return <span className="muted">none</span>;
  return (
    <>
      {hasReason ? <span>{reason}</span> : null}
      {others.length === 0 ? null : (
        <details className="detail">
          <summary>{others.map(([name]) => name).join(', ')}</summary>
          <pre>{JSON.stringify(rest, null, 2)}</pre>
        </details>
      )}
    </>
  );
}
