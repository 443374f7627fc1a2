/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Sandbox mode (SBM): buffers of an instance.
 */
#ifndef _KERNEL_SBM_BUFFER_H
#define _KERNEL_SBM_BUFFER_H

#include <linux/types.h>

struct sbm_buffer;
struct sbm_field;
struct sbm_instance;

/*
 * Give @inst the buffer @kaddr of @size bytes; @addr is what the target sees, @name
 * what reports call it, or NULL.
 * Return: 0, -EINVAL, -ENOMEM or -ENOSPC; nothing is left over on failure.
 */
int sbm_buffer_add(struct sbm_instance *inst, unsigned long kaddr, size_t size,
		   unsigned int flags, const char *name, unsigned long *addr);

/*
 * The same for some fields of @nr structures of @of bytes. What @fields has is copied.
 * Return: as above; -EINVAL, too, if @fields do not describe such a structure.
 */
int sbm_buffer_add_fields(struct sbm_instance *inst, unsigned long kaddr, size_t of,
			  size_t nr, const struct sbm_field *fields,
			  unsigned int nr_fields, const char *name, unsigned long *addr);

/*
 * Give @inst a buffer of zeroes that belongs to no caller. It has pages with any
 * isolation. Return: the buffer, or ERR_PTR of -EINVAL, -ENOMEM or -ENOSPC.
 */
struct sbm_buffer *sbm_buffer_add_own(struct sbm_instance *inst, size_t size,
				      unsigned int flags, const char *name);

/*
 * Have page @i of the heap @buf, which has none yet. Return: 0 or -ENOMEM. It cannot
 * be -ENOSPC: that was seen to when the heap was set up.
 */
int sbm_buffer_populate(struct sbm_instance *inst, struct sbm_buffer *buf,
			unsigned int i);

/* Copy all output buffers to their callers */
void sbm_buffers_copy_out(struct sbm_instance *inst);

/* Scrub and free all buffers; nothing maps them any more */
void sbm_buffers_free(struct sbm_instance *inst);

#endif /* _KERNEL_SBM_BUFFER_H */
