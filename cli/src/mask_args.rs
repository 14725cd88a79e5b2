//! The flags that say which pixels of a picture are painted anew.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;
use files::digest::sha256;
use images::mask::HALF;
use images::{Margins, MaskChannel, PaintMask, Rect, Region, decode_alpha};
use pipeline::{Edit, Pipeline, Record};

use crate::input::ImageFile;
use crate::mask_record;
use crate::messages::say;
use crate::record::with_file;
use crate::value_parsers;

/// The flags.
#[derive(Args)]
#[command(next_help_heading = "Mask")]
pub(crate) struct MaskArgs {
    /// Where to paint: its transparent pixels, or its white ones if none is [default: IMAGE itself]
    #[arg(long, value_name = "FILE")]
    pub mask: Option<PathBuf>,
    /// Paint this rectangle of IMAGE as it is without --outpaint; may be given several times, and beside --mask
    #[arg(long, value_name = "X,Y,W,H", value_parser = value_parsers::rect, allow_hyphen_values = true)]
    mask_rect: Vec<Rect>,
    /// Paint everything but what the mask and the rectangles say
    #[arg(long)]
    invert_mask: bool,
    /// Pixels inside the mask over which colours are drawn to those around it, fewer where it is not as wide [default: a 32nd of the square that is painted]
    #[arg(long, value_name = "N", value_parser = value_parsers::feather, allow_negative_numbers = true)]
    feather: Option<u16>,
    /// Make the picture larger by so many pixels a side, and paint these
    #[arg(long, value_name = "LEFT,TOP,RIGHT,BOTTOM", value_parser = value_parsers::margins, allow_hyphen_values = true)]
    outpaint: Option<Margins>,
}

/// An edit of a picture, and what there is to say of its mask.
pub(crate) struct MaskedEdit {
    pub edit: Edit,
    pub remarks: Vec<String>,
    /// The mask's file, where it has one of its own.
    mask: Option<ImageFile>,
}

impl MaskArgs {
    /// The edit that they describe. An error where nothing is painted; it names the flags of the picture that is painted again.
    pub(crate) fn edit(
        &self,
        picture: &ImageFile,
        recorded: Option<&Record>,
    ) -> Result<MaskedEdit> {
        let mask = self.mask.as_deref().map(|path| ImageFile::open(path).context("--mask"));
        let mask = mask.transpose()?;
        let mut remarks = Vec::new();
        let file = match &mask {
            Some(file) => Some(read_mask(file, picture, self.invert_mask, &mut remarks)?),
            None if self.mask_rect.is_empty() => {
                own_transparency(picture, self.invert_mask, &mut remarks)?
            }
            None => None,
        };
        let is_another = mask.is_some() || !self.mask_rect.is_empty();
        if is_another && decode_alpha(&picture.bytes, &picture.name)?.is_some() {
            remarks.push(format!(
                "{} has transparent pixels: they are white in what is painted",
                picture.name
            ));
        }
        let paints_more = self.invert_mask || !self.mask_rect.is_empty() || self.outpaint.is_some();
        if let Some(FileMask { mask, reason }) = &file {
            ensure!(paints_more || mask.count() > 0, "{reason}");
        }
        let is_somewhere = file.is_some() || !self.mask_rect.is_empty() || self.outpaint.is_some();
        ensure!(is_somewhere, "{}", nowhere(picture, recorded));
        ensure!(
            !self.invert_mask || file.is_some() || !self.mask_rect.is_empty(),
            "--invert-mask: there is no mask to invert: --mask FILE or --mask-rect X,Y,W,H is one"
        );
        let (width, height) = picture.image.dimensions();
        let mut painted = file.map_or_else(|| PaintMask::new(width, height), |file| file.mask);
        for &rect in &self.mask_rect {
            let remark = fill(&mut painted, rect, self.outpaint.is_some())?;
            remarks.extend(remark);
        }
        if self.invert_mask {
            painted.invert();
        }
        let edit = Edit::new(picture.image.clone(), painted)?;
        let edit = match self.feather {
            Some(feather) => edit.with_feather(feather),
            None => edit,
        };
        let edit = match self.outpaint {
            Some(margins) => edit.outpaint(margins).context("--outpaint")?,
            None => edit,
        };
        check_count(edit.mask(), &mut remarks)?;
        Ok(MaskedEdit { edit, remarks, mask })
    }

    /// The regions that a model paints one by one.
    pub(crate) fn regions(&self, edit: &Edit, pipeline: &Pipeline) -> Result<Vec<Region>> {
        let regions = edit.regions(pipeline.inpainting_base_side()?);
        match self.outpaint {
            Some(_) => regions.context("--outpaint"),
            None => Ok(regions?),
        }
    }

    /// Says where the mask is too narrow for --feather.
    pub(crate) fn remark_on_feather(&self, edit: &Edit, regions: &[Region]) {
        if let Some((feather, narrowest)) = self.feather.zip(edit.narrowest_feather(regions))
            && narrowest < feather
        {
            say!(
                "--feather {feather}: a region of the mask is narrower than that, and its seam fades in over {narrowest} pixels"
            );
        }
    }

    /// The record with the arguments that decide the edit.
    pub(crate) fn add_to(&self, mut record: Record, edit: &MaskedEdit) -> Record {
        if let Some((path, mask)) = self.mask.as_deref().zip(edit.mask.as_ref()) {
            record = with_digest(record, "mask", path, mask);
        }
        if !self.mask_rect.is_empty() {
            let rects = self.mask_rect.iter();
            let rects = rects.map(|r| format!("{},{},{},{}", r.x, r.y, r.width, r.height));
            record = record.with("mask_rects", rects.collect::<Vec<_>>());
        }
        if self.invert_mask {
            record = record.with("invert_mask", true);
        }
        if let Some(feather) = self.feather {
            record = record.with("feather", feather);
        }
        match self.outpaint {
            Some(Margins { left, top, right, bottom }) => {
                record.with("outpaint", format!("{left},{top},{right},{bottom}"))
            }
            None => record,
        }
    }
}

