// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit suite sbm_x509: the X.509 certificate parser in a sandbox.
 *
 * Its verdicts, and all that it says of a certificate, are compared with those of the same
 * parser outside. Then targets lie to the code that takes what the parser has found.
 *
 * A few certificates are built in. With sbm_x509_kunit.corpus=FILE, which is written by
 * scripts/sbm/x509/mkcorpus and read when the suite runs, there are as many as one likes.
 */
#include <kunit/static_stub.h>
#include <kunit/test.h>
#include <linux/array_size.h>
#include <linux/asn1_decoder.h>
#include <linux/err.h>
#include <linux/ktime.h>
#include <linux/math64.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/prandom.h>
#include <linux/processor.h>
#include <linux/sbm.h>
#include <linux/sbm_host.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/tracepoint.h>
#include <linux/unaligned.h>
#include <linux/vmalloc.h>

#include <trace/events/sbm.h>

#include "../../crypto/asymmetric_keys/x509_parser.h"
#include "../../crypto/asymmetric_keys/x509_sbm.h"
#include "sbm_kunit.h"
#include "sbm_kunit_customer.h"
#include "sbm_x509_certs.h"

/* Of the parser as it is built for the kernel */
extern const struct asn1_decoder x509_decoder;
extern const struct asn1_decoder x509_akid_decoder;

static char *corpus;
module_param(corpus, charp, 0644);
MODULE_PARM_DESC(corpus, "file with certificates, made by scripts/sbm/x509/mkcorpus");

/* === What is seen of calls === */

/**
 * struct seen - calls of this task, and what has ended them
 * @task:   The task.
 * @calls:  Calls of the decoder.
 * @events: What has ended a stay in a sandbox.
 * @stops:  Targets that were stopped.
 * @fault:  Why, the last time.
 */
static struct seen {
	struct task_struct	*task;
	unsigned int		calls;
	unsigned int		events;
	unsigned int		stops;
	struct sbm_fault	fault;
} seen;

static void probe_enter(void *data, u64 id, unsigned long target, unsigned long caller)
{
	if (current == seen.task && target == (unsigned long)sbm_guest_x509_decode_inside)
		seen.calls++;
}

static void probe_event(void *data, u64 id, unsigned int vector, unsigned long ip)
{
	if (current == seen.task)
		seen.events++;
}

static void probe_fault(void *data, u64 id, const struct sbm_fault *fault)
{
	if (current != seen.task)
		return;
	seen.stops++;
	seen.fault = *fault;
}

static int x509_init(struct kunit *test)
{
	int err;

	if (!IS_ENABLED(CONFIG_TRACEPOINTS))
		kunit_skip(test, "no trace points in this kernel");

	memset(&seen, 0, sizeof(seen));
	seen.task = current;
	err = register_trace_sbm_enter(probe_enter, NULL);
	if (err) {
		seen.task = NULL;
		return err;
	}
	err = register_trace_sbm_event(probe_event, NULL);
	if (err)
		goto out_enter;
	err = register_trace_sbm_fault(probe_fault, NULL);
	if (err)
		goto out_event;

	return 0;

out_event:
	unregister_trace_sbm_event(probe_event, NULL);
out_enter:
	unregister_trace_sbm_enter(probe_enter, NULL);
	seen.task = NULL;

	return err;
}

static void x509_exit(struct kunit *test)
{
	/* After a case was skipped at its begin there is none */
	if (!seen.task)
		return;
	seen.task = NULL;
	unregister_trace_sbm_enter(probe_enter, NULL);
	unregister_trace_sbm_event(probe_event, NULL);
	unregister_trace_sbm_fault(probe_fault, NULL);
	tracepoint_synchronize_unregister();
}

/* === Both parsers === */

/* What x509_decode() is where the parser has no sandbox */
static int decode_plain(struct x509_parse_context *ctx, const void *data, size_t size)
{
	int ret;

	ret = asn1_ber_decoder(&x509_decoder, ctx, data, size);
	if (ret >= 0 && ctx->raw_akid)
		ret = asn1_ber_decoder(&x509_akid_decoder, ctx, ctx->raw_akid,
				       ctx->raw_akid_size);

	return ret;
}

static struct x509_certificate *parse_plain(struct kunit *test, const void *data, size_t size)
{
	struct x509_certificate *cert;

