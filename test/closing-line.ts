/**
 * Ends a run with one line over all suites: `N passed, N failed, N skipped`.
 *
 * A file that could not be loaded and an error outside any test each count as a failure, so that the line
 * never looks better than the exit status. Skipped tests are listed with their names and the reason.
 */
import { writeSync } from 'node:fs';
import type { Reporter, SerializedError, TestModule } from 'vitest/node';

export default class ClosingLine implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly SerializedError[]): void {
    let passed = 0;
    let failed = unhandledErrors.length;
    const skipped: string[] = [];
    for (const module of modules) {
      failed += module.errors().length;
      for (const suite of module.children.allSuites()) failed += suite.errors().length;
      for (const test of module.children.allTests()) {
        const result = test.result();
        const { state } = result;
        if (state === 'passed') passed += 1;
        else if (state === 'skipped') skipped.push(test.fullName + (result.note ? ` (${result.note})` : ''));
        else failed += 1;
      }
    }
    const names = skipped.map((name) => `skipped: ${name}\n`).join('');
    // At the exit: the coverage report comes after the reporters.
    process.once('exit', () =>
      writeSync(1, `\n${names}${passed} passed, ${failed} failed, ${skipped.length} skipped\n`),
    );
  }
}
