import { LineIndex } from './line-index.ts';

/** `error` refuses a config, `warning` is advice. */
export type Severity = 'error' | 'warning';

/** Codes of defects that refuse a config. */
export type ErrorCode =
  | 'E_TOO_LARGE'
  | 'E_TOO_DEEP'
  | 'E_ALIAS_BOMB'
  | 'E_YAML'
  | 'E_DUPKEY'
  | 'E_NOT_MAP'
  | 'E_MULTIDOC'
  | 'E_EMPTY'
  | 'E_RESERVED'
  | 'E_TOP_KEY'
  | 'E_SHAPE'
  | 'E_ID'
  | 'E_ID_DUP'
  | 'E_ID_SPACE'
  | 'E_TYPE_UNKNOWN'
  | 'E_NO_RECEIVERS'
  | 'E_NO_EXPORTERS'
  | 'E_SVC_KEY'
  | 'E_REF'
  | 'E_NO_PIPELINES'
  | 'E_SIGNAL'
  | 'E_PROFILES_GATE'
  | 'E_PIPE_KEY'
  | 'E_PIPE_RECEIVERS'
  | 'E_PIPE_EXPORTERS'
  | 'E_PROC_DUP'
  | 'E_TEL_KEY'
  | 'E_TEL'
  | 'E_CONN_AMBIGUOUS'
  | 'E_CONN_EXPORTER'
  | 'E_CONN_RECEIVER'
  | 'E_CYCLE'
  | 'E_SIGNAL_UNSUPPORTED'
  | 'E_SUBST'
  | 'E_SUBST_NAME'
  | 'E_SUBST_SCHEME'
  | 'E_PROVIDER'
  | 'E_BODY'
  | 'E_BODY_KEY';

/** Codes of advice that never refuses a config. */
export type WarningCode =
  | 'W_UNUSED'
  | 'W_DYNAMIC_REF'
  | 'W_PROVIDER'
  | 'W_DEPRECATED_TYPE'
  | 'W_BODY_KEY'
  | 'W_NULL_SECTION'
  | 'W_DURATION_UNIT'
  | 'W_LISTEN_ALL'
  | 'W_TELEMETRY_PORT'
  | 'W_SECRET'
  | 'W_MEMORY_LIMITER_ORDER'
  | 'W_BATCH_ORDER'
  | 'W_SCALAR'
  | 'W_KEY_SEPARATOR';

export type FindingCode = ErrorCode | WarningCode;

/**
 * One defect or piece of advice. `path` names the place by the collector's own separators (`service::pipelines::traces::receivers[0]`;
 * empty for the whole text). `line` and `column` count from 1 and point at the defect or its nearest parent; both are null
 * only where there is nothing to point at (E_EMPTY).
 */
export interface Finding {
  readonly code: FindingCode;
  readonly severity: Severity;
  readonly path: string;
  readonly line: number | null;
  readonly column: number | null;
  readonly message: string;
  /** What to write instead, as a sentence, when there is a likely answer. */
  readonly suggestion?: string;
}

/** Where and what to report; `offset` is a position in the text in UTF-16 units, null where there is none. */
export interface FindingInput {
  readonly path: string;
  readonly offset: number | null;
  readonly message: string;
  readonly suggestion?: string | undefined;
}

/** Findings that one report carries at most; the rest is only counted. */
export const MAX_FINDINGS = 1000;

const MAX_PATH_LENGTH = 512;
const MAX_MESSAGE_LENGTH = 2048;
const MAX_QUOTED_LENGTH = 128;

/** Text in double quotes, escaped as in the collector's messages and cut where it would make a message unreadable. */
export function quoted(text: string): string {
  return JSON.stringify(clip(text, MAX_QUOTED_LENGTH));
}

function clip(text: string, maxLength: number): string {
  return text.length <= maxLength ? text : `${text.slice(0, maxLength)}…`;
}

/** Collects findings, counts the work done, and puts the result into its fixed order. */
export class FindingSink {
  readonly #lines: LineIndex;
  readonly #errors: Finding[] = [];
  readonly #warnings: Finding[] = [];
  #omitted = 0;
  #hasErrors = false;
  #steps = 0;

  constructor(text: string) {
    this.#lines = new LineIndex(text);
    this.#steps = this.#lines.lineCount;
  }

  /** Work done so far, in nodes and characters visited; grows linearly with the input. */
  get steps(): number {
    return this.#steps;
  }

  /** True once any error was reported, also when it was left out for the limit. */
  get hasErrors(): boolean {
    return this.#hasErrors;
  }

  /** Findings left out because there were more than MAX_FINDINGS. */
  get omitted(): number {
    return this.#omitted + Math.max(0, this.#errors.length + this.#warnings.length - MAX_FINDINGS);
  }

  /** Counts `n` steps of work. */
  step(n = 1): void {
    this.#steps += n;
  }

  /** The line (from 1) of an offset. */
  lineOf(offset: number): number {
    return this.#lines.position(offset).line;
  }

  error(code: ErrorCode, input: FindingInput): void {
    this.#hasErrors = true;
    this.#add(this.#errors, code, 'error', input);
  }

  warn(code: WarningCode, input: FindingInput): void {
    this.#add(this.#warnings, code, 'warning', input);
  }

  /** At most MAX_FINDINGS findings, errors before warnings where some must go, ordered by line, column, code and path. */
  sorted(): Finding[] {
    const kept = [...this.#errors, ...this.#warnings].slice(0, MAX_FINDINGS);
    return kept.sort(compareFindings);
  }

  #add(list: Finding[], code: FindingCode, severity: Severity, input: FindingInput): void {
    this.#steps += 1;
    if (list.length >= MAX_FINDINGS) {
      this.#omitted += 1;
      return;
    }
    const position = input.offset === null ? { line: null, column: null } : this.#lines.position(input.offset);
    list.push({
      code,
      severity,
      path: clip(input.path, MAX_PATH_LENGTH),
      line: position.line,
      column: position.column,
      message: clip(input.message, MAX_MESSAGE_LENGTH),
      ...(input.suggestion === undefined ? {} : { suggestion: input.suggestion }),
    });
  }
}

function compareFindings(a: Finding, b: Finding): number {
  return (
    (a.line ?? 0) - (b.line ?? 0) ||
    (a.column ?? 0) - (b.column ?? 0) ||
    compareText(a.code, b.code) ||
    compareText(a.path, b.path) ||
    compareText(a.message, b.message)
  );
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
