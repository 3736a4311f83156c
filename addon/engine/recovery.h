// Recovering the store of a killed process from its arena. In this order:
//
//   spans       which frame is whose                                  span_recovery.cc
//   records     guests, their sessions and pools                      records.cc, recovery.cc
//   reserves    set aside as they were; what is left pays for the
//               maps' tables, shared out by how many cells each
//               guest has                                             recovery.cc
//   cells       objects and leaves of live pools into the maps; what
//               a kill left half removed, or of a pool that is gone,
//               is freed                                              cell_recovery.cc
//   blocks      those that slots name, with as many references;
//               others are free                                       block_recovery.cc
//   gauges      what guests and pools hold                            recovery.cc
//
// What it needs beside the arena is a byte for each block and some words for each span.
//
// It always fits. No frame is taken before those that the killed store had are accounted
// to whom they were accounted to then: spans found are at most those it had taken, reserves
// those it had set aside. Only tables are made anew, and they do with what room there is.
//
// Damage to what says which pages there are refuses the arena; damage to a slot or a
// block's place loses that page, which is CORRUPT from then on. Bytes are checked when
// they are got. The dedup index starts empty and is refilled by the settler.
//
// Recovery changes only what is derived, and frees garbage leaf before object, so it
// may itself be killed and begun anew.
#ifndef TMEMD_ENGINE_RECOVERY_H_
#define TMEMD_ENGINE_RECOVERY_H_

#include <span>
#include <string>
#include <vector>

#include "engine/block_counts.h"
#include "engine/store_impl.h"

namespace tmemd {

class Recovery {
 public:
  explicit Recovery(Store::Impl& store)
      : store_(store), table_(store.table), owners_(Store::Impl::kBinsMax), references_(table_.spanCount()) {}

  void run(RecoveryReport* report) {
    try {
      findGuests();
      for (GuestInHand& in : guests_) store_.setReserve(*in.guest);
      findAllCells();
      findBlocks();
      for (GuestInHand& in : guests_) settleAccounts(in);
    } catch (...) {
      store_.abandon();
      throw;
    }
    if (report) *report = report_;
  }

 private:
  struct GuestInHand {
    Guest* guest;
    std::vector<SpanNumber> objectSpans;
    std::vector<SpanNumber> leafSpans;
  };
  // Of a bin's number, by the records.
  enum class Role : uint8_t { kNobody, kGone, kGroup, kReserve, kEphemeral };
  struct Owner {
    Role role = Role::kNobody;
    size_t guest = 0;  // of guests_, for kReserve
  };

  [[noreturn]] static void refuse(const std::string& what) { throw AttachError("arena: " + what); }
  [[noreturn]] static void refuse(const Guest& guest, const std::string& what) {
    refuse("guest " + guest.name + ": " + what);
  }

  void findGuests();
  void addGuest(const GuestRecords::FoundGuest& found);
  void claim(uint32_t bin, Role role, size_t guest);
  void sortSpan(SpanNumber span);

  void findAllCells();
  void findCells(GuestInHand& in);
  void takeLeaf(GuestInHand& in, CellRef ref);
  CellRef objectOf(const Guest& guest, const Leaf& leaf);
  void setWhole(Leaf& leaf);

  void findBlocks();
  void nameBlocks(Guest& guest, Leaf& leaf);
  void takeBlocks(SpanNumber span);
  bool overlaps(SpanNumber span, std::span<const uint8_t> counts) const;
  void markDamaged(GuestInHand& in);

  void settleAccounts(GuestInHand& in);

  template <typename Visit>  // Visit(PageMap::Shard&, CellRef object, CellRef leaf)
  void forEachLeaf(Guest& guest, Visit visit) {
    for (uint32_t i = 0; i < PageMap::kShards; i++) {
      PageMap::Shard& shard = guest.map.shard(i);
      shard.forEachObject([&](CellRef object) {
        for (CellRef leaf = shard.object(object).firstLeaf; leaf; leaf = shard.leaf(leaf).nextOfObject) {
          visit(shard, object, leaf);
        }
      });
    }
  }
  template <typename Cell, typename Visit>  // Visit(CellRef, Cell&); cells that are not free
  void forEachCell(const std::vector<SpanNumber>& spans, const CellSlab& slab, Visit visit) {
    for (SpanNumber span : spans) {
      for (uint32_t i = 0; i < CellSlab::cellsPerSpan(sizeof(Cell)); i++) {
        CellRef ref = makeCellRef(span, i);
        if (!slab.isFree(ref)) visit(ref, table_.cell<Cell>(ref));
      }
    }
  }
  Store::Impl& store_;
  SpanTable& table_;
  std::vector<Owner> owners_;  // by bin number
  std::vector<GuestInHand> guests_;
  std::vector<SpanNumber> blockSpans_;
  BlockCounts references_;
  static constexpr uint8_t kLost = 0xff;  // in references_: the block cannot be there
  bool anyLost_ = false;
  RecoveryReport report_;
};

}  // namespace tmemd

#endif  // TMEMD_ENGINE_RECOVERY_H_
