import { BOTH, HTTP, WS, type Check, type Section } from '../check.ts';
import type { CheckContext } from '../context.ts';
import { PROTOBUF_TYPE } from '../http-link.ts';
import { describeReaction } from '../link.ts';
import type { ResponseHead } from '../raw/http-head.ts';
import { UpgradeRefusedError } from '../raw/websocket-client.ts';
import { expectErrorAlone, expectRefusal } from '../scenario.ts';
import { encodeMessage, ERROR_TYPE, newUid, withHeader } from '../wire.ts';

const THROTTLING = 'Throttling';
const BAD_REQUEST = 'Bad Request';

/** The answer to an upgrade that was refused; fails when it was not. */
const refusedUpgrade = async (context: CheckContext, authorization?: string | null): Promise<ResponseHead> => {
  try {
    await context.webSocket(authorization === undefined ? {} : { authorization });
  } catch (error) {
    if (error instanceof UpgradeRefusedError) return error.response;
    throw error;
  }
  return context.fail('the upgrade was answered with 101');
};

/** Status of a post with this Authorization. */
const postStatus = async (context: CheckContext, authorization: string | null): Promise<number> => {
  const connection = await context.httpConnection();
  const response = await connection.request({
    headers: [['Content-Type', PROTOBUF_TYPE], ...context.headers({ authorization })],
    body: encodeMessage({ instanceUid: newUid(), capabilities: 1n }),
  });
  return response.status;
};

/** Status of whatever the transport of this run answers to this Authorization. */
const admissionStatus = async (context: CheckContext, authorization: string | null): Promise<number> =>
  context.transport === 'http' ? postStatus(context, authorization) : (await refusedUpgrade(context, authorization)).status;

/** How the server reacts to bytes that are not protobuf. */
const provokeGarbage = async (context: CheckContext) => {
  const link = await context.link();
  const bytes = Buffer.from('ff', 'hex');
  return link.provoke(context.transport === 'ws' ? withHeader(bytes) : bytes);
};

const expectThrottled = (context: CheckContext, head: ResponseHead): void => {
  context.expect(head.status === 503 || head.status === 429, `the refusal has the status ${head.status}`);
  const retryAfter = head.headers.get('retry-after');
  if (retryAfter === undefined) {
    context.note('no Retry-After');
    return;
  }
  context.expect(/^\d+$/.test(retryAfter) || !Number.isNaN(Date.parse(retryAfter)), `Retry-After is ${retryAfter}`);
  context.note(`Retry-After: ${retryAfter}`);
};

