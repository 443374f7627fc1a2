// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit suite sbm_squashfs: blocks of squashfs that are decompressed in a sandbox.
 *
 * Blocks go through squashfs's own operations for LZ4, as if they had been read from a
 * medium. The same source, built a second time as if there was no sandbox, says what is
 * right.
 *
 * If the decompressor has a bug, that one may do anything. With the parameter
 * sbm_squashfs_kunit.hostile=1 it gets no damaged blocks, and what must hold is only that
 * each of them comes to an end, and that good ones are right between them.
 */
#include <kunit/test.h>
#include <linux/bio.h>
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/kernel.h>
#include <linux/ktime.h>
#include <linux/lz4.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/prandom.h>
#include <linux/sbm.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

#include "../../kernel/sbm/sbm.h"
#include "sbm_kunit.h"
#include "sbm_kunit_customer.h"

/* Squashfs's operations as they are without the option, under another name */
#undef CONFIG_SQUASHFS_LZ4_SBM
#define squashfs_lz4_comp_ops squashfs_lz4_plain_ops
#include "../../fs/squashfs/lz4_wrapper.c"
#undef squashfs_lz4_comp_ops

static unsigned int mutations = 10000;
module_param(mutations, uint, 0644);
MODULE_PARM_DESC(mutations, "Number of damaged blocks");

static bool hostile;
module_param(hostile, bool, 0644);
MODULE_PARM_DESC(hostile, "The decompressor has a bug: no plain calls with damaged blocks");

/* The largest block of squashfs */
#define BLOCK_MAX	SZ_1M
#define BLOCK_PAGES	(BLOCK_MAX / PAGE_SIZE)
/* Damaged blocks are at most as large: there are many of them */
#define DAMAGED_MAX	SZ_8K

/**
 * struct side - one of two ways to decompress
 * @ops:    Operations.
 * @stream: A decompressor.
 * @out:    Where its output goes.
 * @pages:  The pages of @out.
 */
struct side {
	const struct squashfs_decompressor	*ops;
	void					*stream;
	u8					*out;
	void					**pages;
};

/**
 * struct squash - a file system, as far as its decompressors see it
 * @msblk:  The file system.
 * @rnd:    The same numbers each time.
 * @plain:  What a block is made of.
 * @packed: The block.
 * @vecs:   Pages of @packed.
 * @wrkmem: Of the compressor.
 * @sbm:    The kernel's own operations.
 * @ref:    The same without a sandbox.
 */
struct squash {
	struct squashfs_sb_info	*msblk;
	struct rnd_state	rnd;
	u8			*plain;
	u8			*packed;
	struct bio_vec		*vecs;
	void			*wrkmem;
	struct side		sbm;
	struct side		ref;
};

static int side_init(struct squash *sq, struct side *side,
		     const struct squashfs_decompressor *ops)
{
	side->ops = ops;
	side->out = vmalloc(BLOCK_MAX);
	side->pages = kvcalloc(BLOCK_PAGES, sizeof(*side->pages), GFP_KERNEL);
	if (!side->out || !side->pages)
		return -ENOMEM;
	side->stream = ops->init(sq->msblk, NULL);

	return PTR_ERR_OR_ZERO(side->stream);
}

static void side_free(struct side *side)
{
	if (!IS_ERR_OR_NULL(side->stream))
		side->ops->free(side->stream);
	kvfree(side->pages);
	vfree(side->out);
}

static int sbm_squashfs_init(struct kunit *test)
{
	struct squash *sq = kzalloc(sizeof(*sq), GFP_KERNEL);

	if (!sq)
		return -ENOMEM;

	test->priv = sq;
	prandom_seed_state(&sq->rnd, 4711);
	sq->msblk = kzalloc(sizeof(*sq->msblk), GFP_KERNEL);
	sq->plain = vmalloc(BLOCK_MAX);
	sq->packed = vmalloc(LZ4_COMPRESSBOUND(BLOCK_MAX));
	sq->vecs = kvcalloc(BLOCK_PAGES, sizeof(*sq->vecs), GFP_KERNEL);
	sq->wrkmem = vmalloc(LZ4_MEM_COMPRESS);
	if (!sq->msblk || !sq->plain || !sq->packed || !sq->vecs || !sq->wrkmem)
		return -ENOMEM;

	sq->msblk->block_size = BLOCK_MAX;

	return side_init(sq, &sq->sbm, squashfs_lookup_decompressor(LZ4_COMPRESSION)) ?:
	       side_init(sq, &sq->ref, &squashfs_lz4_plain_ops);
}

