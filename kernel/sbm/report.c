// SPDX-License-Identifier: GPL-2.0
/*
 * Sandbox mode (SBM): what the log says when a target was stopped.
 *
 * A stop is not a bug of the kernel: a report must contain none of the words by
 * which tools find one (see Documentation/sandbox/reports.rst). Each line that has
 * a symbol ends with it, for scripts/decode_stacktrace.sh.
 */
#define pr_fmt(fmt) "sbm: " fmt

#include <linux/align.h>
#include <linux/array_size.h>
#include <linux/build_bug.h>
#include <linux/export.h>
#include <linux/jiffies.h>
#include <linux/kernel.h>
#include <linux/kgdb.h>
#include <linux/math64.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/panic.h>
#include <linux/preempt.h>
#include <linux/printk.h>
#include <linux/ratelimit.h>
#include <linux/sbm.h>
#include <linux/sched.h>
#include <linux/sprintf.h>
#include <linux/stacktrace.h>
#include <linux/stdarg.h>
#include <linux/string.h>
#include <linux/string_choices.h>
#include <linux/time64.h>

#include "sbm.h"
#include "sysctl.h"

/* Frames of the caller that are shown */
#define SBM_CALLER_FRAMES	24

/* Buffers that are shown */
#define SBM_MAX_SHOWN_BUFFERS	32

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
	[SBM_CAUSE_DEVICE]		= "its device",
	[SBM_CAUSE_HOSTCALL]		= "a host call that is not allowed",
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

const char *sbm_buffer_kind(const struct sbm_buffer *buf)
{
	if (buf->flags & __SBM_BUF_DMA)
		return "DMA";
	if (buf->flags & __SBM_BUF_MAP)
		return buf->flags & __SBM_BUF_WRITE ? "MAP_WRITABLE" :
						      "MAP_READONLY";
	if (buf->flags & __SBM_BUF_HEAP)
		return "HEAP";
	if (buf->flags & __SBM_BUF_LOG)
		return "LOG";
	if (buf->flags & __SBM_BUF_FIELDS)
		return "COPY_FIELDS";
	if (!(buf->flags & __SBM_BUF_OUT))
		return "COPY_IN";

	return buf->flags & __SBM_BUF_IN ? "COPY_INOUT" : "COPY_OUT";
}

void sbm_say(struct sbm_out *out, const char *fmt, ...)
{
	struct va_format vaf;
	va_list args;

	va_start(args, fmt);
	vaf.fmt = fmt;
	vaf.va = &args;
	out->line(out, &vaf);
	va_end(args);
}

/* === What is at an address === */

/**
 * struct sbm_near - what an address is nearest to
 * @buf:      A buffer, or NULL.
 * @area:     An area of the architecture's, if @buf is NULL. Without a name: nothing.
 * @inside:   The address is in it.
 * @on_page:  It is on a page of it, so it is mapped.
 * @before:   It is before it, not behind.
 * @distance: Bytes from the start (@inside, @before) or the end.
 */
struct sbm_near {
	const struct sbm_buffer	*buf;
	struct sbm_area		area;
	bool			inside;
	bool			on_page;
	bool			before;
	unsigned long		distance;
};

/*
 * How @addr lies to an area, if it is on its pages or the guard pages around them.
 * Between two of them is one guard page: what is nearest was probably meant.
 */
static bool sbm_near_area(struct sbm_near *near, const struct sbm_area *area,
			  unsigned long addr)
{
	unsigned long first = area->start & PAGE_MASK;
	unsigned long behind = PAGE_ALIGN(area->end);
	struct sbm_near found = {
		.area		= *area,
		.inside		= addr >= area->start && addr < area->end,
		.on_page	= addr >= first && addr < behind,
		.before		= addr < area->start,
	};

	/* Subtractions: an area may end with the address space */
	if (addr < first - PAGE_SIZE || (addr >= behind && addr - behind >= PAGE_SIZE))
		return false;

	if (found.before)
		found.distance = area->start - addr;
	else
		found.distance = addr - (found.inside ? area->start : area->end);
	if (near->area.name && !found.on_page && found.distance >= near->distance)
		return false;

	*near = found;

	return true;
}

