/** What the breaker of the whole fleet remembers between steps. Times are Redis ms. */
export interface FleetWatch {
  /** Unhealthy and connected agents before the oldest running rollout began. */
  before: { connected: number; unhealthy: number };
  /** Agents that were connected at some time; believed less and less, see {@link expectedConnected}. */
  peak: { connected: number; atMs: number };
  /** The fewest that were connected since there are more than expected; they count once that has lasted. */
  rise: { connected: number; sinceMs: number } | null;
  /** Ids of the gateways seen last, and when one of them was gone. */
  gateways: string[];
  gatewayLostAtMs: number | null;
  /** Since when too many are unhealthy or gone. */
  unhealthySinceMs: number | null;
  goneSinceMs: number | null;
  /** Since when, while the breaker holds, so few are that it can be lifted. */
  calmSinceMs: number | null;
}

/** A gateway as the breaker sees it. */
export interface WatchedGateway {
  id: string;
  draining: boolean;
  connected: number;
  unhealthy: number;
}

const MIN_AGENTS = 20;
const TRIP_SHARE = 0.05;
const CALM_SHARE = 0.02;
/** Longer than a lease: that of a gateway which died still counts agents that are connected elsewhere by now. */
const RISE_MS = 30_000;
/** A fleet may shrink by the tripping share in so long without being called gone: scaling down is no outage. */
const SHRINK_MS = 600_000;

/** Connected and unhealthy agents of all gateways. */
export function fleetSum(gateways: readonly WatchedGateway[]): { connected: number; unhealthy: number } {
  return gateways.reduce(
    (sum, { connected, unhealthy }) => ({ connected: sum.connected + connected, unhealthy: sum.unhealthy + unhealthy }),
    {
      connected: 0,
      unhealthy: 0,
    },
  );
}

/** Begins to watch, against a share that was measured before. */
export function startWatch(before: FleetWatch['before'], gateways: readonly WatchedGateway[], nowMs: number): FleetWatch {
  return {
    before,
    peak: { connected: fleetSum(gateways).connected, atMs: nowMs },
    rise: null,
    gateways: gateways.map((gateway) => gateway.id).toSorted(),
    gatewayLostAtMs: null,
    unhealthySinceMs: null,
    goneSinceMs: null,
    calmSinceMs: null,
  };
}

function expectedConnected(watch: FleetWatch, nowMs: number): number {
  return watch.peak.connected * (1 - Math.min(1, (TRIP_SHARE * (nowMs - watch.peak.atMs)) / SHRINK_MS));
}

/** The fleet at one moment. */
export interface FleetMoment {
  nowMs: number;
  gateways: readonly WatchedGateway[];
  /** Agents under way in rollouts. */
  open: number;
  holding: boolean;
  /** How long too many have to be unhealthy; twice as long gone, or few again for the hold to be lifted. */
  patienceMs: number;
}

/**
 * Looks at the whole fleet: too many newly unhealthy for `patienceMs`, or gone for twice as long. `open` agents may be either, because
 * they were asked to restart; so may those of a draining gateway, and of one that was lost less than that ago. Returns the watch to
 * remember (the same object when nothing has to be), why offers must stop (null when they need not), and whether it would matter that
 * more agents are under way than `open` says. Pure.
 */
export function watchFleet(watch: FleetWatch, fleet: FleetMoment): { watch: FleetWatch; detail: string | null; isUneasy: boolean } {
  const { nowMs, gateways, open, holding, patienceMs } = fleet;
  const next: FleetWatch = { ...watch };
  const ids = gateways.map((gateway) => gateway.id).toSorted();
  if (ids.join('\n') !== watch.gateways.join('\n')) {
    if (watch.gateways.some((id) => !ids.includes(id))) next.gatewayLostAtMs = nowMs;
    next.gateways = ids;
  }
  const all = fleetSum(gateways);
  const settled = fleetSum(gateways.filter((gateway) => !gateway.draining));
  const expected = expectedConnected(watch, nowMs);
  if (all.connected <= expected * 1.01) {
    next.rise = null;
  } else {
    const rise = { connected: Math.min(all.connected, watch.rise?.connected ?? all.connected), sinceMs: watch.rise?.sinceMs ?? nowMs };
    next.rise = rise;
    if (nowMs - rise.sinceMs >= RISE_MS) {
      next.peak = { connected: rise.connected, atMs: nowMs };
      next.rise = null;
    }
  }

  const usual = watch.before.connected === 0 ? 0 : watch.before.unhealthy / watch.before.connected;
  const unhealthy = Math.max(0, Math.round(settled.unhealthy - usual * settled.connected - open));
  const moving = next.gatewayLostAtMs !== null && nowMs - next.gatewayLostAtMs < 2 * patienceMs;
  const gone = moving || gateways.length === 0 ? 0 : Math.max(0, Math.round(expected - all.connected - open));
  const isMany = (count: number, of: number, share: number): boolean => count >= MIN_AGENTS && count >= share * of;

  next.unhealthySinceMs = isMany(unhealthy, settled.connected, TRIP_SHARE) ? (watch.unhealthySinceMs ?? nowMs) : null;
  next.goneSinceMs = isMany(gone, expected, TRIP_SHARE) ? (watch.goneSinceMs ?? nowMs) : null;
  const calm = !isMany(unhealthy, settled.connected, CALM_SHARE) && !isMany(gone, expected, CALM_SHARE);
  next.calmSinceMs = holding && calm ? (watch.calmSinceMs ?? nowMs) : null;

  const detail = verdict(next, { nowMs, holding, unhealthy, gone, connected: all.connected, patienceMs });
  const isUneasy = next.unhealthySinceMs !== null || next.goneSinceMs !== null || (holding && !calm);
  return { watch: JSON.stringify(next) === JSON.stringify(watch) ? watch : next, detail, isUneasy };
}

function verdict(
  watch: FleetWatch,
  now: { nowMs: number; holding: boolean; unhealthy: number; gone: number; connected: number; patienceMs: number },
): string | null {
  const { patienceMs } = now;
  if (now.holding) {
    const lifted = watch.calmSinceMs !== null && now.nowMs - watch.calmSinceMs >= 2 * patienceMs;
    return lifted ? null : `the fleet has not been calm for ${Math.round((2 * patienceMs) / 1_000)} s`;
  }
  if (watch.unhealthySinceMs !== null && now.nowMs - watch.unhealthySinceMs >= patienceMs) {
    return `${now.unhealthy} agents of ${now.connected} have become unhealthy, more than rollouts explain`;
  }
  if (watch.goneSinceMs !== null && now.nowMs - watch.goneSinceMs >= 2 * patienceMs) {
    return `${now.gone} agents have gone and are back on no gateway; ${now.connected} are connected`;
  }
  return null;
}
