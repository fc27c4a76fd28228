// A vitest reporter that writes the facts scripts/test.mjs counts by, as JSON, to the file in TEST_RESULT_FILE:
// how many tests passed, what failed, what was skipped and why, and errors outside any test.
import { writeFileSync } from 'node:fs';

export default class ResultFileReporter {
  onTestRunEnd(testModules, unhandledErrors, reason) {
    const result = { reason, passed: 0, failed: [], skipped: [], errors: unhandledErrors.map((error) => firstLine(error.message)) };
    for (const module of testModules) {
      const file = module.relativeModuleId ?? module.moduleId;
      // A file that does not load, and a hook that throws, fail without failing a test.
      for (const error of module.errors()) result.failed.push({ name: file, message: firstLine(error.message) });
      for (const suite of module.children.allSuites()) {
        for (const error of suite.errors()) result.failed.push({ name: `${file} > ${suite.fullName}`, message: firstLine(error.message) });
      }
      for (const test of module.children.allTests()) {
        const name = `${file} > ${test.fullName}`;
        const { state, errors, note } = test.result();
        if (state === 'passed') result.passed += 1;
        else if (state === 'failed') result.failed.push({ name, message: firstLine(errors[0]?.message) });
        else if (state !== 'skipped') result.failed.push({ name, message: `it ended as "${state}"` });
        else result.skipped.push({ name, reason: note ?? (isUnderFailure(test) ? 'a hook around it failed' : undefined) });
      }
    }
    writeFileSync(process.env.TEST_RESULT_FILE, JSON.stringify(result));
  }
}

function isUnderFailure(test) {
  for (let node = test.parent; node !== undefined; node = node.parent) {
    if (node.errors().length > 0) return true;
  }
  return false;
}

function firstLine(text) {
  return String(text ?? 'no message').split('\n', 1)[0];
}
