// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit suite sbm_module: targets in module text.
 *
 * Built twice, see sbm_reload_kunit.c: as two modules of the same size, so that the
 * second one is loaded where the first one was. Runs when the module is loaded, and
 * again through debugfs.
 */
#include <kunit/test.h>
#include <linux/array_size.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/kprobes.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/objtool.h>
#include <linux/pfn.h>
#include <linux/pgtable.h>
#include <linux/sbm.h>
#include <linux/sbm_host.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/sprintf.h>
#include <linux/string.h>
#include <linux/utsname.h>
#include <linux/vmalloc.h>

#include <asm/sbm.h>
#include <asm/text-patching.h>
#include <asm/trap_pf.h>
#include <asm/trapnr.h>

#include "../../kernel/sbm/sbm.h"
#include "sbm_kunit.h"

#ifndef SBM_MODULE_VALUE
#define SBM_MODULE_VALUE	1111
#define SBM_MODULE_SUITE	"sbm_module"
#endif

/* Error codes of page faults from ring 3 */
#define PF_READ		X86_PF_USER
#define PF_WROTE	(X86_PF_USER | X86_PF_WRITE)
#define PF_EXEC		(X86_PF_USER | X86_PF_INSTR)

/* === What the module consists of === */

static const char constants[] = "constant of a module";
static const unsigned int numbers[] = { 3, 1, 4, 1, 5, SBM_MODULE_VALUE };
static unsigned long data = 0xda7a;
static unsigned long bss;
static unsigned long ro_after_init __ro_after_init = 0x1417;

static noinline int twice(int value)
{
	return 2 * value;
}

static noinline int value_of_build(int value)
{
	return value + SBM_MODULE_VALUE;
}

static int (* const functions[])(int value) = { twice, value_of_build };

/* === Targets === */

static SBM_DEFINE_FUNC(build_value, int, value)
{
	return value_of_build(value);
}

/* Strings, tables, jump tables, function pointers, a function of the image */
static SBM_DEFINE_FUNC(use_constants, const char *, text)
{
	int sum = 0;
	unsigned int i;

	if (strcmp(text, constants))
		return -1;
	for (i = 0; i < ARRAY_SIZE(numbers); i++)
		sum += READ_ONCE(numbers[i]);
	for (i = 0; i < ARRAY_SIZE(functions); i++) {
		int (*func)(int value) = READ_ONCE(functions[i]);

		sum += func(i);
	}

	return sum;
}

static SBM_DEFINE_FUNC(read_at, const u8 *, p)
{
	return READ_ONCE(*p);
}

static SBM_DEFINE_FUNC(write_at, u8 *, p)
{
	WRITE_ONCE(*p, 0x5a);

	return 0;
}

static SBM_DEFINE_FUNC(jump_to, unsigned long, addr)
{
	return ((int (*)(int))addr)(0);
}

static SBM_DEFINE_FUNC(change_flags, int, unused)
{
	asm volatile("cli");

	return 0;
}

static SBM_DEFINE_FUNC(call_system, int, unused)
{
	asm volatile("syscall" : : "a" (0) : "rcx", "r11", "memory");

	return 0;
}

STACK_FRAME_NON_STANDARD(call_system);

static SBM_DEFINE_FUNC(count_up, struct shared *, shared)
{
	WRITE_ONCE(shared->started, 1);
	for (;;)
		WRITE_ONCE(shared->count, shared->count + 1);

	return 0;
}

static noinline int to_be_probed(void *unused)
{
	return 77;
}

static int __init target_in_init_text(void *unused)
{
	return 0;
}

/* A function of the image, to be called in the same instance */
SBM_DEFINE_CALL(hex_to_bin, unsigned char, ch)
SBM_DEFINE_CALL(strncasecmp, const char *, s1, const char *, s2, size_t, n)

/* === Help === */

static bool is_in(unsigned long addr, enum mod_mem_type type)
{
	return within_module_mem_type(addr, THIS_MODULE, type);
}

/* An instance that maps this module */
static void open_module(struct kunit *test, struct sbm *sbm)
{
	init_at_least(test, sbm, SBM_ISOLATION_STRONG);
	KUNIT_EXPECT_EQ(test, sbm_call(sbm, build_value, 5), 5 + SBM_MODULE_VALUE);
	KUNIT_EXPECT_EQ(test, sbm_error(sbm), 0);
}

