// SPDX-License-Identifier: GPL-2.0
/*
 * Sandbox mode (SBM): buffers that an instance shares with a device.
 *
 * A buffer is whole pages that belong to the instance. The target sees them like any
 * other buffer; what the device sees is decided here: the same pages, or others that
 * are copied to and from. How the device gets at them depends on the isolation:
 *
 * private: a paging domain of the instance's own, with addresses of our own choice
 * shared:  the DMA API, and a flush of the IOMMU's TLB after each unmapping, since the
 *	    API may put that off
 * none:    memory that the DMA API has allocated, always with copies
 *
 * One order holds in all that takes something away: the device is switched off, its bus
 * mastering is switched off, its mappings are removed, the IOMMU's TLB is flushed, and
 * only then pages are read as a result, given to others, or freed. The domain stays,
 * empty, until the driver detaches: a device that does DMA in spite of all this is
 * refused as long as possible.
 *
 * Pages that cannot be taken away from the device are never used for anything else: they
 * are lost, and so is all that says where they are mapped.
 *
 * Locks: &sbm_dma.stop_lock, then &sbm_dma.lock. The driver of an IOMMU takes
 * sbm_dma_fault_lock when it reports a fault, in whatever context.
 */
#define pr_fmt(fmt) "sbm: " fmt

#include <linux/device.h>
#include <linux/dma-mapping.h>
#include <linux/err.h>
#include <linux/export.h>
#include <linux/highmem.h>
#include <linux/iommu.h>
#include <linux/iova.h>
#include <linux/list.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/msi.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/printk.h>
#include <linux/ratelimit.h>
#include <linux/sbm.h>
#include <linux/sbm_dma.h>
#include <linux/scatterlist.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>
#include <trace/events/sbm.h>

#include "buffer.h"
#include "dma.h"
#include "sbm.h"

/**
 * struct sbm_dma - the device of an instance
 * @inst:	The instance; NULL once that is reset or destroyed.
 * @dev:	The device. A reference is held.
 * @isolation:	What the device can reach.
 * @reason:	Why that is not %SBM_DMA_PRIVATE.
 * @borrowed:	The device is another driver's: it stays bus master.
 * @stop:	See &sbm_dma_attr.stop.
 * @data:	For @stop.
 * @max_pages:	Pages that it may be given.
 * @stop_lock:	Held by whoever stops the device.
 * @stopped:	The device is off and has nothing. Under @stop_lock.
 * @lock:	Protects what follows, and the mappings of all buffers.
 * @refuse:	Nothing is mapped any more.
 * @buffers:	All buffers.
 * @nr_pages:	Pages that it may be given now.
 * @stats:	What it has cost.
 * @id:		Its key in sbm_dma_ids; 0 if it is not there.
 * @faults:	Faults that the IOMMU's driver has reported.
 * @work:	Stops the device after a fault.
 * @domain:	For %SBM_DMA_PRIVATE.
 * @iovad:	Addresses in @domain that are in use.
 * @lost:	Entry in sbm_dma_lost, if buffers could not be taken away.
 */
struct sbm_dma {
	struct sbm_instance	*inst;
	struct device		*dev;
	enum sbm_dma_isolation	isolation;
	const char		*reason;
	bool			borrowed;
	void			(*stop)(struct device *dev, void *data);
	void			*data;
	unsigned long		max_pages;
	struct mutex		stop_lock;	/* see above */
	bool			stopped;
	struct mutex		lock;		/* see above */
	bool			refuse;
	struct list_head	buffers;
	unsigned long		nr_pages;
	struct sbm_dma_stats	stats;
	u32			id;
	atomic64_t		faults;
	struct work_struct	work;
	struct iommu_domain	*domain;
	struct iova_domain	iovad;
	struct list_head	lost;
};

/**
 * struct sbm_dma_buffer - a buffer that device and target share
 * @list:   Entry in &sbm_dma.buffers.
 * @dma:    The attachment.
 * @buf:    What the target sees; NULL once the instance is reset or destroyed.
 * @size:   Size in bytes.
 * @nr:	    Number of pages.
 * @dir:    What the device does. Its rights are this and @mapped, and nothing else.
 * @copy:   The device sees pages of its own.
 * @mapped: The device has it.
 * @lost:   The device could not be made to let go of it.
 * @addr:   Where the device finds it.
 * @pages:  What the device sees: the pages of @buf, or with @copy others. NULL
 *	    without an IOMMU.
 * @bounce: What the device sees without an IOMMU.
 * @iova:   Reserved addresses, for %SBM_DMA_PRIVATE.
 * @sgt:    The mapping, for %SBM_DMA_SHARED.
 */
struct sbm_dma_buffer {
	struct list_head	list;
	struct sbm_dma		*dma;
	struct sbm_buffer	*buf;
	size_t			size;
	unsigned int		nr;
	enum dma_data_direction	dir;
	bool			copy;
	bool			mapped;
	bool			lost;
	dma_addr_t		addr;
	struct page		**pages;
	void			*bounce;
	struct iova		*iova;
	struct sg_table		sgt;
};

/*
 * All attachments that a fault may be reported for. A report knows the number and not
 * the address: the attachment may be gone by then.
 */
static DEFINE_XARRAY_ALLOC1(sbm_dma_ids);

/* Held while a fault is attributed; raw, because that may be done by an interrupt */
static DEFINE_RAW_SPINLOCK(sbm_dma_fault_lock);

/* Attachments of which something is lost, for whoever looks for it in a dump */
static LIST_HEAD(sbm_dma_lost);
static DEFINE_MUTEX(sbm_dma_lost_lock);

