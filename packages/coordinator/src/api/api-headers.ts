/**
 * On every answer of the API, refusals and streams included: what it says is data, is read as what it is declared to be, and is kept by no
 * cache. The files of the dashboard have their own.
 */
export const API_HEADERS: Readonly<Record<string, string>> = {
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cache-control': 'no-store',
};
