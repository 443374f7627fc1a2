// SPDX-License-Identifier: GPL-2.0
/*
 * Sandbox mode (SBM) on x86-64: hooks for the KUnit suites. See asm/sbm.h.
 */
#include <linux/array_size.h>
#include <linux/atomic.h>
#include <linux/err.h>
#include <linux/export.h>
#include <linux/limits.h>
#include <linux/memory.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/sbm.h>
#include <linux/seq_file.h>
#include <linux/set_memory.h>
#include <linux/smp.h>
#include <linux/string.h>
#include <linux/sync_core.h>

#include <asm/alternative.h>
#include <asm/desc_defs.h>
#include <asm/insn.h>
#include <asm/sbm.h>
#include <asm/text-patching.h>

#include <sbm/debugfs.h>
#include <sbm/sbm.h>
#include "sandbox.h"

static struct arch_sbm *sbm_arch(const struct sbm *sbm)
{
	if (sbm_instance_isolation(sbm) != SBM_ISOLATION_STRONG)
		return NULL;

	return sbm->instance->arch;
}

struct task_struct *sbm_test_traced;
struct task_struct *sbm_test_loser;

void x86_sbm_test_lose_interrupt(struct task_struct *task)
{
	WRITE_ONCE(sbm_test_loser, task);
}

void x86_sbm_test_trace(struct task_struct *task)
{
	WRITE_ONCE(sbm_test_traced, task);
}

bool x86_sbm_test_layout(const struct sbm *sbm, struct x86_sbm_layout *l)
{
	const struct arch_sbm *as = sbm_arch(sbm);
	struct sbm_gate *gate;

	if (!as)
		return false;

	gate = sbm_gate(raw_smp_processor_id());
	l->window_start	= SBM_WINDOW_START;
	l->window_end	= SBM_WINDOW_END;
	l->gates	= (unsigned long)sbm_gate(0);
	l->gate_idt	= (unsigned long)gate->idt;
	l->gate_state	= (unsigned long)&gate->state;
	l->gate_event	= (unsigned long)gate->events;
	l->gate_nmi	= (unsigned long)gate->nmi;
	l->top_table	= (unsigned long)as->top;
	l->stack_low	= as->stack_low;
	l->stack_high	= as->stack_high;
	l->gs_base	= as->gsbase;

	return true;
}

bool x86_sbm_test_lookup(const struct sbm *sbm, unsigned long addr, u64 *rights,
			 u64 *pfn)
{
	const struct arch_sbm *as = sbm_arch(sbm);

	return as && sbm_lookup(as, addr, rights, pfn);
}
EXPORT_SYMBOL_GPL(x86_sbm_test_lookup);

unsigned long x86_sbm_test_count_global(void)
{
	return sbm_count_global();
}
EXPORT_SYMBOL_GPL(x86_sbm_test_count_global);

bool x86_sbm_test_stay(u64 id, u64 generation, bool abort, unsigned int *slot)
{
	static struct sbm_tlb tlb;
	bool flush;

	*slot = sbm_tlb_find(&tlb, id, generation);
	flush = *slot & SBM_TLB_FLUSH;
	if (flush && !abort)
		sbm_tlb_filled(&tlb, *slot, id, generation);
	*slot &= ~SBM_TLB_FLUSH;

	return flush;
}

/* === Where NMIs have hit === */

static atomic_t sbm_nmis[SBM_NR_NMI_PLACES];
/* By the offset in the text of the switch */
static atomic_t sbm_nmis_at_insn[4 * PAGE_SIZE];

/*
 * The frame of the last one is still on the NMI stack: nothing is put there between
 * two stays. If it hit after another one on the way out, that one goes uncounted here.
 */
void sbm_test_note_nmi(const struct sbm_gate *gate)
{
	const struct pt_regs *regs = (void *)gate->nmi + sizeof(gate->nmi) -
				     sizeof(*regs);
	unsigned long offset = regs->ip - (unsigned long)__sbm_switch_start;
	enum x86_sbm_nmi_place place;

	if (regs->cs & 3) {
		place = SBM_NMI_TARGET;
	} else if (regs->ip >= (unsigned long)__sbm_entry_start &&
		   regs->ip < (unsigned long)__sbm_entry_end) {
		place = SBM_NMI_SYSCALL;
	} else {
		place = regs->ip >= (unsigned long)sbm_window &&
			regs->ip < (unsigned long)sbm_window_end ?
			SBM_NMI_WAY_IN : SBM_NMI_WAY_OUT;
		if (offset < ARRAY_SIZE(sbm_nmis_at_insn))
			atomic_inc(&sbm_nmis_at_insn[offset]);
	}
	atomic_inc(&sbm_nmis[place]);
}

unsigned int x86_sbm_test_nmis_at(enum x86_sbm_nmi_place place)
{
	return atomic_read(&sbm_nmis[place]);
}

unsigned int x86_sbm_test_nmis_at_insn(unsigned long addr)
{
	unsigned long offset = addr - (unsigned long)__sbm_switch_start;

	return offset < ARRAY_SIZE(sbm_nmis_at_insn) ?
	       atomic_read(&sbm_nmis_at_insn[offset]) : 0;
}

