import type { GateQuestion } from './ports.ts';

const PLACEHOLDER = /\{\{\s*([A-Za-z_]\w*)\s*\}\}/g;

const VALUES: Readonly<Record<string, (question: GateQuestion) => string>> = {
  rollout: ({ rollout }) => rollout.id,
  group: ({ rollout }) => rollout.group,
  config: ({ rollout }) => rollout.to.name,
  version: ({ rollout }) => String(rollout.to.version),
  hash: ({ rollout }) => rollout.to.hash,
  previousVersion: ({ rollout }) => String(rollout.from?.version ?? ''),
  previousHash: ({ rollout }) => rollout.from?.hash ?? '',
  wave: ({ wave }) => String(wave.index),
  waveSeconds: ({ wave, askedAtMs }) => `${Math.max(1, Math.round((askedAtMs - wave.startedAtMs) / 1_000))}s`,
};

/** Placeholders of a query that stand for nothing. */
export function unknownPlaceholders(query: string): string[] {
  return [...query.matchAll(PLACEHOLDER)].map((match) => match[1] ?? '').filter((name) => !Object.hasOwn(VALUES, name));
}

/** The query as it is sent. Values keep only letters, digits and `_ . : -`, so that none can end a string of the query. */
export function fillQuery(query: string, question: GateQuestion): string {
  return query.replaceAll(PLACEHOLDER, (_, name: string) => (VALUES[name]?.(question) ?? '').replaceAll(/[^\w.:-]/g, ''));
}
