// SPDX-License-Identifier: MIT
/*
 * swap-on DEVICE PRIORITY [discard]: swapon(2) as init needs it. busybox's has no priorities, and without one Linux 7
 * takes turns between areas, where kernels before it use first what was switched on first.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/swap.h>

int main(int argc, char **argv)
{
	int flags = SWAP_FLAG_PREFER | SWAP_FLAG_DISCARD;

	if (argc < 3 || argc > 4 || (argc == 4 && strcmp(argv[3], "discard"))) {
		fprintf(stderr, "usage: swap-on DEVICE PRIORITY [discard]\n");
		return 2;
	}
	if (argc == 3)
		flags &= ~SWAP_FLAG_DISCARD;
	if (swapon(argv[1], flags | (atoi(argv[2]) & SWAP_FLAG_PRIO_MASK))) {
		perror(argv[1]);
		return 1;
	}
	return 0;
}
