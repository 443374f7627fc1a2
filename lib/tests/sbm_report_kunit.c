// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit suite sbm_report: what is said of a target that was stopped.
 *
 * Reports of this task are taken here instead of the log, and read as text: what is
 * tested is what a person will find. Functions that stand in a backtrace are not
 * inlined, not cloned, and do something after each call.
 */
#include <kunit/test.h>
#include <linux/align.h>
#include <linux/array_size.h>
#include <linux/err.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/jiffies.h>
#include <linux/kasan.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/mount.h>
#include <linux/prandom.h>
#include <linux/printk.h>
#include <linux/sbm.h>
#include <linux/sched.h>
#include <linux/string.h>
#include <linux/tracepoint.h>

#include <asm/pgtable_types.h>
#include <asm/ptrace.h>
#include <asm/sbm.h>
#include <asm/sections.h>

#include <trace/events/sbm.h>

#include "../../kernel/sbm/sbm.h"
#include "sbm_kunit.h"
#include "sbm_kunit_capture.h"

/* %SBM_DEFAULT_STACK_SIZE, as a report has it */
#ifdef CONFIG_KASAN
#define STACK_BYTES	"32768"
#else
#define STACK_BYTES	"16384"
#endif

/* Lines of a report that has everything, with room to spare */
#define MAX_LINES	160

static int report_init(struct kunit *test)
{
	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	capture_begin(test);

	return 0;
}

static void report_exit(struct kunit *test)
{
	capture_end(test);
}

/* Is @text in the report, at @from or later? Returns what is behind it, or NULL. */
static const char *find_from(struct kunit *test, const char *from, const char *text)
{
	const struct capture *c = test->priv;
	const char *at = from ? strstr(from, text) : NULL;

	if (!at)
		KUNIT_FAIL(test, "no '%s' in its place in:\n%s", text, c->text);

	return at ? at + strlen(text) : NULL;
}

static const char *find(struct kunit *test, const char *text)
{
	const struct capture *c = test->priv;

	return find_from(test, c->text, text);
}

static void expect_none(struct kunit *test, const char *text)
{
	const struct capture *c = test->priv;

	KUNIT_EXPECT_NULL_MSG(test, strstr(c->text, text), "'%s' in:\n%s", text, c->text);
}

/* What tools take for a bug of the kernel */
static void expect_calm(struct kunit *test)
{
	static const char * const words[] = {
		"BUG", "WARNING", "Oops", "Call Trace", "general protection",
		"Code:", "RIP:", "Kernel panic", "cut here", "Unable to handle",
	};
	const struct capture *c = test->priv;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(words); i++)
		expect_none(test, words[i]);
	KUNIT_EXPECT_GT(test, c->lines, 0);
	KUNIT_EXPECT_LE(test, c->lines, MAX_LINES);
}

/* One report, from its first line to its last */
static void expect_whole(struct kunit *test)
{
	const char *at;

	at = find(test, " stopped by ");
	at = find_from(test, at, "\n  called from ");
	at = find_from(test, at, "\n  backtrace in the sandbox:\n");
	at = find_from(test, at, "\n  map of the sandbox:\n");
	at = find_from(test, at, " stack, ");
	at = find_from(test, at, "\n  end of report\n");
	if (at)
		KUNIT_EXPECT_EQ(test, *at, '\0');
	expect_calm(test);
}

/* The report of what @inst holds now */
static void write_again(struct kunit *test, const struct sbm_instance *inst)
{
	struct capture *c = test->priv;

	capture_clear(test);
	sbm_report_write(&c->out, inst);
	expect_whole(test);
}

/* Call @func in @sbm, where it is stopped by @cause */
static void stop(struct kunit *test, struct sbm *sbm, sbm_func func, const void *data,
		 enum sbm_cause cause)
{
	const struct sbm_fault *fault;

	capture_clear(test);
	KUNIT_ASSERT_EQ(test, sbm_exec(sbm, func, (void *)data), -EFAULT);
	fault = sbm_fault(sbm);
	KUNIT_ASSERT_NOT_NULL(test, fault);
	KUNIT_ASSERT_EQ(test, fault->cause, cause);
	KUNIT_EXPECT_TRUE(test, fault->has_regs);
	KUNIT_EXPECT_EQ(test, fault->regs.ip, fault->ip);
	KUNIT_EXPECT_EQ(test, fault->regs.sp, fault->sp);
	expect_whole(test);
}

/* === Targets === */

/**
 * struct args - what a target gets
 * @addr:  Address for it to read or to call.
 * @depth: How often it calls itself before that.
 */
struct args {
	unsigned long	addr;
	unsigned long	depth;
};

static noinline __noclone int report_leaf(const struct args *args)
{
	return READ_ONCE(*(u8 *)args->addr) + 1;
}

static noinline __noclone int report_middle(const struct args *args)
{
	return report_leaf(args) + 2;
}

static noinline __noclone int report_outer(void *data)
{
	return report_middle(data) + 3;
}

/* A frame that RBP leads to, because its size is not known */
static noinline __noclone int report_alloca(const struct args *args)
{
	u8 *room = __builtin_alloca(args->depth + 1);
	int ret;

	OPTIMIZER_HIDE_VAR(room);
	room[args->depth] = 1;
	ret = report_leaf(args);

	return ret + room[args->depth];
}

/* A frame that is aligned more than the stack is */
static noinline __noclone int report_aligned(const struct args *args)
{
	u8 room[128] __aligned(64);
	u8 *hidden = room;
	int ret;

	OPTIMIZER_HIDE_VAR(hidden);
	hidden[3] = 1;
	ret = report_alloca(args);

	return ret + hidden[3];
}

static noinline __noclone int report_frames(void *data)
{
	return report_aligned(data) + 4;
}

static noinline __noclone int report_dive(const struct args *args, unsigned long depth)
{
	u8 room[96];
	u8 *hidden = room;

	OPTIMIZER_HIDE_VAR(hidden);
	hidden[0] = depth;
	if (depth >= args->depth)
		return report_leaf(args) + hidden[0];

	return report_dive(args, depth + 1) + hidden[0];
}

static noinline __noclone int report_recurse(void *data)
{
	return report_dive(data, 0) + 5;
}

