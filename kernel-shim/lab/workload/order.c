// SPDX-License-Identifier: MIT
#include "order.h"

#include "content.h"

void order_start(struct order *order, uint32_t count, uint64_t seed)
{
	uint32_t bits = 1;

	while (bits < 31 && (1u << bits) < count)
		bits++;
	order->count = count;
	order->mask = (1u << bits) - 1;
	order->shift = (bits + 1) / 2;
	order->state = (uint32_t)mix(seed, 1) & order->mask;
	order->increment = ((uint32_t)mix(seed, 2) | 1) & order->mask;
	order->left = order->mask + 1;
}

int64_t order_next(struct order *order)
{
	while (order->left) {
		uint32_t value;

		/* Full period: multiplier = 1 mod 4, odd increment. */
		order->state = (order->state * 0x915f77f5u + order->increment) & order->mask;
		order->left--;
		value = (order->state * 0x9e3779b1u) & order->mask;
		value ^= value >> order->shift;
		value = (value * 0x85ebca6bu) & order->mask;
		if (value < order->count)
			return value;
	}
	return -1;
}