static void sbm_squashfs_exit(struct kunit *test)
{
	struct squash *sq = test->priv;

	if (!sq)
		return;

	side_free(&sq->sbm);
	side_free(&sq->ref);
	kfree(sq->msblk);
	vfree(sq->plain);
	vfree(sq->packed);
	kvfree(sq->vecs);
	vfree(sq->wrkmem);
	kfree(sq);
}

static u32 below(struct squash *sq, u32 ceil)
{
	return prandom_u32_state(&sq->rnd) % ceil;
}

/* Fill @sq->plain with something that can be compressed, more or less */
static void make_plain(struct squash *sq, unsigned int len)
{
	unsigned int i = 0;

	while (i < len) {
		unsigned int run = min(1 + below(sq, 1 + below(sq, 400)), len - i);
		unsigned int from = i ? below(sq, i) : 0;
		u8 fill = below(sq, 256);

		switch (below(sq, 3)) {
		case 0:
			prandom_bytes_state(&sq->rnd, sq->plain + i, run);
			break;
		case 1:
			memset(sq->plain + i, fill, run);
			break;
		default:
			/* May overlap, and repeats itself then */
			for (unsigned int j = 0; j < run; j++)
				sq->plain[i + j] = i ? sq->plain[from + j] : fill;
		}
		i += run;
	}
}

/* A block of @len bytes in @sq->packed. Returns its size, 0 if it cannot be squeezed. */
static unsigned int make_block(struct squash *sq, unsigned int len)
{
	int size;

	make_plain(sq, len);
	size = LZ4_compress_default(sq->plain, sq->packed, len,
				    LZ4_COMPRESSBOUND(BLOCK_MAX), sq->wrkmem);

	return size > 0 && size < len ? size : 0;
}

/* As squashfs_read_data() does with what it has read: @at bytes into the first page */
static int unsquash(struct squash *sq, struct side *side, unsigned int at,
		    unsigned int size, unsigned int max)
{
	unsigned int pages = DIV_ROUND_UP(max, PAGE_SIZE);
	struct squashfs_page_actor *actor;
	unsigned int i, nr;
	struct bio bio;
	int res;

	nr = DIV_ROUND_UP(at + size, PAGE_SIZE);
	if (nr > BLOCK_PAGES)
		return -E2BIG;

	for (i = 0; i < pages; i++)
		side->pages[i] = side->out + i * PAGE_SIZE;
	actor = squashfs_page_actor_init(side->pages, pages, max);
	if (!actor)
		return -ENOMEM;

	bio_init(&bio, NULL, sq->vecs, BLOCK_PAGES, REQ_OP_READ);
	for (i = 0; i < nr; i++)
		__bio_add_page(&bio, vmalloc_to_page(sq->packed + i * PAGE_SIZE),
			       PAGE_SIZE, 0);
	res = side->ops->decompress(sq->msblk, side->stream, &bio, at, size, actor);
	bio_uninit(&bio);
	kfree(actor);

	return res;
}

static bool good_block_is_right(struct squash *sq, unsigned int len, unsigned int at)
{
	unsigned int size = make_block(sq, len);

	if (!size)
		return true;

	memmove(sq->packed + at, sq->packed, size);
	memset(sq->sbm.out, 0xaa, len);

	return unsquash(sq, &sq->sbm, at, size, len) == len &&
	       !memcmp(sq->sbm.out, sq->plain, len);
}

static void good_blocks_are_right(struct kunit *test)
{
	static const unsigned int sizes[] = {
		32, 100, 4095, 4096, 4097, 8192, 12345, SZ_128K, SZ_256K, BLOCK_MAX,
	};
	struct squash *sq = test->priv;
	u64 before = all_stops();
	unsigned int i, j;

	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		for (j = 0; j < 20; j++)
			KUNIT_EXPECT_TRUE(test, good_block_is_right(sq, sizes[i],
								    below(sq, 512)));
	KUNIT_EXPECT_EQ(test, all_stops(), before);
}

