import { Link } from 'wouter';
import { hasEnded, useFailures } from '../api/queries.ts';
import type { FailureGroups, Rollout } from '../api/types.ts';
import { Badge, Card } from '../parts/basics.tsx';
import { agentsText, numberText, statusWord } from '../words.ts';

const EXAMPLES = 5;

/** Agents that failed in the same way. */
interface Line {
  readonly key: string;
  readonly title: string;
  readonly count: number;
  readonly message: string;
  readonly examples: readonly string[];
}

/** What went wrong, the most frequent first, with a few agents as examples; nothing when nothing did. */
export function FailuresCard({ rollout }: { readonly rollout: Rollout }) {
  const failures = useFailures(rollout.id, !hasEnded(rollout)).data;
  if (failures === undefined || failures.groups.total + failures.groups.omitted === 0) return null;
  const { groups } = failures;
  return (
    <Card title="What went wrong" aside={<Badge tone="bad">{agentsText(groups.total + groups.omitted)}</Badge>}>
      <FailureLines lines={linesOf(groups)} />
      <Splits groups={groups} />
      {groups.omitted === 0 ? null : (
        <p className="sub">{agentsText(groups.omitted)} more failed when there were too many to group them.</p>
      )}
    </Card>
  );
}

function linesOf({ byMessage }: FailureGroups): Line[] {
  return byMessage.map(({ status, message, count, examples }) => ({
    key: `${status} ${message}`,
    title: statusWord(status),
    count,
    message,
    examples,
  }));
}

function FailureLines({ lines }: { readonly lines: readonly Line[] }) {
  return (
    <ul className="failures">
      {lines.map(({ key, title, count, message, examples }) => (
        <li key={key}>
          <div>
            <strong>{numberText(count)}</strong> {title}
          </div>
          <div>
            <p className="error-text">{message === '' ? 'without a message' : message}</p>
            <span className="sub">
              for example{' '}
              {examples.slice(0, EXAMPLES).map((uid) => (
                <Link key={uid} href={`/agents/${uid}`}>
                  …{uid.slice(-12)}
                </Link>
              ))}
              {count > EXAMPLES ? ` and ${numberText(count - EXAMPLES)} more` : ''}
            </span>
          </div>
        </li>
      ))}
    </ul>
  );
}

/** The same failures by version of the collector and by the attributes over which canaries are spread: says whether it is one site. */
function Splits({ groups }: { readonly groups: FailureGroups }) {
  const strata = groups.byStratum.map(({ stratum, count }) => ({
    name: Object.entries(stratum)
      .map(([attribute, value]) => `${attribute}=${value}`)
      .join(', '),
    count,
  }));
  const versions = groups.byVersion.map(({ version, count }) => ({ name: version === '' ? 'version not told' : version, count }));
  return (
    <div className="splits">
      <Split title="By collector version" parts={versions} total={groups.total} />
      <Split title="By place" parts={strata} total={groups.total} />
    </div>
  );
}

function Split({
  title,
  parts,
  total,
}: {
  readonly title: string;
  readonly parts: readonly { readonly name: string; readonly count: number }[];
  readonly total: number;
}) {
  if (parts.length === 0) return null;
  return (
    <div>
      <h3>{title}</h3>
      <ul className="count-bars">
        {parts.slice(0, EXAMPLES).map(({ name, count }) => (
          <li key={name}>
            <span className="count-name">{name}</span>
            <span className="count-number">{numberText(count)}</span>
            <span className="bar thin" aria-hidden="true">
              <span className="fill-failed" style={{ width: `${(100 * count) / Math.max(1, total)}%` }} />
            </span>
          </li>
        ))}
      </ul>
    </div>
  );
}
