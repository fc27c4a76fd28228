/** A URL that the settings allow, as base of requests. */
export interface AllowedUrl {
  /** Without credentials, query and fragment, and without a slash at the end. */
  href: string;
  /** Value of the header Authorization, from `user:password@` of the setting. */
  authorization: string | undefined;
}

/** Reads one entry of a setting. Throws an Error that says what was expected, and quotes no password. */
export function parseAllowedUrl(text: string): AllowedUrl {
  const url = URL.parse(text);
  if (url === null || !/^https?:$/.test(url.protocol)) throw new Error('expected http:// or https:// URLs');
  if (url.search !== '' || url.hash !== '') throw new Error('expected URLs without query and fragment');
  const { username, password } = url;
  const credentials = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  return {
    href: `${url.origin}${url.pathname.replace(/\/+$/, '')}`,
    authorization: username === '' && password === '' ? undefined : `Basic ${Buffer.from(credentials, 'utf8').toString('base64')}`,
  };
}

/** The allowed base that equals this URL. */
export function findBase(allowed: readonly AllowedUrl[], url: string): AllowedUrl | undefined {
  const wanted = URL.parse(url);
  if (wanted === null || wanted.search !== '') return undefined;
  const href = `${wanted.origin}${wanted.pathname.replace(/\/+$/, '')}`;
  return allowed.find((candidate) => candidate.href === href);
}

/** The allowed base that this URL is, or lies below. Dots in the path are resolved before, so none leads out of it. */
export function findAbove(allowed: readonly AllowedUrl[], url: string): AllowedUrl | undefined {
  const wanted = URL.parse(url);
  // A server may undo the encoding of slashes, dots and backslashes, and find itself elsewhere.
  if (wanted === null || /%2e|%2f|%5c/i.test(wanted.pathname)) return undefined;
  const href = `${wanted.origin}${wanted.pathname}`;
  return allowed.find((candidate) => href === candidate.href || href.startsWith(`${candidate.href}/`));
}
