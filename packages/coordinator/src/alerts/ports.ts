import type { TakenAlert } from '@opamp-gateway/shared/redis/alert-scripts';
import type { Alert, AlertSeverity } from './alert.ts';

/** Where one delivery stands. */
export interface DeliveryView {
  target: string;
  state: 'pending' | 'delivered' | 'dead';
  attempts: number;
  /** RFC 3339; null before the first. */
  lastAttemptAt: string | null;
  nextAttemptAt: string | null;
  /** Of the last attempt; empty when it succeeded. */
  error: string;
}

/** An alert with what became of it. */
export interface AlertView extends Alert {
  /** Also `webhook-id` of its webhooks. */
  id: string;
  deliveries: DeliveryView[];
}

/** How many deliveries there are in each state that matters. */
export interface AlertCounts {
  /** Messages that are in the outbox and not handed to the targets yet. */
  outbox: number;
  pending: number;
  dead: number;
}

/** Where alerts are kept. Every method rejects when Redis cannot be reached. */
export interface AlertStore {
  /** Messages of the outbox that wait to be handed to targets, oldest first. */
  outbox(limit: number): Promise<{ id: string; message: string }[]>;
  /** Hands messages to their targets. */
  admit(messages: readonly { id: string; targets: readonly string[] }[]): Promise<{ givenUp: number; dropped: number }>;
  /** Names of targets that something was ever to be delivered to. */
  knownTargets(): Promise<string[]>;
  take(options: {
    leaseMs: number;
    targets: readonly { name: string; limit: number; hiddenMs: number }[];
  }): Promise<{ held: boolean; holder: string; due: TakenAlert[] }>;
  settle(attempt: {
    id: string;
    target: string;
    outcome: 'delivered' | 'retry' | 'dead';
    attempts: number;
    delayMs: number;
    error: string;
  }): Promise<boolean>;
  /** Dead deliveries are due again; all of them, those of these alerts, or those of one target. Returns how many. */
  retry(which: { ids?: readonly string[] | undefined; target?: string | undefined }): Promise<number>;
  /** Newest first. `before`: id of the last one seen. */
  list(query: { limit: number; before?: string | undefined; state?: 'pending' | 'dead' | undefined }): Promise<AlertView[]>;
  counts(): Promise<AlertCounts>;
  /** Tells an alert that belongs to no change of state. */
  add(alert: Omit<Alert, 'at'>): Promise<void>;
  /** State of something that is watched, '' when nothing is noted. */
  stateOf(name: string): Promise<string>;
  /** Changes it and tells an alert in the same step; false when somebody else was first. */
  change(change: { name: string; from: string; to: string; alert: Omit<Alert, 'at'> }): Promise<boolean>;
}

/** A target as the API shows it. */
export interface AlertTargetView {
  name: string;
  /** Host of its URL: the rest can be a secret. */
  host: string;
  minSeverity: AlertSeverity;
  types: readonly string[] | null;
}

/** What the API works with. */
export interface AlertService {
  store: Pick<AlertStore, 'list' | 'retry' | 'counts' | 'add'>;
  targets(): AlertTargetView[];
}
