import { parseSelector, SelectorError } from '@opamp-gateway/shared/selector';
import type { Selector } from '@opamp-gateway/shared/selector';
import { ProblemError } from './problem.ts';

/** Reads a selector that a caller gave. Throws a ProblemError that says where it cannot be read and what was expected there. */
export function readSelector(text: string, path: string): Selector {
  try {
    return parseSelector(text);
  } catch (error) {
    if (!(error instanceof SelectorError)) throw error;
    throw new ProblemError('invalid-selector', error.message, { errors: [{ path, message: error.reason }] });
  }
}
