// SPDX-License-Identifier: GPL-2.0
/*
 * Driver for USB Mass Storage compliant devices: replies of devices are interpreted in a
 * sandbox.
 *
 * What a device says of a command is in its status wrapper (CSW), and in its sense data
 * if the command has failed. The code that interprets them is that of transport.c. Inside,
 * it finds a command and a device that have what it needs of the real ones and nothing
 * else. What it has changed there is taken over if it can be true.
 *
 * Commands and status go through two pages that belong to the sandbox, at addresses of the
 * controller's. They stay mapped: a command copies 45 bytes and takes no flush of an
 * IOMMU's TLB. The controller belongs to another driver, so there is no address space of
 * our own to be had, see Documentation/sandbox/dma.rst. A controller that does no DMA, or
 * none that is known not to need the kernel's address, uses the driver's I/O buffer as
 * without a sandbox.
 *
 * All of this is the control thread's, but for setting up and the end. It is in the way of
 * what is written to free memory, so it allocates nothing that would wait for that.
 */
#include <linux/build_bug.h>
#include <linux/dma-mapping.h>
#include <linux/err.h>
#include <linux/gfp.h>
#include <linux/pci.h>
#include <linux/sbm_dma.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/time64.h>
#include <linux/usb.h>
#include <linux/usb/hcd.h>
#include <scsi/scsi.h>
#include <scsi/scsi_cmnd.h>

#include "sbm.h"
#include "scsiglue.h"
#include "transport.h"

/* What a target can find out about a device, and the driver remembers */
#define US_FL_CSW_LEARNT	US_FL_IGNORE_RESIDUE
#define US_FL_SENSE_LEARNT	US_FL_SANE_SENSE

/* BULK32 devices get a byte more */
#define US_SBM_CBW_SIZE		(US_BULK_CB_WRAP_LEN + 1)

static_assert(sizeof(struct us_inside) <= PAGE_SIZE);
static_assert(offsetofend(struct us_inside, sense) == sizeof(struct us_inside));

/* === Life cycle === */

/* The controller goes on, so see to it that nothing of it is about our buffers */
static void usb_stor_sbm_stop(struct device *dev, void *data)
{
	struct us_data *us = data;

	usb_kill_urb(us->current_urb);
}

/*
 * Controllers on PCI do all transfers by DMA. Of others, some fall back to the kernel's
 * address, which a buffer of ours has not.
 */
static bool usb_stor_sbm_has_dma(struct us_data *us)
{
	struct usb_bus *bus = us->pusb_dev->bus;
	struct usb_hcd *hcd = bus_to_hcd(bus);

	return hcd_uses_dma(hcd) && !hcd->localmem_pool && dev_is_pci(bus->sysdev);
}

static int usb_stor_sbm_attach(struct us_data *us)
{
	const struct sbm_dma_attr attr = {
		.flags	= SBM_DMA_BORROWED,
		.stop	= usb_stor_sbm_stop,
		.data	= us,
	};
	struct us_sbm *s = us->sbm;
	struct sbm_dma *dma;

	dma = sbm_dma_attach(&s->sbm, us->pusb_dev->bus->sysdev, &attr);
	if (IS_ERR(dma))
		return PTR_ERR(dma);
	s->dma = dma;

	s->cbw = sbm_dma_alloc(dma, US_SBM_CBW_SIZE, DMA_TO_DEVICE,
			       SBM_DMA_COPY | SBM_DMA_READ_ONLY, "cbw");
	if (IS_ERR(s->cbw))
		return PTR_ERR(s->cbw);
	s->csw = sbm_dma_alloc(dma, US_BULK_CS_WRAP_LEN, DMA_FROM_DEVICE, SBM_DMA_COPY,
			       "csw");
	if (IS_ERR(s->csw))
		return PTR_ERR(s->csw);

	return sbm_dma_map(s->cbw) ?: sbm_dma_map(s->csw);
}

static void usb_stor_sbm_close(struct us_sbm *s)
{
	sbm_dma_detach(s->dma);
	s->dma = NULL;
	sbm_destroy(&s->sbm);
}

static int usb_stor_sbm_open(struct us_data *us)
{
	/* Some thousand times what it takes. The thread cannot be killed, nor the device reset. */
	const struct sbm_attr attr = { .time_limit = NSEC_PER_SEC, };
	struct us_sbm *s = us->sbm;
	void *page = (void *)((unsigned long)s->in & PAGE_MASK);
	int err;

	sbm_init_attr(&s->sbm, &attr);
	/*
	 * Nothing is behind the sense data, which are the end of the page. But where a fetch
	 * there would be the kernel's own fault, zeroes follow.
	 */
	memset(page, 0, PAGE_SIZE);
	s->in = page;
	if (sbm_instance_isolation(&s->sbm) == SBM_ISOLATION_STRONG)
		s->in = page + PAGE_SIZE - sizeof(*s->in);
	s->inside = SBM_MAP_WRITABLE(&s->sbm, s->in, sizeof(*s->in));
	err = sbm_error(&s->sbm);
	if (!err && us->pusb_dev && usb_stor_sbm_has_dma(us)) {
		err = usb_stor_sbm_attach(us);
		if (err && err != -ENOMEM) {
			/* The controller does what it does for the whole bus anyway */
			dev_info_once(&us->pusb_intf->dev, "sbm: no status in a buffer of its own: %d\n",
				      err);
			sbm_dma_detach(s->dma);
			s->dma = NULL;
			err = sbm_error(&s->sbm);
		}
	}
	if (err)
		usb_stor_sbm_close(s);

	return err;
}

