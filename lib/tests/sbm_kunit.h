/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Sandbox mode (SBM): helpers that the KUnit suites share.
 */
#ifndef _SBM_KUNIT_H
#define _SBM_KUNIT_H

#include <kunit/test.h>
#include <linux/completion.h>
#include <linux/err.h>
#include <linux/gfp.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/sbm.h>
#include <linux/sched.h>
#include <linux/sched/task.h>

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

#endif /* _SBM_KUNIT_H */
