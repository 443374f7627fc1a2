// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit suite sbm_x86: what ring 3 must not be able to do.
 *
 * The attacks are machine code that runs as the target of a sandbox. Nothing
 * here may be called by the kernel itself, except to ask an attack where its
 * instruction is (see DEFINE_ATTACK()).
 */
#include <kunit/test.h>
#include <linux/align.h>
#include <linux/array_size.h>
#include <linux/atomic.h>
#include <linux/bitops.h>
#include <linux/bug.h>
#include <linux/completion.h>
#include <linux/cpu.h>
#include <linux/cpufeature.h>
#include <linux/cpumask.h>
#include <linux/ctype.h>
#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/hw_breakpoint.h>
#include <linux/jump_label.h>
#include <linux/kasan.h>
#include <linux/kernel.h>
#include <linux/linkage.h>
#include <linux/memory.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/mount.h>
#include <linux/mutex.h>
#include <linux/nmi.h>
#include <linux/objtool.h>
#include <linux/percpu.h>
#include <linux/perf_event.h>
#include <linux/pfn.h>
#include <linux/printk.h>
#include <linux/processor.h>
#include <linux/sbm.h>
#include <linux/sbm_host.h>
#include <linux/sched.h>
#include <linux/sched/task_stack.h>
#include <linux/seq_file.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <linux/spinlock.h>
#include <linux/stdarg.h>
#include <linux/stackprotector.h>
#include <linux/string.h>
#include <linux/stringify.h>
#include <linux/sync_core.h>
#include <linux/time64.h>
#include <linux/timer.h>
#include <linux/uio.h>
#include <linux/vmalloc.h>

#include <asm/alternative.h>
#include <asm/apic.h>
#include <asm/cpu_entry_area.h>
#include <asm/debugreg.h>
#include <asm/desc.h>
#include <asm/desc_defs.h>
#include <asm/fixmap.h>
#include <asm/fpu/api.h>
#include <asm/msr.h>
#include <asm/nospec-branch.h>
#include <asm/pkru.h>
#include <asm/proto.h>
#include <asm/sbm.h>
#include <asm/sections.h>
#include <asm/segment.h>
#include <asm/smap.h>
#include <asm/special_insns.h>
#include <asm/text-patching.h>
#include <asm/tlbflush.h>
#include <asm/trap_pf.h>
#include <asm/trapnr.h>

#include "sbm_kunit.h"
#include "sbm_kunit_capture.h"

/* The vectors that ring 3 can raise without a fault: one ends the call, one asks */
#define RETURN_VECTOR	24
#define HOSTCALL_VECTOR	25

/* Not canonical with 4 and with 5 levels of page tables */
#define NON_CANONICAL	0x8000000000000000UL

/* Error codes of page faults from ring 3 */
#define PF_READ		X86_PF_USER
#define PF_WROTE	(X86_PF_USER | X86_PF_WRITE)
#define PF_EXEC		(X86_PF_USER | X86_PF_INSTR)
#define PF_PRESENT	X86_PF_PROT

#define ANY		(-1L)

/*
 * What an attack gets: the address of a copy of this. @started is set by each
 * attack, but no attack may ever bring that home unless it returns cleanly.
 */
struct attack_args {
	unsigned long	addr;
	unsigned long	started;
	unsigned long	value;
	unsigned char	canary[104];
};

static_assert(offsetof(struct attack_args, addr) == 0);
static_assert(offsetof(struct attack_args, started) == 8);
static_assert(offsetof(struct attack_args, value) == 16);

/*
 * Define an attack: the target starts with &struct attack_args in RDI, @addr in
 * RSI and @value in RCX, and returns 0 if it gets through. Label 1 in @body is
 * where the instruction pointer must be found when it is stopped. Called by the
 * kernel with NULL, an attack only returns that address (kernel text fits into an
 * int).
 */
#define DEFINE_ATTACK(name, body)					\
static noinline __naked int attack_##name(void *data)			\
{									\
	asm volatile("test %rdi, %rdi\n\t"				\
		     "jz 9f\n\t"					\
		     "movq $1, 8(%rdi)\n\t"				\
		     "mov (%rdi), %rsi\n\t"				\
		     "mov 16(%rdi), %rcx\n\t"				\
		     body "\n\t"					\
		     "xor %eax, %eax\n\t"				\
		     X86_SBM_TEST_RET					\
		     "9: lea 1b(%rip), %rax\n\t"			\
		     ASM_RET);						\
}									\
STACK_FRAME_NON_STANDARD(attack_##name)

/* Where an attack's instruction is */
static unsigned long insn_of(sbm_func attack)
{
	return (long)attack(NULL);
}

/*
 * State of the CPU that no sandbox may change.
 */
struct cpu_state {
	unsigned long	cr0;
	unsigned long	cr4;
	unsigned long	dr7;
	unsigned long	idt;
	unsigned long	fs_base;
	unsigned long	user_gs_base;
	u32		pkru;
	u16		ds;
	u16		es;
	u16		fs;
	u16		gs;
	u16		ss;
};

static unsigned long read_base(u32 msr)
{
	u32 low, high;

	rdmsr(msr, low, high);

	return (u64)high << 32 | low;
}

static void write_base(u32 msr, unsigned long base)
{
	wrmsr(msr, (u32)base, base >> 32);
}

static void read_cpu_state(struct cpu_state *s)
{
	struct desc_ptr idt;

	memset(s, 0, sizeof(*s));
	preempt_disable();
	store_idt(&idt);
	s->idt = idt.address;
	s->cr0 = read_cr0();
	s->cr4 = __read_cr4();
	/* LE, GE and the bit that is always set differ between CPUs */
	s->dr7 = native_get_debugreg(7) & ~0x700UL;
	s->fs_base = read_base(MSR_FS_BASE);
	s->user_gs_base = read_base(MSR_KERNEL_GS_BASE);
	if (cpu_feature_enabled(X86_FEATURE_OSPKE))
		s->pkru = read_pkru();
	savesegment(ds, s->ds);
	savesegment(es, s->es);
	savesegment(fs, s->fs);
	savesegment(gs, s->gs);
	savesegment(ss, s->ss);
	preempt_enable();
}

/*
 * Give this thread values that are seen to be lost. The scheduler keeps them
 * for the thread like any user's.
 */
static void plant_cpu_state(void)
{
	write_base(MSR_FS_BASE, 0x123456000UL);
	write_base(MSR_KERNEL_GS_BASE, 0x654321000UL);
	loadsegment(ds, __USER_DS);
	loadsegment(es, __USER_DS);
	if (cpu_feature_enabled(X86_FEATURE_OSPKE))
		write_pkru(0xffffffff);
}

static void restore_cpu_state(const struct cpu_state *s)
{
	write_base(MSR_FS_BASE, s->fs_base);
	write_base(MSR_KERNEL_GS_BASE, s->user_gs_base);
	loadsegment(ds, s->ds);
	loadsegment(es, s->es);
	if (cpu_feature_enabled(X86_FEATURE_OSPKE))
		write_pkru(s->pkru);
}

static void expect_same_cpu_state(struct kunit *test, const struct cpu_state *a)
{
	unsigned long flags, gs_base, kernel_gs_base, cr3, pgd;
	struct cpu_state b;

	read_cpu_state(&b);
	KUNIT_EXPECT_EQ(test, a->cr0, b.cr0);
	KUNIT_EXPECT_EQ(test, a->cr4, b.cr4);
	KUNIT_EXPECT_EQ(test, a->dr7, b.dr7);
	KUNIT_EXPECT_EQ(test, a->idt, b.idt);
	KUNIT_EXPECT_EQ(test, a->fs_base, b.fs_base);
	KUNIT_EXPECT_EQ(test, a->user_gs_base, b.user_gs_base);
	KUNIT_EXPECT_EQ(test, a->pkru, b.pkru);
	KUNIT_EXPECT_EQ(test, a->ds, b.ds);
	KUNIT_EXPECT_EQ(test, a->es, b.es);
	KUNIT_EXPECT_EQ(test, a->fs, b.fs);
	KUNIT_EXPECT_EQ(test, a->gs, b.gs);
	/*
	 * An event in ring 3 leaves 0, which is fine while the kernel runs, but
	 * must not get to SYSRET on AMD processors.
	 */
	if (b.ss || boot_cpu_has_bug(X86_BUG_SYSRET_SS_ATTRS))
		KUNIT_EXPECT_EQ(test, b.ss, __KERNEL_DS);

	flags = native_save_fl();
	KUNIT_EXPECT_EQ(test, flags & (X86_EFLAGS_IF | X86_EFLAGS_DF |
				       X86_EFLAGS_TF | X86_EFLAGS_NT |
				       X86_EFLAGS_AC | X86_EFLAGS_IOPL),
			X86_EFLAGS_IF);

	preempt_disable();
	gs_base = read_base(MSR_GS_BASE);
	kernel_gs_base = cpu_kernelmode_gs_base(raw_smp_processor_id());
	cr3 = read_cr3_pa();
	pgd = __pa(this_cpu_read(cpu_tlbstate.loaded_mm)->pgd);
	preempt_enable();
	KUNIT_EXPECT_EQ(test, gs_base, kernel_gs_base);
	KUNIT_EXPECT_EQ(test, cr3, pgd);
	KUNIT_EXPECT_EQ(test, preempt_count(), 0);
}

/**
 * struct arena - a sandbox that is attacked from inside
 * @sbm:       The instance.
 * @layout:    Its addresses.
 * @plain:     A page of the caller's, which @in is a copy of.
 * @canary:    A page of the caller's, which the target may write through @out.
 * @in:	       Read-only page in the sandbox.
 * @out:       Writable page in the sandbox.
 * @page:      A page that has nothing to do with the sandbox.
 * @vmalloced: The same from vmalloc().
 */
struct arena {
	struct sbm		sbm;
	struct x86_sbm_layout	layout;
	u8			*plain;
	u8			*canary;
	u8			*in;
	u8			*out;
	u8			*page;
	u8			*vmalloced;
};

static struct arena *open_arena(struct kunit *test)
{
	struct arena *a;

	a = kunit_kzalloc(test, sizeof(*a), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, a);
	a->plain = kunit_kmalloc(test, PAGE_SIZE, GFP_KERNEL);
	a->canary = kunit_kmalloc(test, PAGE_SIZE, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, a->plain);
	KUNIT_ASSERT_NOT_NULL(test, a->canary);
	memset(a->plain, 0x11, PAGE_SIZE);
	memset(a->canary, 0xa5, PAGE_SIZE);

	init_at_least(test, &a->sbm, SBM_ISOLATION_STRONG);
	a->in = SBM_COPY_IN(&a->sbm, a->plain, PAGE_SIZE);
	a->out = SBM_COPY_OUT(&a->sbm, a->canary, PAGE_SIZE);
	KUNIT_EXPECT_NOT_NULL(test, a->in);
	KUNIT_EXPECT_NOT_NULL(test, a->out);
	KUNIT_EXPECT_TRUE(test, x86_sbm_test_layout(&a->sbm, &a->layout));

	return a;
}

static void close_arena(struct kunit *test, struct arena *a)
{
	sbm_destroy(&a->sbm);
	kunit_kfree(test, a->plain);
	kunit_kfree(test, a->canary);
	kunit_kfree(test, a);
}

/**
 * struct want - how an attack must end
 * @causes:	Bit mask of causes, one of which is right.
 * @vector:	Exception vector, or ANY.
 * @error_code:	Error code, or ANY.
 * @address:	Address that was touched, or ANY.
 * @ip:		Instruction pointer, or ANY.
 */
struct want {
	unsigned long	causes;
	long		vector;
	long		error_code;
	unsigned long	address;
	unsigned long	ip;
};

/* A clean call, to see that everything still works */
static noinline int add_one(void *data)
{
	return *(int *)data + 1;
}

static void expect_next_call_works(struct kunit *test)
{
	struct sbm sbm;
	int value = 41;

	init_at_least(test, &sbm, SBM_ISOLATION_STRONG);
	KUNIT_EXPECT_EQ(test, 42,
			sbm_exec(&sbm, add_one,
				 SBM_COPY_IN(&sbm, &value, sizeof(value))));
	KUNIT_EXPECT_EQ(test, sbm_error(&sbm), 0);
	KUNIT_EXPECT_NULL(test, sbm_fault(&sbm));
	sbm_destroy(&sbm);
}

static void init_args(struct attack_args *args, unsigned long addr,
		      unsigned long value)
{
	memset(args, 0x3c, sizeof(*args));
	args->addr = addr;
	args->started = 0;
	args->value = value;
}

/* How a page fault's address was accessed, by the error code */
static enum sbm_access access_of(const struct sbm_fault *fault)
{
	if (fault->cause != SBM_CAUSE_PAGE_FAULT)
		return SBM_ACCESS_NONE;
	if (fault->error_code & X86_PF_INSTR)
		return SBM_ACCESS_EXEC;
	if (fault->error_code & X86_PF_WRITE)
		return SBM_ACCESS_WRITE;

	return SBM_ACCESS_READ;
}

/*
 * Run @attack, which must be stopped as @want says, and must not leave a trace
 * in the caller's buffers or in the CPU. @what is for messages.
 */
static void expect_stop(struct kunit *test, struct arena *a, sbm_func attack,
			struct attack_args *args, const struct want *want,
			const char *what)
{
	struct attack_args before = *args;
	const struct sbm_fault *fault;
	struct cpu_state original, planted;
	struct attack_args *inside;
	int ret;

	inside = SBM_COPY_INOUT(&a->sbm, args, sizeof(*args));
	KUNIT_EXPECT_NOT_NULL(test, inside);

	read_cpu_state(&original);
	plant_cpu_state();
	read_cpu_state(&planted);
	ret = sbm_exec(&a->sbm, attack, inside);
	expect_same_cpu_state(test, &planted);
	restore_cpu_state(&original);

	KUNIT_EXPECT_EQ_MSG(test, ret, -EFAULT, "%s", what);
	KUNIT_EXPECT_EQ_MSG(test, sbm_error(&a->sbm), -EFAULT, "%s", what);
	KUNIT_EXPECT_MEMEQ_MSG(test, args, &before, sizeof(before), "%s", what);
	KUNIT_EXPECT_EQ(test, a->canary[0], 0xa5);
	KUNIT_EXPECT_NULL(test, memchr_inv(a->canary, 0xa5, PAGE_SIZE));
	KUNIT_EXPECT_NULL(test, memchr_inv(a->plain, 0x11, PAGE_SIZE));

	fault = sbm_fault(&a->sbm);
	KUNIT_EXPECT_NOT_NULL_MSG(test, fault, "%s", what);
	if (!fault)
		return;

	KUNIT_EXPECT_TRUE_MSG(test, want->causes & BIT(fault->cause),
			      "%s: cause %d", what, fault->cause);
	if (want->vector != ANY)
		KUNIT_EXPECT_EQ_MSG(test, fault->vector, want->vector, "%s",
				    what);
	if (want->error_code != ANY)
		KUNIT_EXPECT_EQ_MSG(test, (long)fault->error_code,
				    want->error_code, "%s", what);
	if (want->address != ANY)
		KUNIT_EXPECT_EQ_MSG(test, fault->address, want->address, "%s",
				    what);
	if (want->ip != ANY)
		KUNIT_EXPECT_EQ_MSG(test, fault->ip, want->ip, "%s", what);
	KUNIT_EXPECT_EQ_MSG(test, fault->access, access_of(fault), "%s", what);

	/* A stopped instance runs nothing more */
	KUNIT_EXPECT_EQ(test, sbm_exec(&a->sbm, attack, inside), -EFAULT);
	KUNIT_EXPECT_EQ(test, args->started, before.started);
}

/* Run @attack, which must return 0 and leave no trace in the CPU */
static void expect_return(struct kunit *test, struct arena *a, sbm_func attack,
			  struct attack_args *args, const char *what)
{
	const struct sbm_fault *fault;
	struct cpu_state original, planted;
	struct attack_args *inside;
	int ret;

	inside = SBM_COPY_INOUT(&a->sbm, args, sizeof(*args));
	read_cpu_state(&original);
	plant_cpu_state();
	read_cpu_state(&planted);
	ret = sbm_exec(&a->sbm, attack, inside);
	expect_same_cpu_state(test, &planted);
	restore_cpu_state(&original);

	fault = sbm_fault(&a->sbm);
	KUNIT_EXPECT_EQ_MSG(test, ret, 0, "%s: cause %d vector %d", what,
			    fault ? fault->cause : 0, fault ? fault->vector : 0);
	KUNIT_EXPECT_EQ_MSG(test, sbm_error(&a->sbm), 0, "%s", what);
	KUNIT_EXPECT_EQ_MSG(test, args->started, 1, "%s", what);
}

DEFINE_ATTACK(read, "1: movzbl (%rsi), %eax");
DEFINE_ATTACK(write, "1: movb $0x5a, (%rsi)");
DEFINE_ATTACK(read_through_gs, "wrgsbase %rsi\n1: movzbl %gs:0, %eax");
DEFINE_ATTACK(execute, "push %rsi\n\t" ASM_RET "1:");

/*
 * Addresses that are attacked
 */

/* How an address is mapped in the sandbox */
enum mapping {
	ABSENT,
	SUPERVISOR,
	READABLE,
	WRITABLE,
	TEXT,
	NOT_CANONICAL,
};

struct aim {
	const char	*name;
	unsigned long	(*address)(const struct arena *a);
	enum mapping	mapping;
	/* The kernel can look whether the memory changes */
	bool		peek;
};

static int kernel_data = 0x12345678;
static int kernel_bss;
static int kernel_constant_after_init __ro_after_init = 0x12345678;
static const int kernel_constant = 0x12345678;
static DEFINE_PER_CPU(int, kernel_per_cpu) = 0x12345678;

static unsigned long before_input(const struct arena *a)
{
	return (unsigned long)a->in - 1;
}

static unsigned long past_input(const struct arena *a)
{
	return (unsigned long)a->in + PAGE_SIZE;
}

static unsigned long before_output(const struct arena *a)
{
	return (unsigned long)a->out - 1;
}

static unsigned long past_output(const struct arena *a)
{
	return (unsigned long)a->out + PAGE_SIZE;
}

static unsigned long input(const struct arena *a)
{
	return (unsigned long)a->in + 5;
}

static unsigned long output(const struct arena *a)
{
	return (unsigned long)a->out + 5;
}

static unsigned long own_stack(const struct arena *a)
{
	return a->layout.stack_low;
}

static unsigned long below_stack(const struct arena *a)
{
	return a->layout.stack_low - 1;
}

static unsigned long above_stack(const struct arena *a)
{
	return a->layout.stack_high;
}

static unsigned long data(const struct arena *a)
{
	return (unsigned long)&kernel_data;
}

static unsigned long bss(const struct arena *a)
{
	return (unsigned long)&kernel_bss;
}

static unsigned long ro_after_init(const struct arena *a)
{
	return (unsigned long)&kernel_constant_after_init;
}

static unsigned long rodata(const struct arena *a)
{
	return (unsigned long)&kernel_constant;
}

static unsigned long text(const struct arena *a)
{
	return (unsigned long)add_one;
}

static unsigned long per_cpu_data(const struct arena *a)
{
	return (unsigned long)raw_cpu_ptr(&kernel_per_cpu);
}

static unsigned long task_struct(const struct arena *a)
{
	return (unsigned long)current->comm;
}

static unsigned long kernel_stack(const struct arena *a)
{
	return (unsigned long)end_of_stack(current);
}

static unsigned long top_table(const struct arena *a)
{
	return a->layout.top_table;
}

static unsigned long gate_idt(const struct arena *a)
{
	return a->layout.gate_idt;
}

static unsigned long gate_state(const struct arena *a)
{
	return a->layout.gate_state;
}

static unsigned long gate_event(const struct arena *a)
{
	return a->layout.gate_event;
}

static unsigned long gate_nmi(const struct arena *a)
{
	return a->layout.gate_nmi;
}

static unsigned long direct_map(const struct arena *a)
{
	return (unsigned long)a->page;
}

/* The page behind @a->out, where the kernel sees it */
static unsigned long own_page_in_direct_map(const struct arena *a)
{
	u64 rights, pfn;

	if (!x86_sbm_test_lookup(&a->sbm, (unsigned long)a->out, &rights, &pfn))
		return 0;

	return (unsigned long)__va(PFN_PHYS(pfn));
}

static unsigned long caller_buffer(const struct arena *a)
{
	return (unsigned long)a->canary;
}

static unsigned long null_pointer(const struct arena *a)
{
	return 0;
}

static unsigned long user_space(const struct arena *a)
{
	return 0x1000;
}

static unsigned long end_of_user_space(const struct arena *a)
{
	return TASK_SIZE_MAX - PAGE_SIZE;
}

static unsigned long non_canonical(const struct arena *a)
{
	return NON_CANONICAL;
}

static unsigned long entry_text(const struct arena *a)
{
	return (unsigned long)entry_SYSCALL_64;
}

static unsigned long entry_text_start(const struct arena *a)
{
	return (unsigned long)__entry_text_start;
}

static unsigned long entry_text_end(const struct arena *a)
{
	return (unsigned long)__entry_text_end - 1;
}

static unsigned long switch_text(const struct arena *a)
{
	return (unsigned long)__sbm_switch_start;
}

static unsigned long switch_text_end(const struct arena *a)
{
	return (unsigned long)__sbm_switch_end - 1;
}

static unsigned long kernel_idt(const struct arena *a)
{
	return CPU_ENTRY_AREA_RO_IDT;
}

static unsigned long kernel_gdt(const struct arena *a)
{
	return (unsigned long)get_cpu_gdt_ro(raw_smp_processor_id());
}

static unsigned long kernel_tss(const struct arena *a)
{
	return (unsigned long)&get_cpu_entry_area(raw_smp_processor_id())->tss;
}

static unsigned long vmalloc_area(const struct arena *a)
{
	return (unsigned long)a->vmalloced;
}

static unsigned long module_area(const struct arena *a)
{
	/* Thunks of the image are at its other end */
	return MODULES_END - PAGE_SIZE;
}

static unsigned long vsyscall_page(const struct arena *a)
{
	return VSYSCALL_ADDR;
}

static unsigned long window_end(const struct arena *a)
{
	return a->layout.window_end - 1;
}

static const struct aim aims[] = {
	{ "byte before read-only buffer", before_input, ABSENT },
	{ "first byte past read-only buffer", past_input, ABSENT },
	{ "byte before writable buffer", before_output, ABSENT },
	{ "first byte past writable buffer", past_output, ABSENT },
	{ "read-only buffer", input, READABLE },
	{ "writable buffer", output, WRITABLE },
	{ "own stack", own_stack, WRITABLE },
	{ "byte below the stack", below_stack, ABSENT },
	{ "first byte above the stack", above_stack, ABSENT },
	{ "end of the window", window_end, ABSENT },
	{ "kernel data", data, ABSENT, true },
	{ "kernel bss", bss, ABSENT, true },
	{ "ro_after_init", ro_after_init, ABSENT, true },
	{ "rodata", rodata, READABLE, true },
	{ "kernel text", text, TEXT, true },
	{ "per-CPU data", per_cpu_data, ABSENT, true },
	{ "current", task_struct, ABSENT, true },
	{ "kernel stack", kernel_stack, ABSENT, true },
	{ "own top-level page table", top_table, ABSENT, true },
	{ "IDT of the gate", gate_idt, SUPERVISOR, true },
	{ "state of the gate", gate_state, SUPERVISOR },
	{ "event stack of the gate", gate_event, SUPERVISOR },
	{ "NMI stack of the gate", gate_nmi, SUPERVISOR },
	{ "direct map", direct_map, ABSENT, true },
	{ "direct map of own buffer", own_page_in_direct_map, ABSENT, true },
	{ "caller's own buffer", caller_buffer, ABSENT, true },
	{ "NULL", null_pointer, ABSENT },
	{ "user space", user_space, ABSENT },
	{ "end of user space", end_of_user_space, ABSENT },
	{ "non-canonical address", non_canonical, NOT_CANONICAL },
	{ "system call entry", entry_text, ABSENT, true },
	{ "start of entry text", entry_text_start, ABSENT, true },
	{ "end of entry text", entry_text_end, ABSENT, true },
	{ "world switch", switch_text, SUPERVISOR, true },
	{ "end of world switch", switch_text_end, SUPERVISOR, true },
	{ "kernel IDT", kernel_idt, SUPERVISOR, true },
	{ "kernel GDT", kernel_gdt, SUPERVISOR, true },
	{ "kernel TSS", kernel_tss, SUPERVISOR },
	{ "vmalloc area", vmalloc_area, ABSENT, true },
	{ "module area", module_area, ABSENT },
	{ "vsyscall page", vsyscall_page, ABSENT },
};

KUNIT_ARRAY_PARAM_DESC(aim, aims, name);

/* One way to touch an address, and the error code if nothing is mapped there */
struct touch {
	const char	*name;
	sbm_func	func;
	unsigned long	error_code;
};

static const struct touch touches[] = {
	{ "read", attack_read, PF_READ },
	{ "read through GS", attack_read_through_gs, PF_READ },
	{ "write", attack_write, PF_WROTE },
	{ "execute", attack_execute, PF_EXEC },
};

static bool touch_is_allowed(const struct aim *aim, const struct touch *touch)
{
	switch (aim->mapping) {
	case READABLE:
	case TEXT:
		return touch->error_code == PF_READ;
	case WRITABLE:
		return touch->error_code != PF_EXEC;
	default:
		return false;
	}
}

static void touch_one(struct kunit *test, const struct aim *aim,
		      const struct touch *touch, u8 *page, u8 *vmalloced)
{
	struct arena *a = open_arena(test);
	struct attack_args args;
	u8 before = 0;
	unsigned long addr;
	struct want want;

	a->page = page;
	a->vmalloced = vmalloced;
	addr = aim->address(a);
	init_args(&args, addr, 0);
	if (aim->peek)
		before = READ_ONCE(*(u8 *)addr);

	if (touch_is_allowed(aim, touch)) {
		expect_return(test, a, touch->func, &args, touch->name);
	} else {
		want.causes = BIT(SBM_CAUSE_PAGE_FAULT);
		want.vector = X86_TRAP_PF;
		want.error_code = touch->error_code;
		want.address = addr;
		want.ip = touch->error_code == PF_EXEC ? addr :
							 insn_of(touch->func);
		if (aim->mapping == NOT_CANONICAL) {
			want.causes = BIT(SBM_CAUSE_PROTECTION);
			want.vector = X86_TRAP_GP;
			want.error_code = 0;
			want.address = 0;
			/* At RET or behind it, at WRGSBASE */
			if (touch->func == attack_execute ||
			    touch->func == attack_read_through_gs)
				want.ip = ANY;
		} else if (aim->mapping != ABSENT) {
			want.error_code |= PF_PRESENT;
		}
		expect_stop(test, a, touch->func, &args, &want, touch->name);
	}

	if (aim->peek)
		KUNIT_EXPECT_EQ_MSG(test, before, READ_ONCE(*(u8 *)addr), "%s",
				    touch->name);
	close_arena(test, a);
}

/*
 * Reads, writes and jumps end where the tables say so, with the right report,
 * and what was aimed at does not change.
 */
static void memory_is_out_of_reach(struct kunit *test)
{
	const struct aim *aim = test->param_value;
	u8 *page, *vmalloced;
	int i;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);

	page = (u8 *)get_zeroed_page(GFP_KERNEL);
	vmalloced = vzalloc(PAGE_SIZE);
	KUNIT_EXPECT_NOT_NULL(test, page);
	KUNIT_EXPECT_NOT_NULL(test, vmalloced);
	if (page && vmalloced) {
		for (i = 0; i < ARRAY_SIZE(touches); i++) {
			/* Running kernel text is what targets do */
			if (aim->mapping == TEXT &&
			    touches[i].error_code == PF_EXEC)
				continue;
			touch_one(test, aim, &touches[i], page, vmalloced);
		}
	}
	vfree(vmalloced);
	free_page((unsigned long)page);
	expect_next_call_works(test);
}

/*
 * Instructions
 */
DEFINE_ATTACK(nothing, "1: nop");
DEFINE_ATTACK(syscall, "1: syscall");
DEFINE_ATTACK(mov_ss_syscall,
	      "mov $" __stringify(__USER_DS) ", %eax\n"
	      "mov %eax, %ss\n"
	      "1: syscall");
DEFINE_ATTACK(sysenter, "1: sysenter");
DEFINE_ATTACK(cli, "1: cli");
DEFINE_ATTACK(sti, "1: sti");
DEFINE_ATTACK(hlt, "1: hlt");
DEFINE_ATTACK(in, "mov $0x80, %edx\n1: in %dx, %al");
DEFINE_ATTACK(out, "mov $0x80, %edx\n1: out %al, %dx");
DEFINE_ATTACK(rdmsr, "mov $0xc0000101, %ecx\n1: rdmsr");
DEFINE_ATTACK(wrmsr, "mov $0xc0000082, %ecx\n1: wrmsr");
DEFINE_ATTACK(read_cr0, "1: mov %cr0, %rax");
DEFINE_ATTACK(read_cr3, "1: mov %cr3, %rax");
DEFINE_ATTACK(read_cr4, "1: mov %cr4, %rax");
DEFINE_ATTACK(write_cr0, "1: mov %rax, %cr0");
DEFINE_ATTACK(write_cr3, "1: mov %rax, %cr3");
DEFINE_ATTACK(write_cr4, "1: mov %rax, %cr4");
DEFINE_ATTACK(read_cr8, "1: mov %cr8, %rax");
DEFINE_ATTACK(read_dr7, "1: mov %dr7, %rax");
DEFINE_ATTACK(write_dr7, "1: mov %rax, %dr7");
DEFINE_ATTACK(clts, "1: clts");
DEFINE_ATTACK(lmsw, "1: lmsw %ax");
DEFINE_ATTACK(smsw, "1: smsw %rax");
DEFINE_ATTACK(lgdt, "1: lgdt (%rdi)");
DEFINE_ATTACK(lidt, "1: lidt (%rdi)");
DEFINE_ATTACK(lldt, "xor %eax, %eax\n1: lldt %ax");
DEFINE_ATTACK(ltr, "mov $0x40, %eax\n1: ltr %ax");
DEFINE_ATTACK(sgdt, "1: sgdt (%rdi)");
DEFINE_ATTACK(sidt, "1: sidt (%rdi)");
DEFINE_ATTACK(sldt, "1: sldt %rax");
DEFINE_ATTACK(str, "1: str %rax");
DEFINE_ATTACK(invlpg, "1: invlpg (%rdi)");
DEFINE_ATTACK(wbinvd, "1: wbinvd");
DEFINE_ATTACK(invd, "1: invd");
DEFINE_ATTACK(swapgs, "1: swapgs");
DEFINE_ATTACK(sysret, "1: sysretq");
DEFINE_ATTACK(sysexit, "1: sysexitq");
DEFINE_ATTACK(xsetbv, "xor %ecx, %ecx\n1: xsetbv");
DEFINE_ATTACK(stac, "1: stac");
DEFINE_ATTACK(clac, "1: clac");
DEFINE_ATTACK(monitor, "1: monitor");
DEFINE_ATTACK(mwait, "1: mwait");
DEFINE_ATTACK(ud1, "1: .byte 0x0f, 0xb9, 0xc0");
DEFINE_ATTACK(ud2, "1: ud2");
DEFINE_ATTACK(int3, "1: int3");
DEFINE_ATTACK(int3_with_prefix, "1: .byte 0x66, 0xcc");
DEFINE_ATTACK(int_3_with_prefix, "1: .byte 0x66, 0xcd, 0x03");
DEFINE_ATTACK(icebp, "1: .byte 0xf1");
DEFINE_ATTACK(div, "xor %edx, %edx\nxor %ecx, %ecx\n1: div %ecx");
/* An interrupt after POPF drops the flag: then once more */
DEFINE_ATTACK(trap_flag,
	      "1: pushf\norq $0x100, (%rsp)\npopf\njmp 1b");
