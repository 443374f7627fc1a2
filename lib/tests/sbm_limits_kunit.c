// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit suite sbm_limits: what an instance may use, and how it is told to stop.
 *
 * No case expects anything to be fast: an emulator stops for as long as its host
 * likes, and the clock that the kernel sees runs on.
 */
#include <kunit/test.h>
#include <linux/atomic.h>
#include <linux/cpumask.h>
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/freezer.h>
#include <linux/jiffies.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/sbm.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/smp.h>
#include <linux/string.h>
#include <linux/tick.h>
#include <linux/time64.h>

#include "../../kernel/sbm/sbm.h"
#include "sbm_kunit.h"

/* Adds one, for ever or until it is told */
static SBM_DEFINE_FUNC(count_until_told, struct shared *, shared)
{
	WRITE_ONCE(shared->started, 1);
	while (!READ_ONCE(shared->stop))
		WRITE_ONCE(shared->count, shared->count + 1);

	return 7;
}

static SBM_DEFINE_FUNC(plus_one, int, value)
{
	return value + 1;
}

static SBM_DEFINE_FUNC(read_byte, const u8 *, from)
{
	return READ_ONCE(*from);
}

static void expect_works(struct kunit *test, struct sbm *sbm)
{
	KUNIT_EXPECT_EQ(test, sbm_call(sbm, plus_one, 41), 42);
	KUNIT_EXPECT_EQ(test, sbm_error(sbm), 0);
	KUNIT_EXPECT_NULL(test, sbm_fault(sbm));
}

static void expect_stopped(struct kunit *test, struct sbm *sbm, int ret, int err,
			   enum sbm_cause cause)
{
	const struct sbm_fault *fault = sbm_fault(sbm);

	KUNIT_EXPECT_EQ(test, ret, err);
	KUNIT_EXPECT_EQ(test, sbm_error(sbm), err);
	KUNIT_ASSERT_NOT_NULL(test, fault);
	KUNIT_EXPECT_EQ(test, fault->cause, cause);
	KUNIT_EXPECT_EQ(test, fault->vector, 0);
	KUNIT_EXPECT_EQ(test, fault->address, 0);
	/* Once stopped, for good */
	KUNIT_EXPECT_EQ(test, sbm_call(sbm, plus_one, 41), err);
}

/* === Time === */

/* Whoever looks for a parser that hangs wants to know where */
static void expect_in_loop(struct kunit *test, const struct sbm_fault *fault)
{
	unsigned long start = (unsigned long)count_until_told;

	/* Else objtool finds an address in the middle of a function */
	OPTIMIZER_HIDE_VAR(start);
	KUNIT_EXPECT_NE(test, fault->sp, 0);
	/* There it calls other functions, all the time */
	if (IS_ENABLED(CONFIG_KASAN) || IS_ENABLED(CONFIG_KCOV))
		return;
	KUNIT_EXPECT_GE(test, fault->ip, start);
	KUNIT_EXPECT_LT(test, fault->ip, start + 128);
}

/* Call the loop with these limits, and expect it to end for that reason */
static void expect_out_of_time(struct kunit *test, const struct sbm_attr *attr,
			       u64 limit)
{
	struct shared out = {}, *inside;
	struct sbm sbm;
	int ret;

	KUNIT_ASSERT_EQ(test, sbm_init_attr(&sbm, attr), 0);
	inside = SBM_COPY_INOUT(&sbm, &out, sizeof(out));
	ret = sbm_call(&sbm, count_until_told, inside);
	KUNIT_EXPECT_NOT_NULL(test, sbm_fault(&sbm));
	if (sbm_fault(&sbm)) {
		KUNIT_EXPECT_GE(test, sbm_fault(&sbm)->time, limit);
		expect_in_loop(test, sbm_fault(&sbm));
		kunit_info(test, "limit %llu ns, stopped after %llu ns\n", limit,
			   sbm_fault(&sbm)->time);
	}
	expect_stopped(test, &sbm, ret, -ETIME, SBM_CAUSE_TIME);
	KUNIT_EXPECT_EQ(test, out.started, 0);
	KUNIT_EXPECT_EQ(test, out.count, 0);
	sbm_destroy(&sbm);

	KUNIT_ASSERT_EQ(test, sbm_init(&sbm), 0);
	expect_works(test, &sbm);
	sbm_destroy(&sbm);
}

/* Longer than a tick, which ends it; and shorter, so that a timer does */
static void endless_loop_runs_out_of_time(struct kunit *test)
{
	struct sbm_attr attr = { .min_isolation = SBM_ISOLATION_STRONG, };

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);

	attr.time_limit = 5 * TICK_NSEC + TICK_NSEC / 2;
	expect_out_of_time(test, &attr, attr.time_limit);
	attr.time_limit = TICK_NSEC / 3;
	expect_out_of_time(test, &attr, attr.time_limit);
}

/*
 * Without its tick, a processor ends a stay for a timer of the stay's own. That it was
 * there is seen whatever ends the stay, and whether there was time enough or not.
 */
static void short_limits_have_a_timer(struct kunit *test)
{
	struct sbm_attr attr = { .min_isolation = SBM_ISOLATION_STRONG, };
	struct sbm sbm;
	int ret;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);

	attr.time_limit = TICK_NSEC;
	KUNIT_ASSERT_EQ(test, sbm_init_attr(&sbm, &attr), 0);
	ret = sbm_call(&sbm, plus_one, 1);
	KUNIT_EXPECT_TRUE(test, ret == 2 || ret == -ETIME);
	KUNIT_EXPECT_TRUE(test, sbm.instance->time.armed);
	sbm_destroy(&sbm);

	attr.time_limit = 1000ULL * NSEC_PER_SEC;
	KUNIT_ASSERT_EQ(test, sbm_init_attr(&sbm, &attr), 0);
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, plus_one, 1), 2);
	if (!tick_nohz_full_enabled())
		KUNIT_EXPECT_FALSE(test, sbm.instance->time.armed);
	sbm_destroy(&sbm);
}

