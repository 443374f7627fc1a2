// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit suite sbm: the API, with whatever isolation there is.
 *
 * What only strong isolation promises is skipped without it. What x86 promises
 * beyond that is in sbm_x86_kunit.c.
 */
#include <kunit/test.h>
#include <linux/align.h>
#include <linux/cpumask.h>
#include <linux/delay.h>
#include <linux/hex.h>
#include <linux/irqflags.h>
#include <linux/jiffies.h>
#include <linux/kernel.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/random.h>
#include <linux/sbm.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

#include "../../kernel/sbm/sbm.h"
#include "sbm_kunit.h"

/* What a byte of a test's buffer is: no power of two divides its period */
static u8 pattern(size_t i, u8 seed)
{
	return (i % 251) ^ seed;
}

static void fill(u8 *buf, size_t size, u8 seed)
{
	size_t i;

	for (i = 0; i < size; i++)
		buf[i] = pattern(i, seed);
}

/* Offset of the first byte that fill() would not have written, @size if none */
static size_t first_wrong(const u8 *buf, size_t size, u8 seed)
{
	size_t i;

	for (i = 0; i < size; i++) {
		if (buf[i] != pattern(i, seed))
			break;
	}

	return i;
}

/* An address that nobody may touch, hidden from the compiler */
static noinline int touch_forbidden_address(void)
{
	int *p = (int *)SBM_TEST_NOWHERE;

	OPTIMIZER_HIDE_VAR(p);

	return READ_ONCE(*p);
}

/* === Arguments and results === */

enum fruit { APPLE, PEAR = 7, };

static SBM_DEFINE_FUNC(take_none)
{
	return 100;
}

static SBM_DEFINE_FUNC(take_one, int, a)
{
	return a == 1 ? 101 : -1;
}

static SBM_DEFINE_FUNC(take_two, int, a, int, b)
{
	return a == 1 && b == 2 ? 102 : -1;
}

static SBM_DEFINE_FUNC(take_three, int, a, int, b, int, c)
{
	return a == 1 && b == 2 && c == 3 ? 103 : -1;
}

static SBM_DEFINE_FUNC(take_four, int, a, int, b, int, c, int, d)
{
	return a == 1 && b == 2 && c == 3 && d == 4 ? 104 : -1;
}

static SBM_DEFINE_FUNC(take_five, int, a, int, b, int, c, int, d, int, e)
{
	return a == 1 && b == 2 && c == 3 && d == 4 && e == 5 ? 105 : -1;
}

static SBM_DEFINE_FUNC(take_six, int, a, int, b, int, c, int, d, int, e, int, f)
{
	return a == 1 && b == 2 && c == 3 && d == 4 && e == 5 && f == 6 ?
	       106 : -1;
}

static void all_numbers_of_arguments_arrive(struct kunit *test)
{
	struct sbm sbm;

	KUNIT_ASSERT_EQ(test, sbm_init(&sbm), 0);
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, take_none), 100);
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, take_one, 1), 101);
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, take_two, 1, 2), 102);
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, take_three, 1, 2, 3), 103);
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, take_four, 1, 2, 3, 4), 104);
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, take_five, 1, 2, 3, 4, 5), 105);
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, take_six, 1, 2, 3, 4, 5, 6), 106);
	KUNIT_EXPECT_EQ(test, sbm_error(&sbm), 0);
	sbm_destroy(&sbm);
}

static SBM_DEFINE_FUNC(take_small, s8, a, u8, b, s16, c, u16, d, int, e,
		       unsigned int, f)
{
	/* Widened here, where nothing is known of the values */
	s64 wide[] = { a, b, c, d, e, f };

	return (wide[0] != -1) | (wide[1] != 0xff) << 1 |
	       (wide[2] != -2) << 2 | (wide[3] != 0xfffe) << 3 |
	       (wide[4] != -3) << 4 | (wide[5] != 0xfffffffdLL) << 5;
}

static SBM_DEFINE_FUNC(take_large, long, a, unsigned long, b, s64, c,
		       const void *, d, bool, e, enum fruit, f)
{
	return (a != LONG_MIN) | (b != ULONG_MAX) << 1 | (c != -5) << 2 |
	       (d != (const void *)take_small) << 3 | !e << 4 |
	       (f != PEAR) << 5;
}

/* The result has a bit set for each argument that is wrong */
static void arguments_keep_value_and_sign(struct kunit *test)
{
	struct sbm sbm;

	KUNIT_ASSERT_EQ(test, sbm_init(&sbm), 0);
	KUNIT_EXPECT_EQ(test, 0,
			sbm_call(&sbm, take_small, -1, 0xff, -2, 0xfffe, -3,
				 0xfffffffd));
	KUNIT_EXPECT_EQ(test, 0,
			sbm_call(&sbm, take_large, LONG_MIN, ULONG_MAX, -5,
				 take_small, true, PEAR));
	KUNIT_EXPECT_EQ(test, sbm_error(&sbm), 0);
	sbm_destroy(&sbm);
}

static SBM_DEFINE_FUNC(give_back, int, value)
{
	return value;
}

static int give_back_data(void *data)
{
	return (long)data;
}

/* Errors of the target are its results, not the sandbox's errors */
static void return_values_arrive(struct kunit *test)
{
	static const int values[] = {
		0, 1, -1, -EFAULT, -EINVAL, -EINTR, 4096, INT_MAX, INT_MIN,
	};
	struct sbm sbm;
	int i;

	KUNIT_ASSERT_EQ(test, sbm_init(&sbm), 0);
	for (i = 0; i < ARRAY_SIZE(values); i++) {
		KUNIT_EXPECT_EQ(test, values[i],
				sbm_call(&sbm, give_back, values[i]));
		KUNIT_EXPECT_EQ(test, sbm_error(&sbm), 0);
		KUNIT_EXPECT_EQ(test, values[i],
				sbm_exec(&sbm, give_back_data,
					 (void *)(long)values[i]));
		KUNIT_EXPECT_EQ(test, sbm_error(&sbm), 0);
		KUNIT_EXPECT_NULL(test, sbm_fault(&sbm));
	}
	sbm_destroy(&sbm);
}

/* === Buffers === */

struct size_param {
	const char	*name;
	size_t		size;
};

static const struct size_param buffer_sizes[] = {
	{ "0 bytes", 0 },
	{ "1 byte", 1 },
	{ "4095 bytes", 4095 },
	{ "4096 bytes", 4096 },
	{ "4097 bytes", 4097 },
	{ "1 MiB", SZ_1M },
};

KUNIT_ARRAY_PARAM_DESC(size, buffer_sizes, name);

/* Is the rest of the last page zero? Only copies promise it. */
static bool rest_is_zero(const u8 *buf, size_t size)
{
	size_t i;

	for (i = size; !IS_ALIGNED((unsigned long)buf + i, PAGE_SIZE); i++) {
		if (buf[i])
			return false;
	}

	return true;
}

static SBM_DEFINE_FUNC(check_input, const u8 *, in, size_t, size, bool, copied)
{
	if (!in)
		return 1;
	if (first_wrong(in, size, 0x11) != size)
		return 2;
	if (copied && !IS_ALIGNED((unsigned long)in, PAGE_SIZE))
		return 3;
	if (copied && !rest_is_zero(in, size))
		return 4;

	return 0;
}

static SBM_DEFINE_FUNC(fill_output, u8 *, out, size_t, size, bool, copied)
{
	size_t i;

	if (!out)
		return 1;
	if (copied && !IS_ALIGNED((unsigned long)out, PAGE_SIZE))
		return 2;
	for (i = 0; copied && i < size; i++) {
		if (out[i])
			return 3;
	}
	if (copied && !rest_is_zero(out, size))
		return 4;
	fill(out, size, 0x22);

	return 0;
}

static SBM_DEFINE_FUNC(change_both, u8 *, buf, size_t, size, bool, copied)
{
	if (!buf)
		return 1;
	if (first_wrong(buf, size, 0x33) != size)
		return 2;
	if (copied && !rest_is_zero(buf, size))
		return 3;
	fill(buf, size, 0x44);

	return 0;
}

/*
 * A caller's buffer with a byte on each side that must not change. vmalloc, as
 * 1 MiB in one piece may not be there; unaligned, as callers' buffers are.
 */
static u8 *alloc_buffer(struct kunit *test, size_t size)
{
	u8 *buf = vmalloc(size + 2);

	KUNIT_ASSERT_NOT_NULL(test, buf);
	buf[0] = 0xee;
	buf[size + 1] = 0xee;

	return buf + 1;
}

static void free_buffer(struct kunit *test, u8 *buf, size_t size)
{
	KUNIT_EXPECT_EQ(test, buf[-1], 0xee);
	KUNIT_EXPECT_EQ(test, buf[size], 0xee);
	vfree(buf - 1);
}

static void input_arrives(struct kunit *test)
{
	size_t size = ((const struct size_param *)test->param_value)->size;
	bool copied = sbm_isolation() >= SBM_ISOLATION_WEAK;
	u8 *buf = alloc_buffer(test, size);
	struct sbm sbm;

	KUNIT_EXPECT_EQ(test, sbm_init(&sbm), 0);
	fill(buf, size, 0x11);
	KUNIT_EXPECT_EQ(test, 0,
			sbm_call(&sbm, check_input,
				 SBM_COPY_IN(&sbm, buf, size), size, copied));
	KUNIT_EXPECT_EQ(test, sbm_error(&sbm), 0);
	sbm_destroy(&sbm);
	KUNIT_EXPECT_EQ(test, first_wrong(buf, size, 0x11), size);
	free_buffer(test, buf, size);
}

