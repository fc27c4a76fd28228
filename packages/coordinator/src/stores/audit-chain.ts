import { createHash } from 'node:crypto';

/** Hash before the first entry. */
export const CHAIN_START = '0'.repeat(64);

/** Action of the entry that says which older ones were removed because they had been kept long enough. */
export const TRIM_ACTION = 'audit.trim';

/** Most defects that are told one by one. */
const MAX_DEFECTS = 100;

/** An entry of the log as it is stored. */
export interface StoredAuditEntry {
  /** Id in the stream. */
  readonly id: string;
  /** JSON, as it was hashed. */
  readonly text: string;
  /** Place in the chain, from 1; undefined in entries of releases that had no chain. */
  readonly link: { readonly seq: number; readonly previous: string; readonly hash: string } | undefined;
}

/** Something in the log that should not be. */
export interface AuditDefect {
  /**
   * `changed`: the text or the hash of an entry is not what it was. `missing`: entries `seq` to `throughSeq` are gone.
   * `inserted`: an entry that is no link of the chain. `head`: the note about the end of the chain does not fit.
   */
  readonly kind: 'changed' | 'missing' | 'inserted' | 'head';
  readonly id: string | null;
  readonly seq: number | null;
  readonly throughSeq?: number;
  readonly detail: string;
}

/** What a check of the chain has found. */
export interface AuditVerdict {
  readonly ok: boolean;
  readonly entries: number;
  /** Entries of former releases at the beginning of the log, which have no hashes. */
  readonly unchained: number;
  readonly first: number | null;
  readonly last: { readonly seq: number; readonly hash: string } | null;
  /** The first of them. */
  readonly defects: readonly AuditDefect[];
}

/** Hash of an entry: over its number, the hash before it, and the digest of its text. The scripts compute the same. */
export function chainHash(seq: number, previous: string, text: string): string {
  return sha256(`${seq}:${previous}:${sha256(text)}`);
}

/** Checks a log, entry by entry in its order. */
export class ChainCheck {
  readonly #defects: AuditDefect[] = [];
  readonly #expected: { seq: number; hash: string } | undefined;
  #sound = true;
  #entries = 0;
  #unchained = 0;
  #first: { id: string; seq: number; previous: string } | undefined;
  #last: { id: string; seq: number; hash: string } | undefined;
  #trim: { seq: number; hash: string } = { seq: 0, hash: CHAIN_START };
  #met = false;

  /** `expected` is a place and hash that somebody noted earlier: the chain must still lead through it. */
  constructor(expected?: { seq: number; hash: string }) {
    this.#expected = expected;
  }

  /** Takes the next entry. */
  add({ id, text, link }: StoredAuditEntry): void {
    this.#entries += 1;
    if (link === undefined) {
      if (this.#last === undefined) this.#unchained += 1;
      else
        this.#report({ kind: 'inserted', id, seq: null, detail: `entry ${id} has no hash: a former release wrote it, or somebody else` });
      return;
    }
    const { seq, previous, hash } = link;
    const last = this.#last;
    if (last === undefined) this.#first = { id, seq, previous };
    else if (seq <= last.seq) {
      this.#report({ kind: 'inserted', id, seq, detail: `entry ${id} has the number ${seq}, but stands behind ${last.seq}` });
      return;
    } else if (seq > last.seq + 1) this.#reportGap(last.seq + 1, seq - 1);
    else if (previous !== last.hash)
      this.#report({
        kind: 'changed',
        id: last.id,
        seq: last.seq,
        detail: `entry ${last.seq} (${last.id}) is not the one that ${seq} follows`,
      });
    if (chainHash(seq, previous, text) !== hash)
      this.#report({ kind: 'changed', id, seq, detail: `entry ${seq} (${id}) is not what it was when it was written` });
    if (this.#expected?.seq === seq) {
      this.#met = true;
      if (this.#expected.hash !== hash)
        this.#report({ kind: 'changed', id, seq, detail: `entry ${seq} (${id}) has another hash than the one that was noted` });
    }
    this.#trim = trimOf(text) ?? this.#trim;
    this.#last = { id, seq, hash };
  }

  /** What was found. `head` is the note about the end of the chain, undefined where there is none. */
  finish(head: { seq: number; hash: string } | undefined): AuditVerdict {
    this.#checkStart();
    this.#checkEnd(head);
    if (this.#expected !== undefined && !this.#met && this.#expected.seq > this.#trim.seq)
      this.#report({
        kind: 'missing',
        id: null,
        seq: this.#expected.seq,
        detail: `there is no entry ${this.#expected.seq} any more, whose hash was noted`,
      });
    return {
      ok: this.#sound,
      entries: this.#entries,
      unchained: this.#unchained,
      first: this.#first?.seq ?? null,
      last: this.#last === undefined ? null : { seq: this.#last.seq, hash: this.#last.hash },
      defects: this.#defects,
    };
  }

  /** The log begins at 1, or behind what its newest note about a removal names. */
  #checkStart(): void {
    const first = this.#first;
    if (first === undefined) return;
    if (first.seq > this.#trim.seq + 1) this.#reportGap(this.#trim.seq + 1, first.seq - 1);
    else if (first.seq === this.#trim.seq + 1 && first.previous !== this.#trim.hash)
      this.#report({
        kind: 'changed',
        id: first.id,
        seq: first.seq,
        detail: `entry ${first.seq} (${first.id}) does not follow what was removed before it`,
      });
  }

  #checkEnd(head: { seq: number; hash: string } | undefined): void {
    const last = this.#last;
    if (head === undefined) {
      if (last !== undefined)
        this.#report({
          kind: 'head',
          id: null,
          seq: null,
          detail: 'the note about the end is gone: entries may be missing there (after a restore the next change writes it)',
        });
      return;
    }
    const lastSeq = last?.seq ?? 0;
    if (head.seq > lastSeq) this.#reportGap(lastSeq + 1, head.seq);
    else if (last !== undefined && (head.seq < lastSeq || head.hash !== last.hash))
      this.#report({
        kind: 'head',
        id: last.id,
        seq: last.seq,
        detail: `the note about the end names entry ${head.seq}, the last one is ${lastSeq}, with another hash`,
      });
  }

  #reportGap(from: number, through: number): void {
    const what = from === through ? `entry ${from} is missing` : `the entries ${from} to ${through} are missing`;
    this.#report({ kind: 'missing', id: null, seq: from, throughSeq: through, detail: what });
  }

  #report(defect: AuditDefect): void {
    this.#sound = false;
    if (this.#defects.length < MAX_DEFECTS) this.#defects.push(defect);
  }
}

function trimOf(text: string): { seq: number; hash: string } | undefined {
  if (!text.includes(TRIM_ACTION)) return undefined;
  try {
    const { action, detail } = JSON.parse(text) as { action?: unknown; detail?: { throughSeq?: unknown; throughHash?: unknown } };
    const { throughSeq, throughHash } = detail ?? {};
    return action === TRIM_ACTION && typeof throughSeq === 'number' && typeof throughHash === 'string'
      ? { seq: throughSeq, hash: throughHash }
      : undefined;
  } catch {
    // Reported as changed: nobody writes anything but JSON.
    return undefined;
  }
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
