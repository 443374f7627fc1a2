// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit suite sbm_probe: targets that are traced or probed run as if they were not.
 *
 * Each test sees to it that a tracer or probe does run for the kernel, does not for a
 * target, and that the target's result is right.
 */
#include <kunit/test.h>
#include <linux/array_size.h>
#include <linux/atomic.h>
#include <linux/compiler.h>
#include <linux/cpufeature.h>
#include <linux/cpumask.h>
#include <linux/delay.h>
#include <linux/ftrace.h>
#include <linux/jiffies.h>
#include <linux/jump_label.h>
#include <linux/kernel.h>
#include <linux/kprobes.h>
#include <linux/linkage.h>
#include <linux/mm.h>
#include <linux/objtool.h>
#include <linux/pgtable.h>
#include <linux/sbm.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/time64.h>

#include <asm/ibt.h>
#include <asm/nospec-branch.h>
#include <asm/sbm.h>
#include <asm/text-patching.h>
#include <asm/trapnr.h>

#include "sbm_kunit.h"

/* What ends a call, see arch/x86/kernel/sandbox/gate.h */
#define RETURN_VECTOR	24

/* === Targets === */

/*
 * probe_leaf() adds 1000 to what its argument points to, by an instruction that is as
 * long as a jump; spanning_leaf() does so by one that lies on two pages.
 */
int probe_leaf(void *data);
int spanning_leaf(void *data);

asm(".pushsection .text, \"ax\"\n"
    ".balign 16\n"
    ".type probe_leaf, @function\n"
    "probe_leaf:\n\t"
    ASM_ENDBR
    "movl (%rdi), %eax\n\t"
    "addl $1000, %eax\n\t"
    ASM_RET
    ".size probe_leaf, . - probe_leaf\n"
    ".balign 4096\n"
    "1: .skip 4064, 0xcc\n"
    ".type spanning_leaf, @function\n"
    "spanning_leaf:\n\t"
    ASM_ENDBR
    "movl (%rdi), %eax\n\t"
    ".skip 4094 - (. - 1b), 0x90\n\t"
    "addl $1000, %eax\n\t"
    ASM_RET
    ".size spanning_leaf, . - spanning_leaf\n"
    ".popsection\n");

/* The instructions that add, which are found before anybody changes them */
static void *leaf_adds, *span_adds;

static bool is_original(const void *addr)
{
	static const u8 insn[] = { 0x05, 0xe8, 0x03, 0x00, 0x00 };

	return !memcmp(addr, insn, sizeof(insn));
}

static void *find_adds(sbm_func leaf)
{
	u8 *p;

	OPTIMIZER_HIDE_VAR(leaf);
	p = (u8 *)leaf;
	while (!is_original(p))
		p++;

	return p;
}

/* No tail calls */
static noinline __noclone int calls_leaf(void *data)
{
	return probe_leaf(data) + 1;
}

static noinline __noclone int calls_spanning_leaf(void *data)
{
	return spanning_leaf(data) + 1;
}

static noinline __noclone int calls_both(void *data)
{
	return probe_leaf(data) + spanning_leaf(data);
}

/*
 * It calls a function that it shares with the kernel, and which is no noinstr text; one
 * that nobody uses meanwhile, as allocators that look for damage use memchr_inv().
 */
static noinline __noclone int calls_memscan(void *data)
{
	return memscan(data, 0xaa, 64) == data + 64 ? 1041 : -1;
}

/* With something behind the place of a tracer */
static noinline __noclone int traced_leaf(void *data)
{
	return *(int *)data + 1000;
}

/* Not a copy of the compiler's */
static int call_outside(sbm_func func, void *data)
{
	OPTIMIZER_HIDE_VAR(func);

	return func(data);
}

/* For all of these but calls_both(), the result is 1041 */
union input {
	int	value;
	u8	bytes[64];
};

static void init_input(union input *in, sbm_func func)
{
	memset(in, 0x55, sizeof(*in));
	if (func != calls_memscan)
		in->value = 40;
}

/* Why the last call of @sbm was stopped, if it was */
static void tell_fault(struct kunit *test, struct sbm *sbm, const char *what)
{
	const struct sbm_fault *fault = sbm_fault(sbm);

	if (fault)
		kunit_err(test, "%s: %s, vector %u, at %pS, address %lx\n", what,
			  sbm_cause_name(fault->cause), fault->vector,
			  (void *)fault->ip, fault->address);
}

/* Call @func in @sbm; returns how many tracers and probes were skipped */
static u64 expect_runs(struct kunit *test, struct sbm *sbm, sbm_func func,
		       const char *what)
{
	u64 before = x86_sbm_test_skipped(sbm);
	union input in;

	init_input(&in, func);
	KUNIT_EXPECT_EQ_MSG(test, 1041,
			    sbm_exec(sbm, func, SBM_COPY_IN(sbm, &in, sizeof(in))),
			    "%s", what);
	KUNIT_EXPECT_EQ_MSG(test, sbm_error(sbm), 0, "%s", what);
	tell_fault(test, sbm, what);

	return x86_sbm_test_skipped(sbm) - before;
}

/* The task whose handlers are counted; NULL for all */
static struct task_struct *counted_task;
static atomic_t hits;

static notrace void count_hit(void)
{
	struct task_struct *task = READ_ONCE(counted_task);

	if (!task || task == current)
		atomic_inc(&hits);
}

#ifdef CONFIG_KPROBES

/* === Probes === */

static int pre_hit(struct kprobe *p, struct pt_regs *regs)
{
	count_hit();

	return 0;
}

/* Keeps a probe from being optimized */
static void post_nothing(struct kprobe *p, struct pt_regs *regs, unsigned long flags)
{
}

static int return_hit(struct kretprobe_instance *ri, struct pt_regs *regs)
{
	count_hit();

	return 0;
}

/* Wait until the instruction at @addr begins with @byte */
static bool wait_for_byte(const void *addr, u8 byte)
{
	unsigned long timeout = jiffies + SBM_TEST_PATIENCE;

	while (READ_ONCE(*(const u8 *)addr) != byte) {
		if (time_after(jiffies, timeout))
			return false;
		msleep(20);
	}

	return true;
}

