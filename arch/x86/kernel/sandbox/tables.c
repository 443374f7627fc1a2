// SPDX-License-Identifier: GPL-2.0
/*
 * Sandbox mode (SBM) on x86-64: page tables.
 *
 * A sandbox's tables are built of plain pages and 64-bit entries, without the
 * kernel's page-table helpers: those keep user copies for page-table isolation
 * in step, which do not exist here.
 *
 * Shared by all sandboxes, built once and never changed afterwards:
 *
 *   kernel image	text and thunks	ring 3, read and execute
 *			constants	ring 3, read
 *			switch text	ring 0, execute
 *			entry text	absent: it is what SYSCALL would execute
 *			tracers		absent: what traced functions call
 *   ITS thunks	of the image	ring 3, read and execute
 *   gates				ring 0, the same address as in the kernel
 *   cpu_entry_area			ring 0, by the kernel's own table: GDT, TSS,
 *					machine check stack, buffers of the PMU
 *   KASAN's shadow			ring 3, read: zeroes, see below
 *
 * Private to a sandbox: the top-level page, the window's tables, and those that
 * lead to text and constants of a module that it has called, or to text without the
 * probes that it has met. The latter hang below entries that the image has, too, so
 * such a sandbox has copies of the tables on the way.
 *
 * Nothing is global. Entries that map nothing are all zero.
 */
#include <linux/array_size.h>
#include <linux/atomic.h>
#include <linux/build_bug.h>
#include <linux/cpufeature.h>
#include <linux/err.h>
#include <linux/gfp.h>
#include <linux/kasan.h>
#include <linux/mm.h>
#include <linux/mmap_lock.h>
#include <linux/percpu.h>
#include <linux/pfn.h>
#include <linux/pgtable.h>
#include <linux/preempt.h>
#include <linux/processor.h>
#include <linux/random.h>
#include <linux/sbm_runtime.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/stackprotector.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

#include <asm/alternative.h>
#include <asm/current.h>
#include <asm/sbm.h>
#include <asm/sections.h>
#include <asm/set_memory.h>
#include <asm/tlbflush.h>

#include <sbm/debugfs.h>
#include <sbm/sbm.h>
#include "sandbox.h"

#define SBM_TABLE	(_PAGE_PRESENT | _PAGE_RW | _PAGE_ACCESSED)
#define SBM_READ	(_PAGE_PRESENT | _PAGE_ACCESSED | _PAGE_NX)
#define SBM_WRITE	(SBM_READ | _PAGE_RW | _PAGE_DIRTY)
#define SBM_EXEC	(_PAGE_PRESENT | _PAGE_ACCESSED)

#define SBM_TABLE_MASK	(PTRS_PER_PTE - 1)

/* The window's tables hang below one PMD page */
static_assert(SBM_WINDOW_SIZE <= PUD_SIZE);
/* Code inside knows it, too */
static_assert(SBM_WINDOW_SIZE == X86_SBM_WINDOW_SIZE);

/* A byte of shadow for eight of the stack, which need not begin on a page */
static unsigned int sbm_max_kasan_pages(size_t stack_size)
{
	return IS_ENABLED(CONFIG_KASAN) ? (stack_size >> (PAGE_SHIFT + 3)) + 2 : 0;
}

/* Top-level table that new instances start from */
u64 *sbm_template;

/* Shift of the level that CR3 points to */
unsigned int sbm_top_shift(void)
{
	return pgtable_l5_enabled() ? PGDIR_SHIFT : P4D_SHIFT;
}

static u64 *sbm_entry(u64 *table, unsigned long addr, unsigned int shift)
{
	return &table[(addr >> shift) & SBM_TABLE_MASK];
}

u64 *sbm_table_of(u64 entry)
{
	return __va(entry & PTE_PFN_MASK & ~sme_me_mask);
}

static u64 sbm_table_entry(u64 *table, u64 user)
{
	return __sme_pa(table) | SBM_TABLE | user;
}

/* Fill the table @small with what the large entry @large maps */
static void sbm_split(u64 *small, u64 large)
{
	unsigned int i;

	for (i = 0; i < PTRS_PER_PTE; i++)
		small[i] = (large & ~(u64)_PAGE_PSE) + i * PAGE_SIZE;
}

/*
 * Find the entry for @addr at level @shift, with all tables above it. Tables for
 * a sandbox (@as) are counted and accounted; shared ones (NULL) are for ever, and a
 * sandbox gets a copy of its own of those on the way, and of what a 2 MiB entry maps.
 * @user is _PAGE_USER or 0 for new tables. An ERR_PTR if there is no page for one.
 */
