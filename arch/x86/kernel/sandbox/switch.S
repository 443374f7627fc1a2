/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Sandbox mode (SBM) on x86-64: the world switch.
 *
 * sbm_switch() enters ring 3 on the sandbox's page tables; the next event of any
 * kind brings the CPU back to the kernel's own context, and sbm_switch() returns
 * to its caller. Events are not handled here. Documentation/sandbox/x86.rst has
 * the whole argument, in short:
 *
 *  - While the kernel's IDT is loaded, everything is the kernel's: CR3, CR4, GS,
 *    CR0.TS, PKRU. So LIDT is the first thing that changes on the way in, and the
 *    last on the way out.
 *
 *  - Between these two LIDTs, each event comes to the stubs below, on a stack of
 *    the IST, whatever the stack pointer is. The stubs use no GS, and only memory
 *    that both page tables map: this text, the gate, and for machine checks the
 *    CPU's entry area.
 *
 *  - An event that interrupted ring 0 is classified by its RIP alone:
 *
 *	entry text	the target executed SYSCALL or SYSENTER; entry text is not
 *			mapped, so the fetch faulted at once (or an NMI, a #DB or a
 *			machine check was faster than the fetch)
 *	entry window	[sbm_window, sbm_window_end): ring 3 was not reached; leave
 *	other text here	the way out. NMI: count it and go on. Machine check: start
 *			the way out again. There can be no other.
 *	elsewhere	cannot be; restore the kernel's context, then panic
 *
 *  - No instruction between the two LIDTs may fault, and none may be outside of
 *    this section: no calls. IRETQ's frame was checked.
 */
#include <linux/export.h>
#include <linux/linkage.h>
#include <linux/objtool.h>

#include <asm/alternative.h>
#include <asm/asm-offsets.h>
#include <asm/asm.h>
#include <asm/cpufeatures.h>
#include <asm/ibt.h>
#include <asm/irq_vectors.h>
#include <asm/msr-index.h>
#include <asm/nospec-branch.h>
#include <asm/percpu.h>
#include <asm/processor-flags.h>
#include <asm/ptrace-abi.h>
#include <asm/segment.h>
#include <asm/smap.h>
#include <asm/trapnr.h>
#include <asm/unwind_hints.h>

#include "../../entry/calling.h"
#include "gate.h"

/*
 * The name makes objtool treat the section as noinstr; vmlinux.lds.S gives it
 * whole pages, because the sandbox maps them for ring 0 only.
 */
	.section .text..__x86.sbm_switch, "ax"

/* Null selectors fault nothing. The FS and GS bases must be written afterwards. */
.macro CLEAR_SELECTORS reg32:req
	xorl	\reg32, \reg32
	movl	\reg32, %ds
	movl	\reg32, %es
	movl	\reg32, %fs
	movl	\reg32, %gs
.endm

/* pt_regs from the error code down: everything below orig_ax but rdi */
.macro SAVE_REGS_BELOW_RDI
	pushq	%rsi
	pushq	%rdx
	pushq	%rcx
	pushq	%rax
	pushq	%r8
	pushq	%r9
	pushq	%r10
	pushq	%r11
	pushq	%rbx
	pushq	%rbp
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
.endm

.macro RESTORE_REGS
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbp
	popq	%rbx
	popq	%r11
	popq	%r10
	popq	%r9
	popq	%r8
	popq	%rax
	popq	%rcx
	popq	%rdx
	popq	%rsi
	popq	%rdi
.endm

/*
 * Known flags before anything else: an event clears IF, TF, NT and RF, but AC
 * (which disarms SMAP) and DF are still the target's.
 */
.macro KNOWN_FLAGS
	pushq	$X86_EFLAGS_FIXED
	popfq
.endm

/* rbx = &gate->state, from a stack pointer inside the gate */
.macro FIND_STATE_BY_STACK
	movq	%rsp, %rbx
	andq	$-SBM_GATE_SIZE, %rbx
	addq	$PAGE_SIZE, %rbx
.endm

/*
 * An event has interrupted ring 0: leave if RIP says that this is the way, else
 * fall through. rsp: pt_regs, edi: vector, rbx: &gate->state. Leaves RIP in rax,
 * clobbers rcx.
 */
.macro LEAVE_BY_RIP
	movq	RIP(%rsp), %rax
	leaq	__sbm_entry_start(%rip), %rcx
	cmpq	%rcx, %rax
	jb	.Lnot_syscall_\@
	leaq	__sbm_entry_end(%rip), %rcx
	cmpq	%rcx, %rax
	jae	.Lnot_syscall_\@
	orl	$SBM_EXIT_SYSCALL, %edi
	jmp	sbm_leave
