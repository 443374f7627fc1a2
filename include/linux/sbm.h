/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Sandbox mode (SBM): call a kernel function so that it can be stopped.
 *
 * This header serves kernel code that wants to run a risky function, for
 * instance a parser of untrusted data, in a sandbox. How to use it is explained
 * in Documentation/sandbox/usage.rst, what it protects from whom in
 * Documentation/sandbox/threat-model.rst.
 */
#ifndef _LINUX_SBM_H
#define _LINUX_SBM_H

#include <linux/array_size.h>
#include <linux/build_bug.h>
#include <linux/compiler.h>
#include <linux/err.h>
#include <linux/errno.h>
#include <linux/limits.h>
#include <linux/printk.h>
#include <linux/ptrace.h>
#include <linux/stddef.h>
#include <linux/types.h>

#include <asm/page.h>

struct sbm_instance;

/**
 * enum sbm_isolation - how far a sandbox is separated from the kernel
 * @SBM_ISOLATION_NONE:   The target is a plain function call. Nothing is
 *			  copied, nothing is protected.
 * @SBM_ISOLATION_WEAK:   The target runs with the kernel's own rights, on
 *			  copies of its buffers which lie between unmapped guard
 *			  pages. This catches accidents (a linear overrun is an
 *			  oops, not silent corruption); it stops no attacker and
 *			  turns no fault into an error.
 * @SBM_ISOLATION_STRONG: The target runs in user mode on page tables of its
 *			  own. A violation stops the target and the caller gets an
 *			  error.
 *
 * The values are ordered: a larger value is stronger.
 */
enum sbm_isolation {
	SBM_ISOLATION_NONE,
	SBM_ISOLATION_WEAK,
	SBM_ISOLATION_STRONG,
};

/**
 * enum sbm_cause - why a target was stopped
 * @SBM_CAUSE_NONE:	     It was not stopped.
 * @SBM_CAUSE_PAGE_FAULT:    It touched an address that it has no right to touch
 *			     in that way.
 * @SBM_CAUSE_PROTECTION:    It executed a privileged instruction, raised a
 *			     software interrupt or broke another protection rule.
 * @SBM_CAUSE_ILLEGAL_INSN:  It executed an illegal instruction. This includes
 *			     the trap instructions of WARN() and BUG().
 * @SBM_CAUSE_ARITHMETIC:    Division error or overflow.
 * @SBM_CAUSE_DEBUG:	     Breakpoint or debug trap which the target caused.
 * @SBM_CAUSE_FPU:	     It used the floating point unit or vector registers.
 * @SBM_CAUSE_SYSCALL:	     It executed a system call instruction.
 * @SBM_CAUSE_SEGMENT:	     It left 64-bit user mode or changed its code or stack
 *			     segment.
 * @SBM_CAUSE_PROBE:	     It ran into a breakpoint that the kernel itself keeps in
 *			     its text (a kprobe, for instance).
 * @SBM_CAUSE_MACHINE_CHECK: A machine check arrived during its stay.
 * @SBM_CAUSE_SIGNAL:	     The calling task got a fatal signal.
 * @SBM_CAUSE_CANCEL:	     Somebody called sbm_cancel().
 * @SBM_CAUSE_TIME:	     Its time was used up.
 * @SBM_CAUSE_TRACED:	     The processor traces the calling task in user mode (Intel
 *			     PT), and would trace the target for the same reader.
 * @SBM_CAUSE_DEVICE:	     The device that it shares buffers with has tried to access
 *			     something else.
 * @SBM_CAUSE_HOSTCALL:	     It made a host call that does not exist, or is not allowed
 *			     to it.
 * @SBM_CAUSE_OTHER:	     Another exception, see the vector.
 * @SBM_CAUSE_INTERNAL:	     The sandbox cannot go on for a reason that is not the
 *			     target's doing. The kernel log tells more.
 * @SBM_NR_CAUSES:	     Number of causes.
 */
enum sbm_cause {
	SBM_CAUSE_NONE,
	SBM_CAUSE_PAGE_FAULT,
	SBM_CAUSE_PROTECTION,
	SBM_CAUSE_ILLEGAL_INSN,
	SBM_CAUSE_ARITHMETIC,
	SBM_CAUSE_DEBUG,
	SBM_CAUSE_FPU,
	SBM_CAUSE_SYSCALL,
	SBM_CAUSE_SEGMENT,
	SBM_CAUSE_PROBE,
	SBM_CAUSE_MACHINE_CHECK,
	SBM_CAUSE_SIGNAL,
	SBM_CAUSE_CANCEL,
	SBM_CAUSE_TIME,
	SBM_CAUSE_TRACED,
	SBM_CAUSE_DEVICE,
	SBM_CAUSE_HOSTCALL,
	SBM_CAUSE_OTHER,
	SBM_CAUSE_INTERNAL,
	SBM_NR_CAUSES
};

/**
 * enum sbm_access - kind of access to memory
 * @SBM_ACCESS_NONE:  It was no access to memory.
 * @SBM_ACCESS_READ:  Load.
 * @SBM_ACCESS_WRITE: Store, or a load that is part of a store.
 * @SBM_ACCESS_EXEC:  Fetch of an instruction.
 */
enum sbm_access {
	SBM_ACCESS_NONE,
	SBM_ACCESS_READ,
	SBM_ACCESS_WRITE,
	SBM_ACCESS_EXEC,
};

/**
 * struct sbm_fault - what stopped the last call
 * @cause:	Why the target was stopped.
 * @access:	How @address was accessed, for %SBM_CAUSE_PAGE_FAULT.
 * @vector:	Number of the exception, as the architecture counts them. Not
 *		meaningful for %SBM_CAUSE_SIGNAL, %SBM_CAUSE_CANCEL, %SBM_CAUSE_TIME,
 *		%SBM_CAUSE_TRACED and %SBM_CAUSE_DEVICE.
 * @error_code:	The exception's error code, 0 if it has none.
 * @address:	The address that was touched, for %SBM_CAUSE_PAGE_FAULT; else 0.
 * @ip:		Where the target was: the faulting instruction, or the one after
 *		it where the exception is a trap. 0 if it cannot be known.
 * @sp:		The target's stack pointer, 0 if it cannot be known.
 * @time:	Nanoseconds that the call has spent inside.
 * @caller:	Where the call came from: the address that sbm_call() or sbm_exec()
 *		has returned to.
 * @has_regs:	@regs is valid.
 * @regs:	All registers of the target when it was stopped, as the
 *		architecture has them. The instruction and stack pointers in it are
 *		@ip and @sp. Not meaningful without @has_regs: the registers were
 *		lost.
 */
