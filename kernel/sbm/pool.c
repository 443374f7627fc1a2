// SPDX-License-Identifier: GPL-2.0
/*
 * Sandbox mode (SBM): instances that are ready to use.
 */
#include <linux/container_of.h>
#include <linux/err.h>
#include <linux/export.h>
#include <linux/list.h>
#include <linux/minmax.h>
#include <linux/sbm.h>
#include <linux/shrinker.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>

#include "sbm.h"

/**
 * struct sbm_pool - instances that are ready to use
 * @attr:     What they are set up with.
 * @max:      How many to keep.
 * @lock:     Protects @idle, @nr and @unwanted.
 * @idle:     Those that are ready, the last one that was in use first: what it has
 *	      may still be in a cache.
 * @nr:	      Their number.
 * @unwanted: Those that the shrinker has taken out of @idle.
 * @work:     Frees them.
 * @shrinker: Wants some of them freed, under memory pressure.
 */
struct sbm_pool {
	struct sbm_attr		attr;
	unsigned int		max;
	spinlock_t		lock;	/* see above */
	struct list_head	idle;
	unsigned int		nr;
	struct list_head	unwanted;
	struct work_struct	work;
	struct shrinker		*shrinker;
};

static struct sbm_instance *sbm_pool_take(struct sbm_pool *pool)
{
	struct sbm_instance *inst;

	spin_lock(&pool->lock);
	inst = list_first_entry_or_null(&pool->idle, struct sbm_instance, idle);
	if (inst) {
		list_del(&inst->idle);
		WRITE_ONCE(pool->nr, pool->nr - 1);
	}
	spin_unlock(&pool->lock);

	return inst;
}

static void sbm_pool_free(struct sbm_instance *inst)
{
	struct sbm sbm = { .instance = inst, };

	sbm_destroy(&sbm);
}

static void sbm_pool_free_list(struct list_head *list)
{
	struct sbm_instance *inst, *next;

	list_for_each_entry_safe(inst, next, list, idle) {
		list_del(&inst->idle);
		sbm_pool_free(inst);
	}
}

static void sbm_pool_work(struct work_struct *work)
{
	struct sbm_pool *pool = container_of(work, struct sbm_pool, work);
	LIST_HEAD(list);

	spin_lock(&pool->lock);
	list_splice_init(&pool->unwanted, &list);
	spin_unlock(&pool->lock);
	sbm_pool_free_list(&list);
}

static unsigned long sbm_pool_count(struct shrinker *shrinker,
				    struct shrink_control *sc)
{
	const struct sbm_pool *pool = shrinker->private_data;

	return READ_ONCE(pool->nr) ?: SHRINK_EMPTY;
}

/*
 * Who allocates memory may hold what it takes to destroy an instance, or may be just
 * reading its files. So it is left to a worker.
 */
static unsigned long sbm_pool_scan(struct shrinker *shrinker,
				   struct shrink_control *sc)
{
	struct sbm_pool *pool = shrinker->private_data;
	unsigned long nr = 0;

	spin_lock(&pool->lock);
	while (nr < sc->nr_to_scan && pool->nr) {
		list_move(pool->idle.prev, &pool->unwanted);
		WRITE_ONCE(pool->nr, pool->nr - 1);
		nr++;
	}
	spin_unlock(&pool->lock);

	if (nr)
		schedule_work(&pool->work);
	sc->nr_scanned = nr;

	return nr ?: SHRINK_STOP;
}

struct sbm_pool *sbm_pool_create(const struct sbm_attr *attr, unsigned int nr)
{
	struct sbm_pool *pool;
	int err = -ENOMEM;
	unsigned int i;

	pool = kzalloc(sizeof(*pool), GFP_KERNEL);
	if (!pool)
		return ERR_PTR(-ENOMEM);

	if (attr)
		pool->attr = *attr;
	pool->max = nr;
	spin_lock_init(&pool->lock);
	INIT_LIST_HEAD(&pool->idle);
	INIT_LIST_HEAD(&pool->unwanted);
	INIT_WORK(&pool->work, sbm_pool_work);

	/* One at least, to find out whether it can be done at all */
	for (i = 0; i < max(nr, 1U); i++) {
		struct sbm sbm;

		err = sbm_init_attr(&sbm, &pool->attr);
		if (err)
			goto out_destroy;
		sbm_pool_put(pool, &sbm);
	}

	pool->shrinker = shrinker_alloc(0, "sbm-pool");
	if (!pool->shrinker) {
		err = -ENOMEM;
		goto out_destroy;
	}
	pool->shrinker->count_objects = sbm_pool_count;
	pool->shrinker->scan_objects = sbm_pool_scan;
	pool->shrinker->private_data = pool;
	shrinker_register(pool->shrinker);

	return pool;

out_destroy:
	sbm_pool_destroy(pool);
	return ERR_PTR(err);
}
EXPORT_SYMBOL_GPL(sbm_pool_create);

int sbm_pool_get(struct sbm_pool *pool, struct sbm *sbm)
{
	struct sbm_instance *inst;

	if (!sbm)
		return -EINVAL;

	/* What this may have to refuse is for sbm_init_attr() to say */
	inst = sbm_context_ok() ? sbm_pool_take(pool) : NULL;
	if (inst && unlikely(inst->isolation > sbm_isolation())) {
		sbm_pool_free(inst);
		inst = NULL;
	}
	if (!inst)
		return sbm_init_attr(sbm, &pool->attr);

	sbm->instance = inst;
	sbm->error = 0;

	return 0;
}
EXPORT_SYMBOL_GPL(sbm_pool_get);

void sbm_pool_put(struct sbm_pool *pool, struct sbm *sbm)
{
	struct sbm_instance *inst;

	/* What cannot be used again, or is in use, is for sbm_destroy() to deal with */
	if (READ_ONCE(pool->nr) >= pool->max || sbm_reset(sbm)) {
		sbm_destroy(sbm);
		return;
	}

	inst = sbm->instance;
	sbm->instance = NULL;
	sbm->error = -EINVAL;

	spin_lock(&pool->lock);
	if (pool->nr < pool->max) {
		list_add(&inst->idle, &pool->idle);
		WRITE_ONCE(pool->nr, pool->nr + 1);
		inst = NULL;
	}
	spin_unlock(&pool->lock);

	/* Others were faster */
	if (inst)
		sbm_pool_free(inst);
}
EXPORT_SYMBOL_GPL(sbm_pool_put);

void sbm_pool_destroy(struct sbm_pool *pool)
{
	if (IS_ERR_OR_NULL(pool))
		return;

	/* Waits until it does not run any more, and so the work is the last */
	shrinker_free(pool->shrinker);
	flush_work(&pool->work);
	sbm_pool_free_list(&pool->idle);
	kfree(pool);
}
EXPORT_SYMBOL_GPL(sbm_pool_destroy);
