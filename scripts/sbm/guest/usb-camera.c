// SPDX-License-Identifier: GPL-2.0
/*
 * Cameras made of software: raw-gadget plugs them in, uvcvideo finds them, and what it
 * has to say of their formats is compared with what their descriptors say.
 *
 * Usage: usb-camera check NR
 *	plugs in NR cameras, each with other formats, one after the other; tells how many
 *	of them are right, and ends with the first one that is not
 *
 *	usb-camera list SEED
 *	plugs in a camera and prints what the driver says of its formats, a line each
 *
 *	usb-camera hostile
 *	plugs in one that makes the parser of CVE-2024-53104 write where it must not.
 *	Tells whether it has got a video device
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <linux/usb/ch9.h>
#include <linux/usb/raw_gadget.h>
#include <linux/videodev2.h>

/* What raw-gadget sends at once */
#define MAX_LEN		4096
/* All that follows the formats, and one more frame, fits behind this */
#define FULL		3600
#define MAX_FORMATS	8
#define MAX_FRAMES	8
#define MAX_INTERVALS	6

/* In units of 100 ns */
#define SECOND		10000000U

#define CS_INTERFACE	0x24
#define VC_INTERFACE	0
#define VS_INTERFACE	1
#define CAMERA_ID	1
#define OUTPUT_ID	2

/* Of the class */
#define GET_INFO	0x86
#define GET_LEN		0x85

struct frame {
	unsigned int width;
	unsigned int height;
	/* 0: from the first to the second one in steps of the third one */
	unsigned int nr;
	unsigned int interval[MAX_INTERVALS];
};

struct format {
	uint32_t fcc;
	int compressed;
	unsigned int nr;
	struct frame frame[MAX_FRAMES];
};

struct camera {
	unsigned int nr;
	struct format format[MAX_FORMATS];
	/* The configuration, with all that belongs to it */
	unsigned int len;
	uint8_t config[MAX_LEN];
};

enum kind { UNCOMPRESSED, MJPEG, FRAME_BASED, DV };

static const struct {
	enum kind kind;
	uint32_t fcc;
	const char *guid;
} formats[MAX_FORMATS] = {
	{ UNCOMPRESSED, V4L2_PIX_FMT_YUYV, "YUY2" },
	{ UNCOMPRESSED, V4L2_PIX_FMT_NV12, "NV12" },
	{ UNCOMPRESSED, V4L2_PIX_FMT_YUV420, "I420" },
	{ UNCOMPRESSED, V4L2_PIX_FMT_UYVY, "UYVY" },
	{ UNCOMPRESSED, V4L2_PIX_FMT_GREY, "Y800" },
	{ FRAME_BASED, V4L2_PIX_FMT_H264, "H264" },
	{ MJPEG, V4L2_PIX_FMT_MJPEG, NULL },
	{ DV, V4L2_PIX_FMT_DV, NULL },
};

static __attribute__((format(printf, 1, 2))) int wrong(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	fputs("usb-camera: ", stdout);
	vprintf(fmt, args);
	putchar('\n');
	va_end(args);

	return -1;
}

/* === Descriptors === */

static uint32_t rnd_state;

/* The same numbers each time, and in each kernel */
static unsigned int below(unsigned int ceil)
{
	rnd_state ^= rnd_state << 13;
	rnd_state ^= rnd_state >> 17;
	rnd_state ^= rnd_state << 5;

	return rnd_state % ceil;
}

static void put16(uint8_t *p, unsigned int v)
{
	p[0] = v;
	p[1] = v >> 8;
}

static void put32(uint8_t *p, unsigned int v)
{
	put16(p, v);
	put16(p + 2, v >> 16);
}

/* A descriptor of @len bytes, of which @nr are given */
static uint8_t *add(struct camera *c, unsigned int len, unsigned int nr, ...)
{
	uint8_t *desc = c->config + c->len;
	unsigned int i;
	va_list args;

	if (c->len + len > MAX_LEN)
		exit(-wrong("too many descriptors"));
	memset(desc, 0, len);
	desc[0] = len;
	va_start(args, nr);
	for (i = 0; i < nr; i++)
		desc[1 + i] = va_arg(args, int);
	va_end(args);
	c->len += len;

	return desc;
}

