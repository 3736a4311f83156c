// SPDX-License-Identifier: MIT
/*
 * The guest's workload of many short-lived processes that share swapped pages.
 *
 *   forks --megabytes N --processes N --seed N --corpus FILE
 *
 * One process fills its memory. In each of ROUNDS rounds it forks N others, all at
 * once. Each of those checks every page in an order of its own, writes every
 * eighth anew, which makes a copy of it, and checks those once more; meanwhile
 * the first checks its own, which nobody may have changed.
 *
 * Prints "result {...}" (JSON) and exits 0 when every page checked out, 1 when
 * one did not, 2 when the workload could not run. The same seed is the same run.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "content.h"
#include "order.h"
#include "program.h"

#define ROUNDS 3
#define MAX_PROCESSES 64
#define PAGES_PER_COPY 8

static struct {
	uint64_t megabytes;
	uint64_t processes;
	uint64_t seed;
} options = { .megabytes = 32, .processes = 4, .seed = 1 };

static struct corpus corpus;
static uint8_t *memory;
static uint32_t page_count;
static struct tally tally; /* of this process, and a corrupt page for each child that found any */

static void read_options(char **argument)
{
	const char *corpus_path = NULL;
	const struct program_option known[] = {
		{ "--megabytes", .number = &options.megabytes },
		{ "--processes", .number = &options.processes },
		{ "--seed", .number = &options.seed },
		{ "--corpus", .text = &corpus_path },
		{ NULL },
	};

	parse_options(argument, known);
	if (options.processes < 1 || options.processes > MAX_PROCESSES)
		fail("--processes", "1 to 64");
	if (options.megabytes < 1 || options.megabytes > 1024 * 1024)
		fail("--megabytes", "1 to 1048576");
	if (!corpus_path)
		fail("--corpus", "missing");
	corpus = map_corpus(corpus_path);
}

static uint8_t *page_at(uint32_t page)
{
	return memory + (size_t)page * PAGE_BYTES;
}

static void check(const struct page_id *id)
{
	check_page(&corpus, id, page_at(id->page), &tally);
}

/* Every page as the first process wrote it; @process, unless 0, copies some. */
static void walk(uint32_t process, uint32_t generation)
{
	struct order order;
	int64_t page;

	order_start(&order, page_count, mix(options.seed, mix(process, generation)));
	while ((page = order_next(&order)) >= 0) {
		struct page_id id = { options.seed, 0, page, 0 };

		check(&id);
		if (process && page % PAGES_PER_COPY == process % PAGES_PER_COPY) {
			id.process = process;
			id.generation = generation;
			page_content(&corpus, &id, page_at(page));
		}
	}
	for (page = process % PAGES_PER_COPY; process && page < page_count; page += PAGES_PER_COPY) {
		struct page_id id = { options.seed, process, page, generation };

		check(&id);
	}
}

static void run_round(uint32_t generation)
{
	int status;

	for (uint32_t process = 1; process <= options.processes; process++) {
		pid_t pid = fork();

		if (pid < 0)
			fail("fork", strerror(errno));
		if (pid == 0) {
			walk(process, generation);
			_exit(tally.pages_corrupt != 0);
		}
	}
	walk(0, generation);
	while (wait(&status) > 0) {
		if (!WIFEXITED(status) || WEXITSTATUS(status) > 1)
			fail("a process", "died");
		if (WEXITSTATUS(status))
			tally.pages_corrupt++;
	}
}

int main(int argc, char **argv)
{
	size_t bytes;

	(void)argc;
	read_options(argv);
	bytes = options.megabytes << 20;
	page_count = bytes / PAGE_BYTES;
	memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		fail("mmap", strerror(errno));
	for (uint32_t page = 0; page < page_count; page++) {
		struct page_id id = { options.seed, 0, page, 0 };

		page_content(&corpus, &id, page_at(page));
	}
	for (uint32_t round = 1; round <= ROUNDS; round++)
		run_round(round);
	return print_result(options.seed, options.megabytes, options.processes, &tally, NULL, 0, false);
}
