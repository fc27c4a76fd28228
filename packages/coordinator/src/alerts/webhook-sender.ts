import { toError } from '@opamp-gateway/shared/errors';
import { signWebhook } from '../webhook-signature.ts';
import type { AlertTarget } from './alert-targets.ts';

/** What became of one attempt. */
export type SendOutcome =
  | { kind: 'delivered' }
  /** `retryAfterMs`: the receiver asked for so long a wait. */
  | { kind: 'failed'; error: string; retryAfterMs: number | undefined };

/** Sends one signed webhook; never rejects. */
export type WebhookSender = (
  target: AlertTarget,
  message: { id: string; nowMs: number; body: string },
  signal: AbortSignal,
) => Promise<SendOutcome>;

const MAX_RETRY_AFTER_MS = 3_600_000;

/** POSTs to the target's URL. 2xx is delivered; anything else, a redirect too, is not. Errors name no URL. */
export const sendWebhook: WebhookSender = async (target, message, signal) => {
  try {
    const answer = await fetch(target.url, {
      method: 'POST',
      body: message.body,
      redirect: 'manual',
      headers: {
        ...target.headers,
        'content-type': 'application/json',
        'user-agent': 'opamp-coordinator',
        ...signWebhook(message, target.secrets),
      },
      signal: AbortSignal.any([signal, AbortSignal.timeout(target.timeoutMs)]),
    });
    // Nobody reads the body: it is of any length, and a connection with an unread one is not used again.
    await answer.body?.cancel();
    if (answer.ok) return { kind: 'delivered' };
    return { kind: 'failed', error: `answered ${answer.status}`, retryAfterMs: retryAfterOf(answer.headers.get('retry-after')) };
  } catch (error) {
    return { kind: 'failed', error: describe(toError(error), target.timeoutMs), retryAfterMs: undefined };
  }
};

/** What went wrong, without the address: the text of some errors quotes it. */
function describe(error: Error, timeoutMs: number): string {
  if (error.name === 'TimeoutError') return `no answer within ${timeoutMs} ms`;
  if (error.name === 'AbortError') return 'the coordinator stopped';
  const code = (error.cause as { code?: unknown } | undefined)?.code;
  return typeof code === 'string' ? `no connection: ${code}` : 'no connection';
}

function retryAfterOf(header: string | null): number | undefined {
  return header !== null && /^\d{1,6}$/.test(header) ? Math.min(MAX_RETRY_AFTER_MS, Number(header) * 1000) : undefined;
}