static void default_limit_is_the_sysctl(struct kunit *test)
{
	struct sbm sbm;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	KUNIT_EXPECT_NE(test, sbm_time_limit_ms, 0);

	WRITE_ONCE(sbm_time_limit_ms, 200);
	expect_out_of_time(test, NULL, 200 * NSEC_PER_MSEC);

	/* 0 is for ever */
	WRITE_ONCE(sbm_time_limit_ms, 0);
	KUNIT_EXPECT_EQ(test, sbm_init(&sbm), 0);
	KUNIT_EXPECT_EQ(test, sbm.instance->time.limit, SBM_NO_LIMIT);
	expect_works(test, &sbm);
	sbm_destroy(&sbm);
}

/**
 * struct stay - a call by a thread of its own
 * @worker: The thread.
 * @sbm:    The instance.
 * @shared: How to tell the target to come back.
 * @inside: The same as the target sees it.
 */
struct stay {
	struct worker	worker;
	struct sbm	*sbm;
	struct shared	*shared;
	struct shared	*inside;
};

static int stay_thread(struct worker *worker)
{
	struct stay *stay = worker->data;

	return sbm_call(stay->sbm, count_until_told, stay->inside);
}

/* Start a call that lasts, and wait until it is inside; false if there is none */
static bool stay_start_by(struct kunit *test, struct stay *stay, struct sbm *sbm, int cpu,
			  int (*fn)(struct worker *worker))
{
	*stay = (struct stay) {
		.worker	= { .fn = fn, .data = stay, .cpu = cpu, },
		.sbm	= sbm,
		.shared	= alloc_shared(test),
	};
	stay->inside = SBM_MAP_WRITABLE(sbm, stay->shared, sizeof(*stay->shared));
	KUNIT_EXPECT_NOT_NULL(test, stay->inside);
	KUNIT_EXPECT_EQ(test, worker_start(&stay->worker), 0);
	if (!stay->worker.task)
		return false;

	KUNIT_EXPECT_TRUE(test, wait_for_target(stay->shared, &stay->worker));

	return true;
}

static bool stay_start(struct kunit *test, struct stay *stay, struct sbm *sbm, int cpu)
{
	return stay_start_by(test, stay, sbm, cpu, stay_thread);
}

/* The end of it. It ends by itself, or else it is told to, and the test fails. */
static int stay_end(struct kunit *test, struct stay *stay)
{
	KUNIT_EXPECT_NE(test, 0,
			wait_for_completion_timeout(&stay->worker.done,
						    SBM_TEST_PATIENCE));
	WRITE_ONCE(stay->shared->stop, 1);

	return worker_finish(&stay->worker);
}

static void no_limit_is_no_limit(struct kunit *test)
{
	const struct sbm_attr attr = {
		.min_isolation	= SBM_ISOLATION_STRONG,
		.time_limit	= SBM_NO_LIMIT,
	};
	unsigned long count, timeout = jiffies + SBM_TEST_PATIENCE;
	struct stay stay;
	struct sbm sbm;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	WRITE_ONCE(sbm_time_limit_ms, 1);
	KUNIT_EXPECT_EQ(test, sbm_init_attr(&sbm, &attr), 0);
	if (stay_start(test, &stay, &sbm, -1)) {
		/* Far more than a millisecond of its own time */
		count = READ_ONCE(stay.shared->count);
		while (READ_ONCE(stay.shared->count) - count < 5000000 &&
		       time_before(jiffies, timeout))
			schedule_timeout_uninterruptible(1);
		KUNIT_EXPECT_FALSE(test, completion_done(&stay.worker.done));
		WRITE_ONCE(stay.shared->stop, 1);
		KUNIT_EXPECT_EQ(test, worker_finish(&stay.worker), 7);
	}
	KUNIT_EXPECT_EQ(test, sbm_error(&sbm), 0);
	KUNIT_EXPECT_GT(test, sbm.instance->time.call, NSEC_PER_MSEC);
	sbm_destroy(&sbm);
}

static void limit_of_a_call_starts_anew(struct kunit *test)
{
	const struct sbm_attr attr = {
		.min_isolation	= SBM_ISOLATION_STRONG,
		.time_limit	= NSEC_PER_SEC,
	};
	struct sbm sbm;
	int i;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	KUNIT_ASSERT_EQ(test, sbm_init_attr(&sbm, &attr), 0);
	/* As if each had taken most of it */
	for (i = 0; i < 5; i++) {
		sbm.instance->time.call = NSEC_PER_SEC - 1;
		KUNIT_EXPECT_EQ(test, sbm_call(&sbm, plus_one, i), i + 1);
	}
	/* Both may be 0: without a stable TSC the clock does not go on behind a late tick */
	KUNIT_EXPECT_GE(test, sbm.instance->time.total, sbm.instance->time.call);
	KUNIT_EXPECT_LT(test, sbm.instance->time.call, NSEC_PER_SEC - 1);
	KUNIT_EXPECT_EQ(test, sbm_error(&sbm), 0);
	sbm_destroy(&sbm);
}

static void total_limit_is_for_all_calls(struct kunit *test)
{
	const struct sbm_attr attr = {
		.min_isolation	  = SBM_ISOLATION_STRONG,
		.time_limit	  = 20ULL * NSEC_PER_SEC,
		.total_time_limit = 50 * NSEC_PER_MSEC,
	};
	struct sbm sbm;
	u64 sum = 0;
	int calls = 0, ret;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	KUNIT_ASSERT_EQ(test, sbm_init_attr(&sbm, &attr), 0);
	for (;;) {
		ret = sbm_call(&sbm, plus_one, calls);
		sum += sbm.instance->time.call;
		if (ret != calls + 1)
			break;
		calls++;
	}
	KUNIT_EXPECT_GE(test, sum, attr.total_time_limit);
	KUNIT_EXPECT_EQ(test, sum, sbm.instance->time.total);
	expect_stopped(test, &sbm, ret, -ETIME, SBM_CAUSE_TIME);
	kunit_info(test, "%d calls\n", calls);

	/* It starts anew */
	KUNIT_EXPECT_EQ(test, sbm_reset(&sbm), 0);
	expect_works(test, &sbm);
	sbm_destroy(&sbm);
}

