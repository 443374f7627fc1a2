// SPDX-License-Identifier: GPL-2.0
/*
 * Sandbox mode (SBM) on x86-64: what a report says of registers, stack and addresses.
 *
 * All of it is the target's, and may have been made to hurt who looks at it. Nothing
 * is read but text that a target may execute and the instance's own stack, which is
 * found through the instance's own tables.
 */
#include <linux/align.h>
#include <linux/kallsyms.h>
#include <linux/kasan.h>
#include <linux/kernel.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/percpu.h>
#include <linux/pfn.h>
#include <linux/rcupdate.h>
#include <linux/sbm.h>
#include <linux/sprintf.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include <asm/cpu_entry_area.h>
#include <asm/insn.h>
#include <asm/orc_types.h>
#include <asm/ptrace.h>
#include <asm/sbm.h>
#include <asm/sections.h>
#include <asm/unwind.h>

#include <sbm/sbm.h>
#include "sandbox.h"

/* Bytes before and from the instruction that are shown */
#define SBM_INSN_BEFORE		16
#define SBM_INSN_FROM		16

/* Text addresses that are shown of a stack that does not lead anywhere */
#define SBM_MAX_GUESSES		16

/* === Addresses === */

bool arch_sbm_area(const struct arch_sbm *as, unsigned int i, struct sbm_area *area)
{
	if (!i) {
		area->name = "stack";
		area->start = as->stack_low;
		area->end = as->stack_high;
	} else if (i == 1) {
		area->name = "stand-in for the current task";
		area->start = as->zero;
		area->end = as->zero_end;
	} else if (i - 2 < as->nr_shadow) {
		area->name = "stand-in for per-CPU data";
		area->start = as->shadow[i - 2];
		area->end = area->start + PAGE_SIZE;
	} else if (i - 2 == as->nr_shadow) {
		area->name = "information for code inside";
		area->start = SBM_INFO;
		area->end = SBM_INFO + PAGE_SIZE;
	} else {
		return false;
	}

	return true;
}

static bool sbm_in(unsigned long addr, const void *start, const void *end)
{
	return addr >= (unsigned long)start && addr < (unsigned long)end;
}

/* What the kernel has at @addr; @symbol: which may have a name */
static const char *sbm_kernel_address(unsigned long addr, bool *symbol)
{
	*symbol = true;
	if (sbm_in(addr, __sbm_entry_start, __sbm_entry_end) ||
	    sbm_in(addr, __sbm_switch_start, __sbm_switch_end))
		return "entry text of the kernel";
	if (sbm_in(addr, _stext, _etext))
		return "kernel text";
	if (is_module_text_address(addr))
		return "text of a module";

	*symbol = IS_ENABLED(CONFIG_KALLSYMS_ALL);
	if (is_module_address(addr))
		return "data of a module";
	if (sbm_in(addr, __start_rodata, __end_rodata) &&
	    !sbm_in(addr, __start_ro_after_init, __end_ro_after_init))
		return "constants of the kernel";
	if (sbm_in(addr, _text, _end))
		return "data of the kernel";

	*symbol = false;
	if (addr < PAGE_SIZE)
		return "the first page of user space, as of a NULL pointer";
	if (addr < TASK_SIZE_MAX)
		return "user space";
	if (!__is_canonical_address(addr, __VIRTUAL_MASK_SHIFT + 1))
		return "no canonical address";
	if (addr >= CPU_ENTRY_AREA_BASE && addr - CPU_ENTRY_AREA_BASE < P4D_SIZE)
		return "the CPU entry area";
#ifdef CONFIG_KASAN
	if (addr >= KASAN_SHADOW_START && addr < KASAN_SHADOW_END)
		return "KASAN's shadow";
#endif
	if (is_vmalloc_addr((void *)addr))
		return "the kernel's vmalloc range";
	if (virt_addr_valid((void *)addr))
		return "memory of the kernel";

	return NULL;
}

int arch_sbm_describe(const struct arch_sbm *as, unsigned long addr, char *buf,
		      size_t size)
{
	unsigned long offset = addr - as->gsbase;
	bool symbol, reach;
	const char *what;
	u64 rights, pfn;

	/* Not zero-based in all kernels, and around the window all the same */
	if (offset >= (unsigned long)__per_cpu_start &&
	    offset < (unsigned long)__per_cpu_end)
		return scnprintf(buf, size, "out of reach: per-CPU data at offset %#lx",
				 offset);

	what = sbm_kernel_address(addr, &symbol);
	if (!what)
		return 0;

	reach = sbm_lookup(as, addr, &rights, &pfn) && (rights & _PAGE_USER);

	/* Last: what turns symbols into lines looks for them there */
	if (symbol)
		return scnprintf(buf, size, "%s%s, %pS", reach ? "" : "out of reach: ",
				 what, (void *)addr);

	return scnprintf(buf, size, "%s%s", reach ? "" : "out of reach: ", what);
}

/* === Registers and instruction === */