/*
 * Probes are there that count @outside times when the kernel calls @func, and never
 * when a target does.
 */
static void expect_skipped(struct kunit *test, sbm_func func, int outside,
			   const char *what)
{
	union input in;
	struct sbm sbm;
	int i;

	init_at_least(test, &sbm, SBM_ISOLATION_STRONG);
	atomic_set(&hits, 0);
	for (i = 0; i < 3; i++)
		KUNIT_EXPECT_GT_MSG(test, expect_runs(test, &sbm, func, what), 0,
				    "%s", what);
	KUNIT_EXPECT_EQ_MSG(test, atomic_read(&hits), 0, "%s", what);
	sbm_destroy(&sbm);

	init_input(&in, func);
	KUNIT_EXPECT_EQ_MSG(test, call_outside(func, &in), 1041, "%s", what);
	KUNIT_EXPECT_EQ_MSG(test, atomic_read(&hits), outside, "%s", what);
}

/* What a target meets when nobody has put a probe there: tracers for everything */
static u64 skipped_anyway(struct kunit *test, sbm_func func)
{
	struct sbm sbm;
	u64 nr;

	init_at_least(test, &sbm, SBM_ISOLATION_STRONG);
	nr = expect_runs(test, &sbm, func, "without probe");
	sbm_destroy(&sbm);

	return nr;
}

struct place {
	const char	*name;
	void		*(*addr)(void);
	sbm_func	target;
	bool		optimize;
};

static void *at_leaf(void)
{
	return probe_leaf;
}

static void *at_adds(void)
{
	return leaf_adds;
}

static void *at_span(void)
{
	return span_adds;
}

static void *at_target(void)
{
	return calls_leaf;
}

static void *at_memscan(void)
{
	return memscan;
}

static const struct place places[] = {
	{ "entry of a function", at_leaf, calls_leaf },
	{ "middle of a function", at_adds, calls_leaf },
	{ "last bytes of a page", at_span, calls_spanning_leaf },
	{ "the target itself", at_target, calls_leaf },
	{ "a function of the kernel", at_memscan, calls_memscan },
	{ "optimized", at_adds, calls_leaf, true },
	{ "optimized, on two pages", at_span, calls_spanning_leaf, true },
};

/* Also when it is gone again: the next call has nothing to skip */
static void kprobe_is_skipped(struct kunit *test)
{
	unsigned int i;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	for (i = 0; i < ARRAY_SIZE(places); i++) {
		const struct place *place = &places[i];
		u64 anyway = skipped_anyway(test, place->target);
		u8 first = *(u8 *)place->addr();
		struct kprobe probe = {
			.addr		= place->addr(),
			.pre_handler	= pre_hit,
			.post_handler	= place->optimize ? NULL : post_nothing,
		};

		if (place->optimize && !IS_ENABLED(CONFIG_OPTPROBES))
			continue;
		KUNIT_EXPECT_EQ_MSG(test, register_kprobe(&probe), 0, "%s", place->name);
		if (place->optimize)
			KUNIT_EXPECT_TRUE_MSG(test,
					      wait_for_byte(probe.addr, JMP32_INSN_OPCODE),
					      "%s", place->name);
		expect_skipped(test, place->target, 1, place->name);
		unregister_kprobe(&probe);
		/* A jump is taken away a bit later */
		KUNIT_EXPECT_TRUE_MSG(test, wait_for_byte(place->addr(), first), "%s",
				      place->name);
		KUNIT_EXPECT_EQ_MSG(test, skipped_anyway(test, place->target), anyway,
				    "%s", place->name);
	}
}

static void kretprobe_is_skipped(struct kunit *test)
{
	sbm_func const functions[] = { probe_leaf, calls_leaf };
	unsigned int i;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	for (i = 0; i < ARRAY_SIZE(functions); i++) {
		struct kretprobe probe = {
			.kp.addr	= (kprobe_opcode_t *)functions[i],
			.handler	= return_hit,
		};

		KUNIT_EXPECT_EQ(test, register_kretprobe(&probe), 0);
		expect_skipped(test, calls_leaf, 1, "kretprobe");
		unregister_kretprobe(&probe);
	}
}

/* What every target uses is noinstr, and takes none */
static void noinstr_takes_no_kprobe(struct kunit *test)
{
	struct kprobe probe = {
		.symbol_name	= "__memcpy",
		.pre_handler	= pre_hit,
	};

	KUNIT_EXPECT_EQ(test, register_kprobe(&probe), -EINVAL);
}

/* Many on one page, among them one beside another */
static void kprobes_on_a_page_are_skipped(struct kunit *test)
{
	struct kprobe probes[] = {
		{ .addr = at_leaf(), .pre_handler = pre_hit },
		{ .addr = at_adds(), .pre_handler = pre_hit, .post_handler = post_nothing },
		{ .addr = at_target(), .pre_handler = pre_hit },
		{ .addr = at_adds(), .pre_handler = pre_hit },
	};
	unsigned int i;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	for (i = 0; i < ARRAY_SIZE(probes); i++)
		KUNIT_EXPECT_EQ(test, register_kprobe(&probes[i]), 0);
	expect_skipped(test, calls_leaf, ARRAY_SIZE(probes), "four probes");
	for (i = 0; i < ARRAY_SIZE(probes); i++)
		unregister_kprobe(&probes[i]);
}

/* The stop of a target that has met a probe which could not be skipped */
static void expect_probe_stop(struct kunit *test, struct sbm *sbm, sbm_func func,
			      const void *addr)
{
	const struct sbm_fault *fault;
	union input in;

	init_input(&in, func);
	KUNIT_EXPECT_EQ(test, -EFAULT,
			sbm_exec(sbm, func, SBM_COPY_IN(sbm, &in, sizeof(in))));
	fault = sbm_fault(sbm);
	KUNIT_EXPECT_NOT_NULL(test, fault);
	if (fault) {
		KUNIT_EXPECT_EQ_MSG(test, fault->cause, SBM_CAUSE_PROBE, "%s",
				    sbm_cause_name(fault->cause));
		KUNIT_EXPECT_EQ(test, fault->ip, (unsigned long)addr);
		KUNIT_EXPECT_EQ(test, fault->access, SBM_ACCESS_NONE);
	}
}