static void output_arrives(struct kunit *test)
{
	size_t size = ((const struct size_param *)test->param_value)->size;
	bool copied = sbm_isolation() >= SBM_ISOLATION_WEAK;
	u8 *buf = alloc_buffer(test, size);
	struct sbm sbm;

	KUNIT_EXPECT_EQ(test, sbm_init(&sbm), 0);
	fill(buf, size, 0x55);
	KUNIT_EXPECT_EQ(test, 0,
			sbm_call(&sbm, fill_output,
				 SBM_COPY_OUT(&sbm, buf, size), size, copied));
	KUNIT_EXPECT_EQ(test, sbm_error(&sbm), 0);
	KUNIT_EXPECT_EQ(test, first_wrong(buf, size, 0x22), size);
	sbm_destroy(&sbm);
	KUNIT_EXPECT_EQ(test, first_wrong(buf, size, 0x22), size);
	free_buffer(test, buf, size);
}

static void input_and_output_in_one_arrives(struct kunit *test)
{
	size_t size = ((const struct size_param *)test->param_value)->size;
	bool copied = sbm_isolation() >= SBM_ISOLATION_WEAK;
	u8 *buf = alloc_buffer(test, size);
	struct sbm sbm;

	KUNIT_EXPECT_EQ(test, sbm_init(&sbm), 0);
	fill(buf, size, 0x33);
	KUNIT_EXPECT_EQ(test, 0,
			sbm_call(&sbm, change_both,
				 SBM_COPY_INOUT(&sbm, buf, size), size, copied));
	KUNIT_EXPECT_EQ(test, sbm_error(&sbm), 0);
	KUNIT_EXPECT_EQ(test, first_wrong(buf, size, 0x44), size);
	sbm_destroy(&sbm);
	free_buffer(test, buf, size);
}

/* Copies are taken when the macro is evaluated, and never again */
static void input_is_copied_once(struct kunit *test)
{
	u8 buf[16], *in;
	struct sbm sbm;

	skip_if_isolation_below(test, SBM_ISOLATION_WEAK);
	KUNIT_ASSERT_EQ(test, sbm_init(&sbm), 0);
	fill(buf, sizeof(buf), 0x11);
	in = SBM_COPY_IN(&sbm, buf, sizeof(buf));
	memset(buf, 0, sizeof(buf));
	KUNIT_EXPECT_EQ(test, 0,
			sbm_call(&sbm, check_input, in, sizeof(buf), true));
	sbm_destroy(&sbm);
}

static SBM_DEFINE_FUNC(increment, int *, counter)
{
	return ++*counter;
}

/* A writable copy keeps its content, and comes home after each call */
static void one_instance_serves_many_calls(struct kunit *test)
{
	int counter = 0;
	struct sbm sbm;
	int *inside;
	int i;

	KUNIT_ASSERT_EQ(test, sbm_init(&sbm), 0);
	inside = SBM_COPY_INOUT(&sbm, &counter, sizeof(counter));
	for (i = 1; i <= 100; i++) {
		KUNIT_EXPECT_EQ(test, sbm_call(&sbm, increment, inside), i);
		KUNIT_EXPECT_EQ(test, counter, i);
	}
	KUNIT_EXPECT_EQ(test, sbm_error(&sbm), 0);
	sbm_destroy(&sbm);
}

/* Read every fourth byte of a buffer, and so every page */
static SBM_DEFINE_FUNC(sum_up, const u8 *, buf, size_t, size)
{
	unsigned int sum = 0;
	size_t i;

	for (i = 0; i < size; i += 4)
		sum += buf[i];

	return sum & INT_MAX;
}

static SBM_DEFINE_FUNC(refill, u8 *, buf, size_t, size)
{
	if (first_wrong(buf, size, 0x33) != size)
		return 1;
	fill(buf, size, 0x44);

	return 0;
}

/* @buf has @size bytes and room for a byte on both sides */
static void map_both_ways(struct kunit *test, u8 *buf, size_t size,
			  const char *what)
{
	struct sbm sbm;
	int sum = 0;
	size_t i;
	u8 *in;

	buf[-1] = 0xee;
	buf[size] = 0xee;
	fill(buf, size, 0x33);
	for (i = 0; i < size; i += 4)
		sum += buf[i];

	KUNIT_EXPECT_EQ(test, sbm_init(&sbm), 0);
	in = SBM_MAP_READONLY(&sbm, buf, size);
	KUNIT_EXPECT_NOT_NULL_MSG(test, in, "%s", what);
	KUNIT_EXPECT_EQ(test, offset_in_page(in), offset_in_page(buf));
	KUNIT_EXPECT_EQ_MSG(test, sbm_call(&sbm, sum_up, in, size), sum, "%s",
			    what);

	/* Nothing was copied: what the caller changes now is seen */
	buf[0]++;
	KUNIT_EXPECT_EQ_MSG(test, sbm_call(&sbm, sum_up, in, size), sum + 1,
			    "%s", what);
	buf[0]--;

	KUNIT_EXPECT_EQ_MSG(test, 0,
			    sbm_call(&sbm, refill,
				     SBM_MAP_WRITABLE(&sbm, buf, size), size),
			    "%s", what);
	KUNIT_EXPECT_EQ_MSG(test, first_wrong(buf, size, 0x44), size, "%s",
			    what);
	KUNIT_EXPECT_EQ(test, sbm_error(&sbm), 0);
	sbm_destroy(&sbm);

	KUNIT_EXPECT_EQ(test, first_wrong(buf, size, 0x44), size);
	KUNIT_EXPECT_EQ(test, buf[-1], 0xee);
	KUNIT_EXPECT_EQ(test, buf[size], 0xee);
}

static u8 mapped_data[2 * PAGE_SIZE] = { 1 };

static void all_kinds_of_memory_can_be_mapped(struct kunit *test)
{
	u8 *slab = kmalloc(300, GFP_KERNEL);
	unsigned long page = __get_free_pages(GFP_KERNEL, 1);
	u8 *area = vmalloc(4 * PAGE_SIZE);

	KUNIT_EXPECT_NOT_NULL(test, slab);
	KUNIT_EXPECT_NE(test, page, 0);
	KUNIT_EXPECT_NOT_NULL(test, area);
	if (slab && page && area) {
		map_both_ways(test, slab + 3, 290, "kmalloc");
		map_both_ways(test, (u8 *)page + 1, PAGE_SIZE, "two pages");
		map_both_ways(test, (u8 *)page + 100, 1, "one byte");
		map_both_ways(test, area + 4095, 2 * PAGE_SIZE + 2, "vmalloc");
	}
	map_both_ways(test, mapped_data + 5, PAGE_SIZE, "kernel data");
	vfree(area);
	free_pages(page, 1);
	kfree(slab);
}

/*
 * The caller's stack holds return addresses, and what the world switch gives back
 * to the CPU: whoever can write to it owns the kernel.
 */
static void own_stack_cannot_be_mapped(struct kunit *test)
{
	u8 stack[64] = {};
	struct sbm sbm;

	skip_if_isolation_below(test, SBM_ISOLATION_WEAK);
	KUNIT_ASSERT_EQ(test, sbm_init(&sbm), 0);
	KUNIT_EXPECT_NULL(test, SBM_MAP_WRITABLE(&sbm, stack, sizeof(stack)));
	KUNIT_EXPECT_EQ(test, sbm_error(&sbm), -EINVAL);
	sbm_destroy(&sbm);

	KUNIT_ASSERT_EQ(test, sbm_init(&sbm), 0);
	KUNIT_EXPECT_NULL(test, SBM_MAP_READONLY(&sbm, stack, sizeof(stack)));
	KUNIT_EXPECT_EQ(test, sbm_error(&sbm), -EINVAL);
	sbm_destroy(&sbm);
}

static const u8 constant_data[] = "constant";

/* What the kernel cannot write, a target may not write either */
static void constants_can_only_be_mapped_read_only(struct kunit *test)
{
	u8 *forged = (u8 *)(unsigned long)constant_data;
	struct sbm sbm;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	if (!IS_ENABLED(CONFIG_STRICT_KERNEL_RWX))
		kunit_skip(test, "constants are writable in this kernel");
	/* No skip: KUnit would skip the second run as well */
	if (system_state < SYSTEM_RUNNING) {
		kunit_info(test, "constants are still writable during boot\n");
		return;
	}

	KUNIT_ASSERT_EQ(test, sbm_init(&sbm), 0);
	KUNIT_EXPECT_NOT_NULL(test, SBM_MAP_READONLY(&sbm, constant_data, 1));
	KUNIT_EXPECT_NULL(test, SBM_MAP_WRITABLE(&sbm, forged, 1));
	KUNIT_EXPECT_EQ(test, sbm_error(&sbm), -EINVAL);
	sbm_destroy(&sbm);
}

/* Addresses where there is no kernel memory to map */
static void only_kernel_memory_can_be_mapped(struct kunit *test)
{
	static const unsigned long bad[] = {
		1, PAGE_SIZE, 0x400000, (unsigned long)-PAGE_SIZE,
	};
	struct sbm sbm;
	int i;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		KUNIT_ASSERT_EQ(test, sbm_init(&sbm), 0);
		KUNIT_EXPECT_NULL(test,
				  SBM_MAP_READONLY(&sbm, (u8 *)bad[i], 1));
		KUNIT_EXPECT_EQ(test, sbm_error(&sbm), -EINVAL);
		KUNIT_EXPECT_EQ(test, sbm_call(&sbm, take_none), -EINVAL);
		sbm_destroy(&sbm);
	}
}

static SBM_DEFINE_FUNC(write_then_fault, u8 *, out, u8 *, both, u8 *, mapped)
{
	out[0] = 1;
	out[5000] = 1;
	both[0] = 1;
	mapped[0] = 1;

	return touch_forbidden_address();
}

