// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit suite sbm_visible: what others see of a target while it runs.
 *
 * Backtraces and samples come when they will, also between two stays, when there is
 * nothing to see of the target. So each case takes several, and asks that what is
 * there is right, and that it has been there.
 */
#include <kunit/test.h>
#include <linux/array_size.h>
#include <linux/completion.h>
#include <linux/cpumask.h>
#include <linux/hex.h>
#include <linux/hrtimer.h>
#include <linux/jiffies.h>
#include <linux/kernel.h>
#include <linux/kgdb.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/nmi.h>
#include <linux/perf_event.h>
#include <linux/printk.h>
#include <linux/ptrace.h>
#include <linux/sbm.h>
#include <linux/sched.h>
#include <linux/sched/debug.h>
#include <linux/serial_core.h>
#include <linux/smp.h>
#include <linux/sprintf.h>
#include <linux/stacktrace.h>
#include <linux/string.h>
#include <linux/time64.h>
#include <linux/tracepoint.h>

#include <asm/irq_regs.h>
#include <asm/irq_vectors.h>

#include <trace/events/printk.h>
#include <trace/events/sbm.h>

#include "../../kernel/sbm/sbm.h"
#include "../../kernel/sbm/sysctl.h"
#include "sbm_kunit.h"

/* How often a case looks at a CPU before it gives up to find it inside */
#define MAX_LOOKS	20

/* Frames of a task that are looked through */
#define MAX_FRAMES	32

/* What a dump has of a target */
#define MARK		"Sandbox: "

/* They are where they are said to be, and not in a check or counter of the compiler's */
static noinline __noclone __no_sanitize_address __no_sanitize_coverage
int visible_spin(void *data)
{
	struct shared *shared = data;

	WRITE_ONCE(shared->started, 1);
	while (!READ_ONCE(shared->stop))
		WRITE_ONCE(shared->count, shared->count + 1);

	return 7;
}

static noinline __noclone __no_sanitize_address __no_sanitize_coverage
int visible_read(void *data)
{
	return READ_ONCE(*(u8 *)data) + 1;
}

static noinline __noclone __no_sanitize_address __no_sanitize_coverage
int visible_return(void *data)
{
	return (int)(long)data;
}

/* Is @ip in the function @name? In any context. */
static bool is_in(unsigned long ip, const char *name)
{
	char symbol[KSYM_SYMBOL_LEN];

	snprintf(symbol, sizeof(symbol), "%ps", (void *)ip);

	return !strcmp(symbol, name);
}

/* === A thread that is inside, or not === */

/**
 * struct spin - a thread that spins
 * @worker: The thread.
 * @sbm:    The instance that it spins in.
 * @shared: How to tell it to come back.
 * @inside: The same as a target sees it; NULL if the thread shall spin in the kernel.
 */
struct spin {
	struct worker	worker;
	struct sbm	sbm;
	struct shared	*shared;
	struct shared	*inside;
};

static int spin_thread(struct worker *worker)
{
	struct spin *spin = worker->data;

	if (spin->inside)
		return sbm_exec(&spin->sbm, visible_spin, spin->inside);

	/* It has been inside before: that must not be remembered */
	if (sbm_exec(&spin->sbm, visible_return, (void *)3L) != 3)
		return -EINVAL;
	WRITE_ONCE(spin->shared->started, 1);
	while (!READ_ONCE(spin->shared->stop))
		cond_resched();

	return 7;
}

/* False if there is no such thread. To be followed by end_spin() in any case. */
static bool spin_start(struct kunit *test, struct spin *spin, int cpu, bool inside)
{
	const struct sbm_attr attr = {
		.min_isolation	= SBM_ISOLATION_STRONG,
		.time_limit	= SBM_NO_LIMIT,
	};

	spin->worker = (struct worker) { .fn = spin_thread, .data = spin, .cpu = cpu, };
	spin->shared = alloc_shared(test);
	spin->inside = NULL;
	KUNIT_EXPECT_EQ(test, sbm_init_attr(&spin->sbm, &attr), 0);
	if (inside) {
		spin->inside = SBM_MAP_WRITABLE(&spin->sbm, spin->shared,
						sizeof(*spin->shared));
		KUNIT_EXPECT_NOT_NULL(test, spin->inside);
		if (!spin->inside)
			return false;
	}
	KUNIT_EXPECT_EQ(test, worker_start(&spin->worker), 0);
	if (!spin->worker.task)
		return false;
	if (!wait_for_target(spin->shared, &spin->worker)) {
		KUNIT_FAIL(test, "the thread does not spin");
		return false;
	}

	return true;
}