struct sbm_fault {
	enum sbm_cause	cause;
	enum sbm_access	access;
	u32		vector;
	unsigned long	error_code;
	unsigned long	address;
	unsigned long	ip;
	unsigned long	sp;
	u64		time;
	unsigned long	caller;
	bool		has_regs;
	/* The last member: it is not cleared before a call */
	struct pt_regs	regs;
};

/**
 * define SBM_ATTR_WEAK - use weak isolation even where strong is to be had
 *
 * For targets that cannot have strong isolation (init code of a module) and for
 * debugging. &struct sbm_attr.min_isolation must not ask for more.
 */
#define SBM_ATTR_WEAK		0x0001

/**
 * define SBM_ATTR_IBPB - keep branch predictions of other instances away
 *
 * An indirect branch prediction barrier precedes each stay on a CPU where the last
 * one was another instance's. It takes some thousand cycles. Takes strong isolation
 * and a processor that has the barrier.
 */
#define SBM_ATTR_IBPB		0x0002

/**
 * define SBM_ATTR_FREEZABLE - calls do not keep their task from being frozen
 *
 * A promise of the caller's: during each call it holds no lock, and nothing else that a
 * task which is still to be frozen could wait for. When the freezer wants the task, the
 * call pauses until it is thawed; the time does not count. It concerns tasks that can be
 * frozen at all: those of user space, and kernel threads after set_freezable(). Weak
 * isolation cannot interrupt a target, and ignores it.
 */
#define SBM_ATTR_FREEZABLE	0x0004

#define __SBM_ATTR_ALL		(SBM_ATTR_WEAK | SBM_ATTR_IBPB | SBM_ATTR_FREEZABLE)

/**
 * define SBM_NO_LIMIT - as long as it takes
 *
 * For &sbm_attr.time_limit. Only a fatal signal or sbm_cancel() ends such a call before its time.
 */
#define SBM_NO_LIMIT		U64_MAX

/**
 * struct sbm_attr - what an instance needs
 * @min_isolation: The least isolation that the caller accepts.
 *		   %SBM_ISOLATION_NONE leaves the choice to the system.
 * @flags:	   Bit mask of SBM_ATTR_* flags.
 * @stack_size:	   Size of the target's stack in bytes; rounded up to whole
 *		   pages, at most %SBM_MAX_STACK_SIZE. 0 means
 *		   %SBM_DEFAULT_STACK_SIZE. Weak isolation uses the caller's
 *		   stack and ignores it.
 * @time_limit:	   Nanoseconds that one call may spend inside; time during which
 *		   the caller was preempted, or interrupts were served, does not
 *		   count. 0 means the sysctl kernel.sbm_time_limit_ms, as it is when
 *		   the instance is set up; %SBM_NO_LIMIT none at all.
 * @total_time_limit: The same for all calls of an instance together. 0 means
 *		   none.
 * @memory_limit:  Bytes that the instance may hold: copies of buffers, stack, heap
 *		   and page tables, in whole pages. Pages of SBM_MAP buffers are the
 *		   caller's and do not count. At least a page; 0 means none but the
 *		   system's.
 * @heap_size:	   Bytes that code which is built for the inside can allocate there, with
 *		   what the allocator needs for itself; rounded up to whole pages, at
 *		   most %SBM_MAX_BUFFER_SIZE. 0 means no heap: each allocation fails.
 * @log_size:	   Bytes for what such code prints during one call; rounded up to
 *		   whole pages, at most %SBM_MAX_LOG_SIZE. 0 means that it is lost.
 *
 * Weak isolation cannot stop a target. It ignores limits of time.
 */
struct sbm_attr {
	enum sbm_isolation	min_isolation;
	unsigned int		flags;
	size_t			stack_size;
	u64			time_limit;
	u64			total_time_limit;
	size_t			memory_limit;
	size_t			heap_size;
	size_t			log_size;
};

/* Stack of a target in bytes, the same as most kernel threads have: KASAN doubles it */
#define SBM_DEFAULT_STACK_SIZE	(IS_ENABLED(CONFIG_KASAN) ? 32768 : 16384)
/* Largest stack in bytes that can be asked for */
#define SBM_MAX_STACK_SIZE	(256 * 1024)
/* Largest buffer for messages in bytes that can be asked for */
#define SBM_MAX_LOG_SIZE	(64 * 1024)
/* What sbm_describe() needs, in bytes */
#define SBM_DESCRIPTION_SIZE	256
/* Largest buffer in bytes */
#define SBM_MAX_BUFFER_SIZE	(64UL * 1024 * 1024)

/**
 * struct sbm - a sandbox instance
 *
 * @error:    Internal. The sticky error; read it with sbm_error().
 * @instance: Internal. State of the instance, NULL if there is none.
 *
 * It may live on the stack. Its content before sbm_init() does not matter.
 *
 * ===============  ==========================  ===============================
 * after            sbm_error()                 next legal step
 * ===============  ==========================  ===============================
 * sbm_init() = 0   0                           add buffers, call, destroy
 * sbm_init() < 0   that error                  destroy (or nothing)
 * a failed buffer  why it failed               destroy; calls return the error
 * a clean call     0                           add buffers, call, destroy
 * a stopped call   why it was stopped          read sbm_fault(), reset or destroy
 * sbm_reset() = 0  0                           as after sbm_init() = 0
 * sbm_destroy()    -EINVAL                     sbm_init()
 * ===============  ==========================  ===============================
 */
struct sbm {
	int			error;
	struct sbm_instance	*instance;
};

/**
 * typedef sbm_func - target function of sbm_exec()
 * @data: Passed as is.
 *
 * Return: whatever sbm_exec() shall return.
 */
typedef int (*sbm_func)(void *data);