DEFINE_ATTACK(trap_flag_syscall,
	      "pushf\norq $0x100, (%rsp)\npopf\n1: syscall");
DEFINE_ATTACK(trap_flag_sysenter,
	      "pushf\norq $0x100, (%rsp)\npopf\n1: sysenter");
DEFINE_ATTACK(iret_to_kernel,
	      "mov %rsp, %rdx\n"
	      "push $" __stringify(__KERNEL_DS) "\n"
	      "push %rdx\n"
	      "push $2\n"
	      "push $" __stringify(__KERNEL_CS) "\n"
	      "lea 2f(%rip), %rax\n"
	      "push %rax\n"
	      "1: iretq\n"
	      "2: nop");
DEFINE_ATTACK(far_return_to_kernel,
	      "push $" __stringify(__KERNEL_CS) "\n"
	      "lea 2f(%rip), %rax\n"
	      "push %rax\n"
	      "1: lretq\n"
	      "2: nop");
DEFINE_ATTACK(far_jump_to_kernel,
	      "sub $8, %rsp\n"
	      "movl $0, (%rsp)\n"
	      "movl $" __stringify(__KERNEL_CS) ", 4(%rsp)\n"
	      "1: ljmpl *(%rsp)\n");
DEFINE_ATTACK(far_return_to_32_bit,
	      "push $" __stringify(__USER32_CS) "\n"
	      "lea 2f(%rip), %rax\n"
	      "push %rax\n"
	      "lretq\n"
	      "1: nop\n"
	      "2: nop");
DEFINE_ATTACK(far_return_to_user,
	      "push $" __stringify(__USER_CS) "\n"
	      "lea 1f(%rip), %rax\n"
	      "push %rax\n"
	      "lretq\n"
	      "1: nop");
DEFINE_ATTACK(bad_ds, "mov $0xfff8, %eax\n1: mov %eax, %ds");
DEFINE_ATTACK(bad_es, "mov $0xfff8, %eax\n1: mov %eax, %es");
DEFINE_ATTACK(bad_fs, "mov $0xfff8, %eax\n1: mov %eax, %fs");
DEFINE_ATTACK(bad_gs, "mov $0xfff8, %eax\n1: mov %eax, %gs");
DEFINE_ATTACK(bad_ss, "mov $0xfff8, %eax\n1: mov %eax, %ss");
DEFINE_ATTACK(null_ss, "xor %eax, %eax\n1: mov %eax, %ss");
DEFINE_ATTACK(kernel_ds,
	      "mov $" __stringify(__KERNEL_DS) ", %eax\n1: mov %eax, %ds");
DEFINE_ATTACK(kernel_ss,
	      "mov $" __stringify(__KERNEL_DS) ", %eax\n1: mov %eax, %ss");
DEFINE_ATTACK(x87, "1: fld1");
DEFINE_ATTACK(fwait, "1: fwait");
/* Not EMMS: QEMU executes that whatever CR0.TS says */
DEFINE_ATTACK(mmx, "1: movd %eax, %mm0");
DEFINE_ATTACK(sse, "1: movaps %xmm0, %xmm1");
DEFINE_ATTACK(ldmxcsr, "1: ldmxcsr (%rdi)");
DEFINE_ATTACK(fxsave, "1: fxsave (%rdi)");
DEFINE_ATTACK(avx, "1: vzeroupper");
DEFINE_ATTACK(wrpkru,
	      "xor %ecx, %ecx\n"
	      "xor %edx, %edx\n"
	      "mov $-1, %eax\n"
	      "wrpkru\n"
	      "1: mov (%rdi), %rax");

struct attack_insn {
	const char	*name;
	sbm_func	func;
	unsigned long	causes;
	long		vector;
	long		error_code;
	/* The instruction pointer is not known or differs */
	bool		any_ip;
	bool		any_address;
	/* X86_FEATURE_ that the case relies on */
	unsigned int	feature;
};

#define STOP(attack, cause, vec, err, feat) {				\
	.name		= #attack,					\
	.func		= attack_##attack,				\
	.causes		= BIT(SBM_CAUSE_##cause),			\
	.vector		= X86_TRAP_##vec,				\
	.error_code	= err,						\
	.feature	= feat,						\
}

#define STOP_GP(attack)			STOP(attack, PROTECTION, GP, 0, 0)
#define STOP_GP_ERROR(attack, err)	STOP(attack, PROTECTION, GP, err, 0)
#define STOP_GP_IF(attack, feat)	STOP(attack, PROTECTION, GP, 0, feat)
#define STOP_UD(attack)			STOP(attack, ILLEGAL_INSN, UD, 0, 0)
#define STOP_NM(attack)			STOP(attack, FPU, NM, 0, 0)

static const struct attack_insn insns[] = {
	{
		.name		= "syscall",
		.func		= attack_syscall,
		.causes		= BIT(SBM_CAUSE_SYSCALL),
		.vector		= ANY,
		.error_code	= ANY,
	},
	{
		/* The trap flag is masked like the others */
		.name		= "trap_flag_syscall",
		.func		= attack_trap_flag_syscall,
		.causes		= BIT(SBM_CAUSE_SYSCALL),
		.vector		= ANY,
		.error_code	= ANY,
	},
	{
		/* Debug exceptions are held back for an instruction */
		.name		= "mov_ss_syscall",
		.func		= attack_mov_ss_syscall,
		.causes		= BIT(SBM_CAUSE_SYSCALL),
		.vector		= ANY,
		.error_code	= ANY,
	},
	STOP_GP(cli),
	STOP_GP(sti),
	STOP_GP(hlt),
	STOP_GP(in),
	STOP_GP(out),
	STOP_GP(rdmsr),
	STOP_GP(wrmsr),
	STOP_GP(read_cr0),
	STOP_GP(read_cr3),
	STOP_GP(read_cr4),
	STOP_GP(write_cr0),
	STOP_GP(write_cr3),
	STOP_GP(write_cr4),
	STOP_GP(read_cr8),
	STOP_GP(read_dr7),
	STOP_GP(write_dr7),
	STOP_GP(clts),
	STOP_GP(lmsw),
	STOP_GP(lgdt),
	STOP_GP(lidt),
	STOP_GP(lldt),
	STOP_GP(ltr),
	STOP_GP_IF(smsw, X86_FEATURE_UMIP),
	STOP_GP_IF(sgdt, X86_FEATURE_UMIP),
	STOP_GP_IF(sidt, X86_FEATURE_UMIP),
	STOP_GP_IF(sldt, X86_FEATURE_UMIP),
	STOP_GP_IF(str, X86_FEATURE_UMIP),
	STOP_GP(invlpg),
	STOP_GP(wbinvd),
	STOP_GP(invd),
	STOP_GP(swapgs),
	STOP_GP(sysret),
	STOP_GP_IF(xsetbv, X86_FEATURE_OSXSAVE),
	{
		/* AMD has no SYSEXIT in long mode */
		.name		= "sysexit",
		.func		= attack_sysexit,
		.causes		= BIT(SBM_CAUSE_PROTECTION) |
				  BIT(SBM_CAUSE_ILLEGAL_INSN),
		.vector		= ANY,
		.error_code	= 0,
	},
	STOP_UD(stac),
	STOP_UD(clac),
	STOP_UD(monitor),
	STOP_UD(mwait),
	STOP_UD(ud1),
	STOP_UD(ud2),
	{
		/* The gate is not for ring 3 */
		.name		= "int3",
		.func		= attack_int3,
		.causes		= BIT(SBM_CAUSE_PROBE),
		.vector		= X86_TRAP_GP,
		.error_code	= X86_TRAP_BP << 3 | 2,
	},
	{
		/* Neither the one byte nor the other: must not loop */
		.name		= "int3_with_prefix",
		.func		= attack_int3_with_prefix,
		.causes		= BIT(SBM_CAUSE_PROBE) |
				  BIT(SBM_CAUSE_PROTECTION),
		.vector		= X86_TRAP_GP,
		.error_code	= X86_TRAP_BP << 3 | 2,
	},
	{
		.name		= "int_3_with_prefix",
		.func		= attack_int_3_with_prefix,
		.causes		= BIT(SBM_CAUSE_PROTECTION),
		.vector		= X86_TRAP_GP,
		.error_code	= X86_TRAP_BP << 3 | 2,
	},
	{
		/* Emulators may not know it */
		.name		= "icebp",
		.func		= attack_icebp,
		.causes		= BIT(SBM_CAUSE_DEBUG) |
				  BIT(SBM_CAUSE_ILLEGAL_INSN),
		.vector		= ANY,
		.error_code	= 0,
		.any_ip		= true,
	},
	{
		.name		= "div",
		.func		= attack_div,
		.causes		= BIT(SBM_CAUSE_ARITHMETIC),
		.vector		= X86_TRAP_DE,
	},
	{
		.name		= "trap_flag",
		.func		= attack_trap_flag,
		.causes		= BIT(SBM_CAUSE_DEBUG),
		.vector		= X86_TRAP_DB,
	},
	STOP_GP_ERROR(iret_to_kernel, __KERNEL_CS),
	STOP_GP_ERROR(far_return_to_kernel, __KERNEL_CS),
	STOP_GP_ERROR(far_jump_to_kernel, __KERNEL_CS),
	STOP_GP_ERROR(bad_ds, 0xfff8),
	STOP_GP_ERROR(bad_es, 0xfff8),
	STOP_GP_ERROR(bad_fs, 0xfff8),
	STOP_GP_ERROR(bad_gs, 0xfff8),
	STOP_GP_ERROR(bad_ss, 0xfff8),
	STOP_GP(null_ss),
	STOP_GP_ERROR(kernel_ds, __KERNEL_DS),
	STOP_GP_ERROR(kernel_ss, __KERNEL_DS),
	STOP_NM(x87),
	STOP_NM(fwait),
	STOP_NM(mmx),
	STOP_NM(sse),
	STOP_NM(ldmxcsr),
	STOP_NM(fxsave),
	{
		/* The target takes its own rights away, and only its own */
		.name		= "wrpkru",
		.func		= attack_wrpkru,
		.causes		= BIT(SBM_CAUSE_PAGE_FAULT),
		.vector		= X86_TRAP_PF,
		.error_code	= X86_PF_USER | X86_PF_PROT | X86_PF_PK,
		.any_address	= true,
		.feature	= X86_FEATURE_OSPKE,
	},
	{
		.name		= "avx",
		.func		= attack_avx,
		.causes		= BIT(SBM_CAUSE_FPU),
		.vector		= X86_TRAP_NM,
		.feature	= X86_FEATURE_AVX,
	},
};

KUNIT_ARRAY_PARAM_DESC(insn, insns, name);

/* INT n; each stub takes 8 bytes */
static noinline __naked int attack_int_n(void *data)
{
	asm volatile("test %rdi, %rdi\n\t"
		     "jz 9f\n\t"
		     "movq $1, 8(%rdi)\n\t"
		     "mov 16(%rdi), %rcx\n\t"
		     "lea 1f(%rip), %rax\n\t"
		     "lea (%rax,%rcx,8), %rax\n\t"
		     "push %rax\n\t"
		     "mov $0x1234, %eax\n\t"
		     ASM_RET
		     "2:\n\t"
		     "mov $0x5678, %eax\n\t"
		     ASM_RET
		     "9: lea 1f(%rip), %rax\n\t"
		     ASM_RET
		     ".balign 8\n\t"
		     "1:\n\t"
		     ".set sbm_vector, 0\n\t"
		     ".rept 256\n\t"
		     ".byte 0xcd, sbm_vector\n\t"
		     "jmp 2b\n\t"
		     ".balign 8, 0x90\n\t"
		     ".set sbm_vector, sbm_vector + 1\n\t"
		     ".endr");
}

STACK_FRAME_NON_STANDARD(attack_int_n);

/*
 * The error code of an INT through a closed gate is the vector, shifted by 3, and
 * the IDT bit. QEMU 7.2 shifts by 4 in long mode. Find out with one vector.
 */
static unsigned int int_error_shift(struct kunit *test)
{
	struct attack_args args;
	unsigned long code = 0;
	struct sbm sbm;
	int err;

	init_args(&args, 0, 0x40);
	init_at_least(test, &sbm, SBM_ISOLATION_STRONG);
	err = sbm_exec(&sbm, attack_int_n,
		       SBM_COPY_INOUT(&sbm, &args, sizeof(args)));
	if (err == -EFAULT && sbm_fault(&sbm))
		code = sbm_fault(&sbm)->error_code;
	sbm_destroy(&sbm);

	if (boot_cpu_has(X86_FEATURE_HYPERVISOR) && code == (0x40 << 4 | 2))
		return 4;

	return 3;
}

/*
 * A far return takes the new code segment from the target's stack, with the
 * target's rights. QEMU 7.2 reads it as if it was ring 0, which SMAP stops.
 */
static bool far_returns_work(struct kunit *test)
{
	struct attack_args args;
	bool works = true;
	struct sbm sbm;
	int err;

	init_args(&args, 0, 0);
	init_at_least(test, &sbm, SBM_ISOLATION_STRONG);
	err = sbm_exec(&sbm, attack_far_return_to_user,
		       SBM_COPY_INOUT(&sbm, &args, sizeof(args)));
	if (boot_cpu_has(X86_FEATURE_HYPERVISOR) && err == -EFAULT &&
	    sbm_fault(&sbm) && sbm_fault(&sbm)->vector == X86_TRAP_PF &&
	    sbm_fault(&sbm)->error_code == X86_PF_PROT)
		works = false;
	sbm_destroy(&sbm);

	return works;
}

static void instruction_is_stopped(struct kunit *test)
{
	const struct attack_insn *insn = test->param_value;
	struct attack_args args;
	struct want want = {
		.causes		= insn->causes,
		.vector		= insn->vector,
		.error_code	= insn->error_code,
		.address	= insn->any_address ? ANY : 0,
		.ip		= insn->any_ip ? ANY : insn_of(insn->func),
	};
	struct arena *a;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	if (insn->feature && !boot_cpu_has(insn->feature))
		kunit_skip(test, "this CPU lacks what the test relies on");

	if (want.error_code == (X86_TRAP_BP << 3 | 2))
		want.error_code = X86_TRAP_BP << int_error_shift(test) | 2;
	if ((insn->func == attack_iret_to_kernel ||
	     insn->func == attack_far_return_to_kernel) && !far_returns_work(test)) {
		want.causes = BIT(SBM_CAUSE_PAGE_FAULT);
		want.vector = X86_TRAP_PF;
		want.error_code = X86_PF_PROT;
		want.address = ANY;
	}

	a = open_arena(test);
	init_args(&args, 0, 0);
	expect_stop(test, a, insn->func, &args, &want, insn->name);
	close_arena(test, a);
	expect_next_call_works(test);
}

/*
 * SYSENTER depends on the vendor: Intel's enters the kernel if the kernel wants
 * that (32-bit emulation) and faults if not, AMD's is no instruction.
 */
static void run_sysenter(struct kunit *test, sbm_func attack)
{
	struct attack_args args;
	struct want want = {
		.vector		= ANY,
		.error_code	= ANY,
		.address	= 0,
		.ip		= ANY,
	};
	struct arena *a;

	switch (boot_cpu_data.x86_vendor) {
	case X86_VENDOR_AMD:
	case X86_VENDOR_HYGON:
		want.causes = BIT(SBM_CAUSE_ILLEGAL_INSN);
		want.vector = X86_TRAP_UD;
		want.error_code = 0;
		want.ip = insn_of(attack);
		break;
	default:
		want.causes = BIT(SBM_CAUSE_SYSCALL);
		if (!IS_ENABLED(CONFIG_IA32_EMULATION)) {
			want.causes = BIT(SBM_CAUSE_PROTECTION);
			want.vector = X86_TRAP_GP;
			want.error_code = 0;
			want.ip = insn_of(attack);
		}
	}

	a = open_arena(test);
	init_args(&args, 0, 0);
	expect_stop(test, a, attack, &args, &want, "SYSENTER");
	close_arena(test, a);
	expect_next_call_works(test);
}

static void sysenter_is_stopped(struct kunit *test)
{
	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	run_sysenter(test, attack_sysenter);
}

/* The debug trap is then taken in ring 0, in entry text */
static void sysenter_with_trap_flag_is_stopped(struct kunit *test)
{
	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	run_sysenter(test, attack_trap_flag_sysenter);
}

static void all_software_interrupts_are_stopped(struct kunit *test)
{
	unsigned long stubs = insn_of(attack_int_n);
	struct attack_args args;
	struct want want = {
		.causes		= BIT(SBM_CAUSE_PROTECTION),
		.vector		= X86_TRAP_GP,
		.address	= 0,
	};
	unsigned int shift;
	struct arena *a;
	char what[16];
	int n;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	shift = int_error_shift(test);
	for (n = 0; n < 256; n++) {
		if (n == RETURN_VECTOR || n == HOSTCALL_VECTOR)
			continue;

		a = open_arena(test);
		init_args(&args, 0, n);
		want.error_code = n << shift | 2;
		want.ip = stubs + 8 * n;
		snprintf(what, sizeof(what), "INT %d", n);
		expect_stop(test, a, attack_int_n, &args, &want, what);
		close_arena(test, a);
	}
	expect_next_call_works(test);
}

/* The return gate is open to all: whoever uses it has returned, no more */
static void return_gate_only_returns(struct kunit *test)
{
	struct attack_args args;
	struct arena *a;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	a = open_arena(test);
	init_args(&args, 0, RETURN_VECTOR);
	KUNIT_EXPECT_EQ(test, 0x1234,
			sbm_exec(&a->sbm, attack_int_n,
				 SBM_COPY_INOUT(&a->sbm, &args, sizeof(args))));
	KUNIT_EXPECT_EQ(test, sbm_error(&a->sbm), 0);
	close_arena(test, a);
	expect_next_call_works(test);
}

/* So is the gate of host calls, and whoever has none that is allowed is stopped there */
static void hostcall_gate_only_asks(struct kunit *test)
{
	struct attack_args args;
	struct want want = {
		.causes		= BIT(SBM_CAUSE_HOSTCALL),
		.vector		= HOSTCALL_VECTOR,
		.error_code	= 0,
		.address	= 0,
		/* Behind the instruction */
		.ip		= insn_of(attack_int_n) + 8 * HOSTCALL_VECTOR + 2,
	};
	struct arena *a;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	a = open_arena(test);
	init_args(&args, 0, HOSTCALL_VECTOR);
	expect_stop(test, a, attack_int_n, &args, &want, "INT of host calls");
	close_arena(test, a);
	expect_next_call_works(test);
}

DEFINE_ATTACK(push_forever, "2:\n1: push %rax\njmp 2b");
DEFINE_ATTACK(pop_forever, "2:\n1: pop %rax\njmp 2b");

static void stack_overflow_is_stopped(struct kunit *test)
{
	struct attack_args args;
	struct arena *a;
	struct want want = {
		.causes		= BIT(SBM_CAUSE_PAGE_FAULT),
		.vector		= X86_TRAP_PF,
		.error_code	= PF_WROTE,
		.ip		= insn_of(attack_push_forever),
	};

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	a = open_arena(test);
	init_args(&args, 0, 0);
	want.address = a->layout.stack_low - 8;
	expect_stop(test, a, attack_push_forever, &args, &want, "push");
	close_arena(test, a);
	expect_next_call_works(test);
}

static void stack_underflow_is_stopped(struct kunit *test)
{
	struct attack_args args;
	struct arena *a;
	struct want want = {
		.causes		= BIT(SBM_CAUSE_PAGE_FAULT),
		.vector		= X86_TRAP_PF,
		.error_code	= PF_READ,
		.ip		= insn_of(attack_pop_forever),
	};

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	a = open_arena(test);
	init_args(&args, 0, 0);
	want.address = a->layout.stack_high;
	expect_stop(test, a, attack_pop_forever, &args, &want, "pop");
	close_arena(test, a);
	expect_next_call_works(test);
}

/*
 * Whatever the stack pointer is: SYSCALL keeps it, and so does the CPU when it
 * returns through the gate, but the kernel's side must use its own.
 */
DEFINE_ATTACK(syscall_with_stack, "mov %rsi, %rsp\n1: syscall");
DEFINE_ATTACK(return_with_stack,
	      "mov %rsi, %rsp\n"
	      "xor %eax, %eax\n"
	      "1: int $" __stringify(RETURN_VECTOR));

static void stack_pointer_does_not_matter(struct kunit *test)
{
	const struct aim *aim = test->param_value;
	u8 *page = kunit_kzalloc(test, PAGE_SIZE, GFP_KERNEL);
	u8 *vmalloced = vzalloc(PAGE_SIZE);
	struct attack_args args;
	struct want want = {
		.causes		= BIT(SBM_CAUSE_SYSCALL),
		.vector		= ANY,
		.error_code	= ANY,
		.address	= 0,
		.ip		= insn_of(attack_syscall_with_stack),
	};
	struct arena *a;

	if (sbm_isolation() < SBM_ISOLATION_STRONG)
		goto out;

	a = open_arena(test);
	a->page = page;
	a->vmalloced = vmalloced;
	init_args(&args, aim->address(a), 0);
	expect_stop(test, a, attack_syscall_with_stack, &args, &want, "SYSCALL");
	close_arena(test, a);

	a = open_arena(test);
	a->page = page;
	a->vmalloced = vmalloced;
	init_args(&args, aim->address(a), 0);
	expect_return(test, a, attack_return_with_stack, &args, "return");
	close_arena(test, a);
	expect_next_call_works(test);
out:
	vfree(vmalloced);
	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
}

DEFINE_ATTACK(non_canonical_push, "mov %rsi, %rsp\n1: push %rax");

static void non_canonical_stack_is_stopped(struct kunit *test)
{
	struct attack_args args;
	struct want want = {
		.causes		= BIT(SBM_CAUSE_PROTECTION),
		/* Emulators may raise #GP where processors raise #SS */
		.vector		= ANY,
		.error_code	= 0,
		.address	= 0,
		.ip		= insn_of(attack_non_canonical_push),
	};
	struct arena *a;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	a = open_arena(test);
	init_args(&args, NON_CANONICAL, 0);
	expect_stop(test, a, attack_non_canonical_push, &args, &want, "push");
	close_arena(test, a);
	expect_next_call_works(test);
}

/*
 * What ring 3 may do, but must not be felt outside.
 */
DEFINE_ATTACK(cpuid, "xor %eax, %eax\n1: cpuid\nxor %ebx, %ebx");
DEFINE_ATTACK(rdtsc, "1: rdtsc");
DEFINE_ATTACK(xgetbv, "xor %ecx, %ecx\n1: xgetbv");
DEFINE_ATTACK(rdpkru, "xor %ecx, %ecx\n1: rdpkru");
DEFINE_ATTACK(wrgsbase, "1: wrgsbase %rdi");
DEFINE_ATTACK(wrgsbase_zero, "xor %eax, %eax\n1: wrgsbase %rax");
DEFINE_ATTACK(wrfsbase, "1: wrfsbase %rdi");
DEFINE_ATTACK(null_selectors,
	      "xor %eax, %eax\n"
	      "mov %eax, %ds\n"
	      "mov %eax, %es\n"
	      "mov %eax, %fs\n"
	      "1: mov %eax, %gs");
DEFINE_ATTACK(user_selectors,
	      "mov $" __stringify(__USER_DS) ", %eax\n"
	      "mov %eax, %ds\n"
	      "mov %eax, %es\n"
	      "mov %eax, %fs\n"
	      "mov %eax, %gs\n"
	      "1: mov %eax, %ss");
DEFINE_ATTACK(direction_flag, "1: std");
DEFINE_ATTACK(all_flags,
	      "pushf\n"
	      /* All but TF; IOPL does not change in ring 3 */
	      "orq $0x247ed5, (%rsp)\n"
	      "popf\n"
	      "1: nop");
DEFINE_ATTACK(no_flags, "push $0\n1: popf");
DEFINE_ATTACK(flags_and_return_gate,
	      "pushf\n"
	      "orq $0x247ed5, (%rsp)\n"
	      "popf\n"
	      "mov $0, %eax\n"
	      "1: int $" __stringify(RETURN_VECTOR));
DEFINE_ATTACK(mov_ss_return_gate,
	      "mov $" __stringify(__USER_DS) ", %ecx\n"
	      "mov $0, %eax\n"
	      "mov %ecx, %ss\n"
	      "1: int $" __stringify(RETURN_VECTOR));

struct permitted {
	const char	*name;
	sbm_func	func;
	unsigned int	feature;
};

static const struct permitted permitted_insns[] = {
	{ "cpuid", attack_cpuid },
	{ "rdtsc", attack_rdtsc },
	{ "xgetbv", attack_xgetbv, X86_FEATURE_OSXSAVE },
	{ "rdpkru", attack_rdpkru, X86_FEATURE_OSPKE },
	{ "wrgsbase", attack_wrgsbase },
	{ "wrgsbase_zero", attack_wrgsbase_zero },
	{ "wrfsbase", attack_wrfsbase },
	{ "null_selectors", attack_null_selectors },
	{ "user_selectors", attack_user_selectors },
	{ "far_return_to_user", attack_far_return_to_user },
	{ "direction_flag", attack_direction_flag },
	{ "all_flags", attack_all_flags },
	{ "no_flags", attack_no_flags },
	{ "flags_and_return_gate", attack_flags_and_return_gate },
	{ "mov_ss_return_gate", attack_mov_ss_return_gate },
};

KUNIT_ARRAY_PARAM_DESC(permitted, permitted_insns, name);

static void permitted_instruction_has_no_effect_outside(struct kunit *test)
{
	const struct permitted *insn = test->param_value;
	struct attack_args args;
	struct arena *a;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	if (insn->feature && !boot_cpu_has(insn->feature))
		kunit_skip(test, "this CPU lacks what the test relies on");
	if (insn->func == attack_far_return_to_user && !far_returns_work(test))
		kunit_skip(test, "far returns do not work on this emulator");

	a = open_arena(test);
	init_args(&args, 0, 0);
	expect_return(test, a, insn->func, &args, insn->name);
	/* Nor in the next call of the same instance */
	expect_return(test, a, insn->func, &args, insn->name);
	close_arena(test, a);
	expect_next_call_works(test);
}

DEFINE_ATTACK(unaligned_access,
	      "pushf\n"
	      "orq $0x40000, (%rsp)\n"
	      "popf\n"
	      "1: mov 1(%rdi), %rax");

/* AC is a trap in ring 3 (not in all emulators) and disarms SMAP in ring 0 */
static void alignment_checks_stay_inside(struct kunit *test)
{
	struct cpu_state original, planted;
	const struct sbm_fault *fault;
	struct attack_args args;
	struct arena *a;
	int ret;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	a = open_arena(test);
	init_args(&args, 0, 0);

	read_cpu_state(&original);
	plant_cpu_state();
	read_cpu_state(&planted);
	ret = sbm_exec(&a->sbm, attack_unaligned_access,
		       SBM_COPY_INOUT(&a->sbm, &args, sizeof(args)));
	expect_same_cpu_state(test, &planted);
	restore_cpu_state(&original);

	fault = sbm_fault(&a->sbm);
	if (ret) {
		KUNIT_EXPECT_EQ(test, ret, -EFAULT);
		KUNIT_EXPECT_NOT_NULL(test, fault);
	}
	if (fault) {
		KUNIT_EXPECT_EQ(test, fault->vector, X86_TRAP_AC);
		KUNIT_EXPECT_EQ(test, fault->cause, SBM_CAUSE_OTHER);
		KUNIT_EXPECT_EQ(test, fault->ip,
				insn_of(attack_unaligned_access));
	}
	close_arena(test, a);
	expect_next_call_works(test);
}

/*
 * In 32-bit mode only the low 4 GiB can be reached, and nothing is there. The
 * fault has the truncated address; or the change of CS is what is noticed.
 */
static void change_to_32_bit_mode_is_stopped(struct kunit *test)
{
	struct attack_args args;
	struct want want = {
		.causes		= BIT(SBM_CAUSE_PAGE_FAULT) |
				  BIT(SBM_CAUSE_SEGMENT),
		.vector		= ANY,
		.error_code	= ANY,
		.address	= ANY,
		.ip		= ANY,
	};
	struct arena *a;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	a = open_arena(test);
	init_args(&args, 0, 0);
	expect_stop(test, a, attack_far_return_to_32_bit, &args, &want, "lret");
	close_arena(test, a);
	expect_next_call_works(test);
}

static int warn_inside(void *data)
{
	WARN_ON(data);

	return 0;
}

/* The trap of WARN() is the target's own problem: no warning of the kernel */
static void warning_of_a_target_is_a_stop(struct kunit *test)
{
	const struct sbm_fault *fault;
	struct sbm sbm;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	KUNIT_ASSERT_EQ(test, sbm_init(&sbm), 0);
	KUNIT_EXPECT_EQ(test, sbm_exec(&sbm, warn_inside, (void *)1), -EFAULT);
	fault = sbm_fault(&sbm);
	KUNIT_EXPECT_NOT_NULL(test, fault);
	if (fault) {
		KUNIT_EXPECT_EQ(test, fault->cause, SBM_CAUSE_ILLEGAL_INSN);
		KUNIT_EXPECT_EQ(test, fault->vector, X86_TRAP_UD);
	}
	sbm_destroy(&sbm);
	expect_next_call_works(test);
}

/* === What a target finds === */

struct entry_regs {
	u64	gpr[15];
	u64	flags;
	u64	sp;
	u64	gs_base;
	u64	fs_base;
	u64	ds;
	u64	es;
	u64	fs;
	u64	gs;
	u64	ss;
	u64	cs;
};

static_assert(offsetof(struct entry_regs, flags) == 120);
static_assert(offsetof(struct entry_regs, cs) == 192);

