// SPDX-License-Identifier: GPL-2.0
/*
 * Sandbox mode (SBM) on x86-64: targets that are traced or probed.
 *
 * Tracers and probes change text that targets share with the kernel: it calls, jumps
 * to, or traps into code that wants all of the kernel. Inside, that code would run with
 * the rights of the target; outside, it would take the target's registers for the
 * kernel's. So a target goes on as if there were none:
 *
 *  - A tracer is called at the start of a function. No sandbox maps what is called, so
 *    the fetch of its first instruction faults. The run loop returns for it.
 *
 *  - A probe replaces an instruction by INT3, or some by a jump to a detour. From the
 *    first time that a target meets one until its call ends, the instance has a copy of
 *    that page of text, with the original instructions.
 *
 * Why not for longer: text that is patched would have to be followed in all copies, of
 * instances that may never run again.
 */
#include <linux/align.h>
#include <linux/errno.h>
#include <linux/err.h>
#include <linux/ftrace.h>
#include <linux/gfp.h>
#include <linux/jump_label.h>
#include <linux/kprobes.h>
#include <linux/list.h>
#include <linux/memory.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/pgtable.h>
#include <linux/preempt.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/static_call.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include <asm/sbm.h>
#include <asm/text-patching.h>

#include <sbm/debugfs.h>
#include <sbm/sbm.h>
#include "sandbox.h"

/* === Tracers === */

/* Can a tracer begin there? What ftrace and BPF allocate is where modules are. */
static bool sbm_may_be_tracer(unsigned long addr)
{
	return (addr >= (unsigned long)__sbm_tracer_start &&
		addr < (unsigned long)__sbm_tracer_end) ||
	       (addr >= MODULES_VADDR && addr < MODULES_END);
}

/*
 * Read a word that the target can have pushed: it is private to the instance, or a
 * buffer, and the target may write it. Through the kernel's own mapping of the page.
 */
static bool sbm_read_pushed(const struct arch_sbm *as, unsigned long addr,
			    unsigned long *val)
{
	const void *page;
	u64 rights, pfn;

	if (!IS_ALIGNED(addr, sizeof(*val)) || addr < SBM_WINDOW_START ||
	    addr >= SBM_WINDOW_END)
		return false;
	if (!sbm_lookup(as, addr, &rights, &pfn) || !(rights & _PAGE_USER) ||
	    !(rights & _PAGE_RW))
		return false;

	page = page_address(pfn_to_page(pfn));
	*val = READ_ONCE(*(const unsigned long *)(page + offset_in_page(addr)));

	return true;
}

/*
 * The target's fetch of an instruction has faulted. If a traced function has called its
 * tracer, do what RET would do there.
 *
 * What tells is the return address: behind an instruction that belongs to ftrace.
 * Whether that is a call now does not matter, the tracer may be gone again. A target
 * can put such an address on its stack and jump here. It gets nothing by that which a
 * RET of its own would not do: the next instruction is one that it may execute, and no
 * register but these two changes.
 */
bool sbm_skip_tracer(struct arch_sbm *as)
{
	struct pt_regs *regs = &as->regs;
	unsigned long ret, site;

	if (!sbm_may_be_tracer(regs->ip) ||
	    !sbm_read_pushed(as, regs->sp, &ret))
		return false;

	site = ret - CALL_INSN_SIZE;
	if (!sbm_is_text(as, site) || ftrace_location(site) != site)
		return false;

	regs->ip = ret;
	regs->sp += sizeof(ret);

	return true;
}

/* === Probes === */

/*
 * Pages of text that the target of one call can have without probes. Each takes some
 * time, which does not count as the target's.
 */
#define SBM_MAX_COPIES		128

/**
 * struct sbm_text_copy - a page of text without probes
 * @list:  Entry in &arch_sbm.copies.
 * @addr:  Where it is mapped.
 * @page:  The page.
 * @entry: What maps it.
 * @old:   What @entry was before.
 */
struct sbm_text_copy {
	struct list_head	list;
	unsigned long		addr;
	struct page		*page;
	u64			*entry;
	u64			old;
};

static const struct sbm_text_copy *sbm_find_copy(const struct arch_sbm *as,
						 unsigned long addr)
{
	const struct sbm_text_copy *copy;

	list_for_each_entry(copy, &as->copies, list) {
		if (copy->addr == (addr & PAGE_MASK))
			return copy;
	}

	return NULL;
}

/* Does the target have its own copy of the text at @addr? */
bool sbm_has_copy(const struct arch_sbm *as, unsigned long addr)
{
	return sbm_find_copy(as, addr);
}

