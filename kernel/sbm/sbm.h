/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Sandbox mode (SBM): what the generic part and the architecture share.
 *
 * Documentation/sandbox/arch-port.rst states what an architecture promises by
 * these functions.
 */
#ifndef _KERNEL_SBM_SBM_H
#define _KERNEL_SBM_SBM_H

#include <linux/freezer.h>
#include <linux/irqflags.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/percpu.h>
#include <linux/preempt.h>
#include <linux/printk.h>
#include <linux/sbm.h>
#include <linux/sbm_runtime.h>
#include <linux/types.h>
#include <linux/xarray.h>

struct arch_sbm;
struct dentry;
struct module;
struct page;
struct sbm_dma;
struct sbm_hostcall;
struct seq_file;
struct task_struct;

/* Longest name of a buffer in a report, with the zero behind it */
#define SBM_NAME_SIZE	32

/**
 * struct sbm_fields - what is copied of each structure in a buffer
 * @of:	   Size of the structure.
 * @nr:	   Number of fields.
 * @field: The fields, which do not overlap. A copy, which nobody else can change.
 */
struct sbm_fields {
	size_t			of;
	unsigned int		nr;
	struct sbm_field	field[] __counted_by(nr);
};

/**
 * struct sbm_buffer - a buffer of an instance
 * @list:    Entry in &sbm_instance.buffers.
 * @flags:   __SBM_BUF_* flags.
 * @kaddr:   The caller's buffer.
 * @size:    Its size in bytes.
 * @addr:    Where the target sees it: the value of the macro.
 * @nr:	     Number of pages.
 * @offset:  Offset of the first byte in the first page.
 * @name:    What the caller calls it, for reports; cut off if it is long. A copy:
 *	     the caller may be a module that is gone before the instance is.
 * @fields:  What of it is copied, NULL for all.
 * @vm:	     Address range in the kernel, for weak isolation.
 * @pages:   The pages. NULL where the heap has none yet.
 */
struct sbm_buffer {
	struct list_head	list;
	unsigned int		flags;
	unsigned long		kaddr;
	size_t			size;
	unsigned long		addr;
	unsigned int		nr;
	unsigned int		offset;
	char			name[SBM_NAME_SIZE];
	struct sbm_fields	*fields;
	struct vm_struct	*vm;
	struct page		*pages[] __counted_by(nr);
};

/**
 * struct sbm_debugfs - what makes an instance visible in debugfs
 * @list:  Entry in the list of all instances.
 * @shown: Somebody has asked for @dir. Protected by the lock of the list.
 * @dir:   Directory of the instance, or NULL.
 * @lock:  Held while the owner changes the tables or the list of buffers, and while
 *	   others read them.
 * @calls: Calls since it was set up or reset. The owner counts, and others read.
 * @stops: Those of them that were stopped.
 * @hostcalls: Host calls that were served, counted in the same way.
 * @changes: Counts how often @lock was taken to change something.
 * @noio:    What the task that holds @lock gets back afterwards.
 * @users: Who keeps it from being destroyed. Protected by the lock of the list.
 */
struct sbm_debugfs {
	struct list_head	list;
	u64			calls;
	u64			stops;
	u64			hostcalls;
	unsigned long		changes;
	unsigned int		noio;
	unsigned int		users;
	bool			shown;
	struct dentry		*dir;
	struct mutex		lock;	/* see above */
};

/**
 * struct sbm_memory - the pages that an instance holds
 * @nr_pages:  How many.
 * @max_pages: How many it may.
 */
struct sbm_memory {
	unsigned long	nr_pages;
	unsigned long	max_pages;
};

/**
 * struct sbm_time - the time that an instance spends inside, in nanoseconds
 * @limit:	 For one call.
 * @total_limit: For all of them.
 * @call:	 Of this call.
 * @total:	 Of all of them.
 * @begin:	 When the stay began, by the clock of its CPU.
 * @armed:	 A timer shall end the stay.
 */
struct sbm_time {
	u64	limit;
	u64	total_limit;
	u64	call;
	u64	total;
	u64	begin;
	bool	armed;
};

/**
 * struct sbm_direct - a target that was called directly (direct.c)
 * @list:	Entry in the list of all such calls.
 * @task:	Who has called it.
 * @start_time: When that task began.
 * @serving:	It waits for a handler.
 * @err:	Why the call is not a success, whatever the target returns.
 */
struct sbm_direct {
	struct list_head	list;
	struct task_struct	*task;
	u64			start_time;
	bool			serving;
	int			err;
};

