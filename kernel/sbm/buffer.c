// SPDX-License-Identifier: GPL-2.0
/*
 * Sandbox mode (SBM): buffers of an instance.
 *
 * A buffer is a number of whole pages. Those of an SBM_COPY macro belong to the
 * instance, those of an SBM_MAP macro are the caller's, those that a device shares
 * belong to the instance, and no caller has them. The target sees them at
 * an address of their own, between guard pages: in the sandbox's window with
 * strong isolation, in the kernel's vmalloc range with weak isolation. Without
 * isolation the target gets the caller's own address.
 *
 * Where only some fields of a structure are a target's business, the copy has nothing
 * else of the caller's, and of what the target has written nothing else comes back. Page
 * tables know no fields: inside, all of the copy has the same rights.
 *
 * The heap and the place for messages are buffers, too, which no caller has. With
 * strong isolation the heap gets a page when it is touched for the first time. All count
 * against the instance's own limit from the start; what all instances may hold, and what
 * the memory cgroup may, counts then, and a target that is refused a page is stopped.
 */
#include <linux/err.h>
#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/sbm.h>
#include <linux/sched.h>
#include <linux/sched/task_stack.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

#include "buffer.h"
#include "debugfs.h"
#include "sbm.h"

/* === Copies === */

/* Copy @left bytes from @start on, in pieces that lie on one page */
static void sbm_buffer_copy_part(struct sbm_buffer *buf, size_t start, size_t left,
				 bool out)
{
	unsigned long kaddr = buf->kaddr + start;
	size_t offset = offset_in_page(buf->offset + start);
	size_t i = (buf->offset + start) >> PAGE_SHIFT;

	for (; left; i++) {
		size_t len = min_t(size_t, left, PAGE_SIZE - offset);

		if (out)
			memcpy_from_page((void *)kaddr, buf->pages[i], offset, len);
		else
			memcpy_to_page(buf->pages[i], offset, (void *)kaddr, len);

		kaddr += len;
		left -= len;
		offset = 0;
		/* There may be thousands */
		cond_resched();
	}
}

/* Each byte is read once, and none decides about anything: there is nothing to check */
static void sbm_buffer_copy(struct sbm_buffer *buf, bool out)
{
	const unsigned int right = out ? __SBM_BUF_OUT : __SBM_BUF_IN;
	const struct sbm_fields *fields = buf->fields;
	size_t start;
	unsigned int i;

	if (!fields) {
		sbm_buffer_copy_part(buf, 0, buf->size, out);
		return;
	}

	for (start = 0; start < buf->size; start += fields->of) {
		for (i = 0; i < fields->nr; i++) {
			const struct sbm_field *f = &fields->field[i];

			if (f->rights & right)
				sbm_buffer_copy_part(buf, start + f->offset, f->size, out);
		}
	}
}

/* === Fields === */

static bool sbm_fields_valid(const struct sbm_fields *fields)
{
	unsigned int i, j;

	for (i = 0; i < fields->nr; i++) {
		const struct sbm_field *f = &fields->field[i];

		if (f->of != fields->of || !f->size || f->size > f->of ||
		    f->offset > f->of - f->size || !f->rights ||
		    (f->rights & ~(__SBM_BUF_IN | __SBM_BUF_OUT)))
			return false;
		for (j = 0; j < i; j++) {
			const struct sbm_field *g = &fields->field[j];

			/* Both are within the structure: no sum overflows */
			if (f->offset < g->offset + g->size &&
			    g->offset < f->offset + f->size)
				return false;
		}
	}

	return true;
}

static struct sbm_fields *sbm_fields_make(const struct sbm_field *field, unsigned int nr,
					  size_t of)
{
	struct sbm_fields *fields;

	if (!field || !nr || nr > SBM_MAX_FIELDS || !of)
		return ERR_PTR(-EINVAL);

	sbm_count(SBM_COUNT_ALLOC);
	fields = kzalloc(struct_size(fields, field, nr), GFP_KERNEL_ACCOUNT);
	if (!fields)
		return ERR_PTR(-ENOMEM);

	fields->of = of;
	fields->nr = nr;
	memcpy(fields->field, field, array_size(nr, sizeof(*field)));
	if (!sbm_fields_valid(fields)) {
		kfree(fields);
		return ERR_PTR(-EINVAL);
	}

	return fields;
}

/* What is done with the whole buffer for them */
static unsigned int sbm_fields_flags(const struct sbm_fields *fields)
{
	unsigned int flags = __SBM_BUF_FIELDS;
	unsigned int i;

	for (i = 0; i < fields->nr; i++)
		flags |= fields->field[i].rights;
	if (flags & __SBM_BUF_OUT)
		flags |= __SBM_BUF_WRITE;

	return flags;
}

/* === Pages === */

