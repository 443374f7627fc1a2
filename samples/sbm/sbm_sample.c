// SPDX-License-Identifier: GPL-2.0
/*
 * Sandbox mode (SBM): a module that calls functions in a sandbox: the kernel's LZO
 * decompressor, unchanged, and one of its own.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/module.h>
#include <linux/sbm.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/types.h>

/* Needs what comes before */
#include <linux/lzo.h>

#define SAMPLE_SIZE	10000

/* Make the decompressor callable; the build fails if lzo.h declares it otherwise */
SBM_DEFINE_CALL(lzo1x_decompress_safe, const unsigned char *, src, size_t, src_len,
		unsigned char *, dst, size_t *, dst_len)

/* A target in this module: the module cannot be unloaded while a sandbox has it */
static SBM_DEFINE_FUNC(sbm_sample_target, int, value)
{
	return value + 1;
}

/*
 * Decompress @src to @dst, which has room for *@dst_len bytes. @claim is what the
 * decompressor believes to be there; a caller that is not out for trouble passes
 * *@dst_len.
 *
 * Return: 0, an error of the sandbox, or a (positive or negative) LZO error.
 */
static int sandboxed_decompress(const u8 *src, size_t src_len, u8 *dst,
				size_t *dst_len, size_t claim)
{
	size_t room = *dst_len;
	struct sbm sbm;
	int err;

	*dst_len = claim;
	sbm_init(&sbm);
	err = sbm_call(&sbm, lzo1x_decompress_safe,
		       SBM_COPY_IN(&sbm, src, src_len), src_len,
		       SBM_COPY_OUT(&sbm, dst, room),
		       SBM_COPY_INOUT(&sbm, dst_len, sizeof(*dst_len)));
	if (sbm_error(&sbm) && sbm_fault(&sbm))
		pr_info("stopped: %s\n", sbm_cause_name(sbm_fault(&sbm)->cause));
	sbm_destroy(&sbm);

	/* The target's word is not to be trusted */
	if (!err && *dst_len > room)
		err = -EIO;

	return err;
}

static int sample_run(u8 *text, u8 *packed, u8 *out, void *work)
{
	size_t packed_len, out_len;
	struct sbm sbm;
	unsigned int i;
	int err;

	for (i = 0; i < SAMPLE_SIZE; i++)
		text[i] = "sandbox"[i % 7] + i / 1000;
	if (lzo1x_1_compress(text, SAMPLE_SIZE, packed, &packed_len, work) != LZO_E_OK)
		return -EIO;

	out_len = SAMPLE_SIZE;
	err = sandboxed_decompress(packed, packed_len, out, &out_len, out_len);
	pr_info("good data: %d, %zu bytes, %s\n", err, out_len,
		memcmp(text, out, SAMPLE_SIZE) ? "different" : "the same");
	if (err || out_len != SAMPLE_SIZE || memcmp(text, out, SAMPLE_SIZE))
		return -EIO;

	/* LZO notices that the data ends too early */
	out_len = SAMPLE_SIZE;
	err = sandboxed_decompress(packed, packed_len / 2, out, &out_len, out_len);
	pr_info("half of the data: %d\n", err);
	if (err != LZO_E_INPUT_OVERRUN)
		return -EIO;

	/* LZO cannot notice that the buffer is shorter than it was told */
	out_len = PAGE_SIZE;
	memset(out, 0xa5, SAMPLE_SIZE);
	err = sandboxed_decompress(packed, packed_len, out, &out_len, SAMPLE_SIZE);
	pr_info("a buffer that is too short: %d, output %s\n", err,
		memchr_inv(out, 0xa5, SAMPLE_SIZE) ? "changed" : "untouched");
	if (err != -EFAULT || memchr_inv(out, 0xa5, SAMPLE_SIZE))
		return -EIO;

	sbm_init(&sbm);
	err = sbm_call(&sbm, sbm_sample_target, 41);
	pr_info("a target in this module: %d\n", err);
	sbm_destroy(&sbm);
	if (err != 42)
		return -EIO;

	return 0;
}

static int __init sample_init(void)
{
	u8 *text, *packed, *out;
	void *work;
	int err;

	if (sbm_isolation() < SBM_ISOLATION_STRONG) {
		pr_info("no strong isolation here\n");
		return -EOPNOTSUPP;
	}

	text = kmalloc(SAMPLE_SIZE, GFP_KERNEL);
	packed = kmalloc(lzo1x_worst_compress(SAMPLE_SIZE), GFP_KERNEL);
	out = kmalloc(SAMPLE_SIZE, GFP_KERNEL);
	work = kmalloc(LZO1X_1_MEM_COMPRESS, GFP_KERNEL);
	if (text && packed && out && work)
		err = sample_run(text, packed, out, work);
	else
		err = -ENOMEM;
	kfree(work);
	kfree(out);
	kfree(packed);
	kfree(text);

	if (!err)
		pr_info("all as expected\n");

	return err;
}

static void __exit sample_exit(void)
{
}

module_init(sample_init);
module_exit(sample_exit);

MODULE_DESCRIPTION("Sandbox mode sample");
MODULE_LICENSE("GPL");
