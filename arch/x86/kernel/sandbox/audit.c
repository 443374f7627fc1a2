// SPDX-License-Identifier: GPL-2.0
/*
 * Sandbox mode (SBM) on x86-64: compare live tables and gates with the rules.
 *
 * The rules are written down here once more, and do not share anything with the code that
 * builds tables and gates: they are what Documentation/sandbox/x86.rst promises. What is
 * at an address, and which frame belongs there, is for ptdump.c to say.
 */
#include <linux/align.h>
#include <linux/array_size.h>
#include <linux/build_bug.h>
#include <linux/container_of.h>
#include <linux/cpufeature.h>
#include <linux/cpumask.h>
#include <linux/list.h>
#include <linux/memory_hotplug.h>
#include <linux/mm.h>
#include <linux/mmap_lock.h>
#include <linux/percpu.h>
#include <linux/pfn.h>
#include <linux/pgtable.h>
#include <linux/processor.h>
#include <linux/sbm.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <linux/sprintf.h>

#include <asm/cpu_entry_area.h>
#include <asm/desc_defs.h>
#include <asm/page_types.h>
#include <asm/sbm.h>
#include <asm/sections.h>
#include <asm/segment.h>
#include <asm/trapnr.h>

#include <sbm/sbm.h>
#include "gate.h"
#include "ptdump.h"
#include "sandbox.h"

/* === The rules === */

/* What a page may have. It may always be read, and no page may be unlike this. */
#define SBM_MAY_BE_THERE	0x01
#define SBM_MAY_RING3	0x02
#define SBM_MAY_WRITE	0x04
#define SBM_MAY_EXEC	0x08
#define SBM_MAY_BE_LARGE	0x10
#define SBM_MAY_BE_GLOBAL	0x20

struct sbm_kind {
	unsigned int	may;
	const char	*why;
};

static const struct sbm_kind sbm_kinds[SBM_NR_WHATS] = {
	[SBM_WHAT_SHADOW] = {
		SBM_MAY_BE_THERE | SBM_MAY_RING3 | SBM_MAY_WRITE,
		"compiled code reads per-CPU data; pages of the instance",
	},
	[SBM_WHAT_ZERO] = {
		SBM_MAY_BE_THERE | SBM_MAY_RING3,
		"compiled code reads the current task; zeroes",
	},
	[SBM_WHAT_INFO] = {
		SBM_MAY_BE_THERE | SBM_MAY_RING3,
		"code inside looks for its heap; zeroes, or a page of the instance",
	},
	[SBM_WHAT_STACK] = {
		SBM_MAY_BE_THERE | SBM_MAY_RING3 | SBM_MAY_WRITE,
		"pages of the instance",
	},
	/* Whether the target may write is a matter of the buffer, see sbm_broken_rule() */
	[SBM_WHAT_BUFFER] = { SBM_MAY_BE_THERE | SBM_MAY_RING3 | SBM_MAY_WRITE, },
	[SBM_WHAT_GATE_IDT] = {
		SBM_MAY_BE_THERE,
		"where the processor goes at an event",
	},
	[SBM_WHAT_GATE] = {
		SBM_MAY_BE_THERE | SBM_MAY_WRITE,
		"state and stacks of the way in and out",
	},
	/* The kernel's own table, and the same in all address spaces: it may be global */
	[SBM_WHAT_CEA] = {
		SBM_MAY_BE_THERE | SBM_MAY_WRITE | SBM_MAY_BE_GLOBAL,
		"the processor accesses descriptors and the TSS",
	},
	[SBM_WHAT_TEXT] = {
		SBM_MAY_BE_THERE | SBM_MAY_RING3 | SBM_MAY_EXEC | SBM_MAY_BE_LARGE,
		"targets are compiled kernel code",
	},
	/* SYSCALL would execute it with the target's stack pointer */
	[SBM_WHAT_ENTRY] = { 0, },
	[SBM_WHAT_SWITCH] = {
		SBM_MAY_BE_THERE | SBM_MAY_EXEC | SBM_MAY_BE_LARGE,
		"the way in and out",
	},
	/* What a traced function calls wants all of the kernel */
	[SBM_WHAT_TRACER] = { 0, },
	[SBM_WHAT_COPY] = {
		SBM_MAY_BE_THERE | SBM_MAY_RING3 | SBM_MAY_EXEC,
		"a target has met a probe there; pages of the instance, while the call lasts",
	},
	[SBM_WHAT_CONSTANTS] = {
		SBM_MAY_BE_THERE | SBM_MAY_RING3 | SBM_MAY_BE_LARGE,
		"compiled code reads them",
	},
	[SBM_WHAT_AFTER_INIT] = { 0, },
	[SBM_WHAT_DATA] = { 0, },
	[SBM_WHAT_THUNKS] = {
		SBM_MAY_BE_THERE | SBM_MAY_RING3 | SBM_MAY_EXEC,
		"kernel text jumps through them",
	},
	[SBM_WHAT_MODULE_TEXT] = {
		SBM_MAY_BE_THERE | SBM_MAY_RING3 | SBM_MAY_EXEC,
		"a target in a module was called",
	},
	[SBM_WHAT_MODULE_CONSTANTS] = {
		SBM_MAY_BE_THERE | SBM_MAY_RING3,
		"a target in a module was called",
	},
	[SBM_WHAT_ZERO_SHADOW] = {
		SBM_MAY_BE_THERE | SBM_MAY_RING3,
		"compiled code asks KASAN; all of it is one page of zeroes",
	},
	[SBM_WHAT_STACK_SHADOW] = {
		SBM_MAY_BE_THERE | SBM_MAY_RING3 | SBM_MAY_WRITE,
		"compiled code marks for KASAN what is around variables; pages of the instance",
	},
};