u64 *sbm_walk(struct arch_sbm *as, u64 *top, unsigned long addr, unsigned int shift,
	      u64 user)
{
	unsigned int level;
	u64 *table = top;

	for (level = sbm_top_shift(); level > shift; level -= SBM_TABLE_SHIFT) {
		u64 *entry = sbm_entry(table, addr, level);

		if (!(*entry & _PAGE_PRESENT) || (as && !(*entry & SBM_OWN))) {
			struct page *page;

			bool large = *entry & _PAGE_PRESENT && *entry & _PAGE_PSE;

			/* See sbm_map_image() */
			if (WARN_ON_ONCE(large && level != PMD_SHIFT))
				return ERR_PTR(-ENOMEM);

			if (as)
				page = sbm_alloc_page(as->memory);
			else
				page = alloc_page(GFP_KERNEL | __GFP_ZERO) ?:
				       ERR_PTR(-ENOMEM);
			if (IS_ERR(page))
				return ERR_CAST(page);
			if (large)
				sbm_split(page_address(page), *entry);
			else if (*entry & _PAGE_PRESENT)
				copy_page(page_address(page), sbm_table_of(*entry));
			if (as)
				as->nr_tables++;
			sbm_count(SBM_COUNT_TABLE);
			sbm_count(SBM_COUNT_ENTRY);
			*entry = sbm_table_entry(page_address(page),
						 user | (*entry & _PAGE_USER)) |
				 (as ? SBM_OWN : 0);
		}
		table = sbm_table_of(*entry);
	}

	return sbm_entry(table, addr, shift);
}

/*
 * Free a table of level @shift and all below it; see sbm_walk() for @as. Of a
 * sandbox, only what is its own.
 */
static void sbm_free_tables(struct arch_sbm *as, u64 *table,
			    unsigned int shift)
{
	unsigned int i;

	if (shift > PAGE_SHIFT) {
		for (i = 0; i < PTRS_PER_PTE; i++) {
			/* A large entry has no table; only the shared part has any */
			if ((table[i] & _PAGE_PRESENT) && !(table[i] & _PAGE_PSE) &&
			    (!as || (table[i] & SBM_OWN)))
				sbm_free_tables(as, sbm_table_of(table[i]),
						shift - SBM_TABLE_SHIFT);
		}
	}

	if (as) {
		as->nr_tables--;
		sbm_free_page(as->memory, virt_to_page(table));
	} else {
		free_page((unsigned long)table);
	}
}

/* === What all sandboxes share === */

/*
 * What the kernel has at @addr: its frame with the encryption bit, and the bits
 * that select the cache mode, as a 4 KiB entry has them. Never assume a linear
 * mapping: the image may be encrypted, or split in places.
 */
u64 sbm_kernel_frame(unsigned long addr, unsigned int *level)
{
	u64 frame, cache, val = 0;
	pte_t *pte;

	/* Tables of executable memory go when their entries become a large one */
	mmap_read_lock(&init_mm);
	pte = lookup_address(addr, level);
	if (pte)
		val = pte_val(READ_ONCE(*pte));
	mmap_read_unlock(&init_mm);

	if (!(val & _PAGE_PRESENT))
		return 0;

	if (*level == PG_LEVEL_4K) {
		frame = val & (PTE_PFN_MASK | sme_me_mask);
		cache = val & _PAGE_CACHE_MASK;
	} else {
		unsigned long size = page_level_size(*level);

		frame = val & (PTE_PFN_MASK | sme_me_mask) & ~(u64)_PAGE_PAT_LARGE;
		frame += addr & (size - 1) & PAGE_MASK;
		cache = pgprot_val(pgprot_large_2_4k(__pgprot(val))) &
			_PAGE_CACHE_MASK;
	}

	return frame | cache;
}

struct sbm_range {
	unsigned long	start;
	unsigned long	end;
};

/* The hole that [@start, @end) touches, NULL if none */
static const struct sbm_range *sbm_hole(const struct sbm_range *holes,
					unsigned int nr, unsigned long start,
					unsigned long end)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		if (start < holes[i].end && end > holes[i].start)
			return &holes[i];
	}

	return NULL;
}

/*
 * Map a range of the kernel image, but what lies in @holes. A 2 MiB entry is used
 * where the kernel has one, and all of it lies in the range: what is behind the
 * end of text or constants is given back to the page allocator.
 */
