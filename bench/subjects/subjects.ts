/** All of them, by the names figures carry. */
import { storageDaemon, tmemdDisk } from './disk.js';
import { floor } from './floor.js';
import { memcached, redis, valkey } from './key-value.js';
import type { Subject } from './subject.js';
import { tmemd } from './tmemd.js';
import { zram } from './zram.js';

export const subjects: Record<string, Subject> = {
  floor,
  tmemd,
  'tmemd disk': tmemdDisk,
  zram,
  'qemu-storage-daemon': storageDaemon,
  redis,
  valkey,
  memcached,
};
