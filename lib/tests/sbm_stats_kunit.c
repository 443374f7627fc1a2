// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit suite sbm_stats: the counters in debugfs move by what was done, and by nothing
 * else.
 *
 * Nobody else may use sandboxes meanwhile.
 */
#include <kunit/test.h>
#include <linux/array_size.h>
#include <linux/gfp.h>
#include <linux/kernel.h>
#include <linux/linkage.h>
#include <linux/math64.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/objtool.h>
#include <linux/sbm.h>
#include <linux/sbm_host.h>
#include <linux/seq_file.h>
#include <linux/sizes.h>
#include <linux/string.h>
#include <linux/time64.h>

#include <asm/asm.h>
#include <asm/nospec-branch.h>
#include <asm/sbm.h>

#include "../../kernel/sbm/debugfs.h"
#include "../../kernel/sbm/sbm.h"
#include "sbm_kunit.h"

/* === Targets === */

static SBM_DEFINE_FUNC(plus_one, int, value)
{
	return value + 1;
}

static SBM_DEFINE_FUNC(count_for_ever, unsigned long *, counter)
{
	for (;;)
		WRITE_ONCE(*counter, *counter + 1);

	return 0;
}

#define DEFINE_TARGET(name, body)				\
static noinline __naked __no_sanitize_coverage			\
int target_##name(void *data)					\
{								\
	asm volatile("xor %eax, %eax\n\t"			\
		     "xor %edx, %edx\n\t"			\
		     body "\n\t"				\
		     X86_SBM_TEST_RET);				\
}								\
STACK_FRAME_NON_STANDARD(target_##name)

DEFINE_TARGET(load, "mov (%rdx), %eax");
DEFINE_TARGET(ud, ".byte 0x0f, 0xb9, 0xc0");
DEFINE_TARGET(cli, "cli");
DEFINE_TARGET(div, "div %edx");
DEFINE_TARGET(fpu, "fninit");
DEFINE_TARGET(syscall, "syscall");
DEFINE_TARGET(step, "pushfq\n\torq $0x100, (%rsp)\n\tpopfq\n\tnop");

/* === Reading === */

#define TEXT_SIZE	SZ_8K

static void take_stats(struct kunit *test, char *text)
{
	struct seq_file m = {
		.buf	= text,
		.size	= TEXT_SIZE,
	};

	sbm_stats_write(&m);
	KUNIT_ASSERT_FALSE(test, seq_has_overflowed(&m));
	text[m.count] = '\0';
}

static char *new_stats(struct kunit *test)
{
	char *text = kunit_kzalloc(test, TEXT_SIZE, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, text);
	take_stats(test, text);

	return text;
}

/* The value of the line with the name that @line begins with; the next line */
static const char *parse_line(struct kunit *test, const char *line, char *name,
			      u64 *value)
{
	const char *end = strchr(line, '\n');

	KUNIT_ASSERT_NOT_NULL(test, end);
	if (sscanf(line, "%63s %llu", name, value) != 2)
		KUNIT_FAIL_AND_ABORT(test, "%.*s", (int)(end - line), line);

	return end + 1;
}

static u64 get(struct kunit *test, const char *text, const char *wanted)
{
	const char *line = text;
	char name[64];
	u64 value;

	while (*line) {
		line = parse_line(test, line, name, &value);
		if (!strcmp(name, wanted))
			return value;
	}
	KUNIT_FAIL(test, "there is no %s", wanted);

	return 0;
}

/* Two readings */
struct change {
	struct kunit	*test;
	char		*before;
	char		*after;
};

static void begin_change(struct kunit *test, struct change *c)
{
	c->test = test;
	c->before = new_stats(test);
	c->after = NULL;
}

static void end_change(struct change *c)
{
	c->after = new_stats(c->test);
}

static s64 moved(const struct change *c, const char *name)
{
	return get(c->test, c->after, name) - get(c->test, c->before, name);
}

/* All lines whose names begin with @prefix */
static s64 moved_in_all(const struct change *c, const char *prefix)
{
	const char *line = c->after;
	char name[64];
	s64 sum = 0;
	u64 value;

	while (*line) {
		line = parse_line(c->test, line, name, &value);
		if (strstarts(name, prefix))
			sum += moved(c, name);
	}

	return sum;
}

/* @nr calls, and @stopped of them for the reason of the line @stop */
static void expect_calls(const struct change *c, unsigned int nr, unsigned int stopped,
			 const char *stop)
{
	struct kunit *test = c->test;

	KUNIT_EXPECT_EQ(test, moved(c, "calls"), nr);
	KUNIT_EXPECT_EQ(test, moved(c, "stops"), stopped);
	KUNIT_EXPECT_EQ(test, moved_in_all(c, "stop_"), stopped);
	if (stop)
		KUNIT_EXPECT_EQ_MSG(test, moved(c, stop), stopped, "%s", stop);
	/* A stay ends by one event, and there are no others */
	KUNIT_EXPECT_EQ(test, moved_in_all(c, "event_"), moved(c, "stays"));
}

/* === Cases === */

static void clean_calls_count(struct kunit *test)
{
	const unsigned int nr = 10;
	struct change c, idle;
	unsigned int i;
	struct sbm sbm;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	init_at_least(test, &sbm, SBM_ISOLATION_STRONG);
	begin_change(test, &c);
	for (i = 0; i < nr; i++)
		KUNIT_EXPECT_EQ(test, sbm_call(&sbm, plus_one, 41), 42);
	end_change(&c);

	expect_calls(&c, nr, 0, NULL);
	KUNIT_EXPECT_EQ(test, moved(&c, "event_return"), nr);
	KUNIT_EXPECT_GE(test, moved(&c, "stays"), nr);
	KUNIT_EXPECT_GT(test, moved(&c, "time_ns"), 0);

	/* Nothing moves on its own */
	begin_change(test, &idle);
	end_change(&idle);
	KUNIT_EXPECT_EQ(test, moved_in_all(&idle, ""), 0);
	sbm_destroy(&sbm);
}

/* A stop of each kind that can be had at any time */
struct stopper {
	sbm_func	func;
	const char	*stop;
	const char	*event;
};

static const struct stopper stoppers[] = {
	{ target_ud, "stop_illegal_insn", "event_invalid_opcode" },
	{ target_cli, "stop_protection", "event_general_protection" },
	{ target_div, "stop_arithmetic", "event_divide_error" },
	{ target_fpu, "stop_fpu", "event_device_not_available" },
	{ target_syscall, "stop_syscall", "event_syscall" },
	{ target_step, "stop_debug", "event_debug" },
};

static void stops_count_by_cause(struct kunit *test)
{
	unsigned int i;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);

	for (i = 0; i < ARRAY_SIZE(stoppers); i++) {
		const struct stopper *s = &stoppers[i];
		struct change c;
		struct sbm sbm;

		init_at_least(test, &sbm, SBM_ISOLATION_STRONG);
		begin_change(test, &c);
		KUNIT_EXPECT_EQ(test, sbm_exec(&sbm, s->func, NULL), -EFAULT);
		/* Refused, and no call any more */
		KUNIT_EXPECT_EQ(test, sbm_exec(&sbm, s->func, NULL), -EFAULT);
		end_change(&c);
		sbm_destroy(&sbm);

		expect_calls(&c, 1, 1, s->stop);
		KUNIT_EXPECT_EQ_MSG(test, moved(&c, s->event), 1, "%s", s->event);
		KUNIT_EXPECT_EQ(test, moved(&c, "event_return"), 0);
	}
}