static void expect_fault(struct kunit *test, struct sbm *sbm, int ret,
			 unsigned long error_code, unsigned long addr)
{
	const struct sbm_fault *fault = sbm_fault(sbm);

	KUNIT_EXPECT_EQ(test, ret, -EFAULT);
	KUNIT_EXPECT_EQ(test, sbm_error(sbm), -EFAULT);
	KUNIT_EXPECT_NOT_NULL(test, fault);
	if (!fault)
		return;
	KUNIT_EXPECT_EQ(test, fault->cause, SBM_CAUSE_PAGE_FAULT);
	KUNIT_EXPECT_EQ(test, fault->vector, X86_TRAP_PF);
	KUNIT_EXPECT_EQ(test, fault->error_code, error_code);
	KUNIT_EXPECT_EQ(test, fault->address, addr);
	if (error_code & X86_PF_INSTR)
		KUNIT_EXPECT_EQ(test, fault->ip, addr);
	else
		KUNIT_EXPECT_TRUE(test, is_in(fault->ip, MOD_TEXT));
}

static void expect_next_call_works(struct kunit *test)
{
	struct sbm sbm;

	open_module(test, &sbm);
	sbm_destroy(&sbm);
}

/* === Cases === */

static void target_in_module_is_called(struct kunit *test)
{
	const int sum = 3 + 1 + 4 + 1 + 5 + SBM_MODULE_VALUE + 0 +
			1 + SBM_MODULE_VALUE;
	struct sbm sbm;
	int i;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	KUNIT_EXPECT_TRUE(test, is_in((unsigned long)value_of_build, MOD_TEXT));
	KUNIT_EXPECT_TRUE(test, is_in((unsigned long)numbers, MOD_RODATA));

	open_module(test, &sbm);
	for (i = 0; i < 3; i++) {
		KUNIT_EXPECT_EQ(test, sbm_call(&sbm, build_value, i),
				i + SBM_MODULE_VALUE);
		KUNIT_EXPECT_EQ(test, sbm_call(&sbm, hex_to_bin, 'c'), 12);
		KUNIT_EXPECT_EQ(test, sum,
				sbm_call(&sbm, use_constants,
					 SBM_COPY_IN(&sbm, constants,
						     sizeof(constants))));
		KUNIT_EXPECT_EQ(test, sbm_error(&sbm), 0);
	}
	sbm_destroy(&sbm);
}

/**
 * struct place - something that ring 3 must not touch
 * @name:     What it is.
 * @addr:     Where it is; NULL for the page on which the test has its data.
 * @readable: Reading is allowed.
 */
struct place {
	const char	*name;
	const void	*addr;
	bool		readable;
};

static const struct place places[] = {
	{ "data of the module", &data, },
	{ "bss of the module", &bss, },
	{ "ro_after_init of the module", &ro_after_init, },
	{ "struct module", THIS_MODULE, },
	{ "text of the module", value_of_build, .readable = true, },
	{ "constants of the module", constants, .readable = true, },
	{ "data of the image", init_uts_ns.name.release, },
	{ "kmalloc() memory", NULL, },
};

static void place_is_out_of_reach(struct kunit *test)
{
	const struct place *place = test->param_value;
	unsigned long error;
	struct sbm sbm;
	u8 before;
	u8 *p;
	int ret;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	p = place->addr ? (u8 *)place->addr :
			  kunit_kzalloc(test, PAGE_SIZE, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, p);
	before = READ_ONCE(*p);

	open_module(test, &sbm);
	ret = sbm_call(&sbm, read_at, p);
	if (place->readable)
		KUNIT_EXPECT_EQ(test, ret, before);
	else
		expect_fault(test, &sbm, ret, PF_READ, (unsigned long)p);
	sbm_destroy(&sbm);

	open_module(test, &sbm);
	ret = sbm_call(&sbm, write_at, p);
	error = PF_WROTE | (place->readable ? X86_PF_PROT : 0);
	expect_fault(test, &sbm, ret, error, (unsigned long)p);
	KUNIT_EXPECT_EQ(test, READ_ONCE(*p), before);
	/* Stopped is stopped, for targets elsewhere, too */
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, hex_to_bin, 'c'), -EFAULT);
	sbm_destroy(&sbm);

	/* Text would run */
	if (!is_in((unsigned long)p, MOD_TEXT)) {
		open_module(test, &sbm);
		ret = sbm_call(&sbm, jump_to, (unsigned long)p);
		error = PF_EXEC | (place->readable ? X86_PF_PROT : 0);
		expect_fault(test, &sbm, ret, error, (unsigned long)p);
		sbm_destroy(&sbm);
	}

	expect_next_call_works(test);
}

