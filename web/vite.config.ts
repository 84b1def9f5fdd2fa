import { sveltekit } from '@sveltejs/kit/vite';
import { defineConfig, loadEnv, type Plugin } from 'vite';

/** The pages that are not the first one, and the nodes by which the router asks for them (0: layout, 1: error, 2: `/`). */
const LATER = /\/src\/routes\/[^/+]+\/|\/src\/lib\/later\/|\/nodes\/([3-9]|\d\d+)\.js$/;

/**
 * One file for the first page with all that pages share, and one for each other page, loaded when it is opened.
 * SvelteKit knows but all in one file, or dozens of small ones of which the first page alone needs ten.
 */
const pagesByThemselves: Plugin = {
  name: 'pages-by-themselves',
  apply: 'build',
  options: (options) => ({ ...options, preserveEntrySignatures: 'allow-extension' }), // else a file more, which names it
  outputOptions(options) {
    if (!options.inlineDynamicImports) return null; // the other build, which nobody is served
    return {
      ...options,
      inlineDynamicImports: false,
      manualChunks: (id) => (LATER.test(id) ? undefined : 'bundle'),
    };
  },
};

export default defineConfig(({ mode }) => {
  const server = loadEnv(mode, '.', 'DARKROOM_').DARKROOM_SERVER ?? 'http://127.0.0.1:8000';
  const proxied = ['/api', '/sdapi', '/controlnet', '/internal', '/readyz', '/docs', '/openapi.json'];
  // The server takes changes from its own pages only.
  const proxy = { target: server, changeOrigin: true, headers: { origin: server } };
  return {
    plugins: [sveltekit(), pagesByThemselves],
    build: { target: 'es2022', assetsInlineLimit: 0 },
    server: { proxy: Object.fromEntries(proxied.map((path) => [path, proxy])) },
  };
});
