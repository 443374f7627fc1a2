// SPDX-License-Identifier: GPL-2.0
/*
 * Sandbox mode (SBM) on x86-64: gates, and whether strong isolation can be had.
 */
#define pr_fmt(fmt) "sbm: " fmt

#include <linux/cc_platform.h>
#include <linux/cpufeature.h>
#include <linux/cpumask.h>
#include <linux/err.h>
#include <linux/gfp.h>
#include <linux/mutex.h>
#include <linux/percpu.h>
#include <linux/printk.h>
#include <linux/processor.h>
#include <linux/set_memory.h>
#include <linux/vmalloc.h>

#include <asm/desc.h>

#include <sbm/sbm.h>
#include "gate.h"
#include "sandbox.h"

static struct sbm_gate *sbm_gates;

struct sbm_gate *sbm_gate(unsigned int cpu)
{
	return &sbm_gates[cpu];
}

static void sbm_idt_fill(gate_desc *idt)
{
	unsigned int i;

	for (i = 0; i < 256; i++) {
		unsigned long stub = (unsigned long)sbm_stubs + i * SBM_STUB_SIZE;
		unsigned int dpl = sbm_is_open_vector(i) ? 3 : 0;
		unsigned int ist = SBM_IST_EVENT;

		if (i == X86_TRAP_NMI) {
			stub = (unsigned long)sbm_nmi_stub;
			ist = SBM_IST_NMI;
		} else if (i == X86_TRAP_MC) {
			stub = (unsigned long)sbm_mce_stub;
			ist = IST_INDEX_MCE + 1;
		}

		pack_gate(&idt[i], GATE_INTERRUPT, stub, dpl, ist, __KERNEL_CS);
	}
}

/*
 * One gate per possible CPU, so that nothing has to be done when one comes up.
 *
 * They are vmalloc memory: sandboxes map them at the same addresses, for ring 0
 * only, and SIDT must not show ring 3 an address of the direct map.
 *
 * The IST slots are written for other CPUs as well. They do not use them before
 * they load a gate's IDT, which the caller's publication of the gates orders
 * after this.
 */
int sbm_gates_create(void)
{
	unsigned long size = nr_cpu_ids * sizeof(struct sbm_gate);
	struct sbm_gate *gates;
	unsigned int cpu;

	gates = __vmalloc_node(size, SBM_GATE_SIZE, GFP_KERNEL | __GFP_ZERO,
			       NUMA_NO_NODE, __builtin_return_address(0));
	if (!gates)
		return -ENOMEM;

	for_each_possible_cpu(cpu) {
		struct x86_hw_tss *tss = &per_cpu(cpu_tss_rw, cpu).x86_tss;
		struct sbm_gate *gate = &gates[cpu];

		sbm_idt_fill(gate->idt);
		gate->state.sbm_idt.address = (unsigned long)gate->idt;
		gate->state.sbm_idt.size = sizeof(gate->idt) - 1;

		tss->ist[SBM_IST_EVENT - 1] = (unsigned long)gate->events + PAGE_SIZE;
		tss->ist[SBM_IST_NMI - 1] = (unsigned long)gate->nmi + PAGE_SIZE;

		if (set_memory_ro((unsigned long)gate->idt, 1))
			pr_warn_once("gate IDTs stay writable in the kernel\n");
	}

	sbm_gates = gates;

	return 0;
}

/* For a failure during setup: nothing has used the gates yet */
static void sbm_gates_destroy(void)
{
	unsigned int cpu;

	for_each_possible_cpu(cpu) {
		struct x86_hw_tss *tss = &per_cpu(cpu_tss_rw, cpu).x86_tss;

		tss->ist[SBM_IST_EVENT - 1] = 0;
		tss->ist[SBM_IST_NMI - 1] = 0;
		set_memory_rw((unsigned long)sbm_gates[cpu].idt, 1);
	}
	vfree(sbm_gates);
	sbm_gates = NULL;
}

/*
 * What the switch relies on. SMEP and SMAP keep ring 0 from the pages that ring 3
 * can write while the sandbox's tables are loaded, FSGSBASE makes the kernel's
 * paranoid entries ignore the sign of the GS base, which is negative in a
 * sandbox.
 */
static const char *sbm_missing(void)
{
	if (!boot_cpu_has(X86_FEATURE_NX))
		return "the processor has no NX, or it is switched off";
	if (!boot_cpu_has(X86_FEATURE_SMEP))
		return "the processor has no SMEP, or it is switched off";
	if (!boot_cpu_has(X86_FEATURE_SMAP))
		return "the processor has no SMAP, or it is switched off";
	if (!boot_cpu_has(X86_FEATURE_FSGSBASE))
		return "the processor has no FSGSBASE, or it is switched off";
	if (cpu_feature_enabled(X86_FEATURE_FRED))
		return "FRED is in use (fred=off switches it off)";
	if (cpu_feature_enabled(X86_FEATURE_XENPV))
		return "this is a Xen PV guest";
	if (cc_platform_has(CC_ATTR_GUEST_STATE_ENCRYPT) ||
	    cpu_feature_enabled(X86_FEATURE_TDX_GUEST))
		return "this is a guest with encrypted state";

	return NULL;
}

static const char *sbm_setup(void)
{
	const char *reason = sbm_missing();

	if (reason)
		return reason;
	if (sbm_gates_create())
		return "not enough memory for the gates";
	if (sbm_shared_create()) {
		sbm_gates_destroy();
		return "the tables that sandboxes share could not be built";
	}

	/*
	 * If this fails the gates and tables stay: the walk has found an entry that
	 * it cannot change, which is a bug, and worth to be looked at.
	 */
	if (sbm_text_nonglobal())
		return "kernel text could not be made non-global";

	return NULL;
}

const char *arch_sbm_available(void)
{
	static DEFINE_MUTEX(lock);
	static const char *reason;
	static bool done;

	/* Pairs with the release below: the gates are published with it */
	if (smp_load_acquire(&done))
		return reason;

	mutex_lock(&lock);
	if (!done) {
		reason = sbm_setup();
		if (!reason)
			pr_info("strong isolation is available\n");
		/* Pairs with the acquire above */
		smp_store_release(&done, true);
	}
	mutex_unlock(&lock);

	return reason;
}
