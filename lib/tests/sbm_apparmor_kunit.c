// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit suite sbm_apparmor: AppArmor's policy databases that are unpacked in a sandbox.
 *
 * Databases are made here, good ones and damaged ones. The same code, built a second time
 * as if there was no sandbox, says what is right. Then targets lie to the code that takes
 * what was unpacked.
 *
 * With sbm_apparmor_kunit.corpus=FILE, which is written by scripts/sbm/apparmor/mkcorpus and
 * read when the suite runs, there are policies of apparmor_parser, too.
 *
 * If the code that unpacks has a bug, a plain call may do anything. With the parameter
 * sbm_apparmor_kunit.hostile=1 good databases alone are unpacked so, and what must hold for
 * damaged ones is that each of them comes to an end; and there are some that are made for
 * the bugs that there were.
 */
#include <kunit/test.h>
#include <linux/array_size.h>
#include <linux/err.h>
#include <linux/ktime.h>
#include <linux/math64.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/prandom.h>
#include <linux/processor.h>
#include <linux/sbm.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/tracepoint.h>
#include <linux/unaligned.h>
#include <linux/vmalloc.h>

#include <trace/events/sbm.h>

/*
 * The code as it is without the option, under other names. The kernel's own matching engine
 * is to match with what both have unpacked.
 */
#define aa_dfa_free_kref		plain_dfa_free_kref
#define aa_dfa_unpack			plain_dfa_unpack
#define aa_dfa_match_len		plain_dfa_match_len
#define aa_dfa_match			plain_dfa_match
#define aa_dfa_next			plain_dfa_next
#define aa_dfa_outofband_transition	plain_dfa_outofband_transition
#define aa_dfa_match_until		plain_dfa_match_until
#define aa_dfa_matchn_until		plain_dfa_matchn_until
#define aa_dfa_leftmatch		plain_dfa_leftmatch
#define aa_inbounds			plain_inbounds
#define aa_unpack_u16_chunk		plain_unpack_u16_chunk
#define aa_unpack_X			plain_unpack_X
#define aa_unpack_nameX			plain_unpack_nameX
#define aa_unpack_u32			plain_unpack_u32
#define aa_unpack_u64			plain_unpack_u64
#define aa_unpack_array			plain_unpack_array
#define aa_unpack_blob			plain_unpack_blob
#define aa_unpack_str			plain_unpack_str
#define aa_unpack_strdup		plain_unpack_strdup
#define __DISABLE_EXPORTS

#include "../../security/apparmor/include/apparmor.h"

/* As the sandbox does it, whatever the configuration says */
#define aa_g_paranoid_load		true
#define AA_UNPACK_PDB_ONLY

__diag_push();
__diag_ignore_all("-Wunused-function", "what unpacks the rest of a profile is not compared");
#include "../../security/apparmor/match.c"
#include "../../security/apparmor/policy_unpack.c"
__diag_pop();

#undef aa_dfa_match_len
#undef aa_dfa_outofband_transition

#include "../../security/apparmor/policy_unpack_sbm.h"
#include "sbm_kunit.h"
#include "sbm_kunit_customer.h"

/* The kernel's own ones */
extern typeof(plain_dfa_match_len) aa_dfa_match_len;
extern typeof(plain_dfa_outofband_transition) aa_dfa_outofband_transition;

static unsigned int mutations = 2000;
module_param(mutations, uint, 0644);
MODULE_PARM_DESC(mutations, "Number of damaged databases");

static bool hostile;
module_param(hostile, bool, 0644);
MODULE_PARM_DESC(hostile, "The code has a bug: no plain calls with damaged databases");

static char *corpus;
module_param(corpus, charp, 0644);
MODULE_PARM_DESC(corpus, "file with policies, made by scripts/sbm/apparmor/mkcorpus");

/* === What is seen of calls === */

/**
 * struct seen - calls of this task, and what has ended them
 * @task:   The task.
 * @calls:  Calls of the target.
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
	if (current == seen.task && target == (unsigned long)sbm_guest_aa_unpack_pdb_inside)
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

/* === A place to write policies === */

#define MAX_STATES	24
#define BIG_STATES	6000
#define BIG_TRANS	60000
#define PAD_SIZE	64
#define POLICY_SIZE	SZ_512K

/**
 * struct policy - a piece of a policy with a database, and how to make it
 * @data:   Its bytes. Behind them there is room that can be read, and is zero.
 * @size:   How many there are.
 * @pos:    Where the database begins.
 * @end:    Where it ends.
 * @rnd:    The same numbers each time.
 * @states: Number of states.
 * @trans:  Entries of the tables of transitions.
 * @flags:  Of the DFA.
 * @perms:  Number of permissions, -1 for none: then they are in the accept tables.
 * @base:   Table of states: first entry and flags.
 * @def:    Table of states: default.
 * @accept: Table of states.
 * @next:   Table of transitions.
 * @check:  Table of transitions.
 * @start:  Start state.
 * @start_name: By which name it is given, NULL if it is not.
 * @has_ec: There are classes of characters.
 * @strings: Number of strings, -1 for no table.
 */
struct policy {
	u8			*data;
	size_t			size;
	size_t			pos;
	size_t			end;
	struct rnd_state	rnd;
	unsigned int		states;
	unsigned int		trans;
	u16			flags;
	int			perms;
	u32			*base;
	u16			*def;
	u32			*accept;
	u16			*next;
	u16			*check;
	u32			start;
	const char		*start_name;
	bool			has_ec;
	int			strings;
};

static u32 below(struct policy *p, u32 n)
{
	return prandom_u32_state(&p->rnd) % n;
}

static bool one_of(struct policy *p, u32 n)
{
	return !below(p, n);
}

static void put(struct policy *p, const void *data, size_t size)
{
	memcpy(p->data + p->size, data, size);
	p->size += size;
}

static void put_u8(struct policy *p, u8 value)
{
	p->data[p->size++] = value;
}

static void put_le16(struct policy *p, u16 value)
{
	put_unaligned_le16(value, p->data + p->size);
	p->size += 2;
}

static void put_le32(struct policy *p, u32 value)
{
	put_unaligned_le32(value, p->data + p->size);
	p->size += 4;
}

static void put_be16(struct policy *p, u16 value)
{
	put_unaligned_be16(value, p->data + p->size);
	p->size += 2;
}

static void put_be32(struct policy *p, u32 value)
{
	put_unaligned_be32(value, p->data + p->size);
	p->size += 4;
}

static void put_name(struct policy *p, const char *name)
{
	if (!name)
		return;
	put_u8(p, AA_NAME);
	put_le16(p, strlen(name) + 1);
	put(p, name, strlen(name) + 1);
}

