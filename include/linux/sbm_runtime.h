/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Sandbox mode (SBM): functions for code that runs inside.
 *
 * They stand in for functions of the kernel that need data of the kernel, which a
 * target does not have: allocators, messages, formatted output. Source files that are
 * built for the inside get them by the kernel's own names, see <linux/sbm_guest.h>.
 * Documentation/sandbox/runtime.rst explains how.
 *
 * Code inside calls them. With weak isolation, or none, targets run with the kernel's
 * rights, and find the heap and the log of the instance that they were called with.
 */
#ifndef _LINUX_SBM_RUNTIME_H
#define _LINUX_SBM_RUNTIME_H

#include <linux/compiler.h>
#include <linux/gfp_types.h>
#include <linux/stdarg.h>
#include <linux/types.h>

/**
 * struct sbm_guest_info - what code inside has
 * @heap:      Address of the heap, 0 if there is none.
 * @heap_size: Its size in bytes.
 * @log:       Address of the &struct sbm_guest_log, 0 if there is none.
 * @log_size:  Its size in bytes.
 */
struct sbm_guest_info {
	unsigned long	heap;
	size_t		heap_size;
	unsigned long	log;
	size_t		log_size;
};

/**
 * struct sbm_guest_log - messages on their way out
 * @used: Bytes of @text.
 * @lost: Messages for which there was no room.
 * @text: The messages, as printk() has them. Each ends with a newline.
 *
 * All of it is the target's to write: for the kernel, it is just bytes.
 */
struct sbm_guest_log {
	u32	used;
	u32	lost;
	char	text[];
};

#ifdef CONFIG_SBM

/* === For the kernel === */

/* What the target has that this thread is calling without strong isolation, or NULL */
const struct sbm_guest_info *sbm_runtime_weak_info(void);

/* What is wrong with its heap, and at which address, before it is the end */
void __cold sbm_runtime_complain(const char *what, unsigned long addr);

/* === For code inside === */

/**
 * sbm_guest_kmalloc() - kmalloc() inside
 * @size:  Bytes that are wanted.
 * @flags: Only %__GFP_ZERO matters.
 *
 * The result has the alignment that kmalloc() promises, with at least 16 bytes. It
 * never sleeps.
 *
 * Context: Inside.
 * Return: the memory; %ZERO_SIZE_PTR if @size is 0; NULL if there is no room, or no heap.
 */
void *sbm_guest_kmalloc(size_t size, gfp_t flags);

/**
 * sbm_guest_kzalloc() - kzalloc() inside
 * @size:  See sbm_guest_kmalloc().
 * @flags: See sbm_guest_kmalloc().
 *
 * Context: Inside.
 * Return: see sbm_guest_kmalloc(); full of zeroes.
 */
void *sbm_guest_kzalloc(size_t size, gfp_t flags);

/**
 * sbm_guest_kmalloc_array() - kmalloc_array() inside
 * @n:	   Number of elements.
 * @size:  Size of one.
 * @flags: See sbm_guest_kmalloc().
 *
 * Context: Inside.
 * Return: see sbm_guest_kmalloc(); NULL if the product is too large for a number.
 */
void *sbm_guest_kmalloc_array(size_t n, size_t size, gfp_t flags);

/**
 * sbm_guest_kcalloc() - kcalloc() inside
 * @n:	   Number of elements.
 * @size:  Size of one.
 * @flags: See sbm_guest_kmalloc().
 *
 * Context: Inside.
 * Return: see sbm_guest_kmalloc_array(); full of zeroes.
 */
void *sbm_guest_kcalloc(size_t n, size_t size, gfp_t flags);

/**
 * sbm_guest_krealloc() - krealloc() inside
 * @p:	   What was allocated before, NULL or %ZERO_SIZE_PTR.
 * @size:  Bytes that are wanted. 0 frees @p.
 * @flags: With %__GFP_ZERO, what comes to it is zero.
 *
 * Context: Inside.
 * Return: see sbm_guest_kmalloc(). If it is NULL, @p is as it was.
 */
void * __must_check sbm_guest_krealloc(const void *p, size_t size, gfp_t flags);

/**
 * sbm_guest_krealloc_array() - krealloc_array() inside
 * @p:	   See sbm_guest_krealloc().
 * @n:	   Number of elements.
 * @size:  Size of one.
 * @flags: See sbm_guest_krealloc().
 *
 * Context: Inside.
 * Return: see sbm_guest_krealloc(); NULL if the product is too large for a number.
 */
void * __must_check sbm_guest_krealloc_array(void *p, size_t n, size_t size, gfp_t flags);

/**
 * sbm_guest_vmalloc() - vmalloc() inside
 * @size: Bytes that are wanted.
 *
 * Context: Inside.
 * Return: the memory, which begins on a page; NULL if there is no room, no heap, or
 * @size is 0.
 */
void *sbm_guest_vmalloc(unsigned long size);

/**
 * sbm_guest_vzalloc() - vzalloc() inside
 * @size: Bytes that are wanted.
 *
 * Context: Inside.
 * Return: see sbm_guest_vmalloc(); full of zeroes.
 */
void *sbm_guest_vzalloc(unsigned long size);

/**
 * sbm_guest_kfree() - kfree(), kvfree() and vfree() inside
 * @p: What one of these functions has returned, NULL or %ZERO_SIZE_PTR.
 *
 * Ends the call, as BUG() does, if @p is anything else, was freed before, or if
 * something was written next to it.
 *
 * Context: Inside.
 */