/* Broken rules, the most telling ones first: of one page, only the first is told */
enum sbm_rule {
	SBM_RULE_PAGE_TABLE,
	SBM_RULE_OTHER_INSTANCE,
	SBM_RULE_TWICE,
	SBM_RULE_ABSENT,
	SBM_RULE_FRAME,
	SBM_RULE_RING0,
	SBM_RULE_GLOBAL,
	SBM_RULE_WX,
	SBM_RULE_WRITE,
	SBM_RULE_EXEC,
	SBM_RULE_SIZE,
	SBM_NO_RULE
};

static const char * const sbm_rules[] = {
	[SBM_RULE_PAGE_TABLE]	  = "page-table: tables are mapped nowhere",
	[SBM_RULE_OTHER_INSTANCE] = "other-instance: pages of an instance are its own",
	[SBM_RULE_TWICE]	  = "twice: a page of the instance is mapped once",
	[SBM_RULE_ABSENT]	  = "absent: nothing belongs there",
	[SBM_RULE_FRAME]	  = "frame: another page belongs there",
	[SBM_RULE_RING0]	  = "ring0: not for ring 3",
	[SBM_RULE_GLOBAL]	  = "global: it would stay in the TLB",
	[SBM_RULE_WX]		  = "wx: ring 3 may write or execute, not both",
	[SBM_RULE_WRITE]	  = "write: not writable",
	[SBM_RULE_EXEC]		  = "exec: not executable",
	[SBM_RULE_SIZE]		  = "size: not mapped by large entries",
};

static_assert(ARRAY_SIZE(sbm_rules) == SBM_NO_RULE);

/* === An instance === */

/**
 * struct sbm_inspection - an instance that is looked at
 * @look:      The walk.
 * @audit:     The audit.
 * @i:	       Number of the instance in it.
 * @pages:     Pages that were found, by what belongs there.
 * @nr_tables: Tables of the instance that were found.
 * @rule:      The rule that @run breaks; it is not yet told. %SBM_NO_RULE: none.
 * @run:       Pages that break a rule.
 */
struct sbm_inspection {
	struct sbm_look		look;
	struct sbm_audit	*audit;
	unsigned int		i;
	unsigned long		pages[SBM_NR_WHATS];
	unsigned int		nr_tables;
	enum sbm_rule		rule;
	struct sbm_leaf		run;
};

