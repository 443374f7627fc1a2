/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Sandbox mode (SBM) on x86-64: what the files here share.
 */
#ifndef _X86_KERNEL_SANDBOX_SANDBOX_H
#define _X86_KERNEL_SANDBOX_SANDBOX_H

#include <linux/bits.h>
#include <linux/compiler.h>
#include <linux/errno.h>
#include <linux/list.h>
#include <linux/minmax.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/types.h>

#include <asm/irq_vectors.h>
#include <asm/pgtable_types.h>
#include <asm/ptrace.h>

#include "gate.h"

struct sbm_instance;
struct sbm_memory;

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
 * Where code inside finds out what it has: always the window's second page, which
 * follows from the stack pointer, see arch_sbm_guest_info().
 */
#define SBM_INFO		(SBM_WINDOW_START + PAGE_SIZE)

/*
 * The PCIDs of sandboxes. The kernel's own are 1 to 2047; user space's twins under
 * page-table isolation are 2049 and a few more, see tlb.c for the checks. Eight
 * cost a lookup of one cache line or two, and serve more sandboxes than take turns
 * on a CPU.
 */
#define SBM_PCID_FIRST		2064UL
#define SBM_NR_PCIDS		8

/**
 * struct sbm_tlb_slot - what a PCID of this CPU's TLB may hold
 * @id:		Instance whose entries it holds, 0 if that is not known.
 * @generation: Which state of the instance's tables they are from.
 */
struct sbm_tlb_slot {
	u64	id;
	u64	generation;
};

/**
 * struct sbm_tlb - the sandboxes' share of a CPU's TLB
 * @slots: One per PCID.
 * @next:  The slot to be taken away next.
 */
struct sbm_tlb {
	struct sbm_tlb_slot	slots[SBM_NR_PCIDS];
	unsigned int		next;
};

/* Result of sbm_tlb_find(): what the slot holds must be flushed */
#define SBM_TLB_FLUSH		BIT(31)

/* Bits of an address that a level of the page tables translates */
#define SBM_TABLE_SHIFT		9

/* A page for each hot per-CPU variable at most, see sbm_create_shadow() */
#define SBM_MAX_SHADOW		3

/**
 * struct arch_sbm - state of an instance
 * @id:		Number of the instance, never used again.
 * @generation: Counts changes of entries that were present: a TLB may hold the old
 *		ones.
 * @top:	Top-level page table.
 * @nr_tables:	Number of private page-table pages, @top included.
 * @memory:	Where its pages count.
 * @next:	First free address of the window. A guard page lies before it.
 * @buffers:	Address of the first buffer: @next as it was at first.
 * @shadow:	Addresses of the pages that stand in for per-CPU data.
 * @nr_shadow:	Number of these.
 * @info:	Page at %SBM_INFO, or NULL: zeroes.
 * @zero:	Zeroes that stand in for current.
 * @zero_end:	Address behind them.
 * @stack_low:	Lowest byte of the stack.
 * @stack_high: Address behind the stack.
 * @gsbase:	GS base: an access to a hot per-CPU variable ends in the shadow.
 * @own:	Pages of the instance itself: stack and shadow. Tables are linked
 *		by the tables themselves, buffers belong to the generic part.
 * @nr_own:	Number of pages in @own.
 * @regs:	Registers of the target, while it is not running.
 * @ibpb:	Branch predictions of other instances are kept away.
 * @nr_ibpb:	How often that was done, for the tests.
 * @modules:	Modules whose text and constants it maps.
 * @module_gone: One of them was freed although the instance holds it: nothing may
 *		run in the instance any more.
 * @copies:	Pages of text that the target of this call has without probes.
 * @nr_copies:	Number of these.
 */
struct arch_sbm {
	u64		id;
	u64		generation;
	u64		*top;
	unsigned int	nr_tables;
	struct sbm_memory *memory;
	unsigned long	next;
	unsigned long	buffers;
	unsigned long	shadow[SBM_MAX_SHADOW];
	unsigned int	nr_shadow;
	struct page	*info;
	unsigned long	zero;
	unsigned long	zero_end;
	unsigned long	stack_low;
	unsigned long	stack_high;
	unsigned long	gsbase;
	struct page	**own;
	unsigned int	nr_own;
	struct pt_regs	regs;
	bool		ibpb;
	unsigned int	nr_ibpb;
	struct list_head modules;
	bool		module_gone;
	struct list_head copies;
	unsigned int	nr_copies;
};

/* In an entry of an instance's tables: the table it leads to is the instance's */
#define SBM_OWN			_PAGE_SOFTW1

/*
 * Entries of tables that an instance has used may have changed from one table to
 * another. The processor may keep the old way, so no PCID's entries are right.
 */
static inline void sbm_tables_changed(struct arch_sbm *as)
{
	as->generation++;
}

/* gate.c */
struct sbm_gate *sbm_gate(unsigned int cpu);
int sbm_gates_create(void);

