// SPDX-License-Identifier: GPL-2.0
/*
 * Sandbox mode (SBM) on x86-64: the run loop.
 *
 * The loop is shaped like that of a hypervisor's virtual CPU: enter, come back at
 * the next event, deal with it in the kernel's ordinary context, enter again.
 */
#define pr_fmt(fmt) "sbm: " fmt

#include <linux/array_size.h>
#include <linux/bitops.h>
#include <linux/build_bug.h>
#include <linux/cpufeature.h>
#include <linux/entry-common.h>
#include <linux/freezer.h>
#include <linux/ftrace.h>
#include <linux/instrumentation.h>
#include <linux/irqflags.h>
#include <linux/kernel.h>
#include <linux/memory.h>
#include <linux/minmax.h>
#include <linux/panic.h>
#include <linux/percpu.h>
#include <linux/perf_event.h>
#include <linux/rcupdate.h>
#include <linux/sbm_host.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/string.h>
#include <linux/thread_info.h>
#include <linux/uaccess.h>

#include <asm/apic.h>
#include <asm/debugreg.h>
#include <asm/desc.h>
#include <asm/fpu/api.h>
#include <asm/fsgsbase.h>
#include <asm/gsseg.h>
#include <asm/io_bitmap.h>
#include <asm/kvm_para.h>
#include <asm/mce.h>
#include <asm/msr.h>
#include <asm/proto.h>
#include <asm/sections.h>
#include <asm/segment.h>
#include <asm/special_insns.h>
#include <asm/text-patching.h>
#include <asm/tlbflush.h>
#include <asm/traps.h>

#include <trace/events/sbm.h>

#include <sbm/sbm.h>
#include "sandbox.h"

/* Flags that a target may have; the rest is the kernel's choice */
#define SBM_TARGET_FLAGS	(X86_EFLAGS_CF | X86_EFLAGS_PF | X86_EFLAGS_AF | \
				 X86_EFLAGS_ZF | X86_EFLAGS_SF | X86_EFLAGS_OF | \
				 X86_EFLAGS_DF)

/*
 * Error codes of the #GP that an INT3 becomes because its gate is closed to ring 3:
 * the vector, and the bit that says "IDT". QEMU 7.2 shifts the vector by one bit
 * too many, which is harmless: what counts is the byte that is found there.
 */
#define SBM_INT3_ERROR_CODE		((X86_TRAP_BP << 3) | 2)
#define SBM_INT3_ERROR_CODE_QEMU	((X86_TRAP_BP << 4) | 2)

/*
 * How often in a row an INT3 may be gone before it is odd. Generous: a processor may
 * fetch what was there for a while, and the limit costs nobody else anything.
 */
#define SBM_MAX_INT3_RETRIES	64

/**
 * struct sbm_event - what ended a stay
 * @exit:	What sbm_switch() returned.
 * @cr2:	The address, for a page fault.
 * @apf:	Why a KVM host has injected the page fault, 0 if it has not.
 */
struct sbm_event {
	u32		exit;
	unsigned long	cr2;
	u32		apf;
};

/* === Counting === */

/*
 * Kinds of events: exception vectors by number, and these. Each stay ends by one that
 * is an "event" by its name; the others say more about some of these.
 */
enum sbm_event_kind {
	SBM_EVENT_INTERRUPT = FIRST_EXTERNAL_VECTOR,
	SBM_EVENT_SYSCALL,
	/* Interrupted the way in or out, and was delivered after it */
	SBM_EVENT_PENDING_NMI,
	/* Page faults and breakpoints whose reason had gone: the target goes on */
	SBM_EVENT_STALE_FAULT,
	SBM_EVENT_STALE_INT3,
	/* Page faults by which a KVM host has a guest wait */
	SBM_EVENT_ASYNC_FAULT,
	/* Machine checks that have hit the way out */
	SBM_EVENT_LOST,
	/* Tracers and probes that were none of the target's business */
	SBM_EVENT_SKIPPED,
	SBM_NR_EVENTS
};

static_assert(SBM_NR_EVENTS <= SBM_MAX_EVENTS);

