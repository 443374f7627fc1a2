// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit suite sbm_dma: buffers that a sandbox shares with a device.
 *
 * Here the device is the test: it has no IOMMU, and writes where it was told that
 * buffers are. What an IOMMU makes of it is tested with an emulated device, see
 * samples/sbm/sbm_edu.c.
 */
#include <kunit/device.h>
#include <kunit/test.h>
#include <linux/device.h>
#include <linux/dma-direct.h>
#include <linux/dma-mapping.h>
#include <linux/err.h>
#include <linux/io.h>
#include <linux/math64.h>
#include <linux/mm.h>
#include <linux/sbm.h>
#include <linux/sbm_dma.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/timex.h>

#include "../../kernel/sbm/sbm.h"
#include "sbm_kunit.h"

static const enum dma_data_direction all_directions[] = {
	DMA_TO_DEVICE, DMA_FROM_DEVICE, DMA_BIDIRECTIONAL,
};

static SBM_DEFINE_FUNC(get_byte, const u8 *, from)
{
	return READ_ONCE(*from);
}

static SBM_DEFINE_FUNC(put_byte, u8 *, to, u8, value)
{
	WRITE_ONCE(*to, value);

	return 0;
}

static SBM_DEFINE_FUNC(go_on, struct shared *, shared)
{
	WRITE_ONCE(shared->started, 1);
	while (!READ_ONCE(shared->stop))
		WRITE_ONCE(shared->count, shared->count + 1);

	return 7;
}

/**
 * struct fake - a device that the test is
 * @sbm:     An instance.
 * @dev:     The device.
 * @dma:     What connects both.
 * @watched: A buffer whose state the callback notes, or NULL.
 * @stops:   How often the callback came.
 * @mapped:  At the last time, @watched was mapped.
 */
struct fake {
	struct sbm		sbm;
	struct device		*dev;
	struct sbm_dma		*dma;
	struct sbm_dma_buffer	*watched;
	unsigned int		stops;
	bool			mapped;
};

static void fake_stop(struct device *dev, void *data)
{
	struct fake *fake = data;

	fake->stops++;
	fake->mapped = fake->watched && sbm_dma_addr(fake->watched) != DMA_MAPPING_ERROR;
}

static void fake_attach(struct kunit *test, struct fake *fake, size_t limit)
{
	const struct sbm_dma_attr attr = {
		.flags		= SBM_DMA_EXCLUSIVE,
		.memory_limit	= limit,
		.stop		= fake_stop,
		.data		= fake,
	};

	fake->watched = NULL;
	fake->stops = 0;
	fake->dma = sbm_dma_attach(&fake->sbm, fake->dev, &attr);
	KUNIT_ASSERT_FALSE(test, IS_ERR(fake->dma));
}

/* An instance with a device; with all isolation that there is */
static struct fake *fake_init(struct kunit *test)
{
	struct fake *fake = kunit_kzalloc(test, sizeof(*fake), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, fake);
	fake->dev = kunit_device_register(test, "sbm_fake");
	KUNIT_ASSERT_FALSE(test, IS_ERR(fake->dev));
	KUNIT_ASSERT_EQ(test, dma_coerce_mask_and_coherent(fake->dev, DMA_BIT_MASK(32)), 0);
	KUNIT_ASSERT_EQ(test, sbm_init(&fake->sbm), 0);
	fake_attach(test, fake, 0);

	return fake;
}

static void fake_exit(struct fake *fake)
{
	sbm_dma_detach(fake->dma);
	sbm_destroy(&fake->sbm);
}

static struct sbm_dma_buffer *fake_alloc(struct kunit *test, struct fake *fake, size_t size,
					 enum dma_data_direction dir)
{
	struct sbm_dma_buffer *buf;

	buf = sbm_dma_alloc(fake->dma, size, dir, 0, "fake");
	KUNIT_ASSERT_FALSE(test, IS_ERR(buf));
	KUNIT_ASSERT_NOT_NULL(test, sbm_dma_sandbox(buf));

	return buf;
}

/* What the device finds at the address that it is told */
static u8 *device_sees(struct fake *fake, const struct sbm_dma_buffer *buf)
{
	return phys_to_virt(dma_to_phys(fake->dev, sbm_dma_addr(buf)));
}

static int error_of(const void *ptr)
{
	return IS_ERR(ptr) ? PTR_ERR(ptr) : 0;
}

/* === Attaching === */

static void isolation_is_told_and_demanded(struct kunit *test)
{
	struct fake *fake = fake_init(test);
	struct sbm_dma_attr attr = { .flags = SBM_DMA_EXCLUSIVE, };
	long pages;

	KUNIT_EXPECT_EQ(test, sbm_dma_isolation(fake->dma), SBM_DMA_NONE);
	KUNIT_EXPECT_NOT_NULL(test, sbm_dma_reason(fake->dma));
	sbm_dma_detach(fake->dma);
	KUNIT_EXPECT_EQ(test, fake->stops, 1);

	pages = sbm_pages_in_use();
	for (attr.min_isolation = SBM_DMA_SHARED; attr.min_isolation <= SBM_DMA_PRIVATE;
	     attr.min_isolation++)
		KUNIT_EXPECT_EQ(test, error_of(sbm_dma_attach(&fake->sbm, fake->dev, &attr)),
				-EOPNOTSUPP);
	KUNIT_EXPECT_EQ(test, sbm_pages_in_use(), pages);

	/* A refusal leaves nothing behind */
	fake_attach(test, fake, 0);
	fake_exit(fake);
}

