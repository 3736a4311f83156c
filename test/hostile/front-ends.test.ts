/** Front ends that break the vhost-user protocol: each loses its own connection at most. */
import { openSync, writeSync } from 'node:fs';
import { devNull } from 'node:os';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { FrontEnd, Message, message, NEED_REPLY, regionBytes, u32, u64, VERSION } from '../mock/front-end.js';
import { Guest } from '../mock/guest.js';
import { type MemoryLayout, mock, wire } from '../mock/mock.js';
import { OwnPage, Scene } from './scene.js';

let scene: Scene;
beforeAll(async () => {
  scene = await Scene.open();
});
afterEach(() => scene.expectUnharmed());
afterAll(() => scene.close());

const MIB = 1n << 20n;
const MEMFD_BYTES = 4n * MIB;

/** Descriptors made for one attack and closed here after it. */
class Fds {
  readonly #open: number[] = [];
  #keep(fd: number): number {
    this.#open.push(fd);
    return fd;
  }
  memfd = () => this.#keep(mock.memfd(Number(MEMFD_BYTES)));
  event = () => this.#keep(mock.eventFd());
  file = (path: string, flags: string) => this.#keep(openSync(path, flags));
  socket = () => {
    const [near, far] = mock.socketPair();
    this.#keep(far);
    return this.#keep(near);
  };
  many = (count: number) => Array.from({ length: count }, this.event);
  close(): void {
    for (const fd of this.#open.splice(0)) mock.closeFd(fd);
  }
}

interface Attack {
  front: FrontEnd;
  fds: Fds;
}

/** Runs an attack on a fresh connection, negotiated unless it says otherwise. */
function attack(run: (attack: Attack) => void, options: { negotiate: boolean } = { negotiate: true }): void {
  const front = new FrontEnd(scene.attackerSocket);
  const fds = new Fds();
  try {
    if (options.negotiate) front.negotiate({ eventIdx: true });
    run({ front, fds });
  } finally {
    front.close();
    fds.close();
  }
}

/** The service must hang up, having answered nothing but refusals. */
function expectHungUp(front: FrontEnd): void {
  const said = front.untilClosed();
  expect(said, 'the service hung up').toBeDefined();
}

const region = (more: Partial<MemoryLayout> = {}): MemoryLayout => ({
  guestPhysical: 0n,
  userspace: 0x7f00_0000_0000n,
  offset: 0n,
  size: MIB,
  ...more,
});

function memoryTable(regions: MemoryLayout[], count = regions.length): Buffer {
  return message(Message.SET_MEM_TABLE, Buffer.concat([u32(count, 0), ...regions.map(regionBytes)]));
}

/** A table QEMU might send, and ring 1 described in it. */
function describeRing(
  { front, fds }: Attack,
  addresses: [bigint, bigint, bigint] = [0n, 0x2000n, 0x1000n],
): void {
  front.setMemoryTable([region()], fds.memfd());
  front.set(Message.SET_VRING_NUM, u32(1, 128));
  const [descriptors, used, available] = addresses.map((at) => region().userspace + at);
  const rings = u64(descriptors ?? 0, used ?? 0, available ?? 0, 0);
  front.set(Message.SET_VRING_ADDR, Buffer.concat([u32(1, 0), rings]));
}

const top = 2n ** 64n;
type Run = (attack: Attack) => void;

