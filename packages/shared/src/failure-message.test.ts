import { describe, expect, it } from 'vitest';
import { normalizeFailure } from './failure-message.ts';

describe('normalizeFailure', () => {
  it.each([
    [
      'cannot unmarshal the configuration: decoding failed due to the following error(s):\n\n\'exporters\' unknown type: "kafka2" for id: "kafka2" (valid values: [nop debug otlp otlphttp kafka file prometheus zipkin])',
      'cannot unmarshal the configuration: decoding failed due to the following error(s): \'exporters\' unknown type: "kafka2" for id: "kafka2" (valid values: […])',
    ],
    ['listen tcp 10.1.22.3:4317: bind: address already in use', 'listen tcp <address>: bind: address already in use'],
    ['dial tcp [fe80::1]:4317: i/o timeout', 'dial tcp <address>: i/o timeout'],
    ['open /var/lib/otelcol/0192f000/effective.yaml: permission denied', 'open <path>: permission denied'],
    ['agent 0192f000-0000-7000-8000-0000000000ff exited: exit status 1', 'agent <uuid> exited: exit status 1'],
    ['process 18231 was killed after 12.5s at 2026-01-01T10:11:12.5Z', 'process <n> was killed after <duration> at <time>'],
    ['hash 5feceb66ffc86f38d952786c6d696c79 differs', 'hash <hex> differs'],
    ['lookup backend:4317: no such host', 'lookup backend:<port>: no such host'],
    ['yaml: line 12: mapping values are not allowed', 'yaml: line 12: mapping values are not allowed'],
    ['metrics/2 needs [otlp]', 'metrics/2 needs [otlp]'],
    ['a\u0000b\u001fc', 'a b c'],
    ['', ''],
  ])('%s', (message, normalised) => {
    expect(normalizeFailure(message)).toBe(normalised);
    expect(normalizeFailure(normalised)).toBe(normalised);
  });

  it('cuts what is too long, and takes no time over what is far too long', () => {
    expect(normalizeFailure('x y '.repeat(200))).toHaveLength(400);
    expect(normalizeFailure('[/:1.'.repeat(1_000_000))).toHaveLength(400);
  });
});
