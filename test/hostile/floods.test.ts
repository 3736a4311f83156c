/** What is done over and over as fast as it goes: others are answered, and others' log lines are there. */
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { quantile, startAttacker, Witness } from './attacker.js';
import { Scene } from './scene.js';

let scene: Scene;
beforeAll(async () => {
  scene = await Scene.open();
});
afterEach(() => scene.expectUnharmed());
afterAll(() => scene.close());

const ATTACK_MS = 2000;
const ANSWERED_MS = 50;
/** Whatever its kind, a few lines and a count in ten seconds each. */
const MOST_LINES = 60;

test.each(['resets', 'connections', 'bad messages', 'good messages without a pause', 'refusals'])(
  'a flood of %s keeps no other guest waiting and does not fill the log',
  async (kind) => {
    const witness = new Witness(scene.service.socket('disk'));
    const alone = await witness.watch(ATTACK_MS / 4);
    const linesBefore = scene.service.log.length;
    const attackers = [await startAttacker(kind, scene.attackerSocket)];
    // Only one may have the device.
    if (kind !== 'resets') attackers.push(await startAttacker(kind, scene.attackerSocket));
    const times = await witness.watch(ATTACK_MS);
    // On a machine that is busy anyway an answer takes what it takes.
    const busyMs = 4 * quantile(alone, 0.95);
    expect(quantile(times, 0.95)).toBeLessThan(Math.max(ANSWERED_MS, busyMs));
    expect((await scene.service.ctl('guest', 'set', 'bystander', 'weight=101')).status).toBe(0);
    for (const attacker of attackers) await attacker.kill();
    witness.close();
    const lines = scene.service.log.slice(linesBefore);
    expect(lines.filter(({ guest }) => guest === 'attacker').length).toBeLessThan(MOST_LINES);
    expect(
      lines.filter(({ guest, msg }) => guest === 'bystander' && msg === 'settings changed'),
    ).toHaveLength(1);
  },
);

test('a refusal that is answered is logged with its cure, and counted', async () => {
  const before = (await scene.service.admin.guest('attacker')).requestsRefused.ring;
  const attacker = await startAttacker('refusals', scene.attackerSocket);
  await expect
    .poll(async () => (await scene.service.admin.guest('attacker')).requestsRefused.ring)
    .toBeGreaterThan(before);
  await attacker.kill();
  const line = scene.service.log.find(({ msg }) => msg === 'request of the front end refused');
  expect(line).toMatchObject({
    guest: 'attacker',
    request: 'SET_VRING_KICK',
    error: expect.stringContaining("none of the guest's memory"),
    cure: expect.stringContaining('share=on'),
  });
});
