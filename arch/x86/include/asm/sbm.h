/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Sandbox mode (SBM) on x86-64: what the rest of arch/x86 and the tests need.
 */
#ifndef _ASM_X86_SBM_H
#define _ASM_X86_SBM_H

#ifndef __ASSEMBLER__

#include <linux/sizes.h>
#include <linux/types.h>

#include <asm/asm.h>
#include <asm/page_types.h>

struct module;
struct sbm;
struct task_struct;

/* Page-aligned bounds inside .text, see vmlinux.lds.S: the world switch, ... */
extern char __sbm_switch_start[];
extern char __sbm_switch_end[];

/* ... entry text with what else lies on its pages, ... */
extern char __sbm_entry_start[];
extern char __sbm_entry_end[];

/* ... and what traced functions call */
extern char __sbm_tracer_start[];
extern char __sbm_tracer_end[];

/* The window lies at a multiple of its size, and the stack in it */
#define X86_SBM_WINDOW_SIZE	SZ_1G

#ifdef CONFIG_SBM_X86

struct sbm_guest_info;

/*
 * For code that may run inside: does it? By the processor's word, so what a target
 * writes does not matter.
 */
static __always_inline bool arch_sbm_inside(void)
{
	unsigned int cs;

	asm volatile("mov %%cs, %0" : "=r" (cs));

	return cs & 3;
}

/* Inside, and on the stack that the target has got: what arch_sbm_set_info() has set */
static __always_inline const struct sbm_guest_info *arch_sbm_guest_info(void)
{
	unsigned long window = current_stack_pointer & ~((unsigned long)X86_SBM_WINDOW_SIZE - 1);

	return (const struct sbm_guest_info *)(window + PAGE_SIZE);
}

/* Inside, and on that stack: is the address one of the instance's? */
static __always_inline bool arch_sbm_guest_owns(unsigned long addr)
{
	return !((addr ^ current_stack_pointer) & ~((unsigned long)X86_SBM_WINDOW_SIZE - 1));
}

/* pti_finalize() makes kernel text global again; called at its end */
void x86_sbm_pti_finalized(void);

#else

static inline void x86_sbm_pti_finalized(void) { }

#endif

#ifdef CONFIG_SBM_BENCH

/**
 * struct x86_sbm_stay_events - what one stay does, whatever ends it
 * @cr3:     Writes of CR3.
 * @cr4:     Writes of CR4.
 * @cr0:     Writes of CR0 (CLTS is one).
 * @lidt:    Loads of the IDT.
 * @iret:    Returns by IRETQ.
 * @event:   Exceptions and interrupts that end it.
 * @base:    Writes of the GS and FS bases.
 * @segment: Loads of segment selectors.
 * @pkru:    Writes of PKRU.
 * @msr:     Writes of model-specific registers.
 */
struct x86_sbm_stay_events {
	unsigned int cr3;
	unsigned int cr4;
	unsigned int cr0;
	unsigned int lidt;
	unsigned int iret;
	unsigned int event;
	unsigned int base;
	unsigned int segment;
	unsigned int pkru;
	unsigned int msr;
};

void x86_sbm_stay_events(struct x86_sbm_stay_events *ev);

#endif /* CONFIG_SBM_BENCH */

#if IS_ENABLED(CONFIG_SBM_KUNIT_TEST)

/*
 * Return of a target, for inline assembly. Call depth tracking counts in each return
 * thunk, through GS: a target that has changed its GS base must get home all the same.
 */
#define X86_SBM_TEST_RET	ANNOTATE_RETPOLINE_SAFE "\n\tret\n\tint3\n\t"

/**
 * struct x86_sbm_layout - addresses that tests aim at
 * @window_start: First address of the window.
 * @window_end:	  Address behind the window.
 * @gates:	  The first CPU's gate, the others follow.
 * @gate_idt:	  IDT of the calling CPU's gate.
 * @gate_state:	  State page of the gate.
 * @gate_event:	  Event stack of the gate (lowest byte).
 * @gate_nmi:	  NMI stack of the gate (lowest byte).
 * @top_table:	  Top-level page table of the instance (direct map).
 * @stack_low:	  Lowest byte of the sandbox's stack.
 * @stack_high:	  Address behind the sandbox's stack.
 * @gs_base:	  The sandbox's GS base.
 */
struct x86_sbm_layout {
	unsigned long window_start;
	unsigned long window_end;
	unsigned long gates;
	unsigned long gate_idt;
	unsigned long gate_state;
	unsigned long gate_event;
	unsigned long gate_nmi;
	unsigned long top_table;
	unsigned long stack_low;
	unsigned long stack_high;
	unsigned long gs_base;
};

/* False if @sbm has no strong isolation */
bool x86_sbm_test_layout(const struct sbm *sbm, struct x86_sbm_layout *l);

/*
 * Find the leaf entry for @addr in the tables of @sbm. False if nothing is
 * mapped there. @rights is the combination of all levels: _PAGE_USER and _PAGE_RW
 * if every level has it, _PAGE_NX if any level has it, _PAGE_GLOBAL of the leaf.
 */
bool x86_sbm_test_lookup(const struct sbm *sbm, unsigned long addr, u64 *rights,
			 u64 *pfn);

/*
 * Count entries with the global bit over kernel image text and constants, in
 * the kernel's tables and in the user copy of page-table isolation; and over ITS
 * thunks and modules that instances have called, in the kernel's tables.
 */
unsigned long x86_sbm_test_count_global(void);

/*
 * Account for a stay of an instance on a processor that only the test has. @abort:
 * CR3 was not written. Returns whether CR3 would have flushed the PCID in @slot.
 */
bool x86_sbm_test_stay(u64 id, u64 generation, bool abort, unsigned int *slot);

