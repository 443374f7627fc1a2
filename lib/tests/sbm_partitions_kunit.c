// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit suite sbm_partitions: partition tables that are parsed in a sandbox.
 *
 * The disk is a piece of memory. The same parser, built a second time as if there was
 * no sandbox, says what is right.
 *
 * If the parser has a bug, that one may do anything. With the parameter
 * sbm_partitions_kunit.hostile=1 it parses good disks only, and what must hold for
 * damaged ones is that each of them comes to an end.
 */
#include <kunit/test.h>
#include <linux/array_size.h>
#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/err.h>
#include <linux/file.h>
#include <linux/highmem.h>
#include <linux/kernel.h>
#include <linux/minmax.h>
#include <linux/moduleparam.h>
#include <linux/prandom.h>
#include <linux/sbm.h>
#include <linux/seq_buf.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

#include "../../kernel/sbm/sbm.h"
#include "sbm_kunit.h"
#include "sbm_kunit_customer.h"

/* The parser as it is without the option, under another name: its structure, too */
#undef CONFIG_MAC_PARTITION_SBM
#define mac_partition mac_partition_plain
#include "../../block/partitions/mac.c"
#undef mac_partition

/* The kernel's own one */
int mac_partition(struct parsed_partitions *state);

/* One whose target returns @state->next */
int mac_partition_told(struct parsed_partitions *state);

static unsigned int mutations = 2000;
module_param(mutations, uint, 0644);
MODULE_PARM_DESC(mutations, "Number of damaged disks");

static bool hostile;
module_param(hostile, bool, 0644);
MODULE_PARM_DESC(hostile, "The parser has a bug: no plain calls with damaged disks");

/* The disk is larger than what it has data for: the rest is zero */
#define DISK_SIZE	SZ_16M
#define DATA_SIZE	SZ_1M

/**
 * struct scan - what a parser makes of a disk
 * @state: As the block layer has it.
 * @text:  What goes to the log.
 * @ret:   Result of the parser.
 */
struct scan {
	struct parsed_partitions	state;
	char				*text;
	int				ret;
};

/**
 * struct disk - a disk, and who looks at it
 * @disk:   The disk.
 * @file:   It is open, and so has a block size.
 * @data:   Its first bytes.
 * @used:   How many of them can be other than zero.
 * @rnd:    The same numbers each time.
 * @sbm:    What the kernel's parser makes of it.
 * @plain:  What a plain call of the parser makes of it.
 */
struct disk {
	struct gendisk		*disk;
	struct file		*file;
	u8			*data;
	size_t			used;
	struct rnd_state	rnd;
	struct scan		sbm;
	struct scan		plain;
};

static void disk_submit_bio(struct bio *bio)
{
	struct disk *d = bio->bi_bdev->bd_disk->private_data;
	size_t at = bio->bi_iter.bi_sector << SECTOR_SHIFT;
	struct bvec_iter iter;
	struct bio_vec bv;

	bio_for_each_segment(bv, bio, iter) {
		size_t len = at < DATA_SIZE ? min(bv.bv_len, DATA_SIZE - at) : 0;

		memcpy_to_page(bv.bv_page, bv.bv_offset, d->data + at, len);
		memzero_page(bv.bv_page, bv.bv_offset + len, bv.bv_len - len);
		at += bv.bv_len;
	}
	bio_endio(bio);
}

static const struct block_device_operations disk_ops = {
	.owner		= THIS_MODULE,
	.submit_bio	= disk_submit_bio,
};

/* Kernels differ in what the text is */
static void set_text(struct parsed_partitions *state, char *text)
{
	void *buf = &state->pp_buf;

	if (__same_type(state->pp_buf, char *))
		*(char **)buf = text;
	else
		seq_buf_init(buf, text, PAGE_SIZE);
}

static int scan_alloc(struct scan *scan, struct gendisk *disk)
{
	scan->text = (char *)get_zeroed_page(GFP_KERNEL);
	scan->state.parts = vzalloc(array_size(DISK_MAX_PARTS,
					       sizeof(*scan->state.parts)));
	scan->state.limit = DISK_MAX_PARTS;
	scan->state.disk = disk;
	strscpy(scan->state.name, "test");

	return scan->text && scan->state.parts ? 0 : -ENOMEM;
}

