/** The engine's counters by name: the mirror of `addon/engine/counters.h`, compared with it by a test. */

export const operationCounterNames = [
  'putsTotal',
  'putsGoodTotal',
  'putsRefusedCapacityTotal',
  'putsRefusedLimitTotal',
  'putsRefusedCapTotal',
  'putsRefusedFrozenTotal',
  'putsReplacedTotal',
  'putsDroppedTotal',
  'getsTotal',
  'getsFoundTotal',
  'getsMissedTotal',
  'getsCorruptTotal',
  'flushesTotal',
  'flushesFoundTotal',
  'objectFlushesTotal',
  'objectFlushesFoundTotal',
  'evictedTotal',
  'pages',
  'pagesMax',
  'objects',
  'objectsMax',
  'sameFilledPages',
  'sharedPages',
  'compressedPages',
  'rawPages',
  'damagedPages',
] as const;

export const guestGaugeNames = [
  'persistentPages',
  'ephemeralPages',
  'chargedBytes',
  'weight',
  'capPages',
  'persistentReservePages',
  'persistentLimitPages',
  'frozen',
  'pools',
] as const;

export const storeGaugeNames = [
  'capacityBytes',
  'usedBytes',
  'dataBytes',
  'slackBytes',
  'metadataBytes',
  'hugeBytes',
  'reservedBytes',
  'logicalBytes',
  'lz4Pages',
  'rawPages',
  'sameFilledPages',
  'dedupSavedPages',
  'dedupSavedBytes',
  'sameFilledSavedBytes',
  'evictionsTotal',
  'evictionAttemptsTotal',
  'corruptTotal',
] as const;

export type OperationCounters = Record<(typeof operationCounterNames)[number], number>;
export type GuestCounters = OperationCounters & Record<(typeof guestGaugeNames)[number], number>;
export type PoolCounters = OperationCounters & { pool: number; persistent: boolean };
export type StoreCounters = Record<(typeof storeGaugeNames)[number], number>;
