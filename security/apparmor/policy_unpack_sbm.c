// SPDX-License-Identifier: GPL-2.0
/*
 * AppArmor's policy databases in a sandbox: the kernel's side.
 *
 * unpack_pdb() runs inside, in a copy that is built for that. It leaves a database in the
 * heap of the sandbox, which is taken for an attacker's: no address in it is followed,
 * but what it names is copied, once, if it is the sandbox's own, and all together no more
 * than a policy of that size can contain. Then the copy is checked for all that matching
 * relies upon. So a target that was taken over can have its own way with what the policy
 * says, as whoever wrote the policy could, and with nothing else.
 */
#include <linux/array_size.h>
#include <linux/bitops.h>
#include <linux/ctype.h>
#include <linux/errno.h>
#include <linux/math.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/sbm.h>
#include <linux/sbm_host.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

#include "include/apparmor.h"
#include "include/lib.h"
#include "include/match.h"
#include "include/policy.h"
#include "include/policy_unpack.h"
#include "policy_unpack_sbm.h"

/*
 * Unpacked, tables can have twice the size that they have in the policy, and a string of a
 * few bytes is an object of its own, with a pointer to it.
 */
#define HEAP_SIZE(size)		min_t(size_t, 16 * (size) + SZ_64K, SBM_MAX_BUFFER_SIZE)

/* More is not counted in a policy */
#define MAX_ENTRIES		U16_MAX

#define BASE_INDEX(base)	((base) & ~MATCH_FLAGS_MASK)

/* What unpack_pdb() has to say. Its own words go to no log, but it may choose. */
static const char * const infos[] = {
	"failed to unpack - perms",
	"failed to unpack - dfa",
	"missing required dfa",
	"invalid dfa start state",
	"failed to alloc dfa flags table",
	"failed to unpack profile transition table",
	"invalid tags version",
	"failed to unpack profile tag.strs",
};

/* One of the tables of a DFA. All must be as long as others, but for the first one. */
static struct table_header *take_table(struct sbm *sbm, const struct table_header *from,
				       size_t el_size, size_t len, size_t *room)
{
	struct table_header head, *table;
	size_t size;

	if (sbm_copy_from(sbm, &head, sbm_ptr(from), sizeof(head)))
		return ERR_PTR(-EPROTO);
	if (!head.td_lolen || (len && head.td_lolen != len))
		return ERR_PTR(-EPROTO);
	size = table_size(head.td_lolen, el_size);
	if (head.td_flags != el_size || size > *room)
		return ERR_PTR(-EPROTO);

	table = kvzalloc(size, GFP_KERNEL);
	if (!table)
		return ERR_PTR(-ENOMEM);
	if (sbm_copy_from(sbm, table, sbm_ptr(from), size)) {
		kvfree(table);
		return ERR_PTR(-EPROTO);
	}
	*table = head;
	*room -= size;
	/* As in unpack_table() */
	if (is_vmalloc_addr(table))
		vm_unmap_aliases();

	return table;
}

/*
 * What the matching engine relies upon: it does not check an index, and follows a chain of
 * states that are differences to others until it ends. Each loop either counts up, or
 * marks a state that had no mark.
 */