void x86_sbm_test_reset_nmis(void)
{
	memset(sbm_nmis, 0, sizeof(sbm_nmis));
	memset(sbm_nmis_at_insn, 0, sizeof(sbm_nmis_at_insn));
}

/*
 * Branches forward are taken: they jump over what this processor does not need. Of
 * those back, one ends a stub, the other is that of the loop that fills the return
 * stack.
 */
unsigned int x86_sbm_test_way(enum x86_sbm_way way, unsigned long *insns,
			      unsigned int max)
{
	unsigned long addr = (unsigned long)sbm_window;
	unsigned int nr;

	if (way == X86_SBM_WAY_RETURN)
		addr = (unsigned long)sbm_stubs + SBM_RETURN_VECTOR * SBM_STUB_SIZE;
	else if (way == X86_SBM_WAY_HOSTCALL)
		addr = (unsigned long)sbm_stubs + SBM_HOSTCALL_VECTOR * SBM_STUB_SIZE;

	for (nr = 0; nr < max;) {
		struct insn insn;
		u8 op, op2;

		if (insn_decode_kernel(&insn, (void *)addr))
			return 0;
		insns[nr++] = addr;
		op = insn.opcode.bytes[0];
		op2 = insn.opcode.bytes[1];
		addr += insn.length;

		/* IRETQ, or LIDT: 0f 01 /3 with an operand in memory */
		if (op == 0xcf ||
		    (op == 0x0f && op2 == 0x01 &&
		     X86_MODRM_REG(insn.modrm.value) == 3 &&
		     X86_MODRM_MOD(insn.modrm.value) != 3))
			return nr;

		/* CALL, JMP, conditional branches */
		if (op == 0xe8 || op == 0xe9 || op == 0xeb ||
		    (((op & 0xf0) == 0x70 ||
		      (op == 0x0f && (op2 & 0xf0) == 0x80)) &&
		     (insn.immediate.value > 0 ||
		      addr + insn.immediate.value == (unsigned long)sbm_leave)))
			addr += insn.immediate.value;
	}

	return 0;
}

unsigned int x86_sbm_test_barriers(const struct sbm *sbm)
{
	const struct arch_sbm *as = sbm_arch(sbm);

	return as ? as->nr_ibpb : 0;
}

u64 x86_sbm_test_skipped(const struct sbm *sbm)
{
	return sbm->instance->nr_skipped;
}
EXPORT_SYMBOL_GPL(x86_sbm_test_skipped);

unsigned int sbm_test_copies = UINT_MAX;

void x86_sbm_test_max_copies(unsigned int nr)
{
	WRITE_ONCE(sbm_test_copies, nr);
}

unsigned int x86_sbm_test_table_pages(const struct sbm *sbm)
{
	const struct arch_sbm *as = sbm_arch(sbm);

	return as ? as->nr_tables : 0;
}
EXPORT_SYMBOL_GPL(x86_sbm_test_table_pages);

void *x86_sbm_test_thunk_page(const struct module *mod, unsigned int i)
{
	return its_thunk_page(mod, i);
}
EXPORT_SYMBOL_GPL(x86_sbm_test_thunk_page);

long x86_sbm_test_pages_in_use(void)
{
	return sbm_pages_in_use();
}
EXPORT_SYMBOL_GPL(x86_sbm_test_pages_in_use);

static void sbm_test_sync_core(void *unused)
{
	sync_core();
}

void x86_sbm_test_poke(void *addr, u8 byte)
{
	mutex_lock(&text_mutex);
	text_poke(addr, &byte, 1);
	on_each_cpu(sbm_test_sync_core, NULL, 1);
	mutex_unlock(&text_mutex);
}
EXPORT_SYMBOL_GPL(x86_sbm_test_poke);

#ifdef CONFIG_DEBUG_FS

ssize_t x86_sbm_test_dump(const struct sbm *sbm, char *buf, size_t size)
{
	struct seq_file m = {
		.buf	= buf,
		.size	= size,
	};

	sbm_debugfs_dump(&m, sbm->instance);
	if (seq_has_overflowed(&m))
		return -ENOSPC;
	buf[m.count] = '\0';

	return m.count;
}
EXPORT_SYMBOL_GPL(x86_sbm_test_dump);

ssize_t x86_sbm_test_audit(const struct sbm *sbm, char *buf, size_t size)
{
	struct seq_file m = {
		.buf	= buf,
		.size	= size,
	};
	int err;

	err = sbm_audit_write(&m, sbm->instance);
	if (err)
		return err;
	if (seq_has_overflowed(&m))
		return -ENOSPC;
	buf[m.count] = '\0';

	return m.count;
}
EXPORT_SYMBOL_GPL(x86_sbm_test_audit);

int x86_sbm_test_show(const struct sbm *sbm)
{
	return sbm_debugfs_show(sbm->instance->id);
}

#else /* CONFIG_DEBUG_FS */

ssize_t x86_sbm_test_dump(const struct sbm *sbm, char *buf, size_t size)
{
	return -EOPNOTSUPP;
}
EXPORT_SYMBOL_GPL(x86_sbm_test_dump);

