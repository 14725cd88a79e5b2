//! The search: embeddings of the pictures in the operator's folder, and those closest to a caption or a picture.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use files::extensions::is_image;
use files::walk::walk;
use pipeline::Pipeline;
use pipeline::zero_shot::{cosines, normalised};
use serde_json::{Value, json};
use unclip::{Kind, Tensor};

use crate::error::ApiError;
use crate::job::Job;
use crate::shelf::Id;
use crate::work::{Query, SearchQuery};

/// The most pictures of a folder that are searched.
const MOST_IMAGES: usize = 100_000;

/// Embeddings of pictures by their files.
#[derive(Default)]
pub(crate) struct SearchIndex {
    images: BTreeMap<PathBuf, Entry>,
}

struct Entry {
    id: Id,
    stamp: (u64, Option<SystemTime>),
    /// A unit vector `[E]`; `None` of a file that is no picture.
    embedding: Option<Tensor>,
    size: (u32, u32),
}

impl SearchIndex {
    /// The pictures in a folder that are closest to a query; pictures that are new there are embedded first.
    pub(crate) fn search(
        &mut self,
        folder: &Path,
        query: &SearchQuery,
        pipeline: &Pipeline,
        job: &Job,
    ) -> Result<Value, ApiError> {
        let failed = |error: pipeline::Error| ApiError::of_pipeline(&error, "that searches");
        pipeline.prepare_clip().map_err(failed)?;
        let wanted = match &query.query {
            Query::Caption(caption) => pipeline.caption_embeddings(&[caption]).map_err(failed)?,
            Query::Image(image) => {
                normalised(&pipeline.encode_images(std::slice::from_ref(image)).map_err(failed)?)
            }
        }; // [1, E]
        self.update(folder, pipeline, job)?;
        let there =
            self.images.values().filter_map(|entry| Some((entry, entry.embedding.as_ref()?)));
        let (entries, embeddings): (Vec<&Entry>, Vec<&Tensor>) = there.unzip();
        if entries.is_empty() {
            return Ok(json!({ "data": [] }));
        }
        let scores = cosines(&wanted, &Tensor::stack(&embeddings, 0)).squeeze_dim(0); // [N]
        let scores =
            Vec::<f64>::try_from(scores.to_kind(Kind::Double)).map_err(|_| ApiError::internal())?;
        let mut best: Vec<(f64, &Entry)> = scores.into_iter().zip(entries).collect();
        best.sort_by(|(one, _), (other, _)| other.total_cmp(one));
        best.truncate(query.count);
        let found = best.into_iter().map(|(score, entry)| {
            let (id, (width, height)) = (entry.id.to_string(), entry.size);
            let url = format!("{}/v1/images/search/{id}", job.base);
            json!({ "id": id, "score": score, "url": url, "width": width, "height": height })
        });
        Ok(json!({ "data": found.collect::<Vec<_>>() }))
    }

    /// Embeds what is new or has changed, and forgets what is gone.
    fn update(&mut self, folder: &Path, pipeline: &Pipeline, job: &Job) -> Result<(), ApiError> {
        let found = walk(folder, |path| is_image(path)).files;
        let mut images = BTreeMap::new();
        // Links out of the folder are passed over.
        let inside = found.into_iter().filter(|file| file.real.starts_with(folder));
        for file in inside.take(MOST_IMAGES) {
            if job.is_over() {
                break;
            }
            let Ok(metadata) = fs::metadata(&file.path) else { continue };
            let stamp = (metadata.len(), metadata.modified().ok());
            let before = self.images.remove(&file.path).filter(|entry| entry.stamp == stamp);
            let entry = match before {
                Some(entry) => entry,
                None => embed(&file.path, stamp, pipeline)?,
            };
            images.insert(file.path, entry);
        }
        // Pictures that were not looked at stay for the next time.
        if job.is_over() {
            self.images.extend(images);
            return Err(ApiError::cancelled());
        }
        self.images = images;
        Ok(())
    }

    /// Where the pictures lie, by their ids.
    pub(crate) fn paths(&self) -> impl Iterator<Item = (Id, PathBuf)> {
        self.images.iter().map(|(path, entry)| (entry.id, path.clone()))
    }
}

/// A picture's embedding. An error where the model fails, not where the file is no picture.
fn embed(
    path: &Path,
    stamp: (u64, Option<SystemTime>),
    pipeline: &Pipeline,
) -> Result<Entry, ApiError> {
    let id = Id::random();
    let Ok(read) = images::read_image(path) else {
        return Ok(Entry { id, stamp, embedding: None, size: (0, 0) });
    };
    let size = read.image.dimensions();
    let embedding = match pipeline.encode_images(&[read.image]) {
        Ok(embedding) => Some(normalised(&embedding).squeeze_dim(0)),
        Err(error) if error.is_about_image() => None,
        Err(error) => return Err(ApiError::of_pipeline(&error, "that searches")),
    };
    Ok(Entry { id, stamp, embedding, size })
}
