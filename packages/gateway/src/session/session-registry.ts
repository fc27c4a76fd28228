import type { AgentSession } from './agent-session.ts';
import type { Outlet } from './ports.ts';

/** Sessions of this gateway: the live one of each uid, and all of each connection (a connection may carry several agents). */
export class SessionRegistry {
  readonly #byUid = new Map<string, AgentSession>();
  readonly #byOutlet = new Map<Outlet, Map<string, AgentSession>>();

  /** Number of agents held here. */
  get size(): number {
    return this.#byUid.size;
  }

  /** The session that owns `uid` on this gateway. */
  owner(uid: string): AgentSession | undefined {
    return this.#byUid.get(uid);
  }

  /** The session of an agent on one connection, found by the uid as it stands in its messages. */
  on(outlet: Outlet, wireUid: string): AgentSession | undefined {
    return this.#byOutlet.get(outlet)?.get(wireUid);
  }

  /** All sessions of one connection. */
  allOn(outlet: Outlet): AgentSession[] {
    return [...new Set(this.#byOutlet.get(outlet)?.values())];
  }

  /** Registers a session under a uid of its messages; it owns its own `uid`. */
  add(session: AgentSession, wireUid: string): void {
    let sessions = this.#byOutlet.get(session.outlet);
    if (sessions === undefined) {
      sessions = new Map();
      this.#byOutlet.set(session.outlet, sessions);
    }
    sessions.set(wireUid, session);
    this.#byUid.set(session.uid, session);
  }

  /** The session no longer owns its uid (taken over, or gone); its connection still knows it. */
  disown(session: AgentSession): void {
    if (this.#byUid.get(session.uid) === session) this.#byUid.delete(session.uid);
  }

  /** Forgets a session altogether. */
  remove(session: AgentSession): void {
    this.disown(session);
    const sessions = this.#byOutlet.get(session.outlet);
    if (sessions === undefined) return;
    for (const [uid, other] of sessions) if (other === session) sessions.delete(uid);
    if (sessions.size === 0) this.#byOutlet.delete(session.outlet);
  }

  /** Owning sessions, in no particular order. */
  sessions(): IterableIterator<AgentSession> {
    return this.#byUid.values();
  }

  /** Every connection with at least one session. */
  outlets(): IterableIterator<Outlet> {
    return this.#byOutlet.keys();
  }
}
