/* SPDX-License-Identifier: MIT */
/*
 * What the workloads need of a program: options, failing, time, the corpus,
 * checking pages, and the lab that waits at the other end of the standard input
 * and output for phases and a result.
 */
#ifndef WORKLOAD_PROGRAM_H_
#define WORKLOAD_PROGRAM_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "content.h"

/* An option of the command line, and where its value goes: one of the three. */
struct program_option {
	const char *name;
	bool *flag;		/* takes no value */
	uint64_t *number;
	const char **text;
};

/* What was found of pages. Each writer has its own. */
struct tally {
	uint64_t pages_checked;
	uint64_t pages_corrupt;
};

/* A phase of the workload, with what it took. */
struct phase {
	char name[16];
	double seconds;
	uint64_t sectors;	/* read from the disk, where there is one */
};

/* Ends the program with status 2: it could not run. */
void fail(const char *what, const char *detail) __attribute__((noreturn));

/* Sets what @argument names; the last of @options has no name. Or fail(). */
void parse_options(char **argument, const struct program_option *options);

double now_seconds(void);

struct corpus map_corpus(const char *path);

/* Compares a page with what it must hold; says on stderr where the first few differ. */
void check_page(const struct corpus *corpus, const struct page_id *id, const uint8_t *found, struct tally *tally);

/* Starts a phase and prints "phase NAME"; its end sets its seconds. */
void start_phase(struct phase *phase, const char *name);
void end_phase(struct phase *phase);

/*
 * Prints "result {...}" (JSON), without its sectors unless @sectors. Returns the
 * program's exit status.
 */
int print_result(uint64_t seed, uint64_t megabytes, uint64_t processes, const struct tally *tally,
		 const struct phase *phases, size_t count, bool sectors);

/* Prints "held" and reads a line, so that somebody can look at the guest now. */
void hold(void);

#endif