static void output_is_untouched_after_a_stop(struct kunit *test)
{
	u8 *mapped = (u8 *)get_zeroed_page(GFP_KERNEL);
	u8 *out = alloc_buffer(test, 5001);
	u8 *both = alloc_buffer(test, 10);
	const struct sbm_fault *fault;
	struct sbm sbm;
	int i;

	if (sbm_isolation() < SBM_ISOLATION_STRONG || !mapped)
		goto out;

	fill(out, 5001, 0x55);
	fill(both, 10, 0x66);
	init_at_least(test, &sbm, SBM_ISOLATION_STRONG);
	KUNIT_EXPECT_EQ(test, -EFAULT,
			sbm_call(&sbm, write_then_fault,
				 SBM_COPY_OUT(&sbm, out, 5001),
				 SBM_COPY_INOUT(&sbm, both, 10),
				 SBM_MAP_WRITABLE(&sbm, mapped, PAGE_SIZE)));
	KUNIT_EXPECT_EQ(test, sbm_error(&sbm), -EFAULT);
	fault = sbm_fault(&sbm);
	KUNIT_EXPECT_NOT_NULL(test, fault);
	if (fault) {
		KUNIT_EXPECT_EQ(test, fault->cause, SBM_CAUSE_PAGE_FAULT);
		KUNIT_EXPECT_EQ(test, fault->address, SBM_TEST_NOWHERE);
	}

	/* It stays stopped */
	for (i = 0; i < 3; i++)
		KUNIT_EXPECT_EQ(test, sbm_call(&sbm, take_none), -EFAULT);
	KUNIT_EXPECT_EQ(test, sbm_error(&sbm), -EFAULT);
	KUNIT_EXPECT_NULL(test, SBM_COPY_IN(&sbm, out, 1));
	sbm_destroy(&sbm);

	KUNIT_EXPECT_EQ(test, first_wrong(out, 5001, 0x55), 5001);
	KUNIT_EXPECT_EQ(test, first_wrong(both, 10, 0x66), 10);
	/* This is the difference between the two kinds */
	KUNIT_EXPECT_EQ(test, mapped[0], 1);
out:
	free_buffer(test, both, 10);
	free_buffer(test, out, 5001);
	free_page((unsigned long)mapped);
	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
}

static SBM_DEFINE_FUNC(read_byte, const u8 *, p)
{
	return READ_ONCE(*p);
}

/* The address of an empty buffer is a guard page's */
static void empty_buffers_have_no_byte(struct kunit *test)
{
	struct sbm sbm;
	u8 dummy = 0;
	u8 *empty;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);

	KUNIT_ASSERT_EQ(test, sbm_init(&sbm), 0);
	empty = SBM_COPY_IN(&sbm, &dummy, 0);
	KUNIT_EXPECT_NOT_NULL(test, empty);
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, read_byte, empty), -EFAULT);
	KUNIT_EXPECT_NOT_NULL(test, sbm_fault(&sbm));
	if (sbm_fault(&sbm))
		KUNIT_EXPECT_EQ(test, sbm_fault(&sbm)->address,
				(unsigned long)empty);
	sbm_destroy(&sbm);

	KUNIT_ASSERT_EQ(test, sbm_init(&sbm), 0);
	empty = SBM_MAP_READONLY(&sbm, &dummy, 0);
	KUNIT_EXPECT_NOT_NULL(test, empty);
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, read_byte, empty), -EFAULT);
	sbm_destroy(&sbm);

	/* NULL is fine if there is nothing to copy */
	KUNIT_ASSERT_EQ(test, sbm_init(&sbm), 0);
	KUNIT_EXPECT_NOT_NULL(test, SBM_COPY_OUT(&sbm, (u8 *)NULL, 0));
	KUNIT_EXPECT_EQ(test, sbm_error(&sbm), 0);
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, take_none), 100);
	sbm_destroy(&sbm);
}

static void arrays_decay_to_pointers(struct kunit *test)
{
	static const char text[] = "text";
	u16 array[8] = {};
	struct sbm sbm;

	static_assert(__same_type(SBM_COPY_IN(&sbm, array, 16), u16 *));
	static_assert(__same_type(SBM_COPY_OUT(&sbm, array, 16), u16 *));
	static_assert(__same_type(SBM_COPY_INOUT(&sbm, array, 16), u16 *));
	static_assert(__same_type(SBM_MAP_READONLY(&sbm, array, 16), u16 *));
	static_assert(__same_type(SBM_MAP_WRITABLE(&sbm, array, 16), u16 *));
	static_assert(__same_type(SBM_COPY_IN(&sbm, text, 5), const char *));
	static_assert(__same_type(SBM_COPY_IN(&sbm, &sbm, 5), struct sbm *));

	KUNIT_ASSERT_EQ(test, sbm_init(&sbm), 0);
	KUNIT_EXPECT_NOT_NULL(test, SBM_COPY_IN(&sbm, array, sizeof(array)));
	KUNIT_EXPECT_NOT_NULL(test, SBM_COPY_IN(&sbm, text, sizeof(text)));
	sbm_destroy(&sbm);
}

/* === Fields of structures === */

/* Of odd sizes, with holes, and neighbours that are not a target's business */
struct mixed {
	u8	first;
	u64	secret;
	u32	in;
	u16	out;
	u64	both;
	char	name[13];
	void	*pointer;
	struct {
		u8	shown;
		u8	hidden;
	} pair[3];
	u8	last;
};

static const struct sbm_field mixed_fields[] = {
	SBM_FIELD(struct mixed, both),
	SBM_FIELD_IN(struct mixed, in),
	SBM_FIELD_OUT(struct mixed, out),
	SBM_FIELD(struct mixed, name),
	SBM_FIELD(struct mixed, pair[1].shown),
};

/* The rights to each byte of struct mixed, told a second time */
static void mixed_rights(struct mixed *map)
{
	const u8 both = __SBM_BUF_IN | __SBM_BUF_OUT;

	memset(map, 0, sizeof(*map));
	memset(&map->both, both, sizeof(map->both));
	memset(&map->in, __SBM_BUF_IN, sizeof(map->in));
	memset(&map->out, __SBM_BUF_OUT, sizeof(map->out));
	memset(map->name, both, sizeof(map->name));
	memset(&map->pair[1].shown, both, sizeof(map->pair[1].shown));
}

/* Levels of isolation that hide anything */
static const struct sbm_attr copying[] = {
	{ .min_isolation = SBM_ISOLATION_STRONG, },
	{ .min_isolation = SBM_ISOLATION_WEAK, .flags = SBM_ATTR_WEAK, },
};

/* Tell all that is there, and write over all of it, to the end of the last page */
static SBM_DEFINE_FUNC(see_and_write_all, u8 *, objects, size_t, size, u8 *, seen,
		       u8, value)
{
	size_t i;

	for (i = 0; i < size; i++)
		seen[i] = objects[i];
	for (i = 0; i < PAGE_ALIGN(size); i++)
		objects[i] = value;

	return 0;
}

/* A second structure's worth on both sides must not change, whatever is in between */
static u8 *alloc_objects(struct kunit *test, size_t of, size_t nr)
{
	u8 *objects = vmalloc((nr + 2) * of);

	KUNIT_ASSERT_NOT_NULL(test, objects);
	fill(objects, (nr + 2) * of, 0x61);

	return objects + of;
}

static u8 right_to(const u8 *map, size_t of, size_t i)
{
	return map[i % of];
}

/* @objects was filled by alloc_objects(), and a target has written @value everywhere */
static void expect_fields(struct kunit *test, const u8 *objects, const u8 *seen,
			  const u8 *map, size_t of, size_t nr, u8 value)
{
	size_t bad = 0, i;

	for (i = 0; i < (nr + 2) * of; i++) {
		u8 was = pattern(i, 0x61);
		bool outside = i < of || i >= (nr + 1) * of;
		u8 right = outside ? 0 : right_to(map, of, i);

		bad += objects[i - of] != (right & __SBM_BUF_OUT ? value : was);
		if (!outside)
			bad += seen[i - of] != (right & __SBM_BUF_IN ? was : 0);
	}
	KUNIT_EXPECT_EQ_MSG(test, bad, 0, "%zu of %zu bytes", nr, of);
}

static void only_fields_go_in_and_out(struct kunit *test)
{
	static const size_t numbers[] = { 1, 2, 56, 57, 500 };
	const size_t of = sizeof(struct mixed);
	struct mixed map;
	int level, i;

	skip_if_isolation_below(test, SBM_ISOLATION_WEAK);
	mixed_rights(&map);
	for (level = 0; level < ARRAY_SIZE(copying); level++) {
		if (sbm_isolation() < copying[level].min_isolation)
			continue;
		for (i = 0; i < ARRAY_SIZE(numbers); i++) {
			size_t nr = numbers[i];
			u8 *objects = alloc_objects(test, of, nr);
			u8 *seen = vzalloc(nr * of);
			struct mixed *inside;
			struct sbm sbm;

			KUNIT_ASSERT_NOT_NULL(test, seen);
			KUNIT_EXPECT_EQ(test, sbm_init_attr(&sbm, &copying[level]), 0);
			if (nr == 1)
				inside = SBM_COPY_FIELDS(&sbm, (struct mixed *)objects,
							 mixed_fields);
			else
				inside = SBM_COPY_FIELDS_ARRAY(&sbm, (struct mixed *)objects,
							       nr, mixed_fields);
			KUNIT_EXPECT_NOT_NULL(test, inside);
			KUNIT_EXPECT_EQ(test, 0,
					sbm_call(&sbm, see_and_write_all, (u8 *)inside,
						 nr * of, SBM_COPY_OUT(&sbm, seen, nr * of),
						 0x5b));
			expect_fields(test, objects, seen, (const u8 *)&map, of, nr, 0x5b);
			sbm_destroy(&sbm);
			vfree(seen);
			vfree(objects - of);
		}
	}
}

