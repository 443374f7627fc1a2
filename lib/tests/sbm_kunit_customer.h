/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Sandbox mode (SBM): what suites of code that uses it have in common.
 */
#ifndef _SBM_KUNIT_CUSTOMER_H
#define _SBM_KUNIT_CUSTOMER_H

#include <kunit/resource.h>
#include <kunit/test.h>
#include <linux/cpumask.h>
#include <linux/kernel_read_file.h>
#include <linux/percpu.h>
#include <linux/sbm.h>
#include <linux/string.h>
#include <linux/types.h>
#include <linux/unaligned.h>
#include <linux/vmalloc.h>

#include "../../kernel/sbm/debugfs.h"
#include "../../kernel/sbm/sbm.h"

/* How many calls were stopped for @cause, of all instances; always 0 without debugfs */
static inline u64 stops_for(enum sbm_cause cause)
{
	u64 sum = 0;
#ifdef CONFIG_DEBUG_FS
	unsigned int cpu;

	for_each_possible_cpu(cpu)
		sum += READ_ONCE(per_cpu_ptr(&sbm_stats, cpu)->stops[cause]);
#endif
	return sum;
}

static inline u64 all_stops(void)
{
#ifdef CONFIG_DEBUG_FS
	return sbm_stats_stops();
#else
	return 0;
#endif
}

/**
 * struct corpus - inputs that user space has made, in a file
 * @buf: The file, which goes with the case.
 * @at:  What comes next.
 * @end: Where the file ends.
 * @nr:  How many inputs it has.
 */
struct corpus {
	void		*buf;
	const u8	*at;
	const u8	*end;
	u32		nr;
};

#define CORPUS_MAGIC_SIZE	8

KUNIT_DEFINE_ACTION_WRAPPER(corpus_free, vfree, const void *);

/*
 * The file @path begins with @magic, of which the zero at its end is part, and the number
 * of inputs. False if there is none: a case that was skipped at boot, when nobody has a
 * file, would never be run again.
 */
static inline bool corpus_open(struct kunit *test, struct corpus *corpus,
			       const char *path, const char magic[CORPUS_MAGIC_SIZE])
{
	ssize_t size;

	if (!path || !*path) {
		kunit_info(test, "no corpus\n");
		return false;
	}

	corpus->buf = NULL;
	/* A kernel thread of 7.3 sees no file of its own */
	size = kernel_read_file_from_path_initns(path, 0, &corpus->buf, INT_MAX, NULL,
						 READING_UNKNOWN);
	if (size >= 0)
		KUNIT_ASSERT_EQ(test, 0,
				kunit_add_action_or_reset(test, corpus_free, corpus->buf));
	KUNIT_ASSERT_GT(test, size, CORPUS_MAGIC_SIZE + 4);
	corpus->at = corpus->buf;
	corpus->end = corpus->at + size;
	KUNIT_EXPECT_EQ(test, memcmp(corpus->at, magic, CORPUS_MAGIC_SIZE), 0);
	corpus->nr = get_unaligned_le32(corpus->at + CORPUS_MAGIC_SIZE);
	corpus->at += CORPUS_MAGIC_SIZE + 4;

	return true;
}

#endif /* _SBM_KUNIT_CUSTOMER_H */
