// SPDX-License-Identifier: GPL-2.0
/*
 * Sandbox mode (SBM): targets that are called directly, without strong isolation.
 *
 * Such a target is a function of the kernel on its caller's stack, and nobody tells it
 * which instance it runs for. What it needs of it, host calls and the heap, it finds by
 * its task, in the one list of all such calls.
 */
#include <linux/container_of.h>
#include <linux/errno.h>
#include <linux/list.h>
#include <linux/preempt.h>
#include <linux/sbm.h>
#include <linux/sbm_runtime.h>
#include <linux/sched.h>
#include <linux/spinlock.h>

#include "sbm.h"

/*
 * Of a task with several, the innermost comes first. A target that has an oops takes its
 * task with it, and its entry stays: that is why it is a part of the instance, which
 * then stays in use, and is not freed, for ever.
 */
static LIST_HEAD(sbm_direct_calls);
static DEFINE_SPINLOCK(sbm_direct_lock);

int sbm_call_direct(struct sbm_instance *inst, const struct sbm_call_desc *desc,
		    int *ret)
{
	struct sbm_direct *direct = &inst->direct;

	direct->err = 0;
	if (inst->isolation >= SBM_ISOLATION_WEAK)
		direct->err = sbm_must_stop(inst);
	if (direct->err)
		return direct->err;

	direct->task = current;
	direct->start_time = current->start_time;
	direct->serving = false;
	spin_lock(&sbm_direct_lock);
	list_add(&direct->list, &sbm_direct_calls);
	spin_unlock(&sbm_direct_lock);

	*ret = desc->thunk(desc->args);
	/* It looks for the heap as the target did */
	if (inst->heap)
		sbm_guest_check();

	spin_lock(&sbm_direct_lock);
	list_del(&direct->list);
	spin_unlock(&sbm_direct_lock);

	return direct->err;
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
		/* A task that is dead may have had the same place */
		if (d->task == current && d->start_time == current->start_time) {
			found = d;
			break;
		}
	}
	spin_unlock(&sbm_direct_lock);

	/* A handler is no target */
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
	err = sbm_hostcall_serve(container_of(d, struct sbm_instance, direct), number,
				 args, &result);
	d->serving = false;
	d->err = err;

	return err ?: result;
}

const struct sbm_guest_info *sbm_runtime_weak_info(void)
{
	const struct sbm_direct *d = sbm_find_direct();

	/* It stays as long as the call does, in which the caller is */
	return d ? &container_of(d, const struct sbm_instance, direct)->info : NULL;
}
