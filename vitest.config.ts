import { defineConfig } from 'vitest/config';

const conditions = ['source', 'node', 'import', 'module', 'default'];
const shared = {
  resolve: { conditions },
  ssr: { resolve: { conditions } },
};

/** One project per suite; `scripts/test.mjs` runs them in order and prints the time of each. */
export default defineConfig({
  test: {
    projects: [
      {
        ...shared,
        test: {
          name: 'unit',
          include: [
            'proto/*.test.ts',
            'packages/*/src/**/*.test.ts',
            'loadtest/src/**/*.test.ts',
            'test/support/**/*.test.ts',
            'test/conformance/**/*.unit.test.ts',
          ],
          testTimeout: 60_000,
        },
      },
      ...(['integration', 'faults', 'conformance', 'interop', 'model', 'scenarios', 'fuzz', 'browser', 'soak'] as const).map((name) => ({
        ...shared,
        test: {
          name,
          include: [`test/${name}/**/*.test.ts`],
          exclude: ['**/*.unit.test.ts', '**/node_modules/**'],
          testTimeout: name === 'interop' || name === 'soak' ? 1_200_000 : 300_000,
          hookTimeout: name === 'interop' || name === 'soak' ? 1_800_000 : 300_000,
          fileParallelism: false,
        },
      })),
    ],
  },
});
