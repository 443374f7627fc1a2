// SPDX-License-Identifier: GPL-2.0
/*
 * Sandbox mode (SBM): a driver whose commands are parsed in a sandbox that shares
 * buffers with the device, and a test of what keeps both to these buffers.
 *
 * The device is "edu" of QEMU, which has a page of memory of its own and copies between
 * that and the machine's memory, a tenth of a second after it is told to. The parser
 * trusts the command that it is given: whoever sends it chooses the address. The driver
 * programs that address. Isolation is what stops it, and this is tested in a machine
 * whose device and whose parser are hostile.
 *
 * The test runs when a device is found. What it expects depends on the isolation: with
 * none, the damage is done, and that is tested as well.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/array_size.h>
#include <linux/bottom_half.h>
#include <linux/delay.h>
#include <linux/dma-mapping.h>
#include <linux/err.h>
#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/iommu.h>
#include <linux/iopoll.h>
#include <linux/irqflags.h>
#include <linux/list.h>
#include <linux/math64.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/resource_ext.h>
#include <linux/sbm.h>
#include <linux/sbm_dma.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/timex.h>
#include <linux/types.h>

#define EDU_VENDOR		0x1234
#define EDU_DEVICE		0x11e8

/* Registers */
#define EDU_DMA_SOURCE		0x80
#define EDU_DMA_TARGET		0x88
#define EDU_DMA_COUNT		0x90
#define EDU_DMA_COMMAND		0x98
#define EDU_DMA_RUN		0x1
#define EDU_DMA_TO_MEMORY	0x2

/* The device's own memory, as its registers have it. A byte more, and QEMU gives up. */
#define EDU_MEMORY		0x40000
#define EDU_MEMORY_SIZE		4095

#define EDU_DMA_BITS		28

/* The device takes 100 ms; an emulator may take its time */
#define EDU_PATIENCE_US		(30 * USEC_PER_SEC)

#define EDU_SIZE		(2 * PAGE_SIZE)
#define EDU_CANARIES		256

/* A command, from somebody who is not trusted */
struct edu_command {
	__le64	offset;		/* In the buffer */
	__le32	device;		/* In the device's memory */
	__le32	count;
	__le32	to_memory;
};

/* What the parser makes of it */
struct edu_request {
	u64	address;
	u32	device;
	u32	count;
	u32	to_memory;
};

/* A page that driver and target share */
struct edu_slot {
	struct edu_command	command;
	struct edu_request	request;
};

/**
 * struct edu - a device
 * @pdev:   The device.
 * @regs:   Its registers.
 * @sbm:    Where commands are parsed.
 * @dma:    What the device shares with the parser.
 * @to:	    A buffer that the device reads.
 * @from:   A buffer that the device writes.
 * @both:   A buffer that it reads and writes.
 * @slot:   Commands and what they mean, a page of its own.
 * @target: @slot, as the target sees it.
 * @stops:  How often the device was told to stop.
 * @bad:    Things that are not as expected.
 * @name:   The isolation that was reached.
 */
struct edu {
	struct pci_dev		*pdev;
	void __iomem		*regs;
	struct sbm		sbm;
	struct sbm_dma		*dma;
	struct sbm_dma_buffer	*to;
	struct sbm_dma_buffer	*from;
	struct sbm_dma_buffer	*both;
	struct edu_slot		*slot;
	struct edu_slot		*target;
	unsigned int		stops;
	unsigned int		bad;
	const char		*name;
};

static bool edu_bench;
module_param_named(bench, edu_bench, bool, 0444);
MODULE_PARM_DESC(bench, "Compare mapping for each transfer with copying");

/* === The target === */

/*
 * Turn a command into what the device has to do. The mistake is that nobody looks
 * whether the offset lies in the buffer.
 */
static SBM_DEFINE_FUNC(edu_parse, struct edu_slot *, slot, u64, buffer)
{
	const struct edu_command *cmd = &slot->command;
	struct edu_request *req = &slot->request;

	if (!cmd->count)
		return -EINVAL;

	req->address = buffer + le64_to_cpu(cmd->offset);
	req->device = le32_to_cpu(cmd->device);
	req->count = le32_to_cpu(cmd->count);
	req->to_memory = le32_to_cpu(cmd->to_memory);

	return 0;
}

/* Something worse: the parser does not come back */
static SBM_DEFINE_FUNC(edu_crash, struct edu_slot *, slot)
{
	WRITE_ONCE(*(u8 *)(-PAGE_SIZE + 8), 1);

	return slot->request.count;
}

/* === The driver === */

static int edu_wait(struct edu *edu)
{
	u32 command;

	return readl_poll_timeout(edu->regs + EDU_DMA_COMMAND, command,
				  !(command & EDU_DMA_RUN), 2000, EDU_PATIENCE_US);
}

/* A transfer that has begun cannot be stopped: all that helps is in the IOMMU */
static void edu_stop(struct device *dev, void *data)
{
	struct edu *edu = data;

	edu->stops++;
}

/*
 * The address is as the parser has it. What the kernel has to check itself is what the
 * device does with its own memory: that has nothing to do with DMA.
 */
static int edu_start(struct edu *edu, const struct edu_request *req)
{
	u64 device;

	if (req->device >= EDU_MEMORY_SIZE || !req->count ||
	    req->count > EDU_MEMORY_SIZE - req->device)
		return -EINVAL;

	device = EDU_MEMORY + req->device;
	writeq(req->to_memory ? device : req->address, edu->regs + EDU_DMA_SOURCE);
	writeq(req->to_memory ? req->address : device, edu->regs + EDU_DMA_TARGET);
	writeq(req->count, edu->regs + EDU_DMA_COUNT);
	writel(EDU_DMA_RUN | (req->to_memory ? EDU_DMA_TO_MEMORY : 0),
	       edu->regs + EDU_DMA_COMMAND);

	return 0;
}