static noinline __noclone int report_call(void *data)
{
	const struct args *args = data;
	int (*func)(void) = (void *)args->addr;

	OPTIMIZER_HIDE_VAR(func);

	return func() + 6;
}

static noinline __noclone int report_registers(void *data)
{
	asm volatile("movabs $0x1111111111111111, %%rbx\n\t"
		     "movabs $0x2222222222222222, %%r12\n\t"
		     "movabs $0x3333333333333333, %%r13\n\t"
		     "movabs $0x4444444444444444, %%r14\n\t"
		     "movabs $0x5555555555555555, %%r15\n\t"
		     "movabs $0x6666666666666666, %%r8\n\t"
		     "movabs $0x7777777777777777, %%r9\n\t"
		     "movabs $0x0888888888888888, %%r10\n\t"
		     "movabs $0x0999999999999999, %%r11\n\t"
		     "movabs $0x0aaaaaaaaaaaaaaa, %%rax\n\t"
		     "movabs $0x0bbbbbbbbbbbbbbb, %%rcx\n\t"
		     "movabs $0x0ccccccccccccccc, %%rdx\n\t"
		     "movabs $0x0ddddddddddddddd, %%rsi\n\t"
		     "movabs $0x0eeeeeeeeeeeeeee, %%rdi\n\t"
		     "cli"
		     : : : "rbx", "r12", "r13", "r14", "r15", "r8", "r9", "r10",
		       "r11", "rax", "rcx", "rdx", "rsi", "rdi", "memory");

	return 0;
}

/* Reads behind a table, if @args->depth has it do so */
static noinline __noclone int report_index(const struct args *args)
{
	static const u8 table[16] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 };

	return table[args->depth] + 2;
}

static noinline __noclone int report_calls_index(void *data)
{
	return report_index(data) + 3;
}

/* Far from any stand-in, on the other side of what is canonical */
static noinline __noclone int report_per_cpu(void *data)
{
	unsigned long val;

	asm volatile("movq %%gs:(%1), %0" : "=r" (val) : "r" (1UL << 62));

	return val;
}

static noinline __noclone int report_per_cpu_prefixes(void *data)
{
	unsigned long addr = 1UL << 62;

	/* Another prefix is before it */
	asm volatile("lock; .byte 0x65; incq (%0)" : : "r" (addr) : "memory");

	return 0;
}

static noinline __noclone int report_not_canonical(void *data)
{
	unsigned long val;

	/* The byte of the prefix is part of the instruction, where it is none */
	asm volatile("movq 0x65656565(%1), %0" : "=r" (val) : "r" (1UL << 62));

	return val;
}

static noinline __noclone int report_return(void *data)
{
	return (int)(long)data;
}

/* Fill all of the stack from @args[0] to @args[1] with @args[2], and read @args[3] */
static noinline __noclone int report_spoil(void *data)
{
	const unsigned long *args = data;
	unsigned long *from = (unsigned long *)args[0];
	unsigned long *to = (unsigned long *)args[1];
	unsigned long value = args[2];
	u8 *addr = (u8 *)args[3];

	while (from < to)
		WRITE_ONCE(*from++, value);

	return READ_ONCE(*addr);
}

static noinline __noclone SBM_DEFINE_FUNC(report_sum, const u8 *, data, size_t, len)
{
	int sum = 0;

	while (len--)
		sum += READ_ONCE(*data++);

	return sum;
}

/* === Backtraces === */

/* The functions are there, in this order, and nothing that is not sure */
static const char *expect_frames(struct kunit *test, const char * const *names)
{
	const char *at = find(test, "\n  backtrace in the sandbox:");
	char line[64];

	for (; *names; names++) {
		snprintf(line, sizeof(line), "\n    %s+0x", *names);
		at = find_from(test, at, line);
	}
	at = find_from(test, at, "\n    [sandbox entry]\n");
	expect_none(test, "    ? ");

	return at;
}

static void report_nested_frames(struct kunit *test)
{
	static const char * const names[] = {
		"report_leaf", "report_middle", "report_outer", NULL,
	};
	struct capture *c = test->priv;
	u8 *in = kunit_kzalloc(test, PAGE_SIZE, GFP_KERNEL);
	struct args args = {};
	const char *at, *end;
	struct sbm sbm;

	KUNIT_ASSERT_NOT_NULL(test, in);
	init_at_least(test, &sbm, SBM_ISOLATION_STRONG);
	args.addr = (unsigned long)SBM_COPY_IN(&sbm, in, PAGE_SIZE) + PAGE_SIZE + 17;
	stop(test, &sbm, report_outer, SBM_COPY_IN(&sbm, &args, sizeof(args)),
	     SBM_CAUSE_PAGE_FAULT);

	KUNIT_EXPECT_EQ(test, strncmp(c->text, "report_outer stopped by page fault, ",
				      strlen("report_outer stopped by page fault, ")), 0);
	find(test, "\n  at report_leaf+0x");
	find(test, "\n  which is 17 bytes past the end of buffer 'in' (COPY_IN, 4096 bytes), in the guard page behind it\n");
	find(test, " buffer 1 'in', COPY_IN, 4096 bytes\n");
	find(test, " buffer 2 '&args', COPY_IN, 16 bytes\n");

	/* These and no others */
	at = find(test, "\n  backtrace in the sandbox:\n");
	end = expect_frames(test, names);
	if (at && end) {
		unsigned int lines = 0;

		for (; at < end; at++)
			lines += *at == '\n';
		KUNIT_EXPECT_EQ(test, lines, 4);
	}
	sbm_destroy(&sbm);
}

static void report_kinds_of_frames(struct kunit *test)
{
	static const char * const names[] = {
		"report_leaf", "report_alloca", "report_aligned", "report_frames", NULL,
	};
	struct args args = { .depth = 40, };
	struct sbm sbm;

	init_at_least(test, &sbm, SBM_ISOLATION_STRONG);
	stop(test, &sbm, report_frames, SBM_COPY_IN(&sbm, &args, sizeof(args)),
	     SBM_CAUSE_PAGE_FAULT);
	expect_frames(test, names);
	find(test, "\n  which is out of reach: the first page of user space, as of a NULL pointer\n");
	sbm_destroy(&sbm);
}

/*
 * A check of the compiler's finds a bug, and calls for a report of its own, which ends the
 * call. The backtrace leads to the bug. For KASAN, which does not see this file, see
 * sbm_x86.
 */
