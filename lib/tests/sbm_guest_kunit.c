// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit suite sbm_guest: what code inside has of the kernel's services. See
 * Documentation/sandbox/runtime.rst.
 *
 * Targets return the number of the line where something was not as it should be, or 0.
 */
#include <kunit/test.h>
#include <linux/align.h>
#include <linux/array_size.h>
#include <linux/cleanup.h>
#include <linux/err.h>
#include <linux/gfp.h>
#include <linux/kern_levels.h>
#include <linux/kernel.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/parser.h>
#include <linux/prandom.h>
#include <linux/sbm.h>
#include <linux/sbm_host.h>
#include <linux/sbm_runtime.h>
#include <linux/slab.h>
#include <linux/sprintf.h>
#include <linux/string.h>
#include <linux/time64.h>

#ifdef CONFIG_SBM_X86
#include <asm/sbm.h>
#endif

#include "../../kernel/sbm/sbm.h"
#include "sbm_kunit.h"
#include "sbm_kunit_capture.h"

#define CHECK(cond)				\
	do {					\
		if (!(cond))			\
			return __LINE__;	\
	} while (0)

#define HEAP_SIZE	(256 * 1024)
#define HEAP_PAGES	(HEAP_SIZE / PAGE_SIZE)

/* === What was said === */

static int guest_init(struct kunit *test)
{
	capture_begin(test);

	return 0;
}

static void guest_exit(struct kunit *test)
{
	capture_end(test);
}

static bool was_said(struct kunit *test, const char *text)
{
	const struct capture *c = test->priv;

	return strstr(c->text, text);
}

static void expect_said(struct kunit *test, const char *text)
{
	const struct capture *c = test->priv;

	KUNIT_EXPECT_TRUE_MSG(test, was_said(test, text), "no '%s' in:\n%s", text, c->text);
}

static void expect_silence(struct kunit *test)
{
	const struct capture *c = test->priv;

	KUNIT_EXPECT_EQ_MSG(test, c->lines, 0, "said:\n%s", c->text);
}

/* === Instances === */

/* With a heap and messages, and this isolation */
static void init_guest(struct kunit *test, struct sbm *sbm, enum sbm_isolation level)
{
	const struct sbm_attr attr = {
		.min_isolation	= level,
		.flags		= level == SBM_ISOLATION_WEAK ? SBM_ATTR_WEAK : 0,
		.heap_size	= HEAP_SIZE,
		.log_size	= PAGE_SIZE,
	};

	skip_if_isolation_below(test, level);
	KUNIT_ASSERT_EQ(test, sbm_init_attr(sbm, &attr), 0);
	KUNIT_ASSERT_EQ(test, sbm_instance_isolation(sbm), level);
}

/* === Allocation === */

static bool is_filled(const void *p, int c, size_t size)
{
	return !memchr_inv(p, c, size);
}

/* Alignment of all sizes, and of large powers of two */
static int try_alignment(void)
{
	size_t size;
	void *p;

	for (size = 1; size <= 600; size++) {
		p = sbm_guest_kmalloc(size, GFP_KERNEL);
		CHECK(p);
		CHECK(IS_ALIGNED((unsigned long)p, ARCH_KMALLOC_MINALIGN));
		CHECK(IS_ALIGNED((unsigned long)p, size & -size));
		CHECK(sbm_guest_ksize(p) == size);
		memset(p, 0xff, size);
		sbm_guest_kfree(p);
	}
	for (size = 1; size <= HEAP_SIZE / 4; size *= 2) {
		p = sbm_guest_kmalloc(size, GFP_KERNEL);
		CHECK(p);
		CHECK(IS_ALIGNED((unsigned long)p, size));
		sbm_guest_kfree(p);
	}

	return sbm_guest_check();
}

static int try_realloc(void)
{
	unsigned int i;
	u8 *p, *q;

	p = sbm_guest_krealloc(NULL, 10, GFP_KERNEL);
	CHECK(p);
	for (i = 0; i < 10; i++)
		p[i] = i;
	/* In its place, then elsewhere, then smaller */
	p = sbm_guest_krealloc(p, 11, GFP_KERNEL);
	CHECK(p && sbm_guest_ksize(p) == 11);
	q = sbm_guest_kmalloc(16, GFP_KERNEL);
	CHECK(q);
	memset(q, 0x55, 16);
	p = sbm_guest_krealloc(p, 3000, GFP_KERNEL | __GFP_ZERO);
	CHECK(p && sbm_guest_ksize(p) == 3000);
	for (i = 0; i < 10; i++)
		CHECK(p[i] == i);
	CHECK(is_filled(p + 11, 0, 3000 - 11));
	CHECK(is_filled(q, 0x55, 16));
	p = sbm_guest_krealloc(p, 5, GFP_KERNEL);
	CHECK(p && sbm_guest_ksize(p) == 5);
	for (i = 0; i < 5; i++)
		CHECK(p[i] == i);
	CHECK(!sbm_guest_krealloc(p, HEAP_SIZE, GFP_KERNEL));
	CHECK(p[4] == 4);
	CHECK(sbm_guest_krealloc(p, 0, GFP_KERNEL) == ZERO_SIZE_PTR);
	CHECK(sbm_guest_krealloc(ZERO_SIZE_PTR, 0, GFP_KERNEL) == ZERO_SIZE_PTR);
	CHECK(!sbm_guest_krealloc_array(q, SIZE_MAX / 2, 3, GFP_KERNEL));
	q = sbm_guest_krealloc_array(q, 5, 7, GFP_KERNEL);
	CHECK(q && sbm_guest_ksize(q) == 35 && is_filled(q, 0x55, 16));
	sbm_guest_kfree(q);

	return sbm_guest_check();
}

static int try_copies(void)
{
	char text[] = "text", *p;

	p = sbm_guest_kmemdup(text, sizeof(text), GFP_KERNEL);
	CHECK(p && p != text && !strcmp(p, "text"));
	sbm_guest_kfree(p);
	p = sbm_guest_kmemdup_nul(text, 2, GFP_KERNEL);
	CHECK(p && !strcmp(p, "te"));
	sbm_guest_kfree(p);
	p = sbm_guest_kstrdup(text, GFP_KERNEL);
	CHECK(p && !strcmp(p, "text") && sbm_guest_ksize(p) == 5);
	sbm_guest_kfree(p);
	p = sbm_guest_kstrndup(text, 3, GFP_KERNEL);
	CHECK(p && !strcmp(p, "tex"));
	sbm_guest_kfree(p);
	p = sbm_guest_kstrndup(text, 100, GFP_KERNEL);
	CHECK(p && !strcmp(p, "text"));
	sbm_guest_kfree(p);
	CHECK(!sbm_guest_kstrdup(NULL, GFP_KERNEL));
	CHECK(!sbm_guest_kstrndup(NULL, 1, GFP_KERNEL));
	CHECK(!sbm_guest_kmemdup_nul(NULL, 1, GFP_KERNEL));
	CHECK(!sbm_guest_kmemdup_nul(text, SIZE_MAX, GFP_KERNEL));
	p = sbm_guest_kasprintf(GFP_KERNEL, "%s %d", text, -42);
	CHECK(p && !strcmp(p, "text -42") && sbm_guest_ksize(p) == 9);
	sbm_guest_kfree_sensitive(p);

	return sbm_guest_check();
}

