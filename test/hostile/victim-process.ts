/**
 * A guest that nobody attacks, and how long it waits: `node victim-process.js TMEM_SOCKET DISK_SOCKET FILE`.
 *
 * Puts and gets pages in bursts, each got page compared, and asks the control plane a question after each burst.
 * Writes a line when it has measured itself alone for ALONE_MS. On SIGTERM it appends what it measured before and
 * after that line to FILE, as a `Notice` in JSON, and ends.
 */
import { appendFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { Guest } from '../mock/guest.js';
import { mock, wire } from '../mock/mock.js';
import { Witness } from './attacker.js';
import { emptyNotice, type Measured, type Notice, note } from './notice.js';
import { pageOf } from './page.js';

const [tmemSocket = '', diskSocket = '', file = ''] = process.argv.slice(2);
const ALONE_MS = 2000;
const PAGES = 1024;
const PAGE_BYTES = 4096;
const BURST_PAGES = 64;
const PAUSE_MS = 10;
/** The region of a mock guest's memory that is left to whoever uses it. */
const OWN_REGION = 3;

const guest = new Guest(tmemSocket, { queues: 1, extraBytes: (PAGES + 1024) * PAGE_BYTES });
guest.reset();
const pool = guest.createPool(true);
const corpus = guest.memory.allocate(OWN_REGION, PAGES * PAGE_BYTES, PAGE_BYTES);
for (let page = 0; page < PAGES; page += 1) {
  guest.memory.write(corpus + BigInt(page * PAGE_BYTES), pageOf(page));
}
const load = new mock.Load(guest.ring(1), OWN_REGION, 1, pool, corpus);
const witness = new Witness(diskSocket);

const notice: Notice = emptyNotice();
let into: Measured = notice.alone;
let over = false;
process.on('SIGTERM', () => {
  over = true;
});

function burst(first: number): void {
  const pages = Uint32Array.from({ length: BURST_PAGES }, (_, index) => (first + index) % PAGES);
  const put = load.put(pages);
  const got = load.get(pages, true);
  for (const latencyNs of put.latencyNs) note(into.putNs, latencyNs);
  for (const latencyNs of got.latencyNs) note(into.getNs, latencyNs);
  into.mismatches += got.mismatches;
  into.failures += 2 * BURST_PAGES - (put.byStatus[wire.S_OK] ?? 0) - (got.byStatus[wire.S_OK] ?? 0);
  note(into.askNs, Math.round(witness.ask() * 1e6));
}

const began = performance.now();
for (let first = 0; !over; first += BURST_PAGES) {
  burst(first);
  if (into === notice.alone && performance.now() - began > ALONE_MS) {
    into = notice.attacked;
    process.stdout.write('alone\n');
  }
  await pause(PAUSE_MS);
}
appendFileSync(file, `${JSON.stringify(notice)}\n`);
process.exit(0);