static void report_finding_of_ubsan(struct kunit *test)
{
	struct args args = { .depth = 15 };
	struct sbm sbm;
	const char *at;

	if (!IS_ENABLED(CONFIG_UBSAN_BOUNDS) || IS_ENABLED(CONFIG_UBSAN_TRAP))
		kunit_skip(test, "no UBSAN of array bounds, or without functions of its own");
	init_at_least(test, &sbm, SBM_ISOLATION_STRONG);
	KUNIT_EXPECT_EQ(test, sbm_exec(&sbm, report_calls_index,
				       SBM_COPY_IN(&sbm, &args, sizeof(args))), 16 + 2 + 3);
	sbm_destroy(&sbm);

	args.depth = 16;
	init_at_least(test, &sbm, SBM_ISOLATION_STRONG);
	capture_clear(test);
	KUNIT_EXPECT_EQ(test, sbm_exec(&sbm, report_calls_index,
				       SBM_COPY_IN(&sbm, &args, sizeof(args))), -EFAULT);
	expect_whole(test);
	at = find(test, "\n  backtrace in the sandbox:");
	at = find_from(test, at, "ubsan");
	at = find_from(test, at, "\n    report_index+0x");
	at = find_from(test, at, "\n    report_calls_index+0x");
	find_from(test, at, "\n    [sandbox entry]\n");
	sbm_destroy(&sbm);
}

/* The frames in the middle are left out, and counted */
static void report_deep_stack(struct kunit *test)
{
	static const char * const names[] = {
		"report_leaf", "report_dive", "report_dive", "report_recurse", NULL,
	};
	struct args args = { .depth = 60, };
	char more[32];
	struct sbm sbm;

	init_at_least(test, &sbm, SBM_ISOLATION_STRONG);
	stop(test, &sbm, report_recurse, SBM_COPY_IN(&sbm, &args, sizeof(args)),
	     SBM_CAUSE_PAGE_FAULT);
	expect_frames(test, names);
	/* A leaf, depth + 1 dives, and what has called them */
	snprintf(more, sizeof(more), "\n    [%u more]\n",
		 60 + 3 - SBM_TRACE_FIRST - SBM_TRACE_LAST);
	find(test, more);
	sbm_destroy(&sbm);
}

static void report_stack_overflow(struct kunit *test)
{
	static const char * const names[] = { "report_dive", "report_recurse", NULL, };
	struct args args = { .depth = 1000000, };
	struct sbm sbm;

	init_at_least(test, &sbm, SBM_ISOLATION_STRONG);
	stop(test, &sbm, report_recurse, SBM_COPY_IN(&sbm, &args, sizeof(args)),
	     SBM_CAUSE_PAGE_FAULT);
	expect_frames(test, names);
	find(test, " below the stack (" STACK_BYTES " bytes), in the guard page below it\n");
	find(test, " more]\n");
	sbm_destroy(&sbm);
}

/* A call of what is no code: the caller is who wants to be found */
static void report_bad_call(struct kunit *test)
{
	static const char * const names[] = { "report_call", NULL, };
	struct args args = {};
	struct args *inside;
	struct sbm sbm;

	init_at_least(test, &sbm, SBM_ISOLATION_STRONG);
	stop(test, &sbm, report_call, SBM_COPY_IN(&sbm, &args, sizeof(args)),
	     SBM_CAUSE_PAGE_FAULT);
	find(test, "\n  execution of address 0, ");
	expect_frames(test, names);
	sbm_destroy(&sbm);

	init_at_least(test, &sbm, SBM_ISOLATION_STRONG);
	inside = SBM_COPY_INOUT(&sbm, &args, sizeof(args));
	KUNIT_ASSERT_NOT_NULL(test, inside);
	args.addr = (unsigned long)inside;
	stop(test, &sbm, report_call, SBM_COPY_IN(&sbm, &args, sizeof(args)),
	     SBM_CAUSE_PAGE_FAULT);
	find(test, "\n  execution of address ");
	find(test, "\n  which is byte 0 of buffer '&args' (COPY_INOUT, 16 bytes)\n");
	expect_frames(test, names);
	sbm_destroy(&sbm);
}

/* === The rest of the report === */

static void report_all_registers(struct kunit *test)
{
	const struct sbm_fault *fault;
	struct sbm sbm;

	init_at_least(test, &sbm, SBM_ISOLATION_STRONG);
	stop(test, &sbm, report_registers, NULL, SBM_CAUSE_PROTECTION);

	fault = sbm_fault(&sbm);
	KUNIT_EXPECT_EQ(test, fault->regs.bx, 0x1111111111111111UL);
	KUNIT_EXPECT_EQ(test, fault->regs.r12, 0x2222222222222222UL);
	KUNIT_EXPECT_EQ(test, fault->regs.r13, 0x3333333333333333UL);
	KUNIT_EXPECT_EQ(test, fault->regs.r14, 0x4444444444444444UL);
	KUNIT_EXPECT_EQ(test, fault->regs.r15, 0x5555555555555555UL);
	KUNIT_EXPECT_EQ(test, fault->regs.r8, 0x6666666666666666UL);
	KUNIT_EXPECT_EQ(test, fault->regs.r9, 0x7777777777777777UL);
	KUNIT_EXPECT_EQ(test, fault->regs.r10, 0x0888888888888888UL);
	KUNIT_EXPECT_EQ(test, fault->regs.r11, 0x0999999999999999UL);
	KUNIT_EXPECT_EQ(test, fault->regs.ax, 0x0aaaaaaaaaaaaaaaUL);
	KUNIT_EXPECT_EQ(test, fault->regs.cx, 0x0bbbbbbbbbbbbbbbUL);
	KUNIT_EXPECT_EQ(test, fault->regs.dx, 0x0cccccccccccccccUL);
	KUNIT_EXPECT_EQ(test, fault->regs.si, 0x0dddddddddddddddUL);
	KUNIT_EXPECT_EQ(test, fault->regs.di, 0x0eeeeeeeeeeeeeeeUL);
	KUNIT_EXPECT_EQ(test, fault->regs.cs & 3, 3);

	find(test, "\n  rax 0aaaaaaaaaaaaaaa rbx 1111111111111111 rcx 0bbbbbbbbbbbbbbb rdx 0ccccccccccccccc\n");
	find(test, "\n  rsi 0ddddddddddddddd rdi 0eeeeeeeeeeeeeee rbp ");
	find(test, " r8  6666666666666666\n");
	find(test, "\n  r9  7777777777777777 r10 0888888888888888 r11 0999999999999999 r12 2222222222222222\n");
	find(test, "\n  r13 3333333333333333 r14 4444444444444444 r15 5555555555555555\n");

	/* CLI, and what is before it: the end of the last MOV */
	find(test, " ee ee ee ee ee ee ee 0e <fa> ");
	sbm_destroy(&sbm);
}

