import { AGENT_CAPABILITIES, hasCapability } from '@opamp-gateway/shared/capabilities';
import { encodeReply, OWN_CAPABILITIES } from '../protocol/replies.ts';
import type { ReplyParts } from '../protocol/replies.ts';
import type { SessionRegistry } from './session-registry.ts';

/** Outcome of a command: handed to the connection, the agent is not here, or it does not take such a thing. */
export type CommandOutcome = 'sent' | 'away' | 'unsupported';

/** What operators send to one agent. Never repeated by itself. */
export class AgentCommands {
  readonly #registry: SessionRegistry;

  constructor(registry: SessionRegistry) {
    this.#registry = registry;
  }

  /** Sends a restart command. [OpAMP ServerToAgent.command: only with instance_uid and capabilities] */
  restart(uid: string): CommandOutcome {
    const session = this.#registry.owner(uid);
    if (session === undefined || session.phase !== 'live') return 'away';
    if (!hasCapability(session.record.capabilities, AGENT_CAPABILITIES.AcceptsRestartCommand)) return 'unsupported';
    return session.outlet.send(
      encodeReply(session.wireUid, { capabilities: OWN_CAPABILITIES, command: { type: 0 } as ReplyParts['command'] }),
    )
      ? 'sent'
      : 'away';
  }

  /** Sends a custom message to an agent that has listed its capability. */
  sendCustomMessage(uid: string, message: { capability: string; type: string; data: Uint8Array }): CommandOutcome {
    const session = this.#registry.owner(uid);
    if (session === undefined || session.phase !== 'live') return 'away';
    if (!session.record.customCapabilities.includes(message.capability)) return 'unsupported';
    const sent = session.outlet.send(encodeReply(session.wireUid, { customMessage: message as ReplyParts['customMessage'] }));
    return sent ? 'sent' : 'away';
  }
}
