//! Editing: a part of an image of any size is painted anew, in squares that the model samples, and nothing else changes.

use images::RgbImage;
use images::canvas;
use images::mask::{Margins, PaintMask};
use images::memory::MOST_PIXELS;
use images::regions::Region;
use images::resize::{Filter, resize};
use images::seam::Seam;
use tch::Tensor;

use crate::{Error, Inpainting, Mask, Observer, Pipeline, Request, Settings, Step, Task};

/// Why an image cannot be edited.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// A mask of another image.
    #[error("the mask has {} x {} pixels, and the picture {} x {}", mask.0, mask.1, image.0, image.1)]
    Sizes {
        /// Width and height of the image.
        image: (u32, u32),
        /// Those of the mask.
        mask: (u32, u32),
    },
    /// A mask without a pixel.
    #[error("the mask paints none of the picture's {} x {} pixels", .0.0, .0.1)]
    NothingToPaint((u32, u32)),
    /// More pixels than an image may have.
    #[error(
        "a picture of {width} x {height} pixels is too large to be painted in: at most {MOST_PIXELS} pixels are"
    )]
    TooLarge {
        /// The width.
        width: u64,
        /// The height.
        height: u64,
    },
    /// A square around a region with more pixels than an image may have.
    #[error(
        "a picture of {} x {} pixels would be painted in a square of {side} x {side}, which is too large: at most {MOST_PIXELS} pixels are painted at once",
        image.0, image.1
    )]
    SquareTooLarge {
        /// Width and height of the image.
        image: (u32, u32),
        /// The side of the square.
        side: u32,
    },
}

/// An image and the pixels of it that are painted anew.
#[derive(Clone, Debug)]
pub struct Edit {
    image: RgbImage,
    mask: PaintMask,
    feather: Option<u16>,
}

impl Edit {
    /// An edit of an image where its mask says. An error for a mask of another size.
    pub fn new(image: RgbImage, mask: PaintMask) -> Result<Self, EditError> {
        match image.dimensions() == mask.dimensions() {
            true => Ok(Self { image, mask, feather: None }),
            false => Err(EditError::Sizes { image: image.dimensions(), mask: mask.dimensions() }),
        }
    }

    /// The same on a larger canvas, whose new pixels are painted too. Until they are, the reflection of the image lies there,
    /// so that a reduced square has no edge at the image's border. An error for more pixels than an image may have.
    pub fn outpaint(self, margins: Margins) -> Result<Self, EditError> {
        let (width, height) = margins.extend(self.image.dimensions());
        check_size(width, height)?;
        let image = canvas::extend(&self.image, margins);
        Ok(Self { image, mask: self.mask.extend(margins), feather: self.feather })
    }

    /// The same with a [`Seam`] over so many pixels inside the mask; over a 32nd of each region's square without.
    pub fn with_feather(self, feather: u16) -> Self {
        Self { feather: Some(feather), ..self }
    }

    /// The pixels over which the seam fades in where it does over the fewest, which no region deep enough has; `None` without
    /// regions.
    pub fn narrowest_feather(&self, regions: &[Region]) -> Option<u16> {
        let seam = Seam::new(&self.mask, self.feather);
        regions.iter().map(|region| seam.feather(region)).min()
    }

    /// The pixels that are painted.
    pub fn mask(&self) -> &PaintMask {
        &self.mask
    }

    /// The regions that are painted one by one, with their squares, by a model whose first images have a side of
    /// [`base_side`](Pipeline::inpainting_base_side) pixels. An error where nothing is painted, and where a square would have
    /// more pixels than an image may.
    pub fn regions(&self, base_side: u32) -> Result<Vec<Region>, EditError> {
        let regions = self.mask.regions(base_side);
        if regions.is_empty() {
            return Err(EditError::NothingToPaint(self.mask.dimensions()));
        }
        for Region { square, .. } in &regions {
            let side = square.width;
            let is_small = check_size(side.into(), side.into()).is_ok();
            let image = self.mask.dimensions();
            is_small.then_some(()).ok_or(EditError::SquareTooLarge { image, side })?;
        }
        Ok(regions)
    }
}

fn check_size(width: u64, height: u64) -> Result<(), EditError> {
    match width.checked_mul(height).is_some_and(|pixels| pixels <= MOST_PIXELS) {
        true => Ok(()),
        false => Err(EditError::TooLarge { width, height }),
    }
}

impl Pipeline {
    /// The side in pixels of the images that the model samples where it inpaints.
    pub fn inpainting_side(&self) -> Result<u32, Error> {
        let task = Task { inpaints: true, ..Task::GENERATE };
        let stages = self.stage_indices(task, &self.defaults()?);
        self.image_side(stages.end - 1)
    }

    /// The side in pixels of the first images that the model samples where it inpaints.
    pub fn inpainting_base_side(&self) -> Result<u32, Error> {
        let task = Task { inpaints: true, ..Task::GENERATE };
        let stages = self.stage_indices(task, &self.defaults()?);
        self.image_side(stages.start)
    }