static void page_faults_count(struct kunit *test)
{
	struct change c;
	struct sbm sbm;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	init_at_least(test, &sbm, SBM_ISOLATION_STRONG);
	begin_change(test, &c);
	KUNIT_EXPECT_EQ(test, sbm_exec(&sbm, target_load, NULL), -EFAULT);
	end_change(&c);
	sbm_destroy(&sbm);

	expect_calls(&c, 1, 1, "stop_page_fault");
	/* One that stops, and those whose reason was gone */
	KUNIT_EXPECT_EQ(test, moved(&c, "event_page_fault"),
			1 + moved(&c, "stale_page_fault") + moved(&c, "async_page_fault"));
}

static void time_and_interrupts_count(struct kunit *test)
{
	const struct sbm_attr attr = {
		.min_isolation	= SBM_ISOLATION_STRONG,
		.time_limit	= 3 * TICK_NSEC,
	};
	unsigned long counter = 0;
	const struct sbm_fault *fault;
	struct change c;
	struct sbm sbm;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	KUNIT_ASSERT_EQ(test, sbm_init_attr(&sbm, &attr), 0);
	begin_change(test, &c);
	KUNIT_EXPECT_EQ(test, -ETIME,
			sbm_call(&sbm, count_for_ever,
				 SBM_COPY_INOUT(&sbm, &counter, sizeof(counter))));
	end_change(&c);

	expect_calls(&c, 1, 1, "stop_time");
	KUNIT_EXPECT_GE(test, moved(&c, "event_interrupt"), 1);
	KUNIT_EXPECT_EQ(test, moved(&c, "event_return"), 0);
	fault = sbm_fault(&sbm);
	KUNIT_EXPECT_NOT_NULL(test, fault);
	if (fault)
		KUNIT_EXPECT_EQ(test, moved(&c, "time_ns"), fault->time);
	sbm_destroy(&sbm);
}

