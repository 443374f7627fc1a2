# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Functions shared by the scripts in this folder.  Source it, after
# "set -euo pipefail":
#
#	. "$(dirname "$(readlink -f "$0")")/lib.sh"
#
# Words
#   say TEXT...		one line of progress on standard output
#   warn TEXT...	one line on standard error
#   die TEXT...		"error: TEXT" on standard error, then exit 1
#   sbm_run LABEL LOG CMD...
#			run CMD with its output in LOG; a line now and then
#			tells how long it has been running and how many objects
#			were built; returns CMD's status
#   sbm_elapsed		seconds since the script began, as m:ss
#   sbm_case NAME CMD...	one check: CMD's output goes to a log, "ok" or "FAIL" is
#			said and noted; not to be called in a condition
#   sbm_note NAME PASSED FAILED SKIPPED
#			note totals in the file SBM_RESULTS
#   sbm_table		print what was noted, and "N passed, N failed" as the
#			last line; status 1 if anything failed or nothing passed
#   sbm_lock		one run at a time per cache; a child of the holder
#			passes at once
#
# Packages
#   sbm_need PACKAGE...	install the Debian packages that are missing (root)
#   sbm_need_build	what a kernel build takes
#   sbm_need_qemu	what a boot takes
#   sbm_fetch SUITE PACKAGE [all|ARCH]
#			download PACKAGE of another Debian suite by a private apt
#			configuration; sets SBM_DEB.  Returns 3 when the archive
#			has it no longer
#
# Trees.  "WHAT" is 6.12, 7.3 or the path of a kernel tree
#   sbm_version TREE	print VERSION.PATCHLEVEL of a kernel tree
#   sbm_source WHAT	set SBM_SRC (pristine tree, never to be changed),
#			SBM_VERSION (6.12 or 7.3) and SBM_BASE (the package's
#			version); returns 3 when the archive has it no longer
#   sbm_overlay		print the overlay's files, a name a line
#   sbm_series VERSION	print the patches of a kernel's series, a path a line
#   sbm_patch_files PATCH...	print the files that patches touch
#   sbm_prepare [-n NAME] [-s] WHAT [PATCH...]
#			make or update a patched work tree in the cache; -s
#			leaves our series out (stock kernel); PATCHes go on top.
#			NAME keeps several trees of one kernel apart.  Files
#			whose text did not change keep their date, so builds are
#			incremental.  Sets SBM_TREE, SBM_O (build folder), and
#			what sbm_source sets
#
# Build
#   sbm_build TREE O FRAGMENT... -- TARGET...
#			FRAGMENT: a name in configs/ (NAME.config, and
#			NAME-VERSION.config beside it if there is one), a path,
#			or CONFIG_X=y.  lean.config always comes first, the last
#			word on a symbol counts.  Fails when an option did not
#			end up as asked for.  Log: SBM_BUILD_LOG
#   sbm_make TREE O ARG...	make, with the same compiler and settings
#   sbm_build_selftest TREE O
#			the programs of tools/testing/selftests/sbm, in O/selftests
#   sbm_sparse VERSION	set SBM_SPARSE to a sparse that knows this kernel
#
# Boot
#   sbm_initramfs O OUT INIT [FILE=GUESTPATH...]
#			an initramfs of busybox, INIT as /init, and files
#   sbm_qemu -l LOG [-t SECONDS] [-c CPU] [-s CPUS] [-m MEM] [-i INITRD]
#	     [-a APPEND] [-M MONITOR-SOCKET] KERNEL [-- QEMU-ARGUMENT...]
#			boot; first serial port (console) to LOG, second one to
#			LOG.user.  CPU: intel, amd, or what -cpu takes.  Status
#			124: stopped after SECONDS (default 300)
#   sbm_again_if_lost LOG COMMAND...
#			run a command that boots, and run it again if the emulator spoilt
#			it: with several CPUs, QEMU's TCG can lose a write to code that
#			another CPU translates at that moment.  Now and then this hits
#			the kernel while it patches itself. Or its clocks disagree
#   sbm_verdict LOG [ARG...]	judge a log: see verdict.py --help
#
# Settings from outside: XDG_CACHE_HOME, SBM_JOBS (processors to use),
# SBM_ACCEL (tcg, kvm; otherwise kvm if it works), SBM_BEAT (seconds between
# progress lines), SBM_REFRESH=1 (look for a newer source package).

SBM_TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
SBM_DIR=$SBM_TOP/scripts/sbm
SBM_CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/sbm
SBM_LOGS=$SBM_CACHE/log
SBM_JOBS=${SBM_JOBS:-$(nproc)}
SBM_BEAT=${SBM_BEAT:-30}
SBM_RETRIED=
# What sbm_source and sbm_fetch return for "gone from the archive".
SBM_EX_GONE=3
SBM_KERNELS="6.12 7.3"

mkdir -p "$SBM_CACHE" "$SBM_LOGS"

# --- Words ---------------------------------------------------------------

