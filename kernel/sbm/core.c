// SPDX-License-Identifier: GPL-2.0
/*
 * Sandbox mode (SBM): life cycle of instances and calls.
 */
#define pr_fmt(fmt) "sbm: " fmt

#include <linux/atomic.h>
#include <linux/err.h>
#include <linux/export.h>
#include <linux/gfp.h>
#include <linux/init.h>
#include <linux/instruction_pointer.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/printk.h>
#include <linux/sbm.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/stddef.h>
#include <linux/string.h>

#define CREATE_TRACE_POINTS
#include <trace/events/sbm.h>

#include "buffer.h"
#include "debugfs.h"
#include "dma.h"
#include "sbm.h"

/* What the command line allows */
static enum sbm_isolation sbm_max_isolation __ro_after_init = SBM_ISOLATION_STRONG;

/* Set by sbm_broken() and never cleared */
static bool sbm_is_broken __read_mostly;

static atomic64_t sbm_last_id;

static int __init sbm_setup(char *str)
{
	if (!str || !strcmp(str, "on"))
		sbm_max_isolation = SBM_ISOLATION_STRONG;
	else if (!strcmp(str, "weak"))
		sbm_max_isolation = SBM_ISOLATION_WEAK;
	else if (!strcmp(str, "off"))
		sbm_max_isolation = SBM_ISOLATION_NONE;
	else
		pr_warn("unknown value '%s', use sbm=on, sbm=weak or sbm=off\n",
			str);

	return 0;
}
early_param("sbm", sbm_setup);

void sbm_broken(const char *why)
{
	WRITE_ONCE(sbm_is_broken, true);
	WARN_ONCE(1, "sbm: %s; strong isolation is switched off\n", why);
}

/* === Life cycle === */

enum sbm_isolation sbm_isolation(void)
{
	const char *reason;

	might_sleep();

	if (sbm_max_isolation < SBM_ISOLATION_STRONG) {
		if (sbm_max_isolation == SBM_ISOLATION_WEAK)
			pr_notice_once("no strong isolation: limited on the command line\n");
		return sbm_max_isolation;
	}
	if (READ_ONCE(sbm_is_broken))
		return SBM_ISOLATION_WEAK;

	reason = arch_sbm_available();
	if (reason) {
		pr_notice_once("no strong isolation: %s\n", reason);
		return SBM_ISOLATION_WEAK;
	}

	return SBM_ISOLATION_STRONG;
}
EXPORT_SYMBOL_GPL(sbm_isolation);

static struct sbm_instance *sbm_create(const struct sbm_attr *attr)
{
	struct sbm_instance *inst;
	size_t stack_size;

	if ((attr->flags & ~__SBM_ATTR_ALL) ||
	    attr->min_isolation > SBM_ISOLATION_STRONG ||
	    attr->stack_size > SBM_MAX_STACK_SIZE ||
	    attr->heap_size > SBM_MAX_BUFFER_SIZE ||
	    attr->log_size > SBM_MAX_LOG_SIZE ||
	    (attr->memory_limit && attr->memory_limit < PAGE_SIZE))
		return ERR_PTR(-EINVAL);

	sbm_count(SBM_COUNT_ALLOC);
	inst = kzalloc(sizeof(*inst), GFP_KERNEL_ACCOUNT);
	if (!inst)
		return ERR_PTR(-ENOMEM);

	inst->id = atomic64_inc_return(&sbm_last_id);
	INIT_LIST_HEAD(&inst->buffers);
	INIT_LIST_HEAD(&inst->allowed);
	inst->heap_size = PAGE_ALIGN(attr->heap_size);
	inst->log_size = PAGE_ALIGN(attr->log_size);
	inst->memory.max_pages = attr->memory_limit >> PAGE_SHIFT ?: ULONG_MAX;
	sbm_time_init(&inst->time, attr);
	inst->freezable = attr->flags & SBM_ATTR_FREEZABLE;
	inst->isolation = sbm_isolation();
	if (attr->flags & SBM_ATTR_WEAK)
		inst->isolation = min(inst->isolation, SBM_ISOLATION_WEAK);

