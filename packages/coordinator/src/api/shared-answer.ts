/** An answer is shared for so many times as long as it took, so that asking it costs at most about this share of a core. */
const TIMES_ITS_COST = 20;
const MAX_FRESH_MS = 60_000;
/** Different questions remembered; the oldest gives way. */
const MAX_QUESTIONS = 100;

/**
 * Lets everybody who asks the same at about the same time share one answer. One that was cheap is hardly kept, so that a small
 * fleet is always seen as it is; one that took a second is kept for 20 s, however many dashboards ask for it.
 */
export function createSharedAnswers(nowMs: () => number = () => performance.now()) {
  const known = new Map<string, { answer: Promise<unknown>; freshUntilMs: number }>();
  return async function share<Answer>(question: string, ask: () => Promise<Answer>): Promise<Answer> {
    const kept = known.get(question);
    if (kept !== undefined && nowMs() < kept.freshUntilMs) return await (kept.answer as Promise<Answer>);
    const beganMs = nowMs();
    const entry = { answer: ask(), freshUntilMs: Number.POSITIVE_INFINITY };
    known.delete(question);
    known.set(question, entry);
    if (known.size > MAX_QUESTIONS) known.delete(known.keys().next().value as string);
    try {
      const answer = await entry.answer;
      entry.freshUntilMs = nowMs() + Math.min(MAX_FRESH_MS, TIMES_ITS_COST * (nowMs() - beganMs));
      return answer;
    } catch (error) {
      // What failed is asked again by the next.
      if (known.get(question) === entry) known.delete(question);
      throw error;
    }
  };
}