/* Have the command parsed, and begin what it says */
static int edu_command(struct edu *edu, struct sbm_dma_buffer *buf, u64 offset, u32 count,
		       bool to_memory)
{
	struct edu_request req;
	int err;

	edu->slot->command = (struct edu_command) {
		.offset		= cpu_to_le64(offset),
		.count		= cpu_to_le32(count),
		.to_memory	= cpu_to_le32(to_memory),
	};
	err = sbm_call(&edu->sbm, edu_parse, edu->target, sbm_dma_addr(buf));
	if (err)
		return err;

	/* Once, and then it is checked */
	memcpy(&req, &edu->slot->request, sizeof(req));

	return edu_start(edu, &req);
}

static int edu_transfer(struct edu *edu, struct sbm_dma_buffer *buf, u64 offset, u32 count,
			bool to_memory)
{
	int err = edu_command(edu, buf, offset, count, to_memory);

	return err ?: edu_wait(edu);
}

static void edu_close(struct edu *edu)
{
	sbm_dma_detach(edu->dma);
	sbm_destroy(&edu->sbm);
	edu->dma = NULL;
}

static int edu_open(struct edu *edu, unsigned int flags, enum sbm_dma_isolation min)
{
	const struct sbm_dma_attr attr = {
		.min_isolation	= min,
		.flags		= flags,
		.stop		= edu_stop,
		.data		= edu,
	};
	const struct sbm_attr sbm_attr = { .min_isolation = SBM_ISOLATION_STRONG, };
	int err;

	edu->stops = 0;
	err = sbm_init_attr(&edu->sbm, &sbm_attr);
	if (err)
		return err;

	edu->dma = sbm_dma_attach(&edu->sbm, &edu->pdev->dev, &attr);
	if (IS_ERR(edu->dma)) {
		err = PTR_ERR(edu->dma);
		goto out_close;
	}
	edu->to = sbm_dma_alloc(edu->dma, EDU_SIZE, DMA_TO_DEVICE, 0, "to");
	edu->from = sbm_dma_alloc(edu->dma, EDU_SIZE, DMA_FROM_DEVICE, 0, "from");
	edu->both = sbm_dma_alloc(edu->dma, EDU_SIZE, DMA_BIDIRECTIONAL, 0, "both");
	if (IS_ERR(edu->to) || IS_ERR(edu->from) || IS_ERR(edu->both)) {
		err = -ENOMEM;
		goto out_close;
	}
	edu->target = SBM_MAP_WRITABLE(&edu->sbm, edu->slot, sizeof(*edu->slot));
	err = sbm_error(&edu->sbm);
	if (err)
		goto out_close;

	err = sbm_dma_map(edu->to) ?: sbm_dma_map(edu->from) ?: sbm_dma_map(edu->both);
	if (err)
		goto out_close;
	pci_set_master(edu->pdev);

	return 0;

out_close:
	edu_close(edu);
	return err;
}

/* === The test === */

