/**
 * What the driver finds out about a kernel before it is built for it: from the headers, not from the version number.
 *
 * On the lab's kernels it must find what is known of them. A distribution that takes one interface from another kernel
 * is imitated by a copy of the headers with that change alone: that feature changes, and no other.
 */
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { execa } from 'execa';
import { describe, expect, onTestFinished, test } from 'vitest';
import { checkout, type Kernel, kernelFolder } from '../../kernel-shim/lab/artefacts.js';
import { orSkip } from './lab-machine.js';

const TEST_MS = 1_800_000;

const since5_18 = [
  'ADD_DISK_RESULT',
  'BIO_BDEV',
  'BLK_ALLOC_DISK',
  'DISK_NO_PART',
  'FREE_DISK',
  'KMAP_LOCAL',
  'VOID_SUBMIT_BIO',
];
const since6_11 = [...since5_18, 'ALLOC_DISK_LIMITS', 'BLK_FEATURES', 'DISK_OPEN', 'VIRTQUEUE_INFO'];

const known: [Kernel, string[]][] = [
  ['5.10', ['FRONTSWAP_SHRINK', 'GENHD_H', 'QUEUE_DISCARD']],
  ['6.1', [...since5_18, 'FRONTSWAP_RESULT']],
  ['6.12', since6_11],
  ['7.x', since6_11],
];

/** The headers that are looked at. */
const headers = [
  'blk_types.h',
  'blkdev.h',
  'frontswap.h',
  'genhd.h',
  'highmem-internal.h',
  'highmem.h',
  'virtio_config.h',
];

/** Of a kernel's folder, the one that has include/linux: Debian keeps it apart from the folder modules are built in. */
function sourceOf(folder: string): string {
  const packaged = path.join(folder, 'root/usr/src');
  const common = existsSync(packaged)
    ? readdirSync(packaged).find((name) => name.endsWith('-common'))
    : undefined;
  return common === undefined ? path.join(folder, 'build') : path.join(packaged, common);
}

async function features(source: string): Promise<string[]> {
  const script = path.join(checkout, 'kernel-shim/features.sh');
  const { stdout } = await execa('sh', [script, source]);
  return stdout
    .split(/\s+/)
    .filter((flag) => flag !== '')
    .map((flag) => flag.replace(/^-DVTMEM_HAVE_/, ''))
    .sort();
}

/** A copy of what is looked at of a kernel's headers. */
function copyOfHeaders(source: string): string {
  const copy = mkdtempSync(path.join(tmpdir(), 'tmemd-headers-'));
  onTestFinished(() => rmSync(copy, { recursive: true, force: true }));
  mkdirSync(path.join(copy, 'include/linux'), { recursive: true });
  for (const name of headers) {
    const header = path.join(source, 'include/linux', name);
    if (existsSync(header)) copyFileSync(header, path.join(copy, 'include/linux', name));
  }
  return copy;
}

/** What a distribution changes: in a header, this for that, or more at its end. */
interface Backport {
  feature: string;
  header: string;
  old?: RegExp;
  replacement: string;
}

