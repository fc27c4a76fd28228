import { gzipSync } from 'node:zlib';
import { HTTP, type Check, type Section } from '../check.ts';
import type { CheckContext } from '../context.ts';
import { PROTOBUF_TYPE } from '../http-link.ts';
import { StreamEndedError } from '../raw/byte-stream.ts';
import { decodeBody, type HttpRequest, type HttpResponse } from '../raw/http-client.ts';
import type { HeaderList } from '../raw/http-head.ts';
import { assignAndAwaitOffer, hasMarker, newConfig } from '../scenario.ts';
import { checkSendLimit } from '../send-limit.ts';
import { offerIn, type TestAgent } from '../test-agent.ts';
import { asksFullState, decodeReply, encodeMessage, isSameBytes, padTo, uidText } from '../wire.ts';

const MIB = 1024 * 1024;

/** Posts the agent's next message on a connection of its own. */
const post = async (context: CheckContext, request: HttpRequest, headers: HeaderList = []): Promise<HttpResponse> => {
  const connection = await context.httpConnection();
  return connection.request({
    ...request,
    headers: [['Content-Type', PROTOBUF_TYPE], ...context.headers(), ...headers],
  });
};

/** Posts; fails unless the answer is 200 with a decodable ServerToAgent. */
const postOk = async (context: CheckContext, what: string, request: HttpRequest, headers: HeaderList = []) => {
  const response = await post(context, request, headers);
  context.expect(response.status === 200, `${what} was answered with ${response.status}`);
  return { response, reply: decodeReply(decodeBody(response)) };
};

/**
 * Posts something too big, leaving the server time to say so. A second try in one go shows whether the answer also reaches
 * a client that writes on; that it does not is noted only, because it is a race.
 */
const postTooBig = async (context: CheckContext, what: string, request: HttpRequest, headers: HeaderList = []): Promise<void> => {
  for (const isPatient of [true, false]) {
    try {
      const response = await post(context, { ...request, isPatient }, headers);
      context.expect(response.status === 413, `${what} was answered with ${response.status}`);
    } catch (error) {
      if (!(error instanceof StreamEndedError)) throw error;
      context.expect(!isPatient, `${what} got no answer, only a broken connection`);
      context.note(`${what}, sent in one go, lost its answer to a reset of the connection`);
    }
  }
};

const nextBody = (agent: TestAgent, totalBytes?: number): Uint8Array => {
  const body = encodeMessage(agent.next(agent.fullState()));
  return totalBytes === undefined ? body : padTo(body, totalBytes);
};

const checkBodyLimit = async (context: CheckContext, limitBytes: number): Promise<void> => {
  const agent = context.agentOn(context.httpLink());
  await agent.first();
  await postOk(context, `a body of ${limitBytes} bytes`, { body: nextBody(agent, limitBytes) });
  const tooBig = padTo(encodeMessage(agent.next()), limitBytes + 1);
  agent.sequenceNum -= 1n;
  await postTooBig(context, `a body of ${limitBytes + 1} bytes`, { body: tooBig });
  await postTooBig(context, 'a gzip body that inflates past the limit', { body: gzipSync(tooBig) }, [['Content-Encoding', 'gzip']]);
  const chunks: Uint8Array[] = [];
  for (let at = 0; at < tooBig.length; at += 64 * 1024) chunks.push(tooBig.subarray(at, at + 64 * 1024));
  await postTooBig(context, 'a chunked body past the limit', { chunks });
  const reply = await agent.beat();
  context.expect(reply.errorResponse === undefined && !asksFullState(reply), 'the refused messages left a trace in the agent’s state');
};

