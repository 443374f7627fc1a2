// SPDX-License-Identifier: GPL-2.0
/*
 * Sandbox mode (SBM): a look at instances from outside, through debugfs.
 *
 *   calls, stops	counters
 *   stats		all counters
 *   instances		what there is
 *   show		an id written to this gives that instance a directory
 *   audit		what all instances have, and what they should not have
 *   ID/page_tables	what the instance's page tables allow
 *   ID/audit		the same as audit, for this instance
 *
 * Many instances live for one call only. So a directory is made on demand: an
 * instance that nobody looks at costs an entry in a list. (debugfs has no way to
 * make a directory when it is looked up.)
 *
 * Lifetime: an instance leaves the list first, so that no directory can be made
 * for it any more. Then its directory is removed, which waits for those who read
 * its files, and then whoever audits all instances is waited for. Then it is freed.
 */
#include <linux/array_size.h>
#include <linux/build_bug.h>
#include <linux/debugfs.h>
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/rcupdate.h>
#include <linux/sbm.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/seq_file.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/wait.h>

#include "debugfs.h"
#include "sbm.h"

/* All instances, by ascending id */
static LIST_HEAD(sbm_instances);
static unsigned long sbm_nr_instances;
static DEFINE_SPINLOCK(sbm_instances_lock);

/* Woken when an instance is no longer pinned */
static DECLARE_WAIT_QUEUE_HEAD(sbm_unpinned);

/* Held while a directory of an instance is made */
static DEFINE_MUTEX(sbm_show_mutex);

static struct dentry *sbm_dir;

static const char * const sbm_isolation_names[] = {
	[SBM_ISOLATION_NONE]	= "none",
	[SBM_ISOLATION_WEAK]	= "weak",
	[SBM_ISOLATION_STRONG]	= "strong",
};

static_assert(ARRAY_SIZE(sbm_isolation_names) == SBM_ISOLATION_STRONG + 1);

/* === Life of an instance === */

void sbm_debugfs_add(struct sbm_instance *inst)
{
	struct sbm_instance *prev;

	mutex_init(&inst->debugfs.lock);

	spin_lock(&sbm_instances_lock);
	/* Another one with a larger id can have been faster, rarely */
	list_for_each_entry_reverse(prev, &sbm_instances, debugfs.list) {
		if (prev->id < inst->id)
			break;
	}
	list_add(&inst->debugfs.list, &prev->debugfs.list);
	WRITE_ONCE(sbm_nr_instances, sbm_nr_instances + 1);
	spin_unlock(&sbm_instances_lock);
}

static bool sbm_is_pinned(const struct sbm_instance *inst)
{
	bool pinned;

	spin_lock(&sbm_instances_lock);
	pinned = inst->debugfs.users;
	spin_unlock(&sbm_instances_lock);

	return pinned;
}

void sbm_debugfs_remove(struct sbm_instance *inst)
{
	struct dentry *dir;
	bool shown;

	spin_lock(&sbm_instances_lock);
	list_del(&inst->debugfs.list);
	WRITE_ONCE(sbm_nr_instances, sbm_nr_instances - 1);
	shown = inst->debugfs.shown;
	spin_unlock(&sbm_instances_lock);

	if (shown) {
		/* It may be about to be made */
		mutex_lock(&sbm_show_mutex);
		dir = inst->debugfs.dir;
		mutex_unlock(&sbm_show_mutex);

		/* Waits for readers. They take the instance's lock: it is not held here. */
		debugfs_remove(dir);
	}

	/* Nobody pins it that finds it no more */
	wait_event(sbm_unpinned, !sbm_is_pinned(inst));
}

int sbm_debugfs_pin_all(struct sbm_audit *audit)
{
	struct sbm_instance *inst;
	unsigned long max;

	audit->nr = 0;
	for (;;) {
		max = sbm_debugfs_nr_instances() + 16;
		audit->insts = kvcalloc(max, sizeof(*audit->insts), GFP_KERNEL);
		if (!audit->insts)
			return -ENOMEM;

		spin_lock(&sbm_instances_lock);
		if (sbm_nr_instances <= max)
			break;
		spin_unlock(&sbm_instances_lock);
		kvfree(audit->insts);
	}
	list_for_each_entry(inst, &sbm_instances, debugfs.list) {
		inst->debugfs.users++;
		audit->insts[audit->nr++].inst = inst;
	}
	spin_unlock(&sbm_instances_lock);

	return 0;
}

void sbm_debugfs_unpin_all(struct sbm_audit *audit)
{
	unsigned int i;

	/* Once the lock is released, they may be freed */
	spin_lock(&sbm_instances_lock);
	for (i = 0; i < audit->nr; i++)
		audit->insts[i].inst->debugfs.users--;
	spin_unlock(&sbm_instances_lock);
	wake_up_all(&sbm_unpinned);
	kvfree(audit->insts);
}