/*
 * What a buffer is for. Not for callers: use the SBM_COPY_ and SBM_MAP_ macros. An enum,
 * so that debuggers know the values.
 */
enum __sbm_buf_flags {
	__SBM_BUF_IN	= 0x0001,	/* Copy from the caller at once */
	__SBM_BUF_OUT	= 0x0002,	/* Copy to the caller after a clean call */
	__SBM_BUF_WRITE	= 0x0004,	/* The target may write */
	__SBM_BUF_MAP	= 0x0008,	/* The caller's own pages, no copy */
	__SBM_BUF_END	= 0x0010,	/* Align the end with the guard page */
	__SBM_BUF_DMA	= 0x0020,	/* For a device, there is no caller's buffer */
	__SBM_BUF_HEAP	= 0x0040,	/* The heap: it gets its pages as it needs them */
	__SBM_BUF_LOG	= 0x0080,	/* Messages from inside */
	__SBM_BUF_FIELDS = 0x0100,	/* Only some fields are copied */
	__SBM_BUF_LOST	= 0x0200,	/* A device keeps the pages */
};

/* Most fields that a description can have */
#define SBM_MAX_FIELDS		64

/**
 * struct sbm_field - a field of a structure that a target has a right to
 * @offset: Where it begins in the structure.
 * @size:   Its size in bytes.
 * @of:	    Size of the structure.
 * @rights: %__SBM_BUF_IN if the target may read what it is, %__SBM_BUF_OUT if what the
 *	    target has written comes back.
 *
 * Not for callers: SBM_FIELD(), SBM_FIELD_IN() and SBM_FIELD_OUT() make them.
 */
struct sbm_field {
	u32	offset;
	u32	size;
	u32	of;
	u32	rights;
};

/**
 * struct sbm_call_desc - a call as sbm_call() hands it over
 * @target: The target function.
 * @thunk:  Calls @target directly with the arguments in @args.
 * @args:   The arguments in a structure of the right types, for @thunk.
 * @regs:   The arguments as the architecture's calling convention has them.
 * @nr:     Number of arguments.
 *
 * Not for callers: use sbm_call().
 */
struct sbm_call_desc {
	unsigned long		target;
	int			(*thunk)(const void *args);
	const void		*args;
	const unsigned long	*regs;
	unsigned int		nr;
};

#ifdef CONFIG_SBM

/**
 * sbm_isolation() - tell the strongest isolation that is available
 *
 * It does not change after boot, except that it can drop when an internal
 * inconsistency has switched the feature off.
 *
 * Context: Process context, may sleep: the first call sets up what all
 *	    sandboxes share.
 * Return: the isolation that sbm_init() would give.
 */
enum sbm_isolation sbm_isolation(void);

/**
 * sbm_init() - set up a sandbox instance
 * @sbm: The instance. Its previous content is ignored; an instance that was
 *	 set up before must have been destroyed.
 *
 * Gives the strongest isolation that is available. %SBM_ISOLATION_NONE is only
 * given if the system was booted with ``sbm=off``; this is logged once. A caller
 * that needs to be sure uses sbm_init_attr().
 *
 * The error is also kept in @sbm, and returned by all later calls, so it may be
 * ignored here. Whatever the result, sbm_destroy() is safe afterwards.
 *
 * Context: Process context, may sleep. Interrupts enabled.
 * Return:
 * * 0		- success
 * * -EINVAL	- @sbm is NULL, or not in process context with interrupts enabled
 * * -ENOMEM	- out of memory, see sbm_init_attr()
 */
int sbm_init(struct sbm *sbm);

/**
 * sbm_init_attr() - set up a sandbox instance with requirements
 * @sbm:  The instance, see sbm_init().
 * @attr: What is required, NULL for the same as sbm_init().
 *
 * Context: Process context, may sleep. Interrupts enabled.
 * Return:
 * * 0 - success
 * * -EINVAL - as sbm_init(); or a value in @attr is not valid
 * * -EOPNOTSUPP - less than &sbm_attr.min_isolation is available, or not what
 *   a flag asks for
 * * -ENOMEM - out of memory, or all instances together hold as much as the
 *   sysctl kernel.sbm_max_pages allows
 * * -ENOSPC - &sbm_attr.memory_limit is too little for stack, tables, heap
 *   and messages
 */
int sbm_init_attr(struct sbm *sbm, const struct sbm_attr *attr);

/**
 * sbm_destroy() - free a sandbox instance
 * @sbm: The instance. NULL, one that could not be set up or is already
 *	 destroyed is fine.
 *
 * Buffers which the SBM_COPY macros made are scrubbed and freed. Must not be
 * called while another thread uses @sbm: such a call warns and does nothing.
 *
 * Context: Process context, may sleep. Interrupts enabled.
 */
void sbm_destroy(struct sbm *sbm);

/**
 * sbm_reset() - make an instance as good as new
 * @sbm: The instance.
 *
 * All its buffers are scrubbed and freed, the stack and all else that a target could
 * write is scrubbed, and what has stopped it or was counted is forgotten: limits
 * start anew. The heap is empty, and messages that were not printed are lost. It lets
 * go of the modules that it has called. Cheaper than sbm_destroy()
 * and sbm_init(). A sbm_cancel() that comes at the same time may be forgotten.
 *
 * Context: Process context, may sleep. Interrupts enabled.
 * Return:
 * * 0		 - it can be used again
 * * -EINVAL	 - @sbm is NULL or not set up, or interrupts are disabled
 * * -EBUSY	 - it is in use; its state does not change
 * * -ENOMEM	 - out of memory for a new heap: only sbm_destroy() is left
 * * -EOPNOTSUPP - strong isolation was switched off: only sbm_destroy() is left
 */
int sbm_reset(struct sbm *sbm);

/**
 * sbm_cancel() - stop a call from elsewhere
 * @sbm: The instance. The caller makes sure that it is not destroyed, or given back to a
 *	 pool, meanwhile: a timer that calls this is deleted first.
 *
 * If a target runs, its call ends with -EINTR soon (the processor that it is on is
 * interrupted); if none runs, the next call does so at once. Either way the instance
 * runs nothing more until sbm_reset(). Does not wait.
 *
 * Weak isolation cannot stop a target that runs; its next call does not begin.
 * Without isolation, there is nothing to cancel.
 *
 * Context: Any, but NMIs.
 */
