import { AgentSession } from './agent-session.ts';
import type { Outlet } from './ports.ts';

/** Several agents on one connection, by the uids of their messages and their own. */
type Sessions = Map<string, AgentSession>;

/** Sessions of this gateway: the live one of each uid, and all of each connection (a connection may carry several agents). */
export class SessionRegistry {
  readonly #byUid = new Map<string, AgentSession>();
  /** Sessions that have a question for their agent, or wait for its report; the others need no look until they are spoken to. */
  readonly asking = new Set<AgentSession>();

  /** Number of agents held here. */
  get size(): number {
    return this.#byUid.size;
  }

  /** The session that owns `uid` on this gateway. */
  owner(uid: string): AgentSession | undefined {
    return this.#byUid.get(uid);
  }

  /** The only session of a connection; undefined when it has none or several. */
  only(outlet: Outlet): AgentSession | undefined {
    return outlet.attachment instanceof AgentSession ? outlet.attachment : undefined;
  }

  /** The session of an agent on one connection, found by the uid as it stands in its messages. */
  on({ attachment }: Outlet, wireUid: string): AgentSession | undefined {
    if (attachment instanceof AgentSession) return attachment.wireText === wireUid || attachment.uid === wireUid ? attachment : undefined;
    return attachment instanceof Map ? (attachment as Sessions).get(wireUid) : undefined;
  }

  /** All sessions of one connection. */
  allOn({ attachment }: Outlet): AgentSession[] {
    if (attachment instanceof AgentSession) return [attachment];
    return attachment instanceof Map ? [...new Set((attachment as Sessions).values())] : [];
  }

  /** Registers a session on its connection, under the uid of its messages and its own, which it owns. */
  add(session: AgentSession): void {
    this.#byUid.set(session.uid, session);
    const { outlet } = session;
    const { attachment } = outlet;
    if (attachment === undefined || attachment === session) outlet.attachment = session;
    else if (attachment instanceof AgentSession && attachment.wireText === session.wireText) outlet.attachment = session;
    else {
      const sessions: Sessions = attachment instanceof Map ? (attachment as Sessions) : new Map<string, AgentSession>();
      if (attachment instanceof AgentSession) sessions.set(attachment.uid, attachment).set(attachment.wireText, attachment);
      outlet.attachment = sessions.set(session.uid, session).set(session.wireText, session);
    }
  }

  /** Keeps the session among those that are looked at every second, for as long as it asks or waits. */
  noteAsking(session: AgentSession): void {
    if (session.outlet.transport === 'ws' && isAsking(session)) this.asking.add(session);
  }

  /** The session no longer owns its uid (taken over, or gone); its connection still knows it. */
  disown(session: AgentSession): void {
    if (this.#byUid.get(session.uid) === session) this.#byUid.delete(session.uid);
    this.asking.delete(session);
  }

  /** Forgets a session altogether. */
  remove(session: AgentSession): void {
    this.disown(session);
    const { outlet } = session;
    const { attachment } = outlet;
    if (attachment === session) outlet.attachment = undefined;
    if (!(attachment instanceof Map)) return;
    const sessions = attachment as Sessions;
    for (const uid of [session.uid, session.wireText]) if (sessions.get(uid) === session) sessions.delete(uid);
    if (sessions.size === 0) outlet.attachment = undefined;
  }

  /** Owning sessions in a phase. */
  count(phase: AgentSession['phase']): number {
    let count = 0;
    for (const session of this.#byUid.values()) if (session.phase === phase) count += 1;
    return count;
  }

  /** Owning sessions, in no particular order. */
  sessions(): IterableIterator<AgentSession> {
    return this.#byUid.values();
  }
}

/** Whether the session has a question for its agent, or waits for its report. */
export function isAsking({ fullStateOwed, offerQuestion, awaitingReportUntilMs }: AgentSession): boolean {
  return fullStateOwed || offerQuestion || awaitingReportUntilMs !== 0;
}
