/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Sandbox mode (SBM): buffers that a sandbox shares with a device.
 *
 * For drivers whose descriptors or data are processed in a sandbox. How to use it is
 * explained in Documentation/sandbox/dma.rst.
 */
#ifndef _LINUX_SBM_DMA_H
#define _LINUX_SBM_DMA_H

#include <linux/dma-direction.h>
#include <linux/err.h>
#include <linux/errno.h>
#include <linux/sbm.h>
#include <linux/types.h>

struct device;
struct sbm_dma;
struct sbm_dma_buffer;

/**
 * enum sbm_dma_isolation - what a device can reach
 * @SBM_DMA_NONE:    Anything. It was told addresses of buffers that nobody else uses,
 *		     and data is copied between these and what the target sees. That
 *		     stops accidents, no hostile device or target.
 * @SBM_DMA_SHARED:  What the kernel's DMA API has mapped for the devices of its IOMMU
 *		     group, other buffers of the same driver included. Mappings are
 *		     gone when unmapping returns, whatever the default of the system is.
 * @SBM_DMA_PRIVATE: The buffers of the instance that are mapped, in the direction that
 *		     each is for, and nothing else.
 *
 * The values are ordered: a larger value is stronger.
 */
enum sbm_dma_isolation {
	SBM_DMA_NONE,
	SBM_DMA_SHARED,
	SBM_DMA_PRIVATE,
};

/**
 * define SBM_DMA_EXCLUSIVE - all DMA of the driver goes through the object
 *
 * A promise of the driver's: it uses no other DMA of the device while it is attached,
 * for rings or anything else. What the DMA API has mapped before, the device does not
 * reach any more. Without the promise there is no %SBM_DMA_PRIVATE.
 */
#define SBM_DMA_EXCLUSIVE	0x0001

/**
 * define SBM_DMA_BORROWED - the device belongs to another driver
 *
 * That of a bus's controller: what is on the bus has no DMA of its own. The device goes
 * on when a target is stopped and when the attachment ends, and its bus mastering is left
 * alone. So &sbm_dma_attr.stop is needed, and makes sure that the device uses none of the
 * buffers when it returns. Goes up to %SBM_DMA_SHARED, and not with %SBM_DMA_EXCLUSIVE.
 */
#define SBM_DMA_BORROWED	0x0002

#define __SBM_DMA_ATTR_ALL	(SBM_DMA_EXCLUSIVE | SBM_DMA_BORROWED)

/**
 * struct sbm_dma_attr - what a driver needs
 * @min_isolation: The least that it accepts. %SBM_DMA_NONE leaves the choice to the
 *		   system.
 * @flags:	   %SBM_DMA_EXCLUSIVE, %SBM_DMA_BORROWED or 0.
 * @memory_limit:  Bytes that the device may be given, in whole pages. 0 means none but
 *		   the limit of the instance, in which they count, too.
 * @stop:	   Switch the device's DMA off. It comes once, before the device loses
 *		   access to buffers: when a target was stopped, when the device broke
 *		   the rules, or when the attachment ends. Process context, may
 *		   sleep. It must not call functions of this file, nor wait for a thread
 *		   that does. NULL if switching bus mastering off is all that can be done:
 *		   that comes afterwards in any case, for PCI devices that are the
 *		   driver's own.
 * @data:	   For @stop.
 */
struct sbm_dma_attr {
	enum sbm_dma_isolation	min_isolation;
	unsigned int		flags;
	size_t			memory_limit;
	void			(*stop)(struct device *dev, void *data);
	void			*data;
};

/**
 * define SBM_DMA_COPY - device and target see different pages
 *
 * sbm_dma_sync_for_device() and sbm_dma_sync_for_cpu() copy between them, so the buffer
 * can stay mapped for many transfers, and results are taken from memory that the device
 * cannot write. With %SBM_DMA_NONE all buffers are so.
 */
#define SBM_DMA_COPY		0x0001

/**
 * define SBM_DMA_READ_ONLY - the target may not write
 *
 * That is so for all buffers with %DMA_FROM_DEVICE.
 */
#define SBM_DMA_READ_ONLY	0x0002

#define __SBM_DMA_BUF_ALL	(SBM_DMA_COPY | SBM_DMA_READ_ONLY)

/**
 * struct sbm_dma_rights - who may do what with a buffer, now
 * @device_read:  The device may read.
 * @device_write: The device may write.
 * @target_write: The target may write; it may always read.
 * @kernel_read:  sbm_dma_read() works: nobody but the target can change the content.
 */