static void attaching_has_its_rules(struct kunit *test)
{
	struct fake *fake = fake_init(test);
	const struct sbm_dma_attr good = {}, unknown_flag = { .flags = 0x8000, },
		unknown_level = { .min_isolation = SBM_DMA_PRIVATE + 1, },
		no_page = { .memory_limit = PAGE_SIZE - 1, },
		no_stop = { .flags = SBM_DMA_BORROWED, },
		both_flags = { .flags = SBM_DMA_BORROWED | SBM_DMA_EXCLUSIVE, .stop = fake_stop, };
	struct device *other = kunit_device_register(test, "sbm_other");
	struct sbm none = {};

	KUNIT_ASSERT_FALSE(test, IS_ERR(other));

	/* One device for an instance */
	KUNIT_EXPECT_EQ(test, error_of(sbm_dma_attach(&fake->sbm, fake->dev, &good)), -EBUSY);
	KUNIT_EXPECT_EQ(test, error_of(sbm_dma_attach(&fake->sbm, other, &good)), -EBUSY);
	sbm_dma_detach(fake->dma);

	KUNIT_EXPECT_EQ(test, error_of(sbm_dma_attach(NULL, fake->dev, &good)), -EINVAL);
	KUNIT_EXPECT_EQ(test, error_of(sbm_dma_attach(&none, fake->dev, &good)), -EINVAL);
	KUNIT_EXPECT_EQ(test, error_of(sbm_dma_attach(&fake->sbm, NULL, &good)), -EINVAL);
	KUNIT_EXPECT_EQ(test, error_of(sbm_dma_attach(&fake->sbm, fake->dev, NULL)), -EINVAL);
	KUNIT_EXPECT_EQ(test, error_of(sbm_dma_attach(&fake->sbm, fake->dev, &unknown_flag)),
			-EINVAL);
	KUNIT_EXPECT_EQ(test, error_of(sbm_dma_attach(&fake->sbm, fake->dev, &unknown_level)),
			-EINVAL);
	KUNIT_EXPECT_EQ(test, error_of(sbm_dma_attach(&fake->sbm, fake->dev, &no_page)),
			-EINVAL);
	/* Of another driver's device: somebody must end its use of buffers */
	KUNIT_EXPECT_EQ(test, error_of(sbm_dma_attach(&fake->sbm, fake->dev, &no_stop)),
			-EINVAL);
	KUNIT_EXPECT_EQ(test, error_of(sbm_dma_attach(&fake->sbm, fake->dev, &both_flags)),
			-EINVAL);

	/* A device whose driver has not said what it can address */
	other->dma_mask = NULL;
	KUNIT_EXPECT_EQ(test, error_of(sbm_dma_attach(&fake->sbm, other, &good)), -EINVAL);
	other->dma_mask = &other->coherent_dma_mask;

	/* These are harmless */
	sbm_dma_detach(NULL);
	sbm_dma_detach(ERR_PTR(-EOPNOTSUPP));

	fake_attach(test, fake, 0);
	fake_exit(fake);
}

/* === Buffers === */

static void allocating_has_its_rules(struct kunit *test)
{
	struct fake *fake = fake_init(test);
	struct sbm_dma_buffer *buf;

	KUNIT_EXPECT_EQ(test, error_of(sbm_dma_alloc(NULL, 1, DMA_TO_DEVICE, 0, "x")), -EINVAL);
	KUNIT_EXPECT_EQ(test, error_of(sbm_dma_alloc(fake->dma, 0, DMA_TO_DEVICE, 0, "x")),
			-EINVAL);
	KUNIT_EXPECT_EQ(test, error_of(sbm_dma_alloc(fake->dma, SBM_MAX_BUFFER_SIZE + 1,
						     DMA_TO_DEVICE, 0, "x")), -EINVAL);
	KUNIT_EXPECT_EQ(test, error_of(sbm_dma_alloc(fake->dma, 1, DMA_NONE, 0, "x")), -EINVAL);
	KUNIT_EXPECT_EQ(test, error_of(sbm_dma_alloc(fake->dma, 1, DMA_TO_DEVICE, 0x8000, "x")),
			-EINVAL);

	/* It needs no name, and may have a long one */
	buf = sbm_dma_alloc(fake->dma, 1, DMA_TO_DEVICE, 0, NULL);
	KUNIT_EXPECT_EQ(test, error_of(buf), 0);
	buf = sbm_dma_alloc(fake->dma, 1, DMA_TO_DEVICE, 0,
			    "a name that is longer than all that a report can show of it");
	KUNIT_EXPECT_EQ(test, error_of(buf), 0);
	fake_exit(fake);
}

static void rights_follow_the_direction(struct kunit *test)
{
	struct fake *fake = fake_init(test);
	struct sbm_dma_rights rights;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(all_directions); i++) {
		enum dma_data_direction dir = all_directions[i];
		struct sbm_dma_buffer *buf = fake_alloc(test, fake, 100, dir);
		bool reads = dir != DMA_FROM_DEVICE, writes = dir != DMA_TO_DEVICE;

		sbm_dma_get_rights(buf, &rights);
		KUNIT_EXPECT_FALSE(test, rights.device_read);
		KUNIT_EXPECT_FALSE(test, rights.device_write);
		KUNIT_EXPECT_EQ(test, rights.target_write, reads);
		KUNIT_EXPECT_TRUE(test, rights.kernel_read);

		KUNIT_ASSERT_EQ(test, sbm_dma_map(buf), 0);
		sbm_dma_get_rights(buf, &rights);
		KUNIT_EXPECT_EQ(test, rights.device_read, reads);
		KUNIT_EXPECT_EQ(test, rights.device_write, writes);
		KUNIT_EXPECT_EQ(test, rights.target_write, reads);
		/* Without an IOMMU it reads a copy */
		KUNIT_EXPECT_TRUE(test, rights.kernel_read);

		sbm_dma_unmap(buf);
		sbm_dma_get_rights(buf, &rights);
		KUNIT_EXPECT_FALSE(test, rights.device_read);
		KUNIT_EXPECT_FALSE(test, rights.device_write);
	}
	fake_exit(fake);
}

