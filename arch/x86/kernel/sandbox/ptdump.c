// SPDX-License-Identifier: GPL-2.0
/*
 * Sandbox mode (SBM) on x86-64: print what an instance's page tables allow.
 *
 * Each present entry is taken from the tables as the processor would take it.
 * What it is for is found out the other way round: from where things are, and
 * whose the frame is. An entry for which the two do not agree is "unexpected".
 *
 * The tables may be in use on another CPU. Entries go from zero to their value,
 * once, or from a shared table to a copy of it; tables are freed with the instance
 * only. Text without probes comes and goes, but not while somebody looks.
 */
#include <linux/array_size.h>
#include <linux/bitops.h>
#include <linux/build_bug.h>
#include <linux/kasan.h>
#include <linux/mm.h>
#include <linux/pgtable.h>
#include <linux/sched.h>
#include <linux/seq_file.h>

#include <asm/alternative.h>
#include <asm/cpu_entry_area.h>
#include <asm/sbm.h>
#include <asm/sections.h>

#include <sbm/debugfs.h>
#include <sbm/sbm.h>
#include "gate.h"
#include "sandbox.h"

enum sbm_region {
	SBM_REGION_WINDOW,
	SBM_REGION_GATES,
	SBM_REGION_CEA,
	SBM_REGION_IMAGE,
	SBM_REGION_MODULES,
	SBM_REGION_SHADOW,
	SBM_REGION_OTHER,
};

static const char * const sbm_region_names[] = {
	[SBM_REGION_WINDOW]	= "window",
	[SBM_REGION_GATES]	= "gates",
	[SBM_REGION_CEA]	= "cpu_entry_area",
	[SBM_REGION_IMAGE]	= "kernel image",
	[SBM_REGION_MODULES]	= "modules",
	[SBM_REGION_SHADOW]	= "KASAN shadow",
	[SBM_REGION_OTHER]	= "elsewhere",
};

static_assert(ARRAY_SIZE(sbm_region_names) == SBM_REGION_OTHER + 1);

enum sbm_what {
	SBM_WHAT_UNEXPECTED,
	SBM_WHAT_SHADOW,
	SBM_WHAT_ZERO,
	SBM_WHAT_STACK,
	SBM_WHAT_BUFFER,
	SBM_WHAT_GATE_IDT,
	SBM_WHAT_GATE,
	SBM_WHAT_CEA,
	SBM_WHAT_TEXT,
	SBM_WHAT_ENTRY,
	SBM_WHAT_SWITCH,
	SBM_WHAT_TRACER,
	SBM_WHAT_COPY,
	SBM_WHAT_CONSTANTS,
	SBM_WHAT_AFTER_INIT,
	SBM_WHAT_DATA,
	SBM_WHAT_THUNKS,
	SBM_WHAT_MODULE,
	SBM_WHAT_STACK_SHADOW,
};

static const char * const sbm_what_names[] = {
	[SBM_WHAT_UNEXPECTED]	= "unexpected",
	[SBM_WHAT_SHADOW]	= "per-CPU stand-in",
	[SBM_WHAT_ZERO]		= "zero page",
	[SBM_WHAT_STACK]	= "stack",
	[SBM_WHAT_BUFFER]	= "buffer",
	[SBM_WHAT_GATE_IDT]	= "IDT, gate of CPU",
	[SBM_WHAT_GATE]		= "state and stacks, gate of CPU",
	[SBM_WHAT_CEA]		= "cpu_entry_area",
	[SBM_WHAT_TEXT]		= "text",
	[SBM_WHAT_ENTRY]	= "entry text",
	[SBM_WHAT_SWITCH]	= "switch text",
	[SBM_WHAT_TRACER]	= "tracer text",
	[SBM_WHAT_COPY]		= "text without probes",
	[SBM_WHAT_CONSTANTS]	= "constants",
	[SBM_WHAT_AFTER_INIT]	= "ro_after_init",
	[SBM_WHAT_DATA]		= "kernel data",
	[SBM_WHAT_THUNKS]	= "thunks",
	[SBM_WHAT_MODULE]	= "module",
	[SBM_WHAT_STACK_SHADOW]	= "of the stack",
};

static_assert(ARRAY_SIZE(sbm_what_names) == SBM_WHAT_STACK_SHADOW + 1);

/* Whose a page of the tables is */
enum sbm_table_owner {
	SBM_TABLE_INSTANCE,
	SBM_TABLE_SHARED,
	SBM_TABLE_KERNEL,
	SBM_NR_TABLE_OWNERS
};