static void place_desc(const struct place *place, char *desc)
{
	strscpy(desc, place->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(place, places, place_desc);

static void privileged_code_in_module_is_stopped(struct kunit *test)
{
	struct sbm sbm;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	open_module(test, &sbm);
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, change_flags, 0), -EFAULT);
	KUNIT_EXPECT_NOT_NULL(test, sbm_fault(&sbm));
	if (sbm_fault(&sbm)) {
		KUNIT_EXPECT_EQ(test, sbm_fault(&sbm)->cause, SBM_CAUSE_PROTECTION);
		KUNIT_EXPECT_TRUE(test, is_in(sbm_fault(&sbm)->ip, MOD_TEXT));
	}
	sbm_destroy(&sbm);

	open_module(test, &sbm);
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, call_system, 0), -EFAULT);
	KUNIT_EXPECT_NOT_NULL(test, sbm_fault(&sbm));
	if (sbm_fault(&sbm)) {
		KUNIT_EXPECT_EQ(test, sbm_fault(&sbm)->cause, SBM_CAUSE_SYSCALL);
		KUNIT_EXPECT_TRUE(test, is_in(sbm_fault(&sbm)->ip, MOD_TEXT));
	}
	sbm_destroy(&sbm);
	expect_next_call_works(test);
}

/* A breakpoint that is no probe's, in the kernel's text, which ring 3 sees */
static void probe_in_module_is_a_stop(struct kunit *test)
{
	u8 *text = (u8 *)to_be_probed;
	u8 byte = READ_ONCE(*text);
	struct sbm sbm;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	open_module(test, &sbm);
	KUNIT_EXPECT_EQ(test, sbm_exec(&sbm, to_be_probed, NULL), 77);
	x86_sbm_test_poke(text, INT3_INSN_OPCODE);
	KUNIT_EXPECT_EQ(test, sbm_exec(&sbm, to_be_probed, NULL), -EFAULT);
	x86_sbm_test_poke(text, byte);
	KUNIT_EXPECT_NOT_NULL(test, sbm_fault(&sbm));
	if (sbm_fault(&sbm)) {
		KUNIT_EXPECT_EQ(test, sbm_fault(&sbm)->cause, SBM_CAUSE_PROBE);
		KUNIT_EXPECT_EQ(test, sbm_fault(&sbm)->ip, (unsigned long)text);
	}
	sbm_destroy(&sbm);

	open_module(test, &sbm);
	KUNIT_EXPECT_EQ(test, sbm_exec(&sbm, to_be_probed, NULL), 77);
	sbm_destroy(&sbm);
}

#ifdef CONFIG_KPROBES

static unsigned int probe_hits;

static int probe_hit(struct kprobe *p, struct pt_regs *regs)
{
	probe_hits++;

	return 0;
}

/* A kprobe in a module's text is not for targets */
static void kprobe_in_module_is_skipped(struct kunit *test)
{
	struct kprobe probe = {
		.addr		= (kprobe_opcode_t *)to_be_probed,
		.pre_handler	= probe_hit,
	};
	sbm_func same = to_be_probed;
	struct sbm sbm;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	open_module(test, &sbm);
	KUNIT_EXPECT_EQ(test, register_kprobe(&probe), 0);
	probe_hits = 0;
	KUNIT_EXPECT_EQ(test, sbm_exec(&sbm, to_be_probed, NULL), 77);
	KUNIT_EXPECT_EQ(test, sbm_error(&sbm), 0);
	KUNIT_EXPECT_GT(test, x86_sbm_test_skipped(&sbm), 0);
	KUNIT_EXPECT_EQ(test, probe_hits, 0);
	OPTIMIZER_HIDE_VAR(same);
	KUNIT_EXPECT_EQ(test, same(NULL), 77);
	KUNIT_EXPECT_EQ(test, probe_hits, 1);
	unregister_kprobe(&probe);
	KUNIT_EXPECT_EQ(test, sbm_exec(&sbm, to_be_probed, NULL), 77);
	sbm_destroy(&sbm);
}

#else

static void kprobe_in_module_is_skipped(struct kunit *test)
{
	kunit_skip(test, "no kprobes");
}

#endif

/*
 * Its address is only looked at. Nobody changes it, but no compiler may know: clang would
 * refer to the function itself, which modpost refuses outside of init text.
 */
static sbm_func init_target __refdata = target_in_init_text;

