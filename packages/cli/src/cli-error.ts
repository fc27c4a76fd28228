/** A failure that is told to the user: what went wrong, and what to do next. Exit code 1. */
export class CliError extends Error {
  override name = 'CliError';
  readonly next: string | undefined;

  constructor(message: string, next?: string, options?: ErrorOptions) {
    super(message, options);
    this.next = next;
  }
}
