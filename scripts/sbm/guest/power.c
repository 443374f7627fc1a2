// SPDX-License-Identifier: GPL-2.0
/*
 * What the script "power" cannot do itself, inside a test boot.
 *
 * Usage: power-helper calls CPU LOOPS FILE FLAGS
 *	calls a target of LOOPS loops, for ever, in sandboxes that have the SBM_ATTR_
 *	flags FLAGS, and keeps the number of calls in FILE
 *
 *	power-helper kexec KERNEL INITRD COMMAND-LINE
 *	starts another kernel
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/reboot.h>

#include "test_task.h"

static int fail(const char *what)
{
	fprintf(stderr, "power-helper: %s: %s\n", what, strerror(errno));

	return 1;
}

static int calls(int cpu, unsigned long loops, const char *path, unsigned long flags)
{
	struct sbm_task_report report;
	unsigned long count = 0;
	char text[24];
	cpu_set_t set;
	int task, file, len;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		return fail("sched_setaffinity");
	task = open("/sys/kernel/debug/sbm_test/task", O_RDWR);
	if (task < 0 || ioctl(task, SBM_TASK_ATTR, flags))
		return fail("task");
	file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	if (file < 0)
		return fail(path);
	for (;;) {
		if (ioctl(task, SBM_TASK_VALUE, loops) ||
		    ioctl(task, SBM_TASK_CALL, SBM_TASK_BUSY) ||
		    ioctl(task, SBM_TASK_REPORT, &report))
			return fail("ioctl");
		if (report.ret || report.result) {
			fprintf(stderr, "power-helper: call %lu ended with %lld, cause %u, lost %llx\n",
				count, (long long)report.ret, report.cause,
				(unsigned long long)report.result);
			return 1;
		}
		len = sprintf(text, "%lu\n", ++count);
		if (pwrite(file, text, len, 0) != len)
			return fail(path);
	}
}

static int other_kernel(const char *kernel, const char *initrd, const char *line)
{
	int k = open(kernel, O_RDONLY), i = open(initrd, O_RDONLY);

	if (k < 0 || i < 0)
		return fail("open");
	if (syscall(SYS_kexec_file_load, k, i, strlen(line) + 1, line, 0L))
		return fail("kexec_file_load");
	syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2,
		LINUX_REBOOT_CMD_KEXEC, NULL);

	return fail("reboot");
}

int main(int argc, char **argv)
{
	if (argc == 6 && !strcmp(argv[1], "calls"))
		return calls(atoi(argv[2]), strtoul(argv[3], NULL, 0), argv[4],
			     strtoul(argv[5], NULL, 0));
	if (argc == 5 && !strcmp(argv[1], "kexec"))
		return other_kernel(argv[2], argv[3], argv[4]);
	fprintf(stderr, "power-helper: wrong arguments\n");

	return 2;
}
