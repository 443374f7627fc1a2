// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit suite sbm_uvc: formats of cameras that are parsed in a sandbox.
 *
 * The camera is a piece of memory with descriptors. The same parser, called without a
 * sandbox, says what is right.
 *
 * If the parser has a bug, that one may do anything. With the parameter
 * sbm_uvc_kunit.hostile=1 it parses good descriptors only, and what must hold for damaged
 * ones is that each of them comes to an end.
 */
#include <kunit/test.h>
#include <linux/cleanup.h>
#include <linux/err.h>
#include <linux/kernel.h>
#include <linux/minmax.h>
#include <linux/moduleparam.h>
#include <linux/prandom.h>
#include <linux/sbm.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/unaligned.h>
#include <linux/usb.h>
#include <linux/usb/uvc.h>
#include <linux/vmalloc.h>

#include "../../drivers/media/usb/uvc/uvc_sbm.h"
#include "../../drivers/media/usb/uvc/uvcvideo.h"
#include "../../kernel/sbm/sbm.h"
#include "sbm_kunit.h"
#include "sbm_kunit_customer.h"

static unsigned int mutations = 2000;
module_param(mutations, uint, 0644);
MODULE_PARM_DESC(mutations, "Number of damaged sets of descriptors");

static bool hostile;
module_param(hostile, bool, 0644);
MODULE_PARM_DESC(hostile, "The parser has a bug: no plain calls with damaged descriptors");

#define MAX_SET		SZ_32K

/**
 * struct formats - what a parser makes of descriptors
 * @streaming:  The interface, which gets the formats.
 * @mem:        Memory for them.
 * @nframes:    Frames that were counted.
 * @nintervals: Intervals that were counted.
 * @frames:     The first frame.
 * @intervals:  The first interval.
 * @ret:        Result of the parser.
 */
struct formats {
	struct uvc_streaming	streaming;
	void			*mem;
	unsigned int		nframes;
	unsigned int		nintervals;
	struct uvc_frame	*frames;
	u32			*intervals;
	int			ret;
};

/**
 * struct camera - a camera, and who looks at it
 * @dev:      The camera.
 * @udev:     The same for USB.
 * @intf:     Its streaming interface.
 * @alts:     The setting of that.
 * @set:      Descriptors.
 * @len:      Their size in bytes.
 * @nformats: Formats that were made, but for those that nobody knows.
 * @nframes:  Frames that these have.
 * @rnd:      The same numbers each time.
 * @sbm:      What the kernel's parser makes of it.
 * @plain:    What a plain call makes of it.
 * @env:      For a plain call.
 */
struct camera {
	struct uvc_device		dev;
	struct usb_device		udev;
	struct usb_interface		intf;
	struct usb_host_interface	alts;
	u8				*set;
	unsigned int			len;
	unsigned int			nformats;
	unsigned int			nframes;
	struct rnd_state		rnd;
	struct formats			sbm;
	struct formats			plain;
	struct uvc_sbm_env		*env;
};

static int sbm_uvc_init(struct kunit *test)
{
	struct camera *c = vzalloc(sizeof(*c));

	if (!c)
		return -ENOMEM;

	test->priv = c;
	prandom_seed_state(&c->rnd, 4711);
	c->set = vzalloc(MAX_SET);
	c->env = vzalloc(sizeof(*c->env));
	if (!c->set || !c->env)
		return -ENOMEM;

	c->dev.udev = &c->udev;
	c->dev.intf = &c->intf;
	c->udev.devnum = 7;
	c->intf.cur_altsetting = &c->alts;
	c->intf.dev.init_name = "sbm_uvc";
	c->alts.desc.bInterfaceNumber = 1;
	c->sbm.streaming.intf = &c->intf;
	c->plain.streaming.intf = &c->intf;

	return 0;
}

static void sbm_uvc_exit(struct kunit *test)
{
	struct camera *c = test->priv;

	if (!c)
		return;

	kfree(c->sbm.mem);
	kfree(c->plain.mem);
	vfree(c->env);
	vfree(c->set);
	vfree(c);
}

static u32 below(struct camera *c, u32 ceil)
{
	return prandom_u32_state(&c->rnd) % ceil;
}

/* === Both parsers === */

typedef int (*parse_fn)(struct camera *c, struct formats *f, unsigned int nformats,
			struct uvc_format *format, struct uvc_frame *frames,
			u32 **intervals, const u8 *buffer, int buflen);

static int parse_in_sandbox(struct camera *c, struct formats *f, unsigned int nformats,
			    struct uvc_format *format, struct uvc_frame *frames,
			    u32 **intervals, const u8 *buffer, int buflen)
{
	return uvc_parse_format_sbm(&c->dev, &f->streaming, format, frames, intervals,
				    buffer, buflen, nformats, f->nframes, f->nintervals);
}

