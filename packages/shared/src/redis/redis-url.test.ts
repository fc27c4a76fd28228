import { describe, expect, it } from 'vitest';
import { describeRedis, parseRedisUrl } from './redis-url.ts';

const NO_LOGIN = { username: undefined, password: undefined };

describe('parseRedisUrl', () => {
  it('reads one server', () => {
    expect(parseRedisUrl('redis://127.0.0.1')).toEqual({
      kind: 'single',
      nodes: [{ host: '127.0.0.1', port: 6379 }],
      tls: false,
      db: 0,
      login: NO_LOGIN,
    });
    expect(parseRedisUrl('rediss://user:p%40ss@[::1]:6380/3')).toEqual({
      kind: 'single',
      nodes: [{ host: '::1', port: 6380 }],
      tls: true,
      db: 3,
      login: { username: 'user', password: 'p@ss' },
    });
    expect(parseRedisUrl('redis://:pw@h')).toMatchObject({ login: { username: undefined, password: 'pw' } });
  });

  it('reads a cluster', () => {
    expect(parseRedisUrl('redis://:pw@a:7000, redis://b:7001,redis://:pw@c')).toEqual({
      kind: 'cluster',
      nodes: [
        { host: 'a', port: 7000 },
        { host: 'b', port: 7001 },
        { host: 'c', port: 6379 },
      ],
      tls: false,
      login: { username: undefined, password: 'pw' },
    });
  });

  it('reads Sentinels', () => {
    expect(parseRedisUrl('redis+sentinel://user:p%2Cw@s1,s2:26380,[::1]:1/my-master/2?sentinelPassword=s%20p')).toEqual({
      kind: 'sentinel',
      nodes: [
        { host: 's1', port: 26_379 },
        { host: 's2', port: 26_380 },
        { host: '::1', port: 1 },
      ],
      masterName: 'my-master',
      tls: false,
      db: 2,
      login: { username: 'user', password: 'p,w' },
      sentinelPassword: 's p',
    });
    expect(parseRedisUrl('rediss+sentinel://s1/m')).toMatchObject({
      kind: 'sentinel',
      tls: true,
      masterName: 'm',
      db: 0,
      sentinelPassword: undefined,
      login: NO_LOGIN,
    });
  });

  it.each([
    '',
    'localhost:6379',
    'http://s3cret@h',
    'redis://',
    'redis://h:99999',
    'redis://h/s3cret',
    'redis://h?s3cret=1',
    'redis://a,rediss://b',
    'redis://a,b',
    'redis://a/1,redis://b/1',
    'redis://:s3cret@a,redis://:s3cret2@b',
    'redis://a,redis://:s3cret@b',
    'redis://a,',
    'redis://:s3cret%@h',
    'redis+sentinel://s1',
    'redis+sentinel://s1/',
    'redis+sentinel:///m',
    'redis+sentinel://s1,/m',
    'redis+sentinel://s1/m/1/2',
    'redis+sentinel://s1/m?x=s3cret',
  ])('refuses %j without repeating it', (text) => {
    let message: string | undefined;
    try {
      parseRedisUrl(text);
    } catch (error) {
      message = error instanceof Error ? error.message : undefined;
    }
    expect(message).toMatch(/^expected /);
    expect(message).not.toContain('s3cret');
  });
});

describe('an error of parseRedisUrl', () => {
  it.each([
    ['h:1', 'found no ://'],
    ['http://h', 'found another scheme'],
    ['redis://', 'host name or address'],
    ['redis://:pw@:6379', 'host name or address'],
    ['redis://h:99999', 'a port from 1 to 65535 after the host'],
    ['redis://h:port', 'a port from 1 to 65535 after the host'],
    ['redis://u:p/w@h', 'percent-encod'],
    ['redis://u:p?w@h', 'percent-encod'],
    ['redis://h/one', 'a database number after the last slash'],
    ['redis://a,redis://b:x,redis://c', 'after the host in URL 2 of 3'],
    ['redis://a,redis://b,', 'found nothing in URL 3 of 3'],
    ['redis://a,rediss://b', '(URL 2 of 2)'],
    ['redis+sentinel://a,b:x/m', 'after the host of Sentinel 2 of 2'],
    ['redis+sentinel://a,,b/m', 'host name or address of Sentinel 2 of 3'],
    ['redis+sentinel://a', "the master's name"],
    ['redis+sentinel://a/m%', "the master's name in percent-encoding"],
    ['redis+sentinel://a/m/x', 'a database number'],
  ])('names the bad part of %j', (text, part) => {
    expect(() => parseRedisUrl(text)).toThrow(part);
  });
});

describe('describeRedis', () => {
  it('names hosts without credentials', () => {
    const texts = ['redis://u:s3cret@h:1/2', 'redis://:s3cret@a,redis://[::1]:2', 'redis+sentinel://:s3cret@s1,s2:3/m'].map((url) =>
      describeRedis(parseRedisUrl(url)),
    );
    expect(texts).toEqual(['h:1', 'a:6379,[::1]:2', 's1:26379,s2:3/m']);
  });
});