static void report_per_cpu_data(struct kunit *test)
{
	const char *what = "\n  the instruction uses per-CPU data, out of reach\n";
	struct sbm sbm;

	init_at_least(test, &sbm, SBM_ISOLATION_STRONG);
	stop(test, &sbm, report_per_cpu, NULL, SBM_CAUSE_PROTECTION);
	find(test, what);
	sbm_destroy(&sbm);

	init_at_least(test, &sbm, SBM_ISOLATION_STRONG);
	stop(test, &sbm, report_per_cpu_prefixes, NULL, SBM_CAUSE_PROTECTION);
	find(test, what);
	sbm_destroy(&sbm);

	init_at_least(test, &sbm, SBM_ISOLATION_STRONG);
	stop(test, &sbm, report_not_canonical, NULL, SBM_CAUSE_PROTECTION);
	expect_none(test, "the instruction uses per-CPU data");
	sbm_destroy(&sbm);
}

/* Sum up @len bytes of a page in @sbm, from a function of its own */
static noinline __noclone int report_caller(struct sbm *sbm, const u8 *page, size_t len)
{
	return sbm_call(sbm, report_sum, SBM_COPY_IN(sbm, page, PAGE_SIZE), len) ?: 1;
}

static noinline __noclone int report_exec_caller(struct sbm *sbm)
{
	return sbm_exec(sbm, report_outer, NULL) ?: 1;
}

static void report_who_has_called(struct kunit *test)
{
	const u8 *page = kunit_kzalloc(test, PAGE_SIZE, GFP_KERNEL);
	char symbol[128];
	struct sbm sbm;
	const char *at;

	KUNIT_ASSERT_NOT_NULL(test, page);
	init_at_least(test, &sbm, SBM_ISOLATION_STRONG);
	capture_clear(test);
	KUNIT_ASSERT_EQ(test, report_caller(&sbm, page, PAGE_SIZE + 1), -EFAULT);
	expect_whole(test);
	find(test, "report_sum stopped by page fault, called by ");
	find(test, "\n  called from report_caller+0x");
	find(test, "\n  which is 0 bytes past the end of buffer 'page' (COPY_IN, ");
	snprintf(symbol, sizeof(symbol), "%pB", (void *)sbm_fault(&sbm)->caller);
	KUNIT_EXPECT_EQ_MSG(test, strncmp(symbol, "report_caller+0x", 16), 0, "%s", symbol);
	if (IS_ENABLED(CONFIG_STACKTRACE)) {
		at = find(test, "\n  backtrace of the caller:");
		at = find_from(test, at, "\n    report_caller+0x");
		find_from(test, at, "\n    report_who_has_called+0x");
		expect_none(test, "sbm_call_from");
	}
	sbm_destroy(&sbm);

	init_at_least(test, &sbm, SBM_ISOLATION_STRONG);
	capture_clear(test);
	KUNIT_ASSERT_EQ(test, report_exec_caller(&sbm), -EFAULT);
	find(test, "\n  called from report_exec_caller+0x");
	sbm_destroy(&sbm);
}

/* The name of a task is user space's choice: it begins no line of its own */
static void report_name_of_task(struct kunit *test)
{
	static const char hostile[TASK_COMM_LEN] = "a\nb\033c";
	char comm[TASK_COMM_LEN];
	struct sbm sbm;

	init_at_least(test, &sbm, SBM_ISOLATION_STRONG);
	get_task_comm(comm, current);
	set_task_comm(current, hostile);
	capture_clear(test);
	KUNIT_EXPECT_EQ(test, sbm_exec(&sbm, report_outer, NULL), -EFAULT);
	set_task_comm(current, comm);
	find(test, ", called by a\\nb\\ec[");
	sbm_destroy(&sbm);
}

/* === Addresses === */

static void expect_what(struct kunit *test, const struct sbm *sbm, unsigned long addr,
			const char *want)
{
	char buf[SBM_DESCRIPTION_SIZE];
	char small[8];
	int len;

	len = sbm_describe(sbm, addr, buf, sizeof(buf));
	KUNIT_EXPECT_EQ(test, len, strlen(buf));
	/* What follows a star is nobody's business */
	if (want[strlen(want) - 1] == '*')
		KUNIT_EXPECT_EQ_MSG(test, strncmp(buf, want, strlen(want) - 1), 0,
				    "%lx: %s", addr, buf);
	else
		KUNIT_EXPECT_STREQ_MSG(test, buf, want, "%lx", addr);

	/* Cut off, not written over */
	KUNIT_EXPECT_EQ(test, sbm_describe(sbm, addr, small, sizeof(small)),
			sizeof(small) - 1);
	KUNIT_EXPECT_EQ(test, strncmp(small, buf, sizeof(small) - 1), 0);
	KUNIT_EXPECT_EQ(test, small[sizeof(small) - 1], '\0');
}