/**
 * struct sbm_instance - state of a sandbox
 * @id:		Number of the instance, never used again.
 * @isolation:	What the instance has got.
 * @poison:	Error that each further call returns, 0 if it may be called.
 * @owner:	The thread that uses the instance now, NULL if none does.
 * @buffers:	All its buffers.
 * @stopped:	@fault is valid.
 * @fault:	Why the last call was stopped.
 * @target:	The function that is being called, for the report.
 * @freezable:	The caller's task may be frozen during a call.
 * @cancel:	Nothing shall run in it until it is reset. Anybody may set it.
 * @dma_fault:	Its device has broken the rules. Anybody may set it.
 * @dma:	Its device, or NULL.
 * @memory:	Pages that it holds.
 * @time:	Time that it has used.
 * @heap_size:	Size of the heap in bytes, 0 for none.
 * @log_size:	The same for messages.
 * @info:	What code inside has.
 * @heap:	The heap, one of @buffers, or NULL.
 * @log:	Messages from inside, one of @buffers, or NULL.
 * @nr_skipped:	How often a target has met a tracer or a probe, and passed it.
 * @sbm:	What the caller knows it by, during a call; handlers of host calls get it.
 * @allowed:	Host calls that targets may make.
 * @denied:	The number of the host call that has stopped the last call.
 * @idle:	Entry in &sbm_pool.idle, while it is there.
 * @direct:	Its target, while it is called without strong isolation.
 * @arch:	State of the architecture, for %SBM_ISOLATION_STRONG.
 * @debugfs:	For those who look at it.
 *
 * Only @owner reads or changes the rest, but for what debugfs reads.
 */
struct sbm_instance {
	u64			id;
	enum sbm_isolation	isolation;
	int			poison;
	struct task_struct	*owner;
	struct list_head	buffers;
	bool			stopped;
	struct sbm_fault	fault;
	unsigned long		target;
	bool			freezable;
	bool			cancel;
	bool			dma_fault;
	struct sbm_dma		*dma;
	struct sbm_memory	memory;
	struct sbm_time		time;
	size_t			heap_size;
	size_t			log_size;
	struct sbm_guest_info	info;
	struct sbm_buffer	*heap;
	struct sbm_buffer	*log;
	u64			nr_skipped;
	struct sbm		*sbm;
	struct list_head	allowed;
	unsigned long		denied;
	struct list_head	idle;
	struct sbm_direct	direct;
	struct arch_sbm		*arch;
#ifdef CONFIG_DEBUG_FS
	struct sbm_debugfs	debugfs;
#endif
};

/* A tracer or a probe was there, and not for the target. Only @owner calls it. */
static inline void sbm_count_skipped(struct sbm_instance *inst)
{
	WRITE_ONCE(inst->nr_skipped, inst->nr_skipped + 1);
}

/*
 * core.c: become the one thread that uses the instance, and let it go. Acquiring fails
 * for whoever uses it already.
 */
bool sbm_acquire(struct sbm_instance *inst);
void sbm_release(struct sbm_instance *inst);

/*
 * core.c: around each change of what targets get, by the caller who wants it. Begin says
 * whether the instance may be changed now, and keeps it for that; if it may not, there
 * is no end. End keeps @err, if it is one, as the first error of the instance.
 * Return: 0; or the error, which is @err for the end.
 */
int sbm_change_begin(struct sbm *sbm);
int sbm_change_end(struct sbm *sbm, int err);

/**
 * struct sbm_allowed - a host call that an instance may make
 * @list:   Entry in &sbm_instance.allowed.
 * @of_all: Entry in the list of those that belong to modules.
 * @call:   The host call, NULL if its module has gone all the same.
 * @owner:  Its module.
 */
struct sbm_allowed {
	struct list_head		list;
	struct list_head		of_all;
	const struct sbm_hostcall	*call;
	struct module			*owner;
};

/* hostcall.c: forget what sbm_allow() has allowed */
void sbm_disallow_all(struct sbm_instance *inst);

/* List what is allowed, for debugfs. The owner changes nothing meanwhile. */
void sbm_allowed_show(struct seq_file *m, const struct sbm_instance *inst);

/* For a test: its module has gone although instances hold it, which lose their reference */
void sbm_test_module_goes(struct module *mod);