/** What is no protocol at all: the connection ends. */
const endings: Record<string, Run> = {
  'message 0': ({ front }) => front.raw(message(0)),
  'a message that was never offered (SET_LOG_BASE)': ({ front, fds }) =>
    front.raw(message(Message.SET_LOG_BASE, u64(top - 1n, top - 1n)), [fds.memfd()]),
  'a message that was never offered (GET_INFLIGHT_FD)': ({ front }) =>
    front.raw(message(Message.GET_INFLIGHT_FD, Buffer.alloc(20))),
  'a message number past every known one': ({ front }) => front.raw(message(0xffffffff)),
  'a header of another version': ({ front }) => front.raw(message(Message.GET_FEATURES, undefined, 2)),
  'a header that says it is a reply': ({ front }) =>
    front.raw(message(Message.GET_FEATURES, undefined, VERSION | 4)),
  'a payload of 4 GiB': ({ front }) => front.raw(u32(Message.SET_FEATURES, VERSION, 0xffffffff)),
  'a payload that is a byte too long': ({ front }) =>
    front.raw(message(Message.SET_FEATURES, Buffer.alloc(9))),
  'a payload that is a byte too short': ({ front }) =>
    front.raw(message(Message.SET_FEATURES, Buffer.alloc(7))),
  'a descriptor where none belongs': ({ front, fds }) =>
    front.raw(message(Message.GET_FEATURES), [fds.event()]),
  '32 descriptors': ({ front, fds }) => front.raw(message(Message.GET_FEATURES), fds.many(32)),
  '253 descriptors': ({ front, fds }) => front.raw(memoryTable([region()]), fds.many(253)),
  'descriptors with every byte of a message': ({ front, fds }) => {
    for (const byte of memoryTable([region(), region({ guestPhysical: 2n * MIB, userspace: 2n * MIB })]))
      if (!front.raw(Buffer.from([byte]), [fds.event()])) break;
  },
  'features that were not offered': ({ front }) => front.raw(message(Message.SET_FEATURES, u64(top - 1n))),
  'protocol features that were not offered': ({ front }) =>
    front.raw(message(Message.SET_PROTOCOL_FEATURES, u64(top - 1n))),
  'SET_OWNER twice': ({ front }) => front.raw(message(Message.SET_OWNER)),
  'a ring of no entries': ({ front }) => front.raw(message(Message.SET_VRING_NUM, u32(1, 0))),
  'a ring of 3 entries': ({ front }) => front.raw(message(Message.SET_VRING_NUM, u32(1, 3))),
  'a ring of 65536 entries': ({ front }) => front.raw(message(Message.SET_VRING_NUM, u32(1, 65536))),
  'a ring size that is legal once cut to 16 bits': ({ front }) =>
    front.raw(message(Message.SET_VRING_NUM, u32(1, 0x10100))),
  'a ring that there is not': ({ front }) => front.raw(message(Message.SET_VRING_NUM, u32(3, 128))),
  'a ring index that is legal once cut to 16 bits': ({ front }) =>
    front.raw(message(Message.SET_VRING_NUM, u32(0x10001, 128))),
  'a ring index that is legal once cut to 8 bits': ({ front }) =>
    front.raw(message(Message.SET_VRING_ENABLE, u32(0x101, 1))),
  'a negative ring index': ({ front }) => front.raw(message(Message.GET_VRING_BASE, u32(0xffffffff, 0))),
  'a base past 16 bits': ({ front }) => front.raw(message(Message.SET_VRING_BASE, u32(1, 0x10000))),
  'enabling by 2': ({ front }) => front.raw(message(Message.SET_VRING_ENABLE, u32(1, 2))),
  'a kick for a ring nobody described': ({ front, fds }) =>
    front.raw(message(Message.SET_VRING_KICK, u64(1)), [fds.event()]),
  'a kick without the descriptor it announces': (a) => {
    describeRing(a);
    a.front.raw(message(Message.SET_VRING_KICK, u64(1)));
  },
  'a kick with a descriptor it says is not there': (a) => {
    describeRing(a);
    a.front.raw(message(Message.SET_VRING_KICK, u64(0x101)), [a.fds.event()]);
  },
  'a kick with reserved bits': (a) => {
    describeRing(a);
    a.front.raw(message(Message.SET_VRING_KICK, u64(0x201)), [a.fds.event()]);
  },
  'ring addresses that ask for a dirty log': ({ front }) =>
    front.raw(message(Message.SET_VRING_ADDR, Buffer.concat([u32(1, 1), u64(0, 0, 0, 0)]))),
  'the size of a ring that runs': (a) => {
    describeRing(a);
    a.front.set(Message.SET_VRING_KICK, u64(1), [a.fds.event()]);
    a.front.raw(message(Message.SET_VRING_NUM, u32(1, 256)));
  },
  'the addresses of a ring that runs': (a) => {
    describeRing(a);
    a.front.set(Message.SET_VRING_KICK, u64(1), [a.fds.event()]);
    a.front.raw(message(Message.SET_VRING_ADDR, Buffer.concat([u32(1, 0), u64(0, 0, 0, 0)])));
  },
  'a table with more descriptors than regions': ({ front, fds }) =>
    front.raw(memoryTable([region()]), [fds.memfd(), fds.memfd()]),
  'a table with fewer descriptors than regions': ({ front, fds }) =>
    front.raw(memoryTable([region(), region({ guestPhysical: MIB, userspace: MIB })]), [fds.memfd()]),
  'a table without descriptors': ({ front }) => front.raw(memoryTable([region()])),
  'a table that counts more regions than it carries': ({ front, fds }) =>
    front.raw(memoryTable([region()], 2), [fds.memfd(), fds.memfd()]),
  'a table that counts 2^32 - 1 regions': ({ front, fds }) =>
    front.raw(memoryTable([region()], 0xffffffff), [fds.memfd()]),
  'a table of 9 regions': ({ front, fds }) =>
    front.raw(
      memoryTable(
        Array.from({ length: 9 }, (_, i) =>
          region({ guestPhysical: BigInt(i) * MIB, userspace: BigInt(i) * MIB }),
        ),
      ),
      Array.from({ length: 9 }, fds.memfd),
    ),
  'config space past its end': ({ front }) =>
    front.raw(message(Message.GET_CONFIG, Buffer.concat([u32(250, 64, 0), Buffer.alloc(64)]))),
  'config space at offset 2^32 - 1': ({ front }) =>
    front.raw(message(Message.GET_CONFIG, Buffer.concat([u32(0xffffffff, 64, 0), Buffer.alloc(64)]))),
  'config space of another size than announced': ({ front }) =>
    front.raw(message(Message.GET_CONFIG, Buffer.concat([u32(0, 128, 0), Buffer.alloc(64)]))),
  'a channel to the front end that is not there': ({ front }) =>
    front.raw(message(Message.SET_BACKEND_REQ_FD)),
};

