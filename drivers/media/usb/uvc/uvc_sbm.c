// SPDX-License-Identifier: GPL-2.0
/*
 * Format descriptors of the USB Video Class in a sandbox: the kernel's side.
 *
 * The driver counts formats, frames and intervals and allocates memory for as many. The
 * parser fills arrays of the same size inside. What it leaves there is taken for an
 * attacker's: an address is turned into an index, which must be one of the array's; what
 * a format is called is read from its descriptor again, outside; numbers by which the
 * driver divides are not zero. Numbers that a camera may state as it likes are taken as
 * they are.
 */
#include <linux/dev_printk.h>
#include <linux/kernel.h>
#include <linux/nospec.h>
#include <linux/overflow.h>
#include <linux/sbm.h>
#include <linux/sbm_host.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/time64.h>
#include <linux/usb.h>
#include <linux/usb/uvc.h>
#include <linux/videodev2.h>
#include <linux/vmalloc.h>

#include <media/v4l2-common.h>

#include "uvc_sbm.h"
#include "uvcvideo.h"

/* Minimum, maximum and step, if a frame has no list of intervals */
#define CONTINUOUS	3

/**
 * struct parse - a format that is parsed
 * @sbm:	The sandbox.
 * @dev:	The camera.
 * @streaming:	Its streaming interface.
 * @buffer:	The descriptors.
 * @buflen:	Their size in bytes.
 * @nframes:	Elements of @frames.
 * @nintervals:	Elements of @intervals.
 * @env:	What the parser knows.
 * @work:	What it works on, and has left.
 * @frames:	Frames, as it has left them.
 * @intervals:	Intervals, the same.
 * @frames_inside:	Where the parser has @frames.
 * @intervals_inside:	Where it has @intervals.
 */
struct parse {
	struct sbm sbm;
	struct uvc_device *dev;
	struct uvc_streaming *streaming;
	const u8 *buffer;
	int buflen;
	unsigned int nframes;
	unsigned int nintervals;

	struct uvc_sbm_env *env;
	struct uvc_sbm_work work;
	struct uvc_frame *frames;
	u32 *intervals;
	unsigned long frames_inside;
	unsigned long intervals_inside;
};

/**
 * uvc_sbm_init_env() - write down what the parser may know
 * @env:       Where to; full of zeroes.
 * @inside:    Where the parser has it.
 * @dev:       The camera.
 * @streaming: Its streaming interface.
 *
 * Context: Any.
 */
void uvc_sbm_init_env(struct uvc_sbm_env *env, void *inside,
		      const struct uvc_device *dev,
		      const struct uvc_streaming *streaming)
{
	const struct usb_host_interface *alts = streaming->intf->cur_altsetting;

	env->dev.quirks = dev->quirks;
	env->dev.udev = inside + offsetof(struct uvc_sbm_env, udev);
	env->udev.devnum = dev->udev->devnum;
	env->streaming.intf = inside + offsetof(struct uvc_sbm_env, intf);
	env->intf.cur_altsetting = inside + offsetof(struct uvc_sbm_env, alts);
	env->alts.desc.bInterfaceNumber = alts->desc.bInterfaceNumber;
	env->debug = uvc_dbg_param;
}

/*
 * An address in an array that the parser has at @base: which element it is, if @count of
 * them from there on are among the first @nr.
 */
static int take_index(unsigned int *index, const void *p, unsigned long base,
		      size_t size, unsigned int count, unsigned int nr)
{
	unsigned long offset = (unsigned long)p - base;

	if (offset % size || !sbm_check_range(offset / size, count, nr))
		return -EIO;
	*index = array_index_nospec(offset / size, (unsigned long)nr + 1);

	return 0;
}

/* @intervals has @nr of them, which were copied from the parser's */
static int take_frame(const struct parse *p, struct uvc_frame *to,
		      const struct uvc_frame *from, const u32 *intervals,
		      unsigned int nr)
{
	unsigned int count = from->bFrameIntervalType ?: CONTINUOUS;
	unsigned int first, i;

	if (take_index(&first, from->dwFrameInterval, p->intervals_inside,
		       sizeof(*intervals), count, nr))
		return -EIO;

	/* These are divided by */
	if (!from->dwDefaultFrameInterval)
		return -EIO;
	for (i = 0; i < count; i++) {
		if (!intervals[first + i])
			return -EIO;
	}

	*to = *from;
	to->dwFrameInterval = &intervals[first];

	return 0;
}

