/**
 * Makes everything of the lab that takes long, so that no test's time limit has to hold for it as well: half an hour or more on a
 * fresh machine, two seconds with all of it there. What cannot be made is left to the tests that need it to tell.
 */
import { diskTools, kernels, makeArtefacts, oldQemuCommand, sourceTree } from './artefacts.js';

const { signal } = new AbortController();
const makers: (() => Promise<unknown>)[] = [
  ...kernels.map((kernel) => () => makeArtefacts(kernel, signal)),
  () => oldQemuCommand(signal),
  () => diskTools(signal),
  () => sourceTree('6.1', signal),
];
for (const make of makers) {
  await make().catch((error: unknown) => process.stderr.write(`tmemd: ${(error as Error).message}\n`));
}
