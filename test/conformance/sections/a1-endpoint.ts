import { BOTH, HTTP, type Check, type Section } from '../check.ts';
import type { CheckContext } from '../context.ts';
import { PROTOBUF_TYPE } from '../http-link.ts';
import { decodeBody } from '../raw/http-client.ts';
import { UpgradeRefusedError } from '../raw/websocket-client.ts';
import type { TestAgent } from '../test-agent.ts';
import { decodeReply, encodeMessage, presentParts } from '../wire.ts';

const DEFAULT_PATH = '/v1/opamp';
const DEFAULT_PORT = 4320;

/** A fresh agent is served over the transport of this run. */
const expectServed = async (context: CheckContext): Promise<void> => {
  const agent = await context.agent();
  const reply = await agent.first();
  context.expect(reply.errorResponse === undefined, 'the first message got an error_response');
};

/** The same short conversation, as a list of what each reply carried. */
const converse = async (agent: TestAgent): Promise<string[]> => {
  const replies = [await agent.first(), await agent.beat(), await agent.beat()];
  agent.sequenceNum += 5n;
  replies.push(await agent.beat(), await agent.first());
  return replies.map(
    (reply) =>
      `${presentParts(reply)
        .filter((part) => part !== 'capabilities' && part !== 'custom_capabilities')
        .join('+')}/${reply.flags}`,
  );
};

const checks: readonly Check[] = [
  {
    id: 1,
    level: 'SHOULD',
    title: 'One URL serves WebSocket upgrades and plain HTTP posts',
    clause: 'Communication Model',
    transports: BOTH,
    needs: [],
    run: expectServed,
  },
  {
    id: 2,
    level: 'spec',
    title: 'The default path is /v1/opamp',
    clause: 'Communication Model',
    transports: BOTH,
    needs: [],
    async run(context: CheckContext) {
      const { path } = context.endpoint();
      if (path !== DEFAULT_PATH) context.notApplicable(`the URL given has the path ${path}`);
      await expectServed(context);
    },
  },
  {
    id: 3,
    level: 'MAY',
    title: 'Another path can be configured, and then the default one is gone',
    clause: 'Communication Model',
    transports: HTTP,
    needs: ['settings'],
    async run(context: CheckContext) {
      const other = await context.startServer({ path: '/elsewhere' });
      const connection = await other.httpConnection();
      const agent = other.agentOn(other.httpLink());
      const body = encodeMessage(agent.next(agent.fullState()));
      const headers = [['Content-Type', PROTOBUF_TYPE], ...other.headers()] as const;
      const there = await connection.request({ path: '/elsewhere', headers, body });
      context.expect(there.status === 200, `the configured path answered ${there.status}`);
      const gone = await connection.request({ path: DEFAULT_PATH, headers, body });
      context.expect(gone.status === 404, `the default path answered ${gone.status}`);
    },
  },
  {
    id: 4,
    level: 'SHOULD',
    title: 'Without a port setting the server listens on 4320',
    clause: 'Communication Model',
    transports: HTTP,
    needs: [],
    async run(context: CheckContext) {
      if (context.endpoint().port === DEFAULT_PORT) {
        await expectServed(context);
        context.note('the URL given has this port');
        return;
      }
      const other = await context.startServer({ port: 'default' });
      const { port } = other.endpoint();
      context.expect(port === DEFAULT_PORT, `it listens on ${port}`);
    },
  },
  {
    id: 5,
    level: 'SHOULD',
    title: 'Content-Type application/x-protobuf makes a request plain HTTP, with parameters and in any letter case too',
    clause: 'Plain HTTP Transport',
    transports: HTTP,
    needs: [],
    async run(context: CheckContext) {
      const agent = await context.agent();
      const connection = await context.httpConnection();
      for (const type of [PROTOBUF_TYPE, `${PROTOBUF_TYPE}; charset=utf-8`, `${PROTOBUF_TYPE};charset=binary`, 'Application/X-Protobuf']) {
        const response = await connection.request({
          headers: [['Content-Type', type], ...context.headers()],
          body: encodeMessage(agent.next(agent.fullState())),
        });
        context.expect(response.status === 200, `Content-Type "${type}" was answered with ${response.status}`);
        decodeReply(decodeBody(response));
      }
    },
  },
  {
    id: 6,
    level: 'SHOULD',
    title: 'Any other request counts as the start of a WebSocket, and is refused when it is none',
    clause: 'Plain HTTP Transport',
    transports: BOTH,
    needs: [],
    async run(context: CheckContext) {
      if (context.transport === 'ws') {
        await context.webSocket();
        return;
      }
      const agent = await context.agent();
      const body = encodeMessage(agent.next(agent.fullState()));
      const connection = await context.httpConnection();
      const response = await connection.request({
        headers: [['Content-Type', 'text/plain'], ...context.headers()],
        body,
      });
      context.expect(response.status >= 400 && response.status < 500, `a post of text/plain was answered with ${response.status}`);
      await context.expectServing('a post of text/plain');
    },
  },
  {
    id: 7,
    level: 'derived',
    title: 'The same conversation gets the same answers over both transports',
    clause: 'Plain HTTP Transport',
    transports: HTTP,
    needs: [],
    async run(context: CheckContext) {
      const overHttp = await converse(context.agentOn(context.httpLink()));
      const link = await context.webSocketLink().catch((error: unknown) => {
        if (error instanceof UpgradeRefusedError) {
          context.notApplicable(`no WebSocket at this URL (${error.message})`);
        }
        throw error;
      });
      const overWebSocket = await converse(context.agentOn(link));
      context.expect(overHttp.join(' ') === overWebSocket.join(' '), `HTTP: ${overHttp.join(' ')}; WebSocket: ${overWebSocket.join(' ')}`);
    },
  },
];

export const a1Endpoint: Section = {
  key: 'A1',
  title: 'Endpoint and choice of transport',
  file: 'a1-endpoint.ts',
  checks,
};
