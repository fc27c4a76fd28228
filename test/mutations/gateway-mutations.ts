import type { Mutation } from './built-copy.ts';

/** A defect of the gateway, and the checks of the conformance suite that have to go red. */
export interface GatewayMutation extends Mutation {
  readonly checks: readonly number[];
}

/** Five breaches of the protocol, one gateway each. */
export const GATEWAY_MUTATIONS: readonly GatewayMutation[] = [
  {
    name: 'wrong-instance-uid',
    does: 'replies carry another instance_uid than the message',
    file: 'gateway/dist/protocol/replies.js',
    find: 'scratch.set(uid, 2);',
    replace: 'scratch.set(uid.map((byte) => byte ^ 1), 2);',
    checks: [37],
  },
  {
    name: 'no-report-full-state',
    does: 'a gap in the sequence is not answered with ReportFullState',
    file: 'gateway/dist/protocol/replies.js',
    find: 'export const REPORT_FULL_STATE = 1n;',
    replace: 'export const REPORT_FULL_STATE = 0n;',
    checks: [57, 58],
  },
  {
    name: 'no-capabilities',
    does: 'the first reply does not say the capabilities of the server',
    file: 'gateway/dist/session/reply-desk.js',
    find: 'const parts = { capabilities: OWN_CAPABILITIES };',
    replace: 'const parts = {};',
    checks: [44, 45],
  },
  {
    name: 'offers-again',
    does: 'the desired config is offered again with every message',
    file: 'gateway/dist/reconciler/reconcile.js',
    find: 'if (known === desired.config.hash)',
    replace: 'if (false)',
    checks: [73, 84],
  },
  {
    name: 'no-close-1009',
    does: 'a message over the limit is taken',
    file: 'gateway/dist/transport/websocket-server.js',
    find: 'connection.close(CLOSE_REASONS.tooBig);\n            return;',
    replace: '',
    checks: [15],
  },
];