/** What is well-formed and impossible: refused where an acknowledgement was asked for. */
const table = (regions: MemoryLayout[]) => (a: Attack) => a.front.setMemoryTable(regions, a.fds.memfd());
const tableOf = (fd: (fds: Fds) => number) => (a: Attack) => a.front.setMemoryTable([region()], fd(a.fds));
const startAt =
  (...addresses: [bigint, bigint, bigint]) =>
  (a: Attack) => {
    describeRing(a, addresses);
    a.front.set(Message.SET_VRING_KICK, u64(1), [a.fds.event()]);
  };

const refusals: Record<string, Run> = {
  'a region of no bytes': table([region({ size: 0n })]),
  'a region whose guest addresses wrap': table([region({ guestPhysical: top - MIB + 4096n })]),
  'a region whose userspace addresses wrap': table([region({ userspace: top - MIB + 4096n })]),
  'a region whose offset and size wrap': table([region({ offset: top - 4096n })]),
  'a region of almost 2^64 bytes': table([region({ size: top - 4096n })]),
  'a region past the end of its file': table([region({ offset: MEMFD_BYTES - 4096n })]),
  'regions that overlap in the guest': table([
    region(),
    region({ guestPhysical: MIB - 4096n, userspace: 64n * MIB }),
  ]),
  'regions that overlap in the front end': table([
    region(),
    region({ guestPhysical: 64n * MIB, userspace: region().userspace + MIB - 4096n }),
  ]),
  'the same region twice': table([region(), region()]),
  'memory that is an eventfd': tableOf((fds) => fds.event()),
  'memory that is a socket': tableOf((fds) => fds.socket()),
  'memory that is a folder': tableOf((fds) => fds.file('/', 'r')),
  'memory that is /dev/null': tableOf((fds) => fds.file(devNull, 'r+')),
  'memory that may only be read': tableOf((fds) => fds.file('/proc/self/exe', 'r')),
  'a descriptor table outside memory': startAt(MIB, 0x2000n, 0x1000n),
  'a descriptor table that ends behind memory': startAt(MIB - 16n, 0x2000n, 0x1000n),
  'a used ring that ends behind memory': startAt(0n, MIB - 8n, 0x1000n),
  'an available ring below memory': startAt(0n, 0x2000n, -0x1000n),
  'a misaligned descriptor table': startAt(8n, 0x2000n, 0x1000n),
  'a misaligned used ring': startAt(0n, 0x2002n, 0x1000n),
  'a misaligned available ring': startAt(0n, 0x2000n, 0x1001n),
  'a kick that cannot be waited for': (a) => {
    describeRing(a);
    a.front.set(Message.SET_VRING_KICK, u64(1), [a.fds.file('/proc/self/exe', 'r')]);
  },
  'a kick that is a socket': (a) => {
    describeRing(a);
    a.front.set(Message.SET_VRING_KICK, u64(1), [a.fds.socket()]);
  },
  'a call that is a socket': ({ front, fds }) => front.set(Message.SET_VRING_CALL, u64(1), [fds.socket()]),
  'a call that is a file': ({ front, fds }) => front.set(Message.SET_VRING_CALL, u64(1), [fds.memfd()]),
  'an error descriptor that is a socket': ({ front, fds }) =>
    front.set(Message.SET_VRING_ERR, u64(1), [fds.socket()]),
  'a channel to the front end that is no socket': ({ front, fds }) =>
    front.set(Message.SET_BACKEND_REQ_FD, Buffer.alloc(0), [fds.memfd()]),
  'a ring started without memory': ({ front, fds }) => {
    front.set(Message.SET_VRING_NUM, u32(1, 128));
    front.set(Message.SET_VRING_ADDR, Buffer.concat([u32(1, 0), u64(0, 0, 0, 0)]));
    front.set(Message.SET_VRING_KICK, u64(1), [fds.event()]);
  },
  'a region that was never added': ({ front, fds }) => {
    front.setMemoryTable([region()], fds.memfd());
    front.set(Message.REM_MEM_REG, Buffer.concat([u64(0), regionBytes(region({ guestPhysical: MIB }))]));
  },
  'a region added over another': ({ front, fds }) => {
    front.setMemoryTable([region()], fds.memfd());
    front.set(Message.ADD_MEM_REG, Buffer.concat([u64(0), regionBytes(region())]), [fds.memfd()]);
  },
};