static int sbm_buffer_alloc_pages(struct sbm_instance *inst, struct sbm_buffer *buf)
{
	unsigned int i;

	for (i = 0; i < buf->nr; i++) {
		struct page *page = sbm_alloc_page(&inst->memory);

		if (IS_ERR(page))
			return PTR_ERR(page);
		buf->pages[i] = page;
	}

	return 0;
}

static int sbm_buffer_reserve_pages(struct sbm_instance *inst, struct sbm_buffer *buf)
{
	struct sbm_memory *memory = &inst->memory;

	if (buf->nr > memory->max_pages - min(memory->nr_pages, memory->max_pages))
		return -ENOSPC;
	WRITE_ONCE(memory->nr_pages, memory->nr_pages + buf->nr);
	buf->flags |= __SBM_BUF_HEAP;

	return 0;
}

int sbm_buffer_populate(struct sbm_instance *inst, struct sbm_buffer *buf,
			unsigned int i)
{
	struct page *page;
	int err;

	inst->memory.nr_pages--;
	page = sbm_alloc_page(&inst->memory);
	if (IS_ERR(page)) {
		inst->memory.nr_pages++;
		return PTR_ERR(page);
	}

	sbm_debugfs_lock(inst);
	err = arch_sbm_map_more(inst->arch, (buf->addr & PAGE_MASK) + i * PAGE_SIZE, page);
	if (!err)
		buf->pages[i] = page;
	sbm_debugfs_unlock(inst);
	if (err) {
		sbm_free_page(&inst->memory, page);
		inst->memory.nr_pages++;
	}

	return err;
}

/*
 * The page of a kernel address, NULL if it is none that can be shared: a user's,
 * a device's, or one that the kernel itself may not access that way. The caller's
 * stack holds what the kernel returns to and with, so it is refused as well.
 */
static struct page *sbm_kernel_page(unsigned long addr, bool write)
{
	struct vm_struct *area;

	if (addr < TASK_SIZE_MAX || object_is_on_stack((void *)addr) ||
	    !arch_sbm_may_map(addr, write))
		return NULL;
	if (is_vmalloc_or_module_addr((void *)addr)) {
		area = find_vm_area((void *)addr);
		if (!area || (area->flags & VM_IOREMAP))
			return NULL;
		return vmalloc_to_page((void *)addr);
	}
	if (!virt_addr_valid((void *)addr))
		return NULL;

	return virt_to_page((void *)addr);
}

static int sbm_buffer_find_pages(struct sbm_buffer *buf)
{
	unsigned long addr = buf->kaddr & PAGE_MASK;
	unsigned int i;

	for (i = 0; i < buf->nr; i++, addr += PAGE_SIZE) {
		buf->pages[i] = sbm_kernel_page(addr, buf->flags & __SBM_BUF_WRITE);
		if (!buf->pages[i])
			return -EINVAL;
	}

	return 0;
}

/* Weak isolation: the vmalloc range has a guard page behind each area */
static int sbm_buffer_map_weak(struct sbm_buffer *buf)
{
	pgprot_t prot = buf->flags & __SBM_BUF_WRITE ? PAGE_KERNEL : PAGE_KERNEL_RO;
	void *addr;

	if (!buf->nr) {
		buf->vm = get_vm_area(PAGE_SIZE, VM_MAP);
		if (!buf->vm)
			return -ENOMEM;
		buf->addr = (unsigned long)buf->vm->addr;
		return 0;
	}

	addr = vmap(buf->pages, buf->nr, VM_MAP, prot);
	if (!addr)
		return -ENOMEM;

	buf->vm = find_vm_area(addr);
	buf->addr = (unsigned long)addr;

	return 0;
}

static int sbm_buffer_map(struct sbm_instance *inst, struct sbm_buffer *buf)
{
	unsigned int prot = buf->flags & __SBM_BUF_WRITE ? SBM_PROT_WRITE : 0;
	int err;

	if (inst->isolation == SBM_ISOLATION_STRONG)
		err = arch_sbm_map(inst->arch, buf->pages, buf->nr, prot, &buf->addr);
	else
		err = sbm_buffer_map_weak(buf);
	buf->addr += buf->offset;

	return err;
}

static void sbm_buffer_free(struct sbm_instance *inst, struct sbm_buffer *buf)
{
	unsigned int i;

	if (buf->vm && buf->nr)
		vunmap(buf->vm->addr);
	else if (buf->vm)
		free_vm_area(buf->vm);

	if (!(buf->flags & __SBM_BUF_MAP)) {
		for (i = 0; i < buf->nr; i++) {
			if (buf->flags & __SBM_BUF_LOST) {
				/* A device may still write there */
				continue;
			} else if (buf->pages[i]) {
				clear_highpage(buf->pages[i]);
				sbm_free_page(&inst->memory, buf->pages[i]);
			} else if (buf->flags & __SBM_BUF_HEAP) {
				inst->memory.nr_pages--;
			}
		}
	}

	kfree(buf->fields);
	kvfree(buf);
}