/* Any fields of any structure, any number of them, across pages */
static void random_fields_are_kept_to(struct kunit *test)
{
	struct sbm_field *fields;
	int i, level;
	u8 *map;

	skip_if_isolation_below(test, SBM_ISOLATION_WEAK);
	map = kunit_kzalloc(test, PAGE_SIZE, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, map);
	fields = kunit_kcalloc(test, SBM_MAX_FIELDS, sizeof(*fields), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, fields);
	for (i = 0; i < 300; i++) {
		size_t of = get_random_u32_inclusive(1, i % 10 ? 100 : PAGE_SIZE);
		size_t nr = get_random_u32_inclusive(1, i % 10 ? 150 : 4);
		unsigned int nr_fields = 0, at = 0;
		u8 *objects, *seen, *inside;
		struct sbm sbm;

		level = i % ARRAY_SIZE(copying);
		if (sbm_isolation() < copying[level].min_isolation)
			continue;
		memset(map, 0, of);
		while (at < of && nr_fields < SBM_MAX_FIELDS) {
			u32 size = get_random_u32_inclusive(1, min_t(u32, of - at, 40));
			u32 rights = get_random_u32_below(4);

			if (rights) {
				fields[nr_fields++] = (struct sbm_field) {
					.offset = at, .size = size, .of = of,
					.rights = rights,
				};
				memset(map + at, rights, size);
			}
			at += size;
		}
		if (!nr_fields)
			continue;
		/* In any order */
		swap(fields[0], fields[nr_fields / 2]);

		objects = alloc_objects(test, of, nr);
		seen = vzalloc(nr * of);
		KUNIT_ASSERT_NOT_NULL(test, seen);
		KUNIT_EXPECT_EQ(test, sbm_init_attr(&sbm, &copying[level]), 0);
		inside = __sbm_buffer_fields(&sbm, (unsigned long)objects, of, nr, fields,
					     nr_fields, "random");
		/* It has its own copy of them */
		memset(fields, 0xff, SBM_MAX_FIELDS * sizeof(*fields));
		if (!memchr(map, __SBM_BUF_OUT, of) &&
		    !memchr(map, __SBM_BUF_IN | __SBM_BUF_OUT, of)) {
			/* It is read-only */
			KUNIT_EXPECT_NOT_NULL(test, inside);
		} else {
			KUNIT_EXPECT_EQ(test, 0,
					sbm_call(&sbm, see_and_write_all, inside, nr * of,
						 SBM_COPY_OUT(&sbm, seen, nr * of), 0x5c));
			expect_fields(test, objects, seen, map, of, nr, 0x5c);
		}
		sbm_destroy(&sbm);
		vfree(seen);
		vfree(objects - of);
	}
}

static SBM_DEFINE_FUNC(write_all_then_fault, u8 *, object, size_t, size)
{
	memset(object, 0x5d, size);

	return touch_forbidden_address();
}

static void fields_are_untouched_after_a_stop(struct kunit *test)
{
	struct mixed object;
	struct sbm sbm;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	fill((u8 *)&object, sizeof(object), 0x62);
	init_at_least(test, &sbm, SBM_ISOLATION_STRONG);
	KUNIT_EXPECT_EQ(test, -EFAULT,
			sbm_call(&sbm, write_all_then_fault,
				 (u8 *)SBM_COPY_FIELDS(&sbm, &object, mixed_fields),
				 sizeof(object)));
	sbm_destroy(&sbm);
	KUNIT_EXPECT_EQ(test, first_wrong((u8 *)&object, sizeof(object), 0x62),
			sizeof(object));
}

static SBM_DEFINE_FUNC(count_up, struct mixed *, object)
{
	/* Also what is not the caller's business */
	object->in++;
	object->out++;
	object->both++;
	object->secret++;

	return object->secret + 100 * object->in;
}

/* A second call finds what the first one has left; the caller finds fields only */
static void fields_last_from_call_to_call(struct kunit *test)
{
	int level;

	skip_if_isolation_below(test, SBM_ISOLATION_WEAK);
	for (level = 0; level < ARRAY_SIZE(copying); level++) {
		struct mixed object = { .in = 5, .out = 50, .both = 500, .secret = 5000 };
		struct mixed *inside;
		struct sbm sbm;

		if (sbm_isolation() < copying[level].min_isolation)
			continue;
		KUNIT_EXPECT_EQ(test, sbm_init_attr(&sbm, &copying[level]), 0);
		inside = SBM_COPY_FIELDS(&sbm, &object, mixed_fields);
		KUNIT_EXPECT_EQ(test, sbm_call(&sbm, count_up, inside), 601);
		KUNIT_EXPECT_EQ(test, object.in, 5);
		KUNIT_EXPECT_EQ(test, object.out, 1);
		KUNIT_EXPECT_EQ(test, object.both, 501);
		KUNIT_EXPECT_EQ(test, object.secret, 5000);

		/* Nothing goes in a second time, and what does not come back stays */
		object.in = 7;
		object.out = 70;
		object.both = 700;
		object.secret = 7000;
		KUNIT_EXPECT_EQ(test, sbm_call(&sbm, count_up, inside), 702);
		KUNIT_EXPECT_EQ(test, object.in, 7);
		KUNIT_EXPECT_EQ(test, object.out, 2);
		KUNIT_EXPECT_EQ(test, object.both, 502);
		KUNIT_EXPECT_EQ(test, object.secret, 7000);

		/* After a reset there is nothing of it, and it can be made again */
		KUNIT_EXPECT_EQ(test, sbm_reset(&sbm), 0);
		object.both = 900;
		KUNIT_EXPECT_EQ(test, sbm_call(&sbm, give_back, 3), 3);
		KUNIT_EXPECT_EQ(test, object.both, 900);
		inside = SBM_COPY_FIELDS(&sbm, &object, mixed_fields);
		KUNIT_EXPECT_EQ(test, sbm_call(&sbm, count_up, inside), 801);
		KUNIT_EXPECT_EQ(test, object.both, 901);
		sbm_destroy(&sbm);
	}
}

/* Where nothing may be written, nothing can be */
static void fields_to_read_are_read_only(struct kunit *test)
{
	static const struct sbm_field fields[] = {
		SBM_FIELD_IN(struct mixed, in), SBM_FIELD_IN(struct mixed, both),
	};
	struct mixed object = { .in = 5, .both = 500, .secret = 5000 };
	struct mixed *inside;
	struct sbm sbm;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	init_at_least(test, &sbm, SBM_ISOLATION_STRONG);
	inside = SBM_COPY_FIELDS(&sbm, &object, fields);
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, count_up, inside), -EFAULT);
	KUNIT_EXPECT_NOT_NULL(test, sbm_fault(&sbm));
	if (sbm_fault(&sbm)) {
		char text[SBM_DESCRIPTION_SIZE];

		KUNIT_EXPECT_EQ(test, sbm_fault(&sbm)->access, SBM_ACCESS_WRITE);
		sbm_describe(&sbm, sbm_fault(&sbm)->address, text, sizeof(text));
		KUNIT_EXPECT_NOT_NULL_MSG(test, strstr(text, "'&object' (COPY_FIELDS, "),
					  "%s", text);
	}
	KUNIT_EXPECT_EQ(test, object.in, 5);
	sbm_destroy(&sbm);
}

/* What SBM_COPY_FIELDS() would not compile, or what an array may turn out to be */
static void wrong_fields_are_refused(struct kunit *test)
{
	enum { BOTH = __SBM_BUF_IN | __SBM_BUF_OUT, };
	static const struct {
		struct sbm_field	f[2];
		unsigned int		nr;
	} bad[] = {
		{ { { 0, 8, 64, BOTH }, { 0, 8, 64, BOTH } }, 2 },
		{ { { 0, 8, 64, BOTH }, { 7, 1, 64, BOTH } }, 2 },
		{ { { 4, 2, 64, BOTH }, { 0, 64, 64, BOTH } }, 2 },
		{ { { 0, 64, 64, __SBM_BUF_IN }, { 63, 1, 64, __SBM_BUF_OUT } }, 2 },
		{ { { 8, 8, 64, BOTH }, { 1, 8, 64, BOTH } }, 2 },
		{ { { 0, 65, 64, BOTH } }, 1 },
		{ { { 1, 64, 64, BOTH } }, 1 },
		{ { { 64, 1, 64, BOTH } }, 1 },
		{ { { U32_MAX, 1, 64, BOTH } }, 1 },
		{ { { U32_MAX - 3, 8, 64, BOTH } }, 1 },
		{ { { 1, U32_MAX, 64, BOTH } }, 1 },
		{ { { 0, 0, 64, BOTH } }, 1 },
		{ { { 0, 8, 64, 0 } }, 1 },
		{ { { 0, 8, 64, BOTH | __SBM_BUF_MAP } }, 1 },
		{ { { 0, 8, 64, U32_MAX } }, 1 },
		{ { { 0, 8, 63, BOTH } }, 1 },
		{ { { 0, 8, 128, BOTH } }, 1 },
		{ { { 0, 8, 64, BOTH }, { 8, 8, 72, BOTH } }, 2 },
		{ { { 0, 8, 64, BOTH } }, 0 },
	};
	static const struct {
		size_t	of, nr;
		int	err;
	} sizes[] = {
		{ 64, SIZE_MAX / 64 + 2, -EINVAL },
		{ 64, SIZE_MAX, -EINVAL },
		{ 64, SBM_MAX_BUFFER_SIZE / 64 + 1, -EINVAL },
		{ 0, 1, -EINVAL },
		{ 64, 0, 0 },
		{ 64, 1, 0 },
	};
	static struct sbm_field many[SBM_MAX_FIELDS + 1];
	long before = sbm_pages_in_use();
	u8 object[64] = {};
	struct sbm sbm;
	int i;

	KUNIT_ASSERT_EQ(test, sbm_init(&sbm), 0);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		KUNIT_EXPECT_NULL_MSG(test,
				      __sbm_buffer_fields(&sbm, (unsigned long)object, 64, 1,
							  bad[i].f, bad[i].nr, "bad"),
				      "%d", i);
		KUNIT_EXPECT_EQ_MSG(test, sbm_error(&sbm), -EINVAL, "%d", i);
		/* As for other buffers: nothing is called then */
		KUNIT_EXPECT_EQ(test, sbm_call(&sbm, give_back, 1), -EINVAL);
		KUNIT_EXPECT_EQ(test, sbm_reset(&sbm), 0);
	}
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		/* Only the last one has as many bytes as it says */
		__sbm_buffer_fields(&sbm, (unsigned long)object, sizes[i].of, sizes[i].nr,
				    &bad[0].f[0], 1, "sizes");
		KUNIT_EXPECT_EQ_MSG(test, sbm_error(&sbm), sizes[i].err, "%d", i);
		KUNIT_EXPECT_EQ(test, sbm_reset(&sbm), 0);
	}

	for (i = 0; i < ARRAY_SIZE(many); i++)
		many[i] = (struct sbm_field) { i % 64, 1, 64, BOTH };
	__sbm_buffer_fields(&sbm, (unsigned long)object, 64, 1, many, SBM_MAX_FIELDS + 1,
			    "many");
	KUNIT_EXPECT_EQ(test, sbm_error(&sbm), -EINVAL);
	KUNIT_EXPECT_EQ(test, sbm_reset(&sbm), 0);
	KUNIT_EXPECT_NOT_NULL(test,
			      __sbm_buffer_fields(&sbm, (unsigned long)object, 64, 1, many,
						  SBM_MAX_FIELDS, "many"));
	KUNIT_EXPECT_EQ(test, sbm_error(&sbm), 0);
	KUNIT_EXPECT_EQ(test, sbm_reset(&sbm), 0);

	KUNIT_EXPECT_NULL(test, SBM_COPY_FIELDS(&sbm, (struct mixed *)NULL, mixed_fields));
	KUNIT_EXPECT_EQ(test, sbm_error(&sbm), -EINVAL);
	sbm_destroy(&sbm);
	KUNIT_EXPECT_NULL(test, SBM_COPY_FIELDS(&sbm, (struct mixed *)object, mixed_fields));
	KUNIT_EXPECT_EQ(test, sbm_pages_in_use(), before);
}

