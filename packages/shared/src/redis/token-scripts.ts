import type { Keys } from './keys.ts';
import { runScript, SCRIPTS } from './scripts.ts';
import type { RedisClient } from './scripts.ts';

/** Most ids that one change log keeps; a gateway that is further behind looks at everything. */
export const TOKEN_CHANGES_KEPT = 10_000;

/** Stores a credential if it still has the text `from` ('' = absent); `to` '' removes it. False when somebody else was first. */
export async function putToken(client: RedisClient, keys: Keys, change: { id: string; from: string; to: string }): Promise<boolean> {
  const args = [change.id, change.from, change.to, keys.channelTokens];
  return (await runScript(client, SCRIPTS.putToken, [keys.tokens, keys.tokenIds, keys.tokenChanges], args)) === 1;
}

/** Exchanges an enrolment token (as read: `text`) for a new token, counting the use in the same step. */
export async function enrolToken(
  client: RedisClient,
  keys: Keys,
  exchange: { id: string; text: string; maxUses: number; expiresAtMs: number | null; newId: string; newText: string },
): Promise<'ok' | 'changed' | 'expired' | 'spent'> {
  return (await runScript(
    client,
    SCRIPTS.enrol,
    [keys.tokens, keys.tokenIds, keys.tokenUses, keys.tokensUsed, keys.tokenChanges],
    [exchange.id, exchange.text, exchange.maxUses, exchange.expiresAtMs ?? '', exchange.newId, exchange.newText, keys.channelTokens],
  )) as 'ok' | 'changed' | 'expired' | 'spent';
}

/** Notes that credentials were presented. */
export async function useTokens(client: RedisClient, keys: Keys, ids: readonly string[]): Promise<void> {
  if (ids.length > 0) await runScript(client, SCRIPTS.useTokens, [keys.tokens, keys.tokensUsed], ids);
}