static void scan_free(struct scan *scan)
{
	free_page((unsigned long)scan->text);
	vfree(scan->state.parts);
}

static int sbm_partitions_init(struct kunit *test)
{
	struct queue_limits limits = { };
	struct disk *d = kzalloc(sizeof(*d), GFP_KERNEL);
	struct gendisk *disk;
	int err;

	if (!d)
		return -ENOMEM;

	test->priv = d;
	prandom_seed_state(&d->rnd, 4711);
	d->data = vzalloc(DATA_SIZE);
	if (!d->data)
		return -ENOMEM;

	disk = blk_alloc_disk(&limits, NUMA_NO_NODE);
	if (IS_ERR(disk))
		return PTR_ERR(disk);
	disk->fops = &disk_ops;
	disk->private_data = d;
	/* Nobody but the test looks for partitions */
	disk->flags = GENHD_FL_NO_PART;
	strscpy(disk->disk_name, "sbmtest");
	set_capacity(disk, DISK_SIZE >> SECTOR_SHIFT);
	err = add_disk(disk);
	if (err) {
		put_disk(disk);
		return err;
	}
	d->disk = disk;

	d->file = bdev_file_open_by_dev(disk_devt(disk), BLK_OPEN_READ, NULL, NULL);
	if (IS_ERR(d->file))
		return PTR_ERR(d->file);

	return scan_alloc(&d->sbm, disk) ?: scan_alloc(&d->plain, disk);
}

static void sbm_partitions_exit(struct kunit *test)
{
	struct disk *d = test->priv;

	if (!d)
		return;

	scan_free(&d->sbm);
	scan_free(&d->plain);
	if (!IS_ERR_OR_NULL(d->file))
		bdev_fput(d->file);
	if (d->disk) {
		del_gendisk(d->disk);
		put_disk(d->disk);
	}
	vfree(d->data);
	kfree(d);
}

static u32 below(struct disk *d, u32 ceil)
{
	return prandom_u32_state(&d->rnd) % ceil;
}

static void scan_disk(struct scan *scan, int (*parser)(struct parsed_partitions *state))
{
	memset(scan->text, 0, PAGE_SIZE);
	set_text(&scan->state, scan->text);
	memset(scan->state.parts, 0, DISK_MAX_PARTS * sizeof(*scan->state.parts));
	scan->state.access_beyond_eod = false;
	scan->ret = parser(&scan->state);
}

static void read_anew(struct disk *d)
{
	truncate_inode_pages(d->disk->part0->bd_mapping, 0);
}

static bool same(const struct disk *d)
{
	const struct scan *s = &d->sbm, *p = &d->plain;

	if (s->ret != p->ret || s->state.access_beyond_eod != p->state.access_beyond_eod)
		return false;

	/* What is in a table that cannot be read is not looked at */
	return s->ret <= 0 ||
	       (!memcmp(s->state.parts, p->state.parts,
			DISK_MAX_PARTS * sizeof(*s->state.parts)) &&
		!strcmp(s->text, p->text));
}

static struct mac_partition_plain *entry(struct disk *d, unsigned int block, unsigned int slot)
{
	return (struct mac_partition_plain *)(d->data + slot * block);
}

/* A disk with @nr partitions and blocks of @block bytes */
static void make_disk(struct disk *d, unsigned int block, unsigned int nr)
{
	static const char * const types[] = {
		"Apple_partition_map", "Apple_HFS", "Apple_UNIX_SVR2", "Linux_RAID",
		"linux_raid", "Linux_swap", "Apple_Free", "",
	};
	struct mac_driver_desc *md = (struct mac_driver_desc *)d->data;
	unsigned int slot;

	memset(d->data, 0, d->used);
	d->used = (nr + 1) * block;
	prandom_bytes_state(&d->rnd, d->data, min_t(size_t, block, SZ_512));
	md->signature = cpu_to_be16(MAC_DRIVER_MAGIC);
	md->block_size = cpu_to_be16(block);
	for (slot = 1; slot <= nr; slot++) {
		struct mac_partition_plain *part = entry(d, block, slot);

		prandom_bytes_state(&d->rnd, part, sizeof(*part));
		part->signature = cpu_to_be16(MAC_PARTITION_MAGIC);
		part->map_count = cpu_to_be32(nr);
		strscpy_pad(part->type, types[below(d, ARRAY_SIZE(types))]);
		if (!below(d, 4))
			part->start_block = cpu_to_be32(below(d, 100));
	}
	read_anew(d);
}