/**
 * sbm_hostcall_serve() - do what a target has asked for
 * @inst:   The instance. Its owner is the calling task.
 * @number: What the target says which host call it is.
 * @args:   Its arguments, %SBM_MAX_HOSTCALL_ARGS of them.
 * @result: What the handler has returned.
 *
 * Context: Process context with interrupts and preemption enabled, may sleep.
 * Return: 0; or -EFAULT with the cause set, if it is not allowed.
 */
int sbm_hostcall_serve(struct sbm_instance *inst, unsigned long number,
		       const unsigned long *args, long *result);

/*
 * direct.c: call a target directly, without strong isolation.
 * Return: 0; or an error, with its cause set. The target may have run all the same.
 */
int sbm_call_direct(struct sbm_instance *inst, const struct sbm_call_desc *desc,
		    int *ret);

/* A host call of such a target. Return: what the target gets; -EPERM if it is none. */
long sbm_hostcall_direct(unsigned long number, const unsigned long *args);

/* Rights of a mapping, besides reading */
#define SBM_PROT_WRITE		0x1

/*
 * Pages that sandboxes hold: buffers, stacks, tables. Not what all sandboxes
 * share. ERR_PTR(-ENOSPC) beyond the limit of the instance; ERR_PTR(-ENOMEM) beyond
 * that of the system, or if there is no memory.
 */
struct page *sbm_alloc_page(struct sbm_memory *memory);
void sbm_free_page(struct sbm_memory *memory, struct page *page);

/* Pages that come from elsewhere. Return: 0, or -ENOSPC or -ENOMEM as above. */
int sbm_charge_pages(struct sbm_memory *memory, unsigned long nr);
void sbm_uncharge_pages(struct sbm_memory *memory, unsigned long nr);

/* Of all instances. Back to its old value once an instance is destroyed. */
long sbm_pages_in_use(void);

/* The sysctls of these names, for limits.c and the tests */
extern unsigned long sbm_max_pages;
extern unsigned int sbm_time_limit_ms;

/*
 * In atomic context nothing may be called: allocation and the run loop sleep. Only what
 * does not depend on CONFIG_PREEMPT_COUNT is tested; the rest is the documented duty of
 * callers, which might_sleep() checks for developers.
 */
static inline bool sbm_context_ok(void)
{
	return !irqs_disabled() && !in_interrupt();
}

void sbm_time_init(struct sbm_time *time, const struct sbm_attr *attr);

/*
 * Around each stay. Interrupts off from sbm_must_stop() to sbm_time_end(), and all of
 * it on one CPU.
 */
void sbm_time_begin(struct sbm_time *time);
void sbm_time_end(struct sbm_time *time);

/*
 * Asked before each stay, when nothing that comes later can come without an
 * interrupt. Return: 0; or an error, with its cause set.
 */
int sbm_must_stop(struct sbm_instance *inst);

/*
 * Asked with sbm_must_stop(): shall the caller's task call try_to_freeze(), with
 * interrupts on, before it goes on?
 */
static inline bool sbm_must_freeze(const struct sbm_instance *inst)
{
	return unlikely(inst->freezable) && freezing(current);
}

void sbm_cancel_call(struct sbm_instance *inst);

/* From any context but NMIs: its device has done what it must not */
void sbm_poison_by_device(struct sbm_instance *inst);

/*
 * runtime.c: what code inside has besides buffers of callers. See
 * Documentation/sandbox/runtime.rst.
 */

/* Give @inst its heap, and a place for messages. Return: 0, -ENOMEM or -ENOSPC. */
int sbm_runtime_add(struct sbm_instance *inst);

/* Before their buffers are freed */
void sbm_runtime_drop(struct sbm_instance *inst);

/* The heap is whole? As arch_sbm_call(). After a clean return. */
int sbm_runtime_check(struct sbm_instance *inst);

/* Print the messages of this call */
void sbm_runtime_print(struct sbm_instance *inst);

/*
 * For the architecture: a target has touched @addr, where nothing is mapped. It may
 * sleep. Return: 0 if it can go on; -EFAULT if @addr is not in the heap; -ENOMEM if
 * there is no page.
 */
int sbm_heap_fault(struct sbm_instance *inst, unsigned long addr);

/* report.c: say in the log why @inst was stopped, with -EFAULT as sysctl.c wants it */
void sbm_report(const struct sbm_instance *inst);
const char *sbm_buffer_kind(const struct sbm_buffer *buf);

/**
 * struct sbm_out - where a report goes
 * @line: Take a line, without the end of line. The report is written by one thread,
 *	  which may sleep.
 */