/**
 * struct sbm_leaf - a leaf entry, or a run of equal ones
 * @start:  First address.
 * @end:    Address behind.
 * @shift:  Size of one, as a power of two.
 * @rights: What all levels together allow.
 * @what:   What it is for.
 * @nr:	    Number of the buffer or CPU.
 * @buf:    The buffer.
 */
struct sbm_leaf {
	unsigned long		start;
	unsigned long		end;
	unsigned int		shift;
	u64			rights;
	enum sbm_what		what;
	unsigned int		nr;
	const struct sbm_buffer	*buf;
};

/**
 * struct sbm_dump - state of the walk
 * @m:		Where to.
 * @inst:	The instance.
 * @run:	Not yet printed; empty if its ends are equal.
 * @region:	Where the last line was, -1 before the first one.
 * @readable:	Pages that ring 3 can read, ...
 * @writable:	... write, ...
 * @executable: ... execute.
 * @supervisor: Pages for ring 0 only.
 * @tables:	Pages of the tables themselves.
 */
struct sbm_dump {
	struct seq_file			*m;
	const struct sbm_instance	*inst;
	struct sbm_leaf			run;
	int				region;
	unsigned long			readable;
	unsigned long			writable;
	unsigned long			executable;
	unsigned long			supervisor;
	unsigned int			tables[SBM_NR_TABLE_OWNERS];
};

static bool sbm_in(unsigned long addr, const void *start, const void *end)
{
	return addr >= (unsigned long)start && addr < (unsigned long)end;
}

static enum sbm_region sbm_region_of(unsigned long addr)
{
	if (addr >= SBM_WINDOW_START && addr < SBM_WINDOW_END)
		return SBM_REGION_WINDOW;
	if (sbm_in(addr, sbm_gate(0), sbm_gate(nr_cpu_ids)))
		return SBM_REGION_GATES;
	if (addr >= CPU_ENTRY_AREA_BASE && addr < CPU_ENTRY_AREA_BASE + P4D_SIZE)
		return SBM_REGION_CEA;
	if (sbm_in(addr, _text, _end))
		return SBM_REGION_IMAGE;
	if (addr >= MODULES_VADDR && addr < MODULES_END)
		return SBM_REGION_MODULES;
#ifdef CONFIG_KASAN
	if (addr >= KASAN_SHADOW_START && addr < KASAN_SHADOW_END)
		return SBM_REGION_SHADOW;
#endif

	return SBM_REGION_OTHER;
}

static bool sbm_is_own(const struct arch_sbm *as, unsigned long pfn)
{
	unsigned int i;

	for (i = 0; i < as->nr_own; i++) {
		if (page_to_pfn(as->own[i]) == pfn)
			return true;
	}

	return false;
}

static enum sbm_what sbm_what_in_window(struct sbm_dump *d, struct sbm_leaf *leaf,
					unsigned long pfn)
{
	const struct arch_sbm *as = d->inst->arch;
	unsigned long index;

	if (leaf->shift != PAGE_SHIFT)
		return SBM_WHAT_UNEXPECTED;
	if (leaf->start >= as->stack_low && leaf->start < as->stack_high)
		return sbm_is_own(as, pfn) ? SBM_WHAT_STACK : SBM_WHAT_UNEXPECTED;
	/* The stack comes last of what an instance is created with */
	if (leaf->start < as->stack_low) {
		if (sbm_is_own(as, pfn))
			return SBM_WHAT_SHADOW;
		if (pfn == page_to_pfn(ZERO_PAGE(0)))
			return SBM_WHAT_ZERO;
		return SBM_WHAT_UNEXPECTED;
	}

	leaf->nr = d->run.nr;
	leaf->buf = sbm_debugfs_buffer(d->inst, leaf->start, d->run.buf, &leaf->nr);
	if (leaf->buf) {
		index = (leaf->start - (leaf->buf->addr & PAGE_MASK)) >> PAGE_SHIFT;
		if (page_to_pfn(leaf->buf->pages[index]) == pfn)
			return SBM_WHAT_BUFFER;
	}
	leaf->buf = NULL;
	leaf->nr = 0;

	return SBM_WHAT_UNEXPECTED;
}