static int sbm_map_image(unsigned long addr, unsigned long end,
			 const struct sbm_range *holes, unsigned int nr, u64 flags)
{
	unsigned int i;

	/* The linker script sees to that */
	if (WARN_ON_ONCE(!PAGE_ALIGNED(addr) || !PAGE_ALIGNED(end)))
		return -EINVAL;
	for (i = 0; i < nr; i++) {
		if (WARN_ON_ONCE(!PAGE_ALIGNED(holes[i].start) ||
				 !PAGE_ALIGNED(holes[i].end) ||
				 holes[i].start < addr || holes[i].end > end))
			return -EINVAL;
	}

	while (addr < end) {
		const struct sbm_range *hole;
		unsigned int shift = PAGE_SHIFT;
		unsigned int level;
		u64 *entry;
		u64 frame;

		hole = sbm_hole(holes, nr, addr, addr + PAGE_SIZE);
		if (hole) {
			addr = hole->end;
			continue;
		}

		frame = sbm_kernel_frame(addr, &level);
		if (!frame)
			return -EFAULT;

		if (IS_ALIGNED(addr, PMD_SIZE) && addr + PMD_SIZE <= end &&
		    !sbm_hole(holes, nr, addr, addr + PMD_SIZE) &&
		    level == PG_LEVEL_2M && !(frame & _PAGE_PAT)) {
			shift = PMD_SHIFT;
			frame |= _PAGE_PSE;
		}

		entry = sbm_walk(NULL, sbm_template, addr, shift, _PAGE_USER);
		if (IS_ERR(entry))
			return PTR_ERR(entry);
		*entry = frame | flags;
		sbm_count(SBM_COUNT_ENTRY);
		addr += 1UL << shift;
	}

	return 0;
}

static int sbm_map_text(void)
{
	const struct sbm_range holes[] = {
		{ (unsigned long)__sbm_entry_start, (unsigned long)__sbm_entry_end },
		{ (unsigned long)__sbm_switch_start, (unsigned long)__sbm_switch_end },
		{ (unsigned long)__sbm_tracer_start, (unsigned long)__sbm_tracer_end },
	};
	int err;

	err = sbm_map_image((unsigned long)_stext & PAGE_MASK,
			    PAGE_ALIGN((unsigned long)_etext), holes,
			    ARRAY_SIZE(holes), SBM_EXEC | _PAGE_USER);
	if (err)
		return err;

	return sbm_map_image((unsigned long)__sbm_switch_start,
			     (unsigned long)__sbm_switch_end, NULL, 0, SBM_EXEC);
}

static int sbm_map_constants(void)
{
	/* Written during boot: data of the kernel, not constants */
	const struct sbm_range data = {
		(unsigned long)__start_ro_after_init,
		(unsigned long)__end_ro_after_init,
	};

	return sbm_map_image((unsigned long)__start_rodata,
			     (unsigned long)__end_rodata, &data, 1,
			     SBM_READ | _PAGE_USER);
}

/* Map a page that the kernel has at @addr, at the same address */
static int sbm_map_same(struct arch_sbm *as, u64 *top, unsigned long addr, u64 flags)
{
	unsigned int level;
	u64 *entry;
	u64 frame;

	frame = sbm_kernel_frame(addr, &level);
	if (!frame)
		return -EFAULT;
	entry = sbm_walk(as, top, addr, PAGE_SHIFT, flags & _PAGE_USER);
	if (IS_ERR(entry))
		return PTR_ERR(entry);
	*entry = frame | flags;
	sbm_count(SBM_COUNT_ENTRY);

	return 0;
}

/*
 * On processors with ITS, indirect branches of the image go through thunks in
 * pages of their own, which the kernel has allocated while it applied its
 * alternatives. They contain nothing else, and are never freed.
 */
static int sbm_map_thunks(void)
{
	unsigned int i;
	void *page;
	int err;

	for (i = 0; (page = its_thunk_page(NULL, i)); i++) {
		err = sbm_map_same(NULL, sbm_template, (unsigned long)page,
				   SBM_EXEC | _PAGE_USER);
		if (err)
			return err;
	}

	return 0;
}

static int sbm_map_gates(void)
{
	unsigned long addr = (unsigned long)sbm_gate(0);
	unsigned long end = (unsigned long)sbm_gate(nr_cpu_ids);
	int err;

	for (; addr < end; addr += PAGE_SIZE) {
		bool idt = !(addr & (SBM_GATE_SIZE - 1));

		err = sbm_map_same(NULL, sbm_template, addr,
				   idt ? SBM_READ : SBM_WRITE);
		if (err)
			return err;
	}

	return 0;
}

/*
 * The kernel's own entry, as page-table isolation does it for user space: what
 * lies there comes and goes (buffers of the PMU), and the processor accesses it
 * on its own at any time.
 */
static int sbm_map_cpu_entry_area(void)
{
	pgd_t *pgd = pgd_offset_k(CPU_ENTRY_AREA_BASE);
	u64 *entry;

	entry = sbm_walk(NULL, sbm_template, CPU_ENTRY_AREA_BASE, P4D_SHIFT, 0);
	if (IS_ERR(entry))
		return PTR_ERR(entry);
	*entry = p4d_val(*p4d_offset(pgd, CPU_ENTRY_AREA_BASE)) & ~(u64)_PAGE_USER;

	return 0;
}

#ifdef CONFIG_KASAN

