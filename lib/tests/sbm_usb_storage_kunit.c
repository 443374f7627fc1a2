// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit suite sbm_usb_storage: what USB sticks reply, interpreted in a sandbox.
 *
 * Replies go to the driver's own functions, as if they had come from a device. The same
 * code, called without a sandbox, says what is right. That this code is what it was before
 * is for scripts/sbm/check to say, which compares objects.
 *
 * If the code has a bug, a plain call may do anything. With the parameter
 * sbm_usb_storage_kunit.hostile=1 there are none with damaged replies, and what must hold
 * is only that each of them comes to an end, and that others are right between them.
 */
#include <kunit/test.h>
#include <linux/array_size.h>
#include <linux/kernel.h>
#include <linux/math64.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/prandom.h>
#include <linux/sbm.h>
#include <linux/string.h>
#include <linux/timex.h>
#include <linux/types.h>
#include <linux/usb.h>
#include <linux/usb_usual.h>
#include <scsi/scsi.h>
#include <scsi/scsi_cmnd.h>
#include <scsi/scsi_common.h>

#include "../../drivers/usb/storage/sbm.h"
#include "../../drivers/usb/storage/scsiglue.h"
#include "../../drivers/usb/storage/transport.h"
#include "../../kernel/sbm/debugfs.h"
#include "../../kernel/sbm/sbm.h"
#include "sbm_kunit.h"

static unsigned int mutations = 10000;
module_param(mutations, uint, 0644);
MODULE_PARM_DESC(mutations, "Number of damaged replies, of each kind");

static bool hostile;
module_param(hostile, bool, 0644);
MODULE_PARM_DESC(hostile, "The code has a bug: no plain calls with damaged replies");

/**
 * struct stick - a device, and a command that it replies to
 * @us:	   The device, as far as the driver knows it.
 * @srb:   The command.
 * @sense: Its sense data.
 */
struct stick {
	struct us_data	us;
	struct scsi_cmnd srb;
	u8		sense[SCSI_SENSE_BUFFERSIZE];
};

/**
 * struct pair - the same device twice
 * @rnd:     The same numbers each time.
 * @sbm:     Its replies are interpreted in a sandbox.
 * @ref:     And here not.
 * @csw:     A status.
 * @length:  Bytes that the command wants.
 * @babble:  The device has sent more than that.
 */
struct pair {
	struct rnd_state	rnd;
	struct stick		sbm;
	struct stick		ref;
	struct bulk_cs_wrap	csw;
	unsigned int		length;
	int			babble;
};

static u32 below(struct pair *p, u32 ceil)
{
	return prandom_u32_state(&p->rnd) % ceil;
}

static int sbm_usb_storage_init(struct kunit *test)
{
	struct pair *p = kunit_kzalloc(test, sizeof(*p), GFP_KERNEL);

	if (!p)
		return -ENOMEM;

	test->priv = p;
	prandom_seed_state(&p->rnd, 4711);
	p->sbm.srb.sense_buffer = p->sbm.sense;
	p->ref.srb.sense_buffer = p->ref.sense;

	return usb_stor_sbm_init(&p->sbm.us);
}

static void sbm_usb_storage_exit(struct kunit *test)
{
	struct pair *p = test->priv;

	if (p)
		usb_stor_sbm_exit(&p->sbm.us);
}

/* What comes before a reply is the same for both */
static void set_both(struct pair *p, const u8 *cmnd, unsigned int resid, u64 fflags,
		     unsigned int tag, __le32 signature)
{
	struct stick *both[] = { &p->sbm, &p->ref };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(both); i++) {
		memset(both[i]->sense, 0, sizeof(both[i]->sense));
		memcpy(both[i]->srb.cmnd, cmnd, sizeof(both[i]->srb.cmnd));
		both[i]->srb.resid_len = resid;
		both[i]->srb.result = 0x5a5a;
		both[i]->us.fflags = fflags;
		both[i]->us.tag = tag;
		both[i]->us.bcs_signature = signature;
	}
}

