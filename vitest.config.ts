import { defineConfig } from 'vitest/config';

// unit, conformance and fuzz run in parallel threads; the lab owns the machine's namespaces and runs one file at a time. A lab test gets a
// second try: a dozen foreign programs on two cores are now and then late, and what is wrong here fails twice. soak is the lab for longer, on demand.
export default defineConfig({
  test: {
    projects: [
      { test: { name: 'unit', include: ['test/unit/**/*.test.ts', 'test/*.test.ts'], testTimeout: 20_000 } },
      { test: { name: 'conformance', include: ['test/conformance/**/*.test.ts'], testTimeout: 60_000 } },
      { test: { name: 'fuzz', include: ['test/fuzz/**/*.test.ts'], testTimeout: 300_000 } },
      { test: { name: 'soak', include: ['test/soak/**/*.test.ts'], fileParallelism: false, hookTimeout: 120_000 } },
      { test: { name: 'lab', include: ['test/lab/**/*.test.ts'], fileParallelism: false, retry: 1, testTimeout: 120_000, hookTimeout: 120_000 } },
    ],
  },
});
