/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Sandbox mode (SBM): what the runtime functions inside share.
 *
 * Code in this folder is part of the kernel's text, and is executed by targets, in
 * ring 3. It may use constants, its arguments, and what the information page says the
 * instance has, and nothing else: no variable that is written, no per-CPU data, no
 * function outside of this folder that needs any.
 */
#ifndef _KERNEL_SBM_GUEST_H
#define _KERNEL_SBM_GUEST_H

#include <linux/sbm_runtime.h>
#include <linux/types.h>

#ifdef CONFIG_HAVE_ARCH_SBM
#include <asm/sbm.h>
#else
static __always_inline bool arch_sbm_inside(void) { return false; }
static __always_inline const struct sbm_guest_info *arch_sbm_guest_info(void)
{
	return NULL;
}

static __always_inline bool arch_sbm_guest_owns(unsigned long addr) { return false; }
#endif

/* What the instance has, or NULL. Only with weak isolation it is not constant. */
static __always_inline const struct sbm_guest_info *guest_info(void)
{
	return arch_sbm_inside() ? arch_sbm_guest_info() : sbm_runtime_weak_info();
}

/* The last words before the end of the call: what is wrong, and at which address */
void __cold guest_complain(const char *what, unsigned long addr);

#endif /* _KERNEL_SBM_GUEST_H */