describe('a front end that sends', () => {
  test.each(Object.entries(endings))('%s loses its connection', (_name, run) => {
    attack((a) => {
      run(a);
      expectHungUp(a.front);
    });
  });

  test.each(Object.entries(refusals))('%s is refused, and can go on', (_name, run) => {
    attack((a) => {
      expect(() => run(a)).toThrow('was refused');
      expect(a.front.ask(Message.GET_QUEUE_NUM).readBigUInt64LE(0)).toBe(3n);
    });
  });

  test.each(Object.entries(refusals))(
    '%s without asking for an answer loses its connection',
    (_name, run) => {
      attack((a) => {
        // The same attack with no acknowledgement asked for.
        a.front.set = (type, payload, fds = []) => {
          a.front.raw(message(type, payload), fds);
        };
        run(a);
        expectHungUp(a.front);
      });
    },
  );

  test('more memory regions than slots is cut off at the last slot', () => {
    attack(({ front, fds }) => {
      const slots = Number(front.ask(Message.GET_MAX_MEM_SLOTS).readBigUInt64LE(0));
      const fd = fds.memfd();
      for (let slot = 0; slot <= slots; slot += 1) {
        const at = BigInt(slot) * 2n * MIB;
        const added = Buffer.concat([u64(0), regionBytes(region({ guestPhysical: at, userspace: at }))]);
        if (slot < slots) front.set(Message.ADD_MEM_REG, added, [fd]);
        else expect(() => front.set(Message.ADD_MEM_REG, added, [fd])).toThrow();
      }
    });
  });

  test.each([Message.SET_FEATURES, Message.SET_MEM_TABLE, Message.SET_VRING_NUM, Message.SET_STATUS])(
    'message %i before SET_OWNER loses its connection',
    (type) => {
      attack(
        ({ front }) => {
          front.raw(message(type, Buffer.alloc(8)));
          expectHungUp(front);
        },
        { negotiate: false },
      );
    },
  );
});

