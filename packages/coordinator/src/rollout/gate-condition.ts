/** A comparison that a strategy may ask for: nothing else is ever evaluated. */
export interface Condition {
  comparator: '<' | '<=' | '>' | '>=' | '==' | '!=';
  threshold: number;
}

const CONDITION = /^\s*value\s*(<=|>=|==|!=|<|>)\s*([+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?)\s*$/;

/** Reads `value < 0.01` and the like; undefined when it is not such a comparison. */
export function parseCondition(text: string): Condition | undefined {
  const match = CONDITION.exec(text);
  const threshold = Number(match?.[2]);
  if (match === null || !Number.isFinite(threshold)) return undefined;
  return { comparator: match[1] as Condition['comparator'], threshold };
}

/** Whether a value meets the condition; NaN meets none. */
export function meets({ comparator, threshold }: Condition, value: number): boolean {
  if (Number.isNaN(value)) return false;
  switch (comparator) {
    case '<':
      return value < threshold;
    case '<=':
      return value <= threshold;
    case '>':
      return value > threshold;
    case '>=':
      return value >= threshold;
    case '==':
      return value === threshold;
    case '!=':
      return value !== threshold;
  }
}