const checks: readonly Check[] = [
  {
    id: 22,
    level: 'spec',
    title: 'A post of bare protobuf gets exactly one ServerToAgent back, bare too',
    clause: 'Plain HTTP Transport',
    transports: HTTP,
    needs: [],
    async run(context: CheckContext) {
      const agent = await context.agent();
      const { response, reply } = await postOk(context, 'a first message', { body: nextBody(agent) });
      context.expect(response.body[0] !== 0, 'the body begins with a WebSocket header');
      context.expect(isSameBytes(reply.instanceUid, agent.uid), 'the reply has another instance_uid');
    },
  },
  {
    id: 23,
    level: 'MUST',
    title: 'Request bodies are read by their Content-Encoding: gzip, identity, nothing else',
    clause: 'Plain HTTP Transport',
    transports: HTTP,
    needs: [],
    async run(context: CheckContext) {
      const agent = await context.agent();
      for (const [name, value] of [
        ['Content-Encoding', 'gzip'],
        ['content-encoding', 'gzip'],
        ['CONTENT-ENCODING', 'GZIP'],
        ['Content-Encoding', 'identity'],
      ] as const) {
        const plain = nextBody(agent);
        const body = value === 'identity' ? plain : gzipSync(plain);
        const { reply } = await postOk(context, `${name}: ${value}`, { body }, [[name, value]]);
        context.expect(reply.errorResponse === undefined && isSameBytes(reply.instanceUid, agent.uid), `${name}: ${value} was misread`);
      }
      const response = await post(context, { body: nextBody(agent) }, [['Content-Encoding', 'br']]);
      context.expect(response.status >= 400 && response.status < 500, `Content-Encoding: br was answered with ${response.status}`);
    },
  },
  {
    id: 24,
    level: 'SHOULD',
    title: 'The response is gzipped when the request accepts that, and only then',
    clause: 'Plain HTTP Transport',
    transports: HTTP,
    needs: [],
    async run(context: CheckContext) {
      const agent = await context.agent();
      const encodingFor = async (accept: HeaderList): Promise<string> => {
        const { response } = await postOk(context, 'a message', { body: nextBody(agent) }, accept);
        return response.headers.get('content-encoding')?.toLowerCase() ?? 'identity';
      };
      for (const accept of [[], [['Accept-Encoding', 'gzip;q=0']], [['Accept-Encoding', 'br']]] as const) {
        const encoding = await encodingFor(accept);
        context.expect(encoding === 'identity', `${JSON.stringify(accept)} got ${encoding}`);
      }
      for (const value of ['gzip', 'br;q=1.0, gzip;q=0.8']) {
        const encoding = await encodingFor([['Accept-Encoding', value]]);
        context.expect(encoding === 'gzip', `Accept-Encoding: ${value} got ${encoding}`);
      }
    },
  },
  {
    id: 25,
    level: 'MUST',
    title: 'The request limit holds for identity, gzip and chunked bodies',
    clause: 'Plain HTTP Message Size Limits',
    transports: HTTP,
    needs: ['small-limit'],
    run: (context) => checkBodyLimit(context, context.maxMessageBytes),
  },
  {
    id: 26,
    level: 'MUST',
    title: 'A request over the limit gets 413 and changes nothing',
    clause: 'Plain HTTP Message Size Limits',
    transports: HTTP,
    needs: ['small-limit'],
    async run(context: CheckContext) {
      const agent = await context.agent();
      await agent.first();
      const body = padTo(encodeMessage(agent.next({ health: { healthy: false } })), context.maxMessageBytes + 1);
      await postTooBig(context, 'a body over the limit', { body });
      agent.sequenceNum -= 1n;
      const reply = await agent.beat();
      context.expect(!asksFullState(reply), 'the refused message was counted');
      const view = await context.target.api?.getAgent(agent.uid);
      context.expect(view?.isHealthy !== false, 'the refused message changed the stored health');
    },
  },
  {
    id: 27,
    level: 'MUST',
    title: 'A response over the send limit is not sent',
    clause: 'Plain HTTP Message Size Limits',
    transports: HTTP,
    needs: ['api', 'small-limit'],
    run: checkSendLimit,
  },
  {
    id: 28,
    level: 'SHOULD',
    title: 'The default limit lets a body of 63 MiB in',
    clause: 'Plain HTTP Message Size Limits',
    transports: HTTP,
    needs: [],
    isSlow: true,
    async run(context: CheckContext) {
      const limit = context.target.limits?.maxMessageBytes;
      if (limit !== undefined && limit < 64 * MIB) {
        context.notApplicable(`this server is configured with a limit of ${limit} bytes`);
      }
      const agent = await context.agent();
      await postOk(context, 'a body of 63 MiB', { body: nextBody(agent, 63 * MIB) });
    },
  },
  {
    id: 29,
    level: 'derived',
    title: 'A chunked request without Content-Length is accepted',
    clause: 'Plain HTTP Transport',
    transports: HTTP,
    needs: [],
    async run(context: CheckContext) {
      const agent = await context.agent();
      const body = nextBody(agent);
      const { reply } = await postOk(context, 'a chunked post', {
        chunks: [body.subarray(0, 1), body.subarray(1, 40), body.subarray(40)],
      });
      context.expect(isSameBytes(reply.instanceUid, agent.uid), 'the chunked body was misread');
    },
  },
  {
    id: 30,
    level: 'derived',
    title: 'The response says Content-Type application/x-protobuf',
    clause: 'Plain HTTP Transport',
    transports: HTTP,
    needs: [],
    async run(context: CheckContext) {
      const agent = await context.agent();
      const { response } = await postOk(context, 'a message', { body: nextBody(agent) });
      const type = response.headers.get('content-type');
      context.expect(type === PROTOBUF_TYPE, `Content-Type is ${type ?? 'missing'}`);
    },
  },
  {
    id: 31,
    level: 'derived',
    title: 'OpAMP-Instance-UID may be missing, and never mixes two agents when it disagrees with the body',
    clause: 'Plain HTTP Transport',
    transports: HTTP,
    needs: [],
    async run(context: CheckContext) {
      const agent = await context.agent();
      const other = await context.agent();
      await agent.first();
      await other.first();
      const { reply: same } = await postOk(context, 'a matching header', { body: encodeMessage(agent.next()) }, [
        ['OpAMP-Instance-UID', uidText(agent.uid)],
      ]);
      context.expect(isSameBytes(same.instanceUid, agent.uid), 'a matching header changed the uid');
      const response = await post(context, { body: encodeMessage(agent.next()) }, [['OpAMP-Instance-UID', uidText(other.uid)]]);
      if (response.status === 200) {
        const reply = decodeReply(decodeBody(response));
        context.expect(isSameBytes(reply.instanceUid, agent.uid), 'the header won over the body');
        context.note('the body wins');
      } else {
        context.expect(response.status === 400, `a mismatch was answered with ${response.status}`);
        context.note('refused with 400');
        agent.sequenceNum -= 1n;
      }
      for (const [name, one] of [
        ['the sender', agent],
        ['the agent named in the header', other],
      ] as const) {
        context.expect(!asksFullState(await one.beat()), `${name} lost its sequence`);
      }
    },
  },
  {
    id: 32,
    level: 'must',
    title: 'Keep-alive has no meaning: agents may share a connection, and an agent may use many',
    clause: 'Closing Connection, HTTP',
    transports: HTTP,
    needs: [],
    async run(context: CheckContext) {
      const shared = context.httpLink();
      const left = context.agentOn(shared);
      const right = context.agentOn(shared);
      const replies = [await left.first(), await right.first()];
      for (let round = 0; round < 3; round++) replies.push(await left.beat(), await right.beat());
      for (let round = 0; round < 3; round++) {
        left.moveTo(context.httpLink());
        replies.push(await left.beat());
      }
      context.expect(!replies.some(asksFullState), 'a full state was asked for');
      context.expect(
        replies.every((reply) => reply.errorResponse === undefined),
        'an error_response came',
      );
    },
  },
  {
    id: 33,
    level: 'spec',
    title: 'What the server has to say waits for the next poll and comes with it',
    clause: 'Plain HTTP Transport',
    transports: HTTP,
    needs: ['api'],
    async run(context: CheckContext) {
      const agent = await context.agent();
      await agent.first();
      const { files, marker } = newConfig();
      await context.api.assignConfig(agent.uid, files);
      await agent.untilOffer('the config in a poll', (offer) => hasMarker(offer, marker));
    },
  },
  {
    id: 34,
    level: 'derived',
    title: 'Each poll may reach another node: the sequence goes on, and an offer is made once',
    clause: 'Plain HTTP Transport',
    transports: HTTP,
    needs: ['second-node'],
    async run(context: CheckContext) {
      const links = [context.httpLink(), context.httpLink({ node: 'second' })] as const;
      const agent = context.agentOn(links[0]);
      await agent.first();
      if (context.target.api !== undefined) {
        const offer = await assignAndAwaitOffer(context, agent);
        await agent.reportConfig(offer.hash, 1);
      }
      agent.mark();
      const replies = [];
      for (let round = 0; round < 10; round++) {
        agent.moveTo(links[round % 2 === 0 ? 1 : 0]);
        replies.push(await agent.beat());
      }
      context.expect(!replies.some(asksFullState), 'a full state was asked for');
      context.expect(
        replies.every((reply) => offerIn(reply) === undefined),
        'the config was offered again',
      );
    },
  },
];

export const a3Http: Section = { key: 'A3', title: 'Plain HTTP', file: 'a3-http.ts', checks };
