// SPDX-License-Identifier: GPL-2.0
/*
 * For the KUnit suite sbm_partitions: the parser of Macintosh maps, built once more with
 * a target that returns what the test wants, in a field which this parser has no use for.
 */
#include <linux/sbm.h>

#define mac_partition			mac_partition_told
#define mac_parse			mac_parse_told

#undef sbm_call
#define sbm_call(...)			(state->next)

#include "../../block/partitions/mac.c"
