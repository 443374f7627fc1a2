// SPDX-License-Identifier: GPL-2.0
/*
 * Sandbox mode (SBM): the benchmark.
 *
 * Reading /sys/kernel/debug/sbm/bench measures, and gives one line for each row
 * (.../bench_calls is the first part only):
 *
 *	row NAME ticks N [COUNTER N]...
 *
 * Ticks are those of the time stamp counter. The first line says how many of them
 * a known number of instructions takes: in an emulator that counts instructions
 * this is exact, and so is all that follows. What was written to the file before is
 * data that the kernel itself has no compressor for, see bench_xz_find().
 *
 * A row is the best of several runs, and the counters are those of that run: what
 * else happens on the machine (timer interrupts above all) is not a property of
 * what is measured. The time that the measurement itself takes is taken off.
 */
#define pr_fmt(fmt) "sbm: " fmt

#include <linux/array_size.h>
#include <linux/build_bug.h>
#include <linux/compiler.h>
#include <linux/completion.h>
#include <linux/debugfs.h>
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/init.h>
#include <linux/kernel_stat.h>
#include <linux/kthread.h>
#include <linux/limits.h>
#include <linux/lz4.h>
#include <linux/lzo.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/percpu.h>
#include <linux/preempt.h>
#include <linux/sbm.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <linux/string.h>
#include <linux/time64.h>
#include <linux/umh.h>
#include <linux/unaligned.h>
#include <linux/vmalloc.h>
#include <linux/vmstat.h>
#include <linux/workqueue.h>
#include <linux/xz.h>
#include <linux/zlib.h>
#include <linux/zstd.h>

#include <asm/hardirq.h>
#include <asm/msr.h>
#include <asm/sbm.h>
#include <asm/sections.h>
#include <asm/tsc.h>

#include "sbm.h"

DEFINE_PER_CPU(unsigned long, sbm_counters[SBM_NR_COUNTERS]);
DEFINE_PER_CPU(bool, sbm_phases_on);

static DEFINE_PER_CPU(u64, sbm_phases[SBM_NR_PHASES]);

static const char * const bench_counter_names[] = {
	[SBM_COUNT_STAY]	= "stay",
	[SBM_COUNT_INTERRUPT]	= "interrupt",
	[SBM_COUNT_FLUSH]	= "tlb_flush",
	[SBM_COUNT_MSR]		= "msr",
	[SBM_COUNT_FPU_SAVE]	= "fpu_save",
	[SBM_COUNT_FPU_INIT]	= "fpu_init",
	[SBM_COUNT_ENTRY]	= "pt_write",
	[SBM_COUNT_TABLE]	= "pt_page",
	[SBM_COUNT_PAGE]	= "page",
	[SBM_COUNT_ALLOC]	= "alloc",
	[SBM_COUNT_FLUSH_ALL]	= "flush_all",
};

static_assert(ARRAY_SIZE(bench_counter_names) == SBM_NR_COUNTERS);

static const char * const bench_phase_names[] = {
	[SBM_PHASE_CALL]	= "api_in",
	[SBM_PHASE_STAY]	= "registers_in",
	[SBM_PHASE_ENTER]	= "prepare",
	[SBM_PHASE_LEFT]	= "switch_and_target",
	[SBM_PHASE_DONE]	= "restore",
	[SBM_NR_PHASES]		= "api_out",
};

static_assert(ARRAY_SIZE(bench_phase_names) == SBM_NR_PHASES + 1);

/* One file may measure at a time */
static DEFINE_MUTEX(bench_lock);

/* === Measuring === */

#define BENCH_RUNS	32
#define BENCH_RUNS_LONG	3
#define BENCH_TICKS	25

/**
 * struct bench - a row while it is measured
 * @start:   Ticks at the start of this run.
 * @before:  Counters at the start of this run.
 * @best:    Ticks of the best run, U64_MAX if there was none.
 * @events:  Counters of the best run.
 */
struct bench {
	u64		start;
	unsigned long	before[SBM_NR_COUNTERS];
	u64		best;
	unsigned long	events[SBM_NR_COUNTERS];
};

#define BENCH_INIT	{ .best = U64_MAX }

/* Ticks between bench_start() and bench_stop() with nothing in between */
static u64 bench_overhead;

