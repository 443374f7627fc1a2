// SPDX-License-Identifier: GPL-2.0
/*
 * Sandbox mode (SBM): copies out of a sandbox and into it.
 *
 * An address that comes out of a sandbox is a number to look up in what the instance
 * was given, its buffers and its stack, and it is used for nothing else. What is there
 * is accessed through the kernel's own mapping of these pages. So no address of the
 * kernel's can be meant, nothing can fault, and it does not matter what the target's
 * page tables have.
 */
#include <linux/align.h>
#include <linux/errno.h>
#include <linux/export.h>
#include <linux/highmem.h>
#include <linux/list.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/nospec.h>
#include <linux/sbm.h>
#include <linux/sbm_host.h>
#include <linux/sched.h>
#include <linux/sched/task_stack.h>
#include <linux/string.h>

#include "buffer.h"
#include "sbm.h"

/**
 * struct sbm_span - memory that a target has the right to access
 * @start: The target's address of its first byte.
 * @end:   The address behind it.
 * @pages: Its pages; NULL if it is memory that the target shares with the kernel, at the
 *	   same address.
 * @nr:	   Number of pages.
 * @heap:  It is the heap, which gets its pages as they are needed. Otherwise NULL.
 */
struct sbm_span {
	unsigned long	start;
	unsigned long	end;
	struct page	**pages;
	unsigned int	nr;
	struct sbm_buffer *heap;
};

static bool sbm_has(const struct sbm_span *span, unsigned long addr)
{
	return addr >= span->start && addr < span->end;
}

/* Find what @addr is in. The first byte counts, and the whole must be in the same one. */
static bool sbm_find_span(struct sbm_instance *inst, unsigned long addr, bool write,
			  struct sbm_span *span)
{
	struct sbm_buffer *buf;

	span->heap = NULL;
	if (inst->isolation == SBM_ISOLATION_STRONG) {
		span->pages = arch_sbm_stack(inst->arch, &span->start, &span->nr);
		span->end = span->start + span->nr * PAGE_SIZE;
	} else {
		/* The task's own, with what else it has there */
		span->pages = NULL;
		span->start = (unsigned long)task_stack_page(current);
		span->end = span->start + THREAD_SIZE;
	}
	if (sbm_has(span, addr))
		return true;

	list_for_each_entry(buf, &inst->buffers, list) {
		span->start = buf->addr;
		span->end = buf->addr + buf->size;
		span->pages = buf->pages;
		span->nr = buf->nr;
		span->heap = buf == inst->heap ? buf : NULL;
		if (sbm_has(span, addr))
			return !write || (buf->flags & __SBM_BUF_WRITE);
	}

	return false;
}

/* What is between @addr and @addr + @n, which are in @span, may have no pages yet */
static int sbm_have_pages(struct sbm_instance *inst, const struct sbm_span *span,
			  unsigned long addr, size_t n)
{
	unsigned long i, last;
	int err;

	if (!span->heap)
		return 0;

	i = (addr - span->start) >> PAGE_SHIFT;
	last = (addr + n - 1 - span->start) >> PAGE_SHIFT;
	for (; i <= last; i++) {
		unsigned long safe = array_index_nospec(i, span->nr);

		if (span->pages[safe])
			continue;
		err = sbm_buffer_populate(inst, span->heap, safe);
		if (err)
			return err;
	}

	return 0;
}

/*
 * The page of @addr, which is in @span. Its number is the target's choice, so it must
 * not lead beyond the array even where the processor guesses that it was checked.
 */
static struct page *sbm_page_of(const struct sbm_span *span, unsigned long addr)
{
	unsigned long i = (addr - ALIGN_DOWN(span->start, PAGE_SIZE)) >> PAGE_SHIFT;

	return span->pages[array_index_nospec(i, span->nr)];
}

static void sbm_copy_piece(const struct sbm_span *span, unsigned long addr, void *kbuf,
			   size_t n, bool write)
{
	if (!span->pages) {
		if (write)
			memcpy((void *)addr, kbuf, n);
		else
			memcpy(kbuf, (void *)addr, n);
	} else if (write) {
		memcpy_to_page(sbm_page_of(span, addr), offset_in_page(addr), kbuf, n);
	} else {
		memcpy_from_page(kbuf, sbm_page_of(span, addr), offset_in_page(addr), n);
	}
}

static size_t sbm_rest_of_page(unsigned long addr)
{
	return PAGE_SIZE - offset_in_page(addr);
}