static void report_addresses(struct kunit *test)
{
	static u8 page[2 * PAGE_SIZE] __aligned(PAGE_SIZE);
	unsigned long first, second, third, empty;
	struct x86_sbm_layout l;
	char what[SBM_DESCRIPTION_SIZE];
	char buf[4] = "abc";
	struct sbm sbm;

	init_at_least(test, &sbm, SBM_ISOLATION_STRONG);
	first = (unsigned long)SBM_COPY_OUT(&sbm, page, 100);
	second = (unsigned long)SBM_COPY_INOUT(&sbm, page, PAGE_SIZE);
	third = (unsigned long)SBM_MAP_READONLY(&sbm, page + 16, PAGE_SIZE);
	empty = (unsigned long)SBM_COPY_IN(&sbm, page, 0);
	KUNIT_ASSERT_EQ(test, sbm_error(&sbm), 0);
	KUNIT_ASSERT_TRUE(test, x86_sbm_test_layout(&sbm, &l));

	expect_what(test, &sbm, first, "byte 0 of buffer 'page' (COPY_OUT, 100 bytes)");
	expect_what(test, &sbm, first + 99, "byte 99 of buffer 'page' (COPY_OUT, 100 bytes)");
	expect_what(test, &sbm, first + 101, "1 byte past the end of buffer 'page' (COPY_OUT, 100 bytes), on its last page");
	expect_what(test, &sbm, second - 1, "1 byte before buffer 'page' (COPY_INOUT, 4096 bytes), in the guard page before it");
	expect_what(test, &sbm, second + PAGE_SIZE, "0 bytes past the end of buffer 'page' (COPY_INOUT, 4096 bytes), in the guard page behind it");
	expect_what(test, &sbm, third - 15, "15 bytes before buffer 'page + 16' (MAP_READONLY, 4096 bytes), on its first page");
	expect_what(test, &sbm, third + PAGE_SIZE, "0 bytes past the end of buffer 'page + 16' (MAP_READONLY, 4096 bytes), on its last page");
	expect_what(test, &sbm, empty, "0 bytes past the end of buffer 'page' (COPY_IN, 0 bytes), in the guard page behind it");

	expect_what(test, &sbm, l.stack_low, "byte 0 of the stack (" STACK_BYTES " bytes)");
	expect_what(test, &sbm, l.stack_low - 8, "8 bytes below the stack (" STACK_BYTES " bytes), in the guard page below it");
	expect_what(test, &sbm, l.stack_high, "0 bytes past the end of the stack (" STACK_BYTES " bytes), in the guard page behind it");

	expect_what(test, &sbm, (unsigned long)report_outer, "kernel text, report_outer+0x*");
	expect_what(test, &sbm, (unsigned long)__sbm_entry_start, "out of reach: entry text of the kernel, *");
	expect_what(test, &sbm, (unsigned long)page, "out of reach: data of the kernel*");
	expect_what(test, &sbm, (unsigned long)"sbm", "constants of the kernel*");
	expect_what(test, &sbm, (unsigned long)test, "out of reach: memory of the kernel");
	expect_what(test, &sbm, 0, "out of reach: the first page of user space, as of a NULL pointer");
	expect_what(test, &sbm, PAGE_SIZE, "out of reach: user space");
	expect_what(test, &sbm, 1UL << 63, "out of reach: no canonical address");
#ifdef CONFIG_KASAN
	expect_what(test, &sbm, KASAN_SHADOW_START, "KASAN's shadow");
#endif
	/* Where the kernel keeps this is its own choice: inside or out of reach */
	sbm_describe(&sbm, l.gs_base + (unsigned long)&this_cpu_off, what, sizeof(what));
	KUNIT_EXPECT_NOT_NULL_MSG(test, strstr(what, "per-CPU data"), "%s", what);
	expect_what(test, &sbm, l.window_end - PAGE_SIZE, "nothing that the sandbox has");

	/* Nothing to write to, nobody to ask */
	KUNIT_EXPECT_EQ(test, sbm_describe(&sbm, first, buf, 0), 0);
	KUNIT_EXPECT_STREQ(test, buf, "abc");
	KUNIT_EXPECT_EQ(test, sbm_describe(NULL, first, buf, sizeof(buf)), 0);
	KUNIT_EXPECT_STREQ(test, buf, "");

	sbm_destroy(&sbm);
	KUNIT_EXPECT_EQ(test, sbm_describe(&sbm, first, buf, sizeof(buf)), 0);
}

static void report_weak(struct kunit *test)
{
	const struct sbm_attr attr = {
		.min_isolation	= SBM_ISOLATION_WEAK,
		.flags		= SBM_ATTR_WEAK,
	};
	u8 in[8] = {};
	unsigned long addr;
	struct sbm sbm;

	KUNIT_ASSERT_EQ(test, sbm_init_attr(&sbm, &attr), 0);
	addr = (unsigned long)SBM_COPY_IN(&sbm, in, sizeof(in));
	KUNIT_ASSERT_NE(test, addr, 0);
	expect_what(test, &sbm, addr + 7, "byte 7 of buffer 'in' (COPY_IN, 8 bytes)");
	expect_what(test, &sbm, addr + PAGE_SIZE, "4088 bytes past the end of buffer 'in' (COPY_IN, 8 bytes), in the guard page behind it");
	expect_what(test, &sbm, (unsigned long)test, "nothing that the sandbox has");
	sbm_destroy(&sbm);
}

/* A name that does not fit is cut off */
static void report_long_name(struct kunit *test)
{
	u8 a_buffer_with_a_name_that_is_longer_than_any_report_shows[4] = {};
	struct sbm sbm;
	unsigned long addr;

	init_at_least(test, &sbm, SBM_ISOLATION_STRONG);
	addr = (unsigned long)SBM_COPY_IN(&sbm,
		a_buffer_with_a_name_that_is_longer_than_any_report_shows, 4);
	expect_what(test, &sbm, addr, "byte 0 of buffer 'a_buffer_with_a_name_that_is_lo' (COPY_IN, 4 bytes)");
	sbm_destroy(&sbm);
}

/* === Stacks that were made to hurt === */

static unsigned long *stack_word(struct kunit *test, const struct sbm *sbm,
				 unsigned long addr)
{
	u64 rights, pfn;

	KUNIT_ASSERT_TRUE(test, x86_sbm_test_lookup(sbm, addr, &rights, &pfn));

	return page_address(pfn_to_page(pfn)) + offset_in_page(addr);
}

static void fill_stack(struct kunit *test, const struct sbm *sbm,
		       const struct x86_sbm_layout *l, unsigned long value)
{
	unsigned long addr;

	for (addr = l->stack_low; addr < l->stack_high; addr += sizeof(long))
		*stack_word(test, sbm, addr) = value;
}

/* What the frames of a backtrace that nobody can trust must be all the same */
static void check_trace(struct kunit *test, const struct x86_sbm_layout *l,
			const struct sbm_trace *trace)
{
	unsigned int i;

	KUNIT_EXPECT_GE(test, trace->nr, 1);
	KUNIT_EXPECT_LE(test, trace->nr, (l->stack_high - l->stack_low) / sizeof(long) + 32);
	for (i = 1; i < min_t(unsigned int, trace->nr, SBM_TRACE_FIRST); i++) {
		if (trace->first[i].ip <= (unsigned long)_stext ||
		    trace->first[i].ip > (unsigned long)_etext)
			KUNIT_FAIL(test, "frame %u is %lx", i, trace->first[i].ip);
	}
}