/* Alone on a processor, which may have no tick then (nohz_full=) */
static void lonely_loop_runs_out_of_time(struct kunit *test)
{
	const struct sbm_attr attr = {
		.min_isolation	= SBM_ISOLATION_STRONG,
		.time_limit	= NSEC_PER_SEC,
	};
	struct stay stay;
	struct sbm sbm;
	int cpu, ret;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	cpu = cpumask_last(cpu_online_mask);
	KUNIT_EXPECT_EQ(test, sbm_init_attr(&sbm, &attr), 0);
	if (stay_start(test, &stay, &sbm, cpu)) {
		ret = stay_end(test, &stay);
		expect_stopped(test, &sbm, ret, -ETIME, SBM_CAUSE_TIME);
		kunit_info(test, "processor %d, which %s\n", cpu,
			   tick_nohz_full_cpu(cpu) ? "may have no tick" : "has its tick");
	}
	sbm_destroy(&sbm);
}

static void count_ipi(void *data)
{
	atomic_inc(data);
}

/* Interrupts end stay after stay: the time runs all the same */
static void storm_of_interrupts_is_no_escape(struct kunit *test)
{
	const struct sbm_attr attr = {
		.min_isolation	= SBM_ISOLATION_STRONG,
		.time_limit	= NSEC_PER_SEC / 2,
	};
	unsigned long timeout = jiffies + SBM_TEST_PATIENCE;
	atomic_t ipis = ATOMIC_INIT(0);
	struct stay stay;
	struct sbm sbm;
	int cpu, ret;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	if (num_online_cpus() < 2)
		kunit_skip(test, "takes another processor");

	set_cpus_allowed_ptr(current, cpumask_of(cpumask_first(cpu_online_mask)));
	cpu = cpumask_last(cpu_online_mask);
	KUNIT_EXPECT_EQ(test, sbm_init_attr(&sbm, &attr), 0);
	if (stay_start(test, &stay, &sbm, cpu)) {
		while (!completion_done(&stay.worker.done) &&
		       time_before(jiffies, timeout))
			smp_call_function_single(cpu, count_ipi, &ipis, 1);
		ret = stay_end(test, &stay);
		KUNIT_EXPECT_GT(test, atomic_read(&ipis), 0);
		expect_stopped(test, &sbm, ret, -ETIME, SBM_CAUSE_TIME);
	}
	set_cpus_allowed_ptr(current, cpu_possible_mask);
	sbm_destroy(&sbm);
}

/* What runs instead of it does not count */
static void time_of_others_does_not_count(struct kunit *test)
{
	const struct sbm_attr attr = {
		.min_isolation	= SBM_ISOLATION_STRONG,
		.time_limit	= NSEC_PER_SEC / 2,
	};
	struct stay stay[2];
	struct sbm sbm[2];
	int i, ret, cpu;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	cpu = raw_smp_processor_id();
	for (i = 0; i < 2; i++) {
		KUNIT_EXPECT_EQ(test, sbm_init_attr(&sbm[i], &attr), 0);
		stay[i].worker.task = NULL;
	}
	/* Both on one processor */
	for (i = 0; i < 2; i++)
		stay_start(test, &stay[i], &sbm[i], cpu);
	for (i = 0; i < 2; i++) {
		if (!stay[i].worker.task)
			continue;
		ret = stay_end(test, &stay[i]);
		KUNIT_EXPECT_GE(test, sbm[i].instance->time.call, attr.time_limit);
		expect_stopped(test, &sbm[i], ret, -ETIME, SBM_CAUSE_TIME);
	}
	for (i = 0; i < 2; i++)
		sbm_destroy(&sbm[i]);
}

/* Seconds that a call shall last while the watchdogs look; 0 skips the case */
static unsigned int long_call;
module_param_named(long_call, long_call, uint, 0444);

/*
 * A call that lasts, on a processor of its own and on one that it shares: RCU goes on
 * meanwhile, and no watchdog barks (the log tells).
 */
static void long_calls_hold_up_nobody(struct kunit *test)
{
	const struct sbm_attr attr = {
		.min_isolation	= SBM_ISOLATION_STRONG,
		.time_limit	= SBM_NO_LIMIT,
	};
	unsigned long end = jiffies + long_call * HZ;
	struct stay stay[3];
	struct sbm sbm[3];
	int i, periods = 0;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	if (!long_call)
		kunit_skip(test, "only on demand, see Documentation/sandbox/testing.rst");

	for (i = 0; i < ARRAY_SIZE(stay); i++) {
		KUNIT_EXPECT_EQ(test, sbm_init_attr(&sbm[i], &attr), 0);
		stay_start(test, &stay[i], &sbm[i],
			   i ? cpumask_last(cpu_online_mask) : cpumask_first(cpu_online_mask));
	}
	while (time_before(jiffies, end)) {
		synchronize_rcu();
#ifdef CONFIG_TASKS_RCU
		if (!periods)
			synchronize_rcu_tasks();
#endif
		periods++;
		msleep(100);
	}
	for (i = 0; i < ARRAY_SIZE(stay); i++) {
		if (stay[i].worker.task) {
			WRITE_ONCE(stay[i].shared->stop, 1);
			KUNIT_EXPECT_EQ(test, worker_finish(&stay[i].worker), 7);
		}
		KUNIT_EXPECT_EQ(test, sbm_error(&sbm[i]), 0);
		sbm_destroy(&sbm[i]);
	}
	KUNIT_EXPECT_GT(test, periods, 0);
	kunit_info(test, "long calls: %u seconds, %d grace periods\n", long_call, periods);
}

/* === Cancelling === */

static void cancel_ends_a_call(struct kunit *test)
{
	struct stay stay;
	struct sbm sbm;
	int ret;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	KUNIT_EXPECT_EQ(test, sbm_init(&sbm), 0);
	if (stay_start(test, &stay, &sbm, -1)) {
		sbm_cancel(&sbm);
		ret = stay_end(test, &stay);
		if (sbm_fault(&sbm))
			expect_in_loop(test, sbm_fault(&sbm));
		expect_stopped(test, &sbm, ret, -EINTR, SBM_CAUSE_CANCEL);
	}
	KUNIT_EXPECT_EQ(test, sbm_reset(&sbm), 0);
	expect_works(test, &sbm);
	sbm_destroy(&sbm);
}

static void cancel_in_ipi(void *data)
{
	sbm_cancel(data);
}

