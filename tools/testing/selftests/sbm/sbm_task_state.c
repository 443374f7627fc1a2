// SPDX-License-Identifier: GPL-2.0
/*
 * Sandbox calls by a task that has all the state that an x86-64 task can have: the
 * sandbox must see none of it, and the task must find all of it as it was.
 *
 * The calls are made through debugfs, see arch/x86/kernel/sandbox/test_task.c. All
 * of them go through tricked_call(), which loads the state, makes the system call,
 * and stores what it finds right afterwards.
 */
#define _GNU_SOURCE
#include <asm/ldt.h>
#include <asm/prctl.h>
#include <assert.h>
#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/hw_breakpoint.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../../../arch/x86/kernel/sandbox/test_task.h"

#define TASK_FILE	"/sys/kernel/debug/sbm_test/task"

/* enum sbm_cause of the kernel */
#define CAUSE_NONE		0
#define CAUSE_PAGE_FAULT	1
#define CAUSE_PROTECTION	2
#define CAUSE_DEBUG		5
#define CAUSE_FPU		6
#define CAUSE_SYSCALL		7
#define CAUSE_SEGMENT		8
#define CAUSE_PROBE		9

#define noinline		__attribute__((noinline))
#define __noreturn		__attribute__((noreturn))
#define ARRAY_SIZE(a)		(sizeof(a) / sizeof((a)[0]))
#define BIT(n)			(1UL << (n))

/* Selectors of 64-bit tasks */
#define USER_DS			0x2b
#define USER_CS			0x33
#define USER32_CS		0x23
/* The first of the segments that a 32-bit program sets up, and of the LDT */
#define TLS_SELECTOR		0x63
#define LDT_SELECTOR(n)		((n) << 3 | 7)
#define LDT_DATA		LDT_SELECTOR(0)
#define LDT_CODE		LDT_SELECTOR(1)

#define FLAG_CF			0x1UL
#define FLAG_TF			0x100UL
#define FLAG_IF			0x200UL
#define FLAG_DF			0x400UL
#define FLAG_IOPL		0x3000UL
#define FLAG_NT			0x4000UL
#define FLAG_AC			0x40000UL
#define FLAG_ID			0x200000UL

/* A port that does no harm: the BIOS writes its progress there */
#define PORT			0x80

#define FS_BASE			0x00007a1234560000UL
#define GS_BASE			0x00007b6543210000UL

/* --- Results --- */

static int test_number;
static int test_failed;
static bool case_failed;
static const char *case_name = "setup";
static const char *case_skip;

static void note(const char *fmt, ...)
{
	va_list args;

	printf("# %s: ", case_name);
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	putchar('\n');
}

