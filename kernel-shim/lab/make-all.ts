/**
 * Makes what the tests' guests boot and takes long, so that no test's time limit has to hold for it as well: kernels that are
 * built and downloaded on a fresh machine, nothing with all of it there. No test boots the debug kernel. What cannot be made
 * is left to the tests that need it to tell.
 */
import {
  blockTool,
  diskTools,
  kernelFolder,
  kernels,
  makeArtefacts,
  microvmTools,
  oldQemuCommand,
  sourceTree,
  virshCommand,
} from './artefacts.js';

const { signal } = new AbortController();
const makers: (() => Promise<unknown>)[] = [
  ...kernels.filter((kernel) => kernel !== '5.10-debug').map((kernel) => () => makeArtefacts(kernel, signal)),
  () => oldQemuCommand(signal),
  () => diskTools(signal),
  () => blockTool('qemu-io', signal),
  () => virshCommand('', signal),
  async () => microvmTools(await kernelFolder('6.12', signal), signal),
  () => sourceTree('6.1', signal),
];
for (const make of makers) {
  await make().catch((error: unknown) => process.stderr.write(`tmemd: ${(error as Error).message}\n`));
}
