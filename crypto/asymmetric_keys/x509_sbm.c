// SPDX-License-Identifier: GPL-2.0
/*
 * X.509 certificate parser in a sandbox: the kernel's side.
 *
 * The decoder and the functions that it calls back run inside, in a copy of them that is
 * built for that. What they leave is taken for an attacker's: each pointer must lead into
 * the certificate, or is copied from what the sandbox can read; each number must be one
 * that the parser can produce; algorithms are named by the kernel, from their OIDs.
 *
 * A decoder that was taken over can still lie about what a certificate says. Therefore
 * all that the signature is to cover must lie within what it covers.
 */
#include <kunit/static_stub.h>
#include <linux/err.h>
#include <linux/minmax.h>
#include <linux/nospec.h>
#include <linux/oid_registry.h>
#include <linux/overflow.h>
#include <linux/sbm.h>
#include <linux/sbm_host.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/time64.h>

#include "x509.asn1.h"
#include "x509_parser.h"
#include "x509_sbm.h"

/* The decoder takes no more */
#define MAX_SIZE	65535

/* Organization and name, at most 255 bytes each, and what is between and behind them */
#define MAX_NAME	(255 + 2 + 255 + 1)

#define ALL_EFLAGS	(BIT(KEY_EFLAG_CA) | BIT(KEY_EFLAG_DIGITALSIG) | \
			 BIT(KEY_EFLAG_KEYCERTSIGN))

/**
 * struct region - bytes of the certificate
 * @inside: Where the sandbox has them.
 * @data:   Where the caller has them.
 * @size:   How many.
 */
struct region {
	unsigned long	inside;
	const void	*data;
	size_t		size;
};

/* @size bytes at the address @p in the sandbox: where the caller has them, if in @whole */
static int take_region(struct region *part, const struct region *whole, const void *p,
		       size_t size)
{
	unsigned long offset = (unsigned long)p - whole->inside;

	if (!sbm_check_range(offset, size, whole->size))
		return -EBADMSG;

	offset = array_index_nospec(offset, whole->size + 1);
	part->inside = whole->inside + offset;
	part->data = whole->data + offset;
	part->size = size;

	return 0;
}

/* The same, as a pointer and a number. Nothing, if there is none and it @may_lack. */
static int take(const void **data, unsigned int *len, const struct region *whole,
		const void *p, size_t size, bool may_lack)
{
	struct region part;
	int err;

	if (!p && !size && may_lack)
		return 0;

	err = take_region(&part, whole, p, size);
	if (err)
		return err;
	*data = part.data;
	*len = part.size;

	return 0;
}

/* A string that the decoder has made */
static int take_name(struct sbm *sbm, char **name, const char *p)
{
	long len;

	*name = kmalloc(MAX_NAME, GFP_KERNEL);
	if (!*name)
		return -ENOMEM;
	len = sbm_strncpy_from(sbm, *name, sbm_ptr(p), MAX_NAME);

	return len < 0 ? -EBADMSG : 0;
}

/* An id that the decoder has made of parts of the certificate */
static int take_id(struct sbm *sbm, struct asymmetric_key_id **id,
		   const struct asymmetric_key_id *p, size_t max)
{
	struct asymmetric_key_id head;

	if (!p)
		return 0;
	if (sbm_copy_from(sbm, &head, sbm_ptr(p), sizeof(head)) || head.len > max)
		return -EBADMSG;

	*id = kmalloc(struct_size(*id, data, head.len), GFP_KERNEL);
	if (!*id)
		return -ENOMEM;
	(*id)->len = head.len;
	if (sbm_copy_from(sbm, (*id)->data,
			  sbm_ptr((const u8 *)p + offsetof(typeof(head), data)), head.len))
		return -EBADMSG;

	return 0;
}

/* An id of nothing but bytes that were checked */
static int make_id(struct asymmetric_key_id **id, const void *data, size_t len)
{
	struct asymmetric_key_id *new = asymmetric_key_generate_id(data, len, "", 0);

	if (IS_ERR(new))
		return PTR_ERR(new);
	*id = new;

	return 0;
}

static bool time_can_be(time64_t time)
{
	return time >= 0 && time <= mktime64(9999, 12, 31, 24, 59, 60);
}

/*
 * Algorithms are what the parser's own functions say of the OIDs. They have accepted these
 * OIDs inside, so they must again; and the same for the key, which has one byte before it.
 */
static int take_algos(struct x509_parse_context *ctx, const struct x509_inside *in,
		      const struct region *tbs)
{
	const void *params = NULL, *key = NULL;
	unsigned int params_size = 0, key_size = 0;
	int err;

	ctx->last_oid = in->ctx.sig_algo;
	if (ctx->last_oid >= OID__NR || x509_note_sig_algo(ctx, 0, 0, NULL, 0))
		return -EBADMSG;

	err = take(&params, &params_size, tbs, in->ctx.params, in->ctx.params_size, true);
	if (err)
		return err;
	ctx->params = params;
	ctx->params_size = params_size;

	if (in->ctx.key_size >= tbs->size)
		return -EBADMSG;
	err = take(&key, &key_size, tbs, in->ctx.key - 1, in->ctx.key_size + 1, false);
	if (err)
		return err;
	ctx->last_oid = in->ctx.key_algo;
	if (ctx->last_oid >= OID__NR || x509_extract_key_data(ctx, 0, 0, key, key_size))
		return -EBADMSG;

	return 0;
}

