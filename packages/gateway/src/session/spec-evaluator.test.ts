import { EMPTY_SPEC } from '@opamp-gateway/shared/fleet-spec';
import { expect, it } from 'vitest';
import type { AgentSession } from './agent-session.ts';
import type { OfferDesk } from './offer-desk.ts';
import type { SessionRegistry } from './session-registry.ts';
import { SpecEvaluator } from './spec-evaluator.ts';

it('says that it has met a newer spec while what followed from the older one is still being written', async () => {
  const sessions = ['a', 'b'] as unknown as AgentSession[];
  const met: unknown[] = [];
  const barriers: (() => void)[] = [];
  const observed: string[] = [];
  const evaluator: SpecEvaluator = new SpecEvaluator({
    registry: { sessions: () => sessions } as unknown as SessionRegistry,
    desk: { evaluate: (session: AgentSession) => met.push(session) } as unknown as OfferDesk,
    barrier: () => new Promise((resolve) => barriers.push(resolve)),
    identity: ({ generation }) => `${generation}:x`,
    onObserved: () => observed.push(evaluator.observed),
  });

  await evaluator.evaluateAll({ ...EMPTY_SPEC, generation: 1 });
  await evaluator.evaluateAll({ ...EMPTY_SPEC, generation: 2 });
  expect(met).toEqual(['a', 'b', 'a', 'b']);
  expect([evaluator.evaluated, evaluator.observed]).toEqual(['2:x', '']);

  for (const arrive of barriers) arrive();
  await new Promise((resolve) => setImmediate(resolve));
  expect(observed).toEqual(['1:x', '2:x']);
});