static int parse_plain(struct camera *c, struct formats *f, unsigned int nformats,
		       struct uvc_format *format, struct uvc_frame *frames,
		       u32 **intervals, const u8 *buffer, int buflen)
{
	struct uvc_sbm_work w = {
		.env = c->env,
		.buffer = buffer,
		.buflen = buflen,
		.frames = frames,
		.intervals = *intervals,
	};
	int ret;

	uvc_sbm_init_env(c->env, c->env, &c->dev, &f->streaming);
	ret = uvc_sbm_parse(&w);
	if (ret > 0) {
		*format = w.format;
		*intervals = w.intervals;
	}

	return ret;
}

/* Count as the driver does. Tells the number of formats. */
static unsigned int count(struct formats *f, const u8 *at, int left)
{
	unsigned int nformats = 0, nr;

	f->nframes = 0;
	f->nintervals = 0;
	while (left > 2 && at[1] == USB_DT_CS_INTERFACE) {
		nr = 0;
		switch (at[2]) {
		case UVC_VS_FORMAT_UNCOMPRESSED:
		case UVC_VS_FORMAT_MJPEG:
		case UVC_VS_FORMAT_FRAME_BASED:
			nformats++;
			break;
		case UVC_VS_FORMAT_DV:
			nformats++;
			f->nframes++;
			nr = 1;
			break;
		case UVC_VS_FRAME_UNCOMPRESSED:
		case UVC_VS_FRAME_MJPEG:
			f->nframes++;
			if (left > 25)
				nr = at[25] ?: 3;
			break;
		case UVC_VS_FRAME_FRAME_BASED:
			f->nframes++;
			if (left > 21)
				nr = at[21] ?: 3;
			break;
		}
		f->nintervals += nr;
		left -= at[0];
		at += at[0];
	}

	return nformats;
}

/* Walk over all of them, as the driver does */
static void parse_set(struct camera *c, struct formats *f, parse_fn parse)
{
	const u8 *at = c->set;
	int left = c->len, ret;
	unsigned int nformats = count(f, at, left);
	struct uvc_format *format;
	struct uvc_frame *frame;
	u32 *interval;

	kfree(f->mem);
	f->mem = kzalloc(nformats * sizeof(*format) + f->nframes * sizeof(*frame) +
			 f->nintervals * sizeof(*interval) + 1, GFP_KERNEL);
	f->streaming.formats = f->mem;
	f->streaming.nformats = 0;
	f->ret = -ENOMEM;
	if (!f->mem)
		return;

	format = f->mem;
	frame = (struct uvc_frame *)(format + nformats);
	interval = (u32 *)(frame + f->nframes);
	f->frames = frame;
	f->intervals = interval;

	while (left > 2 && at[1] == USB_DT_CS_INTERFACE) {
		ret = 0;
		switch (at[2]) {
		case UVC_VS_FORMAT_UNCOMPRESSED:
		case UVC_VS_FORMAT_MJPEG:
		case UVC_VS_FORMAT_DV:
		case UVC_VS_FORMAT_FRAME_BASED:
			ret = parse(c, f, nformats, format, frame, &interval, at, left);
			if (ret < 0) {
				f->ret = ret;
				return;
			}
		}
		if (ret) {
			f->streaming.nformats++;
			frame += format->nframes;
			format++;
		}
		left -= ret ?: at[0];
		at += ret ?: at[0];
	}
	f->ret = 0;
}

static bool same_frame(const struct camera *c, const struct uvc_frame *s,
		       const struct uvc_frame *p)
{
	unsigned int nr = p->bFrameIntervalType ?: 3;

	return s->bFrameIndex == p->bFrameIndex &&
	       s->bmCapabilities == p->bmCapabilities &&
	       s->wWidth == p->wWidth && s->wHeight == p->wHeight &&
	       s->dwMinBitRate == p->dwMinBitRate &&
	       s->dwMaxBitRate == p->dwMaxBitRate &&
	       s->dwMaxVideoFrameBufferSize == p->dwMaxVideoFrameBufferSize &&
	       s->bFrameIntervalType == p->bFrameIntervalType &&
	       s->dwDefaultFrameInterval == p->dwDefaultFrameInterval &&
	       s->dwFrameInterval - c->sbm.intervals ==
	       p->dwFrameInterval - c->plain.intervals &&
	       !memcmp(s->dwFrameInterval, p->dwFrameInterval, nr * sizeof(u32));
}

