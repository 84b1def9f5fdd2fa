import { sveltekit } from '@sveltejs/kit/vite';
import { defineConfig, loadEnv } from 'vite';

export default defineConfig(({ mode }) => {
  const server = loadEnv(mode, '.', 'DARKROOM_').DARKROOM_SERVER ?? 'http://127.0.0.1:8000';
  return {
    plugins: [sveltekit()],
    build: { target: 'es2022', assetsInlineLimit: 0 },
    server: { proxy: { '/api': { target: server, changeOrigin: true } } },
  };
});
