# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034,SC2154,SC2317 # shared with scripts/sbm/demo
#
# What scripts/sbm/demo needs to know of cameras. Its "images" say what the program in
# the machine (guest/usb-camera.c) is to plug in.

needs=()
# The loop that lacked the check has changed since 6.12
version=$what
[ ! -d "$what" ] || version=$(sbm_version "$what") || die "$what: not a kernel tree"
bug=$data/reintroduce-CVE-2024-53104-$version.patch
target=uvc_sbm_parse
options=(CONFIG_INPUT=y
	 CONFIG_USB_SUPPORT=y CONFIG_USB=y CONFIG_USB_GADGET=y CONFIG_USB_DUMMY_HCD=y
	 CONFIG_USB_RAW_GADGET=y
	 CONFIG_MEDIA_SUPPORT=y CONFIG_MEDIA_SUPPORT_FILTER=y CONFIG_MEDIA_CAMERA_SUPPORT=y
	 CONFIG_MEDIA_USB_SUPPORT=y CONFIG_USB_VIDEO_CLASS=y)
sandbox_option=CONFIG_USB_VIDEO_CLASS_SBM=y
# What is overwritten is noticed at once if it is a red zone, and later if it is not
append="slub_debug=FZ oops=panic panic=-1"

thing=camera
image=camera
images=cameras
does_refuse="it gets no video device"
does_good="healthy cameras, plugged in after it, are right"
does_same="all cameras are right"
does_all="their formats were parsed in the sandbox"
guest_files=("$work/usb-camera=/usb-camera")

make_images()
{
	usb_camera "$work/usb-camera"
	printf 'uvc hostile\n' > "$work/hostile.img"
	printf 'uvc healthy\n' > "$work/healthy.img"
	truncate -s 4096 "$work/hostile.img" "$work/healthy.img"
	: > "$work/healthy.list"
}

finished()
{
	[ "$(cat "$work/$1.rc")" = 0 ] && found "$1" '^end$' &&
		says "$1" 'reboot: Power down'
}

hostile_refused() { found "$1" '^hostile: no video device$'; }
good_read() { found "$1" '^5 cameras are right, '; }

# Right by their descriptors, and the same in both kernels
objects() { grep -E '^format ' "$work/$1.out" || :; }
same_files()
{
	good_read "$1" && [ "$(objects "$1" | grep -c .)" -gt 5 ] &&
		[ "$(objects stock-healthy)" = "$(objects sbm-healthy)" ]
}

# The parser may have become a part of the function that calls it, or not
reported()
{
	sbm_lines "$1" | awk '/ stopped by / { n++ } n == 1' > "$work/$1.report"
	grep -qE "$target stopped by page fault" "$work/$1.report" &&
		grep -qE 'address (0x)?[0-9a-f]{16}\b' "$work/$1.report" &&
		grep -qE 'at uvc_(sbm_parse|parse_[a-z]+)\+0x[0-9a-f]+/' "$work/$1.report"
}

story()
{
	tell "" \
	     "The bug is CVE-2024-53104, which was used against telephones. A camera tells its" \
	     "formats in descriptors, and uvcvideo allocates memory for the frames that it has" \
	     "counted. Behind a format without frames it took descriptors for frames that it" \
	     "had not counted. So whoever plugs in a device writes to the kernel's memory." \
	     "" \
	     "The cameras here are a program in the machine (guest/usb-camera.c) that uses the" \
	     "kernel's raw-gadget. The driver sees no difference."
}

# A red zone, or what the kernel takes for an address. 41 is the camera's letter A.
damaged() { says "$1" 'BUG kmalloc-|Redzone|(general protection|page fault).* 0x41414141'; }

disaster()
{
	local dies=1

	boot stock-hostile "$stock" "$work/hostile.img"
	if damaged stock-hostile; then
		tell "" \
		     "Plugging it in was enough. The kernel's last words (shortened):" ""
		messages stock-hostile |
			grep -E 'BUG kmalloc-|Redzone|Oops|RIP: 0010:uvc|RDX: |Kernel panic' |
			awk '!seen[$0]++' | head -n 8 | quote
		tell "" \
		     "41 is the letter A, which the camera has put there. The parser has written behind" \
		     "its memory, over an address of its own, and followed that. An attacker puts an" \
		     "address there."
	fi
	tell ""

	claim "stock kernel, hostile camera: has no sandbox" no_sandbox stock-hostile
	claim "stock kernel, hostile camera: the camera overwrites memory" damaged stock-hostile
	claim "stock kernel, hostile camera: the machine is dead" died stock-hostile
}

tell_refused()
{
	tell "" "The camera is refused:" ""
	messages sbm-hostile | grep -E 'Video formats were not parsed' | head -n 1 | quote
}

what_stopped()
{
	tell "" \
	     "In the sandbox there is room for the one interval that was counted, and nothing" \
	     "behind that page. The parser was stopped there, and the kernel log says why, by" \
	     "which instruction and where:" ""
	quote < "$work/sbm-hostile.report"
}

tell_good()
{
	tell "" "Healthy cameras that are plugged in afterwards are found as they are:" ""
	grep -E 'cameras are right' "$work/sbm-hostile.out" | quote
}

tell_finished() { tell "" "The machine was then switched off in good order."; }

tell_healthy()
{
	tell "" \
	     "Five cameras with other formats each are plugged in, one after the other. What the" \
	     "driver has to say of them is compared with their descriptors, and listed." ""
}

tell_same()
{
	tell "$2 $(grep -E 'cameras are right' "$work/$1.out" || echo 'they are not right')"
}
