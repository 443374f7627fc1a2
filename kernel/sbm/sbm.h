/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Sandbox mode (SBM): what the generic part and the architecture share.
 *
 * Documentation/sandbox/arch-port.rst states what an architecture promises by
 * these functions.
 */
#ifndef _KERNEL_SBM_SBM_H
#define _KERNEL_SBM_SBM_H

#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/sbm.h>
#include <linux/types.h>

struct arch_sbm;
struct dentry;
struct page;
struct seq_file;
struct task_struct;

/**
 * struct sbm_buffer - a buffer of an instance
 * @list:    Entry in &sbm_instance.buffers.
 * @flags:   __SBM_BUF_* flags.
 * @kaddr:   The caller's buffer.
 * @size:    Its size in bytes.
 * @addr:    Where the target sees it: the value of the macro.
 * @nr:	     Number of pages.
 * @offset:  Offset of the first byte in the first page.
 * @vm:	     Address range in the kernel, for weak isolation.
 * @pages:   The pages.
 */
struct sbm_buffer {
	struct list_head	list;
	unsigned int		flags;
	unsigned long		kaddr;
	size_t			size;
	unsigned long		addr;
	unsigned int		nr;
	unsigned int		offset;
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
 */
struct sbm_debugfs {
	struct list_head	list;
	bool			shown;
	struct dentry		*dir;
	struct mutex		lock;	/* see above */
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
	struct arch_sbm		*arch;
#ifdef CONFIG_DEBUG_FS
	struct sbm_debugfs	debugfs;
#endif
};

/* Rights of a mapping, besides reading */
#define SBM_PROT_WRITE		0x1

/*
 * Pages that sandboxes hold: buffers, stacks, tables. Not what all sandboxes
 * share. Back to its old value once an instance is destroyed.
 */
struct page *sbm_alloc_page(void);
void sbm_free_page(struct page *page);
long sbm_pages_in_use(void);

void sbm_report(const struct sbm_instance *inst);

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
 *
 * Return: the state; ERR_PTR(-ENOMEM).
 */
struct arch_sbm *arch_sbm_create(size_t stack_size);

/**
 * arch_sbm_destroy() - free all that arch_sbm_create() and arch_sbm_map() took
 * @as: The state; nothing runs in it.
 */
void arch_sbm_destroy(struct arch_sbm *as);

/**
 * arch_sbm_map() - map pages between unmapped guard pages
 * @as:	   The state.
 * @pages: The pages.
 * @nr:	   How many; 0 reserves a guard page only.
 * @prot:  0 or %SBM_PROT_WRITE. Never executable.
 * @addr:  Where the first page was mapped, or the guard page.
 *
 * Return: 0, -ENOMEM, or -ENOSPC if the address range is used up.
 */
int arch_sbm_map(struct arch_sbm *as, struct page **pages, unsigned int nr,
		 unsigned int prot, unsigned long *addr);

/**
 * arch_sbm_target_reason() - can a function be called with strong isolation
 * @target: Its address.
 *
 * Return: NULL if it can, else the reason.
 */
const char *arch_sbm_target_reason(unsigned long target);

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

#else /* CONFIG_HAVE_ARCH_SBM */

static inline const char *arch_sbm_available(void)
{
	return "this architecture or configuration has no support for it";
}

static inline struct arch_sbm *arch_sbm_create(size_t stack_size)
{
	return ERR_PTR(-EOPNOTSUPP);
}

static inline void arch_sbm_destroy(struct arch_sbm *as) { }

static inline int arch_sbm_map(struct arch_sbm *as, struct page **pages,
			       unsigned int nr, unsigned int prot,
			       unsigned long *addr)
{
	return -EOPNOTSUPP;
}

static inline const char *arch_sbm_target_reason(unsigned long target)
{
	return NULL;
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

static inline void arch_sbm_dump_tables(struct seq_file *m,
					const struct sbm_instance *inst)
{
}

#endif /* CONFIG_HAVE_ARCH_SBM */

#endif /* _KERNEL_SBM_SBM_H */
