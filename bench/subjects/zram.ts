/**
 * zram with lz4, written and read with O_DIRECT: the page's copy, compression and
 * allocation happen inside the system call. A device of our own, added for the
 * trial and removed after it; devices that are there are left alone.
 */
import { accessSync, constants, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { PAGE_BYTES } from '../corpus.js';
import { floorOf } from './guest-corpus.js';
import { peers } from './native.js';
import type { Subject } from './subject.js';

const CONTROL = '/sys/class/zram-control';
const NODE_MS = 5000;
const POLL_MS = 20;

/** Reading it makes a device. */
function addDevice(): number {
  return Number(readFileSync(`${CONTROL}/hot_add`, 'utf8'));
}

/** The device node appears when udev or the kernel gets to it. */
async function deviceNode(path: string): Promise<void> {
  for (let waitedMs = 0; !existsSync(path); waitedMs += POLL_MS) {
    if (waitedMs > NODE_MS) throw new Error(`${path} does not appear`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

export const zram: Subject = {
  depths: 'one',
  missing() {
    if (!existsSync(CONTROL)) return 'the kernel has no zram (modprobe zram)';
    try {
      accessSync(`${CONTROL}/hot_remove`, constants.W_OK);
      return undefined;
    } catch (error) {
      return `cannot add a zram device: ${(error as Error).message}`;
    }
  },
  async start(corpus) {
    const number = addDevice();
    const path = `/dev/zram${number}`;
    const attribute = (name: string) => `/sys/block/zram${number}/${name}`;
    const stop = async () => {
      writeFileSync(attribute('reset'), '1');
      writeFileSync(`${CONTROL}/hot_remove`, String(number));
    };
    try {
      await deviceNode(path);
      writeFileSync(attribute('comp_algorithm'), 'lz4');
      writeFileSync(attribute('disksize'), String(corpus.pages * PAGE_BYTES));
      const device = new peers.BlockDevice(path, corpus.file);
      return {
        keeper: () => device,
        floor: floorOf(corpus),
        // mm_stat: orig_data_size compr_data_size mem_used_total ...
        memoryBytes: () => Number(readFileSync(attribute('mm_stat'), 'utf8').trim().split(/\s+/)[2]),
        async stop() {
          device.close();
          await stop();
        },
      };
    } catch (error) {
      await stop();
      throw error;
    }
  },
};