static void sbm_describe_frame(struct sbm_audit *audit, unsigned long pfn, char *buf,
			       size_t size)
{
	static const char * const kinds[] = {
		[SBM_HELD_TABLE]  = "a page table",
		[SBM_HELD_OWN]	  = "a page of the stack or stand-in",
		[SBM_HELD_BUFFER] = "a buffer",
	};
	phys_addr_t phys = PFN_PHYS(pfn);
	unsigned int holder;
	enum sbm_held kind;
	struct page *page;

	if (sbm_audit_holder(audit, pfn, &holder, &kind)) {
		if (holder < audit->nr)
			snprintf(buf, size, "%s of instance %llu", kinds[kind],
				 audit->insts[holder].inst->id);
		else
			snprintf(buf, size, "%s of %s", kinds[kind],
				 holder == SBM_HOLDER_SHARED ? "all instances" :
							       "the kernel");
	} else if (phys >= __pa_symbol(_text) && phys < __pa_symbol(_end)) {
		snprintf(buf, size, "kernel image, %pS",
			 _text + (phys - __pa_symbol(_text)));
	} else if (!pfn_valid(pfn)) {
		snprintf(buf, size, "no memory");
	} else {
		page = compound_head(pfn_to_page(pfn));
		snprintf(buf, size, "%s",
			 PageSlab(page) ? "slab memory" :
			 PageTable(page) ? "a page table" :
			 PageReserved(page) ? "reserved memory" :
			 !page_count(page) ? "free memory" : "memory of the kernel or a process");
	}
}

/* Tell what breaks a rule, if anything did */
static void sbm_inspect_run(struct sbm_inspection *s)
{
	const struct sbm_leaf *run = &s->run;
	char frame[128];

	if (s->rule == SBM_NO_RULE)
		return;

	sbm_describe_frame(s->audit, run->pfn, frame, sizeof(frame));
	sbm_audit_find(s->audit, "%016lx-%016lx %cr%c%c%c %s, frame %lx: %s: %s", run->start,
		       run->end, run->rights & _PAGE_USER ? 'U' : '-',
		       run->rights & _PAGE_RW ? 'w' : '-',
		       run->rights & _PAGE_NX ? '-' : 'x',
		       run->rights & _PAGE_GLOBAL ? 'G' : '-',
		       run->place == SBM_WHAT_UNEXPECTED ? "nothing" :
		       sbm_what_names[run->place], run->pfn, frame, sbm_rules[s->rule]);
	s->rule = SBM_NO_RULE;
}

static enum sbm_rule sbm_broken_rule(struct sbm_inspection *s, const struct sbm_leaf *leaf)
{
	unsigned int may = sbm_kinds[leaf->place].may;
	u64 rights = leaf->rights;
	unsigned int holder;
	enum sbm_held kind;
	bool held;

	if (leaf->place == SBM_WHAT_BUFFER && !(leaf->buf->flags & __SBM_BUF_WRITE))
		may &= ~SBM_MAY_WRITE;

	held = sbm_audit_holder(s->audit, leaf->pfn, &holder, &kind);
	if (held && kind == SBM_HELD_TABLE)
		return SBM_RULE_PAGE_TABLE;
	if (held && holder != s->i)
		return SBM_RULE_OTHER_INSTANCE;
	/* Its own place is elsewhere */
	if (held && (!(may & SBM_MAY_BE_THERE) ||
		     (leaf->buf && leaf->buf->flags & __SBM_BUF_MAP)))
		return SBM_RULE_TWICE;
	if (!(may & SBM_MAY_BE_THERE))
		return SBM_RULE_ABSENT;
	if (leaf->what != leaf->place)
		return SBM_RULE_FRAME;
	if (!(may & SBM_MAY_RING3) && (rights & _PAGE_USER))
		return SBM_RULE_RING0;
	if (!(may & SBM_MAY_BE_GLOBAL) && (rights & _PAGE_GLOBAL))
		return SBM_RULE_GLOBAL;
	if ((rights & (_PAGE_USER | _PAGE_RW | _PAGE_NX)) == (_PAGE_USER | _PAGE_RW))
		return SBM_RULE_WX;
	if (!(may & SBM_MAY_WRITE) && (rights & _PAGE_RW))
		return SBM_RULE_WRITE;
	if (!(may & SBM_MAY_EXEC) && !(rights & _PAGE_NX))
		return SBM_RULE_EXEC;
	if (leaf->shift > (may & SBM_MAY_BE_LARGE ? PMD_SHIFT : PAGE_SHIFT))
		return SBM_RULE_SIZE;

