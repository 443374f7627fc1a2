/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Sandbox mode (SBM): messages and reports of a test's own calls, as text.
 */
#ifndef _SBM_KUNIT_CAPTURE_H
#define _SBM_KUNIT_CAPTURE_H

#include <kunit/test.h>
#include <linux/container_of.h>
#include <linux/gfp.h>
#include <linux/printk.h>
#include <linux/sprintf.h>

#include "../../kernel/sbm/sbm.h"

/* Enough for all that one case says between two looks */
#define CAPTURE_SIZE	(128 * 1024)

/**
 * struct capture - messages and reports as text
 * @out:   What they are written to.
 * @text:  What was written, with ends of line.
 * @len:   Length of @text.
 * @lines: Lines that were written.
 */
struct capture {
	struct sbm_out	out;
	char		*text;
	size_t		len;
	unsigned int	lines;
};

static inline void capture_line(struct sbm_out *out, struct va_format *vaf)
{
	struct capture *c = container_of(out, struct capture, out);

	c->len += scnprintf(c->text + c->len, CAPTURE_SIZE - c->len, "%pV\n", vaf);
	c->lines++;
}

/* From now on nothing of it goes to the log; it is @test->priv */
static inline void capture_begin(struct kunit *test)
{
	struct capture *c;

	c = kunit_kzalloc(test, sizeof(*c), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, c);
	c->text = kunit_kzalloc(test, CAPTURE_SIZE, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, c->text);
	c->out.line = capture_line;
	test->priv = c;
	sbm_test_capture(&c->out);
}

static inline void capture_clear(struct kunit *test)
{
	struct capture *c = test->priv;

	c->text[0] = '\0';
	c->len = 0;
	c->lines = 0;
}

static inline void capture_end(struct kunit *test)
{
	sbm_test_capture(NULL);
}

#endif /* _SBM_KUNIT_CAPTURE_H */