/* === Errors === */

static SBM_DEFINE_FUNC(say_started, struct shared *, shared, const void *, other)
{
	WRITE_ONCE(shared->started, 1);

	return 0;
}

static void null_arguments_are_refused(struct kunit *test)
{
	struct sbm sbm;
	u8 byte = 0;

	KUNIT_EXPECT_EQ(test, sbm_init(NULL), -EINVAL);
	KUNIT_EXPECT_EQ(test, sbm_init_attr(NULL, NULL), -EINVAL);
	KUNIT_EXPECT_EQ(test, sbm_error(NULL), -EINVAL);
	KUNIT_EXPECT_NULL(test, sbm_fault(NULL));
	KUNIT_EXPECT_EQ(test, sbm_instance_isolation(NULL), SBM_ISOLATION_NONE);
	KUNIT_EXPECT_EQ(test, sbm_exec(NULL, give_back_data, NULL), -EINVAL);
	KUNIT_EXPECT_EQ(test, sbm_call((struct sbm *)NULL, take_none), -EINVAL);
	KUNIT_EXPECT_NULL(test, SBM_COPY_IN((struct sbm *)NULL, &byte, 1));
	KUNIT_EXPECT_NULL(test, SBM_MAP_WRITABLE((struct sbm *)NULL, &byte, 1));
	sbm_destroy(NULL);

	KUNIT_ASSERT_EQ(test, sbm_init_attr(&sbm, NULL), 0);
	KUNIT_EXPECT_EQ(test, sbm_exec(&sbm, NULL, NULL), -EINVAL);
	sbm_destroy(&sbm);
}

static void failed_init_is_remembered(struct kunit *test)
{
	const struct sbm_attr bad = { .flags = ~SBM_ATTR_WEAK, };
	struct sbm sbm;
	u8 byte = 0;

	KUNIT_EXPECT_EQ(test, sbm_init_attr(&sbm, &bad), -EINVAL);
	KUNIT_EXPECT_EQ(test, sbm_error(&sbm), -EINVAL);
	KUNIT_EXPECT_EQ(test, sbm_instance_isolation(&sbm), SBM_ISOLATION_NONE);
	KUNIT_EXPECT_NULL(test, SBM_COPY_IN(&sbm, &byte, 1));
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, take_none), -EINVAL);
	KUNIT_EXPECT_EQ(test, sbm_exec(&sbm, give_back_data, NULL), -EINVAL);
	KUNIT_EXPECT_NULL(test, sbm_fault(&sbm));
	sbm_destroy(&sbm);
	KUNIT_EXPECT_EQ(test, sbm_error(&sbm), -EINVAL);
	sbm_destroy(&sbm);
}

static void use_after_destroy_is_refused(struct kunit *test)
{
	struct sbm sbm;
	u8 byte = 0;

	KUNIT_ASSERT_EQ(test, sbm_init(&sbm), 0);
	sbm_destroy(&sbm);
	KUNIT_EXPECT_EQ(test, sbm_error(&sbm), -EINVAL);
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, take_none), -EINVAL);
	KUNIT_EXPECT_EQ(test, sbm_exec(&sbm, give_back_data, NULL), -EINVAL);
	KUNIT_EXPECT_NULL(test, SBM_COPY_OUT(&sbm, &byte, 1));
	KUNIT_EXPECT_NULL(test, SBM_MAP_READONLY(&sbm, &byte, 1));
	KUNIT_EXPECT_NULL(test, sbm_fault(&sbm));
	KUNIT_EXPECT_EQ(test, sbm_instance_isolation(&sbm), SBM_ISOLATION_NONE);
	sbm_destroy(&sbm);
	sbm_destroy(&sbm);

	/* It can be set up again */
	KUNIT_EXPECT_EQ(test, sbm_init(&sbm), 0);
	KUNIT_EXPECT_EQ(test, sbm_error(&sbm), 0);
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, take_none), 100);
	sbm_destroy(&sbm);
}

/* Its error is what the call returns, and the target does not run */
static void failed_buffer_prevents_the_call(struct kunit *test)
{
	struct shared *shared = alloc_shared(test);
	struct shared *inside;
	u8 byte = 0, *null = NULL;
	struct sbm sbm;
	int i;

	for (i = 0; i < 6; i++) {
		void *buf = &byte;

		KUNIT_EXPECT_EQ(test, sbm_init(&sbm), 0);
		inside = SBM_MAP_WRITABLE(&sbm, shared, sizeof(*shared));
		switch (i) {
		case 0:
			buf = SBM_COPY_IN(&sbm, null, 1);
			break;
		case 1:
			buf = SBM_COPY_OUT(&sbm, null, 1);
			break;
		case 2:
			buf = SBM_MAP_WRITABLE(&sbm, null, 1);
			break;
		case 3:
			buf = SBM_COPY_IN(&sbm, &byte, SBM_MAX_BUFFER_SIZE + 1);
			break;
		case 4:
			buf = SBM_MAP_READONLY(&sbm, &byte,
					       SBM_MAX_BUFFER_SIZE + 1);
			break;
		case 5:
			buf = SBM_COPY_INOUT(&sbm, &byte, SIZE_MAX);
			break;
		}
		KUNIT_EXPECT_NULL_MSG(test, buf, "case %d", i);
		KUNIT_EXPECT_EQ_MSG(test, sbm_error(&sbm), -EINVAL, "case %d", i);
		KUNIT_EXPECT_EQ_MSG(test, -EINVAL,
				    sbm_call(&sbm, say_started, inside, buf),
				    "case %d", i);
		/* Nor can it be repaired */
		KUNIT_EXPECT_NULL(test, SBM_COPY_IN(&sbm, &byte, 1));
		KUNIT_EXPECT_EQ(test, sbm_error(&sbm), -EINVAL);
		sbm_destroy(&sbm);
		KUNIT_EXPECT_EQ_MSG(test, shared->started, 0, "case %d", i);
	}
}

static void calls_with_interrupts_off_are_refused(struct kunit *test)
{
	struct shared *shared = alloc_shared(test);
	int call_err, init_err;
	struct shared *inside;
	struct sbm sbm, other;

	KUNIT_EXPECT_EQ(test, sbm_init(&sbm), 0);
	inside = SBM_MAP_WRITABLE(&sbm, shared, sizeof(*shared));

	local_irq_disable();
	call_err = sbm_call(&sbm, say_started, inside, NULL);
	init_err = sbm_init(&other);
	local_irq_enable();

	KUNIT_EXPECT_EQ(test, call_err, -EINVAL);
	KUNIT_EXPECT_EQ(test, init_err, -EINVAL);
	KUNIT_EXPECT_EQ(test, shared->started, 0);
	sbm_destroy(&other);
	sbm_destroy(&sbm);
}

/* Where there is no world switch there is nothing to put a barrier into */
static void barrier_takes_strong_isolation(struct kunit *test)
{
	const struct sbm_attr attr = { .flags = SBM_ATTR_WEAK | SBM_ATTR_IBPB, };
	struct sbm sbm;

	KUNIT_EXPECT_EQ(test, sbm_init_attr(&sbm, &attr), -EOPNOTSUPP);
	KUNIT_EXPECT_EQ(test, sbm_error(&sbm), -EOPNOTSUPP);
	sbm_destroy(&sbm);
}