/* From an interrupt, on the processor that the target is on */
static void cancel_works_in_interrupts(struct kunit *test)
{
	struct stay stay;
	struct sbm sbm;
	int ret, cpu;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	cpu = cpumask_last(cpu_online_mask);
	KUNIT_EXPECT_EQ(test, sbm_init(&sbm), 0);
	if (stay_start(test, &stay, &sbm, cpu)) {
		smp_call_function_single(cpu, cancel_in_ipi, &sbm, 1);
		ret = stay_end(test, &stay);
		expect_stopped(test, &sbm, ret, -EINTR, SBM_CAUSE_CANCEL);
	}
	sbm_destroy(&sbm);
}

static void cancel_before_a_call_prevents_it(struct kunit *test)
{
	u8 out[4] = { 1, 2, 3, 4 }, *inside;
	struct sbm_attr attr = {};
	struct sbm sbm;
	int flag;

	skip_if_isolation_below(test, SBM_ISOLATION_WEAK);
	sbm_cancel(NULL);
	for (flag = 0; flag < 2; flag++) {
		attr.flags = flag ? SBM_ATTR_WEAK : 0;
		KUNIT_ASSERT_EQ(test, sbm_init_attr(&sbm, &attr), 0);
		inside = SBM_COPY_OUT(&sbm, out, sizeof(out));
		sbm_cancel(&sbm);
		expect_stopped(test, &sbm, sbm_call(&sbm, read_byte, inside), -EINTR,
			       SBM_CAUSE_CANCEL);
		KUNIT_EXPECT_EQ(test, out[0], 1);
		KUNIT_EXPECT_EQ(test, sbm_reset(&sbm), 0);
		expect_works(test, &sbm);
		sbm_destroy(&sbm);
		sbm_cancel(&sbm);
	}
}

static int calls_thread(struct worker *worker)
{
	struct stay *stay = worker->data;
	int ret, n = 0;

	do {
		ret = sbm_call(stay->sbm, plus_one, n);
		WRITE_ONCE(stay->shared->started, 1);
	} while (ret == ++n);

	return ret;
}

/* Whatever the moment, none is missed */
static void no_cancel_is_lost(struct kunit *test)
{
	struct stay stay = { .shared = alloc_shared(test), };
	struct sbm sbm;
	int i;

	skip_if_isolation_below(test, SBM_ISOLATION_WEAK);
	KUNIT_EXPECT_EQ(test, sbm_init(&sbm), 0);
	stay.sbm = &sbm;
	for (i = 0; i < 200; i++) {
		stay.worker = (struct worker) {
			.fn = calls_thread, .data = &stay, .cpu = -1,
		};
		WRITE_ONCE(stay.shared->started, 0);
		KUNIT_EXPECT_EQ(test, worker_start(&stay.worker), 0);
		if (!stay.worker.task)
			break;
		while (!READ_ONCE(stay.shared->started))
			cond_resched();
		sbm_cancel(&sbm);
		KUNIT_EXPECT_EQ(test, worker_finish(&stay.worker), -EINTR);
		KUNIT_EXPECT_EQ(test, sbm_reset(&sbm), 0);
	}
	expect_works(test, &sbm);
	sbm_destroy(&sbm);
}

/* === Freezing === */

#ifdef CONFIG_FREEZER

static int freezable_thread(struct worker *worker)
{
	set_freezable();

	return stay_thread(worker);
}

static void expect_frozen(struct kunit *test, bool want)
{
	const struct sbm_attr attr = {
		.min_isolation	= SBM_ISOLATION_STRONG,
		.flags		= want ? SBM_ATTR_FREEZABLE : 0,
		.time_limit	= SBM_NO_LIMIT,
	};
	unsigned long count, timeout;
	unsigned int flags;
	struct stay stay;
	struct sbm sbm;
	u64 time;

	KUNIT_EXPECT_EQ(test, sbm_init_attr(&sbm, &attr), 0);
	if (stay_start_by(test, &stay, &sbm, -1, freezable_thread)) {
		flags = freezer_on();
		KUNIT_EXPECT_EQ(test, want, freezes(stay.worker.task,
						    want ? SBM_TEST_PATIENCE : HZ));
		count = READ_ONCE(stay.shared->count);
		time = READ_ONCE(sbm.instance->time.total);
		schedule_timeout_uninterruptible(HZ / 4);
		if (want) {
			KUNIT_EXPECT_EQ(test, READ_ONCE(stay.shared->count), count);
			KUNIT_EXPECT_EQ(test, READ_ONCE(sbm.instance->time.total), time);
		}
		freezer_off(flags);

		/* It goes on, where it was */
		timeout = jiffies + SBM_TEST_PATIENCE;
		while (READ_ONCE(stay.shared->count) == count &&
		       time_before(jiffies, timeout))
			schedule_timeout_uninterruptible(1);
		KUNIT_EXPECT_GT(test, READ_ONCE(stay.shared->count), count);
		WRITE_ONCE(stay.shared->stop, 1);
		KUNIT_EXPECT_EQ(test, worker_finish(&stay.worker), 7);
	}
	KUNIT_EXPECT_EQ(test, sbm_error(&sbm), 0);
	sbm_destroy(&sbm);
}

#else

static void expect_frozen(struct kunit *test, bool want)
{
	kunit_skip(test, "no CONFIG_FREEZER");
}

#endif

static void other_calls_are_not_frozen(struct kunit *test)
{
	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	expect_frozen(test, false);
}

static void freezable_call_is_frozen(struct kunit *test)
{
	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	expect_frozen(test, true);
}

/* === Memory === */