static const char * const sbm_event_names[] = {
	[X86_TRAP_DE]		= "event_divide_error",
	[X86_TRAP_DB]		= "event_debug",
	[X86_TRAP_NMI]		= "event_nmi",
	[X86_TRAP_BP]		= "event_breakpoint",
	[X86_TRAP_OF]		= "event_overflow",
	[X86_TRAP_BR]		= "event_bounds",
	[X86_TRAP_UD]		= "event_invalid_opcode",
	[X86_TRAP_NM]		= "event_device_not_available",
	[X86_TRAP_DF]		= "event_double_fault",
	[X86_TRAP_OLD_MF]	= "event_vector_9",
	[X86_TRAP_TS]		= "event_invalid_tss",
	[X86_TRAP_NP]		= "event_segment_not_present",
	[X86_TRAP_SS]		= "event_stack_segment",
	[X86_TRAP_GP]		= "event_general_protection",
	[X86_TRAP_PF]		= "event_page_fault",
	[X86_TRAP_SPURIOUS]	= "event_vector_15",
	[X86_TRAP_MF]		= "event_x87",
	[X86_TRAP_AC]		= "event_alignment_check",
	[X86_TRAP_MC]		= "event_machine_check",
	[X86_TRAP_XF]		= "event_simd",
	[X86_TRAP_VE]		= "event_virtualization",
	[X86_TRAP_CP]		= "event_control_protection",
	[22]			= "event_vector_22",
	[23]			= "event_vector_23",
	[SBM_RETURN_VECTOR]	= "event_return",
	[SBM_HOSTCALL_VECTOR]	= "event_hostcall",
	[26]			= "event_vector_26",
	[27]			= "event_vector_27",
	[28]			= "event_vector_28",
	[X86_TRAP_VC]		= "event_vmm_communication",
	[30]			= "event_vector_30",
	[31]			= "event_vector_31",
	[SBM_EVENT_INTERRUPT]	= "event_interrupt",
	[SBM_EVENT_SYSCALL]	= "event_syscall",
	[SBM_EVENT_PENDING_NMI]	= "pending_nmi",
	[SBM_EVENT_STALE_FAULT]	= "stale_page_fault",
	[SBM_EVENT_STALE_INT3]	= "stale_breakpoint",
	[SBM_EVENT_ASYNC_FAULT]	= "async_page_fault",
	[SBM_EVENT_LOST]	= "lost_exit",
	[SBM_EVENT_SKIPPED]	= "skipped_instrument",
};

static_assert(ARRAY_SIZE(sbm_event_names) == SBM_NR_EVENTS);

const char *arch_sbm_event_name(unsigned int kind)
{
	return kind < SBM_NR_EVENTS ? sbm_event_names[kind] : NULL;
}

/* By what a stay has ended. The fetch at entry text faults: that is a system call. */
static unsigned int sbm_event_kind(u32 exit)
{
	if (unlikely((exit & SBM_EXIT_SYSCALL) &&
		     (exit & SBM_EXIT_VECTOR) == X86_TRAP_PF))
		return SBM_EVENT_SYSCALL;

	return min(exit & SBM_EXIT_VECTOR, (u32)SBM_EVENT_INTERRUPT);
}

/* State of the task that only some tasks have, and that costs to exchange */
struct sbm_task_state {
	u16	ds, es, fs, gs;
	u64	user_gsbase;
	bool	has_selectors;
	bool	has_tls;
	u64	star, lstar, cstar, syscall_mask;
	bool	has_syscall_msrs;
};

/* The task's segments in the GDT, for 32-bit code. Interrupts off. */
static bool sbm_has_tls(void)
{
	const struct desc_struct *tls = current->thread.tls_array;
	unsigned int i;

	for (i = 0; i < GDT_ENTRY_TLS_ENTRIES; i++) {
		if (!desc_empty(&tls[i]))
			return true;
	}

	return false;
}

static void sbm_clear_tls(void)
{
	struct desc_struct *gdt = get_cpu_gdt_rw(smp_processor_id());

	memset(&gdt[GDT_ENTRY_TLS_MIN], 0,
	       GDT_ENTRY_TLS_ENTRIES * sizeof(*gdt));
}

/*
 * Before a stay, interrupts off.
 *
 * KVM leaves a guest's SYSCALL MSRs loaded until the task returns to user space
 * or another task does. The target's SYSCALL must end in entry text (which its
 * tables do not have), with all flags known; the found values go back afterwards,
 * because KVM remembers what it has loaded.
 */
static void sbm_task_save(struct sbm_task_state *ts)
{
	const struct msr kernel_star = {
		.h = (__USER32_CS << 16) | __KERNEL_CS,
	};

	savesegment(ds, ts->ds);
	savesegment(es, ts->es);
	savesegment(fs, ts->fs);
	savesegment(gs, ts->gs);
	ts->has_selectors = ts->ds | ts->es | ts->fs | ts->gs;
	if (ts->has_selectors) {
		rdmsrq(MSR_KERNEL_GS_BASE, ts->user_gsbase);
		sbm_count(SBM_COUNT_MSR);
	}

	/* Loaded into FS, a segment of the task's tells the target its base */
	ts->has_tls = sbm_has_tls();
	if (unlikely(ts->has_tls))
		sbm_clear_tls();

	ts->has_syscall_msrs = test_thread_flag(TIF_USER_RETURN_NOTIFY);
	if (unlikely(ts->has_syscall_msrs)) {
		rdmsrq(MSR_STAR, ts->star);
		rdmsrq(MSR_LSTAR, ts->lstar);
		rdmsrq(MSR_CSTAR, ts->cstar);
		rdmsrq(MSR_SYSCALL_MASK, ts->syscall_mask);
		wrmsrq(MSR_STAR, kernel_star.q);
		wrmsrq(MSR_LSTAR, (unsigned long)entry_SYSCALL_64);
		wrmsrq(MSR_CSTAR, (unsigned long)entry_SYSCALL_64);
		wrmsrq(MSR_SYSCALL_MASK, ~(u64)X86_EFLAGS_FIXED & U32_MAX);
		sbm_count_many(SBM_COUNT_MSR, 8);
	}

#ifdef CONFIG_X86_IOPL_IOPERM
	/* A task with ioperm() or iopl() has ports open; exit to user mode restores */
	if (unlikely(test_thread_flag(TIF_IO_BITMAP)))
		tss_invalidate_io_bitmap();
#endif
}