	if (inst->isolation < attr->min_isolation ||
	    (inst->isolation < SBM_ISOLATION_STRONG &&
	     (attr->flags & SBM_ATTR_IBPB))) {
		kfree(inst);
		return ERR_PTR(-EOPNOTSUPP);
	}

	if (inst->isolation == SBM_ISOLATION_STRONG) {
		stack_size = attr->stack_size ?: SBM_DEFAULT_STACK_SIZE;
		inst->arch = arch_sbm_create(PAGE_ALIGN(stack_size),
					     attr->flags & SBM_ATTR_IBPB,
					     attr->heap_size || attr->log_size,
					     &inst->memory);
		if (IS_ERR(inst->arch)) {
			int err = PTR_ERR(inst->arch);

			kfree(inst);
			return ERR_PTR(err);
		}
	}

	return inst;
}

int sbm_init_attr(struct sbm *sbm, const struct sbm_attr *attr)
{
	static const struct sbm_attr defaults;
	struct sbm_instance *inst;
	int err;

	if (!sbm)
		return -EINVAL;

	sbm->instance = NULL;
	sbm->error = -EINVAL;
	if (!sbm_context_ok())
		return sbm->error;

	might_sleep();

	inst = sbm_create(attr ?: &defaults);
	if (IS_ERR(inst)) {
		sbm->error = PTR_ERR(inst);
		return sbm->error;
	}

	if (inst->isolation == SBM_ISOLATION_NONE)
		pr_notice_once("switched off on the command line: targets are called directly, without any isolation\n");

	sbm_debugfs_add(inst);
	sbm->instance = inst;
	sbm->error = 0;
	trace_sbm_init(inst->id, inst->isolation);

	err = sbm_runtime_add(inst);
	if (err) {
		sbm_destroy(sbm);
		sbm->error = err;
	}

	return err;
}
EXPORT_SYMBOL_GPL(sbm_init_attr);

int sbm_init(struct sbm *sbm)
{
	return sbm_init_attr(sbm, NULL);
}
EXPORT_SYMBOL_GPL(sbm_init);

/*
 * Become the one thread that uses the instance. The pair of these two orders
 * the uses of an instance that is handed from thread to thread. A full barrier, for
 * sbm_cancel_call().
 */
bool sbm_acquire(struct sbm_instance *inst)
{
	return !cmpxchg(&inst->owner, NULL, current);
}

void sbm_release(struct sbm_instance *inst)
{
	/* Pairs with sbm_acquire() */
	smp_store_release(&inst->owner, NULL);
}

void sbm_destroy(struct sbm *sbm)
{
	struct sbm_instance *inst;

	if (!sbm)
		return;

	inst = sbm->instance;
	if (!inst) {
		sbm->error = -EINVAL;
		return;
	}

	/*
	 * Freeing what another thread runs on would be worse than the leak. The
	 * owner is not released: nobody may use the instance from here on.
	 */
	if (WARN_ONCE(!sbm_context_ok() || !sbm_acquire(inst),
		      "sbm: instance destroyed while in use or in atomic context\n"))
		return;

	might_sleep();

	sbm->instance = NULL;
	sbm->error = -EINVAL;

	trace_sbm_destroy(inst->id);
	sbm_debugfs_remove(inst);
	/* The device first: it writes to pages that go back */
	sbm_dma_end(inst);
	/* Tables first: no page goes back that they still map */
	if (inst->isolation == SBM_ISOLATION_STRONG)
		arch_sbm_destroy(inst->arch);
	sbm_runtime_drop(inst);
	sbm_buffers_free(inst);
	sbm_disallow_all(inst);
	kfree(inst);
}
EXPORT_SYMBOL_GPL(sbm_destroy);

