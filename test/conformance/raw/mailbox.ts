import { DeadlineError } from './deadline.ts';

interface Waiter<T> {
  readonly accept: (item: T) => boolean;
  readonly resolve: (item: T) => void;
  readonly reject: (error: Error) => void;
}

/**
 * Hands items from a producer to waiting readers, in order. A reader may ask for the first item that fits a condition;
 * items that nobody has taken yet stay for later readers.
 */
export class Mailbox<T> {
  readonly #items: T[] = [];
  readonly #waiters = new Set<Waiter<T>>();
  #ended: Error | undefined;

  push(item: T): void {
    for (const waiter of this.#waiters) {
      if (waiter.accept(item)) {
        this.#waiters.delete(waiter);
        waiter.resolve(item);
        return;
      }
    }
    this.#items.push(item);
  }

  /** No more items will come: present and future readers that find nothing are rejected with `reason`. */
  end(reason: Error): void {
    if (this.#ended !== undefined) return;
    this.#ended = reason;
    for (const waiter of this.#waiters) waiter.reject(reason);
    this.#waiters.clear();
  }

  /** The first untaken item that fits, at once; undefined when there is none. */
  poll(accept: (item: T) => boolean = () => true): T | undefined {
    const index = this.#items.findIndex(accept);
    return index < 0 ? undefined : this.#items.splice(index, 1)[0];
  }

  /** The first untaken item that fits, waiting for it if need be. Rejects with {@link DeadlineError} or the end reason. */
  take(what: string, deadlineMs: number, accept: (item: T) => boolean = () => true): Promise<T> {
    const index = this.#items.findIndex(accept);
    if (index >= 0) return Promise.resolve(this.#items.splice(index, 1)[0] as T);
    if (this.#ended !== undefined) return Promise.reject(this.#ended);
    return new Promise<T>((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiters.delete(waiter);
        reject(new DeadlineError(what, deadlineMs));
      }, deadlineMs);
      const waiter: Waiter<T> = {
        accept,
        resolve: (item) => {
          clearTimeout(timer);
          resolve(item);
        },
        reject: (error) => {
          clearTimeout(timer);
          reject(error);
        },
      };
      this.#waiters.add(waiter);
    });
  }
}
