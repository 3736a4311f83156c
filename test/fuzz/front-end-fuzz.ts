/**
 * A fuzzer of vhost-user messages with descriptors, beside the ones of libFuzzer: the control plane that reads them
 * is TypeScript. Runs for so many seconds in this one process:
 *
 *   node dist/test/fuzz/front-end-fuzz.js --seconds 60 [--seed N] [--path P]
 *
 * Each talk (front-end-talk.ts) is one connection to a guest of the service's own code, with the real store, device
 * and sockets. After it
 *
 *   - the session has ended, with a reason that is the front end's or the administrator's, never the service's;
 *   - every answer was one to a request that was sent, in the form the protocol has;
 *   - the process has as many descriptors open as before, and the store adds up.
 *
 * A find is printed as fast-check makes it smaller, with the seed and the path that run it again; exit status 1.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, openSync, readdirSync, rmSync } from 'node:fs';
import { devNull, tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { setImmediate as nextTurn, setTimeout as pause } from 'node:timers/promises';
import { Command } from 'commander';
import fc from 'fast-check';
import { pino } from 'pino';
import { loadConfig } from '../../src/config/load.js';
import { Guest } from '../../src/guest/guest.js';
import { native } from '../../src/native/addon.js';
import { requestName } from '../../src/vhost-user/requests.js';
import { mock, type Socket } from '../mock/mock.js';
import {
  anyTalk,
  type DescriptorName,
  MEMORY_BYTES,
  type Step,
  type Talk,
  wholeBeginning,
} from './front-end-talk.js';

const HEADER_BYTES = 12;
const ANSWER_FLAGS = 5;
/** A descriptor's closing is done elsewhere; on a busy machine it takes a while. */
const CLOSED_MS = 20_000;
const SEND_MS = 20_000;
const CHECK_EVERY = 64;
/** pino's. */
const ERROR_LEVEL = 50;

const options = new Command()
  .option('--seconds <n>', 'how long', Number, 60)
  .option('--seed <n>', 'of what is drawn', Number, Date.now() & 0x7fffffff)
  .option('--path <path>', 'of a find, with its seed')
  .parse()
  .opts<{ seconds: number; seed: number; path?: string }>();

const folder = mkdtempSync(join(tmpdir(), 'tmemd-fuzz-'));
const complaints: string[] = [];
const log = pino(
  { level: 'info' },
  new Writable({
    write(line, _, done) {
      const { level } = JSON.parse(line.toString()) as { level: number };
      if (level >= ERROR_LEVEL) complaints.push(line.toString());
      done();
    },
  }),
);
const config = loadConfig({ memory: '64MiB', socketPath: [join(folder, 'guest.sock')] }, folder);
const store = new native.Store({ capacityBytes: config.memoryBytes });
const [guestConfig] = config.guests;
require(guestConfig !== undefined, 'no guest');
const guest = new Guest(guestConfig, native, store, log);

const fifo = join(folder, 'fifo');
execFileSync('mkfifo', [fifo]);
const [aSocket] = mock.socketPair();
const shared: Record<Exclude<DescriptorName, 'own end'>, number> = {
  memory: mock.memfd(MEMORY_BYTES),
  'short memory': mock.memfd(4096),
  eventfd: mock.eventFd(),
  socket: aSocket,
  pipe: openSync(fifo, 'r+'),
  file: openSync(join(folder, 'file'), 'w+'),
  folder: openSync(folder, 'r'),
  null: openSync(devNull, 'r+'),
};

function require(holds: boolean, what: string): asserts holds {
  if (!holds) throw new Error(what);
}

/** Sends; false when the service has closed. */
function say(socket: Socket, { bytes, fds, cutAt }: Step, ownEnd: number): boolean {
  const numbers = fds.map((name) => (name === 'own end' ? ownEnd : shared[name]));
  if (cutAt === 0 || cutAt >= bytes.length) return socket.send(bytes, numbers, SEND_MS);
  return (
    socket.send(bytes.subarray(0, cutAt), numbers, SEND_MS) && socket.send(bytes.subarray(cutAt), [], SEND_MS)
  );
}