/* Stores what it finds to its argument */
static noinline __naked int store_entry_regs(void *data)
{
	asm volatile("mov %rax, 0(%rdi)\n\t"
		     "mov %rbx, 8(%rdi)\n\t"
		     "mov %rcx, 16(%rdi)\n\t"
		     "mov %rdx, 24(%rdi)\n\t"
		     "mov %rsi, 32(%rdi)\n\t"
		     "mov %rdi, 40(%rdi)\n\t"
		     "mov %rbp, 48(%rdi)\n\t"
		     "mov %r8, 56(%rdi)\n\t"
		     "mov %r9, 64(%rdi)\n\t"
		     "mov %r10, 72(%rdi)\n\t"
		     "mov %r11, 80(%rdi)\n\t"
		     "mov %r12, 88(%rdi)\n\t"
		     "mov %r13, 96(%rdi)\n\t"
		     "mov %r14, 104(%rdi)\n\t"
		     "mov %r15, 112(%rdi)\n\t"
		     "mov %rsp, 128(%rdi)\n\t"
		     "pushf\n\t"
		     "pop %rax\n\t"
		     "mov %rax, 120(%rdi)\n\t"
		     "rdgsbase %rax\n\t"
		     "mov %rax, 136(%rdi)\n\t"
		     "rdfsbase %rax\n\t"
		     "mov %rax, 144(%rdi)\n\t"
		     "xor %eax, %eax\n\t"
		     "mov %ds, %eax\n\t"
		     "mov %rax, 152(%rdi)\n\t"
		     "mov %es, %eax\n\t"
		     "mov %rax, 160(%rdi)\n\t"
		     "mov %fs, %eax\n\t"
		     "mov %rax, 168(%rdi)\n\t"
		     "mov %gs, %eax\n\t"
		     "mov %rax, 176(%rdi)\n\t"
		     "mov %ss, %eax\n\t"
		     "mov %rax, 184(%rdi)\n\t"
		     "mov %cs, %eax\n\t"
		     "mov %rax, 192(%rdi)\n\t"
		     "xor %eax, %eax\n\t"
		     ASM_RET);
}

STACK_FRAME_NON_STANDARD(store_entry_regs);

static bool is_in_window(const struct x86_sbm_layout *l, unsigned long addr)
{
	return addr >= l->window_start && addr < l->window_end;
}

/* A target may know its arguments, its window and kernel text, no more */
static void registers_hold_nothing_of_the_kernel(struct kunit *test)
{
	const u64 may_be_set = X86_EFLAGS_CF | X86_EFLAGS_FIXED |
			       X86_EFLAGS_PF | X86_EFLAGS_AF | X86_EFLAGS_ZF |
			       X86_EFLAGS_SF | X86_EFLAGS_OF | X86_EFLAGS_IF;
	struct cpu_state original;
	struct entry_regs regs = {};
	struct x86_sbm_layout l;
	struct sbm sbm;
	int i, round;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	KUNIT_ASSERT_EQ(test, sbm_init(&sbm), 0);
	KUNIT_EXPECT_TRUE(test, x86_sbm_test_layout(&sbm, &l));

	/* The second call must find nothing of the first either */
	for (round = 0; round < 2; round++) {
		struct entry_regs *inside;

		inside = SBM_COPY_INOUT(&sbm, &regs, sizeof(regs));
		read_cpu_state(&original);
		plant_cpu_state();
		KUNIT_EXPECT_EQ(test, 0,
				sbm_exec(&sbm, store_entry_regs, inside));
		restore_cpu_state(&original);

		for (i = 0; i < ARRAY_SIZE(regs.gpr); i++) {
			u64 r = regs.gpr[i];

			KUNIT_EXPECT_TRUE_MSG(test,
					      !r || is_in_window(&l, r) ||
					      core_kernel_text(r),
					      "register %d is %llx", i, r);
		}
		KUNIT_EXPECT_EQ(test, regs.gpr[5], (unsigned long)inside);
		KUNIT_EXPECT_EQ(test, regs.flags & ~may_be_set, 0);
		KUNIT_EXPECT_TRUE(test, regs.flags & X86_EFLAGS_IF);
		/* As the calling convention has it behind a CALL */
		KUNIT_EXPECT_EQ(test, regs.sp % 16, 8);
		KUNIT_EXPECT_GE(test, regs.sp, l.stack_low);
		KUNIT_EXPECT_LT(test, regs.sp, l.stack_high);
		KUNIT_EXPECT_EQ(test, regs.gs_base, l.gs_base);
		KUNIT_EXPECT_EQ(test, regs.fs_base, 0);
		KUNIT_EXPECT_EQ(test, regs.ds, 0);
		KUNIT_EXPECT_EQ(test, regs.es, 0);
		KUNIT_EXPECT_EQ(test, regs.fs, 0);
		KUNIT_EXPECT_EQ(test, regs.gs, 0);
		KUNIT_EXPECT_EQ(test, regs.ss, __USER_DS);
		KUNIT_EXPECT_EQ(test, regs.cs, __USER_CS);
	}
	sbm_destroy(&sbm);
}

#define STACK_WORDS	10

/* Copies the part of its own frame that has the stack protector's canary */
static noinline __no_sanitize_address int copy_words(unsigned long *out)
{
	unsigned long array[8];
	unsigned long *p = array;
	int i;

	OPTIMIZER_HIDE_VAR(p);
	p[0] = 1;
	for (i = 0; i < STACK_WORDS; i++)
		out[i] = READ_ONCE(p[i]);

	return 0;
}

static SBM_DEFINE_FUNC(copy_frame, unsigned long *, out)
{
	return copy_words(out);
}

static void canary_is_not_the_kernels(struct kunit *test)
{
#ifdef CONFIG_STACKPROTECTOR_STRONG
	unsigned long kernel[STACK_WORDS], first[STACK_WORDS];
	unsigned long second[STACK_WORDS];
	int (*same)(unsigned long *out) = copy_frame;
	struct sbm sbm, other;
	int i, slot = -1;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);

	/* Find out where it is, in the same code */
	OPTIMIZER_HIDE_VAR(same);
	same(kernel);
	for (i = 0; i < STACK_WORDS; i++) {
		if (kernel[i] == current->stack_canary)
			slot = i;
	}
	if (slot < 0)
		kunit_skip(test, "canary not found where it was expected");

	KUNIT_ASSERT_EQ(test, sbm_init(&sbm), 0);
	KUNIT_EXPECT_EQ(test, sbm_init(&other), 0);
	KUNIT_EXPECT_EQ(test, 0,
			sbm_call(&sbm, copy_frame,
				 SBM_COPY_OUT(&sbm, first, sizeof(first))));
	KUNIT_EXPECT_EQ(test, 0,
			sbm_call(&other, copy_frame,
				 SBM_COPY_OUT(&other, second, sizeof(second))));
	KUNIT_EXPECT_NE(test, first[slot], 0);
	KUNIT_EXPECT_NE(test, first[slot], current->stack_canary);
	KUNIT_EXPECT_NE(test, second[slot], current->stack_canary);
	KUNIT_EXPECT_NE(test, second[slot], first[slot]);
	sbm_destroy(&other);
	sbm_destroy(&sbm);
#else
	kunit_skip(test, "no stack protector");
#endif
}

static SBM_DEFINE_FUNC(look_at_current, unsigned long *, out)
{
	out[0] = (unsigned long)current;
	out[1] = current->flags;
	out[2] = current->pid;

	return 0;
}

static int write_to_current(void *data)
{
	WRITE_ONCE(current->flags, 0);

	return 0;
}

static int read_per_cpu_data(void *data)
{
	return this_cpu_read(kernel_per_cpu);
}

/* Code that looks at current sees an empty task */
static void current_is_a_dummy(struct kunit *test)
{
	const struct sbm_fault *fault;
	unsigned long found[3] = { 1, 1, 1 };
	struct x86_sbm_layout l;
	struct sbm sbm;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	KUNIT_ASSERT_EQ(test, sbm_init(&sbm), 0);
	KUNIT_EXPECT_TRUE(test, x86_sbm_test_layout(&sbm, &l));
	KUNIT_EXPECT_EQ(test, 0,
			sbm_call(&sbm, look_at_current,
				 SBM_COPY_OUT(&sbm, found, sizeof(found))));
	KUNIT_EXPECT_TRUE(test, is_in_window(&l, found[0]));
	KUNIT_EXPECT_EQ(test, found[1], 0);
	KUNIT_EXPECT_EQ(test, found[2], 0);

	KUNIT_EXPECT_EQ(test, sbm_exec(&sbm, write_to_current, NULL), -EFAULT);
	fault = sbm_fault(&sbm);
	KUNIT_EXPECT_NOT_NULL(test, fault);
	if (fault) {
		KUNIT_EXPECT_EQ(test, fault->cause, SBM_CAUSE_PAGE_FAULT);
		KUNIT_EXPECT_EQ(test, fault->error_code, PF_WROTE | PF_PRESENT);
		KUNIT_EXPECT_EQ(test, fault->address, found[0] +
				offsetof(struct task_struct, flags));
	}
	sbm_destroy(&sbm);
}

/* If the variable is a neighbour of those that have a shadow, it reads as 0 */
static void per_cpu_data_is_out_of_reach_through_gs(struct kunit *test)
{
	struct x86_sbm_layout l;
	struct sbm sbm;
	int ret;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	KUNIT_ASSERT_EQ(test, sbm_init(&sbm), 0);
	KUNIT_EXPECT_TRUE(test, x86_sbm_test_layout(&sbm, &l));
	ret = sbm_exec(&sbm, read_per_cpu_data, NULL);
	if (!sbm_fault(&sbm)) {
		KUNIT_EXPECT_EQ(test, ret, 0);
	} else {
		KUNIT_EXPECT_EQ(test, ret, -EFAULT);
		KUNIT_EXPECT_EQ(test, sbm_fault(&sbm)->cause,
				SBM_CAUSE_PAGE_FAULT);
		KUNIT_EXPECT_EQ(test, sbm_fault(&sbm)->error_code, PF_READ);
		KUNIT_EXPECT_EQ(test, sbm_fault(&sbm)->address, l.gs_base +
				(__force unsigned long)&kernel_per_cpu);
	}
	sbm_destroy(&sbm);
}

static SBM_DEFINE_FUNC(copy_bytes, u8 *, to, const u8 *, from, size_t, size)
{
	size_t i;

	for (i = 0; i < size; i++)
		to[i] = READ_ONCE(from[i]);

	return 0;
}

/* Documented: text and constants are no secret from a target */
static void text_and_constants_are_readable(struct kunit *test)
{
	u8 text_found[64], banner[64] = {};
	struct sbm sbm;
	size_t len = min(strlen(linux_banner), sizeof(banner) - 1);

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	KUNIT_ASSERT_EQ(test, sbm_init(&sbm), 0);
	KUNIT_EXPECT_EQ(test, 0,
			sbm_call(&sbm, copy_bytes,
				 SBM_COPY_OUT(&sbm, banner, sizeof(banner)),
				 (const u8 *)linux_banner, len));
	KUNIT_EXPECT_EQ(test, 0,
			sbm_call(&sbm, copy_bytes,
				 SBM_COPY_OUT(&sbm, text_found,
					      sizeof(text_found)),
				 (const u8 *)store_entry_regs,
				 sizeof(text_found)));
	KUNIT_EXPECT_MEMEQ(test, banner, linux_banner, len);
	KUNIT_EXPECT_MEMEQ(test, text_found, (void *)store_entry_regs,
			   sizeof(text_found));
	sbm_destroy(&sbm);
}

/* === Other sandboxes === */

static SBM_DEFINE_FUNC(peek_byte, const u8 *, p)
{
	return READ_ONCE(*p);
}

/*
 * Windows may share addresses. Then what is there must not be the other's.
 */
static void other_sandboxes_are_out_of_reach(struct kunit *test)
{
	u8 *secret = kunit_kmalloc(test, 3 * PAGE_SIZE, GFP_KERNEL);
	struct sbm owner, thief;
	unsigned long offset;
	u8 *at;
	int ret;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	KUNIT_ASSERT_NOT_NULL(test, secret);
	memset(secret, 0xb5, 3 * PAGE_SIZE);

	KUNIT_ASSERT_EQ(test, sbm_init(&owner), 0);
	at = SBM_COPY_INOUT(&owner, secret, 3 * PAGE_SIZE);

	for (offset = 0; offset < 3 * PAGE_SIZE; offset += 1024) {
		KUNIT_EXPECT_EQ(test, 0xb5,
				sbm_call(&owner, peek_byte, at + offset));
		KUNIT_EXPECT_EQ(test, sbm_init(&thief), 0);
		ret = sbm_call(&thief, peek_byte, at + offset);
		KUNIT_EXPECT_NE(test, ret, 0xb5);
		KUNIT_EXPECT_TRUE(test, ret == 0 || ret == -EFAULT);
		sbm_destroy(&thief);

		/* And with something else of its own at the same place */
		KUNIT_EXPECT_EQ(test, sbm_init(&thief), 0);
		KUNIT_EXPECT_NOT_NULL(test,
				      SBM_COPY_IN(&thief, secret + 1, 1));
		ret = sbm_call(&thief, peek_byte, at + offset);
		KUNIT_EXPECT_TRUE(test, ret == 0 || ret == -EFAULT ||
				  (ret == 0xb5 && !offset));
		sbm_destroy(&thief);
	}
	sbm_destroy(&owner);
}

static SBM_DEFINE_FUNC(fill_stack, unsigned long *, low, size_t, words)
{
	size_t i;

	for (i = 0; i < words; i++)
		WRITE_ONCE(low[i], 0xb5b5b5b5b5b5b5b5UL);

	return 0;
}

static SBM_DEFINE_FUNC(scan_stack, const unsigned long *, low, size_t, words)
{
	int found = 0;
	size_t i;

	for (i = 0; i < words; i++)
		found += !!READ_ONCE(low[i]);

	return found;
}

/* Stacks are used pages: they must be clean at first */
static void new_sandboxes_find_no_old_data(struct kunit *test)
{
	struct x86_sbm_layout l;
	struct sbm sbm;
	size_t words;
	int i;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	for (i = 0; i < 10; i++) {
		KUNIT_ASSERT_EQ(test, sbm_init(&sbm), 0);
		KUNIT_EXPECT_TRUE(test, x86_sbm_test_layout(&sbm, &l));
		/* The rest is in use */
		words = (l.stack_high - l.stack_low - 1024) / sizeof(long);
		KUNIT_EXPECT_EQ(test, 0,
				sbm_call(&sbm, scan_stack, (void *)l.stack_low,
					 words));
		KUNIT_EXPECT_EQ(test, 0,
				sbm_call(&sbm, fill_stack, (void *)l.stack_low,
					 words));
		KUNIT_EXPECT_EQ(test, words,
				sbm_call(&sbm, scan_stack, (void *)l.stack_low,
					 words));
		sbm_destroy(&sbm);
	}
}

/* === Page tables === */

/* What the walk has found */
struct walk {
	struct kunit			*test;
	const struct x86_sbm_layout	*layout;
	unsigned long			leaves;
	unsigned long			window_pages;
	unsigned long			wrong;
};

#define TABLE_ENTRIES		512
#define TABLE_SHIFT		9

static bool overlaps(unsigned long start, unsigned long end,
		     const char *range_start, const char *range_end)
{
	return start < (unsigned long)range_end &&
	       end > (unsigned long)range_start;
}

static bool is_within(unsigned long start, unsigned long end,
		      const char *range_start, const char *range_end)
{
	return start >= ((unsigned long)range_start & PAGE_MASK) &&
	       end <= PAGE_ALIGN((unsigned long)range_end);
}

/* Is there a page with ITS thunks of the kernel image? */
static bool is_thunk_page(unsigned long addr)
{
	unsigned int i;
	void *page;

	for (i = 0; (page = its_thunk_page(NULL, i)); i++) {
		if (addr == (unsigned long)page)
			return true;
	}

	return false;
}

/*
 * In a kernel with KASAN: is that a part of the shadow? It has no more than a page of
 * zeroes, time and again: all 512 entries of each table are the same.
 */
#ifdef CONFIG_KASAN
static bool in_kasan_shadow(unsigned long addr)
{
	return addr >= KASAN_SHADOW_START && addr < KASAN_SHADOW_END;
}

static bool is_zero_chain(unsigned long start, u64 entry, unsigned int shift)
{
	unsigned int i;

	if (!in_kasan_shadow(start))
		return false;

	for (; shift > PAGE_SHIFT; shift -= TABLE_SHIFT) {
		const u64 *table = __va(entry & PTE_PFN_MASK);

		for (i = 1; i < TABLE_ENTRIES; i++) {
			if (table[i] != table[0])
				return false;
		}
		entry = table[0];
		if (!(entry & _PAGE_PRESENT) || (entry & _PAGE_PSE))
			return false;
	}

	return (entry & PTE_PFN_MASK) >> PAGE_SHIFT == page_to_pfn(ZERO_PAGE(0)) &&
	       (entry & _PAGE_NX) && !(entry & (_PAGE_RW | _PAGE_GLOBAL));
}

static unsigned long shadow_of(unsigned long addr)
{
	return (unsigned long)kasan_mem_to_shadow((void *)addr);
}
#else
static bool in_kasan_shadow(unsigned long addr) { return false; }
static bool is_zero_chain(unsigned long start, u64 entry, unsigned int shift)
{
	return false;
}

static unsigned long shadow_of(unsigned long addr) { return 0; }
#endif

/* What is wrong with a mapping that ring 3 can use? NULL if nothing is. */
static const char *wrong_with_leaf(const struct walk *w, unsigned long start,
				   unsigned long end, u64 entry, bool write,
				   bool execute)
{
	unsigned long pfn = (entry & PTE_PFN_MASK) >> PAGE_SHIFT;

	if (entry & _PAGE_GLOBAL)
		return "is global";
	if (write && execute)
		return "is writable and executable";

	if (start >= w->layout->window_start && end <= w->layout->window_end) {
		if (execute)
			return "is an executable page of the window";
		if (end - start != PAGE_SIZE)
			return "is a large page in the window";
		if (write && (!pfn_valid(pfn) || PageSlab(pfn_to_page(pfn)) ||
			      PageReserved(pfn_to_page(pfn))))
			return "lets write to a page of somebody else";
		return NULL;
	}
	/* What are no zeroes is the stack's */
	if (in_kasan_shadow(start)) {
		if (execute)
			return "is executable shadow memory";
		if (!write || start + PAGE_SIZE <= shadow_of(w->layout->stack_low) ||
		    start >= shadow_of(w->layout->stack_high))
			return "is shadow memory that is not all zeroes";
		return NULL;
	}
	if (write)
		return "is writable outside of the window";

	if (is_thunk_page(start))
		return pfn == vmalloc_to_pfn((void *)start) ? NULL :
		       "maps another frame than the kernel";

	/* Large entries have the PAT bit where a small one's frame begins */
	if (end - start > PAGE_SIZE)
		pfn &= ~((end - start - 1) >> PAGE_SHIFT);
	if (pfn != PHYS_PFN(__pa(start)))
		return "maps another frame than the kernel";

	if (is_within(start, end, _stext, _etext)) {
		if (overlaps(start, end, __entry_text_start, __entry_text_end))
			return "is entry text";
		if (overlaps(start, end, __sbm_switch_start, __sbm_switch_end))
			return "is the world switch";
		if (overlaps(start, end, __sbm_tracer_start, __sbm_tracer_end))
			return "is what traced functions call";
		return NULL;
	}
	if (is_within(start, end, __start_rodata, __end_rodata)) {
		if (execute)
			return "is an executable constant";
		if (overlaps(start, end, __start_ro_after_init,
			     __end_ro_after_init))
			return "is ro_after_init";
		return NULL;
	}

	return "is neither text nor constants nor in the window";
}

static void walk_table(struct walk *w, const u64 *table, unsigned int shift,
		       unsigned long base, bool write, bool execute)
{
	unsigned int i;

	for (i = 0; i < TABLE_ENTRIES; i++) {
		unsigned long start = base | (unsigned long)i << shift;
		unsigned long end = start + (1UL << shift);
		u64 entry = READ_ONCE(table[i]);
		bool w2 = write && (entry & _PAGE_RW);
		bool x2 = execute && !(entry & _PAGE_NX);
		const char *why;

		if (!(entry & _PAGE_PRESENT)) {
			/* Nothing for L1TF either */
			if (entry && !w->wrong++)
				KUNIT_FAIL(w->test, "%lx: not present but %llx",
					   start, entry);
			continue;
		}
		/* Ring 3 cannot use what is below */
		if (!(entry & _PAGE_USER))
			continue;

		if (is_zero_chain(sign_extend64(start, PGDIR_SHIFT + TABLE_SHIFT - 1),
				  entry, shift))
			continue;

		if (shift > PAGE_SHIFT && !(entry & _PAGE_PSE)) {
			walk_table(w, __va(entry & PTE_PFN_MASK),
				   shift - TABLE_SHIFT, start, w2, x2);
			continue;
		}

		start = sign_extend64(start, PGDIR_SHIFT + TABLE_SHIFT - 1);
		end = start + (1UL << shift);
		w->leaves++;
		if (start >= w->layout->window_start &&
		    start < w->layout->window_end)
			w->window_pages++;
		why = wrong_with_leaf(w, start, end, entry, w2, x2);
		if (why && w->wrong++ < 10)
			KUNIT_FAIL(w->test, "%lx-%lx %s: %llx", start, end, why,
				   entry);
	}
}

/*
 * Look at each entry of an instance's tables that ring 3 could use, with code
 * that has nothing in common with what builds them.
 */
static void tables_map_nothing_else_for_ring_3(struct kunit *test)
{
	struct arena *a;
	struct walk w = { .test = test, };
	unsigned int shift;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	a = open_arena(test);
	w.layout = &a->layout;
	shift = pgtable_l5_enabled() ? P4D_SHIFT + TABLE_SHIFT : P4D_SHIFT;
	KUNIT_EXPECT_EQ(test, shift, PGDIR_SHIFT);

	/* The sign is extended at the leaves */
	walk_table(&w, (u64 *)a->layout.top_table, shift, 0, true, true);
	KUNIT_EXPECT_EQ(test, w.wrong, 0);
	KUNIT_EXPECT_GT(test, w.leaves, 10);
	/* At least two buffers, a stack and the shadow of per-CPU data */
	KUNIT_EXPECT_GE(test, w.window_pages,
			3 + SBM_DEFAULT_STACK_SIZE / PAGE_SIZE);
	close_arena(test, a);
}

static void expect_supervisor(struct kunit *test, const struct sbm *sbm,
			      unsigned long addr, const char *what)
{
	u64 rights, pfn;

	KUNIT_EXPECT_TRUE_MSG(test,
			      x86_sbm_test_lookup(sbm, addr, &rights, &pfn),
			      "%s", what);
	KUNIT_EXPECT_EQ_MSG(test, rights & _PAGE_USER, 0, "%s", what);
}

static void entry_code_is_where_it_must_be(struct kunit *test)
{
	unsigned long addr;
	struct arena *a;
	u64 rights, pfn;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	KUNIT_EXPECT_TRUE(test, PAGE_ALIGNED(__sbm_switch_start));
	KUNIT_EXPECT_TRUE(test, PAGE_ALIGNED(__sbm_switch_end));
	KUNIT_EXPECT_TRUE(test, PAGE_ALIGNED(__sbm_entry_start));
	KUNIT_EXPECT_TRUE(test, PAGE_ALIGNED(__sbm_entry_end));
	KUNIT_EXPECT_LE(test, (unsigned long)__sbm_entry_start,
			(unsigned long)__entry_text_start);
	KUNIT_EXPECT_GE(test, (unsigned long)__sbm_entry_end,
			(unsigned long)__entry_text_end);
	KUNIT_EXPECT_TRUE(test, PAGE_ALIGNED(__sbm_tracer_start));
	KUNIT_EXPECT_TRUE(test, PAGE_ALIGNED(__sbm_tracer_end));
	KUNIT_EXPECT_TRUE(test, PAGE_ALIGNED(__start_ro_after_init));
	KUNIT_EXPECT_TRUE(test, PAGE_ALIGNED(__end_ro_after_init));
	KUNIT_EXPECT_GE(test, (unsigned long)__sbm_switch_start,
			(unsigned long)_stext);
	KUNIT_EXPECT_LE(test, (unsigned long)__sbm_switch_end,
			(unsigned long)_etext);

	a = open_arena(test);
	for (addr = (unsigned long)__sbm_entry_start;
	     addr < (unsigned long)__sbm_entry_end; addr += PAGE_SIZE)
		KUNIT_EXPECT_FALSE(test, x86_sbm_test_lookup(&a->sbm, addr,
							     &rights, &pfn));

	for (addr = (unsigned long)__sbm_tracer_start;
	     addr < (unsigned long)__sbm_tracer_end; addr += PAGE_SIZE)
		KUNIT_EXPECT_FALSE(test, x86_sbm_test_lookup(&a->sbm, addr,
							     &rights, &pfn));

	for (addr = (unsigned long)__sbm_switch_start;
	     addr < (unsigned long)__sbm_switch_end; addr += PAGE_SIZE) {
		expect_supervisor(test, &a->sbm, addr, "switch text");
		x86_sbm_test_lookup(&a->sbm, addr, &rights, &pfn);
		KUNIT_EXPECT_EQ(test, rights & (_PAGE_RW | _PAGE_NX), 0);
		KUNIT_EXPECT_EQ(test, pfn, PHYS_PFN(__pa(addr)));
	}

	expect_supervisor(test, &a->sbm, a->layout.gate_idt, "IDT");
	expect_supervisor(test, &a->sbm, a->layout.gate_state, "state");
	expect_supervisor(test, &a->sbm, a->layout.gate_event, "event stack");
	expect_supervisor(test, &a->sbm, a->layout.gate_nmi, "NMI stack");
	expect_supervisor(test, &a->sbm, kernel_gdt(a), "GDT");
	expect_supervisor(test, &a->sbm, kernel_tss(a), "TSS");

	/* What SIDT would show must say nothing about the direct map */
	KUNIT_EXPECT_FALSE(test, virt_addr_valid((void *)a->layout.gate_idt));
	close_arena(test, a);
}

static void instance_needs_few_tables(struct kunit *test)
{
	struct arena *a;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	a = open_arena(test);
	KUNIT_EXPECT_GT(test, x86_sbm_test_table_pages(&a->sbm), 0);
	/* The way to the shadow of the stack takes three or four */
	KUNIT_EXPECT_LE(test, x86_sbm_test_table_pages(&a->sbm),
			8 + (IS_ENABLED(CONFIG_KASAN) ? 4 : 0));
	close_arena(test, a);
}

/* === Indirect branches === */

static noinline int twice(int value)
{
	return 2 * value;
}

static noinline int squared(int value)
{
	return value * value;
}

static noinline int negated(int value)
{
	return -value;
}

static int (* const functions[])(int value) = { twice, squared, negated };

static SBM_DEFINE_FUNC(call_by_table, int, value)
{
	int sum = 0;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(functions); i++) {
		int (*func)(int value) = READ_ONCE(functions[i]);

		sum += func(value + i);
	}

	return sum;
}

#ifdef CONFIG_MITIGATION_RETPOLINE

/**
 * struct indirect - what call_by_pointer() calls
 * @func:  The function.
 * @value: Its argument.
 */
struct indirect {
	int	(*func)(int value);
	long	value;
};

static_assert(offsetof(struct indirect, func) == 0);
static_assert(offsetof(struct indirect, value) == 8);

/*
 * Makes the call that the ITS mitigation must send through a thunk: it lies in the
 * lower half of a cache line. Called with NULL, returns where that is.
 */
static noinline __naked int call_by_pointer(void *data)
{
	asm volatile("test %rdi, %rdi\n\t"
		     "jz 9f\n\t"
		     "sub $8, %rsp\n\t"
		     "mov (%rdi), %rax\n\t"
		     "mov 8(%rdi), %rdi\n\t"
		     ".balign 64\n\t"
		     "1: call __x86_indirect_thunk_rax\n\t"
		     "add $8, %rsp\n\t"
		     ASM_RET
		     "9: lea 1b(%rip), %rax\n\t"
		     ASM_RET);
}

STACK_FRAME_NON_STANDARD(call_by_pointer);

/* Where the direct call at @ip leads, 0 if there is none */
static unsigned long call_destination(unsigned long ip)
{
	const u8 *insn = (const u8 *)ip;
	s32 distance;

	/* Text patching fills up with a prefix that means nothing here */
	if (*insn == 0x2e)
		insn++;
	if (*insn != CALL_INSN_OPCODE)
		return 0;
	memcpy(&distance, insn + 1, sizeof(distance));

	return (unsigned long)insn + CALL_INSN_SIZE + distance;
}

#endif /* CONFIG_MITIGATION_RETPOLINE */

/* However the mitigations of this processor have patched them */
static void indirect_calls_work(struct kunit *test)
{
	struct sbm sbm;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	KUNIT_ASSERT_EQ(test, sbm_init(&sbm), 0);
	KUNIT_EXPECT_EQ(test, 2 * 5 + 6 * 6 - 7,
			sbm_call(&sbm, call_by_table, 5));
	KUNIT_EXPECT_EQ(test, sbm_error(&sbm), 0);
#ifdef CONFIG_MITIGATION_RETPOLINE
	{
		struct indirect call = { .func = squared, .value = 7, };

		KUNIT_EXPECT_EQ(test, 49,
				sbm_exec(&sbm, call_by_pointer,
					 SBM_COPY_IN(&sbm, &call, sizeof(call))));
		KUNIT_EXPECT_EQ(test, sbm_error(&sbm), 0);
	}
#endif
	sbm_destroy(&sbm);
}

/* Pages of the kernel image that are not in the image */
static void its_thunks_are_inside(struct kunit *test)
{
#ifdef CONFIG_MITIGATION_RETPOLINE
	unsigned long destination;
	struct arena *a;
	unsigned int i;
	u64 rights, pfn;
	void *page;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	if (!cpu_feature_enabled(X86_FEATURE_INDIRECT_THUNK_ITS)) {
		KUNIT_EXPECT_NULL(test, its_thunk_page(NULL, 0));
		kunit_skip(test, "this processor needs no ITS thunks");
	}

	/* Else the tests of indirect calls have tested something else */
	destination = call_destination(insn_of(call_by_pointer));
	KUNIT_EXPECT_TRUE(test, is_thunk_page(destination & PAGE_MASK));

	a = open_arena(test);
	for (i = 0; (page = its_thunk_page(NULL, i)); i++) {
		KUNIT_EXPECT_TRUE(test, x86_sbm_test_lookup(&a->sbm,
							    (unsigned long)page,
							    &rights, &pfn));
		KUNIT_EXPECT_EQ(test, rights, _PAGE_USER);
		KUNIT_EXPECT_EQ(test, pfn, vmalloc_to_pfn(page));
	}
	KUNIT_EXPECT_GT(test, i, 0);
	close_arena(test, a);
#else
	kunit_skip(test, "this kernel has no retpolines, so no ITS thunks");
#endif
}

/* Neither in the kernel's tables nor in those of page-table isolation */
static void kernel_text_has_no_global_mapping(struct kunit *test)
{
	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	expect_next_call_works(test);
	KUNIT_EXPECT_EQ(test, x86_sbm_test_count_global(), 0);
}

/*
 * QEMU has no PCIDs, and flushes at each write to CR3. So play the processor: a
 * PCID keeps what was last loaded with it until it is flushed. However stays follow
 * each other, one that does not flush must find its own tables, of this very
 * generation, and nothing else.
 */