/*
 * After a stay, before interrupts are on: __switch_to() saves what is in the
 * registers. Loads that fail give a null selector, as at a return to user space.
 */
static void sbm_task_restore(const struct sbm_task_state *ts)
{
	if (unlikely(ts->has_syscall_msrs)) {
		wrmsrq(MSR_STAR, ts->star);
		wrmsrq(MSR_LSTAR, ts->lstar);
		wrmsrq(MSR_CSTAR, ts->cstar);
		wrmsrq(MSR_SYSCALL_MASK, ts->syscall_mask);
		sbm_count_many(SBM_COUNT_MSR, 4);
	}

	/* Before the selectors, which may name these */
	if (unlikely(ts->has_tls))
		load_TLS(&current->thread, smp_processor_id());

	if (unlikely(ts->has_selectors)) {
		unsigned long fsbase = rdfsbase();

		loadsegment(ds, ts->ds);
		loadsegment(es, ts->es);
		loadsegment(fs, ts->fs);
		wrfsbase(fsbase);
		load_gs_index(ts->gs);
		wrmsrq(MSR_KERNEL_GS_BASE, ts->user_gsbase);
		sbm_count(SBM_COUNT_MSR);
	}
}

/*
 * A debug exception makes the processor clear the flag by which a debugger steps
 * the task from branch to branch. This one was none of the debugger's business.
 */
static void sbm_restore_block_step(void)
{
	u64 debugctl;

	if (likely(!test_thread_flag(TIF_BLOCKSTEP)))
		return;

	rdmsrq(MSR_IA32_DEBUGCTLMSR, debugctl);
	wrmsrq(MSR_IA32_DEBUGCTLMSR, debugctl | DEBUGCTLMSR_BTF);
}

static void sbm_fpu_begin(void)
{
	/*
	 * Saves the task's registers if they are loaded, and takes their ownership
	 * away. Then load the initial state: CR0.TS will make each use a fault, but
	 * processors with LazyFP would still let the target see them.
	 */
	if (!(current->flags & (PF_KTHREAD | PF_USER_WORKER)) &&
	    !test_thread_flag(TIF_NEED_FPU_LOAD))
		sbm_count(SBM_COUNT_FPU_SAVE);
	kernel_fpu_begin_mask(0);
	fpu_reset_from_exception_fixup();
	sbm_count(SBM_COUNT_FPU_INIT);

	/* Whatever state components the initial state covers */
	if (cpu_feature_enabled(X86_FEATURE_USER_SHSTK)) {
		wrmsrq(MSR_IA32_U_CET, 0);
		sbm_count(SBM_COUNT_MSR);
	}
}

/* Whose stay was the last one on this CPU */
static DEFINE_PER_CPU(u64, sbm_last_id);

/* What another instance has taught the branch predictors goes, where that is wanted */
static void sbm_predict_nothing(struct arch_sbm *as)
{
	if (__this_cpu_read(sbm_last_id) == as->id)
		return;

	__this_cpu_write(sbm_last_id, as->id);
	if (as->ibpb) {
		wrmsrq(MSR_IA32_PRED_CMD, PRED_CMD_IBPB);
		sbm_count(SBM_COUNT_MSR);
		as->nr_ibpb++;
	}
}

/*
 * The call whose stay on this CPU is over while the event that has ended it is still
 * being delivered: whoever looks at the CPU from that event finds here what it has
 * interrupted. Set only while the registers of the call are those of that moment.
 */
static DEFINE_PER_CPU(const struct sbm_instance *, sbm_interrupted);

const struct sbm_instance *arch_sbm_interrupted(unsigned long *ip)
{
	const struct sbm_instance *inst = raw_cpu_read(sbm_interrupted);

	if (inst)
		*ip = inst->arch->regs.ip;

	return inst;
}

/*
 * One stay: from the kernel to the target and back. Interrupts are off before and
 * after. From the return of sbm_switch() until pending NMIs are delivered, no
 * code may be instrumented: a trap's IRET would unblock NMIs.
 */
