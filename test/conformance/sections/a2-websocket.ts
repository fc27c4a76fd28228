import { WS, type Check, type Section } from '../check.ts';
import type { CheckContext } from '../context.ts';
import { describeReaction } from '../link.ts';
import { OPCODE } from '../raw/frame.ts';
import { expectRefusal, isRefusal } from '../scenario.ts';
import { checkSendLimit } from '../send-limit.ts';
import { decodeWebSocketReply, encodeMessage, isSameBytes, newUid, padTo, withHeader } from '../wire.ts';

const MIB = 1024 * 1024;

/** Sends a WebSocket message of exactly `totalBytes` (header included) that is otherwise a correct beat. */
const sendSized = async (context: CheckContext, totalBytes: number): Promise<void> => {
  const link = await context.webSocketLink();
  const agent = context.agentOn(link);
  await agent.first();
  const reaction = await link.provoke(withHeader(padTo(encodeMessage(agent.next()), totalBytes - 1)));
  context.expect(
    reaction.kind === 'message' && reaction.message.errorResponse === undefined,
    `a message of ${totalBytes} bytes got ${describeReaction(reaction)}`,
  );
};

/** Sends one byte more than the limit; returns the close code. */
const overrunLimit = async (context: CheckContext, limitBytes: number): Promise<number> => {
  const link = await context.webSocketLink();
  const agent = context.agentOn(link);
  await agent.first();
  link.socket.sendBinary(withHeader(padTo(encodeMessage(agent.next()), limitBytes)));
  const code = await link.untilEnd();
  // The refused message counts as never received.
  const again = await context.webSocketLink();
  agent.moveTo(again);
  agent.sequenceNum -= 1n;
  const reply = await agent.beat();
  context.expect(reply.errorResponse === undefined, 'the agent is not served after an oversized message');
  return code;
};

const checkReceiveLimit = async (context: CheckContext, limitBytes: number): Promise<void> => {
  await sendSized(context, limitBytes);
  await overrunLimit(context, limitBytes);
  const link = await context.webSocketLink({ offerDeflate: true });
  if (link.socket.extensions === undefined) {
    context.note('permessage-deflate is not negotiated, so nothing can inflate past the limit');
    return;
  }
  link.socket.sendDeflated(withHeader(padTo(encodeMessage({ instanceUid: newUid() }), limitBytes * 16)));
  const reaction = await link.nextReaction();
  context.expect(isRefusal(reaction, true), `a message that inflates past the limit got ${describeReaction(reaction)}`);
};

