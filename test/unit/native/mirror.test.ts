/** What TypeScript and C++ each write down is the same: counter names here, the config space in its own test. */
import { expect, test } from 'vitest';
import { native } from '../../../src/native/addon.js';
import { guestGaugeNames, operationCounterNames, storeGaugeNames } from '../../../src/native/counters.js';

test('the engine’s counters carry the names and the order that TypeScript knows', () => {
  const store = new native.Store({ capacityBytes: 64 << 20 });
  try {
    const guest = store.addGuest({ name: 'mirror' });
    expect(Object.keys(store.counters())).toEqual([...storeGaugeNames]);
    expect(Object.keys(store.guestCounters(guest))).toEqual([...operationCounterNames, ...guestGaugeNames]);
  } finally {
    store.close();
  }
});
