/* SPDX-License-Identifier: GPL-2.0 */
/*
 * virtio-tmem guest driver: going on with a session, or with a new one in its place.
 */
#ifndef _VTMEM_SESSION_H
#define _VTMEM_SESSION_H

#include <linux/types.h>

struct vtmem_device;
struct vtmem_pool;

void vtmem_session_init(struct vtmem_device *dev);
int vtmem_session_go_on(struct vtmem_device *dev, const struct vtmem_pool *used,
			bool attach);
void vtmem_session_lost(struct vtmem_device *dev);
bool vtmem_session_await(struct vtmem_device *dev);
void vtmem_session_hold(struct vtmem_device *dev);
void vtmem_session_release(struct vtmem_device *dev);

#endif /* _VTMEM_SESSION_H */