static void init_text_is_refused(struct kunit *test)
{
	sbm_func target = READ_ONCE(init_target);
	struct sbm sbm;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	if (!is_in((unsigned long)target, MOD_INIT_TEXT))
		kunit_skip(test, "init text of the module is freed by now");
	KUNIT_ASSERT_EQ(test, sbm_init(&sbm), 0);
	KUNIT_EXPECT_EQ(test, sbm_exec(&sbm, target, NULL), -EOPNOTSUPP);
	KUNIT_EXPECT_NULL(test, sbm_fault(&sbm));
	/* Nothing has been spoiled */
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, build_value, 1), 1 + SBM_MODULE_VALUE);
	KUNIT_EXPECT_EQ(test, sbm_error(&sbm), 0);
	sbm_destroy(&sbm);
}

/* One for the instance, however many calls it makes */
static void instance_holds_the_module(struct kunit *test)
{
	int before = module_refcount(THIS_MODULE);
	struct sbm a, b;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	KUNIT_ASSERT_EQ(test, sbm_init(&a), 0);
	KUNIT_EXPECT_EQ(test, sbm_call(&a, hex_to_bin, 'f'), 15);
	KUNIT_EXPECT_EQ(test, module_refcount(THIS_MODULE), before);
	KUNIT_EXPECT_EQ(test, sbm_call(&a, build_value, 0), SBM_MODULE_VALUE);
	KUNIT_EXPECT_EQ(test, module_refcount(THIS_MODULE), before + 1);
	KUNIT_EXPECT_EQ(test, sbm_call(&a, build_value, 0), SBM_MODULE_VALUE);
	KUNIT_EXPECT_EQ(test, module_refcount(THIS_MODULE), before + 1);

	open_module(test, &b);
	KUNIT_EXPECT_EQ(test, module_refcount(THIS_MODULE), before + 2);
	sbm_destroy(&a);
	KUNIT_EXPECT_EQ(test, module_refcount(THIS_MODULE), before + 1);

	/* A stopped one holds it as well, and one does not depend on the other */
	KUNIT_EXPECT_EQ(test, sbm_call(&b, write_at, (u8 *)&data), -EFAULT);
	KUNIT_EXPECT_EQ(test, module_refcount(THIS_MODULE), before + 1);
	sbm_destroy(&b);
	KUNIT_EXPECT_EQ(test, module_refcount(THIS_MODULE), before);
}

static int module_served;

static SBM_DEFINE_HOSTCALL(module_asks, int, value, int __sbm *, to)
{
	int answer = value + SBM_MODULE_VALUE;

	module_served++;

	return sbm_copy_to(sbm, to, &answer, sizeof(answer));
}

static SBM_DEFINE_FUNC(ask_module, int, value)
{
	int answer = 0;

	return module_asks(value, sbm_ptr(&answer)) ?: answer;
}

/* The instance holds it for that, too; and if it goes all the same, nothing is allowed */
static void host_calls_of_the_module_are_served(struct kunit *test)
{
	int before = module_refcount(THIS_MODULE);
	struct sbm sbm;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	init_at_least(test, &sbm, SBM_ISOLATION_STRONG);
	module_served = 0;
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, ask_module, 1), -EFAULT);
	KUNIT_EXPECT_NOT_NULL(test, sbm_fault(&sbm));
	if (sbm_fault(&sbm))
		KUNIT_EXPECT_EQ(test, sbm_fault(&sbm)->cause, SBM_CAUSE_HOSTCALL);
	KUNIT_EXPECT_EQ(test, sbm_reset(&sbm), 0);
	KUNIT_EXPECT_EQ(test, module_served, 0);

	KUNIT_EXPECT_EQ(test, sbm_allow(&sbm, module_asks), 0);
	KUNIT_EXPECT_EQ(test, sbm_allow(&sbm, module_asks), 0);
	KUNIT_EXPECT_EQ(test, module_refcount(THIS_MODULE), before + 1);
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, ask_module, 1), 1 + SBM_MODULE_VALUE);
	KUNIT_EXPECT_EQ(test, module_served, 1);
	KUNIT_EXPECT_EQ(test, module_refcount(THIS_MODULE), before + 2);
	KUNIT_EXPECT_EQ(test, sbm_reset(&sbm), 0);
	KUNIT_EXPECT_EQ(test, module_refcount(THIS_MODULE), before);

	KUNIT_EXPECT_EQ(test, sbm_allow(&sbm, module_asks), 0);
	sbm_test_module_goes(THIS_MODULE);
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, ask_module, 1), -EFAULT);
	KUNIT_EXPECT_EQ(test, module_served, 1);
	sbm_destroy(&sbm);
	/* What the instance has not given back */
	module_put(THIS_MODULE);
	KUNIT_EXPECT_EQ(test, module_refcount(THIS_MODULE), before);
}

