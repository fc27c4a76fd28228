import { describe, expect, it } from 'vitest';
import { LATENCY_BUCKETS_SECONDS, createMetrics } from './metrics.ts';

describe('metrics', () => {
  it('counts, gauges and measures under the prefix', async () => {
    const metrics = createMetrics('opamp_test');
    const offers = metrics.counter('offers_total', { help: 'Offers', labels: ['result'] });
    offers.inc({ result: 'sent' }, 3);
    let connected = 1;
    metrics.gauge('connections', { help: 'Connections', collect: (gauge) => gauge.set(connected) });
    metrics.histogram('flush_seconds', { help: 'Flushes', buckets: LATENCY_BUCKETS_SECONDS }).observe(0.003);
    connected = 7;
    const text = await metrics.render();
    expect(text).toContain('opamp_test_offers_total{result="sent"} 3');
    expect(text).toContain('opamp_test_connections 7');
    expect(text).toContain('opamp_test_flush_seconds_bucket{le="0.005"} 1');
    expect(metrics.contentType).toContain('text/plain');
    metrics.close();
  });

  it('keeps the objects of one process apart', async () => {
    const [first, second] = [createMetrics('opamp_a'), createMetrics('opamp_a')];
    first.counter('x_total', { help: 'X' }).inc();
    second.counter('x_total', { help: 'X' });
    expect(await second.render()).toContain('opamp_a_x_total 0');
    expect(await first.render()).toContain('opamp_a_x_total 1');
    first.close();
    second.close();
  });

  it('reports the event loop, and the process only when asked', async () => {
    const bare = createMetrics('opamp_a');
    const full = createMetrics('opamp_a', { processMetrics: true });
    expect(await bare.render()).toMatch(/opamp_a_event_loop_delay_seconds\{quantile="0.99"\} \d/);
    expect(await bare.render()).not.toContain('process_cpu');
    expect(await full.render()).toContain('process_cpu');
    bare.close();
    full.close();
  });

  it('describes itself', async () => {
    const metrics = createMetrics('opamp_a');
    metrics.counter('x_total', { help: 'X of a kind', labels: ['kind'] });
    expect(await metrics.describe()).toEqual([
      {
        name: 'opamp_a_event_loop_delay_seconds',
        kind: 'gauge',
        help: 'Delay of the event loop since the last reading',
        labels: ['quantile'],
      },
      { name: 'opamp_a_x_total', kind: 'counter', help: 'X of a kind', labels: ['kind'] },
    ]);
    metrics.close();
  });
});
