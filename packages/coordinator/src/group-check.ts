import type { ConfigRef, GroupPolicy, GroupSpec } from '@opamp-gateway/shared/fleet-spec';
import { groupBuilds } from './api/agent-builds.ts';
import type { ConfigValidator } from './api/dependencies.ts';
import type { AgentReader } from './bus/agent-reader.ts';
import type { ConfigCheck } from './rollout/ports.ts';
import { textsOf } from './stores/config-store.ts';
import type { ConfigStore } from './stores/config-store.ts';
import type { ComponentType } from './validation/component-set.ts';
import type { Finding } from './validation/finding.ts';
import { preflight } from './validation/preflight.ts';

/** Every switch set to what lets most through: what is found even so is no matter of the group. */
const PERMISSIVE: GroupPolicy = { allowProviders: true, allowNoPipelines: true, allowFragments: true };

/** Configs whose findings are remembered; each is a few kilobytes. */
const MAX_REMEMBERED = 100;

type Judgement = { against: readonly Finding[]; components: readonly ComponentType[] };

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
    const judgement = { against: errorsOf(findings).filter((finding) => !anyway.has(placeOf(finding))), components };
    if (remembered.size >= MAX_REMEMBERED) remembered.clear();
    remembered.set(key, judgement);
    return judgement;
  };

  return {
    async check(group: GroupSpec, config: ConfigRef) {
      const [{ against, components }, [version], builds] = await Promise.all([
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
      };
    },
  };
}

function errorsOf(findings: readonly Finding[]): Finding[] {
  return findings.filter(({ severity }) => severity === 'error');
}

function placeOf({ code, path, line, column }: Finding): string {
  return `${code} ${path} ${line ?? 0}:${column ?? 0}`;
}