static int check_dfa(const struct aa_dfa *dfa)
{
	const typeof(*DEFAULT_TABLE(dfa)) *def = DEFAULT_TABLE(dfa);
	const typeof(*NEXT_TABLE(dfa)) *next = NEXT_TABLE(dfa);
	const typeof(*CHECK_TABLE(dfa)) *check = CHECK_TABLE(dfa);
	const u32 *base = BASE_TABLE(dfa);
	size_t states = dfa->tables[YYTD_ID_BASE]->td_lolen;
	size_t trans = dfa->tables[YYTD_ID_NXT]->td_lolen;
	unsigned long *seen;
	int err = -EPROTO;
	u32 *mark;
	size_t i, j;

	/* Matching begins in state 1, whatever is there */
	if (states <= DFA_START)
		return -EPROTO;
	for (i = 0; i < states; i++) {
		if (def[i] >= states || BASE_INDEX(base[i]) + U8_MAX >= trans)
			return -EPROTO;
	}
	for (i = 0; i < trans; i++) {
		if (next[i] >= states || check[i] >= states)
			return -EPROTO;
	}

	mark = kvcalloc(states, sizeof(*mark), GFP_KERNEL);
	seen = kvcalloc(BITS_TO_LONGS(states), sizeof(*seen), GFP_KERNEL);
	if (!mark || !seen) {
		err = -ENOMEM;
		goto out;
	}

	/* A chain that comes back to itself has no end */
	for (i = 0; i < states; i++) {
		for (j = i; (base[j] & MATCH_FLAG_DIFF_ENCODE) && !mark[j]; j = def[j])
			mark[j] = i + 1;
		if ((base[j] & MATCH_FLAG_DIFF_ENCODE) && mark[j] == i + 1)
			goto out;
	}

	/* aa_dfa_outofband_transition() looks one before the first entry */
	for (i = 0; i < states; i++) {
		if (!(base[i] & MATCH_FLAG_OOB_TRANSITION))
			continue;
		for (j = i; !test_bit(j, seen); j = def[j]) {
			u32 index = BASE_INDEX(base[j]);

			if (index < dfa->max_oob)
				goto out;
			__set_bit(j, seen);
			if (check[index - 1] == j || !(base[j] & MATCH_FLAG_DIFF_ENCODE))
				break;
		}
	}
	err = 0;
out:
	kvfree(mark);
	kvfree(seen);

	return err;
}

/* The tables are what the macros of match.h take them for, and one is as long as another */
static int take_tables(struct sbm *sbm, struct aa_dfa *dfa, const struct aa_dfa *from,
		       bool with_accept2, size_t *room)
{
	static const struct {
		u8	id;
		u8	el_size;
		/* As long as which one, which is before it */
		s8	like;
		bool	optional;
	} kinds[] = {
#define KIND(id, table, ...)	{ id, sizeof(*table((struct aa_dfa *)NULL)), __VA_ARGS__ }
		KIND(YYTD_ID_BASE, BASE_TABLE, -1),
		KIND(YYTD_ID_DEF, DEFAULT_TABLE, YYTD_ID_BASE),
		KIND(YYTD_ID_ACCEPT, ACCEPT_TABLE, YYTD_ID_BASE),
		KIND(YYTD_ID_ACCEPT2, ACCEPT_TABLE2, YYTD_ID_BASE, true),
		KIND(YYTD_ID_NXT, NEXT_TABLE, -1),
		KIND(YYTD_ID_CHK, CHECK_TABLE, YYTD_ID_NXT),
		KIND(YYTD_ID_EC, EQUIV_TABLE, -1, true),
#undef KIND
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		u8 id = kinds[i].id;
		struct table_header *table;
		size_t len = 0;

		if (!from->tables[id]) {
			if (!kinds[i].optional || (id == YYTD_ID_ACCEPT2 && with_accept2))
				return -EPROTO;
			continue;
		}
		if (kinds[i].like >= 0)
			len = dfa->tables[kinds[i].like]->td_lolen;
		else if (id == YYTD_ID_EC)
			len = U8_MAX + 1;
		table = take_table(sbm, from->tables[id], kinds[i].el_size, len, room);
		if (IS_ERR(table))
			return PTR_ERR(table);
		dfa->tables[id] = table;
	}

	return 0;
}

static int take_dfa(struct sbm *sbm, struct aa_policydb *pdb, const struct aa_policydb *from,
		    size_t *room)
{
	struct aa_dfa inside, *dfa;
	size_t i, states;
	int err;

	if (sbm_copy_from(sbm, &inside, sbm_ptr(from->dfa), sizeof(inside)))
		return -EPROTO;

	dfa = kzalloc(sizeof(*dfa), GFP_KERNEL);
	if (!dfa)
		return -ENOMEM;
	kref_init(&dfa->count);
	pdb->dfa = dfa;
	/* What counts later is in each state */
	dfa->flags = inside.flags & YYTH_FLAGS;
	dfa->max_oob = MAX_OOB_SUPPORTED;
	err = take_tables(sbm, dfa, &inside, aa_pdb_has_accept2(pdb), room);
	if (!err)
		err = check_dfa(dfa);
	if (err)
		return err;

	/* Without permissions, the accept table has other contents, and gets new ones */
	states = dfa->tables[YYTD_ID_BASE]->td_lolen;
	for (i = 0; pdb->perms && i < states; i++) {
		if (ACCEPT_TABLE(dfa)[i] >= pdb->size)
			return -EPROTO;
	}
	for (i = 0; i < ARRAY_SIZE(pdb->start); i++) {
		if (from->start[i] >= states)
			return -EPROTO;
		pdb->start[i] = from->start[i];
	}

	return 0;
}