#define EXPECT(condition, ...)						\
do {									\
	if (!(condition)) {						\
		case_failed = true;					\
		note("line " __stringify(__LINE__) ": " #condition);	\
		note(" " __VA_ARGS__);					\
	}								\
} while (0)
#define __stringify_1(x)	#x
#define __stringify(x)		__stringify_1(x)

/* --- The call --- */

#define NR_MARKED	9

/*
 * What tricked_call() loads before the system call and finds afterwards. It does
 * not load the base that a selector brings: the bases come last.
 */
struct context {
	uint64_t fd;		/*   0 */
	uint64_t cmd;		/*   8 */
	uint64_t arg;		/*  16 */
	uint64_t has_pkru;	/*  24 */
	uint64_t pkru;		/*  32 */
	uint64_t flags;		/*  40 */
	uint64_t fs_base;	/*  48 */
	uint64_t gs_base;	/*  56 */
	uint64_t ds;		/*  64 */
	uint64_t es;		/*  72 */
	uint64_t fs;		/*  80 */
	uint64_t gs;		/*  88 */
	void	 *xload;	/*  96 */
	void	 *xstore;	/* 104 */
	uint64_t xmask;		/* 112 */
	/* Found afterwards */
	int64_t	 ret;		/* 120 */
	uint64_t new_pkru;	/* 128 */
	uint64_t new_flags;	/* 136 */
	uint64_t new_fs_base;	/* 144 */
	uint64_t new_gs_base;	/* 152 */
	uint64_t new_ds;	/* 160 */
	uint64_t new_es;	/* 168 */
	uint64_t new_fs;	/* 176 */
	uint64_t new_gs;	/* 184 */
	uint64_t new_ss;	/* 192 */
	uint64_t new_cs;	/* 200 */
	uint64_t new_sp;	/* 208 */
	uint64_t sp;		/* 216 */
	uint64_t marked[NR_MARKED];	/* 224 */
	/* The C library's own */
	uint64_t own_fs_base;	/* 296 */
	uint64_t own_gs_base;	/* 304 */
};

static_assert(offsetof(struct context, ret) == 120, "tricked_call()");
static_assert(offsetof(struct context, marked) == 224, "tricked_call()");
static_assert(offsetof(struct context, own_gs_base) == 304, "tricked_call()");

/* In sbm_task_call.S */
void tricked_call(struct context *c);

static int task_fd;
static bool has_pku;
static bool is_emulated;
static bool has_shstk;
static struct sbm_task_report report;

/* A context in which nothing is unusual */
static struct context plain_context(void)
{
	struct context c = { .fd = task_fd, .flags = 2, };

	asm volatile("rdfsbase %0" : "=r" (c.fs_base));
	asm volatile("rdgsbase %0" : "=r" (c.gs_base));

	return c;
}

/* A null selector loses its low bits when an interrupt returns to ring 3 */
static bool same_selector(uint64_t found, uint64_t wanted)
{
	return found == wanted || (found == 0 && wanted < 4);
}

static void expect_same_context(const struct context *c)
{
	static const uint64_t marks[] = {
		0x1111111111111111, 0x2222222222222222, 0x3333333333333333,
		0x4444444444444444,
	};
	/* Not TF, which a debugger sets */
	const uint64_t kept = FLAG_CF | FLAG_DF | FLAG_NT | FLAG_AC | FLAG_ID |
			      FLAG_IOPL;
	size_t i;

	EXPECT(c->ret == 0, "%ld", (long)c->ret);
	for (i = 0; i < ARRAY_SIZE(marks); i++)
		EXPECT(c->marked[i] == marks[i], "register %zu: %lx", i,
		       (long)c->marked[i]);
	EXPECT(c->marked[4] == c->fd, "rdi %lx", (long)c->marked[4]);
	EXPECT(c->marked[5] == c->cmd, "rsi %lx", (long)c->marked[5]);
	EXPECT(c->marked[6] == c->arg, "rdx %lx", (long)c->marked[6]);
	EXPECT(c->marked[7] == c->has_pkru, "r10 %lx", (long)c->marked[7]);
	EXPECT(c->new_sp == c->sp, "%lx, not %lx", (long)c->new_sp, (long)c->sp);
	EXPECT((c->new_flags & kept) == (c->flags & kept), "%lx, not %lx",
	       (long)c->new_flags, (long)c->flags);
	EXPECT(c->new_fs_base == c->fs_base, "%lx", (long)c->new_fs_base);
	EXPECT(c->new_gs_base == c->gs_base, "%lx", (long)c->new_gs_base);
	EXPECT(same_selector(c->new_ds, c->ds), "%lx", (long)c->new_ds);
	EXPECT(same_selector(c->new_es, c->es), "%lx", (long)c->new_es);
	EXPECT(same_selector(c->new_fs, c->fs), "%lx", (long)c->new_fs);
	EXPECT(same_selector(c->new_gs, c->gs), "%lx", (long)c->new_gs);
	EXPECT(c->new_ss == USER_DS, "%lx", (long)c->new_ss);
	EXPECT(c->new_cs == USER_CS, "%lx", (long)c->new_cs);
	if (c->has_pkru)
		EXPECT(c->new_pkru == c->pkru, "%lx", (long)c->new_pkru);
}

/* Call @target in context @c, and read how it ended */
static void call_in(struct context *c, unsigned int target, unsigned long value)
{
	c->cmd = SBM_TASK_CALL;
	c->arg = target;
	EXPECT(ioctl(task_fd, SBM_TASK_VALUE, value) == 0, "%d", errno);
	tricked_call(c);
	expect_same_context(c);
	memset(&report, 0xff, sizeof(report));
	EXPECT(ioctl(task_fd, SBM_TASK_REPORT, &report) == 0, "%d", errno);
}

static void call(unsigned int target, unsigned long value)
{
	struct context c = plain_context();

	call_in(&c, target, value);
}

/*
 * An event in the middle takes away what the target has set of bases, flags and PKRU,
 * as documented: then once more.
 */
#define CALL_UNTIL(cond, c, target, value)				\
	do {								\
		int __tries;						\
									\
		for (__tries = 0; __tries < 20; __tries++) {		\
			call_in(c, target, value);			\
			if (cond)					\
				break;					\
		}							\
	} while (0)

static void call_trapped(unsigned long flags)
{
	struct context c = plain_context();

	CALL_UNTIL(report.ret, &c, SBM_TASK_FLAGS, flags);
}

static void expect_stop(unsigned long causes)
{
	EXPECT(report.ret == -EFAULT && causes & BIT(report.cause),
	       "target ended with %ld, cause %u, vector %u, error code %lx",
	       (long)report.ret, report.cause, report.vector,
	       (long)report.error_code);
}

/* Stopped at the very instruction */
static void expect_stop_at_insn(unsigned long causes)
{
	expect_stop(causes);
	EXPECT(report.ip == report.insn, "%lx, not %lx", (long)report.ip,
	       (long)report.insn);
}

static void expect_return(void)
{
	EXPECT(report.ret == 0 && !report.cause,
	       "target ended with %ld, cause %u, vector %u, error code %lx",
	       (long)report.ret, report.cause, report.vector,
	       (long)report.error_code);
}

/* --- Signals that say whether an instruction is allowed --- */

static sigjmp_buf escape;

static void on_fault(int sig)
{
	siglongjmp(escape, sig);
}

static void catch_faults(void)
{
	struct sigaction sa = { .sa_handler = on_fault, .sa_flags = SA_NODEFER, };

	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGBUS, &sa, NULL);
	sigaction(SIGILL, &sa, NULL);
}

static void read_port(void)
{
	asm volatile("in $0x80, %%al" : : : "eax");
}

static void write_port(void)
{
	asm volatile("out %%al, $0x80" : : "a" (0));
}

static void read_tsc(void)
{
	asm volatile("rdtsc" : : : "eax", "edx");
}

/* The signal that an instruction gets, 0 for none */
static noinline int signal_of(void (*insn)(void))
{
	int sig = sigsetjmp(escape, 1);

	if (!sig)
		insn();

	return sig;
}

/* --- What a target can see --- */

/* All registers are the sandbox's own */
static void expect_nothing_seen(void)
{
	const struct sbm_task_seen *s = &report.seen;
	int i;

	expect_return();
	for (i = 0; i < 15; i++)
		EXPECT(!s->gpr[i] || s->gpr[i] == report.args,
		       "register %d: %lx", i, (long)s->gpr[i]);
	EXPECT(!(s->flags & ~0x8d7UL & ~FLAG_IF), "%lx", (long)s->flags);
	EXPECT(s->sp >= report.window && s->sp < report.window_end, "%lx",
	       (long)s->sp);
	EXPECT(s->gs_base == report.gs_base, "%lx", (long)s->gs_base);
	EXPECT(s->fs_base == 0, "%lx", (long)s->fs_base);
	EXPECT(!(s->ds | s->es | s->fs | s->gs), "%lx %lx %lx %lx",
	       (long)s->ds, (long)s->es, (long)s->fs, (long)s->gs);
	EXPECT(s->ss == USER_DS && s->cs == USER_CS, "%lx %lx", (long)s->ss,
	       (long)s->cs);
}

static void test_plain_task(void)
{
	call(SBM_TASK_DUMP, 0);
	expect_nothing_seen();
	call(SBM_TASK_TOUCH, SBM_TASK_CONSTANT);
	expect_return();
	EXPECT(report.result == 0x123456789abcdef0, "%lx", (long)report.result);
	call(SBM_TASK_TOUCH, (unsigned long)&report);
	expect_stop_at_insn(BIT(CAUSE_PAGE_FAULT));
}