static bool same_format(const struct camera *c, const struct uvc_format *s,
			const struct uvc_format *p)
{
	unsigned int i;

	if (s->type != p->type || s->index != p->index || s->bpp != p->bpp ||
	    s->colorspace != p->colorspace || s->xfer_func != p->xfer_func ||
	    s->ycbcr_enc != p->ycbcr_enc || s->fcc != p->fcc || s->flags != p->flags ||
	    s->nframes != p->nframes ||
	    s->frames - c->sbm.frames != p->frames - c->plain.frames)
		return false;

	for (i = 0; i < p->nframes; i++)
		if (!same_frame(c, &s->frames[i], &p->frames[i]))
			return false;

	return true;
}

static bool same(const struct camera *c)
{
	const struct formats *s = &c->sbm, *p = &c->plain;
	unsigned int i;

	if (s->ret != p->ret)
		return false;
	/* What was found before an error is thrown away */
	if (s->ret)
		return true;
	if (s->streaming.nformats != p->streaming.nformats)
		return false;

	for (i = 0; i < p->streaming.nformats; i++)
		if (!same_format(c, &s->streaming.formats[i], &p->streaming.formats[i]))
			return false;

	return true;
}

static void parse_both(struct camera *c)
{
	parse_set(c, &c->sbm, parse_in_sandbox);
	parse_set(c, &c->plain, parse_plain);
}

/* === Descriptors === */

static u8 *add(struct camera *c, unsigned int len, u8 subtype)
{
	u8 *desc = c->set + c->len;

	prandom_bytes_state(&c->rnd, desc, len);
	desc[0] = len;
	desc[1] = USB_DT_CS_INTERFACE;
	desc[2] = subtype;
	c->len += len;

	return desc;
}

static void begin_set(struct camera *c)
{
	memset(c->set, 0, c->len);
	c->len = 0;
	c->nformats = 0;
	c->nframes = 0;
}

/* A frame with @nr intervals, or with a range of them if that is 0 */
static u8 *add_frame(struct camera *c, u8 subtype, unsigned int nr)
{
	unsigned int ints = nr ?: 3, i;
	u8 *desc = add(c, 26 + 4 * ints, subtype);

	desc[subtype == UVC_VS_FRAME_FRAME_BASED ? 21 : 25] = nr;
	put_unaligned_le16(160 << below(c, 5), desc + 5);
	put_unaligned_le16(120 << below(c, 5), desc + 7);
	for (i = 0; i < ints; i++)
		put_unaligned_le32(below(c, 8) ? 333333 + i * 100000 : 0,
				   desc + 26 + 4 * i);

	return desc;
}

/* A format with all that belongs to it. With a GUID that nobody knows, it does not count. */
static void add_format(struct camera *c, u8 subtype, bool known)
{
	static const u8 guids[][16] = {
		UVC_GUID_FORMAT_YUY2, UVC_GUID_FORMAT_NV12, UVC_GUID_FORMAT_MJPEG,
		UVC_GUID_FORMAT_I420, UVC_GUID_FORMAT_Y8, UVC_GUID_FORMAT_H264,
		UVC_GUID_FORMAT_BGR3, UVC_GUID_FORMAT_HEVC, UVC_GUID_FORMAT_YUY2_ISIGHT,
	};
	unsigned int nframes = below(c, 8), i;
	u8 *desc, frame = 0;

	switch (subtype) {
	case UVC_VS_FORMAT_UNCOMPRESSED:
		desc = add(c, 27, subtype);
		frame = UVC_VS_FRAME_UNCOMPRESSED;
		break;
	case UVC_VS_FORMAT_FRAME_BASED:
		desc = add(c, 28, subtype);
		desc[27] = below(c, 2);
		frame = UVC_VS_FRAME_FRAME_BASED;
		break;
	case UVC_VS_FORMAT_MJPEG:
		desc = add(c, 11, subtype);
		frame = UVC_VS_FRAME_MJPEG;
		break;
	default:
		desc = add(c, 9, subtype);
		desc[8] = below(c, 3) | (below(c, 2) << 7);
		nframes = 1;
		break;
	}

	desc[3] = c->nformats + 1;
	if (known && subtype != UVC_VS_FORMAT_MJPEG && subtype != UVC_VS_FORMAT_DV)
		memcpy(desc + 5, guids[below(c, ARRAY_SIZE(guids))], 16);
	for (i = 0; frame && i < nframes; i++)
		add_frame(c, frame, below(c, 4) ? 1 + below(c, below(c, 8) ? 10 : 57) : 0);

	if (!below(c, 3))
		add(c, 5 + below(c, 20), UVC_VS_STILL_IMAGE_FRAME);
	if (below(c, 3)) {
		desc = add(c, 6, UVC_VS_COLORFORMAT);
		for (i = 3; i < 6; i++)
			desc[i] = below(c, 10);
	}

	if (known) {
		c->nformats++;
		c->nframes += nframes;
	}
}