static void put_u32(struct policy *p, const char *name, u32 value)
{
	put_name(p, name);
	put_u8(p, AA_U32);
	put_le32(p, value);
}

static void put_array(struct policy *p, u16 size)
{
	put_u8(p, AA_ARRAY);
	put_le16(p, size);
}

static void put_struct(struct policy *p, const char *name)
{
	put_name(p, name);
	put_u8(p, AA_STRUCT);
}

static void put_ends(struct policy *p)
{
	put_u8(p, AA_ARRAYEND);
	put_u8(p, AA_STRUCTEND);
}

static void put_perms(struct policy *p)
{
	int i, j;

	put_struct(p, "perms");
	put_u32(p, "version", 1);
	put_array(p, p->perms);
	for (i = 0; i < p->perms; i++) {
		for (j = 0; j < 14; j++)
			put_u32(p, NULL, prandom_u32_state(&p->rnd));
	}
	put_ends(p);
}

static void put_string(struct policy *p, const char *str, size_t size)
{
	put_u8(p, AA_STRING);
	put_le16(p, size);
	put(p, str, size);
}

static void put_strings(struct policy *p)
{
	static const char space[] = ":other\0profile";
	char name[24];
	int i;

	put_struct(p, "xtable");
	put_array(p, p->strings);
	for (i = 0; i < p->strings; i++) {
		if (one_of(p, 4)) {
			put_string(p, space, sizeof(space));
			continue;
		}
		snprintf(name, sizeof(name), "profile-%x", prandom_u32_state(&p->rnd));
		put_string(p, name, strlen(name) + 1);
	}
	put_ends(p);
}

static void put_table(struct policy *p, u16 id, u16 flags, u32 len)
{
	put_be16(p, id + 1);
	put_be16(p, flags);
	put_be32(p, 0);
	put_be32(p, len);
}

static void put_pad(struct policy *p, size_t begin)
{
	while ((p->size - begin) % 8)
		put_u8(p, 0);
}

static void put_table16(struct policy *p, size_t begin, u16 id, const u16 *from, u32 len)
{
	u32 i;

	put_table(p, id, YYTD_DATA16, len);
	for (i = 0; i < len; i++)
		put_be16(p, from[i]);
	put_pad(p, begin);
}

static void put_table32(struct policy *p, size_t begin, u16 id, const u32 *from, u32 len)
{
	u32 i;

	put_table(p, id, YYTD_DATA32, len);
	for (i = 0; i < len; i++)
		put_be32(p, from[i]);
	put_pad(p, begin);
}

static void put_dfa(struct policy *p)
{
	size_t size, begin, pad = below(p, 8), i;

	put_name(p, "aadfa");
	put_u8(p, AA_BLOB);
	size = p->size;
	put_le32(p, 0);
	for (i = 0; i < pad; i++)
		put_u8(p, 0);
	begin = p->size;
	put_be32(p, YYTH_MAGIC);
	put_be32(p, 24);
	put_be32(p, 0);
	put_be16(p, p->flags);
	put(p, "test\0\0\0\0\0", 10);
	put_table32(p, begin, YYTD_ID_ACCEPT, p->accept, p->states);
	/* With permissions, it is refused by 6.12 */
	if (p->perms < 0)
		put_table32(p, begin, YYTD_ID_ACCEPT2, p->accept, p->states);
	put_table32(p, begin, YYTD_ID_BASE, p->base, p->states);
	put_table16(p, begin, YYTD_ID_DEF, p->def, p->states);
	put_table16(p, begin, YYTD_ID_NXT, p->next, p->trans);
	put_table16(p, begin, YYTD_ID_CHK, p->check, p->trans);
	if (p->has_ec) {
		put_table(p, YYTD_ID_EC, YYTD_DATA8, 256);
		for (i = 0; i < 256; i++)
			put_u8(p, prandom_u32_state(&p->rnd));
		put_pad(p, begin);
	}
	put_unaligned_le32(p->size - size - 4, p->data + size);
}

/* Tables as they can be, whatever it is that they match. They are written by write_policy(). */
static void make_tables(struct policy *p, unsigned int states, unsigned int trans)
{
	bool up = one_of(p, 2);
	unsigned int i;

	p->states = states;
	p->trans = trans;
	p->flags = below(p, 4);
	p->perms = one_of(p, 2) ? (int)below(p, 12) + 1 : -1;
	p->strings = one_of(p, 2) ? (int)below(p, 10) : -1;
	p->start_name = one_of(p, 2) ? NULL : one_of(p, 2) ? "start" : "dfa_start";
	p->start = below(p, states);
	p->has_ec = one_of(p, 3);
	for (i = 0; i < states; i++) {
		p->base[i] = below(p, trans - 255);
		p->def[i] = below(p, states);
		if ((p->flags & YYTH_FLAG_DIFF_ENCODE) && (up ? i + 1 < states : i > 0) &&
		    one_of(p, 2)) {
			/* Chains in one direction have an end */
			p->base[i] |= MATCH_FLAG_DIFF_ENCODE;
			p->def[i] = up ? i + 1 + below(p, states - i - 1) : below(p, i);
		}
		/* One that leads nowhere else, and is not at the begin of the tables */
		if ((p->flags & YYTH_FLAG_OOB_TRANS) && one_of(p, 4))
			p->base[i] = MATCH_FLAG_OOB_TRANSITION | (1 + below(p, trans - 256));
		p->accept[i] = p->perms > 0 ? below(p, p->perms) : prandom_u32_state(&p->rnd);
	}
	for (i = 0; i < trans; i++) {
		p->next[i] = below(p, states);
		p->check[i] = below(p, states);
	}
}

static void write_policy(struct policy *p)
{
	unsigned int i;

	memset(p->data, 0, p->size);
	p->size = 0;
	for (i = below(p, 20); i; i--)
		put_u8(p, prandom_u32_state(&p->rnd));
	p->pos = p->size;
	if (p->perms >= 0)
		put_perms(p);
	put_dfa(p);
	if (p->start_name)
		put_u32(p, p->start_name, p->start);
	if (p->strings >= 0)
		put_strings(p);
	p->end = p->size;
	/* And something else */
	for (i = below(p, 20); i; i--)
		put_u8(p, AA_STRUCTEND);
}

static void make_policy(struct policy *p)
{
	make_tables(p, 2 + below(p, MAX_STATES - 2), 257 + below(p, 200));
	write_policy(p);
}