static unsigned int any_block(struct disk *d)
{
	/* What disks have, and now and then what they might have */
	return below(d, 4) ? SZ_512 << below(d, 3) : SZ_512 << below(d, 7);
}

static void good_disks_are_the_same(struct kunit *test)
{
	struct disk *d = test->priv;
	u64 before = all_stops();
	unsigned int i;

	for (i = 0; i < 200; i++) {
		unsigned int block = any_block(d);
		unsigned int nr = 1 + below(d, min(i ? 20 : 255, DATA_SIZE / block - 1));

		make_disk(d, block, nr);
		scan_disk(&d->sbm, mac_partition);
		scan_disk(&d->plain, mac_partition_plain);
		KUNIT_EXPECT_EQ(test, d->sbm.ret, 1);
		KUNIT_EXPECT_TRUE_MSG(test, same(d), "disk %u: '%s' and '%s'", i,
				      d->sbm.text, d->plain.text);
		KUNIT_EXPECT_EQ(test, d->sbm.state.parts[nr].from,
				be32_to_cpu(entry(d, block, nr)->start_block) *
				(block / SZ_512));
	}
	KUNIT_EXPECT_EQ(test, all_stops(), before);
}

static void full_table_is_the_same(struct kunit *test)
{
	struct disk *d = test->priv;

	make_disk(d, SZ_512, DISK_MAX_PARTS - 1);
	scan_disk(&d->sbm, mac_partition);
	scan_disk(&d->plain, mac_partition_plain);
	KUNIT_EXPECT_EQ(test, d->sbm.ret, 1);
	KUNIT_EXPECT_TRUE(test, same(d));
	KUNIT_EXPECT_NE(test, d->sbm.state.parts[DISK_MAX_PARTS - 1].size, 0);
}

/* The block layer makes a pointer of an error, of which not all would be one */
static void any_result_is_a_verdict(struct kunit *test)
{
	static const int results[] = {
		0, -1, -EINVAL, -MAX_ERRNO, -MAX_ERRNO - 1, -70000, INT_MIN + 0x2345678,
		INT_MIN, 1, 2, INT_MAX,
	};
	struct disk *d = test->priv;
	unsigned int i;

	make_disk(d, SZ_512, 3);
	for (i = 0; i < ARRAY_SIZE(results); i++) {
		d->sbm.state.next = results[i];
		scan_disk(&d->sbm, mac_partition_told);
		KUNIT_EXPECT_EQ(test, d->sbm.ret,
				results[i] > 0 ? 1 : results[i] ? -1 : 0);
	}
}

static void other_disks_are_left_alone(struct kunit *test)
{
	struct disk *d = test->priv;

	memset(d->data, 0, d->used);
	read_anew(d);
	scan_disk(&d->sbm, mac_partition);
	KUNIT_EXPECT_EQ(test, d->sbm.ret, 0);
	KUNIT_EXPECT_STREQ(test, d->sbm.text, "");
}

/* The first entry ends beyond its sector, which is the last one of its page */
static void make_old_bug(struct disk *d)
{
	struct mac_driver_desc *md = (struct mac_driver_desc *)d->data;

	make_disk(d, SZ_512, 8);
	md->block_size = cpu_to_be16(7 * 512 + 511);
	d->data[7 * 512 + 511] = MAC_PARTITION_MAGIC >> 8;
	d->data[7 * 512 + 512] = MAC_PARTITION_MAGIC & 0xff;
	read_anew(d);
}