static void pcids_hold_nothing_stale(struct kunit *test)
{
	struct {
		u64 id;
		u64 generation;
	} held[64] = {};
	const unsigned int nr_ids = 12, rounds = 20000;
	unsigned int kept = 0, flushed = 0, wrong = 0, slots = 0, i;
	u64 generation[12] = {};
	u64 seed = 1;

	for (i = 0; i < rounds; i++) {
		unsigned int n, slot, dice;
		bool abort, flush;
		u64 id;

		/* Any fixed sequence will do that mixes all of it */
		seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
		dice = seed >> 40;
		n = dice % nr_ids;
		/* Long runs of few, as in real life, and phases of many */
		if (!(i & 0x200))
			n %= 3;
		abort = dice / 64 % 8 == 0;
		if (dice / 1024 % 16 == 0)
			generation[n]++;
		id = 1000 + n;

		flush = x86_sbm_test_stay(id, generation[n], abort, &slot);
		KUNIT_ASSERT_LT(test, slot, ARRAY_SIZE(held));
		slots = max(slots, slot + 1);
		if (!flush) {
			kept++;
			wrong += held[slot].id != id ||
				 held[slot].generation != generation[n];
		} else if (!abort) {
			flushed++;
			held[slot].id = id;
			held[slot].generation = generation[n];
		}
	}

	kunit_info(test, "%u PCIDs, %u stays kept their entries, %u flushed\n",
		   slots, kept, flushed);
	KUNIT_EXPECT_EQ(test, wrong, 0);
	/* It is of some use, too */
	KUNIT_EXPECT_GT(test, slots, 1);
	KUNIT_EXPECT_GT(test, kept, rounds / 4);
	KUNIT_EXPECT_GT(test, flushed, rounds / 16);
}

/* === What debugfs tells of the page tables === */

#define GATE_PAGES		4
#define DUMP_LINE		200

/**
 * struct dump_rule - lines that may be in a dump
 * @region: Heading that they stand under.
 * @start:  Lowest address.
 * @end:    Address behind.
 * @rights: Rights as they are printed; '?' stands for either.
 * @what:   What is there.
 * @pages:  How many pages, or -1: any number.
 * @found:  How many there were.
 */
struct dump_rule {
	const char	*region;
	unsigned long	start;
	unsigned long	end;
	const char	*rights;
	char		what[60];
	long		pages;
	long		found;
};

/**
 * struct dump_check - a dump and what must be in it
 * @sbm:      The instance.
 * @layout:   Its addresses.
 * @edited:   Somebody has changed the dump: do not look into the tables.
 * @text:     The dump.
 * @size:     Size of @text.
 * @rules:    All that may be there.
 * @nr_rules: How many.
 * @wrong:    Number of things that break the rules.
 * @first:    The first of them.
 * @region:   Heading that was read last.
 * @last:     End of the last line.
 * @counts:   Pages that ring 3 can read, write, execute; others.
 */
struct dump_check {
	struct sbm		*sbm;
	struct x86_sbm_layout	layout;
	bool			edited;
	char			*text;
	size_t			size;
	struct dump_rule	*rules;
	unsigned int		nr_rules;
	unsigned int		wrong;
	char			first[DUMP_LINE];
	char			region[20];
	unsigned long		last;
	unsigned long		counts[4];
};

/* Where the right columns are, counted backwards from what a line says */
enum dump_column {
	COLUMN_USER	= 9,
	COLUMN_WRITE	= 5,
	COLUMN_EXECUTE	= 3,
	COLUMN_GLOBAL	= 1,
};

static __printf(2, 3) void dump_wrong(struct dump_check *c, const char *fmt, ...)
{
	va_list args;

	if (c->wrong++)
		return;
	va_start(args, fmt);
	vscnprintf(c->first, sizeof(c->first), fmt, args);
	va_end(args);
}

static __printf(7, 8) void add_rule(struct dump_check *c, const char *region,
				    unsigned long start, unsigned long end,
				    const char *rights, long pages,
				    const char *what, ...)
{
	struct dump_rule *rule = &c->rules[c->nr_rules++];
	va_list args;

	rule->region = region;
	rule->start = start & PAGE_MASK;
	rule->end = PAGE_ALIGN(end);
	rule->rights = rights;
	rule->pages = pages;
	va_start(args, what);
	vscnprintf(rule->what, sizeof(rule->what), what, args);
	va_end(args);
}

static void add_buffer_rule(struct dump_check *c, unsigned int nr, const void *buf,
			    size_t size, const char *kind, bool write)
{
	unsigned long start = (unsigned long)buf;
	unsigned long end = start + size;

	add_rule(c, "window", start, end, write ? "U r w - -" : "U r - - -",
		 (PAGE_ALIGN(end) - (start & PAGE_MASK)) >> PAGE_SHIFT,
		 "buffer %u, %s", nr, kind);
}

static long pages_between(const char *start, const char *end)
{
	return (PAGE_ALIGN((unsigned long)end) -
		((unsigned long)start & PAGE_MASK)) >> PAGE_SHIFT;
}

/* All but the buffers: design and addresses are those of x86.rst */
static void add_rules(struct dump_check *c)
{
	const unsigned long hot[] = {
		(unsigned long)&X86_PCPU_PREEMPT_COUNT,
		(unsigned long)&X86_PCPU_CURRENT,
#ifdef CONFIG_STACKPROTECTOR
		(unsigned long)&X86_PCPU_CANARY,
#endif
	};
	const struct x86_sbm_layout *l = &c->layout;
	unsigned long gate = l->gates;
	unsigned int i, j;

	for (i = 0; i < ARRAY_SIZE(hot); i++) {
		unsigned long page = (l->gs_base + hot[i]) & PAGE_MASK;

		for (j = 0; j < i; j++) {
			if (((l->gs_base + hot[j]) & PAGE_MASK) == page)
				break;
		}
		if (j == i)
			add_rule(c, "window", page, page + PAGE_SIZE, "U r w - -",
				 1, "per-CPU stand-in");
	}
	add_rule(c, "window", l->window_start + PAGE_SIZE, l->window_start + 2 * PAGE_SIZE,
		 "U r - - -", 1, "information");
	add_rule(c, "window", l->window_start, l->stack_low, "U r - - -",
		 DIV_ROUND_UP(sizeof(struct task_struct), PAGE_SIZE), "zero page");
	add_rule(c, "window", l->stack_low, l->stack_high, "U r w - -",
		 SBM_DEFAULT_STACK_SIZE / PAGE_SIZE, "stack");

	for (i = 0; i < nr_cpu_ids; i++, gate += GATE_PAGES * PAGE_SIZE) {
		add_rule(c, "gates", gate, gate + PAGE_SIZE, "- r - - -", 1,
			 "IDT, gate of CPU %u", i);
		add_rule(c, "gates", gate + PAGE_SIZE,
			 gate + GATE_PAGES * PAGE_SIZE, "- r w - -", GATE_PAGES - 1,
			 "state and stacks, gate of CPU %u", i);
	}

	/* The kernel's own, which may be global: ring 3 has nothing there */
	add_rule(c, "cpu_entry_area", CPU_ENTRY_AREA_BASE,
		 CPU_ENTRY_AREA_BASE + CPU_ENTRY_AREA_MAP_SIZE, "- r ? - ?", -1,
		 "cpu_entry_area");

	add_rule(c, "kernel image", (unsigned long)__sbm_switch_start,
		 (unsigned long)__sbm_switch_end, "- r - x -",
		 pages_between(__sbm_switch_start, __sbm_switch_end),
		 "switch text");
	add_rule(c, "kernel image", (unsigned long)_stext, (unsigned long)_etext,
		 "U r - x -",
		 pages_between(_stext, _etext) -
		 pages_between(__sbm_entry_start, __sbm_entry_end) -
		 pages_between(__sbm_switch_start, __sbm_switch_end) -
		 pages_between(__sbm_tracer_start, __sbm_tracer_end), "text");
	add_rule(c, "kernel image", (unsigned long)__start_rodata,
		 (unsigned long)__end_rodata, "U r - - -",
		 pages_between(__start_rodata, __end_rodata) -
		 pages_between(__start_ro_after_init, __end_ro_after_init),
		 "constants");

	if (IS_ENABLED(CONFIG_KASAN)) {
		unsigned long start = shadow_of(l->stack_low) & PAGE_MASK;
		unsigned long end = PAGE_ALIGN(shadow_of(l->stack_high));

		add_rule(c, "KASAN shadow", shadow_of(l->window_start), shadow_of(-1UL) + 1,
			 "U r - - -", -1, "zero page");
		add_rule(c, "KASAN shadow", start, end, "U r w - -",
			 (end - start) >> PAGE_SHIFT, "of the stack");
	}

	for (i = 0; its_thunk_page(NULL, i);)
		i++;
	add_rule(c, "modules", MODULES_VADDR, MODULES_END, "U r - x -", i, "thunks");
}

static bool rights_match(const char *rights, const char *pattern)
{
	for (; *pattern; rights++, pattern++) {
		if (*pattern != '?' && *pattern != *rights)
			return false;
	}

	return !*rights;
}

/* Do the tables say the same of @addr? */
static void check_against_tables(struct dump_check *c, unsigned long addr,
				 const char *rights)
{
	u64 r, pfn;

	if (!x86_sbm_test_lookup(c->sbm, addr, &r, &pfn)) {
		dump_wrong(c, "%lx is not mapped", addr);
		return;
	}
	if (!(r & _PAGE_USER) != (rights[0] == '-') ||
	    !(r & _PAGE_RW) != (rights[4] == '-') ||
	    !(r & _PAGE_NX) != (rights[6] == 'x') ||
	    !(r & _PAGE_GLOBAL) != (rights[8] == '-'))
		dump_wrong(c, "%lx has the rights %llx, not %s", addr, r, rights);
}

static void check_entry(struct dump_check *c, const char *line)
{
	unsigned long start, end, size;
	char rights[10], level[3];
	struct dump_rule *rule;
	const char *what;
	long pages;
	int n = 0;

	if (sscanf(line, "%lx-%lx %luK %2s %n", &start, &end, &size, level, &n) != 4 ||
	    strlen(line + n) < 12) {
		dump_wrong(c, "not understood: %s", line);
		return;
	}
	strscpy(rights, line + n);
	what = line + n + 11;
	pages = (end - start) >> PAGE_SHIFT;

	if (start < c->last || start >= end || size != (end - start) >> 10)
		dump_wrong(c, "wrong addresses: %s", line);
	if (!strcmp(level, "2M") && ((start | end) & (PMD_SIZE - 1)))
		dump_wrong(c, "wrong level: %s", line);
	c->last = end;
	if (!c->edited) {
		check_against_tables(c, start, rights);
		check_against_tables(c, end - 1, rights);
	}

	if (rights[4] == 'w' && rights[6] == 'x')
		dump_wrong(c, "writable and executable: %s", line);
	if (rights[0] == 'U' && rights[8] == 'G')
		dump_wrong(c, "global: %s", line);
	if (rights[0] == 'U' &&
	    (overlaps(start, end, __sbm_entry_start, __sbm_entry_end) ||
	     overlaps(start, end, __sbm_switch_start, __sbm_switch_end) ||
	     overlaps(start, end, __sbm_tracer_start, __sbm_tracer_end) ||
	     overlaps(start, end, __start_ro_after_init, __end_ro_after_init)))
		dump_wrong(c, "not for ring 3: %s", line);

	if (in_kasan_shadow(start) && !strcmp(what, "zero page")) {
		/* One page, many times: not counted */
	} else if (rights[0] == 'U') {
		c->counts[0] += pages;
		c->counts[1] += rights[4] == 'w' ? pages : 0;
		c->counts[2] += rights[6] == 'x' ? pages : 0;
	} else {
		c->counts[3] += pages;
	}

	for (rule = c->rules; rule < c->rules + c->nr_rules; rule++) {
		if (start >= rule->start && end <= rule->end &&
		    !strcmp(c->region, rule->region) && !strcmp(what, rule->what) &&
		    rights_match(rights, rule->rights)) {
			rule->found += pages;
			return;
		}
	}
	dump_wrong(c, "against the rules: %s", line);
}

/* Pages of a table and of all below it, but for those that all lead to zeroes */
static unsigned int count_tables(const u64 *table, unsigned int shift,
				 unsigned long base)
{
	unsigned int i, n = 1;

	if (shift == PAGE_SHIFT)
		return 1;

	for (i = 0; i < TABLE_ENTRIES; i++) {
		unsigned long start = base | (unsigned long)i << shift;
		u64 entry = READ_ONCE(table[i]);

		if ((entry & _PAGE_PRESENT) && !(entry & _PAGE_PSE) &&
		    !is_zero_chain(sign_extend64(start, PGDIR_SHIFT + TABLE_SHIFT - 1),
				   entry, shift))
			n += count_tables(__va(entry & PTE_PFN_MASK),
					  shift - TABLE_SHIFT, start);
	}

	return n;
}

/* The kernel's table for all of the CPU entry area */
static const u64 *cpu_entry_area_table(const struct dump_check *c)
{
	const u64 *table = (const u64 *)c->layout.top_table;
	u64 entry = table[pgd_index(CPU_ENTRY_AREA_BASE)];

	if (pgtable_l5_enabled()) {
		table = __va(entry & PTE_PFN_MASK);
		entry = table[p4d_index(CPU_ENTRY_AREA_BASE)];
	}

	return __va(entry & PTE_PFN_MASK);
}

static void check_totals(struct dump_check *c, const char *line)
{
	unsigned long count[3];
	unsigned int tables[3];

	if (sscanf(line, "ring 3: %lu readable, %lu writable, %lu executable",
		   &count[0], &count[1], &count[2]) == 3) {
		if (memcmp(count, c->counts, sizeof(count)))
			dump_wrong(c, "wrong sum: %s, not %lu, %lu, %lu", line,
				   c->counts[0], c->counts[1], c->counts[2]);
	} else if (sscanf(line, "ring 0 only: %lu", &count[0]) == 1) {
		if (count[0] != c->counts[3])
			dump_wrong(c, "wrong sum: %s", line);
	} else if (sscanf(line, "tables: %u of the instance, %u shared by all, %u of the kernel",
			  &tables[0], &tables[1], &tables[2]) == 3) {
		if (tables[0] != x86_sbm_test_table_pages(c->sbm) ||
		    tables[2] != count_tables(cpu_entry_area_table(c),
					      P4D_SHIFT - TABLE_SHIFT, 0) ||
		    tables[0] + tables[1] + tables[2] !=
		    count_tables((u64 *)c->layout.top_table, PGDIR_SHIFT, 0))
			dump_wrong(c, "wrong sum: %s", line);
	} else {
		dump_wrong(c, "not understood: %s", line);
		return;
	}
	c->rules[0].found++;
}

/*
 * Check what is in @c->text. Rule 0 is for the totals: there are three lines of
 * them.
 */
static void check_dump(struct dump_check *c)
{
	const char *line = c->text;
	struct dump_rule *rule;

	c->wrong = 0;
	c->first[0] = '\0';
	c->region[0] = '\0';
	c->last = 0;
	memset(c->counts, 0, sizeof(c->counts));
	for (rule = c->rules; rule < c->rules + c->nr_rules; rule++)
		rule->found = 0;

	while (*line) {
		const char *end = strchrnul(line, '\n');
		char one[DUMP_LINE];

		strscpy(one, line, min_t(size_t, sizeof(one), end - line + 1));
		line = *end ? end + 1 : end;

		if (strstarts(one, "---[ ")) {
			strscpy(c->region, one + strlen("---[ "));
			*strchrnul(c->region, ']') = '\0';
			strim(c->region);
			continue;
		}
		if (!c->region[0])
			continue;
		else if (!strcmp(c->region, "pages"))
			check_totals(c, one);
		else
			check_entry(c, one);
	}

	for (rule = c->rules; rule < c->rules + c->nr_rules; rule++) {
		if (rule->pages >= 0 && rule->pages != rule->found)
			dump_wrong(c, "%ld pages of %s, not %ld", rule->found,
				   rule->what, rule->pages);
	}
}

static void take_dump(struct kunit *test, struct dump_check *c)
{
	ssize_t len = x86_sbm_test_dump(c->sbm, c->text, c->size);

	KUNIT_ASSERT_GT(test, len, 0);
	KUNIT_EXPECT_EQ(test, len, strlen(c->text));
	c->edited = false;
	check_dump(c);
}

KUNIT_DEFINE_ACTION_WRAPPER(vfree_action, vfree, const void *);

static void *test_vzalloc(struct kunit *test, size_t size)
{
	void *p = vzalloc(size);

	KUNIT_ASSERT_NOT_NULL(test, p);
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, vfree_action, p));

	return p;
}

static struct dump_check *open_dump(struct kunit *test, struct sbm *sbm)
{
	struct dump_check *c;

	if (!IS_ENABLED(CONFIG_DEBUG_FS))
		kunit_skip(test, "no debugfs in this kernel");
	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);

	c = kunit_kzalloc(test, sizeof(*c), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, c);
	c->sbm = sbm;
	c->size = SZ_64K + nr_cpu_ids * SZ_4K;
	c->text = test_vzalloc(test, c->size);
	c->rules = test_vzalloc(test, (32 + 2 * nr_cpu_ids) * sizeof(*c->rules));

	init_at_least(test, sbm, SBM_ISOLATION_STRONG);
	KUNIT_ASSERT_TRUE(test, x86_sbm_test_layout(sbm, &c->layout));
	add_rule(c, "pages", 0, 0, "", 3, "totals");
	add_rules(c);

	return c;
}

/* One buffer of each kind. Return: the address of the first. */
static unsigned long add_buffers(struct kunit *test, struct dump_check *c)
{
	char *memory = kunit_kzalloc(test, 4 * PAGE_SIZE, GFP_KERNEL);
	struct sbm *sbm = c->sbm;
	unsigned long first;
	char *p;

	KUNIT_ASSERT_NOT_NULL(test, memory);
	p = SBM_COPY_IN(sbm, memory, 100);
	add_buffer_rule(c, 1, p, 100, "COPY_IN", false);
	first = (unsigned long)p;
	p = SBM_COPY_OUT(sbm, memory, PAGE_SIZE + 1);
	add_buffer_rule(c, 2, p, PAGE_SIZE + 1, "COPY_OUT", true);
	p = SBM_COPY_INOUT(sbm, memory, 4 * PAGE_SIZE);
	add_buffer_rule(c, 3, p, 4 * PAGE_SIZE, "COPY_INOUT", true);
	p = SBM_MAP_READONLY(sbm, memory + 100, 2 * PAGE_SIZE);
	add_buffer_rule(c, 4, p, 2 * PAGE_SIZE, "MAP_READONLY", false);
	/* Nothing is mapped for this one, but it counts */
	p = SBM_COPY_IN(sbm, memory, 0);
	p = SBM_MAP_WRITABLE(sbm, memory, PAGE_SIZE);
	add_buffer_rule(c, 6, p, PAGE_SIZE, "MAP_WRITABLE", true);
	KUNIT_EXPECT_EQ(test, sbm_error(sbm), 0);

	return first;
}

/*
 * The file says what design and API promise, about every page. In contrast to
 * tables_map_nothing_else_for_ring_3, this is also about what must be there, about
 * ring 0, and about each buffer.
 */
static void dump_shows_what_is_promised(struct kunit *test)
{
	struct dump_check *c;
	unsigned long first;
	struct sbm sbm;
	int value = 41;

	c = open_dump(test, &sbm);
	take_dump(test, c);
	KUNIT_EXPECT_EQ_MSG(test, c->wrong, 0, "%s", c->first);

	first = add_buffers(test, c);
	take_dump(test, c);
	KUNIT_EXPECT_EQ_MSG(test, c->wrong, 0, "%s", c->first);
	KUNIT_EXPECT_NOT_NULL(test, strstr(c->text, "never called\n"));
	KUNIT_EXPECT_NOT_NULL(test, strstr(c->text, "buffer 5: COPY_IN, 0 bytes"));
	KUNIT_EXPECT_GT(test, first, c->layout.stack_high);

	/* A call changes nothing */
	KUNIT_EXPECT_EQ(test, 42, sbm_exec(&sbm, add_one,
					   SBM_COPY_IN(&sbm, &value, sizeof(value))));
	take_dump(test, c);
	KUNIT_EXPECT_EQ_MSG(test, c->wrong, 1, "%s", c->first);
	KUNIT_EXPECT_NOT_NULL(test, strstr(c->first, "buffer 7, COPY_IN"));
	KUNIT_EXPECT_NOT_NULL(test, strstr(c->text, "called add_one\n"));
	sbm_destroy(&sbm);
}

static void expect_plant_is_found(struct kunit *test, struct dump_check *c,
				  unsigned long addr, unsigned long pfn, u64 flags,
				  const char *message)
{
	struct x86_sbm_plant plant;

	KUNIT_ASSERT_EQ(test, 0, x86_sbm_test_plant(c->sbm, addr, pfn, flags, &plant));
	take_dump(test, c);
	KUNIT_EXPECT_GT_MSG(test, c->wrong, 0, "%lx: %s", addr, message);
	KUNIT_EXPECT_NOT_NULL_MSG(test, strstr(c->first, message), "%lx: %s, not %s",
				  addr, c->first, message);

	x86_sbm_test_unplant(c->sbm, &plant);
	take_dump(test, c);
	KUNIT_EXPECT_EQ_MSG(test, c->wrong, 0, "%s", c->first);
}

/* A look at the tables which could not find anything would be worth nothing */
static void dump_shows_forbidden_mappings(struct kunit *test)
{
	const u64 read = _PAGE_NX, write = _PAGE_NX | _PAGE_RW | _PAGE_DIRTY;
	unsigned long data = PHYS_PFN(__pa((unsigned long)&kernel_data));
	u64 rights, buffer_pfn, stack_pfn;
	struct dump_check *c;
	unsigned long first;
	struct sbm sbm;

	c = open_dump(test, &sbm);
	first = add_buffers(test, c);
	KUNIT_ASSERT_TRUE(test, x86_sbm_test_lookup(&sbm, first, &rights,
						    &buffer_pfn));
	KUNIT_ASSERT_TRUE(test, x86_sbm_test_lookup(&sbm, c->layout.stack_low,
						    &rights, &stack_pfn));

	/* Kernel data: in an unused place, as a buffer, as the stack */
	expect_plant_is_found(test, c, first + SZ_1M, data, write, "unexpected");
	expect_plant_is_found(test, c, first + SZ_4M, data, read, "unexpected");
	expect_plant_is_found(test, c, first, data, read, "unexpected");
	expect_plant_is_found(test, c, c->layout.stack_low, data, write, "unexpected");
	/* Among user space, and where the kernel has it */
	expect_plant_is_found(test, c, SZ_4M, data, read, "unexpected");
	expect_plant_is_found(test, c, (unsigned long)__va(PFN_PHYS(data)), data, read,
			      "unexpected");
	/* In a guard page */
	expect_plant_is_found(test, c, first - PAGE_SIZE, buffer_pfn, read,
			      "against the rules");
	/* The right frames with wrong rights */
	expect_plant_is_found(test, c, first, buffer_pfn, write, "against the rules");
	expect_plant_is_found(test, c, first, buffer_pfn, 0, "against the rules");
	expect_plant_is_found(test, c, first, buffer_pfn, read | _PAGE_GLOBAL,
			      "global");
	expect_plant_is_found(test, c, c->layout.stack_low, stack_pfn, _PAGE_RW,
			      "writable and executable");
	sbm_destroy(&sbm);
}

/*
 * The checker against a dump that was changed: for the part of the tables that
 * all sandboxes share, where nothing can be planted.
 */
static void dump_checker_looks_at_everything(struct kunit *test)
{
	static const struct {
		const char		*what;
		enum dump_column	column;
		char			right;
	} edits[] = {
		{ "  text\n",			COLUMN_WRITE,	'w' },
		{ "  text\n",			COLUMN_GLOBAL,	'G' },
		{ "  text\n",			COLUMN_EXECUTE,	'-' },
		{ "  switch text\n",		COLUMN_USER,	'U' },
		{ "  switch text\n",		COLUMN_WRITE,	'w' },
		{ "  constants\n",		COLUMN_WRITE,	'w' },
		{ "  constants\n",		COLUMN_EXECUTE,	'x' },
		{ "  IDT, gate",		COLUMN_WRITE,	'w' },
		{ "  state and stacks, gate",	COLUMN_USER,	'U' },
		{ "  state and stacks, gate",	COLUMN_GLOBAL,	'G' },
		{ "  cpu_entry_area\n",		COLUMN_USER,	'U' },
		{ "  cpu_entry_area\n",		COLUMN_EXECUTE,	'x' },
		{ "  per-CPU stand-in\n",	COLUMN_USER,	'-' },
		{ "  zero page\n",		COLUMN_WRITE,	'w' },
		{ "  stack\n",			COLUMN_EXECUTE,	'x' },
		{ "  buffer 1, ",		COLUMN_WRITE,	'w' },
	};
	struct dump_check *c;
	struct sbm sbm;
	char *p;
	int i, n;

	c = open_dump(test, &sbm);
	add_buffers(test, c);
	for (i = 0; i < ARRAY_SIZE(edits); i++) {
		take_dump(test, c);
		KUNIT_EXPECT_EQ_MSG(test, c->wrong, 0, "%s", c->first);

		p = strstr(c->text, edits[i].what);
		KUNIT_ASSERT_NOT_NULL_MSG(test, p, "%s", edits[i].what);
		p -= edits[i].column;
		KUNIT_EXPECT_NE_MSG(test, *p, edits[i].right, "%s", edits[i].what);
		*p = edits[i].right;
		c->edited = true;
		check_dump(c);
		KUNIT_EXPECT_GT_MSG(test, c->wrong, 0, "%s %c", edits[i].what,
				    edits[i].right);

		/* The line is missing */
		take_dump(test, c);
		p = strstr(c->text, edits[i].what);
		while (p > c->text && p[-1] != '\n')
			p--;
		memmove(p, strchrnul(p, '\n') + 1, strlen(strchrnul(p, '\n')));
		c->edited = true;
		check_dump(c);
		KUNIT_EXPECT_GT_MSG(test, c->wrong, 0, "%s", edits[i].what);
	}

	/* The last digit of each number in the totals */
	for (i = 0; i < 8; i++) {
		take_dump(test, c);
		p = strstr(c->text, "---[ pages ]---");
		KUNIT_ASSERT_NOT_NULL(test, p);
		for (p = strchr(p, ':'), n = 0; *p && n <= i; p++)
			n += isdigit(p[0]) && !isdigit(p[1]);
		KUNIT_ASSERT_EQ(test, n, i + 1);
		p[-1] ^= 1;
		c->edited = true;
		check_dump(c);
		KUNIT_EXPECT_GT_MSG(test, c->wrong, 0, "%d", i);
	}
	sbm_destroy(&sbm);
}

static void dump_says_that_isolation_is_weak(struct kunit *test)
{
	const struct sbm_attr attr = { .flags = SBM_ATTR_WEAK, };
	struct dump_check *c;
	struct sbm sbm;
	int value = 41;

	c = open_dump(test, &sbm);
	sbm_destroy(&sbm);

	KUNIT_ASSERT_EQ(test, sbm_init_attr(&sbm, &attr), 0);
	KUNIT_EXPECT_NOT_NULL(test, SBM_COPY_INOUT(&sbm, &value, sizeof(value)));
	KUNIT_EXPECT_GT(test, x86_sbm_test_dump(&sbm, c->text, c->size), 0);
	KUNIT_EXPECT_NOT_NULL(test, strstr(c->text, ": weak isolation, "));
	KUNIT_EXPECT_NOT_NULL(test, strstr(c->text, "\nbuffer 1: COPY_INOUT, 4 bytes"));
	KUNIT_EXPECT_NOT_NULL(test, strstr(c->text, "\nno page tables of its own"));
	KUNIT_EXPECT_NULL(test, strstr(c->text, "---["));
	sbm_destroy(&sbm);
}

/**
 * struct dump_reader - a thread that reads the file of an instance
 * @worker: The thread.
 * @file:   The file.
 * @text:   Room for what it reads.
 * @size:   Size of @text.
 * @stop:   Set when the file shall be gone.
 * @reads:  How often all of it was read.
 */
struct dump_reader {
	struct worker	worker;
	struct file	*file;
	char		*text;
	size_t		size;
	bool		stop;
	unsigned long	reads;
};

/* What read() of the file does, for memory of the kernel */
static ssize_t read_file(struct file *file, char *buf, size_t size)
{
	struct kvec vec = { .iov_base = buf, .iov_len = size };
	struct iov_iter iter;
	struct kiocb kiocb;
	ssize_t ret;

	ret = debugfs_file_get(file_dentry(file));
	if (ret)
		return ret;
	init_sync_kiocb(&kiocb, file);
	kiocb.ki_pos = 0;
	iov_iter_kvec(&iter, ITER_DEST, &vec, 1, size);
	ret = seq_read_iter(&kiocb, &iter);
	debugfs_file_put(file_dentry(file));

	return ret;
}

static int dump_reader_thread(struct worker *worker)
{
	struct dump_reader *r = container_of(worker, struct dump_reader, worker);
	ssize_t len;

	for (;;) {
		bool stop = READ_ONCE(r->stop);

		len = read_file(r->file, r->text, r->size - 1);
		if (len < 0)
			return len;
		/* A read returns what its buffer holds at once */
		r->text[len] = '\0';
		if (!strstarts(r->text, "instance "))
			return -EBADMSG;
		WRITE_ONCE(r->reads, r->reads + 1);
		if (stop)
			return 0;
	}
}

/* Is @id among the instances that debugfs lists? */
static bool is_listed(struct vfsmount *mnt, u64 id, char *buf, size_t size)
{
	struct file *file = file_open_root_mnt(mnt, "sbm/instances", O_RDONLY, 0);
	char want[40], *line = buf;
	ssize_t len;

	if (IS_ERR(file))
		return false;
	len = read_file(file, buf, size - 1);
	fput(file);
	if (len < 0)
		return false;

	buf[len] = '\0';
	snprintf(want, sizeof(want), "%llu strong, idle", id);
	while (*line) {
		if (strstarts(line, want))
			return true;
		line = strchrnul(line, '\n');
		line += *line == '\n';
	}

	return false;
}

static struct file *open_dump_file(struct vfsmount *mnt, u64 id)
{
	char name[40];

	snprintf(name, sizeof(name), "sbm/%llu/page_tables", id);

	return file_open_root_mnt(mnt, name, O_RDONLY, 0);
}

static u64 id_of(struct dump_check *c)
{
	u64 id = 0;

	if (x86_sbm_test_dump(c->sbm, c->text, c->size) < 0 ||
	    sscanf(c->text, "instance %llu:", &id) != 1)
		return 0;

	return id;
}