static int apparmor_init(struct kunit *test)
{
	struct policy *p;
	int err;

	if (!IS_ENABLED(CONFIG_TRACEPOINTS))
		kunit_skip(test, "no trace points in this kernel");

	p = kunit_kzalloc(test, sizeof(*p), GFP_KERNEL);
	if (!p)
		return -ENOMEM;
	p->data = vzalloc(POLICY_SIZE);
	p->base = kvcalloc(BIG_STATES, sizeof(*p->base), GFP_KERNEL);
	p->def = kvcalloc(BIG_STATES, sizeof(*p->def), GFP_KERNEL);
	p->accept = kvcalloc(BIG_STATES, sizeof(*p->accept), GFP_KERNEL);
	p->next = kvcalloc(BIG_TRANS, sizeof(*p->next), GFP_KERNEL);
	p->check = kvcalloc(BIG_TRANS, sizeof(*p->check), GFP_KERNEL);
	prandom_seed_state(&p->rnd, 23407);
	test->priv = p;

	memset(&seen, 0, sizeof(seen));
	if (!p->data || !p->base || !p->def || !p->accept || !p->next || !p->check)
		return -ENOMEM;
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

static void apparmor_exit(struct kunit *test)
{
	struct policy *p = test->priv;

	/* After a case was skipped at its begin there is none */
	if (seen.task) {
		seen.task = NULL;
		unregister_trace_sbm_enter(probe_enter, NULL);
		unregister_trace_sbm_event(probe_event, NULL);
		unregister_trace_sbm_fault(probe_fault, NULL);
		tracepoint_synchronize_unregister();
	}
	if (!p)
		return;
	vfree(p->data);
	kvfree(p->base);
	kvfree(p->def);
	kvfree(p->accept);
	kvfree(p->next);
	kvfree(p->check);
}

/* === Both === */

/**
 * struct result - what was unpacked
 * @ret:  Returned value.
 * @pdb:  The database, if that is 0.
 * @pos:  Where the policy goes on.
 * @info: What is said of an error.
 */
struct result {
	int			ret;
	struct aa_policydb	*pdb;
	size_t			pos;
	const char		*info;
};

typedef int (*unpack_fn)(struct aa_ext *e, struct aa_policydb **policy, bool required_dfa,
			 bool required_trans, const char **info);

static struct result unpack(unpack_fn fn, const void *data, size_t size, size_t pos, bool first)
{
	struct result res = { };
	struct aa_ext e = {
		.start	= (void *)data,
		.end	= (void *)data + size,
		.pos	= (void *)data + pos,
	};

	/* As for the policy, and as for file rules */
	res.ret = fn(&e, &res.pdb, first, !first, &res.info);
	res.pos = e.pos - e.start;

	return res;
}

static void result_free(struct result *res)
{
	if (!res->ret)
		aa_put_pdb(res->pdb);
	res->pdb = NULL;
}

/* The first thing in which two databases differ, or NULL */
static const char *difference(const struct aa_policydb *a, const struct aa_policydb *b)
{
	int i;

	if (!a->perms != !b->perms || a->size != b->size)
		return "size of permissions";
	if (memcmp(a->perms, b->perms, a->size * sizeof(*a->perms)))
		return "permissions";
	if (memcmp(a->start, b->start, sizeof(a->start)))
		return "start states";
	if (!a->dfa != !b->dfa)
		return "dfa";
	if (!a->trans.table != !b->trans.table || a->trans.size != b->trans.size)
		return "size of table of strings";
	for (i = 0; i < a->trans.size; i++) {
		if (strcmp(aa_str_table_get(&a->trans, i), aa_str_table_get(&b->trans, i)))
			return "string";
	}
	if (!a->dfa)
		return NULL;
	if (a->dfa->flags != b->dfa->flags || a->dfa->max_oob != b->dfa->max_oob)
		return "flags of the dfa";
	for (i = 0; i < YYTD_ID_TSIZE; i++) {
		const struct table_header *t = a->dfa->tables[i], *u = b->dfa->tables[i];

		if (!t != !u)
			return "tables";
		if (t && (memcmp(t, u, sizeof(*t)) ||
			  memcmp(t->td_data, u->td_data, t->td_lolen * t->td_flags)))
			return "table";
	}

	return NULL;
}

/*
 * The plain code lets these pass, but they lead the matching engine out of its tables:
 * accept indexes of attachments, state 1, and chains that begin with an out-of-band state.
 */
static bool leads_astray(const struct aa_policydb *pdb)
{
	struct aa_dfa *dfa = pdb->dfa;
	size_t i, n, states;

	if (!dfa)
		return false;
	states = dfa->tables[YYTD_ID_BASE]->td_lolen;
	if (states < 2)
		return true;
	for (i = 0; i < states; i++) {
		size_t j = i;

		if (pdb->perms && ACCEPT_TABLE(dfa)[i] >= pdb->size)
			return true;
		if (!(BASE_TABLE(dfa)[i] & MATCH_FLAG_OOB_TRANSITION))
			continue;
		for (n = 0; n < states; n++) {
			size_t index = base_idx(BASE_TABLE(dfa)[j]);

			if (!index)
				return true;
			if (CHECK_TABLE(dfa)[index - 1] == j ||
			    !(BASE_TABLE(dfa)[j] & MATCH_FLAG_DIFF_ENCODE))
				break;
			j = DEFAULT_TABLE(dfa)[j];
		}
	}

	return false;
}

/* A dfa of less than its padding: the plain code reads what is not there */
static bool has_no_dfa(const u8 *data, size_t size)
{
	static const u8 head[] = { 'a', 'a', 'd', 'f', 'a', 0, AA_BLOB };
	size_t i;

	for (i = 0; i + sizeof(head) + 4 <= size; i++) {
		if (!memcmp(data + i, head, sizeof(head)) &&
		    get_unaligned_le32(data + i + sizeof(head)) < 8)
			return true;
	}

	return false;
}

/* Have it match something. It must come to an end, in a state that there is. */
static void exercise(struct kunit *test, struct policy *p, struct aa_policydb *pdb)
{
	struct aa_dfa *dfa = pdb->dfa;
	unsigned int i, states;
	aa_state_t state;
	char str[32];

	if (!dfa)
		return;
	states = dfa->tables[YYTD_ID_BASE]->td_lolen;
	for (i = 0; i < 8; i++) {
		prandom_bytes_state(&p->rnd, str, sizeof(str));
		state = aa_dfa_match_len(dfa, i ? below(p, states) : DFA_START, str, sizeof(str));
		KUNIT_ASSERT_LT(test, state, states);
		if (pdb->perms)
			KUNIT_ASSERT_LT(test, ACCEPT_TABLE(dfa)[state], pdb->size);
	}
	for (i = 0; i < min(states, 64U); i++) {
		state = aa_dfa_outofband_transition(dfa, i);
		KUNIT_ASSERT_LT(test, state, states);
	}
}

/**
 * struct tally - what has become of many
 * @same:     Both have unpacked the same.
 * @refused:  Both have refused, with the same error and words.
 * @astray:   The plain code has unpacked what leads matching astray.
 * @contained: The target was stopped, or its result refused, and there was no plain call.
 * @accepted: The sandbox's result was taken, and there was no plain call.
 */
struct tally {
	unsigned int	same;
	unsigned int	refused;
	unsigned int	astray;
	unsigned int	contained;
	unsigned int	accepted;
};

static void compare(struct kunit *test, struct policy *p, const void *data, size_t size,
		    size_t pos, bool first, bool plain, struct tally *tally)
{
	unsigned int calls = seen.calls, stops = seen.stops;
	const char *differs = NULL;
	struct result in, out;

	in = unpack(aa_unpack_pdb_sbm, data, size, pos, first);
	if (sbm_isolation() == SBM_ISOLATION_STRONG)
		KUNIT_EXPECT_EQ(test, seen.calls, calls + 1);
	if (!in.ret)
		exercise(test, p, in.pdb);
	else
		KUNIT_EXPECT_EQ(test, in.pos, pos);

	if (!plain) {
		if (!in.ret)
			tally->accepted++;
		else
			tally->contained++;
		result_free(&in);
		return;
	}

	KUNIT_EXPECT_EQ(test, seen.stops, stops);
	calls = seen.calls;
	out = unpack(unpack_pdb, data, size, pos, first);
	KUNIT_EXPECT_EQ(test, seen.calls, calls);
	if (!out.ret && in.ret == -EPROTO && leads_astray(out.pdb)) {
		KUNIT_EXPECT_STREQ(test, in.info, "not to be had of a sandbox");
		tally->astray++;
	} else if (out.ret || in.ret) {
		KUNIT_EXPECT_EQ(test, in.ret, out.ret);
		KUNIT_EXPECT_STREQ(test, in.info, out.info);
		tally->refused++;
	} else {
		differs = difference(in.pdb, out.pdb);
		KUNIT_EXPECT_TRUE_MSG(test, !differs, "%s differs", differs);
		KUNIT_EXPECT_EQ(test, in.pos, out.pos);
		KUNIT_EXPECT_FALSE(test, leads_astray(in.pdb));
		/* Where it is not the owner who asks, the entry behind is looked at, too */
		if (in.pdb->perms)
			KUNIT_EXPECT_NULL(test, memchr_inv(&in.pdb->perms[in.pdb->size], 0,
							   sizeof(*in.pdb->perms)));
		tally->same++;
	}
	result_free(&in);
	result_free(&out);
}

/* === Good ones and bad ones === */

#define GOOD	200

static void good_databases_are_unpacked(struct kunit *test)
{
	struct policy *p = test->priv;
	struct tally tally = { };
	unsigned int i;

	for (i = 0; i < GOOD; i++) {
		make_policy(p);
		compare(test, p, p->data, p->size, p->pos, i % 2, true, &tally);
	}
	KUNIT_EXPECT_EQ(test, tally.same, GOOD);
	kunit_info(test, "%u databases: all the same\n", tally.same);
}

static void large_databases_are_unpacked(struct kunit *test)
{
	struct policy *p = test->priv;
	struct tally tally = { };
	unsigned int i;

	for (i = 1; i <= 4; i++) {
		make_tables(p, BIG_STATES / i, BIG_TRANS / i);
		write_policy(p);
		KUNIT_ASSERT_LT(test, p->size, POLICY_SIZE - PAD_SIZE);
		compare(test, p, p->data, p->size, p->pos, true, true, &tally);
	}
	KUNIT_EXPECT_EQ(test, tally.same, 4);
}

/* Without a DFA, without permissions of the new kind, or with nothing at all */
static void what_is_missing_is_missed(struct kunit *test)
{
	struct policy *p = test->priv;
	struct tally tally = { };
	struct result res;
	int i;

	compare(test, p, p->data, 0, 0, true, true, &tally);
	compare(test, p, p->data, 0, 0, false, true, &tally);
	for (i = 0; i < 4; i++) {
		memset(p->data, 0, p->size);
		p->size = 0;
		p->perms = i;
		p->strings = i;
		put_perms(p);
		put_strings(p);
		compare(test, p, p->data, p->size, 0, true, true, &tally);
		compare(test, p, p->data, p->size, 0, false, true, &tally);
	}
	KUNIT_EXPECT_EQ(test, tally.refused, 5);
	KUNIT_EXPECT_EQ(test, tally.same, 5);

	/* A start state that is none is refused by name */
	make_policy(p);
	p->start_name = "start";
	p->start = p->states;
	write_policy(p);
	res = unpack(aa_unpack_pdb_sbm, p->data, p->size, p->pos, true);
	if (!hostile) {
		KUNIT_EXPECT_EQ(test, res.ret, -EPROTO);
		KUNIT_EXPECT_STREQ(test, res.info, "invalid dfa start state");
	}
	result_free(&res);
}

/* Another byte here or there, or an end that comes too early. The rest must stay zero. */
static void mutate(struct policy *p)
{
	static const u8 special[] = { 0, 1, 2, 7, 0x10, 0x20, 0x40, 0x7f, 0x80, 0xa0, 0xff };
	unsigned int n = 1 + below(p, 3);

	while (n--) {
		u8 *at = p->data + p->pos + below(p, p->size - p->pos);

		/* Most of it is tables: have more of what describes them */
		if (one_of(p, 2))
			at = p->data + p->pos + below(p, min_t(size_t, p->size - p->pos, 400));
		switch (below(p, 4)) {
		case 0:
			*at ^= 1 << below(p, 8);
			break;
		case 1:
			*at += one_of(p, 2) ? 1 : -1;
			break;
		default:
			*at = special[below(p, ARRAY_SIZE(special))];
		}
	}
	if (one_of(p, 16)) {
		size_t size = p->pos + below(p, p->size - p->pos);

		memset(p->data + size, 0, p->size - size);
		p->size = size;
	}
}

static void damaged_databases_come_to_an_end(struct kunit *test)
{
	struct policy *p = test->priv;
	struct tally tally = { };
	unsigned int i, stops;

	/* Nothing stops without a bug; with weak isolation, nothing would stop it */
	if (hostile)
		skip_if_isolation_below(test, SBM_ISOLATION_STRONG);

	for (i = 0; i < mutations; i++) {
		make_policy(p);
		mutate(p);
		compare(test, p, p->data, p->size, p->pos, i % 2,
			!hostile && !has_no_dfa(p->data, p->size), &tally);
		if (i % 64 == 0) {
			/* And the next one is none the worse */
			make_policy(p);
			stops = seen.stops;
			compare(test, p, p->data, p->size, p->pos, i % 2, true, &tally);
			KUNIT_EXPECT_EQ(test, seen.stops, stops);
			tally.same--;
		}
		cond_resched();
	}
	KUNIT_EXPECT_EQ(test, tally.same + tally.refused + tally.astray + tally.contained +
			tally.accepted, mutations);
	kunit_info(test, "damaged databases: %u of %u: %u the same, %u refused, %u led astray, %u stopped, %u without a plain call: %u refused\n",
		   i, mutations, tally.same, tally.refused, tally.astray, seen.stops,
		   tally.contained + tally.accepted, tally.contained);
}

/* "SBMAAPD\0", their number; for each, the length and the bytes */
#define CORPUS_MAGIC	"SBMAAPD"

static void corpus_gets_the_same_databases(struct kunit *test)
{
	static const u8 head[] = { AA_NAME, 6, 0, 'a', 'a', 'd', 'f', 'a', 0, AA_BLOB };
	struct policy *p = test->priv;
	struct tally tally = { };
	struct corpus c;
	unsigned int i;
	size_t pos;

	if (!corpus_open(test, &c, corpus, CORPUS_MAGIC))
		return;
	for (i = 0; i < c.nr && c.end - c.at >= 4; i++) {
		u32 len = get_unaligned_le32(c.at);

		c.at += 4;
		if (len > c.end - c.at)
			break;
		for (pos = 0; pos + sizeof(head) <= len; pos++) {
			if (memcmp(c.at + pos, head, sizeof(head)))
				continue;
			compare(test, p, c.at, len, pos, false, true, &tally);
			cond_resched();
		}
		c.at += len;
	}
	KUNIT_EXPECT_EQ(test, i, c.nr);
	KUNIT_EXPECT_EQ(test, tally.refused + tally.astray, 0);
	KUNIT_EXPECT_GE(test, tally.same, c.nr);
	kunit_info(test, "corpus: %u policies, %u databases: all the same\n", i, tally.same);
}

/*
 * Time, for whoever wants to know; instructions, in an emulator that counts time by these.
 */
static void what_a_database_costs(struct kunit *test)
{
	static const struct {
		unsigned int	states;
		unsigned int	trans;
	} sizes[] = { { 20, 400 }, { 600, 4000 }, { BIG_STATES, BIG_TRANS }, };
	struct policy *p = test->priv;
	const unsigned int rounds = 10;
	unsigned int i, n, events;
	struct result res;
	u64 plain, inside;

	for (n = 0; n < ARRAY_SIZE(sizes); n++) {
		make_tables(p, sizes[n].states, sizes[n].trans);
		write_policy(p);
		plain = 0;
		inside = 0;
		events = seen.events;
		for (i = 0; i <= rounds; i++) {
			u64 start = ktime_get_ns();

			res = unpack(unpack_pdb, p->data, p->size, p->pos, true);
			/* The first one only warms up */
			if (i)
				plain += ktime_get_ns() - start;
			KUNIT_ASSERT_EQ(test, res.ret, 0);
			result_free(&res);

			start = ktime_get_ns();
			res = unpack(aa_unpack_pdb_sbm, p->data, p->size, p->pos, true);
			if (i)
				inside += ktime_get_ns() - start;
			KUNIT_ASSERT_EQ(test, res.ret, 0);
			result_free(&res);
		}
		kunit_info(test, "%zu bytes: %llu ns, in a sandbox %llu ns and %u events\n",
			   p->size, div_u64(plain, rounds), div_u64(inside, rounds),
			   (seen.events - events) / i);
	}
}

/* === Lies === */

/*
 * The code inside is right, and then something is not. All of these run in the sandbox, but
 * with weak isolation.
 */
#define LIE(name, lie)							\
static int name(void *arg)						\
{									\
	struct aa_pdb_inside *in = arg;					\
	int ret = sbm_guest_aa_unpack_pdb_inside(in);			\
	struct aa_policydb *pdb = in->pdb;				\
	struct aa_dfa *dfa __maybe_unused = pdb->dfa;			\
									\
	lie;								\
									\
	return ret;							\
}

/* Where the kernel is, and the sandbox can read; and where the sandbox has nothing */
#define KERNEL		((void *)sbm_guest_aa_unpack_pdb_inside)
#define SECRET		((void *)&seen)
#define TABLE(id)	(dfa->tables[YYTD_ID_##id])

/* A place in the heap that is none of the others, and was never touched */
#define BEHIND_IT(p)	((void *)((unsigned long)(p) + SZ_64K + SZ_64K))

LIE(pdb_is_nowhere, in->pdb = NULL)
LIE(pdb_is_the_kernel, in->pdb = KERNEL)
LIE(pdb_is_a_secret, in->pdb = SECRET)
LIE(pdb_is_the_policy, in->pdb = in->ext.start + 1)
LIE(pdb_is_what_is_not_there, in->pdb = (void *)(-PAGE_SIZE + 8))
LIE(dfa_is_nowhere, pdb->dfa = NULL)
LIE(dfa_is_the_kernel, pdb->dfa = KERNEL)
LIE(dfa_is_a_secret, pdb->dfa = SECRET)
LIE(base_is_nowhere, TABLE(BASE) = NULL)
LIE(base_is_the_kernel, TABLE(BASE) = KERNEL)
LIE(base_is_a_secret, TABLE(BASE) = SECRET)
LIE(base_is_empty, TABLE(BASE)->td_lolen = 0)
LIE(base_is_longer, TABLE(BASE)->td_lolen++)
LIE(base_is_shorter, TABLE(BASE)->td_lolen--)
LIE(base_is_huge, TABLE(BASE)->td_lolen = U32_MAX)
LIE(base_wraps, TABLE(BASE)->td_lolen = U32_MAX / 4 - 2)
LIE(base_has_bytes, TABLE(BASE)->td_flags = YYTD_DATA8)
LIE(base_has_no_size, TABLE(BASE)->td_flags = 0)
LIE(base_is_large_together, {
	TABLE(BASE)->td_lolen = SZ_1M;
	TABLE(DEF) = TABLE(BASE);
	TABLE(ACCEPT) = TABLE(BASE);
})
LIE(base_goes_beyond, BASE_TABLE(dfa)[1] = TABLE(NXT)->td_lolen - 255)
LIE(base_goes_far_beyond, BASE_TABLE(dfa)[1] = 0xffffff)
LIE(def_is_nowhere, TABLE(DEF) = NULL)
LIE(def_is_the_kernel, TABLE(DEF) = KERNEL)
LIE(def_is_longer, TABLE(DEF)->td_lolen++)
LIE(def_has_bytes, TABLE(DEF)->td_flags = YYTD_DATA8)
LIE(def_has_another_size, TABLE(DEF)->td_flags = YYTD_DATA64)
LIE(def_goes_beyond, DEFAULT_TABLE(dfa)[1] = TABLE(BASE)->td_lolen)
LIE(def_goes_far_beyond, DEFAULT_TABLE(dfa)[0] = -1)
LIE(next_is_nowhere, TABLE(NXT) = NULL)
LIE(next_is_a_secret, TABLE(NXT) = SECRET)
LIE(next_is_shorter, TABLE(NXT)->td_lolen = 255)
LIE(next_is_huge, TABLE(NXT)->td_lolen = U32_MAX)
LIE(next_goes_beyond, NEXT_TABLE(dfa)[256] = TABLE(BASE)->td_lolen)
LIE(check_is_nowhere, TABLE(CHK) = NULL)
LIE(check_is_longer, TABLE(CHK)->td_lolen++)
LIE(check_goes_beyond, CHECK_TABLE(dfa)[256] = -1)
LIE(accept_is_nowhere, TABLE(ACCEPT) = NULL)
LIE(accept_is_shorter, TABLE(ACCEPT)->td_lolen--)
LIE(accept_goes_beyond, ACCEPT_TABLE(dfa)[2] = pdb->size)
LIE(accept_goes_far_beyond, ACCEPT_TABLE(dfa)[0] = -1)
LIE(accept2_is_the_kernel, TABLE(ACCEPT2) = KERNEL)
LIE(accept2_is_nowhere, { pdb->perms = NULL; pdb->size = 0; TABLE(ACCEPT2) = NULL; })
LIE(classes_are_shorter, TABLE(EC)->td_lolen = 255)
LIE(classes_are_the_kernel, TABLE(EC) = KERNEL)
LIE(classes_are_longer, TABLE(EC)->td_lolen = 257)
LIE(a_chain_is_a_loop, {
	BASE_TABLE(dfa)[2] |= MATCH_FLAG_DIFF_ENCODE;
	BASE_TABLE(dfa)[3] |= MATCH_FLAG_DIFF_ENCODE;
	DEFAULT_TABLE(dfa)[2] = 3;
	DEFAULT_TABLE(dfa)[3] = 2;
})
LIE(a_chain_leads_to_a_loop, {
	unsigned int i;

	for (i = 0; i < 5; i++) {
		BASE_TABLE(dfa)[i] |= MATCH_FLAG_DIFF_ENCODE | MARK_DIFF_ENCODE_VERIFIED;
		DEFAULT_TABLE(dfa)[i] = i < 4 ? i + 1 : 2;
	}
})
LIE(a_state_is_a_loop, {
	BASE_TABLE(dfa)[1] |= MATCH_FLAG_DIFF_ENCODE;
	DEFAULT_TABLE(dfa)[1] = 1;
})
LIE(oob_is_at_the_begin, BASE_TABLE(dfa)[1] = MATCH_FLAG_OOB_TRANSITION)
LIE(oob_leads_to_the_begin, {
	BASE_TABLE(dfa)[2] = MATCH_FLAG_OOB_TRANSITION | MATCH_FLAG_DIFF_ENCODE | 1;
	CHECK_TABLE(dfa)[0] = 1;
	DEFAULT_TABLE(dfa)[2] = 1;
	BASE_TABLE(dfa)[1] = 0;
})
LIE(start_goes_beyond, pdb->start[0] = TABLE(BASE)->td_lolen)
LIE(start_of_files_goes_beyond, pdb->start[AA_CLASS_FILE] = U32_MAX)
LIE(start_of_the_last_goes_beyond, pdb->start[AA_CLASS_LAST] = U16_MAX)
LIE(perms_are_the_kernel, pdb->perms = KERNEL)
LIE(perms_are_a_secret, pdb->perms = SECRET)
LIE(perms_are_more, pdb->size = U16_MAX)
LIE(perms_are_too_many, pdb->size = U16_MAX + 1)
LIE(perms_are_huge, pdb->size = U32_MAX)
LIE(strings_are_the_kernel, pdb->trans.table = KERNEL)
LIE(strings_are_a_secret, pdb->trans.table = SECRET)
LIE(strings_are_negative, pdb->trans.size = -1)
LIE(strings_are_huge, pdb->trans.size = INT_MAX)
LIE(strings_are_too_many, pdb->trans.size = U16_MAX)
LIE(string_is_nowhere, aa_str_table_set(&pdb->trans, 0, NULL, 1))
LIE(string_is_the_kernel, aa_str_table_set(&pdb->trans, 0, KERNEL, 8))
LIE(string_is_a_secret, aa_str_table_set(&pdb->trans, 1, SECRET, 8))
LIE(string_has_no_end, {
	char *end = in->ext.end - 1;

	/* The last byte of the policy is no zero */
	aa_str_table_set(&pdb->trans, 1, end, 1);
})
LIE(string_is_blank, *aa_str_table_get(&pdb->trans, 0) = ' ')
LIE(string_is_a_colon, memcpy(aa_str_table_get(&pdb->trans, 0), ":", 2))
LIE(strings_are_one_and_the_same, {
	size_t size = pdb->size * sizeof(*pdb->perms);
	int i;

	/* Long, and together longer than all that a policy of this size can have */
	memset(pdb->perms, 'x', size);
	((char *)pdb->perms)[size - 1] = '\0';
	for (i = 0; i < pdb->trans.size; i++)
		aa_str_table_set(&pdb->trans, i, (char *)pdb->perms, size);
})
LIE(zeroes_are_the_pdb, in->pdb = BEHIND_IT(pdb))
LIE(goes_back, in->ext.pos = in->ext.start)
LIE(goes_beyond, in->ext.pos = in->ext.end + 1)
LIE(goes_far, in->ext.pos = SECRET)
LIE(verdict_is_one, ret = 1)
LIE(verdict_is_odd, ret = -1)
LIE(verdict_is_a_signal, ret = -EINTR)
LIE(verdict_is_the_least, ret = INT_MIN)
LIE(words_have_no_end, { ret = -EPROTO; memset(in->info, 'x', sizeof(in->info)); })

/* These end before they have said anything */
LIE(stops, WRITE_ONCE(seen.calls, 0))
LIE(writes_behind_an_object, TABLE(BASE)->td_data[TABLE(BASE)->td_lolen * 4 + 16] = 1)
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
} lies[] = {
#define L(name)		{ #name, name, }
#define L_STOPS(name)	{ #name, name, .strong = true, .stops = true, }
	L(pdb_is_nowhere), L(pdb_is_the_kernel), L(pdb_is_a_secret), L(pdb_is_the_policy),
	L(pdb_is_what_is_not_there), L(dfa_is_nowhere), L(dfa_is_the_kernel),
	L(dfa_is_a_secret), L(base_is_nowhere), L(base_is_the_kernel), L(base_is_a_secret),
	L(base_is_empty), L(base_is_longer), L(base_is_shorter), L(base_is_huge),
	L(base_wraps), L(base_has_bytes), L(base_has_no_size), L(base_is_large_together),
	L(base_goes_beyond), L(base_goes_far_beyond), L(def_is_nowhere),
	L(def_is_the_kernel), L(def_is_longer), L(def_has_bytes), L(def_has_another_size),
	L(def_goes_beyond), L(def_goes_far_beyond), L(next_is_nowhere), L(next_is_a_secret),
	L(next_is_shorter), L(next_is_huge), L(next_goes_beyond), L(check_is_nowhere),
	L(check_is_longer), L(check_goes_beyond), L(accept_is_nowhere),
	L(accept_is_shorter), L(accept_goes_beyond), L(accept_goes_far_beyond),
	L(accept2_is_the_kernel), L(accept2_is_nowhere), L(classes_are_shorter),
	L(classes_are_the_kernel), L(classes_are_longer), L(a_chain_is_a_loop),
	L(a_chain_leads_to_a_loop), L(a_state_is_a_loop), L(oob_is_at_the_begin),
	L(oob_leads_to_the_begin), L(start_goes_beyond), L(start_of_files_goes_beyond),
	L(start_of_the_last_goes_beyond), L(perms_are_the_kernel), L(perms_are_a_secret),
	L(perms_are_more), L(perms_are_too_many), L(perms_are_huge),
	L(strings_are_the_kernel), L(strings_are_a_secret), L(strings_are_negative),
	L(strings_are_huge), L(strings_are_too_many), L(string_is_nowhere),
	L(string_is_the_kernel), L(string_is_a_secret), L(string_has_no_end),
	L(string_is_blank), L(string_is_a_colon), L(strings_are_one_and_the_same),
	L(goes_back), L(goes_beyond), L(goes_far), L(verdict_is_one), L(verdict_is_odd),
	L(verdict_is_a_signal), L(verdict_is_the_least), L(words_have_no_end),
	/* It needs a DFA */
	{ "zeroes_are_the_pdb", zeroes_are_the_pdb, .strong = true, },
	L_STOPS(stops), L_STOPS(writes_behind_an_object), L_STOPS(never_ends),
};