/* The target, in ring 3, has these rights and no more */
static void targets_have_their_rights(struct kunit *test)
{
	struct fake *fake;
	unsigned int i;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);

	fake = fake_init(test);
	for (i = 0; i < ARRAY_SIZE(all_directions); i++) {
		enum dma_data_direction dir = all_directions[i];
		struct sbm_dma_buffer *buf = fake_alloc(test, fake, 100, dir);
		u8 *addr = sbm_dma_sandbox(buf);

		KUNIT_EXPECT_EQ(test, sbm_call(&fake->sbm, get_byte, addr + PAGE_SIZE - 1), 0);
		if (dir != DMA_FROM_DEVICE) {
			KUNIT_EXPECT_EQ(test, sbm_call(&fake->sbm, put_byte, addr, 5), 0);
			KUNIT_EXPECT_EQ(test, sbm_call(&fake->sbm, get_byte, addr), 5);
		} else {
			KUNIT_EXPECT_EQ(test, sbm_call(&fake->sbm, put_byte, addr, 5), -EFAULT);
			KUNIT_EXPECT_EQ(test, sbm_reset(&fake->sbm), 0);
			sbm_dma_detach(fake->dma);
			fake_attach(test, fake, 0);
		}
		buf = sbm_dma_alloc(fake->dma, PAGE_SIZE, dir, SBM_DMA_READ_ONLY, "read only");
		KUNIT_ASSERT_FALSE(test, IS_ERR(buf));
		addr = sbm_dma_sandbox(buf);
		/* Past the end is a guard page */
		KUNIT_EXPECT_EQ(test, sbm_call(&fake->sbm, get_byte, addr + PAGE_SIZE), -EFAULT);
		KUNIT_EXPECT_EQ(test, sbm_reset(&fake->sbm), 0);
		sbm_dma_detach(fake->dma);
		fake_attach(test, fake, 0);
		buf = sbm_dma_alloc(fake->dma, PAGE_SIZE, dir, SBM_DMA_READ_ONLY, "read only");
		KUNIT_ASSERT_FALSE(test, IS_ERR(buf));
		addr = sbm_dma_sandbox(buf);
		KUNIT_EXPECT_EQ(test, sbm_call(&fake->sbm, put_byte, addr, 5), -EFAULT);
		KUNIT_EXPECT_EQ(test, sbm_reset(&fake->sbm), 0);
		sbm_dma_detach(fake->dma);
		fake_attach(test, fake, 0);
	}
	fake_exit(fake);
}

static void data_goes_both_ways(struct kunit *test)
{
	const size_t size = 2 * PAGE_SIZE + 100;
	struct fake *fake = fake_init(test);
	struct sbm_dma_buffer *to = fake_alloc(test, fake, size, DMA_TO_DEVICE);
	struct sbm_dma_buffer *from = fake_alloc(test, fake, size, DMA_FROM_DEVICE);
	u8 *data = kunit_kmalloc(test, size, GFP_KERNEL);
	u8 *back = kunit_kzalloc(test, size, GFP_KERNEL);
	u8 *dev_to, *dev_from;
	size_t i;

	KUNIT_ASSERT_NOT_NULL(test, data);
	KUNIT_ASSERT_NOT_NULL(test, back);
	for (i = 0; i < size; i++)
		data[i] = i * 7 + i / 251;

	KUNIT_EXPECT_EQ(test, sbm_dma_addr(to), DMA_MAPPING_ERROR);
	KUNIT_EXPECT_EQ(test, sbm_dma_write(to, 0, data, size), 0);
	KUNIT_ASSERT_EQ(test, sbm_dma_map(to), 0);
	KUNIT_ASSERT_EQ(test, sbm_dma_map(from), 0);
	KUNIT_EXPECT_EQ(test, sbm_dma_map(from), -EBUSY);
	dev_to = device_sees(fake, to);
	dev_from = device_sees(fake, from);
	KUNIT_EXPECT_EQ(test, memcmp(dev_to, data, size), 0);
	KUNIT_EXPECT_NULL(test, memchr_inv(dev_to + size, 0, 3 * PAGE_SIZE - size));
	KUNIT_EXPECT_NULL(test, memchr_inv(dev_from, 0, 3 * PAGE_SIZE));

	/* Nothing is seen before it is synchronised */
	memcpy(dev_from, dev_to, size);
	KUNIT_EXPECT_EQ(test, sbm_dma_read(from, 0, back, size), 0);
	KUNIT_EXPECT_NULL(test, memchr_inv(back, 0, size));
	KUNIT_EXPECT_EQ(test, sbm_dma_sync_for_cpu(from), 0);
	KUNIT_EXPECT_EQ(test, sbm_dma_read(from, 0, back, size), 0);
	KUNIT_EXPECT_EQ(test, memcmp(back, data, size), 0);
	KUNIT_EXPECT_EQ(test, sbm_call(&fake->sbm, get_byte,
				       (u8 *)sbm_dma_sandbox(from) + size - 1), data[size - 1]);

	/* What it writes afterwards changes nothing that was taken */
	memset(dev_from, 0xee, size);
	KUNIT_EXPECT_EQ(test, sbm_dma_read(from, 0, back, size), 0);
	KUNIT_EXPECT_EQ(test, memcmp(back, data, size), 0);
	sbm_dma_unmap(from);
	KUNIT_EXPECT_EQ(test, sbm_dma_addr(from), DMA_MAPPING_ERROR);
	KUNIT_EXPECT_EQ(test, sbm_dma_read(from, 0, back, size), 0);
	KUNIT_EXPECT_NULL(test, memchr_inv(back, 0xee, size));
	memset(dev_from, 0xdd, size);
	KUNIT_EXPECT_EQ(test, sbm_dma_read(from, 0, back, size), 0);
	KUNIT_EXPECT_NULL(test, memchr_inv(back, 0xee, size));

	/* What a device writes to what it is only to read is not taken */
	memset(dev_to, 0xcc, size);
	sbm_dma_unmap(to);
	KUNIT_EXPECT_EQ(test, sbm_dma_read(to, 0, back, size), 0);
	KUNIT_EXPECT_EQ(test, memcmp(back, data, size), 0);
	fake_exit(fake);
}

