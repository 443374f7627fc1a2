// SPDX-License-Identifier: GPL-2.0
/*
 * Sandbox mode (SBM): what all instances together have done.
 *
 * Each CPU counts for itself, and a reader adds up. So counting takes one instruction
 * and no lock, and what is read is of no exact moment: a call may be in it already, and
 * its stop not yet.
 */
#include <linux/array_size.h>
#include <linux/build_bug.h>
#include <linux/compiler.h>
#include <linux/cpumask.h>
#include <linux/percpu.h>
#include <linux/sbm.h>
#include <linux/seq_file.h>
#include <linux/types.h>

#include "debugfs.h"
#include "dma.h"
#include "sbm.h"

DEFINE_PER_CPU(struct sbm_stats, sbm_stats);

/* Scripts use these: a name stays what it is */
static const char * const sbm_stop_names[] = {
	[SBM_CAUSE_PAGE_FAULT]		= "page_fault",
	[SBM_CAUSE_PROTECTION]		= "protection",
	[SBM_CAUSE_ILLEGAL_INSN]	= "illegal_insn",
	[SBM_CAUSE_ARITHMETIC]		= "arithmetic",
	[SBM_CAUSE_DEBUG]		= "debug",
	[SBM_CAUSE_FPU]			= "fpu",
	[SBM_CAUSE_SYSCALL]		= "syscall",
	[SBM_CAUSE_SEGMENT]		= "segment",
	[SBM_CAUSE_PROBE]		= "probe",
	[SBM_CAUSE_MACHINE_CHECK]	= "machine_check",
	[SBM_CAUSE_SIGNAL]		= "signal",
	[SBM_CAUSE_CANCEL]		= "cancel",
	[SBM_CAUSE_TIME]		= "time",
	[SBM_CAUSE_TRACED]		= "traced",
	[SBM_CAUSE_DEVICE]		= "device",
	[SBM_CAUSE_HOSTCALL]		= "hostcall",
	[SBM_CAUSE_OTHER]		= "other",
	[SBM_CAUSE_INTERNAL]		= "internal",
};

static_assert(ARRAY_SIZE(sbm_stop_names) == SBM_NR_CAUSES);

/* CPUs that are offline have counted, too */
static void sbm_stats_sum(struct sbm_stats *sum)
{
	unsigned int cpu, i;

	for_each_possible_cpu(cpu) {
		const struct sbm_stats *s = per_cpu_ptr(&sbm_stats, cpu);

		sum->calls += READ_ONCE(s->calls);
		sum->stays += READ_ONCE(s->stays);
		sum->time += READ_ONCE(s->time);
		sum->hostcalls += READ_ONCE(s->hostcalls);
		for (i = 0; i < SBM_NR_CAUSES; i++)
			sum->stops[i] += READ_ONCE(s->stops[i]);
		for (i = 0; i < SBM_MAX_EVENTS; i++)
			sum->events[i] += READ_ONCE(s->events[i]);
	}
}

u64 sbm_stats_calls(void)
{
	struct sbm_stats sum = {};

	sbm_stats_sum(&sum);

	return sum.calls;
}

static u64 sbm_stats_all_stops(const struct sbm_stats *sum)
{
	u64 stops = 0;
	unsigned int i;

	for (i = 0; i < SBM_NR_CAUSES; i++)
		stops += sum->stops[i];

	return stops;
}

u64 sbm_stats_stops(void)
{
	struct sbm_stats sum = {};

	sbm_stats_sum(&sum);

	return sbm_stats_all_stops(&sum);
}

void sbm_stats_write(struct seq_file *m)
{
	struct sbm_stats sum = {};
	unsigned int i;

	sbm_stats_sum(&sum);

	seq_printf(m, "calls %llu\n", sum.calls);
	seq_printf(m, "stops %llu\n", sbm_stats_all_stops(&sum));
	for (i = SBM_CAUSE_NONE + 1; i < SBM_NR_CAUSES; i++)
		seq_printf(m, "stop_%s %llu\n", sbm_stop_names[i], sum.stops[i]);
	seq_printf(m, "stays %llu\n", sum.stays);
	for (i = 0; i < SBM_MAX_EVENTS; i++) {
		const char *name = arch_sbm_event_name(i);

		if (name)
			seq_printf(m, "%s %llu\n", name, sum.events[i]);
	}
	seq_printf(m, "hostcalls %llu\n", sum.hostcalls);
	seq_printf(m, "time_ns %llu\n", sum.time);
	sbm_dma_stats_write(m);
	seq_printf(m, "instances %lu\n", sbm_debugfs_nr_instances());
	seq_printf(m, "pages %ld\n", sbm_pages_in_use());
	seq_printf(m, "max_pages %lu\n", READ_ONCE(sbm_max_pages));
}
