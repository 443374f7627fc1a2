/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Sandbox mode (SBM): helpers that the KUnit suites share.
 */
#ifndef _SBM_KUNIT_H
#define _SBM_KUNIT_H

#include <kunit/test.h>
#include <linux/completion.h>
#include <linux/err.h>
#include <linux/freezer.h>
#include <linux/gfp.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/rcupdate.h>
#include <linux/sbm.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/suspend.h>

/* Longest time that a test waits for anything, in jiffies */
#define SBM_TEST_PATIENCE	(60 * HZ)

/*
 * Where nobody has anything. In the kernel's half, because KASAN does not let compiled
 * code get as far as an access to the other one.
 */
#define SBM_TEST_NOWHERE	(-PAGE_SIZE + 8)

static inline void skip_if_isolation_below(struct kunit *test,
					   enum sbm_isolation level)
{
	if (sbm_isolation() >= level)
		return;
	if (level == SBM_ISOLATION_STRONG)
		kunit_skip(test, "no strong isolation on this system");
	kunit_skip(test, "no isolation on this system");
}

/* An instance that has at least the isolation @level; the test ends without */
static inline void init_at_least(struct kunit *test, struct sbm *sbm,
				 enum sbm_isolation level)
{
	const struct sbm_attr attr = { .min_isolation = level, };

	KUNIT_ASSERT_EQ(test, sbm_init_attr(sbm, &attr), 0);
}

/**
 * struct worker - a kernel thread that does one thing for a test
 * @fn:	    What it does.
 * @data:   For @fn.
 * @cpu:    CPU that it is bound to, -1 for none.
 * @result: What @fn has returned.
 * @task:   The thread, NULL if it could not be started.
 * @done:   Completed when @fn has returned.
 */
struct worker {
	int			(*fn)(struct worker *worker);
	void			*data;
	int			cpu;
	int			result;
	struct task_struct	*task;
	struct completion	done;
};

static inline int worker_thread(void *data)
{
	struct worker *worker = data;

	worker->result = worker->fn(worker);
	complete_all(&worker->done);

	return 0;
}

static inline int worker_start(struct worker *worker)
{
	struct task_struct *task;

	init_completion(&worker->done);
	worker->result = -EINPROGRESS;
	worker->task = NULL;
	task = kthread_create(worker_thread, worker, "sbm_test");
	if (IS_ERR(task))
		return PTR_ERR(task);

	if (worker->cpu >= 0)
		kthread_bind(task, worker->cpu);
	worker->task = get_task_struct(task);
	wake_up_process(task);

	return 0;
}

/* Wait for the end of @worker, and of its thread */
static inline int worker_finish(struct worker *worker)
{
	if (!worker->task)
		return -ESRCH;

	wait_for_completion(&worker->done);
	kthread_stop_put(worker->task);
	worker->task = NULL;

	return worker->result;
}

/**
 * struct shared - a page that a target and a test see while the target runs
 * @started: Set by the target.
 * @count:   Counted up by the target.
 * @stop:    Set by the test: the target shall return.
 */
struct shared {
	unsigned long	started;
	unsigned long	count;
	unsigned long	stop;
};

/* Freed when the test ends */
static inline struct shared *alloc_shared(struct kunit *test)
{
	struct shared *shared = kunit_kzalloc(test, PAGE_SIZE, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, shared);

	return shared;
}

/* Wait until the target that @worker has called is inside */
static inline bool wait_for_target(struct shared *shared, struct worker *worker)
{
	unsigned long timeout = jiffies + SBM_TEST_PATIENCE;

	while (!READ_ONCE(shared->started)) {
		if (time_after(jiffies, timeout) ||
		    completion_done(&worker->done))
			return false;
		schedule_timeout_uninterruptible(1);
	}

	return true;
}

/* Does the target that counts get beyond @before? However slow the machine is. */
static inline bool counts_beyond(struct shared *shared, unsigned long before,
				 struct worker *worker)
{
	unsigned long timeout = jiffies + SBM_TEST_PATIENCE;

	while (READ_ONCE(shared->count) == before) {
		if (time_after(jiffies, timeout) ||
		    completion_done(&worker->done))
			return false;
		schedule_timeout_uninterruptible(1);
	}

	return true;
}

/* Does it go on, and has it not ended? */
static inline bool goes_on(struct shared *shared, struct worker *worker)
{
	return counts_beyond(shared, READ_ONCE(shared->count), worker);
}

/* === Freezing === */

#ifdef CONFIG_FREEZER

/*
 * As if the system was going to sleep, but nobody is asked to freeze. Whoever does so
 * on his own is thawed afterwards.
 */
static inline unsigned int freezer_on(void)
{
	unsigned int flags = lock_system_sleep();

	static_branch_inc(&freezer_active);
	pm_nosig_freezing = true;

	return flags;
}

/* @flags: what freezer_on() has returned */
static inline void freezer_off(unsigned int flags)
{
	struct task_struct *p, *t;

	pm_nosig_freezing = false;
	static_branch_dec(&freezer_active);
	rcu_read_lock();
	for_each_process_thread(p, t)
		__thaw_task(t);
	rcu_read_unlock();
	unlock_system_sleep(flags);
}

/*
 * Is @task frozen in time, if it is asked to? Looks once and believes it: a task that is
 * thawed says for a moment that it is frozen, before it finds that nobody wants it to.
 */
static inline bool freezes(struct task_struct *task, unsigned long patience)
{
	unsigned long timeout = jiffies + patience;

	while (!frozen(task)) {
		if (time_after_eq(jiffies, timeout))
			return false;
		freeze_task(task);
		schedule_timeout_uninterruptible(1);
	}

	return true;
}

#endif /* CONFIG_FREEZER */

/* === Allocations that fail === */

#if defined(CONFIG_FAILSLAB) && defined(CONFIG_FAIL_PAGE_ALLOC)

/*
 * Have each allocation of @try fail in its turn, and nothing else. User space must allow
 * for it first, see Documentation/sandbox/testing.rst: at boot none does. @try gives
 * back what it takes, of which @pages counts pages, and returns 0 or -ENOMEM. Adds to
 * @failed how many allocations have failed, and to @refused how many of them were errors.
 */
static inline void fail_each_allocation(struct kunit *test,
					int (*try)(struct kunit *test, void *data),
					void *data, long (*pages)(void),
					int *failed, int *refused)
{
	int n;

	for (n = 1; n < 1000; n++) {
		long before = pages();
		bool fired;
		int ret;

		WRITE_ONCE(current->fail_nth, n);
		ret = try(test, data);
		fired = !READ_ONCE(current->fail_nth);
		WRITE_ONCE(current->fail_nth, 0);

		KUNIT_EXPECT_EQ(test, pages(), before);
		if (ret) {
			KUNIT_EXPECT_EQ(test, ret, -ENOMEM);
			KUNIT_EXPECT_TRUE(test, fired);
			(*refused)++;
		}
		*failed += fired;
		if (!fired)
			break;
	}
	KUNIT_EXPECT_LT(test, n, 1000);
	KUNIT_EXPECT_EQ(test, try(test, data), 0);
}

#else

static inline void fail_each_allocation(struct kunit *test,
					int (*try)(struct kunit *test, void *data),
					void *data, long (*pages)(void),
					int *failed, int *refused)
{
	kunit_skip(test, "takes CONFIG_FAILSLAB and CONFIG_FAIL_PAGE_ALLOC");
}

#endif

#endif /* _SBM_KUNIT_H */