static void make_set(struct camera *c, unsigned int unknown)
{
	static const u8 subtypes[] = {
		UVC_VS_FORMAT_UNCOMPRESSED, UVC_VS_FORMAT_MJPEG, UVC_VS_FORMAT_FRAME_BASED,
		UVC_VS_FORMAT_DV,
	};
	static const u32 quirks[] = {
		UVC_QUIRK_FORCE_Y8, UVC_QUIRK_FORCE_BPP, UVC_QUIRK_RESTRICT_FRAME_RATE,
	};
	unsigned int nr = 1 + below(c, 5), i;

	begin_set(c);
	c->dev.quirks = below(c, 4) ? 0 : quirks[below(c, ARRAY_SIZE(quirks))];
	for (i = 0; i < nr; i++)
		add_format(c, subtypes[below(c, ARRAY_SIZE(subtypes))], true);
	for (i = 0; i < unknown; i++)
		add_format(c, UVC_VS_FORMAT_UNCOMPRESSED, false);
	/* What no parser knows */
	if (!below(c, 4))
		add(c, 3 + below(c, 20), 0x40 + below(c, 64));
}

/* === Good ones === */

static void good_sets_are_the_same(struct kunit *test)
{
	struct camera *c = test->priv;
	unsigned int i, k, nframes, formats = 0, frames = 0;
	u64 before = all_stops();

	for (i = 0; i < 200; i++) {
		make_set(c, i % 50 ? 0 : 2);
		parse_both(c);
		KUNIT_EXPECT_EQ(test, c->sbm.ret, 0);
		KUNIT_EXPECT_TRUE_MSG(test, same(c), "set %u of %u bytes", i, c->len);
		KUNIT_EXPECT_EQ(test, c->sbm.streaming.nformats, c->nformats);
		for (k = nframes = 0; k < c->sbm.streaming.nformats; k++)
			nframes += c->sbm.streaming.formats[k].nframes;
		KUNIT_EXPECT_EQ(test, nframes, c->nframes);
		formats += c->nformats;
		frames += nframes;
	}
	kunit_info(test, "good sets: 200 with %u formats and %u frames\n", formats, frames);
	KUNIT_EXPECT_EQ(test, all_stops(), before);
}

/* One of each kind, with all that can be told from outside */
static void formats_are_what_descriptors_say(struct kunit *test)
{
	static const u8 yuy2[] = UVC_GUID_FORMAT_YUY2;
	struct camera *c = test->priv;
	const struct uvc_format *f;
	u8 *desc;

	begin_set(c);
	c->dev.quirks = 0;
	desc = add(c, 27, UVC_VS_FORMAT_UNCOMPRESSED);
	desc[3] = 5;
	memcpy(desc + 5, yuy2, 16);
	desc[21] = 16;
	desc = add_frame(c, UVC_VS_FRAME_UNCOMPRESSED, 2);
	put_unaligned_le16(640, desc + 5);
	put_unaligned_le16(480, desc + 7);
	put_unaligned_le32(400000, desc + 21);
	put_unaligned_le32(333333, desc + 26);
	put_unaligned_le32(666666, desc + 30);
	desc = add(c, 6, UVC_VS_COLORFORMAT);
	desc[3] = 1;
	desc[4] = 1;
	desc[5] = 4;
	desc = add(c, 9, UVC_VS_FORMAT_DV);
	desc[3] = 6;
	desc[8] = 1;

	parse_set(c, &c->sbm, parse_in_sandbox);
	KUNIT_ASSERT_EQ(test, c->sbm.ret, 0);
	KUNIT_ASSERT_EQ(test, c->sbm.streaming.nformats, 2);
	f = c->sbm.streaming.formats;
	KUNIT_EXPECT_EQ(test, f[0].fcc, V4L2_PIX_FMT_YUYV);
	KUNIT_EXPECT_EQ(test, f[0].index, 5);
	KUNIT_EXPECT_EQ(test, f[0].bpp, 16);
	KUNIT_EXPECT_EQ(test, f[0].flags, 0);
	KUNIT_EXPECT_EQ(test, f[0].colorspace, V4L2_COLORSPACE_SRGB);
	KUNIT_EXPECT_EQ(test, f[0].xfer_func, V4L2_XFER_FUNC_709);
	KUNIT_EXPECT_EQ(test, f[0].ycbcr_enc, V4L2_YCBCR_ENC_601);
	KUNIT_ASSERT_EQ(test, f[0].nframes, 1);
	KUNIT_ASSERT_PTR_EQ(test, f[0].frames, c->sbm.frames);
	KUNIT_EXPECT_EQ(test, f[0].frames[0].wWidth, 640);
	KUNIT_EXPECT_EQ(test, f[0].frames[0].wHeight, 480);
	KUNIT_EXPECT_EQ(test, f[0].frames[0].dwMaxVideoFrameBufferSize, 640 * 480 * 2);
	KUNIT_EXPECT_EQ(test, f[0].frames[0].dwDefaultFrameInterval, 400000);
	KUNIT_ASSERT_EQ(test, f[0].frames[0].bFrameIntervalType, 2);
	KUNIT_ASSERT_PTR_EQ(test, f[0].frames[0].dwFrameInterval, c->sbm.intervals);
	KUNIT_EXPECT_EQ(test, c->sbm.intervals[0], 333333);
	KUNIT_EXPECT_EQ(test, c->sbm.intervals[1], 666666);
	KUNIT_EXPECT_EQ(test, f[1].fcc, V4L2_PIX_FMT_DV);
	KUNIT_EXPECT_EQ(test, f[1].flags, UVC_FMT_FLAG_COMPRESSED | UVC_FMT_FLAG_STREAM);
	KUNIT_ASSERT_PTR_EQ(test, f[1].frames, c->sbm.frames + 1);
	KUNIT_ASSERT_PTR_EQ(test, f[1].frames[0].dwFrameInterval, c->sbm.intervals + 2);
	KUNIT_EXPECT_EQ(test, c->sbm.intervals[2], 1);
}