static void offsets_are_checked(struct kunit *test)
{
	struct fake *fake = fake_init(test);
	struct sbm_dma_buffer *buf = fake_alloc(test, fake, 100, DMA_BIDIRECTIONAL);
	u8 byte = 7;

	KUNIT_EXPECT_EQ(test, sbm_dma_write(buf, 99, &byte, 1), 0);
	KUNIT_EXPECT_EQ(test, sbm_dma_read(buf, 100, &byte, 0), 0);
	KUNIT_EXPECT_EQ(test, sbm_dma_write(buf, 100, &byte, 1), -EINVAL);
	KUNIT_EXPECT_EQ(test, sbm_dma_read(buf, 101, &byte, 0), -EINVAL);
	KUNIT_EXPECT_EQ(test, sbm_dma_read(buf, SIZE_MAX, &byte, 1), -EINVAL);
	KUNIT_EXPECT_EQ(test, sbm_dma_read(buf, 1, &byte, SIZE_MAX), -EINVAL);
	KUNIT_EXPECT_EQ(test, sbm_dma_sync_for_device(buf), -EINVAL);
	KUNIT_EXPECT_EQ(test, sbm_dma_sync_for_cpu(buf), -EINVAL);
	KUNIT_EXPECT_EQ(test, sbm_dma_write(fake_alloc(test, fake, 100, DMA_FROM_DEVICE), 0,
					    &byte, 1), -EINVAL);
	/* It was not mapped: fine */
	sbm_dma_unmap(buf);
	fake_exit(fake);
}

static void nothing_is_left_over(struct kunit *test)
{
	struct fake *fake = fake_init(test);
	u8 *back = kunit_kmalloc(test, 4 * PAGE_SIZE, GFP_KERNEL);
	unsigned int round;

	KUNIT_ASSERT_NOT_NULL(test, back);
	for (round = 0; round < 20; round++) {
		struct sbm_dma_buffer *buf = fake_alloc(test, fake, 4 * PAGE_SIZE,
							DMA_BIDIRECTIONAL);

		KUNIT_EXPECT_EQ(test, sbm_dma_read(buf, 0, back, 4 * PAGE_SIZE), 0);
		KUNIT_EXPECT_NULL(test, memchr_inv(back, 0, 4 * PAGE_SIZE));
		KUNIT_ASSERT_EQ(test, sbm_dma_map(buf), 0);
		KUNIT_EXPECT_NULL(test, memchr_inv(device_sees(fake, buf), 0, 4 * PAGE_SIZE));

		memset(back, 0xaa, 4 * PAGE_SIZE);
		memset(device_sees(fake, buf), 0xbb, 4 * PAGE_SIZE);
		KUNIT_EXPECT_EQ(test, sbm_dma_write(buf, 0, back, 4 * PAGE_SIZE), 0);
		KUNIT_EXPECT_EQ(test, sbm_reset(&fake->sbm), 0);
		sbm_dma_detach(fake->dma);
		fake_attach(test, fake, 0);
	}
	fake_exit(fake);
}