static bool same(const struct pair *p)
{
	return p->sbm.srb.resid_len == p->ref.srb.resid_len &&
	       p->sbm.srb.result == p->ref.srb.result &&
	       p->sbm.us.fflags == p->ref.us.fflags &&
	       p->sbm.us.bcs_signature == p->ref.us.bcs_signature &&
	       !memcmp(p->sbm.sense, p->ref.sense, SCSI_SENSE_BUFFERSIZE);
}

static bool stopped(const struct pair *p)
{
	return sbm_error(&p->sbm.us.sbm->sbm);
}

/* A command, and a status that fits */
static void good_csw(struct pair *p)
{
	static const struct {
		u8 cmnd;
		unsigned int length;
	} commands[] = {
		{ TEST_UNIT_READY, 0 }, { INQUIRY, 36 }, { READ_CAPACITY, 8 },
		{ READ_10, 4096 }, { WRITE_10, 65536 }, { MODE_SENSE, 192 },
	};
	unsigned int i = below(p, ARRAY_SIZE(commands));
	u8 cmnd[sizeof(p->sbm.srb.cmnd)] = { commands[i].cmnd };
	u32 tag = prandom_u32_state(&p->rnd);

	p->length = commands[i].length;
	p->babble = !below(p, 8);
	set_both(p, cmnd, 0, 0, tag, below(p, 2) ? cpu_to_le32(US_BULK_CS_SIGN) : 0);
	p->csw.Signature = cpu_to_le32(US_BULK_CS_SIGN);
	p->csw.Tag = tag;
	p->csw.Residue = 0;
	p->csw.Status = US_BULK_STAT_OK;
}

/* A status that anybody may have sent, for a device that may have any quirk */
static void damage_csw(struct pair *p)
{
	static const u64 quirks[] = {
		0, 0, US_FL_BULK_IGNORE_TAG, US_FL_IGNORE_RESIDUE, US_FL_SANE_SENSE,
	};
	u8 *bytes = (u8 *)&p->csw;
	unsigned int resid = 0;

	if (below(p, 2))
		resid = below(p, p->length + 1);
	set_both(p, p->sbm.srb.cmnd, resid, quirks[below(p, ARRAY_SIZE(quirks))],
		 p->sbm.us.tag, p->sbm.us.bcs_signature);

	switch (below(p, 6)) {
	case 0:
		p->csw.Status = below(p, 256);
		break;
	case 1:
		p->csw.Status = below(p, 3);
		p->csw.Residue = cpu_to_le32(prandom_u32_state(&p->rnd));
		break;
	case 2:
		p->csw.Residue = cpu_to_le32(p->length + below(p, 3) - 1);
		break;
	case 3:
		p->csw.Signature = cpu_to_le32(prandom_u32_state(&p->rnd));
		break;
	case 4:
		prandom_bytes_state(&p->rnd, &p->csw, US_BULK_CS_WRAP_LEN);
		break;
	default:
		bytes[below(p, US_BULK_CS_WRAP_LEN)] ^= 1 << below(p, 8);
		break;
	}
}

static int sbm_csw(struct pair *p)
{
	return usb_stor_check_csw(&p->sbm.srb, &p->sbm.us, &p->csw, p->length, p->babble);
}

static int ref_csw(struct pair *p)
{
	int ret = usb_stor_csw_inside(&p->ref.srb, &p->ref.us, &p->csw, p->length);

	if (ret == USB_STOR_TRANSPORT_GOOD && p->babble) {
		memcpy(p->ref.sense, usb_stor_sense_invalidCDB,
		       sizeof(usb_stor_sense_invalidCDB));
		ret = USB_STOR_TRANSPORT_NO_SENSE;
	}

	return ret;
}

static int sbm_sense(struct pair *p, int result)
{
	struct scsi_sense_hdr sshdr;

	return usb_stor_check_sense(&p->sbm.srb, &p->sbm.us, &sshdr, result);
}