static enum sbm_what sbm_what_in_image(unsigned long addr)
{
	if (sbm_in(addr, __sbm_entry_start, __sbm_entry_end))
		return SBM_WHAT_ENTRY;
	if (sbm_in(addr, __sbm_switch_start, __sbm_switch_end))
		return SBM_WHAT_SWITCH;
	if (sbm_in(addr, __sbm_tracer_start, __sbm_tracer_end))
		return SBM_WHAT_TRACER;
	if (addr >= ((unsigned long)_stext & PAGE_MASK) &&
	    addr < PAGE_ALIGN((unsigned long)_etext))
		return SBM_WHAT_TEXT;
	if (sbm_in(addr, __start_ro_after_init, __end_ro_after_init))
		return SBM_WHAT_AFTER_INIT;
	if (sbm_in(addr, __start_rodata, __end_rodata))
		return SBM_WHAT_CONSTANTS;

	return SBM_WHAT_DATA;
}

/* Thunks of the image, or what the instance holds of a module */
static enum sbm_what sbm_what_in_modules(const struct arch_sbm *as,
					 unsigned long addr, unsigned long pfn)
{
	unsigned int i;
	void *page;

	for (i = 0; (page = its_thunk_page(NULL, i)); i++) {
		if (addr == (unsigned long)page)
			return SBM_WHAT_THUNKS;
	}

	return sbm_module_page(as, addr, pfn) ? SBM_WHAT_MODULE :
	       SBM_WHAT_UNEXPECTED;
}

/* What is at @leaf, and is its frame @pfn the right one? */
static enum sbm_what sbm_what_is(struct sbm_dump *d, struct sbm_leaf *leaf,
				 unsigned long pfn)
{
	enum sbm_region region = sbm_region_of(leaf->start);
	unsigned int level;
	u64 frame;

	if (region == SBM_REGION_WINDOW)
		return sbm_what_in_window(d, leaf, pfn);
	/* The kernel's own tables are below */
	if (region == SBM_REGION_CEA)
		return SBM_WHAT_CEA;
	/* Zeroes that all share are no leaves, see sbm_dump_table() */
	if (region == SBM_REGION_SHADOW && sbm_is_own(d->inst->arch, pfn))
		return SBM_WHAT_STACK_SHADOW;
	if (region == SBM_REGION_SHADOW || region == SBM_REGION_OTHER)
		return SBM_WHAT_UNEXPECTED;

	if (leaf->shift == PAGE_SHIFT && sbm_is_copy(d->inst->arch, leaf->start, pfn))
		return SBM_WHAT_COPY;

	frame = sbm_kernel_frame(leaf->start, &level);
	if ((frame & PTE_PFN_MASK & ~sme_me_mask) >> PAGE_SHIFT != pfn)
		return SBM_WHAT_UNEXPECTED;
	if (region == SBM_REGION_IMAGE)
		return sbm_what_in_image(leaf->start);
	if (region == SBM_REGION_MODULES)
		return sbm_what_in_modules(d->inst->arch, leaf->start, pfn);

	leaf->nr = (leaf->start - (unsigned long)sbm_gate(0)) / SBM_GATE_SIZE;

	return leaf->start & (SBM_GATE_SIZE - 1) ? SBM_WHAT_GATE : SBM_WHAT_GATE_IDT;
}

static void sbm_dump_run(struct sbm_dump *d)
{
	const struct sbm_leaf *run = &d->run;
	enum sbm_region region = sbm_region_of(run->start);

	if (run->start == run->end)
		return;

	if (d->region != region)
		seq_printf(d->m, "---[ %s ]---\n", sbm_region_names[region]);
	d->region = region;

	seq_printf(d->m, "%016lx-%016lx %8luK %s  %c r %c %c %c  %s",
		   run->start, run->end, (run->end - run->start) >> 10,
		   run->shift == PAGE_SHIFT ? "4K" :
		   run->shift == PMD_SHIFT ? "2M" : "1G",
		   run->rights & _PAGE_USER ? 'U' : '-',
		   run->rights & _PAGE_RW ? 'w' : '-',
		   run->rights & _PAGE_NX ? '-' : 'x',
		   run->rights & _PAGE_GLOBAL ? 'G' : '-',
		   sbm_what_names[run->what]);
	if (run->what == SBM_WHAT_BUFFER)
		seq_printf(d->m, " %u, %s", run->nr,
			   sbm_buffer_kind(run->buf));
	if (run->what == SBM_WHAT_GATE_IDT || run->what == SBM_WHAT_GATE)
		seq_printf(d->m, " %u", run->nr);
	seq_putc(d->m, '\n');
}

