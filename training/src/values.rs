//! The check of values in embeddings and checkpoints: finite, and no larger than half precision holds.

/// The largest number in an embedding or a checkpoint: beyond it the squares that training takes, and weights in half
/// precision, are no numbers.
pub const LARGEST_VALUE: f32 = 65504.0;

/// Refuses numbers that are not finite or too large, by the first of them.
pub(crate) fn check_values(values: &[f32]) -> Result<(), String> {
    let sound = |value: &f32| value.abs() <= LARGEST_VALUE; // false of a NaN
    match values.iter().position(|value| !sound(value)) {
        None => Ok(()),
        Some(place) => Err(format!(
            "value {place} of {} is {:e}, and values are between -{LARGEST_VALUE} and {LARGEST_VALUE}",
            values.len(),
            values[place]
        )),
    }
}