say() { printf '%s\n' "$*"; }
warn() { printf '%s\n' "$*" >&2; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

sbm_elapsed() { printf '%d:%02d' $((SECONDS / 60)) $((SECONDS % 60)); }

sbm_run()
{
	local label=$1 log=$2 rc=0 beat
	shift 2

	mkdir -p "$(dirname "$log")"
	: > "$log"
	(
		exec 2>/dev/null
		start=$SECONDS
		while sleep "$SBM_BEAT" && kill -0 $$; do
			t=$((SECONDS - start))
			n=$(grep -cE '^ +(CC|AS|LD|AR|HOSTCC)( \[M\])? ' "$log" || :)
			text=$(printf '  ... %s: %d:%02d' "$label" $((t / 60)) $((t % 60)))
			[ "$n" -eq 0 ] || text="$text, $n objects"
			printf '%s\n' "$text"
		done
	) &
	beat=$!
	"$@" >> "$log" 2>&1 || rc=$?
	# The sleep is a child of the loop: end it too, it holds our output.
	pkill -P "$beat" 2>/dev/null || :
	kill "$beat" 2>/dev/null || :
	wait "$beat" 2>/dev/null || :
	return "$rc"
}

sbm_note()
{
	[ -z "${SBM_RESULTS:-}" ] || printf '%s\t%d\t%d\t%d\n' "$@" >> "$SBM_RESULTS"
}

# SBM_GROUP names the line of the table that a check is counted in.
sbm_case()
{
	local name=$1 rc log
	shift
	log=$SBM_LOGS/$(printf '%s' "${SBM_GROUP:-check} $name" | tr -cs 'A-Za-z0-9._-' '-').log

	# "set -e" must hold inside, so no condition around the subshell.
	set +e
	( set -e; trap - EXIT; "$@" ) > "$log" 2>&1
	rc=$?
	set -e
	if [ "$rc" -eq 0 ]; then
		say "ok    $name"
		sbm_note "${SBM_GROUP:-checks}" 1 0 0
	else
		say "FAIL  $name (log: $log)"
		tail -n 8 "$log" | sed 's/^/      /'
		sbm_note "${SBM_GROUP:-checks}" 0 1 0
	fi
}

sbm_table()
{
	# A name noted several times is one line: its sums.
	awk -F'\t' '
		!($1 in seen) { seen[$1]; order[++n] = $1 }
		{ p[$1] += $2; f[$1] += $3; s[$1] += $4; P += $2; F += $3 }
		END {
			printf "\n%-44s %8s %8s %8s\n", "", "passed", "failed", "skipped"
			for (i = 1; i <= n; i++) {
				k = order[i]
				printf "%-44s %8d %8d %8d\n", k, p[k], f[k], s[k]
			}
			printf "%d passed, %d failed\n", P, F
			exit F > 0 || P == 0
		}' "$SBM_RESULTS"
}

sbm_lock()
{
	[ -z "${SBM_LOCKED:-}" ] || return 0
	exec 9> "$SBM_CACHE/lock"
	if ! flock -n 9; then
		say "Another run uses $SBM_CACHE; waiting for it to end."
		flock 9
	fi
	export SBM_LOCKED=1
	# What runs that were cut short have left behind.
	rm -rf "$SBM_CACHE"/{prepare,selftest,check,initramfs,results,bochs-run}.??????*
}

# --- Packages ------------------------------------------------------------

sbm_debian()
{
	if [ ! -e /etc/debian_version ] || ! command -v apt-get >/dev/null; then
		die "this is not a Debian machine; install by hand what is missing: $*"
	fi
}

sbm_need()
{
	local p missing=() log=$SBM_LOGS/packages.log

	for p; do
		[ "$(dpkg-query -W -f='${db:Status-Status}' "$p" 2>/dev/null)" = installed ] ||
			missing+=("$p")
	done
	[ ${#missing[@]} -gt 0 ] || return 0

	sbm_debian "${missing[*]}"
	[ "$(id -u)" -eq 0 ] ||
		die "not root, so cannot install: apt-get install ${missing[*]}"

	say "Installing packages: ${missing[*]}"
	if ! sbm_run "installing" "$log" sbm_apt_install "${missing[@]}"; then
		sbm_run "package lists" "$log" apt-get -q update ||
			warn "apt-get update reported errors: see $log"
		sbm_run "installing" "$log" sbm_apt_install "${missing[@]}" || {
			tail -n 5 "$log" >&2
			die "packages cannot be installed: ${missing[*]} (log: $log)"
		}
	fi
}

sbm_apt_install()
{
	DEBIAN_FRONTEND=noninteractive apt-get -qy \
		-o Dpkg::Use-Pty=0 install --no-install-recommends "$@"
}

sbm_need_build()
{
	sbm_need bc bison build-essential busybox-static ccache cpio flex git \
		 kmod libelf-dev libssl-dev patch perl procps python3 rsync \
		 xz-utils
}

sbm_need_qemu()
{
	sbm_need busybox-static python3 qemu-system-x86
}

# The machine's own Debian mirror, however its sources are written down.
sbm_mirror()
{
	local codename
	# shellcheck source=/dev/null
	codename=$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-}")
	# shellcheck disable=SC2016 # apt's own variables
	apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 2>/dev/null |
		awk -v c="$codename" '
			$3 == "main" && $2 == c && !own { own = $1 }
			$3 == "main" && $1 ~ /debian\/?$/ && !alt { alt = $1 }
			END { if (own alt != "") print own != "" ? own : alt }'
}

# A configuration of our own: the machine's sources and lists stay as they are.
sbm_apt_private()
{
	local dir=$SBM_CACHE/apt mirror suite
	local keys=/usr/share/keyrings/debian-archive-keyring.gpg

	sbm_debian "the kernel's source"
	[ -r "$keys" ] || die "no $keys: install debian-archive-keyring"
	mirror=$(sbm_mirror)
	[ -n "$mirror" ] || die "apt's sources name no Debian archive: see /etc/apt/sources.list"

	mkdir -p "$dir/lists/partial" "$dir/cache/archives/partial"
	cat > "$dir/apt.conf" <<-END
		Dir::State::lists "$dir/lists";
		Dir::Cache "$dir/cache";
		Dir::Etc::sourcelist "$dir/sources.list";
		Dir::Etc::sourceparts "/dev/null";
		Dir::Etc::preferences "/dev/null";
		Dir::Etc::preferencesparts "/dev/null";
		APT::Sandbox::User "root";
		APT::Default-Release "";
	END
	for suite in trixie trixie-backports forky; do
		echo "deb [signed-by=$keys] $mirror $suite main"
	done > "$dir/sources.list.new"
	cmp -s "$dir/sources.list.new" "$dir/sources.list" || {
		mv "$dir/sources.list.new" "$dir/sources.list"
		rm -f "$dir/updated"
	}
	rm -f "$dir/sources.list.new"

	if [ -z "$(find "$dir/updated" -mmin -360 2>/dev/null)" ]; then
		sbm_run "package lists" "$SBM_LOGS/apt.log" \
			apt-get -q -c "$dir/apt.conf" -o APT::Update::Error-Mode=any update || {
			grep -E '^[EW]:' "$SBM_LOGS/apt.log" >&2 || :
			die "the package lists of trixie, trixie-backports and forky cannot be read: network? (log: $SBM_LOGS/apt.log)"
		}
		touch "$dir/updated"
	fi
}

sbm_fetch()
{
	local suite=$1 package=$2 version deb
	local conf=$SBM_CACHE/apt/apt.conf dir=$SBM_CACHE/deb

	sbm_apt_private
	version=$(apt-cache -c "$conf" madison "$package" |
		  awk -F' *[|] *' -v s="$suite/main" '{ split($3, a, " "); if (a[2] == s && !n++) print $2 }')
	[ -n "$version" ] || return "$SBM_EX_GONE"

	mkdir -p "$dir"
	deb=$(find "$dir" -name "${package}_${version//:/%3a}_*.deb" -print -quit)
	if [ -z "$deb" ]; then
		say "Downloading $package $version ($suite)"
		( cd "$dir" && sbm_run "download" "$SBM_LOGS/apt.log" \
			apt-get -q -c "$conf" download "$package=$version" ) || {
			grep -E '^[EW]:' "$SBM_LOGS/apt.log" >&2 || :
			die "$package $version cannot be downloaded (log: $SBM_LOGS/apt.log)"
		}
		deb=$(find "$dir" -name "${package}_${version//:/%3a}_*.deb" -print -quit)
	fi
	[ -s "$deb" ] || die "$package: apt-get download left no file in $dir"
	# shellcheck disable=SC2034 # for callers
	SBM_DEB=$deb SBM_DEB_VERSION=$version
}

# --- Trees ---------------------------------------------------------------

sbm_version()
{
	[ -r "$1/Makefile" ] && grep -q '^KERNELRELEASE *=' "$1/Makefile" ||
		return 1
	awk '$1 == "VERSION" && $2 == "=" { v = $3 }
	     $1 == "PATCHLEVEL" && $2 == "=" { print v "." $3; exit }' "$1/Makefile"
}

sbm_unpack_source()
{
	local deb=$1 dest=$2 tmp=$SBM_CACHE/src/.unpack

	# Called where "set -e" is off: each step says itself that it failed.
	rm -rf "$tmp" "$dest"
	mkdir -p "$tmp" || return
	dpkg-deb --fsys-tarfile "$deb" |
		tar -xO --wildcards './usr/src/linux-source-*.tar.xz' |
		tar -xJ -C "$tmp" --strip-components=1 || return
	[ -r "$tmp/Makefile" ] && mv "$tmp" "$dest"
}

sbm_source()
{
	local what=$1 pkg=linux-source-$1 deb version link rc

	SBM_BASE=
	case $what in
	6.12|7.3) ;;
	*)
		[ -d "$what" ] || die "$what: not a kernel version that is known here ($SBM_KERNELS), and no folder"
		SBM_SRC=$(cd "$what" && pwd -P)
		SBM_VERSION=$(sbm_version "$SBM_SRC") ||
			die "$what: not a kernel tree (no Makefile with a version)"
		[[ " $SBM_KERNELS " == *" $SBM_VERSION "* ]] ||
			die "$what: Linux $SBM_VERSION is not supported; supported: $SBM_KERNELS"
		SBM_BASE=$(awk '$1 == "SUBLEVEL" && $2 == "=" { print $3; exit }' "$SBM_SRC/Makefile")
		SBM_BASE=$SBM_VERSION.$SBM_BASE
		return 0 ;;
	esac

	mkdir -p "$SBM_CACHE/src" "$SBM_CACHE/deb"
	link=$SBM_CACHE/src/$what
	SBM_VERSION=$what
	if [ ! -e "$link/Makefile" ] || [ "${SBM_REFRESH:-0}" = 1 ]; then
		sbm_need dpkg tar xz-utils
		case $what in
		6.12)
			sbm_fetch_own "$pkg" || return
			;;
		7.3)
			rc=0
			sbm_fetch trixie-backports "$pkg" || rc=$?
			if [ "$rc" -eq "$SBM_EX_GONE" ]; then
				warn "$what is no longer in the archive; give a tree: scripts/sbm/test PATH"
				return "$rc"
			fi
			;;
		esac
		deb=$SBM_DEB
		version=$SBM_DEB_VERSION
		if [ ! -e "$SBM_CACHE/src/$pkg-$version/Makefile" ]; then
			say "Unpacking $pkg $version"
			sbm_run "unpacking" "$SBM_LOGS/unpack.log" \
				sbm_unpack_source "$deb" "$SBM_CACHE/src/$pkg-$version" ||
				die "$deb cannot be unpacked: disk full? (log: $SBM_LOGS/unpack.log)"
		fi
		ln -sfn "$pkg-$version" "$link"
	fi
	SBM_SRC=$(readlink -f "$link")
	SBM_BASE=${SBM_SRC##*/"$pkg"-}
}

