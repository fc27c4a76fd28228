// Builds the dashboard into dist/: static files that the coordinator serves. Run by scripts/build.mjs; takes a few seconds.
import { fileURLToPath } from 'node:url';
import { build } from 'vite';

const at = (path) => fileURLToPath(new URL(path, import.meta.url));

await build({
  root: at('app'),
  base: '/',
  configFile: false,
  envDir: false,
  logLevel: 'warn',
  build: {
    outDir: at('dist'),
    emptyOutDir: true,
    target: 'es2023',
    modulePreload: { polyfill: false },
    // A data: URL in a stylesheet or script would need a wider Content-Security-Policy.
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 1_000,
    reportCompressedSize: false,
    rolldownOptions: {
      onwarn(warning, show) {
        // A hint for servers that render React, which nobody does here.
        if (warning.code !== 'MODULE_LEVEL_DIRECTIVE') show(warning);
      },
    },
  },
});
