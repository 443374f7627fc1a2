# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034,SC2154,SC2317 # shared with scripts/sbm/demo
#
# What scripts/sbm/demo needs to know of AppArmor's policies. Its "images" are tar files of
# them, which the machine's first program unpacks and loads.

needs=(apparmor)
bug=$data/reintroduce-CVE-2026-23269.patch
target=sbm_guest_aa_unpack_pdb_inside
options=(CONFIG_SECURITY=y CONFIG_SECURITYFS=y CONFIG_SECURITY_NETWORK=y CONFIG_NET=y
	 CONFIG_INET=y CONFIG_SECURITY_APPARMOR=y CONFIG_DEFAULT_SECURITY_DAC=y
	 'CONFIG_LSM="apparmor"')
sandbox_option=CONFIG_SECURITY_APPARMOR_SBM=y
# Without the first, only the program that loads would die, with the lock of all policies
append="oops=panic panic=-1"

thing="security policy"
image=policy
images=policies
does_refuse="loading it fails with a protocol error"
does_good="a good policy, loaded after it, says what a program may do"
does_same="all profiles are there, and one of them does what it says"
does_all="their databases were unpacked in the sandbox"

make_images()
{
	"$data/mkimage.py" hostile "$work/hostile.img" | LC_ALL=C sort > "$work/hostile.list"
	"$data/mkimage.py" healthy "$work/healthy.img" | LC_ALL=C sort > "$work/healthy.list"
}

finished()
{
	[ "$(cat "$work/$1.rc")" = 0 ] && found "$1" '^end$' &&
		says "$1" 'reboot: Power down'
}

objects() { grep -E '^p ' "$work/$1.out" | LC_ALL=C sort; }
# May read the first file, and make one; the second file, and another name, are refused
confined() { found "$1" '^confined allowed made refused$'; }

hostile_refused() { found "$1" '^error [1-9][0-9]* 1-hostile .*Protocol error$'; }
good_read()
{
	found "$1" '^loaded 2-good$' && confined "$1" &&
		objects "$1" | cmp -s - "$work/hostile.list"
}

same_files()
{
	[ "$(grep -c . "$work/healthy.list")" -gt 40 ] && confined "$1" &&
		objects "$1" | cmp -s - "$work/healthy.list"
}

# What the function that looks up a state is a part of differs from compiler to compiler
reported()
{
	sbm_lines "$1" | awk '/ stopped by / { n++ } n == 1' > "$work/$1.report"
	grep -qE "$target stopped by page fault" "$work/$1.report" &&
		grep -qE 'address (0x)?[0-9a-f]{16}\b' "$work/$1.report" &&
		grep -qE 'at [a-z_]*(aa_dfa_next|unpack_pdb[a-z_.0-9]*)\+0x[0-9a-f]+/' "$work/$1.report"
}

story()
{
	tell "" \
	     "The bug is CVE-2026-23269. A policy of AppArmor has tables of states, and may say" \
	     "which state is the first one. That number was not compared with how many states" \
	     "there are: loading such a policy has the kernel look far behind its tables." \
	     "" \
	     "Policies are loaded by whoever is administrator in a policy namespace: this can be" \
	     "a container. The good ones here are made by apparmor_parser."
}

died_of_it()
{
	says "$1" 'BUG: unable to handle page fault for address: ' &&
		says "$1" 'RIP: 0010:(aa_dfa_next|unpack_pdb)[a-z_.0-9]*\+'
}

disaster()
{
	local dies=1

	boot stock-hostile "$stock" "$work/hostile.img"
	if died stock-hostile; then
		tell "" \
		     "Loading one policy was enough: the kernel is dead. Its last words (shortened):" ""
		messages stock-hostile |
			grep -E '^(BUG: unable|#PF: |RIP: 0010:(aa_|unpack_)|Kernel panic)' |
			awk '!seen[$0]++' | quote
		tell "" \
		     "With another number there is memory of somebody else, which is then taken for" \
		     "states."
	fi
	tell ""

	claim "stock kernel, hostile policy: has no sandbox" no_sandbox stock-hostile
	claim "stock kernel, hostile policy: the kernel reads what is not there" \
		died_of_it stock-hostile
	claim "stock kernel, hostile policy: the machine is dead" died stock-hostile
}

tell_refused()
{
	tell "" "Loading the hostile policy fails:" ""
	grep -E '^error ' "$work/sbm-hostile.out" | sed -E 's/^error [0-9]+ [^ ]+ //' | quote
}

what_stopped()
{
	tell "" \
	     "The sandbox has the policy, what was made of it, and nothing where this state would" \
	     "be. It was stopped there, and the kernel log says why, by which instruction and" \
	     "where:" ""
	quote < "$work/sbm-hostile.report"
}

tell_good()
{
	tell "" \
	     "The good policy that is loaded afterwards has one profile. A program in it may read" \
	     "one of two files, and may make one of two:" ""
	grep -E '^confined ' "$work/sbm-hostile.out" | sed 's/^confined //' | quote
}

tell_finished() { tell "" "The machine was then switched off in good order."; }

tell_healthy()
{
	tell "" \
	     "$(grep -c . "$work/healthy.list") profiles, of $(tar -tf "$work/healthy.img" | wc -l) policies, are loaded. The kernel is asked which it has, and a" \
	     "program is run in one of them." ""
}

tell_same()
{
	local ok

	ok=$(objects "$1" | LC_ALL=C comm -12 - "$work/healthy.list" | grep -c '^p ' || :)
	tell "$2 $ok profiles are there, $(grep -E '^confined ' "$work/$1.out" || echo 'nothing is confined')"
}
