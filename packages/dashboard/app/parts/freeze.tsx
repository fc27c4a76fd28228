import { useQueryClient } from '@tanstack/react-query';
import { call } from '../api/client.ts';
import type { Fleet } from '../api/types.ts';
import { agentsText } from '../words.ts';
import { ActionButton } from './action-dialog.tsx';

/** The brake of the whole fleet. */
export function Freeze({ fleet }: { readonly fleet: Fleet }) {
  const client = useQueryClient();
  const { frozen, agents } = fleet;
  return (
    <ActionButton
      key={String(frozen)}
      kind={frozen ? 'primary' : 'plain'}
      action={{
        label: frozen ? 'Unfreeze the fleet' : 'Freeze the fleet',
        isDangerous: !frozen,
        effect: frozen
          ? `Offers go on for all ${agentsText(agents.total)}, and running rollouts advance again.`
          : `None of the ${agentsText(agents.total)} is offered a new config, in any rollout, until you unfreeze. Rollbacks go on.`,
        run: async (reason) => {
          await call(`/fleet/${frozen ? 'unfreeze' : 'freeze'}`, { method: 'POST', body: { reason } });
          await client.invalidateQueries({ queryKey: ['fleet'] });
        },
      }}
    />
  );
}