/* What the descriptor says of itself, in fields that the parser has found valid */
static int take_name(const struct parse *p, struct uvc_format *to)
{
	const struct uvc_format_desc *fmtdesc;
	const u8 *desc = p->buffer;

	if (p->buflen < 4)
		return -EIO;

	to->type = desc[2];
	to->index = desc[3];
	switch (to->type) {
	case UVC_VS_FORMAT_UNCOMPRESSED:
	case UVC_VS_FORMAT_FRAME_BASED:
		if (p->buflen < (to->type == UVC_VS_FORMAT_UNCOMPRESSED ? 27 : 28))
			return -EIO;
		fmtdesc = uvc_format_by_guid(&desc[5]);
		if (!fmtdesc)
			return -EIO;
		to->fcc = fmtdesc->fcc;
		if ((p->dev->quirks & UVC_QUIRK_FORCE_Y8) &&
		    to->fcc == V4L2_PIX_FMT_YUYV)
			to->fcc = V4L2_PIX_FMT_GREY;
		if (to->type == UVC_VS_FORMAT_FRAME_BASED && desc[27])
			to->flags = UVC_FMT_FLAG_COMPRESSED;
		return 0;

	case UVC_VS_FORMAT_MJPEG:
		to->fcc = V4L2_PIX_FMT_MJPEG;
		to->flags = UVC_FMT_FLAG_COMPRESSED;
		return 0;

	case UVC_VS_FORMAT_DV:
		to->fcc = V4L2_PIX_FMT_DV;
		to->flags = UVC_FMT_FLAG_COMPRESSED | UVC_FMT_FLAG_STREAM;
		return 0;

	default:
		return -EIO;
	}
}

static bool colors_can_be(const struct uvc_format *format)
{
	return v4l2_is_colorspace_valid(format->colorspace) &&
	       (format->xfer_func == V4L2_XFER_FUNC_DEFAULT ||
		v4l2_is_xfer_func_valid(format->xfer_func)) &&
	       (format->ycbcr_enc == V4L2_YCBCR_ENC_DEFAULT ||
		v4l2_is_ycbcr_enc_valid(format->ycbcr_enc));
}

/* Rebuild outside what the parser has left. If it cannot be, nobody uses any of it. */
static int take_format(const struct parse *p, struct uvc_format *format,
		       struct uvc_frame *frames, u32 **intervals)
{
	const struct uvc_format *from = &p->work.format;
	struct uvc_format to = { };
	unsigned int used, first, i;

	/* A parser that sees another format than there is must not be believed the rest */
	if (take_name(p, &to) || from->type != to.type || from->index != to.index ||
	    from->fcc != to.fcc || from->flags != to.flags || !colors_can_be(from))
		return -EIO;
	to.bpp = from->bpp;
	to.colorspace = from->colorspace;
	to.xfer_func = from->xfer_func;
	to.ycbcr_enc = from->ycbcr_enc;

	if (take_index(&used, p->work.intervals, p->intervals_inside,
		       sizeof(**intervals), 0, p->nintervals))
		return -EIO;
	memcpy(*intervals, p->intervals, array_size(used, sizeof(**intervals)));

	if (take_index(&first, from->frames, p->frames_inside, sizeof(*frames),
		       from->nframes, p->nframes) || first)
		return -EIO;
	for (i = 0; i < from->nframes; i++) {
		if (take_frame(p, &frames[i], &p->frames[i], *intervals, used))
			return -EIO;
	}
	to.frames = frames;
	to.nframes = from->nframes;

	/* The next format gets what is left */
	*intervals += used;
	*format = to;

	return 0;
}

/*
 * The driver goes on from @end. Descriptors have lengths that lead from one to the next:
 * whoever enters them elsewhere may find a length of 0, and stay there. The driver has
 * counted up to the first one of another class, so the parser does not get beyond that.
 */
static bool is_descriptor(const struct parse *p, int end)
{
	int at = 0;

	while (at < end) {
		if (end - at < 2 || !p->buffer[at] ||
		    p->buffer[at + 1] != USB_DT_CS_INTERFACE)
			return false;
		at += p->buffer[at];
	}

	return at == end;
}

/* Call the parser. What it returns is an error, or how many bytes it has parsed. */
static int call(struct parse *p, sbm_func parser)
{
	void *env = SBM_MAP_READONLY(&p->sbm, p->env, sizeof(*p->env));
	int ret;

	uvc_sbm_init_env(p->env, env, p->dev, p->streaming);
	p->work.env = env;
	p->work.buffer = SBM_COPY_IN(&p->sbm, p->buffer, p->buflen);
	p->work.buflen = p->buflen;
	p->work.frames = SBM_COPY_OUT(&p->sbm, p->frames,
				      array_size(p->nframes, sizeof(*p->frames)));
	p->work.intervals = SBM_COPY_OUT(&p->sbm, p->intervals,
					 array_size(p->nintervals, sizeof(u32)));
	p->frames_inside = (unsigned long)p->work.frames;
	p->intervals_inside = (unsigned long)p->work.intervals;

	ret = sbm_exec(&p->sbm, parser,
		       SBM_COPY_INOUT(&p->sbm, &p->work, sizeof(p->work)));

	switch (sbm_error(&p->sbm)) {
	case 0:
		if (ret == -EINVAL ||
		    (ret >= 0 && ret <= p->buflen && is_descriptor(p, ret)))
			return ret;
		return -EIO;
	case -EFAULT:
	case -ETIME:
		/* Stopped. The log says why. */
		return -EIO;
	default:
		return sbm_error(&p->sbm);
	}
}

