/**
 * Descriptors that a front end passes to do harm with: what takes long to be closed, whatever it is passed as, keeps
 * nobody else waiting; and a front end's own end of its connection does not keep its guest's place when it is gone.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { FrontEnd, Message, message, regionBytes, u32, u64 } from '../mock/front-end.js';
import type { Guest } from '../mock/guest.js';
import { mock } from '../mock/mock.js';
import { startAttacker, Witness } from './attacker.js';
import { Scene } from './scene.js';

let scene: Scene;
beforeAll(async () => {
  scene = await Scene.open();
});
afterEach(() => scene.expectUnharmed());
afterAll(() => scene.close());

/** Far longer than an answer takes on a busy machine, and not long for a test. */
const LINGER_S = 6;
const ANSWERED_MS = 2000;

const region = { guestPhysical: 0n, userspace: 0n, offset: 0n, size: 4096n };
const oneRegion = Buffer.concat([u32(1, 0), regionBytes(region)]);

/** Sends with a socket of which the service holds the last descriptor. */
type Pass = (front: FrontEnd, fd: number) => void;
const passedAs: Record<string, Pass> = {
  memory: (front, fd) => front.raw(message(Message.SET_MEM_TABLE, oneRegion), [fd]),
  'more memory': (front, fd) =>
    front.raw(message(Message.ADD_MEM_REG, Buffer.concat([u64(0), regionBytes(region)])), [fd]),
  'a call': (front, fd) => front.raw(message(Message.SET_VRING_CALL, u64(0)), [fd]),
  'an error descriptor': (front, fd) => front.raw(message(Message.SET_VRING_ERR, u64(0)), [fd]),
  'a channel': (front, fd) => front.raw(message(Message.SET_BACKEND_REQ_FD), [fd]),
  'a descriptor that no message has': (front, fd) => front.raw(message(Message.GET_FEATURES), [fd]),
  'the last of very many': (front, fd) => {
    const events = Array.from({ length: 40 }, () => mock.eventFd());
    front.raw(message(Message.SET_MEM_TABLE, oneRegion), [...events, fd]);
    for (const event of events) mock.closeFd(event);
  },
  'one of a message cut short': (front, fd) =>
    front.raw(message(Message.SET_MEM_TABLE, oneRegion).subarray(0, 20), [fd]),
  'one that nobody reads any more': (front, fd) => {
    front.raw(message(0));
    front.raw(message(Message.SET_VRING_CALL, u64(0)), [fd]);
  },
  'one in the queue of a channel': (front, fd) => {
    const [near, far] = mock.socketPair();
    const channel = new FrontEnd(far);
    channel.raw(Buffer.alloc(1), [fd]);
    front.raw(message(Message.SET_BACKEND_REQ_FD), [near]);
    mock.closeFd(near);
    channel.close();
  },
};

describe('a descriptor that takes seconds to be closed, passed as', () => {
  test.each(Object.entries(passedAs))('%s, keeps no other guest waiting', async (_, pass) => {
    const witness = new Witness(scene.service.socket('disk'));
    const front = new FrontEnd(scene.attackerSocket);
    front.negotiate({ eventIdx: true });
    const { fd, listener } = mock.lingeringSocket(LINGER_S);
    pass(front, fd);
    mock.closeFd(fd);
    const times = await witness.watch(300);
    front.close();
    times.push(...(await witness.watch(300)));
    expect(Math.max(...times)).toBeLessThan(ANSWERED_MS);
    await scene.service.admin.guests();
    witness.close();
    // What lingers is let go at once.
    mock.closeFd(listener);
  });
});

describe("a front end's own end of its connection", () => {
  test('passed as its channel does not keep the place of one that is gone', async () => {
    const attacker = await startAttacker('own-end', scene.attackerSocket);
    expect(await scene.service.admin.guest('attacker')).toMatchObject({ state: 'connected' });
    await attacker.kill();
    await expect.poll(async () => (await scene.service.admin.guest('attacker')).state).toBe('absent');
    scene.attacker().close();
  });

  test('passed as its channel is closed by the administrator, and its place is free', async () => {
    const attacker = await startAttacker('own-end', scene.attackerSocket);
    expect(await scene.service.ctl('guest', 'disconnect', 'attacker')).toMatchObject({ status: 0 });
    const next: Guest = scene.attacker();
    next.close();
    await attacker.kill();
  });
});

test('descriptors of half a message are closed when the administrator ends the connection', async () => {
  const front = new FrontEnd(scene.attackerSocket);
  front.negotiate({ eventIdx: true });
  const events = Array.from({ length: 8 }, () => mock.eventFd());
  front.raw(message(Message.SET_MEM_TABLE, oneRegion).subarray(0, 12), events);
  for (const event of events) mock.closeFd(event);
  // Answered after the half was read: one thread does both.
  await scene.service.admin.guests();
  expect(await scene.service.ctl('guest', 'disconnect', 'attacker')).toMatchObject({ status: 0 });
  front.close();
});
