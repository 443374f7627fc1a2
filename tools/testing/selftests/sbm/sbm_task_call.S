/* SPDX-License-Identifier: GPL-2.0 */
/*
 * tricked_call(struct context *c): load the state that @c asks for, call ioctl(),
 * store the state that is found then in @c. The offsets are those of struct context
 * in sbm_task_state.c.
 *
 * Between the two WRPKRU the code uses no memory, which may be closed; and no
 * instruction that changes flags, which are under test. DS may be any segment: it
 * does not matter in 64-bit mode.
 */
	.text
	.globl	tricked_call
	.type	tricked_call, @function
tricked_call:
	push	%rbx
	push	%rbp
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	mov	%rdi, %rbx
	rdfsbase %rax
	mov	%rax, 296(%rbx)
	rdgsbase %rax
	mov	%rax, 304(%rbx)
	mov	%rsp, 216(%rbx)
	mov	96(%rbx), %rcx
	mov	112(%rbx), %eax
	mov	116(%rbx), %edx
	jrcxz	1f
	xrstor64 (%rcx)
1:	mov	64(%rbx), %eax
	mov	%eax, %ds
	mov	72(%rbx), %eax
	mov	%eax, %es
	mov	80(%rbx), %eax
	mov	%eax, %fs
	mov	88(%rbx), %eax
	mov	%eax, %gs
	mov	48(%rbx), %rax
	wrfsbase %rax
	mov	56(%rbx), %rax
	wrgsbase %rax
	mov	0(%rbx), %rdi
	mov	8(%rbx), %rsi
	mov	16(%rbx), %r9
	mov	24(%rbx), %r10
	mov	32(%rbx), %r15
	mov	$0x1111111111111111, %rbp
	mov	$0x2222222222222222, %r8
	mov	$0x3333333333333333, %r12
	mov	$0x4444444444444444, %r13
	push	40(%rbx)
	popf
	mov	%r10, %rcx
	jrcxz	2f
	mov	$0, %ecx
	rdpkru
	mov	%rax, %r14
	mov	%r15, %rax
	mov	$0, %ecx
	mov	$0, %edx
	wrpkru
2:	mov	%r9, %rdx
	mov	$16, %eax		/* __NR_ioctl */
	syscall
	mov	%rax, %r11
	mov	%rdx, %r9
	mov	%r10, %rcx
	jrcxz	3f
	mov	$0, %ecx
	rdpkru
	mov	%rax, %r15
	mov	%r14, %rax
	mov	$0, %ecx
	mov	$0, %edx
	wrpkru
3:	mov	%r11, 120(%rbx)
	mov	%r15, 128(%rbx)
	pushf
	pop	136(%rbx)
	push	$2
	popf
	mov	%rbp, 224(%rbx)
	mov	%r8, 232(%rbx)
	mov	%r12, 240(%rbx)
	mov	%r13, 248(%rbx)
	mov	%rdi, 256(%rbx)
	mov	%rsi, 264(%rbx)
	mov	%r9, 272(%rbx)
	mov	%r10, 280(%rbx)
	mov	%rsp, 208(%rbx)
	rdfsbase %rax
	mov	%rax, 144(%rbx)
	rdgsbase %rax
	mov	%rax, 152(%rbx)
	mov	%ds, %eax
	mov	%rax, 160(%rbx)
	mov	%es, %eax
	mov	%rax, 168(%rbx)
	mov	%fs, %eax
	mov	%rax, 176(%rbx)
	mov	%gs, %eax
	mov	%rax, 184(%rbx)
	mov	%ss, %eax
	mov	%rax, 192(%rbx)
	mov	%cs, %eax
	mov	%rax, 200(%rbx)
	mov	104(%rbx), %rcx
	mov	112(%rbx), %eax
	mov	116(%rbx), %edx
	jrcxz	4f
	xsave64	(%rcx)
4:	xor	%eax, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %fs
	mov	%eax, %gs
	mov	296(%rbx), %rax
	wrfsbase %rax
	mov	304(%rbx), %rax
	wrgsbase %rax
	fninit
	push	$0x1f80
	ldmxcsr	(%rsp)
	pop	%rax
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbp
	pop	%rbx
	ret
	.size	tricked_call, . - tricked_call

	.section .note.GNU-stack, "", @progbits