/* Fill in @ctx from @in, which the target has written */
static int take_result(struct sbm *sbm, struct x509_parse_context *ctx,
		       const struct x509_inside *in, const struct region *all)
{
	const struct x509_certificate *from = &in->cert;
	struct x509_certificate *cert = ctx->cert;
	struct public_key_signature *sig = cert->sig;
	struct region tbs;
	int err;

	err = take_region(&tbs, all, from->tbs, from->tbs_size);
	if (err)
		return err;
	cert->tbs = tbs.data;
	cert->tbs_size = tbs.size;

	err = take(&cert->raw_sig, &cert->raw_sig_size, all, from->raw_sig,
		   from->raw_sig_size, false);
	if (!err)
		err = take(&cert->raw_serial, &cert->raw_serial_size, &tbs,
			   from->raw_serial, from->raw_serial_size, false);
	if (!err)
		err = take(&cert->raw_issuer, &cert->raw_issuer_size, &tbs,
			   from->raw_issuer, from->raw_issuer_size, false);
	if (!err)
		err = take(&cert->raw_subject, &cert->raw_subject_size, &tbs,
			   from->raw_subject, from->raw_subject_size, false);
	if (!err)
		err = take(&cert->raw_skid, &cert->raw_skid_size, &tbs, from->raw_skid,
			   from->raw_skid_size, true);
	if (!err)
		err = take_algos(ctx, in, &tbs);
	if (err)
		return err;

	if (!time_can_be(from->valid_from) || !time_can_be(from->valid_to) ||
	    in->pub.key_eflags & ~ALL_EFLAGS)
		return -EBADMSG;
	cert->valid_from = from->valid_from;
	cert->valid_to = from->valid_to;
	cert->pub->key_eflags = in->pub.key_eflags;

	err = make_id(&sig->auth_ids[2], cert->raw_issuer, cert->raw_issuer_size);
	/* Zero bytes would be the id of many */
	if (!err && cert->raw_skid && !cert->raw_skid_size)
		err = -EBADMSG;
	if (!err && cert->raw_skid)
		err = make_id(&cert->skid, cert->raw_skid, cert->raw_skid_size);
	if (!err)
		err = take_id(sbm, &sig->auth_ids[0], in->sig.auth_ids[0], all->size);
	if (!err)
		err = take_id(sbm, &sig->auth_ids[1], in->sig.auth_ids[1], all->size);
	if (!err)
		err = take_name(sbm, &cert->issuer, from->issuer);
	if (!err)
		err = take_name(sbm, &cert->subject, from->subject);

	return err;
}

/* What the target has returned: an error that the decoder can have, or success */
static int take_verdict(const struct sbm *sbm, int ret)
{
	switch (sbm_error(sbm)) {
	case 0:
		break;
	case -EFAULT:
	case -ETIME:
		/* Stopped. The log says why. */
		return -EBADMSG;
	default:
		return sbm_error(sbm);
	}

	switch (ret) {
	case 0:
	case -EINVAL:
	case -ENOMEM:
	case -ENOPKG:
		return ret;
	default:
		return -EBADMSG;
	}
}

int x509_decode_by(int (*decode)(void *arg), struct x509_parse_context *ctx,
		   const void *data, size_t size)
{
	const struct sbm_attr attr = {
		/* Parts of it as ids, the issuer twice; names; what the heap itself needs */
		.heap_size	= 3 * size + 4 * PAGE_SIZE,
		.log_size	= PAGE_SIZE,
		/*
		 * Ten thousand times what the largest one takes, since a host that has
		 * better to do than run this machine counts as well: a
		 * certificate of the kernel's own must not fail for that.
		 */
		.time_limit	= 10ULL * NSEC_PER_SEC,
	};
	struct x509_inside *in;
	struct region all = { .data = data, .size = size, };
	struct sbm sbm;
	int ret;

	if (size > MAX_SIZE)
		return -EMSGSIZE;

	in = kzalloc(sizeof(*in), GFP_KERNEL);
	if (!in)
		return -ENOMEM;

	sbm_init_attr(&sbm, &attr);
	in->data = SBM_COPY_IN(&sbm, data, size);
	in->size = size;
	all.inside = (unsigned long)in->data;
	ret = sbm_exec(&sbm, decode, SBM_COPY_INOUT(&sbm, in, sizeof(*in)));
	ret = take_verdict(&sbm, ret);
	if (!ret)
		ret = take_result(&sbm, ctx, in, &all);
	sbm_destroy(&sbm);
	kfree(in);

	return ret;
}

int x509_decode_sbm(struct x509_parse_context *ctx, const void *data, size_t size)
{
	KUNIT_STATIC_STUB_REDIRECT(x509_decode_sbm, ctx, data, size);

	return x509_decode_by(sbm_guest_x509_decode_inside, ctx, data, size);
}
