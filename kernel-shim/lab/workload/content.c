// SPDX-License-Identifier: MIT
#include "content.h"

#include <string.h>

#define REPEATED_PAGES 512

const char *const page_kind_names[] = {
	"zero", "same-filled", "repeated", "incompressible", "text", "program",
};

uint64_t mix(uint64_t a, uint64_t b)
{
	uint64_t z = a + 0x9e3779b97f4a7c15ull * (b + 1);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

static uint64_t page_hash(const struct page_id *id)
{
	return mix(mix(id->seed, ((uint64_t)id->process << 32) | id->page), id->generation);
}

enum page_kind page_kind(const struct page_id *id)
{
	uint64_t percent = page_hash(id) % 100;

	if (percent < 10)
		return KIND_ZERO;
	if (percent < 15)
		return KIND_SAME_FILLED;
	if (percent < 30)
		return KIND_REPEATED;
	if (percent < 40)
		return KIND_INCOMPRESSIBLE;
	return percent < 70 ? KIND_TEXT : KIND_PROGRAM;
}

static void fill_words(uint8_t *out, uint64_t word)
{
	for (size_t at = 0; at < PAGE_BYTES; at += sizeof(word))
		memcpy(out + at, &word, sizeof(word));
}

static void fill_generated(uint8_t *out, uint64_t state)
{
	for (size_t at = 0; at < PAGE_BYTES; at += sizeof(state)) {
		uint64_t word = mix(state, at);

		memcpy(out + at, &word, sizeof(word));
	}
}

/* A page-sized window that starts anywhere in the given half of the corpus. */
static void fill_window(uint8_t *out, const struct corpus *corpus, int half, uint64_t hash)
{
	size_t half_bytes = corpus->size_bytes / 2;
	size_t start = half * half_bytes + hash % (half_bytes - PAGE_BYTES);

	memcpy(out, corpus->bytes + start, PAGE_BYTES);
}

void page_content(const struct corpus *corpus, const struct page_id *id, uint8_t out[PAGE_BYTES])
{
	uint64_t hash = page_hash(id);
	uint64_t choice = mix(hash, 1);
	enum page_kind kind = page_kind(id);

	switch (kind) {
	case KIND_ZERO:
		memset(out, 0, PAGE_BYTES);
		break;
	case KIND_SAME_FILLED:
		fill_words(out, choice);
		break;
	case KIND_REPEATED:
		choice = mix(id->seed, choice % REPEATED_PAGES);
		fill_window(out, corpus, choice & 1, choice >> 1);
		break;
	case KIND_INCOMPRESSIBLE:
		fill_generated(out, hash);
		break;
	case KIND_TEXT:
	case KIND_PROGRAM:
		fill_window(out, corpus, kind == KIND_PROGRAM, choice);
		memcpy(out, &hash, sizeof(hash));
		break;
	}
}
