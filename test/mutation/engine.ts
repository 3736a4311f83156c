/** The page store: who owns a block, what it is accounted to, whose session it is, what a recovery believes. */
import { inFile, type Mutation } from './mutation.js';

const INTERLEAVE = 'interleave --refusals --seed 1 --schedules 20000';

const schedules = [INTERLEAVE];
const contract = ['store_contract_test'];
const bin = ['bin_test'];
const dedup = ['store_dedup_test'];
const spans = ['span_table_test', 'store_contract_test'];
const steps = ['store_step_test'];
const damage = ['store_damage_test'];

export const engine: readonly Mutation[] = [
  ...inFile('addon/engine/guest.cc', contract, [
    {
      check: 'the persistent limit of a guest holds',
      from: 'if (persistent && limit && persistentAfter > limit) return',
      to: 'if (persistent && limit && persistentAfter > limit + 1) return',
    },
    {
      check: 'the reserve of a guest comes before its limits',
      from: 'if (persistent && persistentAfter <= reservePages) return Refusal::kNone;',
      to: '',
    },
  ]),
  ...inFile('addon/engine/store_put.cc', contract, [
    {
      check: 'a refused put leaves the key empty',
      from: '    clearSlot(guest, pool, place);\n    bump(pool.counters.putsDroppedTotal);',
      to: '    bump(pool.counters.putsDroppedTotal);',
    },
  ]),
  ...inFile('addon/engine/store_session.cc', contract, [
    {
      check: 'the pools of a session that ended do not come back at a recovery',
      from: 'changeSettings(*guest, true);',
      to: 'changeSettings(*guest, false);',
      tests: steps,
    },
    {
      check: 'a pool that is destroyed does not come back at a recovery',
      from: 'static_cast<uint32_t>(index), poolId, PoolState::kDestroyed);',
      to: 'static_cast<uint32_t>(index), poolId, guest->pools[index]->persistent ? PoolState::kPersistent : PoolState::kEphemeral);',
      tests: steps,
    },
  ]),
  ...inFile('addon/engine/span_table.cc', spans, [
    {
      check: 'what reserves set aside is taken by no other',
      from: 'if (!backed && committedFrames_ + 1 > budgetFrames_) return 0;',
      to: 'if (!backed && takenFrames_ + 1 > budgetFrames_) return 0;',
    },
    {
      check: "a frame of another's is zeroed before it is taken",
      from: 'if (mustZero) std::memset(base, 0, kSpanBytes);',
      to: 'if (mustZero) std::memset(base, 0, sizeof(SpanHeader));',
      tests: ['span_table_test', 'store_dedup_test'],
    },
  ]),
  ...inFile('addon/engine/codec.cc', contract, [
    {
      check: 'a page is checked against its checksum before it is given out',
      from: 'return hash.stored(bytes, lengthBytes, codec) == entryChecksum(entry) &&',
      to: 'return hash.stored(bytes, lengthBytes, codec) != 0 &&',
    },
  ]),
  ...inFile('addon/engine/store_keep.cc', dedup, [
    {
      check: 'a guest shares blocks of its group and of its reserve only',
      from: 'if (binId == guest.reserveBin.id()) return &guest.reserveBin;\n  return nullptr;',
      to: 'if (binId == guest.reserveBin.id()) return &guest.reserveBin;\n  return &binOf(loc);',
    },
  ]),
  ...inFile('addon/engine/cell_recovery.cc', damage, [
    {
      check: "a leaf's slots are checked",
      from: 'if (sum != leaf.slotChecks[0] && sum != leaf.slotChecks[1]) {',
      to: 'if (false && sum != leaf.slotChecks[0]) {',
    },
  ]),
  ...inFile('addon/engine/records.cc', damage, [
    {
      check: "a guest's settings change as a whole",
      from: 'uint32_t other = 1 - currentOf(record);',
      to: 'uint32_t other = currentOf(record);',
      tests: steps,
    },
  ]),
  ...inFile('addon/engine/bin.cc', schedules, [
    {
      check: 'a block that somebody reads is retired, and taken by no other',
      from: 'if (table_.isPinned(span)) {',
      to: 'if (false) {',
      tests: schedules,
    },
    {
      check: 'no block has more references than fit its entry',
      from: 'if (entryReferences(e) == kMaxReferences) {',
      to: 'if (false) {',
      tests: dedup,
    },
    {
      check: 'a block is shared only out of a span that is still of the bin',
      from: 'if (span >= table_.spanCount() || table_.binOf(span) != id_) return false;',
      to: 'if (span >= table_.spanCount()) return false;',
      tests: bin,
    },
  ]),
  ...inFile('addon/engine/bin_packing.cc', schedules, [
    {
      check: 'a packed span holds nothing of what its frame held before',
      from: 'std::memset(to + end * 8, 0, tailBytes(*packed));',
      to: '',
      tests: ['bin_packing_test'],
    },
  ]),
  ...inFile('addon/engine/store_get.cc', contract, [
    {
      check: 'an exclusive get takes away only the page that it got',
      from: 'if (place.value == hand.value) clearSlot(guest, *hand.pool, place);',
      to: 'if (place.value != kEmptySlot) clearSlot(guest, *hand.pool, place);',
      tests: schedules,
    },
  ]),
  ...inFile('addon/engine/store_evict.cc', contract, [
    {
      check: 'a page that was put anew meanwhile does not yield for the one before',
      from: `  if (!guest.ephemeralBin.isStill(victim)) return false;
  Leaf& leaf = shard.leaf(backLeaf(victim.owner));
  if (leaf.slot[backSlot(victim.owner)] != victim.loc) return false;`,
      to: '  Leaf& leaf = shard.leaf(backLeaf(victim.owner));',
      tests: schedules,
    },
  ]),
  ...inFile('addon/engine/resettle.cc', schedules, [
    {
      check: 'a page that was put anew while it was recompressed stays',
      from: '               shard.leaf(page.leaf).slot[page.slot] == page.value;',
      to: '               isBlock(shard.leaf(page.leaf).slot[page.slot]);',
    },
  ]),
  ...inFile(
    'addon/engine/chain_table.h',
    ['chain_table_test'],
    [
      {
        check: 'a bucket that goes is joined to the one it came from',
        from: '    next(last) = into;\n    into = first;',
        to: '    into = first;',
      },
    ],
  ),
  ...inFile('addon/engine/dedup_growth.cc', ['dedup_index_test'], []),
];
