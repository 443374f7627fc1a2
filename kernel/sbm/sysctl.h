/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Sandbox mode (SBM): what the administrator decides while the system runs.
 */
#ifndef _KERNEL_SBM_SYSCTL_H
#define _KERNEL_SBM_SYSCTL_H

/* kernel.sbm_panic_on_fault: 1 if a violation shall stop the system, else 0 */
extern int sbm_panic_on_fault;

/* kernel.sbm_kgdb_on_fault: 1 if a debugger of the kernel shall see a violation, else 0 */
extern int sbm_kgdb_on_fault;

#endif /* _KERNEL_SBM_SYSCTL_H */