int sbm_reset(struct sbm *sbm)
{
	struct sbm_instance *inst;
	int err = 0;

	if (!sbm || !sbm->instance || !sbm_context_ok())
		return -EINVAL;

	might_sleep();

	inst = sbm->instance;
	if (!sbm_acquire(inst))
		return -EBUSY;

	sbm_dma_end(inst);
	sbm_debugfs_lock(inst);
	/* Tables first: no page goes back that they still map */
	if (inst->isolation == SBM_ISOLATION_STRONG) {
		arch_sbm_reset(inst->arch);
		if (READ_ONCE(sbm_is_broken))
			err = -EOPNOTSUPP;
	}
	sbm_runtime_drop(inst);
	sbm_buffers_free(inst);
	sbm_debugfs_unlock(inst);
	sbm_disallow_all(inst);
	if (!err)
		err = sbm_runtime_add(inst);

	memset(&inst->fault, 0, offsetof(struct sbm_fault, regs));
	inst->stopped = false;
	inst->time.call = 0;
	inst->time.total = 0;
	sbm_stat_reset(inst);
	WRITE_ONCE(inst->nr_skipped, 0);
	WRITE_ONCE(inst->target, 0);
	inst->poison = err;
	sbm->error = err;
	WRITE_ONCE(inst->cancel, false);
	WRITE_ONCE(inst->dma_fault, false);
	trace_sbm_reset(inst->id);
	sbm_release(inst);

	return err;
}
EXPORT_SYMBOL_GPL(sbm_reset);

void sbm_cancel(struct sbm *sbm)
{
	struct sbm_instance *inst = sbm ? READ_ONCE(sbm->instance) : NULL;

	if (inst)
		sbm_cancel_call(inst);
}
EXPORT_SYMBOL_GPL(sbm_cancel);

/* === State === */

int sbm_error(const struct sbm *sbm)
{
	if (!sbm)
		return -EINVAL;

	return sbm->error;
}
EXPORT_SYMBOL_GPL(sbm_error);

const struct sbm_fault *sbm_fault(const struct sbm *sbm)
{
	if (!sbm || !sbm->instance || !sbm->instance->stopped)
		return NULL;

	return &sbm->instance->fault;
}
EXPORT_SYMBOL_GPL(sbm_fault);

enum sbm_isolation sbm_instance_isolation(const struct sbm *sbm)
{
	if (!sbm || !sbm->instance)
		return SBM_ISOLATION_NONE;

	return sbm->instance->isolation;
}
EXPORT_SYMBOL_GPL(sbm_instance_isolation);

/* === What targets get === */

int sbm_change_begin(struct sbm *sbm)
{
	struct sbm_instance *inst;

	if (!sbm)
		return -EINVAL;

	inst = sbm->instance;
	if (!inst)
		return sbm->error ?: -EINVAL;

	/* Not for this thread to change anything if another one is at work, or a target */
	if (!sbm_acquire(inst))
		return -EBUSY;

	/* The first error is the one to report */
	if (inst->poison)
		return sbm_change_end(sbm, inst->poison);
	if (!sbm_context_ok())
		return sbm_change_end(sbm, -EINVAL);

	might_sleep();

	return 0;
}

int sbm_change_end(struct sbm *sbm, int err)
{
	struct sbm_instance *inst = sbm->instance;

	if (err) {
		inst->poison = err;
		sbm->error = err;
	}
	sbm_release(inst);

	return err;
}

void *__sbm_buffer(struct sbm *sbm, unsigned long buf, size_t size,
		   unsigned int flags, const char *name)
{
	unsigned long addr = 0;
	int err;

	if (sbm_change_begin(sbm))
		return NULL;

	err = sbm_buffer_add(sbm->instance, buf, size, flags, name, &addr);
	sbm_change_end(sbm, err);

	return (void *)addr;
}
EXPORT_SYMBOL_GPL(__sbm_buffer);

void *__sbm_buffer_fields(struct sbm *sbm, unsigned long buf, size_t of, size_t nr,
			  const struct sbm_field *fields, unsigned int nr_fields,
			  const char *name)
{
	unsigned long addr = 0;
	int err;

	if (sbm_change_begin(sbm))
		return NULL;

	err = sbm_buffer_add_fields(sbm->instance, buf, of, nr, fields, nr_fields, name,
				    &addr);
	sbm_change_end(sbm, err);

	return (void *)addr;
}
EXPORT_SYMBOL_GPL(__sbm_buffer_fields);

