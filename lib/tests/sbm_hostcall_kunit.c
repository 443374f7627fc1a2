// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit suite sbm_hostcall: what a target can ask the kernel for, and what it cannot.
 *
 * Handlers note in @seen what has reached them.
 */
#include <kunit/test.h>
#include <linux/array_size.h>
#include <linux/atomic.h>
#include <linux/bits.h>
#include <linux/completion.h>
#include <linux/errno.h>
#include <linux/freezer.h>
#include <linux/gfp.h>
#include <linux/irqflags.h>
#include <linux/jiffies.h>
#include <linux/kernel.h>
#include <linux/limits.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/objtool.h>
#include <linux/preempt.h>
#include <linux/printk.h>
#include <linux/random.h>
#include <linux/sbm.h>
#include <linux/sbm_host.h>
#include <linux/sbm_runtime.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/sched/task_stack.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/stringify.h>
#include <linux/time64.h>
#include <linux/vmalloc.h>

#include <trace/events/sbm.h>

#include "../../kernel/sbm/debugfs.h"
#include "../../kernel/sbm/sbm.h"
#include "sbm_kunit.h"

#ifdef CONFIG_SBM_X86
#include <asm/processor-flags.h>
#include <asm/sbm.h>
#endif

/* Of a constant of 64 bits, what a register holds */
#define WORD(x)		((unsigned long)x##ULL)
/* The bits 63, 47 and 32 of an address, or what is like them in fewer bits */
#define TOP_BIT		BIT(BITS_PER_LONG - 1)
#define UPPER_BIT	BIT(BITS_PER_LONG * 3 / 4 - 1)
#define HALF_BIT	BIT(BITS_PER_LONG / 2)

/* What the emulator that counts instructions, or one that is slow, can do in a second */
static unsigned int fuzz_calls = 20000;
module_param_named(fuzz, fuzz_calls, uint, 0444);

static struct {
	unsigned int		served;
	struct sbm		*sbm;
	unsigned long		args[6];
	bool			context_ok;
	struct task_struct	*task;
	long			result;
} seen;

static void note(struct sbm *sbm)
{
	seen.served++;
	seen.sbm = sbm;
	seen.task = current;
	seen.context_ok = !irqs_disabled() && !in_interrupt() && !preempt_count();
}

/* === Instances === */

enum { STRONG, WEAK, NR_LEVELS };

static const struct sbm_attr attrs[NR_LEVELS] = {
	[STRONG] = { .min_isolation = SBM_ISOLATION_STRONG, },
	[WEAK]   = { .min_isolation = SBM_ISOLATION_WEAK, .flags = SBM_ATTR_WEAK, },
};

/* Is there this level? Then @sbm is set up. */
static bool open_level(struct kunit *test, struct sbm *sbm, int level)
{
	if (sbm_isolation() < attrs[level].min_isolation)
		return false;
	KUNIT_ASSERT_EQ(test, sbm_init_attr(sbm, &attrs[level]), 0);
	memset(&seen, 0, sizeof(seen));

	return true;
}

static SBM_DEFINE_FUNC(hc_plus_one, int, value)
{
	return value + 1;
}

static void expect_works(struct kunit *test, struct sbm *sbm)
{
	KUNIT_EXPECT_EQ(test, sbm_call(sbm, hc_plus_one, 41), 42);
	KUNIT_EXPECT_EQ(test, sbm_error(sbm), 0);
	KUNIT_EXPECT_NULL(test, sbm_fault(sbm));
}

static void expect_denied(struct kunit *test, struct sbm *sbm, int ret)
{
	const struct sbm_fault *fault = sbm_fault(sbm);

	KUNIT_EXPECT_EQ(test, ret, -EFAULT);
	KUNIT_EXPECT_EQ(test, sbm_error(sbm), -EFAULT);
	KUNIT_EXPECT_NOT_NULL(test, fault);
	if (!fault)
		return;
	KUNIT_EXPECT_EQ(test, fault->cause, SBM_CAUSE_HOSTCALL);
	KUNIT_EXPECT_EQ(test, fault->access, SBM_ACCESS_NONE);
	KUNIT_EXPECT_EQ(test, fault->address, 0);
	/* Once stopped, for good */
	KUNIT_EXPECT_EQ(test, sbm_call(sbm, hc_plus_one, 41), -EFAULT);
}

/* Reports of this suite are many, and most are of no interest: the last lines of all */
static char lines[4096];

static void take_line(struct sbm_out *out, struct va_format *vaf)
{
	size_t len = strlen(lines);

	scnprintf(lines + len, sizeof(lines) - len, "%pV\n", vaf);
}

static struct sbm_out take = { .line = take_line, };

/* === Arguments and results === */

static SBM_DEFINE_HOSTCALL(hc_none)
{
	note(sbm);

	return 1000;
}

static SBM_DEFINE_HOSTCALL(hc_one, unsigned long, a)
{
	note(sbm);

	return a;
}

static SBM_DEFINE_HOSTCALL(hc_two, int, a, int, b)
{
	note(sbm);

	return a * 10 + b;
}

static SBM_DEFINE_HOSTCALL(hc_three, int, a, int, b, int, c)
{
	note(sbm);

	return (a * 10 + b) * 10 + c;
}

static SBM_DEFINE_HOSTCALL(hc_four, int, a, int, b, int, c, int, d)
{
	note(sbm);

	return ((a * 10 + b) * 10 + c) * 10 + d;
}

static SBM_DEFINE_HOSTCALL(hc_five, int, a, int, b, int, c, int, d, int, e)
{
	note(sbm);

	return (((a * 10 + b) * 10 + c) * 10 + d) * 10 + e;
}

static SBM_DEFINE_HOSTCALL(hc_six, u8, a, s16, b, bool, c, u32, d, s64, e,
			   void __sbm *, f)
{
	note(sbm);
	seen.args[0] = a;
	seen.args[1] = b;
	seen.args[2] = c;
	seen.args[3] = d;
	seen.args[4] = e;
	seen.args[5] = (__force unsigned long)f;

	return LONG_MIN;
}

static const struct sbm_hostcall * const all_calls[] = {
	&__sbm_hostcall_hc_none, &__sbm_hostcall_hc_one, &__sbm_hostcall_hc_two,
	&__sbm_hostcall_hc_three, &__sbm_hostcall_hc_four, &__sbm_hostcall_hc_five,
	&__sbm_hostcall_hc_six,
};

struct results {
	long	r[8];
};

static SBM_DEFINE_FUNC(hc_call_all, struct results *, out)
{
	int here = 7;

	out->r[0] = hc_none();
	out->r[1] = hc_one(WORD(0xfedcba9876543210));
	out->r[2] = hc_two(1, 2);
	out->r[3] = hc_three(1, 2, 3);
	out->r[4] = hc_four(1, 2, 3, 4);
	out->r[5] = hc_five(1, 2, 3, 4, 5);
	out->r[6] = hc_six(0xf1, -2, true, 0xfffffff4, -5, sbm_ptr(&out->r[6]));
	out->r[7] = hc_one(-EINVAL);

	return here;
}

static void arguments_and_results_are_right(struct kunit *test)
{
	struct results out, *inside;
	struct sbm sbm;
	int level, i;

	for (level = 0; level < NR_LEVELS; level++) {
		if (!open_level(test, &sbm, level))
			continue;
		for (i = 0; i < ARRAY_SIZE(all_calls); i++)
			KUNIT_EXPECT_EQ(test, __sbm_allow(&sbm, all_calls[i]), 0);
		memset(&out, 0, sizeof(out));
		inside = SBM_COPY_OUT(&sbm, &out, sizeof(out));
		KUNIT_EXPECT_EQ(test, sbm_call(&sbm, hc_call_all, inside), 7);
		KUNIT_EXPECT_EQ(test, sbm_error(&sbm), 0);
		KUNIT_EXPECT_EQ(test, out.r[0], 1000);
		KUNIT_EXPECT_EQ(test, (unsigned long)out.r[1], WORD(0xfedcba9876543210));
		KUNIT_EXPECT_EQ(test, out.r[2], 12);
		KUNIT_EXPECT_EQ(test, out.r[3], 123);
		KUNIT_EXPECT_EQ(test, out.r[4], 1234);
		KUNIT_EXPECT_EQ(test, out.r[5], 12345);
		KUNIT_EXPECT_EQ(test, out.r[6], LONG_MIN);
		KUNIT_EXPECT_EQ(test, out.r[7], -EINVAL);
		KUNIT_EXPECT_EQ(test, seen.args[0], 0xf1);
		KUNIT_EXPECT_EQ(test, seen.args[1], -2L);
		KUNIT_EXPECT_EQ(test, seen.args[2], 1);
		KUNIT_EXPECT_EQ(test, seen.args[3], 0xfffffff4);
		KUNIT_EXPECT_EQ(test, seen.args[4], -5L);
		KUNIT_EXPECT_EQ(test, seen.args[5], (unsigned long)&inside->r[6]);
		KUNIT_EXPECT_EQ(test, seen.served, 8);
		KUNIT_EXPECT_PTR_EQ(test, seen.sbm, &sbm);
		KUNIT_EXPECT_PTR_EQ(test, seen.task, current);
		KUNIT_EXPECT_TRUE(test, seen.context_ok);
		KUNIT_EXPECT_FALSE(test, irqs_disabled());
		sbm_destroy(&sbm);
	}
}

/* The number and the registers are the attacker's choice */
static SBM_DEFINE_FUNC(hc_raw, unsigned long, number, const unsigned long *, args,
		       long *, out)
{
	*out = __sbm_hostcall((const struct sbm_hostcall *)number, args);

	return 0;
}

/* Whatever is in the registers: a handler's arguments have the types that it says */
static void arguments_are_cut_to_their_types(struct kunit *test)
{
	const unsigned long args[6] = {
		WORD(0x1122334455667788), WORD(0x112233445566f788),
		WORD(0x1122334455667700), WORD(0x11223344f5667788),
		WORD(0x8122334455667788), WORD(0xffffffff81000000),
	};
	long out, *inside;
	struct sbm sbm;
	int level;

	for (level = 0; level < NR_LEVELS; level++) {
		if (!open_level(test, &sbm, level))
			continue;
		KUNIT_EXPECT_EQ(test, sbm_allow(&sbm, hc_six), 0);
		out = 0;
		inside = SBM_COPY_OUT(&sbm, &out, sizeof(out));
		KUNIT_EXPECT_EQ(test, 0,
				sbm_call(&sbm, hc_raw, (unsigned long)&__sbm_hostcall_hc_six,
					 SBM_COPY_IN(&sbm, args, sizeof(args)), inside));
		KUNIT_EXPECT_EQ(test, out, LONG_MIN);
		KUNIT_EXPECT_EQ(test, seen.args[0], 0x88);
		KUNIT_EXPECT_EQ(test, seen.args[1], (unsigned long)(s16)0xf788);
		KUNIT_EXPECT_EQ(test, seen.args[2], 1);
		KUNIT_EXPECT_EQ(test, seen.args[3], 0xf5667788);
		KUNIT_EXPECT_EQ(test, seen.args[4], WORD(0x8122334455667788));
		KUNIT_EXPECT_EQ(test, seen.args[5], WORD(0xffffffff81000000));
		sbm_destroy(&sbm);
	}
}

/* === What is allowed === */

static SBM_DEFINE_FUNC(hc_call_one, unsigned long, value, long *, out)
{
	*out = hc_one(value);

	return 5;
}

