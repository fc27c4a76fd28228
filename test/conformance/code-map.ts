/** Where the gateway fulfils the checks of a section: files below `packages/gateway/src/`, by section key. */
export const CODE: ReadonlyMap<string, readonly string[]> = new Map([
  ['A1', ['transport/websocket-server.ts', 'transport/http-headers.ts', 'config.ts']],
  ['A2', ['protocol/codec.ts', 'protocol/replies.ts', 'transport/websocket-server.ts', 'session/offer-desk.ts']],
  ['A3', ['transport/websocket-server.ts', 'transport/http-headers.ts', 'session/session-manager.ts']],
  ['A4', ['session/session-manager.ts', 'session/reply-desk.ts', 'protocol/replies.ts']],
  ['A5', ['protocol/replies.ts', 'session/report.ts', 'reconciler/reconcile.ts', 'session/agent-commands.ts']],
  ['A6', ['session/session-manager.ts', 'session/report.ts', 'session/full-state.ts', 'session/session-registry.ts']],
  ['A7', ['reconciler/reconcile.ts', 'session/offer-desk.ts', 'session/status-desk.ts', 'bus/spec-replica.ts']],
  ['A8', ['protocol/replies.ts', 'session/reply-desk.ts']],
  ['A9', ['protocol/replies.ts', 'session/report.ts']],
  ['A10', ['protocol/replies.ts', 'session/report.ts']],
  ['A11', ['session/report.ts', 'session/reply-desk.ts', 'session/agent-commands.ts', 'bus/component-store.ts']],
  ['A12', ['session/agent-commands.ts', 'bus/command-channel.ts']],
  ['A13', ['session/identity.ts', 'session/session-manager.ts', 'bus/agent-records.ts']],
  ['A14', ['transport/admission.ts', 'transport/websocket-server.ts', 'close-reasons.ts', 'drain.ts']],
  ['A15', ['bus/agent-records.ts', 'bus/status-writer.ts', 'bus/gateway-lease.ts', 'session/session-manager.ts']],
  ['A16', ['reconciler/reconcile.ts', 'events.ts']],
]);
