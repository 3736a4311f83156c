/* SPDX-License-Identifier: MIT */
/*
 * What a page must hold, computed from (seed, process, page, generation)
 * alone: a page can be checked in full, at any time, without remembering what
 * was written to it.
 *
 * Of 100 pages, on average:
 *    10 zero
 *     5 same-filled: one 64-bit word over and over
 *    15 repeated: one of 512 pages that every process writes
 *    10 incompressible: bytes of a generator
 *    30 text, 30 program: a window of the corpus at any byte offset, so that
 *       no two are alike, stamped with the hash of the four
 *
 * The corpus is one file, text in its first half and machine code in its
 * second.
 */
#ifndef WORKLOAD_CONTENT_H_
#define WORKLOAD_CONTENT_H_

#include <stddef.h>
#include <stdint.h>

#define PAGE_BYTES 4096

enum page_kind {
	KIND_ZERO,
	KIND_SAME_FILLED,
	KIND_REPEATED,
	KIND_INCOMPRESSIBLE,
	KIND_TEXT,
	KIND_PROGRAM,
};

extern const char *const page_kind_names[];

struct corpus {
	const uint8_t *bytes;
	size_t size_bytes;	/* at least 4 pages */
};

struct page_id {
	uint64_t seed;
	uint32_t process;
	uint32_t page;
	uint32_t generation;
};

/* A well mixed hash of two words (the finaliser of SplitMix64). */
uint64_t mix(uint64_t a, uint64_t b);

enum page_kind page_kind(const struct page_id *id);

void page_content(const struct corpus *corpus, const struct page_id *id, uint8_t out[PAGE_BYTES]);

#endif