/* What all attachments together have cost; each has a name of its own in debugfs */
static struct {
	atomic64_t	maps;
	atomic64_t	unmaps;
	atomic64_t	flushes;
	atomic64_t	copied;
	atomic64_t	faults;
	atomic64_t	lost;
} sbm_dma_total;

#ifdef CONFIG_SBM_KUNIT_TEST
bool sbm_dma_keep_buffers;
EXPORT_SYMBOL_GPL(sbm_dma_keep_buffers);
#else
#define sbm_dma_keep_buffers	false
#endif

/* === Private: a domain of its own === */

static bool sbm_device_writes(enum dma_data_direction dir)
{
	return dir == DMA_FROM_DEVICE || dir == DMA_BIDIRECTIONAL;
}

static bool sbm_device_reads(enum dma_data_direction dir)
{
	return dir == DMA_TO_DEVICE || dir == DMA_BIDIRECTIONAL;
}

#ifdef CONFIG_IOMMU_API

static void sbm_dma_count_flush(struct sbm_dma *dma)
{
	dma->stats.flushes++;
	atomic64_inc(&sbm_dma_total.flushes);
}

static int sbm_dma_prot(enum dma_data_direction dir)
{
	int prot = IOMMU_CACHE | IOMMU_NOEXEC;

	if (sbm_device_reads(dir))
		prot |= IOMMU_READ;
	if (sbm_device_writes(dir))
		prot |= IOMMU_WRITE;

	return prot;
}

/* Return: 0; -EIO if the device has some of it, and cannot be made to give it back */
static int sbm_private_map(struct sbm_dma_buffer *buf)
{
	struct iommu_domain *domain = buf->dma->domain;
	dma_addr_t start = iova_dma_addr(&buf->dma->iovad, buf->iova);
	int prot = sbm_dma_prot(buf->dir);
	unsigned int i;
	int err;

	for (i = 0; i < buf->nr; i++) {
		err = iommu_map(domain, start + (dma_addr_t)i * PAGE_SIZE,
				page_to_phys(buf->pages[i]), PAGE_SIZE, prot, GFP_KERNEL);
		if (err)
			goto out_unmap;
	}
	buf->addr = start;

	return 0;

out_unmap:
	if (i && iommu_unmap(domain, start, (size_t)i * PAGE_SIZE) != i * PAGE_SIZE) {
		sbm_broken("a part of a buffer cannot be taken away from a device");
		return -EIO;
	}
	return err == -ENOMEM ? err : -ENOSPC;
}

static bool sbm_private_unmap(struct sbm_dma_buffer *buf)
{
	size_t size = (size_t)buf->nr * PAGE_SIZE;

	/* This flushes, and waits for it, in whatever mode the IOMMU is by default */
	if (iommu_unmap(buf->dma->domain, buf->addr, size) != size) {
		sbm_broken("a buffer cannot be taken away from a device");
		return false;
	}
	sbm_dma_count_flush(buf->dma);

	return true;
}

/*
 * Addresses for @buf, the page behind them left free: a device that runs past the end
 * of a buffer finds nothing there.
 */
static int sbm_private_reserve(struct sbm_dma_buffer *buf)
{
	struct sbm_dma *dma = buf->dma;
	u64 limit = dma_get_mask(dma->dev);

	limit = min_t(u64, limit, dma->domain->geometry.aperture_end);
	/* In the last page, the one that is left free does not count */
	buf->iova = alloc_iova(&dma->iovad, buf->nr + 1, limit >> PAGE_SHIFT, false);

	return buf->iova ? 0 : -ENOSPC;
}

static void sbm_private_release(struct sbm_dma_buffer *buf)
{
	if (buf->iova)
		__free_iova(&buf->dma->iovad, buf->iova);
	buf->iova = NULL;
}

/*
 * Atomic context. The driver of the IOMMU knows the device by what it has sent, and the
 * domain is the instance's alone.
 */
static int sbm_dma_fault(struct iommu_domain *domain, struct device *dev,
			 unsigned long iova, int flags, void *token)
{
	static DEFINE_RATELIMIT_STATE(ratelimit, DEFAULT_RATELIMIT_INTERVAL,
				      DEFAULT_RATELIMIT_BURST);
	bool write = flags & IOMMU_FAULT_WRITE;
	struct sbm_dma *dma;
	unsigned long irq;

	raw_spin_lock_irqsave(&sbm_dma_fault_lock, irq);
	dma = xa_load(&sbm_dma_ids, (unsigned long)token);
	if (dma) {
		atomic64_inc(&dma->faults);
		atomic64_inc(&sbm_dma_total.faults);
		trace_sbm_dma_fault(dma->inst->id, dev_name(dev), iova, write);
		if (__ratelimit(&ratelimit))
			pr_err("device %s of instance %llu was refused to %s address 0x%lx\n",
			       dev_name(dev), dma->inst->id, write ? "write to" : "read from",
			       iova);
		sbm_poison_by_device(dma->inst);
		schedule_work(&dma->work);
	}
	raw_spin_unlock_irqrestore(&sbm_dma_fault_lock, irq);

	/* If it has no instance any more, the IOMMU's driver shall say it */
	return dma ? 0 : -ENOENT;
}