static void sbm_find_near(const struct sbm_instance *inst, unsigned long addr,
			  struct sbm_near *near)
{
	const struct sbm_buffer *buf;
	struct sbm_area area;
	unsigned int i;

	memset(near, 0, sizeof(*near));
	list_for_each_entry(buf, &inst->buffers, list) {
		area.name = buf->name;
		area.start = buf->addr;
		area.end = buf->addr + buf->size;
		if (sbm_near_area(near, &area, addr))
			near->buf = buf;
		if (near->on_page)
			return;
	}

	if (inst->isolation < SBM_ISOLATION_STRONG)
		return;
	for (i = 0; arch_sbm_area(inst->arch, i, &area) && !near->on_page; i++) {
		if (sbm_near_area(near, &area, addr))
			near->buf = NULL;
	}
}

static int sbm_describe_inst(const struct sbm_instance *inst, unsigned long addr,
			     char *buf, size_t size)
{
	char name[2 * SBM_NAME_SIZE + 64];
	struct sbm_near near;
	const char *page;
	int len = 0;

	sbm_find_near(inst, addr, &near);
	if (!near.area.name) {
		if (inst->isolation == SBM_ISOLATION_STRONG)
			len = arch_sbm_describe(inst->arch, addr, buf, size);
		if (!len)
			len = scnprintf(buf, size, "nothing that the sandbox has");
		return len;
	}

	if (near.buf)
		scnprintf(name, sizeof(name), "buffer '%s' (%s, %zu bytes)",
			  near.buf->name, sbm_buffer_kind(near.buf), near.buf->size);
	else
		scnprintf(name, sizeof(name), "the %s (%lu bytes)", near.area.name,
			  near.area.end - near.area.start);

	if (near.inside)
		return scnprintf(buf, size, "byte %lu of %s", near.distance, name);

	if (near.before && !near.buf)
		page = "in the guard page below it";
	else if (near.before)
		page = near.on_page ? "on its first page" : "in the guard page before it";
	else
		page = near.on_page ? "on its last page" : "in the guard page behind it";

	return scnprintf(buf, size, "%lu byte%s %s %s, %s", near.distance,
			 str_plural(near.distance),
			 !near.before ? "past the end of" :
			 near.buf ? "before" : "below", name, page);
}

int sbm_describe(const struct sbm *sbm, unsigned long addr, char *buf, size_t size)
{
	if (!size)
		return 0;

	buf[0] = '\0';
	if (!sbm || !sbm->instance)
		return 0;

	return sbm_describe_inst(sbm->instance, addr, buf, size);
}
EXPORT_SYMBOL_GPL(sbm_describe);

/* === Backtraces === */

void sbm_trace_add(struct sbm_trace *trace, unsigned long ip, bool sure)
{
	const struct sbm_frame frame = { .ip = ip, .sure = sure, };

	if (trace->nr < SBM_TRACE_FIRST)
		trace->first[trace->nr] = frame;
	else
		trace->last[(trace->nr - SBM_TRACE_FIRST) % SBM_TRACE_LAST] = frame;
	trace->nr++;
}

static void sbm_report_frame(struct sbm_out *out, const struct sbm_frame *frame,
			     bool exact)
{
	/* A return address can lie behind the end of its function */
	if (exact)
		sbm_say(out, "    %s%pS", frame->sure ? "" : "? ", (void *)frame->ip);
	else
		sbm_say(out, "    %s%pB", frame->sure ? "" : "? ", (void *)frame->ip);
}

static void sbm_report_target(struct sbm_out *out, const struct sbm_instance *inst)
{
	struct sbm_trace trace = {};
	unsigned int i;

	arch_sbm_backtrace(inst, &trace);

	sbm_say(out, "  backtrace in the sandbox:");
	for (i = 0; i < trace.nr; i++) {
		const struct sbm_frame *frame;

		if (i < SBM_TRACE_FIRST) {
			frame = &trace.first[i];
		} else if (i + SBM_TRACE_LAST < trace.nr) {
			sbm_say(out, "    [%u more]", trace.nr - SBM_TRACE_LAST - i);
			i = trace.nr - SBM_TRACE_LAST - 1;
			continue;
		} else {
			frame = &trace.last[(i - SBM_TRACE_FIRST) % SBM_TRACE_LAST];
		}
		sbm_report_frame(out, frame, !i);
	}
	sbm_say(out, trace.entry ? "    [sandbox entry]" :
				   "    [the stack does not lead to the sandbox's entry]");
}

