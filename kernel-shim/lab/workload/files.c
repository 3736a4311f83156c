// SPDX-License-Identifier: MIT
/*
 * The guest's file workload: reads files that together are larger than the page
 * cache, again and again, changes them, and checks every page it reads.
 *
 *   files --disk NAME --directory DIRECTORY --megabytes N --stream N --seed N --corpus FILE [--hold]
 *
 * NAME is a disk with an ext4 file system, such as vdb. Phases:
 *
 *   write      makes the files, and with --stream one more of that many MiB;
 *              then unmounts and mounts again, so that nothing is cached
 *   warm       reads every file
 *   pass 1..3  the same, each in another order of files
 *   stream     with --stream: reads that file, once
 *   after      with --stream: reads the others once more
 *   change     overwrites, truncates and extends, unlinks and makes anew, some
 *              of it past the page cache
 *   verify     reads every file twice, and once more after unmount and mount
 *
 * "phase NAME" is printed when one starts. With --hold, "held" is printed after
 * the passes and a line read from the standard input.
 *
 * Prints "result {...}" (JSON): also, for each phase, the sectors that were read
 * from the disk. Exits 0 when every page checked out, 1 when one did not, 2 when
 * the workload could not run. The same seed is the same run.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "content.h"
#include "order.h"
#include "program.h"

#define PAGES_PER_FILE 1024u	/* 4 MiB */
#define PAGES_PER_READ 32u
#define MAX_FILES 65536u
#define MAX_PHASES 16

static struct {
	const char *disk;
	const char *directory;
	uint64_t megabytes;
	uint64_t stream_megabytes;
	uint64_t seed;
	const char *corpus_path;
	bool hold;
} options = { .megabytes = 64, .seed = 1 };

static const struct program_option known_options[] = {
	{ "--disk", .text = &options.disk },
	{ "--directory", .text = &options.directory },
	{ "--megabytes", .number = &options.megabytes },
	{ "--stream", .number = &options.stream_megabytes },
	{ "--seed", .number = &options.seed },
	{ "--corpus", .text = &options.corpus_path },
	{ "--hold", .flag = &options.hold },
	{ NULL },
};

static struct corpus corpus;

/* What a file must hold: the generation of its pages, by index, and its length. */
struct file {
	uint8_t generation[PAGES_PER_FILE];
	uint32_t pages;
};

static struct file *files;
static uint32_t file_count;
static struct tally tally;

static struct phase phases[MAX_PHASES];
static unsigned int phase_count;

static void set_options(char **argument)
{
	parse_options(argument, known_options);
	if (!options.disk || !options.directory || !options.corpus_path)
		fail("options", "--disk, --directory and --corpus are needed");
	file_count = (options.megabytes << 20) / PAGE_BYTES / PAGES_PER_FILE;
	if (file_count < 4 || file_count > MAX_FILES)
		fail("--megabytes", "16 to 262144");
	corpus = map_corpus(options.corpus_path);
}

static void mount_disk(void)
{
	char device[64];

	snprintf(device, sizeof(device), "/dev/%s", options.disk);
	if (mount(device, options.directory, "ext4", MS_NOATIME, NULL))
		fail(device, strerror(errno));
}

static void unmount_disk(void)
{
	if (umount(options.directory))
		fail(options.directory, strerror(errno));
}

static uint64_t sectors_read(void)
{
	char path[96];
	uint64_t sectors;
	FILE *statistics;

	snprintf(path, sizeof(path), "/sys/block/%s/stat", options.disk);
	statistics = fopen(path, "r");
	if (!statistics || fscanf(statistics, "%*u %*u %" SCNu64, &sectors) != 1)
		fail(path, "no statistics");
	fclose(statistics);
	return sectors;
}

static void start(const char *name)
{
	start_phase(&phases[phase_count], name);
	phases[phase_count].sectors = -sectors_read();
}

static void end(void)
{
	struct phase *phase = &phases[phase_count++];

	end_phase(phase);
	phase->sectors += sectors_read();
}

static const char *file_path(uint32_t number)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%u", options.directory, number);
	return path;
}

static int open_file(uint32_t number, int flags)
{
	int fd = open(file_path(number), flags | O_CLOEXEC, 0600);

	if (fd < 0)
		fail(file_path(number), strerror(errno));
	return fd;
}

static void write_pages(int fd, uint32_t number, uint32_t first, uint32_t count, uint32_t generation)
{
	static uint8_t buffer[PAGES_PER_READ * PAGE_BYTES] __attribute__((aligned(PAGE_BYTES)));

	while (count) {
		uint32_t pages = count < PAGES_PER_READ ? count : PAGES_PER_READ;

		for (uint32_t page = 0; page < pages; page++) {
			struct page_id id = { options.seed, number, first + page, generation };

			page_content(&corpus, &id, buffer + page * PAGE_BYTES);
		}
		if (pwrite(fd, buffer, pages * PAGE_BYTES, (off_t)first * PAGE_BYTES) != pages * PAGE_BYTES)
			fail(file_path(number), "short write");
		first += pages;
		count -= pages;
	}
}

