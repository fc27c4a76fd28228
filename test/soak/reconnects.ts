import { startFleet } from '../support/fleet.ts';
import { startStack } from '../support/stack.ts';
import { rolloutThroughStorm, STORM_FLEET, STORM_STACK } from '../support/storm.ts';

const AGENTS = 10_000;

/** All of ten thousand agents lose their connections in the middle of a wave and come back within ten seconds. Answers what is wrong. */
export async function reconnectTenThousand(): Promise<{ problems: string[]; detail: string }> {
  const stack = await startStack(STORM_STACK);
  try {
    const fleet = await startFleet(stack, { name: 'storm', agents: AGENTS, ...STORM_FLEET });
    try {
      return await rolloutThroughStorm(stack, fleet);
    } finally {
      await fleet.close();
    }
  } catch (error) {
    const problem = error instanceof Error ? error.message : String(error);
    return { problems: [problem, `logs are in ${await stack.keepLogs()}`], detail: `${AGENTS} agents` };
  } finally {
    await stack.stop();
  }
}
