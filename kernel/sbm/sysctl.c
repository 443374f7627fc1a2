// SPDX-License-Identifier: GPL-2.0
/*
 * Sandbox mode (SBM): what the administrator decides while the system runs.
 *
 * Described in Documentation/sandbox/reports.rst.
 */
#include <linux/init.h>
#include <linux/sysctl.h>

#include "sysctl.h"

int sbm_panic_on_fault __read_mostly;
int sbm_kgdb_on_fault __read_mostly;

#ifdef CONFIG_SYSCTL

/* Not constant: 6.12 takes tables that it may change */
static struct ctl_table sbm_sysctls[] = {
	{
		.procname	= "sbm_panic_on_fault",
		.data		= &sbm_panic_on_fault,
		.maxlen		= sizeof(sbm_panic_on_fault),
		.mode		= 0644,
		.proc_handler	= proc_dointvec_minmax,
		.extra1		= SYSCTL_ZERO,
		.extra2		= SYSCTL_ONE,
	},
#ifdef CONFIG_KGDB
	{
		.procname	= "sbm_kgdb_on_fault",
		.data		= &sbm_kgdb_on_fault,
		.maxlen		= sizeof(sbm_kgdb_on_fault),
		.mode		= 0644,
		.proc_handler	= proc_dointvec_minmax,
		.extra1		= SYSCTL_ZERO,
		.extra2		= SYSCTL_ONE,
	},
#endif
};

static int __init sbm_sysctl_init(void)
{
	register_sysctl_init("kernel", sbm_sysctls);

	return 0;
}
late_initcall(sbm_sysctl_init);

#endif /* CONFIG_SYSCTL */