.Lnot_syscall_\@:
	leaq	sbm_window(%rip), %rcx
	cmpq	%rcx, %rax
	jb	.Lnot_window_\@
	leaq	sbm_window_end(%rip), %rcx
	cmpq	%rcx, %rax
	jae	.Lnot_window_\@
	orl	$SBM_EXIT_ABORT, %edi
	jmp	sbm_leave
.Lnot_window_\@:
.endm

/*
 * sbm_switch(struct sbm_gate_state *state, struct sbm_host *host)
 *
 *  rdi	state of this CPU's gate: CR3, CR4, GS base, IDTs, registers filled in
 *  rsi	what to restore, on the caller's stack
 *
 * Called from noinstr C with interrupts off, DR7 clear, the FPU's registers given
 * up. Returns to its caller after the next event, whatever it was, with
 * interrupts off and the kernel's whole context back.
 *
 *  eax	vector and SBM_EXIT_ bits
 *  host->regs	the registers at the event
 *
 * The kernel's stack while away, as @host_rsp points to it:
 *
 *	+56	return address
 *	 +8	rbp, rbx, r12 to r15
 *	  0	host
 */
SYM_CODE_START(sbm_switch)
	UNWIND_HINT_FUNC
	pushq	%rbp
	pushq	%rbx
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	pushq	%rsi
	movq	%rsp, SBM_GATE_host_rsp(%rdi)

	/*
	 * CR0.TS makes each use of the FPU a #NM. Computed here, while a VM exit on
	 * the read is harmless, and loaded in the window: a host NMI or interrupt
	 * handler must not find it set.
	 */
	movq	%cr0, %rdx
	orq	$X86_CR0_TS, %rdx

	/*
	 * From here on all events go to the gate's stubs. The window starts with
	 * the next instruction: an NMI can hit between the two.
	 */
	lidt	SBM_GATE_sbm_idt(%rdi)

SYM_INNER_LABEL(sbm_window, SYM_L_GLOBAL)
	ANNOTATE_NOENDBR
	UNWIND_HINT_UNDEFINED
	CLEAR_SELECTORS %eax
	movq	SBM_GATE_sbm_gsbase(%rdi), %rax
	wrgsbase %rax
	xorl	%eax, %eax
	wrfsbase %rax
	movq	%rdx, %cr0

	/* The task's rights on user pages are no business of the sandbox's */
	ALTERNATIVE "jmp .Lpkru_done", "", X86_FEATURE_OSPKE
	xorl	%eax, %eax
	xorl	%ecx, %ecx
	xorl	%edx, %edx
	wrpkru
.Lpkru_done:

	/*
	 * As on each way to ring 3: VERW where the processor needs it. Its operand
	 * lies in entry text, which the sandbox's tables do not have, so it goes
	 * before CR3; what is loaded after it is the target's own.
	 */
	CLEAR_CPU_BUFFERS

	/*
	 * The sandbox's tables. Bit 63 is set if PCIDs are on and what this CPU holds
	 * of that PCID is from these very tables; else what it holds is flushed.
	 */
	movq	SBM_GATE_sbm_cr3(%rdi), %rax
	movq	%rax, %cr3

	/*
	 * LASS keeps ring 3 from all kernel addresses, of which the target's text
	 * and data are some. Off only while the sandbox's tables are loaded.
	 */
	movq	SBM_GATE_sbm_cr4(%rdi), %rax
	cmpq	SBM_GATE_host_cr4(%rdi), %rax
	je	.Lenter_cr4_done
	movq	%rax, %cr4
.Lenter_cr4_done:

	leaq	SBM_GATE_regs(%rdi), %rsp
	RESTORE_REGS
	addq	$8, %rsp			/* orig_ax */
	iretq
SYM_INNER_LABEL(sbm_window_end, SYM_L_GLOBAL)
	ANNOTATE_NOENDBR
	int3

/*
 * The way out. All stubs end here, once they have pushed pt_regs.
 *
 *  rbx	&gate->state
 *  edi	what sbm_switch() returns
 *  rsp	pt_regs, on an IST stack
 *
 * May run several times, and from any point of the entry window: each step sets
 * a fixed value, whatever was there.
 */
SYM_INNER_LABEL(sbm_leave, SYM_L_GLOBAL)
	ANNOTATE_NOENDBR
	UNWIND_HINT_UNDEFINED
	movq	%rsp, %r14

	/* LASS on again before the kernel's tables are */
	movq	SBM_GATE_host_cr4(%rbx), %rax
	cmpq	SBM_GATE_sbm_cr4(%rbx), %rax
	je	.Lleave_cr4_done
	movq	%rax, %cr4
