// SPDX-License-Identifier: GPL-2.0
/*
 * AppArmor's policy databases in a sandbox: the side inside.
 *
 * unpack_pdb() and the DFA's part of the matching engine as they are, built for the inside.
 * What is not called, and that is most of the rest, the compiler leaves out.
 */
#include <linux/mm.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

#include "include/apparmor.h"
#include "include/lib.h"
#include "include/match.h"
#include "include/policy.h"
#include "include/policy_unpack.h"
#include "policy_unpack_sbm.h"

/* Variables of the kernel. A policy is always verified here, whatever the first one says. */
#define aa_g_paranoid_load	true
#define aa_g_debug		0

/* The kernel's own heap, and its tables of pages */
#define is_vmalloc_addr(p)	((void)(p), false)
#define vm_unmap_aliases()	do { } while (0)

/* What is in files that have much else. The heap goes as a whole, so nothing is freed. */
#define aa_alloc_pdb(gfp)	kzalloc(sizeof(struct aa_policydb), gfp)
#define aa_put_pdb(pdb)		((void)(pdb))
#define aa_free_str_table(t)	forget_strings(t)
#define aa_destroy_str_table(t)	forget_strings(t)
#define aa_destroy_tags(t)	memset(t, 0, sizeof(*(t)))

static inline void forget_strings(struct aa_str_table *t)
{
	t->table = NULL;
	t->size = 0;
}

__diag_push();
__diag_ignore_all("-Wunused-function", "what unpacks the rest of a profile stays outside");

#define AA_UNPACK_PDB_ONLY
#include "match.c"
#include "policy_unpack.c"

__diag_pop();

int aa_unpack_pdb_inside(void *arg)
{
	struct aa_pdb_inside *in = arg;
	const char *info = "";
	int ret;

	ret = unpack_pdb(&in->ext, &in->pdb, in->required_dfa, in->required_trans, &info);
	/* The kernel's side follows no pointer but to what it is given */
	if (ret)
		strscpy(in->info, info);

	return ret;
}