static SBM_DEFINE_FUNC(try_allocation, size_t, rounds)
{
	/* Its square is 0, and it is 0 as a u32 where there is a difference */
	const size_t half = (size_t)1 << (BITS_PER_LONG / 2);
	int err;
	u8 *p;

	while (rounds--) {
		CHECK(sbm_guest_kmalloc(0, GFP_KERNEL) == ZERO_SIZE_PTR);
		CHECK(!sbm_guest_kmalloc(HEAP_SIZE, GFP_KERNEL));
		CHECK(!sbm_guest_kmalloc(SIZE_MAX, GFP_KERNEL));
		CHECK(!sbm_guest_kmalloc(SIZE_MAX - 16, GFP_KERNEL));
		CHECK(BITS_PER_LONG == 32 || !sbm_guest_kmalloc(half, GFP_KERNEL));
		CHECK(!sbm_guest_kmalloc_array(half, half, GFP_KERNEL));
		CHECK(!sbm_guest_kcalloc(SIZE_MAX, 2, GFP_KERNEL));
		CHECK(sbm_guest_kcalloc(0, 2, GFP_KERNEL) == ZERO_SIZE_PTR);
		CHECK(!sbm_guest_vmalloc(0));

		/* What was freed is not zero, and what must be zero is */
		p = sbm_guest_kmalloc(1000, GFP_KERNEL);
		CHECK(p);
		memset(p, 0xff, 1000);
		sbm_guest_kfree(p);
		p = sbm_guest_kzalloc(1000, GFP_KERNEL);
		CHECK(p && is_filled(p, 0, 1000));
		memset(p, 0xff, 1000);
		sbm_guest_kfree(p);
		p = sbm_guest_kcalloc(10, 100, GFP_KERNEL);
		CHECK(p && is_filled(p, 0, 1000) && sbm_guest_ksize(p) == 1000);
		sbm_guest_kfree(p);
		p = sbm_guest_kmalloc(1000, GFP_KERNEL | __GFP_ZERO);
		CHECK(p && is_filled(p, 0, 1000));
		sbm_guest_kfree(p);
		p = sbm_guest_vzalloc(5000);
		CHECK(p && IS_ALIGNED((unsigned long)p, PAGE_SIZE) && is_filled(p, 0, 5000));
		sbm_guest_kfree(p);

		sbm_guest_kfree(NULL);
		sbm_guest_kfree(ZERO_SIZE_PTR);
		sbm_guest_kfree_sensitive(NULL);
		CHECK(!sbm_guest_ksize(NULL));

		err = try_alignment() ?: try_realloc() ?: try_copies();
		if (err)
			return err;

		/* All is free again: the most that there can be, in one piece */
		p = sbm_guest_vmalloc(HEAP_SIZE - 2 * PAGE_SIZE);
		CHECK(p);
		sbm_guest_kfree(p);
	}

	return sbm_guest_check();
}

static void allocators_do_what_they_promise(struct kunit *test)
{
	struct sbm sbm;

	init_guest(test, &sbm, SBM_ISOLATION_STRONG);
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, try_allocation, 2), 0);
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, try_allocation, 1), 0);
	KUNIT_EXPECT_EQ(test, sbm_reset(&sbm), 0);
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, try_allocation, 1), 0);
	sbm_destroy(&sbm);
	expect_silence(test);
}

/* The same code, with the kernel's rights */
static void weak_isolation_has_the_same_allocators(struct kunit *test)
{
	struct sbm sbm, inner;

	init_guest(test, &sbm, SBM_ISOLATION_WEAK);
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, try_allocation, 2), 0);
	init_guest(test, &inner, SBM_ISOLATION_WEAK);
	KUNIT_EXPECT_EQ(test, sbm_call(&inner, try_allocation, 1), 0);
	sbm_destroy(&inner);
	KUNIT_EXPECT_EQ(test, sbm_reset(&sbm), 0);
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, try_allocation, 1), 0);
	sbm_destroy(&sbm);
	expect_silence(test);
	/* And nobody has a heap where nobody has made a call */
	KUNIT_EXPECT_NULL(test, sbm_guest_kmalloc(1, GFP_KERNEL));
}

/* === Random use === */

#define STORM_SLOTS	512

struct slot {
	u8	*p;
	size_t	size;
	u8	fill;
};

static size_t storm_size(struct rnd_state *rnd)
{
	u32 r = prandom_u32_state(rnd);

	/* Mostly small ones */
	return 1 + (r >> 8) % (1U << (r % 15));
}

static SBM_DEFINE_FUNC(storm, unsigned int, steps, u64, seed)
{
	struct slot *slots = sbm_guest_kcalloc(STORM_SLOTS, sizeof(*slots), GFP_KERNEL);
	struct rnd_state rnd;
	unsigned int i, nr_full = 0;

	CHECK(slots);
	prandom_seed_state(&rnd, seed);
	for (i = 0; i < steps; i++) {
		struct slot *s = &slots[prandom_u32_state(&rnd) % STORM_SLOTS];
		size_t size = storm_size(&rnd);
		u8 *p;

		if (s->p)
			CHECK(is_filled(s->p, s->fill, s->size));
		switch (prandom_u32_state(&rnd) % 4) {
		case 0:
			p = sbm_guest_krealloc(s->p, size, GFP_KERNEL);
			if (!p) {
				nr_full++;
				break;
			}
			if (s->p)
				CHECK(is_filled(p, s->fill, min(size, s->size)));
			CHECK(IS_ALIGNED((unsigned long)p, size & -size));
			s->p = p;
			s->size = size;
			s->fill = i;
			memset(p, s->fill, size);
			break;
		case 1:
			sbm_guest_kfree(s->p);
			s->p = NULL;
			break;
		default:
			if (s->p) {
				sbm_guest_kfree(s->p);
				s->p = NULL;
			}
			p = sbm_guest_kmalloc(size, GFP_KERNEL);
			if (!p) {
				nr_full++;
				break;
			}
			s->p = p;
			s->size = size;
			s->fill = i;
			memset(p, s->fill, size);
		}
		if (i % 64 == 0)
			sbm_guest_check();
	}
	for (i = 0; i < STORM_SLOTS; i++)
		sbm_guest_kfree(slots[i].p);
	sbm_guest_kfree(slots);
	/* Nothing is lost */
	slots = sbm_guest_vmalloc(HEAP_SIZE - 2 * PAGE_SIZE);
	CHECK(slots);
	sbm_guest_kfree(slots);
	/* Some of them have failed: that was tried, too */
	CHECK(nr_full && nr_full < steps / 2);

	return sbm_guest_check();
}

static void objects_keep_their_content_in_a_storm(struct kunit *test)
{
	struct sbm sbm;
	u64 seed;

	init_guest(test, &sbm, SBM_ISOLATION_STRONG);
	for (seed = 1; seed <= 4; seed++)
		KUNIT_EXPECT_EQ(test, sbm_call(&sbm, storm, 10000, seed), 0);
	sbm_destroy(&sbm);
	init_guest(test, &sbm, SBM_ISOLATION_WEAK);
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, storm, 10000, 5), 0);
	sbm_destroy(&sbm);
	expect_silence(test);
}

/* === Limits === */

static SBM_DEFINE_FUNC(use_all, size_t, size)
{
	void *p, *last = NULL;
	int nr = 0;

	while ((p = sbm_guest_kzalloc(size, GFP_KERNEL))) {
		last = p;
		nr++;
	}
	CHECK(!sbm_guest_kmalloc(size, GFP_KERNEL));
	/* And it works again when there is room */
	sbm_guest_kfree(last);
	CHECK(sbm_guest_kmalloc(size, GFP_KERNEL));

	return -nr;
}

static SBM_DEFINE_FUNC(use_little, size_t, size)
{
	void *p = sbm_guest_kzalloc(size, GFP_KERNEL);

	return p ? 0 : -ENOMEM;
}

static void full_heap_gives_null(struct kunit *test)
{
	const long before = sbm_pages_in_use();
	long there;
	struct sbm sbm;
	int ret;

	init_guest(test, &sbm, SBM_ISOLATION_STRONG);
	there = sbm_pages_in_use();
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, use_little, 100), 0);
	/* It takes what it needs, ... */
	KUNIT_EXPECT_EQ(test, sbm_pages_in_use(), there + 1);
	ret = sbm_call(&sbm, use_all, 1000);
	KUNIT_EXPECT_LT(test, ret, -200);
	KUNIT_EXPECT_GT(test, ret, -HEAP_SIZE / 1000);
	/* ... and not more than it may */
	KUNIT_EXPECT_LE(test, sbm_pages_in_use(), there + (long)HEAP_PAGES);
	KUNIT_EXPECT_GT(test, sbm_pages_in_use(), there + (long)HEAP_PAGES - 2);
	KUNIT_EXPECT_EQ(test, sbm_reset(&sbm), 0);
	KUNIT_EXPECT_EQ(test, sbm_pages_in_use(), there);
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, use_little, 100), 0);
	sbm_destroy(&sbm);
	KUNIT_EXPECT_EQ(test, sbm_pages_in_use(), before);
	expect_silence(test);
}