static void test_bases_and_selectors(void)
{
	static const unsigned int hostile[] = {
		SBM_TASK_LOAD_DS, SBM_TASK_LOAD_ES, SBM_TASK_LOAD_FS,
		SBM_TASK_LOAD_GS,
	};
	unsigned int bases, selectors, i;

	for (bases = 0; bases < 2; bases++) {
		for (selectors = 0; selectors < 3; selectors++) {
			struct context c = plain_context();

			if (bases) {
				c.fs_base = FS_BASE;
				c.gs_base = GS_BASE;
			}
			if (selectors) {
				c.ds = USER_DS;
				c.es = USER_DS;
				c.fs = USER_DS;
				c.gs = USER_DS;
			}
			/* Null, but not zero */
			if (selectors == 2) {
				c.ds = 3;
				c.es = 1;
				c.fs = 2;
				c.gs = 3;
			}
			call_in(&c, SBM_TASK_DUMP, 0);
			expect_nothing_seen();
			CALL_UNTIL(report.result == 0x5550000, &c,
				   SBM_TASK_BASES, 0x5550000);
			expect_return();
			EXPECT(report.result == 0x5550000, "%lx",
			       (long)report.result);
			for (i = 0; i < 4; i++) {
				call_in(&c, hostile[i], USER_DS);
				expect_return();
				call_in(&c, hostile[i], 3);
				expect_return();
			}
			call_in(&c, SBM_TASK_IN, PORT);
			expect_stop_at_insn(BIT(CAUSE_PROTECTION));
		}
	}
}

static void test_flags(void)
{
	const unsigned long some = FLAG_AC | FLAG_ID | FLAG_DF | FLAG_CF | FLAG_NT;
	struct context c = plain_context();

	c.flags |= some;
	call_in(&c, SBM_TASK_DUMP, 0);
	expect_nothing_seen();
	call_in(&c, SBM_TASK_IN, PORT);
	expect_stop_at_insn(BIT(CAUSE_PROTECTION));

	c = plain_context();
	CALL_UNTIL((report.result & some) == some, &c, SBM_TASK_FLAGS, some);
	expect_return();
	EXPECT((report.result & some) == some, "%lx", (long)report.result);
	call_trapped(FLAG_TF);
	expect_stop(BIT(CAUSE_DEBUG));
	call_trapped(FLAG_TF | FLAG_NT | FLAG_AC);
	expect_stop(BIT(CAUSE_DEBUG));
}

/* --- I/O ports --- */

static void expect_ports(bool open)
{
	struct context c = plain_context();
	int i, want = open ? 0 : SIGSEGV;

	for (i = 0; i < 3; i++) {
		EXPECT(signal_of(read_port) == want);
		EXPECT(signal_of(write_port) == want);
		if (i == 0) {
			call_in(&c, SBM_TASK_IN, PORT);
			expect_stop_at_insn(BIT(CAUSE_PROTECTION));
		} else if (i == 1) {
			call_in(&c, SBM_TASK_OUT, PORT);
			expect_stop_at_insn(BIT(CAUSE_PROTECTION));
			/* Not the task's: the bitmap is all ones there */
			call_in(&c, SBM_TASK_IN, PORT + 1);
			expect_stop_at_insn(BIT(CAUSE_PROTECTION));
		}
	}
}

static void test_io_permissions(void)
{
	if (ioperm(PORT, 1, 1)) {
		case_skip = "no ioperm()";
		return;
	}
	expect_ports(true);
	/* And with what the scheduler does to the bitmap */
	sched_yield();
	usleep(2000);
	expect_ports(true);
	EXPECT(ioperm(PORT, 1, 0) == 0);
	expect_ports(false);
}

static void test_io_privilege_level(void)
{
	if (iopl(3)) {
		case_skip = "no iopl()";
		return;
	}
	expect_ports(true);
	EXPECT(iopl(0) == 0);
	expect_ports(false);
}

/* --- LDT and the GDT's segments of the task --- */

static bool set_ldt(unsigned int nr, unsigned long base, bool code)
{
	struct user_desc d = {
		.entry_number	= nr,
		.base_addr	= base,
		.limit		= 0xfffff,
		.seg_32bit	= 1,
		.contents	= code ? MODIFY_LDT_CONTENTS_CODE :
					 MODIFY_LDT_CONTENTS_DATA,
		.limit_in_pages	= 1,
	};

	return syscall(SYS_modify_ldt, 0x11, &d, sizeof(d)) == 0;
}

/* The first word at the base of a segment, through FS */
static uint32_t word_of_segment(unsigned int selector)
{
	unsigned long fs_base;
	uint32_t word;

	asm volatile("rdfsbase %0\n\t"
		     "mov %2, %%fs\n\t"
		     "mov %%fs:0, %1\n\t"
		     "mov %3, %%fs\n\t"
		     "wrfsbase %0"
		     : "=&r" (fs_base), "=&r" (word)
		     : "r" (selector), "r" (0)
		     : "memory");

	return word;
}

static bool selector_is_good(unsigned int selector)
{
	bool good;

	asm("lar %1, %%eax" : "=@ccz" (good) : "r" (selector) : "eax");

	return good;
}

/* A context that uses @selector everywhere, with bases that are not its */
static struct context context_of_selector(unsigned int selector)
{
	struct context c = plain_context();

	c.ds = selector;
	c.es = selector;
	c.fs = selector;
	c.gs = selector;
	c.fs_base = FS_BASE;
	c.gs_base = GS_BASE;

	return c;
}

/* A target that touches @selector in any way is stopped, or finds nothing */
static void expect_no_segment(unsigned int selector, unsigned long causes)
{
	static const unsigned int loads[] = {
		SBM_TASK_LOAD_DS, SBM_TASK_LOAD_ES, SBM_TASK_LOAD_FS,
		SBM_TASK_LOAD_GS, SBM_TASK_LOAD_SS, SBM_TASK_LRET,
	};
	struct context c = context_of_selector(selector);
	unsigned int i;

	call_in(&c, SBM_TASK_DUMP, 0);
	expect_nothing_seen();
	for (i = 0; i < ARRAY_SIZE(loads); i++) {
		call_in(&c, loads[i], selector);
		/* QEMU reads the target's stack as if it was ring 0: SMAP stops that */
		if (loads[i] == SBM_TASK_LRET && is_emulated && report.vector == 14)
			expect_stop_at_insn(BIT(CAUSE_PAGE_FAULT));
		else
			expect_stop_at_insn(causes);
	}
	call_in(&c, SBM_TASK_LAR, selector);
	if (report.ret)
		expect_stop_at_insn(causes);
	else
		EXPECT(report.result == 0, "%lx", (long)report.result);
	call_in(&c, SBM_TASK_BUSY, 1000);
	expect_return();
}

