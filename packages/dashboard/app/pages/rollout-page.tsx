import { useQueryClient } from '@tanstack/react-query';
import { Link } from 'wouter';
import { queryText } from '../api/client.ts';
import { useRolloutEvents } from '../api/event-stream.ts';
import { hasEnded, useGroups, useRollout } from '../api/queries.ts';
import type { Rollout, RolloutEvent } from '../api/types.ts';
import { Answer, Card, Empty, Facts, PageHead, Time, WordBadge } from '../parts/basics.tsx';
import { LiveChart } from '../parts/live-chart.tsx';
import { StatusLegend } from '../parts/status-bar.tsx';
import { configText, eventWord, FAILING, holdWord, numberText, sumOf, WARNINGS } from '../words.ts';
import { FailuresCard } from './failures.tsx';
import { GatesCard } from './gates.tsx';
import { RolloutActions, useIsOwn } from './rollout-actions.tsx';
import { membersOf, Waves } from './waves.tsx';

/** One rollout, as it happens. */
export function RolloutPage({ id }: { readonly id: string }) {
  const rollout = useRollout(id);
  const { events, isLive } = useRolloutEvents(id);
  return (
    <Answer query={rollout}>{(data) => <Live rollout={data} readAtMs={rollout.dataUpdatedAt} events={events} isLive={isLive} />}</Answer>
  );
}