static void without_a_heap_there_is_nothing(struct kunit *test)
{
	static const enum sbm_isolation levels[] = {
		SBM_ISOLATION_WEAK, SBM_ISOLATION_STRONG,
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(levels); i++) {
		struct sbm_attr attr = {
			.min_isolation	= levels[i],
			.flags		= levels[i] == SBM_ISOLATION_WEAK ? SBM_ATTR_WEAK : 0,
		};
		struct sbm sbm;

		skip_if_isolation_below(test, levels[i]);
		KUNIT_ASSERT_EQ(test, sbm_init_attr(&sbm, &attr), 0);
		KUNIT_EXPECT_EQ(test, sbm_call(&sbm, use_little, 1), -ENOMEM);
		KUNIT_EXPECT_EQ(test, sbm_error(&sbm), 0);
		sbm_destroy(&sbm);

		/* Messages alone are no heap */
		attr.log_size = 1;
		KUNIT_ASSERT_EQ(test, sbm_init_attr(&sbm, &attr), 0);
		KUNIT_EXPECT_EQ(test, sbm_call(&sbm, use_little, 1), -ENOMEM);
		sbm_destroy(&sbm);
	}
	expect_silence(test);
}

static void sizes_are_checked(struct kunit *test)
{
	const long before = sbm_pages_in_use();
	struct sbm_attr attr = { .heap_size = SBM_MAX_BUFFER_SIZE + 1, };
	struct sbm sbm;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	KUNIT_EXPECT_EQ(test, sbm_init_attr(&sbm, &attr), -EINVAL);
	attr.heap_size = SIZE_MAX;
	KUNIT_EXPECT_EQ(test, sbm_init_attr(&sbm, &attr), -EINVAL);
	attr.heap_size = 0;
	attr.log_size = SBM_MAX_LOG_SIZE + 1;
	KUNIT_EXPECT_EQ(test, sbm_init_attr(&sbm, &attr), -EINVAL);

	/* The largest, of which nearly nothing is used */
	attr.log_size = SBM_MAX_LOG_SIZE;
	attr.heap_size = SBM_MAX_BUFFER_SIZE;
	KUNIT_ASSERT_EQ(test, sbm_init_attr(&sbm, &attr), 0);
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, use_little, 100), 0);
	sbm_destroy(&sbm);

	/* What it may grow to counts from the start */
	attr.memory_limit = HEAP_SIZE;
	attr.heap_size = HEAP_SIZE;
	attr.log_size = 0;
	KUNIT_EXPECT_EQ(test, sbm_init_attr(&sbm, &attr), -ENOSPC);
	attr.memory_limit = 2 * HEAP_SIZE;
	KUNIT_ASSERT_EQ(test, sbm_init_attr(&sbm, &attr), 0);
	KUNIT_EXPECT_LT(test, sbm_call(&sbm, use_all, 1000), -200);
	/* Some 200 KiB are left of it: enough for this, and not for that */
	KUNIT_EXPECT_NOT_NULL(test, SBM_COPY_OUT(&sbm, (u8 *)&attr, 128 * 1024));
	KUNIT_EXPECT_NULL(test, SBM_COPY_OUT(&sbm, (u8 *)&attr, 128 * 1024));
	KUNIT_EXPECT_EQ(test, sbm_error(&sbm), -ENOSPC);
	sbm_destroy(&sbm);
	KUNIT_EXPECT_EQ(test, sbm_pages_in_use(), before);
	expect_silence(test);
}

static void heap_without_pages_is_a_stop(struct kunit *test)
{
	const unsigned long max = READ_ONCE(sbm_max_pages);
	struct sbm sbm;
	int ret;

	init_guest(test, &sbm, SBM_ISOLATION_STRONG);
	WRITE_ONCE(sbm_max_pages, sbm_pages_in_use() + 3);
	ret = sbm_call(&sbm, use_all, 1000);
	WRITE_ONCE(sbm_max_pages, max);
	KUNIT_EXPECT_EQ(test, ret, -ENOMEM);
	KUNIT_EXPECT_EQ(test, sbm_error(&sbm), -ENOMEM);
	KUNIT_ASSERT_NOT_NULL(test, sbm_fault(&sbm));
	KUNIT_EXPECT_EQ(test, sbm_fault(&sbm)->cause, SBM_CAUSE_PAGE_FAULT);
	expect_said(test, " of buffer 'heap' (HEAP, 262144 bytes)");
	KUNIT_EXPECT_EQ(test, sbm_reset(&sbm), 0);
	KUNIT_EXPECT_LT(test, sbm_call(&sbm, use_all, 1000), -200);
	sbm_destroy(&sbm);
}

/* === Mistakes === */

static int overrun(void)
{
	u8 *p = sbm_guest_kmalloc(100, GFP_KERNEL);

	OPTIMIZER_HIDE_VAR(p);
	p[100] = 0;
	sbm_guest_kfree(p);

	return 0;
}

static int overrun_found_later(void)
{
	u8 *p = sbm_guest_kmalloc(100, GFP_KERNEL);

	OPTIMIZER_HIDE_VAR(p);
	p[107] = 0;

	return 0;
}

static int overrun_of_one_that_shrank(void)
{
	u8 *p = sbm_guest_kmalloc(100, GFP_KERNEL);

	p = sbm_guest_krealloc(p, 50, GFP_KERNEL);
	OPTIMIZER_HIDE_VAR(p);
	p[50] = 0;
	sbm_guest_kfree(p);

	return 0;
}

static int overrun_seen_by_krealloc(void)
{
	u8 *p = sbm_guest_kmalloc(100, GFP_KERNEL);

	OPTIMIZER_HIDE_VAR(p);
	p[100] = 0;

	return !sbm_guest_krealloc(p, 1000, GFP_KERNEL);
}

static int far_overrun(void)
{
	u8 *p = sbm_guest_kmalloc(100, GFP_KERNEL);
	u8 *q = sbm_guest_kmalloc(100, GFP_KERNEL);

	OPTIMIZER_HIDE_VAR(p);
	memset(p, 0, q - p + 1);
	sbm_guest_kfree(q);

	return 0;
}

static int underrun(void)
{
	u8 *p = sbm_guest_kmalloc(100, GFP_KERNEL);

	OPTIMIZER_HIDE_VAR(p);
	p[-1] = 0x17;
	sbm_guest_kfree(p);

	return 0;
}

static int double_free(void)
{
	u8 *p = sbm_guest_kmalloc(100, GFP_KERNEL);

	sbm_guest_kfree(p);
	OPTIMIZER_HIDE_VAR(p);
	sbm_guest_kfree(p);

	return 0;
}

static int double_free_between_others(void)
{
	u8 *a = sbm_guest_kmalloc(100, GFP_KERNEL);
	u8 *b = sbm_guest_kmalloc(100, GFP_KERNEL);
	u8 *c = sbm_guest_kmalloc(100, GFP_KERNEL);

	if (!a || !c)
		return 0;
	sbm_guest_kfree(b);
	OPTIMIZER_HIDE_VAR(b);
	sbm_guest_kfree(b);

	return 0;
}

/* Its header is within a free chunk then */
static int double_free_after_merge(void)
{
	u8 *a = sbm_guest_kmalloc(100, GFP_KERNEL);
	u8 *b = sbm_guest_kmalloc(100, GFP_KERNEL);

	sbm_guest_kfree(a);
	sbm_guest_kfree(b);
	OPTIMIZER_HIDE_VAR(b);
	sbm_guest_kfree(b);

	return 0;
}

static int free_of_the_stack(void)
{
	u8 var = 0, *p = &var;

	OPTIMIZER_HIDE_VAR(p);
	sbm_guest_kfree(p);

	return 0;
}

static int free_of_the_kernel(void)
{
	sbm_guest_kfree(free_of_the_stack);

	return 0;
}

static int free_of_the_middle(void)
{
	u8 *p = sbm_guest_kmalloc(100, GFP_KERNEL);

	sbm_guest_kfree(p + 16);

	return 0;
}

static int free_of_an_odd_address(void)
{
	u8 *p = sbm_guest_kmalloc(100, GFP_KERNEL);

	sbm_guest_kfree(p + 1);

	return 0;
}

static int free_of_free_memory(void)
{
	u8 *p = sbm_guest_kmalloc(100, GFP_KERNEL);

	sbm_guest_kfree(p + 4096);

	return 0;
}