/**
 * struct going - a thread whose target runs in the module
 * @worker: The thread.
 * @sbm:    What it calls.
 * @inside: A page to count in, as the target has it.
 */
struct going {
	struct worker	worker;
	struct sbm	sbm;
	struct shared	*inside;
};

static int call_count_up(struct worker *worker)
{
	struct going *g = worker->data;

	return sbm_call(&g->sbm, count_up, g->inside);
}

/* Its init function has failed, say: then nobody is asked who holds it */
static void nobody_stays_in_a_module_that_goes(struct kunit *test)
{
	struct shared *shared = alloc_shared(test);
	struct going g = { .worker = { .fn = call_count_up, .data = &g, .cpu = -1, }, };
	int before = module_refcount(THIS_MODULE);
	const struct sbm_fault *fault;
	unsigned long count;
	int i;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	for (i = 0; i < 20; i++) {
		shared->started = 0;
		open_module(test, &g.sbm);
		g.inside = SBM_MAP_WRITABLE(&g.sbm, shared, PAGE_SIZE);
		KUNIT_ASSERT_EQ(test, worker_start(&g.worker), 0);
		KUNIT_EXPECT_TRUE(test, wait_for_target(shared, &g.worker));

		x86_sbm_test_module_goes(THIS_MODULE);
		count = READ_ONCE(shared->count);
		KUNIT_EXPECT_EQ(test, worker_finish(&g.worker), -EFAULT);
		/* Not one instruction more */
		KUNIT_EXPECT_EQ(test, READ_ONCE(shared->count), count);
		fault = sbm_fault(&g.sbm);
		KUNIT_EXPECT_NOT_NULL(test, fault);
		if (fault) {
			KUNIT_EXPECT_EQ(test, fault->cause, SBM_CAUSE_PROTECTION);
			KUNIT_EXPECT_EQ(test, fault->access, SBM_ACCESS_NONE);
			KUNIT_EXPECT_TRUE(test, within_module(fault->ip, THIS_MODULE));
		}
		sbm_destroy(&g.sbm);
		/* What the instance has not given back */
		module_put(THIS_MODULE);
		KUNIT_EXPECT_EQ(test, module_refcount(THIS_MODULE), before);
		expect_next_call_works(test);
	}
}

/* As good as new: nothing of the module is there, and nothing holds it */
static void reset_lets_go_of_the_module(struct kunit *test)
{
	int before = module_refcount(THIS_MODULE);
	const char *text = constants;
	unsigned int tables;
	struct sbm sbm;
	long pages;
	int i, ret;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	init_at_least(test, &sbm, SBM_ISOLATION_STRONG);
	tables = x86_sbm_test_table_pages(&sbm);
	pages = x86_sbm_test_pages_in_use();
	for (i = 0; i < 3; i++) {
		KUNIT_EXPECT_EQ(test, sbm_call(&sbm, build_value, 1),
				1 + SBM_MODULE_VALUE);
		KUNIT_EXPECT_EQ(test, sbm_call(&sbm, strncasecmp, text, text, 3), 0);
		KUNIT_EXPECT_EQ(test, module_refcount(THIS_MODULE), before + 1);

		KUNIT_EXPECT_EQ(test, sbm_reset(&sbm), 0);
		KUNIT_EXPECT_EQ(test, module_refcount(THIS_MODULE), before);
		KUNIT_EXPECT_EQ(test, x86_sbm_test_table_pages(&sbm), tables);
		KUNIT_EXPECT_EQ(test, x86_sbm_test_pages_in_use(), pages);
		KUNIT_EXPECT_EQ(test, sbm_call(&sbm, hex_to_bin, 'f'), 15);

		/* A function of the image can read its constants no more */
		ret = sbm_call(&sbm, strncasecmp, text, text, 3);
		KUNIT_EXPECT_EQ(test, ret, -EFAULT);
		KUNIT_EXPECT_NOT_NULL(test, sbm_fault(&sbm));
		if (sbm_fault(&sbm))
			KUNIT_EXPECT_EQ(test, sbm_fault(&sbm)->address,
					(unsigned long)text);
		KUNIT_EXPECT_EQ(test, sbm_reset(&sbm), 0);
	}
	sbm_destroy(&sbm);
}

