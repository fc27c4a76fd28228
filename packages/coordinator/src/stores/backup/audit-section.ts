import { textsOf } from './section.ts';
import type { BackupSection } from './section.ts';

/** Entries read at a time. */
const CHUNK = 500;

/**
 * The audit log, entry by entry under its old id and with its link in the chain; what is written next follows the last of them. A log
 * that has entries is kept as it is: nothing can be put before them without breaking their chain.
 */
export const AUDIT_SECTION: BackupSection = {
  name: 'audit',

  async *read({ client, keys }) {
    let after = '-';
    for (;;) {
      const entries = await client.xrange(keys.audit, after, '+', 'COUNT', CHUNK);
      for (const [id, fields] of entries) yield { id, fields };
      const last = entries.at(-1)?.[0];
      if (last === undefined || entries.length < CHUNK) return;
      after = `(${last}`;
    }
  },

  async existing() {
    return undefined;
  },

  async clear() {
    // A log of changes is not something to be taken away.
  },

  restorer({ client, keys }) {
    let wasEmpty: boolean | undefined;
    let skipped = 0;
    return {
      async restore(record) {
        const { id } = record;
        if (typeof id !== 'string' || !/^\d{1,20}-\d{1,20}$/.test(id)) throw new TypeError('the field id is no place in a log');
        const fields = textsOf(record, 'fields');
        wasEmpty ??= (await client.xlen(keys.audit)) === 0;
        if (wasEmpty) await client.xadd(keys.audit, id, ...fields);
        else skipped += 1;
      },
      notes: () =>
        skipped === 0 ? [] : [`${skipped} audit entries are left out: the log here has entries, and its chain goes on from these`],
    };
  },
};