static void denied_by_default(struct kunit *test)
{
	long out, *inside;
	struct sbm sbm;
	int level;

	for (level = 0; level < NR_LEVELS; level++) {
		if (!open_level(test, &sbm, level))
			continue;
		/* Another one is none of its business */
		KUNIT_EXPECT_EQ(test, sbm_allow(&sbm, hc_two), 0);
		out = 77;
		inside = SBM_COPY_OUT(&sbm, &out, sizeof(out));
		expect_denied(test, &sbm, sbm_call(&sbm, hc_call_one, 3, inside));
		KUNIT_EXPECT_EQ(test, out, 77);
		KUNIT_EXPECT_EQ(test, seen.served, 0);

		/* Nor is another instance's */
		KUNIT_EXPECT_EQ(test, sbm_reset(&sbm), 0);
		KUNIT_EXPECT_EQ(test, sbm_allow(&sbm, hc_one), 0);
		inside = SBM_COPY_OUT(&sbm, &out, sizeof(out));
		KUNIT_EXPECT_EQ(test, sbm_call(&sbm, hc_call_one, 3, inside), 5);
		KUNIT_EXPECT_EQ(test, out, 3);
		KUNIT_EXPECT_EQ(test, seen.served, 1);
		expect_works(test, &sbm);

		/* It stays allowed from call to call, and no longer than that */
		KUNIT_EXPECT_EQ(test, sbm_call(&sbm, hc_call_one, 4, inside), 5);
		KUNIT_EXPECT_EQ(test, out, 4);
		KUNIT_EXPECT_EQ(test, sbm_reset(&sbm), 0);
		inside = SBM_COPY_OUT(&sbm, &out, sizeof(out));
		expect_denied(test, &sbm, sbm_call(&sbm, hc_call_one, 5, inside));
		KUNIT_EXPECT_EQ(test, out, 4);
		KUNIT_EXPECT_EQ(test, seen.served, 2);
		sbm_destroy(&sbm);

		KUNIT_EXPECT_TRUE(test, open_level(test, &sbm, level));
		inside = SBM_COPY_OUT(&sbm, &out, sizeof(out));
		expect_denied(test, &sbm, sbm_call(&sbm, hc_call_one, 5, inside));
		KUNIT_EXPECT_EQ(test, seen.served, 0);
		sbm_destroy(&sbm);
	}
}

static void numbers_that_are_none_are_denied(struct kunit *test)
{
	const unsigned long right = (unsigned long)&__sbm_hostcall_hc_one;
	const unsigned long numbers[] = {
		0, 1, 2, 5, 24, 25, 255, 256, U32_MAX, (u32)right, -1UL, LONG_MAX, LONG_MIN,
		right - 1, right + 1, right - sizeof(struct sbm_hostcall),
		right + sizeof(struct sbm_hostcall), right ^ TOP_BIT, right ^ UPPER_BIT,
		(unsigned long)hc_one, (unsigned long)&right, (unsigned long)test,
		(unsigned long)&__sbm_hostcall_hc_two, (unsigned long)current,
	};
	static const unsigned long args[6];
	long out, *inside;
	struct sbm sbm;
	int level, i;

	for (level = 0; level < NR_LEVELS; level++) {
		if (!open_level(test, &sbm, level))
			continue;
		for (i = 0; i < ARRAY_SIZE(numbers) + 50; i++) {
			unsigned long number;
			int ret;

			number = i < ARRAY_SIZE(numbers) ? numbers[i] : get_random_long();
			KUNIT_EXPECT_EQ(test, sbm_allow(&sbm, hc_one), 0);
			inside = SBM_COPY_OUT(&sbm, &out, sizeof(out));
			out = 77;
			ret = sbm_call(&sbm, hc_raw, number,
				       SBM_COPY_IN(&sbm, args, sizeof(args)), inside);
			expect_denied(test, &sbm, ret);
			KUNIT_EXPECT_EQ_MSG(test, sbm.instance->denied, number, "%d", i);
			KUNIT_EXPECT_EQ(test, out, 77);
			KUNIT_EXPECT_EQ(test, sbm_reset(&sbm), 0);
		}
		KUNIT_EXPECT_EQ(test, seen.served, 0);
		sbm_destroy(&sbm);
	}
}

static void allowing_has_its_rules(struct kunit *test)
{
	struct sbm sbm;
	int level, i;

	KUNIT_EXPECT_EQ(test, sbm_allow(NULL, hc_one), -EINVAL);
	for (level = 0; level < NR_LEVELS; level++) {
		if (!open_level(test, &sbm, level))
			continue;
		/* Twice is as good as once */
		for (i = 0; i < 100; i++)
			KUNIT_EXPECT_EQ(test, sbm_allow(&sbm, hc_one), 0);
		KUNIT_EXPECT_TRUE(test, list_is_singular(&sbm.instance->allowed));

		local_irq_disable();
		i = sbm_allow(&sbm, hc_two);
		local_irq_enable();
		KUNIT_EXPECT_EQ(test, i, -EINVAL);
		/* As for buffers: whoever ignores it gets it again */
		KUNIT_EXPECT_EQ(test, sbm_error(&sbm), -EINVAL);
		KUNIT_EXPECT_EQ(test, sbm_call(&sbm, hc_plus_one, 1), -EINVAL);
		KUNIT_EXPECT_EQ(test, sbm_allow(&sbm, hc_two), -EINVAL);
		KUNIT_EXPECT_EQ(test, sbm_reset(&sbm), 0);
		KUNIT_EXPECT_TRUE(test, list_empty(&sbm.instance->allowed));
		expect_works(test, &sbm);
		sbm_destroy(&sbm);
		KUNIT_EXPECT_EQ(test, sbm_allow(&sbm, hc_one), -EINVAL);
	}
}

/* In the kernel, a host call outside of a call is nobody's */
static void no_host_calls_outside(struct kunit *test)
{
	memset(&seen, 0, sizeof(seen));
	KUNIT_EXPECT_EQ(test, hc_one(1), -EPERM);
	KUNIT_EXPECT_EQ(test, seen.served, 0);
}

/* With sbm=off: what is not allowed is so all the same, and copies are plain ones */
static void rules_hold_without_isolation(struct kunit *test)
{
	long out, value = 0x1234, *inside;
	struct sbm sbm;

	if (sbm_isolation() > SBM_ISOLATION_NONE)
		kunit_skip(test, "there is isolation");
	KUNIT_ASSERT_EQ(test, sbm_init(&sbm), 0);
	memset(&seen, 0, sizeof(seen));
	out = 77;
	inside = SBM_COPY_OUT(&sbm, &out, sizeof(out));
	expect_denied(test, &sbm, sbm_call(&sbm, hc_call_one, 3, inside));
	KUNIT_EXPECT_EQ(test, seen.served, 0);

	KUNIT_EXPECT_EQ(test, sbm_reset(&sbm), 0);
	KUNIT_EXPECT_EQ(test, sbm_allow(&sbm, hc_one), 0);
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, hc_call_one, 3, &out), 5);
	KUNIT_EXPECT_EQ(test, out, 3);
	KUNIT_EXPECT_EQ(test, sbm_copy_from(&sbm, &out, sbm_ptr(&value), sizeof(out)), 0);
	KUNIT_EXPECT_EQ(test, out, 0x1234);
	sbm_destroy(&sbm);
}

/* === What handlers may do === */

static struct sbm *other_sbm;
static int nested[8];

static SBM_DEFINE_HOSTCALL(hc_nest)
{
	static int value = 1;

	note(sbm);
	nested[0] = sbm_call(sbm, hc_plus_one, 1);
	nested[1] = sbm_reset(sbm);
	nested[2] = sbm_allow(sbm, hc_two);
	nested[3] = !SBM_COPY_IN(sbm, &value, sizeof(value));
	nested[4] = sbm_call(other_sbm, hc_plus_one, 1);
	nested[5] = sbm_error(other_sbm);
	/* It is no target */
	nested[6] = hc_one(1);
	schedule_timeout_uninterruptible(2);

	return 9;
}

static SBM_DEFINE_FUNC(hc_call_nest, long *, out)
{
	*out = hc_nest();

	return 5;
}

static void handlers_sleep_and_use_other_instances(struct kunit *test)
{
	long out, *inside;
	struct sbm sbm, other;
	int level;

	for (level = 0; level < NR_LEVELS; level++) {
		if (!open_level(test, &sbm, level))
			continue;
		KUNIT_EXPECT_EQ(test, sbm_init(&other), 0);
		other_sbm = &other;
		memset(nested, 0, sizeof(nested));
		KUNIT_EXPECT_EQ(test, sbm_allow(&sbm, hc_nest), 0);
		inside = SBM_COPY_OUT(&sbm, &out, sizeof(out));
		KUNIT_EXPECT_EQ(test, sbm_call(&sbm, hc_call_nest, inside), 5);
		KUNIT_EXPECT_EQ(test, sbm_error(&sbm), 0);
		KUNIT_EXPECT_EQ(test, out, 9);
		KUNIT_EXPECT_EQ(test, nested[0], -EBUSY);
		KUNIT_EXPECT_EQ(test, nested[1], -EBUSY);
		KUNIT_EXPECT_EQ(test, nested[2], -EBUSY);
		KUNIT_EXPECT_TRUE(test, nested[3]);
		KUNIT_EXPECT_EQ(test, nested[4], 2);
		KUNIT_EXPECT_EQ(test, nested[5], 0);
		KUNIT_EXPECT_EQ(test, nested[6], -EPERM);
		/* Nothing of that has become allowed */
		KUNIT_EXPECT_TRUE(test, list_is_singular(&sbm.instance->allowed));
		expect_works(test, &sbm);
		sbm_destroy(&other);
		sbm_destroy(&sbm);
	}
}

/* A host call of the inner instance is the inner instance's */
static SBM_DEFINE_HOSTCALL(hc_outer)
{
	static long out;
	long *inside;

	note(sbm);
	inside = SBM_COPY_OUT(other_sbm, &out, sizeof(out));
	nested[0] = sbm_call(other_sbm, hc_call_one, 31, inside);
	nested[1] = out;
	nested[2] = seen.sbm == other_sbm;

	return 0;
}

static SBM_DEFINE_FUNC(hc_call_outer, long *, out)
{
	*out = hc_outer();

	return 5;
}

static void host_calls_of_two_instances_nest(struct kunit *test)
{
	struct sbm sbm, other;
	long out, *inside;
	int level, inner;

	for (level = 0; level < NR_LEVELS * NR_LEVELS; level++) {
		inner = level / NR_LEVELS;
		if (!open_level(test, &sbm, level % NR_LEVELS))
			continue;
		if (!open_level(test, &other, inner)) {
			sbm_destroy(&sbm);
			continue;
		}
		other_sbm = &other;
		memset(nested, 0, sizeof(nested));
		KUNIT_EXPECT_EQ(test, sbm_allow(&sbm, hc_outer), 0);
		KUNIT_EXPECT_EQ(test, sbm_allow(&other, hc_one), 0);
		inside = SBM_COPY_OUT(&sbm, &out, sizeof(out));
		KUNIT_EXPECT_EQ(test, sbm_call(&sbm, hc_call_outer, inside), 5);
		KUNIT_EXPECT_EQ(test, nested[0], 5);
		KUNIT_EXPECT_EQ(test, nested[1], 31);
		KUNIT_EXPECT_TRUE(test, nested[2]);

		/* What the outer one may do, the inner one may not */
		KUNIT_EXPECT_EQ(test, sbm_reset(&other), 0);
		KUNIT_EXPECT_EQ(test, sbm_allow(&sbm, hc_one), 0);
		KUNIT_EXPECT_EQ(test, sbm_call(&sbm, hc_call_outer, inside), 5);
		KUNIT_EXPECT_EQ(test, nested[0], -EFAULT);
		KUNIT_EXPECT_EQ(test, sbm_error(&other), -EFAULT);
		KUNIT_EXPECT_EQ(test, sbm_error(&sbm), 0);
		sbm_destroy(&other);
		sbm_destroy(&sbm);
	}
}

/* What a handler does to the instance that it was called for */
enum { DESTROY, CANCEL, RESET_AND_CANCEL, NR_ENDS };

static SBM_DEFINE_HOSTCALL(hc_end_itself, int, how)
{
	note(sbm);
	if (how == DESTROY)
		sbm_destroy(sbm);
	if (how == RESET_AND_CANCEL)
		nested[0] = sbm_reset(sbm);
	if (how != DESTROY)
		sbm_cancel(sbm);

	return how + 20;
}

static SBM_DEFINE_FUNC(hc_call_end_itself, int, how, long *, out)
{
	*out = hc_end_itself(how);

	return 5;
}

