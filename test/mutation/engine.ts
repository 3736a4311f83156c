/** The page store: who owns a block, what it is accounted to, whose session it is, what a recovery believes. */
import { inFile, type Mutation } from './mutation.js';

const contract = ['store_contract_test'];
const bin = ['bin_test'];
const dedup = ['store_dedup_test'];
const spans = ['span_table_test', 'store_contract_test'];
const steps = ['store_step_test'];

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
  ...inFile('addon/engine/store_keep.cc', dedup, [
    {
      check: 'a guest shares blocks of its group and of its reserve only',
      from: 'if (binId == guest.reserveBin.id()) return &guest.reserveBin;\n  return nullptr;',
      to: 'if (binId == guest.reserveBin.id()) return &guest.reserveBin;\n  return &binOf(loc);',
    },
  ]),
  ...inFile('addon/engine/bin.cc', bin, [
    {
      check: 'a block is shared only out of a span that is still of the bin',
      from: 'if (span >= table_.spanCount() || table_.binOf(span) != id_) return false;',
      to: 'if (span >= table_.spanCount()) return false;',
    },
  ]),
];
