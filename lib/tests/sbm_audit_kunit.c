// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit suite sbm_audit: the file audit in debugfs finds nothing where nothing is wrong,
 * and each error that is planted.
 *
 * What all instances share is never damaged: errors are planted in copies that an
 * instance has of shared tables.
 */
#include <kunit/test.h>
#include <linux/array_size.h>
#include <linux/container_of.h>
#include <linux/errno.h>
#include <linux/gfp.h>
#include <linux/kernel.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pfn.h>
#include <linux/pgtable.h>
#include <linux/sbm.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

#include <asm/sbm.h>
#include <asm/sections.h>

#include "../../kernel/sbm/debugfs.h"
#include "../../kernel/sbm/sbm.h"
#include "sbm_kunit.h"

static SBM_DEFINE_FUNC(plus_one, int, value)
{
	return value + 1;
}

static SBM_DEFINE_FUNC(read_byte, const u8 *, from)
{
	return READ_ONCE(*from);
}

/* Kernel data, that no sandbox has any business with */
static u8 kernel_data[2 * PAGE_SIZE] = { 1, };

#define TEXT_SIZE	SZ_64K

/**
 * struct subject - an instance that is audited
 * @test:   The test.
 * @sbm:    The instance.
 * @layout: Its layout.
 * @text:   The last audit.
 * @memory: Slab memory for its buffers.
 * @in:	    A buffer by SBM_COPY_IN.
 * @out:    A buffer by SBM_COPY_OUT.
 */
struct subject {
	struct kunit		*test;
	struct sbm		sbm;
	struct x86_sbm_layout	layout;
	char			*text;
	u8			*memory;
	const u8		*in;
	u8			*out;
};

static void free_text(void *text)
{
	vfree(text);
}

static char *new_text(struct kunit *test)
{
	char *text = vzalloc(TEXT_SIZE);

	KUNIT_ASSERT_NOT_NULL(test, text);
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, free_text, text));

	return text;
}

static struct subject *open_subject(struct kunit *test)
{
	struct subject *s;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	s = kunit_kzalloc(test, sizeof(*s), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, s);
	s->test = test;
	s->text = new_text(test);
	s->memory = kunit_kzalloc(test, 4 * PAGE_SIZE, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, s->memory);
	init_at_least(test, &s->sbm, SBM_ISOLATION_STRONG);
	KUNIT_EXPECT_TRUE(test, x86_sbm_test_layout(&s->sbm, &s->layout));

	return s;
}

/* One of each kind */
static void add_buffers(struct subject *s)
{
	s->in = SBM_COPY_IN(&s->sbm, s->memory, 100);
	s->out = SBM_COPY_OUT(&s->sbm, s->memory, PAGE_SIZE + 1);
	SBM_COPY_INOUT(&s->sbm, s->memory, 4 * PAGE_SIZE);
	SBM_MAP_READONLY(&s->sbm, s->memory + 100, 2 * PAGE_SIZE);
	SBM_COPY_IN(&s->sbm, s->memory, 0);
	SBM_MAP_WRITABLE(&s->sbm, s->memory, PAGE_SIZE);
	KUNIT_EXPECT_EQ(s->test, sbm_error(&s->sbm), 0);
}

static void audit(struct subject *s)
{
	KUNIT_ASSERT_GT(s->test, x86_sbm_test_audit(&s->sbm, s->text, TEXT_SIZE), 0);
}

static unsigned int count_findings(const char *text)
{
	unsigned int nr = 0;

	while ((text = strstr(text, "  finding: "))) {
		nr++;
		text++;
	}

	return nr;
}

static const char *first_finding(const char *text)
{
	return strstr(text, "  finding: ") ?: "no finding";
}

static void expect_clean(struct subject *s)
{
	char want[64];

	audit(s);
	KUNIT_EXPECT_EQ_MSG(s->test, count_findings(s->text), 0, "%s",
			    first_finding(s->text));
	snprintf(want, sizeof(want), "instance %llu: nothing unexpected\n",
		 s->sbm.instance->id);
	KUNIT_EXPECT_NOT_NULL(s->test, strstr(s->text, "shared: nothing unexpected\n"));
	KUNIT_EXPECT_NOT_NULL(s->test, strstr(s->text, want));
	KUNIT_EXPECT_NOT_NULL(s->test, strstr(s->text, "\n1 instance, 0 findings\n"));
}