static sbm_func liar;

static int unpack_by_liar(struct aa_ext *e, struct aa_policydb **policy, bool required_dfa,
			  bool required_trans, const char **info)
{
	return aa_unpack_pdb_by(liar, e, policy, required_dfa, required_trans, info);
}

/* With all that there can be, many states, and no zero at its end */
static void make_full_policy(struct policy *p)
{
	unsigned int i;

	make_tables(p, 600, 2000);
	p->perms = 10;
	for (i = 0; i < p->states; i++)
		p->accept[i] = below(p, p->perms);
	p->strings = 80;
	p->has_ec = true;
	/* There is something to go back to */
	do {
		write_policy(p);
	} while (p->pos % 8 == 0);
	put_u8(p, AA_STRUCTEND);
}

static void lies_are_not_believed(struct kunit *test)
{
	struct policy *p = test->priv;
	unsigned int i, refused = 0;
	struct result res;

	skip_if_isolation_below(test, SBM_ISOLATION_WEAK);
	make_full_policy(p);
	liar = sbm_guest_aa_unpack_pdb_inside;
	res = unpack(unpack_by_liar, p->data, p->size, p->pos, true);
	KUNIT_ASSERT_EQ(test, res.ret, 0);
	result_free(&res);
	for (i = 0; i < ARRAY_SIZE(lies); i++) {
		const struct lie *lie = &lies[i];
		unsigned int stops = seen.stops;

		if (lie->strong && sbm_isolation() < SBM_ISOLATION_STRONG)
			continue;
		liar = lie->tell;
		res = unpack(unpack_by_liar, p->data, p->size, p->pos, true);
		KUNIT_EXPECT_EQ_MSG(test, res.ret, lie->tell == never_ends ? -ETIME : -EPROTO,
				    "%s", lie->name);
		KUNIT_EXPECT_EQ_MSG(test, res.pos, p->pos, "%s", lie->name);
		KUNIT_EXPECT_EQ_MSG(test, seen.stops, stops + lie->stops, "%s", lie->name);
		result_free(&res);
		refused++;
	}
	kunit_info(test, "%u lies refused\n", refused);
	res = unpack(aa_unpack_pdb_sbm, p->data, p->size, p->pos, true);
	KUNIT_EXPECT_EQ(test, res.ret, 0);
	result_free(&res);
}

