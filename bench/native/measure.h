// Interleaved measurement: floor and subject take turns in short chunks, so
// that both see the same machine; what is reported is the median of the ratios of
// neighbouring chunks.
#ifndef TMEMD_BENCH_NATIVE_MEASURE_H_
#define TMEMD_BENCH_NATIVE_MEASURE_H_

#include <time.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <vector>

namespace tmemd::bench {

inline double nowUs() {
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

inline double threadUs() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) / 1e3;
}

inline double quantile(std::vector<double> values, double q) {
  if (values.empty()) return 0;
  size_t at = std::min(values.size() - 1, static_cast<size_t>(q * static_cast<double>(values.size())));
  std::nth_element(values.begin(), values.begin() + static_cast<long>(at), values.end());
  return values[at];
}

struct Ratio {
  double subjectUs = 0;  // a page, median over chunks
  double floorUs = 0;
  double ratio = 0;  // median of pairwise ratios
  double low = 0;    // 10th and 90th percentile of them
  double high = 0;
};

class Pairs {
 public:
  // Runs each with the chunk's number; `pages` each handles.
  template <typename Floor, typename Subject>
  void run(size_t chunk, size_t pages, Floor floor, Subject subject) {
    double start = threadUs();
    floor(chunk);
    double middle = threadUs();
    subject(chunk);
    double end = threadUs();
    floor_.push_back((middle - start) / static_cast<double>(pages));
    subject_.push_back((end - middle) / static_cast<double>(pages));
    ratio_.push_back((end - middle) / (middle - start));
  }
  Ratio result() const {
    return {quantile(subject_, 0.5), quantile(floor_, 0.5), quantile(ratio_, 0.5), quantile(ratio_, 0.1),
            quantile(ratio_, 0.9)};
  }

 private:
  std::vector<double> floor_, subject_, ratio_;
};

}  // namespace tmemd::bench

#endif  // TMEMD_BENCH_NATIVE_MEASURE_H_
