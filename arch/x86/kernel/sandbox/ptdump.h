/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Sandbox mode (SBM) on x86-64: a walk through the tables of an instance, for the dump
 * and the audit.
 */
#ifndef _X86_KERNEL_SANDBOX_PTDUMP_H
#define _X86_KERNEL_SANDBOX_PTDUMP_H

#include <linux/types.h>

struct sbm_buffer;
struct sbm_instance;

enum sbm_what {
	SBM_WHAT_UNEXPECTED,
	SBM_WHAT_SHADOW,
	SBM_WHAT_ZERO,
	SBM_WHAT_INFO,
	SBM_WHAT_STACK,
	SBM_WHAT_BUFFER,
	SBM_WHAT_GATE_IDT,
	SBM_WHAT_GATE,
	SBM_WHAT_CEA,
	SBM_WHAT_TEXT,
	SBM_WHAT_ENTRY,
	SBM_WHAT_SWITCH,
	SBM_WHAT_TRACER,
	SBM_WHAT_COPY,
	SBM_WHAT_CONSTANTS,
	SBM_WHAT_AFTER_INIT,
	SBM_WHAT_DATA,
	SBM_WHAT_THUNKS,
	SBM_WHAT_MODULE_TEXT,
	SBM_WHAT_MODULE_CONSTANTS,
	SBM_WHAT_ZERO_SHADOW,
	SBM_WHAT_STACK_SHADOW,
	SBM_NR_WHATS
};

extern const char * const sbm_what_names[SBM_NR_WHATS];

/* Whose a page of the tables is */
enum sbm_table_owner {
	SBM_TABLE_INSTANCE,
	SBM_TABLE_SHARED,
	SBM_TABLE_KERNEL,
	SBM_NR_TABLE_OWNERS
};

/**
 * struct sbm_leaf - a leaf entry, or a run of equal ones
 * @start:  First address.
 * @end:    Address behind.
 * @shift:  Size of one, as a power of two.
 * @rights: What all levels together allow.
 * @pfn:    Frame of the first page.
 * @place:  What belongs there, by the address alone; %SBM_WHAT_UNEXPECTED: nothing.
 * @what:   The same, if the frame is the right one; else %SBM_WHAT_UNEXPECTED.
 * @nr:	    Number of the buffer or CPU.
 * @buf:    The buffer.
 */
struct sbm_leaf {
	unsigned long		start;
	unsigned long		end;
	unsigned int		shift;
	u64			rights;
	unsigned long		pfn;
	enum sbm_what		place;
	enum sbm_what		what;
	unsigned int		nr;
	const struct sbm_buffer	*buf;
};

/**
 * struct sbm_look - a walk through the tables of an instance
 * @inst:  The instance. Its tables and buffers do not change meanwhile.
 * @leaf:  Called for each leaf that is present, by ascending index of the entries.
 * @table: Called for each table before what is in it, the top one with the entry 0; NULL
 *	   if that is not wanted. @shift is the level of the entries in it.
 * @buf:   The buffer that was found last, and
 * @nr:	   its number.
 */
struct sbm_look {
	const struct sbm_instance	*inst;
	void (*leaf)(struct sbm_look *look, const struct sbm_leaf *leaf);
	void (*table)(struct sbm_look *look, u64 *table, u64 entry, unsigned long addr,
		      unsigned int shift, enum sbm_table_owner owner);
	const struct sbm_buffer		*buf;
	unsigned int			nr;
};

void sbm_look_at_tables(struct sbm_look *look);

/* Fill in what the frame and the address of @leaf tell */
void sbm_classify(struct sbm_look *look, struct sbm_leaf *leaf);

#endif /* _X86_KERNEL_SANDBOX_PTDUMP_H */
