// SPDX-License-Identifier: GPL-2.0
/*
 * Sandbox mode (SBM) on x86-64: how a target asks the kernel for something.
 *
 * Targets execute this, in ring 3. The kernel's side of it is in run.c.
 */
#include <linux/compiler.h>
#include <linux/types.h>

#include <asm/segment.h>

#include <sbm/sbm.h>
#include "gate.h"

/* A target that lies about this gets a fault: nothing in it is for ring 3 */
static __always_inline bool sbm_in_target(void)
{
	unsigned int cs;

	asm("mov %%cs, %0" : "=r" (cs));

	return cs & SEGMENT_RPL_MASK;
}

/*
 * Arguments are where the calling convention has those of functions, and the number is
 * in RAX, as is what comes back. The kernel leaves all other registers alone.
 */
bool arch_sbm_hostcall(unsigned long number, const unsigned long *args, long *result)
{
	register unsigned long r8 asm("r8");
	register unsigned long r9 asm("r9");

	if (!sbm_in_target())
		return false;

	r8 = args[4];
	r9 = args[5];
	asm volatile("int %[vector]"
		     : "=a" (*result)
		     : [vector] "i" (SBM_HOSTCALL_VECTOR), "a" (number),
		       "D" (args[0]), "S" (args[1]), "d" (args[2]), "c" (args[3]),
		       "r" (r8), "r" (r9)
		     : "memory");

	return true;
}