/* Sense data as a device has it that is in order */
static void good_sense(struct pair *p)
{
	u8 cmnd[sizeof(p->sbm.srb.cmnd)] = { below(p, 4) ? READ_10 : ATA_16 };
	u8 *sense = p->sbm.sense;

	set_both(p, cmnd, 0, below(p, 2) ? US_FL_SANE_SENSE : 0, 1, 0);
	if (below(p, 2)) {
		/* Fixed */
		sense[0] = 0x70;
		sense[2] = below(p, 2) ? MEDIUM_ERROR : NO_SENSE;
		sense[7] = 10;
		sense[12] = below(p, 2) ? 0x11 : 0;
	} else {
		/* With descriptors: information, and stream commands */
		sense[0] = 0x72;
		sense[1] = below(p, 2) ? MEDIUM_ERROR : NO_SENSE;
		sense[7] = 16;
		sense[9] = 10;
		sense[20] = 4;
		sense[21] = 2;
		sense[23] = below(p, 2) ? 0x80 : 0;
	}
	memcpy(p->ref.sense, sense, SCSI_SENSE_BUFFERSIZE);
}

static void damage_sense(struct pair *p)
{
	u8 *sense = p->sbm.sense;
	unsigned int i, nr;

	switch (below(p, 4)) {
	case 0:
		prandom_bytes_state(&p->rnd, sense, SCSI_SENSE_BUFFERSIZE);
		break;
	case 1:
		/* Descriptors up to the end, and lengths that say there is more */
		prandom_bytes_state(&p->rnd, sense, SCSI_SENSE_BUFFERSIZE);
		sense[0] = 0x72 + below(p, 2);
		sense[7] = 0xff - below(p, 200);
		break;
	case 2:
		/* Many short ones, none of which is the one that is looked for */
		memset(sense, 0, SCSI_SENSE_BUFFERSIZE);
		sense[0] = 0x72;
		sense[7] = 0xff - below(p, 200);
		break;
	default:
		for (i = 0, nr = 1 + below(p, 8); i < nr; i++)
			sense[below(p, SCSI_SENSE_BUFFERSIZE)] = below(p, 256);
		break;
	}
	memcpy(p->ref.sense, sense, SCSI_SENSE_BUFFERSIZE);
}

static void expect_good_ones(struct kunit *test, struct pair *p, unsigned int nr)
{
	int result, ret;

	while (nr--) {
		good_csw(p);
		ret = sbm_csw(p);
		KUNIT_EXPECT_EQ(test, ret, ref_csw(p));
		KUNIT_EXPECT_EQ(test, ret, p->babble ? USB_STOR_TRANSPORT_NO_SENSE :
						       USB_STOR_TRANSPORT_GOOD);
		KUNIT_EXPECT_TRUE(test, same(p));

		good_sense(p);
		result = below(p, 2) ? USB_STOR_TRANSPORT_GOOD : USB_STOR_TRANSPORT_FAILED;
		KUNIT_EXPECT_EQ(test, sbm_sense(p, result), 0);
		usb_stor_sense_inside(&p->ref.srb, &p->ref.us, result);
		KUNIT_EXPECT_TRUE(test, same(p));
	}
}

static void good_replies_are_right(struct kunit *test)
{
	struct pair *p = test->priv;
	u64 before = sbm_stats_calls();

	expect_good_ones(test, p, 500);
	if (sbm_instance_isolation(&p->sbm.us.sbm->sbm) == SBM_ISOLATION_STRONG)
		KUNIT_EXPECT_GE(test, sbm_stats_calls() - before, 1000);
	KUNIT_EXPECT_FALSE(test, stopped(p));
}

static void damaged_status_gets_the_same_verdict(struct kunit *test)
{
	unsigned int verdicts[4] = {}, i, stops = 0, learnt = 0;
	struct pair *p = test->priv;
	int ret, ref;

	for (i = 0; i < mutations; i++) {
		good_csw(p);
		damage_csw(p);
		ret = sbm_csw(p);
		KUNIT_ASSERT_TRUE(test, ret >= 0 && ret < ARRAY_SIZE(verdicts));
		KUNIT_EXPECT_LE(test, p->sbm.srb.resid_len, p->length);
		verdicts[ret]++;
		stops += stopped(p);
		if (!hostile) {
			ref = ref_csw(p);
			if (ret != ref || !same(p)) {
				KUNIT_FAIL(test, "status %u: %d instead of %d\n", i, ret, ref);
				break;
			}
			learnt += p->sbm.us.fflags & US_FL_IGNORE_RESIDUE ? 1 : 0;
		}
		if (i % 1000 == 0)
			expect_good_ones(test, p, 1);
	}
	if (!hostile) {
		KUNIT_EXPECT_EQ(test, stops, 0);
		/* All that can happen did */
		for (ret = 0; ret < ARRAY_SIZE(verdicts); ret++)
			KUNIT_EXPECT_GT(test, verdicts[ret], 0);
		KUNIT_EXPECT_GT(test, learnt, 0);
	}
	kunit_info(test, "damaged status: %u of %u, %u good, %u failed, %u errors, %u stopped\n",
		   i, mutations, verdicts[0] + verdicts[2], verdicts[1], verdicts[3], stops);
}