#define expect(edu, cond)						\
	__expect(edu, cond, #cond, __func__, __LINE__)

static bool __expect(struct edu *edu, bool cond, const char *what, const char *func, int line)
{
	if (!cond) {
		pr_err("%s: FAILED in %s line %d: %s\n", edu->name, func, line, what);
		edu->bad++;
	}

	return cond;
}

static bool edu_is(struct edu *edu, enum sbm_dma_isolation isolation)
{
	return sbm_dma_isolation(edu->dma) == isolation;
}

/* A page of the kernel's, where a device without an IOMMU reaches it */
static u8 *edu_victim(struct edu *edu, u8 pattern)
{
	u8 *page = (u8 *)__get_free_page(GFP_KERNEL | GFP_DMA);

	if (page)
		memset(page, pattern, PAGE_SIZE);
	expect(edu, page);

	return page;
}

/* Fill a buffer that the device reads with @pattern, and have it read that */
static void edu_fill_device(struct edu *edu, u8 pattern)
{
	u8 *page = kmalloc(EDU_MEMORY_SIZE, GFP_KERNEL);

	if (!expect(edu, page))
		return;

	memset(page, pattern, EDU_MEMORY_SIZE);
	expect(edu, !sbm_dma_write(edu->to, 0, page, EDU_MEMORY_SIZE));
	expect(edu, !sbm_dma_sync_for_device(edu->to));
	expect(edu, !edu_transfer(edu, edu->to, 0, EDU_MEMORY_SIZE, false));
	kfree(page);
}

/* Does the device have a byte of @pattern? It is asked to write all that it has */
static bool edu_device_has(struct edu *edu, u8 pattern)
{
	u8 *page = kmalloc(EDU_MEMORY_SIZE, GFP_KERNEL);
	bool has;

	if (!expect(edu, page))
		return true;

	/* If it writes nothing, that shall not look like an answer */
	sbm_dma_unmap(edu->both);
	memset(page, ~pattern, EDU_MEMORY_SIZE);
	expect(edu, !sbm_dma_write(edu->both, 0, page, EDU_MEMORY_SIZE));
	expect(edu, !sbm_dma_map(edu->both));
	expect(edu, !edu_transfer(edu, edu->both, 0, EDU_MEMORY_SIZE, true));
	sbm_dma_unmap(edu->both);
	expect(edu, !sbm_dma_read(edu->both, 0, page, EDU_MEMORY_SIZE));
	has = memchr(page, pattern, EDU_MEMORY_SIZE);
	expect(edu, memchr_inv(page, ~pattern, EDU_MEMORY_SIZE));
	expect(edu, !sbm_dma_map(edu->both));
	kfree(page);

	return has;
}

/*
 * After an access that an IOMMU has refused. If its driver says so, the instance is
 * poisoned and the device is stopped: begin again.
 */
static int edu_after_fault(struct edu *edu, unsigned int flags)
{
	struct sbm_dma_stats stats;

	/* It comes through an interrupt, and a thread */
	msleep(50);
	sbm_dma_get_stats(edu->dma, &stats);
	if (!stats.faults)
		return 0;

	pr_info("%s: reported by the driver of the IOMMU\n", edu->name);
	edu_close(edu);

	return edu_open(edu, flags, SBM_DMA_NONE);
}

/* What it is for */
static void edu_in_bounds(struct edu *edu)
{
	u8 *out = kmalloc(EDU_SIZE, GFP_KERNEL), *in = kzalloc(EDU_SIZE, GFP_KERNEL);
	unsigned int i;

	if (!expect(edu, out && in))
		goto out;

	for (i = 0; i < EDU_SIZE; i++)
		out[i] = i * 11 + i / 256;
	expect(edu, !sbm_dma_write(edu->to, 0, out, EDU_SIZE));
	expect(edu, !sbm_dma_sync_for_device(edu->to));
	/* Across a page, and to and from different places */
	expect(edu, !edu_transfer(edu, edu->to, 1000, EDU_MEMORY_SIZE, false));
	expect(edu, !edu_transfer(edu, edu->from, 3000, EDU_MEMORY_SIZE, true));
	/* No result while the device can change it */
	if (!edu_is(edu, SBM_DMA_NONE))
		expect(edu, sbm_dma_read(edu->from, 0, in, EDU_SIZE) == -EBUSY);
	sbm_dma_unmap(edu->from);
	expect(edu, !sbm_dma_read(edu->from, 0, in, EDU_SIZE));
	expect(edu, !memcmp(in + 3000, out + 1000, EDU_MEMORY_SIZE));
	expect(edu, !memchr_inv(in, 0, 3000));
	expect(edu, !memchr_inv(in + 3000 + EDU_MEMORY_SIZE, 0, EDU_SIZE - 3000 - EDU_MEMORY_SIZE));
	expect(edu, !sbm_dma_map(edu->from));
	expect(edu, !edu->stops);
	pr_info("%s: in bounds: done\n", edu->name);
out:
	kfree(in);
	kfree(out);
}

/* The command names memory of the kernel, to be written */
static int edu_write_out(struct edu *edu, unsigned int flags)
{
	u8 *victim = edu_victim(edu, 0x11);
	bool changed;
	int err;

	if (!victim)
		return -ENOMEM;

	edu_fill_device(edu, 0x77);
	expect(edu, !edu_transfer(edu, edu->from, virt_to_phys(victim) - sbm_dma_addr(edu->from),
				  100, true));
	changed = memchr_inv(victim, 0x11, PAGE_SIZE);
	expect(edu, changed == edu_is(edu, SBM_DMA_NONE));
	pr_info("%s: write out of bounds: memory %s\n", edu->name,
		changed ? "changed" : "unchanged");
	err = edu_after_fault(edu, flags);
	free_page((unsigned long)victim);

	return err;
}

/* The command names memory of the kernel, to be read */
static int edu_read_out(struct edu *edu, unsigned int flags)
{
	u8 *victim = edu_victim(edu, 0x99);
	bool read;
	int err;

	if (!victim)
		return -ENOMEM;

	edu_fill_device(edu, 0x22);
	expect(edu, !edu_transfer(edu, edu->to, virt_to_phys(victim) - sbm_dma_addr(edu->to), 100,
				  false));
	err = edu_after_fault(edu, flags);
	if (!err) {
		read = edu_device_has(edu, 0x99);
		expect(edu, read == edu_is(edu, SBM_DMA_NONE));
		pr_info("%s: read out of bounds: memory %s\n", edu->name,
			read ? "read" : "not read");
	}
	free_page((unsigned long)victim);

	return err;
}

/* In bounds, but the other way round than the buffer is for */
static int edu_wrong_direction(struct edu *edu, unsigned int flags)
{
	u8 *page = kmalloc(EDU_MEMORY_SIZE, GFP_KERNEL);
	int err = -ENOMEM;

	if (!expect(edu, page))
		return err;

	/* It writes to what it is to read */
	edu_fill_device(edu, 0x33);
	memset(page, 0x44, EDU_MEMORY_SIZE);
	expect(edu, !sbm_dma_write(edu->to, 0, page, EDU_MEMORY_SIZE));
	expect(edu, !sbm_dma_sync_for_device(edu->to));
	expect(edu, !edu_transfer(edu, edu->to, 0, EDU_MEMORY_SIZE, true));
	expect(edu, !sbm_dma_read(edu->to, 0, page, EDU_MEMORY_SIZE));
	expect(edu, !memchr_inv(page, 0x44, EDU_MEMORY_SIZE));
	err = edu_after_fault(edu, flags);
	if (err)
		goto out;

	/* It reads what it is to write. Nobody but itself can have written there. */
	edu_fill_device(edu, 0x55);
	expect(edu, sbm_dma_write(edu->from, 0, page, EDU_MEMORY_SIZE) == -EINVAL);
	expect(edu, !edu_transfer(edu, edu->from, 0, EDU_MEMORY_SIZE, true));
	edu_fill_device(edu, 0x33);
	expect(edu, !edu_transfer(edu, edu->from, 0, EDU_MEMORY_SIZE, false));
	err = edu_after_fault(edu, flags);
	if (err)
		goto out;
	pr_info("%s: what it has written, the device can %sread\n", edu->name,
		edu_device_has(edu, 0x55) ? "" : "not ");
	pr_info("%s: wrong direction: done\n", edu->name);
out:
	kfree(page);
	return err;
}

/*
 * The device has used a buffer, so that the IOMMU's TLB has it, and uses it again when it
 * has it no more. A flush that the DMA API has put off would come by a timer soon, and
 * hide that none came before: no timer runs here until the transfer is over.
 */
static int edu_stale(struct edu *edu, unsigned int flags)
{
	struct edu_request req = { .count = EDU_MEMORY_SIZE, .to_memory = 1, };
	u8 *page = kmalloc(EDU_MEMORY_SIZE, GFP_KERNEL);
	unsigned int ms;
	int err;

	if (!expect(edu, page))
		return -ENOMEM;

	edu_fill_device(edu, 0x10);
	req.address = sbm_dma_addr(edu->both);
	expect(edu, !edu_transfer(edu, edu->both, 0, EDU_MEMORY_SIZE, true));
	edu_fill_device(edu, 0x66);
	sbm_dma_unmap(edu->both);

	local_bh_disable();
	expect(edu, !edu_start(edu, &req));
	for (ms = 0; ms < 3000 && readl(edu->regs + EDU_DMA_COMMAND) & EDU_DMA_RUN; ms++)
		mdelay(1);
	local_bh_enable();

	expect(edu, !edu_wait(edu));
	expect(edu, !sbm_dma_read(edu->both, 0, page, EDU_MEMORY_SIZE));
	expect(edu, !memchr_inv(page, 0x10, EDU_MEMORY_SIZE));
	err = edu_after_fault(edu, flags);
	if (!err) {
		if (sbm_dma_addr(edu->both) == DMA_MAPPING_ERROR)
			expect(edu, !sbm_dma_map(edu->both));
		pr_info("%s: after unmapping: done\n", edu->name);
	}
	kfree(page);

	return err;
}

/*
 * A transfer is under way when the target is stopped. The device ignores that it may not
 * be bus master any more: it is switched on again.
 */
static int edu_in_flight(struct edu *edu, unsigned int flags)
{
	u8 *page = kmalloc(EDU_MEMORY_SIZE, GFP_KERNEL);
	u16 command;

	if (!expect(edu, page))
		return -ENOMEM;

	edu_fill_device(edu, 0x88);
	expect(edu, !edu_transfer(edu, edu->both, 0, EDU_MEMORY_SIZE, true));
	sbm_dma_unmap(edu->both);
	memset(page, 0x20, EDU_MEMORY_SIZE);
	expect(edu, !sbm_dma_write(edu->both, 0, page, EDU_MEMORY_SIZE));
	expect(edu, !sbm_dma_map(edu->both));

	expect(edu, !edu_command(edu, edu->both, 0, EDU_MEMORY_SIZE, true));
	expect(edu, sbm_call(&edu->sbm, edu_crash, edu->target) == -EFAULT);
	expect(edu, readl(edu->regs + EDU_DMA_COMMAND) & EDU_DMA_RUN);
	expect(edu, edu->stops == 1);
	pci_read_config_word(edu->pdev, PCI_COMMAND, &command);
	expect(edu, !(command & PCI_COMMAND_MASTER));
	expect(edu, sbm_dma_addr(edu->both) == DMA_MAPPING_ERROR);

	pci_set_master(edu->pdev);
	expect(edu, !edu_wait(edu));
	expect(edu, !sbm_dma_read(edu->both, 0, page, EDU_MEMORY_SIZE));
	expect(edu, !memchr_inv(page, 0x20, EDU_MEMORY_SIZE));
	pci_clear_master(edu->pdev);
	pr_info("%s: in flight when the target was stopped: done\n", edu->name);
	kfree(page);
	edu_close(edu);

	return edu_open(edu, flags, SBM_DMA_NONE);
}

/*
 * A transfer is under way when all goes. Whoever gets the pages next must not see
 * anything of it. Without an IOMMU, bus mastering is all that there is.
 */
static int edu_freed(struct edu *edu, unsigned int flags)
{
	unsigned long *canaries = kcalloc(EDU_CANARIES, sizeof(*canaries), GFP_KERNEL);
	bool none = edu_is(edu, SBM_DMA_NONE);
	unsigned int i;

	if (!expect(edu, canaries))
		return -ENOMEM;

	edu_fill_device(edu, 0xab);
	expect(edu, !edu_transfer(edu, edu->from, 0, EDU_MEMORY_SIZE, true));
	expect(edu, !edu_command(edu, edu->from, 0, EDU_MEMORY_SIZE, true));
	sbm_destroy(&edu->sbm);
	expect(edu, edu->stops == 1);
	for (i = 0; i < EDU_CANARIES; i++) {
		canaries[i] = __get_free_page(GFP_KERNEL);
		if (canaries[i])
			memset((void *)canaries[i], 0x5a, PAGE_SIZE);
	}
	expect(edu, readl(edu->regs + EDU_DMA_COMMAND) & EDU_DMA_RUN);
	if (!none)
		pci_set_master(edu->pdev);
	expect(edu, !edu_wait(edu));
	pci_clear_master(edu->pdev);
	for (i = 0; i < EDU_CANARIES; i++) {
		if (!canaries[i])
			continue;
		expect(edu, !memchr_inv((void *)canaries[i], 0x5a, PAGE_SIZE));
		free_page(canaries[i]);
	}
	kfree(canaries);
	pr_info("%s: freed pages: done\n", edu->name);
	edu_close(edu);

	return edu_open(edu, flags, SBM_DMA_NONE);
}

#ifdef CONFIG_SBM_KUNIT_TEST

/*
 * The device cannot be made to let go of a buffer, and goes on when all is gone. Nobody
 * may get these pages any more.
 */
static int edu_lost(struct edu *edu, unsigned int flags)
{
	unsigned long *canaries = kcalloc(EDU_CANARIES, sizeof(*canaries), GFP_KERNEL);
	struct sbm_dma_stats stats;
	unsigned int i;

	if (!expect(edu, canaries))
		return -ENOMEM;

	edu_fill_device(edu, 0xcd);
	expect(edu, !edu_transfer(edu, edu->from, 0, EDU_MEMORY_SIZE, true));
	expect(edu, !edu_command(edu, edu->from, 0, EDU_MEMORY_SIZE, true));
	WRITE_ONCE(sbm_dma_keep_buffers, true);
	sbm_destroy(&edu->sbm);
	WRITE_ONCE(sbm_dma_keep_buffers, false);
	sbm_dma_get_stats(edu->dma, &stats);
	/* All three buffers were mapped */
	expect(edu, stats.lost == 3 * EDU_SIZE / PAGE_SIZE);
	for (i = 0; i < EDU_CANARIES; i++) {
		/* The device's own pages may have come from there */
		canaries[i] = __get_free_page(i % 2 ? GFP_KERNEL | GFP_DMA : GFP_KERNEL);
		if (canaries[i])
			memset((void *)canaries[i], 0x5b, PAGE_SIZE);
	}
	expect(edu, readl(edu->regs + EDU_DMA_COMMAND) & EDU_DMA_RUN);
	pci_set_master(edu->pdev);
	expect(edu, !edu_wait(edu));
	pci_clear_master(edu->pdev);
	for (i = 0; i < EDU_CANARIES; i++) {
		if (!canaries[i])
			continue;
		expect(edu, !memchr_inv((void *)canaries[i], 0x5b, PAGE_SIZE));
		free_page(canaries[i]);
	}
	kfree(canaries);
	pr_info("%s: pages that it keeps: done\n", edu->name);
	edu_close(edu);

	return edu_open(edu, flags, SBM_DMA_NONE);
}

#else

static int edu_lost(struct edu *edu, unsigned int flags)
{
	return 0;
}

#endif

/* What AMD's driver does when the IOMMU has refused an access */
static int edu_reported(struct edu *edu, unsigned int flags)
{
	struct iommu_domain *domain = iommu_get_domain_for_dev(&edu->pdev->dev);
	struct sbm_dma_stats stats;
	unsigned long irq;
	int err;

	if (!edu_is(edu, SBM_DMA_PRIVATE))
		return 0;

	local_irq_save(irq);
	err = report_iommu_fault(domain, &edu->pdev->dev, 0x1234000, IOMMU_FAULT_WRITE);
	local_irq_restore(irq);
	expect(edu, !err);

	/* The target is stopped before it begins, and the device by whoever comes first */
	err = sbm_call(&edu->sbm, edu_parse, edu->target, 0);
	expect(edu, err == -EFAULT);
	expect(edu, sbm_fault(&edu->sbm) && sbm_fault(&edu->sbm)->cause == SBM_CAUSE_DEVICE);
	expect(edu, edu->stops == 1);
	expect(edu, sbm_dma_addr(edu->from) == DMA_MAPPING_ERROR);
	sbm_dma_get_stats(edu->dma, &stats);
	expect(edu, stats.faults == 1);
	edu_close(edu);

	/* Nobody makes a call: the device is stopped all the same */
	err = edu_open(edu, flags, SBM_DMA_NONE);
	if (err)
		return err;
	domain = iommu_get_domain_for_dev(&edu->pdev->dev);
	expect(edu, !report_iommu_fault(domain, &edu->pdev->dev, 0x1234000, IOMMU_FAULT_READ));
	for (err = 0; err < 100 && !edu->stops; err++)
		msleep(20);
	expect(edu, edu->stops == 1);
	pr_info("%s: fault attributed\n", edu->name);

	/* The domain is still there, and no instance: nobody to attribute it to */
	sbm_destroy(&edu->sbm);
	expect(edu, report_iommu_fault(domain, &edu->pdev->dev, 0x1234000, IOMMU_FAULT_READ));
	edu_close(edu);

	return edu_open(edu, flags, SBM_DMA_NONE);
}

/* A buffer that stays mapped, with copies: what was taken does not change */
static void edu_pool(struct edu *edu)
{
	struct sbm_dma_buffer *buf;
	u8 *page = kmalloc(EDU_MEMORY_SIZE, GFP_KERNEL);

	if (!expect(edu, page))
		return;

	buf = sbm_dma_alloc(edu->dma, EDU_MEMORY_SIZE, DMA_BIDIRECTIONAL, SBM_DMA_COPY, "pool");
	if (!expect(edu, !IS_ERR(buf)) || !expect(edu, !sbm_dma_map(buf)))
		goto out;

	memset(page, 0x61, EDU_MEMORY_SIZE);
	expect(edu, !sbm_dma_write(buf, 0, page, EDU_MEMORY_SIZE));
	expect(edu, !sbm_dma_sync_for_device(buf));
	expect(edu, !edu_transfer(edu, buf, 0, EDU_MEMORY_SIZE, false));
	memset(page, 0x62, EDU_MEMORY_SIZE);
	expect(edu, !sbm_dma_write(buf, 0, page, EDU_MEMORY_SIZE));
	/* The device has written, and nobody has asked for it yet */
	expect(edu, !edu_transfer(edu, buf, 0, EDU_MEMORY_SIZE, true));
	expect(edu, !sbm_dma_read(buf, 0, page, EDU_MEMORY_SIZE));
	expect(edu, !memchr_inv(page, 0x62, EDU_MEMORY_SIZE));
	expect(edu, !sbm_dma_sync_for_cpu(buf));
	expect(edu, !sbm_dma_read(buf, 0, page, EDU_MEMORY_SIZE));
	expect(edu, !memchr_inv(page, 0x61, EDU_MEMORY_SIZE));
	sbm_dma_unmap(buf);
	pr_info("%s: pool: done\n", edu->name);
out:
	kfree(page);
}

static void edu_many_maps(struct edu *edu)
{
	struct sbm_dma_stats before, after;
	unsigned int i;

	sbm_dma_unmap(edu->from);
	sbm_dma_get_stats(edu->dma, &before);
	for (i = 0; i < 1000; i++) {
		if (!expect(edu, !sbm_dma_map(edu->from)))
			break;
		if (i % 200 == 0)
			expect(edu, !edu_transfer(edu, edu->from, i, 500, true));
		sbm_dma_unmap(edu->from);
	}
	sbm_dma_get_stats(edu->dma, &after);
	expect(edu, after.maps - before.maps == 1000);
	expect(edu, after.unmaps - before.unmaps == 1000);
	expect(edu, after.flushes - before.flushes == (edu_is(edu, SBM_DMA_NONE) ? 0 : 1000));
	expect(edu, after.pages == before.pages);
	expect(edu, !sbm_dma_map(edu->from));
	pr_info("%s: a thousand maps: %llu flushes\n", edu->name, after.flushes - before.flushes);
}

/*
 * What each of a hundred transfers takes, without the transfer: cycles, and in @stats
 * what is counted. With @copy the buffer stays mapped.
 */
static u64 edu_bench_one(struct edu *edu, size_t size, bool copy, struct sbm_dma_stats *stats)
{
	struct sbm_dma_stats before;
	struct sbm_dma_buffer *buf;
	unsigned int i;
	u64 begin;

	buf = sbm_dma_alloc(edu->dma, size, DMA_BIDIRECTIONAL, copy ? SBM_DMA_COPY : 0, NULL);
	if (!expect(edu, !IS_ERR(buf)))
		return 0;
	if (copy)
		expect(edu, !sbm_dma_map(buf));
	sbm_dma_get_stats(edu->dma, &before);
	begin = get_cycles();
	for (i = 0; i < 100; i++) {
		if (copy) {
			sbm_dma_sync_for_device(buf);
			sbm_dma_sync_for_cpu(buf);
		} else {
			if (sbm_dma_map(buf))
				return 0;
			sbm_dma_unmap(buf);
		}
	}
	begin = div_u64(get_cycles() - begin, 100);
	sbm_dma_get_stats(edu->dma, stats);
	stats->flushes = div_u64(stats->flushes - before.flushes, 100);
	stats->copied = div_u64(stats->copied - before.copied, 100);
	sbm_dma_unmap(buf);

	return begin;
}

static void edu_compare(struct edu *edu)
{
	static const size_t sizes[] = {
		64, 512, SZ_1K, SZ_2K, SZ_4K, SZ_8K, SZ_16K, SZ_32K, SZ_64K, SZ_128K, SZ_512K,
	};
	struct sbm_dma_stats mapped, copied;
	size_t from = 0;
	unsigned int i;
	u64 map, copy;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		map = edu_bench_one(edu, sizes[i], false, &mapped);
		copy = edu_bench_one(edu, sizes[i], true, &copied);
		pr_info("%s: bench: %zu bytes: mapped each time %llu cycles, %llu flushes, %llu bytes copied; mapped for good %llu cycles, %llu flushes, %llu bytes copied\n",
			edu->name, sizes[i], map, mapped.flushes, mapped.copied, copy,
			copied.flushes, copied.copied);
		if (map >= copy)
			from = 0;
		else if (!from)
			from = sizes[i];
	}
	if (from)
		pr_info("%s: bench: mapping each time takes less from %zu bytes on\n", edu->name,
			from);
	else
		pr_info("%s: bench: mapping each time never takes less\n", edu->name);
}