static void expect_said(struct subject *s, const char *what)
{
	KUNIT_EXPECT_NOT_NULL_MSG(s->test, strstr(s->text, what), "%s", what);
}

/* === Nothing is wrong === */

static void clean_instances_pass(struct kunit *test)
{
	struct subject *s = open_subject(test);
	char *line;

	expect_clean(s);
	expect_said(s, "  text: ");
	expect_said(s, " ring 3: read, execute: targets are compiled kernel code\n");
	expect_said(s, "  constants: ");
	expect_said(s, "  switch text: ");
	expect_said(s, "  tables: ");
	KUNIT_EXPECT_NULL(test, strstr(s->text, "kernel data"));
	KUNIT_EXPECT_NULL(test, strstr(s->text, "entry text"));

	add_buffers(s);
	expect_clean(s);
	expect_said(s, "  buffer 1 's->memory': 1 pages, ring 3: read: COPY_IN of 100 bytes\n");
	expect_said(s, "  buffer 2 's->memory': 2 pages, ring 3: read, write: COPY_OUT of 4097 bytes\n");
	expect_said(s, "  buffer 4 's->memory + 100': 3 pages, ring 3: read: MAP_READONLY of 8192 bytes\n");
	expect_said(s, "  buffer 5 's->memory': 0 pages");
	expect_said(s, "  buffer 6 's->memory': 1 pages, ring 3: read, write: MAP_WRITABLE of 4096 bytes\n");

	KUNIT_EXPECT_EQ(test, sbm_call(&s->sbm, plus_one, 41), 42);
	expect_clean(s);

	/* Stopped */
	KUNIT_EXPECT_EQ(test, sbm_call(&s->sbm, read_byte, (const u8 *)kernel_data),
			-EFAULT);
	expect_clean(s);

	KUNIT_EXPECT_EQ(test, sbm_reset(&s->sbm), 0);
	expect_clean(s);
	line = strstr(s->text, "  buffer ");
	KUNIT_EXPECT_NULL(test, line);
	KUNIT_EXPECT_EQ(test, sbm_call(&s->sbm, plus_one, 41), 42);
	add_buffers(s);
	expect_clean(s);
	sbm_destroy(&s->sbm);
}

static void all_instances_are_audited(struct kunit *test)
{
	const struct sbm_attr attr = { .flags = SBM_ATTR_WEAK, };
	struct subject *s = open_subject(test);
	struct seq_file m = {
		.buf	= s->text,
		.size	= TEXT_SIZE,
	};
	struct sbm other, weak;
	char want[80];

	init_at_least(test, &other, SBM_ISOLATION_STRONG);
	KUNIT_EXPECT_EQ(test, 0, sbm_init_attr(&weak, &attr));
	add_buffers(s);
	/* The same pages of the caller's may be in several */
	SBM_MAP_READONLY(&other, s->memory, PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, 0, sbm_audit_write(&m, NULL));
	KUNIT_ASSERT_FALSE(test, seq_has_overflowed(&m));
	s->text[m.count] = '\0';

	KUNIT_EXPECT_EQ_MSG(test, count_findings(s->text), 0, "%s",
			    first_finding(s->text));
	snprintf(want, sizeof(want), "\n%lu instances, 0 findings\n",
		 sbm_debugfs_nr_instances());
	expect_said(s, want);
	snprintf(want, sizeof(want), "\ninstance %llu: nothing unexpected\n",
		 s->sbm.instance->id);
	expect_said(s, want);
	snprintf(want, sizeof(want), "\ninstance %llu: nothing unexpected\n",
		 other.instance->id);
	expect_said(s, want);
	snprintf(want, sizeof(want), "\ninstance %llu: not sandboxed", weak.instance->id);
	expect_said(s, want);
	sbm_destroy(&weak);
	sbm_destroy(&other);
	sbm_destroy(&s->sbm);
}

/**
 * struct busy - a thread that uses instances, while others are auditing
 * @worker: The thread.
 * @stop:   It shall stop.
 * @sbm:    An instance that stays.
 * @rounds: How often it has done what it does.
 */
struct busy {
	struct worker	worker;
	bool		stop;
	struct sbm	*sbm;
	unsigned long	rounds;
};