/* Addresses that are not translated, or that mean something else on the way */
static const char *sbm_reserve_regions(struct sbm_dma *dma)
{
	struct iommu_resv_region *region;
	const char *reason = NULL;
	LIST_HEAD(regions);

	iommu_get_resv_regions(dma->dev, &regions);
	list_for_each_entry(region, &regions, list) {
		if (region->type == IOMMU_RESV_DIRECT)
			reason = "firmware wants the device to reach memory of its own";
		else if (region->type == IOMMU_RESV_SW_MSI)
			reason = "its interrupts need to be mapped";
		else if (region->length &&
			 !reserve_iova(&dma->iovad, PHYS_PFN(region->start),
				       PHYS_PFN(region->start + region->length - 1)))
			reason = "out of memory";
		if (reason)
			break;
	}
	iommu_put_resv_regions(dma->dev, &regions);

	return reason;
}

/* A bridge may take these for another device, before the IOMMU sees them */
static const char *sbm_reserve_windows(struct sbm_dma *dma)
{
	struct resource_entry *window;
	struct pci_host_bridge *bridge;

	if (!dev_is_pci(dma->dev))
		return NULL;

	bridge = pci_find_host_bridge(to_pci_dev(dma->dev)->bus);
	resource_list_for_each_entry(window, &bridge->windows) {
		if (resource_type(window->res) != IORESOURCE_MEM)
			continue;
		if (!reserve_iova(&dma->iovad, PHYS_PFN(window->res->start - window->offset),
				  PHYS_PFN(window->res->end - window->offset)))
			return "out of memory";
	}

	return NULL;
}

static void sbm_private_destroy(struct sbm_dma *dma)
{
	if (!dma->domain)
		return;

	put_iova_domain(&dma->iovad);
	iova_cache_put();
	iommu_domain_free(dma->domain);
	dma->domain = NULL;
}

static const char *sbm_private_create(struct sbm_dma *dma, unsigned int flags)
{
	struct iommu_domain *domain;
	const char *reason;
	int err;

	if (!device_iommu_mapped(dma->dev))
		return "no IOMMU translates for the device";
	if (flags & SBM_DMA_BORROWED)
		return "the device belongs to another driver";
	if (!(flags & SBM_DMA_EXCLUSIVE))
		return "the driver has other DMA";
	if (!device_iommu_capable(dma->dev, IOMMU_CAP_CACHE_COHERENCY))
		return "the IOMMU does not keep caches coherent";

	domain = iommu_paging_domain_alloc(dma->dev);
	if (IS_ERR_OR_NULL(domain))
		return "the IOMMU has no further address space";
	if (!(domain->pgsize_bitmap & PAGE_SIZE)) {
		reason = "pages of the IOMMU have another size";
		goto out_domain;
	}
	if (iova_cache_get()) {
		reason = "out of memory";
		goto out_domain;
	}
	dma->domain = domain;
	/* Not address 0: drivers and devices take it for none */
	init_iova_domain(&dma->iovad, PAGE_SIZE,
			 max(PHYS_PFN(domain->geometry.aperture_start), 1UL));

	reason = sbm_reserve_regions(dma) ?: sbm_reserve_windows(dma);
	if (reason)
		goto out_destroy;

	iommu_set_fault_handler(domain, sbm_dma_fault, (void *)(unsigned long)dma->id);
	err = iommu_attach_device(domain, dma->dev);
	if (err) {
		if (err == -EINVAL)
			reason = "it is not alone in its IOMMU group";
		else if (err == -EBUSY)
			reason = "its IOMMU group is in use";
		else
			reason = "it cannot be moved to another address space";
		goto out_destroy;
	}

	return NULL;

out_destroy:
	sbm_private_destroy(dma);
	return reason;
out_domain:
	iommu_domain_free(domain);
	return reason;
}

static void sbm_private_detach(struct sbm_dma *dma)
{
	iommu_detach_device(dma->domain, dma->dev);
	/* If it did not let go of a page, it may not let go of the tables either */
	if (list_empty(&dma->lost))
		sbm_private_destroy(dma);
}

/* === Shared: the default domain === */

static const char *sbm_shared_check(struct sbm_dma *dma)
{
	struct iommu_domain *domain = iommu_get_domain_for_dev(dma->dev);

	if (!domain)
		return "no IOMMU translates for the device";
	if (!iommu_is_dma_domain(domain))
		return "the IOMMU is told not to translate";

	return NULL;
}

/* The DMA API may leave stale entries behind: they are gone when this returns */
static void sbm_shared_flush(struct sbm_dma *dma)
{
	struct iommu_domain *domain = iommu_get_domain_for_dev(dma->dev);

	if (!domain)
		return;

	iommu_flush_iotlb_all(domain);
	sbm_dma_count_flush(dma);
}

static int sbm_count_device(struct device *dev, void *data)
{
	unsigned int *nr = data;

	(*nr)++;

	return 0;
}

static bool sbm_dma_alone(struct device *dev)
{
	struct iommu_group *group = iommu_group_get(dev);
	unsigned int nr = 0;

	if (!group)
		return false;

	iommu_group_for_each_dev(group, &nr, sbm_count_device);
	iommu_group_put(group);

	return nr == 1;
}

#else /* CONFIG_IOMMU_API */

static int sbm_private_map(struct sbm_dma_buffer *buf) { return -ENODEV; }
static bool sbm_private_unmap(struct sbm_dma_buffer *buf) { return true; }
static int sbm_private_reserve(struct sbm_dma_buffer *buf) { return -ENODEV; }
static void sbm_private_release(struct sbm_dma_buffer *buf) { }
static void sbm_private_detach(struct sbm_dma *dma) { }

static const char *sbm_private_create(struct sbm_dma *dma, unsigned int flags)
{
	return "the kernel was built without IOMMUs";
}

