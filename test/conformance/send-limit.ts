import type { CheckContext } from './context.ts';
import { newConfig, singleFile } from './scenario.ts';

/** An agent with a config larger than the server may send: it gets no such message and stays served. */
export const checkSendLimit = async (context: CheckContext): Promise<void> => {
  const limitBytes = context.maxMessageBytes;
  const agent = await context.agent();
  await agent.first();
  const { files } = newConfig();
  const body = `${files['']?.body ?? ''}${`# ${'x'.repeat(62)}\n`.repeat(Math.ceil(limitBytes / 64) + 1)}`;
  try {
    await context.api.assignConfig(agent.uid, singleFile(body));
  } catch (error) {
    context.notApplicable(`the API takes no config over the limit: ${String(error)}`);
  }
  const small = await context.agent();
  await small.first();
  await context.api.assignConfig(small.uid, newConfig().files);
  await small.untilOffer();
  for (let index = 0; index < 3; index++) await agent.beat();
  context.expect(agent.offers.length === 0, 'the config over the limit was sent');
  context.expect(!agent.link.isEnded, 'the connection was closed');
};