static int free_of_the_allocator(void)
{
	u8 *p = sbm_guest_kmalloc(100, GFP_KERNEL);

	p = PTR_ALIGN_DOWN(p, PAGE_SIZE);
	sbm_guest_kfree(p);

	return 0;
}

static int write_after_free(void)
{
	u8 *p = sbm_guest_kmalloc(100, GFP_KERNEL);
	u8 *q = sbm_guest_kmalloc(100, GFP_KERNEL);

	sbm_guest_kfree(p);
	OPTIMIZER_HIDE_VAR(p);
	memset(p - 16, 0x99, 64);
	sbm_guest_kfree(q);

	return 0;
}

static int magic_is_gone(void)
{
	u8 *p = sbm_guest_kmalloc(100, GFP_KERNEL);

	p = PTR_ALIGN_DOWN(p, PAGE_SIZE);
	*p ^= 1;

	return 0;
}

static int list_leads_away(void)
{
	u8 *p = sbm_guest_kmalloc(100, GFP_KERNEL);
	unsigned int i;

	p = PTR_ALIGN_DOWN(p, PAGE_SIZE);
	for (i = 0; i < 32; i++)
		((u32 *)p)[4 + i] = 0xfffffff0;

	return !sbm_guest_kmalloc(100, GFP_KERNEL);
}

struct mistake {
	const char	*name;
	int		(*target)(void);
	const char	*message;
};

static int make_mistake(void *data)
{
	return ((int (*)(void))data)();
}

static const struct mistake mistakes[] = {
	{ "overrun", overrun, "something was written behind the end of an object" },
	{ "overrun, found later", overrun_found_later, "something was written behind the end" },
	{ "overrun of one that shrank", overrun_of_one_that_shrank,
	  "something was written behind the end" },
	{ "overrun, krealloc", overrun_seen_by_krealloc, "something was written behind the end" },
	{ "far overrun", far_overrun, "something was written before the begin" },
	{ "underrun", underrun, "something was written before the begin of an object" },
	{ "double free", double_free, "an object of the heap was freed twice, at" },
	{ "double free between others", double_free_between_others, "freed twice, at" },
	{ "double free after merge", double_free_after_merge, "freed twice, at" },
	{ "free of the stack", free_of_the_stack, "what is not in the heap was to be freed" },
	{ "free of the kernel", free_of_the_kernel, "what is not in the heap was to be freed" },
	{ "free of the middle", free_of_the_middle, "the middle of an object of the heap" },
	{ "free of an odd address", free_of_an_odd_address, "the middle of an object" },
	{ "free of free memory", free_of_free_memory, "free memory of the heap was to be freed" },
	{ "free of the allocator", free_of_the_allocator, "not in the heap was to be freed" },
	{ "write after free", write_after_free, "the heap was overwritten at" },
	{ "no magic", magic_is_gone, "the heap was overwritten at" },
	{ "list leads away", list_leads_away, "a list of the heap was overwritten" },
};

static void mistakes_end_the_call(struct kunit *test)
{
	const struct capture *c = test->priv;
	const struct sbm_fault *fault;
	struct sbm sbm;
	unsigned int i;
	int ret;

	init_guest(test, &sbm, SBM_ISOLATION_STRONG);
	for (i = 0; i < ARRAY_SIZE(mistakes); i++) {
		const struct mistake *m = &mistakes[i];
		char text[32];

		capture_clear(test);
		ret = sbm_exec(&sbm, make_mistake, m->target);
		fault = sbm_fault(&sbm);
		KUNIT_EXPECT_EQ_MSG(test, ret, -EFAULT, "%s", m->name);
		KUNIT_EXPECT_NOT_NULL_MSG(test, fault, "%s", m->name);
		if (fault) {
			KUNIT_EXPECT_EQ_MSG(test, fault->cause, SBM_CAUSE_ILLEGAL_INSN,
					    "%s", m->name);
			scnprintf(text, sizeof(text), "at guest_die");
			expect_said(test, text);
		}
		KUNIT_EXPECT_TRUE_MSG(test, was_said(test, m->message), "%s: no '%s' in:\n%s",
				      m->name, m->message, c->text);
		KUNIT_EXPECT_EQ(test, sbm_reset(&sbm), 0);
		KUNIT_EXPECT_EQ(test, sbm_call(&sbm, use_little, 100), 0);
	}
	sbm_destroy(&sbm);
}

#ifdef CONFIG_SBM_X86

/* === Attackers === */

static SBM_DEFINE_FUNC(look_for_heap, unsigned long *, addr, size_t *, size)
{
	const struct sbm_guest_info *info = arch_sbm_guest_info();

	*addr = info->heap;
	*size = info->heap_size;

	return 0;
}

/* The header of a chunk, and its seal, as kernel/sbm/guest/heap.c has them: no secret */
struct header {
	u32	size;
	u32	prev;
	u32	len;
	u32	seal;
};

static void forge_seal(unsigned long heap, struct header *h, u32 kind)
{
	u32 sum = kind;

	sum = (sum ^ (u32)((unsigned long)h - heap)) * 0x9e3779b1;
	sum = (sum ^ h->size) * 0x85ebca6b;
	sum = (sum ^ h->prev) * 0xc2b2ae35;
	sum = (sum ^ h->len) * 0x27d4eb2f;
	h->seal = sum ^ sum >> 15;
}

/* Overwrite what the allocator keeps, and call all its functions */
static SBM_DEFINE_FUNC(attack, u64, seed)
{
	const struct sbm_guest_info *info = arch_sbm_guest_info();
	struct rnd_state rnd;
	u8 *p[8] = {};
	unsigned int i, nr;
	u32 *word;

	prandom_seed_state(&rnd, seed);
	for (i = 0; i < ARRAY_SIZE(p); i++)
		p[i] = sbm_guest_kmalloc(1 + prandom_u32_state(&rnd) % 3000, GFP_KERNEL);
	sbm_guest_kfree(p[2]);
	p[2] = NULL;
	sbm_guest_kfree(p[5]);

	nr = 1 << prandom_u32_state(&rnd) % 10;
	for (i = 0; i < nr; i++) {
		u32 r = prandom_u32_state(&rnd);

		/* In the allocator's own state, in a header, or anywhere */
		if (r % 3 == 0)
			word = (u32 *)(info->heap + r / 3 % 160 / 4 * 4);
		else if (r % 3 == 1 && p[r / 3 % 8])
			word = (u32 *)(p[r / 3 % 8] - 16) + r / 24 % 6;
		else
			word = (u32 *)(info->heap + r / 3 % info->heap_size / 4 * 4);
		r = prandom_u32_state(&rnd);
		/* Small numbers and large ones, as they would be */
		*word = r & 1 ? r : r & 2 ? r % HEAP_SIZE & ~15 : *word ^ 1U << r / 4 % 32;
	}
	/* Some know how to make it look right */
	for (i = 0; i < ARRAY_SIZE(p) && seed & 1; i++) {
		if (p[i])
			forge_seal(info->heap, (struct header *)(p[i] - 16),
				   i == 5 ? 0x46524545 : 0x55534544);
	}

	for (i = 0; i < 200; i++) {
		u32 r = prandom_u32_state(&rnd);
		u8 **any = &p[r / 16 % 8];
		void *wild = (void *)info->heap + r % info->heap_size;

		switch (r % 9) {
		case 0:
			*any = sbm_guest_kmalloc(r >> 20, GFP_KERNEL);
			break;
		case 1:
			*any = sbm_guest_kcalloc(r >> 24, 7, GFP_KERNEL);
			break;
		case 2:
			*any = sbm_guest_krealloc(*any, r >> 20, GFP_KERNEL);
			break;
		case 3:
			sbm_guest_kfree(r & 0x800 ? wild : *any);
			*any = NULL;
			break;
		case 4:
			sbm_guest_ksize(*any);
			break;
		case 5:
			*any = sbm_guest_vzalloc(r >> 18);
			break;
		case 6:
			*any = sbm_guest_kstrndup((char *)info->heap, r % 512, GFP_KERNEL);
			break;
		case 7:
			*any = sbm_guest_kasprintf(GFP_KERNEL, "%.*s", r % 100, (char *)wild);
			break;
		default:
			sbm_guest_printk("%s", (char *)wild);
		}
	}

	return sbm_guest_check();
}