static void pages_are_counted_and_capped(struct kunit *test)
{
	struct fake *fake = fake_init(test);
	struct sbm_dma_stats stats;
	unsigned long max_pages;
	struct sbm_attr attr = {};
	long pages, before;

	sbm_dma_detach(fake->dma);
	before = sbm_pages_in_use();

	/* The limit of the attachment */
	fake_attach(test, fake, 3 * PAGE_SIZE);
	fake_alloc(test, fake, 2 * PAGE_SIZE, DMA_TO_DEVICE);
	pages = sbm_pages_in_use();
	KUNIT_EXPECT_GE(test, pages, before + 4);
	KUNIT_EXPECT_EQ(test, error_of(sbm_dma_alloc(fake->dma, PAGE_SIZE + 1, DMA_TO_DEVICE,
						     0, "x")), -ENOSPC);
	KUNIT_EXPECT_EQ(test, sbm_pages_in_use(), pages);
	fake_alloc(test, fake, PAGE_SIZE, DMA_TO_DEVICE);
	sbm_dma_get_stats(fake->dma, &stats);
	KUNIT_EXPECT_EQ(test, stats.pages, 3);
	sbm_dma_detach(fake->dma);
	KUNIT_EXPECT_EQ(test, sbm_reset(&fake->sbm), 0);
	KUNIT_EXPECT_EQ(test, sbm_pages_in_use(), before);

	/* That of the instance: both what the target and what the device sees counts */
	attr.memory_limit = (fake->sbm.instance->memory.nr_pages + 3) * PAGE_SIZE;
	sbm_destroy(&fake->sbm);
	KUNIT_ASSERT_EQ(test, sbm_init_attr(&fake->sbm, &attr), 0);
	fake_attach(test, fake, 0);
	pages = sbm_pages_in_use();
	KUNIT_EXPECT_EQ(test, error_of(sbm_dma_alloc(fake->dma, 2 * PAGE_SIZE, DMA_TO_DEVICE,
						     0, "x")), -ENOSPC);
	KUNIT_EXPECT_EQ(test, sbm_pages_in_use(), pages);
	fake_exit(fake);

	/* That of the system */
	KUNIT_ASSERT_EQ(test, sbm_init(&fake->sbm), 0);
	fake_attach(test, fake, 0);
	max_pages = READ_ONCE(sbm_max_pages);
	WRITE_ONCE(sbm_max_pages, sbm_pages_in_use());
	KUNIT_EXPECT_EQ(test, error_of(sbm_dma_alloc(fake->dma, PAGE_SIZE, DMA_TO_DEVICE, 0,
						     "x")), -ENOMEM);
	WRITE_ONCE(sbm_max_pages, max_pages);
	fake_alloc(test, fake, PAGE_SIZE, DMA_TO_DEVICE);
	fake_exit(fake);
}

/* === Stopping === */

static void expect_device_is_off(struct kunit *test, struct fake *fake,
				 struct sbm_dma_buffer *buf)
{
	KUNIT_EXPECT_EQ(test, fake->stops, 1);
	/* The device goes off first, and loses its buffers then */
	KUNIT_EXPECT_TRUE(test, fake->mapped);
	KUNIT_EXPECT_EQ(test, sbm_dma_addr(buf), DMA_MAPPING_ERROR);
	KUNIT_EXPECT_EQ(test, sbm_dma_map(buf), -ENODEV);
	KUNIT_EXPECT_EQ(test, sbm_dma_sync_for_cpu(buf), -ENODEV);
	KUNIT_EXPECT_EQ(test, sbm_dma_sync_for_device(buf), -ENODEV);
	KUNIT_EXPECT_EQ(test, error_of(sbm_dma_alloc(fake->dma, 1, DMA_TO_DEVICE, 0, "x")),
			-ENODEV);
	sbm_dma_unmap(buf);
	sbm_dma_stop(fake->dma);
	KUNIT_EXPECT_EQ(test, fake->stops, 1);
}

static void a_stopped_target_stops_the_device(struct kunit *test)
{
	struct sbm_dma_buffer *buf;
	struct sbm_dma_stats stats;
	struct fake *fake;
	u8 *dev_buf;
	u8 byte;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);

	fake = fake_init(test);
	buf = fake_alloc(test, fake, PAGE_SIZE, DMA_BIDIRECTIONAL);
	KUNIT_ASSERT_EQ(test, sbm_dma_map(buf), 0);
	fake->watched = buf;
	dev_buf = device_sees(fake, buf);
	KUNIT_EXPECT_EQ(test, sbm_call(&fake->sbm, put_byte, sbm_dma_sandbox(buf), 1), 0);
	KUNIT_EXPECT_EQ(test, fake->stops, 0);
	*dev_buf = 9;
	KUNIT_EXPECT_EQ(test, sbm_call(&fake->sbm, put_byte, (u8 *)SBM_TEST_NOWHERE, 1),
			-EFAULT);
	expect_device_is_off(test, fake, buf);

	/* What it has written is no result */
	KUNIT_EXPECT_EQ(test, sbm_dma_read(buf, 0, &byte, 1), 0);
	KUNIT_EXPECT_EQ(test, byte, 1);
	sbm_dma_get_stats(fake->dma, &stats);
	KUNIT_EXPECT_EQ(test, stats.maps, 1);
	KUNIT_EXPECT_EQ(test, stats.unmaps, 1);
	fake_exit(fake);
	KUNIT_EXPECT_EQ(test, fake->stops, 1);
}

/* Both end all but the object itself, whatever the order is */
static void reset_and_destroy_end_it(struct kunit *test)
{
	struct fake *fake = fake_init(test);
	unsigned int round;
	long before;

	sbm_dma_detach(fake->dma);
	for (round = 0; round < 2; round++) {
		struct sbm_dma_buffer *buf;
		u8 byte = 0;

		before = sbm_pages_in_use();
		fake_attach(test, fake, 0);
		buf = fake_alloc(test, fake, 3 * PAGE_SIZE, DMA_BIDIRECTIONAL);
		KUNIT_ASSERT_EQ(test, sbm_dma_map(buf), 0);
		fake->watched = buf;
		if (round) {
			sbm_destroy(&fake->sbm);
			KUNIT_EXPECT_LE(test, sbm_pages_in_use(), before);
		} else {
			KUNIT_EXPECT_EQ(test, sbm_reset(&fake->sbm), 0);
			KUNIT_EXPECT_EQ(test, sbm_pages_in_use(), before);
		}
		expect_device_is_off(test, fake, buf);
		KUNIT_EXPECT_NULL(test, sbm_dma_sandbox(buf));
		KUNIT_EXPECT_EQ(test, sbm_dma_read(buf, 0, &byte, 1), -ENODEV);
		KUNIT_EXPECT_EQ(test, sbm_dma_write(buf, 0, &byte, 1), -ENODEV);
		sbm_dma_detach(fake->dma);
	}
	sbm_destroy(&fake->sbm);
}