struct sbm_dma_rights {
	bool	device_read;
	bool	device_write;
	bool	target_write;
	bool	kernel_read;
};

/**
 * struct sbm_dma_stats - what an attachment has cost, and what went wrong
 * @maps:     Buffers that the device was given.
 * @unmaps:   Buffers that were taken away from it again.
 * @flushes:  Flushes of the IOMMU's TLB that were waited for.
 * @copied:   Bytes copied between what the device and what the target sees.
 * @faults:   Accesses that the IOMMU has refused and its driver has reported.
 * @lost:     Pages that the device could not be made to let go of. Nobody gets them.
 * @pages:    Pages that the device may be given, mapped or not.
 */
struct sbm_dma_stats {
	u64		maps;
	u64		unmaps;
	u64		flushes;
	u64		copied;
	u64		faults;
	u64		lost;
	unsigned long	pages;
};

#ifdef CONFIG_SBM_DMA

/**
 * sbm_dma_attach() - let an instance have buffers for a device
 * @sbm:  The instance. It can have one device.
 * @dev:  The device. The caller is the driver that is bound to it, and has set its DMA
 *	  mask; or that driver has done so, with %SBM_DMA_BORROWED.
 * @attr: What is needed.
 *
 * Gives the strongest isolation that is available. If that is less than
 * %SBM_DMA_PRIVATE, sbm_dma_reason() says why, and so does the log.
 *
 * It ends with sbm_dma_detach(). sbm_reset() and sbm_destroy() end all but the object
 * itself: the device is stopped and loses all buffers. The object and its buffers may
 * still be asked then, but every function that would change something returns -ENODEV.
 *
 * A driver that uses %SBM_DMA_EXCLUSIVE calls pci_set_master() after this, since the
 * device is moved between address spaces.
 *
 * Context: Process context, may sleep. Interrupts enabled.
 * Return: the attachment, or ERR_PTR of
 *
 * * -EINVAL - @sbm or @attr is not valid, no driver is bound to @dev, or it has no DMA
 *   mask; or flags that exclude each other
 * * -EBUSY - @sbm runs, or has a device; or user space owns the device's DMA (VFIO)
 * * -EOPNOTSUPP - less than &sbm_dma_attr.min_isolation is available; or the device is
 *   not trusted (an external one) and not alone in its IOMMU group, or without IOMMU
 * * -ENOMEM - out of memory
 */
struct sbm_dma *sbm_dma_attach(struct sbm *sbm, struct device *dev,
			       const struct sbm_dma_attr *attr);

/**
 * sbm_dma_detach() - stop a device and take all buffers away from it
 * @dma: The attachment; NULL or an ERR_PTR is fine. Nobody else uses it.
 *
 * &sbm_dma_attr.stop is called if it was not yet, bus mastering is switched off, all is
 * unmapped and flushed, the device goes back to the kernel's own address space. What the
 * target sees of the buffers stays with the instance, until sbm_reset() or
 * sbm_destroy().
 *
 * Must not be called while a target of the instance runs: that warns and leaks the
 * object, after the device was stopped.
 *
 * Context: Process context, may sleep. Interrupts enabled.
 */
void sbm_dma_detach(struct sbm_dma *dma);

/**
 * sbm_dma_stop() - stop a device now
 * @dma: The attachment.
 *
 * As if a target had been stopped: device off, bus mastering off, all unmapped and
 * flushed. Nothing can be mapped any more. Waits if somebody else is doing it.
 *
 * Context: Process context, may sleep. Not from &sbm_dma_attr.stop.
 */
void sbm_dma_stop(struct sbm_dma *dma);

/**
 * sbm_dma_isolation() - tell what the device can reach
 * @dma: The attachment.
 *
 * Context: Any.
 * Return: the isolation that it has got.
 */
enum sbm_dma_isolation sbm_dma_isolation(const struct sbm_dma *dma);

/**
 * sbm_dma_reason() - tell why isolation is less than private
 * @dma: The attachment.
 *
 * Context: Any.
 * Return: a short text in English, for messages; NULL with %SBM_DMA_PRIVATE.
 */
const char *sbm_dma_reason(const struct sbm_dma *dma);

/**
 * sbm_dma_get_stats() - tell what an attachment has cost
 * @dma:   The attachment.
 * @stats: Filled.
 *
 * Context: Process context, may sleep.
 */