static void test_local_descriptor_table(void)
{
	uint32_t *low = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);

	if (low == MAP_FAILED || !set_ldt(0, (unsigned long)low, false) ||
	    !set_ldt(1, (unsigned long)low, true)) {
		case_skip = "no modify_ldt()";
		return;
	}
	*low = 0x600df00d;
	EXPECT(word_of_segment(LDT_DATA) == *low);
	EXPECT(selector_is_good(LDT_CODE));

	/* The table is not mapped, so the processor faults on it */
	expect_no_segment(LDT_DATA, BIT(CAUSE_PAGE_FAULT) | BIT(CAUSE_SEGMENT));
	call(SBM_TASK_LRET, LDT_CODE);
	expect_stop(BIT(CAUSE_PAGE_FAULT) | BIT(CAUSE_SEGMENT));
	call(SBM_TASK_LRET, USER32_CS);
	expect_stop(BIT(CAUSE_PAGE_FAULT) | BIT(CAUSE_SEGMENT));

	EXPECT(word_of_segment(LDT_DATA) == *low);
	EXPECT(selector_is_good(LDT_CODE));
	munmap(low, 4096);
}

static void test_segments_of_32_bit_code(void)
{
	uint32_t *low = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);

	if (low == MAP_FAILED) {
		case_skip = "no memory below 4 GiB";
		return;
	}
	*low = 0x600dcafe;
	EXPECT(ioctl(task_fd, SBM_TASK_TLS, low) == 0);
	EXPECT(word_of_segment(TLS_SELECTOR) == *low);

	expect_no_segment(TLS_SELECTOR, BIT(CAUSE_PROTECTION));

	EXPECT(word_of_segment(TLS_SELECTOR) == *low);
	EXPECT(ioctl(task_fd, SBM_TASK_TLS, 0) == 0);
	EXPECT(!selector_is_good(TLS_SELECTOR));
	munmap(low, 4096);
}

/* --- Protection keys --- */

static void test_protection_keys(void)
{
	/* All rights, none but to write what cannot be read, none at all */
	static const uint32_t rights[] = { 0, 0x55555554, 0x55555556, 0xffffffff };
	size_t i;

	if (!has_pku) {
		case_skip = "the CPU has no protection keys";
		return;
	}
	for (i = 0; i < ARRAY_SIZE(rights); i++) {
		struct context c = plain_context();

		c.has_pkru = 1;
		c.pkru = rights[i];
		call_in(&c, SBM_TASK_RDPKRU, 0);
		expect_return();
		EXPECT((uint32_t)report.result == 0, "%lx", (long)report.result);
		call_in(&c, SBM_TASK_DUMP, 0);
		expect_nothing_seen();
		call_in(&c, SBM_TASK_WRPKRU, ~rights[i] & ~3u);
		expect_return();
		/* Denies the target its own memory */
		CALL_UNTIL(report.ret, &c, SBM_TASK_WRPKRU, 0xffffffff);
		expect_stop(BIT(CAUSE_PAGE_FAULT));
		call_in(&c, SBM_TASK_IN, PORT);
		expect_stop_at_insn(BIT(CAUSE_PROTECTION));
		call_in(&c, SBM_TASK_X87, 0);
		expect_stop_at_insn(BIT(CAUSE_FPU));
	}
}

/* --- FPU --- */

#define XCOMP_SSE	1
#define XCOMP_AVX	2
#define XCOMP_ZMM	6
#define XCOMP_TILECFG	17
#define XCOMP_TILEDATA	18

static uint64_t xmask;
static size_t xsize;

/* Which parts of the registers are there, and where the processor keeps them */
static void find_fpu(void)
{
	uint32_t eax, ebx, ecx, edx;
	const uint64_t known = BIT(0) | BIT(XCOMP_SSE) | BIT(XCOMP_AVX) |
			       BIT(5) | BIT(XCOMP_ZMM) | BIT(7) |
			       BIT(XCOMP_TILECFG) | BIT(XCOMP_TILEDATA);

	__cpuid(1, eax, ebx, ecx, edx);
	if (!(ecx & bit_OSXSAVE))
		return;
	asm("xgetbv" : "=a" (eax), "=d" (edx) : "c" (0));
	xmask = ((uint64_t)edx << 32 | eax) & known;
	/* ARCH_REQ_XCOMP_PERM */
	if (xmask & BIT(XCOMP_TILEDATA) &&
	    syscall(SYS_arch_prctl, 0x1023, XCOMP_TILEDATA))
		xmask &= ~(BIT(XCOMP_TILECFG) | BIT(XCOMP_TILEDATA));
	__cpuid_count(0xd, 0, eax, ebx, ecx, edx);
	xsize = (ebx + 4095) & ~4095UL;
}

