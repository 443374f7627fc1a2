/* SPDX-License-Identifier: GPL-2.0 */
/*
 * X.509 certificate parser in a sandbox: what its two sides share.
 */
#ifndef _X509_SBM_H
#define _X509_SBM_H

/* x509_parser.h, which cannot be included twice, comes before this */
#include <linux/types.h>

/**
 * struct x509_inside - what the decoder gets and leaves in its sandbox
 * @data: The certificate.
 * @size: Its size.
 * @ctx:  What the decoder has found. All pointers are addresses in the sandbox.
 * @cert: The same, as &x509_parse_context.cert.
 * @pub:  The same, as &x509_certificate.pub.
 * @sig:  The same, as &x509_certificate.sig.
 */
struct x509_inside {
	const void			*data;
	size_t				size;
	struct x509_parse_context	ctx;
	struct x509_certificate		cert;
	struct public_key		pub;
	struct public_key_signature	sig;
};

/* The target: its name where it is, and the one by which the rest of the kernel has it */
int x509_decode_inside(void *arg);
int sbm_guest_x509_decode_inside(void *arg);

/*
 * Decode the certificate @data of @size bytes with the target @decode, and fill in @ctx
 * and the structures to which it leads. Return: what x509_decode() returns. A target that
 * was stopped, or has a result that cannot be, is -EBADMSG.
 */
int x509_decode_by(int (*decode)(void *arg), struct x509_parse_context *ctx,
		   const void *data, size_t size);

#endif /* _X509_SBM_H */
