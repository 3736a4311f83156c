/** What Prometheus is told: names, units, labels, and buckets exactly as counted. */
import { pino } from 'pino';
import { describe, expect, test } from 'vitest';
import { loadConfig } from '../../../src/config/load.js';
import { Guest } from '../../../src/guest/guest.js';
import { Exposition } from '../../../src/metrics/exposition.js';
import { SoundSamples } from '../../../src/metrics/sound-samples.js';
import type { DeviceOptions, NativeAddon, NativeStore } from '../../../src/native/addon.js';
import { FakeConnection, FdLedger, message, u32, u64 } from '../fakes/front-end.js';
import { FakeDevice, FakeStore, zeroOperations } from '../fakes/native.js';

async function rig() {
  const store = new FakeStore();
  const devices: FakeDevice[] = [];
  const native = {
    closeFds: async () => {},
    Device: class extends FakeDevice {
      constructor(_store: NativeStore, _guest: number, options: DeviceOptions) {
        super(new FdLedger(), options.onEvent);
        devices.push(this);
      }
    },
  } as unknown as NativeAddon;
  const [config] = loadConfig({ socketPath: ['/s/web.sock'] }, '/s').guests;
  if (!config) throw new Error('no guest');
  const guest = new Guest(config, native, store, pino({ level: 'silent' }));
  const said: Record<string, unknown>[] = [];
  const log = pino({ base: null }, { write: (line: string) => said.push(JSON.parse(line)) });
  const exposition = new Exposition(store, new Map([['web', guest]]), log);
  const connection = new FakeConnection();
  const served = guest.serve({ connection });
  // A page of memory takes the device.
  connection.send(message(3));
  connection.send(message(5, Buffer.concat([u32(1, 0), u64(0, 4096, 0, 0)])), [0]);
  await connection.idle();
  const [device] = devices;
  if (!device) throw new Error('no device');
  return {
    store,
    said,
    guest,
    device,
    connection,
    served,
    lines: async () => (await exposition.text()).split('\n'),
  };
}