static void attacks_on_the_heap_hurt_the_sandbox_only(struct kunit *test)
{
	const struct sbm_attr attr = {
		.min_isolation	= SBM_ISOLATION_STRONG,
		.time_limit	= NSEC_PER_SEC,
		.heap_size	= HEAP_SIZE,
		.log_size	= 2 * PAGE_SIZE,
	};
	unsigned int stopped = 0, late = 0, clean = 0;
	const long before = sbm_pages_in_use();
	struct sbm sbm;
	u64 seed;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	KUNIT_ASSERT_EQ(test, sbm_init_attr(&sbm, &attr), 0);
	for (seed = 1; seed <= 400; seed++) {
		int ret;

		capture_clear(test);
		ret = sbm_call(&sbm, attack, seed);
		if (!ret)
			clean++;
		else if (ret == -ETIME)
			late++;
		else if (ret == -EFAULT)
			stopped++;
		else
			KUNIT_FAIL(test, "seed %llu: %d\n", seed, ret);
		KUNIT_EXPECT_LE(test, sbm_pages_in_use(), before + (long)HEAP_PAGES + 40);
		KUNIT_EXPECT_EQ(test, sbm_reset(&sbm), 0);
		if (seed % 20 == 0)
			KUNIT_EXPECT_EQ(test, sbm_call(&sbm, try_allocation, 1), 0);
		KUNIT_EXPECT_EQ(test, sbm_reset(&sbm), 0);
	}
	sbm_destroy(&sbm);
	KUNIT_EXPECT_EQ(test, sbm_pages_in_use(), before);
	KUNIT_EXPECT_GT(test, stopped, 200);
	kunit_info(test, "attacks: %u stopped, %u out of time, %u without effect\n", stopped,
		   late, clean);
}

static SBM_DEFINE_FUNC(leave_mark, u64, mark)
{
	u64 *p = sbm_guest_vmalloc(HEAP_SIZE - 2 * PAGE_SIZE);
	unsigned int i;

	CHECK(p);
	for (i = 0; i < (HEAP_SIZE - 2 * PAGE_SIZE) / sizeof(*p); i++)
		p[i] = mark;

	return 0;
}

static SBM_DEFINE_FUNC(find_anything, unsigned long *, nr)
{
	const struct sbm_guest_info *info = arch_sbm_guest_info();
	const u64 *p = (u64 *)info->heap;
	unsigned int i;

	for (i = 0; i < info->heap_size / sizeof(*p); i++)
		*nr += !!p[i];

	return 0;
}

static void reset_scrubs_the_heap(struct kunit *test)
{
	unsigned long nr = 0, *inside;
	struct sbm sbm;

	init_guest(test, &sbm, SBM_ISOLATION_STRONG);
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, leave_mark, 0x12345678), 0);
	inside = SBM_COPY_INOUT(&sbm, &nr, sizeof(nr));
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, find_anything, inside), 0);
	KUNIT_EXPECT_GT(test, nr, HEAP_SIZE / 8 - 2000);
	KUNIT_EXPECT_EQ(test, sbm_reset(&sbm), 0);
	nr = 0;
	inside = SBM_COPY_INOUT(&sbm, &nr, sizeof(nr));
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, find_anything, inside), 0);
	KUNIT_EXPECT_EQ(test, nr, 0);
	sbm_destroy(&sbm);
	expect_silence(test);
}

static int write_at(void *addr)
{
	WRITE_ONCE(*(u8 *)addr, 1);

	return 0;
}

static int read_at(void *addr)
{
	return READ_ONCE(*(u8 *)addr) & 0;
}

static int jump_to(void *addr)
{
	return ((int (*)(void))addr)();
}

/* The heap begins and ends with a guard page, is no code; and who says so cannot be told */
static void heap_has_its_bounds(struct kunit *test)
{
	struct x86_sbm_layout layout;
	unsigned long addr = 0;
	struct sbm sbm;
	size_t size = 0;
	unsigned int i;

	init_guest(test, &sbm, SBM_ISOLATION_STRONG);
	KUNIT_ASSERT_TRUE(test, x86_sbm_test_layout(&sbm, &layout));
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, look_for_heap,
				       SBM_COPY_OUT(&sbm, &addr, sizeof(addr)),
				       SBM_COPY_OUT(&sbm, &size, sizeof(size))), 0);
	KUNIT_EXPECT_EQ(test, size, HEAP_SIZE);

	for (i = 0; i < 8; i++) {
		const struct {
			int	(*target)(void *addr);
			unsigned long	addr;
			bool	ok;
		} tries[] = {
			{ read_at, addr, true },
			{ write_at, addr + size - 1, true },
			{ read_at, addr - 1, false },
			{ write_at, addr + size, false },
			{ jump_to, addr, false },
			{ jump_to, addr + size / 2, false },
			{ read_at, layout.window_start + PAGE_SIZE, true },
			{ write_at, layout.window_start + PAGE_SIZE, false },
		};
		int ret = sbm_exec(&sbm, tries[i].target, (void *)tries[i].addr);

		KUNIT_EXPECT_EQ_MSG(test, ret, tries[i].ok ? 0 : -EFAULT, "try %u", i);
		if (!tries[i].ok && sbm_fault(&sbm)) {
			KUNIT_EXPECT_EQ(test, sbm_fault(&sbm)->cause, SBM_CAUSE_PAGE_FAULT);
			KUNIT_EXPECT_EQ(test, sbm_fault(&sbm)->address, tries[i].addr);
		}
		/* It is where it was */
		KUNIT_EXPECT_EQ(test, sbm_reset(&sbm), 0);
	}
	sbm_destroy(&sbm);
}

#define ASKED	64

static SBM_DEFINE_HOSTCALL(guest_fill, u8 __sbm *, p)
{
	u8 data[ASKED];

	memset(data, 0xa5, sizeof(data));

	return sbm_copy_to(sbm, p, data, sizeof(data));
}

static SBM_DEFINE_HOSTCALL(guest_sum, const u8 __sbm *, p)
{
	u8 data[ASKED];
	unsigned int i;
	long sum = 0;
	int err;

	err = sbm_copy_from(sbm, data, p, sizeof(data));
	if (err)
		return err;
	for (i = 0; i < sizeof(data); i++)
		sum += data[i];

	return sum;
}

static SBM_DEFINE_FUNC(ask_about_heap, size_t, room)
{
	const struct sbm_guest_info *info = arch_sbm_guest_info();
	u8 *end = (u8 *)info->heap + info->heap_size;
	u8 *p = sbm_guest_vmalloc(room);

	/* On two pages each, of which the allocator has touched none */
	CHECK(p);
	CHECK(guest_sum(sbm_ptr(p + 4 * PAGE_SIZE - ASKED / 2)) == 0);
	CHECK(guest_fill(sbm_ptr(p + 8 * PAGE_SIZE - ASKED / 2)) == 0);
	CHECK(is_filled(p + 8 * PAGE_SIZE - ASKED / 2, 0xa5, ASKED));
	CHECK(guest_sum(sbm_ptr(p + 8 * PAGE_SIZE - ASKED / 2)) == 0xa5 * ASKED);
	/* The last ones, and not beyond */
	CHECK(guest_sum(sbm_ptr(end - ASKED)) >= 0);
	CHECK(guest_sum(sbm_ptr(end - ASKED + 1)) == -EFAULT);
	CHECK(guest_fill(sbm_ptr(end - ASKED + 1)) == -EFAULT);
	CHECK(guest_fill(sbm_ptr((u8 *)info->heap - 1)) == -EFAULT);
	/* What tells where it is can be read inside only, and is written by nobody */
	CHECK(guest_fill(sbm_ptr((u8 *)info)) == -EFAULT);

	return 0;
}

/* The kernel reads and writes what has no page yet: on behalf of the target, it gets one */
static void host_calls_reach_all_of_the_heap(struct kunit *test)
{
	const long before = sbm_pages_in_use();
	struct sbm sbm;

	init_guest(test, &sbm, SBM_ISOLATION_STRONG);
	KUNIT_ASSERT_EQ(test, sbm_allow(&sbm, guest_fill), 0);
	KUNIT_ASSERT_EQ(test, sbm_allow(&sbm, guest_sum), 0);
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, ask_about_heap, 16 * PAGE_SIZE), 0);
	KUNIT_EXPECT_EQ(test, sbm_error(&sbm), 0);
	sbm_destroy(&sbm);
	KUNIT_EXPECT_EQ(test, sbm_pages_in_use(), before);
	expect_silence(test);
}