static void sbm_dump_add(struct sbm_dump *d, const struct sbm_leaf *leaf)
{
	struct sbm_leaf *run = &d->run;

	/* The end of the address space is 0 */
	if (run->end == leaf->start && run->start != run->end &&
	    run->shift == leaf->shift && run->rights == leaf->rights &&
	    run->what == leaf->what && run->nr == leaf->nr) {
		run->end = leaf->end;
		return;
	}

	sbm_dump_run(d);
	*run = *leaf;
}

/* With KASAN: all of the range is one page of zeroes, which is not worth counting */
static void sbm_dump_zero_shadow(struct sbm_dump *d, unsigned long start,
				 unsigned int shift, u64 rights)
{
	const struct sbm_leaf leaf = {
		.start	= start,
		.end	= start + (1UL << shift),
		.shift	= PAGE_SHIFT,
		.rights	= (rights & ~(u64)_PAGE_RW) | _PAGE_NX,
		.what	= SBM_WHAT_ZERO,
	};

	sbm_dump_add(d, &leaf);
}

static void sbm_dump_leaf(struct sbm_dump *d, unsigned long start,
			  unsigned int shift, u64 rights, u64 entry)
{
	unsigned long nr = 1UL << (shift - PAGE_SHIFT);
	struct sbm_leaf leaf = {
		.start	= start,
		.end	= start + (1UL << shift),
		.shift	= shift,
		.rights	= rights,
	};
	u64 frame = entry & PTE_PFN_MASK & ~sme_me_mask & ~((1ULL << shift) - 1);

	leaf.what = sbm_what_is(d, &leaf, frame >> PAGE_SHIFT);

	if (!(rights & _PAGE_USER)) {
		d->supervisor += nr;
	} else {
		d->readable += nr;
		if (rights & _PAGE_RW)
			d->writable += nr;
		if (!(rights & _PAGE_NX))
			d->executable += nr;
	}

	sbm_dump_add(d, &leaf);
}

static void sbm_dump_table(struct sbm_dump *d, u64 *table, unsigned int shift,
			   unsigned long base, u64 rights,
			   enum sbm_table_owner owner)
{
	unsigned int i;

	d->tables[owner]++;
	cond_resched();

	for (i = 0; i < PTRS_PER_PTE; i++) {
		enum sbm_table_owner below = owner;
		u64 entry = READ_ONCE(table[i]);
		unsigned long addr;
		u64 r;

		if (!(entry & _PAGE_PRESENT))
			continue;

		addr = sign_extend64(base | (u64)i << shift,
				     sbm_top_shift() + SBM_TABLE_SHIFT - 1);
		r = rights & entry & (_PAGE_USER | _PAGE_RW);
		r |= (rights | entry) & _PAGE_NX;

		if (sbm_region_of(addr) == SBM_REGION_SHADOW &&
		    sbm_is_zero_shadow(entry, shift)) {
			sbm_dump_zero_shadow(d, addr, shift, r);
			continue;
		}
		if (shift == PAGE_SHIFT || (entry & _PAGE_PSE && shift <= PUD_SHIFT)) {
			sbm_dump_leaf(d, addr, shift, r | (entry & _PAGE_GLOBAL),
				      entry);
			continue;
		}

		if (owner == SBM_TABLE_INSTANCE && !(entry & SBM_OWN))
			below = SBM_TABLE_SHARED;
		if (shift == P4D_SHIFT && addr == CPU_ENTRY_AREA_BASE)
			below = SBM_TABLE_KERNEL;
		sbm_dump_table(d, sbm_table_of(entry), shift - SBM_TABLE_SHIFT, addr,
			       r, below);
	}
}

void arch_sbm_dump_tables(struct seq_file *m, const struct sbm_instance *inst)
{
	struct sbm_dump d = {
		.m	= m,
		.inst	= inst,
		.region	= -1,
	};

	sbm_dump_table(&d, inst->arch->top, sbm_top_shift(), 0,
		       _PAGE_USER | _PAGE_RW, SBM_TABLE_INSTANCE);
	sbm_dump_run(&d);

	seq_puts(m, "---[ pages ]---\n");
	seq_printf(m, "ring 3: %lu readable, %lu writable, %lu executable\n",
		   d.readable, d.writable, d.executable);
	seq_printf(m, "ring 0 only: %lu\n", d.supervisor);
	seq_printf(m, "tables: %u of the instance, %u shared by all, %u of the kernel\n",
		   d.tables[SBM_TABLE_INSTANCE], d.tables[SBM_TABLE_SHARED],
		   d.tables[SBM_TABLE_KERNEL]);
}