static void damaged_sense_gets_the_same_verdict(struct kunit *test)
{
	unsigned int i, stops = 0, errors = 0;
	struct pair *p = test->priv;
	int ret, result;

	for (i = 0; i < mutations; i++) {
		good_sense(p);
		damage_sense(p);
		result = below(p, 2) ? USB_STOR_TRANSPORT_GOOD : USB_STOR_TRANSPORT_FAILED;
		ret = sbm_sense(p, result);
		errors += ret != 0;
		if (stopped(p)) {
			stops++;
			KUNIT_EXPECT_NE(test, ret, 0);
			KUNIT_EXPECT_EQ(test, p->sbm.srb.result, DID_ERROR << 16);
			KUNIT_EXPECT_NULL(test, memchr_inv(p->sbm.sense, 0,
							   SCSI_SENSE_BUFFERSIZE));
			/* The next one is none the worse for it */
			expect_good_ones(test, p, 1);
		} else if (!hostile) {
			usb_stor_sense_inside(&p->ref.srb, &p->ref.us, result);
			if (ret || !same(p)) {
				KUNIT_FAIL(test, "sense data %u: %d, result %x instead of %x\n",
					   i, ret, p->sbm.srb.result, p->ref.srb.result);
				break;
			}
		}
		if (i % 1000 == 0)
			expect_good_ones(test, p, 1);
	}
	if (hostile)
		KUNIT_EXPECT_GT(test, stops, 0);
	else
		KUNIT_EXPECT_EQ(test, stops, 0);
	KUNIT_EXPECT_EQ(test, errors, stops);
	kunit_info(test, "damaged sense data: %u of %u, %u stopped\n", i, mutations, stops);
}

/* A stick that has its sandbox stopped, between others of one that has not */
static void sticks_do_not_meet(struct kunit *test)
{
	struct pair *p = test->priv;
	struct pair *other = kunit_kzalloc(test, sizeof(*other), GFP_KERNEL);
	unsigned int i;

	skip_if_isolation_below(test, SBM_ISOLATION_STRONG);

	KUNIT_ASSERT_NOT_NULL(test, other);
	*other = *p;
	other->sbm.us.sbm = NULL;
	other->sbm.srb.sense_buffer = other->sbm.sense;
	other->ref.srb.sense_buffer = other->ref.sense;
	KUNIT_ASSERT_EQ(test, usb_stor_sbm_init(&other->sbm.us), 0);

	for (i = 0; i < 20; i++) {
		expect_good_ones(test, other, 10);
		/* As if a reply had done it */
		sbm_cancel(&p->sbm.us.sbm->sbm);
		good_csw(p);
		KUNIT_EXPECT_EQ(test, sbm_csw(p), USB_STOR_TRANSPORT_ERROR);
		KUNIT_EXPECT_TRUE(test, stopped(p));
		KUNIT_EXPECT_FALSE(test, stopped(other));
		expect_good_ones(test, other, 10);
		expect_good_ones(test, p, 10);
	}
	usb_stor_sbm_exit(&other->sbm.us);
}