/* A byte of text. The module may be gone under the target's feet. */
static bool sbm_peek_text(const struct arch_sbm *as, unsigned long addr, u8 *byte)
{
	return sbm_is_text(as, addr) &&
	       !copy_from_kernel_nofault(byte, (void *)addr, 1);
}

/*
 * Is there a GS prefix, which is before all but other prefixes? Where the stand-ins for
 * per-CPU data are, an address below these is not canonical, so there is none to tell.
 */
static bool sbm_insn_uses_gs(const struct arch_sbm *as, unsigned long ip)
{
	unsigned long end = ip + MAX_INSN_SIZE;
	u8 byte;

	for (; ip < end && sbm_peek_text(as, ip, &byte); ip++) {
		switch (byte) {
		case 0x65:
			return true;
		case 0x26: case 0x2e: case 0x36: case 0x3e: case 0x64:
		case 0x66: case 0x67: case 0xf0: case 0xf2: case 0xf3:
			break;
		default:
			return false;
		}
	}

	return false;
}

static void sbm_report_insn(struct sbm_out *out, const struct arch_sbm *as,
			    unsigned long ip)
{
	char line[3 * (SBM_INSN_BEFORE + SBM_INSN_FROM) + 3];
	unsigned int i, len = 0;

	if (!sbm_is_text(as, ip))
		return;

	for (i = 0; i < SBM_INSN_BEFORE + SBM_INSN_FROM; i++) {
		unsigned long addr = ip - SBM_INSN_BEFORE + i;
		const char *format = addr == ip ? " <%02x>" : " %02x";
		u8 byte;

		if (sbm_peek_text(as, addr, &byte))
			len += scnprintf(line + len, sizeof(line) - len, format, byte);
		else
			len += scnprintf(line + len, sizeof(line) - len, " ??");
	}
	sbm_say(out, "  instruction:%s", line);
}

void arch_sbm_report_state(struct sbm_out *out, const struct sbm_instance *inst)
{
	const struct pt_regs *regs = &inst->fault.regs;

	if (inst->fault.cause == SBM_CAUSE_PROTECTION &&
	    sbm_insn_uses_gs(inst->arch, regs->ip))
		sbm_say(out, "  the instruction uses per-CPU data, out of reach");
	sbm_report_insn(out, inst->arch, regs->ip);
	sbm_say(out, "  rip %016lx rsp %016lx rflags %08lx cs %02x ss %02x",
		regs->ip, regs->sp, regs->flags, (u16)regs->cs, (u16)regs->ss);
	sbm_say(out, "  rax %016lx rbx %016lx rcx %016lx rdx %016lx",
		regs->ax, regs->bx, regs->cx, regs->dx);
	sbm_say(out, "  rsi %016lx rdi %016lx rbp %016lx r8  %016lx",
		regs->si, regs->di, regs->bp, regs->r8);
	sbm_say(out, "  r9  %016lx r10 %016lx r11 %016lx r12 %016lx",
		regs->r9, regs->r10, regs->r11, regs->r12);
	sbm_say(out, "  r13 %016lx r14 %016lx r15 %016lx",
		regs->r13, regs->r14, regs->r15);
}

/* === Backtrace === */

/**
 * struct sbm_unwind - a place on the way from the stop to the target's entry
 * @as:	   The instance's state.
 * @ip:	   Address of the instruction (@exact), or that a call returns to.
 * @sp:	   Stack pointer there.
 * @bp:	   RBP there.
 * @regs:  All registers, only as long as @exact.
 * @exact: No step was made yet.
 */
struct sbm_unwind {
	const struct arch_sbm	*as;
	unsigned long		ip;
	unsigned long		sp;
	unsigned long		bp;
	const struct pt_regs	*regs;
	bool			exact;
};

/* Read a word of the target's stack, through the kernel's own mapping of its page */
static bool sbm_read_stack(const struct arch_sbm *as, unsigned long addr,
			   unsigned long *val)
{
	const void *page;
	u64 rights, pfn;

	if (!IS_ALIGNED(addr, sizeof(*val)) || addr < as->stack_low ||
	    addr >= as->stack_high)
		return false;
	if (!sbm_lookup(as, addr, &rights, &pfn))
		return false;

	page = page_address(pfn_to_page(pfn));
	*val = READ_ONCE(*(const unsigned long *)(page + offset_in_page(addr)));

	return true;
}

/* Does a call return to @ip? */
static bool sbm_is_return_address(const struct arch_sbm *as, unsigned long ip)
{
	return sbm_is_text(as, ip - 1);
}

/* Go to where the word at @addr, which a call has pushed, says */
static bool sbm_unwind_return(struct sbm_unwind *u, unsigned long addr)
{
	unsigned long ip;

	/*
	 * Each call has used some of the stack: whatever the target has written there,
	 * the way goes up, and ends.
	 */
	if (!u->exact && addr < u->sp)
		return false;
	if (!sbm_read_stack(u->as, addr, &ip) || !sbm_is_return_address(u->as, ip))
		return false;

	u->ip = ip;
	u->sp = addr + sizeof(ip);
	u->exact = false;

	return true;
}

