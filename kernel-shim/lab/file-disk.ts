/** A disk with a file system, for the workload on files. */
import { execa } from 'execa';

/** Nothing is left for the guest's kernel to do in the background. */
const options = 'lazy_itable_init=0,lazy_journal_init=0';

/** Makes `file`: sparse, with an empty ext4. */
export async function makeFileDisk(file: string, megabytes: number): Promise<void> {
  const args = ['-q', '-t', 'ext4', '-b', '4096', '-m', '0', '-E', options, file, `${megabytes}M`];
  await execa('mke2fs', args, { env: { PATH: `${process.env.PATH ?? ''}:/usr/sbin:/sbin` } });
}
