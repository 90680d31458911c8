import tseslint from 'typescript-eslint';

// Each ban carries its reason; a rule without one is not worth keeping.
const bannedImports = [
  { name: 'node:http', importNames: ['request', 'get', 'Agent'], message: 'undici carries every request the gateway originates.' },
  { name: 'node:https', message: 'undici carries every request the gateway originates; TLS to servers is tls/connect.' },
  { name: 'node:assert/strict', message: 'Import assert from node:assert.' },
];

export default tseslint.config(
  { ignores: ['node_modules', 'test/lab/.build', 'src/admin/console', 'eslint.config.js', 'vitest.config.ts'] },
  {
    files: ['**/*.ts'],
    languageOptions: { parser: tseslint.parser, parserOptions: { project: './tsconfig.json' } },
    plugins: { '@typescript-eslint': tseslint.plugin },
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    rules: {
      // A promise nobody waits for is a fault nobody hears of.
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': ['error', { checksVoidReturn: { arguments: false, attributes: false } }],
      // A new protocol, action or state must be met everywhere it matters.
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      // Type stripping needs to know what is only a type.
      '@typescript-eslint/consistent-type-imports': 'error',
      // Input is checked, not asserted.
      '@typescript-eslint/no-explicit-any': 'error',
      'no-restricted-imports': ['error', { paths: bannedImports }],
      // Operators read the log; only the command line prints.
      'no-console': 'error',
      eqeqeq: 'error',
    },
  },
  { files: ['demo/**', 'test/**', 'bench/**'], rules: { 'no-restricted-imports': 'off', 'no-console': 'off' } },
);