void sbm_dma_get_stats(struct sbm_dma *dma, struct sbm_dma_stats *stats);

/**
 * sbm_dma_alloc() - allocate a buffer
 * @dma:   The attachment.
 * @size:  Size in bytes, at most %SBM_MAX_BUFFER_SIZE. It takes whole pages, so that
 *	   nothing else is on them; they are zero.
 * @dir:   What the device does: %DMA_TO_DEVICE, it reads; %DMA_FROM_DEVICE, it writes;
 *	   %DMA_BIDIRECTIONAL, both.
 * @flags: %SBM_DMA_COPY, %SBM_DMA_READ_ONLY or 0.
 * @name:  What reports call it, or NULL.
 *
 * The target sees it at once, see sbm_dma_sandbox(); the device after sbm_dma_map().
 * It lives as long as both the instance and the attachment.
 *
 * Memory of the caller's is never given to a device: use sbm_dma_write().
 *
 * Context: Process context, may sleep. Interrupts enabled. The thread that may use the
 *	    instance.
 * Return: the buffer, or ERR_PTR of
 *
 * * -EINVAL - an argument is not valid
 * * -EBUSY - a target runs
 * * -ENODEV - the device was stopped
 * * -ENOMEM - out of memory, or of what all instances may hold
 * * -ENOSPC - over a limit of the instance or the attachment, or no room in an address
 *   range
 */
struct sbm_dma_buffer *sbm_dma_alloc(struct sbm_dma *dma, size_t size,
				     enum dma_data_direction dir, unsigned int flags,
				     const char *name);

/**
 * sbm_dma_map() - give a buffer to the device
 * @buf: The buffer.
 *
 * With %SBM_DMA_COPY, includes sbm_dma_sync_for_device().
 *
 * Context: Process context, may sleep. Any thread.
 * Return:
 *
 * * 0 - the device has it, at sbm_dma_addr()
 * * -EBUSY - it has it already
 * * -EIO - mapping failed when the device had some of it, which could not be taken away
 *   again: the pages are lost, and sandbox mode is switched off
 * * -ENODEV - the device was stopped
 * * -ENOMEM - out of memory
 * * -ERANGE - %SBM_DMA_SHARED cannot map so large a buffer in one piece for this device
 */
int sbm_dma_map(struct sbm_dma_buffer *buf);

/**
 * sbm_dma_unmap() - take a buffer away from the device
 * @buf: The buffer. One that the device does not have is fine.
 *
 * When it returns, the device cannot access the buffer any more; with %SBM_DMA_NONE, it
 * is not told of it any more. If an IOMMU refuses to do that, the pages are lost: they
 * belong to nobody from then on, without copies sbm_dma_read() fails with -EBUSY, nothing
 * is mapped any more, and there is no strong isolation for anybody until the next boot.
 * With %SBM_DMA_COPY, what the device has written is then copied to where the target sees
 * it, unless the device was stopped.
 *
 * Context: Process context, may sleep. Any thread.
 */
void sbm_dma_unmap(struct sbm_dma_buffer *buf);

/**
 * sbm_dma_sync_for_device() - let the device see what was written
 * @buf: The buffer, which is mapped.
 *
 * Context: Process context, may sleep. Any thread.
 * Return: 0; -EINVAL if it is not mapped; -ENODEV if the device was stopped.
 */
int sbm_dma_sync_for_device(struct sbm_dma_buffer *buf);

/**
 * sbm_dma_sync_for_cpu() - see what the device has written
 * @buf: The buffer, which is mapped.
 *
 * Without %SBM_DMA_COPY the device can write on.
 *
 * Context: Process context, may sleep. Any thread.
 * Return: 0; -EINVAL if it is not mapped; -ENODEV if the device was stopped.
 */
int sbm_dma_sync_for_cpu(struct sbm_dma_buffer *buf);

/**
 * sbm_dma_addr() - tell where the device finds a buffer
 * @buf: The buffer, which is mapped.
 *
 * Context: Any.
 * Return: the address, in bytes, or %DMA_MAPPING_ERROR if it is not mapped. It may
 * change when the buffer is mapped again.
 */
dma_addr_t sbm_dma_addr(const struct sbm_dma_buffer *buf);

/**
 * sbm_dma_sandbox() - tell where the target finds a buffer
 * @buf: The buffer.
 *
 * Context: Any.
 * Return: the address inside the sandbox; it does not change. NULL after sbm_reset() or
 * sbm_destroy().
 */
