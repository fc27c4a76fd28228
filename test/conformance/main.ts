// The command line of the suite: node --conditions=source test/conformance/main.ts --url ws://host:port/path
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import type { Transport } from './check.ts';
import { createTarget, type TargetOptions } from './own-target.ts';
import { renderResult, renderSummary, renderTitle } from './report.ts';
import { runConformance, type RunOptions } from './run.ts';

const USAGE = `usage: npm run conformance -- --url ws://host:port/path [options]

  --url URL                     the server; ws, wss, http or https
  --second-url URL              another node of the same server
  --api URL                     its management API (of an OpAMP gateway of this project)
  --token TOKEN                 bearer token for the management API
  --authorization VALUE         Authorization header that agents send
  --refused-authorization VALUE an Authorization header that the server must refuse
  --max-message-bytes N         the server's message limit, for the checks around it
  --http-silence-ms N           silence after which a polling agent counts as offline
  --transport ws|http|both      default both
  --only 57,58                  run these checks only
  --slow                        also run checks that take minutes or send 63 MiB
  --deadline-ms N               hang guard for each single wait; default 10000
  --insecure                    accept any TLS certificate
  --json FILE                   write the report as JSON
  --quiet                       print the summary only

Ends with 0 when nothing failed, 1 when a check failed, 2 for a wrong command line.
`;

class UsageError extends Error {
  override name = 'UsageError';
}

const integerOption = (name: string, text: string | undefined): number | undefined => {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (!Number.isInteger(value) || value <= 0) throw new UsageError(`--${name} takes a positive integer`);
  return value;
};

const transportsOption = (text: string): readonly Transport[] => {
  switch (text) {
    case 'ws':
      return ['ws'];
    case 'http':
      return ['http'];
    case 'both':
      return ['ws', 'http'];
    default:
      throw new UsageError('--transport takes ws, http or both');
  }
};

const onlyOption = (text: string | undefined): readonly number[] | undefined =>
  text?.split(',').map((part) => {
    const id = Number(part);
    if (!Number.isInteger(id) || id < 1) throw new UsageError('--only takes check numbers');
    return id;
  });

/** Drops undefined values, for options that must be absent rather than undefined. */
const defined = <T extends object>(options: T): { [K in keyof T]: Exclude<T[K], undefined> } =>
  Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as { [K in keyof T]: Exclude<T[K], undefined> };

const readCommandLine = (argv: readonly string[]) => {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      url: { type: 'string' },
      'second-url': { type: 'string' },
      api: { type: 'string' },
      token: { type: 'string' },
      authorization: { type: 'string' },
      'refused-authorization': { type: 'string' },
      'max-message-bytes': { type: 'string' },
      'http-silence-ms': { type: 'string' },
      transport: { type: 'string', default: 'both' },
      only: { type: 'string' },
      slow: { type: 'boolean', default: false },
      'deadline-ms': { type: 'string' },
      insecure: { type: 'boolean', default: false },
      json: { type: 'string' },
      quiet: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return undefined;
  if (values.url === undefined) throw new UsageError('--url is missing');
  const targetOptions: TargetOptions = defined({
    url: values.url,
    secondUrl: values['second-url'],
    apiUrl: values.api,
    apiToken: values.token,
    authorization: values.authorization,
    refusedAuthorization: values['refused-authorization'],
    isInsecure: values.insecure,
    maxMessageBytes: integerOption('max-message-bytes', values['max-message-bytes']),
    httpSilenceMs: integerOption('http-silence-ms', values['http-silence-ms']),
  }) as TargetOptions;
  const runOptions: RunOptions = defined({
    only: onlyOption(values.only),
    transports: transportsOption(values.transport),
    isSlow: values.slow,
    deadlineMs: integerOption('deadline-ms', values['deadline-ms']),
  }) as RunOptions;
  return { targetOptions, runOptions, jsonFile: values.json, isQuiet: values.quiet };
};

const main = async (argv: readonly string[]): Promise<number> => {
  let commandLine;
  try {
    commandLine = readCommandLine(argv);
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n\n${USAGE}`);
    return 2;
  }
  if (commandLine === undefined) {
    process.stdout.write(USAGE);
    return 0;
  }
  const { targetOptions, runOptions, jsonFile, isQuiet } = commandLine;
  const print = (text: string): void => {
    if (!isQuiet) process.stdout.write(`${text}\n`);
  };
  const target = createTarget(targetOptions);
  print(renderTitle(target.url, new Date().toISOString()));
  let printedSection = '';
  const report = await runConformance(target, {
    ...runOptions,
    onResult: (result, section) => {
      if (section.key !== printedSection) print(`\n${section.key} ${section.title}`);
      printedSection = section.key;
      print(renderResult(result));
    },
  });
  if (jsonFile !== undefined) writeFileSync(jsonFile, `${JSON.stringify(report, null, 2)}\n`);
  process.stdout.write(`\n${renderSummary(report)}`);
  return report.totals.failed === 0 ? 0 : 1;
};

process.exitCode = await main(process.argv.slice(2));