static void end_spin(struct kunit *test, struct spin *spin)
{
	WRITE_ONCE(spin->shared->stop, 1);
	if (spin->worker.task)
		KUNIT_EXPECT_EQ(test, worker_finish(&spin->worker), 7);
	sbm_destroy(&spin->sbm);
}

/* This thread on the first CPU, the other one on the last */
static int other_cpu(struct kunit *test)
{
	if (num_online_cpus() < 2)
		kunit_skip(test, "takes another processor");
	set_cpus_allowed_ptr(current, cpumask_of(cpumask_first(cpu_online_mask)));

	return cpumask_last(cpu_online_mask);
}

static int visible_init(struct kunit *test)
{
	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);

	return 0;
}

static void visible_exit(struct kunit *test)
{
	set_cpus_allowed_ptr(current, cpu_possible_mask);
}

/* === Dumps === */

/**
 * struct watch - what a CPU has written to the log
 * @cpu:   The CPU.
 * @dumps: Dumps, counted by the line that each has.
 * @marks: Lines with the mark.
 * @line:  The last one of these.
 */
struct watch {
	int		cpu;
	unsigned int	dumps;
	unsigned int	marks;
	char		line[256];
};

/* By the CPU that prints, in NMIs, too: one at a time, since it is one CPU */
static void probe_console(void *data, const char *text, size_t len)
{
	struct watch *watch = data;

	if (raw_smp_processor_id() != READ_ONCE(watch->cpu))
		return;
	if (len > 5 && !strncmp(text, "CPU: ", 5))
		watch->dumps++;
	if (len < strlen(MARK) || strncmp(text, MARK, strlen(MARK)))
		return;
	len = min(len, sizeof(watch->line) - 1);
	memcpy(watch->line, text, len);
	watch->line[len] = '\0';
	watch->marks++;
}

/**
 * struct dump_timer - a timer that dumps what it has interrupted
 * @timer: The timer.
 * @done:  It has done so.
 * @user:  It has found registers of user mode, which are not there.
 */
struct dump_timer {
	struct hrtimer		timer;
	struct completion	done;
	bool			user;
};

static enum hrtimer_restart dump_expired(struct hrtimer *timer)
{
	struct dump_timer *dump = container_of(timer, struct dump_timer, timer);
	struct pt_regs *regs = get_irq_regs();

	dump->user = !regs || user_mode(regs);
	if (!dump->user)
		show_regs(regs);
	complete(&dump->done);

	return HRTIMER_NORESTART;
}

static void dump_start(void *data)
{
	struct dump_timer *dump = data;

	hrtimer_start(&dump->timer, ns_to_ktime(NSEC_PER_MSEC),
		      HRTIMER_MODE_REL_PINNED_HARD);
}

static void dump_by_timer(struct kunit *test, int cpu)
{
	struct dump_timer *dump = kunit_kzalloc(test, sizeof(*dump), GFP_KERNEL);

	KUNIT_EXPECT_NOT_NULL(test, dump);
	if (!dump)
		return;
	init_completion(&dump->done);
	hrtimer_setup(&dump->timer, dump_expired, CLOCK_MONOTONIC,
		      HRTIMER_MODE_REL_PINNED_HARD);
	KUNIT_EXPECT_EQ(test, smp_call_function_single(cpu, dump_start, dump, 1), 0);
	KUNIT_EXPECT_NE(test, 0, wait_for_completion_timeout(&dump->done, SBM_TEST_PATIENCE));
	hrtimer_cancel(&dump->timer);
	KUNIT_EXPECT_FALSE(test, dump->user);
}

static void dump_by_nmi(struct kunit *test, int cpu)
{
	KUNIT_EXPECT_TRUE(test, trigger_single_cpu_backtrace(cpu));
}

