import type { ServerToAgent } from '@opamp-gateway/proto/opamp';
import type { CheckContext } from './context.ts';
import type { Reaction } from './link.ts';
import { describeReaction } from './link.ts';
import type { ConfigFiles } from './target.ts';
import type { Offer, TestAgent } from './test-agent.ts';
import { CONFIG_STATUS, DEFAULT_CAPABILITIES, ERROR_TYPE, presentParts, toHex } from './wire.ts';

let configCounter = 0;

/** A valid collector config that nobody else in this run uses; `marker` is a comment-free part of its text. */
export const newConfig = (): { readonly files: ConfigFiles; readonly marker: string } => {
  configCounter += 1;
  const marker = `conformance-${Date.now().toString(36)}-${configCounter}`;
  return { files: singleFile(configText(marker)), marker };
};

/** One unnamed YAML file. */
export const singleFile = (body: string): ConfigFiles => ({
  '': { body, contentType: 'text/yaml' },
});

/** A small working collector config with `marker` in it; `extra` lines go to the end of the resource attributes. */
export const configText = (marker: string): string =>
  [
    'receivers:',
    '  otlp:',
    '    protocols:',
    '      grpc:',
    '        endpoint: 127.0.0.1:4317',
    'processors:',
    '  attributes:',
    '    actions:',
    '      - key: conformance.marker',
    `        value: ${marker}`,
    '        action: upsert',
    'exporters:',
    '  debug:',
    '    verbosity: basic',
    'service:',
    '  pipelines:',
    '    traces:',
    '      receivers: [otlp]',
    '      processors: [attributes]',
    '      exporters: [debug]',
    '',
  ].join('\n');

/** Whether an offer carries the config with this marker. */
export const hasMarker = (offer: Offer, marker: string): boolean => Object.values(offer.files).some((body) => body.includes(marker));

/** Assigns a fresh config to an agent that has reported, and waits until it is offered. */
export const assignAndAwaitOffer = async (context: CheckContext, agent: TestAgent): Promise<Offer & { readonly marker: string }> => {
  const { files, marker } = newConfig();
  await context.api.assignConfig(agent.uid, files);
  const offer = await agent.untilOffer('the offer of the assigned config', (candidate) => hasMarker(candidate, marker));
  return { ...offer, marker };
};

/** A fresh agent that has reported and applied a fresh config. */
export const agentWithConfig = async (context: CheckContext): Promise<{ readonly agent: TestAgent; readonly offer: Offer }> => {
  const agent = await context.agent();
  await agent.first();
  const offer = await assignAndAwaitOffer(context, agent);
  await agent.reportConfig(offer.hash, CONFIG_STATUS.applied);
  agent.mark();
  return { agent, offer };
};

/**
 * Proves that the server has had the time to offer something: a second agent gets a config assigned after the first
 * one's, and its offer arrives.
 */
export const awaitWitnessOffer = async (context: CheckContext): Promise<void> => {
  const witness = await context.agent();
  await witness.first();
  await assignAndAwaitOffer(context, witness);
  await witness.link.close();
};

/** Sends beats; returns all messages that came with them. */
export const beats = async (agent: TestAgent, count: number): Promise<ServerToAgent[]> => {
  const before = agent.received.length;
  for (let index = 0; index < count; index++) await agent.beat();
  return agent.received.slice(before);
};

/** Fails when a reply carries anything but the uid and what may be repeated at will. */
export const expectPlainAcknowledgement = (context: CheckContext, reply: ServerToAgent): void => {
  const extra = presentParts(reply).filter((part) => part !== 'capabilities' && part !== 'custom_capabilities');
  context.expect(extra.length === 0, `the acknowledgement also carries ${extra.join(', ')}`);
};

/** Whether a reaction refuses the message as malformed: error_response BAD_REQUEST, HTTP 400 or, if allowed, a close. */
export const isRefusal = (reaction: Reaction, mayClose: boolean): boolean => {
  if (reaction.kind === 'closed') return mayClose;
  if (reaction.kind === 'status') return reaction.status === 400;
  return reaction.kind === 'message' && reaction.message.errorResponse?.type === ERROR_TYPE.badRequest;
};

/** Fails unless the reaction refuses the message as malformed. */
export const expectRefusal = (context: CheckContext, what: string, reaction: Reaction, mayClose = false): void => {
  context.expect(isRefusal(reaction, mayClose), `${what} got ${describeReaction(reaction)}`);
};

/** Fails when an error_response is accompanied by anything but the uid. */
export const expectErrorAlone = (context: CheckContext, what: string, message: ServerToAgent): void => {
  const others = presentParts(message).filter((part) => part !== 'error_response');
  context.expect(others.length === 0, `${what}: error_response came together with ${others.join(', ')}`);
};

/** Agent capabilities without some bits. */
export const without = (bits: bigint, from = DEFAULT_CAPABILITIES): bigint => from & ~bits;

/** Hash bytes that no server would compute. */
export const foreignHash = (): Uint8Array => Buffer.from('00ff00ff00ff00ff', 'hex');

/** For messages: the first bytes of a hash. */
export const shortHash = (hash: Uint8Array): string => toHex(hash.subarray(0, 6));