	return SBM_NO_RULE;
}

static void sbm_inspect_page(struct sbm_inspection *s, const struct sbm_leaf *leaf)
{
	enum sbm_rule rule = sbm_broken_rule(s, leaf);
	struct sbm_leaf *run = &s->run;

	s->pages[leaf->place] += (leaf->end - leaf->start) >> PAGE_SHIFT;

	if (rule == SBM_NO_RULE)
		return;
	if (s->rule == rule && run->end == leaf->start && run->rights == leaf->rights &&
	    run->place == leaf->place) {
		run->end = leaf->end;
		return;
	}
	sbm_inspect_run(s);
	s->rule = rule;
	*run = *leaf;
}

static void sbm_inspect_leaf(struct sbm_look *look, const struct sbm_leaf *leaf)
{
	struct sbm_inspection *s = container_of(look, struct sbm_inspection, look);
	struct sbm_leaf page = *leaf;

	/* Each page that a large entry maps must belong there */
	if (leaf->shift != PMD_SHIFT || leaf->place == SBM_WHAT_UNEXPECTED) {
		sbm_inspect_page(s, leaf);
		return;
	}
	for (; page.start != leaf->end; page.start += PAGE_SIZE, page.pfn++) {
		page.end = page.start + PAGE_SIZE;
		sbm_classify(look, &page);
		sbm_inspect_page(s, &page);
	}
	cond_resched();
}

/* What all instances share has at @addr an entry of level @shift, 0 if it has none */
static u64 sbm_template_entry(unsigned long addr, unsigned int shift)
{
	unsigned int level = sbm_top_shift();
	const u64 *table = sbm_template;

	for (;; level -= SBM_TABLE_SHIFT) {
		u64 entry = READ_ONCE(table[(addr >> level) % PTRS_PER_PTE]);

		if (level == shift || !(entry & _PAGE_PRESENT) || entry & _PAGE_PSE)
			return level == shift ? entry : 0;
		table = sbm_table_of(entry);
	}
}

/* The processor sets these as it likes */
#define SBM_SET_BY_CPU	((u64)(_PAGE_ACCESSED | _PAGE_DIRTY))

static void sbm_inspect_table(struct sbm_look *look, u64 *table, u64 entry,
			      unsigned long addr, unsigned int shift,
			      enum sbm_table_owner owner)
{
	struct sbm_inspection *s = container_of(look, struct sbm_inspection, look);
	unsigned int above = shift + SBM_TABLE_SHIFT;
	unsigned int holder;
	enum sbm_held kind;
	u64 want;

	switch (owner) {
	case SBM_TABLE_INSTANCE:
		s->nr_tables++;
		if (sbm_audit_holder(s->audit, PFN_DOWN(__pa(table)), &holder, &kind) &&
		    holder == s->i && kind == SBM_HELD_TABLE)
			return;
		sbm_audit_find(s->audit, "table of %016lx, frame %lx: own-table: it has another user",
			       addr, PFN_DOWN(__pa(table)));
		return;
	case SBM_TABLE_KERNEL:
		/* Of these, only the way there is not the kernel's */
		if (above != P4D_SHIFT)
			return;
		want = p4d_val(*p4d_offset(pgd_offset_k(addr), addr)) & ~(u64)_PAGE_USER;
		break;
	default:
		want = sbm_template_entry(addr, above);
		break;
	}

	if ((entry ^ want) & ~SBM_SET_BY_CPU)
		sbm_audit_find(s->audit, "entry %llx for the table of %016lx: shared-table: it should be %llx",
			       entry, addr, want);
}

