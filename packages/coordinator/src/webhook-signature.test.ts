import { createHmac } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { parseWebhookSecret, signWebhook, verifyWebhook, WEBHOOK_TOLERANCE_MS } from './webhook-signature.ts';

const secret = Buffer.from('0123456789abcdef0123456789abcdef');
const other = Buffer.from('another secret, long enough');
const message = { id: 'msg_1', nowMs: 1_700_000_000_123, body: '{"type":"rollout.held","text":"größer"}' };

describe('signWebhook', () => {
  it('signs id, timestamp and body as the Standard Webhooks specification says', () => {
    const headers = signWebhook(message, [secret]);
    const expected = createHmac('sha256', secret).update(`msg_1.1700000000.${message.body}`).digest('base64');
    expect(headers).toEqual({ 'webhook-id': 'msg_1', 'webhook-timestamp': '1700000000', 'webhook-signature': `v1,${expected}` });
  });

  it('signs with each secret while one replaces another', () => {
    const headers = { ...signWebhook(message, [secret, other]) };
    expect(verifyWebhook(headers, message.body, [secret], message.nowMs)).toBeUndefined();
    expect(verifyWebhook(headers, message.body, [other], message.nowMs)).toBeUndefined();
  });
});

describe('verifyWebhook', () => {
  const headers = { ...signWebhook(message, [secret]) };

  it.each([
    ['another body', headers, `${message.body} `, [secret], message.nowMs, 'no signature fits'],
    ['another secret', headers, message.body, [other], message.nowMs, 'no signature fits'],
    ['another id', { ...headers, 'webhook-id': 'msg_2' }, message.body, [secret], message.nowMs, 'no signature fits'],
    ['another time', { ...headers, 'webhook-timestamp': '1700000001' }, message.body, [secret], message.nowMs, 'no signature fits'],
    ['a replay', headers, message.body, [secret], message.nowMs + WEBHOOK_TOLERANCE_MS + 1000, 'webhook-timestamp is too old or too new'],
    ['no time', { ...headers, 'webhook-timestamp': undefined }, message.body, [secret], message.nowMs, 'a webhook header is missing'],
    [
      'a bad time',
      { ...headers, 'webhook-timestamp': 'now' },
      message.body,
      [secret],
      message.nowMs,
      'webhook-timestamp is not a number of seconds',
    ],
    [
      'another scheme',
      { ...headers, 'webhook-signature': headers['webhook-signature'].replace('v1,', 'v1a,') },
      message.body,
      [secret],
      message.nowMs,
      'no signature fits',
    ],
  ] as const)('refuses %s', (_name, given, body, secrets, nowMs, reason) => {
    expect(verifyWebhook(given, body, secrets, nowMs)).toBe(reason);
  });
});

describe('parseWebhookSecret', () => {
  it('reads base64 after whsec_, and other text as it is', () => {
    expect(parseWebhookSecret(`whsec_${secret.toString('base64')}`)).toEqual(secret);
    expect(parseWebhookSecret('another secret, long enough')).toEqual(other);
  });

  it.each(['short', 'whsec_AAAA', 'whsec_not base64 at all!!', 'x'.repeat(257)])('refuses %s without quoting it', (text) => {
    let reason = '';
    try {
      parseWebhookSecret(text);
    } catch (error) {
      reason = String(error);
    }
    expect(reason).toMatch(/secret/);
    expect(reason).not.toContain(text);
  });
});