/* More than a sandbox takes is not even shown to it */
static void what_is_too_large_is_refused(struct kunit *test)
{
	unsigned int calls = seen.calls;
	struct policy *p = test->priv;
	struct result res;

	make_policy(p);
	res = unpack(aa_unpack_pdb_sbm, p->data, SBM_MAX_BUFFER_SIZE + PAGE_SIZE, p->pos, true);
	KUNIT_EXPECT_EQ(test, res.ret, -EFBIG);
	KUNIT_EXPECT_EQ(test, res.pos, p->pos);
	KUNIT_EXPECT_EQ(test, seen.calls, calls);
	result_free(&res);
}

/* === Bugs that there were === */

/* A small one, all of it plain, for a bug to be put in */
static void make_simple_tables(struct policy *p)
{
	unsigned int i;

	make_tables(p, 16, 512);
	p->flags = YYTH_FLAG_DIFF_ENCODE | YYTH_FLAG_OOB_TRANS;
	p->perms = 1;
	p->strings = -1;
	p->has_ec = false;
	p->start_name = NULL;
	for (i = 0; i < p->states; i++) {
		p->base[i] = 1;
		p->def[i] = 0;
		p->accept[i] = 0;
	}
	memset(p->next, 0, p->trans * sizeof(*p->next));
	memset(p->check, 0, p->trans * sizeof(*p->check));
}

