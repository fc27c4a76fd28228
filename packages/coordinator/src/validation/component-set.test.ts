import { describe, expect, it } from 'vitest';
import { missingComponents, newName, oldName, otherName, uniqueComponents } from './component-set.ts';

describe('missingComponents', () => {
  it('is what is used and not reported, by kind', () => {
    const used = [
      { kind: 'receivers', type: 'otlp' },
      { kind: 'receivers', type: 'kafka' },
      { kind: 'exporters', type: 'otlp' },
      { kind: 'processors', type: 'batch' },
    ] as const;
    expect(missingComponents(used, { receivers: ['otlp'], exporters: ['debug'] })).toEqual([
      { kind: 'receivers', type: 'kafka' },
      { kind: 'exporters', type: 'otlp' },
      { kind: 'processors', type: 'batch' },
    ]);
  });

  it('names an alias that the build has, in both directions', () => {
    expect(missingComponents([{ kind: 'exporters', type: 'otlp_grpc' }], { exporters: ['otlp'] })).toEqual([
      { kind: 'exporters', type: 'otlp_grpc', alias: 'otlp' },
    ]);
    expect(missingComponents([{ kind: 'connectors', type: 'spanmetrics' }], { connectors: ['span_metrics'] })).toEqual([
      { kind: 'connectors', type: 'spanmetrics', alias: 'span_metrics' },
    ]);
    expect(missingComponents([{ kind: 'receivers', type: 'otlp_grpc' }], { receivers: ['otlp'] })).toEqual([
      { kind: 'receivers', type: 'otlp_grpc' },
    ]);
  });

  it('is empty when the build lists both names', () => {
    expect(
      missingComponents(
        [
          { kind: 'exporters', type: 'otlp' },
          { kind: 'exporters', type: 'otlp_grpc' },
        ],
        { exporters: new Set(['otlp', 'otlp_grpc']) },
      ),
    ).toEqual([]);
  });
});

describe('renamed types', () => {
  it.each([
    ['receivers', 'file_log', 'filelog'],
    ['processors', 'resource_detection', 'resourcedetection'],
    ['processors', 'cumulative_to_delta', 'cumulativetodelta'],
    ['processors', 'k8s_attributes', 'k8sattributes'],
    ['exporters', 'otlp_grpc', 'otlp'],
    ['exporters', 'otlp_http', 'otlphttp'],
    ['connectors', 'span_metrics', 'spanmetrics'],
    ['connectors', 'otlp_json', 'otlpjson'],
    ['connectors', 'metrics_as_logs', 'metricsaslogs'],
  ] as const)('%s: %s was %s', (kind, current, old) => {
    expect(oldName(kind, current)).toBe(old);
    expect(newName(kind, old)).toBe(current);
    expect([otherName(kind, current), otherName(kind, old)]).toEqual([old, current]);
  });

  it('others have no other name', () => {
    expect(otherName('receivers', 'otlp')).toBeUndefined();
    expect(otherName('exporters', 'constructor')).toBeUndefined();
  });
});

describe('uniqueComponents', () => {
  it('removes repetitions and orders by kind and type', () => {
    expect(
      uniqueComponents([
        { kind: 'exporters', type: 'b' },
        { kind: 'exporters', type: 'a' },
        { kind: 'receivers', type: 'z' },
        { kind: 'exporters', type: 'b' },
      ]),
    ).toEqual([
      { kind: 'receivers', type: 'z' },
      { kind: 'exporters', type: 'a' },
      { kind: 'exporters', type: 'b' },
    ]);
  });
});
