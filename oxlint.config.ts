// Lint rules. Beside the usual suspects they keep the architecture: which folder may import what, which library is
// used where, and where time, environment and terminal may be touched. CONTRIBUTING.md has the same in prose.
import { defineConfig } from 'oxlint';

/** What may not be imported: matched against the specifier as written (no look-around in these expressions). */
interface Deny {
  readonly regex?: string;
  /** Patterns as in a .gitignore: a later `!pattern` takes one back. */
  readonly group?: string[];
  readonly message: string;
  readonly allowTypeImports?: boolean;
}

/** `../name/…` from a folder of the same package, at any depth. */
function siblings(names: readonly string[], message: string, allowTypeImports = false): Deny {
  return { regex: `(?:^|/)\\.\\./(?:${names.join('|')})/`, message, allowTypeImports };
}

const IOREDIS: Deny = {
  regex: '^ioredis$',
  message: 'ioredis is used under bus/, stores/, queue/ and shared/src/redis only; elsewhere take a port or its type',
  allowTypeImports: true,
};
const BULLMQ: Deny = { regex: '^bullmq$', message: 'bullmq is used under queue/ only' };
const UWS: Deny = {
  regex: '^uWebSockets\\.js$',
  message: 'uWebSockets.js is used in transport/websocket-server.ts only',
  allowTypeImports: true,
};
const ENV: Deny = { regex: '^(?:node:)?process$', message: 'use the global; process.env is read in config.ts only' };
const RELATIVE_PACKAGES: Deny = {
  regex: '^\\.\\./.*(?:^|/)(?:src|gen|dist)/',
  message: 'packages are imported by name: @opamp-gateway/<package>/<module>',
};
const BARRELS: Deny = { regex: '(?:^|/)index(?:\\.[jt]s)?$', message: 'no barrels: import the module itself' };
const EVERYWHERE = [UWS, ENV, RELATIVE_PACKAGES, BARRELS];
const FENCED = [...EVERYWHERE, IOREDIS, BULLMQ];

const PROCESSES: Deny = {
  regex: '^@opamp-gateway/(?:gateway|coordinator|cli|loadtest)(?:/|$)',
  message: 'imports run one way: proto <- shared <- gateway, coordinator; the processes never import each other',
};
const DEEP: Deny = {
  group: [
    '@opamp-gateway/gateway/**',
    '@opamp-gateway/coordinator/**',
    '!@opamp-gateway/gateway/{gateway,config}',
    '!@opamp-gateway/coordinator/{coordinator,config}',
  ],
  message: 'whole-system tests and tools use createGateway and createCoordinator, nothing deeper',
};

function imports(...patterns: readonly Deny[]): ['error', { patterns: Deny[] }] {
  return ['error', { patterns: [...patterns] }];
}

/** One row of the import table: what the non-test files of a folder may not import. */
function folder(files: string, patterns: readonly Deny[], excludeFiles: readonly string[] = []) {
  return { files: [files], excludeFiles: ['**/*.test.ts', ...excludeFiles], rules: { 'no-restricted-imports': imports(...patterns) } };
}

const GATEWAY = 'packages/gateway/src';
const COORDINATOR = 'packages/coordinator/src';
const PURE_ONLY: Deny = {
  regex: '^(?:\\.\\./|[^.@]|@[^o]|@opamp-gateway/(?:gateway|coordinator|cli|loadtest)/)',
  message: 'the reconciler is pure: its own files, shared and proto only',
};

