# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Boots of a kernel that sbm_build has built, with the KUnit suites.  Source it after
# lib.sh.
#
#   sbm_boots_begin [FILE=PLACE...]
#			make the initramfs of the kernel in SBM_O; sets kernel, initrd,
#			suites, modules, task_state and boot_limit
#   sbm_boots_power	the same, with what sbm_power on the command line needs
#   boot NAME CPU APPEND VERDICT-ARG... [-- EMULATOR-ARG...]
#			boot it and judge; totals are noted in SBM_RESULTS.  CPU is one of
#			QEMU's, or bochs: and one of Bochs's (call sbm_need_bochs before).
#			refused has the names of modules that must refuse to be loaded,
#			inject the arguments of inject.py; if it has any, QEMU only
#   boot_beside ARG...	the same, two at a time, and not waited for. What it says, and its
#			totals, are kept until boots_join, in the order of their start
#   boots_join		wait for these
#   boots_stop PID...	end these and their children, as beside_jobs in a trap
#   judge NAME LOG VERDICT-ARG...
#			the second half of that
#   one_insn		what makes QEMU translate one instruction at a time
#   need_vng		install virtme-ng; as sbm_fetch, if the archive has it no longer

suites='' kernel='' initrd='' task_state='' modules=() refused='' inject=() boot_limit=${SBM_BOOT_LIMIT:-600}

sbm_boots_begin()
{
	local files=() m

	kernel=$SBM_O/arch/x86/boot/bzImage
	suites=$(required_suites)
	[ -n "$suites" ] || die "no KUnit suite in the new files: nothing would be tested"
	mapfile -t modules < <(cd "$SBM_O" && find . -name '*.ko' -printf "$SBM_O/%P\n" | sort)
	for m in "${modules[@]}"; do
		files+=("$m=/modules/$(basename "$m")")
	done
	"$SBM_DIR/jffs2/mkimage.py" hostile "$SBM_CACHE/test-jffs2.img" > "$SBM_CACHE/test-jffs2.list"
	squashfs_image "$SBM_CACHE/test-squashfs"
	mac_maps "$SBM_CACHE/test-mac"
	# Another image means other keys, so what fails with one is kept until it is removed
	[ -e "$SBM_CACHE/test-x509.corpus" ] ||
		"$SBM_DIR/x509/mkcorpus" "$SBM_CACHE/test-x509.corpus"
	usb_camera "$SBM_CACHE/usb-camera"
	apparmor_policies "$SBM_CACHE/test-apparmor.corpus"
	initrd=$SBM_CACHE/initramfs-test.gz
	task_state=$SBM_O/selftests/sbm_task_state
	sbm_initramfs "$SBM_O" "$initrd" "$SBM_DIR/guest/init" \
		"$SBM_DIR/guest/suites=/suites" "$task_state=/sbm_task_state" \
		"$SBM_CACHE/test-jffs2.img=/jffs2.img" "$SBM_CACHE/test-jffs2.list=/jffs2.list" \
		"$SBM_CACHE/test-squashfs.img=/squashfs.img" \
		"$SBM_CACHE/test-squashfs.sums=/squashfs.sums" \
		"$SBM_CACHE/test-mac.maps=/mac.maps" "$SBM_CACHE/test-mac.parts=/mac.parts" \
		"$SBM_CACHE/test-x509.corpus=/x509.corpus" \
		"$SBM_CACHE/usb-camera=/usb-camera" \
		"$SBM_CACHE/test-apparmor.corpus=/apparmor.corpus" \
		"$SBM_CACHE/test-apparmor.corpus.list=/apparmor.list" \
		"${files[@]}" "$@"
}

# squashfs_image PREFIX: PREFIX.img has some hundred files, PREFIX.sums says what is in
# them, as sha256sum does.
squashfs_image()
{
	sbm_need squashfs-tools
	rm -rf "$1.tree"
	"$SBM_DIR/jffs2/mkimage.py" tree "$1.tree" |
		sed -nE 's/^f ([0-9a-f]{64}) (.*)$/\1  \2/p' > "$1.sums"
	# Small blocks, so that there are many
	mksquashfs "$1.tree" "$1.img" -comp lz4 -b 8K -all-root -mkfs-time 0 -all-time 0 \
		-noappend -no-progress > "$1.log" 2>&1 || die "no image is made, see $1.log"
	rm -rf "$1.tree"
}

