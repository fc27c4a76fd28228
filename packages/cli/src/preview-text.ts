import type { Finding, Preflight } from './api-types.ts';
import { formatFinding, plural } from './findings.ts';
import { formatRef } from './rollout-text.ts';
import { oneLine, renderFields } from './table.ts';

/** Lines of a diff, and findings, that are printed. */
const MAX_DIFF_LINES = 60;
const MAX_FINDINGS = 10;

/** Answer of `POST /rollouts?dryRun=true`. */
export interface Preview {
  group: string;
  from: { name: string; version: number } | null;
  to: { name: string; version: number };
  agents: Record<string, unknown> & {
    byVersion?: { version: string; agents: number }[];
    byLabel?: { label: string; agents: number }[];
    byStratum?: { stratum: Record<string, string>; agents: number }[];
  };
  waves: { agents: number; soak: string; approval?: string }[];
  schedule?: { startsAt: string };
  eta: string;
  conflict: string | null;
  canary?: { agents: string[]; strata: number; strataCovered: number };
  gates?: { name: string; outcome: string; detail: string }[];
  preflight?: Preflight | null;
  /** Null for the first rollout of a group without a baseline. */
  diff?: { unified: string; added: number; removed: number; truncated: boolean } | null;
  validation?: { errors: number; warnings: number; findings: Finding[] } | null;
  problems?: string[];
  warnings: string[];
}

/** What a rollout would do, as text: fields, and below them what the config changes. */
export function renderPreview(preview: Preview): string {
  const { diff } = preview;
  const fields = renderFields(fieldsOf(preview));
  return diff === undefined || diff === null || diff.unified === '' ? fields : `${fields}\n${diffText(diff, preview)}`;
}

function diffText({ unified, truncated }: NonNullable<Preview['diff']>, { from, to }: Preview): string {
  const lines = unified.replace(/\n$/, '').split('\n');
  const shown = lines.slice(0, MAX_DIFF_LINES).map((line) => `${oneLine(line)}\n`);
  if (lines.length <= MAX_DIFF_LINES && !truncated) return shown.join('');
  const whole =
    from?.name === to.name ? `\`opampctl config diff ${to.name} ${from.version} ${to.version}\` shows it all` : '--json shows more of it';
  return `${shown.join('')}… and more: ${whole}\n`;
}

function diffFields({ diff }: Preview): [string, string][] {
  if (diff === undefined) return [];
  if (diff === null) return [['changes', 'nothing to compare with: the first version of the group']];
  if (diff.added + diff.removed === 0) return [['changes', 'none: the group is on this content already']];
  return [['changes', `${plural(diff.added, 'line')} added, ${diff.removed} removed, see below`]];
}

function validationFields({ validation, to }: Preview): [string, string][] {
  if (validation === undefined || validation === null) return [];
  const { errors, warnings, findings } = validation;
  const more = errors + warnings - Math.min(findings.length, MAX_FINDINGS);
  return [
    ['validation', errors + warnings === 0 ? 'no findings' : `${plural(errors, 'error')}, ${plural(warnings, 'warning')}`],
    ...findings.slice(0, MAX_FINDINGS).map((finding) => ['finding', formatFinding(formatRef(to), finding)] as [string, string]),
    ...(more > 0 ? [['', `and ${more} more`] as [string, string]] : []),
  ];
}

/** One line of counts, none when there is nothing to count; the largest eight. */
function counted<Entry extends { agents: number }>(
  name: string,
  entries: readonly Entry[] | undefined,
  text: (entry: Entry) => string,
): [string, string][] {
  if (entries === undefined || entries.length === 0) return [];
  const shown = entries.slice(0, 8).map((entry) => `${text(entry)} ${entry.agents}`);
  return [[name, `${shown.join(', ')}${entries.length > 8 ? `, and ${entries.length - 8} more` : ''}`]];
}

/** Who would be tried first, the first five of them, and how many strata they cover. */
function canaryFields({ canary }: Preview): [string, string][] {
  if (canary === undefined || canary.agents.length === 0) return [];
  const { agents, strata, strataCovered } = canary;
  const more = agents.length > 5 ? `, and ${agents.length - 5} more` : '';
  return [['canaries', `${agents.slice(0, 5).join(', ')}${more}${strata > 1 ? `; ${strataCovered} of ${strata} strata` : ''}`]];
}

function fieldsOf(preview: Preview): [string, string][] {
  return [
    ['group', preview.group],
    ['config', `${formatRef(preview.from)} -> ${formatRef(preview.to)}`],
    [
      'agents',
      Object.entries(preview.agents)
        .filter(([, value]) => !Array.isArray(value))
        .map(([name, value]) => `${name} ${String(value)}`)
        .join(', '),
    ],
    ...counted('versions', preview.agents.byVersion, ({ version }) => (version === '' ? '(none)' : version)),
    ...counted('labels', preview.agents.byLabel, ({ label }) => label),
    ...counted('strata', preview.agents.byStratum, ({ stratum }) => Object.values(stratum).join('/')),
    ...preview.waves.map(
      ({ agents, soak, approval = 'none' }, index) =>
        [`wave ${index + 1}`, `${agents} agents, soak ${soak}${approval === 'none' ? '' : `, approval ${approval} it`}`] as [
          string,
          string,
        ],
    ),
    ...(preview.schedule === undefined ? [] : [['starts', preview.schedule.startsAt] as [string, string]]),
    ['takes at least', preview.eta],
    ...canaryFields(preview),
    ...(preview.gates ?? []).map(
      ({ name, outcome, detail }) => ['gate', `${name}: ${outcome}${detail === '' ? '' : ` (${detail})`}`] as [string, string],
    ),
    ...(preview.conflict === null ? [] : [['conflict', `rollout ${preview.conflict} is active`] as [string, string]]),
    ...(preview.preflight?.lines ?? []).map((line) => ['components', line] as [string, string]),
    ...diffFields(preview),
    ...validationFields(preview),
    ...(preview.problems ?? []).map((problem) => ['refused', problem] as [string, string]),
    ...preview.warnings.map((warning) => ['warning', warning] as [string, string]),
  ];
}