static void sbm_report_caller(struct sbm_out *out, const struct sbm_instance *inst)
{
#ifdef CONFIG_STACKTRACE
	unsigned long entries[SBM_CALLER_FRAMES];
	unsigned int nr, i;

	nr = stack_trace_save(entries, ARRAY_SIZE(entries), 0);
	/* What is above the caller is sandbox mode itself */
	for (i = 0; i < nr && entries[i] != inst->fault.caller; i++)
		;
	if (i == nr)
		i = 0;

	sbm_say(out, "  backtrace of the caller:");
	for (; i < nr; i++)
		sbm_say(out, "    %pB", (void *)entries[i]);
#endif
}

/* === The report === */

static void sbm_report_map(struct sbm_out *out, const struct sbm_instance *inst)
{
	const struct sbm_buffer *buf;
	struct sbm_area area;
	unsigned int i, nr = 0;

	sbm_say(out, "  map of the sandbox:");
	for (i = 0; arch_sbm_area(inst->arch, i, &area); i++)
		sbm_say(out, "    %016lx-%016lx %s, %lu bytes", area.start, area.end,
			area.name, area.end - area.start);
	list_for_each_entry(buf, &inst->buffers, list) {
		if (++nr <= SBM_MAX_SHOWN_BUFFERS)
			sbm_say(out, "    %016lx-%016lx buffer %u '%s', %s, %zu bytes",
				buf->addr, buf->addr + buf->size, nr, buf->name,
				sbm_buffer_kind(buf), buf->size);
	}
	if (nr > SBM_MAX_SHOWN_BUFFERS)
		sbm_say(out, "    [%u more buffers]", nr - SBM_MAX_SHOWN_BUFFERS);
}

/* Is it the target's doing, or sandbox mode's own? */
static bool sbm_is_violation(const struct sbm_instance *inst)
{
	return inst->poison == -EFAULT;
}

/* The number is the target's: if it is a host call's, the symbol tells */
static void sbm_report_hostcall(struct sbm_out *out, const struct sbm_instance *inst)
{
	sbm_say(out, "  number %ps", (void *)inst->denied);
}

/*
 * Addresses are printed as they are, kernel addresses too: as for an oops, they are
 * worth more to those who may read the log than they are to an attacker, who knows
 * them from within the target.
 */
static void sbm_report_head(struct sbm_out *out, const struct sbm_instance *inst)
{
	const struct sbm_fault *f = &inst->fault;
	char what[SBM_DESCRIPTION_SIZE];

	sbm_say(out, "%ps stopped by %s, called by %*pE[%d], instance %llu",
		(void *)inst->target, sbm_cause_name(f->cause),
		(int)strnlen(current->comm, sizeof(current->comm)), current->comm,
		task_pid_nr(current), inst->id);
	sbm_say(out, "  called from %pB", (void *)f->caller);
	if (f->ip)
		sbm_say(out, "  at %pS", (void *)f->ip);
	if (f->cause == SBM_CAUSE_PAGE_FAULT) {
		sbm_say(out, "  %s address %lx, error code %lx",
			sbm_access_names[f->access], f->address, f->error_code);
		sbm_describe_inst(inst, f->address, what, sizeof(what));
		sbm_say(out, "  which is %s", what);
	} else if (f->cause == SBM_CAUSE_HOSTCALL) {
		sbm_report_hostcall(out, inst);
	} else if (sbm_is_violation(inst) && f->cause != SBM_CAUSE_DEVICE) {
		sbm_say(out, "  vector %u, error code %lx", f->vector, f->error_code);
	}

	sbm_say(out, "  after %llu us inside", div_u64(f->time, NSEC_PER_USEC));
}

