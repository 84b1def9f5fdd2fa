import adapter from '@sveltejs/adapter-static';

// Where what is built goes: CI builds elsewhere, and compares.
const bundle = process.env.BUNDLE ?? '../serve_app/web';

/** @type {import('@sveltejs/kit').Config} */
export default {
  kit: {
    // Pages are behind the hash, so that the one document of the app is `/` and no path of the API is touched.
    router: { type: 'hash' },
    appDir: 'app',
    adapter: adapter({ pages: bundle, assets: bundle, fallback: 'index.html' }),
    version: { name: 'darkroom', pollInterval: 0 }, // the same sources make the same bytes
    output: { bundleStrategy: 'single' },
  },
};
