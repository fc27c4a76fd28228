import type { AgentToServer } from '@opamp-gateway/proto/opamp';
import type { Api } from './api.ts';
import type { Tap } from './tap.ts';
import { waitFor } from './wait-for.ts';

/** Moves that may lose a message before it counts as a fault. */
const ATTEMPTS = 10;

/** What the agent said first on its new gateway. */
export interface Moved {
  readonly first: AgentToServer;
  /** Records of the tap before the move. */
  readonly before: number;
}

/**
 * Moves an agent to the other gateway as a load balancer does, the former having let go of it first. What the agent says in the very
 * moment of the cut is lost, and a gateway that then asks for the full state does what it should: such a move is followed by
 * one more, until nothing was lost. Rejects after `deadlineMs` milliseconds without a step.
 * @param gateways two URLs; the agent is on the first
 */
export async function moveAgent(
  { tap, api, uid }: { readonly tap: Tap; readonly api: Api; readonly uid: string },
  gateways: readonly [string, string],
  deadlineMs: number,
): Promise<Moved> {
  let [from, to] = gateways;
  for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
    const { isPolling } = await tap.part(deadlineMs);
    if (!isPolling) await api.agent(uid, 'let go by its gateway', ({ connected }) => !connected, deadlineMs);
    const said = tap.records.findLast((record) => record.from === 'agent');
    const before = tap.records.length;
    tap.direct(to);
    const host = new URL(to).host;
    const first = await waitFor(
      'the agent on the other gateway',
      deadlineMs,
      () => tap.records.slice(before).find((record) => record.from === 'agent' && record.target === host),
      () => tap.describe(before),
    );
    if (first.from !== 'agent' || said?.from !== 'agent') throw new Error('the tap found no message of the agent');
    if (first.message.sequenceNum === said.message.sequenceNum + 1n) return { first: first.message, before };
    await waitFor(
      'the agent to be answered there',
      deadlineMs,
      () => tap.fromServer(before).length > 0,
      () => tap.describe(before),
    );
    [from, to] = [to, from];
  }
  throw new Error(`each of ${ATTEMPTS} moves lost a message of the agent\n${tap.describe()}`);
}