function Live({
  rollout,
  readAtMs,
  events,
  isLive,
}: {
  readonly rollout: Rollout;
  readonly readAtMs: number;
  readonly events: readonly RolloutEvent[];
  readonly isLive: boolean;
}) {
  const client = useQueryClient();
  const group = useGroups().data?.items.find(({ name }) => name === rollout.group);
  const isOver = hasEnded(rollout);
  const isOwn = useIsOwn(rollout);
  const connected = group?.counts.connected ?? 0;
  const members = Math.max(membersOf(rollout), isOver ? 0 : connected);
  const done = sumOf(rollout.counts, ['applied', 'observed', 'restored']);
  const failing = sumOf(rollout.counts, FAILING);
  const isBack = rollout.phase.startsWith('roll');
  const touched = sumOf(rollout.counts) - sumOf(rollout.counts, ['skipped', 'left']);
  return (
    <>
      <PageHead
        title={
          <>
            {rollout.group} → {configText(rollout.to)} <WordBadge kind="phase" value={rollout.phase} />
          </>
        }
        lead={
          <>
            {rollout.revertOf === null ? '' : 'Takes back an earlier rollout. '}
            {rollout.reason === '' ? 'No reason given' : rollout.reason} · started by {rollout.createdBy}, <Time at={rollout.createdAt} />
            {isOver ? (
              <>
                , ended <Time at={rollout.endedAt} />
              </>
            ) : (
              <span className={isLive ? 'live is-on' : 'live'}>{isLive ? 'live' : 'connecting …'}</span>
            )}
          </>
        }
      >
        <RolloutActions
          rollout={rollout}
          members={members}
          onDone={() => void client.invalidateQueries({ queryKey: ['rollout', rollout.id] })}
        />
      </PageHead>
      {rollout.outcome === '' ? null : (
        <p
          className={`notice ${rollout.phase === 'rollback_failed' ? 'tone-bad' : rollout.phase === 'succeeded' ? 'tone-good' : 'tone-back'}`}
        >
          {rollout.outcome}
        </p>
      )}
      {rollout.fleetFrozen === true ? (
        <p className="notice tone-warn hold">
          <strong>The fleet is frozen</strong>: nobody new is offered it, in any rollout, until somebody unfreezes the fleet. Rollbacks go
          on.
        </p>
      ) : null}
      {rollout.holdDetails.map(({ reason, since, detail }) => (
        <p key={reason} className="notice tone-warn hold">
          <strong>{holdWord(reason)}</strong> since <Time at={since} />
          {detail === '' ? '' : `: ${detail}`}
          {reason === 'approval' && isOwn ? ' You started it, so somebody else has to approve it.' : ''}
        </p>
      ))}
      {isOver
        ? null
        : rollout.warnings.map((warning) => (
            <p key={warning} className="notice">
              {WARNINGS[warning] ?? warning}
            </p>
          ))}
      <ul className="numbers">
        {isBack ? (
          <Number name="taken back" value={`${numberText(rollout.counts['restored'] ?? 0)} / ${numberText(touched)}`} tone="good" />
        ) : (
          <Number
            name="on the new version"
            value={`${numberText(sumOf(rollout.counts, ['applied', 'observed']))} / ${numberText(members)}`}
            tone="good"
          />
        )}
        <Number
          name="under way"
          value={numberText(sumOf(rollout.counts, ['offered', 'applying', 'verifying', 'restoring']))}
          tone="accent"
        />
        <Number name="failing" value={numberText(failing)} tone={failing > 0 ? 'bad' : 'idle'} />
        <Number name="wave" value={`${rollout.waveIndex + 1} of ${rollout.waves.length}`} tone="idle" />
      </ul>
      <Card title="Waves" aside={<StatusLegend counts={rollout.counts} />}>
        <Waves rollout={rollout} groupSize={isOver ? 0 : connected} />
      </Card>
      <FailuresCard rollout={rollout} />
      <GatesCard rollout={rollout} />
      {isOver ? null : (
        <Card title="While this page is open">
          <LiveChart
            label="Agents"
            at={readAtMs}
            series={[
              { label: 'settled', value: done, color: 'good' },
              { label: 'under way', value: sumOf(rollout.counts, ['offered', 'applying', 'verifying', 'restoring']), color: 'accent' },
              { label: 'failing', value: failing, color: 'bad' },
            ]}
          />
        </Card>
      )}
      <div className="columns">
        <Card title="Timeline">
          <Timeline events={events} />
        </Card>
        <Card title="Details">
          <Facts
            facts={[
              ['Id', <code key="id">{rollout.id}</code>],
              ['From', <ConfigLink key="from" config={rollout.from} />],
              ['To', <ConfigLink key="to" config={rollout.to} />],
              ['Attempt', String(rollout.attempt)],
              ...(rollout.revertOf === null
                ? []
                : [
                    [
                      'Takes back',
                      <Link key="revert" href={`/rollouts/${rollout.revertOf}`}>
                        {rollout.revertOf}
                      </Link>,
                    ] as const,
                  ]),
              [
                'Agents',
                <Link key="agents" href={`/agents${queryText({ rollout: rollout.id })}`}>
                  those with a part in it
                </Link>,
              ],
            ]}
          />
          <details>
            <summary>Strategy</summary>
            <pre>{JSON.stringify(rollout.strategy, null, 2)}</pre>
          </details>
        </Card>
      </div>
    </>
  );
}

function Number({ name, value, tone }: { readonly name: string; readonly value: string; readonly tone: string }) {
  return (
    <li>
      <span className={`number number-${tone}`}>
        <span className="number-value">{value}</span>
        <span className="number-name">{name}</span>
      </span>
    </li>
  );
}

function ConfigLink({ config }: { readonly config: Rollout['from'] }) {
  if (config === null) return <span className="muted">nothing proven yet</span>;
  return <Link href={`/configs/${config.name}${queryText({ version: config.version })}`}>{configText(config)}</Link>;
}

function Timeline({ events }: { readonly events: readonly RolloutEvent[] }) {
  if (events.length === 0) return <Empty title="Nothing has happened yet" />;
  return (
    <ol className="timeline" aria-label="Events, newest first" tabIndex={0}>
      {events.toReversed().map(({ seq, at, type, actor, detail, to }) => (
        <li key={seq}>
          <Time at={at} clock /> <strong>{eventWord(type)}</strong>
          {type.startsWith('wave') ? <span className="muted"> wave {to.waveIndex + 1}</span> : null}
          {actor === 'system' ? null : <span className="muted"> by {actor}</span>}
          {detail === '' ? null : <span className="sub">{detail}</span>}
        </li>
      ))}
    </ol>
  );
}
