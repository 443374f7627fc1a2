/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Sandbox mode (SBM): buffers of an instance.
 */
#ifndef _KERNEL_SBM_BUFFER_H
#define _KERNEL_SBM_BUFFER_H

#include <linux/types.h>

struct sbm_instance;

/*
 * Give @inst the buffer @kaddr of @size bytes; @addr is what the target sees, @name
 * what reports call it, or NULL.
 * Return: 0, -EINVAL, -ENOMEM or -ENOSPC; nothing is left over on failure.
 */
int sbm_buffer_add(struct sbm_instance *inst, unsigned long kaddr, size_t size,
		   unsigned int flags, const char *name, unsigned long *addr);

/* Copy all output buffers to their callers */
void sbm_buffers_copy_out(struct sbm_instance *inst);

/* Scrub and free all buffers; nothing maps them any more */
void sbm_buffers_free(struct sbm_instance *inst);

#endif /* _KERNEL_SBM_BUFFER_H */
