// SPDX-License-Identifier: MIT
#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

void fail(const char *what, const char *detail)
{
	fprintf(stderr, "workload: %s: %s\n", what, detail);
	exit(2);
}

double now_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

uint64_t parse_number(const char *name, const char *text)
{
	char *end;
	uint64_t value;

	errno = 0;
	value = text ? strtoull(text, &end, 10) : 0;
	if (!text || errno || !*text || *end || *text == '-')
		fail(name, "not a number");
	return value;
}

struct corpus map_corpus(const char *path)
{
	struct corpus corpus;
	struct stat status;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &status))
		fail(path, strerror(errno));
	if (status.st_size < 4 * PAGE_BYTES)
		fail(path, "too small for a corpus");
	corpus.size_bytes = status.st_size;
	corpus.bytes = mmap(NULL, corpus.size_bytes, PROT_READ, MAP_SHARED, fd, 0);
	if (corpus.bytes == MAP_FAILED)
		fail(path, strerror(errno));
	close(fd);
	return corpus;
}

void report_corrupt(const struct page_id *id, const uint8_t *found, const uint8_t *expected)
{
	size_t at = 0;

	while (at < PAGE_BYTES && found[at] == expected[at])
		at++;
	/* Changed back between the compare and now: still corrupt, and worth knowing. */
	fprintf(stderr, "workload: corrupt page %u of process %u, generation %u, %s: byte %zu is %02x, not %02x\n",
		id->page, id->process, id->generation, page_kind_names[page_kind(id)], at,
		at < PAGE_BYTES ? found[at] : 0, at < PAGE_BYTES ? expected[at] : 0);
}

void hold(void)
{
	int c;

	printf("held\n");
	fflush(stdout);
	do {
		c = getchar();
	} while (c != '\n' && c != EOF);
}