static void invalid_attributes_are_refused(struct kunit *test)
{
	static const struct sbm_attr bad[] = {
		{ .flags = SBM_ATTR_WEAK | 0x80000000, },
		{ .min_isolation = SBM_ISOLATION_STRONG + 1, },
		{ .stack_size = SBM_MAX_STACK_SIZE + 1, },
		{ .stack_size = SIZE_MAX, },
	};
	struct sbm sbm;
	int i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		KUNIT_EXPECT_EQ_MSG(test, sbm_init_attr(&sbm, &bad[i]), -EINVAL,
				    "case %d", i);
		KUNIT_EXPECT_EQ(test, sbm_call(&sbm, take_none), -EINVAL);
		sbm_destroy(&sbm);
	}
}

static void isolation_is_what_was_asked_for(struct kunit *test)
{
	const struct sbm_attr weak = { .flags = SBM_ATTR_WEAK, };
	const struct sbm_attr contradiction = {
		.min_isolation	= SBM_ISOLATION_STRONG,
		.flags		= SBM_ATTR_WEAK,
	};
	enum sbm_isolation best = sbm_isolation();
	struct sbm_attr attr = {};
	struct sbm sbm;
	int level;

	KUNIT_ASSERT_EQ(test, sbm_init(&sbm), 0);
	KUNIT_EXPECT_EQ(test, sbm_instance_isolation(&sbm), best);
	sbm_destroy(&sbm);

	for (level = SBM_ISOLATION_NONE; level <= SBM_ISOLATION_STRONG; level++) {
		attr.min_isolation = level;
		KUNIT_EXPECT_EQ(test, sbm_init_attr(&sbm, &attr),
				level <= best ? 0 : -EOPNOTSUPP);
		KUNIT_EXPECT_EQ(test, sbm_instance_isolation(&sbm),
				level <= best ? best : SBM_ISOLATION_NONE);
		KUNIT_EXPECT_EQ(test, sbm_call(&sbm, take_none),
				level <= best ? 100 : -EOPNOTSUPP);
		sbm_destroy(&sbm);
	}

	KUNIT_ASSERT_EQ(test, sbm_init_attr(&sbm, &weak), 0);
	KUNIT_EXPECT_EQ(test, sbm_instance_isolation(&sbm),
			min(best, SBM_ISOLATION_WEAK));
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, take_none), 100);
	sbm_destroy(&sbm);

	KUNIT_EXPECT_LT(test, sbm_init_attr(&sbm, &contradiction), 0);
	KUNIT_EXPECT_LT(test, sbm_call(&sbm, take_none), 0);
	sbm_destroy(&sbm);
}

static void weak_isolation_copies_buffers_too(struct kunit *test)
{
	const struct sbm_attr weak = { .flags = SBM_ATTR_WEAK, };
	u8 *buf = alloc_buffer(test, 5000);
	struct sbm sbm;
	u8 *inside;

	if (sbm_isolation() < SBM_ISOLATION_WEAK)
		goto out;

	fill(buf, 5000, 0x33);
	KUNIT_EXPECT_EQ(test, sbm_init_attr(&sbm, &weak), 0);
	inside = SBM_COPY_INOUT(&sbm, buf, 5000);
	KUNIT_EXPECT_NOT_NULL(test, inside);
	KUNIT_EXPECT_PTR_NE(test, inside, buf);
	KUNIT_EXPECT_EQ(test, 0, sbm_call(&sbm, change_both, inside, 5000, true));
	KUNIT_EXPECT_EQ(test, first_wrong(buf, 5000, 0x44), 5000);
	sbm_destroy(&sbm);
out:
	free_buffer(test, buf, 5000);
	skip_if_isolation_below(test, SBM_ISOLATION_WEAK);
}

static void all_causes_have_a_name(struct kunit *test)
{
	int cause, other;

	for (cause = 0; cause < SBM_NR_CAUSES; cause++) {
		KUNIT_EXPECT_NOT_NULL(test, sbm_cause_name(cause));
		for (other = 0; other < cause; other++)
			KUNIT_EXPECT_STRNEQ(test, sbm_cause_name(cause),
					    sbm_cause_name(other));
	}
	/* Out of range is answered too */
	KUNIT_EXPECT_NOT_NULL(test, sbm_cause_name(SBM_NR_CAUSES));
}

static int not_text = 0x000000c3;

static void only_text_of_the_image_gets_strong_isolation(struct kunit *test)
{
	void *data = &not_text;
	struct sbm sbm;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	KUNIT_ASSERT_EQ(test, sbm_init(&sbm), 0);
	KUNIT_EXPECT_EQ(test, -EOPNOTSUPP, sbm_exec(&sbm, data, NULL));
	KUNIT_EXPECT_EQ(test, -EOPNOTSUPP, sbm_exec(&sbm, (sbm_func)8, NULL));
	sbm_destroy(&sbm);
}

/* === Existing code === */

SBM_DEFINE_CALL(hex2bin, u8 *, dst, const char *, src, size_t, count)

/* Nothing of the function is changed */
static void library_functions_can_be_called(struct kunit *test)
{
	struct sbm sbm;
	u8 bytes[4];

	KUNIT_ASSERT_EQ(test, sbm_init(&sbm), 0);
	KUNIT_EXPECT_EQ(test, 0,
			sbm_call(&sbm, hex2bin,
				 SBM_COPY_OUT(&sbm, bytes, sizeof(bytes)),
				 SBM_COPY_IN(&sbm, "0123cDeF", 8),
				 sizeof(bytes)));
	KUNIT_EXPECT_EQ(test, sbm_error(&sbm), 0);
	KUNIT_EXPECT_MEMEQ(test, bytes, "\x01\x23\xcd\xef", sizeof(bytes));
	KUNIT_EXPECT_EQ(test, -EINVAL,
			sbm_call(&sbm, hex2bin,
				 SBM_COPY_OUT(&sbm, bytes, sizeof(bytes)),
				 SBM_COPY_IN(&sbm, "0123cDex", 8),
				 sizeof(bytes)));
	KUNIT_EXPECT_EQ(test, sbm_error(&sbm), 0);
	sbm_destroy(&sbm);
}

/*
 * Code as it was written for the API of 2024.
 */
struct style_2024 {
	const int	*a;
	const int	*b;
	int		*sum;
	size_t		n;
};

static SBM_DEFINE_FUNC(vecadd, const int *, a, const int *, b, int *, sum,
		       size_t, n)
{
	while (n--)
		*sum++ = *a++ + *b++;

	return 0;
}

static int vecadd_data(void *data)
{
	struct style_2024 *arg = data;

	return vecadd(arg->a, arg->b, arg->sum, arg->n);
}

/* Apart: the call in a header, the thunk beside the function */
static SBM_DEFINE_CALL(twice, int, value);
static SBM_DEFINE_THUNK(twice, int, value);
static noinline int twice(int value)
{
	return 2 * value;
}

static void code_for_the_2024_api_still_works(struct kunit *test)
{
	static int a[] = { 1, 2, 3 }, b[] = { 10, 20, 30 }, sum[3];
	struct style_2024 arg;
	struct sbm sbm;
	int err;

	memset(sum, 0, sizeof(sum));
	sbm_init(&sbm);
	err = sbm_call(&sbm, vecadd,
		       SBM_COPY_IN(&sbm, a, sizeof(a)),
		       SBM_COPY_IN(&sbm, b, sizeof(b)),
		       SBM_COPY_OUT(&sbm, sum, sizeof(sum)), ARRAY_SIZE(sum));
	if (!err)
		err = sbm_error(&sbm);
	sbm_destroy(&sbm);
	KUNIT_EXPECT_EQ(test, err, 0);
	KUNIT_EXPECT_EQ(test, sum[2], 33);

	memset(sum, 0, sizeof(sum));
	sbm_init(&sbm);
	arg.a = SBM_MAP_READONLY(&sbm, a, sizeof(a));
	arg.b = SBM_MAP_READONLY(&sbm, b, sizeof(b));
	arg.sum = SBM_MAP_WRITABLE(&sbm, sum, sizeof(sum));
	arg.n = ARRAY_SIZE(sum);
	err = sbm_exec(&sbm, vecadd_data, SBM_COPY_INOUT(&sbm, &arg, sizeof(arg)));
	KUNIT_EXPECT_EQ(test, err, 0);
	KUNIT_EXPECT_EQ(test, sum[1], 22);
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, twice, 21), 42);
	sbm_destroy(&sbm);
}

/* === Kernel code inside === */

static SBM_DEFINE_FUNC(use_large_array, int, seed)
{
	u8 array[512];
	u8 *p = array;

	/* Makes the compiler protect the stack */
	OPTIMIZER_HIDE_VAR(p);
	fill(p, sizeof(array), seed);

	return first_wrong(p, sizeof(array), seed) == sizeof(array);
}

static SBM_DEFINE_FUNC(use_preemption_macros, int, value)
{
	int i;

	for (i = 0; i < 3; i++) {
		preempt_disable();
		value++;
		preempt_enable();
		might_sleep();
		cond_resched();
	}

	return value;
}

static void stack_protected_code_runs_inside(struct kunit *test)
{
	struct sbm sbm;

	KUNIT_ASSERT_EQ(test, sbm_init(&sbm), 0);
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, use_large_array, 0x77), 1);
	KUNIT_EXPECT_EQ(test, sbm_error(&sbm), 0);
	sbm_destroy(&sbm);
}

static void scheduling_points_run_inside(struct kunit *test)
{
	struct sbm sbm;

	if (IS_ENABLED(CONFIG_DEBUG_ATOMIC_SLEEP))
		kunit_skip(test, "might_sleep() looks at kernel data in this configuration");
	if (!IS_ENABLED(CONFIG_PREEMPT_RCU))
		kunit_skip(test, "cond_resched() may look at RCU's data in this configuration");

	KUNIT_ASSERT_EQ(test, sbm_init(&sbm), 0);
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, use_preemption_macros, 4), 7);
	KUNIT_EXPECT_EQ(test, sbm_error(&sbm), 0);
	sbm_destroy(&sbm);
}

