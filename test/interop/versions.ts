/** The releases that the interop suite builds. All are pinned; a change here or in a manifest makes a new build. */

/** opampsupervisor (with opamp-go 0.23.0 inside) and the collector under it: one release of contrib and core. */
export const COLLECTOR_VERSION = '0.149.0';

/** The collector whose rules our validation follows; it only judges configs, and so needs no opamp extension. */
export const JUDGE_VERSION = '0.159.0';

/** Newest opamp-go; a reconnect goes on with the next sequence number and sends no full state. */
export const OPAMP_GO_VERSION = '0.24.0';

/** Last opamp-go that sends its full state on every reconnect. */
export const OPAMP_GO_BEFORE_DELTA_VERSION = '0.22.0';

/** Oldest Go release that compiles the above. */
export const MIN_GO_VERSION: readonly [major: number, minor: number] = [1, 25];
