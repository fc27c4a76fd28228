/** Reading the metrics that our own processes show. */

const TIMEOUT_MS = 2_000;
const LINE = /^([a-zA-Z_:][\w:]*)(?:\{([^}]*)\})? (\S+)/;

/** Values by name and labels, as in the text: `name{label="value"}`. */
export type MetricValues = ReadonlyMap<string, number>;

/** Parses the Prometheus text format; comments are dropped. */
export function parseMetrics(text: string): MetricValues {
  const values = new Map<string, number>();
  for (const line of text.split('\n')) {
    const [, name, labels, value] = LINE.exec(line) ?? [];
    if (name !== undefined) values.set(labels === undefined || labels === '' ? name : `${name}{${labels}}`, Number(value));
  }
  return values;
}

/** Sum over all labels of a metric. */
export function sumOf(values: MetricValues, name: string): number {
  let sum = 0;
  for (const [key, value] of values) if (key === name || key.startsWith(`${name}{`)) sum += value;
  return sum;
}

/** Reads `/metrics`; undefined when the process does not answer. */
export async function readMetrics(adminUrl: string): Promise<MetricValues | undefined> {
  try {
    const response = await fetch(`${adminUrl}/metrics`, { signal: AbortSignal.timeout(TIMEOUT_MS) });
    return parseMetrics(await response.text());
  } catch {
    return undefined;
  }
}