export default defineConfig({
  plugins: ['eslint', 'typescript', 'unicorn', 'oxc', 'import', 'node', 'vitest', 'promise'],
  categories: { correctness: 'error' },
  options: { typeAware: true, reportUnusedDisableDirectives: 'error' },
  ignorePatterns: ['**/dist/**', 'proto/gen/**', '**/node_modules/**', '.tmp/**', 'coverage/**'],
  rules: {
    eqeqeq: 'error',
    'import/no-cycle': 'error',
    'import/no-default-export': 'error',
    'max-lines': ['error', { max: 600 }],
    'no-console': 'error',
    'no-restricted-imports': imports(...FENCED, PROCESSES),
    'node/no-process-env': 'error',
    'typescript/consistent-type-imports': 'error',
    'typescript/no-explicit-any': 'error',
    'typescript/no-floating-promises': 'error',
    'typescript/no-misused-promises': 'error',
    'typescript/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
    'unicorn/filename-case': ['error', { case: 'kebabCase' }],
    'vitest/no-focused-tests': 'error',
    'vitest/valid-expect': ['error', { maxArgs: 2 }],
    // The compiler knows better: it reads the types of CommonJS modules.
    'import/default': 'off',
    // Matters of taste among the defaults, or wrong for tests over tables.
    'typescript/no-useless-default-assignment': 'off',
    'unicorn/no-new-array': 'off',
    'unicorn/no-useless-spread': 'off',
    'typescript/unbound-method': 'off',
    'vitest/expect-expect': 'off',
    'vitest/no-conditional-expect': 'off',
    'vitest/valid-title': 'off',
    'vitest/require-to-throw-message': 'off',
  },
  overrides: [
    // Library fences: the folders that may use them.
    {
      files: ['packages/shared/src/redis/**', `${GATEWAY}/bus/**`],
      rules: { 'no-restricted-imports': imports(...EVERYWHERE, BULLMQ, PROCESSES) },
    },
    {
      files: [`${GATEWAY}/transport/websocket-server.ts`],
      rules: { 'no-restricted-imports': imports(ENV, RELATIVE_PACKAGES, BARRELS, IOREDIS, BULLMQ, PROCESSES) },
    },

    // The import table.
    folder(`${GATEWAY}/reconciler/**`, [...FENCED, PURE_ONLY]),
    folder(`${GATEWAY}/protocol/**`, [
      ...FENCED,
      PROCESSES,
      siblings(['session', 'bus', 'transport', 'reconciler'], 'protocol/ stands below the other folders'),
    ]),
    folder(
      `${GATEWAY}/transport/**`,
      [...FENCED, PROCESSES, siblings(['protocol', 'session', 'bus', 'reconciler'], 'transport/ calls the callbacks that it was given')],
      [`${GATEWAY}/transport/websocket-server.ts`],
    ),
    folder(`${GATEWAY}/transport/websocket-server.ts`, [
      ENV,
      RELATIVE_PACKAGES,
      BARRELS,
      IOREDIS,
      BULLMQ,
      PROCESSES,
      siblings(['protocol', 'session', 'bus', 'reconciler'], 'transport/ calls the callbacks that it was given'),
    ]),
    folder(`${GATEWAY}/session/**`, [
      ...FENCED,
      PROCESSES,
      siblings(['bus', 'transport'], 'session/ declares ports; of bus/ and transport/ only types', true),
    ]),
    folder(`${GATEWAY}/bus/**`, [
      ...EVERYWHERE,
      BULLMQ,
      PROCESSES,
      siblings(['transport', 'protocol', 'reconciler'], 'bus/ knows shared and the ports of session/'),
      siblings(['session'], 'bus/ implements the ports of session/: types only', true),
    ]),
    folder(`${COORDINATOR}/rollout/**`, [
      ...FENCED,
      PROCESSES,
      siblings(['api', 'bus', 'stores', 'queue'], 'rollout/ declares ports; the other folders implement them'),
    ]),
    folder(`${COORDINATOR}/queue/**`, [
      ...EVERYWHERE,
      PROCESSES,
      siblings(['api', 'stores', 'bus'], 'queue/ works through ports: types only', true),
    ]),
    folder(`${COORDINATOR}/stores/**`, [
      ...EVERYWHERE,
      BULLMQ,
      PROCESSES,
      siblings(['api', 'queue', 'bus'], 'stores/ works through ports: types only', true),
    ]),
    folder(`${COORDINATOR}/bus/**`, [
      ...EVERYWHERE,
      BULLMQ,
      PROCESSES,
      siblings(['api', 'queue', 'stores'], 'bus/ works through ports: types only', true),
    ]),
    folder(`${COORDINATOR}/api/**`, [...FENCED, PROCESSES, siblings(['queue'], 'api/ does not know the queue; use a port')]),
    folder('packages/cli/src/**', [...FENCED, { regex: '^@opamp-gateway/', message: 'the CLI talks to the API only' }]),

    // Time and chance come in from outside.
    {
      files: [
        `${GATEWAY}/reconciler/**`,
        `${COORDINATOR}/rollout/**`,
        'packages/shared/src/{fleet-spec,desired,bucket,selector,config-hash}.ts',
      ],
      excludeFiles: ['**/*.test.ts', `${COORDINATOR}/rollout/engine*.ts`],
      rules: {
        'no-restricted-globals': [
          'error',
          ...['setTimeout', 'setInterval', 'setImmediate', 'performance'].map((name) => ({
            name,
            message: 'decisions are pure: time comes in as `now`',
          })),
        ],
        'no-restricted-properties': [
          'error',
          { object: 'Date', property: 'now', message: 'decisions are pure: time comes in as `now`' },
          { object: 'Math', property: 'random', message: 'decisions are pure: randomness comes in from outside' },
        ],
      },
    },

    // Tests may bring their own Redis and queue clients.
    {
      files: ['packages/*/src/**/*.test.ts', 'proto/*.test.ts'],
      rules: { 'no-restricted-imports': imports(ENV, RELATIVE_PACKAGES), 'node/no-process-env': 'off' },
    },
    { files: ['test/**'], rules: { 'no-restricted-imports': imports(UWS, RELATIVE_PACKAGES), 'node/no-process-env': 'off' } },
    {
      files: ['loadtest/**', 'test/{conformance,interop,scenarios,soak,support}/**'],
      rules: { 'no-restricted-imports': imports(UWS, RELATIVE_PACKAGES, DEEP) },
    },

    // Environment and terminal.
    {
      files: [
        'packages/*/src/config.ts',
        'loadtest/src/**/config.ts',
        'packages/cli/src/main.ts',
        'loadtest/src/{main,demo,bench}.ts',
        'scripts/**',
      ],
      rules: { 'node/no-process-env': 'off' },
    },
    {
      files: ['packages/cli/src/**', 'loadtest/src/**', 'scripts/**', 'test/{conformance,soak,interop}/**'],
      rules: { 'no-console': 'off' },
    },
    { files: ['*.config.ts', 'scripts/vitest-reporter.mjs'], rules: { 'import/no-default-export': 'off' } },
  ],
});
