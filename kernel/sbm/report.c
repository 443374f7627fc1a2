// SPDX-License-Identifier: GPL-2.0
/*
 * Sandbox mode (SBM): what the log says when a target was stopped.
 *
 * A stop is not a bug of the kernel: a report must contain none of the words by
 * which tools find one (see Documentation/sandbox/usage.rst).
 */
#define pr_fmt(fmt) "sbm: " fmt

#include <linux/array_size.h>
#include <linux/build_bug.h>
#include <linux/export.h>
#include <linux/mm.h>
#include <linux/printk.h>
#include <linux/ratelimit.h>
#include <linux/sbm.h>
#include <linux/sched.h>

#include "sbm.h"

static const char * const sbm_cause_names[] = {
	[SBM_CAUSE_NONE]		= "none",
	[SBM_CAUSE_PAGE_FAULT]		= "page fault",
	[SBM_CAUSE_PROTECTION]		= "protection violation",
	[SBM_CAUSE_ILLEGAL_INSN]	= "illegal instruction",
	[SBM_CAUSE_ARITHMETIC]		= "arithmetic exception",
	[SBM_CAUSE_DEBUG]		= "debug exception",
	[SBM_CAUSE_FPU]			= "use of the FPU",
	[SBM_CAUSE_SYSCALL]		= "system call",
	[SBM_CAUSE_SEGMENT]		= "segment change",
	[SBM_CAUSE_PROBE]		= "kernel probe",
	[SBM_CAUSE_MACHINE_CHECK]	= "machine check",
	[SBM_CAUSE_SIGNAL]		= "fatal signal",
	[SBM_CAUSE_CANCEL]		= "cancellation",
	[SBM_CAUSE_TIME]		= "the limit of its time",
	[SBM_CAUSE_TRACED]		= "processor trace",
	[SBM_CAUSE_OTHER]		= "exception",
	[SBM_CAUSE_INTERNAL]		= "internal error",
};

static_assert(ARRAY_SIZE(sbm_cause_names) == SBM_NR_CAUSES);

static const char * const sbm_access_names[] = {
	[SBM_ACCESS_NONE]	= "no access",
	[SBM_ACCESS_READ]	= "read from",
	[SBM_ACCESS_WRITE]	= "write to",
	[SBM_ACCESS_EXEC]	= "execution of",
};

const char *sbm_cause_name(enum sbm_cause cause)
{
	return cause < SBM_NR_CAUSES ? sbm_cause_names[cause] : "unknown";
}
EXPORT_SYMBOL_GPL(sbm_cause_name);

/* Say where @addr lies if a buffer or its guard pages are there */
static void sbm_report_address(const struct sbm_instance *inst, unsigned long addr)
{
	const struct sbm_buffer *buf;

	list_for_each_entry(buf, &inst->buffers, list) {
		unsigned long end = buf->addr + buf->size;
		const char *kind = buf->flags & __SBM_BUF_MAP ? "mapped" : "copied";
		const char *rights = buf->flags & __SBM_BUF_WRITE ?
				     "writable" : "read-only";

		if (addr >= buf->addr && addr < end)
			pr_warn("  %lu bytes into a %s %s buffer of %zu bytes at %lx\n",
				addr - buf->addr, rights, kind, buf->size, buf->addr);
		else if (addr >= end && addr < PAGE_ALIGN(end) + PAGE_SIZE)
			pr_warn("  %lu bytes past the end of a %s %s buffer of %zu bytes at %lx\n",
				addr - end, rights, kind, buf->size, buf->addr);
	}
}

/*
 * Addresses are printed as they are: they are the target's, and kernel text
 * addresses appear as symbols.
 */
void sbm_report(const struct sbm_instance *inst)
{
	static DEFINE_RATELIMIT_STATE(rs, DEFAULT_RATELIMIT_INTERVAL,
				      DEFAULT_RATELIMIT_BURST);
	const struct sbm_fault *f = &inst->fault;

	if (!__ratelimit(&rs))
		return;

	pr_warn("%ps stopped by %s, called by %s[%d]\n", (void *)inst->target,
		sbm_cause_name(f->cause), current->comm, task_pid_nr(current));
	if (f->ip)
		pr_warn("  at %pS\n", (void *)f->ip);
	if (f->cause == SBM_CAUSE_PAGE_FAULT) {
		pr_warn("  %s address %lx, error code %lx\n",
			sbm_access_names[f->access], f->address, f->error_code);
		sbm_report_address(inst, f->address);
	} else if (f->cause < SBM_CAUSE_SIGNAL || f->cause > SBM_CAUSE_TRACED) {
		pr_warn("  vector %u, error code %lx\n", f->vector, f->error_code);
	}
}
