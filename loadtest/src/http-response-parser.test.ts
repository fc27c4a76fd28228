import { describe, expect, it } from 'vitest';
import { HttpParseError, type HttpResponse, HttpResponseParser } from './http-response-parser.ts';

function read(text: string, sizes: readonly number[]): HttpResponse[] {
  const parser = new HttpResponseParser();
  const data = Buffer.from(text, 'latin1');
  const responses: HttpResponse[] = [];
  let at = 0;
  for (const size of [...sizes, data.length]) {
    const response = parser.push(data.subarray(at, at + size));
    at += size;
    if (response !== undefined) responses.push(response);
    if (at >= data.length) break;
  }
  return responses;
}

const LENGTH = 'HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 5\r\n\r\nhello';
const CHUNKED = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n';

describe('HttpResponseParser', () => {
  it.each([
    ['a length', LENGTH],
    ['chunks', CHUNKED],
  ])('reads a body by %s, whole or byte by byte', (_name, text) => {
    for (const sizes of [[], Array.from({ length: text.length }, () => 1)]) {
      const responses = read(text, sizes);
      expect(responses).toHaveLength(1);
      expect(responses[0]?.body.toString()).toBe('hello');
      expect(responses[0]).toMatchObject({ status: 200, closes: false });
    }
  });

  it('reads an answer without a body and notices that the server closes', () => {
    const [response] = read('HTTP/1.1 503 Unavailable\r\nRetry-After: 3\r\nConnection: close\r\nContent-Length: 0\r\n\r\n', []);
    expect(response).toMatchObject({ status: 503, closes: true });
    expect(response?.headers.get('retry-after')).toBe('3');
  });

  it('takes what comes until the end when there is no length', () => {
    const parser = new HttpResponseParser();
    expect(parser.push(Buffer.from('HTTP/1.1 200 OK\r\n\r\nabc'))).toBeUndefined();
    expect(parser.finish()?.body.toString()).toBe('abc');
  });

  it('refuses anything else', () => {
    expect(() => read('SSH-2.0-x\r\n\r\n', [])).toThrow(HttpParseError);
  });
});