void *sbm_dma_sandbox(const struct sbm_dma_buffer *buf);

/**
 * sbm_dma_get_rights() - tell who may do what with a buffer
 * @buf:    The buffer.
 * @rights: Filled.
 *
 * Context: Process context, may sleep.
 */
void sbm_dma_get_rights(const struct sbm_dma_buffer *buf, struct sbm_dma_rights *rights);

/**
 * sbm_dma_read() - copy from a buffer
 * @buf:    The buffer.
 * @offset: Where to begin, in bytes.
 * @to:	    The caller's memory.
 * @len:    Number of bytes.
 *
 * The content is the device's and the target's: check what was copied, not what is in
 * the buffer.
 *
 * Context: Process context, may sleep. No target of the instance runs.
 * Return: 0; -EINVAL if it is outside; -EBUSY if the device could write meanwhile;
 * -ENODEV after sbm_reset() or sbm_destroy().
 */
int sbm_dma_read(struct sbm_dma_buffer *buf, size_t offset, void *to, size_t len);

/**
 * sbm_dma_write() - copy to a buffer
 * @buf:    The buffer.
 * @offset: Where to begin, in bytes.
 * @from:   The caller's memory.
 * @len:    Number of bytes.
 *
 * A buffer that the device is only to write has nothing of the kernel's: some IOMMUs let
 * it read what it can write.
 *
 * Context: Process context, may sleep. No target of the instance runs.
 * Return: 0; -EINVAL if it is outside, or with %DMA_FROM_DEVICE; -ENODEV after
 * sbm_reset() or sbm_destroy().
 */
int sbm_dma_write(struct sbm_dma_buffer *buf, size_t offset, const void *from, size_t len);

/* For tests: buffers cannot be taken away from a device, but nothing is switched off */
#ifdef CONFIG_SBM_KUNIT_TEST
extern bool sbm_dma_keep_buffers;
#endif

#else /* CONFIG_SBM_DMA */

static inline struct sbm_dma *sbm_dma_attach(struct sbm *sbm, struct device *dev,
					     const struct sbm_dma_attr *attr)
{
	return ERR_PTR(-EOPNOTSUPP);
}

static inline void sbm_dma_detach(struct sbm_dma *dma) { }
static inline void sbm_dma_stop(struct sbm_dma *dma) { }

static inline enum sbm_dma_isolation sbm_dma_isolation(const struct sbm_dma *dma)
{
	return SBM_DMA_NONE;
}

static inline const char *sbm_dma_reason(const struct sbm_dma *dma)
{
	return "the kernel was built without it";
}

static inline void sbm_dma_get_stats(struct sbm_dma *dma, struct sbm_dma_stats *stats)
{
	*stats = (struct sbm_dma_stats){};
}

static inline struct sbm_dma_buffer *sbm_dma_alloc(struct sbm_dma *dma, size_t size,
						   enum dma_data_direction dir,
						   unsigned int flags, const char *name)
{
	return ERR_PTR(-EOPNOTSUPP);
}

static inline int sbm_dma_map(struct sbm_dma_buffer *buf)
{
	return -EOPNOTSUPP;
}

static inline void sbm_dma_unmap(struct sbm_dma_buffer *buf) { }

static inline int sbm_dma_sync_for_device(struct sbm_dma_buffer *buf)
{
	return -EOPNOTSUPP;
}

static inline int sbm_dma_sync_for_cpu(struct sbm_dma_buffer *buf)
{
	return -EOPNOTSUPP;
}

static inline dma_addr_t sbm_dma_addr(const struct sbm_dma_buffer *buf)
{
	return ~(dma_addr_t)0;
}

static inline void *sbm_dma_sandbox(const struct sbm_dma_buffer *buf)
{
	return NULL;
}

static inline void sbm_dma_get_rights(const struct sbm_dma_buffer *buf,
				      struct sbm_dma_rights *rights)
{
	*rights = (struct sbm_dma_rights){};
}

static inline int sbm_dma_read(struct sbm_dma_buffer *buf, size_t offset, void *to,
			       size_t len)
{
	return -EOPNOTSUPP;
}

static inline int sbm_dma_write(struct sbm_dma_buffer *buf, size_t offset,
				const void *from, size_t len)
{
	return -EOPNOTSUPP;
}

#endif /* CONFIG_SBM_DMA */

#endif /* _LINUX_SBM_DMA_H */