# 6.12 comes from the machine's own suites (Debian 12: security; 13: main).
sbm_fetch_own()
{
	local package=$1 dir=$SBM_CACHE/deb version

	version=$(apt-cache policy "$package" 2>/dev/null | awk '$1 == "Candidate:" { print $2 }')
	if [ -z "$version" ] || [ "$version" = "(none)" ]; then
		[ "$(id -u)" -eq 0 ] || die "apt knows no $package: run apt-get update as root"
		sbm_run "package lists" "$SBM_LOGS/apt.log" apt-get -q update || :
		version=$(apt-cache policy "$package" 2>/dev/null | awk '$1 == "Candidate:" { print $2 }')
	fi
	if [ -z "$version" ] || [ "$version" = "(none)" ]; then
		warn "$package is in none of the suites of /etc/apt/sources.list (Debian 12: bookworm-security, 13: trixie); give a tree: scripts/sbm/test PATH"
		return "$SBM_EX_GONE"
	fi
	SBM_DEB=$dir/${package}_${version//:/%3a}_all.deb
	SBM_DEB_VERSION=$version
	[ ! -s "$SBM_DEB" ] || return 0
	say "Downloading $package $version"
	( cd "$dir" && sbm_run "download" "$SBM_LOGS/apt.log" \
		apt-get -q -o APT::Sandbox::User=root download "$package=$version" ) || {
		# The list may be older than the archive.
		[ "$(id -u)$SBM_RETRIED" = 0 ] ||
			die "$package $version cannot be downloaded (log: $SBM_LOGS/apt.log)"
		sbm_run "package lists" "$SBM_LOGS/apt.log" apt-get -q update || :
		SBM_RETRIED=yes
		sbm_fetch_own "$package" || return
	}
	[ -s "$SBM_DEB" ] || die "$package: apt-get download left no $SBM_DEB"
}

# Existing files that patches touch, and files that they make: one name a line.
sbm_patch_files()
{
	[ $# -gt 0 ] || return 0
	sed -nE 's,^(---|\+\+\+) [ab]/([^\t]*).*$,\2,p' "$@" | sort -u
}

# The entries of a kernel's series, as paths.
sbm_series()
{
	local series=$SBM_TOP/series
	[ "$1" = 7.3 ] || series=$SBM_TOP/series-$1
	[ -r "$series" ] || die "no $series"
	sed -E 's/[[:space:]]*(#.*)?$//; /^$/d; s/[[:space:]].*//' "$series" |
		sed "s,^,$SBM_TOP/,"
}

# The overlay's files, relative to the top: what the manifest names.
sbm_overlay()
{
	local entry
	sed -E 's/[[:space:]]*(#.*)?$//; /^$/d' "$SBM_DIR/manifest" |
	while IFS= read -r entry; do
		# shellcheck disable=SC2086 # an entry may be a pattern
		( cd "$SBM_TOP" && { compgen -G "$entry" >/dev/null || exit 0; } &&
		  find $entry -type f ! -name '*.o' ! -name '*.rej' \
			! -name '*.orig' ! -name '*~' ! -name '*.pyc' \
			! -name '.*.sw?' )
	done | sort -u
}

sbm_prepare()
{
	local name='' stock=0 opt OPTIND=1 what p f patches=() scratch work state mark

	while getopts n:s opt; do
		case $opt in
		n) name=$OPTARG ;;
		s) stock=1 ;;
		*) die "sbm_prepare: wrong option" ;;
		esac
	done
	shift $((OPTIND - 1))
	what=$1
	shift
	sbm_source "$what" || return
	case $what in
	6.12|7.3) ;;
	*) what=path-$(printf '%s' "$SBM_SRC" | sha1sum | cut -c1-8) ;;
	esac
	name=$what${name:+-$name}
	work=$SBM_CACHE/work/$name
	state=$SBM_CACHE/work/$name.files
	mark=$SBM_CACHE/work/$name.base
	# A build folder right inside the tree makes make use relative paths:
	# then ccache serves all trees of one kernel alike.
	# shellcheck disable=SC2034 # for callers
	SBM_TREE=$work SBM_O=$work/build

	if [ -e "$SBM_SRC/include/linux/sbm.h" ] && [ "$stock" -eq 0 ]; then
		say "$SBM_SRC is patched already; taken as it is"
		stock=1
	fi

	# What must differ from the pristine tree, made in a folder that holds
	# only the files concerned.
	scratch=$(mktemp -d "$SBM_CACHE/prepare.XXXXXX")
	if [ "$stock" -eq 0 ]; then
		mapfile -t patches < <(sbm_series "$SBM_VERSION")
	fi
	mkdir -p "$scratch/kernel" "$scratch/arch/x86"
	while IFS= read -r f; do
		[ -e "$SBM_SRC/$f" ] || continue
		mkdir -p "$scratch/$(dirname "$f")"
		cp -p "$SBM_SRC/$f" "$scratch/$f"
	done < <(echo Makefile; sbm_patch_files "${patches[@]}" "$@")
	if [ "$stock" -eq 0 ]; then
		"$SBM_DIR/apply" --quiet "$scratch" || {
			rm -rf "$scratch"
			die "the series does not apply to $SBM_SRC"
		}
	fi
	for p; do
		patch -p1 -F0 -f -s --no-backup-if-mismatch -r - -d "$scratch" < "$p" || {
			rm -rf "$scratch"
			die "$p does not apply on top of the series"
		}
	done

	mkdir -p "$SBM_CACHE/work"
	( cd "$scratch" && find . -type f -printf '%P\n'
	  cat "$state" 2>/dev/null || : ) | sort -u > "$state.new"
	mv "$state.new" "$state"

	case $what in
	path-*)
		say "Copying $SBM_SRC"
		sed 's,^,/,' "$state" > "$state.exclude"
		mkdir -p "$work"
		rsync -a --delete \
			--exclude=/build --exclude=/.git --exclude=/.config \
			--exclude=/include/config --exclude=/include/generated \
			--exclude='/arch/*/include/generated' \
			--exclude='*.o' --exclude='*.ko' --exclude='.*.cmd' \
			--filter="merge,- $state.exclude" \
			"$SBM_SRC/" "$work/" > "$SBM_LOGS/copy.log" 2>&1 || {
			tail -n 3 "$SBM_LOGS/copy.log" >&2
			die "$SBM_SRC cannot be copied to $work: disk full?"
		}
		;;
	*)
		if [ "$(cat "$mark" 2>/dev/null)" != "$SBM_BASE" ]; then
			rm -rf "$work" "$state"
			( cd "$scratch" && find . -type f -printf '%P\n' | sort ) > "$state"
			# Hard links: nothing here writes into an existing file.
			cp -al "$SBM_SRC" "$work.new"
			mv "$work.new" "$work"
			echo "$SBM_BASE" > "$mark"
		fi
		;;
	esac

	while IFS= read -r f; do
		if [ -e "$scratch/$f" ]; then
			p=$scratch/$f
		elif [ -e "$SBM_SRC/$f" ]; then
			p=$SBM_SRC/$f
		else
			rm -f "$work/$f"
			rmdir -p --ignore-fail-on-non-empty "$work/$(dirname "$f")" 2>/dev/null || :
			continue
		fi
		cmp -s "$p" "$work/$f" && continue
		mkdir -p "$work/$(dirname "$f")"
		cp --preserve=mode "$p" "$work/$f.sbm-new"
		mv "$work/$f.sbm-new" "$work/$f"
	done < "$state"
	rm -rf "$scratch"
	[ -e "$SBM_O" ] || sbm_seed "$name"
}

