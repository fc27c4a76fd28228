import { useState } from 'react';
import { useLocation } from 'wouter';
import { type Permission, useMay, useMe } from '../api/access.ts';
import { call } from '../api/client.ts';
import type { Rollout } from '../api/types.ts';
import { type Action, ActionButton } from '../parts/action-dialog.tsx';
import { agentsText, configText, FAILING, sumOf } from '../words.ts';
import { TuneDialog } from './tune-dialog.tsx';
import { expectedSizes } from './waves.tsx';

/** Holds that a person lifts by resuming. */
const RESUMABLE: ReadonlySet<string> = new Set(['manual', 'threshold', 'deadline', 'gate_error', 'gate_inconclusive']);
const UNDER_WAY = ['offered', 'applying', 'verifying'];

type Offer = Omit<Action, 'run'> & {
  readonly call: string;
  readonly kind: 'plain' | 'primary' | 'danger';
  /** One of these is needed. */
  readonly needs: readonly Permission[];
};

const STOPS = ['rollouts.stop'] as const;
const STEERS = ['rollouts.write'] as const;

/** What can be done with a rollout as it stands, with the number of agents that each touches. */
function offersOf(rollout: Rollout, members: number): Offer[] {
  const { phase, holds, counts, from, waves, waveIndex } = rollout;
  const touched = sumOf(counts) - sumOf(counts, ['skipped', 'left']);
  const untouched = Math.max(0, members - sumOf(counts));
  const underWay = sumOf(counts, UNDER_WAY);
  const failing = sumOf(counts, FAILING);
  const back =
    from === null
      ? `There is no earlier version: ${agentsText(touched)} keep what they have.`
      : `${agentsText(touched)} that had ${configText(rollout.to)} go back to ${configText(from)}. ${agentsText(untouched)} were not reached and stay as they are.`;
  const offers: Offer[] = [];
  if (phase === 'running') {
    const isHeldByPerson = holds.includes('manual');
    if (!isHeldByPerson)
      offers.push({
        call: 'pause',
        needs: STOPS,
        label: 'Pause',
        kind: 'plain',
        effect: `Nobody new is offered it: ${agentsText(untouched)} wait. ${agentsText(underWay)} under way finish.`,
      });
    if (holds.some((hold) => RESUMABLE.has(hold)))
      offers.push({
        call: 'resume',
        needs: STEERS,
        label: 'Resume',
        kind: 'primary',
        effect: `It goes on to ${agentsText(untouched)}, once all gates pass again.`,
      });
    const wave = waves[waveIndex];
    const waitsForApproval = holds.includes('approval');
    if (waitsForApproval || holds.includes('gate_inconclusive') || holds.includes('gate_error') || wave?.phase === 'soaking') {
      const next = expectedSizes(waves, members)[wave?.phase === 'pending' ? waveIndex : waveIndex + 1] ?? 0;
      offers.push({
        call: 'promote',
        needs: waitsForApproval ? ['rollouts.approve'] : STEERS,
        label: waitsForApproval ? 'Approve' : 'Promote',
        kind: 'primary',
        effect:
          next === 0
            ? `The last soak ends now: ${configText(rollout.to)} becomes the proven version of ${agentsText(members)}.`
            : `${wave?.phase === 'soaking' ? 'The soak ends now' : 'The wave is approved'}: the next one reaches ${agentsText(next)}.`,
      });
    }
    if (failing > 0)
      offers.push({
        call: 'retry',
        needs: STEERS,
        label: 'Retry',
        kind: 'plain',
        effect: `${agentsText(failing)} that failed are offered it once more.`,
      });
    if (touched > 0) offers.push({ call: 'abort', needs: STOPS, label: 'Abort', kind: 'danger', isDangerous: true, effect: back });
    else
      offers.push({
        call: 'cancel',
        needs: STEERS,
        label: 'Cancel',
        kind: 'danger',
        isDangerous: true,
        effect: `It ends, having touched no agent. ${agentsText(members)} stay as they are.`,
      });
  }
  if (phase === 'succeeded' && from !== null)
    offers.push({
      call: 'rollback',
      needs: STEERS,
      label: 'Roll back',
      kind: 'danger',
      isDangerous: true,
      effect: `A new rollout takes ${agentsText(members)} back to ${configText(from)}, in one wave.`,
    });
  return offers;
}

/** Whether the viewer started this rollout, as far as the coordinator can tell people apart. */
export function useIsOwn({ createdBy }: Pick<Rollout, 'createdBy'>): boolean {
  const me = useMe().data;
  return me !== undefined && me.kind !== 'anonymous' && me.name === createdBy;
}

/** The buttons of a rollout. */
export function RolloutActions({
  rollout,
  members,
  onDone,
}: {
  readonly rollout: Rollout;
  readonly members: number;
  readonly onDone: () => void;
}) {
  const [, go] = useLocation();
  const may = useMay();
  const [isTuning, setTuning] = useState(false);
  const isOwn = useIsOwn(rollout);
  const offers = offersOf(rollout, members)
    .filter(({ needs }) => needs.some((permission) => may(permission, { group: rollout.group })))
    // Whoever started it cannot approve it.
    .filter(({ label }) => !(isOwn && label === 'Approve'));
  return (
    <>
      {rollout.phase === 'running' && may('rollouts.write', { group: rollout.group }) ? (
        <button type="button" onClick={() => setTuning(true)}>
          Pace and limits
        </button>
      ) : null}
      {isTuning ? <TuneDialog rollout={rollout} onClose={() => setTuning(false)} onDone={onDone} /> : null}
      {offers.map(({ call: name, kind, needs: _needs, ...action }) => (
        <ActionButton
          key={name}
          kind={kind}
          action={{
            ...action,
            run: async (reason) => {
              const answer = await call<{ id: string }>(`/rollouts/${encodeURIComponent(rollout.id)}/${name}`, {
                method: 'POST',
                body: { reason },
              });
              onDone();
              if (answer.id !== rollout.id) go(`/rollouts/${answer.id}`);
            },
          }}
        />
      ))}
    </>
  );
}
