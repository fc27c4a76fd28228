import { hash } from 'node:crypto';

/** Size of the space that `hash48` maps to; a boundary equal to it admits everybody. */
export const BUCKET_SPACE = 2 ** 48;

/**
 * The place of a bucket (usually an agent's uid) in a rollout's order: the first 48 bits of SHA-256 over
 * `salt + ":" + bucket`, as an integer from 0 to 2^48 - 1, which a JavaScript number holds exactly. Another salt gives an
 * unrelated order, so that the same agents are not the canaries of every rollout. Must never change while a rollout runs.
 */
export function hash48(salt: string, bucket: string): number {
  return Number.parseInt(hash('sha256', `${salt}:${bucket}`, 'hex').slice(0, 12), 16);
}