/* A breakpoint that is no probe's ends the call, also beside one that is */
static void other_breakpoint_is_a_stop(struct kunit *test)
{
	struct kprobe probe = {
		.pre_handler	= pre_hit,
		.post_handler	= post_nothing,
	};
	u8 *addr = at_adds();
	u8 byte = *addr;
	struct sbm sbm;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	/* The instruction before it: two bytes */
	probe.addr = addr - 2;
	KUNIT_EXPECT_EQ(test, register_kprobe(&probe), 0);
	x86_sbm_test_poke(addr, INT3_INSN_OPCODE);
	init_at_least(test, &sbm, SBM_ISOLATION_STRONG);
	expect_probe_stop(test, &sbm, calls_leaf, addr);
	KUNIT_EXPECT_GT(test, x86_sbm_test_skipped(&sbm), 0);
	sbm_destroy(&sbm);
	x86_sbm_test_poke(addr, byte);
	expect_skipped(test, calls_leaf, 1, "without the other breakpoint");
	unregister_kprobe(&probe);
}

/* More pages than may be copied: one is met after the other, or one needs two */
static void number_of_copies_is_limited(struct kunit *test)
{
	struct kprobe probes[] = {
		{ .addr = at_adds(), .pre_handler = pre_hit, .post_handler = post_nothing },
		{ .addr = at_span(), .pre_handler = pre_hit, .post_handler = post_nothing },
	};
	struct sbm sbm;
	unsigned int i;
	long before;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	before = x86_sbm_test_pages_in_use();
	for (i = 0; i < ARRAY_SIZE(probes); i++)
		KUNIT_EXPECT_EQ(test, register_kprobe(&probes[i]), 0);

	for (i = 0; i < 3; i++) {
		x86_sbm_test_max_copies(i);
		init_at_least(test, &sbm, SBM_ISOLATION_STRONG);
		expect_probe_stop(test, &sbm, calls_both, i ? at_span() : at_adds());
		sbm_destroy(&sbm);
	}
	x86_sbm_test_max_copies(3);
	init_at_least(test, &sbm, SBM_ISOLATION_STRONG);
	expect_runs(test, &sbm, calls_leaf, "one");
	expect_runs(test, &sbm, calls_spanning_leaf, "two");
	sbm_destroy(&sbm);
	x86_sbm_test_max_copies(-1);

	for (i = 0; i < ARRAY_SIZE(probes); i++)
		unregister_kprobe(&probes[i]);
	KUNIT_EXPECT_EQ(test, x86_sbm_test_pages_in_use(), before);
}

/* The same for memory: tables and pages count, and nothing is lost when they fail */
static void copies_count_as_memory(struct kunit *test)
{
	struct kprobe probe = {
		.addr		= at_span(),
		.pre_handler	= pre_hit,
		.post_handler	= post_nothing,
	};
	struct sbm_attr attr = { .min_isolation = SBM_ISOLATION_STRONG };
	unsigned int stops = 0;
	bool works = false;
	struct sbm sbm;
	long before;
	int i;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	before = x86_sbm_test_pages_in_use();
	KUNIT_EXPECT_EQ(test, register_kprobe(&probe), 0);
	for (i = 1; i < 100 && !works; i++) {
		union input in;
		void *buf;
		int ret;

		attr.memory_limit = i * PAGE_SIZE;
		if (sbm_init_attr(&sbm, &attr))
			continue;
		init_input(&in, calls_spanning_leaf);
		buf = SBM_COPY_IN(&sbm, &in, sizeof(in));
		if (buf) {
			ret = sbm_exec(&sbm, calls_spanning_leaf, buf);
			works = ret == 1041;
			if (!works) {
				stops++;
				KUNIT_EXPECT_EQ(test, ret, -EFAULT);
				KUNIT_EXPECT_NOT_NULL(test, sbm_fault(&sbm));
				if (sbm_fault(&sbm))
					KUNIT_EXPECT_EQ(test, sbm_fault(&sbm)->cause,
							SBM_CAUSE_PROBE);
			}
		}
		sbm_destroy(&sbm);
		KUNIT_EXPECT_EQ(test, x86_sbm_test_pages_in_use(), before);
	}
	unregister_kprobe(&probe);
	KUNIT_EXPECT_TRUE(test, works);
	/* Two pages, and the tables that lead to them: three levels or more */
	KUNIT_EXPECT_GE(test, stops, 5);
}

/* === Probes that come and go during a call === */

static DEFINE_STATIC_KEY_FALSE(probed_key);

struct spin {
	struct shared	shared;
	unsigned long	on;
	unsigned long	off;
};

/**
 * struct spinner - a target that calls probe_leaf() and traced_leaf() over and over
 * @worker: Who calls it.
 * @sbm:    Where.
 * @spin:   What it shares with the test.
 */
struct spinner {
	struct worker	worker;
	struct sbm	sbm;
	struct spin	*spin;
};

static SBM_DEFINE_FUNC(spin_on_leaf, struct spin *, spin)
{
	int value = 40;

	WRITE_ONCE(spin->shared.started, 1);
	while (!READ_ONCE(spin->shared.stop)) {
		if (probe_leaf(&value) != 1040 || traced_leaf(&value) != 1040)
			return -EINVAL;
		if (static_branch_unlikely(&probed_key))
			WRITE_ONCE(spin->on, spin->on + 1);
		else
			WRITE_ONCE(spin->off, spin->off + 1);
		WRITE_ONCE(spin->shared.count, spin->shared.count + 1);
	}

	return 0;
}

static int spin_thread(struct worker *worker)
{
	struct spinner *s = container_of(worker, struct spinner, worker);
	const struct sbm_fault *fault;
	int ret;

	ret = sbm_call(&s->sbm, spin_on_leaf,
		       SBM_MAP_WRITABLE(&s->sbm, s->spin, PAGE_SIZE));
	fault = sbm_fault(&s->sbm);
	if (fault)
		pr_info("sbm-test: %s, vector %u, error code %lx at %pS, %llu skipped\n",
			sbm_cause_name(fault->cause), fault->vector,
			fault->error_code, (void *)fault->ip,
			x86_sbm_test_skipped(&s->sbm));

	return ret;
}