/* A range that no buffer may have: the kernel's own, and what bridges take for others */
static bool edu_is_reserved(struct edu *edu, u64 start, u64 end)
{
	struct iommu_resv_region *region;
	struct resource_entry *window;
	bool found = false;
	LIST_HEAD(regions);

	iommu_get_resv_regions(&edu->pdev->dev, &regions);
	list_for_each_entry(region, &regions, list) {
		if (start < region->start + region->length && end > region->start)
			found = true;
	}
	iommu_put_resv_regions(&edu->pdev->dev, &regions);

	resource_list_for_each_entry(window, &pci_find_host_bridge(edu->pdev->bus)->windows) {
		if (resource_type(window->res) == IORESOURCE_MEM &&
		    start <= window->res->end - window->offset &&
		    end > window->res->start - window->offset)
			found = true;
	}

	return found;
}

/*
 * Where a private device finds buffers, if it knows as many bits of address. They are
 * chosen from the top, so with 32 bits they have to go round some things.
 */
static void edu_addresses(struct edu *edu, unsigned int bits)
{
	static const size_t sizes[] = { 1, PAGE_SIZE, 5 * PAGE_SIZE, SZ_2M, SZ_32M };
	struct iommu_domain *domain;
	struct sbm_dma_buffer *buf;
	unsigned int i;
	u64 addr, end;

	expect(edu, !dma_set_mask_and_coherent(&edu->pdev->dev, DMA_BIT_MASK(bits)));
	if (!expect(edu, !edu_open(edu, SBM_DMA_EXCLUSIVE, SBM_DMA_NONE)))
		goto out;

	domain = iommu_get_domain_for_dev(&edu->pdev->dev);
	for (i = 0; edu_is(edu, SBM_DMA_PRIVATE) && i < ARRAY_SIZE(sizes); i++) {
		buf = sbm_dma_alloc(edu->dma, sizes[i], DMA_BIDIRECTIONAL, 0, NULL);
		if (!expect(edu, !IS_ERR(buf)) || !expect(edu, !sbm_dma_map(buf)))
			break;
		addr = sbm_dma_addr(buf);
		end = addr + PAGE_ALIGN(sizes[i]);
		expect(edu, addr && !offset_in_page(addr));
		expect(edu, end - 1 <= DMA_BIT_MASK(bits));
		expect(edu, !edu_is_reserved(edu, addr, end));
		expect(edu, iommu_iova_to_phys(domain, addr));
		expect(edu, iommu_iova_to_phys(domain, end - 1));
		expect(edu, !iommu_iova_to_phys(domain, end));
		sbm_dma_unmap(buf);
		expect(edu, !iommu_iova_to_phys(domain, addr));
	}
	edu_close(edu);
out:
	expect(edu, !dma_set_mask_and_coherent(&edu->pdev->dev, DMA_BIT_MASK(EDU_DMA_BITS)));
}