struct sbm_out {
	void (*line)(struct sbm_out *out, struct va_format *vaf);
};

__printf(2, 3) void sbm_say(struct sbm_out *out, const char *fmt, ...);

/* The whole report of the last stop of @inst */
void sbm_report_write(struct sbm_out *out, const struct sbm_instance *inst);

#if IS_ENABLED(CONFIG_SBM_KUNIT_TEST)
/*
 * A test that wants the reports of its own calls, all of them: they go to @out and
 * not to the log. NULL for none.
 */
void sbm_test_capture(struct sbm_out *out);

/* Where what is said goes instead of the log, for this thread, or NULL */
struct sbm_out *sbm_test_wants(void);
#else
static inline struct sbm_out *sbm_test_wants(void) { return NULL; }
#endif

/* Frames of a target's backtrace that a report shows: the innermost and the outermost */
#define SBM_TRACE_FIRST		24
#define SBM_TRACE_LAST		8

/**
 * struct sbm_frame - a step of a target's backtrace
 * @ip:	  Address of the instruction (the first one), or that a function returns to.
 * @sure: It follows from the frame before; else it just lay on the stack.
 */
struct sbm_frame {
	unsigned long	ip;
	bool		sure;
};

/**
 * struct sbm_trace - how a target got to where it was stopped
 * @nr:	    Number of frames that were found.
 * @first:  The first of these.
 * @last:   The last of the others, a ring: frame i is at
 *	    (i - %SBM_TRACE_FIRST) %% %SBM_TRACE_LAST.
 * @entry:  It ends where the kernel has entered the target.
 */
struct sbm_trace {
	unsigned int		nr;
	struct sbm_frame	first[SBM_TRACE_FIRST];
	struct sbm_frame	last[SBM_TRACE_LAST];
	bool			entry;
};

void sbm_trace_add(struct sbm_trace *trace, unsigned long ip, bool sure);

/**
 * struct sbm_area - something that the architecture has mapped for a target
 * @name:  What it is.
 * @start: Its first address.
 * @end:   The address behind it.
 */
struct sbm_area {
	const char	*name;
	unsigned long	start;
	unsigned long	end;
};

/**
 * enum sbm_counter - what the benchmark counts
 * @SBM_COUNT_STAY:	  Stays: one way in, one way out.
 * @SBM_COUNT_INTERRUPT:  Stays that an interrupt ended.
 * @SBM_COUNT_FLUSH:	  Loads of CR3 that flush what the TLB holds.
 * @SBM_COUNT_MSR:	  Model-specific registers read or written.
 * @SBM_COUNT_FPU_SAVE:	  The task's FPU registers saved.
 * @SBM_COUNT_FPU_INIT:	  The FPU's initial state loaded.
 * @SBM_COUNT_ENTRY:	  Page-table entries written one by one.
 * @SBM_COUNT_TABLE:	  Page-table pages taken, each cleared or copied.
 * @SBM_COUNT_PAGE:	  All pages taken, each cleared. Includes the tables of
 *			  instances.
 * @SBM_COUNT_ALLOC:	  Calls of an allocator, pages included.
 * @SBM_COUNT_FLUSH_ALL:  Flushes of all entries on all CPUs.
 * @SBM_NR_COUNTERS:	  Number of counters.
 */
enum sbm_counter {
	SBM_COUNT_STAY,
	SBM_COUNT_INTERRUPT,
	SBM_COUNT_FLUSH,
	SBM_COUNT_MSR,
	SBM_COUNT_FPU_SAVE,
	SBM_COUNT_FPU_INIT,
	SBM_COUNT_ENTRY,
	SBM_COUNT_TABLE,
	SBM_COUNT_PAGE,
	SBM_COUNT_ALLOC,
	SBM_COUNT_FLUSH_ALL,
	SBM_NR_COUNTERS
};

/**
 * enum sbm_phase - points of a call where the benchmark takes the time
 * @SBM_PHASE_CALL:   arch_sbm_call() begins.
 * @SBM_PHASE_STAY:   A stay begins, interrupts are off.
 * @SBM_PHASE_ENTER:  All that C prepares is done.
 * @SBM_PHASE_LEFT:   Back in C, NMIs delivered.
 * @SBM_PHASE_DONE:   The stay is over.
 * @SBM_NR_PHASES:    Number of points.
 */
enum sbm_phase {
	SBM_PHASE_CALL,
	SBM_PHASE_STAY,
	SBM_PHASE_ENTER,
	SBM_PHASE_LEFT,
	SBM_PHASE_DONE,
	SBM_NR_PHASES
};

