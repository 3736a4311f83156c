/* SPDX-License-Identifier: GPL-2.0 */
/*
 * virtio-tmem guest driver: time that is cheap to read.
 */
#ifndef _VTMEM_CLOCK_H
#define _VTMEM_CLOCK_H

#include <linux/types.h>

void vtmem_clock_calibrate(void);
u64 vtmem_clock_now(void);
u64 vtmem_clock_ns_since(u64 start);
u64 vtmem_clock_cycles(unsigned int us);

#endif /* _VTMEM_CLOCK_H */