/* Messages of the parser have no part in what it finds */
static void messages_change_nothing(struct kunit *test)
{
	struct camera *c = test->priv;
	unsigned int old = uvc_dbg_param, i;

	for (i = 0; i < 3; i++) {
		make_set(c, 0);
		add(c, 11, UVC_VS_FORMAT_MJPEG);
		/* The last one says that it has an interval, and ends before that */
		if (i == 2)
			add(c, 26, UVC_VS_FRAME_MJPEG)[25] = 1;
		uvc_dbg_param |= UVC_DBG_DESCR;
		parse_set(c, &c->sbm, parse_in_sandbox);
		uvc_dbg_param = old;
		parse_set(c, &c->plain, parse_plain);
		KUNIT_EXPECT_EQ(test, c->sbm.ret, i == 2 ? -EINVAL : 0);
		KUNIT_EXPECT_TRUE(test, same(c));
	}
}

/* === The old bug === */

/*
 * CVE-2024-53104: the format has one frame, and behind it are @nr that nobody has counted,
 * of the type that formats without frames have
 */
static void make_old_bug(struct camera *c, unsigned int nr)
{
	begin_set(c);
	c->dev.quirks = 0;
	add(c, 9, UVC_VS_FORMAT_DV)[8] = 0;
	while (nr--)
		add_frame(c, UVC_VS_UNDEFINED, 50);
}

static void old_bug_is_contained(struct kunit *test)
{
	struct camera *c = test->priv;
	u64 before = all_stops();

	make_old_bug(c, 100);
	parse_set(c, &c->sbm, parse_in_sandbox);
	KUNIT_EXPECT_EQ(test, c->sbm.ret, hostile ? -EIO : 0);
	if (IS_ENABLED(CONFIG_DEBUG_FS) && sbm_isolation() == SBM_ISOLATION_STRONG)
		KUNIT_EXPECT_EQ(test, all_stops(), before + hostile);
	if (!hostile) {
		KUNIT_ASSERT_EQ(test, c->sbm.streaming.nformats, 1);
		KUNIT_EXPECT_EQ(test, c->sbm.streaming.formats[0].nframes, 1);
	}

	make_set(c, 0);
	parse_both(c);
	KUNIT_EXPECT_EQ(test, c->sbm.ret, 0);
	KUNIT_EXPECT_TRUE(test, same(c));
}

/* So few that the parser is still on its pages: what it says cannot be */
static void small_overflow_is_refused(struct kunit *test)
{
	struct camera *c = test->priv;
	u64 before = all_stops();

	make_old_bug(c, 3);
	parse_set(c, &c->sbm, parse_in_sandbox);
	KUNIT_EXPECT_EQ(test, c->sbm.ret, hostile ? -EIO : 0);
	KUNIT_EXPECT_EQ(test, all_stops(), before);
}

/* === Damaged ones === */

/* USB's core lets through what has lengths that lead to its end, and no more of it */
static void trim(struct camera *c)
{
	unsigned int at = 0;

	while (at + 2 <= c->len && c->set[at] >= 2 && at + c->set[at] <= c->len)
		at += c->set[at];
	memset(c->set + at, 0, c->len - at);
	c->len = at;
}

/* The descriptor that @nr is in */
static u8 *desc_of(struct camera *c, unsigned int nr)
{
	unsigned int at = 0;

	while (at + c->set[at] <= nr)
		at += c->set[at];

	return c->set + at;
}

