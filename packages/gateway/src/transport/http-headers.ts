/** True for `application/x-protobuf`, whatever its letter case and parameters. [OpAMP Plain HTTP Transport] */
export function isProtobuf(contentType: string): boolean {
  return (contentType.split(';')[0] ?? '').trim().toLowerCase() === 'application/x-protobuf';
}

/** True when an Accept-Encoding header allows gzip: named (or `*`) with a quality above 0. */
export function acceptsGzip(header: string): boolean {
  let star = false;
  for (const part of header.split(',')) {
    const [name = '', ...parameters] = part.split(';').map((text) => text.trim().toLowerCase());
    const quality = parameters.find((text) => text.startsWith('q='));
    const allowed = quality === undefined || Number(quality.slice(2)) > 0;
    if (name === 'gzip' || name === 'x-gzip') return allowed;
    if (name === '*') star = allowed;
  }
  return star;
}