static SBM_DEFINE_HOSTCALL(stats_ask, int, value)
{
	return value;
}

static SBM_DEFINE_FUNC(ask_thrice, int, value)
{
	return stats_ask(value) + stats_ask(value) + stats_ask(value);
}

static void host_calls_count(struct kunit *test)
{
	struct change c;
	struct sbm sbm;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	init_at_least(test, &sbm, SBM_ISOLATION_STRONG);
	KUNIT_EXPECT_EQ(test, sbm_allow(&sbm, stats_ask), 0);
	begin_change(test, &c);
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, ask_thrice, 5), 15);
	end_change(&c);
	expect_calls(&c, 1, 0, NULL);
	KUNIT_EXPECT_EQ(test, moved(&c, "hostcalls"), 3);
	KUNIT_EXPECT_EQ(test, moved(&c, "event_hostcall"), 3);
	KUNIT_EXPECT_EQ(test, moved(&c, "event_return"), 1);

	/* What is denied was an event, and was not served */
	KUNIT_EXPECT_EQ(test, sbm_reset(&sbm), 0);
	begin_change(test, &c);
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, ask_thrice, 5), -EFAULT);
	end_change(&c);
	sbm_destroy(&sbm);
	expect_calls(&c, 1, 1, "stop_hostcall");
	KUNIT_EXPECT_EQ(test, moved(&c, "hostcalls"), 0);
	KUNIT_EXPECT_EQ(test, moved(&c, "event_hostcall"), 1);
}

static void cancelled_calls_count(struct kunit *test)
{
	struct change c;
	struct sbm sbm;

	skip_if_isolation_below(test, SBM_ISOLATION_WEAK);
	init_at_least(test, &sbm, SBM_ISOLATION_WEAK);
	begin_change(test, &c);
	sbm_cancel(&sbm);
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, plus_one, 41), -EINTR);
	end_change(&c);
	sbm_destroy(&sbm);

	expect_calls(&c, 1, 1, "stop_cancel");
	KUNIT_EXPECT_EQ(test, moved(&c, "stays"), 0);
}

static void weak_calls_have_no_stays(struct kunit *test)
{
	const struct sbm_attr attr = { .flags = SBM_ATTR_WEAK, };
	struct change c;
	struct sbm sbm;

	KUNIT_ASSERT_EQ(test, sbm_init_attr(&sbm, &attr), 0);
	begin_change(test, &c);
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, plus_one, 41), 42);
	end_change(&c);
	sbm_destroy(&sbm);

	expect_calls(&c, 1, 0, NULL);
	KUNIT_EXPECT_EQ(test, moved(&c, "stays"), 0);
	KUNIT_EXPECT_EQ(test, moved(&c, "time_ns"), 0);
}

/* The words of an instance's line that come last */
static void expect_line(struct kunit *test, const struct sbm *sbm, u64 calls,
			u64 stops, u64 time)
{
	const struct sbm_instance *inst = sbm->instance;
	char text[256], want[128];
	struct seq_file m = {
		.buf	= text,
		.size	= sizeof(text),
	};

	sbm_debugfs_list(&m, inst);
	KUNIT_ASSERT_FALSE(test, seq_has_overflowed(&m));
	text[m.count] = '\0';
	snprintf(want, sizeof(want),
		 ", calls %llu, stops %llu, time_ns %llu, pages %lu, hostcalls 0\n",
		 calls, stops, time, inst->memory.nr_pages);
	KUNIT_EXPECT_NOT_NULL_MSG(test, strstr(text, want), "%s and not %s", text, want);
}

