// SPDX-License-Identifier: GPL-2.0
/*
 * Sandbox mode (SBM): targets that are called directly, without strong isolation.
 *
 * Such a target is a function of the kernel on its caller's stack, and nobody tells it
 * which instance it runs for. What it needs of it, host calls and the heap, it finds by
 * its task, in the one list of all such calls.
 */
#include <linux/errno.h>
#include <linux/list.h>
#include <linux/preempt.h>
#include <linux/sbm.h>
#include <linux/sbm_runtime.h>
#include <linux/sched.h>
#include <linux/spinlock.h>

#include "sbm.h"

/**
 * struct sbm_direct - a target that was called directly
 * @list:    Entry in sbm_direct_calls.
 * @task:    Who has called it.
 * @inst:    The instance.
 * @serving: It waits for a handler.
 * @err:     Why the call is not a success, whatever the target returns.
 */
struct sbm_direct {
	struct list_head	list;
	struct task_struct	*task;
	struct sbm_instance	*inst;
	bool			serving;
	int			err;
};

/* Of a task with several, the innermost comes first */
static LIST_HEAD(sbm_direct_calls);
static DEFINE_SPINLOCK(sbm_direct_lock);

int sbm_call_direct(struct sbm_instance *inst, const struct sbm_call_desc *desc,
		    int *ret)
{
	struct sbm_direct direct = {
		.task	= current,
		.inst	= inst,
	};

	if (inst->isolation >= SBM_ISOLATION_WEAK)
		direct.err = sbm_must_stop(inst);
	if (direct.err)
		return direct.err;

	spin_lock(&sbm_direct_lock);
	list_add(&direct.list, &sbm_direct_calls);
	spin_unlock(&sbm_direct_lock);

	*ret = desc->thunk(desc->args);
	/* It looks for the heap as the target did */
	if (inst->heap)
		sbm_guest_check();

	spin_lock(&sbm_direct_lock);
	list_del(&direct.list);
	spin_unlock(&sbm_direct_lock);

	return direct.err;
}

/* The target that is running, NULL if it is something else that has called */
static struct sbm_direct *sbm_find_direct(void)
{
	struct sbm_direct *d, *found = NULL;

	/* An interrupt is no target, and may have hit the lock */
	if (!in_task())
		return NULL;

	spin_lock(&sbm_direct_lock);
	list_for_each_entry(d, &sbm_direct_calls, list) {
		if (d->task == current) {
			found = d;
			break;
		}
	}
	spin_unlock(&sbm_direct_lock);

	/* It is on this task's stack, further up. A handler is no target. */
	return found && !found->serving ? found : NULL;
}

/*
 * Nothing can stop this target: it gets an error for a host call that is not allowed, and
 * so does its caller in the end.
 */
long sbm_hostcall_direct(unsigned long number, const unsigned long *args)
{
	struct sbm_direct *d;
	long result = 0;
	int err;

	d = sbm_context_ok() ? sbm_find_direct() : NULL;
	if (!d)
		return -EPERM;
	if (d->err)
		return d->err;

	d->serving = true;
	err = sbm_hostcall_serve(d->inst, number, args, &result);
	d->serving = false;
	d->err = err;

	return err ?: result;
}

const struct sbm_guest_info *sbm_runtime_weak_info(void)
{
	const struct sbm_direct *d = sbm_find_direct();

	/* It stays as long as the call does, in which the caller is */
	return d ? &d->inst->info : NULL;
}
