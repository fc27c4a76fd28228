/** A wait that did not end: the peer stayed silent for longer than the hang guard allows. */
export class DeadlineError extends Error {
  override name = 'DeadlineError';
  readonly deadlineMs: number;

  constructor(what: string, deadlineMs: number) {
    super(`nothing within ${deadlineMs} ms: ${what}`);
    this.deadlineMs = deadlineMs;
  }
}

/** Resolves after `ms` milliseconds. Only for pacing a poll, never for proving that something did not happen. */
export const pause = (ms: number): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, ms);
  });

/** Follows `work`, but rejects with {@link DeadlineError} when it takes longer than `deadlineMs`. */
export const withDeadline = async <T>(work: Promise<T>, deadlineMs: number, what: string): Promise<T> => {
  let timer: NodeJS.Timeout | undefined;
  const guard = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new DeadlineError(what, deadlineMs)), deadlineMs);
  });
  try {
    return await Promise.race([work, guard]);
  } finally {
    clearTimeout(timer);
  }
};