static unsigned int count_sure(const struct sbm_trace *trace)
{
	unsigned int i, nr = 0;

	for (i = 0; i < min_t(unsigned int, trace->nr, SBM_TRACE_FIRST); i++)
		nr += trace->first[i].sure;

	return nr;
}

/* Stop in a function whose frame RBP leads to */
static struct sbm_instance *stop_in_alloca(struct kunit *test, struct sbm *sbm,
					   struct x86_sbm_layout *l,
					   unsigned long *in_alloca)
{
	struct args args = { .depth = 40, };
	struct sbm_trace trace = {};

	init_at_least(test, sbm, SBM_ISOLATION_STRONG);
	KUNIT_ASSERT_TRUE(test, x86_sbm_test_layout(sbm, l));
	stop(test, sbm, report_frames, SBM_COPY_IN(sbm, &args, sizeof(args)),
	     SBM_CAUSE_PAGE_FAULT);
	arch_sbm_backtrace(sbm->instance, &trace);
	KUNIT_ASSERT_EQ(test, trace.nr, 4);
	KUNIT_ASSERT_TRUE(test, trace.entry);
	/* What report_leaf() returns to */
	*in_alloca = trace.first[1].ip;

	return sbm->instance;
}

/* A frame that leads to itself: a stepper that trusts it never ends */
static void report_cyclic_frame(struct kunit *test)
{
	struct sbm_trace trace = {};
	struct sbm_instance *inst;
	struct x86_sbm_layout l;
	unsigned long ip, addr;
	struct sbm sbm;

	inst = stop_in_alloca(test, &sbm, &l, &ip);
	fill_stack(test, &sbm, &l, 0);
	addr = l.stack_low + 4096;
	*stack_word(test, &sbm, addr) = addr;
	*stack_word(test, &sbm, addr + 8) = ip;

	inst->fault.regs.ip = ip;
	inst->fault.regs.sp = l.stack_low + 2048;
	inst->fault.regs.bp = addr;
	arch_sbm_backtrace(inst, &trace);
	check_trace(test, &l, &trace);
	/* One step to itself, which is then refused */
	if (IS_ENABLED(CONFIG_UNWINDER_ORC))
		KUNIT_EXPECT_EQ(test, count_sure(&trace), 2);
	KUNIT_EXPECT_LE(test, trace.nr, 4);
	KUNIT_EXPECT_FALSE(test, trace.entry);

	write_again(test, inst);
	find(test, "\n    [the stack does not lead to the sandbox's entry]\n");
	sbm_destroy(&sbm);
}

/* Return addresses in the hundreds, all the same: bounded by the stack and by the report */
static void report_endless_chain(struct kunit *test)
{
	struct sbm_trace trace = {};
	struct sbm_instance *inst;
	struct x86_sbm_layout l;
	struct sbm sbm;
	unsigned long ip;

	inst = stop_in_alloca(test, &sbm, &l, &ip);
	fill_stack(test, &sbm, &l, (unsigned long)report_outer + 1);
	inst->fault.regs.ip = (unsigned long)report_outer;
	inst->fault.regs.sp = l.stack_low;
	arch_sbm_backtrace(inst, &trace);
	check_trace(test, &l, &trace);
	if (IS_ENABLED(CONFIG_UNWINDER_ORC))
		KUNIT_EXPECT_GT(test, trace.nr, SBM_TRACE_FIRST + SBM_TRACE_LAST);

	write_again(test, inst);
	sbm_destroy(&sbm);
}

/* A stack pointer that leads elsewhere leads nowhere: nothing is read there */
static void report_stack_pointers(struct kunit *test)
{
	unsigned long bad[16] = {
		/* The first ones are not known before there is an instance */
		[9] = 0, 1, PAGE_SIZE, 1UL << 63, (1UL << 47) - 8, ~7UL, ~0UL,
	};
	struct sbm_instance *inst;
	struct x86_sbm_layout l;
	struct sbm sbm;
	unsigned long ip;
	unsigned int i;

	/* The caller's own stack does hold text addresses */
	bad[0] = (unsigned long)&sbm;
	bad[1] = (unsigned long)test;
	inst = stop_in_alloca(test, &sbm, &l, &ip);
	fill_stack(test, &sbm, &l, 0);
	bad[2] = l.stack_low - 8;
	bad[3] = l.stack_low + 1;
	bad[4] = l.stack_high;
	bad[5] = l.stack_high + 8;
	bad[6] = l.window_start;
	bad[7] = l.window_end;
	bad[8] = l.gate_state;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		struct sbm_trace trace = {};

		inst->fault.regs.ip = i & 1 ? ip : (unsigned long)report_leaf;
		inst->fault.regs.sp = bad[i];
		inst->fault.regs.bp = bad[i];
		arch_sbm_backtrace(inst, &trace);
		KUNIT_EXPECT_EQ_MSG(test, trace.nr, 1, "%lx", bad[i]);
		KUNIT_EXPECT_FALSE(test, trace.entry);

		/* The same if it has jumped to what is no text */
		memset(&trace, 0, sizeof(trace));
		inst->fault.regs.ip = 0;
		arch_sbm_backtrace(inst, &trace);
		KUNIT_EXPECT_EQ_MSG(test, trace.nr, 1, "%lx", bad[i]);
	}
	sbm_destroy(&sbm);
}

/* A word that a stack may hold, or a register */
static unsigned long random_word(struct rnd_state *rnd, const struct x86_sbm_layout *l,
				 unsigned long in_alloca)
{
	unsigned long random = prandom_u32_state(rnd);
	unsigned long text = (unsigned long)_etext - (unsigned long)_stext;

	switch (prandom_u32_state(rnd) % 8) {
	case 0:
	case 1:
	case 2:
		return (unsigned long)_stext + random % text;
	case 3:
	case 4:
		return l->stack_low + ALIGN_DOWN(random % (l->stack_high - l->stack_low), 8);
	case 5:
		return l->stack_low - 64 + random % (l->stack_high - l->stack_low + 128);
	case 6:
		return in_alloca;
	default:
		return random << 32 | prandom_u32_state(rnd);
	}
}

