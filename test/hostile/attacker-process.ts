/**
 * An attacker as a process of its own, so that it goes on while a test measures what others notice:
 * `node attacker-process.js KIND SOCKET`. Writes a line when it has begun and ends when it is killed.
 */
import { readdirSync, readlinkSync } from 'node:fs';
import { FrontEnd, Message, message, u32, u64 } from '../mock/front-end.js';
import { Guest } from '../mock/guest.js';
import { mock } from '../mock/mock.js';

const [kind, socket = ''] = process.argv.slice(2);

/** Its open sockets, by their numbers. */
function openSockets(): number[] {
  return readdirSync('/proc/self/fd')
    .filter((fd) => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`).startsWith('socket:');
      } catch {
        return false; // the one the list was read from
      }
    })
    .map(Number);
}

/** A front end, and the number of its own end of the connection. */
function connectKnowingly(): { front: FrontEnd; ownEnd: number } {
  const before = openSockets();
  const front = new FrontEnd(socket);
  const ownEnd = openSockets().find((fd) => !before.includes(fd));
  if (ownEnd === undefined) throw new Error('no new socket');
  return { front, ownEnd };
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** Does it over and over, whatever comes of it. */
function forEver(once: () => void): never {
  say('begun');
  for (;;) {
    try {
      once();
    } catch {
      // Refused, cut off, or the backlog is full.
    }
  }
}

const kinds: Record<string, () => void> = {
  /** Takes the device with its own end of the connection as channel, which keeps that open when it is gone. */
  'own-end': () => {
    const { front, ownEnd } = connectKnowingly();
    front.negotiate({ eventIdx: true });
    front.set(Message.SET_BACKEND_REQ_FD, Buffer.alloc(0), [ownEnd]);
    const memory = mock.memfd(1 << 20);
    front.setMemoryTable([{ guestPhysical: 0n, userspace: 0n, offset: 0n, size: 1n << 20n }], memory);
    say('begun');
    setInterval(() => {}, 1000);
  },
  resets: () => {
    const guest = new Guest(socket, { queues: 1 });
    forEver(() => guest.reset());
  },
  connections: () => forEver(() => new FrontEnd(socket).close()),
  'bad messages': () =>
    forEver(() => {
      const front = new FrontEnd(socket);
      front.raw(message(99));
      front.untilClosed(1000);
      front.close();
    }),
  'good messages without a pause': () => {
    const front = new FrontEnd(socket);
    front.negotiate({ eventIdx: true });
    const many = Buffer.concat(
      Array.from({ length: 1000 }, () => message(Message.SET_VRING_NUM, u32(0, 64))),
    );
    forEver(() => front.raw(many));
  },
  refusals: () => {
    const front = new FrontEnd(socket);
    front.negotiate({ eventIdx: true });
    front.set(Message.SET_VRING_NUM, u32(0, 64));
    front.set(Message.SET_VRING_ADDR, Buffer.concat([u32(0, 0), u64(0, 0, 0, 0)]));
    forEver(() => front.set(Message.SET_VRING_KICK, u64(0x100)));
  },
};

kinds[kind ?? '']?.();