/* For the dump: is that the page that stands in for the text at @addr? */
bool sbm_is_copy(const struct arch_sbm *as, unsigned long addr, unsigned long pfn)
{
	const struct sbm_text_copy *copy = sbm_find_copy(as, addr);

	return copy && page_to_pfn(copy->page) == pfn;
}

/* The byte of text that the target has at @addr, with text_mutex held */
int sbm_read_text(const struct arch_sbm *as, unsigned long addr, u8 *byte)
{
	const struct sbm_text_copy *copy = sbm_find_copy(as, addr);
	const void *from = (void *)addr;

	if (copy)
		from = page_address(copy->page) + offset_in_page(addr);

	/* A module whose init function has failed is gone all the same */
	return copy_from_kernel_nofault(byte, from, sizeof(*byte));
}

#ifdef CONFIG_KPROBES

/* The probe at @addr, if it may be an INT3. With preemption disabled. */
static struct kprobe *sbm_get_probe(unsigned long addr)
{
	struct kprobe *kp = get_kprobe((void *)addr);

	/* The others are functions that ftrace calls */
	return kp && !kprobe_ftrace(kp) ? kp : NULL;
}

/*
 * The INT3 at @addr: is it a probe's? With text_mutex held: a probe gets its INT3
 * after it can be found, and loses it before it cannot.
 */
bool sbm_is_probe(unsigned long addr)
{
	bool found;

	preempt_disable();
	found = sbm_get_probe(addr);
	preempt_enable();

	return found;
}

#ifdef CONFIG_OPTPROBES

/* Is there the jump of an optimized probe to its detour? Then what it has replaced. */
static bool sbm_replaced_by_jump(struct kprobe *kp, u8 insn[JMP32_INSN_SIZE])
{
	struct optimized_kprobe *op;
	unsigned long dest;
	s32 offset;

	if (!kprobe_optimized(kp) ||
	    copy_from_kernel_nofault(&offset, kp->addr + 1, sizeof(offset)))
		return false;

	/* It may be about to become one, or not to be one any more */
	op = container_of(kp, struct optimized_kprobe, kp);
	dest = (unsigned long)kp->addr + JMP32_INSN_SIZE + offset;
	if (dest != (unsigned long)op->optinsn.insn)
		return false;

	insn[0] = kp->opcode;
	memcpy(&insn[1], op->optinsn.copied_insn, DISP32_SIZE);

	return true;
}

/*
 * The target has jumped to the detour of a probe, or is about to: send it back to where
 * it has come from. Right after a stay, before anything else, with interrupts off:
 * whoever takes a probe away waits for this CPU before he forgets where it was.
 *
 * A target that has gone there on its own has chosen where to go on from among the
 * places where it could have gone at once.
 */
bool sbm_leave_detour(struct arch_sbm *as)
{
	struct pt_regs *regs = &as->regs;
	struct kprobe *kp;

	if (likely(regs->ip < MODULES_VADDR || regs->ip >= MODULES_END) ||
	    !is_kprobe_optinsn_slot(regs->ip))
		return false;

	kp = get_kprobe_of_optinsn_slot(regs->ip);
	if (!kp || !sbm_is_text(as, (unsigned long)kp->addr))
		return false;

	regs->ip = (unsigned long)kp->addr;

	return true;
}

#else /* CONFIG_OPTPROBES */

static bool sbm_replaced_by_jump(struct kprobe *kp, u8 insn[JMP32_INSN_SIZE])
{
	return false;
}

#endif /* CONFIG_OPTPROBES */

/*
 * @text is a copy of the page at @addr: put back what the probe at @offset has
 * replaced, if there is one. Offsets below zero are on the page before.
 */
static void sbm_remove_probe(u8 *text, unsigned long addr, int offset, u8 byte)
{
	u8 insn[JMP32_INSN_SIZE];
	unsigned int i, nr = 0;
	struct kprobe *kp;

	preempt_disable();
	kp = sbm_get_probe(addr + offset);
	if (kp && byte == INT3_INSN_OPCODE) {
		insn[0] = kp->opcode;
		nr = 1;
	} else if (kp && sbm_replaced_by_jump(kp, insn)) {
		nr = sizeof(insn);
	}
	preempt_enable();

	for (i = 0; i < nr; i++, offset++) {
		if (offset >= 0 && offset < PAGE_SIZE)
			text[offset] = insn[i];
	}
}

/* The same for all probes, with text_mutex held */
static void sbm_remove_probes(u8 *text, unsigned long addr)
{
	u8 before[JMP32_INSN_SIZE - 1];
	int i;

	/* There may be no page before */
	if (copy_from_kernel_nofault(before, (void *)addr - sizeof(before),
				     sizeof(before)))
		memset(before, 0, sizeof(before));

	for (i = -(int)sizeof(before); i < (int)PAGE_SIZE; i++) {
		u8 byte = i < 0 ? before[i + sizeof(before)] : text[i];

		if (byte == INT3_INSN_OPCODE || byte == JMP32_INSN_OPCODE)
			sbm_remove_probe(text, addr, i, byte);
	}
}