/*
 * Set up what @us needs to have replies interpreted.
 * Return: 0, or an error of sbm_init() or sbm_dma_alloc(); nothing is left over then.
 */
int usb_stor_sbm_init(struct us_data *us)
{
	struct us_sbm *s;
	int err;

	s = kzalloc(sizeof(*s), GFP_KERNEL);
	if (!s)
		return -ENOMEM;
	s->in = (void *)get_zeroed_page(GFP_KERNEL);
	if (!s->in) {
		kfree(s);
		return -ENOMEM;
	}
	us->sbm = s;

	err = usb_stor_sbm_open(us);
	if (err)
		usb_stor_sbm_exit(us);

	return err;
}

/* The control thread has ended, and no URB is under way. Fine if there is nothing. */
void usb_stor_sbm_exit(struct us_data *us)
{
	struct us_sbm *s = us->sbm;

	if (!s)
		return;

	usb_stor_sbm_close(s);
	free_page((unsigned long)s->in & PAGE_MASK);
	kfree(s);
	us->sbm = NULL;
}

/* After a stop nothing of it is used again */
static int usb_stor_sbm_ready(struct us_data *us)
{
	struct us_sbm *s = us->sbm;
	unsigned int flags;
	int err;

	if (likely(!sbm_error(&s->sbm)))
		return 0;

	flags = memalloc_noio_save();
	usb_stor_sbm_close(s);
	err = usb_stor_sbm_open(us);
	memalloc_noio_restore(flags);

	return err;
}

/* === Transfers === */

/* Direct a bulk URB, which is filled, to our buffer */
void usb_stor_sbm_urb(struct us_data *us)
{
	struct us_sbm *s = us->sbm;
	struct urb *urb = us->current_urb;

	/* Not the control URB that clears a halt in between */
	if (!s || !s->buf || !usb_pipebulk(urb->pipe))
		return;

	/*
	 * The kernel's address remains that of the I/O buffer. No controller needs it with
	 * this flag, but what traces USB reads there: it sees the command, and not the status.
	 */
	urb->transfer_flags |= URB_NO_TRANSFER_DMA_MAP;
	urb->transfer_dma = sbm_dma_addr(s->buf);
}

/* @bcb is in the I/O buffer. Return: USB_STOR_XFER_xxx. */
int usb_stor_send_cbw(struct us_data *us, struct bulk_cb_wrap *bcb, unsigned int len)
{
	struct us_sbm *s = us->sbm;
	int ret;

	s->received = false;
	if (usb_stor_sbm_ready(us))
		return USB_STOR_XFER_ERROR;

	if (s->dma) {
		if (sbm_dma_write(s->cbw, 0, bcb, len) || sbm_dma_sync_for_device(s->cbw))
			return USB_STOR_XFER_ERROR;
		s->buf = s->cbw;
	}
	ret = usb_stor_bulk_transfer_buf(us, us->send_bulk_pipe, bcb, len, NULL);
	s->buf = NULL;

	return ret;
}

/* @bcs is in the I/O buffer. Return: USB_STOR_XFER_xxx. */
int usb_stor_recv_csw(struct us_data *us, struct bulk_cs_wrap *bcs, unsigned int *act_len)
{
	struct us_sbm *s = us->sbm;
	int ret;

	/* There may be no buffers any more, but then there was no command to reply to */
	if (sbm_error(&s->sbm))
		return USB_STOR_XFER_ERROR;

	s->buf = s->dma ? s->csw : NULL;
	ret = usb_stor_bulk_transfer_buf(us, us->recv_bulk_pipe, bcs, US_BULK_CS_WRAP_LEN,
					 act_len);
	s->buf = NULL;
	if (ret != USB_STOR_XFER_GOOD || !s->dma)
		return ret;

	/* From here on the device cannot change it */
	if (sbm_dma_sync_for_cpu(s->csw))
		return USB_STOR_XFER_ERROR;
	s->received = true;

	return ret;
}

/* === Interpretation === */

/* All that a target needs to know */
static void usb_stor_sbm_fill(const struct us_sbm *s, const struct scsi_cmnd *srb,
			      const struct us_data *us)
{
	struct us_inside *in = s->in;

	memset(in, 0, sizeof(*in));
	memcpy(in->srb.cmnd, srb->cmnd, sizeof(in->srb.cmnd));
	in->srb.resid_len = srb->resid_len;
	in->srb.sense_buffer = s->inside->sense;
	in->us.fflags = us->fflags;
	in->us.tag = us->tag;
	in->us.bcs_signature = us->bcs_signature;
}