static int sbm_copy_inst(struct sbm_instance *inst, unsigned long addr, void *kbuf,
			 size_t n, bool write)
{
	struct sbm_span span;
	int err;

	/* Without isolation, nobody knows what a target was given */
	if (inst->isolation == SBM_ISOLATION_NONE) {
		span.pages = NULL;
		sbm_copy_piece(&span, addr, kbuf, n, write);
		return 0;
	}

	if (!n)
		return 0;
	/* A difference, which is not 0: a sum might overflow */
	if (!sbm_find_span(inst, addr, write, &span) || n > span.end - addr)
		return -EFAULT;
	err = sbm_have_pages(inst, &span, addr, n);
	if (err)
		return err;

	while (n) {
		size_t len = min(n, sbm_rest_of_page(addr));

		sbm_copy_piece(&span, addr, kbuf, len, write);
		addr += len;
		kbuf += len;
		n -= len;
	}

	return 0;
}

static long sbm_strncpy_inst(struct sbm_instance *inst, char *dst, unsigned long addr,
			     size_t n)
{
	struct sbm_span span;
	size_t done = 0;
	int err;

	if (inst->isolation == SBM_ISOLATION_NONE)
		return strscpy(dst, (const char *)addr, n);

	if (!sbm_find_span(inst, addr, false, &span))
		return -EFAULT;

	/* On the task's own stack, where others' objects are behind the end of the string */
	if (!span.pages) {
		size_t len = min(n, span.end - addr);
		ssize_t ret = strscpy(dst, (const char *)addr, len);

		return ret == -E2BIG && len < n ? -EFAULT : ret;
	}

	while (done < n) {
		size_t len = min3(n - done, sbm_rest_of_page(addr), span.end - addr);
		char *end;

		if (!len)
			return -EFAULT;
		err = sbm_have_pages(inst, &span, addr, len);
		if (err)
			return err;
		/* Look for the end in what was copied: the target may have another one now */
		sbm_copy_piece(&span, addr, dst + done, len, false);
		end = memchr(dst + done, 0, len);
		if (end)
			return end - dst;
		addr += len;
		done += len;
	}

	return -E2BIG;
}

/*
 * A handler runs on behalf of the thread that uses the instance; between two calls,
 * nobody does. @nested: the former.
 */
static int sbm_copy_begin(struct sbm *sbm, bool *nested)
{
	struct sbm_instance *inst = sbm ? sbm->instance : NULL;

	if (!inst)
		return -EINVAL;

	*nested = READ_ONCE(inst->owner) == current;
	if (!*nested && !sbm_acquire(inst))
		return -EBUSY;
	/* What a target that was stopped has left behind is not for anybody */
	if (inst->poison && !*nested) {
		sbm_release(inst);
		return inst->poison;
	}

	return 0;
}

static void sbm_copy_end(struct sbm *sbm, bool nested)
{
	if (!nested)
		sbm_release(sbm->instance);
}

static int sbm_copy(struct sbm *sbm, unsigned long addr, void *kbuf, size_t n, bool write)
{
	bool nested;
	int err;

	err = sbm_copy_begin(sbm, &nested);
	if (err)
		return err;
	err = sbm_copy_inst(sbm->instance, addr, kbuf, n, write);
	sbm_copy_end(sbm, nested);

	return err;
}

int __sbm_copy_from(struct sbm *sbm, void *dst, const void __sbm *src, size_t n)
{
	return sbm_copy(sbm, (__force unsigned long)src, dst, n, false);
}
EXPORT_SYMBOL_GPL(__sbm_copy_from);

int __sbm_copy_to(struct sbm *sbm, void __sbm *dst, const void *src, size_t n)
{
	/* Only read, in this direction */
	return sbm_copy(sbm, (__force unsigned long)dst, (void *)src, n, true);
}
EXPORT_SYMBOL_GPL(__sbm_copy_to);

long __sbm_strncpy_from(struct sbm *sbm, char *dst, const char __sbm *src, size_t n)
{
	bool nested;
	long ret;

	if (!n)
		return -E2BIG;

	ret = sbm_copy_begin(sbm, &nested);
	if (!ret) {
		ret = sbm_strncpy_inst(sbm->instance, dst, (__force unsigned long)src, n);
		sbm_copy_end(sbm, nested);
	}
	if (ret < 0)
		dst[0] = '\0';

	return ret;
}
EXPORT_SYMBOL_GPL(__sbm_strncpy_from);