/* What the tables have is what the instance is said to have, whatever it has used */
static void audit_knows_the_heap(struct kunit *test)
{
	const size_t size = 64 * 1024;
	struct sbm sbm;
	unsigned int i;
	char *text;

	text = kunit_kzalloc(test, size, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, text);
	init_guest(test, &sbm, SBM_ISOLATION_STRONG);
	for (i = 0; i < 3; i++) {
		ssize_t len = x86_sbm_test_audit(&sbm, text, size);

		if (len == -EOPNOTSUPP)
			break;
		KUNIT_EXPECT_GT(test, len, 0);
		KUNIT_EXPECT_NULL_MSG(test, strstr(text, "finding: "), "%s", text);
		KUNIT_EXPECT_NOT_NULL_MSG(test, strstr(text, "'heap'"), "%s", text);
		KUNIT_EXPECT_NOT_NULL_MSG(test, strstr(text, "'log'"), "%s", text);
		KUNIT_EXPECT_GT(test, x86_sbm_test_dump(&sbm, text, size), 0);
		KUNIT_EXPECT_NULL_MSG(test, strstr(text, "unexpected"), "%s", text);
		KUNIT_EXPECT_NOT_NULL_MSG(test, strstr(text, "information"), "%s", text);
		if (i == 0)
			KUNIT_EXPECT_EQ(test, sbm_call(&sbm, use_little, 100), 0);
		else if (i == 1)
			KUNIT_EXPECT_LT(test, sbm_call(&sbm, use_all, 1000), 0);
	}
	sbm_destroy(&sbm);
	expect_silence(test);
}

#endif /* CONFIG_SBM_X86 */

/* === Formats === */

#define FORMAT_SIZE	128

/**
 * struct formatted - what a format has given
 * @len:  What the function has returned.
 * @text: The text.
 */
struct formatted {
	int	len;
	char	text[FORMAT_SIZE];
};

/* The kernel's function here, the one for the inside there */
#define FORMATS(f, out, size)						\
do {									\
	struct formatted *__o = (out);					\
	size_t __n = (size);						\
	char *__nil = NULL;						\
									\
	/* For the compiler, they are not what they are */		\
	OPTIMIZER_HIDE_VAR(__n);					\
	OPTIMIZER_HIDE_VAR(__nil);					\
	FORMAT(f, "no conversion");					\
	FORMAT(f, "%%|%c|%3c|%-3c|", 'a', 'b', 'c');			\
	FORMAT(f, "%s|%10s|%-10s|%.2s|%10.3s|", "one", "two", "three", "four", "five"); \
	FORMAT(f, "%s|%.*s|%*s|%-*s|", __nil, 2, "abc", 7, "x", 5, "y"); \
	FORMAT(f, "%*s|%.0s|", -6, "left", "nothing");			\
	FORMAT(f, "%d|%i|%u|%x|%X|%o", 42, -42, 42U, 0xbeefU, 0xbeefU, 0755U); \
	FORMAT(f, "%5d|%-5d|%05d|%+d|% d|%+5d|%-+6d|", 42, 42, -42, 42, 42, 42, 42); \
	FORMAT(f, "%d|%d|%u", INT_MAX, INT_MIN, UINT_MAX);		\
	FORMAT(f, "%ld|%lu|%lx", LONG_MIN, ULONG_MAX, ULONG_MAX);	\
	FORMAT(f, "%lld|%llu|%llX|%llo", LLONG_MIN, ULLONG_MAX, ULLONG_MAX, ULLONG_MAX); \
	FORMAT(f, "%hhd|%hhu|%hd|%hu|%hhx", (signed char)-3, (unsigned char)253, \
	       (short)-4, (unsigned short)65532, (unsigned char)0xfe);	\
	FORMAT(f, "%zu|%zd|%td|%zx", (size_t)7, (ssize_t)-7, (ptrdiff_t)-8, SIZE_MAX); \
	FORMAT(f, "%#x|%#X|%#010x|%#o|%08x|%-8x|", 0x1fU, 0x1fU, 0x1fU, 017U, 0x1fU, 0x1fU); \
	FORMAT(f, "%.5d|%8.5d|%-8.5d|%.0d|%+.3d|", 42, 42, 42, 7, 5);	\
	FORMAT(f, "%d|%x|%o|%5d|", 0, 0U, 0U, 0);			\
	FORMAT(f, "%200d", 1);						\
	FORMAT(f, "%pe|", ERR_PTR(-ENOMEM));				\
} while (0)

#define FORMAT(f, ...)							\
do {									\
	__o->len = f(__o->text, __n, __VA_ARGS__);			\
	__o++;								\
} while (0)

/* One more than there are, and all of them with two sizes */
#define NR_FORMATS	18

static SBM_DEFINE_FUNC(format_inside, struct formatted *, out)
{
	FORMATS(sbm_guest_snprintf, out, FORMAT_SIZE);
	FORMATS(sbm_guest_snprintf, out + NR_FORMATS, 6);
	FORMATS(sbm_guest_scnprintf, out + 2 * NR_FORMATS, 6);
	FORMATS(sbm_guest_scnprintf, out + 3 * NR_FORMATS, 0);

	return 0;
}

static noinline void format_outside(struct formatted *out)
{
	FORMATS(snprintf, out, FORMAT_SIZE);
	FORMATS(snprintf, out + NR_FORMATS, 6);
	FORMATS(scnprintf, out + 2 * NR_FORMATS, 6);
	FORMATS(scnprintf, out + 3 * NR_FORMATS, 0);
}

static void formats_give_what_they_give_outside(struct kunit *test)
{
	const size_t size = 4 * NR_FORMATS * sizeof(struct formatted);
	struct formatted *in, *out;
	unsigned int i;
	struct sbm sbm;

	in = kunit_kzalloc(test, size, GFP_KERNEL);
	out = kunit_kzalloc(test, size, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, in);
	KUNIT_ASSERT_NOT_NULL(test, out);
	init_guest(test, &sbm, SBM_ISOLATION_STRONG);
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, format_inside, SBM_COPY_OUT(&sbm, in, size)), 0);
	format_outside(out);
	for (i = 0; i < 4 * NR_FORMATS; i++) {
		/* The kernel knows names of errors, in some configurations */
		if (i % NR_FORMATS == NR_FORMATS - 2) {
			if (i == NR_FORMATS - 2)
				KUNIT_EXPECT_STREQ(test, in[i].text, "-12|");
			continue;
		}
		KUNIT_EXPECT_EQ_MSG(test, in[i].len, out[i].len, "'%s'", out[i].text);
		KUNIT_EXPECT_STREQ(test, in[i].text, out[i].text);
	}
	KUNIT_EXPECT_EQ(test, out[NR_FORMATS - 1].len, 0);
	sbm_destroy(&sbm);
	expect_silence(test);
}

static SBM_DEFINE_FUNC(format_pointers, char *, out, void *, kernel)
{
	const char *fmt;
	char text[40];
	void *p = &text;

	sbm_guest_snprintf(text, sizeof(text), "%p", p);
	CHECK(strlen(text) == 16 && text[0] == 'f' && text[1] == 'f');
	sbm_guest_snprintf(text, sizeof(text), "%px|", p);
	CHECK(strlen(text) == 17);
	/* What follows is where it was */
	sbm_guest_snprintf(text, sizeof(text), "%pS %d", kernel, 7);
	CHECK(!strcmp(text, "(ptr) 7"));
	sbm_guest_snprintf(text, sizeof(text), "%10p|%-10p|", NULL, kernel);
	CHECK(!strcmp(text, "     (ptr)|(ptr)     |"));
	/* Unknown ones are left as they are, with all that follows */
	fmt = "%d %n %d";
	OPTIMIZER_HIDE_VAR(fmt);
	sbm_guest_snprintf(text, sizeof(text), fmt, 7, (int *)8, 9);
	CHECK(!strcmp(text, "7 %n %d"));
	fmt = "%d %f %d";
	OPTIMIZER_HIDE_VAR(fmt);
	sbm_guest_snprintf(text, sizeof(text), fmt, 7, 0UL, 9);
	CHECK(!strcmp(text, "7 %f %d"));
	fmt = (char *)5;
	OPTIMIZER_HIDE_VAR(fmt);
	sbm_guest_snprintf(text, sizeof(text), "%s", fmt);
	CHECK(!strcmp(text, "(efault)"));
	strscpy(out, "done", 5);

	return 0;
}

