import { useState } from 'react';
import { Link, useLocation, useSearch } from 'wouter';
import { useMay } from '../api/access.ts';
import { queryText } from '../api/client.ts';
import { useGroups, useRollouts } from '../api/queries.ts';
import { Dialog } from '../parts/action-dialog.tsx';
import { Answer, Badge, Empty, PageHead, Time, WordBadge } from '../parts/basics.tsx';
import { StatusBar } from '../parts/status-bar.tsx';
import { agentsText, configText, holdWord, wordOf } from '../words.ts';
import { StartForm } from './start-form.tsx';
import { membersOf } from './waves.tsx';

const PAGE_SIZE = 25;
const PHASES = ['running', 'rolling_back', 'succeeded', 'rolled_back', 'rollback_failed', 'cancelled'];

/** All rollouts, newest first. */
export function RolloutsPage() {
  const parameters = new URLSearchParams(useSearch());
  const [, go] = useLocation();
  const [isStarting, setStarting] = useState(false);
  const mayStart = useMay()('rollouts.write', 'shared');
  const filters = { group: parameters.get('group') ?? '', phase: parameters.get('phase') ?? '' };
  const cursor = parameters.get('cursor') ?? undefined;
  const groups = useGroups().data?.items ?? [];
  const rollouts = useRollouts({ ...filters, limit: PAGE_SIZE, cursor });
  const isFiltered = filters.group !== '' || filters.phase !== '';
  return (
    <>
      <PageHead title="Rollouts">
        {mayStart ? (
          <button type="button" className="primary" onClick={() => setStarting(true)}>
            Start a rollout
          </button>
        ) : null}
      </PageHead>
      {isStarting ? (
        <Dialog title="Start a rollout" wide onClose={() => setStarting(false)}>
          <StartForm onStarted={(id) => go(`/rollouts/${id}`)} />
        </Dialog>
      ) : null}
      <div className="filters">
        <label>
          <span>Group</span>
          <select value={filters.group} onChange={(event) => go(`/rollouts${queryText({ ...filters, group: event.target.value })}`)}>
            <option value="">any</option>
            {groups.map(({ name }) => (
              <option key={name}>{name}</option>
            ))}
          </select>
        </label>
        <label>
          <span>Phase</span>
          <select value={filters.phase} onChange={(event) => go(`/rollouts${queryText({ ...filters, phase: event.target.value })}`)}>
            <option value="">any</option>
            {PHASES.map((phase) => (
              <option key={phase} value={phase}>
                {wordOf('phase', phase).text}
              </option>
            ))}
          </select>
        </label>
      </div>
      <Answer query={rollouts}>
        {({ items, nextCursor }) => (
          <>
            {items.length === 0 ? (
              <Empty title={isFiltered ? 'No rollout fits' : 'There has been no rollout yet'}>
                {isFiltered ? (
                  <Link href="/rollouts">Show all rollouts</Link>
                ) : (
                  <p className="muted">Store a config, make a group, and move the group to it.</p>
                )}
              </Empty>
            ) : (
              <ul className="rollout-cards">
                {items.map((rollout) => (
                  <li key={rollout.id} className="card">
                    <div className="rollout-card-head">
                      <Link href={`/rollouts/${rollout.id}`}>
                        {rollout.group} → {configText(rollout.to)}
                      </Link>
                      <WordBadge kind="phase" value={rollout.phase} />
                      {rollout.holds.map((hold) => (
                        <Badge key={hold} tone="warn">
                          {holdWord(hold)}
                        </Badge>
                      ))}
                      <span className="push muted">
                        <Time at={rollout.createdAt} />
                      </span>
                    </div>
                    <StatusBar counts={rollout.counts} total={membersOf(rollout)} />
                    <span className="sub">
                      {agentsText(membersOf(rollout))} · from {configText(rollout.from)} · by {rollout.createdBy}
                      {rollout.outcome === '' ? (rollout.reason === '' ? '' : ` · ${rollout.reason}`) : ` · ${rollout.outcome}`}
                    </span>
                  </li>
                ))}
              </ul>
            )}
            <nav className="pager" aria-label="Pages of rollouts">
              {cursor === undefined ? <span /> : <Link href={`/rollouts${queryText(filters)}`}>First page</Link>}
              {nextCursor === null ? (
                items.length === 0 ? null : (
                  <span className="muted">That is all.</span>
                )
              ) : (
                <Link href={`/rollouts${queryText({ ...filters, cursor: nextCursor })}`}>Next page</Link>
              )}
            </nav>
          </>
        )}
      </Answer>
    </>
  );
}
