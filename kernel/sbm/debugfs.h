/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Sandbox mode (SBM): a look at instances from outside, through debugfs.
 */
#ifndef _KERNEL_SBM_DEBUGFS_H
#define _KERNEL_SBM_DEBUGFS_H

#include <linux/types.h>

#include "sbm.h"

struct seq_file;

#ifdef CONFIG_DEBUG_FS

/* Between these two, the instance can be looked at */
void sbm_debugfs_add(struct sbm_instance *inst);
void sbm_debugfs_remove(struct sbm_instance *inst);

/*
 * Around each change of the list of buffers and of the tables, between them. For the
 * owner; whoever only looks takes the mutex itself.
 */
void sbm_debugfs_lock(struct sbm_instance *inst);
void sbm_debugfs_unlock(struct sbm_instance *inst);

/* Instances that are alive */
unsigned long sbm_debugfs_nr_instances(void);

/* stats.c: of all instances that ever were */
u64 sbm_stats_calls(void);
u64 sbm_stats_stops(void);
/* The content of the file stats */
void sbm_stats_write(struct seq_file *m);

struct sbm_audit;

/*
 * Keep all instances that there are now from being destroyed, and list them. Whoever
 * wants to destroy one waits. Return: 0 or -ENOMEM.
 */
int sbm_debugfs_pin_all(struct sbm_audit *audit);
void sbm_debugfs_unpin_all(struct sbm_audit *audit);

/* What it does now, as in the list of instances */
void sbm_debugfs_state(struct seq_file *m, const struct sbm_instance *inst);

/*
 * audit.c: the content of the file audit, about @only or, if it is NULL, all instances.
 * Return: 0, -ENOMEM, or -ENOENT if @only is being destroyed.
 */
int sbm_audit_write(struct seq_file *m, const struct sbm_instance *only);

/* Create the directory of an instance. Return: 0, or -ENOENT. */
int sbm_debugfs_show(u64 id);

/* The line of an instance in the file instances */
void sbm_debugfs_list(struct seq_file *m, const struct sbm_instance *inst);

/* The content of page_tables; the caller sees to it that the instance stays */
void sbm_debugfs_dump(struct seq_file *m, struct sbm_instance *inst);

/*
 * The buffer that has the page of @addr, and its number, counted from 1. NULL if
 * none has. @buf is what was found last, or NULL: it is tried first. For
 * arch_sbm_dump_tables().
 */
const struct sbm_buffer *sbm_debugfs_buffer(const struct sbm_instance *inst,
					    unsigned long addr,
					    const struct sbm_buffer *buf,
					    unsigned int *nr);

#else /* CONFIG_DEBUG_FS */

static inline void sbm_debugfs_add(struct sbm_instance *inst) { }
static inline void sbm_debugfs_remove(struct sbm_instance *inst) { }
static inline void sbm_debugfs_lock(struct sbm_instance *inst) { }
static inline void sbm_debugfs_unlock(struct sbm_instance *inst) { }

#endif /* CONFIG_DEBUG_FS */

#endif /* _KERNEL_SBM_DEBUGFS_H */
