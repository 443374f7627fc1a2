/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Sandbox mode (SBM) on x86-64: what the files here share.
 */
#ifndef _X86_KERNEL_SANDBOX_SANDBOX_H
#define _X86_KERNEL_SANDBOX_SANDBOX_H

#include <linux/sizes.h>
#include <linux/types.h>

#include <asm/pgtable_64_types.h>
#include <asm/ptrace.h>

#include "gate.h"

/*
 * The window: what is private to an instance. It lies in the guard hole, which
 * the kernel leaves empty (Xen PV uses it, and is refused): a sandbox address
 * that is used in the kernel by mistake faults.
 *
 * One PMD page covers it.
 */
#define SBM_WINDOW_START	GUARD_HOLE_BASE_ADDR
#define SBM_WINDOW_SIZE		SZ_1G
#define SBM_WINDOW_END		(SBM_WINDOW_START + SBM_WINDOW_SIZE)

/*
 * The PCID of sandboxes. The kernel's own are 1 to 2047; user space's twins under
 * page-table isolation are 2049 and a few more, see tables.c for the checks.
 */
#define SBM_PCID		2064UL

/**
 * struct arch_sbm - state of an instance
 * @top:	Top-level page table.
 * @nr_tables:	Number of private page-table pages, @top included.
 * @next:	First free address of the window. A guard page lies before it.
 * @stack_low:	Lowest byte of the stack.
 * @stack_high: Address behind the stack.
 * @gsbase:	GS base: an access to a hot per-CPU variable ends in the shadow.
 * @own:	Pages of the instance itself: stack and shadow. Tables are linked
 *		by the tables themselves, buffers belong to the generic part.
 * @nr_own:	Number of pages in @own.
 * @regs:	Registers of the target, while it is not running.
 */
struct arch_sbm {
	u64		*top;
	unsigned int	nr_tables;
	unsigned long	next;
	unsigned long	stack_low;
	unsigned long	stack_high;
	unsigned long	gsbase;
	struct page	**own;
	unsigned int	nr_own;
	struct pt_regs	regs;
};

/* gate.c */
struct sbm_gate *sbm_gate(unsigned int cpu);
int sbm_gates_create(void);

/* tables.c */
int sbm_shared_create(void);
int sbm_map_page(struct arch_sbm *as, unsigned long addr, struct page *page,
		 u64 flags);
bool sbm_lookup(const struct arch_sbm *as, unsigned long addr, u64 *rights,
		u64 *pfn);
unsigned long sbm_top_pa(const struct arch_sbm *as);

/* tlb.c */
int sbm_text_nonglobal(void);
unsigned long sbm_count_global(void);

#endif /* _X86_KERNEL_SANDBOX_SANDBOX_H */