/* === Calls === */

static int sbm_run(struct sbm *sbm, struct sbm_instance *inst,
		   const struct sbm_call_desc *desc, unsigned long caller)
{
	int err, ret;

	inst->stopped = false;
	if (inst->poison)
		return inst->poison;

	if (inst->isolation == SBM_ISOLATION_STRONG) {
		const char *reason = NULL;

		if (READ_ONCE(sbm_is_broken)) {
			reason = "strong isolation was switched off";
		} else {
			err = arch_sbm_admit(inst, desc->target, &reason);
			if (err && !reason) {
				inst->poison = err;
				sbm->error = err;
				return err;
			}
		}
		if (reason) {
			pr_warn_once("%pS refused: %s\n", (void *)desc->target,
				     reason);
			sbm->error = -EOPNOTSUPP;
			return -EOPNOTSUPP;
		}
	}

	sbm_stat_call(inst);
	WRITE_ONCE(inst->target, desc->target);
	sbm->error = 0;
	trace_sbm_enter(inst->id, desc->target, caller);

	memset(&inst->fault, 0, offsetof(struct sbm_fault, regs));
	inst->time.call = 0;
	inst->sbm = sbm;
	if (inst->isolation == SBM_ISOLATION_STRONG) {
		err = arch_sbm_call(inst, desc, &ret);
		if (!err)
			err = sbm_runtime_check(inst);
	} else {
		err = sbm_call_direct(inst, desc, &ret);
	}
	inst->sbm = NULL;
	sbm_runtime_print(inst);
	if (err) {
		sbm_stat_stop(inst);
		inst->fault.time = inst->time.call;
		inst->fault.caller = caller;
		inst->stopped = true;
		inst->poison = err;
		sbm->error = err;
		/* What the target has told the device must not happen any more */
		sbm_dma_stopped(inst);
		trace_sbm_fault(inst->id, &inst->fault);
		trace_sbm_exit(inst->id, err, inst->time.call);
		sbm_report(inst);
		return err;
	}

	sbm_buffers_copy_out(inst);
	trace_sbm_exit(inst->id, ret, inst->time.call);

	return ret;
}

/* @caller: return address of the function that others call */
static int sbm_call_from(struct sbm *sbm, const struct sbm_call_desc *desc,
			 unsigned long caller)
{
	struct sbm_instance *inst;
	int ret;

	if (!sbm)
		return -EINVAL;

	inst = sbm->instance;
	if (!inst)
		return sbm->error ?: -EINVAL;

	/* Not for this thread to change anything if another one is at work */
	if (!sbm_acquire(inst))
		return -EBUSY;

	if (!desc->target || !sbm_context_ok()) {
		sbm->error = -EINVAL;
		ret = -EINVAL;
	} else {
		might_sleep();
		ret = sbm_run(sbm, inst, desc, caller);
	}
	sbm_release(inst);

	return ret;
}

/*
 * Neither this nor sbm_exec() is traced: the tracer of the call graph has functions
 * return to itself, and reports would name it as the caller.
 */
notrace int __sbm_call_desc(struct sbm *sbm, const struct sbm_call_desc *desc)
{
	return sbm_call_from(sbm, desc, _RET_IP_);
}
EXPORT_SYMBOL_GPL(__sbm_call_desc);

struct sbm_exec_args {
	sbm_func	func;
	void		*data;
};

static int sbm_exec_thunk(const void *args)
{
	const struct sbm_exec_args *a = args;

	return a->func(a->data);
}

notrace int sbm_exec(struct sbm *sbm, sbm_func func, void *data)
{
	const struct sbm_exec_args args = {
		.func	= func,
		.data	= data,
	};
	const unsigned long regs[] = { (unsigned long)data };
	const struct sbm_call_desc desc = {
		.target	= (unsigned long)func,
		.thunk	= sbm_exec_thunk,
		.args	= &args,
		.regs	= regs,
		.nr	= ARRAY_SIZE(regs),
	};

	return sbm_call_from(sbm, &desc, _RET_IP_);
}
EXPORT_SYMBOL_GPL(sbm_exec);
