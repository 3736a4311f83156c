// The check that a bin's lists, sums and entries agree, while nobody stores a block.
#include "engine/bin.h"

namespace tmemd {

Bin::Sums Bin::sums() const {
  SpinGuard guard(lock_);
  Sums s = sums_;
  s.spans = spanCount();
  return s;
}

const char* Bin::audit() const {
  SpinGuard guard(lock_);
  Sums found;
  auto visit = [&](SpanNumber span) -> const char* {
    SpanHeader& head = table_.header(span);
    if (head.span != span || head.kind != kind_ || head.owner != id_) return "a span's header names another";
    if (table_.binOf(span) != id_) return "the span table names another bin";
    if (head.blockCount > entriesMax()) return "a span has too many entries";
    std::array<bool, kEntriesPerSpanMax> isFree{};
    for (uint32_t link = head.freeHead; link;) {
      if (link > head.blockCount || isFree[link - 1]) return "a span's free entries are no list";
      isFree[link - 1] = true;
      Entry e = table_.entry(span, link - 1).load(std::memory_order_relaxed);
      if (entryReferences(e) != 0) return "a free entry is referenced";
      link = entryOffsetUnits(e);
    }
    uint32_t spanUnits = 0;
    uint32_t blocks = 0;
    for (uint32_t i = 0; i < head.blockCount; i++) {
      if (isFree[i]) continue;
      Entry e = table_.entry(span, i).load(std::memory_order_relaxed);
      uint32_t units = unitsFor(entryLength(e)) + prefixUnits();
      if (entryOffsetUnits(e) < sizeof(SpanHeader) / 8 || entryOffsetUnits(e) + units > head.dataEndUnits) {
        return "a block lies outside its span's data";
      }
      if (entryReferences(e) == 0) continue;  // retired; nobody writes one now
      found.count(e, units, 1);
      spanUnits += units;
      blocks++;
    }
    if (spanUnits != head.liveUnits) return "a span's live bytes do not add up";
    if (blocks != head.liveBlocks) return "a span's live blocks do not add up";
    found.spans++;
    return nullptr;
  };
  for (SpanNumber span : open_) {
    if (!span) continue;
    if (const char* wrong = visit(span)) return wrong;
  }
  for (uint32_t list = 0; list <= kDraining; list++) {
    SpanNumber previous = 0;
    for (SpanNumber span = first_[list]; span; span = table_.header(span).next) {
      if (table_.header(span).previous != previous) return "a span list is broken";
      if (table_.header(span).list != list) return "a span is on a list it does not know";
      if (const char* wrong = visit(span)) return wrong;
      previous = span;
    }
  }
  Sums kept = sums_;
  kept.spans = spanCount();
  if (!(found == kept) || found.blocks != liveBlocks()) return "a bin's sums do not add up";
  return nullptr;
}

}  // namespace tmemd
