import { parseSpec, specField } from '@opamp-gateway/shared/fleet-spec';
import { commitSpec } from '@opamp-gateway/shared/redis/fleet-scripts';
import { textOf } from './section.ts';
import type { BackupSection, SectionContext } from './section.ts';

/** Fields that are not part of what operators want: the counter, and what the documents of rollouts say anew. */
function isSaved(field: string): boolean {
  return field !== specField.generation && !field.startsWith('rollout:');
}

/** Every field of the fleet spec but those of rollouts: groups, what they are proven on, the freeze, and whatever else is kept there. */
export const SPEC_SECTION: BackupSection = {
  name: 'spec',

  async *read({ client, keys }) {
    const fields = await client.hgetall(keys.spec);
    for (const field of Object.keys(fields).filter(isSaved).toSorted()) yield { field, value: fields[field] };
  },

  async existing(context) {
    const count = (await savedFields(context)).filter((field) => field.startsWith('group:')).length;
    return count === 0 ? undefined : `${count} groups`;
  },

  async clear(context) {
    const { client, keys } = context;
    const fields = await client.hkeys(keys.spec);
    const del = fields.filter((field) => field !== specField.generation);
    if (del.length > 0) await commitSpec(client, keys, { guardGroup: null, mustExist: null, set: {}, del, audit: null });
  },

  restorer({ client, keys }) {
    const set: Record<string, string> = {};
    return {
      async restore(record) {
        const field = textOf(record, 'field');
        if (!isSaved(field)) throw new TypeError(`the field ${field} does not belong into a backup`);
        set[field] = textOf(record, 'value');
        if (field.startsWith('group:')) parseSpec({ [field]: set[field] });
      },
      // Nobody is offered anything before the rollouts are back too: `finish` lifts the freeze.
      async activate() {
        await commitSpec(client, keys, {
          guardGroup: null,
          mustExist: null,
          set: { ...set, [specField.frozen]: '1' },
          del: [],
          audit: null,
        });
      },
      async finish() {
        const frozen = set[specField.frozen] ?? '0';
        await commitSpec(client, keys, { guardGroup: null, mustExist: null, set: { [specField.frozen]: frozen }, del: [], audit: null });
      },
    };
  },
};

async function savedFields({ client, keys }: SectionContext): Promise<string[]> {
  return (await client.hkeys(keys.spec)).filter(isSaved);
}
