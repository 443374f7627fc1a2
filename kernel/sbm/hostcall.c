// SPDX-License-Identifier: GPL-2.0
/*
 * Sandbox mode (SBM): host calls, by which a target asks the kernel for something.
 *
 * The number of a host call is the address of its struct sbm_hostcall. What a target
 * gives is compared with the addresses of those that the instance may make, and no more
 * than that: nothing is read there, and nothing is indexed by it, not even by a processor
 * that guesses. So the numbers are settled when the kernel or a module is linked, no two
 * are the same, and it does not matter who knows them.
 *
 * Of a module, the instance has a reference for as long as the host call is allowed. A
 * module whose init function fails is freed whoever holds it: then nothing is left that is
 * allowed. A handler that runs already is a function of that module like any other, and
 * is not waited for: to end its calls before it fails is the init function's business.
 */
#include <linux/errno.h>
#include <linux/export.h>
#include <linux/gfp.h>
#include <linux/init.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/notifier.h>
#include <linux/sbm.h>
#include <linux/sbm_host.h>
#include <linux/seq_file.h>
#include <linux/slab.h>

#include <trace/events/sbm.h>

#include "debugfs.h"
#include "sbm.h"

/* === What is allowed === */

/* Protects the list, and what its entries have of modules */
static DEFINE_MUTEX(sbm_allowed_lock);
static LIST_HEAD(sbm_allowed_of_modules);

static const struct sbm_hostcall *sbm_find_allowed(const struct sbm_instance *inst,
						   unsigned long number)
{
	const struct sbm_allowed *a;

	list_for_each_entry(a, &inst->allowed, list) {
		const struct sbm_hostcall *call = READ_ONCE(a->call);

		if ((unsigned long)call == number)
			return call;
	}

	return NULL;
}

static int sbm_allow_call(struct sbm_instance *inst, const struct sbm_hostcall *call)
{
	struct sbm_allowed *a;

	if (sbm_find_allowed(inst, (unsigned long)call))
		return 0;

	a = kzalloc(sizeof(*a), GFP_KERNEL_ACCOUNT);
	if (!a)
		return -ENOMEM;
	/*
	 * Under the lock: either the module's state says that it goes, or the notifier
	 * will see that the instance has it.
	 */
	mutex_lock(&sbm_allowed_lock);
	if (!try_module_get(call->owner)) {
		mutex_unlock(&sbm_allowed_lock);
		kfree(a);
		return -ENOENT;
	}
	a->call = call;
	a->owner = call->owner;
	list_add(&a->of_all, &sbm_allowed_of_modules);
	mutex_unlock(&sbm_allowed_lock);
	sbm_debugfs_lock(inst);
	list_add_tail(&a->list, &inst->allowed);
	sbm_debugfs_unlock(inst);

	return 0;
}

int __sbm_allow(struct sbm *sbm, const struct sbm_hostcall *call)
{
	int err = sbm_change_begin(sbm);

	if (err)
		return err;

	return sbm_change_end(sbm, sbm_allow_call(sbm->instance, call));
}
EXPORT_SYMBOL_GPL(__sbm_allow);

void sbm_disallow_all(struct sbm_instance *inst)
{
	struct sbm_allowed *a, *next;

	list_for_each_entry_safe(a, next, &inst->allowed, list) {
		/* First from where it is looked at: it is part of the module */
		sbm_debugfs_lock(inst);
		list_del(&a->list);
		sbm_debugfs_unlock(inst);
		mutex_lock(&sbm_allowed_lock);
		list_del(&a->of_all);
		module_put(a->owner);
		mutex_unlock(&sbm_allowed_lock);
		kfree(a);
	}
}

void sbm_allowed_show(struct seq_file *m, const struct sbm_instance *inst)
{
	const struct sbm_allowed *a;

	/* A name is the module's */
	mutex_lock(&sbm_allowed_lock);
	list_for_each_entry(a, &inst->allowed, list) {
		if (a->call)
			seq_printf(m, "host call: %s\n", a->call->name);
	}
	mutex_unlock(&sbm_allowed_lock);
}

#ifdef CONFIG_MODULES

static int sbm_allowed_notify(struct notifier_block *nb, unsigned long action,
			      void *data)
{
	struct sbm_allowed *a;

	if (action != MODULE_STATE_GOING)
		return NOTIFY_DONE;

	mutex_lock(&sbm_allowed_lock);
	list_for_each_entry(a, &sbm_allowed_of_modules, of_all) {
		if (a->owner != data)
			continue;
		a->owner = NULL;
		WRITE_ONCE(a->call, NULL);
	}
	mutex_unlock(&sbm_allowed_lock);

	return NOTIFY_OK;
}

static struct notifier_block sbm_allowed_nb = {
	.notifier_call = sbm_allowed_notify,
};

static int __init sbm_allowed_init(void)
{
	return register_module_notifier(&sbm_allowed_nb);
}
core_initcall(sbm_allowed_init);

#if IS_ENABLED(CONFIG_SBM_KUNIT_TEST)
void sbm_test_module_goes(struct module *mod)
{
	sbm_allowed_notify(NULL, MODULE_STATE_GOING, mod);
}
EXPORT_SYMBOL_GPL(sbm_test_module_goes);
#endif

#endif /* CONFIG_MODULES */

/* === In the kernel === */

int sbm_hostcall_serve(struct sbm_instance *inst, unsigned long number,
		       const unsigned long *args, long *result)
{
	const struct sbm_hostcall *call = sbm_find_allowed(inst, number);

	if (!call) {
		inst->denied = number;
		inst->fault.cause = SBM_CAUSE_HOSTCALL;
		trace_sbm_hostcall(inst->id, "denied", number, -EFAULT);
		return -EFAULT;
	}

	sbm_stat_hostcall(inst);
	*result = call->serve(inst->sbm, args);
	trace_sbm_hostcall(inst->id, call->name, number, *result);

	return 0;
}

/* === In the target === */

/* Executed in ring 3, unless it is the kernel that calls a target directly */
long __sbm_hostcall(const struct sbm_hostcall *call, const unsigned long *args)
{
	long result;

	if (arch_sbm_hostcall((unsigned long)call, args, &result))
		return result;

	return sbm_hostcall_direct((unsigned long)call, args);
}
EXPORT_SYMBOL_GPL(__sbm_hostcall);