/* What a device may still write is nobody else's, and does not go out of the books */
static void pages_that_a_device_keeps_are_lost(struct kunit *test)
{
	struct fake *fake = fake_init(test);
	struct sbm_dma_rights rights;
	struct sbm_dma_stats stats;
	struct sbm_dma_buffer *buf;
	unsigned int round, i;
	long before, in_use;
	struct page *page;
	u8 *dev_buf;

	sbm_dma_detach(fake->dma);
	for (round = 0; round < 3; round++) {
		before = sbm_pages_in_use();
		fake_attach(test, fake, 0);
		buf = fake_alloc(test, fake, 3 * PAGE_SIZE, DMA_BIDIRECTIONAL);
		KUNIT_ASSERT_EQ(test, sbm_dma_map(buf), 0);
		dev_buf = device_sees(fake, buf);

		WRITE_ONCE(sbm_dma_keep_buffers, true);
		if (round == 0)
			sbm_dma_unmap(buf);
		else if (round == 1)
			sbm_dma_stop(fake->dma);
		else
			KUNIT_EXPECT_EQ(test, sbm_reset(&fake->sbm), 0);
		WRITE_ONCE(sbm_dma_keep_buffers, false);

		/* No transfer begins any more, and the device may do what it could */
		KUNIT_EXPECT_EQ(test, sbm_dma_addr(buf), DMA_MAPPING_ERROR);
		KUNIT_EXPECT_EQ(test, sbm_dma_map(buf), -ENODEV);
		KUNIT_EXPECT_EQ(test, error_of(sbm_dma_alloc(fake->dma, 1, DMA_TO_DEVICE, 0,
							     "x")), -ENODEV);
		sbm_dma_get_rights(buf, &rights);
		KUNIT_EXPECT_TRUE(test, rights.device_read);
		KUNIT_EXPECT_TRUE(test, rights.device_write);
		sbm_dma_get_stats(fake->dma, &stats);
		KUNIT_EXPECT_EQ(test, stats.lost, 3);
		KUNIT_EXPECT_EQ(test, stats.unmaps, 0);

		KUNIT_EXPECT_EQ(test, sbm_reset(&fake->sbm), 0);
		sbm_dma_detach(fake->dma);
		in_use = sbm_pages_in_use();
		KUNIT_EXPECT_EQ(test, in_use, before + 3);
		KUNIT_EXPECT_NE(test, page_count(virt_to_page(dev_buf)), 0);
		/* It writes, and whoever gets pages now does not see it */
		memset(dev_buf, 0xee, 3 * PAGE_SIZE);
		for (i = 0; i < 64; i++) {
			page = alloc_page(GFP_KERNEL | GFP_DMA32 | __GFP_ZERO);
			if (!page)
				break;
			memset(dev_buf, 0xee, 3 * PAGE_SIZE);
			KUNIT_EXPECT_NULL(test, memchr_inv(page_address(page), 0, PAGE_SIZE));
			__free_page(page);
		}
	}

	/* The instance is as good as new */
	fake_attach(test, fake, 0);
	buf = fake_alloc(test, fake, PAGE_SIZE, DMA_BIDIRECTIONAL);
	KUNIT_EXPECT_EQ(test, sbm_call(&fake->sbm, put_byte, sbm_dma_sandbox(buf), 1), 0);
	KUNIT_EXPECT_EQ(test, sbm_dma_map(buf), 0);
	sbm_dma_unmap(buf);
	sbm_dma_get_stats(fake->dma, &stats);
	KUNIT_EXPECT_EQ(test, stats.lost, 0);
	KUNIT_EXPECT_EQ(test, stats.unmaps, 1);
	fake_exit(fake);
}

/* The device writes to more than the buffer has bytes: that is not taken */
static void copies_end_where_the_buffer_does(struct kunit *test)
{
	struct fake *fake = fake_init(test);
	struct sbm_dma_buffer *buf = fake_alloc(test, fake, PAGE_SIZE + 13, DMA_BIDIRECTIONAL);
	struct sbm_dma_stats before, after;
	u8 *inside = sbm_dma_sandbox(buf);
	u8 *dev_buf;

	KUNIT_ASSERT_EQ(test, sbm_dma_map(buf), 0);
	dev_buf = device_sees(fake, buf);
	memset(dev_buf, 0xee, 2 * PAGE_SIZE);
	sbm_dma_get_stats(fake->dma, &before);
	KUNIT_EXPECT_EQ(test, sbm_dma_sync_for_cpu(buf), 0);
	sbm_dma_get_stats(fake->dma, &after);
	KUNIT_EXPECT_EQ(test, after.copied - before.copied, PAGE_SIZE + 13);
	KUNIT_EXPECT_EQ(test, sbm_call(&fake->sbm, get_byte, inside + PAGE_SIZE + 12), 0xee);
	KUNIT_EXPECT_EQ(test, sbm_call(&fake->sbm, get_byte, inside + PAGE_SIZE + 13), 0);
	fake_exit(fake);
}

