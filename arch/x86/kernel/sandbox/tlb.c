// SPDX-License-Identifier: GPL-2.0
/*
 * Sandbox mode (SBM) on x86-64: no global entries for what ring 3 maps.
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
 * isolation gives to user space, and then all TLBs are flushed once. The price is
 * TLB misses on kernel text after a change of address space.
 *
 * QEMU flushes everything at each write to CR3 and can show none of this:
 * sbm_count_global() is what the tests check.
 */
#include <linux/bitops.h>
#include <linux/cpu.h>
#include <linux/cpufeature.h>
#include <linux/lockdep.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/pgtable.h>
#include <linux/smp.h>

#include <asm/sbm.h>
#include <asm/sections.h>
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
 * Visit all leaves of text and constants in a set of tables. Return how many are
 * global. The bit is cleared atomically: the CPU may set other bits at any time.
 */
static unsigned long sbm_walk_global(pgd_t *top, bool clear)
{
	unsigned long addr = (unsigned long)_text;
	unsigned long end = (unsigned long)__end_rodata;
	unsigned long count = 0;
	unsigned long size;

	while (addr < end) {
		unsigned long *leaf = sbm_leaf(pgd_offset_pgd(top, addr), addr, &size);

		if (leaf && test_bit(_PAGE_BIT_GLOBAL, leaf)) {
			count++;
			if (clear)
				clear_bit(_PAGE_BIT_GLOBAL, leaf);
		}
		addr = (addr & ~(size - 1)) + size;
	}

	return count;
}

static unsigned long sbm_walk_all(bool clear)
{
	unsigned long count = sbm_walk_global(swapper_pg_dir, clear);

	/* Lower levels of the kernel half are shared by all processes */
	if (boot_cpu_has(X86_FEATURE_PTI))
		count += sbm_walk_global(kernel_to_user_pgdp(swapper_pg_dir), clear);

	return count;
}

unsigned long sbm_count_global(void)
{
	return sbm_walk_all(false);
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
	unsigned int round;

	lockdep_assert_held(&sbm_global_lock);

	for (round = 0; round < 2; round++) {
		cpus_read_lock();
		sbm_walk_all(true);
		on_each_cpu(sbm_flush_all, NULL, 1);
		cpus_read_unlock();

		if (!sbm_count_global())
			return 0;
	}

	return -EINVAL;
}

int sbm_text_nonglobal(void)
{
	int err;

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