static void expect_end(struct kunit *test, int level, int how)
{
	struct sbm_instance *inst;
	long out = 77, *inside;
	struct sbm sbm;
	int ret;

	if (!open_level(test, &sbm, level))
		return;
	inst = sbm.instance;
	memset(nested, 0, sizeof(nested));
	KUNIT_EXPECT_EQ(test, sbm_allow(&sbm, hc_end_itself), 0);
	inside = SBM_COPY_OUT(&sbm, &out, sizeof(out));
	/* The warning is what is wanted */
	if (how == DESTROY)
		pr_info("sbm-test: expect-begin\n");
	ret = sbm_call(&sbm, hc_call_end_itself, how, inside);
	if (how == DESTROY)
		pr_info("sbm-test: expect-end\n");
	KUNIT_EXPECT_EQ(test, seen.served, 1);
	KUNIT_EXPECT_PTR_EQ(test, sbm.instance, inst);
	KUNIT_EXPECT_EQ(test, nested[0], how == RESET_AND_CANCEL ? -EBUSY : 0);
	if (how == DESTROY || level == WEAK) {
		/* Nothing can stop a target of weak isolation while it runs */
		KUNIT_EXPECT_EQ(test, ret, 5);
		KUNIT_EXPECT_EQ(test, sbm_error(&sbm), 0);
		KUNIT_EXPECT_EQ(test, out, how + 20);
		KUNIT_EXPECT_TRUE(test, list_is_singular(&inst->allowed));
	} else {
		KUNIT_EXPECT_EQ(test, ret, -EINTR);
		KUNIT_EXPECT_EQ(test, sbm_error(&sbm), -EINTR);
		KUNIT_EXPECT_NOT_NULL(test, sbm_fault(&sbm));
		if (sbm_fault(&sbm))
			KUNIT_EXPECT_EQ(test, sbm_fault(&sbm)->cause, SBM_CAUSE_CANCEL);
		/* The target got nothing of the handler's, and nobody anything of it */
		KUNIT_EXPECT_EQ(test, out, 77);
	}
	if (how == DESTROY) {
		expect_works(test, &sbm);
	} else {
		KUNIT_EXPECT_EQ(test, sbm_call(&sbm, hc_plus_one, 1), -EINTR);
		KUNIT_EXPECT_EQ(test, sbm_reset(&sbm), 0);
		expect_works(test, &sbm);
	}
	sbm_destroy(&sbm);
	KUNIT_EXPECT_NULL(test, sbm.instance);
}

static void handlers_cannot_end_their_instance(struct kunit *test)
{
	long before = sbm_pages_in_use();
	int level, how;

	for (level = 0; level < NR_LEVELS; level++) {
		for (how = 0; how < NR_ENDS; how++)
			expect_end(test, level, how);
	}
	KUNIT_EXPECT_EQ(test, sbm_pages_in_use(), before);
}

/* The heap is the target's: neither its handler nor another target has it */
static void *heap_of[2];

static SBM_DEFINE_FUNC(hc_allocate)
{
	return sbm_guest_kmalloc(8, GFP_KERNEL) ? 1 : 0;
}

static SBM_DEFINE_HOSTCALL(hc_allocate_outside)
{
	note(sbm);
	heap_of[0] = sbm_guest_kmalloc(8, GFP_KERNEL);
	nested[0] = sbm_call(other_sbm, hc_allocate);
	nested[1] = sbm_error(other_sbm);
	heap_of[1] = sbm_guest_kmalloc(8, GFP_KERNEL);

	return 3;
}

static SBM_DEFINE_FUNC(hc_allocate_on_both_sides)
{
	if (!sbm_guest_kmalloc(8, GFP_KERNEL) || hc_allocate_outside() != 3 ||
	    !sbm_guest_kmalloc(8, GFP_KERNEL))
		return 0;

	return 1;
}

static void handlers_have_no_heap(struct kunit *test)
{
	struct sbm sbm, other;
	int level;

	for (level = 0; level < NR_LEVELS * NR_LEVELS; level++) {
		struct sbm_attr attr = attrs[level % NR_LEVELS];

		attr.heap_size = 4 * PAGE_SIZE;
		if (sbm_isolation() < attr.min_isolation ||
		    !open_level(test, &other, level / NR_LEVELS))
			continue;
		other_sbm = &other;
		heap_of[0] = test;
		heap_of[1] = test;
		KUNIT_EXPECT_EQ(test, sbm_init_attr(&sbm, &attr), 0);
		KUNIT_EXPECT_EQ(test, sbm_allow(&sbm, hc_allocate_outside), 0);
		KUNIT_EXPECT_EQ(test, sbm_call(&sbm, hc_allocate_on_both_sides), 1);
		KUNIT_EXPECT_EQ(test, seen.served, 1);
		KUNIT_EXPECT_NULL(test, heap_of[0]);
		KUNIT_EXPECT_NULL(test, heap_of[1]);
		KUNIT_EXPECT_EQ(test, nested[0], 0);
		KUNIT_EXPECT_EQ(test, nested[1], 0);
		sbm_destroy(&sbm);
		sbm_destroy(&other);
	}
}

/* === Allocations that fail === */

static int try_allow(struct kunit *test, void *data)
{
	const struct sbm_attr *attr = data;
	long out = 0, *inside;
	struct sbm sbm;
	int ret;

	ret = sbm_init_attr(&sbm, attr);
	if (!ret)
		ret = sbm_allow(&sbm, hc_two);
	if (!ret)
		ret = sbm_allow(&sbm, hc_one);
	KUNIT_EXPECT_EQ(test, sbm_error(&sbm), ret);
	inside = SBM_COPY_OUT(&sbm, &out, sizeof(out));
	if (ret) {
		/* It stays, as that of a buffer does, and nothing half done is left */
		KUNIT_EXPECT_NULL(test, inside);
		KUNIT_EXPECT_EQ(test, sbm_allow(&sbm, hc_one), ret);
		KUNIT_EXPECT_EQ(test, sbm_call(&sbm, hc_call_one, 6, inside), ret);
		if (sbm.instance) {
			KUNIT_EXPECT_EQ(test, sbm_reset(&sbm), 0);
			KUNIT_EXPECT_TRUE(test, list_empty(&sbm.instance->allowed));
			expect_works(test, &sbm);
		}
	} else {
		ret = sbm_error(&sbm);
		KUNIT_EXPECT_EQ(test, sbm_call(&sbm, hc_call_one, 6, inside), ret ?: 5);
		KUNIT_EXPECT_EQ(test, out, ret ? 0 : 6);
	}
	sbm_destroy(&sbm);

	return ret;
}

static void allowing_without_memory_is_an_error(struct kunit *test)
{
	int level, failed = 0, refused = 0;

	for (level = 0; level < NR_LEVELS; level++) {
		struct sbm_attr attr = attrs[level];

		if (sbm_isolation() < attr.min_isolation)
			continue;
		fail_each_allocation(test, try_allow, &attr, sbm_pages_in_use, &failed,
				     &refused);
	}
	kunit_info(test, "%d allocations failed, one at a time; %d errors\n", failed, refused);
}

/* === Limits === */

static SBM_DEFINE_FUNC(hc_loop, struct shared *, shared)
{
	WRITE_ONCE(shared->started, 1);
	while (!READ_ONCE(shared->stop))
		WRITE_ONCE(shared->count, shared->count + hc_one(1));

	return 7;
}

static void loops_of_host_calls_run_out_of_time(struct kunit *test)
{
	const struct sbm_attr attr = {
		.min_isolation	= SBM_ISOLATION_STRONG,
		.time_limit	= TICK_NSEC / 3,
	};
	struct shared out = {}, *inside;
	unsigned int tries = 0;
	struct sbm sbm;
	int ret;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	memset(&seen, 0, sizeof(seen));
	/* On a busy host, all of that time may be gone before the first host call */
	do {
		KUNIT_ASSERT_EQ(test, sbm_init_attr(&sbm, &attr), 0);
		KUNIT_EXPECT_EQ(test, sbm_allow(&sbm, hc_one), 0);
		inside = SBM_COPY_INOUT(&sbm, &out, sizeof(out));
		ret = sbm_call(&sbm, hc_loop, inside);
		KUNIT_EXPECT_EQ(test, ret, -ETIME);
		KUNIT_ASSERT_NOT_NULL(test, sbm_fault(&sbm));
		KUNIT_EXPECT_EQ(test, sbm_fault(&sbm)->cause, SBM_CAUSE_TIME);
		KUNIT_EXPECT_EQ(test, sbm_fault(&sbm)->vector, 0);
		KUNIT_EXPECT_GE(test, sbm_fault(&sbm)->time, attr.time_limit);
		KUNIT_EXPECT_EQ(test, out.started, 0);
		KUNIT_EXPECT_EQ(test, sbm_reset(&sbm), 0);
		sbm_destroy(&sbm);
	} while (!seen.served && ++tries < 50);
	KUNIT_EXPECT_GT(test, seen.served, 0);
	kunit_info(test, "%u host calls\n", seen.served);

	/* Nor is it enough for any call that is traced: not in that instance */
	init_at_least(test, &sbm, SBM_ISOLATION_STRONG);
	expect_works(test, &sbm);
	sbm_destroy(&sbm);
}

/* A handler waits, until it is told or killed */
static bool handler_waits, handler_may_go;

static SBM_DEFINE_HOSTCALL(hc_wait)
{
	note(sbm);
	WRITE_ONCE(handler_waits, true);
	while (!READ_ONCE(handler_may_go)) {
		if (fatal_signal_pending(current))
			return -EINTR;
		schedule_timeout_killable(1);
	}

	return 0;
}

static SBM_DEFINE_FUNC(hc_call_wait, struct shared *, shared)
{
	WRITE_ONCE(shared->started, 1);
	hc_wait();
	WRITE_ONCE(shared->count, 1);

	return 7;
}

struct waiting {
	struct worker	worker;
	struct sbm	*sbm;
	struct shared	*inside;
};

static int waiting_thread(struct worker *worker)
{
	struct waiting *w = worker->data;
	int ret;

	allow_signal(SIGKILL);
	ret = sbm_call(w->sbm, hc_call_wait, w->inside);
	flush_signals(current);

	return ret;
}

/* @how: 0 lets it end, 1 cancels, 2 kills */
static void expect_ends(struct kunit *test, int how, int want, enum sbm_cause cause)
{
	unsigned long timeout = jiffies + SBM_TEST_PATIENCE;
	struct sbm sbm;
	struct waiting w = {
		.worker = { .fn = waiting_thread, .data = &w, .cpu = -1, },
		.sbm	= &sbm,
	};
	struct shared *shared = alloc_shared(test);
	u8 byte;

	handler_waits = false;
	handler_may_go = false;
	KUNIT_ASSERT_TRUE(test, open_level(test, &sbm, STRONG));
	KUNIT_EXPECT_EQ(test, sbm_allow(&sbm, hc_wait), 0);
	w.inside = SBM_MAP_WRITABLE(&sbm, shared, sizeof(*shared));
	KUNIT_EXPECT_EQ(test, worker_start(&w.worker), 0);
	if (w.worker.task) {
		while (!READ_ONCE(handler_waits) && time_before(jiffies, timeout))
			schedule_timeout_uninterruptible(1);
		KUNIT_EXPECT_TRUE(test, READ_ONCE(handler_waits));
		/* Other threads find it in use */
		KUNIT_EXPECT_EQ(test, sbm_call(&sbm, hc_plus_one, 1), -EBUSY);
		KUNIT_EXPECT_EQ(test, sbm_allow(&sbm, hc_one), -EBUSY);
		KUNIT_EXPECT_EQ(test, sbm_reset(&sbm), -EBUSY);
		KUNIT_EXPECT_EQ(test, -EBUSY,
				sbm_copy_from(&sbm, &byte, sbm_ptr((u8 *)w.inside), 1));
		if (how == 1)
			sbm_cancel(&sbm);
		if (how == 2)
			send_sig(SIGKILL, w.worker.task, 1);
		if (how < 2)
			WRITE_ONCE(handler_may_go, true);
		KUNIT_EXPECT_NE(test, 0, wait_for_completion_timeout(&w.worker.done,
								     SBM_TEST_PATIENCE));
	}
	WRITE_ONCE(handler_may_go, true);
	KUNIT_EXPECT_EQ(test, worker_finish(&w.worker), want);
	if (cause) {
		KUNIT_EXPECT_NOT_NULL(test, sbm_fault(&sbm));
		if (sbm_fault(&sbm))
			KUNIT_EXPECT_EQ(test, sbm_fault(&sbm)->cause, cause);
		/* Nothing of the target has run since */
		KUNIT_EXPECT_EQ(test, shared->count, 0);
	} else {
		KUNIT_EXPECT_EQ(test, shared->count, 1);
	}
	KUNIT_EXPECT_EQ(test, sbm_reset(&sbm), 0);
	expect_works(test, &sbm);
	sbm_destroy(&sbm);
}