static __always_inline void bench_start(struct bench *b)
{
	unsigned int i;

	for (i = 0; i < SBM_NR_COUNTERS; i++)
		b->before[i] = raw_cpu_read(sbm_counters[i]);
	barrier();
	b->start = rdtsc();
	barrier();
}

static __always_inline void bench_stop(struct bench *b)
{
	u64 ticks;
	unsigned int i;

	barrier();
	ticks = rdtsc() - b->start;
	barrier();
	if (ticks >= b->best)
		return;

	b->best = ticks;
	for (i = 0; i < SBM_NR_COUNTERS; i++)
		b->events[i] = raw_cpu_read(sbm_counters[i]) - b->before[i];
}

static void bench_show(struct seq_file *m, const char *name, const struct bench *b)
{
	unsigned int i;

	if (b->best == U64_MAX) {
		seq_printf(m, "row %s failed\n", name);
		return;
	}

	seq_printf(m, "row %s ticks %llu", name,
		   b->best > bench_overhead ? b->best - bench_overhead : 0);
	for (i = 0; i < SBM_NR_COUNTERS; i++) {
		if (b->events[i])
			seq_printf(m, " %s %lu", bench_counter_names[i], b->events[i]);
	}
	seq_putc(m, '\n');
}

/* Two instructions a round, whatever the compiler thinks of it */
static noinline int bench_spin(void *rounds)
{
	asm volatile("1:	dec %0\n"
		     "	jnz 1b" : "+r" (rounds) : : "cc");

	return 0;
}

/*
 * How many ticks an instruction takes: the difference between two loops of known
 * length, so that what surrounds them does not count.
 */
static void bench_calibrate(struct seq_file *m)
{
	const unsigned long rounds = 500000;
	struct bench empty = BENCH_INIT, one = BENCH_INIT, two = BENCH_INIT;
	unsigned int i;

	for (i = 0; i < BENCH_RUNS; i++) {
		bench_start(&empty);
		bench_stop(&empty);
	}
	bench_overhead = empty.best;

	for (i = 0; i < BENCH_RUNS_LONG; i++) {
		unsigned long flags;

		local_irq_save(flags);
		bench_start(&one);
		bench_spin((void *)rounds);
		bench_stop(&one);
		bench_start(&two);
		bench_spin((void *)(2 * rounds));
		bench_stop(&two);
		local_irq_restore(flags);
	}

	seq_printf(m, "calibration instructions %lu ticks %llu\n", 2 * rounds,
		   two.best - one.best);
}

/* === Calls === */

static noinline int bench_null(void *data)
{
	return 0;
}

static noinline int bench_fault(void *data)
{
	return READ_ONCE(*(int *)data);
}

static void bench_events(struct seq_file *m)
{
	struct x86_sbm_stay_events ev;

	x86_sbm_stay_events(&ev);
	seq_printf(m, "stay cr3 %u cr4 %u cr0 %u lidt %u iret %u event %u base %u segment %u pkru %u msr %u\n",
		   ev.cr3, ev.cr4, ev.cr0, ev.lidt, ev.iret, ev.event, ev.base,
		   ev.segment, ev.pkru, ev.msr);
}

/* What the first user of the feature pays, once; only if nobody was first */
static void bench_setup(struct seq_file *m)
{
	static bool done;
	struct bench b = BENCH_INIT;

	if (done)
		return;
	done = true;

	bench_start(&b);
	sbm_isolation();
	bench_stop(&b);
	bench_show(m, "setup", &b);
}

static void bench_direct(struct seq_file *m)
{
	int (*func)(void *data) = bench_null;
	struct bench b = BENCH_INIT;
	unsigned int i;

	/* Do not let the compiler see what is called */
	OPTIMIZER_HIDE_VAR(func);
	for (i = 0; i < BENCH_RUNS; i++) {
		bench_start(&b);
		func(NULL);
		bench_stop(&b);
	}
	bench_show(m, "direct_call", &b);
}

