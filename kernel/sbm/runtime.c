// SPDX-License-Identifier: GPL-2.0
/*
 * Sandbox mode (SBM): the kernel's side of what code inside has: heap and messages.
 *
 * Both are memory that the target can write as it likes. The kernel never looks into
 * the heap, so there is nothing in it that could mislead it. Messages it must read: each
 * byte once, and none of them means anything to it but to be printed.
 */
#include <linux/cache.h>
#include <linux/err.h>
#include <linux/errno.h>
#include <linux/export.h>
#include <linux/jiffies.h>
#include <linux/kernel.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/printk.h>
#include <linux/ratelimit.h>
#include <linux/sbm.h>
#include <linux/sbm_runtime.h>
#include <linux/stddef.h>
#include <linux/string.h>

#include "buffer.h"
#include "sbm.h"

/* === Heap and log === */

static int sbm_runtime_buffer(struct sbm_instance *inst, size_t size, unsigned int flag,
			      const char *name, struct sbm_buffer **buf,
			      unsigned long *addr)
{
	struct sbm_buffer *own;

	if (!size)
		return 0;

	own = sbm_buffer_add_own(inst, size, flag | __SBM_BUF_WRITE, name);
	if (IS_ERR(own))
		return PTR_ERR(own);
	*buf = own;
	*addr = own->addr;

	return 0;
}

int sbm_runtime_add(struct sbm_instance *inst)
{
	struct sbm_guest_info *info = &inst->info;
	int err;

	err = sbm_runtime_buffer(inst, inst->heap_size, __SBM_BUF_HEAP, "heap", &inst->heap,
				 &info->heap);
	if (!err)
		err = sbm_runtime_buffer(inst, inst->log_size, __SBM_BUF_LOG, "log",
					 &inst->log, &info->log);
	if (err)
		return err;

	info->heap_size = inst->heap_size;
	info->log_size = inst->log_size;
	if (inst->isolation == SBM_ISOLATION_STRONG && (inst->heap || inst->log))
		arch_sbm_set_info(inst->arch, info);

	return 0;
}

void sbm_runtime_drop(struct sbm_instance *inst)
{
	memset(&inst->info, 0, sizeof(inst->info));
	inst->heap = NULL;
	inst->log = NULL;
}

int sbm_heap_fault(struct sbm_instance *inst, unsigned long addr)
{
	struct sbm_buffer *heap = inst->heap;
	unsigned long i;

	if (!heap || addr < heap->addr)
		return -EFAULT;
	i = (addr - heap->addr) >> PAGE_SHIFT;
	if (i >= heap->nr || heap->pages[i])
		return -EFAULT;

	return sbm_buffer_populate(inst, heap, i);
}

/*
 * Looking into the heap is work for ring 3. It begins where the allocator's own state is:
 * what was never touched needs no look.
 */
int sbm_runtime_check(struct sbm_instance *inst)
{
	static const unsigned long regs[] = { 0 };
	static const struct sbm_call_desc desc = {
		.target	= (unsigned long)sbm_guest_check,
		.regs	= regs,
	};
	int ret;

	if (!inst->heap || !inst->heap->pages[0])
		return 0;

	return arch_sbm_call(inst, &desc, &ret);
}

/* === Messages === */

void sbm_runtime_complain(const char *what, unsigned long addr)
{
	pr_err("sbm: %s %lx\n", what, addr);
}

/* What is longer is cut in pieces */
#define SBM_LINE_SIZE	160

/* The most serious that a target can be */
#define SBM_MOST_SERIOUS	LOGLEVEL_ERR

/* Level of a message that has none */
#define SBM_NO_LEVEL		LOGLEVEL_WARNING

/* What one character can become */
#define SBM_ESCAPE_SIZE		4

/**
 * struct sbm_line - a line of messages
 * @level: How serious it is.
 * @len:   Its length.
 * @text:  Nothing but printable ASCII characters.
 */
struct sbm_line {
	unsigned int	level;
	unsigned int	len;
	char		text[SBM_LINE_SIZE + SBM_ESCAPE_SIZE + 1];
};

/*
 * The prefix says whose words these are, and is on each line: so nothing that a target
 * prints looks like a line of the kernel's own.
 */
static void sbm_line_print(const struct sbm_instance *inst, struct sbm_line *line)
{
	static DEFINE_RATELIMIT_STATE(rs, DEFAULT_RATELIMIT_INTERVAL, 40);
	const char level[] = { KERN_SOH_ASCII, '0' + line->level, '\0' };
	struct sbm_out *out = sbm_test_wants();

	if (!line->len)
		return;
	line->text[line->len] = '\0';

	if (out)
		sbm_say(out, "<%u>instance %llu: %s", line->level, inst->id, line->text);
	else if (__ratelimit(&rs))
		printk("%ssbm: instance %llu: %s\n", level, inst->id, line->text);
	line->len = 0;
}

static void sbm_line_add(const struct sbm_instance *inst, struct sbm_line *line, u8 c)
{
	if (c == '\n') {
		sbm_line_print(inst, line);
		line->level = SBM_NO_LEVEL;
		return;
	}

	if (c >= ' ' && c <= '~' && c != '\\')
		line->text[line->len++] = c;
	else
		line->len += sprintf(line->text + line->len, "\\x%02x", c);
	if (line->len >= SBM_LINE_SIZE)
		sbm_line_print(inst, line);
}

static u8 sbm_log_byte(const struct sbm_buffer *log, size_t offset)
{
	const u8 *page = page_address(log->pages[offset >> PAGE_SHIFT]);

	return READ_ONCE(page[offset_in_page(offset)]);
}

static noinline void sbm_print_log(struct sbm_instance *inst,
				   const struct sbm_buffer *log)
{
	struct sbm_line line = { .level = SBM_NO_LEVEL, };
	struct sbm_guest_log *head;
	size_t i, end;
	u32 lost;

	head = page_address(log->pages[0]);
	end = min_t(size_t, READ_ONCE(head->used), inst->log_size - sizeof(*head));
	end += sizeof(*head);
	lost = READ_ONCE(head->lost);
	WRITE_ONCE(head->used, 0);
	WRITE_ONCE(head->lost, 0);

	for (i = sizeof(*head); i < end; i++) {
		u8 c = sbm_log_byte(log, i);

		/* At the begin of a line: its level */
		if (c == KERN_SOH_ASCII && !line.len && i + 1 < end) {
			c = sbm_log_byte(log, ++i);
			if (c >= '0' && c <= '7')
				line.level = max(c - '0', SBM_MOST_SERIOUS);
			continue;
		}
		sbm_line_add(inst, &line, c);
	}
	sbm_line_print(inst, &line);

	if (lost) {
		line.level = SBM_NO_LEVEL;
		line.len = sprintf(line.text, "[%u more messages]", lost);
		sbm_line_print(inst, &line);
	}
}

/* After each call, most of which have no log: no line is set up for these */
void sbm_runtime_print(struct sbm_instance *inst)
{
	const struct sbm_buffer *log = inst->log;

	if (unlikely(log))
		sbm_print_log(inst, log);
}