const checks: readonly Check[] = [
  {
    id: 143,
    level: 'MUST',
    title: 'A server that closes a WebSocket sends a Close frame',
    clause: 'Closing Connection, Server Initiated',
    transports: WS,
    needs: [],
    async run(context: CheckContext) {
      const drain = context.target.control?.drainNode?.bind(context.target.control);
      const restart = context.target.control?.restartNode?.bind(context.target.control);
      if (drain === undefined || restart === undefined) {
        context.notApplicable('needs a way to shut a node down gracefully');
      }
      const link = await context.webSocketLink();
      await context.agentOn(link).first();
      const drained = drain(0);
      context.onEnd(() => restart(0));
      const code = await link.untilEnd();
      await drained;
      context.expect(code !== 1006 && code !== 1005, `the connection ended with ${code}`);
      context.note(`close code ${code}`);
    },
  },
  {
    id: 144,
    level: 'spec',
    title: 'A Close frame is answered with a Close frame',
    clause: 'Closing Connection, Client Initiated',
    transports: WS,
    needs: [],
    async run(context: CheckContext) {
      const link = await context.webSocketLink();
      const agent = context.agentOn(link);
      await agent.first();
      await agent.send({ agentDisconnect: {} });
      link.socket.sendClose(1000, 'Normal closure');
      const code = await link.untilEnd();
      context.expect(code === 1000, `the connection ended with ${code}`);
    },
  },
  {
    id: 145,
    level: 'may',
    title: 'An agent that polls goes offline by agent_disconnect at once, and by silence after a while',
    clause: 'Closing Connection, HTTP',
    transports: HTTP,
    needs: ['api'],
    async run(context: CheckContext) {
      const isOnline = async (uid: Uint8Array): Promise<boolean> => (await context.api.getAgent(uid))?.isConnected === true;
      const leaving = await context.agent();
      await leaving.first();
      await context.eventually('the agent online', () => isOnline(leaving.uid));
      await leaving.send({ agentDisconnect: {} });
      await context.eventually('the agent offline', async () => !(await isOnline(leaving.uid)));
      const silenceMs = context.target.limits?.httpSilenceMs;
      if (silenceMs === undefined) {
        context.note('silence not tried: its length is not known');
        return;
      }
      const silent = await context.agent();
      await silent.first();
      await context.eventually('the agent online', () => isOnline(silent.uid));
      await context.eventually('the silent agent offline', async () => !(await isOnline(silent.uid)), context.deadlineMs + 10 * silenceMs);
    },
  },
  {
    id: 146,
    level: 'MUST',
    title: 'Failed authentication is answered with 401',
    clause: 'Authentication',
    transports: BOTH,
    needs: ['auth'],
    async run(context: CheckContext) {
      const status = await admissionStatus(context, context.target.refusedAuthorization ?? null);
      context.expect(status === 401, `a refused credential was answered with ${status}`);
    },
  },
  {
    id: 147,
    level: 'MAY',
    title: 'A credential in the Authorization header lets an agent in',
    clause: 'Authentication',
    transports: BOTH,
    needs: ['auth'],
    async run(context: CheckContext) {
      if (context.target.authorization === undefined) {
        context.notApplicable('no credential given that is accepted');
      }
      await context.expectServing('authentication');
    },
  },
  {
    id: 148,
    level: 'spec',
    title: 'Authentication comes before the upgrade',
    clause: 'Authentication',
    transports: BOTH,
    needs: ['auth'],
    async run(context: CheckContext) {
      const status = await admissionStatus(context, null);
      context.expect(status === 401, `no credential was answered with ${status}`);
    },
  },
  {
    id: 149,
    level: 'SHOULD',
    title: 'A malformed AgentToServer is answered with an error_response',
    clause: BAD_REQUEST,
    transports: BOTH,
    needs: [],
    async run(context: CheckContext) {
      const reaction = await provokeGarbage(context);
      expectRefusal(context, 'bytes that are not protobuf', reaction);
      context.note(describeReaction(reaction));
    },
  },
  {
    id: 150,
    level: 'MUST',
    title: 'That error is of type BAD_REQUEST and says what is wrong',
    clause: BAD_REQUEST,
    transports: BOTH,
    needs: [],
    async run(context: CheckContext) {
      const reaction = await provokeGarbage(context);
      if (reaction.kind === 'status') context.notApplicable('answered by a status code alone');
      context.expect(reaction.kind === 'message', describeReaction(reaction));
      const error = reaction.message.errorResponse;
      context.expect(error?.type === ERROR_TYPE.badRequest, describeReaction(reaction));
      context.expect(error.errorMessage !== '', 'error_message is empty');
      context.expect(error.Details.case === undefined, 'retry_info came with BAD_REQUEST');
      expectErrorAlone(context, 'bytes that are not protobuf', reaction.message);
    },
  },
  {
    id: 151,
    level: 'derived',
    title: 'A malformed message does not end the connection for the other agents on it',
    clause: 'ServerToAgent.instance_uid',
    transports: WS,
    needs: [],
    async run(context: CheckContext) {
      const link = await context.webSocketLink();
      const left = context.agentOn(link);
      const right = context.agentOn(link);
      await left.first();
      const reaction = await link.provoke(withHeader(Buffer.from('ff', 'hex')));
      context.note(`the malformed one got ${describeReaction(reaction)}`);
      for (const reply of [await right.first(), await left.beat()]) {
        context.expect(reply.errorResponse === undefined, 'another agent got an error_response');
      }
    },
  },
  {
    id: 152,
    level: 'SHOULD',
    title: 'An overloaded server says UNAVAILABLE on a WebSocket, and nothing else with it',
    clause: THROTTLING,
    transports: WS,
    needs: ['overload'],
    run: (context) => checkUnavailable(context),
  },
  {
    id: 153,
    level: 'may',
    title: 'UNAVAILABLE may say when to come again, in nanoseconds',
    clause: THROTTLING,
    transports: WS,
    needs: ['overload'],
    run: (context) => checkUnavailable(context),
  },
  {
    id: 154,
    level: 'MAY',
    title: 'An overloaded server refuses posts and upgrades with 503 or 429',
    clause: THROTTLING,
    transports: BOTH,
    needs: [],
    async run(context: CheckContext) {
      const { overload, settings } = context.target;
      if (overload !== undefined) {
        await overload.begin();
        context.onEnd(() => overload.end());
        expectThrottled(context, await refusedAdmission(context));
        return;
      }
      if (settings === undefined) {
        context.notApplicable('needs a way to put the server into overload');
      }
      if (context.transport === 'http') {
        context.notApplicable('a limit on connections concerns upgrades; needs real overload');
      }
      const full = await context.startServer({ maxConnections: 1 });
      await full.agent().then((agent) => agent.first());
      expectThrottled(full, await refusedUpgrade(full));
      for (const note of full.notes) context.note(note);
    },
  },
  {
    id: 155,
    level: 'derived',
    title: 'A full server refuses before the upgrade: nobody is let in only to be closed',
    clause: THROTTLING,
    transports: WS,
    needs: ['settings'],
    async run(context: CheckContext) {
      const full = await context.startServer({ maxConnections: 1 });
      await full.agent().then((agent) => agent.first());
      for (let attempt = 0; attempt < 50; attempt++) await refusedUpgrade(full);
    },
  },
  {
    id: 156,
    level: 'derived',
    title: 'A drain spreads its closes over its window',
    clause: 'Closing Connection, Server Initiated (Go client)',
    transports: WS,
    needs: ['second-node', 'node-control'],
    async run(context: CheckContext) {
      const windowMs = context.target.limits?.drainWindowMs;
      const drain = context.target.control?.drainNode?.bind(context.target.control);
      const restart = context.target.control?.restartNode?.bind(context.target.control);
      if (windowMs === undefined || drain === undefined || restart === undefined) {
        context.notApplicable('needs a graceful shutdown with a known window');
      }
      const links = [];
      for (let index = 0; index < 100; index++) {
        const link = await context.webSocketLink();
        await context.agentOn(link).first();
        links.push(link);
      }
      const drained = drain(0);
      context.onEnd(() => restart(0));
      const ends = await Promise.all(
        links.map(async (link) => {
          const code = await link.untilEnd(context.deadlineMs + 10 * windowMs);
          return { code, atMs: Date.now() };
        }),
      );
      await drained;
      context.expect(
        ends.every(({ code }) => code !== 1006),
        'some connections ended without a Close frame',
      );
      const times = ends.map(({ atMs }) => atMs);
      const spreadMs = Math.max(...times) - Math.min(...times);
      context.expect(spreadMs >= windowMs * 0.3, `100 closes within ${spreadMs} ms of a window of ${windowMs} ms`);
      context.note(`100 closes within ${spreadMs} ms`);
    },
  },
  {
    id: 157,
    level: 'derived',
    title: 'An Origin header is neither needed nor a reason to refuse',
    clause: 'WebSocket Transport',
    transports: WS,
    needs: [],
    async run(context: CheckContext) {
      await context.webSocket();
      const { authority } = context.endpoint();
      for (const origin of [`http://${authority}`, 'https://elsewhere.example']) {
        await context.webSocket({ headers: [['Origin', origin]] });
      }
    },
  },
  {
    id: 158,
    level: 'derived',
    title: 'A peer that connects and says nothing is let go after a while',
    clause: 'not in the specification',
    transports: WS,
    needs: [],
    async run(context: CheckContext) {
      const firstMessageMs = context.target.limits?.firstMessageMs;
      if (firstMessageMs === undefined) {
        context.notApplicable('the time allowed for a first message is not known');
      }
      const link = await context.webSocketLink();
      const code = await link.untilEnd(context.deadlineMs + 10 * firstMessageMs);
      context.note(`close code ${code}`);
    },
  },
];