static void *alloc_xsave(void)
{
	void *p = mmap(NULL, xsize, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		exit(1);

	return p;
}

/* Bytes that are different everywhere, in every part that is there */
static void fill_xsave(uint8_t *p, unsigned int seed)
{
	uint32_t eax, ebx, ecx, edx, i, comp;

	memset(p, 0, xsize);
	/* x87: precision 53 bits; rounding of SSE towards zero */
	*(uint16_t *)p = 0x027f;
	*(uint32_t *)(p + 24) = 0x7f80;
	/* All eight x87 registers are in use */
	p[4] = 0xff;
	for (i = 0; i < 8 * 10; i++)
		p[32 + i / 10 * 16 + i % 10] = seed + i;
	for (i = 160; i < 416; i++)
		p[i] = seed + i * 3;
	for (comp = XCOMP_AVX; comp < 63; comp++) {
		if (!(xmask & BIT(comp)))
			continue;
		__cpuid_count(0xd, comp, eax, ebx, ecx, edx);
		if (comp == XCOMP_TILECFG) {
			p[ebx] = 1;
			for (i = 0; i < 8; i++) {
				p[ebx + 16 + 2 * i] = 64;
				p[ebx + 48 + i] = 16;
			}
			continue;
		}
		for (i = 0; i < eax; i++)
			p[ebx + i] = seed + i * 5 + comp;
	}
	/* XSTATE_BV */
	memcpy(p + 512, &xmask, sizeof(xmask));
}

/* Where the registers are in both, they must be equal */
static void expect_same_xsave(const uint8_t *a, const uint8_t *b)
{
	uint32_t eax, ebx, ecx, edx, i, comp;

	EXPECT(*(uint16_t *)a == *(uint16_t *)b, "FCW %x", *(uint16_t *)b);
	EXPECT(a[4] == b[4], "FTW %x", b[4]);
	EXPECT(*(uint32_t *)(a + 24) == *(uint32_t *)(b + 24), "MXCSR %x",
	       *(uint32_t *)(b + 24));
	for (i = 0; i < 8; i++)
		EXPECT(!memcmp(a + 32 + 16 * i, b + 32 + 16 * i, 10), "st(%u)", i);
	for (i = 0; i < 16; i++)
		EXPECT(!memcmp(a + 160 + 16 * i, b + 160 + 16 * i, 16), "xmm%u",
		       i);
	for (comp = XCOMP_AVX; comp < 63; comp++) {
		if (!(xmask & BIT(comp)))
			continue;
		__cpuid_count(0xd, comp, eax, ebx, ecx, edx);
		EXPECT(!memcmp(a + ebx, b + ebx, eax), "component %u", comp);
	}
}

struct fpu_attack {
	unsigned int	target;
	uint64_t	needs;
};

static const struct fpu_attack fpu_attacks[] = {
	{ SBM_TASK_X87, 0 },
	{ SBM_TASK_SSE, 0 },
	{ SBM_TASK_LDMXCSR, 0 },
	{ SBM_TASK_AVX, BIT(XCOMP_AVX) },
	{ SBM_TASK_AVX512, BIT(XCOMP_ZMM) },
	{ SBM_TASK_AMX, BIT(XCOMP_TILEDATA) },
	{ SBM_TASK_XSAVE, BIT(0) },
	{ SBM_TASK_XRSTOR, BIT(0) },
};

/* What a target has saved is nobody's, as far as it is reported */
static void expect_initial_fpu(void)
{
	const uint8_t *area = (const uint8_t *)&report.seen;
	size_t i;

	EXPECT(*(uint16_t *)area == 0x37f, "FCW %x", *(uint16_t *)area);
	EXPECT(*(uint32_t *)(area + 24) == 0x1f80, "MXCSR %x", *(uint32_t *)(area + 24));
	/* x87 and the first two of SSE */
	for (i = 32; i < 192; i++)
		EXPECT(area[i] == 0, "byte %zu is %x", i, area[i]);
}

static void test_fpu_registers(void)
{
	uint8_t *load, *store;
	size_t i;

	if (!xmask) {
		case_skip = "the CPU has no XSAVE";
		return;
	}
	note("state components %lx", (long)xmask);
	load = alloc_xsave();
	store = alloc_xsave();
	for (i = 0; i < ARRAY_SIZE(fpu_attacks); i++) {
		unsigned int target = fpu_attacks[i].target;
		struct context c = plain_context();

		if (fpu_attacks[i].needs & ~xmask)
			continue;
		c.xload = load;
		c.xstore = store;
		c.xmask = xmask;
		fill_xsave(load, 7 + 16 * i);
		memset(store, 0, xsize);
		call_in(&c, target, 0);
		/* QEMU's XSAVE and XRSTOR do not look at CR0.TS */
		if (is_emulated && !report.ret && target == SBM_TASK_XSAVE)
			expect_initial_fpu();
		else if (is_emulated && !report.ret && target == SBM_TASK_XRSTOR)
			;
		else
			expect_stop_at_insn(BIT(CAUSE_FPU));
		expect_same_xsave(load, store);

		/* And when the call goes well, with a stay that takes time */
		fill_xsave(load, 99 + 16 * i);
		memset(store, 0, xsize);
		call_in(&c, SBM_TASK_BUSY, 3000000);
		expect_return();
		EXPECT(report.result == 0, "%lx", (long)report.result);
		expect_same_xsave(load, store);
	}
	munmap(load, xsize);
	munmap(store, xsize);
}

/* --- Time stamp counter --- */

static void test_time_stamp_counter(void)
{
	int mode = 0;

	call(SBM_TASK_RDTSC, 0);
	expect_return();
	if (prctl(PR_SET_TSC, PR_TSC_SIGSEGV)) {
		case_skip = "no PR_SET_TSC";
		return;
	}
	call(SBM_TASK_RDTSC, 0);
	/* As documented: what the task may not do the target may not do either */
	expect_stop_at_insn(BIT(CAUSE_PROTECTION));
	EXPECT(prctl(PR_GET_TSC, &mode) == 0 && mode == PR_TSC_SIGSEGV);
	EXPECT(signal_of(read_tsc) == SIGSEGV);
	call(SBM_TASK_BUSY, 3000000);
	expect_return();
	EXPECT(signal_of(read_tsc) == SIGSEGV);
	EXPECT(prctl(PR_SET_TSC, PR_TSC_ENABLE) == 0);
	EXPECT(signal_of(read_tsc) == 0);
	call(SBM_TASK_RDTSC, 0);
	expect_return();
}

/* --- Breakpoints --- */

static int breakpoint(unsigned long addr, unsigned int type, unsigned int len)
{
	struct perf_event_attr attr = {
		.type		= PERF_TYPE_BREAKPOINT,
		.size		= sizeof(attr),
		.bp_type	= type,
		.bp_addr	= addr,
		.bp_len		= len,
		.pinned		= 1,
	};

	return syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0);
}

static uint64_t hits(int fd)
{
	uint64_t count = ~0UL;

	if (read(fd, &count, sizeof(count)) != sizeof(count))
		return ~0UL;

	return count;
}

