//! What a leg needs to go on exactly where it stopped, as one safetensors file that is whole or not there.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use noise::Generator;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::{AdamW, Error};

/// Everything beside the optimiser's tensors. The data's position is the step: batch `n` is always the same pictures.
#[derive(Serialize, Deserialize)]
pub struct State {
    /// Which model.
    pub leg: String,
    /// What the leg learned from beside its pictures.
    pub upstream: String,
    /// Steps taken.
    pub step: u64,
    /// Every random choice of the objective comes from here.
    pub generator: Generator,
    /// Names and shapes of the parameters.
    pub layout: Vec<(String, Vec<i64>)>,
}

/// Writes the state beside its name, flushes it and renames it.
pub fn save(
    path: &Path,
    leg: &str,
    upstream: &str,
    optimizer: &AdamW,
    generator: &Generator,
) -> Result<(), Error> {
    let state = State {
        leg: leg.to_owned(),
        upstream: upstream.to_owned(),
        step: optimizer.steps_taken(),
        generator: generator.clone(),
        layout: optimizer.layout(),
    };
    let numbers: Vec<(&str, Vec<f32>)> = optimizer
        .state()
        .into_iter()
        .map(|(name, tensor)| {
            (
                name,
                Vec::<f32>::try_from(&tensor).expect("the state is f32 vectors"),
            )
        })
        .collect();
    let bytes: Vec<(&str, Vec<u8>)> = numbers
        .into_iter()
        .map(|(name, values)| (name, values.iter().flat_map(|v| v.to_le_bytes()).collect()))
        .collect();
    let views = bytes.iter().map(|(name, b)| {
        let view = TensorView::new(Dtype::F32, vec![b.len() / 4], b).expect("four bytes a number");
        (*name, view)
    });
    let json = serde_json::to_string(&state).expect("the state is plain data");
    let metadata = HashMap::from([("state".to_owned(), json)]);
    let file = safetensors::serialize(views, Some(metadata)).expect("names are distinct");

    weights::write_atomically(path, |out| {
        out.write_all(&file)
            .map_err(weights::Error::io("write", path.display()))
    })?;
    Ok(())
}

/// Restores what [`save`] wrote; `None` where there is no checkpoint yet.
pub fn resume(
    path: &Path,
    leg: &str,
    upstream: &str,
    optimizer: &mut AdamW,
) -> Result<Option<Generator>, Error> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::file(path)(e)),
    };
    let unfit = |why: String| Error::Checkpoint {
        path: PathBuf::from(path),
        why,
    };
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|e| unfit(e.to_string()))?;
    let json = header
        .metadata()
        .as_ref()
        .and_then(|m| m.get("state"))
        .ok_or_else(|| unfit("it has no state".into()))?;
    let state: State = serde_json::from_str(json).map_err(|e| unfit(e.to_string()))?;
    if state.leg != leg {
        return Err(unfit(format!(
            "it belongs to `{}`, not to `{leg}`",
            state.leg
        )));
    }
    if state.upstream != upstream {
        let why =
            "the encoders or the tokenizer have changed since: a new --runs folder begins anew";
        return Err(unfit(why.to_owned()));
    }
    if let Some((theirs, ours)) = state
        .layout
        .iter()
        .zip(optimizer.layout())
        .find(|(a, b)| *a != b)
    {
        return Err(unfit(format!(
            "it has {} {:?} where the model has {} {:?}",
            theirs.0, theirs.1, ours.0, ours.1
        )));
    }
    let file = SafeTensors::deserialize(&bytes).map_err(|e| unfit(e.to_string()))?;
    let tensors: Vec<(String, Tensor)> = file
        .iter()
        .map(|(name, view)| {
            let values: Vec<f32> = view
                .data()
                .chunks_exact(4)
                .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                .collect();
            (name.to_owned(), Tensor::from_slice(&values))
        })
        .collect();
    optimizer.restore(state.step, &tensors).map_err(unfit)?;
    Ok(Some(state.generator))
}