/** What has been answered so far, each whole answer taken away. */
class Answers {
  #pending = Buffer.alloc(0);
  readonly #asked = new Map<number, number>();

  asked({ bytes }: Step): void {
    const number = bytes.readUInt32LE(0);
    this.#asked.set(number, (this.#asked.get(number) ?? 0) + 1);
  }

  read(socket: Socket): void {
    for (;;) {
      const got = socket.receive(4096, 0);
      if (got === 'closed' || got === 'timed-out') break;
      require(got.fds.length === 0, 'an answer with descriptors');
      this.#pending = Buffer.concat([this.#pending, got.bytes]);
    }
    while (this.#pending.length >= HEADER_BYTES) {
      const [number, flags, bytes] = [0, 4, 8].map((at) => this.#pending.readUInt32LE(at)) as [
        number,
        number,
        number,
      ];
      const left = (this.#asked.get(number) ?? 0) - 1;
      require(left >= 0, `answer to request ${number}, which was not asked so often`);
      require(requestName(number) !== undefined &&
        flags === ANSWER_FLAGS, `answer ${number} with flags ${flags}`);
      require(bytes > 0 && bytes <= 268, `answer ${number} of ${bytes} bytes`);
      if (this.#pending.length < HEADER_BYTES + bytes) break;
      this.#asked.set(number, left);
      this.#pending = this.#pending.subarray(HEADER_BYTES + bytes);
    }
  }
}

const openDescriptors = () => readdirSync('/proc/self/fd').length;

async function run(talk: Talk): Promise<void> {
  const [near, far] = mock.socketPair();
  const adopted = native.adoptSocket(near);
  require('connection' in adopted, 'a connected socket became a listener');
  const ended = guest.serve(adopted);
  const socket = new mock.Socket(far);
  const answers = new Answers();
  for (const [index, step] of talk.steps.entries()) {
    answers.asked(step);
    if (talk.tunedAt === index) guest.tune({ targetPages: index });
    if (!say(socket, step, far)) break;
    if (!step.pause) continue;
    await nextTurn();
    answers.read(socket);
  }
  const passedOwnEnd = talk.steps.some(({ fds }) => fds.includes('own end'));
  if (!talk.disconnected) socket.close();
  if (talk.disconnected || passedOwnEnd) await guest.disconnect(true);
  await ended;
  if (talk.disconnected) {
    answers.read(socket);
    socket.close();
  }
}

let talks = 0;
/** The fewest descriptors open after any talk so far. */
let fewest = Number.POSITIVE_INFINITY;

async function check(talk: Talk): Promise<void> {
  await run(talk);
  talks += 1;
  for (const deadline = Date.now() + CLOSED_MS; openDescriptors() > fewest && Date.now() < deadline; )
    await pause(1);
  const open = openDescriptors();
  const less = fewest;
  // After a find too, or everything that is tried to make it smaller would be one.
  fewest = open > less ? Number.POSITIVE_INFINITY : open;
  require(open <= less, `${open} descriptors are open, ${less} were before`);
  require(complaints.length === 0, complaints.splice(0).join(''));
  if (talks % CHECK_EVERY === 0) {
    const problem = await store.checkInvariants();
    require(problem === '', problem);
  }
}

// What is opened once and kept is open by then.
await run({ steps: wholeBeginning, disconnected: false, tunedAt: 0 });
process.stderr.write(`front_end: --seed ${options.seed}\n`);
await fc.assert(fc.asyncProperty(anyTalk, check), {
  seed: options.seed,
  ...(options.path !== undefined && { path: options.path }),
  numRuns: Number.MAX_SAFE_INTEGER,
  interruptAfterTimeLimit: options.seconds * 1000,
  markInterruptAsFailure: false,
});
await guest.close();
store.close();
rmSync(folder, { recursive: true });
process.stdout.write(`${talks} talks\n`);
process.exit(0);
