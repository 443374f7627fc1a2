// SPDX-License-Identifier: GPL-2.0
/*
 * X.509 certificate parser in a sandbox: the side inside.
 *
 * The parser as it is, built for the inside, up to where it has decoded a certificate; and
 * what it needs of other files.
 */
#define X509_DECODE_ONLY
#include "x509_cert_parser.c"
#include "x509_sbm.h"

/* The kernel's own is among code that is none of a parser's business */
struct asymmetric_key_id *asymmetric_key_generate_id(const void *val_1, size_t len_1,
						     const void *val_2, size_t len_2)
{
	struct asymmetric_key_id *kid;

	/* Both are parts of a certificate, which has 64 KiB at most */
	kid = kmalloc(struct_size(kid, data, len_1 + len_2), GFP_KERNEL);
	if (!kid)
		return ERR_PTR(-ENOMEM);
	kid->len = len_1 + len_2;
	memcpy(kid->data, val_1, len_1);
	memcpy(kid->data + len_1, val_2, len_2);

	return kid;
}

int x509_decode_inside(void *arg)
{
	struct x509_inside *in = arg;

	in->ctx.cert = &in->cert;
	in->ctx.data = (unsigned long)in->data;
	in->cert.pub = &in->pub;
	in->cert.sig = &in->sig;

	return x509_decode(&in->ctx, in->data, in->size);
}
