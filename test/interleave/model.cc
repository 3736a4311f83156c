#include "interleave/model.h"

#include <cstdio>

namespace interleave {

void Model::begin() {
  wrong_ = false;
  for (uint32_t guest = 0; guest < kGuestsMax; guest++) {
    ledgers[guest] = ledgersBefore[guest];
    for (uint32_t kind = 0; kind < 2; kind++) {
      for (uint32_t i = 0; i < kIndexes; i++) histories[guest][kind][i].begin(pagesBefore[guest][kind][i], kind);
    }
  }
  for (InFlight& one : inFlight) one = {};
}

void Model::note(const char* what, const Operation& o, uint32_t detail) {
  if (wrong_) return;
  wrong_ = true;
  std::snprintf(text_, sizeof text_, "guest %u, %s page %u: %s (%u)", o.guest, o.persistent ? "persistent" : "ephemeral",
                o.index, what, detail);
}

std::string Model::unexplained() const {
  for (uint32_t guest = 0; guest < program->guests; guest++) {
    for (uint32_t kind = 0; kind < 2; kind++) {
      for (uint32_t i = 0; i < kIndexes; i++) {
        std::string wrong = unexplained(guest, kind == 1, i, pagesBefore[guest][kind][i], histories[guest][kind][i]);
        if (!wrong.empty()) return wrong;
      }
    }
  }
  return "";
}

std::string Model::unexplained(uint32_t guest, bool persistent, uint32_t index, uint32_t before, const History& history) {
  if (history.isExplained()) return "";
  static const char* const kNames[] = {"put", "put refused", "got", "got and removed", "missed", "flushed"};
  std::string text = "guest " + std::to_string(guest) + (persistent ? ", persistent page " : ", ephemeral page ") +
                     std::to_string(index) + ": no order explains, from page " + std::to_string(before) + ":";
  for (uint32_t e = 0; e < history.count(); e++) {
    const Event& event = history.event(e);
    text += std::string(" ") + kNames[event.kind] + " " + std::to_string(event.page) + " [" +
            std::to_string(event.begin - history.event(0).begin) + "," +
            (event.end == kNeverEnded ? "killed" : std::to_string(event.end - history.event(0).begin)) + "]";
  }
  return text;
}

}  // namespace interleave