/* Whether what is in them makes sense is seen to by verify_profile() */
static int take_perms(struct sbm *sbm, struct aa_policydb *pdb, const struct aa_policydb *from,
		      size_t *room)
{
	size_t size = array_size(from->size, sizeof(*pdb->perms));

	if (size > *room || from->size > MAX_ENTRIES)
		return -EPROTO;
	/*
	 * Of no permissions at all there is a table, too. Without a flag for it, the entry
	 * behind is what anybody but the owner of a file has: for the last one there must be
	 * something, and it permits nothing.
	 */
	pdb->perms = kvcalloc(from->size + 1, sizeof(*pdb->perms), GFP_KERNEL);
	if (!pdb->perms)
		return -ENOMEM;
	pdb->size = from->size;
	*room -= size;

	return sbm_copy_from(sbm, pdb->perms, sbm_ptr(from->perms), size) ? -EPROTO : 0;
}

/* A string as unpack_pdb() lets it pass, in @buf of @max bytes. Return: its size, or 0. */
static size_t take_string(struct sbm *sbm, char *buf, const char *from, size_t max)
{
	long len = sbm_strncpy_from(sbm, buf, sbm_ptr(from), max);

	if (len < 0 || isspace(*buf) || (buf[0] == ':' && !buf[1]))
		return 0;

	return len + 1;
}

static int take_strings(struct sbm *sbm, struct aa_str_table *to, const struct aa_str_table *from,
			size_t *room)
{
	struct aa_str_table inside = { .size = from->size, };
	size_t size = array_size(from->size, sizeof(*to->table));
	char *buf, *str;
	int i, err = 0;

	/* Each of them has a zero at its end */
	if (from->size < 0 || from->size > MAX_ENTRIES || from->size > *room)
		return -EPROTO;

	inside.table = kvzalloc(size, GFP_KERNEL);
	buf = kvmalloc(U16_MAX, GFP_KERNEL);
	to->table = kzalloc(size, GFP_KERNEL);
	if (!inside.table || !buf || !to->table) {
		err = -ENOMEM;
		goto out;
	}
	to->size = from->size;
	if (sbm_copy_from(sbm, inside.table, sbm_ptr(from->table), size)) {
		err = -EPROTO;
		goto out;
	}
	for (i = 0; i < inside.size; i++) {
		size = take_string(sbm, buf, aa_str_table_get(&inside, i),
				   min_t(size_t, *room, U16_MAX));
		if (!size) {
			err = -EPROTO;
			break;
		}
		str = kmemdup(buf, size, GFP_KERNEL);
		if (!str) {
			err = -ENOMEM;
			break;
		}
		aa_str_table_set(to, i, str, size);
		*room -= size;
	}
out:
	kvfree(inside.table);
	kvfree(buf);

	return err;
}

/* Make a database of what @from has in the sandbox; @room is for all that it leads to */
static int take_pdb(struct sbm *sbm, struct aa_policydb **policy, const struct aa_policydb *from,
		    bool required_dfa, size_t room)
{
	struct aa_policydb inside, *pdb;
	int err = 0;

	if (sbm_copy_from(sbm, &inside, sbm_ptr(from), sizeof(inside)))
		return -EPROTO;
	if (required_dfa && !inside.dfa)
		return -EPROTO;

	pdb = aa_alloc_pdb(GFP_KERNEL);
	if (!pdb)
		return -ENOMEM;
	if (inside.perms)
		err = take_perms(sbm, pdb, &inside, &room);
	if (!err && inside.dfa)
		err = take_dfa(sbm, pdb, &inside, &room);
	if (!err && inside.dfa && inside.trans.table)
		err = take_strings(sbm, &pdb->trans, &inside.trans, &room);
	if (err) {
		aa_put_pdb(pdb);
		return err;
	}
	*policy = pdb;

	return 0;
}