static void bench_calls(struct seq_file *m)
{
	struct bench init = BENCH_INIT, cold = BENCH_INIT, warm = BENCH_INIT;
	struct bench destroy = BENCH_INIT;
	unsigned int i;
	int err = 0;

	for (i = 0; i < BENCH_RUNS; i++) {
		struct sbm sbm;

		bench_start(&init);
		sbm_init(&sbm);
		bench_stop(&init);

		bench_start(&cold);
		err |= sbm_exec(&sbm, bench_null, NULL);
		bench_stop(&cold);

		bench_start(&warm);
		err |= sbm_exec(&sbm, bench_null, NULL);
		bench_stop(&warm);

		bench_start(&destroy);
		sbm_destroy(&sbm);
		bench_stop(&destroy);
	}
	if (err)
		warm.best = U64_MAX;

	bench_show(m, "init", &init);
	bench_show(m, "call_cold", &cold);
	bench_show(m, "call_warm", &warm);
	bench_show(m, "destroy", &destroy);
}

/* Everything that a caller does who needs the function once */
static void bench_once(struct seq_file *m)
{
	struct bench b = BENCH_INIT;
	unsigned int i;
	int err = 0;

	for (i = 0; i < BENCH_RUNS; i++) {
		struct sbm sbm;

		bench_start(&b);
		sbm_init(&sbm);
		err |= sbm_exec(&sbm, bench_null, NULL);
		sbm_destroy(&sbm);
		bench_stop(&b);
	}
	if (err)
		b.best = U64_MAX;
	bench_show(m, "once", &b);
}

static void bench_data(struct seq_file *m, size_t size)
{
	struct bench buffers = BENCH_INIT, call = BENCH_INIT, all = BENCH_INIT;
	u8 *in = kvmalloc(size, GFP_KERNEL);
	u8 *out = kvmalloc(size, GFP_KERNEL);
	char name[32];
	unsigned int i;
	int err = 0;

	if (!in || !out)
		goto out_free;
	memset(in, 1, size);
	memset(out, 2, size);

	for (i = 0; i < BENCH_RUNS; i++) {
		struct sbm sbm;

		bench_start(&all);
		sbm_init(&sbm);
		bench_start(&buffers);
		SBM_COPY_IN(&sbm, in, size);
		SBM_COPY_OUT(&sbm, out, size);
		bench_stop(&buffers);
		bench_start(&call);
		err |= sbm_exec(&sbm, bench_null, NULL);
		bench_stop(&call);
		sbm_destroy(&sbm);
		bench_stop(&all);
	}
	if (err)
		all.best = U64_MAX;

	/* The target wrote nothing, so zeroes must have come back */
	if (memchr_inv(out, 0, size))
		call.best = U64_MAX;

	snprintf(name, sizeof(name), "data_%zu_buffers", size);
	bench_show(m, name, &buffers);
	snprintf(name, sizeof(name), "data_%zu_call", size);
	bench_show(m, name, &call);
	snprintf(name, sizeof(name), "data_%zu_once", size);
	bench_show(m, name, &all);

out_free:
	kvfree(in);
	kvfree(out);
}

static void bench_faults(struct seq_file *m)
{
	struct bench b = BENCH_INIT;
	unsigned int i;

	/* More runs than there are reports: a report goes to a slow console */
	for (i = 0; i < BENCH_RUNS; i++) {
		struct sbm sbm;
		int err;

		sbm_init(&sbm);
		bench_start(&b);
		err = sbm_exec(&sbm, bench_fault, NULL);
		bench_stop(&b);
		if (err != -EFAULT)
			b.best = 0;
		sbm_destroy(&sbm);
	}
	bench_show(m, "fault", &b);
}

void sbm_phase_note(enum sbm_phase phase)
{
	raw_cpu_write(sbm_phases[phase], rdtsc());
}

/*
 * Where the time of a warm call goes. Noting a point costs a few instructions,
 * which are part of the phase that it ends.
 */
static void bench_phases(struct seq_file *m)
{
	u64 best[SBM_NR_PHASES + 1];
	u64 start, stop, total, best_total = U64_MAX;
	struct sbm sbm;
	unsigned int i, p;

	sbm_init(&sbm);
	for (i = 0; i < BENCH_RUNS; i++) {
		raw_cpu_write(sbm_phases_on, true);
		barrier();
		start = rdtsc();
		barrier();
		if (sbm_exec(&sbm, bench_null, NULL))
			break;
		barrier();
		stop = rdtsc();
		raw_cpu_write(sbm_phases_on, false);

		total = stop - start;
		if (total >= best_total)
			continue;
		best_total = total;
		for (p = 0; p <= SBM_NR_PHASES; p++) {
			u64 from = p ? raw_cpu_read(sbm_phases[p - 1]) : start;
			u64 to = p < SBM_NR_PHASES ?
				 raw_cpu_read(sbm_phases[p]) : stop;

			best[p] = to - from;
		}
	}
	raw_cpu_write(sbm_phases_on, false);
	sbm_destroy(&sbm);

	for (p = 0; p <= SBM_NR_PHASES && best_total != U64_MAX; p++)
		seq_printf(m, "row phase_%s ticks %llu\n", bench_phase_names[p],
			   best[p]);
}