/*
 * In a kernel with KASAN, compiled code looks at a byte of shadow memory before each
 * access. What the kernel has there tells what is allocated where, which is not for
 * targets to read. Theirs says that everything may be accessed: for them, page tables
 * decide. All of it is one page of zeroes, at the end of a chain of tables of which
 * each has the same entry 512 times.
 *
 * The compiler also marks what lies between the variables on the stack. That shadow
 * is the instance's own and writable, so KASAN finds out-of-bounds accesses there: its
 * report is what a target has no right to write, and ends the call.
 */

/* By level: the entry that covers as much as an entry of this level does */
static u64 sbm_zero_shadow[CONFIG_PGTABLE_LEVELS];

static unsigned int sbm_level(unsigned int shift)
{
	return (shift - PAGE_SHIFT) / SBM_TABLE_SHIFT;
}

static int sbm_create_zero_shadow(void)
{
	u64 entry = __sme_set(PFN_PHYS(page_to_pfn(ZERO_PAGE(0)))) | SBM_READ | _PAGE_USER;
	unsigned int level;
	u64 *table;

	for (level = 0;; level++) {
		sbm_zero_shadow[level] = entry;
		if (level == sbm_level(sbm_top_shift()))
			return 0;

		table = (u64 *)__get_free_page(GFP_KERNEL);
		if (!table)
			return -ENOMEM;
		memset64(table, entry, PTRS_PER_PTE);
		entry = sbm_table_entry(table, _PAGE_USER);
	}
}

static void sbm_free_zero_shadow(void)
{
	unsigned int level;

	for (level = 1; level < ARRAY_SIZE(sbm_zero_shadow); level++) {
		if (sbm_zero_shadow[level])
			free_page((unsigned long)sbm_table_of(sbm_zero_shadow[level]));
	}
	memset(sbm_zero_shadow, 0, sizeof(sbm_zero_shadow));
}

/* The largest entries that fit */
static int sbm_link_zero_shadow(bool link)
{
	unsigned long addr = KASAN_SHADOW_START;
	unsigned int shift;
	u64 *entry;

	for (; addr < KASAN_SHADOW_END; addr += 1UL << shift) {
		shift = sbm_top_shift();
		while (!IS_ALIGNED(addr, 1UL << shift) ||
		       KASAN_SHADOW_END - addr < 1UL << shift)
			shift -= SBM_TABLE_SHIFT;

		entry = sbm_walk(NULL, sbm_template, addr, shift, _PAGE_USER);
		if (IS_ERR(entry))
			return PTR_ERR(entry);
		*entry = link ? sbm_zero_shadow[sbm_level(shift)] : 0;
	}

	return 0;
}

static int sbm_map_zero_shadow(void)
{
	int err = sbm_create_zero_shadow();

	return err ?: sbm_link_zero_shadow(true);
}

static void sbm_unmap_zero_shadow(void)
{
	sbm_link_zero_shadow(false);
	sbm_free_zero_shadow();
}

/* Does all that @entry of level @shift covers consist of zeroes, shared by all? */
bool sbm_is_zero_shadow(u64 entry, unsigned int shift)
{
	/* The processor has nothing to mark in it: it is marked as used */
	return entry == sbm_zero_shadow[sbm_level(shift)];
}

/* Of what lies at [@start, @end) */
static unsigned long sbm_shadow_start(unsigned long start)
{
	return (unsigned long)kasan_mem_to_shadow((void *)start) & PAGE_MASK;
}

static unsigned long sbm_shadow_end(unsigned long end)
{
	return PAGE_ALIGN((unsigned long)kasan_mem_to_shadow((void *)end));
}

#else /* CONFIG_KASAN */

static int sbm_map_zero_shadow(void) { return 0; }
static void sbm_unmap_zero_shadow(void) { }
static unsigned long sbm_shadow_start(unsigned long start) { return 0; }
static unsigned long sbm_shadow_end(unsigned long end) { return 0; }

#endif /* CONFIG_KASAN */

int sbm_shared_create(void)
{
	u64 *entry;
	int err;

	sbm_template = (u64 *)get_zeroed_page(GFP_KERNEL);
	if (!sbm_template)
		return -ENOMEM;

	/*
	 * The image comes first: with 5 levels it shares its top-level entry with
	 * the CPU entry area, and the entry must allow ring 3.
	 */
	err = sbm_map_text();
	if (!err)
		err = sbm_map_constants();
	if (!err)
		err = sbm_map_thunks();
	if (!err)
		err = sbm_map_gates();
	if (!err)
		err = sbm_map_cpu_entry_area();
	if (!err)
		err = sbm_map_zero_shadow();
	if (!err)
		return 0;

	/* Its tables hang in many places */
	sbm_unmap_zero_shadow();
	/* What hangs below this entry is the kernel's. All else is ours. */
	entry = sbm_walk(NULL, sbm_template, CPU_ENTRY_AREA_BASE, P4D_SHIFT, 0);
	if (!IS_ERR(entry))
		*entry = 0;
	sbm_free_tables(NULL, sbm_template, sbm_top_shift());
	sbm_template = NULL;

	return err;
}