static int busy_thread(struct worker *worker)
{
	struct busy *b = container_of(worker, struct busy, worker);
	u8 *memory = kzalloc(4 * PAGE_SIZE, GFP_KERNEL);
	int err = memory ? 0 : -ENOMEM;

	while (!err && !READ_ONCE(b->stop)) {
		struct sbm sbm;

		err = sbm_init(&sbm);
		if (err)
			break;
		SBM_COPY_INOUT(&sbm, memory, 4 * PAGE_SIZE);
		if (sbm_call(&sbm, plus_one, 1) != 2)
			err = -EIO;
		sbm_destroy(&sbm);

		SBM_COPY_INOUT(b->sbm, memory, 3 * PAGE_SIZE);
		SBM_MAP_WRITABLE(b->sbm, memory, PAGE_SIZE);
		if (sbm_call(b->sbm, plus_one, 1) != 2 || sbm_reset(b->sbm))
			err = -EIO;
		WRITE_ONCE(b->rounds, b->rounds + 1);
	}
	kfree(memory);

	return err;
}

/*
 * The audit keeps an instance by which memory is written out from being destroyed, and
 * waits for owners that have this lock: they must not wait for memory written out.
 */
static void owners_do_not_wait_for_writeback(struct kunit *test)
{
	unsigned int before = current->flags & PF_MEMALLOC_NOIO;
	struct subject *s = open_subject(test);

	sbm_debugfs_lock(s->sbm.instance);
	KUNIT_EXPECT_NE(test, current->flags & PF_MEMALLOC_NOIO, 0);
	sbm_debugfs_unlock(s->sbm.instance);
	KUNIT_EXPECT_EQ(test, current->flags & PF_MEMALLOC_NOIO, before);
}

/* Pages go from one to another meanwhile, and instances come and go */
static void owners_may_go_on(struct kunit *test)
{
	struct busy busy[2] = {};
	struct subject *s = open_subject(test);
	struct sbm sbms[ARRAY_SIZE(busy)];
	unsigned int i, wrong = 0;
	unsigned long rounds = 0;

	add_buffers(s);
	for (i = 0; i < ARRAY_SIZE(busy); i++) {
		init_at_least(test, &sbms[i], SBM_ISOLATION_STRONG);
		busy[i].worker.fn = busy_thread;
		busy[i].worker.cpu = -1;
		busy[i].sbm = &sbms[i];
		KUNIT_EXPECT_EQ(test, 0, worker_start(&busy[i].worker));
	}

	for (i = 0; i < 30 && !wrong; i++) {
		struct seq_file m = {
			.buf	= s->text,
			.size	= TEXT_SIZE,
		};

		if (sbm_audit_write(&m, NULL) || seq_has_overflowed(&m))
			wrong = 1000;
		else
			s->text[m.count] = '\0';
		wrong += count_findings(s->text);
		schedule_timeout_uninterruptible(1);
	}
	KUNIT_EXPECT_EQ_MSG(test, wrong, 0, "%s", first_finding(s->text));

	for (i = 0; i < ARRAY_SIZE(busy); i++) {
		WRITE_ONCE(busy[i].stop, true);
		KUNIT_EXPECT_EQ(test, 0, worker_finish(&busy[i].worker));
		rounds += busy[i].rounds;
		sbm_destroy(&sbms[i]);
	}
	KUNIT_EXPECT_GT(test, rounds, 0);
	expect_clean(s);
	sbm_destroy(&s->sbm);
}

/* === Something is wrong === */

/* The one finding is about @addr, and says that @rule is broken */
static void expect_finding(struct subject *s, const char *name, unsigned long addr,
			   const char *rule)
{
	unsigned long start = 0, end = 0;
	const char *finding, *eol;
	char want[64];

	audit(s);
	KUNIT_EXPECT_EQ_MSG(s->test, count_findings(s->text), 1, "%s: %s", name,
			    first_finding(s->text));
	finding = strstr(s->text, "  finding: ");
	if (!finding)
		return;
	eol = strchrnul(finding, '\n');
	if (sscanf(finding, "  finding: %lx-%lx", &start, &end) != 2) {
		KUNIT_FAIL(s->test, "%s: %.*s", name, (int)(eol - finding), finding);
		return;
	}
	KUNIT_EXPECT_TRUE_MSG(s->test, addr >= start && addr < end, "%s: %lx in %.*s", name,
			      addr, (int)(eol - finding), finding);
	snprintf(want, sizeof(want), ": %s: ", rule);
	KUNIT_EXPECT_NOT_NULL_MSG(s->test, strnstr(finding, want, eol - finding),
				  "%s: %s in %.*s", name, want, (int)(eol - finding),
				  finding);
	expect_said(s, "1 instance, 1 finding\n");
}

