// SPDX-License-Identifier: GPL-2.0
/*
 * Sandbox mode (SBM): does each instance have what it shall have, and nothing else?
 *
 * The architecture looks at live tables and compares them with rules. What this part
 * knows is whose a page is: first all instances are asked for the pages that they
 * hold, then each one is looked at.
 *
 * Owners go on with their work meanwhile. Each instance is locked while it is asked and
 * while it is looked at, and one that has changed in between is asked again. What
 * another one, that has changed since it was asked, was said to hold is not used:
 * such a page may be anybody's by now.
 */
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/sbm.h>
#include <linux/sched/mm.h>
#include <linux/seq_file.h>
#include <linux/sprintf.h>
#include <linux/stdarg.h>
#include <linux/string_choices.h>
#include <linux/xarray.h>

#include "debugfs.h"
#include "sbm.h"

/* In the array, the kind is below the holder */
#define SBM_HELD_BITS	2

static bool sbm_audit_fresh(const struct sbm_audit *audit, unsigned int holder)
{
	const struct sbm_audited *audited;

	if (holder >= audit->nr)
		return true;
	audited = &audit->insts[holder];

	return READ_ONCE(audited->inst->debugfs.changes) == audited->changes;
}

bool sbm_audit_holder(struct sbm_audit *audit, unsigned long pfn,
		      unsigned int *holder, enum sbm_held *kind)
{
	void *entry = xa_load(&audit->frames, pfn);
	unsigned long value;

	if (!entry)
		return false;
	value = xa_to_value(entry);
	*kind = value & ((1 << SBM_HELD_BITS) - 1);
	*holder = value >> SBM_HELD_BITS;

	return sbm_audit_fresh(audit, *holder);
}

int sbm_audit_hold(struct sbm_audit *audit, unsigned int holder, unsigned long pfn,
		   enum sbm_held kind)
{
	unsigned long value = ((unsigned long)holder << SBM_HELD_BITS) | kind;
	enum sbm_held other_kind;
	unsigned int other;

	/* Two holders: whoever is looked at and finds another one here says so */
	if (sbm_audit_holder(audit, pfn, &other, &other_kind))
		return 0;

	return xa_err(xa_store(&audit->frames, pfn, xa_mk_value(value), GFP_KERNEL));
}

void sbm_audit_find(struct sbm_audit *audit, const char *fmt, ...)
{
	va_list args;

	audit->findings++;
	seq_puts(audit->m, "  finding: ");
	va_start(args, fmt);
	seq_vprintf(audit->m, fmt, args);
	va_end(args);
	seq_putc(audit->m, '\n');
}

static void sbm_audit_verdict(struct sbm_audit *audit, const char *who)
{
	if (audit->findings)
		seq_printf(audit->m, "%s: %u finding%s\n", who, audit->findings,
			   str_plural(audit->findings));
	else
		seq_printf(audit->m, "%s: nothing unexpected\n", who);
	audit->total += audit->findings;
	audit->findings = 0;
}

/* What the generic part has taken for @inst, and the architecture */
static int sbm_audit_ask(struct sbm_audit *audit, unsigned int i)
{
	struct sbm_audited *audited = &audit->insts[i];
	struct sbm_instance *inst = audited->inst;
	const struct sbm_buffer *buf;
	unsigned int page;
	int err;

	audited->changes = inst->debugfs.changes;

	list_for_each_entry(buf, &inst->buffers, list) {
		if (buf->flags & __SBM_BUF_MAP)
			continue;
		for (page = 0; page < buf->nr; page++) {
			/* The heap gets its pages one by one */
			if (!buf->pages[page])
				continue;
			err = sbm_audit_hold(audit, i, page_to_pfn(buf->pages[page]),
					     SBM_HELD_BUFFER);
			if (err)
				return err;
		}
	}
	if (inst->isolation < SBM_ISOLATION_STRONG)
		return 0;

	return arch_sbm_audit_ask(audit, i);
}

/* The instance has changed since: what it was said to hold is not so any more */
static int sbm_audit_ask_again(struct sbm_audit *audit, unsigned int i)
{
	unsigned long pfn;
	void *entry;

	xa_for_each(&audit->frames, pfn, entry) {
		if (xa_to_value(entry) >> SBM_HELD_BITS == i)
			xa_erase(&audit->frames, pfn);
	}

	return sbm_audit_ask(audit, i);
}

static int sbm_audit_instance(struct sbm_audit *audit, unsigned int i)
{
	struct sbm_instance *inst = audit->insts[i].inst;
	char who[40];
	int err = 0;

	snprintf(who, sizeof(who), "instance %llu", inst->id);
	seq_printf(audit->m, "%s: ", who);
	sbm_debugfs_state(audit->m, inst);
	seq_putc(audit->m, '\n');

	if (inst->isolation < SBM_ISOLATION_STRONG) {
		seq_printf(audit->m, "%s: not sandboxed: targets have the kernel's rights\n",
			   who);
		return 0;
	}

	mutex_lock(&inst->debugfs.lock);
	if (!sbm_audit_fresh(audit, i))
		err = sbm_audit_ask_again(audit, i);
	if (!err)
		arch_sbm_audit(audit, i);
	mutex_unlock(&inst->debugfs.lock);
	if (!err)
		sbm_audit_verdict(audit, who);

	return err;
}

int sbm_audit_write(struct seq_file *m, const struct sbm_instance *only)
{
	struct sbm_audit audit = { .m = m, };
	unsigned int flags, i, nr = 0;
	int err;

	xa_init(&audit.frames);
	/* Who destroys an instance waits for this, and may be what writes memory out */
	flags = memalloc_noio_save();
	err = sbm_debugfs_pin_all(&audit);
	if (err)
		goto out_restore;

	err = arch_sbm_audit_shared(&audit);
	if (err)
		goto out;
	sbm_audit_verdict(&audit, "shared");

	for (i = 0; i < audit.nr; i++) {
		struct sbm_instance *inst = audit.insts[i].inst;

		mutex_lock(&inst->debugfs.lock);
		err = sbm_audit_ask(&audit, i);
		mutex_unlock(&inst->debugfs.lock);
		if (err)
			goto out;
	}

	for (i = 0; i < audit.nr; i++) {
		if (only && audit.insts[i].inst != only)
			continue;
		err = sbm_audit_instance(&audit, i);
		if (err)
			goto out;
		nr++;
	}
	/* It is just being destroyed */
	if (only && !nr)
		err = -ENOENT;
	seq_printf(m, "%u instance%s, %u finding%s\n", nr, str_plural(nr), audit.total,
		   str_plural(audit.total));
out:
	sbm_debugfs_unpin_all(&audit);
	xa_destroy(&audit.frames);
out_restore:
	memalloc_noio_restore(flags);

	return err;
}