/*
 * Map a buffer of two pages, which are not neighbours: every other page that is free has
 * been taken. Unless another CPU goes on with it.
 */
static int edu_map_apart(struct edu *edu, struct sbm_dma_buffer **buf)
{
	struct page *pages[64];
	unsigned int i;
	int err = -ENOMEM;

	for (i = 0; i < ARRAY_SIZE(pages); i++)
		pages[i] = alloc_page(GFP_KERNEL);
	for (i = 0; i < ARRAY_SIZE(pages); i += 2) {
		if (pages[i])
			__free_page(pages[i]);
	}
	*buf = sbm_dma_alloc(edu->dma, 2 * PAGE_SIZE, DMA_BIDIRECTIONAL, 0, NULL);
	if (expect(edu, !IS_ERR(*buf)))
		err = sbm_dma_map(*buf);
	for (i = 1; i < ARRAY_SIZE(pages); i += 2) {
		if (pages[i])
			__free_page(pages[i]);
	}

	return err;
}

/* The DMA API has to give one piece, which it does not if the device takes no large ones */
static void edu_pieces(struct edu *edu)
{
	struct sbm_dma_buffer *buf;
	unsigned int tries;
	int err = 0;

	if (!edu_is(edu, SBM_DMA_SHARED))
		return;

	dma_set_max_seg_size(&edu->pdev->dev, PAGE_SIZE);
	for (tries = 0; !err && tries < 20; tries++) {
		err = edu_map_apart(edu, &buf);
		if (!err)
			sbm_dma_unmap(buf);
	}
	dma_set_max_seg_size(&edu->pdev->dev, UINT_MAX);
	if (!expect(edu, err == -ERANGE))
		return;
	expect(edu, sbm_dma_addr(buf) == DMA_MAPPING_ERROR);
	expect(edu, !sbm_dma_map(buf));
	sbm_dma_unmap(buf);
}

