import { readdir, readFile } from 'node:fs/promises';
import { createHash } from 'node:crypto';
import { extname, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';

/** Where the build of the dashboard lies, seen from this file's place in `src` as well as in `dist`. */
const BUILD = fileURLToPath(new URL('../../../dashboard/dist/', import.meta.url));

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
};

/** Addresses of pages: the page itself looks at the address, the file is always the same. */
const PAGES = [
  '/',
  '/agents',
  '/agents/:uid',
  '/audit',
  '/configs',
  '/configs/:name',
  '/gateways',
  '/groups',
  '/rollouts',
  '/rollouts/:id',
  '/settings',
  '/signed-in',
  '/tokens',
];

/** `connect` are origins beside our own that the page may talk to. */
function contentSecurityPolicy(connect: readonly string[]): string {
  return [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self'",
    ["connect-src 'self'", ...connect].join(' '),
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; ');
}

const SECURITY_HEADERS: Readonly<Record<string, string>> = {
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'permissions-policy': 'camera=(), microphone=(), geolocation=()',
};

const NOTICE =
  'The dashboard is not built into this installation (npm run setup builds it).\nThe API is under /api/v1, its description at /api/v1/openapi.json.\n';

interface StaticFile {
  readonly type: string;
  readonly plain: Buffer;
  readonly gzipped: Buffer;
  readonly etag: string;
}

/**
 * Serves the built dashboard at `/`, from memory, without a token: the files hold nothing but the program, which asks the
 * API like any other client. Without a build, `/` answers 404 with a notice. `signInOrigins` are those of the issuer, to which
 * the page turns a code into a token.
 */
export async function serveDashboard(
  app: FastifyInstance,
  { directory = BUILD, signInOrigins = () => [] }: { directory?: string; signInOrigins?: () => readonly string[] } = {},
): Promise<void> {
  const files = await readFiles(directory);
  const page = files.get('index.html');
  for (const url of PAGES) {
    app.get(url, { schema: { hide: true } }, async (request, reply) => {
      reply.header('content-security-policy', contentSecurityPolicy(signInOrigins()));
      if (page === undefined) return await reply.code(404).headers(SECURITY_HEADERS).type('text/plain; charset=utf-8').send(NOTICE);
      return await send(request, reply, page, 'no-cache');
    });
  }
  for (const [name, file] of files) {
    if (name === 'index.html') continue;
    // The build puts a hash of the content into every name.
    app.get(`/${name}`, { schema: { hide: true } }, async (request, reply) =>
      send(request, reply.header('content-security-policy', contentSecurityPolicy([])), file, 'public, max-age=31536000, immutable'),
    );
  }
}

async function send(request: FastifyRequest, reply: FastifyReply, file: StaticFile, caching: string): Promise<FastifyReply> {
  reply.headers(SECURITY_HEADERS).headers({ 'cache-control': caching, etag: file.etag, vary: 'accept-encoding' });
  if (request.headers['if-none-match'] === file.etag) return await reply.code(304).send();
  const takesGzip = /\bgzip\b/.test(String(request.headers['accept-encoding'] ?? ''));
  if (takesGzip) reply.header('content-encoding', 'gzip');
  return await reply.type(file.type).send(takesGzip ? file.gzipped : file.plain);
}

async function readFiles(directory: string): Promise<Map<string, StaticFile>> {
  let entries;
  try {
    entries = await readdir(directory, { withFileTypes: true, recursive: true });
  } catch {
    return new Map();
  }
  const found = entries.flatMap((entry) => {
    const type = TYPES[extname(entry.name)];
    return entry.isFile() && type !== undefined ? [{ path: join(entry.parentPath, entry.name), type }] : [];
  });
  const files = found.map(async ({ path, type }) => {
    const plain = await readFile(path);
    const etag = `"${createHash('sha256').update(plain).digest('base64url').slice(0, 22)}"`;
    const file: StaticFile = { type, plain, gzipped: await promisify(gzip)(plain), etag };
    return [relative(directory, path).split(sep).join('/'), file] as const;
  });
  return new Map(await Promise.all(files));
}