ssize_t x86_sbm_test_audit(const struct sbm *sbm, char *buf, size_t size)
{
	return -EOPNOTSUPP;
}
EXPORT_SYMBOL_GPL(x86_sbm_test_audit);

int x86_sbm_test_show(const struct sbm *sbm)
{
	return -EOPNOTSUPP;
}

#endif /* CONFIG_DEBUG_FS */

/* The 4 KiB entry for @addr, NULL if there is no table for it */
static u64 *sbm_small_entry(const struct arch_sbm *as, unsigned long addr)
{
	u64 *table = as->top;
	unsigned int shift;

	for (shift = sbm_top_shift();; shift -= SBM_TABLE_SHIFT) {
		u64 *entry = &table[(addr >> shift) % PTRS_PER_PTE];

		if (shift == PAGE_SHIFT)
			return entry;
		if (!(*entry & _PAGE_PRESENT))
			return NULL;
		table = sbm_table_of(*entry);
	}
}

static u64 *sbm_top_entry(const struct arch_sbm *as, unsigned long addr)
{
	return &as->top[(addr >> sbm_top_shift()) % PTRS_PER_PTE];
}

int x86_sbm_test_plant(const struct sbm *sbm, unsigned long addr,
		       unsigned long pfn, u64 flags, struct x86_sbm_plant *plant)
{
	struct arch_sbm *as = sbm_arch(sbm);
	u64 *entry;

	if (!as)
		return -EINVAL;

	plant->addr = addr;
	plant->old = 0;
	plant->old_top = *sbm_top_entry(as, addr);
	plant->nr_tables = as->nr_tables;

	if (plant->old_top) {
		if (addr < SBM_WINDOW_START || addr >= SBM_WINDOW_END)
			return -EINVAL;
		entry = sbm_small_entry(as, addr);
		if (entry)
			plant->old = *entry;
	}

	return sbm_map_page(as, addr, pfn_to_page(pfn),
			    flags | _PAGE_PRESENT | _PAGE_ACCESSED);
}

void x86_sbm_test_unplant(const struct sbm *sbm, const struct x86_sbm_plant *plant)
{
	struct arch_sbm *as = sbm_arch(sbm);
	unsigned int shift = sbm_top_shift();
	u64 entry;

	*sbm_small_entry(as, plant->addr) = plant->old;
	/* The window's tables go with the instance */
	if (plant->old_top)
		return;

	entry = *sbm_top_entry(as, plant->addr);
	*sbm_top_entry(as, plant->addr) = 0;
	while (shift > PAGE_SHIFT) {
		u64 *table = sbm_table_of(entry);

		shift -= SBM_TABLE_SHIFT;
		entry = table[(plant->addr >> shift) % PTRS_PER_PTE];
		sbm_free_page(as->memory, virt_to_page(table));
	}
	as->nr_tables = plant->nr_tables;
}

int x86_sbm_test_change(const struct sbm *sbm, unsigned long addr, u64 set, u64 clear,
			unsigned long pfn, struct x86_sbm_change *change)
{
	struct arch_sbm *as = sbm_arch(sbm);
	unsigned int shift;
	u64 *table, *entry;

	if (!as)
		return -EINVAL;

	/* Where is the leaf? A new one is small. */
	table = as->top;
	for (shift = sbm_top_shift(); shift > PAGE_SHIFT; shift -= SBM_TABLE_SHIFT) {
		u64 val = table[(addr >> shift) % PTRS_PER_PTE];

		if (!(val & _PAGE_PRESENT)) {
			shift = PAGE_SHIFT;
			break;
		}
		if (val & _PAGE_PSE)
			break;
		table = sbm_table_of(val);
	}

	/* The leaf alone says whether ring 3 may use it */
	entry = sbm_walk(as, as->top, addr, shift, _PAGE_USER);
	if (IS_ERR(entry))
		return PTR_ERR(entry);
	sbm_tables_changed(as);

	change->entry = entry;
	change->old = *entry;
	if (clear != ~0ULL)
		*entry = (*entry | set) & ~clear;
	else if (shift == PAGE_SHIFT)
		*entry = __sme_set(PFN_PHYS(pfn)) | set | _PAGE_PRESENT | _PAGE_ACCESSED;
	else
		return -EINVAL;

	return 0;
}

void x86_sbm_test_restore(const struct x86_sbm_change *change)
{
	*change->entry = change->old;
}

void x86_sbm_test_disown(const struct sbm *sbm, unsigned long addr)
{
	*sbm_top_entry(sbm_arch(sbm), addr) ^= SBM_OWN;
}

unsigned long x86_sbm_test_flip_gate(unsigned int cpu, unsigned int vector, u64 bits)
{
	gate_desc *idt = sbm_gate(cpu)->idt;
	u64 *entry = (u64 *)&idt[vector];

	if (set_memory_rw((unsigned long)idt, 1))
		return 0;
	WRITE_ONCE(*entry, *entry ^ bits);
	set_memory_ro((unsigned long)idt, 1);

	return (unsigned long)entry;
}
