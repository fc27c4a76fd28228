import type { Section } from './check.ts';
import { CODE } from './code-map.ts';

const escapeCell = (text: string): string => text.replaceAll('|', '\\|');

/**
 * The checks as Markdown: one table per section with number, level, promise, clause, test file and, where the
 * specification leaves a choice, what the gateway does. `decisions` maps check numbers to that choice.
 */
export const renderProtocolTable = (registry: readonly Section[], decisions: ReadonlyMap<number, string>): string => {
  const lines: string[] = [];
  for (const section of registry) {
    lines.push(
      `## ${section.key}. ${section.title}`,
      '',
      `Tests: [\`test/conformance/sections/${section.file}\`](../test/conformance/sections/${section.file})`,
      '',
      `Code, below \`packages/gateway/src/\`: ${(CODE.get(section.key) ?? []).map((file) => `[\`${file}\`](../packages/gateway/src/${file})`).join(', ')}`,
      '',
      '| # | level | promise | over | specification | decision |',
      '|---|---|---|---|---|---|',
    );
    for (const check of section.checks) {
      lines.push(
        `| ${[
          String(check.id),
          check.level,
          escapeCell(check.title),
          check.transports.join(', '),
          escapeCell(check.clause),
          escapeCell(decisions.get(check.id) ?? ''),
        ].join(' | ')} |`,
      );
    }
    lines.push('');
  }
  return lines.join('\n');
};