/* Reading, buffers, calls, and the end of the instance, all at the same time */
static void dump_can_be_read_at_any_time(struct kunit *test)
{
	struct dump_reader r = {
		.worker	= { .fn = dump_reader_thread, .cpu = -1 },
	};
	unsigned long timeout;
	struct file_system_type *type;
	struct dump_check *c;
	struct vfsmount *mnt;
	struct sbm sbm;
	u64 id, last = 0;
	int i, j, value = 41;

	c = open_dump(test, &sbm);
	sbm_destroy(&sbm);
	r.size = c->size;
	r.text = test_vzalloc(test, r.size);

	type = get_fs_type("debugfs");
	KUNIT_ASSERT_NOT_NULL(test, type);
	mnt = kern_mount(type);
	if (IS_ERR(mnt))
		kunit_skip(test, "debugfs is off");

	for (i = 0; i < 20; i++) {
		KUNIT_EXPECT_EQ(test, sbm_init(&sbm), 0);
		id = id_of(c);
		KUNIT_EXPECT_GT(test, id, last);
		last = id;
		KUNIT_EXPECT_TRUE(test, is_listed(mnt, id, c->text, c->size));

		/* Nothing is there before it is asked for */
		r.file = open_dump_file(mnt, id);
		KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(r.file), -ENOENT);
		KUNIT_EXPECT_EQ(test, x86_sbm_test_show(&sbm), 0);
		KUNIT_EXPECT_EQ(test, x86_sbm_test_show(&sbm), 0);
		r.file = open_dump_file(mnt, id);
		KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(r.file), 0);
		if (IS_ERR(r.file))
			break;
		KUNIT_EXPECT_EQ(test, file_inode(r.file)->i_mode & 07777, 0400);

		r.stop = false;
		r.reads = 0;
		KUNIT_EXPECT_EQ(test, worker_start(&r.worker), 0);
		timeout = jiffies + SBM_TEST_PATIENCE;
		for (j = 0; j < 20 || !READ_ONCE(r.reads); j++) {
			int *in = SBM_COPY_IN(&sbm, &value, sizeof(value));

			KUNIT_EXPECT_EQ(test, 42, sbm_exec(&sbm, add_one, in));
			if (time_after(jiffies, timeout) ||
			    completion_done(&r.worker.done))
				break;
		}
		KUNIT_EXPECT_GT(test, r.reads, 0);

		/* Every other time with a reader in the middle */
		if (i % 2) {
			WRITE_ONCE(r.stop, true);
			KUNIT_EXPECT_EQ(test, worker_finish(&r.worker), 0);
			sbm_destroy(&sbm);
		} else {
			sbm_destroy(&sbm);
			KUNIT_EXPECT_EQ(test, worker_finish(&r.worker), -EIO);
		}
		KUNIT_EXPECT_EQ(test, read_file(r.file, r.text, r.size), -EIO);
		fput(r.file);
		KUNIT_EXPECT_FALSE(test, is_listed(mnt, id, c->text, c->size));
		r.file = open_dump_file(mnt, id);
		KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(r.file), -ENOENT);
	}
	kern_unmount(mnt);
}

/* === Events during a stay === */

/*
 * Runs until it is told to return, with a stack pointer, a GS base and an FS base
 * that the kernel must not use, all flags that can be set, and null selectors.
 * @value is the address of struct shared.
 */
DEFINE_ATTACK(stay_with_hostile_state,
	      "mov %rsp, %r15\n"
	      "xor %eax, %eax\n"
	      "mov %eax, %ds\n"
	      "mov %eax, %es\n"
	      "mov %eax, %fs\n"
	      "mov %eax, %gs\n"
	      "bt $63, %rsi\n"
	      "jnc 2f\n"
	      "bt $62, %rsi\n"
	      "jnc 3f\n"
	      "2: wrgsbase %rsi\n"
	      "wrfsbase %rsi\n"
	      "3: pushf\n"
	      "orq $0x247ed5, (%rsp)\n"
	      "popf\n"
	      "mov %rsi, %rsp\n"
	      "movq $1, (%rcx)\n"
	      "1: incq 8(%rcx)\n"
	      "cmpq $0, 16(%rcx)\n"
	      "je 1b\n"
	      "mov %r15, %rsp");

/*
 * Runs until it is told to return and looks all the time whether a register has
 * changed. R15 holds the address of struct shared, the others addresses behind
 * it.
 */
#define SET_REG(reg, distance)						\
	"lea " #distance "(%r15), %" #reg "\n\t"
#define CHECK_REG(reg, distance)					\
	"lea " #distance "(%r15), %rax\n\t"				\
	"cmp %rax, %" #reg "\n\t"					\
	"jne 3f\n\t"

static noinline __naked int stay_and_check_regs(void *data)
{
	asm volatile("push %rbx\n\t"
		     "push %rbp\n\t"
		     "push %r12\n\t"
		     "push %r13\n\t"
		     "push %r14\n\t"
		     "push %r15\n\t"
		     "mov 16(%rdi), %r15\n\t"
		     "mov %rsp, %r14\n\t"
		     "movq $1, 8(%rdi)\n\t"
		     SET_REG(rbx, 0x1001)
		     SET_REG(rcx, 0x2002)
		     SET_REG(rdx, 0x3003)
		     SET_REG(rsi, 0x4004)
		     SET_REG(rdi, 0x5005)
		     SET_REG(rbp, 0x6006)
		     SET_REG(r8, 0x7007)
		     SET_REG(r9, 0x8008)
		     SET_REG(r10, 0x9009)
		     SET_REG(r11, 0xa00a)
		     SET_REG(r12, 0xb00b)
		     SET_REG(r13, 0xc00c)
		     "movq $1, (%r15)\n\t"
		     "1: std\n\t"
		     "incq 8(%r15)\n\t"
		     CHECK_REG(rbx, 0x1001)
		     CHECK_REG(rcx, 0x2002)
		     CHECK_REG(rdx, 0x3003)
		     CHECK_REG(rsi, 0x4004)
		     CHECK_REG(rdi, 0x5005)
		     CHECK_REG(rbp, 0x6006)
		     CHECK_REG(r8, 0x7007)
		     CHECK_REG(r9, 0x8008)
		     CHECK_REG(r10, 0x9009)
		     CHECK_REG(r11, 0xa00a)
		     CHECK_REG(r12, 0xb00b)
		     CHECK_REG(r13, 0xc00c)
		     "cmp %rsp, %r14\n\t"
		     "jne 3f\n\t"
		     "pushf\n\t"
		     "pop %rax\n\t"
		     "bt $10, %eax\n\t"
		     "jnc 3f\n\t"
		     "cmpq $0, 16(%r15)\n\t"
		     "je 1b\n\t"
		     "xor %eax, %eax\n\t"
		     "2:\n\t"
		     "cld\n\t"
		     "pop %r15\n\t"
		     "pop %r14\n\t"
		     "pop %r13\n\t"
		     "pop %r12\n\t"
		     "pop %rbp\n\t"
		     "pop %rbx\n\t"
		     ASM_RET
		     "3:\n\t"
		     "mov $1, %eax\n\t"
		     "jmp 2b");
}

STACK_FRAME_NON_STANDARD(stay_and_check_regs);

/**
 * struct stay - a thread on a CPU of its own that runs a target for long
 * @worker: The thread.
 * @func:   The target, which takes &struct attack_args.
 * @addr:   For &attack_args.addr.
 * @shared: How to tell it to come back.
 * @test:   The test.
 */
struct stay {
	struct worker	worker;
	sbm_func	func;
	unsigned long	addr;
	struct shared	*shared;
	struct kunit	*test;
};

static int stay_thread(struct worker *worker)
{
	struct stay *stay = worker->data;
	struct cpu_state original, planted;
	const struct sbm_fault *fault;
	struct attack_args args;
	struct shared *inside;
	struct sbm sbm;
	int ret;

	ret = sbm_init(&sbm);
	if (ret)
		return ret;

	inside = SBM_MAP_WRITABLE(&sbm, stay->shared, sizeof(*stay->shared));
	init_args(&args, stay->addr, (unsigned long)inside);

	read_cpu_state(&original);
	plant_cpu_state();
	read_cpu_state(&planted);
	ret = sbm_exec(&sbm, stay->func,
		       SBM_COPY_INOUT(&sbm, &args, sizeof(args)));
	expect_same_cpu_state(stay->test, &planted);
	restore_cpu_state(&original);

	fault = sbm_fault(&sbm);
	if (fault)
		kunit_info(stay->test, "%s, vector %u, error code %lx at %pS\n",
			   sbm_cause_name(fault->cause), fault->vector,
			   fault->error_code, (void *)fault->ip);
	if (!ret)
		ret = sbm_error(&sbm);
	sbm_destroy(&sbm);

	return ret;
}

/* The second CPU that is online, for a thread that is disturbed from the first */
static int disturbed_cpu(void)
{
	unsigned int cpu = cpumask_next(cpumask_first(cpu_online_mask),
					cpu_online_mask);

	return cpu < nr_cpu_ids ? cpu : -1;
}

/* Keep the test on the first CPU, or let it go */
static void pin_test(struct kunit *test, bool pin)
{
	const struct cpumask *mask = cpu_possible_mask;

	if (pin)
		mask = cpumask_of(cpumask_first(cpu_online_mask));
	KUNIT_EXPECT_EQ(test, set_cpus_allowed_ptr(current, mask), 0);
}

static void count_ipi(void *info)
{
	atomic_inc(info);
}

/* Bits of CR4 that nothing changes any more, once a CPU is up */
#define CR4_FIXED (X86_CR4_SMEP | X86_CR4_SMAP | X86_CR4_UMIP | X86_CR4_PKE | \
		   X86_CR4_FSGSBASE | X86_CR4_PCIDE | X86_CR4_LASS | X86_CR4_CET)

static unsigned long right_cr4, right_idt;
static atomic_t foreign_worlds;

/*
 * The rule of the world switch, as the handler of an event sees it: where the
 * kernel's handlers run, everything is the kernel's.
 */
static void look_at_the_world(void)
{
	struct desc_ptr idt;

	store_idt(&idt);
	if (((__read_cr4() ^ right_cr4) & CR4_FIXED) ||
	    (read_cr0() & X86_CR0_TS) || idt.address != right_idt ||
	    read_base(MSR_GS_BASE) != cpu_kernelmode_gs_base(raw_smp_processor_id()))
		atomic_inc(&foreign_worlds);
}

static void start_looking(void)
{
	struct desc_ptr idt;

	store_idt(&idt);
	right_idt = idt.address;
	right_cr4 = __read_cr4();
	atomic_set(&foreign_worlds, 0);
}

static atomic_t nmi_count;
static atomic_t nmi_cpu = ATOMIC_INIT(-1);

/* Eats all NMIs of one CPU while a test runs */
static int eat_nmi(unsigned int cmd, struct pt_regs *regs)
{
	if (atomic_read(&nmi_cpu) != raw_smp_processor_id())
		return NMI_DONE;

	look_at_the_world();
	atomic_inc(&nmi_count);

	return NMI_HANDLED;
}

static int start_eating_nmis(int cpu)
{
	start_looking();
	atomic_set(&nmi_count, 0);
	atomic_set(&nmi_cpu, cpu);

	return register_nmi_handler(NMI_LOCAL, eat_nmi, 0, "sbm_test");
}

/* Wait for those that may still be on their way */
static void wait_for_quiet(void)
{
	int before;

	do {
		before = atomic_read(&nmi_count);
		msleep(50);
	} while (atomic_read(&nmi_count) != before);
}

static void stop_eating_nmis(struct kunit *test)
{
	wait_for_quiet();
	unregister_nmi_handler(NMI_LOCAL, "sbm_test");
	KUNIT_EXPECT_EQ(test, atomic_read(&foreign_worlds), 0);
	atomic_set(&nmi_cpu, -1);
}

static void send_nmi(int cpu)
{
	preempt_disable();
	__apic_send_IPI(cpu, NMI_VECTOR);
	preempt_enable();
}

/* Send one NMI and wait for it. False if it is lost. */
static bool nmi_arrives(int cpu)
{
	unsigned long timeout = jiffies + SBM_TEST_PATIENCE;
	int before = atomic_read(&nmi_count);

	send_nmi(cpu);
	while (atomic_read(&nmi_count) == before) {
		if (time_after(jiffies, timeout))
			return false;
		cpu_relax();
	}

	return true;
}

/* Interrupts, NMIs and the timer, all during a stay */
static void disturb(struct kunit *test, struct stay *stay)
{
	int cpu = stay->worker.cpu;
	atomic_t ipis = ATOMIC_INIT(0);
	unsigned long before;
	int i, lost = 0;

	for (i = 0; i < 200; i++)
		smp_call_function_single(cpu, count_ipi, &ipis, 1);
	KUNIT_EXPECT_EQ(test, atomic_read(&ipis), 200);

	KUNIT_EXPECT_EQ(test, start_eating_nmis(cpu), 0);
	for (i = 0; i < 300 && !lost; i++)
		lost += !nmi_arrives(cpu);
	KUNIT_EXPECT_EQ(test, lost, 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&nmi_count), 300);
	stop_eating_nmis(test);
	KUNIT_EXPECT_EQ(test, atomic_read(&nmi_count), 300);

	before = READ_ONCE(stay->shared->count);
	schedule_timeout_uninterruptible(20);
	KUNIT_EXPECT_NE(test, READ_ONCE(stay->shared->count), before);
}

static void run_disturbed(struct kunit *test, sbm_func func, unsigned long addr)
{
	struct stay stay = {
		.worker = {
			.fn	= stay_thread,
			.data	= &stay,
			.cpu	= disturbed_cpu(),
		},
		.func	= func,
		.addr	= addr,
		.test	= test,
	};

	stay.shared = alloc_shared(test);
	pin_test(test, true);
	KUNIT_EXPECT_EQ(test, worker_start(&stay.worker), 0);
	if (stay.worker.task) {
		if (wait_for_target(stay.shared, &stay.worker))
			disturb(test, &stay);
		else
			KUNIT_FAIL(test, "the target does not run");
	}
	WRITE_ONCE(stay.shared->stop, 1);
	KUNIT_EXPECT_EQ(test, worker_finish(&stay.worker), 0);
	pin_test(test, false);
}

static void skip_if_undisturbed(struct kunit *test)
{
	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	if (disturbed_cpu() < 0)
		kunit_skip(test, "needs two CPUs");
}

static void registers_survive_events(struct kunit *test)
{
	skip_if_undisturbed(test);
	run_disturbed(test, stay_and_check_regs, 0);
	expect_next_call_works(test);
}

struct hostile {
	const char	*name;
	unsigned long	(*address)(const struct arena *a);
};

static const struct hostile hostile_states[] = {
	{ "NULL", null_pointer },
	{ "non-canonical address", non_canonical },
	{ "kernel stack", kernel_stack },
	{ "kernel GDT", kernel_gdt },
	{ "per-CPU data", per_cpu_data },
	{ "user space", user_space },
};

KUNIT_ARRAY_PARAM_DESC(hostile, hostile_states, name);

/* Events during a stay with registers that point to forbidden places */
static void events_ignore_hostile_registers(struct kunit *test)
{
	const struct hostile *hostile = test->param_value;

	skip_if_undisturbed(test);
	run_disturbed(test, attack_stay_with_hostile_state,
		      hostile->address(NULL));
	expect_next_call_works(test);
}

/*
 * Send NMIs to a CPU that does something with @shared. First one after the other,
 * at ever different times, and each must land; then as fast as they can be sent,
 * when several become one.
 */
static void storm_of_nmis(struct kunit *test, int cpu, struct shared *shared)
{
	unsigned long timeout = jiffies + SBM_TEST_PATIENCE;
	unsigned long before = READ_ONCE(shared->count);
	int i, lost = 0;

	for (i = 0; i < 1000 && !lost; i++) {
		lost += !nmi_arrives(cpu);
		ndelay(i * 37 % 10007);
		cond_resched();
	}
	KUNIT_EXPECT_EQ(test, lost, 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&nmi_count), 1000);

	for (i = 0; i < 1000; i++)
		send_nmi(cpu);
	KUNIT_EXPECT_TRUE(test, nmi_arrives(cpu));
	wait_for_quiet();
	KUNIT_EXPECT_GT(test, atomic_read(&nmi_count), 1000);
	KUNIT_EXPECT_LE(test, atomic_read(&nmi_count), 2001);
	/* A slow console may keep it from counting meanwhile */
	while (READ_ONCE(shared->count) == before && time_before(jiffies, timeout))
		schedule_timeout_uninterruptible(1);
	KUNIT_EXPECT_NE(test, READ_ONCE(shared->count), before);
}

/**
 * struct watch - a timer that ends the stay which it interrupts
 * @timer:  The timer.
 * @shared: How to tell the target.
 * @left:   How often it has still to go off.
 */
struct watch {
	struct timer_list	timer;
	struct shared		*shared;
	unsigned int		left;
};

static void watch_world(struct timer_list *timer)
{
	struct watch *watch = container_of(timer, struct watch, timer);

	look_at_the_world();
	if (--watch->left)
		mod_timer(timer, jiffies + 1);
	else
		WRITE_ONCE(watch->shared->stop, 1);
}

static SBM_DEFINE_FUNC(wait_until_told, struct shared *, shared)
{
	WRITE_ONCE(shared->started, 1);
	while (!READ_ONCE(shared->stop))
		shared->count++;

	return 0;
}

/*
 * LASS, SMAP, SMEP, CR0.TS: what the switch changes for a stay, or relies on, is as
 * the kernel wants it in the handlers of interrupts that come during one.
 */
static void handlers_find_the_kernels_world(struct kunit *test)
{
	struct shared *inside;
	struct watch *watch;
	struct sbm sbm;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	watch = kunit_kzalloc(test, sizeof(*watch), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, watch);
	watch->shared = alloc_shared(test);
	watch->left = 20;
	init_at_least(test, &sbm, SBM_ISOLATION_STRONG);
	inside = SBM_MAP_WRITABLE(&sbm, watch->shared, sizeof(*watch->shared));

	pin_test(test, true);
	start_looking();
	timer_setup(&watch->timer, watch_world, TIMER_PINNED);
	mod_timer(&watch->timer, jiffies + 1);
	KUNIT_EXPECT_EQ(test, sbm_call(&sbm, wait_until_told, inside), 0);
	timer_delete_sync(&watch->timer);
	pin_test(test, false);

	KUNIT_EXPECT_EQ(test, sbm_error(&sbm), 0);
	KUNIT_EXPECT_EQ(test, watch->left, 0);
	KUNIT_EXPECT_GT(test, watch->shared->count, 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&foreign_worlds), 0);
	kunit_info(test, "PCID %s, LASS %s, CET %s\n",
		   right_cr4 & X86_CR4_PCIDE ? "on" : "off",
		   right_cr4 & X86_CR4_LASS ? "on" : "off",
		   right_cr4 & X86_CR4_CET ? "on" : "off");
	sbm_destroy(&sbm);
	expect_next_call_works(test);
}

/*
 * A host call that is served, all of whose arguments matter. What it returns depends on
 * how often that is.
 */
static SBM_DEFINE_HOSTCALL(weigh_in_storm, unsigned long, a, unsigned long, b,
			   unsigned long, c, unsigned long, d, unsigned long, e,
			   unsigned long, f)
{
	return a + 3 * b + 5 * c + 7 * d + 11 * e + 13 * f;
}

/* As add_one(), but the kernel has to help with it, twice */
static SBM_DEFINE_FUNC(add_one_by_asking, const int *, value)
{
	unsigned long v = READ_ONCE(*value);
	unsigned long first, second;

	first = weigh_in_storm(v, v + 1, v + 2, v + 3, v + 4, v + 5);
	second = weigh_in_storm(first, first + 1, first + 2, first + 3, first + 4, first + 5);
	if (first != 40 * v + 3 + 10 + 21 + 44 + 65 ||
	    second != 40 * first + 3 + 10 + 21 + 44 + 65)
		return -1;

	return v + 1;
}

/* Short calls, so that events hit each place of the way in and out */
static int short_calls_thread(struct worker *worker)
{
	struct shared *shared = worker->data;
	int value = 41, ret;
	struct sbm sbm;
	int *inside;

	ret = sbm_init(&sbm);
	if (ret)
		return ret;

	inside = SBM_COPY_INOUT(&sbm, &value, sizeof(value));
	while (!READ_ONCE(shared->stop)) {
		ret = sbm_exec(&sbm, add_one, inside);
		if (ret != value + 1)
			break;
		ret = 0;
		WRITE_ONCE(shared->started, 1);
		WRITE_ONCE(shared->count, shared->count + 1);
	}
	sbm_destroy(&sbm);

	return ret;
}

/* The same with calls that ask the kernel */
static int short_hostcalls_thread(struct worker *worker)
{
	struct shared *shared = worker->data;
	int value = 41, ret;
	struct sbm sbm;
	int *inside;

	ret = sbm_init(&sbm) ?: sbm_allow(&sbm, weigh_in_storm);
	inside = SBM_COPY_IN(&sbm, &value, sizeof(value));
	while (!ret && !READ_ONCE(shared->stop)) {
		ret = sbm_call(&sbm, add_one_by_asking, inside);
		if (ret != value + 1)
			break;
		ret = 0;
		WRITE_ONCE(shared->started, 1);
		WRITE_ONCE(shared->count, shared->count + 1);
	}
	sbm_destroy(&sbm);

	return ret;
}

/* @fn, which makes calls until it is told to stop, on a CPU that gets NMIs */
static void expect_survives_storm(struct kunit *test, int (*fn)(struct worker *worker))
{
	struct worker worker = {
		.fn	= fn,
		.cpu	= disturbed_cpu(),
	};
	struct shared *shared;

	skip_if_undisturbed(test);
	shared = alloc_shared(test);
	worker.data = shared;
	pin_test(test, true);
	KUNIT_EXPECT_EQ(test, start_eating_nmis(worker.cpu), 0);
	KUNIT_EXPECT_EQ(test, worker_start(&worker), 0);
	if (worker.task) {
		KUNIT_EXPECT_TRUE(test, wait_for_target(shared, &worker));
		storm_of_nmis(test, worker.cpu, shared);
	}
	WRITE_ONCE(shared->stop, 1);
	KUNIT_EXPECT_EQ(test, worker_finish(&worker), 0);
	stop_eating_nmis(test);
	pin_test(test, false);
	kunit_info(test, "%d NMIs landed during %lu calls\n",
		   atomic_read(&nmi_count), shared->count);
	expect_next_call_works(test);
}

static void calls_survive_a_storm_of_nmis(struct kunit *test)
{
	expect_survives_storm(test, short_calls_thread);
}

static void hostcalls_survive_a_storm_of_nmis(struct kunit *test)
{
	expect_survives_storm(test, short_hostcalls_thread);
}

/* A host call that was not allowed */
static noinline int ask_without_right(void *data)
{
	return weigh_in_storm(1, 2, 3, 4, 5, 6);
}

/* The result is the number of the attack that did not end as it must */
static int all_attacks_thread(struct worker *worker)
{
	static const sbm_func attacks[] = {
		attack_syscall, attack_cli, attack_ud2, attack_int3, attack_x87,
		attack_read, attack_trap_flag, attack_all_flags,
		ask_without_right,
	};
	struct shared *shared = worker->data;
	int i, ret = 0;

	for (i = 0; !ret && !READ_ONCE(shared->stop); i++) {
		unsigned int nr = i % ARRAY_SIZE(attacks);
		struct attack_args args;
		struct sbm sbm;

		init_args(&args, 0, 0);
		ret = sbm_init(&sbm);
		if (ret)
			break;

		ret = sbm_exec(&sbm, attacks[nr],
			       SBM_COPY_INOUT(&sbm, &args, sizeof(args)));
		sbm_destroy(&sbm);

		if (attacks[nr] == attack_all_flags)
			ret = ret ? nr + 1 : 0;
		else
			ret = ret == -EFAULT ? 0 : nr + 1;
		WRITE_ONCE(shared->started, 1);
		WRITE_ONCE(shared->count, shared->count + 1);
	}

	return ret;
}

/* NMIs that arrive together with other events: nothing is lost or mixed up */
static void stops_survive_a_storm_of_nmis(struct kunit *test)
{
	expect_survives_storm(test, all_attacks_thread);
}

static unsigned int storm_nmis = 2000;
module_param_named(storm, storm_nmis, uint, 0444);
MODULE_PARM_DESC(storm, "NMIs of the storm on all processors, 0: no storm");

/*
 * For an emulator that looks for events at each instruction: go on until each
 * instruction of both ways was hit.
 */
static bool storm_everywhere;
module_param_named(storm_everywhere, storm_everywhere, bool, 0444);
MODULE_PARM_DESC(storm_everywhere, "NMIs must hit each instruction of the world switch");

static DEFINE_PER_CPU(atomic_t, storm_landed);
static bool storm_is_on;

/* Nothing else sends NMIs meanwhile, so each one that comes counts */
static int count_storm_nmi(unsigned int cmd, struct pt_regs *regs)
{
	if (!READ_ONCE(storm_is_on))
		return NMI_DONE;
	look_at_the_world();
	atomic_inc(this_cpu_ptr(&storm_landed));

	return NMI_HANDLED;
}

/**
 * struct way - the instructions of one way of the world switch
 * @insns: Their addresses.
 * @nr:	   How many there are.
 */
struct way {
	unsigned long	insns[200];
	unsigned int	nr;
};

static struct way *find_way(struct kunit *test, enum x86_sbm_way which)
{
	struct way *way = kunit_kzalloc(test, sizeof(*way), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, way);
	way->nr = x86_sbm_test_way(which, way->insns, ARRAY_SIZE(way->insns));
	KUNIT_ASSERT_GT(test, way->nr, 0);

	return way;
}

static unsigned int insns_missed(const struct way *way)
{
	unsigned int i, missed = 0;

	for (i = 0; i < way->nr; i++)
		missed += !x86_sbm_test_nmis_at_insn(way->insns[i]);

	return missed;
}

static void tell_missed(struct kunit *test, const struct way *way)
{
	unsigned int i;

	for (i = 0; i < way->nr; i++) {
		if (!x86_sbm_test_nmis_at_insn(way->insns[i]))
			kunit_info(test, "no NMI has hit %pS\n",
				   (void *)way->insns[i]);
	}
}

/**
 * struct storm - what all threads of a storm share
 * @quota:   NMIs that each CPU sends.
 * @sending: Threads that have not sent all of theirs.
 * @calls:   Calls that were made.
 * @lost:    NMIs that did not arrive.
 */
struct storm {
	unsigned int	quota;
	atomic_t	sending;
	atomic_t	calls;
	atomic_t	lost;
};

/*
 * Calls without end; between two, an NMI to the next CPU if that has got the last
 * one. So each CPU is somewhere in a call when one comes, and none may melt into
 * another.
 */
static int storm_thread(struct worker *worker)
{
	struct storm *storm = worker->data;
	unsigned long timeout = jiffies + SBM_TEST_PATIENCE;
	int next = cpumask_next(worker->cpu, cpu_online_mask);
	int value = 41, sent = 0, ret;
	struct sbm sbm;
	int *inside;

	if (next >= nr_cpu_ids)
		next = cpumask_first(cpu_online_mask);
	ret = sbm_init(&sbm) ?: sbm_allow(&sbm, weigh_in_storm);
	if (ret)
		goto out;

	inside = SBM_COPY_INOUT(&sbm, &value, sizeof(value));
	while (atomic_read(&storm->sending)) {
		int landed = atomic_read(per_cpu_ptr(&storm_landed, next));

		/* A third of all stays end by a host call then */
		if (sent % 4)
			ret = sbm_exec(&sbm, add_one, inside);
		else
			ret = sbm_call(&sbm, add_one_by_asking, inside);
		if (ret != value + 1)
			break;
		ret = 0;
		atomic_inc(&storm->calls);

		if (sent > storm->quota)
			continue;
		if (landed == sent && sent < storm->quota) {
			/* Not in step with the other one's calls */
			ndelay(sent * 37 % 1009);
			send_nmi(next);
			timeout = jiffies + SBM_TEST_PATIENCE;
			sent++;
		} else if (landed == sent) {
			atomic_dec(&storm->sending);
			sent++;
		} else if (landed > sent || time_after(jiffies, timeout)) {
			atomic_inc(&storm->lost);
			break;
		}
	}
out:
	sbm_destroy(&sbm);
	/* The others need not wait for this one */
	if (sent <= storm->quota)
		atomic_dec(&storm->sending);

	return ret;
}

static unsigned int run_storm(struct kunit *test, struct storm *storm)
{
	unsigned int nr = num_online_cpus(), i = 0, landed = 0;
	struct worker *workers;
	unsigned int cpu;

	workers = kunit_kcalloc(test, nr, sizeof(*workers), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, workers);
	for_each_online_cpu(cpu)
		atomic_set(per_cpu_ptr(&storm_landed, cpu), 0);
	atomic_set(&storm->sending, nr);
	WRITE_ONCE(storm_is_on, true);
	for_each_online_cpu(cpu) {
		if (i == nr)
			break;
		workers[i].fn = storm_thread;
		workers[i].data = storm;
		workers[i].cpu = cpu;
		if (worker_start(&workers[i++])) {
			KUNIT_FAIL(test, "no thread");
			atomic_dec(&storm->sending);
		}
	}
	for (i = 0; i < nr; i++)
		KUNIT_EXPECT_EQ(test, worker_finish(&workers[i]), 0);
	/* Those that nobody has sent would come now */
	msleep(20);
	WRITE_ONCE(storm_is_on, false);

	for_each_online_cpu(cpu) {
		unsigned int n = atomic_read(per_cpu_ptr(&storm_landed, cpu));

		KUNIT_EXPECT_EQ(test, n, storm->quota);
		landed += n;
	}
	kunit_kfree(test, workers);

	return landed;
}

/*
 * Calls on all CPUs, which send each other NMIs. Each that was sent must land once,
 * and each call must end as it should.
 */
static void nmis_are_neither_lost_nor_doubled(struct kunit *test)
{
	unsigned int nr, landed = 0, rounds = 0, missed;
	struct way *in, *out, *ask;
	struct storm storm = {};

	skip_if_undisturbed(test);
	if (!storm_nmis)
		kunit_skip(test, "switched off by sbm_x86_kunit.storm=0");
	in = find_way(test, X86_SBM_WAY_IN);
	out = find_way(test, X86_SBM_WAY_RETURN);
	ask = find_way(test, X86_SBM_WAY_HOSTCALL);
	/* The gates are two, and the rest is the same */
	KUNIT_EXPECT_EQ(test, ask->nr, out->nr);
	KUNIT_EXPECT_NE(test, ask->insns[0], out->insns[0]);
	KUNIT_EXPECT_EQ(test, ask->insns[ask->nr - 1], out->insns[out->nr - 1]);

	x86_sbm_test_reset_nmis();
	start_looking();
	KUNIT_ASSERT_EQ(test, register_nmi_handler(NMI_LOCAL, count_storm_nmi, 0,
						   "sbm_storm"), 0);
	nr = num_online_cpus();
	do {
		storm.quota = DIV_ROUND_UP(storm_nmis, nr);
		landed += run_storm(test, &storm);
		missed = insns_missed(in) + insns_missed(out) + insns_missed(ask);
	} while (storm_everywhere && missed && ++rounds < 100 &&
		 !test->status);
	unregister_nmi_handler(NMI_LOCAL, "sbm_storm");

	kunit_info(test, "storm: %u NMIs sent and landed on %u CPUs during %d calls\n",
		   landed, nr, atomic_read(&storm.calls));
	kunit_info(test, "storm: %u in the target, %u on the way in, %u on the way out\n",
		   x86_sbm_test_nmis_at(SBM_NMI_TARGET),
		   x86_sbm_test_nmis_at(SBM_NMI_WAY_IN),
		   x86_sbm_test_nmis_at(SBM_NMI_WAY_OUT));
	kunit_info(test, "storm: %u of %u instructions of the way in were hit, %u of %u of the way out, %u of %u of that of a host call\n",
		   in->nr - insns_missed(in), in->nr,
		   out->nr - insns_missed(out), out->nr,
		   ask->nr - insns_missed(ask), ask->nr);
	KUNIT_EXPECT_EQ(test, atomic_read(&storm.lost), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&foreign_worlds), 0);
	if (storm_everywhere) {
		tell_missed(test, in);
		tell_missed(test, out);
		tell_missed(test, ask);
		KUNIT_EXPECT_EQ(test, missed, 0);
	}
	expect_next_call_works(test);
}