/* Too little memory for its tables is that, before and after a reset */
static void module_takes_memory_within_the_limit(struct kunit *test)
{
	struct sbm_attr attr = { .min_isolation = SBM_ISOLATION_STRONG, };
	int before = module_refcount(THIS_MODULE);
	long pages = x86_sbm_test_pages_in_use();
	struct sbm sbm;
	int i, extra;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	init_at_least(test, &sbm, SBM_ISOLATION_STRONG);
	attr.memory_limit = (x86_sbm_test_pages_in_use() - pages) * PAGE_SIZE;
	sbm_destroy(&sbm);

	for (extra = 0; extra < 2; extra++, attr.memory_limit += PAGE_SIZE) {
		KUNIT_ASSERT_EQ(test, sbm_init_attr(&sbm, &attr), 0);
		for (i = 0; i < 2; i++) {
			KUNIT_EXPECT_EQ(test, sbm_call(&sbm, build_value, 1), -ENOSPC);
			KUNIT_EXPECT_EQ(test, sbm_error(&sbm), -ENOSPC);
			KUNIT_EXPECT_NULL(test, sbm_fault(&sbm));
			KUNIT_EXPECT_EQ(test, sbm_call(&sbm, hex_to_bin, 'f'), -ENOSPC);
			KUNIT_EXPECT_EQ(test, sbm_reset(&sbm), 0);
			KUNIT_EXPECT_EQ(test, sbm_call(&sbm, hex_to_bin, 'f'), 15);
			KUNIT_EXPECT_EQ(test, module_refcount(THIS_MODULE), before);
		}
		sbm_destroy(&sbm);
		KUNIT_EXPECT_EQ(test, x86_sbm_test_pages_in_use(), pages);
	}
}

static bool is_thunk_page(const struct module *mod, unsigned long addr)
{
	unsigned int i;
	void *page;

	for (i = 0; (page = x86_sbm_test_thunk_page(mod, i)); i++) {
		if (addr == (unsigned long)page)
			return true;
	}

	return false;
}

/*
 * Look at each page of the range that modules are loaded to. Return how many pages
 * of this module ring 3 can use.
 */
static unsigned long look_at_modules(struct kunit *test, const struct sbm *sbm)
{
	unsigned long addr, found = 0;
	u64 rights, pfn;

	for (addr = MODULES_VADDR; addr < MODULES_END; addr += PAGE_SIZE) {
		u64 want = _PAGE_USER;

		if (!x86_sbm_test_lookup(sbm, addr, &rights, &pfn))
			continue;
		if (is_in(addr, MOD_RODATA))
			want |= _PAGE_NX;
		else if (!is_in(addr, MOD_TEXT) && !is_thunk_page(NULL, addr) &&
			 !is_thunk_page(THIS_MODULE, addr))
			want = 0;
		KUNIT_EXPECT_EQ_MSG(test, rights, want, "%lx", addr);
		KUNIT_EXPECT_EQ(test, pfn, vmalloc_to_pfn((void *)addr));
		if (!is_thunk_page(NULL, addr))
			found++;
	}

	return found;
}

static void only_text_and_constants_are_mapped(struct kunit *test)
{
	unsigned long want = PFN_UP(THIS_MODULE->mem[MOD_TEXT].size) +
			     PFN_UP(THIS_MODULE->mem[MOD_RODATA].size);
	struct sbm sbm, other;
	unsigned int i;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	for (i = 0; x86_sbm_test_thunk_page(THIS_MODULE, i); i++)
		want++;

	init_at_least(test, &other, SBM_ISOLATION_STRONG);
	open_module(test, &sbm);
	KUNIT_EXPECT_EQ(test, look_at_modules(test, &sbm), want);

	/* What one instance has must not be in the tables that all share */
	KUNIT_EXPECT_EQ(test, sbm_call(&other, hex_to_bin, '7'), 7);
	KUNIT_EXPECT_EQ(test, look_at_modules(test, &other), 0);
	sbm_destroy(&other);
	sbm_destroy(&sbm);

	init_at_least(test, &other, SBM_ISOLATION_STRONG);
	KUNIT_EXPECT_EQ(test, look_at_modules(test, &other), 0);
	sbm_destroy(&other);
}

static bool is_global(const void *p)
{
	unsigned int level;
	pte_t *pte = lookup_address((unsigned long)p, &level);

	return pte && (pte_val(*pte) & _PAGE_PRESENT) &&
	       (pte_val(*pte) & _PAGE_GLOBAL);
}

/* Pages that were a module's before are not global in the direct map any more */
static bool alias_was_global;
static bool text_was_global;

static const void *alias_of_constants(void)
{
	return page_address(vmalloc_to_page(constants));
}

/* Before the first call */
static int look_at_mappings(struct kunit_suite *suite)
{
	alias_was_global = is_global(alias_of_constants());
	text_was_global = is_global(value_of_build);

	return 0;
}