static void memory_limit_is_kept(struct kunit *test)
{
	struct sbm_attr attr = { .min_isolation = SBM_ISOLATION_STRONG, };
	long before = sbm_pages_in_use();
	unsigned long idle;
	struct sbm sbm;
	u8 *inside, byte = 5;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);

	KUNIT_ASSERT_EQ(test, sbm_init_attr(&sbm, &attr), 0);
	idle = sbm.instance->memory.nr_pages;
	KUNIT_EXPECT_EQ(test, sbm_pages_in_use() - before, (long)idle);
	sbm_destroy(&sbm);

	/* Each number of pages that is too small, with nothing left over */
	for (attr.memory_limit = PAGE_SIZE; attr.memory_limit < idle * PAGE_SIZE;
	     attr.memory_limit += PAGE_SIZE) {
		KUNIT_EXPECT_EQ(test, sbm_init_attr(&sbm, &attr), -ENOSPC);
		KUNIT_EXPECT_EQ(test, sbm_error(&sbm), -ENOSPC);
		KUNIT_EXPECT_EQ(test, sbm_pages_in_use(), before);
		sbm_destroy(&sbm);
	}

	/* Enough for one buffer */
	attr.memory_limit = (idle + 1) * PAGE_SIZE + PAGE_SIZE / 2;
	KUNIT_ASSERT_EQ(test, sbm_init_attr(&sbm, &attr), 0);
	inside = SBM_COPY_IN(&sbm, &byte, 1);
	KUNIT_EXPECT_NOT_NULL(test, inside);
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, read_byte, inside), 5);
	KUNIT_EXPECT_NULL(test, SBM_COPY_IN(&sbm, &byte, 1));
	KUNIT_EXPECT_EQ(test, sbm_error(&sbm), -ENOSPC);
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, read_byte, inside), -ENOSPC);
	KUNIT_EXPECT_NULL(test, sbm_fault(&sbm));

	/* Room for it again */
	KUNIT_EXPECT_EQ(test, sbm_reset(&sbm), 0);
	inside = SBM_COPY_IN(&sbm, &byte, 1);
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, read_byte, inside), 5);
	sbm_destroy(&sbm);
	KUNIT_EXPECT_EQ(test, sbm_pages_in_use(), before);
}

/* The caller's own pages are the caller's */
static void mapped_pages_do_not_count(struct kunit *test)
{
	struct sbm_attr attr = { .min_isolation = SBM_ISOLATION_STRONG, };
	u8 *page = kunit_kzalloc(test, 8 * PAGE_SIZE, GFP_KERNEL);
	struct sbm sbm;
	u8 *inside;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	KUNIT_ASSERT_NOT_NULL(test, page);
	KUNIT_ASSERT_EQ(test, sbm_init_attr(&sbm, &attr), 0);
	attr.memory_limit = sbm.instance->memory.nr_pages * PAGE_SIZE;
	sbm_destroy(&sbm);

	page[0] = 9;
	KUNIT_ASSERT_EQ(test, sbm_init_attr(&sbm, &attr), 0);
	inside = SBM_MAP_READONLY(&sbm, page, 8 * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, read_byte, inside), 9);
	sbm_destroy(&sbm);
}

static void memory_of_all_is_limited(struct kunit *test)
{
	long before = sbm_pages_in_use();
	struct sbm sbm, other;
	u8 byte = 5, *inside;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	KUNIT_EXPECT_GT(test, sbm_max_pages, before);
	KUNIT_EXPECT_LT(test, sbm_max_pages, totalram_pages());

	KUNIT_ASSERT_EQ(test, sbm_init(&sbm), 0);
	WRITE_ONCE(sbm_max_pages, sbm_pages_in_use() + 3);
	KUNIT_EXPECT_EQ(test, sbm_init(&other), -ENOMEM);
	inside = SBM_COPY_IN(&sbm, &byte, 1);
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, read_byte, inside), 5);
	WRITE_ONCE(sbm_max_pages, 0);
	KUNIT_EXPECT_NULL(test, SBM_COPY_IN(&sbm, &byte, 1));
	KUNIT_EXPECT_EQ(test, sbm_error(&sbm), -ENOMEM);
	sbm_destroy(&sbm);
	KUNIT_EXPECT_EQ(test, sbm_pages_in_use(), before);
}

static void senseless_limits_are_refused(struct kunit *test)
{
	const struct sbm_attr attr = { .memory_limit = PAGE_SIZE - 1, };
	struct sbm sbm;

	KUNIT_EXPECT_EQ(test, sbm_init_attr(&sbm, &attr), -EINVAL);
	KUNIT_EXPECT_EQ(test, sbm_error(&sbm), -EINVAL);
}

/* === Reset === */

static SBM_DEFINE_FUNC(fill_page, u8 *, page, u8, value)
{
	memset(page, value, PAGE_SIZE);

	return value;
}

/* What was mapped before is there no more, and what is there now is clean */
static void reset_leaves_nothing_behind(struct kunit *test)
{
	u8 *page = kunit_kzalloc(test, PAGE_SIZE, GFP_KERNEL);
	u8 *first, *second, *again;
	unsigned long idle;
	struct sbm sbm;
	u8 byte = 7;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	KUNIT_ASSERT_NOT_NULL(test, page);
	KUNIT_ASSERT_EQ(test, sbm_init(&sbm), 0);
	idle = sbm.instance->memory.nr_pages;

	first = SBM_COPY_INOUT(&sbm, page, PAGE_SIZE);
	second = SBM_COPY_IN(&sbm, &byte, 1);
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, fill_page, first, 0x55), 0x55);
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, read_byte, second), 7);
	KUNIT_EXPECT_EQ(test, page[17], 0x55);
	page[17] = 0;

	KUNIT_EXPECT_EQ(test, sbm_reset(&sbm), 0);
	KUNIT_EXPECT_TRUE(test, list_empty(&sbm.instance->buffers));
	KUNIT_EXPECT_EQ(test, sbm.instance->memory.nr_pages, idle);
	expect_works(test, &sbm);

	/* At the same place, with another content */
	again = SBM_COPY_IN(&sbm, page, 100);
	KUNIT_EXPECT_PTR_EQ(test, again, first);
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, read_byte, again + 17), 0);
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, read_byte, again + 100), 0);
	/* It is read-only now, and the other one is not there */
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, fill_page, again, 1), -EFAULT);
	KUNIT_EXPECT_EQ(test, sbm_fault(&sbm)->cause, SBM_CAUSE_PAGE_FAULT);
	KUNIT_EXPECT_EQ(test, sbm_fault(&sbm)->address, (unsigned long)again);
	KUNIT_EXPECT_EQ(test, sbm_reset(&sbm), 0);
	KUNIT_EXPECT_NULL(test, sbm_fault(&sbm));
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, read_byte, second), -EFAULT);
	KUNIT_EXPECT_EQ(test, sbm_fault(&sbm)->address, (unsigned long)second);
	KUNIT_EXPECT_EQ(test, sbm_reset(&sbm), 0);
	expect_works(test, &sbm);
	sbm_destroy(&sbm);
	/* Nothing was copied out that must not be */
	KUNIT_EXPECT_EQ(test, page[17], 0);
}

