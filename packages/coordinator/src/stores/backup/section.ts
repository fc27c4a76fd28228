import type { Keys } from '@opamp-gateway/shared/redis/keys';
import type { RedisClient } from '@opamp-gateway/shared/redis/scripts';

/** What a section works with. */
export interface SectionContext {
  readonly client: RedisClient;
  readonly keys: Keys;
}

/** What restoring a section knows beside. */
export interface RestoreContext extends SectionContext {
  /** When the backup was made, Unix milliseconds. */
  readonly takenAtMs: number;
  /** Redis' time when the restoring began. */
  readonly nowMs: number;
}

/** Fields of one record, whose meaning only its section knows. */
export type SectionRecord = Readonly<Record<string, unknown>>;

/** Takes the records of one section back. */
export interface SectionRestorer {
  /** Stores a record, or keeps it for `activate`: until then nothing that gateways or coordinators act upon may change. Throws on a malformed one. */
  restore(record: SectionRecord): Promise<void>;
  /** The whole file has been read and is right: what was restored counts from now on. */
  activate?(): Promise<void>;
  /** Every section has been activated. */
  finish?(): Promise<void>;
  /** What the operator has to know. */
  notes?(): readonly string[];
}

/** One kind of thing that a backup holds. Sections are saved, restored and activated in the order of the list. */
export interface BackupSection {
  readonly name: string;
  /** Everything there is, in pieces. */
  read(context: SectionContext): AsyncIterable<SectionRecord>;
  /** Says what of this section is here already, `3 groups`, or undefined. Restoring over it takes `force`. */
  existing(context: SectionContext): Promise<string | undefined>;
  /** With `force`: takes away what is in the way. */
  clear(context: SectionContext): Promise<void>;
  restorer(context: RestoreContext): SectionRestorer;
}

/** A text field of a record. Throws a TypeError that names it when it is none. */
export function textOf(record: SectionRecord, field: string): string {
  const value = record[field];
  if (typeof value !== 'string') throw new TypeError(`the field ${field} is no text`);
  return value;
}

/** A list of texts. */
export function textsOf(record: SectionRecord, field: string): string[] {
  const value = record[field];
  if (!Array.isArray(value) || !value.every((entry) => typeof entry === 'string'))
    throw new TypeError(`the field ${field} is no list of texts`);
  return value;
}

/** An object of texts. */
export function fieldsOf(record: SectionRecord, field: string): Record<string, string> {
  const value = record[field];
  if (typeof value !== 'object' || value === null || !Object.values(value).every((entry) => typeof entry === 'string'))
    throw new TypeError(`the field ${field} is no object of texts`);
  return value as Record<string, string>;
}

/** A whole number from 0. */
export function countOf(record: SectionRecord, field: string): number {
  const value = record[field];
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) throw new TypeError(`the field ${field} is no number`);
  return value;
}