static int other_cpu(void)
{
	unsigned int cpu = cpumask_next(cpumask_first(cpu_online_mask),
					cpu_online_mask);

	return cpu < nr_cpu_ids ? cpu : -1;
}

static void start_spinner(struct kunit *test, struct spinner *s)
{
	const struct sbm_attr attr = {
		.min_isolation	= SBM_ISOLATION_STRONG,
		.time_limit	= 600ULL * NSEC_PER_SEC,
	};

	*s = (struct spinner) {
		.worker = {
			.fn	= spin_thread,
			.cpu	= other_cpu(),
		},
		.spin	= kunit_kzalloc(test, PAGE_SIZE, GFP_KERNEL),
	};
	KUNIT_ASSERT_NOT_NULL(test, s->spin);
	KUNIT_ASSERT_EQ(test, sbm_init_attr(&s->sbm, &attr), 0);
	set_cpus_allowed_ptr(current, cpumask_of(cpumask_first(cpu_online_mask)));
	KUNIT_EXPECT_EQ(test, worker_start(&s->worker), 0);
	KUNIT_EXPECT_TRUE(test, wait_for_target(&s->spin->shared, &s->worker));
	WRITE_ONCE(counted_task, s->worker.task);
	atomic_set(&hits, 0);
}

static int end_spinner(struct spinner *s)
{
	WRITE_ONCE(s->spin->shared.stop, 1);
	worker_finish(&s->worker);
	WRITE_ONCE(counted_task, current);
	set_cpus_allowed_ptr(current, cpu_possible_mask);

	return s->worker.result;
}

/* It was not stopped, and no handler has run in its name */
static void stop_spinner(struct kunit *test, struct spinner *s)
{
	KUNIT_EXPECT_EQ(test, end_spinner(s), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&hits), 0);
}

static void finish_spinner(struct kunit *test, struct spinner *s)
{
	stop_spinner(test, s);
	sbm_destroy(&s->sbm);
}

/* The target gets on, now */
static bool gets_on(struct spinner *s)
{
	unsigned long before = READ_ONCE(s->spin->shared.count);
	unsigned long timeout = jiffies + SBM_TEST_PATIENCE;

	while (READ_ONCE(s->spin->shared.count) < before + 10) {
		if (time_after(jiffies, timeout) ||
		    !s->worker.task || completion_done(&s->worker.done))
			return false;
		schedule_timeout_uninterruptible(1);
	}

	return true;
}

/*
 * QEMU 7.2 can miss a write to code, and keep the old byte until the next one: see
 * poke_byte() in sbm_x86_kunit.c. If it is a breakpoint that it keeps, the target is
 * stopped for one that nobody finds, and the test begins again.
 */
static bool spoilt_by_emulator(const struct sbm *sbm)
{
	const struct sbm_fault *fault = sbm_fault(sbm);

	return boot_cpu_has(X86_FEATURE_HYPERVISOR) && fault &&
	       fault->cause == SBM_CAUSE_PROTECTION;
}

/* Put there and taken away while a target runs over it */
static void kprobe_comes_and_goes_during_a_call(struct kunit *test)
{
	const int rounds = 8, max_restarts = 40;
	struct spinner s;
	int i, restarts = 0;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	if (other_cpu() < 0)
		kunit_skip(test, "needs two CPUs");
	for (i = 0; i < rounds; i++) {
		const bool optimize = IS_ENABLED(CONFIG_OPTPROBES) && i & 1;
		struct kprobe probe = {
			.addr		= at_adds(),
			.pre_handler	= pre_hit,
			.post_handler	= optimize ? NULL : post_nothing,
		};
		u8 first = *probe.addr;

		bool there, works;

		start_spinner(test, &s);
		KUNIT_EXPECT_EQ(test, register_kprobe(&probe), 0);
		there = true;
		works = gets_on(&s);
		if (optimize)
			KUNIT_EXPECT_TRUE(test, wait_for_byte(leaf_adds, JMP32_INSN_OPCODE));
		works = works && gets_on(&s);
		/* Every other time the probe is there when the call ends */
		if (!(i & 2)) {
			unregister_kprobe(&probe);
			there = false;
			works = works && gets_on(&s);
		}
		if (end_spinner(&s) && spoilt_by_emulator(&s.sbm) &&
		    ++restarts <= max_restarts) {
			i--;
		} else {
			KUNIT_EXPECT_TRUE(test, works);
			KUNIT_EXPECT_EQ(test, s.worker.result, 0);
			KUNIT_EXPECT_EQ(test, atomic_read(&hits), 0);
		}
		sbm_destroy(&s.sbm);
		if (there)
			unregister_kprobe(&probe);
		KUNIT_EXPECT_TRUE(test, wait_for_byte(leaf_adds, first));
		atomic_set(&hits, 0);
	}
	if (restarts)
		kunit_info(test, "the emulator spoilt %d rounds\n", restarts);
}

/*
 * Call @sbm thirty times. False if the emulator has spoilt it: the target met a
 * breakpoint where the kernel's text, which it runs when there is no probe, has none.
 */
static bool expect_all_run(struct kunit *test, struct sbm *sbm, const char *what)
{
	union input in;
	int i, ret;

	init_input(&in, calls_spanning_leaf);
	for (i = 0; i < 30; i++) {
		ret = sbm_exec(sbm, calls_spanning_leaf, SBM_COPY_IN(sbm, &in, sizeof(in)));
		if (ret == 1041)
			continue;
		if (spoilt_by_emulator(sbm) && is_original(span_adds))
			return false;
		tell_fault(test, sbm, what);
		KUNIT_FAIL(test, "%s: call %d has returned %d", what, i, ret);
		break;
	}

	return true;
}