/* Up to the header of the streaming interface. Tells where its length is. */
static uint8_t *begin(struct camera *c, unsigned int nformats)
{
	uint8_t *header;

	c->len = 0;
	/* Two interfaces, 500 mA */
	add(c, 9, 8, USB_DT_CONFIG, 0, 0, 2, 1, 0, 0x80, 250);
	/* Both are one function: video */
	add(c, 8, 7, USB_DT_INTERFACE_ASSOCIATION, VC_INTERFACE, 2, USB_CLASS_VIDEO, 3, 0, 0);
	add(c, 9, 8, USB_DT_INTERFACE, VC_INTERFACE, 0, 0, USB_CLASS_VIDEO, 1, 0, 0);
	/* The header: version 1.0, size of all three, 48 MHz, one streaming interface */
	header = add(c, 13, 5, CS_INTERFACE, 1, 0, 1, 13 + 18 + 9);
	put32(header + 7, 48000000);
	header[11] = 1;
	header[12] = VS_INTERFACE;
	/* A camera without controls, and where its pictures go: to USB */
	put16(add(c, 18, 3, CS_INTERFACE, 2, CAMERA_ID) + 4, 0x0201);
	c->config[c->len - 18 + 14] = 3;
	header = add(c, 9, 3, CS_INTERFACE, 3, OUTPUT_ID);
	put16(header + 4, 0x0101);
	header[7] = CAMERA_ID;

	add(c, 9, 8, USB_DT_INTERFACE, VS_INTERFACE, 0, 1, USB_CLASS_VIDEO, 2, 0, 0);
	header = add(c, 13 + nformats, 3, CS_INTERFACE, 1, nformats);
	header[6] = USB_DIR_IN | 1;
	header[8] = OUTPUT_ID;
	header[12] = 1;

	return header;
}

static void end(struct camera *c, uint8_t *header)
{
	put16(header + 4, c->config + c->len - header);
	add(c, 7, 6, USB_DT_ENDPOINT, USB_DIR_IN | 1, USB_ENDPOINT_XFER_BULK, 0, 2, 0);
	put16(c->config + 2, c->len);
}

static void add_frame(struct camera *c, enum kind kind, unsigned int index,
		      const struct frame *f)
{
	unsigned int nr = f->nr ? f->nr : 3, i;
	uint8_t *desc = add(c, 26 + 4 * nr, 4, CS_INTERFACE,
			    kind == UNCOMPRESSED ? 5 : kind == MJPEG ? 7 : 0x11, index, 0);

	put16(desc + 5, f->width);
	put16(desc + 7, f->height);
	put32(desc + 9, 1000000);
	put32(desc + 13, 100000000);
	if (kind == FRAME_BASED) {
		put32(desc + 17, f->interval[0]);
		desc[21] = f->nr;
	} else {
		put32(desc + 17, f->width * f->height * 2);
		put32(desc + 21, f->interval[0]);
		desc[25] = f->nr;
	}
	for (i = 0; i < nr; i++)
		put32(desc + 26 + 4 * i, f->interval[i]);
}

static void add_format(struct camera *c, unsigned int index, enum kind kind,
		       const char *guid, unsigned int nframes)
{
	/* What all have that are made of four letters */
	static const uint8_t rest[] = {
		0x00, 0x00, 0x10, 0x00, 0x80, 0x00, 0x00, 0xaa, 0x00, 0x38, 0x9b, 0x71,
	};
	uint8_t *desc;

	switch (kind) {
	case UNCOMPRESSED:
	case FRAME_BASED:
		desc = add(c, kind == UNCOMPRESSED ? 27 : 28, 4, CS_INTERFACE,
			   kind == UNCOMPRESSED ? 4 : 0x10, index, nframes);
		memcpy(desc + 5, guid, 4);
		memcpy(desc + 9, rest, sizeof(rest));
		desc[21] = 16;
		desc[22] = 1;
		if (kind == FRAME_BASED)
			desc[27] = 1;
		break;
	case MJPEG:
		add(c, 11, 6, CS_INTERFACE, 6, index, nframes, 0, 1);
		break;
	case DV:
		add(c, 9, 3, CS_INTERFACE, 0x0c, index);
		break;
	}
}