static void edu_test(struct edu *edu, unsigned int flags)
{
	static const char * const names[] = { "none", "shared", "private" };
	int err;

	edu->name = flags ? "exclusive" : "plain";
	err = edu_open(edu, flags, SBM_DMA_NONE);
	if (!expect(edu, !err)) {
		pr_err("%s: error %d\n", edu->name, err);
		return;
	}

	edu->name = names[sbm_dma_isolation(edu->dma)];
	pr_info("%s: DMA isolation%s%s\n", edu->name, sbm_dma_reason(edu->dma) ? ": " : "",
		sbm_dma_reason(edu->dma) ?: "");
	edu_in_bounds(edu);
	if (edu_write_out(edu, flags) || edu_read_out(edu, flags) ||
	    (!edu_is(edu, SBM_DMA_NONE) && edu_wrong_direction(edu, flags)) ||
	    edu_stale(edu, flags) || edu_in_flight(edu, flags) || edu_freed(edu, flags) ||
	    edu_lost(edu, flags) || edu_reported(edu, flags)) {
		expect(edu, !"opening it again");
		return;
	}
	edu_pool(edu);
	edu_pieces(edu);
	edu_many_maps(edu);
	if (edu_bench)
		edu_compare(edu);
	edu_close(edu);
}

/* What is demanded and not to be had is refused, and what a guest may be is told apart */
static void edu_demands(struct edu *edu)
{
	enum sbm_dma_isolation exclusive, plain, min;
	int err;

	edu->name = "demands";
	if (!expect(edu, !edu_open(edu, SBM_DMA_EXCLUSIVE, SBM_DMA_NONE)))
		return;
	exclusive = sbm_dma_isolation(edu->dma);
	edu_close(edu);
	if (!expect(edu, !edu_open(edu, 0, SBM_DMA_NONE)))
		return;
	plain = sbm_dma_isolation(edu->dma);
	edu_close(edu);
	expect(edu, plain < SBM_DMA_PRIVATE);

	for (min = SBM_DMA_NONE; min <= SBM_DMA_PRIVATE; min++) {
		err = edu_open(edu, SBM_DMA_EXCLUSIVE, min);
		expect(edu, err == (min <= exclusive ? 0 : -EOPNOTSUPP));
		if (!err)
			edu_close(edu);
		err = edu_open(edu, 0, min);
		expect(edu, err == (min <= plain ? 0 : -EOPNOTSUPP));
		if (!err)
			edu_close(edu);
	}

	/* As if it were another driver's: it loses its buffers, and can go on */
	if (expect(edu, !edu_open(edu, SBM_DMA_BORROWED, SBM_DMA_NONE))) {
		u16 command;

		expect(edu, edu_is(edu, plain));
		expect(edu, sbm_call(&edu->sbm, edu_crash, edu->target) == -EFAULT);
		expect(edu, edu->stops == 1);
		expect(edu, sbm_dma_addr(edu->both) == DMA_MAPPING_ERROR);
		pci_read_config_word(edu->pdev, PCI_COMMAND, &command);
		expect(edu, command & PCI_COMMAND_MASTER);
		edu_close(edu);
		pci_read_config_word(edu->pdev, PCI_COMMAND, &command);
		expect(edu, command & PCI_COMMAND_MASTER);
		pci_clear_master(edu->pdev);
	}
	expect(edu, edu_open(edu, SBM_DMA_BORROWED, SBM_DMA_PRIVATE) == -EOPNOTSUPP);
	expect(edu, edu_open(edu, SBM_DMA_BORROWED | SBM_DMA_EXCLUSIVE, SBM_DMA_NONE) == -EINVAL);

	/* As if it were plugged in from outside: it has to be alone, and then it is private */
	edu->pdev->untrusted = 1;
	err = edu_open(edu, SBM_DMA_EXCLUSIVE, SBM_DMA_NONE);
	expect(edu, err == (exclusive == SBM_DMA_PRIVATE ? 0 : -EOPNOTSUPP));
	if (!err)
		edu_close(edu);
	edu->pdev->untrusted = 0;

	/* As if it translated addresses itself */
	edu->pdev->ats_enabled = 1;
	expect(edu, edu_open(edu, SBM_DMA_EXCLUSIVE, SBM_DMA_SHARED) == -EOPNOTSUPP);
	expect(edu, edu_open(edu, 0, SBM_DMA_SHARED) == -EOPNOTSUPP);
	err = edu_open(edu, SBM_DMA_EXCLUSIVE, SBM_DMA_NONE);
	if (expect(edu, !err)) {
		expect(edu, edu_is(edu, SBM_DMA_NONE));
		edu_close(edu);
	}
	edu->pdev->ats_enabled = 0;

	edu_addresses(edu, EDU_DMA_BITS);
	edu_addresses(edu, 32);
	edu_addresses(edu, 64);

#ifdef CONFIG_PCI_ATS
	/* As if it were a function of another device: the log tells it, see scripts/sbm/dma */
	edu->pdev->is_virtfn = 1;
	edu->pdev->physfn = edu->pdev;
	if (expect(edu, !edu_open(edu, SBM_DMA_EXCLUSIVE, SBM_DMA_NONE))) {
		expect(edu, edu_is(edu, exclusive));
		edu_close(edu);
	}
	edu->pdev->is_virtfn = 0;
	edu->pdev->physfn = NULL;
#endif

	/* As if its driver left it to user space */
	to_pci_driver(edu->pdev->dev.driver)->driver_managed_dma = true;
	expect(edu, edu_open(edu, SBM_DMA_EXCLUSIVE, SBM_DMA_NONE) == -EBUSY);
	to_pci_driver(edu->pdev->dev.driver)->driver_managed_dma = false;

	pr_info("demands: done\n");
}

