import type { ConfigRef, GroupPolicy, GroupSpec } from '@opamp-gateway/shared/fleet-spec';
import { groupBuilds } from './api/agent-builds.ts';
import { diffTexts } from './api/config-diff.ts';
import type { ConfigValidator } from './api/dependencies.ts';
import type { AgentReader } from './bus/agent-reader.ts';
import type { ConfigCheck } from './rollout/ports.ts';
import { MAX_SHOWN_FINDINGS } from './rollout/service.ts';
import type { PreviewDiff, ValidationSummary } from './rollout/service.ts';
import { textsOf } from './stores/config-store.ts';
import type { ConfigStore } from './stores/config-store.ts';
import type { ComponentType } from './validation/component-set.ts';
import type { Finding } from './validation/finding.ts';
import { preflight } from './validation/preflight.ts';

/** Every switch set to what lets most through: what is found even so is no matter of the group. */
const PERMISSIVE: GroupPolicy = { allowProviders: true, allowNoPipelines: true, allowFragments: true };

/** Configs whose findings are remembered; each is a few kilobytes. */
const MAX_REMEMBERED = 100;

/** Characters of a diff that a preview shows at most. */
const MAX_DIFF_CHARS = 64 * 1024;

type Judgement = { against: readonly Finding[]; components: readonly ComponentType[]; validation: ValidationSummary };

/** Builds what judges a config for one group: by the group's switches, and by the builds of its agents. */
export function createGroupCheck(options: { configs: ConfigStore; agents: AgentReader; validate: ConfigValidator }): ConfigCheck {
  const { configs, agents, validate } = options;
  const remembered = new Map<string, Judgement>();

  /** Errors that only the group's switches make, and the components. A config and its findings never change. */
  const judge = async ({ hash }: ConfigRef, policy: GroupPolicy): Promise<Judgement> => {
    const key = `${hash} ${JSON.stringify(policy)}`;
    const known = remembered.get(key);
    if (known !== undefined) return known;
    const texts = textsOf((await configs.files(hash)) ?? {});
    const { findings, components } = validate(texts, { policy });
    const anyway = new Set(errorsOf(validate(texts, { policy: PERMISSIVE }).findings).map(placeOf));
    const errors = errorsOf(findings);
    const judgement = {
      against: errors.filter((finding) => !anyway.has(placeOf(finding))),
      components,
      validation: {
        errors: errors.length,
        warnings: findings.length - errors.length,
        findings: [...errors, ...findings.filter(({ severity }) => severity !== 'error')].slice(0, MAX_SHOWN_FINDINGS),
      },
    };
    if (remembered.size >= MAX_REMEMBERED) remembered.clear();
    remembered.set(key, judgement);
    return judgement;
  };

  return {
    async check(group: GroupSpec, config: ConfigRef) {
      const [{ against, components, validation }, [version], builds] = await Promise.all([
        judge(config, group.policy ?? {}),
        configs.versions(config.name, [config.version]),
        groupBuilds(agents, group.name),
      ]);
      const forced = new Set((version?.validation.findings as readonly Finding[] | undefined)?.map(({ code }) => code));
      return {
        refused: against
          .filter(({ code }) => !forced.has(code))
          .map(({ code, path, message }) => `${code} at ${path || 'the top'}: ${message}`),
        builds: preflight(components, builds),
        validation,
      };
    },

    async diff(from, to) {
      if (from.hash === to.hash) return { unified: '', added: 0, removed: 0, truncated: false };
      const [left, right] = await Promise.all([from, to].map(async ({ hash }) => (await configs.files(hash)) ?? {}));
      const titles = { from: `${from.name}@${from.version}`, to: `${to.name}@${to.version}` };
      return shorten(diffTexts(left ?? {}, right ?? {}, titles));
    },
  };
}

/** Counts the lines of a diff, and cuts it at the end of a line. */
function shorten(unified: string): PreviewDiff {
  const lines = unified.split('\n');
  const count = (sign: '+' | '-'): number => lines.filter((line) => line.startsWith(sign) && !line.startsWith(`${sign.repeat(3)} `)).length;
  const truncated = unified.length > MAX_DIFF_CHARS;
  const shown = truncated ? unified.slice(0, unified.lastIndexOf('\n', MAX_DIFF_CHARS - 1) + 1) : unified;
  return { unified: shown, added: count('+'), removed: count('-'), truncated };
}

function errorsOf(findings: readonly Finding[]): Finding[] {
  return findings.filter(({ severity }) => severity === 'error');
}

function placeOf({ code, path, line, column }: Finding): string {
  return `${code} ${path} ${line ?? 0}:${column ?? 0}`;
}