/** Head of the refusal that the transport of this run gets. */
const refusedAdmission = async (context: CheckContext): Promise<ResponseHead> => {
  if (context.transport === 'ws') return refusedUpgrade(context);
  const connection = await context.httpConnection();
  return connection.request({
    headers: [['Content-Type', PROTOBUF_TYPE], ...context.headers()],
    body: encodeMessage({ instanceUid: newUid(), capabilities: 1n }),
  });
};

const checkUnavailable = async (context: CheckContext): Promise<void> => {
  const { overload } = context.target;
  if (overload === undefined) context.notApplicable('needs a way to put the server into overload');
  const link = await context.webSocketLink();
  const agent = context.agentOn(link);
  await agent.first();
  await overload.begin();
  context.onEnd(() => overload.end());
  // Agents that are known may go on being served; one that comes now needs room the server does not have.
  const known = await agent.beat();
  const reply = known.errorResponse === undefined ? await context.agentOn(link).first() : known;
  const error = reply.errorResponse;
  if (error === undefined) context.notApplicable('agents are served during this overload, known ones and new ones');
  context.expect(error.type === ERROR_TYPE.unavailable, `error_response has the type ${error.type}`);
  expectErrorAlone(context, 'UNAVAILABLE', reply);
  context.note(error.Details.case === 'retryInfo' ? `retry after ${error.Details.value.retryAfterNanoseconds} ns` : 'no retry_info');
};

export const a14Connections: Section = {
  key: 'A14',
  title: 'Connections, closing, authentication',
  file: 'a14-connections.ts',
  checks,
};
