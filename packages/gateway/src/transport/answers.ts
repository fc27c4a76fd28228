import type { HttpResponse } from 'uWebSockets.js';
import type { Refusal } from './admission.ts';

/** Writes a whole answer; `close` ends the connection after it. */
export function answer(res: HttpResponse, status: string, headers: Record<string, string>, body: string | Uint8Array, close = false): void {
  res.writeStatus(status);
  for (const [name, value] of Object.entries(headers)) res.writeHeader(name, value);
  res.end(body, close);
}

/** A refused POST keeps its connection: closing it while the body is on its way would reset it, and the status would be lost. */
export function refuse(res: HttpResponse, { status, retryAfterSeconds }: Refusal, close = false): void {
  if (status === 401) answer(res, '401 Unauthorized', { 'WWW-Authenticate': 'Bearer' }, '', close);
  else answer(res, '503 Service Unavailable', { 'Retry-After': String(retryAfterSeconds ?? 30) }, '', close);
}
