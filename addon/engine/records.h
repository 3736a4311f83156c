// Guests on the arena: who they are, their session and limits, and their pools.
//
// A guest is there from the store of its record's tag to the store that changes it;
// a change of its settings is written beside them and then named by one store; a pool
// is one word. So a killed process leaves the old or the new of each, never a mixture.
//
// The caller sees to it that one guest's record is changed by one thread at a time.
#ifndef TMEMD_ENGINE_RECORDS_H_
#define TMEMD_ENGINE_RECORDS_H_

#include <optional>
#include <vector>

#include "engine/cell_slab.h"
#include "engine/layout.h"
#include "engine/span_table.h"

namespace tmemd {

class GuestRecords {
 public:
  explicit GuestRecords(SpanTable& table)
      : table_(table), slab_(table, SpanKind::kRecords, kRecordBytes, offsetof(GuestRecord, tag), kRecordsOwner, nullptr) {}

  // A guest's cells.
  struct Handle {
    CellRef guest = 0;
    std::vector<CellRef> pools;
  };

  // Writes a guest's record; it counts from publish() on. None when there is no room.
  std::optional<Handle> add(const GuestIdentity& identity, const GuestSettings& settings);
  void publish(const Handle& handle);
  void change(const Handle& handle, const GuestSettings& settings);
  GuestSettings settings(const Handle& handle) const;
  void setPool(const Handle& handle, uint32_t place, uint32_t id, PoolState state);
  // Forgets the pools of earlier sessions.
  void clearPools(const Handle& handle);
  // From here on the guest's pages are garbage.
  void leave(const Handle& handle);
  void remove(Handle& handle);

  struct FoundGuest {
    Handle handle;
    bool leaving;
    GuestIdentity identity;
    GuestSettings settings;
    std::vector<PoolRecord> pools;  // by place; those of the current session, else 0
  };
  // Reads what a killed process left in these spans. Throws AttachError.
  std::vector<FoundGuest> recover(const std::vector<SpanNumber>& spans);

  void abandon() { slab_.abandon(); }
  const CellSlab& slab() const { return slab_; }

 private:
  GuestRecord& guest(CellRef ref) const { return *reinterpret_cast<GuestRecord*>(words(ref)); }
  PoolsRecord& pools(CellRef ref) const { return *reinterpret_cast<PoolsRecord*>(words(ref)); }
  std::byte* words(CellRef ref) const {
    return table_.bytes(cellSpan(ref)) + sizeof(SpanHeader) + uint64_t{kRecordBytes} * cellIndex(ref);
  }
  uint64_t poolsCheck(CellRef ref) const;
  FoundGuest readGuest(CellRef ref) const;
  void readPools(FoundGuest& found, const std::vector<CellRef>& cells) const;
  static uint32_t poolCells(uint32_t maxPools) { return (maxPools + kPoolsPerRecord - 1) / kPoolsPerRecord; }
  void clearPools(CellRef cell, CellRef guest);

  SpanTable& table_;
  CellSlab slab_;
};

}  // namespace tmemd

#endif  // TMEMD_ENGINE_RECORDS_H_
