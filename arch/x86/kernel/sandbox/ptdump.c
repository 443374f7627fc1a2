// SPDX-License-Identifier: GPL-2.0
/*
 * Sandbox mode (SBM) on x86-64: print what an instance's page tables allow.
 *
 * Each present entry is taken from the tables as the processor would take it.
 * What it is for is found out the other way round: from where things are, and
 * whose the frame is. An entry for which the two do not agree is "unexpected".
 *
 * The tables may be in use on another CPU. Entries go from zero to their value,
 * once, or from a shared table to a copy of it, and only with the lock that the reader
 * holds; tables are freed with the instance or when it is reset. Text without probes
 * comes and goes, but not while somebody looks.
 */
#include <linux/array_size.h>
#include <linux/bitops.h>
#include <linux/build_bug.h>
#include <linux/container_of.h>
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
#include "ptdump.h"
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

const char * const sbm_what_names[SBM_NR_WHATS] = {
	[SBM_WHAT_UNEXPECTED]	= "unexpected",
	[SBM_WHAT_SHADOW]	= "per-CPU stand-in",
	[SBM_WHAT_ZERO]		= "zero page",
	[SBM_WHAT_INFO]		= "information",
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
	/* The rights tell which */
	[SBM_WHAT_MODULE_TEXT]	= "module",
	[SBM_WHAT_MODULE_CONSTANTS] = "module",
	[SBM_WHAT_ZERO_SHADOW]	= "zero page",
	[SBM_WHAT_STACK_SHADOW]	= "of the stack",
};

/**
 * struct sbm_dump - state of the walk
 * @look:	The walk.
 * @m:		Where to.
 * @run:	Not yet printed; empty if its ends are equal.
 * @region:	Where the last line was, -1 before the first one.
 * @readable:	Pages that ring 3 can read, ...
 * @writable:	... write, ...
 * @executable: ... execute.
 * @supervisor: Pages for ring 0 only.
 * @tables:	Pages of the tables themselves.
 */
