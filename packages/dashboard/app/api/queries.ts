import { keepPreviousData, QueryClient, useQuery, type UseQueryResult } from '@tanstack/react-query';
import { ApiProblem, call, queryText } from './client.ts';
import type {
  Abilities,
  Agent,
  AgentCredential,
  AgentDetail,
  AuditEntry,
  ConfigDiff,
  ConfigVersion,
  DriftSurvey,
  Failures,
  Fleet,
  Gateway,
  Group,
  History,
  Page,
  Rollout,
} from './types.ts';

const FAST_MS = 1_000;
const CALM_MS = 3_000;
const SLOW_MS = 15_000;
/** For answers that cost the coordinator some work. */
const SURVEY_MS = 30_000;
const MINUTE_MS = 60_000;
const MAX_RETRY_MS = 4_000;
/** Statuses that say "later", not "no". */
const PASSING = new Set([401, 502, 503, 504]);

const FINAL_PHASES: ReadonlySet<string> = new Set(['succeeded', 'cancelled', 'rolled_back', 'rollback_failed']);

/** Whether a rollout has ended. */
export function hasEnded({ phase }: { readonly phase: string }): boolean {
  return FINAL_PHASES.has(phase);
}

/** For a page of one thing: another thing must never show in its place. */
const NOTHING = (): undefined => undefined;

/** Asks again for as long as the coordinator is away; a refusal is final. */
export function createQueryClient(): QueryClient {
  return new QueryClient({
    defaultOptions: {
      queries: {
        networkMode: 'always',
        retry: (_count, error) => !(error instanceof ApiProblem) || PASSING.has(error.status),
        retryDelay: (count) => Math.min(MAX_RETRY_MS, 500 * 2 ** count),
        staleTime: 500,
        placeholderData: keepPreviousData,
      },
      mutations: { networkMode: 'always', retry: false },
    },
  });
}

function useGet<Answer>(key: readonly unknown[], path: string, everyMs: number | false, enabled = true): UseQueryResult<Answer> {
  return useQuery({
    queryKey: key,
    queryFn: async ({ signal }) => await call<Answer>(path, { signal }),
    refetchInterval: everyMs,
    enabled,
  });
}

const part = encodeURIComponent;

export const useFleet = (): UseQueryResult<Fleet> => useGet(['fleet'], '/fleet', CALM_MS);
export const useGateways = (): UseQueryResult<Page<Gateway>> => useGet(['gateways'], '/gateways?limit=1000', CALM_MS);
export const useGroups = (): UseQueryResult<Page<Group>> => useGet(['groups'], '/groups?limit=1000', CALM_MS);
/** What connected agents run against what they should, on a sample of a large fleet. */
export const useDrift = (): UseQueryResult<DriftSurvey> => useGet(['drift'], '/fleet/drift?limit=5&compare=100', SURVEY_MS);
export const useAbilities = (): UseQueryResult<Abilities> => useGet(['abilities'], '/fleet/abilities', SURVEY_MS);
export const useConfigs = (): UseQueryResult<Page<ConfigVersion>> => useGet(['configs'], '/configs?limit=1000', SLOW_MS);

/** Requests that one page of a rare filter takes at most; each looks at 20,000 agents. */
const MAX_SCANS = 25;
/** A page that took longer than this is a search, which is not repeated every few seconds. */
const SEARCH_MS = 400;

type ScanQuery = Readonly<Record<string, string | number | undefined>> & { readonly limit: number };

/** Asks for page after page, of which each may be short or empty, until there are as many items as wanted. */
async function scan<Item>(path: string, query: ScanQuery, signal: AbortSignal): Promise<Page<Item>> {
  const items: Item[] = [];
  let cursor = query['cursor'];
  for (let asked = 1; ; asked += 1) {
    const page = await call<Page<Item>>(`${path}${queryText({ ...query, limit: query.limit - items.length, cursor })}`, { signal });
    items.push(...page.items);
    if (page.nextCursor === null || items.length >= query.limit || asked === MAX_SCANS) return { items, nextCursor: page.nextCursor };
    cursor = page.nextCursor;
  }
}

/** Agents of one page. A filter that few fit is followed through the fleet until the page is full or the fleet has ended. */
export function useAgents(query: ScanQuery): UseQueryResult<Page<Agent> & { readonly tookMs: number }> {
  return useQuery({
    queryKey: ['agents', queryText(query)],
    queryFn: async ({ signal }) => {
      const beganMs = performance.now();
      return { ...(await scan<Agent>('/agents', query, signal)), tookMs: performance.now() - beganMs };
    },
    refetchInterval: ({ state }) => (state.data !== undefined && state.data.tookMs > SEARCH_MS ? SURVEY_MS : CALM_MS),
  });
}

export function useAgent(uid: string): UseQueryResult<AgentDetail> {
  return useQuery({
    queryKey: ['agent', uid],
    queryFn: async ({ signal }) => await call<AgentDetail>(`/agents/${part(uid)}`, { signal }),
    refetchInterval: CALM_MS,
    placeholderData: NOTHING,
  });
}

/** The last day, a point every five minutes; `withGateways` brings a column for each. */
export function useHistory(withGateways: boolean): UseQueryResult<History> {
  return useGet(['history', withGateways], `/fleet/history${queryText({ gateways: withGateways ? 'true' : undefined })}`, MINUTE_MS);
}

/** Entries of one page; a filter that few fit is followed through the log until the page is full or the log has ended. */
export function useAudit(query: ScanQuery): UseQueryResult<Page<AuditEntry>> {
  return useQuery({
    queryKey: ['audit', queryText(query)],
    queryFn: async ({ signal }) => await scan<AuditEntry>('/audit', query, signal),
    refetchInterval: query['cursor'] === undefined ? SLOW_MS : false,
  });
}

export const useAgentCredentials = (): UseQueryResult<Page<AgentCredential>> =>
  useGet(['agent-credentials'], '/tokens?limit=1000', SLOW_MS);

export function useVersions(name: string): UseQueryResult<Page<ConfigVersion>> {
  return useGet(['versions', name], `/configs/${part(name)}/versions?limit=200`, SLOW_MS, name !== '');
}

/** One version with its text. */
export function useVersion(name: string, version: number | undefined): UseQueryResult<ConfigVersion> {
  return useGet(['version', name, version], `/configs/${part(name)}/versions/${version ?? 0}`, false, name !== '' && version !== undefined);
}

export function useDiff(name: string, from: number, to: number): UseQueryResult<ConfigDiff> {
  return useGet(['diff', name, from, to], `/configs/${part(name)}/diff?from=${from}&to=${to}`, false);
}

export function useRollouts(query: Readonly<Record<string, string | number | undefined>>): UseQueryResult<Page<Rollout>> {
  const text = queryText(query);
  return useGet(['rollouts', text], `/rollouts${text}`, CALM_MS);
}

export function useRollout(id: string): UseQueryResult<Rollout> {
  return useQuery({
    queryKey: ['rollout', id],
    queryFn: async ({ signal }) => await call<Rollout>(`/rollouts/${part(id)}`, { signal }),
    refetchInterval: ({ state }) => (state.data !== undefined && hasEnded(state.data) ? SLOW_MS : FAST_MS),
    placeholderData: NOTHING,
  });
}

/** The groups of what failed, without the agents one by one. */
export function useFailures(id: string, isRunning: boolean): UseQueryResult<Failures> {
  return useGet(['failures', id], `/rollouts/${part(id)}/failures?limit=0`, isRunning ? CALM_MS : SLOW_MS);
}