void sbm_cancel(struct sbm *sbm);

struct sbm_pool;

/**
 * sbm_pool_create() - have instances ready
 * @attr: What they need, see sbm_init_attr(). NULL for the same as sbm_init().
 * @nr:	  How many to keep ready at most, and to set up now.
 *
 * For callers that cannot afford to set up an instance for each use. Under memory
 * pressure those that nobody uses are freed; sbm_pool_get() sets up new ones then.
 * Memory of instances is charged to whoever sets them up, and stays so while they are
 * in the pool. The pressure of a memory cgroup alone frees none.
 *
 * Context: Process context, may sleep. Interrupts enabled.
 * Return: the pool, to be tested with IS_ERR(); ERR_PTR of what sbm_init_attr() returns,
 * or of -ENOMEM
 */
struct sbm_pool *sbm_pool_create(const struct sbm_attr *attr, unsigned int nr);

/**
 * sbm_pool_get() - take an instance out of a pool
 * @pool: The pool.
 * @sbm:  The instance, see sbm_init().
 *
 * As sbm_init_attr(), but faster if one is ready. Takes as many as are asked for: the
 * pool does not limit how many are in use.
 *
 * Context: Process context, may sleep. Interrupts enabled.
 * Return: see sbm_init_attr(); the error is kept in @sbm, too.
 */
int sbm_pool_get(struct sbm_pool *pool, struct sbm *sbm);

/**
 * sbm_pool_put() - give an instance back
 * @pool: The pool.
 * @sbm:  The instance, from sbm_pool_get() of the same pool. One that could not be
 *	  set up is fine.
 *
 * Stands in place of sbm_destroy(). The instance is reset first, see sbm_reset(), or
 * destroyed if the pool has enough of them.
 *
 * Context: Process context, may sleep. Interrupts enabled.
 */
void sbm_pool_put(struct sbm_pool *pool, struct sbm *sbm);

/**
 * sbm_pool_destroy() - free a pool and the instances in it
 * @pool: The pool; NULL or an ERR_PTR is fine. All instances were given back.
 *
 * Context: Process context, may sleep. Interrupts enabled.
 */
void sbm_pool_destroy(struct sbm_pool *pool);

/**
 * sbm_error() - tell why an instance cannot run, or was stopped
 * @sbm: The instance.
 *
 * Context: Any.
 * Return: 0 if all buffers could be set up and the last target ran to its end,
 * whatever it returned; -EINVAL for NULL or a destroyed instance; else the error
 * that sbm_init(), a buffer or the call has met, see there.
 */
int sbm_error(const struct sbm *sbm);

/**
 * sbm_fault() - tell what stopped the last call
 * @sbm: The instance.
 *
 * Context: Any. The result is valid until the next call, sbm_reset() or sbm_destroy().
 * Return: a description of the stop; NULL if @sbm is not set up or its last call
 * was not stopped.
 */
const struct sbm_fault *sbm_fault(const struct sbm *sbm);

/**
 * sbm_describe() - tell what a target finds at an address
 * @sbm:  The instance.
 * @addr: The address, for instance &sbm_fault.address.
 * @buf:  Where the description goes.
 * @size: Size of @buf in bytes, %SBM_DESCRIPTION_SIZE is enough. What does not fit
 *	  is cut off.
 *
 * The description is a line of English for people: "17 bytes past the end of
 * buffer 'in' (COPY_IN, 100 bytes), in the guard page behind it". An address in a
 * guard page is told from the nearest end.
 *
 * Context: Process context, may sleep. By the thread that may use @sbm.
 * Return: the length of the description in bytes, without the zero behind it.
 */
int sbm_describe(const struct sbm *sbm, unsigned long addr, char *buf, size_t size);

/* For the kernel's dumps: a line if this CPU has been called away from a target */
void print_sbm_info(const char *log_lvl);

/**
 * sbm_cause_name() - name of a cause
 * @cause: The cause.
 *
 * Context: Any.
 * Return: a short description in English, for messages.
 */
const char *sbm_cause_name(enum sbm_cause cause);

/**
 * sbm_instance_isolation() - tell the isolation that an instance has got
 * @sbm: The instance.
 *
 * Context: Any.
 * Return: the isolation; %SBM_ISOLATION_NONE if @sbm is not set up.
 */
enum sbm_isolation sbm_instance_isolation(const struct sbm *sbm);

/**
 * sbm_exec() - run a function in a sandbox
 * @sbm:  The instance.
 * @func: The target.
 * @data: Passed to @func as is. If it shall point to something that @func can
 *	  reach, it must be the value of an SBM_COPY or SBM_MAP macro.
 *
 * After a clean return of @func, and only then, the buffers made by
 * SBM_COPY_OUT() and SBM_COPY_INOUT() are copied back to the caller. After a stop
 * they are not, the reason is in sbm_error() and sbm_fault(), and the instance
 * runs nothing more.
 *
 * With strong isolation, the first call of a function in a module takes a
 * reference on the module, which sbm_destroy() and sbm_reset() drop: until then, the
 * module cannot be unloaded.
 *
 * Context: Process context, may sleep. Interrupts enabled. One thread at a time
 *	    may use an instance. Must not be called with a spinlock held or with
 *	    preemption disabled, nor inside kernel_fpu_begin().
 * Return: what @func returned if it ran to its end (sbm_error() is then 0), else
 *
 * * -EINVAL - @sbm or @func is NULL, @sbm is not set up or is destroyed,
 *   interrupts are disabled
 * * -EBUSY - @sbm is in use, by another thread or further up in the call chain of
 *   this one; its state does not change
 * * -EOPNOTSUPP - @func cannot run with the isolation of @sbm: it is neither in
 *   the text of the kernel image nor in that of a module which is there to stay
 *   (init text is not); or Intel PT traces the calling task in user mode
 * * -ENOMEM - out of memory at the first call of a function in a module
 * * -ENOSPC - &sbm_attr.memory_limit is too little for the tables of a module
 * * -ENOMEM - @func was stopped because there was no page for its heap
 * * -EFAULT - @func was stopped because of a violation
 * * -ETIME - @func was stopped because its time was used up
 * * -EINTR - a fatal signal is pending for the calling task; or sbm_cancel() was
 *   called
 * * other - the sticky error of @sbm, see sbm_error()
 */