static void a_call_ends_after_its_handler(struct kunit *test)
{
	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	expect_ends(test, 0, 7, SBM_CAUSE_NONE);
	expect_ends(test, 1, -EINTR, SBM_CAUSE_CANCEL);
	expect_ends(test, 2, -EINTR, SBM_CAUSE_SIGNAL);
}

#ifdef CONFIG_FREEZER

/* A handler that lets its task be frozen, as any of the kernel's code may */
static SBM_DEFINE_HOSTCALL(hc_wait_freezing)
{
	note(sbm);
	WRITE_ONCE(handler_waits, true);
	while (!READ_ONCE(handler_may_go)) {
		try_to_freeze();
		schedule_timeout_uninterruptible(1);
	}

	return 0;
}

static SBM_DEFINE_FUNC(hc_call_wait_freezing, struct shared *, shared)
{
	WRITE_ONCE(shared->started, 1);
	hc_wait_freezing();
	WRITE_ONCE(shared->count, 1);
	while (!READ_ONCE(shared->stop))
		;

	return 7;
}

static SBM_DEFINE_FUNC(hc_call_wait_then_stay, struct shared *, shared)
{
	WRITE_ONCE(shared->started, 1);
	hc_wait();
	WRITE_ONCE(shared->count, 1);
	while (!READ_ONCE(shared->stop))
		;

	return 7;
}

static int freezable_waiting_thread(struct worker *worker)
{
	struct waiting *w = worker->data;

	set_freezable();

	return sbm_call(w->sbm, hc_call_wait_then_stay, w->inside);
}

static int freezing_handler_thread(struct worker *worker)
{
	struct waiting *w = worker->data;

	set_freezable();

	return sbm_call(w->sbm, hc_call_wait_freezing, w->inside);
}

static bool wait_until(const bool *flag)
{
	unsigned long timeout = jiffies + SBM_TEST_PATIENCE;

	while (!READ_ONCE(*flag) && time_before(jiffies, timeout))
		schedule_timeout_uninterruptible(1);

	return READ_ONCE(*flag);
}

/*
 * @handler: the handler lets the freezer in; @call: the call does, see
 * %SBM_ATTR_FREEZABLE. Whatever they do, nobody else decides for them.
 */
static void expect_freezes(struct kunit *test, bool handler, bool call)
{
	const struct sbm_attr attr = {
		.min_isolation	= SBM_ISOLATION_STRONG,
		.flags		= call ? SBM_ATTR_FREEZABLE : 0,
		.time_limit	= SBM_NO_LIMIT,
	};
	const unsigned long patience = call ? SBM_TEST_PATIENCE : HZ / 2;
	struct shared *shared = alloc_shared(test);
	struct sbm sbm;
	struct waiting w = {
		.worker = { .data = &w, .cpu = -1, },
		.sbm	= &sbm,
	};
	unsigned int flags;

	w.worker.fn = handler ? freezing_handler_thread : freezable_waiting_thread;
	handler_waits = false;
	handler_may_go = false;
	KUNIT_ASSERT_EQ(test, sbm_init_attr(&sbm, &attr), 0);
	KUNIT_EXPECT_EQ(test, sbm_allow(&sbm, hc_wait), 0);
	KUNIT_EXPECT_EQ(test, sbm_allow(&sbm, hc_wait_freezing), 0);
	w.inside = SBM_MAP_WRITABLE(&sbm, shared, sizeof(*shared));
	KUNIT_EXPECT_EQ(test, worker_start(&w.worker), 0);
	if (w.worker.task) {
		KUNIT_EXPECT_TRUE(test, wait_until(&handler_waits));

		/* While the handler is at work */
		flags = freezer_on();
		KUNIT_EXPECT_EQ(test, handler,
				freezes(w.worker.task, handler ? SBM_TEST_PATIENCE : HZ / 2));
		KUNIT_EXPECT_EQ(test, shared->count, 0);
		freezer_off(flags);

		/* When it has returned */
		flags = freezer_on();
		WRITE_ONCE(handler_may_go, true);
		if (handler)
			/* Once more in the handler, or not at all if that was faster */
			KUNIT_EXPECT_TRUE(test, freezes(w.worker.task, patience) ||
					  counts_beyond(shared, 0, &w.worker));
		else
			KUNIT_EXPECT_EQ(test, call, freezes(w.worker.task, patience));
		if (!handler && !call)
			KUNIT_EXPECT_TRUE(test, counts_beyond(shared, 0, &w.worker));
		freezer_off(flags);
	}
	WRITE_ONCE(handler_may_go, true);
	WRITE_ONCE(shared->stop, 1);
	KUNIT_EXPECT_EQ(test, worker_finish(&w.worker), 7);
	KUNIT_EXPECT_EQ(test, shared->count, 1);
	KUNIT_EXPECT_EQ(test, sbm_error(&sbm), 0);
	sbm_destroy(&sbm);
}

static void freezing_waits_for_the_handler(struct kunit *test)
{
	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	expect_freezes(test, false, false);
	expect_freezes(test, false, true);
	expect_freezes(test, true, false);
	expect_freezes(test, true, true);
}

#else

static void freezing_waits_for_the_handler(struct kunit *test)
{
	kunit_skip(test, "no CONFIG_FREEZER");
}

#endif

/* The time of the handler is not the target's */
static SBM_DEFINE_HOSTCALL(hc_take_time)
{
	unsigned long end = jiffies + HZ;

	note(sbm);
	while (time_before(jiffies, end))
		cpu_relax();

	return 0;
}

static SBM_DEFINE_FUNC(hc_call_take_time)
{
	return hc_take_time();
}

static void time_of_handlers_does_not_count(struct kunit *test)
{
	struct sbm sbm;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	KUNIT_ASSERT_TRUE(test, open_level(test, &sbm, STRONG));
	KUNIT_EXPECT_EQ(test, sbm_allow(&sbm, hc_take_time), 0);
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, hc_call_take_time), 0);
	KUNIT_EXPECT_LT(test, sbm.instance->time.call, NSEC_PER_SEC / 2);
	sbm_destroy(&sbm);
}

/* === Copies === */

#define SCRATCH_SIZE	(16 * PAGE_SIZE)

/* In a place that the kernel keeps an eye on, with a canary on both sides */
static u8 *scratch;

static void *scratch_fill(void)
{
	memset(scratch, 0xc3, SCRATCH_SIZE);

	return scratch + PAGE_SIZE;
}

static bool scratch_is(size_t from, size_t to, u8 byte)
{
	size_t i;

	for (i = from; i < to; i++) {
		if (scratch[i] != byte)
			return false;
	}

	return true;
}

static void __sbm *at(unsigned long addr)
{
	return (__force void __sbm *)addr;
}

/* For sizes that no object of the kernel's has: nothing shall come of them */
static int from(struct sbm *sbm, unsigned long addr, size_t n)
{
	void *dst = scratch_fill();
	int ret;

	if (n <= SCRATCH_SIZE - 2 * PAGE_SIZE)
		ret = sbm_copy_from(sbm, dst, at(addr), n);
	else
		ret = __sbm_copy_from(sbm, dst, at(addr), n);
	if (ret)
		n = 0;
	if (!scratch_is(0, PAGE_SIZE, 0xc3) ||
	    !scratch_is(PAGE_SIZE + n, SCRATCH_SIZE, 0xc3))
		return -ENOTRECOVERABLE;

	return ret;
}

static int to(struct sbm *sbm, unsigned long addr, size_t n)
{
	const void *src = scratch_fill();

	if (n <= SCRATCH_SIZE - 2 * PAGE_SIZE)
		return sbm_copy_to(sbm, at(addr), src, n);

	return __sbm_copy_to(sbm, at(addr), src, n);
}

/**
 * struct kind - a kind of buffer
 * @name:     For messages.
 * @flags:    How it is made.
 * @writable: Whether a target may write.
 */
struct kind {
	const char	*name;
	unsigned int	flags;
	bool		writable;
};

static const struct kind kinds[] = {
	{ "COPY_IN", __SBM_BUF_IN, false, },
	{ "COPY_OUT", __SBM_BUF_OUT | __SBM_BUF_WRITE, true, },
	{ "COPY_INOUT", __SBM_BUF_IN | __SBM_BUF_OUT | __SBM_BUF_WRITE, true, },
	{ "MAP_READONLY", __SBM_BUF_MAP, false, },
	{ "MAP_WRITABLE", __SBM_BUF_MAP | __SBM_BUF_WRITE, true, },
	{ "COPY_IN at the end", __SBM_BUF_IN | __SBM_BUF_END, false, },
};

static const size_t sizes[] = {
	1, 2, 7, 8, 100, PAGE_SIZE - 1, PAGE_SIZE, PAGE_SIZE + 1, 2 * PAGE_SIZE + 5,
	3 * PAGE_SIZE,
};

/* A byte more on either side is one too many */
static void expect_bounds(struct kunit *test, struct sbm *sbm, unsigned long addr,
			  size_t size, bool writable, const char *what)
{
	const int wrote = writable ? 0 : -EFAULT;

	KUNIT_EXPECT_EQ_MSG(test, from(sbm, addr, size), 0, "%s, %zu", what, size);
	KUNIT_EXPECT_EQ_MSG(test, to(sbm, addr, size), wrote, "%s, %zu", what, size);
	KUNIT_EXPECT_EQ_MSG(test, from(sbm, addr, 1), 0, "%s, %zu", what, size);
	KUNIT_EXPECT_EQ_MSG(test, to(sbm, addr, 1), wrote, "%s, %zu", what, size);
	KUNIT_EXPECT_EQ_MSG(test, from(sbm, addr + size - 1, 1), 0, "%s, %zu", what, size);
	KUNIT_EXPECT_EQ_MSG(test, to(sbm, addr + size - 1, 1), wrote, "%s, %zu", what, size);

	KUNIT_EXPECT_EQ_MSG(test, from(sbm, addr - 1, 1), -EFAULT, "%s, %zu", what, size);
	KUNIT_EXPECT_EQ_MSG(test, to(sbm, addr - 1, 1), -EFAULT, "%s, %zu", what, size);
	KUNIT_EXPECT_EQ_MSG(test, from(sbm, addr - 1, size), -EFAULT, "%s, %zu", what, size);
	KUNIT_EXPECT_EQ_MSG(test, from(sbm, addr - 1, 2), -EFAULT, "%s, %zu", what, size);
	KUNIT_EXPECT_EQ_MSG(test, to(sbm, addr - 1, 2), -EFAULT, "%s, %zu", what, size);
	KUNIT_EXPECT_EQ_MSG(test, from(sbm, addr, size + 1), -EFAULT, "%s, %zu", what, size);
	KUNIT_EXPECT_EQ_MSG(test, to(sbm, addr, size + 1), -EFAULT, "%s, %zu", what, size);
	KUNIT_EXPECT_EQ_MSG(test, from(sbm, addr + size, 1), -EFAULT, "%s, %zu", what, size);
	KUNIT_EXPECT_EQ_MSG(test, to(sbm, addr + size, 1), -EFAULT, "%s, %zu", what, size);
	KUNIT_EXPECT_EQ_MSG(test, from(sbm, addr + size - 1, 2), -EFAULT, "%s, %zu", what,
			    size);
	KUNIT_EXPECT_EQ_MSG(test, to(sbm, addr + size - 1, 2), -EFAULT, "%s, %zu", what,
			    size);

	/* Sums that overflow */
	KUNIT_EXPECT_EQ_MSG(test, from(sbm, addr, SIZE_MAX), -EFAULT, "%s", what);
	KUNIT_EXPECT_EQ_MSG(test, from(sbm, addr, -addr), -EFAULT, "%s", what);
	KUNIT_EXPECT_EQ_MSG(test, from(sbm, addr, 1 - addr), -EFAULT, "%s", what);
	KUNIT_EXPECT_EQ_MSG(test, from(sbm, addr + size - 1, SIZE_MAX - 1), -EFAULT, "%s",
			    what);
	KUNIT_EXPECT_EQ_MSG(test, to(sbm, addr, SIZE_MAX), -EFAULT, "%s", what);
	KUNIT_EXPECT_EQ_MSG(test, from(sbm, addr, HALF_BIT), -EFAULT, "%s", what);
	KUNIT_EXPECT_EQ_MSG(test, from(sbm, addr, HALF_BIT + 1), -EFAULT, "%s", what);
	KUNIT_EXPECT_EQ_MSG(test, from(sbm, addr, SBM_MAX_BUFFER_SIZE + 1), -EFAULT, "%s",
			    what);
}