/* CVE-2025-21772, where it has been put back */
static void old_bug_is_contained(struct kunit *test)
{
	struct disk *d = test->priv;
	u64 before = all_stops();

	make_old_bug(d);
	scan_disk(&d->sbm, mac_partition);
	KUNIT_EXPECT_EQ(test, d->sbm.ret, -1);
	KUNIT_EXPECT_STREQ(test, d->sbm.text, "");
	if (IS_ENABLED(CONFIG_DEBUG_FS) && sbm_isolation() == SBM_ISOLATION_STRONG)
		KUNIT_EXPECT_EQ(test, all_stops(), before + hostile);

	make_disk(d, SZ_512, 3);
	scan_disk(&d->sbm, mac_partition);
	scan_disk(&d->plain, mac_partition_plain);
	KUNIT_EXPECT_TRUE(test, same(d));
}

static void damage(struct disk *d, unsigned int block, unsigned int nr)
{
	struct mac_driver_desc *md = (struct mac_driver_desc *)d->data;
	unsigned int n = 1 + below(d, 4);

	while (n--) {
		struct mac_partition_plain *part = entry(d, block, 1 + below(d, nr));
		u8 *any = (u8 *)part + below(d, sizeof(*part));

		switch (below(d, 8)) {
		case 0:
			md->block_size = cpu_to_be16(below(d, SZ_64K));
			break;
		case 1:
			md->block_size = cpu_to_be16(1 << below(d, 16));
			break;
		case 2:
			/* Just before or behind a sector */
			md->block_size = cpu_to_be16(below(d, 9) * 512 + below(d, 9) - 4);
			break;
		case 3:
			part->map_count = cpu_to_be32(below(d, 2) ? prandom_u32_state(&d->rnd) :
						      below(d, 300));
			break;
		case 4:
			part->signature = cpu_to_be16(below(d, SZ_64K));
			break;
		case 5:
			*any = below(d, 256);
			break;
		case 6:
			*any ^= 1 << below(d, 8);
			break;
		default:
			/* Where no entry was */
			d->data[below(d, SZ_4K)] = below(d, 256);
			d->used = max_t(size_t, d->used, SZ_4K);
		}
	}
	read_anew(d);
}

static void damaged_disks_do_no_harm(struct kunit *test)
{
	struct disk *d = test->priv;
	unsigned int i, right = 0, wrong = 0, found = 0;
	u64 before = all_stops(), stopped;

	for (i = 0; i < mutations; i++) {
		unsigned int block = SZ_512 << below(d, 3);
		unsigned int nr = 1 + below(d, 1 + below(d, 8));

		make_disk(d, block, nr);
		damage(d, block, nr);
		scan_disk(&d->sbm, mac_partition);
		found += d->sbm.ret > 0;
		if (!hostile)
			scan_disk(&d->plain, mac_partition_plain);
		right += hostile ? d->sbm.ret >= -1 && d->sbm.ret <= 1 : same(d);
		if (i % 100 == 0) {
			make_disk(d, block, nr);
			scan_disk(&d->sbm, mac_partition);
			scan_disk(&d->plain, mac_partition_plain);
			wrong += !same(d) || d->sbm.ret != 1;
		}
		cond_resched();
	}

	stopped = all_stops() - before;
	kunit_info(test, "damaged disks: %u of %u as they should be, %u have a table, %llu stopped\n",
		   right, mutations, found, stopped);
	KUNIT_EXPECT_EQ(test, right, mutations);
	KUNIT_EXPECT_EQ(test, wrong, 0);
	if (!hostile)
		KUNIT_EXPECT_EQ(test, stopped, 0);
}

static struct kunit_case sbm_partitions_cases[] = {
	KUNIT_CASE(good_disks_are_the_same),
	KUNIT_CASE(full_table_is_the_same),
	KUNIT_CASE(any_result_is_a_verdict),
	KUNIT_CASE(other_disks_are_left_alone),
	KUNIT_CASE(old_bug_is_contained),
	KUNIT_CASE_SLOW(damaged_disks_do_no_harm),
	{}
};

static struct kunit_suite sbm_partitions_suite = {
	.name		= "sbm_partitions",
	.init		= sbm_partitions_init,
	.exit		= sbm_partitions_exit,
	.test_cases	= sbm_partitions_cases,
};

kunit_test_suite(sbm_partitions_suite);

MODULE_DESCRIPTION("KUnit suite for partition tables in sandbox mode");
MODULE_LICENSE("GPL");