int __must_check sbm_exec(struct sbm *sbm, sbm_func func, void *data);

/* Work horse of sbm_call() */
int __sbm_call_desc(struct sbm *sbm, const struct sbm_call_desc *desc);

/* Work horse of the SBM_COPY and SBM_MAP macros; @name is for reports */
void *__sbm_buffer(struct sbm *sbm, unsigned long buf, size_t size,
		   unsigned int flags, const char *name);

/* Work horse of SBM_COPY_FIELDS(): @nr structures of @of bytes */
void *__sbm_buffer_fields(struct sbm *sbm, unsigned long buf, size_t of, size_t nr,
			  const struct sbm_field *fields, unsigned int nr_fields,
			  const char *name);

#else /* CONFIG_SBM */

/*
 * Without the feature a target is called directly, and whoever demands more is
 * refused: nothing degrades in silence.
 */
static inline enum sbm_isolation sbm_isolation(void)
{
	return SBM_ISOLATION_NONE;
}

static inline int sbm_init_attr(struct sbm *sbm, const struct sbm_attr *attr)
{
	if (!sbm)
		return -EINVAL;

	sbm->instance = NULL;
	if (attr && ((attr->flags & ~__SBM_ATTR_ALL) ||
		     attr->min_isolation > SBM_ISOLATION_STRONG ||
		     attr->stack_size > SBM_MAX_STACK_SIZE ||
		     attr->heap_size > SBM_MAX_BUFFER_SIZE ||
		     attr->log_size > SBM_MAX_LOG_SIZE ||
		     (attr->memory_limit && attr->memory_limit < PAGE_SIZE)))
		sbm->error = -EINVAL;
	else if (attr && (attr->min_isolation > SBM_ISOLATION_NONE ||
			  (attr->flags & SBM_ATTR_IBPB)))
		sbm->error = -EOPNOTSUPP;
	else
		sbm->error = 0;

	if (!sbm->error)
		pr_notice_once("sbm: not configured: targets are called directly, without any isolation\n");

	return sbm->error;
}

static inline int sbm_init(struct sbm *sbm)
{
	return sbm_init_attr(sbm, NULL);
}

static inline void sbm_destroy(struct sbm *sbm)
{
	if (sbm)
		sbm->error = -EINVAL;
}

static inline int sbm_reset(struct sbm *sbm)
{
	return sbm ? sbm->error : -EINVAL;
}

static inline void sbm_cancel(struct sbm *sbm) { }

/* A pool that has nothing to keep ready is NULL, and has refused before what it must */
static inline struct sbm_pool *sbm_pool_create(const struct sbm_attr *attr,
					       unsigned int nr)
{
	struct sbm sbm;

	return ERR_PTR(sbm_init_attr(&sbm, attr));
}

static inline int sbm_pool_get(struct sbm_pool *pool, struct sbm *sbm)
{
	return sbm_init(sbm);
}

static inline void sbm_pool_put(struct sbm_pool *pool, struct sbm *sbm)
{
	sbm_destroy(sbm);
}

static inline void sbm_pool_destroy(struct sbm_pool *pool) { }

static inline int sbm_error(const struct sbm *sbm)
{
	return sbm ? sbm->error : -EINVAL;
}

static inline const struct sbm_fault *sbm_fault(const struct sbm *sbm)
{
	return NULL;
}

static inline int sbm_describe(const struct sbm *sbm, unsigned long addr,
			       char *buf, size_t size)
{
	if (size)
		buf[0] = '\0';

	return 0;
}

static inline const char *sbm_cause_name(enum sbm_cause cause)
{
	return "none";
}

static inline enum sbm_isolation sbm_instance_isolation(const struct sbm *sbm)
{
	return SBM_ISOLATION_NONE;
}

static inline int __must_check sbm_exec(struct sbm *sbm, sbm_func func,
					void *data)
{
	if (!sbm || !func)
		return -EINVAL;

	return sbm->error ?: func(data);
}

static inline int __sbm_call_desc(struct sbm *sbm,
				  const struct sbm_call_desc *desc)
{
	if (!sbm)
		return -EINVAL;

	return sbm->error ?: desc->thunk(desc->args);
}

static inline void *__sbm_buffer(struct sbm *sbm, unsigned long buf,
				 size_t size, unsigned int flags,
				 const char *name)
{
	return sbm && !sbm->error ? (void *)buf : NULL;
}

static inline void *__sbm_buffer_fields(struct sbm *sbm, unsigned long buf,
					size_t of, size_t nr,
					const struct sbm_field *fields,
					unsigned int nr_fields, const char *name)
{
	return sbm && !sbm->error ? (void *)buf : NULL;
}

static inline void print_sbm_info(const char *log_lvl) { }

#endif /* CONFIG_SBM */

/* The value has the type of @buf, decayed if it is an array */
#define __SBM_BUFFER(sbm, buf, size, flags, name)			\
({									\
	typeof(({ (buf); })) __sbm_buf = (buf);				\
	(typeof(__sbm_buf))__sbm_buffer(sbm, (unsigned long)__sbm_buf,	\
					size, flags, name);		\
})

/* The same for memory that is written: a pointer to const is refused */
#define __SBM_BUFFER_WRITE(sbm, buf, size, flags, name)		\
({									\
	typeof(({ (buf); })) __sbm_wbuf = (buf);			\
	void *__sbm_void __maybe_unused = __sbm_wbuf;			\
	__SBM_BUFFER(sbm, __sbm_wbuf, size, (flags) | __SBM_BUF_WRITE,	\
		     name);						\
})