int usb_stor_take_csw(struct scsi_cmnd *srb, struct us_data *us,
		      const struct us_inside *in, int ret, unsigned int transfer_length)
{
	u64 learnt = in->us.fflags & ~us->fflags;

	if (ret != USB_STOR_TRANSPORT_GOOD && ret != USB_STOR_TRANSPORT_FAILED &&
	    ret != USB_STOR_TRANSPORT_ERROR)
		return USB_STOR_TRANSPORT_ERROR;
	/* A flag that is missing is not taken away */
	if (learnt & ~US_FL_CSW_LEARNT)
		return USB_STOR_TRANSPORT_ERROR;
	/* What the controller has not transferred is left, at least */
	if (in->srb.resid_len != srb->resid_len &&
	    (in->srb.resid_len < srb->resid_len || in->srb.resid_len > transfer_length))
		return USB_STOR_TRANSPORT_ERROR;
	if (us->bcs_signature && in->us.bcs_signature != us->bcs_signature)
		return USB_STOR_TRANSPORT_ERROR;

	us->fflags |= learnt;
	us->bcs_signature = in->us.bcs_signature;
	scsi_set_resid(srb, in->srb.resid_len);

	return ret;
}

/* Return: USB_STOR_TRANSPORT_xxx, an error also if the sandbox was stopped */
int usb_stor_check_csw(struct scsi_cmnd *srb, struct us_data *us,
		       struct bulk_cs_wrap *bcs, unsigned int transfer_length,
		       int fake_sense)
{
	struct us_sbm *s = us->sbm;
	struct bulk_cs_wrap *from;
	unsigned int flags;
	int ret;

	if (usb_stor_sbm_ready(us))
		return USB_STOR_TRANSPORT_ERROR;

	usb_stor_sbm_fill(s, srb, us);
	if (s->received) {
		from = sbm_dma_sandbox(s->csw);
	} else {
		memcpy(&s->in->csw, bcs, US_BULK_CS_WRAP_LEN);
		from = &s->inside->csw;
	}
	/* The first call of a target in a module allocates */
	flags = memalloc_noio_save();
	ret = sbm_call(&s->sbm, usb_stor_csw_inside, &s->inside->srb, &s->inside->us,
		       from, transfer_length);
	memalloc_noio_restore(flags);
	if (sbm_error(&s->sbm))
		return USB_STOR_TRANSPORT_ERROR;

	ret = usb_stor_take_csw(srb, us, s->in, ret, transfer_length);
	/* device babbled -- return fake sense data */
	if (ret == USB_STOR_TRANSPORT_GOOD && fake_sense) {
		memcpy(srb->sense_buffer, usb_stor_sense_invalidCDB,
		       sizeof(usb_stor_sense_invalidCDB));
		ret = USB_STOR_TRANSPORT_NO_SENSE;
	}

	return ret;
}

int usb_stor_take_sense(struct scsi_cmnd *srb, struct us_data *us,
			const struct us_inside *in)
{
	u64 learnt = in->us.fflags & ~us->fflags;

	if (learnt & ~US_FL_SENSE_LEARNT)
		return -EIO;
	/* Only of a device whose sense data were never wrong is it found that there are more */
	if (learnt && us->fflags & US_FL_BAD_SENSE)
		return -EIO;
	if (in->srb.result != SAM_STAT_GOOD && in->srb.result != SAM_STAT_CHECK_CONDITION &&
	    in->srb.result != DID_ERROR << 16)
		return -EIO;

	us->fflags |= learnt;
	srb->result = in->srb.result;
	/* These are the device's words, whoever has changed them since */
	memcpy(srb->sense_buffer, in->sense, SCSI_SENSE_BUFFERSIZE);

	return 0;
}

/*
 * @sshdr is what the code needs besides: inside it has its own.
 * Return: 0, or an error if nothing is known and the device has to be reset
 */
int usb_stor_check_sense(struct scsi_cmnd *srb, struct us_data *us,
			 struct scsi_sense_hdr *sshdr, int result)
{
	struct us_sbm *s = us->sbm;
	unsigned int flags;
	int err;

	err = usb_stor_sbm_ready(us);
	if (err)
		goto out;

	usb_stor_sbm_fill(s, srb, us);
	memcpy(s->in->sense, srb->sense_buffer, SCSI_SENSE_BUFFERSIZE);
	flags = memalloc_noio_save();
	err = sbm_call(&s->sbm, usb_stor_sense_inside, &s->inside->srb, &s->inside->us,
		       result);
	memalloc_noio_restore(flags);
	if (!err)
		err = usb_stor_take_sense(srb, us, s->in);
out:
	if (err) {
		/* Others would interpret it next */
		memset(srb->sense_buffer, 0, SCSI_SENSE_BUFFERSIZE);
		srb->result = DID_ERROR << 16;
	}

	return err;
}