/* Areas lie in their order, and there are guard pages before, between and behind */
static void sbm_inspect_areas(struct sbm_inspection *s)
{
	const struct sbm_instance *inst = s->look.inst;
	const struct arch_sbm *as = inst->arch;
	unsigned long behind = SBM_INFO + PAGE_SIZE;
	const struct sbm_buffer *buf;
	unsigned long low = as->zero;
	unsigned int i;

	for (i = 0; i < as->nr_shadow; i++)
		low = min(low, as->shadow[i]);

	if (low < behind + PAGE_SIZE || as->stack_low < as->zero_end + PAGE_SIZE)
		sbm_audit_find(s->audit, "%016lx: guard: areas touch", low);
	behind = as->stack_high;

	list_for_each_entry(buf, &inst->buffers, list) {
		unsigned long start = buf->addr & PAGE_MASK;

		if (start < behind + PAGE_SIZE)
			sbm_audit_find(s->audit, "%016lx: guard: areas touch", start);
		behind = start + buf->nr * PAGE_SIZE;
	}
	if (behind + PAGE_SIZE > SBM_WINDOW_END)
		sbm_audit_find(s->audit, "%016lx: guard: beyond the window", behind);
}

static void sbm_inspect_held(struct sbm_inspection *s, const struct page *page,
			     enum sbm_held kind)
{
	unsigned long pfn = page_to_pfn(page);
	enum sbm_held found;
	unsigned int holder;

	if (!sbm_audit_holder(s->audit, pfn, &holder, &found) || holder != s->i ||
	    found != kind)
		sbm_audit_find(s->audit, "frame %lx: held: it has another user", pfn);
	else if (!page_count(page) || PageSlab(page))
		sbm_audit_find(s->audit, "frame %lx: held: it was freed", pfn);
}

/* All that is there is accounted for, and is there once */
static void sbm_inspect_counts(struct sbm_inspection *s)
{
	const struct sbm_instance *inst = s->look.inst;
	const struct arch_sbm *as = inst->arch;
	unsigned long in_buffers = 0, held;
	const struct sbm_buffer *buf;
	unsigned int i;

	held = as->nr_own + as->nr_tables + !!as->info;
	if (as->info)
		sbm_inspect_held(s, as->info, SBM_HELD_OWN);
	for (i = 0; i < as->nr_own; i++)
		sbm_inspect_held(s, as->own[i], SBM_HELD_OWN);
	list_for_each_entry(buf, &inst->buffers, list) {
		for (i = 0; i < buf->nr; i++) {
			/* The heap gets its pages one by one */
			if (!buf->pages[i])
				continue;
			in_buffers++;
			if (buf->flags & __SBM_BUF_MAP)
				continue;
			held++;
			sbm_inspect_held(s, buf->pages[i], SBM_HELD_BUFFER);
		}
	}

	if (s->nr_tables != as->nr_tables)
		sbm_audit_find(s->audit, "count: %u tables of the instance, but %u are known",
			       s->nr_tables, as->nr_tables);
	/* The owner may be about to take more, for a buffer */
	if (held > READ_ONCE(inst->memory.nr_pages))
		sbm_audit_find(s->audit, "count: %lu pages, but %lu are accounted for", held,
			       inst->memory.nr_pages);
	if (s->pages[SBM_WHAT_STACK] != (as->stack_high - as->stack_low) >> PAGE_SHIFT ||
	    s->pages[SBM_WHAT_SHADOW] != as->nr_shadow ||
	    s->pages[SBM_WHAT_BUFFER] != in_buffers)
		sbm_audit_find(s->audit, "count: a page of the stack, a stand-in or a buffer is missing");
}

static void sbm_inspect_summary(const struct sbm_inspection *s)
{
	const struct sbm_instance *inst = s->look.inst;
	struct seq_file *m = s->audit->m;
	const struct sbm_buffer *buf;
	unsigned int i, nr = 0;

	for (i = 0; i < SBM_NR_WHATS; i++) {
		unsigned int may = sbm_kinds[i].may;

		/* What may not be there was found, and buffers come below */
		if (!s->pages[i] || !(may & SBM_MAY_BE_THERE) || i == SBM_WHAT_BUFFER)
			continue;
		seq_printf(m, "  %s: %lu pages, %s read%s%s: %s\n", sbm_what_names[i],
			   s->pages[i], may & SBM_MAY_RING3 ? "ring 3:" : "ring 0 only:",
			   may & SBM_MAY_WRITE ? ", write" : "",
			   may & SBM_MAY_EXEC ? ", execute" : "",
			   sbm_kinds[i].why);
	}
	list_for_each_entry(buf, &inst->buffers, list) {
		seq_printf(m, "  buffer %u '", ++nr);
		seq_escape(m, buf->name, "\n\\'");
		seq_printf(m, "': %u pages, ring 3: read%s: %s of %zu bytes\n", buf->nr,
			   buf->flags & __SBM_BUF_WRITE ? ", write" : "",
			   sbm_buffer_kind(buf), buf->size);
	}
	seq_printf(m, "  tables: %u pages, not mapped\n", s->nr_tables);
}