static void pointers_need_no_secret(struct kunit *test)
{
	char out[8] = "";
	struct sbm sbm;

	init_guest(test, &sbm, SBM_ISOLATION_STRONG);
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, format_pointers,
				       SBM_COPY_OUT(&sbm, out, sizeof(out)), test), 0);
	KUNIT_EXPECT_STREQ(test, out, "done");
	sbm_destroy(&sbm);
	expect_silence(test);
}

/* === Messages === */

static SBM_DEFINE_FUNC(say, const char *, text)
{
	sbm_guest_printk("%s", text);

	return 0;
}

static SBM_DEFINE_FUNC(say_things, int, nr)
{
	sbm_guest_printk(KERN_INFO "hello %d\n", nr);
	sbm_guest_printk("no level, no end");
	sbm_guest_printk(KERN_EMERG "all is lost\n");
	sbm_guest_printk(KERN_DEBUG "two\nlines\n");
	sbm_guest_printk(KERN_NOTICE "one");
	sbm_guest_printk(KERN_CONT " and the rest\n");
	sbm_guest_warn("file.c", 17);

	return nr;
}

static void expect_things_said(struct kunit *test, enum sbm_isolation level)
{
	const struct capture *c = test->priv;
	unsigned long long id;
	char text[400];
	struct sbm sbm;

	init_guest(test, &sbm, level);
	id = sbm.instance->id;
	capture_clear(test);
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, say_things, 1), 1);
	scnprintf(text, sizeof(text),
		  "<6>instance %llu: hello 1\n"
		  "<4>instance %llu: no level, no end\n"
		  "<3>instance %llu: all is lost\n"
		  "<7>instance %llu: two\n"
		  "<4>instance %llu: lines\n"
		  "<5>instance %llu: one and the rest\n"
		  "<4>instance %llu: warning in file.c, line 17\n",
		  id, id, id, id, id, id, id);
	KUNIT_EXPECT_STREQ(test, c->text, text);
	/* Once each */
	capture_clear(test);
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, use_little, 1), 0);
	expect_silence(test);
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, say_things, 2), 2);
	expect_said(test, ": hello 2\n");
	sbm_destroy(&sbm);
}

static void messages_have_a_prefix(struct kunit *test)
{
	expect_things_said(test, SBM_ISOLATION_WEAK);
	expect_things_said(test, SBM_ISOLATION_STRONG);
}

static int give_up(void *data)
{
	sbm_guest_printk("before");
	sbm_guest_bug("file.c", 18);
	BUG();

	return 0;
}

static void bug_ends_the_sandbox(struct kunit *test)
{
	const struct capture *c = test->priv;
	struct sbm sbm;

	init_guest(test, &sbm, SBM_ISOLATION_STRONG);
	KUNIT_EXPECT_EQ(test, sbm_exec(&sbm, give_up, NULL), -EFAULT);
	KUNIT_ASSERT_NOT_NULL(test, sbm_fault(&sbm));
	KUNIT_EXPECT_EQ(test, sbm_fault(&sbm)->cause, SBM_CAUSE_ILLEGAL_INSN);
	/* What it has said comes before the report */
	expect_said(test, ": before\n");
	expect_said(test, ": it has given up in file.c, line 18\n");
	KUNIT_EXPECT_LT(test, strstr(c->text, ": it has given up") - c->text,
			strstr(c->text, "stopped by illegal instruction") - c->text);
	KUNIT_EXPECT_EQ(test, sbm_reset(&sbm), 0);
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, use_little, 1), 0);
	sbm_destroy(&sbm);
}

/* Nothing but printable characters, with the prefix on each line, and lines are short */
static void expect_tame(struct kunit *test, unsigned long long id)
{
	const struct capture *c = test->priv;
	const char *line = c->text;
	char prefix[40];
	size_t i;

	for (i = 0; i < c->len; i++) {
		if (c->text[i] != '\n' && (c->text[i] < ' ' || c->text[i] > '~')) {
			KUNIT_FAIL(test, "character %d in the log\n", c->text[i]);
			return;
		}
	}
	scnprintf(prefix, sizeof(prefix), ">instance %llu: ", id);
	while (*line) {
		size_t len = strchrnul(line, '\n') - line;

		KUNIT_EXPECT_EQ(test, line[0], '<');
		KUNIT_EXPECT_GE(test, line[1], '3');
		KUNIT_EXPECT_LE(test, line[1], '7');
		KUNIT_EXPECT_EQ(test, strncmp(line + 2, prefix, strlen(prefix)), 0);
		KUNIT_EXPECT_LE(test, len, 200);
		line += len + 1;
	}
}

static void hostile_text_is_tamed(struct kunit *test)
{
	static const char * const texts[] = {
		"one\n[    0.000000] Linux version 9\n",
		KERN_EMERG "most important\n" KERN_ALERT "also\n\001\001\001x",
		"\033[2J\033[H\r\b\b\b\bsbm: instance 1: lie\n",
		"%s%n%p%x %%\n", "\\x0a\\n\n", "\xff\xfe\x80\xc3\xa9\x7f\t\v\f\n",
		"\n\n\n\n", "\001", "\001c", "\0019\n",
		"a line that is longer than a line can be, a line that is longer than a line can be, a line that is longer than a line can be, a line that is longer than a line can be, a line that is longer than a line can be\n",
	};
	struct sbm sbm;
	unsigned int i;

	init_guest(test, &sbm, SBM_ISOLATION_STRONG);
	for (i = 0; i < ARRAY_SIZE(texts); i++) {
		const char *text = texts[i];

		capture_clear(test);
		text = SBM_COPY_IN(&sbm, text, strlen(text) + 1);
		KUNIT_EXPECT_EQ(test, sbm_call(&sbm, say, text), 0);
		expect_tame(test, sbm.instance->id);
		switch (i) {
		case 0:
			expect_said(test, ": one\n<4>");
			break;
		case 1:
			expect_said(test, "<3>");
			expect_said(test, ": most important\n<3>");
			break;
		case 2:
			expect_said(test, ": \\x1b[2J\\x1b[H\\x0d\\x08");
			break;
		case 3:
			expect_said(test, ": %s%n%p%x %%\n");
			break;
		case 4:
			expect_said(test, ": \\x5cx0a\\x5cn\n");
			break;
		case 5:
			expect_said(test, ": \\xff\\xfe\\x80\\xc3\\xa9\\x7f\\x09\\x0b\\x0c\n");
			break;
		case 6:
			expect_silence(test);
			break;
		}
		KUNIT_EXPECT_EQ(test, sbm_error(&sbm), 0);
	}
	sbm_destroy(&sbm);
}

static SBM_DEFINE_FUNC(say_much, unsigned int, nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++)
		sbm_guest_printk("message number %u of %u\n", i, nr);

	return 0;
}

static void messages_are_bounded(struct kunit *test)
{
	const struct capture *c = test->priv;
	unsigned int nr;
	struct sbm sbm;
	char text[40];

	init_guest(test, &sbm, SBM_ISOLATION_STRONG);
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, say_much, 1000), 0);
	KUNIT_EXPECT_GT(test, c->lines, 100);
	KUNIT_EXPECT_LT(test, c->lines, 200);
	nr = 1000 - (c->lines - 1);
	expect_said(test, ": message number 0 of 1000\n");
	scnprintf(text, sizeof(text), ": [%u more messages]\n", nr);
	expect_said(test, text);
	/* There is room again */
	capture_clear(test);
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, say_much, 1), 0);
	KUNIT_EXPECT_EQ(test, c->lines, 1);
	sbm_destroy(&sbm);
}

#ifdef CONFIG_SBM_X86