/* Change, cut or extend a block. Returns its new size. */
static unsigned int damage(struct squash *sq, unsigned int size)
{
	unsigned int n = 1 + below(sq, 6);

	while (n--) {
		unsigned int at = below(sq, size);
		unsigned int len = min(1 + below(sq, 16), size - at);

		switch (below(sq, 8)) {
		case 0:
			sq->packed[at] ^= 1 << below(sq, 8);
			break;
		case 1:
			sq->packed[at] = below(sq, 256);
			break;
		case 2:
			/* The longest lengths */
			memset(sq->packed + at, 0xff, len);
			break;
		case 3:
			/* The longest and the shortest distances */
			memset(sq->packed + at, below(sq, 2) ? 0xff : 0, min(len, 2U));
			break;
		case 4:
			size = at + 1;
			break;
		case 5:
			prandom_bytes_state(&sq->rnd, sq->packed + size, len);
			size += len;
			break;
		case 6:
			memmove(sq->packed + at, sq->packed + below(sq, size - len + 1),
				len);
			break;
		default:
			/* A token: how many literals, and how long a match */
			sq->packed[at] = below(sq, 2) ? 0xf0 : 0x0f;
		}
	}

	return size;
}

static void damaged_blocks_do_no_harm(struct kunit *test)
{
	struct squash *sq = test->priv;
	u64 before = all_stops(), stopped;
	unsigned int i, refused = 0, right = 0, wrong = 0;

	for (i = 0; i < mutations; i++) {
		unsigned int len = 64 + below(sq, DAMAGED_MAX - 64);
		unsigned int size = make_block(sq, len);
		int res, expect;

		if (!size) {
			i--;
			continue;
		}
		size = damage(sq, size);
		/* Sometimes there is less room than the block wants */
		if (!below(sq, 4))
			len = 1 + below(sq, len);

		/* What lies behind what it may write must stay as it is */
		memset(sq->sbm.out, 0xaa, DAMAGED_MAX + PAGE_SIZE);
		res = unsquash(sq, &sq->sbm, 0, size, len);
		if (res < 0)
			refused++;
		if (hostile) {
			right += res <= (int)len;
		} else {
			expect = unsquash(sq, &sq->ref, 0, size, len);
			right += res == expect &&
				 (res < 0 || !memcmp(sq->sbm.out, sq->ref.out, res));
		}
		if (memchr_inv(sq->sbm.out + len, 0xaa, DAMAGED_MAX + PAGE_SIZE - len))
			wrong++;
		if (i % 100 == 0 && !good_block_is_right(sq, 64 + below(sq, DAMAGED_MAX - 64), 0))
			wrong++;
		cond_resched();
	}

	stopped = all_stops() - before;
	kunit_info(test, "damaged blocks: %u of %u as they should be, %u refused, %llu stopped\n",
		   right, mutations, refused, stopped);
	KUNIT_EXPECT_EQ(test, right, mutations);
	KUNIT_EXPECT_EQ(test, wrong, 0);
	if (!hostile)
		KUNIT_EXPECT_EQ(test, stopped, 0);
}

/**
 * struct reading - a thread that reads a block until it is killed
 * @worker: The thread.
 * @sq:	    What it reads from.
 * @size:   Size of the block, which is of %BLOCK_MAX bytes.
 * @nr:	    How often it has begun to read.
 */
struct reading {
	struct worker	worker;
	struct squash	*sq;
	unsigned int	size;
	unsigned int	nr;
};

static int read_until_killed(struct worker *worker)
{
	struct reading *r = worker->data;
	struct squash *sq = r->sq;
	unsigned int right = 0;
	bool killed;

	allow_signal(SIGKILL);
	do {
		/* The last time it is killed before it begins */
		killed = fatal_signal_pending(current);
		WRITE_ONCE(r->nr, r->nr + 1);
		memset(sq->sbm.out, 0xaa, SZ_4K);
		if (unsquash(sq, &sq->sbm, 0, r->size, BLOCK_MAX) == BLOCK_MAX &&
		    !memcmp(sq->sbm.out, sq->plain, BLOCK_MAX))
			right++;
		cond_resched();
	} while (!killed);
	flush_signals(current);

	return r->nr - right;
}