static noinstr void sbm_stay(const struct sbm_instance *inst, struct sbm_event *ev)
{
	struct arch_sbm *as = inst->arch;
	struct sbm_task_state ts;
	struct sbm_gate_state *state;
	struct sbm_host host = {};
	unsigned int slot;
	unsigned long dr7;
	u32 nr_nmi, i;

	instrumentation_begin();
	sbm_phase(SBM_PHASE_STAY);

	state = &sbm_gate(smp_processor_id())->state;
	state->regs = as->regs;

	sbm_task_save(&ts);
	sbm_fpu_begin();
	sbm_predict_nothing(as);

	/*
	 * Read at each entry: the kernel changes both under its own rules. CR3 is
	 * written back without a flush of its PCID; nothing invalidates anything
	 * on this CPU during a stay.
	 */
	state->host_cr3 = __read_cr3();
	if (cr4_read_shadow() & X86_CR4_PCIDE)
		state->host_cr3 |= X86_CR3_PCID_NOFLUSH;
	slot = sbm_tlb_enter(as, &state->sbm_cr3);
	state->host_cr4 = cr4_read_shadow();
	state->sbm_cr4 = state->host_cr4 & ~X86_CR4_LASS;
	/*
	 * The kernel maps KASAN's shadow with global entries, and the sandbox has other
	 * pages there. The change of this bit flushes all of the TLB, both ways, and what is
	 * global comes back when the kernel does: right, and slow, as KASAN is.
	 */
	if (IS_ENABLED(CONFIG_KASAN))
		state->sbm_cr4 &= ~X86_CR4_PGE;
	state->sbm_gsbase = as->gsbase;
	store_idt(&state->host_idt);

	/* What bit 63 leaves out is flushed, on the way in and on the way out */
	if (!(state->sbm_cr3 & X86_CR3_PCID_NOFLUSH))
		sbm_count(SBM_COUNT_FLUSH);
	if (!(state->host_cr3 & X86_CR3_PCID_NOFLUSH))
		sbm_count(SBM_COUNT_FLUSH);

	host.gsbase = rdgsbase();
	host.fsbase = rdfsbase();
	if (cpu_feature_enabled(X86_FEATURE_OSPKE))
		host.pkru = rdpkru();

	sbm_count(SBM_COUNT_STAY);
	sbm_phase(SBM_PHASE_ENTER);
	/* A stay has interrupts on, whatever this function has: as for a guest of KVM */
	trace_hardirqs_on_prepare();
	lockdep_hardirqs_on_prepare();
	instrumentation_end();

	/* No data breakpoint may hit in the window, or in the target */
	dr7 = local_db_save();

	lockdep_hardirqs_on(CALLER_ADDR0);
	ev->exit = sbm_switch(state, &host);
	lockdep_hardirqs_off(CALLER_ADDR0);

	/*
	 * Before anything can fault: the address, and in a KVM guest the word that
	 * tells whether the host has injected the fault. Left behind, it would make
	 * the next page fault of the kernel look like one of these.
	 */
	ev->cr2 = read_cr2();
	ev->apf = 0;
	if (ev->exit == X86_TRAP_PF)
		ev->apf = kvm_read_and_reset_apf_flags();

	/*
	 * The registers lie in the gate or on the machine check stack, which the
	 * next NMI or machine check may overwrite.
	 */
	if (!(ev->exit & SBM_EXIT_ABORT))
		as->regs = *host.regs;

	/*
	 * Not any earlier: until here, an NMI would have found the registers of the
	 * stay before. What else was in ring 0 says nothing about the target.
	 */
	barrier();
	if (!(ev->exit & (SBM_EXIT_ABORT | SBM_EXIT_LOST | SBM_EXIT_FATAL)))
		raw_cpu_write(sbm_interrupted, inst);

	/* NMIs first: they are still blocked, and the watchdogs wait for them */
	nr_nmi = state->nmi_pending;
	state->nmi_pending = 0;
	for (i = 0; i < nr_nmi; i++)
		x86_entry_from_kvm(EVENT_TYPE_NMI, X86_TRAP_NMI);

#ifdef CONFIG_X86_MCE
	if ((ev->exit & SBM_EXIT_VECTOR) == X86_TRAP_MC) {
		/*
		 * The target's registers say nothing to the handler. If ring 0 was
		 * interrupted the frame is the true one, and as->regs is a copy.
		 */
		struct pt_regs regs = { .cs = 3, .flags = X86_EFLAGS_IF };

		if (ev->exit & ~SBM_EXIT_VECTOR)
			regs = *host.regs;
		do_machine_check(&regs);
	}
#endif

	/* The target's debug exceptions are not for the next one to see */
	if ((ev->exit & SBM_EXIT_VECTOR) == X86_TRAP_DB)
		set_debugreg(DR6_RESERVED, 6);
	local_db_restore(dr7);

	instrumentation_begin();
	trace_hardirqs_off_finish();
	sbm_phase(SBM_PHASE_LEFT);
	if (unlikely(nr_nmi))
		sbm_stat_events(SBM_EVENT_PENDING_NMI, nr_nmi);
	if (IS_ENABLED(CONFIG_SBM_KUNIT_TEST) && nr_nmi)
		sbm_test_note_nmi(sbm_gate(smp_processor_id()));
	if (!(ev->exit & SBM_EXIT_ABORT))
		sbm_tlb_entered(as, slot);
	if ((ev->exit & SBM_EXIT_VECTOR) == X86_TRAP_DB)
		sbm_restore_block_step();
	kernel_fpu_end();
	sbm_task_restore(&ts);
	sbm_phase(SBM_PHASE_DONE);
	instrumentation_end();
}