static noinline int leave_mark(u8 mark)
{
	/* Within the limit that frames have, in words of any size */
	u8 array[24 * BITS_PER_LONG];
	u8 *p = array;

	OPTIMIZER_HIDE_VAR(p);
	memset(p, mark, sizeof(array));
	barrier_data(p);

	return p[100];
}

static SBM_DEFINE_FUNC(mark_stack, u8, mark, unsigned long *, sp)
{
	*sp = (unsigned long)__builtin_frame_address(0);

	return leave_mark(mark);
}

static void reset_scrubs_the_stack(struct kunit *test)
{
	unsigned long sp = 0;
	const u8 *addr;
	struct sbm sbm;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	KUNIT_ASSERT_EQ(test, sbm_init(&sbm), 0);
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, mark_stack, 0x77,
				       SBM_COPY_OUT(&sbm, &sp, sizeof(sp))), 0x77);
	addr = (const u8 *)sp - 1024;
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, read_byte, addr), 0x77);
	KUNIT_EXPECT_EQ(test, sbm_reset(&sbm), 0);
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, read_byte, addr), 0);
	KUNIT_EXPECT_EQ(test, sbm_error(&sbm), 0);
	sbm_destroy(&sbm);
}

/* Buffers that have filled several tables, one after the other */
static void reset_frees_tables(struct kunit *test)
{
	const size_t size = 3 * SZ_2M;
	long before = sbm_pages_in_use();
	u8 *buf = kvzalloc(size, GFP_KERNEL);
	u8 *inside, *first = NULL;
	unsigned long idle;
	struct sbm sbm;
	int i;

	if (sbm_isolation() < SBM_ISOLATION_STRONG || !buf) {
		kvfree(buf);
		kunit_skip(test, "no strong isolation on this system");
	}
	KUNIT_EXPECT_EQ(test, sbm_init(&sbm), 0);
	idle = sbm.instance->memory.nr_pages;
	for (i = 0; i < 4; i++) {
		buf[size - 1] = i;
		inside = SBM_COPY_IN(&sbm, buf, size);
		if (!first)
			first = inside;
		KUNIT_EXPECT_PTR_EQ(test, inside, first);
		KUNIT_EXPECT_EQ(test, sbm_call(&sbm, read_byte, inside + size - 1), i);
		KUNIT_EXPECT_EQ(test, sbm_reset(&sbm), 0);
		KUNIT_EXPECT_EQ(test, sbm.instance->memory.nr_pages, idle);
	}
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, read_byte, first + size - 1), -EFAULT);
	sbm_destroy(&sbm);
	KUNIT_EXPECT_EQ(test, sbm_pages_in_use(), before);
	kvfree(buf);
}

static void reset_has_its_rules(struct kunit *test)
{
	struct stay stay;
	struct sbm sbm;

	KUNIT_EXPECT_EQ(test, sbm_reset(NULL), -EINVAL);
	KUNIT_ASSERT_EQ(test, sbm_init(&sbm), 0);
	KUNIT_EXPECT_EQ(test, sbm_reset(&sbm), 0);
	local_irq_disable();
	KUNIT_EXPECT_EQ(test, sbm_reset(&sbm), -EINVAL);
	local_irq_enable();
	if (sbm_instance_isolation(&sbm) >= SBM_ISOLATION_WEAK &&
	    stay_start(test, &stay, &sbm, -1)) {
		KUNIT_EXPECT_EQ(test, sbm_reset(&sbm), -EBUSY);
		WRITE_ONCE(stay.shared->stop, 1);
		KUNIT_EXPECT_EQ(test, worker_finish(&stay.worker), 7);
	}
	KUNIT_EXPECT_EQ(test, sbm_reset(&sbm), 0);
	expect_works(test, &sbm);
	sbm_destroy(&sbm);
	KUNIT_EXPECT_EQ(test, sbm_reset(&sbm), -EINVAL);
}

/* A buffer that could not be had is forgotten as well */
static void reset_forgets_errors(struct kunit *test)
{
	struct sbm sbm;

	skip_if_isolation_below(test, SBM_ISOLATION_WEAK);
	KUNIT_ASSERT_EQ(test, sbm_init(&sbm), 0);
	KUNIT_EXPECT_NULL(test, SBM_COPY_IN(&sbm, (u8 *)NULL, 5));
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, plus_one, 1), -EINVAL);
	KUNIT_EXPECT_EQ(test, sbm_reset(&sbm), 0);
	expect_works(test, &sbm);
	sbm_destroy(&sbm);
}

/* === Pools === */

static void pool_instances_are_as_new(struct kunit *test)
{
	long before = sbm_pages_in_use();
	struct sbm_instance *inst;
	struct sbm_pool *pool;
	struct sbm sbm, other;
	u8 byte = 3, *inside;
	long full;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	pool = sbm_pool_create(NULL, 2);
	KUNIT_ASSERT_FALSE(test, IS_ERR(pool));
	full = sbm_pages_in_use();
	KUNIT_EXPECT_GT(test, full, before);

	KUNIT_EXPECT_EQ(test, sbm_pool_get(pool, &sbm), 0);
	KUNIT_EXPECT_EQ(test, sbm_pool_get(pool, &other), 0);
	KUNIT_EXPECT_EQ(test, sbm_pages_in_use(), full);
	inst = sbm.instance;
	KUNIT_EXPECT_PTR_NE(test, inst, other.instance);
	inside = SBM_COPY_IN(&sbm, &byte, 1);
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, read_byte, inside), 3);
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, read_byte, NULL), -EFAULT);
	sbm_pool_put(pool, &sbm);
	KUNIT_EXPECT_EQ(test, sbm_error(&sbm), -EINVAL);
	KUNIT_EXPECT_EQ(test, sbm_pages_in_use(), full);
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, plus_one, 1), -EINVAL);

	/* The same one, and nothing of it */
	KUNIT_EXPECT_EQ(test, sbm_pool_get(pool, &sbm), 0);
	KUNIT_EXPECT_PTR_EQ(test, sbm.instance, inst);
	expect_works(test, &sbm);
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, read_byte, inside), -EFAULT);
	sbm_pool_put(pool, &sbm);
	sbm_pool_put(pool, &other);
	sbm_pool_destroy(pool);
	KUNIT_EXPECT_EQ(test, sbm_pages_in_use(), before);
}