/* tables.c */
extern u64 *sbm_template;
int sbm_shared_create(void);
unsigned int sbm_top_shift(void);
u64 *sbm_table_of(u64 entry);
u64 *sbm_walk(struct arch_sbm *as, u64 *top, unsigned long addr, unsigned int shift,
	      u64 user);
u64 sbm_kernel_frame(unsigned long addr, unsigned int *level);
int sbm_map_page(struct arch_sbm *as, unsigned long addr, struct page *page,
		 u64 flags);
bool sbm_lookup(const struct arch_sbm *as, unsigned long addr, u64 *rights,
		u64 *pfn);
struct page *sbm_map_module_page(struct arch_sbm *as, unsigned long addr, bool text);
int sbm_replace_text(struct arch_sbm *as, unsigned long addr, struct page *page,
		     u64 **entry, u64 *old);
unsigned long sbm_top_pa(const struct arch_sbm *as);
bool sbm_is_text(const struct arch_sbm *as, unsigned long addr);
#ifdef CONFIG_KASAN
bool sbm_is_zero_shadow(u64 entry, unsigned int shift);
#else
static inline bool sbm_is_zero_shadow(u64 entry, unsigned int shift) { return false; }
#endif

/* probe.c */
bool sbm_skip_tracer(struct arch_sbm *as);
bool sbm_has_copy(const struct arch_sbm *as, unsigned long addr);
bool sbm_is_copy(const struct arch_sbm *as, unsigned long addr, unsigned long pfn);
int sbm_read_text(const struct arch_sbm *as, unsigned long addr, u8 *byte);
bool sbm_is_probe(unsigned long addr);
int sbm_copy_text(struct sbm_instance *inst, unsigned long addr);
void sbm_drop_copies(struct sbm_instance *inst);
#ifdef CONFIG_OPTPROBES
bool sbm_leave_detour(struct arch_sbm *as);
#else
static inline bool sbm_leave_detour(struct arch_sbm *as) { return false; }
#endif

/* tlb.c */
int sbm_text_nonglobal(void);
unsigned int sbm_tlb_find(struct sbm_tlb *tlb, u64 id, u64 generation);
void sbm_tlb_filled(struct sbm_tlb *tlb, unsigned int slot, u64 id,
		    u64 generation);
unsigned int sbm_tlb_enter(const struct arch_sbm *as, u64 *cr3);
void sbm_tlb_entered(const struct arch_sbm *as, unsigned int slot);
unsigned long sbm_count_global(void);
unsigned long sbm_range_count_global(unsigned long addr, unsigned long size);
int sbm_range_nonglobal(unsigned long addr, unsigned int nr);
void sbm_range_global(unsigned long addr, unsigned int nr);

/* module.c */
#ifdef CONFIG_MODULES
int sbm_module_add(struct arch_sbm *as, unsigned long addr, const char **reason);
bool sbm_module_text(const struct arch_sbm *as, unsigned long addr);
bool sbm_module_page(const struct arch_sbm *as, unsigned long addr,
		     unsigned long pfn, bool *text);
void sbm_modules_put(struct arch_sbm *as);
unsigned long sbm_modules_count_global(void);
#else
static inline int sbm_module_add(struct arch_sbm *as, unsigned long addr,
				 const char **reason)
{
	*reason = "it is not text of the kernel image";
	return -EOPNOTSUPP;
}

static inline bool sbm_module_text(const struct arch_sbm *as, unsigned long addr)
{
	return false;
}

static inline bool sbm_module_page(const struct arch_sbm *as,
				   unsigned long addr, unsigned long pfn,
				   bool *text)
{
	return false;
}

static inline void sbm_modules_put(struct arch_sbm *as) { }
static inline unsigned long sbm_modules_count_global(void) { return 0; }
#endif

/* kunit.c, for the tests: where the last NMI of this stay has hit */
void sbm_test_note_nmi(const struct sbm_gate *gate);

#if IS_ENABLED(CONFIG_SBM_KUNIT_TEST)
extern struct task_struct *sbm_test_traced;
extern struct task_struct *sbm_test_loser;
extern unsigned int sbm_test_copies;

/* A test has this task look as if Intel PT traced it */
static inline bool sbm_test_is_traced(void)
{
	return READ_ONCE(sbm_test_traced) == current;
}

/* A test has this task lose one interrupt, as a machine check in its stub would do */
static inline bool sbm_test_loses(unsigned int vector)
{
	if (likely(READ_ONCE(sbm_test_loser) != current) ||
	    vector < FIRST_EXTERNAL_VECTOR)
		return false;

	WRITE_ONCE(sbm_test_loser, NULL);

	return true;
}

/* A test wants fewer pages of text to be copied than @max */
static inline unsigned int sbm_test_max_copies(unsigned int max)
{
	return min(max, READ_ONCE(sbm_test_copies));
}
#else
static inline unsigned int sbm_test_max_copies(unsigned int max) { return max; }
static inline bool sbm_test_is_traced(void) { return false; }
static inline bool sbm_test_loses(unsigned int vector) { return false; }
#endif

#endif /* _X86_KERNEL_SANDBOX_SANDBOX_H */
