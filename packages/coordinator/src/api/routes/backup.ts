import { Readable } from 'node:stream';
import type { FastifyInstance } from 'fastify';
import type { ApiDependencies } from '../dependencies.ts';
import { ProblemError } from '../problem.ts';
import * as schema from '../schemas.ts';
import { actorOf } from './audit.ts';

/** Media type of the file: gzip around lines of JSON, see docs/operations.md. */
const MEDIA_TYPE = 'application/gzip';

/** Everything that agents cannot tell again, as one file, and back. */
export function backupRoutes(app: FastifyInstance, { backups, audit }: ApiDependencies): void {
  // Handed on as it comes: a file may be larger than the memory for it.
  app.addContentTypeParser(MEDIA_TYPE, (_request, payload, done) => done(null, payload));

  app.get(
    '/backup',
    {
      schema: {
        tags: ['backup'],
        summary: 'Everything that agents cannot tell again, as one file',
        description:
          'Configs with all versions, groups, rollouts with their events, pins, labels, the audit log. A file without its last line is not whole: the reading failed, and the line before may say why.',
        response: { 200: { description: 'The file.', content: { [MEDIA_TYPE]: { schema: { type: 'string' } } } }, ...schema.problems() },
      },
    },
    async (request, reply) => {
      const file = await backups.create();
      await audit.append({ ...actorOf(request), action: 'backup.create', target: 'fleet', detail: {} });
      return await reply.type(MEDIA_TYPE).send(file);
    },
  );

  app.post(
    '/restore',
    {
      schema: {
        tags: ['backup'],
        summary: 'Bring a backup back into an empty store',
        description:
          'The body is the file (`application/gzip`). It takes effect when all of it has been read and is right. Rollouts that were running come back held (`manual`).',
        querystring: schema.query({
          dryRun: schema.DRY_RUN,
          force: schema.flag('Replaces the configs, groups and rollouts that are here. Without it a store that has some is refused.'),
        }),
        response: {
          200: schema.answer(
            'What was restored, or would be.',
            schema.view({
              restored: schema.flag('False for a dry run.'),
              createdAt: schema.time('When the backup was made.'),
              version: schema.integer('Version of its format.'),
              records: schema.mapOf(schema.integer('Records.'), 'By section.'),
              existing: schema.list(schema.text('`3 groups`, for example.'), 'What is, or was, here already.'),
              notes: schema.list(schema.text('A sentence.'), 'What you have to know: rollouts that are held, entries that were left out.'),
            }),
          ),
          ...schema.problems('invalid-backup', 'store-not-empty', 'agents-connected', 'unsupported-media-type'),
        },
      },
    },
    async (request) => {
      const { dryRun = false, force = false } = request.query as { dryRun?: boolean; force?: boolean };
      const { body } = request;
      if (!(body instanceof Readable)) throw new ProblemError('unsupported-media-type', `the body has to be ${MEDIA_TYPE}`);
      const report = await restore(backups, body, { dryRun, force });
      if (!dryRun) {
        const detail = { createdAt: report.header.createdAt, records: report.records, replaced: report.existing };
        await audit.append({ ...actorOf(request), action: 'backup.restore', target: 'fleet', detail });
      }
      const { createdAt, version } = report.header;
      return { restored: !dryRun, createdAt, version, records: report.records, existing: report.existing, notes: report.notes };
    },
  );
}

async function restore(
  backups: ApiDependencies['backups'],
  body: Readable,
  options: { dryRun: boolean; force: boolean },
): ReturnType<ApiDependencies['backups']['restore']> {
  try {
    return await backups.restore(body, options);
  } catch (error) {
    // What is left of the body must be read, or the client never gets to the answer.
    body.resume();
    if (!(error instanceof Error)) throw error;
    if (error.name === 'BackupFileError') throw new ProblemError('invalid-backup', error.message, { cause: error });
    if (error.name === 'AgentsConnectedError') throw new ProblemError('agents-connected', error.message, { cause: error });
    if (error.name === 'StoreNotEmptyError') throw new ProblemError('store-not-empty', error.message, { cause: error });
    throw error;
  }
}