static void make_frame(struct frame *f, unsigned int i)
{
	static const unsigned int rates[] = { 60, 50, 30, 25, 20, 15, 10, 5 };
	unsigned int k;

	/* No two that follow each other have the same size */
	f->width = 16 * (1 + below(100));
	f->height = 16 * (1 + i) + 128 * below(5);
	f->nr = below(4) ? 1 + below(MAX_INTERVALS) : 0;
	if (f->nr) {
		for (k = 0; k < f->nr; k++)
			f->interval[k] = SECOND / rates[below(8)];
		return;
	}
	f->interval[0] = SECOND / 50;
	f->interval[1] = SECOND / 5;
	f->interval[2] = SECOND / 50;
}

/* A camera with some of the formats, in any order */
static void make_camera(struct camera *c, unsigned int seed)
{
	unsigned int order[MAX_FORMATS], nr = 1 + seed % MAX_FORMATS, i, k;
	uint8_t *header;

	rnd_state = 4711 + 977 * seed;
	for (i = 0; i < MAX_FORMATS; i++) {
		k = below(i + 1);
		order[i] = order[k];
		order[k] = i;
	}

	header = begin(c, nr);
	for (c->nr = 0; c->nr < nr && c->len < FULL; c->nr++) {
		struct format *f = &c->format[c->nr];
		unsigned int which = order[c->nr];
		enum kind kind = formats[which].kind;

		f->fcc = formats[which].fcc;
		f->compressed = kind != UNCOMPRESSED;
		f->nr = 1;
		memset(f->frame, 0, sizeof(f->frame));
		if (kind != DV)
			f->nr += below(MAX_FRAMES);
		add_format(c, c->nr + 1, kind, formats[which].guid, f->nr);
		for (i = 0; kind != DV && i < f->nr; i++) {
			if (i && c->len >= FULL) {
				f->nr = i;
				break;
			}
			make_frame(&f->frame[i], i);
			add_frame(c, kind, i + 1, &f->frame[i]);
		}
		/* Still pictures, and colours: sRGB, BT.709, SMPTE 170M */
		if (c->len < FULL && !below(3))
			add(c, 6, 5, CS_INTERFACE, 3, 0, 0, 0);
		if (c->len < FULL && below(2))
			add(c, 6, 5, CS_INTERFACE, 0x0d, 1, 1, 4);
	}
	header[3] = c->nr;
	end(c, header);
}

/*
 * DV has no frames, and what follows it are none: their type is 0. Each says that it has
 * 255 intervals. These are taken from all the bytes that follow, whatever they are: many
 * times the letter A.
 */
static void make_hostile(struct camera *c)
{
	uint8_t *header = begin(c, 1), *desc;
	unsigned int i;

	add_format(c, 1, DV, NULL, 0);
	for (i = 0; i < 5; i++) {
		desc = add(c, 26, 2, CS_INTERFACE, 0);
		memset(desc + 3, 'A', 23);
		desc[25] = 255;
	}
	while (c->len < FULL) {
		desc = add(c, 100, 2, CS_INTERFACE, 0x7f);
		memset(desc + 3, 'A', 97);
	}
	end(c, header);
}

/* === The gadget === */

struct control {
	struct usb_raw_event event;
	struct usb_ctrlrequest req;
};

struct transfer {
	struct usb_raw_ep_io io;
	uint8_t data[MAX_LEN];
};

static int send(int fd, const void *data, unsigned int len, unsigned int max)
{
	static struct transfer t;

	if (len > max)
		len = max;
	t.io.ep = 0;
	t.io.flags = 0;
	t.io.length = len;
	memcpy(t.data, data, len);

	return ioctl(fd, USB_RAW_IOCTL_EP0_WRITE, &t) < 0 ? -1 : 0;
}

static int receive(int fd, unsigned int len)
{
	static struct transfer t;

	t.io.ep = 0;
	t.io.flags = 0;
	t.io.length = len;

	return ioctl(fd, USB_RAW_IOCTL_EP0_READ, &t) < 0 ? -1 : 0;
}