/* How many machine checks somebody injects from outside; may be set at any time */
static unsigned int machine_checks;
module_param_named(machine_checks, machine_checks, uint, 0644);
MODULE_PARM_DESC(machine_checks, "machine checks to wait for, which are injected from outside");

/* Marks its output, then stays for a while */
static SBM_DEFINE_FUNC(mark_and_stay, unsigned long *, mark, unsigned long, loops)
{
	WRITE_ONCE(*mark, loops);
	while (loops--)
		cpu_relax();

	return 0;
}

static bool is_insn_of(unsigned long ip, const struct way *way)
{
	unsigned int i;

	for (i = 0; i < way->nr; i++) {
		if (way->insns[i] == ip)
			return true;
	}

	return false;
}

/* A task with interrupts on has handled all that this CPU has acknowledged */
static bool an_interrupt_is_in_service(void)
{
	unsigned long flags;
	u32 in_service = 0;
	int i;

	local_irq_save(flags);
	for (i = 1; i < 8; i++)
		in_service |= apic_read(APIC_ISR + i * 0x10);
	local_irq_restore(flags);

	return in_service;
}

/*
 * Machine checks that an emulator injects, while /sys/kernel/debug/mce/fake_panic
 * keeps the kernel going. Those that hit a stay, or the way there and back, end the
 * call, and only this one. Without any, no call ends.
 */
static void machine_checks_end_calls(struct kunit *test)
{
	const unsigned int wanted = READ_ONCE(machine_checks);
	unsigned int inside = 0, in = 0, out = 0, ended = 0;
	unsigned long timeout = jiffies + 4 * SBM_TEST_PATIENCE;
	unsigned long calls = 0, loops = 0;
	struct way *way_out;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	way_out = kunit_kzalloc(test, sizeof(*way_out), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, way_out);
	way_out->nr = x86_sbm_test_way(X86_SBM_WAY_RETURN, way_out->insns,
				       ARRAY_SIZE(way_out->insns));
	KUNIT_ASSERT_GT(test, way_out->nr, 0);

	/* The one who injects looks for these words */
	if (wanted)
		kunit_info(test, "ready for machine checks\n");
	do {
		unsigned long mark = ULONG_MAX;
		const struct sbm_fault *fault;
		struct cpu_state before;
		unsigned long *p;
		struct sbm sbm;
		int ret;

		init_at_least(test, &sbm, SBM_ISOLATION_STRONG);
		p = SBM_COPY_OUT(&sbm, &mark, sizeof(mark));
		do {
			/* Short stays are mostly ways */
			loops = ++calls % 64 ? 0 : 2000;
			mark = ULONG_MAX;
			read_cpu_state(&before);
			ret = sbm_call(&sbm, mark_and_stay, p, loops);
			if (ret)
				break;
			KUNIT_EXPECT_EQ(test, mark, loops);
			cond_resched();
		} while ((wanted || calls < 500) &&
			 time_before(jiffies, timeout) && !test->status);

		fault = sbm_fault(&sbm);
		/* A call that fails for another reason must not pass for none */
		KUNIT_EXPECT_TRUE(test, !ret || fault);
		if (fault) {
			expect_same_cpu_state(test, &before);
			KUNIT_EXPECT_FALSE(test, an_interrupt_is_in_service());
			KUNIT_EXPECT_EQ(test, ret, -EFAULT);
			KUNIT_EXPECT_EQ(test, fault->cause, SBM_CAUSE_MACHINE_CHECK);
			KUNIT_EXPECT_EQ(test, fault->vector, X86_TRAP_MC);
			KUNIT_EXPECT_EQ(test, mark, ULONG_MAX);
			KUNIT_EXPECT_EQ(test, sbm_call(&sbm, mark_and_stay, p, 0),
					-EFAULT);
			/* Before IRETQ, the target's registers are as they were */
			if (fault->ip == (unsigned long)mark_and_stay)
				in++;
			else if (fault->ip - (unsigned long)mark_and_stay < 256)
				inside++;
			else if (is_insn_of(fault->ip, way_out))
				out++;
			ended++;
		}
		sbm_destroy(&sbm);
	} while (ended < wanted && time_before(jiffies, timeout) && !test->status);
	KUNIT_EXPECT_EQ(test, ended, wanted);
	if (wanted)
		kunit_info(test, "machine checks: %u of %lu calls ended: %u on the way in, %u in the target, %u on the way out, %u elsewhere in the switch\n",
			   ended, calls, in, inside, out,
			   ended - inside - in - out);
	expect_next_call_works(test);
}

/*
 * Runs over an instruction that changes under its feet. @value is the address of
 * struct shared.
 */
DEFINE_ATTACK(run_patched_code,
	      "movq $1, (%rcx)\n"
	      "1: nop\n"
	      "incq 8(%rcx)\n"
	      "cmpq $0, 16(%rcx)\n"
	      "je 1b");

static void synchronize_core(void *unused)
{
	sync_core();
}

/*
 * QEMU 7.2 can miss a write to code: it throws its translation away before it does
 * the write, and a CPU that runs the code may translate the old byte again in
 * between. That lasts until the next write, so the caller writes again until it
 * sees the effect. A processor has no such trouble.
 */
static void poke_byte(unsigned long addr, u8 byte)
{
	text_poke((void *)addr, &byte, 1);
	on_each_cpu(synchronize_core, NULL, 1);
}

/*
 * The breakpoint that stands in while the kernel patches its text, as it does for
 * static keys, is no stop. Whoever patches holds text_mutex.
 */
static void text_can_be_patched_during_a_stay(struct kunit *test)
{
	unsigned long insn = insn_of(attack_run_patched_code);
	struct stay stay = {
		.worker = {
			.fn	= stay_thread,
			.data	= &stay,
			.cpu	= disturbed_cpu(),
		},
		.func	= attack_run_patched_code,
		.test	= test,
	};
	/* More than the core would retry in a row, if it counted wrongly */
	const int rounds = 80;
	unsigned long before, end;
	int i;

	skip_if_undisturbed(test);
	stay.shared = alloc_shared(test);
	pin_test(test, true);
	KUNIT_EXPECT_EQ(test, worker_start(&stay.worker), 0);
	if (stay.worker.task) {
		KUNIT_EXPECT_TRUE(test, wait_for_target(stay.shared,
							&stay.worker));
		for (i = 0; i < rounds; i++) {
			end = jiffies + SBM_TEST_PATIENCE;
			mutex_lock(&text_mutex);
			/* Let the target run into it */
			do {
				poke_byte(insn, INT3_INSN_OPCODE);
				before = READ_ONCE(stay.shared->count);
				schedule_timeout_uninterruptible(HZ / 50 + 1);
			} while (READ_ONCE(stay.shared->count) != before &&
				 time_before(jiffies, end));
			poke_byte(insn, 0x90);
			schedule_timeout_uninterruptible(1);
			poke_byte(insn, 0x90);
			mutex_unlock(&text_mutex);
			if (time_after_eq(jiffies, end))
				break;

			/* It must be seen to go on */
			if (!goes_on(stay.shared, &stay.worker))
				break;
		}
		KUNIT_EXPECT_EQ(test, i, rounds);
	}
	WRITE_ONCE(stay.shared->stop, 1);
	KUNIT_EXPECT_EQ(test, worker_finish(&stay.worker), 0);
	pin_test(test, false);
	expect_next_call_works(test);
}

#ifdef CONFIG_HOTPLUG_CPU

/* A CPU goes away while a thread runs in a sandbox on it, and comes back */
static void cpu_can_be_unplugged_during_a_stay(struct kunit *test)
{
	unsigned int cpu = disturbed_cpu();
	struct stay stay = {
		.worker = {
			.fn	= stay_thread,
			.data	= &stay,
			.cpu	= -1,
		},
		.func	= stay_and_check_regs,
		.test	= test,
	};
	int err;

	skip_if_undisturbed(test);
	stay.shared = alloc_shared(test);
	pin_test(test, true);
	KUNIT_EXPECT_EQ(test, worker_start(&stay.worker), 0);
	if (stay.worker.task) {
		KUNIT_EXPECT_TRUE(test, wait_for_target(stay.shared,
							&stay.worker));
		/* There, but allowed to go elsewhere */
		set_cpus_allowed_ptr(stay.worker.task, cpumask_of(cpu));
		set_cpus_allowed_ptr(stay.worker.task, cpu_possible_mask);
		err = remove_cpu(cpu);
		if (err)
			kunit_info(test, "CPU %u stays: %d\n", cpu, err);
		KUNIT_EXPECT_TRUE(test, goes_on(stay.shared, &stay.worker));
		if (!err)
			KUNIT_EXPECT_EQ(test, add_cpu(cpu), 0);
		KUNIT_EXPECT_EQ(test, 0,
				set_cpus_allowed_ptr(stay.worker.task,
						     cpumask_of(cpu)));
		KUNIT_EXPECT_TRUE(test, goes_on(stay.shared, &stay.worker));
	}
	WRITE_ONCE(stay.shared->stop, 1);
	KUNIT_EXPECT_EQ(test, worker_finish(&stay.worker), 0);
	pin_test(test, false);
	expect_next_call_works(test);
}

#else

static void cpu_can_be_unplugged_during_a_stay(struct kunit *test)
{
	kunit_skip(test, "no CPU hotplug");
}

#endif

#ifdef CONFIG_HAVE_HW_BREAKPOINT

static atomic_t breakpoint_hits;

static void breakpoint_hit(struct perf_event *bp, struct perf_sample_data *data,
			   struct pt_regs *regs)
{
	atomic_inc(&breakpoint_hits);
}

static struct perf_event * __percpu *set_breakpoint(unsigned long addr,
						     int len, int type)
{
	struct perf_event_attr attr;

	atomic_set(&breakpoint_hits, 0);
	hw_breakpoint_init(&attr);
	attr.bp_addr = addr;
	attr.bp_len = len;
	attr.bp_type = type;

	return register_wide_hw_breakpoint(&attr, breakpoint_hit, NULL);
}

/* They are the kernel's: they do not hit inside, and are armed again afterwards */
static void kernel_breakpoints_do_not_hit_inside(struct kunit *test)
{
	struct perf_event * __percpu *bp;
	struct sbm sbm;
	int value = 1;
	int *inside;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	KUNIT_ASSERT_EQ(test, sbm_init(&sbm), 0);
	inside = SBM_COPY_IN(&sbm, &value, sizeof(value));
	bp = set_breakpoint((unsigned long)inside, HW_BREAKPOINT_LEN_4,
			    HW_BREAKPOINT_RW);
	KUNIT_EXPECT_FALSE(test, IS_ERR((void __force *)bp));
	if (!IS_ERR((void __force *)bp)) {
		KUNIT_EXPECT_EQ(test, sbm_exec(&sbm, add_one, inside), 2);
		KUNIT_EXPECT_EQ(test, sbm_error(&sbm), 0);
		KUNIT_EXPECT_EQ(test, atomic_read(&breakpoint_hits), 0);
		unregister_wide_hw_breakpoint(bp);
	}

	bp = set_breakpoint((unsigned long)&kernel_data, HW_BREAKPOINT_LEN_4,
			    HW_BREAKPOINT_RW);
	KUNIT_EXPECT_FALSE(test, IS_ERR((void __force *)bp));
	if (!IS_ERR((void __force *)bp)) {
		KUNIT_EXPECT_EQ(test, sbm_exec(&sbm, add_one, inside), 2);
		KUNIT_EXPECT_EQ(test, atomic_read(&breakpoint_hits), 0);
		KUNIT_EXPECT_EQ(test, READ_ONCE(kernel_data), 0x12345678);
		KUNIT_EXPECT_EQ(test, atomic_read(&breakpoint_hits), 1);
		unregister_wide_hw_breakpoint(bp);
	}
	sbm_destroy(&sbm);
}

/* The same for instructions, which the kernel has only with kprobes */
static void kernel_breakpoints_in_text_do_not_hit_inside(struct kunit *test)
{
	struct perf_event * __percpu *bp;
	sbm_func same = add_one;
	struct sbm sbm;
	int value = 1;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	bp = set_breakpoint((unsigned long)add_one, sizeof(long),
			    HW_BREAKPOINT_X);
	if (IS_ERR((void __force *)bp))
		kunit_skip(test, "no breakpoints in text without kprobes");

	KUNIT_EXPECT_EQ(test, sbm_init(&sbm), 0);
	KUNIT_EXPECT_EQ(test, 2,
			sbm_exec(&sbm, add_one,
				 SBM_COPY_IN(&sbm, &value, sizeof(value))));
	KUNIT_EXPECT_EQ(test, sbm_error(&sbm), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&breakpoint_hits), 0);
	sbm_destroy(&sbm);

	/* Not a copy that the compiler made of it */
	OPTIMIZER_HIDE_VAR(same);
	KUNIT_EXPECT_EQ(test, same(&value), 2);
	KUNIT_EXPECT_EQ(test, atomic_read(&breakpoint_hits), 1);
	unregister_wide_hw_breakpoint(bp);
}

#else

static void kernel_breakpoints_do_not_hit_inside(struct kunit *test)
{
	kunit_skip(test, "no hardware breakpoints");
}

static void kernel_breakpoints_in_text_do_not_hit_inside(struct kunit *test)
{
	kunit_skip(test, "no hardware breakpoints");
}

#endif

/* After a stop because of the FPU, the kernel can use it */
static void kernel_can_use_the_fpu_afterwards(struct kunit *test)
{
	struct attack_args args;
	struct want want = {
		.causes	= BIT(SBM_CAUSE_FPU),
		.vector	= X86_TRAP_NM,
		.ip	= insn_of(attack_sse),
	};
	struct arena *a;
	u32 status = 1;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	a = open_arena(test);
	init_args(&args, 0, 0);
	expect_stop(test, a, attack_sse, &args, &want, "SSE");
	close_arena(test, a);

	kernel_fpu_begin();
	asm volatile("stmxcsr %0" : "=m" (status));
	kernel_fpu_end();
	/* As the kernel initializes it */
	KUNIT_EXPECT_EQ(test, status, 0x1f80);
}

/* === Each hidden state, with each way out === */

/*
 * All pairs of a @prepare and an @insn that leaves the sandbox. A pair takes
 * PAIR_SIZE bytes, with the instruction in the middle and the preparation
 * directly before it: nothing comes between the two, which matters for TF and
 * MOV SS.
 */
#define PAIR_SIZE	128
#define PAIR_INSN	64

#define PAIR(prepare, insn, ...)					\
	".balign " __stringify(PAIR_SIZE) ", 0xcc\n\t"			\
	".skip " __stringify(PAIR_INSN) " - (2f - 1f), 0x90\n\t"	\
	"1:\n\t"							\
	prepare "\n"							\
	"2: " insn "\n\t"						\
	"jmp 8f\n\t"

#define DESCRIBE_EXIT(prepare, insn, ...)				\
	{ .name = insn, __VA_ARGS__ },

#define GP_EXIT(err)	.want = { BIT(SBM_CAUSE_PROTECTION),		\
				  X86_TRAP_GP, err, 0, 0 }
#define UD_EXIT		.want = { BIT(SBM_CAUSE_ILLEGAL_INSN),		\
				  X86_TRAP_UD, 0, 0, 0 }
#define PF_EXIT(err)	.want = { BIT(SBM_CAUSE_PAGE_FAULT),		\
				  X86_TRAP_PF, err, 0, 0 }

/* RDX is 0, RSI the hostile value, RDI the arguments */
#define EACH_EXIT(x, prepare)						\
	x(prepare, "int $" __stringify(RETURN_VECTOR), .returns = true)	\
	x(prepare, "int $" __stringify(HOSTCALL_VECTOR),		\
	  .want = { BIT(SBM_CAUSE_HOSTCALL), HOSTCALL_VECTOR, 0, 0, ANY }) \
	x(prepare, "syscall", .want = { BIT(SBM_CAUSE_SYSCALL),		\
					ANY, ANY, 0, 0 })		\
	x(prepare, "sysenter", .is_sysenter = true)			\
	x(prepare, "mov (%rdx), %ebx", PF_EXIT(PF_READ))		\
	x(prepare, "movb $1, (%rdx)", PF_EXIT(PF_WROTE))		\
	x(prepare, "cli", GP_EXIT(0))					\
	x(prepare, "hlt", GP_EXIT(0))					\
	x(prepare, "mov %rax, %dr7", GP_EXIT(0))			\
	x(prepare, "lidt (%rdi)", GP_EXIT(0))				\
	x(prepare, "ud2", UD_EXIT)					\
	x(prepare, ".byte 0x0f, 0xb9, 0xc0", UD_EXIT)			\
	x(prepare, "div %edx", .want = { BIT(SBM_CAUSE_ARITHMETIC),	\
					 X86_TRAP_DE, 0, 0, 0 })	\
	x(prepare, "fld1", .want = { BIT(SBM_CAUSE_FPU),		\
				     X86_TRAP_NM, 0, 0, 0 })		\
	x(prepare, "int3", .interrupt = X86_TRAP_BP,			\
	  .want = { BIT(SBM_CAUSE_PROBE), X86_TRAP_GP, ANY, 0, 0 })	\
	x(prepare, "int $1", .interrupt = X86_TRAP_DB, GP_EXIT(ANY))	\
	x(prepare, "int $2", .interrupt = X86_TRAP_NMI, GP_EXIT(ANY))	\
	x(prepare, "int $8", .interrupt = X86_TRAP_DF, GP_EXIT(ANY))	\
	x(prepare, "int $18", .interrupt = X86_TRAP_MC, GP_EXIT(ANY))	\
	x(prepare, "int $0x80", .interrupt = 0x80, GP_EXIT(ANY))	\
	x(prepare, ".byte 0xf1", .want = { BIT(SBM_CAUSE_DEBUG) |	\
					   BIT(SBM_CAUSE_ILLEGAL_INSN),	\
					   ANY, 0, 0, ANY })

/* A way out, see DESCRIBE_EXIT() */
struct way_out {
	const char	*name;
	struct want	want;
	/* Vector of an INT instruction: the error code names it */
	unsigned int	interrupt;
	/* Ends the call cleanly */
	bool		returns;
	/* Depends on the vendor */
	bool		is_sysenter;
};

static const struct way_out ways_out[] = {
	EACH_EXIT(DESCRIBE_EXIT, "")
};

#define MOV_ALL_SELECTORS						\
	"mov %eax, %ds\nmov %eax, %es\nmov %eax, %fs\nmov %eax, %gs\n\t"
#define SET_FLAGS(mask)							\
	"pushf\norq $" mask ", (%rsp)\npopf\n\t"
#define USER_DS_TO_EAX	"mov $" __stringify(__USER_DS) ", %eax\n\t"

/* AC, NT, DF, IOPL (which ring 3 cannot change), ID and the arithmetic ones */
#define ALL_FLAGS	"0x247ed5"
#define ALL_FLAGS_TF	"0x247fd5"

#define EACH_STATE(x)							\
	x("nothing special", "", false)					\
	x("GS base", "wrgsbase %rsi", true)				\
	x("FS base", "wrfsbase %rsi", true)				\
	x("stack pointer", "mov %rsi, %rsp", true)			\
	x("stack pointer and both bases",				\
	  "rdgsbase %rbx\nwrgsbase %rsi\nwrfsbase %rsi\n"		\
	  "mov %rsi, %rsp", true)					\
	x("null selectors", "xor %eax, %eax\n" MOV_ALL_SELECTORS, false)	\
	x("user selectors", USER_DS_TO_EAX MOV_ALL_SELECTORS, false)	\
	x("all flags", SET_FLAGS(ALL_FLAGS), false)			\
	x("trap flag", SET_FLAGS("0x100"), false)			\
	x("MOV SS", USER_DS_TO_EAX "mov %eax, %ss", false)		\
	x("trap flag and MOV SS",					\
	  USER_DS_TO_EAX SET_FLAGS("0x100") "mov %eax, %ss", false)	\
	x("bases, selectors and all flags",				\
	  USER_DS_TO_EAX MOV_ALL_SELECTORS				\
	  "wrgsbase %rsi\nwrfsbase %rsi\n" SET_FLAGS(ALL_FLAGS_TF), true)

/* A statement each: sparse cannot read longer ones */
#define STATE_CODE(name, prepare, hostile)	asm volatile(EACH_EXIT(PAIR, prepare));
#define DESCRIBE_STATE(name, prepare, hostile)	{ name, hostile },

struct prepared {
	const char	*name;
	/* Is tried with each hostile value */
	bool		hostile;
};

static const struct prepared prepared_states[] = {
	EACH_STATE(DESCRIBE_STATE)
};

KUNIT_ARRAY_PARAM_DESC(prepared, prepared_states, name);

/* @value is the number of the pair */
static noinline __naked int attack_pair(void *data)
{
	asm volatile("test %rdi, %rdi\n\t"
		     "jz 9f\n\t"
		     "movq $1, 8(%rdi)\n\t"
		     "mov (%rdi), %rsi\n\t"
		     "mov 16(%rdi), %rcx\n\t"
		     "mov %rsp, %r15\n\t"
		     "xor %edx, %edx\n\t"
		     "imul $" __stringify(PAIR_SIZE) ", %rcx, %rcx\n\t"
		     "lea 7f(%rip), %rax\n\t"
		     "add %rcx, %rax\n\t"
		     "push %rax\n\t"
		     ASM_RET
		     "9: lea 7f(%rip), %rax\n\t"
		     ASM_RET
		     ".balign " __stringify(PAIR_SIZE) ", 0xcc\n\t"
		     "7:");
	EACH_STATE(STATE_CODE)
	asm volatile("8: mov %r15, %rsp\n\t"
		     "xor %eax, %eax\n\t"
		     X86_SBM_TEST_RET);
}

STACK_FRAME_NON_STANDARD(attack_pair);

static unsigned long kernel_gs(const struct arena *a)
{
	return cpu_kernelmode_gs_base(raw_smp_processor_id());
}

static unsigned long gate_event_top(const struct arena *a)
{
	return a->layout.gate_event + PAGE_SIZE;
}

static unsigned long gate_nmi_top(const struct arena *a)
{
	return a->layout.gate_nmi + PAGE_SIZE;
}

static const struct hostile hostile_values[] = {
	{ "NULL", null_pointer },
	{ "user space", user_space },
	{ "GS base of the kernel", kernel_gs },
	{ "kernel stack", kernel_stack },
	{ "kernel GDT", kernel_gdt },
	{ "state of the gate", gate_state },
	{ "event stack of the gate", gate_event_top },
	{ "NMI stack of the gate", gate_nmi_top },
	{ "entry text", entry_text },
	{ "own buffer", output },
	{ "non-canonical address", non_canonical },
};

static void want_sysenter(struct want *want)
{
	*want = (struct want) {
		.causes		= BIT(SBM_CAUSE_SYSCALL),
		.vector		= ANY,
		.error_code	= ANY,
		.ip		= ANY,
	};
	if (boot_cpu_data.x86_vendor == X86_VENDOR_AMD ||
	    boot_cpu_data.x86_vendor == X86_VENDOR_HYGON) {
		*want = ((struct way_out) { UD_EXIT }).want;
	} else if (!IS_ENABLED(CONFIG_IA32_EMULATION)) {
		*want = ((struct way_out) { GP_EXIT(0) }).want;
	}
}

/* The result is not looked at: it is whatever EAX was */
static void expect_clean_end(struct kunit *test, struct arena *a,
			     sbm_func attack, struct attack_args *args,
			     const char *what)
{
	struct cpu_state original, planted;
	struct attack_args *inside;
	int __maybe_unused ret;

	inside = SBM_COPY_INOUT(&a->sbm, args, sizeof(*args));
	read_cpu_state(&original);
	plant_cpu_state();
	read_cpu_state(&planted);
	ret = sbm_exec(&a->sbm, attack, inside);
	expect_same_cpu_state(test, &planted);
	restore_cpu_state(&original);
	KUNIT_EXPECT_EQ_MSG(test, sbm_error(&a->sbm), 0, "%s", what);
	KUNIT_EXPECT_NULL_MSG(test, sbm_fault(&a->sbm), "%s", what);
	KUNIT_EXPECT_EQ_MSG(test, args->started, 1, "%s", what);
}

static void try_pair(struct kunit *test, unsigned int state, unsigned int exit,
		     const struct hostile *hostile, unsigned int shift)
{
	unsigned int pair = state * ARRAY_SIZE(ways_out) + exit;
	const struct way_out *out = &ways_out[exit];
	struct want want = out->want;
	struct attack_args args;
	struct arena *a;
	char what[80];

	snprintf(what, sizeof(what), "%s %s: %s", prepared_states[state].name,
		 hostile ? hostile->name : "", out->name);
	a = open_arena(test);
	init_args(&args, hostile ? hostile->address(a) : 0, pair);
	if (out->is_sysenter)
		want_sysenter(&want);
	if (out->interrupt)
		want.error_code = out->interrupt << shift | 2;
	if (want.ip != ANY)
		want.ip = insn_of(attack_pair) + pair * PAIR_SIZE + PAIR_INSN;

	if (out->returns)
		expect_clean_end(test, a, attack_pair, &args, what);
	else
		expect_stop(test, a, attack_pair, &args, &want, what);
	close_arena(test, a);
}

/*
 * Whatever a target has done to the CPU's state, no way out trusts it. The value
 * that is not canonical can only be in the stack pointer.
 */
static void no_state_survives_any_way_out(struct kunit *test)
{
	const struct prepared *prepared = test->param_value;
	unsigned int state = prepared - prepared_states;
	unsigned int nr = 1, shift, exit, i;
	const struct hostile *hostile;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	shift = int_error_shift(test);
	if (prepared->hostile)
		nr = ARRAY_SIZE(hostile_values);
	for (i = 0; i < nr; i++) {
		hostile = prepared->hostile ? &hostile_values[i] : NULL;
		if (hostile && hostile->address == non_canonical &&
		    strcmp(prepared->name, "stack pointer"))
			continue;
		for (exit = 0; exit < ARRAY_SIZE(ways_out); exit++)
			try_pair(test, state, exit, hostile, shift);
	}
	expect_next_call_works(test);
}

/* === Segments === */

DEFINE_ATTACK(far_jump_to_32_bit,
	      "sub $8, %rsp\n"
	      "mov %esi, (%rsp)\n"
	      "movl $" __stringify(__USER32_CS) ", 4(%rsp)\n"
	      "1: ljmpl *(%rsp)");
DEFINE_ATTACK(iret_to_32_bit,
	      "mov %rsp, %rdx\n"
	      "push $" __stringify(__USER_DS) "\n"
	      "push %rdx\n"
	      "push $2\n"
	      "push $" __stringify(__USER32_CS) "\n"
	      "mov %esi, %eax\n"
	      "push %rax\n"
	      "1: iretq");

/*
 * 32-bit code can only lie in the low 4 GiB, and nothing is there: not one
 * instruction of it runs, so there is no SYSCALL, SYSENTER or INT 0x80 from that
 * mode. What arrives is the fetch fault, or an interrupt before it, which must not
 * be resumed.
 */
static void no_32_bit_code_runs(struct kunit *test)
{
	const unsigned long ips[] = {
		0, 0x1000, 0x7ffff000, 0xfffff000,
		(u32)(unsigned long)add_one,
		(u32)(unsigned long)entry_SYSCALL_64,
		(u32)insn_of(attack_syscall),
		(u32)insn_of(attack_sysenter),
	};
	bool iret_works;
	struct arena *a;
	u64 rights, pfn;
	unsigned long addr;
	int i;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	iret_works = far_returns_work(test);
	for (i = 0; i < 2 * ARRAY_SIZE(ips); i++) {
		struct want want = {
			.causes		= BIT(SBM_CAUSE_PAGE_FAULT) |
					  BIT(SBM_CAUSE_SEGMENT),
			.vector		= ANY,
			.error_code	= ANY,
			.address	= ANY,
			.ip		= ips[i / 2],
		};
		struct attack_args args;

		if (i % 2 && !iret_works)
			continue;
		a = open_arena(test);
		init_args(&args, ips[i / 2], 0);
		expect_stop(test, a, i % 2 ? attack_iret_to_32_bit :
					     attack_far_jump_to_32_bit,
			    &args, &want, "32-bit code");
		if (sbm_fault(&a->sbm) &&
		    sbm_fault(&a->sbm)->cause == SBM_CAUSE_PAGE_FAULT) {
			KUNIT_EXPECT_EQ(test, sbm_fault(&a->sbm)->address,
					ips[i / 2]);
			KUNIT_EXPECT_EQ(test, sbm_fault(&a->sbm)->error_code,
					PF_EXEC);
		}
		close_arena(test, a);
	}

	a = open_arena(test);
	for (addr = 0; addr < SZ_4G; addr += PMD_SIZE)
		KUNIT_EXPECT_FALSE(test, x86_sbm_test_lookup(&a->sbm, addr,
							     &rights, &pfn));
	close_arena(test, a);
	expect_next_call_works(test);
}

/* Sets this thread's own descriptors, as set_thread_area() does */
static void set_tls(unsigned int nr, struct desc_struct desc)
{
	preempt_disable();
	current->thread.tls_array[nr] = desc;
	load_TLS(&current->thread, smp_processor_id());
	preempt_enable();
}

#define TLS_SELECTOR(nr)	((GDT_ENTRY_TLS_MIN + (nr)) << 3 | 3)

DEFINE_ATTACK(load_ds, "1: mov %esi, %ds");
DEFINE_ATTACK(load_es, "1: mov %esi, %es");
DEFINE_ATTACK(load_fs, "1: mov %esi, %fs");
DEFINE_ATTACK(load_gs, "1: mov %esi, %gs");
DEFINE_ATTACK(load_ss, "1: mov %esi, %ss");
DEFINE_ATTACK(load_cs,
	      "sub $16, %rsp\n"
	      "lea 2f(%rip), %rax\n"
	      "mov %rax, (%rsp)\n"
	      "mov %rsi, 8(%rsp)\n"
	      /* LJMP with a 64-bit offset */
	      "1: .byte 0x48, 0xff, 0x2c, 0x24\n"
	      "2: nop");

static bool has_own_tls(unsigned int nr)
{
	bool same;

	preempt_disable();
	same = !memcmp(&get_cpu_gdt_rw(smp_processor_id())[GDT_ENTRY_TLS_MIN + nr],
		       &current->thread.tls_array[nr], sizeof(struct desc_struct));
	preempt_enable();

	return same;
}

/*
 * The calling thread's own segments are not in the GDT during a stay, and are again
 * afterwards. A target could learn a base from one, or go on with one.
 */