	kunit_activate_static_stub(test, x509_decode_sbm, decode_plain);
	cert = x509_cert_parse(data, size);
	kunit_deactivate_static_stub(test, x509_decode_sbm);

	return cert;
}

static bool same_string(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

static bool same_id(const struct asymmetric_key_id *a, const struct asymmetric_key_id *b)
{
	return (!a && !b) || asymmetric_key_id_same(a, b);
}

static bool same_bytes(const void *a, size_t len_a, const void *b, size_t len_b)
{
	return len_a == len_b && !memcmp(a, b, len_a);
}

/* The first field in which two certificates made of the same bytes differ, or NULL */
static const char *difference(const struct x509_certificate *a,
			      const struct x509_certificate *b)
{
	int i;

	if (a->tbs != b->tbs)
		return "tbs";
	if (a->tbs_size != b->tbs_size)
		return "tbs_size";
	if (a->raw_sig != b->raw_sig)
		return "raw_sig";
	if (a->raw_sig_size != b->raw_sig_size)
		return "raw_sig_size";
	if (a->raw_serial != b->raw_serial)
		return "raw_serial";
	if (a->raw_serial_size != b->raw_serial_size)
		return "raw_serial_size";
	if (a->raw_issuer != b->raw_issuer)
		return "raw_issuer";
	if (a->raw_issuer_size != b->raw_issuer_size)
		return "raw_issuer_size";
	if (a->raw_subject != b->raw_subject)
		return "raw_subject";
	if (a->raw_subject_size != b->raw_subject_size)
		return "raw_subject_size";
	if (a->raw_skid != b->raw_skid)
		return "raw_skid";
	if (a->raw_skid_size != b->raw_skid_size)
		return "raw_skid_size";
	if (a->valid_from != b->valid_from)
		return "valid_from";
	if (a->valid_to != b->valid_to)
		return "valid_to";
	if (a->self_signed != b->self_signed)
		return "self_signed";
	if (a->unsupported_sig != b->unsupported_sig)
		return "unsupported_sig";
	if (a->blacklisted != b->blacklisted)
		return "blacklisted";
	if (a->pub->algo != b->pub->algo)
		return "pub->algo";
	if (a->pub->key_is_private != b->pub->key_is_private)
		return "pub->key_is_private";
	if (a->pub->key_eflags != b->pub->key_eflags)
		return "pub->key_eflags";
	if (!same_string(a->issuer, b->issuer))
		return "issuer";
	if (!same_string(a->subject, b->subject))
		return "subject";
	if (!same_id(a->id, b->id))
		return "id";
	if (!same_id(a->skid, b->skid))
		return "skid";
	if (!same_bytes(a->pub->key, a->pub->keylen, b->pub->key, b->pub->keylen))
		return "pub->key";
	if (!same_bytes(a->pub->params, a->pub->paramlen, b->pub->params, b->pub->paramlen))
		return "pub->params";
	if (!same_string(a->pub->pkey_algo, b->pub->pkey_algo))
		return "pub->pkey_algo";
	for (i = 0; i < ARRAY_SIZE(a->sig->auth_ids); i++) {
		if (!same_id(a->sig->auth_ids[i], b->sig->auth_ids[i]))
			return "sig->auth_ids";
	}
	if (!same_bytes(a->sig->s, a->sig->s_size, b->sig->s, b->sig->s_size))
		return "sig->s";
	if (!same_string(a->sig->pkey_algo, b->sig->pkey_algo))
		return "sig->pkey_algo";
	if (!same_string(a->sig->hash_algo, b->sig->hash_algo))
		return "sig->hash_algo";
	if (!same_string(a->sig->encoding, b->sig->encoding))
		return "sig->encoding";

	return NULL;
}

/*
 * Have both parsers look at @size bytes. True: both take them for a certificate, and say
 * the same of it. @what and @nr are for messages.
 */
static bool compare(struct kunit *test, const void *data, size_t size, const char *what,
		    unsigned int nr)
{
	struct x509_certificate *in, *out;
	const char *differs = NULL;
	unsigned int calls = seen.calls, stops = seen.stops;
	bool ok = false;

	out = parse_plain(test, data, size);
	KUNIT_EXPECT_EQ_MSG(test, seen.calls, calls, "%s %u: the plain one is not", what, nr);
	in = x509_cert_parse(data, size);
	/* What is too large for the decoder is not even shown to it */
	if (size <= U16_MAX)
		KUNIT_EXPECT_EQ_MSG(test, seen.calls, calls + 1, "%s %u: no call", what, nr);
	KUNIT_EXPECT_EQ_MSG(test, seen.stops, stops, "%s %u: stopped", what, nr);

	if (IS_ERR(out) || IS_ERR(in)) {
		KUNIT_EXPECT_EQ_MSG(test, PTR_ERR_OR_ZERO(in), PTR_ERR_OR_ZERO(out),
				    "%s %u: verdict", what, nr);
	} else {
		differs = difference(in, out);
		KUNIT_EXPECT_TRUE_MSG(test, !differs, "%s %u: %s differs", what, nr, differs);
		ok = !differs;
	}
	if (!IS_ERR(out))
		x509_free_certificate(out);
	if (!IS_ERR(in))
		x509_free_certificate(in);

	return ok;
}

/* === Good ones and bad ones === */

static void good_certificates_are_parsed(struct kunit *test)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sbm_x509_samples); i++) {
		const struct sbm_x509_sample *s = &sbm_x509_samples[i];
		struct x509_certificate *cert;

		KUNIT_EXPECT_TRUE_MSG(test, compare(test, s->der, s->len, s->title, i),
				      "%s", s->title);

		/* And by what openssl was told, which no parser has seen */
		cert = x509_cert_parse(s->der, s->len);
		KUNIT_ASSERT_FALSE_MSG(test, IS_ERR(cert), "%s: %ld", s->title, PTR_ERR(cert));
		KUNIT_EXPECT_STREQ(test, cert->subject, s->subject);
		/* Tag and three bytes of length: each has some hundred bytes */
		KUNIT_EXPECT_PTR_EQ(test, cert->tbs, (const void *)s->der + 4);
		x509_free_certificate(cert);
	}
}