/* === The window === */

int sbm_map_page(struct arch_sbm *as, unsigned long addr, struct page *page,
		 u64 flags)
{
	u64 *entry = sbm_walk(as, as->top, addr, PAGE_SHIFT, _PAGE_USER);

	if (IS_ERR(entry))
		return PTR_ERR(entry);

	/* A TLB keeps what was present, and never that something was not */
	if (*entry & _PAGE_PRESENT)
		as->generation++;

	*entry = __sme_set(PFN_PHYS(page_to_pfn(page))) | flags | _PAGE_USER;
	sbm_count(SBM_COUNT_ENTRY);

	return 0;
}

/*
 * Take @nr pages of address space and a guard page behind them. There is one
 * before them already.
 */
static unsigned long sbm_window_take(struct arch_sbm *as, unsigned long nr)
{
	unsigned long addr = as->next;

	if ((SBM_WINDOW_END - addr) >> PAGE_SHIFT < nr + 1)
		return 0;
	as->next = addr + (nr + 1) * PAGE_SIZE;

	return addr;
}

int arch_sbm_map(struct arch_sbm *as, struct page **pages, unsigned int nr,
		 unsigned int prot, unsigned long *addr)
{
	u64 flags = prot & SBM_PROT_WRITE ? SBM_WRITE : SBM_READ;
	unsigned long start = sbm_window_take(as, nr);
	unsigned int i;
	int err;

	if (!start)
		return -ENOSPC;

	for (i = 0; i < nr; i++) {
		unsigned long page_addr = start + i * PAGE_SIZE;

		/* The tables for what is left out are there from the start */
		if (!pages[i])
			err = PTR_ERR_OR_ZERO(sbm_walk(as, as->top, page_addr, PAGE_SHIFT,
						       _PAGE_USER));
		else
			err = sbm_map_page(as, page_addr, pages[i], flags);
		if (err)
			goto out_unmap;
	}
	*addr = start;

	return 0;

out_unmap:
	/* Nothing has run since, so no TLB knows them. The tables stay. */
	while (i--) {
		u64 *entry = sbm_walk(as, as->top, start + i * PAGE_SIZE, PAGE_SHIFT, 0);

		if (!IS_ERR(entry))
			*entry = 0;
	}

	return err;
}

int arch_sbm_map_more(struct arch_sbm *as, unsigned long addr, struct page *page)
{
	return sbm_map_page(as, addr, page, SBM_WRITE);
}

/* What code inside can find out about its instance. Never writable there. */
static int sbm_create_info(struct arch_sbm *as, bool info)
{
	struct page *page = ZERO_PAGE(0);

	if (WARN_ON_ONCE(sbm_window_take(as, 1) != SBM_INFO))
		return -ENOSPC;

	if (info) {
		page = sbm_alloc_page(as->memory);
		if (IS_ERR(page))
			return PTR_ERR(page);
		as->info = page;
	}

	return sbm_map_page(as, SBM_INFO, page, SBM_READ);
}

void arch_sbm_set_info(struct arch_sbm *as, const struct sbm_guest_info *info)
{
	memcpy(page_address(as->info), info, sizeof(*info));
}

/* A zeroed page of the instance at @addr */
static int sbm_own_page(struct arch_sbm *as, unsigned long addr)
{
	struct page *page = sbm_alloc_page(as->memory);

	if (IS_ERR(page))
		return PTR_ERR(page);
	as->own[as->nr_own++] = page;

	return sbm_map_page(as, addr, page, SBM_WRITE);
}

/*
 * Compiled code reads some per-CPU variables through GS on its own: the stack
 * protector's canary, the preemption counter, current. Private pages stand in
 * for those that hold them, at the same offset from the GS base of the sandbox;
 * every other access through GS faults.
 */
static const unsigned long sbm_hot[] = {
#ifdef CONFIG_STACKPROTECTOR
	(unsigned long)&X86_PCPU_CANARY,
#endif
	(unsigned long)&X86_PCPU_PREEMPT_COUNT,
	(unsigned long)&X86_PCPU_CURRENT,
};

static_assert(ARRAY_SIZE(sbm_hot) <= SBM_MAX_SHADOW);