static void expect_not_global(struct kunit *test, enum mod_mem_type type)
{
	const struct module_memory *mem = &THIS_MODULE->mem[type];
	unsigned int offset;

	for (offset = 0; offset < mem->size; offset += PAGE_SIZE)
		KUNIT_EXPECT_FALSE(test, is_global(mem->base + offset));
}

/* In the kernel's tables; without page-table isolation, all else of it is */
static void mapped_module_is_not_global(struct kunit *test)
{
	bool normal = pgprot_val(PAGE_KERNEL) & _PAGE_GLOBAL;
	struct sbm sbm;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	/* As the one has left it that was here before, and all others */
	KUNIT_EXPECT_EQ(test, text_was_global, normal);
	open_module(test, &sbm);
	expect_not_global(test, MOD_TEXT);
	expect_not_global(test, MOD_RODATA);
	KUNIT_EXPECT_EQ(test, x86_sbm_test_count_global(), 0);
	KUNIT_EXPECT_EQ(test, is_global(&data), normal);
	KUNIT_EXPECT_EQ(test, is_global(alias_of_constants()), alias_was_global);
	sbm_destroy(&sbm);
}

static void module_needs_few_tables(struct kunit *test)
{
	unsigned int tables;
	struct sbm sbm;
	long pages;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	pages = x86_sbm_test_pages_in_use();
	init_at_least(test, &sbm, SBM_ISOLATION_STRONG);
	tables = x86_sbm_test_table_pages(&sbm);
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, build_value, 0), SBM_MODULE_VALUE);
	KUNIT_EXPECT_GT(test, x86_sbm_test_table_pages(&sbm), tables);
	/* The levels on the way, then text and constants, each on a border of 2 MiB */
	KUNIT_EXPECT_LE(test, x86_sbm_test_table_pages(&sbm) - tables,
			(pgtable_l5_enabled() ? 3 : 2) + 4);
	kunit_info(test, "%u table pages without the module, %u with it", tables,
		   x86_sbm_test_table_pages(&sbm));

	/* Only once */
	tables = x86_sbm_test_table_pages(&sbm);
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, build_value, 0), SBM_MODULE_VALUE);
	KUNIT_EXPECT_EQ(test, x86_sbm_test_table_pages(&sbm), tables);
	sbm_destroy(&sbm);
	KUNIT_EXPECT_EQ(test, x86_sbm_test_pages_in_use(), pages);
}

/*
 * Each allocation fails in its turn: the instance can be called again only if it has all
 * that it needs. As in the suite sbm_limits, user space must allow for it first.
 */
static void allocations_that_fail_keep_no_module(struct kunit *test)
{
#if defined(CONFIG_FAILSLAB) && defined(CONFIG_FAIL_PAGE_ALLOC)
	int n, refused = 0;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	for (n = 1; n < 1000; n++) {
		long before = x86_sbm_test_pages_in_use();
		bool fired;
		struct sbm sbm;
		int ret;

		init_at_least(test, &sbm, SBM_ISOLATION_STRONG);
		WRITE_ONCE(current->fail_nth, n);
		ret = sbm_call(&sbm, build_value, 0);
		fired = !READ_ONCE(current->fail_nth);
		WRITE_ONCE(current->fail_nth, 0);

		if (ret != SBM_MODULE_VALUE) {
			refused++;
			KUNIT_EXPECT_EQ(test, ret, -ENOMEM);
			KUNIT_EXPECT_EQ(test, sbm_error(&sbm), -ENOMEM);
			KUNIT_EXPECT_TRUE(test, fired);
			KUNIT_EXPECT_EQ(test, sbm_call(&sbm, build_value, 0), -ENOMEM);
			/* And what is there does not stand in the way */
			KUNIT_EXPECT_EQ(test, sbm_reset(&sbm), 0);
			KUNIT_EXPECT_EQ(test, sbm_call(&sbm, build_value, 0),
					SBM_MODULE_VALUE);
		}
		sbm_destroy(&sbm);
		KUNIT_EXPECT_EQ(test, x86_sbm_test_pages_in_use(), before);
		if (!fired)
			break;
	}
	KUNIT_EXPECT_LT(test, n, 1000);
	kunit_info(test, "%d allocations failed, %d errors\n", n - 1, refused);
#else
	kunit_skip(test, "takes CONFIG_FAILSLAB and CONFIG_FAIL_PAGE_ALLOC");
#endif
}