/* A target that begins while the optimizer is at work meets all stages of it */
static void kprobe_is_optimized_during_calls(struct kunit *test)
{
	const int rounds = 3, max_restarts = 10;
	int i, restarts = 0;
	struct sbm sbm;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	atomic_set(&hits, 0);
	for (i = 0; i < rounds; i++) {
		struct kprobe probe = { .addr = at_span(), .pre_handler = pre_hit, };
		bool fine;

		init_at_least(test, &sbm, SBM_ISOLATION_STRONG);
		KUNIT_EXPECT_EQ(test, register_kprobe(&probe), 0);
		fine = expect_all_run(test, &sbm, "optimizing");
		unregister_kprobe(&probe);
		fine = fine && expect_all_run(test, &sbm, "unoptimizing");
		if (!fine && ++restarts <= max_restarts)
			i--;
		else
			KUNIT_EXPECT_TRUE(test, fine);
		sbm_destroy(&sbm);
	}
	KUNIT_EXPECT_EQ(test, atomic_read(&hits), 0);
	if (restarts)
		kunit_info(test, "the emulator spoilt %d rounds\n", restarts);
}

/*
 * A key flips, in text of which the target has a copy: it does not see that before the
 * next call, and is not stopped.
 */
static void static_key_flips_beside_a_kprobe(struct kunit *test)
{
	struct kprobe probes[] = {
		{ .addr = at_adds(), .pre_handler = pre_hit, .post_handler = post_nothing },
		{ .pre_handler = pre_hit, .post_handler = post_nothing },
	};
	struct spinner s;
	int i;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	if (other_cpu() < 0)
		kunit_skip(test, "needs two CPUs");
	if (!IS_ENABLED(CONFIG_JUMP_LABEL))
		kunit_skip(test, "static keys are variables in this configuration");

	/* The target's own page and that of the leaf, wherever the key's branch is */
	probes[1].addr = (kprobe_opcode_t *)spin_on_leaf;
	for (i = 0; i < ARRAY_SIZE(probes); i++)
		KUNIT_EXPECT_EQ(test, register_kprobe(&probes[i]), 0);
	start_spinner(test, &s);
	for (i = 0; i < 30; i++) {
		static_branch_enable(&probed_key);
		static_branch_disable(&probed_key);
	}
	KUNIT_EXPECT_TRUE(test, gets_on(&s));
	static_branch_enable(&probed_key);
	KUNIT_EXPECT_TRUE(test, gets_on(&s));
	finish_spinner(test, &s);
	KUNIT_EXPECT_GT(test, s.spin->off, 0);

	start_spinner(test, &s);
	KUNIT_EXPECT_TRUE(test, gets_on(&s));
	finish_spinner(test, &s);
	KUNIT_EXPECT_GT(test, s.spin->on, 0);
	KUNIT_EXPECT_EQ(test, s.spin->off, 0);

	static_branch_disable(&probed_key);
	for (i = 0; i < ARRAY_SIZE(probes); i++)
		unregister_kprobe(&probes[i]);
}

#define DUMP_SIZE	(64 * 1024)

/* Seen from outside: what is there in place of the kernel's text, and for how long */
static void copies_are_dumped(struct kunit *test)
{
	struct kprobe probe = {
		.addr		= at_adds(),
		.pre_handler	= pre_hit,
		.post_handler	= post_nothing,
	};
	char *buf = kvmalloc(DUMP_SIZE, GFP_KERNEL);
	struct spinner s;
	char line[96];
	ssize_t len;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	if (other_cpu() < 0 || !IS_ENABLED(CONFIG_DEBUG_FS)) {
		kvfree(buf);
		kunit_skip(test, "needs two CPUs and debugfs");
	}
	KUNIT_ASSERT_NOT_NULL(test, buf);
	KUNIT_EXPECT_EQ(test, register_kprobe(&probe), 0);
	start_spinner(test, &s);
	KUNIT_EXPECT_TRUE(test, gets_on(&s));

	len = x86_sbm_test_dump(&s.sbm, buf, DUMP_SIZE);
	KUNIT_EXPECT_GT(test, len, 0);
	snprintf(line, sizeof(line), "%016lx-%016lx        4K 4K  U r - x -  text without probes",
		 (unsigned long)probe.addr & PAGE_MASK,
		 ((unsigned long)probe.addr & PAGE_MASK) + PAGE_SIZE);
	if (len > 0) {
		KUNIT_EXPECT_NOT_NULL_MSG(test, strstr(buf, line), "%s", line);
		KUNIT_EXPECT_NULL(test, strstr(buf, "unexpected"));
		KUNIT_EXPECT_NULL(test, strstr(buf, "w x"));
		KUNIT_EXPECT_NULL(test, strstr(buf, "skipped: 0\n"));
	}

	stop_spinner(test, &s);
	len = x86_sbm_test_dump(&s.sbm, buf, DUMP_SIZE);
	KUNIT_EXPECT_GT(test, len, 0);
	if (len > 0) {
		KUNIT_EXPECT_NULL(test, strstr(buf, "without probes"));
		KUNIT_EXPECT_NULL(test, strstr(buf, "unexpected"));
	}
	sbm_destroy(&s.sbm);
	unregister_kprobe(&probe);
	kvfree(buf);
}

#else /* CONFIG_KPROBES */

static void no_kprobes(struct kunit *test)
{
	kunit_skip(test, "no kprobes");
}

#endif /* CONFIG_KPROBES */

/* === Where a target goes that means to be taken for a traced one === */

/**
 * struct jump - where a target goes
 * @ip: Address.
 * @sp: Stack pointer.
 */
struct jump {
	unsigned long	ip;
	unsigned long	sp;
};

/*
 * Words that a stack made by a test has below its top: a RET may call, to fill what the
 * processor remembers of calls (retbleed=stuff).
 */
#define STACK_ROOM	32

static noinline __naked __no_sanitize_coverage int jump_there(void *jump)
{
	asm volatile("mov (%rdi), %rax\n\t"
		     "mov 8(%rdi), %rsp\n\t"
		     ANNOTATE_RETPOLINE_SAFE "\n\t"
		     "jmp *%rax\n\t"
		     "int3");
}

STACK_FRAME_NON_STANDARD(jump_there);

/* Ends the call, on whatever stack */
static noinline __naked __no_sanitize_coverage int end_call(void *unused)
{
	asm volatile("mov $1041, %eax\n\t"
		     "int $" __stringify(RETURN_VECTOR) "\n\t"
		     ASM_RET);
}