static const char *sbm_shared_check(struct sbm_dma *dma)
{
	return "the kernel was built without IOMMUs";
}

static void sbm_shared_flush(struct sbm_dma *dma) { }
static bool sbm_dma_alone(struct device *dev) { return false; }

#endif /* CONFIG_IOMMU_API */

static int sbm_shared_map(struct sbm_dma_buffer *buf)
{
	struct device *dev = buf->dma->dev;
	int err;

	err = sg_alloc_table_from_pages(&buf->sgt, buf->pages, buf->nr, 0,
					(size_t)buf->nr * PAGE_SIZE, GFP_KERNEL);
	if (err)
		return err;

	err = dma_map_sgtable(dev, &buf->sgt, buf->dir, 0);
	if (err)
		goto out_free;
	if (buf->sgt.nents != 1) {
		dma_unmap_sgtable(dev, &buf->sgt, buf->dir, 0);
		sbm_shared_flush(buf->dma);
		err = -ERANGE;
		goto out_free;
	}
	buf->addr = sg_dma_address(buf->sgt.sgl);

	return 0;

out_free:
	sg_free_table(&buf->sgt);
	return err == -ERANGE ? err : -ENOMEM;
}

static void sbm_shared_unmap(struct sbm_dma_buffer *buf)
{
	dma_unmap_sgtable(buf->dma->dev, &buf->sgt, buf->dir, 0);
	sg_free_table(&buf->sgt);
	sbm_shared_flush(buf->dma);
}

/* === What device and target see === */

/*
 * Between the pages of the target and those of the device. What is behind the last byte
 * stays: zeroes, and what this side has written there.
 */
static void sbm_dma_copy(struct sbm_dma_buffer *buf, bool to_device)
{
	size_t left = buf->size;
	unsigned int i;

	for (i = 0; i < buf->nr; i++) {
		struct page *page = buf->buf->pages[i];
		void *bounce = buf->bounce + (size_t)i * PAGE_SIZE;
		size_t n = min_t(size_t, left, PAGE_SIZE);

		if (buf->bounce && to_device)
			memcpy_from_page(bounce, page, 0, n);
		else if (buf->bounce)
			memcpy_to_page(page, 0, bounce, n);
		else if (to_device)
			memcpy_page(buf->pages[i], 0, page, 0, n);
		else
			memcpy_page(page, 0, buf->pages[i], 0, n);
		left -= n;
	}
	buf->dma->stats.copied += buf->size;
	atomic64_add(buf->size, &sbm_dma_total.copied);
}

static void sbm_dma_to_device(struct sbm_dma_buffer *buf)
{
	/*
	 * Also what the device is only to write: it may write less than all, and the
	 * target must not find there what was in the buffer the time before.
	 */
	if (buf->copy)
		sbm_dma_copy(buf, true);
	if (buf->mapped && buf->dma->isolation == SBM_DMA_SHARED)
		dma_sync_sgtable_for_device(buf->dma->dev, &buf->sgt, buf->dir);
}

static void sbm_dma_from_device(struct sbm_dma_buffer *buf)
{
	if (buf->mapped && buf->dma->isolation == SBM_DMA_SHARED)
		dma_sync_sgtable_for_cpu(buf->dma->dev, &buf->sgt, buf->dir);
	if (buf->copy && sbm_device_writes(buf->dir))
		sbm_dma_copy(buf, false);
}

/*
 * The device may still access the pages, so nobody else must get them, ever. They stay
 * in the count of all instances.
 */
static void sbm_dma_lose(struct sbm_dma_buffer *buf)
{
	struct sbm_dma *dma = buf->dma;

	buf->lost = true;
	/* Where the device sees the target's pages. Without the instance, they are gone. */
	if (!buf->copy && buf->buf)
		buf->buf->flags |= __SBM_BUF_LOST;
	dma->refuse = true;
	dma->stats.lost += buf->nr;
	atomic64_add(buf->nr, &sbm_dma_total.lost);
	pr_err("device %s keeps %u pages of instance %llu, which are lost\n",
	       dev_name(dma->dev), buf->nr, dma->inst->id);

	mutex_lock(&sbm_dma_lost_lock);
	if (list_empty(&dma->lost))
		list_add_tail(&dma->lost, &sbm_dma_lost);
	mutex_unlock(&sbm_dma_lost_lock);
}

static int sbm_dma_give(struct sbm_dma_buffer *buf)
{
	int err = 0;

	switch (buf->dma->isolation) {
	case SBM_DMA_PRIVATE:
		err = sbm_private_map(buf);
		if (err == -EIO)
			sbm_dma_lose(buf);
		break;
	case SBM_DMA_SHARED:
		err = sbm_shared_map(buf);
		break;
	case SBM_DMA_NONE:
		break;
	}
	if (err)
		return err;

	buf->mapped = true;
	buf->dma->stats.maps++;
	atomic64_inc(&sbm_dma_total.maps);

	return 0;
}

/*
 * When it returns, the device cannot access the pages, or they are lost. Content is left
 * as it is.
 */
static void sbm_dma_take(struct sbm_dma_buffer *buf)
{
	bool taken = true;

	if (!buf->mapped)
		return;

	if (unlikely(sbm_dma_keep_buffers)) {
		taken = false;
	} else {
		switch (buf->dma->isolation) {
		case SBM_DMA_PRIVATE:
			taken = sbm_private_unmap(buf);
			break;
		case SBM_DMA_SHARED:
			sbm_shared_unmap(buf);
			break;
		case SBM_DMA_NONE:
			break;
		}
	}
	buf->mapped = false;
	if (!taken) {
		sbm_dma_lose(buf);
		return;
	}
	buf->dma->stats.unmaps++;
	atomic64_inc(&sbm_dma_total.unmaps);
}