#define MAP_FRAME	(~0ULL)

static void plant(struct subject *s, const char *name, unsigned long addr, u64 set,
		  u64 clear, unsigned long pfn, const char *rule)
{
	struct x86_sbm_change change;
	int err;

	err = x86_sbm_test_change(&s->sbm, addr, set, clear, pfn, &change);
	KUNIT_EXPECT_EQ_MSG(s->test, err, 0, "%s", name);
	if (err)
		return;
	expect_finding(s, name, addr, rule);
	x86_sbm_test_restore(&change);
	expect_clean(s);
}

static unsigned long pfn_at(struct subject *s, const struct sbm *sbm, unsigned long addr)
{
	u64 rights, pfn;

	KUNIT_ASSERT_TRUE(s->test, x86_sbm_test_lookup(sbm, addr, &rights, &pfn));

	return pfn;
}

static void wrong_pages_are_found(struct kunit *test)
{
	const u64 u = _PAGE_USER, w = _PAGE_RW, nx = _PAGE_NX;
	struct subject *s = open_subject(test);
	unsigned long data = PAGE_ALIGN((unsigned long)kernel_data);
	unsigned long guard, in, stack, slab;
	struct sbm other;

	init_at_least(test, &other, SBM_ISOLATION_STRONG);
	add_buffers(s);
	expect_clean(s);
	in = (unsigned long)s->in & PAGE_MASK;
	guard = in - PAGE_SIZE;
	stack = s->layout.stack_low;
	slab = PFN_DOWN(__pa(s->memory));

	plant(s, "data in a guard page", guard, u | w | nx, MAP_FRAME,
	      PFN_DOWN(__pa_symbol(data)), "absent");
	plant(s, "slab below the stack", stack - PAGE_SIZE, u | nx, MAP_FRAME, slab,
	      "absent");
	plant(s, "slab behind the last buffer", s->layout.window_end - PAGE_SIZE, u | nx,
	      MAP_FRAME, slab, "absent");
	plant(s, "for ring 0 only", guard, nx, MAP_FRAME, slab, "absent");
	plant(s, "data at its own address", data, u | w | nx, MAP_FRAME,
	      PFN_DOWN(__pa_symbol(data)), "absent");
	plant(s, "slab at its own address", (unsigned long)s->memory, u | w | nx, MAP_FRAME,
	      slab, "absent");
	plant(s, "user space", SZ_4M, u | nx, MAP_FRAME, slab, "absent");
	plant(s, "entry text", (unsigned long)__sbm_entry_start, u, MAP_FRAME,
	      PFN_DOWN(__pa_symbol(__sbm_entry_start)), "absent");
	if (&__start_ro_after_init[0] < &__end_ro_after_init[0])
		plant(s, "ro_after_init", (unsigned long)__start_ro_after_init, u | nx,
		      MAP_FRAME, PFN_DOWN(__pa_symbol(__start_ro_after_init)), "absent");

	plant(s, "page of another instance", guard, u | nx, MAP_FRAME,
	      pfn_at(s, &other, stack), "other-instance");
	plant(s, "buffer with a page of another", in, u | nx, MAP_FRAME,
	      pfn_at(s, &other, stack), "other-instance");
	plant(s, "its own top table", guard, u | w | nx, MAP_FRAME,
	      PFN_DOWN(__pa(s->layout.top_table)), "page-table");
	plant(s, "a table of the kernel", guard, u | nx, MAP_FRAME,
	      PFN_DOWN(__pa_symbol(swapper_pg_dir)), "page-table");
	plant(s, "a buffer twice", guard, u | nx, MAP_FRAME, pfn_at(s, &s->sbm, in),
	      "twice");

	plant(s, "another page in the stack", stack, u | w | nx, MAP_FRAME, slab, "frame");
	plant(s, "the stack in a buffer", in, u | nx, MAP_FRAME, pfn_at(s, &s->sbm, stack),
	      "frame");
	plant(s, "another page in a buffer", in, u | nx, MAP_FRAME, slab, "frame");
	sbm_destroy(&other);
	sbm_destroy(&s->sbm);
}

