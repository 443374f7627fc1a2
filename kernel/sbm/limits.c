// SPDX-License-Identifier: GPL-2.0
/*
 * Sandbox mode (SBM): what an instance may use, and how it is told to stop.
 *
 * Time is taken around each stay, with interrupts off, so it has nothing of what the
 * kernel does with the events that end a stay. It is looked at before each stay, and
 * each interrupt ends one: a tick is the longest that a target can overdraw. When
 * less than a tick is left, or the CPU may have no tick, a timer ends the stay. A
 * stay costs its own way in and out, so a target that is interrupted all the time
 * gets nowhere, but its time runs all the same.
 */
#include <linux/atomic.h>
#include <linux/cache.h>
#include <linux/err.h>
#include <linux/gfp.h>
#include <linux/hrtimer.h>
#include <linux/init.h>
#include <linux/irqflags.h>
#include <linux/jiffies.h>
#include <linux/ktime.h>
#include <linux/math64.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/percpu.h>
#include <linux/rcupdate.h>
#include <linux/sbm.h>
#include <linux/sched.h>
#include <linux/sched/clock.h>
#include <linux/sched/signal.h>
#include <linux/sysctl.h>
#include <linux/tick.h>
#include <linux/time64.h>

#include "sbm.h"

/* === Memory === */

static atomic_long_t sbm_nr_pages;

/* Pages that all instances together may hold. Set once memory is known. */
unsigned long sbm_max_pages __read_mostly = ULONG_MAX;

int sbm_charge_pages(struct sbm_memory *memory, unsigned long nr)
{
	if (nr > memory->max_pages - memory->nr_pages)
		return -ENOSPC;
	if (atomic_long_add_return(nr, &sbm_nr_pages) > READ_ONCE(sbm_max_pages)) {
		atomic_long_sub(nr, &sbm_nr_pages);
		return -ENOMEM;
	}
	memory->nr_pages += nr;

	return 0;
}

void sbm_uncharge_pages(struct sbm_memory *memory, unsigned long nr)
{
	memory->nr_pages -= nr;
	atomic_long_sub(nr, &sbm_nr_pages);
}

struct page *sbm_alloc_page(struct sbm_memory *memory)
{
	struct page *page;

	if (memory->nr_pages >= memory->max_pages)
		return ERR_PTR(-ENOSPC);
	if (atomic_long_inc_return(&sbm_nr_pages) > READ_ONCE(sbm_max_pages))
		goto out_uncount;

	sbm_count(SBM_COUNT_ALLOC);
	sbm_count(SBM_COUNT_PAGE);
	page = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	if (!page)
		goto out_uncount;
	memory->nr_pages++;

	return page;

out_uncount:
	atomic_long_dec(&sbm_nr_pages);
	return ERR_PTR(-ENOMEM);
}

void sbm_free_page(struct sbm_memory *memory, struct page *page)
{
	memory->nr_pages--;
	atomic_long_dec(&sbm_nr_pages);
	__free_page(page);
}

long sbm_pages_in_use(void)
{
	return atomic_long_read(&sbm_nr_pages);
}

/* === Time === */

/* For instances that do not say what they need */
unsigned int sbm_time_limit_ms __read_mostly = 10 * MSEC_PER_SEC;
core_param(sbm_time_limit_ms, sbm_time_limit_ms, uint, 0);

/* Ends a stay. Armed and disarmed on its own CPU, with interrupts off. */
static DEFINE_PER_CPU(struct hrtimer, sbm_timers);

/* The interrupt is all that is wanted */
static enum hrtimer_restart sbm_timer_expired(struct hrtimer *timer)
{
	return HRTIMER_NORESTART;
}

void sbm_time_init(struct sbm_time *time, const struct sbm_attr *attr)
{
	u64 limit = attr->time_limit;

	if (!limit)
		limit = (u64)READ_ONCE(sbm_time_limit_ms) * NSEC_PER_MSEC ?: SBM_NO_LIMIT;
	time->limit = limit;
	time->total_limit = attr->total_time_limit ?: SBM_NO_LIMIT;
}