unsigned long sbm_debugfs_nr_instances(void)
{
	return READ_ONCE(sbm_nr_instances);
}

/*
 * The owner of an instance changes its tables and buffers without a lock that it
 * would need for itself: it is the only one. This one is for those who look.
 *
 * An audit takes the locks of all instances and keeps all of them from being destroyed,
 * also one by which memory is written out. So nobody who holds one may wait for that.
 */
void sbm_debugfs_lock(struct sbm_instance *inst)
{
	mutex_lock(&inst->debugfs.lock);
	inst->debugfs.noio = memalloc_noio_save();
	/* What was found out about it is not so any more, from here on */
	WRITE_ONCE(inst->debugfs.changes, inst->debugfs.changes + 1);
}

void sbm_debugfs_unlock(struct sbm_instance *inst)
{
	memalloc_noio_restore(inst->debugfs.noio);
	mutex_unlock(&inst->debugfs.lock);
}

/* === What there is === */

void sbm_debugfs_state(struct seq_file *m, const struct sbm_instance *inst)
{
	unsigned long target = READ_ONCE(inst->target);
	struct task_struct *owner;

	/*
	 * A task gives the instance back before it exits, and its task_struct is
	 * there for a grace period after that.
	 */
	rcu_read_lock();
	owner = READ_ONCE(inst->owner);
	if (owner) {
		seq_puts(m, "in use by ");
		seq_escape(m, owner->comm, " \t\n\\");
		seq_printf(m, "[%d]", task_pid_nr(owner));
	} else {
		seq_puts(m, "idle");
	}
	rcu_read_unlock();

	if (target)
		seq_printf(m, ", called %ps", (void *)target);
	else
		seq_puts(m, ", never called");
}

/* The first instance whose id is @pos or more: removals do not shift others */
static void *sbm_instances_find(loff_t pos)
{
	struct sbm_instance *inst;

	list_for_each_entry(inst, &sbm_instances, debugfs.list) {
		if (inst->id >= pos)
			return inst;
	}

	return NULL;
}

static void *sbm_instances_start(struct seq_file *m, loff_t *pos)
	__acquires(&sbm_instances_lock)
{
	spin_lock(&sbm_instances_lock);

	return sbm_instances_find(*pos);
}

static void *sbm_instances_next(struct seq_file *m, void *v, loff_t *pos)
{
	struct sbm_instance *inst = v;

	*pos = inst->id + 1;
	if (list_is_last(&inst->debugfs.list, &sbm_instances))
		return NULL;

	return list_next_entry(inst, debugfs.list);
}

static void sbm_instances_stop(struct seq_file *m, void *v)
	__releases(&sbm_instances_lock)
{
	spin_unlock(&sbm_instances_lock);
}

void sbm_debugfs_list(struct seq_file *m, const struct sbm_instance *inst)
{
	seq_printf(m, "%llu %s, ", inst->id, sbm_isolation_names[inst->isolation]);
	sbm_debugfs_state(m, inst);
	/* Of a call that goes on, what its stays so far have taken */
	seq_printf(m, ", calls %llu, stops %llu, time_ns %llu, pages %lu, hostcalls %llu\n",
		   READ_ONCE(inst->debugfs.calls), READ_ONCE(inst->debugfs.stops),
		   READ_ONCE(inst->time.total), READ_ONCE(inst->memory.nr_pages),
		   READ_ONCE(inst->debugfs.hostcalls));
}

static int sbm_instances_show(struct seq_file *m, void *v)
{
	sbm_debugfs_list(m, v);
	return 0;
}

static const struct seq_operations sbm_instances_sops = {
	.start	= sbm_instances_start,
	.next	= sbm_instances_next,
	.stop	= sbm_instances_stop,
	.show	= sbm_instances_show,
};
DEFINE_SEQ_ATTRIBUTE(sbm_instances);

/* === What an instance has === */

static bool sbm_buffer_has(const struct sbm_buffer *buf, unsigned long addr)
{
	unsigned long start = buf->addr & PAGE_MASK;

	return addr >= start && (addr - start) >> PAGE_SHIFT < buf->nr;
}

const struct sbm_buffer *sbm_debugfs_buffer(const struct sbm_instance *inst,
					    unsigned long addr,
					    const struct sbm_buffer *buf,
					    unsigned int *nr)
{
	if (buf && sbm_buffer_has(buf, addr))
		return buf;

	*nr = 0;
	list_for_each_entry(buf, &inst->buffers, list) {
		++*nr;
		if (sbm_buffer_has(buf, addr))
			return buf;
	}

	return NULL;
}

