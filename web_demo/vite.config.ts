import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { defineConfig } from 'vite'
import { siteFiles } from './scripts/site_files.ts'

const versionOf = (path: string) => (JSON.parse(readFileSync(resolve(import.meta.dirname, path), 'utf8')) as { version: string }).version

export default defineConfig({
  base: './', // the page may lie in any folder of a server
  resolve: { alias: { core: resolve(import.meta.dirname, 'build/core/core.mjs') } },
  define: {
    __VERSION__: JSON.stringify(versionOf('package.json')),
    __LITERT_VERSION__: JSON.stringify(versionOf('node_modules/@litertjs/core/package.json')),
  },
  build: { target: 'es2022', assetsInlineLimit: 0, chunkSizeWarningLimit: 1024 },
  worker: { format: 'iife' }, // LiteRT loads its code with importScripts, which modules lack
  plugins: [siteFiles()],
})