/* Can a probe's jump lie on both sides of @addr, now or once it is optimized? */
static bool sbm_probe_spans(unsigned long addr)
{
	unsigned int i;

	for (i = 1; i < JMP32_INSN_SIZE; i++) {
		if (sbm_is_probe(addr - i))
			return true;
	}

	return false;
}

#else /* CONFIG_KPROBES */

bool sbm_is_probe(unsigned long addr)
{
	return false;
}

static void sbm_remove_probes(u8 *text, unsigned long addr) { }

static bool sbm_probe_spans(unsigned long addr)
{
	return false;
}

#endif /* CONFIG_KPROBES */

/*
 * Does an instruction that may be patched lie on both sides of @addr, the boundary of
 * two pages? If it was patched when the target has a copy of one of these only, it
 * would be half one and half the other. With jump_label_lock() and text_mutex held.
 */
static bool sbm_is_seam(unsigned long addr)
{
	void *before = (void *)(addr - 1);
	void *behind = (void *)addr;

	return (jump_label_text_reserved(before, before) &&
		jump_label_text_reserved(behind, behind)) ||
	       (static_call_text_reserved(before, before) &&
		static_call_text_reserved(behind, behind)) ||
	       sbm_probe_spans(addr);
}

/* Have the target execute a copy of the page of text at @addr. text_mutex is held. */
static int sbm_copy_page(struct arch_sbm *as, unsigned long addr)
{
	struct sbm_text_copy *copy;
	int err;

	if (as->nr_copies >= sbm_test_max_copies(SBM_MAX_COPIES))
		return -ENOSPC;
	copy = kmalloc(sizeof(*copy), GFP_KERNEL_ACCOUNT);
	if (!copy)
		return -ENOMEM;

	copy->addr = addr;
	copy->page = sbm_alloc_page(as->memory);
	if (IS_ERR(copy->page)) {
		err = PTR_ERR(copy->page);
		goto out_free;
	}

	err = copy_from_kernel_nofault(page_address(copy->page), (void *)addr,
				       PAGE_SIZE);
	if (err)
		goto out_free_page;
	sbm_remove_probes(page_address(copy->page), addr);

	err = sbm_replace_text(as, addr, copy->page, &copy->entry, &copy->old);
	if (err)
		goto out_free_page;
	list_add(&copy->list, &as->copies);
	as->nr_copies++;

	return 0;

out_free_page:
	sbm_free_page(as->memory, copy->page);
out_free:
	kfree(copy);
	return err;
}

/*
 * Let the target execute the text at @addr without probes, from now until the end of
 * the call.
 */
int sbm_copy_text(struct sbm_instance *inst, unsigned long addr)
{
	unsigned long start = addr & PAGE_MASK, end = start + PAGE_SIZE;
	struct arch_sbm *as = inst->arch;
	unsigned int flags;
	int err = 0;

	/* Others who wait for these locks may be what writes memory out */
	flags = memalloc_noio_save();
	sbm_debugfs_lock(inst);
	jump_label_lock();
	/* All INT3 that are left are there to stay */
	mutex_lock(&text_mutex);

	while (end - start <= SBM_MAX_COPIES * PAGE_SIZE && sbm_is_seam(start))
		start -= PAGE_SIZE;
	while (end - start <= SBM_MAX_COPIES * PAGE_SIZE && sbm_is_seam(end))
		end += PAGE_SIZE;
	for (; !err && start < end; start += PAGE_SIZE) {
		if (!sbm_find_copy(as, start))
			err = sbm_copy_page(as, start);
	}

	mutex_unlock(&text_mutex);
	jump_label_unlock();
	sbm_debugfs_unlock(inst);
	memalloc_noio_restore(flags);

	return err;
}

/* The call is over: have all of the kernel's text again */
void sbm_drop_copies(struct sbm_instance *inst)
{
	struct arch_sbm *as = inst->arch;
	struct sbm_text_copy *copy, *next;

	if (likely(list_empty(&as->copies)))
		return;

	sbm_debugfs_lock(inst);
	list_for_each_entry_safe(copy, next, &as->copies, list) {
		WRITE_ONCE(*copy->entry, copy->old);
		list_del(&copy->list);
		sbm_free_page(as->memory, copy->page);
		kfree(copy);
	}
	as->nr_copies = 0;
	sbm_tables_changed(as);
	sbm_debugfs_unlock(inst);
}