/* The target has these from the start, and what it says is a block goes to a file */
static void buffers_are_clean(struct kunit *test)
{
	struct squash *sq = test->priv;
	unsigned int i, dirty = 0;

	for (i = 0; i < 8; i++) {
		struct squashfs_lz4 *stream = sq->sbm.ops->init(sq->msblk, NULL);

		KUNIT_ASSERT_FALSE(test, IS_ERR(stream));
		dirty += !!memchr_inv(stream->input, 0, BLOCK_MAX);
		dirty += !!memchr_inv(stream->output, 0, BLOCK_MAX);
		/* These pages are what the next one gets, as likely as not */
		memset64(stream->input, 0x5a5a5a5a5a5a5a5aULL, BLOCK_MAX / sizeof(u64));
		memset64(stream->output, 0x5a5a5a5a5a5a5a5aULL, BLOCK_MAX / sizeof(u64));
		sq->sbm.ops->free(stream);
	}
	KUNIT_EXPECT_EQ(test, dirty, 0);
}

static void killed_reader_gets_its_block(struct kunit *test)
{
	struct squash *sq = test->priv;
	struct reading r = {
		.worker	= { .fn = read_until_killed, .data = &r, .cpu = -1, },
		.sq	= sq,
		.size	= make_block(sq, BLOCK_MAX),
	};
	u64 before = stops_for(SBM_CAUSE_SIGNAL);
	unsigned int i;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	KUNIT_ASSERT_NE(test, r.size, 0);
	/* Until it was killed inside, too */
	for (i = 0; i < 100 && stops_for(SBM_CAUSE_SIGNAL) == before; i++) {
		r.nr = 0;
		KUNIT_ASSERT_EQ(test, worker_start(&r.worker), 0);
		while (!READ_ONCE(r.nr))
			schedule_timeout_uninterruptible(1);
		usleep_range(100 * (i % 20), 100 * (i % 20) + 200);
		send_sig(SIGKILL, r.worker.task, 1);
		KUNIT_EXPECT_EQ(test, worker_finish(&r.worker), 0);
	}
	if (IS_ENABLED(CONFIG_DEBUG_FS))
		KUNIT_EXPECT_GT(test, stops_for(SBM_CAUSE_SIGNAL), before);
	KUNIT_EXPECT_TRUE(test, good_block_is_right(sq, SZ_4K, 0));
}

/* Best of a few, in nanoseconds. In an emulator that counts, these are instructions. */
static u64 time_of(struct squash *sq, struct side *side, unsigned int size,
		   unsigned int len)
{
	u64 best = U64_MAX;
	unsigned int i;

	for (i = 0; i < 8; i++) {
		u64 start = ktime_get_ns();

		unsquash(sq, side, 0, size, len);
		best = min(best, ktime_get_ns() - start);
	}

	return best;
}

static void throughput_is_told(struct kunit *test)
{
	static const unsigned int sizes[] = { SZ_4K, SZ_8K, SZ_128K, BLOCK_MAX };
	struct squash *sq = test->priv;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		unsigned int len = sizes[i], size = make_block(sq, len);
		u64 outside, inside;

		KUNIT_ASSERT_NE(test, size, 0);
		outside = time_of(sq, &sq->ref, size, len);
		inside = time_of(sq, &sq->sbm, size, len);
		kunit_info(test, "throughput: %u bytes from %u: outside %llu, inside %llu, %llu per mille\n",
			   len, size, outside, inside,
			   div64_u64(outside * 1000, max(inside, 1ULL)));
		KUNIT_EXPECT_MEMEQ(test, sq->sbm.out, sq->plain, len);
		KUNIT_EXPECT_MEMEQ(test, sq->ref.out, sq->plain, len);
	}
}

static struct kunit_case sbm_squashfs_cases[] = {
	KUNIT_CASE(good_blocks_are_right),
	KUNIT_CASE_SLOW(damaged_blocks_do_no_harm),
	KUNIT_CASE(buffers_are_clean),
	KUNIT_CASE(killed_reader_gets_its_block),
	KUNIT_CASE(throughput_is_told),
	{}
};

static struct kunit_suite sbm_squashfs_suite = {
	.name		= "sbm_squashfs",
	.init		= sbm_squashfs_init,
	.exit		= sbm_squashfs_exit,
	.test_cases	= sbm_squashfs_cases,
};

kunit_test_suite(sbm_squashfs_suite);

MODULE_DESCRIPTION("KUnit suite for squashfs in sandbox mode");
MODULE_LICENSE("GPL");
