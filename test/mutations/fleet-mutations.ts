import type { Mutation } from './built-copy.ts';
import * as scenarios from './fleet-scenarios.ts';

/** A defect of the rollout machinery, and the scenario that has to notice it. */
export interface FleetMutation extends Mutation {
  /** Resolves when the packages of this root behave; rejects with what went wrong. */
  readonly scenario: (root: string) => Promise<void>;
}

/** The four checks on which the machinery stands, each taken out. */
export const FLEET_MUTATIONS: readonly FleetMutation[] = [
  {
    name: 'no-rev-check',
    does: 'a step of a rollout commits although somebody else committed one in between',
    file: 'shared/lua/commit-rollout.lua',
    find: "if rev ~= expected then return { 'stale', rev } end",
    replace: '',
    scenario: scenarios.actionsAtTheSameTime,
  },
  {
    name: 'no-hash-check',
    does: 'a status report counts as an answer to the offer, whatever hash it names',
    file: 'gateway/dist/reconciler/reconcile.js',
    find: "if (report.hash === '' || report.hash !== known) {",
    replace: "if (report.hash === '') {",
    scenario: scenarios.lostOfferAfterAnOldReport,
  },
  {
    name: 'no-epoch-check',
    does: 'a gateway overwrites the record of an agent that another one has taken over',
    file: 'shared/lua/flush.lua',
    find: 'if not rec.epoch or tonumber(epoch) < tonumber(rec.epoch) then',
    replace: 'if not rec.epoch then',
    scenario: scenarios.lateWriteOfAFormerOwner,
  },
  {
    name: 'no-sweep',
    does: 'no coordinator looks for rollouts that are due',
    file: 'shared/lua/take-due.lua',
    find: 'table.insert(ids, 1, text)',
    replace: 'ids = { text }',
    scenario: scenarios.everyCoordinatorDies,
  },
];