static u64 sbm_time_left(const struct sbm_time *time)
{
	u64 call, total;

	call = time->limit - min(time->call, time->limit);
	total = time->total_limit - min(time->total, time->total_limit);

	return min(call, total);
}

void sbm_time_begin(struct sbm_time *time)
{
	u64 left = sbm_time_left(time);

	lockdep_assert_irqs_disabled();

	/* No limit, less what was used up, is still for ever */
	time->armed = left <= TICK_NSEC ||
		      (left < KTIME_MAX && tick_nohz_full_cpu(smp_processor_id()));
	if (unlikely(time->armed))
		hrtimer_start(this_cpu_ptr(&sbm_timers), ns_to_ktime(left),
			      HRTIMER_MODE_REL_PINNED_HARD);
	time->begin = local_clock();
}

void sbm_time_end(struct sbm_time *time)
{
	/* The clock of a CPU does not run backwards, and the CPU is the same */
	u64 stay = local_clock() - time->begin;

	time->call += stay;
	time->total += stay;
	sbm_stat_stay(stay);
	/* It cannot be running: that takes an interrupt on this CPU. Was it there? */
	if (unlikely(time->armed))
		time->armed = hrtimer_try_to_cancel(this_cpu_ptr(&sbm_timers)) > 0;
}

/* === Stopping === */

int sbm_must_stop(struct sbm_instance *inst)
{
	enum sbm_cause cause;
	int err = -EINTR;

	if (unlikely(fatal_signal_pending(current))) {
		cause = SBM_CAUSE_SIGNAL;
	} else if (unlikely(READ_ONCE(inst->cancel))) {
		cause = SBM_CAUSE_CANCEL;
	} else if (unlikely(READ_ONCE(inst->dma_fault))) {
		cause = SBM_CAUSE_DEVICE;
		err = -EFAULT;
	} else if (unlikely(!sbm_time_left(&inst->time))) {
		cause = SBM_CAUSE_TIME;
		err = -ETIME;
	} else {
		return 0;
	}
	inst->fault.cause = cause;

	return err;
}

/* The flag that makes sbm_must_stop() say so is set */
static void sbm_kick(struct sbm_instance *inst)
{
	struct task_struct *owner;

	/*
	 * Pairs with the barrier in sbm_acquire(): either the owner finds the flag
	 * before its next stay, or it is found here.
	 */
	smp_mb();
	/* It gives the instance back before it exits, and is there for some time after */
	rcu_read_lock();
	owner = READ_ONCE(inst->owner);
	if (owner)
		kick_process(owner);
	rcu_read_unlock();
}

void sbm_cancel_call(struct sbm_instance *inst)
{
	WRITE_ONCE(inst->cancel, true);
	sbm_kick(inst);
}

void sbm_poison_by_device(struct sbm_instance *inst)
{
	WRITE_ONCE(inst->dma_fault, true);
	sbm_kick(inst);
}

/* === Settings === */

static struct ctl_table sbm_limits_table[] = {
	{
		.procname	= "sbm_max_pages",
		.data		= &sbm_max_pages,
		.maxlen		= sizeof(sbm_max_pages),
		.mode		= 0644,
		.proc_handler	= proc_doulongvec_minmax,
	},
	{
		.procname	= "sbm_time_limit_ms",
		.data		= &sbm_time_limit_ms,
		.maxlen		= sizeof(sbm_time_limit_ms),
		.mode		= 0644,
		.proc_handler	= proc_douintvec,
	},
};

static int __init sbm_limits_init(void)
{
	int cpu;

	for_each_possible_cpu(cpu)
		hrtimer_setup(per_cpu_ptr(&sbm_timers, cpu), sbm_timer_expired,
			      CLOCK_MONOTONIC, HRTIMER_MODE_REL_PINNED_HARD);
	WRITE_ONCE(sbm_max_pages, totalram_pages() / 2);
	register_sysctl_init("kernel", sbm_limits_table);

	return 0;
}

/* Before anybody can make a call */
early_initcall(sbm_limits_init);
