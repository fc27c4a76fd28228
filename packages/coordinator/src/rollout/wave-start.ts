import { currentStrategy } from './document.ts';
import type { Draft } from './draft.ts';
import { startWatch } from './fleet-breaker.ts';
import { buildsOf, chooseCanary, memberCount, planWave, rateOf, shareOf } from './plan.ts';
import type { CanaryChoice } from './plan.ts';
import type { FleetView, Need } from './view.ts';

/** The canaries that the present wave would take; undefined when it takes none by itself. */
export function canaryChoice(draft: Draft, view: FleetView): CanaryChoice | 'candidates' | undefined {
  const { size, canary } = currentStrategy(draft.document);
  if (!canary || size.kind !== 'share') return undefined;
  if (view.candidates === undefined) return 'candidates';
  const count = shareOf(size, memberCount(view.members));
  const { strategy } = draft.document;
  return chooseCanary(view.candidates, {
    count,
    nowMs: draft.nowMs,
    minHealthyMs: strategy.canaryMinHealthyMs,
    builds: buildsOf(draft.document),
  });
}

/** Starts the present wave: fixes how far it goes, over the members connected now. */
export function startWave(draft: Draft, view: FleetView): boolean | Need {
  const { document, wave } = draft;
  const choice = canaryChoice(draft, view);
  if (choice === 'candidates') return choice;
  if (document.startedAtMs === null) startRollout(draft, view);

  const data: Record<string, unknown> = { wave: document.waveIndex };
  const { size } = currentStrategy(document);
  if (typeof choice === 'object') {
    document.canary = choice.chosen.map(({ uid, origin }) => ({ uid, origin }));
    wave.members = memberCount(view.members);
    wave.target = choice.chosen.length;
    Object.assign(data, {
      canary: document.canary.length,
      strata: choice.strata,
      strataCovered: choice.strataCovered,
      unproven: choice.unproven,
    });
  } else {
    if (size.kind === 'agents') document.canary = size.agents.map((uid) => ({ uid, origin: uid }));
    const plan = planWave(document, view.members);
    wave.members = plan.members;
    wave.target = plan.target;
    const slice = document.slices[plan.sliceIndex];
    if (slice !== undefined) slice.end = plan.end;
  }
  wave.startedAtMs = draft.nowMs;
  wave.startedActiveMs = draft.activeMs;
  const rate = rateOf(document.strategy, view.counters);
  document.pacing = { atMs: draft.nowMs, credit: rate === null ? 0 : Math.max(1, rate), rate };
  draft.moveWave('start');
  draft.emit('wave.started', '', { ...data, members: wave.members, target: wave.target });
  return true;
}

function startRollout(draft: Draft, view: FleetView): void {
  const { document } = draft;
  document.startedAtMs = draft.nowMs;
  document.startedActiveMs = draft.activeMs;
  document.fleet = startWatch(view.fleetBefore, view.gateways, draft.nowMs);
  // A rollout that waited for another one goes back to what that one left proven.
  document.from = view.stable ?? document.baseline;
  document.warnings = document.warnings.filter((warning) => warning !== 'no_way_back');
  if (document.from === null) document.warnings.push('no_way_back');
}