/* === An interrupt during a stay === */

static u64 bench_interrupts_seen(void)
{
	unsigned int cpu = raw_smp_processor_id();

	return arch_irq_stat_cpu(cpu) + kstat_cpu_irqs_sum(cpu);
}

/*
 * A loop that lasts many ticks, in the kernel and in a sandbox. The instructions of
 * the loop itself are known; the reader takes them off, and divides the rest by the
 * number of interrupts.
 */
static void bench_interrupt(struct seq_file *m, const char *name, bool inside,
			    unsigned long rounds)
{
	struct bench b = BENCH_INIT;
	u64 interrupts, seen = 0;
	struct sbm sbm;
	unsigned int i;

	sbm_init(&sbm);
	for (i = 0; i < BENCH_RUNS_LONG; i++) {
		struct bench run = BENCH_INIT;

		interrupts = bench_interrupts_seen();
		bench_start(&run);
		if (inside) {
			if (sbm_exec(&sbm, bench_spin, (void *)rounds))
				break;
		} else {
			bench_spin((void *)rounds);
		}
		bench_stop(&run);
		interrupts = bench_interrupts_seen() - interrupts;

		/* A few may come in while the kernel itself runs */
		if (interrupts && run.best < b.best &&
		    (!inside || run.events[SBM_COUNT_INTERRUPT] + 2 >= interrupts)) {
			b = run;
			seen = interrupts;
		}
	}
	sbm_destroy(&sbm);
	bench_show(m, name, &b);
	seq_printf(m, "%s_interrupts seen %llu\n", name, seen);
}

/* The ticks that an instruction takes are those that the clock has, see icount */
static void bench_interrupts(struct seq_file *m)
{
	unsigned long rounds = NSEC_PER_SEC / HZ * BENCH_TICKS / 2;

	seq_printf(m, "spin instructions %lu\n", 2 * rounds);
	bench_interrupt(m, "tick_outside", false, rounds);
	bench_interrupt(m, "tick_inside", true, rounds);
}

/* === What it can be compared with === */

struct bench_peer {
	struct completion	go;
	struct completion	done;
	bool			stop;
};

static int bench_peer_thread(void *data)
{
	struct bench_peer *peer = data;

	for (;;) {
		wait_for_completion(&peer->go);
		if (peer->stop)
			break;
		complete(&peer->done);
	}
	complete(&peer->done);

	return 0;
}

/* Hand over to another thread and wait for its answer */
static void bench_kthread(struct seq_file *m)
{
	struct bench_peer peer = {};
	struct bench b = BENCH_INIT;
	struct task_struct *task;
	unsigned int i;

	init_completion(&peer.go);
	init_completion(&peer.done);
	task = kthread_run(bench_peer_thread, &peer, "sbm_bench");
	if (IS_ERR(task))
		return;

	for (i = 0; i < BENCH_RUNS; i++) {
		bench_start(&b);
		complete(&peer.go);
		wait_for_completion(&peer.done);
		bench_stop(&b);
	}
	peer.stop = true;
	complete(&peer.go);
	wait_for_completion(&peer.done);
	bench_show(m, "kthread", &b);
}

static void bench_work_func(struct work_struct *work)
{
}

static void bench_workqueue(struct seq_file *m)
{
	struct work_struct work;
	struct bench b = BENCH_INIT;
	unsigned int i;

	INIT_WORK_ONSTACK(&work, bench_work_func);
	for (i = 0; i < BENCH_RUNS; i++) {
		bench_start(&b);
		schedule_work(&work);
		flush_work(&work);
		bench_stop(&b);
	}
	destroy_work_on_stack(&work);
	bench_show(m, "workqueue", &b);
}

