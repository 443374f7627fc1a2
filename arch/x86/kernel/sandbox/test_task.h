/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Sandbox mode (SBM) on x86-64: what tools/testing/selftests/sbm and test_task.c
 * tell each other. Not an interface to rely on: it changes with the test.
 */
#ifndef _X86_KERNEL_SANDBOX_TEST_TASK_H
#define _X86_KERNEL_SANDBOX_TEST_TASK_H

#include <linux/ioctl.h>
#include <linux/types.h>

/*
 * Only SBM_TASK_REPORT touches the caller's memory: a call can be made while the
 * caller itself has no access to it.
 */
/* Values for the next calls, %SBM_TASK_CONSTANT for the address of a constant */
#define SBM_TASK_VALUE		_IO('S', 0xd0)
/* Call an enum sbm_task_target; its end is in the report */
#define SBM_TASK_CALL		_IO('S', 0xd1)
/* The end of the last call */
#define SBM_TASK_REPORT		_IOR('S', 0xd2, struct sbm_task_report)
/* The kernel itself does what %SBM_TASK_TOUCH does */
#define SBM_TASK_PLAIN		_IO('S', 0xd3)
/* Give the caller a segment in the GDT, based at the argument; 0 for none */
#define SBM_TASK_TLS		_IO('S', 0xd4)
/* Bit mask of SBM_ATTR_ flags for the next calls */
#define SBM_TASK_ATTR		_IO('S', 0xd5)

#define SBM_TASK_CONSTANT	1

/* What a target does. V is the value, R the result in the report. */
enum sbm_task_target {
	SBM_TASK_DUMP,		/* store the registers */
	SBM_TASK_IN,		/* IN from port V */
	SBM_TASK_OUT,		/* OUT to port V */
	SBM_TASK_TOUCH,		/* read memory at V */
	SBM_TASK_X87,		/* load to the register stack */
	SBM_TASK_SSE,		/* move an XMM register */
	SBM_TASK_AVX,		/* move a YMM register */
	SBM_TASK_AVX512,	/* move a ZMM register */
	SBM_TASK_AMX,		/* clear a tile */
	SBM_TASK_LDMXCSR,	/* load MXCSR */
	SBM_TASK_XSAVE,		/* store all of the FPU's state */
	SBM_TASK_XRSTOR,	/* load all of the FPU's state */
	SBM_TASK_LRET,		/* far return to selector V */
	SBM_TASK_LOAD_DS,	/* load a segment register from V ... */
	SBM_TASK_LOAD_ES,
	SBM_TASK_LOAD_FS,	/* ... R = its base */
	SBM_TASK_LOAD_GS,	/* ... R = its base */
	SBM_TASK_LOAD_SS,
	SBM_TASK_LAR,		/* R = 1 if selector V names a descriptor */
	SBM_TASK_BASES,		/* load V to the bases of FS and GS */
	SBM_TASK_FLAGS,		/* set the flags V, R = the flags then */
	SBM_TASK_RDTSC,		/* R = time stamp counter */
	SBM_TASK_RDPKRU,	/* R = PKRU */
	SBM_TASK_WRPKRU,	/* PKRU = V */
	SBM_TASK_RDSSP,		/* R = shadow stack pointer, 0 if it has none */
	SBM_TASK_SS_SYSCALL,	/* load SS from memory, then SYSCALL */
	SBM_TASK_SS_INT80,	/* load SS from memory, then INT 80h */
	SBM_TASK_SS_INT3,	/* load SS from memory, then INT3 */
	SBM_TASK_BUSY,		/* V loops; R = registers that were lost meanwhile */
	SBM_NR_TASK_TARGETS
};

/**
 * struct sbm_task_seen - registers as %SBM_TASK_DUMP finds them
 * @gpr:     rax, rbx, rcx, rdx, rsi, rdi, rbp, r8 to r15.
 * @flags:   RFLAGS.
 * @sp:	     Stack pointer.
 * @gs_base: Base of GS.
 * @fs_base: Base of FS.
 * @ds:	     Selectors.
 * @es:	     See @ds.
 * @fs:	     See @ds.
 * @gs:	     See @ds.
 * @ss:	     See @ds.
 * @cs:	     See @ds.
 */
struct sbm_task_seen {
	__u64	gpr[15];
	__u64	flags;
	__u64	sp;
	__u64	gs_base;
	__u64	fs_base;
	__u64	ds;
	__u64	es;
	__u64	fs;
	__u64	gs;
	__u64	ss;
	__u64	cs;
};

/**
 * struct sbm_task_report - how a call ended
 * @ret:	 What sbm_exec() returned.
 * @cause:	 Cause of the stop, an enum sbm_cause; 0 if it was not stopped.
 * @vector:	 Vector of the stop.
 * @error_code:	 Its error code.
 * @ip:		 Where the target was stopped.
 * @insn:	 Where the target's dangerous instruction is.
 * @args:	 Address of the target's arguments in the sandbox.
 * @constant:	 Address of a constant of the kernel's.
 * @gs_base:	 GS base of the sandbox.
 * @window:	 Lowest address that belongs to the sandbox alone.
 * @window_end:	 Address behind these.
 * @result:	 R, if the target was not stopped.
 * @seen:	 For %SBM_TASK_DUMP.
 * @switches:	 How often the caller was scheduled during the call.
 * @migrations:	 How often it moved to another CPU.
 * @block_step:	 A debugger steps the caller from branch to branch: 1 if the CPU knew
 *		 it before the call, 2 if it knew it afterwards.
 */
struct sbm_task_report {
	__s64	ret;
	__u32	cause;
	__u32	vector;
	__u64	error_code;
	__u64	ip;
	__u64	insn;
	__u64	args;
	__u64	constant;
	__u64	gs_base;
	__u64	window;
	__u64	window_end;
	__u64	result;
	struct sbm_task_seen seen;
	__u64	switches;
	__u64	migrations;
	__u64	block_step;
};

#endif /* _X86_KERNEL_SANDBOX_TEST_TASK_H */