static void report_random_stacks(struct kunit *test)
{
	unsigned int round, steps = 0;
	struct sbm_instance *inst;
	struct x86_sbm_layout l;
	struct rnd_state rnd;
	unsigned long ip, addr;
	struct sbm sbm;

	inst = stop_in_alloca(test, &sbm, &l, &ip);
	prandom_seed_state(&rnd, 42);

	for (round = 0; round < 4000; round++) {
		struct pt_regs *regs = &inst->fault.regs;
		struct sbm_trace trace = {};

		if (round % 100 == 0) {
			for (addr = l.stack_low; addr < l.stack_high; addr += 8)
				*stack_word(test, &sbm, addr) = random_word(&rnd, &l, ip);
		}

		regs->ip = random_word(&rnd, &l, ip);
		regs->sp = random_word(&rnd, &l, ip);
		regs->bp = random_word(&rnd, &l, ip);
		regs->r10 = random_word(&rnd, &l, ip);
		regs->r13 = random_word(&rnd, &l, ip);
		regs->di = random_word(&rnd, &l, ip);
		regs->dx = random_word(&rnd, &l, ip);
		arch_sbm_backtrace(inst, &trace);
		check_trace(test, &l, &trace);
		steps += count_sure(&trace) - 1;

		if (round % 100 == 0)
			write_again(test, inst);
	}
	/* It has got somewhere now and then: this was no test of nothing */
	KUNIT_EXPECT_GT(test, steps, 500);
	sbm_destroy(&sbm);
}

/* The same by a target's own hand */
static void report_spoiled_stack(struct kunit *test)
{
	const unsigned long values[] = {
		0, ~0UL, (unsigned long)report_spoil, (unsigned long)report_outer + 1,
		(unsigned long)_stext, (unsigned long)test,
	};
	struct x86_sbm_layout l;
	struct sbm sbm;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(values); i++) {
		unsigned long args[4] = {};

		init_at_least(test, &sbm, SBM_ISOLATION_STRONG);
		KUNIT_ASSERT_TRUE(test, x86_sbm_test_layout(&sbm, &l));
		args[0] = l.stack_low;
		args[1] = l.stack_high;
		args[2] = values[i];
		stop(test, &sbm, report_spoil, SBM_COPY_IN(&sbm, args, sizeof(args)),
		     SBM_CAUSE_PAGE_FAULT);
		find(test, "\n    report_spoil+0x");
		expect_none(test, "[sandbox entry]");
		sbm_destroy(&sbm);
	}
}

/* === Trace points === */

/**
 * struct seen - what the trace points have told of one instance
 * @order:  One letter each, in the order in which they came.
 * @len:    Length of @order.
 * @id:	    The instance, as sbm_init told.
 * @target: As sbm_enter told.
 * @caller: As sbm_enter told.
 * @vector: As the last sbm_event told.
 * @cause:  As sbm_fault told.
 * @result: As the last sbm_exit told.
 * @time:   As the last sbm_exit told.
 */
struct seen {
	char		order[64];
	unsigned int	len;
	u64		id;
	unsigned long	target;
	unsigned long	caller;
	unsigned int	vector;
	enum sbm_cause	cause;
	int		result;
	u64		time;
};

static struct task_struct *seen_task;

static bool seen_note(struct seen *seen, u64 id, char letter)
{
	if (current != seen_task)
		return false;
	if (letter == 'i')
		seen->id = id;
	else if (id != seen->id)
		letter = '!';
	/* Interrupts come when they will */
	if (letter == 'v' && seen->len && seen->order[seen->len - 1] == 'v')
		return true;
	if (seen->len < sizeof(seen->order) - 1)
		seen->order[seen->len++] = letter;

	return true;
}

static void probe_init(void *data, u64 id, enum sbm_isolation isolation)
{
	seen_note(data, id, isolation == SBM_ISOLATION_STRONG ? 'i' : '?');
}

static void probe_enter(void *data, u64 id, unsigned long target, unsigned long caller)
{
	struct seen *seen = data;

	if (!seen_note(seen, id, 'e'))
		return;
	seen->target = target;
	seen->caller = caller;
}

static void probe_event(void *data, u64 id, unsigned int vector, unsigned long ip)
{
	struct seen *seen = data;

	if (seen_note(seen, id, 'v'))
		seen->vector = vector;
}

static void probe_fault(void *data, u64 id, const struct sbm_fault *fault)
{
	struct seen *seen = data;

	if (seen_note(seen, id, 'f'))
		seen->cause = fault->cause;
}

static void probe_exit(void *data, u64 id, int result, u64 time)
{
	struct seen *seen = data;

	if (!seen_note(seen, id, 'x'))
		return;
	seen->result = result;
	seen->time = time;
}

static void probe_reset(void *data, u64 id)
{
	seen_note(data, id, 'r');
}

static void probe_destroy(void *data, u64 id)
{
	seen_note(data, id, 'd');
}

static void probe_all(struct kunit *test, struct seen *seen, bool on)
{
	if (on) {
		KUNIT_EXPECT_EQ(test, register_trace_sbm_init(probe_init, seen), 0);
		KUNIT_EXPECT_EQ(test, register_trace_sbm_enter(probe_enter, seen), 0);
		KUNIT_EXPECT_EQ(test, register_trace_sbm_event(probe_event, seen), 0);
		KUNIT_EXPECT_EQ(test, register_trace_sbm_fault(probe_fault, seen), 0);
		KUNIT_EXPECT_EQ(test, register_trace_sbm_exit(probe_exit, seen), 0);
		KUNIT_EXPECT_EQ(test, register_trace_sbm_reset(probe_reset, seen), 0);
		KUNIT_EXPECT_EQ(test, register_trace_sbm_destroy(probe_destroy, seen), 0);
		return;
	}

	unregister_trace_sbm_init(probe_init, seen);
	unregister_trace_sbm_enter(probe_enter, seen);
	unregister_trace_sbm_event(probe_event, seen);
	unregister_trace_sbm_fault(probe_fault, seen);
	unregister_trace_sbm_exit(probe_exit, seen);
	unregister_trace_sbm_reset(probe_reset, seen);
	unregister_trace_sbm_destroy(probe_destroy, seen);
	tracepoint_synchronize_unregister();
}