/* Another byte here or there, or an end that comes too early */
static size_t mutate(struct rnd_state *rnd, u8 *der, size_t size)
{
	static const u8 special[] = { 0, 1, 0x7f, 0x80, 0x81, 0x82, 0x88, 0xff };
	unsigned int n = 1 + prandom_u32_state(rnd) % 3;

	while (n--) {
		u8 *at = der + prandom_u32_state(rnd) % size;

		switch (prandom_u32_state(rnd) % 4) {
		case 0:
			*at ^= 1 << prandom_u32_state(rnd) % 8;
			break;
		case 1:
			*at += prandom_u32_state(rnd) % 2 ? 1 : -1;
			break;
		default:
			*at = special[prandom_u32_state(rnd) % ARRAY_SIZE(special)];
		}
	}

	return prandom_u32_state(rnd) % 8 ? size : prandom_u32_state(rnd) % size;
}

static void mutated_certificates_get_the_same_verdict(struct kunit *test)
{
	unsigned int i, n, accepted = 0, nr = 0;
	struct rnd_state rnd;
	size_t size;
	u8 *der;

	prandom_seed_state(&rnd, 758);
	for (i = 0; i < ARRAY_SIZE(sbm_x509_samples); i++) {
		const struct sbm_x509_sample *s = &sbm_x509_samples[i];

		der = kunit_kmalloc(test, s->len, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, der);
		for (n = 0; n < 32; n++) {
			memcpy(der, s->der, s->len);
			size = mutate(&rnd, der, s->len);
			accepted += compare(test, der, size, s->title, n);
			nr++;
			cond_resched();
		}
	}
	KUNIT_EXPECT_LT(test, accepted, nr);
	kunit_info(test, "%u mutated certificates, %u accepted\n", nr, accepted);
}

static void odd_sizes_get_the_same_verdict(struct kunit *test)
{
	const struct sbm_x509_sample *s = &sbm_x509_samples[1];
	size_t big = 2 * U16_MAX;
	unsigned int n;
	u8 *der;

	/* Ends on a page, begins in the middle of one, and more than there is room for */
	der = vzalloc(big + PAGE_SIZE);
	KUNIT_ASSERT_NOT_NULL(test, der);
	for (n = 0; n <= 64; n++) {
		memcpy(der + PAGE_SIZE - n, s->der, s->len);
		compare(test, der + PAGE_SIZE - n, n, "short", n);
	}
	memcpy(der + PAGE_SIZE - s->len, s->der, s->len);
	KUNIT_EXPECT_TRUE(test, compare(test, der + PAGE_SIZE - s->len, s->len, "at the end", 0));
	memcpy(der + 3, s->der, s->len);
	compare(test, der + 3, U16_MAX, "largest", 0);
	compare(test, der + 3, U16_MAX + 1, "too large", 0);
	compare(test, der + 3, big, "too large", 1);
	vfree(der);
}