static void wrong_rights_are_found(struct kunit *test)
{
	struct subject *s = open_subject(test);
	unsigned long in, out, text = (unsigned long)plus_one;
	unsigned long constants = (unsigned long)__start_rodata;

	OPTIMIZER_HIDE_VAR(text);
	add_buffers(s);
	expect_clean(s);
	in = (unsigned long)s->in & PAGE_MASK;
	out = (unsigned long)s->out & PAGE_MASK;

	plant(s, "text writable", text & PAGE_MASK, _PAGE_RW, 0, 0, "wx");
	plant(s, "constants writable", constants, _PAGE_RW, 0, 0, "write");
	plant(s, "constants executable", constants, 0, _PAGE_NX, 0, "exec");
	plant(s, "COPY_IN writable", in, _PAGE_RW, 0, 0, "write");
	plant(s, "COPY_IN executable", in, 0, _PAGE_NX, 0, "exec");
	plant(s, "COPY_OUT executable", out, 0, _PAGE_NX, 0, "wx");
	plant(s, "stack executable", s->layout.stack_low, 0, _PAGE_NX, 0, "wx");
	plant(s, "buffer global", in, _PAGE_GLOBAL, 0, 0, "global");
	plant(s, "text global", text & PAGE_MASK, _PAGE_GLOBAL, 0, 0, "global");
	plant(s, "gate for ring 3", s->layout.gate_state, _PAGE_USER, 0, 0, "ring0");
	plant(s, "IDT for ring 3", s->layout.gate_idt, _PAGE_USER, 0, 0, "ring0");
	plant(s, "IDT writable", s->layout.gate_idt, _PAGE_RW, 0, 0, "write");
	plant(s, "event stack executable", s->layout.gate_event, 0, _PAGE_NX, 0, "exec");
	plant(s, "switch text for ring 3", (unsigned long)__sbm_switch_start, _PAGE_USER, 0,
	      0, "ring0");
	sbm_destroy(&s->sbm);
}

/* The API would do that if a caller asked for it */
static void mapped_tables_are_found(struct kunit *test)
{
	struct subject *s = open_subject(test);
	const pgd_t *map;

	map = SBM_MAP_READONLY(&s->sbm, swapper_pg_dir, PAGE_SIZE);
	KUNIT_EXPECT_NOT_NULL(test, map);
	expect_finding(s, "MAP_READONLY", (unsigned long)map, "page-table");
	KUNIT_EXPECT_EQ(test, sbm_reset(&s->sbm), 0);
	expect_clean(s);
	sbm_destroy(&s->sbm);
}

static void wrong_tables_are_found(struct kunit *test)
{
	struct subject *s = open_subject(test);
	unsigned long addr = (unsigned long)plus_one;
	struct x86_sbm_change change;

	OPTIMIZER_HIDE_VAR(addr);
	/* A copy of shared tables is as good as they are */
	KUNIT_ASSERT_EQ(test, 0, x86_sbm_test_change(&s->sbm, addr, 0, 0, 0, &change));
	expect_clean(s);
	x86_sbm_test_disown(&s->sbm, addr);
	audit(s);
	KUNIT_EXPECT_GE(test, count_findings(s->text), 1);
	expect_said(s, ": shared-table: ");
	expect_said(s, "count: ");
	x86_sbm_test_disown(&s->sbm, addr);
	expect_clean(s);
	sbm_destroy(&s->sbm);
}

/* Tables and pages of two instances get mixed up */
static void shared_property_is_found(struct kunit *test)
{
	struct page *saved, **page;
	struct sbm_buffer *buf;
	u64 *entry, *of_other, old;
	struct x86_sbm_layout l;
	struct subject *s;
	struct sbm other;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	/* Who comes first is the holder; the finding is the other one's */
	init_at_least(test, &other, SBM_ISOLATION_STRONG);
	s = open_subject(test);
	KUNIT_ASSERT_TRUE(test, x86_sbm_test_layout(&other, &l));
	add_buffers(s);
	expect_clean(s);

	entry = (u64 *)s->layout.top_table + pgd_index(s->layout.window_start);
	of_other = (u64 *)l.top_table + pgd_index(l.window_start);
	old = *entry;
	*entry = *of_other;
	audit(s);
	expect_said(s, ": own-table: ");
	*entry = old;
	expect_clean(s);

	buf = list_first_entry(&s->sbm.instance->buffers, struct sbm_buffer, list);
	page = &buf->pages[0];
	saved = *page;
	*page = pfn_to_page(pfn_at(s, &other, l.stack_low));
	audit(s);
	expect_said(s, ": held: it has another user\n");
	*page = saved;
	expect_clean(s);

	sbm_destroy(&other);
	sbm_destroy(&s->sbm);
}

