/**
 * Every suite, in two groups: what is quick and independent runs in parallel first; then, one file at a
 * time, what starts services and guests and would disturb another's timing.
 */
import { defineConfig } from 'vitest/config';

const root = new URL('..', import.meta.url).pathname;

export default defineConfig({
  root,
  test: {
    // For a worker to end once its file is done: on a busy machine that takes its time.
    teardownTimeout: 120_000,
    reporters: ['default', new URL('./closing-line.ts', import.meta.url).pathname],
    coverage: {
      provider: 'v8',
      include: ['src/**/*.ts'],
      reportsDirectory: 'coverage',
      reporter: ['text-summary', 'json-summary', 'html'],
    },
    projects: [
      {
        root,
        test: {
          name: 'quick',
          include: ['test/unit/**/*.test.ts', 'test/style/**/*.test.ts'],
          testTimeout: 120_000,
          hookTimeout: 120_000,
          maxWorkers: 2,
          sequence: { groupOrder: 0 },
        },
      },
      {
        root,
        test: {
          name: 'whole',
          include: ['test/{native,fuzz,model,hostile,idle,bench,e2e}/**/*.test.ts'],
          testTimeout: 300_000,
          hookTimeout: 300_000,
          maxWorkers: 1,
          fileParallelism: false,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