/* A process that does nothing but exit */
static void bench_helper(struct seq_file *m)
{
	static char *argv[] = { "/sbm-bench", "exit", NULL };
	static char *envp[] = { "PATH=/", NULL };
	struct bench b = BENCH_INIT;
	unsigned int i;
	int err = 0;

	for (i = 0; i < BENCH_RUNS && !err; i++) {
		bench_start(&b);
		err = call_usermodehelper(argv[0], argv, envp, UMH_WAIT_PROC);
		bench_stop(&b);
	}
	if (err)
		b.best = U64_MAX;
	bench_show(m, "usermode_helper", &b);
}

/* === Memory === */

#define BENCH_INSTANCES	10000

/* Without those on per-CPU lists: a percent of what is measured */
static long bench_free_pages(void)
{
	return global_zone_page_state(NR_FREE_PAGES);
}

static void bench_memory(struct seq_file *m)
{
	struct sbm *sbm = kvcalloc(BENCH_INSTANCES, sizeof(*sbm), GFP_KERNEL);
	long free, own, used, left;
	unsigned int i, nr;
	int err = 0;

	if (!sbm)
		return;

	/* The slab caches keep some from earlier runs */
	own = sbm_pages_in_use();
	free = bench_free_pages();
	for (nr = 0; nr < BENCH_INSTANCES && !err; nr++)
		err = sbm_init(&sbm[nr]);
	own = sbm_pages_in_use() - own;
	used = free - bench_free_pages();
	seq_printf(m, "memory instances %u own_pages %ld used_pages %ld error %d\n",
		   nr, own, used, err);

	/* Each of them works */
	for (i = 0; i < nr && !err; i += 1000)
		err = sbm_exec(&sbm[i], bench_null, NULL);
	for (i = 0; i < nr; i++)
		sbm_destroy(&sbm[i]);
	left = sbm_pages_in_use();
	seq_printf(m, "memory_after own_pages %ld used_pages %ld error %d\n", left,
		   free - bench_free_pages(), err);
	kvfree(sbm);
}

/* === Bulk work: decompression === */

enum bench_codec {
	BENCH_ZLIB,
	BENCH_LZO,
	BENCH_LZ4,
	BENCH_XZ,
	BENCH_ZSTD,
	BENCH_NR_CODECS
};

static const char * const bench_codec_names[] = {
	[BENCH_ZLIB]	= "zlib",
	[BENCH_LZO]	= "lzo",
	[BENCH_LZ4]	= "lz4",
	[BENCH_XZ]	= "xz",
	[BENCH_ZSTD]	= "zstd",
};

static_assert(ARRAY_SIZE(bench_codec_names) == BENCH_NR_CODECS);

#define BENCH_ZSTD_LEVEL	3
#define BENCH_DICT_SIZE		SZ_1M

/* What all of them can make of their input in the worst case */
static size_t bench_bound(size_t size)
{
	return size + size / 8 + 1024;
}

/**
 * struct bench_job - arguments of bench_decompress()
 * @codec:    Who is to do it.
 * @in:	      Compressed data.
 * @in_size:  Its size in bytes.
 * @out:      Where to.
 * @out_size: How much is expected.
 * @work:     Memory to work in.
 * @work_size: Its size in bytes.
 */
struct bench_job {
	enum bench_codec codec;
	const u8	*in;
	size_t		in_size;
	u8		*out;
	size_t		out_size;
	void		*work;
	size_t		work_size;
};

static int bench_unzlib(const struct bench_job *job)
{
	z_stream stream = {
		.next_in	= job->in,
		.avail_in	= job->in_size,
		.next_out	= job->out,
		.avail_out	= job->out_size,
		.workspace	= job->work,
	};

	if (zlib_inflateInit(&stream) != Z_OK)
		return -EINVAL;
	if (zlib_inflate(&stream, Z_FINISH) != Z_STREAM_END)
		return -EINVAL;

	return stream.total_out == job->out_size ? 0 : -EINVAL;
}

static int bench_unxz(const struct bench_job *job)
{
	struct xz_buf b = {
		.in		= job->in,
		.in_size	= job->in_size,
		.out		= job->out,
		.out_size	= job->out_size,
	};
	struct xz_dec_microlzma *dec = job->work;
	enum xz_ret ret;

	xz_dec_microlzma_reset(dec, job->in_size, job->out_size, false);
	ret = xz_dec_microlzma_run(dec, &b);

	return (ret == XZ_OK || ret == XZ_STREAM_END) && b.out_pos == job->out_size ?
	       0 : -EINVAL;
}