/** Each interface that is newer than 5.10, as later kernels declare it. */
const newer: Backport[] = [
  {
    feature: 'VIRTQUEUE_INFO',
    header: 'virtio_config.h',
    replacement: 'struct virtqueue_info {\n\tconst char *name;\n};\n',
  },
  {
    feature: 'BIO_BDEV',
    header: 'blk_types.h',
    old: /struct gendisk\s*\*bi_disk;/,
    replacement: 'struct block_device\t*bi_bdev;',
  },
  {
    feature: 'KMAP_LOCAL',
    header: 'highmem-internal.h',
    replacement: 'static inline void *kmap_local_page(struct page *page);\n',
  },
  {
    feature: 'DISK_OPEN',
    header: 'blkdev.h',
    old: /int \(\*open\) \(struct block_device \*, fmode_t\);/,
    replacement: 'int (*open)(struct gendisk *disk, blk_mode_t mode);',
  },
  {
    feature: 'FREE_DISK',
    header: 'blkdev.h',
    old: /int \(\*open\)/,
    replacement: 'void (*free_disk)(struct gendisk *disk);\n\tint (*open)',
  },
  {
    feature: 'VOID_SUBMIT_BIO',
    header: 'blkdev.h',
    old: /blk_qc_t \(\*submit_bio\)/,
    replacement: 'void (*submit_bio)',
  },
  {
    feature: 'BLK_ALLOC_DISK',
    header: 'genhd.h',
    replacement: '#define blk_alloc_disk(node_id)\t\t\\\n({ })\n',
  },
  {
    feature: 'BLK_FEATURES',
    header: 'blkdev.h',
    replacement: '#define BLK_FEAT_STABLE_WRITES\t((__force blk_features_t)(1u << 5))\n',
  },
  {
    feature: 'DISK_NO_PART',
    header: 'genhd.h',
    replacement: 'enum {\n\tGENHD_FL_NO_PART\t\t= 1 << 2,\n};\n',
  },
  {
    feature: 'ADD_DISK_RESULT',
    header: 'genhd.h',
    old: /extern void device_add_disk\(/,
    replacement: 'int __must_check device_add_disk(',
  },
  {
    feature: 'BLK_CLEANUP_DISK',
    header: 'genhd.h',
    replacement: 'void blk_cleanup_disk(struct gendisk *disk);\n',
  },
  {
    feature: 'FRONTSWAP_RESULT',
    header: 'frontswap.h',
    old: /extern void frontswap_register_ops\(/,
    replacement: 'int frontswap_register_ops(',
  },
  {
    feature: 'FRONTSWAP_EXCLUSIVE',
    header: 'frontswap.h',
    old: /\(\*load\)\(unsigned, pgoff_t, struct page \*\);/,
    replacement: '(*load)(unsigned, pgoff_t, struct page *, bool *);',
  },
];

/** And each that went since. */
const gone: Backport[] = [
  { feature: 'FRONTSWAP_SHRINK', header: 'frontswap.h', old: /.*frontswap_shrink.*\n/g, replacement: '' },
  { feature: 'QUEUE_DISCARD', header: 'blkdev.h', old: /#define QUEUE_FLAG_DISCARD.*\n/, replacement: '' },
];

function apply(copy: string, { header, old, replacement }: Backport): void {
  const file = path.join(copy, 'include/linux', header);
  const before = existsSync(file) ? readFileSync(file, 'utf8') : '';
  const after = old === undefined ? before + replacement : before.replace(old, replacement);
  expect(after, `${header} has what is to be changed`).not.toBe(before);
  writeFileSync(file, after);
}

describe('what a kernel has is found in its headers', () => {
  test.for(known)(
    'of the lab’s %s all that is known of it, and no more',
    { timeout: TEST_MS },
    async ([kernel, expected], { skip }) => {
      const folder = await orSkip(kernelFolder(kernel, new AbortController().signal), skip);
      expect(await features(sourceOf(folder))).toEqual([...expected].sort());
    },
  );

  test.for([...newer, ...gone])(
    '$feature, changed alone in 5.10, is seen, and nothing else is',
    { timeout: TEST_MS },
    async (backport, { skip }) => {
      const folder = await orSkip(kernelFolder('5.10', new AbortController().signal), skip);
      const copy = copyOfHeaders(sourceOf(folder));
      const before = await features(copy);
      apply(copy, backport);
      const expected = newer.includes(backport)
        ? [...before, backport.feature].sort()
        : before.filter((feature) => feature !== backport.feature);
      expect(await features(copy)).toEqual(expected);
    },
  );

  test('a disk with limits and no features in them, as 6.9 and 6.10 have it, on a kernel that calls itself 5.14', {
    timeout: TEST_MS,
  }, async ({ skip }) => {
    const folder = await orSkip(kernelFolder('5.10', new AbortController().signal), skip);
    const copy = copyOfHeaders(sourceOf(folder));
    rmSync(path.join(copy, 'include/linux/genhd.h'));
    apply(copy, {
      feature: '',
      header: 'blkdev.h',
      replacement: '#define blk_alloc_disk(lim, node_id)\t\t\\\n({ })\n',
    });
    const found = await features(copy);
    expect(found).toContain('ALLOC_DISK_LIMITS');
    expect(found).toContain('BLK_ALLOC_DISK');
    expect(found).not.toContain('BLK_FEATURES');
    expect(found).not.toContain('GENHD_H');
  });

  test('a folder without headers is refused', async () => {
    const run = await execa('sh', [path.join(checkout, 'kernel-shim/features.sh'), tmpdir()], {
      reject: false,
    });
    expect(run.exitCode).not.toBe(0);
    expect(run.stdout).toBe('');
  });
});
