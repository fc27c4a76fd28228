import type { Draft } from './draft.ts';
import type { FleetView } from './view.ts';

/**
 * True when every gateway has met what the document says now and owes no offer. False as long as no gateway lives, and when
 * this very step tells them something new.
 */
export function allObserved(draft: Draft, view: FleetView): boolean {
  if (draft.specChanged || view.gateways.length === 0) return false;
  return view.gateways.every((gateway) => gateway.observed && gateway.backlog === 0);
}
