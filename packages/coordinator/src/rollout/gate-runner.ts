import { errorLevel, toError } from '@opamp-gateway/shared/errors';
import type { Logger } from '@opamp-gateway/shared/logger';
import { bookAnswer, refuseAnswer } from './asked-gates.ts';
import { Draft } from './draft.ts';
import type { RolloutEngine } from './engine.ts';
import type { GateAnswer, GateAsker, GateQuestion, Waker } from './ports.ts';

export interface GateRunnerOptions {
  asker: GateAsker;
  engine: Pick<RolloutEngine, 'update'>;
  waker: Waker;
  logger: Logger;
  /** Told of every answer. */
  onAnswer?(type: GateQuestion['gate']['type'], outcome: GateAnswer['outcome']): void;
}

/** Questions that one coordinator has open at most; those beyond it are put again once they count as lost. */
const MAX_OPEN = 64;

/**
 * Carries questions of gates to other systems and their answers into the rollout's document, outside of any step. Nothing is kept:
 * a question whose coordinator dies is put again by whoever looks at the rollout after its time.
 */
export class GateRunner {
  readonly #options: GateRunnerOptions;
  readonly #open = new Set<Promise<void>>();
  readonly #abort = new AbortController();

  constructor(options: GateRunnerOptions) {
    this.#options = options;
  }

  /** Puts them; returns at once. */
  ask(questions: readonly GateQuestion[]): void {
    for (const question of questions) {
      if (this.#abort.signal.aborted || this.#open.size >= MAX_OPEN) return;
      const task: Promise<void> = this.#carry(question).finally(() => this.#open.delete(task));
      this.#open.add(task);
    }
  }

  /** Gives up what is open. */
  async stop(): Promise<void> {
    this.#abort.abort();
    await Promise.all(this.#open);
  }

  async #carry(question: GateQuestion): Promise<void> {
    const { asker, engine, waker, logger, onAnswer } = this.#options;
    const { signal } = this.#abort;
    const bindings = { rollout: question.rollout.id, gate: question.gate.name, ask: question.ask };
    let answer: GateAnswer;
    try {
      answer = await asker.ask(question, signal);
    } catch (error) {
      answer = { outcome: 'error', detail: toError(error).message, evidence: '' };
    }
    // The next coordinator asks again.
    if (signal.aborted) return;
    onAnswer?.(question.gate.type, answer.outcome);
    try {
      const outcome = await engine.update(question.rollout.id, (document, nowMs) => {
        const refused = refuseAnswer(document, question);
        if (refused !== null) return { refused };
        const draft = new Draft(document, nowMs);
        bookAnswer(draft, question, answer);
        draft.document.rev += 1;
        return { document: draft.document, events: draft.events };
      });
      if (outcome.kind === 'refused') logger.debug({ ...bindings, detail: outcome.detail }, 'answer to a gate came too late');
    } catch (error) {
      logger[errorLevel(error)]({ ...bindings, err: error }, 'answer to a gate could not be stored, it will be asked again');
    }
    waker.wake(question.rollout.id);
  }
}