#ifdef CONFIG_SBM_BENCH

DECLARE_PER_CPU(unsigned long, sbm_counters[SBM_NR_COUNTERS]);
DECLARE_PER_CPU(bool, sbm_phases_on);

/* One instruction, so that counting hardly changes what is measured */
static __always_inline void sbm_count(enum sbm_counter counter)
{
	raw_cpu_inc(sbm_counters[counter]);
}

static __always_inline void sbm_count_many(enum sbm_counter counter,
					   unsigned long nr)
{
	raw_cpu_add(sbm_counters[counter], nr);
}

void sbm_phase_note(enum sbm_phase phase);

/* Two instructions while nobody looks at phases */
static __always_inline void sbm_phase(enum sbm_phase phase)
{
	if (unlikely(raw_cpu_read(sbm_phases_on)))
		sbm_phase_note(phase);
}

#else /* CONFIG_SBM_BENCH */

static __always_inline void sbm_count(enum sbm_counter counter) { }
static __always_inline void sbm_count_many(enum sbm_counter counter,
					   unsigned long nr) { }
static __always_inline void sbm_phase(enum sbm_phase phase) { }

#endif /* CONFIG_SBM_BENCH */

#define SBM_NR_CAUSES		(SBM_CAUSE_INTERNAL + 1)

/* Kinds of events that an architecture may tell apart */
#define SBM_MAX_EVENTS		64

/**
 * struct sbm_stats - what instances have done on a CPU, for debugfs
 * @calls:  Calls.
 * @stops:  Calls that were stopped, by cause.
 * @stays:  Stays: one way in, one way out.
 * @time:   Time inside, in nanoseconds.
 * @hostcalls: Host calls that were served.
 * @events: By kind, see arch_sbm_event_name().
 */
struct sbm_stats {
	u64		calls;
	u64		stops[SBM_NR_CAUSES];
	u64		stays;
	u64		time;
	u64		hostcalls;
	u64		events[SBM_MAX_EVENTS];
};

#ifdef CONFIG_DEBUG_FS

DECLARE_PER_CPU(struct sbm_stats, sbm_stats);

static __always_inline void sbm_stat_call(struct sbm_instance *inst)
{
	this_cpu_inc(sbm_stats.calls);
	WRITE_ONCE(inst->debugfs.calls, inst->debugfs.calls + 1);
}

static __always_inline void sbm_stat_stop(struct sbm_instance *inst)
{
	this_cpu_inc(sbm_stats.stops[inst->fault.cause]);
	WRITE_ONCE(inst->debugfs.stops, inst->debugfs.stops + 1);
}

static __always_inline void sbm_stat_reset(struct sbm_instance *inst)
{
	WRITE_ONCE(inst->debugfs.calls, 0);
	WRITE_ONCE(inst->debugfs.stops, 0);
	WRITE_ONCE(inst->debugfs.hostcalls, 0);
}

static __always_inline void sbm_stat_hostcall(struct sbm_instance *inst)
{
	this_cpu_inc(sbm_stats.hostcalls);
	WRITE_ONCE(inst->debugfs.hostcalls, inst->debugfs.hostcalls + 1);
}

static __always_inline void sbm_stat_stay(u64 time)
{
	this_cpu_inc(sbm_stats.stays);
	this_cpu_add(sbm_stats.time, time);
}

/* For the architecture: an event of a kind that arch_sbm_event_name() knows */
static __always_inline void sbm_stat_event(unsigned int kind)
{
	this_cpu_inc(sbm_stats.events[kind]);
}

static __always_inline void sbm_stat_events(unsigned int kind, unsigned int nr)
{
	this_cpu_add(sbm_stats.events[kind], nr);
}

#else /* CONFIG_DEBUG_FS */

static __always_inline void sbm_stat_call(struct sbm_instance *inst) { }
static __always_inline void sbm_stat_stop(struct sbm_instance *inst) { }
static __always_inline void sbm_stat_reset(struct sbm_instance *inst) { }
static __always_inline void sbm_stat_hostcall(struct sbm_instance *inst) { }
static __always_inline void sbm_stat_stay(u64 time) { }
static __always_inline void sbm_stat_event(unsigned int kind) { }
static __always_inline void sbm_stat_events(unsigned int kind, unsigned int nr) { }

#endif /* CONFIG_DEBUG_FS */

/* What a page is held for */
enum sbm_held {
	SBM_HELD_TABLE,
	SBM_HELD_OWN,
	SBM_HELD_BUFFER,
};

