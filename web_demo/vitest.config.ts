import { mergeConfig, defineConfig } from 'vitest/config'
import page from './vite.config.ts'

export default mergeConfig(page, defineConfig({
  test: {
    projects: [
      { extends: true, test: { name: 'unit', include: ['tests/unit/**/*.test.ts'], testTimeout: 60_000 } },
      // Two browsers at a time: more would make each other wait.
      { extends: true, test: { name: 'browser', include: ['tests/browser/**/*.test.ts'], testTimeout: 200_000, hookTimeout: 200_000, maxWorkers: 2 } },
    ],
  },
}))
