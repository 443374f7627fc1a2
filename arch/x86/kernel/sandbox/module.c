// SPDX-License-Identifier: GPL-2.0
/*
 * Sandbox mode (SBM) on x86-64: targets in modules.
 *
 * An instance that calls a target in a module for the first time gets that
 * module's text and constants, at the same addresses, in tables of its own: what
 * can go away is never in the shared ones. It holds the module until it is destroyed
 * or reset, so the module cannot be unloaded meanwhile.
 *
 * In the kernel's tables these pages lose the global bit, as the image does (see
 * tlb.c), and get it back when the module goes. Where modules share large
 * entries, these are split. The direct map's alias is no concern: no sandbox maps
 * it.
 *
 * A module whose init function fails is freed whoever holds it. Nothing is entered
 * any more in instances that have it. They hold its pages, too; where memory for
 * text comes from a cache, another module may get these all the same.
 */
#include <linux/array_size.h>
#include <linux/err.h>
#include <linux/init.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/notifier.h>
#include <linux/overflow.h>
#include <linux/pfn.h>
#include <linux/rcupdate.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <linux/xarray.h>

#include <asm/alternative.h>
#include <asm/sbm.h>

#include <sbm/sbm.h>
#include "sandbox.h"

/**
 * struct sbm_module - a module in an instance
 * @of_instance: Entry in &arch_sbm.modules.
 * @of_all:	 Entry in sbm_modules.
 * @as:		 The instance.
 * @mod:	 The module, NULL if it has gone all the same.
 * @start:	 Its text.
 * @end:	 Address behind its text.
 * @nr:		 Number of @pages that are held.
 * @max:	 Size of @pages.
 * @pages:	 What is mapped.
 */
struct sbm_module {
	struct list_head	of_instance;
	struct list_head	of_all;
	struct arch_sbm		*as;
	struct module		*mod;
	unsigned long		start;
	unsigned long		end;
	unsigned int		nr;
	unsigned int		max;
	struct page		*pages[] __counted_by(max);
};

/* Protects the lists, the global bits of modules, and &sbm_module.mod */
static DEFINE_MUTEX(sbm_module_lock);
static LIST_HEAD(sbm_modules);

/* Modules that were global and are not any more, by the address of struct module */
static DEFINE_XARRAY(sbm_changed_modules);

/* What sandboxes map of a module, but thunks; each is whole pages of its own */
static const enum mod_mem_type sbm_module_types[] = { MOD_TEXT, MOD_RODATA };

/*
 * Call @fn for each range of @mod that sandboxes map, up to the first error. The
 * last argument of @fn tells whether it is text.
 */
static int sbm_module_ranges(const struct module *mod, void *data,
			     int (*fn)(unsigned long addr, unsigned int nr,
				       bool text, void *data))
{
	unsigned int i;
	void *page;
	int err;

	for (i = 0; i < ARRAY_SIZE(sbm_module_types); i++) {
		const struct module_memory *mem = &mod->mem[sbm_module_types[i]];

		if (!mem->size)
			continue;
		err = fn((unsigned long)mem->base, PFN_UP(mem->size),
			 sbm_module_types[i] == MOD_TEXT, data);
		if (err)
			return err;
	}

	for (i = 0; (page = its_thunk_page(mod, i)); i++) {
		err = fn((unsigned long)page, 1, true, data);
		if (err)
			return err;
	}

	return 0;
}

static int sbm_module_count_pages(unsigned long addr, unsigned int nr, bool text,
				  void *data)
{
	*(unsigned int *)data += nr;
	return 0;
}

static int sbm_module_nonglobal(unsigned long addr, unsigned int nr, bool text,
				void *data)
{
	return sbm_range_nonglobal(addr, nr);
}

static int sbm_module_global(unsigned long addr, unsigned int nr, bool text,
			     void *data)
{
	sbm_range_global(addr, nr);
	return 0;
}