static void damage(struct camera *c)
{
	static const u8 subtypes[] = {
		UVC_VS_UNDEFINED, UVC_VS_STILL_IMAGE_FRAME, UVC_VS_FORMAT_UNCOMPRESSED,
		UVC_VS_FRAME_UNCOMPRESSED, UVC_VS_FORMAT_MJPEG, UVC_VS_FRAME_MJPEG,
		UVC_VS_FORMAT_DV, UVC_VS_COLORFORMAT, UVC_VS_FORMAT_FRAME_BASED,
		UVC_VS_FRAME_FRAME_BASED,
	};
	unsigned int n = 1 + below(c, 4);

	while (n-- && c->len > 2) {
		u8 *desc = desc_of(c, below(c, c->len));

		switch (below(c, 8)) {
		case 0:
			c->set[below(c, c->len)] = below(c, 256);
			break;
		case 1:
			c->set[below(c, c->len)] ^= 1 << below(c, 8);
			break;
		case 2:
			desc[2] = subtypes[below(c, ARRAY_SIZE(subtypes))];
			break;
		case 3:
			/* It ends earlier or later */
			desc[0] += below(c, 21) - 10;
			break;
		case 4:
			/* More intervals, or less */
			if (desc[0] > 25)
				desc[below(c, 2) ? 21 : 25] = below(c, 2) ? below(c, 256) :
							      below(c, 8);
			break;
		case 5:
			c->len -= below(c, min(c->len - 2, 60));
			break;
		case 6:
			/* All frames that follow have another type, or none */
			if (desc[0] > 25 && desc + desc[0] < c->set + c->len) {
				desc[2] = subtypes[below(c, ARRAY_SIZE(subtypes))];
				desc[desc[0] + 2] = desc[2];
			}
			break;
		default:
			desc[0] = below(c, 256);
		}
		trim(c);
	}
}

static void damaged_sets_do_no_harm(struct kunit *test)
{
	struct camera *c = test->priv;
	unsigned int i, right = 0, wrong = 0, found = 0;
	u64 before = all_stops(), stopped;

	for (i = 0; i < mutations; i++) {
		make_set(c, 0);
		damage(c);
		parse_set(c, &c->sbm, parse_in_sandbox);
		found += !c->sbm.ret;
		if (!hostile)
			parse_set(c, &c->plain, parse_plain);
		right += hostile ? !c->sbm.ret || c->sbm.ret == -EINVAL ||
				   c->sbm.ret == -EIO : same(c);
		if (i % 100 == 0) {
			make_set(c, 0);
			parse_both(c);
			wrong += !same(c) || c->sbm.ret;
		}
		cond_resched();
	}

	stopped = all_stops() - before;
	kunit_info(test, "damaged sets: %u of %u as they should be, %u have formats, %llu stopped\n",
		   right, mutations, found, stopped);
	KUNIT_EXPECT_EQ(test, right, mutations);
	KUNIT_EXPECT_EQ(test, wrong, 0);
	if (!hostile)
		KUNIT_EXPECT_EQ(test, stopped, 0);
}

/* === A parser that was taken over === */

/* The kernel's own, which the parser must not reach */
static u32 secret = 4711;

enum lie {
	HONEST,
	ANOTHER_TYPE,
	ANOTHER_INDEX,
	ANOTHER_CODE,
	ANOTHER_FLAG,
	COLORSPACE,
	NO_COLORSPACE,
	XFER_FUNC,
	YCBCR_ENC,
	TOO_MANY_FRAMES,
	MOST_FRAMES,
	FRAMES_ODD,
	FRAMES_BEFORE,
	FRAMES_LATER,
	FRAMES_NULL,
	FRAMES_OF_KERNEL,
	INTERVALS_ODD,
	INTERVALS_BEFORE,
	INTERVALS_BEHIND,
	INTERVALS_OF_KERNEL,
	TOO_MANY_INTERVALS,
	NO_DEFAULT,
	NO_INTERVAL,
	NOTHING_USED,
	MORE_USED,
	USED_ODD,
	BETWEEN_DESCRIPTORS,
	BEYOND,
	PAST_ANOTHER_CLASS,
	ANOTHER_ERROR,
	NR_LIES,
	/* These do not come to an end */
	WRITE_DESCRIPTOR = NR_LIES,
	WRITE_CAMERA,
	WRITE_BEHIND_FRAMES,
	WRITE_BEHIND_INTERVALS,
	READ_KERNEL,
	LOOP,
	NR_LIES_AND_CRIMES,
};

/* The quirks say which one; the driver uses no such high ones */
#define LIE_SHIFT	24

