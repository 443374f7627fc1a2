// SPDX-License-Identifier: GPL-2.0
/*
 * Sandbox mode (SBM) on x86-64: calls for tools/testing/selftests/sbm.
 *
 * KUnit cases run in kernel threads, which have none of the state that a user's
 * task can have. This file lets a program make calls in its own context.
 */
#include <linux/debugfs.h>
#include <linux/fs.h>
#include <linux/init.h>
#include <linux/linkage.h>
#include <linux/mutex.h>
#include <linux/objtool.h>
#include <linux/sbm.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/stringify.h>
#include <linux/uaccess.h>

#include <asm/desc.h>
#include <asm/msr.h>
#include <asm/nospec-branch.h>
#include <asm/sbm.h>
#include <asm/segment.h>

#include "test_task.h"

/* What a target gets the address of */
struct task_args {
	u64			value;
	u64			unused;
	u64			result;
	u64			reserved[5];
	struct sbm_task_seen	seen;
};

static_assert(offsetof(struct task_args, value) == 0);
static_assert(offsetof(struct task_args, result) == 16);
static_assert(offsetof(struct task_args, seen) == 64);
static_assert(offsetof(struct sbm_task_seen, flags) == 120);
static_assert(offsetof(struct sbm_task_seen, cs) == 192);

/*
 * Define a target: it starts with &struct task_args in RDI and its value in RSI,
 * and gives RAX as the result. Label 1 in @body is where the instruction pointer
 * is found when the target is stopped. Called with NULL by the kernel itself, it
 * returns that address (kernel text fits into an int).
 */