/* More are to be had than it keeps */
static void pool_keeps_no_more_than_told(struct kunit *test)
{
	long before = sbm_pages_in_use();
	struct sbm_pool *pool;
	struct sbm sbm[3];
	long one;
	int i;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	pool = sbm_pool_create(NULL, 1);
	KUNIT_ASSERT_FALSE(test, IS_ERR(pool));
	one = sbm_pages_in_use() - before;
	for (i = 0; i < ARRAY_SIZE(sbm); i++)
		KUNIT_EXPECT_EQ(test, sbm_pool_get(pool, &sbm[i]), 0);
	KUNIT_EXPECT_EQ(test, sbm_pages_in_use() - before, 3 * one);
	for (i = 0; i < ARRAY_SIZE(sbm); i++) {
		expect_works(test, &sbm[i]);
		sbm_pool_put(pool, &sbm[i]);
	}
	KUNIT_EXPECT_EQ(test, sbm_pages_in_use() - before, one);
	sbm_pool_destroy(pool);
	KUNIT_EXPECT_EQ(test, sbm_pages_in_use(), before);
}

static void pool_shrinks_under_pressure(struct kunit *test)
{
	unsigned long timeout = jiffies + SBM_TEST_PATIENCE;
	long before = sbm_pages_in_use();
	struct sbm_pool *pool;
	struct sbm sbm;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	pool = sbm_pool_create(NULL, 8);
	KUNIT_ASSERT_FALSE(test, IS_ERR(pool));
	KUNIT_EXPECT_GT(test, sbm_pages_in_use(), before);
	while (sbm_pages_in_use() > before && time_before(jiffies, timeout)) {
		/* What /proc/sys/vm/drop_caches does */
		drop_slab();
		schedule_timeout_uninterruptible(1);
	}
	KUNIT_EXPECT_EQ(test, sbm_pages_in_use(), before);

	KUNIT_EXPECT_EQ(test, sbm_pool_get(pool, &sbm), 0);
	expect_works(test, &sbm);
	sbm_pool_put(pool, &sbm);
	sbm_pool_destroy(pool);
	KUNIT_EXPECT_EQ(test, sbm_pages_in_use(), before);
}

static void pool_has_its_rules(struct kunit *test)
{
	const struct sbm_attr wrong = { .flags = 0x8000, };
	struct sbm_pool *pool;
	struct sbm sbm;

	pool = sbm_pool_create(&wrong, 3);
	KUNIT_EXPECT_TRUE(test, IS_ERR(pool));
	KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(pool), -EINVAL);
	sbm_pool_destroy(pool);
	sbm_pool_destroy(NULL);

	/* One that keeps none */
	pool = sbm_pool_create(NULL, 0);
	KUNIT_ASSERT_FALSE(test, IS_ERR(pool));
	KUNIT_EXPECT_EQ(test, sbm_pool_get(pool, NULL), -EINVAL);
	KUNIT_EXPECT_EQ(test, sbm_pool_get(pool, &sbm), 0);
	expect_works(test, &sbm);
	sbm_pool_put(pool, &sbm);
	/* Twice is none too many */
	sbm_pool_put(pool, &sbm);
	sbm_pool_destroy(pool);
}

static int pool_thread(struct worker *worker)
{
	struct sbm_pool *pool = worker->data;
	struct sbm sbm;
	int i, ret;

	for (i = 0; i < 300; i++) {
		ret = sbm_pool_get(pool, &sbm);
		if (!ret)
			ret = sbm_call(&sbm, plus_one, i) - i - 1;
		sbm_pool_put(pool, &sbm);
		if (ret)
			return ret;
	}

	return 0;
}

static void pool_serves_many_threads(struct kunit *test)
{
	long before = sbm_pages_in_use();
	struct worker workers[4];
	struct sbm_pool *pool;
	int i;

	skip_if_isolation_below(test, SBM_ISOLATION_WEAK);
	pool = sbm_pool_create(NULL, 2);
	KUNIT_ASSERT_FALSE(test, IS_ERR(pool));
	for (i = 0; i < ARRAY_SIZE(workers); i++) {
		workers[i] = (struct worker) {
			.fn = pool_thread, .data = pool, .cpu = -1,
		};
		KUNIT_EXPECT_EQ(test, worker_start(&workers[i]), 0);
	}
	for (i = 0; i < ARRAY_SIZE(workers); i++)
		KUNIT_EXPECT_EQ(test, worker_finish(&workers[i]), 0);
	sbm_pool_destroy(pool);
	KUNIT_EXPECT_EQ(test, sbm_pages_in_use(), before);
}

/* === Allocations that fail === */

/* One call with all kinds of buffers */
static int try_call(struct kunit *test, u8 *page)
{
	const struct sbm_attr attr = { .min_isolation = SBM_ISOLATION_STRONG, };
	static const struct sbm_field fields[] = { SBM_FIELD_IN(struct shared, count), };
	u8 *in, *out, *mapped;
	struct shared *some;
	struct sbm sbm;
	int ret;

	ret = sbm_init_attr(&sbm, &attr);
	KUNIT_EXPECT_EQ(test, sbm_error(&sbm), ret);
	in = SBM_COPY_IN(&sbm, page, 3 * PAGE_SIZE);
	out = SBM_COPY_INOUT(&sbm, page, 10);
	some = SBM_COPY_FIELDS(&sbm, (struct shared *)page, fields);
	mapped = SBM_MAP_READONLY(&sbm, page, 2 * PAGE_SIZE);
	ret = sbm_call(&sbm, read_byte, mapped);
	/* All of it, or an error that stays */
	if (ret != page[0]) {
		KUNIT_EXPECT_EQ(test, ret, -ENOMEM);
		KUNIT_EXPECT_EQ(test, sbm_error(&sbm), -ENOMEM);
		KUNIT_EXPECT_EQ(test, sbm_call(&sbm, plus_one, 1), -ENOMEM);
	} else {
		KUNIT_EXPECT_NOT_NULL(test, in);
		KUNIT_EXPECT_NOT_NULL(test, out);
		KUNIT_EXPECT_NOT_NULL(test, some);
	}
	sbm_destroy(&sbm);

	return ret == page[0] ? 0 : ret;
}

