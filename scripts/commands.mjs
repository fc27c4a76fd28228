// The commands of this repository: what each needs before it starts, and which program it is.
//
//   build    compile first (default true)
//   redis    needs a redis-server binary on the PATH: true, or a function of the arguments
//   entry    program to start on the pinned Node, relative to the root; none = set-up only
//   nodeArgs Node options before the entry
//   fixed    arguments before the user's own
//   cwd      'caller' runs where the user stands, so that relative file names mean what they say; else the root

/** For what `tsc -b` wrote: stack traces with TypeScript lines. */
const COMPILED = ['--enable-source-maps'];
/** A gateway collects garbage earlier: docs/performance.md has what that costs and saves. The image and the unit start it the same way. */
const GATEWAY = [...COMPILED, '--max-semi-space-size=16', '--heap-growing-percent=40'];
/** For TypeScript run straight from its source: Node 22 strips the types, `source` finds the packages' own sources. */
const SOURCE = ['--conditions=source', '--disable-warning=ExperimentalWarning'];

const isLocal = (args) => args.includes('--local');

export const COMMANDS = {
  setup: { does: 'install dependencies and build; nothing else' },
  build: { does: 'compile what is stale' },
  demo: {
    does: 'a small fleet on this machine: a good rollout, and a bad one that takes itself back',
    redis: true,
    entry: 'loadtest/dist/demo.js',
    nodeArgs: COMPILED,
  },
  test: { does: 'the everyday tests; -- --suite NAME for one suite', redis: true, entry: 'scripts/test.mjs' },
  'test:interop': { does: 'tests against the real supervisor and collector', redis: true, entry: 'scripts/test.mjs', fixed: ['interop'] },
  'test:soak': { does: 'long fault-injection run; -- --minutes N --seed S', redis: true, entry: 'test/soak/main.ts', nodeArgs: SOURCE },
  'test:compose': {
    does: 'docker-compose.yml for real, every container lost in turn; needs a Docker engine',
    entry: 'test/compose/main.ts',
    nodeArgs: SOURCE,
  },
  conformance: { does: 'protocol conformance report', redis: true, entry: 'test/conformance/main.ts', nodeArgs: SOURCE },
  gateway: { does: 'one gateway, configured by OPAMP_ variables', entry: 'packages/gateway/dist/main.js', nodeArgs: GATEWAY },
  coordinator: { does: 'one coordinator, configured by OPAMP_ variables', entry: 'packages/coordinator/dist/main.js', nodeArgs: COMPILED },
  opampctl: { does: 'the command line client', entry: 'packages/cli/dist/main.js', nodeArgs: COMPILED, cwd: 'caller' },
  loadtest: {
    does: 'load test; -- --local brings its own servers',
    redis: isLocal,
    entry: 'loadtest/dist/main.js',
    nodeArgs: COMPILED,
    cwd: 'caller',
  },
  bench: { does: 'micro benchmarks of the hot paths', redis: true, entry: 'loadtest/dist/bench.js', nodeArgs: COMPILED },
  'bench:dashboard': {
    does: 'the dashboard with 100,000 agents in Redis: times of pages, processor time of the coordinator',
    redis: true,
    entry: 'test/browser/large-fleet.ts',
    nodeArgs: SOURCE,
  },
  check: { does: 'format, lint, types, dead code', build: false, entry: 'scripts/check.mjs' },
  fix: { does: 'format, and repair what the linter can', build: false, entry: 'scripts/fix.mjs' },
  gen: { does: 'generate protocol code and reference pages', build: false, entry: 'scripts/gen.mjs' },
  'gen:check': { does: 'fail when generated files are not current', build: false, entry: 'scripts/gen.mjs', fixed: ['--check'] },
  'docs:images': {
    does: 'pictures of the dashboard for the documentation',
    redis: true,
    entry: 'test/browser/images.ts',
    nodeArgs: SOURCE,
  },
  docs: { does: 'generate the reference pages only', build: false, entry: 'scripts/gen.mjs', fixed: ['--only', 'docs'] },
};