/*
 * Have @cpu dumped, where a thread is inside or not. The log gets what tools take for
 * trouble, so they are told.
 */
static void look_at(struct kunit *test, int cpu, bool inside,
		    void (*dump)(struct kunit *test, int cpu))
{
	struct watch *watch = kunit_kzalloc(test, sizeof(*watch), GFP_KERNEL);
	char want[128];
	struct spin spin;
	unsigned int i;
	int len;

	KUNIT_ASSERT_NOT_NULL(test, watch);
	watch->cpu = cpu;
	if (spin_start(test, &spin, cpu, inside)) {
		KUNIT_EXPECT_EQ(test, register_trace_console(probe_console, watch), 0);
		pr_info("sbm-test: expect-begin\n");
		for (i = 0; i < (inside ? MAX_LOOKS : 3) && !watch->marks; i++) {
			/* A thread may print the dump before on that CPU */
			if (i)
				schedule_timeout_uninterruptible(HZ / 5);
			dump(test, cpu);
		}
		/* The next one by another CPU is not for us */
		WRITE_ONCE(watch->cpu, -1);
		pr_info("sbm-test: expect-end\n");
		unregister_trace_console(probe_console, watch);
		tracepoint_synchronize_unregister();

		KUNIT_EXPECT_EQ(test, watch->dumps, i);
		KUNIT_EXPECT_EQ_MSG(test, watch->marks, inside, "%s", watch->line);
		if (inside) {
			len = scnprintf(want, sizeof(want),
					MARK "instance %llu, running %ps, at %ps+0x",
					spin.sbm.instance->id, visible_spin, visible_spin);
			KUNIT_EXPECT_EQ_MSG(test, strncmp(watch->line, want, len), 0,
					    "'%s', not '%s'", watch->line, want);
			/* decode_stacktrace.sh takes the last word for the symbol */
			KUNIT_EXPECT_PTR_EQ(test, strchr(watch->line + len, ' '), NULL);
		}
	}
	end_spin(test, &spin);
}

static void visible_in_nmi_backtrace(struct kunit *test)
{
	int cpu = other_cpu(test);

	if (!IS_ENABLED(CONFIG_TRACEPOINTS))
		kunit_skip(test, "no trace points in this kernel");
	look_at(test, cpu, true, dump_by_nmi);
	look_at(test, cpu, false, dump_by_nmi);
}

static void visible_in_dump_of_interrupt(struct kunit *test)
{
	int cpu = other_cpu(test);

	if (!IS_ENABLED(CONFIG_TRACEPOINTS))
		kunit_skip(test, "no trace points in this kernel");
	look_at(test, cpu, true, dump_by_timer);
	look_at(test, cpu, false, dump_by_timer);
}

/* === Samples === */

/**
 * struct samples - what a sampling event has found of a task
 * @task:   The task.
 * @inst:   The instance.
 * @ip:	    Where the last event has interrupted the target.
 * @vector: Vector of that event.
 * @time:   Time inside at that event, which is another one after each stay.
 * @all:    Samples of the task.
 * @user:   Those in user mode, where no thread of the kernel is.
 * @inside: Those that have interrupted a stay.
 * @untold: Those of these that no trace point has told of.
 */
struct samples {
	struct task_struct	*task;
	struct sbm_instance	*inst;
	unsigned long		ip;
	unsigned int		vector;
	u64			time;
	unsigned int		all;
	unsigned int		user;
	unsigned int		inside;
	unsigned int		untold;
};

static void probe_event(void *data, u64 id, unsigned int vector, unsigned long ip)
{
	struct samples *s = data;

	if (current != s->task || id != s->inst->id)
		return;
	s->ip = ip;
	s->vector = vector;
	s->time = s->inst->time.total;
}

static void sample(struct perf_event *event, struct perf_sample_data *data,
		   struct pt_regs *regs)
{
	struct samples *s = event->overflow_handler_context;

	if (current != s->task)
		return;
	s->all++;
	if (user_mode(regs)) {
		s->user++;
		return;
	}
	/* What hands over the interrupt that has ended a stay; 7.3 has the other name */
	if (!is_in(regs->ip, "idt_do_interrupt_irqoff") &&
	    !is_in(regs->ip, "asm_fred_entry_from_kvm"))
		return;
	if (s->time != s->inst->time.total || s->vector < FIRST_EXTERNAL_VECTOR ||
	    !is_in(s->ip, "visible_spin"))
		s->untold++;
	WRITE_ONCE(s->inside, s->inside + 1);
}

