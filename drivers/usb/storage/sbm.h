/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Driver for USB Mass Storage compliant devices: replies of devices are interpreted in a
 * sandbox. Without CONFIG_USB_STORAGE_SBM, all this is as if it were not there.
 */
#ifndef _USB_STORAGE_SBM_H
#define _USB_STORAGE_SBM_H

#include <linux/usb/storage.h>
#include <scsi/scsi_cmnd.h>

#include "usb.h"
#include "transport.h"

#ifdef CONFIG_USB_STORAGE_SBM

#include <linux/sbm.h>

struct sbm_dma;
struct sbm_dma_buffer;
struct scsi_sense_hdr;

/**
 * struct us_inside - what a target may read and write
 * @srb:   The command, as far as the target needs it.
 * @us:    The device, as far as the target needs it.
 * @csw:   A status that was not received in a buffer of the sandbox's own.
 * @sense: Sense data. The last thing on its page: what is behind it is not mapped.
 */
struct us_inside {
	struct scsi_cmnd	srb;
	struct us_data		us;
	struct bulk_cs_wrap	csw;
	u8			sense[SCSI_SENSE_BUFFERSIZE] __aligned(8);
};

/**
 * struct us_sbm - where replies of a device are interpreted
 * @sbm:      The sandbox.
 * @in:	      What the target may read and write, at the end of a page.
 * @inside:   The same, as the target finds it.
 * @dma:      The controller, or NULL if it uses the driver's I/O buffer.
 * @cbw:      What is sent.
 * @csw:      What is received.
 * @buf:      The one of these that the next bulk URB is for, or NULL.
 * @received: The status of this command is in @csw.
 */
struct us_sbm {
	struct sbm		sbm;
	struct us_inside	*in;
	struct us_inside	*inside;
	struct sbm_dma		*dma;
	struct sbm_dma_buffer	*cbw;
	struct sbm_dma_buffer	*csw;
	struct sbm_dma_buffer	*buf;
	bool			received;
};

/* The targets, in transport.c */
SBM_DEFINE_CALL(usb_stor_csw_inside, struct scsi_cmnd *, srb, struct us_data *, us,
		struct bulk_cs_wrap *, bcs, unsigned int, transfer_length);
SBM_DEFINE_CALL(usb_stor_sense_inside, struct scsi_cmnd *, srb, struct us_data *, us,
		int, result);

void usb_stor_sbm_urb(struct us_data *us);

int usb_stor_send_cbw(struct us_data *us, struct bulk_cb_wrap *bcb, unsigned int len);
int usb_stor_recv_csw(struct us_data *us, struct bulk_cs_wrap *bcs, unsigned int *act_len);

int usb_stor_check_csw(struct scsi_cmnd *srb, struct us_data *us,
		       struct bulk_cs_wrap *bcs, unsigned int transfer_length,
		       int fake_sense);
int usb_stor_check_sense(struct scsi_cmnd *srb, struct us_data *us,
			 struct scsi_sense_hdr *sshdr, int result);

/* What a target has left is taken if it can be true. Here for tests. */
int usb_stor_take_csw(struct scsi_cmnd *srb, struct us_data *us,
		      const struct us_inside *in, int ret, unsigned int transfer_length);
int usb_stor_take_sense(struct scsi_cmnd *srb, struct us_data *us,
			const struct us_inside *in);

#else /* CONFIG_USB_STORAGE_SBM */

static inline void usb_stor_sbm_urb(struct us_data *us) { }

static inline int usb_stor_send_cbw(struct us_data *us, struct bulk_cb_wrap *bcb,
				    unsigned int len)
{
	return usb_stor_bulk_transfer_buf(us, us->send_bulk_pipe, bcb, len, NULL);
}

static inline int usb_stor_recv_csw(struct us_data *us, struct bulk_cs_wrap *bcs,
				    unsigned int *act_len)
{
	return usb_stor_bulk_transfer_buf(us, us->recv_bulk_pipe, bcs, US_BULK_CS_WRAP_LEN,
					  act_len);
}

#define usb_stor_check_csw	usb_stor_judge_csw
#define usb_stor_check_sense	usb_stor_judge_sense

#endif /* CONFIG_USB_STORAGE_SBM */

#endif /* _USB_STORAGE_SBM_H */