/* "SBMX509\0", their number; for each, the length, 0 for a good one, and the bytes */
#define CORPUS_MAGIC	"SBMX509"

static void corpus_gets_the_same_verdicts(struct kunit *test)
{
	unsigned int i, good = 0, mutated = 0, accepted = 0;
	struct corpus c;

	if (!corpus_open(test, &c, corpus, CORPUS_MAGIC))
		return;
	for (i = 0; i < c.nr && c.end - c.at >= 5; i++) {
		u32 len = get_unaligned_le32(c.at);
		bool is_good = !c.at[4];

		c.at += 5;
		if (len > c.end - c.at)
			break;
		if (compare(test, c.at, len, is_good ? "good" : "mutated", i)) {
			if (is_good)
				good++;
			else
				accepted++;
		}
		mutated += !is_good;
		c.at += len;
		cond_resched();
	}
	KUNIT_EXPECT_EQ(test, i, c.nr);
	KUNIT_EXPECT_EQ(test, good, c.nr - mutated);
	kunit_info(test, "corpus: %u good ones, %u mutated of which %u accepted: all the same\n",
		   good, mutated, accepted);
}

/*
 * Time, for whoever wants to know; instructions, in an emulator that counts time by these.
 * Of parsing alone: the signature is another's, and not verified.
 */
static void what_a_certificate_costs(struct kunit *test)
{
	const struct sbm_x509_sample *s = &sbm_x509_samples[3];
	const unsigned int rounds = 20;
	struct x509_certificate *cert;
	u64 plain = 0, inside = 0;
	unsigned int i;

	for (i = 0; i <= rounds; i++) {
		u64 start = ktime_get_ns();

		cert = parse_plain(test, s->der, s->len);
		/* The first one only warms up */
		if (i)
			plain += ktime_get_ns() - start;
		KUNIT_ASSERT_FALSE(test, IS_ERR(cert));
		KUNIT_EXPECT_FALSE(test, cert->self_signed);
		x509_free_certificate(cert);

		start = ktime_get_ns();
		cert = x509_cert_parse(s->der, s->len);
		if (i)
			inside += ktime_get_ns() - start;
		KUNIT_ASSERT_FALSE(test, IS_ERR(cert));
		x509_free_certificate(cert);
	}
	kunit_info(test, "%zu bytes: %llu ns, in a sandbox %llu ns and %u events\n", s->len,
		   div_u64(plain, rounds), div_u64(inside, rounds), seen.events / i);
}

/* === Lies === */

/*
 * The decoder is right, and then something is not. All of these run in the sandbox, but
 * with weak isolation.
 */
#define LIE(name, lie)							\
static int name(void *arg)						\
{									\
	struct x509_inside *in = arg;					\
	int ret = sbm_guest_x509_decode_inside(in);				\
									\
	lie;								\
									\
	return ret;							\
}

/* Where the kernel is, and the sandbox can read */
#define KERNEL		((void *)sbm_guest_x509_decode_inside)