static void visible_in_samples(struct kunit *test)
{
	struct perf_event_attr attr = {
		.type		= PERF_TYPE_SOFTWARE,
		.size		= sizeof(attr),
		.config		= PERF_COUNT_SW_CPU_CLOCK,
		.sample_period	= NSEC_PER_MSEC,
	};
	struct samples *s = kunit_kzalloc(test, sizeof(*s), GFP_KERNEL);
	unsigned long timeout = jiffies + SBM_TEST_PATIENCE;
	struct perf_event *event;
	int cpu = other_cpu(test);
	struct spin spin;

	if (!IS_ENABLED(CONFIG_TRACEPOINTS))
		kunit_skip(test, "no trace points in this kernel");
	KUNIT_ASSERT_NOT_NULL(test, s);
	if (spin_start(test, &spin, cpu, true)) {
		s->task = spin.worker.task;
		s->inst = spin.sbm.instance;
		KUNIT_EXPECT_EQ(test, register_trace_sbm_event(probe_event, s), 0);
		/* The call that is running has not seen the trace point before its next stay */
		schedule_timeout_uninterruptible(2);
		event = perf_event_create_kernel_counter(&attr, cpu, NULL, sample, s);
		KUNIT_EXPECT_FALSE(test, IS_ERR(event));
		if (!IS_ERR(event)) {
			while (READ_ONCE(s->inside) < 20 && time_before(jiffies, timeout))
				schedule_timeout_uninterruptible(1);
			perf_event_release_kernel(event);
		}
		unregister_trace_sbm_event(probe_event, s);
		tracepoint_synchronize_unregister();

		KUNIT_EXPECT_GE(test, s->inside, 20);
		KUNIT_EXPECT_EQ(test, s->untold, 0);
		KUNIT_EXPECT_EQ(test, s->user, 0);
		kunit_info(test, "%u samples, %u of a stay\n", s->all, s->inside);
	}
	end_spin(test, &spin);
}

/* === Stacks === */

/* As /proc/PID/stack has it */
static bool waits_in_run_loop(struct task_struct *task, unsigned int *nr, char *where,
			      size_t size)
{
	unsigned long entries[MAX_FRAMES];
	unsigned int i;

	*nr = stack_trace_save_tsk(task, entries, ARRAY_SIZE(entries), 0);
	for (i = 0; i < *nr; i++) {
		if (is_in(entries[i], "arch_sbm_call")) {
			scnprintf(where, size, "%pB", (void *)entries[i]);
			return true;
		}
	}

	return false;
}

static void visible_on_stack_of_task(struct kunit *test)
{
	unsigned long timeout = jiffies + SBM_TEST_PATIENCE;
	char where[KSYM_SYMBOL_LEN] = "";
	unsigned int nr = 1, i;
	int cpu = other_cpu(test);
	struct spin spin[2];
	bool on = true;

	if (!IS_ENABLED(CONFIG_STACKTRACE))
		kunit_skip(test, "no backtraces in this kernel");

	/* Alone, it runs: nobody sees the stack of such a task */
	on = spin_start(test, &spin[0], cpu, true);
	while (on && nr && time_before(jiffies, timeout)) {
		waits_in_run_loop(spin[0].worker.task, &nr, where, sizeof(where));
		cond_resched();
	}
	KUNIT_EXPECT_EQ(test, nr, 0);

	/* Each of two waits now and then */
	on &= spin_start(test, &spin[1], cpu, true);
	for (i = 0; i < 2 && on; i++) {
		while (!waits_in_run_loop(spin[i].worker.task, &nr, where, sizeof(where)) &&
		       time_before(jiffies, timeout))
			schedule_timeout_uninterruptible(1);
		KUNIT_EXPECT_NE(test, where[0], '\0');
		kunit_info(test, "found at %s\n", where);
		where[0] = '\0';
	}
	end_spin(test, &spin[0]);
	end_spin(test, &spin[1]);
}

/* === The kernel's debugger === */