/* Noinline: a target is a function of its own */
static noinline int liar(void *work)
{
	struct uvc_sbm_work *w = work;
	u32 *intervals = w->intervals;
	struct uvc_format *f = &w->format;
	int ret = uvc_sbm_parse(work);

	switch (w->env->dev.quirks >> LIE_SHIFT) {
	case ANOTHER_TYPE:
		f->type = UVC_VS_FORMAT_MJPEG;
		break;
	case ANOTHER_INDEX:
		f->index++;
		break;
	case ANOTHER_CODE:
		f->fcc = V4L2_PIX_FMT_NV12;
		break;
	case ANOTHER_FLAG:
		f->flags = UVC_FMT_FLAG_COMPRESSED;
		break;
	case COLORSPACE:
		f->colorspace = 99;
		break;
	case NO_COLORSPACE:
		f->colorspace = V4L2_COLORSPACE_DEFAULT;
		break;
	case XFER_FUNC:
		f->xfer_func = V4L2_XFER_FUNC_LAST;
		break;
	case YCBCR_ENC:
		f->ycbcr_enc = -1;
		break;
	case TOO_MANY_FRAMES:
		f->nframes++;
		break;
	case MOST_FRAMES:
		f->nframes = U32_MAX;
		break;
	case FRAMES_ODD:
		f->frames = (void *)f->frames + 1;
		break;
	case FRAMES_BEFORE:
		f->frames--;
		break;
	case FRAMES_LATER:
		f->frames++;
		f->nframes--;
		break;
	case FRAMES_NULL:
		f->frames = NULL;
		break;
	case FRAMES_OF_KERNEL:
		f->frames = (void *)&secret;
		break;
	case INTERVALS_ODD:
		w->frames[0].dwFrameInterval = (void *)intervals + 2;
		break;
	case INTERVALS_BEFORE:
		w->frames[0].dwFrameInterval = intervals - 1;
		break;
	case INTERVALS_BEHIND:
		w->frames[1].dwFrameInterval++;
		break;
	case INTERVALS_OF_KERNEL:
		w->frames[0].dwFrameInterval = &secret;
		break;
	case TOO_MANY_INTERVALS:
		w->frames[0].bFrameIntervalType = 255;
		break;
	case NO_DEFAULT:
		w->frames[1].dwDefaultFrameInterval = 0;
		break;
	case NO_INTERVAL:
		intervals[3] = 0;
		break;
	case NOTHING_USED:
		w->intervals = intervals;
		break;
	case MORE_USED:
		w->intervals++;
		break;
	case USED_ODD:
		w->intervals = (void *)w->intervals - 1;
		break;
	case BETWEEN_DESCRIPTORS:
		return 5;
	case BEYOND:
		return w->buflen + 1;
	case PAST_ANOTHER_CLASS:
		return w->buflen;
	case ANOTHER_ERROR:
		return -ENOENT;
	case WRITE_DESCRIPTOR:
		WRITE_ONCE(*(u8 *)w->buffer, 0);
		break;
	case WRITE_CAMERA:
		WRITE_ONCE(w->env->dev.quirks, 0);
		break;
	case WRITE_BEHIND_FRAMES:
		WRITE_ONCE(w->frames[PAGE_SIZE / sizeof(*w->frames)].dwFrameInterval, NULL);
		break;
	case WRITE_BEHIND_INTERVALS:
		WRITE_ONCE(intervals[PAGE_SIZE / sizeof(*intervals)], 0);
		break;
	case READ_KERNEL:
		f->bpp = READ_ONCE(secret);
		break;
	case LOOP:
		for (;;)
			cpu_relax();
	}

	return ret;
}

/* A format with two frames of two intervals, and no more */
static void make_for_liar(struct camera *c, enum lie lie)
{
	static const u8 yuy2[] = UVC_GUID_FORMAT_YUY2;

	begin_set(c);
	c->dev.quirks = lie << LIE_SHIFT;
	memcpy(add(c, 27, UVC_VS_FORMAT_UNCOMPRESSED) + 5, yuy2, 16);
	add_frame(c, UVC_VS_FRAME_UNCOMPRESSED, 2);
	add_frame(c, UVC_VS_FRAME_UNCOMPRESSED, 2);
	/* There the driver has stopped counting */
	if (lie == PAST_ANOTHER_CLASS)
		add(c, 9, 0)[1] = USB_TYPE_VENDOR;
}