void arch_sbm_audit(struct sbm_audit *audit, unsigned int i)
{
	struct sbm_inspection s = {
		.look	= {
			.inst	= audit->insts[i].inst,
			.leaf	= sbm_inspect_leaf,
			.table	= sbm_inspect_table,
		},
		.audit	= audit,
		.i	= i,
		.rule	= SBM_NO_RULE,
	};

	sbm_look_at_tables(&s.look);
	sbm_inspect_run(&s);
	sbm_inspect_areas(&s);
	sbm_inspect_counts(&s);
	sbm_inspect_summary(&s);
}

/* === Whose pages are === */

static int sbm_ask_table(struct sbm_audit *audit, unsigned int holder, u64 *table,
			 unsigned int shift)
{
	unsigned long pfn = PFN_DOWN(__pa(table));
	unsigned int i, other;
	enum sbm_held kind;
	int err;

	/* Some tables of the kernel's are reached in many ways */
	if (sbm_audit_holder(audit, pfn, &other, &kind))
		return 0;
	err = sbm_audit_hold(audit, holder, pfn, SBM_HELD_TABLE);
	if (err || shift == PAGE_SHIFT)
		return err;
	cond_resched();

	for (i = 0; i < PTRS_PER_PTE; i++) {
		u64 entry = READ_ONCE(table[i]);

		if (!(entry & _PAGE_PRESENT) ||
		    (entry & _PAGE_PSE && shift <= PUD_SHIFT) ||
		    (holder < SBM_HOLDER_SHARED && !(entry & SBM_OWN)))
			continue;
		err = sbm_ask_table(audit, holder, sbm_table_of(entry),
				    shift - SBM_TABLE_SHIFT);
		if (err)
			return err;
	}

	return 0;
}

int arch_sbm_audit_ask(struct sbm_audit *audit, unsigned int i)
{
	const struct arch_sbm *as = audit->insts[i].inst->arch;
	unsigned int page;
	int err;

	if (as->info) {
		err = sbm_audit_hold(audit, i, page_to_pfn(as->info), SBM_HELD_OWN);
		if (err)
			return err;
	}
	for (page = 0; page < as->nr_own; page++) {
		err = sbm_audit_hold(audit, i, page_to_pfn(as->own[page]), SBM_HELD_OWN);
		if (err)
			return err;
	}

	return sbm_ask_table(audit, i, as->top, sbm_top_shift());
}

/*
 * The kernel's tables, and those of page-table isolation. As everybody who reads them
 * all: nothing that frees tables of memory in use runs at the same time.
 */
static int sbm_ask_kernel(struct sbm_audit *audit)
{
	unsigned int i, shift = sbm_top_shift();
	u64 *top = (u64 *)swapper_pg_dir;
	unsigned int nr = 1;
	int err = 0;

#ifdef CONFIG_MITIGATION_PAGE_TABLE_ISOLATION
	if (boot_cpu_has(X86_FEATURE_PTI))
		nr = 2;
#endif
	get_online_mems();
	mmap_read_lock(&init_mm);
	for (i = 0; i < nr && !err; i++)
		err = sbm_ask_table(audit, SBM_HOLDER_KERNEL,
				    (u64 *)__va(__pa(top)) + i * PTRS_PER_PTE, shift);
	mmap_read_unlock(&init_mm);
	put_online_mems();

	return err;
}

/* === What all instances share === */

/* An entry of an IDT, as the processor reads it */
struct sbm_idt_entry {
	u64	low;
	u64	high;
};