int sbm_dma_map(struct sbm_dma_buffer *buf)
{
	struct sbm_dma *dma = buf->dma;
	int err = 0;

	might_sleep();

	mutex_lock(&dma->lock);
	if (dma->refuse) {
		err = -ENODEV;
	} else if (buf->mapped) {
		err = -EBUSY;
	} else {
		sbm_dma_to_device(buf);
		err = sbm_dma_give(buf);
	}
	mutex_unlock(&dma->lock);

	return err;
}
EXPORT_SYMBOL_GPL(sbm_dma_map);

void sbm_dma_unmap(struct sbm_dma_buffer *buf)
{
	struct sbm_dma *dma = buf->dma;

	might_sleep();

	mutex_lock(&dma->lock);
	/* Once the device was stopped, it is gone already, and its word is not taken */
	if (buf->mapped) {
		sbm_dma_take(buf);
		if (!dma->refuse)
			sbm_dma_from_device(buf);
	}
	mutex_unlock(&dma->lock);
}
EXPORT_SYMBOL_GPL(sbm_dma_unmap);

static int sbm_dma_sync(struct sbm_dma_buffer *buf, void (*sync)(struct sbm_dma_buffer *buf))
{
	struct sbm_dma *dma = buf->dma;
	int err = 0;

	might_sleep();

	mutex_lock(&dma->lock);
	if (dma->refuse)
		err = -ENODEV;
	else if (!buf->mapped)
		err = -EINVAL;
	else
		sync(buf);
	mutex_unlock(&dma->lock);

	return err;
}

int sbm_dma_sync_for_device(struct sbm_dma_buffer *buf)
{
	return sbm_dma_sync(buf, sbm_dma_to_device);
}
EXPORT_SYMBOL_GPL(sbm_dma_sync_for_device);

int sbm_dma_sync_for_cpu(struct sbm_dma_buffer *buf)
{
	return sbm_dma_sync(buf, sbm_dma_from_device);
}
EXPORT_SYMBOL_GPL(sbm_dma_sync_for_cpu);

/* === Allocation === */

/* Nobody has it mapped: let go what the device has seen */
static void sbm_dma_free_pages(struct sbm_dma_buffer *buf)
{
	struct sbm_dma *dma = buf->dma;
	struct sbm_memory *memory = &dma->inst->memory;
	size_t size = (size_t)buf->nr * PAGE_SIZE;
	unsigned int i;

	/* Nor are they forgotten: what says where they are is kept, see sbm_dma_free() */
	if (buf->lost) {
		if (!buf->copy)
			buf->pages = NULL;
		buf->buf = NULL;
		return;
	}

	if (buf->bounce) {
		memset(buf->bounce, 0, size);
		dma_free_coherent(dma->dev, size, buf->bounce, buf->addr);
		sbm_uncharge_pages(memory, buf->nr);
	} else if (buf->copy && buf->pages) {
		for (i = 0; i < buf->nr && buf->pages[i]; i++) {
			clear_highpage(buf->pages[i]);
			sbm_free_page(memory, buf->pages[i]);
		}
		kvfree(buf->pages);
	}
	buf->bounce = NULL;
	buf->pages = NULL;
	buf->buf = NULL;
}