/**
 * SBM_COPY_IN() - give a target a read-only copy of a buffer
 * @sbm:  The instance.
 * @buf:  Pointer to, or array of, what shall be copied.
 * @size: Size in bytes, at most %SBM_MAX_BUFFER_SIZE. 0 is legal.
 *
 * The content is copied when the macro is evaluated. The copy starts on a page
 * of its own, the rest of its last page is zero, and the pages before and after
 * it are not mapped. It lives until sbm_reset() or sbm_destroy(). Reports name it by
 * the text of @buf.
 *
 * On failure, the error is kept in @sbm: -EINVAL (@buf is NULL and @size is not
 * 0, or @size is too large), -ENOMEM, -ENOSPC (no room in the sandbox's address
 * range, or within &sbm_attr.memory_limit), -EBUSY (@sbm is running; this one is not kept).
 *
 * Context: Process context, may sleep. Interrupts enabled.
 * Return: the address of the copy inside the sandbox, with the type of @buf;
 * NULL on failure. With @size 0, an address that must not be accessed.
 */
#define SBM_COPY_IN(sbm, buf, size)	\
	__SBM_BUFFER(sbm, buf, size, __SBM_BUF_IN, #buf)

/**
 * SBM_COPY_OUT() - give a target a buffer for its output
 * @sbm:  The instance.
 * @buf:  Pointer to, or array of, the caller's buffer.
 * @size: Size in bytes, at most %SBM_MAX_BUFFER_SIZE. 0 is legal.
 *
 * The target finds a buffer full of zeroes that it can read and write. After
 * each clean return, all of it is copied to @buf; after a stop, nothing is. So
 * @buf must exist as long as calls are made with @sbm. See SBM_COPY_IN() for
 * layout and errors.
 *
 * The content is the target's: check it before use.
 *
 * Context: Process context, may sleep. Interrupts enabled.
 * Return: the address inside the sandbox, with the type of @buf; NULL on failure.
 */
#define SBM_COPY_OUT(sbm, buf, size)	\
	__SBM_BUFFER_WRITE(sbm, buf, size, __SBM_BUF_OUT, #buf)

/**
 * SBM_COPY_INOUT() - give a target a writable copy of a buffer
 * @sbm:  The instance.
 * @buf:  Pointer to, or array of, the caller's buffer.
 * @size: Size in bytes, at most %SBM_MAX_BUFFER_SIZE. 0 is legal.
 *
 * SBM_COPY_IN() and SBM_COPY_OUT() in one.
 *
 * Context: Process context, may sleep. Interrupts enabled.
 * Return: the address inside the sandbox, with the type of @buf; NULL on failure.
 */
#define SBM_COPY_INOUT(sbm, buf, size)	\
	__SBM_BUFFER_WRITE(sbm, buf, size, __SBM_BUF_IN | __SBM_BUF_OUT, #buf)

/**
 * SBM_FIELD() - describe a field that a target may read and write
 * @type:   The structure.
 * @member: The field; also one of a structure in it, or an element of an array. Neither a
 *	    bit field, nor a flexible array: the compiler refuses them.
 *
 * An element of the array that SBM_COPY_FIELDS() takes.
 */
#define SBM_FIELD(type, member)	\
	__SBM_FIELD(type, member, __SBM_BUF_IN | __SBM_BUF_OUT)

/**
 * SBM_FIELD_IN() - describe a field that a target may read
 * @type:   The structure.
 * @member: The field, see SBM_FIELD().
 */
#define SBM_FIELD_IN(type, member)	__SBM_FIELD(type, member, __SBM_BUF_IN)

/**
 * SBM_FIELD_OUT() - describe a field that a target may write
 * @type:   The structure.
 * @member: The field, see SBM_FIELD().
 *
 * The target finds zeroes, not what the field is.
 */
#define SBM_FIELD_OUT(type, member)	__SBM_FIELD(type, member, __SBM_BUF_OUT)

#define __SBM_FIELD(type, member, _rights) {				\
	.offset	= offsetof(type, member),				\
	.size	= sizeof_field(type, member),				\
	.of	= sizeof(type),						\
	.rights	= (_rights),						\
}

/* Do two fields have a byte in common? For the compiler, which knows what they are. */
static __always_inline bool __sbm_fields_meet(const struct sbm_field *f, size_t nr,
					      size_t i, size_t j)
{
	return i < nr && j < nr && f[i].offset < f[j].offset + f[j].size &&
	       f[j].offset < f[i].offset + f[i].size;
}

/* Among the first, that is: it would be too much to do for many. */
static __always_inline bool __sbm_fields_overlap(const struct sbm_field *f, size_t nr)
{
	return __sbm_fields_meet(f, nr, 0, 1) || __sbm_fields_meet(f, nr, 0, 2) ||
	       __sbm_fields_meet(f, nr, 1, 2) || __sbm_fields_meet(f, nr, 0, 3) ||
	       __sbm_fields_meet(f, nr, 1, 3) || __sbm_fields_meet(f, nr, 2, 3) ||
	       __sbm_fields_meet(f, nr, 0, 4) || __sbm_fields_meet(f, nr, 1, 4) ||
	       __sbm_fields_meet(f, nr, 2, 4) || __sbm_fields_meet(f, nr, 3, 4) ||
	       __sbm_fields_meet(f, nr, 0, 5) || __sbm_fields_meet(f, nr, 1, 5) ||
	       __sbm_fields_meet(f, nr, 2, 5) || __sbm_fields_meet(f, nr, 3, 5) ||
	       __sbm_fields_meet(f, nr, 4, 5);
}

/* What the compiler does not find, as the array is not constant, is found later */
#define __SBM_FIELDS_CHECK(fields, type)				\
do {									\
	bool __sbm_other = (fields)[0].of != sizeof(type);		\
	bool __sbm_overlap = __sbm_fields_overlap(fields, ARRAY_SIZE(fields)); \
									\
	BUILD_BUG_ON_MSG(!ARRAY_SIZE(fields) || ARRAY_SIZE(fields) > SBM_MAX_FIELDS, \
			 "no fields, or more than SBM_MAX_FIELDS");	\
	BUILD_BUG_ON_MSG(__builtin_constant_p(__sbm_other) && __sbm_other, \
			 "fields of another structure");		\
	BUILD_BUG_ON_MSG(__builtin_constant_p(__sbm_overlap) && __sbm_overlap, \
			 "fields that overlap");			\
} while (0)

#define __SBM_COPY_FIELDS(sbm, buf, nr, fields, name)			\
({									\
	typeof(({ (buf); })) __sbm_fbuf = (buf);			\
	void *__sbm_void __maybe_unused = __sbm_fbuf;			\
									\
	__SBM_FIELDS_CHECK(fields, *__sbm_fbuf);			\
	(typeof(__sbm_fbuf))						\
	__sbm_buffer_fields(sbm, (unsigned long)__sbm_fbuf,		\
			    sizeof(*__sbm_fbuf), nr, fields,		\
			    ARRAY_SIZE(fields), name);			\
})

/**
 * SBM_COPY_FIELDS() - give a target a copy of some fields of a structure
 * @sbm:    The instance.
 * @ptr:    Pointer to the caller's structure.
 * @fields: Array of what SBM_FIELD(), SBM_FIELD_IN() and SBM_FIELD_OUT() make of the
 *	    structure's type, at most %SBM_MAX_FIELDS, in any order. It may be gone
 *	    afterwards.
 *
 * The target finds a structure of the same type, which it can read, and write if it may
 * write any field. Of the caller's, it holds the fields of SBM_FIELD() and
 * SBM_FIELD_IN(); all else is zero: other fields, and what is between them. After each
 * clean return, the fields of SBM_FIELD() and SBM_FIELD_OUT() are copied to the
 * caller's structure, byte for byte, and nothing else: what the target has written
 * elsewhere is dropped without a word. After a stop, nothing is copied.
 *
 * See SBM_COPY_OUT() for the rest. The caller's structure must exist as long as calls
 * are made with @sbm. What is written by others to a field that comes back, while a call
 * goes on, is lost.
 *
 * Errors are those of SBM_COPY_IN(). -EINVAL, too, if @fields are of a type of another
 * size, overlap or are too many; the build fails if the compiler can see that.
 *
 * Context: Process context, may sleep. Interrupts enabled.
 * Return: the address inside the sandbox, with the type of @ptr; NULL on failure.
 */
#define SBM_COPY_FIELDS(sbm, ptr, fields)	\
	__SBM_COPY_FIELDS(sbm, ptr, 1, fields, #ptr)

/**
 * SBM_COPY_FIELDS_ARRAY() - give a target a copy of some fields of many structures
 * @sbm:    The instance.
 * @ptr:    Pointer to the first of the caller's structures, or an array of them.
 * @nr:	    How many. 0 is legal.
 * @fields: See SBM_COPY_FIELDS(). They are the same for all elements.
 *
 * All elements together have at most %SBM_MAX_BUFFER_SIZE.
 *
 * Context: Process context, may sleep. Interrupts enabled.
 * Return: the address of the first inside the sandbox, with the type of @ptr; NULL on
 * failure.
 */
#define SBM_COPY_FIELDS_ARRAY(sbm, ptr, nr, fields)	\
	__SBM_COPY_FIELDS(sbm, ptr, nr, fields, #ptr)

/**
 * SBM_MAP_READONLY() - let a target read the caller's own memory
 * @sbm:  The instance.
 * @buf:  Pointer to, or array of, kernel memory that stays where it is until
 *	  sbm_destroy(): from the page allocator, kmalloc(), vmalloc() or the
 *	  kernel image. Not the caller's stack (copy that), nor memory of a device
 *	  or a user, nor memory with cache attributes of its own.
 * @size: Size in bytes, at most %SBM_MAX_BUFFER_SIZE. 0 is legal.
 *
 * Nothing is copied: the pages are mapped a second time, at an address inside
 * the sandbox. Rights are those of **whole pages**, so the target can also read
 * whatever else lies on the first and last of them. Nor is anything cleared: memory
 * that is fresh from an allocator holds what others have left there.
 *
 * On failure, the error is kept in @sbm: -EINVAL (@buf is NULL and @size is not
 * 0, @size is too large, or @buf is no memory that can be mapped), -ENOMEM,
 * -ENOSPC, -EBUSY.
 *
 * Context: Process context, may sleep. Interrupts enabled.
 * Return: the address inside the sandbox, with the type of @buf; NULL on failure.
 */
#define SBM_MAP_READONLY(sbm, buf, size)	\
	__SBM_BUFFER(sbm, buf, size, __SBM_BUF_MAP, #buf)

/**
 * SBM_MAP_WRITABLE() - let a target write to the caller's own memory
 * @sbm:  The instance.
 * @buf:  See SBM_MAP_READONLY(). Must be memory that the kernel can write.
 * @size: Size in bytes, at most %SBM_MAX_BUFFER_SIZE. 0 is legal.
 *
 * What the target has written stays written when it is stopped, and it can write
 * to **whole pages**: use this for pages that hold nothing else.
 *
 * Context: Process context, may sleep. Interrupts enabled.
 * Return: the address inside the sandbox, with the type of @buf; NULL on failure.
 */
#define SBM_MAP_WRITABLE(sbm, buf, size)	\
	__SBM_BUFFER_WRITE(sbm, buf, size, __SBM_BUF_MAP, #buf)

/*
 * Helpers to process the lists of types and names: __SBM_MAP(m, ...) makes
 * m(type1, name1), m(type2, name2), ...
 */
#define __SBM_NARG(...)	__SBM_NARG_(0, ##__VA_ARGS__, MANY, MANY, MANY, MANY,	\
			MANY, MANY, MANY, MANY, 12, UNPAIRED, 10, UNPAIRED, 8,	\
			UNPAIRED, 6, UNPAIRED, 4, UNPAIRED, 2, UNPAIRED, 0)
#define __SBM_NARG_(_0, _1, _2, _3, _4, _5, _6, _7, _8, _9, _10, _11, _12, _13, _14, _15, \
		    _16, _17, _18, _19, _20, n, ...)			\
	n
#define __SBM_CAT(a, b)		__SBM_CAT_(a, b)
#define __SBM_CAT_(a, b)	a##b

#define __SBM_LIST(m, none, ...) \
	__SBM_CAT(__SBM_LIST, __SBM_NARG(__VA_ARGS__))(m, none, ##__VA_ARGS__)
#define __SBM_LIST0(m, none)			none
#define __SBM_LIST2(m, none, t, a)		m(t, a)
#define __SBM_LIST4(m, none, t, a, ...)		m(t, a), __SBM_LIST2(m, none, __VA_ARGS__)
#define __SBM_LIST6(m, none, t, a, ...)		m(t, a), __SBM_LIST4(m, none, __VA_ARGS__)
#define __SBM_LIST8(m, none, t, a, ...)		m(t, a), __SBM_LIST6(m, none, __VA_ARGS__)
#define __SBM_LIST10(m, none, t, a, ...)	m(t, a), __SBM_LIST8(m, none, __VA_ARGS__)
#define __SBM_LIST12(m, none, t, a, ...)	m(t, a), __SBM_LIST10(m, none, __VA_ARGS__)

/* For people: the compiler complains of these, and quotes them */
#define __SBM_LISTMANY(...)	sbm_has_more_than_six_arguments sbm_has_more_than_six_arguments
#define __SBM_LISTUNPAIRED(...)	sbm_wants_type_and_name sbm_wants_type_and_name

#define __SBM_EACH(m, ...) \
	__SBM_CAT(__SBM_EACH, __SBM_NARG(__VA_ARGS__))(m, ##__VA_ARGS__)
#define __SBM_EACHMANY(...)
#define __SBM_EACHUNPAIRED(...)
#define __SBM_EACH0(m)
#define __SBM_EACH2(m, t, a)		m(t, a)
#define __SBM_EACH4(m, t, a, ...)	m(t, a) __SBM_EACH2(m, __VA_ARGS__)
#define __SBM_EACH6(m, t, a, ...)	m(t, a) __SBM_EACH4(m, __VA_ARGS__)
#define __SBM_EACH8(m, t, a, ...)	m(t, a) __SBM_EACH6(m, __VA_ARGS__)
#define __SBM_EACH10(m, t, a, ...)	m(t, a) __SBM_EACH8(m, __VA_ARGS__)
#define __SBM_EACH12(m, t, a, ...)	m(t, a) __SBM_EACH10(m, __VA_ARGS__)

#define __SBM_NOTHING
#define __SBM_PARAM(t, a)	t a
#define __SBM_MEMBER(t, a)	t a;
#define __SBM_INIT(t, a)	.a = a
#define __SBM_PASS(t, a)	__sbm_args->a
#define __SBM_REG(t, a)		(unsigned long)(a)
#define __SBM_COMMA_PARAM(t, a)	, t a

/**
 * SBM_DEFINE_CALL() - make a function callable by sbm_call()
 * @f:	 The target: a function of 0 to 6 arguments that returns int.
 * @...: Type and name of each argument: type1, arg1, type2, arg2, ...
 *
 * Declares @f and defines the type-checked helper that sbm_call() uses. For
 * header files; a function that already exists can be made callable this way
 * without changing it. Arguments are integers, enumerations and pointers.
 *
 * The helper is always inlined: reports name the function that has the call.
 */
#define SBM_DEFINE_CALL(f, ...)						\
	int f(__SBM_LIST(__SBM_PARAM, void, ##__VA_ARGS__));		\
	struct __sbm_args_##f {						\
		__SBM_EACH(__SBM_MEMBER, ##__VA_ARGS__)			\
	};								\
	static inline int __sbm_thunk_##f(const void *args)		\
	{								\
		const struct __sbm_args_##f *__sbm_args __maybe_unused = args; \
									\
		return f(__SBM_LIST(__SBM_PASS, __SBM_NOTHING, ##__VA_ARGS__));	\
	}								\
	static __always_inline int					\
	__sbm_call_##f(struct sbm *__sbm_inst				\
		       __SBM_EACH(__SBM_COMMA_PARAM, ##__VA_ARGS__))	\
	{								\
		const struct __sbm_args_##f __sbm_args = {		\
			__SBM_LIST(__SBM_INIT, __SBM_NOTHING, ##__VA_ARGS__)		\
		};							\
		const unsigned long __sbm_regs[] = {			\
			__SBM_LIST(__SBM_REG, 0, ##__VA_ARGS__)		\
		};							\
		const struct sbm_call_desc __sbm_desc = {		\
			.target	= (unsigned long)f,			\
			.thunk	= __sbm_thunk_##f,			\
			.args	= &__sbm_args,				\
			.regs	= __sbm_regs,				\
			.nr	= __SBM_NARG(__VA_ARGS__) / 2,		\
		};							\
									\
		return __sbm_call_desc(__sbm_inst, &__sbm_desc);	\
	}

/**
 * SBM_DEFINE_THUNK() - check a target against its SBM_DEFINE_CALL()
 * @f:	 The target.
 * @...: Type and name of each argument, as in SBM_DEFINE_CALL().
 *
 * For the file that defines @f when SBM_DEFINE_CALL() is in a header: the build
 * fails if the two lists differ. A target needs no code of its own to be
 * callable: arguments are passed in registers.
 */
#define SBM_DEFINE_THUNK(f, ...)					\
	int f(__SBM_LIST(__SBM_PARAM, void, ##__VA_ARGS__));

/**
 * SBM_DEFINE_FUNC() - define a function that can be called by sbm_call()
 * @f:	 The target.
 * @...: Type and name of each argument: type1, arg1, type2, arg2, ...
 *
 * Stands in place of the function's head, and the body follows::
 *
 *	static SBM_DEFINE_FUNC(checksum, const u8 *, data, size_t, len)
 *	{
 *		...
 *	}
 */
#define SBM_DEFINE_FUNC(f, ...)						\
	noinline SBM_DEFINE_CALL(f, ##__VA_ARGS__)			\
	int f(__SBM_LIST(__SBM_PARAM, void, ##__VA_ARGS__))

/**
 * sbm_call() - call a function in a sandbox
 * @sbm: The instance.
 * @f:	 A function defined by SBM_DEFINE_FUNC() or made known by
 *	 SBM_DEFINE_CALL().
 * @...: The arguments, of the types given there. Those that point to data are
 *	 values of SBM_COPY and SBM_MAP macros, which may be written in place. The
 *	 compiler chooses the order in which the arguments are evaluated.
 *
 * Context: See sbm_exec().
 * Return: see sbm_exec(). -EINVAL, -ENOMEM and so on of a failed buffer among the
 * arguments: the target is not called then.
 */
#define sbm_call(sbm, f, ...)	__sbm_call_##f(sbm, ##__VA_ARGS__)

#endif /* _LINUX_SBM_H */