# A new tree starts with the objects of another one of the same kernel.  Make
# goes by dates: what differs between the two is new, what is alike is as old.
sbm_seed()
{
	local new=$SBM_CACHE/work/$1 donor='' least=0 other f n

	[ -e "$new.base" ] || return 0
	# The one that has the fewest files that differ.
	for other in "$SBM_CACHE/work/"*.base; do
		other=${other%.base}
		if [ "$other" = "$new" ] || [ ! -e "$other/build/vmlinux" ] ||
		   ! cmp -s "$other.base" "$new.base"; then
			continue
		fi
		n=$(sort -u "$other.files" "$new.files" |
		    while IFS= read -r f; do
			cmp -s "$other/$f" "$new/$f" || echo "$f"
		    done | wc -l)
		if [ -z "$donor" ] || [ "$n" -lt "$least" ]; then
			donor=$other least=$n
		fi
	done
	[ -n "$donor" ] || return 0
	say "Starting from the objects of $(basename "$donor")"
	sort -u "$donor.files" "$new.files" |
	while IFS= read -r f; do
		[ -e "$new/$f" ] || continue
		cp --preserve=mode "$new/$f" "$new/$f.sbm-new"
		! cmp -s "$donor/$f" "$new/$f" || touch -r "$donor/$f" "$new/$f.sbm-new"
		mv "$new/$f.sbm-new" "$new/$f"
	done
	rm -rf "$new/build.new"
	cp -a "$donor/build" "$new/build.new"
	touch "$new/build.new/.sbm-seeded"
	mv "$new/build.new" "$new/build"
}

