import js from '@eslint/js'
import { globalIgnores } from 'eslint/config'
import typescript from 'typescript-eslint'

export default typescript.config(
  globalIgnores(['dist', 'build', 'scripts/service_worker.js']),
  js.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [typescript.configs.strictTypeChecked],
    languageOptions: { parserOptions: { projectService: true } },
    rules: {
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      // Kotlin declares a deprecated namespace beside each of its classes.
      '@typescript-eslint/no-deprecated': 'off',
    },
  },
  { files: ['scripts/*.mjs'], languageOptions: { globals: { console: 'readonly', process: 'readonly' } } },
)