/* Holders of pages besides instances, which are numbered from 0 in an audit */
#define SBM_HOLDER_SHARED	0x10000000U
#define SBM_HOLDER_KERNEL	(SBM_HOLDER_SHARED + 1)

/**
 * struct sbm_audited - an instance in an audit
 * @inst:    The instance.
 * @changes: Its &sbm_debugfs.changes, when it was asked for its pages.
 */
struct sbm_audited {
	struct sbm_instance	*inst;
	unsigned long		changes;
};

/**
 * struct sbm_audit - state of an audit
 * @m:	      Where it is written to.
 * @frames:   Whose pages are.
 * @insts:    The instances.
 * @nr:	      Their number.
 * @findings: Findings in the part that is looked at.
 * @total:    Findings in all parts before.
 */
struct sbm_audit {
	struct seq_file		*m;
	struct xarray		frames;
	struct sbm_audited	*insts;
	unsigned int		nr;
	unsigned int		findings;
	unsigned int		total;
};

/* Note that @holder has the page. Return: 0 or -ENOMEM. */
int sbm_audit_hold(struct sbm_audit *audit, unsigned int holder, unsigned long pfn,
		   enum sbm_held kind);

/* Who has the page? False if that is nobody, or if it may have changed. */
bool sbm_audit_holder(struct sbm_audit *audit, unsigned long pfn,
		      unsigned int *holder, enum sbm_held *kind);

/* Something is not as it should be */
__printf(2, 3) void sbm_audit_find(struct sbm_audit *audit, const char *fmt, ...);

/* An inconsistency in SBM itself: say so once and offer nothing strong again */
void sbm_broken(const char *why);

#ifdef CONFIG_HAVE_ARCH_SBM

/**
 * arch_sbm_available() - can strong isolation be had
 *
 * Context: Process context, may sleep. Sets up what all sandboxes share at the
 *	    first call, and logs the reason once if there is one.
 * Return: NULL if it can, else the reason.
 */
const char *arch_sbm_available(void);

/**
 * arch_sbm_create() - set up page tables and stack
 * @stack_size: Size of the stack in bytes, whole pages.
 * @ibpb:	See %SBM_ATTR_IBPB.
 * @info:	arch_sbm_set_info() will be called.
 * @memory:	Where its pages count, until arch_sbm_destroy().
 *
 * Return: the state; ERR_PTR of -ENOMEM or -ENOSPC; ERR_PTR(-EOPNOTSUPP) if there is
 * no such barrier.
 */
struct arch_sbm *arch_sbm_create(size_t stack_size, bool ibpb, bool info,
				 struct sbm_memory *memory);

/**
 * arch_sbm_set_info() - tell code inside what it has
 * @as:	  The state, created for it; nothing runs in it.
 * @info: What arch_sbm_guest_info() shall find inside. It can only be read there. Without
 *	  this call, and after arch_sbm_reset(), it is all zero.
 */
void arch_sbm_set_info(struct arch_sbm *as, const struct sbm_guest_info *info);

/**
 * arch_sbm_reset() - unmap and let go what a new instance does not have, scrub the rest
 * @as: The state; nothing runs in it.
 */
void arch_sbm_reset(struct arch_sbm *as);

/**
 * arch_sbm_destroy() - free all that arch_sbm_create() and arch_sbm_map() took
 * @as: The state; nothing runs in it.
 */
void arch_sbm_destroy(struct arch_sbm *as);

/**
 * arch_sbm_map() - map pages between unmapped guard pages
 * @as:	   The state.
 * @pages: The pages. What is NULL is left out, for arch_sbm_map_more(), which then needs
 *	   no page of its own.
 * @nr:	   How many; 0 reserves a guard page only.
 * @prot:  0 or %SBM_PROT_WRITE. Never executable.
 * @addr:  Where the first page was mapped, or the guard page.
 *
 * Return: 0, -ENOMEM, or -ENOSPC if the address range is used up.
 */
int arch_sbm_map(struct arch_sbm *as, struct page **pages, unsigned int nr,
		 unsigned int prot, unsigned long *addr);

/**
 * arch_sbm_map_more() - map a page that was left out
 * @as:	  The state.
 * @addr: Its address.
 * @page: The page, for reading and writing.
 *
 * Return: 0 or -ENOMEM.
 */
int arch_sbm_map_more(struct arch_sbm *as, unsigned long addr, struct page *page);