static void copies_keep_to_their_buffer(struct kunit *test)
{
	u8 *buf = kunit_kzalloc(test, 8 * PAGE_SIZE, GFP_KERNEL);
	struct sbm sbm;
	int level, k, s;

	KUNIT_ASSERT_NOT_NULL(test, buf);
	for (level = 0; level < NR_LEVELS; level++) {
		for (k = 0; k < ARRAY_SIZE(kinds); k++) {
			if (!open_level(test, &sbm, level))
				continue;
			for (s = 0; s < ARRAY_SIZE(sizes); s++) {
				unsigned long addr;

				/* In the middle of a page, for those that are mapped */
				addr = (unsigned long)
					__sbm_buffer(&sbm, (unsigned long)buf + PAGE_SIZE + 13 * s,
						     sizes[s], kinds[k].flags, "buf");
				KUNIT_EXPECT_NE(test, addr, 0);
				expect_bounds(test, &sbm, addr, sizes[s], kinds[k].writable,
					      kinds[k].name);
			}
			expect_works(test, &sbm);
			sbm_destroy(&sbm);
		}
	}
}

static void copies_bring_the_right_bytes(struct kunit *test)
{
	const size_t size = 3 * PAGE_SIZE + 17;
	u8 *buf = kunit_kmalloc(test, size, GFP_KERNEL);
	u8 *dst = scratch + PAGE_SIZE;
	struct sbm sbm;
	size_t i, n;
	u8 *inside;
	int level;

	KUNIT_ASSERT_NOT_NULL(test, buf);
	for (level = 0; level < NR_LEVELS; level++) {
		if (!open_level(test, &sbm, level))
			continue;
		for (i = 0; i < size; i++)
			buf[i] = i * 7 + (i >> 8);
		inside = SBM_COPY_INOUT(&sbm, buf, size);
		for (i = 0; i < size; i += 611) {
			for (n = 1; i + n <= size; n = n * 3 + 1) {
				KUNIT_EXPECT_EQ(test, from(&sbm, (unsigned long)inside + i, n), 0);
				KUNIT_EXPECT_EQ(test, memcmp(dst, buf + i, n), 0);
			}
		}
		/* And there: across all pages but the ends */
		KUNIT_EXPECT_EQ(test, to(&sbm, (unsigned long)inside + 3, size - 7), 0);
		KUNIT_EXPECT_EQ(test, sbm_call(&sbm, hc_plus_one, 1), 2);
		for (i = 0; i < size; i++) {
			u8 want = i < 3 || i >= size - 4 ? (u8)(i * 7 + (i >> 8)) : 0xc3;

			if (buf[i] != want)
				break;
		}
		KUNIT_EXPECT_EQ(test, i, size);
		sbm_destroy(&sbm);
	}
}

static void copies_refuse_all_other_addresses(struct kunit *test)
{
	u8 *first, *second, *plain = kunit_kzalloc(test, PAGE_SIZE, GFP_KERNEL);
	u8 *vmalloced = vmalloc(PAGE_SIZE);
	struct sbm_area area;
	struct sbm sbm;
	int level, i;

	KUNIT_ASSERT_NOT_NULL(test, plain);
	KUNIT_ASSERT_NOT_NULL(test, vmalloced);
	for (level = 0; level < NR_LEVELS; level++) {
		if (!open_level(test, &sbm, level))
			continue;
		first = SBM_COPY_INOUT(&sbm, plain, PAGE_SIZE);
		second = SBM_COPY_INOUT(&sbm, plain, PAGE_SIZE);
		{
			const unsigned long addrs[] = {
				0, 1, PAGE_SIZE, 0x400000, LONG_MAX, LONG_MIN,
				WORD(0x8000000000000000), WORD(0x0000800000000000),
				WORD(0xffff7fffffffffff),
				(unsigned long)first ^ TOP_BIT, (unsigned long)first & U32_MAX,
				(unsigned long)first ^ UPPER_BIT,
				(unsigned long)plain, (unsigned long)vmalloced,
				(unsigned long)scratch, (unsigned long)&scratch,
				(unsigned long)expect_bounds, (unsigned long)kinds,
				(unsigned long)sbm.instance, (unsigned long)current,
				(unsigned long)first + PAGE_SIZE, (unsigned long)second - 1,
				-1UL, -8UL, -PAGE_SIZE, (unsigned long)page_address(ZERO_PAGE(0)),
			};

			for (i = 0; i < ARRAY_SIZE(addrs); i++) {
				KUNIT_EXPECT_EQ_MSG(test, from(&sbm, addrs[i], 8), -EFAULT,
						    "%lx", addrs[i]);
				KUNIT_EXPECT_EQ_MSG(test, to(&sbm, addrs[i], 8), -EFAULT,
						    "%lx", addrs[i]);
				/* That much is fine anywhere */
				KUNIT_EXPECT_EQ(test, from(&sbm, addrs[i], 0), 0);
				KUNIT_EXPECT_EQ(test, to(&sbm, addrs[i], 0), 0);
			}
			for (i = 0; i < 10000; i++) {
				unsigned long far = get_random_long() | (TOP_BIT >> 1);
				u8 byte;

				KUNIT_EXPECT_EQ(test, -EFAULT,
						sbm_copy_from(&sbm, &byte, at(far), 1));
			}
		}
		/* From one buffer to the next */
		if (first < second)
			KUNIT_EXPECT_EQ(test, -EFAULT, from(&sbm, (unsigned long)first,
							    second - first + 1));

		/* What the architecture has mapped for the target's sake, but its stack */
		for (i = 0; level == STRONG && arch_sbm_area(sbm.instance->arch, i, &area); i++) {
			if (!i) {
				expect_bounds(test, &sbm, area.start, area.end - area.start,
					      true, "stack");
				continue;
			}
			KUNIT_EXPECT_EQ_MSG(test, from(&sbm, area.start, 1), -EFAULT, "%s",
					    area.name);
			KUNIT_EXPECT_EQ_MSG(test, to(&sbm, area.start, 1), -EFAULT, "%s",
					    area.name);
		}
		expect_works(test, &sbm);
		KUNIT_EXPECT_EQ(test, sbm_reset(&sbm), 0);
		/* They were there */
		KUNIT_EXPECT_EQ(test, from(&sbm, (unsigned long)first, 1), -EFAULT);
		sbm_destroy(&sbm);
		KUNIT_EXPECT_EQ(test, from(&sbm, (unsigned long)first, 1), -EINVAL);
	}
	KUNIT_EXPECT_EQ(test, from(NULL, (unsigned long)plain, 1), -EINVAL);
	vfree(vmalloced);
}

/* Once it was stopped, nothing comes home any more */
static SBM_DEFINE_FUNC(hc_fall, u8 *, out)
{
	*out = 1;

	return *(u8 *)SBM_TEST_NOWHERE;
}

static void nothing_is_copied_after_a_stop(struct kunit *test)
{
	u8 byte = 5, *inside;
	struct sbm sbm;
	char text[4];

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	KUNIT_ASSERT_TRUE(test, open_level(test, &sbm, STRONG));
	inside = SBM_COPY_OUT(&sbm, &byte, 1);
	KUNIT_EXPECT_EQ(test, from(&sbm, (unsigned long)inside, 1), 0);
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, hc_fall, inside), -EFAULT);
	KUNIT_EXPECT_EQ(test, byte, 5);
	KUNIT_EXPECT_EQ(test, from(&sbm, (unsigned long)inside, 1), -EFAULT);
	KUNIT_EXPECT_EQ(test, to(&sbm, (unsigned long)inside, 1), -EFAULT);
	KUNIT_EXPECT_EQ(test, sbm_strncpy_from(&sbm, text, at((unsigned long)inside), 4),
			-EFAULT);
	sbm_destroy(&sbm);
}

static long string(struct sbm *sbm, unsigned long addr, size_t n)
{
	long ret;

	ret = sbm_strncpy_from(sbm, scratch_fill(), at(addr), n);
	if (!scratch_is(0, PAGE_SIZE, 0xc3) ||
	    !scratch_is(PAGE_SIZE + n, SCRATCH_SIZE, 0xc3))
		return -ENOTRECOVERABLE;
	/* A string comes of it in any case */
	if (n && strnlen(scratch + PAGE_SIZE, n) != max(ret, 0L))
		return -ENOTRECOVERABLE;

	return ret;
}

static void strings_end(struct kunit *test)
{
	const size_t size = 2 * PAGE_SIZE + 100;
	u8 *buf = kunit_kmalloc(test, size, GFP_KERNEL);
	unsigned long addr;
	struct sbm sbm;
	int level;

	KUNIT_ASSERT_NOT_NULL(test, buf);
	for (level = 0; level < NR_LEVELS; level++) {
		if (!open_level(test, &sbm, level))
			continue;

		/* More than anything inside has */
		buf[0] = 'x';
		KUNIT_EXPECT_EQ(test, -EFAULT,
				sbm_strncpy_from(&sbm, buf, at((unsigned long)buf),
						 SBM_MAX_BUFFER_SIZE + 1UL));
		KUNIT_EXPECT_EQ(test, buf[0], 0);

		/* None, to the last byte */
		memset(buf, 'x', size);
		addr = (unsigned long)SBM_COPY_IN(&sbm, buf, size);
		KUNIT_EXPECT_EQ(test, string(&sbm, addr, 4 * PAGE_SIZE), -EFAULT);
		KUNIT_EXPECT_EQ(test, string(&sbm, addr, size + 1), -EFAULT);
		KUNIT_EXPECT_EQ(test, string(&sbm, addr, size), -E2BIG);
		KUNIT_EXPECT_EQ(test, string(&sbm, addr, 1), -E2BIG);
		KUNIT_EXPECT_EQ(test, string(&sbm, addr, 0), -E2BIG);
		KUNIT_EXPECT_EQ(test, string(&sbm, addr + size - 1, 1), -E2BIG);
		KUNIT_EXPECT_EQ(test, string(&sbm, addr + size - 1, 2), -EFAULT);
		KUNIT_EXPECT_EQ(test, string(&sbm, addr + size, 2), -EFAULT);
		KUNIT_EXPECT_EQ(test, string(&sbm, addr - 1, 2), -EFAULT);
		KUNIT_EXPECT_EQ(test, string(&sbm, 0, 2), -EFAULT);
		KUNIT_EXPECT_EQ(test, string(&sbm, (unsigned long)buf, 2), -EFAULT);

		/* In the last byte, and on either side of a page */
		buf[size - 1] = 0;
		addr = (unsigned long)SBM_COPY_IN(&sbm, buf, size);
		KUNIT_EXPECT_EQ(test, string(&sbm, addr, size), size - 1);
		KUNIT_EXPECT_EQ(test, string(&sbm, addr, size - 1), -E2BIG);
		KUNIT_EXPECT_EQ(test, string(&sbm, addr + size - 1, 1), 0);
		KUNIT_EXPECT_EQ(test, string(&sbm, addr, 4 * PAGE_SIZE), size - 1);
		buf[PAGE_SIZE] = 0;
		addr = (unsigned long)SBM_COPY_INOUT(&sbm, buf, size);
		KUNIT_EXPECT_EQ(test, string(&sbm, addr, size), PAGE_SIZE);
		buf[PAGE_SIZE - 1] = 0;
		addr = (unsigned long)SBM_MAP_READONLY(&sbm, buf, size);
		KUNIT_EXPECT_EQ(test, string(&sbm, addr, size), PAGE_SIZE - 1);
		KUNIT_EXPECT_EQ(test, string(&sbm, addr + PAGE_SIZE - 1, 5), 0);
		KUNIT_EXPECT_EQ(test, string(&sbm, addr + PAGE_SIZE - 3, 5), 2);
		sbm_destroy(&sbm);
		KUNIT_EXPECT_EQ(test, string(&sbm, addr, 5), -EINVAL);
	}
}