static void segments_of_the_thread_are_not_inside(struct kunit *test)
{
	static const sbm_func attacks[] = {
		attack_load_ds, attack_load_es, attack_load_fs,
		attack_load_gs, attack_load_ss, attack_load_cs,
	};
	const struct desc_struct data = GDT_ENTRY_INIT(DESC_DATA32 | DESC_USER, 0,
						       0xfffff);
	const struct desc_struct code = GDT_ENTRY_INIT(DESC_CODE64 | DESC_USER, 0,
						       0xfffff);
	const struct desc_struct none = {};
	int i;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	set_tls(0, data);
	set_tls(1, code);
	for (i = 0; i < ARRAY_SIZE(attacks); i++) {
		unsigned int nr = attacks[i] == attack_load_cs;
		struct want want = {
			.causes		= BIT(SBM_CAUSE_PROTECTION),
			.vector		= X86_TRAP_GP,
			.error_code	= TLS_SELECTOR(nr) & ~3,
			.ip		= insn_of(attacks[i]),
		};
		struct attack_args args;
		struct arena *a;

		/* AMD's far jumps have no 64-bit offset: takes another selector */
		if (nr && boot_cpu_data.x86_vendor == X86_VENDOR_AMD)
			continue;
		a = open_arena(test);
		init_args(&args, TLS_SELECTOR(nr), 0);
		expect_stop(test, a, attacks[i], &args, &want, "TLS");
		close_arena(test, a);
		KUNIT_EXPECT_TRUE(test, has_own_tls(0));
		KUNIT_EXPECT_TRUE(test, has_own_tls(1));
	}
	set_tls(0, none);
	set_tls(1, none);
	expect_next_call_works(test);
}

static void change_ldt(const void *ldt, unsigned int entries)
{
	preempt_disable();
	set_ldt(ldt, entries);
	preempt_enable();
}

/*
 * The register with the LDT stays, but its table is not mapped inside: the
 * processor itself faults when it looks there for a target, with the rights of
 * ring 0.
 */
static void ldt_is_out_of_reach(struct kunit *test)
{
	static const sbm_func attacks[] = {
		attack_load_ds, attack_load_ss,
	};
	struct desc_struct *ldt;
	int i;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	ldt = (struct desc_struct *)get_zeroed_page(GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, ldt);
	ldt[1] = (struct desc_struct)GDT_ENTRY_INIT(DESC_DATA32 | DESC_USER, 0,
						    0xfffff);
	pin_test(test, true);
	for (i = 0; i < ARRAY_SIZE(attacks); i++) {
		struct want want = {
			.causes		= BIT(SBM_CAUSE_PAGE_FAULT),
			.vector		= X86_TRAP_PF,
			.address	= (unsigned long)&ldt[1],
			.ip		= insn_of(attacks[i]),
		};
		struct attack_args args;
		struct arena *a;

		a = open_arena(test);
		/* Table indicator and ring 3 */
		init_args(&args, 1 << 3 | 4 | 3, 0);
		change_ldt(ldt, 8);
		expect_stop(test, a, attacks[i], &args, &want, "LDT");
		change_ldt(NULL, 0);
		close_arena(test, a);
	}
	pin_test(test, false);
	free_page((unsigned long)ldt);
	expect_next_call_works(test);
}

/*
 * An event from ring 3 leaves SS null, and on AMD processors SYSRET would pass that on
 * to user space. An interrupt after the call may change it again, but not each time.
 */
static void stack_selector_is_the_kernels_afterwards(struct kunit *test)
{
	const int rounds = 100;
	int value = 41, good = 0, i;
	struct sbm sbm;
	void *inside;
	u16 ss;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	KUNIT_ASSERT_EQ(test, sbm_init(&sbm), 0);
	inside = SBM_COPY_IN(&sbm, &value, sizeof(value));
	for (i = 0; i < rounds; i++) {
		KUNIT_EXPECT_EQ(test, 42, sbm_exec(&sbm, add_one, inside));
		savesegment(ss, ss);
		good += ss == __KERNEL_DS;
	}
	KUNIT_EXPECT_GT(test, good, rounds / 2);
	sbm_destroy(&sbm);
}

/* === Branch predictions === */

/*
 * Before each stay that follows another instance's on that CPU, and no other. That
 * the barrier does what it should is the processor's business.
 */
static void branch_barrier_parts_instances(struct kunit *test)
{
	const struct sbm_attr attr = {
		.min_isolation	= SBM_ISOLATION_STRONG,
		.flags		= SBM_ATTR_IBPB,
	};
	/* With one, with one, without */
	static const u8 order[] = { 0, 0, 1, 0, 2, 2, 1, 1, 0 };
	const unsigned int want[] = { 3, 2, 0 };
	unsigned int before;
	struct sbm sbm[3];
	int i, value = 41;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	if (!boot_cpu_has(X86_FEATURE_IBPB)) {
		KUNIT_EXPECT_EQ(test, sbm_init_attr(&sbm[0], &attr), -EOPNOTSUPP);
		KUNIT_EXPECT_EQ(test, sbm_error(&sbm[0]), -EOPNOTSUPP);
		kunit_skip(test, "this processor has no such barrier, asking for it is refused");
	}

	pin_test(test, true);
	for (i = 0; i < ARRAY_SIZE(sbm); i++)
		KUNIT_EXPECT_EQ(test, sbm_init_attr(&sbm[i], i < 2 ? &attr : NULL), 0);
	for (i = 0; i < ARRAY_SIZE(order); i++) {
		struct sbm *s = &sbm[order[i]];

		KUNIT_EXPECT_EQ(test, 42,
				sbm_exec(s, add_one,
					 SBM_COPY_IN(s, &value, sizeof(value))));
	}
	/* Others may have run in between, on a machine that is in use */
	for (i = 0; i < ARRAY_SIZE(sbm); i++) {
		KUNIT_EXPECT_GE(test, x86_sbm_test_barriers(&sbm[i]), want[i]);
		if (i == 2)
			KUNIT_EXPECT_EQ(test, x86_sbm_test_barriers(&sbm[i]), 0);
	}

	/* After a reset it is another one; the last call was its own */
	before = x86_sbm_test_barriers(&sbm[0]);
	KUNIT_EXPECT_EQ(test, sbm_reset(&sbm[0]), 0);
	KUNIT_EXPECT_EQ(test, 42,
			sbm_exec(&sbm[0], add_one,
				 SBM_COPY_IN(&sbm[0], &value, sizeof(value))));
	KUNIT_EXPECT_GT(test, x86_sbm_test_barriers(&sbm[0]), before);
	for (i = 0; i < ARRAY_SIZE(sbm); i++)
		sbm_destroy(&sbm[i]);
	pin_test(test, false);
}

/* === Interrupts that are lost === */

/**
 * struct loser - a call that loses an interrupt
 * @worker:	Who makes it, on a CPU of its own.
 * @sbm:	Its instance.
 * @inside:	What the target sees of the shared page.
 * @in_service: Interrupts that the CPU's local APIC holds to be in service afterwards.
 */
struct loser {
	struct worker	worker;
	struct sbm	*sbm;
	struct shared	*inside;
	unsigned int	in_service;
};

static int loser_thread(struct worker *worker)
{
	struct loser *loser = worker->data;
	int i, ret;

	ret = sbm_call(loser->sbm, wait_until_told, loser->inside);

	local_irq_disable();
	for (i = 0; i < 256 / 32; i++)
		loser->in_service += hweight32(apic_read(APIC_ISR + i * 0x10));
	local_irq_enable();

	return ret;
}

/*
 * Which instruction of a stub a machine check hits is luck, so a hook makes a stay look
 * as one in which it has hit. Nothing was done about the interrupt then; if it stays in
 * service, the CPU gets no more of its priority.
 */
static void lost_interrupts_are_found(struct kunit *test)
{
	struct shared *shared = alloc_shared(test);
	const struct sbm_fault *fault;
	struct sbm sbm;
	struct loser loser = {
		.worker	= { .fn = loser_thread, .data = &loser, },
		.sbm	= &sbm,
	};

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	if (!boot_cpu_has(X86_FEATURE_APIC) || apic_is_disabled)
		kunit_skip(test, "no local APIC");

	loser.worker.cpu = cpumask_last(cpu_online_mask);
	KUNIT_ASSERT_EQ(test, sbm_init(&sbm), 0);
	loser.inside = SBM_MAP_WRITABLE(&sbm, shared, sizeof(*shared));
	KUNIT_EXPECT_EQ(test, worker_start(&loser.worker), 0);
	if (loser.worker.task) {
		KUNIT_EXPECT_TRUE(test, wait_for_target(shared, &loser.worker));
		/* There will be one: the tick */
		x86_sbm_test_lose_interrupt(loser.worker.task);
		KUNIT_EXPECT_NE(test, 0,
				wait_for_completion_timeout(&loser.worker.done,
							    SBM_TEST_PATIENCE));
		WRITE_ONCE(shared->stop, 1);
		KUNIT_EXPECT_EQ(test, worker_finish(&loser.worker), -EFAULT);
		x86_sbm_test_lose_interrupt(NULL);
		KUNIT_EXPECT_EQ(test, loser.in_service, 0);
		fault = sbm_fault(&sbm);
		KUNIT_EXPECT_NOT_NULL(test, fault);
		if (fault)
			KUNIT_EXPECT_EQ(test, fault->cause, SBM_CAUSE_MACHINE_CHECK);
	}
	sbm_destroy(&sbm);
	expect_next_call_works(test);
}

/* === Intel PT === */

static void expect_refused_as_traced(struct kunit *test, struct sbm *sbm, int ret)
{
	const struct sbm_fault *fault = sbm_fault(sbm);

	KUNIT_EXPECT_EQ(test, ret, -EOPNOTSUPP);
	KUNIT_EXPECT_EQ(test, sbm_error(sbm), -EOPNOTSUPP);
	KUNIT_ASSERT_NOT_NULL(test, fault);
	KUNIT_EXPECT_EQ(test, fault->cause, SBM_CAUSE_TRACED);
	KUNIT_EXPECT_EQ(test, fault->address, 0);
}

/* No emulator has Intel PT: the hook stands in for the read of its MSR */
static void traced_tasks_call_nothing(struct kunit *test)
{
	struct attack_args out = {}, *inside;
	struct sbm sbm;
	int ret;

	init_at_least(test, &sbm, SBM_ISOLATION_STRONG);
	inside = SBM_COPY_INOUT(&sbm, &out, sizeof(out));
	x86_sbm_test_trace(current);
	ret = sbm_exec(&sbm, attack_nothing, inside);
	x86_sbm_test_trace(NULL);
	expect_refused_as_traced(test, &sbm, ret);
	KUNIT_EXPECT_NULL(test, memchr_inv(&out, 0, sizeof(out)));
	sbm_destroy(&sbm);
	expect_next_call_works(test);
}

/**
 * struct traced - a call during which tracing begins
 * @worker: Who makes it.
 * @sbm:    Its instance.
 * @inside: What the target sees of the shared page.
 */
struct traced {
	struct worker	worker;
	struct sbm	*sbm;
	struct shared	*inside;
};

static int traced_thread(struct worker *worker)
{
	struct traced *traced = worker->data;

	return sbm_call(traced->sbm, wait_until_told, traced->inside);
}

static void tracing_ends_a_call(struct kunit *test)
{
	struct shared *shared = alloc_shared(test);
	struct sbm sbm;
	struct traced traced = {
		.worker	= { .fn = traced_thread, .data = &traced, .cpu = -1, },
		.sbm	= &sbm,
	};

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	KUNIT_ASSERT_EQ(test, sbm_init(&sbm), 0);
	traced.inside = SBM_MAP_WRITABLE(&sbm, shared, sizeof(*shared));
	KUNIT_EXPECT_EQ(test, worker_start(&traced.worker), 0);
	if (traced.worker.task) {
		KUNIT_EXPECT_TRUE(test, wait_for_target(shared, &traced.worker));
		/* Perf would interrupt the processor; so does its tick */
		x86_sbm_test_trace(traced.worker.task);
		KUNIT_EXPECT_NE(test, 0,
				wait_for_completion_timeout(&traced.worker.done,
							    SBM_TEST_PATIENCE));
		WRITE_ONCE(shared->stop, 1);
		expect_refused_as_traced(test, &sbm, worker_finish(&traced.worker));
		x86_sbm_test_trace(NULL);
	}
	sbm_destroy(&sbm);
	expect_next_call_works(test);
}

/* === MSRs that a virtual machine has left === */

static const u32 syscall_msrs[] = {
	MSR_STAR, MSR_LSTAR, MSR_CSTAR, MSR_SYSCALL_MASK,
};

/**
 * struct guest_msrs - a call with a guest's values in the MSRs
 * @worker:  Who makes it.
 * @func:    What it calls.
 * @planted: The guest's values.
 * @found:   What is there after the call.
 * @ret:     What the call returned.
 * @fault:   How the target was stopped.
 */
struct guest_msrs {
	struct worker		worker;
	sbm_func		func;
	u64			planted[ARRAY_SIZE(syscall_msrs)];
	u64			found[ARRAY_SIZE(syscall_msrs)];
	int			ret;
	struct sbm_fault	fault;
};

/*
 * Plays KVM, which leaves a guest's values until the task returns to user space or
 * another task runs. No other one does: this thread has real-time priority, and with
 * it kept short, no user's SYSCALL meets these values.
 */
static int guest_msrs_thread(struct worker *worker)
{
	u64 original[ARRAY_SIZE(syscall_msrs)];
	struct guest_msrs *g = worker->data;
	struct attack_args args;
	struct sbm sbm;
	void *inside;
	int i, ret;

	ret = sbm_init(&sbm);
	if (ret)
		return ret;
	init_args(&args, 0, 0);
	inside = SBM_COPY_INOUT(&sbm, &args, sizeof(args));

	sched_set_fifo(current);
	for (i = 0; i < ARRAY_SIZE(syscall_msrs); i++) {
		rdmsrq(syscall_msrs[i], original[i]);
		wrmsrq(syscall_msrs[i], g->planted[i]);
	}
	set_thread_flag(TIF_USER_RETURN_NOTIFY);

	g->ret = sbm_exec(&sbm, g->func, inside);

	clear_thread_flag(TIF_USER_RETURN_NOTIFY);
	for (i = 0; i < ARRAY_SIZE(syscall_msrs); i++) {
		rdmsrq(syscall_msrs[i], g->found[i]);
		wrmsrq(syscall_msrs[i], original[i]);
	}
	sched_set_normal(current, 0);

	if (sbm_fault(&sbm))
		g->fault = *sbm_fault(&sbm);
	sbm_destroy(&sbm);

	return 0;
}

/*
 * A target's SYSCALL must arrive in the kernel's entry text with the kernel's flags,
 * and the guest's values must be there again afterwards: KVM remembers them.
 */
static void syscall_msrs_of_a_guest_are_not_used(struct kunit *test)
{
	static const sbm_func attacks[] = { attack_syscall, attack_nothing };
	struct guest_msrs *g = kunit_kzalloc(test, sizeof(*g), GFP_KERNEL);
	int i, k;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	KUNIT_ASSERT_NOT_NULL(test, g);
	for (k = 0; k < ARRAY_SIZE(attacks); k++) {
		*g = (struct guest_msrs) {
			.worker	 = {
				.fn	= guest_msrs_thread,
				.data	= g,
				.cpu	= cpumask_first(cpu_online_mask),
			},
			.func	 = attacks[k],
			/* Other segments; text that ring 3 has; no flag cleared */
			.planted = {
				0x0033003000000000ULL,
				(unsigned long)add_one,
				(unsigned long)add_one,
				0,
			},
		};
		KUNIT_EXPECT_EQ(test, worker_start(&g->worker), 0);
		if (!g->worker.task)
			continue;
		KUNIT_EXPECT_EQ(test, worker_finish(&g->worker), 0);
		for (i = 0; i < ARRAY_SIZE(syscall_msrs); i++)
			KUNIT_EXPECT_EQ(test, g->found[i], g->planted[i]);

		if (attacks[k] == attack_nothing) {
			KUNIT_EXPECT_EQ(test, g->ret, 0);
			continue;
		}
		KUNIT_EXPECT_EQ(test, g->ret, -EFAULT);
		KUNIT_EXPECT_EQ(test, g->fault.cause, SBM_CAUSE_SYSCALL);
		KUNIT_EXPECT_EQ(test, g->fault.ip, insn_of(attack_syscall));
	}
	expect_next_call_works(test);
}

/* === The kernel's own traps === */

/* A trap of WARN() or BUG() at @addr or just before it, 0 if there is none */
static unsigned long trap_at(const u8 *addr)
{
	int prefixes;

	if (addr[0] != 0x0f || (addr[1] != 0x0b && addr[1] != 0xb9))
		return 0;
	for (prefixes = 0; prefixes < 3; prefixes++) {
		if (find_bug((unsigned long)addr - prefixes))
			return (unsigned long)addr - prefixes;
	}

	return 0;
}

/*
 * Targets can jump to any trap that the kernel knows, with any registers: that is
 * their own illegal instruction, and no warning of the kernel's. Tries some that
 * are spread over all of text.
 */
static void traps_of_the_kernel_are_not_taken(struct kunit *test)
{
	const u8 *end = (const u8 *)_etext - 2;
	const size_t stride = (end - (const u8 *)_stext) / 64;
	const u8 *p = (const u8 *)_stext;
	unsigned int tried = 0;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	while (p < end) {
		struct want want = {
			.causes		= BIT(SBM_CAUSE_ILLEGAL_INSN),
			.vector		= X86_TRAP_UD,
		};
		struct attack_args args;
		struct arena *a;
		u64 rights, pfn;

		want.ip = trap_at(p);
		if (!want.ip) {
			p++;
			continue;
		}
		a = open_arena(test);
		if (x86_sbm_test_lookup(&a->sbm, want.ip, &rights, &pfn) &&
		    (rights & _PAGE_USER)) {
			init_args(&args, want.ip, 0);
			expect_stop(test, a, attack_execute, &args, &want,
				    "jump to a trap");
			tried++;
		}
		close_arena(test, a);
		p += stride;
		cond_resched();
	}
	KUNIT_EXPECT_GT(test, tried, 20);
	expect_next_call_works(test);
}

/* === Text that is patched. See sbm_probe for probes and tracers. === */

/* No place for a tracer: the tests write to its first bytes */
static noinline __noclone notrace int probed(void *data)
{
	return *(int *)data + 1;
}

/* Not a tail call */
static noinline __noclone int calls_probed(void *data)
{
	return probed(data) + 1;
}

/* The call ends, with this cause, in @probed or where that was sent to */
static void expect_probed_stop(struct kunit *test, const struct want *want)
{
	const struct sbm_fault *fault;
	struct cpu_state before;
	struct sbm sbm;
	int value = 40;

	init_at_least(test, &sbm, SBM_ISOLATION_STRONG);
	read_cpu_state(&before);
	KUNIT_EXPECT_EQ(test, -EFAULT,
			sbm_exec(&sbm, calls_probed,
				 SBM_COPY_INOUT(&sbm, &value, sizeof(value))));
	expect_same_cpu_state(test, &before);
	KUNIT_EXPECT_EQ(test, value, 40);
	fault = sbm_fault(&sbm);
	KUNIT_EXPECT_NOT_NULL(test, fault);
	if (fault) {
		KUNIT_EXPECT_TRUE_MSG(test, want->causes & BIT(fault->cause),
				      "%s", sbm_cause_name(fault->cause));
		if (want->vector != ANY)
			KUNIT_EXPECT_EQ(test, fault->vector, want->vector);
		if (want->error_code != ANY)
			KUNIT_EXPECT_EQ(test, fault->error_code,
					want->error_code);
		if (want->address != ANY)
			KUNIT_EXPECT_EQ(test, fault->address, want->address);
		if (want->ip != ANY)
			KUNIT_EXPECT_EQ(test, fault->ip, want->ip);
	}
	sbm_destroy(&sbm);
}

static void expect_probed_works(struct kunit *test)
{
	struct sbm sbm;
	int value = 40;

	init_at_least(test, &sbm, SBM_ISOLATION_STRONG);
	KUNIT_EXPECT_EQ(test, 42,
			sbm_exec(&sbm, calls_probed,
				 SBM_COPY_IN(&sbm, &value, sizeof(value))));
	KUNIT_EXPECT_EQ(test, sbm_error(&sbm), 0);
	sbm_destroy(&sbm);
}

static void poke_bytes(void *addr, const void *bytes, size_t len)
{
	mutex_lock(&text_mutex);
	text_poke(addr, bytes, len);
	on_each_cpu(synchronize_core, NULL, 1);
	mutex_unlock(&text_mutex);
}

/* A breakpoint that stays, as a probe's does, while nobody patches text */
static void breakpoint_in_text_is_a_stop(struct kunit *test)
{
	const u8 int3 = INT3_INSN_OPCODE;
	const struct want want = {
		.causes		= BIT(SBM_CAUSE_PROBE),
		.vector		= X86_TRAP_GP,
		.error_code	= ANY,
		.ip		= (unsigned long)probed,
	};
	u8 original;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	original = *(u8 *)probed;
	expect_probed_works(test);
	poke_bytes(probed, &int3, 1);
	expect_probed_stop(test, &want);
	poke_bytes(probed, &original, 1);
	expect_probed_works(test);
}

/*
 * The function tracer, BPF and live patching send a function to code that was
 * allocated at run time, by a call at its start. That code is not inside.
 */
static void jump_to_a_trampoline_is_a_stop(struct kunit *test)
{
	/* Where no thunk is: they are taken from below */
	const unsigned long destination = MODULES_END - PAGE_SIZE;
	const struct want want = {
		.causes		= BIT(SBM_CAUSE_PAGE_FAULT),
		.vector		= X86_TRAP_PF,
		.error_code	= PF_EXEC,
		.address	= destination,
		.ip		= destination,
	};
	u8 original[CALL_INSN_SIZE], call[CALL_INSN_SIZE];
	s32 distance;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	distance = destination - ((unsigned long)probed + CALL_INSN_SIZE);
	memcpy(original, probed, sizeof(original));
	call[0] = CALL_INSN_OPCODE;
	memcpy(&call[1], &distance, sizeof(distance));

	poke_bytes(probed, call, sizeof(call));
	expect_probed_stop(test, &want);
	poke_bytes(probed, original, sizeof(original));
	expect_probed_works(test);
}

static DEFINE_STATIC_KEY_FALSE(flipped_key);

struct flips {
	struct shared	shared;
	unsigned long	on;
	unsigned long	off;
};

static SBM_DEFINE_FUNC(watch_static_key, struct flips *, flips)
{
	WRITE_ONCE(flips->shared.started, 1);
	while (!READ_ONCE(flips->shared.stop)) {
		if (static_branch_unlikely(&flipped_key))
			WRITE_ONCE(flips->on, flips->on + 1);
		else
			WRITE_ONCE(flips->off, flips->off + 1);
		WRITE_ONCE(flips->shared.count, flips->shared.count + 1);
	}

	return 0;
}

/* The result is the cause, negative, if there was a stop */
static int watch_static_key_thread(struct worker *worker)
{
	const struct sbm_fault *fault;
	struct sbm sbm;
	int ret;

	ret = sbm_init(&sbm);
	if (ret)
		return ret;
	ret = sbm_call(&sbm, watch_static_key,
		       SBM_MAP_WRITABLE(&sbm, (struct flips *)worker->data,
					PAGE_SIZE));
	fault = sbm_fault(&sbm);
	if (fault) {
		pr_info("sbm-test: %s, vector %u, error code %lx at %pS\n",
			sbm_cause_name(fault->cause), fault->vector,
			fault->error_code, (void *)fault->ip);
		ret = -(int)fault->cause;
	}
	sbm_destroy(&sbm);

	return ret;
}

/* @counter must go on within @patience, as long as @worker runs */
static bool moves_on(const unsigned long *counter, struct worker *worker,
		     unsigned long patience)
{
	unsigned long timeout = jiffies + patience;
	unsigned long before = READ_ONCE(*counter);

	while (READ_ONCE(*counter) == before) {
		if (time_after(jiffies, timeout) ||
		    completion_done(&worker->done))
			return false;
		cpu_relax();
	}

	return true;
}

/*
 * Flips the key until the target has seen it, see poke_byte(). Returns how often
 * that was necessary, 0 if it did not help.
 */
static int flip_key(struct flips *flips, struct worker *worker, bool on)
{
	int i;

	for (i = 1; i <= 100 && !completion_done(&worker->done); i++) {
		if (on)
			static_branch_enable(&flipped_key);
		else
			static_branch_disable(&flipped_key);
		if (moves_on(on ? &flips->on : &flips->off, worker, HZ / 5 + 1))
			return i;
		/* So that the next one is a change */
		if (on)
			static_branch_disable(&flipped_key);
		else
			static_branch_enable(&flipped_key);
	}

	return 0;
}

/*
 * A real static key, flipped by one CPU while a target runs the branch on another:
 * it follows each change, and is not stopped. Where the emulator has lost the write
 * that takes the breakpoint away, see poke_byte(), retries do not help and the
 * target is stopped. Begin again, but not often.
 */
static void static_key_can_be_flipped_during_a_stay(struct kunit *test)
{
	const int rounds = 200, max_restarts = rounds / 4;
	struct flips *flips = kunit_kzalloc(test, PAGE_SIZE, GFP_KERNEL);
	struct worker worker = {
		.fn	= watch_static_key_thread,
		.data	= flips,
		.cpu	= disturbed_cpu(),
	};
	int i, on, off = 0, missed = 0, restarts = 0;

	skip_if_undisturbed(test);
	if (!IS_ENABLED(CONFIG_JUMP_LABEL))
		kunit_skip(test, "static keys are variables in this configuration");
	KUNIT_ASSERT_NOT_NULL(test, flips);
	pin_test(test, true);
	KUNIT_EXPECT_EQ(test, worker_start(&worker), 0);
	KUNIT_EXPECT_TRUE(test, wait_for_target(&flips->shared, &worker));
	for (i = 0; i < rounds && worker.task; i++) {
		on = flip_key(flips, &worker, true);
		if (on)
			off = flip_key(flips, &worker, false);
		if (on && off) {
			missed += on + off - 2;
			continue;
		}

		/* SBM_CAUSE_PROTECTION is what it ends with, see above */
		static_branch_disable(&flipped_key);
		if (!completion_done(&worker.done) ||
		    worker_finish(&worker) != -SBM_CAUSE_PROTECTION ||
		    !boot_cpu_has(X86_FEATURE_HYPERVISOR) ||
		    ++restarts > max_restarts)
			break;
		WRITE_ONCE(flips->shared.started, 0);
		KUNIT_EXPECT_EQ(test, worker_start(&worker), 0);
		KUNIT_EXPECT_TRUE(test, wait_for_target(&flips->shared, &worker));
	}
	KUNIT_EXPECT_EQ(test, i, rounds);
	if (!boot_cpu_has(X86_FEATURE_HYPERVISOR))
		KUNIT_EXPECT_EQ(test, missed, 0);
	WRITE_ONCE(flips->shared.stop, 1);
	KUNIT_EXPECT_EQ(test, worker_finish(&worker), 0);
	pin_test(test, false);
	KUNIT_EXPECT_GT(test, flips->shared.count, 1000);
	KUNIT_EXPECT_LE(test, flips->shared.count, flips->on + flips->off);
	if (missed || restarts)
		kunit_info(test, "the emulator missed %d writes to code, the target was started again %d times\n",
			   missed, restarts);
	expect_next_call_works(test);
}

#ifdef CONFIG_HAVE_HW_BREAKPOINT

/* Read SS from memory that a breakpoint watches: what it raises is held back */
#define MOV_SS_FROM_MEMORY						\
	"movq $" __stringify(__USER_DS) ", (%rsi)\n"			\
	"xor %eax, %eax\n"						\
	"mov (%rsi), %ss\n"

DEFINE_ATTACK(watched_ss_syscall, MOV_SS_FROM_MEMORY "1: syscall");
DEFINE_ATTACK(watched_ss_sysenter, MOV_SS_FROM_MEMORY "1: sysenter");
DEFINE_ATTACK(watched_ss_int3, MOV_SS_FROM_MEMORY "1: int3");
DEFINE_ATTACK(watched_ss_int80, MOV_SS_FROM_MEMORY "1: int $0x80");
DEFINE_ATTACK(watched_ss_ud2, MOV_SS_FROM_MEMORY "1: ud2");
DEFINE_ATTACK(watched_ss_return,
	      MOV_SS_FROM_MEMORY "1: int $" __stringify(RETURN_VECTOR));

/*
 * A breakpoint of the kernel's on the target's stack. The debug exception would be
 * taken after the next instruction, that is in ring 0; but it does not hit inside.
 */
static void held_back_debug_exceptions_do_not_arrive(struct kunit *test)
{
	const struct {
		sbm_func	func;
		enum sbm_cause	cause;
		long		vector;
	} attacks[] = {
		{ attack_watched_ss_syscall, SBM_CAUSE_SYSCALL, ANY },
		{ attack_watched_ss_sysenter },
		{ attack_watched_ss_int3, SBM_CAUSE_PROBE, X86_TRAP_GP },
		{ attack_watched_ss_int80, SBM_CAUSE_PROTECTION, X86_TRAP_GP },
		{ attack_watched_ss_ud2, SBM_CAUSE_ILLEGAL_INSN, X86_TRAP_UD },
		{ attack_watched_ss_return, SBM_CAUSE_NONE },
	};
	struct perf_event * __percpu *bp;
	struct attack_args args;
	struct arena *a;
	int i;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	for (i = 0; i < ARRAY_SIZE(attacks); i++) {
		struct want want = {
			.causes		= BIT(attacks[i].cause),
			.vector		= attacks[i].vector,
			.error_code	= ANY,
			.ip		= insn_of(attacks[i].func),
		};

		if (attacks[i].func == attack_watched_ss_sysenter) {
			want_sysenter(&want);
			if (want.ip != ANY)
				want.ip = insn_of(attacks[i].func);
		}
		a = open_arena(test);
		init_args(&args, a->layout.stack_low, 0);
		bp = set_breakpoint(a->layout.stack_low, HW_BREAKPOINT_LEN_8,
				    HW_BREAKPOINT_RW);
		KUNIT_EXPECT_FALSE(test, IS_ERR((void __force *)bp));
		if (!IS_ERR((void __force *)bp)) {
			if (want.causes == BIT(SBM_CAUSE_NONE))
				expect_return(test, a, attacks[i].func, &args,
					      "MOV SS");
			else
				expect_stop(test, a, attacks[i].func, &args,
					    &want, "MOV SS");
			unregister_wide_hw_breakpoint(bp);
		}
		KUNIT_EXPECT_EQ(test, atomic_read(&breakpoint_hits), 0);
		close_arena(test, a);
	}
	expect_next_call_works(test);
}

#else

static void held_back_debug_exceptions_do_not_arrive(struct kunit *test)
{
	kunit_skip(test, "no hardware breakpoints");
}

#endif

/* Slow, so that an NMI that follows is likely to find it running */
static void count_ipi_slowly(void *info)
{
	ndelay(15 * NSEC_PER_USEC);
	atomic_inc(info);
}