/* Whatever a target leaves, outside it is one of the things that the code can say */
static void lies_are_not_believed(struct kunit *test)
{
	struct pair *p = test->priv;
	struct us_inside *in = kunit_kzalloc(test, sizeof(*in), GFP_KERNEL);
	u8 cmnd[sizeof(p->sbm.srb.cmnd)] = { READ_10 };
	unsigned int bit;
	int ret;

#define TAKE_CSW(ret)	usb_stor_take_csw(&p->sbm.srb, &p->sbm.us, in, ret, 4096)
#define TAKE_SENSE()	usb_stor_take_sense(&p->sbm.srb, &p->sbm.us, in)
#define TELL(resid, flags, sign) do {			\
		in->srb.resid_len = resid;		\
		in->us.fflags = flags;			\
		in->us.bcs_signature = sign;		\
	} while (0)

	KUNIT_ASSERT_NOT_NULL(test, in);
	set_both(p, cmnd, 512, US_FL_BAD_SENSE, 7, cpu_to_le32(US_BULK_CS_SIGN));
	p->ref = p->sbm;

	/* The truth */
	TELL(512, US_FL_BAD_SENSE, cpu_to_le32(US_BULK_CS_SIGN));
	KUNIT_EXPECT_EQ(test, TAKE_CSW(USB_STOR_TRANSPORT_GOOD), USB_STOR_TRANSPORT_GOOD);
	KUNIT_EXPECT_EQ(test, TAKE_CSW(USB_STOR_TRANSPORT_FAILED), USB_STOR_TRANSPORT_FAILED);
	KUNIT_EXPECT_TRUE(test, same(p));

	/* Results that there are not, or that only the outside knows */
	for (ret = -300; ret < 300; ret++) {
		if (ret != USB_STOR_TRANSPORT_GOOD && ret != USB_STOR_TRANSPORT_FAILED)
			KUNIT_EXPECT_EQ(test, TAKE_CSW(ret), USB_STOR_TRANSPORT_ERROR);
	}

	/* More was left than was asked for, or less than was not transferred */
	TELL(4097, US_FL_BAD_SENSE, cpu_to_le32(US_BULK_CS_SIGN));
	KUNIT_EXPECT_EQ(test, TAKE_CSW(USB_STOR_TRANSPORT_GOOD), USB_STOR_TRANSPORT_ERROR);
	TELL(UINT_MAX, US_FL_BAD_SENSE, cpu_to_le32(US_BULK_CS_SIGN));
	KUNIT_EXPECT_EQ(test, TAKE_CSW(USB_STOR_TRANSPORT_GOOD), USB_STOR_TRANSPORT_ERROR);
	TELL(511, US_FL_BAD_SENSE, cpu_to_le32(US_BULK_CS_SIGN));
	KUNIT_EXPECT_EQ(test, TAKE_CSW(USB_STOR_TRANSPORT_GOOD), USB_STOR_TRANSPORT_ERROR);

	/* Another signature than before */
	TELL(512, US_FL_BAD_SENSE, cpu_to_le32(US_BULK_CS_SIGN + 1));
	KUNIT_EXPECT_EQ(test, TAKE_CSW(USB_STOR_TRANSPORT_GOOD), USB_STOR_TRANSPORT_ERROR);

	/* Quirks that cannot be learnt, and one that was known and is gone */
	for (bit = 0; bit < 64; bit++) {
		u64 flag = BIT_ULL(bit);

		TELL(512, US_FL_BAD_SENSE | flag, cpu_to_le32(US_BULK_CS_SIGN));
		in->srb.result = SAM_STAT_CHECK_CONDITION;
		if (flag != US_FL_IGNORE_RESIDUE && flag != US_FL_BAD_SENSE)
			KUNIT_EXPECT_EQ(test, TAKE_CSW(USB_STOR_TRANSPORT_GOOD),
					USB_STOR_TRANSPORT_ERROR);
		if (flag != US_FL_BAD_SENSE)
			KUNIT_EXPECT_NE(test, TAKE_SENSE(), 0);
		/* Of a device of which nothing is known, either */
		p->sbm.us.fflags = 0;
		TELL(512, flag, cpu_to_le32(US_BULK_CS_SIGN));
		if (flag != US_FL_SANE_SENSE) {
			KUNIT_EXPECT_NE(test, TAKE_SENSE(), 0);
			KUNIT_EXPECT_EQ(test, p->sbm.us.fflags, 0);
		}
		p->sbm.us.fflags = US_FL_BAD_SENSE;
	}
	TELL(512, 0, cpu_to_le32(US_BULK_CS_SIGN));
	KUNIT_EXPECT_EQ(test, TAKE_CSW(USB_STOR_TRANSPORT_GOOD), USB_STOR_TRANSPORT_GOOD);
	KUNIT_EXPECT_TRUE(test, same(p));

	/* Results of the command that there are not */
	for (ret = 0; ret < 32; ret++) {
		in->srb.result = BIT(ret);
		if (BIT(ret) != SAM_STAT_CHECK_CONDITION)
			KUNIT_EXPECT_NE(test, TAKE_SENSE(), 0);
	}
	in->srb.result = DID_OK << 16 | 0x7f;
	KUNIT_EXPECT_NE(test, TAKE_SENSE(), 0);
	KUNIT_EXPECT_TRUE(test, same(p));
	in->srb.result = DID_ERROR << 16;
	KUNIT_EXPECT_EQ(test, TAKE_SENSE(), 0);
	KUNIT_EXPECT_EQ(test, p->sbm.srb.result, DID_ERROR << 16);