const checks: readonly Check[] = [
  {
    id: 8,
    level: 'spec',
    title: 'Each ServerToAgent is one binary message: the number 0 as header, then protobuf',
    clause: 'WebSocket Message Format',
    transports: WS,
    needs: [],
    async run(context: CheckContext) {
      const socket = await context.webSocket();
      const uid = newUid();
      socket.sendBinary(withHeader(encodeMessage({ instanceUid: uid, capabilities: 1n })));
      const event = await socket.next('the reply', (candidate) => candidate.type !== 'pong');
      context.expect(event.type === 'message', `the reply was a ${event.type}`);
      context.expect(event.opcode === OPCODE.binary, `the reply has opcode ${event.opcode}`);
      const reply = decodeWebSocketReply(event.payload);
      context.expect(isSameBytes(reply.instanceUid, uid), 'the reply has another instance_uid');
    },
  },
  {
    id: 9,
    level: 'SHOULD',
    title: 'A header other than 0 makes the message malformed and changes nothing',
    clause: 'WebSocket Message Format',
    transports: WS,
    needs: [],
    async run(context: CheckContext) {
      const link = await context.webSocketLink();
      const agent = context.agentOn(link);
      await agent.first();
      const bad = encodeMessage({
        ...agent.next({ health: { healthy: false, lastError: 'must not be stored' } }),
      });
      const reaction = await link.provoke(withHeader(bad, new Uint8Array([1])));
      expectRefusal(context, 'header 01', reaction, true);
      context.note(`answered with ${describeReaction(reaction)}`);
      agent.sequenceNum -= 1n;
      if (link.isEnded) agent.moveTo(await context.webSocketLink());
      const reply = await agent.beat();
      context.expect(reply.errorResponse === undefined, 'the next correct message was refused');
      const view = await context.target.api?.getAgent(agent.uid);
      context.expect(view?.isHealthy !== false, 'the refused message changed the stored health');
    },
  },
  {
    id: 10,
    level: 'MUST',
    title: 'The data starts after the header, however many bytes the varint 0 takes',
    clause: 'WebSocket Message Format',
    transports: WS,
    needs: [],
    async run(context: CheckContext) {
      for (const header of ['00', '8000', '808000']) {
        const link = await context.webSocketLink();
        const agent = context.agentOn(link);
        const body = encodeMessage(agent.next(agent.fullState()));
        const reaction = await link.provoke(withHeader(body, Buffer.from(header, 'hex')));
        const isAccepted = reaction.kind === 'message' && reaction.message.errorResponse === undefined;
        context.expect(
          isAccepted ? isSameBytes(reaction.message.instanceUid, agent.uid) : header !== '00' && isRefusal(reaction, true),
          `header ${header} got ${describeReaction(reaction)}`,
        );
        if (header !== '00') context.note(`${header} is ${isAccepted ? 'accepted' : 'refused'}`);
      }
    },
  },
  {
    id: 11,
    level: 'spec',
    title: 'A header without data is an empty message: refused for its missing uid, not for its form',
    clause: 'WebSocket Message Format',
    transports: WS,
    needs: [],
    async run(context: CheckContext) {
      const link = await context.webSocketLink();
      expectRefusal(context, 'a header alone', await link.provoke(new Uint8Array([0])));
      await context.expectServing('an empty message');
    },
  },
  {
    id: 12,
    level: 'derived',
    title: 'A message without header, as old clients send it, is accepted or refused, never misread',
    clause: 'WebSocket Message Format',
    transports: WS,
    needs: [],
    async run(context: CheckContext) {
      const link = await context.webSocketLink();
      const agent = context.agentOn(link);
      const reaction = await link.provoke(encodeMessage(agent.next(agent.fullState())));
      const isAccepted = reaction.kind === 'message' && reaction.message.errorResponse === undefined;
      context.expect(
        isAccepted ? isSameBytes(reaction.message.instanceUid, agent.uid) : isRefusal(reaction, true),
        `a headerless message got ${describeReaction(reaction)}`,
      );
      context.note(isAccepted ? 'accepted' : 'refused');
      await context.expectServing('a headerless message');
    },
  },
  {
    id: 13,
    level: 'derived',
    title: 'A text message is refused, and agents on other connections do not notice',
    clause: 'WebSocket Transport',
    transports: WS,
    needs: [],
    async run(context: CheckContext) {
      const other = await context.agent();
      await other.first();
      const link = await context.webSocketLink();
      link.socket.sendText('hello');
      const reaction = await link.nextReaction();
      expectRefusal(context, 'a text message', reaction, true);
      context.note(`answered with ${describeReaction(reaction)}`);
      const reply = await other.beat();
      context.expect(reply.errorResponse === undefined, 'another agent got an error_response');
    },
  },
  {
    id: 14,
    level: 'MUST',
    title: 'The receive limit counts header and data, also after inflation',
    clause: 'WebSocket Message Size Limits',
    transports: WS,
    needs: ['small-limit'],
    run: (context) => checkReceiveLimit(context, context.maxMessageBytes),
  },
  {
    id: 15,
    level: 'MUST',
    title: 'A message over the limit closes the connection with 1009 and changes nothing',
    clause: 'WebSocket Message Size Limits',
    transports: WS,
    needs: ['small-limit'],
    async run(context: CheckContext) {
      const code = await overrunLimit(context, context.maxMessageBytes);
      context.expect(code === 1009, `the connection closed with ${code}`);
    },
  },
  {
    id: 16,
    level: 'MUST',
    title: 'A message over the send limit is not sent, and the connection lives on',
    clause: 'WebSocket Message Size Limits',
    transports: WS,
    needs: ['api', 'small-limit'],
    run: checkSendLimit,
  },
  {
    id: 17,
    level: 'SHOULD',
    title: 'The default limit lets a message of 63 MiB in',
    clause: 'WebSocket Message Size Limits',
    transports: WS,
    needs: [],
    isSlow: true,
    async run(context: CheckContext) {
      const limit = context.target.limits?.maxMessageBytes;
      if (limit !== undefined && limit < 64 * MIB) {
        context.notApplicable(`this server is configured with a limit of ${limit} bytes`);
      }
      await sendSized(context, 63 * MIB);
    },
  },
  {
    id: 18,
    level: 'SHOULD',
    title: 'The limit can be configured',
    clause: 'WebSocket Message Size Limits',
    transports: WS,
    needs: ['settings'],
    async run(context: CheckContext) {
      const limitBytes = 300_000;
      const other = await context.startServer({ maxMessageBytes: limitBytes });
      await checkReceiveLimit(other, limitBytes);
    },
  },
  {
    id: 19,
    level: 'derived',
    title: 'A message in several frames is put together, with a ping in between',
    clause: 'RFC 6455, 5.4',
    transports: WS,
    needs: [],
    async run(context: CheckContext) {
      const link = await context.webSocketLink();
      const agent = context.agentOn(link);
      const bytes = withHeader(encodeMessage(agent.next(agent.fullState())));
      const cut = [1, Math.floor(bytes.length / 2)] as const;
      link.socket.sendFrame({ opcode: OPCODE.binary, payload: bytes.subarray(0, cut[0]), fin: false });
      link.socket.sendFrame({
        opcode: OPCODE.continuation,
        payload: bytes.subarray(cut[0], cut[1]),
        fin: false,
      });
      await link.ping(Buffer.from('between'));
      link.socket.sendFrame({ opcode: OPCODE.continuation, payload: bytes.subarray(cut[1]) });
      const reply = await link.nextPush(agent.uid);
      context.expect(reply.errorResponse === undefined, 'the fragmented message got an error_response');
      const beat = await agent.beat();
      context.expect(beat.errorResponse === undefined, 'the message after it got an error_response');
    },
  },
  {
    id: 20,
    level: 'derived',
    title: 'permessage-deflate is negotiated by the rules or not at all',
    clause: 'RFC 7692',
    transports: WS,
    needs: [],
    async run(context: CheckContext) {
      const link = await context.webSocketLink({ offerDeflate: true });
      const agent = context.agentOn(link);
      const body = withHeader(encodeMessage(agent.next(agent.fullState())));
      if (link.socket.extensions === undefined) {
        context.note('not negotiated');
        link.socket.sendBinary(body);
      } else {
        context.note('negotiated');
        link.socket.sendDeflated(body);
      }
      const reply = await link.nextPush(agent.uid);
      context.expect(reply.errorResponse === undefined, 'the message got an error_response');
      const plain = await agent.beat();
      context.expect(plain.errorResponse === undefined, 'an uncompressed message got an error_response');
    },
  },
  {
    id: 21,
    level: 'derived',
    title: 'A ping is answered with its own bytes',
    clause: 'RFC 6455, 5.5.3',
    transports: WS,
    needs: [],
    async run(context: CheckContext) {
      const link = await context.webSocketLink();
      await link.ping(Buffer.from('x'));
      await context.agentOn(link).first();
      await link.ping(Buffer.alloc(125, 7));
    },
  },
];

export const a2WebSocket: Section = {
  key: 'A2',
  title: 'WebSocket framing and size',
  file: 'a2-websocket.ts',
  checks,
};
