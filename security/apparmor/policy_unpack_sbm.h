/* SPDX-License-Identifier: GPL-2.0 */
/*
 * AppArmor's policy databases in a sandbox: what the two sides share.
 */
#ifndef __AA_POLICY_UNPACK_SBM_H
#define __AA_POLICY_UNPACK_SBM_H

#include <linux/types.h>

#include "include/policy_unpack.h"

struct aa_policydb;

/**
 * struct aa_pdb_inside - what unpacking gets and leaves in its sandbox
 * @ext:	    The policy, from a little before the database to its end, and where the
 *		    database begins; after success, where it has ended.
 * @required_dfa:   It must have a DFA.
 * @required_trans: Its table of transitions must be right.
 * @pdb:	    The database. It and all that it leads to are in the heap of the sandbox.
 * @info:	    After a failure, what was wrong, in words.
 *
 * All pointers are addresses in the sandbox.
 */
struct aa_pdb_inside {
	struct aa_ext		ext;
	bool			required_dfa;
	bool			required_trans;
	struct aa_policydb	*pdb;
	char			info[64];
};

/* The target: its name where it is, and the one by which the rest of the kernel has it */
int aa_unpack_pdb_inside(void *arg);
int sbm_guest_aa_unpack_pdb_inside(void *arg);

/*
 * Unpack a database with the target @unpack. For the rest, and the result, see
 * aa_unpack_pdb_sbm().
 */
int aa_unpack_pdb_by(int (*unpack)(void *arg), struct aa_ext *e, struct aa_policydb **policy,
		     bool required_dfa, bool required_trans, const char **info);

#endif /* __AA_POLICY_UNPACK_SBM_H */