    /// The columns of the masks that the model takes: a pixel of its images each, or a latent.
    fn mask_width(&self) -> Result<u32, Error> {
        let task = Task { inpaints: true, ..Task::GENERATE };
        let stages = self.stage_indices(task, &self.defaults()?);
        Ok(self.image_shape(stages.end - 1)?[1] as u32)
    }

    /// The edited image for each request, in their order: of the size of the edit's, and equal to it outside the mask. The
    /// regions are painted one after another, each from a request's own seed, and in sight of those before; what a request says
    /// of inpainting is replaced. To the observer a stage's steps are those of all regions.
    ///
    /// A region's square is brought to the size of the images that the model samples, painted, and brought back.
    pub fn inpaint(
        &self,
        edit: &Edit,
        requests: &[Request],
        observer: &mut dyn Observer,
    ) -> Result<Vec<RgbImage>, Error> {
        self.inpaint_all(&[(edit, requests)], observer)
    }

    /// The same of several edits, each with its requests: the first region of them all is sampled at once, then the second.
    pub fn inpaint_all(
        &self,
        edits: &[(&Edit, &[Request])],
        observer: &mut dyn Observer,
    ) -> Result<Vec<RgbImage>, Error> {
        let (base_side, side) = (self.inpainting_base_side()?, self.inpainting_side()?);
        let paintings =
            edits.iter().map(|(edit, requests)| Painting::new(edit, requests, base_side));
        let mut paintings = paintings.collect::<Result<Vec<_>, _>>()?;
        let columns = self.mask_width()?;
        let rounds = paintings.iter().map(|painting| painting.regions.len()).max().unwrap_or(0);
        for n in 0..rounds {
            let batch: Vec<Request> =
                paintings.iter().flat_map(|painting| painting.squares(n, side, columns)).collect();
            let mut observer = |step: Step<'_>| {
                let (done, steps) = (n * step.steps + step.done, rounds * step.steps);
                observer.step(Step { done, steps, ..step })
            };
            let mut squares = self.sample(&batch, &mut observer)?.into_iter();
            paintings.iter_mut().for_each(|painting| painting.lay(n, &mut squares));
        }
        Ok(paintings.into_iter().flat_map(|painting| painting.images).collect())
    }
}

/// An edit while its regions are painted.
struct Painting<'a> {
    requests: &'a [Request],
    regions: Vec<Region>,
    seam: Seam,
    /// The image for each request.
    images: Vec<RgbImage>,
    /// The pixels that are still to be painted.
    rest: PaintMask,
}

impl<'a> Painting<'a> {
    fn new(edit: &Edit, requests: &'a [Request], base_side: u32) -> Result<Self, EditError> {
        Ok(Self {
            requests,
            regions: edit.regions(base_side)?,
            seam: Seam::new(&edit.mask, edit.feather),
            images: vec![edit.image.clone(); requests.len()],
            rest: edit.mask.clone(),
        })
    }

    /// A request for the square of region `n` of each image, for a model that samples `side` pixels and takes masks of so many
    /// `columns`; none where there are fewer regions.
    fn squares(&self, n: usize, side: u32, columns: u32) -> Vec<Request> {
        let Some(region) = self.regions.get(n) else {
            return Vec::new();
        };
        let known = self.rest.cover(region.square, columns).into_iter().map(|painted| !painted);
        let mask = Mask::new(columns, known.collect()).expect("whole rows of cells");
        let all = self.requests.iter().zip(&self.images);
        let all = all.map(|(request, image)| {
            let image = square(image, region, side);
            of_square(request, Inpainting { image, mask: mask.clone() })
        });
        all.collect()
    }

    /// Lays the next of the painted squares on the images.
    fn lay(&mut self, n: usize, squares: &mut impl Iterator<Item = RgbImage>) {
        let Some(region) = self.regions.get(n) else {
            return;
        };
        for (image, square) in self.images.iter_mut().zip(squares) {
            self.seam.lay(&square, region, image);
        }
        self.rest.erase(region.bounds);
    }
}

/// A region's square of an image, reduced where it is larger than the images that a model samples; each stage enlarges a
/// smaller one.
fn square(image: &RgbImage, region: &Region, side: u32) -> RgbImage {
    let square = canvas::crop(image, region.square);
    match square.width() > side {
        true => resize(&square, side, side, Filter::Bicubic),
        false => square,
    }
}

/// A request for a square, of the size that the model samples.
fn of_square(request: &Request, inpainting: Inpainting) -> Request {
    let settings =
        Settings { width: None, height: None, strength: None, ..request.settings.clone() };
    let embedding = |embedding: &Option<Tensor>| embedding.as_ref().map(Tensor::shallow_clone);
    Request {
        image_embedding: embedding(&request.image_embedding),
        first_embedding: embedding(&request.first_embedding),
        negative_caption: request.negative_caption.clone(),
        hint: request.hint.clone(),
        inpainting: Some(inpainting),
        ..Request::new(request.caption.as_str(), request.seed, settings)
    }
}