/* === What an event means === */

static int sbm_stop(struct sbm_instance *inst, enum sbm_cause cause, int err)
{
	struct sbm_fault *fault = &inst->fault;

	fault->cause = cause;
	fault->regs = inst->arch->regs;
	fault->has_regs = true;
	fault->ip = fault->regs.ip;
	fault->sp = fault->regs.sp;

	return err;
}

static int sbm_internal(struct sbm_instance *inst, const char *why)
{
	sbm_broken(why);
	return sbm_stop(inst, SBM_CAUSE_INTERNAL, -EFAULT);
}

static void sbm_skipped(struct sbm_instance *inst)
{
	sbm_count_skipped(inst);
	sbm_stat_event(SBM_EVENT_SKIPPED);
}

/* A probe has replaced the instruction that is next */
static int sbm_skip_probe(struct sbm_instance *inst)
{
	inst->fault.address = 0;
	inst->fault.access = SBM_ACCESS_NONE;
	if (sbm_copy_text(inst, inst->arch->regs.ip))
		return sbm_stop(inst, SBM_CAUSE_PROBE, -EFAULT);
	sbm_skipped(inst);

	return 0;
}

/*
 * A page fault that the sandbox's own tables allow is a stale TLB entry: the
 * exception has dropped it. Nothing has a right to happen twice without another
 * event in between.
 *
 * @detour: address of a probe's detour, if sbm_leave_detour() has taken the target back
 * from there.
 */
static int sbm_page_fault(struct sbm_instance *inst, unsigned long cr2,
			  unsigned long detour, unsigned long *last_ip,
			  unsigned long *last_addr)
{
	const unsigned long known = X86_PF_PROT | X86_PF_WRITE | X86_PF_USER |
				    X86_PF_INSTR;
	struct pt_regs *regs = &inst->arch->regs;
	unsigned long error = regs->orig_ax;
	bool allowed;
	u64 rights;
	u64 pfn;

	inst->fault.address = cr2;
	if (error & X86_PF_INSTR)
		inst->fault.access = SBM_ACCESS_EXEC;
	else if (error & X86_PF_WRITE)
		inst->fault.access = SBM_ACCESS_WRITE;
	else
		inst->fault.access = SBM_ACCESS_READ;

	/*
	 * Without the user bit, the processor itself accessed a descriptor or the
	 * I/O bitmap on behalf of the target.
	 */
	if ((error & ~known) || !(error & X86_PF_USER))
		return sbm_stop(inst, SBM_CAUSE_PAGE_FAULT, -EFAULT);

	allowed = sbm_lookup(inst->arch, cr2, &rights, &pfn) &&
		  (rights & _PAGE_USER) &&
		  (!(error & X86_PF_WRITE) || (rights & _PAGE_RW)) &&
		  (!(error & X86_PF_INSTR) || !(rights & _PAGE_NX));
	if (!allowed) {
		*last_ip = 0;
		*last_addr = 0;
		/* The heap grows. A page that is there has refused what was tried. */
		if (!(error & (X86_PF_PROT | X86_PF_INSTR)) && !detour) {
			int err = sbm_heap_fault(inst, cr2);

			if (err != -EFAULT)
				return err ? sbm_stop(inst, SBM_CAUSE_PAGE_FAULT, err) : 0;
		}
		if (detour && detour == cr2) {
			if (!sbm_has_copy(inst->arch, regs->ip))
				return sbm_skip_probe(inst);
			/* There is no jump that it could have come from */
			regs->ip = detour;
		}
		if (!(error & X86_PF_INSTR) || regs->ip != cr2 ||
		    !sbm_skip_tracer(inst->arch))
			return sbm_stop(inst, SBM_CAUSE_PAGE_FAULT, -EFAULT);
		sbm_skipped(inst);
		return 0;
	}

	if (*last_ip == regs->ip && *last_addr == cr2)
		return sbm_internal(inst, "a page fault that nothing explains");

	*last_ip = regs->ip;
	*last_addr = cr2;
	sbm_stat_event(SBM_EVENT_STALE_FAULT);

	return 0;
}

/*
 * INT3 in text of the kernel or a module: put there by the kernel's own text
 * patching, by a probe, or by the compiler. With all gates closed to ring 3 it is a
 * #GP that names the vector.
 *
 * Text patching holds text_mutex while an INT3 stands in for an instruction. Once
 * it is ours, an INT3 that is still there is there to stay: a probe, which is not for
 * targets, or another one, which ends the call. Never emulate: that writes to the
 * target's stack with the kernel's rights.
 */