/**
 * enum x86_sbm_nmi_place - where an NMI has hit
 * @SBM_NMI_TARGET:  In ring 3.
 * @SBM_NMI_SYSCALL: At entry text, before the fetch faulted.
 * @SBM_NMI_WAY_IN:  Between the first LIDT and IRETQ.
 * @SBM_NMI_WAY_OUT: Between an event and the second LIDT.
 * @SBM_NR_NMI_PLACES: Number of places.
 */
enum x86_sbm_nmi_place {
	SBM_NMI_TARGET,
	SBM_NMI_SYSCALL,
	SBM_NMI_WAY_IN,
	SBM_NMI_WAY_OUT,
	SBM_NR_NMI_PLACES
};

/* NMIs that were seen there since the last reset, on all CPUs */
unsigned int x86_sbm_test_nmis_at(enum x86_sbm_nmi_place place);
/* NMIs that have hit the instruction at @addr in the text of the switch */
unsigned int x86_sbm_test_nmis_at_insn(unsigned long addr);
void x86_sbm_test_reset_nmis(void);

/* The way in, and those out when a target returns and when it makes a host call */
enum x86_sbm_way { X86_SBM_WAY_IN, X86_SBM_WAY_RETURN, X86_SBM_WAY_HOSTCALL };

/*
 * The addresses of all instructions that a stay executes between LIDT and IRETQ, or on
 * the way out between the gate and LIDT, in this order. Returns their number, 0
 * if there are more than @max.
 */
unsigned int x86_sbm_test_way(enum x86_sbm_way way, unsigned long *insns,
			      unsigned int max);

/* From now on, let this task look as if Intel PT traced it; NULL for none */
void x86_sbm_test_trace(struct task_struct *task);

/* The next interrupt that ends a stay of this task looks lost to a machine check */
void x86_sbm_test_lose_interrupt(struct task_struct *task);

/* Branch prediction barriers that the instance has had, see SBM_ATTR_IBPB */
unsigned int x86_sbm_test_barriers(const struct sbm *sbm);

/* Tracers and probes that targets in this instance have not run */
u64 x86_sbm_test_skipped(const struct sbm *sbm);

/* From now on, no target has more pages of text without probes than this */
void x86_sbm_test_max_copies(unsigned int nr);

/* Page-table pages of the instance */
unsigned int x86_sbm_test_table_pages(const struct sbm *sbm);

/*
 * Write what the file page_tables of @sbm says to @buf. Return: its length;
 * -EOPNOTSUPP without debugfs, -ENOSPC if @size is too small.
 */
ssize_t x86_sbm_test_dump(const struct sbm *sbm, char *buf, size_t size);

/* The same for the file audit of @sbm. Also the error of the audit. */
ssize_t x86_sbm_test_audit(const struct sbm *sbm, char *buf, size_t size);

/* Do what writing the id of @sbm to the file show does */
int x86_sbm_test_show(const struct sbm *sbm);

/**
 * struct x86_sbm_plant - an entry that does not belong into the tables
 * @addr:      Where it is.
 * @old:       The entry that was there, or 0.
 * @old_top:   The same for the top level.
 * @nr_tables: Page-table pages before.
 */
struct x86_sbm_plant {
	unsigned long addr;
	u64 old;
	u64 old_top;
	unsigned int nr_tables;
};

/*
 * Map frame @pfn at @addr in the tables of @sbm, for ring 3 and with the rights
 * @flags, which the rules forbid. For a look at the tables only: nothing may be
 * called until x86_sbm_test_unplant(). Return: 0, -ENOMEM, or -EINVAL if the
 * tables of @addr are shared by all sandboxes.
 */
int x86_sbm_test_plant(const struct sbm *sbm, unsigned long addr,
		       unsigned long pfn, u64 flags, struct x86_sbm_plant *plant);
void x86_sbm_test_unplant(const struct sbm *sbm, const struct x86_sbm_plant *plant);

/**
 * struct x86_sbm_change - an entry that was changed
 * @entry: The entry.
 * @old:   What it was.
 */
struct x86_sbm_change {
	u64 *entry;
	u64 old;
};

/*
 * Change the leaf for @addr in the tables of @sbm, in copies of what is shared: @set and
 * @clear bits, or map the frame @pfn with the rights @set if @clear is ~0. For a look at
 * the tables only: nothing may be called until x86_sbm_test_restore(). Return: 0, -EINVAL,
 * or an error of the allocation.
 */
int x86_sbm_test_change(const struct sbm *sbm, unsigned long addr, u64 set, u64 clear,
			unsigned long pfn, struct x86_sbm_change *change);
void x86_sbm_test_restore(const struct x86_sbm_change *change);

/* Have the instance's own tables for @addr look as if they were shared, or not any more */
void x86_sbm_test_disown(const struct sbm *sbm, unsigned long addr);

/*
 * Flip bits of the first half of an entry of a gate's IDT, and return its address. Nothing
 * may be called on this CPU until they are flipped back. Return 0 if it cannot be done.
 */
unsigned long x86_sbm_test_flip_gate(unsigned int cpu, unsigned int vector, u64 bits);

/* Page @i with ITS thunks of a module, or of the image (NULL); NULL if no more */
void *x86_sbm_test_thunk_page(const struct module *mod, unsigned int i);

/* As if @mod was being freed although instances hold it, which lose their reference */
void x86_sbm_test_module_goes(struct module *mod);

/* Change a byte of text */
void x86_sbm_test_poke(void *addr, u8 byte);

/* Pages that all instances hold */
long x86_sbm_test_pages_in_use(void);

#endif /* CONFIG_SBM_KUNIT_TEST */

#endif /* !__ASSEMBLER__ */
#endif /* _ASM_X86_SBM_H */