LIE(tbs_is_longer, in->cert.tbs_size = in->size)
LIE(tbs_is_before, in->cert.tbs = in->data - 1)
LIE(tbs_wraps, in->cert.tbs_size = UINT_MAX)
LIE(tbs_is_empty, in->cert.tbs_size = 0)
LIE(tbs_is_nowhere, in->cert.tbs = NULL)
LIE(tbs_is_the_kernel, in->cert.tbs = KERNEL)
LIE(signature_is_longer, in->cert.raw_sig_size++)
LIE(signature_is_nowhere, { in->cert.raw_sig = NULL; in->cert.raw_sig_size = 0; })
LIE(serial_is_not_signed, in->cert.raw_serial = in->cert.raw_sig)
LIE(serial_is_the_kernel, in->cert.raw_serial = KERNEL)
LIE(issuer_is_longer, in->cert.raw_issuer_size = in->cert.tbs_size)
LIE(issuer_is_not_signed, in->cert.raw_issuer = in->data)
LIE(subject_is_the_kernel, in->cert.raw_subject = KERNEL)
LIE(subject_wraps, in->cert.raw_subject_size = UINT_MAX)
LIE(skid_is_not_signed, in->cert.raw_skid = in->cert.raw_sig)
LIE(skid_is_nowhere, in->cert.raw_skid = NULL)
LIE(skid_is_empty, in->cert.raw_skid_size = 0)
LIE(key_is_not_signed, in->ctx.key = in->cert.raw_sig)
LIE(key_is_at_the_begin, in->ctx.key = in->cert.tbs)
LIE(key_is_nowhere, in->ctx.key = NULL)
LIE(key_wraps, in->ctx.key_size = SIZE_MAX)
LIE(key_wraps_by_one, in->ctx.key_size = SIZE_MAX - 1)
LIE(key_is_another_byte_string, in->ctx.key++)
LIE(params_are_the_kernel, in->ctx.params = KERNEL)
LIE(params_wrap, in->ctx.params_size = SIZE_MAX)
LIE(params_are_none, { in->ctx.params = NULL; in->ctx.params_size = 0; })
LIE(sig_algo_is_none, in->ctx.sig_algo = OID__NR)
LIE(sig_algo_is_a_name, in->ctx.sig_algo = OID_commonName)
LIE(sig_algo_is_negative, in->ctx.sig_algo = -1)
LIE(key_algo_is_none, in->ctx.key_algo = OID__NR)
LIE(key_algo_is_a_name, in->ctx.key_algo = OID_commonName)
LIE(key_algo_is_huge, in->ctx.key_algo = 0x7fffffff)
LIE(flags_are_more, in->pub.key_eflags = ~0UL)
LIE(time_is_negative, in->cert.valid_from = -1)
LIE(time_is_late, in->cert.valid_to = S64_MAX)
LIE(name_is_nowhere, in->cert.issuer = NULL)
LIE(name_is_the_kernel, in->cert.subject = KERNEL)
LIE(name_is_a_secret, in->cert.subject = (char *)&seen)
LIE(name_has_no_end, in->cert.subject = (char *)in->data + in->size - 1)
LIE(name_is_where_the_heap_is_not_yet, {
	in->cert.subject = (char *)PAGE_ALIGN((unsigned long)in->cert.subject) + PAGE_SIZE;
})
LIE(name_is_a_guard_page, in->cert.subject = (char *)PAGE_ALIGN((unsigned long)in->data + 1))
LIE(id_is_the_kernel, in->sig.auth_ids[1] = KERNEL)
LIE(id_is_a_secret, in->sig.auth_ids[0] = (void *)&seen)
LIE(id_is_too_long, in->sig.auth_ids[1]->len = U16_MAX)
LIE(id_goes_on_where_the_heap_is_not_yet, {
	struct asymmetric_key_id *id;

	/* On the last two bytes of a page */
	id = (void *)PAGE_ALIGN((unsigned long)in->sig.auth_ids[1]) - 2;
	id->len = 16;
	in->sig.auth_ids[1] = id;
})
LIE(verdict_is_one, ret = 1)
LIE(verdict_is_odd, ret = -1)
LIE(verdict_is_a_signal, ret = -EINTR)
LIE(verdict_is_the_least, ret = INT_MIN)

/* These end before they have said anything */
LIE(stops, WRITE_ONCE(seen.calls, 0))
LIE(never_ends, {
	for (;;)
		cpu_relax();
})

