import { join } from 'node:path';
import { ApiProblem } from './api-client.ts';
import type { Finding } from './api-types.ts';
import { CliError } from './cli-error.ts';
import type { Context } from './context.ts';
import { oneLine } from './table.ts';

/**
 * A finding the way compilers write it, so that editors find the place. `names` are the files of a folder: paths of findings begin with
 * `<name>#` when there are several.
 */
export function formatFinding(
  source: string,
  finding: Partial<Finding> & { path: string; message: string },
  names: readonly string[] = [],
): string {
  const part = names.length === 1 ? names[0] : names.find((name) => finding.path.startsWith(`${name}#`));
  const file = part === undefined || part === '' ? source : join(source, part);
  const place = [file === '-' ? '<stdin>' : file, finding.line, finding.column]
    .filter((part) => part !== null && part !== undefined)
    .join(':');
  const code = finding.code === undefined ? '' : ` ${finding.code}`;
  const hint = finding.suggestion === undefined ? '' : ` (${finding.suggestion})`;
  return oneLine(`${place}: ${finding.severity ?? 'error'}${code}: ${finding.message}${hint}`);
}

/** `1 error`, `2 errors`. */
export function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

/** Prints the findings of a config that was refused, and makes an error of it that says what to do; other errors stay. */
export function withFindings(error: unknown, file: string, context: Context, names: readonly string[] = []): unknown {
  if (!(error instanceof ApiProblem) || error.problem !== 'invalid-config' || context.json) return error;
  for (const finding of error.errors) context.note(formatFinding(file, finding, names));
  const count = error.errors.filter(({ severity }) => severity === 'error').length;
  const never = error.body['forcible'] === false ? ', and it cannot be forced: a supervisor could not start again from it' : '';
  const next =
    error.body['forcible'] === true ? `${error.next ?? 'correct the file'}; --force --reason TEXT stores it all the same` : error.next;
  return new CliError(`${file === '-' ? '<stdin>' : file} was not stored: ${plural(count, 'error')}${never}`, next, { cause: error });
}