static struct result unpack_written(struct policy *p)
{
	struct result res;

	write_policy(p);
	res = unpack(aa_unpack_pdb_sbm, p->data, p->size, p->pos, true);
	result_free(&res);

	return res;
}

static void next_one_is_none_the_worse(struct kunit *test, struct policy *p)
{
	unsigned int stops = seen.stops;
	struct tally tally = { };

	make_policy(p);
	compare(test, p, p->data, p->size, p->pos, true, true, &tally);
	KUNIT_EXPECT_EQ(test, tally.same, 1);
	KUNIT_EXPECT_EQ(test, seen.stops, stops);
}

/*
 * What has become of it: the code has refused it, if it has no bug, for what @right says;
 * or else the target was stopped, or what it has left is not taken
 */
static void expect_contained(struct kunit *test, const struct result *res, const char *right,
			     enum sbm_cause cause)
{
	KUNIT_EXPECT_EQ(test, res->ret, cause == SBM_CAUSE_TIME && seen.stops ? -ETIME : -EPROTO);
	if (seen.stops) {
		KUNIT_EXPECT_EQ(test, seen.stops, 1);
		KUNIT_EXPECT_EQ(test, seen.fault.cause, cause);
		kunit_info(test, "contained: %s at %pS\n", sbm_cause_name(seen.fault.cause),
			   (void *)seen.fault.ip);
	} else if (!strcmp(res->info, right)) {
		kunit_info(test, "the bug is not there\n");
	} else {
		KUNIT_EXPECT_EQ(test, cause, SBM_CAUSE_NONE);
		KUNIT_EXPECT_STREQ(test, res->info, "not to be had of a sandbox");
		kunit_info(test, "contained: the result is refused\n");
	}
	seen.stops = 0;
}