static int bench_unzstd(const struct bench_job *job)
{
	zstd_dctx *ctx = zstd_init_dctx(job->work, job->work_size);
	size_t size;

	if (!ctx)
		return -EINVAL;
	size = zstd_decompress_dctx(ctx, job->out, job->out_size, job->in,
				    job->in_size);

	return size == job->out_size ? 0 : -EINVAL;
}

/* The target */
static noinline int bench_decompress(void *data)
{
	const struct bench_job *job = data;
	size_t size = job->out_size;

	switch (job->codec) {
	case BENCH_ZLIB:
		return bench_unzlib(job);
	case BENCH_LZO:
		if (lzo1x_decompress_safe(job->in, job->in_size, job->out, &size))
			return -EINVAL;
		return size == job->out_size ? 0 : -EINVAL;
	case BENCH_LZ4:
		return LZ4_decompress_safe(job->in, job->out, job->in_size,
					   job->out_size) == size ? 0 : -EINVAL;
	case BENCH_XZ:
		return bench_unxz(job);
	case BENCH_ZSTD:
		return bench_unzstd(job);
	default:
		return -EINVAL;
	}
}

/* Raw LZMA streams: the kernel has no compressor for them */
static u8 *bench_blob;
static size_t bench_blob_size;
#define BENCH_BLOB_MAX	SZ_4M

/*
 * The stream number @nr of those that were written to the file: each has its size
 * in front, 32 bits, little endian.
 */
static const u8 *bench_xz_find(unsigned int nr, size_t *size)
{
	size_t at = 0;

	while (bench_blob && bench_blob_size - at >= sizeof(u32)) {
		*size = get_unaligned_le32(bench_blob + at);
		at += sizeof(u32);
		if (*size > bench_blob_size - at)
			break;
		if (!nr--)
			return bench_blob + at;
		at += *size;
	}

	return NULL;
}

static size_t bench_zlib_compress(const u8 *in, size_t size, u8 *out, size_t max)
{
	z_stream stream = {
		.next_in	= in,
		.avail_in	= size,
		.next_out	= out,
		.avail_out	= max,
	};
	size_t done = 0;

	stream.workspace = vzalloc(zlib_deflate_workspacesize(MAX_WBITS, MAX_MEM_LEVEL));
	if (!stream.workspace)
		return 0;
	if (zlib_deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, MAX_WBITS,
			      MAX_MEM_LEVEL, Z_DEFAULT_STRATEGY) == Z_OK &&
	    zlib_deflate(&stream, Z_FINISH) == Z_STREAM_END)
		done = stream.total_out;
	vfree(stream.workspace);

	return done;
}

static size_t bench_zstd_compress(const u8 *in, size_t size, u8 *out, size_t max)
{
	zstd_parameters params = zstd_get_params(BENCH_ZSTD_LEVEL, size);
	size_t work_size = zstd_cctx_workspace_bound(&params.cParams);
	void *work = vmalloc(work_size);
	size_t done = 0;
	zstd_cctx *ctx;

	if (!work)
		return 0;
	ctx = zstd_init_cctx(work, work_size);
	if (ctx)
		done = zstd_compress_cctx(ctx, out, max, in, size, &params);
	vfree(work);

	return zstd_is_error(done) ? 0 : done;
}

static size_t bench_compress(enum bench_codec codec, const u8 *in, size_t size,
			     u8 *out, size_t max, unsigned int blob)
{
	size_t done = max;
	const u8 *stream;
	void *work;

	switch (codec) {
	case BENCH_ZLIB:
		return bench_zlib_compress(in, size, out, max);
	case BENCH_LZO:
		work = vmalloc(LZO1X_1_MEM_COMPRESS);
		if (!work || lzo1x_1_compress(in, size, out, &done, work) != LZO_E_OK)
			done = 0;
		vfree(work);
		return done;
	case BENCH_LZ4:
		work = vmalloc(LZ4_MEM_COMPRESS);
		done = work ? LZ4_compress_default(in, out, size, max, work) : 0;
		vfree(work);
		return done;
	case BENCH_XZ:
		stream = bench_xz_find(blob, &done);
		if (!stream || done > max)
			return 0;
		memcpy(out, stream, done);
		return done;
	case BENCH_ZSTD:
		return bench_zstd_compress(in, size, out, max);
	default:
		return 0;
	}
}