static int sbm_dma_alloc_bounce(struct sbm_dma_buffer *buf)
{
	size_t size = (size_t)buf->nr * PAGE_SIZE;
	int err;

	err = sbm_charge_pages(&buf->dma->inst->memory, buf->nr);
	if (err)
		return err;

	/* It is zeroed, and where the device can reach it */
	buf->bounce = dma_alloc_coherent(buf->dma->dev, size, &buf->addr,
					 GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
	if (!buf->bounce) {
		sbm_uncharge_pages(&buf->dma->inst->memory, buf->nr);
		return -ENOMEM;
	}

	return 0;
}

static int sbm_dma_alloc_copies(struct sbm_dma_buffer *buf)
{
	unsigned int i;

	buf->pages = kvcalloc(buf->nr, sizeof(*buf->pages), GFP_KERNEL_ACCOUNT);
	if (!buf->pages)
		return -ENOMEM;

	for (i = 0; i < buf->nr; i++) {
		struct page *page = sbm_alloc_page(&buf->dma->inst->memory);

		if (IS_ERR(page))
			return PTR_ERR(page);
		buf->pages[i] = page;
	}

	return 0;
}

/* The instance is the caller's */
static int sbm_dma_fill(struct sbm_dma_buffer *buf, unsigned int flags, const char *name)
{
	struct sbm_dma *dma = buf->dma;
	struct sbm_buffer *own;
	int err;

	if (buf->nr > dma->max_pages - dma->nr_pages)
		return -ENOSPC;

	/*
	 * First what can be given back: a buffer of the instance stays until the end
	 */
	if (dma->isolation == SBM_DMA_NONE)
		err = sbm_dma_alloc_bounce(buf);
	else if (buf->copy)
		err = sbm_dma_alloc_copies(buf);
	else
		err = 0;
	if (!err && dma->isolation == SBM_DMA_PRIVATE)
		err = sbm_private_reserve(buf);
	if (err)
		goto out_free;

	own = sbm_buffer_add_own(dma->inst, buf->size, flags, name);
	if (IS_ERR(own)) {
		err = PTR_ERR(own);
		goto out_free;
	}
	buf->buf = own;
	if (!buf->pages)
		buf->pages = buf->copy ? NULL : own->pages;

	dma->nr_pages += buf->nr;
	list_add_tail(&buf->list, &dma->buffers);

	return 0;

out_free:
	sbm_private_release(buf);
	sbm_dma_free_pages(buf);
	return err;
}

struct sbm_dma_buffer *sbm_dma_alloc(struct sbm_dma *dma, size_t size,
				     enum dma_data_direction dir, unsigned int flags,
				     const char *name)
{
	unsigned int buf_flags = __SBM_BUF_DMA;
	struct sbm_dma_buffer *buf;
	int err;

	if (!dma || !size || size > SBM_MAX_BUFFER_SIZE || (flags & ~__SBM_DMA_BUF_ALL) ||
	    (!sbm_device_reads(dir) && !sbm_device_writes(dir)) || !sbm_context_ok())
		return ERR_PTR(-EINVAL);

	might_sleep();

	buf = kzalloc(sizeof(*buf), GFP_KERNEL_ACCOUNT);
	if (!buf)
		return ERR_PTR(-ENOMEM);
	buf->dma = dma;
	buf->size = size;
	buf->nr = DIV_ROUND_UP(size, PAGE_SIZE);
	buf->dir = dir;
	buf->copy = (flags & SBM_DMA_COPY) || dma->isolation == SBM_DMA_NONE;
	if (sbm_device_reads(dir) && !(flags & SBM_DMA_READ_ONLY))
		buf_flags |= __SBM_BUF_WRITE;

	mutex_lock(&dma->lock);
	if (dma->refuse) {
		err = -ENODEV;
	} else if (!sbm_acquire(dma->inst)) {
		err = -EBUSY;
	} else {
		err = sbm_dma_fill(buf, buf_flags, name);
		sbm_release(dma->inst);
	}
	mutex_unlock(&dma->lock);
	if (err) {
		kfree(buf);
		return ERR_PTR(err);
	}

	return buf;
}
EXPORT_SYMBOL_GPL(sbm_dma_alloc);

/* === What the kernel does with a buffer === */

dma_addr_t sbm_dma_addr(const struct sbm_dma_buffer *buf)
{
	return buf->mapped ? buf->addr : DMA_MAPPING_ERROR;
}
EXPORT_SYMBOL_GPL(sbm_dma_addr);

void *sbm_dma_sandbox(const struct sbm_dma_buffer *buf)
{
	return buf->buf ? (void *)buf->buf->addr : NULL;
}
EXPORT_SYMBOL_GPL(sbm_dma_sandbox);

/* All that is known about who may do what: others ask here */
static void sbm_dma_rights(const struct sbm_dma_buffer *buf, struct sbm_dma_rights *rights)
{
	bool has = buf->mapped || buf->lost;

	*rights = (struct sbm_dma_rights){
		.device_read	= has && sbm_device_reads(buf->dir),
		.device_write	= has && sbm_device_writes(buf->dir),
		.target_write	= buf->buf && (buf->buf->flags & __SBM_BUF_WRITE),
	};
	rights->kernel_read = buf->buf && (buf->copy || !rights->device_write);
}

void sbm_dma_get_rights(const struct sbm_dma_buffer *buf, struct sbm_dma_rights *rights)
{
	mutex_lock(&buf->dma->lock);
	sbm_dma_rights(buf, rights);
	mutex_unlock(&buf->dma->lock);
}
EXPORT_SYMBOL_GPL(sbm_dma_get_rights);

/* Between the caller's memory and what the target sees */
static void sbm_dma_copy_caller(struct sbm_dma_buffer *buf, size_t offset, void *kaddr,
				size_t len, bool write)
{
	while (len) {
		struct page *page = buf->buf->pages[offset >> PAGE_SHIFT];
		size_t in_page = offset_in_page(offset);
		size_t n = min_t(size_t, len, PAGE_SIZE - in_page);

		if (write)
			memcpy_to_page(page, in_page, kaddr, n);
		else
			memcpy_from_page(kaddr, page, in_page, n);
		kaddr += n;
		offset += n;
		len -= n;
	}
}

static int sbm_dma_access(struct sbm_dma_buffer *buf, size_t offset, void *kaddr,
			  size_t len, bool write)
{
	struct sbm_dma_rights rights;
	int err = 0;

	/* The device could see it: not every IOMMU and its driver have write-only */
	if (write && !sbm_device_reads(buf->dir))
		return -EINVAL;
	if (offset > buf->size || len > buf->size - offset)
		return -EINVAL;

	might_sleep();

	mutex_lock(&buf->dma->lock);
	sbm_dma_rights(buf, &rights);
	if (!buf->buf)
		err = -ENODEV;
	else if (!write && !rights.kernel_read)
		err = -EBUSY;
	else
		sbm_dma_copy_caller(buf, offset, kaddr, len, write);
	mutex_unlock(&buf->dma->lock);

	return err;
}

int sbm_dma_read(struct sbm_dma_buffer *buf, size_t offset, void *to, size_t len)
{
	return sbm_dma_access(buf, offset, to, len, false);
}
EXPORT_SYMBOL_GPL(sbm_dma_read);

int sbm_dma_write(struct sbm_dma_buffer *buf, size_t offset, const void *from, size_t len)
{
	/* It is only read */
	return sbm_dma_access(buf, offset, (void *)from, len, true);
}
EXPORT_SYMBOL_GPL(sbm_dma_write);

/* === Stopping === */

void sbm_dma_stop(struct sbm_dma *dma)
{
	struct sbm_dma_buffer *buf;

	might_sleep();

	mutex_lock(&dma->stop_lock);
	if (dma->stopped)
		goto out;

	mutex_lock(&dma->lock);
	dma->refuse = true;
	mutex_unlock(&dma->lock);

	if (dma->stop)
		dma->stop(dma->dev, dma->data);
	if (dev_is_pci(dma->dev) && !dma->borrowed)
		pci_clear_master(to_pci_dev(dma->dev));

	mutex_lock(&dma->lock);
	list_for_each_entry(buf, &dma->buffers, list)
		sbm_dma_take(buf);
	mutex_unlock(&dma->lock);
	dma->stopped = true;
out:
	mutex_unlock(&dma->stop_lock);
}
EXPORT_SYMBOL_GPL(sbm_dma_stop);

static void sbm_dma_work(struct work_struct *work)
{
	sbm_dma_stop(container_of(work, struct sbm_dma, work));
}

void sbm_dma_stopped(struct sbm_instance *inst)
{
	if (inst->dma)
		sbm_dma_stop(inst->dma);
}

/* No fault that comes after this knows the instance */
static void sbm_dma_forget(struct sbm_dma *dma)
{
	if (dma->id)
		xa_erase(&sbm_dma_ids, dma->id);
	dma->id = 0;
	/* Whoever has found it before is done after this */
	raw_spin_lock_irq(&sbm_dma_fault_lock);
	raw_spin_unlock_irq(&sbm_dma_fault_lock);
	cancel_work_sync(&dma->work);
}

/* The instance is the caller's */
void sbm_dma_end(struct sbm_instance *inst)
{
	struct sbm_dma *dma = inst->dma;
	struct sbm_dma_buffer *buf;

	if (!dma)
		return;

	sbm_dma_stop(dma);
	sbm_dma_forget(dma);

	mutex_lock(&dma->lock);
	list_for_each_entry(buf, &dma->buffers, list) {
		if (!buf->lost)
			sbm_private_release(buf);
		sbm_dma_free_pages(buf);
	}
	dma->nr_pages = 0;
	dma->inst = NULL;
	mutex_unlock(&dma->lock);
	inst->dma = NULL;
}

/* === Life cycle === */

static const char * const sbm_dma_isolation_names[] = {
	[SBM_DMA_NONE]		= "none",
	[SBM_DMA_SHARED]	= "shared",
	[SBM_DMA_PRIVATE]	= "private",
};

/*
 * A device that caches translations itself can send requests that the IOMMU takes for
 * translated: it reaches all memory if it lies.
 */
static bool sbm_dma_has_ats(struct device *dev)
{
	struct pci_dev *pdev = dev_is_pci(dev) ? to_pci_dev(dev) : NULL;

	return pdev && (pdev->ats_enabled || pdev->pri_enabled);
}

static void sbm_dma_choose(struct sbm_dma *dma, unsigned int flags)
{
	static const char ats[] = "it translates addresses itself (ATS), boot with pci=noats";
	const char *shared;

	dma->isolation = SBM_DMA_PRIVATE;
	dma->reason = sbm_private_create(dma, flags);
	/* Attaching may have switched it on */
	if (!dma->reason && sbm_dma_has_ats(dma->dev)) {
		sbm_private_detach(dma);
		dma->reason = ats;
	}
	if (!dma->reason)
		return;

	dma->isolation = SBM_DMA_SHARED;
	shared = sbm_shared_check(dma);
	if (!shared && sbm_dma_has_ats(dma->dev))
		shared = ats;
	if (!shared)
		return;

	dma->isolation = SBM_DMA_NONE;
	dma->reason = shared;
}

/* What the isolation does not help against, or the driver cannot know */
static const char *sbm_dma_refuse(struct sbm_dma *dma)
{
	struct device *dev = dma->dev;

	if (!dev_is_pci(dev) || !to_pci_dev(dev)->untrusted)
		return NULL;
	if (dma->isolation == SBM_DMA_NONE)
		return "it is not trusted, and no IOMMU holds it back";
	if (!sbm_dma_alone(dev))
		return "it is not trusted, and not alone in its IOMMU group";

	return NULL;
}

static void sbm_dma_log(struct sbm_dma *dma)
{
	struct device *dev = dma->dev;

	if (dma->reason)
		dev_info_ratelimited(dev, "sbm: DMA isolation %s: %s\n",
				     sbm_dma_isolation_names[dma->isolation], dma->reason);
	else
		dev_info_ratelimited(dev, "sbm: DMA isolation %s%s\n",
				     sbm_dma_isolation_names[dma->isolation],
				     dev_is_pci(dev) && to_pci_dev(dev)->is_virtfn ?
				     ", of a virtual function" : "");
	if (dma->isolation > SBM_DMA_NONE && dev_is_pci(dev) &&
	    !msi_device_has_isolated_msi(dev))
		dev_notice_once(dev, "sbm: interrupts are not remapped: a hostile device can raise any\n");
}

static void sbm_dma_free(struct sbm_dma *dma)
{
	struct sbm_dma_buffer *buf, *next;

	sbm_dma_forget(dma);
	/* A device that still does DMA has met an empty address space until here */
	if (dma->domain)
		sbm_private_detach(dma);
	put_device(dma->dev);
	dma->dev = NULL;
	/* It knows where the pages are that nobody can have any more */
	if (!list_empty(&dma->lost))
		return;
	list_for_each_entry_safe(buf, next, &dma->buffers, list)
		kfree(buf);
	kfree(dma);
}

/*
 * VFIO or the like is bound to it: user space decides what address space it is in. While
 * an ordinary driver is bound, the IOMMU's core keeps user space out.
 */
static bool sbm_dma_is_users(struct device *dev)
{
	return dev_is_pci(dev) && to_pci_driver(dev->driver)->driver_managed_dma;
}

/* The instance is the caller's */
static struct sbm_dma *sbm_dma_create(struct sbm_instance *inst, struct device *dev,
				      const struct sbm_dma_attr *attr)
{
	const char *refused;
	struct sbm_dma *dma;
	int err;

	if (inst->dma || sbm_dma_is_users(dev))
		return ERR_PTR(-EBUSY);

	dma = kzalloc(sizeof(*dma), GFP_KERNEL_ACCOUNT);
	if (!dma)
		return ERR_PTR(-ENOMEM);

	dma->inst = inst;
	dma->dev = get_device(dev);
	dma->borrowed = attr->flags & SBM_DMA_BORROWED;
	dma->stop = attr->stop;
	dma->data = attr->data;
	dma->max_pages = attr->memory_limit >> PAGE_SHIFT ?: ULONG_MAX;
	mutex_init(&dma->stop_lock);
	mutex_init(&dma->lock);
	INIT_LIST_HEAD(&dma->buffers);
	INIT_LIST_HEAD(&dma->lost);
	INIT_WORK(&dma->work, sbm_dma_work);

	err = xa_alloc(&sbm_dma_ids, &dma->id, dma, xa_limit_31b, GFP_KERNEL_ACCOUNT);
	if (err) {
		dma->id = 0;
		goto out_free;
	}

	sbm_dma_choose(dma, attr->flags);
	sbm_dma_log(dma);
	err = -EOPNOTSUPP;
	refused = sbm_dma_refuse(dma);
	if (refused) {
		dev_notice_ratelimited(dev, "sbm: refused: %s\n", refused);
		goto out_free;
	}
	if (dma->isolation < attr->min_isolation)
		goto out_free;

	inst->dma = dma;

	return dma;

out_free:
	sbm_dma_free(dma);
	return ERR_PTR(err);
}

struct sbm_dma *sbm_dma_attach(struct sbm *sbm, struct device *dev,
			       const struct sbm_dma_attr *attr)
{
	struct sbm_instance *inst;
	struct sbm_dma *dma;

	if (!sbm || !sbm->instance || !dev || !attr ||
	    attr->min_isolation > SBM_DMA_PRIVATE || (attr->flags & ~__SBM_DMA_ATTR_ALL) ||
	    (attr->memory_limit && attr->memory_limit < PAGE_SIZE) || !sbm_context_ok())
		return ERR_PTR(-EINVAL);
	/* The other driver's DMA goes on, whatever is said here */
	if ((attr->flags & SBM_DMA_BORROWED) &&
	    ((attr->flags & SBM_DMA_EXCLUSIVE) || !attr->stop))
		return ERR_PTR(-EINVAL);
	if (!dev->driver || !dev->dma_mask || !*dev->dma_mask || !dev->coherent_dma_mask)
		return ERR_PTR(-EINVAL);

	might_sleep();

	inst = sbm->instance;
	if (!sbm_acquire(inst))
		return ERR_PTR(-EBUSY);
	dma = sbm_dma_create(inst, dev, attr);
	sbm_release(inst);

	return dma;
}
EXPORT_SYMBOL_GPL(sbm_dma_attach);

void sbm_dma_detach(struct sbm_dma *dma)
{
	struct sbm_instance *inst;

	if (IS_ERR_OR_NULL(dma))
		return;

	might_sleep();

	sbm_dma_stop(dma);
	inst = dma->inst;
	if (inst) {
		/* The target's pages stay with the instance, which needs its owner */
		if (WARN_ONCE(!sbm_acquire(inst),
			      "sbm: device detached while its instance is in use\n"))
			return;
		sbm_dma_end(inst);
		sbm_release(inst);
	}
	sbm_dma_free(dma);
}
EXPORT_SYMBOL_GPL(sbm_dma_detach);

enum sbm_dma_isolation sbm_dma_isolation(const struct sbm_dma *dma)
{
	return dma->isolation;
}
EXPORT_SYMBOL_GPL(sbm_dma_isolation);

const char *sbm_dma_reason(const struct sbm_dma *dma)
{
	return dma->reason;
}
EXPORT_SYMBOL_GPL(sbm_dma_reason);

void sbm_dma_get_stats(struct sbm_dma *dma, struct sbm_dma_stats *stats)
{
	mutex_lock(&dma->lock);
	*stats = dma->stats;
	stats->pages = dma->nr_pages;
	stats->faults = atomic64_read(&dma->faults);
	mutex_unlock(&dma->lock);
}
EXPORT_SYMBOL_GPL(sbm_dma_get_stats);

void sbm_dma_stats_write(struct seq_file *m)
{
	seq_printf(m, "dma_maps %lld\n", atomic64_read(&sbm_dma_total.maps));
	seq_printf(m, "dma_unmaps %lld\n", atomic64_read(&sbm_dma_total.unmaps));
	seq_printf(m, "dma_flushes %lld\n", atomic64_read(&sbm_dma_total.flushes));
	seq_printf(m, "dma_copied_bytes %lld\n", atomic64_read(&sbm_dma_total.copied));
	seq_printf(m, "dma_faults %lld\n", atomic64_read(&sbm_dma_total.faults));
	seq_printf(m, "dma_lost_pages %lld\n", atomic64_read(&sbm_dma_total.lost));
}
