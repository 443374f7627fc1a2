// SPDX-License-Identifier: GPL-2.0
/*
 * Sandbox mode (SBM) on x86-64: what a stay does, for the benchmark.
 */
#include <linux/cpufeature.h>

#include <asm/processor-flags.h>
#include <asm/sbm.h>
#include <asm/tlbflush.h>

#include "sandbox.h"

/*
 * A stay goes through sbm_switch() once, from its first to its last instruction,
 * with a stub between. What is executed there is counted here and not there:
 * between the two LIDTs nothing but the gate is mapped. An abort in the entry
 * window does less (no IRETQ); NMI and machine check on the way out do more.
 *
 *  CR3	   sandbox's, kernel's
 *  CR4	   the same, but only if CR4.LASS has to be dropped: the values are compared
 *  CR0	   TS set by MOV, cleared by CLTS
 *  LIDT   gate's, kernel's
 *  IRETQ  into ring 3. The way out is a jump and a RET, not an IRETQ
 *  event  ends the stay
 *  bases  GS and FS on each way
 *  selectors  DS, ES, FS, GS on each way, and SS on the way out
 *  PKRU   on each way where the processor has it
 *  MSR	   SPEC_CTRL on the way out, but only if the kernel relies on IBRS
 *
 * scripts/sbm/bench compares these with the object code.
 */
void x86_sbm_stay_events(struct x86_sbm_stay_events *ev)
{
	const unsigned long cr4 = cr4_read_shadow();

	*ev = (struct x86_sbm_stay_events) {
		.cr3	 = 2,
		.cr4	 = cr4 & X86_CR4_LASS ? 2 : 0,
		.cr0	 = 2,
		.lidt	 = 2,
		.iret	 = 1,
		.event	 = 1,
		.base	 = 4,
		.segment = 9,
		.pkru	 = cpu_feature_enabled(X86_FEATURE_OSPKE) ? 2 : 0,
		.msr	 = cpu_feature_enabled(X86_FEATURE_KERNEL_IBRS) ? 1 : 0,
	};
}
