//! The contrastive loss (2103.00020, figure 3), of a batch that may be spread over processes.

use collectives::Group;
use tch::{Device, Kind, Tensor};

use crate::Error;
use crate::data::{BatchPlan, Data, SampleRequest};

/// The pairs of caption and image that are no negatives, step by step.
pub struct FalseNegatives {
    data: Data,
    request: SampleRequest,
    plan: BatchPlan,
    group: Group,
    step: u64,
}

/// Masks of a process's rows, bool: true where a pair is no negative.
pub struct FalseNegativeMasks {
    /// `[B, W*B]`: its captions, by the images of all.
    pub of_captions: Tensor,
    /// `[B, W*B]`: its images, by the captions of all.
    pub of_images: Tensor,
}

impl FalseNegatives {
    /// Those of the images that a [`Stream`](crate::data::Stream) with the same arguments has, from a step on.
    pub fn new(
        data: &Data,
        request: SampleRequest,
        plan: BatchPlan,
        group: &Group,
        step: u64,
    ) -> Self {
        Self { data: data.clone(), request, plan, group: group.clone(), step }
    }

    /// The masks of the next step, whose captions here these are.
    pub fn next_masks(
        &mut self,
        captions: &[String],
        device: Device,
    ) -> Result<FalseNegativeMasks, Error> {
        let first = self.step * self.plan.batch as u64;
        self.step += 1;
        let own = serde_json::to_vec(captions).expect("texts");
        let mut all: Vec<String> = Vec::new();
        for captions in self.group.all_gather_bytes(&own)? {
            let captions: Vec<String> = serde_json::from_slice(&captions).expect("texts");
            all.extend(captions);
        }
        let (count, rows) = (all.len(), captions.len());
        let is_false = self.data.false_negatives(self.request, first, all);
        let start = self.plan.rank * rows;
        let mask = |is_false: &dyn Fn(usize, usize) -> bool| {
            let pairs = (start..start + rows).flat_map(|row| (0..count).map(move |n| (row, n)));
            let mask: Vec<bool> = pairs.map(|(row, n)| is_false(row, n)).collect();
            Tensor::from_slice(&mask).view([rows as i64, count as i64]).to_device(device)
        };
        Ok(FalseNegativeMasks {
            of_captions: mask(&is_false),
            of_images: mask(&|image, caption| is_false(caption, image)),
        })
    }
}

/// The symmetric cross-entropy over `captions [B, 1 + N, E]` and `images [B, E]`, in f32, of the rows of a process against those
/// of all; its mean over the processes is that of the whole batch, and so is its gradient (2103.00020; open_clip's local loss with
/// a gather that has a gradient). An image's own caption is its first; the others are negatives of this image alone (2210.01936,
/// equation 2). Also the share of captions whose own image is the closest.
pub fn contrastive(
    [captions, images]: [&Tensor; 2],
    scale: &Tensor,
    masks: &FalseNegativeMasks,
    group: &Group,
) -> Result<(Tensor, Tensor), Error> {
    let unit = |x: &Tensor| {
        let x = x.to_kind(Kind::Float);
        &x / x.square().sum_dim_intlist([-1i64].as_slice(), true, Kind::Float).sqrt()
    };
    let (captions, image) = (unit(captions), unit(images));
    let text = captions.select(1, 0);
    let negatives = captions.narrow(1, 1, captions.size()[1] - 1); // [B, N, E]
    let to_negatives =
        (negatives * image.unsqueeze(1)).sum_dim_intlist([-1i64].as_slice(), false, Kind::Float)
            * scale;
    let [all_texts, all_images] =
        [group.gather_with_gradient(&text)?, group.gather_with_gradient(&image)?]; // [W*B, E]
    let logits = |rows: &Tensor, columns: &Tensor, mask: &Tensor| {
        (rows.matmul(&columns.tr()) * scale).masked_fill(mask, f64::NEG_INFINITY) // [B, W*B]
    };
    let by_image = logits(&text, &all_images, &masks.of_captions);
    let by_caption = logits(&image, &all_texts, &masks.of_images);
    let by_caption = Tensor::cat(&[by_caption, to_negatives], 1); // [B, W*B + N]
    let rows = text.size()[0];
    let first = group.rank() as i64 * rows;
    let own = Tensor::arange_start(first, first + rows, (Kind::Int64, text.device()));
    let loss =
        (by_image.cross_entropy_for_logits(&own) + by_caption.cross_entropy_for_logits(&own)) / 2.0;
    let accuracy = by_image.argmax(1, false).eq_tensor(&own).to_kind(Kind::Float).mean(Kind::Float);
    Ok((loss, accuracy.detach()))
}

/// The backward pass of a contrastive loss, in which processes wait for each other: a failure of theirs is an error here.
pub(crate) fn backward(loss: &Tensor, group: &Group) -> Result<(), Error> {
    match loss.f_backward() {
        Ok(()) => Ok(()),
        Err(error) => Err(group.failure().map_or_else(|| Error::Backward(error), Error::from)),
    }
}
