// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-tmem guest driver: time that is cheap to read.
 *
 * Polling and latencies need a clock that does not leave the guest: ktime may
 * be a device (the HPET, when the TSC was found unstable), and local_clock()
 * stands still for up to a tick in the same case. So this is the CPU's cycle
 * counter, measured against ktime once. It may differ a little between CPUs:
 * a difference that comes out negative is 0. Where there is no counter, time
 * stands still: nothing is polled for and latencies are 0.
 */
#include <linux/delay.h>
#include <linux/ktime.h>
#include <linux/math64.h>
#include <linux/timex.h>

#include "vtmem.h"

#define CALIBRATION_MS		20

/* ns = cycles * mult >> SHIFT */
#define SHIFT			22
static u32 vtmem_clock_mult __read_mostly;

/**
 * vtmem_clock_calibrate() - measure the cycle counter; sleeps for some 20 ms
 */
void vtmem_clock_calibrate(void)
{
	u64 start_ns = ktime_get_ns();
	u64 start_cycles = get_cycles();
	u64 cycles, ns;

	msleep(CALIBRATION_MS);
	cycles = get_cycles() - start_cycles;
	ns = ktime_get_ns() - start_ns;
	if (start_cycles && cycles)
		vtmem_clock_mult = min_t(u64, div64_u64(ns << SHIFT, cycles),
					 U32_MAX);
}

/**
 * vtmem_clock_now() - the cycle counter
 */
u64 vtmem_clock_now(void)
{
	return get_cycles();
}

/**
 * vtmem_clock_ns_since() - time that has passed
 * @start: an earlier vtmem_clock_now()
 *
 * Return: nanoseconds.
 */
u64 vtmem_clock_ns_since(u64 start)
{
	s64 cycles = get_cycles() - start;

	return cycles > 0 ? mul_u64_u32_shr(cycles, vtmem_clock_mult, SHIFT) : 0;
}

/**
 * vtmem_clock_cycles() - a span of time in cycles
 * @us: microseconds, at most a second's worth is used
 */
u64 vtmem_clock_cycles(unsigned int us)
{
	u64 ns = (u64)min_t(unsigned int, us, USEC_PER_SEC) * NSEC_PER_USEC;

	return vtmem_clock_mult ? div_u64(ns << SHIFT, vtmem_clock_mult) : 0;
}
