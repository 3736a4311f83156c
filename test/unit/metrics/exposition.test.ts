/** What Prometheus is told: names, units, labels, and buckets exactly as counted. */
import { pino } from 'pino';
import { describe, expect, test } from 'vitest';
import { loadConfig } from '../../../src/config/load.js';
import { Guest } from '../../../src/guest/guest.js';
import { Exposition } from '../../../src/metrics/exposition.js';
import type { DeviceOptions, NativeAddon, NativeStore } from '../../../src/native/addon.js';
import { FakeConnection, FdLedger } from '../fakes/front-end.js';
import { FakeDevice, FakeStore, zeroOperations } from '../fakes/native.js';

async function rig() {
  const store = new FakeStore();
  const devices: FakeDevice[] = [];
  const native = {
    closeFd: () => {},
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
  const exposition = new Exposition(store, new Map([['web', guest]]));
  const connection = new FakeConnection();
  const served = guest.serve({ connection });
  const [device] = devices;
  if (!device) throw new Error('no device');
  return {
    store,
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