static int edu_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct edu *edu;
	int err;

	edu = devm_kzalloc(&pdev->dev, sizeof(*edu), GFP_KERNEL);
	if (!edu)
		return -ENOMEM;
	edu->pdev = pdev;

	err = pcim_enable_device(pdev);
	if (err)
		return err;
	edu->regs = pcim_iomap(pdev, 0, 0);
	if (!edu->regs)
		return -ENOMEM;
	/* In an address space of the IOMMU's, any buffer is one piece */
	dma_set_max_seg_size(&pdev->dev, UINT_MAX);
	err = dma_set_mask_and_coherent(&pdev->dev, DMA_BIT_MASK(EDU_DMA_BITS));
	if (err)
		return err;
	edu->slot = (void *)devm_get_free_pages(&pdev->dev, GFP_KERNEL | __GFP_ZERO, 0);
	if (!edu->slot)
		return -ENOMEM;
	pci_set_drvdata(pdev, edu);

	edu_demands(edu);
	edu_test(edu, SBM_DMA_EXCLUSIVE);
	edu_test(edu, 0);
	if (edu->bad)
		pr_err("%u things are not as expected\n", edu->bad);
	else
		pr_info("all as expected\n");

	return edu->bad ? -EIO : 0;
}

/* The test has closed what it has opened */
static void edu_remove(struct pci_dev *pdev)
{
	pci_clear_master(pdev);
}

static const struct pci_device_id edu_ids[] = {
	{ PCI_DEVICE(EDU_VENDOR, EDU_DEVICE) },
	{}
};
MODULE_DEVICE_TABLE(pci, edu_ids);

static struct pci_driver edu_driver = {
	.name		= KBUILD_MODNAME,
	.id_table	= edu_ids,
	.probe		= edu_probe,
	.remove		= edu_remove,
};
module_pci_driver(edu_driver);

MODULE_DESCRIPTION("Sandbox mode sample: a device that shares buffers with a sandbox");
MODULE_LICENSE("GPL");