void sbm_debugfs_dump(struct seq_file *m, struct sbm_instance *inst)
{
	const struct sbm_buffer *buf;
	unsigned int nr = 0;

	seq_printf(m, "instance %llu: %s isolation, ", inst->id,
		   sbm_isolation_names[inst->isolation]);
	sbm_debugfs_state(m, inst);
	seq_putc(m, '\n');

	seq_printf(m, "tracers and probes skipped: %llu\n",
		   READ_ONCE(inst->nr_skipped));

	/* The owner adds no buffer meanwhile; it may well run */
	mutex_lock(&inst->debugfs.lock);
	list_for_each_entry(buf, &inst->buffers, list)
		seq_printf(m, "buffer %u: %s, %zu bytes at %lx\n", ++nr,
			   sbm_buffer_kind(buf), buf->size, buf->addr);
	sbm_allowed_show(m, inst);

	if (inst->isolation == SBM_ISOLATION_STRONG)
		arch_sbm_dump_tables(m, inst);
	else
		seq_puts(m, "no page tables of its own: targets run on the kernel's, with the kernel's rights\n");
	mutex_unlock(&inst->debugfs.lock);
}

static int sbm_page_tables_show(struct seq_file *m, void *v)
{
	sbm_debugfs_dump(m, m->private);

	return 0;
}
DEFINE_SHOW_ATTRIBUTE(sbm_page_tables);

static int sbm_instance_audit_show(struct seq_file *m, void *v)
{
	return sbm_audit_write(m, m->private);
}
DEFINE_SHOW_ATTRIBUTE(sbm_instance_audit);

static int sbm_create_dir(struct sbm_instance *inst)
{
	struct dentry *dir;
	char name[24];

	snprintf(name, sizeof(name), "%llu", inst->id);
	dir = debugfs_create_dir(name, sbm_dir);
	if (IS_ERR(dir))
		return PTR_ERR(dir);

	inst->debugfs.dir = dir;
	debugfs_create_file("page_tables", 0400, dir, inst, &sbm_page_tables_fops);
	debugfs_create_file("audit", 0400, dir, inst, &sbm_instance_audit_fops);

	return 0;
}

int sbm_debugfs_show(u64 id)
{
	struct sbm_instance *inst;
	unsigned int noio;
	int err = -ENOENT;

	mutex_lock(&sbm_show_mutex);
	/* Who destroys the instance waits for this, and may be what writes memory out */
	noio = memalloc_noio_save();

	/* Once it is marked, sbm_debugfs_remove() waits for the mutex */
	spin_lock(&sbm_instances_lock);
	list_for_each_entry(inst, &sbm_instances, debugfs.list) {
		if (inst->id == id) {
			inst->debugfs.shown = true;
			err = 0;
			break;
		}
	}
	spin_unlock(&sbm_instances_lock);

	if (!err && !inst->debugfs.dir)
		err = sbm_create_dir(inst);
	memalloc_noio_restore(noio);
	mutex_unlock(&sbm_show_mutex);

	return err;
}

static int sbm_show_set(void *data, u64 val)
{
	return sbm_debugfs_show(val);
}

DEFINE_DEBUGFS_ATTRIBUTE(sbm_show_fops, NULL, sbm_show_set, "%llu\n");

static int sbm_calls_get(void *data, u64 *val)
{
	*val = sbm_stats_calls();
	return 0;
}

DEFINE_DEBUGFS_ATTRIBUTE(sbm_calls_fops, sbm_calls_get, NULL, "%llu\n");

static int sbm_stops_get(void *data, u64 *val)
{
	*val = sbm_stats_stops();
	return 0;
}

DEFINE_DEBUGFS_ATTRIBUTE(sbm_stops_fops, sbm_stops_get, NULL, "%llu\n");

static int sbm_stats_show(struct seq_file *m, void *v)
{
	sbm_stats_write(m);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(sbm_stats);

static int sbm_audit_show(struct seq_file *m, void *v)
{
	return sbm_audit_write(m, NULL);
}

static int sbm_audit_open(struct inode *inode, struct file *file)
{
	/* So that it is seldom done twice: seq_file starts anew when it runs out of it */
	return single_open_size(file, sbm_audit_show, NULL,
				SZ_4K + sbm_debugfs_nr_instances() * SZ_2K);
}

static const struct file_operations sbm_audit_fops = {
	.owner		= THIS_MODULE,
	.open		= sbm_audit_open,
	.read		= seq_read,
	.llseek		= seq_lseek,
	.release	= single_release,
};

static int __init sbm_debugfs_init(void)
{
	sbm_dir = debugfs_create_dir("sbm", NULL);

	debugfs_create_file("calls", 0400, sbm_dir, NULL, &sbm_calls_fops);
	debugfs_create_file("stops", 0400, sbm_dir, NULL, &sbm_stops_fops);
	debugfs_create_file("stats", 0400, sbm_dir, NULL, &sbm_stats_fops);
	debugfs_create_file("instances", 0400, sbm_dir, NULL,
			    &sbm_instances_fops);
	debugfs_create_file("audit", 0400, sbm_dir, NULL, &sbm_audit_fops);
	debugfs_create_file("show", 0200, sbm_dir, NULL, &sbm_show_fops);

	return 0;
}
late_initcall(sbm_debugfs_init);