/// The message of an edit of which nothing says where to paint.
fn nowhere(picture: &ImageFile, recorded: Option<&Record>) -> String {
    let reason =
        format!("{} has no transparent pixels, so nothing says where to paint", picture.name);
    match recorded.and_then(mask_record::flags) {
        Some(flags) => format!("{reason}: the picture of --from was painted with {flags}"),
        None => format!(
            "{reason}: --mask FILE does, a picture that is white there, or --mask-rect X,Y,W,H, or --outpaint LEFT,TOP,RIGHT,BOTTOM"
        ),
    }
}

/// A record with the name of a picture's file, and the digest of its bytes.
pub(crate) fn with_digest(record: Record, what: &str, path: &Path, file: &ImageFile) -> Record {
    with_file(record, what, path).with(&format!("{what}_sha256"), sha256(&file.bytes))
}

/// A mask that a file says.
struct FileMask {
    mask: PaintMask,
    /// Why it paints nothing, where that is so.
    reason: String,
}

impl FileMask {
    fn new(mask: PaintMask, channel: MaskChannel, name: &str) -> Self {
        let (read, needed) = match channel {
            MaskChannel::Alpha => ("transparency", "has an alpha below"),
            MaskChannel::Brightness => ("brightness", "is as bright as"),
        };
        let reason = format!(
            "{name} is read by its {read}, and none of its pixels {needed} {HALF} of 255, so nothing is painted: --invert-mask paints all"
        );
        Self { mask, reason }
    }
}

/// The pixels that a mask paints, in words.
fn painted(pixels: &str, inverts: bool) -> String {
    match inverts {
        false => format!("{pixels} pixels are painted"),
        true => format!("{pixels} pixels stay, and all others are painted"),
    }
}

/// The mask in a file, at the size of the picture.
fn read_mask(
    file: &ImageFile,
    picture: &ImageFile,
    inverts: bool,
    remarks: &mut Vec<String>,
) -> Result<FileMask> {
    let name = &file.name;
    let (mask, channel) = PaintMask::of_file(&file.bytes, &file.image, name)?;
    let (read, pixels) = match channel {
        MaskChannel::Alpha => ("transparency", "transparent"),
        MaskChannel::Brightness => ("brightness", "white"),
    };
    remarks.push(format!("{name} is read by its {read}: {}", painted(pixels, inverts)));
    let FileMask { mask, reason } = FileMask::new(mask, channel, name);
    let ((columns, rows), (width, height)) = (mask.dimensions(), picture.image.dimensions());
    if (columns, rows) == (width, height) {
        return Ok(FileMask { mask, reason });
    }
    remarks.push(format!(
        "{name} has {columns} x {rows} pixels, and {} {width} x {height}: of each pixel the nearest one's value is taken",
        picture.name
    ));
    let reason = match mask.count() {
        0 => reason,
        count => format!(
            "{name} paints {count} of its {columns} x {rows} pixels, and none is left at the picture's {width} x {height}: a mask of that size loses none"
        ),
    };
    Ok(FileMask { mask: mask.resize(width, height), reason })
}

/// The mask that is a picture's own transparency.
fn own_transparency(
    picture: &ImageFile,
    inverts: bool,
    remarks: &mut Vec<String>,
) -> Result<Option<FileMask>> {
    let alpha = decode_alpha(&picture.bytes, &picture.name)?;
    if alpha.is_some() {
        let name = &picture.name;
        let painted = painted("transparent", inverts);
        remarks.push(format!("{name} itself is the mask, by its transparency: {painted}"));
    }
    let mask =
        |alpha| FileMask::new(PaintMask::of_alpha(&alpha), MaskChannel::Alpha, &picture.name);
    Ok(alpha.map(mask))
}

/// Paints a rectangle, and remarks on one that lies in part outside the picture. An error where all of it does.
fn fill(mask: &mut PaintMask, rect: Rect, is_outpaint: bool) -> Result<Option<String>> {
    let (width, height) = mask.dimensions();
    let shown = format!("--mask-rect {},{},{},{}", rect.x, rect.y, rect.width, rect.height);
    let before = if is_outpaint { " before --outpaint" } else { "" };
    let inside = rect.intersection(Rect::of_image((width, height)));
    let inside = inside.with_context(|| {
        format!("{shown}: it lies outside the picture, which has {width} x {height} pixels{before}")
    })?;
    mask.fill(inside);
    let remark = || {
        format!(
            "{shown}: a part of it lies outside the picture, which has {width} x {height} pixels{before}: {} x {} are painted",
            inside.width, inside.height
        )
    };
    Ok((inside != rect).then(remark))
}

/// Refuses a mask that paints nothing, and remarks on one that paints everything.
fn check_count(mask: &PaintMask, remarks: &mut Vec<String>) -> Result<()> {
    let (width, height) = mask.dimensions();
    let count = mask.count();
    ensure!(
        count > 0,
        "the mask holds all of the picture's {width} x {height} pixels, and --invert-mask paints none of them: without it all are painted"
    );
    if count == width as usize * height as usize {
        remarks.push("the mask paints all of the picture: nothing of it will be left".to_owned());
    }
    Ok(())
}
