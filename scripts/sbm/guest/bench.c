// SPDX-License-Identifier: GPL-2.0
/*
 * The program of scripts/sbm/bench in the guest. Without a C library, so that it
 * does nothing but what it is to do:
 *
 *	sbm-bench exit		end at once: the process that a helper is
 *	sbm-bench syscall	measure a system call that does next to nothing
 *
 * Ticks are those of the time stamp counter, as in kernel/sbm/bench.c.
 */
#define RUNS	64

enum { NR_write = 1, NR_getppid = 110, NR_exit = 60 };

static long call3(long nr, long a, long b, long c)
{
	long ret;

	asm volatile("syscall" : "=a" (ret)
		     : "a" (nr), "D" (a), "S" (b), "d" (c)
		     : "rcx", "r11", "memory");

	return ret;
}

static inline unsigned long ticks(void)
{
	unsigned int low, high;

	asm volatile("rdtsc" : "=a" (low), "=d" (high) : : "memory");

	return ((unsigned long)high << 32) | low;
}

static unsigned long best(int call)
{
	unsigned long least = -1UL;
	int i;

	for (i = 0; i < RUNS; i++) {
		unsigned long start = ticks(), n;

		if (call)
			call3(NR_getppid, 0, 0, 0);
		n = ticks() - start;
		if (n < least)
			least = n;
	}

	return least;
}

static void row(unsigned long n)
{
	static const char text[] = "row syscall ticks ";
	char digits[24];
	char *p = digits + sizeof(digits);

	*--p = '\n';
	do {
		*--p = '0' + n % 10;
		n /= 10;
	} while (n);
	call3(NR_write, 1, (long)text, sizeof(text) - 1);
	call3(NR_write, 1, (long)p, digits + sizeof(digits) - p);
}

__attribute__((noreturn, used)) static void run(const long *stack)
{
	/* argc, argv[0], argv[1] */
	const char *word = stack[0] > 1 ? (const char *)stack[2] : "";

	if (word[0] == 's')
		row(best(1) - best(0));
	for (;;)
		call3(NR_exit, 0, 0, 0);
}

/* The stack pointer is aligned at the start of a program, but not as in C */
asm(".globl _start\n"
    "_start:\n"
    "	xor %ebp, %ebp\n"
    "	mov %rsp, %rdi\n"
    "	and $-16, %rsp\n"
    "	call run\n"
    "	hlt\n");
