import type { WebhookGate } from '../rollout/gate-strategy.ts';
import type { GateAnswer, GateQuestion } from '../rollout/ports.ts';
import { signWebhook } from '../webhook-signature.ts';
import type { AllowedUrl } from './allowed-urls.ts';
import { boundedFetch } from './bounded-fetch.ts';

/** What a receiver may decide. */
const DECISIONS = ['pass', 'fail', 'wait', 'inconclusive'] as const;
type Decision = (typeof DECISIONS)[number];

/** How a receiver is asked. */
export interface WebhookSender {
  /** Every signature that is sent along; the last one is that of the oldest secret. */
  secrets: readonly Buffer[];
  /** Time for the signature, ms since 1970. */
  nowMs(): number;
}

/** The body of a question: what is decided about, and how it went so far. */
export function webhookBody({ gate, rollout, wave, counts, ask, askedAtMs }: GateQuestion): string {
  return JSON.stringify({
    type: 'rollout.gate',
    gate: gate.name,
    ask,
    at: new Date(askedAtMs).toISOString(),
    rollout,
    wave: {
      index: wave.index,
      of: wave.of,
      startedAt: new Date(wave.startedAtMs).toISOString(),
      members: wave.members,
      target: wave.target,
      counts: wave.counts,
    },
    counts,
  });
}

/** Asks one receiver. Throws when it cannot be reached, or answers anything but a decision: that never passes and never fails. */
export async function askWebhook(
  gate: WebhookGate,
  question: GateQuestion,
  allowed: AllowedUrl,
  sender: WebhookSender,
  signal: AbortSignal,
): Promise<GateAnswer> {
  const body = webhookBody(question);
  const answer = await boundedFetch(gate.url, {
    method: 'POST',
    headers: {
      accept: 'application/json',
      'content-type': 'application/json',
      'idempotency-key': question.key,
      ...(allowed.authorization === undefined ? {} : { authorization: allowed.authorization }),
      ...signWebhook({ id: question.key, nowMs: sender.nowMs(), body }, sender.secrets),
    },
    body,
    timeoutMs: gate.timeoutMs,
    signal,
  });
  if (answer.status < 200 || answer.status > 299) throw new Error(`it answered ${answer.status}`);
  const { decision, reason } = readDecision(answer.body);
  return { outcome: decision, detail: reason === '' ? `it said ${decision}` : reason, evidence: answer.body };
}

function readDecision(body: string): { decision: Decision; reason: string } {
  let answer: unknown;
  try {
    answer = JSON.parse(body);
  } catch (error) {
    throw new Error('it answered with something that is not JSON', { cause: error });
  }
  const { decision, reason } = typeof answer === 'object' && answer !== null ? (answer as Record<string, unknown>) : {};
  if (!DECISIONS.includes(decision as Decision)) throw new Error(`it answered without a decision: ${DECISIONS.join(', ')}`);
  return { decision: decision as Decision, reason: typeof reason === 'string' ? reason : '' };
}