static int sbm_create_shadow(struct arch_sbm *as)
{
	unsigned long nr_zero = DIV_ROUND_UP(sizeof(struct task_struct), PAGE_SIZE);
	unsigned long low = ULONG_MAX, high = 0;
	unsigned long shadow;
	unsigned int i, j;
	int err;

	for (i = 0; i < ARRAY_SIZE(sbm_hot); i++) {
		low = min(low, sbm_hot[i] & PAGE_MASK);
		high = max(high, sbm_hot[i] & PAGE_MASK);
	}

	shadow = sbm_window_take(as, ((high - low) >> PAGE_SHIFT) + 1);
	as->zero = sbm_window_take(as, nr_zero);
	if (!shadow || !as->zero)
		return -ENOSPC;

	for (i = 0; i < nr_zero; i++) {
		err = sbm_map_page(as, as->zero + i * PAGE_SIZE, ZERO_PAGE(0), SBM_READ);
		if (err)
			return err;
	}

	as->gsbase = shadow - low;
	as->zero_end = as->zero + nr_zero * PAGE_SIZE;

	for (i = 0; i < ARRAY_SIZE(sbm_hot); i++) {
		unsigned long base = sbm_hot[i] & PAGE_MASK;

		for (j = 0; j < i; j++) {
			if ((sbm_hot[j] & PAGE_MASK) == base)
				break;
		}
		if (j < i)
			continue;

		err = sbm_own_page(as, base + as->gsbase);
		if (err)
			return err;
		as->shadow[as->nr_shadow++] = base + as->gsbase;
	}

	return 0;
}

/* Where the kernel finds what stands in for the per-CPU variable @var, if anything does */
static void *sbm_shadow(const struct arch_sbm *as, unsigned long var)
{
	u64 rights, pfn;

	if (!sbm_lookup(as, var + as->gsbase, &rights, &pfn) || !(rights & _PAGE_RW))
		return NULL;

	return pfn_to_kaddr(pfn) + offset_in_page(var);
}

/*
 * The preemption counter is never 0, so nothing tries to call the scheduler.
 * Pointers lead to pages of zeroes.
 */
static void sbm_fill_shadow(struct arch_sbm *as)
{
	const u64 preempt_count = PREEMPT_NEED_RESCHED | 1;
	unsigned long *p;

#ifdef CONFIG_STACKPROTECTOR
	p = sbm_shadow(as, (unsigned long)&X86_PCPU_CANARY);
	*p = get_random_long();
#endif
	/* Four or eight bytes, and for some compilers in an address space of its own */
	memcpy(sbm_shadow(as, (unsigned long)&X86_PCPU_PREEMPT_COUNT), &preempt_count,
	       sizeof(X86_PCPU_PREEMPT_COUNT));
	p = sbm_shadow(as, (unsigned long)&X86_PCPU_CURRENT);
	*p = as->zero;
	/* On the same page as one of these, or nowhere */
	p = sbm_shadow(as, (unsigned long)&this_cpu_off);
	if (p)
		*p = as->zero;
}

static int sbm_create_stack(struct arch_sbm *as, size_t size)
{
	unsigned long addr = sbm_window_take(as, size >> PAGE_SHIFT);
	unsigned long shadow;
	int err;

	if (!addr)
		return -ENOSPC;

	as->stack_low = addr;
	as->stack_high = addr + size;

	for (shadow = sbm_shadow_start(as->stack_low);
	     shadow < sbm_shadow_end(as->stack_high); shadow += PAGE_SIZE) {
		err = sbm_own_page(as, shadow);
		if (err)
			return err;
	}

	/* These come last, see arch_sbm_call() and arch_sbm_stack() */
	for (; addr < as->stack_high; addr += PAGE_SIZE) {
		err = sbm_own_page(as, addr);
		if (err)
			return err;
	}

	return 0;
}

/* See &arch_sbm.id */
static atomic64_t sbm_last_as;

struct arch_sbm *arch_sbm_create(size_t stack_size, bool ibpb, bool info,
				 struct sbm_memory *memory)
{
	unsigned int max_own = (stack_size >> PAGE_SHIFT) + SBM_MAX_SHADOW +
			       sbm_max_kasan_pages(stack_size);
	struct arch_sbm *as;
	struct page *page;
	int err = -ENOMEM;

	if (ibpb && !cpu_feature_enabled(X86_FEATURE_IBPB))
		return ERR_PTR(-EOPNOTSUPP);

	sbm_count(SBM_COUNT_ALLOC);
	as = kzalloc(sizeof(*as), GFP_KERNEL_ACCOUNT);
	if (!as)
		return ERR_PTR(-ENOMEM);

	INIT_LIST_HEAD(&as->modules);
	INIT_LIST_HEAD(&as->copies);
	as->ibpb = ibpb;
	as->memory = memory;
	sbm_count(SBM_COUNT_ALLOC);
	as->own = kcalloc(max_own, sizeof(*as->own), GFP_KERNEL_ACCOUNT);
	if (!as->own)
		goto out_destroy;
	page = sbm_alloc_page(memory);
	if (IS_ERR(page)) {
		err = PTR_ERR(page);
		goto out_destroy;
	}
	as->top = page_address(page);

	as->id = atomic64_inc_return(&sbm_last_as);
	memcpy(as->top, sbm_template, PAGE_SIZE);
	sbm_count(SBM_COUNT_TABLE);
	as->nr_tables = 1;
	as->next = SBM_WINDOW_START + PAGE_SIZE;

