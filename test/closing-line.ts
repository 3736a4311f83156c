/**
 * Ends a run with one line over all suites: `N passed, N failed, N skipped`.
 *
 * A file that could not be loaded and an error outside any test each count as a failure, so that the line
 * never looks better than the exit status. Skipped tests are listed with their names and the reason.
 *
 * A worker that blocks in a native call cannot time its tests out: when nothing has happened for longer than
 * any test may take, the run ends here, as a failure with the name of the test.
 */
import { writeSync } from 'node:fs';
import type { Reporter, SerializedError, TestCase, TestModule } from 'vitest/node';

/** The longest limit of a test is 40 minutes. */
const SILENCE_MS = 45 * 60_000;

export default class ClosingLine implements Reporter {
  #last = 'the start';
  #silence: NodeJS.Timeout | undefined;
  #passed = 0;
  #failed = 0;

  #heard(what: string): void {
    this.#last = what;
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => {
      writeSync(1, `\nnothing has happened for ${SILENCE_MS / 60_000} minutes, since ${this.#last}\n`);
      writeSync(1, `\n${this.#passed} passed, ${this.#failed + 1} failed, 0 skipped\n`);
      process.exit(1);
    }, SILENCE_MS).unref();
  }

  onTestModuleStart(module: TestModule): void {
    this.#heard(`${module.relativeModuleId} began`);
  }

  onTestCaseReady(test: TestCase): void {
    this.#heard(`${test.module.relativeModuleId} > ${test.fullName} began`);
  }

  onTestCaseResult(test: TestCase): void {
    const { state } = test.result();
    if (state === 'passed') this.#passed += 1;
    if (state === 'failed') this.#failed += 1;
    this.#heard(`${test.module.relativeModuleId} > ${test.fullName} ended`);
  }

  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly SerializedError[]): void {
    clearTimeout(this.#silence);
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