/*
 * With weak isolation the task's own stack has the target's strings, which must end there.
 * Its last bytes are for what a task had in user space, which this one never was in.
 */
static void strings_end_where_the_stack_does(struct kunit *test)
{
	char *end = (char *)task_stack_page(current) + THREAD_SIZE;
	char saved[8], *last = end - sizeof(saved);
	struct sbm sbm;

	skip_if_isolation_below(test, SBM_ISOLATION_WEAK);
	if (!(current->flags & PF_KTHREAD))
		kunit_skip(test, "not in a kernel thread");
	KUNIT_ASSERT_TRUE(test, open_level(test, &sbm, WEAK));

	memcpy(saved, last, sizeof(saved));
	memset(last, 'x', sizeof(saved));
	KUNIT_EXPECT_EQ(test, string(&sbm, (unsigned long)last, 7), -E2BIG);
	KUNIT_EXPECT_EQ(test, string(&sbm, (unsigned long)last, 8), -E2BIG);
	KUNIT_EXPECT_EQ(test, string(&sbm, (unsigned long)last, 9), -EFAULT);
	KUNIT_EXPECT_EQ(test, string(&sbm, (unsigned long)last, PAGE_SIZE), -EFAULT);
	KUNIT_EXPECT_EQ(test, string(&sbm, (unsigned long)end - 1, 1), -E2BIG);
	KUNIT_EXPECT_EQ(test, string(&sbm, (unsigned long)end - 1, 2), -EFAULT);
	KUNIT_EXPECT_EQ(test, string(&sbm, (unsigned long)end, 1), -EFAULT);
	end[-1] = 0;
	KUNIT_EXPECT_EQ(test, string(&sbm, (unsigned long)last, 7), -E2BIG);
	KUNIT_EXPECT_EQ(test, string(&sbm, (unsigned long)last, 8), 7);
	KUNIT_EXPECT_EQ(test, string(&sbm, (unsigned long)last, PAGE_SIZE), 7);
	KUNIT_EXPECT_EQ(test, string(&sbm, (unsigned long)end - 1, PAGE_SIZE), 0);
	memcpy(last, saved, sizeof(saved));
	sbm_destroy(&sbm);
}

/* From within a handler, and from the stack */
static SBM_DEFINE_HOSTCALL(hc_greet, const char __sbm *, name, char __sbm *, answer,
			   size_t, size)
{
	char text[32], all[48];
	long len;

	note(sbm);
	len = sbm_strncpy_from(sbm, text, name, sizeof(text));
	if (len < 0)
		return len;
	len = snprintf(all, sizeof(all), "hello %s", text) + 1;
	if (len > size)
		return -ENOSPC;

	return sbm_copy_to(sbm, answer, all, len) ?: len;
}

static SBM_DEFINE_FUNC(hc_call_greet, char *, answer, size_t, size)
{
	char name[8] = { 'w', 'o', 'r', 'l', 'd', 0 };
	char here[16] = {};
	long len;

	len = hc_greet(sbm_ptr(&name[0]), sbm_ptr(&here[0]), sizeof(here));
	if (len != 12 || memcmp(here, "hello world", 12))
		return 1;

	return hc_greet(sbm_ptr(&name[0]), sbm_ptr(answer), size);
}

static void handlers_copy(struct kunit *test)
{
	char answer[16] = {}, *inside;
	struct sbm sbm;
	int level;

	for (level = 0; level < NR_LEVELS; level++) {
		if (!open_level(test, &sbm, level))
			continue;
		KUNIT_EXPECT_EQ(test, sbm_allow(&sbm, hc_greet), 0);
		inside = SBM_COPY_OUT(&sbm, answer, sizeof(answer));
		KUNIT_EXPECT_EQ(test, 12,
				sbm_call(&sbm, hc_call_greet, inside, sizeof(answer)));
		KUNIT_EXPECT_STREQ(test, answer, "hello world");
		/* More than there is of it: the handler is told, and tells the target */
		KUNIT_EXPECT_EQ(test, -EFAULT, sbm_call(&sbm, hc_call_greet, inside + 5, 16));
		KUNIT_EXPECT_EQ(test, sbm_error(&sbm), 0);
		sbm_destroy(&sbm);
	}
}

static void checks_do_not_overflow(struct kunit *test)
{
	unsigned long i;

	KUNIT_EXPECT_TRUE(test, sbm_check_range(0, 0, 0));
	KUNIT_EXPECT_TRUE(test, sbm_check_range(10, 0, 10));
	KUNIT_EXPECT_TRUE(test, sbm_check_range(9, 1, 10));
	KUNIT_EXPECT_TRUE(test, sbm_check_range(0, U64_MAX, U64_MAX));
	KUNIT_EXPECT_FALSE(test, sbm_check_range(9, 2, 10));
	KUNIT_EXPECT_FALSE(test, sbm_check_range(11, 0, 10));
	KUNIT_EXPECT_FALSE(test, sbm_check_range(U64_MAX, 2, 10));
	KUNIT_EXPECT_FALSE(test, sbm_check_range(2, U64_MAX, 10));
	KUNIT_EXPECT_FALSE(test, sbm_check_range(U64_MAX, 1, U64_MAX));

	KUNIT_EXPECT_TRUE(test, sbm_check_array(0, 8, 0));
	KUNIT_EXPECT_TRUE(test, sbm_check_array(4, 8, 32));
	KUNIT_EXPECT_FALSE(test, sbm_check_array(4, 8, 31));
	KUNIT_EXPECT_FALSE(test, sbm_check_array(BIT_ULL(61), 8, 32));
	KUNIT_EXPECT_FALSE(test, sbm_check_array(BIT_ULL(61) + 1, 8, 32));

	i = 4;
	KUNIT_EXPECT_TRUE(test, sbm_check_index(&i, 5));
	KUNIT_EXPECT_EQ(test, i, 4);
	i = 5;
	KUNIT_EXPECT_FALSE(test, sbm_check_index(&i, 5));
	KUNIT_EXPECT_EQ(test, i, 0);
	i = -1UL;
	KUNIT_EXPECT_FALSE(test, sbm_check_index(&i, 5));
	i = 0;
	KUNIT_EXPECT_FALSE(test, sbm_check_index(&i, 0));
}

/* === Everything at random === */

/* All that a handler could do wrong with it, it does right */
static SBM_DEFINE_HOSTCALL(hc_fuzz_from, const void __sbm *, src, size_t, n)
{
	u8 bytes[256];

	note(sbm);
	if (n > sizeof(bytes))
		return __sbm_copy_from(sbm, bytes, src, n | (HALF_BIT << 8)) ?: -ENOTRECOVERABLE;

	return sbm_copy_from(sbm, bytes, src, n);
}

static SBM_DEFINE_HOSTCALL(hc_fuzz_to, void __sbm *, dst, size_t, n)
{
	u8 bytes[256];

	note(sbm);
	memset(bytes, 0x5a, sizeof(bytes));
	if (n > sizeof(bytes))
		return __sbm_copy_to(sbm, dst, bytes, n | (HALF_BIT << 8)) ?: -ENOTRECOVERABLE;

	return sbm_copy_to(sbm, dst, bytes, n);
}

static SBM_DEFINE_HOSTCALL(hc_fuzz_string, const char __sbm *, src, size_t, n)
{
	char text[100];
	long ret;

	note(sbm);
	ret = sbm_strncpy_from(sbm, text, src, min(n, sizeof(text)));
	if (ret >= 0 && strlen(text) != ret)
		seen.result = -ENOTRECOVERABLE;

	return ret;
}

static SBM_DEFINE_HOSTCALL(hc_fuzz_index, unsigned long, i, u64, offset, u64, len)
{
	static const u8 table[10] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 };

	note(sbm);
	if (!sbm_check_range(offset, len, sizeof(table)) || !sbm_check_index(&i, 10))
		return -EINVAL;
	while (len--)
		i += table[offset + len];

	return i;
}

static const struct sbm_hostcall * const fuzz_calls_of[] = {
	&__sbm_hostcall_hc_fuzz_from, &__sbm_hostcall_hc_fuzz_to,
	&__sbm_hostcall_hc_fuzz_string, &__sbm_hostcall_hc_fuzz_index,
	&__sbm_hostcall_hc_none, &__sbm_hostcall_hc_one, &__sbm_hostcall_hc_two,
	&__sbm_hostcall_hc_three, &__sbm_hostcall_hc_four, &__sbm_hostcall_hc_five,
	&__sbm_hostcall_hc_six,
};

/**
 * struct fuzz - what the target that throws things around knows
 * @seed:     Where its numbers come from.
 * @calls:    How many it shall make.
 * @addrs:    Addresses that are worth a try.
 * @numbers:  Host calls that it may make.
 * @served:   Results that were no error.
 * @refused:  Results that were.
 */
struct fuzz {
	u64		seed;
	unsigned int	calls;
	unsigned long	addrs[24];
	unsigned long	numbers[ARRAY_SIZE(fuzz_calls_of)];
	unsigned long	served;
	unsigned long	refused;
};

/* A word of it: 32-bit code has no division of more, least of all inside */
static __always_inline unsigned long fuzz_next(u64 *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;

	return *x;
}

static __always_inline unsigned long fuzz_word(const struct fuzz *f, u64 *x)
{
	unsigned long r = fuzz_next(x);

	switch (r % 7) {
	case 0:
		return fuzz_next(x);
	case 1:
		return fuzz_next(x) % 300;
	case 2:
		return -(fuzz_next(x) % 5000);
	case 3:
		return BIT(fuzz_next(x) % BITS_PER_LONG) - (r >> 8) % 3;
	default:
		return f->addrs[(r >> 8) % ARRAY_SIZE(f->addrs)] +
		       (long)(fuzz_next(x) % 600) - 300;
	}
}

static SBM_DEFINE_FUNC(hc_throw, const struct fuzz *, f, struct fuzz *, out)
{
	unsigned long args[6];
	u64 x = f->seed;
	unsigned int i, j;
	long ret;

	for (i = 0; i < f->calls; i++) {
		unsigned long number = f->numbers[fuzz_next(&x) % ARRAY_SIZE(f->numbers)];

		for (j = 0; j < 6; j++)
			args[j] = fuzz_word(f, &x);
		/* Small sizes more often than not, or nothing would be copied */
		if (fuzz_next(&x) & 1)
			args[1] = args[1] % 256;
		ret = __sbm_hostcall((const struct sbm_hostcall *)number, args);
		if (ret < 0)
			out->refused++;
		else
			out->served++;
	}

	return 0;
}