.Lleave_cr4_done:

	/*
	 * The kernel's tables. Bit 63 is set if PCIDs are on: nothing that would
	 * have had to be flushed from the kernel's PCID was missed, because the
	 * interrupt that asks for it ends the stay.
	 */
	movq	SBM_GATE_host_cr3(%rbx), %rax
	movq	%rax, %cr3

	/* The kernel's stack, and with it the kernel's values */
	movq	SBM_GATE_host_rsp(%rbx), %rsp
	movq	(%rsp), %r13			/* host */

	/*
	 * An event from ring 3 leaves SS null, which must not get to SYSRET on
	 * AMD processors. The other selectors are the target's; the caller loads
	 * the task's again if it had any.
	 */
	CLEAR_SELECTORS %eax
	movl	$__KERNEL_DS, %eax
	movl	%eax, %ss
	movq	SBM_HOST_gsbase(%r13), %rax
	wrgsbase %rax
	movq	SBM_HOST_fsbase(%r13), %rax
	wrfsbase %rax

	/*
	 * The target has run at the kernel's own addresses, and its calls have left
	 * return predictions there, where SMEP does not help: as after a VM exit,
	 * overwrite them, whatever the processor. After GS, which call depth
	 * tracking and IBRS_ENTER use. No RET or indirect branch comes before this.
	 */
	__FILL_RETURN_BUFFER(%rax, RSB_CLEAR_LOOPS)
	IBRS_ENTER

	clts
	ALTERNATIVE "jmp .Lpkru_restored", "", X86_FEATURE_OSPKE
	movl	SBM_HOST_pkru(%r13), %eax
	xorl	%ecx, %ecx
	xorl	%edx, %edx
	wrpkru
.Lpkru_restored:

	movq	%r14, SBM_HOST_regs(%r13)
	movl	%edi, %r12d

	/* Everything is the kernel's: let it have its events */
	lidt	SBM_GATE_host_idt(%rbx)

	/*
	 * The rest of what the kernel does at its own boundary, and after a VM
	 * exit: where the kernel wants a barrier (IBPB) at each entry it wants one
	 * there, too, but not the other way round. These call functions elsewhere,
	 * so an NMI here must not find the stubs: they would not know that place.
	 * The kernel's own NMI entry looks after itself.
	 */
	UNTRAIN_RET_VM
	CLEAR_BRANCH_HISTORY
	movl	%r12d, %eax

	UNWIND_HINT sp_reg=ORC_REG_SP sp_offset=64 type=UNWIND_HINT_TYPE_CALL
	addq	$8, %rsp			/* host */
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbx
	popq	%rbp
	UNWIND_HINT_FUNC
	RET
SYM_CODE_END(sbm_switch)

/*
 * One stub per vector, SBM_STUB_SIZE bytes apart, on the event stack of the gate.
 * They stay inside one symbol so that their ENDBRs are not sealed.
 *
 * The CPU has pushed, from the top: SS, RSP, RFLAGS, CS, RIP, and an error code
 * for some vectors; a stub pushes 0 for the others, and then the vector, where
 * pt_regs has rdi.
 */
	.balign	SBM_STUB_SIZE, 0xcc
SYM_CODE_START_NOALIGN(sbm_stubs)
	vector = 0
	.rept	FIRST_EXTERNAL_VECTOR
0:	UNWIND_HINT_UNDEFINED
	ENDBR
	/* 8, 10 to 14, 17, 21, 29 and 30 have an error code */
	.if !((0x60227d00 >> vector) & 1)
	pushq	$0
	.endif
	pushq	$vector
	jmp	sbm_event
	.org	0b + SBM_STUB_SIZE, 0xcc
	vector = vector + 1
	.endr
	.rept	256 - FIRST_EXTERNAL_VECTOR
0:	UNWIND_HINT_UNDEFINED
	ENDBR
	pushq	$0
	pushq	$vector
	jmp	sbm_event
	.org	0b + SBM_STUB_SIZE, 0xcc
	vector = vector + 1
	.endr

/*
 * All events but NMI and machine check.
 */
SYM_INNER_LABEL(sbm_event, SYM_L_LOCAL)
	ANNOTATE_NOENDBR
	UNWIND_HINT_UNDEFINED
	xchgq	%rdi, (%rsp)
	SAVE_REGS_BELOW_RDI
	KNOWN_FLAGS
	FIND_STATE_BY_STACK
	testb	$3, CS(%rsp)
	jnz	sbm_leave
	LEAVE_BY_RIP
