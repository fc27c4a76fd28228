import type { Rollout, Wave, WaveSize } from '../api/types.ts';
import { Badge, Time, WordBadge } from '../parts/basics.tsx';
import { StatusLegend } from '../parts/status-bar.tsx';
import { agentsText, numberText, ROW_STATUSES, sumOf } from '../words.ts';

/** Dots of one wave; above it a dot stands for several agents. */
const MAX_DOTS = 240;

/** Members of the group as the newest wave counted them; before that those that have a row. */
export function membersOf({ waves, counts }: Pick<Rollout, 'waves' | 'counts'>): number {
  return Math.max(sumOf(counts), ...waves.map(({ members }) => members ?? 0));
}

/** Where a wave ends, counted from the first agent. */
function endOf({ count, percent, agents }: WaveSize, members: number): number {
  if (agents !== undefined) return agents.length;
  const byCount = count ?? Number.POSITIVE_INFINITY;
  const byPercent = percent === undefined ? Number.POSITIVE_INFINITY : Math.ceil((members * percent) / 100);
  return Math.min(members, byCount, byPercent);
}

/** Agents that each wave is expected to reach by itself. */
export function expectedSizes(waves: readonly Pick<Wave, 'size' | 'counts'>[], members: number): number[] {
  let reached = 0;
  return waves.map(({ size, counts }) => {
    const own = Math.max(0, endOf(size, members) - reached);
    const seen = sumOf(counts);
    const expected = Math.max(own, seen);
    reached += expected;
    return expected;
  });
}

/** A wave's size as it was asked for. */
export function sizeText({ count, percent, agents, labels }: WaveSize): string {
  if (agents !== undefined) return `${agentsText(agents.length)} by name`;
  const parts = [
    ...(labels === undefined ? [] : [`those with ${labels}`]),
    ...(count === undefined ? [] : [`${numberText(count)} ${count === 1 ? 'agent' : 'agents'}`]),
    ...(percent === undefined ? [] : [`${percent} %`]),
  ];
  return parts.length > 1 && labels === undefined ? `${parts.join(' or ')}, whichever is less` : parts.join(', ');
}

/** The waves of a rollout: every agent a dot in the colour of its status. */
export function Waves({ rollout, groupSize }: { readonly rollout: Rollout; readonly groupSize: number }) {
  const members = Math.max(membersOf(rollout), groupSize);
  const sizes = expectedSizes(rollout.waves, members);
  const perDot = Math.max(1, Math.ceil(Math.max(1, ...sizes) / MAX_DOTS));
  const late = sumOf(rollout.late.counts);
  return (
    <div className="waves">
      <ol>
        {rollout.waves.map((wave, index) => (
          <WavePicture
            // A wave has no other identity than its place.
            key={index}
            wave={wave}
            index={index}
            expected={sizes[index] ?? 0}
            perDot={perDot}
            isOver={rollout.endedAt !== null}
            isCurrent={index === rollout.waveIndex && rollout.endedAt === null}
          />
        ))}
      </ol>
      {late === 0 ? null : (
        <div className="late">
          <strong>Late</strong> <span className="muted">first reached after their wave</span>
          <StatusLegend counts={rollout.late.counts} />
        </div>
      )}
      <p className="muted dot-note">{perDot === 1 ? 'One dot is one agent.' : `One dot is ${numberText(perDot)} agents.`}</p>
    </div>
  );
}

function WavePicture({
  wave,
  index,
  expected,
  perDot,
  isOver,
  isCurrent,
}: {
  readonly wave: Wave;
  readonly index: number;
  readonly expected: number;
  readonly perDot: number;
  readonly isOver: boolean;
  readonly isCurrent: boolean;
}) {
  const rest = Math.max(0, expected - sumOf(wave.counts));
  return (
    <li className={isCurrent ? 'wave is-current' : 'wave'} aria-current={isCurrent ? 'step' : undefined}>
      <div className="wave-head">
        <strong>{index === 0 ? 'Canary' : `Wave ${index + 1}`}</strong>
        {isOver && wave.phase === 'pending' ? <Badge tone="idle">Not reached</Badge> : <WordBadge kind="wave" value={wave.phase} />}
      </div>
      <span className="sub">up to {sizeText(wave.size)}</span>
      <span className="sub">
        {wave.startedAt === null ? (
          'not begun'
        ) : (
          <>
            {wave.passedAt === null ? 'since ' : ''}
            <Time at={wave.startedAt} />
            {wave.passedAt === null ? null : (
              <>
                {' to '}
                <Time at={wave.passedAt} />
              </>
            )}
          </>
        )}
      </span>
      <Dots wave={wave} rest={rest} perDot={perDot} />
      <StatusLegend counts={wave.counts} rest={rest} restWord={isOver ? 'not reached' : 'to come'} />
    </li>
  );
}

function Dots({ wave, rest, perDot }: { readonly wave: Wave; readonly rest: number; readonly perDot: number }) {
  const fills = [
    ...ROW_STATUSES.flatMap(([status]) => {
      const count = wave.counts[status] ?? 0;
      return new Array<string>(count === 0 ? 0 : Math.max(1, Math.round(count / perDot))).fill(status);
    }),
    ...new Array<string>(Math.round(rest / perDot)).fill('waiting'),
  ];
  return (
    <div className="dots" aria-hidden="true">
      {fills.map((fill, index) => (
        // A dot is a place in the picture, not an agent.
        <span key={index} className={`dot fill-${fill}`} />
      ))}
    </div>
  );
}
