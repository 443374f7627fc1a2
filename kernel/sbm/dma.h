/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Sandbox mode (SBM): the device of an instance, for the life cycle.
 */
#ifndef _KERNEL_SBM_DMA_H
#define _KERNEL_SBM_DMA_H

#include "sbm.h"

struct seq_file;

#ifdef CONFIG_SBM_DMA

/* A target was stopped: so is the device, which loses all buffers */
void sbm_dma_stopped(struct sbm_instance *inst);

/* The same, and nothing of @inst is used for the device any more */
void sbm_dma_end(struct sbm_instance *inst);

/* What all attachments have cost, for debugfs */
void sbm_dma_stats_write(struct seq_file *m);

#else /* CONFIG_SBM_DMA */

static inline void sbm_dma_stopped(struct sbm_instance *inst) { }
static inline void sbm_dma_end(struct sbm_instance *inst) { }
static inline void sbm_dma_stats_write(struct seq_file *m) { }

#endif /* CONFIG_SBM_DMA */

#endif /* _KERNEL_SBM_DMA_H */