void sbm_report_write(struct sbm_out *out, const struct sbm_instance *inst)
{
	sbm_report_head(out, inst);
	/* Without strong isolation it was stopped before it began, or not at all */
	if (inst->fault.has_regs) {
		arch_sbm_report_state(out, inst);
		sbm_report_target(out, inst);
	} else if (inst->arch) {
		sbm_say(out, "  its registers were lost");
	}
	sbm_report_caller(out, inst);
	if (inst->arch)
		sbm_report_map(out, inst);
	sbm_say(out, "  end of report");
}

static void sbm_line_to_log(struct sbm_out *out, struct va_format *vaf)
{
	pr_warn("%pV\n", vaf);
}

#if IS_ENABLED(CONFIG_SBM_KUNIT_TEST)

static struct sbm_out *sbm_test_out;
static struct task_struct *sbm_test_task;

void sbm_test_capture(struct sbm_out *out)
{
	WRITE_ONCE(sbm_test_out, out);
	WRITE_ONCE(sbm_test_task, out ? current : NULL);
}

struct sbm_out *sbm_test_wants(void)
{
	return READ_ONCE(sbm_test_task) == current ? READ_ONCE(sbm_test_out) : NULL;
}

#endif

#ifdef CONFIG_KGDB

/*
 * Let a debugger look before the caller goes on. The instance and its fault are those
 * of the frame above. Without somebody who answers, the breakpoint would be a trap
 * that nobody handles.
 */
static void sbm_stop_for_debugger(const struct sbm_instance *inst)
{
	if (READ_ONCE(sbm_kgdb_on_fault) && kgdb_io_module_registered &&
	    sbm_is_violation(inst))
		kgdb_breakpoint();
}

#else

static void sbm_stop_for_debugger(const struct sbm_instance *inst) { }

#endif

static void sbm_report_to_log(const struct sbm_instance *inst, bool always)
{
	static DEFINE_RATELIMIT_STATE(rs, DEFAULT_RATELIMIT_INTERVAL,
				      DEFAULT_RATELIMIT_BURST);
	/*
	 * A slow console takes seconds for a whole report, and whoever can have targets
	 * stopped shall not keep it busy.
	 */
	static struct ratelimit_state whole =
		RATELIMIT_STATE_INIT_FLAGS(whole, 60 * HZ, 5, RATELIMIT_MSG_ON_RELEASE);
	/* The lines of one report are not among those of another */
	static DEFINE_MUTEX(lock);
	struct sbm_out log = { .line = sbm_line_to_log, };

	if (!always && !__ratelimit(&rs))
		return;

	mutex_lock(&lock);
	if (always || __ratelimit(&whole))
		sbm_report_write(&log, inst);
	else
		sbm_report_head(&log, inst);
	mutex_unlock(&lock);
}

void sbm_report(const struct sbm_instance *inst)
{
	struct sbm_out *out = sbm_test_wants();
	bool fatal = !out && sbm_is_violation(inst) && READ_ONCE(sbm_panic_on_fault);

	if (out)
		sbm_report_write(out, inst);
	else
		sbm_report_to_log(inst, fatal);

	sbm_stop_for_debugger(inst);

	if (fatal)
		panic("sbm: %ps stopped by %s", (void *)inst->target,
		      sbm_cause_name(inst->fault.cause));
}

/* === Dumps of the kernel's === */

/* For dump_stack() and show_regs(), of this CPU. In any context: no lock, no sleep. */
void print_sbm_info(const char *log_lvl)
{
	const struct sbm_instance *inst;
	unsigned long ip;

	/* What is found belongs to this CPU, and goes when something else runs on it */
	preempt_disable_notrace();
	inst = arch_sbm_interrupted(&ip);
	/* The symbol that matters is the last word, for scripts/decode_stacktrace.sh */
	if (inst)
		printk("%sSandbox: instance %llu, running %ps, at %pS\n", log_lvl,
		       inst->id, (void *)inst->target, (void *)ip);
	preempt_enable_notrace();
}