/* Uses more than 1 KiB of stack for each level */
static noinline int recurse(int depth)
{
	u8 array[1024];
	u8 *p = array;
	int ret;

	OPTIMIZER_HIDE_VAR(p);
	p[0] = depth;
	p[1023] = 1;
	ret = depth > 0 ? recurse(depth - 1) : 0;

	return ret + (p[0] == (u8)depth ? p[1023] : 0);
}

static SBM_DEFINE_FUNC(use_stack, int, kib)
{
	return recurse(kib);
}

/* The stack is as large as was asked for, and ends there */
static void stack_has_the_size_that_was_asked_for(struct kunit *test)
{
	struct sbm_attr attr = { .stack_size = SBM_MAX_STACK_SIZE, };
	struct sbm sbm;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);

	KUNIT_ASSERT_EQ(test, sbm_init_attr(&sbm, &attr), 0);
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, use_stack, 150), 151);
	KUNIT_EXPECT_EQ(test, sbm_error(&sbm), 0);
	sbm_destroy(&sbm);

	KUNIT_ASSERT_EQ(test, sbm_init(&sbm), 0);
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, use_stack, 8), 9);
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, use_stack, SBM_DEFAULT_STACK_SIZE / 1024 + 4),
			-EFAULT);
	KUNIT_EXPECT_NOT_NULL(test, sbm_fault(&sbm));
	if (sbm_fault(&sbm))
		KUNIT_EXPECT_EQ(test, sbm_fault(&sbm)->cause,
				SBM_CAUSE_PAGE_FAULT);
	sbm_destroy(&sbm);

	attr.stack_size = 1;
	KUNIT_ASSERT_EQ(test, sbm_init_attr(&sbm, &attr), 0);
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, use_stack, 1), 2);
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, use_stack, 5), -EFAULT);
	sbm_destroy(&sbm);
}

/* === Concurrency === */

static SBM_DEFINE_FUNC(run_until_told, struct shared *, shared)
{
	WRITE_ONCE(shared->started, 1);
	while (!READ_ONCE(shared->stop))
		WRITE_ONCE(shared->count, shared->count + 1);

	return 7;
}

/* A thread that is in a sandbox until it is told to leave */
struct stay {
	struct worker	worker;
	struct sbm	*sbm;
	struct shared	*shared;
	struct shared	*inside;
};

static int stay_thread(struct worker *worker)
{
	struct stay *stay = worker->data;

	return sbm_call(stay->sbm, run_until_told, stay->inside);
}

static void second_thread_finds_the_instance_busy(struct kunit *test)
{
	struct sbm sbm, other;
	struct stay stay = {
		.worker = { .fn = stay_thread, .data = &stay, .cpu = -1, },
		.sbm	= &sbm,
		.shared = alloc_shared(test),
	};
	u8 byte = 0;

	skip_if_isolation_below(test, SBM_ISOLATION_WEAK);
	KUNIT_EXPECT_EQ(test, sbm_init(&sbm), 0);
	stay.inside = SBM_MAP_WRITABLE(&sbm, stay.shared, sizeof(struct shared));
	KUNIT_EXPECT_EQ(test, worker_start(&stay.worker), 0);
	if (stay.worker.task) {
		KUNIT_EXPECT_TRUE(test, wait_for_target(stay.shared,
							&stay.worker));
		KUNIT_EXPECT_EQ(test, sbm_call(&sbm, take_none), -EBUSY);
		KUNIT_EXPECT_EQ(test, sbm_exec(&sbm, give_back_data, NULL),
				-EBUSY);
		KUNIT_EXPECT_NULL(test, SBM_COPY_IN(&sbm, &byte, 1));

		/* Another instance is free */
		KUNIT_EXPECT_EQ(test, sbm_init(&other), 0);
		KUNIT_EXPECT_EQ(test, sbm_call(&other, take_none), 100);
		sbm_destroy(&other);
	}
	WRITE_ONCE(stay.shared->stop, 1);
	KUNIT_EXPECT_EQ(test, worker_finish(&stay.worker), 7);
	sbm_destroy(&sbm);
}

/*
 * Make a kernel thread look as if it was being killed, while it is inside.
 */
static int killed_thread(struct worker *worker)
{
	struct stay *stay = worker->data;
	int ret;

	allow_signal(SIGKILL);
	ret = sbm_call(stay->sbm, run_until_told, stay->inside);
	flush_signals(current);

	return ret;
}

static void fatal_signal_stops_the_target(struct kunit *test)
{
	struct sbm sbm;
	struct stay stay = {
		.worker = { .fn = killed_thread, .data = &stay, .cpu = -1, },
		.sbm	= &sbm,
		.shared = alloc_shared(test),
	};
	unsigned long timeout;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	KUNIT_EXPECT_EQ(test, sbm_init(&sbm), 0);
	stay.inside = SBM_MAP_WRITABLE(&sbm, stay.shared, sizeof(struct shared));
	KUNIT_EXPECT_EQ(test, worker_start(&stay.worker), 0);
	if (stay.worker.task) {
		KUNIT_EXPECT_TRUE(test, wait_for_target(stay.shared,
							&stay.worker));
		send_sig(SIGKILL, stay.worker.task, 1);
		timeout = wait_for_completion_timeout(&stay.worker.done,
						      SBM_TEST_PATIENCE);
		KUNIT_EXPECT_NE(test, timeout, 0);
	}
	WRITE_ONCE(stay.shared->stop, 1);
	KUNIT_EXPECT_EQ(test, worker_finish(&stay.worker), -EINTR);
	KUNIT_EXPECT_EQ(test, sbm_error(&sbm), -EINTR);
	KUNIT_EXPECT_NOT_NULL(test, sbm_fault(&sbm));
	if (sbm_fault(&sbm))
		KUNIT_EXPECT_EQ(test, sbm_fault(&sbm)->cause, SBM_CAUSE_SIGNAL);
	sbm_destroy(&sbm);
}

static SBM_DEFINE_FUNC(transform, const u8 *, in, u8 *, out, size_t, size, u8, key)
{
	size_t i;

	for (i = 0; i < size; i++)
		out[i] = in[i] ^ key;

	return key;
}

/* Each thread has its own data and sees no other's */
static int transform_thread(struct worker *worker)
{
	const size_t size = 5000;
	u8 *in = vmalloc(size);
	u8 *out = vmalloc(size);
	int err = -ENOMEM;
	int round;

	for (round = 0; in && out && round < 100; round++) {
		u8 key = round * 7 + worker->cpu * 31;
		struct sbm sbm;

		fill(in, size, round);
		memset(out, 0, size);
		err = sbm_init(&sbm);
		if (!err) {
			err = sbm_call(&sbm, transform,
				       SBM_COPY_IN(&sbm, in, size),
				       SBM_COPY_OUT(&sbm, out, size), size, key);
			if (err == key)
				err = sbm_error(&sbm);
			else if (!err)
				err = -EPROTO;
		}
		sbm_destroy(&sbm);
		if (!err && first_wrong(out, size, round ^ key) != size)
			err = -EILSEQ;
		if (err)
			break;
	}
	vfree(in);
	vfree(out);

	return err;
}

static void all_cpus_run_sandboxes_at_once(struct kunit *test)
{
	struct worker *workers;
	unsigned int cpu;

	workers = kunit_kcalloc(test, nr_cpu_ids, sizeof(*workers), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, workers);

	for_each_online_cpu(cpu) {
		workers[cpu].fn = transform_thread;
		workers[cpu].cpu = cpu;
		KUNIT_EXPECT_EQ(test, worker_start(&workers[cpu]), 0);
	}
	for (cpu = 0; cpu < nr_cpu_ids; cpu++) {
		if (workers[cpu].task)
			KUNIT_EXPECT_EQ_MSG(test, worker_finish(&workers[cpu]),
					    0, "CPU %u", cpu);
	}
}

/*
 * Computes the same twice, in different registers, for as long as it is told.
 */
static SBM_DEFINE_FUNC(compute_until_told, struct shared *, shared)
{
	unsigned long a = 1, b = 1;

	WRITE_ONCE(shared->started, 1);
	while (!READ_ONCE(shared->stop)) {
		a = a * 6364136223846793005UL + 1442695040888963407UL;
		OPTIMIZER_HIDE_VAR(a);
		b = b * 6364136223846793005UL + 1442695040888963407UL;
		OPTIMIZER_HIDE_VAR(b);
		if (a != b)
			return 1;
		WRITE_ONCE(shared->count, shared->count + 1);
	}

	return 8;
}

static int compute_thread(struct worker *worker)
{
	struct stay *stay = worker->data;

	return sbm_call(stay->sbm, compute_until_told, stay->inside);
}

static int burn_thread(struct worker *worker)
{
	unsigned long *stop = worker->data;

	while (!READ_ONCE(*stop)) {
		cpu_relax();
		cond_resched();
	}

	return 0;
}

/*
 * A long stay meets the timer, competes for its CPU with another thread and is
 * moved from CPU to CPU again and again.
 */