static const struct lie {
	const char	*name;
	sbm_func	tell;
	/* Takes strong isolation */
	bool		strong;
	/* It is stopped */
	bool		stops;
	/* It leads to zeroes, which are as good as what else the target could write */
	bool		harmless;
} lies[] = {
#define L(name)		{ #name, name, }
#define L_ZEROES(name)	{ #name, name, .strong = true, .harmless = true, }
#define L_STOPS(name)	{ #name, name, .strong = true, .stops = true, }
	L(tbs_is_longer), L(tbs_is_before), L(tbs_wraps), L(tbs_is_empty),
	L(tbs_is_nowhere), L(tbs_is_the_kernel), L(signature_is_longer),
	L(signature_is_nowhere), L(serial_is_not_signed), L(serial_is_the_kernel),
	L(issuer_is_longer), L(issuer_is_not_signed), L(subject_is_the_kernel),
	L(subject_wraps), L(skid_is_not_signed), L(skid_is_nowhere), L(skid_is_empty),
	L(key_is_not_signed),
	L(key_is_at_the_begin), L(key_is_nowhere), L(key_wraps), L(key_wraps_by_one),
	L(key_is_another_byte_string), L(params_are_the_kernel), L(params_wrap),
	L(params_are_none), L(sig_algo_is_none), L(sig_algo_is_a_name),
	L(sig_algo_is_negative), L(key_algo_is_none), L(key_algo_is_a_name),
	L(key_algo_is_huge), L(flags_are_more), L(time_is_negative), L(time_is_late),
	L(name_is_nowhere), L(name_is_the_kernel), L(name_is_a_secret), L(name_has_no_end),
	L_ZEROES(name_is_where_the_heap_is_not_yet), L(name_is_a_guard_page),
	L(id_is_the_kernel), L(id_is_a_secret), L(id_is_too_long),
	L_ZEROES(id_goes_on_where_the_heap_is_not_yet), L(verdict_is_one),
	L(verdict_is_odd), L(verdict_is_a_signal), L(verdict_is_the_least),
	L_STOPS(stops), L_STOPS(never_ends),
};

static sbm_func liar;

static int decode_by_liar(struct x509_parse_context *ctx, const void *data, size_t size)
{
	return x509_decode_by(liar, ctx, data, size);
}

static int parse_by(struct kunit *test, sbm_func tell, const void *data, size_t size)
{
	struct x509_certificate *cert;

	liar = tell;
	kunit_activate_static_stub(test, x509_decode_sbm, decode_by_liar);
	cert = x509_cert_parse(data, size);
	kunit_deactivate_static_stub(test, x509_decode_sbm);
	if (IS_ERR(cert))
		return PTR_ERR(cert);
	x509_free_certificate(cert);

	return 0;
}

static void lies_are_not_believed(struct kunit *test)
{
	/* An elliptic curve, so parameters count, and both identifiers are there */
	const struct sbm_x509_sample *s = &sbm_x509_samples[1];
	unsigned int i, refused = 0;

	skip_if_isolation_below(test, SBM_ISOLATION_WEAK);
	KUNIT_ASSERT_EQ(test, parse_by(test, sbm_guest_x509_decode_inside, s->der, s->len), 0);
	for (i = 0; i < ARRAY_SIZE(lies); i++) {
		const struct lie *lie = &lies[i];
		unsigned int stops = seen.stops;

		if (lie->strong && sbm_isolation() < SBM_ISOLATION_STRONG)
			continue;
		KUNIT_EXPECT_EQ_MSG(test, parse_by(test, lie->tell, s->der, s->len),
				    lie->harmless ? 0 : -EBADMSG, "%s", lie->name);
		KUNIT_EXPECT_EQ_MSG(test, seen.stops, stops + lie->stops, "%s", lie->name);
		refused += !lie->harmless;
	}
	kunit_info(test, "%u lies refused\n", refused);
	KUNIT_EXPECT_EQ(test, parse_by(test, sbm_guest_x509_decode_inside, s->der, s->len), 0);
}

/* === CVE-2016-0758 === */

static const u8 *after(const u8 *p)
{
	size_t len = p[1];

	if (len < 0x80)
		return p + 2 + len;
	if (len == 0x81)
		return p + 3 + p[2];

	return p + 4 + get_unaligned_be16(p + 2);
}

static const u8 *into(const u8 *p)
{
	return p + (p[1] < 0x80 ? 2 : p[1] == 0x81 ? 3 : 4);
}

static u8 *put(u8 *to, const u8 *from, const u8 *end)
{
	memcpy(to, from, end - from);

	return to + (end - from);
}

/* Bytes by which the length of an element leads beyond the end: more than a page */
#define BEYOND		0x1040

/*
 * A certificate with elements of indefinite length, and among them one that is longer than
 * all that there is. Linux 4.5 and older has taken what lies behind for the rest.
 * Behind the @cut, there is one in @to.
 */