static SBM_DEFINE_FUNC(forge_log, u32, used, u32, lost, u64, seed)
{
	const struct sbm_guest_info *info = arch_sbm_guest_info();
	struct sbm_guest_log *log = (struct sbm_guest_log *)info->log;
	struct rnd_state rnd;

	prandom_seed_state(&rnd, seed);
	if (seed)
		prandom_bytes_state(&rnd, log->text, info->log_size - sizeof(*log));
	log->used = used;
	log->lost = lost;

	return 0;
}

static void log_is_not_believed(struct kunit *test)
{
	static const u32 lengths[] = {
		1, 2, PAGE_SIZE - 9, PAGE_SIZE - 8, PAGE_SIZE - 7, PAGE_SIZE, 3 * PAGE_SIZE,
		INT_MAX, INT_MAX + 1U, U32_MAX - 8, U32_MAX - 7, U32_MAX,
	};
	const struct capture *c = test->priv;
	struct sbm sbm;
	unsigned int i;
	u64 seed = 0;

	init_guest(test, &sbm, SBM_ISOLATION_STRONG);
	for (i = 0; i < ARRAY_SIZE(lengths); i++) {
		for (seed = 0; seed < 4; seed++) {
			capture_clear(test);
			KUNIT_EXPECT_EQ(test, sbm_call(&sbm, forge_log, lengths[i],
						       seed == 3 ? U32_MAX : 0, seed), 0);
			expect_tame(test, sbm.instance->id);
			/* Four for each byte, and lines of some length */
			KUNIT_EXPECT_LE(test, c->len, 10 * PAGE_SIZE);
			if (seed == 3)
				expect_said(test, "[4294967295 more messages]\n");
			KUNIT_EXPECT_EQ(test, sbm_error(&sbm), 0);
		}
	}
	sbm_destroy(&sbm);
}

#endif /* CONFIG_SBM_X86 */

/* === Files that are built for both sides === */

SBM_DECLARE_GUEST(argv_split);
SBM_DECLARE_GUEST(argv_free);
SBM_DECLARE_GUEST(match_token);
SBM_DECLARE_GUEST(match_int);
SBM_DECLARE_GUEST(match_strdup);

#define TEXT_SIZE	200

/**
 * struct side - what the functions of one side have found
 * @argc:  Number of words.
 * @words: The words, with a newline behind each.
 * @token: Which option it was.
 * @value: Its number.
 * @name:  Its text.
 */
struct side {
	int	argc;
	char	words[2 * TEXT_SIZE];
	int	token;
	int	value;
	char	name[TEXT_SIZE];
};

static const match_table_t options = {
	{ 1, "size=%d" }, { 2, "mask=%x" }, { 3, "name=%s" }, { 4, "flag" }, { 5, NULL },
};

/* The same for both sides, but for the functions */
#define LOOK(side, text, call)						\
do {									\
	struct side *__s = (side);					\
	substring_t args[MAX_OPT_ARGS];					\
	char copy[TEXT_SIZE], *name;					\
	size_t len = 0;							\
	char **argv;							\
	int i;								\
									\
	argv = call(argv_split)(GFP_KERNEL, text, &__s->argc);		\
	CHECK(argv);							\
	for (i = 0; argv[i]; i++) {					\
		size_t n = strlen(argv[i]);				\
									\
		memcpy(__s->words + len, argv[i], n);			\
		__s->words[len + n] = '\n';				\
		len += n + 1;						\
	}								\
	CHECK(i == __s->argc);						\
	call(argv_free)(argv);						\
									\
	strscpy(copy, text, sizeof(copy));				\
	__s->token = call(match_token)(copy, options, args);		\
	if (__s->token == 1 && call(match_int)(&args[0], &__s->value))	\
		__s->value = -1;					\
	if (__s->token == 3) {						\
		name = call(match_strdup)(&args[0]);			\
		CHECK(name);						\
		strscpy(__s->name, name, sizeof(__s->name));		\
		FREE_##call(name);					\
	}								\
} while (0)

#define OUTSIDE(f)	f
#define FREE_SBM_GUEST	sbm_guest_kfree
#define FREE_OUTSIDE	kfree

static SBM_DEFINE_FUNC(look_inside, struct side *, side, const char *, text)
{
	LOOK(side, text, SBM_GUEST);

	return sbm_guest_check();
}

static noinline int look_outside(struct side *side, const char *text)
{
	LOOK(side, text, OUTSIDE);

	return 0;
}

static void both_sides_give_the_same(struct kunit *test)
{
	static const char * const texts[] = {
		"", " ", "one", " one two  three\t\nfour ", "size=17", "size=x", "size=-4",
		"size=99999999999999", "mask=0x1f", "name=value", "name=", "flag", "flagg",
		"name=a b c", "\xff\xa0\x80", "size=0x10", "size=010",
	};
	struct side *in, *out;
	struct rnd_state rnd;
	char text[TEXT_SIZE];
	unsigned int i, j;
	struct sbm sbm;

	in = kunit_kzalloc(test, sizeof(*in), GFP_KERNEL);
	out = kunit_kzalloc(test, sizeof(*out), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, in);
	KUNIT_ASSERT_NOT_NULL(test, out);
	init_guest(test, &sbm, SBM_ISOLATION_STRONG);
	prandom_seed_state(&rnd, 5);
	for (i = 0; i < ARRAY_SIZE(texts) + 50; i++) {
		memset(in, 0, sizeof(*in));
		memset(out, 0, sizeof(*out));
		if (i < ARRAY_SIZE(texts)) {
			strscpy(text, texts[i], sizeof(text));
		} else {
			for (j = 0; j < TEXT_SIZE - 1; j++)
				text[j] = " ab=%\t1size"[prandom_u32_state(&rnd) % 11];
			text[prandom_u32_state(&rnd) % TEXT_SIZE] = '\0';
			text[TEXT_SIZE - 1] = '\0';
		}
		KUNIT_EXPECT_EQ(test, sbm_call(&sbm, look_inside,
					       SBM_COPY_OUT(&sbm, in, sizeof(*in)),
					       SBM_COPY_IN(&sbm, &text[0], sizeof(text))), 0);
		KUNIT_EXPECT_EQ(test, look_outside(out, text), 0);
		KUNIT_EXPECT_MEMEQ_MSG(test, in, out, sizeof(*in), "'%s'", text);
		KUNIT_EXPECT_EQ(test, sbm_reset(&sbm), 0);
	}
	sbm_destroy(&sbm);
	expect_silence(test);
}

static struct kunit_case sbm_guest_cases[] = {
	KUNIT_CASE(allocators_do_what_they_promise),
	KUNIT_CASE(weak_isolation_has_the_same_allocators),
	KUNIT_CASE(objects_keep_their_content_in_a_storm),
	KUNIT_CASE(full_heap_gives_null),
	KUNIT_CASE(without_a_heap_there_is_nothing),
	KUNIT_CASE(sizes_are_checked),
	KUNIT_CASE(heap_without_pages_is_a_stop),
	KUNIT_CASE(mistakes_end_the_call),
#ifdef CONFIG_SBM_X86
	KUNIT_CASE(attacks_on_the_heap_hurt_the_sandbox_only),
	KUNIT_CASE(reset_scrubs_the_heap),
	KUNIT_CASE(heap_has_its_bounds),
	KUNIT_CASE(audit_knows_the_heap),
	KUNIT_CASE(host_calls_reach_all_of_the_heap),
#endif
	KUNIT_CASE(formats_give_what_they_give_outside),
	KUNIT_CASE(pointers_need_no_secret),
	KUNIT_CASE(messages_have_a_prefix),
	KUNIT_CASE(bug_ends_the_sandbox),
	KUNIT_CASE(hostile_text_is_tamed),
	KUNIT_CASE(messages_are_bounded),
#ifdef CONFIG_SBM_X86
	KUNIT_CASE(log_is_not_believed),
#endif
	KUNIT_CASE(both_sides_give_the_same),
	{}
};

static struct kunit_suite sbm_guest_suite = {
	.name		= "sbm_guest",
	.init		= guest_init,
	.exit		= guest_exit,
	.test_cases	= sbm_guest_cases,
};

kunit_test_suite(sbm_guest_suite);

MODULE_DESCRIPTION("KUnit suite for the runtime inside sandboxes");
MODULE_LICENSE("GPL");
