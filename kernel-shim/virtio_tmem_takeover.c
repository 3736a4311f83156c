// SPDX-License-Identifier: GPL-2.0
/*
 * virtio-tmem guest driver: taking frontswap's place from an idle zswap.
 *
 * From 5.17 to 6.5 frontswap has one back end, and a module cannot become it:
 * frontswap_register_ops() is not exported, and zswap registers at boot wherever
 * it is built in, in use or not. With take_frontswap=1 the module does so all
 * the same. It finds what it needs by name (kallsyms), and puts its operations
 * where zswap's are.
 *
 * Nobody is inside zswap's operations, and none of its pages is left to be
 * loaded, as long as no swap is on: they are called for slots of an area that is
 * on, at its swapon, and at the end of its swapoff. swapon_mutex is held by both
 * around those calls, and an area is SWP_USED from before the first to after the
 * last of them. So under that mutex, with no area in use, the place can change
 * hands; whoever comes next finds all of the new operations.
 *
 * It is not given back: frontswap has no unregistering, zswap would not know of
 * areas that came on meanwhile, and the module pins itself. zswap stays idle
 * until the next boot, whatever its parameters say.
 *
 * Whatever is not as expected, the place is left alone.
 */
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/security.h>
#include <linux/swap.h>

#include "vtmem_frontswap_compat.h"

static bool vtmem_take_frontswap;
module_param_named_unsafe(take_frontswap, vtmem_take_frontswap, bool, 0444);
MODULE_PARM_DESC(take_frontswap,
		 "take frontswap's place from zswap while no swap is on (default: off)");

#if !IS_ENABLED(CONFIG_X86_64)
#define VTMEM_CANNOT_TAKE	"it is known to work on x86-64 only"
#elif !IS_ENABLED(CONFIG_KPROBES) || !IS_ENABLED(CONFIG_KALLSYMS_ALL)
#define VTMEM_CANNOT_TAKE	"the kernel lacks CONFIG_KPROBES or CONFIG_KALLSYMS_ALL"
#elif IS_ENABLED(CONFIG_CFI_CLANG) || IS_ENABLED(CONFIG_LTO)
#define VTMEM_CANNOT_TAKE	"the kernel is built with CONFIG_CFI_CLANG or CONFIG_LTO"
#else
#define VTMEM_CANNOT_TAKE	NULL
#endif

/**
 * struct vtmem_place - what a back end of frontswap has to do with
 * @ops:	the one back end, NULL without one
 * @register_ops: fills an empty place
 * @swapon_mutex: see above
 * @swap_info:	swap areas, by type
 * @nr_swapfiles: how many types there have been
 * @zswap_ops:	NULL in a kernel without zswap
 * @zswap_pages: pages that zswap holds; NULL in a kernel without zswap
 */
struct vtmem_place {
	const struct frontswap_ops **ops;
	int (*register_ops)(const struct frontswap_ops *ops);
	struct mutex *swapon_mutex;	/* guards ops while no swap is on */
	struct swap_info_struct **swap_info;
	unsigned int *nr_swapfiles;
	const struct frontswap_ops *zswap_ops;
	atomic_t *zswap_pages;
};

typedef unsigned long (*vtmem_lookup_t)(const char *name);

/* A probe can be set at any function, by name, and then says where that is. */
static vtmem_lookup_t vtmem_find_lookup(void)
{
#if IS_ENABLED(CONFIG_KPROBES)
	struct kprobe probe = { .symbol_name = "kallsyms_lookup_name" };

	if (register_kprobe(&probe))
		return NULL;
	unregister_kprobe(&probe);
	return (vtmem_lookup_t)probe.addr;
#else
	return NULL;
#endif
}

/* Returns whether all is there that must be. */
static bool vtmem_find_place(struct vtmem_place *place, vtmem_lookup_t lookup)
{
	place->ops = (void *)lookup("frontswap_ops");
	place->register_ops = (void *)lookup("frontswap_register_ops");
	place->swapon_mutex = (void *)lookup("swapon_mutex");
	place->swap_info = (void *)lookup("swap_info");
	place->nr_swapfiles = (void *)lookup("nr_swapfiles");
	place->zswap_ops = (void *)lookup("zswap_frontswap_ops");
	place->zswap_pages = (void *)lookup("zswap_stored_pages");
	return place->ops && place->register_ops && place->swapon_mutex &&
	       place->swap_info && place->nr_swapfiles &&
	       !place->zswap_ops == !place->zswap_pages;
}

static bool vtmem_swap_is_on(const struct vtmem_place *place)
{
	unsigned int type;

	for (type = 0; type < READ_ONCE(*place->nr_swapfiles); type++)
		if (READ_ONCE(place->swap_info[type]->flags) & SWP_USED)
			return true;
	return false;
}

/* Under swapon_mutex. Returns why not, or NULL. */
static const char *vtmem_take_place(const struct vtmem_place *place,
				    struct frontswap_ops *ops)
{
	const struct frontswap_ops *old = READ_ONCE(*place->ops);

	if (place->zswap_pages && atomic_read(place->zswap_pages))
		return "zswap holds pages";
	if (vtmem_swap_is_on(place))
		return "swap is on";
	if (!old)
		return place->register_ops(ops) ? "it cannot be registered with" : NULL;
	if (old != place->zswap_ops)
		return "another back end than zswap has it";
	WRITE_ONCE(*place->ops, ops);
	return NULL;
}

/* Returns why not, or NULL. */
static const char *vtmem_try_to_take(struct frontswap_ops *ops)
{
	struct vtmem_place place;
	vtmem_lookup_t lookup;
	const char *why;

	if (VTMEM_CANNOT_TAKE)
		return VTMEM_CANNOT_TAKE;
	if (security_locked_down(LOCKDOWN_MODULE_PARAMETERS))
		return "the kernel is locked down";
#ifdef CONFIG_X86_KERNEL_IBT
	/* The lookup is not meant to be called by address. */
	if (boot_cpu_has(X86_FEATURE_IBT))
		return "the processor tracks indirect branches";
#endif
	lookup = vtmem_find_lookup();
	if (!lookup || !vtmem_find_place(&place, lookup))
		return "its symbols are not found";
	mutex_lock(place.swapon_mutex);
	why = vtmem_take_place(&place, ops);
	mutex_unlock(place.swapon_mutex);
	return why;
}

/**
 * vtmem_frontswap_take() - become frontswap's back end, if that was asked for
 * @ops: our operations, for as long as the kernel runs
 *
 * Return: 0; -ENODEV if frontswap stays as it is, which the log explains.
 */
int vtmem_frontswap_take(struct frontswap_ops *ops)
{
	const char *why;

	if (!vtmem_take_frontswap)
		return -ENODEV;
	why = vtmem_try_to_take(ops);
	if (why) {
		pr_warn("virtio_tmem: frontswap is not taken over, %s: the swap device is offered instead\n",
			why);
		return -ENODEV;
	}
	pr_info("virtio_tmem: frontswap is ours, and zswap idle, until the next boot\n");
	return 0;
}
