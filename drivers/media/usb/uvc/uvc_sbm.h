/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Format descriptors of the USB Video Class in a sandbox: what uvc_driver.c, whose parser
 * is called there, and uvc_sbm.c have in common.
 */
#ifndef _UVC_SBM_H_
#define _UVC_SBM_H_

#include <linux/container_of.h>
#include <linux/sbm.h>
#include <linux/sbm_runtime.h>
#include <linux/types.h>
#include <linux/usb.h>

#include "uvcvideo.h"

#ifdef CONFIG_USB_VIDEO_CLASS_SBM

/**
 * struct uvc_sbm_env - what the parser knows of the camera
 * @dev:       Nothing but the quirks, and where @udev is.
 * @streaming: Nothing but where @intf is.
 * @udev:      The device's number, for messages.
 * @intf:      Where @alts is.
 * @alts:      The interface's number, for messages.
 * @debug:     The driver's parameter: what messages are wanted.
 *
 * Read only for the parser. All the rest is zero: the structures are there because they
 * are what the parser takes.
 */
struct uvc_sbm_env {
	struct uvc_device dev;
	struct uvc_streaming streaming;
	struct usb_device udev;
	struct usb_interface intf;
	struct usb_host_interface alts;
	unsigned int debug;
};

/**
 * struct uvc_sbm_work - what the parser works on
 * @env:       What it knows.
 * @buffer:    The descriptors.
 * @buflen:    Their size in bytes.
 * @format:    The format, when it is done.
 * @frames:    Where the frames go.
 * @intervals: Where the frame intervals go; behind them, when it is done.
 *
 * All addresses are the sandbox's, and all of it is the parser's to write.
 */
struct uvc_sbm_work {
	struct uvc_sbm_env *env;
	const u8 *buffer;
	int buflen;
	struct uvc_format format;
	struct uvc_frame *frames;
	u32 *intervals;
};

/* uvc_driver.c: the target, whose argument is a struct uvc_sbm_work */
int uvc_sbm_parse(void *work);

/* What it says of formats, the kernel's side says again */
static inline void uvc_parse_unknown(struct uvc_streaming *streaming,
				     const unsigned char *buffer)
{
}

static inline void uvc_parse_found(struct uvc_device *dev,
				   const struct uvc_format *format)
{
}

#define uvc_log(_dev, flag, fmt, ...)					\
do {									\
	if (container_of(_dev, struct uvc_sbm_env, dev)->debug & UVC_DBG_##flag) \
		sbm_guest_printk_level(LOGLEVEL_DEBUG, fmt, ##__VA_ARGS__); \
} while (0)

/* uvc_sbm.c */
void uvc_sbm_init_env(struct uvc_sbm_env *env, void *inside,
		      const struct uvc_device *dev,
		      const struct uvc_streaming *streaming);
int uvc_parse_format_by(sbm_func parser, struct uvc_device *dev,
			struct uvc_streaming *streaming,
			struct uvc_format *format, struct uvc_frame *frames,
			u32 **intervals, const u8 *buffer, int buflen,
			unsigned int nframes, unsigned int nintervals);
int uvc_parse_format_sbm(struct uvc_device *dev, struct uvc_streaming *streaming,
			 struct uvc_format *format, struct uvc_frame *frames,
			 u32 **intervals, const u8 *buffer, int buflen,
			 unsigned int nformats, unsigned int nframes,
			 unsigned int nintervals);

#else

#define uvc_parse_format_sbm(dev, streaming, format, frames, intervals,	\
			     buffer, buflen, nformats, nframes, nintervals) \
	uvc_parse_format(dev, streaming, format, frames, intervals,	\
			 buffer, buflen)
#define uvc_parse_unknown(streaming, buffer)				\
	dev_info(&(streaming)->intf->dev,				\
		 "Unknown video format %pUl\n", &(buffer)[5])
#define uvc_parse_found(dev, format)					\
	uvc_dbg(dev, DESCR, "Found format %p4cc", &(format)->fcc)
#define uvc_log uvc_dbg

#endif

#endif