/**
 * uvc_parse_format_by() - parse a format by a function of the caller's
 * @parser:     The target.
 * @dev:        The camera.
 * @streaming:  Its streaming interface.
 * @format:     Gets the format.
 * @frames:     Get its frames.
 * @intervals:  Where its frame intervals go; afterwards, where the next format's go.
 * @buffer:     The descriptors, beginning with the format's.
 * @buflen:     Their size in bytes.
 * @nframes:    How many frames there is room for.
 * @nintervals: How many intervals.
 *
 * For tests; the driver uses uvc_parse_format_sbm().
 *
 * Context: Process context, may sleep.
 * Return: how many bytes of descriptors belong to the format; 0 if it is not known,
 * nothing has changed then; else
 *
 * * -EINVAL - the descriptors are wrong
 * * -EIO    - the parser was stopped, or what it has found cannot be
 * * other   - there is no sandbox: what sbm_init(), a buffer or sbm_exec() return
 */
int uvc_parse_format_by(sbm_func parser, struct uvc_device *dev,
			struct uvc_streaming *streaming,
			struct uvc_format *format, struct uvc_frame *frames,
			u32 **intervals, const u8 *buffer, int buflen,
			unsigned int nframes, unsigned int nintervals)
{
	const struct sbm_attr attr = {
		/* Some thousand times what the longest descriptors take */
		.time_limit = NSEC_PER_SEC,
		.log_size = uvc_dbg_param & UVC_DBG_DESCR ? PAGE_SIZE : 0,
	};
	struct parse p = {
		.dev = dev,
		.streaming = streaming,
		.buffer = buffer,
		.buflen = buflen,
		.nframes = nframes,
		.nintervals = nintervals,
	};
	int ret = -ENOMEM;

	sbm_init_attr(&p.sbm, &attr);

	/* The sandbox has whole pages of the first one */
	p.env = vzalloc(sizeof(*p.env));
	p.frames = kvcalloc(nframes, sizeof(*p.frames), GFP_KERNEL);
	p.intervals = kvcalloc(nintervals, sizeof(*p.intervals), GFP_KERNEL);
	if (p.env && p.frames && p.intervals)
		ret = call(&p, parser);
	sbm_destroy(&p.sbm);

	if (ret > 0) {
		int err = take_format(&p, format, frames, intervals);

		if (err)
			ret = err;
		else
			uvc_dbg(dev, DESCR, "Found format %p4cc", &format->fcc);
	} else if (!ret && buflen >= 5 + 16) {
		dev_info_ratelimited(&streaming->intf->dev,
				     "Unknown video format %pUl\n", &buffer[5]);
	}
	if (ret < 0 && ret != -EINVAL)
		dev_err_ratelimited(&streaming->intf->dev,
				    "Video formats were not parsed: %d\n", ret);

	kvfree(p.intervals);
	kvfree(p.frames);
	vfree(p.env);

	return ret;
}

/**
 * uvc_parse_format_sbm() - parse a format in a sandbox
 * @dev:        See uvc_parse_format_by().
 * @streaming:  See there. All its formats, frames and intervals are one piece of memory.
 * @format:     See there.
 * @frames:     See there.
 * @intervals:  See there.
 * @buffer:     See there.
 * @buflen:     See there.
 * @nformats:   How many formats @streaming has memory for.
 * @nframes:    How many frames.
 * @nintervals: How many intervals.
 *
 * Context: Process context, may sleep.
 * Return: see uvc_parse_format_by(); -EIO, too, if there is no memory for @format, or if
 * it is one of more than a camera can tell apart.
 */
int uvc_parse_format_sbm(struct uvc_device *dev, struct uvc_streaming *streaming,
			 struct uvc_format *format, struct uvc_frame *frames,
			 u32 **intervals, const u8 *buffer, int buflen,
			 unsigned int nformats, unsigned int nframes,
			 unsigned int nintervals)
{
	const struct uvc_frame *all_frames =
		PTR_ALIGN((void *)(streaming->formats + nformats),
			  __alignof__(*all_frames));
	const u32 *all_intervals = PTR_ALIGN((void *)(all_frames + nframes),
					     __alignof__(*all_intervals));
	size_t nr = format - streaming->formats;

	/* Whatever parsers before have said. Their index is a byte. */
	if (nr >= nformats || nr > U8_MAX)
		return -EIO;

	return uvc_parse_format_by(uvc_sbm_parse, dev, streaming, format, frames,
				   intervals, buffer, buflen,
				   all_frames + nframes - frames,
				   all_intervals + nintervals - *intervals);
}