static void test_breakpoints(void)
{
	static volatile unsigned long watched;
	int user, args, constant, insn, i;

	/* Addresses are the same in each call */
	call(SBM_TASK_TOUCH, SBM_TASK_CONSTANT);
	expect_return();

	user = breakpoint((unsigned long)&watched, HW_BREAKPOINT_RW, 8);
	args = breakpoint(report.args + 16, HW_BREAKPOINT_RW, 8);
	constant = breakpoint(report.constant, HW_BREAKPOINT_RW, 8);
	insn = breakpoint(report.insn, HW_BREAKPOINT_X, sizeof(long));
	if (user < 0 || args < 0 || constant < 0 || insn < 0) {
		case_skip = "perf gives no breakpoints";
		goto out;
	}
	watched = 1;
	EXPECT(hits(user) == 1, "%lu", (long)hits(user));

	for (i = 0; i < 3; i++) {
		call(SBM_TASK_TOUCH, SBM_TASK_CONSTANT);
		expect_return();
		call(SBM_TASK_SS_SYSCALL, 0);
		expect_stop(BIT(CAUSE_SYSCALL));
		call(SBM_TASK_SS_INT80, 0);
		expect_stop_at_insn(BIT(CAUSE_PROTECTION));
		call(SBM_TASK_SS_INT3, 0);
		expect_stop_at_insn(BIT(CAUSE_PROBE) | BIT(CAUSE_PROTECTION));
		call_trapped(FLAG_TF);
		expect_stop(BIT(CAUSE_DEBUG));
		EXPECT(hits(args) == 0, "%lu", (long)hits(args));
		EXPECT(hits(constant) == 0, "%lu", (long)hits(constant));
		EXPECT(hits(insn) == 0, "%lu", (long)hits(insn));
	}
	EXPECT(hits(user) == 1, "%lu", (long)hits(user));
	watched = 2;
	EXPECT(hits(user) == 2, "%lu", (long)hits(user));
	/* They would hit, and hit afterwards, if the kernel itself came there */
	EXPECT(ioctl(task_fd, SBM_TASK_PLAIN, 0) == 0);
	EXPECT(hits(constant) == 1, "%lu", (long)hits(constant));
	EXPECT(hits(insn) == 1, "%lu", (long)hits(insn));
out:
	close(user);
	close(args);
	close(constant);
	close(insn);
}

/* --- A debugger --- */

static volatile unsigned long traced_word;

static bool poke_dr(pid_t pid, int nr, unsigned long value)
{
	return ptrace(PTRACE_POKEUSER, pid, offsetof(struct user, u_debugreg[nr]),
		      value) == 0;
}

static unsigned long peek_dr(pid_t pid, int nr)
{
	return ptrace(PTRACE_PEEKUSER, pid, offsetof(struct user, u_debugreg[nr]),
		      0);
}

static int next_stop(pid_t pid)
{
	int status = 0;

	if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
		return -1;

	return WSTOPSIG(status);
}

static int resume(pid_t pid, int how)
{
	ptrace(how, pid, 0, 0);

	return next_stop(pid);
}

/* What the traced child does: stop, calls, stop, touch the word */
static void __noreturn traced_child(void)
{
	ptrace(PTRACE_TRACEME, 0, 0, 0);
	raise(SIGSTOP);
	call(SBM_TASK_TOUCH, SBM_TASK_CONSTANT);
	expect_return();
	call_trapped(FLAG_TF);
	expect_stop(BIT(CAUSE_DEBUG));
	call(SBM_TASK_SS_SYSCALL, 0);
	expect_stop(BIT(CAUSE_SYSCALL));
	call(SBM_TASK_BUSY, 3000000);
	expect_return();
	raise(SIGSTOP);
	traced_word = 1;
	fflush(stdout);
	_exit(case_failed);
}

static void test_debug_registers(void)
{
	/* Local enable, writes, four bytes; global enable is the kernel's matter */
	const unsigned long dr7 = 1 | 0x1UL << 16 | 0x3UL << 18;
	int status = -1;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid)
		traced_child();
	EXPECT(next_stop(pid) == SIGSTOP);
	EXPECT(poke_dr(pid, 0, (unsigned long)&traced_word));
	EXPECT(poke_dr(pid, 7, dr7));
	EXPECT(resume(pid, PTRACE_CONT) == SIGSTOP);
	EXPECT(peek_dr(pid, 0) == (unsigned long)&traced_word);
	EXPECT((peek_dr(pid, 7) & 0xffff00ffUL) == dr7, "%lx", peek_dr(pid, 7));
	EXPECT(!(peek_dr(pid, 6) & 0xe00f), "%lx", peek_dr(pid, 6));
	/* The child's next touch hits */
	EXPECT(resume(pid, PTRACE_CONT) == SIGTRAP);
	EXPECT((peek_dr(pid, 6) & 0xe00f) == 1, "%lx", peek_dr(pid, 6));
	ptrace(PTRACE_CONT, pid, 0, 0);
	waitpid(pid, &status, 0);
	EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%x", status);
}

struct stepped {
	volatile int	done;
	volatile int	rest;
	int		failed;
	uint64_t	block_step;
};

/* Each instruction, or block, of the child's is a trap */
static void stepped(struct stepped *s, int how)
{
	long steps = 0, flags;
	int status = -1;
	pid_t pid;

	s->done = 0;
	fflush(stdout);
	pid = fork();
	if (!pid) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		call_trapped(FLAG_TF);
		s->failed = case_failed || report.cause != CAUSE_DEBUG;
		s->block_step = report.block_step;
		s->done = 1;
		for (steps = 0; steps < 100; steps++)
			s->rest++;
		_exit(0);
	}
	EXPECT(next_stop(pid) == SIGSTOP);
	while (!s->done && steps++ < 100000) {
		if (resume(pid, how) != SIGTRAP)
			break;
	}
	EXPECT(s->done, "after %ld steps", steps);
	EXPECT(steps > 20, "%ld steps", steps);
	/* Not one more than was asked for: it goes on after the call as before */
	EXPECT(resume(pid, how) == SIGTRAP);
	EXPECT(!s->failed);
	/* A POPF that was stepped over has made the flag the child's own */
	flags = ptrace(PTRACE_PEEKUSER, pid, offsetof(struct user, regs.eflags), 0);
	ptrace(PTRACE_POKEUSER, pid, offsetof(struct user, regs.eflags),
	       flags & ~FLAG_TF);
	ptrace(PTRACE_CONT, pid, 0, 0);
	waitpid(pid, &status, 0);
	EXPECT(WIFEXITED(status), "%x", status);
	note("%ld steps", steps);
}