/**
 * arch_sbm_admit() - prepare to call a function with strong isolation
 * @inst:   The instance; nothing runs in it.
 * @target: Address of the function.
 * @reason: Why it cannot be called, if it cannot.
 *
 * If the function can go away, the state holds it until it is reset or destroyed.
 *
 * It takes sbm_debugfs_lock() while it changes tables.
 *
 * Return: 0; -EOPNOTSUPP with @reason set; or another error, without a reason, after
 * which nothing may run in @inst.
 */
int arch_sbm_admit(struct sbm_instance *inst, unsigned long target,
		   const char **reason);

/**
 * arch_sbm_may_map() - may a caller's memory be mapped into a sandbox
 * @addr:  Address in the kernel.
 * @write: Writable.
 *
 * Return: true if the kernel has the page of @addr mapped with these rights.
 */
bool arch_sbm_may_map(unsigned long addr, bool write);

/**
 * arch_sbm_call() - call a function inside
 * @inst: The instance.
 * @desc: The call.
 * @ret:  What the function returned.
 *
 * Context: Process context with interrupts and preemption enabled, may sleep.
 * Return: 0 if the function returned; else the error, and
 * &sbm_instance.fault describes the stop.
 */
int arch_sbm_call(struct sbm_instance *inst, const struct sbm_call_desc *desc,
		  int *ret);

/**
 * arch_sbm_hostcall() - make a host call, if this is a target
 * @number: Which one.
 * @args:   Its arguments, %SBM_MAX_HOSTCALL_ARGS of them.
 * @result: What the kernel has answered.
 *
 * The only one of these functions that targets call: with strong isolation they execute
 * it, like any other text.
 *
 * Return: true; or false if it is the kernel that has called it.
 */
bool arch_sbm_hostcall(unsigned long number, const unsigned long *args, long *result);

/**
 * arch_sbm_stack() - find the pages of a target's stack
 * @as:	 The state.
 * @low: The target's address of the first one.
 * @nr:	 Number of pages.
 *
 * Return: the pages, which the target can read and write.
 */
struct page **arch_sbm_stack(const struct arch_sbm *as, unsigned long *low,
			     unsigned int *nr);

/**
 * arch_sbm_event_name() - name a kind of event, for the file stats in debugfs
 * @kind: A number below %SBM_MAX_EVENTS, as for sbm_stat_event().
 *
 * Scripts use the names: they stay what they are.
 *
 * Return: a word, or NULL if there is no such kind.
 */
const char *arch_sbm_event_name(unsigned int kind);

/**
 * arch_sbm_dump_tables() - print what the page tables allow
 * @m:	  Where to.
 * @inst: The instance, which has %SBM_ISOLATION_STRONG. Its tables and buffers do
 *	  not change meanwhile, but another thread may run in it.
 *
 * For configurations with debugfs.
 *
 * Context: Process context, may sleep.
 */
void arch_sbm_dump_tables(struct seq_file *m, const struct sbm_instance *inst);

/**
 * arch_sbm_audit_shared() - check what all instances share, and note its tables
 * @audit: The audit.
 *
 * This and the next two are for configurations with debugfs. What is found goes to
 * sbm_audit_find().
 *
 * Context: Process context, may sleep.
 * Return: 0 or -ENOMEM.
 */
int arch_sbm_audit_shared(struct sbm_audit *audit);

/**
 * arch_sbm_audit_ask() - note the pages that the architecture has for an instance
 * @audit: The audit.
 * @i:	   Number of the instance, which has %SBM_ISOLATION_STRONG. It does not change
 *	   meanwhile, but another thread may run in it.
 *
 * Return: 0 or -ENOMEM.
 */
int arch_sbm_audit_ask(struct sbm_audit *audit, unsigned int i);

/**
 * arch_sbm_audit() - print what an instance has, and find what breaks the rules
 * @audit: The audit. All instances have been asked.
 * @i:	   As for arch_sbm_audit_ask().
 */
void arch_sbm_audit(struct sbm_audit *audit, unsigned int i);

/**
 * arch_sbm_area() - list what an instance has besides buffers, kernel text and constants
 * @as:	  The state.
 * @i:	  Which one, counted from 0; 0 is the stack.
 * @area: The area; the page before and the page behind it are not mapped.
 *
 * Return: true, or false if there are not so many.
 */
bool arch_sbm_area(const struct arch_sbm *as, unsigned int i, struct sbm_area *area);

