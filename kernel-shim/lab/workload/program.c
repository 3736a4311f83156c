// SPDX-License-Identifier: MIT
#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MAX_REPORTED_CORRUPT 8

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

static uint64_t parse_number(const char *name, const char *text)
{
	char *end;
	uint64_t value;

	errno = 0;
	value = text ? strtoull(text, &end, 10) : 0;
	if (!text || errno || !*text || *end || *text == '-')
		fail(name, "not a number");
	return value;
}

static const struct program_option *find_option(const struct program_option *options, const char *name)
{
	while (options->name && strcmp(options->name, name))
		options++;
	if (!options->name)
		fail(name, "unknown");
	return options;
}

void parse_options(char **argument, const struct program_option *options)
{
	while (*++argument) {
		const struct program_option *option = find_option(options, *argument);

		if (option->flag) {
			*option->flag = true;
			continue;
		}
		if (!*++argument)
			fail(option->name, "its value is missing");
		if (option->number)
			*option->number = parse_number(option->name, *argument);
		else
			*option->text = *argument;
	}
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

static void report_corrupt(const struct page_id *id, const uint8_t *found, const uint8_t *expected)
{
	size_t at = 0;

	while (at < PAGE_BYTES && found[at] == expected[at])
		at++;
	/* Changed back between the compare and now: still corrupt, and worth knowing. */
	fprintf(stderr, "workload: corrupt page %u of process %u, generation %u, %s: byte %zu is %02x, not %02x\n",
		id->page, id->process, id->generation, page_kind_names[page_kind(id)], at,
		at < PAGE_BYTES ? found[at] : 0, at < PAGE_BYTES ? expected[at] : 0);
}

void check_page(const struct corpus *corpus, const struct page_id *id, const uint8_t *found, struct tally *tally)
{
	static uint8_t expected[PAGE_BYTES];

	page_content(corpus, id, expected);
	tally->pages_checked++;
	if (memcmp(found, expected, PAGE_BYTES) && tally->pages_corrupt++ < MAX_REPORTED_CORRUPT)
		report_corrupt(id, found, expected);
}

void start_phase(struct phase *phase, const char *name)
{
	printf("phase %s\n", name);
	fflush(stdout);
	snprintf(phase->name, sizeof(phase->name), "%s", name);
	phase->seconds = -now_seconds();
}

void end_phase(struct phase *phase)
{
	phase->seconds += now_seconds();
}

int print_result(uint64_t seed, uint64_t megabytes, uint64_t processes, const struct tally *tally,
		 const struct phase *phases, size_t count, bool sectors)
{
	double seconds = 0;

	printf("result {\"seed\":%" PRIu64 ",\"megabytes\":%" PRIu64 ",\"processes\":%" PRIu64
	       ",\"pages_checked\":%" PRIu64 ",\"pages_corrupt\":%" PRIu64 ",\"phase_seconds\":{",
	       seed, megabytes, processes, tally->pages_checked, tally->pages_corrupt);
	for (size_t i = 0; i < count; i++) {
		printf("%s\"%s\":%.3f", i ? "," : "", phases[i].name, phases[i].seconds);
		seconds += phases[i].seconds;
	}
	if (sectors) {
		printf("},\"phase_sectors_read\":{");
		for (size_t i = 0; i < count; i++)
			printf("%s\"%s\":%" PRIu64, i ? "," : "", phases[i].name, phases[i].sectors);
	}
	printf("},\"seconds\":%.3f}\n", seconds);
	fflush(stdout);
	return tally->pages_corrupt ? 1 : 0;
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
