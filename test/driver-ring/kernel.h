/*
 * The kernel, as far as the guest driver's request layer uses it: what is data.
 *
 * Every <linux/...> header of those sources is this file, see addon/CMakeLists.txt. Names and meanings are the kernel's;
 * a page holds one word, which stands for its 4096 bytes. What is a lock, a wait or a ring is in kernel_sync.h.
 */
#ifndef TMEMD_TEST_DRIVER_RING_KERNEL_H
#define TMEMD_TEST_DRIVER_RING_KERNEL_H

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim.h"

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int64_t s64;
typedef uint8_t __u8;
typedef uint16_t __le16;
typedef uint32_t __le32;
typedef uint64_t __le64;
typedef unsigned int gfp_t;
typedef unsigned long pgoff_t;

#define U32_MAX UINT32_MAX
#define U64_MAX UINT64_MAX
#define __percpu
#define __rcu
#define __user
#define __init
#define __exit
#define __releases(lock)
#define __acquires(lock)
#define ____cacheline_aligned __attribute__((aligned(64)))
#define cpu_to_le16(x) (x)
#define cpu_to_le32(x) (x)
#define cpu_to_le64(x) (x)
#define le32_to_cpu(x) (x)
#define le64_to_cpu(x) (x)

/* Numbers that are not those of this machine's errno.h. */
#define ENOTSUPP 524

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define BUILD_BUG_ON(c) _Static_assert(!(c), #c)
#define container_of(pointer, type, member) ((type *)((char *)(pointer) - offsetof(type, member)))
#define min(a, b) ({ __typeof__(a) _a = (a); __typeof__(b) _b = (b); _a < _b ? _a : _b; })
#define max(a, b) ({ __typeof__(a) _a = (a); __typeof__(b) _b = (b); _a > _b ? _a : _b; })
#define min_t(type, a, b) min((type)(a), (type)(b))
#define max_t(type, a, b) max((type)(a), (type)(b))
#define min3(a, b, c) min(min(a, b), c)
#define clamp(x, low, high) min(max(x, low), high)
#define DIV_ROUND_UP(n, d) (((n) + (d) - 1) / (d))
#define round_down(x, y) ((x) & ~((y) - 1))
#define IS_ENABLED(option) 0

static inline bool IS_ERR(const void *pointer) { return (unsigned long)pointer >= (unsigned long)-4095; }
static inline long PTR_ERR(const void *pointer) { return (long)pointer; }
static inline void *ERR_PTR(long error) { return (void *)error; }

/* --- lists and tables ---------------------------------------------------- */

struct list_head {
  struct list_head *next, *prev;
};
struct hlist_node {
  struct hlist_node *next, **pprev;
};
struct hlist_head {
  struct hlist_node *first;
};

#define LIST_HEAD_INIT(name) {&(name), &(name)}
static inline void INIT_LIST_HEAD(struct list_head *list) { list->next = list->prev = list; }
static inline bool list_empty(const struct list_head *list) { return list->next == list; }
static inline void list_insert(struct list_head *entry, struct list_head *prev, struct list_head *next) {
  sim_check(prev->next == next && next->prev == prev, "a list is corrupt");
  next->prev = entry;
  entry->next = next;
  entry->prev = prev;
  prev->next = entry;
}
static inline void list_add(struct list_head *entry, struct list_head *head) {
  list_insert(entry, head, head->next);
}
static inline void list_add_tail(struct list_head *entry, struct list_head *head) {
  list_insert(entry, head->prev, head);
}
static inline void list_unlink(struct list_head *entry) {
  sim_check(entry->prev != NULL && entry->prev->next == entry && entry->next->prev == entry,
            "an entry that is on no list is taken off one");
  entry->next->prev = entry->prev;
  entry->prev->next = entry->next;
}
static inline void list_del(struct list_head *entry) {
  list_unlink(entry);
  entry->next = entry->prev = NULL;
}
static inline void list_del_init(struct list_head *entry) {
  list_unlink(entry);
  INIT_LIST_HEAD(entry);
}
static inline void list_move_tail(struct list_head *entry, struct list_head *head) {
  list_unlink(entry);
  list_add_tail(entry, head);
}

#define list_entry(pointer, type, member) container_of(pointer, type, member)
#define list_first_entry(head, type, member) list_entry((head)->next, type, member)
#define list_first_entry_or_null(head, type, member) \
  (list_empty(head) ? NULL : list_first_entry(head, type, member))
#define list_step(entry, member, way) list_entry((entry)->member.way, __typeof__(*(entry)), member)
#define list_for_each_entry(entry, head, member)                                                        \
  for (entry = list_entry((head)->next, __typeof__(*entry), member); &entry->member != (head);          \
       entry = list_step(entry, member, next))
#define list_for_each_entry_safe(entry, after, head, member)                                            \
  for (entry = list_entry((head)->next, __typeof__(*entry), member), after = list_step(entry, member, next); \
       &entry->member != (head); entry = after, after = list_step(after, member, next))
#define list_for_each_entry_safe_reverse(entry, after, head, member)                                    \
  for (entry = list_entry((head)->prev, __typeof__(*entry), member), after = list_step(entry, member, prev); \
       &entry->member != (head); entry = after, after = list_step(after, member, prev))

#define DECLARE_HASHTABLE(name, bits) struct hlist_head name[1 << (bits)]
#define HASH_SIZE(table) ARRAY_SIZE(table)
#define hash_init(table) memset(table, 0, sizeof(table))
static inline void hlist_add_head(struct hlist_node *node, struct hlist_head *head) {
  node->next = head->first;
  if (node->next) node->next->pprev = &node->next;
  head->first = node;
  node->pprev = &head->first;
}
static inline void hash_del(struct hlist_node *node) {
  *node->pprev = node->next;
  if (node->next) node->next->pprev = node->pprev;
}
#define hash_bucket(table, key) (&(table)[(key) & (HASH_SIZE(table) - 1)])
#define hash_add(table, node, key) hlist_add_head(node, hash_bucket(table, key))
#define hlist_entry_or_null(node, type, member) ((node) ? container_of(node, type, member) : NULL)
#define hlist_for_each_entry(entry, head, member)                                       \
  for (entry = hlist_entry_or_null((head)->first, __typeof__(*entry), member); entry;   \
       entry = hlist_entry_or_null(entry->member.next, __typeof__(*entry), member))
#define hlist_for_each_entry_safe(entry, after, head, member)                                        \
  for (entry = hlist_entry_or_null((head)->first, __typeof__(*entry), member);                       \
       entry && ({ after = entry->member.next; 1; });                                                \
       entry = hlist_entry_or_null(after, __typeof__(*entry), member))
#define hash_for_each_possible(table, entry, member, key) \
  hlist_for_each_entry(entry, hash_bucket(table, key), member)

static inline u32 jhash2(const u32 *words, u32 nr, u32 hash) {
  for (; nr; nr--) hash = (hash ^ *words++) * 0x9e3779b1U;
  return hash ^ hash >> 15;
}
static inline u32 hash_ptr(const void *pointer, unsigned int bits) {
  (void)pointer;
  (void)bits;
  return 0; /* where memory lies must not decide a schedule */
}
static inline u32 reciprocal_scale(u32 value, u32 end) { return (u32)((u64)value * end >> 32); }

/* --- a tree, not balanced ------------------------------------------------ */

struct rb_node {
  struct rb_node *rb_parent, *rb_left, *rb_right;
};
struct rb_root {
  struct rb_node *rb_node;
};

#define RB_ROOT ((struct rb_root){NULL})
#define RB_EMPTY_ROOT(root) (!(root)->rb_node)
#define rb_entry(pointer, type, member) container_of(pointer, type, member)
static inline void rb_link_node(struct rb_node *node, struct rb_node *parent, struct rb_node **link) {
  *node = (struct rb_node){.rb_parent = parent};
  *link = node;
}
static inline void rb_insert_color(struct rb_node *node, struct rb_root *root) {
  (void)node;
  (void)root;
}
static inline struct rb_node *rb_first(const struct rb_root *root) {
  struct rb_node *node = root->rb_node;
  while (node && node->rb_left) node = node->rb_left;
  return node;
}
static inline void rb_erase(struct rb_node *node, struct rb_root *root) {
  struct rb_node **link = &root->rb_node, *instead = node->rb_left ? node->rb_left : node->rb_right;
  if (node->rb_parent)
    link = node->rb_parent->rb_left == node ? &node->rb_parent->rb_left : &node->rb_parent->rb_right;
  if (node->rb_left && node->rb_right) {
    struct rb_node *last = node->rb_left;
    while (last->rb_right) last = last->rb_right;
    last->rb_right = node->rb_right;
    node->rb_right->rb_parent = last;
  }
  *link = instead;
  if (instead) instead->rb_parent = node->rb_parent;
}

/* --- bits ---------------------------------------------------------------- */

#define BITS_PER_LONG 64
#define BIT(n) (1UL << (n))
#define GENMASK(high, low) ((~0UL >> (63 - (high))) & (~0UL << (low)))
#define DECLARE_BITMAP(name, bits) unsigned long name[((bits) + BITS_PER_LONG - 1) / BITS_PER_LONG]
static inline bool test_bit(unsigned int bit, const unsigned long *map) {
  return map[bit / BITS_PER_LONG] >> bit % BITS_PER_LONG & 1;
}
static inline void __set_bit(unsigned int bit, unsigned long *map) {
  map[bit / BITS_PER_LONG] |= BIT(bit % BITS_PER_LONG);
}
static inline void __clear_bit(unsigned int bit, unsigned long *map) {
  map[bit / BITS_PER_LONG] &= ~BIT(bit % BITS_PER_LONG);
}
static inline bool __test_and_set_bit(unsigned int bit, unsigned long *map) {
  bool was = test_bit(bit, map);
  __set_bit(bit, map);
  return was;
}
static inline bool __test_and_clear_bit(unsigned int bit, unsigned long *map) {
  bool was = test_bit(bit, map);
  __clear_bit(bit, map);
  return was;
}
static inline unsigned int find_next_zero_bit(const unsigned long *map, unsigned int size, unsigned int from) {
  while (from < size && test_bit(from, map)) from++;
  return from;
}
static inline unsigned int find_next_bit(const unsigned long *map, unsigned int size, unsigned int from) {
  while (from < size && !test_bit(from, map)) from++;
  return from;
}
#define find_first_bit(map, size) find_next_bit(map, size, 0)
#define for_each_set_bit(bit, map, size) \
  for ((bit) = find_first_bit(map, size); (bit) < (size); (bit) = find_next_bit(map, size, (bit) + 1))
#define hweight_long(word) ((unsigned long)__builtin_popcountl(word))
#define ilog2(x) (63 - __builtin_clzll(x))

/* --- memory -------------------------------------------------------------- */

#define PAGE_SHIFT 12
#define PAGE_SIZE (1UL << PAGE_SHIFT)
#define PAGE_MASK (~(PAGE_SIZE - 1))

/* The content is one word. A page goes when nobody refers to it. */
struct page {
  u64 content;
  int references;
};

#define GFP_KERNEL 0U
#define GFP_ATOMIC 0U
#define GFP_NOWAIT 0U
#define __GFP_NOWARN 0U
#define __GFP_NOMEMALLOC 0U
#define kzalloc(size, gfp) calloc(1, size)
#define kcalloc(nr, size, gfp) calloc(nr, size)
#define kvcalloc(nr, size, gfp) calloc(nr, size)
#define kfree(pointer) free(pointer)
#define kvfree(pointer) free(pointer)
#define totalram_pages() (1UL << 16)

static inline struct page *alloc_pages(gfp_t gfp, unsigned int order) {
  (void)gfp;
  return calloc(1UL << order, sizeof(struct page));
}
static inline void __free_pages(struct page *page, unsigned int order) {
  (void)order;
  free(page);
}
static inline void get_page(struct page *page) { page->references++; }
static inline void put_page(struct page *page) {
  if (!--page->references) free(page);
}
static inline void copy_highpage(struct page *to, struct page *from) { to->content = from->content; }

struct scatterlist {
  void *memory;
  struct page *page;
  unsigned int length;
};
static inline void sg_init_one(struct scatterlist *sg, void *memory, unsigned int length) {
  *sg = (struct scatterlist){.memory = memory, .length = length};
}
static inline void sg_init_table(struct scatterlist *sg, unsigned int nr) { memset(sg, 0, nr * sizeof(*sg)); }
static inline void sg_set_page(struct scatterlist *sg, struct page *page, unsigned int length, unsigned int offset) {
  (void)offset;
  sg->page = page;
  sg->length = length;
}

/* --- what is printed, and not -------------------------------------------- */

struct device {
  int unused;
};
/* A warning of the driver's: a run that has no reason for one fails. */
void kernel_warning(const char *text);
#define dev_warn(device, format, ...) kernel_warning(format)
#define dev_err(device, format, ...) kernel_warning(format)
#define dev_notice(device, format, ...) ((void)0)
#define dev_info(device, format, ...) ((void)0)
#define pr_err_ratelimited(format, ...) ((void)0)

struct bio;
struct file_operations;
struct notifier_block {
  int (*notifier_call)(struct notifier_block *nb, unsigned long event, void *data);
};
struct dentry;

#define TP_PROTO(...) (__VA_ARGS__)
#define TP_ARGS(...)
#define TP_STRUCT__entry(...)
#define TP_fast_assign(...)
#define TP_printk(...)
#define DECLARE_EVENT_CLASS(name, ...)
#define DEFINE_EVENT(class, name, prototype, arguments) \
  static inline void trace_##name prototype {}
#define TRACE_EVENT(name, prototype, ...) \
  static inline void trace_##name prototype {}

#include "kernel_sync.h"

#endif