/* The dump in debugfs knows what it is, and finds nothing that should not be there */
static void dump_tells_of_the_module(struct kunit *test)
{
	const size_t size = 64 * 1024;
	char *text = kunit_kzalloc(test, size, GFP_KERNEL);
	struct sbm sbm;
	ssize_t len;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	KUNIT_ASSERT_NOT_NULL(test, text);
	open_module(test, &sbm);
	len = x86_sbm_test_dump(&sbm, text, size);
	sbm_destroy(&sbm);
	if (len == -EOPNOTSUPP)
		kunit_skip(test, "no debugfs");
	KUNIT_ASSERT_GT(test, len, 0);
	KUNIT_EXPECT_NOT_NULL(test, strstr(text, "---[ modules ]---\n"));
	KUNIT_EXPECT_NOT_NULL(test, strstr(text, "U r - x -  module\n"));
	KUNIT_EXPECT_NOT_NULL(test, strstr(text, "U r - - -  module\n"));
	KUNIT_EXPECT_NULL(test, strstr(text, "unexpected"));
}

/* So does the audit */
static void audit_accepts_the_module(struct kunit *test)
{
	const size_t size = 64 * 1024;
	char *text = kunit_kzalloc(test, size, GFP_KERNEL);
	struct sbm sbm;
	ssize_t len;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	KUNIT_ASSERT_NOT_NULL(test, text);
	open_module(test, &sbm);
	len = x86_sbm_test_audit(&sbm, text, size);
	sbm_destroy(&sbm);
	if (len == -EOPNOTSUPP)
		kunit_skip(test, "no debugfs");
	KUNIT_ASSERT_GT(test, len, 0);
	KUNIT_EXPECT_NOT_NULL(test, strstr(text, "read, execute: a target in a module"));
	KUNIT_EXPECT_NOT_NULL(test, strstr(text, " ring 3: read: a target in a module"));
	KUNIT_EXPECT_NOT_NULL(test, strstr(text, ": nothing unexpected\n1 instance, 0 findings\n"));
	KUNIT_EXPECT_NULL(test, strstr(text, "  finding: "));
}

static struct kunit_case sbm_module_cases[] = {
	KUNIT_CASE(target_in_module_is_called),
	KUNIT_CASE_PARAM(place_is_out_of_reach, place_gen_params),
	KUNIT_CASE(privileged_code_in_module_is_stopped),
	KUNIT_CASE(probe_in_module_is_a_stop),
	KUNIT_CASE(kprobe_in_module_is_skipped),
	KUNIT_CASE(init_text_is_refused),
	KUNIT_CASE(instance_holds_the_module),
	KUNIT_CASE(host_calls_of_the_module_are_served),
	KUNIT_CASE(nobody_stays_in_a_module_that_goes),
	KUNIT_CASE(reset_lets_go_of_the_module),
	KUNIT_CASE(module_takes_memory_within_the_limit),
	KUNIT_CASE(only_text_and_constants_are_mapped),
	KUNIT_CASE(dump_tells_of_the_module),
	KUNIT_CASE(audit_accepts_the_module),
	KUNIT_CASE(mapped_module_is_not_global),
	KUNIT_CASE(module_needs_few_tables),
	KUNIT_CASE(allocations_that_fail_keep_no_module),
	{}
};

static struct kunit_suite sbm_module_suite = {
	.name = SBM_MODULE_SUITE,
	.suite_init = look_at_mappings,
	.test_cases = sbm_module_cases,
};

kunit_test_suite(sbm_module_suite);

/* === To be held from user space === */

static struct sbm held;

/* 1: an instance that has called this module lives on; 0: it is destroyed */
static int hold_set(const char *text, const struct kernel_param *param)
{
	const struct sbm_attr strong = { .min_isolation = SBM_ISOLATION_STRONG, };
	bool hold;
	int ret = kstrtobool(text, &hold);

	if (ret)
		return ret;

	sbm_destroy(&held);
	if (!hold)
		return 0;

	ret = sbm_init_attr(&held, &strong);
	if (ret)
		return ret;

	ret = sbm_call(&held, build_value, 0);
	if (ret != SBM_MODULE_VALUE) {
		sbm_destroy(&held);
		return ret < 0 ? ret : -EIO;
	}

	return 0;
}

static const struct kernel_param_ops hold_ops = {
	.set = hold_set,
};

module_param_cb(hold, &hold_ops, NULL, 0200);
MODULE_PARM_DESC(hold, "Hold an instance that has called this module");

MODULE_DESCRIPTION("KUnit tests for sandbox mode: targets in modules");
MODULE_LICENSE("GPL");
