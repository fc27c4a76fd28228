import { createHmac, timingSafeEqual } from 'node:crypto';

/**
 * Signatures of outgoing webhooks, in the form of the Standard Webhooks specification (version 1, symmetric): the header
 * `webhook-signature` holds one `v1,<base64>` per secret, separated by spaces, over `<id>.<timestamp>.<body>` with HMAC-SHA256.
 * Several secrets are for the time in which one replaces another.
 */

/** What a receiver needs beside the body: `webhook-id` names the message in every attempt, `webhook-timestamp` is in Unix seconds. */
export interface WebhookHeaders {
  readonly 'webhook-id': string;
  readonly 'webhook-timestamp': string;
  readonly 'webhook-signature': string;
}

/** One message as it is sent. */
export interface SignableWebhook {
  /** The same in every attempt: receivers leave out what they have seen. No dots, at most 256 bytes. */
  readonly id: string;
  /** When this attempt is made, ms since 1970. */
  readonly nowMs: number;
  /** The very bytes of the body, as UTF-8 text. */
  readonly body: string;
}

/** A clock of the receiver may differ by so much, and a recorded message can be repeated for so long. */
export const WEBHOOK_TOLERANCE_MS = 300_000;

const PREFIX = 'whsec_';
const MIN_SECRET_BYTES = 16;
const MAX_SECRET_BYTES = 256;

/**
 * Reads a signing secret: `whsec_` and base64, or any other text as its UTF-8 bytes.
 * @throws Error that says what is wrong with it, and never quotes it.
 */
export function parseWebhookSecret(text: string): Buffer {
  const encoded = text.startsWith(PREFIX) ? text.slice(PREFIX.length) : undefined;
  if (encoded !== undefined && !/^[A-Za-z\d+/]+={0,2}$/.test(encoded))
    throw new Error(`a secret that begins with ${PREFIX} goes on in base64`);
  const key = encoded === undefined ? Buffer.from(text, 'utf8') : Buffer.from(encoded, 'base64');
  if (key.length < MIN_SECRET_BYTES || key.length > MAX_SECRET_BYTES)
    throw new Error(`a secret has ${MIN_SECRET_BYTES} to ${MAX_SECRET_BYTES} bytes, this one has ${key.length}`);
  return key;
}

/** The headers that sign one attempt, with every one of `secrets` (at least one). */
export function signWebhook(message: SignableWebhook, secrets: readonly Buffer[]): WebhookHeaders {
  const timestamp = String(Math.floor(message.nowMs / 1000));
  const signatures = secrets.map((secret) => `v1,${signatureOf(secret, message.id, timestamp, message.body).toString('base64')}`);
  return { 'webhook-id': message.id, 'webhook-timestamp': timestamp, 'webhook-signature': signatures.join(' ') };
}

/** Why a message is not to be trusted, or undefined when one of its signatures fits one of `secrets` and it is fresh. */
export function verifyWebhook(
  headers: Readonly<Record<string, string | readonly string[] | undefined>>,
  body: string,
  secrets: readonly Buffer[],
  nowMs: number,
): string | undefined {
  const id = headers['webhook-id'];
  const timestamp = headers['webhook-timestamp'];
  const signature = headers['webhook-signature'];
  if (typeof id !== 'string' || typeof timestamp !== 'string' || typeof signature !== 'string') return 'a webhook header is missing';
  if (!/^\d{1,12}$/.test(timestamp)) return 'webhook-timestamp is not a number of seconds';
  if (Math.abs(nowMs - Number(timestamp) * 1000) > WEBHOOK_TOLERANCE_MS) return 'webhook-timestamp is too old or too new';
  const offered = signature
    .split(' ')
    .filter((entry) => entry.startsWith('v1,'))
    .map((entry) => Buffer.from(entry.slice(3), 'base64'));
  const fits = secrets.some((secret) => {
    const expected = signatureOf(secret, id, timestamp, body);
    return offered.some((candidate) => candidate.length === expected.length && timingSafeEqual(candidate, expected));
  });
  return fits ? undefined : 'no signature fits';
}

function signatureOf(secret: Buffer, id: string, timestamp: string, body: string): Buffer {
  return createHmac('sha256', secret).update(`${id}.${timestamp}.${body}`, 'utf8').digest();
}
