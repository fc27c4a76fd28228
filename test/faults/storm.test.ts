/** A whole fleet loses its connections in the middle of a wave: I1, I2, I3, I7 and I9 by `expectTruth`. The soak does the same with 10,000 agents. */
import { expect, test } from 'vitest';
import { shareStack, useFleet } from '../support/lifetimes.ts';
import { rolloutThroughStorm, STORM_FLEET, STORM_STACK } from '../support/storm.ts';

const stack = shareStack(STORM_STACK);

test(
  'two thousand agents that all lose their connection in the middle of a wave and come back within ten seconds are offered the version once each, and end on it',
  { timeout: 600_000 },
  async (context) => {
    const fleet = await useFleet(context, stack(), { name: 'storm', agents: 2_000, ...STORM_FLEET });
    const { problems, detail } = await rolloutThroughStorm(stack(), fleet);
    expect(problems, detail).toEqual([]);
  },
);