#ifdef CONFIG_KGDB

/**
 * struct remote - a debugger at the other end of a line
 * @script: Commands that it gives, each of them a packet.
 * @next:   The next one.
 * @out:    The present one.
 * @at:     What it still has to send of it.
 * @acks:   Packets of the kernel's that it has still to acknowledge.
 * @state:  Of the packet that comes in: 0 none, 1 text, 2 and 3 its checksum.
 * @in:	    All packets of the kernel's, a line each.
 * @len:    Length of @in.
 * @stops:  How often the kernel has stopped for it.
 */
static struct remote {
	const char	*script[8];
	unsigned int	next;
	char		out[64];
	const char	*at;
	unsigned int	acks;
	unsigned int	state;
	char		in[512];
	unsigned int	len;
	unsigned int	stops;
} remote;

static void remote_send(const char *command)
{
	const char *c;
	u8 sum = 0;

	for (c = command; *c; c++)
		sum += *c;
	snprintf(remote.out, sizeof(remote.out), "$%s#%02x", command, sum);
	remote.at = remote.out;
}

static int remote_read_char(void)
{
	if (remote.acks) {
		remote.acks--;
		return '+';
	}
	/* Whatever happens, it lets the kernel go at last */
	if (!remote.at || !*remote.at)
		remote_send(remote.next < ARRAY_SIZE(remote.script) &&
			    remote.script[remote.next] ?
			    remote.script[remote.next++] : "D");

	return *remote.at++;
}

static void remote_write_char(u8 c)
{
	if (!remote.state) {
		remote.state = c == '$';
		return;
	}
	if (remote.state == 1 && c != '#') {
		if (remote.len < sizeof(remote.in) - 2)
			remote.in[remote.len++] = c;
		return;
	}
	if (++remote.state <= 3)
		return;
	remote.in[remote.len++] = '\n';
	if (remote.len > sizeof(remote.in) - 2)
		remote.len = sizeof(remote.in) - 2;
	remote.in[remote.len] = '\0';
	remote.state = 0;
	remote.acks++;
}

static void remote_stopped(void)
{
	remote.stops++;
}

static struct kgdb_io remote_io = {
	.name		= "sbm_visible",
	.read_char	= remote_read_char,
	.write_char	= remote_write_char,
	.pre_exception	= remote_stopped,
};

/* What each stop of one that is attached begins with: SIGTRAP, and the thread */
#define REMOTE_STOP	"T05thread:"

static void expect_remote(struct kunit *test, unsigned int stops, const char *text)
{
	KUNIT_EXPECT_EQ(test, remote.stops, stops);
	KUNIT_EXPECT_NOT_NULL_MSG(test, strstr(remote.in, text), "no '%s' in:\n%s", text,
				  remote.in);
	remote.len = 0;
	remote.in[0] = '\0';
}

static void remote_exec(struct kunit *test, sbm_func func, void *data, u64 limit, int ret,
			enum sbm_cause cause)
{
	const struct sbm_attr attr = {
		.min_isolation	= SBM_ISOLATION_STRONG,
		.time_limit	= limit,
	};
	struct sbm sbm;

	KUNIT_EXPECT_EQ(test, sbm_init_attr(&sbm, &attr), 0);
	KUNIT_EXPECT_EQ(test, sbm_exec(&sbm, func, data), ret);
	if (cause) {
		KUNIT_EXPECT_NOT_NULL(test, sbm_fault(&sbm));
		if (sbm_fault(&sbm))
			KUNIT_EXPECT_EQ(test, sbm_fault(&sbm)->cause, cause);
	}
	sbm_destroy(&sbm);
}