static void test_single_steps(void)
{
	struct stepped *s = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	stepped(s, PTRACE_SINGLESTEP);
	munmap(s, 4096);
}

static void test_block_steps(void)
{
	struct stepped *s = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	/* PTRACE_SINGLEBLOCK */
	stepped(s, 33);
	EXPECT(s->block_step != 1, "stepping by blocks was lost");
	if (!case_failed && s->block_step != 3)
		case_skip = "the CPU does not keep DEBUGCTL.BTF";
	munmap(s, 4096);
}

/* --- User shadow stack --- */

static inline unsigned long shadow_stack(void)
{
	unsigned long ssp = 0;

	asm volatile("rdsspq %0" : "+r" (ssp));

	return ssp;
}

/* Never returns: the frames below have no shadow */
static void __noreturn shadowed_child(void)
{
	struct context c = plain_context();
	unsigned long ssp, ret;
	int i;

	/* ARCH_SHSTK_ENABLE, ARCH_SHSTK_SHSTK */
	asm volatile("syscall"
		     : "=a" (ret)
		     : "a" (SYS_arch_prctl), "D" (0x5001), "S" (1)
		     : "rcx", "r11", "memory");
	if (ret)
		_exit(2);
	ssp = shadow_stack();
	for (i = 0; i < 3; i++) {
		call_in(&c, SBM_TASK_RDSSP, 0);
		expect_return();
		EXPECT(report.result == 0, "%lx", (long)report.result);
		call_in(&c, SBM_TASK_IN, PORT);
		expect_stop_at_insn(BIT(CAUSE_PROTECTION));
		call_in(&c, SBM_TASK_BUSY, 3000000);
		expect_return();
		EXPECT(ssp && shadow_stack() == ssp, "%lx", shadow_stack());
	}
	fflush(stdout);
	_exit(case_failed);
}

static void test_user_shadow_stack(void)
{
	int status = -1;
	pid_t pid;

	if (!has_shstk) {
		case_skip = "the CPU has no shadow stack for user space";
		return;
	}
	fflush(stdout);
	pid = fork();
	if (!pid)
		shadowed_child();
	waitpid(pid, &status, 0);
	EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%x", status);
}

/* --- Being scheduled in the middle --- */

static volatile sig_atomic_t alarms;

static void on_alarm(int sig)
{
	(void)sig;
	alarms++;
}

static void set_cpu(pid_t pid, int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(pid, sizeof(set), &set);
}

static pid_t start_hog(int cpu, pid_t parent)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	set_cpu(0, cpu);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (getppid() == parent)
		;
	_exit(0);
}

/* Sends the task from CPU to CPU */
static pid_t start_mover(pid_t task, int cpus)
{
	pid_t pid = fork();
	int cpu = 0;

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (getppid() == task) {
		set_cpu(task, cpu++ % cpus);
		usleep(3000);
	}
	_exit(0);
}

static void test_scheduled_in_the_middle(void)
{
	const struct itimerval interval = { { 0, 5000 }, { 0, 5000 } };
	const struct itimerval off = {};
	struct sigaction sa = { .sa_handler = on_alarm, };
	uint64_t switches = 0, migrations = 0;
	int cpus = sysconf(_SC_NPROCESSORS_ONLN), i, round, fd;
	uint32_t *low = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	static volatile unsigned long watched;
	sigset_t blocked, before, after;
	uint8_t *load = NULL, *store = NULL;
	unsigned long loops = 20000000;
	pid_t children[9];
	bool ldt, ports;
	cpu_set_t all;

	sched_getaffinity(0, sizeof(all), &all);
	if (cpus > 8)
		cpus = 8;
	if (xmask) {
		load = alloc_xsave();
		store = alloc_xsave();
	}
	*low = 0xfeedbeef;
	ldt = set_ldt(0, (unsigned long)low, false);
	ports = ioperm(PORT, 1, 1) == 0;
	EXPECT(ioctl(task_fd, SBM_TASK_TLS, low) == 0);
	fd = breakpoint((unsigned long)&watched, HW_BREAKPOINT_W, 8);

	fflush(stdout);
	for (i = 0; i < cpus; i++)
		children[i] = start_hog(i, getpid());
	children[cpus] = start_mover(getpid(), cpus);

	sigemptyset(&blocked);
	sigaddset(&blocked, SIGUSR2);
	sigaddset(&blocked, SIGHUP);
	sigprocmask(SIG_BLOCK, &blocked, &before);
	sigprocmask(SIG_SETMASK, NULL, &blocked);
	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &interval, NULL);

	for (round = 0; round < 12; round++) {
		struct context c = plain_context();
		uint64_t found;

		/* Signals come at the end of the call, to memory that is open */
		if (round & 1) {
			c.ds = USER_DS;
			c.es = ldt ? LDT_DATA : USER_DS;
			c.fs = TLS_SELECTOR;
			c.gs = ldt ? LDT_DATA : USER_DS;
			c.fs_base = FS_BASE;
			c.gs_base = GS_BASE;
		}
		c.flags |= FLAG_AC | FLAG_ID;
		c.has_pkru = has_pku;
		c.pkru = 0x55555554 ^ (round << 4 & 0xf0);
		if (xmask) {
			c.xload = load;
			c.xstore = store;
			c.xmask = xmask;
			fill_xsave(load, round * 13);
			memset(store, 0, xsize);
		}
		call_in(&c, SBM_TASK_BUSY, loops);
		expect_return();
		EXPECT(report.result == 0, "%lx", (long)report.result);
		switches += report.switches;
		migrations += report.migrations;
		if (xmask)
			expect_same_xsave(load, store);
		call_in(&c, SBM_TASK_IN, PORT);
		expect_stop_at_insn(BIT(CAUSE_PROTECTION));
		if (ports)
			EXPECT(signal_of(read_port) == 0);
		if (ldt)
			EXPECT(word_of_segment(LDT_DATA) == *low);
		EXPECT(word_of_segment(TLS_SELECTOR) == *low);
		found = hits(fd);
		watched = round;
		EXPECT(hits(fd) == found + 1, "%lu", (long)hits(fd));
	}
	setitimer(ITIMER_REAL, &off, NULL);
	sigprocmask(SIG_SETMASK, &before, &after);
	EXPECT(!memcmp(&after, &blocked, sizeof(long)));

	for (i = 0; i <= cpus; i++) {
		kill(children[i], SIGKILL);
		waitpid(children[i], NULL, 0);
	}
	sched_setaffinity(0, sizeof(all), &all);
	note("switched %lu times, moved %lu times, %d signals", (long)switches,
	     (long)migrations, (int)alarms);
	/* Else the case shows nothing */
	EXPECT(switches > 10);
	EXPECT(cpus == 1 || migrations > 3);
	EXPECT(alarms > 10);

	EXPECT(ioctl(task_fd, SBM_TASK_TLS, 0) == 0);
	ioperm(PORT, 1, 0);
	close(fd);
	munmap(low, 4096);
	if (xmask) {
		munmap(load, xsize);
		munmap(store, xsize);
	}
}

