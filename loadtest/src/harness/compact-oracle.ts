/**
 * The oracle of fleets whose whole records would not fit into one process: of each agent only what has to be equal is looked at, page by
 * page and worker by worker.
 */
import type { AgentTruth } from '../agent-record.ts';
import type { AgentView, GroupCounts } from './api.ts';
import type { OracleVerdict, Run } from './run.ts';
import { pause } from './wait-for.ts';

const KEPT = 20;
const SHORTEST_LAG_MS = 90_000;
const LAG_MS_PER_AGENT = 0.3;
const PAUSE_MS = 1_000;

function stateText(connected: boolean, status: string, hash: string | null): string {
  return `${connected ? 'connected' : 'not connected'}, ${status.toUpperCase()} of ${hash ?? 'nothing'}`;
}

/** Compares a server's list with what agents say of themselves, in parts; the list comes first. */
export class CompactComparison {
  /** One text for all agents in the same state: a million of them would take a hundred megabytes. */
  readonly #texts = new Map<string, string>();
  readonly #listed = new Map<string, string>();
  readonly #differences: string[] = [];
  readonly #wanted: string | null;
  #count = 0;
  #agents = 0;
  #compared = 0;

  /** `wanted` is the hex hash of the config that every connected agent has to run; null for none. */
  constructor(wanted: string | null) {
    this.#wanted = wanted;
  }

  /** Agents that were connected, and so were compared. */
  get compared(): number {
    return this.#compared;
  }

  /** Takes a page of the server's list. */
  addListed(page: readonly AgentView[]): void {
    for (const { uid, connected, config } of page) {
      if (this.#listed.has(uid)) this.#differ(`the server lists ${uid} twice`);
      const text = stateText(connected, config.status, config.hash);
      const shared = this.#texts.get(text) ?? text;
      this.#texts.set(shared, shared);
      this.#listed.set(uid, shared);
    }
    this.#agents = this.#listed.size;
  }

  /** Compares agents with their entries. Who is not connected may be unknown, and must not be listed as connected. */
  compare(truths: readonly AgentTruth[]): void {
    for (const { uid, connected, running, status, hash, violations } of truths) {
      const listed = this.#listed.get(uid);
      this.#listed.delete(uid);
      if (violations > 0) this.#differ(`agent ${uid} saw the server break ${violations} rules of the protocol`);
      if (!connected) {
        if (listed?.startsWith('connected') === true) this.#differ(`agent ${uid} is not connected, the server says it is`);
        continue;
      }
      this.#compared += 1;
      if (running !== this.#wanted) this.#differ(`agent ${uid} runs ${running ?? 'nothing'}, not ${this.#wanted ?? 'nothing'}`);
      const own = stateText(connected, status, hash);
      if (listed !== own) this.#differ(`agent ${uid} is ${own}, the server has ${listed ?? 'no entry'}`);
    }
  }

  /** What differs; call it once, after everything was compared. */
  finish(group: GroupCounts): readonly string[] {
    for (const uid of this.#listed.keys()) this.#differ(`the server lists ${uid}, which no simulated agent is`);
    if (group.connected !== this.#compared)
      this.#differ(`the server counts ${group.connected} connected agents, there are ${this.#compared}`);
    if (group.agents !== this.#agents) this.#differ(`the server counts ${group.agents} agents and lists ${this.#agents}`);
    return this.#count > KEPT ? [...this.#differences, `and ${this.#count - KEPT} more`] : this.#differences;
  }

  #differ(text: string): void {
    this.#count += 1;
    if (this.#differences.length < KEPT) this.#differences.push(text);
  }
}

/** Compares all agents with the server until they agree or too much time has passed; the verdict has no records. */
export async function askCompactOracle(run: Run, check: () => void): Promise<OracleVerdict> {
  const deadlineMs = Date.now() + Math.max(SHORTEST_LAG_MS, run.fleet.size * LAG_MS_PER_AGENT);
  for (let attempt = 1; ; attempt += 1) {
    check();
    const comparison = new CompactComparison(run.current?.hash ?? null);
    let differences: readonly string[];
    try {
      await run.api.visitAgents(run.selector, (page) => {
        check();
        comparison.addListed(page);
      });
      await run.fleet.visitTruths((truths) => comparison.compare(truths));
      differences = comparison.finish(await run.api.groupCounts(run.group));
    } catch (error) {
      check();
      differences = [`the comparison failed: ${error instanceof Error ? error.message : String(error)}`];
    }
    if (differences.length === 0 || (attempt > 1 && Date.now() > deadlineMs)) {
      return { differences, compared: comparison.compared, records: [] };
    }
    run.terminal.live([{ name: 'oracle', key: 'waiting', text: `  oracle: ${differences.length} differences, waiting` }]);
    await pause(PAUSE_MS, check);
  }
}