static size_t make_overlong(u8 *to, const struct sbm_x509_sample *s, size_t *cut)
{
	static const u8 indefinite[] = { 0x30, 0x80 };
	static const u8 primitive[] = { 0x04, 0x82, BEYOND >> 8, BEYOND & 0xff };
	const u8 *tbs = into(s->der), *serial = after(into(tbs));
	const u8 *algo = after(serial), *issuer = after(algo);
	const u8 *end = after(tbs);
	u8 *p = to;

	p = put(p, indefinite, indefinite + 2);
	p = put(p, indefinite, indefinite + 2);
	p = put(p, into(tbs), algo);
	/* The signature's algorithm, with parameters */
	p = put(p, indefinite, indefinite + 2);
	p = put(p, into(algo), after(into(algo)));
	p = put(p, indefinite, indefinite + 2);
	p = put(p, primitive, primitive + sizeof(primitive));
	*cut = p - to + 8;
	memset(p, 0x55, BEYOND);
	p += BEYOND;
	/* Ends of the parameters and of the algorithm */
	memset(p, 0, 4);
	p += 4;
	p = put(p, issuer, end);
	memset(p, 0, 2);
	p += 2;
	p = put(p, end, after(s->der));
	memset(p, 0, 2);
	p += 2;

	return p - to;
}

static void cve_2016_0758_is_contained(struct kunit *test)
{
	const struct sbm_x509_sample *s = &sbm_x509_samples[4];
	struct x509_certificate *cert;
	size_t size, cut;
	bool bug;
	u8 *der;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	der = kunit_kzalloc(test, s->len + BEYOND + 64, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, der);
	size = make_overlong(der, s, &cut);

	/* The whole is good, however long its elements are */
	KUNIT_EXPECT_TRUE(test, compare(test, der, size, "whole", 0));

	cert = parse_plain(test, der, cut);
	bug = !IS_ERR(cert);
	if (bug) {
		KUNIT_EXPECT_STREQ(test, cert->subject, s->subject);
		KUNIT_EXPECT_GT(test, cert->raw_subject - (void *)der, cut);
		kunit_info(test, "the plain parser takes %zu bytes, and has read %zu more\n",
			   cut, size - cut);
		x509_free_certificate(cert);
	} else {
		KUNIT_EXPECT_EQ(test, PTR_ERR(cert), -EBADMSG);
	}

	KUNIT_EXPECT_EQ(test, seen.stops, 0);
	cert = x509_cert_parse(der, cut);
	KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(cert), -EBADMSG);
	KUNIT_EXPECT_EQ(test, seen.stops, bug);
	if (bug) {
		/* Where the element ends: beyond the page of the certificate's copy */
		KUNIT_EXPECT_EQ(test, seen.fault.cause, SBM_CAUSE_PAGE_FAULT);
		KUNIT_EXPECT_EQ(test, seen.fault.access, SBM_ACCESS_READ);
		KUNIT_EXPECT_EQ(test, offset_in_page(seen.fault.address),
				offset_in_page(cut - 8 + BEYOND));
		kunit_info(test, "contained: %s at %pS\n", sbm_cause_name(seen.fault.cause),
			   (void *)seen.fault.ip);
	}

	/* And the next one is none the worse */
	KUNIT_EXPECT_EQ(test, seen.stops, bug);
	seen.stops = 0;
	KUNIT_EXPECT_TRUE(test, compare(test, s->der, s->len, "next", 0));
}

static struct kunit_case x509_cases[] = {
	KUNIT_CASE(good_certificates_are_parsed),
	KUNIT_CASE(mutated_certificates_get_the_same_verdict),
	KUNIT_CASE(odd_sizes_get_the_same_verdict),
	KUNIT_CASE(corpus_gets_the_same_verdicts),
	KUNIT_CASE(what_a_certificate_costs),
	KUNIT_CASE(lies_are_not_believed),
	KUNIT_CASE(cve_2016_0758_is_contained),
	{}
};

static struct kunit_suite x509_suite = {
	.name		= "sbm_x509",
	.init		= x509_init,
	.exit		= x509_exit,
	.test_cases	= x509_cases,
};

kunit_test_suite(x509_suite);

MODULE_DESCRIPTION("KUnit suite for the X.509 certificate parser in a sandbox");
MODULE_LICENSE("GPL");