void sbm_guest_kfree(const void *p);

/**
 * sbm_guest_kfree_sensitive() - kfree_sensitive() inside
 * @p: See sbm_guest_kfree().
 *
 * Context: Inside.
 */
void sbm_guest_kfree_sensitive(const void *p);

/**
 * sbm_guest_ksize() - ksize() inside
 * @p: What was allocated, NULL or %ZERO_SIZE_PTR.
 *
 * Context: Inside.
 * Return: the bytes that were asked for: what is behind them is not the caller's.
 */
size_t sbm_guest_ksize(const void *p);

/**
 * sbm_guest_kmemdup() - kmemdup() inside
 * @src:   What is to be copied.
 * @len:   How many bytes.
 * @flags: See sbm_guest_kmalloc().
 *
 * Context: Inside.
 * Return: see sbm_guest_kmalloc().
 */
void *sbm_guest_kmemdup(const void *src, size_t len, gfp_t flags);

/**
 * sbm_guest_kmemdup_nul() - kmemdup_nul() inside
 * @s:	   What is to be copied, or NULL.
 * @len:   How many bytes; a zero is put behind them.
 * @flags: See sbm_guest_kmalloc().
 *
 * Context: Inside.
 * Return: see sbm_guest_kmalloc(); NULL if @s is.
 */
char *sbm_guest_kmemdup_nul(const char *s, size_t len, gfp_t flags);

/**
 * sbm_guest_kstrdup() - kstrdup() inside
 * @s:	   The string, or NULL.
 * @flags: See sbm_guest_kmalloc().
 *
 * Context: Inside.
 * Return: see sbm_guest_kmemdup_nul().
 */
char *sbm_guest_kstrdup(const char *s, gfp_t flags);

/**
 * sbm_guest_kstrndup() - kstrndup() inside
 * @s:	   The string, or NULL.
 * @max:   How many bytes of it at most.
 * @flags: See sbm_guest_kmalloc().
 *
 * Context: Inside.
 * Return: see sbm_guest_kmemdup_nul().
 */
char *sbm_guest_kstrndup(const char *s, size_t max, gfp_t flags);

/**
 * sbm_guest_check() - is the heap whole?
 *
 * Ends the call, as BUG() does, if something was written next to what is allocated, or
 * over what the allocator keeps between it. Sandbox mode itself calls it after each
 * call that has used a heap.
 *
 * Context: Inside.
 * Return: 0.
 */
int sbm_guest_check(void);

/**
 * sbm_guest_vsnprintf() - vsnprintf() inside
 * @buf:  The buffer.
 * @size: Its size in bytes.
 * @fmt:  The format. It has the conversions of the C language but floating point numbers
 *	  and %%n. A pointer is printed if it is an address of the sandbox's own, else
 *	  "(ptr)"; letters behind %%p are skipped, but %%pe has its meaning.
 * @args: The arguments.
 *
 * This and the functions like it: context: inside.
 * Return: what vsnprintf() returns.
 */
__printf(3, 0)
int sbm_guest_vsnprintf(char *buf, size_t size, const char *fmt, va_list args);

/* The same as these functions of the kernel */
__printf(3, 0) int sbm_guest_vscnprintf(char *buf, size_t size, const char *fmt, va_list args);
__printf(3, 4) int sbm_guest_snprintf(char *buf, size_t size, const char *fmt, ...);
__printf(3, 4) int sbm_guest_scnprintf(char *buf, size_t size, const char *fmt, ...);
__printf(2, 3) int sbm_guest_sprintf(char *buf, const char *fmt, ...);
__printf(2, 0) char *sbm_guest_kvasprintf(gfp_t flags, const char *fmt, va_list args);
__printf(2, 3) char *sbm_guest_kasprintf(gfp_t flags, const char *fmt, ...);

/**
 * sbm_guest_printk() - printk() inside
 * @fmt: The format, as for sbm_guest_vsnprintf(), with a level if need be.
 * @...: The arguments.
 *
 * The kernel prints it when the call is over, each line with a prefix that tells whose it
 * is. What does not fit in &sbm_attr.log_size is lost; how many messages that were
 * is printed.
 *
 * Context: Inside.
 * Return: the length of the message, 0 if it is lost.
 */
__printf(1, 2) int sbm_guest_printk(const char *fmt, ...);
/* The same, with its level, as a number, apart */
__printf(2, 3) int sbm_guest_printk_level(int level, const char *fmt, ...);
__printf(1, 0) int sbm_guest_vprintk(const char *fmt, va_list args);

/* The messages of WARN_ON() and BUG() inside. The latter then ends the call. */
void __cold sbm_guest_warn(const char *file, unsigned int line);
void __cold sbm_guest_bug(const char *file, unsigned int line);

/**
 * SBM_GUEST() - name of a function as it is built for the inside
 * @f: The function, from a file that is listed in sbm-guest-y, see scripts/Makefile.sbm.
 *
 * Without the feature configured, the function itself.
 */
#define SBM_GUEST(f)		sbm_guest_##f

#else /* CONFIG_SBM */

#define SBM_GUEST(f)		f

#endif /* CONFIG_SBM */

/**
 * SBM_DECLARE_GUEST() - declare a function as it is built for the inside
 * @f: The function, see SBM_GUEST(). Its own declaration is known.
 */
#define SBM_DECLARE_GUEST(f)	extern typeof(f) SBM_GUEST(f)

#endif /* _LINUX_SBM_RUNTIME_H */