STACK_FRAME_NON_STANDARD(end_call);

/* The call must end with a failed fetch at @jump->ip, with @jump->sp */
static void expect_fetch_stop(struct kunit *test, struct sbm *sbm, struct jump *jump,
			      const char *what)
{
	u64 skipped = x86_sbm_test_skipped(sbm);
	const struct sbm_fault *fault;

	KUNIT_EXPECT_EQ_MSG(test, -EFAULT,
			    sbm_exec(sbm, jump_there,
				     SBM_COPY_IN(sbm, jump, sizeof(*jump))), "%s", what);
	fault = sbm_fault(sbm);
	KUNIT_EXPECT_NOT_NULL_MSG(test, fault, "%s", what);
	if (fault) {
		KUNIT_EXPECT_EQ_MSG(test, fault->cause, SBM_CAUSE_PAGE_FAULT, "%s: %s",
				    what, sbm_cause_name(fault->cause));
		KUNIT_EXPECT_EQ_MSG(test, fault->access, SBM_ACCESS_EXEC, "%s", what);
		KUNIT_EXPECT_EQ_MSG(test, fault->address, jump->ip, "%s", what);
		KUNIT_EXPECT_EQ_MSG(test, fault->ip, jump->ip, "%s", what);
		KUNIT_EXPECT_EQ_MSG(test, fault->sp, jump->sp, "%s", what);
	}
	KUNIT_EXPECT_EQ_MSG(test, x86_sbm_test_skipped(sbm), skipped, "%s", what);
}

/* Where a tracer's call in traced_leaf() returns to, 0 if it has no place for one */
static unsigned long traced_return(void)
{
	unsigned long site = ftrace_location((unsigned long)traced_leaf);

	return site ? site + CALL_INSN_SIZE : 0;
}

/*
 * No stack but one that the target can have pushed to is looked at, and only the
 * address behind a tracer's call counts. Each is tried at text that traced functions
 * call and where trampolines are.
 */
static void forged_tracer_is_a_stop(struct kunit *test)
{
	static unsigned long of_the_kernel[2];
	const unsigned long ips[] = {
		(unsigned long)__sbm_tracer_start,
		(unsigned long)__sbm_tracer_end - 1,
		MODULES_END - PAGE_SIZE,
	};
	unsigned long ret = traced_return();
	struct x86_sbm_layout l;
	unsigned int i, j;
	struct sbm sbm;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	init_at_least(test, &sbm, SBM_ISOLATION_STRONG);
	KUNIT_EXPECT_TRUE(test, x86_sbm_test_layout(&sbm, &l));
	sbm_destroy(&sbm);

	of_the_kernel[0] = ret;
	of_the_kernel[1] = ret;
	for (i = 0; i < ARRAY_SIZE(ips); i++) {
		const struct {
			const char	*name;
			unsigned long	sp;
		} stacks[] = {
			{ "no tracer's return address", l.stack_high - 64 },
			{ "behind the stack", l.stack_high },
			{ "before the stack", l.stack_low - 8 },
			{ "in the window, not mapped", l.window_end - 8 },
			{ "behind the window", l.window_end },
			{ "of the kernel", (unsigned long)of_the_kernel },
			{ "of the kernel, constant", (unsigned long)ips },
			{ "text", (unsigned long)end_call & ~7UL },
			{ "NULL", 0 },
			{ "last address", -8UL },
			{ "not canonical", 1UL << 62 },
		};

		if (ips[i] >= (unsigned long)__sbm_tracer_end && ips[i] < MODULES_VADDR)
			continue;
		for (j = 0; j < ARRAY_SIZE(stacks); j++) {
			struct jump jump = { .ip = ips[i], .sp = stacks[j].sp, };

			init_at_least(test, &sbm, SBM_ISOLATION_STRONG);
			expect_fetch_stop(test, &sbm, &jump, stacks[j].name);
			sbm_destroy(&sbm);
		}
	}
}

/* The same with a buffer as the stack, which has what is looked for */
static void forged_tracer_is_a_return(struct kunit *test)
{
	unsigned long words[STACK_ROOM + 8] = {
		[STACK_ROOM] = traced_return(), (unsigned long)end_call
	};
	struct jump jump = { .ip = (unsigned long)__sbm_tracer_start, };
	struct sbm sbm;
	void *stack;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	if (!words[STACK_ROOM])
		kunit_skip(test, "no function tracer");

	/* No more than a RET: on to traced_leaf(), and from there to end_call() */
	init_at_least(test, &sbm, SBM_ISOLATION_STRONG);
	stack = SBM_COPY_INOUT(&sbm, words, sizeof(words));
	KUNIT_EXPECT_NOT_NULL(test, stack);
	jump.sp = (unsigned long)stack + STACK_ROOM * sizeof(words[0]);
	KUNIT_EXPECT_EQ(test, 1041,
			sbm_exec(&sbm, jump_there,
				 SBM_COPY_IN(&sbm, &jump, sizeof(jump))));
	KUNIT_EXPECT_GE(test, x86_sbm_test_skipped(&sbm), 1);
	/* Nothing is written there, but by calls of the RET after it */
	if (!cpu_feature_enabled(X86_FEATURE_CALL_DEPTH))
		KUNIT_EXPECT_EQ(test, words[STACK_ROOM], traced_return());
	KUNIT_EXPECT_EQ(test, words[STACK_ROOM + 1], (unsigned long)end_call);

	/* Not aligned, as no call leaves it */
	jump.sp += 4;
	memcpy((void *)&words[STACK_ROOM] + 4, &(unsigned long){ traced_return() },
	       sizeof(words[0]));
	stack = SBM_COPY_INOUT(&sbm, words, sizeof(words));
	jump.sp = (unsigned long)stack + STACK_ROOM * sizeof(words[0]) + 4;
	expect_fetch_stop(test, &sbm, &jump, "not aligned");
	sbm_destroy(&sbm);

	/* The target cannot have pushed it */
	words[STACK_ROOM] = traced_return();
	init_at_least(test, &sbm, SBM_ISOLATION_STRONG);
	stack = SBM_COPY_IN(&sbm, words, sizeof(words));
	KUNIT_EXPECT_NOT_NULL(test, stack);
	jump.sp = (unsigned long)stack + STACK_ROOM * sizeof(words[0]);
	expect_fetch_stop(test, &sbm, &jump, "read only");
	sbm_destroy(&sbm);

	/* Elsewhere such an address means nothing */
	init_at_least(test, &sbm, SBM_ISOLATION_STRONG);
	stack = SBM_COPY_INOUT(&sbm, words, sizeof(words));
	KUNIT_EXPECT_NOT_NULL(test, stack);
	jump.ip = 0;
	jump.sp = (unsigned long)stack + STACK_ROOM * sizeof(words[0]);
	expect_fetch_stop(test, &sbm, &jump, "jump to NULL");
	sbm_destroy(&sbm);
}