/* A start state that there is not: its entry is looked up to find others from there */
static void cve_2026_23269_is_contained(struct kunit *test)
{
	struct policy *p = test->priv;
	struct result res;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	make_simple_tables(p);
	p->start_name = "start";
	p->start = 0x3fffffff;
	res = unpack_written(p);
	expect_contained(test, &res, "invalid dfa start state", SBM_CAUSE_PAGE_FAULT);

	/* Nobody looks it up yet: it would come out as it is */
	p->start_name = "dfa_start";
	res = unpack_written(p);
	expect_contained(test, &res, "invalid dfa start state", SBM_CAUSE_NONE);
	next_one_is_none_the_worse(test, p);
}

/*
 * The default of a state that is a difference is not compared with the number of states:
 * what is there, in the sandbox's heap, is taken for a state, and marked
 */
static void cve_2026_23407_is_contained(struct kunit *test)
{
	struct policy *p = test->priv;
	struct result res;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	make_simple_tables(p);
	p->base[3] |= MATCH_FLAG_DIFF_ENCODE;
	p->def[3] = p->states;
	res = unpack_written(p);
	expect_contained(test, &res, "failed to unpack - dfa", SBM_CAUSE_NONE);
	/* And behind the heap */
	p->def[3] = U16_MAX;
	res = unpack_written(p);
	expect_contained(test, &res, "failed to unpack - dfa", SBM_CAUSE_PAGE_FAULT);
	next_one_is_none_the_worse(test, p);
}