static int serve_descriptor(int fd, const struct camera *c, unsigned int value,
			    unsigned int max)
{
	static const struct usb_device_descriptor device = {
		.bLength = USB_DT_DEVICE_SIZE,
		.bDescriptorType = USB_DT_DEVICE,
		.bcdUSB = 0x0200,
		/* Functions are told by associations of interfaces */
		.bDeviceClass = USB_CLASS_MISC,
		.bDeviceSubClass = 2,
		.bDeviceProtocol = 1,
		.bMaxPacketSize0 = 64,
		/* For tests, as the Linux Foundation gives them to gadgets */
		.idVendor = 0x1d6b,
		.idProduct = 0x0102,
		.bcdDevice = 0x0100,
		.iProduct = 1,
		.bNumConfigurations = 1,
	};
	static const uint8_t language[] = { 4, USB_DT_STRING, 0x09, 0x04 };
	static const uint8_t name[] = {
		10, USB_DT_STRING, 't', 0, 'e', 0, 's', 0, 't', 0,
	};

	switch (value >> 8) {
	case USB_DT_DEVICE:
		return send(fd, &device, sizeof(device), max);
	case USB_DT_CONFIG:
		return send(fd, c->config, c->len, max);
	case USB_DT_STRING:
		if (value & 0xff)
			return send(fd, name, sizeof(name), max);
		return send(fd, language, sizeof(language), max);
	}

	return 1;
}

/* Serve a request: -1 if that has failed, 1 if there is none such */
static int serve(int fd, const struct camera *c, const struct usb_ctrlrequest *req)
{
	static const uint8_t zero;
	/* What is to be sent: the first format and its first frame, of any size */
	static const uint8_t probe[26] = { 0, 0, 1, 1 };
	static const uint8_t info[2] = { 3 }, len[2] = { 26 };

	if ((req->bRequestType & USB_TYPE_MASK) == USB_TYPE_CLASS) {
		if (!(req->bRequestType & USB_DIR_IN))
			return receive(fd, req->wLength);
		if (req->bRequest == GET_INFO)
			return send(fd, info, 1, req->wLength);
		if (req->bRequest == GET_LEN)
			return send(fd, len, 2, req->wLength);
		return send(fd, probe, sizeof(probe), req->wLength);
	}

	switch (req->bRequest) {
	case USB_REQ_GET_DESCRIPTOR:
		return serve_descriptor(fd, c, req->wValue, req->wLength);
	case USB_REQ_SET_CONFIGURATION:
		if (ioctl(fd, USB_RAW_IOCTL_VBUS_DRAW, 250) ||
		    ioctl(fd, USB_RAW_IOCTL_CONFIGURE, 0))
			return -1;
		return receive(fd, 0);
	case USB_REQ_SET_INTERFACE:
		return receive(fd, 0);
	case USB_REQ_GET_INTERFACE:
		return send(fd, &zero, 1, req->wLength);
	}

	return 1;
}

/* Be that camera, until the process is killed */
static void be_camera(const struct camera *c)
{
	struct usb_raw_init init = {
		.driver_name = "dummy_udc",
		.device_name = "dummy_udc.0",
		.speed = USB_SPEED_HIGH,
	};
	int fd = open("/dev/raw-gadget", O_RDWR);

	if (fd < 0 || ioctl(fd, USB_RAW_IOCTL_INIT, &init) ||
	    ioctl(fd, USB_RAW_IOCTL_RUN, 0))
		exit(-wrong("/dev/raw-gadget: %s", strerror(errno)));

	for (;;) {
		struct control control = { .event.length = sizeof(control.req), };

		if (ioctl(fd, USB_RAW_IOCTL_EVENT_FETCH, &control)) {
			if (errno == EINTR)
				continue;
			exit(-wrong("no event: %s", strerror(errno)));
		}
		/* Whoever asks can go away meanwhile, so failures do not matter */
		if (control.event.type == USB_RAW_EVENT_CONTROL &&
		    serve(fd, c, &control.req) > 0)
			ioctl(fd, USB_RAW_IOCTL_EP0_STALL, 0);
	}
}