/* What the vector @v must have */
static void sbm_inspect_gate(struct sbm_audit *audit, unsigned int cpu, unsigned int v,
			     const struct sbm_idt_entry *e)
{
	unsigned long handler = (e->low & 0xffff) | (e->low >> 32 & 0xffff0000) |
				e->high << 32;
	unsigned int segment = e->low >> 16 & 0xffff;
	unsigned int ist = e->low >> 32 & 7;
	unsigned int type = e->low >> 40 & 0x1f;
	unsigned int dpl = e->low >> 45 & 3;
	bool present = e->low >> 47 & 1;
	/* Slots 6 and 7 are the gate's own; the machine check has the kernel's fourth */
	unsigned int want_ist = v == 2 ? 7 : v == 18 ? 4 : 6;
	unsigned long want = (unsigned long)sbm_stubs + v * SBM_STUB_SIZE;
	const char *what = NULL;

	if (v == 2)
		want = (unsigned long)sbm_nmi_stub;
	if (v == 18)
		want = (unsigned long)sbm_mce_stub;

	/* 14: a 64-bit interrupt gate */
	if (!present || type != 14)
		what = "not an interrupt gate";
	else if (segment != __KERNEL_CS)
		what = "not the kernel's code segment";
	else if (handler < (unsigned long)__sbm_switch_start ||
		 handler >= (unsigned long)__sbm_switch_end)
		what = "not in switch text";
	else if (handler != want)
		what = "not its stub";
	else if (dpl != (sbm_is_open_vector(v) ? 3 : 0))
		what = "wrong privilege level";
	else if (ist != want_ist)
		what = "wrong stack";
	else if (e->high >> 32)
		what = "reserved bits are set";
	if (what)
		sbm_audit_find(audit, "IDT of CPU %u, vector %u at %016lx: gate: %s", cpu, v,
			       (unsigned long)e, what);
}

static void sbm_inspect_gates(struct sbm_audit *audit)
{
	unsigned int cpu, v;

	for_each_possible_cpu(cpu) {
		const struct x86_hw_tss *tss = &per_cpu(cpu_tss_rw, cpu).x86_tss;
		const struct sbm_gate *gate = sbm_gate(cpu);
		const struct sbm_idt_entry *idt = (const void *)gate->idt;
		const struct desc_ptr *desc = &gate->state.sbm_idt;

		for (v = 0; v < 256; v++)
			sbm_inspect_gate(audit, cpu, v, &idt[v]);
		if (desc->address != (unsigned long)idt || desc->size != PAGE_SIZE - 1)
			sbm_audit_find(audit, "CPU %u: gate: its IDT is at %lx", cpu,
				       desc->address);
		/* Slots are counted from 1 in gates, and from 0 here */
		if (tss->ist[5] != (unsigned long)gate->events + PAGE_SIZE ||
		    tss->ist[6] != (unsigned long)gate->nmi + PAGE_SIZE)
			sbm_audit_find(audit, "CPU %u: gate: wrong stacks in its TSS", cpu);
	}
	seq_printf(audit->m, "  gates: %u, each with 256 vectors; ring 3 may call vectors %u and %u\n",
		   num_possible_cpus(), SBM_RETURN_VECTOR, SBM_HOSTCALL_VECTOR);
}

int arch_sbm_audit_shared(struct sbm_audit *audit)
{
	unsigned long global;
	int err;

	/* Sets it up at first use, and says why it cannot */
	if (arch_sbm_available()) {
		seq_puts(audit->m, "shared: no strong isolation\n");
		return 0;
	}

	seq_puts(audit->m, "shared:\n");
	err = sbm_ask_table(audit, SBM_HOLDER_SHARED, sbm_template, sbm_top_shift());
	if (!err)
		err = sbm_ask_kernel(audit);
	if (err)
		return err;

	sbm_inspect_gates(audit);
	global = sbm_count_global();
	seq_printf(audit->m, "  kernel's entries of shared text and constants: %lu global\n",
		   global);
	if (global)
		sbm_audit_find(audit, "global: %lu entries of the kernel stay in the TLB", global);

	return 0;
}
