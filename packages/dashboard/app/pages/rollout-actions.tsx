import { useLocation } from 'wouter';
import { call } from '../api/client.ts';
import type { Rollout } from '../api/types.ts';
import { type Action, ActionButton } from '../parts/action-dialog.tsx';
import { agentsText, configText, FAILING, sumOf } from '../words.ts';
import { expectedSizes } from './waves.tsx';

/** Holds that a person lifts by resuming. */
const RESUMABLE: ReadonlySet<string> = new Set(['manual', 'threshold', 'deadline', 'gate_error', 'gate_inconclusive']);
const UNDER_WAY = ['offered', 'applying', 'verifying'];

type Offer = Omit<Action, 'run'> & { readonly call: string; readonly kind: 'plain' | 'primary' | 'danger' };

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
        label: 'Pause',
        kind: 'plain',
        effect: `Nobody new is offered it: ${agentsText(untouched)} wait. ${agentsText(underWay)} under way finish.`,
      });
    if (holds.some((hold) => RESUMABLE.has(hold)))
      offers.push({
        call: 'resume',
        label: 'Resume',
        kind: 'primary',
        effect: `It goes on to ${agentsText(untouched)}, once all gates pass again.`,
      });
    const wave = waves[waveIndex];
    if (holds.includes('approval') || holds.includes('gate_inconclusive') || holds.includes('gate_error') || wave?.phase === 'soaking') {
      const next = expectedSizes(waves, members)[wave?.phase === 'pending' ? waveIndex : waveIndex + 1] ?? 0;
      offers.push({
        call: 'promote',
        label: 'Promote',
        kind: 'primary',
        effect:
          next === 0
            ? `The last soak ends now: ${configText(rollout.to)} becomes the proven version of ${agentsText(members)}.`
            : `${wave?.phase === 'soaking' ? 'The soak ends now' : 'The wave is approved'}: the next one reaches ${agentsText(next)}.`,
      });
    }
    if (failing > 0)
      offers.push({ call: 'retry', label: 'Retry', kind: 'plain', effect: `${agentsText(failing)} that failed are offered it once more.` });
    if (touched > 0) offers.push({ call: 'abort', label: 'Abort', kind: 'danger', isDangerous: true, effect: back });
    else
      offers.push({
        call: 'cancel',
        label: 'Cancel',
        kind: 'danger',
        isDangerous: true,
        effect: `It ends, having touched no agent. ${agentsText(members)} stay as they are.`,
      });
  }
  if (phase === 'succeeded' && from !== null)
    offers.push({
      call: 'rollback',
      label: 'Roll back',
      kind: 'danger',
      isDangerous: true,
      effect: `A new rollout takes ${agentsText(members)} back to ${configText(from)}, in one wave.`,
    });
  return offers;
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
  return (
    <>
      {offersOf(rollout, members).map(({ call: name, kind, ...action }) => (
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
