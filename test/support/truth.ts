/**
 * Compares what the agents themselves recorded with what the product says. Every function lists what is wrong in words, so
 * that a test can wait for an empty list, or show it.
 */
import type { AgentRecord } from '@opamp-gateway/loadtest/agent-record';
import type { AgentView, Counts, RolloutEvent, RolloutState, RolloutView } from './api-client.ts';

const SHORT = 8;
const LISTED = 12;

function short(hash: string | null): string {
  return hash === null ? 'nothing' : hash.slice(0, SHORT);
}

/** At most a dozen, and how many more there are. */
export function atMost(problems: readonly string[]): readonly string[] {
  return problems.length > LISTED ? [...problems.slice(0, LISTED), `and ${problems.length - LISTED} more`] : problems;
}

function nameOf({ index, profile, uid }: AgentRecord): string {
  return `agent ${index} (${profile}, ${uid})`;
}

/** Why an agent does not report, run and keep on disk this config (null: none). */
export function wrongWith({ running, onDisk, lastReported }: AgentRecord, hash: string | null): string | undefined {
  if (hash === null)
    return lastReported.hash === null && running === null ? undefined : `runs ${short(running)} and should run nothing of ours`;
  if (lastReported.status !== 'APPLIED' || lastReported.hash !== hash) {
    return `last reported ${lastReported.status} of ${short(lastReported.hash)}, not APPLIED of ${short(hash)}`;
  }
  if (running !== hash) return `runs ${short(running)}, not ${short(hash)}`;
  return onDisk === hash ? undefined : `has ${short(onDisk)} on disk, not ${short(hash)}`;
}

/** Agents that do not report, run and keep the one config that they should. */
export function notOn(records: readonly AgentRecord[], hash: string | null): readonly string[] {
  return atMost(
    records.flatMap((record) => {
      const wrong = wrongWith(record, hash);
      return wrong === undefined ? [] : [`${nameOf(record)} ${wrong}`];
    }),
  );
}

/** Invariant I9: every online agent reports, runs and keeps what the API says is desired of it; `isExcused` names the listed ones. */
export function notDesired(
  records: readonly AgentRecord[],
  views: readonly AgentView[],
  isExcused: (record: AgentRecord) => boolean = () => false,
): readonly string[] {
  const byUid = new Map(views.map((view) => [view.uid, view]));
  const problems: string[] = [];
  for (const record of records) {
    const view = byUid.get(record.uid);
    if (view === undefined) problems.push(`the API does not know ${nameOf(record)}`);
    else if (view.connected !== record.connected)
      problems.push(`the API says that ${nameOf(record)} is ${view.connected ? '' : 'not '}connected`);
    else if (record.connected && !isExcused(record)) {
      const wrong = wrongWith(record, view.config.desired?.hash ?? null);
      if (wrong !== undefined) problems.push(`${nameOf(record)} ${wrong}`);
      if (view.config.hash !== record.lastReported.hash || view.config.status.toUpperCase() !== record.lastReported.status) {
        problems.push(`the API says that ${nameOf(record)} reported ${view.config.status} of ${short(view.config.hash)}`);
      }
    }
  }
  return atMost(problems);
}

/** Invariant I7 and the other rules of the protocol that an agent can see broken. */
export function violations(records: readonly AgentRecord[]): readonly string[] {
  return atMost(
    records.flatMap((record) =>
      Object.entries(record.violations)
        .filter(([, count]) => count > 0)
        .map(([rule, count]) => `${nameOf(record)} counted ${rule}: ${count}`),
    ),
  );
}

/** Agents that were ever offered a config. */
export function offeredTo(records: readonly AgentRecord[], hash: string): readonly AgentRecord[] {
  return records.filter(({ offers }) => offers.some((offer) => offer.hash === hash));
}

/** Statuses of a rollout that say what became of agents. Who came back as its last wave passed may still be under way when it ends. */
export function settledStatuses(counts: Counts): readonly string[] {
  const underWay = new Set(['offered', 'applying', 'verifying']);
  return Object.keys(counts).filter((status) => !underWay.has(status));
}

/** What a finished rollout's counters have to be, by the agents' own records alone. Only for fleets that stayed online. */
export function countsByTruth(records: readonly AgentRecord[], rollout: Pick<RolloutView, 'phase' | 'to' | 'from'>): Counts {
  const counts: Record<string, number> = {};
  const add = (status: string): void => {
    counts[status] = (counts[status] ?? 0) + 1;
  };
  for (const { lastReported, everFailed } of offeredTo(records, rollout.to.hash)) {
    const isOn = (hash: string | undefined): boolean => lastReported.status === 'APPLIED' && lastReported.hash === hash;
    if (rollout.phase === 'rolled_back') add(isOn(rollout.from?.hash) ? 'restored' : 'restoreFailed');
    else if (everFailed.includes(rollout.to.hash)) add('failed');
    else add(isOn(rollout.to.hash) ? 'applied' : 'unanswered');
  }
  return counts;
}

function differences(what: string, shown: Counts, true_: Counts): readonly string[] {
  const statuses = new Set([...Object.keys(shown), ...Object.keys(true_)]);
  return [...statuses]
    .filter((status) => (shown[status] ?? 0) !== (true_[status] ?? 0))
    .map((status) => `${what} ${status}: ${shown[status] ?? 0} shown, ${true_[status] ?? 0} true`);
}