# mac_maps PREFIX: PREFIX.maps has the first 32 KiB of disks of 4 MiB, partitioned by
# parted; PREFIX.parts has a line for each partition: disk, number, start and size.
mac_maps()
{
	local disk=$1.disk i j start commands

	sbm_need parted
	rm -f "$1.maps" "$1.parts" "$1.log"
	for i in {0..11}; do
		commands=(mklabel mac)
		start=$((64 + i))
		for ((j = 0; j <= i; j++)); do
			commands+=(mkpart "part-$j" hfs+ "${start}s" "$((start + 100 * j + i))s")
			start=$((start + 100 * j + i + 1 + j % 3))
		done
		rm -f "$disk"
		truncate -s 4M "$disk"
		parted -s -a none "$disk" "${commands[@]}" >> "$1.log" 2>&1 ||
			die "no disk is made, see $1.log"
		parted -s -m "$disk" unit s print 2>> "$1.log" | tr -d s |
			awk -F: -v i="$i" '$1 ~ /^[0-9]+$/ { print i, $1, $2, $4 }' >> "$1.parts"
		head -c 32768 "$disk" >> "$1.maps"
	done
	rm -f "$disk"
	[ "$(wc -l < "$1.parts")" -gt 80 ] || die "partitions are missing, see $1.log"
}

# apparmor_policies FILE: FILE has policies, FILE.list says whose. The parser alone is run:
# nothing is loaded into this machine's kernel.
apparmor_policies()
{
	sbm_need apparmor
	"$SBM_DIR/apparmor/mkcorpus" "$1" > "$1.log" 2>&1 || die "no policies are made, see $1.log"
}

sbm_boots_power()
{
	local second=$SBM_CACHE/initramfs-second.gz helper=$SBM_O/selftests/power-helper

	sbm_boots_begin
	mv "$initrd" "$second"
	gcc -static -O2 -Wall -Wextra -Werror -I "$SBM_TREE/arch/x86/kernel/sandbox" \
		-o "$helper" "$SBM_DIR/guest/power.c" || die "guest/power.c is not built"
	sbm_boots_begin "$SBM_DIR/guest/power=/power" "$helper=/power-helper" \
		"$kernel=/kernel" "$second=/second"
}

# The suites that must run are those that the sources define.
required_suites()
{
	local f
	while IFS= read -r f; do
		[[ $f != *.c ]] || awk '
			/struct kunit_suite [a-z0-9_]+ *= *\{/ { inside = 1 }
			inside && match($0, /\.name[ \t]*=[ \t]*"[^"]*"/) {
				split(substr($0, RSTART, RLENGTH), part, "\"")
				print part[2]
				inside = 0
			}' "$SBM_TOP/$f"
	done < <(sbm_overlay) | sort -u
}

# judge NAME LOG ARG...: totals are noted, complaints printed
judge()
{
	local name=$1 log=$2 out rc=0 suite args=()
	shift 2

	for suite in $suites; do
		args+=(--require "$suite")
	done
	out=$(sbm_verdict "$log" --name "$name" --kunit "$SBM_TREE/tools/testing/kunit/kunit.py" \
		--totals "$SBM_RESULTS.boot" "${args[@]}" "$@" 2>&1) || rc=$?
	if [ "$rc" -eq 0 ]; then
		say "ok    $name"
		sbm_note "$SBM_VERSION boots" 1 0 0
	else
		say "FAIL  $name (log: $log)"
		sbm_note "$SBM_VERSION boots" 0 1 0
	fi
	awk 'NR <= 40 { print "      " $0 }' <<< "$out"
	cat "$SBM_RESULTS.boot" >> "$SBM_RESULTS" 2>/dev/null || :
	rm -f "$SBM_RESULTS.boot"
	return "$rc"
}

# injected_run LOG CPU APPEND QEMU-ARG... -- INJECT-ARG...: events from QEMU's monitor
# shellcheck disable=SC2317 # called by sbm_again_if_lost
injected_run()
{
	local log=$1 cpu=$2 append=$3 monitor=$SBM_CACHE/monitor injector rc=0 args=()
	shift 3

	while [ "$1" != -- ]; do
		args+=("$1")
		shift
	done
	shift
	rm -f "$monitor" "$log"
	python3 "$SBM_DIR/inject.py" "$monitor" "$log" --limit "$boot_limit" "$@" \
		> "$log.sent" 2>&1 &
	injector=$!
	sbm_qemu -l "$log" -t "$boot_limit" -c "$cpu" -i "$initrd" -M "$monitor" \
		-a "$append" "$kernel" -- "${args[@]}" || rc=$?
	kill "$injector" 2>/dev/null || :
	wait "$injector" || :
	return "$rc"
}

