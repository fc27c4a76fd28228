import type { CheckContext } from './context.ts';
import type { Check, Level } from './check.ts';
import { BOTH, WS } from './check.ts';
import { SERVER } from './wire.ts';

/** An optional part of the protocol that a server announces by a capability bit. */
export interface Feature {
  readonly bit: bigint;
  readonly name: string;
}

export const CONNECTION_SETTINGS: Feature = {
  bit: SERVER.offersConnectionSettings,
  name: 'OffersConnectionSettings',
};
export const CSR: Feature = {
  bit: SERVER.acceptsConnectionSettingsRequest,
  name: 'AcceptsConnectionSettingsRequest',
};
export const PACKAGES: Feature = { bit: SERVER.offersPackages, name: 'OffersPackages' };

/**
 * The place of a check about an optional feature that the suite has no test for yet. Not applicable either way: to a
 * server without the feature because it has nothing to show, to one with it because nothing is tried; the reason says
 * which of the two.
 */
export const featureCheck = (feature: Feature, id: number, level: Level, title: string, clause: string): Check => ({
  id,
  level,
  title,
  clause,
  transports: BOTH,
  needs: [],
  async run(context: CheckContext) {
    const agent = await context.agent();
    const { capabilities } = await agent.first();
    context.notApplicable(
      (capabilities & feature.bit) === 0n
        ? `not offered by this server (${feature.name} is not announced)`
        : `announced (${feature.name}), but this suite has no test for it yet`,
    );
  },
});

/** The place of a check that looks at a deployment or an organisation, not at a protocol peer. */
export const reviewCheck = (id: number, level: Level, title: string, clause: string): Check => ({
  id,
  level,
  title,
  clause,
  transports: WS,
  needs: [],
  run: (context: CheckContext) => context.notApplicable('cannot be seen from outside; a question for a review'),
});