static void instances_count_for_themselves(struct kunit *test)
{
	struct change c, life;
	struct sbm sbm, other;
	int value = 41;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	begin_change(test, &life);
	begin_change(test, &c);
	init_at_least(test, &sbm, SBM_ISOLATION_STRONG);
	init_at_least(test, &other, SBM_ISOLATION_STRONG);
	SBM_COPY_IN(&sbm, &value, sizeof(value));
	end_change(&c);
	KUNIT_EXPECT_EQ(test, moved(&c, "instances"), 2);
	KUNIT_EXPECT_EQ(test, moved(&c, "pages"), sbm.instance->memory.nr_pages +
						  other.instance->memory.nr_pages);
	KUNIT_EXPECT_EQ(test, get(test, c.after, "pages"), sbm_pages_in_use());
	KUNIT_EXPECT_EQ(test, get(test, c.after, "max_pages"), sbm_max_pages);

	expect_line(test, &sbm, 0, 0, 0);
	begin_change(test, &c);
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, plus_one, 41), 42);
	KUNIT_EXPECT_EQ(test, sbm_exec(&sbm, target_load, NULL), -EFAULT);
	end_change(&c);
	expect_line(test, &sbm, 2, 1, moved(&c, "time_ns"));
	expect_line(test, &other, 0, 0, 0);

	KUNIT_EXPECT_EQ(test, sbm_reset(&sbm), 0);
	expect_line(test, &sbm, 0, 0, 0);
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, plus_one, 41), 42);
	KUNIT_EXPECT_EQ(test, sbm.instance->debugfs.calls, 1);

	sbm_destroy(&sbm);
	sbm_destroy(&other);
	end_change(&life);
	KUNIT_EXPECT_EQ(test, moved(&life, "instances"), 0);
	KUNIT_EXPECT_EQ(test, moved(&life, "pages"), 0);
	KUNIT_EXPECT_EQ(test, moved(&life, "calls"), 3);
	KUNIT_EXPECT_EQ(test, moved(&life, "calls"),
			sbm_stats_calls() - get(test, life.before, "calls"));
	KUNIT_EXPECT_EQ(test, moved(&life, "stops"),
			sbm_stats_stops() - get(test, life.before, "stops"));
}

/* What scripts look for */
static void names_are_there_once(struct kunit *test)
{
	static const char * const names[] = {
		"calls", "stops", "stays", "time_ns", "instances", "pages", "max_pages",
		"stop_page_fault", "stop_protection", "stop_illegal_insn",
		"stop_arithmetic", "stop_debug", "stop_fpu", "stop_syscall",
		"stop_segment", "stop_probe", "stop_machine_check", "stop_signal",
		"stop_cancel", "stop_time", "stop_traced", "stop_other",
		"stop_internal", "stop_hostcall", "hostcalls", "event_hostcall",
		"event_return", "event_interrupt", "event_nmi",
		"event_machine_check", "event_page_fault", "event_syscall",
		"pending_nmi", "stale_page_fault", "stale_breakpoint",
		"async_page_fault", "lost_exit", "skipped_instrument",
	};
	const char *line, *other;
	char name[64], name2[64];
	struct change c;
	unsigned int i;
	u64 value;

	begin_change(test, &c);
	for (i = 0; i < ARRAY_SIZE(names); i++)
		get(test, c.before, names[i]);
	for (line = c.before; *line;) {
		line = parse_line(test, line, name, &value);
		for (other = line; *other;) {
			other = parse_line(test, other, name2, &value);
			KUNIT_EXPECT_STRNEQ(test, name, name2);
		}
	}
}

static struct kunit_case sbm_stats_cases[] = {
	KUNIT_CASE(names_are_there_once),
	KUNIT_CASE(clean_calls_count),
	KUNIT_CASE(stops_count_by_cause),
	KUNIT_CASE(page_faults_count),
	KUNIT_CASE(time_and_interrupts_count),
	KUNIT_CASE(host_calls_count),
	KUNIT_CASE(cancelled_calls_count),
	KUNIT_CASE(weak_calls_have_no_stays),
	KUNIT_CASE(instances_count_for_themselves),
	{}
};

static struct kunit_suite sbm_stats_suite = {
	.name		= "sbm_stats",
	.test_cases	= sbm_stats_cases,
};

kunit_test_suite(sbm_stats_suite);

MODULE_DESCRIPTION("KUnit suite for the counters of sandbox mode");
MODULE_LICENSE("GPL");