SYM_INNER_LABEL(sbm_fatal, SYM_L_LOCAL)
	ANNOTATE_NOENDBR
	UNWIND_HINT_UNDEFINED
	/*
	 * Ring 0 where it cannot be. The kernel's context may still be good enough
	 * to say so; but not twice, because the way there may be what is broken.
	 */
	incl	SBM_GATE_nr_fatal(%rbx)
	cmpl	$1, SBM_GATE_nr_fatal(%rbx)
	ja	.Lhang
	orl	$SBM_EXIT_FATAL, %edi
	jmp	sbm_leave
.Lhang:
	hlt
	jmp	.Lhang
SYM_CODE_END(sbm_stubs)

/*
 * NMI, on the gate's own NMI stack: the frame of the event that is being dealt
 * with, if there is one, stays intact.
 *
 * Each NMI is counted, and the caller of sbm_switch() delivers as many. NMIs stay
 * blocked until then, unless this NMI came on the way out: the IRETQ here
 * unblocks them, and the next one finds this stack free again.
 */
	.balign	SBM_STUB_SIZE, 0xcc
SYM_CODE_START_NOALIGN(sbm_nmi_stub)
	UNWIND_HINT_UNDEFINED
	ENDBR
	pushq	$0
	pushq	$X86_TRAP_NMI
	xchgq	%rdi, (%rsp)
	SAVE_REGS_BELOW_RDI
	KNOWN_FLAGS
	FIND_STATE_BY_STACK
	incl	SBM_GATE_nmi_pending(%rbx)
SYM_INNER_LABEL(sbm_nmi_counted, SYM_L_LOCAL)
	ANNOTATE_NOENDBR
	UNWIND_HINT_UNDEFINED
	testb	$3, CS(%rsp)
	jnz	sbm_leave
	LEAVE_BY_RIP

	/* On the way out? Then go on with it */
	leaq	__sbm_switch_start(%rip), %rcx
	cmpq	%rcx, %rax
	jb	sbm_fatal
	leaq	__sbm_switch_end(%rip), %rcx
	cmpq	%rcx, %rax
	jae	sbm_fatal
	RESTORE_REGS
	addq	$8, %rsp			/* orig_ax */
	iretq
SYM_CODE_END(sbm_nmi_stub)

/*
 * Machine check, on the stack that the kernel uses for it: ring 3's registers on
 * the gate's stacks stay intact if they were complete. The gate is found by the
 * IDT that is loaded, which is its first page.
 *
 * Never returns to what it interrupted: in ring 0 there is a point where that
 * would unblock NMIs while the NMI stack is in use.
 */
	.balign	SBM_STUB_SIZE, 0xcc
SYM_CODE_START_NOALIGN(sbm_mce_stub)
	UNWIND_HINT_UNDEFINED
	ENDBR
	pushq	$0
	pushq	$X86_TRAP_MC
	xchgq	%rdi, (%rsp)
	SAVE_REGS_BELOW_RDI
	KNOWN_FLAGS
	subq	$16, %rsp
	sidt	(%rsp)
	movq	2(%rsp), %rbx
	addq	$16, %rsp
	addq	$PAGE_SIZE, %rbx
	testb	$3, CS(%rsp)
	jnz	sbm_leave
	LEAVE_BY_RIP

	/* On the way out? An NMI that is not counted yet would be lost */
	leaq	sbm_nmi_stub(%rip), %rcx
	cmpq	%rcx, %rax
	jb	.Lmce_nmi_safe
	leaq	sbm_nmi_counted(%rip), %rcx
	cmpq	%rcx, %rax
	jae	.Lmce_nmi_safe
	incl	SBM_GATE_nmi_pending(%rbx)
.Lmce_nmi_safe:
	leaq	__sbm_switch_start(%rip), %rcx
	cmpq	%rcx, %rax
	jb	sbm_fatal
	leaq	__sbm_switch_end(%rip), %rcx
	cmpq	%rcx, %rax
	jae	sbm_fatal
	orl	$SBM_EXIT_LOST, %edi
	jmp	sbm_leave
SYM_CODE_END(sbm_mce_stub)

/*
 * Where a target returns to: ring 3 executes this, so it lies in ordinary text.
 *
 *  eax	the target's result
 *
 * Its address is the first thing on the sandbox's stack. There is nothing behind
 * the INT: it does not return.
 */
	.text
SYM_CODE_START(sbm_target_return)
	UNWIND_HINT_END_OF_STACK
	ANNOTATE_NOENDBR
	int	$SBM_RETURN_VECTOR
	ud2
SYM_CODE_END(sbm_target_return)
