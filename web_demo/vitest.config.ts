import { mergeConfig, defineConfig } from 'vitest/config'
import page from './vite.config'

export default mergeConfig(page, defineConfig({
  test: {
    projects: [
      { extends: true, test: { name: 'unit', include: ['tests/unit/**/*.test.ts'] } },
      // In one process, one after the other: the tests measure, and share one server.
      { extends: true, test: { name: 'browser', include: ['tests/browser/**/*.test.ts'], testTimeout: 120_000, hookTimeout: 120_000, fileParallelism: false } },
    ],
  },
}))