/* Rights that close all memory, and no signal that would need it */
static void test_scheduled_without_access(void)
{
	int cpus = sysconf(_SC_NPROCESSORS_ONLN) > 1 ? 2 : 1, i;
	uint64_t switches = 0;
	pid_t children[3];
	cpu_set_t all;

	if (!has_pku) {
		case_skip = "the CPU has no protection keys";
		return;
	}
	sched_getaffinity(0, sizeof(all), &all);
	fflush(stdout);
	for (i = 0; i < cpus; i++)
		children[i] = start_hog(i, getpid());
	children[cpus] = start_mover(getpid(), cpus);
	for (i = 0; i < 4; i++) {
		struct context c = plain_context();

		c.has_pkru = 1;
		c.pkru = 0xffffffff;
		call_in(&c, SBM_TASK_BUSY, 10000000);
		expect_return();
		EXPECT(report.result == 0, "%lx", (long)report.result);
		switches += report.switches;
		call_in(&c, SBM_TASK_RDPKRU, 0);
		expect_return();
		EXPECT((uint32_t)report.result == 0, "%lx", (long)report.result);
	}
	for (i = 0; i <= cpus; i++) {
		kill(children[i], SIGKILL);
		waitpid(children[i], NULL, 0);
	}
	sched_setaffinity(0, sizeof(all), &all);
	EXPECT(switches > 2, "%lu", (long)switches);
}

/* --- All of it --- */

static const struct {
	const char *name;
	void (*run)(void);
} cases[] = {
	{ "plain_task", test_plain_task },
	{ "bases_and_selectors", test_bases_and_selectors },
	{ "flags", test_flags },
	{ "io_permissions", test_io_permissions },
	{ "io_privilege_level", test_io_privilege_level },
	{ "local_descriptor_table", test_local_descriptor_table },
	{ "segments_of_32_bit_code", test_segments_of_32_bit_code },
	{ "protection_keys", test_protection_keys },
	{ "fpu_registers", test_fpu_registers },
	{ "time_stamp_counter", test_time_stamp_counter },
	{ "breakpoints", test_breakpoints },
	{ "debug_registers", test_debug_registers },
	{ "single_steps", test_single_steps },
	{ "block_steps", test_block_steps },
	{ "user_shadow_stack", test_user_shadow_stack },
	{ "scheduled_in_the_middle", test_scheduled_in_the_middle },
	{ "scheduled_without_access", test_scheduled_without_access },
};

#define NR_CASES	ARRAY_SIZE(cases)

static void __noreturn skip_all(const char *why)
{
	printf("1..0 # SKIP %s\n", why);
	exit(4);
}

static bool cpu_says(const char *flag)
{
	char line[8192];
	bool found = false;
	FILE *file = fopen("/proc/cpuinfo", "r");

	while (file && !found && fgets(line, sizeof(line), file)) {
		char *word = strncmp(line, "flags", 5) ? NULL : strtok(line, " \t\n");

		for (; word && !found; word = strtok(NULL, " \t\n"))
			found = !strcmp(word, flag);
	}
	if (file)
		fclose(file);

	return found;
}

/* The arguments are names of cases that are not to be run, or "all" */
static bool is_left_out(char **names, const char *name)
{
	for (; *names; names++) {
		if (!strcmp(*names, name) || !strcmp(*names, "all"))
			return true;
	}

	return false;
}

int main(int argc, char **argv)
{
	size_t i;

	/*
	 * The C library lets the kernel write to a word of its own whenever the
	 * task is scheduled, which must not fail while memory is closed to it.
	 */
	if (!getenv("GLIBC_TUNABLES")) {
		setenv("GLIBC_TUNABLES", "glibc.pthread.rseq=0", 1);
		execv("/proc/self/exe", argv);
	}
	(void)argc;

	printf("TAP version 13\n");
	task_fd = open(TASK_FILE, O_RDWR | O_CLOEXEC);
	if (task_fd < 0)
		skip_all("no access to " TASK_FILE);
	if (ioctl(task_fd, SBM_TASK_CALL, SBM_TASK_DUMP)) {
		if (errno == EOPNOTSUPP)
			skip_all("no strong isolation on this system");
		printf("Bail out! a call failed: %s\n", strerror(errno));
		return 1;
	}
	has_pku = cpu_says("ospke");
	is_emulated = cpu_says("hypervisor");
	has_shstk = cpu_says("user_shstk");
	find_fpu();
	catch_faults();

	printf("1..%zu\n", NR_CASES);
	for (i = 0; i < NR_CASES; i++) {
		case_name = cases[i].name;
		case_failed = false;
		case_skip = NULL;
		if (is_left_out(argv + 1, case_name))
			case_skip = "left out";
		else
			cases[i].run();
		test_number++;
		if (case_failed)
			printf("not ");
		printf("ok %d - %s", test_number, case_name);
		if (case_skip && !case_failed)
			printf(" # SKIP %s", case_skip);
		putchar('\n');
		fflush(stdout);
		test_failed += case_failed;
	}

	return test_failed ? 1 : 0;
}