#undef TAKE_CSW
#undef TAKE_SENSE
#undef TELL
}

/* The target has the command, and nothing that the kernel's structures have besides */
static void targets_see_no_kernel_addresses(struct kunit *test)
{
	struct pair *p = test->priv;
	const struct us_inside *in = p->sbm.us.sbm->in;
	const unsigned long *word = (const unsigned long *)in;
	const unsigned long *end = (const unsigned long *)(in + 1);

	good_csw(p);
	memset(&p->sbm.us.current_sg, 0xff, sizeof(p->sbm.us.current_sg));
	p->sbm.us.ctl_thread = current;
	p->sbm.srb.host_scribble = (void *)test;
	sbm_csw(p);
	for (; word < end; word++) {
		/* Its own address of the sense data is the only one */
		if ((const u8 *const *)word != (const u8 *const *)&in->srb.sense_buffer)
			KUNIT_EXPECT_FALSE(test, *word >= PAGE_OFFSET);
	}
	/* It ends with the page if that is to be noticed, and else there are zeroes behind it */
	if (sbm_instance_isolation(&p->sbm.us.sbm->sbm) == SBM_ISOLATION_STRONG) {
		KUNIT_EXPECT_EQ(test, offset_in_page(end), 0);
	} else {
		KUNIT_EXPECT_EQ(test, offset_in_page(in), 0);
		KUNIT_EXPECT_NULL(test, memchr_inv(end, 0, PAGE_SIZE - sizeof(*in)));
	}
	p->sbm.us.ctl_thread = NULL;
}

/* In an emulator that counts instructions, cycles are these */
static void what_a_status_costs(struct kunit *test)
{
	struct pair *p = test->priv;
	cycles_t begin, plain, sandbox;
	unsigned int i;

	good_csw(p);
	p->babble = 0;
	/* Once, so that the rest is what each of them takes */
	sbm_csw(p);
	begin = get_cycles();
	for (i = 0; i < 1000; i++)
		ref_csw(p);
	plain = get_cycles() - begin;
	begin = get_cycles();
	for (i = 0; i < 1000; i++)
		sbm_csw(p);
	sandbox = get_cycles() - begin;
	kunit_info(test, "a status: %llu cycles, in a sandbox %llu\n",
		   div_u64(plain, 1000), div_u64(sandbox, 1000));
}

static struct kunit_case sbm_usb_storage_cases[] = {
	KUNIT_CASE(good_replies_are_right),
	KUNIT_CASE_SLOW(damaged_status_gets_the_same_verdict),
	KUNIT_CASE_SLOW(damaged_sense_gets_the_same_verdict),
	KUNIT_CASE(sticks_do_not_meet),
	KUNIT_CASE(lies_are_not_believed),
	KUNIT_CASE(targets_see_no_kernel_addresses),
	KUNIT_CASE(what_a_status_costs),
	{}
};

static struct kunit_suite sbm_usb_storage_suite = {
	.name		= "sbm_usb_storage",
	.init		= sbm_usb_storage_init,
	.exit		= sbm_usb_storage_exit,
	.test_cases	= sbm_usb_storage_cases,
};

kunit_test_suite(sbm_usb_storage_suite);

MODULE_DESCRIPTION("KUnit suite for USB sticks and sandbox mode");
MODULE_LICENSE("GPL");
