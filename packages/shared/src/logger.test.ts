import { describe, expect, it } from 'vitest';
import { createLogger, createSilentLogger } from './logger.ts';

function capture() {
  const lines: Record<string, unknown>[] = [];
  const destination = { write: (line: string) => void lines.push(JSON.parse(line) as Record<string, unknown>) };
  return { lines, logger: createLogger({ level: 'info', name: 'test', bindings: { gatewayId: 'g1' }, destination }) };
}

describe('logger', () => {
  it('writes level, name, bindings and time in words', () => {
    const { lines, logger } = capture();
    logger.debug('not written');
    logger.info({ agents: 3 }, 'fleet loaded');
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatchObject({ level: 'info', name: 'test', gatewayId: 'g1', agents: 3, msg: 'fleet loaded' });
    expect(lines[0]?.['time']).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
  });

  it('replaces secrets at any of the first three levels', () => {
    const { lines, logger } = capture();
    logger.info(
      { authorization: 'Bearer s3cret', headers: { authorization: 's3cret' }, req: { headers: { authorization: 's3cret' } } },
      'a',
    );
    logger.info({ token: 's3cret', config: { password: 's3cret', apiToken: 's3cret' } }, 'b');
    logger.child({ token: 's3cret' }).info('c');
    expect(lines).toHaveLength(3);
    expect(JSON.stringify(lines)).not.toContain('s3cret');
  });

  it('serialises errors with their cause', () => {
    const { lines, logger } = capture();
    logger.error({ err: new Error('outer', { cause: new Error('inner') }) }, 'failed');
    expect(JSON.stringify(lines[0])).toContain('inner');
  });

  it('writes the name of a failed Redis command and not its arguments', () => {
    const { lines, logger } = capture();
    const err = Object.assign(new Error('WRONGPASS'), { code: 'X1', command: { name: 'auth', args: ['s3cret'] } });
    logger.error({ err }, 'failed');
    expect(lines[0]?.['err']).toMatchObject({ type: 'Error', message: 'WRONGPASS', code: 'X1', command: 'auth' });
    expect(JSON.stringify(lines)).not.toContain('s3cret');
  });

  it('can be silent', () => {
    expect(createSilentLogger().isLevelEnabled('fatal')).toBe(false);
  });
});