/* === Buffers === */

/* @fields: what of it is copied, NULL for all. The buffer has them, or they are freed. */
static struct sbm_buffer *sbm_buffer_make(struct sbm_instance *inst,
					  unsigned long kaddr, size_t size,
					  unsigned int flags, struct sbm_fields *fields,
					  const char *name)
{
	struct sbm_buffer *buf;
	unsigned int offset = 0;
	unsigned int nr;
	int err;

	if (size && (flags & __SBM_BUF_MAP))
		offset = offset_in_page(kaddr);
	nr = DIV_ROUND_UP(offset + size, PAGE_SIZE);
	if (flags & __SBM_BUF_END)
		offset = -size & ~PAGE_MASK;

	sbm_count(SBM_COUNT_ALLOC);
	buf = kvzalloc(struct_size(buf, pages, nr), GFP_KERNEL_ACCOUNT);
	if (!buf) {
		kfree(fields);
		return ERR_PTR(-ENOMEM);
	}

	/* A heap that has pages does not get them later */
	buf->flags = flags & ~__SBM_BUF_HEAP;
	buf->kaddr = kaddr;
	buf->size = size;
	buf->nr = nr;
	buf->offset = offset;
	buf->fields = fields;
	strscpy(buf->name, name ?: "", sizeof(buf->name));

	if (flags & __SBM_BUF_MAP)
		err = sbm_buffer_find_pages(buf);
	else if (flags & __SBM_BUF_HEAP && inst->isolation == SBM_ISOLATION_STRONG)
		err = sbm_buffer_reserve_pages(inst, buf);
	else
		err = sbm_buffer_alloc_pages(inst, buf);
	if (err)
		goto out_free;

	if (flags & __SBM_BUF_IN)
		sbm_buffer_copy(buf, false);

	sbm_debugfs_lock(inst);
	err = sbm_buffer_map(inst, buf);
	if (!err) {
		buf->flags = flags;
		list_add_tail(&buf->list, &inst->buffers);
	}
	sbm_debugfs_unlock(inst);
	if (err)
		goto out_free;

	return buf;

out_free:
	sbm_buffer_free(inst, buf);
	return ERR_PTR(err);
}

static bool sbm_buffer_valid(unsigned long kaddr, size_t size)
{
	return (kaddr || !size) && size <= SBM_MAX_BUFFER_SIZE && kaddr + size >= kaddr;
}

static int sbm_buffer_give(struct sbm_instance *inst, unsigned long kaddr, size_t size,
			   unsigned int flags, struct sbm_fields *fields,
			   const char *name, unsigned long *addr)
{
	struct sbm_buffer *buf;

	if (inst->isolation == SBM_ISOLATION_NONE) {
		kfree(fields);
		*addr = kaddr;
		return 0;
	}

	buf = sbm_buffer_make(inst, kaddr, size, flags, fields, name);
	if (IS_ERR(buf))
		return PTR_ERR(buf);
	*addr = buf->addr;

	return 0;
}

int sbm_buffer_add(struct sbm_instance *inst, unsigned long kaddr, size_t size,
		   unsigned int flags, const char *name, unsigned long *addr)
{
	if (!sbm_buffer_valid(kaddr, size))
		return -EINVAL;

	return sbm_buffer_give(inst, kaddr, size, flags, NULL, name, addr);
}

int sbm_buffer_add_fields(struct sbm_instance *inst, unsigned long kaddr, size_t of,
			  size_t nr, const struct sbm_field *field,
			  unsigned int nr_fields, const char *name, unsigned long *addr)
{
	struct sbm_fields *fields;
	size_t size;

	if (check_mul_overflow(of, nr, &size) || !sbm_buffer_valid(kaddr, size))
		return -EINVAL;

	fields = sbm_fields_make(field, nr_fields, of);
	if (IS_ERR(fields))
		return PTR_ERR(fields);

	return sbm_buffer_give(inst, kaddr, size, sbm_fields_flags(fields), fields, name,
			       addr);
}

struct sbm_buffer *sbm_buffer_add_own(struct sbm_instance *inst, size_t size,
				      unsigned int flags, const char *name)
{
	if (!size || size > SBM_MAX_BUFFER_SIZE)
		return ERR_PTR(-EINVAL);

	return sbm_buffer_make(inst, 0, size, flags, NULL, name);
}

void sbm_buffers_copy_out(struct sbm_instance *inst)
{
	struct sbm_buffer *buf;

	list_for_each_entry(buf, &inst->buffers, list) {
		if (buf->flags & __SBM_BUF_OUT)
			sbm_buffer_copy(buf, true);
	}
}

void sbm_buffers_free(struct sbm_instance *inst)
{
	struct sbm_buffer *buf, *next;

	list_for_each_entry_safe(buf, next, &inst->buffers, list) {
		list_del(&buf->list);
		sbm_buffer_free(inst, buf);
	}
}