/**
 * arch_sbm_describe() - tell what is at an address, but buffers and areas
 * @as:	  The state.
 * @addr: The address.
 * @buf:  Where the description goes.
 * @size: Size of @buf in bytes.
 *
 * Return: the length of the description, as scnprintf() does.
 */
int arch_sbm_describe(const struct arch_sbm *as, unsigned long addr, char *buf,
		      size_t size);

/**
 * arch_sbm_backtrace() - find out how a target got to where it was stopped
 * @inst:  The instance, which was stopped.
 * @trace: All zero, to be filled by sbm_trace_add().
 *
 * Registers and stack are the target's: nothing about them may be taken for granted.
 * It takes a time that is bounded by the size of the stack.
 */
void arch_sbm_backtrace(const struct sbm_instance *inst, struct sbm_trace *trace);

/**
 * arch_sbm_report_state() - print instruction bytes and registers
 * @out:  Where to.
 * @inst: The instance, which was stopped.
 */
void arch_sbm_report_state(struct sbm_out *out, const struct sbm_instance *inst);

/**
 * arch_sbm_interrupted() - tell the call that this CPU has interrupted
 * @ip: The instruction of the target that is next.
 *
 * Context: Any, NMI included. Preemption is off, so the CPU cannot change.
 * Return: the instance whose stay was ended by the event that is being handled on this
 * CPU; NULL if there is none, or if nothing is known about the target. It is valid as
 * long as the event is handled, or preemption is off.
 */
const struct sbm_instance *arch_sbm_interrupted(unsigned long *ip);

#else /* CONFIG_HAVE_ARCH_SBM */

static inline const char *arch_sbm_available(void)
{
	return "this architecture or configuration has no support for it";
}

static inline struct arch_sbm *arch_sbm_create(size_t stack_size, bool ibpb,
					       bool info, struct sbm_memory *memory)
{
	return ERR_PTR(-EOPNOTSUPP);
}

static inline void arch_sbm_set_info(struct arch_sbm *as,
				     const struct sbm_guest_info *info)
{
}

static inline void arch_sbm_reset(struct arch_sbm *as) { }

static inline void arch_sbm_destroy(struct arch_sbm *as) { }

static inline int arch_sbm_map(struct arch_sbm *as, struct page **pages,
			       unsigned int nr, unsigned int prot,
			       unsigned long *addr)
{
	return -EOPNOTSUPP;
}

static inline int arch_sbm_map_more(struct arch_sbm *as, unsigned long addr,
				    struct page *page)
{
	return -EOPNOTSUPP;
}

static inline int arch_sbm_admit(struct sbm_instance *inst, unsigned long target,
				 const char **reason)
{
	return 0;
}

static inline bool arch_sbm_may_map(unsigned long addr, bool write)
{
	return true;
}

static inline int arch_sbm_call(struct sbm_instance *inst,
				const struct sbm_call_desc *desc, int *ret)
{
	return -EOPNOTSUPP;
}

static inline bool arch_sbm_hostcall(unsigned long number,
				     const unsigned long *args, long *result)
{
	return false;
}

static inline struct page **arch_sbm_stack(const struct arch_sbm *as,
					   unsigned long *low, unsigned int *nr)
{
	*low = 0;
	*nr = 0;

	return NULL;
}

static inline const char *arch_sbm_event_name(unsigned int kind)
{
	return NULL;
}

static inline void arch_sbm_dump_tables(struct seq_file *m,
					const struct sbm_instance *inst)
{
}

static inline int arch_sbm_audit_shared(struct sbm_audit *audit)
{
	return 0;
}

static inline int arch_sbm_audit_ask(struct sbm_audit *audit, unsigned int i)
{
	return 0;
}

static inline void arch_sbm_audit(struct sbm_audit *audit, unsigned int i) { }

static inline bool arch_sbm_area(const struct arch_sbm *as, unsigned int i,
				 struct sbm_area *area)
{
	return false;
}

static inline int arch_sbm_describe(const struct arch_sbm *as,
				    unsigned long addr, char *buf, size_t size)
{
	return 0;
}

static inline void arch_sbm_backtrace(const struct sbm_instance *inst,
				      struct sbm_trace *trace)
{
}

static inline void arch_sbm_report_state(struct sbm_out *out,
					 const struct sbm_instance *inst)
{
}

static inline const struct sbm_instance *arch_sbm_interrupted(unsigned long *ip)
{
	return NULL;
}

#endif /* CONFIG_HAVE_ARCH_SBM */

#endif /* _KERNEL_SBM_SBM_H */