static int sbm_int3(struct sbm_instance *inst, unsigned int *retries)
{
	unsigned long ip = inst->arch->regs.ip;
	bool probe;
	u8 insn;
	int err;

	if (!sbm_is_text(inst->arch, ip))
		return sbm_stop(inst, SBM_CAUSE_PROTECTION, -EFAULT);

	mutex_lock(&text_mutex);
	err = sbm_read_text(inst->arch, ip, &insn);
	probe = !err && insn == INT3_INSN_OPCODE && sbm_is_probe(ip) &&
		!sbm_has_copy(inst->arch, ip);
	mutex_unlock(&text_mutex);
	if (err)
		return sbm_stop(inst, SBM_CAUSE_PROTECTION, -EFAULT);

	if (probe)
		return sbm_skip_probe(inst);
	if (insn == INT3_INSN_OPCODE)
		return sbm_stop(inst, SBM_CAUSE_PROBE, -EFAULT);

	/*
	 * The two-byte form, INT 3, ends here too, and so does an INT3 with a
	 * prefix, which never changes. Whoever patches text interrupts all CPUs
	 * several times, so many in a row without another event are none of it.
	 */
	if (insn == 0xcd || ++*retries > SBM_MAX_INT3_RETRIES)
		return sbm_stop(inst, SBM_CAUSE_PROTECTION, -EFAULT);

	sbm_stat_event(SBM_EVENT_STALE_INT3);

	return 0;
}

static enum sbm_cause sbm_exception_cause(unsigned int vector)
{
	switch (vector) {
	case X86_TRAP_DE:
	case X86_TRAP_OF:
	case X86_TRAP_BR:
		return SBM_CAUSE_ARITHMETIC;
	case X86_TRAP_DB:
	case X86_TRAP_BP:
		return SBM_CAUSE_DEBUG;
	case X86_TRAP_UD:
		return SBM_CAUSE_ILLEGAL_INSN;
	case X86_TRAP_NM:
	case X86_TRAP_MF:
	case X86_TRAP_XF:
		return SBM_CAUSE_FPU;
	case X86_TRAP_TS:
	case X86_TRAP_NP:
		return SBM_CAUSE_SEGMENT;
	case X86_TRAP_SS:
	case X86_TRAP_GP:
		return SBM_CAUSE_PROTECTION;
	default:
		return SBM_CAUSE_OTHER;
	}
}

/*
 * A machine check has started the way out again, and what the way out was for is
 * lost. If it was an interrupt, the processor has acknowledged it: without its
 * handler, the local APIC would hold back all of its priority and below for good.
 * Calls are made by tasks, with interrupts on: what is in service now is that one.
 */
static void sbm_deliver_lost_interrupt(void)
{
	int i;

	if (!boot_cpu_has(X86_FEATURE_APIC) || apic_is_disabled)
		return;

	for (i = 256 / 32 - 1; i >= FIRST_EXTERNAL_VECTOR / 32; i--) {
		u32 in_service = apic_read(APIC_ISR + i * 0x10);

		if (!in_service)
			continue;
		sbm_count(SBM_COUNT_INTERRUPT);
		x86_entry_from_kvm(EVENT_TYPE_EXTINT, i * 32 + __fls(in_service));
		return;
	}
}

/* The event came from ring 0, because the target sent the CPU there */
static int sbm_syscall(struct sbm_instance *inst)
{
	int err = sbm_stop(inst, SBM_CAUSE_SYSCALL, -EFAULT);
	struct sbm_fault *fault = &inst->fault;
	struct pt_regs *regs = &fault->regs;

	/*
	 * SYSCALL keeps the stack pointer, and leaves the next instruction's
	 * address in RCX and the flags in R11; SYSENTER keeps none of it.
	 */
	if (regs->ip == (unsigned long)entry_SYSCALL_64 ||
	    regs->ip == (unsigned long)entry_SYSCALL_compat) {
		regs->ip = regs->cx - 2;
		regs->flags = regs->r11;
	} else {
		regs->ip = 0;
		regs->sp = 0;
		regs->flags = 0;
	}
	regs->cs = __USER_CS;
	regs->ss = __USER_DS;
	fault->ip = regs->ip;
	fault->sp = regs->sp;

	return err;
}

/* What IRETQ will load must be a 64-bit ring 3 context, and nothing else */
static bool sbm_regs_ok(struct pt_regs *regs)
{
	regs->flags = (regs->flags & SBM_TARGET_FLAGS) | X86_EFLAGS_IF |
		      X86_EFLAGS_FIXED;

	return regs->cs == __USER_CS && regs->ss == __USER_DS &&
	       __is_canonical_address(regs->ip, __VIRTUAL_MASK_SHIFT + 1);
}

/*
 * Intel PT that traces a task in user mode would trace its target as well, and tell
 * whoever may trace the task, which takes no privilege, where kernel text is and what
 * the target does. It cannot be told apart by CR3 or address, and switching it off
 * would race with its driver, which switches it on and off from NMIs. So a call is
 * refused while it is on. Interrupts off: to start it for this task or CPU takes one,
 * and its own NMIs only come while it is on. (An event that counts in the kernel, which
 * takes a privilege, can have its NMI switch it on.)
 *
 * Tracing a CPU rather than a task is for the privileged, unless the administrator
 * has said otherwise. This spares others the read of the MSR.
 */
