# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034,SC2154 # shared with scripts/sbm/demo
#
# What scripts/sbm/demo needs to know of JFFS2.

needs=(mtd-utils)
bug=$data/reintroduce-CVE-2024-57850.patch
target=jffs2_rtime_decompress
options=(CONFIG_MTD_BLOCK2MTD=y CONFIG_JFFS2_RTIME=y)
sandbox_option=CONFIG_JFFS2_RTIME_SBM=y
append="slub_debug=FZ"
mkimage=$data/mkimage.py

make_images()
{
	"$mkimage" hostile "$work/hostile.img" > "$work/hostile.list"
	rm -rf "$work/tree"
	"$mkimage" tree "$work/tree" | LC_ALL=C sort > "$work/healthy.list"
	mkfs.jffs2 --root="$work/tree" --output="$work/healthy.img" \
		--little-endian --eraseblock=64KiB --pagesize=4096 --pad \
		--squash --faketime -X rtime -x zlib -x lzo
	# Each call that was not stopped decompressed one rtime node.
	nodes=$("$mkimage" nodes "$work/healthy.img" | sed -E 's/.*\brtime=([0-9]+).*/\1/')
}

story()
{
	tell "" \
	     "The bug is CVE-2024-57850. JFFS2 can compress files with a simple run-length" \
	     "scheme, rtime: a byte, and how many more bytes to repeat. For almost 20 years" \
	     "jffs2_rtime_decompress() did not check that count against the room that is left" \
	     "in its output. A crafted image can so write up to 255 bytes beyond it."
}

# SLUB's report of a red zone that was overwritten. The bytes there are the
# image's: "HOSTILE!", and a red zone of this cache has eight bytes.
redzone='\[Right Redzone overwritten\]'
bug_line='BUG kmalloc-4k .*:'
pattern='48 4f 53 54 49 4c 45 21'
dump="Redzone  [0-9a-f]+: $pattern "
overwritten() { says "$1" "$redzone" && says "$1" "$bug_line" && says "$1" "$dump"; }
# How many bytes of the report's dump, behind the buffer, are the image's
overrun()
{
	messages "$1" | grep -E '^(Redzone|Padding) ' | grep -oE "$pattern" |
		awk 'END { print NR * 8 }'
}

disaster()
{
	boot stock-hostile "$stock" "$work/hostile.img"

	if overwritten stock-hostile; then
		tell "" \
		     "Reading one file was enough: memory beyond a buffer of 4096 bytes is overwritten." \
		     "The kernel was booted with slub_debug=FZ, which puts a red zone of known bytes" \
		     "(cc) behind each block of memory. So it notices, and says (shortened):" ""
		# Of several hundred lines those that tell what happened
		for line in "$redzone" "$bug_line" "$dump" '^Padding .*'"$pattern" '^FIX kmalloc-4k'; do
			messages stock-hostile | awk -v re="$line" '!n && $0 ~ re { print; n = 1 }' | quote
		done
		tell "" \
		     "$(overrun stock-hostile) bytes behind the buffer are what the image put there, \"HOSTILE!\" again and" \
		     "again. A real attacker takes other bytes, and without the debug option the kernel" \
		     "does not notice."
	fi
	if hostile_read stock-hostile; then
		tell "The program that read the file was told that all is well."
	fi
	tell ""

	claim "stock kernel, hostile image: has no sandbox" no_sandbox stock-hostile
	claim "stock kernel, hostile image: the read of the hostile file succeeds" \
		hostile_read stock-hostile
	claim "stock kernel, hostile image: memory beyond the buffer is overwritten" \
		overwritten stock-hostile
}

what_stopped()
{
	tell "" \
	     "In the sandbox there is nothing behind the buffer to write to. The decompressor" \
	     "was stopped there, and the kernel log says why, by which instruction and where:" ""
	quote < "$work/sbm-hostile.report"
	if grep -q ' 0 bytes past the end' "$work/sbm-hostile.report"; then
		tell "" "That is the very first byte beyond the buffer."
	fi
}
