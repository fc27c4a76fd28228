import type { ReactNode } from 'react';
import type { UseQueryResult } from '@tanstack/react-query';
import { ApiProblem } from '../api/client.ts';
import type { Finding } from '../api/types.ts';
import { type Tone, wordOf } from '../words.ts';

/** A coloured word; the word alone says everything. */
export function Badge({ tone, children }: { readonly tone: Tone; readonly children: ReactNode }) {
  return <span className={`badge tone-${tone}`}>{children}</span>;
}

/** Badge of a phase, health or config status. */
export function WordBadge({ kind, value }: { readonly kind: Parameters<typeof wordOf>[0]; readonly value: string }) {
  const { text, tone } = wordOf(kind, value);
  return <Badge tone={tone}>{text}</Badge>;
}

const FULL = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'long' });
const SHORT = new Intl.DateTimeFormat(undefined, { month: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit' });
const CLOCK = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit' });

/** A time in the zone of whoever looks; the tooltip has all of it. */
export function Time({ at, clock = false }: { readonly at: string | number | null; readonly clock?: boolean }) {
  if (at === null) return <span className="muted">never</span>;
  const date = new Date(at);
  const isToday = date.toDateString() === new Date().toDateString();
  return (
    <time dateTime={date.toISOString()} title={FULL.format(date)}>
      {clock || isToday ? CLOCK.format(date) : SHORT.format(date)}
    </time>
  );
}

/** A box with a heading. */
export function Card({
  title,
  aside,
  children,
  className = '',
}: {
  readonly title?: string;
  readonly aside?: ReactNode;
  readonly children: ReactNode;
  readonly className?: string;
}) {
  return (
    <section className={`card ${className}`}>
      {title === undefined ? null : (
        <header className="card-head">
          <h2>{title}</h2>
          {aside}
        </header>
      )}
      {children}
    </section>
  );
}

/** Title line of a page, with what can be done there. */
export function PageHead({
  title,
  children,
  lead,
}: {
  readonly title: ReactNode;
  readonly children?: ReactNode;
  readonly lead?: ReactNode;
}) {
  return (
    <header className="page-head">
      <div>
        <h1>{title}</h1>
        {lead === undefined ? null : <p className="lead">{lead}</p>}
      </div>
      {children === undefined ? null : <div className="actions">{children}</div>}
    </header>
  );
}

/** What a list shows when there is nothing in it, and what to do about that. */
export function Empty({ title, children }: { readonly title: string; readonly children?: ReactNode }) {
  return (
    <div className="empty">
      <p className="empty-title">{title}</p>
      {children}
    </div>
  );
}

/** A refusal of the API with everything that it found wrong. */
export function ProblemBox({ error }: { readonly error: Error }) {
  const errors: readonly Finding[] = error instanceof ApiProblem ? error.errors : [];
  return (
    <div className="problem" role="alert">
      <strong>{error instanceof ApiProblem ? error.title : 'That did not work'}</strong>
      <p>{error.message}</p>
      {errors.length === 0 ? null : (
        <ul>
          {errors.map(({ path, message, line }) => (
            <li key={`${path} ${message}`}>
              <code>{path}</code>
              {line === undefined || line === null ? '' : ` line ${line}`}: {message}
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}

/** Shows the answer of a query; before it is there a quiet placeholder, or why it does not come. */
export function Answer<Value>({
  query,
  children,
}: {
  readonly query: UseQueryResult<Value>;
  readonly children: (value: Value) => ReactNode;
}) {
  if (query.data !== undefined) return children(query.data);
  if (query.error !== null) return <ProblemBox error={query.error} />;
  return (
    <div className="loading" role="status">
      <span className="skeleton" />
      <span className="skeleton short" />
      <span className="visually-hidden">Loading</span>
    </div>
  );
}

/** Names and values side by side. */
export function Facts({ facts }: { readonly facts: readonly (readonly [string, ReactNode])[] }) {
  return (
    <dl className="facts">
      {facts.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}