describe('a front end that', () => {
  test('sends a byte at a time is served', () => {
    attack(
      (a) => {
        const { front } = a;
        const whole = front.raw.bind(front);
        front.raw = (bytes, fds = []) =>
          [...bytes].every((byte, at) => whole(Buffer.from([byte]), at === 0 ? fds : []));
        front.negotiate({ eventIdx: true });
        describeRing(a);
        front.set(Message.SET_VRING_KICK, u64(1), [a.fds.event()]);
        expect(front.ask(Message.GET_QUEUE_NUM).readBigUInt64LE(0)).toBe(3n);
      },
      { negotiate: false },
    );
  });

  test('hangs up in the middle of any message is forgotten', () => {
    for (const whole of [memoryTable([region()]), message(Message.SET_VRING_KICK, u64(1))]) {
      for (let cut = 1; cut < whole.length; cut += 3) {
        attack(({ front, fds }) => front.raw(whole.subarray(0, cut), [fds.memfd()]));
      }
    }
  });

  test('never reads an answer is not read from either, and delays only itself', () => {
    attack(({ front }) => {
      const asks = Buffer.concat(Array.from({ length: 1000 }, () => message(Message.GET_FEATURES)));
      const sendForEver = () => {
        for (let round = 0; round < 1000; round += 1) front.raw(asks, [], 500);
      };
      expect(sendForEver).toThrow('timed out');
      scene.bystander.verify();
    });
  });

  test('comes second is refused, and the first goes on', () => {
    const guest = scene.attacker();
    const own = new OwnPage().put(guest);
    for (let round = 0; round < 4; round += 1) {
      const second = new FrontEnd(scene.attackerSocket);
      expect(second.untilClosed()).toEqual(Buffer.alloc(0));
      second.close();
    }
    own.expectIntact(guest);
  });

  test('comes and goes two hundred times leaves nothing behind', () => {
    for (let round = 0; round < 200; round += 1) {
      const front = new FrontEnd(scene.attackerSocket);
      if (round % 2 === 0) front.raw(message(Message.SET_OWNER));
      front.close();
    }
  });

  test('gives a call descriptor that cannot take another count is served', () => {
    const guest = scene.attacker({ eventIdx: false });
    const own = new OwnPage().put(guest);
    const fds = new Fds();
    const full = fds.event();
    guest.frontEnd.set(Message.SET_VRING_CALL, u64(1), [full]);
    writeSync(full, u64(top - 2n));
    guest.memory.write(guest.ring(1).layout().available, Buffer.alloc(2));
    for (let round = 0; round < 50; round += 1) own.expectIntact(guest);
    fds.close();
  });

  test('replaces every descriptor of its rings over and over leaks none', () => {
    const guest = scene.attacker();
    const own = new OwnPage().put(guest);
    const fds = new Fds();
    const other = fds.event();
    for (let round = 0; round < 100; round += 1) {
      const { kickFd, callFd } = guest.ring(1).layout();
      guest.frontEnd.set(Message.SET_VRING_KICK, u64(1), [other]);
      guest.frontEnd.set(Message.SET_VRING_CALL, u64(1), [other]);
      guest.frontEnd.set(Message.SET_VRING_ERR, u64(1), [other]);
      guest.frontEnd.set(Message.SET_VRING_CALL, u64(0x101));
      guest.frontEnd.set(Message.SET_VRING_KICK, u64(1), [kickFd]);
      guest.frontEnd.set(Message.SET_VRING_CALL, u64(1), [callFd]);
      own.expectIntact(guest);
    }
    fds.close();
  });

  test('stops, starts and disables rings in any order is served whenever they run', () => {
    const guest = scene.attacker();
    const own = new OwnPage().put(guest);
    const { frontEnd } = guest;
    for (let round = 0; round < 20; round += 1) {
      frontEnd.set(Message.SET_VRING_ENABLE, u32(1, 0));
      frontEnd.set(Message.SET_VRING_ENABLE, u32(1, 0));
      frontEnd.set(Message.SET_VRING_ENABLE, u32(1, 1));
      own.expectIntact(guest);
      const base = frontEnd.stopRing(1);
      expect(frontEnd.stopRing(1)).toBe(base);
      guest.startRing(1, base);
      own.expectIntact(guest);
    }
  });

  test('sends any message with any size and any number of descriptors is served or cut off', () => {
    const sizes = [0, 8, 40, 300];
    for (let type = 0; type <= 45; type += 1) {
      for (const [round, size] of sizes.entries()) {
        attack(
          ({ front, fds }) => {
            const payload = Buffer.alloc(size, (type * 7 + round) & 0xff);
            front.raw(message(type, payload, VERSION | NEED_REPLY), fds.many((type + round) % 4));
            front.untilClosed(1);
          },
          { negotiate: round % 2 === 1 },
        );
      }
    }
  });

  test('is cut off can come back as the same guest, with nothing of before', () => {
    const guest = scene.attacker();
    const own = new OwnPage().put(guest);
    own.expectIntact(guest);
    guest.frontEnd.raw(message(0));
    expectHungUp(guest.frontEnd);
    const again = new Guest(scene.attackerSocket, { queues: 2 });
    again.reset();
    again.createPool(true);
    expect(again.get(1, OwnPage.key).status).toBe(wire.S_MISS);
    again.close();
  });
});