struct sbm_dump {
	struct sbm_look			look;
	struct seq_file			*m;
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

/* The page that the instance itself has at @addr of the window, NULL if none */
static const struct page *sbm_own_at(const struct arch_sbm *as, unsigned long addr)
{
	unsigned int i;

	/* The shadow comes first, and the stack last */
	for (i = 0; i < as->nr_shadow; i++) {
		if (addr == as->shadow[i])
			return as->own[i];
	}
	if (addr >= as->stack_low && addr < as->stack_high)
		return as->own[as->nr_own - ((as->stack_high - addr) >> PAGE_SHIFT)];

	return NULL;
}

/* Is that a page of KASAN's shadow of the stack? They come between these two. */
static bool sbm_own_shadow(const struct arch_sbm *as, unsigned long pfn)
{
	unsigned int end = as->nr_own - ((as->stack_high - as->stack_low) >> PAGE_SHIFT);
	unsigned int i;

	for (i = as->nr_shadow; i < end; i++) {
		if (page_to_pfn(as->own[i]) == pfn)
			return true;
	}

	return false;
}

static void sbm_classify_window(struct sbm_look *look, struct sbm_leaf *leaf)
{
	const struct arch_sbm *as = look->inst->arch;
	const struct page *page = sbm_own_at(as, leaf->start);
	unsigned long index;

	if (page) {
		leaf->place = leaf->start < as->stack_low ? SBM_WHAT_SHADOW :
							    SBM_WHAT_STACK;
	} else if (leaf->start == SBM_INFO) {
		leaf->place = SBM_WHAT_INFO;
		page = as->info ?: ZERO_PAGE(0);
	} else if (leaf->start >= as->zero && leaf->start < as->zero_end) {
		leaf->place = SBM_WHAT_ZERO;
		page = ZERO_PAGE(0);
	} else {
		leaf->nr = look->nr;
		leaf->buf = sbm_debugfs_buffer(look->inst, leaf->start, look->buf,
					       &leaf->nr);
		if (!leaf->buf) {
			leaf->nr = 0;
			return;
		}
		look->buf = leaf->buf;
		look->nr = leaf->nr;
		leaf->place = SBM_WHAT_BUFFER;
		index = (leaf->start - (leaf->buf->addr & PAGE_MASK)) >> PAGE_SHIFT;
		page = leaf->buf->pages[index];
	}

	if (page && leaf->shift == PAGE_SHIFT && page_to_pfn(page) == leaf->pfn)
		leaf->what = leaf->place;
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
	bool text;

	for (i = 0; (page = its_thunk_page(NULL, i)); i++) {
		if (addr == (unsigned long)page)
			return SBM_WHAT_THUNKS;
	}
	if (!sbm_module_page(as, addr, pfn, &text))
		return SBM_WHAT_UNEXPECTED;

	return text ? SBM_WHAT_MODULE_TEXT : SBM_WHAT_MODULE_CONSTANTS;
}

void sbm_classify(struct sbm_look *look, struct sbm_leaf *leaf)
{
	enum sbm_region region = sbm_region_of(leaf->start);
	unsigned int level;
	u64 frame;

	leaf->place = SBM_WHAT_UNEXPECTED;
	leaf->what = SBM_WHAT_UNEXPECTED;
	leaf->nr = 0;
	leaf->buf = NULL;

	switch (region) {
	case SBM_REGION_WINDOW:
		sbm_classify_window(look, leaf);
		return;
	case SBM_REGION_CEA:
		/* The kernel's own tables are below */
		leaf->place = SBM_WHAT_CEA;
		leaf->what = SBM_WHAT_CEA;
		return;
	case SBM_REGION_GATES:
		leaf->nr = (leaf->start - (unsigned long)sbm_gate(0)) / SBM_GATE_SIZE;
		leaf->place = leaf->start & (SBM_GATE_SIZE - 1) ? SBM_WHAT_GATE :
								  SBM_WHAT_GATE_IDT;
		break;
	case SBM_REGION_IMAGE:
		leaf->place = sbm_what_in_image(leaf->start);
		break;
	case SBM_REGION_MODULES:
		leaf->place = sbm_what_in_modules(look->inst->arch, leaf->start,
						  leaf->pfn);
		break;
	case SBM_REGION_SHADOW:
		/* Zeroes that all share are no leaves, see sbm_look_at_table() */
		if (sbm_own_shadow(look->inst->arch, leaf->pfn)) {
			leaf->place = SBM_WHAT_STACK_SHADOW;
			leaf->what = SBM_WHAT_STACK_SHADOW;
		}
		return;
	case SBM_REGION_OTHER:
		return;
	}

	if (leaf->shift == PAGE_SHIFT &&
	    sbm_is_copy(look->inst->arch, leaf->start, leaf->pfn)) {
		leaf->place = SBM_WHAT_COPY;
		leaf->what = SBM_WHAT_COPY;
		return;
	}

	frame = sbm_kernel_frame(leaf->start, &level);
	if (frame && (frame & PTE_PFN_MASK & ~sme_me_mask) >> PAGE_SHIFT == leaf->pfn)
		leaf->what = leaf->place;
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

static void sbm_dump_leaf(struct sbm_look *look, const struct sbm_leaf *leaf)
{
	struct sbm_dump *d = container_of(look, struct sbm_dump, look);
	unsigned long nr = (leaf->end - leaf->start) >> PAGE_SHIFT;
	struct sbm_leaf *run = &d->run;

	if (leaf->what == SBM_WHAT_ZERO_SHADOW) {
		/* One page, many times: not counted */
	} else if (!(leaf->rights & _PAGE_USER)) {
		d->supervisor += nr;
	} else {
		d->readable += nr;
		if (leaf->rights & _PAGE_RW)
			d->writable += nr;
		if (!(leaf->rights & _PAGE_NX))
			d->executable += nr;
	}

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

static void sbm_dump_table(struct sbm_look *look, u64 *table, u64 entry,
			   unsigned long addr, unsigned int shift,
			   enum sbm_table_owner owner)
{
	container_of(look, struct sbm_dump, look)->tables[owner]++;
}

static void sbm_look_at_table(struct sbm_look *look, u64 *table, unsigned int shift,
			      unsigned long base, u64 rights,
			      enum sbm_table_owner owner)
{
	unsigned int i;

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

		/* With KASAN: all of the range is one page of zeroes */
		if (sbm_region_of(addr) == SBM_REGION_SHADOW &&
		    sbm_is_zero_shadow(entry, shift)) {
			const struct sbm_leaf leaf = {
				.start	= addr,
				.end	= addr + (1UL << shift),
				.shift	= PAGE_SHIFT,
				.rights	= (r & ~(u64)_PAGE_RW) | _PAGE_NX,
				.pfn	= page_to_pfn(ZERO_PAGE(0)),
				.place	= SBM_WHAT_ZERO_SHADOW,
				.what	= SBM_WHAT_ZERO_SHADOW,
			};

			look->leaf(look, &leaf);
			continue;
		}
		if (shift == PAGE_SHIFT || (entry & _PAGE_PSE && shift <= PUD_SHIFT)) {
			u64 frame = entry & PTE_PFN_MASK & ~sme_me_mask &
				    ~((1ULL << shift) - 1);
			struct sbm_leaf leaf = {
				.start	= addr,
				.end	= addr + (1UL << shift),
				.shift	= shift,
				.rights	= r | (entry & _PAGE_GLOBAL),
				.pfn	= frame >> PAGE_SHIFT,
			};

			sbm_classify(look, &leaf);
			look->leaf(look, &leaf);
			continue;
		}

		if (owner == SBM_TABLE_INSTANCE && !(entry & SBM_OWN))
			below = SBM_TABLE_SHARED;
		if (shift == P4D_SHIFT && addr == CPU_ENTRY_AREA_BASE)
			below = SBM_TABLE_KERNEL;
		if (look->table)
			look->table(look, sbm_table_of(entry), entry, addr,
				    shift - SBM_TABLE_SHIFT, below);
		sbm_look_at_table(look, sbm_table_of(entry), shift - SBM_TABLE_SHIFT,
				  addr, r, below);
	}
}

void sbm_look_at_tables(struct sbm_look *look)
{
	u64 *top = look->inst->arch->top;

	if (look->table)
		look->table(look, top, 0, 0, sbm_top_shift(), SBM_TABLE_INSTANCE);
	sbm_look_at_table(look, top, sbm_top_shift(), 0, _PAGE_USER | _PAGE_RW,
			  SBM_TABLE_INSTANCE);
}

void arch_sbm_dump_tables(struct seq_file *m, const struct sbm_instance *inst)
{
	struct sbm_dump d = {
		.look	= {
			.inst	= inst,
			.leaf	= sbm_dump_leaf,
			.table	= sbm_dump_table,
		},
		.m	= m,
		.region	= -1,
	};

	sbm_look_at_tables(&d.look);
	sbm_dump_run(&d);

	seq_puts(m, "---[ pages ]---\n");
	seq_printf(m, "ring 3: %lu readable, %lu writable, %lu executable\n",
		   d.readable, d.writable, d.executable);
	seq_printf(m, "ring 0 only: %lu\n", d.supervisor);
	seq_printf(m, "tables: %u of the instance, %u shared by all, %u of the kernel\n",
		   d.tables[SBM_TABLE_INSTANCE], d.tables[SBM_TABLE_SHARED],
		   d.tables[SBM_TABLE_KERNEL]);
}