/* @generations: of each page, or NULL: 0 */
static void read_file(uint32_t number, uint32_t count, const uint8_t *generations)
{
	static uint8_t buffer[PAGES_PER_READ * PAGE_BYTES];
	int fd = open_file(number, O_RDONLY);

	for (uint32_t first = 0; first < count; first += PAGES_PER_READ) {
		uint32_t pages = count - first < PAGES_PER_READ ? count - first : PAGES_PER_READ;

		if (pread(fd, buffer, pages * PAGE_BYTES, (off_t)first * PAGE_BYTES) != pages * PAGE_BYTES)
			fail(file_path(number), "short read");
		for (uint32_t page = 0; page < pages; page++) {
			struct page_id id = { options.seed, number, first + page,
					      generations ? generations[first + page] : 0 };

			check_page(&corpus, &id, buffer + page * PAGE_BYTES, &tally);
		}
	}
	if (lseek(fd, 0, SEEK_END) != (off_t)count * PAGE_BYTES)
		fail(file_path(number), "wrong length");
	close(fd);
}

/* Every file once, in an order that follows from @pass. */
static void read_files(uint32_t pass)
{
	struct order order;
	int64_t number;

	order_start(&order, file_count, mix(options.seed, pass));
	while ((number = order_next(&order)) >= 0)
		read_file(number, files[number].pages, files[number].generation);
}

static void make_file(uint32_t number, uint32_t pages, uint32_t generation)
{
	int fd = open_file(number, O_WRONLY | O_CREAT | O_TRUNC);

	write_pages(fd, number, 0, pages, generation);
	if (fsync(fd))
		fail(file_path(number), strerror(errno));
	close(fd);
}

static void overwrite(uint32_t number, int flags, uint32_t first, uint32_t count)
{
	struct file *file = &files[number];
	int fd = open_file(number, O_WRONLY | flags);

	for (uint32_t page = first; page < first + count; page++) {
		file->generation[page]++;
		write_pages(fd, number, page, 1, file->generation[page]);
	}
	close(fd);
}

static void shorten(uint32_t number, uint32_t pages, bool extend)
{
	struct file *file = &files[number];

	if (truncate(file_path(number), (off_t)pages * PAGE_BYTES))
		fail(file_path(number), strerror(errno));
	file->pages = pages;
	if (!extend)
		return;
	for (uint32_t page = pages; page < PAGES_PER_FILE; page++)
		file->generation[page]++;
	file->pages = PAGES_PER_FILE;
	int fd = open_file(number, O_WRONLY);

	for (uint32_t page = pages; page < PAGES_PER_FILE; page++)
		write_pages(fd, number, page, 1, file->generation[page]);
	close(fd);
}

static void make_anew(uint32_t number)
{
	struct file *file = &files[number];

	if (unlink(file_path(number)))
		fail(file_path(number), strerror(errno));
	memset(file->generation, file->generation[0] + 1, sizeof(file->generation));
	make_file(number, file->pages, file->generation[0]);
}

/* Something else for each file, whose pages are anywhere by now. */
static void change_files(void)
{
	for (uint32_t number = 0; number < file_count; number++) {
		uint64_t chance = mix(mix(options.seed, 77), number);
		uint32_t page = (chance >> 8) % PAGES_PER_FILE;
		uint32_t some = (PAGES_PER_FILE - page) / 4 + 1;

		switch (chance % 6) {
		case 0:
			overwrite(number, 0, page, some);
			break;
		case 1:
			overwrite(number, O_DIRECT, page, some);
			break;
		case 2:
			shorten(number, page, false);
			break;
		case 3:
			shorten(number, page, true);
			break;
		case 4:
			make_anew(number);
			break;
		default:
			break;
		}
	}
}

int main(int argc, char **argv)
{
	uint32_t stream_pages;

	(void)argc;
	set_options(argv);
	stream_pages = (options.stream_megabytes << 20) / PAGE_BYTES;
	files = calloc(file_count, sizeof(*files));
	if (!files)
		fail("files", "no memory");
	mount_disk();

	start("write");
	for (uint32_t number = 0; number < file_count; number++) {
		files[number].pages = PAGES_PER_FILE;
		make_file(number, PAGES_PER_FILE, 0);
	}
	if (stream_pages)
		make_file(file_count, stream_pages, 0);
	unmount_disk();
	mount_disk();
	end();

	start("warm");
	read_files(0);
	end();
	for (uint32_t pass = 1; pass <= 3; pass++) {
		char name[16];

		snprintf(name, sizeof(name), "pass %u", pass);
		start(name);
		read_files(pass);
		end();
	}
	if (stream_pages) {
		start("stream");
		read_file(file_count, stream_pages, NULL);
		end();
		start("after");
		read_files(4);
		end();
	}
	if (options.hold)
		hold();

	start("change");
	change_files();
	end();
	start("verify");
	read_files(5);
	read_files(6);
	unmount_disk();
	mount_disk();
	read_files(7);
	unmount_disk();
	end();
	return print_result(options.seed, options.megabytes, 1, &tally, phases, phase_count, true);
}
