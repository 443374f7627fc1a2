# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034,SC2154 # shared with scripts/sbm/demo
#
# What scripts/sbm/demo needs to know of squashfs.

needs=(squashfs-tools)
bug=$data/remove-offset-check.patch
target=LZ4_decompress_safe
options=(CONFIG_SQUASHFS=y CONFIG_SQUASHFS_LZ4=y)
sandbox_option=CONFIG_SQUASHFS_LZ4_SBM=y
# Without the first, only the program that reads would die, with all locks that it holds
append="oops=panic panic=-1"

make_images()
{
	"$data/mkimage.py" hostile "$work/hostile.img" > "$work/hostile.list"
	rm -rf "$work/tree"
	"$here/jffs2/mkimage.py" tree "$work/tree" | LC_ALL=C sort > "$work/healthy.list"
	mksquashfs "$work/tree" "$work/healthy.img" -comp lz4 -all-root -noappend \
		-mkfs-time 0 -all-time 0 -no-progress > "$work/mksquashfs.log"
}

story()
{
	tell "" \
	     "The bug is none that Linux has had, but one of a common kind. Squashfs can have" \
	     "its blocks compressed by LZ4, which says of a match how many bytes back it begins." \
	     "Both kernels lack the check that this is not before the output's first byte. A" \
	     "crafted image can so have the kernel read what is not its own."
}

died_of_it()
{
	says "$1" 'BUG: unable to handle page fault for address: ' &&
		says "$1" 'RIP: 0010:LZ4_decompress_safe\+'
}

disaster()
{
	local dies=1

	boot stock-hostile "$stock" "$work/hostile.img"
	if died stock-hostile; then
		tell "" \
		     "Reading one file was enough: the kernel is dead. Its last words (shortened):" ""
		messages stock-hostile |
			grep -E '^(BUG: unable|#PF: |RIP: 0010:LZ4|Kernel panic)' | awk '!seen[$0]++' | quote
		tell "" \
		     "Here the bytes before the output are a guard page by chance. With another distance" \
		     "there is memory of somebody else, and then it becomes content of the file."
	fi
	tell ""

	claim "stock kernel, hostile image: has no sandbox" no_sandbox stock-hostile
	claim "stock kernel, hostile image: the decompressor reads what is not there" \
		died_of_it stock-hostile
	claim "stock kernel, hostile image: the machine is dead" died stock-hostile
}

what_stopped()
{
	tell "" \
	     "In the sandbox a guard page is before the output, and before that nothing but the" \
	     "block itself. The decompressor was stopped there, and the kernel log says why, by" \
	     "which instruction and where:" ""
	quote < "$work/sbm-hostile.report"
}