static bool sbm_is_traced(void)
{
	u64 ctl;

	if (unlikely(sbm_test_is_traced()))
		return true;
	if (!boot_cpu_has(X86_FEATURE_INTEL_PT) ||
	    (!current->perf_event_ctxp && sysctl_perf_event_paranoid > 0))
		return false;

	sbm_count(SBM_COUNT_MSR);
	rdmsrq(MSR_IA32_RTIT_CTL, ctl);

	return (ctl & RTIT_CTL_TRACEEN) && (ctl & RTIT_CTL_USR);
}

/*
 * The last look at what might keep the CPU from entering is with interrupts off:
 * what comes later comes with an interrupt, and that ends the stay.
 *
 * schedule() itself, not cond_resched(): that does nothing on kernels with full
 * or lazy preemption, and an interrupt that was forwarded with interrupts off has
 * not preempted. Signals that do not kill wait until the call is over, and so does
 * the freezer unless the caller lets it in.
 *
 * Return: 0 with interrupts off; or an error, with interrupts on and its cause set.
 */
static int sbm_prepare_entry(struct sbm_instance *inst)
{
	int err;

	for (;;) {
		local_irq_disable();
		err = sbm_must_stop(inst);
		if (unlikely(!err && sbm_is_traced())) {
			inst->fault.cause = SBM_CAUSE_TRACED;
			err = -EOPNOTSUPP;
		}
		/* The module that it runs in is being freed under its feet */
		if (unlikely(!err && READ_ONCE(inst->arch->module_gone))) {
			inst->fault.cause = SBM_CAUSE_PROTECTION;
			inst->fault.ip = inst->arch->regs.ip;
			inst->fault.sp = inst->arch->regs.sp;
			err = -EFAULT;
		}
		if (likely(!err && !sbm_must_freeze(inst) &&
			   !(read_thread_flags() &
			     (_TIF_NEED_RESCHED | _TIF_NEED_RESCHED_LAZY))))
			return 0;
		local_irq_enable();
		if (err)
			return err;

		if (sbm_must_freeze(inst))
			try_to_freeze();
		else
			schedule();
	}
}

/*
 * The target asks for something. What it has in its registers is a copy here, and of that
 * nothing but the result changes.
 */
static int sbm_host_call(struct sbm_instance *inst)
{
	struct pt_regs *regs = &inst->arch->regs;
	const unsigned long args[SBM_MAX_HOSTCALL_ARGS] = {
		regs->di, regs->si, regs->dx, regs->cx, regs->r8, regs->r9,
	};
	long result;
	int err;

	err = sbm_hostcall_serve(inst, regs->ax, args, &result);
	if (err)
		return sbm_stop(inst, inst->fault.cause, err);
	regs->ax = result;
	/* An endless loop of these may be interrupted in the kernel only */
	cond_resched_tasks_rcu_qs();

	return 0;
}

