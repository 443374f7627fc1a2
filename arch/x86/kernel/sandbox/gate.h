/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Sandbox mode (SBM) on x86-64: the gate, by which a CPU enters and leaves a
 * sandbox. Shared by C, switch.S and asm-offsets_64.c.
 */
#ifndef _X86_KERNEL_SANDBOX_GATE_H
#define _X86_KERNEL_SANDBOX_GATE_H

#include <linux/const.h>

#include <asm/page_types.h>
#include <asm/trapnr.h>

/*
 * A gate is naturally aligned: event stubs find its start by masking their stack
 * pointer.
 */
#define SBM_GATE_SIZE		(4 * PAGE_SIZE)

/*
 * Slots of the TSS, counted from 1 as an IDT entry does. Linux uses 1 to 5. The
 * machine check keeps the kernel's own slot.
 */
#define SBM_IST_EVENT		6
#define SBM_IST_NMI		7

/*
 * The vector by which a target returns. It is one of the exception vectors that
 * processors reserve, so it can never be an interrupt; and its gate and the next
 * are the only ones that ring 3 may name in an INT instruction.
 */
#define SBM_RETURN_VECTOR	24

/* The vector by which a target makes a host call: as good as the other one */
#define SBM_HOSTCALL_VECTOR	25

/*
 * What sbm_switch() returns: the vector, and where it found the CPU. Without any
 * of these bits, the event came from ring 3 and the registers are the target's.
 */
#define SBM_EXIT_VECTOR		0x00ff
/* In ring 0 at entry text: the target executed SYSCALL or SYSENTER */
#define SBM_EXIT_SYSCALL	0x0100
/* Between LIDT and IRETQ: ring 3 was not entered */
#define SBM_EXIT_ABORT		0x0200
/* Machine check on the way out: the target's registers are lost */
#define SBM_EXIT_LOST		0x0400
/* Anything else in ring 0: nothing can be trusted any more */
#define SBM_EXIT_FATAL		0x0800

/* Bytes from one stub in sbm_stubs[] to the next */
#define SBM_STUB_SIZE		16

#ifndef __ASSEMBLER__

#include <linux/build_bug.h>
#include <linux/linkage.h>
#include <linux/stddef.h>
#include <linux/types.h>

#include <asm/desc_defs.h>
#include <asm/ptrace.h>

/**
 * struct sbm_gate_state - what the switch keeps where both tables map it
 * @host_rsp:	 Stack pointer of the kernel; all else that belongs to the
 *		 kernel lies on that stack, out of the sandbox's sight.
 * @host_cr3:	 Tables of the kernel.
 * @host_cr4:	 CR4 of the kernel.
 * @sbm_cr3:	 Tables of the sandbox.
 * @sbm_cr4:	 CR4 of the sandbox; differs from @host_cr4 only in LASS, and
 *		 with KASAN in PGE.
 * @sbm_gsbase:	 GS base of the sandbox.
 * @nmi_pending: NMIs that arrived in the windows and await delivery.
 * @nr_fatal:	 Breaks an endless loop of fatal events.
 * @host_idt:	 IDT of the kernel.
 * @sbm_idt:	 IDT of the gate.
 * @regs:	 What ring 3 is entered with.
 *
 * Nothing here is a secret that matters: on processors with Meltdown ring 3 can
 * read it.
 */
struct sbm_gate_state {
	u64		host_rsp;
	u64		host_cr3;
	u64		host_cr4;
	u64		sbm_cr3;
	u64		sbm_cr4;
	u64		sbm_gsbase;
	u32		nmi_pending;
	u32		nr_fatal;
	struct desc_ptr	host_idt __aligned(16);
	struct desc_ptr	sbm_idt __aligned(16);
	struct pt_regs	regs __aligned(16);
};

/**
 * struct sbm_gate - one per possible CPU
 * @idt:	IDT while in the sandbox; read-only once set up.
 * @idt_page:	Its page.
 * @state:	The state.
 * @state_page:	Its page.
 * @events:	Stack for all events but NMI and machine check.
 * @nmi:	Stack for NMIs.
 */
struct sbm_gate {
	union {
		gate_desc		idt[256];
		u8			idt_page[PAGE_SIZE];
	};
	union {
		struct sbm_gate_state	state;
		u8			state_page[PAGE_SIZE];
	};
	u8	events[PAGE_SIZE];
	u8	nmi[PAGE_SIZE];
};

/* The stubs find the gate by a mask, or by its IDT, and the state behind that */
static_assert(sizeof(struct sbm_gate) == SBM_GATE_SIZE);
static_assert(sizeof(gate_desc) * 256 == PAGE_SIZE);
static_assert(offsetof(struct sbm_gate, idt) == 0);
static_assert(offsetof(struct sbm_gate, state) == PAGE_SIZE);
static_assert(offsetof(struct sbm_gate, events) == 2 * PAGE_SIZE);
static_assert(offsetof(struct sbm_gate, nmi) == 3 * PAGE_SIZE);

/**
 * struct sbm_host - what sbm_switch() gives back to the CPU, and its result
 * @gsbase: GS base of the kernel.
 * @fsbase: FS base of the task.
 * @pkru:   PKRU of the task.
 * @regs:   Out: the registers at the event, in the gate or on the machine check
 *	    stack. Only valid until interrupts or NMIs are enabled.
 *
 * Lives on the kernel's stack.
 */
struct sbm_host {
	u64		gsbase;
	u64		fsbase;
	u32		pkru;
	struct pt_regs	*regs;
};

/* May ring 3 name the vector in an INT instruction? */
static inline bool sbm_is_open_vector(unsigned int vector)
{
	return vector == SBM_RETURN_VECTOR || vector == SBM_HOSTCALL_VECTOR;
}

/* switch.S */
asmlinkage u32 sbm_switch(struct sbm_gate_state *state, struct sbm_host *host);
extern const u8 sbm_stubs[];
extern const u8 sbm_nmi_stub[];
extern const u8 sbm_mce_stub[];
extern const u8 sbm_target_return[];
/* Inside sbm_switch(): the way in, from behind LIDT to behind IRETQ; the way out */
extern const u8 sbm_window[];
extern const u8 sbm_window_end[];
extern const u8 sbm_leave[];

#endif /* !__ASSEMBLER__ */
#endif /* _X86_KERNEL_SANDBOX_GATE_H */