/* A chain of differences that comes back to where it was, and is taken for verified */
static void cve_2026_23409_is_contained(struct kunit *test)
{
	struct policy *p = test->priv;
	struct result res;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	make_simple_tables(p);
	p->base[2] |= MATCH_FLAG_DIFF_ENCODE;
	p->def[2] = 3;
	p->base[3] |= MATCH_FLAG_DIFF_ENCODE;
	p->def[3] = 2;
	/* Followed while it is unpacked, it does not end */
	p->start_name = "start";
	p->start = 2;
	res = unpack_written(p);
	expect_contained(test, &res, "failed to unpack - dfa", SBM_CAUSE_TIME);

	/* Not followed until something is matched: then it would not end in the kernel */
	p->start = 1;
	res = unpack_written(p);
	expect_contained(test, &res, "failed to unpack - dfa", SBM_CAUSE_NONE);
	next_one_is_none_the_worse(test, p);
}

/*
 * What the plain code lets pass as of today, and leads matching out of its tables. Nothing
 * is done with it here but to look whether it passes.
 */
static void what_leads_astray_is_refused(struct kunit *test)
{
	struct policy *p = test->priv;
	struct result res;

	/* An accept index without permissions: not verified for attachments */
	make_simple_tables(p);
	p->accept[5] = 1000;
	res = unpack_written(p);
	KUNIT_EXPECT_EQ(test, res.ret, -EPROTO);
	KUNIT_EXPECT_STREQ(test, res.info, "not to be had of a sandbox");

	/* An out-of-band state leads to one that has nothing before its first entry */
	make_simple_tables(p);
	p->base[5] |= MATCH_FLAG_OOB_TRANSITION | MATCH_FLAG_DIFF_ENCODE;
	p->def[5] = 4;
	p->base[4] = 0;
	res = unpack_written(p);
	KUNIT_EXPECT_EQ(test, res.ret, -EPROTO);
	KUNIT_EXPECT_STREQ(test, res.info, "not to be had of a sandbox");
	res = unpack(unpack_pdb, p->data, p->size, p->pos, true);
	KUNIT_EXPECT_EQ(test, res.ret, 0);
	if (!res.ret)
		KUNIT_EXPECT_TRUE(test, leads_astray(res.pdb));
	result_free(&res);

	/* The same with something before it, or with no way there */
	p->base[4] = 1;
	res = unpack_written(p);
	KUNIT_EXPECT_EQ(test, res.ret, 0);
	p->base[4] = 0;
	p->check[0] = 5;
	res = unpack_written(p);
	KUNIT_EXPECT_EQ(test, res.ret, 0);
	next_one_is_none_the_worse(test, p);
}

static struct kunit_case apparmor_cases[] = {
	KUNIT_CASE(good_databases_are_unpacked),
	KUNIT_CASE(large_databases_are_unpacked),
	KUNIT_CASE(what_is_missing_is_missed),
	KUNIT_CASE(damaged_databases_come_to_an_end),
	KUNIT_CASE(corpus_gets_the_same_databases),
	KUNIT_CASE(what_a_database_costs),
	KUNIT_CASE(lies_are_not_believed),
	KUNIT_CASE(what_is_too_large_is_refused),
	KUNIT_CASE(cve_2026_23269_is_contained),
	KUNIT_CASE(cve_2026_23407_is_contained),
	KUNIT_CASE(cve_2026_23409_is_contained),
	KUNIT_CASE(what_leads_astray_is_refused),
	{}
};

static struct kunit_suite apparmor_suite = {
	.name		= "sbm_apparmor",
	.init		= apparmor_init,
	.exit		= apparmor_exit,
	.test_cases	= apparmor_cases,
};

kunit_test_suite(apparmor_suite);

MODULE_DESCRIPTION("KUnit suite for AppArmor's policy databases in a sandbox");
MODULE_LICENSE("GPL");
