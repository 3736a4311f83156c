// What trials report: numbers with a name, and with what they were measured at
// where a trial measures several points (`{"batch": 16}`). Names end in their
// unit: _us and _ns a page, _ratio against the arithmetic floor on the same
// pages, _share, _bytes.
#ifndef TMEMD_BENCH_NATIVE_FIGURES_H_
#define TMEMD_BENCH_NATIVE_FIGURES_H_

#include <cstdio>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "measure.h"

namespace tmemd::bench {

using Point = std::map<std::string, double>;

class Figures {
 public:
  void add(const std::string& name, double value, const Point& at = {}) {
    figures_.push_back({name, at, value, value, value});
  }

  // Subject, floor and their ratio, which keeps its spread over the chunks.
  void add(const std::string& name, const Ratio& ratio, const Point& at = {}) {
    add(name + "_us", ratio.subjectUs, at);
    add(name + "_floor_us", ratio.floorUs, at);
    figures_.push_back({name + "_ratio", at, ratio.ratio, ratio.low, ratio.high});
  }

  // The figures of a part, measured at `at` besides.
  void addAt(const Figures& part, const Point& at) {
    for (Figure figure : part.figures_) {
      figure.at.insert(at.begin(), at.end());
      figures_.push_back(figure);
    }
  }

  // A JSON array.
  void print(std::FILE* out) const {
    const char* separator = "[";
    for (const Figure& figure : figures_) {
      std::fprintf(out, "%s\n{\"name\":\"%s\",\"at\":{", separator, figure.name.c_str());
      const char* comma = "";
      for (const auto& [axis, value] : figure.at) {
        std::fprintf(out, "%s\"%s\":%.9g", comma, axis.c_str(), value);
        comma = ",";
      }
      std::fprintf(out, "},\"median\":%.9g,\"low\":%.9g,\"high\":%.9g}", figure.value, figure.low, figure.high);
      separator = ",";
    }
    std::fprintf(out, "%s]", figures_.empty() ? "[" : "");
  }

 private:
  struct Figure {
    std::string name;
    Point at;
    double value;
    double low;  // over the chunks, where there are any
    double high;
  };

  std::vector<Figure> figures_;
};

}  // namespace tmemd::bench

#endif  // TMEMD_BENCH_NATIVE_FIGURES_H_