static void nothing_at_random_does_harm(struct kunit *test)
{
	struct fuzz *f = kunit_kzalloc(test, sizeof(*f), GFP_KERNEL);
	struct fuzz *out = kunit_kzalloc(test, sizeof(*out), GFP_KERNEL);
	u8 *plain = kunit_kmalloc(test, 4 * PAGE_SIZE, GFP_KERNEL);
	long before = sbm_pages_in_use();
	struct sbm_area area;
	unsigned int i, n = 0;
	struct sbm sbm;
	u8 *map, *in;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	KUNIT_ASSERT_NOT_NULL(test, f);
	KUNIT_ASSERT_NOT_NULL(test, out);
	KUNIT_ASSERT_NOT_NULL(test, plain);
	KUNIT_ASSERT_TRUE(test, open_level(test, &sbm, STRONG));
	for (i = 0; i < ARRAY_SIZE(fuzz_calls_of); i++) {
		KUNIT_EXPECT_EQ(test, __sbm_allow(&sbm, fuzz_calls_of[i]), 0);
		f->numbers[i] = (unsigned long)fuzz_calls_of[i];
	}
	memset(plain, 0xa5, 4 * PAGE_SIZE);
	memset(scratch, 0xa5, SCRATCH_SIZE);
	/* A page in the middle that it may write, and the same for what it may read */
	map = SBM_MAP_WRITABLE(&sbm, plain + PAGE_SIZE, PAGE_SIZE);
	in = SBM_COPY_IN(&sbm, plain, 2 * PAGE_SIZE);
	for (i = 0; arch_sbm_area(sbm.instance->arch, i, &area) && n < 8; i++) {
		/* Its own frame, that would end it soon, is at the end of its stack */
		f->addrs[n++] = area.start;
		if (i)
			f->addrs[n++] = area.end;
	}
	f->addrs[n++] = (unsigned long)map;
	f->addrs[n++] = (unsigned long)map + PAGE_SIZE;
	f->addrs[n++] = (unsigned long)map + 700;
	f->addrs[n++] = (unsigned long)in;
	f->addrs[n++] = (unsigned long)in + PAGE_SIZE;
	f->addrs[n++] = (unsigned long)in + 2 * PAGE_SIZE;
	f->addrs[n++] = (unsigned long)plain;
	f->addrs[n++] = (unsigned long)plain + PAGE_SIZE;
	f->addrs[n++] = (unsigned long)scratch;
	f->addrs[n++] = (unsigned long)current;
	f->addrs[n++] = (unsigned long)sbm.instance;
	f->addrs[n++] = (unsigned long)expect_bounds;
	f->addrs[n++] = (unsigned long)&seen;
	f->addrs[n++] = (unsigned long)&f;
	KUNIT_EXPECT_LE(test, n, ARRAY_SIZE(f->addrs));
	f->seed = get_random_u64() | 1;
	f->calls = fuzz_calls;

	KUNIT_EXPECT_EQ_MSG(test, 0,
			    sbm_call(&sbm, hc_throw, SBM_COPY_IN(&sbm, f, sizeof(*f)),
				     SBM_COPY_OUT(&sbm, out, sizeof(*out))),
			    "seed %llx", f->seed);
	KUNIT_EXPECT_EQ(test, sbm_error(&sbm), 0);
	KUNIT_EXPECT_EQ(test, seen.served, fuzz_calls);
	KUNIT_EXPECT_EQ(test, seen.result, 0);
	KUNIT_EXPECT_EQ(test, out->served + out->refused, fuzz_calls);
	KUNIT_EXPECT_GT(test, out->served, fuzz_calls / 20);
	KUNIT_EXPECT_GT(test, out->refused, fuzz_calls / 20);
	kunit_info(test, "%lu results, %lu errors, seed %llx\n", out->served, out->refused,
		   f->seed);

	/* It got nothing to see but what handlers wrote, and wrote where it might */
	for (i = 0; i < 4 * PAGE_SIZE; i++) {
		bool may = i >= PAGE_SIZE && i < 2 * PAGE_SIZE;

		if (plain[i] != 0xa5 && !(may && plain[i] == 0x5a))
			break;
	}
	KUNIT_EXPECT_EQ_MSG(test, i, 4 * PAGE_SIZE, "seed %llx", f->seed);
	KUNIT_EXPECT_NOT_NULL(test, memchr(plain, 0x5a, 2 * PAGE_SIZE));
	KUNIT_EXPECT_TRUE(test, scratch_is(0, SCRATCH_SIZE, 0xa5));
	KUNIT_EXPECT_EQ(test, from(&sbm, (unsigned long)in, 2 * PAGE_SIZE), 0);
	KUNIT_EXPECT_TRUE(test, scratch_is(PAGE_SIZE, 3 * PAGE_SIZE, 0xa5));
	expect_works(test, &sbm);
	sbm_destroy(&sbm);
	KUNIT_EXPECT_EQ(test, sbm_pages_in_use(), before);
}

static void reports_name_the_host_call(struct kunit *test)
{
	static const char head[] =
		"hc_call_one stopped by a host call that is not allowed, called by ";
	static const char * const frames[] = {
		"  backtrace in the sandbox:\n", "    arch_sbm_hostcall+",
		"    __sbm_hostcall+", "    hc_one+", "    hc_call_one+",
		"    [sandbox entry]\n",
	};
	long out, *inside;
	struct sbm sbm;
	char want[64];
	char *line;
	int level, i;

	for (level = 0; level < NR_LEVELS; level++) {
		if (!open_level(test, &sbm, level))
			continue;
		lines[0] = 0;
		inside = SBM_COPY_OUT(&sbm, &out, sizeof(out));
		expect_denied(test, &sbm, sbm_call(&sbm, hc_call_one, 1, inside));
		KUNIT_EXPECT_NOT_NULL_MSG(test, strstr(lines, head), "%s", lines);
		if (IS_ENABLED(CONFIG_KALLSYMS_ALL))
			strscpy(want, "  number __sbm_hostcall_hc_one\n");
		else
			snprintf(want, sizeof(want), "  number 0x%lx\n",
				 (unsigned long)&__sbm_hostcall_hc_one);
		KUNIT_EXPECT_NOT_NULL_MSG(test, strstr(lines, want), "%s", lines);
		/* How it got there: that is where to look for who has called it */
		for (i = 0, line = lines; level == STRONG && i < ARRAY_SIZE(frames); i++) {
			line = line ? strstr(line, frames[i]) : NULL;
			if (IS_ENABLED(CONFIG_UNWINDER_ORC))
				KUNIT_EXPECT_NOT_NULL_MSG(test, line, "no '%s' in\n%s",
							  frames[i], lines);
		}
		sbm_destroy(&sbm);
	}
}

#ifdef CONFIG_TRACEPOINTS

static struct {
	unsigned int	nr;
	u64		id;
	char		name[16];
	unsigned long	number;
	long		result;
} traced;

static void probe_hostcall(void *data, u64 id, const char *name, unsigned long number,
			   long result)
{
	traced.nr++;
	traced.id = id;
	strscpy(traced.name, name, sizeof(traced.name));
	traced.number = number;
	traced.result = result;
}

static void host_calls_are_traced(struct kunit *test)
{
	const unsigned long number = (unsigned long)&__sbm_hostcall_hc_one;
	long out, *inside;
	struct sbm sbm;
	int level;

	for (level = 0; level < NR_LEVELS; level++) {
		if (!open_level(test, &sbm, level))
			continue;
		memset(&traced, 0, sizeof(traced));
		KUNIT_EXPECT_EQ(test, register_trace_sbm_hostcall(probe_hostcall, NULL), 0);
		KUNIT_EXPECT_EQ(test, sbm_allow(&sbm, hc_one), 0);
		inside = SBM_COPY_OUT(&sbm, &out, sizeof(out));
		KUNIT_EXPECT_EQ(test, sbm_call(&sbm, hc_call_one, 17, inside), 5);
		KUNIT_EXPECT_EQ(test, traced.nr, 1);
		KUNIT_EXPECT_EQ(test, traced.id, sbm.instance->id);
		KUNIT_EXPECT_STREQ(test, traced.name, "hc_one");
		KUNIT_EXPECT_EQ(test, traced.number, number);
		KUNIT_EXPECT_EQ(test, traced.result, 17);

		KUNIT_EXPECT_EQ(test, sbm_reset(&sbm), 0);
		inside = SBM_COPY_OUT(&sbm, &out, sizeof(out));
		expect_denied(test, &sbm, sbm_call(&sbm, hc_call_one, 1, inside));
		KUNIT_EXPECT_EQ(test, traced.nr, 2);
		KUNIT_EXPECT_STREQ(test, traced.name, "denied");
		KUNIT_EXPECT_EQ(test, traced.number, number);
		KUNIT_EXPECT_EQ(test, traced.result, -EFAULT);
		unregister_trace_sbm_hostcall(probe_hostcall, NULL);
		tracepoint_synchronize_unregister();
		sbm_destroy(&sbm);
	}
}

#else

static void host_calls_are_traced(struct kunit *test)
{
	kunit_skip(test, "no trace points in this kernel");
}

#endif

#ifdef CONFIG_DEBUG_FS

static void host_calls_are_counted(struct kunit *test)
{
	long out, *inside;
	struct sbm sbm;
	int level, i;

	for (level = 0; level < NR_LEVELS; level++) {
		u64 before = 0, after = 0;
		int cpu;

		if (!open_level(test, &sbm, level))
			continue;
		for_each_possible_cpu(cpu)
			before += per_cpu(sbm_stats, cpu).hostcalls;
		KUNIT_EXPECT_EQ(test, sbm_allow(&sbm, hc_one), 0);
		inside = SBM_COPY_OUT(&sbm, &out, sizeof(out));
		for (i = 0; i < 5; i++)
			KUNIT_EXPECT_EQ(test, sbm_call(&sbm, hc_call_one, i, inside), 5);
		KUNIT_EXPECT_EQ(test, sbm.instance->debugfs.hostcalls, 5);
		for_each_possible_cpu(cpu)
			after += per_cpu(sbm_stats, cpu).hostcalls;
		KUNIT_EXPECT_GE(test, after - before, 5);
		KUNIT_EXPECT_EQ(test, sbm_reset(&sbm), 0);
		KUNIT_EXPECT_EQ(test, sbm.instance->debugfs.hostcalls, 0);
		/* What is denied is a stop, and no host call that was served */
		inside = SBM_COPY_OUT(&sbm, &out, sizeof(out));
		expect_denied(test, &sbm, sbm_call(&sbm, hc_call_one, 1, inside));
		KUNIT_EXPECT_EQ(test, sbm.instance->debugfs.hostcalls, 0);
		sbm_destroy(&sbm);
	}
}

/* Whoever wants to know what an instance can reach sees what was allowed */
static void allowed_calls_are_listed(struct kunit *test)
{
	static const char both[] = "\nhost call: hc_one\nhost call: hc_two\n";
	const size_t size = 64 * 1024;
	struct seq_file m = { .size = size, };
	struct sbm sbm;
	int level;

	m.buf = kunit_kzalloc(test, size, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, m.buf);
	for (level = 0; level < NR_LEVELS; level++) {
		if (!open_level(test, &sbm, level))
			continue;
		KUNIT_EXPECT_EQ(test, sbm_allow(&sbm, hc_one), 0);
		KUNIT_EXPECT_EQ(test, sbm_allow(&sbm, hc_two), 0);
		m.count = 0;
		sbm_debugfs_dump(&m, sbm.instance);
		KUNIT_EXPECT_FALSE(test, seq_has_overflowed(&m));
		m.buf[min(m.count, size - 1)] = '\0';
		KUNIT_EXPECT_NOT_NULL(test, strstr(m.buf, both));
		KUNIT_EXPECT_NULL(test, strstr(m.buf, "hc_three"));
		KUNIT_EXPECT_EQ(test, sbm_reset(&sbm), 0);
		m.count = 0;
		sbm_debugfs_dump(&m, sbm.instance);
		m.buf[min(m.count, size - 1)] = '\0';
		KUNIT_EXPECT_NULL(test, strstr(m.buf, "host call"));
		sbm_destroy(&sbm);
	}
}

#else

static void allowed_calls_are_listed(struct kunit *test)
{
	kunit_skip(test, "takes CONFIG_DEBUG_FS");
}

static void host_calls_are_counted(struct kunit *test)
{
	kunit_skip(test, "takes CONFIG_DEBUG_FS");
}

#endif

#ifdef CONFIG_SBM_X86

/* === Registers === */

#define HOSTCALL_VECTOR	25

/* As the target stores them; RAX is the result */
struct all_regs {
	u64	ax, bx, cx, dx, si, di, bp, r8, r9, r10, r11, r12, r13, r14, r15, flags, sp;
	u64	sp_before;
	u16	ds, es, fs, gs, cs, ss;
};

