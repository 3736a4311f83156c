// SPDX-License-Identifier: MIT
/*
 * The guest's workload: processes that together touch more anonymous memory
 * than the guest has, and check every page of it.
 *
 *   anonymous --megabytes N --processes N --seed N --corpus FILE [--checks N] [--hold] [--pause PHASE]
 *
 * Every process walks its share in random order, a new one for each phase:
 *
 *   fill     writes every page (generation 0)
 *   rewrite  compares a quarter of the pages with what they must hold and
 *            writes them anew (generation 1)
 *   check    compares every page, --checks times
 *   release  unmaps everything
 *
 * A phase starts when all processes have ended the one before, and "phase NAME"
 * is printed when it does. With --hold, "held" is printed before release and a line read from the standard input,
 * so that somebody can look at the swap while it is full. With --pause the same before that phase.
 *
 * Prints "result {...}" (JSON) and exits 0 when every page checked out, 1 when
 * one did not, 2 when the workload could not run. The same seed is the same run.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "content.h"
#include "order.h"
#include "program.h"

#define MAX_PROCESSES 64

enum phase_number { FILL, REWRITE, CHECK, RELEASE, PHASES };

static const char *const phase_names[PHASES] = { "fill", "rewrite", "check", "release" };

/* Shared by all processes; each writes only its own tally. */
struct shared {
	pthread_barrier_t phase_starts;
	pthread_barrier_t phase_ended;
	struct tally tallies[MAX_PROCESSES];
};

struct options {
	uint64_t megabytes;
	uint64_t processes;
	uint64_t seed;
	uint64_t checks;
	const char *corpus_path;
	bool hold;
	const char *pause;
};

static struct options options_of(char **argument)
{
	struct options options = { .megabytes = 640, .processes = 2, .seed = 1, .checks = 1 };
	const struct program_option known[] = {
		{ "--megabytes", .number = &options.megabytes },
		{ "--processes", .number = &options.processes },
		{ "--seed", .number = &options.seed },
		{ "--checks", .number = &options.checks },
		{ "--corpus", .text = &options.corpus_path },
		{ "--pause", .text = &options.pause },
		{ "--hold", .flag = &options.hold },
		{ NULL },
	};

	parse_options(argument, known);
	if (options.processes < 1 || options.processes > MAX_PROCESSES)
		fail("--processes", "1 to 64");
	if (options.megabytes < options.processes || options.megabytes > 1024 * 1024)
		fail("--megabytes", "from one a process to 1048576");
	if (!options.corpus_path)
		fail("--corpus", "missing");
	return options;
}

/* Whether the rewrite phase writes this page. */
static bool is_rewritten(uint64_t seed, uint32_t process, uint32_t page)
{
	return mix(mix(seed, 3), ((uint64_t)process << 32) | page) % 4 == 0;
}

/* What one process works on. */
struct share {
	const struct options *options;
	const struct corpus *corpus;
	uint32_t process;
	uint8_t *memory;
	uint32_t pages;
	struct tally *tally;
};

static void walk(const struct share *share, enum phase_number phase)
{
	uint64_t seed = share->options->seed;
	struct order order;
	int64_t page;

	order_start(&order, share->pages, mix(mix(seed, share->process), phase));
	while ((page = order_next(&order)) >= 0) {
		struct page_id id = { seed, share->process, page, 0 };
		uint8_t *memory = share->memory + page * PAGE_BYTES;
		bool rewritten = is_rewritten(seed, share->process, page);

		if (phase == FILL) {
			page_content(share->corpus, &id, memory);
		} else if (phase == CHECK) {
			id.generation = rewritten;
			check_page(share->corpus, &id, memory, share->tally);
		} else if (rewritten) {
			check_page(share->corpus, &id, memory, share->tally);
			id.generation = 1;
			page_content(share->corpus, &id, memory);
		}
	}
}

static int run_process(const struct options *options, const struct corpus *corpus, uint32_t process,
		       struct shared *shared)
{
	size_t bytes = (options->megabytes << 20) / options->processes / PAGE_BYTES * PAGE_BYTES;
	struct share share = { options, corpus, process, NULL, bytes / PAGE_BYTES, &shared->tallies[process] };

	share.memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (share.memory == MAP_FAILED)
		fail("mmap", strerror(errno));
	for (int phase = 0; phase < PHASES; phase++) {
		pthread_barrier_wait(&shared->phase_starts);
		if (phase == RELEASE)
			munmap(share.memory, bytes);
		else
			walk(&share, phase);
		for (uint64_t round = 1; phase == CHECK && round < options->checks; round++)
			walk(&share, phase);
		pthread_barrier_wait(&shared->phase_ended);
	}
	return 0;
}

/* A process that dies would leave the others at the barrier for ever. */
static void child_died(int signal)
{
	static const char message[] = "workload: a process died\n";
	int status;

	(void)signal;
	if (waitpid(-1, &status, WNOHANG) <= 0 || (WIFEXITED(status) && !WEXITSTATUS(status)))
		return;
	if (write(STDERR_FILENO, message, sizeof(message) - 1))
		_exit(2);
	_exit(2);
}

static struct shared *make_shared(unsigned int processes)
{
	struct shared *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pthread_barrierattr_t across_processes;

	if (shared == MAP_FAILED)
		fail("mmap", strerror(errno));
	pthread_barrierattr_init(&across_processes);
	pthread_barrierattr_setpshared(&across_processes, PTHREAD_PROCESS_SHARED);
	pthread_barrier_init(&shared->phase_starts, &across_processes, processes + 1);
	pthread_barrier_init(&shared->phase_ended, &across_processes, processes + 1);
	return shared;
}

static struct tally sum(const struct shared *shared, uint64_t processes)
{
	struct tally all = { 0 };

	for (uint64_t process = 0; process < processes; process++) {
		all.pages_checked += shared->tallies[process].pages_checked;
		all.pages_corrupt += shared->tallies[process].pages_corrupt;
	}
	return all;
}

int main(int argc, char **argv)
{
	struct options options = options_of(argv);
	struct corpus corpus = map_corpus(options.corpus_path);
	struct shared *shared = make_shared(options.processes);
	struct phase phases[PHASES];
	struct tally all;

	(void)argc;
	signal(SIGCHLD, child_died);
	for (uint64_t process = 0; process < options.processes; process++) {
		pid_t pid = fork();

		if (pid < 0)
			fail("fork", strerror(errno));
		if (pid == 0) {
			signal(SIGCHLD, SIG_DFL);
			_exit(run_process(&options, &corpus, process, shared));
		}
	}
	for (int phase = 0; phase < PHASES; phase++) {
		if ((phase == RELEASE && options.hold) || (options.pause && !strcmp(options.pause, phase_names[phase])))
			hold();
		start_phase(&phases[phase], phase_names[phase]);
		pthread_barrier_wait(&shared->phase_starts);
		pthread_barrier_wait(&shared->phase_ended);
		end_phase(&phases[phase]);
	}
	all = sum(shared, options.processes);
	return print_result(options.seed, options.megabytes, options.processes, &all, phases, PHASES, false);
}
