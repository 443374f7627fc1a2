// SPDX-License-Identifier: GPL-2.0
/*
 * Sandbox mode (SBM) on x86-64: hooks for the KUnit suites. See asm/sbm.h.
 */
#include <linux/sbm.h>
#include <linux/smp.h>

#include <asm/sbm.h>

#include <sbm/sbm.h>
#include "sandbox.h"

static const struct arch_sbm *sbm_arch(const struct sbm *sbm)
{
	if (sbm_instance_isolation(sbm) != SBM_ISOLATION_STRONG)
		return NULL;

	return sbm->instance->arch;
}

bool x86_sbm_test_layout(const struct sbm *sbm, struct x86_sbm_layout *l)
{
	const struct arch_sbm *as = sbm_arch(sbm);
	struct sbm_gate *gate;

	if (!as)
		return false;

	gate = sbm_gate(raw_smp_processor_id());
	l->window_start	= SBM_WINDOW_START;
	l->window_end	= SBM_WINDOW_END;
	l->gate_idt	= (unsigned long)gate->idt;
	l->gate_state	= (unsigned long)&gate->state;
	l->gate_event	= (unsigned long)gate->events;
	l->gate_nmi	= (unsigned long)gate->nmi;
	l->top_table	= (unsigned long)as->top;
	l->stack_low	= as->stack_low;
	l->stack_high	= as->stack_high;
	l->gs_base	= as->gsbase;

	return true;
}

bool x86_sbm_test_lookup(const struct sbm *sbm, unsigned long addr, u64 *rights,
			 u64 *pfn)
{
	const struct arch_sbm *as = sbm_arch(sbm);

	return as && sbm_lookup(as, addr, rights, pfn);
}

unsigned long x86_sbm_test_count_global(void)
{
	return sbm_count_global();
}

unsigned int x86_sbm_test_table_pages(const struct sbm *sbm)
{
	const struct arch_sbm *as = sbm_arch(sbm);

	return as ? as->nr_tables : 0;
}