static int try_reset(struct kunit *test, u8 *page)
{
	struct sbm sbm;
	int ret;

	ret = sbm_init(&sbm);
	if (!ret) {
		SBM_COPY_IN(&sbm, page, 10);
		/* Needs no memory */
		KUNIT_EXPECT_EQ(test, sbm_reset(&sbm), 0);
		KUNIT_EXPECT_EQ(test, sbm_call(&sbm, plus_one, 1), 2);
	}
	sbm_destroy(&sbm);

	return ret;
}

static int try_pool(struct kunit *test, u8 *page)
{
	struct sbm_pool *pool = sbm_pool_create(NULL, 1);
	struct sbm sbm, other;
	int ret;

	if (IS_ERR(pool))
		return PTR_ERR(pool);

	ret = sbm_pool_get(pool, &sbm);
	KUNIT_EXPECT_EQ(test, ret, 0);
	ret = sbm_pool_get(pool, &other);
	if (!ret)
		KUNIT_EXPECT_EQ(test, sbm_call(&other, plus_one, 1), 2);
	sbm_pool_put(pool, &other);
	sbm_pool_put(pool, &sbm);
	sbm_pool_destroy(pool);

	return ret;
}

struct attempt {
	int	(*fn)(struct kunit *test, u8 *page);
	u8	*page;
};

static int try_one(struct kunit *test, void *data)
{
	const struct attempt *attempt = data;
	int ret = attempt->fn(test, attempt->page);

	KUNIT_EXPECT_EQ(test, attempt->page[0], 77);

	return ret;
}

static void allocations_that_fail_leave_nothing(struct kunit *test)
{
	static int (* const tries[])(struct kunit *test, u8 *page) = {
		try_call, try_reset, try_pool,
	};
	struct attempt attempt = {
		.page = kunit_kzalloc(test, 3 * PAGE_SIZE, GFP_KERNEL),
	};
	int i, failed = 0, refused = 0;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	KUNIT_ASSERT_NOT_NULL(test, attempt.page);
	attempt.page[0] = 77;
	for (i = 0; i < ARRAY_SIZE(tries); i++) {
		attempt.fn = tries[i];
		fail_each_allocation(test, try_one, &attempt, sbm_pages_in_use, &failed,
				     &refused);
	}
	/*
	 * Not skipped: KUnit would not run it again. What KASAN allocates may not wait, and
	 * may fail.
	 */
	if (!refused) {
		kunit_info(test, "no fault is injected into allocations that may wait\n");
		return;
	}
	KUNIT_EXPECT_GT(test, refused, failed / 2);
	kunit_info(test, "%d allocations failed, one at a time; %d errors\n", failed, refused);
}

static struct kunit_case sbm_limits_cases[] = {
	KUNIT_CASE(endless_loop_runs_out_of_time),
	KUNIT_CASE(short_limits_have_a_timer),
	KUNIT_CASE(default_limit_is_the_sysctl),
	KUNIT_CASE(no_limit_is_no_limit),
	KUNIT_CASE(limit_of_a_call_starts_anew),
	KUNIT_CASE(total_limit_is_for_all_calls),
	KUNIT_CASE(lonely_loop_runs_out_of_time),
	KUNIT_CASE(storm_of_interrupts_is_no_escape),
	KUNIT_CASE(time_of_others_does_not_count),
	KUNIT_CASE_SLOW(long_calls_hold_up_nobody),
	KUNIT_CASE(cancel_ends_a_call),
	KUNIT_CASE(cancel_works_in_interrupts),
	KUNIT_CASE(cancel_before_a_call_prevents_it),
	KUNIT_CASE(no_cancel_is_lost),
	KUNIT_CASE(freezable_call_is_frozen),
	KUNIT_CASE(other_calls_are_not_frozen),
	KUNIT_CASE(memory_limit_is_kept),
	KUNIT_CASE(mapped_pages_do_not_count),
	KUNIT_CASE(memory_of_all_is_limited),
	KUNIT_CASE(senseless_limits_are_refused),
	KUNIT_CASE(reset_leaves_nothing_behind),
	KUNIT_CASE(reset_scrubs_the_stack),
	KUNIT_CASE(reset_frees_tables),
	KUNIT_CASE(reset_has_its_rules),
	KUNIT_CASE(reset_forgets_errors),
	KUNIT_CASE(pool_instances_are_as_new),
	KUNIT_CASE(pool_keeps_no_more_than_told),
	KUNIT_CASE(pool_shrinks_under_pressure),
	KUNIT_CASE(pool_has_its_rules),
	KUNIT_CASE(pool_serves_many_threads),
	KUNIT_CASE(allocations_that_fail_leave_nothing),
	{}
};

/* Cases change these, and may end early */
static unsigned int saved_time_limit_ms;
static unsigned long saved_max_pages;

static int sbm_limits_init(struct kunit *test)
{
	saved_time_limit_ms = READ_ONCE(sbm_time_limit_ms);
	saved_max_pages = READ_ONCE(sbm_max_pages);

	return 0;
}

static void sbm_limits_exit(struct kunit *test)
{
	WRITE_ONCE(sbm_time_limit_ms, saved_time_limit_ms);
	WRITE_ONCE(sbm_max_pages, saved_max_pages);
}

static struct kunit_suite sbm_limits_suite = {
	.name		= "sbm_limits",
	.init		= sbm_limits_init,
	.exit		= sbm_limits_exit,
	.test_cases	= sbm_limits_cases,
};

kunit_test_suite(sbm_limits_suite);

MODULE_DESCRIPTION("KUnit suite for the limits of sandbox mode");
MODULE_LICENSE("GPL");