#ifdef CONFIG_OPTPROBES

/*
 * To a probe's detour. The first time this is as good as coming from the probe. Then the
 * target has a copy, from which no jump leads there.
 */
static void forged_detour_leads_to_the_probe(struct kunit *test)
{
	struct kprobe probe = { .addr = at_adds(), .pre_handler = pre_hit, };
	unsigned long words[STACK_ROOM + 1] = { [STACK_ROOM] = (unsigned long)end_call };
	struct jump jump = {};
	struct optimized_kprobe *op;
	struct sbm sbm;
	void *stack;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	atomic_set(&hits, 0);
	KUNIT_ASSERT_EQ(test, register_kprobe(&probe), 0);
	KUNIT_EXPECT_TRUE(test, wait_for_byte(probe.addr, JMP32_INSN_OPCODE));
	preempt_disable();
	op = container_of(get_kprobe(probe.addr), struct optimized_kprobe, kp);
	jump.ip = (unsigned long)op->optinsn.insn;
	preempt_enable();

	init_at_least(test, &sbm, SBM_ISOLATION_STRONG);
	stack = SBM_COPY_INOUT(&sbm, words, sizeof(words));
	KUNIT_EXPECT_NOT_NULL(test, stack);
	jump.sp = (unsigned long)stack + STACK_ROOM * sizeof(words[0]);
	KUNIT_EXPECT_EQ(test, 1041,
			sbm_exec(&sbm, jump_there,
				 SBM_COPY_IN(&sbm, &jump, sizeof(jump))));
	KUNIT_EXPECT_GE(test, x86_sbm_test_skipped(&sbm), 1);

	/* Back to the start of it all: the second time, with the same stack */
	words[STACK_ROOM] = (unsigned long)jump_there;
	stack = SBM_COPY_INOUT(&sbm, words, sizeof(words));
	jump.sp = (unsigned long)stack + STACK_ROOM * sizeof(words[0]);
	KUNIT_EXPECT_EQ(test, -EFAULT,
			sbm_exec(&sbm, jump_there,
				 SBM_COPY_IN(&sbm, &jump, sizeof(jump))));
	KUNIT_EXPECT_NOT_NULL(test, sbm_fault(&sbm));
	if (sbm_fault(&sbm)) {
		KUNIT_EXPECT_EQ(test, sbm_fault(&sbm)->cause, SBM_CAUSE_PAGE_FAULT);
		KUNIT_EXPECT_EQ(test, sbm_fault(&sbm)->ip, jump.ip);
		KUNIT_EXPECT_EQ(test, sbm_fault(&sbm)->address, jump.ip);
	}
	sbm_destroy(&sbm);

	/* In the middle of a detour there is nothing to come back from */
	jump.ip++;
	jump.sp = 0;
	init_at_least(test, &sbm, SBM_ISOLATION_STRONG);
	expect_fetch_stop(test, &sbm, &jump, "in a detour");
	sbm_destroy(&sbm);

	KUNIT_EXPECT_EQ(test, atomic_read(&hits), 0);
	unregister_kprobe(&probe);
}

#else /* CONFIG_OPTPROBES */

static void forged_detour_leads_to_the_probe(struct kunit *test)
{
	kunit_skip(test, "no optimized kprobes");
}

#endif /* CONFIG_OPTPROBES */

#ifdef CONFIG_FUNCTION_TRACER

static noinline __noclone int calls_traced_leaf(void *data)
{
	return traced_leaf(data) + 1;
}

/* === Tracers === */

static unsigned long traced_ip;

static notrace void trace_hit(unsigned long ip, unsigned long parent_ip,
			      struct ftrace_ops *op, struct ftrace_regs *fregs)
{
	if (ip == READ_ONCE(traced_ip))
		count_hit();
}

NOKPROBE_SYMBOL(trace_hit);

static void check_traced(struct kunit *test, int nr, bool all, unsigned long flags)
{
	struct ftrace_ops ops[2] = {
		{ .func = trace_hit, .flags = flags },
		{ .func = trace_hit, .flags = flags },
	};
	union input in;
	struct sbm sbm;
	int i;

	for (i = 0; i < nr; i++) {
		if (!all)
			KUNIT_EXPECT_EQ(test, 0,
					ftrace_set_filter_ip(&ops[i], traced_ip, 0, 0));
		KUNIT_EXPECT_EQ(test, register_ftrace_function(&ops[i]), 0);
	}
	init_at_least(test, &sbm, SBM_ISOLATION_STRONG);
	atomic_set(&hits, 0);
	for (i = 0; i < 3; i++)
		KUNIT_EXPECT_GT(test, expect_runs(test, &sbm, calls_traced_leaf, "traced"),
				0);
	KUNIT_EXPECT_EQ(test, atomic_read(&hits), 0);
	init_input(&in, calls_traced_leaf);
	KUNIT_EXPECT_EQ(test, call_outside(calls_traced_leaf, &in), 1041);
	KUNIT_EXPECT_EQ(test, atomic_read(&hits), nr);
	sbm_destroy(&sbm);
	for (i = 0; i < nr; i++) {
		KUNIT_EXPECT_EQ(test, unregister_ftrace_function(&ops[i]), 0);
		ftrace_free_filter(&ops[i]);
	}
}

static noinline __noclone int trap_behind_tracer(void *data)
{
	int value = traced_leaf(data);

	asm volatile("hlt");

	return value;
}