static void report_trace_points(struct kunit *test)
{
	struct seen *seen = kunit_kzalloc(test, sizeof(*seen), GFP_KERNEL);
	unsigned int len;
	struct sbm sbm;

	if (!IS_ENABLED(CONFIG_TRACEPOINTS))
		kunit_skip(test, "no trace points in this kernel");
	KUNIT_ASSERT_NOT_NULL(test, seen);
	seen_task = current;
	probe_all(test, seen, true);

	KUNIT_EXPECT_EQ(test, sbm_init(&sbm), 0);
	KUNIT_EXPECT_EQ(test, sbm_exec(&sbm, report_return, (void *)77L), 77);
	KUNIT_EXPECT_EQ(test, seen->target, (unsigned long)report_return);
	KUNIT_EXPECT_EQ(test, seen->result, 77);
	KUNIT_EXPECT_EQ(test, sbm_exec(&sbm, report_outer, NULL), -EFAULT);
	KUNIT_EXPECT_EQ(test, seen->target, (unsigned long)report_outer);
	KUNIT_EXPECT_EQ(test, seen->result, -EFAULT);
	KUNIT_EXPECT_EQ(test, seen->vector, 14);
	KUNIT_EXPECT_EQ(test, seen->cause, SBM_CAUSE_PAGE_FAULT);
	KUNIT_EXPECT_GT(test, seen->time, 0);
	if (sbm_fault(&sbm)) {
		KUNIT_EXPECT_EQ(test, seen->caller, sbm_fault(&sbm)->caller);
		KUNIT_EXPECT_EQ(test, seen->time, sbm_fault(&sbm)->time);
	}
	KUNIT_EXPECT_EQ(test, seen->id, sbm.instance->id);
	KUNIT_EXPECT_EQ(test, sbm_reset(&sbm), 0);
	sbm_destroy(&sbm);

	probe_all(test, seen, false);
	KUNIT_EXPECT_STREQ(test, seen->order, "ievxevfxrd");

	/* And none when nobody listens */
	len = seen->len;
	KUNIT_EXPECT_EQ(test, sbm_init(&sbm), 0);
	KUNIT_EXPECT_EQ(test, sbm_exec(&sbm, report_return, NULL), 0);
	sbm_destroy(&sbm);
	KUNIT_EXPECT_EQ(test, seen->len, len);
	seen_task = NULL;
}

/* === The administrator's choice === */

static int set_sysctl(struct vfsmount *mnt, const char *name, const char *value)
{
	struct file *file = file_open_root_mnt(mnt, name, O_WRONLY, 0);
	loff_t pos = 0;
	ssize_t len;

	if (IS_ERR(file))
		return PTR_ERR(file);
	len = kernel_write(file, value, strlen(value), &pos);
	filp_close(file, NULL);

	return len < 0 ? len : 0;
}

/* What is read there: a digit */
static int get_sysctl(struct vfsmount *mnt, const char *name)
{
	struct file *file = file_open_root_mnt(mnt, name, O_RDONLY, 0);
	char text[8] = {};
	loff_t pos = 0;
	ssize_t len;

	if (IS_ERR(file))
		return PTR_ERR(file);
	len = kernel_read(file, text, sizeof(text) - 1, &pos);
	filp_close(file, NULL);
	if (len < 0)
		return len;

	return len == 2 && text[1] == '\n' ? text[0] : -EIO;
}

static void report_sysctls(struct kunit *test)
{
	static const char * const names[] = {
		"sys/kernel/sbm_panic_on_fault",
#ifdef CONFIG_KGDB
		"sys/kernel/sbm_kgdb_on_fault",
#endif
	};
	struct file_system_type *type;
	struct vfsmount *mnt;
	unsigned int i;

	if (!IS_ENABLED(CONFIG_SYSCTL))
		kunit_skip(test, "no /proc/sys in this kernel");
	type = get_fs_type("proc");
	KUNIT_ASSERT_NOT_NULL(test, type);
	mnt = kern_mount(type);
	put_filesystem(type);
	KUNIT_ASSERT_FALSE(test, IS_ERR(mnt));

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		KUNIT_EXPECT_EQ(test, get_sysctl(mnt, names[i]), '0');
		KUNIT_EXPECT_EQ(test, set_sysctl(mnt, names[i], "1\n"), 0);
		KUNIT_EXPECT_EQ(test, get_sysctl(mnt, names[i]), '1');
		KUNIT_EXPECT_EQ(test, set_sysctl(mnt, names[i], "2\n"), -EINVAL);
		KUNIT_EXPECT_EQ(test, set_sysctl(mnt, names[i], "-1\n"), -EINVAL);
		KUNIT_EXPECT_EQ(test, get_sysctl(mnt, names[i]), '1');
		KUNIT_EXPECT_EQ(test, set_sysctl(mnt, names[i], "0\n"), 0);
		KUNIT_EXPECT_EQ(test, get_sysctl(mnt, names[i]), '0');
	}
	kern_unmount(mnt);
}

static struct kunit_case sbm_report_cases[] = {
	KUNIT_CASE(report_nested_frames),
	KUNIT_CASE(report_kinds_of_frames),
	KUNIT_CASE(report_finding_of_ubsan),
	KUNIT_CASE(report_deep_stack),
	KUNIT_CASE(report_stack_overflow),
	KUNIT_CASE(report_bad_call),
	KUNIT_CASE(report_all_registers),
	KUNIT_CASE(report_per_cpu_data),
	KUNIT_CASE(report_who_has_called),
	KUNIT_CASE(report_name_of_task),
	KUNIT_CASE(report_addresses),
	KUNIT_CASE(report_weak),
	KUNIT_CASE(report_long_name),
	KUNIT_CASE(report_cyclic_frame),
	KUNIT_CASE(report_endless_chain),
	KUNIT_CASE(report_stack_pointers),
	KUNIT_CASE(report_random_stacks),
	KUNIT_CASE(report_spoiled_stack),
	KUNIT_CASE(report_trace_points),
	KUNIT_CASE(report_sysctls),
	{}
};

static struct kunit_suite sbm_report_suite = {
	.name		= "sbm_report",
	.init		= report_init,
	.exit		= report_exit,
	.test_cases	= sbm_report_cases,
};

kunit_test_suite(sbm_report_suite);