describe('the exposition', () => {
  test('reads the store and the guests anew for each scrape', async () => {
    const { store, lines } = await rig();
    store.totals.metadataBytes = 11;
    Object.assign(store.guest(0).counters, {
      putsGoodTotal: 5,
      putsRefusedLimitTotal: 2,
      persistentLimitPages: 3,
    });
    store.guest(0).pools = [{ ...zeroOperations(), pool: 4, persistent: false, pages: 9 }];
    expect(await lines()).toEqual(
      expect.arrayContaining([
        'tmemd_store_used_bytes{type="metadata"} 11',
        'tmemd_guest_puts_total{guest="web",result="good"} 5',
        'tmemd_guest_puts_total{guest="web",result="refused_limit"} 2',
        'tmemd_guest_limit_bytes{guest="web"} 12288',
        'tmemd_pool_pages{guest="web",pool="4",type="ephemeral"} 9',
      ]),
    );
    store.guest(0).counters.putsGoodTotal = 6;
    expect(await lines()).toContain('tmemd_guest_puts_total{guest="web",result="good"} 6');
  });

  test('gives latencies as cumulative buckets in seconds, exactly as counted', async () => {
    const { device, lines } = await rig();
    device.totals.latency = [{ op: 'get', counts: [3, 2, 1], sumNs: 2_500_000_000 }];
    const name = 'tmemd_device_request_duration_seconds';
    expect((await lines()).filter((line) => line.includes(name))).toEqual([
      `# HELP ${name} Time from taking a request off its ring to its answer.`,
      `# TYPE ${name} histogram`,
      `${name}_bucket{guest="web",op="get",le="0.000001"} 3`,
      `${name}_bucket{guest="web",op="get",le="0.00001"} 5`,
      `${name}_bucket{guest="web",op="get",le="+Inf"} 6`,
      `${name}_sum{guest="web",op="get"} 2.5`,
      `${name}_count{guest="web",op="get"} 6`,
    ]);
  });

  test('does not go back when a session ends', async () => {
    const { device, connection, served, lines } = await rig();
    Object.assign(device.totals, {
      requestsTotal: 10,
      badRequestsTotal: 3,
      brokenChainsTotal: 1,
      kicksTotal: 4,
    });
    const counts = async () => (await lines()).filter((line) => /^tmemd_device_(requests|kicks)/.test(line));
    const during = await counts();
    expect(during).toEqual([
      'tmemd_device_requests_total{guest="web",result="answered"} 6',
      'tmemd_device_requests_total{guest="web",result="bad_request"} 3',
      'tmemd_device_requests_total{guest="web",result="broken_chain"} 1',
      'tmemd_device_kicks_total{guest="web"} 4',
    ]);
    connection.end();
    await served;
    expect(await counts()).toEqual(during);
  });

  const bad: [what: string, value: unknown][] = [
    ['NaN', Number.NaN],
    ['undefined', undefined],
    ['null', null],
    ['a negative number', -1],
    ['infinity', Number.POSITIVE_INFINITY],
    ['a 64-bit counter that went below zero', Number(2n ** 64n - 1n)],
    ['a bigint', 5n],
    ['a text', '5'],
  ];
  test.each(bad)('leaves %s out, says so once, and shows the next sound value', async (_, value) => {
    const { store, device, said, lines } = await rig();
    const put = (into: object, key: string, what: unknown) => Object.assign(into, { [key]: what });
    put(store.guest(0).counters, 'putsGoodTotal', value);
    put(store.totals, 'slackBytes', value);
    put(device.totals, 'kicksTotal', value);
    device.totals.latency = [
      { op: 'get', counts: [1, value as number, 1], sumNs: 1 },
      { op: 'put', counts: [1, 2, 3], sumNs: 5 },
    ];
    for (let scrape = 0; scrape < 3; scrape += 1) {
      const all = await lines();
      const shown = (part: string) => all.filter((line) => !line.startsWith('#') && line.includes(part));
      expect(all.filter((line) => /nan|undefined|null|inf$/i.test(line))).toEqual([]);
      expect(shown('result="good"')).toEqual([]);
      expect(shown('result="refused_cap"')).toHaveLength(1);
      expect(shown('type="slack"')).toEqual([]);
      expect(shown('tmemd_device_kicks_total')).toEqual([]);
      expect(shown('op="get"')).toEqual([]);
      expect(shown('op="put"')).toHaveLength(5);
      expect(Number(shown('tmemd_metrics_bad_values_total')[0]?.split(' ')[1])).toBeGreaterThanOrEqual(
        4 * (scrape + 1),
      );
    }
    expect(said.map(({ metric }) => metric).sort()).toEqual([
      'tmemd_device_kicks_total',
      'tmemd_device_request_duration_seconds',
      'tmemd_guest_puts_total',
      'tmemd_store_used_bytes',
    ]);
    put(store.guest(0).counters, 'putsGoodTotal', 7);
    expect(await lines()).toContain('tmemd_guest_puts_total{guest="web",result="good"} 7');
  });

  test("does not keep a bad value of one session in the guest's totals", async () => {
    const { device, connection, served, lines } = await rig();
    device.totals.kicksTotal = Number.NaN;
    device.totals.interruptsTotal = 3;
    connection.end();
    await served;
    expect((await lines()).filter((line) => /^tmemd_device_(kicks|interrupts)/.test(line))).toEqual([
      'tmemd_device_kicks_total{guest="web"} 0',
      'tmemd_device_interrupts_total{guest="web"} 3',
    ]);
  });

  test('leaves out a series whose label is not there', async () => {
    const said: { metric: string }[] = [];
    const sound = new SoundSamples((metric) => said.push({ metric }));
    const labels = { guest: undefined } as unknown as { guest: string };
    expect(
      sound.of('m', [
        { labels, value: 1 },
        { labels: { guest: 'web' }, value: 2 },
      ]),
    ).toEqual([{ labels: { guest: 'web' }, value: 2 }]);
    expect([sound.badTotal, said]).toEqual([1, [{ metric: 'm' }]]);
  });

  test('keeps to the agreed labels, and to _total for counters and nothing else', async () => {
    const { store, lines } = await rig();
    store.guest(0).pools = [{ ...zeroOperations(), pool: 0, persistent: true }];
    const all = await lines();
    const types = new Map(
      all
        .filter((line) => line.startsWith('# TYPE'))
        .map((line) => line.split(' ').slice(2) as [string, string]),
    );
    for (const [name, type] of types)
      expect([name, name.endsWith('_total')]).toEqual([name, type === 'counter']);
    const labels = all
      .filter((line) => !line.startsWith('#'))
      .flatMap((line) => line.match(/\w+(?==")/g) ?? []);
    expect([...new Set(labels)].sort()).toEqual(['guest', 'le', 'op', 'pool', 'result', 'type']);
  });
});