	err = sbm_create_info(as, info);
	if (!err)
		err = sbm_create_shadow(as);
	if (!err)
		err = sbm_create_stack(as, stack_size);
	if (err)
		goto out_destroy;
	sbm_fill_shadow(as);
	as->buffers = as->next;

	return as;

out_destroy:
	arch_sbm_destroy(as);
	return ERR_PTR(err);
}

void arch_sbm_destroy(struct arch_sbm *as)
{
	unsigned int i;

	if (as->top)
		sbm_free_tables(as, as->top, sbm_top_shift());
	sbm_modules_put(as);

	for (i = 0; i < as->nr_own; i++) {
		clear_page(page_address(as->own[i]));
		sbm_free_page(as->memory, as->own[i]);
	}
	if (as->info)
		sbm_free_page(as->memory, as->info);

	kfree(as->own);
	kfree_sensitive(as);
}

/* Unmap all buffers. Tables that have mapped nothing else are freed. */
static void sbm_unmap_buffers(struct arch_sbm *as)
{
	u64 *table = as->top;
	unsigned long addr;
	unsigned int shift;

	/* The stack is there, so all of these are */
	for (shift = sbm_top_shift(); shift > PMD_SHIFT; shift -= SBM_TABLE_SHIFT)
		table = sbm_table_of(*sbm_entry(table, SBM_WINDOW_START, shift));

	for (addr = as->buffers & PMD_MASK; addr < as->next; addr += PMD_SIZE) {
		u64 *entry = sbm_entry(table, addr, PMD_SHIFT);
		u64 *ptes;

		if (!(*entry & _PAGE_PRESENT))
			continue;

		ptes = sbm_table_of(*entry);
		if (addr < as->buffers) {
			unsigned int keep = (as->buffers - addr) >> PAGE_SHIFT;

			memset(ptes + keep, 0, (PTRS_PER_PTE - keep) * sizeof(*ptes));
			continue;
		}
		*entry = 0;
		sbm_free_tables(as, ptes, PAGE_SHIFT);
	}
	as->next = as->buffers;
}

/* Have all but the window, and the stack's shadow, as a new instance has it */
static void sbm_unmap_modules(struct arch_sbm *as)
{
	const u64 *window = sbm_entry(as->top, SBM_WINDOW_START, sbm_top_shift());
	const u64 *shadow = sbm_entry(as->top, sbm_shadow_start(as->stack_low),
				      sbm_top_shift());
	unsigned int i;

	for (i = 0; i < PTRS_PER_PTE; i++) {
		u64 entry = as->top[i];

		/* Without KASAN, @shadow is user space's */
		if (&as->top[i] == window || &as->top[i] == shadow ||
		    !(entry & SBM_OWN))
			continue;
		as->top[i] = sbm_template[i];
		sbm_free_tables(as, sbm_table_of(entry), sbm_top_shift() - SBM_TABLE_SHIFT);
	}
	sbm_modules_put(as);
	/* Whoever sets this does so for modules that are held */
	WRITE_ONCE(as->module_gone, false);
}

void arch_sbm_reset(struct arch_sbm *as)
{
	unsigned int i;

	/*
	 * As another instance, for all that remembers one by its number: what TLBs
	 * hold of this one is not used again, and who wants a barrier between
	 * instances gets one here, too.
	 */
	as->id = atomic64_inc_return(&sbm_last_as);

	sbm_unmap_buffers(as);
	sbm_unmap_modules(as);
	for (i = 0; i < as->nr_own; i++)
		clear_page(page_address(as->own[i]));
	if (as->info)
		clear_page(page_address(as->info));
	sbm_fill_shadow(as);
	memset(&as->regs, 0, sizeof(as->regs));
}

unsigned long sbm_top_pa(const struct arch_sbm *as)
{
	return __sme_pa(as->top);
}

/*
 * What ring 3 may do at @addr: the combined rights of all levels, as the
 * processor combines them. False if nothing is mapped.
 */
bool sbm_lookup(const struct arch_sbm *as, unsigned long addr, u64 *rights,
		u64 *pfn)
{
	u64 allow = _PAGE_USER | _PAGE_RW;
	unsigned int shift;
	u64 *table = as->top;
	u64 nx = 0;

	for (shift = sbm_top_shift();; shift -= SBM_TABLE_SHIFT) {
		u64 entry = READ_ONCE(*sbm_entry(table, addr, shift));

		if (!(entry & _PAGE_PRESENT))
			return false;

		allow &= entry;
		nx |= entry & _PAGE_NX;

		if (shift == PAGE_SHIFT || (entry & _PAGE_PSE && shift <= PUD_SHIFT)) {
			u64 frame = entry & PTE_PFN_MASK & ~sme_me_mask;

			frame &= ~((1ULL << shift) - 1);
			*rights = allow | nx | (entry & _PAGE_GLOBAL);
			*pfn = (frame + (addr & ((1ULL << shift) - 1))) >> PAGE_SHIFT;
			return true;
		}
		table = sbm_table_of(entry);
	}
}