#ifdef CONFIG_UNWINDER_ORC

/* Where the frame of the function ends: its caller's stack pointer before the call */
static bool sbm_unwind_cfa(const struct sbm_unwind *u, const struct orc_entry *orc,
			   unsigned long *cfa)
{
	switch (orc->sp_reg) {
	case ORC_REG_SP:
		*cfa = u->sp + orc->sp_offset;
		return true;
	case ORC_REG_BP:
		*cfa = u->bp + orc->sp_offset;
		return true;
	case ORC_REG_SP_INDIRECT:
		if (!sbm_read_stack(u->as, u->sp, cfa))
			return false;
		*cfa += orc->sp_offset;
		return true;
	case ORC_REG_BP_INDIRECT:
		return sbm_read_stack(u->as, u->bp + orc->sp_offset, cfa);
#ifdef ORC_REG_AX
	/* Later kernels realign with it, too */
	case ORC_REG_AX:
		*cfa = u->regs->ax;
		return u->exact;
#endif
	case ORC_REG_R10:
		*cfa = u->regs->r10;
		return u->exact;
	case ORC_REG_R13:
		*cfa = u->regs->r13;
		return u->exact;
	case ORC_REG_DI:
		*cfa = u->regs->di;
		return u->exact;
	case ORC_REG_DX:
		*cfa = u->regs->dx;
		return u->exact;
	default:
		return false;
	}
}

/* From a function to its caller, by what objtool knows of the place where it is */
static bool sbm_unwind_step(struct sbm_unwind *u)
{
	struct orc_entry orc;
	const struct orc_entry *found;
	unsigned long cfa, bp;

	/* A copy: the entry of a module that is gone goes with it */
	rcu_read_lock_sched();
	found = orc_find(u->exact ? u->ip : u->ip - 1);
	if (found)
		orc = *found;
	rcu_read_unlock_sched();

	/* Nothing that a target calls has another frame than that of a call */
	if (!found || orc.type != ORC_TYPE_CALL || !sbm_unwind_cfa(u, &orc, &cfa))
		return false;

	bp = u->bp;
	if (orc.bp_reg == ORC_REG_PREV_SP) {
		if (!sbm_read_stack(u->as, cfa + orc.bp_offset, &bp))
			return false;
	} else if (orc.bp_reg == ORC_REG_BP) {
		if (!sbm_read_stack(u->as, u->bp + orc.bp_offset, &bp))
			return false;
	}

	if (!sbm_unwind_return(u, cfa - sizeof(long)))
		return false;
	u->bp = bp;

	return true;
}

#else /* CONFIG_UNWINDER_ORC */

static bool sbm_unwind_step(struct sbm_unwind *u)
{
	return false;
}

#endif /* CONFIG_UNWINDER_ORC */

/* Where the kernel has entered the target: nothing else leaves this on the stack there */
static bool sbm_unwind_at_entry(const struct sbm_unwind *u)
{
	return u->ip == (unsigned long)sbm_target_return && u->sp == u->as->stack_high;
}

/* What looks like return addresses, from where the backtrace has broken off */
static void sbm_guess(const struct sbm_unwind *u, struct sbm_trace *trace)
{
	const struct arch_sbm *as = u->as;
	unsigned long addr, val;
	unsigned int nr = 0;

	addr = max(ALIGN(u->sp, sizeof(val)), as->stack_low);
	for (; nr < SBM_MAX_GUESSES && sbm_read_stack(as, addr, &val); addr += sizeof(val)) {
		if (val == (unsigned long)sbm_target_return ||
		    !sbm_is_return_address(as, val))
			continue;
		sbm_trace_add(trace, val, false);
		nr++;
	}
}

void arch_sbm_backtrace(const struct sbm_instance *inst, struct sbm_trace *trace)
{
	const struct pt_regs *regs = &inst->fault.regs;
	struct sbm_unwind u = {
		.as	= inst->arch,
		.ip	= regs->ip,
		.sp	= regs->sp,
		.bp	= regs->bp,
		.regs	= regs,
		.exact	= true,
	};
	bool more;

	sbm_trace_add(trace, u.ip, true);

	/* It has called, or jumped to, what is no text: who did it is on the stack */
	if (!sbm_is_text(u.as, u.ip) && !sbm_unwind_return(&u, u.sp)) {
		sbm_guess(&u, trace);
		return;
	}

	/* On its way out */
	if (u.exact && u.ip == (unsigned long)sbm_target_return) {
		trace->entry = u.sp == u.as->stack_high;
		return;
	}

	for (more = !u.exact || sbm_unwind_step(&u); more; more = sbm_unwind_step(&u)) {
		if (sbm_unwind_at_entry(&u)) {
			trace->entry = true;
			return;
		}
		sbm_trace_add(trace, u.ip, true);
	}

	sbm_guess(&u, trace);
}