/* What the target has returned: an error that unpack_pdb() can have, or success */
static int take_verdict(const struct sbm *sbm, int ret, struct aa_pdb_inside *in,
			const char **info)
{
	int i;

	switch (sbm_error(sbm)) {
	case 0:
		break;
	case -EFAULT:
		/* Stopped. The log says why; for who has written the policy, it is a bad one. */
		*info = "stopped in the sandbox";
		return -EPROTO;
	case -ETIME:
		*info = "took too long in the sandbox";
		return -ETIME;
	default:
		*info = "no sandbox";
		return sbm_error(sbm);
	}
	if (!ret)
		return 0;

	in->info[sizeof(in->info) - 1] = '\0';
	i = match_string(infos, ARRAY_SIZE(infos), in->info);
	if (i >= 0)
		*info = infos[i];

	/* Where there is no room inside, more was announced than a policy of this size has */
	return -EPROTO;
}

int aa_unpack_pdb_by(int (*unpack)(void *arg), struct aa_ext *e, struct aa_policydb **policy,
		     bool required_dfa, bool required_trans, const char **info)
{
	/* A DFA stands at a multiple of 8 bytes from the policy's begin, with padding */
	void *blob = e->start + ALIGN_DOWN(e->pos - e->start, 8);
	size_t size = e->end - blob, pos = e->pos - blob;
	const struct sbm_attr attr = {
		.heap_size	= HEAP_SIZE(size),
		.log_size	= PAGE_SIZE,
		/* Some thousand times what it takes; who loads the policy can be killed */
		.time_limit	= NSEC_PER_SEC * (2 + size / SZ_256K),
	};
	struct aa_pdb_inside *in;
	struct sbm sbm;
	size_t end;
	int ret;

	if (size > SBM_MAX_BUFFER_SIZE) {
		*info = "too large for a sandbox";
		return -EFBIG;
	}
	in = kzalloc(sizeof(*in), GFP_KERNEL);
	if (!in)
		return -ENOMEM;

	sbm_init_attr(&sbm, &attr);
	in->ext.start = SBM_COPY_IN(&sbm, blob, size);
	in->ext.pos = in->ext.start + pos;
	in->ext.end = in->ext.start + size;
	in->ext.version = e->version;
	in->required_dfa = required_dfa;
	in->required_trans = required_trans;
	blob = in->ext.start;
	ret = sbm_exec(&sbm, unpack, SBM_COPY_INOUT(&sbm, in, sizeof(*in)));
	ret = take_verdict(&sbm, ret, in, info);
	if (!ret) {
		/* Never back: a policy comes to its end */
		end = in->ext.pos - blob;
		if (end < pos || end > size)
			ret = -EPROTO;
		else
			ret = take_pdb(&sbm, policy, in->pdb, required_dfa, 2 * size);
		if (ret)
			*info = "not to be had of a sandbox";
		else
			e->pos += end - pos;
	}
	sbm_destroy(&sbm);
	kfree(in);

	return ret;
}

/**
 * aa_unpack_pdb_sbm() - unpack_pdb(), in a sandbox
 * @e:		    The policy. It is advanced to behind the database, or left alone.
 * @policy:	    Where the database goes.
 * @required_dfa:   It must have a DFA.
 * @required_trans: Its table of transitions must be right.
 * @info:	    After a failure, what was wrong, for the audit.
 *
 * Context: Process context, may sleep.
 * Return:
 * * 0	     - success
 * * -EPROTO - not a policy database, or the target was stopped
 * * -ETIME  - the target was stopped, since it took too long
 * * -EFBIG  - the policy is larger than what a sandbox takes
 * * -ENOMEM - out of memory
 * * other   - there is no sandbox, see sbm_init_attr() and sbm_exec()
 */
int aa_unpack_pdb_sbm(struct aa_ext *e, struct aa_policydb **policy, bool required_dfa,
		      bool required_trans, const char **info)
{
	return aa_unpack_pdb_by(sbm_guest_aa_unpack_pdb_inside, e, policy, required_dfa,
				required_trans, info);
}