/* NMIs that arrive while an interrupt of a stay is forwarded, at all times of it */
static void nmis_arrive_while_interrupts_are_forwarded(struct kunit *test)
{
	const int rounds = 500;
	struct stay stay = {
		.worker = {
			.fn	= stay_thread,
			.data	= &stay,
			.cpu	= disturbed_cpu(),
		},
		.func	= stay_and_check_regs,
		.test	= test,
	};
	unsigned long timeout = jiffies + SBM_TEST_PATIENCE;
	atomic_t ipis = ATOMIC_INIT(0);
	call_single_data_t csd;
	int i, lost = 0;

	skip_if_undisturbed(test);
	INIT_CSD(&csd, count_ipi_slowly, &ipis);
	stay.shared = alloc_shared(test);
	pin_test(test, true);
	KUNIT_EXPECT_EQ(test, start_eating_nmis(stay.worker.cpu), 0);
	KUNIT_EXPECT_EQ(test, worker_start(&stay.worker), 0);
	if (stay.worker.task) {
		KUNIT_EXPECT_TRUE(test, wait_for_target(stay.shared,
							&stay.worker));
		for (i = 0; i < rounds && !lost; i++) {
			lost += smp_call_function_single_async(stay.worker.cpu,
							       &csd) != 0;
			ndelay(i * 211 % 40009);
			lost += !nmi_arrives(stay.worker.cpu);
			while (atomic_read(&ipis) <= i &&
			       time_before(jiffies, timeout))
				cpu_relax();
		}
		KUNIT_EXPECT_EQ(test, lost, 0);
		KUNIT_EXPECT_EQ(test, atomic_read(&ipis), rounds);
		KUNIT_EXPECT_TRUE(test, moves_on(&stay.shared->count,
						 &stay.worker,
						 SBM_TEST_PATIENCE));
	}
	WRITE_ONCE(stay.shared->stop, 1);
	KUNIT_EXPECT_EQ(test, worker_finish(&stay.worker), 0);
	stop_eating_nmis(test);
	KUNIT_EXPECT_EQ(test, atomic_read(&nmi_count), rounds);
	pin_test(test, false);
	expect_next_call_works(test);
}

/* === The whole address space === */

static noinline __naked int sweep_read(void *addr)
{
	asm volatile("movzbl (%rdi), %eax\n\t"
		     "xor %eax, %eax\n\t"
		     ASM_RET);
}

static noinline __naked int load_byte(void *addr)
{
	asm volatile("movzbl (%rdi), %eax\n\t"
		     ASM_RET);
}

static noinline __naked int sweep_write(void *addr)
{
	asm volatile("movb $0x5a, (%rdi)\n\t"
		     "xor %eax, %eax\n\t"
		     ASM_RET);
}

static noinline __naked int sweep_execute(void *addr)
{
	asm volatile("push %rdi\n\t"
		     ASM_RET);
}

/* What the compiler puts before the first instruction */
#define SWEEP_INSN	(IS_ENABLED(CONFIG_X86_KERNEL_IBT) ? 4 : 0)

STACK_FRAME_NON_STANDARD(sweep_read);
STACK_FRAME_NON_STANDARD(load_byte);
STACK_FRAME_NON_STANDARD(sweep_write);
STACK_FRAME_NON_STANDARD(sweep_execute);

/**
 * struct sweep - many touches, each compared with the tables
 * @test:    The test.
 * @sbm:     The instance in use; a stop needs a new one.
 * @stops:   Touches that were stopped.
 * @allowed: Touches that were not.
 * @wrong:   Touches that ended in another way than the tables say.
 */
struct sweep {
	struct kunit	*test;
	struct sbm	sbm;
	unsigned long	stops;
	unsigned long	allowed;
	unsigned long	wrong;
};

static void sweep_touch(struct sweep *s, unsigned long addr, sbm_func func,
			unsigned long error)
{
	bool canonical = (long)(addr << (63 - __VIRTUAL_MASK_SHIFT)) >>
			 (63 - __VIRTUAL_MASK_SHIFT) == (long)addr;
	const struct sbm_fault *fault;
	bool mapped, allowed;
	u64 rights = 0, pfn;
	int ret;

	mapped = canonical && x86_sbm_test_lookup(&s->sbm, addr, &rights, &pfn);
	allowed = mapped && (rights & _PAGE_USER) &&
		  (!(error & X86_PF_WRITE) || (rights & _PAGE_RW)) &&
		  (!(error & X86_PF_INSTR) || !(rights & _PAGE_NX));
	/* Running what may be run is another test */
	if (allowed && func == sweep_execute)
		return;

	ret = sbm_exec(&s->sbm, func, (void *)addr);
	if (allowed) {
		s->allowed++;
		if (!ret && !sbm_error(&s->sbm))
			return;
	} else {
		s->stops++;
		fault = sbm_fault(&s->sbm);
		if (mapped)
			error |= X86_PF_PROT;
		if (ret == -EFAULT && fault && canonical &&
		    fault->cause == SBM_CAUSE_PAGE_FAULT &&
		    fault->vector == X86_TRAP_PF &&
		    fault->error_code == error && fault->address == addr &&
		    fault->ip == (func == sweep_execute ? addr :
				  (unsigned long)func + SWEEP_INSN))
			ret = 0;
		if (ret == -EFAULT && fault && !canonical &&
		    fault->cause == SBM_CAUSE_PROTECTION)
			ret = 0;
	}
	if (ret && s->wrong++ < 10) {
		fault = sbm_fault(&s->sbm);
		KUNIT_FAIL(s->test, "%lx: error code %lx expected, %d returned",
			   addr, error, ret);
		if (fault)
			kunit_info(s->test, "cause %d, vector %u, error code %lx, address %lx, ip %lx\n",
				   fault->cause, fault->vector, fault->error_code,
				   fault->address, fault->ip);
	}
	sbm_destroy(&s->sbm);
	if (sbm_init(&s->sbm))
		KUNIT_FAIL(s->test, "no new instance");
}

static void sweep_address(struct sweep *s, unsigned long addr)
{
	sweep_touch(s, addr, sweep_read, PF_READ);
	sweep_touch(s, addr, sweep_write, PF_WROTE);
	sweep_touch(s, addr, sweep_execute, PF_EXEC);
	cond_resched();
}

#define SWEEP_BORDER	64

/* The pages before and behind a border of what is mapped */
static void sweep_border(struct sweep *s, unsigned long border)
{
	long i;

	for (i = -SWEEP_BORDER; i < SWEEP_BORDER; i++)
		sweep_address(s, (border & PAGE_MASK) + i * PAGE_SIZE + 8);
}

static void sweep_begin(struct kunit *test, struct sweep *s)
{
	*s = (struct sweep) { .test = test, };
	init_at_least(test, &s->sbm, SBM_ISOLATION_STRONG);
}

static void sweep_end(struct sweep *s, unsigned long min_stops,
		      unsigned long min_allowed)
{
	struct kunit *test = s->test;

	sbm_destroy(&s->sbm);
	kunit_info(test, "%lu touches stopped, %lu allowed\n", s->stops,
		   s->allowed);
	KUNIT_EXPECT_EQ(test, s->wrong, 0);
	KUNIT_EXPECT_GE(test, s->stops, min_stops);
	KUNIT_EXPECT_GE(test, s->allowed, min_allowed);
	expect_next_call_works(test);
}

/* One page in each part that the top-level table has, and some more */
static void whole_address_space_is_as_the_tables_say(struct kunit *test)
{
	unsigned int shift = pgtable_l5_enabled() ? PGDIR_SHIFT : P4D_SHIFT;
	struct cpu_state before;
	unsigned long addr, i;
	struct sweep s;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	sweep_begin(test, &s);
	read_cpu_state(&before);
	for (i = 0; i < TABLE_ENTRIES; i++)
		sweep_address(&s, sign_extend64(i << shift, shift +
						TABLE_SHIFT - 1) + 8);
	/* With 5 levels, all of the kernel but the window shares an entry */
	if (pgtable_l5_enabled()) {
		for (i = 0; i < TABLE_ENTRIES; i++)
			sweep_address(&s, (-1UL << PGDIR_SHIFT) +
					  (i << P4D_SHIFT) + 8);
	}
	/* Kernel image, modules and fixmap */
	for (addr = __START_KERNEL_map; addr; addr += PMD_SIZE)
		sweep_address(&s, addr + 8);
	/* Not canonical */
	for (i = 0; i < 8; i++)
		sweep_address(&s, NON_CANONICAL + (i << 58));
	expect_same_cpu_state(test, &before);
	sweep_end(&s, 3 * 1024, 1);
}

/* Each page around each end of what is mapped, or is left out */
static void borders_are_where_the_tables_say(struct kunit *test)
{
	struct cpu_state before;
	struct x86_sbm_layout l;
	struct sweep s;
	int i;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	sweep_begin(test, &s);
	KUNIT_EXPECT_TRUE(test, x86_sbm_test_layout(&s.sbm, &l));
	read_cpu_state(&before);
	{
		const unsigned long borders[] = {
			(unsigned long)_stext,
			PAGE_ALIGN((unsigned long)_etext),
			(unsigned long)__sbm_entry_start,
			(unsigned long)__sbm_entry_end,
			(unsigned long)__sbm_switch_start,
			(unsigned long)__sbm_tracer_start,
			(unsigned long)__start_rodata,
			(unsigned long)__start_ro_after_init,
			(unsigned long)__end_ro_after_init,
			PAGE_ALIGN((unsigned long)__end_rodata),
			l.window_start + SWEEP_BORDER * PAGE_SIZE,
			l.window_end,
			l.gate_idt,
			l.gate_nmi,
			CPU_ENTRY_AREA_BASE,
			(unsigned long)get_cpu_entry_area(0),
			(unsigned long)get_cpu_entry_area(0) +
				CPU_ENTRY_AREA_SIZE,
			MODULES_VADDR,
			FIXADDR_TOP,
		};

		for (i = 0; i < ARRAY_SIZE(borders); i++)
			sweep_border(&s, borders[i]);
	}
	expect_same_cpu_state(test, &before);
	sweep_end(&s, 2000, 100);
}

/* === Other instances, before, after and between === */

static void go_to_cpu(struct kunit *test, unsigned int nr)
{
	unsigned int cpu = cpumask_first(cpu_online_mask);

	if (nr)
		cpu = disturbed_cpu();
	KUNIT_EXPECT_EQ(test, 0, set_cpus_allowed_ptr(current, cpumask_of(cpu)));
}

static SBM_DEFINE_FUNC(store_at, unsigned long *, addr, unsigned long, value)
{
	WRITE_ONCE(*addr, value);

	return 0;
}

static SBM_DEFINE_FUNC(load_at, const unsigned long *, addr, unsigned long, value)
{
	return READ_ONCE(*addr) == value ? 1 : 2;
}

static void expect_fault_at(struct kunit *test, const struct sbm *sbm,
			    const void *addr, unsigned long error)
{
	const struct sbm_fault *fault = sbm_fault(sbm);

	KUNIT_EXPECT_NOT_NULL(test, fault);
	if (!fault)
		return;
	KUNIT_EXPECT_EQ(test, fault->cause, SBM_CAUSE_PAGE_FAULT);
	KUNIT_EXPECT_EQ(test, fault->error_code, error);
	KUNIT_EXPECT_EQ(test, fault->address, (unsigned long)addr);
}

/*
 * The same address in one instance after the other, with ever less rights, on the
 * same CPU and on another one: what counts is what the instance has now.
 */
static void no_right_outlives_its_instance(struct kunit *test)
{
	unsigned long *page = kunit_kzalloc(test, PAGE_SIZE, GFP_KERNEL);
	unsigned long *at, *again;
	struct sbm sbm;
	int i;

	skip_if_undisturbed(test);
	KUNIT_ASSERT_NOT_NULL(test, page);
	for (i = 0; i < 40; i++) {
		go_to_cpu(test, 0);
		KUNIT_ASSERT_EQ(test, sbm_init(&sbm), 0);
		at = SBM_MAP_WRITABLE(&sbm, page, PAGE_SIZE);
		KUNIT_EXPECT_EQ(test, 0, sbm_call(&sbm, store_at, at, i + 7));
		KUNIT_EXPECT_EQ(test, 1, sbm_call(&sbm, load_at, at, i + 7));
		KUNIT_EXPECT_EQ(test, page[0], i + 7);
		sbm_destroy(&sbm);

		go_to_cpu(test, i & 1);
		KUNIT_ASSERT_EQ(test, sbm_init(&sbm), 0);
		again = SBM_MAP_READONLY(&sbm, page, PAGE_SIZE);
		KUNIT_EXPECT_PTR_EQ(test, at, again);
		KUNIT_EXPECT_EQ(test, 1, sbm_call(&sbm, load_at, again, i + 7));
		KUNIT_EXPECT_EQ(test, -EFAULT,
				sbm_call(&sbm, store_at, again, 1));
		expect_fault_at(test, &sbm, again, PF_WROTE | PF_PRESENT);
		KUNIT_EXPECT_EQ(test, page[0], i + 7);
		sbm_destroy(&sbm);

		go_to_cpu(test, i & 2);
		KUNIT_ASSERT_EQ(test, sbm_init(&sbm), 0);
		KUNIT_EXPECT_EQ(test, -EFAULT, sbm_call(&sbm, load_at, at, 0));
		expect_fault_at(test, &sbm, at, PF_READ);
		sbm_destroy(&sbm);

		/* Something else is there: not what was there before */
		go_to_cpu(test, 0);
		KUNIT_ASSERT_EQ(test, sbm_init(&sbm), 0);
		again = SBM_COPY_OUT(&sbm, page + 8, 8 * sizeof(*page));
		KUNIT_EXPECT_PTR_EQ(test, at, again);
		KUNIT_EXPECT_EQ(test, 1, sbm_call(&sbm, load_at, again, 0));
		sbm_destroy(&sbm);
	}
	KUNIT_EXPECT_EQ(test, 0, set_cpus_allowed_ptr(current,
						      cpu_possible_mask));
	expect_next_call_works(test);
}

/* Adds to each word of a buffer that has only one value. 0 if it still has. */
static SBM_DEFINE_FUNC(advance, unsigned long *, words, unsigned int, nr,
		       unsigned long, before)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		if (READ_ONCE(words[i]) != before)
			return 1 + i;
		WRITE_ONCE(words[i], before + 1);
	}

	return 0;
}

/* Two live instances share addresses, but never see each other's data */
static void instances_alternate_and_migrate(struct kunit *test)
{
	const unsigned int nr = 16;
	unsigned long base[2] = { 0x1111000000000000UL, 0x2222000000000000UL };
	unsigned long *buf[2], *at[2];
	int i, k, ret = 0;
	struct sbm sbm[2];

	skip_if_undisturbed(test);
	for (k = 0; k < 2; k++) {
		buf[k] = kunit_kzalloc(test, PAGE_SIZE, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, buf[k]);
		for (i = 0; i < nr; i++)
			buf[k][i] = base[k];
		KUNIT_EXPECT_EQ(test, sbm_init(&sbm[k]), 0);
		at[k] = SBM_MAP_WRITABLE(&sbm[k], buf[k], PAGE_SIZE);
	}
	KUNIT_EXPECT_PTR_EQ(test, at[0], at[1]);

	for (i = 0; i < 1000 && !ret; i++) {
		/* One, or both, go to the other CPU */
		if (i % 5 == 0)
			go_to_cpu(test, i / 5 & 1);
		ret = sbm_call(&sbm[0], advance, at[0], nr, base[0] + i);
		if (i % 3 == 0)
			go_to_cpu(test, i / 3 & 1);
		if (!ret)
			ret = sbm_call(&sbm[1], advance, at[1], nr, base[1] + i);
	}
	KUNIT_EXPECT_EQ_MSG(test, ret, 0, "round %d", i);
	KUNIT_EXPECT_EQ(test, 0, set_cpus_allowed_ptr(current,
						      cpu_possible_mask));
	for (k = 0; k < 2; k++) {
		KUNIT_EXPECT_EQ(test, sbm_error(&sbm[k]), 0);
		for (i = 0; i < nr; i++)
			KUNIT_EXPECT_EQ(test, buf[k][i], base[k] + 1000);
		sbm_destroy(&sbm[k]);
	}
}

static SBM_DEFINE_FUNC(enter_another, struct sbm *, sbm)
{
	return sbm_exec(sbm, add_one, NULL);
}

/* A target cannot use the API, whatever it is given; its caller can */
static void targets_cannot_enter_a_sandbox(struct kunit *test)
{
	struct cpu_state before;
	struct sbm outer, inner;
	struct sbm *inside;
	int value = 41;
	int i;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	KUNIT_ASSERT_EQ(test, sbm_init(&inner), 0);
	for (i = 0; i < 2; i++) {
		KUNIT_EXPECT_EQ(test, sbm_init(&outer), 0);
		/* The kernel's object, or a copy of it */
		inside = i ? SBM_COPY_INOUT(&outer, &inner, sizeof(inner)) :
			     &inner;
		read_cpu_state(&before);
		KUNIT_EXPECT_EQ(test, -EFAULT,
				sbm_call(&outer, enter_another, inside));
		expect_same_cpu_state(test, &before);
		KUNIT_EXPECT_NOT_NULL(test, sbm_fault(&outer));

		/* The stopped one is still there */
		KUNIT_EXPECT_EQ(test, sbm_error(&inner), 0);
		KUNIT_EXPECT_EQ(test, 42,
				sbm_exec(&inner, add_one,
					 SBM_COPY_IN(&inner, &value,
						     sizeof(value))));
		sbm_destroy(&outer);
	}
	sbm_destroy(&inner);
}

/* === What code of the kernel does inside === */

static int use_preempt_count(void *data)
{
	preempt_disable();
	barrier();
	preempt_enable();

	return !preempt_count();
}

static int use_irqs_disabled(void *data)
{
	return irqs_disabled();
}

static int use_cond_resched(void *data)
{
	return cond_resched();
}

static int use_might_sleep(void *data)
{
	might_sleep();

	return 0;
}

static int use_spinlock(void *data)
{
	spinlock_t *lock = data;

	spin_lock(lock);
	spin_unlock(lock);

	return 0;
}

static int use_warn_on(void *data)
{
	WARN_ON_ONCE(data);

	return 0;
}

static int use_bug(void *data)
{
	BUG_ON(data);

	return 0;
}

static int use_local_irq_disable(void *data)
{
	local_irq_disable();
	local_irq_enable();

	return 0;
}

static int use_user_access(void *data)
{
	stac();
	clac();

	return 0;
}

static int use_printk(void *data)
{
	pr_info("sbm-test: a target must not be able to print\n");

	return 0;
}

static int use_kmalloc(void *data)
{
	void *p = kmalloc(64, GFP_ATOMIC);

	OPTIMIZER_HIDE_VAR(p);
	kfree(p);

	return 0;
}

static int use_schedule(void *data)
{
	schedule();

	return 0;
}

struct kernel_macro {
	const char	*name;
	sbm_func	func;
	/* 0: works */
	unsigned long	causes;
	/* The configuration makes it do more */
	bool		unsure;
};

static const struct kernel_macro kernel_macros[] = {
	{ "preempt_disable", use_preempt_count },
	{ "irqs_disabled", use_irqs_disabled },
	{ "cond_resched", use_cond_resched, 0,
	  IS_ENABLED(CONFIG_DEBUG_ATOMIC_SLEEP) || !IS_ENABLED(CONFIG_PREEMPT_RCU) },
	{ "might_sleep", use_might_sleep, 0,
	  IS_ENABLED(CONFIG_DEBUG_ATOMIC_SLEEP) || !IS_ENABLED(CONFIG_PREEMPT_RCU) },
	{ "spin_lock", use_spinlock, 0,
	  IS_ENABLED(CONFIG_LOCKDEP) || IS_ENABLED(CONFIG_DEBUG_SPINLOCK) ||
	  IS_ENABLED(CONFIG_PREEMPT_RT) },
	/* WARN_ON_ONCE() and printk() write to data of the kernel first, or trap */
	{ "WARN_ON_ONCE", use_warn_on, BIT(SBM_CAUSE_ILLEGAL_INSN) },
	{ "BUG_ON", use_bug, BIT(SBM_CAUSE_ILLEGAL_INSN) },
	{ "local_irq_disable", use_local_irq_disable,
	  BIT(SBM_CAUSE_PROTECTION) | BIT(SBM_CAUSE_PAGE_FAULT) },
	{ "stac", use_user_access, BIT(SBM_CAUSE_ILLEGAL_INSN) },
	{ "printk", use_printk, BIT(SBM_CAUSE_PAGE_FAULT) },
	{ "kmalloc", use_kmalloc, BIT(SBM_CAUSE_PAGE_FAULT) },
	{ "schedule", use_schedule,
	  BIT(SBM_CAUSE_PAGE_FAULT) | BIT(SBM_CAUSE_PROTECTION) },
};

KUNIT_ARRAY_PARAM_DESC(kernel_macro, kernel_macros, name);

/* Documentation/sandbox/limitations.rst has the list: what works, what is a stop */
static void kernel_macro_ends_as_documented(struct kunit *test)
{
	const struct kernel_macro *macro = test->param_value;
	const struct sbm_fault *fault;
	struct cpu_state before;
	spinlock_t lock;	/* The target gets a copy of it */
	struct sbm sbm;
	int ret;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	spin_lock_init(&lock);
	KUNIT_ASSERT_EQ(test, sbm_init(&sbm), 0);
	read_cpu_state(&before);
	ret = sbm_exec(&sbm, macro->func,
		       SBM_COPY_INOUT(&sbm, &lock, sizeof(lock)));
	expect_same_cpu_state(test, &before);
	fault = sbm_fault(&sbm);
	if (macro->unsure && ret) {
		KUNIT_EXPECT_EQ(test, ret, -EFAULT);
		KUNIT_EXPECT_NOT_NULL(test, fault);
	} else if (!macro->causes) {
		KUNIT_EXPECT_EQ(test, ret, 0);
		KUNIT_EXPECT_EQ(test, sbm_error(&sbm), 0);
	} else {
		KUNIT_EXPECT_EQ(test, ret, -EFAULT);
		KUNIT_EXPECT_TRUE_MSG(test, fault &&
				      (macro->causes & BIT(fault->cause)),
				      "cause %d", fault ? fault->cause : 0);
	}
	sbm_destroy(&sbm);
	expect_next_call_works(test);
}

/* === KASAN === */

static void shadow_tells_nothing(struct kunit *test)
{
	struct sbm sbm;
	unsigned long shadow;
	char *object;

	if (!IS_ENABLED(CONFIG_KASAN))
		kunit_skip(test, "no KASAN in this kernel");
	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	object = kunit_kzalloc(test, 24, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, object);

	/* The kernel knows where it ends, a target does not */
	shadow = shadow_of((unsigned long)object + 24);
	KUNIT_EXPECT_NE(test, load_byte((void *)shadow), 0);
	init_at_least(test, &sbm, SBM_ISOLATION_STRONG);
	KUNIT_EXPECT_EQ(test, sbm_exec(&sbm, load_byte, (void *)shadow), 0);
	KUNIT_EXPECT_EQ(test, sbm_error(&sbm), 0);
	KUNIT_EXPECT_EQ(test, sbm_exec(&sbm, sweep_write, (void *)shadow), -EFAULT);
	expect_fault_at(test, &sbm, (void *)shadow, PF_WROTE | PF_PRESENT);
	sbm_destroy(&sbm);
	expect_next_call_works(test);
}

#define OVERRUN_SIZE	40

/* What KASAN finds is a variable on the stack that ends before @data */
static noinline int overrun_variable(void *data)
{
	char variable[OVERRUN_SIZE];
	unsigned long index = (unsigned long)data;
	char *p = variable;

	OPTIMIZER_HIDE_VAR(p);
	WRITE_ONCE(p[index], 1);

	return READ_ONCE(p[index]);
}

/* The shadow of the stack is the one that is not the same for all */
static void overruns_on_the_stack_are_found(struct kunit *test)
{
	const char *text, *trace, *finding;
	const struct sbm_fault *fault;
	struct sbm sbm;

	if (!IS_ENABLED(CONFIG_KASAN_STACK))
		kunit_skip(test, "no KASAN for stacks in this kernel");
	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	init_at_least(test, &sbm, SBM_ISOLATION_STRONG);

	KUNIT_EXPECT_EQ(test, sbm_exec(&sbm, overrun_variable, (void *)(OVERRUN_SIZE - 1L)), 1);
	capture_begin(test);
	KUNIT_EXPECT_EQ(test, sbm_exec(&sbm, overrun_variable, (void *)(long)OVERRUN_SIZE),
			-EFAULT);
	capture_end(test);
	/* KASAN wants to print; the way to there begins at the bug */
	text = ((struct capture *)test->priv)->text;
	trace = strstr(text, "\n  backtrace in the sandbox:\n");
	finding = trace ? strstr(trace, "kasan") : NULL;
	KUNIT_EXPECT_NOT_NULL_MSG(test, finding, "no KASAN in\n%s", text);
	if (finding && IS_ENABLED(CONFIG_UNWINDER_ORC))
		KUNIT_EXPECT_NOT_NULL_MSG(test, strstr(finding, "\n    overrun_variable+0x"),
					  "not from the bug in\n%s", text);
	fault = sbm_fault(&sbm);
	KUNIT_EXPECT_NOT_NULL(test, fault);
	if (fault)
		KUNIT_EXPECT_TRUE(test, fault->cause == SBM_CAUSE_PAGE_FAULT ||
				  fault->cause == SBM_CAUSE_ILLEGAL_INSN);

	/* What the target has left in the shadow is gone with it */
	KUNIT_EXPECT_EQ(test, sbm_reset(&sbm), 0);
	KUNIT_EXPECT_EQ(test, sbm_exec(&sbm, overrun_variable, (void *)(OVERRUN_SIZE - 1L)), 1);
	KUNIT_EXPECT_EQ(test, sbm_error(&sbm), 0);
	sbm_destroy(&sbm);
	expect_next_call_works(test);
}

static int sbm_x86_suite_init(struct kunit_suite *suite)
{
	switch (boot_cpu_data.x86_vendor) {
	case X86_VENDOR_INTEL:
		pr_info("sbm-test: runs on an Intel processor\n");
		break;
	case X86_VENDOR_AMD:
		pr_info("sbm-test: runs on an AMD processor\n");
		break;
	default:
		pr_info("sbm-test: runs on another vendor's processor\n");
	}

	return 0;
}

static struct kunit_case sbm_x86_cases[] = {
	KUNIT_CASE_PARAM(memory_is_out_of_reach, aim_gen_params),
	KUNIT_CASE_PARAM(instruction_is_stopped, insn_gen_params),
	KUNIT_CASE(sysenter_is_stopped),
	KUNIT_CASE(sysenter_with_trap_flag_is_stopped),
	KUNIT_CASE(all_software_interrupts_are_stopped),
	KUNIT_CASE(return_gate_only_returns),
	KUNIT_CASE(hostcall_gate_only_asks),
	KUNIT_CASE(stack_overflow_is_stopped),
	KUNIT_CASE(stack_underflow_is_stopped),
	KUNIT_CASE_PARAM(stack_pointer_does_not_matter, aim_gen_params),
	KUNIT_CASE(non_canonical_stack_is_stopped),
	KUNIT_CASE_PARAM(permitted_instruction_has_no_effect_outside,
			 permitted_gen_params),
	KUNIT_CASE(alignment_checks_stay_inside),
	KUNIT_CASE(change_to_32_bit_mode_is_stopped),
	KUNIT_CASE(warning_of_a_target_is_a_stop),
	KUNIT_CASE(registers_hold_nothing_of_the_kernel),
	KUNIT_CASE(canary_is_not_the_kernels),
	KUNIT_CASE(current_is_a_dummy),
	KUNIT_CASE(per_cpu_data_is_out_of_reach_through_gs),
	KUNIT_CASE(text_and_constants_are_readable),
	KUNIT_CASE(other_sandboxes_are_out_of_reach),
	KUNIT_CASE(new_sandboxes_find_no_old_data),
	KUNIT_CASE(tables_map_nothing_else_for_ring_3),
	KUNIT_CASE(entry_code_is_where_it_must_be),
	KUNIT_CASE(instance_needs_few_tables),
	KUNIT_CASE(indirect_calls_work),
	KUNIT_CASE(its_thunks_are_inside),
	KUNIT_CASE(kernel_text_has_no_global_mapping),
	KUNIT_CASE(pcids_hold_nothing_stale),
	KUNIT_CASE(dump_shows_what_is_promised),
	KUNIT_CASE(dump_shows_forbidden_mappings),
	KUNIT_CASE(dump_checker_looks_at_everything),
	KUNIT_CASE(dump_says_that_isolation_is_weak),
	KUNIT_CASE(dump_can_be_read_at_any_time),
	KUNIT_CASE(registers_survive_events),
	KUNIT_CASE_PARAM(events_ignore_hostile_registers, hostile_gen_params),
	KUNIT_CASE(handlers_find_the_kernels_world),
	KUNIT_CASE(calls_survive_a_storm_of_nmis),
	KUNIT_CASE(hostcalls_survive_a_storm_of_nmis),
	KUNIT_CASE(stops_survive_a_storm_of_nmis),
	KUNIT_CASE_SLOW(nmis_are_neither_lost_nor_doubled),
	KUNIT_CASE_SLOW(machine_checks_end_calls),
	KUNIT_CASE_SLOW(text_can_be_patched_during_a_stay),
	KUNIT_CASE(cpu_can_be_unplugged_during_a_stay),
	KUNIT_CASE(kernel_breakpoints_do_not_hit_inside),
	KUNIT_CASE(kernel_breakpoints_in_text_do_not_hit_inside),
	KUNIT_CASE(kernel_can_use_the_fpu_afterwards),
	KUNIT_CASE_PARAM(no_state_survives_any_way_out, prepared_gen_params),
	KUNIT_CASE(no_32_bit_code_runs),
	KUNIT_CASE(segments_of_the_thread_are_not_inside),
	KUNIT_CASE(ldt_is_out_of_reach),
	KUNIT_CASE(stack_selector_is_the_kernels_afterwards),
	KUNIT_CASE(branch_barrier_parts_instances),
	KUNIT_CASE(lost_interrupts_are_found),
	KUNIT_CASE(traced_tasks_call_nothing),
	KUNIT_CASE(tracing_ends_a_call),
	KUNIT_CASE(syscall_msrs_of_a_guest_are_not_used),
	KUNIT_CASE(traps_of_the_kernel_are_not_taken),
	KUNIT_CASE(breakpoint_in_text_is_a_stop),
	KUNIT_CASE(jump_to_a_trampoline_is_a_stop),
	KUNIT_CASE_SLOW(static_key_can_be_flipped_during_a_stay),
	KUNIT_CASE(held_back_debug_exceptions_do_not_arrive),
	KUNIT_CASE(nmis_arrive_while_interrupts_are_forwarded),
	KUNIT_CASE_SLOW(whole_address_space_is_as_the_tables_say),
	KUNIT_CASE_SLOW(borders_are_where_the_tables_say),
	KUNIT_CASE(no_right_outlives_its_instance),
	KUNIT_CASE(instances_alternate_and_migrate),
	KUNIT_CASE(targets_cannot_enter_a_sandbox),
	KUNIT_CASE(shadow_tells_nothing),
	KUNIT_CASE(overruns_on_the_stack_are_found),
	KUNIT_CASE_PARAM(kernel_macro_ends_as_documented, kernel_macro_gen_params),
	{}
};

static struct kunit_suite sbm_x86_suite = {
	.name		= "sbm_x86",
	.suite_init	= sbm_x86_suite_init,
	.test_cases	= sbm_x86_cases,
};

kunit_test_suite(sbm_x86_suite);

MODULE_DESCRIPTION("KUnit suite for sandbox mode on x86");
MODULE_LICENSE("GPL");
