import { meets, parseCondition } from '../rollout/gate-condition.ts';
import { fillQuery } from '../rollout/gate-query.ts';
import type { PrometheusGate } from '../rollout/gate-strategy.ts';
import type { GateAnswer, GateQuestion } from '../rollout/ports.ts';
import type { AllowedUrl } from './allowed-urls.ts';
import { boundedFetch } from './bounded-fetch.ts';

/** Series that are named in the evidence. */
const SHOWN_SERIES = 5;

/** Asks one server. Throws when it cannot be reached or answers no instant vector or scalar. */
export async function askPrometheus(
  gate: PrometheusGate,
  question: GateQuestion,
  server: AllowedUrl,
  signal: AbortSignal,
): Promise<GateAnswer> {
  const query = fillQuery(gate.query, question);
  const answer = await boundedFetch(`${server.href}/api/v1/query`, {
    method: 'POST',
    headers: {
      accept: 'application/json',
      'content-type': 'application/x-www-form-urlencoded',
      ...(server.authorization === undefined ? {} : { authorization: server.authorization }),
    },
    body: new URLSearchParams({ query, timeout: `${gate.timeoutMs}ms` }).toString(),
    timeoutMs: gate.timeoutMs,
    signal,
  });
  return judge(gate, query, valuesOf(answer.status, answer.body));
}

interface Series {
  labels: string;
  value: number;
}

function judge(gate: PrometheusGate, query: string, series: readonly Series[]): GateAnswer {
  const condition = parseCondition(gate.condition);
  if (condition === undefined) throw new Error(`the condition ${gate.condition} cannot be read`);
  const shown = series.slice(0, SHOWN_SERIES).map(({ labels, value }) => `${labels} ${value}`.trim());
  if (series.length > SHOWN_SERIES) shown.push(`and ${series.length - SHOWN_SERIES} more`);
  const evidence = `${query} = ${series.length === 0 ? 'no data' : shown.join('; ')}`;
  const missed = series.filter(({ value }) => !Number.isNaN(value) && !meets(condition, value));
  const [first] = missed;
  if (first !== undefined) {
    const which = series.length === 1 ? '' : ` in ${missed.length} of ${series.length} series, first ${first.labels}`;
    return { outcome: 'fail', detail: `the value is ${first.value}${which}, wanted ${gate.condition}`, evidence };
  }
  if (series.length === 0) return { outcome: 'inconclusive', detail: 'the query has no data', evidence };
  if (series.some(({ value }) => Number.isNaN(value))) return { outcome: 'inconclusive', detail: 'the value is NaN', evidence };
  const detail = series.length === 1 ? `the value is ${series[0]?.value}` : `all ${series.length} series meet it`;
  return { outcome: 'pass', detail: `${detail}, wanted ${gate.condition}`, evidence };
}

interface QueryAnswer {
  status?: unknown;
  error?: unknown;
  data?: { resultType?: unknown; result?: unknown };
}

/** The series of an answer of the query API: one for a scalar. */
function valuesOf(status: number, body: string): Series[] {
  let answer: QueryAnswer | null;
  try {
    answer = JSON.parse(body) as QueryAnswer | null;
  } catch (error) {
    throw new Error(`it answered ${status} with something that is not JSON`, { cause: error });
  }
  if (status !== 200 || answer?.status !== 'success') {
    const why = typeof answer?.error === 'string' ? `: ${answer.error.slice(0, 300)}` : '';
    throw new Error(`it answered ${status}${why}`);
  }
  const { resultType, result } = answer.data ?? {};
  if (resultType === 'scalar') return [{ labels: '', value: sampleOf(result) }];
  if (resultType !== 'vector' || !Array.isArray(result)) throw new Error('the query gives no instant vector and no scalar');
  return result.map((entry: { metric?: unknown; value?: unknown } | null) => ({
    labels: JSON.stringify(entry?.metric ?? {}).slice(0, 200),
    value: sampleOf(entry?.value),
  }));
}

/** `[time, "value"]`; Prometheus writes infinities as `+Inf` and `-Inf`. */
function sampleOf(sample: unknown): number {
  const text: unknown = Array.isArray(sample) ? sample[1] : undefined;
  if (typeof text !== 'string') throw new Error('it answered with a sample that has no value');
  if (/^[+-]?inf$/i.test(text)) return text.startsWith('-') ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  const value = Number(text);
  if (Number.isNaN(value) && text !== 'NaN') throw new Error(`it answered with the value ${text.slice(0, 40)}, which is no number`);
  return value;
}
