/** Header fields as sent: order, letter case and repeats are the caller's. */
export type HeaderList = readonly (readonly [name: string, value: string])[];

/** Status line and header fields of a response. */
export interface ResponseHead {
  readonly status: number;
  readonly statusText: string;
  /** Keyed by lower-case name; repeated fields are joined by a comma. */
  readonly headers: ReadonlyMap<string, string>;
}

/** Builds a request head, ending with the empty line. */
export const encodeRequestHead = (method: string, path: string, headers: HeaderList): Buffer =>
  Buffer.from([`${method} ${path} HTTP/1.1`, ...headers.map(([name, value]) => `${name}: ${value}`), '', ''].join('\r\n'), 'latin1');

/** Reads a response head that ends with the empty line. Throws when it is not HTTP/1.x. */
export const parseResponseHead = (bytes: Uint8Array): ResponseHead => {
  const lines = Buffer.from(bytes).toString('latin1').split('\r\n');
  const statusLine = /^HTTP\/1\.[01] (\d{3})(?: (.*))?$/.exec(lines[0] ?? '');
  if (statusLine === null) throw new Error(`not an HTTP/1.x status line: ${JSON.stringify(lines[0])}`);
  const headers = new Map<string, string>();
  for (const line of lines.slice(1)) {
    if (line === '') continue;
    const colon = line.indexOf(':');
    if (colon <= 0) throw new Error(`malformed header line: ${JSON.stringify(line)}`);
    const name = line.slice(0, colon).trim().toLowerCase();
    const value = line.slice(colon + 1).trim();
    const former = headers.get(name);
    headers.set(name, former === undefined ? value : `${former}, ${value}`);
  }
  return { status: Number(statusLine[1]), statusText: statusLine[2] ?? '', headers };
};
