/** Compares what the agents themselves recorded with what has to be true after an act. */
import type { AgentRecord } from '../agent-record.ts';
import type { AgentView } from './api-client.ts';

const KEPT_PROBLEMS = 10;

/** What an act left behind, by the agents' own records. */
export interface Findings {
  /** Agents that were ever offered the act's config. */
  readonly touched: number;
  /** Agents that ever reported it APPLIED, and FAILED. */
  readonly applied: number;
  readonly failed: number;
  /** Touched agents that run the right config now. */
  readonly right: number;
  /** In words; empty when all is well. */
  readonly problems: readonly string[];
}

/** What has to be true. */
export interface Expectation {
  /** Values of the attribute `env` that the act was about. */
  readonly groups: readonly string[];
  /** Hex hash of the act's config, and of the one that has to run at the end. */
  readonly offered: string;
  readonly right: string;
}

/** Why an agent does not run, keep and report a config, or undefined. */
export function wrongWith(record: AgentRecord, hash: string): string | undefined {
  const { running, onDisk, lastReported, health, connected } = record;
  if (running !== hash) return `runs ${running?.slice(0, 8) ?? 'nothing'}`;
  if (onDisk !== hash) return `has ${onDisk?.slice(0, 8) ?? 'nothing'} on disk`;
  if (lastReported.status !== 'APPLIED' || lastReported.hash !== hash) {
    return `last reported ${lastReported.status} of ${lastReported.hash?.slice(0, 8) ?? 'nothing'}`;
  }
  if (!health.healthy) return `is unhealthy: ${health.lastError}`;
  return connected ? undefined : 'is not connected';
}

function violationsOf({ violations }: AgentRecord): string[] {
  return Object.entries(violations)
    .filter(([, count]) => count > 0)
    .map(([name, count]) => `${name}: ${count}`);
}

/** Judges the records of all agents. */
export function judge(records: readonly AgentRecord[], { groups, offered, right }: Expectation): Findings {
  const problems: string[] = [];
  const inside = records.filter(({ attributes }) => groups.includes(attributes['env'] ?? ''));
  const wasOffered = ({ offers }: AgentRecord): boolean => offers.some(({ hash }) => hash === offered);
  const touched = inside.filter(wasOffered);
  for (const record of inside) {
    const wrong = wrongWith(record, right);
    if (wrong !== undefined) problems.push(`${record.attributes['host.name']} ${wrong}`);
  }
  for (const record of records) {
    const violations = violationsOf(record);
    if (violations.length > 0) problems.push(`${record.attributes['host.name']} saw the server break a rule (${violations.join(', ')})`);
    if (!inside.includes(record) && wasOffered(record)) problems.push(`${record.attributes['host.name']} got a config of another group`);
  }
  return {
    touched: touched.length,
    applied: touched.filter(({ everApplied }) => everApplied.includes(offered)).length,
    failed: touched.filter(({ everFailed }) => everFailed.includes(offered)).length,
    right: touched.filter((record) => wrongWith(record, right) === undefined).length,
    problems:
      problems.length > KEPT_PROBLEMS ? [...problems.slice(0, KEPT_PROBLEMS), `and ${problems.length - KEPT_PROBLEMS} more`] : problems,
  };
}

/** Where the API's list of agents differs from the agents' own records. */
export function compareWithApi(records: readonly AgentRecord[], listed: readonly AgentView[]): readonly string[] {
  const byUid = new Map(listed.map((agent) => [agent.uid, agent]));
  const problems: string[] = [];
  for (const { uid, connected, lastReported, attributes } of records) {
    const agent = byUid.get(uid);
    const name = attributes['host.name'] ?? uid;
    if (agent === undefined) problems.push(`the API does not know ${name}`);
    else if (agent.connected !== connected) problems.push(`the API says that ${name} is ${agent.connected ? '' : 'not '}connected`);
    else if (agent.config.hash !== lastReported.hash || agent.config.status !== lastReported.status.toLowerCase()) {
      problems.push(`the API says that ${name} reported ${agent.config.status} of ${agent.config.hash?.slice(0, 8) ?? 'nothing'}`);
    }
  }
  return problems.slice(0, KEPT_PROBLEMS);
}