static pid_t plug_in(const struct camera *c)
{
	pid_t pid = fork();

	if (pid < 0)
		exit(-wrong("fork: %s", strerror(errno)));
	if (!pid)
		be_camera(c);

	return pid;
}

/* === What the driver has found === */

static void pause_for(unsigned int ms)
{
	const struct timespec time = { .tv_nsec = ms * 1000000L, };

	nanosleep(&time, NULL);
}

/* Count the entries of a folder whose names begin with @name */
static int entries(const char *path, const char *name)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	int nr = 0;

	while (dir && (entry = readdir(dir)))
		nr += !strncmp(entry->d_name, name, strlen(name));
	if (dir)
		closedir(dir);

	return nr;
}

static int wait_for_video(int there)
{
	int i;

	for (i = 0; i < 1200; i++) {
		if (!!access("/dev/video0", F_OK) == !there &&
		    (there || !entries("/sys/class/video4linux", "video")))
			return 0;
		pause_for(25);
	}

	return -1;
}

static void unplug(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* The driver makes simple fractions of intervals: the same to a few per mille */
static int same_interval(const struct v4l2_fract *f, unsigned int interval)
{
	int64_t a = (int64_t)f->numerator * SECOND, b = (int64_t)interval * f->denominator;
	int64_t d = a > b ? a - b : b - a;

	return d * 200 <= b;
}

static int check_frame(int fd, uint32_t fcc, const struct frame *f)
{
	struct v4l2_frmivalenum i = {
		.pixel_format = fcc,
		.width = f->width,
		.height = f->height,
	};

	if (!f->nr) {
		if (ioctl(fd, VIDIOC_ENUM_FRAMEINTERVALS, &i) ||
		    i.type != V4L2_FRMIVAL_TYPE_STEPWISE ||
		    !same_interval(&i.stepwise.min, f->interval[0]) ||
		    !same_interval(&i.stepwise.max, f->interval[1]) ||
		    !same_interval(&i.stepwise.step, f->interval[2]))
			return wrong("%ux%u: no range of intervals", f->width, f->height);
		i.index++;
	}
	for (; i.index < f->nr; i.index++) {
		if (ioctl(fd, VIDIOC_ENUM_FRAMEINTERVALS, &i) ||
		    i.type != V4L2_FRMIVAL_TYPE_DISCRETE ||
		    !same_interval(&i.discrete, f->interval[i.index]))
			return wrong("%ux%u: interval %u is %u/%u", f->width, f->height,
				     i.index, i.discrete.numerator, i.discrete.denominator);
	}
	if (!ioctl(fd, VIDIOC_ENUM_FRAMEINTERVALS, &i))
		return wrong("%ux%u: more than %u intervals", f->width, f->height, f->nr);

	return 0;
}

static int check_format(int fd, const struct format *f)
{
	struct v4l2_frmsizeenum s = { .pixel_format = f->fcc, };

	for (; s.index < f->nr; s.index++) {
		const struct frame *frame = &f->frame[s.index];

		if (ioctl(fd, VIDIOC_ENUM_FRAMESIZES, &s) ||
		    s.type != V4L2_FRMSIZE_TYPE_DISCRETE ||
		    s.discrete.width != frame->width || s.discrete.height != frame->height)
			return wrong("frame %u is %ux%u, not %ux%u", s.index,
				     s.discrete.width, s.discrete.height, frame->width,
				     frame->height);
		/* DV has a frame without a size or an interval */
		if (frame->width && check_frame(fd, f->fcc, frame))
			return -1;
	}
	if (!ioctl(fd, VIDIOC_ENUM_FRAMESIZES, &s))
		return wrong("more than %u frames", f->nr);

	return 0;
}

static int check_camera(int fd, const struct camera *c)
{
	struct v4l2_fmtdesc f = { .type = V4L2_BUF_TYPE_VIDEO_CAPTURE, };

	for (; f.index < c->nr; f.index++) {
		const struct format *format = &c->format[f.index];

		if (ioctl(fd, VIDIOC_ENUM_FMT, &f) || f.pixelformat != format->fcc ||
		    !(f.flags & V4L2_FMT_FLAG_COMPRESSED) != !format->compressed)
			return wrong("format %u is %.4s, not %.4s", f.index,
				     (char *)&f.pixelformat, (const char *)&format->fcc);
		if (check_format(fd, format))
			return wrong("so format %u, %.4s, is not right", f.index,
				     (const char *)&format->fcc);
	}
	if (!ioctl(fd, VIDIOC_ENUM_FMT, &f))
		return wrong("more than %u formats", c->nr);

	return 0;
}

/* All that there is, as the driver tells it */
static void print_camera(int fd)
{
	struct v4l2_fmtdesc f = { .type = V4L2_BUF_TYPE_VIDEO_CAPTURE, };

	for (; !ioctl(fd, VIDIOC_ENUM_FMT, &f); f.index++) {
		struct v4l2_frmsizeenum s = { .pixel_format = f.pixelformat, };

		printf("format %.4s flags %x", (char *)&f.pixelformat, f.flags);
		for (; !ioctl(fd, VIDIOC_ENUM_FRAMESIZES, &s); s.index++) {
			struct v4l2_frmivalenum i = {
				.pixel_format = f.pixelformat,
				.width = s.discrete.width,
				.height = s.discrete.height,
			};

			printf(" %ux%u:", i.width, i.height);
			for (; !ioctl(fd, VIDIOC_ENUM_FRAMEINTERVALS, &i); i.index++)
				printf("%s%u/%u", i.index ? "," : "",
				       i.discrete.numerator, i.discrete.denominator);
		}
		putchar('\n');
	}
}

/* Plug it in, and compare what there is, or print it */
static int with_camera(const struct camera *c, int list)
{
	pid_t pid = plug_in(c);
	int fd, ret = -1;

	if (wait_for_video(1)) {
		wrong("there is no video device");
	} else {
		fd = open("/dev/video0", O_RDWR);
		if (fd < 0) {
			wrong("/dev/video0: %s", strerror(errno));
		} else if (list) {
			print_camera(fd);
			ret = 0;
		} else {
			ret = check_camera(fd, c);
		}
		if (fd >= 0)
			close(fd);
	}
	unplug(pid);
	if (wait_for_video(0))
		ret = wrong("the video device does not go");

	return ret;
}

static int check(unsigned int nr)
{
	unsigned int i, nformats = 0, nframes = 0, k;
	static struct camera c;

	for (i = 0; i < nr; i++) {
		make_camera(&c, i);
		if (with_camera(&c, 0))
			return wrong("so camera %u is not right", i);
		nformats += c.nr;
		for (k = 0; k < c.nr; k++)
			nframes += c.format[k].nr;
	}
	printf("%u cameras are right, %u formats, %u frames\n", nr, nformats, nframes);

	return 0;
}

/* Until the driver is done with it: it is bound to the first interface then, or never */
static int hostile(void)
{
	static struct camera c;
	pid_t pid;
	int i;

	make_hostile(&c);
	pid = plug_in(&c);
	for (i = 0; i < 400 && access("/dev/video0", F_OK) &&
	     access("/sys/bus/usb/drivers/uvcvideo/1-1:1.0", F_OK); i++)
		pause_for(25);
	/* The video device comes first, if it comes */
	pause_for(500);
	printf("hostile: %s\n", access("/dev/video0", F_OK) ? "no video device" :
	       "a video device");
	unplug(pid);
	if (wait_for_video(0))
		return wrong("the video device does not go");
	/* What was damaged shows when it is used */
	pause_for(500);

	return 0;
}

int main(int argc, char **argv)
{
	static struct camera c;
	int ret = -1;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc == 3 && !strcmp(argv[1], "check")) {
		ret = check(atoi(argv[2]));
	} else if (argc == 3 && !strcmp(argv[1], "list")) {
		make_camera(&c, atoi(argv[2]));
		ret = with_camera(&c, 1);
	} else if (argc == 2 && !strcmp(argv[1], "hostile")) {
		ret = hostile();
	} else {
		fputs("usage: usb-camera check NR | list SEED | hostile\n", stderr);
	}

	return ret ? 1 : 0;
}