/* There is no memory for the second table that a buffer needs */
static void failed_buffers_leave_nothing(struct kunit *test)
{
	const size_t size = 2 * PTRS_PER_PTE * PAGE_SIZE;
	struct subject *s = open_subject(test);
	struct sbm_memory *memory = &s->sbm.instance->memory;
	void *pages = vzalloc(size);

	KUNIT_ASSERT_NOT_NULL(test, pages);
	/* Pages of the caller's do not count, tables do */
	memory->max_pages = memory->nr_pages;
	KUNIT_EXPECT_NULL(test, SBM_MAP_READONLY(&s->sbm, pages, size));
	KUNIT_EXPECT_EQ(test, sbm_error(&s->sbm), -ENOSPC);
	expect_clean(s);
	sbm_destroy(&s->sbm);
	vfree(pages);
}

/* Bits of the first half of an entry in an IDT */
struct gate_error {
	unsigned int	vector;
	u64		bits;
	const char	*what;
};

static const struct gate_error gate_errors[] = {
	{ 3, 3ULL << 45, "gate: wrong privilege level" },
	{ 24, 3ULL << 45, "gate: wrong privilege level" },
	{ 200, 1ULL << 47, "gate: not an interrupt gate" },
	{ 200, 1ULL << 40, "gate: not an interrupt gate" },
	{ 14, 1ULL << 32, "gate: wrong stack" },
	{ 2, 1ULL << 32, "gate: wrong stack" },
	{ 14, 1ULL << 4, "gate: not its stub" },
	{ 14, 1ULL << 63, "gate: not in switch text" },
	{ 14, 1ULL << 19, "gate: not the kernel's code segment" },
};

static void wrong_gates_are_found(struct kunit *test)
{
	struct subject *s = open_subject(test);
	/* Nobody calls anything on any CPU */
	unsigned int cpu = raw_smp_processor_id();
	unsigned int i;
	char want[64];

	expect_clean(s);
	for (i = 0; i < ARRAY_SIZE(gate_errors); i++) {
		const struct gate_error *e = &gate_errors[i];
		unsigned long addr;

		addr = x86_sbm_test_flip_gate(cpu, e->vector, e->bits);
		KUNIT_ASSERT_NE(test, addr, 0);
		audit(s);
		x86_sbm_test_flip_gate(cpu, e->vector, e->bits);
		KUNIT_EXPECT_EQ_MSG(test, count_findings(s->text), 1, "%s", e->what);
		snprintf(want, sizeof(want), "vector %u at %016lx: %s\n", e->vector, addr,
			 e->what);
		KUNIT_EXPECT_NOT_NULL_MSG(test, strstr(s->text, want), "%s and not %s", want,
					  first_finding(s->text));
		expect_said(s, "shared: 1 finding\n");
	}
	expect_clean(s);
	KUNIT_EXPECT_EQ(test, sbm_call(&s->sbm, plus_one, 41), 42);
	sbm_destroy(&s->sbm);
}

static struct kunit_case sbm_audit_cases[] = {
	KUNIT_CASE(clean_instances_pass),
	KUNIT_CASE(all_instances_are_audited),
	KUNIT_CASE(owners_do_not_wait_for_writeback),
	KUNIT_CASE_SLOW(owners_may_go_on),
	KUNIT_CASE(wrong_pages_are_found),
	KUNIT_CASE(wrong_rights_are_found),
	KUNIT_CASE(mapped_tables_are_found),
	KUNIT_CASE(wrong_tables_are_found),
	KUNIT_CASE(shared_property_is_found),
	KUNIT_CASE(failed_buffers_leave_nothing),
	KUNIT_CASE(wrong_gates_are_found),
	{}
};

static struct kunit_suite sbm_audit_suite = {
	.name		= "sbm_audit",
	.test_cases	= sbm_audit_cases,
};

kunit_test_suite(sbm_audit_suite);

MODULE_DESCRIPTION("KUnit suite for the audit of sandbox mode");
MODULE_LICENSE("GPL");