/*
 * Map a page of a module, and return it for the caller to hold. In the copies of
 * tables that this makes, all else is as in the shared ones.
 */
struct page *sbm_map_module_page(struct arch_sbm *as, unsigned long addr, bool text)
{
	u64 rights, pfn;
	int err;

	err = sbm_map_same(as, as->top, addr,
			   (text ? SBM_EXEC : SBM_READ) | _PAGE_USER);
	if (err)
		return ERR_PTR(err);
	if (WARN_ON_ONCE(!sbm_lookup(as, addr, &rights, &pfn) || !pfn_valid(pfn)))
		return ERR_PTR(-EFAULT);

	return pfn_to_page(pfn);
}

/*
 * Map @page instead of the text at @addr. @old is what its @entry was before, which
 * stays where it is until the instance is reset.
 */
int sbm_replace_text(struct arch_sbm *as, unsigned long addr, struct page *page,
		     u64 **entry, u64 *old)
{
	*entry = sbm_walk(as, as->top, addr, PAGE_SHIFT, _PAGE_USER);
	/* Even if it has not got down to the last one */
	sbm_tables_changed(as);
	if (IS_ERR(*entry))
		return PTR_ERR(*entry);

	*old = **entry;
	if ((*old & (_PAGE_PRESENT | _PAGE_USER | _PAGE_NX)) !=
	    (_PAGE_PRESENT | _PAGE_USER))
		return -EFAULT;
	WRITE_ONCE(**entry, __sme_set(PFN_PHYS(page_to_pfn(page))) | SBM_EXEC |
			    _PAGE_USER);
	sbm_count(SBM_COUNT_ENTRY);

	return 0;
}

/* === Hooks for the generic part === */

struct page **arch_sbm_stack(const struct arch_sbm *as, unsigned long *low,
			     unsigned int *nr)
{
	*low = as->stack_low;
	*nr = (as->stack_high - as->stack_low) >> PAGE_SHIFT;

	/* These come last, see sbm_create_stack() */
	return as->own + as->nr_own - *nr;
}

static bool sbm_is_entry_text(unsigned long addr)
{
	return (addr >= (unsigned long)__sbm_entry_start &&
		addr < (unsigned long)__sbm_entry_end) ||
	       (addr >= (unsigned long)__sbm_switch_start &&
		addr < (unsigned long)__sbm_switch_end);
}

static bool sbm_is_tracer_text(unsigned long addr)
{
	return addr >= (unsigned long)__sbm_tracer_start &&
	       addr < (unsigned long)__sbm_tracer_end;
}

/* Is there text that the target may execute? Probes and patching act on it. */
bool sbm_is_text(const struct arch_sbm *as, unsigned long addr)
{
	return (addr >= (unsigned long)_stext && addr < (unsigned long)_etext) ||
	       sbm_module_text(as, addr);
}

int arch_sbm_admit(struct sbm_instance *inst, unsigned long target,
		   const char **reason)
{
	struct arch_sbm *as = inst->arch;
	int err;

	if (READ_ONCE(as->module_gone)) {
		*reason = "a module that was called before is gone";
		return -EOPNOTSUPP;
	}
	if (sbm_is_entry_text(target)) {
		*reason = "entry code cannot be called";
		return -EOPNOTSUPP;
	}
	if (sbm_is_tracer_text(target)) {
		*reason = "what traced functions call cannot be called";
		return -EOPNOTSUPP;
	}
	if (sbm_is_text(as, target))
		return 0;

	sbm_debugfs_lock(inst);
	err = sbm_module_add(as, target, reason);
	sbm_debugfs_unlock(inst);

	return err;
}

bool arch_sbm_may_map(unsigned long addr, bool write)
{
	unsigned int level;
	u64 val = 0;
	pte_t *pte;

	/* As in sbm_kernel_frame() */
	mmap_read_lock(&init_mm);
	pte = lookup_address(addr, &level);
	if (pte)
		val = pte_val(READ_ONCE(*pte));
	mmap_read_unlock(&init_mm);

	if (!(val & _PAGE_PRESENT))
		return false;

	/*
	 * The sandbox maps everything write-back and encrypted. Two mappings of one
	 * page must not differ in that.
	 */
	if ((val & (_PAGE_PWT | _PAGE_PCD)) ||
	    (val & (level == PG_LEVEL_4K ? _PAGE_PAT : _PAGE_PAT_LARGE)) ||
	    (sme_me_mask && !(val & sme_me_mask)))
		return false;

	return !write || (val & _PAGE_RW);
}