static int sbm_module_count_global(unsigned long addr, unsigned int nr, bool text,
				   void *data)
{
	*(unsigned long *)data += sbm_range_count_global(addr, nr * PAGE_SIZE);
	return 0;
}

static int sbm_module_map(unsigned long addr, unsigned int nr, bool text, void *data)
{
	struct sbm_module *m = data;

	for (; nr; nr--, addr += PAGE_SIZE) {
		struct page *page = sbm_map_module_page(m->as, addr, text);

		if (IS_ERR(page))
			return PTR_ERR(page);
		get_page(page);
		m->pages[m->nr++] = page;
	}

	return 0;
}

/* Global entries of modules that an instance maps, for the tests */
unsigned long sbm_modules_count_global(void)
{
	unsigned long count = 0;
	struct sbm_module *m;

	mutex_lock(&sbm_module_lock);
	list_for_each_entry(m, &sbm_modules, of_all) {
		if (m->mod)
			sbm_module_ranges(m->mod, &count, sbm_module_count_global);
	}
	mutex_unlock(&sbm_module_lock);

	return count;
}

/* Is there text of a module that the instance maps? */
bool sbm_module_text(const struct arch_sbm *as, unsigned long addr)
{
	const struct sbm_module *m;

	list_for_each_entry(m, &as->modules, of_instance) {
		if (addr >= m->start && addr < m->end)
			return true;
	}

	return false;
}

/* For sbm_module_page() */
struct sbm_module_where {
	unsigned long	addr;
	bool		text;
};

static int sbm_module_is_there(unsigned long addr, unsigned int nr, bool text, void *data)
{
	struct sbm_module_where *where = data;

	if (where->addr < addr || (where->addr - addr) >> PAGE_SHIFT >= nr)
		return 0;
	where->text = text;

	return 1;
}

/*
 * For those who look at the tables: does the instance hold this frame of the module at
 * @addr, and is that text? Of a module that is gone, nobody knows what was there.
 */
bool sbm_module_page(const struct arch_sbm *as, unsigned long addr, unsigned long pfn,
		     bool *text)
{
	struct sbm_module_where where = { .addr = addr, };
	bool found = false;
	struct sbm_module *m;
	unsigned int i;

	mutex_lock(&sbm_module_lock);
	list_for_each_entry(m, &sbm_modules, of_all) {
		if (m->as != as || !m->mod ||
		    !sbm_module_ranges(m->mod, &where, sbm_module_is_there))
			continue;
		for (i = 0; i < m->nr && !found; i++)
			found = page_to_pfn(m->pages[i]) == pfn;
	}
	mutex_unlock(&sbm_module_lock);
	*text = where.text;

	return found;
}

/* Take a reference on the module whose text @addr is in; NULL and why not */
static struct module *sbm_module_get(unsigned long addr, const char **reason)
{
	struct module *mod;

	/* Until there is a reference, this keeps it from being freed */
	rcu_read_lock_sched();
	mod = __module_text_address(addr);
	if (!mod) {
		*reason = "it is neither text of the kernel image nor of a module";
	} else if (!within_module_mem_type(addr, mod, MOD_TEXT)) {
		*reason = "it is init text of a module, which is freed";
		mod = NULL;
	} else if (!try_module_get(mod)) {
		*reason = "its module is about to go";
		mod = NULL;
	}
	rcu_read_unlock_sched();

	return mod;
}

/*
 * Make the module with the target @addr part of an instance that nobody runs now.
 *
 * Return: 0; -EOPNOTSUPP and @reason; another error, after which the instance can
 * only be destroyed or reset.
 */
