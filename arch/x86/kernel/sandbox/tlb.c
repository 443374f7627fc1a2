// SPDX-License-Identifier: GPL-2.0
/*
 * Sandbox mode (SBM) on x86-64: the TLB.
 *
 * === No global entries for what ring 3 maps ===
 *
 * The TLB uses a global entry whatever CR3 says. While the sandbox's tables are
 * loaded there must be none
 *
 *  - for text and constants that ring 3 uses: it allows ring 0 only, so ring 3
 *    would fault on its own code, for ever;
 *  - for entry text: SYSCALL would execute it on the sandbox's tables, with the
 *    target's stack pointer.
 *
 * So at first use, all of text and constants of the kernel image loses the global
 * bit, in the kernel's tables and in the copy of entry text that page-table
 * isolation gives to user space, and so do the pages with ITS thunks; then all
 * TLBs are flushed once. The price is TLB misses on kernel text after a change of
 * address space.
 *
 * QEMU flushes everything at each write to CR3 and can show none of this:
 * sbm_count_global() is what the tests check.
 *
 * === PCIDs ===
 *
 * Each CPU remembers which instances the PCIDs of sandboxes hold entries of, and
 * which generation of their tables. If it holds the right ones, a stay begins
 * without a flush; else it flushes that PCID, and only that. So nobody ever has to
 * be told that an instance or a mapping is gone: an id is not used again, and
 * translations of a PCID that is not loaded are not used.
 */
#define pr_fmt(fmt) "sbm: " fmt

#include <linux/atomic.h>
#include <linux/bitops.h>
#include <linux/cpu.h>
#include <linux/cpufeature.h>
#include <linux/lockdep.h>
#include <linux/mm.h>
#include <linux/mmap_lock.h>
#include <linux/mutex.h>
#include <linux/percpu.h>
#include <linux/pgtable.h>
#include <linux/printk.h>
#include <linux/smp.h>

#include <asm/alternative.h>
#include <asm/sbm.h>
#include <asm/sections.h>
#include <asm/set_memory.h>
#include <asm/tlbflush.h>

#include <sbm/sbm.h>
#include "sandbox.h"

/* Orders first use and pti_finalize() */
static DEFINE_MUTEX(sbm_global_lock);
static bool sbm_nonglobal;

/* Find the leaf entry for @addr below @pgd, NULL if nothing is mapped */
static unsigned long *sbm_leaf(pgd_t *pgd, unsigned long addr, unsigned long *size)
{
	unsigned int level;
	pte_t *pte = lookup_address_in_pgd(pgd, addr, &level);

	*size = PAGE_SIZE;
	if (!pte || level == PG_LEVEL_NONE)
		return NULL;
	*size = page_level_size(level);

	return (pte_val(*pte) & _PAGE_PRESENT) ? (unsigned long *)&pte->pte : NULL;
}

/*
 * Visit all leaves of a range in a set of tables. Return how many are global. The
 * bit is cleared atomically: the CPU may set other bits at any time.
 */
static unsigned long sbm_walk_range(pgd_t *top, unsigned long addr,
				    unsigned long end, bool clear)
{
	unsigned long count = 0;
	unsigned long size;

	while (addr < end) {
		unsigned long *leaf = sbm_leaf(pgd_offset_pgd(top, addr), addr, &size);

		if (leaf && test_bit(_PAGE_BIT_GLOBAL, leaf)) {
			count++;
			if (clear) {
				clear_bit(_PAGE_BIT_GLOBAL, leaf);
				sbm_count(SBM_COUNT_ENTRY);
			}
		}
		addr = (addr & ~(size - 1)) + size;
	}

	return count;
}

/* Text and constants of the kernel image */
static unsigned long sbm_walk_image(pgd_t *top, bool clear)
{
	return sbm_walk_range(top, (unsigned long)_text,
			      (unsigned long)__end_rodata, clear);
}

static unsigned long sbm_walk_all(bool clear)
{
	unsigned long count = sbm_walk_image(swapper_pg_dir, clear);

#ifdef CONFIG_MITIGATION_PAGE_TABLE_ISOLATION
	/* Lower levels of the kernel half are shared by all processes */
	if (boot_cpu_has(X86_FEATURE_PTI))
		count += sbm_walk_image(kernel_to_user_pgdp(swapper_pg_dir), clear);
#endif

	return count;
}

/*
 * How many entries are global for memory that was allocated like that of a
 * module. Its tables may go meanwhile, if the entries beside it allow a large one.
 */
unsigned long sbm_range_count_global(unsigned long addr, unsigned long size)
{
	unsigned long count;

	mmap_read_lock(&init_mm);
	count = sbm_walk_range(swapper_pg_dir, addr, addr + size, false);
	mmap_read_unlock(&init_mm);

	return count;
}

unsigned long sbm_count_global(void)
{
	unsigned long count = sbm_walk_all(false) + sbm_modules_count_global();
	unsigned int i;
	void *page;

	for (i = 0; (page = its_thunk_page(NULL, i)); i++)
		count += sbm_range_count_global((unsigned long)page, PAGE_SIZE);

	return count;
}

/*
 * The kernel's PCIDs are 1 to MAX_ASID_AVAILABLE + 1 (tlb.c), which is below
 * 2048 with page-table isolation configured in and by a patch of this series
 * without. User space's copies of them have bit 11 set.
 */