/* Nothing but the arrays may have changed if it was refused */
static int parse_by_liar(struct kunit *test, enum lie lie)
{
	struct camera *c = test->priv;
	struct uvc_format format = { .type = 42, };
	struct uvc_frame frames[3] = { };
	u32 intervals[5] = { 0, 0, 0, 0, 4711 };
	u32 *at = intervals;
	int ret;

	make_for_liar(c, lie);
	frames[2].bFrameIndex = 42;
	ret = uvc_parse_format_by(liar, &c->dev, &c->sbm.streaming, &format, frames, &at,
				  c->set, c->len, 2, 4);
	KUNIT_EXPECT_EQ(test, frames[2].bFrameIndex, 42);
	KUNIT_EXPECT_EQ(test, intervals[4], 4711);
	if (ret < 0) {
		KUNIT_EXPECT_EQ(test, format.type, 42);
		KUNIT_EXPECT_PTR_EQ(test, at, (u32 *)intervals);
	} else {
		KUNIT_EXPECT_EQ(test, format.type, UVC_VS_FORMAT_UNCOMPRESSED);
		KUNIT_EXPECT_PTR_EQ(test, at, intervals + 4);
		KUNIT_EXPECT_PTR_EQ(test, format.frames, (const struct uvc_frame *)frames);
		KUNIT_EXPECT_PTR_EQ(test, frames[1].dwFrameInterval,
				    (const u32 *)intervals + 2);
	}

	return ret;
}

static void liars_are_refused(struct kunit *test)
{
	struct camera *c = test->priv;
	u64 before = all_stops();
	enum lie lie;

	KUNIT_EXPECT_EQ(test, parse_by_liar(test, HONEST), c->len);
	for (lie = HONEST + 1; lie < NR_LIES; lie++)
		KUNIT_EXPECT_EQ_MSG(test, parse_by_liar(test, lie), -EIO, "lie %u", lie);
	KUNIT_EXPECT_EQ(test, all_stops(), before);
	kunit_info(test, "lies: %u are refused\n", NR_LIES - 1);
}

/* The driver has memory for those that it has counted */
static void formats_that_were_not_counted_are_refused(struct kunit *test)
{
	struct camera *c = test->priv;
	struct formats *f = &c->sbm;
	struct uvc_format *format;
	struct uvc_frame *frame;
	u32 *interval;

	make_for_liar(c, HONEST);
	KUNIT_ASSERT_EQ(test, count(f, c->set, c->len), 1);
	kfree(f->mem);
	f->mem = kzalloc(2 * sizeof(*format) + 2 * sizeof(*frame) + 4 * sizeof(*interval),
			 GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, f->mem);
	format = f->mem;
	frame = (struct uvc_frame *)(format + 1);
	interval = (u32 *)(frame + 2);
	f->streaming.formats = format;

	KUNIT_EXPECT_EQ(test, -EIO,
			uvc_parse_format_sbm(&c->dev, &f->streaming, format + 1, frame,
					     &interval, c->set, c->len, 1, 2, 4));
	KUNIT_EXPECT_NULL(test, memchr_inv(f->mem, 0, 2 * sizeof(*format)));
	KUNIT_EXPECT_EQ(test, c->len,
			uvc_parse_format_sbm(&c->dev, &f->streaming, format, frame,
					     &interval, c->set, c->len, 1, 2, 4));
}

static void crimes_are_stopped(struct kunit *test)
{
	struct camera *c = test->priv;
	u64 before = all_stops();
	enum lie lie;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);
	for (lie = NR_LIES; lie < NR_LIES_AND_CRIMES; lie++)
		KUNIT_EXPECT_EQ_MSG(test, parse_by_liar(test, lie), -EIO, "crime %u", lie);
	if (IS_ENABLED(CONFIG_DEBUG_FS))
		KUNIT_EXPECT_EQ(test, all_stops(), before + NR_LIES_AND_CRIMES - NR_LIES);
	KUNIT_EXPECT_EQ(test, parse_by_liar(test, HONEST), c->len);
}

static struct kunit_case sbm_uvc_cases[] = {
	KUNIT_CASE(good_sets_are_the_same),
	KUNIT_CASE(formats_are_what_descriptors_say),
	KUNIT_CASE(messages_change_nothing),
	KUNIT_CASE(old_bug_is_contained),
	KUNIT_CASE(small_overflow_is_refused),
	KUNIT_CASE(liars_are_refused),
	KUNIT_CASE(formats_that_were_not_counted_are_refused),
	KUNIT_CASE(crimes_are_stopped),
	KUNIT_CASE_SLOW(damaged_sets_do_no_harm),
	{}
};

static struct kunit_suite sbm_uvc_suite = {
	.name		= "sbm_uvc",
	.init		= sbm_uvc_init,
	.exit		= sbm_uvc_exit,
	.test_cases	= sbm_uvc_cases,
};

kunit_test_suite(sbm_uvc_suite);

MODULE_DESCRIPTION("KUnit suite for video formats in sandbox mode");
MODULE_LICENSE("GPL");