/*
 * An object that lives on pages of its own. The decoder of XZ is opaque and is one
 * allocation, without pointers to itself, that xz_dec_microlzma_alloc() makes.
 */
static void *bench_work_alloc(enum bench_codec codec, size_t *size)
{
	struct xz_dec_microlzma *dec;
	void *work;

	switch (codec) {
	case BENCH_ZLIB:
		*size = zlib_inflate_workspacesize();
		break;
	case BENCH_ZSTD:
		*size = zstd_dctx_workspace_bound();
		break;
	case BENCH_XZ:
		dec = xz_dec_microlzma_alloc(XZ_SINGLE, BENCH_DICT_SIZE);
		if (!dec)
			return NULL;
		*size = ksize(dec);
		work = vmalloc(*size);
		if (work)
			memcpy(work, dec, *size);
		xz_dec_microlzma_end(dec);
		return work;
	default:
		*size = PAGE_SIZE;
		break;
	}

	return vzalloc(*size);
}

/*
 * Outside: a plain call. Inside: a call of an instance that is there already, on
 * the caller's own pages. Once: set up, copy in, call, copy out, destroy.
 */
static int bench_bulk(const struct bench_job *job, struct bench *outside,
		      struct bench *inside, struct bench *once, u8 *check)
{
	struct bench_job there = *job;
	struct bench_job *arg;
	struct sbm sbm;
	unsigned int i;
	int err = 0;

	for (i = 0; i < BENCH_RUNS_LONG && !err; i++) {
		struct bench_job here = *job;

		bench_start(outside);
		err = bench_decompress(&here);
		bench_stop(outside);
	}
	memcpy(check, job->out, job->out_size);

	memset(job->out, 0, job->out_size);
	sbm_init(&sbm);
	there.in = SBM_MAP_READONLY(&sbm, job->in, job->in_size);
	there.out = SBM_MAP_WRITABLE(&sbm, job->out, job->out_size);
	there.work = SBM_MAP_WRITABLE(&sbm, job->work, job->work_size);
	arg = SBM_COPY_IN(&sbm, &there, sizeof(there));
	for (i = 0; i < BENCH_RUNS_LONG && !err; i++) {
		bench_start(inside);
		err = sbm_exec(&sbm, bench_decompress, arg);
		bench_stop(inside);
	}
	sbm_destroy(&sbm);
	if (!err && memcmp(check, job->out, job->out_size))
		err = -EIO;

	memset(job->out, 0, job->out_size);
	for (i = 0; i < BENCH_RUNS_LONG && !err; i++) {
		bench_start(once);
		sbm_init(&sbm);
		there.in = SBM_COPY_IN(&sbm, job->in, job->in_size);
		there.out = SBM_COPY_OUT(&sbm, job->out, job->out_size);
		there.work = SBM_MAP_WRITABLE(&sbm, job->work, job->work_size);
		err = sbm_exec(&sbm, bench_decompress,
			       SBM_COPY_IN(&sbm, &there, sizeof(there)));
		sbm_destroy(&sbm);
		bench_stop(once);
	}
	if (!err && memcmp(check, job->out, job->out_size))
		err = -EIO;

	return err;
}

/* The generator is Marsaglia's xorshift64; scripts/sbm/bench has the same */
static void bench_random(u8 *buf, size_t size)
{
	u64 x = 0x9e3779b97f4a7c15ULL;
	size_t i;

	for (i = 0; i < size; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		buf[i] = x;
	}
}