static int sbm_run_target(struct sbm_instance *inst, const struct sbm_call_desc *desc,
			  int *ret)
{
	struct arch_sbm *as = inst->arch;
	struct pt_regs *regs = &as->regs;
	unsigned long last_ip = 0, last_addr = 0;
	unsigned int int3_retries = 0;
	unsigned long *stack;

	sbm_phase(SBM_PHASE_CALL);

	/* Nothing of the kernel's goes in: all registers but these are zero */
	memset(regs, 0, sizeof(*regs));

	switch (desc->nr) {
	case 6:
		regs->r9 = desc->regs[5];
		fallthrough;
	case 5:
		regs->r8 = desc->regs[4];
		fallthrough;
	case 4:
		regs->cx = desc->regs[3];
		fallthrough;
	case 3:
		regs->dx = desc->regs[2];
		fallthrough;
	case 2:
		regs->si = desc->regs[1];
		fallthrough;
	case 1:
		regs->di = desc->regs[0];
		fallthrough;
	case 0:
		break;
	default:
		return sbm_internal(inst, "too many arguments");
	}

	/* As if called from there; the stack's last page is the last own page */
	stack = page_address(as->own[as->nr_own - 1]) + PAGE_SIZE;
	*--stack = (unsigned long)sbm_target_return;
	regs->sp = as->stack_high - sizeof(*stack);
	regs->ip = desc->target;
	regs->cs = __USER_CS;
	regs->ss = __USER_DS;

	for (;;) {
		unsigned long ip, detour = 0;
		struct sbm_event ev;
		unsigned int vector;
		int err;

		if (!sbm_regs_ok(regs)) {
			inst->fault.ip = regs->ip;
			inst->fault.sp = regs->sp;
			return sbm_stop(inst, SBM_CAUSE_SEGMENT, -EFAULT);
		}

		err = sbm_prepare_entry(inst);
		if (err) {
			/* What harmless events have left there says nothing */
			inst->fault.access = SBM_ACCESS_NONE;
			inst->fault.vector = 0;
			inst->fault.error_code = 0;
			inst->fault.address = 0;
			return sbm_stop(inst, inst->fault.cause, err);
		}
		sbm_time_begin(&inst->time);
		sbm_stay(inst, &ev);
		sbm_time_end(&inst->time);
		ip = regs->ip;
		if (sbm_leave_detour(as))
			detour = ip;
		if (unlikely(sbm_test_loses(ev.exit)))
			ev.exit = X86_TRAP_MC | SBM_EXIT_LOST;
		vector = ev.exit & SBM_EXIT_VECTOR;
		sbm_stat_event(sbm_event_kind(ev.exit));
		trace_sbm_event(inst->id, vector, regs->ip);
		if (ev.exit != X86_TRAP_PF || ev.apf) {
			/* An event between two page faults */
			last_ip = 0;
			last_addr = 0;
		}
		if (ev.exit != X86_TRAP_GP)
			int3_retries = 0;

		if (unlikely(ev.exit & SBM_EXIT_FATAL))
			panic("sbm: vector %u in ring 0 at %pS during the world switch",
			      vector, (void *)regs->ip);

		if (!(ev.exit & ~SBM_EXIT_VECTOR) && vector >= FIRST_EXTERNAL_VECTOR) {
			/*
			 * Acknowledged already, so hand it over as KVM does.
			 */
			sbm_count(SBM_COUNT_INTERRUPT);
			x86_entry_from_kvm(EVENT_TYPE_EXTINT, vector);
			raw_cpu_write(sbm_interrupted, NULL);
			local_irq_enable();
			/* A call may be longer than RCU's patience */
			cond_resched_tasks_rcu_qs();
			continue;
		}

		/* The rest is delivered, or is the caller's to deal with; it may sleep */
		raw_cpu_write(sbm_interrupted, NULL);

		if (unlikely(ev.exit & SBM_EXIT_LOST)) {
			sbm_stat_event(SBM_EVENT_LOST);
			sbm_deliver_lost_interrupt();
		}

		/*
		 * The host of a KVM guest has taken a page away: the "address" is a
		 * token. Waits with interrupts off.
		 */
		if (unlikely(ev.apf & KVM_PV_REASON_PAGE_NOT_PRESENT))
			kvm_async_pf_task_wait_schedule((u32)ev.cr2);
		local_irq_enable();
		if (unlikely(ev.apf)) {
			sbm_stat_event(SBM_EVENT_ASYNC_FAULT);
			continue;
		}

		if (vector == X86_TRAP_NMI) {
			/* Delivered. In entry text it was faster than the fault. */
			if (ev.exit & SBM_EXIT_SYSCALL)
				return sbm_syscall(inst);
			continue;
		}

		inst->fault.vector = vector;
		inst->fault.error_code = regs->orig_ax;
		/* What a page fault has left there after which the target went on */
		inst->fault.address = 0;
		inst->fault.access = SBM_ACCESS_NONE;
		inst->fault.ip = regs->ip;
		inst->fault.sp = regs->sp;

		if (vector == X86_TRAP_MC) {
			err = sbm_stop(inst, SBM_CAUSE_MACHINE_CHECK, -EFAULT);
			/* Once the target had left, these are the kernel's */
			if (ev.exit & (SBM_EXIT_LOST | SBM_EXIT_SYSCALL)) {
				inst->fault.has_regs = false;
				inst->fault.ip = 0;
				inst->fault.sp = 0;
			}
			return err;
		}
		if (ev.exit & SBM_EXIT_SYSCALL)
			return sbm_syscall(inst);
		if (ev.exit & ~SBM_EXIT_VECTOR)
			return sbm_internal(inst, "the entry to ring 3 failed");

		switch (vector) {
		case SBM_RETURN_VECTOR:
			*ret = regs->ax;
			return 0;

		case SBM_HOSTCALL_VECTOR:
			err = sbm_host_call(inst);
			if (err)
				return err;
			break;

		case X86_TRAP_PF:
			err = sbm_page_fault(inst, ev.cr2, detour, &last_ip,
					     &last_addr);
			if (err)
				return err;
			break;

		case X86_TRAP_GP:
			if (regs->orig_ax == SBM_INT3_ERROR_CODE ||
			    regs->orig_ax == SBM_INT3_ERROR_CODE_QEMU) {
				err = sbm_int3(inst, &int3_retries);
				if (err)
					return err;
				break;
			}
			return sbm_stop(inst, SBM_CAUSE_PROTECTION, -EFAULT);

		case X86_TRAP_NM:
			/* A use of dynamically enabled state leaves this set */
			if (cpu_feature_enabled(X86_FEATURE_XFD))
				wrmsrq(MSR_IA32_XFD_ERR, 0);
			return sbm_stop(inst, SBM_CAUSE_FPU, -EFAULT);

		default:
			return sbm_stop(inst, sbm_exception_cause(vector), -EFAULT);
		}
	}
}

int arch_sbm_call(struct sbm_instance *inst, const struct sbm_call_desc *desc,
		  int *ret)
{
	int err = sbm_run_target(inst, desc, ret);

	sbm_drop_copies(inst);

	return err;
}