static_assert(offsetof(struct all_regs, flags) == 15 * 8);
static_assert(offsetof(struct all_regs, ds) == 18 * 8);

/*
 * Gets the number of the host call and the address of &struct all_regs, which it keeps
 * on the stack. Its arguments are what is in these registers.
 */
static noinline __naked __no_sanitize_coverage
int hc_all_registers(unsigned long number, struct all_regs *regs)
{
	asm volatile("push %rbx\n\t"
		     "push %rbp\n\t"
		     "push %r12\n\t"
		     "push %r13\n\t"
		     "push %r14\n\t"
		     "push %r15\n\t"
		     "mov %rsp, 17*8(%rsi)\n\t"
		     "push %rsi\n\t"
		     "mov %rdi, %rax\n\t"
		     "mov $0x1101, %edi\n\t"
		     "mov $0x1102, %esi\n\t"
		     "mov $0x1103, %edx\n\t"
		     "mov $0x1104, %ecx\n\t"
		     "mov $0x1105, %r8d\n\t"
		     "mov $0x1106, %r9d\n\t"
		     "mov $0x1107, %r10d\n\t"
		     "mov $0x1108, %r11d\n\t"
		     "mov $0x1109, %ebx\n\t"
		     "mov $0x110a, %ebp\n\t"
		     "mov $0x110b, %r12d\n\t"
		     "mov $0x110c, %r13d\n\t"
		     "mov $0x110d, %r14d\n\t"
		     "mov $0x110e, %r15d\n\t"
		     "std\n\t"
		     "stc\n\t"
		     "int $" __stringify(HOSTCALL_VECTOR) "\n\t"
		     /* The red zone is not in use, and the stack as it was */
		     "xchg %rsi, (%rsp)\n\t"
		     "mov %rax, 0*8(%rsi)\n\t"
		     "mov %rbx, 1*8(%rsi)\n\t"
		     "mov %rcx, 2*8(%rsi)\n\t"
		     "mov %rdx, 3*8(%rsi)\n\t"
		     "mov %rdi, 5*8(%rsi)\n\t"
		     "mov %rbp, 6*8(%rsi)\n\t"
		     "mov %r8, 7*8(%rsi)\n\t"
		     "mov %r9, 8*8(%rsi)\n\t"
		     "mov %r10, 9*8(%rsi)\n\t"
		     "mov %r11, 10*8(%rsi)\n\t"
		     "mov %r12, 11*8(%rsi)\n\t"
		     "mov %r13, 12*8(%rsi)\n\t"
		     "mov %r14, 13*8(%rsi)\n\t"
		     "mov %r15, 14*8(%rsi)\n\t"
		     "pushfq\n\t"
		     "popq 15*8(%rsi)\n\t"
		     "cld\n\t"
		     "popq 4*8(%rsi)\n\t"
		     "mov %rsp, 16*8(%rsi)\n\t"
		     "mov %ds, 18*8+0(%rsi)\n\t"
		     "mov %es, 18*8+2(%rsi)\n\t"
		     "mov %fs, 18*8+4(%rsi)\n\t"
		     "mov %gs, 18*8+6(%rsi)\n\t"
		     "mov %cs, 18*8+8(%rsi)\n\t"
		     "mov %ss, 18*8+10(%rsi)\n\t"
		     "xor %eax, %eax\n\t"
		     "pop %r15\n\t"
		     "pop %r14\n\t"
		     "pop %r13\n\t"
		     "pop %r12\n\t"
		     "pop %rbp\n\t"
		     "pop %rbx\n\t"
		     X86_SBM_TEST_RET);
}

STACK_FRAME_NON_STANDARD(hc_all_registers);

SBM_DEFINE_CALL(hc_all_registers, unsigned long, number, struct all_regs *, regs)

/* A handler that leaves something of the kernel's in each register that it may use */
static SBM_DEFINE_HOSTCALL(hc_six_words, unsigned long, a, unsigned long, b,
			   unsigned long, c, unsigned long, d, unsigned long, e,
			   unsigned long, f)
{
	note(sbm);
	seen.args[0] = a;
	seen.args[1] = b;
	seen.args[2] = c;
	seen.args[3] = d;
	seen.args[4] = e;
	seen.args[5] = f;
	asm volatile("mov %%rsp, %%rcx\n\t"
		     "mov %%rsp, %%rdx\n\t"
		     "mov %%rsp, %%rsi\n\t"
		     "mov %%rsp, %%rdi\n\t"
		     "mov %%rsp, %%r8\n\t"
		     "mov %%rsp, %%r9\n\t"
		     "mov %%rsp, %%r10\n\t"
		     "mov %%rsp, %%r11\n\t"
		     : : : "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11");

	return 0x1234567890abcdef;
}

static void registers_stay_as_they_are(struct kunit *test)
{
	const unsigned long arithmetic = X86_EFLAGS_CF | X86_EFLAGS_DF;
	struct all_regs regs = {}, *inside;
	struct sbm sbm;
	int i;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	KUNIT_ASSERT_TRUE(test, open_level(test, &sbm, STRONG));
	KUNIT_EXPECT_EQ(test, sbm_allow(&sbm, hc_six_words), 0);
	inside = SBM_COPY_OUT(&sbm, &regs, sizeof(regs));
	KUNIT_EXPECT_EQ(test, 0,
			sbm_call(&sbm, hc_all_registers,
				 (unsigned long)&__sbm_hostcall_hc_six_words, inside));
	KUNIT_EXPECT_EQ(test, sbm_error(&sbm), 0);
	for (i = 0; i < 6; i++)
		KUNIT_EXPECT_EQ(test, seen.args[i], 0x1101 + i);
	KUNIT_EXPECT_EQ(test, regs.ax, 0x1234567890abcdef);
	KUNIT_EXPECT_EQ(test, regs.di, 0x1101);
	KUNIT_EXPECT_EQ(test, regs.si, 0x1102);
	KUNIT_EXPECT_EQ(test, regs.dx, 0x1103);
	KUNIT_EXPECT_EQ(test, regs.cx, 0x1104);
	KUNIT_EXPECT_EQ(test, regs.r8, 0x1105);
	KUNIT_EXPECT_EQ(test, regs.r9, 0x1106);
	KUNIT_EXPECT_EQ(test, regs.r10, 0x1107);
	KUNIT_EXPECT_EQ(test, regs.r11, 0x1108);
	KUNIT_EXPECT_EQ(test, regs.bx, 0x1109);
	KUNIT_EXPECT_EQ(test, regs.bp, 0x110a);
	KUNIT_EXPECT_EQ(test, regs.r12, 0x110b);
	KUNIT_EXPECT_EQ(test, regs.r13, 0x110c);
	KUNIT_EXPECT_EQ(test, regs.r14, 0x110d);
	KUNIT_EXPECT_EQ(test, regs.r15, 0x110e);
	KUNIT_EXPECT_EQ(test, regs.sp, regs.sp_before);
	KUNIT_EXPECT_EQ(test, regs.flags & arithmetic, arithmetic);
	KUNIT_EXPECT_EQ(test, regs.flags & (X86_EFLAGS_TF | X86_EFLAGS_NT | X86_EFLAGS_AC |
					    X86_EFLAGS_IOPL | X86_EFLAGS_IF),
			X86_EFLAGS_IF);
	KUNIT_EXPECT_EQ(test, regs.cs, __USER_CS);
	KUNIT_EXPECT_EQ(test, regs.ss, __USER_DS);
	KUNIT_EXPECT_EQ(test, regs.ds | regs.es | regs.fs | regs.gs, 0);
	expect_works(test, &sbm);
	sbm_destroy(&sbm);
}

/* A fault names the instruction behind INT, and what the target had in its registers */
static void denied_calls_are_told_precisely(struct kunit *test)
{
	struct all_regs regs = {}, *inside;
	const struct sbm_fault *fault;
	struct sbm sbm;
	const u8 *insn;
	int ret;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	KUNIT_ASSERT_TRUE(test, open_level(test, &sbm, STRONG));
	inside = SBM_COPY_OUT(&sbm, &regs, sizeof(regs));
	ret = sbm_call(&sbm, hc_all_registers,
		       (unsigned long)&__sbm_hostcall_hc_six_words, inside);
	fault = sbm_fault(&sbm);
	KUNIT_ASSERT_NOT_NULL(test, fault);
	KUNIT_EXPECT_EQ(test, fault->vector, HOSTCALL_VECTOR);
	KUNIT_EXPECT_EQ(test, fault->error_code, 0);
	KUNIT_EXPECT_TRUE(test, fault->has_regs);
	KUNIT_EXPECT_EQ(test, fault->regs.ax, (unsigned long)&__sbm_hostcall_hc_six_words);
	KUNIT_EXPECT_EQ(test, fault->regs.r15, 0x110e);
	insn = (const u8 *)fault->ip - 2;
	KUNIT_EXPECT_EQ(test, insn[0], 0xcd);
	KUNIT_EXPECT_EQ(test, insn[1], HOSTCALL_VECTOR);
	KUNIT_EXPECT_EQ(test, regs.sp, 0);
	expect_denied(test, &sbm, ret);
	sbm_destroy(&sbm);
}

#endif /* CONFIG_SBM_X86 */

static struct kunit_case sbm_hostcall_cases[] = {
	KUNIT_CASE(arguments_and_results_are_right),
	KUNIT_CASE(arguments_are_cut_to_their_types),
	KUNIT_CASE(denied_by_default),
	KUNIT_CASE(numbers_that_are_none_are_denied),
	KUNIT_CASE(allowing_has_its_rules),
	KUNIT_CASE(no_host_calls_outside),
	KUNIT_CASE(rules_hold_without_isolation),
	KUNIT_CASE(handlers_sleep_and_use_other_instances),
	KUNIT_CASE(host_calls_of_two_instances_nest),
	KUNIT_CASE(handlers_cannot_end_their_instance),
	KUNIT_CASE(handlers_have_no_heap),
	KUNIT_CASE(allowing_without_memory_is_an_error),
	KUNIT_CASE(loops_of_host_calls_run_out_of_time),
	KUNIT_CASE(a_call_ends_after_its_handler),
	KUNIT_CASE_SLOW(freezing_waits_for_the_handler),
	KUNIT_CASE(time_of_handlers_does_not_count),
	KUNIT_CASE(copies_keep_to_their_buffer),
	KUNIT_CASE(copies_bring_the_right_bytes),
	KUNIT_CASE(copies_refuse_all_other_addresses),
	KUNIT_CASE(nothing_is_copied_after_a_stop),
	KUNIT_CASE(strings_end),
	KUNIT_CASE(strings_end_where_the_stack_does),
	KUNIT_CASE(handlers_copy),
	KUNIT_CASE(checks_do_not_overflow),
	KUNIT_CASE(nothing_at_random_does_harm),
	KUNIT_CASE(reports_name_the_host_call),
	KUNIT_CASE(host_calls_are_traced),
	KUNIT_CASE(host_calls_are_counted),
	KUNIT_CASE(allowed_calls_are_listed),
#ifdef CONFIG_SBM_X86
	KUNIT_CASE(registers_stay_as_they_are),
	KUNIT_CASE(denied_calls_are_told_precisely),
#endif
	{}
};

static int sbm_hostcall_init(struct kunit *test)
{
	scratch = kunit_kmalloc(test, SCRATCH_SIZE, GFP_KERNEL);
	if (!scratch)
		return -ENOMEM;
	sbm_test_capture(&take);

	return 0;
}

static void sbm_hostcall_exit(struct kunit *test)
{
	sbm_test_capture(NULL);
}

static struct kunit_suite sbm_hostcall_suite = {
	.name		= "sbm_hostcall",
	.init		= sbm_hostcall_init,
	.exit		= sbm_hostcall_exit,
	.test_cases	= sbm_hostcall_cases,
};

kunit_test_suite(sbm_hostcall_suite);

MODULE_DESCRIPTION("KUnit suite for host calls of sandbox mode");
MODULE_LICENSE("GPL");