/* What the driver of an IOMMU says about it comes in atomic context */
static void a_fault_of_the_device_poisons(struct kunit *test)
{
	struct sbm_dma_buffer *buf;
	struct fake *fake;
	unsigned long flags;

	skip_if_isolation_below(test, SBM_ISOLATION_WEAK);

	fake = fake_init(test);
	buf = fake_alloc(test, fake, PAGE_SIZE, DMA_BIDIRECTIONAL);
	KUNIT_ASSERT_EQ(test, sbm_dma_map(buf), 0);
	fake->watched = buf;
	local_irq_save(flags);
	sbm_poison_by_device(fake->sbm.instance);
	local_irq_restore(flags);
	KUNIT_EXPECT_EQ(test, sbm_call(&fake->sbm, get_byte, sbm_dma_sandbox(buf)), -EFAULT);
	KUNIT_ASSERT_NOT_NULL(test, sbm_fault(&fake->sbm));
	KUNIT_EXPECT_EQ(test, sbm_fault(&fake->sbm)->cause, SBM_CAUSE_DEVICE);
	expect_device_is_off(test, fake, buf);

	/* As good as new */
	KUNIT_EXPECT_EQ(test, sbm_reset(&fake->sbm), 0);
	sbm_dma_detach(fake->dma);
	fake_attach(test, fake, 0);
	buf = fake_alloc(test, fake, PAGE_SIZE, DMA_BIDIRECTIONAL);
	KUNIT_EXPECT_EQ(test, sbm_call(&fake->sbm, get_byte, sbm_dma_sandbox(buf)), 0);
	fake_exit(fake);
}

static int run_go_on(struct worker *worker)
{
	struct fake *fake = worker->data;

	return sbm_call(&fake->sbm, go_on, sbm_dma_sandbox(fake->watched));
}

static void a_fault_stops_a_target_that_runs(struct kunit *test)
{
	struct worker worker = { .fn = run_go_on, .cpu = -1, };
	unsigned long timeout = jiffies + SBM_TEST_PATIENCE;
	struct shared shared = {};
	struct fake *fake;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);

	fake = fake_init(test);
	fake->watched = fake_alloc(test, fake, PAGE_SIZE, DMA_BIDIRECTIONAL);
	worker.data = fake;
	KUNIT_ASSERT_EQ(test, worker_start(&worker), 0);
	while (!shared.started && time_before(jiffies, timeout) &&
	       !completion_done(&worker.done)) {
		schedule_timeout_uninterruptible(1);
		KUNIT_EXPECT_EQ(test, sbm_dma_read(fake->watched, 0, &shared, sizeof(shared)),
				0);
	}
	KUNIT_EXPECT_NE(test, shared.started, 0);

	/* Another thread may map meanwhile, and nobody may allocate */
	KUNIT_EXPECT_EQ(test, sbm_dma_map(fake->watched), 0);
	KUNIT_EXPECT_EQ(test, error_of(sbm_dma_alloc(fake->dma, 1, DMA_TO_DEVICE, 0, "x")),
			-EBUSY);
	sbm_poison_by_device(fake->sbm.instance);
	KUNIT_EXPECT_EQ(test, worker_finish(&worker), -EFAULT);
	KUNIT_EXPECT_EQ(test, fake->stops, 1);
	KUNIT_EXPECT_TRUE(test, fake->mapped);
	KUNIT_EXPECT_EQ(test, sbm_dma_addr(fake->watched), DMA_MAPPING_ERROR);
	fake_exit(fake);
}

static int run_maps(struct worker *worker)
{
	struct fake *fake = worker->data;
	int err;

	do {
		err = sbm_dma_map(fake->watched);
		if (!err) {
			sbm_dma_sync_for_cpu(fake->watched);
			sbm_dma_unmap(fake->watched);
		}
	} while (err != -ENODEV);

	return sbm_dma_addr(fake->watched) == DMA_MAPPING_ERROR ? 0 : -EBUSY;
}

/* Whatever another thread is about, the device has nothing afterwards, and gets nothing */
static void stopping_meets_mapping(struct kunit *test)
{
	struct worker worker = { .fn = run_maps, .cpu = -1, };
	struct fake *fake = fake_init(test);
	unsigned int round;

	worker.data = fake;
	for (round = 0; round < 30; round++) {
		fake->watched = fake_alloc(test, fake, 3 * PAGE_SIZE, DMA_BIDIRECTIONAL);
		KUNIT_ASSERT_EQ(test, worker_start(&worker), 0);
		schedule_timeout_uninterruptible(round % 3);
		if (round & 1)
			sbm_dma_stop(fake->dma);
		else
			KUNIT_EXPECT_EQ(test, sbm_reset(&fake->sbm), 0);
		KUNIT_EXPECT_EQ(test, worker_finish(&worker), 0);
		KUNIT_EXPECT_EQ(test, fake->stops, 1);
		sbm_dma_detach(fake->dma);
		fake_attach(test, fake, 0);
	}
	fake_exit(fake);
}

/* With all isolations that there are, so that a driver has one path */
static void it_works_with_less_isolation(struct kunit *test)
{
	const struct sbm_attr attr = { .flags = SBM_ATTR_WEAK, };
	struct sbm_dma_buffer *buf;
	struct fake *fake;

	fake = fake_init(test);
	fake_exit(fake);
	KUNIT_ASSERT_EQ(test, sbm_init_attr(&fake->sbm, &attr), 0);
	fake_attach(test, fake, 0);
	buf = fake_alloc(test, fake, PAGE_SIZE, DMA_BIDIRECTIONAL);
	KUNIT_EXPECT_EQ(test, sbm_call(&fake->sbm, put_byte, sbm_dma_sandbox(buf), 3), 0);
	KUNIT_ASSERT_EQ(test, sbm_dma_map(buf), 0);
	KUNIT_EXPECT_EQ(test, *device_sees(fake, buf), 3);
	*device_sees(fake, buf) = 4;
	sbm_dma_unmap(buf);
	KUNIT_EXPECT_EQ(test, sbm_call(&fake->sbm, get_byte, sbm_dma_sandbox(buf)), 4);
	fake_exit(fake);
}