/* The fetch of a tracer is a page fault, but not the one that ends the call */
static void stop_says_nothing_of_a_tracer(struct kunit *test)
{
	struct ftrace_ops ops = { .func = trace_hit, };
	const struct sbm_fault *fault;
	struct sbm sbm;
	int value = 40;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	traced_ip = ftrace_location((unsigned long)traced_leaf);
	KUNIT_ASSERT_EQ(test, ftrace_set_filter_ip(&ops, traced_ip, 0, 0), 0);
	KUNIT_EXPECT_EQ(test, register_ftrace_function(&ops), 0);
	init_at_least(test, &sbm, SBM_ISOLATION_STRONG);
	KUNIT_EXPECT_EQ(test, -EFAULT,
			sbm_exec(&sbm, trap_behind_tracer,
				 SBM_COPY_IN(&sbm, &value, sizeof(value))));
	KUNIT_EXPECT_GT(test, x86_sbm_test_skipped(&sbm), 0);
	fault = sbm_fault(&sbm);
	KUNIT_EXPECT_NOT_NULL(test, fault);
	if (fault) {
		KUNIT_EXPECT_EQ(test, fault->cause, SBM_CAUSE_PROTECTION);
		KUNIT_EXPECT_EQ(test, fault->vector, X86_TRAP_GP);
		KUNIT_EXPECT_EQ(test, fault->access, SBM_ACCESS_NONE);
		KUNIT_EXPECT_EQ(test, fault->address, 0);
	}
	sbm_destroy(&sbm);
	KUNIT_EXPECT_EQ(test, unregister_ftrace_function(&ops), 0);
	ftrace_free_filter(&ops);
}

/* By a trampoline of its own, or (two tracers) by what all have in common */
static void tracer_is_skipped(struct kunit *test)
{
	int nr;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	traced_ip = ftrace_location((unsigned long)traced_leaf);
	KUNIT_ASSERT_NE(test, traced_ip, 0);
	for (nr = 1; nr <= 2; nr++) {
		check_traced(test, nr, false, 0);
		if (IS_ENABLED(CONFIG_DYNAMIC_FTRACE_WITH_REGS))
			check_traced(test, nr, false, FTRACE_OPS_FL_SAVE_REGS);
	}
	/* All functions of the kernel: this takes an emulator some time */
	check_traced(test, 1, true, 0);
}

/* Turned on and off while a target runs */
static void tracer_comes_and_goes_during_a_call(struct kunit *test)
{
#ifdef CONFIG_KPROBES
	struct ftrace_ops ops = { .func = trace_hit, };
	struct spinner s;
	int i;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	if (other_cpu() < 0)
		kunit_skip(test, "needs two CPUs");
	traced_ip = ftrace_location((unsigned long)traced_leaf);
	KUNIT_ASSERT_EQ(test, ftrace_set_filter_ip(&ops, traced_ip, 0, 0), 0);
	start_spinner(test, &s);
	for (i = 0; i < 5; i++) {
		KUNIT_EXPECT_EQ(test, register_ftrace_function(&ops), 0);
		KUNIT_EXPECT_TRUE(test, gets_on(&s));
		KUNIT_EXPECT_EQ(test, unregister_ftrace_function(&ops), 0);
		KUNIT_EXPECT_TRUE(test, gets_on(&s));
	}
	KUNIT_EXPECT_GT(test, x86_sbm_test_skipped(&s.sbm), 0);
	finish_spinner(test, &s);
	ftrace_free_filter(&ops);
#else
	kunit_skip(test, "no kprobes");
#endif
}

#else /* CONFIG_FUNCTION_TRACER */

static void tracer_is_skipped(struct kunit *test)
{
	kunit_skip(test, "no function tracer");
}

static void stop_says_nothing_of_a_tracer(struct kunit *test)
{
	kunit_skip(test, "no function tracer");
}

static void tracer_comes_and_goes_during_a_call(struct kunit *test)
{
	kunit_skip(test, "no function tracer");
}

#endif /* CONFIG_FUNCTION_TRACER */

static int probe_init(struct kunit *test)
{
	unsigned long timeout = jiffies + SBM_TEST_PATIENCE;

	WRITE_ONCE(counted_task, current);
	if (!leaf_adds) {
		leaf_adds = find_adds(probe_leaf);
		span_adds = find_adds(spanning_leaf);
	}

	/* A probe that was optimized is taken away a bit later */
	while (!is_original(leaf_adds) || !is_original(span_adds)) {
		if (time_after(jiffies, timeout))
			return -ETIMEDOUT;
		msleep(20);
	}

	return 0;
}

static struct kunit_case sbm_probe_cases[] = {
#ifdef CONFIG_KPROBES
	KUNIT_CASE(kprobe_is_skipped),
	KUNIT_CASE(kretprobe_is_skipped),
	KUNIT_CASE(noinstr_takes_no_kprobe),
	KUNIT_CASE(kprobes_on_a_page_are_skipped),
	KUNIT_CASE(other_breakpoint_is_a_stop),
	KUNIT_CASE(number_of_copies_is_limited),
	KUNIT_CASE(copies_count_as_memory),
	KUNIT_CASE(kprobe_comes_and_goes_during_a_call),
	KUNIT_CASE(kprobe_is_optimized_during_calls),
	KUNIT_CASE(static_key_flips_beside_a_kprobe),
	KUNIT_CASE(copies_are_dumped),
#else
	KUNIT_CASE(no_kprobes),
#endif
	KUNIT_CASE(forged_tracer_is_a_stop),
	KUNIT_CASE(forged_tracer_is_a_return),
	KUNIT_CASE(forged_detour_leads_to_the_probe),
	KUNIT_CASE(tracer_is_skipped),
	KUNIT_CASE(stop_says_nothing_of_a_tracer),
	KUNIT_CASE(tracer_comes_and_goes_during_a_call),
	{}
};

static struct kunit_suite sbm_probe_suite = {
	.name		= "sbm_probe",
	.init		= probe_init,
	.test_cases	= sbm_probe_cases,
};

kunit_test_suite(sbm_probe_suite);
