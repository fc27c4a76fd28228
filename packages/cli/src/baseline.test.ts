import { describe, expect, it } from 'vitest';
import { draftBaseline } from './baseline.ts';

const EFFECTIVE = `exporters:
  otlp_grpc:
    endpoint: backend:4317
    headers:
      authorization: "[REDACTED]"
      x-tenant: a
    tokens: ["[redacted]", plain]
extensions:
  health_check: {}
  opamp:
    server: {}
receivers:
  otlp: null
service:
  extensions: [health_check, opamp]
  telemetry:
    resource:
      service.instance.id: 0190aaaa
      team: a
`;

describe('draftBaseline', () => {
  it('leaves out what belongs to the supervisor or to one agent, and names what is secret', () => {
    const { text, secrets, remarks } = draftBaseline({ '': { body: EFFECTIVE } }, 'what agent u ran');
    expect(text).toMatch(/^# Drafted from what agent u ran\.\n/);
    expect(text).toContain('# Fill in: exporters::otlp_grpc::headers::authorization');
    expect(text).toContain('extensions: [ health_check ]');
    expect(text).toContain('resource:\n      team: a\n');
    expect(text).not.toMatch(/opamp|service\.instance\.id/);
    expect(secrets).toEqual(['exporters::otlp_grpc::headers::authorization', 'exporters::otlp_grpc::tokens::0']);
    expect(remarks.join('\n')).toContain('service.instance.id');
  });

  it('makes what a collector shows of itself readable again', () => {
    const body = `connectors: {}
exporters:
  debug: {}
  otlp:
    headers: [{name: x-tenant, value: a}]
    queue: {sizer: {}, size: 3}
    tls: null
receivers:
  otlp: {protocols: {grpc: {keepalive: {policy: {}}, transport: tcp}}}
service:
  telemetry:
    logs: {encoding: json, initial_fields: {}}
    resource: {host.name: h1, os.type: linux, service.name: otelcol}
`;
    const { text } = draftBaseline({ '': { body } }, 'x');
    expect(text).toContain('debug: {}\n');
    expect(text).toContain('x-tenant: a\n');
    expect(text).toContain('size: 3');
    expect(text).toContain('transport: tcp');
    expect(text).not.toMatch(/connectors|tls|sizer|keepalive|initial_fields|host\.name|os\.type|service\.name|resource/);
  });

  it('drops sections that are empty then, and keeps the rest as it was', () => {
    const body = 'extensions: {opamp: {}}\nservice:\n  extensions: [opamp]\n  pipelines: {}\n';
    expect(
      draftBaseline({ '': { body } }, 'x')
        .text.split('\n')
        .filter((line) => !line.startsWith('#') && line !== ''),
    ).toEqual(['service:', '  pipelines: {}']);
    expect(draftBaseline({ '': { body: 'a: 1\n' }, raw: { body: 'a: ${env:A}\n' } }, 'x').text).toContain('a: 1');
  });

  it.each([[{}], [{ a: { body: 'a: 1' }, b: { body: 'b: 1' } }], [{ '': { body: '- a' } }], [{ '': { body: 'a: [' } }]])(
    'refuses %j',
    (files) => {
      expect(() => draftBaseline(files as unknown as Record<string, { body: string }>, 'x')).toThrow(/effective config/);
    },
  );
});
