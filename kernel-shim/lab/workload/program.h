/* SPDX-License-Identifier: MIT */
/*
 * What the workloads need of a program: options, failing, time, the corpus, and
 * the lab that waits at the other end of the standard input and output.
 */
#ifndef WORKLOAD_PROGRAM_H_
#define WORKLOAD_PROGRAM_H_

#include <stdint.h>

#include "content.h"

/* Ends the program with status 2: it could not run. */
void fail(const char *what, const char *detail) __attribute__((noreturn));

/* A decimal number, or fail(name, ...). */
uint64_t parse_number(const char *name, const char *text);

double now_seconds(void);

struct corpus map_corpus(const char *path);

/* Says on stderr where a page differs from what it must hold. */
void report_corrupt(const struct page_id *id, const uint8_t *found, const uint8_t *expected);

/* Prints "held" and reads a line, so that somebody can look at the guest now. */
void hold(void);

#endif