int sbm_module_add(struct arch_sbm *as, unsigned long addr, const char **reason)
{
	unsigned long global = 0;
	struct sbm_module *m;
	unsigned int flags, max = 0;
	struct module *mod;
	int err;

	/*
	 * Under the lock: either the module's state says that it goes, or the
	 * notifier will see that the instance has it. Others who wait for the lock may be
	 * what writes memory out, so nothing here waits for that.
	 */
	mutex_lock(&sbm_module_lock);
	flags = memalloc_noio_save();
	mod = sbm_module_get(addr, reason);
	if (!mod) {
		err = -EOPNOTSUPP;
		goto out;
	}
	sbm_module_ranges(mod, &max, sbm_module_count_pages);
	m = kvzalloc(struct_size(m, pages, max), GFP_KERNEL_ACCOUNT);
	if (!m) {
		err = -ENOMEM;
		module_put(mod);
		goto out;
	}
	m->max = max;
	m->as = as;
	m->mod = mod;
	m->start = (unsigned long)mod->mem[MOD_TEXT].base;
	m->end = m->start + mod->mem[MOD_TEXT].size;
	list_add(&m->of_instance, &as->modules);
	list_add(&m->of_all, &sbm_modules);

	/* Before ring 3 can use it, and for as long as the module lives */
	sbm_module_ranges(mod, &global, sbm_module_count_global);
	err = 0;
	if (global)
		err = xa_err(xa_store(&sbm_changed_modules, (unsigned long)mod,
				      xa_mk_value(1), GFP_KERNEL));
	if (!err)
		err = sbm_module_ranges(mod, NULL, sbm_module_nonglobal);
	if (!err)
		err = sbm_module_ranges(mod, m, sbm_module_map);
	sbm_tables_changed(as);
out:
	memalloc_noio_restore(flags);
	mutex_unlock(&sbm_module_lock);

	return err;
}

/* The instance's tables are gone */
void sbm_modules_put(struct arch_sbm *as)
{
	struct sbm_module *m, *next;

	list_for_each_entry_safe(m, next, &as->modules, of_instance) {
		mutex_lock(&sbm_module_lock);
		list_del(&m->of_all);
		list_del(&m->of_instance);
		/* From here on it can go, but not beyond the notifier */
		module_put(m->mod);
		mutex_unlock(&sbm_module_lock);

		while (m->nr)
			put_page(m->pages[--m->nr]);
		kvfree(m);
	}
}

static void sbm_end_stay(void *unused)
{
}

/*
 * The module goes, and its pages back to where they came from, as they were. If an
 * instance still has it (its init function has failed), the instance is finished.
 */
static int sbm_module_notify(struct notifier_block *nb, unsigned long action,
			     void *data)
{
	struct module *mod = data;
	struct sbm_module *m;
	bool used = false;

	if (action != MODULE_STATE_GOING)
		return NOTIFY_DONE;

	mutex_lock(&sbm_module_lock);
	list_for_each_entry(m, &sbm_modules, of_all) {
		if (m->mod != mod)
			continue;
		used = true;
		m->mod = NULL;
		WRITE_ONCE(m->as->module_gone, true);
	}
	if (xa_erase(&sbm_changed_modules, (unsigned long)mod) && !used)
		sbm_module_ranges(mod, NULL, sbm_module_global);
	mutex_unlock(&sbm_module_lock);
	/*
	 * Whoever enters looks at the flag with interrupts off, so this interrupt finds
	 * a CPU that is in the module, or the CPU finds the flag. Then nobody is.
	 */
	if (used)
		on_each_cpu(sbm_end_stay, NULL, 1);

	return NOTIFY_OK;
}

#ifdef CONFIG_SBM_KUNIT_TEST
void x86_sbm_test_module_goes(struct module *mod)
{
	void *changed = xa_load(&sbm_changed_modules, (unsigned long)mod);

	sbm_module_notify(NULL, MODULE_STATE_GOING, mod);
	/* It stays, and so does what was done to its pages */
	if (changed)
		xa_store(&sbm_changed_modules, (unsigned long)mod, changed, GFP_KERNEL);
}
EXPORT_SYMBOL_GPL(x86_sbm_test_module_goes);
#endif

static struct notifier_block sbm_module_nb = {
	.notifier_call = sbm_module_notify,
};

/* Not at first use: that may be in a notifier of modules */
static int __init sbm_modules_init(void)
{
	return register_module_notifier(&sbm_module_nb);
}
core_initcall(sbm_modules_init);