# --- Build ---------------------------------------------------------------

sbm_make()
{
	local tree=$1 o=$2
	shift 2
	env CCACHE_DIR="$SBM_CACHE/ccache" CCACHE_NOHASHDIR=1 \
	    CCACHE_DEPEND=1 CCACHE_MAXSIZE=8G KBUILD_BUILD_USER=sbm KBUILD_BUILD_HOST=sbm \
	    KBUILD_BUILD_TIMESTAMP='Thu Jan  1 00:00:00 UTC 2026' \
	    KBUILD_BUILD_VERSION=1 PYTHONDONTWRITEBYTECODE=1 LC_ALL=C \
	    make -C "$tree" O="$o" ARCH=x86_64 CC='ccache gcc' \
		 HOSTCC='ccache gcc' -j"$SBM_JOBS" "$@"
}

# All fragments' lines in order, one setting a symbol: the last one.
sbm_config_lines()
{
	local version=$1 f
	shift
	for f in lean "$@"; do
		case $f in
		CONFIG_*=*) echo "$f" ;;
		*/*) cat "$f" || die "no configuration $f" ;;
		*)
			cat "$SBM_DIR/configs/$f.config" || die "no configuration $f"
			[ ! -e "$SBM_DIR/configs/$f-$version.config" ] ||
				cat "$SBM_DIR/configs/$f-$version.config"
			;;
		esac
	done | sed -nE 's/^# (CONFIG_[A-Za-z0-9_]+) is not set$/\1=n/p; s/^(CONFIG_[A-Za-z0-9_]+=[^#]*[^# \t]).*$/\1/p' |
	awk -F= '!($1 in at) { order[++n] = $1 } { at[$1] = $0 }
		 END { for (i = 1; i <= n; i++) print at[order[i]] }'
}

sbm_build()
{
	local tree=$1 o=$2 frags=() version want missing=() sym got
	shift 2
	while [ $# -gt 0 ] && [ "$1" != -- ]; do
		frags+=("$1")
		shift
	done
	[ "${1:-}" = -- ] || die "sbm_build: no -- before the targets"
	shift

	version=$(sbm_version "$tree") || die "$tree: not a kernel tree"
	mkdir -p "$o"
	SBM_BUILD_LOG=$SBM_LOGS/build-$(basename "$tree").log
	sbm_config_lines "$version" "${frags[@]}" > "$o/sbm.fragment"

	sbm_run "configuration" "$SBM_BUILD_LOG" \
		sbm_make "$tree" "$o" KCONFIG_ALLCONFIG="$o/sbm.fragment" allnoconfig ||
		sbm_build_failed "the configuration of $tree failed"

	while IFS='=' read -r sym want; do
		got=$(sed -n "s/^$sym=//p" "$o/.config")
		[ "${got:-n}" = "$want" ] || missing+=("$sym=$want (is ${got:-n})")
	done < "$o/sbm.fragment"
	[ ${#missing[@]} -eq 0 ] ||
		die "Linux $version did not take these options, something they depend on is off: $(IFS=,; echo "${missing[*]}")"

	# Every object depends on objtool, whose own build depends on where it
	# lies.  Its source is the donor's, so its date may be the same as well.
	if [ -e "$o/.sbm-seeded" ]; then
		cp -p "$o/tools/objtool/objtool" "$o/.sbm-objtool"
		sbm_run "objtool" "$SBM_BUILD_LOG" \
			sbm_make "$tree" "$o" tools/objtool ||
			sbm_build_failed "the build of objtool failed"
		touch -r "$o/.sbm-objtool" "$o/tools/objtool/objtool"
		rm -f "$o/.sbm-objtool" "$o/.sbm-seeded"
	fi

	sbm_run "build of $(basename "$tree")" "$SBM_BUILD_LOG" \
		sbm_make "$tree" "$o" "$@" ||
		sbm_build_failed "the build of $tree failed"
}

sbm_build_failed()
{
	grep -nE 'error:|undefined reference|\*\*\*|Error [0-9]|No space' "$SBM_BUILD_LOG" |
		head -n 12 >&2 || tail -n 12 "$SBM_BUILD_LOG" >&2
	die "$1 (log: $SBM_BUILD_LOG)"
}

sbm_build_selftest()
{
	local tree=$1 o=$2 log=$SBM_LOGS/build-selftest.log

	rm -rf "$o/selftests"
	mkdir -p "$o/selftests"
	# A warning is an error; built like any selftest otherwise.
	env -u MAKELEVEL -u ARCH LC_ALL=C make -C "$tree/tools/testing/selftests/sbm" \
		OUTPUT="$o/selftests" USERCFLAGS=-Werror > "$log" 2>&1 || :
	[ -x "$o/selftests/sbm_task_state" ] || {
		tail -n 8 "$log" >&2
		die "the selftest is not built (log: $log)"
	}
}

# The sparse of Debian 12 and 13 (0.6.4) does not know __typeof_unqual__, which
# 7.3 uses: make warns once, and checks nothing.  forky's runs on trixie's libc.
sbm_sparse()
{
	local dir=$SBM_CACHE/sparse lib

	if [ "$1" = 6.12 ]; then
		sbm_need sparse
		SBM_SPARSE=$(command -v sparse)
		return 0
	fi
	SBM_SPARSE=$dir/sparse
	[ ! -x "$SBM_SPARSE" ] || return 0
	rm -rf "$dir"
	mkdir -p "$dir"
	sbm_fetch forky sparse || return
	dpkg-deb -x "$SBM_DEB" "$dir"
	sbm_fetch trixie libc6 || return
	dpkg-deb -x "$SBM_DEB" "$dir"
	lib=$dir/usr/lib/x86_64-linux-gnu
	[ -x "$lib/ld-linux-x86-64.so.2" ] || die "no loader in $lib"
	cat > "$SBM_SPARSE.new" <<-END
		#!/bin/sh
		exec "$lib/ld-linux-x86-64.so.2" --library-path "$lib" "$dir/usr/bin/sparse" "\$@"
	END
	chmod +x "$SBM_SPARSE.new"
	"$SBM_SPARSE.new" --version >/dev/null || die "forky's sparse does not run on trixie's libc: see $dir"
	mv "$SBM_SPARSE.new" "$SBM_SPARSE"
}

# --- Boot ----------------------------------------------------------------

sbm_initramfs()
{
	local o=$1 out=$2 init=$3 list f dir dirs
	shift 3

	[ -x "$o/usr/gen_init_cpio" ] || die "no $o/usr/gen_init_cpio: build the kernel first"
	[ -x /bin/busybox ] || sbm_need busybox-static
	list=$(mktemp "$SBM_CACHE/initramfs.XXXXXX")
	{
		for dir in bin dev proc sys tmp mnt root; do
			echo "dir /$dir 755 0 0"
		done
		echo "nod /dev/console 600 0 0 c 5 1"
		echo "file /bin/busybox /bin/busybox 755 0 0"
		echo "slink /bin/sh busybox 777 0 0"
		echo "file /init $init 755 0 0"
		dirs=' '
		for f; do
			dir=$(dirname "${f#*=}")
			if [[ $dir != / && $dirs != *" $dir "* ]]; then
				dirs+="$dir "
				echo "dir $dir 755 0 0"
			fi
			echo "file ${f#*=} ${f%%=*} 755 0 0"
		done
	} > "$list"
	"$o/usr/gen_init_cpio" -t 0 "$list" | gzip -1 > "$out" || die "no initramfs could be made from $list"
	rm -f "$list"
}

# usb_camera OUT: the program of a guest that is a camera, and looks at it
usb_camera()
{
	gcc -static -O2 -Wall -Wextra -Werror -o "$1" "$SBM_DIR/guest/usb-camera.c" ||
		die "guest/usb-camera.c is not built"
}

# Can KVM really run code here?  A boot sector that ends QEMU with status 99.
sbm_kvm_works()
{
	local sector=$SBM_CACHE/kvm-probe.img rc=0

	grep -qwE 'vmx|svm' /proc/cpuinfo && [ -w /dev/kvm ] || return 1
	# mov al,0x31; out 0xf4,al; hlt
	{ printf '\xb0\x31\xe6\xf4\xf4'; head -c 505 /dev/zero; printf '\x55\xaa'; } > "$sector"
	timeout -k 2 10 qemu-system-x86_64 -accel kvm -nodefaults -display none \
		-device isa-debug-exit,iobase=0xf4,iosize=0x04 -m 32 \
		-drive "file=$sector,format=raw,if=ide,snapshot=on" \
		</dev/null >/dev/null 2>&1 || rc=$?
	[ "$rc" -eq 99 ]
}

# KVM shows the host's own maker; the other one is emulated.
sbm_accel()
{
	local cpu=$1 vendor=AuthenticAMD

	case ${SBM_ACCEL:-} in
	tcg|kvm) echo "$SBM_ACCEL"; return ;;
	esac
	[[ $cpu != *GenuineIntel* ]] || vendor=GenuineIntel
	if grep -q "^vendor_id.*$vendor" /proc/cpuinfo && sbm_kvm_works; then
		echo kvm
	else
		echo tcg
	fi
}

sbm_qemu()
{
	local log='' t=300 cpu=amd cpus=2 mem=1G initrd='' append='' monitor='' opt OPTIND=1
	local kernel args=() rc=0 accel

	while getopts l:t:c:s:m:i:a:M: opt; do
		case $opt in
		l) log=$OPTARG ;;
		t) t=$OPTARG ;;
		c) cpu=$OPTARG ;;
		s) cpus=$OPTARG ;;
		m) mem=$OPTARG ;;
		i) initrd=$OPTARG ;;
		a) append=$OPTARG ;;
		M) monitor=$OPTARG ;;
		*) die "sbm_qemu: wrong option" ;;
		esac
	done
	shift $((OPTIND - 1))
	kernel=$1
	shift
	[ "${1:-}" != -- ] || shift
	[ -n "$log" ] || die "sbm_qemu: no -l LOG"
	[ -e "$kernel" ] || die "no kernel $kernel"

	case $cpu in
	intel) cpu=max,vendor=GenuineIntel ;;
	amd) cpu=max,vendor=AuthenticAMD ;;
	esac
	accel=$(sbm_accel "$cpu")
	[ -z "$initrd" ] || args+=(-initrd "$initrd")
	if [ -n "$monitor" ]; then
		rm -f "$monitor"
		args+=(-monitor "unix:$monitor,server=on,wait=off")
	else
		args+=(-monitor none)
	fi
	mkdir -p "$(dirname "$log")"
	: > "$log"
	: > "$log.user"
	# The log goes through a pipe: QEMU would write at an offset of its own.
	timeout -k 10 "$t" qemu-system-x86_64 -accel "$accel" -cpu "$cpu" \
		-smp "$cpus" -m "$mem" -nodefaults -no-reboot -display none \
		-serial stdio -serial "file:$log.user" "${args[@]}" \
		-kernel "$kernel" \
		-append "console=ttyS0 panic=-1 printk.devkmsg=on $append" \
		"$@" </dev/null 2>&1 | cat > "$log" || rc=${PIPESTATUS[0]}
	[ "$rc" -ne 124 ] || echo "sbm-test: stopped after $t seconds" >> "$log"
	return "$rc"
}

# Bochs emulates what QEMU does not: PCIDs, LASS, CET, AVX-512. That of trixie runs on
# its own libraries, from a folder in the cache; nothing of it is installed. forky's
# has a wrong IDIV: the kernel does not boot.
sbm_need_bochs()
{
	local dir=$SBM_CACHE/bochs lib deb
	local conf=$SBM_CACHE/apt/apt.conf

	SBM_BOCHS=$dir/bochs
	sbm_need isolinux syslinux-common xorriso
	[ ! -f "$SBM_BOCHS" ] || return 0
	sbm_apt_private
	[ -n "$(apt-cache -c "$conf" madison bochs | awk '/ trixie\/main /')" ] ||
		return "$SBM_EX_GONE"
	rm -rf "$dir"
	mkdir -p "$dir/archives/partial"
	: > "$dir/status"
	say "Downloading Bochs (trixie)"
	sbm_run "download" "$SBM_LOGS/apt.log" \
		apt-get -q -y -c "$conf" -t trixie -o Dir::State::status="$dir/status" \
		-o Dir::Cache::archives="$dir/archives" --no-install-recommends \
		--download-only install bochs bochsbios vgabios || {
		grep -E '^[EW]:' "$SBM_LOGS/apt.log" >&2 || :
		die "Bochs cannot be downloaded (log: $SBM_LOGS/apt.log)"
	}
	for deb in "$dir"/archives/*.deb; do
		dpkg-deb -x "$deb" "$dir"
	done
	rm -rf "$dir/archives"
	lib=$dir/usr/lib/x86_64-linux-gnu
	cat > "$SBM_BOCHS.new" <<-END
		#!/bin/sh
		export LTDL_LIBRARY_PATH="$lib/bochs/plugins"
		exec "$lib/ld-linux-x86-64.so.2" --library-path "$lib" "$dir/usr/bin/bochs-bin" "\$@"
	END
	chmod +x "$SBM_BOCHS.new"
	[[ $("$SBM_BOCHS.new" -help cpu 2>&1 || :) == *arrow_lake* ]] ||
		die "Bochs does not run, or knows no arrow_lake: see $dir"
	mv "$SBM_BOCHS.new" "$SBM_BOCHS"
}

# sbm_bochs -l LOG -t SECONDS -c MODEL -s CPUS -i INITRD -a APPEND KERNEL
#
# Its protection keys stop the kernel's own writes, too (a key that may not be written
# counts for supervisor pages): off. A single step over SYSCALL traps in the kernel,
# although SFMASK has cleared TF: no stepping.
sbm_bochs()
{
	local log='' t=600 model=arrow_lake cpus=1 initrd='' append='' opt OPTIND=1
	local dir=$SBM_CACHE/bochs rc=0 run net

	while getopts l:t:c:s:i:a: opt; do
		case $opt in
		l) log=$OPTARG ;;
		t) t=$OPTARG ;;
		c) model=$OPTARG ;;
		s) cpus=$OPTARG ;;
		i) initrd=$OPTARG ;;
		a) append=$OPTARG ;;
		*) die "sbm_bochs: wrong option" ;;
		esac
	done
	shift $((OPTIND - 1))
	run=$(mktemp -d "$SBM_CACHE/bochs-run.XXXXXX") || die "no folder in $SBM_CACHE"
	if ! { mkdir -p "$run/iso/isolinux" &&
	       cp /usr/lib/ISOLINUX/isolinux.bin \
		  /usr/lib/syslinux/modules/bios/ldlinux.c32 "$run/iso/isolinux/" &&
	       cp "$1" "$run/iso/kernel" && cp "$initrd" "$run/iso/initrd"; }; then
		die "$run cannot be filled"
	fi
	cat > "$run/iso/isolinux/isolinux.cfg" <<-END
		DEFAULT linux
		PROMPT 0
		LABEL linux
		KERNEL /kernel
		INITRD /initrd
		APPEND console=ttyS0 panic=-1 printk.devkmsg=on hpet=disable tsc=reliable tsc_early_khz=100000 i8042.nokbd i8042.noaux nopku sbm_leave_out=single_steps,block_steps $append
	END
	cat > "$run/bochsrc" <<-END
		config_interface: textconfig
		display_library: rfb, options="timeout=0"
		cpu: model=$model, count=$cpus, ips=100000000, reset_on_triple_fault=0, ignore_bad_msrs=1
		memory: guest=1024, host=1024
		romimage: file=$dir/usr/share/bochs/BIOS-bochs-latest, options=fastboot
		vgaromimage: file=$dir/usr/share/bochs/VGABIOS-lgpl-latest
		pci: enabled=1, chipset=i440fx
		ata0-master: type=cdrom, path=$run/boot.iso, status=inserted
		boot: cdrom
		com1: enabled=1, mode=file, dev=$log
		com2: enabled=1, mode=file, dev=$log.user
		log: $run/log
		panic: action=fatal
		error: action=ignore
		info: action=report
		debug: action=ignore
		clock: sync=none, time0=1700000000
	END
	: > "$log"
	: > "$log.user"
	xorrisofs -quiet -o "$run/boot.iso" -b isolinux/isolinux.bin -c isolinux/boot.cat \
		-no-emul-boot -boot-load-size 4 -boot-info-table "$run/iso" 2> "$run/out" ||
		{ cat "$run/out" >&2; die "xorrisofs failed"; }
	# Its display is a VNC server for anybody: no network for it
	net=()
	if unshare -n true 2>/dev/null; then
		net=(unshare -n)
	elif unshare -rn true 2>/dev/null; then
		net=(unshare -rn)
	fi
	timeout --foreground -k 10 "$t" "${net[@]}" "$SBM_BOCHS" -q -f "$run/bochsrc" \
		< /dev/null >> "$run/out" 2>&1 || rc=$?
	[ "$rc" -ne 124 ] || echo "sbm-test: stopped after $t seconds" >> "$log"
	# It ends with 1 when the guest has switched itself off, and else, too
	if grep -q 'reboot: Power down' "$log"; then
		rc=0
	elif [ "$rc" -ne 124 ]; then
		rc=1
		{ grep ">>PANIC<<" "$run/log" 2>/dev/null || tail -n 3 "$run/out"; } |
			sed 's/^/sbm-test: bochs: /' >> "$log"
	fi
	rm -rf "$run"
	return "$rc"
}

# The kernel of LOG died of a breakpoint where its memory has none: in the line with
# the code, the byte that was executed is the one before the mark.
sbm_lost_write()
{
	# To the end: who writes to a pipe that nobody reads has failed
	tr -d '\r' < "$1" | awk '
		!oops && /int3: 0000 \[#/ { oops = 1 }
		oops == 1 && /Code: / && match($0, /[0-9a-f][0-9a-f] <[0-9a-f][0-9a-f]>/) {
			lost = substr($0, RSTART, 2) != "cc"
			oops = 2
		}
		END { exit !lost }'
}

# The machine of LOG got stuck in the kernel's own start, before the first test: a lost
# write can do that, too. What is ours and hangs there hangs the next time as well.
sbm_stuck()
{
	grep -q '^sbm-test: stopped after' "$1" && ! grep -qE 'TAP version|sbm-test: user space' "$1"
}

# In the machine of LOG time runs much too fast. On a busy host, the emulated PIT can be
# late while the kernel calibrates the TSC, which is that of the host; and where it
# differs from the HPET, which was right, the kernel takes the PIT's word.
sbm_wrong_clock() { grep -q 'tsc: PIT calibration deviates from HPET' "$1"; }

sbm_again_if_lost()
{
	local log=$1 n rc
	shift

	for n in 1 2 3; do
		rc=0
		"$@" || rc=$?
		if sbm_lost_write "$log"; then
			say "      the emulator lost a write to the kernel's code (log: $log.$n)"
		elif sbm_wrong_clock "$log"; then
			say "      the emulator's clock was wrong (log: $log.$n)"
		elif sbm_stuck "$log"; then
			say "      stuck before the first test (log: $log.$n)"
		else
			break
		fi
		cp "$log" "$log.$n"
	done
	return "$rc"
}

sbm_verdict()
{
	local log=$1
	shift
	python3 "$SBM_DIR/verdict.py" "$log" "$@"
}