static void many_maps_cost_nothing_that_stays(struct kunit *test)
{
	struct fake *fake = fake_init(test);
	struct sbm_dma_buffer *buf = fake_alloc(test, fake, PAGE_SIZE, DMA_BIDIRECTIONAL);
	long before = sbm_pages_in_use();
	struct sbm_dma_stats stats;
	unsigned int i;

	for (i = 0; i < 1000; i++) {
		KUNIT_ASSERT_EQ(test, sbm_dma_map(buf), 0);
		sbm_dma_unmap(buf);
	}
	KUNIT_EXPECT_EQ(test, sbm_pages_in_use(), before);
	sbm_dma_get_stats(fake->dma, &stats);
	KUNIT_EXPECT_EQ(test, stats.maps, 1000);
	KUNIT_EXPECT_EQ(test, stats.unmaps, 1000);
	KUNIT_EXPECT_EQ(test, stats.flushes, 0);
	KUNIT_EXPECT_EQ(test, stats.copied, 2000 * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, stats.faults, 0);
	fake_exit(fake);
}

/* In an emulator that counts instructions, cycles are these */
static void what_small_copies_cost(struct kunit *test)
{
	struct fake *fake = fake_init(test);
	struct sbm_dma_buffer *to = fake_alloc(test, fake, 32, DMA_TO_DEVICE);
	struct sbm_dma_buffer *from = fake_alloc(test, fake, 13, DMA_FROM_DEVICE);
	u8 command[32] = {};
	cycles_t begin;
	unsigned int i;

	KUNIT_ASSERT_EQ(test, sbm_dma_map(to), 0);
	KUNIT_ASSERT_EQ(test, sbm_dma_map(from), 0);
	begin = get_cycles();
	for (i = 0; i < 1000; i++) {
		KUNIT_ASSERT_EQ(test, sbm_dma_write(to, 0, command, 31), 0);
		KUNIT_ASSERT_EQ(test, sbm_dma_sync_for_device(to), 0);
		KUNIT_ASSERT_EQ(test, sbm_dma_sync_for_cpu(from), 0);
	}
	kunit_info(test, "31 bytes written, 32 and 13 copied: %llu cycles\n",
		   div_u64(get_cycles() - begin, 1000));
	fake_exit(fake);
}

static int try_all(struct kunit *test, void *data)
{
	const struct sbm_dma_attr attr = { .flags = SBM_DMA_EXCLUSIVE, };
	struct sbm_dma_buffer *buf;
	struct fake *fake = data;
	int ret;

	ret = sbm_init(&fake->sbm);
	if (ret)
		return ret;
	fake->dma = sbm_dma_attach(&fake->sbm, fake->dev, &attr);
	ret = error_of(fake->dma);
	if (ret)
		goto out;
	buf = sbm_dma_alloc(fake->dma, 3 * PAGE_SIZE, DMA_BIDIRECTIONAL, 0, "x");
	ret = error_of(buf);
	if (ret)
		goto out;
	ret = sbm_dma_map(buf);
out:
	/* Either may come first */
	if (fake->stops++ & 1) {
		sbm_dma_detach(fake->dma);
		sbm_destroy(&fake->sbm);
	} else {
		sbm_destroy(&fake->sbm);
		sbm_dma_detach(fake->dma);
	}

	return ret;
}

static void allocations_that_fail_leave_nothing(struct kunit *test)
{
	struct fake *fake = fake_init(test);
	int failed = 0, refused = 0;

	fake_exit(fake);
	fail_each_allocation(test, try_all, fake, sbm_pages_in_use, &failed, &refused);
	kunit_info(test, "%d allocations failed, one at a time; %d errors\n", failed, refused);
}

static struct kunit_case sbm_dma_cases[] = {
	KUNIT_CASE(isolation_is_told_and_demanded),
	KUNIT_CASE(attaching_has_its_rules),
	KUNIT_CASE(allocating_has_its_rules),
	KUNIT_CASE(rights_follow_the_direction),
	KUNIT_CASE(targets_have_their_rights),
	KUNIT_CASE(data_goes_both_ways),
	KUNIT_CASE(offsets_are_checked),
	KUNIT_CASE(nothing_is_left_over),
	KUNIT_CASE(pages_are_counted_and_capped),
	KUNIT_CASE(a_stopped_target_stops_the_device),
	KUNIT_CASE(reset_and_destroy_end_it),
	KUNIT_CASE(pages_that_a_device_keeps_are_lost),
	KUNIT_CASE(copies_end_where_the_buffer_does),
	KUNIT_CASE(a_fault_of_the_device_poisons),
	KUNIT_CASE(a_fault_stops_a_target_that_runs),
	KUNIT_CASE(stopping_meets_mapping),
	KUNIT_CASE(it_works_with_less_isolation),
	KUNIT_CASE(many_maps_cost_nothing_that_stays),
	KUNIT_CASE(what_small_copies_cost),
	KUNIT_CASE(allocations_that_fail_leave_nothing),
	{}
};

static struct kunit_suite sbm_dma_suite = {
	.name		= "sbm_dma",
	.test_cases	= sbm_dma_cases,
};

kunit_test_suite(sbm_dma_suite);

MODULE_DESCRIPTION("KUnit suite for what sandbox mode shares with devices");
MODULE_LICENSE("GPL");