static void bench_codec(struct seq_file *m, enum bench_codec codec, bool random,
			size_t size)
{
	struct bench outside = BENCH_INIT, inside = BENCH_INIT, once = BENCH_INIT;
	const char *what = random ? "random" : "text";
	struct bench_job job = { .codec = codec, .out_size = size };
	unsigned int blob = (size > SZ_64K ? 1 : 0) + (random ? 2 : 0);
	size_t max = bench_bound(size);
	u8 *plain, *in, *check;
	char name[64];
	int err = -ENOMEM;

	plain = vmalloc(size);
	check = vmalloc(size);
	in = vmalloc(max);
	job.out = vmalloc(size);
	job.work = bench_work_alloc(codec, &job.work_size);
	if (!plain || !check || !in || !job.out || !job.work)
		goto out_free;

	/* Text is what a compressed kernel image holds */
	if (random)
		bench_random(plain, size);
	else
		memcpy(plain, _stext, size);

	job.in = in;
	job.in_size = bench_compress(codec, plain, size, in, max, blob);
	if (!job.in_size) {
		err = -ENODATA;
		goto out_free;
	}
	err = bench_bulk(&job, &outside, &inside, &once, check);

	/* The text that XZ has got is not patched yet */
	if (!err && (codec != BENCH_XZ || random) && memcmp(plain, check, size))
		err = -EILSEQ;

out_free:
	seq_printf(m, "bulk %s %s %zu compressed %zu error %d\n",
		   bench_codec_names[codec], what, size, job.in_size, err);
	if (!err) {
		snprintf(name, sizeof(name), "bulk_%s_%s_%zu_outside",
			 bench_codec_names[codec], what, size);
		bench_show(m, name, &outside);
		snprintf(name, sizeof(name), "bulk_%s_%s_%zu_inside",
			 bench_codec_names[codec], what, size);
		bench_show(m, name, &inside);
		snprintf(name, sizeof(name), "bulk_%s_%s_%zu_once",
			 bench_codec_names[codec], what, size);
		bench_show(m, name, &once);
	}
	vfree(plain);
	vfree(check);
	vfree(in);
	vfree(job.out);
	vfree(job.work);
}

/* === The file === */

/* Which of the two files it is */
enum bench_extent {
	BENCH_ALL,
	BENCH_CALLS,
};

static int bench_run(struct seq_file *m, void *unused)
{
	const enum bench_extent extent = (unsigned long)m->private;
	static const size_t sizes[] = { 64, SZ_4K, SZ_64K };
	static const size_t bulk[] = { SZ_64K, SZ_256K };
	unsigned int codec, i;

	mutex_lock(&bench_lock);
	bench_calibrate(m);
	bench_setup(m);
	if (sbm_isolation() != SBM_ISOLATION_STRONG) {
		seq_puts(m, "error strong isolation is not available\n");
		goto out_unlock;
	}

	bench_events(m);
	bench_direct(m);
	bench_calls(m);
	bench_once(m);
	bench_phases(m);
	if (extent == BENCH_CALLS)
		goto out_end;

	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		bench_data(m, sizes[i]);
	bench_faults(m);
	bench_interrupts(m);
	bench_kthread(m);
	bench_workqueue(m);
	bench_helper(m);
	bench_memory(m);
	for (codec = 0; codec < BENCH_NR_CODECS; codec++) {
		for (i = 0; i < ARRAY_SIZE(bulk); i++) {
			bench_codec(m, codec, false, bulk[i]);
			bench_codec(m, codec, true, bulk[i]);
		}
	}
out_end:
	seq_puts(m, "end\n");
out_unlock:
	mutex_unlock(&bench_lock);
	return 0;
}

/* With room for all of it: seq_file would measure again into a larger buffer */
static int bench_open(struct inode *inode, struct file *file)
{
	return single_open_size(file, bench_run, inode->i_private, SZ_64K);
}

static ssize_t bench_write(struct file *file, const char __user *buf, size_t count,
			   loff_t *ppos)
{
	ssize_t ret = -ENOMEM;

	mutex_lock(&bench_lock);
	if (!bench_blob)
		bench_blob = vzalloc(BENCH_BLOB_MAX);
	if (bench_blob)
		ret = simple_write_to_buffer(bench_blob, BENCH_BLOB_MAX, ppos, buf,
					     count);
	if (ret > 0)
		bench_blob_size = *ppos;
	mutex_unlock(&bench_lock);

	return ret;
}

static const struct file_operations bench_fops = {
	.owner		= THIS_MODULE,
	.open		= bench_open,
	.read		= seq_read,
	.write		= bench_write,
	.llseek		= seq_lseek,
	.release	= single_release,
};

/* After the folder, which is made in a late initcall */
static int __init bench_init(void)
{
	struct dentry *dir = debugfs_lookup("sbm", NULL);

	debugfs_create_file("bench", 0600, dir, (void *)BENCH_ALL, &bench_fops);
	debugfs_create_file("bench_calls", 0400, dir, (void *)BENCH_CALLS,
			    &bench_fops);
	dput(dir);

	return 0;
}
late_initcall_sync(bench_init);
