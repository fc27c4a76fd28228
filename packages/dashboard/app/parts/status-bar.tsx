import type { Counts } from '../api/types.ts';
import { numberText, ROW_STATUSES, sumOf, type Tone } from '../words.ts';

/** A bar of all statuses, as wide as their counts; `total` leaves room for those not reached yet. */
export function StatusBar({ counts, total }: { readonly counts: Counts; readonly total: number }) {
  const whole = Math.max(total, sumOf(counts), 1);
  const present = ROW_STATUSES.filter(([status]) => (counts[status] ?? 0) > 0);
  const label = present.map(([status, word]) => `${numberText(counts[status] ?? 0)} ${word}`).join(', ') || 'nobody reached yet';
  return (
    <span className="bar" role="img" aria-label={label}>
      {ROW_STATUSES.map(([status]) => (
        <span key={status} className={`fill-${status}`} style={{ width: `${(100 * (counts[status] ?? 0)) / whole}%` }} />
      ))}
    </span>
  );
}

/** The counts in words with the colours of the bar. */
export function StatusLegend({
  counts,
  rest,
  restWord = 'to come',
}: {
  readonly counts: Counts;
  readonly rest?: number;
  readonly restWord?: string;
}) {
  return (
    <ul className="legend">
      {ROW_STATUSES.filter(([status]) => (counts[status] ?? 0) > 0).map(([status, word, help]) => (
        <li key={status} title={help}>
          <span className={`swatch fill-${status}`} />
          {word} <strong data-status={status}>{numberText(counts[status] ?? 0)}</strong>
        </li>
      ))}
      {rest !== undefined && rest > 0 ? (
        <li title="Not reached yet">
          <span className="swatch fill-waiting" />
          {restWord} <strong>{numberText(rest)}</strong>
        </li>
      ) : null}
    </ul>
  );
}

/** Counts by value as bars of one colour, largest first. */
export function CountBars({
  counts,
  total,
  nameOf = (value) => value,
  linkOf,
  toneOf,
}: {
  readonly counts: Counts;
  readonly total: number;
  readonly nameOf?: (value: string) => string;
  readonly linkOf?: (value: string) => string;
  /** Colour of a value that has one everywhere. */
  readonly toneOf?: (value: string) => Tone;
}) {
  const rows = Object.entries(counts)
    .filter(([, count]) => count > 0)
    .toSorted((left, right) => right[1] - left[1]);
  if (rows.length === 0) return <p className="muted">Nobody connected has told.</p>;
  return (
    <ul className="count-bars">
      {rows.map(([value, count]) => {
        const name = nameOf(value) === '' ? 'not told' : nameOf(value);
        return (
          <li key={value}>
            <span className="count-name">{linkOf === undefined ? name : <a href={linkOf(value)}>{name}</a>}</span>
            <span className="count-number">{numberText(count)}</span>
            <span className="bar thin" aria-hidden="true">
              <span
                className={toneOf === undefined ? 'fill-plain' : `fill-tone-${toneOf(value)}`}
                style={{ width: `${(100 * count) / Math.max(1, total)}%` }}
              />
            </span>
          </li>
        );
      })}
    </ul>
  );
}