# boot NAME CPU APPEND VERDICT-ARG... [-- EMULATOR-ARG...]: with the initramfs
boot()
{
	local name="$SBM_VERSION $1" cpu=$2 append=$3 log args=() run rc=0 m
	shift 3
	log=$SBM_LOGS/$(tr -cs 'A-Za-z0-9._-' '-' <<< "boot $name" | sed 's/-$//').log
	while [ $# -gt 0 ] && [ "$1" != -- ]; do
		args+=("$1")
		shift
	done
	[ "${1:-}" != -- ] || shift
	for m in "${modules[@]}"; do
		m=$(basename "$m" .ko)
		if [[ " $refused " == *" $m "* ]]; then
			args+=(--refused "$m")
		else
			args+=(--module "$m")
		fi
	done
	say "      booting: $name"
	case $cpu in
	bochs:*)
		sbm_bochs "$@" -l "$log" -t $((boot_limit * 2)) -c "${cpu#bochs:}" \
			-i "$initrd" -a "$append" "$kernel" || rc=$?
		;;
	*)
		run=(sbm_qemu -l "$log" -t "$boot_limit" -c "$cpu" -i "$initrd" \
		     -a "$append" "$kernel" "$@")
		[ ${#inject[@]} -eq 0 ] ||
			run=(injected_run "$log" "$cpu" "$append" "$@" -- "${inject[@]}")
		sbm_again_if_lost "$log" "${run[@]}" || rc=$?
		;;
	esac
	[ "$rc" -eq 0 ] || echo "sbm-test: the emulator ended with status $rc" >> "$log"
	judge "$name" "$log" --task "${args[@]}"
}

# Two boots at a time are done in little more than the time of one: most of the time only
# one of an emulator's processors has work.
beside=() beside_jobs=()
boot_beside() { run_beside boot "$@"; }

# run_beside COMMAND...: what it says and notes is there after boots_join
run_beside()
{
	local at

	at=$(mktemp -d "$SBM_CACHE/results.XXXXXX")
	: > "$at/results"
	while [ "$(jobs -rp | wc -l)" -ge 2 ]; do
		wait -n || :
	done
	SBM_RESULTS=$at/results "$@" > "$at/said" 2>&1 < /dev/null &
	beside+=("$at") beside_jobs+=("$!")
}

boots_join()
{
	local i

	for i in "${!beside[@]}"; do
		wait "${beside_jobs[i]}" || :
		cat "${beside[i]}/said"
		[ -s "${beside[i]}/results" ] || {
			say "FAIL  $SBM_VERSION: a boot ended early"
			sbm_note "$SBM_VERSION boots" 0 1 0
		}
		cat "${beside[i]}/results" >> "$SBM_RESULTS"
		rm -rf "${beside[i]}"
	done
	beside=() beside_jobs=()
}

# For a trap: end what boot_beside has begun, to the last child. An interrupt from the
# keyboard does not reach it.
boots_stop()
{
	local pid

	for pid in "$@"; do
		# shellcheck disable=SC2046 # numbers
		boots_stop $(pgrep -P "$pid")
		kill "$pid" 2>/dev/null || :
	done
}

# What makes QEMU translate one instruction at a time.
one_insn()
{
	if [[ $(qemu-system-x86_64 -help) == *$'\n-singlestep'* ]]; then
		echo -singlestep
	else
		echo "-accel tcg,one-insn-per-tb=on"
	fi
}

# virtme-ng, from where it is to be had.
need_vng()
{
	! command -v vng >/dev/null || return 0
	sbm_need udev
	if [ -n "$(apt-cache madison virtme-ng 2>/dev/null)" ]; then
		sbm_need virtme-ng
	else
		sbm_fetch trixie virtme-ng || return
		sbm_run "installing virtme-ng" "$SBM_LOGS/packages.log" sbm_apt_install "$SBM_DEB"
	fi
}
