/**
 * Limit and target are set in every state a guest's device can be in. QEMU's generic device ends the whole VM when it
 * is told of a changed config space while its driver is not up; so each time QEMU has to answer, and go on.
 */
import path from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { makeArtefacts } from '../../kernel-shim/lab/artefacts.js';
import { complaintsIn } from '../../kernel-shim/lab/kernel-log.js';
import { Service } from '../mock/service.js';
import { until } from './driven-guest.js';
import { CLEAN_UP_MS, prepareMachine } from './lab-machine.js';
import { qmp } from './qmp.js';

test('a guest outlives every change of limit and target: booting, without driver, running, stopped, unbound', {
  timeout: 600_000,
}, async () => {
  const machine = await prepareMachine(await makeArtefacts('5.10', new AbortController().signal), 2, 128);
  onTestFinished(machine.remove, CLEAN_UP_MS);
  const service = await Service.start({ guests: { guest: {} } });
  onTestFinished(async () => void (await service.stop()), CLEAN_UP_MS);
  const qmpPath = path.join(machine.folder, 'qmp.sock');
  const states: string[] = [];
  const heard: string[] = [];

  /** Each change would be announced by itself; the last one to `targetPages`. */
  const change = async (state: string, targetPages: number) => {
    states.push(state);
    await service.admin.tune('guest', { limitPages: 5000 + targetPages });
    await service.admin.tune('guest', { limitPages: 0 });
    await service.admin.tune('guest', { targetPages });
    // What QEMU was sent it reads in one round of its loop: before it answers the second.
    for (let times = 0; times < 3; times += 1)
      expect(await qmp(qmpPath, 'query-status'), state).toMatchObject({ status: expect.any(String) });
  };
  // It answers once its devices are made, and so connected.
  const answers = () =>
    qmp(qmpPath, 'query-status').then(
      () => true,
      () => false,
    );
  const booting = (async () => {
    await until('QEMU has connected', answers);
    await change('booting', 1000);
  })();
  booting.catch(machine.cutOff);

  const run = machine.run({
    mode: 'states',
    devicePath: service.socket('guest'),
    qmpPath,
    timeoutSeconds: 400,
    async onLine(line) {
      const [word, what = ''] = line.split(' ');
      if (word === 'heard') heard.push(what);
      if (word !== 'held') return;
      await booting;
      if (what === 'bound') {
        await qmp(qmpPath, 'stop');
        await change('stopped', 1002);
        await qmp(qmpPath, 'cont');
        await change('running', 1001);
      } else {
        await change(what, what === 'unbound' ? 1003 : 1000);
      }
    },
  });
  await Promise.all([run, booting]);
  expect(states).toEqual(['booting', 'absent', 'stopped', 'running', 'unbound']);
  expect(heard).toEqual(['1001', '1003']);
  expect(complaintsIn(machine.console())).toEqual([]);
  expect(service.log.map(({ msg }) => msg)).not.toContain('front end cannot be told of a config change');
});
