// Where the bounds of the buckets lie.
#include <doctest/doctest.h>

#include "device/latency_histogram.h"

using namespace tmemd;

TEST_CASE("a bucket's bound is inclusive") {
  for (size_t bucket = 0; bucket < LatencyHistogram::kBounds; ++bucket) {
    CAPTURE(bucket);
    CHECK(LatencyHistogram::bucketOf(LatencyHistogram::boundNs(bucket)) == bucket);
    CHECK(LatencyHistogram::bucketOf(LatencyHistogram::boundNs(bucket) + 1) == bucket + 1);
  }
  CHECK(LatencyHistogram::bucketOf(0) == 0);
  CHECK(LatencyHistogram::bucketOf(~uint64_t{0}) == LatencyHistogram::kBounds);
}

TEST_CASE("records count once and sum up") {
  LatencyHistogram histogram;
  histogram.record(100);
  histogram.record(513, 3);
  histogram.record(1 << 30);
  CHECK(histogram.count(0) == 1);
  CHECK(histogram.count(1) == 3);
  CHECK(histogram.count(LatencyHistogram::kBuckets - 1) == 1);
  CHECK(histogram.sumNs() == 100 + 3 * 513 + (1 << 30));
}