static void remote_cases(struct kunit *test)
{
	/*
	 * To write a breakpoint to text that is read-only, the debugger takes the lock of a
	 * page table, in a context that is like that of an NMI. Lockdep complains of that,
	 * whoever has asked for the breakpoint.
	 */
	const bool insert = !IS_ENABLED(CONFIG_PROVE_LOCKING);
	unsigned int stops = 0, i = 0;
	struct shared in = {};
	char set[48], clear[48];
	struct sbm sbm;

	/* It does not stop if nobody wants it to */
	remote_exec(test, visible_read, NULL, 0, -EFAULT, SBM_CAUSE_PAGE_FAULT);
	KUNIT_EXPECT_EQ(test, remote.stops, 0);

	/* One that attaches, sets a breakpoint in a target, and lets the caller go on */
	snprintf(set, sizeof(set), "Z0,%lx,1", (unsigned long)visible_return);
	snprintf(clear, sizeof(clear), "z0,%lx,1", (unsigned long)visible_return);
	remote.script[i++] = "?";
	if (insert)
		remote.script[i++] = set;
	remote.script[i++] = "c";
	WRITE_ONCE(sbm_kgdb_on_fault, 1);
	remote_exec(test, visible_read, NULL, 0, -EFAULT, SBM_CAUSE_PAGE_FAULT);
	/* Why it has stopped; and that the breakpoint is accepted */
	expect_remote(test, ++stops, insert ? "S05\nOK\n" : "S05\n");
	KUNIT_EXPECT_EQ(test, remote.next, i);

	/* The breakpoint ends the call that runs into it, as one of kprobes does */
	if (insert) {
		remote.script[i++] = clear;
		remote.script[i++] = "c";
		remote_exec(test, visible_return, NULL, 0, -EFAULT, SBM_CAUSE_PROBE);
		expect_remote(test, ++stops, REMOTE_STOP);
		KUNIT_EXPECT_EQ(test, remote.next, i);
	}
	remote_exec(test, visible_return, (void *)5L, 0, 5, SBM_CAUSE_NONE);

	/* The end of its time is no violation, and neither is a cancellation */
	KUNIT_EXPECT_EQ(test, sbm_init(&sbm), 0);
	sbm_cancel(&sbm);
	KUNIT_EXPECT_EQ(test, sbm_exec(&sbm, visible_return, NULL), -EINTR);
	KUNIT_EXPECT_EQ(test, sbm_reset(&sbm), 0);
	sbm.instance->time.limit = NSEC_PER_MSEC;
	KUNIT_EXPECT_EQ(test, sbm_exec(&sbm, visible_spin,
				       SBM_COPY_INOUT(&sbm, &in, sizeof(in))), -ETIME);
	sbm_destroy(&sbm);
	KUNIT_EXPECT_EQ(test, remote.stops, stops);

	/* The last one: it detaches, which its script leads to */
	remote_exec(test, visible_read, NULL, 0, -EFAULT, SBM_CAUSE_PAGE_FAULT);
	expect_remote(test, ++stops, "OK\n");
}

static void visible_for_kgdb(struct kunit *test)
{
	unsigned int stops;

	memset(&remote, 0, sizeof(remote));
	if (kgdb_register_io_module(&remote_io))
		kunit_skip(test, "the kernel has a debugger already");
	remote_cases(test);
	WRITE_ONCE(sbm_kgdb_on_fault, 0);
	KUNIT_EXPECT_EQ(test, kgdb_connected, 0);
	if (!kgdb_connected)
		kgdb_unregister_io_module(&remote_io);

	/* Nobody is there: nothing to stop for */
	stops = remote.stops;
	WRITE_ONCE(sbm_kgdb_on_fault, 1);
	remote_exec(test, visible_read, NULL, 0, -EFAULT, SBM_CAUSE_PAGE_FAULT);
	WRITE_ONCE(sbm_kgdb_on_fault, 0);
	KUNIT_EXPECT_EQ(test, remote.stops, stops);
}

#else /* CONFIG_KGDB */

static void visible_for_kgdb(struct kunit *test)
{
	kunit_skip(test, "no CONFIG_KGDB");
}

#endif /* CONFIG_KGDB */

static struct kunit_case sbm_visible_cases[] = {
	KUNIT_CASE(visible_in_nmi_backtrace),
	KUNIT_CASE(visible_in_dump_of_interrupt),
	KUNIT_CASE(visible_in_samples),
	KUNIT_CASE(visible_on_stack_of_task),
	KUNIT_CASE(visible_for_kgdb),
	{}
};

static struct kunit_suite sbm_visible_suite = {
	.name		= "sbm_visible",
	.init		= visible_init,
	.exit		= visible_exit,
	.test_cases	= sbm_visible_cases,
};

kunit_test_suite(sbm_visible_suite);