#define DEFINE_TARGET(name, body)					\
static noinline __naked int target_##name(void *data)			\
{									\
	asm volatile("test %rdi, %rdi\n\t"				\
		     "jz 9f\n\t"					\
		     "mov (%rdi), %rsi\n\t"				\
		     body "\n\t"					\
		     "mov %rax, 16(%rdi)\n\t"				\
		     "xor %eax, %eax\n\t"				\
		     X86_SBM_TEST_RET					\
		     "9: lea 1b(%rip), %rax\n\t"			\
		     ASM_RET);						\
}									\
STACK_FRAME_NON_STANDARD(target_##name)

/* The whole state at entry, so without the first lines of the others */
static noinline __naked int target_dump(void *data)
{
	asm volatile("test %rdi, %rdi\n\t"
		     "jz 9f\n\t"
		     "1: mov %rax, 64(%rdi)\n\t"
		     "mov %rbx, 72(%rdi)\n\t"
		     "mov %rcx, 80(%rdi)\n\t"
		     "mov %rdx, 88(%rdi)\n\t"
		     "mov %rsi, 96(%rdi)\n\t"
		     "mov %rdi, 104(%rdi)\n\t"
		     "mov %rbp, 112(%rdi)\n\t"
		     "mov %r8, 120(%rdi)\n\t"
		     "mov %r9, 128(%rdi)\n\t"
		     "mov %r10, 136(%rdi)\n\t"
		     "mov %r11, 144(%rdi)\n\t"
		     "mov %r12, 152(%rdi)\n\t"
		     "mov %r13, 160(%rdi)\n\t"
		     "mov %r14, 168(%rdi)\n\t"
		     "mov %r15, 176(%rdi)\n\t"
		     "pushf\n\t"
		     "pop %rax\n\t"
		     "mov %rax, 184(%rdi)\n\t"
		     "mov %rsp, 192(%rdi)\n\t"
		     "rdgsbase %rax\n\t"
		     "mov %rax, 200(%rdi)\n\t"
		     "rdfsbase %rax\n\t"
		     "mov %rax, 208(%rdi)\n\t"
		     "mov %ds, %eax\n\t"
		     "mov %rax, 216(%rdi)\n\t"
		     "mov %es, %eax\n\t"
		     "mov %rax, 224(%rdi)\n\t"
		     "mov %fs, %eax\n\t"
		     "mov %rax, 232(%rdi)\n\t"
		     "mov %gs, %eax\n\t"
		     "mov %rax, 240(%rdi)\n\t"
		     "mov %ss, %eax\n\t"
		     "mov %rax, 248(%rdi)\n\t"
		     "mov %cs, %eax\n\t"
		     "mov %rax, 256(%rdi)\n\t"
		     "xor %eax, %eax\n\t"
		     ASM_RET
		     "9: lea 1b(%rip), %rax\n\t"
		     ASM_RET);
}

STACK_FRAME_NON_STANDARD(target_dump);

DEFINE_TARGET(in, "mov %esi, %edx\n1: in %dx, %al");
DEFINE_TARGET(out, "mov %esi, %edx\nxor %eax, %eax\n1: out %al, %dx");
DEFINE_TARGET(touch, "1: mov (%rsi), %rax");
DEFINE_TARGET(x87, "1: fld1");
DEFINE_TARGET(sse, "1: movaps %xmm0, %xmm1");
DEFINE_TARGET(avx, "1: vmovaps %ymm0, %ymm1");
DEFINE_TARGET(avx512, "1: vmovaps %zmm0, %zmm1");
/* TILEZERO %tmm0 */
DEFINE_TARGET(amx, "1: .byte 0xc4, 0xe2, 0x7b, 0x49, 0xc0");
DEFINE_TARGET(ldmxcsr, "movl $0x7f80, 16(%rdi)\n1: ldmxcsr 16(%rdi)");
DEFINE_TARGET(xsave, "mov $-1, %eax\nmov $-1, %edx\n1: xsave64 64(%rdi)");
DEFINE_TARGET(xrstor, "mov $-1, %eax\nmov $-1, %edx\n1: xrstor64 64(%rdi)");
DEFINE_TARGET(lret,
	      "push %rsi\n"
	      "lea 2f(%rip), %rax\n"
	      "push %rax\n"
	      "1: lretq\n"
	      "2: nop");
DEFINE_TARGET(load_ds, "1: mov %esi, %ds");
DEFINE_TARGET(load_es, "1: mov %esi, %es");
DEFINE_TARGET(load_fs, "1: mov %esi, %fs\nrdfsbase %rax");
DEFINE_TARGET(load_gs, "1: mov %esi, %gs\nrdgsbase %rax");
DEFINE_TARGET(load_ss, "1: mov %esi, %ss");
DEFINE_TARGET(lar, "xor %eax, %eax\n1: lar %esi, %edx\nsete %al");
DEFINE_TARGET(bases, "wrfsbase %rsi\nwrgsbase %rsi\n1: rdfsbase %rax");
DEFINE_TARGET(flags,
	      "pushf\n"
	      "or %rsi, (%rsp)\n"
	      "popf\n"
	      "nop\n"
	      "1: pushf\n"
	      "pop %rax");
DEFINE_TARGET(rdtsc, "1: rdtsc");
DEFINE_TARGET(rdpkru, "xor %ecx, %ecx\n1: rdpkru");
DEFINE_TARGET(wrpkru,
	      "mov %esi, %eax\n"
	      "xor %ecx, %ecx\n"
	      "xor %edx, %edx\n"
	      "1: wrpkru");
/* RDSSPQ %rax, which does nothing without a shadow stack */
DEFINE_TARGET(rdssp, "xor %eax, %eax\n1: .byte 0xf3, 0x48, 0x0f, 0x1e, 0xc8");

/* A debug exception that loading SS triggers waits for one more instruction */
#define LOAD_SS_THEN(insn)						\
	"movl $" __stringify(__USER_DS) ", 16(%rdi)\n"			\
	"mov 16(%rdi), %ss\n"						\
	"1: " insn

DEFINE_TARGET(ss_syscall, LOAD_SS_THEN("syscall"));
DEFINE_TARGET(ss_int80, LOAD_SS_THEN("int $0x80"));
DEFINE_TARGET(ss_int3, LOAD_SS_THEN("int3"));

/* Keeps a number in each register and counts those that have another one */
#define LOSS_IF_NOT(reg, number)					\
	"cmp $" number ", %" reg "\n"					\
	"setne %al\n"							\
	"add %rax, %rcx\n"

DEFINE_TARGET(busy,
	      "mov $0x101, %rbx\n"
	      "mov $0x102, %rdx\n"
	      "mov $0x103, %rbp\n"
	      "mov $0x104, %r8\n"
	      "mov $0x105, %r9\n"
	      "mov $0x106, %r10\n"
	      "mov $0x107, %r11\n"
	      "mov $0x108, %r12\n"
	      "mov $0x109, %r13\n"
	      "mov $0x10a, %r14\n"
	      "mov $0x10b, %r15\n"
	      "1: dec %rsi\n"
	      "jnz 1b\n"
	      "xor %ecx, %ecx\n"
	      "xor %eax, %eax\n"
	      LOSS_IF_NOT("rbx", "0x101")
	      LOSS_IF_NOT("rdx", "0x102")
	      LOSS_IF_NOT("rbp", "0x103")
	      LOSS_IF_NOT("r8", "0x104")
	      LOSS_IF_NOT("r9", "0x105")
	      LOSS_IF_NOT("r10", "0x106")
	      LOSS_IF_NOT("r11", "0x107")
	      LOSS_IF_NOT("r12", "0x108")
	      LOSS_IF_NOT("r13", "0x109")
	      LOSS_IF_NOT("r14", "0x10a")
	      LOSS_IF_NOT("r15", "0x10b")
	      "mov %rcx, %rax");

static const sbm_func targets[] = {
	[SBM_TASK_DUMP]		= target_dump,
	[SBM_TASK_IN]		= target_in,
	[SBM_TASK_OUT]		= target_out,
	[SBM_TASK_TOUCH]	= target_touch,
	[SBM_TASK_X87]		= target_x87,
	[SBM_TASK_SSE]		= target_sse,
	[SBM_TASK_AVX]		= target_avx,
	[SBM_TASK_AVX512]	= target_avx512,
	[SBM_TASK_AMX]		= target_amx,
	[SBM_TASK_LDMXCSR]	= target_ldmxcsr,
	[SBM_TASK_XSAVE]	= target_xsave,
	[SBM_TASK_XRSTOR]	= target_xrstor,
	[SBM_TASK_LRET]		= target_lret,
	[SBM_TASK_LOAD_DS]	= target_load_ds,
	[SBM_TASK_LOAD_ES]	= target_load_es,
	[SBM_TASK_LOAD_FS]	= target_load_fs,
	[SBM_TASK_LOAD_GS]	= target_load_gs,
	[SBM_TASK_LOAD_SS]	= target_load_ss,
	[SBM_TASK_LAR]		= target_lar,
	[SBM_TASK_BASES]	= target_bases,
	[SBM_TASK_FLAGS]	= target_flags,
	[SBM_TASK_RDTSC]	= target_rdtsc,
	[SBM_TASK_RDPKRU]	= target_rdpkru,
	[SBM_TASK_WRPKRU]	= target_wrpkru,
	[SBM_TASK_RDSSP]	= target_rdssp,
	[SBM_TASK_SS_SYSCALL]	= target_ss_syscall,
	[SBM_TASK_SS_INT80]	= target_ss_int80,
	[SBM_TASK_SS_INT3]	= target_ss_int3,
	[SBM_TASK_BUSY]		= target_busy,
};

static_assert(ARRAY_SIZE(targets) == SBM_NR_TASK_TARGETS);

static const u64 task_constant = 0x123456789abcdef0;

/**
 * struct task_file - an open file
 * @lock:   Serializes users of the file. Held during calls that may be frozen as well:
 *	    nobody who is to be frozen waits for it.
 * @value:  Value for the next call.
 * @flags:  Flags of its instance.
 * @report: How the last call ended.
 */
struct task_file {
	struct mutex		lock;	/* For all of it */
	u64			value;
	unsigned int		flags;
	struct sbm_task_report	report;
};

static u64 task_value(const struct task_file *tf)
{
	if (tf->value == SBM_TASK_CONSTANT)
		return (unsigned long)&task_constant;

	return tf->value;
}

/* Does the CPU know that a debugger steps the task by blocks? */
static bool block_step_is_on(void)
{
	u64 debugctl;

	if (!test_thread_flag(TIF_BLOCKSTEP))
		return false;
	rdmsrq(MSR_IA32_DEBUGCTLMSR, debugctl);

	return debugctl & DEBUGCTLMSR_BTF;
}

static long task_call(struct task_file *tf, unsigned long nr)
{
	const struct sbm_attr attr = {
		.min_isolation	= SBM_ISOLATION_STRONG,
		.flags		= tf->flags,
	};
	struct sbm_task_report *report = &tf->report;
	const struct sbm_fault *fault;
	struct x86_sbm_layout layout;
	struct task_args *args;
	u64 switches, migrations;
	struct sbm sbm;
	long err;

	if (nr >= ARRAY_SIZE(targets))
		return -EINVAL;

	args = kzalloc(sizeof(*args), GFP_KERNEL);
	if (!args)
		return -ENOMEM;
	args->value = task_value(tf);

	memset(report, 0, sizeof(*report));
	err = sbm_init_attr(&sbm, &attr);
	if (err)
		goto out;
	if (x86_sbm_test_layout(&sbm, &layout)) {
		report->gs_base = layout.gs_base;
		report->window = layout.window_start;
		report->window_end = layout.window_end;
	}
	report->constant = (unsigned long)&task_constant;
	report->insn = (long)targets[nr](NULL);
	report->args = (unsigned long)SBM_COPY_INOUT(&sbm, args, sizeof(*args));

	switches = current->nvcsw + current->nivcsw;
	migrations = current->se.nr_migrations;
	report->block_step = block_step_is_on();

	report->ret = sbm_exec(&sbm, targets[nr], (void *)report->args);

	report->block_step |= block_step_is_on() << 1;
	report->switches = current->nvcsw + current->nivcsw - switches;
	report->migrations = current->se.nr_migrations - migrations;

	fault = sbm_fault(&sbm);
	if (fault) {
		report->cause = fault->cause;
		report->vector = fault->vector;
		report->error_code = fault->error_code;
		report->ip = fault->ip;
	}
	report->result = args->result;
	report->seen = args->seen;
out:
	sbm_destroy(&sbm);
	kfree(args);

	return err;
}

/* What breakpoints are on must be seen to hit when a sandbox is not in the way */
static void task_plain(void)
{
	struct task_args args = { .value = (unsigned long)&task_constant, };

	target_touch(&args);
}

/* As set_thread_area() does it, which only 32-bit programs can call */
static void task_tls(unsigned long base)
{
	struct desc_struct *tls = &current->thread.tls_array[0];
	const struct user_desc info = {
		.base_addr	= base,
		.limit		= 0xfffff,
		.seg_32bit	= 1,
		.limit_in_pages	= 1,
	};

	preempt_disable();
	memset(tls, 0, sizeof(*tls));
	if (base)
		fill_ldt(tls, &info);
	load_TLS(&current->thread, smp_processor_id());
	preempt_enable();
}

static long task_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct task_file *tf = file->private_data;
	long err = 0;

	if (mutex_lock_interruptible(&tf->lock))
		return -ERESTARTSYS;

	switch (cmd) {
	case SBM_TASK_VALUE:
		tf->value = arg;
		break;
	case SBM_TASK_ATTR:
		tf->flags = arg;
		break;
	case SBM_TASK_CALL:
		err = task_call(tf, arg);
		break;
	case SBM_TASK_REPORT:
		if (copy_to_user((void __user *)arg, &tf->report,
				 sizeof(tf->report)))
			err = -EFAULT;
		break;
	case SBM_TASK_PLAIN:
		task_plain();
		break;
	case SBM_TASK_TLS:
		task_tls(arg);
		break;
	default:
		err = -ENOTTY;
	}
	mutex_unlock(&tf->lock);

	return err;
}

static int task_open(struct inode *inode, struct file *file)
{
	struct task_file *tf = kzalloc(sizeof(*tf), GFP_KERNEL);

	if (!tf)
		return -ENOMEM;
	mutex_init(&tf->lock);
	file->private_data = tf;

	return 0;
}

static int task_release(struct inode *inode, struct file *file)
{
	kfree(file->private_data);

	return 0;
}

static const struct file_operations task_fops = {
	.owner		= THIS_MODULE,
	.open		= task_open,
	.release	= task_release,
	.unlocked_ioctl	= task_ioctl,
	.llseek		= noop_llseek,
};

static int __init task_init(void)
{
	struct dentry *dir = debugfs_create_dir("sbm_test", NULL);

	debugfs_create_file("task", 0600, dir, NULL, &task_fops);

	return 0;
}
late_initcall(task_init);
