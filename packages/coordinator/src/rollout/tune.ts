import type { RolloutDocument } from './document.ts';
import { FieldReader } from './field-reader.ts';
import type { FieldProblem } from './service.ts';
import { readDomainLimit, readRate } from './strategy-parser.ts';
import type { Strategy } from './strategy.ts';

const TUNABLE = 'maxInFlight, maxInFlightPer, rate, failure.maxCount, failure.maxPercent and onFailure';
const NOT_TUNABLE = `cannot be changed while the rollout runs; ${TUNABLE} can`;

/**
 * The strategy with the tunable fields of `patch`: maxInFlight, maxInFlightPer, rate, failure.maxCount, failure.maxPercent, onFailure. They
 * hold for the present wave and those after it. Problems are added to `problems`.
 */
export function tuneStrategy(document: RolloutDocument, patch: unknown, problems: FieldProblem[]): Strategy {
  const fields = new FieldReader(patch, 'strategy', problems);
  const strategy = structuredClone(document.strategy);
  if (fields.has('maxInFlight')) strategy.maxInFlight = fields.integerOrNull('maxInFlight', { fallback: null, min: 1, max: 10_000_000 });
  if (fields.has('maxInFlightPer')) strategy.maxInFlightPer = readDomainLimit(fields);
  if (fields.has('rate')) strategy.rate = readRate(fields);
  const failure = fields.object('failure');
  const maxCount =
    failure?.has('maxCount') === true ? failure.integerOrNull('maxCount', { fallback: null, min: 0, max: 10_000_000 }) : undefined;
  const maxPercent =
    failure?.has('maxPercent') === true ? failure.numberOrNull('maxPercent', { fallback: null, min: 0, max: 100 }) : undefined;
  failure?.rejectUnknown(NOT_TUNABLE);
  const onFailure = fields.has('onFailure') ? fields.choice('onFailure', ['rollback', 'pause'], 'rollback') : undefined;
  fields.rejectUnknown(NOT_TUNABLE);
  if (fields.isEmpty || failure?.isEmpty === true) {
    problems.push({
      path: failure === undefined ? 'strategy' : 'strategy.failure',
      message: `names nothing to change; ${TUNABLE} can be changed`,
    });
  }
  strategy.waves.forEach((wave, index) => {
    if (index < document.waveIndex) return;
    if (maxCount !== undefined) wave.failure.maxCount = maxCount;
    if (maxPercent !== undefined) wave.failure.maxPercent = maxPercent;
    if (onFailure !== undefined) wave.onFailure = onFailure;
  });
  return strategy;
}