static void long_calls_are_preempted_and_migrate(struct kunit *test)
{
	struct sbm sbm;
	struct stay stay = {
		.worker = { .fn = compute_thread, .data = &stay, .cpu = -1, },
		.sbm	= &sbm,
		.shared = alloc_shared(test),
	};
	unsigned int first = cpumask_first(cpu_online_mask);
	unsigned int second = cpumask_next(first, cpu_online_mask);
	unsigned long burn_stop = 0;
	struct worker burners[2] = {
		{ .fn = burn_thread, .data = &burn_stop, .cpu = first, },
		{ .fn = burn_thread, .data = &burn_stop, .cpu = second, },
	};
	int i, moves = 0;

	if (second >= nr_cpu_ids)
		kunit_skip(test, "needs two CPUs");
	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);

	KUNIT_EXPECT_EQ(test, sbm_init(&sbm), 0);
	stay.inside = SBM_MAP_WRITABLE(&sbm, stay.shared, sizeof(struct shared));
	for (i = 0; i < 2; i++)
		KUNIT_EXPECT_EQ(test, worker_start(&burners[i]), 0);
	KUNIT_EXPECT_EQ(test, worker_start(&stay.worker), 0);
	if (stay.worker.task) {
		KUNIT_EXPECT_TRUE(test, wait_for_target(stay.shared,
							&stay.worker));
		for (i = 0; i < 60; i++) {
			unsigned int cpu = i & 1 ? first : second;

			if (completion_done(&stay.worker.done))
				break;
			KUNIT_EXPECT_EQ(test, 0,
					set_cpus_allowed_ptr(stay.worker.task,
							     cpumask_of(cpu)));
			if (task_cpu(stay.worker.task) == cpu)
				moves++;
			schedule_timeout_uninterruptible(2);
		}
		KUNIT_EXPECT_GT(test, moves, 50);

		/* It still goes forward */
		KUNIT_EXPECT_TRUE(test, goes_on(stay.shared, &stay.worker));
	}
	WRITE_ONCE(stay.shared->stop, 1);
	KUNIT_EXPECT_EQ(test, worker_finish(&stay.worker), 8);
	KUNIT_EXPECT_EQ(test, sbm_error(&sbm), 0);
	WRITE_ONCE(burn_stop, 1);
	for (i = 0; i < 2; i++)
		KUNIT_EXPECT_EQ(test, worker_finish(&burners[i]), 0);
	sbm_destroy(&sbm);
}

/* === Resources === */

/* One instance with all kinds of buffers; every fourth one is stopped */
static int use_once(int round)
{
	static u8 both[6000];
	static int in[] = { 0, 2, 3 };
	int out[3] = {};
	struct sbm sbm;
	int err;

	in[0] = round;
	err = sbm_init(&sbm);
	if (!err) {
		int *a = SBM_COPY_IN(&sbm, in, sizeof(in));
		int *b = SBM_MAP_READONLY(&sbm, in, sizeof(in));
		int *c = SBM_COPY_OUT(&sbm, out, sizeof(out));

		SBM_COPY_INOUT(&sbm, both, sizeof(both));
		if (round % 4 == 3 &&
		    sbm_isolation() == SBM_ISOLATION_STRONG) {
			err = sbm_call(&sbm, vecadd, a, b, (int *)8, 3);
			err = err == -EFAULT ? 0 : -EPROTO;
		} else {
			err = sbm_call(&sbm, vecadd, a, b, c, 3);
			if (!err && out[0] != 2 * round)
				err = -EILSEQ;
		}
	}
	sbm_destroy(&sbm);

	return err;
}

static void instances_leak_no_memory(struct kunit *test)
{
	long pages, available, now;
	int i, err = 0;

	/* What all sandboxes share is set up by the first ones */
	for (i = 0; i < 8; i++)
		KUNIT_EXPECT_EQ(test, use_once(i), 0);

	pages = sbm_pages_in_use();
	available = si_mem_available();
	for (i = 0; i < 1000 && !err; i++)
		err = use_once(i);
	KUNIT_EXPECT_EQ(test, err, 0);
	KUNIT_EXPECT_EQ(test, i, 1000);
	KUNIT_EXPECT_EQ(test, sbm_pages_in_use(), pages);

	/*
	 * One page for each would be 1000; others may need some meanwhile: all of it those
	 * that keep what was freed, and where that was allocated
	 */
	now = si_mem_available();
	if (!IS_ENABLED(CONFIG_KASAN) && !IS_ENABLED(CONFIG_STACKDEPOT))
		KUNIT_EXPECT_LT(test, available - now, 900);
}

static void instances_give_all_pages_back(struct kunit *test)
{
	long pages = sbm_pages_in_use();
	struct sbm sbm;
	u8 byte = 0;

	skip_if_isolation_below(test, SBM_ISOLATION_WEAK);
	KUNIT_ASSERT_EQ(test, sbm_init(&sbm), 0);
	KUNIT_EXPECT_NOT_NULL(test, SBM_COPY_IN(&sbm, &byte, 1));
	KUNIT_EXPECT_GT(test, sbm_pages_in_use(), pages);
	sbm_destroy(&sbm);
	KUNIT_EXPECT_EQ(test, sbm_pages_in_use(), pages);

	/* And if a buffer could not be had */
	KUNIT_ASSERT_EQ(test, sbm_init(&sbm), 0);
	KUNIT_EXPECT_NULL(test, SBM_COPY_IN(&sbm, (u8 *)NULL, 1));
	sbm_destroy(&sbm);
	KUNIT_EXPECT_EQ(test, sbm_pages_in_use(), pages);
}

/* Mapping the same memory again and again uses up addresses, not memory */
static void full_address_range_is_an_error(struct kunit *test)
{
	long pages = sbm_pages_in_use();
	u8 *area = vmalloc(SZ_1M);
	struct sbm sbm;
	int i, err;

	if (!area || sbm_isolation() < SBM_ISOLATION_STRONG)
		goto out;

	KUNIT_EXPECT_EQ(test, sbm_init(&sbm), 0);
	for (i = 0; i < 100000; i++) {
		if (!SBM_MAP_READONLY(&sbm, area, SZ_1M))
			break;
	}
	err = sbm_error(&sbm);
	KUNIT_EXPECT_GT(test, i, 100);
	KUNIT_EXPECT_EQ(test, err, -ENOSPC);
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, take_none), err);
	sbm_destroy(&sbm);
	KUNIT_EXPECT_EQ(test, sbm_pages_in_use(), pages);
out:
	vfree(area);
	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
}

/* Not at once, but one after the other */
static int handed_over_thread(struct worker *worker)
{
	return sbm_call((struct sbm *)worker->data, give_back, 55);
}

static void instance_can_be_handed_to_another_thread(struct kunit *test)
{
	struct sbm sbm;
	struct worker worker = {
		.fn	= handed_over_thread,
		.data	= &sbm,
		.cpu	= -1,
	};
	int i;

	KUNIT_ASSERT_EQ(test, sbm_init(&sbm), 0);
	for (i = 0; i < 5; i++) {
		KUNIT_EXPECT_EQ(test, worker_start(&worker), 0);
		KUNIT_EXPECT_EQ(test, worker_finish(&worker), 55);
		KUNIT_EXPECT_EQ(test, sbm_call(&sbm, give_back, i), i);
	}
	sbm_destroy(&sbm);
}

static struct kunit_case sbm_cases[] = {
	KUNIT_CASE(all_numbers_of_arguments_arrive),
	KUNIT_CASE(arguments_keep_value_and_sign),
	KUNIT_CASE(return_values_arrive),
	KUNIT_CASE_PARAM(input_arrives, size_gen_params),
	KUNIT_CASE_PARAM(output_arrives, size_gen_params),
	KUNIT_CASE_PARAM(input_and_output_in_one_arrives, size_gen_params),
	KUNIT_CASE(input_is_copied_once),
	KUNIT_CASE(one_instance_serves_many_calls),
	KUNIT_CASE(all_kinds_of_memory_can_be_mapped),
	KUNIT_CASE(own_stack_cannot_be_mapped),
	KUNIT_CASE(constants_can_only_be_mapped_read_only),
	KUNIT_CASE(only_kernel_memory_can_be_mapped),
	KUNIT_CASE(output_is_untouched_after_a_stop),
	KUNIT_CASE(empty_buffers_have_no_byte),
	KUNIT_CASE(only_fields_go_in_and_out),
	KUNIT_CASE(random_fields_are_kept_to),
	KUNIT_CASE(fields_are_untouched_after_a_stop),
	KUNIT_CASE(fields_last_from_call_to_call),
	KUNIT_CASE(fields_to_read_are_read_only),
	KUNIT_CASE(wrong_fields_are_refused),
	KUNIT_CASE(arrays_decay_to_pointers),
	KUNIT_CASE(null_arguments_are_refused),
	KUNIT_CASE(failed_init_is_remembered),
	KUNIT_CASE(use_after_destroy_is_refused),
	KUNIT_CASE(failed_buffer_prevents_the_call),
	KUNIT_CASE(calls_with_interrupts_off_are_refused),
	KUNIT_CASE(barrier_takes_strong_isolation),
	KUNIT_CASE(invalid_attributes_are_refused),
	KUNIT_CASE(isolation_is_what_was_asked_for),
	KUNIT_CASE(weak_isolation_copies_buffers_too),
	KUNIT_CASE(all_causes_have_a_name),
	KUNIT_CASE(only_text_of_the_image_gets_strong_isolation),
	KUNIT_CASE(library_functions_can_be_called),
	KUNIT_CASE(code_for_the_2024_api_still_works),
	KUNIT_CASE(stack_protected_code_runs_inside),
	KUNIT_CASE(scheduling_points_run_inside),
	KUNIT_CASE(stack_has_the_size_that_was_asked_for),
	KUNIT_CASE(second_thread_finds_the_instance_busy),
	KUNIT_CASE(fatal_signal_stops_the_target),
	KUNIT_CASE(all_cpus_run_sandboxes_at_once),
	KUNIT_CASE(long_calls_are_preempted_and_migrate),
	KUNIT_CASE(instances_leak_no_memory),
	KUNIT_CASE(instances_give_all_pages_back),
	KUNIT_CASE(full_address_range_is_an_error),
	KUNIT_CASE(instance_can_be_handed_to_another_thread),
	{}
};

static struct kunit_suite sbm_suite = {
	.name		= "sbm",
	.test_cases	= sbm_cases,
};

kunit_test_suite(sbm_suite);

MODULE_DESCRIPTION("KUnit suite for sandbox mode");
MODULE_LICENSE("GPL");
