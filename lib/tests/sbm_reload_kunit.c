// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit suite sbm_reload: the suite sbm_module as another module, with other code.
 */
#define SBM_MODULE_VALUE	2222
#define SBM_MODULE_SUITE	"sbm_reload"

#include "sbm_module_kunit.c"