static_assert(SBM_PCID_FIRST > 2048 + 1 + TLB_NR_DYN_ASIDS);
static_assert(SBM_PCID_FIRST + SBM_NR_PCIDS <= (1 << X86_CR3_PCID_BITS));

static DEFINE_PER_CPU(struct sbm_tlb, sbm_tlb);

/*
 * The slot for an instance, with SBM_TLB_FLUSH if what it holds is not right. It
 * belongs to nobody then until sbm_tlb_filled(): the CPU may not get as far as to
 * the write to CR3 that flushes.
 */
unsigned int sbm_tlb_find(struct sbm_tlb *tlb, u64 id, u64 generation)
{
	unsigned int i;

	for (i = 0; i < SBM_NR_PCIDS; i++) {
		if (tlb->slots[i].id != id)
			continue;
		if (tlb->slots[i].generation == generation)
			return i;
		tlb->slots[i].id = 0;
		return i | SBM_TLB_FLUSH;
	}

	i = tlb->next;
	tlb->next = (i + 1) % SBM_NR_PCIDS;
	tlb->slots[i].id = 0;

	return i | SBM_TLB_FLUSH;
}

/* CR3 was written as sbm_tlb_find() has asked for */
void sbm_tlb_filled(struct sbm_tlb *tlb, unsigned int slot, u64 id, u64 generation)
{
	tlb->slots[slot & ~SBM_TLB_FLUSH] = (struct sbm_tlb_slot) {
		.id		= id,
		.generation	= generation,
	};
}

/*
 * CR3 for a stay on this CPU, interrupts off. The result is for
 * sbm_tlb_entered(), which must not be called if ring 3 was not entered.
 */
unsigned int sbm_tlb_enter(const struct arch_sbm *as, u64 *cr3)
{
	unsigned int slot;

	*cr3 = sbm_top_pa(as);

	/* Without PCIDs each write to CR3 flushes all but global entries */
	if (!(cr4_read_shadow() & X86_CR4_PCIDE))
		return 0;

	slot = sbm_tlb_find(this_cpu_ptr(&sbm_tlb), as->id, as->generation);
	*cr3 |= SBM_PCID_FIRST + (slot & ~SBM_TLB_FLUSH);
	if (!(slot & SBM_TLB_FLUSH))
		*cr3 |= X86_CR3_PCID_NOFLUSH;

	return slot;
}

void sbm_tlb_entered(const struct arch_sbm *as, unsigned int slot)
{
	if (slot & SBM_TLB_FLUSH)
		sbm_tlb_filled(this_cpu_ptr(&sbm_tlb), slot, as->id,
			       as->generation);
}

static void sbm_flush_all(void *unused)
{
	__flush_tlb_all();
}

/*
 * A CPU that is coming up has entries already, but gets no interrupt yet: wait for
 * it. The second round is for an entry that was split while it was visited.
 */
static int sbm_clear_global(void)
{
	unsigned int round, i;
	void *page;
	int err;

	lockdep_assert_held(&sbm_global_lock);

	/* They may be part of a large entry, which others split and join */
	for (i = 0; (page = its_thunk_page(NULL, i)); i++) {
		err = set_memory_nonglobal_noalias((unsigned long)page, 1);
		if (err)
			return err;
	}

	for (round = 0; round < 2; round++) {
		cpus_read_lock();
		sbm_walk_all(true);
		on_each_cpu(sbm_flush_all, NULL, 1);
		sbm_count(SBM_COUNT_FLUSH_ALL);
		cpus_read_unlock();

		if (!sbm_count_global())
			return 0;
	}

	return -EINVAL;
}

/*
 * The same for pages of a module. The caller sees to it that only one of these runs
 * at a time for an address, and that the module stays.
 */
int sbm_range_nonglobal(unsigned long addr, unsigned int nr)
{
	int err;

	/* Always with page-table isolation; else the flush is done already */
	if (!sbm_range_count_global(addr, nr * PAGE_SIZE))
		return 0;

	err = set_memory_nonglobal_noalias(addr, nr);
	if (err)
		return err;

	/* As above, for a CPU that was coming up */
	cpus_read_lock();
	on_each_cpu(sbm_flush_all, NULL, 1);
	cpus_read_unlock();

	return sbm_range_count_global(addr, nr * PAGE_SIZE) ? -EINVAL : 0;
}

/* And back: only for what was global before, which with PTI nothing is */
void sbm_range_global(unsigned long addr, unsigned int nr)
{
	if (set_memory_global_noalias(addr, nr))
		pr_warn_once("pages of a module stay non-global\n");
}

int sbm_text_nonglobal(void)
{
	int err;

	/* Before the first entry loses its bit */
	tlb_allow_nonglobal_text();

	mutex_lock(&sbm_global_lock);
	sbm_nonglobal = true;
	err = sbm_clear_global();
	mutex_unlock(&sbm_global_lock);

	return err;
}

/*
 * pti_finalize() has copied entry text and the rest of kernel text again, with
 * the global bit. The only sandboxes that can meet such an entry before it is gone
 * are those of kernel threads at this very moment of boot.
 */
void x86_sbm_pti_finalized(void)
{
	int err = 0;

	mutex_lock(&sbm_global_lock);
	if (sbm_nonglobal)
		err = sbm_clear_global();
	mutex_unlock(&sbm_global_lock);

	if (err)
		sbm_broken("kernel text is global again");
}