/**
 * Where the rollout's counters differ from what the agents' own records add up to. Whose offer was recorded and had not left when the
 * rollout turned back is restored as well: it was never offered anything and has what it had.
 */
export function countersDiffer(rollout: RolloutView, records: readonly AgentRecord[]): readonly string[] {
  const truth = { ...countsByTruth(records, rollout) };
  if (rollout.phase === 'rolled_back') {
    const kept = records.filter(
      (record) => offeredTo([record], rollout.to.hash).length === 0 && wrongWith(record, rollout.from?.hash ?? null) === undefined,
    );
    const true_ = truth['restored'] ?? 0;
    truth['restored'] = Math.min(Math.max(rollout.counts['restored'] ?? 0, true_), true_ + kept.length);
  }
  return differences('counter', rollout.counts, truth);
}

/** What is wrong with the counters of a rollout that was taken back: everybody it has touched is restored, and nobody anything else. */
export function notRestored({ counts }: Pick<RolloutView, 'counts'>, touched: readonly AgentRecord[]): readonly string[] {
  const others = Object.entries(counts).filter(([status, count]) => status !== 'restored' && count > 0);
  const restored = counts['restored'] ?? 0;
  return [
    ...others.map(([status, count]) => `${count} are ${status}`),
    ...(restored >= touched.length ? [] : [`${restored} are restored, ${touched.length} were offered the version`]),
  ];
}

/** Invariant I1: each wave's counters, and their sum, are what the rows of the agents add up to. For a rollout that rests, but has not ended: rows of ended ones are dropped with the agent's next write. */
export function countersAreNotRows(rollout: RolloutView, views: readonly AgentView[]): readonly string[] {
  const rows = views.flatMap((view) => view.rollouts[rollout.id] ?? []);
  const sum = (wave: string | undefined): Counts => {
    const counts: Record<string, number> = {};
    for (const row of rows) if (wave === undefined || row.wave === wave) counts[row.status] = (counts[row.status] ?? 0) + 1;
    return counts;
  };
  return [
    ...differences('rows', rollout.counts, sum(undefined)),
    ...rollout.waves.flatMap(({ counts }, index) => differences(`rows of wave ${index}`, counts, sum(String(index)))),
    ...differences('late rows', rollout.late.counts, sum('late')),
  ];
}

/** Invariant I3: numbers without a gap from 1 on, each event beginning where the one before ended. */
export function eventsBroken(events: readonly RolloutEvent[]): readonly string[] {
  const problems: string[] = [];
  let before: RolloutState | null = null;
  events.forEach((event, index) => {
    if (event.seq !== index + 1) problems.push(`event ${index + 1} has the number ${event.seq}`);
    if (JSON.stringify(event.from) !== JSON.stringify(before)) {
      problems.push(`event ${event.seq} (${event.type}) begins at ${JSON.stringify(event.from)} after ${JSON.stringify(before)}`);
    }
    before = event.to;
  });
  return atMost(problems);
}

/**
 * Invariant I2: before wave k began, by the events, no more agents had been offered the rollout's config than the waves before
 * it count.
 */
export function offeredTooEarly(rollout: RolloutView, events: readonly RolloutEvent[], records: readonly AgentRecord[]): readonly string[] {
  const sizeOf = (counts: Counts): number => Object.values(counts).reduce((sum, count) => sum + count, 0);
  const createdAtMs = Date.parse(rollout.createdAt);
  const firstOffers = records.flatMap(
    ({ offers }) => offers.find(({ hash, atMs }) => hash === rollout.to.hash && atMs >= createdAtMs)?.atMs ?? [],
  );
  let allowed = sizeOf(rollout.late.counts);
  return rollout.waves.flatMap(({ counts }, index) => {
    const began = events.find(({ to }) => to.waveIndex >= index && !(to.waveIndex === index && to.wavePhase === 'pending'));
    const beganAtMs = began === undefined ? Number.POSITIVE_INFINITY : Date.parse(began.at);
    const early = firstOffers.filter((atMs) => atMs < beganAtMs).length;
    const problem =
      early > allowed ? [`${early} agents were offered the config before wave ${index} began, the waves before count ${allowed}`] : [];
    allowed += sizeOf(counts);
    return problem;
  });
}

/**
 * Invariant I8: never more than `maxInFlight` agents with an offer and no answer. Who has an offer keeps its place for at
 * least the time that applying takes, so any `maxInFlight` + 1 offers in a row have to span that. Only for fleets that
 * stayed online and answer no faster.
 */
export function tooManyAtOnce(
  records: readonly AgentRecord[],
  hash: string,
  limits: { readonly maxInFlight: number; readonly applyMs: number },
): readonly string[] {
  const times = offeredTo(records, hash)
    .map(({ offers }) => offers.find((offer) => offer.hash === hash)?.atMs ?? 0)
    .toSorted((left, right) => left - right);
  return atMost(
    times.flatMap((atMs, index) => {
      const next = times[index + limits.maxInFlight];
      // Timers may be a millisecond early.
      if (next === undefined || next - atMs >= limits.applyMs - 1) return [];
      return [
        `${limits.maxInFlight + 1} agents were offered ${hash.slice(0, SHORT)} within ${next - atMs} ms, applying takes ${limits.applyMs} ms`,
      ];
    }),
  );
}
