/* SPDX-License-Identifier: MIT */
/*
 * A random order of 0 .. count-1 without an array: a full-period linear
 * congruential generator over the next power of two, numbers beyond the end
 * left out, its bits mixed by a multiplication and an xor-shift that are
 * bijections of that power of two.
 */
#ifndef WORKLOAD_ORDER_H_
#define WORKLOAD_ORDER_H_

#include <stdint.h>

struct order {
	uint32_t count;
	uint32_t mask;
	uint32_t state;
	uint32_t increment;
	uint32_t shift;
	uint32_t left;
};

/* 1 <= count <= 2^31 */
void order_start(struct order *order, uint32_t count, uint64_t seed);

/* The next number, or -1 after the last. */
int64_t order_next(struct order *order);

#endif
